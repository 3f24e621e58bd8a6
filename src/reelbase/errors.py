"""The errors of the package.

DatabaseError
├── RecordNotFoundError      404  no row has the key
├── ConstraintError          409  the row would break a rule of the schema; nothing of it remains
├── InvalidArgumentError     422  an argument has a value that cannot be used; also a ValueError
├── InvalidTransitionError   409  the row is in a state that does not allow this change
├── ChangesExpiredError      410  the changes since then are not known any more
├── DatabaseBusyError        503  another connection held the lock for longer than busy_timeout
├── DatabaseTimeoutError     504  a statement took longer than its timeout; also a TimeoutError
├── CommitUncertainError     500  COMMIT failed in a way that leaves its outcome open
├── DatabaseFullError        507  no space left; writes work again once there is space
├── DatabaseReadOnlyError    403  a write where only reads are allowed; 500 for a read-only file or disk
├── DatabaseCorruptError     500  the file is damaged, or is no database
├── DatabaseIOError          500  the operating system refused a read or a write
├── DatabaseClosedError      500  the database, or the unit of work, has ended
├── SchemaError              500  the file is not a reelbase database, or has another version
└── SecretError              500  a secret cannot be encrypted or decrypted

A value that cannot be used (a malformed id, a naive datetime, NaN, a lone surrogate, an integer past 64
bits) is InvalidArgumentError. An argument of the wrong type is a mistake in the program, and TypeError.
Both name the method that was called and its parameter.

An HTTP answer may contain http_status, code, public_details and the public_text of an InvalidArgumentError.
The text of an error, its details and its ``__cause__`` are for the log: they may name files, methods and SQL.
"""

from __future__ import annotations

from typing import Any, Literal

from reelbase.engine.file_names import printable

ConstraintKind = Literal["unique", "foreign_key", "check", "not_null"]


class DatabaseError(Exception):
    """Base of all errors of this package.

    code: stable, machine readable; the docstring of each class lists its codes. A class without a list has
    one code, its class attribute.  details: plain values for a log, never row contents; they may hold
    paths of the server.  http_status: the status for the answer of a web application.  The driver's error,
    if any, is ``__cause__``.

    Codes of a plain DatabaseError: ``statement`` (SQL that is wrong, or refused here), ``no_rows`` and
    ``row_mismatch`` (the rows are none, or do not fit the row type), ``too_big``, ``interrupted``,
    ``inside_unit`` (a call on the Database that would wait for the caller's own unit), ``savepoint`` (a
    call that belongs to another savepoint, or task), ``entered_twice`` (a unit or snapshot),
    ``transaction_lost`` (SQLite has rolled the unit back), ``not_loaded`` (a function, collation or
    module of the application's schema), ``setup`` (connect(setup=) failed), ``journal_mode`` and
    ``pragma`` (the file, or SQLite, refuses a setting), ``not_empty``, ``own_rows`` and
    ``broken_reference`` (reset and import), ``export_format`` (import), ``schedule`` (its next slot cannot
    be told on this machine), ``not_installed`` (an extra is missing), ``forked`` (the file was open
    when the process was forked), ``unexpected``.
    """

    code: str = "database"
    http_status: int = 500

    def __init__(
        self, message: str, *, code: str | None = None, details: dict[str, Any] | None = None
    ) -> None:
        # A path may hold lone surrogates, which can neither be printed nor sent as JSON.
        super().__init__(printable(message))
        if code is not None:
            self.code = code
        self.details: dict[str, Any] = printable(details or {})

    @property
    def public_details(self) -> dict[str, Any]:
        """The details that an HTTP answer may contain: all of them if the application's client can act on
        the error (http_status below 500), else none, because they may hold paths of the server."""
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

    parameter: the parameter's name in the method that was called.  public_text: the sentence about it without
    the method, which an HTTP answer may contain; None where it would name a file of the server or SQL.
    """

    code = "invalid_argument"
    http_status = 422

    def __init__(self, message: str, *, parameter: str, public_text: str | None = None) -> None:
        super().__init__(message, details={"parameter": parameter})
        self.parameter = parameter
        self.public_text = None if public_text is None else printable(public_text)


class RecordNotFoundError(DatabaseError):
    """No row has this key. details: entity, key."""

    code = "not_found"
    http_status = 404


class ConstraintError(DatabaseError):
    """A write broke a rule of the schema; nothing of it remains.

    kind: the kind of the rule: unique, foreign_key, check or not_null; code is always "constraint".
    constraint: its name, its columns, or the text of a trigger's RAISE; '' if SQLite names none
    (foreign keys).
    details: kind and constraint; for a foreign key also column, value and parent (the table that is
    referred to), if they could be found. Of a version that cannot be restored: the ids of what is in the way.
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


class ChangesExpiredError(DatabaseError):
    """changes() cannot go on where it should: its journal does not go back so far. Read everything again, and
    call it without since. details: since.
    """

    code = "changes_expired"
    http_status = 410


class DatabaseBusyError(DatabaseError):
    """The lock was not free within busy_timeout. Nothing was written; trying again later is safe.

    code: ``in_use`` (restore, repair), ``journal_mode`` (it cannot be changed while another connection has
    the file open), else busy.
    """

    code = "busy"
    http_status = 503


class DatabaseTimeoutError(DatabaseError, TimeoutError):
    """A statement took longer than the timeout of its call and was interrupted, and nothing of it remains;
    or a job that jobs.wait() was waiting for has not finished."""

    code = "timeout"
    http_status = 504


class CommitUncertainError(DatabaseError):
    """COMMIT failed, and the change may or may not be stored. Check that before you repeat the change."""

    code = "commit_uncertain"


class DatabaseFullError(DatabaseError):
    """The disk or quota is full. Nothing of the write remains."""

    code = "full"
    http_status = 507


class DatabaseReadOnlyError(DatabaseError):
    """A write where only reads are allowed. Nothing was written.

    code: ``read_only_file`` (http_status 500: the file or its filesystem is read-only), else read_only (a
    write in a snapshot, a stream, or a database that was opened with read_only=True).
    """

    code = "read_only"
    http_status = 403


class DatabaseCorruptError(DatabaseError):
    """The file is damaged, its disk cannot read it, or it is not an SQLite database at all. Of a version of a
    project: it is not what was saved (details: project_id, number)."""

    code = "corrupt"


class DatabaseIOError(DatabaseError):
    """The operating system refused to open, read or write the file.

    code: ``missing``, ``exists`` (a file is never overwritten), ``moved`` (or replaced, while it was open),
    ``directory``, ``not_regular``, ``hard_linked`` (a second name), ``backup_dir``, ``log_lost`` (the
    write-ahead log was deleted or replaced), ``lock_lost`` (the process has opened and closed the file
    outside of SQLite), ``locks`` (the filesystem has no working locks), ``needs_recovery`` (a crash has left
    a log that cannot be read without writing), ``changed`` (by another process, while it was read without
    locks), else io.
    """

    code = "io"


class DatabaseClosedError(DatabaseError):
    """The database is closed, or the unit of work or snapshot has ended.

    code: ``unit_ended``, ``snapshot_ended``, ``stream_closed``, ``forked`` (the database was opened before a
    fork), else closed.
    """

    code = "closed"


class SchemaError(DatabaseError):
    """The file is not a reelbase database, or not one of this version. It was not changed.

    code: ``foreign``, ``newer``, ``older``, ``downgrade``, ``unversioned``, ``empty``, ``hard_linked``,
    ``drifted``, ``edited``, ``gap``, ``forbidden``, ``dependent``, ``broken_reference``,
    ``unknown_schema``; ``incomplete`` (the dump of another application is cut off); ``side_files`` (the file
    or a side file is a mount of its own, or a link or a folder has the name of a side file), ``stale_log``
    (a -wal or -journal of another database lies beside it).
    """

    code = "schema"


class SecretError(DatabaseError):
    """A secret cannot be encrypted or decrypted with the keys at hand.

    code: ``no_secrets`` (connect() was given no keys), ``unknown_key``, ``damaged``, ``not_installed`` (the
    package cryptography).
    """

    code = "secret"
