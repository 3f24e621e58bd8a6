"""The table of states of jobs: what each verb makes of each state."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from state_tables import REFUSED, cells

from reelbase import Database, InvalidTransitionError, Job, JobRepository, JobStatus
from reelbase.repositories import jobs as jobs_module
from reelbase.testing.clock import FrozenClock

Verb = Callable[[JobRepository, UUID], Awaitable[object]]

VERBS: dict[str, Verb] = {
    "run": lambda jobs, key: jobs.update(key, status="running"),
    "heartbeat": lambda jobs, key: jobs.heartbeat(key, "w"),
    "succeed": lambda jobs, key: jobs.succeed(key),
    "fail": lambda jobs, key: jobs.fail(key, "broken"),
    "later": lambda jobs, key: jobs.fail(key, "broken", retry_in=5),
    "release": lambda jobs, key: jobs.release(key, "w"),
    "cancel": lambda jobs, key: jobs.cancel(key),
    "retry": lambda jobs, key: jobs.retry(key),
}
OVER_ALL: dict[str, Verb] = {
    "claim": lambda jobs, _: jobs.claim("heir"),
    "progress": lambda jobs, key: jobs.progress(key, 0.5),
    "recover": lambda jobs, _: jobs.recover(),
}
HELD = ("held", "expired", "spent")
TABLE = cells(jobs_module)


async def job_in_state(state: str, database: Database, clock: FrozenClock) -> Job:
    """A job as a row of the table has it; claimed ones are held by w."""
    jobs = database.jobs
    await database.profiles.ensure("ann")
    job = await jobs.add("ann", "t", {}, max_attempts=1 if state == "spent" else 3)
    if state in HELD:
        held = await jobs.claim("w", lease=30)
        assert held is not None
        if state != "held":
            clock.advance(30)
        return held
    return job if state == "queued" else await jobs.update(job.id, status=JobStatus(state))


def test_the_table_has_every_state_and_every_verb() -> None:
    assert {state for state, _, _ in TABLE} == {*JobStatus, *HELD}
    assert {verb for _, verb, _ in TABLE} == {*VERBS, *OVER_ALL}
    assert len(TABLE) == len({(state, verb) for state, verb, _ in TABLE}) == 8 * 11


@pytest.mark.parametrize(("state", "verb", "becomes"), TABLE)
async def test_what_a_verb_makes_of_a_state(
    state: str, verb: str, becomes: str, database: Database, clock: FrozenClock
) -> None:
    jobs = database.jobs
    before = await job_in_state(state, database, clock)
    now = clock.advance(1)
    if verb in OVER_ALL:
        await OVER_ALL[verb](jobs, before.id)
    elif becomes == REFUSED:
        with pytest.raises(InvalidTransitionError) as caught:
            await VERBS[verb](jobs, before.id)
        assert caught.value.details["status"] == before.status
    else:
        assert await VERBS[verb](jobs, before.id) == await jobs.get(before.id)
    after = await jobs.get(before.id)
    if becomes == REFUSED or (before.status.is_finished and verb == "cancel"):
        assert after == before
        return
    assert after.status == becomes
    assert after.finished_at == (now if after.status.is_finished else None)
    assert (after.worker is None) == (after.lease_expires_at is None)
    assert after.worker is None or after.status == "running"
