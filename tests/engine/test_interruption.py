"""Promises about calls that are cancelled or time out, and about streams beside writes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path

import pytest

import reelbase
from reelbase import (
    Database,
    DatabaseError,
    DatabaseTimeoutError,
    UnitOfWork,
)

Look = Callable[[str], list[tuple[object, ...]]]

NUMBERS = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c"
ENDLESS = f"{NUMBERS}) SELECT count(*) FROM c"
ENDLESS_WRITE = f"INSERT INTO t (x) {NUMBERS}) SELECT count(*) FROM c"
SOON_SECONDS = 2.0  # far less than any of the statements would take


@pytest.fixture
async def table(database: Database) -> Database:
    """With a table of a thousand rows."""
    await database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x INTEGER NOT NULL)")
    await database.execute(f"INSERT INTO t (x) {NUMBERS} WHERE x < 1000) SELECT x FROM c")
    return database


async def give_up(call: Awaitable[object]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            await call


async def soon(call: Awaitable[object]) -> None:
    async with asyncio.timeout(SOON_SECONDS):
        await call


async def test_cancelled_reads_free_their_readers(table: Database) -> None:
    await asyncio.gather(*(give_up(table.fetch_one(int, ENDLESS)) for _ in range(4)))
    await soon(table.profiles.list())


async def test_a_cancelled_write_frees_the_writer_and_leaves_nothing(
    table: Database, look: Look
) -> None:
    await give_up(table.execute(ENDLESS_WRITE))
    await soon(table.execute("INSERT INTO t (x) VALUES (-1)"))
    assert look("SELECT count(*), min(x) FROM t") == [(1001, -1)]


async def test_a_cancelled_write_takes_no_other_of_its_group_along(
    table: Database, look: Look
) -> None:
    add = "INSERT INTO t (x) VALUES (?)"
    beside = asyncio.gather(*(table.execute(add, [-1 - n]) for n in range(50)))
    endless = asyncio.create_task(give_up(table.execute(ENDLESS_WRITE)))
    more = asyncio.gather(*(table.execute(add, [-100 - n]) for n in range(50)))
    await soon(asyncio.gather(beside, endless, more))
    assert look("SELECT count(*) FROM t WHERE x < 0") == [(100,)]


async def test_a_cancel_interrupts_nothing_but_its_own_statement(table: Database) -> None:
    """Many cancels beside many statements that go on: none of those fails."""
    count = f"{NUMBERS} WHERE x < 20000) SELECT count(*) FROM c"

    async def cancelled(n: int) -> None:
        task = asyncio.create_task(table.fetch_one(int, count))
        await asyncio.sleep(0.0005 * n)
        task.cancel()
        await asyncio.wait([task])

    results, _ = await asyncio.gather(
        asyncio.gather(*(table.fetch_one(int, count) for _ in range(60))),
        asyncio.gather(*(cancelled(n) for n in range(120))),
    )
    assert results == [20000] * 60


async def test_close_does_not_wait_for_statements_that_were_given_up(
    path: Path, journal: str
) -> None:
    settings = {"journal": journal}
    async with reelbase.connect(path, **settings) as database:  # type: ignore[arg-type]
        await database.execute("CREATE TABLE t (x INTEGER)")
        await give_up(database.fetch_one(int, ENDLESS))
        await give_up(database.execute(ENDLESS_WRITE))
        await soon(database.close())


@pytest.mark.long
async def test_a_unit_goes_on_after_a_read_that_timed_out(table: Database, look: Look) -> None:
    async with table.transaction() as unit:
        await unit.execute("INSERT INTO t (x) VALUES (-1)")
        with pytest.raises(DatabaseTimeoutError):
            await unit.fetch_one(int, ENDLESS, timeout=0.1)
        await soon(unit.execute("INSERT INTO t (x) VALUES (-2)"))
    assert look("SELECT count(*) FROM t WHERE x < 0") == [(2,)]


@pytest.mark.long
async def test_a_unit_is_lost_with_a_write_that_was_interrupted(
    table: Database, look: Look
) -> None:
    context = table.transaction()
    unit = await context.__aenter__()
    await unit.execute("INSERT INTO t (x) VALUES (-1)")
    await give_up(unit.execute(ENDLESS_WRITE))
    for call in (
        unit.execute("INSERT INTO t (x) VALUES (-2)"),
        context.__aexit__(None, None, None),
    ):
        with pytest.raises(DatabaseError) as caught:
            await soon(call)
        assert caught.value.code == "transaction_lost"
    assert unit.state == "rolled_back"
    assert look("SELECT count(*) FROM t WHERE x < 0") == [(0,)]
    await soon(table.execute("INSERT INTO t (x) VALUES (-3)"))


@pytest.mark.long
async def test_a_snapshot_goes_on_after_a_read_that_timed_out(table: Database) -> None:
    async with table.snapshot() as view:
        with pytest.raises(DatabaseTimeoutError):
            await view.fetch_all(int, ENDLESS, timeout=0.1)
        await soon(view.fetch_one(int, "SELECT count(*) FROM t"))


async def test_a_call_that_was_cancelled_before_its_turn_does_not_run(
    table: Database, look: Look
) -> None:
    async with table.transaction() as unit:
        slow = asyncio.create_task(unit.fetch_one(int, f"{NUMBERS} WHERE x < 500000) SELECT 1"))
        await asyncio.sleep(0)
        queued = asyncio.create_task(unit.execute("INSERT INTO t (x) VALUES (-1)"))
        await asyncio.sleep(0)
        queued.cancel()
        await asyncio.wait([slow, queued])
    assert look("SELECT count(*) FROM t WHERE x < 0") == [(0,)]


@pytest.mark.long
@pytest.mark.parametrize("sql", [ENDLESS, f"{ENDLESS_WRITE} RETURNING x"])
async def test_a_fetch_that_times_out_says_so_and_is_both_errors(table: Database, sql: str) -> None:
    started = time.monotonic()
    with pytest.raises(DatabaseTimeoutError, match=r"0\.1 s") as caught:
        await table.fetch_optional(int, sql, timeout=0.1)
    assert time.monotonic() - started < SOON_SECONDS
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.code, caught.value.http_status) == ("timeout", 504)
    await soon(table.execute("INSERT INTO t (x) VALUES (-1)"))


@pytest.mark.long
async def test_a_timeout_covers_the_wait_for_a_turn(table: Database) -> None:
    async def insert() -> object:
        return await table.fetch_all(int, "INSERT INTO t (x) VALUES (-1) RETURNING x", timeout=0.1)

    async with table.transaction():
        task = asyncio.create_task(insert())
        with pytest.raises(DatabaseTimeoutError):
            await task
    assert await table.fetch_one(int, "SELECT count(*) FROM t WHERE x < 0") == 0


async def test_a_fetch_within_its_timeout_is_as_without_one(table: Database) -> None:
    assert await table.fetch_one(int, "SELECT count(*) FROM t", timeout=60) == 1000
    for seconds in (-1, float("nan")):
        with pytest.raises(ValueError, match="timeout"):
            await table.fetch_one(int, "SELECT 1", timeout=seconds)


@pytest.mark.long
async def test_a_timeout_of_the_caller_stays_the_callers(table: Database) -> None:
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.1):
            await table.fetch_one(int, ENDLESS, timeout=60)
    assert not isinstance(caught.value, DatabaseError)


# Streams in a unit that writes.


@pytest.mark.long
async def test_a_stream_does_not_see_what_its_unit_writes_meanwhile(table: Database) -> None:
    async with table.transaction() as unit:
        seen = 0
        async for _ in unit.stream(int, "SELECT id FROM t ORDER BY id", batch=10):
            await unit.execute("INSERT INTO t (x) VALUES (0)")
            await unit.execute("UPDATE t SET x = x + 1 WHERE id = 1000")
            seen += 1
        assert seen == 1000
        assert await unit.fetch_one(int, "SELECT count(*) FROM t") == 2000


async def test_a_stream_outlives_a_savepoint_that_is_undone(table: Database) -> None:
    async with table.transaction() as unit:
        rows: list[int] = []
        async with unit.stream(int, "SELECT id FROM t ORDER BY id", batch=10) as stream:
            async for row in stream:
                rows.append(row)
                if row % 100 == 0:
                    await delete_and_undo(unit)
        assert rows == list(range(1, 1001))


async def delete_and_undo(unit: UnitOfWork) -> None:
    with contextlib.suppress(ZeroDivisionError):
        async with unit.savepoint():
            await unit.execute("DELETE FROM t")
            raise ZeroDivisionError


async def test_a_stream_that_is_left_in_a_unit_that_has_written_is_closed(table: Database) -> None:
    async with table.transaction() as unit:
        async with unit.stream(int, "SELECT id FROM t", batch=10) as stream:
            await anext(stream)
            await unit.execute("INSERT INTO t (x) VALUES (0)")
        await unit.execute("DROP TABLE t")  # an open cursor would keep it


# What belongs to one connection.


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT last_insert_rowid()",
        "SELECT Changes ( )",
        "WITH x AS (SELECT total_changes()) SELECT * FROM x",
    ],
)
async def test_functions_of_the_connection_are_refused_outside_of_a_unit(
    table: Database, sql: str
) -> None:
    with pytest.raises(DatabaseError, match="unit of work"):
        await table.fetch_one(int, sql)
    async with table.transaction() as unit:
        await unit.execute("INSERT INTO t (x) VALUES (0)")
        assert await unit.fetch_one(int, sql) > 0


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TEMP TABLE seen (id INTEGER)",
        "create temporary view seen AS SELECT 1",
        'CREATE TABLE IF NOT EXISTS "temp".seen (id INTEGER)',
    ],
)
async def test_temporary_tables_are_refused_outside_of_a_unit(table: Database, sql: str) -> None:
    with pytest.raises(DatabaseError, match="unit of work"):
        await table.execute(sql)
    async with table.transaction() as unit:
        await unit.execute(sql)
        await unit.fetch_all(tuple, "SELECT * FROM seen")


async def test_words_that_only_look_like_them_are_not_refused(table: Database) -> None:
    assert await table.fetch_one(str, "SELECT 'changes() and temp.x' -- changes()") != ""
    await table.execute("CREATE TABLE changes (temp TEXT)")
    assert await table.fetch_all(str, "SELECT temp FROM changes") == []


# The log of slow statements.

request_id: ContextVar[str] = ContextVar("request_id", default="none")


async def test_slow_statements_are_logged_on_one_line_in_the_callers_context(
    path: Path, journal: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def note(record: logging.LogRecord) -> bool:
        seen.append(f"{request_id.get()}: {record.getMessage()}")
        return True

    log = logging.getLogger("reelbase.sql")
    settings = {"journal": journal, "slow_query": 0}
    async with reelbase.connect(path, **settings) as database:  # type: ignore[arg-type]
        log.addFilter(note)
        try:
            with caplog.at_level(logging.INFO, "reelbase.sql"):
                request_id.set("r-1")
                await database.fetch_all(int, "SELECT 1\n  AS   one")
                await database.profiles.ensure("anna")
                request_id.set("r-2")
                async with database.transaction() as unit:
                    await unit.profiles.ensure("bert")
                async with database.snapshot() as view:
                    await view.profiles.list()
        finally:
            log.removeFilter(note)
    assert [line.partition(":")[0] for line in seen] == ["r-1"] * 3 + ["r-2"] * 3
    assert re.search(r" SQL at .*test_interruption\.py:\d+: SELECT 1 AS one$", seen[0])
    assert not any("\n" in line for line in seen)
