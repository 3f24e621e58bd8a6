"""The header of a file: the application that it belongs to, and the version of its schema."""

from __future__ import annotations

import sqlite3


def user_version(native: sqlite3.Connection) -> int:
    """The version of the schema in the header; 0 for none."""
    (version,) = native.execute("PRAGMA user_version").fetchone()
    return int(version)


def application_id(native: sqlite3.Connection) -> int:
    """The application's mark in the header; 0 for none."""
    (mark,) = native.execute("PRAGMA application_id").fetchone()
    return int(mark)


def is_empty(native: sqlite3.Connection) -> bool:
    """Whether the file has no version, no mark and no object yet."""
    (objects,) = native.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return (application_id(native), user_version(native), objects) == (0, 0, 0)
