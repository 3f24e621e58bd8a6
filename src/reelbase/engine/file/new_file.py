"""The file of a database that did not exist: how it is made, and how it goes again if that fails."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from reelbase.engine.file.open_files import open_file
from reelbase.engine.file.paths import real_path
from reelbase.engine.file.refusals import refuse_without_locks
from reelbase.engine.file.side_files import is_at_rest, refuse_leftovers
from reelbase.engine.native.header import is_empty
from reelbase.errors import DatabaseError, SchemaError


def make(path: Path) -> bool:
    """Makes an empty file where a path leads to, and missing folders above it. False: another process
    was first. Raises OSError, DatabaseIOError (code locks) and SchemaError (code stale_log) where a database
    would be of no use."""
    target = real_path(path)  # a link may point to where nothing is yet
    try:
        refuse_leftovers(path)
    except SchemaError:
        if os.path.lexists(
            target
        ):  # and the log is that of another process, which has just made it
            return False
        raise
    target.parent.mkdir(parents=True, exist_ok=True)
    refuse_without_locks(target, f"making {path}")
    try:
        # SQLite gives -wal and -shm the permissions of the database.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return False
    return True


def discard(path: str) -> None:
    """Removes a file that make() made, if it holds nothing and no other process uses it.

    Under a lock that keeps all others out: one that waits for it finds, before it writes, that its file
    has gone (SQLITE_READONLY_DBMOVED, SQLITE_IOERR_FSTAT). Where no lock can be had the file stays, and
    stays usable.
    """
    with contextlib.suppress(sqlite3.Error, OSError, DatabaseError):
        place = real_path(path)
        if not is_at_rest(place):
            return  # perhaps of another database; to open this one would delete it
        with contextlib.closing(open_file(place, "mode=rw", 0)) as native:
            native.execute("PRAGMA locking_mode = EXCLUSIVE").close()
            native.execute("PRAGMA journal_mode = DELETE").close()
            # A lock on an empty file begins its first page, and with it a journal; here nothing is written.
            native.execute("PRAGMA journal_mode = MEMORY").close()
            native.execute("BEGIN EXCLUSIVE")
            if is_empty(native):
                os.unlink(place)
