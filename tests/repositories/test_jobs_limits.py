"""Promises of pauses and limits of a type: what is not claimed, whichever process asks."""

import asyncio
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import Database, InvalidArgumentError, Job, JobRepository
from reelbase.testing.clock import START, FrozenClock


@pytest.fixture
async def jobs(database: Database) -> JobRepository:
    """The queue of a database that knows the profile anna."""
    await database.profiles.ensure("anna")
    return database.jobs


async def add(jobs: JobRepository, count: int, kind: str = "t", **options: Any) -> list[Job]:
    return [await jobs.add("anna", kind, {}, **options) for _ in range(count)]


async def claimed(jobs: JobRepository, *types: str) -> list[Job]:
    """All that can be claimed now: of these types, or of any if none is named."""
    found = []
    while (job := await jobs.claim("w", types=types or None)) is not None:
        found.append(job)
    return found


# Pauses


@pytest.mark.parametrize("types", [(), ("t", "u")], ids=["any", "typed"])
async def test_a_paused_type_is_not_claimed_and_others_are(
    jobs: JobRepository, types: tuple[str, ...]
) -> None:
    await add(jobs, 2, "t", priority=9)
    await add(jobs, 2, "u")
    assert await jobs.pause("t")
    assert [job.type for job in await claimed(jobs, *types)] == ["u", "u"]
    assert await jobs.resume("t")
    assert [job.type for job in await claimed(jobs, *types)] == ["t", "t"]


async def test_what_runs_goes_on_in_a_pause(jobs: JobRepository) -> None:
    (job,) = await add(jobs, 1)
    await jobs.claim("w")
    await jobs.pause("t")
    await jobs.heartbeat(job.id, "w", progress=0.5)
    assert (await jobs.succeed(job.id, worker="w")).status == "succeeded"


async def test_a_paused_type_is_not_taken_over_from_a_dead_worker(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    (job,) = await add(jobs, 1, max_attempts=2)
    await jobs.claim("dead", lease=10)
    await jobs.pause("t")
    clock.advance(10)
    assert await claimed(jobs) == await claimed(jobs, "t") == []
    await jobs.resume("t")
    assert [(found.id, found.attempts) for found in await claimed(jobs)] == [(job.id, 2)]


async def test_a_pause_is_known_by_its_type_and_its_time(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    assert await jobs.paused() == {}
    assert not await jobs.resume("t")
    await jobs.pause("t")
    clock.advance(60)
    assert not await jobs.pause("t")
    await jobs.pause("")
    paused = await jobs.paused()
    assert list(paused) == ["", "t"]
    assert paused["t"] == START
    assert await jobs.resume("t")
    assert list(await jobs.paused()) == [""]


async def test_a_pause_in_a_unit_that_is_rolled_back_is_none(
    database: Database, jobs: JobRepository
) -> None:
    async with database.transaction() as unit:
        await unit.jobs.pause("t")
        assert await unit.jobs.paused() == {"t": START}
        await unit.rollback()
    assert await jobs.paused() == {}


# Limits


@pytest.mark.parametrize("types", [(), ("t", "u")], ids=["any", "typed"])
async def test_no_more_jobs_of_a_type_run_than_its_limit(
    jobs: JobRepository, types: tuple[str, ...]
) -> None:
    await jobs.limit("t", running=2)
    await add(jobs, 5, "t", priority=9)
    await add(jobs, 3, "u")
    found = await claimed(jobs, *types)
    assert [job.type for job in found] == ["t", "t", "u", "u", "u"]


ENDS: dict[str, Any] = {
    "succeed": lambda jobs, job: jobs.succeed(job.id),
    "fail": lambda jobs, job: jobs.fail(job.id, "broken"),
    "try again": lambda jobs, job: jobs.fail(job.id, "broken", retry_in=60),
    "cancel": lambda jobs, job: jobs.cancel(job.id),
    "release": lambda jobs, job: jobs.release(job.id, "w"),
    "snooze": lambda jobs, job: jobs.snooze(job.id, 60, worker="w"),
    "delete": lambda jobs, job: jobs.delete(job.id),
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_job_that_runs_no_more_makes_room_for_one(jobs: JobRepository, end: str) -> None:
    await jobs.limit("t", running=1)
    await add(jobs, 3, max_attempts=3)
    (job,) = await claimed(jobs)
    await ENDS[end](jobs, job)
    assert len(await claimed(jobs)) == 1


async def test_a_dead_worker_counts_until_its_job_is_taken_over_and_no_second_one_begins(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    await jobs.limit("t", running=1)
    first, _ = await add(jobs, 2, max_attempts=2)
    await jobs.claim("dead", lease=10)
    assert await claimed(jobs) == []
    clock.advance(10)
    assert [job.id for job in await claimed(jobs)] == [first.id]


async def test_a_dead_worker_at_its_last_attempt_makes_room(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    await jobs.limit("t", running=1)
    first, second = await add(jobs, 2)
    await jobs.claim("dead", lease=10)
    clock.advance(10)
    assert [job.id for job in await claimed(jobs)] == [second.id]
    assert (await jobs.get(first.id)).error_code == "lease_expired"


async def test_under_a_lower_limit_nothing_is_taken_over_until_fewer_run(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    await add(jobs, 3, max_attempts=2)
    long, _, _ = [await jobs.claim("w", lease=lease) for lease in (60, 10, 10)]
    assert long is not None
    await jobs.limit("t", running=2)
    clock.advance(10)
    assert await claimed(jobs) == []
    await jobs.succeed(long.id)
    assert len(await claimed(jobs)) == 2


async def test_a_batch_counts_by_its_children(jobs: JobRepository) -> None:
    await jobs.limit("t", running=2)
    parent, _ = await jobs.add_batch("anna", "t", {}, [{}] * 3)
    assert len(await claimed(jobs)) == 2
    assert (await jobs.get(parent.id)).status == "running"


async def test_a_run_without_a_worker_counts(jobs: JobRepository) -> None:
    await jobs.limit("t", running=1)
    first, _ = await add(jobs, 2)
    await jobs.update(first.id, status="running")
    assert await claimed(jobs) == []


async def test_a_limit_is_set_changed_and_taken_away(jobs: JobRepository) -> None:
    assert await jobs.limits() == {}
    assert not await jobs.limit("t", running=None)
    assert await jobs.limit("t", running=2)
    assert not await jobs.limit("t", running=2)
    await jobs.pause("t")
    await jobs.limit("a", running=2**63 - 1)
    assert await jobs.limits() == {"a": 2**63 - 1, "t": 2}
    assert await jobs.limit("t", running=None)
    assert list(await jobs.limits()) == ["a"]
    assert list(await jobs.paused()) == ["t"]


@pytest.mark.parametrize("running", [0, -1, 2**63])
async def test_a_limit_that_is_none_is_refused(jobs: JobRepository, running: int) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        await jobs.limit("t", running=running)
    assert caught.value.parameter == "running"
    assert await jobs.limits() == {}


@pytest.mark.parametrize("running", [True, 1.0, "1"])
async def test_a_limit_is_a_number(jobs: JobRepository, running: Any) -> None:
    with pytest.raises(TypeError, match="running"):
        await jobs.limit("t", running=running)
    assert await jobs.limits() == {}


# Processes

WORKER = textwrap.dedent(
    """
    import asyncio, random, sys, time
    import reelbase

    path, journal, name = sys.argv[1:]

    async def work(jobs, name):
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            types = ["t", "u"] if name.endswith("0") else None
            job = await jobs.claim(name, lease=0.3, types=types)
            if job is None:
                if not await jobs.list_unfinished():
                    return
                await asyncio.sleep(0.01)
            elif random.random() < 0.2:  # as if it had been killed
                name += "x"
            else:
                await asyncio.sleep(random.random() * 0.01)
                try:
                    await jobs.succeed(job.id, worker=name, attempt=job.attempts)
                except reelbase.InvalidTransitionError:
                    pass

    async def main():
        async with reelbase.connect(path, journal=journal, busy_timeout=60) as database:
            print("ready", flush=True)
            sys.stdin.readline()
            await asyncio.gather(*(work(database.jobs, f"{name}.{n}") for n in range(2)))

    asyncio.run(main())
    """
)


@pytest.mark.long
async def test_eight_processes_never_exceed_a_limit_while_leases_expire(
    database: Database, jobs: JobRepository, path: Path, journal: str
) -> None:
    await jobs.limit("t", running=3)
    # SQLite itself watches each claim, before it is stored.
    await database.execute("CREATE TABLE most (running INTEGER NOT NULL) STRICT")
    await database.execute(
        """
        CREATE TRIGGER watch_limit AFTER UPDATE OF worker ON jobs
        WHEN NEW.status = 'running'
        BEGIN
          INSERT INTO most SELECT count(*) FROM jobs WHERE status = 'running' AND type = 't';
        END
        """
    )
    limited = await add(jobs, 60, "t", max_attempts=1000)
    free = await add(jobs, 20, "u", max_attempts=1000)
    source = str(Path(reelbase.__file__).parents[1])
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", "-c", WORKER, str(path), journal, f"p{number}"),
            env=os.environ | {"PYTHONPATH": source},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for number in range(8)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert await worker.stdout.readline() == b"ready\n"
    await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
    assert [worker.returncode for worker in workers] == [0] * 8
    ended = [await jobs.get(job.id) for job in limited + free]
    assert {job.status for job in ended} == {"succeeded"}
    assert sum(job.attempts for job in ended) > len(ended)  # some were taken over
    assert await database.fetch_one(int, "SELECT max(running) FROM most") == 3
