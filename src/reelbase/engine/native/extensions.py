"""Collations, functions, modules and tokenizers that a database needs and a connection has not loaded.

They are an application's own: further programs, such as the command line, have only SQLite's. There, an
object that needs a missing one cannot be read, written or checked; the rest of the database can.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any, Literal, NamedTuple

from reelbase.engine.native.names import quoted
from reelbase.errors import DatabaseError

_MISSING = re.compile(
    r"(?:no such (?P<kind>collation sequence|function|module|tokenizer)|unknown function): (?P<name>.+)"
)
# Statements that are compiled and not run: compiling shows whether something is missing.
_INDEX_PROBE = "EXPLAIN REINDEX main.{name}"
_TABLE_PROBES = (
    "EXPLAIN SELECT * FROM main.{name} ORDER BY {columns}",
    "EXPLAIN INSERT INTO main.{name} DEFAULT VALUES",
    "EXPLAIN UPDATE main.{name} SET {unchanged}",
    "EXPLAIN DELETE FROM main.{name}",
)


class Need(NamedTuple):
    """An object that cannot be used without something that is not loaded.

    object: "the index app_names".  missing: "the collation natsort".
    """

    object: str
    missing: str

    def __str__(self) -> str:
        return f"{self.object} needs {self.missing}"


def missing_in(error: sqlite3.Error) -> str | None:
    """The missing object that made a statement fail, "the function slug"; None for any further reason."""
    found = _MISSING.search(str(error))
    if found is None:
        return None
    kind = (found["kind"] or "function").removesuffix(" sequence")
    return f"the {kind} {found['name'].removesuffix('()')}"


def needs_of(native: sqlite3.Connection) -> list[Need]:
    """The indexes, tables and views that need something not loaded; a table also for its triggers."""
    found: dict[str, Need] = {}
    objects = native.execute(
        "SELECT type, name, tbl_name FROM sqlite_schema"
        " WHERE type <> 'trigger' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY type, name"
    ).fetchall()  # indexes come first: a table needs the same as its index, and is then left out
    seen = set()
    for kind, name, table in objects:
        for probe in (_INDEX_PROBE,) if kind == "index" else _TABLE_PROBES:
            missing = _missing_for(native, probe, name)
            if missing is not None and (table, missing) not in seen:
                found.setdefault(name, Need(f"the {kind} {name}", missing))
                seen.add((table, missing))
    return list(found.values())


def _missing_for(native: sqlite3.Connection, probe: str, name: str) -> str | None:
    try:
        listed = native.execute(
            "SELECT name, hidden FROM pragma_table_xinfo(?, 'main')", (name,)
        ).fetchall()
        columns = [quoted(column) for column, _ in listed]
        plain = [quoted(column) for column, hidden in listed if not hidden]
        sql = probe.format(
            name=quoted(name),
            columns=", ".join(columns),
            unchanged=", ".join(f"{column} = {column}" for column in plain),
        )
        native.execute(sql).close()
    except sqlite3.OperationalError as error:  # or, for example, a view of a dropped table
        return missing_in(error)
    return None


def table_by_table(
    native: sqlite3.Connection, whole: str, each: str, *, most_rows: int
) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Runs a statement over all tables, or table by table if one of them cannot be read.

    Args:
        native: the connection.
        whole: the statement for all tables, "PRAGMA quick_check". SQLite refuses it as a whole if one
            table needs something not loaded.
        each: the statement for one table, "PRAGMA quick_check({table})", run for every table then.
        most_rows: the maximal number of rows.

    Returns:
        The rows, and the tables that were left out, each with the reason in words.
    """
    try:
        return native.execute(whole).fetchmany(most_rows), []
    except sqlite3.OperationalError as error:
        if missing_in(error) is None:
            raise
    rows: list[tuple[Any, ...]] = []
    skipped = []
    for table in tables_of(native, "table", "shadow"):
        try:
            rows += native.execute(each.format(table=quoted(table))).fetchmany(most_rows)
        except sqlite3.OperationalError as error:
            missing = missing_in(error)
            if missing is None:
                raise
            skipped.append(f"the table {table}, which needs {missing}")
    return rows[:most_rows], skipped


def unchecked_tables(native: sqlite3.Connection, look: str) -> dict[str, str]:
    """The tables that quick_check or integrity_check cannot read, each with the object that it lacks."""
    try:
        native.execute(f"EXPLAIN PRAGMA {look}(1)").close()
        return {}
    except sqlite3.OperationalError as error:
        if missing_in(error) is None:
            raise
    probe = f"EXPLAIN PRAGMA {look}({{name}})"
    found = {
        table: _missing_for(native, probe, table) for table in tables_of(native, "table", "shadow")
    }
    return {table: missing for table, missing in found.items() if missing is not None}


def not_loaded(native: sqlite3.Connection, what: str, missing: str) -> DatabaseError:
    """The error of an operation that needs the whole database.

    Args:
        native: the connection.
        what: the operation, "VACUUM".
        missing: the object that is not loaded, as missing_in() names it.
    """
    needs = needs_of(native)
    users = ", ".join(need.object for need in needs if need.missing == missing)
    return DatabaseError(
        f"{what} needs {missing}, which this connection has not loaded"
        f"{f' ({users} uses it)' if users else ''}; the database is unchanged",
        code="not_loaded",
        details={"missing": missing, "needs": [str(need) for need in needs]},
    )


def tables_of(native: sqlite3.Connection, *kinds: Literal["table", "shadow"]) -> list[str]:
    """The names of tables, without SQLite's own. shadow: the tables that hold a virtual table's content."""
    listed = native.execute("PRAGMA table_list").fetchall()
    return sorted(
        name
        for schema, name, kind, *_ in listed
        if schema == "main" and kind in kinds and not name.startswith("sqlite_")
    )
