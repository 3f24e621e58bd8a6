"""Promises of purges and prunes: of any size, they let other writers in, and in a unit they are atomic."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import closing
from datetime import timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from reelbase import Database, Job, UnitOfWork
from reelbase.engine.repository import SLICE

OLD = "2025-01-01T00:00:00.000Z"
AGE = timedelta(days=1)
ROWS = 6 * SLICE + 1

Purge = Callable[[Any], Coroutine[Any, Any, Any]]
Fill = Callable[[Database, int], Awaitable[None]]


def ids(rows: int) -> Iterator[str]:
    return (f"00000000-0000-7000-8000-{number:012x}" for number in range(rows))


async def add_jobs(database: Database, rows: int) -> None:
    await database.profiles.ensure("anna")
    await database.execute_many(
        "INSERT INTO jobs (id, profile_id, type, status, finished_at)"
        " VALUES (?, 'anna', 't', 'succeeded', ?)",
        [(id, OLD) for id in ids(rows)],
    )


async def add_downloads(database: Database, rows: int) -> None:
    await database.execute("INSERT INTO sessions (id, last_seen) VALUES ('s', ?)", [OLD])
    await database.execute_many(
        "INSERT INTO downloads (id, session_id, url, status, completed_at, filename)"
        " VALUES (?, 's', 'u', 'completed', ?, ?)",
        [(id, OLD, id) for id in ids(rows)],
    )


async def add_sessions(database: Database, rows: int) -> None:
    await database.execute_many(
        "INSERT INTO sessions (id, last_seen) VALUES (?, ?)", [(id, OLD) for id in ids(rows)]
    )


async def add_errors(database: Database, rows: int) -> None:
    await database.execute_many(
        "INSERT INTO error_log (url, error, created_at) VALUES ('u', 'e', ?)", [[OLD]] * rows
    )


async def add_urls(database: Database, rows: int) -> None:
    await database.execute_many(
        "INSERT INTO unsupported_urls (url, created_at) VALUES ('u', ?)", [[OLD]] * rows
    )


async def add_audit(database: Database, rows: int) -> None:
    await database.execute_many(
        "INSERT INTO audit_log (entity_type, entity_id, action, timestamp)"
        " VALUES ('e', 1, 'CREATE', ?)",
        [[OLD]] * rows,
    )


# The table, what fills it, and what deletes all of it.
PURGES: dict[str, tuple[str, Fill, Purge]] = {
    "jobs": ("jobs", add_jobs, lambda on: on.jobs.purge(AGE)),
    "downloads": ("downloads", add_downloads, lambda on: on.downloads.purge(AGE)),
    "all downloads": ("downloads", add_downloads, lambda on: on.downloads.purge(None)),
    "empty sessions": ("sessions", add_sessions, lambda on: on.downloads.purge(None)),
    "downloads of idle sessions": (
        "downloads",
        add_downloads,
        lambda on: on.downloads.purge_idle(AGE),
    ),
    "idle sessions": ("sessions", add_sessions, lambda on: on.sessions.purge_idle(AGE)),
    "a session's downloads": ("downloads", add_downloads, lambda on: on.sessions.purge_idle(AGE)),
    "error log": ("error_log", add_errors, lambda on: on.error_log.prune(AGE)),
    "unsupported URLs": ("unsupported_urls", add_urls, lambda on: on.unsupported_urls.prune(AGE)),
    "whole error log": ("error_log", add_errors, lambda on: on.error_log.clear()),
    "all unsupported URLs": ("unsupported_urls", add_urls, lambda on: on.unsupported_urls.clear()),
    "audit trail": ("audit_log", add_audit, lambda on: on.audit.prune(AGE)),
}
every_purge = pytest.mark.parametrize(("table", "fill", "purge"), PURGES.values(), ids=PURGES)


async def number_of_rows(database: Database, table: str) -> int:
    return await database.fetch_one(int, f"SELECT count(*) FROM {table}")


@every_purge
async def test_while_a_write_waits_no_more_than_two_slices_are_deleted(
    table: str, fill: Fill, purge: Purge, database: Database
) -> None:
    async def write(unit: UnitOfWork) -> int:
        """Writes, and counts the rows in the same turn: a count of its own would come later."""
        await unit.config.set("k", len(seen))
        rows: int = await unit.fetch_one(int, f"SELECT count(*) FROM {table}")
        return rows

    await fill(database, ROWS)
    task = asyncio.create_task(purge(database))
    seen = [ROWS]
    while not task.done():
        seen.append(await database.atomically(write))
    await task
    assert seen[-1] == 0
    assert max(before - after for before, after in pairwise(seen)) <= 2 * SLICE
    assert len(seen) > ROWS // (2 * SLICE)


@pytest.mark.long
async def test_another_writer_has_its_turn_while_50_000_jobs_are_purged(
    database: Database,
) -> None:
    await add_jobs(database, 50_000)
    task = asyncio.create_task(database.jobs.purge(AGE))
    clock = asyncio.get_running_loop().time
    waits: list[float] = []
    while not task.done():
        start = clock()
        await database.config.set("k", len(waits))
        waits.append(clock() - start)
    assert await task == 50_000
    assert len(waits) > 50
    # 50 ms on a machine that is idle; as a whole it would hold the writer for a second and more.
    assert sorted(waits)[len(waits) // 2] < 0.5, waits


@pytest.mark.long
async def test_another_program_has_its_turn_too(database: Database, path: Path) -> None:
    await add_jobs(database, 20_000)
    task = asyncio.create_task(database.jobs.purge(AGE))

    def write() -> int:
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as native:
            for number in count():
                native.execute("INSERT INTO error_log (url, error) VALUES ('u', 'e')")
                if task.done():
                    return number
                time.sleep(0.01)
        raise AssertionError

    assert await asyncio.to_thread(write) > 5
    assert await task == 20_000


@every_purge
async def test_a_purge_that_is_cancelled_leaves_the_other_rows_for_the_next_one(
    table: str, fill: Fill, purge: Purge, database: Database
) -> None:
    await fill(database, ROWS)
    task = asyncio.create_task(purge(database))
    while await number_of_rows(database, table) == ROWS:
        await database.config.set("k", 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    remaining = await number_of_rows(database, table)
    assert 0 < remaining < ROWS
    await purge(database)
    assert await number_of_rows(database, table) == 0
    assert not (await database.check()).problems


@every_purge
async def test_in_a_unit_it_is_all_or_nothing(
    table: str, fill: Fill, purge: Purge, database: Database
) -> None:
    await fill(database, ROWS)
    async with database.transaction() as unit:
        await purge(unit)
        assert await unit.fetch_one(int, f"SELECT count(*) FROM {table}") == 0
        await unit.rollback()
    assert await number_of_rows(database, table) == ROWS

    async def purged(unit: UnitOfWork) -> Any:
        return await purge(unit)

    await database.atomically(purged)
    assert await number_of_rows(database, table) == 0


async def test_the_report_has_every_download_of_all_slices_oldest_first(
    database: Database,
) -> None:
    await add_downloads(database, ROWS)
    active = await database.downloads.add("s", "u")
    report = await database.downloads.purge(AGE)
    assert [str(purged.id) for purged in report.deleted] == list(ids(ROWS))
    assert [purged.filename for purged in report.deleted] == list(ids(ROWS))
    assert (report.active_skipped, report.sessions_deleted) == (1, 0)
    await database.downloads.cancel(active.id)
    report = await database.downloads.purge(None)
    assert ([purged.id for purged in report.deleted], report.sessions_deleted) == ([active.id], 1)


@pytest.mark.long
async def test_a_batch_of_more_children_than_a_slice_counts_as_one(database: Database) -> None:
    await database.profiles.ensure("anna")
    parent, _ = await database.jobs.add_batch("anna", "t", {}, [{}] * ROWS)
    await database.jobs.cancel(parent.id)
    task = asyncio.create_task(database.jobs.purge(timedelta(days=-1)))
    seen: list[Job] = []
    while (job := await database.jobs.find(parent.id)) is not None:
        seen.append(job)
        children = await number_of_rows(database, "jobs") - 1
        assert children <= job.total == job.completed
        await asyncio.sleep(0.002)
    assert await task == 1
    assert len({job.total for job in seen}) > 2
    assert await number_of_rows(database, "jobs") == 0


@pytest.mark.parametrize(
    ("table", "fill", "add", "clear"),
    [
        (
            "error_log",
            add_errors,
            lambda on: on.error_log.add("u", "e"),
            lambda on: on.error_log.clear(),
        ),
        (
            "unsupported_urls",
            add_urls,
            lambda on: on.unsupported_urls.add("u"),
            lambda on: on.unsupported_urls.clear(),
        ),
    ],
    ids=["error log", "unsupported URLs"],
)
async def test_what_comes_while_a_table_is_cleared_stays_and_does_not_keep_it_from_its_end(
    table: str, fill: Fill, add: Purge, clear: Purge, database: Database
) -> None:
    await fill(database, ROWS)
    task = asyncio.create_task(clear(database))
    while await number_of_rows(database, table) == ROWS:
        await database.config.set("k", 1)
    added = 0
    while not task.done():
        await add(database)
        added += 1
    assert await task == ROWS
    assert added > 1
    assert await number_of_rows(database, table) == added
