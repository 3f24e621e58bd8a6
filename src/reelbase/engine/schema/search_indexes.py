"""The FTS5 tables of a file: their check, their merge, and their rebuild when damaged."""

from __future__ import annotations

import contextlib
import logging
import re
import sqlite3
from collections.abc import Iterator

from reelbase.engine.native.errors import result_code
from reelbase.engine.native.extensions import missing_in
from reelbase.engine.native.names import quoted
from reelbase.engine.schema.fingerprint import names_of
from reelbase.engine.schema.source import SCHEMA_VERSION

_log = logging.getLogger("reelbase")

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_FTS5 = re.compile(r"\s*CREATE\s+VIRTUAL\s+TABLE\b.*\bUSING\s+fts5\b", re.IGNORECASE | re.DOTALL)
# Pages of a search index that are merged in one step; writers go on between two steps.
_MERGE_PAGES = 500


def search_indexes(native: sqlite3.Connection) -> list[str]:
    """The names of the FTS5 tables."""
    tables = native.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY name"
    )
    return [name for name, sql in tables if sql is not None and _FTS5.match(sql)]


def is_ours(name: str) -> bool:
    """Whether an FTS5 table is the library's own, which it can rebuild from tables at any time."""
    return name.lower() in names_of(SCHEMA_VERSION)


def shadows_of(name: str) -> list[str]:
    """The tables that hold an FTS5 table's data (sqlite.org/fts5.html, section 9)."""
    return [f"{name}_{part}" for part in ("data", "idx", "content", "docsize", "config")]


def check_search_index(
    native: sqlite3.Connection, name: str, *, full: bool = False
) -> tuple[list[str], list[str]]:
    """Checks an FTS5 table, outside a transaction.

    Takes the writer lock for a moment, and changes nothing: the check is an INSERT, which is rolled back.
    (After a check that finds damage no COMMIT succeeds.)

    Args:
        native: the connection.
        name: the FTS5 table.
        full: also compares an index whose texts are in another table with that table.

    Returns:
        Problems and warnings, in sentences.
    """
    native.execute("BEGIN IMMEDIATE")
    try:
        _command(native, name, "integrity-check", 1 if full else None)
    except sqlite3.DatabaseError as error:
        if result_code(error) in DAMAGED:
            mends = "rebuild_search() makes it" if is_ours(name) else "`reelbase repair` makes it"
            return [f"the search index {name} is damaged ({error}); {mends} from nothing"], []
        if result_code(error) == sqlite3.SQLITE_ERROR:  # a tokenizer that is not loaded
            return [], [f"the search index {name} could not be checked: {error}"]
        raise
    finally:
        if native.in_transaction:
            native.execute("ROLLBACK")
    return [], []


def merge_search_index(native: sqlite3.Connection, name: str, *, is_first: bool) -> bool:
    """Merges a part of an FTS5 table, so that searches get faster; False once the merge is complete.

    Args:
        native: the connection.
        name: the FTS5 table.
        is_first: True for the first of the calls.
    """
    before = native.total_changes
    # The first call, with a negative number, marks the parts to merge (sqlite.org/fts5.html, "merge").
    try:
        _command(native, name, "merge", -_MERGE_PAGES if is_first else _MERGE_PAGES)
    except sqlite3.OperationalError as error:
        if (missing := missing_in(error)) is None:
            raise
        _log.warning("the search index %s is not merged: %s is not loaded", name, missing)
        return False
    return native.total_changes - before >= 2


def make_damaged_search_indexes_empty(native: sqlite3.Connection) -> bool:
    """Recreates the damaged ones of the library's search indexes, empty; outside a transaction.

    True: the pages of a damaged table could not be freed; VACUUM frees them.
    """
    ours = [name for name in search_indexes(native) if is_ours(name)]
    damaged = [name for name in ours if check_search_index(native, name)[0]]
    left_pages = [_make_empty(native, name) for name in damaged]
    return any(left_pages)


def _make_empty(native: sqlite3.Connection, name: str) -> bool:
    (sql,) = native.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    try:
        with _transaction(native):
            native.execute(f"DROP TABLE {quoted(name)}")
            native.execute(sql)
    except sqlite3.DatabaseError as error:
        if result_code(error) not in DAMAGED:
            raise
    else:
        return False
    # DROP reads the pages that it frees, and they are damaged. So the tables are deleted from the schema,
    # and their pages belong to no table until the file is rebuilt.
    with _transaction(native):
        native.execute("PRAGMA writable_schema = ON").close()
        native.executemany(
            "DELETE FROM sqlite_schema WHERE name = ?",
            [(table,) for table in (name, *shadows_of(name))],
        )
        native.execute("PRAGMA writable_schema = RESET").close()
        native.execute(sql)
    return True


@contextlib.contextmanager
def _transaction(native: sqlite3.Connection) -> Iterator[None]:
    native.execute("BEGIN IMMEDIATE")
    try:
        yield
        native.execute("COMMIT")
    finally:
        if native.in_transaction:
            native.execute("ROLLBACK")
            native.execute("PRAGMA writable_schema = RESET").close()


def _command(native: sqlite3.Connection, name: str, command: str, rank: int | None) -> None:
    table = quoted(name)
    native.execute(f"INSERT INTO {table} ({table}, rank) VALUES (?, ?)", (command, rank))
