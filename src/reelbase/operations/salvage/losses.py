"""The report of a repair: the repaired parts, and the lost rows by table and key."""

from __future__ import annotations

from collections import Counter

import msgspec


class RowNumber(int):
    """The rowid of a row that has its primary key in a different column, with an unknown value."""

    def __str__(self) -> str:
        return f"row {int(self)}"


class _Run(msgspec.Struct):
    """Rows of a table that are lost for the same reason. first to last: consecutive integer keys, or one
    key."""

    table: str
    first: object
    last: object
    why: str

    def __str__(self) -> str:
        if isinstance(self.first, int) and isinstance(self.last, int) and self.last > self.first:
            count = self.last - self.first + 1
            return f"{self.table} {self.first} to {self.last} ({count:,} rows): {self.why}"
        return f"{self.table} {self.first}: {self.why}"


class Losses:
    """Collects the repairs and losses. mended: a sentence each.  rows: how many rows each table has lost
    for certain.  touched: the tables that have changed."""

    def __init__(self) -> None:
        self.mended: list[str] = []
        self.rows: Counter[str] = Counter()
        self.touched: set[str] = set()
        self._lost: list[_Run | str] = []

    def touch(self, table: str) -> None:
        """Notes that the table has changed."""
        self.touched.add(table)

    def mend(self, sentence: str) -> None:
        """Notes a repair, as a sentence."""
        self.mended.append(sentence)

    def lose_row(self, table: str, key: object, why: str, *, is_certain: bool = True) -> None:
        """Notes a lost row.

        Args:
            table: its table.
            key: its rowid, or its primary key as a text.
            why: the reason, in words.
            is_certain: False when the row may have been deleted before; it is then not counted.
        """
        if is_certain:
            self.rows[table] += 1
        self.touch(table)
        last = self._lost[-1] if self._lost else None
        if (
            isinstance(last, _Run)
            and (last.table, last.why) == (table, why)
            and isinstance(key, int)
            and isinstance(last.last, type(key))
            and key == last.last + 1
        ):
            last.last = key
        else:
            self._lost.append(_Run(table, key, key, why))

    def lose_rows(self, table: str, number: int, sentence: str) -> None:
        """Notes lost rows with unknown keys.

        Args:
            table: their table.
            number: how many they are.
            sentence: the report of the loss.
        """
        self.rows[table] += number
        self.touch(table)
        self._lost.append(sentence)

    def lose(self, sentence: str) -> None:
        """Notes a loss that is no row, or not certain, as a sentence."""
        self._lost.append(sentence)

    @property
    def lost(self) -> list[str]:
        """All losses, a sentence each."""
        return [str(loss) for loss in self._lost]
