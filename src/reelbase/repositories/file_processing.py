"""File processing: the status of each file, its failures and its retries.

The tables give the new state for each verb and each state. download is start(downloading=True), request is
request_cancel(), and recover is recover_stuck() for a file without a sign of life from its worker. retry and
recover are shown for a file with retries left; without one, retry is refused, and recover makes a file that
was being processed orphaned. A dash means InvalidTransitionError; for recover it means that it skips the
file.

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
from typing import Any, Literal
from uuid import UUID

from msgspec import UNSET, UnsetType

from reelbase.engine.file_names import Message
from reelbase.engine.ids import moment_after, moment_before
from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.parameters import clamped
from reelbase.engine.statements.statement import Command, Query
from reelbase.engine.statements.step import Step


class FileStatus(StrEnum):
    """pending -> queued -> downloading, processing -> completed or error; cancelling -> cancelled.

    orphaned: it was stuck and has no retry left. retry() leads from error, cancelled and orphaned to pending.
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


# The type of a parameter: a member, or its text.
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


class FileProcessing(Record, frozen=True):
    """A file's status. progress: 0 to 1.  max_retries: 0 is no limit.  heartbeat_at: the worker's last
    sign of life.  recovery_attempts: how often recover_stuck() has reset it.  worker: the
    worker that was passed to start(), or None.  options: of enqueue(), for processing the file; they stay
    until another enqueue() replaces them.
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
    options: dict[str, Any] | None = None


class FileProcessingRepository(Repository):
    """The processing status of files, table ``file_processing``: a row per file at most, created when the
    file is first queued or started. The docstring of the module shows the statuses.
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
        LIMIT :limit OFFSET :offset
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

    async def stuck(
        self, older_than: timedelta, *, limit: int | None = None, offset: int = 0
    ) -> list[FileProcessing]:
        """The files without a live worker, the longest unchanged first.

        These are files that are downloading, processing or cancelling, with a last heartbeat that is older
        than this, or missing; and pending and queued files that did not change for this time.

        Args:
            older_than: how long a worker may be silent.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The files; [] when there are none.
        """
        before = moment_before(self._now(), "older_than", older_than)
        return await self._run(self._stuck.all(before=before, limit=limit, offset=offset))

    async def counts_by_status(self, profile_id: str | None = None) -> dict[str, int]:
        """How many files have each status that occurs. profile_id: only the profile's files; None: all."""
        if profile_id is None:
            return dict(await self._run(self._counts.all()))
        return dict(await self._run(self._counts_of_profile.all(profile_id=profile_id)))

    _enqueue = Command(
        FileProcessing,
        """
        INSERT INTO file_processing (file_id, status, max_retries, updated_at, options)
        SELECT id, 'queued', :max_retries, :now, :options
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
            updated_at = excluded.updated_at,
            options = iif(:set_options, excluded.options, file_processing.options)
        WHERE file_processing.status NOT IN ('downloading', 'processing', 'cancelling')
        RETURNING *
        """,
        params={"set_options": bool},
    )

    # A file that is started again goes on: the same worker may call start() at every step.
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

    async def enqueue(
        self,
        file_id: UUID | str,
        *,
        max_retries: int = 3,
        options: dict[str, Any] | UnsetType | None = UNSET,
    ) -> FileProcessing:
        """Queues the file.

        A file that has ended (completed, error, cancelled, orphaned) starts over, with all its retries; a
        file that retry() made pending keeps its retry_count.

        Args:
            file_id: the file.
            max_retries: how often retry() may try again; 0 is no limit.
            options: for processing the file (a model, a number of speakers). They are stored with its status
                and are there in every retry. UNSET keeps the options that the file was queued with before, so
                that it is processed once more as it was; None clears them.

        Returns:
            The file's status.

        Raises:
            RecordNotFoundError: the file is unknown.
            InvalidTransitionError: the file is downloading, processing or cancelling.
        """
        step = self._enqueue.optional(
            file_id=file_id,
            max_retries=max_retries,
            options=None if options is UNSET else options,
            set_options=options is not UNSET,
            now=self._now(),
        )
        return await self._changed("be queued", file_id, step, missing="file")

    async def start(
        self,
        file_id: UUID | str,
        *,
        stage: str | None = None,
        downloading: bool = False,
        worker: str | None = None,
    ) -> FileProcessing:
        """Starts the work on the file: its status becomes processing or downloading.

        For a file that has this status already the call is a heartbeat: its progress stays, and so does
        its stage unless one is passed.

        Args:
            file_id: the file.
            stage: the application's own word for the current step; None leaves it.
            downloading: the new status is downloading, which comes before processing.
            worker: the name of the worker. Of several workers one succeeds, and may start the file again;
                all further ones get InvalidTransitionError. None: every caller succeeds; pass a worker if
                two could start the same file.

        Returns:
            The file's status.

        Raises:
            InvalidTransitionError: another worker holds the file, or it has ended or is cancelling.
            RecordNotFoundError: the file is unknown.
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
        """Stores the progress, as a heartbeat of the worker. It does not wait for the disk.

        Args:
            file_id: the file.
            progress: 0 to 1; a number outside is cut.
            stage: the application's own word for the current step; None leaves it.

        Returns:
            The file's status.

        Raises:
            InvalidTransitionError: the file is not downloading or processing, so the worker should stop;
                ``details["status"]`` tells why.
            RecordNotFoundError: the file was never queued or started.
        """
        step = self._progress.optional(
            file_id=file_id,
            progress=clamped(progress, 0.0, 1.0),
            stage=stage,
            now=self._now(),
        )
        return await self._changed("note progress", file_id, step)

    async def complete(self, file_id: UUID | str) -> FileProcessing:
        """Ends the work with success. InvalidTransitionError unless the file is downloading or processing."""
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
        """Ends the work on a file, or its wait in the queue, with an error.

        Args:
            file_id: the file.
            message: the reason.
            category: the application's own word for the kind of error, or None.
            retry_in: seconds until retry_due() makes it pending; None: only retry() does.

        Returns:
            The file's status.

        Raises:
            InvalidTransitionError: the file has ended already.
            RecordNotFoundError: the file was never queued or started.
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
        """Asks the worker of the file to stop; the file is cancelling until the worker calls cancel().

        InvalidTransitionError for a file that has ended already.
        """
        step = self._request_cancel.optional(file_id=file_id, now=self._now())
        return await self._changed("be cancelled", file_id, step)

    async def cancel(self, file_id: UUID | str) -> FileProcessing:
        """Ends the work on a file, or its wait in the queue, as cancelled.

        A cancelled file is returned as it is. InvalidTransitionError for completed, error and orphaned.
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
        """The status that the step changed, or the reason why it changed none.

        missing: the record that a RecordNotFoundError names when the file has no status; None: the status
        itself.  already: the status in which the step has nothing to do, and the file is returned.
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

    # A file that was being processed uses up a retry; otherwise a file that crashes its worker would be
    # retried for ever. A waiting file uses none. A file in `cancelling` becomes `cancelled`.
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
        """Makes a file in error, cancelled or orphaned pending again, and counts a retry.

        InvalidTransitionError for any other status, and once retry_count has reached max_retries;
        enqueue() then starts over.
        """
        retried = await self._run(self._retry.optional(file_id=file_id, now=self._now()))
        if retried is not None:
            return retried
        found = await self._run(self._get.one(file_id=file_id))
        used = f"be retried, with {found.retry_count} of {found.max_retries or 'any'} retries used"
        raise self._refused(used, file_id, found.status)

    async def retry_due(self) -> list[FileProcessing]:
        """Makes the files that are due by next_retry_at pending again, as retry() does, and returns them by
        file id.

        Each file is returned to one caller only. Files without retries left stay as they are.
        """
        return self._by_file(await self._run(self._retry_due.all(now=self._now())))

    async def recover_stuck(self, older_than: timedelta) -> list[FileProcessing]:
        """Resets the files that stuck() finds, and returns them by file id.

        They become pending, which uses up a retry of a file that was being processed, or orphaned if it
        has none left; a cancelling file becomes cancelled.
        """
        now = self._now()
        step = self._recover_stuck.all(before=moment_before(now, "older_than", older_than), now=now)
        return self._by_file(await self._run(step))

    @staticmethod
    def _by_file(changed: list[FileProcessing]) -> list[FileProcessing]:
        """Sorts the rows of an UPDATE by file id: RETURNING gives them in no order."""
        return sorted(changed, key=lambda processing: processing.file_id)
