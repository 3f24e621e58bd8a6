"""Pages of jobs by profile, status and type, and the numbers of jobs by status."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from test_paging import multiply, operations_of, step_of

from reelbase import Database, InvalidArgumentError, Job, JobQueue, JobStatus
from reelbase.testing.clock import FrozenClock


@pytest.fixture
async def jobs(database: Database) -> dict[str, Job]:
    """Jobs of two profiles, by profile, type and status; each batch has a child."""
    await database.profiles.ensure("ann")
    await database.profiles.ensure("bob")
    found: dict[str, Job] = {}
    for profile in ("ann", "bob"):
        for type in ("scan", "cut"):
            for status in JobStatus:
                job = await database.jobs.add(profile, type, {})
                if status is not JobStatus.QUEUED:
                    job = await database.jobs.update(job.id, status=status)
                found[f"{profile} {type} {status}"] = job
        batch, _ = await database.jobs.add_batch(profile, "batch", {}, [{}])
        found[f"{profile} batch queued"] = batch
    return found


FILTERS: list[dict[str, Any]] = [
    {},
    {"active_only": True},
    {"type": "scan"},
    {"type": "batch"},
    {"type": "unknown"},
    {"active_only": True, "type": "cut"},
    {"active_only": True, "status": "running"},
    *({"status": status} for status in JobStatus),
    *({"status": str(status), "type": "scan"} for status in JobStatus),
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("profile", ["ann", None])
async def test_a_page_holds_the_top_level_jobs_that_pass_every_filter(
    database: Database, jobs: dict[str, Job], profile: str | None, filters: dict[str, Any]
) -> None:
    expected = [
        job
        for job in jobs.values()
        if profile in (None, job.profile_id)
        and filters.get("type") in (None, job.type)
        and filters.get("status") in (None, job.status)
        and not (filters.get("active_only") and job.status.is_finished)
    ]
    found: list[Job] = []
    page = await database.jobs.page(profile, limit=2, **filters)
    found += page
    while page.next is not None:
        page = await database.jobs.page(profile, limit=2, after=page.next, **filters)
        found += page
    assert found == expected[::-1]


async def test_a_status_that_no_active_job_has_is_refused_among_active_jobs(
    database: Database,
) -> None:
    with pytest.raises(InvalidArgumentError, match="page: status: is no status of an active job"):
        await database.jobs.page(active_only=True, status="failed")
    with pytest.raises(InvalidArgumentError, match="page: status: must be one of queued"):
        await database.jobs.page(status="done")  # type: ignore[arg-type]


@pytest.mark.parametrize("type", [None, "scan", "batch", "unknown"])
@pytest.mark.parametrize("profile", ["ann", "bob", "unknown", None])
async def test_jobs_are_counted_by_status(
    database: Database, jobs: dict[str, Job], profile: str | None, type: str | None
) -> None:
    expected: dict[JobStatus, int] = {}
    for job in jobs.values():
        if profile in (None, job.profile_id) and type in (None, job.type):
            expected[job.status] = expected.get(job.status, 0) + 1
    counts = await database.jobs.counts_by_status(profile, type=type)
    assert counts == expected
    assert all(isinstance(status, JobStatus) for status in counts)


@pytest.mark.long
async def test_a_failed_job_is_found_as_quickly_among_any_number_that_succeeded(
    database: Database, path: Path
) -> None:
    await database.profiles.ensure("ann")
    failed = await database.jobs.add("ann", "scan", {})
    failed = await database.jobs.update(failed.id, status="failed")
    succeeded = await database.jobs.update(
        (await database.jobs.add("ann", "scan", {})).id, status="succeeded"
    )
    cost = []
    for count in (1, 2000):
        if count > 1:
            await multiply(database, "jobs", succeeded.id, count)
        for profile in ("ann", None):
            page = database.jobs.page(profile, status="failed", limit=5)
            cost.append(operations_of(await step_of(database, page), path))
            assert await database.jobs.page(profile, status="failed", limit=5) == [failed]
    assert cost[2:] == cost[:2]


async def test_a_queue_tells_since_when_its_first_job_has_waited(
    database: Database, clock: FrozenClock
) -> None:
    jobs = database.jobs
    await database.profiles.ensure("ann")
    assert await jobs.queues() == []
    start, due = clock.now, clock.now + timedelta(seconds=5)
    first = await jobs.add("ann", "scan", {})
    await jobs.add("ann", "later", {}, run_after=due)
    later = clock.advance(1.0)
    await jobs.add("ann", "scan", {})
    assert await jobs.queues() == [JobQueue("scan", 2, start)]
    await jobs.claim("w")
    assert await jobs.queues() == [JobQueue("scan", 1, later)]
    again = clock.advance(9.0)
    await jobs.release(first.id, "w")
    await jobs.cancel((await jobs.list_for_profile("ann", limit=1))[0].id)
    await jobs.pause("scan")
    assert await jobs.queues() == [JobQueue("later", 1, due), JobQueue("scan", 1, again)]


async def test_queues_are_those_that_a_claim_finds(database: Database, clock: FrozenClock) -> None:
    jobs = database.jobs
    await database.profiles.ensure("ann")
    late = clock.now + timedelta(seconds=60)
    first = await jobs.add("ann", "a", {})
    await jobs.add("ann", "b", {}, run_after=late)
    await jobs.add("ann", "c", {}, after=[first.id])
    await jobs.add_batch("ann", "d", {}, [{}, {}])
    counts: dict[str, int] = {}
    expected = {queue.type: queue.count for queue in await jobs.queues()}
    while (job := await jobs.claim("w")) is not None:
        counts[job.type] = counts.get(job.type, 0) + 1
    assert counts == expected == {"a": 1, "d": 2}
    assert await jobs.queues() == []
