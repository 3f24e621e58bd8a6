"""A file's way from the queue to the end."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from reelbase.engine.ids import moment_after
from reelbase.engine.statements.parameters import clamped
from reelbase.engine.statements.statement import Command
from reelbase.engine.statements.step import Step
from reelbase.repositories.file_processing.finding import FileProcessingFinding
from reelbase.repositories.file_processing.records import FileProcessing, FileStatus


class FileProcessingMoving(FileProcessingFinding):
    """How a file moves from status to status."""

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
            retry_count = iif(status IN ('pending', 'queued'), retry_count, 0),
            max_retries = excluded.max_retries,
            recovery_attempts = iif(status IN ('pending', 'queued'), recovery_attempts, 0),
            next_retry_at = NULL,
            started_at = NULL,
            heartbeat_at = NULL,
            completed_at = NULL,
            updated_at = excluded.updated_at
        WHERE status NOT IN ('downloading', 'processing', 'cancelling')
        RETURNING
          file_id, status, stage, progress, error_message, error_category, retry_count, max_retries,
          recovery_attempts, next_retry_at, started_at, heartbeat_at, completed_at, updated_at, worker
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
            stage = iif(status = excluded.status, coalesce(excluded.stage, stage), excluded.stage),
            progress = iif(status = excluded.status, progress, 0),
            started_at = iif(
              status IN ('downloading', 'processing'), started_at, excluded.started_at
            ),
            heartbeat_at = excluded.heartbeat_at,
            updated_at = excluded.updated_at,
            worker = coalesce(excluded.worker, worker)
        WHERE (
            status IN ('pending', 'queued')
            OR status = excluded.status
            OR (status = 'downloading' AND excluded.status = 'processing')
          )
          AND (excluded.worker IS NULL OR worker IS NULL OR worker = excluded.worker)
        RETURNING
          file_id, status, stage, progress, error_message, error_category, retry_count, max_retries,
          recovery_attempts, next_retry_at, started_at, heartbeat_at, completed_at, updated_at, worker
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
        RETURNING
          file_id, status, stage, progress, error_message, error_category, retry_count, max_retries,
          recovery_attempts, next_retry_at, started_at, heartbeat_at, completed_at, updated_at, worker
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
        RETURNING
          file_id, status, stage, progress, error_message, error_category, retry_count, max_retries,
          recovery_attempts, next_retry_at, started_at, heartbeat_at, completed_at, updated_at, worker
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
        RETURNING
          file_id, status, stage, progress, error_message, error_category, retry_count, max_retries,
          recovery_attempts, next_retry_at, started_at, heartbeat_at, completed_at, updated_at, worker
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
        RETURNING
          file_id, status, stage, progress, error_message, error_category, retry_count, max_retries,
          recovery_attempts, next_retry_at, started_at, heartbeat_at, completed_at, updated_at, worker
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
        RETURNING
          file_id, status, stage, progress, error_message, error_category, retry_count, max_retries,
          recovery_attempts, next_retry_at, started_at, heartbeat_at, completed_at, updated_at, worker
        """,
    )

    async def enqueue(self, file_id: UUID | str, *, max_retries: int = 3) -> FileProcessing:
        """Queues the file. max_retries: how often retry() may try again; 0 is no limit.

        A file that has ended (completed, error, cancelled, orphaned) begins anew, with its retries
        unused; one that retry() made pending keeps their number. RecordNotFoundError for an unknown
        file; InvalidTransitionError while it is being worked on.
        """
        step = self._enqueue.optional(file_id=file_id, max_retries=max_retries, now=self._now())
        return await self._moved(file_id, "be queued", step, missing="file")

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
        return await self._moved(file_id, "be started", step, missing="file")

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
        return await self._moved(file_id, "note progress", step)

    async def complete(self, file_id: UUID | str) -> FileProcessing:
        """Ends the work well. InvalidTransitionError unless the file is downloading or processing."""
        step = self._complete.optional(file_id=file_id, now=self._now())
        return await self._moved(file_id, "be completed", step)

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
        return await self._moved(file_id, "fail", step)

    async def request_cancel(self, file_id: UUID | str) -> FileProcessing:
        """Asks whoever works on the file to stop; it is cancelling until that one calls cancel().

        InvalidTransitionError for a file that has ended already.
        """
        step = self._request_cancel.optional(file_id=file_id, now=self._now())
        return await self._moved(file_id, "be cancelled", step)

    async def cancel(self, file_id: UUID | str) -> FileProcessing:
        """Ends the work, or the waiting for it, without a result.

        A file that is cancelled is returned as it is. InvalidTransitionError for one that has ended
        otherwise.
        """
        step = self._cancel.optional(file_id=file_id, now=self._now())
        return await self._moved(file_id, "be cancelled", step, already=FileStatus.CANCELLED)

    async def _moved(
        self,
        file_id: UUID | str,
        action: str,
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
        held = "" if found.worker is None else f" ({found.worker!r} works on it)"
        raise self._refused(action + held, file_id, found.status)
