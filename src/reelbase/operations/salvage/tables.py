"""A table of a file under repair: the stored form of its rows, and how they are inserted again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from reelbase.engine.native.names import quoted
from reelbase.operations.salvage.losses import RowNumber
from reelbase.operations.salvage.pages import Record, Value
from reelbase.operations.salvage.references import references_of

_ROWIDS = ("rowid", "_rowid_", "oid")

Key = int | tuple[Value, ...]


class Column(msgspec.Struct, frozen=True):
    """A stored column. is_text: it stores numbers as text.  is_given: an INSERT may name it.  is_moment:
    its default is the time of the INSERT."""

    name: str
    is_text: bool
    is_given: bool
    is_nullable: bool
    is_moment: bool


class Table:
    """A table. columns: in the order in which their values are stored.  key: the columns of the primary
    key.  alias: the column that is the rowid, or None.  rowid: a name of the rowid that no column has."""

    def __init__(self, native: sqlite3.Connection, name: str) -> None:
        self.name = name
        self._native = native
        info = native.execute("SELECT * FROM pragma_table_xinfo(?)", (name,)).fetchall()
        kind, without_rowid, strict = native.execute(
            "SELECT type, wr, strict FROM pragma_table_list WHERE schema = 'main' AND name = ?",
            (name,),
        ).fetchone()
        self.has_rowid = not without_rowid
        self.is_strict = bool(strict)
        self._is_shadow = kind == "shadow"
        self.key = [row[1] for row in sorted(info, key=lambda row: row[5]) if row[5]]
        stored = [row for row in info if row[6] in (0, 3)]  # without virtual generated columns
        if not self.has_rowid:
            stored.sort(key=lambda row: row[5] or len(info) + row[0])
        self.columns = [
            Column(
                name=row[1],
                is_text=_is_text(row[2].upper()),
                is_given=row[6] == 0,
                is_nullable=not row[3] and not (row[5] and not self.has_rowid),
                is_moment="strftime(" in (row[4] or ""),
            )
            for row in stored
        ]
        self.alias = self._alias({row[1]: row[2] for row in info})
        taken = {column.name.lower() for column in self.columns}
        self.rowid = next((name for name in _ROWIDS if name not in taken), "rowid")
        names = [self.alias or self.rowid] if self.has_rowid else self.key
        self._is_key = " AND ".join(f"{quoted(name)} IS ?" for name in names)
        self._inserts: dict[int, str] = {}
        self.references = list(references_of(native, name))

    def _alias(self, types: dict[str, str]) -> str | None:
        """INTEGER PRIMARY KEY, which has no index of its own (sqlite.org/lang_createtable.html#rowid)."""
        if not self.has_rowid or len(self.key) != 1 or types[self.key[0]].upper() != "INTEGER":
            return None
        origins = self._native.execute(
            "SELECT origin FROM pragma_index_list(?)", (self.name,)
        ).fetchall()
        return None if ("pk",) in origins else self.key[0]

    def holds(self, key: Key) -> bool:
        """Whether the table has the row. key: its rowid, or its primary key."""
        return self.agrees(key, {}) is not None

    def agrees(self, key: Key, row: dict[str, Value]) -> bool | None:
        """Whether the row with this key has these values; None if the table lacks the row."""
        same = " AND ".join(f"{quoted(name)} IS ?" for name in row) or "1"
        found = self._native.execute(
            f"SELECT {same} FROM {quoted(self.name)} WHERE {self._is_key}",
            [*row.values(), *((key,) if isinstance(key, int) else key)],
        ).fetchone()
        return None if found is None else bool(found[0])

    def fits(self, record: Record) -> bool:
        """Whether a record may be a row: it may lack columns that were added later, except in a shadow
        table; it stores NULL for the column that is the rowid, and no number where the table stores text."""
        length = len(record.values) + record.missing
        if not (len(self.columns) if self._is_shadow else 1) <= length <= len(self.columns):
            return False
        for column, value in zip(self.columns, record.values, strict=False):
            if column.name == self.alias and value is not None:
                return False
            if column.is_text and isinstance(value, int | float):
                return False
        return True

    def holds_entries(
        self, columns: Sequence[str | None], records: Sequence[Record | None]
    ) -> bool:
        """Whether most of the records are entries of an index, for rows of this table.

        columns: of the index; None for the rowid, which is the last one, and for expressions.
        """
        names = {place: name for place, name in enumerate(columns) if name is not None}
        if self.has_rowid:
            names[len(columns) - 1] = self.alias or self.rowid
        condition = " AND ".join(f"{quoted(name)} IS ?" for name in names.values())
        found = sum(
            self._native.execute(
                f"SELECT EXISTS (SELECT 1 FROM {quoted(self.name)} WHERE {condition})",
                [record.values[place] for place in names],
            ).fetchone()[0]
            for record in records
            if record is not None and len(record.values) == len(columns)
        )
        return bool(2 * found > len(records))

    def count_homeless(self, rows: Sequence[tuple[int, Sequence[Value]]]) -> int:
        """How many of these stored rows refer to a missing row."""
        names = [self.alias or self.rowid] if self.has_rowid else self.key
        condition = " AND ".join(f"child.{quoted(name)} IS ?" for name in names)
        return sum(
            self._native.execute(
                f"SELECT EXISTS (SELECT 1 FROM {quoted(self.name)} AS child WHERE {condition}"
                f" AND ({reference.condition}))",
                [rowid] if self.has_rowid else values[: len(self.key)],
            ).fetchone()[0]
            for reference in self.references
            for rowid, values in rows
        )

    def insert(self, rows: Sequence[tuple[int, Sequence[Value]]]) -> list[tuple[int, str]]:
        """Stores rows, each given by its rowid and its stored values.

        Returns the indexes, in the list, of the rows that the table refuses, each with the reason.
        """
        by_length = {len(values) for _, values in rows}
        if len(by_length) == 1:
            self._native.execute("SAVEPOINT reelbase_rows")
            try:
                self._native.executemany(
                    self._insert(by_length.pop()), [self._given(*row) for row in rows]
                )
            except (sqlite3.Error, OverflowError, UnicodeEncodeError):
                self._native.execute("ROLLBACK TO reelbase_rows")
            else:
                return []
            finally:
                self._native.execute("RELEASE reelbase_rows")
        refused: list[tuple[int, str]] = []
        for place, (rowid, values) in enumerate(rows):
            try:
                self._native.execute(self._insert(len(values)), self._given(rowid, values))
            except (sqlite3.IntegrityError, OverflowError, UnicodeEncodeError) as error:
                refused.append((place, str(error)))
        return refused

    def _insert(self, length: int) -> str:
        if length not in self._inserts:
            names = [column.name for column in self.columns[:length] if column.is_given]
            if self.has_rowid and self.alias is None:
                names.insert(0, self.rowid)
            self._inserts[length] = self.insertion(names)
        return self._inserts[length]

    def insertion(self, names: Sequence[str]) -> str:
        """The statement that inserts a row of these columns."""
        return (
            f"INSERT INTO {quoted(self.name)} ({', '.join(map(quoted, names))}) "
            f"VALUES ({', '.join('?' * len(names))})"
        )

    def _given(self, rowid: int, values: Sequence[Value]) -> list[Value]:
        given = [
            rowid if column.name == self.alias else value
            for column, value in zip(self.columns, values, strict=False)
            if column.is_given
        ]
        return [rowid, *given] if self.has_rowid and self.alias is None else given

    def insert_known(self, key: Key, known: dict[str, Value]) -> list[str] | None:
        """Stores a row with some columns unknown: they become NULL, or the present time if that is their
        default. No further default is used: a job that is queued by default would run again.

        Returns the names of the unknown columns; None when the table refuses the row.
        """
        given = dict(known)
        if self.has_rowid:
            given[self.alias or self.rowid] = key  # type: ignore[assignment]
        unknown = [c for c in self.columns if c.is_given and c.name not in given]
        if any(not column.is_nullable and not column.is_moment for column in unknown):
            return None
        given |= {column.name: None for column in unknown if column.is_nullable}
        stored = {column.name for column in self.columns if column.is_given}
        names = [name for name in given if name in stored or name == self.rowid]
        try:
            self._native.execute(self.insertion(names), [given[name] for name in names])
        except (sqlite3.IntegrityError, OverflowError, UnicodeEncodeError):
            return None
        return [column.name for column in unknown]

    def name_of(self, key: Key, known: dict[str, Value]) -> object:
        """The name of a row in a report: its primary key, else its rowid."""
        if isinstance(key, tuple):
            return ", ".join(map(str, key))
        if self.alias is not None:
            return key
        if self.key and all(name in known for name in self.key):
            return ", ".join(str(known[name]) for name in self.key)
        return RowNumber(key)


def _is_text(declared: str) -> bool:
    """Whether a column of this declared type has text affinity (sqlite.org/datatype3.html, 3.1)."""
    return "INT" not in declared and any(part in declared for part in ("CHAR", "CLOB", "TEXT"))
