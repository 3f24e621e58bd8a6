"""Reading an export from a database: the schema's rows, and the application's objects and rows."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Container, Iterator

import msgspec

from reelbase.engine.copies.backup import OnStep
from reelbase.engine.maintenance.upgrade import build
from reelbase.engine.native.errors import result_code
from reelbase.engine.native.header import user_version
from reelbase.engine.native.interruption import interruptible
from reelbase.engine.native.transactions import read_transaction
from reelbase.engine.schema.fingerprint import differences
from reelbase.operations.creation import Created, Refused, create
from reelbase.operations.own_objects import OwnObject, own_objects, reserved_names, settings_of
from reelbase.operations.schema_rows import COUNTERS, has_counters, rows_of_schema, value_of
from reelbase.operations.table_rows import TableRows, why_unreadable
from reelbase.operations.transfer.format import (
    end_line,
    header_line,
    object_line,
    row_line,
    text_of,
)

ROWS_BETWEEN_STEPS = 500

_COUNTER_ROWS = """
SELECT name, seq
FROM sqlite_sequence
ORDER BY rowid
"""

# table ('' for the header, an object and the end), line
Write = Callable[[str, bytes], object]


class LeftOut(msgspec.Struct, frozen=True):
    """An object that an export lacks, such as "table x" or "rows of table x", and the reason."""

    what: str
    why: str


class ExportReport(msgspec.Struct, frozen=True):
    """The result of an export.

    rows: the number of rows of each table.  objects: the number of tables, indexes, views and triggers of
    the application.  left_out: the objects that are missing; empty: an import makes the same database.
    """

    schema_version: int
    rows: dict[str, int]
    objects: int
    left_out: list[LeftOut]


def write_export(native: sqlite3.Connection, write: Write, on_step: OnStep) -> ExportReport:
    """Writes an export, in one read transaction.

    Args:
        native: a connection with no further use.
        write: called with (table, line); table is '' for a line that is no row.
        on_step: called now and then with (done_rows, total_rows); an exception from it ends the export.

    Returns:
        The numbers of rows and objects, and the objects that were left out.
    """
    native.text_factory = text_of
    reached = (0, 0)
    with read_transaction(native), interruptible(native, lambda: on_step(*reached)):
        version = user_version(native)
        left_out = [LeftOut("schema", sentence) for sentence in differences(native, version)]
        objects, own_rows = _carried(native, version, left_out)
        tables = [*rows_of_schema(native, version), *own_rows]
        rows = {table.name: value_of(native, table.count) for table in tables}
        counters = _counters(native, rows)
        if counters is not None:
            rows[COUNTERS] = len(counters)
        total = sum(rows.values())
        write("", header_line(version, rows, len(objects)))
        for made in objects:
            write("", object_line(made))
        done = 0
        for table in tables:
            with contextlib.closing(native.execute(table.select)) as found:
                for row in found:
                    write(table.name, row_line(table.name, table.columns, row))
                    done += 1
                    if done % ROWS_BETWEEN_STEPS == 0:
                        reached = (done, total)
                        on_step(*reached)
        for counter in counters or ():
            write(COUNTERS, row_line(COUNTERS, ("name", "seq"), counter))
        write("", end_line(total))
        on_step(total, total)
    return ExportReport(version, rows, len(objects), left_out)


def _carried(
    native: sqlite3.Connection, version: int, left_out: list[LeftOut]
) -> tuple[list[OwnObject], list[TableRows]]:
    """The application's objects that an import will be able to create, and the rows that it can store.

    It is tried in an empty database.
    """
    found = own_objects(native, version)
    if not found:
        return [], []
    objects: list[OwnObject] = []
    rows: list[TableRows] = []
    with _empty_database(version) as empty:
        reserved = reserved_names(version)
        created: list[tuple[OwnObject, Created]] = []
        for made in found:
            try:
                created.append((made, create(empty, made, reserved)))
            except Refused as refusal:
                left_out.append(LeftOut(str(made), str(refusal)))
        for made, what in created:  # now that all tables that a view may read exist
            is_settled = what.module == "fts5"
            settings = settings_of(native, made.name) if is_settled else {}
            objects.append(msgspec.structs.replace(made, settings=settings))
            if what.rows is None:
                continue
            why = why_unreadable(empty, made.name) if what.is_full_text else None
            why = why or _why_refused(native, what.rows)
            if why is None:
                rows.append(what.rows)
            else:
                left_out.append(LeftOut(f"rows of {made}", why))
    return objects, rows


def _why_refused(native: sqlite3.Connection, rows: TableRows) -> str | None:
    """Why the rows cannot be read from this database; None: they can. The text of a full-text index may be
    in a broken view."""
    try:
        native.execute(f"EXPLAIN {rows.select}").close()
    except sqlite3.OperationalError as error:
        if result_code(error) != sqlite3.SQLITE_ERROR:
            raise
        return str(error)
    return None


@contextlib.contextmanager
def _empty_database(version: int) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as native:
        build(native, version)
        yield native


def _counters(native: sqlite3.Connection, tables: Container[str]) -> list[tuple[str, int]] | None:
    """The AUTOINCREMENT counters of these tables; None if no table of the database ever had one."""
    if not has_counters(native):
        return None
    return [(name, seq) for name, seq in native.execute(_COUNTER_ROWS) if name in tables]
