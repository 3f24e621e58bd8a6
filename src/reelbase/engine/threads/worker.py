"""Requests, and the base of the workers that run them on a connection's thread.

The hop from the event loop to a thread and back costs more than most queries. So a request joins a
queue, and the thread, once awake, runs all waiting requests and reports in as few messages as it can:
under load many requests share one hop, and a lone request does not wait for company.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from reelbase.engine.executor import application_site
from reelbase.engine.file.refusals import explained_on
from reelbase.engine.native.errors import translate
from reelbase.engine.native.watch import Watch, WatchedCall
from reelbase.engine.statements.step import Step
from reelbase.engine.threads.connection import Connection
from reelbase.engine.threads.mailbox import Mailbox, Settled
from reelbase.errors import DatabaseClosedError, DatabaseError

_REPORT_COUNT = 64
_REPORT_SECONDS = 0.001

# An interrupt that comes before SQLite has begun the statement has no effect, so it is repeated.
_INTERRUPT_AGAIN_SECONDS = 0.01


class Reply(asyncio.Future[Any]):
    """The future that the caller of a request awaits. Cancelled, it interrupts the request's statement.

    interrupt: interrupts the statement if it runs; called on the loop.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, interrupt: Callable[[asyncio.Future[Any]], None]
    ) -> None:
        super().__init__(loop=loop)
        self._interrupt = interrupt

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancels the future, and interrupts the statement if it runs."""
        is_cancelled = super().cancel(msg)
        if is_cancelled:
            self._interrupt(self)
        return is_cancelled


class Request(msgspec.Struct, eq=False):
    """Steps for a connection's thread, or a call, and the future that awaits the result.

    is_one: the result is that of the single step, instead of a list.  call: work that is no step; it runs
    instead.  watched: the watcher of the call; None: none.  must_run: it runs even if the caller
    was cancelled before it began.  enqueued: the time, by the monotonic clock.
    """

    future: asyncio.Future[Any]
    steps: Sequence[Step[Any]] = ()
    is_one: bool = False
    call: Callable[[sqlite3.Connection], Any] | None = None
    is_long: bool = False
    is_relaxed: bool = False
    must_run: bool = False
    watched: WatchedCall | None = None
    enqueued: float = msgspec.field(default_factory=time.monotonic)

    @property
    def undoes_itself(self) -> bool:
        """Whether a failure undoes all of it, given a savepoint: several steps have one."""
        return self.call is None and not self.is_one


class Worker(ABC):
    """A connection and the queue that its thread empties.

    Two threads, no lock: deques are atomic, and ``is_awake`` is written so that the worst case is one
    needless wake-up. The loop appends a request first and then reads ``is_awake``; the thread clears
    ``is_awake`` first and then looks at the queue again.
    """

    def __init__(
        self,
        connection: Connection,
        inbox: deque[Request],
        mailbox: Mailbox,
        watch: Watch | None,
    ) -> None:
        self.connection = connection
        self.watch = watch
        self.inbox = inbox
        self._mailbox = mailbox
        self._loop = asyncio.get_running_loop()
        self.is_awake = False
        self._settled: list[Settled] = []
        self._unreported_since = 0.0
        self.is_closed = False
        self.calls = 0  # requests that the thread has run, and how often it was woken for them
        self.hops = 0
        self._in_hand: list[Request] = []  # on the thread: taken from the queue, not settled yet
        self._running: asyncio.Future[Any] | None = None  # the future of the request that runs now
        self._running_lock = threading.Lock()

    def new_reply(
        self, interrupt: Callable[[asyncio.Future[Any]], None] | None = None
    ) -> asyncio.Future[Any]:
        """A future that interrupts its request when cancelled: by interrupt, or by interrupt_running()."""
        return Reply(self._loop, interrupt or self.interrupt_running)

    def watched(self) -> WatchedCall | None:
        """The watcher of a request that is made now; None: none."""
        return watched_by(self.watch)

    @property
    def waiting(self) -> int:
        """How many requests wait in the queue."""
        return len(self.inbox)

    def new_future(self) -> asyncio.Future[Any]:
        """A future for a request that runs to its end."""
        return self._loop.create_future()

    def refuse_if_closed(self) -> None:
        """Raises DatabaseClosedError once the worker takes no further requests."""
        if self.connection.inherited:
            raise DatabaseClosedError(
                "this Database was opened before a fork, and belongs to the parent; start processes "
                'with "spawn" or "forkserver", or connect only after the fork',
                code="forked",
            )
        if self.is_closed:
            raise DatabaseClosedError("the database is closed")

    def wake(self) -> None:
        """Makes sure that the thread looks at the queue. Callable from any thread."""
        if not self.is_awake:
            self.is_awake = True
            self.connection.wake(self._drain)

    def interrupt_running(self, future: asyncio.Future[Any]) -> None:
        """Interrupts the running statement if it belongs to this future's request."""
        with self._running_lock:  # while it is held the thread cannot go on to another request
            if self._running is not future:
                return
            self.connection.native.interrupt()
        self._loop.call_later(_INTERRUPT_AGAIN_SECONDS, self.interrupt_running, future)

    def _has_work(self) -> bool:
        return bool(self.inbox)

    def _run(self, native: sqlite3.Connection, request: Request) -> None:
        """On the thread: runs a request and settles it."""
        settled = self._run_request(native, request)
        if settled is not None:
            self._settle(settled)

    def _run_request(self, native: sqlite3.Connection, request: Request) -> Settled | None:
        """On the thread: runs a request; None when its caller was cancelled before it began."""
        self._running = request.future
        self.calls += 1
        try:
            # After _running was set: a cancel that came earlier shows here, a later one interrupts.
            if request.future.cancelled() and not request.must_run:
                return None
            return outcome_of(native, request, self._perform)
        finally:
            with self._running_lock:
                self._running = None

    def _perform(self, native: sqlite3.Connection, request: Request) -> Any:
        """On the thread: the result of a request."""
        if request.call is not None:
            return request.call(native)
        return self._run_steps(native, request)

    @abstractmethod
    def _run_steps(self, native: sqlite3.Connection, request: Request) -> Any:
        """On the thread: the result of a request's steps."""

    def _drain(self) -> None:
        """On the thread: runs all waiting requests, reports, and sleeps."""
        native = self.connection.native
        self.hops += 1
        while True:
            try:
                self._run_waiting(native)
            except BaseException as error:
                self._give_up(native, error)
                continue
            self._in_hand = []
            self.is_awake = False
            if not self._has_work() or self.is_awake:
                break
            self.is_awake = True
        # Report last: it wakes the loop's thread, which should not have to compete with this one.
        self._report()

    @abstractmethod
    def _run_waiting(self, native: sqlite3.Connection) -> None:
        """On the thread: runs requests until none waits."""

    def _give_up(self, native: sqlite3.Connection, error: BaseException) -> None:
        """On the thread: an error that no request caused (MemoryError …) fails the requests in hand.

        It must not end the worker.
        """
        with contextlib.suppress(sqlite3.Error):
            self._abandon(native)
        for request in self._in_hand:
            unexpected = DatabaseError(f"the database thread met {error!r}", code="unexpected")
            unexpected.__cause__ = error
            self._settle((request.future, None, unexpected))
        self._in_hand = []
        self._report()

    def _abandon(self, native: sqlite3.Connection) -> None:
        """On the thread: ends the transaction that the failing requests shared."""
        if native.in_transaction:
            native.execute("ROLLBACK")

    def _settle(self, settled: Settled) -> None:
        if not self._settled:
            self._unreported_since = time.monotonic()
        self._settled.append(settled)

    def settle_along(self, future: asyncio.Future[None]) -> None:
        """On the thread, in a request: resolves a future together with the request, and before it."""
        self._settle((future, None, None))

    def _report_if_due(self) -> None:
        if (
            len(self._settled) >= _REPORT_COUNT
            or time.monotonic() - self._unreported_since >= _REPORT_SECONDS
        ):
            self._report()

    def _report(self) -> None:
        if self._settled:
            self._mailbox.post(self._settled)
            self._settled = []


def watched_by(watch: Watch | None) -> WatchedCall | None:
    """The watcher of a call that is made now; None: none."""
    return None if watch is None else watch.call(application_site)


def outcome_of(
    native: sqlite3.Connection,
    request: Request,
    perform: Callable[[sqlite3.Connection, Request], Any],
) -> Settled:
    """Performs a request; an error is returned, not raised."""
    try:
        return request.future, perform(native, request), None
    except sqlite3.Error as error:
        return request.future, None, explained_on(native, translate(error, "database"))
    except DatabaseError as error:
        return request.future, None, explained_on(native, error)
    except Exception as error:
        return request.future, None, error
