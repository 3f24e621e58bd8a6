"""The foreign keys of a table, and which of its rows refer to a missing row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import msgspec

from reelbase.engine.native.names import quoted


class Reference(msgspec.Struct, frozen=True):
    """A foreign key. sets_null: a row with a missing parent loses the reference; else it is deleted."""

    table: str
    parent: str
    columns: list[str]
    parent_columns: list[str]
    sets_null: bool

    @property
    def condition(self) -> str:
        """The SQL condition for rows, as child, that refer to a missing row."""
        given = " AND ".join(f"child.{quoted(column)} IS NOT NULL" for column in self.columns)
        same = " AND ".join(
            f"parent.{quoted(there)} = child.{quoted(here)}"
            for here, there in zip(self.columns, self.parent_columns, strict=True)
        )
        return (
            f"{given} AND NOT EXISTS (SELECT 1 FROM {quoted(self.parent)} AS parent WHERE {same})"
        )


def references_of(native: sqlite3.Connection, table: str) -> Iterator[Reference]:
    """The foreign keys of a table."""
    rows = native.execute(
        'SELECT id, "table", "from", "to", on_delete FROM pragma_foreign_key_list(?) ORDER BY id, seq',
        (table,),
    ).fetchall()
    required = {
        name
        for (name,) in native.execute(
            'SELECT name FROM pragma_table_info(?) WHERE "notnull"', (table,)
        )
    }
    for number in sorted({row[0] for row in rows}):
        parts = [row for row in rows if row[0] == number]
        columns = [row[2] for row in parts]
        parent = parts[0][1]
        key = native.execute(
            "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (parent,)
        ).fetchall()
        there = {
            name
            for (name,) in native.execute("SELECT lower(name) FROM pragma_table_info(?)", (parent,))
        }
        if len(key) < len(parts) and parts[0][3] is None:
            continue  # the parent has no such key, or does not exist
        parent_columns = [row[3] or key[place][0] for place, row in enumerate(parts)]
        if not there.issuperset(column.lower() for column in parent_columns):
            continue  # check() reports it
        yield Reference(
            table=table,
            parent=parent,
            columns=columns,
            parent_columns=parent_columns,
            sets_null=parts[0][4].startswith("SET") and not required & set(columns),
        )
