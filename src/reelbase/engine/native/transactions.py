"""Transactions of a connection in hand."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from reelbase.engine.native.errors import result_code
from reelbase.engine.native.pragmas import set_pragma


@contextlib.contextmanager
def read_transaction(source: sqlite3.Connection) -> Iterator[None]:
    """Everything that is read inside is of one moment."""
    if source.in_transaction:
        yield
        return
    source.execute("BEGIN")
    try:
        # BEGIN alone sees nothing yet. A copy of a connection that reads is never begun anew.
        source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        yield
    finally:
        if source.in_transaction:
            source.execute("ROLLBACK")


def roll_back(native: sqlite3.Connection) -> None:
    """ROLLBACK unless SQLite has done it; an interrupt that was meant for a statement is outlived."""
    while native.in_transaction:
        try:
            native.execute("ROLLBACK")
        except sqlite3.Error as error:
            if result_code(error) != sqlite3.SQLITE_INTERRUPT:
                raise


@contextlib.contextmanager
def without_references(native: sqlite3.Connection) -> Iterator[None]:
    """Foreign keys are not enforced inside; they cannot be switched off in a transaction.

    A table that is built anew is dropped, and that would empty those that refer to it.
    """
    set_pragma(native, "foreign_keys", 0)
    try:
        yield
    finally:
        set_pragma(native, "foreign_keys", 1)
