"""The turnstile: processes that wait for the writer lock of a file take turns.

SQLite's busy handler sleeps between its attempts, up to 100 ms at a time, and the lock falls to the process
that happens to ask while it is free: a process that writes all the time gets it again and again, and
another one waits for half a second. So processes also queue at a side file, `<database>-turn`, whose first
bytes are the seats of a queue. A process that finds the writer lock taken, or another process waiting for
it, locks the last seat and moves up as the seats before it become free. From the first seat it asks for
the writer lock at short intervals, and it gives the seat up when it has the lock.

SQLite's lock alone decides which process writes. A program that takes no seat (the `sqlite3` program, an
older release) waits and writes as ever. A process that has waited in vain for its turn asks for the writer
lock without it, because a process before it may be stopped.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
import time
from pathlib import Path

from reelbase.engine.file.byte_locks import (
    EXCLUSIVE,
    IS_AVAILABLE,
    SHARED,
    UNLOCKED,
    close_descriptor,
    holder_of,
    is_in_place,
    lock_byte,
)
from reelbase.engine.file.filesystem import take_mode, take_owner
from reelbase.engine.native.errors import result_code
from reelbase.engine.native.pragmas import set_pragma

SUFFIX = "-turn"

# Of the side file. Processes beyond the number of seats wait for the last one in no order.
_SEATS = 8
_OPEN_BYTE = _SEATS  # shared by each process that has the database open

# The pauses between two looks. They grow with the wait, so that a long one costs little processor time.
_FIRST_SEAT_SECONDS = 0.00025
_OTHER_SEATS_SECONDS = 0.001
_SHARE_OF_WAIT = 0.01
_LONGEST_PAUSE_SECONDS = 0.002
# After this time without its turn a process asks for the writer lock all the same: a process before it may
# be stopped (SIGSTOP, a debugger, a frozen container), and then leaves the lock free.
_PATIENCE_SECONDS = 0.025
# The same for a process that has found the lock free the last time.
_COURTESY_SECONDS = 2 * _FIRST_SEAT_SECONDS

_OPENING_ATTEMPTS = 10


class Turnstile:
    """This process's place at the side file of a database."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path
        # The writers of one process share a descriptor, and so the locks: one of them queues at a time.
        self._within_process = threading.Lock()
        self._suspects_stop = False

    def begin(self, native: sqlite3.Connection, busy_timeout_seconds: float) -> None:
        """BEGIN IMMEDIATE, in this process's turn. Raises sqlite3.Error as BEGIN does: SQLITE_BUSY after
        busy_timeout_seconds."""
        if holder_of(self._descriptor, _OPEN_BYTE) is None:
            native.execute("BEGIN IMMEDIATE")
            return
        set_pragma(native, "busy_timeout", 0)
        try:
            if self._is_awaited() or not _begins(native):
                self._queue(native, time.monotonic() + busy_timeout_seconds)
        finally:
            set_pragma(native, "busy_timeout", int(busy_timeout_seconds * 1000))

    def _is_awaited(self) -> bool:
        return self._within_process.locked() or holder_of(self._descriptor, 0) is not None

    def _queue(self, native: sqlite3.Connection, until: float) -> None:
        since = time.monotonic()
        asks_at = since + (_COURTESY_SECONDS if self._suspects_stop else _PATIENCE_SECONDS)
        seat: int | None = None
        try:
            while True:
                seat = self._move_up(seat)
                now = time.monotonic()
                if seat == 0 or now >= min(asks_at, until):
                    began = _begins(native, raises_busy=now >= until)
                    if seat != 0:
                        self._suspects_stop = began
                        asks_at = now + _PATIENCE_SECONDS
                    if began:
                        return
                shortest = _FIRST_SEAT_SECONDS if seat == 0 else _OTHER_SEATS_SECONDS
                pause = max(shortest, (now - since) * _SHARE_OF_WAIT)
                time.sleep(min(pause, _LONGEST_PAUSE_SECONDS))
        finally:
            if seat is not None:
                self._unlock(seat)
                self._within_process.release()

    def _move_up(self, seat: int | None) -> int | None:
        """Takes the last seat, or goes on to the seats before it while they are free. None: no seat yet."""
        if seat is None:
            if not self._within_process.acquire(blocking=False):
                return None
            if not self._locks(_SEATS - 1):
                self._within_process.release()
                return None
            seat = _SEATS - 1
        while seat > 0 and self._locks(seat - 1):
            self._unlock(seat)
            seat -= 1
        return seat

    def _locks(self, seat: int) -> bool:
        try:
            lock_byte(self._descriptor, EXCLUSIVE, seat)
        except OSError:
            return False
        return True

    def _unlock(self, seat: int) -> None:
        with contextlib.suppress(OSError):
            lock_byte(self._descriptor, UNLOCKED, seat)

    def close(self) -> None:
        """Leaves; the last process deletes the side file."""
        with contextlib.suppress(OSError):
            # Refused while another process shares the byte, or looks at a file of this name that is newer.
            lock_byte(self._descriptor, EXCLUSIVE, _OPEN_BYTE)
            if is_in_place(self._descriptor, self._path):
                self._path.unlink()
        self.close_inherited()

    def close_inherited(self) -> None:
        """Called in a forked child: gives back the descriptor, and nothing else."""
        close_descriptor(self._descriptor)


def open_turnstile(path: str) -> Turnstile | None:
    """The turnstile of a database; None where the folder or the filesystem has no place for one.

    path: of the database, with no links in it.
    """
    if not IS_AVAILABLE:
        return None
    name = Path(f"{path}{SUFFIX}")
    for _ in range(_OPENING_ATTEMPTS):
        try:
            descriptor = _open(name, path)
        except OSError:
            return None
        try:
            lock_byte(descriptor, SHARED, _OPEN_BYTE)
            if is_in_place(descriptor, name) and stat.S_ISREG(os.fstat(descriptor).st_mode):
                return Turnstile(descriptor, name)
        except OSError:
            pass  # the last process is about to delete the file, or there are no such locks
        close_descriptor(descriptor)
    return None


def _open(name: Path, database: str) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    with contextlib.suppress(FileNotFoundError):
        return os.open(name, flags)
    # Not O_EXCL: another process may make the file at the same moment, and both use it.
    descriptor = os.open(name, flags | os.O_CREAT, 0o600)
    like = os.stat(database)
    take_owner(name, like)
    take_mode(name, like)
    return descriptor


def _begins(native: sqlite3.Connection, *, raises_busy: bool = False) -> bool:
    """BEGIN IMMEDIATE. False if another process holds the writer lock."""
    try:
        native.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        if raises_busy or result_code(error) != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
