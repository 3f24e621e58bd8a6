"""SQLite's result codes as the errors of the package; the only module that translates them."""

from __future__ import annotations

import sqlite3
from typing import Any

from reelbase.engine.native.foreign_keys import BrokenReference
from reelbase.errors import (
    ConstraintError,
    ConstraintKind,
    DatabaseBusyError,
    DatabaseCorruptError,
    DatabaseError,
    DatabaseFullError,
    DatabaseIOError,
    DatabaseReadOnlyError,
)

# The meaning of SQLITE_CANTOPEN and of the extended codes of SQLITE_IOERR, for the person who runs the
# machine (sqlite.org/rescode.html).
_REFUSED_LOCK = "the filesystem refuses or loses locks; look at how it is mounted"
_OWN_TABLE_HINT = (
    "; a table of the application's own is made by its migrations: connect(migrations=…)"
)
_IO_HINTS = {
    3: _REFUSED_LOCK,  # SQLITE_PERM
    14: "the file, its -wal or its journal cannot be opened or made: look at permissions, "
    "whether the filesystem is read-only, and the limit of open files",
    778: "the disk could not write, or a quota or a limit of file sizes is reached",
    1034: "the disk could not make permanent what was written (fsync)",
    1290: "the folder of the database could not be synced (fsync)",
    2058: _REFUSED_LOCK,
    2314: _REFUSED_LOCK,
    2570: "a journal beside the database could not be removed: look at the permissions of the folder",
    3594: _REFUSED_LOCK,
    3850: _REFUSED_LOCK,
    4618: "the -shm file beside the database could not be made or opened",
    # A WAL database needs a -shm file even to be read.
    4874: "the -shm file could not grow; the disk is probably full",
    5130: _REFUSED_LOCK,
    5386: "the filesystem gives no shared memory for the -shm file",
    6410: "SQLite finds no folder for temporary files that it may write, among SQLITE_TMPDIR, TMPDIR, "
    "/var/tmp, /usr/tmp, /tmp and the current folder; set SQLITE_TMPDIR to one before the program starts",
}
_IO_HINT = (
    "the operating system refused to read or write the database or a file beside it; look at the disk "
    "and at the log of the system"
)
_READONLY_ROLLBACK = 776
_READONLY_DBMOVED = 1032
_TRIGGER = 1811
_DATATYPE = 3091

# Extended result codes of SQLITE_CONSTRAINT (sqlite.org/rescode.html). By number: a STRICT
# type error, has no name in the sqlite3 module of Python 3.11.
_KINDS: dict[int, ConstraintKind] = {
    275: "check",
    787: "foreign_key",
    1299: "not_null",
    1555: "unique",  # primary key
    _TRIGGER: "check",  # RAISE in a trigger
    2067: "unique",
    2579: "unique",  # rowid
    _DATATYPE: "check",  # a STRICT table got another type
}


def result_code(error: BaseException) -> int:
    """SQLite's primary result code of a driver error; 0 where it has none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def translate(
    error: sqlite3.Error,
    context: str,
    broken: BrokenReference | None = None,
    *,
    native: sqlite3.Connection | None = None,
) -> DatabaseError:
    """The package's error for a driver error.

    Args:
        error: the driver's error; it becomes the ``__cause__``.
        context: the statement's name, or the operation, for the text.
        broken: the reference that the statement has broken, if it could be found.
        native: its connection. If it only reads, a refused write does not mean that the file is read-only.
    """
    extended = int(getattr(error, "sqlite_errorcode", 0))
    text = str(error)
    if broken is None:
        translated = _translate(extended, text, context)
    else:
        translated = ConstraintError(f"{context}: {broken}", kind="foreign_key", constraint="")
        translated.details |= {
            "column": broken.column,
            "value": broken.value,
            "parent": broken.parent,
        }
    if isinstance(translated, DatabaseReadOnlyError) and not _only_reads(native):
        translated.code, translated.http_status = "read_only_file", 500
    translated.__cause__ = error
    return translated


def _only_reads(native: sqlite3.Connection | None) -> bool:
    return native is not None and bool(native.execute("PRAGMA query_only").fetchone()[0])


def _translate(extended: int, text: str, context: str) -> DatabaseError:
    details = {"context": context, "sqlite_errorcode": extended}
    match extended & 0xFF:
        case sqlite3.SQLITE_CONSTRAINT | sqlite3.SQLITE_MISMATCH:
            return _constraint(extended, text, context)
        case sqlite3.SQLITE_LOCKED:
            return DatabaseBusyError(
                f"{context}: a statement of the same connection is still being read ({text}); "
                "finish or close its stream first",
                details=details,
            )
        case (
            sqlite3.SQLITE_BUSY | sqlite3.SQLITE_PROTOCOL
        ):  # or lost a race for it, again and again
            return DatabaseBusyError(
                f"{context}: another connection held the lock for longer than busy_timeout ({text})",
                details=details,
            )
        case sqlite3.SQLITE_FULL:
            return DatabaseFullError(
                f"{context}: no space left for the database; free some, writes then resume ({text})",
                details=details,
            )
        case sqlite3.SQLITE_READONLY if extended == _READONLY_DBMOVED:
            return DatabaseIOError(
                f"{context}: the database file was moved or replaced while it was open, or its folder cannot"
                " be looked into; reopen it",
                code="moved",
                details=details,
            )
        case sqlite3.SQLITE_READONLY:
            return _read_only(extended, text, context, details)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return DatabaseCorruptError(
                # SQLite gives this code for a disk that cannot be read, too (SQLITE_IOERR_CORRUPTFS).
                f"{context}: {text}, or its disk cannot be read; look at the disk, then at "
                "`reelbase check --full`, which says what is damaged and what mends it",
                details=details,
            )
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            # Of some codes only the primary one is reported: any SQLITE_CANTOPEN is one.
            hint = _IO_HINTS.get(extended) or _IO_HINTS.get(extended & 0xFF, _IO_HINT)
            return DatabaseIOError(f"{context}: {hint} ({text})", details=details)
        case sqlite3.SQLITE_INTERRUPT:
            return DatabaseError(f"{context}: interrupted", code="interrupted", details=details)
        case sqlite3.SQLITE_TOOBIG:
            return DatabaseError(f"{context}: {text}", code="too_big", details=details)
        case _:
            hint = _OWN_TABLE_HINT if text.startswith("no such table: ") else ""
            return DatabaseError(f"{context}: {text}{hint}", code="statement", details=details)


def _read_only(extended: int, text: str, context: str, details: dict[str, Any]) -> DatabaseError:
    if extended != _READONLY_ROLLBACK:
        return DatabaseReadOnlyError(f"{context}: {text}", details=details)
    return DatabaseIOError(
        f"{context}: a crash has left a -journal beside it, and only a connection that can write may roll "
        "that back: connect() without read_only, or copy both files to where they can be written "
        f"({text})",
        code="needs_recovery",
        details=details,
    )


def _constraint(extended: int, text: str, context: str) -> ConstraintError:
    kind = _KINDS.get(extended, "check")
    if extended == _TRIGGER:
        constraint = text
    elif extended == _DATATYPE:
        constraint = text.rpartition(" ")[2]
    else:
        # "UNIQUE constraint failed: files.id", "UNIQUE constraint failed: index 'name'"
        constraint = text.partition(" constraint failed: ")[2].removeprefix("index ").strip("'")
    return ConstraintError(f"{context}: {text}", kind=kind, constraint=constraint)
