"""Importing any SQLite database by a mapping: a TOML file that names the old column of each new one, and its
rule. README.md has an example."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from reelbase.engine.file.paths import file_path
from reelbase.engine.maintenance.upgrade import build
from reelbase.engine.schema.source import SCHEMA_VERSION
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.threads.copying import Progress, on_a_thread
from reelbase.errors import InvalidArgumentError
from reelbase.importers import rules
from reelbase.importers.conversion import Application, Conversion, Options, Shape
from reelbase.importers.importer import ForeignImport
from reelbase.importers.outcome import ImportReport
from reelbase.importers.rules import Columns, Row, Rule, valued
from reelbase.operations.schema_rows import rows_of_schema
from reelbase.operations.transfer.format import Value

_NOT_NULL = """
SELECT name, dflt_value IS NULL AND NOT (pk AND type = 'INTEGER')
FROM pragma_table_info(?)
WHERE "notnull"
"""

_PARENT = """
SELECT "table"
FROM pragma_foreign_key_list(?)
WHERE "from" = ?
  AND "to" = 'id'
"""

_RuleName = Literal[
    "text",
    "file_name",
    "uuid",
    "integer",
    "real",
    "flag",
    "moment",
    "optional_moment",
    "json_object",
    "json_array",
    "json_setting",
]


# Those that need no more than the old column.
_RULES: dict[str, Callable[[str], Rule]] = {
    "text": rules.text,
    "file_name": rules.file_name,
    "integer": rules.integer,
    "real": rules.real,
    "flag": rules.flag,
    "optional_moment": rules.optional_moment,
    "json_array": rules.json_array,
    "json_setting": rules.json_setting,
}


class _Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a new column is made. old: the old column; of a moment also several, of which the first that holds
    one counts.  words: new words for old ones; words without one stay.  value: the same for every row."""

    old: str | list[str] = msgspec.field(default="", name="from")
    rule: _RuleName = "text"
    value: str | int | float | None = None
    default: str | int | float | None = None
    words: dict[str, str] = {}
    at_least: float | None = None
    between: tuple[float, float] | None = None

    def sources(self) -> list[str]:
        """The old columns."""
        names = [self.old] if isinstance(self.old, str) else self.old
        return [name.lower() for name in names if name]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new table that is made of an old one. order: old columns by which rows come, NULL first.  ignored:
    old columns that are not wanted."""

    old: str = msgspec.field(name="from")
    new: str = msgspec.field(name="to")
    columns: dict[str, str | _Column]
    order: list[str] = []
    ignored: list[str] = []


class _Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file. name: of the application, for the report."""

    table: list[_Table]
    name: str = "sqlite"


async def import_mapped(
    mapping: str | os.PathLike[str],
    old: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    busy_timeout: float = 5.0,
    progress: Progress | None = None,
) -> ImportReport:
    """Like import_from(), for an SQLite database (or a pg_dump) of any application.

    Args:
        mapping: the TOML file that says where each table and column goes.
        old: the old database.
        new: a new file, or a database of reelbase without rows.
        dry_run: everything is tried and counted, and nothing is kept.
        busy_timeout: seconds to wait for another process that has locked one of the files.
        progress: called now and then with (done_rows, total_rows), on the event loop.

    Returns:
        The report on the rows. Old columns and tables that the mapping does not name have no home.

    Raises:
        InvalidArgumentError: the mapping cannot be read, or names a table or column that the schema lacks.
        DatabaseError: as import_from(); SchemaError (code foreign) names tables and columns of the mapping
            that the old database lacks.
    """
    path = file_path(mapping, "mapping")
    work = ForeignImport(
        file_path(old, "old"),
        file_path(new, "new"),
        [_application(path)],
        Options(),
        dry_run,
        busy_timeout,
    )
    return await on_a_thread(work.run, progress)


def _application(path: Path) -> Application:
    """The application that a mapping describes."""
    try:
        mapping = msgspec.toml.decode(path.read_bytes(), type=_Mapping)
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise _wrong(path, str(error)) from error
    by_old: dict[str, list[_Table]] = {}
    for table in mapping.table:
        by_old.setdefault(table.old.lower(), []).append(table)
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as native:
        build(native, SCHEMA_VERSION)
        columns = {
            old: [(table.new, _columns(native, table, path)) for table in tables]
            for old, tables in by_old.items()
        }
    return Application(
        mapping.name,
        "",
        {old: _shape(tables) for old, tables in by_old.items()},
        _converter({old: tables[0].order for old, tables in by_old.items()}, columns),
    )


def _wrong(path: Path, problem: str) -> InvalidArgumentError:
    return invalid_argument("mapping", f"{path}: {problem}")


def _shape(tables: list[_Table]) -> Shape:
    columns = [
        _Column(old=spec) if isinstance(spec, str) else spec
        for table in tables
        for spec in table.columns.values()
    ]
    needed = dict.fromkeys(name for column in columns for name in column.sources())
    return Shape(
        tuple(needed), ignored=tuple(name.lower() for each in tables for name in each.ignored)
    )


def _converter(
    orders: dict[str, list[str]], columns: dict[str, list[tuple[str, Columns]]]
) -> Callable[[Conversion], None]:
    def convert(conversion: Conversion) -> None:
        for old, targets in columns.items():
            for row in conversion.rows(old, *(name.lower() for name in orders[old])):
                # A row that is refused has no rows that depend on it.
                all(conversion.store(row, new, valued(each, row)) for new, each in targets)
            conversion.count_on(old, targets[0][0])

    return convert


def _columns(native: sqlite3.Connection, table: _Table, path: Path) -> Columns:
    """The rules of a table, which must be one of the schema's, and get all columns that need a value."""
    place = f"table {table.old} to {table.new}"
    found = {each.name: each.columns for each in rows_of_schema(native, SCHEMA_VERSION)}
    if table.new not in found:
        raise _wrong(path, f"{place}: there is no such table; there are {', '.join(sorted(found))}")
    unknown = [name for name in table.columns if name not in found[table.new]]
    if unknown:
        known = ", ".join(found[table.new])
        raise _wrong(path, f"{place}: no columns {', '.join(unknown)}; there are {known}")
    not_null = dict(native.execute(_NOT_NULL, (table.new,)).fetchall())
    missing = [name for name in not_null if not_null[name] and name not in table.columns]
    if missing:
        raise _wrong(path, f"{place}: the columns {', '.join(missing)} need a rule")
    columns = {}
    for name, spec in table.columns.items():
        row = native.execute(_PARENT, (table.new, name)).fetchone()
        column = _Column(old=spec) if isinstance(spec, str) else spec
        if not column.sources() and column.value is None:
            raise _wrong(path, f'{place}: column {name} needs "from" or "value"')
        parent = row[0] if row is not None else None
        rule = _rule(column, table.new, name, parent, is_not_null=name in not_null)
        columns[name] = _bounded(rule, column, name)
    return columns


def _rule(column: _Column, table: str, name: str, parent: str | None, *, is_not_null: bool) -> Rule:
    """The rule of a column.

    Args:
        column: the column's entry in the mapping.
        table: the new table.
        name: the new column.
        parent: the table that it refers to.
        is_not_null: whether it takes no NULL.
    """
    if column.value is not None:
        return rules.constant(column.value)
    first, *_ = sources = column.sources()
    match column.rule:
        case "uuid" if name == "id":
            return rules.own_uuid(table, column=first)
        case "uuid":
            return rules.uuid(first, parent or table)
        case "moment":
            return rules.moment(*sources)
        case "json_object":
            return rules.json_object(first, "{}" if is_not_null else None)
        case simple:
            return _RULES[simple](first)


def _bounded(rule: Rule, column: _Column, name: str) -> Rule:
    """The rule with the words, the default and the bounds of a column."""

    def bounded(row: Row) -> Value:
        value = rule(row)
        if isinstance(value, str) and value in column.words:
            row.adjust(f"{row.table}: {name} {value} → {column.words[value]}")
            value = column.words[value]
        if value is None and column.default is not None:
            row.adjust(f"{row.table}: {name} missing → {column.default}")
            return column.default
        if isinstance(value, int | float):
            return _within(row, value, column, name)
        return value

    return bounded


def _within(row: Row, value: float, column: _Column, name: str) -> Value:
    if column.at_least is not None and value < column.at_least:
        instead = "NULL" if column.default is None else column.default
        row.adjust(f"{row.table}: {name} < {column.at_least:g} → {instead}")
        return column.default
    if column.between is not None:
        lowest, highest = column.between
        if not lowest <= value <= highest:
            row.adjust(f"{row.table}: {name} clamped")
            return min(max(value, lowest), highest)
    return value
