"""One SQLite connection on one thread: how it is opened, set up, given work and closed.

The only module that touches aiosqlite's insides: its Connection owns the thread and the queue, and
``wake`` puts a call into that queue. The worker decides the content of the call.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import aiosqlite
from aiosqlite.core import _STOP_RUNNING_SENTINEL

from reelbase.engine.native.errors import translate
from reelbase.engine.threads.forks import Holding
from reelbase.engine.threads.mailbox import notify, settle
from reelbase.errors import DatabaseClosedError

_log = logging.getLogger("reelbase")

R = TypeVar("R")

_EXIT_SECONDS = 1.0


class Connection(aiosqlite.Connection):
    """aiosqlite's thread and queue, made safe to forget, to cancel and to fork."""

    def __init__(self) -> None:
        super().__init__(_not_connected, iter_chunk_size=64)
        self._holding = Holding(self._tx)
        self._ending = threading.Lock()
        self._is_ended = False
        self._at_end: list[Callable[[], None]] = []
        # A thread that is no daemon would keep the interpreter alive until the connection is closed.
        self._thread.daemon = True
        self._thread.name = "reelbase"
        _threads.add(self._thread)
        self._thread.start()
        _open_connections.add(self)

    @property
    def native(self) -> sqlite3.Connection:
        """The connection itself; only for the connection's own thread, and for interrupt()."""
        if self._holding.native is None:
            raise DatabaseClosedError("the connection is closed")
        return self._holding.native

    @property
    def inherited(self) -> bool:
        """Whether this is a forked child of the process that opened it."""
        return self._holding.is_inherited

    async def open(self, opener: Callable[[], sqlite3.Connection]) -> None:
        """Opens the native connection on the thread; a cancelled or failed open leaks nothing."""

        def open_native_connection() -> None:
            try:
                self._holding.native = self._connection = opener()
            except sqlite3.Error as error:
                raise translate(error, "opening the database") from error

        try:
            await self.call(open_native_connection)
        except BaseException:
            self.close_soon()
            raise

    def call(self, work: Callable[[], R]) -> asyncio.Future[R]:
        """Runs work on the thread, after all queued calls; it runs even if the future is cancelled."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()

        def run() -> None:
            try:
                result = work()
            except BaseException as error:
                notify(loop, settle, [(future, None, error)])
            else:
                notify(loop, settle, [(future, result, None)])

        self.wake(run)
        return future

    def wake(self, work: Callable[[], None]) -> None:
        """Lets the thread call work after all queued calls. work must not raise."""
        self._tx.put_nowait((None, partial(self._holding.run, work)))

    def give_way(self) -> None:
        """Lets a waiting fork happen. Called on the thread, between two requests."""
        self._holding.give_way()

    async def shut(self) -> None:
        """Closes the native connection after all queued work. Idempotent."""
        if self.inherited:
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self.close_soon(lambda: notify(loop, settle, [(future, None, None)]))
        await future

    def close_soon(self, then: Callable[[], None] | None = None) -> None:
        """Closes the native connection after all queued work, and then calls then, without waiting.

        Callable from any thread, and again while it is closing or closed.
        """
        if self.inherited:
            return
        with self._ending:
            is_first, self._running = self._running, False
            if then is not None and not self._is_ended:
                self._at_end.append(then)
                then = None
        if then is not None:
            then()
        if is_first:
            _open_connections.discard(self)
            self._tx.put_nowait((None, self._end))

    def _end(self) -> object:
        self._connection = None
        _close(self._holding)
        with self._ending:
            self._is_ended = True
        for then in self._at_end:
            then()
        return _STOP_RUNNING_SENTINEL

    def __del__(self) -> None:
        # No reference is left, so the queue holds no call of this connection either.
        if self._running and not self.inherited:
            self._connection = None
            self._tx.put_nowait((None, partial(_close, self._holding)))


async def on_a_thread(work: Callable[[], R]) -> R:
    """Runs work on a thread of its own, which ends with it. work opens and closes its own connections."""
    connection = Connection()
    try:
        result: R = await connection.call(work)
        return result
    finally:
        connection.close_soon()


def _not_connected() -> sqlite3.Connection:
    raise DatabaseClosedError("the connection is opened by open()")


def _close(holding: Holding) -> object:
    """The last call on a thread: closes its connection."""
    holding.run(holding.close)
    return _STOP_RUNNING_SENTINEL


_open_connections: weakref.WeakSet[Connection] = weakref.WeakSet()
_threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def is_of_a_connection(thread: threading.Thread) -> bool:
    """Whether the thread is one of the library's own."""
    return thread in _threads


def _close_at_exit() -> None:
    """Closes the connections that are still open at exit; waits _EXIT_SECONDS in all for their threads."""
    deadline = time.monotonic() + _EXIT_SECONDS
    connections = [connection for connection in _open_connections if not connection.inherited]
    for connection in connections:
        with contextlib.suppress(DatabaseClosedError):
            connection.native.interrupt()
        connection.close_soon()
    for connection in connections:
        connection._thread.join(max(0.0, deadline - time.monotonic()))


atexit.register(_close_at_exit)
