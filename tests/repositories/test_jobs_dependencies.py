"""Promises of dependencies: a job waits until others have succeeded, and ends with one that does not."""

import asyncio
import os
import sys
import textwrap
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

import reelbase
from reelbase import (
    ConstraintError,
    Database,
    InvalidArgumentError,
    InvalidTransitionError,
    Job,
    JobRepository,
    RecordNotFoundError,
)
from reelbase.testing.clock import START, FrozenClock

Look = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture
async def jobs(database: Database) -> JobRepository:
    """The queue of a database that knows the profiles anna and ben."""
    await database.profiles.ensure("anna")
    await database.profiles.ensure("ben")
    return database.jobs


async def add(jobs: JobRepository, *after: Job, kind: str = "t", **options: Any) -> Job:
    return await jobs.add("anna", kind, {}, after=[job.id for job in after], **options)


async def claimed(jobs: JobRepository, *types: str) -> list[UUID]:
    """All that can be claimed now: of these types, or of any if none is named."""
    return [job.id for job in await jobs.claim_many("w", 20, types=types or None)]


# Waiting


@pytest.mark.parametrize("types", [(), ("t", "u")], ids=["any", "typed"])
async def test_a_job_is_claimed_once_all_that_it_waits_for_have_succeeded(
    jobs: JobRepository, types: tuple[str, ...]
) -> None:
    first, second = await add(jobs, kind="u"), await add(jobs, kind="u")
    last = await add(jobs, first, second, priority=9)
    assert (last.status, last.waiting_for) == ("queued", 2)
    assert await claimed(jobs, *types) == [first.id, second.id]
    await jobs.succeed(first.id)
    assert await claimed(jobs, *types) == []
    assert (await jobs.get(last.id)).waiting_for == 1
    await jobs.succeed_many([(await jobs.get(second.id), None)])
    assert await claimed(jobs, *types) == [last.id]


async def test_a_job_waits_for_its_time_and_for_others(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    first = await add(jobs)
    last = await add(jobs, first, run_after=START + timedelta(seconds=1))
    assert await claimed(jobs) == [first.id]
    clock.advance(1)
    assert await claimed(jobs) == []
    await jobs.succeed(first.id)
    assert await claimed(jobs) == [last.id]


async def test_what_has_succeeded_before_is_not_waited_for(jobs: JobRepository) -> None:
    done, other = await add(jobs), await add(jobs)
    await jobs.succeed(done.id)
    assert (await add(jobs, done)).waiting_for == 0
    assert (await add(jobs, done, other, done)).waiting_for == 1


async def test_a_batch_is_waited_for_until_it_ends(jobs: JobRepository) -> None:
    parent, children = await jobs.add_batch("anna", "t", {}, [{}] * 3)
    last = await add(jobs, parent)
    assert len(await claimed(jobs)) == 3
    await jobs.succeed(children[0].id)
    await jobs.fail(children[1].id, "broken")
    assert await claimed(jobs) == []
    await jobs.cancel(children[2].id)
    assert await claimed(jobs) == [last.id]


async def test_a_retry_that_is_to_come_is_waited_for(jobs: JobRepository) -> None:
    first = await add(jobs, max_attempts=2)
    last = await add(jobs, first)
    await claimed(jobs)
    await jobs.fail(first.id, "broken", retry_in=0)
    assert (await jobs.get(last.id)).status == "queued"
    assert await claimed(jobs) == [first.id]
    await jobs.succeed(first.id)
    assert await claimed(jobs) == [last.id]


async def test_who_retries_what_has_succeeded_has_others_wait_again(jobs: JobRepository) -> None:
    first = await add(jobs)
    last = await add(jobs, first)
    await jobs.succeed(first.id)
    await jobs.retry(first.id)
    assert (await jobs.get(last.id)).waiting_for == 1
    assert await claimed(jobs) == [first.id]
    await jobs.succeed(first.id)
    assert await claimed(jobs) == [last.id]


async def test_the_needed_jobs_are_listed_oldest_first(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    first = await add(jobs)
    clock.advance(1)
    second = await add(jobs)
    last = await add(jobs, second, first)
    assert await jobs.list_needed(last.id) == [first, second]
    assert await jobs.list_needed(first.id) == await jobs.list_needed(uuid4()) == []


# What does not succeed

ENDS: dict[str, tuple[Any, str, str]] = {
    "fails": (lambda jobs, job: jobs.fail(job.id, "broken"), "failed", "has failed"),
    "is cancelled": (lambda jobs, job: jobs.cancel(job.id), "cancelled", "was cancelled"),
    "is updated": (lambda jobs, job: jobs.update(job.id, status="failed"), "failed", "has failed"),
    "is deleted": (lambda jobs, job: jobs.delete(job.id), "cancelled", "was cancelled"),
}


@pytest.mark.parametrize("end", ENDS)
async def test_what_waits_ends_with_a_job_that_does_not_succeed(
    jobs: JobRepository, clock: FrozenClock, end: str
) -> None:
    verb, status, reason = ENDS[end]
    first, other = await add(jobs), await add(jobs)
    second = await add(jobs, other, first)
    third = await add(jobs, second)
    clock.advance(1)
    await verb(jobs, first)
    for job in (await jobs.get(second.id), await jobs.get(third.id)):
        assert (job.status, job.error_code, job.finished_at) == (status, "dependency", clock.now)
        assert job.error == f"job {first.id} {reason}, and it waits for that one"
    assert await claimed(jobs) == [other.id]
    assert await jobs.recover() == reelbase.RecoveryReport(failed=0, left_queued=0)


async def test_an_expired_lease_at_the_last_attempt_ends_what_waits(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    first = await add(jobs)
    last = await add(jobs, first)
    await jobs.claim("dead", lease=10)
    clock.advance(10)
    assert await claimed(jobs) == []
    assert (await jobs.get(last.id)).error_code == "dependency"


async def test_a_job_that_was_begun_without_waiting_goes_on(jobs: JobRepository) -> None:
    first = await add(jobs)
    begun = await add(jobs, first)
    behind = await add(jobs, begun)
    await jobs.update(begun.id, status="running")
    await jobs.fail(first.id, "broken")
    assert (await jobs.get(begun.id)).status == "running"
    await jobs.succeed(begun.id)
    assert await claimed(jobs) == [behind.id]


async def test_a_lost_child_ends_its_batch_and_lets_go_what_waits_for_that(
    jobs: JobRepository,
) -> None:
    first = await add(jobs)
    parent = await jobs.add("anna", "batch", {})
    child = await add(jobs, first, parent_id=parent.id)
    last = await add(jobs, parent)
    await jobs.fail(first.id, "broken")
    assert (await jobs.get(child.id)).status == "failed"
    ended = await jobs.get(parent.id)
    assert (ended.status, ended.result) == (
        "succeeded",
        {"succeeded": 0, "failed": 1, "cancelled": 0},
    )
    assert await claimed(jobs) == [last.id]


async def test_a_lost_job_is_retried_after_the_one_that_it_waits_for(jobs: JobRepository) -> None:
    first = await add(jobs)
    last = await add(jobs, first)
    await jobs.fail(first.id, "broken")
    lost = await jobs.get(last.id)
    with pytest.raises(InvalidTransitionError, match=f"before job {first.id}"):
        await jobs.retry(last.id)
    assert await jobs.get(last.id) == lost
    await jobs.retry(first.id)
    again = await jobs.retry(last.id)
    assert (again.status, again.waiting_for, again.error) == ("queued", 1, None)
    assert await claimed(jobs) == [first.id]
    await jobs.succeed(first.id)
    assert await claimed(jobs) == [last.id]


async def test_deleted_jobs_that_have_ended_change_nothing_for_others(jobs: JobRepository) -> None:
    done, other = await add(jobs), await add(jobs)
    last = await add(jobs, done, other)
    await jobs.succeed(done.id)
    await jobs.delete(done.id)
    assert (await jobs.get(last.id)).waiting_for == 1
    await jobs.succeed(other.id)
    assert await claimed(jobs) == [last.id]


async def test_a_deleted_profile_takes_its_waiting_jobs_along(
    database: Database, jobs: JobRepository, look: Look
) -> None:
    chain = [await add(jobs)]
    for _ in range(5):
        chain.append(await add(jobs, *chain))
    await database.profiles.delete("anna")
    assert look("SELECT count(*) FROM jobs") == look("SELECT count(*) FROM job_dependencies")


async def test_rows_deleted_at_the_prompt_leave_no_job_that_waits_for_ever(
    database: Database, jobs: JobRepository
) -> None:
    first, other = await add(jobs), await add(jobs)
    second, third = await add(jobs, first), await add(jobs, first, other)
    await database.execute("DELETE FROM job_dependencies WHERE job_id = ?", [third.id])
    assert (await jobs.get(third.id)).waiting_for == 0
    await database.execute("DELETE FROM jobs WHERE id = ?", [first.id])
    lost = await jobs.get(second.id)
    assert (lost.status, lost.waiting_for) == ("cancelled", 0)
    assert lost.error == f"job {first.id} was deleted, and it waits for that one"


# What is refused


async def test_unknown_jobs_and_those_of_other_profiles_are_refused(jobs: JobRepository) -> None:
    known, other = await add(jobs), await jobs.add("ben", "t", {})
    own = uuid4()
    for missing in (uuid4(), other.id, own):
        with pytest.raises(RecordNotFoundError, match=str(missing)):
            await jobs.add("anna", "t", {}, id=own, after=[known.id, missing])
    assert await jobs.list_for_profile("anna") == [known]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_job_that_will_not_succeed_is_not_waited_for(
    jobs: JobRepository, status: Any
) -> None:
    job = await add(jobs)
    await jobs.update(job.id, status=status)
    with pytest.raises(InvalidTransitionError, match=f"{job.id}' is {status}: cannot be waited"):
        await add(jobs, job)
    assert len(await jobs.list_for_profile("anna")) == 1


async def test_wrong_ids_are_refused_by_name(jobs: JobRepository) -> None:
    wrong: Any = 5
    for after in ("x", wrong):
        with pytest.raises(TypeError, match="after"):
            await jobs.add("anna", "t", {}, after=after)
    with pytest.raises(InvalidArgumentError, match="after"):
        await jobs.add("anna", "t", {}, after=["x"])


async def test_a_job_that_waits_takes_no_children(jobs: JobRepository) -> None:
    waiting = await add(jobs, await add(jobs))
    with pytest.raises(ConstraintError, match="no job to wait for"):
        await jobs.add("anna", "t", {}, waiting.id)


async def test_a_key_that_is_taken_adds_no_dependency(jobs: JobRepository) -> None:
    first = await add(jobs)
    known = await jobs.add("anna", "t", {}, unique_key="k")
    same = await jobs.add("anna", "t", {}, id=known.id, unique_key="k", after=[first.id])
    assert same == known
    assert await jobs.list_needed(known.id) == []
    waiting = await jobs.add("anna", "t", {}, unique_key="l", after=[first.id])
    assert waiting.waiting_for == 1
    assert await jobs.add("anna", "t", {}, unique_key="l") == waiting


# Many, and many processes


@pytest.mark.long
async def test_a_job_waits_for_a_thousand(database: Database, jobs: JobRepository) -> None:
    async with database.transaction() as unit:
        needed = [await unit.jobs.add("anna", "t", {}) for _ in range(1000)]
        last = await unit.jobs.add("anna", "last", {}, after=(job.id for job in needed))
    assert last.waiting_for == 1000
    found = await jobs.claim_many("w", 1000)
    await jobs.succeed_many((job, None) for job in found[:-1])
    assert (await jobs.get(last.id)).waiting_for == 1
    await jobs.succeed_many([(found[-1], None)])
    assert await claimed(jobs) == [last.id]


WORKER = textwrap.dedent(
    """
    import asyncio, sys
    import reelbase

    path, journal, name = sys.argv[1:]

    async def main():
        async with reelbase.connect(path, journal=journal, busy_timeout=60) as database:
            jobs = database.jobs
            print("ready", flush=True)
            sys.stdin.readline()
            while await jobs.list_unfinished():
                job = await jobs.claim(name)
                if job is None:
                    await asyncio.sleep(0.005)
                    continue
                for needed in await jobs.list_needed(job.id):
                    if needed.status != "succeeded":
                        print(job.id, "began before", needed.id, flush=True)
                if job.params["fails"]:
                    await jobs.fail(job.id, "broken", worker=name)
                else:
                    await jobs.succeed(job.id, worker=name)

    asyncio.run(main())
    """
)


@pytest.mark.long
async def test_eight_processes_begin_no_job_before_what_it_waits_for(
    database: Database, jobs: JobRepository, path: Path, journal: str
) -> None:
    async with database.transaction() as unit:
        layer = [await unit.jobs.add("anna", "t", {"fails": False}) for _ in range(8)]
        for depth in range(8):
            layer = [
                await unit.jobs.add(
                    "anna",
                    "t",
                    {"fails": (depth, place) == (3, 7)},
                    after=[layer[place].id, layer[(place + 1) % 6].id],
                )
                for place in range(8)
            ]
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
    outputs = await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
    assert [worker.returncode for worker in workers] == [0] * 8
    assert [output for output, _ in outputs] == [b""] * 8
    # One job fails; what needs it, directly or not, is the last of each layer after it.
    assert await jobs.counts_by_status("anna") == {"failed": 5, "succeeded": 67}
