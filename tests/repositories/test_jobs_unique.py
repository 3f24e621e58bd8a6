"""Promises of unique keys: of the jobs with one key only one is queued or running, whichever process adds."""

import asyncio
import os
import sys
import textwrap
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import (
    ConstraintError,
    Database,
    InvalidArgumentError,
    InvalidTransitionError,
    JobRepository,
)
from reelbase.testing.clock import FrozenClock

HOUR = timedelta(hours=1)
MOMENT = timedelta(milliseconds=1)


@pytest.fixture
async def jobs(database: Database) -> JobRepository:
    """The queue of a database that knows the profiles anna and ben."""
    await database.profiles.ensure("anna")
    await database.profiles.ensure("ben")
    return database.jobs


async def test_a_key_of_an_unfinished_job_gives_that_job_back(jobs: JobRepository) -> None:
    first = await jobs.add("anna", "t", {"n": 1}, unique_key="k")
    assert first.unique_key == "k"
    assert await jobs.add("anna", "t", {"n": 2}, priority=9, unique_key="k") == first
    running = await jobs.claim("w")
    assert await jobs.add("anna", "t", {"n": 3}, unique_key="k") == running
    assert await jobs.list_for_profile("anna") == [running]


async def test_a_key_is_of_one_profile_and_one_type(jobs: JobRepository) -> None:
    added = [
        await jobs.add(profile, kind, {}, unique_key=key)
        for profile in ("anna", "ben")
        for kind in ("t", "u")
        for key in ("k", "K", "")
    ]
    assert len({job.id for job in added}) == 12
    assert len({(await jobs.add("anna", "t", {})).id for _ in range(3)}) == 3


Ending = Callable[[JobRepository, reelbase.Job], Awaitable[Any]]
ENDINGS: dict[str, Ending] = {
    "succeeded": lambda jobs, job: jobs.succeed(job.id),
    "failed": lambda jobs, job: jobs.fail(job.id, "broken"),
    "cancelled": lambda jobs, job: jobs.cancel(job.id),
    "deleted": lambda jobs, job: jobs.delete(job.id),
}
RETURNS: dict[str, Ending] = {
    "released": lambda jobs, job: jobs.release(job.id, "w"),
    "snoozed": lambda jobs, job: jobs.snooze(job.id, 60, worker="w"),
    "tried again": lambda jobs, job: jobs.fail(job.id, "broken", retry_in=60),
    "recovered": lambda jobs, job: jobs.recover(),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_end_of_a_job_frees_its_key(jobs: JobRepository, ending: str) -> None:
    first = await jobs.add("anna", "t", {}, unique_key="k")
    await ENDINGS[ending](jobs, first)
    second = await jobs.add("anna", "t", {}, unique_key="k")
    assert (second.id, second.status) != (first.id, "succeeded")
    assert (await jobs.add("anna", "t", {}, unique_key="k")).id == second.id


@pytest.mark.parametrize("way", RETURNS)
async def test_a_job_that_goes_back_into_the_queue_keeps_its_key(
    jobs: JobRepository, clock: FrozenClock, way: str
) -> None:
    first = await jobs.add("anna", "t", {}, max_attempts=3, unique_key="k")
    await jobs.claim("w")
    if way == "recovered":
        clock.advance(61)
    await RETURNS[way](jobs, first)
    found = await jobs.add("anna", "t", {}, unique_key="k")
    assert (found.id, found.status) == (first.id, "queued")


async def test_a_period_counts_jobs_that_have_ended_too(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    first = await jobs.add("anna", "t", {}, unique_key="k", unique_for=HOUR)
    ended = await jobs.fail(first.id, "broken")
    clock.advance(3599.999)
    assert await jobs.add("anna", "t", {}, unique_key="k", unique_for=HOUR) == ended
    assert await jobs.add("ben", "t", {}, unique_key="k", unique_for=HOUR) != ended
    clock.advance(0.001)
    second = await jobs.add("anna", "t", {}, unique_key="k", unique_for=HOUR)
    assert second.id != first.id
    clock.advance(7200)
    assert await jobs.add("anna", "t", {}, unique_key="k", unique_for=HOUR) == second


async def test_a_period_gives_the_unfinished_job_before_newer_ones(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    first = await jobs.cancel((await jobs.add("anna", "t", {}, unique_key="k")).id)
    clock.advance(1)
    second = await jobs.cancel((await jobs.add("anna", "t", {}, unique_key="k")).id)
    assert await jobs.add("anna", "t", {}, unique_key="k", unique_for=HOUR) == second
    retried = await jobs.retry(first.id)
    assert await jobs.add("anna", "t", {}, unique_key="k", unique_for=HOUR) == retried


async def test_a_retry_beside_a_newer_job_with_its_key_is_refused(jobs: JobRepository) -> None:
    first = await jobs.cancel((await jobs.add("anna", "t", {}, unique_key="k")).id)
    second = await jobs.add("anna", "t", {}, unique_key="k")
    with pytest.raises(ConstraintError) as caught:
        await jobs.retry(first.id)
    assert caught.value.kind == "unique"
    assert await jobs.get(first.id) == first
    await jobs.succeed(second.id)
    assert (await jobs.retry(first.id)).status == "queued"


async def test_a_child_with_a_key_is_in_its_batch_once(jobs: JobRepository) -> None:
    parent = await jobs.add("anna", "batch", {}, total=2)
    child = await jobs.add("anna", "t", {}, parent.id, unique_key="k")
    assert await jobs.add("anna", "t", {}, parent.id, unique_key="k") == child
    assert await jobs.list_children(parent.id) == [child]
    await jobs.cancel(parent.id)
    with pytest.raises(InvalidTransitionError, match="take another child"):
        await jobs.add("anna", "t", {}, parent.id, unique_key="k")
    cancelled = await jobs.get(child.id)
    assert await jobs.add("anna", "t", {}, parent.id, unique_key="k", unique_for=HOUR) == cancelled


async def test_wrong_periods_are_refused_by_name_and_add_nothing(jobs: JobRepository) -> None:
    with pytest.raises(InvalidArgumentError, match="unique_for") as caught:
        await jobs.add("anna", "t", {}, unique_for=HOUR)
    assert caught.value.parameter == "unique_for"
    wrong: Any = 3600
    with pytest.raises(TypeError, match="unique_for"):
        await jobs.add("anna", "t", {}, unique_key="k", unique_for=wrong)
    assert await jobs.list() == []


@pytest.mark.parametrize("period", [timedelta(0), -HOUR, timedelta.min])
async def test_a_period_of_nothing_is_none(jobs: JobRepository, period: timedelta) -> None:
    first = await jobs.add("anna", "t", {}, unique_key="k", unique_for=period)
    assert await jobs.add("anna", "t", {}, unique_key="k", unique_for=period) == first
    await jobs.succeed(first.id)
    assert (await jobs.add("anna", "t", {}, unique_key="k", unique_for=period)).id != first.id


async def test_an_endless_period_allows_one_job_for_ever(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    job = await jobs.add("anna", "t", {}, unique_key="k")
    ended = await jobs.succeed(job.id)
    clock.advance(10 * 365 * 86_400)
    assert await jobs.add("anna", "t", {}, unique_key="k", unique_for=timedelta.max) == ended


async def test_tasks_and_units_that_add_one_key_at_once_add_one_job(
    database: Database, jobs: JobRepository
) -> None:
    async def in_unit() -> reelbase.Job:
        async with database.transaction() as unit:
            return await unit.jobs.add("anna", "t", {}, unique_key="k")

    alone = (jobs.add("anna", "t", {}, unique_key="k") for _ in range(50))
    added = await asyncio.gather(*alone, *(in_unit() for _ in range(20)))
    assert len({job.id for job in added}) == 1


async def test_a_unit_that_is_rolled_back_leaves_the_key_free(
    database: Database, jobs: JobRepository
) -> None:
    async with database.transaction() as unit:
        undone = await unit.jobs.add("anna", "t", {}, unique_key="k")
        await unit.rollback()
    assert (await jobs.add("anna", "t", {}, unique_key="k")).id != undone.id


ADDER = textwrap.dedent(
    """
    import asyncio, sys
    import reelbase

    path, journal = sys.argv[1:]

    async def main():
        async with reelbase.connect(path, journal=journal, busy_timeout=60) as database:
            print("ready", flush=True)
            sys.stdin.readline()
            for number in range(40):
                job = await database.jobs.add("anna", "t", {}, unique_key=f"k{number}")
                print(number, job.id, flush=True)
                await database.jobs.succeed((await database.jobs.add("anna", "u", {})).id)

    asyncio.run(main())
    """
)


@pytest.mark.long
async def test_eight_processes_that_add_the_same_keys_add_each_once(
    database: Database, jobs: JobRepository, path: Path, journal: str
) -> None:
    source = str(Path(reelbase.__file__).parents[1])
    adders = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", "-c", ADDER, str(path), journal),
            env=os.environ | {"PYTHONPATH": source},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(8)
    ]
    for adder in adders:
        assert adder.stdout is not None
        assert await adder.stdout.readline() == b"ready\n"
    outputs = await asyncio.gather(*(adder.communicate(b"go\n") for adder in adders))
    assert [adder.returncode for adder in adders] == [0] * 8
    lines = [line for output, _ in outputs for line in output.decode().splitlines()]
    assert len(lines) == 8 * 40
    assert len(set(lines)) == 40
    assert len(await jobs.list_unfinished()) == 40
