"""Connections to a database file, with the library's pragmas, its SQL functions and the application's."""

from __future__ import annotations

import os
import sqlite3
from typing import Any, Literal, cast

import msgspec

from reelbase.engine.file.open_files import FileConnection, Mode, open_file
from reelbase.engine.file.read_only import open_to_read
from reelbase.engine.native.functions import create_functions
from reelbase.engine.native.pragmas import EVERY_CONNECTION, READER, WRITER, set_pragma
from reelbase.engine.native.setup import Setup, set_up

_STATEMENT_CACHE = 512


class ConnectionSettings(msgspec.Struct, frozen=True):
    """The settings that all connections of one database share. read_only: they change nothing."""

    path: str
    journal_mode: Literal["wal", "delete", "memory"]
    busy_timeout_seconds: float
    setup: Setup | None = None  # the application's
    read_only: bool = False


class NativeConnection(FileConnection):
    """sqlite3.Connection with the SQL functions of the package and, after set_up(), of the application.

    It remembers the application's setup, so that a connection to a copy of the database gets it, too.
    """

    setup: Setup | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        create_functions(self)

    def set_up(self, setup: Setup | None, path: str) -> None:
        """Calls the application's setup, if there is one. Raises DatabaseError (code setup); then the
        connection must be closed.

        path: the database's, for the error.
        """
        if setup is not None:
            set_up(self, setup, path)
            create_functions(self)  # again: setup may have replaced some
            self.setup = setup


def open_set_up(
    path: str | os.PathLike[str],
    mode: Mode,
    busy_timeout_seconds: float,
    setup: Setup | None,
) -> NativeConnection:
    """Opens a file and calls the application's setup. Leaks nothing when it fails.

    Args:
        path: as of open_file().
        mode: as of open_file().
        busy_timeout_seconds: as of open_file().
        setup: the application's function, or None.

    Raises:
        DatabaseError: as of open_file(); code setup.
    """
    native = open_file(path, mode, busy_timeout_seconds, factory=NativeConnection)
    assert isinstance(native, NativeConnection)
    try:
        native.set_up(setup, os.fspath(path))
    except BaseException:
        native.close()
        raise
    return native


def setup_of(native: sqlite3.Connection) -> Setup | None:
    """The application's setup of a connection; None if it has none."""
    return native.setup if isinstance(native, NativeConnection) else None


def open_native(
    settings: ConnectionSettings, role: Literal["reader", "writer"], *, alone: bool = False
) -> NativeConnection:
    """Opens and sets up a connection, on the calling thread. Leaks nothing when it fails.

    Args:
        settings: of the database.
        role: a reader only reads; the writer checkpoints.
        alone: with exclusive locks, which it keeps. This is the only way to read a WAL database on a
            filesystem without shared memory.

    Raises:
        sqlite3.Error: SQLite cannot open the file.
        DatabaseError: code pragma, when a pragma has no effect; code setup; or an error of open_file().
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
        for name, value in (*EVERY_CONNECTION, *(READER if role == "reader" else WRITER)):
            if name == "mmap_size" and not is_file:
                continue  # there is no file to map, and SQLite gives no answer
            set_pragma(native, name, value)
        native.set_up(settings.setup, settings.path)
    except BaseException:
        native.close()
        raise
    return native
