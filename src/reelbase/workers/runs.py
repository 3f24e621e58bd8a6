"""Runs: one attempt at a job, as its handler sees it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from reelbase.engine.statements.arguments import invalid_argument
from reelbase.errors import (
    CommitUncertainError,
    DatabaseBusyError,
    DatabaseFullError,
    DatabaseIOError,
    InvalidTransitionError,
    RecordNotFoundError,
)
from reelbase.repositories.jobs import Job, JobRepository, JobStep

if TYPE_CHECKING:
    from reelbase.database import Database

T = TypeVar("T")

_log = logging.getLogger("reelbase")

# Errors after which the same call may succeed later.
TRANSIENT = (DatabaseBusyError, DatabaseFullError, DatabaseIOError, CommitUncertainError)

# Between two tries of such a call.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0

# What ended an attempt before its handler: the job is another's now, its time is up, the worker stops.
Reason = Literal["lost", "timeout", "stopping"]

# How long a handler that was told to stop may take before the worker goes on without it.
PATIENCE_SECONDS = 10.0


async def persistently(call: Callable[[], Awaitable[T]]) -> T:
    """The result of the call, which is tried again as long as the database is busy or its disk full."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return await call()
        except TRANSIENT as error:
            _log.warning("a worker tries again in %g s: %s", pause, error)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


class Attempt:
    """A claimed job and the task of its handler, from the claim until the outcome is stored."""

    def __init__(self, database: Database, job: Job, worker: str, lease: float) -> None:
        self.database = database
        self.job = job
        self.reason: Reason | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.worker = worker
        self._lease = lease
        self._task: asyncio.Task[dict[str, Any] | None] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._claimed = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the claim."""
        return time.perf_counter() - self._claimed

    @property
    def task(self) -> asyncio.Task[dict[str, Any] | None]:
        """The task of the handler, after start()."""
        assert self._task is not None
        return self._task

    def start(
        self, handler: Coroutine[Any, Any, dict[str, Any] | None], timeout: float | None
    ) -> None:
        """Starts the handler. ``over`` is done when it has ended, or runs on although it was cancelled."""
        _log.info("job %s (%s): attempt %d begins", self.job.id, self.job.type, self.job.attempts)
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
            await self.database.jobs.heartbeat(
                self.job.id,
                self.worker,
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
        self._running: set[str] = set()  # names of steps

    def __repr__(self) -> str:
        return f"<JobRun {self.job.id} {self.job.type!r}, attempt {self.attempt}>"

    @property
    def job(self) -> Job:
        """The job, as it was claimed."""
        return self._attempt.job

    @property
    def database(self) -> Database:
        """The database that the job is in."""
        return self._attempt.database

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
            await self._end()

    async def log(self, text: str) -> None:
        """Adds a line to the log of the job (jobs.log_lines()), which keeps the newest 10,000.

        It does not wait for the disk, and goes to the program's log if the database is busy or its disk full.

        Args:
            text: the line; characters that cannot be stored are replaced.
        """
        attempt = self._attempt
        try:
            await attempt.database.jobs.log(attempt.job.id, text, attempt=self.attempt)
        except RecordNotFoundError:
            attempt.stop("lost")
            await self._end()
        except TRANSIENT as error:
            _log.warning("job %s: %s (not in the job's log: %s)", attempt.job.id, text, error)

    async def step(self, name: str, function: Callable[..., Any], /, *args: Any) -> Any:
        """The result of a part of the job. Once it is finished it is not done again: a later attempt, after a
        crash or a failure, gets the stored result.

            path = await run.step("download", download, url)
            await run.step("add", add, path)

            async def add(unit: reelbase.UnitOfWork, path: str) -> None:
                await unit.files.add(…)

        A function whose first parameter is called ``unit`` is called with a unit of work: its writes
        are stored together with the end of the step, or none of both. Use another function for slow work;
        its step is stored when it returns. jobs.retry() of a job that has succeeded does all steps again.

        Args:
            name: the name of the step; each step of a job needs another.
            function: ``async def``, or a plain function, which runs in a thread.
            args: its arguments, behind the unit.

        Returns:
            The function's return value, as JSON gives it back: a tuple becomes a list, a UUID its text.

        Raises:
            InvalidArgumentError: a step of this name is running, or the result is not JSON.
            CancelledError: the run is cancelled, or the job is lost; nothing of the step is stored.
            Exception: of any type that the function raises; the step is not finished then.
        """
        if name in self._running:
            raise invalid_argument("name", f"step {name!r} is running", where="JobRun.step")
        self._running.add(name)
        try:
            return await self._step(name, function, args)
        finally:
            self._running.discard(name)

    async def _step(self, name: str, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        database = self.database
        found = await persistently(lambda: database.jobs.find_step(self.job.id, name))
        if found is not None:
            return found.result
        if _takes_unit(function):
            async with database.transaction() as unit:
                result = await function(unit, *args)
                return (await self._finish(unit.jobs, name, result)).result
        if inspect.iscoroutinefunction(function):
            result = await function(*args)
        else:
            result = await asyncio.to_thread(function, *args)
            if inspect.isawaitable(result):
                result = await result
        return (await persistently(lambda: self._finish(database.jobs, name, result))).result

    async def _finish(self, jobs: JobRepository, name: str, result: Any) -> JobStep:
        try:
            return await jobs.finish_step(
                self.job.id, name, result, worker=self._attempt.worker, attempt=self.attempt
            )
        except (InvalidTransitionError, RecordNotFoundError):
            self._attempt.stop("lost")
            await self._end()

    async def _end(self) -> NoReturn:
        await asyncio.sleep(0)  # where the cancel of this task arrives, if it is on its way
        raise asyncio.CancelledError


def _takes_unit(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:  # some functions written in C
        return False
    return next(iter(parameters), None) == "unit"


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

    def log(self, text: str) -> None:
        """As of JobRun."""
        self._await(self._run.log(text))

    def step(self, name: str, function: Callable[..., Any], /, *args: Any) -> Any:
        """As of JobRun: ``async def`` runs on the event loop, a plain function in another thread."""
        return self._await(self._run.step(name, function, *args))

    def _await(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        except concurrent.futures.CancelledError:
            raise asyncio.CancelledError from None
