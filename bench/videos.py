"""The rows of the bench over a large table of videos: pages, count and search.

The peers run the library's statements; what has to be reached is measured against a bare hop, that is
plain sqlite3 plus the hop that any library on a thread must make.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import reelbase
from bench import baselines
from bench.data import Stage, records_of
from bench.measuring import OURS, Contender, Row, Target, require_equal
from reelbase import Database, NewVideo, Video, VideoRepository
from reelbase.engine.statements.search import match_expression

_CHUNK = 10_000
_PAGE = 100
_TIMES = 20
_WORDS = ("holiday", "interview", "Übung", "映画の夜", "rehearsal", "drone", "kitchen", "s01e07")
_QUERY = "interview 映画"


class _Work:
    """A statement with its parameters, and the call of the library that does the same."""

    def __init__(
        self, sql: str, params: baselines.Params, ours: Callable[[Database], Awaitable[Any]]
    ) -> None:
        self.sql = sql
        self.params = params
        self.ours = ours


def _video(number: int) -> NewVideo:
    words = [_WORDS[(number // step) % len(_WORDS)] for step in (1, 8, 64)]
    return NewVideo(
        f"{' '.join(words)} {number}.mp4", f"/media/{number % 97}/{number}", 60.0, 25, 1, 1920, 1080
    )


async def _fill(path: Path, count: int) -> None:
    async with reelbase.connect(path, journal="wal", durability="normal") as database:
        project = await database.projects.add("bench", "/media")
        for start in range(0, count, _CHUNK):
            numbers = range(start, min(start + _CHUNK, count))
            await database.videos.add_many(project.id, map(_video, numbers))


def _work(path: Path) -> dict[str, _Work]:
    with closing(sqlite3.connect(path)) as native:
        middle = native.execute(
            "SELECT created_at, id FROM videos ORDER BY created_at DESC, id DESC "
            "LIMIT 1 OFFSET (SELECT count(*) / 2 FROM videos)"
        ).fetchone()
    created_at, key = middle

    async def page(database: Database) -> list[Video]:
        return await database.videos.page(after=await database.videos.get(key), limit=_PAGE)

    return {
        "first": _Work(
            VideoRepository._list.sql,
            {"limit": _PAGE, "offset": 0},
            lambda database: database.videos.list(limit=_PAGE),
        ),
        "middle": _Work(
            VideoRepository._page.sql,
            {"limit": _PAGE, "created_at": created_at, "id": key},
            page,
        ),
        "count": _Work(VideoRepository._count.sql, {}, lambda database: database.videos.count()),
        "search": _Work(
            VideoRepository._search.sql,
            {"expression": match_expression(_QUERY), "limit": _PAGE, "offset": 0},
            lambda database: database.videos.search(_QUERY, limit=_PAGE),
        ),
    }


def _fetch_all(native: sqlite3.Connection, sql: str, params: baselines.Params) -> list[Any]:
    return native.execute(sql, params).fetchall()


@asynccontextmanager
async def _contenders(name: str, stage: Stage) -> AsyncIterator[list[Contender]]:
    path = stage.copy()
    await _fill(path, stage.sizes.videos)
    work = _work(path)[name]
    # Reading only, so that one file serves all.
    async with (
        reelbase.connect(path, journal="wal") as database,
        baselines.by_hand(path) as hop,
    ):
        with baselines.plain(path) as native:
            expected = _fetch_all(native, work.sql, work.params)

            async def sync(_: int) -> list[Any]:
                return [_fetch_all(native, work.sql, work.params) for _ in range(_TIMES)]

            async def on_thread(_: int) -> list[Any]:
                return [
                    await hop._execute(  # type: ignore[no-untyped-call]
                        _fetch_all, hop._conn, work.sql, work.params
                    )
                    for _ in range(_TIMES)
                ]

            async def ours(_: int) -> list[Any]:
                return [await work.ours(database) for _ in range(_TIMES)]

            def check(contender: str, _: int, results: list[Any]) -> None:
                if name == "count":
                    wanted: Any = expected[0][0] if contender == OURS else expected
                else:
                    wanted = records_of(Video, expected) if contender == OURS else expected
                require_equal(contender, results, [wanted] * _TIMES)

            runs = {baselines.SYNC: sync, baselines.HOP: on_thread, OURS: ours}
            yield [Contender(each, run, partial(check, each)) for each, run in runs.items()]


VIDEOS = tuple(
    Row(
        name=f"videos-{name}",
        question=f"{question}; per call",
        targets=(Target(baselines.HOP, time=3),),
        operations=lambda stage: _TIMES,
        contenders=partial(_contenders, name),
    )
    for name, question in (
        ("first", f"The first page ({_PAGE}) of 100,000 videos"),
        (
            "middle",
            f"A page ({_PAGE}) from the middle of 100,000 videos by keyset, and its key's record",
        ),
        ("count", "How many of 100,000 videos there are"),
        ("search", f"The {_PAGE} best of 100,000 videos for two words, one of them Japanese"),
    )
)
