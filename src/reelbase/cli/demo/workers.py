"""The workers: they claim jobs, read the files in threads, and store the results.

A worker holds a handful of jobs at a time, because each transaction waits for the disk. It renews their
leases while it works; when it is killed they end, and the next worker claims the jobs again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from reelbase import Database, DatabaseError, File, InvalidTransitionError, Job, UnitOfWork
from reelbase.cli.demo.queue import JOB_TYPE, PROFILE_ID, Found, version_beside
from reelbase.cli.demo.reader import Content, Reader, Unread

WORKERS: Final = 4
LEASE_SECONDS = 5.0  # after a kill, a rerun waits this long for the last jobs
_HANDFUL: Final = 64
_READ_SECONDS: Final = 1.0  # then what was read is stored
_POLL_SECONDS: Final = 0.1
_FAILURES_KEPT: Final = 3

_ROW_DELETED: Final = Unread("deleted", "the file's row was deleted")

_COUNT_UNFINISHED = """
  SELECT count(*)
  FROM jobs
  WHERE status IN ('queued', 'running')
    AND type = :type
    AND parent_id IS NOT NULL
"""

_HELD = """
  SELECT id
  FROM jobs
  WHERE status = 'running'
    AND worker = :worker
"""


@dataclass
class Done:
    """The work done by the workers, in files."""

    files: int = 0
    read: int = 0  # for the first time
    changed: int = 0
    same: int = 0  # read again, and found as they were
    failed: int = 0
    failures: list[str] = field(default_factory=list)  # of the first, the path and the reason
    size_bytes: int = 0


class _Outcome(NamedTuple):
    job: Job
    file: File | None
    content: Content | Unread


def transcript_id(file_id: UUID) -> UUID:
    """Always the same for a file, so that it cannot have two."""
    return uuid5(file_id, "transcript")


async def count_unfinished(database: Database) -> int:
    """The demo's jobs that wait or run, in this process or another."""
    return await database.fetch_one(int, _COUNT_UNFINISHED, {"type": JOB_TYPE})


class Workers:
    """Tasks that claim jobs, read their files and store the results."""

    def __init__(self, database: Database, reader: Reader, found: Found, done: Done) -> None:
        self._database = database
        self._reader = reader
        self._found = found
        self._done = done
        self._idle: set[str] = set()
        # Unique, since whoever holds a job is known by this name.
        self._name = f"demo-{os.getpid()}-{secrets.token_hex(4)}"

    @property
    def is_waiting(self) -> bool:
        """Whether all that is left is in the hands of another process, or of one that was killed."""
        return self._found.is_complete and len(self._idle) == WORKERS

    async def work(self, number: int) -> None:
        """Works until everything is queued and nothing is left to do."""
        worker = f"{self._name}-{number}"
        try:
            await self._work(worker)
        except asyncio.CancelledError:
            self._reader.stop()
            await self._give_back(worker)
            raise

    async def _work(self, worker: str) -> None:
        while True:
            jobs = await self._claim(worker, self._handful())
            if jobs:
                self._idle.discard(worker)
                async with self._held(worker, jobs):
                    await self._process(worker, jobs)
            elif self._found.is_complete and not await count_unfinished(self._database):
                return
            else:
                self._idle.add(worker)
                await asyncio.sleep(_POLL_SECONDS)

    def _handful(self) -> int:
        """Few at a time towards the end, so that no worker sits on what others could do."""
        waiting = self._found.jobs - self._done.files
        return max(1, min(_HANDFUL, waiting // (2 * WORKERS)))

    async def _claim(self, worker: str, count: int) -> list[Job]:
        # At once, so that they share a commit.
        claims = await asyncio.gather(
            *(
                self._database.jobs.claim(worker, types=[JOB_TYPE], lease=LEASE_SECONDS)
                for _ in range(count)
            )
        )
        return [job for job in claims if job is not None]

    @contextlib.asynccontextmanager
    async def _held(self, worker: str, jobs: Sequence[Job]) -> AsyncIterator[None]:
        """Keeps the jobs from other workers for as long as it takes."""
        renewing = asyncio.create_task(self._renew(worker, jobs))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _give_back(self, worker: str) -> None:
        """Ends the worker's leases, so that the next run need not wait for that."""
        with contextlib.suppress(DatabaseError):
            # In a unit, because that comes after the claims that are still on their way.
            async with self._database.transaction() as unit:
                for id in await unit.fetch_all(UUID, _HELD, {"worker": worker}):
                    await unit.jobs.heartbeat(id, worker, lease=0)

    async def _renew(self, worker: str, jobs: Sequence[Job]) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 4)
            for job in jobs:
                with contextlib.suppress(InvalidTransitionError):  # done meanwhile
                    await self._database.jobs.heartbeat(job.id, worker, lease=LEASE_SECONDS)

    async def _process(self, worker: str, jobs: Sequence[Job]) -> None:
        files = await asyncio.gather(
            *(self._database.files.find(job.params["file_id"]) for job in jobs)
        )
        stored = 0
        while stored < len(jobs):
            contents = await asyncio.to_thread(self._read, files[stored:])
            read = slice(stored, stored + len(contents))
            rows = zip(jobs[read], files[read], contents, strict=True)
            await self._store(worker, [_Outcome(*row) for row in rows])
            stored = read.stop

    def _read(self, files: Sequence[File | None]) -> list[Content | Unread]:
        """The contents of the first files, as many as can be read in a second, but at least one."""
        until = time.monotonic() + _READ_SECONDS
        contents: list[Content | Unread] = []
        for file in files:
            contents.append(_ROW_DELETED if file is None else self._reader.read(file))
            if time.monotonic() >= until:
                break
        return contents

    async def _store(self, worker: str, outcomes: Sequence[_Outcome]) -> None:
        """A transcript is there exactly if its job has succeeded: they are stored together."""
        try:
            async with self._database.transaction() as unit:
                # Together, because what is called at once shares the way to the database's thread.
                await asyncio.gather(*(_store_one(unit, worker, outcome) for outcome in outcomes))
        except InvalidTransitionError:
            # A lease ran out (the machine slept), and another worker has the job: not ours to store.
            if len(outcomes) > 1:
                for outcome in outcomes:
                    await self._store(worker, [outcome])
            return
        for outcome in outcomes:
            self._count(outcome)

    def _count(self, outcome: _Outcome) -> None:
        done, file, content = self._done, outcome.file, outcome.content
        done.files += 1
        if isinstance(content, Unread) or content.problem is not None or file is None:
            reason = content.reason if isinstance(content, Unread) else content.problem
            done.failed += 1
            if len(done.failures) < _FAILURES_KEPT:
                done.failures.append(f"{file.path if file else 'a file'} ({reason})")
            return
        done.size_bytes += content.size_bytes
        if file.content_hash is None:
            done.read += 1
        elif file.content_hash == content.sha256:
            done.same += 1
        else:
            done.changed += 1


async def _store_one(unit: UnitOfWork, worker: str, outcome: _Outcome) -> None:
    job, file, content = outcome
    if isinstance(content, Unread) or file is None:
        unread = content if isinstance(content, Unread) else _ROW_DELETED
        await unit.jobs.fail(job.id, unread.reason, error_code=unread.code, worker=worker)
        return
    # The job first, because it is refused when another worker has it by now.
    if content.problem is not None:
        await unit.jobs.fail(job.id, content.problem, error_code="no_subtitles", worker=worker)
    else:
        result = {"version": version_beside(content.version, job.params.get("media_id"))}
        if content.text is not None:
            result["transcript_id"] = str(transcript_id(file.id))
        await unit.jobs.succeed(job.id, result, worker=worker)
    if (file.size_bytes, file.content_hash) != (content.size_bytes, content.sha256):
        await unit.files.update(file.id, size_bytes=content.size_bytes, content_hash=content.sha256)
    await _store_text(unit, file, content, await _owner(unit, job, file))


async def _owner(unit: UnitOfWork, job: Job, file: File) -> File:
    """The file that the transcript belongs to: of subtitles, the media file beside them, if it has a row."""
    media_id = job.params.get("media_id")
    media = None if media_id is None else await unit.files.find(media_id)
    return media or file


async def _store_text(unit: UnitOfWork, file: File, content: Content, owner: File) -> None:
    """Makes the transcript that comes from the file this text with these segments, or none."""
    id = transcript_id(file.id)
    # The hash comes with the first transcript, so without one there is nothing to look for.
    stored = None if file.content_hash is None else await unit.transcripts.find(id)
    if stored is not None and (content.text is None or stored.file_id != owner.id):
        await unit.transcripts.delete(id)
        stored = None
    if content.text is None:
        return
    if stored is None:
        await unit.transcripts.add(PROFILE_ID, owner.id, content.text, id=id)
    elif stored.text != content.text:
        await unit.transcripts.update(id, text=content.text)
    if content.segments is not None:
        await unit.segments.replace_all(id, content.segments)
