"""The application's own tables, indexes, views and triggers in a file, beside the schema's.

An object is described, and carried to another database, by the statement that creates it.
"""

from __future__ import annotations

import sqlite3
from typing import Literal

import msgspec

from reelbase.engine.native.names import quoted
from reelbase.engine.schema.fingerprint import names_of
from reelbase.engine.schema.followed import is_of_followed
from reelbase.engine.schema.source import SCHEMA_VERSION
from reelbase.operations.table_rows import folded, shadow_tables

# By type, in the order in which objects can be created; within a type, in the order of their creation.
_OBJECTS = """
SELECT type, name, tbl_name, sql
FROM sqlite_schema
WHERE sql IS NOT NULL
  AND name NOT LIKE 'sqlite!_%' ESCAPE '!'
ORDER BY
  CASE type WHEN 'table' THEN 1 WHEN 'index' THEN 2 WHEN 'view' THEN 3 ELSE 4 END,
  rowid
"""


class OwnObject(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """An object of the application. table: the table of an index or a trigger; for a table or a view its
    own name.  settings: the options of an FTS5 table."""

    type: Literal["table", "index", "view", "trigger"]
    name: str
    table: str
    sql: str
    settings: dict[str, int | float | str] = {}

    def __str__(self) -> str:
        if self.type in ("index", "trigger"):
            return f"{self.type} {self.name} on {self.table}"
        return f"{self.type} {self.name}"


def own_objects(native: sqlite3.Connection, version: int) -> list[OwnObject]:
    """The application's objects of a database with that version of the schema, in the order of creation.

    Objects that SQLite makes itself are left out: shadow tables, statistics, automatic indexes; and the
    triggers that follow tables.
    settings stays empty: settings_of() reads them.
    """
    ours = names_of(version)
    shadows = shadow_tables(native)
    return [
        OwnObject(kind, name, table, sql)
        for kind, name, table, sql in native.execute(_OBJECTS)
        if name not in shadows and folded(name) not in ours and not is_of_followed(name)
    ]


def reserved_names(version: int) -> frozenset[str]:
    """Names, in lower case, that an application's object cannot have in a database of that version."""
    return names_of(version) | names_of(SCHEMA_VERSION)


def settings_of(native: sqlite3.Connection, table: str) -> dict[str, int | float | str]:
    """The settings of an FTS5 table that are not part of its statement, such as the rank function."""
    rows = native.execute(
        f"SELECT k, v FROM {quoted(f'{table}_config')} WHERE k <> 'version' ORDER BY k"
    )
    return dict(rows.fetchall())
