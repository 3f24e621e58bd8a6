"""Read transactions, savepoints, rollbacks and the switches for foreign keys, on a sqlite3.Connection."""

from __future__ import annotations

import contextlib
import sqlite3
import weakref
from collections.abc import Iterator

from reelbase.engine.native.errors import result_code
from reelbase.engine.native.pragmas import set_pragma

# Connections with a transaction, open or ended, that has deferred its foreign keys.
_deferring: weakref.WeakSet[sqlite3.Connection] = weakref.WeakSet()


@contextlib.contextmanager
def deferred_transaction(native: sqlite3.Connection) -> Iterator[None]:
    """All reads inside the block belong to one read transaction, which begins with the first of them."""
    if native.in_transaction:
        yield
        return
    native.execute("BEGIN")
    try:
        yield
    finally:
        if native.in_transaction:
            native.execute("ROLLBACK")


@contextlib.contextmanager
def read_transaction(native: sqlite3.Connection) -> Iterator[None]:
    """All reads inside the block belong to one read transaction: the open one, or one of its own."""
    was_begun = native.in_transaction
    with deferred_transaction(native):
        if not was_begun:
            # SQLite's backup of a connection that has read in its transaction never restarts.
            take_snapshot(native)
        yield


def take_snapshot(native: sqlite3.Connection) -> None:
    """Makes this the moment that an open read transaction sees: BEGIN alone takes no snapshot yet."""
    native.execute("SELECT count(*) FROM sqlite_schema").fetchone()


# They nest, and end in the reverse order of their beginning, so that one name does for all of them.


def begin_savepoint(native: sqlite3.Connection) -> None:
    """Opens a savepoint inside a transaction."""
    native.execute("SAVEPOINT reelbase")


def end_savepoint(native: sqlite3.Connection) -> None:
    """Keeps the writes since the savepoint was opened."""
    native.execute("RELEASE reelbase")


def undo_savepoint(native: sqlite3.Connection) -> None:
    """Undoes the writes since the savepoint was opened, and ends it. Some errors make SQLite roll everything
    back by itself: then there is none any more."""
    if native.in_transaction:
        native.execute("ROLLBACK TO reelbase")
        native.execute("RELEASE reelbase")


def roll_back(native: sqlite3.Connection) -> None:
    """ROLLBACK, unless SQLite has already rolled back. Repeats it if a late interrupt hits the ROLLBACK."""
    while native.in_transaction:
        try:
            native.execute("ROLLBACK")
        except sqlite3.Error as error:
            if result_code(error) != sqlite3.SQLITE_INTERRUPT:
                raise


def note_deferral(native: sqlite3.Connection) -> None:
    """Notes that PRAGMA defer_foreign_keys was set in the open transaction, for forget_deferral()."""
    _deferring.add(native)


def forget_deferral(native: sqlite3.Connection) -> None:
    """Has SQLite prepare its statements again, if a transaction before has deferred its foreign keys.

    SQLite switches PRAGMA defer_foreign_keys off with the transaction, and yet keeps the statements that were
    prepared under it. Such an INSERT, run again, is refused for a missing parent *and leaves its row*: it was
    prepared without the journal that undoes a statement (found with 3.40.1 and 3.54.1). Setting the pragma
    expires them.
    """
    if native in _deferring:
        native.execute("PRAGMA defer_foreign_keys = OFF").close()
        _deferring.discard(native)


@contextlib.contextmanager
def without_references(native: sqlite3.Connection) -> Iterator[None]:
    """Switches foreign keys off inside the block; SQLite cannot do that in a transaction.

    A rebuild drops the old table, and with foreign keys that would empty the tables that refer to it.
    """
    set_pragma(native, "foreign_keys", 0)
    try:
        yield
    finally:
        set_pragma(native, "foreign_keys", 1)
