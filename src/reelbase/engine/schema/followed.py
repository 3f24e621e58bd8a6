"""Followed tables: their triggers write each row that changes into followed_changes.

The triggers are made when a table is first followed, and stay in the file: so the rows that another
process, the sqlite3 program or a cascade changes are there, too. A table that is not followed costs nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Final

import msgspec

from reelbase.engine.native.names import literal, quoted

_PREFIX: Final = "reelbase_followed_"
_OWNER: Final = "profile_id"

# The tables of these names. A table without a primary key has its rowid, under a name that no column hides.
SHAPES: Final = """
SELECT
  listed.name,
  listed.type = 'table' AND listed.name NOT LIKE 'sqlite!_%' ESCAPE '!' AND listed.name <> 'followed_changes'
    AS may_be_followed,
  (SELECT json_group_array(name) FROM pragma_table_info(listed.name)) AS columns,
  (
    SELECT json_group_array(name)
    FROM (SELECT name FROM pragma_table_info(listed.name) WHERE pk > 0 ORDER BY pk)
  ) AS key,
  (
    SELECT json_group_object(name, sql)
    FROM sqlite_schema
    WHERE type = 'trigger'
      AND tbl_name = listed.name COLLATE NOCASE
      AND name LIKE 'reelbase!_followed!_%' ESCAPE '!'
  ) AS triggers
FROM pragma_table_list AS listed
WHERE listed.schema = 'main'
  AND listed.name IN (SELECT value FROM json_each(:names))
ORDER BY listed.name
"""

_FOLLOWED: Final = """
SELECT DISTINCT tbl_name
FROM sqlite_schema
WHERE type = 'trigger'
  AND name LIKE 'reelbase!_followed!_%' ESCAPE '!'
ORDER BY tbl_name
"""

# What is written from here on is complete, and what came before may not be.
_GAP: Final = """
INSERT INTO followed_changes (table_name, kind)
VALUES (?, 'gap')
"""


class Shape(msgspec.Struct, frozen=True):
    """A table as SHAPES gives it. may_be_followed: it has rows of its own, which triggers can see.  columns,
    key: names, as JSON; the key's in the order of the primary key.  triggers: the SQL of the triggers that
    follow it by name, as JSON."""

    name: str
    may_be_followed: bool
    columns: str
    key: str
    triggers: str

    @property
    def has_owner(self) -> bool:
        """Whether each row belongs to a profile."""
        return _OWNER in json.loads(self.columns)

    @property
    def is_followed(self) -> bool:
        """Whether the triggers are as this version of the library makes them."""
        return bool(json.loads(self.triggers) == self._wanted())

    def follow(self, native: sqlite3.Connection) -> None:
        """Makes the triggers. Called in a transaction."""
        self.unfollow(native)
        for sql in self._wanted().values():
            native.execute(sql)
        native.execute(_GAP, (self.name,))

    def unfollow(self, native: sqlite3.Connection) -> None:
        """Drops the triggers. Called in a transaction."""
        for trigger in json.loads(self.triggers):
            native.execute(f"DROP TRIGGER {quoted(trigger)}")

    def _wanted(self) -> dict[str, str]:
        new, old = self._row("NEW"), self._row("OLD")
        table = literal(self.name)
        into = "INSERT INTO followed_changes (table_name, kind, row_key, profile_id)"
        bodies = {
            "insert": f"{into} VALUES ({table}, 'insert', {new});",
            # A row with another key, or of another profile, is gone for those who had it.
            "update": (
                f"{into} SELECT {table}, 'delete', {old} WHERE ({old}) IS NOT ({new});\n"
                f"  {into} VALUES ({table}, iif(({old}) IS ({new}), 'update', 'insert'), {new});"
            ),
            "delete": f"{into} VALUES ({table}, 'delete', {old});",
        }
        return {
            f"{_PREFIX}{kind}_{self.name}": (
                f"CREATE TRIGGER {quoted(f'{_PREFIX}{kind}_{self.name}')} AFTER {kind.upper()} ON"
                f" {quoted(self.name)}\nBEGIN\n  {body}\nEND"
            )
            for kind, body in bodies.items()
        }

    def _row(self, which: str) -> str:
        """The SQL of a row's key and owner. A BLOB cannot stand in JSON."""
        columns = json.loads(self.columns)
        hidden = {column.lower() for column in columns}
        rowid = next((name for name in ("rowid", "_rowid_", "oid") if name not in hidden), "rowid")
        parts = [f"{which}.{quoted(column)}" for column in json.loads(self.key) or [rowid]]
        values = ", ".join(f"iif(typeof({part}) = 'blob', hex({part}), {part})" for part in parts)
        owner = f"{which}.{quoted(_OWNER)}" if self.has_owner else "NULL"
        return f"json_array({values}), {owner}"


def is_of_followed(trigger: str) -> bool:
    """Whether a trigger of this name follows a table."""
    return trigger.lower().startswith(_PREFIX)


def shapes(native: sqlite3.Connection, names: Iterable[str]) -> list[Shape]:
    """The shapes of the tables of these names; a name without a table has none."""
    rows = native.execute(SHAPES, {"names": json.dumps(list(names))}).fetchall()
    return [Shape(name, bool(may), *texts) for name, may, *texts in rows]


def follow(native: sqlite3.Connection, names: Iterable[str]) -> None:
    """Follows tables from now on, as far as they are not. Called in a transaction."""
    found = shapes(native, names)
    for shape in found:
        if not shape.is_followed:
            shape.follow(native)
    if native.execute("SELECT 1 FROM followed_changes LIMIT 1").fetchone() is None:
        native.execute(_GAP, (found[0].name,))  # of a repaired file


def unfollow(native: sqlite3.Connection, names: Iterable[str]) -> list[str]:
    """Follows these tables no longer; no names: all. Returns the names that were followed. Called in a
    transaction."""
    followed = [name for (name,) in native.execute(_FOLLOWED)]
    wanted = set(names) or set(followed)
    found = [shape for shape in shapes(native, followed) if shape.name in wanted]
    for shape in found:
        shape.unfollow(native)
        native.execute(_GAP, (shape.name,))
    return [shape.name for shape in found]
