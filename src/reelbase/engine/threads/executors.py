"""The three executors: of a Database, of a snapshot, of a unit of work."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from reelbase.engine.executor import Cleanup, CursorHost, HeldCursor
from reelbase.engine.native.watch import WatchedCall
from reelbase.engine.secrets import Secrets
from reelbase.engine.statements.step import Step
from reelbase.engine.threads.readers import Readers
from reelbase.engine.threads.transaction import Transaction
from reelbase.engine.threads.writer import Writer
from reelbase.errors import DatabaseClosedError, DatabaseReadOnlyError


class ReadConnection(Protocol):
    """The connection of one snapshot: a borrowed reader, or the only connection of ":memory:"."""

    def submit(self, steps: Sequence[Step[Any]]) -> Awaitable[list[Any]]:
        """Runs steps that only read."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether the connection was given back, or its transaction has ended."""
        ...

    def call(self, work: Callable[[sqlite3.Connection], Any]) -> Awaitable[Any]:
        """Runs work on the connection's thread and returns its result."""
        ...

    def watched(self) -> WatchedCall | None:
        """The watcher of a request that is made now; None: none."""
        ...

    def at_end(self, cleanup: Cleanup) -> None:
        """Has the cleanup run on the thread when the snapshot ends."""
        ...

    def clean_up(self, cleanup: Cleanup) -> None:
        """Runs the cleanup now, instead of at the end."""
        ...


R = TypeVar("R")
Clock = Callable[[], datetime]

_IS_DEVELOPMENT = sys.flags.dev_mode


def read_clock(clock: Clock) -> datetime:
    """The clock's time as it will be stored: UTC, cut to the millisecond. ValueError if it is naive."""
    moment = clock()
    if moment.tzinfo is not UTC:
        if moment.utcoffset() is None:
            raise ValueError("the clock gave a naive datetime; it must be aware")
        moment = moment.astimezone(UTC)
    excess = moment.microsecond % 1000
    return moment.replace(microsecond=moment.microsecond - excess) if excess else moment


class DatabaseExecutor:
    """Each call is a transaction of its own: reads on a reader, writes in the writer's next group."""

    actor: str | None = None
    commits = True

    def __init__(
        self, writer: Writer, readers: Readers | None, clock: Clock, secrets: Secrets | None
    ) -> None:
        self.secrets = secrets
        self._writer = writer
        self._readers = readers  # None: ":memory:", where one connection does everything
        self._clock = clock
        self.loop = asyncio.get_running_loop()
        self.is_closed = False

    def now(self) -> datetime:
        """As of Executor."""
        return read_clock(self._clock)

    def run(self, *steps: Step[Any]) -> Awaitable[list[Any]]:
        """As of Executor."""
        self.refuse_if_unusable()
        if self._readers is not None:
            for step in steps:
                if step.statement.writes:
                    break
            else:
                if _IS_DEVELOPMENT:
                    self._writer.note_read()
                return self._readers.submit(steps)
        return self._writer.submit(steps)

    def run_one(self, step: Step[R]) -> Awaitable[R]:
        """As of Executor."""
        self.refuse_if_unusable()
        if self._readers is None or step.statement.writes:
            return self._writer.submit_one(step)
        if _IS_DEVELOPMENT:
            self._writer.note_read()
        return self._readers.submit_one(step)

    async def cursor_host(self, cursor: HeldCursor, where: str) -> CursorHost:
        """As of Executor."""
        self.refuse_if_unusable()
        if self._readers is None:
            return CursorHost(True, self._writer.call, _nothing, self._writer.watched())
        reader = await self._readers.borrow("stream", where)
        reader.at_end(cursor.close)
        release = partial(self._readers.give_back, reader)
        return CursorHost(False, reader.call, release, reader.watched())

    def refuse_if_unusable(self) -> None:
        """Raises DatabaseClosedError; RuntimeError when called from another event loop."""
        if self.is_closed:
            raise DatabaseClosedError("the database is closed")
        self._writer.refuse_if_closed()
        self.refuse_other_loops()

    def refuse_other_loops(self) -> None:
        """Raises RuntimeError when called from another event loop than the one of connect()."""
        if asyncio.get_running_loop() is not self.loop:
            raise RuntimeError(
                "this Database belongs to another event loop; connect() once per loop. A TestClient runs the "
                "application on a loop of its own: in a test call it on the test's loop, with "
                "httpx.AsyncClient(transport=httpx.ASGITransport(app))"
            )


class SnapshotExecutor:
    """Reads of one read transaction, on a reader of its own."""

    actor: str | None = None
    commits = False

    def __init__(
        self,
        connection: ReadConnection,
        now: datetime,
        secrets: Secrets | None,
    ) -> None:
        self.secrets = secrets
        self._connection = connection
        self._now = now
        self.is_ended = False

    def now(self) -> datetime:
        """As of Executor."""
        return self._now

    async def run(self, *steps: Step[Any]) -> list[Any]:
        """As of Executor."""
        self._refuse_if_ended()
        refuse_writes(steps)
        return await self._connection.submit(steps)

    async def run_one(self, step: Step[R]) -> R:
        """As of Executor."""
        (result,) = await self.run(step)
        return result  # type: ignore[no-any-return]

    async def cursor_host(self, cursor: HeldCursor, where: str) -> CursorHost:
        """As of Executor."""
        self._refuse_if_ended()
        close = cursor.close
        self._connection.at_end(close)
        release = partial(self._connection.clean_up, close)
        return CursorHost(False, self._connection.call, release, self._connection.watched())

    def _refuse_if_ended(self) -> None:
        if self.is_ended:
            raise DatabaseClosedError("this snapshot has ended", code="snapshot_ended")


class UnitExecutor:
    """Statements inside a transaction that holds the writer."""

    commits = False

    def __init__(
        self,
        transaction: Transaction,
        now: datetime,
        actor: str | None,
        secrets: Secrets | None,
    ) -> None:
        self.secrets = secrets
        self._transaction = transaction
        self._now = now
        self.actor = actor

    def now(self) -> datetime:
        """As of Executor."""
        return self._now

    def run(self, *steps: Step[Any]) -> Awaitable[list[Any]]:
        """As of Executor."""
        return self._transaction.submit(steps)

    def run_one(self, step: Step[R]) -> Awaitable[R]:
        """As of Executor."""
        return self._transaction.submit_one(step)

    async def cursor_host(self, cursor: HeldCursor, where: str) -> CursorHost:
        """As of Executor."""
        transaction = self._transaction
        transaction.hold(cursor)
        release = partial(transaction.let_go, cursor)
        return CursorHost(False, transaction.call, release, transaction.watched())


def refuse_writes(steps: Iterable[Step[Any]]) -> None:
    """Raises DatabaseReadOnlyError for the first step that writes."""
    for step in steps:
        if step.statement.writes:
            raise DatabaseReadOnlyError(f"{step.name} writes; a snapshot only reads")


def _nothing() -> None:
    pass
