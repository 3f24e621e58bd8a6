"""Config: settings that an administrator may change while the application runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import UnionType
from typing import Any, TypeVar, overload

import msgspec

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import wrong_type
from reelbase.engine.statements.parameters import JsonValue
from reelbase.engine.statements.statement import Command, Query

D = TypeVar("D")
T = TypeVar("T")


class ConfigEntry(Record, frozen=True):
    """A setting. value: any JSON, null included."""

    key: str
    value: JsonValue
    updated_at: datetime


class ConfigRepository(Repository):
    """Settings of the whole application, table ``config``: one JSON value per key, for all profiles."""

    entity = "config entry"

    _get = Query(
        str,
        """
        SELECT value
        FROM config
        WHERE key = :key
        """,
        params={"key": str},
    )

    _set = Command(
        ConfigEntry,
        """
        INSERT INTO config (key, value, updated_at)
        VALUES (:key, :value, :updated_at)
        ON CONFLICT (key) DO UPDATE
        SET value = excluded.value,
            updated_at = excluded.updated_at
        RETURNING *
        """,
    )

    _entries = Query(
        ConfigEntry,
        """
        SELECT *
        FROM config
        ORDER BY key
        """,
    )

    _delete = Command(
        ConfigEntry,
        """
        DELETE FROM config
        WHERE key = :key
        """,
    )

    @overload
    async def get(self, key: str, default: Any = None) -> Any: ...
    @overload
    async def get(self, key: str, *, type: type[T]) -> T | None: ...
    @overload
    async def get(self, key: str, default: D, *, type: type[T]) -> T | D: ...
    @overload
    async def get(self, key: str, default: Any = None, *, type: UnionType) -> Any: ...
    async def get(self, key: str, default: Any = None, *, type: Any = object) -> Any:
        """The value of a key.

        Args:
            key: the key.
            default: the result if the key has no value.
            type: the type of the value, checked strictly: the text "false" is no bool, and 1 no str.
                object: any type.

        Returns:
            The value, or default.

        Raises:
            msgspec.ValidationError: the value is of a different type.
        """
        stored = await self._run(self._get.optional(key=key))
        return default if stored is None else msgspec.json.decode(stored, type=type)

    async def set(self, key: str, value: JsonValue) -> ConfigEntry:
        """Stores the value under the key and returns the entry. ValueError for a value that is no JSON."""
        return await self._run(self._set.one(key=key, value=value, updated_at=self._now()))

    async def set_many(self, values: Mapping[str, JsonValue]) -> None:
        """Stores all of them or none."""
        if not isinstance(values, Mapping):
            raise wrong_type("values", f"must be a dict, not {type(values).__name__}")
        now = self._now()
        rows = [{"key": key, "value": value, "updated_at": now} for key, value in values.items()]
        await self._run(self._set.many(rows))

    async def all(self) -> dict[str, JsonValue]:
        """Every value by its key, in the order of the keys."""
        return {entry.key: entry.value for entry in await self.entries()}

    async def entries(self) -> list[ConfigEntry]:
        """Every entry, in the order of the keys."""
        return await self._run(self._entries.all())

    async def delete(self, key: str, *, missing_ok: bool = False) -> bool:
        """True when the key had a value; otherwise RecordNotFoundError, or False with missing_ok."""
        count = await self._run(self._delete.count(key=key))
        return self._deleted(count, key, missing_ok=missing_ok)
