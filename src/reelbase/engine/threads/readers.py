"""The connections that only read.

The pool's readers share one queue. A quick read goes to a reader that is awake and between quick
reads, so that many share a hop; a second reader wakes only when the first is deep in a long one.
Snapshots and streams take a connection for themselves for as long as they last.
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
from reelbase.engine.native.transactions import roll_back
from reelbase.engine.statements.step import Step
from reelbase.engine.threads.connection import Connection
from reelbase.engine.threads.mailbox import Mailbox, Settled, notify
from reelbase.engine.threads.worker import Reply, Request, StepRunner, Worker
from reelbase.errors import DatabaseClosedError, DatabaseIOError

R = TypeVar("R")

_GROUP_COUNT = 64


Purpose = Literal["snapshot", "stream", "backup", "check", "stats", "optimize"]


class Borrowing(NamedTuple):
    """Who has a reader for itself. where: file and line.  since: by the monotonic clock."""

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
        spill: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(connection, inbox, mailbox)
        self._spill = spill
        self.is_in_long_read = False
        self.borrowing: Borrowing | None = None
        self.has_ended = False  # nothing that it still runs is of use to whoever had borrowed it
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
                self._report()  # what is done need not wait for this one
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
        """Runs the quick reads that wait in one transaction: to take and leave a lock costs SQLite as
        much as a get by key.

        Only those that came in before it began, because it does not see what is written later, and
        whoever asks after a write must. (Counting them would not do: other readers take some.)
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
            except DatabaseIOError as error:  # what was read, or failed, may be of half a change
                return request.future, None, error
        return settled

    def submit(self, request: Request) -> None:
        """Queues a request and wakes the thread."""
        self.refuse_if_closed()
        self.inbox.append(request)
        self.wake()

    def call(self, work: Callable[[sqlite3.Connection], Any]) -> asyncio.Future[Any]:
        """Runs work on the connection; for a reader with a queue of its own."""
        future = self.new_reply(self._interrupt_unless_read)
        self.submit(Request(work, future, is_long=True))
        return future

    def _interrupt_unless_read(self, future: asyncio.Future[Any]) -> None:
        # SQLite keeps an interrupt in force while any cursor is open: it would end a stream, too.
        if not self._cleanups:
            self.interrupt_running(future)

    def at_end(self, cleanup: Cleanup) -> None:
        """cleanup runs on the thread when the reader is given back."""
        self._cleanups.append(cleanup)

    def clean_up(self, cleanup: Cleanup) -> None:
        """Runs a cleanup that was meant for the end now; not awaited."""
        if cleanup in self._cleanups and not self.is_closed:
            self._cleanups.remove(cleanup)
            self._submit_cleanup(cleanup)

    def _submit_cleanup(self, cleanup: Cleanup) -> None:
        self.submit(Request(cleanup, self.new_future(), is_long=True))

    def finish(self) -> None:
        """Closes every cursor and ends the transaction of whoever had borrowed it; not awaited."""
        self.has_ended = True
        # Taken now: the next borrower may come before the thread gets to it.
        cleanups, self._cleanups = self._cleanups, []

        def clean_up(native: sqlite3.Connection) -> None:
            for cleanup in cleanups:
                cleanup(native)
            roll_back(native)

        self.interrupt()
        self._submit_cleanup(clean_up)

    def interrupt(self) -> None:
        """Makes the statement that it runs, if any, fail."""
        if self.is_awake:
            with contextlib.suppress(DatabaseClosedError):
                self.connection.native.interrupt()


class Readers:
    """The pool, and the spare connections that snapshots and streams borrow."""

    def __init__(
        self, settings: ConnectionSettings, slow_query_seconds: float | None, mailbox: Mailbox
    ) -> None:
        self._settings = settings
        self._mailbox = mailbox
        self._loop = asyncio.get_running_loop()
        self._slow_query_seconds = slow_query_seconds
        self._inbox: deque[Request] = deque()
        self._pool: list[Reader] = []
        self._spare: list[Reader] = []
        self._borrowed: set[Reader] = set()
        self._leaving: set[Connection] = (
            set()
        )  # given back, not needed any more, and not closed yet
        self._is_closed = False
        self.lost_file: Loss | None = None

    async def open(self, count: int) -> None:
        """Opens that many connections."""
        for _ in range(count):
            reader = Reader(await self._connect(), self._inbox, self._mailbox, self._wake_another)
            self._pool.append(reader)

    async def _connect(self) -> Connection:
        connection = Connection()
        await connection.open(partial(open_native, self._settings, "reader"))
        return connection

    def run(self, steps: Sequence[Step[Any]]) -> asyncio.Future[list[Any]]:
        """Runs steps that only read; they see one moment."""
        return self._submit(StepRunner(steps, self._slow_query_seconds).reading, is_long=True)

    def run_one(self, step: Step[R]) -> asyncio.Future[R]:
        """Runs a step that only reads."""
        return self._submit(step.work(self._slow_query_seconds), is_long=step.may_be_long)

    def _submit(
        self, work: Callable[[sqlite3.Connection], R], *, is_long: bool
    ) -> asyncio.Future[R]:
        future = Reply(self._loop, self._interrupt_running)
        self._inbox.append(Request(work, future, is_long=is_long))
        self._wake_another()
        return future

    def _interrupt_running(self, future: asyncio.Future[Any]) -> None:
        for reader in self._pool:
            reader.interrupt_running(future)

    def _wake_another(self) -> None:
        """Wakes a reader unless one is about to look at the queue anyway."""
        asleep = None
        for reader in self._pool:
            if not reader.is_awake:
                asleep = asleep or reader
            elif not reader.is_in_long_read:
                return
        if asleep is not None:
            asleep.wake()

    def oldest_borrowing(self) -> Borrowing | None:
        """Who has had a reader for the longest time."""
        borrowings = [reader.borrowing for reader in self._borrowed if reader.borrowing]
        return min(borrowings, key=lambda borrowing: borrowing.since, default=None)

    async def borrow(self, what: Purpose, where: str) -> Reader:
        """A reader for the caller alone, until give_back(). where: the caller's file and line."""
        if self.lost_file is not None:  # a new connection would be to another file
            raise self.lost_file.error()
        reader = (
            self._spare.pop()
            if self._spare
            else Reader(await self._connect(), deque(), self._mailbox)
        )
        if self._is_closed:
            await reader.connection.shut()
            raise DatabaseClosedError("the database is closed")
        reader.has_ended = False
        reader.borrowing = Borrowing(what, where, time.monotonic())
        self._borrowed.add(reader)
        return reader

    def give_back(self, reader: Reader) -> None:
        """Frees a borrowed reader, at once and without waiting: whatever it still runs is interrupted."""
        if reader not in self._borrowed:
            return
        self._borrowed.remove(reader)
        if reader.is_closed:
            return
        reader.finish()
        if len(self._spare) < len(self._pool) and not self._is_closed:
            self._spare.append(reader)
        else:
            leaving = reader.connection
            self._leaving.add(leaving)
            leaving.close_soon(partial(notify, self._loop, self._leaving.discard, leaving))

    def close_soon(self, then: Callable[[], None]) -> None:
        """Closes the connections one after the other and calls then, without waiting."""
        left = [reader.connection for reader in (*self._pool, *self._spare, *self._borrowed)]
        left += self._leaving

        def close_next() -> None:
            if left:
                left.pop().close_soon(close_next)
            else:
                then()

        close_next()

    async def close(self) -> None:
        """Runs what waits and closes every connection; borrowed ones are interrupted."""
        self._is_closed = True
        for reader in self._borrowed:
            # An open cursor would keep the connection alive, and with it -wal and -shm.
            reader.finish()
        for reader in (*self._pool, *self._spare, *self._borrowed):
            reader.is_closed = True
            await reader.connection.shut()
        for connection in tuple(self._leaving):
            await connection.shut()
