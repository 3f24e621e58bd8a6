"""Brings a database to the current schema: all pending migrations in one transaction, or none."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from reelbase.engine.copies.safety_copies import (
    forget_old_copies,
    keep_copy,
    make_folder,
    remove_copy,
)
from reelbase.engine.file.commit import write_transaction
from reelbase.engine.file.connections import setup_of
from reelbase.engine.file.temporary_files import temporary_files
from reelbase.engine.maintenance.upgrade_room import explained_by, room_for
from reelbase.engine.native.errors import translate
from reelbase.engine.native.extensions import table_by_table
from reelbase.engine.native.header import is_empty, user_version
from reelbase.engine.native.transactions import read_transaction, without_references
from reelbase.engine.schema import chain
from reelbase.engine.schema.chain import Migration, Migrations
from reelbase.engine.schema.derivation import derive
from reelbase.engine.schema.drift import digest_of_schema, drifted, refuse_drift
from reelbase.engine.schema.fingerprint import differences, in_one_sentence, names_of
from reelbase.engine.schema.followed import is_of_followed
from reelbase.engine.schema.identity import note_digest
from reelbase.engine.schema.ledger import ledger_differences, left_of, ours, record, refuse_edited
from reelbase.engine.schema.source import SCHEMA_VERSION, check_ownership, schema_sql, statements_of
from reelbase.errors import SchemaError

# The stage of the upgrade, and its progress: done and total, of the copy's pages, or of migrations.
OnProgress = Callable[[str, int, int], None]


class Upgrade(msgspec.Struct, frozen=True):
    """The result of an upgrade. copy: of the database before it; None: there was no pending migration, or no
    copy was asked for."""

    from_version: int
    to_version: int
    steps: list[Migration]
    copy: Path | None


def _ignore(what: str, done: int, total: int) -> None:
    pass


def create(native: sqlite3.Connection, path: str, own: Migrations | None) -> None:
    """Makes the schema, and the application's tables, in an empty file, in one transaction.

    Several processes may call it at once: one makes the schema, and the rest find it made.

    Args:
        native: a connection to the file.
        path: the file, for errors.
        own: the application's migrations, or None.
    """
    with without_references(native), write_transaction(native, f"creating {path}"):
        if is_empty(native):
            build(native, SCHEMA_VERSION)
            for migration in own.steps if own else ():
                apply(native, migration, f"creating {path} with {migration}")
            note_digest(native, digest_of_schema(native))


def build(native: sqlite3.Connection, version: int) -> None:
    """Makes the schema of a version in an empty database, within the open transaction."""
    if version == SCHEMA_VERSION:
        for statement in statements_of(schema_sql()):
            native.execute(statement)
        return
    for migration in chain.migrations()[:version]:
        apply(native, migration, f"making {migration}")


def pending(
    native: sqlite3.Connection, path: str, own: Migrations | None, to: int | None = None
) -> list[Migration]:
    """The pending migrations, in order: the package's, then the application's.

    Args:
        native: a connection to the file.
        path: the file, for errors.
        own: the application's migrations, or None.
        to: the last version of the package's migrations; None: all. With an earlier one the application's
            migrations are left out.

    Raises:
        SchemaError: own does not match the migrations that were applied.
    """
    version = user_version(native)
    left = list(chain.migrations()[version:to])
    if own is None or version + len(left) < len(chain.migrations()):
        return left
    return left + left_of(native, own, path)


class Checked(NamedTuple):
    """The result of check(). left: the pending migrations.  is_settled: there are none, and the digest of
    the schema is up to date."""

    left: list[Migration]
    is_settled: bool


def check(
    native: sqlite3.Connection, path: str, *, migrate: bool, own: Migrations | None
) -> Checked:
    """Checks that a database may be used, or migrated, and returns its pending migrations. Reads only.

    Args:
        native: a connection to the file.
        path: the file, for errors.
        migrate: whether pending migrations may be run; else they are an error.
        own: the application's migrations, or None.

    Raises:
        SchemaError: code foreign, newer, unversioned, drifted; code older unless migrate; code edited or
            gap, a reason not to migrate.
    """
    with read_transaction(native):  # another process may be migrating it
        check_ownership(native, path, may_be_older=migrate)
        left = pending(native, path, own)
        if left and not migrate:
            raise SchemaError(
                f"{path} has not been migrated to {left[-1]}; connect with migrate=True",
                code="older",
                details={"path": path, "application": left[-1].application},
            )
        if left:
            _refuse_changed(native, path)
        return Checked(left, not left and refuse_drift(native, path))


def bring_up_to_date(
    native: sqlite3.Connection,
    path: str,
    *,
    own: Migrations | None = None,
    to: int | None = None,
    keeps_copy: bool = True,
    backup_dir: Path | None = None,
    on_progress: OnProgress = _ignore,
) -> Upgrade:
    """Runs the pending migrations, all of them in one transaction.

    Several processes may call it at once: one migrates, and the rest wait for as long as their busy_timeout
    and find no pending migration. If the upgrade fails, or is killed at any point, the file is as before.

    Args:
        native: a connection that writes.
        path: the file.
        own: the application's migrations, or None.
        to: as of pending().
        keeps_copy: whether a copy of the database is made first; it is removed when the upgrade fails.
        backup_dir: the folder of the copy; None: the database's.
        on_progress: called with the stage, and the done and total number of its steps.

    Raises:
        SchemaError: code drifted, edited, broken_reference, forbidden or dependent.
        DatabaseFullError: the disk is full; raised before anything is done if the free space is known to
            be too small, with the bytes that are needed in each folder.
    """
    copies = (backup_dir or Path(path).parent) if keeps_copy else None
    with read_transaction(native):
        left = pending(native, path, own, to)
        if left and copies is not None:
            make_folder(copies)
        room = room_for(native, path, left, copies)
    copy = None
    with contextlib.ExitStack() as when_failed:
        with (
            temporary_files(native, room.temporary_folder),
            without_references(native),
            explained_by(room),
            write_transaction(native, f"migrating {path}"),
        ):
            version = user_version(native)
            left = pending(native, path, own, to)
            if left:
                _refuse_changed(native, path)
                room.refuse_if_missing(path)
            if left and copies is not None:
                copy, is_new = keep_copy(
                    path,
                    version,
                    copies,
                    lambda done, total: on_progress("copying", done, total),
                    setup_of(native),
                )
                if is_new:
                    when_failed.callback(_remove_useless_copy, copy, native, path, own, to, left)
            for number, migration in enumerate(left):
                on_progress(f"migrating to {migration}", number, len(left))
                apply(native, migration, f"migrating {path} to {migration}")
            if version < user_version(native) == SCHEMA_VERSION:
                on_progress("indexing texts", len(left), len(left))
                derive(native, SCHEMA_VERSION, all_indexes=False)
            if left:
                refuse_broken_references(native, f"migrating {path} to {left[-1]}")
                if user_version(native) == SCHEMA_VERSION:
                    note_digest(native, digest_of_schema(native))
                on_progress("committing", len(left), len(left))
        when_failed.pop_all()
    if copy is not None:
        forget_old_copies(native, copy, path)
    return Upgrade(version, user_version(native), left, copy)


def _remove_useless_copy(
    copy: Path,
    native: sqlite3.Connection,
    path: str,
    own: Migrations | None,
    to: int | None,
    left: list[Migration],
) -> None:
    """Removes the copy after a failure, unless a failed COMMIT was stored all the same."""
    with contextlib.suppress(sqlite3.Error, SchemaError), read_transaction(native):
        if pending(native, path, own, to) == left:
            remove_copy(copy)


def _refuse_changed(native: sqlite3.Connection, path: str) -> None:
    version = user_version(native)
    found = differences(native, version)
    if not found:  # so the ledger exists and can be read
        refuse_edited(ours(native), chain.migrations(), path)
        found = ledger_differences(native, version)
    if found:
        raise drifted(path, version, found)


def refuse_broken_references(native: sqlite3.Connection, context: str) -> None:
    """Raises SchemaError (code broken_reference) for the first row that refers to a missing one."""
    broken, _ = table_by_table(
        native, "PRAGMA foreign_key_check", "PRAGMA foreign_key_check({table})", most_rows=1
    )
    for table, rowid, parent, _ in broken:
        raise SchemaError(
            f"{context}: a row of {table} refers to a row of {parent} that is not there; "
            "nothing was changed",
            code="broken_reference",
            details={"table": table, "rowid": rowid, "parent": parent},
        )


def apply(native: sqlite3.Connection, migration: Migration, context: str) -> None:
    """Runs a migration and adds it to the ledger, within the open transaction.

    When a migration of the package rebuilds a table, the users' own indexes and triggers on it are recreated.

    Args:
        native: a connection that writes.
        migration: the migration.
        context: the operation, for errors.

    Raises:
        SchemaError: code forbidden, dependent or drifted.
        DatabaseError: an error of SQLite.
    """
    version = user_version(native)
    users_own = _indexes_and_triggers_of_users(native, version)
    native.set_authorizer(_allow if migration.application is None else _allow_application)
    try:
        for statement in statements_of(migration.sql):
            native.execute(statement)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_AUTH:
            raise SchemaError(
                f"{context}: a migration neither begins nor ends a transaction, attaches no database"
                " and leaves user_version and application_id alone; nothing was changed",
                code="forbidden",
            ) from error
        raise translate(error, context) from error
    finally:
        native.set_authorizer(None)
    record(native, migration)
    if migration.application is None:
        _bring_back(native, users_own, context)
    elif found := differences(native, version):
        raise SchemaError(
            f"{context}: it changes what is not its own: {in_one_sentence(found)}; nothing was changed",
            code="drifted",
            details={"version": version, "differences": found},
        )


_OUR_MARKS = ("user_version", "application_id")


def _allow(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """The authorizer of the package's migrations: no transactions, and no further databases."""
    if action in (sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _allow_application(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action == sqlite3.SQLITE_PRAGMA and first in _OUR_MARKS and second is not None:
        return sqlite3.SQLITE_DENY
    return _allow(action, first, second)


# By type and name: a trigger may be called like a table, or like an index.
UsersOwn = dict[tuple[str, str], tuple[str, str]]


def _indexes_and_triggers_of_users(native: sqlite3.Connection, version: int) -> UsersOwn:
    """The users' own indexes and triggers: the statement of each, with its table."""
    known = names_of(version)
    rows = native.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema"
        " WHERE type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY rowid"
    )
    return {
        (kind, name): (table, sql)
        for kind, name, table, sql in rows
        if name.lower() not in known and not is_of_followed(name)
    }


def _bring_back(native: sqlite3.Connection, users_own: UsersOwn, context: str) -> None:
    """Recreates the users' own indexes and triggers, which a rebuilt table has lost."""
    there = set(native.execute("SELECT type, name FROM sqlite_schema"))
    # Of a trigger SQLite keeps the table's name as it was typed.
    tables = {name.lower() for kind, name in there if kind in ("table", "view")}
    for (kind, name), (table, sql) in users_own.items():
        if (kind, name) in there or table.lower() not in tables:
            continue
        try:
            native.execute(sql)
        except sqlite3.Error as error:
            raise SchemaError(
                f"{context}: {name}, your own on table {table}, does not fit the new table ({error});"
                " drop it, migrate, and create it again. Nothing was changed",
                code="dependent",
                details={"name": name, "table": table},
            ) from error
