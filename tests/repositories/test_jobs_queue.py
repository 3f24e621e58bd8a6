"""Promises of the job queue: one job, from its submission to its end."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

import reelbase
from reelbase import (
    ConstraintError,
    Database,
    InvalidArgumentError,
    InvalidTransitionError,
    Job,
    JobRepository,
    JobStatus,
    RecordNotFoundError,
)
from reelbase.engine.statements.parameters import to_moment
from reelbase.testing.clock import START, FrozenClock

NAN, INFINITY = float("nan"), float("inf")
FINISHED = ("succeeded", "failed", "cancelled")
UNKNOWN = UUID("01890000-0000-7000-8000-000000000000")

Look = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture
async def jobs(database: Database) -> JobRepository:
    """The queue of a database that knows the profiles anna and ben."""
    await database.profiles.ensure("anna")
    await database.profiles.ensure("ben")
    return database.jobs


async def job_that_is(status: str, jobs: JobRepository, *, max_attempts: int = 1) -> Job:
    """A job in this state; a running one is held by "w"."""
    job = await jobs.add("anna", "t", {"n": 1}, max_attempts=max_attempts)
    if status == "queued":
        return job
    job = msgspec.convert(await jobs.claim("w"), Job)
    if status == "succeeded":
        return await jobs.succeed(job.id, {"made": 1})
    if status == "failed":
        return await jobs.fail(job.id, "broken", error_code="e", error_details={"line": 3})
    if status == "cancelled":
        return await jobs.cancel(job.id)
    return job


# Submission


async def test_an_added_job_is_queued_with_the_defaults(jobs: JobRepository) -> None:
    job = await jobs.add("anna", "transcribe", {"file_id": "x"})
    assert job == Job(
        id=job.id,
        profile_id="anna",
        parent_id=None,
        type="transcribe",
        status=JobStatus.QUEUED,
        progress=0.0,
        total=1,
        completed=0,
        params={"file_id": "x"},
        result=None,
        error=None,
        error_code=None,
        error_details=None,
        priority=0,
        attempts=0,
        max_attempts=1,
        run_after=None,
        unique_key=None,
        waiting_for=0,
        worker=None,
        lease_expires_at=None,
        created_at=START,
        updated_at=START,
        started_at=None,
        finished_at=None,
    )
    assert await jobs.get(job.id) == job
    assert await jobs.find(job.id) == job


async def test_add_keeps_what_it_is_given(jobs: JobRepository) -> None:
    parent = await jobs.add("anna", "batch", {}, None, 3)
    own_id = uuid4()
    job = await jobs.add(
        "anna",
        "",
        {"deep": [1, {"ü": None}], "": 0.5},
        parent.id,
        0,
        id=own_id,
        priority=-5,
        run_after=START + timedelta(hours=1),
        max_attempts=4,
    )
    assert (job.id, job.parent_id, job.total, job.type) == (own_id, parent.id, 0, "")
    assert (job.priority, job.max_attempts) == (-5, 4)
    assert job.run_after == START + timedelta(hours=1)
    assert job.params == {"deep": [1, {"ü": None}], "": 0.5}
    assert parent.total == 3


async def test_ids_are_accepted_as_text_in_any_case(jobs: JobRepository) -> None:
    job = await jobs.add("anna", "t", {}, id=str(uuid4()).upper())
    assert isinstance(job.id, UUID)
    assert await jobs.get(str(job.id)) == job
    assert await jobs.get(str(job.id).upper()) == job


async def test_a_status_equals_its_plain_text(jobs: JobRepository) -> None:
    job = await jobs.add("anna", "t", {})
    assert job.status == "queued"
    assert (await jobs.update(job.id, status="running")).status is JobStatus.RUNNING
    assert (await jobs.update(job.id, status=JobStatus.FAILED)).status == "failed"


async def test_run_after_of_another_zone_is_the_same_moment(jobs: JobRepository) -> None:
    tokyo = timezone(timedelta(hours=9))
    job = await jobs.add("anna", "t", {}, run_after=START.astimezone(tokyo))
    assert job.run_after is not None
    assert (job.run_after, job.run_after.tzinfo) == (START, UTC)


async def test_a_batch_is_a_parent_and_children_of_its_type(jobs: JobRepository) -> None:
    parent, children = await jobs.add_batch("anna", "cut", {"all": 1}, [{"n": 1}, {"n": 2}, {}])
    assert (parent.type, parent.total, parent.params, parent.parent_id) == (
        "cut",
        3,
        {"all": 1},
        None,
    )
    assert [child.params for child in children] == [{"n": 1}, {"n": 2}, {}]
    assert {(child.type, child.parent_id, child.total) for child in children} == {
        ("cut", parent.id, 1)
    }
    assert {(job.status, job.profile_id) for job in [parent, *children]} == {("queued", "anna")}
    assert await jobs.list_children(parent.id) == children
    assert await jobs.get(parent.id) == parent


async def test_a_batch_without_children_is_refused(jobs: JobRepository, look: Look) -> None:
    with pytest.raises(ValueError, match="at least one child"):
        await jobs.add_batch("anna", "cut", {}, [])
    assert look("SELECT count(*) FROM jobs") == [(0,)]


@pytest.mark.parametrize("broken", [{"x": NAN}, {1: 2}, {"x": "\ud800"}, [], "text", 7, None])
async def test_one_bad_child_and_nothing_of_the_batch_remains(
    jobs: JobRepository, look: Look, broken: Any
) -> None:
    with pytest.raises((ValueError, TypeError, ConstraintError)):
        await jobs.add_batch("anna", "cut", {}, [{"n": 1}, broken, {"n": 2}])
    assert look("SELECT count(*) FROM jobs") == [(0,)]


async def test_a_batch_of_an_unknown_profile_is_refused(jobs: JobRepository, look: Look) -> None:
    with pytest.raises(ConstraintError) as caught:
        await jobs.add_batch("nobody", "cut", {}, [{}])
    assert caught.value.kind == "foreign_key"
    assert look("SELECT count(*) FROM jobs") == [(0,)]


@pytest.mark.parametrize(
    ("arguments", "kind", "constraint"),
    [
        ({"profile_id": "nobody"}, "foreign_key", ""),
        ({"parent_id": UNKNOWN}, "foreign_key", ""),
        ({"total": -1}, "check", "jobs_total"),
        ({"max_attempts": 0}, "check", "jobs_max_attempts"),
        ({"type": None}, "not_null", "jobs.type"),
        ({"profile_id": None}, "not_null", "jobs.profile_id"),
    ],
)
async def test_add_refuses_what_breaks_a_constraint(
    jobs: JobRepository, look: Look, arguments: dict[str, Any], kind: str, constraint: str
) -> None:
    with pytest.raises(ConstraintError) as caught:
        await jobs.add(**{"profile_id": "anna", "type": "t", "params": {}, **arguments})
    assert (caught.value.kind, caught.value.constraint) == (kind, constraint)
    assert look("SELECT count(*) FROM jobs") == [(0,)]


@pytest.mark.parametrize(
    "arguments",
    [
        {"params": {"x": NAN}},
        {"params": {"x": [INFINITY]}},
        {"params": {"x": "\ud800"}},
        {"params": []},
        {"params": "{}"},
        {"type": "\udfff"},
        {"profile_id": "\ud800"},
        {"run_after": datetime(2026, 1, 1)},
        {"run_after": "2026-01-01"},
        {"id": "no id"},
        {"parent_id": "no id"},
        {"priority": 2**63},
        {"priority": 0.5},
        {"total": "3"},
    ],
)
async def test_add_refuses_wrong_arguments(
    jobs: JobRepository, look: Look, arguments: dict[str, Any]
) -> None:
    with pytest.raises((ValueError, TypeError)):
        await jobs.add(**{"profile_id": "anna", "type": "t", "params": {}, **arguments})
    assert look("SELECT count(*) FROM jobs") == [(0,)]


async def test_a_taken_id_is_refused(jobs: JobRepository) -> None:
    job = await jobs.add("anna", "t", {"n": 1})
    with pytest.raises(ConstraintError) as caught:
        await jobs.add("anna", "t", {"n": 2}, id=job.id)
    assert (caught.value.kind, caught.value.constraint) == ("unique", "jobs.id")
    assert await jobs.get(job.id) == job


# Claiming


async def test_a_claim_marks_the_job_as_the_workers(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    added = await jobs.add("anna", "t", {})
    now = clock.advance(5)
    job = await jobs.claim("w", lease=30)
    assert job is not None
    assert job.id == added.id
    assert (job.status, job.worker, job.attempts) == ("running", "w", 1)
    assert job.lease_expires_at == now + timedelta(seconds=30)
    assert (job.started_at, job.updated_at, job.created_at) == (now, now, START)
    assert job.finished_at is None
    assert await jobs.get(job.id) == job


async def test_a_lease_lasts_a_minute_unless_told(jobs: JobRepository) -> None:
    await jobs.add("anna", "t", {})
    job = await jobs.claim("w")
    assert job is not None
    assert job.lease_expires_at == START + timedelta(seconds=60)
    assert (await jobs.heartbeat(job.id, "w")).lease_expires_at == START + timedelta(seconds=60)


async def test_nothing_to_claim_is_none(jobs: JobRepository) -> None:
    assert await jobs.claim("w") is None
    assert await jobs.claim("w", types=["t"]) is None
    job = await jobs.add("anna", "t", {})
    await jobs.succeed(job.id)
    assert await jobs.claim("w") is None


async def claimed_ids(jobs: JobRepository, **options: Any) -> list[UUID]:
    ids = []
    while (job := await jobs.claim("w", **options)) is not None:
        ids.append(job.id)
    return ids


async def test_the_highest_priority_is_first(jobs: JobRepository) -> None:
    added = {n: await jobs.add("anna", "t", {}, priority=n) for n in (0, -7, 3, 2**40, 1)}
    assert await claimed_ids(jobs) == [added[n].id for n in (2**40, 3, 1, 0, -7)]


async def test_of_equal_priority_the_oldest_is_first(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    old = await jobs.add("anna", "t", {}, id="ffffffff-ffff-7fff-bfff-ffffffffffff")
    clock.advance(0.001)
    new = await jobs.add("ben", "u", {}, id="00000000-0000-7000-8000-000000000000")
    assert await claimed_ids(jobs) == [old.id, new.id]


async def test_in_one_millisecond_the_first_added_is_the_oldest(jobs: JobRepository) -> None:
    added = [(await jobs.add("anna", "t", {"n": n})).id for n in range(30)]
    _, children = await jobs.add_batch("anna", "t", {}, [{}] * 10)
    assert await claimed_ids(jobs) == added + [child.id for child in children]


async def test_the_order_by_types_is_the_same_order(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    added = []
    for n in range(20):
        added.append(await jobs.add("anna", "ab"[n % 2], {}, priority=n % 3))
        clock.advance(n % 2)
    expected = [job.id for job in sorted(added, key=lambda job: -job.priority)]
    assert await claimed_ids(jobs, types=["b", "a"]) == expected


async def test_only_the_types_asked_for_are_claimed(jobs: JobRepository) -> None:
    await jobs.add("anna", "a", {}, priority=9)
    b = await jobs.add("anna", "b", {})
    empty = await jobs.add("anna", "", {})
    c = await jobs.add("anna", "c", {})
    assert await jobs.claim("w", types=["z"]) is None
    assert await jobs.claim("w", types=[]) is None
    assert await claimed_ids(jobs, types=("c", "b", "b")) == [b.id, c.id]
    assert await claimed_ids(jobs, types=iter([""])) == [empty.id]


async def test_a_job_waits_until_its_run_after(jobs: JobRepository, clock: FrozenClock) -> None:
    job = await jobs.add("anna", "t", {}, priority=9, run_after=START + timedelta(seconds=10))
    other = await jobs.add("anna", "t", {})
    assert await claimed_ids(jobs) == [other.id]
    clock.advance(9.999)
    assert await jobs.claim("w") is None
    assert await jobs.claim("w", types=["t"]) is None
    clock.advance(0.001)
    assert await claimed_ids(jobs, types=["t"]) == [job.id]


@pytest.mark.parametrize("types", [None, ["t"]])
async def test_a_job_that_becomes_due_takes_its_place_by_its_age(
    jobs: JobRepository, clock: FrozenClock, types: list[str] | None
) -> None:
    older = await jobs.add("anna", "t", {}, run_after=START + timedelta(seconds=10))
    clock.advance(1)
    younger = await jobs.add("anna", "t", {})
    clock.advance(9)
    assert await claimed_ids(jobs, types=types) == [older.id, younger.id]


@pytest.mark.parametrize("types", [None, ["t"]])
async def test_a_job_that_was_due_once_waits_again_when_it_is_told_to(
    jobs: JobRepository, clock: FrozenClock, types: list[str] | None
) -> None:
    job = await jobs.add("anna", "t", {}, run_after=START + timedelta(seconds=10), max_attempts=3)
    clock.advance(10)
    assert await claimed_ids(jobs, types=types) == [job.id]
    await jobs.fail(job.id, "busy", retry_in=30)
    clock.advance(29.999)
    assert await jobs.claim("w", types=types) is None
    clock.advance(0.001)
    assert await claimed_ids(jobs, types=types) == [job.id]


@pytest.mark.parametrize("types", [None, ["t"]])
async def test_a_clock_that_was_wrong_lets_no_job_run_too_early(
    jobs: JobRepository, clock: FrozenClock, types: list[str] | None
) -> None:
    job, early = [
        await jobs.add(
            "anna", "t", {}, priority=number, run_after=START + timedelta(days=1 + number)
        )
        for number in range(2)
    ]
    clock.advance(timedelta(days=3000).total_seconds())
    assert (await claimed_ids(jobs, types=types))[0] == early.id
    await jobs.release(job.id, "w")
    clock.advance(-timedelta(days=3000).total_seconds())
    assert await jobs.claim("w", types=types) is None
    clock.advance(timedelta(days=1).total_seconds())
    assert await claimed_ids(jobs, types=types) == [job.id]


@pytest.mark.long
@pytest.mark.parametrize("types", [None, ["t", "u"]])
async def test_all_of_very_many_jobs_that_become_due_at_once_are_claimed(
    jobs: JobRepository, clock: FrozenClock, types: list[str] | None
) -> None:
    later = START + timedelta(seconds=10)
    _, children = await jobs.add_batch("anna", "t", {}, [{}] * 2500, run_after=later)
    last = await jobs.add("anna", "u", {}, run_after=later)
    clock.advance(10)
    assert {*await claimed_ids(jobs, types=types)} == {child.id for child in children} | {last.id}


async def test_a_parent_that_has_children_is_never_claimed(jobs: JobRepository) -> None:
    parent, (child,) = await jobs.add_batch("anna", "t", {}, [{}])
    assert await claimed_ids(jobs) == [child.id]
    await jobs.succeed(child.id)
    await jobs.retry(parent.id)
    assert await claimed_ids(jobs, types=["t"]) == [child.id]
    await jobs.cancel(child.id)
    assert await jobs.claim("w") is None


@pytest.mark.parametrize("types", [None, ["t"]])
async def test_nor_when_it_was_claimed_before_it_had_children(
    jobs: JobRepository, clock: FrozenClock, types: list[str] | None
) -> None:
    """A worker that unfolds a playlist into children, and dies."""
    parent = await jobs.add("anna", "t", {}, total=2, max_attempts=3)
    assert await claimed_ids(jobs) == [parent.id]
    children = [(await jobs.add("anna", "t", {}, parent.id)).id for _ in range(2)]
    clock.advance(60)
    assert await claimed_ids(jobs, types=types) == children


async def test_a_parent_that_lost_its_children_is_a_job_like_others(jobs: JobRepository) -> None:
    parent = await jobs.add("anna", "t", {}, total=2, priority=1)
    child = await jobs.add("anna", "t", {}, parent.id)
    other = await jobs.add("anna", "t", {})
    await jobs.delete(child.id)
    assert await claimed_ids(jobs) == [parent.id, other.id]


async def test_a_parent_is_told_by_its_children_however_they_came(
    database: Database, jobs: JobRepository
) -> None:
    """People at the prompt may give a job another parent, too."""
    first, second = [await jobs.add("anna", "t", {}, priority=number) for number in (2, 1)]
    child = await jobs.add("anna", "t", {}, first.id)
    move = "UPDATE jobs SET parent_id = ? WHERE id = ?"
    await database.execute(move, [second.id, child.id])
    assert await claimed_ids(jobs) == [first.id, child.id]


async def test_a_claim_in_a_unit_that_is_rolled_back_never_happened(
    database: Database, jobs: JobRepository
) -> None:
    job = await jobs.add("anna", "t", {})
    async with database.transaction() as unit:
        claimed = await unit.jobs.claim("w")
        assert claimed is not None
        assert await unit.jobs.claim("w") is None
        await unit.rollback()
    assert await jobs.get(job.id) == job
    assert await claimed_ids(jobs) == [job.id]


async def test_many_tasks_never_get_the_same_job(jobs: JobRepository) -> None:
    added = {(await jobs.add("anna", "t", {})).id for _ in range(40)}
    claims = await asyncio.gather(*(jobs.claim(f"w{n}") for n in range(60)))
    taken = [job.id for job in claims if job is not None]
    assert len(taken) == 40
    assert set(taken) == added


# Leases


async def test_a_lease_expires_at_its_very_moment(jobs: JobRepository, clock: FrozenClock) -> None:
    job = await jobs.add("anna", "t", {}, max_attempts=2)
    await jobs.claim("w1", lease=10)
    clock.advance(9.999)
    assert await jobs.claim("w2") is None
    clock.advance(0.001)
    again = await jobs.claim("w2", lease=20)
    assert again is not None
    assert (again.id, again.worker, again.attempts) == (job.id, "w2", 2)
    assert again.lease_expires_at == clock.now + timedelta(seconds=20)


async def test_a_lease_of_no_time_has_expired_at_once(jobs: JobRepository) -> None:
    await jobs.add("anna", "t", {}, max_attempts=2)
    await jobs.claim("w1", lease=0)
    again = await jobs.claim("w2")
    assert again is not None
    assert (again.worker, again.attempts) == ("w2", 2)


async def test_attempts_count_claims_and_the_last_expiry_fails_the_job(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    job = await jobs.add("anna", "t", {}, max_attempts=3)
    for attempt in (1, 2, 3):
        claimed = await jobs.claim(f"w{attempt}", lease=10)
        assert claimed is not None
        assert (claimed.id, claimed.attempts) == (job.id, attempt)
        clock.advance(10)
    assert await jobs.claim("w4") is None
    failed = await jobs.get(job.id)
    assert (failed.status, failed.attempts) == ("failed", 3)
    assert failed.finished_at == clock.now
    assert failed.error
    assert failed.lease_expires_at is None


async def test_an_exhausted_job_fails_while_others_are_claimed(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    lost = await jobs.add("anna", "t", {})
    await jobs.claim("w", lease=10)
    clock.advance(10)
    other = await jobs.add("anna", "t", {})
    assert await claimed_ids(jobs, types=["t"]) == [other.id]
    assert (await jobs.get(lost.id)).status == "failed"


async def test_an_expired_job_is_claimed_in_the_queues_order(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    lost = await jobs.add("anna", "a", {}, max_attempts=9)
    await jobs.claim("w", lease=10)
    clock.advance(10)
    young = await jobs.add("anna", "a", {})
    urgent = await jobs.add("anna", "a", {}, priority=1)
    assert await claimed_ids(jobs) == [urgent.id, lost.id, young.id]
    await jobs.retry((await jobs.succeed(young.id)).id)
    clock.advance(60)
    assert await jobs.claim("w", types=["b"]) is None
    assert await claimed_ids(jobs, types=["b", "a"]) == [lost.id, young.id]


async def test_a_running_job_without_a_lease_does_not_expire(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    job = await jobs.add("anna", "t", {}, max_attempts=5)
    await jobs.update(job.id, status="running")
    clock.advance(10**8)
    assert await jobs.claim("w") is None
    assert (await jobs.get(job.id)).status == "running"


async def test_who_lost_the_lease_can_still_finish_until_another_has_it(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    job = await jobs.add("anna", "t", {}, max_attempts=3)
    await jobs.claim("w1", lease=10)
    clock.advance(20)
    assert (await jobs.heartbeat(job.id, "w1", lease=10)).worker == "w1"
    clock.advance(10)
    await jobs.claim("w2")
    for late in (
        jobs.heartbeat(job.id, "w1"),
        jobs.succeed(job.id, {"late": True}, worker="w1"),
        jobs.fail(job.id, "late", worker="w1"),
        jobs.fail(job.id, "late", retry_in=1, worker="w1"),
    ):
        with pytest.raises(InvalidTransitionError):
            await late
    assert (await jobs.succeed(job.id, {"by": "w2"}, worker="w2")).result == {"by": "w2"}


# Heartbeats


async def test_a_heartbeat_renews_the_lease(jobs: JobRepository, clock: FrozenClock) -> None:
    job = await jobs.add("anna", "t", {}, total=5, max_attempts=2)
    await jobs.claim("w", lease=10)
    clock.advance(9)
    beat = await jobs.heartbeat(job.id, "w", progress=0.4, completed=2, lease=30)
    assert beat.lease_expires_at == clock.now + timedelta(seconds=30)
    assert (beat.progress, beat.completed, beat.updated_at) == (0.4, 2, clock.now)
    clock.advance(29.999)
    assert await jobs.claim("other") is None
    clock.advance(0.001)
    assert await claimed_ids(jobs) == [job.id]


async def test_a_heartbeat_leaves_what_is_none_and_keeps_what_is_zero(jobs: JobRepository) -> None:
    job = await job_that_is("running", jobs)
    await jobs.heartbeat(job.id, "w", progress=0.5, completed=3)
    beat = await jobs.heartbeat(job.id, "w")
    assert (beat.progress, beat.completed) == (0.5, 3)
    beat = await jobs.heartbeat(job.id, "w", progress=0.0, completed=0)
    assert (beat.progress, beat.completed) == (0.0, 0)


async def test_a_heartbeat_of_a_job_that_runs_without_a_worker_is_refused(
    jobs: JobRepository,
) -> None:
    job = await jobs.add("anna", "t", {})
    running = await jobs.update(job.id, status="running")
    with pytest.raises(InvalidTransitionError):
        await jobs.heartbeat(job.id, "w")
    assert await jobs.get(job.id) == running


# Every verb in every state

Verb = Callable[[JobRepository, UUID], Awaitable[Job]]
REFUSED = "refused"

VERBS: dict[str, Verb] = {
    "heartbeat of its worker": lambda jobs, key: jobs.heartbeat(key, "w"),
    "heartbeat of another": lambda jobs, key: jobs.heartbeat(key, "x"),
    "succeed": lambda jobs, key: jobs.succeed(key, {"r": 1}),
    "succeed of its worker": lambda jobs, key: jobs.succeed(key, {"r": 1}, worker="w"),
    "succeed of another": lambda jobs, key: jobs.succeed(key, {"r": 1}, worker="x"),
    "fail": lambda jobs, key: jobs.fail(key, "no"),
    "fail of its worker": lambda jobs, key: jobs.fail(key, "no", worker="w"),
    "fail of another": lambda jobs, key: jobs.fail(key, "no", worker="x"),
    "fail, later again": lambda jobs, key: jobs.fail(key, "no", retry_in=5),
    "fail, later again, of another": lambda jobs, key: jobs.fail(key, "no", retry_in=5, worker="x"),
    "cancel": lambda jobs, key: jobs.cancel(key),
    "retry": lambda jobs, key: jobs.retry(key),
    "update to queued": lambda jobs, key: jobs.update(key, status="queued"),
    "update to running": lambda jobs, key: jobs.update(key, status="running"),
    "update to succeeded": lambda jobs, key: jobs.update(key, status="succeeded"),
    "update to failed": lambda jobs, key: jobs.update(key, status="failed"),
    "update to cancelled": lambda jobs, key: jobs.update(key, status="cancelled"),
}

# What becomes of a job with attempts left: queued, running (held by "w"), succeeded, failed, cancelled.
TABLE = {
    "heartbeat of its worker": (REFUSED, "running", REFUSED, REFUSED, REFUSED),
    "heartbeat of another": (REFUSED, REFUSED, REFUSED, REFUSED, REFUSED),
    "succeed": ("succeeded", "succeeded", REFUSED, REFUSED, REFUSED),
    "succeed of its worker": (REFUSED, "succeeded", REFUSED, REFUSED, REFUSED),
    "succeed of another": (REFUSED, REFUSED, REFUSED, REFUSED, REFUSED),
    "fail": ("failed", "failed", REFUSED, REFUSED, REFUSED),
    "fail of its worker": (REFUSED, "failed", REFUSED, REFUSED, REFUSED),
    "fail of another": (REFUSED, REFUSED, REFUSED, REFUSED, REFUSED),
    "fail, later again": ("queued", "queued", REFUSED, REFUSED, REFUSED),
    "fail, later again, of another": (REFUSED, REFUSED, REFUSED, REFUSED, REFUSED),
    "cancel": ("cancelled", "cancelled", "succeeded", "failed", "cancelled"),
    "retry": (REFUSED, REFUSED, "queued", "queued", "queued"),
    "update to queued": ("queued", REFUSED, REFUSED, REFUSED, REFUSED),
    "update to running": ("running", "running", REFUSED, REFUSED, REFUSED),
    "update to succeeded": ("succeeded", "succeeded", "succeeded", REFUSED, REFUSED),
    "update to failed": ("failed", "failed", REFUSED, "failed", REFUSED),
    "update to cancelled": ("cancelled", "cancelled", REFUSED, REFUSED, "cancelled"),
}
STATES = [status.value for status in JobStatus]
CASES = [
    pytest.param(state, verb, outcome, id=f"{state}: {verb}")
    for verb, outcomes in TABLE.items()
    for state, outcome in zip(STATES, outcomes, strict=True)
]


@pytest.mark.parametrize(("state", "verb", "outcome"), CASES)
async def test_every_verb_in_every_state(
    jobs: JobRepository, clock: FrozenClock, state: str, verb: str, outcome: str
) -> None:
    before = await job_that_is(state, jobs, max_attempts=9)
    assert before.status == state
    clock.advance(1)
    if outcome == REFUSED:
        with pytest.raises(InvalidTransitionError) as caught:
            await VERBS[verb](jobs, before.id)
        assert caught.value.details["entity"] == "job"
        assert caught.value.details["key"] == str(before.id)
        assert caught.value.details["status"] == state
        assert await jobs.get(before.id) == before
        return
    after = await VERBS[verb](jobs, before.id)
    assert after.status == outcome
    assert await jobs.get(before.id) == after
    if after.status == before.status and not verb.startswith(("heartbeat", "fail")):
        assert after == before  # nothing to do, nothing done
        return
    assert after.updated_at == clock.now
    assert after.attempts == before.attempts
    assert (after.finished_at == clock.now) == (outcome in FINISHED)
    assert (after.finished_at is None) == (outcome not in FINISHED)
    if outcome != "running":
        assert after.lease_expires_at is None


@pytest.mark.parametrize("verb", VERBS)
async def test_an_unknown_id_is_not_found(jobs: JobRepository, verb: str) -> None:
    with pytest.raises(RecordNotFoundError) as caught:
        await VERBS[verb](jobs, UNKNOWN)
    assert caught.value.details == {"entity": "job", "key": str(UNKNOWN)}
    assert caught.value.http_status == 404


async def test_an_unknown_id_where_nothing_is_changed(jobs: JobRepository) -> None:
    with pytest.raises(RecordNotFoundError):
        await jobs.get(UNKNOWN)
    with pytest.raises(RecordNotFoundError):
        await jobs.update(UNKNOWN)
    with pytest.raises(RecordNotFoundError):
        await jobs.update(UNKNOWN, progress=0.5)
    with pytest.raises(RecordNotFoundError):
        await jobs.delete(UNKNOWN)
    assert await jobs.delete(UNKNOWN, missing_ok=True) is False
    assert await jobs.find(UNKNOWN) is None
    assert await jobs.list_children(UNKNOWN) == []


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("bad_id", ["", "7", "g" * 32, 7, None, b"x"])
async def test_a_malformed_id_is_a_value_error(jobs: JobRepository, verb: str, bad_id: Any) -> None:
    with pytest.raises(ValueError, match="not a UUID"):
        await VERBS[verb](jobs, bad_id)


# Finishing


async def test_succeed_stores_the_result_and_completes(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    job = await jobs.add("anna", "t", {}, total=7)
    await jobs.claim("w")
    now = clock.advance(3)
    done = await jobs.succeed(job.id, {"transcript_id": "x"}, worker="w")
    assert done.result == {"transcript_id": "x"}
    assert (done.progress, done.completed, done.finished_at) == (1.0, 7, now)
    assert done.started_at == START


async def test_succeed_without_a_result_leaves_the_one_that_is_there(jobs: JobRepository) -> None:
    job = await job_that_is("running", jobs)
    await jobs.update(job.id, result={"partial": 1})
    assert (await jobs.succeed(job.id)).result == {"partial": 1}
    other = await job_that_is("running", jobs)
    assert (await jobs.succeed(other.id, {})).result == {}


async def test_fail_stores_the_error(jobs: JobRepository) -> None:
    job = await job_that_is("running", jobs)
    failed = await jobs.fail(job.id, "", error_code="", error_details={})
    assert (failed.error, failed.error_code, failed.error_details) == ("", "", {})
    other = await job_that_is("running", jobs, max_attempts=5)
    failed = await jobs.fail(
        other.id, "no codec", error_code="codec", error_details={"at": 1}, worker="w"
    )
    assert (failed.status, failed.error, failed.error_code) == ("failed", "no codec", "codec")
    assert failed.error_details == {"at": 1}
    assert failed.result is None


async def test_fail_with_retry_in_queues_the_job_while_attempts_are_left(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    job = await jobs.add("anna", "t", {}, max_attempts=2)
    await jobs.claim("w")
    again = await jobs.fail(job.id, "busy", error_code="b", retry_in=30, worker="w")
    assert (again.status, again.attempts, again.error, again.error_code) == (
        "queued",
        1,
        "busy",
        "b",
    )
    assert again.run_after == clock.now + timedelta(seconds=30)
    assert (again.finished_at, again.lease_expires_at) == (None, None)
    clock.advance(29.999)
    assert await jobs.claim("w") is None
    clock.advance(0.001)
    assert await claimed_ids(jobs) == [job.id]
    final = await jobs.fail(job.id, "busy again", retry_in=30)
    assert (final.status, final.attempts, final.error) == ("failed", 2, "busy again")
    assert final.finished_at == clock.now
    clock.advance(1000)
    assert await jobs.claim("w") is None


async def test_retry_in_no_time_is_claimable_at_once(jobs: JobRepository) -> None:
    job = await job_that_is("running", jobs, max_attempts=2)
    await jobs.fail(job.id, "no", retry_in=0)
    assert await claimed_ids(jobs) == [job.id]


async def test_a_late_finish_cannot_undo_a_cancel(jobs: JobRepository, clock: FrozenClock) -> None:
    job = await job_that_is("running", jobs, max_attempts=5)
    cancelled = await jobs.cancel(job.id)
    clock.advance(1)
    for late in (
        jobs.succeed(job.id, {"r": 1}),
        jobs.succeed(job.id, {"r": 1}, worker="w"),
        jobs.fail(job.id, "no"),
        jobs.fail(job.id, "no", retry_in=0, worker="w"),
        jobs.heartbeat(job.id, "w", progress=0.9),
        jobs.update(job.id, status="succeeded", result={"r": 1}, progress=1.0),
    ):
        with pytest.raises(InvalidTransitionError) as caught:
            await late
        assert caught.value.http_status == 409
    assert await jobs.get(job.id) == cancelled
    assert await jobs.claim("w") is None


@pytest.mark.parametrize("state", FINISHED)
async def test_retry_queues_a_finished_job_afresh(
    jobs: JobRepository, clock: FrozenClock, state: str
) -> None:
    finished = await job_that_is(state, jobs)
    now = clock.advance(1)
    again = await jobs.retry(finished.id)
    assert again.status == "queued"
    assert (again.result, again.error, again.error_code, again.error_details) == (None,) * 4
    assert (again.finished_at, again.lease_expires_at) == (None, None)
    assert (again.params, again.created_at, again.updated_at) == (finished.params, START, now)
    claimed = await jobs.claim("v")
    assert claimed is not None
    assert (claimed.id, claimed.worker) == (finished.id, "v")
    assert (await jobs.succeed(finished.id, {"second": 1}, worker="v")).result == {"second": 1}


async def test_a_retried_job_does_not_wait_for_an_old_run_after(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    job = await jobs.add("anna", "t", {}, run_after=START + timedelta(days=1))
    await jobs.cancel(job.id)
    await jobs.retry(job.id)
    assert await claimed_ids(jobs) == [job.id]


# update()

CHANGES: list[tuple[str, Any]] = [
    ("progress", 0.5),
    ("progress", 1),
    ("completed", 1),
    ("result", {}),
    ("result", {"a": [1, None]}),
    ("error", ""),
    ("error", "text"),
    ("error_code", ""),
    ("error_details", {}),
    ("status", "running"),
    ("status", "cancelled"),
]


@pytest.mark.parametrize(("field", "value"), CHANGES)
async def test_update_changes_one_field_and_moves_updated_at_once(
    jobs: JobRepository, clock: FrozenClock, field: str, value: Any
) -> None:
    before = await jobs.add("anna", "t", {}, total=3)
    first = clock.advance(1)
    changed = await jobs.update(before.id, **{field: value})
    assert getattr(changed, field) == value
    assert changed.updated_at == first
    left = {"progress", "completed", "result", "error", "error_code", "error_details", "status"}
    for name in left - {field}:
        assert getattr(changed, name) == getattr(before, name)
    clock.advance(1)
    assert await jobs.update(before.id, **{field: value}) == changed
    assert await jobs.get(before.id) == changed


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    ("field", "full", "falsy"),
    [
        ("progress", 0.5, 0.0),
        ("completed", 3, 0),
        ("result", {"a": 1}, {}),
        ("error", "text", ""),
        ("error_code", "text", ""),
        ("error_details", {"a": 1}, {}),
    ],
)
async def test_falsy_values_are_values_in_every_state(
    jobs: JobRepository, clock: FrozenClock, state: str, field: str, full: Any, falsy: Any
) -> None:
    job = await job_that_is(state, jobs)
    await jobs.update(job.id, **{field: full})
    now = clock.advance(1)
    changed = await jobs.update(job.id, **{field: falsy})
    assert getattr(changed, field) == falsy
    assert (changed.updated_at, changed.status) == (now, state)


async def test_none_leaves_every_field(jobs: JobRepository, clock: FrozenClock) -> None:
    job = await jobs.add("anna", "t", {}, total=9)
    before = await jobs.update(
        job.id,
        status="running",
        progress=0.25,
        completed=2,
        result={"r": 1},
        error="e",
        error_code="c",
        error_details={"d": 1},
    )
    clock.advance(1)
    none: dict[str, Any] = dict.fromkeys(
        ("status", "progress", "completed", "result", "error", "error_code", "error_details")
    )
    assert await jobs.update(job.id, **none) == before
    assert await jobs.update(job.id) == before


async def test_update_of_everything_at_once(jobs: JobRepository, clock: FrozenClock) -> None:
    job = await job_that_is("running", jobs)
    now = clock.advance(1)
    done = await jobs.update(
        job.id, status=JobStatus.FAILED, progress=0.5, completed=1, result={}, error="e",
        error_code="c", error_details={"d": 1},
    )  # fmt: skip
    assert (done.status, done.progress, done.completed, done.result) == ("failed", 0.5, 1, {})
    assert (done.error, done.error_code, done.error_details) == ("e", "c", {"d": 1})
    assert (done.finished_at, done.updated_at, done.lease_expires_at) == (now, now, None)


async def test_update_stamps_start_and_end(jobs: JobRepository, clock: FrozenClock) -> None:
    job = await jobs.add("anna", "t", {})
    started = clock.advance(1)
    assert (await jobs.update(job.id, status="running")).started_at == started
    finished = clock.advance(1)
    done = await jobs.update(job.id, status="succeeded")
    assert (done.started_at, done.finished_at) == (started, finished)
    clock.advance(1)
    assert (await jobs.update(job.id, error="noted later")).finished_at == finished


@pytest.mark.parametrize("unknown", ["params", "type", "worker", "priority", "nonsense"])
async def test_update_refuses_other_fields(jobs: JobRepository, unknown: str) -> None:
    job = await jobs.add("anna", "t", {})
    with pytest.raises((TypeError, ValueError)):
        await jobs.update(job.id, **{unknown: None})
    assert await jobs.get(job.id) == job


async def test_concurrent_updates_of_different_fields_all_arrive(jobs: JobRepository) -> None:
    job = await jobs.add("anna", "t", {}, total=9)
    await asyncio.gather(
        jobs.update(job.id, progress=0.5),
        jobs.update(job.id, completed=4),
        jobs.update(job.id, error="e"),
        jobs.update(job.id, result={"r": 1}),
        jobs.update(job.id, status="running"),
    )
    after = await jobs.get(job.id)
    assert (after.progress, after.completed, after.error) == (0.5, 4, "e")
    assert (after.result, after.status) == ({"r": 1}, "running")


# Bad input changes nothing

PAST_THE_END: dict[
    str, tuple[Callable[[JobRepository, UUID], Awaitable[object]], tuple[float, int]]
] = {
    "progress above 1": (lambda jobs, key: jobs.update(key, progress=1.0000001), (1.0, 0)),
    "progress below 0": (lambda jobs, key: jobs.update(key, progress=-0.1), (0.0, 0)),
    "progress of another number": (
        lambda jobs, key: jobs.update(key, progress=Decimal(7)),  # type: ignore[arg-type]
        (1.0, 0),
    ),
    "completed below 0": (lambda jobs, key: jobs.update(key, completed=-1, progress=0.5), (0.5, 0)),
    "progress above 1, among others": (
        lambda jobs, key: jobs.update(key, error="e", progress=1.5, completed=2),
        (1.0, 2),
    ),
    "progress alone": (lambda jobs, key: jobs.progress(key, 1.5, completed=-3), (1.0, 0)),
    "heartbeat above 1": (lambda jobs, key: jobs.heartbeat(key, "w", progress=1.5), (1.0, 0)),
    "heartbeat below 0": (
        lambda jobs, key: jobs.heartbeat(key, "w", progress=-1, completed=-1),
        (0.0, 0),
    ),
}


@pytest.mark.parametrize("case", PAST_THE_END)
async def test_progress_past_its_end_is_cut(jobs: JobRepository, case: str) -> None:
    """A hook that reports it must never fail for that."""
    before = await job_that_is("running", jobs)
    verb, stored = PAST_THE_END[case]
    await verb(jobs, before.id)
    after = await jobs.get(before.id)
    assert (after.progress, after.completed) == stored
    assert after.status == before.status


WRONG: dict[str, Callable[[JobRepository, UUID, Any], Awaitable[object]]] = {
    "update progress": lambda jobs, key, bad: jobs.update(key, progress=bad),
    "heartbeat progress": lambda jobs, key, bad: jobs.heartbeat(key, "w", progress=bad),
    "heartbeat lease": lambda jobs, key, bad: jobs.heartbeat(key, "w", lease=bad),
    "claim lease": lambda jobs, key, bad: jobs.claim("w", lease=bad),
    "claim lease of types": lambda jobs, key, bad: jobs.claim("w", types=["t"], lease=bad),
    "fail retry_in": lambda jobs, key, bad: jobs.fail(key, "no", retry_in=bad),
    "succeed result": lambda jobs, key, bad: jobs.succeed(key, {"r": [bad]}),
    "update result": lambda jobs, key, bad: jobs.update(key, result={"r": bad}),
    "fail details": lambda jobs, key, bad: jobs.fail(key, "no", error_details={"r": bad}),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("bad", [NAN, INFINITY, -INFINITY])
async def test_nan_and_infinity_are_refused(
    jobs: JobRepository, clock: FrozenClock, case: str, bad: float
) -> None:
    before = await job_that_is("running", jobs, max_attempts=9)
    waiting = await jobs.add("anna", "t", {})
    clock.advance(1)
    with pytest.raises(ValueError, match=r".+"):
        await WRONG[case](jobs, before.id, bad)
    assert await jobs.get(before.id) == before
    assert await jobs.get(waiting.id) == waiting


@pytest.mark.parametrize("bad", [-1, -0.001, 1e12, 1e300])
@pytest.mark.parametrize(
    "case", [case for case in WRONG if case.split()[1] in ("lease", "retry_in")]
)
async def test_a_duration_is_not_negative_and_ends_within_the_calendar(
    jobs: JobRepository, clock: FrozenClock, case: str, bad: float
) -> None:
    before = await job_that_is("running", jobs, max_attempts=9)
    waiting = await jobs.add("anna", "t", {})
    clock.advance(1)
    with pytest.raises(ValueError, match=r".+"):
        await WRONG[case](jobs, before.id, bad)
    assert await jobs.get(before.id) == before
    assert await jobs.get(waiting.id) == waiting


ILL_TYPED: dict[str, Verb] = {
    "unknown status": lambda jobs, key: jobs.update(key, status="done"),  # type: ignore[arg-type]
    "status of other case": lambda jobs, key: jobs.update(key, status="Queued"),  # type: ignore[arg-type]
    "empty status": lambda jobs, key: jobs.update(key, status=""),  # type: ignore[arg-type]
    "progress as text": lambda jobs, key: jobs.update(key, progress="0.5"),  # type: ignore[arg-type]
    "completed as float": lambda jobs, key: jobs.update(key, completed=0.5),  # type: ignore[arg-type]
    "completed past 64 bits": lambda jobs, key: jobs.update(key, completed=2**63),
    "result as list": lambda jobs, key: jobs.update(key, result=[]),  # type: ignore[arg-type]
    "result as text": lambda jobs, key: jobs.succeed(key, "{}"),  # type: ignore[arg-type]
    "result with a set of NaN": lambda jobs, key: jobs.succeed(key, {"r": {NAN}}),
    "result with a number as key": lambda jobs, key: jobs.succeed(key, {1: 2}),  # type: ignore[dict-item]
    "code with a surrogate": lambda jobs, key: jobs.fail(key, "e", error_code="\ud800"),
    "error as number": lambda jobs, key: jobs.update(key, error=5),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", ILL_TYPED)
async def test_wrong_arguments_change_nothing(
    jobs: JobRepository, clock: FrozenClock, case: str
) -> None:
    before = await job_that_is("running", jobs)
    clock.advance(1)
    with pytest.raises((ValueError, TypeError)):
        await ILL_TYPED[case](jobs, before.id)
    assert await jobs.get(before.id) == before


async def test_a_claim_without_a_worker_is_refused(jobs: JobRepository) -> None:
    job = await jobs.add("anna", "t", {})
    nobody: Any = None
    with pytest.raises((ConstraintError, TypeError, ValueError)):
        await jobs.claim(nobody)
    assert await jobs.get(job.id) == job


async def test_an_empty_name_is_a_worker_too(jobs: JobRepository) -> None:
    job = await jobs.add("anna", "t", {})
    claimed = await jobs.claim("")
    assert claimed is not None
    assert claimed.worker == ""
    with pytest.raises(InvalidTransitionError):
        await jobs.succeed(job.id, worker="w")
    assert (await jobs.succeed(job.id, worker="")).status == "succeeded"


async def test_a_job_is_json_and_back(jobs: JobRepository) -> None:
    for state in STATES:
        job = await job_that_is(state, jobs)
        if state in ("queued", "running"):
            await jobs.cancel(job.id)
        text = msgspec.json.encode(job)
        assert text.startswith(b'{"id":')
        assert msgspec.json.decode(text, type=Job) == job


# Attempts


async def test_a_worker_that_lost_its_lease_cannot_touch_a_later_attempt(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    """Also where the next worker has the same name, as in two containers of one image."""
    await jobs.add("anna", "t", {}, max_attempts=3)
    first = await jobs.claim("worker-1", lease=5)
    assert first is not None
    clock.advance(5)
    second = await jobs.claim("worker-1", lease=5)
    assert second is not None
    assert (second.id, second.attempts) == (first.id, first.attempts + 1)
    late: list[Callable[[int], Awaitable[Job]]] = [
        lambda attempt: jobs.heartbeat(first.id, "worker-1", attempt=attempt),
        lambda attempt: jobs.succeed(first.id, {"r": 1}, worker="worker-1", attempt=attempt),
        lambda attempt: jobs.succeed(first.id, attempt=attempt),
        lambda attempt: jobs.fail(first.id, "no", attempt=attempt),
        lambda attempt: jobs.fail(first.id, "no", retry_in=1, worker="worker-1", attempt=attempt),
        lambda attempt: jobs.release(first.id, "worker-1", attempt=attempt),
    ]
    for act in late:
        with pytest.raises(InvalidTransitionError):
            await act(first.attempts)
        assert await jobs.get(first.id) == second
    assert (await late[0](second.attempts)).status == "running"
    assert (await late[1](second.attempts)).status == "succeeded"


async def test_a_released_job_is_queued_and_has_lost_no_attempt(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    await jobs.add("anna", "t", {}, max_attempts=1)
    for _ in range(3):
        job = await jobs.claim("w")
        assert job is not None
        assert job.attempts == 1
        clock.advance(1)
        back = await jobs.release(job.id, "w", attempt=1)
        assert (back.status, back.attempts, back.worker) == ("queued", 0, None)
        assert (back.lease_expires_at, back.finished_at) == (None, None)


async def test_only_the_worker_that_holds_a_job_can_release_it(jobs: JobRepository) -> None:
    job = await jobs.add("anna", "t", {})
    with pytest.raises(InvalidTransitionError):
        await jobs.release(job.id, "w")
    await jobs.claim("w")
    with pytest.raises(InvalidTransitionError):
        await jobs.release(job.id, "another")
    await jobs.succeed(job.id)
    with pytest.raises(InvalidTransitionError):
        await jobs.release(job.id, "w")
    with pytest.raises(RecordNotFoundError):
        await jobs.release(uuid4(), "w")


async def test_params_of_none_are_refused_before_anything_runs(jobs: JobRepository) -> None:
    for call in (
        jobs.add("anna", "t", None),  # type: ignore[arg-type]
        jobs.add_batch("anna", "t", None, [{}]),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidArgumentError) as caught:
            await call
        assert caught.value.parameter == "params"


# Several at once


async def test_many_jobs_are_claimed_as_one_by_one(jobs: JobRepository, clock: FrozenClock) -> None:
    old = [await jobs.add("anna", "t", {}) for _ in range(2)]
    clock.advance(1)
    urgent = await jobs.add("ben", "t", {}, priority=1)
    other = await jobs.add("ben", "u", {}, priority=9)
    claimed = await jobs.claim_many("w", 5, types=["t"], lease=10)
    assert [job.id for job in claimed] == [urgent.id, old[0].id, old[1].id]
    assert {(job.status, job.worker, job.attempts) for job in claimed} == {("running", "w", 1)}
    assert await jobs.claim_many("w", 1) == [await jobs.get(other.id)]
    assert await jobs.claim_many("w", 1) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(12))
async def test_many_jobs_are_claimed_in_the_order_in_which_single_claims_take_them(
    seed: int,
) -> None:
    """Queued, put off, due, held and lost jobs of three types; in some rounds one is limited or paused."""
    random = Random(seed)
    moments = [to_moment(START + timedelta(seconds=s)) for s in (-60, -30, 5, 60)]
    rows = [
        {
            "id": str(UUID(int=random.getrandbits(128), version=4)),
            "type": random.choice("tuv"),
            "priority": random.choice([0, 0, 1]),
            "created_at": random.choice(moments[:2]),
            "run_after": random.choice([None, None, *moments]),
            "max_attempts": random.choice([1, 3]),
        }
        for _ in range(60)
    ]
    rule = random.choice([None, None, "pause", "limit"])
    types = random.choice([["t"], ["t", "u"], ["u", "t", "u", "none"], ["v", "t", "u"]])
    claimed: list[list[Job]] = []
    for claims in (1, 25):
        clock = FrozenClock()
        async with reelbase.connect(":memory:", clock=clock) as database:
            await database.profiles.ensure("anna")
            await database.execute_many(
                "INSERT INTO jobs (id, profile_id, type, priority, created_at, run_after, max_attempts)"
                " VALUES (:id, 'anna', :type, :priority, :created_at, :run_after, :max_attempts)",
                rows,
            )
            await database.jobs.claim_many("other", 12, lease=5)
            clock.advance(10)
            if rule == "pause":
                await database.jobs.pause("u")
            elif rule == "limit":
                await database.jobs.limit("u", running=6)
            found: list[Job] = []
            for _ in range(50 // claims):
                found += await database.jobs.claim_many("w", claims, types=types)
            claimed.append(found)
    assert claimed[0] == claimed[1]
    assert len(claimed[0]) > 3


async def test_no_more_jobs_are_claimed_than_asked_for_nor_than_a_limit_allows(
    jobs: JobRepository,
) -> None:
    for _ in range(6):
        await jobs.add("anna", "t", {})
    assert len(await jobs.claim_many("w", 2)) == 2
    await jobs.limit("t", running=3)
    assert len(await jobs.claim_many("w", 3)) == 1


@pytest.mark.parametrize("count", [0, -1, 1001])
async def test_claiming_no_jobs_or_too_many_at_once_is_refused(
    jobs: JobRepository, count: int
) -> None:
    with pytest.raises(InvalidArgumentError, match="count"):
        await jobs.claim_many("w", count)


async def test_many_results_are_stored_and_lost_jobs_left_alone(
    jobs: JobRepository, clock: FrozenClock
) -> None:
    for _ in range(5):
        await jobs.add("anna", "t", {}, max_attempts=2)
    claimed = await jobs.claim_many("w", 5, lease=10)
    done, plain, cancelled, deleted, taken = claimed
    await jobs.cancel(cancelled.id)
    await jobs.delete(deleted.id)
    await jobs.heartbeat(done.id, "w", lease=60)
    await jobs.heartbeat(plain.id, "w", lease=60)
    clock.advance(10)
    again = await jobs.claim("w")
    assert again is not None
    assert (again.id, again.attempts) == (taken.id, 2)

    results = [(job, {"n": n} if n else None) for n, job in enumerate(claimed[::-1])]
    assert await jobs.succeed_many(results) == [False, False, False, True, True]
    ended = await jobs.get(done.id)
    assert (ended.status, ended.result, ended.progress) == ("succeeded", {"n": 4}, 1)
    assert (ended.worker, ended.lease_expires_at, ended.completed) == (None, None, 1)
    assert (await jobs.get(cancelled.id)).status == "cancelled"
    assert await jobs.get(taken.id) == again
    assert await jobs.succeed_many([(again, None)]) == [True]
    assert await jobs.succeed_many([(again, None)]) == [False]
    assert await jobs.succeed_many([]) == []


async def test_of_many_results_none_is_stored_if_one_cannot_be(jobs: JobRepository) -> None:
    for _ in range(2):
        await jobs.add("anna", "t", {})
    first, second = await jobs.claim_many("w", 2)
    with pytest.raises(InvalidArgumentError, match="result"):
        await jobs.succeed_many([(first, {}), (second, {"n": NAN})])
    assert await jobs.get(first.id) == first


async def test_many_jobs_of_a_batch_end_their_parent(jobs: JobRepository) -> None:
    parent, _ = await jobs.add_batch("anna", "t", {}, [{}] * 3)
    claimed = await jobs.claim_many("w", 3)
    assert await jobs.succeed_many((job, None) for job in claimed) == [True] * 3
    ended = await jobs.get(parent.id)
    assert (ended.status, ended.completed) == ("succeeded", 3)
