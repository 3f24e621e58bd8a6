"""The rows of the bench that read. Their results are compared as records with what the seed made."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite

import reelbase
from bench import baselines
from bench.data import PROFILE, Stage, records_of
from bench.measuring import OURS, Contender, Row, Target, require_equal
from reelbase import Database, File
from reelbase.repositories.files import FileRepository

_GATHERED = 32
_LISTED = 1000

# Every file, in the order that the file has them: nothing but fetching and making records.
_ROWS = """
SELECT
  id, profile_id, name, path, type, folder, source_file_id,
  origin, size_bytes, content_type, content_hash, source_url, created_at
FROM files
ORDER BY rowid
"""


class _Opened:
    """One open connection of each kind, on copies of the same file."""

    def __init__(
        self,
        native: sqlite3.Connection,
        hop: aiosqlite.Connection,
        by_hand: aiosqlite.Connection,
        database: Database,
    ) -> None:
        self.native = native
        self.hop = hop
        self.by_hand = by_hand
        self.database = database


@asynccontextmanager
async def _opened(stage: Stage) -> AsyncIterator[_Opened]:
    async with AsyncExitStack() as stack:

        def copy() -> Path:
            path = stage.copy()
            stack.callback(path.unlink)
            return path

        yield _Opened(
            stack.enter_context(baselines.plain(copy())),
            await stack.enter_async_context(baselines.by_hand(copy())),
            await stack.enter_async_context(baselines.by_hand(copy())),
            await stack.enter_async_context(reelbase.connect(copy(), journal="wal")),
        )


def _checked(expected: list[File], name: str) -> Callable[[int, list[Any]], None]:
    def check(_: int, results: list[Any]) -> None:
        require_equal(name, records_of(File, results), expected)

    return check


def _contenders(expected: list[File], runs: dict[str, Callable[[int], Any]]) -> list[Contender]:
    return [Contender(name, run, _checked(expected, name)) for name, run in runs.items()]


@asynccontextmanager
async def _rows(stage: Stage) -> AsyncIterator[list[Contender]]:
    async with _opened(stage) as opened:

        async def fetch_tuples(_: int) -> list[Any]:
            return opened.native.execute(_ROWS).fetchall()

        async def fetch_ours(_: int) -> list[Any]:
            return await opened.database.fetch_all(File, _ROWS)

        async def fetch_by_hand(_: int) -> list[Any]:
            rows = await opened.by_hand.execute_fetchall(_ROWS)
            return [baselines.file_by_hand(row) for row in rows]

        yield _contenders(
            stage.files,
            {baselines.SYNC: fetch_tuples, OURS: fetch_ours, baselines.BY_HAND: fetch_by_hand},
        )


@asynccontextmanager
async def _get(stage: Stage) -> AsyncIterator[list[Contender]]:
    files = random.Random(1).sample(stage.files, stage.sizes.gets)
    ids = [file.id for file in files]
    params = [{"id": str(file_id)} for file_id in ids]
    sql = FileRepository._get.sql
    async with _opened(stage) as opened:

        async def get_sync(_: int) -> list[Any]:
            return [baselines.fetch_one(opened.native, sql, each) for each in params]

        async def get_on_thread(_: int) -> list[Any]:
            return [await baselines.get_on_thread(opened.hop, sql, each) for each in params]

        async def get_ours(_: int) -> list[Any]:
            return [await opened.database.files.get(file_id) for file_id in ids]

        async def get_by_hand(_: int) -> list[Any]:
            return [
                baselines.file_by_hand(await baselines.get_by_hand(opened.by_hand, sql, each))
                for each in params
            ]

        yield _contenders(
            files,
            {
                baselines.SYNC: get_sync,
                baselines.HOP: get_on_thread,
                OURS: get_ours,
                baselines.BY_HAND: get_by_hand,
            },
        )


@asynccontextmanager
async def _gathered(stage: Stage) -> AsyncIterator[list[Contender]]:
    files = random.Random(2).sample(stage.files, _GATHERED)
    ids = [file.id for file in files]
    params = [{"id": str(file_id)} for file_id in ids]
    sql = FileRepository._get.sql
    times = range(stage.sizes.gathers)
    async with _opened(stage) as opened:

        async def get_sync(_: int) -> list[Any]:
            return [baselines.fetch_one(opened.native, sql, each) for _ in times for each in params]

        async def get_on_thread(_: int) -> list[Any]:
            results: list[Any] = []
            for _ in times:
                results += await asyncio.gather(
                    *(baselines.get_on_thread(opened.hop, sql, each) for each in params)
                )
            return results

        async def get_ours(_: int) -> list[Any]:
            get = opened.database.files.get
            results: list[Any] = []
            for _ in times:
                results += await asyncio.gather(*(get(file_id) for file_id in ids))
            return results

        async def get_record(each: baselines.Params) -> File:
            return baselines.file_by_hand(await baselines.get_by_hand(opened.by_hand, sql, each))

        async def get_by_hand(_: int) -> list[Any]:
            results: list[Any] = []
            for _ in times:
                results += await asyncio.gather(*(get_record(each) for each in params))
            return results

        yield _contenders(
            files * stage.sizes.gathers,
            {
                baselines.SYNC: get_sync,
                baselines.HOP: get_on_thread,
                OURS: get_ours,
                baselines.BY_HAND: get_by_hand,
            },
        )


@asynccontextmanager
async def _list(stage: Stage) -> AsyncIterator[list[Contender]]:
    params = {"profile_id": PROFILE, "limit": _LISTED, "offset": 0}
    sql = FileRepository._list.sql
    times = range(stage.sizes.lists)
    async with _opened(stage) as opened:

        async def list_tuples(_: int) -> list[Any]:
            return [row for _ in times for row in opened.native.execute(sql, params).fetchall()]

        async def list_ours(_: int) -> list[Any]:
            list_for_profile = opened.database.files.list_for_profile
            return [file for _ in times for file in await list_for_profile(PROFILE, limit=_LISTED)]

        async def list_by_hand(_: int) -> list[Any]:
            return [
                baselines.file_by_hand(row)
                for _ in times
                for row in await opened.by_hand.execute_fetchall(sql, params)
            ]

        yield _contenders(
            stage.newest(_LISTED) * stage.sizes.lists,
            {baselines.SYNC: list_tuples, OURS: list_ours, baselines.BY_HAND: list_by_hand},
        )


READING = (
    Row(
        name="rows",
        question="All files as records, in one fetch_all; per row",
        targets=(),
        operations=lambda stage: len(stage.files),
        contenders=_rows,
    ),
    Row(
        name="get",
        question="A file by its id, one call after the other; per call",
        targets=(Target(baselines.HOP, time=1.15),),
        operations=lambda stage: stage.sizes.gets,
        contenders=_get,
        reopens=True,
    ),
    Row(
        name="gathered",
        question=f"{_GATHERED} gets gathered, again and again; per get",
        targets=(Target(baselines.SYNC, speed=0.5),),
        operations=lambda stage: stage.sizes.gathers * _GATHERED,
        contenders=_gathered,
        reopens=True,
    ),
    Row(
        name="list",
        question=f"The newest {_LISTED} files of a profile; per list",
        targets=(Target(baselines.SYNC, speed=0.6),),
        operations=lambda stage: stage.sizes.lists,
        contenders=_list,
    ),
)
