"""Steps: statements with their parameters bound, as they run on a connection's thread."""

from __future__ import annotations

import logging
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import msgspec

from reelbase.engine.native.errors import translate
from reelbase.engine.native.foreign_keys import BrokenReference, broken_reference
from reelbase.errors import DatabaseError

if TYPE_CHECKING:
    from reelbase.engine.statements.statement import Statement

_sql_log = logging.getLogger("reelbase.sql")

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

_SLOW_SECONDS = 0.001
_WHITE_SPACE = re.compile(r"\s+")


def in_one_line(sql: str) -> str:
    """SQL for a log or an error: every run of white space is one blank."""
    return _WHITE_SPACE.sub(" ", sql.strip())


class Step(msgspec.Struct, Generic[R_co], eq=False):
    """A statement with bound parameters: R_co is what running it returns. The kinds of step below differ
    in what becomes of the rows.

    caller: the public method that runs it, ``FileRepository.update``; '' of SQL that is no repository's.
    """

    statement: Statement
    parameters: Any
    caller: str = ""

    reads_all: ClassVar[bool] = False  # its time grows with its rows

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"  # parameters may be secrets

    @property
    def name(self) -> str:
        """Who speaks in errors and in the log of slow statements."""
        return self.caller or self.statement.name

    @property
    def may_be_long(self) -> bool:
        """Whether it may take long enough that finished requests must not wait for it."""
        return self.reads_all or self.statement.was_slow

    def work(self, slow_query_seconds: float | None) -> Callable[[sqlite3.Connection], R_co]:
        """run(), as what a connection's thread is given."""
        if slow_query_seconds is None:
            return self.run
        # In the caller's context: a request id that its log records carry is on the slow line, too.
        context, run = copy_context(), partial(self.run, slow_query_seconds=slow_query_seconds)
        return lambda native: context.run(run, native)

    def run(self, native: sqlite3.Connection, slow_query_seconds: float | None = None) -> R_co:
        """Runs on the connection's thread. Raises DatabaseError, or ValueError for a value SQLite refuses."""
        started = time.perf_counter()
        statement = self.statement
        try:
            result: R_co = self._result(native)
        except sqlite3.Error as error:
            broken = self._broken(native, error)
            raise translate(error, self.name, broken, native=native) from error
        except (UnicodeEncodeError, OverflowError) as error:
            raise statement.unstorable(self._all_parameters()) from error
        elapsed_seconds = time.perf_counter() - started
        statement.was_slow = elapsed_seconds > _SLOW_SECONDS
        if slow_query_seconds is not None and elapsed_seconds >= slow_query_seconds:
            # Never the parameters: they may be secrets.
            _sql_log.info(
                "%.1f ms %s: %s", elapsed_seconds * 1000, self.name, in_one_line(statement.sql)
            )
        return result

    def _broken(self, native: sqlite3.Connection, error: sqlite3.Error) -> BrokenReference | None:
        if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
            return None
        for parameters in self._bound_rows():
            broken = broken_reference(native, self.statement.sql, parameters)
            if broken is not None:
                return broken
        return None

    def _bound_rows(self) -> Iterable[Any]:
        return (self.parameters,)

    def _result(self, native: sqlite3.Connection) -> Any:
        raise NotImplementedError

    def _all_parameters(self) -> Sequence[Any]:
        return (self.parameters,)


# Cursors are closed whatever happens. One whose rows go on, or whose text is no UTF-8, would stay open
# for as long as somebody holds the error: it would pin the log and keep transactions from ending.


class FetchAll(Step[list[T]]):
    """Every row."""

    reads_all = True

    def _result(self, native: sqlite3.Connection) -> list[T]:
        cursor = native.execute(self.statement.sql, self.parameters)
        try:
            rows = cursor.fetchall()
        finally:
            cursor.close()
        return self.statement.decode(cursor, rows)


class FetchOptional(Step[R_co]):
    """The first row, or None."""

    def _result(self, native: sqlite3.Connection) -> Any:
        cursor = native.execute(self.statement.sql, self.parameters)
        try:
            row = cursor.fetchone()
        finally:
            cursor.close()
        if row is None:
            return self._missing()
        return self.statement.decode_one(cursor, row)

    def _missing(self) -> Any:
        return None


class FetchOne(FetchOptional[R_co]):
    """The first row; RecordNotFoundError when there is none."""

    def _missing(self) -> Any:
        raise self.statement.not_found(self.parameters)


class InsertOne(FetchOne[R_co]):
    """The new row, which is the one that was bound."""

    def _result(self, native: sqlite3.Connection) -> Any:
        cursor = native.execute(self.statement.sql, self.parameters)
        if cursor.rowcount == 0:  # ignored by a trigger that the user made
            return self._missing()
        return self.statement.decode_one(cursor, tuple(self.parameters.values()))


class Count(Step[int]):
    """How many rows the statement changed."""

    def _result(self, native: sqlite3.Connection) -> int:
        before = native.total_changes
        cursor = native.execute(self.statement.sql, self.parameters)
        try:
            for _ in cursor:
                pass  # SQLite counts the rows of a RETURNING only as they are read
        finally:
            cursor.close()
        return self.statement.count_of(cursor) if native.total_changes != before else 0


class RunMany(Step[int]):
    """The statement once per row of parameters, which are not bound yet; how many rows it changed in all.

    place: which row is bound, from 0.
    """

    place: int = 0

    def run(self, native: sqlite3.Connection, slow_query_seconds: float | None = None) -> int:
        """Like Step.run(); an error says which row it was."""
        try:
            return super().run(native, slow_query_seconds)
        except (DatabaseError, TypeError, ValueError) as error:
            if len(self.parameters) > 1:
                _name_place(error, self.place)
            raise

    def _bound(self) -> Iterator[Any]:
        for place, parameters in enumerate(self.parameters):
            self.place = place
            yield self.statement.bind(parameters)

    def _result(self, native: sqlite3.Connection) -> int:
        """Bound here, on the thread: thousands of rows must not hold up the event loop."""
        statement = self.statement
        rows = self._bound()
        if statement.is_plain_write:
            return max(native.executemany(statement.sql, rows).rowcount, 0)
        # From Python 3.12 on executemany() fails on a statement with RETURNING.
        return sum(Count(statement, row)._result(native) for row in rows)

    def _all_parameters(self) -> Sequence[Any]:
        return self.parameters  # type: ignore[no-any-return]

    def _bound_rows(self) -> Iterable[Any]:
        return map(self.statement.bind, self.parameters)


def _name_place(error: Exception, place: int) -> None:
    """Says which of many was refused."""
    error.args = (f"{error} (number {place} of the list, counted from 0)", *error.args[1:])
    if isinstance(error, DatabaseError):
        error.details["index"] = place
