"""Derived data: search indexes and normal forms of names, made from rows by functions that SQLite lacks.

Migrations run in any SQLite program. So a migration that changes how derived data is made empties it, and
the upgrade rebuilds it.
"""

from __future__ import annotations

import sqlite3

from reelbase.engine.native.names import quoted
from reelbase.engine.native.run import run
from reelbase.engine.schema.fingerprint import names_of
from reelbase.engine.schema.search_indexes import search_indexes
from reelbase.engine.statements.declarations import derivations


def derive(
    native: sqlite3.Connection, version: int, *, all_indexes: bool = True, only: str | None = None
) -> None:
    """Rebuilds the derived data of a database, in the open transaction.

    Args:
        native: a connection with the library's functions.
        version: the version of the file's schema.
        all_indexes: False leaves search indexes that have rows.
        only: the one table to rebuild; None: all.
    """
    names = names_of(version)
    kept = set[str]()
    if not all_indexes:
        kept.update(name for name in search_indexes(native) if _holds_rows(native, name))
    for table, commands in derivations.items():
        if table in names and table not in kept and only in (None, table):
            for command in commands:
                run(native, command.count())


def fill(native: sqlite3.Connection, index: str) -> None:
    """Fills an empty search index of the library. It works for every version that has the table."""
    if index in derivations:
        run(native, derivations[index][-1].count())


def _holds_rows(native: sqlite3.Connection, table: str) -> bool:
    return native.execute(f"SELECT 1 FROM {quoted(table)} LIMIT 1").fetchone() is not None
