"""Requests, and what the workers that run them on a connection's thread have in common.

The hop from the event loop to a thread and back costs more than most queries. So a request joins a
queue, and the thread, once awake, runs all that waits and reports in as few messages as it can:
under load many requests share one hop, and a lone one waits for nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from reelbase.engine.file.refusals import explained_on
from reelbase.engine.native.errors import translate
from reelbase.engine.statements.step import Step
from reelbase.engine.threads.connection import Connection
from reelbase.engine.threads.mailbox import Mailbox, Settled
from reelbase.errors import DatabaseClosedError, DatabaseError

_REPORT_COUNT = 64
_REPORT_SECONDS = 0.001

# An interrupt that comes before SQLite has begun the statement has no effect, so it is repeated.
_INTERRUPT_AGAIN_SECONDS = 0.01

_BEGIN_SAVEPOINT = "SAVEPOINT reelbase_steps"
_UNDO_SAVEPOINT = "ROLLBACK TO reelbase_steps"
_END_SAVEPOINT = "RELEASE reelbase_steps"


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
    """Work for a connection's thread, and the future that its caller awaits.

    undoes_itself: nothing is left of it when it fails.  must_run: even if its caller was cancelled
    before it began.  enqueued: when, by the monotonic clock.
    """

    work: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    is_long: bool = False
    is_relaxed: bool = False
    undoes_itself: bool = False
    must_run: bool = False
    enqueued: float = msgspec.field(default_factory=time.monotonic)


class Worker:
    """A connection and the queue that its thread empties.

    Two threads, no lock: deques are atomic, and ``is_awake`` is written so that the worst case is one
    needless wake-up. The loop appends first and then looks whether the thread is awake; the thread
    says that it goes to sleep first and then looks whether something came in.
    """

    def __init__(self, connection: Connection, inbox: deque[Request], mailbox: Mailbox) -> None:
        self.connection = connection
        self.inbox = inbox
        self._mailbox = mailbox
        self._loop = asyncio.get_running_loop()
        self.is_awake = False
        self._settled: list[Settled] = []
        self._unreported_since = 0.0
        self.is_closed = False
        self._in_hand: list[Request] = []  # on the thread: taken from the queue, not settled yet
        self._running: asyncio.Future[Any] | None = None  # whose request the thread runs just now
        self._running_lock = threading.Lock()

    def new_reply(
        self, interrupt: Callable[[asyncio.Future[Any]], None] | None = None
    ) -> asyncio.Future[Any]:
        """A future for a request that a cancel interrupts: with interrupt, or unconditionally."""
        return Reply(self._loop, interrupt or self.interrupt_running)

    def new_future(self) -> asyncio.Future[Any]:
        """A future for a request that runs to its end."""
        return self._loop.create_future()

    def refuse_if_closed(self) -> None:
        """Raises DatabaseClosedError once nothing more will be run."""
        if self.connection.inherited:
            raise DatabaseClosedError(
                "this Database was opened before a fork, and belongs to the parent; start processes "
                'with "spawn" or "forkserver", or connect only after the fork',
                code="forked",
            )
        if self.is_closed:
            raise DatabaseClosedError("the database is closed")

    def wake(self) -> None:
        """Sees to it that the thread looks at the queue. Callable from any thread."""
        if not self.is_awake:
            self.is_awake = True
            self.connection.wake(self._drain)

    def interrupt_running(self, future: asyncio.Future[Any]) -> None:
        """Interrupts the statement of this future's request if it runs, and no other one."""
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
        try:
            # After _running was set: a cancel that came earlier shows here, a later one interrupts.
            if request.future.cancelled() and not request.must_run:
                return None
            return run_one(native, request)
        finally:
            with self._running_lock:
                self._running = None

    def _drain(self) -> None:
        """On the thread: everything that waits, then sleep."""
        native = self.connection.native
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
        # At the very end: the loop's thread wakes up, and this one had better be out of its way.
        self._report()

    def _run_waiting(self, native: sqlite3.Connection) -> None:
        """On the thread: runs requests until none waits."""
        raise NotImplementedError

    def _give_up(self, native: sqlite3.Connection, error: BaseException) -> None:
        """On the thread: something that no request caused (MemoryError …) must not end the worker."""
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


def run_one(native: sqlite3.Connection, request: Request) -> Settled:
    """Runs a request's work; errors come back as values."""
    try:
        return request.future, request.work(native), None
    except sqlite3.Error as error:
        return request.future, None, explained_on(native, translate(error, "database"))
    except DatabaseError as error:
        return request.future, None, explained_on(native, error)
    except Exception as error:
        return request.future, None, error


class StepRunner:
    """The work of a request: its steps, in order, all of them or none."""

    __slots__ = ("_works",)

    def __init__(self, steps: Sequence[Step[Any]], slow_query_seconds: float | None) -> None:
        self._works = [step.work(slow_query_seconds) for step in steps]

    def writing(self, native: sqlite3.Connection) -> list[Any]:
        """Inside a transaction: what fails is undone, the rest of the transaction stays."""
        native.execute(_BEGIN_SAVEPOINT)
        try:
            results = self.inside(native)
        except BaseException:
            if native.in_transaction:  # some errors make SQLite roll everything back by itself
                native.execute(_UNDO_SAVEPOINT)
                native.execute(_END_SAVEPOINT)
            raise
        native.execute(_END_SAVEPOINT)
        return results

    def reading(self, native: sqlite3.Connection) -> list[Any]:
        """Outside a transaction: all steps see the same moment of the database."""
        native.execute("BEGIN")
        try:
            return self.inside(native)
        finally:
            if native.in_transaction:
                native.execute("ROLLBACK")

    def inside(self, native: sqlite3.Connection) -> list[Any]:
        """Inside a transaction that somebody else ends, whatever comes of the steps."""
        return [work(native) for work in self._works]
