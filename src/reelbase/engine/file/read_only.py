"""Opening a database read-only, so that neither the file nor its side files are written.

With a rollback journal SQLite only needs locks. It reads a WAL database through the -shm file, which it makes
if it is missing. So the right way depends on the side files:

* A process has the database open: its -shm is shared.
* A crash has left -wal and -shm: SQLite makes an index of the log of its own, in memory.
* A crash, or a copy, has left a -wal alone: SQLite makes a -shm, which is deleted in the end.
* No side file, in a folder that can be written: a writable connection that is told to read only. SQLite
  deletes -wal and -shm in the end only for a writable one.
* No side file, in a folder that cannot be written (read-only media, another user's folder) or that may have
  no shared memory (a network filesystem): the file is read without locks, and a read counts only if no
  process has changed the file meanwhile.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from reelbase.engine.file.mounts import filesystem_of
from reelbase.engine.file.open_files import FileConnection, Mode, is_in_use, open_file
from reelbase.engine.file.side_files import beside
from reelbase.engine.file.stale_log import read_header
from reelbase.engine.file.unlocked import Unlocked
from reelbase.errors import DatabaseIOError


class _Way(NamedTuple):
    """The way to open a file read-only. makes_index: SQLite makes a -shm that must not stay."""

    mode: Mode
    makes_index: bool = False


def open_to_read(
    path: str | os.PathLike[str], busy_timeout_seconds: float, **options: Any
) -> FileConnection:
    """A read-only connection to an existing file.

    Args:
        path: the file.
        busy_timeout_seconds: how long a statement waits for a lock.
        options: further arguments of open_file().

    Raises:
        DatabaseIOError: code needs_recovery, for a log that SQLite cannot read without writing; or an
            error of open_file().
        OSError: the file is gone.
        sqlite3.Error: as of open_file().
    """
    real = os.path.realpath(path)
    way = _way_to_read(real)
    if way.mode != "immutable=1":
        return _opened(real, way, busy_timeout_seconds, options)
    unlocked = Unlocked(real)  # before the file is read
    if not unlocked.is_at_rest:  # another process has begun to write
        return open_to_read(path, busy_timeout_seconds, **options)
    return _opened(real, _Way("immutable=1"), busy_timeout_seconds, options, unlocked)


def _opened(
    real: str,
    way: _Way,
    busy_timeout_seconds: float,
    options: dict[str, Any],
    unlocked: Unlocked | None = None,
) -> FileConnection:
    native = open_file(real, way.mode, busy_timeout_seconds, **options)
    try:
        native.unlocked = unlocked
        if way.makes_index and native.file is not None:
            native.file.delete_index_of(real)
        native.execute("PRAGMA query_only = 1").close()
        native.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        native.close()
        raise
    return native


def may_be_opened_to_write(path: str | os.PathLike[str]) -> bool:
    """Whether a connection that can write would leave the file and its -wal as they are."""
    real = os.path.realpath(path)
    wal, shm, _ = beside(real)
    is_left = _bytes_of(wal) > 0 and not (os.path.exists(shm) and is_in_use(real))
    return _can_be_written(real) and not is_left


def _way_to_read(real: str) -> _Way:
    header = read_header(real)
    if header is None or not header.is_wal:
        return _Way("mode=ro")  # a rollback journal; or no database: SQLite gives the error
    wal, shm, _ = beside(real)
    if os.path.exists(wal) and os.path.exists(shm):
        return _Way("mode=ro" if is_in_use(real) else "mode=ro&readonly_shm=1")
    can_share = _can_be_written(real) and not _is_on_network(real)
    if can_share:
        return _Way("mode=ro", makes_index=True) if os.path.exists(wal) else _Way("mode=rw")
    if not _bytes_of(wal):
        return _Way("immutable=1")
    raise DatabaseIOError(
        f"{wal} holds changes that are not in {real} yet, and SQLite cannot read it without {shm}, which "
        "cannot be made here; copy the file and its -wal to where they can be written",
        code="needs_recovery",
        details={"path": real},
    )


def _bytes_of(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # there is no such file; or opening the database gives the error
        return 0


def _is_on_network(real: str) -> bool:
    """Whether there may be no shared memory, which SQLite notices only after it has made -wal and -shm."""
    filesystem = filesystem_of(real)
    return filesystem.is_known and filesystem.is_network


def _can_be_written(real: str) -> bool:
    """Whether this process may write the file and its folder, and the filesystem is not read-only."""
    by_effective_ids = os.access in os.supports_effective_ids
    return all(
        os.access(name, os.W_OK, effective_ids=by_effective_ids)
        for name in (real, os.path.dirname(real))
    )
