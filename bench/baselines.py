"""What the library is compared with: plain sqlite3, a bare hop, and aiosqlite used by hand.

All run the library's own SQL on connections that the library's own code sets up.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import aiosqlite

from bench.data import Durability, settings_for
from reelbase import File
from reelbase.engine.file.connections import open_native
from reelbase.engine.native.pragmas import set_pragma

SYNC = "sqlite3"
HOP = "one bare hop"
BY_HAND = "aiosqlite"
AUTOCOMMIT = "aiosqlite, autocommit"

_LEVELS = {"normal": 1, "full": 2}
Params = dict[str, Any]


def _open(path: Path, durability: Durability) -> sqlite3.Connection:
    native = open_native(settings_for(path), "writer")
    set_pragma(native, "synchronous", _LEVELS[durability])
    return native


@contextmanager
def plain(path: Path, durability: Durability = "normal") -> Iterator[sqlite3.Connection]:
    """The ceiling: no loop, no thread, no records; every write commits by itself."""
    native = _open(path, durability)
    try:
        yield native
    finally:
        native.close()


@asynccontextmanager
async def by_hand(
    path: Path, durability: Durability = "normal"
) -> AsyncIterator[aiosqlite.Connection]:
    connection = aiosqlite.Connection(partial(_open, path, durability), iter_chunk_size=64)
    async with connection:
        yield connection


async def get_by_hand(connection: aiosqlite.Connection, sql: str, params: Params) -> Any:
    """A row as aiosqlite's documentation gets it."""
    cursor = await connection.execute(sql, params)
    row = await cursor.fetchone()
    await cursor.close()
    return row


def get_on_thread(connection: aiosqlite.Connection, sql: str, params: Params) -> Any:
    """A row in a single hop: the least that any library on a thread must cost (awaitable)."""
    return connection._execute(  # type: ignore[no-untyped-call]
        fetch_one, connection._conn, sql, params
    )


def fetch_one(native: sqlite3.Connection, sql: str, params: Params) -> Any:
    return native.execute(sql, params).fetchone()


async def write_by_hand(
    connection: aiosqlite.Connection, lock: asyncio.Lock, sql: str, params: Params
) -> Any:
    """A write that is a transaction of its own; the lock keeps other tasks out of it."""
    async with lock:
        await connection.execute("BEGIN IMMEDIATE")
        try:
            rows = await connection.execute_fetchall(sql, params)
        except BaseException:
            await connection.rollback()
            raise
        await connection.commit()
    return next(iter(rows), None)


async def write_autocommit(connection: aiosqlite.Connection, sql: str, params: Params) -> Any:
    return next(iter(await connection.execute_fetchall(sql, params)), None)


def file_by_hand(row: Any) -> File:
    """A record as one writes it without a library."""
    return File(
        UUID(row[0]),
        row[1],
        row[2],
        row[3],
        row[4],
        row[5],
        None if row[6] is None else UUID(row[6]),
        row[7],
        row[8],
        row[9],
        row[10],
        row[11],
        datetime.fromisoformat(row[12]),
    )
