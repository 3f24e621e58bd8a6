"""Reading a database without a lock, which SQLite calls immutable, although a process may change it.

SQLite then ignores the log and keeps every page that it has read. So a read counts only if the file and its
log are the same after the read as before the file was opened.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import NamedTuple

from reelbase.engine.file.side_files import beside
from reelbase.errors import DatabaseIOError

# A filesystem's clock ticks: two changes within a tick get the same time. If times have a fraction of a
# second, it ticks at least 100 times a second; FAT ticks every two seconds.
_TICK_SECONDS = 0.02
_COARSE_TICK_SECONDS = 2.0


class _State(NamedTuple):
    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    log_bytes: int


class Unlocked:
    """The state of a database at rest, before a connection reads it without a lock."""

    def __init__(self, path: str) -> None:
        """path: with no links in it. Raises OSError."""
        self._path = path
        _wait_for_the_next_tick(os.stat(path))
        self._log_path = beside(path)[0]
        self._seen = self._state()

    @property
    def is_at_rest(self) -> bool:
        """Whether there was no log, or an empty one."""
        return self._seen.log_bytes == 0

    def refuse_changed(self) -> None:
        """Raises DatabaseIOError (code changed) once another process has changed the file or begun to write:
        the reads since the opening do not count."""
        try:
            is_same = self._state() == self._seen
        except OSError:
            is_same = False
        if not is_same:
            raise DatabaseIOError(
                f"another process has changed {self._path}, which is read here without locks, because "
                "nothing may be written beside it; what was read is not given. close() this database and "
                "connect() again",
                code="changed",
                details={"path": self._path},
            )

    def _state(self) -> _State:
        status, log_bytes = os.stat(self._path), 0
        with contextlib.suppress(FileNotFoundError):
            log_bytes = os.stat(self._log_path).st_size
        return _State(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, log_bytes)


def _wait_for_the_next_tick(status: os.stat_result) -> None:
    """Waits until a further change of the file would get a later time."""
    tick_seconds = _TICK_SECONDS if status.st_mtime_ns % 1_000_000_000 else _COARSE_TICK_SECONDS
    age_seconds = time.time() - status.st_mtime
    if 0 <= age_seconds < tick_seconds:
        time.sleep(tick_seconds - age_seconds)
