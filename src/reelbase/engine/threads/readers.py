"""The connections that only read.

The pool's readers share one queue. A quick read goes to a reader that is awake and between quick
reads, so that many share a hop; a second reader wakes only while the first runs a long read.
Snapshots and streams borrow a connection for as long as they last.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

from reelbase.engine.executor import Cleanup
from reelbase.engine.file.connections import ConnectionSettings, open_native
from reelbase.engine.file.open_files import FileConnection, Loss
from reelbase.engine.native.run import run, run_all
from reelbase.engine.native.transactions import deferred_transaction, roll_back
from reelbase.engine.native.watch import Watch
from reelbase.engine.statements.step import Step
from reelbase.engine.threads.connection import Connection
from reelbase.engine.threads.mailbox import Mailbox, Settled, notify
from reelbase.engine.threads.worker import Reply, Request, Worker, watched_by
from reelbase.errors import DatabaseClosedError, DatabaseIOError

R = TypeVar("R")

_GROUP_COUNT = 64


Purpose = Literal["snapshot", "stream", "backup", "check", "stats", "optimize"]


class Borrowing(NamedTuple):
    """A reader's borrower. where: the caller's file and line.  since: by the monotonic clock."""

    what: Purpose
    where: str
    since: float


class Reader(Worker):
    """One reading connection; its queue may be shared with other readers."""

    def __init__(
        self,
        connection: Connection,
        inbox: deque[Request],
        mailbox: Mailbox,
        watch: Watch | None,
        spill: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(connection, inbox, mailbox, watch)
        self._spill = spill
        self.is_in_long_read = False
        self.borrowing: Borrowing | None = None
        self.has_ended = False  # the borrower has no use for results any more
        self._cleanups: list[Cleanup] = []

    def _run_waiting(self, native: sqlite3.Connection) -> None:
        while True:
            self.connection.give_way()
            try:
                request = self.inbox.popleft()
            except IndexError:
                return
            self._in_hand = [request]
            if request.is_long:
                self._report()  # finished reads need not wait for this one
                self.is_in_long_read = True
                try:
                    if self.inbox and self._spill is not None:
                        self._spill()
                    self._run(native, request)
                finally:
                    self.is_in_long_read = False
            elif self.inbox and not native.in_transaction:
                self._run_group(native, request)
            else:
                self._run(native, request)
            self._report_if_due()

    def _run_group(self, native: sqlite3.Connection, request: Request) -> None:
        """Runs the waiting quick reads in one transaction: taking and releasing a lock costs SQLite as
        much as a get by key.

        Only requests that were queued before BEGIN: the transaction does not see later writes, and a
        caller must see its own. A count would not do, because several readers take from the same queue.
        """
        began = time.monotonic()
        native.execute("BEGIN")
        self._run(native, request)
        for _ in range(_GROUP_COUNT):
            try:
                request = self.inbox.popleft()
            except IndexError:
                break
            if request.is_long or request.enqueued >= began:
                self.inbox.appendleft(request)
                break
            self._in_hand.append(request)
            self._run(native, request)
        native.execute("COMMIT")

    def _run_request(self, native: sqlite3.Connection, request: Request) -> Settled | None:
        settled = super()._run_request(native, request)
        if (
            settled is not None
            and isinstance(native, FileConnection)
            and native.unlocked is not None
        ):
            try:
                native.refuse_changed()
            except DatabaseIOError as error:  # the read, or its error, may come from half a change
                return request.future, None, error
        return settled

    def _run_steps(self, native: sqlite3.Connection, request: Request) -> Any:
        if request.is_one:
            return run(native, request.steps[0], request.watched)
        with deferred_transaction(native):
            return run_all(native, request.steps, request.watched)

    def _enqueue(self, request: Request) -> asyncio.Future[Any]:
        self.refuse_if_closed()
        self.inbox.append(request)
        self.wake()
        return request.future

    # For a reader with a queue of its own.

    def submit(self, steps: Sequence[Step[Any]]) -> asyncio.Future[list[Any]]:
        """Runs steps that only read, in the borrower's transaction."""
        future = self.new_reply(self._interrupt_unless_read)
        return self._enqueue(Request(future, steps, is_long=True, watched=self.watched()))

    def call(self, work: Callable[[sqlite3.Connection], Any]) -> asyncio.Future[Any]:
        """Runs work on the connection."""
        future = self.new_reply(self._interrupt_unless_read)
        return self._enqueue(Request(future, call=work, is_long=True))

    def _interrupt_unless_read(self, future: asyncio.Future[Any]) -> None:
        # SQLite keeps an interrupt in force while a cursor is open: it would end a stream as well.
        if not self._cleanups:
            self.interrupt_running(future)

    def at_end(self, cleanup: Cleanup) -> None:
        """Has cleanup run on the thread when the reader is given back."""
        self._cleanups.append(cleanup)

    def clean_up(self, cleanup: Cleanup) -> None:
        """Runs a cleanup of at_end() now; not awaited."""
        if cleanup in self._cleanups and not self.is_closed:
            self._cleanups.remove(cleanup)
            self._submit_cleanup(cleanup)

    def _submit_cleanup(self, cleanup: Cleanup) -> None:
        self._enqueue(Request(self.new_future(), call=cleanup, is_long=True))

    def finish(self) -> None:
        """Closes every cursor and ends the borrower's transaction; not awaited."""
        self.has_ended = True
        # Taken now: the next borrower may come before the thread runs clean_up.
        cleanups, self._cleanups = self._cleanups, []

        def clean_up(native: sqlite3.Connection) -> None:
            for cleanup in cleanups:
                cleanup(native)
            roll_back(native)

        self.interrupt()
        self._submit_cleanup(clean_up)

    def interrupt(self) -> None:
        """Interrupts the running statement, if there is one."""
        if self.is_awake:
            with contextlib.suppress(DatabaseClosedError):
                self.connection.native.interrupt()


class Readers:
    """The pool, and the connections outside it that snapshots and streams borrow."""

    def __init__(self, settings: ConnectionSettings, watch: Watch | None, mailbox: Mailbox) -> None:
        self._settings = settings
        self._mailbox = mailbox
        self._loop = asyncio.get_running_loop()
        self._watch = watch
        self._inbox: deque[Request] = deque()
        self._pool: list[Reader] = []
        self._spare: list[Reader] = []
        self._borrowed: set[Reader] = set()
        self._leaving: set[Connection] = set()  # given back, not kept as spare, and not closed yet
        self._is_closed = False
        self._past_calls = self._past_hops = 0  # of readers that are closed
        self.lost_file: Loss | None = None

    async def open(self, count: int) -> None:
        """Opens the pool's connections, count of them."""
        for _ in range(count):
            self._pool.append(await self._reader(self._inbox, self._wake_another))

    async def _reader(
        self, inbox: deque[Request], spill: Callable[[], None] | None = None
    ) -> Reader:
        connection = Connection()
        await connection.open(partial(open_native, self._settings, "reader"))
        return Reader(connection, inbox, self._mailbox, self._watch, spill)

    def submit(self, steps: Sequence[Step[Any]]) -> asyncio.Future[list[Any]]:
        """Runs steps that only read, in one read transaction."""
        return self._enqueue_steps(steps, is_one=False, is_long=True)

    def submit_one(self, step: Step[R]) -> asyncio.Future[R]:
        """Runs a step that only reads."""
        return self._enqueue_steps((step,), is_one=True, is_long=step.may_be_long)

    def submit_function(
        self, work: Callable[[sqlite3.Connection, Callable[[], bool]], R]
    ) -> asyncio.Future[R]:
        """Runs work that only reads, in a transaction that it begins."""
        reply = Reply(self._loop, self._interrupt_running)
        return self._enqueue(
            Request(reply, call=lambda native: work(native, reply.cancelled), is_long=True)
        )

    def _enqueue_steps(
        self, steps: Sequence[Step[Any]], *, is_one: bool, is_long: bool
    ) -> asyncio.Future[Any]:
        future = Reply(self._loop, self._interrupt_running)
        watched = watched_by(self._watch)
        return self._enqueue(Request(future, steps, is_one, is_long=is_long, watched=watched))

    def _enqueue(self, request: Request) -> asyncio.Future[Any]:
        self._inbox.append(request)
        self._wake_another()
        return request.future

    def _interrupt_running(self, future: asyncio.Future[Any]) -> None:
        for reader in self._pool:
            reader.interrupt_running(future)

    def _wake_another(self) -> None:
        """Wakes a sleeping reader, unless one that is awake will look at the queue soon."""
        asleep = None
        for reader in self._pool:
            if not reader.is_awake:
                asleep = asleep or reader
            elif not reader.is_in_long_read:
                return
        if asleep is not None:
            asleep.wake()

    @property
    def waiting(self) -> int:
        """How many reads wait for a reader of the pool."""
        return len(self._inbox)

    @property
    def calls(self) -> int:
        """How many requests were run."""
        return self._past_calls + sum(reader.calls for reader in self._all())

    @property
    def hops(self) -> int:
        """How often a thread was woken for them."""
        return self._past_hops + sum(reader.hops for reader in self._all())

    def _all(self) -> tuple[Reader, ...]:
        return (*self._pool, *self._spare, *self._borrowed)

    def oldest_borrowing(self) -> Borrowing | None:
        """The borrowing that has lasted longest; None when no reader is borrowed."""
        borrowings = [reader.borrowing for reader in self._borrowed if reader.borrowing]
        return min(borrowings, key=lambda borrowing: borrowing.since, default=None)

    async def borrow(self, what: Purpose, where: str) -> Reader:
        """A reader for the caller's exclusive use, until give_back(). where: the caller's file and line."""
        if self.lost_file is not None:  # a new connection would open another file
            raise self.lost_file.error()
        reader = self._spare.pop() if self._spare else await self._reader(deque())
        if self._is_closed:
            await reader.connection.shut()
            raise DatabaseClosedError("the database is closed")
        reader.has_ended = False
        reader.borrowing = Borrowing(what, where, time.monotonic())
        self._borrowed.add(reader)
        return reader

    def give_back(self, reader: Reader) -> None:
        """Frees a borrowed reader at once, without waiting: its running statement is interrupted."""
        if reader not in self._borrowed:
            return
        self._borrowed.remove(reader)
        if reader.is_closed:
            return
        reader.finish()
        if len(self._spare) < len(self._pool) and not self._is_closed:
            self._spare.append(reader)
        else:
            self._past_calls += reader.calls
            self._past_hops += reader.hops
            leaving = reader.connection
            self._leaving.add(leaving)
            leaving.close_soon(partial(notify, self._loop, self._leaving.discard, leaving))

    def close_soon(self, then: Callable[[], None]) -> None:
        """Closes the connections one by one and calls then, without waiting."""
        left = [reader.connection for reader in self._all()]
        left += self._leaving

        def close_next() -> None:
            if left:
                left.pop().close_soon(close_next)
            else:
                then()

        close_next()

    async def close(self) -> None:
        """Runs the waiting requests and closes every connection; borrowed ones are interrupted."""
        self._is_closed = True
        for reader in self._borrowed:
            # An open cursor would keep the connection alive, and with it -wal and -shm.
            reader.finish()
        for reader in self._all():
            reader.is_closed = True
            await reader.connection.shut()
        for connection in tuple(self._leaving):
            await connection.shut()
