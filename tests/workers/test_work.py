"""Promises of database.work() about one job: its handler, its outcome, its retries, its cancellation."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import pytest

import reelbase
from reelbase import (
    BlockingJobRun,
    Database,
    DatabaseClosedError,
    Handler,
    InvalidArgumentError,
    Job,
    JobFailure,
    JobHandler,
    JobRepository,
    JobRun,
    JobStatus,
)
from reelbase.testing.clock import FrozenClock
from reelbase.workers import runs, worker
from reelbase.workers.handlers import exponential_backoff


@asynccontextmanager
async def working(
    database: Database, handlers: dict[str, Any], **options: Any
) -> AsyncIterator[asyncio.Task[None]]:
    """A worker beside the block; it is stopped at the block's end."""
    options = {"grace": 5.0} | options
    task = asyncio.create_task(database.work(handlers, **options))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], Awaitable[Any] | Any]) -> None:
    """Returns once the condition holds."""
    async with asyncio.timeout(10):
        while True:
            held = condition()
            if isinstance(held, Awaitable):
                held = await held
            if held:
                return
            await asyncio.sleep(0.005)


async def job_of(database: Database, kind: str = "t", **options: Any) -> Job:
    await database.profiles.ensure("ann")
    return await database.jobs.add("ann", kind, {}, **options)


async def ended(database: Database, job: Job) -> Job:
    """The job, once it has ended."""

    async def look() -> bool:
        return (await database.jobs.get(job.id)).status.is_finished

    await until(look)
    return await database.jobs.get(job.id)


async def done_by(database: Database, handler: Handler, **options: Any) -> Job:
    """A job after a worker with this handler has ended it."""
    job = await job_of(database, **options)
    async with working(database, {"t": handler}):
        return await ended(database, job)


async def for_ever(run: JobRun) -> None:
    await asyncio.Event().wait()


# Types


@pytest.mark.long
async def test_an_idle_worker_begins_with_a_type_as_soon_as_it_is_resumed(
    database: Database,
) -> None:
    async def handler(run: JobRun) -> None:
        pass

    await database.jobs.pause("t")
    held, other = await job_of(database), await job_of(database, "u")
    async with working(database, {"t": handler, "u": handler}):
        await ended(database, other)
        await asyncio.sleep(0.5)
        assert (await database.jobs.get(held.id)).status == "queued"
        await database.jobs.resume("t")
        assert (await ended(database, held)).status == "succeeded"


async def test_no_more_handlers_of_a_type_run_than_its_limit(database: Database) -> None:
    running, most = 0, 0

    async def handler(run: JobRun) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    await database.jobs.limit("t", running=2)
    jobs = [await job_of(database) for _ in range(12)]
    async with working(database, {"t": handler}), working(database, {"t": handler}):
        for job in jobs:
            await ended(database, job)
    assert most == 2


# The outcome


async def test_what_the_handler_returns_is_the_result(database: Database) -> None:
    async def handler(run: JobRun) -> dict[str, Any]:
        return {"type": run.job.type, "attempt": run.attempt, "cancelled": run.cancelled}

    job = await done_by(database, handler)
    assert job.status == "succeeded"
    assert job.result == {"type": "t", "attempt": 1, "cancelled": False}
    assert (job.worker, job.lease_expires_at, job.progress) == (None, None, 1)


async def test_a_handler_need_not_return_anything(database: Database) -> None:
    async def handler(run: JobRun) -> None:
        pass

    job = await done_by(database, handler)
    assert (job.status, job.result) == ("succeeded", None)


async def test_a_result_that_cannot_be_stored_fails_its_job_and_none_that_ends_with_it(
    database: Database,
) -> None:
    together = asyncio.Barrier(4)

    async def handler(run: JobRun) -> Any:
        await together.wait()
        return {"n": float("nan") if run.job.priority == 2 else 1}

    jobs = [await job_of(database, priority=n) for n in range(4)]
    async with working(database, {"t": handler}, concurrency=4):
        found = [await ended(database, job) for job in jobs]
    assert [job.status for job in found] == ["succeeded", "succeeded", "failed", "succeeded"]
    assert (found[2].error_code, found[3].result) == ("result", {"n": 1})


async def test_a_job_that_was_cancelled_does_not_keep_the_results_of_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_CANCEL_SECONDS", 60)
    together = asyncio.Barrier(4)

    async def handler(run: JobRun) -> dict[str, Any]:
        if run.job.priority == 2:
            await database.jobs.cancel(run.job.id)
        await together.wait()
        return {"n": 1}

    jobs = [await job_of(database, priority=n) for n in range(4)]
    async with working(database, {"t": handler}, concurrency=4):
        found = [await ended(database, job) for job in jobs]
    assert [job.status for job in found] == ["succeeded", "succeeded", "cancelled", "succeeded"]
    assert (found[2].result, found[3].result) == (None, {"n": 1})


@pytest.mark.long
async def test_a_worker_that_claims_a_job_of_its_own_again_ends_its_first_handler_before(
    database: Database, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has lost the lease, as after a sleep of the computer, and does not know it yet."""
    monkeypatch.setattr(worker, "_CANCEL_SECONDS", 60)
    events = list[str]()

    async def handler(run: JobRun) -> None:
        events.append(f"begin {run.attempt}")
        try:
            if run.attempt == 1:
                await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            events.append(f"end {run.attempt}")

    job = await job_of(database, max_attempts=2)
    async with working(database, {"t": handler}):
        await until(lambda: events)
        clock.advance(61)
        found = await ended(database, job)
    assert (found.status, found.attempts) == ("succeeded", 2)
    assert events == ["begin 1", "end 1", "begin 2", "end 2"]


@pytest.mark.long
async def test_short_jobs_are_claimed_and_stored_many_at_a_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, counts = JobRepository.claim_many, list[int]()

    async def counting(self: JobRepository, worker: str, count: int, **options: Any) -> list[Job]:
        jobs = await claim(self, worker, count, **options)
        counts.append(len(jobs))
        return jobs

    async def handler(run: JobRun) -> None:
        pass

    monkeypatch.setattr(JobRepository, "claim_many", counting)
    jobs = [await job_of(database) for _ in range(160)]
    async with working(database, {"t": handler}, concurrency=16):
        for job in jobs:
            await ended(database, job)
    assert max(counts) == 16
    assert sum(count > 4 for count in counts) > sum(0 < count <= 4 for count in counts)


async def test_an_exception_is_recorded_with_its_text_and_its_place(database: Database) -> None:
    async def handler(run: JobRun) -> None:
        raise ZeroDivisionError("boom \udce9")

    job = await done_by(database, handler)
    assert (job.status, job.error_code) == ("failed", "exception")
    assert job.error == r"ZeroDivisionError: boom \xe9"
    assert job.error_details is not None
    assert job.error_details["type"] == "builtins.ZeroDivisionError"
    assert "in handler" in job.error_details["traceback"]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize(
    ("raised", "recorded"),
    [
        (Unprintable(), "Unprintable: its text cannot be made: ValueError"),
        (KeyError(), "KeyError"),
        (SystemExit(3), "RuntimeError: the handler called sys.exit(3)"),
        (asyncio.CancelledError(), "CancelledError: the handler was cancelled from inside"),
        (TimeoutError("of the handler"), "TimeoutError: of the handler"),
        (
            ExceptionGroup("two", [ValueError("a"), OSError("b")]),
            "ExceptionGroup: two (2 sub-exceptions)",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_no_exception_is_lost(
    raised: BaseException, recorded: str, database: Database
) -> None:
    async def handler(run: JobRun) -> None:
        raise raised

    job = await done_by(database, handler)
    assert (job.status, job.error) == ("failed", recorded)


async def test_a_stop_iteration_of_a_thread_is_recorded_too(database: Database) -> None:
    def handler(run: BlockingJobRun) -> None:
        raise StopIteration

    assert (
        await done_by(database, handler)
    ).error == "RuntimeError: the handler raised StopIteration"


@pytest.mark.parametrize("result", [[1], "text", {"path": Path("a")}, {"n": float("nan")}, 7])
async def test_a_result_that_cannot_be_stored_fails_the_job(
    result: Any, database: Database
) -> None:
    async def handler(run: JobRun) -> Any:
        return result

    job = await done_by(database, handler, max_attempts=3)
    assert (job.status, job.error_code, job.attempts) == ("failed", "result", 1)
    assert job.error is not None
    assert job.error.startswith("the result of the handler cannot be stored: ")


# Retries


async def test_a_job_that_fails_is_tried_again_while_it_has_attempts(database: Database) -> None:
    attempts: list[int] = []

    async def handler(run: JobRun) -> None:
        attempts.append(run.attempt)
        raise OSError(f"attempt {run.attempt}")

    failed: list[int] = []

    def at_once(attempt: int) -> float:
        failed.append(attempt)
        return 0

    job = await done_by(database, JobHandler(handler, backoff=at_once), max_attempts=3)
    assert (job.status, job.error, job.attempts) == ("failed", "OSError: attempt 3", 3)
    assert attempts == failed == [1, 2, 3]


@pytest.mark.long
async def test_a_retry_waits_longer_after_each_attempt(
    database: Database, clock: FrozenClock
) -> None:
    async def handler(run: JobRun) -> None:
        raise OSError

    job = await job_of(database, max_attempts=4)
    waits = []
    async with working(database, {"t": handler}):
        for attempt in (1, 2, 3):

            async def is_queued_again(attempt: int = attempt) -> bool:
                found = await database.jobs.get(job.id)
                return found.attempts == attempt and found.status == "queued"

            await until(is_queued_again)
            run_after = (await database.jobs.get(job.id)).run_after
            assert run_after is not None
            waits.append((run_after - clock.now).total_seconds())
            clock.advance(waits[-1])
        assert (await ended(database, job)).status == "failed"
    assert [0.5 * 2**n <= wait <= 2**n for n, wait in enumerate(waits)] == [True] * 3


def test_the_backoff_doubles_up_to_an_hour_and_no_two_jobs_wait_alike() -> None:
    assert all(0.5 <= exponential_backoff(1) <= 1 for _ in range(100))
    assert all(4 <= exponential_backoff(4) <= 8 for _ in range(100))
    assert all(1800 <= exponential_backoff(n) <= 3600 for n in (13, 100, 10_000, 10**9))
    assert len({exponential_backoff(5) for _ in range(100)}) > 90


async def test_a_handler_can_fail_a_job_for_good(database: Database) -> None:
    async def handler(run: JobRun) -> None:
        raise JobFailure("no audio track", error_code="no_audio", error_details={"tracks": 0})

    job = await done_by(database, handler, max_attempts=5)
    assert (job.status, job.error, job.error_code) == ("failed", "no audio track", "no_audio")
    assert (job.error_details, job.attempts) == ({"tracks": 0}, 1)


async def test_a_handler_can_say_when_to_try_again(database: Database, clock: FrozenClock) -> None:
    async def handler(run: JobRun) -> None:
        raise JobFailure("too many requests", retry_in=90)

    job = await job_of(database, max_attempts=2)
    async with working(database, {"t": handler}):

        async def is_tried() -> bool:
            return (await database.jobs.get(job.id)).error is not None

        await until(is_tried)
    job = await database.jobs.get(job.id)
    assert job.run_after is not None
    assert (job.status, (job.run_after - clock.now).total_seconds()) == ("queued", 90)


async def test_a_failure_whose_details_cannot_be_stored_still_fails_the_job(
    database: Database,
) -> None:
    async def handler(run: JobRun) -> None:
        raise JobFailure("bad", error_details={"path": object()})

    job = await done_by(database, handler)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.startswith("bad (")


async def test_a_backoff_that_fails_is_replaced(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(run: JobRun) -> None:
        raise OSError("first")

    def broken(attempt: int) -> float:
        raise KeyError(attempt)

    job = await done_by(database, JobHandler(handler, backoff=broken))
    assert job.error == "OSError: first"
    assert "its backoff has failed" in caplog.text


# The program's log


def log_of(caplog: pytest.LogCaptureFixture, job: Job) -> list[str]:
    lines = [f"{record.levelname} {record.getMessage()}" for record in caplog.records]
    return [line.split(" after ")[0] for line in lines if str(job.id) in line]


async def test_the_log_has_a_line_for_the_begin_and_the_end_of_an_attempt(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(run: JobRun) -> None:
        pass

    caplog.set_level("INFO", "reelbase")
    job = await done_by(database, handler)
    assert log_of(caplog, job) == [
        f"INFO job {job.id} (t): attempt 1 begins",
        f"INFO job {job.id} (t): attempt 1 is done",
    ]


@pytest.mark.parametrize(
    ("error", "has_traceback"), [(OSError("no file"), True), (JobFailure("no sound"), False)]
)
async def test_the_log_says_why_an_attempt_failed_with_the_traceback_of_an_unexpected_error(
    database: Database, caplog: pytest.LogCaptureFixture, error: Exception, has_traceback: bool
) -> None:
    async def handler(run: JobRun) -> None:
        raise error

    job = await done_by(database, handler)
    (record,) = [record for record in caplog.records if str(job.id) in record.getMessage()]
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith(f"job {job.id} (t): attempt 1 has failed after ")
    assert str(error) in record.getMessage().splitlines()[0]
    assert ("in handler" in record.getMessage()) == has_traceback


async def test_the_log_takes_an_error_with_a_name_that_no_log_could_write(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(run: JobRun) -> None:
        raise OSError("caf\udce9.mkv")

    await done_by(database, handler)
    assert r"caf\xe9.mkv" in caplog.text
    caplog.text.encode()


@pytest.mark.long
async def test_the_log_says_that_a_stop_put_a_job_back_and_that_a_job_was_cancelled(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "reelbase")
    lost, stopped = await job_of(database), await job_of(database)
    async with working(database, {"t": for_ever}, grace=0.0):
        await until(lambda: len(log_of(caplog, lost) + log_of(caplog, stopped)) == 2)
        await database.jobs.cancel(lost.id)
        await until(lambda: len(log_of(caplog, lost)) == 2)
    assert log_of(caplog, lost)[1] == f"INFO job {lost.id} (t): attempt 1 is over"
    assert "not needed: the job is cancelled" in caplog.text
    assert log_of(caplog, stopped)[1] == (
        f"INFO job {stopped.id} (t): attempt 1 is put back into the queue"
    )


@pytest.mark.long
async def test_a_result_that_cannot_be_stored_is_a_warning_and_not_done(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(run: JobRun) -> Any:
        return "done"

    caplog.set_level("INFO", "reelbase")
    job = await done_by(database, handler)
    assert log_of(caplog, job)[1:] == [f"WARNING job {job.id} (t): attempt 1 has failed"]
    assert "the result of the handler cannot be stored" in caplog.text


async def test_the_log_says_that_a_handler_put_its_own_job_off(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(run: JobRun) -> None:
        await run.database.jobs.snooze(run.job.id, 60, worker=str(run.job.worker))

    caplog.set_level("INFO", "reelbase")
    job = await job_of(database)
    async with working(database, {"t": handler}):
        await until(lambda: "not needed: the job was put back into the queue" in caplog.text)
    assert log_of(caplog, job)[1] == f"INFO job {job.id} (t): attempt 1 is over"


@pytest.mark.long
async def test_a_handler_that_stops_the_event_loop_for_longer_than_its_lease_is_warned_of(
    path: Path, journal: Literal["wal", "delete"], caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(run: JobRun) -> None:
        time.sleep(0.6)  # noqa: ASYNC251 (what a beginner writes)

    async with reelbase.connect(path, journal=journal) as database:
        job = await job_of(database, max_attempts=2)
        async with working(database, {"t": handler}, lease=0.2):
            await until(lambda: "the event loop stood still for 0." in caplog.text)
            await ended(database, job)
    assert "a handler that computes or blocks must be a plain function (def)" in caplog.text


@pytest.mark.long
async def test_a_lease_that_was_lost_is_a_warning(
    path: Path, journal: Literal["wal", "delete"], caplog: pytest.LogCaptureFixture
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        job = await job_of(database, max_attempts=2)

        async def handler(run: JobRun) -> None:
            if run.attempt == 1:
                time.sleep(0.3)  # noqa: ASYNC251 (no lease is renewed)
                assert await database.jobs.claim("other")
                await asyncio.Event().wait()

        async with working(database, {"t": handler}, lease=0.2):
            await until(
                lambda: "its lease was lost, and the job is running (attempt 2)" in caplog.text
            )
        assert (await database.jobs.get(job.id)).worker == "other"


# Progress


async def test_progress_is_stored_while_the_handler_runs(database: Database) -> None:
    go_on = asyncio.Event()

    async def handler(run: JobRun) -> None:
        await run.progress(0.25, completed=3)
        await go_on.wait()

    job = await job_of(database, total=12)
    async with working(database, {"t": handler}):

        async def has_progress() -> bool:
            found = await database.jobs.get(job.id)
            return (found.progress, found.completed) == (0.25, 3)

        await until(has_progress)
        go_on.set()
        assert (await ended(database, job)).completed == 12


async def test_progress_that_is_no_number_fails_the_handler(database: Database) -> None:
    async def handler(run: JobRun) -> None:
        await run.progress(float("nan"))

    job = await done_by(database, handler)
    assert job.error is not None
    assert job.error.startswith("InvalidArgumentError: ")


# Handlers


async def test_a_plain_function_runs_in_a_thread(database: Database) -> None:
    threads = []

    def handler(run: BlockingJobRun) -> dict[str, Any]:
        threads.append(threading.current_thread())
        run.progress(0.5)
        return {"attempt": run.attempt, "type": run.job.type, "cancelled": run.cancelled}

    job = await done_by(database, handler)
    assert job.result == {"attempt": 1, "type": "t", "cancelled": False}
    assert threads != [threading.main_thread()]


async def answer(run: JobRun, *, number: int) -> dict[str, Any]:
    return {"number": number}


class Answering:
    async def __call__(self, run: JobRun) -> dict[str, Any]:
        return {"number": 7}

    async def method(self, run: JobRun) -> dict[str, Any]:
        return {"number": 7}


@pytest.mark.parametrize(
    "handler",
    [
        functools.partial(answer, number=7),
        lambda run: answer(run, number=7),
        Answering(),
        Answering().method,
        JobHandler(Answering()),
    ],
)
async def test_whatever_can_be_called_is_a_handler(handler: Handler, database: Database) -> None:
    assert (await done_by(database, handler)).result == {"number": 7}


# Cancellation and time


async def test_a_cancel_by_another_process_reaches_the_handler(
    path: Path, journal: Literal["wal", "delete"], database: Database
) -> None:
    seen: list[bool] = []
    running = asyncio.Event()

    async def handler(run: JobRun) -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(run.cancelled)

    job = await job_of(database, max_attempts=3)
    async with working(database, {"t": handler}), reelbase.connect(path, journal=journal) as other:
        await running.wait()
        await other.jobs.cancel(job.id)
        await until(lambda: seen)
    assert seen == [True]
    assert (await database.jobs.get(job.id)).status == "cancelled"


async def test_progress_of_a_cancelled_job_ends_the_handler_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_CANCEL_SECONDS", 60)
    came: list[str] = []

    async def handler(run: JobRun) -> None:
        await database.jobs.cancel(run.job.id)
        try:
            await run.progress(0.5)
        except asyncio.CancelledError:
            came.append("cancelled")
            await asyncio.sleep(0)
            came.append("cleaned up")
            raise
        came.append("went on")

    job = await job_of(database)
    async with working(database, {"t": handler}):
        await until(lambda: len(came) > 1)
    assert came == ["cancelled", "cleaned up"]
    assert (await database.jobs.get(job.id)).status == "cancelled"


@pytest.mark.long
async def test_a_thread_sees_the_cancel(database: Database) -> None:
    running, stopped = threading.Event(), threading.Event()

    def handler(run: BlockingJobRun) -> None:
        running.set()
        while not run.cancelled:
            time.sleep(0.005)
        try:
            run.progress(0.5)
        except asyncio.CancelledError:
            stopped.set()
            raise

    job = await job_of(database)
    async with working(database, {"t": handler}):
        await until(running.is_set)
        await database.jobs.cancel(job.id)
        await until(stopped.is_set)
    assert (await database.jobs.get(job.id)).status == "cancelled"


@pytest.mark.long
async def test_the_handler_of_a_deleted_job_stops(database: Database) -> None:
    running, stopped = asyncio.Event(), asyncio.Event()

    async def handler(run: JobRun) -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    job = await job_of(database)
    async with working(database, {"t": handler}):
        await running.wait()
        await database.jobs.delete(job.id)
        async with asyncio.timeout(10):
            await stopped.wait()
    assert await database.jobs.find(job.id) is None


@pytest.mark.parametrize("swallows", [False, True])
async def test_a_handler_that_takes_too_long_is_stopped_and_its_job_fails(
    swallows: bool, database: Database
) -> None:
    async def handler(run: JobRun) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not swallows:
                raise

    job = await done_by(database, JobHandler(handler, timeout=0.05))
    assert (job.status, job.error_code) == ("failed", "timeout")
    assert job.error == "it took longer than its timeout of 0.05 s"


@pytest.mark.long
async def test_a_handler_that_does_not_end_costs_one_slot_for_a_while_and_not_the_worker(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runs, "PATIENCE_SECONDS", 0.05)
    release = threading.Event()

    def stuck(run: BlockingJobRun) -> None:
        release.wait(20)
        raise OSError("late")

    async def quick(run: JobRun) -> None:
        pass

    first = await job_of(database, "stuck")
    second = await job_of(database, "quick")
    handlers = {"stuck": JobHandler(stuck, timeout=0.05), "quick": quick}
    async with working(database, handlers, concurrency=1):
        assert (await ended(database, second)).status == "succeeded"
        failed = await ended(database, first)
        release.set()
        await until(lambda: "abandoned, has failed" in caplog.text)
    assert failed.error_code == "timeout"
    assert failed.error is not None
    assert "still runs although it was cancelled" in failed.error
    assert await database.jobs.get(first.id) == failed


# Leases


@pytest.mark.long
async def test_a_lease_is_renewed_as_long_as_the_handler_runs(
    path: Path, journal: Literal["wal", "delete"]
) -> None:
    async def handler(run: JobRun) -> None:
        await asyncio.sleep(1.0)

    async with reelbase.connect(path, journal=journal) as database:
        job = await job_of(database, max_attempts=3)
        first = working(database, {"t": handler}, lease=0.3)
        async with first, working(database, {"t": handler}, lease=0.3):
            assert (await ended(database, job)).attempts == 1


@pytest.mark.long
async def test_a_handler_that_outlives_its_lease_cannot_undo_the_next_attempt(
    database: Database, clock: FrozenClock
) -> None:
    running = asyncio.Event()
    seen: list[bool] = []

    async def handler(run: JobRun) -> dict[str, Any]:
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(run.cancelled)
        return {"by": "the first"}

    job = await job_of(database, max_attempts=3)
    async with working(database, {"t": handler}, worker="one"):
        await running.wait()
        clock.advance(3600)
        heir = await database.jobs.claim("heir")
        assert heir is not None
        await until(lambda: seen)
        await asyncio.sleep(0.05)
        assert await database.jobs.get(job.id) == heir
    assert seen == [True]
    assert await database.jobs.get(job.id) == heir


@pytest.mark.long
async def test_a_worker_that_lost_a_job_and_claims_it_again_keeps_the_attempts_apart(
    database: Database, clock: FrozenClock
) -> None:
    attempts: list[int] = []

    async def handler(run: JobRun) -> dict[str, Any]:
        attempts.append(run.attempt)
        if run.attempt == 1:
            await asyncio.Event().wait()
        return {"by": run.attempt}

    job = await job_of(database, max_attempts=3)
    async with working(database, {"t": handler}, worker="one"):
        await until(lambda: attempts)
        clock.advance(3600)
        found = await ended(database, job)
    assert (found.result, found.attempts, attempts) == ({"by": 2}, 2, [1, 2])


# Trouble


@pytest.mark.long
async def test_an_outcome_is_stored_once_the_database_is_free(
    path: Path, journal: Literal["wal", "delete"], caplog: pytest.LogCaptureFixture
) -> None:
    finish = asyncio.Event()

    async def handler(run: JobRun) -> dict[str, Any]:
        await finish.wait()
        return {"kept": True}

    async with reelbase.connect(path, journal=journal, busy_timeout=0.05) as database:
        job = await job_of(database)
        async with working(database, {"t": handler}):

            async def is_running() -> bool:
                return (await database.jobs.get(job.id)).status == "running"

            await until(is_running)
            blocker = sqlite3.connect(path, isolation_level=None)
            blocker.execute("BEGIN IMMEDIATE")
            finish.set()
            await until(lambda: "tries again in" in caplog.text)
            blocker.execute("ROLLBACK")
            blocker.close()
            assert (await ended(database, job)).result == {"kept": True}


@pytest.mark.long
async def test_a_worker_goes_on_after_the_database_was_busy(
    path: Path, journal: Literal["wal", "delete"], caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(run: JobRun) -> None:
        pass

    connecting = reelbase.connect(path, journal=journal, busy_timeout=0.05)
    async with connecting as database, working(database, {"t": handler}):
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        await until(lambda: "cannot claim a job" in caplog.text)
        blocker.execute("ROLLBACK")
        blocker.close()
        job = await job_of(database)
        assert (await ended(database, job)).status == "succeeded"


@pytest.mark.long
async def test_closing_the_database_gives_back_what_the_worker_has(
    path: Path, journal: Literal["wal", "delete"]
) -> None:
    running = asyncio.Event()
    seen: list[bool] = []

    async def handler(run: JobRun) -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(run.cancelled)

    async with reelbase.connect(path, journal=journal) as database:
        job = await job_of(database)
        work = asyncio.create_task(database.work({"t": handler}, grace=0.05))
        await running.wait()
    await asyncio.wait_for(work, 1)
    assert seen == [True]
    async with reelbase.connect(path, journal=journal) as database:
        given_back = await database.jobs.get(job.id)
        assert (given_back.status, given_back.worker, given_back.attempts) == ("queued", None, 0)


@pytest.mark.long
async def test_closing_the_database_lets_handlers_finish(
    path: Path, journal: Literal["wal", "delete"]
) -> None:
    running = asyncio.Event()

    async def handler(run: JobRun) -> dict[str, Any]:
        running.set()
        await asyncio.sleep(0.1)
        await run.progress(0.5)
        return {"done": True}

    async with reelbase.connect(path, journal=journal) as database:
        first, second = await job_of(database), await job_of(database)
        work = asyncio.create_task(database.work({"t": handler}, concurrency=1))
        await running.wait()
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0)
        with pytest.raises(DatabaseClosedError, match="is being closed"):
            await database.work({"t": handler})
        await closing
        with pytest.raises(DatabaseClosedError):
            await database.jobs.get(first.id)
    await asyncio.wait_for(work, 1)
    async with reelbase.connect(path, journal=journal) as database:
        assert (await database.jobs.get(first.id)).status == "succeeded"
        assert (await database.jobs.get(second.id)).status == "queued"


async def test_a_handler_may_close_the_database(
    path: Path, journal: Literal["wal", "delete"]
) -> None:
    async def handler(run: JobRun) -> None:
        await run.database.close()

    async with reelbase.connect(path, journal=journal) as database:
        await job_of(database)
        await asyncio.wait_for(database.work({"t": handler}, grace=0.05), 2)


# Arguments


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"handlers": {}}, "handlers"),
        ({"handlers": {"t": JobHandler(for_ever, timeout=0)}}, "handlers"),
        ({"types": []}, "types"),
        ({"types": ["t", "other"]}, "types"),
        ({"concurrency": 0}, "concurrency"),
        ({"worker": ""}, "worker"),
        ({"grace": -1}, "grace"),
        ({"grace": float("nan")}, "grace"),
        ({"lease": 0}, "lease"),
    ],
)
async def test_a_value_that_cannot_be_used_is_refused_by_name(
    options: dict[str, Any], parameter: str, database: Database
) -> None:
    arguments: dict[str, Any] = {"handlers": {"t": for_ever}, **options}
    with pytest.raises(InvalidArgumentError, match=rf"Database\.work: {parameter}: ") as caught:
        await database.work(**arguments)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"handlers": [for_ever]}, "handlers"),
        ({"handlers": {7: for_ever}}, "handlers"),
        ({"handlers": {"t": "for_ever"}}, "handlers"),
        ({"types": "t"}, "types"),
        ({"concurrency": 2.0}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"worker": 7}, "worker"),
        ({"grace": "5"}, "grace"),
        ({"lease": True}, "lease"),
    ],
)
async def test_an_argument_of_the_wrong_type_is_refused_by_name(
    options: dict[str, Any], parameter: str, database: Database
) -> None:
    arguments: dict[str, Any] = {"handlers": {"t": for_ever}, **options}
    with pytest.raises(TypeError, match=rf"Database\.work: {parameter}: "):
        await database.work(**arguments)


async def test_a_type_without_a_handler_is_left_to_other_workers(database: Database) -> None:
    done: list[UUID] = []

    async def handler(run: JobRun) -> None:
        done.append(run.job.id)

    stranger, left_out = await job_of(database, "stranger"), await job_of(database, "left out")
    known = await job_of(database, "known")
    async with working(database, {"known": handler, "left out": handler}, types=["known"]):
        await ended(database, known)
        await asyncio.sleep(0.05)
    assert done == [known.id]
    for job in (stranger, left_out):
        assert (await database.jobs.get(job.id)).status == JobStatus.QUEUED
