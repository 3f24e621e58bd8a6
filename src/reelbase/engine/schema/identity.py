"""The identity of a database, from the one row of database_identity."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from uuid import UUID

import msgspec

from reelbase.engine.file.paths import uri_of
from reelbase.engine.native.errors import result_code
from reelbase.errors import SchemaError


class DatabaseIdentity(msgspec.Struct, frozen=True):
    """The row of database_identity.

    database_id: the same in the database and in every copy of it.  schema_digest: the digest of the schema
    at its last successful check; None: it was never checked.

    copy_number, copy_name: a copy's position in the order in which copies came into its folder, and the
    name that it was given; None: the file is no copy.
    """

    database_id: str
    schema_digest: str | None
    copy_number: int | None
    copy_name: str | None


def read_identity(native: sqlite3.Connection) -> DatabaseIdentity | None:
    """The identity; None for a file of version 6 or earlier, and for a file that lacks the table or row."""
    try:
        row = native.execute(
            "SELECT database_id, schema_digest, copy_number, copy_name FROM database_identity"
        ).fetchone()
    except sqlite3.OperationalError as error:
        if result_code(error) != sqlite3.SQLITE_ERROR:
            raise
        return None  # no such table, or another program's
    return None if row is None else DatabaseIdentity(*row)


def read_database_id(native: sqlite3.Connection) -> UUID:
    """The id of a database of the current version. SchemaError (code drifted) if its row is missing."""
    identity = read_identity(native)
    if identity is None:
        raise SchemaError(
            "the row of database_identity is missing, which says which database this is; open it to"
            " write, which makes a new one, or restore a backup",
            code="drifted",
        )
    return UUID(identity.database_id)


def mark_as_copy(native: sqlite3.Connection, number: int, name: str) -> None:
    """Notes that the file is a copy.

    Args:
        native: a connection to the copy.
        number: its position in the order of the copies.
        name: its name, from recorded_name().
    """
    native.execute(
        "UPDATE database_identity SET copy_number = ?, copy_name = ? WHERE id = 1", (number, name)
    )


def mark_as_original(native: sqlite3.Connection) -> None:
    """Notes that the file is no copy any more, or a copy that retention does not count."""
    identity = read_identity(native)
    if identity is not None and identity.copy_number is not None:
        native.execute(
            "UPDATE database_identity SET copy_number = NULL, copy_name = NULL WHERE id = 1"
        )


def note_digest(native: sqlite3.Connection, digest: str) -> None:
    """Notes the digest of the schema, and that the file is no copy. A file without the row gets a new
    identity."""
    native.execute(
        "INSERT INTO database_identity (id, schema_digest) VALUES (1, ?) ON CONFLICT (id) DO UPDATE"
        " SET schema_digest = excluded.schema_digest, copy_number = NULL, copy_name = NULL",
        (digest,),
    )


class Lineage(msgspec.Struct, frozen=True):
    """The marks that two files of one database share.  began: the time when it was made, by its ledger."""

    database_id: str | None
    began: str | None

    def is_of_the_same_database_as(self, other: Lineage) -> bool:
        """Whether both are files of one database: by the id, or by the time of version 1 for files from
        before version 7, which have no id. Later times do not serve: a restored copy is migrated again."""
        if self.database_id is not None and other.database_id is not None:
            return self.database_id == other.database_id
        return self.began is not None and self.began == other.began


def read_lineage(native: sqlite3.Connection) -> Lineage:
    """The lineage of a file."""
    identity = read_identity(native)
    first = native.execute("SELECT applied_at FROM schema_migrations WHERE version = 1").fetchone()
    return Lineage(
        None if identity is None else identity.database_id, None if first is None else first[0]
    )


def open_as_it_lies(path: Path) -> sqlite3.Connection:
    """A connection that reads a file without a lock, and makes no side files. It does not see changes that
    are still in a write-ahead log.

    It goes through SQLite: if this process has the database open, closing a file handle of its own would
    drop the process's locks.
    """
    return sqlite3.connect(uri_of(path, "mode=ro&immutable=1"), uri=True, isolation_level=None)


def recorded_name(path: Path) -> str:
    """The name of a file as a text that a database can hold: a name need not be UTF-8."""
    return os.fsencode(path.name).decode(errors="backslashreplace")
