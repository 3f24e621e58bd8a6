"""Whether a database is sound, and what keeps its size and its plans good."""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path

import msgspec

from reelbase.engine.backup import size_of
from reelbase.engine.filesystem import Need, refuse_without_room
from reelbase.engine.fingerprint import differences
from reelbase.engine.journal import JournalMode
from reelbase.engine.ledger import ledger_differences
from reelbase.engine.schema import SCHEMA_VERSION
from reelbase.engine.temporary_files import folder_for, temporary_files
from reelbase.errors import result_code

_MOST_PROBLEMS = 100
_FTS5 = re.compile(r"\s*CREATE\s+VIRTUAL\s+TABLE\b.*\bUSING\s+fts5\b", re.IGNORECASE | re.DOTALL)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# Pages of a search index that are merged at a time; writers go on between two times.
_MERGE_PAGES = 500


class HealthReport(msgspec.Struct, frozen=True):
    """What check() found.

    ok: there are no problems.  problems: what is wrong, in sentences; at most a hundred of a kind.
    warnings: what is not wrong with this database, but worth knowing.
    """

    ok: bool
    problems: list[str]
    warnings: list[str]
    journal_mode: str
    sqlite_version: str
    schema_version: int


def problems_of(native: sqlite3.Connection, decided: JournalMode) -> list[str]:
    """What is wrong with a database as a reading connection sees it."""
    problems = []
    (mode,) = native.execute("PRAGMA journal_mode").fetchone()
    if mode != decided:
        problems.append(
            f"the journal mode is {mode}, but {decided} was decided on when the database was opened: "
            "another program has changed it; close the database everywhere and open it again"
        )
    try:
        for (text,) in native.execute(f"PRAGMA quick_check({_MOST_PROBLEMS})"):
            if text != "ok":
                problems.append(f"damaged: {text}")
        changed = differences(native, SCHEMA_VERSION)
        # Without its table there is no ledger to be read.
        problems += changed or ledger_differences(native, SCHEMA_VERSION)
        problems += _broken_references(native)
    except sqlite3.DatabaseError as error:
        if result_code(error) not in _DAMAGED:
            raise
        problems.append(f"damaged: {error}")
    return problems


def _broken_references(native: sqlite3.Connection) -> list[str]:
    found = native.execute("PRAGMA foreign_key_check").fetchmany(_MOST_PROBLEMS)
    return [
        f"row {rowid} of {table} refers to a row of {parent} that is not there"
        for table, rowid, parent, _ in found
    ]


def search_indexes(native: sqlite3.Connection) -> list[str]:
    """The names of the FTS5 tables."""
    tables = native.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY name"
    )
    return [name for name, sql in tables if sql is not None and _FTS5.match(sql)]


def check_search_index(native: sqlite3.Connection, name: str) -> tuple[list[str], list[str]]:
    """Problems and warnings of an FTS5 table. Needs the write lock, and changes nothing."""
    try:
        _tell_search_index(native, name, "integrity-check", None)
    except sqlite3.DatabaseError as error:
        if result_code(error) in _DAMAGED:
            return [
                f"the search index {name} is damaged ({error}); rebuild_search() makes it anew"
            ], []
        if result_code(error) == sqlite3.SQLITE_ERROR:  # a tokenizer that another program brings
            return [], [f"the search index {name} could not be checked: {error}"]
        raise
    return [], []


def merge_search_index(native: sqlite3.Connection, name: str, *, is_first: bool) -> bool:
    """Brings an FTS5 table closer to one that is searched fastest; False once nothing is left to do."""
    before = native.total_changes
    # The first, negative, marks what there is to be merged (sqlite.org/fts5.html, "merge").
    _tell_search_index(native, name, "merge", -_MERGE_PAGES if is_first else _MERGE_PAGES)
    return native.total_changes - before >= 2


def _tell_search_index(
    native: sqlite3.Connection, name: str, command: str, rank: int | None
) -> None:
    quoted = name.replace('"', '""')
    native.execute(f'INSERT INTO "{quoted}" ("{quoted}", rank) VALUES (?, ?)', (command, rank))


def warnings_of(mode: str) -> list[str]:
    """What is known of this SQLite in this journal mode."""
    version = sqlite3.sqlite_version_info
    is_mended = (
        version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    )
    if mode != "wal" or is_mended:
        return []
    return [
        f"SQLite {sqlite3.sqlite_version} has the WAL-reset bug (sqlite.org/wal.html#walresetbug, mended "
        "in 3.51.3): two connections that checkpoint at the same moment can, very rarely, damage the "
        "database. Here only one connection of each process does; if several processes write, upgrade"
    ]


def analyze(native: sqlite3.Connection) -> None:
    """Tells the planner how the values of each index are spread, from a sample (analysis_limit).

    Not PRAGMA optimize, which judges by what this very connection has read, and the writer reads little.
    """
    native.execute("ANALYZE")


def vacuum(native: sqlite3.Connection, path: Path | None) -> None:
    """Outside a transaction. Raises DatabaseFullError before it begins when there is no room."""
    if path is None:
        native.execute("VACUUM")
        return
    # A copy goes to the folder for temporary files and from there into the journal beside the file.
    size, beside = size_of(native), Path(os.path.realpath(path)).parent
    temporary = folder_for(native, size, beside)
    needs = [Need(beside, size, "the journal"), Need(temporary, size, "a temporary file")]
    refuse_without_room("vacuum", needs, "")
    with temporary_files(native, temporary):
        native.execute("VACUUM")


def checkpoint(native: sqlite3.Connection, patience_seconds: float) -> bool:
    """Moves the write-ahead log into the database and empties it, outside a transaction.

    False when somebody who reads or writes needed it for longer than patience_seconds: then as much
    was moved as they allowed.
    """
    (usual,) = native.execute("PRAGMA busy_timeout").fetchone()
    native.execute(f"PRAGMA busy_timeout = {int(patience_seconds * 1000)}").close()
    try:
        (is_busy, *_) = native.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        native.execute(f"PRAGMA busy_timeout = {usual}").close()
    return not is_busy
