"""One SQLite connection on one thread: how it is opened, set up, handed work and let go.

The only place that touches aiosqlite's insides: its Connection owns the thread and the queue, and
``wake`` puts a call into that queue. What the call does there is the worker's business.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeVar, cast

import aiosqlite
import msgspec
from aiosqlite.core import _STOP_RUNNING_SENTINEL

from reelbase.engine.file.open_files import FileConnection, Mode, open_file
from reelbase.engine.file.read_only import open_to_read
from reelbase.engine.native.setup import Setup, set_up
from reelbase.engine.statements.search import excerpt, folded, spaced
from reelbase.engine.threads.forks import Holding
from reelbase.engine.threads.mailbox import settle
from reelbase.errors import DatabaseClosedError, DatabaseError, translate

_log = logging.getLogger("reelbase")

R = TypeVar("R")

# A write-ahead log that is longer than this is cut back.
WAL_LIMIT_BYTES = 64 * 1024 * 1024

# PRAGMA temp_store.
IN_FILES, IN_MEMORY = 1, 2

_EXIT_SECONDS = 1.0
_STATEMENT_CACHE = 512


class ConnectionSettings(msgspec.Struct, frozen=True):
    """What every connection of one database has in common. read_only: they change nothing."""

    path: str
    journal_mode: Literal["wal", "delete", "memory"]
    busy_timeout_seconds: float
    setup: Setup | None = None  # the application's
    read_only: bool = False


Pragma = tuple[str, int | str]

_EVERY: tuple[Pragma, ...] = (
    # References are checked on each connection or not at all.
    ("foreign_keys", 1),
    # A mapped page past the end of a truncated file is SIGBUS, not an error; and maps are stale on
    # network filesystems.
    ("mmap_size", 0),
    # A damaged page is reported instead of followed.
    ("cell_size_check", 1),
    # Sorting spills to memory: /tmp of a small server is often a RAM disk or an SD card.
    ("temp_store", IN_MEMORY),
    # 16 MiB; the default of 2 is too small for sorting a gallery.
    ("cache_size", -16384),
)
_READER: tuple[Pragma, ...] = (
    ("query_only", 1),
    # Only the writer checkpoints: before SQLite 3.51.3 two at once can corrupt the database.
    ("wal_autocheckpoint", 0),
)
_WRITER: tuple[Pragma, ...] = (
    # Pages after which a commit also checkpoints (passively, without waiting for readers).
    ("wal_autocheckpoint", 1000),
    # A WAL that one large transaction blew up is cut back at its next reset.
    ("journal_size_limit", WAL_LIMIT_BYTES),
    # ANALYZE looks at this many rows per index, so that `optimize` stays quick on large tables.
    ("analysis_limit", 400),
)


class NativeConnection(FileConnection):
    """sqlite3.Connection with the SQL functions that the package's statements may call, and with those
    of the application once set_up() was called: a copy of the database is given them too.
    """

    setup: Setup | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._create_functions()

    def set_up(self, setup: Setup | None, path: str) -> None:
        """Raises DatabaseError (code setup); the connection must be closed then."""
        if setup is not None:
            set_up(self, setup, path)
            self._create_functions()  # of the same names
            self.setup = setup

    def _create_functions(self) -> None:
        # Used in statements, never in the schema: other programs lack them.
        self.create_function("folded", 1, _folded, deterministic=True)
        self.create_function("stripped", 1, _stripped, deterministic=True)
        self.create_function("spaced", 1, spaced, deterministic=True)
        self.create_function("excerpt", 2, excerpt, deterministic=True)
        self.create_function("merged", 2, _merged, deterministic=True)


def open_set_up(
    path: str | os.PathLike[str],
    mode: Mode,
    busy_timeout_seconds: float,
    setup: Setup | None,
) -> NativeConnection:
    """As open_file(), with the application's functions. Leaks nothing when it fails."""
    native = open_file(path, mode, busy_timeout_seconds, factory=NativeConnection)
    assert isinstance(native, NativeConnection)
    try:
        native.set_up(setup, os.fspath(path))
    except BaseException:
        native.close()
        raise
    return native


def setup_of(native: sqlite3.Connection) -> Setup | None:
    """The application's set-up that a connection has been through."""
    return native.setup if isinstance(native, NativeConnection) else None


def _folded(text: str | None) -> str | None:
    """LIKE and lower() fold ASCII only."""
    return None if text is None else folded(text)


def _stripped(text: str | None) -> str | None:
    """trim() knows the spaces of ASCII only."""
    return None if text is None else text.strip()


def _merged(old: str, new: str) -> str:
    """Two JSON objects as one, key by key; json_patch() goes deeper and takes null for a deletion."""
    merged: dict[str, Any] = msgspec.json.decode(old) | msgspec.json.decode(new)
    return msgspec.json.encode(merged).decode()


def open_native(
    settings: ConnectionSettings, role: Literal["reader", "writer"], *, alone: bool = False
) -> NativeConnection:
    """Opens and sets up a connection, on the calling thread. Leaks nothing when it fails.

    alone: with locks that it keeps, which is the only way to read a WAL database on a filesystem
    without shared memory. Raises sqlite3.Error, and DatabaseError for a pragma that has no effect.
    """
    is_file = settings.journal_mode != "memory"
    options: dict[str, Any] = {
        "check_same_thread": False,  # interrupt() comes from the event loop's thread
        "cached_statements": _STATEMENT_CACHE,
        "factory": NativeConnection,
    }
    opened: sqlite3.Connection
    if settings.read_only:
        opened = open_to_read(settings.path, settings.busy_timeout_seconds, **options)
    elif is_file:
        opened = open_file(settings.path, "mode=rw", settings.busy_timeout_seconds, **options)
    else:
        opened = sqlite3.connect(settings.path, isolation_level=None, **options)
    native = cast(NativeConnection, opened)
    try:
        if alone:
            set_pragma(native, "locking_mode", "exclusive")  # first: other pragmas read the schema
        for name, value in (*_EVERY, *(_READER if role == "reader" else _WRITER)):
            if name == "mmap_size" and not is_file:
                continue  # there is no file to map, and SQLite gives no answer
            set_pragma(native, name, value)
        native.set_up(settings.setup, settings.path)
    except BaseException:
        native.close()
        raise
    return native


def set_pragma(native: sqlite3.Connection, name: str, value: int | str) -> None:
    """Sets a pragma and reads it back: SQLite ignores what it does not know or cannot do."""
    native.execute(f"PRAGMA {name} = {value}").close()
    (actual,) = native.execute(f"PRAGMA {name}").fetchone()
    if actual != value:
        raise DatabaseError(
            f"PRAGMA {name} = {value} did not take effect (it is {actual!r})",
            code="pragma",
            details={"pragma": name, "wanted": value, "actual": actual},
        )


def path_of(native: sqlite3.Connection) -> str:
    """The path of a connection's database; '' for one in memory."""
    (path,) = native.execute(
        "SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'"
    ).fetchone()
    return os.fsdecode(path or b"")  # names need not be UTF-8


class Connection(aiosqlite.Connection):
    """aiosqlite's thread and queue, made safe to forget, to cancel and to fork."""

    def __init__(self) -> None:
        super().__init__(_not_connected, iter_chunk_size=64)
        self._holding = Holding(self._tx)
        self._ending = threading.Lock()
        self._is_ended = False
        self._at_end: list[Callable[[], None]] = []
        # A thread that is no daemon would keep the interpreter alive until somebody closes it.
        self._thread.daemon = True
        self._thread.name = "reelbase"
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
        """Runs work on the thread after all that is queued; it runs even if the future is cancelled."""
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
        """Lets the thread call work after all that is queued. work must not raise."""
        self._tx.put_nowait((None, partial(self._holding.run, work)))

    def give_way(self) -> None:
        """On the thread, between two pieces of work that it was woken for: lets a fork happen."""
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
        # Forgotten: nothing of ours waits in the queue either, for that would hold a reference.
        if self._running and not self.inherited:
            self._connection = None
            self._tx.put_nowait((None, partial(_close, self._holding)))


async def on_a_thread(work: Callable[[], R]) -> R:
    """Runs work, which opens and closes what it needs, on a thread that ends with it."""
    connection = Connection()
    try:
        result: R = await connection.call(work)
        return result
    finally:
        connection.close_soon()


def _not_connected() -> sqlite3.Connection:
    raise DatabaseClosedError("the connection is opened by open()")


def _close(holding: Holding) -> object:
    """The end of a thread."""
    holding.run(holding.close)
    return _STOP_RUNNING_SENTINEL


def notify(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: Any) -> None:
    """Calls function on the loop, from any thread. A closed loop has nobody left to hear it."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)


_open_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


def _close_at_exit() -> None:
    """Lets threads that nobody closed finish in good order; waits for a hung one only so long."""
    deadline = time.monotonic() + _EXIT_SECONDS
    connections = [connection for connection in _open_connections if not connection.inherited]
    for connection in connections:
        with contextlib.suppress(DatabaseClosedError):
            connection.native.interrupt()
        connection.close_soon()
    for connection in connections:
        connection._thread.join(max(0.0, deadline - time.monotonic()))


atexit.register(_close_at_exit)
