"""Settings: a profile's preferences. Values are any JSON, never secrets."""

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


class ProfileSetting(Record, frozen=True):
    """A preference. value: any JSON, null included."""

    profile_id: str
    key: str
    value: JsonValue
    updated_at: datetime


class SettingsRepository(Repository):
    """Preferences of profiles, table ``profile_settings``: one JSON value per profile and key; no
    secrets.
    """

    entity = "setting"

    _get = Query(
        str,
        """
        SELECT value
        FROM profile_settings
        WHERE profile_id = :profile_id
          AND key = :key
        """,
        params={"profile_id": str, "key": str},
    )

    # instr(), because LIKE has wildcards, and substr() cannot handle a NUL.
    _all = Query(
        ProfileSetting,
        """
        SELECT *
        FROM profile_settings
        WHERE profile_id = :profile_id
          AND instr(key, :prefix) = 1
        ORDER BY key
        """,
        params={"prefix": str},
    )

    _set = Command(
        ProfileSetting,
        """
        INSERT INTO profile_settings (profile_id, key, value, updated_at)
        VALUES (:profile_id, :key, :value, :updated_at)
        ON CONFLICT (profile_id, key) DO UPDATE
        SET value = excluded.value,
            updated_at = excluded.updated_at
        RETURNING *
        """,
    )

    _reset = Command(
        ProfileSetting,
        """
        DELETE FROM profile_settings
        WHERE profile_id = :profile_id
          AND key = :key
        """,
    )

    _reset_all = Command(
        ProfileSetting,
        """
        DELETE FROM profile_settings
        WHERE profile_id = :profile_id
        """,
    )

    @overload
    async def get(self, profile_id: str, key: str, default: Any = None) -> Any: ...
    @overload
    async def get(self, profile_id: str, key: str, *, type: type[T]) -> T | None: ...
    @overload
    async def get(self, profile_id: str, key: str, default: D, *, type: type[T]) -> T | D: ...
    @overload
    async def get(
        self, profile_id: str, key: str, default: Any = None, *, type: UnionType
    ) -> Any: ...
    async def get(
        self, profile_id: str, key: str, default: Any = None, *, type: Any = object
    ) -> Any:
        """The value of a profile's setting.

        Args:
            profile_id: the profile.
            key: the key.
            default: the result if the profile has no value under this key.
            type: the type of the value, checked strictly: the text "false" is no bool, and 1 no str.
                object: any type.

        Returns:
            The value, or default; default also for an unknown profile.

        Raises:
            msgspec.ValidationError: the value is of a different type.
        """
        stored = await self._run(self._get.optional(profile_id=profile_id, key=key))
        return default if stored is None else msgspec.json.decode(stored, type=type)

    async def all(self, profile_id: str, *, prefix: str | None = None) -> dict[str, JsonValue]:
        """The profile's values by their whole keys, in the order of the keys.

        prefix: only keys that begin with it, exactly; None: all.
        """
        settings = await self._run(self._all.all(profile_id=profile_id, prefix=prefix or ""))
        return {setting.key: setting.value for setting in settings}

    async def set(self, profile_id: str, key: str, value: JsonValue) -> ProfileSetting:
        """Stores a value.

        Args:
            profile_id: the profile.
            key: the key.
            value: any JSON, null included.

        Returns:
            The setting.

        Raises:
            ValueError: the value is no JSON.
            ConstraintError: kind foreign_key for an unknown profile.
        """
        return await self._run(
            self._set.one(profile_id=profile_id, key=key, value=value, updated_at=self._now())
        )

    async def set_many(self, profile_id: str, values: Mapping[str, JsonValue]) -> None:
        """Stores all of them or none."""
        if not isinstance(values, Mapping):
            raise wrong_type("values", f"must be a dict, not {type(values).__name__}")
        now = self._now()
        rows = [
            {"profile_id": profile_id, "key": key, "value": value, "updated_at": now}
            for key, value in values.items()
        ]
        await self._run(self._set.many(rows))

    async def reset(self, profile_id: str, *keys: str) -> int:
        """Deletes the profile's values under these keys, or without keys all of them. Returns how many."""
        if not keys:
            return await self._run(self._reset_all.count(profile_id=profile_id))
        return await self._run(
            self._reset.many([{"profile_id": profile_id, "key": key} for key in keys])
        )
