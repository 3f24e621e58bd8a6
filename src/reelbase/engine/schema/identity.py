"""Which database a file is, by the one row of database_identity."""

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
    """database_id: of the database, and of every copy of it.  schema_digest: of the schema as it was
    last found in order; None: it was never looked at.

    copy_number, copy_name: a copy's place in the order in which copies came into its folder, and the
    name that it was given; None: the file is no copy.
    """

    database_id: str
    schema_digest: str | None
    copy_number: int | None
    copy_name: str | None


def read_identity(native: sqlite3.Connection) -> DatabaseIdentity | None:
    """None for a file of version 6 or earlier, and for one whose table or row is gone."""
    try:
        row = native.execute(
            "SELECT database_id, schema_digest, copy_number, copy_name FROM database_identity"
        ).fetchone()
    except sqlite3.OperationalError as error:
        if result_code(error) != sqlite3.SQLITE_ERROR:
            raise
        return None  # no such table, or none of ours
    return None if row is None else DatabaseIdentity(*row)


def read_database_id(native: sqlite3.Connection) -> UUID:
    """Of a file of the current version."""
    identity = read_identity(native)
    if identity is None:
        raise SchemaError(
            "the row of database_identity is missing, which says which database this is; open it to"
            " write, which makes a new one, or restore a backup",
            code="drifted",
        )
    return UUID(identity.database_id)


def mark_as_copy(native: sqlite3.Connection, number: int, name: str) -> None:
    """name: as recorded_name() has it."""
    native.execute(
        "UPDATE database_identity SET copy_number = ?, copy_name = ? WHERE id = 1", (number, name)
    )


def mark_as_original(native: sqlite3.Connection) -> None:
    """Of a file that is no copy any more, or that is to be one without a place among the others."""
    identity = read_identity(native)
    if identity is not None and identity.copy_number is not None:
        native.execute(
            "UPDATE database_identity SET copy_number = NULL, copy_name = NULL WHERE id = 1"
        )


def note_digest(native: sqlite3.Connection, digest: str) -> None:
    """Of a file that is no copy; one without the row gets a new identity."""
    native.execute(
        "INSERT INTO database_identity (id, schema_digest) VALUES (1, ?) ON CONFLICT (id) DO UPDATE"
        " SET schema_digest = excluded.schema_digest, copy_number = NULL, copy_name = NULL",
        (digest,),
    )


class Lineage(msgspec.Struct, frozen=True):
    """By what two files are known to be one database.  began: when it was made, by its ledger."""

    database_id: str | None
    began: str | None

    def is_of_the_same_database_as(self, other: Lineage) -> bool:
        """Before version 7 files have no id. What came later than version 1 may have come twice: a copy
        that was restored is migrated again."""
        if self.database_id is not None and other.database_id is not None:
            return self.database_id == other.database_id
        return self.began is not None and self.began == other.began


def read_lineage(native: sqlite3.Connection) -> Lineage:
    """Which database the file is, and when it was made."""
    identity = read_identity(native)
    first = native.execute("SELECT applied_at FROM schema_migrations WHERE version = 1").fetchone()
    return Lineage(
        None if identity is None else identity.database_id, None if first is None else first[0]
    )


def open_as_it_lies(path: Path) -> sqlite3.Connection:
    """A connection that reads a file without a lock, and makes nothing beside it: what is only in a
    write-ahead log is not seen.

    By SQLite, because a database that this process has open must not be opened otherwise: to close it
    would drop its locks.
    """
    return sqlite3.connect(uri_of(path, "mode=ro&immutable=1"), uri=True, isolation_level=None)


def recorded_name(path: Path) -> str:
    """The name of a file as a text that a database can hold: a name need not be UTF-8."""
    return os.fsencode(path.name).decode(errors="backslashreplace")
