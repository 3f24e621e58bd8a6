"""aiosqlitepool as its README shows it: a factory of aiosqlite connections, the pool's defaults.

It pools connections and nothing else: SQL, transactions and records are its user's. What a task leaves
uncommitted, the pool rolls back when the connection comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import aiosqlite
from aiosqlitepool import SQLiteConnectionPool

from bench.peers.data import moment_text
from bench.peers.interface import Durability, NewDownload, Peer, pragma_statements
from bench.peers.libraries import sql
from bench.peers.records import download, queued, segment, transcript


class Aiosqlitepool(Peer):
    packages = ("aiosqlitepool", "aiosqlite")

    async def open(self, path: Path, durability: Durability) -> None:
        async def connect() -> aiosqlite.Connection:
            connection = await aiosqlite.connect(path, isolation_level=None)
            for statement in pragma_statements(durability):
                await connection.execute_fetchall(statement)
            return connection

        self._pool = SQLiteConnectionPool(connect)

    async def close(self) -> None:
        await self._pool.close()

    async def get(self, download_id: UUID) -> Any:
        async with self._pool.connection() as connection:
            (row,) = await connection.execute_fetchall(sql.GET, (str(download_id),))
        return download(row)

    async def newest(self, limit: int) -> Sequence[Any]:
        async with self._pool.connection() as connection:
            rows = await connection.execute_fetchall(sql.NEWEST, (limit,))
        return [download(row) for row in rows]

    async def add(self, new: NewDownload) -> Any:
        now = moment_text(datetime.now(UTC))
        parameters = sql.parameters(new, now)
        async with self._pool.connection() as connection:
            try:
                await connection.execute(sql.ADD, parameters)
            except aiosqlite.IntegrityError:  # what is not the session's absence comes again
                await connection.execute("BEGIN IMMEDIATE")
                await connection.execute(sql.ENSURE_SESSION, (new.session_id, now, now))
                await connection.execute(sql.ADD, parameters)
                await connection.commit()
        return queued(new, now)

    async def add_many(self, new: Sequence[NewDownload]) -> None:
        now = moment_text(datetime.now(UTC))
        async with self._pool.connection() as connection:
            await connection.execute("BEGIN IMMEDIATE")
            await connection.executemany(sql.ADD, [sql.parameters(each, now) for each in new])
            await connection.commit()

    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        now = moment_text(datetime.now(UTC))
        async with self._pool.connection() as connection:
            await connection.execute(sql.PROGRESS, (percent, speed, eta, now, str(download_id)))

    async def grow(self, download_id: UUID) -> None:
        async with self._pool.connection() as connection:
            await connection.execute("BEGIN IMMEDIATE")
            (row,) = await connection.execute_fetchall(sql.GET, (str(download_id),))
            filesize = (download(row).filesize or 0) + 1
            await connection.execute(sql.SET_FILESIZE, (filesize, str(download_id)))
            await connection.commit()

    async def claim(self, session_id: str) -> Any | None:
        now = moment_text(datetime.now(UTC))
        async with self._pool.connection() as connection:
            rows = list(await connection.execute_fetchall(sql.CLAIM, (now, session_id)))
        return download(rows[0]) if rows else None

    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        async with self._pool.connection() as connection:
            await connection.execute("BEGIN IMMEDIATE")
            await connection.execute(sql.SET_FILESIZE, (filesize, str(first)))
            await connection.execute(sql.SET_FILESIZE, (filesize, str(second)))
            await connection.commit()

    async def scan(self, sql: str) -> int:
        async with self._pool.connection() as connection:
            ((count,),) = await connection.execute_fetchall(sql)
        return int(count)

    async def transcript(self, transcript_id: UUID) -> Any:
        async with self._pool.connection() as connection:
            (row,) = await connection.execute_fetchall(sql.TRANSCRIPT, (str(transcript_id),))
        return transcript(row)

    async def page(self, transcript_id: UUID, after: Any | None, limit: int) -> Sequence[Any]:
        if after is None:
            query, parameters = sql.FIRST_PAGE, (str(transcript_id), limit)
        else:
            query = sql.NEXT_PAGE
            parameters = (str(transcript_id), after.start_time, after.id, limit)
        async with self._pool.connection() as connection:
            rows = await connection.execute_fetchall(query, parameters)
        return [segment(row) for row in rows]


PEER = Aiosqlitepool
