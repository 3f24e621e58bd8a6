"""Promises about database.observe(): the result of a function of reads, now and after each change of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

import reelbase
from reelbase import Database, DatabaseReadOnlyError, InvalidArgumentError, Observation, Snapshot


async def profiles(view: Snapshot) -> list[str]:
    return sorted(profile.id for profile in await view.profiles.list())


async def following(results: AsyncIterator[object]) -> object:
    return await asyncio.wait_for(anext(results), 5)


async def stays_silent(results: AsyncIterator[object]) -> bool:
    step = asyncio.ensure_future(anext(results))
    try:
        await asyncio.wait_for(asyncio.shield(step), 0.3)
    except TimeoutError:
        step.cancel()
        await asyncio.wait([step])
        return True
    return False


async def test_the_first_result_comes_at_once_and_each_change_gives_another(
    database: Database,
) -> None:
    async with database.observe(profiles, "profiles") as results:
        assert await following(results) == []
        await database.profiles.ensure("ann")
        assert await following(results) == ["ann"]
        await database.profiles.delete("ann")
        assert await following(results) == []


@pytest.mark.long
async def test_a_commit_that_changes_no_result_gives_none(database: Database) -> None:
    await database.profiles.ensure("ann")
    async with database.observe(profiles, "profiles") as results:
        await following(results)
        await database.profiles.ensure("ann")
        await database.execute("UPDATE profiles SET id = id")
        assert await stays_silent(results)
        await database.profiles.ensure("ben")
        assert await following(results) == ["ann", "ben"]


@pytest.mark.long
async def test_tables_that_are_not_named_are_not_followed(database: Database) -> None:
    calls = 0

    async def counted(view: Snapshot) -> int:
        nonlocal calls
        calls += 1
        return calls

    async with database.observe(counted, "profiles") as results:
        assert await following(results) == 1
        await database.config.set("key", 1)
        assert await stays_silent(results)
    assert calls == 1


async def test_without_names_every_table_is_followed(database: Database) -> None:
    async def value(view: Snapshot) -> object:
        return await view.config.get("key")

    async with database.observe(value) as results:
        assert await following(results) is None
        await database.config.set("key", 5)
        assert await following(results) == 5


@pytest.mark.long
async def test_what_is_rolled_back_gives_no_result(database: Database) -> None:
    async with database.observe(profiles, "profiles") as results:
        await following(results)
        async with database.transaction() as unit:
            await unit.profiles.ensure("ann")
            await unit.rollback()
        assert await stays_silent(results)


@pytest.mark.long
async def test_a_busy_consumer_gets_the_newest_result(database: Database) -> None:
    async with database.observe(profiles, "profiles") as results:
        await following(results)
        for number in range(50):
            await database.profiles.ensure(f"p{number:02}")
        assert await following(results) == [f"p{number:02}" for number in range(50)]
        assert await stays_silent(results)


async def test_nothing_between_the_first_result_and_the_next_step_is_missed(path: Path) -> None:
    # On a rollback journal no write commits beside a snapshot.
    async with reelbase.connect(path, journal="wal") as database:

        async def slow(view: Snapshot) -> list[str]:
            found = await profiles(view)
            if not found:
                await database.profiles.ensure("ann")  # while the first result is read
            return found

        async with database.observe(slow, "profiles") as results:
            assert await following(results) == []
            assert await following(results) == ["ann"]


async def test_commits_of_other_programs_count(
    path: Path, journal: Literal["wal", "delete"]
) -> None:
    async with (
        reelbase.connect(path, journal=journal) as database,
        database.observe(profiles, "profiles") as results,
    ):
        assert await following(results) == []
        with closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as other:
            other.execute(
                "INSERT INTO profiles (id, created_at) VALUES ('ann', '2026-01-31T12:00:00.000Z')"
            )
            assert await following(results) == ["ann"]


async def test_all_reads_of_one_result_see_one_moment(path: Path) -> None:
    async with reelbase.connect(path, journal="wal") as database:

        async def twice(view: Snapshot) -> tuple[int, int]:
            before = await view.profiles.count()
            await database.profiles.ensure(f"p{before}")
            return before, await view.profiles.count()

        async with database.observe(twice, "profiles") as results:
            assert await following(results) == (0, 0)
            assert await following(results) == (1, 1)


async def test_an_error_of_the_function_is_raised_and_the_next_step_tries_again(
    database: Database,
) -> None:
    is_broken = False

    async def fails(view: Snapshot) -> int:
        if is_broken:
            raise ArithmeticError("broken")
        return await view.profiles.count()

    async with database.observe(fails, "profiles") as results:
        assert await following(results) == 0
        is_broken = True
        await database.profiles.ensure("ann")
        for _ in range(2):
            with pytest.raises(ArithmeticError, match="broken"):
                await following(results)
        is_broken = False
        assert await following(results) == 1


async def test_a_step_that_is_cancelled_while_it_reads_loses_no_change(database: Database) -> None:
    reading = asyncio.Event()
    is_slow = False

    async def slow(view: Snapshot) -> int:
        if is_slow:
            reading.set()
            await asyncio.sleep(60)
        return await view.profiles.count()

    async with database.observe(slow, "profiles") as results:
        assert await following(results) == 0
        is_slow = True
        step = asyncio.ensure_future(anext(results))
        await database.profiles.ensure("ann")
        await reading.wait()
        step.cancel()
        await asyncio.wait([step])
        is_slow = False
        assert await following(results) == 1


async def test_a_function_that_writes_is_refused(database: Database) -> None:
    async def writes(view: Snapshot) -> int:
        return await view.fetch_one(int, "DELETE FROM profiles RETURNING 1")

    async with database.observe(writes, "profiles") as results:
        with pytest.raises(DatabaseReadOnlyError):
            await following(results)


async def test_a_table_that_is_missing_is_named(database: Database) -> None:
    async with database.observe(profiles, "profile") as results:
        with pytest.raises(InvalidArgumentError, match="profile"):
            await following(results)


async def test_closing_ends_it_for_a_waiting_task_too(database: Database) -> None:
    results = database.observe(profiles, "profiles")
    await following(results)
    waiting = asyncio.ensure_future(anext(results))
    await asyncio.sleep(0.05)
    results.close()
    results.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, 5)


async def test_it_ends_with_the_database(path: Path) -> None:
    database = await reelbase.connect(path)
    results: Observation[list[str]] = database.observe(profiles, "profiles")
    await following(results)
    await database.close()
    with pytest.raises(StopAsyncIteration):
        await following(results)


async def test_it_holds_no_reader_while_it_waits(
    path: Path, journal: Literal["wal", "delete"]
) -> None:
    async with reelbase.connect(path, journal=journal, readers=1) as database:
        observed = [database.observe(profiles, "profiles") for _ in range(10)]
        for results in observed:
            await following(results)
        assert await asyncio.wait_for(database.profiles.count(), 5) == 0
        for results in observed:
            results.close()


def test_threads_can_observe_as_well(path: Path) -> None:
    with reelbase.connect_sync(path) as database, database.observe(profiles, "profiles") as results:
        assert next(results) == []
        database.profiles.ensure("ann")
        assert next(results) == ["ann"]
