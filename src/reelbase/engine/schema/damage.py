"""The damage of a file, and whether it costs rows: an index can be rebuilt, a row cannot."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import msgspec

from reelbase.engine.native.errors import result_code
from reelbase.engine.native.extensions import unchecked_tables
from reelbase.engine.native.names import quoted
from reelbase.engine.schema.search_indexes import DAMAGED, is_ours, search_indexes, shadows_of

MOST_PROBLEMS = 100


class Damage(msgspec.Struct, frozen=True):
    """The result of a check for damage.

    problems: in sentences.  costs_rows: whether tables are damaged, and not only indexes.
    is_mendable: whether repair() can work on it.
    search_indexes: the FTS5 tables, which have a check of their own; none if the schema cannot be read.
    warnings: the objects that were not checked, because a collation, function or module is not loaded.
    """

    problems: list[str]
    costs_rows: bool
    is_mendable: bool
    search_indexes: list[str] = []
    warnings: list[str] = []


def damage_of(native: sqlite3.Connection, *, full: bool) -> Damage:
    """The damage that quick_check finds, or with full integrity_check, which compares indexes with tables."""
    look = "integrity_check" if full else "quick_check"
    found = _lines_of_file(native, look, MOST_PROBLEMS)
    if not found:
        return Damage([], costs_rows=False, is_mendable=False)
    problems = [f"damaged: {line}" for line in found]
    costs_rows = False
    try:
        for text, costs in _damaged_tables(native, look):
            problems.append(text)
            costs_rows = costs_rows or costs
    except sqlite3.DatabaseError as error:
        if result_code(error) not in DAMAGED:
            raise
        problems.append(f"the schema cannot be read: {error}")
        costs_rows = True
    return Damage(problems, costs_rows, is_mendable=True)


def _damaged_tables(native: sqlite3.Connection, look: str) -> Iterator[tuple[str, bool]]:
    """For each damaged table a sentence, and whether the damage costs rows."""
    search_index_of = {
        shadow: name for name in search_indexes(native) for shadow in shadows_of(name)
    }
    unchecked = unchecked_tables(native, look)
    for table in tables_of(native):
        if table in unchecked or not _lines(native, f"PRAGMA {look}({quoted(table)})"):
            continue
        if table in search_index_of:
            name = search_index_of[table]
            # The library's are derived from tables; an application's own may be the only place of its texts.
            costs = table.endswith("_content") and not is_ours(name)
            yield f"the search index {name} is damaged (table {table})", costs
        elif not _is_readable(native, table):
            yield f"the table {table} is damaged; rows of it may be lost", True
        elif _has_fewer_rows_than_its_indexes(native, table):
            yield f"the table {table} lacks rows that its indexes have", True
        else:
            yield f"an index of table {table} is damaged; its rows can be read", False


def is_undamaged(native: sqlite3.Connection, table: str | None = None) -> bool:
    """Whether integrity_check finds nothing in the file, or in a table and its indexes."""
    if table is None:
        return not _lines_of_file(native, "integrity_check", 1)
    return not _lines(native, f"PRAGMA integrity_check({quoted(table)})")


def advice(path: object, damage: Damage) -> str | None:
    """A sentence that tells the user how to mend the file, with the command; None for no damage."""
    if not damage.is_mendable:
        return None
    if damage.costs_rows:
        return (
            "rows may be lost: stop what uses the file, and restore a backup, or save what can be read "
            f"with `reelbase repair {path}`"
        )
    return (
        "no row is lost, as far as can be seen: stop what uses the file, and mend it with "
        f"`reelbase repair {path}`"
    )


def _lines_of_file(native: sqlite3.Connection, look: str, most: int) -> list[str]:
    """The lines of a check of the whole file; table by table if it cannot check one of them."""
    try:
        unchecked = unchecked_tables(native, look)
    except sqlite3.DatabaseError as error:
        if result_code(error) not in DAMAGED:
            raise
        unchecked = {}
    if not unchecked:
        return _lines(native, f"PRAGMA {look}({most})")
    tables = [table for table in tables_of(native) if table not in unchecked]
    return [line for table in tables for line in _lines(native, f"PRAGMA {look}({quoted(table)})")][
        :MOST_PROBLEMS
    ]


def _lines(native: sqlite3.Connection, pragma: str) -> list[str]:
    """The lines of a check. SQLite gives several sentences in one row, or raises in the middle."""
    lines: list[str] = []
    try:
        for (text,) in native.execute(pragma):
            # From 3.44 on SQLite asks virtual tables too; one of an unknown tokenizer cannot answer.
            lines += [
                line
                for line in text.splitlines()
                if not line.startswith(("*** in database", "unable to validate"))
            ]
    except sqlite3.DatabaseError as error:
        if result_code(error) not in DAMAGED:
            raise
        lines.append(str(error))
    return [line for line in lines if line != "ok"][:MOST_PROBLEMS]


def tables_of(native: sqlite3.Connection) -> list[str]:
    """The names of all stored tables, including the shadow tables of search indexes and SQLite's own."""
    return [
        name
        for schema, name, kind, *_ in native.execute("PRAGMA table_list").fetchall()
        if schema == "main" and kind in ("table", "shadow")
    ]


def _is_readable(native: sqlite3.Connection, table: str) -> bool:
    """Whether every value of a table can be read, without its indexes."""
    columns = [
        name
        for _, name, _, _, _, _, hidden in native.execute(
            "SELECT * FROM pragma_table_xinfo(?)", (table,)
        )
        if hidden != 2  # computed, not stored
    ]
    values = ", ".join(f"max({quoted(name)})" for name in columns)
    try:
        native.execute(f"SELECT count(*), {values} FROM {quoted(table)} NOT INDEXED").fetchone()
    except sqlite3.DatabaseError as error:
        if result_code(error) not in DAMAGED:
            raise
        return False
    return True


def _has_fewer_rows_than_its_indexes(native: sqlite3.Connection, table: str) -> bool:
    indexes = native.execute(
        "SELECT name FROM pragma_index_list(?) WHERE NOT partial", (table,)
    ).fetchall()
    (rows,) = native.execute(f"SELECT count(*) FROM {quoted(table)} NOT INDEXED").fetchone()
    for (index,) in indexes:
        try:
            (entries,) = native.execute(
                f"SELECT count(*) FROM {quoted(table)} INDEXED BY {quoted(index)}"
            ).fetchone()
        except sqlite3.DatabaseError:
            continue  # damaged itself, or the index that a WITHOUT ROWID table is
        if entries > rows:
            return True
    return False
