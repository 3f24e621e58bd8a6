"""COMMIT of a file's transaction, and the meaning of its errors."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from reelbase.engine.file.open_files import file_of
from reelbase.engine.file.refusals import explained_on
from reelbase.engine.native.errors import result_code, translate
from reelbase.engine.native.transactions import roll_back
from reelbase.errors import CommitUncertainError, DatabaseError, DatabaseIOError

# A COMMIT that failed with one of these has changed nothing: BUSY leaves the transaction open,
# CONSTRAINT (a deferred foreign key) too, and FULL is rolled back by SQLite itself.
_COMMIT_REFUSED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_FULL)


def commit(native: sqlite3.Connection) -> sqlite3.Error | DatabaseIOError | None:
    """COMMIT. Returns its error, or None. After an error the transaction is rolled back."""
    file = file_of(native)
    if file is not None and file.locks is not None and file.locks.is_write_lock_lost():
        roll_back(native)
        return DatabaseIOError(
            "the write lock was lost inside this transaction, which is rolled back: the process has opened "
            "and closed the database file (to copy, hash or send it), and the kernel then drops SQLite's "
            "locks on it (sqlite.org/howtocorrupt.html, 2.2). Read a backup() instead",
            code="lock_lost",
        )
    try:
        native.execute("COMMIT")
    except sqlite3.Error as error:
        roll_back(native)
        return error
    return None


def commit_error(error: sqlite3.Error | DatabaseIOError, context: str) -> DatabaseError:
    """The error for a failed COMMIT: CommitUncertainError if SQLite leaves the outcome open."""
    if isinstance(error, DatabaseIOError):
        return error
    if result_code(error) in _COMMIT_REFUSED:
        return translate(error, context)
    uncertain = CommitUncertainError(
        f"{context}: COMMIT failed ({error}); the change may or may not be stored",
        details={"context": context},
    )
    uncertain.__cause__ = error
    return uncertain


@contextlib.contextmanager
def write_transaction(native: sqlite3.Connection, context: str) -> Iterator[None]:
    """A transaction that holds the writer lock: COMMIT at the end of the block, ROLLBACK when it
    raises.
    """
    try:
        native.execute("BEGIN IMMEDIATE")
        yield
        native.execute("COMMIT")
    except sqlite3.Error as error:
        raise explained_on(native, translate(error, context)) from error
    finally:
        if native.in_transaction:
            native.execute("ROLLBACK")
