"""The tables of the schema and their references, as a diagram in Mermaid's language."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from reelbase.engine.schema.source import schema_sql

_TABLES = """
    SELECT name FROM pragma_table_list
    WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name
"""
_COLUMNS = "SELECT name, lower(type), pk FROM pragma_table_info(?) ORDER BY cid"
# A reference of several columns has a row for each.
_REFERENCES = """
    SELECT r.id, r."table", r."from", c."notnull"
    FROM pragma_foreign_key_list(:name) AS r JOIN pragma_table_info(:name) AS c ON c.name = r."from"
    ORDER BY r.id DESC, r.seq
"""


def schema_diagram(*, all_columns: bool = True) -> str:
    """The ``erDiagram`` of schema.sql: each table with its columns, and a line for each foreign key, which
    names its columns. Search indexes are left out: they hold nothing of their own.

    all_columns: False shows the columns of primary and foreign keys alone.
    """
    with closing(sqlite3.connect(":memory:")) as native:
        native.executescript(schema_sql())
        tables = [name for (name,) in native.execute(_TABLES)]
        lines = [line for name in tables for line in _table(native, name, all_columns)]
        lines += [line for name in tables for line in _references(native, name)]
    return "\n".join(["erDiagram", *(f"  {line}" for line in lines)]) + "\n"


def _table(native: sqlite3.Connection, name: str, all_columns: bool) -> Iterator[str]:
    referring = {row[2] for row in native.execute(_REFERENCES, {"name": name})}
    yield f"{name} {{"
    for column, type, place in native.execute(_COLUMNS, (name,)):
        keys = [key for key, is_one in (("PK", place), ("FK", column in referring)) if is_one]
        if keys or all_columns:
            yield f"  {type or 'any'} {column} {', '.join(keys)}".rstrip()
    yield "}"


def _references(native: sqlite3.Connection, name: str) -> Iterator[str]:
    columns: dict[int, list[str]] = {}
    parents: dict[int, tuple[str, bool]] = {}
    for number, parent, column, is_needed in native.execute(_REFERENCES, {"name": name}):
        columns.setdefault(number, []).append(column)
        parents[number] = parent, bool(is_needed)
    for number, (parent, is_needed) in parents.items():
        one = "||" if is_needed else "|o"
        yield f'{parent} {one}--o{{ {name} : "{", ".join(columns[number])}"'
