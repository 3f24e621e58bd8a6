"""A conversion in progress: rows come out of the old database, and go into the new one or into the report."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, tzinfo

import msgspec

from reelbase.engine.secrets import Secrets
from reelbase.importers.outcome import Outcome
from reelbase.importers.rules import Columns, Row, valued
from reelbase.importers.source import OldDatabase
from reelbase.operations.transfer.format import Value
from reelbase.operations.transfer.target import RowStore

_SAYS_NOTHING = (None, 0, "", "[]", "{}", "null")


class Options(msgspec.Struct, frozen=True):
    """The caller's choices.

    zone: the time zone of times that the old application stored as local ones; None: the machine's.
    strip_prefix: cut from the beginning of paths.  encryption_key: the old application's, which encrypted
    its API keys, and secrets: the keys that encrypt them from now on; both or none.
    """

    zone: tzinfo | None = None
    strip_prefix: str = ""
    encryption_key: str | None = None
    secrets: Secrets | None = None


def _names(names: str | tuple[str, ...]) -> list[str]:
    return names.split() if isinstance(names, str) else list(names)


class Shape(msgspec.Struct, frozen=True):
    """A table that the importer knows.

    needed: columns without which it is not the application's table: a text of names, or a tuple of them.
    optional: columns that came later.  no_column: columns that the schema has no place for; columns of
    one text, separated by commas, are counted together.  ignored: columns that mean nothing once the
    application has ended, or are never imported (passwords).  is_optional: the whole table came later.
    """

    needed: str | tuple[str, ...]
    optional: str = ""
    no_column: tuple[str, ...] = ()
    ignored: str | tuple[str, ...] = ""
    is_optional: bool = False

    def known(self) -> set[str]:
        """The names of all columns."""
        lost = ",".join(self.no_column).replace(",", " ")
        all_of_them = (self.needed, self.optional, lost, self.ignored)
        return {name for names in all_of_them for name in _names(names)}


class Application(msgspec.Struct, frozen=True):
    """An application with databases that can be imported.

    name: its name for --from.  vintage: which of its schemas; '' for the newest.  tables: the converted
    ones.  never: tables that hold credentials: their rows are counted but not written anywhere.
    convert: does the work.
    has_local_times: times without an offset are the server's local ones, not UTC.
    """

    name: str
    vintage: str
    tables: Mapping[str, Shape]
    convert: Callable[[Conversion], None]
    never: frozenset[str] = frozenset()
    has_local_times: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({self.vintage})" if self.vintage else self.name

    def missing_in(self, database: OldDatabase) -> list[str]:
        """The tables and columns that a database lacks to be this application's, in words."""
        missing = []
        for name, shape in self.tables.items():
            table = database.tables.get(name)
            if table is None:
                missing += [] if shape.is_optional else [f"table {name}"]
                continue
            lacks = [column for column in _names(shape.needed) if column not in table.columns]
            missing += [f"{name}.{column}" for column in lacks]
        return missing


# Names of columns that hold credentials, in any table.
_SECRET = re.compile(
    r"passw|secret|(?:^|_)token(?:_|$)|api_?key|credential|backup_codes|private_key|cookie",
    re.IGNORECASE,
)

# Tables of migration tools: they say what the old file was, and nothing of what is in it.
_BOOKKEEPING = frozenset({"alembic_version"})


class Conversion:
    """The tools of an application's converter.

    old: the old database.  outcome: the counts.  options: the caller's.  now: the time of the import.
    """

    def __init__(
        self,
        application: Application,
        old: OldDatabase,
        store: RowStore,
        outcome: Outcome,
        options: Options,
        now: str,
        on_row: Callable[[], None],
    ) -> None:
        self.application = application
        self.old = old
        self.outcome = outcome
        self.options = options
        self.now = now
        self._store = store
        self._on_row = on_row
        self._zone = options.zone if application.has_local_times else UTC

    def rows(self, table: str, *order: str) -> Iterator[Row]:
        """The rows of a table that the importer knows, each counted as read; none if there is no such table.
        Values without a column in the schema are counted and written.

        order: as of OldDatabase.rows().
        """
        found = self.old.tables.get(table)
        if found is None:
            return
        shape = self.application.tables[table]
        groups = {
            f"{table}.{group}": [column.strip() for column in group.split(",")]
            for group in shape.no_column
        }
        unknown = [column for column in found.columns if column not in shape.known()]
        if unknown:
            names = ", ".join(unknown)
            self.outcome.notes.append(
                f"table {table} has columns that the importer does not know: {names}"
            )
        self.outcome.read[table] += 0
        for row in self.peek(table, *order):
            self._on_row()
            self.outcome.read[table] += 1
            lost = [
                group
                for group, columns in groups.items()
                if any(row[column] not in _SAYS_NOTHING for column in columns)
            ]
            lost += [f"{table}.{column}" for column in unknown if row[column] is not None]
            if lost:
                self.outcome.lose(table, self.shown(row), *lost)
            yield row

    def peek(self, table: str, *order: str) -> Iterator[Row]:
        """Like rows(), without counting them: for a look before their turn comes."""
        found = self.old.tables.get(table)
        for values in self.old.rows(table, *order):
            assert found is not None
            yield Row(table, found.columns, values, self.outcome, self.now, self._zone)

    def store(self, row: Row, table: str, values: Mapping[str, Value]) -> bool:
        """Inserts a row that is made of this old one. False, and the old one is rejected, when it breaks a
        rule of the schema."""
        if "id" in values and values["id"] is None:  # SQLite would choose an integer
            self.reject(row, f"NOT NULL constraint failed: {table}.id")
            return False
        try:
            self._store.insert(table, values)
        except sqlite3.IntegrityError as error:
            self.reject(row, str(error))
            return False
        return True

    def count_imported(self, what: str) -> None:
        """Counts a value that has come along without a row of its own."""
        self._store.counts[what] = self._store.counts.get(what, 0) + 1

    def refer(self, table: str, key: Value, column: str, value: Value) -> bool:
        """Sets a reference of a row to one that came later; False if there is no such row."""
        try:
            self._store.set(table, key, column, value)
        except sqlite3.IntegrityError:
            return False
        return True

    def copy(self, table: str, target: str, columns: Columns) -> None:
        """Imports a table row by row: each column by its rule."""
        for row in self.rows(table):
            self.store(row, target, valued(columns, row))
        self.count_on(table, target)

    def count_on(self, table: str, target: str) -> None:
        """Lets the ids of a table that keeps its ids go on where the old ones ended."""
        if table in self.old.counters:
            self._store.count_on_from(target, self.old.counters[table])

    def note(self, sentence: str) -> None:
        """Adds a note to the report."""
        self.outcome.notes.append(sentence)

    def reject(self, row: Row, reason: str) -> None:
        """The row does not come along."""
        self.outcome.reject(row.table, self.shown(row), reason)

    def lose(self, row: Row, *what: str) -> None:
        """The row, or values of it, have no place in the schema."""
        self.outcome.lose(row.table, self.shown(row), *what)

    def shown(self, row: Mapping[str, Value]) -> dict[str, Value]:
        """The row as it is written to the file of rejects: whole, without credentials."""
        return {
            column: "(not written)" if value and _SECRET.search(column) else value
            for column, value in row.items()
        }

    def lose_other_tables(self) -> None:
        """Counts and writes the rows of all tables that are not converted."""
        never = self.application.never
        for name, table in self.old.tables.items():
            if name in self.application.tables or name in _BOOKKEEPING:
                continue
            what = f"table {name}"
            for values in self.old.rows(name):
                self._on_row()
                row = dict(zip(table.columns, values, strict=True))
                if name in never:
                    row = {"id": row.get("id"), "reason": "credentials are not written anywhere"}
                self.outcome.lose(name, self.shown(row), what)
