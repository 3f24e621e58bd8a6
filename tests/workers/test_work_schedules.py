"""Promises of database.work() about schedules: it adds their jobs in time, and goes on where it cannot."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from test_work import until, working

import reelbase
from reelbase import Database, JobRun
from reelbase.testing.clock import FrozenClock
from reelbase.workers import worker


def shortly_before_the_hour() -> FrozenClock:
    """A clock that goes, and shows 0.4 seconds before 13:00 now."""
    now = asyncio.get_running_loop().time
    began = now()

    class Clock(FrozenClock):
        def __call__(self) -> datetime:
            hour = datetime(2026, 1, 31, 13, tzinfo=UTC)
            return hour + timedelta(milliseconds=int((now() - began - 0.4) * 1000))

    return Clock()


async def test_a_worker_adds_and_does_the_job_of_a_slot_when_its_time_comes(path: Path) -> None:
    clock = shortly_before_the_hour()
    async with reelbase.connect(path, clock=clock) as database:
        await database.profiles.ensure("ann")
        await database.schedules.set("s", "0 * * * *", "t", {}, profile_id="ann")
        begun: list[datetime] = []

        async def handler(run: JobRun) -> None:
            begun.append(clock())

        async with working(database, {"t": handler}):
            await until(lambda: begun)
        slot = datetime(2026, 1, 31, 13, tzinfo=UTC)
        assert timedelta(0) <= begun[0] - slot < timedelta(seconds=0.3)


async def test_a_worker_adds_jobs_of_types_that_it_has_no_handler_for(path: Path) -> None:
    async with reelbase.connect(path, clock=shortly_before_the_hour()) as database:
        await database.profiles.ensure("ann")
        await database.schedules.set("s", "0 * * * *", "other", {}, profile_id="ann")

        async def handler(run: JobRun) -> None:
            raise AssertionError("this type has no job")

        async with working(database, {"t": handler}):
            await until(database.jobs.list_unfinished)


async def test_a_schedule_whose_next_slot_cannot_be_told_is_logged_once_and_jobs_go_on(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "_SCHEDULE_SECONDS", 0.01)
    caplog.set_level(logging.ERROR, "reelbase")
    await database.profiles.ensure("ann")
    await database.schedules.set("s", "0 * * * *", "t", {}, profile_id="ann")
    await database.execute(
        "UPDATE job_schedules SET time_zone = 'Moon/Base', next_at = '2026-01-31T11:00:00.000Z'"
    )
    done: list[str] = []

    async def handler(run: JobRun) -> None:
        done.append(run.job.type)

    async with working(database, {"t": handler}) as working_task:
        await until(lambda: caplog.records)
        await asyncio.sleep(0.1)
        await database.jobs.add("ann", "t", {})
        await until(lambda: done)
        assert not working_task.done()
    assert len(caplog.records) == 1
    assert "Moon/Base" in caplog.text


@pytest.mark.long
async def test_an_idle_worker_looks_once_a_second_at_most_at_schedules_far_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    due_in = database.schedules.due_in

    async def counted() -> float | None:
        nonlocal looks
        looks += 1
        return await due_in()

    monkeypatch.setattr(database.schedules, "due_in", counted)
    await database.profiles.ensure("ann")
    await database.schedules.set("s", "0 * * * *", "t", {}, profile_id="ann")

    async def handler(run: JobRun) -> None:
        pass

    async with working(database, {"t": handler}):
        await asyncio.sleep(1.5)
    assert looks == 2
