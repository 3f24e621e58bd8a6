"""The database of another application, read in one moment: its tables, columns and rows."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from reelbase.engine.copies.backup import translated
from reelbase.engine.file.read_only import open_to_read
from reelbase.engine.file.stale_log import read_header
from reelbase.engine.maintenance.opening import size_of_usable_file
from reelbase.engine.native.header import application_id
from reelbase.engine.native.interruption import interruptible
from reelbase.engine.native.names import quoted
from reelbase.engine.native.transactions import read_transaction
from reelbase.engine.schema.source import APPLICATION_ID
from reelbase.errors import SchemaError
from reelbase.importers.dump import load_dump
from reelbase.operations.transfer.format import Value, text_of

_TABLES = """
SELECT name
FROM pragma_table_list
WHERE schema = 'main'
  AND type = 'table'
  AND name NOT LIKE 'sqlite!_%' ESCAPE '!'
ORDER BY name
"""

_COLUMNS = """
SELECT name
FROM pragma_table_xinfo(?)
WHERE hidden <> 1
ORDER BY cid
"""

_HAS_COUNTERS = """
SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence')
"""

_COUNTERS = """
SELECT name, seq
FROM sqlite_sequence
WHERE typeof(seq) = 'integer'
"""


class OldTable(msgspec.Struct, frozen=True):
    """A table of the old database. columns: in order, in lower case.  rows: how many there are."""

    name: str
    columns: list[str]
    rows: int


class OldDatabase:
    """The tables of the old database, by name in lower case.

    counters: the last id that each table has given, where the database keeps it.
    """

    def __init__(self, native: sqlite3.Connection, counters: dict[str, int]) -> None:
        self._native = native
        self.counters = counters
        self.tables: dict[str, OldTable] = {}
        for (name,) in native.execute(_TABLES).fetchall():
            columns = [column.lower() for (column,) in native.execute(_COLUMNS, (name,))]
            (rows,) = native.execute(f"SELECT count(*) FROM {quoted(name)}").fetchone()
            self.tables[name.lower()] = OldTable(name, columns, rows)

    def rows(self, table: str, *order: str) -> Iterator[tuple[Value, ...]]:
        """The rows of a table, as its columns are ordered; none if there is no such table.

        order: names of columns, of which those that the table has order the rows, NULL first; without any
        they come as they are stored.
        """
        found = self.tables.get(table)
        if found is None:
            return
        sql = f"SELECT * FROM {quoted(found.name)}"
        keys = [quoted(column) for column in order if column in found.columns]
        sql += f" ORDER BY {', '.join(keys)}" if keys else ""
        with (
            translated(f"reading {table} of the old database"),
            contextlib.closing(self._native.cursor()) as cursor,
        ):
            yield from cursor.execute(sql)


@contextlib.contextmanager
def old_database(
    path: Path,
    busy_timeout_seconds: float,
    on_rows: Callable[[int], None],
    on_step: Callable[[], None],
) -> Iterator[OldDatabase]:
    """Opens the old database read-only: an SQLite file, or the plain text of a pg_dump.

    Args:
        path: the file. A -wal beside it counts.
        busy_timeout_seconds: how long to wait for another process that has locked it.
        on_rows: called while a dump is read, with the number of rows so far.
        on_step: called while a statement takes long. An exception from either ends the work.

    Raises:
        SchemaError: code foreign: it is a database of reelbase, or no database at all.
        DatabaseIOError: it is missing, or cannot be read as it is (code needs_recovery).
        DatabaseCorruptError: it is damaged.
    """
    if size_of_usable_file(path, create=False) == 0:
        raise SchemaError(f"{path} is empty; name the old application's database", code="empty")
    with contextlib.ExitStack() as stack:
        with translated(f"reading {path}"):
            native, counters = _opened(path, busy_timeout_seconds, on_rows, stack)
            stack.enter_context(interruptible(native, on_step))
            database = OldDatabase(native, counters)
        yield database


def _opened(
    path: Path,
    busy_timeout_seconds: float,
    on_rows: Callable[[int], None],
    stack: contextlib.ExitStack,
) -> tuple[sqlite3.Connection, dict[str, int]]:
    """The connection, and the last id that each table has given."""
    native: sqlite3.Connection
    if read_header(os.path.realpath(path)) is None:
        # A database without a name is a temporary file of SQLite's own, gone with the connection.
        native = stack.enter_context(contextlib.closing(sqlite3.connect("", isolation_level=None)))
        counters = load_dump(path, native, on_rows)
    else:
        native = open_to_read(path, busy_timeout_seconds)
        stack.enter_context(contextlib.closing(native))
        counters = {}
    native.text_factory = text_of
    stack.enter_context(read_transaction(native))
    if application_id(native) == APPLICATION_ID:
        raise SchemaError(
            f"{path} is a database of reelbase already; `reelbase export` and `import` copy it",
            code="foreign",
        )
    if native.execute(_HAS_COUNTERS).fetchone()[0]:
        counters = {name.lower(): last for name, last in native.execute(_COUNTERS)}
    return native, counters
