"""The errors of the package, and the one place that turns SQLite's into them.

DatabaseError
├── RecordNotFoundError      404  no row has this key
├── ConstraintError          409  the row would break a rule of the schema; nothing of it remains
├── InvalidArgumentError     422  an argument has a value that cannot be used; also a ValueError
├── InvalidTransitionError   409  the row is in a state that does not allow this change
├── DatabaseBusyError        503  somebody else held the lock for longer than busy_timeout
├── DatabaseTimeoutError     504  a statement took longer than its timeout; also a TimeoutError
├── CommitUncertainError     500  COMMIT failed in a way that leaves its outcome open
├── DatabaseFullError        507  no space left; writes resume by themselves once there is some
├── DatabaseReadOnlyError    403  a write where only reads are allowed; 500 for a read-only file or disk
├── DatabaseCorruptError     500  the file is damaged, or no database
├── DatabaseIOError          500  the operating system refused a read or a write
├── DatabaseClosedError      500  the database, or the unit of work, has ended
├── SchemaError              500  the file is not ours, or of another version
└── SecretError              500  a secret cannot be encrypted or decrypted

A value that cannot be used (a malformed id, a naive datetime, NaN, a lone surrogate, an integer past 64
bits) is InvalidArgumentError. An argument of the wrong type is a mistake in the program, and TypeError.
Both name the method that was called and its parameter.

What an HTTP answer may contain: http_status, code and public_details. The text of an error, its details
and its ``__cause__`` are for the log: they may name files, methods and SQL.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Literal

from reelbase.engine.statements.file_names import printable

if TYPE_CHECKING:
    from reelbase.engine.native.foreign_keys import BrokenReference

ConstraintKind = Literal["unique", "foreign_key", "check", "not_null"]


class DatabaseError(Exception):
    """Base of all errors of this package.

    code: stable, machine readable; each class lists its own, and has the one below its docstring where
    it lists none.  details: plain values for a log, never row contents; they may hold paths of the server.
    http_status: what a web application would answer.  The driver's error, if any, is ``__cause__``.

    Codes of a plain DatabaseError: ``statement`` (SQL that is wrong, or refused here), ``no_rows`` and
    ``row_mismatch`` (the rows are none, or do not fit the row type), ``too_big``, ``interrupted``,
    ``inside_unit`` (a call on the Database that would wait for the caller's own unit), ``savepoint`` (a
    call that belongs to another savepoint, or task), ``entered_twice`` (a unit or snapshot),
    ``transaction_lost`` (SQLite has rolled the unit back), ``not_loaded`` (a function, collation or
    module of the application's schema), ``setup`` (connect(setup=) failed), ``journal_mode`` and
    ``pragma`` (the file, or SQLite, refuses a setting), ``not_empty``, ``own_rows`` and
    ``broken_reference`` (reset and import), ``export_format`` (import), ``forked`` (the file was open
    when the process was forked), ``unexpected``.
    """

    code: str = "database"
    http_status: int = 500

    def __init__(
        self, message: str, *, code: str | None = None, details: dict[str, Any] | None = None
    ) -> None:
        # A path may hold what cannot be printed, nor be sent as JSON.
        super().__init__(printable(message))
        if code is not None:
            self.code = code
        self.details: dict[str, Any] = printable(details or {})

    @property
    def public_details(self) -> dict[str, Any]:
        """The details that an HTTP answer may contain: all of them if the caller of the application can
        act on the error (http_status below 500), else none, for they may hold paths of the server."""
        return self.details if self.http_status < 500 else {}

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception would call the class with the message alone, which not every class here allows.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    kind: type[DatabaseError], args: tuple[Any, ...], state: dict[str, Any]
) -> DatabaseError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidArgumentError(DatabaseError, ValueError):
    """An argument has a value that cannot be used; nothing was changed. It is also a ValueError.

    parameter: its name, as the method that was called has it.
    """

    code = "invalid_argument"
    http_status = 422

    def __init__(self, message: str, *, parameter: str) -> None:
        super().__init__(message, details={"parameter": parameter})
        self.parameter = parameter


class RecordNotFoundError(DatabaseError):
    """No row has this key. details: entity, key."""

    code = "not_found"
    http_status = 404


class ConstraintError(DatabaseError):
    """A write broke a rule of the schema; nothing of it remains.

    kind: what sort of rule: unique, foreign_key, check or not_null; code is always "constraint".
    constraint: its name, its columns, or the text of a trigger's RAISE; '' where SQLite names none
    (foreign keys).
    details: kind and constraint; of a foreign key also column, value and parent (the table that is
    referred to), where they could be found out.
    """

    code = "constraint"
    http_status = 409

    def __init__(self, message: str, *, kind: ConstraintKind, constraint: str) -> None:
        super().__init__(message, details={"kind": kind, "constraint": constraint})
        self.kind: ConstraintKind = kind
        self.constraint = constraint


class InvalidTransitionError(DatabaseError):
    """The row's state does not allow this change. details: entity, key, status."""

    code = "invalid_transition"
    http_status = 409


class DatabaseBusyError(DatabaseError):
    """The lock was not free within busy_timeout. Nothing was written; trying again later is safe.

    code: ``in_use`` (restore, repair), ``journal_mode`` (it cannot be changed while others have the file
    open), else busy.
    """

    code = "busy"
    http_status = 503


class DatabaseTimeoutError(DatabaseError, TimeoutError):
    """A statement took longer than the timeout of its call and was interrupted. Nothing of it remains."""

    code = "timeout"
    http_status = 504


class CommitUncertainError(DatabaseError):
    """COMMIT failed and the change may or may not be stored. Look before you repeat it."""

    code = "commit_uncertain"


class DatabaseFullError(DatabaseError):
    """The disk or quota is full. Nothing of the write remains."""

    code = "full"
    http_status = 507


class DatabaseReadOnlyError(DatabaseError):
    """A write where only reads are allowed. Nothing was written.

    code: ``read_only_file`` (http_status 500: the file or its filesystem is read-only), else read_only (a
    snapshot, a stream, or a database that was opened with read_only=True).
    """

    code = "read_only"
    http_status = 403


class DatabaseCorruptError(DatabaseError):
    """The file is damaged, its disk cannot read it, or it is no SQLite database at all."""

    code = "corrupt"


class DatabaseIOError(DatabaseError):
    """The operating system refused to open, read or write the file.

    code: ``missing``, ``exists`` (it is never overwritten), ``moved`` (or replaced, while it was open),
    ``directory``, ``not_regular``, ``hard_linked`` (a second name), ``backup_dir``, ``log_lost`` (the
    write-ahead log is gone or another one), ``lock_lost`` (the process has closed the file
    elsewhere), ``locks`` (the filesystem has none that work), ``needs_recovery`` (a crash has left a log that
    cannot be read without writing), ``changed`` (by another process, while it was read without locks),
    else io.
    """

    code = "io"


class DatabaseClosedError(DatabaseError):
    """The database is closed, or the unit of work or snapshot has ended.

    code: ``unit_ended``, ``snapshot_ended``, ``stream_closed``, ``forked`` (it was opened before a fork),
    else closed.
    """

    code = "closed"


class SchemaError(DatabaseError):
    """The file is not a reelbase database, or not one of this version. It was not changed.

    code: ``foreign``, ``newer``, ``older``, ``downgrade``, ``unversioned``, ``empty``, ``hard_linked``,
    ``drifted``, ``edited``, ``gap``, ``forbidden``, ``dependent``, ``broken_reference``,
    ``unknown_schema``; ``side_files`` (the file is a mount of its own, or something else would put its -wal
    or -journal elsewhere), ``stale_log`` (a -wal or -journal of another file lies beside it).
    """

    code = "schema"


class SecretError(DatabaseError):
    """A secret cannot be encrypted or decrypted with the keys at hand.

    code: ``no_secrets`` (connect() was given no keys), ``unknown_key``, ``damaged``, ``not_installed`` (the
    package cryptography).
    """

    code = "secret"


# What SQLITE_CANTOPEN and the extended codes of SQLITE_IOERR mean to the person who runs the machine
# (sqlite.org/rescode.html).
_REFUSED_LOCK = "the filesystem refuses or loses locks; look at how it is mounted"
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
    """The error of ours for a driver error. context: the statement's name, or what was being done.

    broken: the reference that a statement has broken, where that could be found out.  native: its
    connection; if that only reads, a write that was refused says nothing about the file.
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
                # Also what SQLite says of a disk that cannot be read (SQLITE_IOERR_CORRUPTFS).
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
            return DatabaseError(f"{context}: {text}", code="statement", details=details)


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
