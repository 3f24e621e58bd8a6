"""Drift: whether the schema of a file is still the one that the library made. A cheap check at every open.

The file keeps a digest of all statements of its schema, as they were at the last comparison object by
object. SQLite's own count of changes (PRAGMA schema_version) does not serve: writable_schema does not
raise it, and in copies of SQLite's backup it restarts, so that a changed copy can have the noted number.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3

from reelbase.engine.native.errors import result_code
from reelbase.engine.native.pragmas import set_pragma
from reelbase.engine.schema.fingerprint import additions, differences, in_one_sentence
from reelbase.engine.schema.identity import note_digest, read_identity
from reelbase.engine.schema.source import SCHEMA_VERSION
from reelbase.errors import SchemaError

_log = logging.getLogger("reelbase")

# The noted digest saves the next connect() a comparison; if it cannot be noted, no harm is done.
_CANNOT_BE_NOTED = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
)


def refuse_drift(native: sqlite3.Connection, path: str) -> bool:
    """Whether the digest is up to date, so that settle() has nothing to do. Reads only.

    Raises SchemaError (code drifted) when an object of the library was changed or dropped in a file of the
    current version. Added tables, columns, indexes, triggers and views are allowed.
    """
    identity = read_identity(native)
    if identity is not None and identity.schema_digest == digest_of_schema(native):
        return identity.copy_number is None
    added = additions(native, SCHEMA_VERSION)
    found = [line for line in differences(native, SCHEMA_VERSION) if line not in added]
    if found:
        raise drifted(path, SCHEMA_VERSION, found)
    return False


def drifted(path: str, version: int, found: list[str]) -> SchemaError:
    """The error for a schema that has drifted from its version.

    Args:
        path: the file.
        version: the version of its schema.
        found: a sentence for each difference.
    """
    return SchemaError(
        f"{path} is not as version {version} made it: {in_one_sentence(found)}. Undo that, mend it by"
        " `reelbase repair`, or restore a backup; nothing was changed",
        code="drifted",
        details={"path": path, "version": version, "differences": found},
    )


def settle(native: sqlite3.Connection, path: str) -> None:
    """Notes the digest of a schema that refuse_drift() has passed, and warns of objects that were added to
    the library's tables. A copy that is opened for writing ceases to be a copy, and a file that has lost
    its identity gets a new one.
    """
    identity = read_identity(native)
    digest = digest_of_schema(native)
    if identity is None:
        _log.warning(
            "%s did not say any more which database it is: it is a new one from now on, and none of the"
            " copies that were made of it is removed for newer ones",
            path,
        )
    elif identity.schema_digest != digest and (added := additions(native, SCHEMA_VERSION)):
        _log.warning(
            "%s has more than the library's schema: %s. It takes part in the library's statements, and"
            " may slow them down or make them fail",
            path,
            in_one_sentence(added),
        )
    _note(native, digest)


def _note(native: sqlite3.Connection, digest: str) -> None:
    (busy_milliseconds,) = native.execute("PRAGMA busy_timeout").fetchone()
    set_pragma(native, "busy_timeout", 0)
    try:
        native.execute("BEGIN IMMEDIATE")
        if digest_of_schema(native) == digest:  # no other connection has changed it meanwhile
            note_digest(native, digest)
        native.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if result_code(error) not in _CANNOT_BE_NOTED:
            raise
    finally:
        if native.in_transaction:
            native.execute("ROLLBACK")
        set_pragma(native, "busy_timeout", busy_milliseconds)


def digest_of_schema(native: sqlite3.Connection) -> str:
    """A digest of all statements of the schema: equal as long as no statement has changed."""
    # As bytes: a table of the user's own may have been typed in another encoding.
    # Without the objects that SQLite makes by itself: each build has its own tables for statistics.
    (statements,) = native.execute(
        "SELECT CAST(group_concat(sql, char(10)) AS BLOB) FROM sqlite_schema"
        " WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    ).fetchone()
    return hashlib.sha256(statements or b"").hexdigest()
