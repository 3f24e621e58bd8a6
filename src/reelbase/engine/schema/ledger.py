"""The ledger: the migrations that were applied to a file, the package's and the applications' own."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from reelbase.engine.record import Record
from reelbase.engine.schema import chain
from reelbase.engine.schema.chain import Migration, Migrations
from reelbase.errors import SchemaError

# Created when the first application needs it: it is no part of the schema, but one of the users' tables.
_CREATE_APPLICATION_LEDGER = """
CREATE TABLE IF NOT EXISTS application_migrations (
  application  TEXT NOT NULL,
  version      INTEGER NOT NULL,
  name         TEXT NOT NULL,
  checksum     TEXT NOT NULL,  -- SHA-256 of the migration's text
  applied_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT application_migrations_pk PRIMARY KEY (application, version)
) STRICT
"""


class AppliedMigration(Record, frozen=True):
    """A line of the ledger. application: the migration's owner; None: the package."""

    application: str | None
    version: int
    name: str
    checksum: str
    applied_at: datetime


def record(native: sqlite3.Connection, migration: Migration) -> None:
    """Adds a migration to the ledger; called in its transaction."""
    if migration.application is None:
        native.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (?, ?, ?)",
            (migration.version, migration.name, migration.checksum),
        )
        return
    native.execute(_CREATE_APPLICATION_LEDGER)
    native.execute(
        "INSERT INTO application_migrations (application, version, name, checksum)"
        " VALUES (?, ?, ?, ?)",
        (migration.application, migration.version, migration.name, migration.checksum),
    )


def ours(native: sqlite3.Connection) -> list[AppliedMigration]:
    """The package's migrations that were applied, in order."""
    return _decoded(
        native.execute(
            "SELECT NULL, version, name, checksum, applied_at FROM schema_migrations ORDER BY version"
        )
    )


def of_applications(native: sqlite3.Connection) -> list[AppliedMigration]:
    """The migrations of all applications that were applied, by application, in order."""
    there = native.execute(
        "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'application_migrations'"
    ).fetchone()
    if there is None:
        return []
    return _decoded(
        native.execute(
            "SELECT application, version, name, checksum, applied_at FROM application_migrations"
            " ORDER BY application, version"
        )
    )


def _decoded(rows: sqlite3.Cursor) -> list[AppliedMigration]:
    return [
        AppliedMigration(application, version, name, checksum, datetime.fromisoformat(applied_at))
        for application, version, name, checksum, applied_at in rows
    ]


def ledger_differences(native: sqlite3.Connection, version: int) -> list[str]:
    """The differences between the ledger and the one of a version of the schema, in sentences."""
    expected = {migration.version: migration for migration in chain.migrations()[:version]}
    found = {line.version: line for line in ours(native)}
    return [
        *(f"the ledger lacks {expected[number]}" for number in expected if number not in found),
        *(
            f"the ledger has version {number} ({found[number].name}), which version {version} does not have"
            for number in found
            if number not in expected
        ),
        *(
            f"the ledger has another text for {migration}"
            for number, migration in expected.items()
            if number in found and not _is_same(found[number], migration)
        ),
    ]


def _is_same(line: AppliedMigration, migration: Migration) -> bool:
    return (line.name, line.checksum) == (migration.name, migration.checksum)


def refuse_edited(
    applied: Sequence[AppliedMigration], shipped: Sequence[Migration], path: str
) -> None:
    """Raises SchemaError (code edited) if a migration was edited after it was applied.

    Args:
        applied: the lines of the ledger.
        shipped: the migrations of this release.
        path: the file, for the error.
    """
    known = {migration.version: migration for migration in shipped}
    for line in applied:
        migration = known.get(line.version)
        if migration and not _is_same(line, migration):
            raise SchemaError(
                f"the migration to {migration} is not the one that {path} has been through"
                f" ({line.name}, checksum {line.checksum[:12]}…, now {migration.checksum[:12]}…):"
                " it was edited later. Put its old text back, and the change into a new migration",
                code="edited",
                details={
                    "path": path,
                    "application": line.application,
                    "version": line.version,
                    "applied": {"name": line.name, "checksum": line.checksum},
                    "shipped": {"name": migration.name, "checksum": migration.checksum},
                },
            )


def left_of(native: sqlite3.Connection, own: Migrations, path: str) -> list[Migration]:
    """The application's pending migrations, in order.

    Args:
        native: a connection to the file.
        own: the application's migrations.
        path: the file, for errors.

    Raises:
        SchemaError: code edited; code newer for an applied migration that this release does not have;
            code gap for a pending one with a lower number than an applied one.
    """
    applied = [line for line in of_applications(native) if line.application == own.application]
    refuse_edited(applied, own.steps, path)
    details = {"path": path, "application": own.application}
    for line in applied:
        if line.version > len(own.steps):
            raise SchemaError(
                f"{path} has been through version {line.version} ({line.name}) of {own.application},"
                f" this release of it knows {len(own.steps)}; install the release that wrote it",
                code="newer",
                details={**details, "version": line.version},
            )
    done = {line.version for line in applied}
    left = [migration for migration in own.steps if migration.version not in done]
    if left and done and left[0].version < max(done):
        raise SchemaError(
            f"the ledger of {path} lacks {left[0]}, but has version {max(done)}; give a migration"
            " that was added later the next number",
            code="gap",
            details={**details, "version": left[0].version},
        )
    return left
