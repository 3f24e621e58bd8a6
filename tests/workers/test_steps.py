"""Promises of run.step(), run.log(), jobs.wait() and jobs.snooze(): finished work is not done again."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import pytest
from test_work import done_by, ended, job_of, until, working

import reelbase
from reelbase import (
    BlockingJobRun,
    Database,
    InvalidTransitionError,
    JobHandler,
    JobRun,
    RecordNotFoundError,
    UnitOfWork,
)
from reelbase.testing.clock import FrozenClock


def at_once(attempt: int) -> float:
    return 0


async def test_a_finished_step_is_not_done_again_by_the_next_attempt(database: Database) -> None:
    done: list[str] = []

    async def download(url: str) -> dict[str, Any]:
        done.append("download")
        return {"path": f"/media/{url}"}

    async def transcribe(path: str) -> list[int]:
        done.append("transcribe")
        if done.count("transcribe") < 3:
            raise OSError("no memory")
        return [1, 2]

    async def handler(run: JobRun) -> dict[str, Any]:
        found = await run.step("download", download, "a.mp4")
        return {"segments": await run.step("transcribe", transcribe, found["path"]), **found}

    job = await done_by(database, JobHandler(handler, backoff=at_once), max_attempts=5)
    assert job.result == {"segments": [1, 2], "path": "/media/a.mp4"}
    assert done == ["download", "transcribe", "transcribe", "transcribe"]
    steps = await database.jobs.steps(job.id)
    assert [(step.name, step.attempt, step.result) for step in steps] == [
        ("download", 1, {"path": "/media/a.mp4"}),
        ("transcribe", 3, [1, 2]),
    ]
    assert await database.jobs.find_step(job.id, "transcribe") == steps[1]
    assert await database.jobs.find_step(job.id, "upload") is None


@pytest.mark.parametrize("result", [None, 0, "", [], {}, False, 1.5, {"a": [None, "é"]}])
async def test_every_json_value_comes_back_from_a_step(result: Any, database: Database) -> None:
    calls: list[int] = []
    seen: list[Any] = []

    async def step() -> Any:
        calls.append(1)
        return result

    async def handler(run: JobRun) -> None:
        seen.append(await run.step("one", step))
        if run.attempt == 1:
            raise OSError

    job = await done_by(database, JobHandler(handler, backoff=at_once), max_attempts=2)
    assert (job.status, seen, len(calls)) == ("succeeded", [result, result], 1)


async def test_a_step_gives_the_same_at_first_as_later(database: Database) -> None:
    key = UUID("0190a0b0-0000-7000-8000-000000000000")

    async def handler(run: JobRun) -> dict[str, Any]:
        return {"found": await run.step("one", lambda: {"pair": (1, 2), "id": str(key)})}

    job = await done_by(database, handler)
    assert job.result == {"found": {"pair": [1, 2], "id": str(key)}}


async def test_a_step_is_stored_with_its_writes_or_not_at_all(database: Database) -> None:
    async def add(unit: UnitOfWork, name: str, fails: bool) -> str:
        await unit.profiles.ensure(name)
        if fails:
            raise OSError("in the middle")
        return name

    async def handler(run: JobRun) -> None:
        await run.step("add", add, f"profile {run.attempt}", run.attempt == 1)

    job = await done_by(database, JobHandler(handler, backoff=at_once), max_attempts=2)
    assert job.status == "succeeded"
    assert {profile.id for profile in await database.profiles.list()} == {"ann", "profile 2"}
    assert [step.attempt for step in await database.jobs.steps(job.id)] == [2]


async def test_a_worker_that_lost_the_job_stores_neither_step_nor_writes(
    database: Database, clock: FrozenClock
) -> None:
    ended_as: list[str] = []

    async def add(unit: UnitOfWork) -> None:
        await unit.profiles.ensure("late")

    async def handler(run: JobRun) -> None:
        clock.advance(3600)
        assert await database.jobs.claim("heir") is not None
        try:
            await run.step("add", add)
        except asyncio.CancelledError:
            ended_as.append("cancelled")
            raise

    job = await job_of(database, max_attempts=3)
    async with working(database, {"t": handler}):
        await until(lambda: ended_as)
    assert await database.jobs.steps(job.id) == []
    assert [profile.id for profile in await database.profiles.list()] == ["ann"]
    assert (await database.jobs.get(job.id)).worker == "heir"


async def test_a_refused_transition_inside_a_step_is_the_steps_own_error(
    database: Database,
) -> None:
    other = await job_of(database, "other")

    async def step() -> None:
        await database.jobs.release(other.id, "nobody")

    async def handler(run: JobRun) -> None:
        await run.step("one", step)

    job = await done_by(database, handler)
    assert job.error is not None
    assert job.error.startswith("InvalidTransitionError: ")


async def test_a_result_that_is_no_json_leaves_the_step_unfinished(database: Database) -> None:
    async def handler(run: JobRun) -> None:
        await run.step("one", object)

    job = await done_by(database, handler)
    assert job.error is not None
    assert "result" in job.error
    assert await database.jobs.steps(job.id) == []


async def test_a_name_belongs_to_one_running_step(database: Database) -> None:
    async def slow() -> str:
        await asyncio.sleep(0.01)
        return "slow"

    async def handler(run: JobRun) -> dict[str, Any]:
        steps = [run.step("one", slow), run.step("one", slow)]
        first, second = await asyncio.gather(*steps, return_exceptions=True)
        return {"first": first, "second": str(second)}

    job = await done_by(database, handler)
    assert job.result == {"first": "slow", "second": "JobRun.step: name: step 'one' is running"}


async def test_a_thread_has_steps_and_a_log(database: Database) -> None:
    async def add(unit: UnitOfWork, name: str) -> str:
        await unit.profiles.ensure(name)
        return name

    def handler(run: BlockingJobRun) -> dict[str, Any]:
        run.log("begins")
        return {"sum": run.step("sum", sum, [1, 2]), "name": run.step("add", add, "ben")}

    job = await done_by(database, handler)
    assert job.result == {"sum": 3, "name": "ben"}
    assert [line.text for line in await database.jobs.log_lines(job.id)] == ["begins"]


@pytest.mark.long
async def test_a_step_waits_for_a_busy_database_and_is_done_once(
    path: Path, journal: Literal["wal", "delete"], caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    async with reelbase.connect(path, journal=journal, busy_timeout=0.05) as database:

        async def step() -> None:
            calls.append(1)
            blocker = sqlite3.connect(path, isolation_level=None)
            blocker.execute("BEGIN IMMEDIATE")

            def end() -> None:
                blocker.execute("ROLLBACK")
                blocker.close()

            asyncio.get_running_loop().call_later(0.2, end)

        async def handler(run: JobRun) -> None:
            await run.step("one", step)

        assert (await done_by(database, handler)).status == "succeeded"
    assert (len(calls), "tries again in" in caplog.text) == (1, True)


@pytest.mark.long
async def test_a_failed_job_goes_on_where_it_was_and_a_succeeded_one_is_done_again(
    database: Database,
) -> None:
    calls: list[int] = []
    fails = True

    async def handler(run: JobRun) -> None:
        await run.step("one", lambda: calls.append(1))
        if fails:
            raise OSError

    job = await done_by(database, handler)
    assert (job.status, len(calls)) == ("failed", 1)
    fails = False
    for count in (1, 2):
        await database.jobs.retry(job.id)
        async with working(database, {"t": handler}):
            assert ((await ended(database, job)).status, len(calls)) == ("succeeded", count)


async def test_a_step_is_refused_to_all_but_the_holder(database: Database) -> None:
    job = await job_of(database)
    with pytest.raises(InvalidTransitionError, match="cannot finish step 'one'"):
        await database.jobs.finish_step(job.id, "one", 1, worker="w", attempt=1)
    assert await database.jobs.claim("w")
    for worker, attempt in (("v", 1), ("w", 2)):
        with pytest.raises(InvalidTransitionError, match=r"held by 'w'"):
            await database.jobs.finish_step(job.id, "one", 1, worker=worker, attempt=attempt)
    await database.jobs.finish_step(job.id, "one", 1, worker="w", attempt=1)
    with pytest.raises(reelbase.ConstraintError) as caught:
        await database.jobs.finish_step(job.id, "one", 2, worker="w", attempt=1)
    assert caught.value.kind == "unique"
    with pytest.raises(RecordNotFoundError):
        await database.jobs.finish_step(reelbase.new_id(), "one", 1, worker="w", attempt=1)


# The log


async def test_lines_are_numbered_and_can_be_followed(database: Database) -> None:
    async def handler(run: JobRun) -> None:
        for line in ("reads", "converts \udce9", "writes"):
            await run.log(line)

    job = await done_by(database, handler)
    lines = await database.jobs.log_lines(job.id)
    assert [(line.number, line.attempt, line.text) for line in lines] == [
        (1, 1, "reads"),
        (2, 1, r"converts \xe9"),
        (3, 1, "writes"),
    ]
    assert await database.jobs.log_lines(job.id, after=1, limit=1) == lines[1:2]
    line = await database.jobs.log(job.id, "seen", attempt=7)
    assert (line.number, line.attempt) == (4, 7)
    with pytest.raises(RecordNotFoundError):
        await database.jobs.log(reelbase.new_id(), "text")


async def test_a_log_keeps_its_newest_lines(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelbase.repositories.jobs.runs._KEPT_LINES", 3)
    job, other = await job_of(database), await job_of(database)
    await database.jobs.log(other.id, "other")
    for number in range(1, 8):
        assert (await database.jobs.log(job.id, f"line {number}")).number == number
    assert [line.number for line in await database.jobs.log_lines(job.id)] == [5, 6, 7]
    assert len(await database.jobs.log_lines(other.id)) == 1


async def test_a_deleted_job_takes_its_steps_and_lines_along(database: Database) -> None:
    job = await job_of(database)
    assert await database.jobs.claim("w")
    await database.jobs.finish_step(job.id, "one", 1, worker="w", attempt=1)
    await database.jobs.log(job.id, "text")
    await database.jobs.delete(job.id)
    assert await database.jobs.steps(job.id) == []
    assert await database.jobs.log_lines(job.id) == []


# Waiting and snoozing


async def test_a_job_can_be_waited_for(database: Database) -> None:
    async def handler(run: JobRun) -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"n": 1}

    job = await job_of(database)
    async with working(database, {"t": handler}):
        done = await database.jobs.wait(job.id, timeout=10)
    assert (done.status, done.result) == ("succeeded", {"n": 1})
    assert await database.jobs.wait(job.id, timeout=0) == done


async def test_a_wait_ends_at_its_timeout_and_with_the_job(database: Database) -> None:
    job = await job_of(database)
    with pytest.raises(TimeoutError, match=rf"job {job.id} is queued after 0.02 s"):
        await database.jobs.wait(job.id, timeout=0.02)
    with pytest.raises(reelbase.InvalidArgumentError):
        await database.jobs.wait(job.id, timeout=float("nan"))
    waiting = asyncio.create_task(database.jobs.wait(job.id))
    await asyncio.sleep(0.02)
    await database.jobs.delete(job.id)
    with pytest.raises(RecordNotFoundError):
        await waiting


async def test_a_unit_cannot_wait_for_a_job(database: Database) -> None:
    job = await job_of(database)
    async with database.transaction() as unit:
        with pytest.raises(reelbase.DatabaseError) as caught:
            await unit.jobs.wait(job.id)
    assert caught.value.code == "inside_unit"


@pytest.mark.long
async def test_a_snooze_puts_a_job_off_and_costs_no_attempt(
    database: Database, clock: FrozenClock
) -> None:
    async def handler(run: JobRun) -> None:
        if run.job.run_after is None:
            assert run.job.worker is not None
            await database.jobs.snooze(run.job.id, 60, worker=run.job.worker)

    job = await job_of(database)
    async with working(database, {"t": handler}):

        async def is_put_off() -> bool:
            return (await database.jobs.get(job.id)).run_after is not None

        await until(is_put_off)
        put_off = await database.jobs.get(job.id)
        assert put_off.run_after is not None
        assert (put_off.run_after - clock.now).total_seconds() == 60
        assert (put_off.status, put_off.attempts) == ("queued", 0)
        clock.advance(60)
        assert (await ended(database, job)).attempts == 1


async def test_only_the_holder_can_snooze(database: Database) -> None:
    job = await job_of(database)
    assert await database.jobs.claim("w")
    with pytest.raises(InvalidTransitionError, match="cannot be put off"):
        await database.jobs.snooze(job.id, 60, worker="v")
    with pytest.raises(InvalidTransitionError, match="cannot be put off"):
        await database.jobs.snooze(job.id, 60, worker="w", attempt=2)
