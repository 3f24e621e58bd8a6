"""The only code that executes statements: each kind of step, on the connection's thread."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from reelbase.engine.native.errors import translate
from reelbase.engine.native.foreign_keys import BrokenReference, broken_reference
from reelbase.engine.native.transactions import (
    begin_savepoint,
    end_savepoint,
    note_deferral,
    undo_savepoint,
)
from reelbase.engine.native.watch import WatchedCall
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.step import (
    CatchUp,
    Count,
    FetchAll,
    FetchOne,
    FetchOptional,
    FetchPage,
    InsertOne,
    RunMany,
    Step,
)
from reelbase.errors import DatabaseError

R = TypeVar("R")

_SLOW_SECONDS = 0.001


def run(native: sqlite3.Connection, step: Step[R], watched: WatchedCall | None = None) -> R:
    """Runs a step and returns its result.

    Args:
        native: the connection.
        step: the statement and its parameters.
        watched: the watcher of the call that the statement is part of; None: none.

    Raises:
        DatabaseError: SQLite refused the statement.
        InvalidArgumentError: SQLite cannot store a value; with many rows the text names the row's position.
    """
    started = time.perf_counter()
    statement = step.statement
    try:
        result: R = _run(native, step)
    except (DatabaseError, TypeError, ValueError) as error:
        if isinstance(step, RunMany) and len(step.parameters) > 1:
            _name_place(error, step.place)
        if watched is not None:
            watched.failed(step, started, error)
        raise
    if statement.defers_references:
        note_deferral(native)
    seconds = time.perf_counter() - started
    statement.was_slow = seconds > _SLOW_SECONDS
    if watched is not None:
        watched.ended(native, step, started, seconds, result)
    return result


def _run(native: sqlite3.Connection, step: Step[Any]) -> Any:
    try:
        return _KINDS[type(step)](native, step)
    except sqlite3.Error as error:
        raise translate(error, step.name, _broken(native, step, error), native=native) from error
    except (UnicodeEncodeError, OverflowError) as error:
        rows = step.parameters if isinstance(step, RunMany) else (step.parameters,)
        raise step.statement.unstorable(rows) from error


def _broken(
    native: sqlite3.Connection, step: Step[Any], error: sqlite3.Error
) -> BrokenReference | None:
    if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return None
    rows: Iterable[Any] = (step.parameters,)
    if isinstance(step, RunMany):
        rows = map(step.statement.bind, step.parameters)
    found = (broken_reference(native, step.statement.sql, parameters) for parameters in rows)
    return next((broken for broken in found if broken is not None), None)


def _name_place(error: Exception, place: int) -> None:
    """Adds the position of the refused row to the error."""
    error.args = (f"{error} (number {place} of the list, counted from 0)", *error.args[1:])
    if isinstance(error, DatabaseError):
        error.details["index"] = place


def run_all(
    native: sqlite3.Connection, steps: Sequence[Step[Any]], watched: WatchedCall | None = None
) -> list[Any]:
    """The results of the steps, in order; inside a transaction that the caller ends."""
    return [run(native, step, watched) for step in steps]


def run_all_or_none(
    native: sqlite3.Connection, steps: Sequence[Step[Any]], watched: WatchedCall | None = None
) -> list[Any]:
    """As run_all(), in a savepoint: when a step fails, all steps are undone; the transaction goes on."""
    begin_savepoint(native)
    try:
        results = run_all(native, steps, watched)
    except BaseException:
        undo_savepoint(native)
        raise
    end_savepoint(native)
    return results


# Cursors are closed in any case. A cursor with further rows, or with a text that is not UTF-8, would stay
# open for as long as the error is referred to: it would pin the log and keep transactions from ending.


def _fetch_all(native: sqlite3.Connection, step: Step[Any]) -> list[Any]:
    return step.statement.decode(*_read_all(native, step))


def _fetch_page(native: sqlite3.Connection, step: FetchPage[Any]) -> Page[Any]:
    description, rows = _read_all(native, step)
    records = step.statement.decode(description, rows[: step.limit])
    is_last = not records or len(records) == len(rows)
    return Page(records, next=None if is_last else step.keyset.token_of(records[-1], step.listing))


def _read_all(native: sqlite3.Connection, step: Step[Any]) -> tuple[Any, list[Any]]:
    """The cursor's description and all rows."""
    cursor = native.execute(step.statement.sql, step.parameters)
    try:
        rows = cursor.fetchall()
    finally:
        cursor.close()
    return cursor.description, rows


def _fetch_optional(native: sqlite3.Connection, step: Step[Any]) -> Any:
    cursor = native.execute(step.statement.sql, step.parameters)
    try:
        row = cursor.fetchone()
    finally:
        cursor.close()
    return None if row is None else step.statement.decode_one(cursor.description, row)


def _fetch_one(native: sqlite3.Connection, step: Step[Any]) -> Any:
    cursor = native.execute(step.statement.sql, step.parameters)
    try:
        row = cursor.fetchone()
    finally:
        cursor.close()
    if row is None:
        raise step.statement.not_found(step.parameters)
    return step.statement.decode_one(cursor.description, row)


def _insert_one(native: sqlite3.Connection, step: Step[Any]) -> Any:
    cursor = native.execute(step.statement.sql, step.parameters)
    if cursor.rowcount == 0:
        raise step.statement.not_found(step.parameters)
    return step.statement.decode_one(cursor.description, tuple(step.parameters.values()))


def _count(native: sqlite3.Connection, step: Step[Any]) -> int:
    return _changed(native, step.statement.sql, step.parameters)


def _catch_up(native: sqlite3.Connection, step: Step[Any]) -> int:
    native.execute(step.statement.sql, step.parameters).close()
    return 0


def _changed(native: sqlite3.Connection, sql: str, parameters: Any) -> int:
    before = native.total_changes
    cursor = native.execute(sql, parameters)
    try:
        for _ in cursor:
            pass  # SQLite counts the rows of a RETURNING only as they are read
    finally:
        cursor.close()
    if native.total_changes == before:
        return 0
    if cursor.rowcount < 0:
        # sqlite3 counts only for statements that begin with INSERT, UPDATE, DELETE or REPLACE, not WITH.
        (changed,) = native.execute("SELECT changes()").fetchone()
        return int(changed)
    return cursor.rowcount


def _run_many(native: sqlite3.Connection, step: RunMany) -> int:
    statement, rows = step.statement, _bound(step)
    if statement.is_plain_write:
        return max(native.executemany(statement.sql, rows).rowcount, 0)
    # From Python 3.12 on executemany() fails on a statement with RETURNING.
    return sum(_changed(native, statement.sql, row) for row in rows)


def _bound(step: RunMany) -> Iterator[Any]:
    for place, parameters in enumerate(step.parameters):
        step.place = place
        yield step.statement.bind(parameters)


_KINDS: dict[type[Step[Any]], Callable[[sqlite3.Connection, Any], Any]] = {
    FetchAll: _fetch_all,
    FetchPage: _fetch_page,
    FetchOptional: _fetch_optional,
    FetchOne: _fetch_one,
    InsertOne: _insert_one,
    Count: _count,
    CatchUp: _catch_up,
    RunMany: _run_many,
}
