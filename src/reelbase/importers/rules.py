"""The rules by which a column of the old database becomes a column of the new one, each defined once.

A rule is a function from a row to a value. One that changes a value says so by ``row.adjust()``, under the
name that the report shows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import tzinfo

from reelbase.engine.file_names import escaped
from reelbase.importers.outcome import Outcome
from reelbase.importers.values import (
    flag_of,
    integer_of,
    is_uuid,
    json_of,
    json_text,
    moment_of,
    raw_json,
    real_of,
    text_of_value,
    uuid_of,
)
from reelbase.operations.transfer.format import Value


class Row(dict[str, Value]):
    """A row of the old database. A column that the old database lacks is None.

    table: its table.  now: the time of the import.  zone: that of times without an offset; None: the
    machine's.
    """

    __slots__ = ("_outcome", "now", "table", "zone")

    def __init__(
        self,
        table: str,
        columns: list[str],
        values: tuple[Value, ...],
        outcome: Outcome,
        now: str,
        zone: tzinfo | None,
    ) -> None:
        super().__init__(zip(columns, values, strict=True))
        self.table = table
        self.now = now
        self.zone = zone
        self._outcome = outcome

    def __missing__(self, column: str) -> None:
        return None

    def adjust(self, rule: str) -> None:
        """Says that a rule has changed a value of this row."""
        self._outcome.adjust(rule)

    def new_id(self, table: str, new: object, column: str = "id") -> None:
        """Says which id the row has in the new database. column: that of its old id."""
        self._outcome.new_id(table, self.text(column), new)

    def text(self, column: str) -> str | None:
        """The text of a column."""
        value = self[column]
        if isinstance(value, bytes):
            self.adjust(f"{self.table}.{column} is no UTF-8: escaped")
        return text_of_value(value)

    def word(self, column: str, capitals: str = "") -> str | None:
        """The text of a column in small letters. capitals: the rule to name when it had capitals."""
        found = self.text(column)
        if found is None or found == found.lower():
            return found
        if capitals:
            self.adjust(capitals)
        return found.lower()

    def moment(self, column: str) -> str | None:
        """The time of a column; None for none, or for one that cannot be read."""
        value = self[column]
        if value is None or value == "":
            return None
        found = moment_of(value, self.zone)
        if found is None:
            self.adjust(f"{self.table}.{column} is no time: dropped")
        return found


Rule = Callable[[Row], Value]
Columns = Mapping[str, Rule]


def valued(columns: Columns, row: Row) -> dict[str, Value]:
    """The values that the rules make of a row, by column of the new database."""
    return {column: rule(row) for column, rule in columns.items()}


def constant(value: Value) -> Rule:
    """The same value for every row."""
    return lambda row: value


def text(column: str, default: str | None = None) -> Rule:
    """The text as it is. default: instead of NULL."""

    def rule(row: Row) -> Value:
        found = row.text(column)
        return default if found is None else found

    return rule


def masked(column: str, mask: Callable[[str], str | None]) -> Rule:
    """The function's result for the text; NULL for NULL."""

    def rule(row: Row) -> Value:
        found = row.text(column)
        return None if found is None else mask(found)

    return rule


def file_name(column: str, default: str | None = None) -> Rule:
    """A name or path of a file, which may hold any bytes."""

    def rule(row: Row) -> Value:
        value = row[column]
        name = os.fsdecode(value) if isinstance(value, bytes) else text_of_value(value)
        return default if name is None else escaped(name)

    return rule


def uuid(column: str, kind: str) -> Rule:
    """A UUID with dashes, in lower case; an id that is no UUID is replaced by one that is made of it.

    kind: the table of the new database that the id belongs to.
    """
    return lambda row: uuid_of(row[column], kind)


def own_uuid(table: str, rule: str | None = None, column: str = "id") -> Rule:
    """uuid() for the row's own id: it says so if the id is a new one. rule: the name in the report."""

    def own(row: Row) -> Value:
        new = uuid_of(row[column], table)
        if new is not None and not is_uuid(row[column]):
            row.adjust(rule or f"{row.table}.{column} is no UUID: a new one (uuid5)")
            row.new_id(table, new, column)
        return new

    return own


def moment(*columns: str) -> Rule:
    """The first of these columns that holds a time; else the time of the import, for one that was never
    stored."""

    def rule(row: Row) -> Value:
        for column in columns:
            if found := row.moment(column):
                return found
        return row.now

    return rule


def optional_moment(column: str) -> Rule:
    """The time, or NULL."""
    return lambda row: row.moment(column)


def integer(column: str, default: int | None = None) -> Rule:
    """An integer; default for NULL and for a value that is none."""

    def rule(row: Row) -> Value:
        found = integer_of(row[column])
        if found is None and row[column] is not None:
            row.adjust(f"{row.table}.{column} is no integer: dropped")
        return default if found is None else found

    return rule


def real(column: str, default: float | None = None) -> Rule:
    """A finite number; default for NULL and for a value that is none."""

    def rule(row: Row) -> Value:
        found = real_of(row[column])
        if found is None and row[column] is not None:
            row.adjust(f"{row.table}.{column} is no number: dropped")
        return default if found is None else found

    return rule


def flag(column: str) -> Rule:
    """0 or 1."""
    return lambda row: flag_of(row[column])


def at_least(
    lowest: float, rule: Rule, name: str, otherwise: Value = None, *, excluded: bool = False
) -> Rule:
    """The number of a rule; otherwise for one that is lower than lowest.

    name: of the adjustment.  excluded: lowest itself is too low.
    """

    def bounded(row: Row) -> Value:
        value = rule(row)
        if isinstance(value, int | float) and (value < lowest or (excluded and value == lowest)):
            row.adjust(name)
            return otherwise
        return value

    return bounded


def clamped(
    column: str,
    lowest: float,
    highest: float,
    name: str | None = None,
    *,
    may_be_null: bool = False,
) -> Rule:
    """A number within a range. name: of the adjustment.  may_be_null: NULL stays; otherwise it is lowest."""
    rule = real(column, None if may_be_null else lowest)

    def within(row: Row) -> Value:
        value = rule(row)
        if not isinstance(value, int | float):
            return value
        kept = min(max(value, lowest), highest)
        if kept != value:
            row.adjust(name or f"{row.table}.{column} clamped")
        return kept

    return within


def span(row: Row, start: str, end: str, names: tuple[str, str]) -> tuple[Value, Value]:
    """Where a part of a file starts and ends, in seconds: not before 0, and in this order.

    names: of the adjustments, for a start before 0 and for the wrong order. A time that is no number is
    None.
    """
    first, last = real(start)(row), real(end)(row)
    if not isinstance(first, float) or not isinstance(last, float):
        return first, last
    if first < 0 or last < 0:
        row.adjust(names[0])
        first, last = max(first, 0.0), max(last, 0.0)
    if last < first:
        row.adjust(names[1])
        first, last = last, first
    return first, last


def json_object(
    column: str,
    default: str | None = "{}",
    *,
    wrapped: str | None = None,
    null: str | None = None,
) -> Rule:
    """A JSON object as it is; anything else that is JSON as ``{"value": …}``, and a text that is
    none as ``{"raw": "…"}``.

    Args:
        column: the column.
        default: for NULL and for JSON's null.
        wrapped: the name of the adjustment.
        null: the name of the adjustment of JSON's null; None: it is that of wrapped.
    """

    def rule(row: Row) -> Value:
        value = row[column]
        if value is None:
            return default
        found = json_of(value)
        if found is not None and isinstance(found.value, dict):
            return found.text
        changed = wrapped or f"{row.table}.{column} wrapped"
        if found is not None and found.value is None:
            row.adjust(null or changed)
            return default
        row.adjust(changed)
        return raw_json(value) if found is None else json_text({"value": found.value})

    return rule


def json_array(column: str) -> Rule:
    """A JSON array as it is; NULL for NULL and JSON's null; anything else in an array of its own."""

    def rule(row: Row) -> Value:
        value = row[column]
        found = json_of(value)
        if value is None or (found is not None and found.value is None):
            return None
        if found is not None and isinstance(found.value, list):
            return found.text
        row.adjust(f"{row.table}.{column} is no array: wrapped")
        return json_text([found.value if found is not None else {"raw": text_of_value(value)}])

    return rule


def json_setting(column: str, name: str | None = None) -> Rule:
    """JSON as it is; a text that is none as a JSON string, and NULL as ``null``. name: of the adjustment."""

    def rule(row: Row) -> Value:
        value = row[column]
        found = json_of(value)
        if found is not None:
            return found.text
        row.adjust(name or f"{row.table}.{column} is no JSON: kept as text/null")
        return json_text(text_of_value(value))

    return rule
