"""aiosqlite by hand and with care: one connection, a lock around every transaction, BEGIN IMMEDIATE.

BEGIN stands before the ``try``, where everybody writes it: who is cancelled there leaves it open.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import aiosqlite

from bench.peers.data import moment_text
from bench.peers.interface import Durability, NewDownload, Peer, pragma_statements
from bench.peers.libraries import sql
from bench.peers.records import download, queued, segment, transcript


class Aiosqlite(Peer):
    packages = ("aiosqlite",)

    async def open(self, path: Path, durability: Durability) -> None:
        self._lock = asyncio.Lock()
        self._connection = await aiosqlite.connect(path, isolation_level=None)
        for statement in pragma_statements(durability):
            await self._connection.execute_fetchall(statement)

    async def close(self) -> None:
        await self._connection.close()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        async with self._lock:
            await self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                await self._connection.rollback()
                raise
            await self._connection.commit()

    async def get(self, download_id: UUID) -> Any:
        (row,) = await self._connection.execute_fetchall(sql.GET, (str(download_id),))
        return download(row)

    async def newest(self, limit: int) -> Sequence[Any]:
        rows = await self._connection.execute_fetchall(sql.NEWEST, (limit,))
        return [download(row) for row in rows]

    async def add(self, new: NewDownload) -> Any:
        now = moment_text(datetime.now(UTC))
        parameters = sql.parameters(new, now)
        try:
            async with self._lock:  # else it would join a transaction of another task
                await self._connection.execute(sql.ADD, parameters)
        except aiosqlite.IntegrityError:  # what is not the session's absence comes again
            async with self._transaction() as connection:
                await connection.execute(sql.ENSURE_SESSION, (new.session_id, now, now))
                await connection.execute(sql.ADD, parameters)
        return queued(new, now)

    async def add_many(self, new: Sequence[NewDownload]) -> None:
        now = moment_text(datetime.now(UTC))
        async with self._transaction() as connection:
            await connection.executemany(sql.ADD, [sql.parameters(each, now) for each in new])

    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        now = moment_text(datetime.now(UTC))
        async with self._lock:
            await self._connection.execute(
                sql.PROGRESS, (percent, speed, eta, now, str(download_id))
            )

    async def grow(self, download_id: UUID) -> None:
        async with self._transaction() as connection:
            (row,) = await connection.execute_fetchall(sql.GET, (str(download_id),))
            filesize = (download(row).filesize or 0) + 1
            await connection.execute(sql.SET_FILESIZE, (filesize, str(download_id)))

    async def claim(self, session_id: str) -> Any | None:
        now = moment_text(datetime.now(UTC))
        async with self._lock:
            rows = list(await self._connection.execute_fetchall(sql.CLAIM, (now, session_id)))
        return download(rows[0]) if rows else None

    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        async with self._transaction() as connection:
            await connection.execute(sql.SET_FILESIZE, (filesize, str(first)))
            await connection.execute(sql.SET_FILESIZE, (filesize, str(second)))

    async def scan(self, sql: str) -> int:
        ((count,),) = await self._connection.execute_fetchall(sql)
        return int(count)

    async def transcript(self, transcript_id: UUID) -> Any:
        (row,) = await self._connection.execute_fetchall(sql.TRANSCRIPT, (str(transcript_id),))
        return transcript(row)

    async def page(self, transcript_id: UUID, after: Any | None, limit: int) -> Sequence[Any]:
        if after is None:
            rows = await self._connection.execute_fetchall(
                sql.FIRST_PAGE, (str(transcript_id), limit)
            )
        else:
            rows = await self._connection.execute_fetchall(
                sql.NEXT_PAGE, (str(transcript_id), after.start_time, after.id, limit)
            )
        return [segment(row) for row in rows]


PEER = Aiosqlite
