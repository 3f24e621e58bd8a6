"""Streams: rows by the million in bounded memory.

An open cursor keeps the write-ahead log from ever being reset, so a stream closes its cursor in every
case: read to the end, left early, cancelled, or dropped without close().
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from types import TracebackType
from typing import Any, Generic, TypeVar

from reelbase.engine.executor import CursorHost, Executor
from reelbase.engine.native.errors import translate
from reelbase.engine.native.watch import StreamFigures
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.statement import Statement
from reelbase.engine.threads.mailbox import notify
from reelbase.errors import DatabaseClosedError

T = TypeVar("T")

_EVERYTHING = 2**31 - 1


class _Cursor:
    """The part of a stream that lives on the connection's thread."""

    def __init__(self, statement: Statement, parameters: Any, batch: int) -> None:
        self._statement = statement
        self._parameters = parameters
        self.batch = batch
        self._cursor: sqlite3.Cursor | None = None
        self._drained: deque[tuple[Any, ...]] | None = None
        self._error: sqlite3.Error | None = None
        self._is_closed = False
        self.read: StreamFigures | None = None

    def fetch(self, native: sqlite3.Connection) -> list[Any]:
        """The next rows; fewer than a batch are the last."""
        if self._is_closed:
            raise DatabaseClosedError(
                "the unit of work or snapshot of this stream has ended", code="stream_closed"
            )
        read = self.read = self.read or StreamFigures()
        began = time.perf_counter()
        try:
            if self._cursor is None:
                self._cursor = native.execute(self._statement.sql, self._parameters)
            rows = self._next_rows(self._cursor)
            read.rows += len(rows)
        except sqlite3.Error as error:
            raise translate(error, self._statement.name, native=native) from error
        finally:
            read.seconds += time.perf_counter() - began
        if not rows:
            return []
        return self._statement.decode(self._cursor.description, rows)

    def _next_rows(self, cursor: sqlite3.Cursor) -> list[tuple[Any, ...]]:
        if self._error is not None:
            raise self._error
        if self._drained is None:
            return cursor.fetchmany(self.batch)
        return [self._drained.popleft() for _ in range(min(self.batch, len(self._drained)))]

    def drain(self, native: sqlite3.Connection) -> None:
        if self._cursor is None or self._is_closed or self._drained is not None:
            return
        self._drained = deque()
        try:
            self._drained.extend(self._cursor)
        except sqlite3.Error as error:
            self._error = error  # the stream's own, not an error of the write that drained it
        finally:
            self._cursor.close()

    def close(self, native: sqlite3.Connection) -> None:
        self._is_closed = True
        self._drained = None
        if self._cursor is not None:
            self._cursor.close()


class RowStream(Generic[T]):
    """Rows of a query, in its order: an async iterator and an async context manager in one.

    All its rows come from one read transaction, which begins with the first row. On a rollback journal
    writers wait for it, so read it without pauses there. In a unit of work, the unit's next write
    fetches the remaining rows into memory.
    """

    def __init__(
        self,
        executor: Executor,
        statement: Statement,
        parameters: Any,
        batch: int,
        where: str,
    ) -> None:
        self._host: CursorHost | None = None
        if batch < 1:
            raise invalid_argument("batch", f"must be 1 or more, not {batch}")
        self._executor = executor
        self._statement = statement
        self._loop = (
            asyncio._get_running_loop()
        )  # None in a function unit, which closes its cursors
        self._cursor = _Cursor(statement, parameters, batch)
        self._batch = batch
        self._where = where
        self._rows: deque[T] = deque()
        self._is_last = False
        self._is_closed = False

    def __aiter__(self) -> RowStream[T]:
        return self

    async def __anext__(self) -> T:
        if not self._rows and not self._is_last:
            await self._fill()
        if not self._rows:
            raise StopAsyncIteration
        return self._rows.popleft()

    async def next_rows(self) -> list[T]:
        """The rows of the next batch that were not yet taken one by one; [] at the end."""
        if not self._rows and not self._is_last:
            await self._fill()
        rows = list(self._rows)
        self._rows.clear()
        return rows

    async def __aenter__(self) -> RowStream[T]:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees the reader. Idempotent; iterating afterwards raises DatabaseClosedError."""
        self._end(None)

    def _end(self, error: BaseException | None) -> None:
        self._is_closed = True
        self._rows.clear()
        self._is_last = False
        host, self._host = self._host, None
        if host is not None:
            _leave(host, self._statement, self._cursor, error)

    async def _fill(self) -> None:
        if self._is_closed:
            raise DatabaseClosedError("the stream was closed", code="stream_closed")
        try:
            if self._host is None:
                self._host = await self._executor.cursor_host(self._cursor, self._where)
                if self._host.is_shared:
                    self._cursor.batch = self._batch = _EVERYTHING
            rows = await self._host.call(self._cursor.fetch)
        except BaseException as error:
            self._end(error)
            raise
        if len(rows) < self._batch:
            self.close()
            self._is_last = True
        self._rows.extend(rows)

    def __del__(self) -> None:
        # Dropped without close(), perhaps on another thread.
        if self._host is not None and self._loop is not None:
            notify(self._loop, _leave, self._host, self._statement, self._cursor, None)


def _leave(
    host: CursorHost, statement: Statement, cursor: _Cursor, error: BaseException | None
) -> None:
    """Frees the reader, and has observers told of the stream."""
    host.release()
    if host.watched is not None and cursor.read is not None:
        host.watched.streamed(statement, cursor.read, error)
