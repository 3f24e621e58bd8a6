"""Outcomes: the end of a job once its handler has ended, or was stopped."""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import Any

import msgspec

from reelbase.engine.file_names import printable
from reelbase.errors import DatabaseError
from reelbase.repositories.jobs import Job, JobRepository, JobStatus
from reelbase.workers.handlers import JobFailure, JobHandler, exponential_backoff
from reelbase.workers.runs import Attempt

_log = logging.getLogger("reelbase")

_TRACEBACK_LENGTH = 16_384  # characters, of its end


class Success(msgspec.Struct, frozen=True):
    """The handler has returned."""

    result: dict[str, Any] | None

    async def store(self, jobs: JobRepository, job: Job, worker: str) -> Outcome:
        """Ends the job: as failed, if the result cannot be stored. The stored outcome comes back."""
        try:
            await jobs.succeed(job.id, self.result, worker=worker, attempt=job.attempts)
        except (TypeError, ValueError) as error:
            problem = f"the result of the handler cannot be stored: {error}"
            return await Failure(problem, error_code="result").store(jobs, job, worker)
        return self


class Failure(msgspec.Struct, frozen=True):
    """The handler has raised, or its time was up. The fields are the arguments of jobs.fail()."""

    error: str
    error_code: str | None = None
    error_details: dict[str, Any] | None = None
    retry_in: float | None = None

    async def store(self, jobs: JobRepository, job: Job, worker: str) -> Outcome:
        """Ends the job as failed, or queues it again. Itself comes back."""
        holder: dict[str, Any] = {"worker": worker, "attempt": job.attempts}
        try:
            await jobs.fail(
                job.id,
                self.error,
                error_code=self.error_code,
                error_details=self.error_details,
                retry_in=self.retry_in,
                **holder,
            )
        except (TypeError, ValueError) as error:  # what a JobFailure or a backoff gave
            await jobs.fail(job.id, f"{self.error} ({error})", **holder)
        return self


class Release(msgspec.Struct, frozen=True):
    """The worker stops, and the handler has not finished."""

    async def store(self, jobs: JobRepository, job: Job, worker: str) -> Outcome:
        """Puts the job back into the queue. Itself comes back."""
        await jobs.release(job.id, worker, attempt=job.attempts)
        return self


Outcome = Success | Failure | Release


def log_end(attempt: Attempt, stored: Outcome) -> None:
    """A line in the program's log about an outcome that was stored, with the traceback of an error."""
    job = attempt.job
    line = "job %s (%s): attempt %d %s after %.3f s"
    about = job.id, job.type, job.attempts
    match stored:
        case Success():
            _log.info(line, *about, "is done", attempt.seconds)
        case Failure(error=error, error_code=code, error_details=details):
            text = f"{error}\n{details['traceback']}" if code == "exception" and details else error
            _log.warning(f"{line}: %s", *about, "has failed", attempt.seconds, printable(text))
        case Release():
            _log.info(line, *about, "is put back into the queue", attempt.seconds)


async def log_lost(attempt: Attempt) -> None:
    """Logs that the outcome of an attempt is not needed any more, and why."""
    job = attempt.job
    line = "job %s (%s): attempt %d is over after %.3f s, and its outcome is not needed: %s"
    about = job.id, job.type, job.attempts, attempt.seconds
    try:
        now = await attempt.database.jobs.find(job.id)
    except DatabaseError as error:
        _log.warning(line, *about, f"the job cannot be looked at ({error})")
        return
    if now is None:
        _log.info(line, *about, "the job was deleted")
    elif now.status == JobStatus.QUEUED and now.attempts < job.attempts:
        _log.info(line, *about, "the job was put back into the queue")
    elif now.status.is_finished and now.error_code != "lease_expired":
        _log.info(line, *about, f"the job is {now.status.value}")
    else:
        _log.warning(
            line,
            *about,
            f"its lease was lost, and the job is {now.status.value} (attempt {now.attempts})",
        )


def outcome_of(attempt: Attempt, handler: JobHandler) -> Outcome | None:
    """The outcome to store for an attempt that is over. None: nothing, because the job is not the worker's
    any more, or because its handler does not end, and until the lease ends no other worker may begin.

    A handler that was told to stop and returns a result has finished. One that returns None has not: it
    may have swallowed the CancelledError.
    """
    job, task = attempt.job, attempt.task
    if attempt.reason == "lost":
        return None
    raised = _raised(task)
    if task.done() and raised is None and (attempt.reason is None or task.result() is not None):
        return Success(task.result())
    if attempt.reason == "stopping":
        return Release() if task.done() else None
    if attempt.reason == "timeout":
        error = f"it took longer than its timeout of {handler.timeout} s"
        if not task.done():
            error += ", and its handler still runs although it was cancelled"
        return Failure(error, error_code="timeout", retry_in=_retry_in(handler, job))
    assert raised is not None
    if isinstance(raised, JobFailure):
        return Failure(raised.error, raised.error_code, raised.error_details, raised.retry_in)
    details = {
        "type": f"{type(raised).__module__}.{type(raised).__qualname__}",
        "traceback": "".join(traceback.format_exception(raised))[-_TRACEBACK_LENGTH:],
    }
    return Failure(_text_of(raised), "exception", details, _retry_in(handler, job))


def _raised(task: asyncio.Task[Any]) -> BaseException | None:
    if not task.done():
        return None
    if task.cancelled():
        return asyncio.CancelledError("the handler was cancelled from inside")
    return task.exception()


def _text_of(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as failure:
        text = f"its text cannot be made: {type(failure).__name__}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _retry_in(handler: JobHandler, job: Job) -> float:
    try:
        return (handler.backoff or exponential_backoff)(job.attempts)
    except Exception:
        _log.exception("job %s (%s): its backoff has failed", job.id, job.type)
        return exponential_backoff(job.attempts)
