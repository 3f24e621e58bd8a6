"""How the rows of any table are read, in their order, and written, with their rowids."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import msgspec

from reelbase.engine.native.names import quoted
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

# SQLite's own modules that store their data in tables of the file.
FULL_TEXT = frozenset({"fts3", "fts4", "fts5"})
TREES = frozenset({"rtree", "rtree_i32"})


class TableRows(msgspec.Struct, frozen=True):
    """How the rows of a table are read and written.

    columns: in order; the rowid comes first where it is not a column.  key: the column that the rows are
    ordered by; None: they come in the order of the table.  indexed: for a full-text index without its own
    text, the suffix of its shadow table that lists the indexed rowids.
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
        """The statement that reads every row, in order."""
        own = quoted(self.name)
        names = ", ".join(f"{own}.{quoted(column)}" for column in self.columns)
        order = f" ORDER BY {own}.{quoted(self.key)}" if self.key else ""
        # A covering index would return the rows in its own order.
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
    """Finds out how the rows of a table are read and written.

    Args:
        native: a connection to the database.
        table: the table.
        module: the module of a virtual table, in lower case; None: a table that is not virtual.

    Returns:
        The columns, their order and the statements.
    """
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
    """Why the text of a full-text index cannot be read; None: it can be.

    An index that stores neither its text nor the name of a table with it is unreadable. An index with its
    text in another table is rebuilt from it, as a test.
    """
    if "content" in _shadows_of(native, table):
        return None
    try:
        native.execute(f"INSERT INTO {quoted(table)} ({quoted(table)}) VALUES ('rebuild')")
    except sqlite3.OperationalError as error:
        return f"the text that it has indexed cannot be read ({error})"
    return None


def shadow_tables(native: sqlite3.Connection) -> set[str]:
    """The tables that virtual tables of this connection's modules keep."""
    return {name for (name,) in native.execute(_SHADOWS)}


def _shadows_of(native: sqlite3.Connection, table: str) -> set[str]:
    """The suffixes of the shadow tables of a virtual table: their names without its name."""
    prefix = f"{table}_"
    shadows = shadow_tables(native)
    return {name.removeprefix(prefix) for name in shadows if name.startswith(prefix)}


@contextlib.contextmanager
def unchecked(native: sqlite3.Connection) -> Iterator[None]:
    """Ignores CHECK constraints inside the block. The rows passed them when they were first written; a
    constraint on the time, or with a function that is missing here, might refuse them now."""
    set_pragma(native, "ignore_check_constraints", 1)
    try:
        yield
    finally:
        set_pragma(native, "ignore_check_constraints", 0)


def folded(name: str) -> str:
    """A name in lower case as SQLite compares names: only ASCII letters are folded."""
    return name.lower() if name.isascii() else name
