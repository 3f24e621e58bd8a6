"""The check of a file of any known version, also of one that connect() would refuse or migrate."""

from __future__ import annotations

import contextlib
import sqlite3
from functools import partial
from pathlib import Path

from reelbase.engine.connection import ConnectionSettings, open_native
from reelbase.engine.damage import Damage, advice
from reelbase.engine.health import (
    HealthReport,
    health_report,
    looked_at,
    problems_of,
    warnings_of,
)
from reelbase.engine.migrate import version_of
from reelbase.engine.opening import prepare_file
from reelbase.engine.schema import check_ownership
from reelbase.engine.search_indexes import DAMAGED, check_search_index
from reelbase.errors import DatabaseCorruptError, SchemaError, result_code, translate


def examine(path: Path, *, full: bool, busy_timeout_seconds: float) -> HealthReport:
    """What Database.check() reports, on the calling thread; a file that is too damaged to be opened is a
    problem in the report, too. The schema is compared with that of the file's own version.

    Raises SchemaError for a foreign, newer or empty file, DatabaseIOError, DatabaseBusyError.
    """
    try:
        mode = prepare_file(
            path,
            create=False,
            refuse=partial(check_ownership, may_be_older=True),
            busy_timeout_seconds=busy_timeout_seconds,
        )
        if mode is None:
            raise SchemaError(
                f"{path} is empty; `reelbase init` makes it a database",
                code="empty",
                details={"path": str(path)},
            )
        settings = ConnectionSettings(str(path), mode, busy_timeout_seconds)
        with contextlib.closing(open_native(settings, "writer")) as native:
            return examine_native(native, path, full=full)
    except DatabaseCorruptError as error:
        return _unreadable(path, str(error.__cause__ or error), full=full)
    except sqlite3.Error as error:
        if result_code(error) in DAMAGED:
            return _unreadable(path, str(error), full=full)
        raise translate(error, f"checking {path}") from error


def examine_native(native: sqlite3.Connection, path: Path, *, full: bool) -> HealthReport:
    """The same of a connection that may write, outside a transaction; path is for the advice."""
    (mode,) = native.execute("PRAGMA journal_mode").fetchone()
    version = version_of(native)
    damage = problems_of(native, mode, full=full, version=version)
    problems, warnings = damage.problems, warnings_of(native)
    for name in damage.search_indexes:
        found = check_search_index(native, name, full=full)
        problems += found[0]
        warnings += found[1]
    return health_report(
        problems,
        warnings,
        mode,
        looked_at=looked_at(full=full),
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
