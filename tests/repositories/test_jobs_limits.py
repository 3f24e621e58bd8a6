"""Promises of pauses and limits of a type: what is not claimed, whichever process asks."""

import asyncio
import os
import sys
import textwrap
from datetime import UTC, datetime, timedelta
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


async def test_under_a_lower_limit_no_more_are_taken_over_than_may_run(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    await add(jobs, 5, max_attempts=2)
    long, *_ = [await jobs.claim("w", lease=lease) for lease in (60, 10, 10, 10)]
    assert long is not None
    await jobs.limit("t", running=2)
    clock.advance(10)
    (job,) = await claimed(jobs)
    assert job.attempts == 2
    await jobs.succeed(long.id)
    (job,) = await claimed(jobs)
    assert job.attempts == 2


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


# Starts


@pytest.mark.parametrize("types", [(), ("t", "u")], ids=["any", "typed"])
async def test_no_more_jobs_of_a_type_start_within_a_period_than_its_limit(
    jobs: JobRepository, clock: FrozenClock, types: tuple[str, ...]
) -> None:
    await jobs.limit("t", starts=2, per=timedelta(seconds=10))
    await add(jobs, 6, "t", priority=9)
    await add(jobs, 1, "u")
    assert [job.type for job in await claimed(jobs, *types)] == ["t", "t", "u"]
    clock.advance(9.999)
    assert await claimed(jobs, *types) == []
    clock.advance(0.001)
    assert len(await claimed(jobs, *types)) == 2


async def test_the_period_is_any_of_its_length_and_not_one_of_the_clock(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    await jobs.limit("t", starts=3, per=timedelta(seconds=10))
    await add(jobs, 20)
    starts = []
    for second in range(23):
        if await jobs.claim("w") is not None:
            starts.append(second)
        clock.advance(1)
    assert starts == [0, 1, 2, 10, 11, 12, 20, 21, 22]


async def test_jobs_that_are_claimed_together_all_count(jobs: JobRepository) -> None:
    await jobs.limit("t", starts=3, per=timedelta(seconds=10))
    await add(jobs, 9)
    assert len(await jobs.claim_many("w", 9)) == 3
    assert await jobs.claim_many("v", 9) == []


async def test_a_later_attempt_and_a_job_that_was_given_back_are_starts(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    await jobs.limit("t", starts=2, per=timedelta(seconds=100))
    (job,) = await add(jobs, 1, max_attempts=9)
    await claimed(jobs)
    await jobs.release(job.id, "w")
    await claimed(jobs)
    await jobs.release(job.id, "w")
    assert await claimed(jobs) == []
    clock.advance(100)
    await jobs.claim("dead", lease=10)
    clock.advance(10)
    assert len(await claimed(jobs)) == 1
    clock.advance(60)  # the second lease has expired, and both starts still count
    assert await claimed(jobs) == await claimed(jobs, "t") == []
    clock.advance(30)
    assert len(await claimed(jobs)) == 1


async def test_both_limits_of_a_type_hold(jobs: JobRepository, clock: FrozenClock) -> None:
    await jobs.limit("t", running=2, starts=3, per=timedelta(seconds=10))
    await add(jobs, 9)
    first, _ = await claimed(jobs)
    clock.advance(9)
    assert await claimed(jobs) == []
    await jobs.succeed(first.id)
    assert len(await claimed(jobs)) == 1


async def test_a_limit_of_starts_is_set_changed_and_taken_away_beside_the_other(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    assert await jobs.rates() == {}
    assert not await jobs.limit("t", starts=None)
    assert not await jobs.limit("t")
    assert await jobs.limit("t", starts=2, per=timedelta(milliseconds=1500, microseconds=1))
    assert not await jobs.limit("t", starts=2, per=timedelta(milliseconds=1501))
    assert await jobs.limit("t", running=5)
    assert await jobs.rates() == {"t": (2, timedelta(milliseconds=1501))}
    assert await jobs.limits() == {"t": 5}
    assert await jobs.limit("t", starts=1, per=timedelta(hours=1))
    await add(jobs, 9)
    assert len(await claimed(jobs)) == 1
    assert await jobs.limit("t", starts=3, per=timedelta(hours=1))
    assert len(await claimed(jobs)) == 2
    assert await jobs.limit("t", starts=None)
    assert (await jobs.rates(), await jobs.limits()) == ({}, {"t": 5})
    assert len(await claimed(jobs)) == 2
    assert await jobs.limit("t", running=None, starts=1, per=timedelta(hours=1))
    assert len(await claimed(jobs)) == 1  # those of before are forgotten


async def test_a_clock_that_was_wrong_for_a_while_does_not_hold_jobs_back_for_ever(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    await jobs.limit("t", starts=2, per=timedelta(seconds=10))
    await add(jobs, 20)
    await claimed(jobs)
    clock.advance(days=9_000)
    await claimed(jobs)
    clock.now = START + timedelta(seconds=30)
    assert len(await claimed(jobs)) == 2
    clock.advance(10)
    assert len(await claimed(jobs)) == 2
    clock.advance(-5)  # a little: what was claimed still counts
    assert await claimed(jobs) == []


@pytest.mark.long
async def test_starts_that_count_no_more_are_deleted(
    database: Database, jobs: JobRepository, clock: FrozenClock
) -> None:
    await jobs.limit("t", starts=50, per=timedelta(seconds=10))
    await add(jobs, 200)
    for _ in range(20):
        await jobs.claim_many("w", 50)
        clock.advance(5)
    kept = await database.fetch_one(int, "SELECT count(*) FROM job_starts")
    assert kept == 50
    await jobs.limit("t", starts=5, per=timedelta(seconds=10))
    for _ in range(20):
        await add(jobs, 5)
        await claimed(jobs)
        clock.advance(10)
    assert await database.fetch_one(int, "SELECT count(*) FROM job_starts") == 5


@pytest.mark.parametrize("starts", [0, -1, 2**63])
async def test_a_number_of_starts_that_is_none_is_refused(jobs: JobRepository, starts: int) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        await jobs.limit("t", starts=starts, per=timedelta(seconds=1))
    assert caught.value.parameter == "starts"
    assert await jobs.rates() == {}


@pytest.mark.parametrize(
    "options",
    [
        {"starts": 1},
        {"starts": 1, "per": timedelta(0)},
        {"starts": 1, "per": timedelta(microseconds=999)},
        {"starts": 1, "per": timedelta(days=367)},
        {"starts": 1, "per": -timedelta(seconds=1)},
        {"starts": None, "per": timedelta(seconds=1)},
        {"per": timedelta(seconds=1)},
    ],
)
async def test_a_period_that_is_none_is_refused(
    jobs: JobRepository, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        await jobs.limit("t", **options)
    assert caught.value.parameter == "per"
    assert await jobs.rates() == {}


# Processes

WORKER = textwrap.dedent(
    """
    import asyncio, random, sys, time
    from datetime import datetime
    import reelbase

    path, journal, name, *mutant = sys.argv[1:]
    for statement in ("_claim", "_claim_of_types") if mutant else ():
        command = getattr(reelbase.JobRepository, statement)
        changed = reelbase.Command(
            reelbase.Job, command.sql.replace(*mutant), params={"types": list[str], "soon": datetime}
        )
        assert changed.sql != command.sql
        setattr(reelbase.JobRepository, statement, changed)

    async def work(jobs, name):
        ends = time.monotonic() + 120
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


async def run_eight_processes(path: Path, journal: str, *mutant: str) -> None:
    """Has all jobs done by processes that claim under short leases and often forget what they claimed."""
    source = str(Path(reelbase.__file__).parents[1])
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", "-c", WORKER, str(path), journal, f"p{number}", *mutant),
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


async def all_were_done(jobs: JobRepository, added: list[Job]) -> None:
    ended = [await jobs.get(job.id) for job in added]
    assert {job.status for job in ended} == {"succeeded"}
    assert sum(job.attempts for job in ended) > len(ended)  # some were taken over


async def most_at_once(
    database: Database, jobs: JobRepository, path: Path, journal: str, *mutant: str
) -> int:
    """How many jobs of a type ran at once at most, in eight processes that had a limit of three."""
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
    added = await add(jobs, 60, "t", max_attempts=1000) + await add(
        jobs, 20, "u", max_attempts=1000
    )
    await run_eight_processes(path, journal, *mutant)
    await all_were_done(jobs, added)
    return await database.fetch_one(int, "SELECT max(running) FROM most")


@pytest.mark.long
async def test_eight_processes_never_exceed_a_limit_while_leases_expire(
    database: Database, jobs: JobRepository, path: Path, journal: str
) -> None:
    assert await most_at_once(database, jobs, path, journal) == 3


@pytest.mark.long
async def test_the_processes_find_a_claim_that_allows_one_too_many(
    database: Database, jobs: JobRepository, path: Path, journal: str
) -> None:
    mutant = ("limited.room <= 0", "limited.room < 0")
    assert await most_at_once(database, jobs, path, journal, *mutant) > 3


PERIOD = timedelta(seconds=0.3)


async def most_in_a_period(
    database: Database, jobs: JobRepository, path: Path, journal: str, *mutant: str
) -> int:
    """How many jobs started within any period at most, in eight processes that had a limit of five."""
    await jobs.limit("t", starts=5, per=PERIOD)
    await database.execute("CREATE TABLE started (at TEXT NOT NULL) STRICT")
    await database.execute(
        """
        CREATE TRIGGER watch_starts AFTER UPDATE OF worker ON jobs
        WHEN NEW.status = 'running' AND NEW.type = 't'
        BEGIN
          INSERT INTO started VALUES (NEW.updated_at);
        END
        """
    )
    added = await add(jobs, 40, "t", max_attempts=1000) + await add(
        jobs, 20, "u", max_attempts=1000
    )
    await run_eight_processes(path, journal, *mutant)
    await all_were_done(jobs, added)
    starts = await database.fetch_all(datetime, "SELECT at FROM started ORDER BY at")
    return max(sum(0 <= (late - early) / PERIOD < 1 for late in starts) for early in starts)


@pytest.mark.long
async def test_eight_processes_never_start_more_within_a_period_while_leases_expire(
    database: Database, jobs: JobRepository, path: Path, journal: str, clock: FrozenClock
) -> None:
    clock.now = datetime.now(UTC)
    assert await most_in_a_period(database, jobs, path, journal) == 5


@pytest.mark.long
async def test_the_processes_find_a_claim_that_counts_no_starts(
    database: Database, jobs: JobRepository, path: Path, journal: str
) -> None:
    mutant = ("limited.next_start_at > :now", "FALSE")
    assert await most_in_a_period(database, jobs, path, journal, *mutant) > 5
