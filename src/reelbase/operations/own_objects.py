"""The application's own tables, indexes, views and triggers in a file, beside those of the schema.

They are kept, and moved, as the statements that create them.
"""

from __future__ import annotations

import sqlite3
from typing import Literal

import msgspec

from reelbase.engine.schema.fingerprint import names_of
from reelbase.engine.schema.source import SCHEMA_VERSION
from reelbase.operations.table_rows import folded, quoted, shadow_tables

# In the order in which they can be created, and in that of their creation.
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
    """table: what an index or a trigger is on; of others, their own name.  settings: of an FTS5 table."""

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
    """Those of a database with that version of the schema, in the order of their creation.

    Without what SQLite keeps for itself: tables of virtual tables, statistics, automatic indexes.
    settings is left empty: settings_of() reads them.
    """
    ours = names_of(version)
    shadows = shadow_tables(native)
    return [
        OwnObject(kind, name, table, sql)
        for kind, name, table, sql in native.execute(_OBJECTS)
        if name not in shadows and folded(name) not in ours
    ]


def reserved_names(version: int) -> frozenset[str]:
    """Names, in lower case, that an application's object cannot have in a database of that version."""
    return names_of(version) | names_of(SCHEMA_VERSION)


def settings_of(native: sqlite3.Connection, table: str) -> dict[str, int | float | str]:
    """The settings of an FTS5 table that its statement does not hold, such as how it ranks."""
    rows = native.execute(
        f"SELECT k, v FROM {quoted(f'{table}_config')} WHERE k <> 'version' ORDER BY k"
    )
    return dict(rows.fetchall())
