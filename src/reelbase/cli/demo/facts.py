"""The contents of the database when the demo is done."""

from __future__ import annotations

import msgspec

from reelbase import Database
from reelbase.cli.demo.queue import JOB_TYPE

_FOLDERS_SHOWN = 10


class Group(msgspec.Struct, frozen=True):
    """The files of one type or folder."""

    name: str
    files: int
    transcripts: int
    size_bytes: int


class Holdings(msgspec.Struct, frozen=True):
    """rows: per table.  jobs: by status, without the batches they belong to.  folders: the fullest."""

    rows: dict[str, int]
    jobs: dict[str, int]
    batches: dict[str, int]
    types: list[Group]
    folders: list[Group]
    folder_count: int


_ROWS = """
  SELECT
    (SELECT count(*) FROM profiles) AS profiles,
    (SELECT count(*) FROM files) AS files,
    (SELECT count(*) FROM transcripts) AS transcripts,
    (SELECT count(*) FROM transcript_segments) AS segments,
    (SELECT count(*) FROM jobs) AS jobs
"""

_JOBS = """
  SELECT status, count(*)
  FROM jobs
  WHERE type = :type
    AND (parent_id IS NULL) = :are_batches
  GROUP BY status
  ORDER BY status
"""

_TYPES = """
  SELECT
    coalesce(type, '(none)') AS name,
    count(*) AS files,
    coalesce(sum((SELECT count(*) FROM transcripts WHERE file_id = files.id)), 0) AS transcripts,
    coalesce(sum(size_bytes), 0) AS size_bytes
  FROM files
  GROUP BY type
  ORDER BY size_bytes DESC, name
"""

_FOLDERS = """
  SELECT
    coalesce(folder, '(none)') AS name,
    count(*) AS files,
    coalesce(sum((SELECT count(*) FROM transcripts WHERE file_id = files.id)), 0) AS transcripts,
    coalesce(sum(size_bytes), 0) AS size_bytes
  FROM files
  GROUP BY folder
  ORDER BY size_bytes DESC, name
  LIMIT :limit
"""

_COUNT_FOLDERS = """
  SELECT count(DISTINCT coalesce(folder, ''))
  FROM files
"""


async def holdings(database: Database) -> Holdings:
    """The contents of the database, from one read transaction."""
    async with database.snapshot() as view:
        jobs = await view.fetch_all(
            tuple[str, int], _JOBS, {"type": JOB_TYPE, "are_batches": False}
        )
        batches = await view.fetch_all(
            tuple[str, int], _JOBS, {"type": JOB_TYPE, "are_batches": True}
        )
        return Holdings(
            rows=await view.fetch_one(dict, _ROWS),
            jobs=dict(jobs),
            batches=dict(batches),
            types=await view.fetch_all(Group, _TYPES),
            folders=await view.fetch_all(Group, _FOLDERS, {"limit": _FOLDERS_SHOWN}),
            folder_count=await view.fetch_one(int, _COUNT_FOLDERS),
        )
