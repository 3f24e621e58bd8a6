"""What a database holds as lines of JSON, and back: for other programs, and for archives.

``transfer_format`` says what the lines are. Values and their order come back exactly, counters of ids too,
and encrypted keys as they are stored; the schema's search indexes are built from the rows.
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
from reelbase.operations.transfer.target import ImportReport, store_export


async def export_lines(
    path: Path, write: Write, *, busy_timeout: float = 5.0, progress: Progress | None = None
) -> ExportReport:
    """Gives every line of an export to write(table, line), on a thread; table is '' for lines that are no
    rows. All is of one moment, memory is bounded, and the database may be in use.

    progress(done_rows, total_rows) is called now and then, on the event loop.

    What cannot come along is in the report's left_out: the rest of the export is whole without it.
    Raises SchemaError when path is no database of ours (foreign, empty, unversioned), or a newer one;
    DatabaseIOError, DatabaseCorruptError, and what write() raises.
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
) -> ImportReport:
    """Makes the database path of the lines of an export, of this schema version or an earlier one.

    path: a new file, which gets its name when it is complete, or a database that holds no rows and nothing
    of an application's. lines: read on a thread.  locate: how the line of a number, from 1, is called in an
    error. progress(done_rows, total_rows) is called now and then, on the event loop.

    Raises DatabaseError: code not_empty when path holds something; code export_format, with the line, for
    what is no export, or an incomplete or a newer one, or has an object that must not be created; code
    broken_reference. ConstraintError, with the line, for a row that breaks a rule. path is then as it was.
    """

    def store(on_step: OnStep) -> ImportReport:
        with translated(f"importing into {path}"):
            return store_export(
                path,
                ExportReader(lines, locate),
                busy_timeout_seconds=busy_timeout,
                on_step=on_step,
            )

    return await on_a_thread(store, progress)
