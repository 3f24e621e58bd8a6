"""The settings of every connection, and set_pragma(), which sets one."""

from __future__ import annotations

import os
import sqlite3

from reelbase.errors import DatabaseError

# A write-ahead log that is longer than this is cut back.
WAL_LIMIT_BYTES = 64 * 1024 * 1024

# PRAGMA temp_store.
IN_FILES, IN_MEMORY = 1, 2

Pragma = tuple[str, int | str]

EVERY_CONNECTION: tuple[Pragma, ...] = (
    # References are checked on each connection or not at all.
    ("foreign_keys", 1),
    # A mapped page past the end of a truncated file is SIGBUS, not an error; and maps are stale on
    # network filesystems.
    ("mmap_size", 0),
    # A damaged page is reported instead of followed.
    ("cell_size_check", 1),
    # Sorting spills to memory: /tmp of a small server is often a RAM disk or an SD card.
    ("temp_store", IN_MEMORY),
    # 16 MiB; the default of 2 is too small for sorting a gallery.
    ("cache_size", -16384),
)
READER: tuple[Pragma, ...] = (
    ("query_only", 1),
    # Only the writer checkpoints: before SQLite 3.51.3 two at once can corrupt the database.
    ("wal_autocheckpoint", 0),
)
WRITER: tuple[Pragma, ...] = (
    # Pages after which a commit also checkpoints (passively, without waiting for readers).
    ("wal_autocheckpoint", 1000),
    # A WAL that one large transaction blew up is cut back at its next reset.
    ("journal_size_limit", WAL_LIMIT_BYTES),
    # ANALYZE looks at this many rows per index, so that `optimize` stays quick on large tables.
    ("analysis_limit", 400),
)


def set_pragma(native: sqlite3.Connection, name: str, value: int | str) -> None:
    """Sets a pragma and reads it back, because SQLite ignores a setting that it does not know or cannot
    apply. DatabaseError (code pragma) when the value is another one."""
    native.execute(f"PRAGMA {name} = {value}").close()
    (actual,) = native.execute(f"PRAGMA {name}").fetchone()
    if actual != value:
        raise DatabaseError(
            f"PRAGMA {name} = {value} did not take effect (it is {actual!r})",
            code="pragma",
            details={"pragma": name, "wanted": value, "actual": actual},
        )


def path_of(native: sqlite3.Connection) -> str:
    """The path of a connection's database; '' for one in memory."""
    (path,) = native.execute(
        "SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'"
    ).fetchone()
    return os.fsdecode(path or b"")  # names need not be UTF-8
