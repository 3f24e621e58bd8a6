"""The kernel's notices of writes to a file (inotify(7)), for the event loop.

The file is not opened: closing it would drop SQLite's locks.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

_IN_MODIFY = 0x2
_SIZE = 65536


def watch(path: str) -> int | None:
    """A descriptor that can be read after each write to the file, by any process of this machine.

    None: the system does not have that, or no more of it (the limit max_user_instances), or there is no such
    file. A write on another machine, to a file of a network filesystem, gives no notice.
    """
    if sys.platform != "linux":
        return None
    try:
        library = ctypes.CDLL(None)
        descriptor = int(library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    except (OSError, AttributeError):
        return None
    if descriptor < 0:
        return None
    if library.inotify_add_watch(descriptor, os.fsencode(path), _IN_MODIFY) < 0:
        os.close(descriptor)
        return None
    return descriptor


def take(descriptor: int) -> None:
    """Takes the notices that wait."""
    with contextlib.suppress(BlockingIOError):
        while len(os.read(descriptor, _SIZE)) > _SIZE // 2:
            pass
