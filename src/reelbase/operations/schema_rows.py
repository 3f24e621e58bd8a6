"""Reading, storing and deleting all rows of the schema's tables, table by table, without its triggers."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator

from reelbase.engine.native.names import quoted
from reelbase.engine.schema.fingerprint import names_of
from reelbase.operations.table_rows import TableRows

COUNTERS = "sqlite_sequence"

# The ledger, the identity, the context of the audit trail and the journal of followed tables describe the
# file itself, so they stay.
_OF_THE_FILE = frozenset(
    {"schema_migrations", "database_identity", "audit_context", "followed_changes"}
)

_TABLES = """
SELECT name, wr
FROM pragma_table_list
WHERE schema = 'main'
  AND type = 'table'
ORDER BY name
"""

_COLUMNS = """
SELECT name
FROM pragma_table_xinfo(?)
WHERE hidden = 0
ORDER BY cid
"""

# Made with the first table that has AUTOINCREMENT.
_HAS_COUNTERS = """
SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence')
"""

_CHECKING = re.compile(r"CREATE TRIGGER \S+ BEFORE ")

_TRIGGERS = """
SELECT name, sql
FROM sqlite_schema
WHERE type = 'trigger'
ORDER BY rowid
"""


def rows_of_schema(native: sqlite3.Connection, version: int) -> list[TableRows]:
    """The tables of a schema version, by name, without the tables that describe the file itself."""
    ours = names_of(version) - _OF_THE_FILE
    return [
        TableRows(
            name,
            [column for (column,) in native.execute(_COLUMNS, (name,))],
            None if is_without_rowid else "rowid",  # the order in which they came
        )
        for name, is_without_rowid in native.execute(_TABLES).fetchall()
        if name.lower() in ours
    ]


def has_rows(native: sqlite3.Connection, table: TableRows) -> bool:
    """Whether the table holds any row."""
    return bool(value_of(native, f"SELECT EXISTS (SELECT 1 FROM {quoted(table.name)})"))


def has_counters(native: sqlite3.Connection) -> bool:
    """Whether any table of the database ever had AUTOINCREMENT."""
    return bool(value_of(native, _HAS_COUNTERS))


@contextlib.contextmanager
def without_triggers(
    native: sqlite3.Connection, version: int, *, with_checks: bool = False
) -> Iterator[None]:
    """Drops the schema's triggers inside the block, and keeps the application's. The rows that the
    triggers once wrote are among the rows that are stored, so they must not fire again.

    with_checks: the triggers that write nothing, but refuse rows, stay.
    """
    ours = names_of(version)
    triggers = [
        (name, sql)
        for name, sql in native.execute(_TRIGGERS).fetchall()
        if name.lower() in ours and not (with_checks and _CHECKING.match(sql))
    ]
    for name, _ in triggers:
        native.execute(f"DROP TRIGGER {quoted(name)}")
    yield
    for _, sql in triggers:
        native.execute(sql)


def value_of(native: sqlite3.Connection, sql: str) -> int:
    """The single number that the SQL gives."""
    (value,) = native.execute(sql).fetchone()
    return int(value)
