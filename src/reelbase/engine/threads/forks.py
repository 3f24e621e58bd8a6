"""Keeps open connections safe across a fork: the child inherits them, but not their threads.

In the child they are never closed, not even when its interpreter exits: that would roll back the
parent's transaction, or delete its write-ahead log. And the child inherits SQLite's mutexes as they
are at the fork. A mutex that a thread held then stays locked for ever, and the child hangs in the first
statement that needs it, on any file. So a fork waits until no thread of the library is inside SQLite.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

R = TypeVar("R")

_log = logging.getLogger("reelbase")

# How long a fork waits; a thread that is in a long statement is seldom in a mutex.
_PATIENCE_SECONDS = 0.25


class Holding:
    """The native connection of a thread, and the lock that the thread holds while it uses it.

    queue: the thread's own, in which it waits for (future, function).
    """

    def __init__(self, queue: SimpleQueue[tuple[Any, Callable[[], Any]]]) -> None:
        self.native: sqlite3.Connection | None = None
        self.is_inherited = False
        self._queue = queue
        self._at_work = threading.RLock()
        _holdings.add(self)

    def run(self, work: Callable[[], R]) -> R:
        """Runs work, on the thread, while no fork happens."""
        with self._at_work:
            return work()

    def give_way(self) -> None:
        """Lets a fork that waits for run() happen now. Called on the thread, outside SQLite."""
        if _is_waiting:
            self._at_work.release()
            with _forking:
                self._at_work.acquire()

    def close(self) -> None:
        """Closes the connection, on the thread. Raises nothing: a task waits for this call to end."""
        native, self.native = self.native, None
        try:
            if native is not None:
                native.close()
        except Exception:
            _log.warning("closing a connection failed", exc_info=True)
        _holdings.discard(self)

    def pause(self, timeout_seconds: float) -> bool:
        """Waits until the thread is idle, and keeps it idle. False: it was busy until the timeout."""
        return self._at_work.acquire(timeout=timeout_seconds)

    def go_on(self) -> None:
        """Lets the connection's thread work again, after a fork."""
        self._at_work.release()

    def keep(self) -> None:
        """In a forked child: keeps the connection open until the process ends."""
        self.is_inherited = True
        # The thread does not exist in the child, so the objects on its stack are never freed: the queue,
        # and its content. The interpreter may free all further references to the connection.
        self._queue.put_nowait((None, self.close))


_holdings: set[Holding] = set()
_forking = threading.RLock()  # by one thread at a time
_is_waiting = False
_paused: list[Holding] = []


def _pause() -> None:
    global _is_waiting
    _forking.acquire()
    _is_waiting = True
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for holding in list(_holdings):
        if holding.pause(max(0.0, deadline - time.monotonic())):
            _paused.append(holding)


def _go_on() -> None:
    global _is_waiting
    _is_waiting = False
    while _paused:
        _paused.pop().go_on()
    _forking.release()


def _inherit() -> None:
    _go_on()
    for holding in _holdings:
        holding.keep()
    _holdings.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_pause, after_in_parent=_go_on, after_in_child=_inherit)
