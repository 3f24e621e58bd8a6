"""The free space that an upgrade needs: for the copy, the writes of the migrations, and temporary files."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from reelbase.engine.copies.backup import size_of
from reelbase.engine.file.filesystem import Need, refuse_without_room
from reelbase.engine.file.paths import real_path
from reelbase.engine.file.temporary_files import folder_for
from reelbase.engine.schema.chain import Migration
from reelbase.engine.schema.search_indexes import search_indexes, shadows_of
from reelbase.engine.schema.source import statements_of
from reelbase.errors import DatabaseFullError

# Of the tables that were rebuilt: 246 MiB of a log or journal for 245 MiB, and 410 MiB of temporary files.
_TEMPORARY_QUARTERS = 7

_NO_TABLE = re.compile(r"--[^\n]*|\bREFERENCES\s+\w+", re.IGNORECASE)

_SIZE_OF_TABLES = """
SELECT total(pgsize)
FROM dbstat
WHERE aggregate = TRUE
  AND name IN (
    SELECT name
    FROM sqlite_schema
    WHERE lower(tbl_name) IN (SELECT value FROM json_each(:words))
  )
"""


class UpgradeRoom(msgspec.Struct, frozen=True):
    """The free space that an upgrade needs. temporary_folder: the folder of SQLite's temporary files."""

    needs: list[Need]
    temporary_folder: Path

    def refuse_if_missing(self, path: str) -> None:
        """Raises DatabaseFullError, with the figures, if a disk is known to be too small."""
        refuse_without_room(f"migrating {path}", self.needs, "")


@contextlib.contextmanager
def explained_by(room: UpgradeRoom) -> Iterator[None]:
    """Adds the expected needs to the error of a disk that gets full inside the block all the same."""
    try:
        yield
    except DatabaseFullError as error:
        if "needed" in error.details:
            raise
        needs = ", ".join(
            f"{need.size_bytes:,} bytes for {need.what} in {need.folder}" for need in room.needs
        )
        raise DatabaseFullError(
            f"{error}. An upgrade takes about {needs}; the database is unchanged",
            details=error.details,
        ) from error.__cause__


def room_for(
    native: sqlite3.Connection, path: str, left: Iterable[Migration], copies: Path | None
) -> UpgradeRoom:
    """The free space that the pending migrations will need.

    Args:
        native: a connection to the database.
        path: the file.
        left: the pending migrations.
        copies: the folder of the copy; None: no copy is made.
    """
    rewritten = _rewritten_bytes(native, left)
    beside = real_path(path).parent
    temporary_bytes = rewritten * _TEMPORARY_QUARTERS // 4
    temporary = folder_for(native, temporary_bytes, beside)
    needs = [
        Need(beside, rewritten, "what the migrations write"),
        Need(temporary, temporary_bytes, "temporary files"),
    ]
    if copies is not None:
        needs.insert(0, Need(copies, size_of(native), "the copy"))
    return UpgradeRoom(needs, temporary)


def _rewritten_bytes(native: sqlite3.Connection, left: Iterable[Migration]) -> int:
    """The size of all tables that the migrations mention, with their indexes: each may be rebuilt."""
    words = sorted({word for migration in left for word in _words(migration.sql)})
    words += [
        shadow for name in search_indexes(native) if name in words for shadow in shadows_of(name)
    ]
    try:
        (size,) = native.execute(
            _SIZE_OF_TABLES, {"words": msgspec.json.encode(words).decode()}
        ).fetchone()
    except sqlite3.OperationalError:  # an SQLite that was built without dbstat
        return size_of(native)
    return int(size)


def _words(sql: str) -> Iterable[str]:
    for statement in statements_of(sql):
        bare = _NO_TABLE.sub("", statement).strip().lower()
        if not bare.startswith("create trigger"):  # a new trigger writes nothing yet
            yield from re.findall(r"\w+", bare)
