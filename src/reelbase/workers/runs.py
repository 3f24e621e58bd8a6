"""Runs: one attempt at a job, as its handler sees it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Literal, TypeVar

from reelbase.errors import (
    CommitUncertainError,
    DatabaseBusyError,
    DatabaseFullError,
    DatabaseIOError,
    InvalidTransitionError,
    RecordNotFoundError,
)
from reelbase.repositories.jobs import Job, JobRepository

T = TypeVar("T")

_log = logging.getLogger("reelbase")

# Errors after which the same call may succeed later.
TRANSIENT = (DatabaseBusyError, DatabaseFullError, DatabaseIOError, CommitUncertainError)

# What ended an attempt before its handler: the job is another's now, its time is up, the worker stops.
Reason = Literal["lost", "timeout", "stopping"]

# How long a handler that was told to stop may take before the worker goes on without it.
PATIENCE_SECONDS = 10.0


class Attempt:
    """A claimed job and the task of its handler, from the claim until the outcome is stored."""

    def __init__(self, jobs: JobRepository, job: Job, worker: str, lease: float) -> None:
        self.job = job
        self.reason: Reason | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._jobs = jobs
        self._worker = worker
        self._lease = lease
        self._task: asyncio.Task[dict[str, Any] | None] | None = None
        self._timers: list[asyncio.TimerHandle] = []

    @property
    def task(self) -> asyncio.Task[dict[str, Any] | None]:
        """The task of the handler, after start()."""
        assert self._task is not None
        return self._task

    def start(
        self, handler: Coroutine[Any, Any, dict[str, Any] | None], timeout: float | None
    ) -> None:
        """Starts the handler. ``over`` is done when it has ended, or runs on although it was cancelled."""
        self._task = asyncio.create_task(handler, name=f"job {self.job.id}")
        self._task.add_done_callback(self._end)
        if timeout is not None:
            self._later(timeout, partial(self.stop, "timeout"))

    def stop(self, reason: Reason) -> None:
        """Cancels the handler, once. Later calls only note that the job is lost."""
        is_first = self.reason is None
        if is_first or reason == "lost":
            self.reason = reason
        if is_first and not self.over.done():
            self.task.cancel()
            self._later(PATIENCE_SECONDS, self._abandon)

    async def renew(self, progress: float | None = None, completed: int | None = None) -> None:
        """Renews the lease and stores progress, unless the database is busy or its disk full."""
        try:
            await self._jobs.heartbeat(
                self.job.id,
                self._worker,
                progress=progress,
                completed=completed,
                lease=self._lease,
                attempt=self.job.attempts,
            )
        except (InvalidTransitionError, RecordNotFoundError):
            self.stop("lost")
        except TRANSIENT as error:
            _log.warning("job %s: its lease was not renewed: %s", self.job.id, error)

    def _later(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, callback))

    def _end(self, task: asyncio.Task[Any]) -> None:
        for timer in self._timers:
            timer.cancel()
        if not self.over.done():
            self.over.set_result(None)
        elif not task.cancelled() and task.exception() is not None:
            _log.error(
                "job %s: its handler, which was abandoned, has failed",
                self.job.id,
                exc_info=task.exception(),
            )

    def _abandon(self) -> None:
        _log.error(
            "job %s (%s): its handler was cancelled %g s ago and still runs; the worker goes on without it",
            self.job.id,
            self.job.type,
            PATIENCE_SECONDS,
        )
        if not self.over.done():
            self.over.set_result(None)


class JobRun:
    """One attempt at a job, which a handler is called with."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def __repr__(self) -> str:
        return f"<JobRun {self.job.id} {self.job.type!r}, attempt {self.attempt}>"

    @property
    def job(self) -> Job:
        """The job, as it was claimed."""
        return self._attempt.job

    @property
    def attempt(self) -> int:
        """The number of this attempt; the first is 1."""
        return self._attempt.job.attempts

    @property
    def cancelled(self) -> bool:
        """Whether to stop: the job was cancelled or deleted, its lease was lost, its time is up, or the
        worker stops. The handler's task is cancelled at the same moment; a thread must look itself."""
        return self._attempt.reason is not None

    async def progress(self, progress: float, *, completed: int | None = None) -> None:
        """Stores the progress and renews the lease. It does not wait for the disk.

        It is left out, with a line in the log, if the database is busy or its disk full.

        Args:
            progress: 0 to 1; a number outside is cut.
            completed: how many work items are done; None leaves it.

        Raises:
            CancelledError: the run is cancelled.
        """
        await self._attempt.renew(progress, completed)
        if self.cancelled:
            await asyncio.sleep(0)  # where the cancel of this task arrives, if it is on its way
            raise asyncio.CancelledError


class BlockingJobRun:
    """A JobRun for a handler that runs in a thread: the same, without await."""

    def __init__(self, run: JobRun) -> None:
        self._run = run
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return repr(self._run)

    @property
    def job(self) -> Job:
        """As of JobRun."""
        return self._run.job

    @property
    def attempt(self) -> int:
        """As of JobRun."""
        return self._run.attempt

    @property
    def cancelled(self) -> bool:
        """As of JobRun. Look at it between two parts of the work: a thread cannot be stopped from outside."""
        return self._run.cancelled

    def progress(self, progress: float, *, completed: int | None = None) -> None:
        """As of JobRun."""
        self._await(self._run.progress(progress, completed=completed))

    def _await(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        except concurrent.futures.CancelledError:
            raise asyncio.CancelledError from None
