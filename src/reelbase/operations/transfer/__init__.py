"""The content of a database as lines of JSON, and back: for other programs, and for archives.

The module ``format`` describes the lines. An import restores values, their order and the counters of ids
exactly, and encrypted keys as they are stored; the schema's search indexes are built from the rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

from reelbase.engine.copies.backup import translated
from reelbase.engine.maintenance.opening import opened_to_look
from reelbase.engine.native.errors import translate
from reelbase.engine.native.header import is_empty
from reelbase.engine.threads.copying import OnStep, Progress, on_a_thread
from reelbase.errors import SchemaError
from reelbase.operations.transfer.format import ExportReader
from reelbase.operations.transfer.source import ExportReport, Write, write_export
from reelbase.operations.transfer.target import StoredExport, store_export


async def export_lines(
    path: Path, write: Write, *, busy_timeout: float = 5.0, progress: Progress | None = None
) -> ExportReport:
    """Exports a database, line by line, in one read transaction.

    Memory is bounded, and the database may be in use.

    Args:
        path: the database.
        write: called with (table, line) on a thread; table is '' for lines that are no rows.
        busy_timeout: seconds to wait for another process that has locked the database.
        progress: called now and then with (done_rows, total_rows), on the event loop.

    Returns:
        The numbers of rows and objects, and the objects that were left out. The export is complete
        without them.

    Raises:
        SchemaError: path is no reelbase database (code foreign, empty, unversioned), or a newer one.
        DatabaseIOError: the file is missing or cannot be read.
        DatabaseCorruptError: the database is damaged.
        Exception: an error of write() is passed on.
    """

    def export(on_step: OnStep) -> ExportReport:
        try:
            with opened_to_look(path, busy_timeout) as native:
                if is_empty(native):
                    raise SchemaError(f"{path} is empty; name a database", code="empty")
                return write_export(native, write, on_step)
        except sqlite3.Error as error:
            raise translate(error, f"exporting {path}") from error

    return await on_a_thread(export, progress)


async def import_lines(
    path: Path,
    lines: Iterable[bytes],
    *,
    locate: Callable[[int], str] = "line {}".format,
    busy_timeout: float = 5.0,
    progress: Progress | None = None,
) -> StoredExport:
    """Makes a database from the lines of an export of this schema version or an earlier one.

    An error leaves path unchanged.

    Args:
        path: a new file, which gets its name when it is complete; or a database without rows and without
            objects of an application.
        lines: the export, read on a thread.
        locate: gives the name of a line in an error, from its number, which starts at 1.
        busy_timeout: seconds to wait for another process that has locked the database.
        progress: called now and then with (done_rows, total_rows), on the event loop.

    Returns:
        The schema version of the export, and the numbers of rows and objects.

    Raises:
        DatabaseError: code not_empty when path holds rows or objects; code export_format, with the line,
            when lines are no export, or an incomplete or newer one, or contain an object that must not be
            created; code broken_reference when a row refers to a missing row.
        ConstraintError: a row, named by its line, breaks a rule.
    """

    def store(on_step: OnStep) -> StoredExport:
        with translated(f"importing into {path}"):
            return store_export(
                path,
                ExportReader(lines, locate),
                busy_timeout_seconds=busy_timeout,
                on_step=on_step,
            )

    return await on_a_thread(store, progress)
