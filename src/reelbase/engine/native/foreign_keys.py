"""Finds the reference that a statement has broken: SQLite says only that there is one.

After "FOREIGN KEY constraint failed" the bound values are looked up in the tables that they refer to: by
key, so that it costs little. Runs on the connection's thread, in the transaction that failed.
"""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import msgspec

from reelbase.engine.native.names import quoted
from reelbase.engine.statements.declarations import Entity, entities

_TARGET = re.compile(
    r"\s*(?:WITH\b.*?\)\s*)?(?P<verb>INSERT|REPLACE|UPDATE|DELETE)\b"
    r"(?:\s+OR\s+\w+)?(?:\s+INTO|\s+FROM)?\s+[\"`\[]?(?P<table>\w+)",
    re.DOTALL | re.IGNORECASE,
)

_REFERENCES = """
SELECT id, "from", "table", coalesce("to", '')
FROM pragma_foreign_key_list(?)
ORDER BY id, seq
"""

_REFERRING = """
SELECT child.name, reference."from", coalesce(reference."to", '')
FROM sqlite_schema AS child
JOIN pragma_foreign_key_list(child.name) AS reference
WHERE child.type = 'table'
  AND lower(reference."table") = lower(?)
  AND reference.seq = 0
ORDER BY child.name, reference.id
"""

_KEY = """
SELECT name
FROM pragma_table_info(?)
WHERE pk = 1
"""


class BrokenReference(msgspec.Struct, frozen=True):
    """A row of table refers by column to a row of parent that does not exist, or that was to be deleted.

    is_missing: the parent does not exist; else a row of table still refers to it.  beside: the further
    columns of a key whose values exist one by one, but not together.
    """

    table: str
    column: str
    value: int | str
    parent: str
    is_missing: bool
    beside: dict[str, int | str] = {}

    def __str__(self) -> str:
        entity = entities.get(self.parent, Entity(f"row of {self.parent}", ""))
        row = f"{entity.name} {self.value!r}"
        if not self.is_missing:
            return f"a row of {self.table} still refers to {row} ({self.column})"
        if self.beside:
            others = " and ".join(f"{column} {value!r}" for column, value in self.beside.items())
            return f"{row} is not one of {others}"
        remedy = f"; {entity.remedy.format(key=self.value)}" if entity.remedy else ""
        return f"{row} does not exist{remedy}"


def broken_reference(
    native: sqlite3.Connection, sql: str, parameters: Any
) -> BrokenReference | None:
    """The reference that the statement has broken; None if it cannot be found, as for unnamed parameters."""
    target = _TARGET.match(sql)
    if target is None or not isinstance(parameters, Mapping):
        return None
    table = target["table"]
    if target["verb"].upper() != "DELETE":
        missing = _missing_parent(native, table, parameters)
        if missing is not None:
            return missing
    return _referring_child(native, table, parameters)


def _missing_parent(
    native: sqlite3.Connection, table: str, parameters: Mapping[str, Any]
) -> BrokenReference | None:
    rows = native.execute(_REFERENCES, (table,)).fetchall()
    for _, columns in itertools.groupby(rows, key=itemgetter(0)):
        pairs = [(column, parent, named) for _, column, parent, named in columns]
        parent = pairs[0][1]
        values: dict[str, tuple[str, int | str]] = {}
        for column, _, named in pairs:
            value = parameters.get(column)
            if isinstance(value, int | str):
                values[named or _key_of(native, parent) or ""] = column, value
        if len(values) < len(pairs):
            continue  # NULL refers to nothing, and a column that was not bound was not changed
        keys = {key: value for key, (_, value) in values.items()}
        if _has(native, parent, keys):
            continue
        # The first column is the parent's own key; the further ones must have the same value in both rows.
        first, *_ = keys
        (column, value), *others = values.values()
        beside = dict(others) if _has(native, parent, {first: keys[first]}) else {}
        return BrokenReference(table, column, value, parent, is_missing=True, beside=beside)
    return None


def _referring_child(
    native: sqlite3.Connection, table: str, parameters: Mapping[str, Any]
) -> BrokenReference | None:
    value = parameters.get("id")
    if not isinstance(value, int | str):
        return None
    for child, column, named in native.execute(_REFERRING, (table,)).fetchall():
        if (named or _key_of(native, table)) == "id" and _has(native, child, {column: value}):
            return BrokenReference(child, column, value, table, is_missing=False)
    return None


def _key_of(native: sqlite3.Connection, table: str) -> str | None:
    row = native.execute(_KEY, (table,)).fetchone()
    return None if row is None else str(row[0])


def _has(native: sqlite3.Connection, table: str, values: Mapping[str, int | str]) -> bool:
    # Names cannot be bound; these come from the file's own schema.
    where = " AND ".join(f"{quoted(column)} = ?" for column in values)
    sql = f"SELECT 1 FROM {quoted(table)} WHERE {where} LIMIT 1"
    return native.execute(sql, tuple(values.values())).fetchone() is not None
