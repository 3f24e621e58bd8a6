"""Records which tables the commits of a connection have written.

SQLite's authorizer names the tables of a statement, with the targets of its cascades and triggers, when
the statement is prepared: once per statement, and again after a change of the schema. Every statement of the
connection passes through the recorder, and counts if it has changed a row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from reelbase.engine.file.locks import FileLocks, LogState
from reelbase.engine.native.errors import result_code
from reelbase.engine.native.transactions import roll_back

Names = frozenset[str]


class Version(NamedTuple):
    """SQLite's version of the data, which the commits of all connections but its own change, and so does a
    transaction of a killed process that is undone.

    changes: the number of commits, of any connection; None: unknown.
    """

    version: int
    changes: int | None


# A moment in the order of the commits of all connections; None: unknown.
Moment = LogState | Version | None

_NOTHING: Final[Names] = frozenset()
# Statements that write the schema write this table, too.
SCHEMA_TABLE: Final = "sqlite_master"
_WRITES: Final = frozenset(
    {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE, sqlite3.SQLITE_DROP_TABLE}
)
# Outside a transaction all others commit by themselves.
_READS: Final = ("SELECT", "PRAGMA", "EXPLAIN")
# Statements whose tables are remembered.
_STATEMENTS: Final = 1024
# A COMMIT that failed with one of these has stored nothing.
_REFUSED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_FULL)


class Commit(NamedTuple):
    """A commit of the connection, between two moments.

    names: the tables that it wrote; None: unknown.
    """

    before: Moment
    names: Names | None
    after: Moment


class Moments(Protocol):
    """Tells the moments of a connection's commits, on its thread.

    sees_own: whether a commit of the connection itself makes a new moment.
    """

    sees_own: bool

    def before_commit(self) -> Moment:
        """The moment of the last commit, or an earlier one; None: unknown."""
        ...

    def after_commit(self, before: Moment) -> Moment:
        """The moment of the commit that was just made; None if it cannot be told from later ones. The moment
        before, if nothing was stored."""
        ...


class LogMoments:
    """The moments of a write-ahead log. They are read without a lock, on any thread."""

    sees_own = True

    def __init__(self, locks: FileLocks, native: sqlite3.Connection) -> None:
        self._locks = locks
        self._native = native
        self._version = 0

    def now(self) -> LogState | None:
        """The moment of the last commit; None: it is just changing."""
        return self._locks.log_state()

    def before_commit(self) -> LogState | None:
        """As of Moments."""
        self._version = data_version(self._native)
        return self.now()

    def after_commit(self, before: Moment) -> LogState | None:
        """As of Moments."""
        after = self.now()
        if is_same(before, after):
            return after
        # SQLite's version changes with the commits of other connections only: if it is the same, then all
        # that has changed is from this one.
        return after if data_version(self._native) == self._version else None


class VersionMoments:
    """The moments of any database, by the version that its connection sees. Only its thread can tell it."""

    sees_own = False

    def __init__(self, locks: FileLocks | None, native: sqlite3.Connection) -> None:
        self._locks = locks
        self._native = native
        self._will_count = False

    def now(self) -> Version:
        """The moment of the last commit. It waits while another process commits."""
        if self._native.in_transaction:
            return self._version()
        sqlite3.Connection.execute(self._native, "BEGIN").close()
        try:
            return self._version()
        finally:
            roll_back(self._native)

    def _version(self) -> Version:
        version = data_version(self._native)  # takes a lock, which the transaction keeps
        return Version(version, None if self._locks is None else self._locks.change_counter())

    def before_commit(self) -> Moment:
        """As of Moments."""
        self._will_count = self._locks is not None and self._locks.has_journal()
        return self.now()

    def after_commit(self, before: Moment) -> Moment:
        """As of Moments."""
        # The version stays the same with a commit of its own connection.
        if not isinstance(before, Version):
            return None
        if before.changes is None or not self._will_count:
            return before._replace(changes=None)
        return before._replace(changes=before.changes + 1)


def data_version(native: sqlite3.Connection) -> int:
    """A number that differs from an earlier one if another connection has committed in between."""
    cursor = sqlite3.Connection.execute(native, "PRAGMA data_version")
    try:
        (version,) = cursor.fetchone()
    finally:
        cursor.close()
    return int(version)


def is_same(earlier: Moment, later: Moment) -> bool:
    """Whether there was no commit between two moments. False if one is unknown."""
    if isinstance(earlier, LogState) and isinstance(later, LogState):
        return not earlier.is_followed_by_commit(later)
    if isinstance(earlier, Version) and isinstance(later, Version):
        is_counted = earlier.changes is not None and earlier.changes == later.changes
        return earlier.version == later.version or is_counted
    return False


def _moment(tell: Callable[[], Moment]) -> Moment:
    """A moment; unknown if SQLite does not tell, because a caller was just cancelled, or the disk fails: that
    must not be taken for an error of the COMMIT."""
    try:
        return tell()
    except sqlite3.Error:
        return None


class Recorder:
    """Between a connection and the code that uses it, from attach() to detach().

    report: called on the connection's thread after each commit that may have changed something.
    """

    def __init__(
        self, native: sqlite3.Connection, moments: Moments, report: Callable[[Commit], None]
    ) -> None:
        self._native = native
        self._moments = moments
        self._report = report
        self._is_installed = False
        self._prepared: set[str] = set()  # what the authorizer has named in the current statement
        self._written: dict[str, Names] = {}  # by statement
        # Of the transaction: a set for each open savepoint, and the last statement, which is not counted yet.
        self._tables: list[set[str]] = [set()]
        self._is_unknown = False
        self._last_sql = ""
        self._changes_before = 0
        # While COMMIT runs: the moment before it. Read on the loop.
        self.is_committing = False
        self.committing_since: Moment = None
        self._controls: dict[str, Callable[[], None]] = {
            "BEGIN": self._begin,
            "BEGIN IMMEDIATE": self._begin,
            "SAVEPOINT reelbase": self._open_savepoint,
            "RELEASE reelbase": self._keep_savepoint,
            "ROLLBACK TO reelbase": self._undo_savepoint,
            "ROLLBACK": self._begin,
        }

    def attach(self) -> None:
        """Has every statement of the connection pass through here from now on. Callable from any thread."""
        # On the instance: a method of the class would slow every connection down, recorded or not.
        vars(self._native).update(execute=self.execute, executemany=self.executemany)

    def detach(self) -> None:
        """Ends that. Called on the connection's thread."""
        if vars(self._native).get("execute") == self.execute:  # else a later recorder is attached
            del vars(self._native)["execute"], vars(self._native)["executemany"]
            self._native.set_authorizer(None)

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        """As of the connection."""
        return self._recorded(sqlite3.Connection.execute, sql, parameters)

    def executemany(self, sql: str, rows: Any) -> sqlite3.Cursor:
        """As of the connection."""
        return self._recorded(sqlite3.Connection.executemany, sql, rows)

    def _recorded(
        self, run: Callable[..., sqlite3.Cursor], sql: str, parameters: Any
    ) -> sqlite3.Cursor:
        native = self._native
        if not self._is_installed:
            self._is_installed = True
            self._is_unknown = native.in_transaction
            native.set_authorizer(self._authorize)  # SQLite then prepares every statement again
        self._count()
        if sql == "COMMIT":
            return self._commit(run, native, sql, parameters)
        control = self._controls.get(sql)
        if control is not None:
            control()
            return run(native, sql, parameters)
        if native.in_transaction or sql.lstrip().startswith(_READS):
            return self._run(run, sql, parameters)
        self._begin()
        return self._commit(self._run, run, sql, parameters)  # a statement that commits by itself

    def _run(self, run: Callable[..., sqlite3.Cursor], sql: str, parameters: Any) -> sqlite3.Cursor:
        native = self._native
        if len(self._written) >= _STATEMENTS:
            self._written.clear()
            native.set_authorizer(self._authorize)
        self._last_sql, self._changes_before = sql, native.total_changes
        try:
            return run(native, sql, parameters)
        finally:
            if self._prepared:
                self._written[sql] = self._written.get(sql, _NOTHING) | self._prepared
                self._prepared.clear()

    def _authorize(
        self,
        action: int,
        first: str | None,
        second: str | None,
        database: str | None,
        _: str | None,
    ) -> int:
        if action in _WRITES and database == "main":  # VACUUM writes a second one
            self._prepared.add(first or "")
        elif action == sqlite3.SQLITE_ALTER_TABLE:  # the name of the database comes first there
            self._prepared.add(second or "")
        return sqlite3.SQLITE_OK

    def _count(self) -> None:
        """Adds the tables of the last statement. Not earlier: RETURNING counts its rows as they are read."""
        sql, self._last_sql = self._last_sql, ""
        if not sql:
            return
        names = self._written.get(sql)
        if names is None:
            self._is_unknown |= self._native.total_changes != self._changes_before
        elif SCHEMA_TABLE in names or self._native.total_changes != self._changes_before:
            self._tables[-1] |= names

    def _begin(self) -> None:
        self._tables = [set()]
        self._is_unknown = False

    def _open_savepoint(self) -> None:
        self._tables.append(set())

    def _keep_savepoint(self) -> None:
        if len(self._tables) > 1:
            kept = self._tables.pop()
            self._tables[-1] |= kept

    def _undo_savepoint(self) -> None:
        self._tables[-1].clear()

    def _commit(self, commit: Callable[..., sqlite3.Cursor], *arguments: Any) -> sqlite3.Cursor:
        before = self.committing_since = _moment(self._moments.before_commit)
        self.is_committing = True
        try:
            try:
                cursor = commit(*arguments)
            except sqlite3.Error as error:
                if result_code(error) not in _REFUSED:  # it may be stored, or not
                    self._report(Commit(before, self._names(), None))
                raise
            names = self._names()
            after = _moment(partial(self._moments.after_commit, before))
            if names == _NOTHING:
                # Something may be stored all the same: the pages of what was undone with a savepoint, or
                # those of VACUUM.
                is_told = after is not None and not is_same(before, after)
            else:
                is_told = not self._moments.sees_own or not is_same(before, after)
            if is_told:
                self._report(Commit(before, names, after))
            return cursor
        finally:
            self.is_committing = False

    def _names(self) -> Names | None:
        """The tables that the transaction has written; None: unknown. Forgets them."""
        self._count()
        names = None if self._is_unknown else _NOTHING.union(*self._tables)
        self._begin()
        return names
