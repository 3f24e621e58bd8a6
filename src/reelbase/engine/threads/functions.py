"""Units of work and snapshots as functions: they run to their end on the connection's thread, in one hop.

A coroutine needs no event loop as long as each of its awaits is answered at once. The unit's calls do that:
they run their statements immediately. So one send() drives the function to its end: in a savepoint of the
writer's next group, which shares one commit, or in a read transaction of a reader.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextvars import copy_context
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

from reelbase.engine.events import UnitOutcome
from reelbase.engine.executor import CursorHost, HeldCursor
from reelbase.engine.native.pragmas import set_pragma
from reelbase.engine.native.run import run, run_all, run_all_or_none
from reelbase.engine.native.transactions import (
    begin_savepoint,
    deferred_transaction,
    end_savepoint,
    undo_savepoint,
)
from reelbase.engine.native.watch import Watch, WatchedUnit
from reelbase.engine.secrets import Secrets
from reelbase.engine.statements.raw import RawStatement
from reelbase.engine.statements.step import RunMany, Step
from reelbase.engine.threads.executors import refuse_writes
from reelbase.engine.threads.transaction import State
from reelbase.engine.threads.worker import watched_by
from reelbase.errors import CommitUncertainError, DatabaseClosedError, DatabaseError

R = TypeVar("R")


class Answer(Generic[R]):
    """An awaitable that has its result already."""

    __slots__ = ("_result",)

    def __init__(self, result: R) -> None:
        self._result = result

    def __await__(self) -> Generator[Any, Any, R]:
        return self._result
        yield


class Escape(Exception):
    """Carries an error of a function that is no Exception (CancelledError, SystemExit …) to the caller: it
    must not end the thread."""

    def __init__(self, raised: BaseException) -> None:
        super().__init__(raised)
        self.raised = raised


class _Savepoint:
    """An open savepoint. callbacks: the number of callbacks that the unit had then."""

    def __init__(self, callbacks: int) -> None:
        self.callbacks = callbacks


class FunctionExecutor:
    """Runs steps immediately, on the connection's thread, and is the transaction of its unit.

    may_write: False refuses statements that write.  is_cancelled: whether the caller has been cancelled.
    """

    commits = False

    def __init__(
        self,
        native: sqlite3.Connection,
        *,
        now: datetime,
        actor: str | None,
        secrets: Secrets | None,
        watch: Watch | None,
        may_write: bool,
        is_cancelled: Callable[[], bool],
    ) -> None:
        self.actor = actor
        self.secrets = secrets
        self.state: State = "open"
        self.was_rolled_back = False
        self._native = native
        self._now = now
        self._watch = watch
        self._may_write = may_write
        self._is_cancelled = is_cancelled
        self._thread = threading.get_ident()
        self._lost: BaseException | None = None
        self.callbacks: list[Callable[[], object]] = []  # for after COMMIT
        self._savepoints: list[_Savepoint] = []
        self._cursors: list[HeldCursor] = []

    # For the calls of the unit.

    def now(self) -> datetime:
        """As of Executor."""
        return self._now

    def run(self, *steps: Step[Any]) -> Answer[list[Any]]:
        """As of Executor."""
        return Answer(self._results_of(steps))

    def run_one(self, step: Step[R]) -> Answer[R]:
        """As of Executor."""
        (result,) = self._results_of((step,))
        return Answer(result)

    async def cursor_host(self, cursor: HeldCursor, where: str) -> CursorHost:
        """As of Executor."""
        self._refuse_if_unusable()
        self._cursors.append(cursor)
        release = partial(self._let_go, cursor)
        return CursorHost(False, self._call, release, watched_by(self._watch))

    async def begin_savepoint(self) -> _Savepoint:
        """As of Transaction."""
        self._refuse_if_unusable()
        begin_savepoint(self._native)
        savepoint = _Savepoint(len(self.callbacks))
        self._savepoints.append(savepoint)
        return savepoint

    async def end_savepoint(self, savepoint: _Savepoint, *, keep: bool) -> None:
        """As of Transaction."""
        if self.state != "open" or not self._native.in_transaction:
            return
        if self._savepoints[-1] is not savepoint:
            raise DatabaseError(
                "savepoints must end in the reverse order of their beginning", code="savepoint"
            )
        self._savepoints.pop()
        if keep:
            end_savepoint(self._native)
        else:
            del self.callbacks[savepoint.callbacks :]
            self._drain_cursors()
            undo_savepoint(self._native)

    def after_commit(self, callback: Callable[[], object]) -> None:
        """As of Transaction."""
        self._refuse_if_unusable()
        self.callbacks.append(partial(copy_context().run, callback))

    async def roll_back(self) -> None:
        """Undoes all writes and ends the unit; the function may go on, and its result is returned."""
        self.was_rolled_back = True
        self.callbacks.clear()
        self.end("rolled_back")

    def _results_of(self, steps: Sequence[Step[Any]]) -> list[Any]:
        self._refuse_if_unusable()
        native, watched = self._native, watched_by(self._watch)
        if not self._may_write:
            refuse_writes(steps)
        is_alone = len(steps) == 1 and _undoes_itself(steps[0])
        changes = native.total_changes
        try:
            if not any(step.statement.may_write for step in steps):
                return run_all(native, steps, watched)
            self._drain_cursors()
            if is_alone:
                return [run(native, steps[0], watched)]
            return run_all_or_none(native, steps, watched)
        except BaseException as error:
            if not native.in_transaction or (is_alone and native.total_changes != changes):
                self._lost = error
            raise

    def _call(self, work: Callable[[sqlite3.Connection], R]) -> Answer[R]:
        self._refuse_if_unusable()
        return Answer(work(self._native))

    def _let_go(self, cursor: HeldCursor) -> None:
        if cursor in self._cursors:
            self._cursors.remove(cursor)
            cursor.close(self._native)

    def _drain_cursors(self) -> None:
        for cursor in tuple(self._cursors):
            cursor.drain(self._native)

    def _refuse_if_unusable(self) -> None:
        if self.state != "open":
            raise DatabaseClosedError(
                "this unit of work ended with its function", code="unit_ended"
            )
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                "the unit of work of a function belongs to the thread that runs the function"
            )
        if self._is_cancelled():
            raise asyncio.CancelledError
        self.refuse_if_lost()

    # For the code that drives the function.

    def refuse_if_lost(self) -> None:
        """Raises DatabaseError when a failed statement has rolled the transaction back, or left changes."""
        if self._lost is not None:
            raise DatabaseError(
                f"this unit of work lost its transaction ({self._lost}); nothing of it is stored",
                code="transaction_lost",
            ) from self._lost

    def end(self, state: State) -> None:
        """Closes the open cursors; later calls are refused."""
        self.state = state
        for cursor in self._cursors:
            cursor.close(self._native)


def _undoes_itself(step: Step[Any]) -> bool:
    """Whether SQLite undoes all of a failed step, so that it needs no savepoint. Raw SQL may contain OR
    FAIL."""
    return not isinstance(step, RunMany) and not isinstance(step.statement, RawStatement)


def in_savepoint(
    executor: FunctionExecutor, native: sqlite3.Connection, drive: Callable[[], Any]
) -> Any:
    """Drives a function inside a transaction; one that fails, or rolls back, undoes only itself."""
    begin_savepoint(native)
    try:
        result = drive()
        executor.refuse_if_lost()
    except BaseException as error:
        executor.end("rolled_back")
        undo_savepoint(native)
        if isinstance(error, Exception):
            raise
        raise Escape(error) from error
    if executor.was_rolled_back:
        executor.end("rolled_back")
        undo_savepoint(native)
    else:
        executor.end("unknown")  # until COMMIT, which a further request of the group may prevent
        end_savepoint(native)
    return result


def in_read_transaction(
    executor: FunctionExecutor, native: sqlite3.Connection, drive: Callable[[], Any]
) -> Any:
    """Drives a function in one read transaction."""
    with deferred_transaction(native), _only_reading(native):
        try:
            return drive()
        except Exception:
            raise
        except BaseException as error:
            raise Escape(error) from error
        finally:
            executor.end("rolled_back")


@contextlib.contextmanager
def _only_reading(native: sqlite3.Connection) -> Iterator[None]:
    """Sets query_only inside the block: for SQL with WITH, only the connection can tell whether it writes.
    A reader has it always; the connection of ":memory:" may write outside the block."""
    (is_reader,) = native.execute("PRAGMA query_only").fetchone()
    if is_reader:
        yield
        return
    set_pragma(native, "query_only", 1)
    try:
        yield
    finally:
        set_pragma(native, "query_only", 0)


async def result_of(future: asyncio.Future[R], watched: WatchedUnit | None, done: UnitOutcome) -> R:
    """The result of a request that drove a function. done: the outcome when it has one, for watched."""
    try:
        result = await future
    except BaseException as error:
        raised = error.raised if isinstance(error, Escape) else error
        if watched is not None:
            watched.ended(_outcome_of(raised, done), raised)
        if raised is error:
            raise
        raise raised from None
    if watched is not None:
        watched.ended(done, None)
    return result


def _outcome_of(error: BaseException, done: UnitOutcome) -> UnitOutcome:
    if done == "read":
        return "read"
    is_known = not isinstance(error, asyncio.CancelledError | CommitUncertainError)
    return "rolled_back" if is_known else "unknown"


def driven(function: Callable[..., Any], unit: object, *arguments: Any, **keywords: Any) -> Any:
    """The result of an async function for a unit that answers calls at once.

    It raises the function's own errors, and TypeError, which names the function, when that awaits anything
    but calls of its unit.
    """
    coroutine = function(unit, *arguments, **keywords)
    if not inspect.iscoroutine(coroutine):
        raise TypeError(f"{name_of(function)} must be an async def function")
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    except RuntimeError as error:
        if str(error) != "no running event loop":
            raise
        raise _awaits_more(function) from error
    coroutine.close()
    raise _awaits_more(function)


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function in errors and logs."""
    inner = function.func if isinstance(function, partial) else function
    return f"{getattr(inner, '__qualname__', repr(inner))}()"


def _awaits_more(function: Callable[..., Any]) -> TypeError:
    return TypeError(
        f"{name_of(function)} awaits something that is no call of its unit, and nothing of it is stored; "
        "use transaction() for work that waits for anything else"
    )
