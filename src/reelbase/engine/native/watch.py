"""Watchers of statements, called as they end: the log of slow ones, and the observers."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from typing import Any

from reelbase.engine.events import Observer, StatementEvent, UnitEvent, UnitKind, UnitOutcome
from reelbase.engine.statements.statement import Statement
from reelbase.engine.statements.step import CatchUp, Count, RunMany, Step, in_one_line

_log = logging.getLogger("reelbase")
_sql_log = logging.getLogger("reelbase.sql")


class Watch:
    """The log of slow statements and the observers of one Database.

    slow_query_seconds: a statement that takes this long or longer is logged; None: no log.
    """

    def __init__(self, slow_query_seconds: float | None, observers: Sequence[Observer]) -> None:
        self.slow_query_seconds = slow_query_seconds
        self.observers = tuple(observers)

    def call(self, site: Callable[[], str | None]) -> WatchedCall:
        """The watcher of a call that is made now. site: gives the caller's file and line."""
        return WatchedCall(self, None if self.slow_query_seconds is None else site())

    def unit(self, kind: UnitKind, name: str) -> WatchedUnit | None:
        """The watcher of a unit that is asked for now; None when there is no observer."""
        return WatchedUnit(self, kind, name) if self.observers else None

    def tell(self, notify: Callable[[Observer], None]) -> None:
        """Tells each observer; an exception of an observer is logged."""
        for observer in self.observers:
            try:
                notify(observer)
            except Exception:
                _log.exception("the observer %r failed", observer)


class StreamFigures:
    """The figures of a stream so far. started: of its first batch, by perf_counter()."""

    __slots__ = ("rows", "seconds", "started")

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.seconds = 0.0
        self.rows = 0


class WatchedCall:
    """One call of a caller: the facts that are kept of it until its statements end."""

    __slots__ = ("_context", "_made", "_site", "_waited_seconds", "_watch")

    def __init__(self, watch: Watch, site: str | None) -> None:
        self._watch = watch
        self._site = site
        self._context: Context = copy_context()
        self._made = time.perf_counter()
        self._waited_seconds: float | None = None

    def ended(
        self,
        native: sqlite3.Connection,
        step: Step[Any],
        started: float,
        seconds: float,
        result: Any,
    ) -> None:
        """On the thread: logs a slow statement and tells the observers. started: by perf_counter()."""
        self._note_wait(started)
        self._context.run(self._log_and_tell, native, step, seconds, result)

    def failed(self, step: Step[Any], started: float, error: BaseException) -> None:
        """On the thread: tells the observers of a statement that raised."""
        self._note_wait(started)
        seconds = time.perf_counter() - started
        self._context.run(self._tell, step.name, step.statement, seconds, None, error)

    def streamed(
        self, statement: Statement, read: StreamFigures, error: BaseException | None
    ) -> None:
        """On the loop: tells the observers of a stream that has ended."""
        self._note_wait(read.started)
        rows = None if error is not None else read.rows
        self._context.run(self._tell, statement.name, statement, read.seconds, rows, error)

    def _note_wait(self, started: float) -> None:
        if self._waited_seconds is None:
            self._waited_seconds = started - self._made

    def _log_and_tell(
        self, native: sqlite3.Connection, step: Step[Any], seconds: float, result: Any
    ) -> None:
        slow_query_seconds = self._watch.slow_query_seconds
        if slow_query_seconds is not None and seconds >= slow_query_seconds:
            # Never the parameters: they may be secrets.
            _sql_log.info(
                "%.1f ms %s%s: %s%s",
                seconds * 1000,
                step.name,
                f" at {self._site}" if self._site else "",
                in_one_line(step.statement.sql),
                f" | plan: {_plan_of(native, step)}" if slow_query_seconds else "",
            )
        self._tell(step.name, step.statement, seconds, _rows_of(step, result), None)

    def _tell(
        self,
        name: str,
        statement: Statement,
        seconds: float,
        rows: int | None,
        error: BaseException | None,
    ) -> None:
        if not self._watch.observers:
            return
        event = StatementEvent(
            name=name,
            sql=in_one_line(statement.sql),
            writes=statement.may_write,
            seconds=seconds,
            waited_seconds=self._waited_seconds or 0.0,
            rows=rows,
            error=error,
        )
        self._watch.tell(lambda observer: observer.statement(event))


class WatchedUnit:
    """One unit of work or snapshot, timed from the call to its end."""

    def __init__(self, watch: Watch, kind: UnitKind, name: str) -> None:
        self._watch = watch
        self._kind: UnitKind = kind
        self._name = name
        self._made = time.perf_counter()
        self._began: float | None = None

    def began(self) -> None:
        """It has begun: it holds its connection now."""
        self._began = time.perf_counter()

    def ended(self, outcome: UnitOutcome, error: BaseException | None) -> None:
        """On the loop: tells the observers."""
        now = time.perf_counter()
        began = now if self._began is None else self._began
        event = UnitEvent(
            kind=self._kind,
            name=self._name,
            seconds=now - began,
            waited_seconds=began - self._made,
            outcome=outcome,
            error=error,
        )
        self._watch.tell(lambda observer: observer.unit(event))


def _rows_of(step: Step[Any], result: Any) -> int:
    """How many rows a step has read or changed."""
    if isinstance(result, list):
        return len(result)
    if isinstance(step, Count | RunMany | CatchUp):
        return int(result)
    return 0 if result is None else 1


def _plan_of(native: sqlite3.Connection, step: Step[Any]) -> str:
    """SQLite's plan of a statement in one line; '-' when it has none."""
    parameters = step.parameters
    if isinstance(step, RunMany):
        parameters = step.statement.bind(parameters[0]) if parameters else {}
    try:
        rows = native.execute(f"EXPLAIN QUERY PLAN {step.statement.sql}", parameters).fetchall()
    except sqlite3.Error:  # interrupted, or no statement that can be explained
        return "-"
    return "; ".join(str(row[-1]) for row in rows) or "-"
