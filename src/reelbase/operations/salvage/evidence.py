"""Evidence of lost rows in the indexes of a damaged file.

An entry of an index holds the values of its columns and the key of its row. So the indexes of a table
tell which rows it had, and some of their values.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator

import msgspec

from reelbase.operations.salvage.pages import Gap, PageFile, Value
from reelbase.operations.salvage.tables import Key, Table

_NOT_NULL = re.compile(r"\bWHERE\s+(\w+)\s+IS\s+NOT\s+NULL\s*$", re.IGNORECASE)

# Temporary tables instead of memory: there may be an entry for every row.
_TABLES = (
    "CREATE TEMP TABLE attested (table_name, key, index_number, PRIMARY KEY (table_name, key, index_number))"
    " WITHOUT ROWID",
    "CREATE TEMP TABLE known (table_name, key, column_name, value,"
    " PRIMARY KEY (table_name, key, column_name)) WITHOUT ROWID",
    "CREATE TEMP TABLE denied (table_name, key, index_number, PRIMARY KEY (table_name, key, index_number))"
    " WITHOUT ROWID",
)
_NAMES = ("attested", "known", "denied")


class Index(msgspec.Struct, frozen=True):
    """An index of a damaged file. columns: of its entries, None for the rowid and for expressions.
    is_complete: it has an entry for every row.  not_null: it has one for every row in which this
    column is not NULL.  root: its first page, 0 where it is not known."""

    name: str
    root: int
    columns: list[str | None]
    is_complete: bool
    not_null: str | None

    def row_of(self, values: list[Value]) -> dict[str, Value]:
        """The values of an entry by column."""
        pairs = zip(self.columns, values, strict=False)
        return {column: value for column, value in pairs if column is not None}


class LostRow(msgspec.Struct, frozen=True):
    """A row that indexes name and the table lacks. known: its values in their entries."""

    key: Key
    known: dict[str, Value]


def indexes_of(native: sqlite3.Connection, table: Table, roots: dict[str, int]) -> list[Index]:
    """The indexes of a table.

    Args:
        native: a connection to a database with the schema.
        table: the table.
        roots: the root pages of the damaged file, by name of the index.

    Returns:
        The indexes. The primary key of a table without rowid is the table itself, and left out.
    """
    found: list[Index] = []
    listed = native.execute(
        "SELECT name, origin, partial FROM pragma_index_list(?)", (table.name,)
    ).fetchall()
    for name, origin, is_partial in listed:
        if origin == "pk" and not table.has_rowid:
            continue  # the table itself
        columns = native.execute(
            "SELECT name FROM pragma_index_xinfo(?) ORDER BY seqno", (name,)
        ).fetchall()
        (sql,) = native.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
        condition = _NOT_NULL.search(sql or "") if is_partial else None
        found.append(
            Index(
                name=name,
                root=roots.get(name, 0),
                columns=[column for (column,) in columns],
                is_complete=not is_partial,
                not_null=condition[1] if condition else None,
            )
        )
    return found


def entries(
    pages: PageFile, table: Table, index: Index, trouble: list[int]
) -> Iterator[tuple[Key, list[Value]]]:
    """The key and the values of each readable entry of an index.

    Args:
        pages: the damaged file.
        table: the table of the index.
        index: the index.
        trouble: gets the numbers of the pages that cannot be read in full.

    Returns:
        The entries, in the order of the index.
    """
    claims = pages.claims()
    places = [index.columns.index(name) for name in table.key] if not table.has_rowid else []
    for page in pages.walk(index.root, claims, is_index=True):
        if isinstance(page, Gap):
            trouble.append(page.page)
            continue
        if page.lost_cells:
            trouble.append(page.number)
        for cell in page.cells:
            record = pages.record(page, cell, claims)
            if record is None or record.missing or len(record.values) != len(index.columns):
                trouble.append(page.number)
                continue
            key: object = (
                record.values[-1]
                if table.has_rowid
                else tuple(record.values[place] for place in places)
            )
            if isinstance(key, int | tuple):
                yield key, record.values
            else:
                trouble.append(page.number)


class Evidence:
    """Gathers the index entries of rows that the tables of native lack."""

    def __init__(self, native: sqlite3.Connection, pages: PageFile) -> None:
        self._native = native
        self._pages = pages
        self._sound: dict[str, int] = {}
        self._heard: dict[str, list[int]] = {}
        for statement in _TABLES:
            native.execute(statement)

    def close(self) -> None:
        """Drops the tables that held the evidence."""
        for name in _NAMES:
            self._native.execute(f"DROP TABLE temp.{name}")

    def gather(self, table: Table, indexes: list[Index]) -> None:
        """Reads all indexes of a table, entry by entry."""
        for name in _NAMES:
            self._native.execute(f"DELETE FROM {name} WHERE table_name = ?", (table.name,))
        sound: list[int] = []
        damaged: list[int] = []
        not_null: list[tuple[int, str]] = []
        for number, index in enumerate(indexes):
            trouble: list[int] = []
            for key, values in entries(self._pages, table, index, trouble) if index.root else ():
                row = index.row_of(values)
                agrees = table.agrees(key, row)
                if agrees is None:
                    self._note(table, number, key, row)
                elif not agrees:
                    self._native.execute(
                        "INSERT OR IGNORE INTO denied VALUES (?, ?, ?)",
                        (table.name, _stored(key), number),
                    )
            if index.is_complete and index.root:
                (damaged if trouble else sound).append(number)
            elif index.not_null and index.root and not trouble:
                not_null.append((number, index.not_null))
        for number, column in not_null:
            self._note_nulls(table, number, column)
        self._sound[table.name] = len(sound)
        # A damaged index has only a part of the entries; it counts only where no index is sound.
        self._heard[table.name] = sound or damaged

    def _note(self, table: Table, number: int, key: Key, row: dict[str, Value]) -> None:
        stored = _stored(key)
        self._native.execute(
            "INSERT OR IGNORE INTO attested VALUES (?, ?, ?)", (table.name, stored, number)
        )
        self._native.executemany(
            "INSERT OR IGNORE INTO known VALUES (?, ?, ?, ?)",
            [(table.name, stored, column, value) for column, value in row.items()],
        )

    def _note_nulls(self, table: Table, number: int, column: str) -> None:
        """Notes NULL for rows that are missing in a sound index ``WHERE column IS NOT NULL``."""
        self._native.execute(
            "INSERT OR IGNORE INTO known SELECT DISTINCT table_name, key, ?, NULL FROM attested AS row"
            " WHERE table_name = ? AND NOT EXISTS (SELECT 1 FROM attested WHERE table_name = row.table_name"
            " AND key = row.key AND index_number = ?)",
            (column, table.name, number),
        )

    def witnesses(self, table: Table) -> int:
        """How many sound indexes have an entry for every row of the table."""
        return self._sound[table.name]

    def says(self, table: Table, key: Key, row: dict[str, Value]) -> bool | None:
        """Whether the indexes have these values for a row that the table lacks.

        Args:
            table: the table.
            key: the key of the row.
            row: its values by column.

        Returns:
            True: all trusted indexes have the row with these values.  False: an index has another one
            with this key.  None: neither.
        """
        stored = _stored(key)
        known = self._known(table, stored)
        if any(row[name] != value for name, value in known.items() if name in row):
            return False
        (found,) = self._native.execute(
            "SELECT count(*) FROM attested WHERE table_name = ? AND key = ?"
            " AND index_number IN (SELECT value FROM json_each(?))",
            (table.name, stored, self._numbers(table)),
        ).fetchone()
        return True if found >= self._needed(table) else None

    def _known(self, table: Table, stored: int | str) -> dict[str, Value]:
        return dict(
            self._native.execute(
                "SELECT column_name, value FROM known WHERE table_name = ? AND key = ?",
                (table.name, stored),
            ).fetchall()
        )

    def denies(self, table: Table) -> bool:
        """Whether all trusted indexes have other values for a row that the table has."""
        found = self._native.execute(
            "SELECT 1 FROM denied WHERE table_name = ? AND index_number IN"
            " (SELECT value FROM json_each(?)) GROUP BY key HAVING count(*) >= ? LIMIT 1",
            (table.name, self._numbers(table), self._needed(table)),
        )
        return found.fetchone() is not None

    def lost_rows(self, table: Table) -> Iterator[LostRow]:
        """The rows that the table lacks, in the order of their keys."""
        keys = self._native.execute(
            "SELECT key FROM attested WHERE table_name = ? AND index_number IN"
            " (SELECT value FROM json_each(?)) GROUP BY key HAVING count(*) >= ? ORDER BY key",
            (table.name, self._numbers(table), self._needed(table)),
        )
        for (stored,) in keys:
            known = self._known(table, stored)
            key = stored if table.has_rowid else tuple(known.get(name) for name in table.key)
            yield LostRow(key, known)

    def stale_entries(self, table: Table) -> int:
        """How many rows are in some indexes, but neither in the table nor in all trusted indexes."""
        (found,) = self._native.execute(
            "SELECT count(*) FROM (SELECT 1 FROM attested WHERE table_name = ? GROUP BY key HAVING"
            " count(*) FILTER (WHERE index_number IN (SELECT value FROM json_each(?))) < ?)",
            (table.name, self._numbers(table), self._needed(table)),
        ).fetchone()
        return int(found)

    def _needed(self, table: Table) -> int:
        return self._sound[table.name] or 1

    def _numbers(self, table: Table) -> str:
        return json.dumps(self._heard[table.name])


def _stored(key: Key) -> int | str:
    """A key as the temporary tables have it."""
    return key if isinstance(key, int) else repr(key)
