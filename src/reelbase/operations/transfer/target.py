"""Storing an export, or the rows of another application, in a new file or in an empty database."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import itemgetter
from pathlib import Path

import msgspec

from reelbase.engine.copies.backup import OnStep, new_file
from reelbase.engine.file.commit import write_transaction
from reelbase.engine.file.connections import ConnectionSettings, open_native
from reelbase.engine.file.paths import real_path
from reelbase.engine.file.temporary_files import folder_for, temporary_files
from reelbase.engine.maintenance.opening import prepare_file
from reelbase.engine.maintenance.upgrade import apply, build
from reelbase.engine.native.errors import translate
from reelbase.engine.native.header import is_empty
from reelbase.engine.native.interruption import interruptible
from reelbase.engine.native.names import quoted
from reelbase.engine.native.pragmas import set_pragma
from reelbase.engine.native.transactions import without_references
from reelbase.engine.schema import chain
from reelbase.engine.schema.derivation import derive
from reelbase.engine.schema.source import SCHEMA_VERSION, check_ownership
from reelbase.errors import DatabaseError
from reelbase.operations.creation import Refused, create
from reelbase.operations.kept_columns import keep_columns
from reelbase.operations.own_objects import OwnObject, own_objects, reserved_names
from reelbase.operations.schema_rows import (
    COUNTERS,
    has_counters,
    has_rows,
    rows_of_schema,
    without_triggers,
)
from reelbase.operations.table_rows import TableRows, unchecked
from reelbase.operations.transfer.format import (
    ExportReader,
    Header,
    MalformedText,
    Value,
    values_of,
)
from reelbase.operations.transfer.source import ROWS_BETWEEN_STEPS

_TRIGGERS = """
SELECT 'trigger', name
FROM sqlite_schema
WHERE type = 'trigger'
"""

_PARENTS = """
SELECT "table"
FROM pragma_foreign_key_list(?)
"""

# Views first, then virtual tables, whose shadow tables are dropped with them.
_CREATED = """
SELECT CASE type WHEN 'view' THEN 'view' ELSE 'table' END, name
FROM pragma_table_list
WHERE schema = 'main'
  AND type IN ('view', 'virtual', 'table')
  AND name NOT LIKE 'sqlite!_%' ESCAPE '!'
ORDER BY type DESC
"""

_BROKEN_REFERENCE = """
SELECT parent
FROM pragma_foreign_key_check(?)
LIMIT 1
"""

# What triggers write for rows that come one by one.
_REFERENCES = """
INSERT OR IGNORE INTO job_references (target_id, target_type, job_id)
SELECT target_id, target_type, job_id
FROM job_references_in_json
"""

_FILE_NUMBERS = """
INSERT INTO file_numbers (file_id)
SELECT id
FROM files
ORDER BY rowid
"""

_COUNTER = """
SELECT seq
FROM sqlite_sequence
WHERE name = ?
"""

Row = tuple[TableRows, list[Value]]


class StoredExport(msgspec.Struct, frozen=True):
    """The result of an import. schema_version: that of the export.  rows: the number of rows of each table.
    objects: the number of tables, indexes, views and triggers of the application."""

    schema_version: int
    rows: dict[str, int]
    objects: int


def store_export(
    path: Path, reader: ExportReader, *, busy_timeout_seconds: float, on_step: OnStep
) -> StoredExport:
    """Creates the file path, or fills it if it is a database without rows; in one transaction.

    A new file gets its name when it is complete and synced. An error leaves path unchanged.

    Args:
        path: the file.
        reader: the export.
        busy_timeout_seconds: how long to wait for another process that has locked the database.
        on_step: called now and then with (done_rows, total_rows); an exception from it ends the import.

    Returns:
        The schema version of the export, and the numbers of rows and objects.
    """
    header = reader.header()
    with (
        _opened(path, busy_timeout_seconds) as native,
        temporary_files(native, folder_for(native, 0, path.parent)),
        without_references(native),
        write_transaction(native, f"importing into {path}"),
    ):
        _make_way(native, path)
        _Import(native, reader, header, on_step).run()
    return StoredExport(header.schema_version, header.rows, header.objects)


def store_rows(
    path: Path,
    fill: Callable[[RowStore], None],
    *,
    busy_timeout_seconds: float,
    on_step: Callable[[], None],
    keep: bool = True,
) -> dict[str, int]:
    """Like store_export(), for rows that are made one by one, in this version of the schema.

    The schema's triggers that write are off: they would count again the totals that the rows hold already,
    and log each row as a creation. Triggers that refuse rows are on, and so are foreign keys: a row comes
    after the row that it refers to.

    Args:
        path: the file.
        fill: called once, to insert the rows; an exception from it ends the work.
        busy_timeout_seconds: how long to wait for another process that has locked the database.
        on_step: called now and then; an exception from it ends the work.
        keep: False stores the rows, and then leaves path as it was.

    Returns:
        The numbers of rows, by table.
    """
    counts: dict[str, int] = {}
    with (
        contextlib.suppress(_NotKept),
        _opened(path, busy_timeout_seconds) as native,
        temporary_files(native, folder_for(native, 0, path.parent)),
        write_transaction(native, f"importing into {path}"),
        interruptible(native, on_step),
    ):
        _make_way(native, path)
        build(native, SCHEMA_VERSION)
        with without_triggers(native, SCHEMA_VERSION, with_checks=True):
            store = RowStore(native)
            fill(store)
            counts |= store.counts
            counts["job_references"] = native.execute(_REFERENCES).rowcount
            keep_columns(native, SCHEMA_VERSION)
            if not keep:
                raise _NotKept
            native.execute(_FILE_NUMBERS)
        derive(native, SCHEMA_VERSION)
        on_step()  # the last moment at which the work can be cancelled
    return counts


class _NotKept(Exception):
    """Ends a trial, so that nothing of it stays."""


class RowStore:
    """Inserts the rows of another application, in the transaction that is open. counts: by table."""

    def __init__(self, native: sqlite3.Connection) -> None:
        self._native = native
        self._inserts: dict[tuple[str, ...], str] = {}
        self.counts: dict[str, int] = {}

    def insert(self, table: str, values: Mapping[str, Value]) -> None:
        """Inserts a row; columns without a value get their defaults.

        Raises sqlite3.IntegrityError for a row that breaks a rule of the schema; then it is not stored.
        """
        key = (table, *values)
        sql = self._inserts.get(key)
        if sql is None:
            sql = self._inserts[key] = TableRows(table, list(values)).insert
        self._native.execute(sql, list(values.values()))
        self.counts[table] = self.counts.get(table, 0) + 1

    def set(self, table: str, key: Value, column: str, value: Value) -> None:
        """Changes a value of the row with that id: for a reference to a row that came later.

        Raises sqlite3.IntegrityError when the row that it refers to is missing; then nothing changes.
        """
        self._native.execute(
            f"UPDATE {quoted(table)} SET {quoted(column)} = ? WHERE id = ?", (value, key)
        )

    def count_on_from(self, table: str, last: int) -> None:
        """Makes the next id of a table greater than last, so that ids of deleted rows do not come again."""
        row = self._native.execute(_COUNTER, (table,)).fetchone()
        if row is None:
            self._native.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, last))
        elif row[0] < last:
            self._native.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (last, table))


@contextlib.contextmanager
def _opened(path: Path, busy_timeout_seconds: float) -> Iterator[sqlite3.Connection]:
    place = real_path(path)  # a link may point to a missing file
    if not os.path.lexists(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        with new_file(place) as partial_file:
            settings = ConnectionSettings(str(partial_file), "delete", busy_timeout_seconds)
            with contextlib.closing(open_native(settings, "writer")) as native:
                # No other process knows the file, and it is synced when it is complete.
                set_pragma(native, "locking_mode", "exclusive")
                set_pragma(native, "journal_mode", "memory")
                set_pragma(native, "synchronous", 0)
                yield native
        return
    mode = prepare_file(
        path,
        create=False,
        refuse=partial(check_ownership, may_be_older=True),
        busy_timeout_seconds=busy_timeout_seconds,
    )
    settings = ConnectionSettings(str(path), mode or "delete", busy_timeout_seconds)
    with contextlib.closing(open_native(settings, "writer")) as native:
        yield native


def _make_way(native: sqlite3.Connection, path: Path) -> None:
    """Drops the schema of an empty database. Raises DatabaseError (code not_empty) if it holds rows or
    objects of an application."""
    if is_empty(native):
        return
    version = check_ownership(native, str(path), may_be_older=True)
    held = [table.name for table in rows_of_schema(native, version) if has_rows(native, table)]
    if held:
        raise _not_empty(f"{path} has rows already (in {held[0]})")
    if own := own_objects(native, version):
        raise _not_empty(f"{path} holds more than the schema already ({own[0]})")
    created = native.execute(_TRIGGERS).fetchall() + native.execute(_CREATED).fetchall()
    for kind, name in _children_first(native, created):
        native.execute(f"DROP {kind} {quoted(name)}")


def _children_first(
    native: sqlite3.Connection, created: list[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """The objects in an order in which they can be dropped where foreign keys are on: a table after the
    tables that refer to it. In a circle any may be the first."""
    parents = {
        name: {parent for (parent,) in native.execute(_PARENTS, (name,))} - {name}
        for kind, name in created
        if kind == "table"
    }
    yield from ((kind, name) for kind, name in created if kind != "table")
    while parents:
        referred = set().union(*parents.values())
        free = [name for name in parents if name not in referred] or list(parents)[:1]
        for name in free:
            del parents[name]
            yield "table", name


def _not_empty(problem: str) -> DatabaseError:
    return DatabaseError(f"{problem}; import into a new file", code="not_empty")


class _Import:
    """Fills an empty database, in the transaction that is open."""

    def __init__(
        self, native: sqlite3.Connection, reader: ExportReader, header: Header, on_step: OnStep
    ) -> None:
        self._native = native
        self._reader = reader
        self._header = header
        self._on_step = on_step
        self._done, self._total = 0, sum(header.rows.values())
        self._tables: dict[str, TableRows] = {}
        self._own: set[str] = set()
        self._reserved = reserved_names(header.schema_version)

    def run(self) -> None:
        with interruptible(self._native, self._step):
            build(self._native, self._header.schema_version)
            self._tables = {
                table.name: table
                for table in rows_of_schema(self._native, self._header.schema_version)
            }
            objects = self._read_objects()
            for number, made in objects:
                if made.type == "table":
                    self._create(number, made)
            self._store_rows()
            for migration in chain.migrations()[self._header.schema_version :]:
                apply(self._native, migration, f"migrating the import to {migration}")
            self._refuse_broken_references()
            derive(self._native, SCHEMA_VERSION)
            # Indexes are created after the rows, triggers after all writes.
            for number, made in objects:
                if made.type != "table":
                    self._create(number, made)
            self._step()  # the last moment at which the import can be cancelled

    def _step(self) -> None:
        self._on_step(self._done, self._total)

    def _read_objects(self) -> list[tuple[int, OwnObject]]:
        reader = self._reader
        return [(reader.number + 1, reader.object()) for _ in range(self._header.objects)]

    def _create(self, number: int, made: OwnObject) -> None:
        try:
            rows = create(self._native, made, self._reserved).rows
        except Refused as refusal:
            raise self._reader.refusal(f"{made} cannot be created: {refusal}", number) from refusal
        if rows is not None:
            self._tables[made.name] = rows
            self._own.add(made.name)

    def _store_rows(self) -> None:
        self._tables[COUNTERS] = TableRows(COUNTERS, ["name", "seq"])
        for table in self._header.rows:
            if table not in self._tables:
                raise self._reader.refusal(f"the database has no table {table}", number=1)
        counts = dict.fromkeys(self._header.rows, 0)
        counters: list[list[Value]] = []
        with without_triggers(self._native, self._header.schema_version):
            for table, rows in itertools.groupby(self._rows(), key=itemgetter(0)):
                if table.name == COUNTERS:
                    counters += [values for _, values in rows]
                    continue
                is_own = table.name in self._own
                with unchecked(self._native) if is_own else contextlib.nullcontext():
                    counts[table.name] += self._store(table, rows)
        if COUNTERS in counts:
            counts[COUNTERS] = len(counters)
            self._set_counters(counters)
        if counts != self._header.rows:
            raise self._reader.refusal("the rows are not as many as the first line says")

    def _rows(self) -> Iterator[Row]:
        while (line := self._reader.row()) is not None:
            name, values = line
            table = self._tables.get(name)
            if table is None or name not in self._header.rows:
                raise self._reader.refusal("no row of a table of this database")
            try:
                if len(values) != len(table.columns):
                    raise KeyError
                yield table, values_of(values[column] for column in table.columns)
            except (KeyError, ValueError):
                raise self._reader.refusal(f"no row of table {name}") from None

    def _store(self, table: TableRows, rows: Iterator[Row]) -> int:
        """Stores consecutive rows of one table; returns their number."""
        insert, stored = table.insert, 0
        # An open cursor, kept by the traceback of an error, would keep the connection from closing.
        with contextlib.closing(self._native.cursor()) as cursor:
            for _, values in rows:
                is_text = MalformedText in map(type, values)
                self._run(cursor, _with_casts(table, values) if is_text else insert, values)
                stored += 1
                self._done += 1
                if self._done % ROWS_BETWEEN_STEPS == 0:
                    self._step()
        return stored

    def _set_counters(self, counters: list[list[Value]]) -> None:
        """Sets the AUTOINCREMENT counters; the export's may be higher than the rows have set them.
        A table that no longer exists, or belonged to the application in format 1, needs none."""
        if not has_counters(self._native):
            return
        self._native.execute("DELETE FROM sqlite_sequence")
        self._native.executemany(
            "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)",
            [(name, seq) for name, seq in counters if name in self._tables],
        )

    def _run(self, cursor: sqlite3.Cursor, sql: str, values: list[Value]) -> None:
        try:
            cursor.execute(sql, values)
        except sqlite3.Error as error:
            raise translate(error, self._reader.place) from error
        except OverflowError:
            raise self._reader.refusal("an integer of more than 64 bits") from None

    def _refuse_broken_references(self) -> None:
        """Refuses a row of the schema that refers to a missing row. The application's rows may refer to
        missing rows, as they did in the exported database."""
        for table in rows_of_schema(self._native, SCHEMA_VERSION):
            broken = self._native.execute(_BROKEN_REFERENCE, (table.name,)).fetchone()
            if broken is not None:
                raise DatabaseError(
                    f"a row of {table.name} refers to a row of {broken[0]} that is not there; "
                    "nothing was imported",
                    code="broken_reference",
                )


def _with_casts(table: TableRows, values: list[Value]) -> str:
    """The INSERT of values with some text that is not UTF-8: it casts, because sqlite3 stores bytes as a
    BLOB."""
    names = ", ".join(map(quoted, table.columns))
    places = ", ".join(
        "CAST(? AS TEXT)" if isinstance(value, MalformedText) else "?" for value in values
    )
    return f"INSERT INTO {quoted(table.name)} ({names}) VALUES ({places})"
