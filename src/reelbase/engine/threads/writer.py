"""The one connection that writes: first come, first served, and many commits in one.

Writes that wait together share a transaction. Each request is isolated from its neighbours: a single
statement by SQLite itself, several by a savepoint. When a failed request leaves changes behind, the group
is rolled back, and its earlier requests run again, each in a transaction of its own. Each future is
resolved only after the COMMIT. A unit of work takes its turn in the same queue and keeps the connection
until it ends.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from reelbase.engine.file.commit import commit, commit_error
from reelbase.engine.file.journal import Synchronous
from reelbase.engine.file.open_files import Loss, file_of
from reelbase.engine.file.refusals import explained_on
from reelbase.engine.native.errors import result_code, translate
from reelbase.engine.native.pragmas import set_pragma
from reelbase.engine.native.run import run, run_all, run_all_or_none
from reelbase.engine.native.transactions import forget_deferral, roll_back
from reelbase.engine.native.watch import Watch
from reelbase.engine.statements.statement import Statement
from reelbase.engine.statements.step import CatchUp, Step
from reelbase.engine.threads.connection import Connection
from reelbase.engine.threads.mailbox import Mailbox, Settled, call_back, settle
from reelbase.engine.threads.queue import WaitingWorker
from reelbase.engine.threads.transaction import Transaction
from reelbase.engine.threads.worker import Request
from reelbase.errors import (
    DatabaseClosedError,
    DatabaseCorruptError,
    DatabaseError,
    DatabaseIOError,
    DatabaseReadOnlyError,
)

R = TypeVar("R")

_log = logging.getLogger("reelbase")

# A group is bounded so that other processes get the lock too.
_GROUP_COUNT = 256
_GROUP_SECONDS = 0.02

# Values of PRAGMA synchronous (sqlite.org/pragma.html#pragma_synchronous).
_LEVELS: dict[Synchronous, int] = {"normal": 1, "full": 2, "extra": 3}


class _FunctionRequest(Request, kw_only=True):
    """Work in a savepoint of its own. callbacks: the functions to call after COMMIT."""

    callbacks: Sequence[Callable[[], object]]

    @property
    def undoes_itself(self) -> bool:
        """As of Request."""
        return True


class _OutsideRequest(Request):
    """Work that runs outside a transaction: it begins one itself, or cannot run in one (VACUUM)."""


class _TransactionRequest(_OutsideRequest, kw_only=True):
    """Asks for exclusive use of the writer."""

    transaction: Transaction


class Writer(WaitingWorker):
    """The only connection that writes: requests in groups that share a commit, units of work one by one."""

    def __init__(
        self,
        connection: Connection,
        mailbox: Mailbox,
        *,
        synchronous: Synchronous,
        relaxed_synchronous: Synchronous,
        busy_timeout_seconds: float,
        watch: Watch | None,
        read_only_path: str | None = None,
    ) -> None:
        """read_only_path: the path of a database that was opened read-only; None: writes are allowed."""
        super().__init__(connection, mailbox, watch, busy_timeout_seconds)
        self._read_only_path = read_only_path
        self.lost_file: Loss | None = None
        self._file = file_of(connection.native)
        self._data_level = _LEVELS[synchronous]
        self._relaxed_level = _LEVELS[relaxed_synchronous]
        self._level = 0  # PRAGMA synchronous as it is now; unknown at first
        self._transaction: Transaction | None = None  # the one that holds the connection
        self._noted: Transaction | None = None  # the last one that note_read() has logged
        self._is_closing = False
        self.commits = 0
        # On the thread: whether the request that runs is the first of its transaction; whether statements
        # that bring an index up to date run once for the group, and those that its requests have asked for.
        self._is_first = False
        self._defers = False
        self._behind: dict[Statement, CatchUp] = {}

    # On the event loop.

    def submit(self, steps: Sequence[Step[Any]]) -> asyncio.Future[list[Any]]:
        """Runs steps as one durable transaction of their own; resolved after the COMMIT."""
        is_relaxed = all(step.statement.relaxed or not step.statement.writes for step in steps)
        return self._enqueue(
            Request(self.new_reply(), steps, is_relaxed=is_relaxed, watched=self.watched())
        )

    def submit_one(self, step: Step[R]) -> asyncio.Future[R]:
        """Runs a step as a durable transaction of its own; resolved after the COMMIT."""
        is_relaxed = step.statement.relaxed
        return self._enqueue(
            Request(self.new_reply(), (step,), True, is_relaxed=is_relaxed, watched=self.watched())
        )

    def call(self, work: Callable[[sqlite3.Connection], Any]) -> asyncio.Future[Any]:
        """Runs work like a step. It must not end the transaction."""
        return self._enqueue(Request(self.new_reply(), call=work))

    def submit_function(
        self,
        work: Callable[[sqlite3.Connection, Callable[[], bool]], R],
        callbacks: Sequence[Callable[[], object]],
    ) -> asyncio.Future[R]:
        """Runs work, which undoes itself when it fails, as a durable transaction of its own. It may be run
        again: a request of its group may fail in a way that undoes the whole group.

        callbacks: filled by work; they are called on the loop after COMMIT.
        """
        reply = self.new_reply()
        return self._enqueue(
            _FunctionRequest(
                reply, call=lambda native: work(native, reply.cancelled), callbacks=callbacks
            )
        )

    def call_outside(self, work: Callable[[sqlite3.Connection], Any]) -> asyncio.Future[Any]:
        """Runs work in its turn, outside a transaction (VACUUM, checkpoints). It must leave none open."""
        return self._enqueue(_OutsideRequest(self.new_reply(), call=work))

    def enqueue_transaction(self, transaction: Transaction) -> asyncio.Future[None]:
        """Queues a transaction; the future is done when the transaction holds the writer."""
        if self._is_closing:
            raise DatabaseClosedError("the database is closed")
        return self._enqueue(_TransactionRequest(self.new_reply(), transaction=transaction))

    async def close(self) -> None:
        """Rolls back the transaction that holds the connection, fails the transactions that wait for it,
        and returns when all other queued requests have run."""
        self._is_closing = True
        for request in self._waiting():
            if isinstance(request, _TransactionRequest) and self._remove(request):
                closed = DatabaseClosedError("the database is closed")
                settle([(request.future, None, closed)])
        # _is_closing was set before this look, and the thread reads it after it took a transaction: so
        # either this line or the thread abandons the transaction.
        if self._transaction is not None:
            self._transaction.abandon()
        await self.connection.call(lambda: None)  # behind all work that the thread was woken for
        self.is_closed = True
        self._stop_limiting()

    @property
    def is_read_only(self) -> bool:
        """Whether the database was opened read-only, and every write is refused."""
        return self._read_only_path is not None

    def _enqueue(self, request: Request) -> asyncio.Future[Any]:
        self.refuse_if_closed()
        if self._read_only_path is not None:
            raise DatabaseReadOnlyError(
                f"{self._read_only_path} was opened read-only, and nothing was written; connect() "
                "without read_only=True to write"
            )
        if self.lost_file is not None:
            raise self.lost_file.error()
        self._refuse_inside()
        is_first = not self.is_awake and self._transaction is None
        self.inbox.append(request)
        if self._transaction is None:  # else its end looks at the queue
            self.wake()
        if not is_first:
            self._limit_waiting()
        return request.future

    def _refuse_inside(self) -> None:
        """Raises for a call by the owner of the unit that holds the connection: it would wait for itself."""
        holder = self._transaction
        if holder is not None and holder.is_of_this_caller():
            raise DatabaseError(
                f"this call through the Database would wait for {holder}, in which it is made; "
                "make it on that one",
                code="inside_unit",
                details={"opened_at": holder.where},
            )

    def note_read(self) -> None:
        """Logs a read through the Database by the owner of a unit that has written: it misses the writes."""
        holder = self._transaction
        if holder is None or holder is self._noted or not holder.is_of_this_caller():
            return
        if holder.has_written:
            self._noted = holder
            _log.warning(
                "a read through the Database inside %s does not see what the unit has written; "
                "make it on the unit",
                holder,
            )

    def _holder(self) -> str:
        return "another process" if self._transaction is None else str(self._transaction)

    # On the connection's thread.

    def _has_work(self) -> bool:
        transaction = self._transaction
        return bool(self.inbox) if transaction is None else bool(transaction.inbox)

    def _run_waiting(self, native: sqlite3.Connection) -> None:
        while True:
            self.connection.give_way()
            if self._transaction is not None:
                if not self._continue_transaction(native, self._transaction):
                    return
                continue
            try:
                request = self.inbox.popleft()
            except IndexError:
                return
            if isinstance(request, _TransactionRequest):
                self._in_hand = [request]
                self._begin_transaction(native, request)
            elif request.future.cancelled():
                continue
            elif isinstance(request, _OutsideRequest):
                self._run_outside(native, request)
            else:
                self._run_group(native, request)

    def _abandon(self, native: sqlite3.Connection) -> None:
        if self._transaction is None:
            super()._abandon(native)

    def _begin_transaction(self, native: sqlite3.Connection, request: _TransactionRequest) -> None:
        transaction = request.transaction
        try:
            self._begin(native, transaction.begin_sql, self._data_level)
        except DatabaseError as error:
            self._settle((request.future, None, error))
        else:
            self._stuck_since = time.monotonic()  # until it ends
            transaction.began = True
            self._transaction = transaction
            if self._is_closing:
                transaction.abandon()
            self._settle((request.future, None, None))
            self.calls += 1
        self._report()

    def _continue_transaction(self, native: sqlite3.Connection, transaction: Transaction) -> bool:
        """Runs the transaction's queued requests. False when it is still open and its queue is empty."""
        while transaction.began:
            try:
                request = transaction.inbox.popleft()
            except IndexError:
                return False
            self._in_hand = [request]
            self._run(native, request)
            if transaction.began and not transaction.inbox:
                self._report()
        self._stuck_since = None
        self._transaction = None
        self._report()
        return True

    def _run_steps(self, native: sqlite3.Connection, request: Request) -> Any:
        if self._transaction is not None:
            return self._transaction.run_steps(native, request)
        if request.is_one:
            return run(native, request.steps[0], request.watched)
        # A savepoint costs a copy of each page that is written behind it. The first request of a transaction
        # needs none: when it fails, the transaction is rolled back.
        run_steps = run_all if self._is_first else run_all_or_none
        if not (self._defers and _catches_up(request)):
            return run_steps(native, request.steps, request.watched)
        now = [step for step in request.steps if not isinstance(step, CatchUp)]
        results = iter(run_steps(native, now, request.watched))
        for step in request.steps:
            if isinstance(step, CatchUp):
                self._behind[step.statement] = step
        return [0 if isinstance(step, CatchUp) else next(results) for step in request.steps]

    def _catch_up(self, native: sqlite3.Connection) -> bool:
        """Brings the indexes up to date with the rows of the group. False when that failed."""
        behind, self._behind = self._behind, {}
        try:
            run_all(native, tuple(behind.values()), self.watched())
        except (DatabaseError, sqlite3.Error):
            return False
        return True

    def _run_outside(self, native: sqlite3.Connection, request: Request) -> None:
        self._in_hand, self._is_first = [request], False
        self._set_level(native, self._data_level)
        self._run(native, request)
        self._report()

    def _run_group(self, native: sqlite3.Connection, first: Request) -> None:
        """Runs a request, and the requests that wait behind it, in one transaction."""
        self._in_hand = group = [first]
        group_until = time.monotonic() + _GROUP_SECONDS
        results: list[Settled] = []
        level = self._level_of_group(first)
        try:
            self._begin(native, "BEGIN IMMEDIATE", level)
        except DatabaseError as error:
            self._settle((first.future, None, error))
            self._report()
            return
        self._defers, self._behind = True, {}
        while True:
            request, changes = group[-1], native.total_changes
            # A request of another kind may look at the indexes.
            if self._behind and not _catches_up(request) and not self._catch_up(native):
                roll_back(native)
                self._run_alone(native, group)
                return
            self._is_first = not results
            settled = self._run_request(native, request) or _cancelled(request)
            results.append(settled)
            if (
                not native.in_transaction
                or isinstance(settled[2], DatabaseCorruptError)
                or (settled[2] and native.total_changes != changes and not self._is_undone(request))
            ):
                # The statement made SQLite roll back the whole group (disk full, a trigger's
                # RAISE(ROLLBACK)), or left changes behind when it failed (OR FAIL, a row that
                # does not fit; a damaged search index, which then refuses the COMMIT; steps without a
                # savepoint): the earlier requests of the group are innocent and get a transaction each.
                roll_back(native)
                del group[-1]
                self._settle(settled)
                self._run_alone(native, group)
                return
            if len(group) >= _GROUP_COUNT or time.monotonic() >= group_until:
                break
            following = self._next_of_group(level)
            if following is None:
                break
            group.append(following)
        if self._behind and not self._catch_up(native):
            roll_back(native)
            self._run_alone(native, group)
            return
        failure = commit(native)
        if failure is not None:
            self._commit_failed(native, group, results, failure)
            return
        self._committed(group)
        self._settled += results
        self._report()

    def _is_undone(self, request: Request) -> bool:
        """Whether the request undoes itself when it fails."""
        has_savepoint = request.call is not None or not self._is_first
        return request.undoes_itself and has_savepoint

    def _level_of_group(self, first: Request) -> int:
        if first.is_relaxed:
            behind = self._waiting()[:_GROUP_COUNT]
            if all(request.is_relaxed for request in behind):
                return self._relaxed_level
        return self._data_level

    def _next_of_group(self, level: int) -> Request | None:
        while True:
            try:
                request = self.inbox.popleft()
            except IndexError:
                return None
            if request.future.cancelled():
                continue
            if isinstance(request, _OutsideRequest) or (
                # Came in since BEGIN, and synchronous cannot change inside a transaction.
                not request.is_relaxed and level != self._data_level
            ):
                self.inbox.appendleft(request)
                return None
            return request

    def _run_alone(self, native: sqlite3.Connection, group: list[Request]) -> None:
        self._defers, self._is_first = False, True
        for request in group:
            try:
                self._begin(native, "BEGIN IMMEDIATE", self._data_level)
            except DatabaseError as error:
                self._settle((request.future, None, error))
                continue
            settled = self._run_request(native, request) or _cancelled(request)
            if settled[2]:
                roll_back(native)
            elif native.in_transaction and (failure := commit(native)) is not None:
                settled = (request.future, None, commit_error(failure, "commit"))
            else:
                self._committed([request])
            self._settle(settled)
        self._report()

    def _commit_failed(
        self,
        native: sqlite3.Connection,
        group: list[Request],
        results: list[Settled],
        failure: sqlite3.Error | DatabaseIOError,
    ) -> None:
        if len(group) > 1 and result_code(failure) == sqlite3.SQLITE_CONSTRAINT:
            # A deferred foreign key is checked at COMMIT, which does not say whose write broke it.
            self._run_alone(native, group)
            return
        for future, _, own_error in results:
            self._settle((future, None, own_error or commit_error(failure, "commit")))
        self._report()

    def _committed(self, committed: Sequence[Request]) -> None:
        self.commits += 1
        for request in committed:
            if isinstance(request, _FunctionRequest):
                call_back(self._loop, request.callbacks)

    def _begin(self, native: sqlite3.Connection, begin_sql: str, level: int) -> None:
        if self._stuck_since is None:
            self._stuck_since = time.monotonic()
        try:
            self._set_level(native, level)
            forget_deferral(native)
            file = self._file
            if file is not None and file.locks is not None and file.locks.is_log_deleted():
                file.refuse_lost_log()
            if file is None or file.turnstile is None:
                native.execute(begin_sql)
            else:  # of a file, where no other transaction is begun here
                file.turnstile.begin(native, self.busy_timeout_seconds)
            if file is not None and file.locks is not None:
                file.locks.watch()
        except sqlite3.Error as error:
            translated = translate(error, "waiting for the write lock")
            raise explained_on(native, translated) from error
        self._stuck_since = None

    def _set_level(self, native: sqlite3.Connection, level: int) -> None:
        if level != self._level:
            set_pragma(native, "synchronous", level)
            self._level = level


def _catches_up(request: Request) -> bool:
    return any(isinstance(step, CatchUp) for step in request.steps)


def _cancelled(request: Request) -> Settled:
    """The outcome of a request that was cancelled before it began: its future is done."""
    return request.future, None, None
