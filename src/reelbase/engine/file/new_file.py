"""The file of a new database: make() creates it, and discard() removes it if the opening fails."""

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
    """Makes an empty file at the end of a path's links, and missing folders above it. False: another process
    was first.

    Raises OSError; DatabaseIOError (code locks) on a filesystem without locks; SchemaError (code stale_log)
    if a log of another database lies there.
    """
    target = real_path(path)  # a link may point to a file that does not exist yet
    try:
        refuse_leftovers(path)
    except SchemaError:
        if os.path.lexists(target):  # another process has just made the database, and its log
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
    """Removes a file that make() made, if it is empty and not in use by another process.

    It holds an exclusive lock meanwhile: a connection that waits for the lock finds, before it writes, that
    its file has gone (SQLITE_READONLY_DBMOVED, SQLITE_IOERR_FSTAT). If the lock is not free, the file stays,
    and stays usable.
    """
    with contextlib.suppress(sqlite3.Error, OSError, DatabaseError):
        place = real_path(path)
        if not is_at_rest(place):
            return  # the log may be another database's, and opening this one would delete it
        with contextlib.closing(open_file(place, "mode=rw", 0)) as native:
            native.execute("PRAGMA locking_mode = EXCLUSIVE").close()
            native.execute("PRAGMA journal_mode = DELETE").close()
            # BEGIN EXCLUSIVE on an empty file begins its first page, and so a journal: keep it in memory.
            native.execute("PRAGMA journal_mode = MEMORY").close()
            native.execute("BEGIN EXCLUSIVE")
            if is_empty(native):
                os.unlink(place)
