"""Migrations: what brings an older database to the schema of today."""

from __future__ import annotations

import contextlib
import glob
import sqlite3
from pathlib import Path

from reelbase.engine.backup import write_copy
from reelbase.engine.chain import Migration, migrations
from reelbase.engine.connection import set_pragma
from reelbase.engine.schema import SCHEMA_VERSION, statements_of
from reelbase.errors import SchemaError, translate


def bring_up_to_date(native: sqlite3.Connection, path: str) -> None:
    """Runs the migrations that the database lacks, each in a transaction of its own.

    A copy of the database as it was is kept beside it. Several processes may come here at once:
    each step is done by whoever gets the lock first, and the others find it done. Killed at any
    point, the file has its old version or a newer one, whole.
    """
    _keep_copy(native, path)
    # A table that is built anew is dropped, and with foreign keys on that would empty those that refer
    # to it. Every step looks for broken references itself.
    set_pragma(native, "foreign_keys", 0)
    try:
        for migration in migrations():
            _apply(native, migration, path)
    finally:
        set_pragma(native, "foreign_keys", 1)


def _apply(native: sqlite3.Connection, migration: Migration, path: str) -> None:
    context = f"migrating {path} to version {migration.version} ({migration.name})"
    try:
        native.execute("BEGIN IMMEDIATE")
        (version,) = native.execute("PRAGMA user_version").fetchone()
        if version < migration.version:
            for statement in statements_of(migration.sql):
                native.execute(statement)
            native.execute(
                "INSERT INTO schema_migrations (version, name, checksum) VALUES (?, ?, ?)",
                (migration.version, migration.name, migration.checksum),
            )
            broken = native.execute("PRAGMA foreign_key_check").fetchone()
            if broken is not None:
                raise SchemaError(
                    f"{context}: a row of {broken[0]} refers to a row of {broken[2]} that is not there; "
                    "nothing was changed",
                    code="broken_reference",
                )
        native.execute("COMMIT")
    except sqlite3.Error as error:
        raise translate(error, context) from error
    finally:
        if native.in_transaction:
            native.execute("ROLLBACK")


def _keep_copy(native: sqlite3.Connection, path: str) -> None:
    """Copies the database as it is now to ``<path>.v<version>.bak``; a copy that is there stays.

    Under the write lock, so that nobody migrates it, or copies it too, meanwhile. When somebody has
    migrated it since we looked, the copy is theirs to keep.
    """
    (found,) = native.execute("PRAGMA user_version").fetchone()
    native.execute("BEGIN IMMEDIATE")
    try:
        (version,) = native.execute("PRAGMA user_version").fetchone()
        target = Path(f"{path}.v{version}.bak")
        if version == found and version < SCHEMA_VERSION and not target.exists():
            for leftover in target.parent.glob(f"{glob.escape(target.name)}.*.partial*"):
                leftover.unlink()  # of somebody who was killed
            # A connection of its own: one that writes cannot be copied.
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as source:
                write_copy(source, target)
    finally:
        native.execute("ROLLBACK")
