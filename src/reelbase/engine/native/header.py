"""What the header of a file says: whose it is, and of which version."""

from __future__ import annotations

import sqlite3


def user_version(native: sqlite3.Connection) -> int:
    """The version of the schema that the file says it has; 0 for none."""
    (version,) = native.execute("PRAGMA user_version").fetchone()
    return int(version)


def application_id(native: sqlite3.Connection) -> int:
    """The mark of the program that the file belongs to; 0 for none."""
    (mark,) = native.execute("PRAGMA application_id").fetchone()
    return int(mark)


def is_empty(native: sqlite3.Connection) -> bool:
    """Whether the file holds nothing yet: no version, no mark, no object."""
    (objects,) = native.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return (application_id(native), user_version(native), objects) == (0, 0, 0)
