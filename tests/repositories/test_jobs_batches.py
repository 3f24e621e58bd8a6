"""Promises of batches: a parent follows its children, in the transaction of the child's change."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from reelbase import ConstraintError, Database, InvalidTransitionError, Job, JobRepository
from reelbase.testing.clock import START, FrozenClock

Look = Callable[[str], list[tuple[object, ...]]]
FINISHED = ("succeeded", "failed", "cancelled")


@pytest.fixture
async def jobs(database: Database) -> JobRepository:
    await database.profiles.ensure("anna")
    await database.profiles.ensure("ben")
    return database.jobs


def counts(succeeded: int = 0, failed: int = 0, cancelled: int = 0) -> dict[str, int]:
    return {"succeeded": succeeded, "failed": failed, "cancelled": cancelled}


async def state(jobs: JobRepository, parent_id: UUID) -> tuple[str, int, float]:
    parent = await jobs.get(parent_id)
    return str(parent.status), parent.completed, parent.progress


# Every way of finishing

Finish = Callable[[JobRepository, UUID, FrozenClock], Awaitable[object]]


async def _lose_the_lease(jobs: JobRepository, child_id: UUID, clock: FrozenClock) -> None:
    job = await jobs.claim("lost", types=["lost"], lease=1)
    assert job is not None
    assert job.id == child_id
    clock.advance(1)
    await jobs.claim("another", types=["nothing like it"])


WAYS: dict[str, tuple[str, Finish]] = {
    "succeed": ("succeeded", lambda jobs, key, _: jobs.succeed(key, {"r": 1})),
    "fail": ("failed", lambda jobs, key, _: jobs.fail(key, "no")),
    "fail without attempts left": (
        "failed",
        lambda jobs, key, _: _claim_then(jobs, key, lambda: jobs.fail(key, "no", retry_in=1)),
    ),
    "cancel": ("cancelled", lambda jobs, key, _: jobs.cancel(key)),
    "update to succeeded": ("succeeded", lambda jobs, key, _: jobs.update(key, status="succeeded")),
    "update to failed": ("failed", lambda jobs, key, _: jobs.update(key, status="failed")),
    "update to cancelled": ("cancelled", lambda jobs, key, _: jobs.update(key, status="cancelled")),
    "lease expired at the last attempt": ("failed", _lose_the_lease),
}


async def _claim_then(
    jobs: JobRepository, child_id: UUID, act: Callable[[], Awaitable[object]]
) -> None:
    job = await jobs.claim("w")
    assert job is not None
    assert job.id == child_id
    await act()


@pytest.mark.parametrize("way", WAYS)
async def test_a_parent_follows_its_children_however_they_finish(
    jobs: JobRepository, clock: FrozenClock, way: str
) -> None:
    status, finish = WAYS[way]
    parent, children = await jobs.add_batch("anna", "lost", {}, [{}, {}, {}])
    for number, child in enumerate(children, 1):
        clock.advance(1)
        await finish(jobs, child.id, clock)
        assert (await jobs.get(child.id)).status == status
        followed = await jobs.get(parent.id)
        assert followed.completed == number
        assert followed.progress == pytest.approx(number / 3)
        assert followed.updated_at == clock.now
        if number < 3:
            assert followed.status in ("queued", "running")
            assert (followed.result, followed.finished_at) == (None, None)
    followed = await jobs.get(parent.id)
    assert followed.status == "succeeded"
    assert followed.progress == 1.0
    assert followed.result == counts(**{status: 3})
    assert followed.finished_at == clock.now
    assert followed.started_at is not None
    assert (followed.error, followed.worker, followed.attempts) == (None, None, 0)


async def test_a_batch_takes_what_a_job_takes(jobs: JobRepository, clock: FrozenClock) -> None:
    later, id = clock.now + timedelta(minutes=1), uuid4()
    parent, children = await jobs.add_batch(
        "anna", "cut", {}, [{}, {}], id=id, priority=5, run_after=later, max_attempts=3
    )
    assert parent.id == id
    assert {(job.priority, job.run_after, job.max_attempts) for job in children} == {(5, later, 3)}
    assert await jobs.claim("w") is None
    clock.advance(60)
    assert await jobs.claim("w") == await jobs.get(children[0].id)
    with pytest.raises(ConstraintError):
        await jobs.add_batch("anna", "cut", {}, [{}], id=id)


async def test_the_result_counts_the_children_by_their_end(jobs: JobRepository) -> None:
    parent, children = await jobs.add_batch("anna", "t", {}, [{}] * 6)
    for child in children[:3]:
        await jobs.succeed(child.id)
    await jobs.fail(children[3].id, "no")
    await jobs.cancel(children[4].id)
    assert (await jobs.get(parent.id)).result is None
    await jobs.fail(children[5].id, "no")
    assert (await jobs.get(parent.id)).result == counts(succeeded=3, failed=2, cancelled=1)


async def test_a_batch_runs_from_its_first_childs_start(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    parent, (first, second) = await jobs.add_batch("anna", "t", {}, [{}, {}])
    assert (parent.status, parent.started_at) == ("queued", None)
    started = clock.advance(1)
    await jobs.claim("w")
    followed = await jobs.get(parent.id)
    assert (followed.status, followed.started_at, followed.updated_at) == (
        "running",
        started,
        started,
    )
    assert (followed.completed, followed.progress) == (0, 0.0)
    clock.advance(1)
    await jobs.claim("w")
    assert (await jobs.get(parent.id)).started_at == started
    await jobs.succeed(first.id)
    finished = clock.advance(1)
    await jobs.succeed(second.id)
    followed = await jobs.get(parent.id)
    assert (followed.started_at, followed.finished_at) == (started, finished)


async def test_update_to_running_starts_the_batch_too(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    parent, (child, _) = await jobs.add_batch("anna", "t", {}, [{}, {}])
    started = clock.advance(1)
    await jobs.update(child.id, status="running")
    followed = await jobs.get(parent.id)
    assert (followed.status, followed.started_at) == ("running", started)


async def test_a_childs_progress_and_a_later_attempt_are_no_end(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    parent = await jobs.add("anna", "t", {}, total=1)
    child = await jobs.add("anna", "t", {}, parent.id, max_attempts=2)
    await jobs.claim("w", lease=5)
    await jobs.heartbeat(child.id, "w", progress=1.0, completed=1, lease=5)
    await jobs.update(child.id, progress=1.0, result={"r": 1})
    assert await state(jobs, parent.id) == ("running", 0, 0.0)
    await jobs.fail(child.id, "busy", retry_in=1)
    assert await state(jobs, parent.id) == ("running", 0, 0.0)
    clock.advance(1)
    await jobs.claim("w", lease=5)
    clock.advance(5)
    assert await state(jobs, parent.id) == ("running", 0, 0.0)
    assert await jobs.claim("w") is None
    assert await state(jobs, parent.id) == ("succeeded", 1, 1.0)


async def test_a_child_in_a_unit_takes_its_parent_along(
    database: Database, jobs: JobRepository
) -> None:
    parent, (child,) = await jobs.add_batch("anna", "t", {}, [{}])
    async with database.transaction() as unit:
        await unit.jobs.succeed(child.id)
        assert (await unit.jobs.get(parent.id)).status == "succeeded"
        assert (await jobs.get(parent.id)).status == "queued"
        await unit.rollback()
    assert await jobs.get(parent.id) == parent
    assert await jobs.get(child.id) == child


async def test_no_moment_shows_a_child_without_its_parent(
    database: Database, jobs: JobRepository
) -> None:
    parent, children = await jobs.add_batch("anna", "t", {}, [{}] * 40)
    done = False

    async def watch() -> int:
        looks = 0
        while not done:
            async with database.snapshot() as view:
                seen = await view.jobs.list_children(parent.id)
                finished = sum(child.finished_at is not None for child in seen)
                assert (await view.jobs.get(parent.id)).completed == finished
            looks += 1
        return looks

    watcher = asyncio.create_task(watch())
    for child in children:
        await jobs.succeed(child.id)
    done = True
    assert await watcher > 0


# Parents that get their children one by one


async def test_a_parent_waits_for_as_many_children_as_it_was_told(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    parent = await jobs.add("anna", "t", {}, total=3)
    for number in (1, 2, 3):
        assert (await jobs.get(parent.id)).finished_at is None
        child = await jobs.add("anna", "t", {}, parent.id)
        clock.advance(1)
        await jobs.claim("w")
        await jobs.succeed(child.id)
        assert (await jobs.get(parent.id)).completed == number
    followed = await jobs.get(parent.id)
    assert (followed.status, followed.progress) == ("succeeded", 1.0)
    assert followed.result == counts(succeeded=3)


async def test_a_parent_with_more_children_than_told_waits_for_all(jobs: JobRepository) -> None:
    parent = await jobs.add("anna", "t", {})
    children = [await jobs.add("anna", "t", {}, parent.id) for _ in range(3)]
    await jobs.succeed(children[0].id)
    await jobs.fail(children[1].id, "no")
    followed = await jobs.get(parent.id)
    assert (followed.finished_at, followed.completed) == (None, 2)
    assert 0 <= followed.progress <= 1
    await jobs.cancel(children[2].id)
    followed = await jobs.get(parent.id)
    assert (followed.status, followed.completed, followed.progress) == ("succeeded", 3, 1.0)
    assert followed.result == counts(1, 1, 1)


async def test_children_of_other_types_and_params_count_too(jobs: JobRepository) -> None:
    parent = await jobs.add("anna", "playlist", {"url": "x"}, total=2)
    download = await jobs.add("anna", "download", {"n": 1}, parent.id, priority=5)
    convert = await jobs.add("anna", "convert", {"n": 2}, parent_id=str(parent.id), max_attempts=3)
    await jobs.succeed(download.id)
    assert await state(jobs, parent.id) == ("queued", 1, 0.5)
    await jobs.succeed(convert.id)
    assert await state(jobs, parent.id) == ("succeeded", 2, 1.0)


async def test_children_are_listed_oldest_first(jobs: JobRepository, clock: FrozenClock) -> None:
    parent = await jobs.add("anna", "t", {}, total=4)
    expected = []
    for number in range(4):
        expected.append(await jobs.add("anna", "t", {"n": number}, parent.id, priority=number))
        clock.advance(number % 2)
    assert await jobs.list_children(parent.id) == expected
    assert await jobs.list_children(str(parent.id).upper()) == expected
    assert await jobs.list_children(expected[0].id) == []


async def test_two_batches_do_not_disturb_each_other(jobs: JobRepository) -> None:
    one, ones = await jobs.add_batch("anna", "t", {}, [{}, {}])
    two, _ = await jobs.add_batch("anna", "t", {}, [{}, {}])
    for child in ones:
        await jobs.succeed(child.id)
    assert await state(jobs, one.id) == ("succeeded", 2, 1.0)
    assert await jobs.get(two.id) == two


# What a parent's child cannot be


async def test_a_child_of_another_profile_is_refused(jobs: JobRepository, look: Look) -> None:
    parent = await jobs.add("anna", "t", {})
    with pytest.raises(ConstraintError) as caught:
        await jobs.add("ben", "t", {}, parent.id)
    assert caught.value.kind == "check"
    assert "profile" in caught.value.constraint
    assert look("SELECT count(*) FROM jobs") == [(1,)]


async def test_a_grandchild_is_refused(jobs: JobRepository, look: Look) -> None:
    _, (child,) = await jobs.add_batch("anna", "t", {}, [{}])
    with pytest.raises(ConstraintError) as caught:
        await jobs.add("anna", "t", {}, child.id)
    assert caught.value.kind == "check"
    assert "parent" in caught.value.constraint
    assert look("SELECT count(*) FROM jobs") == [(2,)]


async def test_a_job_is_not_its_own_parent(jobs: JobRepository, look: Look) -> None:
    own_id = "01890000-0000-7000-8000-00000000000a"
    with pytest.raises(ConstraintError) as caught:
        await jobs.add("anna", "t", {}, own_id, id=own_id)
    assert caught.value.kind in ("check", "foreign_key")
    assert look("SELECT count(*) FROM jobs") == [(0,)]


# A parent that finished before its children


async def test_cancelling_a_parent_cancels_what_has_not_finished(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    parent, (done, running, queued) = await jobs.add_batch("anna", "t", {}, [{}, {}, {}])
    await jobs.claim("w")
    finished = await jobs.succeed(done.id, {"r": 1})
    await jobs.claim("w")
    now = clock.advance(1)
    cancelled = await jobs.cancel(parent.id)
    assert (cancelled.status, cancelled.finished_at, cancelled.result) == ("cancelled", now, None)
    assert (cancelled.completed, cancelled.progress) == (3, 1.0)
    assert await jobs.get(parent.id) == cancelled
    assert await jobs.get(done.id) == finished
    for child in (running, queued):
        after = await jobs.get(child.id)
        assert (after.status, after.finished_at) == ("cancelled", now)
        assert after.lease_expires_at is None
    assert await jobs.claim("w") is None
    with pytest.raises(InvalidTransitionError):
        await jobs.succeed(running.id, worker="w")


async def test_cancelling_a_child_leaves_its_siblings(jobs: JobRepository) -> None:
    parent, (first, second) = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await jobs.cancel(first.id)
    assert (await jobs.get(second.id)).status == "queued"
    assert (await jobs.get(parent.id)).finished_at is None


@pytest.mark.parametrize("end", FINISHED)
async def test_cancel_returns_a_finished_parent_unchanged(
    jobs: JobRepository, clock: FrozenClock, end: str
) -> None:
    """Whatever its children do: a retried child of a cancelled batch is not cancelled with it again."""
    parent, (child, _) = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await jobs.cancel(child.id)
    if end == "cancelled":
        await jobs.cancel(parent.id)
    else:
        await jobs.update(parent.id, status=end)  # type: ignore[arg-type]
    await jobs.retry(child.id)
    before = [await jobs.get(parent.id), *await jobs.list_children(parent.id)]
    clock.advance(1)
    assert await jobs.cancel(parent.id) == before[0]
    assert [await jobs.get(parent.id), *await jobs.list_children(parent.id)] == before


@pytest.mark.parametrize("end", FINISHED)
async def test_a_parent_that_finished_before_keeps_its_end(
    jobs: JobRepository, clock: FrozenClock, end: str
) -> None:
    parent, children = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await jobs.claim("w")
    if end == "cancelled":
        await jobs.cancel(parent.id)
        await jobs.retry(children[0].id)
        await jobs.retry(children[1].id)
    elif end == "failed":
        await jobs.fail(parent.id, "stop")
    else:
        await jobs.update(parent.id, status="succeeded", result={"by": "hand"})
    before = await jobs.get(parent.id)
    clock.advance(1)
    for child in children:
        await jobs.succeed(child.id)
    after = await jobs.get(parent.id)
    assert (after.status, after.finished_at) == (end, START)
    assert (after.result, after.error) == (before.result, before.error)
    assert (after.completed, after.progress) == (2, 1.0)


@pytest.mark.parametrize("written", [0, 1, 2, 7])
async def test_completed_is_the_number_of_finished_children_whatever_was_written(
    jobs: JobRepository, written: int
) -> None:
    """Applications that counted by themselves go on doing so."""
    parent, children = await jobs.add_batch("anna", "t", {}, [{}, {}, {}])
    await jobs.update(parent.id, completed=written, progress=0.5)
    for number, child in enumerate(children, 1):
        await jobs.succeed(child.id)
        followed = await jobs.get(parent.id)
        assert followed.completed == number
        assert followed.progress == pytest.approx(number / 3)
    followed = await jobs.get(parent.id)
    assert (followed.status, followed.result) == ("succeeded", counts(succeeded=3))


@pytest.mark.parametrize("by", ["update", "heartbeat"])
async def test_nor_does_it_matter_what_was_written_before_the_first_child(
    jobs: JobRepository, by: str
) -> None:
    """A worker that reports progress on a playlist before it unfolds it into children."""
    parent = await jobs.add("anna", "t", {}, total=2)
    if by == "update":
        await jobs.update(parent.id, completed=1, progress=0.9)
    else:
        await jobs.claim("w")
        await jobs.heartbeat(parent.id, "w", completed=1, progress=0.9)
    children = [await jobs.add("anna", "t", {}, parent.id) for _ in range(2)]
    await jobs.succeed(children[0].id)
    followed = await jobs.get(parent.id)
    assert (followed.completed, followed.progress) == (1, 0.5)
    await jobs.succeed(children[1].id)
    assert await state(jobs, parent.id) == ("succeeded", 2, 1.0)


async def test_a_parent_that_was_made_to_succeed_counts_its_children_once(
    jobs: JobRepository,
) -> None:
    parent, children = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await jobs.succeed(parent.id, {"by": "hand"})
    for child in children:
        await jobs.succeed(child.id)
    after = await jobs.get(parent.id)
    assert (after.completed, after.progress, after.result) == (2, 1.0, {"by": "hand"})


# Retries


async def test_a_retried_child_is_unfinished_for_its_parent(jobs: JobRepository) -> None:
    parent, (first, second) = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await jobs.fail(first.id, "no")
    assert await state(jobs, parent.id) == ("queued", 1, 0.5)
    await jobs.retry(first.id)
    assert await state(jobs, parent.id) == ("queued", 0, 0.0)
    await jobs.succeed(second.id)
    await jobs.succeed(first.id)
    after = await jobs.get(parent.id)
    assert (after.status, after.result) == ("succeeded", counts(succeeded=2))


async def test_a_retried_child_of_a_finished_parent_leaves_it_finished(
    jobs: JobRepository,
) -> None:
    parent, (first, second) = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await jobs.fail(first.id, "no")
    await jobs.succeed(second.id)
    await jobs.retry(first.id)
    assert await state(jobs, parent.id) == ("succeeded", 1, 0.5)
    await jobs.claim("w")
    assert (await jobs.get(parent.id)).status == "succeeded"
    await jobs.succeed(first.id)
    assert await state(jobs, parent.id) == ("succeeded", 2, 1.0)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_retried_batch_tries_again_what_did_not_succeed(
    jobs: JobRepository, clock: FrozenClock, cancelled: bool
) -> None:
    parent, children = await jobs.add_batch("anna", "t", {}, [{}, {}, {}])
    good = await jobs.succeed(children[0].id, {"r": 1})
    await jobs.fail(children[1].id, "no", error_code="e", error_details={"d": 1})
    await (jobs.cancel(parent.id) if cancelled else jobs.cancel(children[2].id))
    now = clock.advance(1)
    again = await jobs.retry(parent.id)
    assert (again.status, again.result, again.finished_at) == ("queued", None, None)
    assert again.completed == 1
    assert again.progress == pytest.approx(1 / 3)
    assert await jobs.get(children[0].id) == good
    for child in children[1:]:
        queued = await jobs.get(child.id)
        assert (queued.status, queued.error, queued.error_code) == ("queued", None, None)
        assert (queued.error_details, queued.finished_at, queued.updated_at) == (None, None, now)
    for child in children[1:]:
        claimed = await jobs.claim("w")
        assert claimed is not None
        assert claimed.id == child.id
        assert (await jobs.get(parent.id)).status == "running"
        await jobs.succeed(child.id)
    after = await jobs.get(parent.id)
    assert (after.status, after.completed, after.finished_at) == ("succeeded", 3, now)
    assert after.result == counts(succeeded=3)


async def test_a_batch_that_succeeded_as_a_whole_is_repeated_as_a_whole(
    jobs: JobRepository,
) -> None:
    parent, children = await jobs.add_batch("anna", "t", {}, [{}, {}])
    for child in children:
        await jobs.succeed(child.id, {"r": 1})
    again = await jobs.retry(parent.id)
    assert (again.status, again.completed, again.progress) == ("queued", 0, 0.0)
    assert {child.status for child in await jobs.list_children(parent.id)} == {"queued"}


async def test_an_unfinished_batch_cannot_be_retried(jobs: JobRepository) -> None:
    parent, (child, _) = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await jobs.fail(child.id, "no")
    before = [await jobs.get(parent.id), *await jobs.list_children(parent.id)]
    with pytest.raises(InvalidTransitionError):
        await jobs.retry(parent.id)
    assert [await jobs.get(parent.id), *await jobs.list_children(parent.id)] == before


# Deleted children


@pytest.mark.parametrize("running", [False, True])
async def test_a_parent_does_not_wait_for_a_deleted_child(
    jobs: JobRepository, clock: FrozenClock, running: bool
) -> None:
    parent, (first, second) = await jobs.add_batch("anna", "t", {}, [{}, {}])
    if running:
        await jobs.claim("w")
    now = clock.advance(1)
    assert await jobs.delete(first.id) is True
    assert (await jobs.get(parent.id)).finished_at is None
    assert (await jobs.get(parent.id)).completed == 0
    await jobs.succeed(second.id)
    after = await jobs.get(parent.id)
    assert (after.status, after.completed, after.total) == ("succeeded", 1, 1)
    assert after.finished_at == now


async def test_a_parent_finishes_when_its_last_unfinished_child_is_deleted(
    jobs: JobRepository,
) -> None:
    parent, (first, second) = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await jobs.succeed(first.id)
    await jobs.delete(second.id)
    assert await state(jobs, parent.id) == ("succeeded", 1, 1.0)


async def test_deleting_a_finished_child_does_not_set_its_parent_back(
    jobs: JobRepository,
) -> None:
    parent, (first, second) = await jobs.add_batch("anna", "t", {}, [{}, {}])
    await jobs.succeed(first.id)
    await jobs.delete(first.id)
    assert (await jobs.get(parent.id)).finished_at is None
    await jobs.succeed(second.id)
    assert (await jobs.get(parent.id)).status == "succeeded"


@pytest.mark.parametrize("finished", [False, True])
async def test_a_parent_does_not_wait_for_a_child_that_was_deleted_before_the_next_one_came(
    jobs: JobRepository, finished: bool
) -> None:
    parent = await jobs.add("anna", "t", {}, total=2)
    first = await jobs.add("anna", "t", {}, parent.id)
    if finished:
        await jobs.succeed(first.id)
    await jobs.delete(first.id)
    second = await jobs.add("anna", "t", {}, parent.id)
    await jobs.succeed(second.id)
    assert (await jobs.get(parent.id)).status == "succeeded"


# Large batches


async def _in_slices(act: Callable[[Job], Awaitable[Any]], children: list[Job]) -> None:
    for start in range(0, len(children), 500):
        await asyncio.gather(*(act(child) for child in children[start : start + 500]))


async def _live_through_every_verb(database: Database, size: int) -> float:
    """Seconds of computing per child; how busy the machine is does not matter."""
    jobs = database.jobs
    started = time.process_time()
    parent, children = await jobs.add_batch("anna", "t", {}, [{"n": n} for n in range(size)])
    assert len(children) == size

    await jobs.update(children[0].id, status="running")
    await _in_slices(lambda child: jobs.succeed(child.id), children)
    assert (await jobs.get(parent.id)).result == counts(succeeded=size)

    await jobs.retry(parent.id)
    assert await state(jobs, parent.id) == ("queued", 0, 0.0)
    await jobs.cancel(parent.id)
    assert await state(jobs, parent.id) == ("cancelled", size, 1.0)

    await jobs.retry(parent.id)
    claimed = await asyncio.gather(*(jobs.claim("w") for _ in range(100)))
    assert len({job.id for job in claimed if job}) == 100
    report = await jobs.recover()
    assert (report.failed, report.left_queued) == (0, size - 100)
    await database.execute("UPDATE jobs SET lease_expires_at = NULL WHERE status = 'running'")
    report = await jobs.recover()
    assert (report.failed, report.left_queued) == (size + 1, 0)
    assert (await jobs.get(parent.id)).completed == size

    await jobs.delete(parent.id)
    assert await jobs.list_children(parent.id) == []
    return (time.process_time() - started) / size


@pytest.mark.long
@pytest.mark.parametrize("size", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
async def test_a_large_batch_goes_through_every_verb_in_linear_time(
    database: Database, jobs: JobRepository, size: int
) -> None:
    small = min([await _live_through_every_verb(database, 400) for _ in range(3)])
    assert await _live_through_every_verb(database, size) < 3 * small + 0.0002


@pytest.mark.slow
async def test_a_parent_of_20_000_children_that_came_one_by_one_takes_linear_time(
    jobs: JobRepository,
) -> None:
    async def seconds_per_child(size: int) -> float:
        parent = await jobs.add("anna", "t", {})
        started = time.process_time()
        children: list[Job] = []
        for _ in range(size // 500):
            added = (jobs.add("anna", "t", {}, parent.id) for _ in range(500))
            children += await asyncio.gather(*added)
        await _in_slices(lambda child: jobs.fail(child.id, "no"), children)
        assert (await jobs.get(parent.id)).result == counts(failed=size)
        return (time.process_time() - started) / size

    small = await seconds_per_child(1_000)
    assert await seconds_per_child(20_000) < 3 * small


# A batch that has ended takes no more children.


@pytest.mark.parametrize("status", ["queued", "running"])
async def test_a_batch_that_goes_on_takes_another_child(jobs: JobRepository, status: str) -> None:
    parent, _ = await jobs.add_batch("anna", "t", {}, [{}])
    if status == "running":
        await jobs.claim("w")
    child = await jobs.add("anna", "t", {"n": 2}, parent.id)
    assert (child.status, child.parent_id) == ("queued", parent.id)


@pytest.mark.parametrize("status", FINISHED)
async def test_a_batch_that_has_ended_refuses_another_child(
    jobs: JobRepository, status: str
) -> None:
    parent, (first,) = await jobs.add_batch("anna", "t", {}, [{}])
    match status:
        case "succeeded":
            await jobs.succeed(first.id)
        case "failed":
            await jobs.fail(parent.id, "no")
        case _:
            await jobs.cancel(parent.id)
    queued = [job for job in await jobs.list_unfinished() if job.id != first.id]
    with pytest.raises(InvalidTransitionError, match=status) as caught:
        await jobs.add("anna", "t", {"n": 2}, parent.id)
    assert caught.value.details["status"] == status
    assert [job for job in await jobs.list_unfinished() if job.id != first.id] == queued
    assert len(await jobs.list_children(parent.id)) == 1
    await jobs.retry(parent.id)
    assert (await jobs.add("anna", "t", {"n": 2}, parent.id)).status == "queued"


async def test_updating_a_batch_to_cancelled_is_cancel(jobs: JobRepository) -> None:
    parent, (first, second, third) = await jobs.add_batch("anna", "t", {}, [{}, {}, {}])
    await jobs.succeed(first.id)
    await jobs.claim("w")
    cancelled = await jobs.update(parent.id, status="cancelled", error="by hand")
    assert (cancelled.status, cancelled.error) == ("cancelled", "by hand")
    children = await jobs.list_children(parent.id)
    assert [str(child.status) for child in children] == ["succeeded", "cancelled", "cancelled"]
    assert await jobs.claim("w") is None
    with pytest.raises(InvalidTransitionError):
        await jobs.succeed(second.id, worker="w")
    assert (await jobs.update(third.id, status="cancelled")).status == "cancelled"
