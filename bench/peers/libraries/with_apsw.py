"""apsw's own asynchronous connections (apsw.aio): one, on its worker thread, where apsw wants whatever
makes more than one call to run (async_run). It has no records; those are made of rows by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import apsw
import apsw.aio

from bench.peers.data import moment_text
from bench.peers.interface import Durability, NewDownload, Peer, pragmas
from bench.peers.libraries import sql
from bench.peers.records import download, queued, segment, transcript

# These run in the connection's thread, where it is a synchronous one. No other task comes between.


def _set_up(connection: apsw.Connection, durability: Durability) -> None:
    connection.transaction_mode = "IMMEDIATE"
    for name, value in pragmas(durability).items():
        connection.pragma(name, value)


def _rows(connection: apsw.Connection, query: str, parameters: Sequence[Any]) -> list[Any]:
    return connection.execute(query, parameters).fetchall()


def _add(connection: apsw.Connection, new: NewDownload, now: str) -> None:
    parameters = sql.parameters(new, now)
    try:
        connection.execute(sql.ADD, parameters)
    except apsw.ConstraintError:  # what is not the session's absence comes again
        with connection:
            connection.execute(sql.ENSURE_SESSION, (new.session_id, now, now))
            connection.execute(sql.ADD, parameters)


def _add_many(connection: apsw.Connection, new: Sequence[NewDownload], now: str) -> None:
    with connection:
        connection.executemany(sql.ADD, (sql.parameters(each, now) for each in new))


def _grow(connection: apsw.Connection, download_id: UUID) -> None:
    with connection:
        row = connection.execute(sql.GET, (str(download_id),)).fetchone()
        connection.execute(sql.SET_FILESIZE, (row[8] + 1, str(download_id)))


def _set_both(connection: apsw.Connection, first: UUID, second: UUID, filesize: int) -> None:
    with connection:
        connection.execute(sql.SET_FILESIZE, (filesize, str(first)))
        connection.execute(sql.SET_FILESIZE, (filesize, str(second)))


class Apsw(Peer):
    packages = ("apsw",)

    async def open(self, path: Path, durability: Durability) -> None:
        self._connection = await apsw.Connection.as_async(str(path))
        await self._run(_set_up, durability)

    async def close(self) -> None:
        await self._connection.aclose()

    async def _run(self, function: Any, *arguments: Any) -> Any:
        return await self._connection.async_run(function, self._connection, *arguments)

    async def get(self, download_id: UUID) -> Any:
        (row,) = await self._run(_rows, sql.GET, (str(download_id),))
        return download(row)

    async def newest(self, limit: int) -> Sequence[Any]:
        return [download(row) for row in await self._run(_rows, sql.NEWEST, (limit,))]

    async def add(self, new: NewDownload) -> Any:
        now = moment_text(datetime.now(UTC))
        await self._run(_add, new, now)
        return queued(new, now)

    async def add_many(self, new: Sequence[NewDownload]) -> None:
        await self._run(_add_many, new, moment_text(datetime.now(UTC)))

    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        now = moment_text(datetime.now(UTC))
        await self._connection.execute(sql.PROGRESS, (percent, speed, eta, now, str(download_id)))

    async def grow(self, download_id: UUID) -> None:
        await self._run(_grow, download_id)

    async def claim(self, session_id: str) -> Any | None:
        now = moment_text(datetime.now(UTC))
        rows = await self._run(_rows, sql.CLAIM, (now, session_id))
        return download(rows[0]) if rows else None

    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        await self._run(_set_both, first, second, filesize)

    async def scan(self, sql: str) -> int:
        cursor = await self._connection.execute(sql)
        return int(await cursor.get)

    async def transcript(self, transcript_id: UUID) -> Any:
        (row,) = await self._run(_rows, sql.TRANSCRIPT, (str(transcript_id),))
        return transcript(row)

    async def page(self, transcript_id: UUID, after: Any | None, limit: int) -> Sequence[Any]:
        if after is None:
            rows = await self._run(_rows, sql.FIRST_PAGE, (str(transcript_id), limit))
        else:
            parameters = (str(transcript_id), after.start_time, after.id, limit)
            rows = await self._run(_rows, sql.NEXT_PAGE, parameters)
        return [segment(row) for row in rows]


PEER = Apsw
