"""What is made from other rows by functions that plain SQL lacks: search indexes, normal forms of names.

Migrations run in any SQLite program, so one that changes how these are made empties them, and the
upgrade makes them again.
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
    """Makes what a database of this version derives again, in the transaction that is open.

    native: has the library's functions.  all_indexes: False leaves search indexes that hold something.
    only: this table; None: all.
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
    """Fills a search index of the library that is empty, as any version has it that has the table."""
    if index in derivations:
        run(native, derivations[index][-1].count())


def _holds_rows(native: sqlite3.Connection, table: str) -> bool:
    return native.execute(f"SELECT 1 FROM {quoted(table)} LIMIT 1").fetchone() is not None
