"""From a folder to File rows and queued jobs.

A run may be killed at any time, so everything here can be done twice: a file's id follows from its path,
and a file is queued together with its row, or not at all.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from reelbase import Database, NewFile
from reelbase.cli.demo.kinds import kind_of
from reelbase.cli.demo.scan import DatabaseFiles, Entry, Skipped, scan, version_of

PROFILE_ID: Final = "demo"
JOB_TYPE: Final = "demo.read"

# A job that a killed worker held is taken again, and each time counts: more than anybody kills a demo.
_MAX_ATTEMPTS: Final = 1000

# Files per transaction: many, because each waits for the disk, but other writers wait for it.
_CHUNK: Final = 500

# A file with subtitles, for folders that have none.
SAMPLE: Final = Path(__file__).resolve().with_name("sample.srt")

_NAMESPACE: Final = uuid5(NAMESPACE_URL, "reelbase demo")


@dataclass
class Found:
    """The work to do: the jobs left by earlier runs, and the files of the folder, counted in files."""

    left: int = 0  # jobs of earlier runs that were stopped
    files: int = 0
    new: int = 0
    unchanged: int = 0  # nothing to do
    queued: int = 0
    skipped: Skipped = field(default_factory=Skipped)
    is_complete: bool = False  # the scan is over

    @property
    def jobs(self) -> int:
        """How many jobs there are to do: left by earlier runs or queued now."""
        return self.left + self.queued


class _Known(msgspec.Struct, frozen=True):
    """A file that has a row. version: its version when it was last read; None if it never was."""

    id: UUID
    version: str | None
    is_waiting: bool


# job_references tells which jobs name a file; the schema keeps it from their params and results.
_KNOWN = """
  SELECT
    files.id,
    (
      SELECT json_extract(jobs.result, '$.version')
      FROM job_references
      JOIN jobs ON jobs.id = job_references.job_id
      WHERE job_references.target_id = files.id
        AND job_references.target_type = 'file'
        AND jobs.type = :type
        AND jobs.status = 'succeeded'
      ORDER BY jobs.id DESC
      LIMIT 1
    ) AS version,
    EXISTS (
      SELECT 1
      FROM job_references
      JOIN jobs ON jobs.id = job_references.job_id
      WHERE job_references.target_id = files.id
        AND job_references.target_type = 'file'
        AND jobs.type = :type
        AND jobs.status IN ('queued', 'running')
    ) AS is_waiting
  FROM json_each(:ids) AS wanted
  JOIN files ON files.id = wanted.value
"""


def file_id(path: str) -> UUID:
    """The id of the file at this path: always the same, so that it cannot be added twice."""
    return uuid5(_NAMESPACE, path)


def version_beside(version: str, media_id: UUID | str | None) -> str:
    """The version of a file when it was read, and the media file that it then belonged to."""
    return version if media_id is None else f"{version}-{media_id}"


async def queue_folder(
    database: Database, root: str, database_files: DatabaseFiles, found: Found
) -> None:
    """Adds the new files below root, and queues the new and the changed ones.

    found is counted up on the way.
    """
    entries = scan(root, database_files, found.skipped)
    while chunk := await asyncio.to_thread(list, islice(entries, _CHUNK)):
        await _queue(database, root, chunk, found)
    found.is_complete = True


async def queue_sample(database: Database, found: Found) -> None:
    """Adds the sample, and queues it if it is new or has changed. It is no file of the folder."""
    status = await asyncio.to_thread(os.stat, SAMPLE)
    entry = Entry(str(SAMPLE), SAMPLE.name, ".", status.st_size, version_of(status))
    of_sample = Found()
    await _queue(database, str(SAMPLE.parent), [entry], of_sample)
    found.queued += of_sample.queued


async def _queue(database: Database, root: str, entries: Sequence[Entry], found: Found) -> None:
    by_id = {file_id(entry.path): entry for entry in entries}
    media = {id: file_id(entry.media) for id, entry in by_id.items() if entry.media is not None}
    versions = {id: version_beside(entry.version, media.get(id)) for id, entry in by_id.items()}
    async with database.transaction() as unit:
        known = {
            row.id: row
            for row in await unit.fetch_all(_Known, _KNOWN, {"ids": list(by_id), "type": JOB_TYPE})
        }
        new = [_new_file(id, entry) for id, entry in by_id.items() if id not in known]
        unread = [
            id
            for id in by_id
            if id not in known or (known[id].version != versions[id] and not known[id].is_waiting)
        ]
        await unit.files.add_many(PROFILE_ID, new)
        if unread:
            batch = await unit.jobs.add(PROFILE_ID, JOB_TYPE, {"folder": root}, total=len(unread))
            # Not add_batch(), whose children have one attempt: a killed worker's must get another.
            await asyncio.gather(
                *(
                    unit.jobs.add(
                        PROFILE_ID,
                        JOB_TYPE,
                        {"file_id": str(id)}
                        | ({"media_id": str(media[id])} if id in media else {}),
                        batch.id,
                        max_attempts=_MAX_ATTEMPTS,
                    )
                    for id in unread
                )
            )
    found.files += len(entries)
    found.new += len(new)
    found.queued += len(unread)
    found.unchanged += sum(
        row.version == versions[row.id] and not row.is_waiting for row in known.values()
    )


def _new_file(id: UUID, entry: Entry) -> NewFile:
    type, content_type = kind_of(entry.name)
    return NewFile(
        id=id,
        name=entry.name,
        path=entry.path,
        type=type,
        folder=entry.folder,
        origin="scan",
        size_bytes=entry.size_bytes,
        content_type=content_type,
    )
