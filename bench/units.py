"""The rows of the bench that change what they have read: 64 tasks, each of which counts one up in turn.

The library does it in both of its styles: as a function for atomically(), and in a block of transaction().
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite

import reelbase
from bench import baselines
from bench.data import Durability, Stage
from bench.measuring import OURS, Contender, Row, Target, require_equal

BLOCK = "transaction()"

_TASKS = 64
_GET = "SELECT value FROM config WHERE key = :key"
_SET = """
INSERT INTO config (key, value, updated_at)
VALUES (:key, :value, '2026-01-31T12:00:00.000Z')
ON CONFLICT (key) DO UPDATE SET value = excluded.value
"""

# Counts one up in the row of a task, and gives the new number.
_Count = Callable[[int], Awaitable[int]]


def _key(task: int) -> str:
    return f"counter {task}"


async def _one_up(unit: reelbase.UnitOfWork, task: int) -> int:
    number = 1 + await unit.config.get(_key(task), 0, type=int)
    await unit.config.set(_key(task), number)
    return number


async def _in_a_function(database: reelbase.Database, task: int) -> int:
    return await database.atomically(_one_up, task)


async def _in_a_block(database: reelbase.Database, task: int) -> int:
    async with database.transaction() as unit:
        return await _one_up(unit, task)


async def _by_hand(connection: aiosqlite.Connection, lock: asyncio.Lock, task: int) -> int:
    async with lock:
        await connection.execute("BEGIN IMMEDIATE")
        try:
            rows = await connection.execute_fetchall(_GET, {"key": _key(task)})
            number = _next(rows)
            await connection.execute(_SET, {"key": _key(task), "value": str(number)})
        except BaseException:
            await connection.rollback()
            raise
        await connection.commit()
    return number


async def _plainly(native: sqlite3.Connection, task: int) -> int:
    native.execute("BEGIN IMMEDIATE")
    number = _next(native.execute(_GET, {"key": _key(task)}).fetchall())
    native.execute(_SET, {"key": _key(task), "value": str(number)})
    native.execute("COMMIT")
    return number


def _next(rows: Any) -> int:
    return 1 + sum(int(value) for (value,) in rows)


def _operations(stage: Stage) -> int:
    return _TASKS * stage.sizes.writes_per_task


async def _by_tasks(count: _Count, times: int, round_number: int) -> list[int]:
    """The last number of each task, which counts that many times."""
    numbers = [0] * _TASKS

    async def run(task: int) -> None:
        for _ in range(times):
            numbers[task] = await count(task)

    async with asyncio.TaskGroup() as group:
        for task in range(_TASKS):
            group.create_task(run(task))
    return numbers


def _check(name: str, path: Path, times: int, round_number: int, results: list[Any]) -> None:
    expected = [times * (round_number + 1)] * _TASKS
    require_equal(name, results, expected)
    with closing(sqlite3.connect(path.as_uri() + "?mode=ro", uri=True)) as native:
        rows = native.execute("SELECT value FROM config WHERE key LIKE 'counter %'").fetchall()
    require_equal(name, [int(value) for (value,) in rows], expected)


@asynccontextmanager
async def _counters(durability: Durability, stage: Stage) -> AsyncIterator[list[Contender]]:
    names = (baselines.SYNC, OURS, BLOCK, baselines.BY_HAND)
    paths = {name: stage.copy() for name in names}
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        native = stack.enter_context(baselines.plain(paths[baselines.SYNC], durability))
        by_hand = await enter(baselines.by_hand(paths[baselines.BY_HAND], durability))
        in_functions, in_blocks = [
            await enter(reelbase.connect(paths[name], journal="wal", durability=durability))
            for name in (OURS, BLOCK)
        ]
        counts: dict[str, _Count] = {
            baselines.SYNC: partial(_plainly, native),
            OURS: partial(_in_a_function, in_functions),
            BLOCK: partial(_in_a_block, in_blocks),
            baselines.BY_HAND: partial(_by_hand, by_hand, asyncio.Lock()),
        }
        times = stage.sizes.writes_per_task
        yield [
            Contender(
                name,
                partial(_by_tasks, count, times),
                partial(_check, name, paths[name], times),
            )
            for name, count in counts.items()
        ]


UNITS = (
    Row(
        name="modify",
        question=f"{_TASKS} tasks read a number and store the next one, NORMAL; per unit of work",
        targets=(Target(BLOCK, speed=3),),
        operations=_operations,
        contenders=partial(_counters, "normal"),
    ),
    Row(
        name="modify-full",
        question=f"{_TASKS} tasks read a number and store the next one, FULL; per unit of work",
        targets=(Target(BLOCK, speed=8), Target(baselines.SYNC, speed=4)),
        operations=_operations,
        contenders=partial(_counters, "full"),
    ),
)
