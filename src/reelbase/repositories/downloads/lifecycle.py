"""The lifecycle of a download, from the queue to the end."""

from __future__ import annotations

import math
from uuid import UUID

from msgspec import UNSET, UnsetType

from reelbase.engine.ids import moment_after
from reelbase.engine.statements.parameters import clamped
from reelbase.engine.statements.statement import Command
from reelbase.repositories.downloads.queries import DownloadQueries
from reelbase.repositories.downloads.records import Download, DownloadStatus


class DownloadLifecycle(DownloadQueries):
    """How a download moves from status to status."""

    _start = Command(
        Download,
        """
        UPDATE downloads
        SET status = :status,
            attempts = attempts + iif(:worker IS NOT NULL AND worker IS NULL, 1, 0),
            worker = coalesce(:worker, worker),
            lease_expires_at = coalesce(:lease_expires_at, lease_expires_at),
            started_at = coalesce(started_at, :now)
        WHERE id = :id
          AND (
            status = 'queued'
            OR status = :status
            OR (status = 'extracting' AND :status = 'downloading')
          )
          AND (:worker IS NULL OR worker IS NULL OR worker = :worker)
        RETURNING *
        """,
    )

    # The hot path: called for every chunk that arrives. The trigger downloads_progress sets the status to
    # downloading: a status named here would be rewritten in two indexes, changed or not.
    _progress = Command(
        Download,
        """
        UPDATE downloads
        SET progress_percent = :progress_percent,
            speed = :speed,
            eta = :eta,
            filename = iif(:set_filename, :filename, filename),
            filesize = iif(:set_filesize, :filesize, filesize),
            started_at = coalesce(started_at, :now),
            lease_expires_at = iif(
              lease_expires_at < :lease_expires_at, :lease_expires_at, lease_expires_at
            )
        WHERE id = :id
          AND completed_at IS NULL
          AND (:worker IS NULL OR worker = :worker)
          AND (:attempt IS NULL OR attempts = :attempt)
        """,
        params={"attempt": int | None},
        relaxed=True,
    )

    _complete = Command(
        Download,
        """
        UPDATE downloads
        SET status = 'completed',
            progress_percent = 100,
            speed = NULL,
            eta = NULL,
            filename = iif(:set_filename, :filename, filename),
            filesize = iif(:set_filesize, :filesize, filesize),
            error_message = NULL,
            started_at = coalesce(started_at, :now),
            completed_at = :now,
            worker = NULL,
            lease_expires_at = NULL
        WHERE id = :id
          AND completed_at IS NULL
          AND (:worker IS NULL OR worker = :worker)
          AND (:attempt IS NULL OR attempts = :attempt)
        RETURNING *
        """,
        params={"attempt": int | None},
    )

    _fail = Command(
        Download,
        """
        UPDATE downloads
        SET status = 'failed',
            speed = NULL,
            eta = NULL,
            error_message = :error_message,
            completed_at = :now,
            worker = NULL,
            lease_expires_at = NULL
        WHERE id = :id
          AND completed_at IS NULL
          AND (:worker IS NULL OR worker = :worker)
          AND (:attempt IS NULL OR attempts = :attempt)
        RETURNING *
        """,
        params={"attempt": int | None},
    )

    _cancel = Command(
        Download,
        """
        UPDATE downloads
        SET status = 'cancelled',
            speed = NULL,
            eta = NULL,
            completed_at = :now,
            worker = NULL,
            lease_expires_at = NULL
        WHERE id = :id
          AND completed_at IS NULL
        RETURNING *
        """,
    )

    # Runs right after the statement that cancels the playlist: changes() tells whether it did.
    _cancel_entries = Command(
        Download,
        """
        UPDATE downloads
        SET status = 'cancelled',
            speed = NULL,
            eta = NULL,
            completed_at = :now,
            worker = NULL,
            lease_expires_at = NULL
        WHERE parent_id = :id
          AND completed_at IS NULL
          AND changes() > 0
        """,
    )

    _retry = Command(
        Download,
        """
        UPDATE downloads
        SET status = 'queued',
            progress_percent = 0,
            error_message = NULL,
            started_at = NULL,
            completed_at = NULL
        WHERE id = :id
          AND (status = 'failed' OR status = 'cancelled')
        RETURNING *
        """,
    )

    async def start(
        self,
        download_id: UUID | str,
        *,
        extracting: bool = False,
        worker: str | None = None,
        lease: float = 60.0,
    ) -> Download:
        """Moves a queued download to extracting, or a queued or extracting one to downloading.

        A download that has the new status already is returned as it is, with its lease renewed.

        Args:
            download_id: the download.
            extracting: the new status is extracting; False: downloading.
            worker: claims the download for this worker: while the worker reports within the lease,
                recover() skips the download, and no other worker can claim it. None: without a lease; the
                first recover() of any process treats the download as interrupted.
            lease: seconds from now.

        Returns:
            The download.

        Raises:
            InvalidTransitionError: the download has any other status, or another worker holds it.
            RecordNotFoundError: there is no such download.
        """
        now = self._now()
        lease_expires_at = moment_after(now, "lease", lease)
        status = DownloadStatus.EXTRACTING if extracting else DownloadStatus.DOWNLOADING
        step = self._start.optional(
            id=download_id,
            status=status,
            worker=worker,
            lease_expires_at=None if worker is None else lease_expires_at,
            now=now,
        )
        return await self._moved("start", download_id, step, self._get)

    async def progress(
        self,
        download_id: UUID | str,
        percent: float,
        *,
        speed: str | None = None,
        eta: str | None = None,
        filename: str | UnsetType | None = UNSET,
        filesize: float | UnsetType | None = UNSET,
        worker: str | None = None,
        attempt: int | None = None,
        lease: float = 60.0,
    ) -> bool:
        """Stores the progress, and renews the lease of the worker that holds the download.

        A queued download becomes downloading. The write does not wait for the disk.

        Args:
            download_id: the download.
            percent: 0 to 100; a number outside is cut.
            speed: the new speed, in the downloader's words; None clears it.
            eta: the new time to go, in the downloader's words; None clears it.
            filename: the file; None clears it, UNSET leaves it.
            filesize: bytes; an estimate with a fraction is rounded; None clears it, UNSET leaves it.
            worker: only if this worker holds the download; None: no such check.
            attempt: only if this attempt is running, by the ``attempts`` of the download that claim()
                returned; None: no such check.
            lease: the lease lasts at least this many seconds from now, if a worker holds the download.

        Returns:
            False, with no change, when there is no such download, when it has finished, or when a check
            fails: then stop working on it.
        """
        if isinstance(filesize, float) and math.isfinite(filesize):
            filesize = round(filesize)
        now = self._now()
        parameters = self._progress.changes(
            {"filename": filename, "filesize": filesize},
            id=download_id,
            progress_percent=clamped(percent, 0.0, 100.0),
            speed=speed,
            eta=eta,
            worker=worker,
            attempt=attempt,
            lease_expires_at=moment_after(now, "lease", lease),
            now=now,
        )
        return await self._run(self._progress.count(**parameters)) > 0

    async def complete(
        self,
        download_id: UUID | str,
        *,
        filename: str | UnsetType | None = UNSET,
        filesize: int | UnsetType | None = UNSET,
        worker: str | None = None,
        attempt: int | None = None,
    ) -> Download:
        """Completes the download: progress 100, no speed, no eta.

        Args:
            download_id: the download.
            filename: the file; None clears it, UNSET leaves it.
            filesize: bytes; None clears it, UNSET leaves it.
            worker: only if this worker holds the download; None: no such check.
            attempt: only if this attempt is still running; None: no such check. With the ``attempts`` of
                the download that claim() returned, a worker that has lost its lease cannot complete the
                work of another worker, even one of the same name.

        Returns:
            The download.

        Raises:
            InvalidTransitionError: a check failed, or the download has finished before: a late end cannot
                undo a cancel.
            RecordNotFoundError: there is no such download.
        """
        parameters = self._complete.changes(
            {"filename": filename, "filesize": filesize},
            id=download_id,
            worker=worker,
            attempt=attempt,
            now=self._now(),
        )
        return await self._moved(
            "complete", download_id, self._complete.optional(**parameters), self._get
        )

    async def fail(
        self,
        download_id: UUID | str,
        error_message: str,
        *,
        worker: str | None = None,
        attempt: int | None = None,
    ) -> Download:
        """Ends the download as failed; retry() queues it again.

        Args:
            download_id: the download.
            error_message: the reason.
            worker: as in complete().
            attempt: as in complete().

        Returns:
            The download.

        Raises:
            InvalidTransitionError: a check failed, or the download has finished before.
            RecordNotFoundError: there is no such download.
        """
        step = self._fail.optional(
            id=download_id,
            error_message=error_message,
            worker=worker,
            attempt=attempt,
            now=self._now(),
        )
        return await self._moved("fail", download_id, step, self._get)

    async def cancel(self, download_id: UUID | str) -> Download:
        """Cancels the download, also under a worker's lease, and the active entries of a playlist.

        A cancelled download is returned as it is. InvalidTransitionError for a completed or failed one.
        """
        now = self._now()
        download, _ = await self._batch(
            self._cancel.optional(id=download_id, now=now),
            self._cancel_entries.count(id=download_id, now=now),
        )
        if download is None:
            download = await self._run(self._get.one(id=download_id))
            if download.status != DownloadStatus.CANCELLED:
                raise self._refused("be cancelled", download_id, download.status)
        return download

    async def retry(self, download_id: UUID | str) -> Download:
        """Queues a failed or cancelled download again; the entries of a playlist are retried one by one.

        Its error, progress and times are cleared; its attempts, filename and filesize stay.
        InvalidTransitionError for any other status.
        """
        return await self._moved(
            "be retried", download_id, self._retry.optional(id=download_id), self._get
        )
