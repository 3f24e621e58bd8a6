"""Completing a mended database: everything that is derived from its rows is derived again.

References, counts, search indexes and the ledger are made from the existing rows, so that they do not
name lost ones.
"""

from __future__ import annotations

import sqlite3

from reelbase.engine.native.names import quoted
from reelbase.engine.schema import chain, ledger
from reelbase.engine.schema.derivation import derive
from reelbase.engine.schema.fingerprint import names_of
from reelbase.operations.kept_columns import keep_columns
from reelbase.operations.salvage.accounts import DERIVED
from reelbase.operations.salvage.losses import Losses
from reelbase.operations.salvage.references import Reference, references_of
from reelbase.operations.salvage.tables import Table

# Triggers update these counts with every change, but no trigger fires for a row that a disk loses.
_REFERENCES_OF_JOBS = """
INSERT OR IGNORE INTO job_references (target_id, target_type, job_id)
SELECT target_id, target_type, job_id
FROM job_references_in_json
"""

_NUMBERS_OF_FILES = """
INSERT OR IGNORE INTO file_numbers (file_id)
SELECT id
FROM files
ORDER BY created_at, id
"""

_CHILDREN_OF_JOBS = """
UPDATE jobs
SET total = children.total,
    completed = children.completed,
    progress = min(1.0, 1.0 * children.completed / children.total)
FROM (
  SELECT parent_id, count(*) AS total, count(finished_at) AS completed
  FROM jobs
  WHERE parent_id IS NOT NULL
  GROUP BY parent_id
) AS children
WHERE children.parent_id = jobs.id
  AND jobs.status IN ('queued', 'running')
  AND (jobs.total, jobs.completed) IS NOT (children.total, children.completed)
"""

# Batches whose last unfinished child is lost.
_FINISHED_BATCHES = """
UPDATE jobs
SET status = 'succeeded',
    progress = 1.0,
    finished_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
    updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
    worker = NULL,
    lease_expires_at = NULL,
    result = (
      SELECT json_object(
        'succeeded', count(*) FILTER (WHERE child.status = 'succeeded'),
        'failed', count(*) FILTER (WHERE child.status = 'failed'),
        'cancelled', count(*) FILTER (WHERE child.status = 'cancelled')
      )
      FROM jobs AS child
      WHERE child.parent_id = jobs.id
    )
WHERE status IN ('queued', 'running')
  AND EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = jobs.id)
  AND NOT EXISTS (
    SELECT 1
    FROM jobs AS child
    WHERE child.parent_id = jobs.id
      AND child.status IN ('queued', 'running')
  )
"""

# Batches of which every child is lost: they do not become jobs of their own, which a worker would run.
_EMPTY_BATCHES = """
UPDATE jobs
SET status = 'failed',
    error = 'the jobs of this batch were lost with a damaged part of the database',
    finished_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
    updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
    worker = NULL,
    lease_expires_at = NULL
WHERE status IN ('queued', 'running')
  AND is_batch
  AND NOT EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = jobs.id)
"""
_VERSION_WITH_BATCHES = 14

_ACTIVE_LANGUAGE_MODELS = """
UPDATE profiles
SET active_llm_config_id = (
  SELECT id
  FROM llm_configs
  WHERE profile_id = profiles.id
  ORDER BY created_at DESC, id DESC
  LIMIT 1
)
WHERE active_llm_config_id IS NULL
  AND EXISTS (SELECT 1 FROM llm_configs WHERE profile_id = profiles.id)
"""


def complete(native: sqlite3.Connection, version: int, losses: Losses) -> None:
    """Derives counts, references and the ledger from the rows, and notes the losses.

    Args:
        native: a connection in a transaction, with foreign keys off and the library's triggers in place.
        version: the schema version of the database.
        losses: which tables have lost rows; gets a sentence for each repair.
    """
    mend_references(native, losses)
    if "jobs" in losses.touched:
        native.execute(_CHILDREN_OF_JOBS)
        native.execute(_FINISHED_BATCHES)
        if version >= _VERSION_WITH_BATCHES:
            native.execute(_EMPTY_BATCHES)
    keep_columns(native, version)
    names = names_of(version)
    if "job_references" in losses.touched and "job_references" in names:
        native.execute(_REFERENCES_OF_JOBS)
        losses.mend("job_references: rebuilt from jobs")
    if "file_numbers" in losses.touched and "file_numbers" in names:
        native.execute(_NUMBERS_OF_FILES)
        for index in ("files_fts", "file_names_fts"):  # the numbers may have changed
            derive(native, version, only=index)
        losses.mend("file_numbers: rebuilt from files")
    if losses.touched & {"llm_configs", "profiles"} and "llm_configs" in names:
        native.execute(_ACTIVE_LANGUAGE_MODELS)
    _mend_ledger(native, version, losses)
    if "database_identity" in names:
        _mend_identity(native, losses)
    if "followed_changes" in names:  # rows that are lost are not told there
        native.execute("DELETE FROM followed_changes")


def mend_references(native: sqlite3.Connection, losses: Losses) -> None:
    """Deletes rows that refer to a missing row, or clears the reference, as their foreign key says."""
    while tables := _tables_with_broken_references(native):
        references = [found for table in tables for found in references_of(native, table)]
        # All of them, not any(): to mend one reference may break or clear another.
        changed = [_mend_reference(native, reference, losses) for reference in references]
        if not any(changed):
            return  # the parent is no table; check() reports it


def _tables_with_broken_references(native: sqlite3.Connection) -> list[str]:
    rows = native.execute('SELECT DISTINCT "table" FROM pragma_foreign_key_check').fetchall()
    return sorted(table for (table,) in rows)


def _mend_reference(native: sqlite3.Connection, reference: Reference, losses: Losses) -> bool:
    table = Table(native, reference.table)
    name = quoted(reference.table)
    key = [table.rowid] if table.has_rowid and table.alias is None else table.key
    wanted = [*(key if table.alias is None else [table.alias]), *table.key, *reference.columns]
    rows = native.execute(
        f"SELECT {', '.join(f'child.{quoted(column)}' for column in wanted)}"
        f" FROM {name} AS child WHERE {reference.condition}"
    )
    found = False
    for row in rows:
        found = True
        values = dict(zip(wanted, row, strict=True))
        at = row[0] if table.has_rowid else tuple(row[: len(table.key)])
        child = table.name_of(at, values)
        parent = ", ".join(str(values[column]) for column in reference.columns)
        losses.touch(reference.table)
        if reference.table in DERIVED:
            continue
        if reference.sets_null:
            losses.lose(
                f"{reference.table} {child}: {', '.join(reference.columns)} cleared, which referred to"
                f" {reference.parent} {parent}; that row is missing"
            )
        else:
            losses.lose_row(
                reference.table,
                child,
                f"removed, because it referred to {reference.parent} {parent}, which is missing",
            )
    if not found:
        return False
    if reference.sets_null:
        cleared = ", ".join(f"{quoted(column)} = NULL" for column in reference.columns)
        mended = f"UPDATE {name} AS child SET {cleared} WHERE {reference.condition}"
    else:
        mended = f"DELETE FROM {name} AS child WHERE {reference.condition}"
    if native.execute(mended).rowcount == 0:
        raise sqlite3.DatabaseError(
            f"rows of {reference.table} are read, but not found by their keys"
        )
    return True


def _mend_ledger(native: sqlite3.Connection, version: int, losses: Losses) -> None:
    there = {line for (line,) in native.execute("SELECT version FROM schema_migrations")}
    for migration in chain.migrations()[:version]:
        if migration.version not in there:
            ledger.record(native, migration)
            losses.mend(f"the ledger: {migration} entered again")


def _mend_identity(native: sqlite3.Connection, losses: Losses) -> None:
    # The digest is that of the schema before the repair.
    native.execute("UPDATE database_identity SET schema_digest = NULL")
    if native.execute("SELECT 1 FROM database_identity").fetchone() is None:
        native.execute("INSERT INTO database_identity (id) VALUES (1)")
        losses.lose("database_identity: which database this is; it has a new id")
