"""Locks on single bytes of a file that belong to an open file description (fcntl(2), Linux).

Unlike POSIX locks they stay when the process closes another descriptor of the file, and they hold between
two descriptors of one process, too. The kernel gives them back when the last descriptor of the
description is closed, so also when the process is killed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import struct
import sys

if sys.platform == "linux":
    import fcntl

    IS_AVAILABLE = True
    SHARED, EXCLUSIVE, UNLOCKED = fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK
else:
    IS_AVAILABLE = False
    SHARED, EXCLUSIVE, UNLOCKED = 0, 1, 2


def lock_byte(descriptor: int, kind: int, byte: int, count: int = 1) -> None:
    """Locks bytes, or unlocks them; never waits. Raises OSError when another holder keeps them locked.

    kind: SHARED, EXCLUSIVE or UNLOCKED.  count: the number of bytes from `byte` on.
    """
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _flock(kind, byte, count))


def holder_of(descriptor: int, byte: int) -> int | None:
    """The process that keeps this description from locking a byte exclusively, -1 for the lock of another
    description; None: the byte is free, or the filesystem does not say."""
    return _holder(descriptor, fcntl.F_OFD_GETLK, byte)


def posix_holder_of(descriptor: int, byte: int) -> int | None:
    """As holder_of(), for a POSIX lock: the locks that this process holds on the file do not count."""
    return _holder(descriptor, fcntl.F_GETLK, byte)


def close_descriptor(descriptor: int) -> None:
    """Closes a descriptor. Its number is free afterwards, even if a lost mount answers with an error
    (close(2))."""
    with contextlib.suppress(OSError):
        os.close(descriptor)


def is_in_place(descriptor: int, path: str | os.PathLike[str]) -> bool:
    """Whether the open file still has that name; False if another file, or a link, has it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


# struct flock: l_type, l_whence, l_start, l_len, l_pid.
_FLOCK = struct.Struct("hhqqi4x")


@functools.cache
def _flock(kind: int, byte: int, count: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, byte, count, 0)


def _holder(descriptor: int, command: int, byte: int) -> int | None:
    try:
        answer = fcntl.fcntl(descriptor, command, _flock(EXCLUSIVE, byte, 1))
    except OSError:
        return None
    kind, _, _, _, process = _FLOCK.unpack(answer)
    return None if kind == UNLOCKED else int(process)
