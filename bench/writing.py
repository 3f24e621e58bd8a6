"""The rows of the bench that write: 64 tasks, each of which waits for its write before the next one.

The peers get their parameters ready-made, as SQLite stores them; the library makes ids and times, and
binds, while the clock runs.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

import reelbase
from bench import baselines
from bench.data import Durability, Stage, new_file, records_of
from bench.measuring import OURS, Contender, Row, Target, require_equal
from reelbase import File, Job
from reelbase.engine.ids import utc_now
from reelbase.repositories.files import FileRepository
from reelbase.repositories.jobs import JobRepository

_TASKS = 64

_FILES = """
SELECT
  id, profile_id, name, path, type, folder, source_file_id,
  origin, size_bytes, content_type, content_hash, source_url, created_at
FROM files
"""

# One write: from its number to the row that it stored.
_Write = Callable[[int], Awaitable[Any]]


async def _by_tasks(write: _Write, numbers: range) -> list[Any]:
    """The writes of these numbers by 64 tasks at once; their results in order."""
    results: list[Any] = [None] * len(numbers)

    async def run(task: int) -> None:
        for index in range(task, len(numbers), _TASKS):
            results[index] = await write(numbers[index])

    async with asyncio.TaskGroup() as group:
        for task in range(_TASKS):
            group.create_task(run(task))
    return results


def _operations(stage: Stage) -> int:
    return _TASKS * stage.sizes.writes_per_task


def _numbers(stage: Stage, round_number: int) -> range:
    return range(round_number * _operations(stage), (round_number + 1) * _operations(stage))


class _Writers(msgspec.Struct):
    """How each contender does one write, and the file that it writes to."""

    sync: Callable[[baselines.Params], Any]
    by_hand: Callable[[baselines.Params], Awaitable[Any]]
    autocommit: Callable[[baselines.Params], Awaitable[Any]]
    database: reelbase.Database
    paths: dict[str, Path]


@asynccontextmanager
async def _writers(stage: Stage, durability: Durability, sql: str) -> AsyncIterator[_Writers]:
    names = (baselines.SYNC, baselines.BY_HAND, baselines.AUTOCOMMIT, OURS)
    paths = {name: stage.copy() for name in names}
    async with AsyncExitStack() as stack:
        native = stack.enter_context(baselines.plain(paths[baselines.SYNC], durability))
        by_hand = await stack.enter_async_context(
            baselines.by_hand(paths[baselines.BY_HAND], durability)
        )
        autocommit = await stack.enter_async_context(
            baselines.by_hand(paths[baselines.AUTOCOMMIT], durability)
        )
        database = await stack.enter_async_context(
            reelbase.connect(paths[OURS], journal="wal", durability=durability)
        )
        yield _Writers(
            partial(baselines.fetch_one, native, sql),
            partial(baselines.write_by_hand, by_hand, asyncio.Lock(), sql),
            partial(baselines.write_autocommit, autocommit, sql),
            database,
            paths,
        )


def _contenders(
    stage: Stage,
    writers: _Writers,
    ours: _Write,
    params: Callable[[int], baselines.Params],
    check: Callable[[str, Path, range, list[Any]], None],
) -> list[Contender]:
    prepared: dict[int, baselines.Params] = {}

    def prepare(name: str, round_number: int, results: list[Any]) -> None:
        """Also makes ready what the next round writes."""
        check(name, writers.paths[name], _numbers(stage, round_number), results)
        for number in _numbers(stage, round_number + 1):
            prepared.setdefault(number, params(number))

    for number in _numbers(stage, 0):
        prepared[number] = params(number)

    async def sync(round_number: int) -> list[Any]:
        return [writers.sync(prepared[number]) for number in _numbers(stage, round_number)]

    def tasks(write: _Write) -> Callable[[int], Awaitable[list[Any]]]:
        return lambda round_number: _by_tasks(write, _numbers(stage, round_number))

    runs: dict[str, Callable[[int], Awaitable[list[Any]]]] = {
        baselines.SYNC: sync,
        OURS: tasks(ours),
        baselines.BY_HAND: tasks(lambda number: writers.by_hand(prepared[number])),
        baselines.AUTOCOMMIT: tasks(lambda number: writers.autocommit(prepared[number])),
    }
    return [Contender(name, run, partial(prepare, name)) for name, run in runs.items()]


def _returned(
    name: str, row_type: type[msgspec.Struct], results: list[Any], stored: list[Any]
) -> list[Any]:
    """The results as records; of a peer whose statement returns no rows, what it stored."""
    if name != OURS and results == [None] * len(stored):
        return stored
    return records_of(row_type, results)


def _committed(path: Path, sql: str) -> list[Any]:
    """What another connection sees, in a file that its writers still have open."""
    with closing(sqlite3.connect(path.as_uri() + "?mode=ro", uri=True)) as native:
        return native.execute(sql).fetchall()


@asynccontextmanager
async def _inserts(durability: Durability, stage: Stage) -> AsyncIterator[list[Contender]]:
    def check(name: str, path: Path, numbers: range, results: list[Any]) -> None:
        expected = [new_file(number) for number in numbers]
        written = len(stage.files) + numbers.start
        stored = {
            record.name: record
            for record in records_of(File, _committed(path, f"{_FILES} WHERE rowid > {written}"))
        }
        # Ids and times are the library's own choice.
        chosen = ("id", "created_at") if name == OURS else ()
        for number, file in enumerate(expected):
            changes = {field: getattr(stored.get(file.name), field, None) for field in chosen}
            expected[number] = msgspec.structs.replace(file, **changes)
        require_equal(name, [stored.get(file.name) for file in expected], expected)
        require_equal(name, _returned(name, File, results, expected), expected)

    async with _writers(stage, durability, FileRepository._add.sql) as writers:
        add = writers.database.files.add

        def ours(number: int) -> Awaitable[Any]:
            file = files[number]
            return add(
                file.profile_id,
                file.name,
                file.path,
                file.type,
                file.folder,
                origin=file.origin,
                size_bytes=file.size_bytes,
                content_type=file.content_type,
            )

        files: dict[int, File] = {}

        def params(number: int) -> baselines.Params:
            files[number] = new_file(number)
            bound: baselines.Params = FileRepository._add.bind(
                msgspec.structs.asdict(files[number])
            )
            return bound

        yield _contenders(stage, writers, ours, params, check)


@asynccontextmanager
async def _progress(read_back: bool, stage: Stage) -> AsyncIterator[list[Contender]]:
    statement = JobRepository._progress if read_back else JobRepository._note_progress

    def progress(number: int) -> float:
        # Never the one that the job has: 64 and 1 more are no multiple of 101.
        return (1 + (number // _TASKS + number) % 101) / 102

    def check(name: str, path: Path, numbers: range, results: list[Any]) -> None:
        expected = [(stage.jobs[number % _TASKS], progress(number)) for number in numbers]
        last = [(str(id), value) for id, value in expected[-_TASKS:]]
        require_equal(name, sorted(_committed(path, "SELECT id, progress FROM jobs")), sorted(last))
        if read_back:
            returned: list[Any] = records_of(Job, results)
            pairs = [(job.id, job.progress) if isinstance(job, Job) else job for job in returned]
            require_equal(name, pairs, expected)
        else:
            require_equal(name, results, [True if name == OURS else None] * len(expected))

    async with _writers(stage, "normal", statement.sql) as writers:
        jobs = writers.database.jobs

        def ours(number: int) -> Awaitable[Any]:
            job_id = stage.jobs[number % _TASKS]
            if read_back:
                return jobs.update(job_id, progress=progress(number))
            return jobs.progress(job_id, progress(number))

        def params(number: int) -> baselines.Params:
            bound: baselines.Params = statement.bind(
                {
                    "id": stage.jobs[number % _TASKS],
                    "progress": progress(number),
                    "completed": None,
                    "now": utc_now(),
                }
            )
            return bound

        yield _contenders(stage, writers, ours, params, check)


WRITING = (
    Row(
        name="insert",
        question=f"{_TASKS} tasks insert files, synchronous=NORMAL; per insert",
        targets=(Target(baselines.SYNC, speed=1.2),),
        operations=_operations,
        contenders=partial(_inserts, "normal"),
    ),
    Row(
        name="insert-full",
        question=f"{_TASKS} tasks insert files, synchronous=FULL; per insert",
        targets=(Target(baselines.SYNC, speed=8),),
        operations=_operations,
        contenders=partial(_inserts, "full"),
    ),
    Row(
        name="progress",
        question=f"{_TASKS} tasks report the progress of a job each, NORMAL; per update",
        targets=(Target(baselines.SYNC, speed=1.3),),
        operations=_operations,
        contenders=partial(_progress, False),
    ),
    Row(
        name="update",
        question=f"{_TASKS} tasks update the progress of a job each and read it back, NORMAL",
        targets=(),
        operations=_operations,
        contenders=partial(_progress, True),
    ),
)
