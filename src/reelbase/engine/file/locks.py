"""SQLite's locks on a file that this process has open, kept and watched from outside of SQLite.

They are POSIX locks, and the kernel drops all locks of a process on a file when the process closes any
descriptor of that file: after a copy, a hash, a download (sqlite.org/howtocorrupt.html, 2.2). SQLite
does not notice. Another process then takes itself for the only one, deletes the write-ahead log when
it closes, or empties the -shm, and the writes of this process are lost. Linux also has locks of an open
file description, which stay until that description is closed (fcntl(2)). While a WAL database is open,
this module holds two of them where SQLite holds a shared lock; SQLite in another process cannot tell them
from its own. Before a commit the kernel is asked whether SQLite still has its lock for writing.
"""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

from reelbase.engine.file.byte_locks import (
    EXCLUSIVE,
    IS_AVAILABLE,
    SHARED,
    UNLOCKED,
    close_descriptor,
    holder_of,
    is_in_place,
    lock_byte,
    posix_holder_of,
)

# Of the database file (SQLite's os.h): a connection that waits for exclusive access locks the first byte, a
# writer with a rollback journal the second, a reader the 510 bytes from the third on, and an exclusive
# connection the same 510, exclusively.
_PENDING_BYTE = 0x40000000
_RESERVED_BYTE = 0x40000001
_SHARED_FIRST, _SHARED_LAST = 0x40000002, 0x40000002 + 509
# Of the -shm file (sqlite.org/walformat.html, 2.3): a writer locks the first, each connection the second.
_WAL_WRITE_BYTE = 120
_WAL_OPEN_BYTE = 128

# Of the -shm file: the header, twice (sqlite.org/walformat.html, 2.1). The number of commits; and the number
# of frames, of pages, the checksum and the salts, which together tell what the log holds.
_HEADER_BYTES = 48
_COMMITS, _LAST_FRAME, _CONTENT = slice(8, 12), slice(16, 20), slice(16, 40)
_READS_OF_HEADER = 100
_NO_FRAME = bytes(4)
# Of the database file (sqlite.org/fileformat.html, 1.3): the journal mode, and the number of commits in it.
_FILE_FORMAT_AT, _ROLLBACK_JOURNAL = 18, b"\1\1"
_CHANGES_AT = 24


class LogState(NamedTuple):
    """The commit that a write-ahead log ends with: the header of its -shm."""

    header: bytes

    def is_followed_by_commit(self, later: LogState) -> bool:
        """Whether a commit was made between this state and a later one; a checkpoint is none."""
        before, after = self.header, later.header
        if before == after or before[_CONTENT] == after[_CONTENT]:
            return False
        # A checkpoint empties the log. A recovery after a crash may set the count back.
        return before[_COMMITS] != after[_COMMITS] or after[_LAST_FRAME] != _NO_FRAME


class FileLocks:
    """Descriptors of a database file, its -shm and its -wal. Nothing but the count of commits is read.

    Closing a descriptor of the file or the -shm drops SQLite's locks. So they are closed only after SQLite
    has closed the file.
    """

    def __init__(self, path: str) -> None:
        """path: with no links in it. Raises OSError."""
        self._path = path
        self._file = _open(path)
        self._shm: int | None = None
        self._log: int | None = None
        self._holds = False
        self._can_tell: bool | None = None

    @property
    def descriptors(self) -> list[int]:
        """The descriptors of the file and its -shm, which SQLite locks."""
        return [self._file] if self._shm is None else [self._file, self._shm]

    def begin(self, *, is_wal: bool) -> None:
        """Called once SQLite has opened the file in its journal mode. From now on no other process can take
        a WAL database for closed, unless the filesystem lacks such locks."""
        if self._holds:
            return
        self._can_tell = None
        with contextlib.suppress(OSError):
            if self._shm is not None and not is_in_place(self._shm, f"{self._path}-shm"):
                close_descriptor(self._shm)  # an old -shm, which SQLite has deleted
                self._shm = None
            if is_wal:
                self._shm = _open(f"{self._path}-shm") if self._shm is None else self._shm
                self._log = _open(f"{self._path}-wal")
                lock_byte(self._file, SHARED, _SHARED_LAST)
                lock_byte(self._shm, SHARED, _WAL_OPEN_BYTE)
                self._holds = True

    def end(self) -> None:
        """Gives the locks back. Called before SQLite closes the file, so that it can delete the log."""
        self._holds = False
        with contextlib.suppress(OSError):
            if self._shm is not None:
                lock_byte(self._shm, UNLOCKED, _WAL_OPEN_BYTE)
            lock_byte(self._file, UNLOCKED, _SHARED_LAST)
        self._close_log()

    def is_log_deleted(self) -> bool:
        """Whether the write-ahead log was deleted; False, too, if that is unknown."""
        with contextlib.suppress(OSError):
            return self._log is not None and os.fstat(self._log).st_nlink == 0
        return False

    def watch(self) -> None:
        """Finds out whether this filesystem reports the holder of a lock. Called in a write transaction."""
        if self._can_tell is None:
            self._can_tell = self._has_write_lock()

    def is_write_lock_lost(self) -> bool:
        """Whether SQLite has lost the lock of a write transaction; False, too, if that is unknown."""
        return bool(self._can_tell) and not self._has_write_lock()

    def _has_write_lock(self) -> bool:
        if self._shm is None:
            return holder_of(self._file, _RESERVED_BYTE) == os.getpid()
        return holder_of(self._shm, _WAL_WRITE_BYTE) == os.getpid()

    @property
    def can_tell_commits(self) -> bool:
        """Whether log_state() and is_log_locked() have answers: for a WAL database that is open to write."""
        return self._holds

    def log_state(self) -> LogState | None:
        """The state of the write-ahead log, read from the -shm without a lock; None: it is just changing, or
        a process was killed while it changed it."""
        if self._shm is None:
            return None
        for _ in range(_READS_OF_HEADER):
            try:
                read = os.pread(self._shm, 2 * _HEADER_BYTES, 0)
            except OSError:
                return None
            header = read[:_HEADER_BYTES]
            if header == read[_HEADER_BYTES:]:
                return LogState(header)
        return None

    def change_counter(self) -> int | None:
        """The number of commits on a rollback journal, as the file has it; None on WAL. Called while a
        connection holds a lock: a commit that is being written is counted already."""
        with contextlib.suppress(OSError):
            if os.pread(self._file, 2, _FILE_FORMAT_AT) == _ROLLBACK_JOURNAL:
                return int.from_bytes(os.pread(self._file, 4, _CHANGES_AT), "big")
        return None

    def has_journal(self) -> bool:
        """Whether the write transaction that is open has written to its rollback journal, so that its COMMIT
        will count."""
        with contextlib.suppress(OSError):
            return os.stat(f"{self._path}-journal").st_size > 0
        return False

    def is_log_locked(self) -> bool:
        """Whether a transaction writes, of this process or of another one; False, too, if that is unknown."""
        return self._shm is not None and holder_of(self._shm, _WAL_WRITE_BYTE) is not None

    def is_open_elsewhere(self) -> bool:
        """Whether another process has the WAL database open, in this container or in another one."""
        # Asked as for a POSIX lock: locks of this process do not count, and begin() locks other bytes.
        return posix_holder_of(self._file, _SHARED_FIRST) is not None

    def close(self) -> None:
        """Closes the descriptors, which also gives the locks back."""
        for descriptor in self.descriptors:
            close_descriptor(descriptor)
        self._close_log()

    def _close_log(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            close_descriptor(log)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def is_index_in_use(path: str) -> bool:
    """Whether another process has a -shm file open; True, too, if that is unknown.

    This process must not have it open: closing the descriptor would drop its locks.
    """
    if not IS_AVAILABLE:
        return True
    try:
        descriptor = _open(path)
    except OSError:
        return True
    try:
        return posix_holder_of(descriptor, _WAL_OPEN_BYTE) is not None
    finally:
        os.close(descriptor)


def delete_index(path: str) -> None:
    """Deletes the -shm of a WAL database, unless a process has the database open. Like SQLite it takes an
    exclusive lock first, which is refused while the database is open elsewhere.

    This process must not have the database open. Without such locks the file stays.
    """
    if not IS_AVAILABLE:
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            count = _SHARED_LAST - _PENDING_BYTE + 1
            lock_byte(descriptor, EXCLUSIVE, _PENDING_BYTE, count)
            os.unlink(f"{path}-shm")
        finally:
            os.close(descriptor)
