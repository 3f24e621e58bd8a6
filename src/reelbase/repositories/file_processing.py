"""File processing: how far each file is, what failed and how often, and what to try again.

What each verb makes of each state. download is start(downloading=True), request is request_cancel();
retry and recover are those of a file with retries left (else retry is refused, and recover makes what
was being worked on orphaned), recover is recover_stuck() of what shows no sign of life any more. A dash:
InvalidTransitionError; of recover, left alone.

    state         enqueue       download      start         progress      complete
    pending       queued        downloading   processing    -             -
    queued        queued        downloading   processing    -             -
    downloading   -             downloading   processing    downloading   completed
    processing    -             -             processing    processing    completed
    cancelling    -             -             -             -             -
    completed     queued        -             -             -             -
    error         queued        -             -             -             -
    cancelled     queued        -             -             -             -
    orphaned      queued        -             -             -             -

    state         fail          request       cancel        retry         recover
    pending       error         cancelling    cancelled     -             pending
    queued        error         cancelling    cancelled     -             pending
    downloading   error         cancelling    cancelled     -             pending
    processing    error         cancelling    cancelled     -             pending
    cancelling    error         cancelling    cancelled     -             cancelled
    completed     -             -             -             -             -
    error         -             -             -             pending       -
    cancelled     -             -             cancelled     pending       -
    orphaned      -             -             -             pending       -
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal
from uuid import UUID

import msgspec

from reelbase.engine.file_names import Message
from reelbase.engine.ids import moment_after, moment_before
from reelbase.engine.repository import Repository
from reelbase.engine.statements.parameters import clamped
from reelbase.engine.statements.statement import Command, Query
from reelbase.engine.statements.step import Step


class FileStatus(StrEnum):
    """pending -> queued -> downloading, processing -> completed or error; cancelling -> cancelled.

    orphaned: stuck, with no retry left. retry() leads from error, cancelled and orphaned to pending.
    """

    PENDING = "pending"
    QUEUED = "queued"
    DOWNLOADING = "downloading"
    PROCESSING = "processing"
    COMPLETED = "completed"
    ERROR = "error"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    ORPHANED = "orphaned"


# What a parameter takes: a member, or its text.
FileStatusLike = (
    FileStatus
    | Literal[
        "pending",
        "queued",
        "downloading",
        "processing",
        "completed",
        "error",
        "cancelling",
        "cancelled",
        "orphaned",
    ]
)


class FileProcessing(msgspec.Struct, frozen=True):
    """A file's status. progress: 0 to 1.  max_retries: 0 is no limit.  heartbeat_at: the worker's last
    sign of life.  recovery_attempts: how often its worker was found to be gone.  worker: who works on
    it, if start() was told.
    """

    file_id: UUID
    status: FileStatus
    stage: str | None
    progress: float
    error_message: Message | None
    error_category: str | None
    retry_count: int
    max_retries: int
    recovery_attempts: int
    next_retry_at: datetime | None
    started_at: datetime | None
    heartbeat_at: datetime | None
    completed_at: datetime | None
    updated_at: datetime
    worker: str | None = None


class FileProcessingRepository(Repository):
    """How far files are, table ``file_processing``: a row per file at most, made when it is first queued or
    started. FileStatus shows the statuses.
    """

    entity = "file processing"

    _get = Query(
        FileProcessing,
        """
        SELECT *
        FROM file_processing
        WHERE file_id = :file_id
        """,
    )

    _stuck = Query(
        FileProcessing,
        """
        SELECT *
        FROM file_processing
        WHERE status IN ('pending', 'queued', 'downloading', 'processing', 'cancelling')
          AND CASE
            WHEN status IN ('pending', 'queued') THEN updated_at < :before
            ELSE heartbeat_at IS NULL OR heartbeat_at < :before
          END
        ORDER BY updated_at, file_id
        """,
        params={"before": datetime},
    )

    _counts = Query(
        tuple[str, int],
        """
        SELECT status, count(*)
        FROM file_processing
        GROUP BY status
        ORDER BY status
        """,
    )

    _counts_of_profile = Query(
        tuple[str, int],
        """
        SELECT file_processing.status, count(*)
        FROM files
        CROSS JOIN file_processing
        WHERE file_processing.file_id = files.id
          AND files.profile_id = :profile_id
        GROUP BY file_processing.status
        ORDER BY file_processing.status
        """,
        params={"profile_id": str},
    )

    async def get(self, file_id: UUID | str) -> FileProcessing:
        """The file's status; RecordNotFoundError when it was never queued or started."""
        return await self._run(self._get.one(file_id=file_id))

    async def find(self, file_id: UUID | str) -> FileProcessing | None:
        """The file's status, or None when it was never queued or started."""
        return await self._run(self._get.optional(file_id=file_id))

    async def stuck(self, older_than: timedelta) -> list[FileProcessing]:
        """What seems to be forgotten, the longest unchanged first.

        Of those being worked on (downloading, processing, cancelling) the ones whose last heartbeat is
        older than this, or missing; of those that wait (pending, queued) the ones not changed since.
        """
        before = moment_before(self._now(), older_than)
        return await self._run(self._stuck.all(before=before))

    async def counts_by_status(self, profile_id: str | None = None) -> dict[str, int]:
        """How many files have each status that occurs, of one profile or (None) of all."""
        if profile_id is None:
            return dict(await self._run(self._counts.all()))
        return dict(await self._run(self._counts_of_profile.all(profile_id=profile_id)))

    _enqueue = Command(
        FileProcessing,
        """
        INSERT INTO file_processing (file_id, status, max_retries, updated_at)
        SELECT id, 'queued', :max_retries, :now
        FROM files
        WHERE id = :file_id
        ON CONFLICT (file_id) DO UPDATE
        SET status = 'queued',
            stage = NULL,
            progress = 0,
            error_message = NULL,
            error_category = NULL,
            retry_count = iif(
              file_processing.status IN ('pending', 'queued'), file_processing.retry_count, 0
            ),
            max_retries = excluded.max_retries,
            recovery_attempts = iif(
              file_processing.status IN ('pending', 'queued'), file_processing.recovery_attempts, 0
            ),
            next_retry_at = NULL,
            started_at = NULL,
            heartbeat_at = NULL,
            completed_at = NULL,
            updated_at = excluded.updated_at
        WHERE file_processing.status NOT IN ('downloading', 'processing', 'cancelling')
        RETURNING *
        """,
    )

    # Started again, it goes on: the same worker may say so at every step.
    _start = Command(
        FileProcessing,
        """
        INSERT INTO file_processing (
          file_id, status, stage, started_at, heartbeat_at, updated_at, worker
        )
        SELECT id, :status, :stage, :now, :now, :now, :worker
        FROM files
        WHERE id = :file_id
        ON CONFLICT (file_id) DO UPDATE
        SET status = excluded.status,
            stage = iif(
              file_processing.status = excluded.status,
              coalesce(excluded.stage, file_processing.stage),
              excluded.stage
            ),
            progress = iif(file_processing.status = excluded.status, file_processing.progress, 0),
            started_at = iif(
              file_processing.status IN ('downloading', 'processing'),
              file_processing.started_at,
              excluded.started_at
            ),
            heartbeat_at = excluded.heartbeat_at,
            updated_at = excluded.updated_at,
            worker = coalesce(excluded.worker, file_processing.worker)
        WHERE (
            file_processing.status IN ('pending', 'queued')
            OR file_processing.status = excluded.status
            OR (file_processing.status = 'downloading' AND excluded.status = 'processing')
          )
          AND (
            excluded.worker IS NULL
            OR file_processing.worker IS NULL
            OR file_processing.worker = excluded.worker
          )
        RETURNING *
        """,
    )

    _progress = Command(
        FileProcessing,
        """
        UPDATE file_processing
        SET progress = :progress,
            stage = coalesce(:stage, stage),
            heartbeat_at = :now,
            updated_at = :now
        WHERE file_id = :file_id
          AND status IN ('downloading', 'processing')
        RETURNING *
        """,
        relaxed=True,
    )

    _complete = Command(
        FileProcessing,
        """
        UPDATE file_processing
        SET status = 'completed',
            stage = NULL,
            progress = 1,
            completed_at = :now,
            updated_at = :now,
            worker = NULL
        WHERE file_id = :file_id
          AND status IN ('downloading', 'processing')
        RETURNING *
        """,
    )

    _fail = Command(
        FileProcessing,
        """
        UPDATE file_processing
        SET status = 'error',
            error_message = :error_message,
            error_category = :error_category,
            next_retry_at = :next_retry_at,
            updated_at = :now,
            worker = NULL
        WHERE file_id = :file_id
          AND status IN ('pending', 'queued', 'downloading', 'processing', 'cancelling')
        RETURNING *
        """,
    )

    _request_cancel = Command(
        FileProcessing,
        """
        UPDATE file_processing
        SET status = 'cancelling',
            updated_at = :now
        WHERE file_id = :file_id
          AND status IN ('pending', 'queued', 'downloading', 'processing', 'cancelling')
        RETURNING *
        """,
    )

    _cancel = Command(
        FileProcessing,
        """
        UPDATE file_processing
        SET status = 'cancelled',
            updated_at = :now,
            worker = NULL
        WHERE file_id = :file_id
          AND status IN ('pending', 'queued', 'downloading', 'processing', 'cancelling')
        RETURNING *
        """,
    )

    async def enqueue(self, file_id: UUID | str, *, max_retries: int = 3) -> FileProcessing:
        """Queues the file. max_retries: how often retry() may try again; 0 is no limit.

        A file that has ended (completed, error, cancelled, orphaned) begins anew, with its retries
        unused; one that retry() made pending keeps their number. RecordNotFoundError for an unknown
        file; InvalidTransitionError while it is being worked on.
        """
        step = self._enqueue.optional(file_id=file_id, max_retries=max_retries, now=self._now())
        return await self._changed("be queued", file_id, step, missing="file")

    async def start(
        self,
        file_id: UUID | str,
        *,
        stage: str | None = None,
        downloading: bool = False,
        worker: str | None = None,
    ) -> FileProcessing:
        """Begins to work on the file: it is processing, or, with downloading, first of all that.

        A file that is in this state already goes on: its progress and its stage (unless one is passed)
        stay, and it is a heartbeat.  worker: of several workers one succeeds, and may start it again;
        the others get InvalidTransitionError.  None: every caller succeeds; name a worker where
        two could take the same file.

        InvalidTransitionError, too, for a file that has ended or is to be cancelled.
        RecordNotFoundError for an unknown file.
        """
        step = self._start.optional(
            file_id=file_id,
            status=FileStatus.DOWNLOADING if downloading else FileStatus.PROCESSING,
            stage=stage,
            worker=worker,
            now=self._now(),
        )
        return await self._changed("be started", file_id, step, missing="file")

    async def progress(
        self, file_id: UUID | str, progress: float, *, stage: str | None = None
    ) -> FileProcessing:
        """Notes how far the work is (cut to 0 to 1), and that the worker lives; stage None leaves it.

        It does not wait for the disk. InvalidTransitionError unless the file is downloading or
        processing: so a worker learns, from ``details["status"]``, that it is to stop.
        """
        step = self._progress.optional(
            file_id=file_id,
            progress=clamped(progress, 0.0, 1.0),
            stage=stage,
            now=self._now(),
        )
        return await self._changed("note progress", file_id, step)

    async def complete(self, file_id: UUID | str) -> FileProcessing:
        """Ends the work well. InvalidTransitionError unless the file is downloading or processing."""
        step = self._complete.optional(file_id=file_id, now=self._now())
        return await self._changed("be completed", file_id, step)

    async def fail(
        self,
        file_id: UUID | str,
        message: str,
        *,
        category: str | None = None,
        retry_in: float | None = None,
    ) -> FileProcessing:
        """Ends the work, or the waiting for it, with an error.

        retry_in: seconds until retry_due() finds it; None: only retry() brings it back.
        InvalidTransitionError for a file that has ended already.
        """
        now = self._now()
        retry_at: datetime | None = None
        if retry_in is not None:
            retry_at = moment_after(now, "retry_in", retry_in)
        step = self._fail.optional(
            file_id=file_id,
            error_message=message,
            error_category=category,
            next_retry_at=retry_at,
            now=now,
        )
        return await self._changed("fail", file_id, step)

    async def request_cancel(self, file_id: UUID | str) -> FileProcessing:
        """Asks whoever works on the file to stop; it is cancelling until that one calls cancel().

        InvalidTransitionError for a file that has ended already.
        """
        step = self._request_cancel.optional(file_id=file_id, now=self._now())
        return await self._changed("be cancelled", file_id, step)

    async def cancel(self, file_id: UUID | str) -> FileProcessing:
        """Ends the work, or the waiting for it, without a result.

        A file that is cancelled is returned as it is. InvalidTransitionError for one that has ended
        otherwise.
        """
        step = self._cancel.optional(file_id=file_id, now=self._now())
        return await self._changed("be cancelled", file_id, step, already=FileStatus.CANCELLED)

    async def _changed(
        self,
        action: str,
        file_id: UUID | str,
        step: Step[FileProcessing | None],
        *,
        missing: str | None = None,
        already: FileStatus | None = None,
    ) -> FileProcessing:
        """What the step changed, or the reason why it changed nothing.

        missing: what is not there when the file has no status, if not the status itself.  already: in
        which status there is nothing to do.
        """
        moved = await self._run(step)
        if moved is not None:
            return moved
        found = await self._run(self._get.optional(file_id=file_id))
        if found is None:
            raise self._not_found(file_id, missing)
        if found.status == already:
            return found
        raise self._not_moved(action, file_id, found)

    _retry = Command(
        FileProcessing,
        """
        UPDATE file_processing
        SET status = 'pending',
            stage = NULL,
            progress = 0,
            error_message = NULL,
            error_category = NULL,
            retry_count = retry_count + 1,
            next_retry_at = NULL,
            started_at = NULL,
            heartbeat_at = NULL,
            updated_at = :now
        WHERE file_id = :file_id
          AND status IN ('error', 'cancelled', 'orphaned')
          AND (max_retries = 0 OR retry_count < max_retries)
        RETURNING *
        """,
    )

    _retry_due = Command(
        FileProcessing,
        """
        UPDATE file_processing
        SET status = 'pending',
            stage = NULL,
            progress = 0,
            error_message = NULL,
            error_category = NULL,
            retry_count = retry_count + 1,
            next_retry_at = NULL,
            started_at = NULL,
            heartbeat_at = NULL,
            updated_at = :now
        WHERE next_retry_at <= :now
          AND status = 'error'
          AND (max_retries = 0 OR retry_count < max_retries)
        RETURNING *
        """,
    )

    # What had a worker costs a retry, or a file that kills its worker would do so for ever. What only
    # waited costs none; and what was to be cancelled has got its wish.
    _recover_stuck = Command(
        FileProcessing,
        """
        UPDATE file_processing
        SET status = CASE
              WHEN status = 'cancelling' THEN 'cancelled'
              WHEN status IN ('pending', 'queued') THEN 'pending'
              WHEN max_retries = 0 OR retry_count < max_retries THEN 'pending'
              ELSE 'orphaned'
            END,
            stage = NULL,
            progress = 0,
            retry_count = retry_count + iif(
              status IN ('downloading', 'processing')
                AND (max_retries = 0 OR retry_count < max_retries),
              1,
              0
            ),
            recovery_attempts = recovery_attempts + 1,
            started_at = NULL,
            heartbeat_at = NULL,
            updated_at = :now,
            worker = NULL
        WHERE status IN ('pending', 'queued', 'downloading', 'processing', 'cancelling')
          AND CASE
            WHEN status IN ('pending', 'queued') THEN updated_at < :before
            ELSE heartbeat_at IS NULL OR heartbeat_at < :before
          END
        RETURNING *
        """,
        params={"before": datetime},
    )

    async def retry(self, file_id: UUID | str) -> FileProcessing:
        """Makes a file that ended badly (error, cancelled, orphaned) pending again, one retry used.

        InvalidTransitionError for any other status, and once retry_count has reached max_retries;
        enqueue() then begins anew.
        """
        retried = await self._run(self._retry.optional(file_id=file_id, now=self._now()))
        if retried is not None:
            return retried
        found = await self._run(self._get.one(file_id=file_id))
        used = f"be retried, with {found.retry_count} of {found.max_retries or 'any'} retries used"
        raise self._refused(used, file_id, found.status)

    async def retry_due(self) -> list[FileProcessing]:
        """Does what retry() does for every file whose next_retry_at has come; those, by id.

        Each is given to one caller only. Files without retries left stay as they are.
        """
        return self._by_file(await self._run(self._retry_due.all(now=self._now())))

    async def recover_stuck(self, older_than: timedelta) -> list[FileProcessing]:
        """Takes what stuck() finds from the workers that are gone, and returns it, by file id.

        It is pending again, which costs what was being worked on a retry, or orphaned where none is
        left; what was cancelling is cancelled.
        """
        now = self._now()
        step = self._recover_stuck.all(before=moment_before(now, older_than), now=now)
        return self._by_file(await self._run(step))

    @staticmethod
    def _by_file(changed: list[FileProcessing]) -> list[FileProcessing]:
        """SQLite returns what an UPDATE changed in no order."""
        return sorted(changed, key=lambda processing: processing.file_id)
