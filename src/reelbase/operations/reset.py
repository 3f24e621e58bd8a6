"""Deleting every row of the schema's tables, and counting the application's rows that this reaches.

A row of the application may refer to a row of the schema with ON DELETE CASCADE, SET NULL or SET DEFAULT,
further rows may refer to that row, and a trigger may do anything. So temporary triggers on the application's
tables count the effect, in the transaction that deletes.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from functools import partial
from pathlib import Path

import msgspec

from reelbase.engine.file.commit import write_transaction
from reelbase.engine.file.connections import ConnectionSettings, open_native
from reelbase.engine.file.temporary_files import folder_for, temporary_files
from reelbase.engine.maintenance.opening import prepare_file
from reelbase.engine.native.errors import result_code, translate
from reelbase.engine.native.interruption import interruptible
from reelbase.engine.native.names import literal, quoted
from reelbase.engine.schema.derivation import derive
from reelbase.engine.schema.followed import unfollow
from reelbase.engine.schema.source import SCHEMA_VERSION, check_ownership
from reelbase.engine.threads.copying import OnStep, on_a_thread
from reelbase.errors import DatabaseError
from reelbase.operations.own_objects import own_objects
from reelbase.operations.schema_rows import (
    has_rows,
    rows_of_schema,
    value_of,
    without_triggers,
)
from reelbase.operations.table_rows import TableRows, rows_of

_ORDINARY = """
SELECT name
FROM pragma_table_list
WHERE schema = 'main'
  AND type = 'table'
"""

_BROKEN = """
SELECT fkid, parent, count(*)
FROM pragma_foreign_key_check(?)
GROUP BY fkid
"""

# Deleted, and changed but still there.
_COUNTS = """
SELECT
  name,
  rows,
  (SELECT count(*) FROM reset_changed WHERE reset_changed.name = reset_deleted.name)
FROM reset_deleted
ORDER BY name
"""


class Reset(msgspec.Struct, frozen=True):
    """The result of reset(), as numbers of rows by table; tables with none are left out.

    deleted: rows of the schema's tables.  own_deleted: rows of the application's tables that were deleted
    with them.  own_changed: rows of the application's tables that were changed, and still exist.
    """

    deleted: dict[str, int]
    own_deleted: dict[str, int]
    own_changed: dict[str, int]

    @property
    def reaches_own_rows(self) -> bool:
        """Whether rows of the application's own tables would be deleted or changed."""
        return bool(self.own_deleted or self.own_changed)

    @property
    def reach(self) -> str:
        """How many of the application's rows are deleted and changed, in words."""
        return ", ".join(
            f"{table}: {rows:,} {what}"
            for what, tables in (("deleted", self.own_deleted), ("changed", self.own_changed))
            for table, rows in tables.items()
        )


async def reset(
    path: Path, *, own_rows: bool = False, is_rehearsal: bool = False, busy_timeout: float = 5.0
) -> Reset:
    """Deletes every row of every table of the schema, and resets the counters of ids, in one transaction.

    The application's triggers run, the schema's do not. Tables are followed no longer, so that streams of
    their rows begin again. An error leaves the database unchanged.

    Args:
        path: the database.
        own_rows: whether rows of the application's own tables may be deleted or changed as well.
        is_rehearsal: only reports the numbers, and changes nothing.
        busy_timeout: seconds to wait for another process that has locked the database.

    Returns:
        How many rows are deleted and changed, by table.

    Raises:
        DatabaseError: code own_rows when rows of the application would be deleted or changed without
            permission (details: own_deleted, own_changed); code broken_reference when rows of the
            application refer to rows of the schema without ON DELETE, or with ON DELETE RESTRICT; code
            not_empty when triggers of the application keep or insert rows of the schema.
        ConstraintError: a table or trigger of the application refuses the change.
    """
    return await on_a_thread(partial(_reset, path, own_rows, is_rehearsal, busy_timeout))


class _Rehearsed(Exception):
    """Ends the transaction of a rehearsal."""


def _reset(
    path: Path, own_rows: bool, is_rehearsal: bool, busy_timeout: float, on_step: OnStep
) -> Reset:
    mode = prepare_file(
        path,
        create=False,
        refuse=partial(check_ownership, may_be_older=False),
        busy_timeout_seconds=busy_timeout,
    )
    done = Reset({}, {}, {})
    settings = ConnectionSettings(str(path), mode or "delete", busy_timeout)
    with (
        contextlib.closing(open_native(settings, "writer")) as native,
        temporary_files(native, folder_for(native, 0, path.parent)),
        contextlib.suppress(_Rehearsed),
        write_transaction(native, f"resetting {path}"),
        interruptible(native, lambda: on_step(0, 0)),
    ):
        check_ownership(native, str(path), may_be_older=False)
        own = [made.name for made in own_objects(native, SCHEMA_VERSION) if made.type == "table"]
        if is_rehearsal and not own:
            raise _Rehearsed
        done = _delete_all(native, own)
        if is_rehearsal:
            raise _Rehearsed
        if done.reaches_own_rows and not own_rows:
            raise DatabaseError(
                f"rows of the application's own tables would be deleted or changed ({done.reach}); "
                "nothing was deleted",
                code="own_rows",
                details={"own_deleted": done.own_deleted, "own_changed": done.own_changed},
            )
    return done


def _delete_all(native: sqlite3.Connection, own: list[str]) -> Reset:
    tables = rows_of_schema(native, SCHEMA_VERSION)
    deleted = {table.name: value_of(native, table.count) for table in tables}
    unfollow(native, ())
    native.execute("DELETE FROM followed_changes")
    own = [name for (name,) in native.execute(_ORDINARY).fetchall() if name in own]
    broken_before = _broken_references(native, own)
    # In any order; ON DELETE RESTRICT waits then, too.
    native.execute("PRAGMA defer_foreign_keys = ON")
    _count_reach(native, own)
    with without_triggers(native, SCHEMA_VERSION):
        for _ in range(2):  # a trigger of the application may fill a table that was emptied before
            for table in tables:
                _delete(native, table)
    counts = native.execute(_COUNTS).fetchall()
    for table in tables:
        if has_rows(native, table):
            raise DatabaseError(
                f"table {table.name} still has rows: a trigger of the application keeps or inserts them; "
                "nothing was deleted",
                code="not_empty",
            )
    for (child, parent, _), rows in (_broken_references(native, own) - broken_before).items():
        raise _refers(child, parent, rows)
    native.executemany(
        "DELETE FROM sqlite_sequence WHERE name = ?", [(table.name,) for table in tables]
    )
    derive(native, SCHEMA_VERSION)
    return Reset(
        deleted={table: rows for table, rows in deleted.items() if rows},
        own_deleted={table: rows for table, rows, _ in counts if rows},
        own_changed={table: rows for table, _, rows in counts if rows},
    )


def _delete(native: sqlite3.Connection, table: TableRows) -> None:
    try:
        native.execute(f"DELETE FROM {quoted(table.name)}")
    except sqlite3.Error as error:
        raise translate(error, f"deleting the rows of {table.name}") from error


def _broken_references(
    native: sqlite3.Connection, tables: list[str]
) -> Counter[tuple[str, str, int]]:
    """How many rows refer to a missing row, by table, parent and number of the foreign key."""
    found: Counter[tuple[str, str, int]] = Counter()
    for table in tables:
        try:
            for fkid, parent, rows in native.execute(_BROKEN, (table,)):
                found[table, parent, fkid] = rows
        except sqlite3.OperationalError as error:
            if result_code(error) != sqlite3.SQLITE_ERROR:  # the parent's columns are no key
                raise
    return found


def _count_reach(native: sqlite3.Connection, own: list[str]) -> None:
    """Counts the rows of these tables that are deleted or changed, until the connection closes."""
    native.execute("CREATE TEMP TABLE reset_deleted (name TEXT PRIMARY KEY, rows INTEGER NOT NULL)")
    native.execute(
        "CREATE TEMP TABLE reset_changed (name, row, PRIMARY KEY (name, row)) WITHOUT ROWID"
    )
    for number, table in enumerate(own):
        native.execute("INSERT INTO reset_deleted VALUES (?, 0)", (table,))
        old, new = (_identity(rows_of(native, table), which) for which in ("old", "new"))
        name = literal(table)
        native.execute(f"""
            CREATE TEMP TRIGGER reset_deleted_{number} AFTER DELETE ON main.{quoted(table)}
            BEGIN
              UPDATE reset_deleted SET rows = rows + 1 WHERE name = {name};
              DELETE FROM reset_changed WHERE name = {name} AND row = {old};
            END
        """)
        native.execute(f"""
            CREATE TEMP TRIGGER reset_changed_{number} AFTER UPDATE ON main.{quoted(table)}
            BEGIN
              DELETE FROM reset_changed WHERE name = {name} AND row = {old};
              INSERT OR IGNORE INTO reset_changed VALUES ({name}, {new});
            END
        """)


def _identity(rows: TableRows, which: str) -> str:
    """An expression that identifies a row: its rowid, or all of its columns."""
    columns = rows.columns if rows.key is None else [rows.key]
    return " || ',' || ".join(f"quote({which}.{quoted(column)})" for column in columns)


def _refers(table: str, parent: str, rows: int) -> DatabaseError:
    return DatabaseError(
        f"rows of your table {table} ({rows:,}) refer to rows of {parent}; delete them first, or "
        "declare the reference ON DELETE CASCADE or SET NULL. Nothing was deleted",
        code="broken_reference",
        details={"table": table, "parent": parent, "rows": rows},
    )
