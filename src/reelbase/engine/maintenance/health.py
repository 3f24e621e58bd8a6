"""The health of a database: its check, vacuum and checkpoint."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from reelbase.engine.copies.backup import size_of
from reelbase.engine.file.filesystem import Need, refuse_without_room
from reelbase.engine.file.open_files import journal_mode_of
from reelbase.engine.file.paths import real_path
from reelbase.engine.file.temporary_files import folder_for, temporary_files
from reelbase.engine.native.errors import result_code
from reelbase.engine.native.extensions import (
    missing_in,
    needs_of,
    not_loaded,
    table_by_table,
    unchecked_tables,
)
from reelbase.engine.record import Record
from reelbase.engine.schema.damage import MOST_PROBLEMS, Damage, damage_of
from reelbase.engine.schema.fingerprint import differences
from reelbase.engine.schema.ledger import ledger_differences
from reelbase.engine.schema.search_indexes import DAMAGED, search_indexes
from reelbase.engine.schema.source import SCHEMA_VERSION
from reelbase.engine.schema.statistics import analyzed_tables, remove_statistics

_log = logging.getLogger("reelbase")


class HealthReport(Record, frozen=True):
    """The result of check().

    ok: there are no problems.  problems: in sentences; at most a hundred of a kind.
    warnings: facts worth knowing that are no problems of this database.  looked_at: the parts that were
    checked; damage of further parts is not found.  schema_version: the file's; 0: it cannot be read.
    advice: how to mend the problems; None: there is no problem, or no remedy is known.
    """

    ok: bool
    problems: list[str]
    warnings: list[str]
    journal_mode: str
    sqlite_version: str
    schema_version: int
    looked_at: list[str]
    advice: str | None


def health_report(
    problems: list[str],
    warnings: list[str],
    journal_mode: str,
    *,
    looked_at: list[str],
    advice: str | None = None,
    schema_version: int = SCHEMA_VERSION,
) -> HealthReport:
    """The report of a check with this SQLite.

    Args:
        problems: as of HealthReport.
        warnings: as of HealthReport.
        journal_mode: of the file.
        looked_at: as of HealthReport.
        advice: how to mend the problems; left out if there are none.
        schema_version: of the file.
    """
    return HealthReport(
        ok=not problems,
        problems=problems,
        warnings=warnings,
        journal_mode=journal_mode,
        sqlite_version=sqlite3.sqlite_version,
        schema_version=schema_version,
        looked_at=looked_at,
        advice=advice if problems else None,
    )


def looked_at(*, full: bool, read_only: bool = False) -> list[str]:
    """The parts of a database that check() looks at."""
    return [
        "tables",
        *(["indexes"] if full else []),
        "references",
        "schema",
        *([] if read_only else ["search indexes"]),
        "journal mode",
    ]


SEARCH_NOT_CHECKED = (
    "not checked: the search indexes, because that takes a connection that can write"
)


def problems_of(
    native: sqlite3.Connection,
    decided: str,
    *,
    full: bool = False,
    version: int = SCHEMA_VERSION,
) -> Damage:
    """The problems of a database that a reading connection can find.

    Args:
        native: the connection.
        decided: the journal mode that was decided at connect().
        full: as of check().
        version: the version of the file's schema.
    """
    problems: list[str] = []
    mode = journal_mode_of(native)
    if mode != decided:
        problems.append(
            f"the journal mode is {mode}, but {decided} was decided on when the database was opened: "
            "another program has changed it; close the database everywhere and open it again"
        )
    damage = damage_of(native, full=full)
    problems += damage.problems
    costs_rows, is_mendable, indexes = damage.costs_rows, damage.is_mendable, list[str]()
    warnings: list[str] = []
    try:
        indexes = search_indexes(native)
        changed = differences(native, version)
        # Only if no table is changed: the ledger's own may be missing.
        changed = changed or ledger_differences(native, version)
        broken, skipped = _broken_references(native)
        warnings = [f"{need}, which is not loaded here" for need in needs_of(native)]
        unchecked = unchecked_tables(native, "integrity_check" if full else "quick_check")
        skipped += [f"the table {table}, which needs {what}" for table, what in unchecked.items()]
        warnings += [f"not checked: {part}" for part in dict.fromkeys(skipped)]
    except sqlite3.DatabaseError as error:
        if result_code(error) not in DAMAGED:
            raise
        if not damage.problems:
            problems.append(f"damaged: {error}")
        costs_rows, is_mendable = costs_rows or not indexes, True
    else:
        problems += [*changed, *broken]
        costs_rows = costs_rows or bool(broken)
        is_mendable = is_mendable or bool(changed or broken)
    return Damage(problems, costs_rows, is_mendable, indexes, warnings)


def _broken_references(native: sqlite3.Connection) -> tuple[list[str], list[str]]:
    """Sentences for rows that refer to missing ones, and the tables that could not be checked."""
    found, skipped = table_by_table(
        native,
        "PRAGMA foreign_key_check",
        "PRAGMA foreign_key_check({table})",
        most_rows=MOST_PROBLEMS,
    )
    return [
        f"row {rowid} of {table} refers to a row of {parent} that is not there"
        for table, rowid, parent, _ in found
    ], skipped


def warnings_of(native: sqlite3.Connection, *, is_shared: bool) -> list[str]:
    """The warnings of a HealthReport. is_shared: several processes have the database open."""
    of_sqlite = warnings_of_sqlite(journal_mode_of(native), is_shared=is_shared)
    return _warnings_of_statistics(native) + of_sqlite


def _warnings_of_statistics(native: sqlite3.Connection) -> list[str]:
    try:
        tables = analyzed_tables(native)
    except sqlite3.DatabaseError as error:
        if result_code(error) not in DAMAGED:
            raise
        return []  # problems_of() has reported the damage
    if not tables:
        return []
    return [
        "ANALYZE has gathered statistics of tables that must have none, and SQLite plans for what these"
        f" held then: {', '.join(tables)}. Statements may be slow until the statistics are removed;"
        " optimize() does that, and so does a Database that is open, within seconds"
    ]


def _has_wal_reset_bug() -> bool:
    """Whether this SQLite has the WAL-reset bug (sqlite.org/wal.html#walresetbug)."""
    version = sqlite3.sqlite_version_info
    return not (
        version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    )


def warnings_of_sqlite(mode: str, *, is_shared: bool) -> list[str]:
    """Warnings of bugs in this SQLite. mode: the journal mode.  is_shared: several processes have the
    database open. (In a single process only one connection checkpoints.)"""
    if mode != "wal" or not is_shared or not _has_wal_reset_bug():
        return []
    return [
        f"several processes have it open, and SQLite {sqlite3.sqlite_version} has the WAL-reset bug "
        "(sqlite.org/wal.html#walresetbug, mended in 3.51.3): if two of them write, and checkpoint at the "
        "same moment, it can, very rarely, be damaged. Upgrade SQLite (`reelbase docs cli`), or connect with "
        'journal="delete"'
    ]


def vacuum(native: sqlite3.Connection, path: Path | None) -> None:
    """Rebuilds the file by VACUUM, outside a transaction. path: the file; None: a database in memory.

    Raises DatabaseFullError before it begins when there is no room, and DatabaseError (code not_loaded)
    when a collation or function that VACUUM needs is not loaded.
    """
    try:
        _vacuum(native, path)
    except sqlite3.OperationalError as error:
        if (missing := missing_in(error)) is None:
            raise
        raise not_loaded(native, "vacuum()", missing) from error


def _vacuum(native: sqlite3.Connection, path: Path | None) -> None:
    if path is None:
        native.execute("VACUUM")
        return
    # VACUUM writes a copy to the folder for temporary files, and that into the journal beside the file.
    size, beside = size_of(native), real_path(path).parent
    temporary = folder_for(native, size, beside)
    needs = [Need(beside, size, "the journal"), Need(temporary, size, "a temporary file")]
    refuse_without_room("vacuum", needs, "")
    remove_statistics(native)  # after a VACUUM every connection would read them
    with temporary_files(native, temporary):
        native.execute("VACUUM")


def checkpoint(native: sqlite3.Connection, patience_seconds: float) -> bool:
    """Moves the write-ahead log into the database and empties it, outside a transaction.

    False when a reader or writer needed the log for longer than patience_seconds. Then only the part that
    it did not need was moved.
    """
    (usual,) = native.execute("PRAGMA busy_timeout").fetchone()
    native.execute(f"PRAGMA busy_timeout = {int(patience_seconds * 1000)}").close()
    try:
        (is_busy, *_) = native.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        native.execute(f"PRAGMA busy_timeout = {usual}").close()
    return not is_busy
