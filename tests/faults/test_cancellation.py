"""A promise about cancellation: at whatever await it comes, nothing is torn, locked or lost.

A scenario is run many times, and each time it is cancelled somewhere else: at its n-th await, in one
of several ways, once or twice, with or without another connection holding the lock. Afterwards the
file and the database must be as if nothing had gone wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

import reelbase
from reelbase import Database, UnitOfWork
from reelbase.engine.threads.transaction import Transaction

from .conftest import Figure

TIMEOUT_SECONDS = 5.0
QUICK_POINTS = 150
FULL_POINTS = 6000

# at_once: the awaited future is cancelled.  soon: one turn of the loop later.  with_result: the
# result has come, but the task has not seen it yet.  later: while the thread is at work, perhaps.
Manner = Literal["at_once", "soon", "with_result", "later"]
MANNERS: tuple[Manner, ...] = ("at_once", "soon", "with_result", "later")


class CancelAt:
    """Awaits a coroutine and cancels the task around it when it comes to certain awaits (from 1)."""

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        awaits: frozenset[int] = frozenset(),
        manner: Manner = "at_once",
    ) -> None:
        self._coroutine = coroutine
        self._awaits = awaits
        self._manner = manner
        self.count = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        step = partial(self._coroutine.send, None)
        while True:
            try:
                awaited = step()
            except StopIteration as end:
                return end.value
            self.count += 1
            if self.count in self._awaits:
                self._cancel(awaited)
            try:
                yield awaited
                step = partial(self._coroutine.send, None)
            except BaseException as error:
                step = partial(self._coroutine.throw, error)

    def _cancel(self, awaited: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        if self._manner == "soon":
            loop.call_soon(task.cancel)
        elif self._manner == "later":
            loop.call_later(0.0002 * (1 + self.count % 4), task.cancel)
        elif self._manner == "with_result" and isinstance(awaited, asyncio.Future):
            awaited.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()


# Scenarios. Each writes rows under a tag, and says what may be found of them afterwards.


@dataclass
class Run:
    """One run of a scenario."""

    database: Database
    path: Path
    journal: str
    tag: int
    units: list[UnitOfWork] = field(default_factory=list)
    opened: list[Database] = field(default_factory=list)


ADD = "INSERT INTO pairs (tag, half) VALUES (?, ?)"


async def autocommit(run: Run) -> None:
    await run.database.execute_many(ADD, [(run.tag, half) for half in "ab"])


async def unit(run: Run) -> None:
    async with run.database.transaction() as unit:
        run.units.append(unit)
        await unit.execute(ADD, (run.tag, "a"))
        await unit.fetch_all(int, "SELECT tag FROM pairs WHERE tag = ?", (run.tag,))
        await unit.execute(ADD, (run.tag, "b"))


async def unit_as_a_function(run: Run) -> None:
    async def both(unit: reelbase.UnitOfWork) -> None:
        await unit.execute(ADD, (run.tag, "a"))
        async with unit.savepoint():
            await unit.fetch_all(int, "SELECT tag FROM pairs WHERE tag = ?", (run.tag,))
        await unit.execute(ADD, (run.tag, "b"))

    await run.database.atomically(both)


async def snapshot_as_a_function(run: Run) -> None:
    async def twice(view: reelbase.Snapshot) -> None:
        counts = [await view.fetch_one(int, "SELECT count(*) FROM numbers") for _ in range(2)]
        assert counts[0] == counts[1]

    await run.database.reading(twice)


async def unit_with_savepoints(run: Run) -> None:
    async with run.database.transaction() as unit:
        run.units.append(unit)
        await unit.execute(ADD, (run.tag, "a"))
        with contextlib.suppress(ZeroDivisionError):
            async with unit.savepoint():
                await unit.execute(ADD, (run.tag, "undone"))
                raise ZeroDivisionError
        async with unit.savepoint():
            await unit.execute(ADD, (run.tag, "b"))


async def unit_with_stubborn_savepoint(run: Run) -> None:
    """A savepoint whose cancel is swallowed: the unit goes on and commits without it."""
    async with run.database.transaction() as unit:
        run.units.append(unit)
        await unit.execute(ADD, (run.tag, "a"))
        with contextlib.suppress(asyncio.CancelledError):
            async with unit.savepoint():
                await unit.execute(ADD, (run.tag, "optional"))
                await unit.execute(ADD, (run.tag, "optional too"))
        await unit.execute(ADD, (run.tag, "b"))


async def unit_rolled_back(run: Run) -> None:
    async with run.database.transaction() as unit:
        run.units.append(unit)
        await unit.execute(ADD, (run.tag, "a"))
        await unit.rollback()


async def waiting_unit(run: Run) -> None:
    """Waits behind another unit of the same process."""

    async def hold() -> None:
        async with run.database.transaction() as first:
            is_held.set()
            await first.execute("UPDATE pairs SET half = half WHERE tag = -1")
            await asyncio.sleep(0.001)

    is_held = asyncio.Event()
    holder = asyncio.create_task(hold())
    try:
        await is_held.wait()
        await unit(run)
    finally:
        while not holder.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait((holder,))
        holder.result()


async def snapshot(run: Run) -> None:
    async with run.database.snapshot() as view:
        before = await view.fetch_one(int, "SELECT count(*) FROM pairs")
        assert await view.fetch_one(int, "SELECT count(*) FROM pairs") == before


async def stream(run: Run) -> None:
    async with run.database.stream(int, "SELECT value FROM numbers", batch=7) as rows:
        async for number in rows:
            if number > 40:
                break


async def stream_in_unit(run: Run) -> None:
    async with run.database.transaction() as unit:
        run.units.append(unit)
        await unit.execute(ADD, (run.tag, "a"))
        async for number in unit.stream(int, "SELECT value FROM numbers", batch=20):
            if number > 50:
                break
        await unit.execute(ADD, (run.tag, "b"))


async def connecting(run: Run) -> None:
    async with connect(run.path, run.journal) as database:
        await database.execute_many(ADD, [(run.tag, half) for half in "ab"])


async def closing_with_work(run: Run) -> None:
    """close() while a write, a unit and a stream are at it."""
    database = await connect(run.path, run.journal)
    run.opened.append(database)
    rows = database.stream(int, "SELECT value FROM numbers", batch=7)
    await anext(rows)
    context = database.transaction()
    unit = await context.__aenter__()
    await unit.execute(ADD, (run.tag, "torn"))
    queued = asyncio.ensure_future(database.execute_many(ADD, [(run.tag, half) for half in "ab"]))
    try:
        await asyncio.sleep(0)
        await database.close()
    finally:
        queued.cancel()
        await asyncio.wait((queued,))


async def a_bit_of_everything(run: Run) -> None:
    await snapshot(run)
    await unit_with_savepoints(run)
    await stream(run)


SCENARIOS: tuple[Callable[[Run], Coroutine[Any, Any, None]], ...] = (
    autocommit,
    unit,
    unit_as_a_function,
    snapshot_as_a_function,
    unit_with_savepoints,
    unit_with_stubborn_savepoint,
    unit_rolled_back,
    waiting_unit,
    snapshot,
    stream,
    stream_in_unit,
    connecting,
    closing_with_work,
    a_bit_of_everything,
)


# The harness.


def connect(path: Path, journal: str, busy_timeout: float = TIMEOUT_SECONDS - 1) -> Any:
    settings: dict[str, Any] = {"journal": journal, "busy_timeout": busy_timeout}
    return reelbase.connect(path, **settings)


@asynccontextmanager
async def prepared(
    path: Path, journal: str, busy_timeout: float = TIMEOUT_SECONDS - 1
) -> AsyncIterator[Database]:
    async with connect(path, journal, busy_timeout) as database:
        await database.execute("CREATE TABLE pairs (tag INTEGER, half TEXT)")
        await database.execute("CREATE TABLE numbers (value INTEGER PRIMARY KEY)")
        await database.execute_many("INSERT INTO numbers VALUES (?)", [(n,) for n in range(100)])
        yield database


@dataclass(frozen=True)
class Point:
    """Where and how to cancel."""

    awaits: frozenset[int]
    manner: Manner
    is_locked: bool


@contextmanager
def foreign_lock(path: Path) -> Iterator[None]:
    """Another connection that writes, until 15 ms from now."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=2)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        release = asyncio.get_running_loop().call_later(0.015, foreign.rollback)
        try:
            yield
        finally:
            release.cancel()


async def within(awaitable: Awaitable[Any], what: str) -> None:
    """Waits for it without cancelling it; an AssertionError says what hangs."""
    task = asyncio.ensure_future(awaitable)
    await asyncio.wait((task,), timeout=TIMEOUT_SECONDS)
    if not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=0.1)
        raise AssertionError(f"hangs: {what}")
    if not task.cancelled():
        task.result()


async def run_at(
    run: Run, scenario: Callable[[Run], Coroutine[Any, Any, None]], point: Point
) -> int:
    """Runs the scenario with these cancellations and checks what it leaves. How many awaits it had."""
    driven = CancelAt(scenario(run), point.awaits, point.manner)

    async def drive() -> None:
        await driven

    with foreign_lock(run.path) if point.is_locked else contextlib.nullcontext():
        await within(drive(), f"{scenario.__name__} at {point}")
        for database in run.opened:
            await within(database.close(), f"close after {scenario.__name__} at {point}")
        await asyncio.to_thread(check_lock, run.path)
    check_rows(run)
    await within(run.database.execute("UPDATE pairs SET half = half WHERE tag = -1"), "a write")
    await within(run.database.fetch_one(int, "SELECT count(*) FROM numbers"), "a read")
    return driven.count


def check_lock(path: Path) -> None:
    """Nobody keeps a transaction, neither a writing nor a reading one."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=TIMEOUT_SECONDS / 2)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE numbers SET value = value WHERE value = 0")
        other.execute("COMMIT")  # with a rollback journal a reader would be in its way
        if other.execute("PRAGMA journal_mode").fetchone() == ("wal",):
            (is_busy, *_) = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert not is_busy, "a reader pins the write-ahead log"


def check_rows(run: Run) -> None:
    with closing(sqlite3.connect(run.path)) as other:
        halves = "".join(
            half
            for (half,) in other.execute(
                "SELECT half FROM pairs WHERE tag = ? ORDER BY rowid", (run.tag,)
            )
        )
    assert halves in {"", "ab", "aoptionaloptional toob"}, f"torn: {halves}"
    for unit in run.units:
        expected = "committed" if halves else "rolled_back"
        assert unit.state == expected, f"state {unit.state}, stored {halves!r}"


async def sweep(path: Path, journal: str, points: int, seed: int) -> int:
    """Cancels scenarios at that many points, spread over all awaits and manners. Returns the number."""
    choose = random.Random(seed)
    done = 0
    tags = itertools.count(1)
    async with prepared(path, journal) as database:

        def new_run() -> Run:
            return Run(database, path, journal, next(tags))

        lengths = {
            scenario: await run_at(new_run(), scenario, Point(frozenset(), "at_once", False))
            for scenario in SCENARIOS
        }
        every = [
            (scenario, Point(frozenset(awaits), manner, is_locked))
            for scenario in SCENARIOS
            for n in range(1, lengths[scenario] + 1)
            for awaits in ((n,), (n, n + 1), (n, n + 2))
            for manner in MANNERS
            for is_locked in (False, True)
        ]
        choose.shuffle(every)
        # First each await of each scenario, alone, in every manner; then the rest.
        every.sort(key=lambda item: len(item[1].awaits) > 1 or item[1].is_locked)
        for scenario, point in itertools.islice(itertools.cycle(every), points):
            await run_at(new_run(), scenario, point)
            done += 1
    return done


# The tests.


@pytest.mark.long
async def test_cancelled_at_any_await_nothing_is_torn_locked_or_lost(
    path: Path, mode: str, full: bool, figure: Figure
) -> None:
    points = FULL_POINTS if full else QUICK_POINTS
    assert await sweep(path, mode, points, seed=1) == points
    figure(f"cancellation, {mode}: {points} points, 0 torn, locked, hanging or of a false state")


async def test_cancelled_in_memory() -> None:
    async with reelbase.connect(":memory:") as database:
        await database.execute("CREATE TABLE pairs (tag INTEGER, half TEXT)")
        await database.execute("CREATE TABLE numbers (value INTEGER PRIMARY KEY)")
        await database.execute_many("INSERT INTO numbers VALUES (?)", [(n,) for n in range(100)])
        scenarios = (autocommit, unit, unit_with_savepoints, snapshot, stream, stream_in_unit)
        for tag, (scenario, n, manner) in enumerate(
            itertools.product(scenarios, range(1, 12), MANNERS)
        ):
            run = Run(database, Path(), "memory", tag)
            await within(
                asyncio.ensure_future(
                    as_coroutine(CancelAt(scenario(run), frozenset({n}), manner))
                ),
                scenario.__name__,
            )
            halves = await asyncio.wait_for(
                database.fetch_all(str, "SELECT half FROM pairs WHERE tag = ?", (tag,)), 5
            )
            assert halves in ([], ["a", "b"])
            for cancelled in run.units:
                assert cancelled.state == ("committed" if halves else "rolled_back")


async def as_coroutine(awaitable: Awaitable[Any]) -> None:
    await awaitable


@pytest.mark.long
async def test_many_tasks_cancelled_at_once_leave_the_database_clean(
    path: Path, journal: str
) -> None:
    choose = random.Random(4)
    async with prepared(path, journal) as database:
        for round_number in range(10):
            runs = [Run(database, path, journal, round_number * 100 + n) for n in range(40)]
            scenarios = (autocommit, unit, unit_with_savepoints, snapshot, stream)
            tasks = [asyncio.ensure_future(choose.choice(scenarios)(run)) for run in runs]
            await asyncio.sleep(choose.choice([0, 0, 0.001, 0.003]))
            for task in choose.sample(tasks, 30):
                task.cancel()
            await within(asyncio.wait(tasks), "the tasks")
            for task in tasks:
                if not task.cancelled():
                    task.result()
            await asyncio.to_thread(check_lock, path)
            for run in runs:
                check_rows(run)


async def test_a_cancelled_begin_that_gets_its_lock_later_lets_it_go(
    path: Path, journal: str
) -> None:
    async with prepared(path, journal) as database:
        with closing(sqlite3.connect(path, isolation_level=None)) as foreign:
            foreign.execute("BEGIN IMMEDIATE")
            entering = asyncio.create_task(database.transaction().__aenter__())
            await asyncio.sleep(0.05)
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(entering, 1)
            foreign.execute("ROLLBACK")
        await asyncio.sleep(0.2)  # SQLite looks for the lock only now and then
        await asyncio.to_thread(check_lock, path)
        assert await asyncio.wait_for(database.execute(ADD, (1, "next")), 1) == 1


async def test_a_waiter_that_is_cancelled_gives_up_its_turn_only(path: Path, journal: str) -> None:
    async def in_unit(text: str) -> None:
        async with database.transaction() as unit:
            await unit.execute(ADD, (1, text))

    async with prepared(path, journal) as database:
        async with database.transaction():
            waiting = [asyncio.create_task(in_unit(text)) for text in "abc"]
            await asyncio.sleep(0.01)
            waiting[1].cancel()
            await asyncio.wait((waiting[1],))
        await asyncio.gather(waiting[0], waiting[2])
        assert await database.fetch_all(str, "SELECT half FROM pairs ORDER BY rowid") == ["a", "c"]


async def test_a_cancelled_read_does_not_hold_up_the_next_one(path: Path, journal: str) -> None:
    async with prepared(path, journal) as database:
        for _ in range(20):
            task = asyncio.create_task(database.fetch_all(int, "SELECT value FROM numbers"))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait((task,))
        started = time.monotonic()
        assert len(await database.fetch_all(int, "SELECT value FROM numbers")) == 100
        assert time.monotonic() - started < 1


# The harness itself must be able to fail.


async def begin_without_guard(self: Transaction) -> None:
    await self._writer.enqueue_transaction(self)


async def roll_back_without_effect(self: Transaction) -> None:
    self._ended = True
    self.state = "rolled_back"


async def commit_without_guard(self: Transaction) -> None:
    await asyncio.sleep(0)
    self._ended = True
    self.state = "committed"
    await self._call_at_last(self._commit)


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "broken"),
    [
        ("begin", begin_without_guard),
        ("roll_back", roll_back_without_effect),
        ("commit", commit_without_guard),
    ],
)
async def test_the_sweep_finds_a_transaction_without_its_guard(
    path: Path, journal: str, monkeypatch: pytest.MonkeyPatch, method: str, broken: Any
) -> None:
    monkeypatch.setattr(f"{__name__}.TIMEOUT_SECONDS", 0.6)
    found: list[BaseException] = []

    async def search() -> None:
        async with prepared(path, journal, busy_timeout=0.3) as database:
            for tag, (n, manner) in enumerate(itertools.product(range(1, 9), MANNERS)):
                point = Point(frozenset({n}), manner, is_locked=False)
                await run_at(Run(database, path, journal, tag), unit, point)

    with monkeypatch.context() as patch:
        patch.setattr(Transaction, method, broken)
        try:
            await asyncio.wait_for(search(), 30)
        except (AssertionError, reelbase.DatabaseError, sqlite3.Error, TimeoutError) as error:
            found.append(error)
    assert found, "the sweep took a broken transaction for a sound one"
