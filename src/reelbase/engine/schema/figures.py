"""The size of a database: rows, pages and bytes."""

from __future__ import annotations

import os
import sqlite3
from typing import Literal
from uuid import UUID

from reelbase.engine.events import Activity
from reelbase.engine.file.paths import real_path
from reelbase.engine.native.extensions import missing_in, tables_of
from reelbase.engine.native.header import user_version
from reelbase.engine.native.names import quoted
from reelbase.engine.record import Record
from reelbase.errors import DatabaseIOError


class DatabaseStats(Record, frozen=True):
    """The figures of a database, all from one read transaction.

    rows: the number of rows of every table by name, the application's own included. Without the tables
        of SQLite itself and of search indexes, and without a table that cannot be read because it needs
        a collation or function which is not loaded.
    size_bytes: page_count x page_size_bytes.  wal_bytes: the write-ahead log on the disk, 0 if there is
    none.  database_id: as Database.database_id.  activity: as Database.activity().
    """

    rows: dict[str, int]
    size_bytes: int
    page_count: int
    page_size_bytes: int
    wal_bytes: int
    schema_version: int
    database_id: UUID
    activity: Activity


def row_counts(native: sqlite3.Connection, *kinds: Literal["table", "shadow"]) -> dict[str, int]:
    """The rows of each table by name. shadow: the tables that hold a virtual table's content.

    Without tables that need a collation or function which is not loaded.
    """
    counts = {name: row_count(native, name) for name in tables_of(native, *kinds)}
    return {name: rows for name, rows in counts.items() if rows is not None}


def row_count(native: sqlite3.Connection, table: str) -> int | None:
    """The number of rows; None if the table needs something that is not loaded."""
    try:
        (rows,) = native.execute(f"SELECT count(*) FROM {quoted(table)}").fetchone()
    except sqlite3.OperationalError as error:
        if missing_in(error) is None:
            raise
        return None
    return int(rows)


def figures(
    native: sqlite3.Connection, path: str, database_id: UUID, activity: Activity
) -> DatabaseStats:
    """The figures. Call it inside a read transaction, so that they belong together.

    Args:
        native: the connection.
        path: the file, whose write-ahead log is measured.
        database_id: the id to report.
        activity: the work of the Database, to report.
    """
    (pages,) = native.execute("PRAGMA page_count").fetchone()
    (page_size,) = native.execute("PRAGMA page_size").fetchone()
    return DatabaseStats(
        rows=row_counts(native, "table"),
        size_bytes=pages * page_size,
        page_count=pages,
        page_size_bytes=page_size,
        wal_bytes=wal_bytes(path),
        schema_version=user_version(native),
        database_id=database_id,
        activity=activity,
    )


def wal_bytes(path: str) -> int:
    """The size of the write-ahead log on the disk; 0 if there is none. Raises DatabaseIOError."""
    try:
        return os.stat(f"{real_path(path)}-wal").st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise DatabaseIOError(f"cannot look at the log of {path}: {error.strerror}") from error
