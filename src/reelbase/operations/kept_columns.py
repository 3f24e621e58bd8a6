"""Columns that triggers keep: copies of values of another row, by which an index finds a row.

Rows that are stored while the triggers are off, or rebuilt from an index, get them here.
"""

from __future__ import annotations

import sqlite3

_BATCHES = """
UPDATE jobs
SET is_batch = NOT is_batch
WHERE is_batch <> (id IN (SELECT parent_id FROM jobs WHERE parent_id IS NOT NULL))
"""

_PLACES_BY_STATUS = """
UPDATE file_processing
SET profile_id = files.profile_id,
    file_created_at = files.created_at
FROM files
WHERE files.id = file_processing.file_id
  AND (file_processing.profile_id, file_processing.file_created_at)
    IS NOT (files.profile_id, files.created_at)
"""

_PLACES_BY_TAG = """
UPDATE file_tags
SET file_created_at = files.created_at
FROM files
WHERE files.id = file_tags.file_id
  AND file_tags.file_created_at IS NOT files.created_at
"""

_WAITING = """
UPDATE jobs
SET waiting_for = counted.needs
FROM (
  SELECT jobs.id, count(needed.id) AS needs
  FROM jobs
  LEFT JOIN job_dependencies ON job_dependencies.job_id = jobs.id
  LEFT JOIN jobs AS needed ON needed.id = job_dependencies.needs_id AND needed.status <> 'succeeded'
  GROUP BY jobs.id
) AS counted
WHERE counted.id = jobs.id
  AND jobs.waiting_for <> counted.needs
"""

_LENGTHS = """
UPDATE files
SET duration = (SELECT media_info.duration FROM media_info WHERE media_info.file_id = files.id)
WHERE duration IS NOT (SELECT media_info.duration FROM media_info WHERE media_info.file_id = files.id)
"""

# With the schema version that brought the columns.
_STATEMENTS = (
    (14, _BATCHES),
    (17, _PLACES_BY_STATUS),
    (17, _PLACES_BY_TAG),
    (22, _WAITING),
    (23, _LENGTHS),
)


def keep_columns(native: sqlite3.Connection, version: int) -> None:
    """Sets the columns that triggers keep, in rows where they differ.

    native: a connection in a transaction.  version: of the file's schema.
    """
    for since, sql in _STATEMENTS:
        if version >= since:
            native.execute(sql)
