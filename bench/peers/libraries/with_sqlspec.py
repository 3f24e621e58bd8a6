"""sqlspec: AiosqliteConfig with its pool of five connections by default, a session for each call, SQL by
hand, msgspec structs as schema_type.

It stores moments as isoformat() writes them, which is not how the file has them: they are given to it as
text. It decodes JSON by sqlite3's converters, which a column of a STRICT table can only get by its name.
Its compiled coroutines crash the process when tasks are cancelled; its Python sources do not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlspec import SQLSpec
from sqlspec.adapters.aiosqlite import AiosqliteConfig, AiosqliteDriver
from sqlspec.exceptions import ForeignKeyViolationError

from bench.peers.data import moment_text
from bench.peers.interface import Durability, NewDownload, Peer, pragmas
from bench.peers.libraries import sql
from bench.peers.records import Download, Segment, Transcript, queued

_FIRST_PAGE = sql.FIRST_PAGE.replace(", words", ', words AS "words [JSON]"')
_NEXT_PAGE = sql.NEXT_PAGE.replace(", words", ', words AS "words [JSON]"')


class Sqlspec(Peer):
    packages = ("sqlspec", "aiosqlite", "msgspec")

    async def open(self, path: Path, durability: Durability) -> None:
        self._spec = SQLSpec()
        self._config = self._spec.add_config(
            AiosqliteConfig(
                connection_config={
                    "database": str(path),
                    "isolation_level": None,  # a statement alone is a transaction
                    "detect_types": sqlite3.PARSE_COLNAMES,
                },
                driver_features={
                    "pragmas": pragmas(durability),
                    "enable_custom_adapters": True,
                },
            )
        )

    async def close(self) -> None:
        await self._spec.close_all_pools()

    def _session(self) -> AbstractAsyncContextManager[AiosqliteDriver]:
        return self._spec.provide_session(self._config)

    async def get(self, download_id: UUID) -> Any:
        async with self._session() as session:
            return await session.select_one(sql.GET, download_id, schema_type=Download)

    async def newest(self, limit: int) -> Sequence[Any]:
        async with self._session() as session:
            return await session.select(sql.NEWEST, limit, schema_type=Download)

    async def add(self, new: NewDownload) -> Any:
        now = moment_text(datetime.now(UTC))
        parameters = sql.parameters(new, now)
        async with self._session() as session:
            try:
                await session.execute(sql.ADD, parameters)
            except ForeignKeyViolationError:
                async with session.transaction():
                    await session.execute(sql.ENSURE_SESSION, (new.session_id, now, now))
                    await session.execute(sql.ADD, parameters)
        return queued(new, now)

    async def add_many(self, new: Sequence[NewDownload]) -> None:
        now = moment_text(datetime.now(UTC))
        async with self._session() as session, session.transaction():
            await session.execute_many(sql.ADD, [sql.parameters(each, now) for each in new])

    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        now = moment_text(datetime.now(UTC))
        async with self._session() as session:
            await session.execute(sql.PROGRESS, (percent, speed, eta, now, download_id))

    async def grow(self, download_id: UUID) -> None:
        async with self._session() as session, session.transaction():
            download = await session.select_one(sql.GET, download_id, schema_type=Download)
            await session.execute(sql.SET_FILESIZE, (download.filesize + 1, download_id))

    async def claim(self, session_id: str) -> Any | None:
        now = moment_text(datetime.now(UTC))
        async with self._session() as session:
            result = await session.execute(sql.CLAIM, (now, session_id))
        return result.one_or_none(schema_type=Download)

    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        async with self._session() as session, session.transaction():
            await session.execute(sql.SET_FILESIZE, (filesize, first))
            await session.execute(sql.SET_FILESIZE, (filesize, second))

    async def scan(self, sql: str) -> int:
        async with self._session() as session:
            return await session.select_value(sql, value_type=int)

    async def transcript(self, transcript_id: UUID) -> Any:
        async with self._session() as session:
            return await session.select_one(sql.TRANSCRIPT, transcript_id, schema_type=Transcript)

    async def page(self, transcript_id: UUID, after: Any | None, limit: int) -> Sequence[Any]:
        async with self._session() as session:
            if after is None:
                return await session.select(
                    _FIRST_PAGE, (transcript_id, limit), schema_type=Segment
                )
            parameters = (transcript_id, after.start_time, after.id, limit)
            return await session.select(_NEXT_PAGE, parameters, schema_type=Segment)


PEER = Sqlspec
