"""Units of work: several calls in one transaction, all or nothing."""

from __future__ import annotations

import asyncio
import inspect
import logging
import warnings
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, TypeVar

from reelbase.catalogue import Catalogue
from reelbase.contexts import AsyncContext
from reelbase.engine.executor import Executor
from reelbase.engine.native.watch import WatchedUnit
from reelbase.engine.secrets import Secrets
from reelbase.engine.statements.raw import RawStatement
from reelbase.engine.statements.step import Step
from reelbase.engine.threads.executors import Clock, UnitExecutor, read_clock
from reelbase.engine.threads.mailbox import notify
from reelbase.engine.threads.transaction import State, Transaction
from reelbase.repositories.audit import AuditedRepository

R = TypeVar("R")

_log = logging.getLogger("reelbase")


class UnitTransaction(Protocol):
    """The transaction of a unit: one that holds the writer, or the one of a function."""

    @property
    def state(self) -> State:
        """As of UnitOfWork."""
        ...

    async def begin_savepoint(self) -> Any:
        """Opens a savepoint and returns it, for end_savepoint()."""
        ...

    async def end_savepoint(self, savepoint: Any, *, keep: bool) -> None:
        """Keeps or undoes the writes since the savepoint."""
        ...

    def after_commit(self, callback: Callable[[], object]) -> None:
        """Has callback called on the loop after COMMIT, in the caller's context."""
        ...

    async def roll_back(self) -> None:
        """Undoes everything."""
        ...


class UnitOfWork(Catalogue):
    """The repositories and raw verbs of a Database, in one transaction.

    It holds the only writer: do slow work (network, files, computing) before or after the block, not inside.
    """

    def __init__(
        self,
        executor: Executor,
        transaction: UnitTransaction,
        context: UnitOfWorkContext | None = None,
    ) -> None:
        super().__init__(executor)
        self._transaction = transaction
        self._context = context  # keeps the context alive as long as the unit

    @property
    def now(self) -> datetime:
        """The time of the unit, which all its writes store."""
        return self._executor.now()

    @property
    def actor(self) -> str | None:
        """The actor that the audit trail names for the unit's writes; None: transaction() was given none."""
        return self._executor.actor

    @property
    def state(self) -> State:
        """ "open", "committed", "rolled_back", or "unknown" after CommitUncertainError; "unknown" also of the
        unit of a function that has returned, because COMMIT comes later.

        It is right even if the exception is not enough: a caller that was cancelled during COMMIT gets
        CancelledError although the state is "committed".
        """
        return self._transaction.state

    async def _run_step(self, statement: RawStatement, step: Step[R]) -> R:
        if self.actor is None:
            return await super()._run_step(statement, step)
        # The audit trail names the actor for the user's own SQL too.
        return await self.repository(AuditedRepository)._run(step)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """``async with unit.savepoint()``: if the block raises, its writes are undone, and the unit goes on.

        Savepoints may be nested. The block belongs to its task and to tasks that are started in it. While
        it is open, a write or savepoint of any further task in the same unit raises DatabaseError (code
        savepoint), because it would be undone with the block.
        """
        savepoint = await self._transaction.begin_savepoint()
        try:
            yield
        except BaseException:
            await self._transaction.end_savepoint(savepoint, keep=False)
            raise
        await self._transaction.end_savepoint(savepoint, keep=True)

    def after_commit(self, callback: Callable[[], object]) -> None:
        """Has callback called on the event loop once the unit is stored, and before the caller goes on.

        It is for effects that follow from a commit and must not happen without it: to wake a worker, to
        remove a file. Callbacks are called in the order in which they were given, unit by unit in the order
        of the commits; also if the caller was cancelled during COMMIT. A callback is not called after a
        rollback, after CommitUncertainError, or if the savepoint in which it was given is undone, nor if the
        process ends first: an effect that must happen in any case belongs into a row, such as a job.

        callback: a plain callable without arguments, in whose context this call is made. An error that it
        raises goes to the loop's exception handler, and the further ones are called. TypeError for an async
        function: start a task in the callback instead.
        """
        if not callable(callback) or inspect.iscoroutinefunction(callback):
            raise TypeError(f"callback must be a plain callable, not async: {callback!r}")
        self._transaction.after_commit(callback)

    async def rollback(self) -> None:
        """Undoes all writes and ends the unit: later calls on it raise DatabaseClosedError (code unit_ended).
        Leaving the block then raises nothing."""
        await self._transaction.roll_back()


class UnitOfWorkContext(AsyncContext):
    """The context manager that database.transaction() returns: BEGIN IMMEDIATE, then COMMIT, or ROLLBACK
    when the block raises. It can be entered once.
    """

    entered_with = "async with database.transaction() as unit:"

    def __init__(
        self,
        transaction: Transaction,
        clock: Clock,
        *,
        actor: str | None,
        secrets: Secrets | None,
        slow_transaction_seconds: float,
        watched: WatchedUnit | None,
    ) -> None:
        """watched: times the unit and tells the observers of its end; None: there are none."""
        self._transaction = transaction
        self._clock = clock
        self._actor = actor
        self._secrets = secrets
        self._slow_transaction_seconds = slow_transaction_seconds
        self._watched = watched
        self._loop = asyncio.get_running_loop()
        self._is_inside = False
        self._warning: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> UnitOfWork:
        try:
            return await self._begin()
        except BaseException as error:
            self._tell(error)
            raise

    async def _begin(self) -> UnitOfWork:
        await self._transaction.begin()
        try:
            now = read_clock(self._clock)
            executor = UnitExecutor(self._transaction, now, self._actor, self._secrets)
            unit = UnitOfWork(executor, self._transaction, self)
        except BaseException:
            await self._transaction.roll_back()
            raise
        self._is_inside = True
        if self._watched is not None:
            self._watched.began()
        self._warning = self._loop.call_later(
            self._slow_transaction_seconds, _warn, weakref.ref[UnitOfWorkContext](self)
        )
        return unit

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_inside = False
        if self._warning is not None:
            self._warning.cancel()
        error = exc
        try:
            if exc is not None or self._transaction.was_rolled_back:
                await self._transaction.roll_back()
            else:
                await self._transaction.commit()
        except BaseException as failure:
            error = failure
            raise
        finally:
            self._tell(error)
            del error  # else its traceback, which has this frame, would keep itself alive

    def _tell(self, error: BaseException | None) -> None:
        watched, self._watched = self._watched, None
        if watched is not None:
            state = self._transaction.state
            watched.ended("unknown" if state == "open" else state, error)

    def __del__(self) -> None:
        # Entered by hand and never left: all later writes would wait for it until close().
        transaction = self._transaction
        if self._is_inside and transaction.state == "open" and not transaction.is_inherited:
            notify(self._loop, self._transaction.abandon)
            warnings.warn(
                f"unclosed: {self._transaction}; it is rolled back",
                ResourceWarning,
                source=self,
                stacklevel=1,
            )

    def warn(self) -> None:
        """Logs that the unit has held the writer for too long."""
        if self._transaction.state != "open":
            return  # rolled back inside its block, or by close(): no write waits for it
        _log.warning(
            "a unit of work has held the database for more than %g s; it was opened at %s. "
            "All other writes wait for it: do slow work outside of it",
            self._slow_transaction_seconds,
            self._transaction.where,
        )


def _warn(reference: weakref.ref[UnitOfWorkContext]) -> None:
    context = reference()
    if context is not None:
        context.warn()
