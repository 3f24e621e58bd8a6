"""Creating an application's object by a statement from an untrusted source.

An authorizer lets the statement create the one object that it is said to create, and nothing else.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from functools import cache

import msgspec

from reelbase.engine.native.errors import result_code
from reelbase.engine.native.names import quoted
from reelbase.operations.own_objects import OwnObject
from reelbase.operations.table_rows import FULL_TEXT, TREES, TableRows, folded, rows_of, unchecked

# Triggers have a namespace of their own: a trigger may have the name of a table.
_NAMED = """
SELECT type, name, tbl_name
FROM sqlite_schema
WHERE name = ? COLLATE NOCASE
  AND (type = 'trigger') = ?
"""

_FUNCTIONS = """
SELECT DISTINCT lower(name)
FROM pragma_function_list
"""

# A table of such a name would hide the table-valued function that this library reads.
_OF_SQLITE = re.compile(r"pragma_|json_(each|tree)$", re.IGNORECASE)

# Virtual tables of all further modules are refused. The vocabularies show the terms of a full-text index.
_VOCABULARIES = frozenset({"fts4aux", "fts5vocab"})
_MODULES = FULL_TEXT | TREES | _VOCABULARIES

_SCHEMA_TABLES = ("sqlite_master", "sqlite_schema")

# The result codes of errors that the statement itself causes, not the disk or another connection. 0: the
# sqlite3 module, or this one, has refused it.
_OF_THE_STATEMENT = frozenset(
    {
        0,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_AUTH,
    }
)


class Created(msgspec.Struct, frozen=True):
    """A created object. module: that of a virtual table, else None.  rows: how to read and write a table's
    rows; None: the object has no rows of its own."""

    module: str | None
    rows: TableRows | None

    @property
    def is_full_text(self) -> bool:
        """Whether it is a table of full-text search."""
        return self.module in FULL_TEXT


class Refused(Exception):
    """An object cannot be created; the text says why."""


@cache
def _functions() -> frozenset[str]:
    """The names of SQLite's own functions, which are all that a new connection has.

    (PRAGMA trusted_schema would tell them apart too, but takes json_valid() of SQLite 3.40 for unsafe.)
    """
    with contextlib.closing(sqlite3.connect(":memory:")) as native:
        return frozenset(name for (name,) in native.execute(_FUNCTIONS))


def create(native: sqlite3.Connection, made: OwnObject, reserved: frozenset[str]) -> Created:
    """Creates an object, in the open transaction.

    Args:
        native: a connection with an open transaction.
        made: the object, with the statement that creates it.
        reserved: names, folded to lower case, that it must not have.

    Returns:
        The module of a virtual table, and how to write the rows of a table.

    Raises:
        Refused: the object cannot be created, or rows could not be written to it; a savepoint undoes it.
    """
    if not isinstance(made.name, str) or not isinstance(made.sql, str):
        raise Refused("its name or its statement is not UTF-8 text")
    if folded(made.name) in reserved:
        raise Refused("its name is one of the schema's")
    if _OF_SQLITE.match(made.name):
        raise Refused("its name is one of SQLite's own")
    if _named(native, made):
        raise Refused("its name is taken")
    guard = _Guard(made)
    native.execute("SAVEPOINT own_object")
    try:
        _run(native, made, guard)
        rows = None
        if made.type == "table" and guard.module not in _VOCABULARIES:
            rows = rows_of(native, made.name, guard.module)
            with unchecked(native):
                native.execute(f"EXPLAIN {rows.insert}", [None] * len(rows.columns)).close()
    # More than one statement is a Warning on Python 3.11; one with a NUL is a ValueError.
    except (sqlite3.Error, sqlite3.Warning, ValueError, Refused) as error:
        if result_code(error) not in _OF_THE_STATEMENT:
            raise
        native.execute("ROLLBACK TO own_object")
        native.execute("RELEASE own_object")
        raise Refused(guard.refused or str(error)) from error
    native.execute("RELEASE own_object")
    return Created(guard.module, rows)


def _run(native: sqlite3.Connection, made: OwnObject, guard: _Guard) -> None:
    native.set_authorizer(guard)
    try:
        native.execute(made.sql).close()
        for name, value in made.settings.items():
            native.execute(
                f"INSERT INTO {quoted(made.name)} ({quoted(made.name)}, rank) VALUES (?, ?)",
                (name, value),
            )
    finally:
        native.set_authorizer(None)
    if _named(native, made) != [(made.type, made.name, made.table)]:
        raise Refused("its statement creates something else")


def _named(native: sqlite3.Connection, made: OwnObject) -> list[tuple[str, str, str]]:
    return native.execute(_NAMED, (made.name, made.type == "trigger")).fetchall()


def _refusal(action: int, second: str | None) -> str:
    match action:
        case sqlite3.SQLITE_CREATE_VTABLE:
            return f"virtual tables of the module {second} do not come along"
        case sqlite3.SQLITE_FUNCTION:
            return f"it uses the function {second}, which is not one of SQLite's"
        case _:
            return "its statement does more than create it"


class _Guard:
    """An authorizer that allows the creation of one object, and nothing else.

    module: that of a virtual table.  refused: the first forbidden action, in words.
    """

    def __init__(self, made: OwnObject) -> None:
        self._made = made
        self.module: str | None = None
        self.refused = ""

    def __call__(
        self, action: int, first: str | None, second: str | None, schema: str | None, _: str | None
    ) -> int:
        if schema in ("main", None) and self._allows(action, first or "", second or ""):
            return sqlite3.SQLITE_OK
        self.refused = self.refused or _refusal(action, second)
        return sqlite3.SQLITE_DENY

    def _allows(self, action: int, first: str, second: str) -> bool:
        made = self._made
        if first in _SCHEMA_TABLES:
            return action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_READ)
        if self.module is not None:
            return self._allows_module(action, first, second)
        match action:
            case sqlite3.SQLITE_CREATE_TABLE:
                return made.type == "table" and first == made.name
            case sqlite3.SQLITE_CREATE_VTABLE:
                self.module = second.lower()
                return made.type == "table" and first == made.name and self.module in _MODULES
            case sqlite3.SQLITE_CREATE_INDEX if made.type == "table":  # of a UNIQUE or PRIMARY KEY
                return first.startswith("sqlite_autoindex_") and second == made.name
            case sqlite3.SQLITE_CREATE_INDEX:
                return made.type == "index" and (first, second) == (made.name, made.table)
            case sqlite3.SQLITE_CREATE_VIEW:
                return made.type == "view" and first == made.name
            case sqlite3.SQLITE_CREATE_TRIGGER:
                # Of a trigger SQLite keeps the table's name as it was typed.
                is_on_table = folded(second) == folded(made.table)
                return made.type == "trigger" and first == made.name and is_on_table
            case sqlite3.SQLITE_READ:
                return first == made.table
            case sqlite3.SQLITE_REINDEX:
                return first == made.name
            case (
                sqlite3.SQLITE_FUNCTION
            ):  # not functions that the connection or an application adds
                return second.lower() in _functions()
            case _:
                return False

    def _allows_module(self, action: int, first: str, second: str) -> bool:
        """Whether the module may do this: it creates shadow tables, named after the virtual table."""
        match action:
            case sqlite3.SQLITE_SELECT | sqlite3.SQLITE_FUNCTION:
                return True
            case sqlite3.SQLITE_PRAGMA:  # page_size, data_version
                return not second
            case sqlite3.SQLITE_CREATE_INDEX:
                return self._is_shadow(second)
            # An R-tree with auxiliary columns that may not look whether it has statistics is created all the
            # same, and then stores no row.
            case sqlite3.SQLITE_READ if first == "sqlite_stat1":
                return True
            case (
                sqlite3.SQLITE_CREATE_TABLE
                | sqlite3.SQLITE_READ
                | sqlite3.SQLITE_INSERT
                | sqlite3.SQLITE_UPDATE
                | sqlite3.SQLITE_DELETE
            ):
                return first == self._made.name or self._is_shadow(first)
            case _:
                return False

    def _is_shadow(self, table: str) -> bool:
        return table.startswith(f"{self._made.name}_")
