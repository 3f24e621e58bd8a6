"""Snapshots: many reads in one read transaction."""

from __future__ import annotations

import asyncio
import sqlite3
import warnings
from types import TracebackType
from typing import TYPE_CHECKING

from reelbase.catalogue import Catalogue
from reelbase.contexts import AsyncContext
from reelbase.engine.executor import Executor
from reelbase.engine.native.pragmas import set_pragma
from reelbase.engine.native.transactions import take_snapshot
from reelbase.engine.native.watch import WatchedUnit
from reelbase.engine.secrets import Secrets
from reelbase.engine.threads.executors import Clock, SnapshotExecutor, read_clock
from reelbase.engine.threads.mailbox import notify
from reelbase.engine.threads.readers import Reader, Readers
from reelbase.engine.threads.transaction import Transaction
from reelbase.engine.threads.writer import Writer
from reelbase.errors import DatabaseError

if TYPE_CHECKING:
    from reelbase.views import ReadingCatalogue
else:
    ReadingCatalogue = Catalogue


class Snapshot(ReadingCatalogue):
    """The repositories and raw verbs of a Database, reading only: all reads see the same moment.

    Writes raise DatabaseReadOnlyError, and are errors to a type checker.
    """

    def __init__(self, executor: Executor, context: SnapshotContext | None = None) -> None:
        super().__init__(executor)
        self._context = context  # keeps the context alive as long as the snapshot


def _pin(native: sqlite3.Connection) -> None:
    """Begins the read transaction. BEGIN alone takes no snapshot yet; the first read does."""
    native.execute("BEGIN")
    take_snapshot(native)


def _refuse_writes(native: sqlite3.Connection) -> None:
    """Sets query_only, as on a reader: for SQL with WITH, only the connection can tell whether it writes."""
    set_pragma(native, "query_only", 1)


def _allow_writes(native: sqlite3.Connection) -> None:
    set_pragma(native, "query_only", 0)


class SnapshotContext(AsyncContext):
    """The context manager that database.snapshot() returns: a read transaction on a reader of its own. It
    can be entered once."""

    entered_with = "async with database.snapshot() as view:"

    def __init__(
        self,
        writer: Writer,
        readers: Readers | None,
        clock: Clock,
        secrets: Secrets | None,
        *,
        where: str,
        watched: WatchedUnit | None,
    ) -> None:
        """watched: times the snapshot and tells the observers of its end; None: there are none."""
        self._writer = writer
        self._readers = readers
        self._clock = clock
        self._secrets = secrets
        self._where = where
        self._watched = watched
        self._loop = asyncio.get_running_loop()
        self._was_entered = False
        self._connection: Reader | Transaction | None = None
        self._executor: SnapshotExecutor | None = None

    async def __aenter__(self) -> Snapshot:
        if self._was_entered:
            raise DatabaseError(
                "this snapshot() was entered before; call it for each block", code="entered_twice"
            )
        self._was_entered = True
        now = read_clock(self._clock)
        if self._readers is None:
            # ":memory:" has one connection: the snapshot holds it, and writers wait.
            transaction = Transaction(self._writer, "BEGIN", self._where)
            await transaction.begin()
            transaction.at_end(_allow_writes)
            try:
                await transaction.call(_refuse_writes)
            except BaseException:
                await transaction.roll_back()
                raise
            self._connection = transaction
        else:
            reader = await self._readers.borrow("snapshot", self._where)
            self._connection = reader
            try:
                await reader.call(_pin)
            except BaseException:
                self._connection = None
                self._readers.give_back(reader)
                raise
        if self._watched is not None:
            self._watched.began()
        self._executor = SnapshotExecutor(self._connection, now, self._secrets)
        return Snapshot(self._executor, self)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._executor is not None:
            self._executor.is_ended = True
        connection, self._connection = self._connection, None
        if isinstance(connection, Transaction):
            await connection.roll_back()
        elif connection is not None and self._readers is not None:
            self._readers.give_back(connection)
        if self._watched is not None:
            self._watched.ended("read", exc)

    def __del__(self) -> None:
        # Entered by hand and never left: its read transaction would keep the log from being emptied.
        connection = self._connection
        if connection is None or connection.has_ended or self._writer.connection.inherited:
            return
        if isinstance(connection, Transaction):
            notify(self._loop, connection.abandon)
        elif self._readers is not None:
            notify(self._loop, self._readers.give_back, connection)
        warnings.warn(
            f"unclosed: the snapshot that was opened at {self._where}",
            ResourceWarning,
            source=self,
            stacklevel=1,
        )
