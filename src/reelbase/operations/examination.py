"""The check of a file of any known schema version, also of one that connect() would refuse or migrate."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from functools import partial
from pathlib import Path

from reelbase.engine.file.connections import ConnectionSettings, open_native
from reelbase.engine.file.open_files import journal_mode_of
from reelbase.engine.file.processes import processes_with
from reelbase.engine.file.read_only import may_be_opened_to_write
from reelbase.engine.maintenance.health import (
    SEARCH_NOT_CHECKED,
    HealthReport,
    health_report,
    looked_at,
    problems_of,
    warnings_of,
)
from reelbase.engine.maintenance.opening import opened_to_look
from reelbase.engine.native.errors import result_code, translate
from reelbase.engine.native.header import is_empty, user_version
from reelbase.engine.schema.damage import Damage, advice
from reelbase.engine.schema.search_indexes import DAMAGED, check_search_index
from reelbase.engine.threads.connection import on_a_thread
from reelbase.errors import DatabaseCorruptError, SchemaError


async def check_file(path: Path, *, full: bool, busy_timeout: float) -> HealthReport:
    """Checks a file as examine() does, on a thread of its own.

    Args:
        path: as in examine().
        full: as in examine().
        busy_timeout: seconds to wait for another process that has locked the file.

    Returns:
        The problems and warnings. It raises the errors of examine().
    """
    work = partial(examine, path, full=full, busy_timeout_seconds=busy_timeout)
    return await on_a_thread(work)


def examine(path: Path, *, full: bool, busy_timeout_seconds: float) -> HealthReport:
    """Checks a file as Database.check() does, on the calling thread.

    A file that is too damaged to be opened is a problem in the report, too. The schema is compared with
    that of the file's own version.

    Args:
        path: the file.
        full: also compare every entry of every index with its row.
        busy_timeout_seconds: how long to wait for another process that has locked the file.

    Returns:
        The problems and warnings.

    Raises:
        SchemaError: the file is foreign, newer than this release, or empty.
        DatabaseIOError: the file is missing or cannot be read.
        DatabaseBusyError: another process kept it locked.
    """
    may_write = may_be_opened_to_write(path)  # before this process has it open
    try:
        with opened_to_look(path, busy_timeout_seconds) as looking:
            if is_empty(looking):
                raise SchemaError(
                    f"{path} is empty; `reelbase init` makes it a database",
                    code="empty",
                    details={"path": str(path)},
                )
            if not may_write or looking.unlocked is not None:
                return examine_native(looking, path, full=full, read_only=True)
            mode = journal_mode_of(looking)
            settings = ConnectionSettings(
                str(path), "wal" if mode == "wal" else "delete", busy_timeout_seconds
            )
            with contextlib.closing(open_native(settings, "writer")) as native:
                return examine_native(native, path, full=full)
    except DatabaseCorruptError as error:
        return _unreadable(path, str(error.__cause__ or error), full=full)
    except sqlite3.Error as error:
        if result_code(error) in DAMAGED:
            return _unreadable(path, str(error), full=full)
        raise translate(error, f"checking {path}") from error


def examine_native(
    native: sqlite3.Connection, path: Path, *, full: bool, read_only: bool = False
) -> HealthReport:
    """Checks the database of an open connection.

    Args:
        native: the connection, outside a transaction.
        path: its file, for the advice in the report.
        full: also compare every entry of every index with its row.
        read_only: the connection cannot write; the check of search indexes, which has to, is then
            replaced by a warning.

    Returns:
        The problems and warnings.
    """
    mode = journal_mode_of(native)
    version = user_version(native)
    damage = problems_of(native, mode, full=full, version=version)
    # This process has the file open only for the check, and does not count.
    is_shared = mode == "wal" and len(set(processes_with(path)) - {os.getpid()}) > 1
    problems, warnings = damage.problems, warnings_of(native, is_shared=is_shared)
    if read_only and damage.search_indexes:
        warnings.append(SEARCH_NOT_CHECKED)
    for name in () if read_only else damage.search_indexes:
        found = check_search_index(native, name, full=full)
        problems += found[0]
        warnings += found[1]
    return health_report(
        problems,
        warnings,
        mode,
        looked_at=looked_at(full=full, read_only=read_only),
        advice=advice(path, damage),
        schema_version=version,
    )


def _unreadable(path: Path, text: str, *, full: bool) -> HealthReport:
    damage = Damage([f"damaged: {text}"], costs_rows=True, is_mendable=True)
    return health_report(
        damage.problems,
        [],
        "unknown",
        looked_at=looked_at(full=full),
        advice=advice(path, damage),
        schema_version=0,
    )
