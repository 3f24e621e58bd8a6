"""Promises about reading: shared hops, one moment, bounded memory, and a loop that never stalls."""

from __future__ import annotations

import asyncio
import enum
import gc
import sqlite3
import time
import tracemalloc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

import reelbase
from reelbase import (
    Command,
    ConstraintError,
    Database,
    DatabaseClosedError,
    DatabaseError,
    DatabaseReadOnlyError,
    Query,
    RecordNotFoundError,
    Repository,
)

Look = Callable[[str], list[tuple[object, ...]]]

NUMBERS = "SELECT value FROM numbers ORDER BY value"
COUNT = "SELECT count(*) FROM numbers"
ADD = "INSERT INTO numbers VALUES (?)"
ROWS = 3000
STALL_SECONDS = 0.05
# About a quarter of a second of computing.
SLOW = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500000)
    SELECT count(*) FROM n
"""


@pytest.fixture
async def numbers(database: Database) -> Database:
    """With a table of 0 … 2999."""
    await fill(database)
    return database


async def fill(database: Database) -> None:
    await database.execute("CREATE TABLE numbers (value INTEGER PRIMARY KEY)")
    await database.execute_many(ADD, [(n,) for n in range(ROWS)])


def is_unpinned(path: Path) -> bool:
    """Whether no reader keeps the write-ahead log, or a lock, for itself."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=1)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
            other.execute("UPDATE numbers SET value = value WHERE value = 1")
            other.execute("COMMIT")
        except sqlite3.OperationalError:
            return False
        if other.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            return True
        (is_busy, *_) = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not is_busy


async def unpinned(path: Path) -> bool:
    await asyncio.sleep(0.02)  # a stream frees its reader without waiting for it
    return await asyncio.to_thread(is_unpinned, path)


async def longest_stall_seconds(work: Callable[[], Awaitable[object]]) -> float:
    """How long at most the loop took for one turn while work() ran.

    The best of three: a busy machine can stop any program, but not three times out of three.
    """

    async def tick() -> None:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0.001)
            gaps_seconds.append(time.perf_counter() - started)

    stalls_seconds = []
    for _ in range(3):
        gaps_seconds: list[float] = []
        gc.collect()
        task = asyncio.create_task(tick())
        await asyncio.sleep(0.01)
        await work()
        task.cancel()
        assert len(gaps_seconds) > 10
        stalls_seconds.append(max(gaps_seconds))
        if stalls_seconds[-1] < STALL_SECONDS:
            break
    return min(stalls_seconds)


# Many at once.


async def test_many_reads_at_once_share_few_hops(
    numbers: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reelbase.engine.threads.connection import Connection

    hops = 0
    wake = Connection.wake

    def counting(self: Connection, work: Callable[[], None]) -> None:
        nonlocal hops
        hops += 1
        wake(self, work)

    monkeypatch.setattr(Connection, "wake", counting)
    sql = "SELECT value FROM numbers WHERE value = ?"
    found = await asyncio.gather(*(numbers.fetch_one(int, sql, (n,)) for n in range(500)))
    assert found == list(range(500))
    assert hops <= 50


@pytest.mark.long
async def test_results_are_right_under_concurrency(numbers: Database) -> None:
    async def read(task: int) -> None:
        for n in range(30):
            value = (task * 31 + n * 7) % ROWS
            match n % 3:
                case 0:
                    sql = "SELECT value FROM numbers WHERE value = ?"
                    assert await numbers.fetch_one(int, sql, (value,)) == value
                case 1:
                    sql = "SELECT value FROM numbers WHERE value >= ? ORDER BY value LIMIT 5"
                    expected = list(range(value, min(value + 5, ROWS)))
                    assert await numbers.fetch_all(int, sql, (value,)) == expected
                case _:
                    sql = "SELECT value FROM numbers WHERE value = -?"
                    assert await numbers.fetch_optional(int, sql, (value + 1,)) is None

    async def write() -> None:
        for n in range(50):
            await numbers.execute(ADD, (ROWS + n,))
            assert await numbers.fetch_one(int, COUNT) == ROWS + n + 1

    await asyncio.gather(write(), *(read(task) for task in range(40)))


@pytest.mark.long
async def test_a_write_that_is_done_is_seen_by_the_next_read(numbers: Database) -> None:
    for n in range(200):
        await numbers.execute(ADD, (ROWS + n,))
        assert await numbers.fetch_one(int, "SELECT max(value) FROM numbers") == ROWS + n


async def test_a_failing_read_affects_no_other(numbers: Database) -> None:
    results = await asyncio.gather(
        *(
            numbers.fetch_one(int, "SELECT value FROM numbers WHERE value = ?", (value,))
            for value in (1, -1, 2, -2, 3)
        ),
        numbers.fetch_all(int, "SELECT nothing FROM nowhere"),
        numbers.fetch_one(int, "SELECT 'text'"),
        numbers.fetch_one(int, "SELECT 4"),
        return_exceptions=True,
    )
    assert [result for result in results if isinstance(result, int)] == [1, 2, 3, 4]
    assert [type(result) for result in results if not isinstance(result, int)] == [
        RecordNotFoundError,
        RecordNotFoundError,
        DatabaseError,
        DatabaseError,
    ]


@pytest.mark.long
@pytest.mark.parametrize("fetch", ["fetch_all", "fetch_one"])
async def test_a_quick_read_is_not_delayed_by_a_long_one(
    numbers: Database, journal: str, fetch: str
) -> None:
    if journal == "delete":
        pytest.skip("a rollback journal has one reader")
    long = asyncio.ensure_future(getattr(numbers, fetch)(int, SLOW))
    await asyncio.sleep(0.02)
    for n in range(20):
        await numbers.fetch_one(int, "SELECT value FROM numbers WHERE value = ?", (n,))
    assert not long.done()
    await long


@pytest.mark.long
async def test_steps_of_a_batch_see_one_moment(numbers: Database) -> None:
    class Twice(Repository):
        _count = Query(int, COUNT)

        async def count(self) -> tuple[int, int, int]:
            return await self._batch(self._count.one(), self._count.one(), self._count.one())

    async def write() -> None:
        for n in range(300):
            await numbers.execute(ADD, (ROWS + n,))

    async def read() -> None:
        while not writing.done():
            assert len(set(await numbers.repository(Twice).count())) == 1

    writing = asyncio.create_task(write())
    await asyncio.gather(writing, *(read() for _ in range(4)))


# Snapshots.


async def test_a_snapshot_sees_one_moment_while_writers_go_on(
    numbers: Database, journal: str
) -> None:
    writing: asyncio.Task[int] | None = None
    async with numbers.snapshot() as view:
        if journal == "wal":
            await asyncio.gather(*(numbers.execute(ADD, (ROWS + n,)) for n in range(20)))
            assert await numbers.fetch_one(int, COUNT) == ROWS + 20
        else:
            writing = asyncio.create_task(numbers.execute(ADD, (ROWS,)))
            await asyncio.sleep(0.05)
            assert not writing.done()
        for _ in range(3):
            assert await view.fetch_one(int, COUNT) == ROWS
        assert len(await view.fetch_all(int, NUMBERS)) == ROWS
    if writing is not None:
        assert await writing == 1


async def test_the_moment_of_a_snapshot_is_its_entry(numbers: Database, journal: str) -> None:
    if journal == "delete":
        pytest.skip("writers wait for a snapshot")
    async with numbers.snapshot() as view:
        await numbers.execute(ADD, (ROWS,))
        assert await view.fetch_one(int, COUNT) == ROWS


async def test_a_snapshot_does_not_see_an_open_unit(numbers: Database) -> None:
    async with numbers.transaction() as unit:
        await unit.execute(ADD, (ROWS,))
        async with numbers.snapshot() as view:
            assert await view.fetch_one(int, COUNT) == ROWS


async def test_a_snapshot_refuses_writes(numbers: Database, look: Look) -> None:
    async with numbers.snapshot() as view:
        calls: list[Callable[[], Any]] = [
            lambda: view.execute(ADD, (-1,)),  # type: ignore[attr-defined]
            lambda: view.execute_many(ADD, [(-1,)]),  # type: ignore[attr-defined]
            lambda: view.fetch_all(int, f"{ADD} RETURNING value", (-1,)),
            lambda: view.fetch_all(
                int, "WITH a (x) AS (SELECT -1) INSERT INTO numbers SELECT x FROM a RETURNING value"
            ),
            lambda: view.profiles.ensure("p"),  # type: ignore[attr-defined]
            lambda: view.execute("CREATE TABLE other (x)"),  # type: ignore[attr-defined]
        ]
        for call in calls:
            with pytest.raises(DatabaseReadOnlyError) as caught:
                await call()
            assert caught.value.http_status == 403
        assert await view.fetch_one(int, COUNT) == ROWS
    assert look("SELECT count(*) FROM numbers WHERE value < 0") == [(0,)]


async def test_a_snapshot_in_memory_refuses_writes_too() -> None:
    async with reelbase.connect(":memory:") as database:
        await fill(database)
        async with database.snapshot() as view:
            for sql in (
                "INSERT INTO numbers VALUES (-1) RETURNING value",
                # Nobody has asked for this one before, so that nobody knows yet that it writes.
                "WITH only_here (x) AS (SELECT -1) "
                "INSERT INTO numbers SELECT x FROM only_here RETURNING value",
            ):
                with pytest.raises(DatabaseReadOnlyError):
                    await view.fetch_all(int, sql)
            assert await view.fetch_one(int, COUNT) == ROWS
        assert await database.fetch_one(int, COUNT) == ROWS
        assert await database.execute("INSERT INTO numbers VALUES (-1)") == 1  # afterwards


async def test_a_snapshot_in_memory_that_is_left_with_an_open_stream_allows_writes_again() -> None:
    async with reelbase.connect(":memory:") as database:
        await fill(database)
        async with database.snapshot() as view:
            rows = view.stream(int, NUMBERS, batch=10)
            assert await anext(rows) == 0
        assert await database.execute("INSERT INTO numbers VALUES (-1)") == 1
        async with database.snapshot() as view:
            assert await view.fetch_one(int, COUNT) == ROWS + 1


async def test_a_snapshot_that_has_ended_is_refused(numbers: Database, path: Path) -> None:
    async with numbers.snapshot() as view:
        rows = view.stream(int, NUMBERS, batch=10)
        assert await anext(rows) == 0
    with pytest.raises(DatabaseClosedError):
        await view.fetch_one(int, COUNT)
    with pytest.raises(DatabaseClosedError):
        await view.profiles.count()
    with pytest.raises(DatabaseClosedError):
        await view.stream(int, NUMBERS).__anext__()
    with pytest.raises(DatabaseClosedError):
        await read_on(rows)
    assert await unpinned(path)


async def read_on(rows: Any) -> None:
    """Reads until it is refused; what was fetched before may still come."""
    async with asyncio.timeout(5):
        while True:
            await anext(rows)


@pytest.mark.parametrize("error", [ZeroDivisionError(), asyncio.CancelledError(), GeneratorExit()])
async def test_a_snapshot_frees_its_reader_however_it_ends(
    numbers: Database, path: Path, error: BaseException
) -> None:
    async def work() -> None:
        async with numbers.snapshot() as view:
            await view.fetch_one(int, COUNT)
            raise error

    for _ in range(5):
        with pytest.raises(type(error)):
            await work()
    assert await unpinned(path)


@pytest.mark.long
async def test_many_snapshots_at_once(numbers: Database) -> None:
    async def work() -> None:
        async with numbers.snapshot() as view:
            assert await view.fetch_one(int, COUNT) == ROWS
            await asyncio.sleep(0.01)
            assert await view.fetch_one(int, COUNT) == ROWS

    await asyncio.gather(*(work() for _ in range(20)))


# Streams.


@pytest.mark.long
async def test_a_stream_gives_every_row_in_order(numbers: Database, path: Path) -> None:
    for batch in (1, 7, 500, ROWS, ROWS + 1):
        rows = [value async for value in numbers.stream(int, NUMBERS, batch=batch)]
        assert rows == list(range(ROWS))
        async with numbers.stream(int, NUMBERS, batch=batch) as stream:
            assert [value async for value in stream] == rows
    assert await unpinned(path)


async def test_a_stream_of_nothing(numbers: Database) -> None:
    async with numbers.stream(int, "SELECT value FROM numbers WHERE value < 0") as rows:
        assert [value async for value in rows] == []


async def test_a_stream_takes_parameters_and_row_types(numbers: Database) -> None:
    sql = "SELECT value, value * 2 AS twice FROM numbers WHERE value < :end ORDER BY value"
    rows = numbers.stream(dict, sql, {"end": 2}, batch=1)
    assert [row async for row in rows] == [{"value": 0, "twice": 0}, {"value": 1, "twice": 2}]


@pytest.mark.parametrize("batch", [0, -1])
async def test_a_stream_without_a_batch_is_refused(numbers: Database, batch: int) -> None:
    with pytest.raises(ValueError, match="batch"):
        numbers.stream(int, NUMBERS, batch=batch)


@pytest.mark.long
async def test_the_memory_of_a_stream_is_bounded(numbers: Database) -> None:
    sql = """
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
        SELECT printf('%.1000c', 'x') FROM n
    """
    tracemalloc.start()
    try:
        count = 0
        async with numbers.stream(str, sql, batch=100) as rows:
            async for _ in rows:
                count += 1
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 50000
    assert peak_bytes < 5_000_000


async def test_a_stream_sees_one_moment(numbers: Database, journal: str) -> None:
    if journal == "delete":
        pytest.skip("writers wait for a stream")
    async with numbers.stream(int, NUMBERS, batch=100) as rows:
        seen = [await anext(rows)]
        await numbers.execute(ADD, (ROWS,))
        await numbers.execute("DELETE FROM numbers WHERE value = 2000")
        seen += [value async for value in rows]
    assert seen == list(range(ROWS))


async def test_writers_wait_for_a_stream_on_a_rollback_journal_and_then_go_on(
    numbers: Database, journal: str
) -> None:
    if journal == "wal":
        pytest.skip("in WAL mode nobody waits")
    async with numbers.stream(int, NUMBERS, batch=10) as rows:
        await anext(rows)
        writing = asyncio.create_task(numbers.execute(ADD, (ROWS,)))
        await asyncio.sleep(0.05)
        assert not writing.done()
    assert await asyncio.wait_for(writing, 2) == 1


async def test_a_stream_left_early_frees_its_reader(numbers: Database, path: Path) -> None:
    streams = []  # kept, so that it is leaving that frees them
    for _ in range(10):
        async with numbers.stream(int, NUMBERS, batch=10) as rows:
            streams.append(rows)
            async for value in rows:
                if value == 15:
                    break
        await asyncio.sleep(0)
    assert await unpinned(path)
    with pytest.raises(DatabaseClosedError):
        await anext(streams[0])


@pytest.mark.long
async def test_a_stream_right_after_one_left_early_works_and_frees_its_reader_too(
    numbers: Database, path: Path
) -> None:
    """The same reader, before its thread has put away what the first one left."""
    streams = []
    for turns in range(12):
        for _ in range(3):
            async with numbers.stream(int, NUMBERS, batch=10) as rows:
                streams.append(rows)
                assert [await anext(rows) for _ in range(15)] == list(range(15))
            for _ in range(turns % 4):
                await asyncio.sleep(0)
        assert await unpinned(path)


async def test_an_exception_in_the_body_frees_the_reader(numbers: Database, path: Path) -> None:
    async def work() -> None:
        async with numbers.stream(int, NUMBERS, batch=10) as rows:
            streams.append(rows)
            async for _ in rows:
                raise ZeroDivisionError

    streams: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        await work()
    assert await unpinned(path)


@pytest.mark.long
async def test_a_forgotten_stream_frees_its_reader(numbers: Database, path: Path) -> None:
    async def forget() -> None:
        async for value in numbers.stream(int, NUMBERS, batch=10):
            if value == 15:
                break

    for _ in range(5):
        await forget()
    gc.collect()
    assert await unpinned(path)
    rows = numbers.stream(int, NUMBERS, batch=10)
    await anext(rows)
    assert not await unpinned(path)
    del rows
    gc.collect()
    assert await unpinned(path)


async def test_a_stream_forgotten_in_a_circle_frees_its_reader(
    numbers: Database, path: Path
) -> None:
    class Holder:
        rows: Any
        me: Any

    holder = Holder()
    holder.me = holder
    holder.rows = numbers.stream(int, NUMBERS, batch=10)
    await anext(holder.rows)
    del holder
    gc.collect()
    assert await unpinned(path)


@pytest.mark.long
async def test_a_stream_cancelled_anywhere_frees_its_reader(numbers: Database, path: Path) -> None:
    async def work() -> None:
        async with numbers.stream(int, NUMBERS, batch=500) as rows:
            streams.append(rows)
            async for _ in rows:
                pass

    streams: list[Any] = []
    for turns in range(60):
        task = asyncio.create_task(work())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,))
    assert await unpinned(path)
    assert len([value async for value in numbers.stream(int, NUMBERS)]) == ROWS


@pytest.mark.long
async def test_a_slow_stream_that_is_cancelled_is_interrupted(
    numbers: Database, path: Path
) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    )
    rows = numbers.stream(int, endless)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(rows.__anext__(), 0.05)
    assert await unpinned(path)
    assert await numbers.fetch_one(int, COUNT) == ROWS


async def test_a_stream_with_wrong_sql_frees_its_reader(numbers: Database, path: Path) -> None:
    rows = numbers.stream(int, "SELECT nothing FROM nowhere")
    with pytest.raises(DatabaseError) as caught:
        await anext(rows)
    assert caught.value.code == "statement"
    mismatched = numbers.stream(int, "SELECT 'text' FROM numbers", batch=10)
    with pytest.raises(DatabaseError) as caught:
        await anext(mismatched)
    assert caught.value.code == "row_mismatch"
    assert await unpinned(path)


async def test_a_stream_that_writes_is_refused(numbers: Database) -> None:
    with pytest.raises(DatabaseReadOnlyError):
        await numbers.stream(int, f"{ADD} RETURNING value", (-1,)).__anext__()


async def test_a_stream_inside_a_unit_sees_its_changes(numbers: Database) -> None:
    async with numbers.transaction() as unit:
        await unit.execute(ADD, (ROWS,))
        async with unit.stream(int, NUMBERS, batch=100) as rows:
            assert [value async for value in rows] == list(range(ROWS + 1))
        async for value in unit.stream(int, NUMBERS, batch=100):
            if value == 150:
                break
        await unit.execute(ADD, (ROWS + 1,))
    assert await numbers.fetch_one(int, COUNT) == ROWS + 2
    async with numbers.transaction() as unit:
        await unit.execute(ADD, (ROWS + 2,))


async def test_a_stream_left_early_in_a_unit_is_in_nobodys_way(numbers: Database) -> None:
    async with numbers.transaction() as unit:
        async with unit.stream(int, NUMBERS, batch=10) as rows:
            await anext(rows)
        await unit.execute("DROP TABLE numbers")
    assert (
        await numbers.fetch_all(str, "SELECT name FROM sqlite_schema WHERE name = 'numbers'") == []
    )


async def test_a_stream_of_a_unit_that_has_ended_is_refused(numbers: Database) -> None:
    for end in ("commit", "rollback"):
        async with numbers.transaction() as unit:
            rows = unit.stream(int, NUMBERS, batch=10)
            await anext(rows)
            if end == "rollback":
                await unit.rollback()
        with pytest.raises(DatabaseClosedError):
            await read_on(rows)


async def test_a_stream_inside_a_snapshot(numbers: Database, path: Path) -> None:
    async with numbers.snapshot() as view:
        assert [value async for value in view.stream(int, NUMBERS)] == list(range(ROWS))
        async with view.stream(int, NUMBERS, batch=10) as rows:
            await anext(rows)
        assert await view.fetch_one(int, COUNT) == ROWS
    assert await unpinned(path)


async def test_a_stream_in_memory() -> None:
    async with reelbase.connect(":memory:") as database:
        await fill(database)
        async with database.stream(int, NUMBERS, batch=10) as rows:
            assert await anext(rows) == 0
            await database.execute("DELETE FROM numbers")
            assert [value async for value in rows] == list(range(1, ROWS))
        async with database.transaction() as unit:
            await unit.execute(ADD, (7,))
            assert [value async for value in unit.stream(int, NUMBERS)] == [7]


@pytest.mark.long
async def test_several_streams_at_once(numbers: Database) -> None:
    async def read() -> None:
        assert [value async for value in numbers.stream(int, NUMBERS, batch=100)] == list(
            range(ROWS)
        )

    await asyncio.gather(*(read() for _ in range(8)))


# The loop.


@pytest.mark.long
async def test_the_loop_never_stalls_beside_slow_statements(numbers: Database) -> None:
    async def work() -> None:
        rows = [(ROWS + n,) for n in range(10000)]
        await asyncio.gather(
            numbers.fetch_one(int, SLOW),
            numbers.execute("CREATE TABLE slow AS " + SLOW),
            numbers.execute_many(ADD, rows),
        )
        async with numbers.transaction() as unit:
            await unit.fetch_one(int, SLOW)
            await unit.execute("DROP TABLE slow")
            await unit.execute("DELETE FROM numbers WHERE value >= ?", (ROWS,))
        async with numbers.snapshot() as view:
            await view.fetch_one(int, SLOW)

    assert await longest_stall_seconds(work) < STALL_SECONDS


@pytest.mark.long
async def test_the_loop_never_stalls_beside_large_results(numbers: Database) -> None:
    class Row(msgspec.Struct, frozen=True):
        value: int
        text: str
        day: datetime

    sql = """
        SELECT value, printf('%.50c', 'x') AS text, '2026-01-31T12:00:00.000Z' AS day
        FROM numbers CROSS JOIN (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3)
    """

    async def work() -> None:
        for _ in range(5):
            assert len(await numbers.fetch_all(Row, sql)) == ROWS * 3

    assert await longest_stall_seconds(work) < STALL_SECONDS


async def test_the_loop_never_stalls_while_connecting(path: Path, journal: str) -> None:
    settings: dict[str, Any] = {"journal": journal}

    async def work() -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            connecting = asyncio.ensure_future(opened(path, settings))
            await asyncio.sleep(0.1)
            other.execute("ROLLBACK")
            await (await connecting).close()

    assert await longest_stall_seconds(work) < STALL_SECONDS


async def opened(path: Path, settings: dict[str, Any]) -> Database:
    return await reelbase.connect(path, **settings)


# Raw verbs: row types.


class Colour(StrEnum):
    RED = "red"


class Inner(msgspec.Struct, frozen=True):
    a: int
    b: list[str] = []


class Plain(msgspec.Struct, frozen=True):
    id: int
    text: str | None


class Defaults(msgspec.Struct, frozen=True):
    id: int
    text: str = "default"
    tags: list[str] = msgspec.field(default_factory=list)


class Keywords(msgspec.Struct, frozen=True, kw_only=True):
    text: str = "default"
    id: int


class Rich(msgspec.Struct, frozen=True):
    id: UUID
    day: datetime
    colour: Colour
    is_on: bool
    ratio: float
    data: bytes
    inner: Inner
    maybe: Inner | None
    mapping: dict[str, int]


UID = UUID("01890000-0000-7000-8000-00000000000a")
RICH = """
    SELECT
      '01890000-0000-7000-8000-00000000000a' AS id,
      '2026-01-31T12:00:00.000Z' AS day,
      'red' AS colour,
      1 AS is_on,
      2 AS ratio,
      x'00ff' AS data,
      '{"a": 1, "b": ["x"]}' AS inner,
      NULL AS maybe,
      '{"k": 2}' AS mapping
"""


@pytest.mark.parametrize(
    ("row_type", "sql", "expected"),
    [
        (Plain, "SELECT 1 AS id, 'x' AS text", Plain(1, "x")),
        (Plain, "SELECT NULL AS text, 1 AS id", Plain(1, None)),
        (Plain, "SELECT 1 AS id, 'x' AS text, 'ignored' AS other", Plain(1, "x")),
        (Defaults, "SELECT 1 AS id", Defaults(1)),
        (Defaults, "SELECT 1 AS id, '[\"a\"]' AS tags", Defaults(1, "default", ["a"])),
        (Keywords, "SELECT 1 AS id", Keywords(id=1)),
        (Keywords, "SELECT 1 AS id, 'x' AS text", Keywords(id=1, text="x")),
        (
            Rich,
            RICH,
            Rich(
                UID,
                datetime(2026, 1, 31, 12, tzinfo=UTC),
                Colour.RED,
                True,
                2.0,
                b"\x00\xff",
                Inner(1, ["x"]),
                None,
                {"k": 2},
            ),
        ),
        (int, "SELECT 1, 'ignored'", 1),
        (str, "SELECT ''", ""),
        (float, "SELECT 1.5", 1.5),
        (float, "SELECT 1", 1.0),
        (bytes, "SELECT x'00'", b"\x00"),
        (bool, "SELECT 1", True),
        (UUID, f"SELECT '{UID}'", UID),
        (datetime, "SELECT '2026-01-31T12:00:00.000Z'", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        (Colour, "SELECT 'red'", Colour.RED),
        (int | None, "SELECT NULL", None),
        (int | None, "SELECT 1", 1),
        (str | None, "SELECT NULL", None),
        (tuple[int, str], "SELECT 1, 'x'", (1, "x")),
        (tuple[int, str | None], "SELECT 1, NULL", (1, None)),
        (tuple[int, ...], "SELECT 1, 2, 3", (1, 2, 3)),
        (tuple[int, dict[str, int]], "SELECT 1, '{\"a\": 2}'", (1, {"a": 2})),
        (tuple, "SELECT 1, 'x', NULL", (1, "x", None)),
        (dict, "SELECT 1 AS a, NULL AS b", {"a": 1, "b": None}),
        (dict[str, int], "SELECT 1 AS a, 2 AS b", {"a": 1, "b": 2}),
        (list[int], "SELECT '[1, 2]'", [1, 2]),
    ],
)
async def test_row_types(database: Database, row_type: Any, sql: str, expected: object) -> None:
    assert await database.fetch_one(row_type, sql) == expected
    assert await database.fetch_optional(row_type, sql) == expected
    assert await database.fetch_all(row_type, f"{sql} UNION ALL {sql}") == [expected, expected]
    assert await database.fetch_all(row_type, f"SELECT * FROM ({sql}) WHERE 0") == []
    assert await database.fetch_optional(row_type, f"SELECT * FROM ({sql}) WHERE 0") is None
    assert [row async for row in database.stream(row_type, sql)] == [expected]
    async with database.transaction() as unit:
        assert await unit.fetch_one(row_type, sql) == expected


@pytest.mark.parametrize(
    ("row_type", "sql"),
    [
        (Plain, "SELECT 1 AS id"),
        (Plain, "SELECT 'x' AS id, 'x' AS text"),
        (Plain, "SELECT NULL AS id, 'x' AS text"),
        (Rich, RICH.replace("'red'", "'green'")),
        (Rich, RICH.replace('"a": 1', '"a": "x"')),
        (Rich, RICH.replace("'{\"k\": 2}'", "'no json'")),
        (int, "SELECT 'text'"),
        (int, "SELECT NULL"),
        (int, "SELECT 1.5"),
        (str, "SELECT x'00'"),
        (str, "SELECT 1"),
        (UUID, "SELECT 'no id'"),
        (bool, "SELECT 2"),
        (tuple[int, str], "SELECT 1"),
        (tuple[int], "SELECT 1, 2"),
        (dict[str, int], "SELECT 'x' AS a"),
        (list[int], "SELECT '{}'"),
    ],
)
async def test_rows_that_do_not_fit_are_an_error(
    database: Database, row_type: Any, sql: str
) -> None:
    for call in (database.fetch_one, database.fetch_optional, database.fetch_all):
        with pytest.raises(DatabaseError) as caught:
            await call(row_type, sql)
        assert caught.value.code == "row_mismatch"


async def test_a_missing_row(database: Database) -> None:
    sql = "SELECT 1 WHERE 0"
    assert await database.fetch_all(int, sql) == []
    assert await database.fetch_optional(int, sql) is None
    with pytest.raises(RecordNotFoundError) as caught:
        await database.fetch_one(int, sql)
    assert caught.value.http_status == 404


async def test_columns_that_appear_later_are_seen(numbers: Database) -> None:
    sql = "SELECT * FROM numbers WHERE value = 1"
    assert await numbers.fetch_one(dict, sql) == {"value": 1}
    await numbers.execute("ALTER TABLE numbers ADD COLUMN text TEXT DEFAULT 'x'")
    assert await numbers.fetch_one(dict, sql) == {"value": 1, "text": "x"}


# Raw verbs: what they run.


# Python 3.12.0 to 3.12.3 take ?1 for a name (github.com/python/cpython/issues/117995).
@pytest.mark.filterwarnings("ignore:Binding:DeprecationWarning")
async def test_parameters_by_place_and_by_name(database: Database) -> None:
    assert await database.fetch_one(tuple, "SELECT ?, ?", (1, "x")) == (1, "x")
    assert await database.fetch_one(tuple, "SELECT ?2, ?1", [1, "x"]) == ("x", 1)
    assert await database.fetch_one(tuple, "SELECT :a, @b, $c", {"a": 1, "b": 2, "c": 3}) == (
        1,
        2,
        3,
    )
    stored = await database.fetch_one(
        tuple,
        "SELECT ?, ?, ?, ?, ?, ?",
        (UID, datetime(2026, 1, 31, 12, tzinfo=UTC), True, None, b"\x00", {"a": [1]}),
    )
    assert stored == (str(UID), "2026-01-31T12:00:00.000Z", 1, None, b"\x00", '{"a":[1]}')


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT ?", ()),
        ("SELECT ?", (1, 2)),
        ("SELECT ?, ?", (1,)),
        ("SELECT 1", (1,)),
        ("SELECT :a", {}),
        ("SELECT :a", {"b": 1}),
        ("SELECT :a, :b", {"a": 1}),
    ],
)
async def test_a_wrong_number_of_parameters(database: Database, sql: str, params: Any) -> None:
    with pytest.raises((DatabaseError, ValueError, TypeError)) as caught:
        await database.fetch_all(tuple, sql, params)
    assert not isinstance(caught.value, sqlite3.Error)
    with pytest.raises((DatabaseError, ValueError, TypeError)):
        await database.execute(sql, params)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        (2**63, ValueError),
        (-(2**63) - 1, ValueError),
        ("\ud800", ValueError),
        (datetime(2026, 1, 1), ValueError),
        ({"a": float("nan")}, ValueError),
        (object(), TypeError),
        (1j, TypeError),
    ],
)
async def test_values_that_cannot_be_stored_are_refused(
    numbers: Database, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await numbers.fetch_all(tuple, "SELECT ?", (value,))
    with pytest.raises(error):
        await numbers.fetch_all(tuple, "SELECT :v", {"v": value})
    with pytest.raises(error):
        await numbers.execute_many("INSERT INTO numbers VALUES (?)", [(-1,), (value,)])
    assert await numbers.fetch_one(int, COUNT) == ROWS


@pytest.mark.parametrize("params", ["text", b"bytes", 7, None, {1, 2}])
async def test_parameters_are_a_sequence_or_a_mapping(database: Database, params: Any) -> None:
    with pytest.raises(TypeError):
        await database.fetch_all(tuple, "SELECT ?", params)


async def test_writes_that_return_rows(numbers: Database, look: Look) -> None:
    assert await numbers.fetch_one(int, f"{ADD} RETURNING value", (-1,)) == -1
    assert await numbers.fetch_optional(int, f"{ADD} RETURNING value", (-2,)) == -2
    assert await numbers.fetch_all(
        int, "WITH a (x) AS (SELECT -3) INSERT INTO numbers SELECT x FROM a RETURNING value"
    ) == [-3]
    assert await numbers.fetch_all(int, "DELETE FROM numbers WHERE value = 0 RETURNING value") == [
        0
    ]
    async with numbers.transaction() as unit:
        sql = "WITH a (x) AS (SELECT -4) INSERT INTO numbers SELECT x FROM a RETURNING value"
        assert await unit.fetch_one(int, sql) == -4
    assert look("SELECT value FROM numbers WHERE value <= 0 ORDER BY value") == [
        (-4,),
        (-3,),
        (-2,),
        (-1,),
    ]


async def test_a_write_of_many_rows_whose_first_is_asked_for_is_whole(
    numbers: Database, look: Look
) -> None:
    sql = "INSERT INTO numbers VALUES (-1), (-2), (-3) RETURNING value"
    assert await numbers.fetch_one(int, sql) == -1
    assert look("SELECT count(*) FROM numbers WHERE value < 0") == [(3,)]


async def test_execute_gives_the_rows_changed(numbers: Database) -> None:
    assert await numbers.execute("UPDATE numbers SET value = value WHERE value < 10") == 10
    assert await numbers.execute("DELETE FROM numbers WHERE value < 0") == 0
    assert await numbers.execute("CREATE TABLE other (x)") == 0
    assert await numbers.execute("INSERT INTO other VALUES (1), (2)") == 2
    assert await numbers.execute("INSERT INTO other VALUES (3), (4) RETURNING x") == 2
    assert await numbers.execute("WITH a (x) AS (SELECT 5) INSERT INTO other SELECT x FROM a") == 1
    assert await numbers.fetch_one(int, "SELECT count(*) FROM other") == 5
    assert await numbers.execute("SELECT 1") == 0


@pytest.mark.parametrize("verb", ["fetch_all", "fetch_one", "fetch_optional"])
@pytest.mark.parametrize("sql", [ADD, f"WITH one AS (SELECT 1) {ADD}"])
async def test_a_write_whose_rows_do_not_fit_changes_nothing(
    verb: str, sql: str, numbers: Database
) -> None:
    returning = f"{sql} RETURNING 'text'"
    with pytest.raises(DatabaseError) as caught:
        await getattr(numbers, verb)(int, returning, (-1,))
    assert caught.value.code == "row_mismatch"
    async with numbers.transaction() as unit:
        await unit.execute(ADD, (-2,))
        with pytest.raises(DatabaseError) as caught:
            await getattr(unit, verb)(int, returning, (-3,))
        assert caught.value.code == "row_mismatch"
    added = await numbers.fetch_all(int, "SELECT value FROM numbers WHERE value < 0")
    assert added == [-2]


async def test_writes_that_begin_with_WITH_may_come_at_once(numbers: Database) -> None:
    """Which of them write is found out by trying."""
    add = "WITH new (x) AS (SELECT ?) INSERT INTO numbers SELECT x FROM new -- once"
    counts = await asyncio.gather(*(numbers.execute(add, (-n,)) for n in range(1, 6)))
    assert counts == [1] * 5
    assert await numbers.execute_many(f"{add}, many", [(-6,), (-7,)]) == 2
    async with numbers.transaction() as unit:
        assert await unit.execute(f"{add}, in a unit", (-8,)) == 1
        assert await unit.execute_many(f"{add}, many in a unit", [(-9,), (-10,)]) == 2
        assert await unit.execute("WITH old (x) AS (SELECT 1) SELECT x FROM old") == 0
    assert await numbers.fetch_one(int, COUNT) == ROWS + 10


async def test_a_row_of_parameters_may_be_used_again(numbers: Database) -> None:
    row = [0]

    def rows() -> Iterator[list[int]]:
        for row[0] in (-1, -2, -3):
            yield row

    assert await numbers.execute_many(ADD, rows()) == 3
    named = {"value": 0}

    def named_rows() -> Iterator[dict[str, int]]:
        for named["value"] in (-4, -5):
            yield named

    assert await numbers.execute_many("INSERT INTO numbers VALUES (:value)", named_rows()) == 2
    found = await numbers.fetch_all(int, "SELECT value FROM numbers WHERE value < 0")
    assert found == [-5, -4, -3, -2, -1]


class Shelf(enum.IntEnum):
    TOP = ROWS + 7


async def test_numbers_of_an_enumeration(numbers: Database) -> None:
    assert await numbers.execute(ADD, (Shelf.TOP,)) == 1
    found = "SELECT value FROM numbers WHERE value = ?"
    assert await numbers.fetch_one(int, found, (Shelf.TOP,)) == ROWS + 7
    with pytest.raises(ValueError, match="64 bits"):
        await numbers.execute("INSERT INTO numbers VALUES (?), (?)", (Shelf.TOP, 2**63))


async def test_zero_has_no_sign(database: Database) -> None:
    """SQLite keeps none, so that what is written is what is read."""
    assert str(await database.fetch_one(float, "SELECT ?", (-0.0,))) == "0.0"


async def test_execute_many_is_all_or_nothing(numbers: Database) -> None:
    assert await numbers.execute_many(ADD, []) == 0
    assert await numbers.execute_many(ADD, ((n,) for n in (-1, -2))) == 2
    assert await numbers.execute_many("INSERT INTO numbers VALUES (:v)", [{"v": -3}]) == 1
    for rows in ([(-4,), (-5,), (-1,)], [(-4,), (-5, 0)], [(-4,), ("text",)]):
        with pytest.raises(DatabaseError):
            await numbers.execute_many(ADD, rows)
    assert await numbers.fetch_all(int, "SELECT value FROM numbers WHERE value < 0") == [-3, -2, -1]


async def read_first(database: Database, sql: str) -> Any:
    return await anext(database.stream(tuple, sql))


COMMENTS = [
    "{}",
    " \n\t{}",
    "-- c\n{}",
    "/* c */ {}",
    "/* a */ -- b\n /* c */{}",
    ";{}",
    "\ufeff{}",
]
REFUSED = [
    "BEGIN",
    "begin immediate",
    "COMMIT",
    "END",
    "ROLLBACK",
    "SAVEPOINT x",
    "RELEASE x",
    "ATTACH ':memory:' AS other",
    "DETACH other",
    "VACUUM",
    "VACUUM INTO '/nowhere/file'",
    "PRAGMA user_version = 7",
    "PRAGMA user_version=7",
    "PRAGMA user_version(7)",
    "PRAGMA main.user_version = 7",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA query_only(0)",
    "PRAGMA wal_checkpoint",
    "PRAGMA wal_checkpoint(TRUNCATE)",
]


@pytest.mark.parametrize("sql", REFUSED)
async def test_what_is_not_for_raw_sql_is_refused(numbers: Database, sql: str) -> None:
    version = await numbers.fetch_one(int, "PRAGMA user_version")
    for statement in (comment.format(sql) for comment in COMMENTS):
        calls: list[Callable[[], Any]] = [
            partial(numbers.execute, statement),
            partial(numbers.fetch_all, tuple, statement),
            partial(numbers.fetch_one, tuple, statement),
            partial(numbers.execute_many, statement, [()]),
            partial(read_first, numbers, statement),
        ]
        for call in calls:
            with pytest.raises(DatabaseError):
                await call()
    assert await numbers.fetch_one(int, "PRAGMA user_version") == version
    assert await numbers.execute(ADD, (-1,)) == 1


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; SELECT 2",
        "INSERT INTO numbers VALUES (-1); INSERT INTO numbers VALUES (-2)",
        "SELECT 1; COMMIT",
        "INSERT INTO numbers VALUES (-1); COMMIT",
        "",
        "   \n",
        ";",
        "-- only a comment",
        "/* only a comment */",
        "SELECT '\0'\0",
        "SELEKT 1",
    ],
)
async def test_what_is_not_one_statement_is_refused(numbers: Database, sql: str) -> None:
    for call in (
        numbers.execute(sql),
        numbers.fetch_all(tuple, sql),
        numbers.fetch_optional(tuple, sql),
    ):
        with pytest.raises((DatabaseError, ValueError)) as caught:
            await call
        assert not isinstance(caught.value, sqlite3.Error)
    assert await numbers.fetch_one(int, "SELECT count(*) FROM numbers WHERE value < 0") == 0
    async with numbers.transaction() as unit:
        with pytest.raises((DatabaseError, ValueError)):
            await unit.execute(sql)
        assert unit.state == "open"


async def test_pragmas_that_read_work(numbers: Database, journal: str) -> None:
    assert await numbers.fetch_one(str, "PRAGMA journal_mode") == journal
    assert await numbers.fetch_all(int, "PRAGMA foreign_keys") == [1]
    (column,) = await numbers.fetch_all(dict, "PRAGMA table_info(numbers)")
    assert column["name"] == "value"
    assert await numbers.fetch_all(dict, "-- c\nPRAGMA main.table_info('numbers')") == [column]
    assert await numbers.fetch_all(tuple, "PRAGMA foreign_key_check") == []
    assert await numbers.fetch_one(str, "PRAGMA quick_check") == "ok"
    assert await numbers.fetch_all(tuple, "EXPLAIN QUERY PLAN SELECT * FROM numbers") != []
    assert await numbers.fetch_all(int, "VALUES (1), (2)") == [1, 2]
    assert await numbers.fetch_all(int, "/* c */ SELECT 1;") == [1]


async def test_only_the_writer_checkpoints(numbers: Database, path: Path, journal: str) -> None:
    if journal == "delete":
        pytest.skip("there is no log to checkpoint")
    before = size_bytes(path)
    for sql in ("PRAGMA wal_checkpoint", "PRAGMA main.wal_checkpoint", "pragma WAL_CHECKPOINT"):
        with pytest.raises(DatabaseError):
            await numbers.fetch_all(tuple, sql)
    assert size_bytes(path) == before


def size_bytes(path: Path) -> int:
    return path.stat().st_size


async def test_errors_are_typed_and_keep_their_cause(numbers: Database) -> None:
    with pytest.raises(ConstraintError) as caught:
        await numbers.execute(ADD, (1,))
    assert caught.value.kind == "unique"
    assert caught.value.constraint == "numbers.value"
    assert caught.value.http_status == 409
    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)
    with pytest.raises(DatabaseError) as wrong:
        await numbers.execute("INSERT INTO nowhere VALUES (1)")
    assert wrong.value.code == "statement"
    assert isinstance(wrong.value.__cause__, sqlite3.OperationalError)


@pytest.mark.parametrize("sql", [None, 7, b"SELECT 1"])
async def test_sql_is_text(database: Database, sql: Any) -> None:
    with pytest.raises(TypeError):
        await database.fetch_all(int, sql)


# Repositories of the user's own.


class Note(msgspec.Struct, frozen=True):
    id: int
    text: str
    created_at: datetime


class NoteRepository(Repository):
    entity = "note"

    _add = Command(
        Note,
        """
        INSERT INTO notes (text, created_at)
        VALUES (:text, :created_at)
        RETURNING id, text, created_at
        """,
    )
    _get = Query(Note, "SELECT id, text, created_at FROM notes WHERE id = :id")
    _list = Query(Note, "SELECT id, text, created_at FROM notes ORDER BY id LIMIT :limit")

    async def add(self, text: str) -> Note:
        return await self._run(self._add.one(text=text, created_at=self._now()))

    async def get(self, note_id: int) -> Note:
        return await self._run(self._get.one(id=note_id))

    async def list(self, limit: int | None = None) -> Any:
        return await self._run(self._list.all(limit=limit))


async def test_a_repository_of_the_users_own(database: Database, look: Look) -> None:
    await database.execute(
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT UNIQUE, created_at TEXT) STRICT"
    )
    notes = database.repository(NoteRepository)
    first = await notes.add("first")
    assert await notes.get(first.id) == first
    with pytest.raises(RecordNotFoundError, match="note") as missing:
        await notes.get(7)
    assert missing.value.details == {"entity": "note", "key": "7"}
    with pytest.raises(ConstraintError, match=r"NoteRepository\.add"):
        await notes.add("first")
    with pytest.raises(ValueError, match="limit"):
        await notes.list(limit=-1)
    with pytest.raises(TypeError, match="text"):
        await notes.add(7)  # type: ignore[arg-type]
    async with database.transaction() as unit:
        second = await unit.repository(NoteRepository).add("second")
        assert second.created_at == unit.now
        assert await notes.list() == [first]
    async with database.snapshot() as view:
        assert await view.repository(NoteRepository).list() == [first, second]
        with pytest.raises(DatabaseReadOnlyError):
            await view.repository(NoteRepository).add("third")
    assert look("SELECT text FROM notes ORDER BY id") == [("first",), ("second",)]


@pytest.mark.long
async def test_a_result_is_not_kept_by_the_reader_that_gave_it(numbers: Database) -> None:
    class Row(msgspec.Struct, weakref=True):
        value: int

    row = await numbers.fetch_one(Row, "SELECT value FROM numbers")
    kept = weakref.ref(row)
    del row
    await asyncio.sleep(0.05)  # its thread goes to sleep
    gc.collect()
    assert kept() is None
