"""How the rows of any table are read, in their order, and written, with their rowids."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import msgspec

from reelbase.engine.native.pragmas import set_pragma

_SHADOWS = """
SELECT name
FROM pragma_table_list
WHERE schema = 'main'
  AND type = 'shadow'
"""

_COLUMNS = """
SELECT name, hidden, pk
FROM pragma_table_xinfo(?)
ORDER BY cid
"""

_HAS_ROWID = """
SELECT NOT wr
FROM pragma_table_list
WHERE schema = 'main'
  AND name = ?
"""

# INTEGER PRIMARY KEY is the rowid itself, and needs no index.
_HAS_KEY_INDEX = """
SELECT EXISTS (SELECT 1 FROM pragma_index_list(?) WHERE origin = 'pk')
"""

# Modules of SQLite's own that keep what they hold in tables of the file.
FULL_TEXT = frozenset({"fts3", "fts4", "fts5"})
TREES = frozenset({"rtree", "rtree_i32"})


class TableRows(msgspec.Struct, frozen=True):
    """How the rows of a table are read and written.

    columns: in order, with the rowid where that is no column of its own.  key: the column that its rows
    are ordered by; None: they come in the order of the table.  indexed: of a full-text index whose text is
    elsewhere, the suffix of its table with the rowids that it has indexed.
    """

    name: str
    columns: list[str]
    key: str | None = None
    indexed: str | None = None

    @property
    def insert(self) -> str:
        """The statement that inserts a row."""
        names = ", ".join(map(quoted, self.columns))
        values = ", ".join("?" * len(self.columns))
        return f"INSERT INTO {quoted(self.name)} ({names}) VALUES ({values})"

    @property
    def select(self) -> str:
        """Every row, in its order."""
        own = quoted(self.name)
        names = ", ".join(f"{own}.{quoted(column)}" for column in self.columns)
        order = f" ORDER BY {own}.{quoted(self.key)}" if self.key else ""
        # An index that has all columns would give them in its own order.
        hint = " NOT INDEXED" if self.indexed is None else ""
        return f"SELECT {names} FROM {self._source}{hint}{order}"

    @property
    def count(self) -> str:
        """The statement that counts the rows."""
        return f"SELECT count(*) FROM {self._source}"

    @property
    def _source(self) -> str:
        own = quoted(self.name)
        if self.indexed is None:
            return own
        rowids = quoted(f"{self.name}_{self.indexed}")
        return f"{rowids} CROSS JOIN {own} ON {own}.{quoted(self.columns[0])} = {rowids}.rowid"


def rows_of(native: sqlite3.Connection, table: str, module: str | None = None) -> TableRows:
    """How the rows of a table are read and written; module: of a virtual one."""
    found = native.execute(_COLUMNS, (table,)).fetchall()
    columns = [name for name, hidden, _ in found if not hidden]
    if module in TREES:
        return TableRows(table, columns, key=columns[0])
    if module in ("fts3", "fts4"):  # the language of a row
        columns += [name for name, hidden, _ in found if hidden and name not in ("docid", table)]
    if module is None:
        (has_rowid,) = native.execute(_HAS_ROWID, (table,)).fetchone()
        if not has_rowid:
            return TableRows(table, columns)
        keys = [name for name, _, pk in found if pk]
        if len(keys) == 1 and not native.execute(_HAS_KEY_INDEX, (table,)).fetchone()[0]:
            return TableRows(table, columns, key=keys[0])
    taken = {folded(name) for name, _, _ in found}
    rowid = next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), None)
    shadows = _shadows_of(native, table) if module else ()
    return TableRows(
        table,
        columns if rowid is None else [rowid, *columns],
        rowid,
        "docsize" if "content" not in shadows and "docsize" in shadows else None,
    )


def why_unreadable(native: sqlite3.Connection, table: str) -> str | None:
    """Why nothing tells what a full-text index holds: it has neither its text nor a table to read it from.

    One whose text is in another table is built from it.
    """
    if "content" in _shadows_of(native, table):
        return None
    try:
        native.execute(f"INSERT INTO {quoted(table)} ({quoted(table)}) VALUES ('rebuild')")
    except sqlite3.OperationalError as error:
        return f"what it has indexed cannot be read ({error})"
    return None


def shadow_tables(native: sqlite3.Connection) -> set[str]:
    """The tables that virtual tables of this connection's modules keep."""
    return {name for (name,) in native.execute(_SHADOWS)}


def _shadows_of(native: sqlite3.Connection, table: str) -> set[str]:
    """What comes after the name of a virtual table in those of the tables that it keeps."""
    prefix = f"{table}_"
    shadows = shadow_tables(native)
    return {name.removeprefix(prefix) for name in shadows if name.startswith(prefix)}


@contextlib.contextmanager
def unchecked(native: sqlite3.Connection) -> Iterator[None]:
    """CHECKs do not count inside. The rows passed them when they were first written; one that asks for
    the time, or for a function that is not here, would not let them pass again."""
    set_pragma(native, "ignore_check_constraints", 1)
    try:
        yield
    finally:
        set_pragma(native, "ignore_check_constraints", 0)


def quoted(name: str) -> str:
    """A name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def folded(name: str) -> str:
    """As SQLite compares names: of ASCII alone."""
    return name.lower() if name.isascii() else name
