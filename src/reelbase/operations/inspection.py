"""The facts that ``reelbase inspect`` shows, from one read transaction."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from pathlib import Path

import msgspec

from reelbase.engine.file.journal import decide
from reelbase.engine.file.mounts import PROC_MOUNTS
from reelbase.engine.file.open_files import journal_mode_of
from reelbase.engine.maintenance.opening import opened_to_look
from reelbase.engine.native.errors import translate
from reelbase.engine.native.extensions import table_by_table
from reelbase.engine.native.header import user_version
from reelbase.engine.native.names import quoted
from reelbase.engine.schema.figures import row_count, wal_bytes
from reelbase.engine.schema.fingerprint import names_of
from reelbase.engine.schema.identity import read_identity
from reelbase.engine.schema.source import SCHEMA_VERSION

_TABLES = """
SELECT name, type = 'virtual'
FROM pragma_table_list
WHERE schema = 'main'
  AND type IN ('table', 'virtual')
  AND name NOT GLOB 'sqlite_*'
ORDER BY name
"""

# Shadow tables are named after the search index that they belong to.
_SHADOWS = """
SELECT name
FROM pragma_table_list
WHERE schema = 'main'
  AND type = 'shadow'
"""

_INDEXES = """
SELECT name, tbl_name
FROM sqlite_schema
WHERE type = 'index'
ORDER BY name
"""

_BYTES = """
SELECT name, pgsize
FROM dbstat
WHERE aggregate = TRUE
"""

_TAGS = """
SELECT tags.profile_id, tags.name, count(file_tags.file_id)
FROM tags
LEFT JOIN file_tags ON file_tags.tag_id = tags.id
GROUP BY tags.id
ORDER BY tags.profile_id, count(file_tags.file_id) DESC, tags.name, tags.id
"""

_JOBS_OF_MISSING = """
SELECT count(DISTINCT job_id)
FROM job_references
WHERE target_type = 'file'
  AND NOT EXISTS (SELECT 1 FROM files WHERE files.id = target_id)
"""

_MOST_REFERENCES = 1_000_000

_FILES_NOT_INDEXED = """
SELECT count(*)
FROM files
WHERE NOT EXISTS (
    SELECT 1
    FROM file_numbers
    JOIN files_fts_docsize ON files_fts_docsize.id = file_numbers.id
    WHERE file_numbers.file_id = files.id
  )
"""

_FILES_GONE = """
SELECT count(*)
FROM files_fts_docsize AS indexed
WHERE NOT EXISTS (
    SELECT 1
    FROM file_numbers
    JOIN files ON files.id = file_numbers.file_id
    WHERE file_numbers.id = indexed.id
  )
"""

# The rows that each remaining search index holds. A test checks that no index of the schema is missing.
_SEARCHED = {
    "videos": "TRUE",
    "prompts": "TRUE",
    "transcript_segments": "TRUE",
    "summaries": "content IS NOT NULL",
}


class IndexFacts(msgspec.Struct, frozen=True):
    """An index and its size; None where SQLite cannot tell."""

    name: str
    size_bytes: int | None


class TableFacts(msgspec.Struct, frozen=True):
    """A table, its size and its indexes.

    rows: None where the table needs a module, tokenizer or collation that is not loaded.
    size_bytes: without its indexes; None where this SQLite cannot tell.  is_ours: part of the schema.
    """

    name: str
    rows: int | None
    size_bytes: int | None
    indexes: list[IndexFacts]
    is_ours: bool


class TagFacts(msgspec.Struct, frozen=True):
    """A tag, and how many files have it."""

    profile_id: str
    name: str
    files: int


class Facts(msgspec.Struct, frozen=True):
    """All facts of a database.

    database_id: None before schema version 7.  orphans: how many rows refer to a missing row, or are
    missing in a search index; the key says which, in words.
    """

    database: str
    size_bytes: int
    wal_bytes: int
    free_bytes: int
    schema_version: int
    latest_schema_version: int
    database_id: str | None
    journal_mode: str
    journal_reason: str
    tables: list[TableFacts]
    statuses: dict[str, dict[str, int]]
    tags: list[TagFacts]
    orphans: dict[str, int]


def read_facts(path: Path, busy_timeout_seconds: float) -> Facts:
    """Reads the facts of a database of this or an older version; other processes may have it open."""
    decision = decide(path, journal="auto", durability="balanced", mounts=PROC_MOUNTS)
    try:
        with opened_to_look(path, busy_timeout_seconds) as native:
            native.execute("BEGIN")
            is_virtual = dict(native.execute(_TABLES).fetchall())
            tables = list(is_virtual)
            identity = read_identity(native)
            return Facts(
                database=str(path),
                size_bytes=os.path.getsize(path),
                wal_bytes=wal_bytes(str(path)),
                free_bytes=_value(native, "PRAGMA freelist_count")
                * _value(native, "PRAGMA page_size"),
                schema_version=user_version(native),
                latest_schema_version=SCHEMA_VERSION,
                database_id=None if identity is None else identity.database_id,
                journal_mode=journal_mode_of(native),
                journal_reason=decision.reason,
                tables=_tables(native, is_virtual),
                statuses=_statuses(native, is_virtual),
                tags=[TagFacts(*row) for row in native.execute(_TAGS)] if "tags" in tables else [],
                orphans=_orphans(native, tables),
            )
    except sqlite3.Error as error:
        raise translate(error, f"inspecting {path}") from error


def _statuses(native: sqlite3.Connection, is_virtual: dict[str, bool]) -> dict[str, dict[str, int]]:
    """The rows by status, of each table of the library that has one."""
    ours = names_of(user_version(native))
    found = {}
    for table, virtual in is_virtual.items():
        if virtual or table.lower() not in ours:
            continue
        columns = native.execute("SELECT name FROM pragma_table_info(?)", (table,))
        if ("status",) in columns.fetchall():
            counts = f"SELECT status, count(*) FROM {quoted(table)} GROUP BY status ORDER BY status"
            found[table] = dict(native.execute(counts).fetchall())
    return found


def _tables(native: sqlite3.Connection, is_virtual: dict[str, bool]) -> list[TableFacts]:
    sizes = _sizes(native)
    shadows = [name for (name,) in native.execute(_SHADOWS)]
    ours = names_of(user_version(native))
    indexes = native.execute(_INDEXES).fetchall()
    found = []
    for table, has_shadows in is_virtual.items():
        size_bytes = None
        if sizes is not None:
            parts = [table]
            if has_shadows:
                parts += [name for name in shadows if name.startswith(f"{table}_")]
            size_bytes = sum(sizes.get(part, 0) for part in parts)
        found.append(
            TableFacts(
                name=table,
                rows=row_count(native, table),
                size_bytes=size_bytes,
                indexes=[
                    IndexFacts(name, None if sizes is None else sizes.get(name, 0))
                    for name, of in indexes
                    if of == table
                ],
                is_ours=table.lower() in ours,
            )
        )
    return found


def _sizes(native: sqlite3.Connection) -> dict[str, int] | None:
    """Bytes of every table and index; None where SQLite was built without dbstat."""
    try:
        return dict(native.execute(_BYTES).fetchall())
    except sqlite3.OperationalError as error:
        if "dbstat" in str(error):
            return None
        raise


def _orphans(native: sqlite3.Connection, tables: list[str]) -> dict[str, int]:
    broken, _ = table_by_table(
        native,
        "PRAGMA foreign_key_check",
        "PRAGMA foreign_key_check({table})",
        most_rows=_MOST_REFERENCES,
    )
    pairs = sorted((table, parent) for table, _, parent, _ in broken)
    found = dict(Counter(f"{table} that refer to missing {parent}" for table, parent in pairs))
    if "job_references" in tables:
        found["jobs that name files that are gone"] = _value(native, _JOBS_OF_MISSING)
    if "files_fts" in tables:
        found["files that search does not find"] = _value(native, _FILES_NOT_INDEXED)
        found["files that search finds though they are gone"] = _value(native, _FILES_GONE)
    for table, condition in _SEARCHED.items():
        if f"{table}_fts" not in tables:
            continue
        found[f"{table} that search does not find"] = _value(
            native,
            f"SELECT count(*) FROM {table} WHERE {condition} AND NOT EXISTS "
            f"(SELECT 1 FROM {table}_fts_docsize WHERE {table}_fts_docsize.id = {table}.id)",
        )
        found[f"{table} that search finds though they are gone"] = _value(
            native,
            f"SELECT count(*) FROM {table}_fts_docsize AS indexed WHERE NOT EXISTS "
            f"(SELECT 1 FROM {table} WHERE {table}.id = indexed.id)",
        )
    return {what: count for what, count in found.items() if count}


def _value(native: sqlite3.Connection, sql: str) -> int:
    return int(native.execute(sql).fetchone()[0])
