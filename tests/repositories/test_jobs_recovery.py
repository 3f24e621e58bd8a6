"""Promises about jobs after a restart, about their deletion, and about the lists of them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

import pytest

import reelbase
from reelbase import Database, Job, JobRepository, RecordNotFoundError, RecoveryReport
from reelbase.testing.clock import START, FrozenClock

Look = Callable[[str], list[tuple[object, ...]]]
DEFAULT_MESSAGE = "interrupted by restart"


@pytest.fixture
async def jobs(database: Database) -> JobRepository:
    await database.profiles.ensure("anna")
    await database.profiles.ensure("ben")
    return database.jobs


async def claim(jobs: JobRepository, worker: str = "w", lease: float = 60.0) -> Job:
    job = await jobs.claim(worker, lease=lease)
    assert job is not None
    return job


async def statuses(jobs: JobRepository, parent_id: UUID) -> list[str]:
    return [str(child.status) for child in await jobs.list_children(parent_id)]


# recover()


async def test_nothing_to_recover(jobs: JobRepository) -> None:
    assert await jobs.recover() == RecoveryReport(failed=0, left_queued=0)


async def test_a_running_job_without_a_lease_fails_at_its_last_attempt(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    job = await jobs.add("anna", "t", {})
    await jobs.update(job.id, status="running", progress=0.5, result={"partial": 1})
    now = clock.advance(1)
    assert await jobs.recover() == RecoveryReport(failed=1, left_queued=0)
    failed = await jobs.get(job.id)
    assert (failed.status, failed.error) == ("failed", DEFAULT_MESSAGE)
    assert (failed.finished_at, failed.updated_at) == (now, now)
    assert (failed.progress, failed.result) == (0.5, {"partial": 1})


@pytest.mark.parametrize("waited", [60, 61, 10**6])
async def test_a_running_job_whose_lease_has_expired_fails_at_its_last_attempt(
    jobs: JobRepository, clock: FrozenClock, waited: float
) -> None:
    await jobs.add("anna", "t", {})
    job = await claim(jobs)
    clock.advance(waited)
    assert await jobs.recover() == RecoveryReport(failed=1, left_queued=0)
    failed = await jobs.get(job.id)
    assert (failed.status, failed.lease_expires_at, failed.attempts) == ("failed", None, 1)
    assert await jobs.claim("w") is None


async def test_what_has_attempts_left_is_queued_again_before_and_after_the_leases_end(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    """However long the restart took, the same attempts are made."""
    job = await jobs.add("anna", "t", {}, max_attempts=3)
    for attempt in (1, 2):
        assert (await claim(jobs, lease=60)).attempts == attempt
        assert await jobs.recover() == RecoveryReport(failed=0, left_queued=0)
        clock.advance(60)
        assert await jobs.recover(message="power cut") == RecoveryReport(failed=0, left_queued=1)
        waiting = await jobs.get(job.id)
        assert (waiting.status, waiting.attempts) == ("queued", attempt)
        assert (waiting.worker, waiting.lease_expires_at) == (None, None)
        assert (waiting.error, waiting.error_code) == ("power cut", "interrupted")
    assert (await claim(jobs, lease=60)).attempts == 3
    clock.advance(60)
    assert await jobs.recover() == RecoveryReport(failed=1, left_queued=0)
    assert await jobs.recover() == RecoveryReport(failed=0, left_queued=0)


async def test_a_run_without_a_lease_counts_as_an_attempt(jobs: JobRepository) -> None:
    job = await jobs.add("anna", "t", {}, max_attempts=2)
    await jobs.update(job.id, status="running")
    assert await jobs.recover() == RecoveryReport(failed=0, left_queued=1)
    await jobs.update(job.id, status="running")
    assert await jobs.recover() == RecoveryReport(failed=1, left_queued=0)


async def test_a_batch_goes_on_when_its_interrupted_child_is_queued_again(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    parent = await jobs.add("anna", "t", {}, total=2)
    first = await jobs.add("anna", "t", {}, parent.id, max_attempts=2)
    second = await jobs.add("anna", "t", {}, parent.id)
    await claim(jobs, lease=5)
    clock.advance(5)
    assert await jobs.recover() == RecoveryReport(failed=0, left_queued=2)
    assert (await jobs.get(parent.id)).status == "running"
    for child in (first, second):
        assert (await claim(jobs)).id == child.id
        await jobs.succeed(child.id, worker="w")
    assert (await jobs.get(parent.id)).status == "succeeded"


async def test_an_unexpired_lease_is_left_alone(jobs: JobRepository, clock: FrozenClock) -> None:
    await jobs.add("anna", "t", {})
    job = await claim(jobs)
    clock.advance(59.999)
    assert await jobs.recover() == RecoveryReport(failed=0, left_queued=0)
    assert await jobs.get(job.id) == job
    assert (await jobs.succeed(job.id, worker="w")).status == "succeeded"


async def test_top_level_queued_jobs_stay(jobs: JobRepository) -> None:
    before = [
        await jobs.add("anna", "t", {}),
        await jobs.add("ben", "t", {}, run_after=START + timedelta(days=9)),
        await jobs.add("ben", "t", {}, total=5),
    ]
    assert await jobs.recover() == RecoveryReport(failed=0, left_queued=3)
    assert [await jobs.get(job.id) for job in before] == before


async def test_a_queued_batch_stays_as_a_whole(jobs: JobRepository) -> None:
    parent, children = await jobs.add_batch("anna", "t", {}, [{}, {}])
    assert await jobs.recover() == RecoveryReport(failed=0, left_queued=3)
    assert [await jobs.get(parent.id), *await jobs.list_children(parent.id)] == [parent, *children]


async def test_finished_jobs_are_left_alone(jobs: JobRepository, clock: FrozenClock) -> None:
    before = []
    for end in ("succeeded", "failed", "cancelled"):
        job = await jobs.add("anna", "t", {})
        before.append(await jobs.update(job.id, status=end))
    clock.advance(1)
    assert await jobs.recover() == RecoveryReport(failed=0, left_queued=0)
    assert [await jobs.get(job.id) for job in before] == before


async def test_jobs_of_every_profile_are_recovered(jobs: JobRepository) -> None:
    for profile in ("anna", "ben"):
        job = await jobs.add(profile, "t", {})
        await jobs.update(job.id, status="running")
    await jobs.add("ben", "t", {})
    assert await jobs.recover() == RecoveryReport(failed=2, left_queued=1)
    assert await jobs.recover() == RecoveryReport(failed=0, left_queued=1)


@pytest.mark.parametrize("message", ["the server was restarted", "", "…"])
async def test_the_message_is_the_error(jobs: JobRepository, message: str) -> None:
    parent, children = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await jobs.update(children[0].id, status="running")
    assert (await jobs.recover(message=message)).failed == 3
    for job in (parent, *children):
        assert (await jobs.get(job.id)).error == message


async def test_an_interrupted_batch_fails_with_its_queued_children(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    parent, children = await jobs.add_batch("anna", "t", {}, [{}, {}, {}, {}])
    await claim(jobs, lease=5)
    done = await jobs.succeed(children[0].id, {"r": 1})
    await claim(jobs, lease=5)
    await jobs.add("anna", "t", {})
    now = clock.advance(5)
    assert await jobs.recover() == RecoveryReport(failed=4, left_queued=1)
    assert await jobs.get(children[0].id) == done
    assert await statuses(jobs, parent.id) == ["succeeded", "failed", "failed", "failed"]
    for child in await jobs.list_children(parent.id):
        assert child.finished_at is not None
    failed = await jobs.get(parent.id)
    assert (failed.status, failed.error, failed.result) == ("failed", DEFAULT_MESSAGE, None)
    assert (failed.completed, failed.progress, failed.finished_at) == (4, 1.0, now)


async def test_a_batch_interrupted_between_two_children_fails_too(jobs: JobRepository) -> None:
    parent, children = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await claim(jobs)
    await jobs.succeed(children[0].id)
    assert (await jobs.get(parent.id)).status == "running"
    assert await jobs.recover() == RecoveryReport(failed=2, left_queued=0)
    assert await statuses(jobs, parent.id) == ["succeeded", "failed"]
    assert (await jobs.get(parent.id)).status == "failed"


async def test_a_batch_in_the_hands_of_another_process_is_left_alone(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    parent, children = await jobs.add_batch("anna", "t", {}, [{}, {}, {}])
    await claim(jobs, "dead", lease=5)
    await claim(jobs, "alive", lease=60)
    clock.advance(5)
    assert await jobs.recover() == RecoveryReport(failed=1, left_queued=1)
    assert await statuses(jobs, parent.id) == ["failed", "running", "queued"]
    followed = await jobs.get(parent.id)
    assert (followed.status, followed.completed) == ("running", 1)
    await jobs.succeed(children[1].id, worker="alive")
    await jobs.succeed(children[2].id)
    assert (await jobs.get(parent.id)).status == "succeeded"


async def test_queued_children_of_a_parent_that_failed_otherwise_stay(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    parent, (first, second) = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await jobs.fail(parent.id, "no", error_code="interrupted")
    clock.advance(1)
    assert await jobs.recover() == RecoveryReport(failed=0, left_queued=2)
    assert await jobs.list_children(parent.id) == [first, second]


async def test_what_is_retried_after_recovery_is_not_failed_by_the_next(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    parent, (first, second) = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await jobs.update(first.id, status="running")
    assert (await jobs.recover()).failed == 3
    clock.advance(1)
    await jobs.retry(second.id)
    assert await jobs.recover() == RecoveryReport(failed=0, left_queued=1)
    again = await jobs.retry(parent.id)
    assert (again.status, again.error) == ("queued", None)
    assert await jobs.recover() == RecoveryReport(failed=0, left_queued=3)
    assert [(await claim(jobs)).id, (await claim(jobs)).id] == [first.id, second.id]


async def test_a_parent_claimed_before_it_had_children_fails_with_its_lease(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    parent = await jobs.add("anna", "t", {}, total=2)
    await claim(jobs, lease=5)
    child = await jobs.add("anna", "t", {}, parent.id)
    clock.advance(4.999)
    assert await jobs.recover() == RecoveryReport(failed=0, left_queued=1)
    clock.advance(0.001)
    assert await jobs.recover() == RecoveryReport(failed=2, left_queued=0)
    assert (await jobs.get(parent.id)).status == (await jobs.get(child.id)).status == "failed"


@pytest.mark.long
async def test_recovery_after_a_reopening(
    path: Any, journal: Literal["wal", "delete"], clock: FrozenClock
) -> None:
    async with reelbase.connect(path, journal=journal, clock=clock) as database:
        await database.profiles.ensure("anna")
        lost = await database.jobs.add("anna", "t", {})
        await database.jobs.update(lost.id, status="running", progress=0.25)
        waiting = await database.jobs.add("anna", "t", {})
    async with reelbase.connect(path, journal=journal, clock=clock) as database:
        assert [job.id for job in await database.jobs.list_unfinished()] == [lost.id, waiting.id]
        assert await database.jobs.recover() == RecoveryReport(failed=1, left_queued=1)
        assert (await database.jobs.get(lost.id)).progress == 0.25


# purge()


async def test_purge_removes_what_finished_longer_ago(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    for end in ("succeeded", "failed", "cancelled"):
        job = await jobs.add("anna", "t", {})
        await jobs.update(job.id, status=end)
    clock.advance(3600)
    assert await jobs.purge(timedelta(hours=1)) == 0  # exactly an hour is not longer
    clock.advance(0.001)
    young = await jobs.succeed((await jobs.add("anna", "t", {})).id)
    assert await jobs.purge(timedelta(hours=1)) == 3
    assert await jobs.list_for_profile("anna") == [young]
    assert await jobs.purge(timedelta(0)) == 0
    clock.advance(0.001)
    assert await jobs.purge(timedelta(0)) == 1


async def test_purge_goes_by_the_end_not_by_the_beginning(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    old = await jobs.add("anna", "t", {})
    clock.advance(10**6)
    await jobs.succeed(old.id)
    assert await jobs.purge(timedelta(hours=1)) == 0


async def test_purge_leaves_unfinished_jobs(jobs: JobRepository, clock: FrozenClock) -> None:
    queued = await jobs.add("anna", "t", {}, run_after=START + timedelta(days=1))
    running = await jobs.add("anna", "t", {})
    await claim(jobs)
    again = await jobs.retry((await jobs.cancel((await jobs.add("anna", "t", {})).id)).id)
    clock.advance(10**8)
    assert await jobs.purge(timedelta(0)) == 0
    assert {job.id for job in await jobs.list_unfinished()} == {queued.id, running.id, again.id}


async def test_purge_counts_batches_as_one_and_takes_their_children(
    jobs: JobRepository, clock: FrozenClock, look: Look
) -> None:
    file_id = "01890000-0000-7000-8000-00000000000a"
    _, children = await jobs.add_batch("anna", "t", {}, [{"file_id": file_id}] * 3)
    for child in children:
        await jobs.succeed(child.id)
    await jobs.succeed((await jobs.add("ben", "t", {})).id)
    clock.advance(1)
    assert await jobs.purge(timedelta(0)) == 2
    assert look("SELECT count(*) FROM jobs") == [(0,)]
    assert look("SELECT count(*) FROM job_references") == [(0,)]


async def test_purge_leaves_the_finished_children_of_an_unfinished_batch(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    parent, (first, _) = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await jobs.succeed(first.id)
    clock.advance(10**6)
    assert await jobs.purge(timedelta(0)) == 0
    assert len(await jobs.list_children(parent.id)) == 2


async def test_purge_keeps_a_finished_batch_that_still_has_work(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    parent, (first, second) = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await jobs.fail(parent.id, "no")
    await jobs.succeed(first.id)
    clock.advance(1)
    assert await jobs.purge(timedelta(0)) == 0
    await jobs.succeed(second.id)
    clock.advance(1)
    assert await jobs.purge(timedelta(0)) == 1


async def test_nothing_is_older_than_for_ever(jobs: JobRepository, clock: FrozenClock) -> None:
    await jobs.succeed((await jobs.add("anna", "t", {})).id)
    clock.advance(1)
    assert await jobs.purge(timedelta(days=700_000)) == 0
    assert await jobs.purge(timedelta.max) == 0


# delete()


async def test_delete_takes_the_children_and_nobody_else(jobs: JobRepository, look: Look) -> None:
    parent, children = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await claim(jobs)
    other, others = await jobs.add_batch("anna", "t", {}, [{}])
    single = await jobs.add("ben", "t", {})
    assert await jobs.delete(parent.id) is True
    for job in (parent, *children):
        assert await jobs.find(job.id) is None
    assert look("SELECT count(*) FROM jobs") == [(3,)]
    assert [await jobs.get(job.id) for job in (other, *others, single)] == [other, *others, single]
    with pytest.raises(RecordNotFoundError):
        await jobs.delete(parent.id)


async def test_a_deleted_child_leaves_its_parent_and_siblings(jobs: JobRepository) -> None:
    parent, (first, second) = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await jobs.delete(str(first.id), missing_ok=True)
    assert await jobs.list_children(parent.id) == [second]
    assert (await jobs.get(parent.id)).total == 1


async def test_a_deleted_job_cannot_be_finished(jobs: JobRepository) -> None:
    await jobs.add("anna", "t", {})
    job = await claim(jobs)
    await jobs.delete(job.id)
    with pytest.raises(RecordNotFoundError):
        await jobs.succeed(job.id, worker="w")
    with pytest.raises(RecordNotFoundError):
        await jobs.heartbeat(job.id, "w")


# Lists


async def test_a_profiles_jobs_are_listed_newest_first(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    added = []
    for number in range(12):
        added.append(await jobs.add("anna", "t", {"n": number}, priority=number % 3))
        await jobs.add("ben", "t", {})
        clock.advance(number // 4 % 2)
    expected = added[::-1]
    assert await jobs.list_for_profile("anna") == expected
    assert await jobs.list_for_profile("anna", True) == expected
    assert await jobs.list_for_profile("anna", limit=5) == expected[:5]
    assert await jobs.list_for_profile("anna", limit=5, offset=10) == expected[10:]
    assert await jobs.list_for_profile("anna", offset=7) == expected[7:]
    assert await jobs.list_for_profile("anna", limit=0) == []
    assert await jobs.list_for_profile("anna", limit=99, offset=99) == []
    assert await jobs.list_for_profile("nobody") == []


@pytest.mark.parametrize("bad", [{"limit": -1}, {"offset": -1}])
@pytest.mark.parametrize("active_only", [False, True])
async def test_a_negative_limit_or_offset_is_a_value_error(
    jobs: JobRepository, active_only: bool, bad: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        await jobs.list_for_profile(
            "anna", active_only, limit=bad.get("limit"), offset=bad.get("offset", 0)
        )


async def test_children_are_not_among_a_profiles_jobs(jobs: JobRepository) -> None:
    parent, _ = await jobs.add_batch("anna", "t", {}, [{}, {}])
    assert await jobs.list_for_profile("anna") == [parent]
    assert await jobs.list_for_profile("anna", active_only=True) == [parent]


async def test_active_only_is_queued_and_running(jobs: JobRepository) -> None:
    by_status: dict[str, Job] = {}
    for status in ("queued", "running", "succeeded", "failed", "cancelled"):
        job = await jobs.add("anna", "t", {})
        by_status[status] = await jobs.update(job.id, status=status)
    active = [by_status["running"], by_status["queued"]]
    assert await jobs.list_for_profile("anna", active_only=True) == active
    assert await jobs.list_for_profile("anna", active_only=True, limit=1, offset=1) == active[1:]
    assert len(await jobs.list_for_profile("anna")) == 5


async def test_unfinished_jobs_are_listed_oldest_first_across_profiles(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    assert await jobs.list_unfinished() == []
    first = await jobs.add("anna", "t", {}, priority=-9)
    parent, (done, waiting) = await jobs.add_batch("ben", "t", {}, [{}, {}])
    clock.advance(1)
    urgent = await jobs.add("anna", "t", {}, priority=9)
    clock.advance(-5)  # a clock that went back
    oldest = await jobs.add("ben", "t", {}, run_after=START + timedelta(days=1))
    await jobs.succeed(done.id)
    await jobs.update(waiting.id, status="running")
    listed = [job.id for job in await jobs.list_unfinished()]
    assert listed == [oldest.id, first.id, parent.id, waiting.id, urgent.id]
    await jobs.cancel(urgent.id)
    await jobs.succeed(waiting.id)
    assert [job.id for job in await jobs.list_unfinished()] == [oldest.id, first.id]
