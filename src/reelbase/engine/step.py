"""Steps: statements with their parameters bound, as they run on a connection's thread."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from reelbase.errors import translate

if TYPE_CHECKING:
    from reelbase.engine.statement import Statement

_sql_log = logging.getLogger("reelbase.sql")

R_co = TypeVar("R_co", covariant=True)

_SLOW_SECONDS = 0.001


class Shape(Enum):
    """What becomes of a statement's rows."""

    ALL = "all"
    OPTIONAL = "optional"
    ONE = "one"
    COUNT = "count"
    MANY = "many"


class Step(Generic[R_co]):
    """A statement with bound parameters and a shape: R_co is what running it returns."""

    __slots__ = ("parameters", "shape", "statement")

    def __init__(self, statement: Statement, shape: Shape, parameters: Any) -> None:
        self.statement = statement
        self.shape = shape
        self.parameters = parameters

    @property
    def may_be_long(self) -> bool:
        """Whether it may take long enough that finished requests must not wait for it."""
        return self.shape is Shape.ALL or self.statement.was_slow

    def work(self, slow_query_seconds: float | None) -> Callable[[sqlite3.Connection], R_co]:
        """run(), as what a connection's thread is given."""
        if slow_query_seconds is None:
            return self.run
        return partial(self.run, slow_query_seconds=slow_query_seconds)

    def run(self, native: sqlite3.Connection, slow_query_seconds: float | None = None) -> R_co:
        """Runs on the connection's thread. Raises DatabaseError, or ValueError for a value SQLite refuses."""
        started = time.perf_counter()
        statement = self.statement
        try:
            if self.shape is Shape.MANY:
                result: Any = self._many(native)
            else:
                result = self._result(native.execute(statement.sql, self.parameters))
        except sqlite3.Error as error:
            raise translate(error, statement.name) from error
        except (UnicodeEncodeError, OverflowError) as error:
            raise statement.unstorable(self.shape, self.parameters) from error
        elapsed_seconds = time.perf_counter() - started
        statement.was_slow = elapsed_seconds > _SLOW_SECONDS
        if slow_query_seconds is not None and elapsed_seconds >= slow_query_seconds:
            # Never the parameters: they may be secrets.
            _sql_log.info(
                "%.1f ms %s: %s", elapsed_seconds * 1000, statement.name, statement.sql.strip()
            )
        return result  # type: ignore[no-any-return]

    def _many(self, native: sqlite3.Connection) -> int:
        """Runs the statement once per row; how many rows it changed in all.

        Bound here, on the thread: thousands of rows must not hold up the event loop.
        """
        statement = self.statement
        rows = map(statement.bind, self.parameters)
        if statement.is_plain_write:
            return max(native.executemany(statement.sql, rows).rowcount, 0)
        # From Python 3.12 on executemany() fails on a statement with RETURNING.
        return sum(self._count(native.execute(statement.sql, row)) for row in rows)

    def _count(self, cursor: sqlite3.Cursor) -> int:
        for _ in cursor:
            pass  # SQLite counts the rows of a RETURNING only as they are read
        return self.statement.count_of(cursor)

    def _result(self, cursor: sqlite3.Cursor) -> Any:
        if self.shape is Shape.COUNT:
            return self._count(cursor)
        statement = self.statement
        if self.shape is Shape.ALL:
            return statement.decode(cursor, cursor.fetchall())
        first = cursor.fetchone()
        if first is None:
            cursor.close()
            if self.shape is Shape.OPTIONAL:
                return None
            raise statement.not_found(self.parameters)
        (record,) = statement.decode(cursor, [first])
        cursor.close()
        return record
