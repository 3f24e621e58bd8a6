"""The worker: it claims jobs, has handlers work on them, renews leases, and stops without losing a job."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from reelbase.engine.ids import new_id
from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.errors import (
    DatabaseClosedError,
    DatabaseError,
    DatabaseIOError,
    InvalidTransitionError,
    RecordNotFoundError,
)
from reelbase.repositories.jobs import Job
from reelbase.workers.handlers import Handler, called, checked_handlers
from reelbase.workers.outcomes import Outcome, Release, Success, log_end, log_lost, outcome_of
from reelbase.workers.runs import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    PATIENCE_SECONDS,
    TRANSIENT,
    Attempt,
    JobRun,
    persistently,
)
from reelbase.workers.termination import stopped_by_sigterm

if TYPE_CHECKING:
    from reelbase.database import Database

_log = logging.getLogger("reelbase")

_DUE_SECONDS = 0.25  # between two looks for jobs whose time has come, or whose lease has expired
_SCHEDULE_SECONDS = 1.0  # between two looks at the schedules, of which one may be new
_CHANGE_SECONDS = 0.005  # between two looks because jobs were written
_MOST_CLAIMS = 256  # in one transaction
_PASSES = (
    5  # of the loop before a turn: a handler that ends at once has ended then, and is a part of it
)
_CANCEL_SECONDS = 0.25  # between two looks for jobs that were cancelled or lost
_RENEWALS_PER_LEASE = 4
_LONGEST_SECONDS = 86_400.0


class Worker:
    """Jobs of some types, up to a number of them at once, until it is stopped.

    Each slot has a handler work on a job, and then waits for its result to be stored and for the next job.
    Both are done for all slots that wait, in one hop: results in one transaction, and claims, of one job at
    first, and of twice as many each time as long as so many are due. So a claim of one job tells an idle
    worker that the queue is empty.
    """

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, Handler],
        *,
        concurrency: int,
        worker: str | None,
        types: Iterable[str] | None,
        grace: float,
        lease: float,
    ) -> None:
        self._handlers = checked_handlers(handlers, types)
        self._types = list(self._handlers)
        self._concurrency = _checked_concurrency(concurrency)
        self._grace = _checked_seconds("grace", grace, at_least=0.0)
        self._lease = _checked_seconds("lease", lease, at_least=0.1)
        self._name = _checked_name(worker)
        self._database = database
        self._jobs = database.jobs
        self._schedules = database.schedules
        self._attempts: dict[UUID, Attempt] = {}  # by the job
        self._results: dict[asyncio.Future[bool], tuple[Attempt, Success]] = {}
        self._waiting: deque[asyncio.Future[Job | None]] = deque()
        self._turn = asyncio.Event()  # there are results, or may be jobs for slots that wait
        self._stopping = asyncio.Event()
        self._over = asyncio.Event()

    async def stop(self) -> None:
        """Has run() return as after SIGTERM, and waits for that: at most the grace and some seconds."""
        self._stopping.set()
        await self._over.wait()

    async def run(self) -> None:
        """Works until it is stopped, then gives back the jobs that its handlers have not finished."""
        try:
            await self._run()
        finally:
            self._over.set()

    async def _run(self) -> None:
        turns = asyncio.create_task(self._take_turns())
        slots = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]
        services = [
            asyncio.create_task(service())
            for service in (
                self._stopping.wait,
                self._follow,
                self._look,
                self._follow_schedules,
                self._renew,
                self._find_lost,
            )
        ]
        workers: list[asyncio.Task[None]] = [turns, *slots]
        tasks: list[asyncio.Task[Any]] = [*workers, *services]
        _log.info("worker %s begins with %s", self._name, ", ".join(self._types))
        try:
            with stopped_by_sigterm(self._stopping.set):
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:  # a cancel stops it in the same way as SIGTERM
            try:
                await self._stop(workers, 0.0 if any(map(_error_of, tasks)) else self._grace)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                _log.info("worker %s has stopped", self._name)
        for error in filter(None, map(_error_of, tasks)):
            raise error

    async def _stop(self, workers: list[asyncio.Task[None]], grace: float) -> None:
        self._stopping.set()
        self._turn.set()
        _settle(self._results, False)
        while self._waiting:
            self._waiting.popleft().set_result(None)
        try:
            await asyncio.wait(workers, timeout=grace)
        finally:  # a second cancel ends the grace
            for attempt in self._attempts.values():
                attempt.stop("stopping")
            await asyncio.wait(workers, timeout=PATIENCE_SECONDS + LONGEST_PAUSE_SECONDS)

    # A slot.

    async def _work(self) -> None:
        job = await self._next_job()
        while job is not None:
            await self._end_earlier(job)
            attempt = Attempt(self._database, job, self._name, self._lease)
            outcome = await self._outcome(attempt)
            following = self._next_job()
            try:
                if not (isinstance(outcome, Success) and await self._is_stored(attempt, outcome)):
                    await self._store(attempt, outcome)
            finally:
                if self._attempts.get(job.id) is attempt:
                    del self._attempts[job.id]
            job = await following

    def _next_job(self) -> asyncio.Future[Job | None]:
        """A job for a slot, as soon as there is one; None when the worker stops."""
        future: asyncio.Future[Job | None] = asyncio.get_running_loop().create_future()
        if self._stopping.is_set():
            future.set_result(None)
        else:
            self._waiting.append(future)
            self._turn.set()
        return future

    async def _is_stored(self, attempt: Attempt, outcome: Success) -> bool:
        """Whether the result was stored together with the results of other slots."""
        if self._stopping.is_set():
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._results[future] = attempt, outcome
        self._turn.set()
        return await future

    async def _end_earlier(self, job: Job) -> None:
        """Ends an earlier attempt of this worker at the job. It has lost the lease if the program stood still
        for long, and has not noticed yet."""
        earlier = self._attempts.get(job.id)
        if earlier is not None:
            earlier.stop("lost")
            await asyncio.wait([earlier.over])

    async def _outcome(self, attempt: Attempt) -> Outcome | None:
        handler = self._handlers[attempt.job.type]
        attempt.start(called(handler, JobRun(attempt)), handler.timeout)
        self._attempts[attempt.job.id] = attempt
        await attempt.over
        return outcome_of(attempt, handler)

    async def _store(self, attempt: Attempt, outcome: Outcome | None) -> None:
        """Stores the outcome, as soon as the database can be written."""
        job = attempt.job
        try:
            if outcome is not None:
                stored = await persistently(lambda: outcome.store(self._jobs, job, self._name))
                log_end(attempt, stored)
            elif attempt.reason == "lost":
                await log_lost(attempt)
        except (InvalidTransitionError, RecordNotFoundError):
            await log_lost(attempt)
        except BaseException:
            _log.error("job %s (%s): its outcome was not stored: %r", job.id, job.type, outcome)
            raise

    # What is done for all slots.

    async def _take_turns(self) -> None:
        """Stores results and claims jobs, whenever there may be some, until the worker stops."""
        count = 1
        while not self._stopping.is_set():
            await self._turn.wait()
            for _ in range(_PASSES):
                await asyncio.sleep(0)
            self._turn.clear()
            wanted = min(count, len(self._waiting))
            _, jobs = await asyncio.gather(self._store_results(), self._claimed(wanted))
            await self._hand_out(jobs)
            if len(jobs) < wanted:
                count = 1
            elif jobs:
                count = min(2 * count, _MOST_CLAIMS)
                if self._waiting:
                    self._turn.set()

    async def _store_results(self) -> None:
        """Stores the results that are there. The slot of one that was not stored, because it cannot be or is
        not needed any more, tries by itself, and says why not."""
        results, self._results = self._results, {}
        if not results:
            return
        try:
            stored = await self._jobs.succeed_many(
                [(attempt.job, outcome.result) for attempt, outcome in results.values()]
            )
            for (future, (attempt, outcome)), is_stored in zip(
                results.items(), stored, strict=True
            ):
                if is_stored:
                    log_end(attempt, outcome)
                    _settle([future], True)
        except (DatabaseError, TypeError, ValueError) as error:
            _log.info("worker %s stores %d results one by one: %s", self._name, len(results), error)
        finally:
            _settle(results, False)

    async def _claimed(self, count: int) -> list[Job]:
        pause = FIRST_PAUSE_SECONDS
        while count and not self._stopping.is_set():
            try:
                return await self._jobs.claim_many(
                    self._name, count, types=self._types, lease=self._lease
                )
            except TRANSIENT as error:
                _log.warning("worker %s cannot claim a job: %s", self._name, error)
                await self._pause(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return []

    async def _hand_out(self, jobs: list[Job]) -> None:
        """Gives the jobs to slots; back into the queue, if the worker stops."""
        for job in jobs:
            if self._waiting and not self._stopping.is_set():
                self._waiting.popleft().set_result(job)
            else:
                attempt = Attempt(self._database, job, self._name, self._lease)
                await self._store(attempt, Release())

    async def _pause(self, seconds: float) -> None:
        """Waits, but not longer than until the worker stops."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    # What goes on beside the slots.

    async def _follow(self) -> None:
        """Has jobs claimed when jobs were written, or a type resumed, by this process or another."""
        while True:
            try:
                async with self._database.changes("jobs", "job_types") as changes:
                    async for _ in changes:
                        self._turn.set()
                        await asyncio.sleep(_CHANGE_SECONDS)
                raise DatabaseClosedError("the database was closed while a worker used it")
            except DatabaseIOError as error:
                _log.warning("worker %s does not see new jobs at once: %s", self._name, error)
            await asyncio.sleep(LONGEST_PAUSE_SECONDS)

    async def _look(self) -> None:
        """Has jobs claimed from time to time: no write tells that a time has come."""
        while True:
            await asyncio.sleep(_DUE_SECONDS)
            self._turn.set()

    async def _follow_schedules(self) -> None:
        """Adds the jobs of schedules when their times have come, of all types."""
        logged = ""
        while True:
            pause = _SCHEDULE_SECONDS
            try:
                seconds = await self._schedules.due_in()
                if seconds == 0:
                    await self._schedules.add_due()
                elif seconds is not None:
                    pause = min(pause, seconds)
            except TRANSIENT as error:
                _log.warning("worker %s cannot look at schedules: %s", self._name, error)
            except DatabaseError as error:
                if error.code not in ("schedule", "not_installed"):
                    raise
                if str(error) != logged:  # once, and not each second
                    logged = str(error)
                    _log.error("worker %s: %s", self._name, error)
            await asyncio.sleep(pause)

    async def _renew(self) -> None:
        pause = self._lease / _RENEWALS_PER_LEASE
        while True:
            began = time.monotonic()
            await asyncio.sleep(pause)
            self._warn_of_standstill(time.monotonic() - began - pause)
            await asyncio.gather(*(attempt.renew() for attempt in self._attempts.values()))

    def _warn_of_standstill(self, seconds: float) -> None:
        """A handler that computes on the event loop keeps leases from being renewed, its own among them."""
        if self._attempts and seconds > self._lease / _RENEWALS_PER_LEASE:
            _log.warning(
                "worker %s: the event loop stood still for %.1f s, with a lease of %g s, while it worked on"
                " %s; a handler that computes or blocks must be a plain function (def), run in a thread",
                self._name,
                seconds,
                self._lease,
                ", ".join(sorted({attempt.job.type for attempt in self._attempts.values()})),
            )

    async def _find_lost(self) -> None:
        """Stops the handlers of jobs that were cancelled, deleted or taken over by another worker."""
        while True:
            await asyncio.sleep(_CANCEL_SECONDS)
            # Before the read, which then sees their claims.
            attempts = list(self._attempts.values())
            if not attempts:
                continue
            try:
                held = await self._jobs.held_by(self._name)
            except TRANSIENT as error:
                _log.warning("worker %s cannot look for cancelled jobs: %s", self._name, error)
                continue
            for attempt in attempts:
                if held.get(attempt.job.id) != attempt.job.attempts:
                    attempt.stop("lost")


def _settle(futures: Iterable[asyncio.Future[bool]], result: bool) -> None:
    for future in futures:
        if not future.done():
            future.set_result(result)


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None


def _checked_concurrency(concurrency: int) -> int:
    if not isinstance(concurrency, int) or isinstance(concurrency, bool):
        raise wrong_type("concurrency", f"must be int, not {type(concurrency).__name__}")
    if concurrency < 1:
        raise invalid_argument("concurrency", f"must be 1 or more, not {concurrency}")
    return concurrency


def _checked_seconds(name: str, seconds: float, *, at_least: float) -> float:
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise wrong_type(name, f"must be a number of seconds, not {type(seconds).__name__}")
    if not at_least <= seconds <= _LONGEST_SECONDS:
        problem = f"must be {at_least:g} to {_LONGEST_SECONDS:g} seconds, not {seconds}"
        raise invalid_argument(name, problem)
    return float(seconds)


def _checked_name(worker: str | None) -> str:
    """The name, or a unique one: leases are told apart by it."""
    if worker is None:
        return f"{socket.gethostname()}-{os.getpid()}-{new_id().hex[-8:]}"
    if not isinstance(worker, str):
        raise wrong_type("worker", f"must be str, not {type(worker).__name__}")
    if not worker:
        raise invalid_argument("worker", "must not be empty")
    return worker
