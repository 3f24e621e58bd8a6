"""A transaction that holds the writer from BEGIN to COMMIT or ROLLBACK.

Its safety lies in the order of the queue: the request that ends a transaction is queued at once,
before the task awaits it, so that no cancellation can leave the transaction open.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from reelbase.engine.executor import Cleanup, HeldCursor, caller
from reelbase.engine.file.commit import commit, commit_error
from reelbase.engine.native.run import run_all, run_all_or_none
from reelbase.engine.native.transactions import (
    begin_savepoint,
    end_savepoint,
    roll_back,
    undo_savepoint,
)
from reelbase.engine.native.watch import WatchedCall
from reelbase.engine.statements.step import Step
from reelbase.engine.threads.mailbox import call_back
from reelbase.engine.threads.worker import Request
from reelbase.errors import (
    CommitUncertainError,
    DatabaseClosedError,
    DatabaseError,
)

if TYPE_CHECKING:
    from reelbase.engine.threads.writer import Writer

State = Literal["open", "committed", "rolled_back", "unknown"]
R = TypeVar("R")


class _Savepoint:
    """An open savepoint. outer: the savepoint around its block, perhaps of another unit.
    callbacks: the number of callbacks that the unit had then."""

    def __init__(self, outer: _Savepoint | None, callbacks: int) -> None:
        self.outer = outer
        self.callbacks = callbacks


# The savepoint in whose block the code runs. Tasks that are started in the block inherit it.
_innermost: ContextVar[_Savepoint | None] = ContextVar("reelbase_savepoint", default=None)


class _Outcome(asyncio.Future[None]):
    """A future that defers cancellation: the waiting task gets its CancelledError when the result of
    COMMIT or ROLLBACK is known, at the latest after patience_seconds."""

    def __init__(self, patience_seconds: float) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._patience_seconds = patience_seconds
        self._giving_up: asyncio.TimerHandle | None = None

    def cancel(self, msg: Any | None = None) -> bool:
        """Returns False: the task keeps the cancel until this future is done."""
        if self._giving_up is None and not self.done():
            give_up = partial(super().cancel, msg)
            self._giving_up = self.get_loop().call_later(self._patience_seconds, give_up)
            self.add_done_callback(self._give_up_no_more)
        return False

    def _give_up_no_more(self, _: asyncio.Future[None]) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()  # the timer would keep this future alive until it is due


class Transaction:
    """The engine's side of a unit of work: its own queue on the writer, and the state it ended in.

    where: the file and line of the caller that opened it.
    """

    def __init__(
        self, writer: Writer, begin_sql: Literal["BEGIN IMMEDIATE", "BEGIN"], where: str
    ) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self.begin_sql = begin_sql
        self.where = where
        self._opener: object = None  # the task, or the waiting thread, that has begun it
        self.has_written = False
        self.inbox: deque[Request] = deque()
        self.state: State = "open"
        self.began = False  # on the thread: BEGIN succeeded and neither COMMIT nor ROLLBACK has
        self._ended = False  # on the loop: no further request is taken
        self.was_rolled_back = False  # by roll_back(), on purpose
        self._lost: BaseException | None = None
        self._savepoints: list[_Savepoint] = []
        self._callbacks: list[Callable[[], object]] = []
        self._cursors: list[HeldCursor] = []
        self._cleanups: list[Cleanup] = []

    def __str__(self) -> str:
        what = "unit of work" if self.begin_sql == "BEGIN IMMEDIATE" else "snapshot"
        return f"the {what} that was opened at {self.where}"

    # On the event loop.

    def is_of_this_caller(self) -> bool:
        """Whether the task, or the thread, that calls has begun it and has not ended it yet."""
        if self._opener is None or self._ended:
            return False
        return self._opener is caller()

    async def begin(self) -> None:
        """Waits its turn and begins. DatabaseBusyError after busy_timeout. A cancel leaves no transaction."""
        if self._opener is not None:
            raise DatabaseError(
                "this transaction() was entered before; call it for each block",
                code="entered_twice",
            )
        self._opener = caller()
        future = self._writer.enqueue_transaction(self)
        try:
            await future
        except BaseException:
            # The thread may be inside BEGIN, waiting for another process: if BEGIN succeeds later, the
            # thread finds this ROLLBACK in the queue, and no other writer is kept out.
            self._ended = True
            self.state = "rolled_back"
            if not self._writer.withdraw(future):
                self._call_at_last(self._roll_back)
            raise

    def submit(self, steps: Sequence[Step[Any]]) -> asyncio.Future[list[Any]]:
        """Runs steps; when one fails none of them remains and the transaction goes on."""
        return self._enqueue_steps(steps, is_one=False)

    def submit_one(self, step: Step[R]) -> asyncio.Future[R]:
        """Runs a step; when it fails nothing of it remains and the transaction goes on."""
        return self._enqueue_steps((step,), is_one=True)

    def _enqueue_steps(self, steps: Sequence[Step[Any]], *, is_one: bool) -> asyncio.Future[Any]:
        if _may_write(steps):
            self._refuse_in_savepoint_of_others()
            self.has_written = True
        self._refuse_if_ended()
        reply = self._writer.new_reply(self._interrupt_running)
        return self._enqueue(Request(reply, steps, is_one, watched=self.watched()))

    def _refuse_in_savepoint_of_others(self) -> None:
        """Raises when the innermost savepoint is not the caller's: its rollback would undo the call, too."""
        if not self._savepoints:
            return
        savepoint = _innermost.get()
        while savepoint is not None and savepoint is not self._savepoints[-1]:
            savepoint = savepoint.outer
        if savepoint is None:
            raise DatabaseError(
                "another task has a savepoint open in this unit of work, which would undo this call "
                "together with that task's; wait for it to end, or use a unit of work for each task",
                code="savepoint",
            )

    def call(self, work: Callable[[sqlite3.Connection], R]) -> asyncio.Future[R]:
        """Runs work, unless its caller is cancelled before it begins; while it runs, a cancel interrupts it.

        When a write is interrupted, SQLite rolls back the whole transaction: the unit is then lost.
        """
        self._refuse_if_ended()
        reply = self._writer.new_reply(self._interrupt_running)
        return self._enqueue(Request(reply, call=lambda native: self._guarded(native, work)))

    def _interrupt_running(self, future: asyncio.Future[Any]) -> None:
        # SQLite keeps an interrupt in force while a cursor is open: it would end a stream as well.
        if not self._cursors:
            self._writer.interrupt_running(future)

    async def commit(self) -> None:
        """Commits, or raises the error of COMMIT. A cancel takes effect once the outcome is known."""
        self._refuse_if_ended()
        if self._savepoints:
            await self.roll_back()
            raise DatabaseError(
                "a savepoint was still open at the end of the unit of work, which is rolled back",
                code="savepoint",
            )
        self._ended = True
        await self._conclude(self._commit)

    async def roll_back(self) -> None:
        """Undoes everything. Idempotent."""
        if self._ended:
            return
        self._ended = True
        self.was_rolled_back = True
        self._interrupt()
        await self._conclude(self._roll_back)

    async def begin_savepoint(self) -> _Savepoint:
        """Opens a savepoint and returns it, for end_savepoint()."""
        self._refuse_if_ended()
        self._refuse_in_savepoint_of_others()
        savepoint = _Savepoint(_innermost.get(), len(self._callbacks))
        self._savepoints.append(savepoint)
        try:
            await self._call_at_last(lambda native: self._guarded(native, begin_savepoint))
        except BaseException as error:
            try:
                if isinstance(error, asyncio.CancelledError) and not self._ended:
                    await self._conclude(self._undo_savepoint)
            finally:  # a second cancel comes out of the await above
                self._savepoints.remove(savepoint)
            raise
        _innermost.set(savepoint)
        return savepoint

    async def end_savepoint(self, savepoint: _Savepoint, *, keep: bool) -> None:
        """Keeps or undoes the writes since the savepoint. The last one opened must end first."""
        _innermost.set(savepoint.outer)
        if self._ended:
            return
        if not self._savepoints or self._savepoints[-1] is not savepoint:
            raise DatabaseError(
                "savepoints must end in the reverse order of their beginning; "
                "do not leave one while a later one of another task is open",
                code="savepoint",
            )
        self._savepoints.pop()
        if keep:
            await self._conclude(lambda native: self._guarded(native, end_savepoint))
        else:
            del self._callbacks[savepoint.callbacks :]
            await self._conclude(self._undo_savepoint)

    def after_commit(self, callback: Callable[[], object]) -> None:
        """Has callback called on the loop after COMMIT, in the caller's context."""
        self._refuse_if_ended()
        self._refuse_in_savepoint_of_others()
        self._callbacks.append(partial(copy_context().run, callback))

    @property
    def has_ended(self) -> bool:
        """Whether it has been told to end: its caller has no use for further results."""
        return self._ended

    @property
    def is_inherited(self) -> bool:
        """Whether this is a forked child of the process that began it."""
        return self._writer.connection.inherited

    def watched(self) -> WatchedCall | None:
        """The watcher of a request that is made now; None: none."""
        return self._writer.watched()

    def hold(self, cursor: HeldCursor) -> None:
        """Has the cursor drained before the transaction writes, and closed before it ends."""
        self._cursors.append(cursor)

    def let_go(self, cursor: HeldCursor) -> None:
        """Closes a cursor of hold() now; not awaited."""
        if cursor in self._cursors and not self._ended:
            self._cursors.remove(cursor)
            self._call_at_last(cursor.close)

    def at_end(self, cleanup: Cleanup) -> None:
        """Has cleanup run on the thread before the transaction ends."""
        self._cleanups.append(cleanup)

    def clean_up(self, cleanup: Cleanup) -> None:
        """Runs a cleanup of at_end() now; not awaited."""
        if cleanup in self._cleanups and not self._ended:
            self._cleanups.remove(cleanup)
            self._call_at_last(cleanup)

    def abandon(self) -> None:
        """Rolls back for a database that closes, or a unit that was dropped inside its block: interrupts the
        running statement, and refuses later calls.

        Callable from any thread: the writer's thread calls it when BEGIN succeeds during close().
        """
        if not self._ended:
            self._ended = True
            self._interrupt()
            self._call_at_last(self._roll_back)

    def _interrupt(self) -> None:
        """Interrupts the running statement, if there is one; a ROLLBACK follows it anyway."""
        if self.began:  # then no other task's statement runs there before that ROLLBACK
            self._writer.connection.native.interrupt()

    def _refuse_if_ended(self) -> None:
        if self._ended:
            raise DatabaseClosedError(
                f"this unit of work has ended ({self.state.replace('_', ' ')})", code="unit_ended"
            )

    def _call_at_last(self, work: Callable[[sqlite3.Connection], R]) -> asyncio.Future[R]:
        return self._enqueue(Request(self._writer.new_future(), call=work, must_run=True))

    def _enqueue(self, request: Request) -> asyncio.Future[Any]:
        self._writer.refuse_if_closed()
        self.inbox.append(request)
        self._writer.wake()
        return request.future

    async def _conclude(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Runs work that ends the transaction, or a savepoint; a cancel takes effect afterwards."""
        outcome = _Outcome(self._writer.busy_timeout_seconds + 1.0)
        self._enqueue(Request(outcome, call=work, must_run=True))
        try:
            await outcome
        except asyncio.CancelledError:
            if outcome.done() and not outcome.cancelled():
                outcome.exception()  # seen; the cancel is what the caller gets
            elif self.state == "open":
                self.state = "unknown"  # the disk does not answer; the request stays queued
            raise

    # On the connection's thread.

    def run_steps(self, native: sqlite3.Connection, request: Request) -> Any:
        """The result of a request's steps."""
        return self._guarded(native, partial(self._results_of, request=request))

    def _results_of(self, native: sqlite3.Connection, request: Request) -> Any:
        if not _may_write(request.steps):
            results = run_all(native, request.steps, request.watched)
        else:
            self._drain_cursors(native)
            results = run_all_or_none(native, request.steps, request.watched)
        return results[0] if request.is_one else results

    def _guarded(self, native: sqlite3.Connection, work: Callable[[sqlite3.Connection], R]) -> R:
        self._refuse_if_lost()
        try:
            return work(native)
        except BaseException as error:
            if not native.in_transaction:
                # FULL, IOERR, a trigger's RAISE(ROLLBACK): SQLite has rolled back, and the next
                # statement would commit by itself.
                self._lost = error
            raise

    def _refuse_if_lost(self) -> None:
        if self._lost is not None:
            raise DatabaseError(
                f"this unit of work lost its transaction ({self._lost}); nothing of it is stored",
                code="transaction_lost",
            ) from self._lost

    def _drain_cursors(self, native: sqlite3.Connection) -> None:
        for cursor in tuple(self._cursors):
            cursor.drain(native)

    def _close_cursors(self, native: sqlite3.Connection) -> None:
        for cursor in tuple(self._cursors):
            cursor.close(native)
        # An open cursor would keep the read transaction, and the next BEGIN IMMEDIATE would fail.
        # In reverse order: a snapshot's own setting is reset only after every other cleanup.
        for cleanup in reversed(self._cleanups):
            cleanup(native)

    def _commit(self, native: sqlite3.Connection) -> None:
        self.began = False
        self._close_cursors(native)
        if self._lost is not None or not native.in_transaction:
            self.state = "rolled_back"
            self._refuse_if_lost()
            raise DatabaseError("the transaction has vanished", code="transaction_lost")
        failure = commit(native)
        if failure is None:
            self.state = "committed"
            self._writer.commits += 1
            call_back(self._loop, self._callbacks)
            return
        error = commit_error(failure, "unit of work")
        self.state = "unknown" if isinstance(error, CommitUncertainError) else "rolled_back"
        raise error

    def _roll_back(self, native: sqlite3.Connection) -> None:
        self.began = False
        try:
            self._close_cursors(native)
        finally:
            if self._lost is None:
                roll_back(native)
            self.state = "rolled_back"

    def _undo_savepoint(self, native: sqlite3.Connection) -> None:
        self._drain_cursors(native)
        undo_savepoint(native)


def _may_write(steps: Sequence[Step[Any]]) -> bool:
    return any(step.statement.may_write for step in steps)
