"""What happens to a download, from the queue to the end."""

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

    # The hot path: called for every chunk that arrives. The trigger downloads_progress makes it
    # downloading: a status named here would be written into two indexes anew, changed or not.
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

    # Runs behind what cancels the playlist: changes() is whether it did.
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

        worker: takes it for this worker, as claim() does with the next one in the queue: while it
        reports within the lease (seconds), recover() leaves it alone, and no other worker can take it.
        None: without a lease; the first recover() of any process takes it for interrupted.
        What is in this state already is returned as it is; its lease is renewed.

        InvalidTransitionError from any other status, and when another worker holds it.
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
        """Notes progress (cut to 0 to 100); False when there is no such download or it has finished.

        speed and eta become what is passed, None included; filename and filesize (bytes; an estimate
        with a fraction is rounded) stay when UNSET. A
        download that was queued is downloading from now on. It does not wait for the disk.

        It is a heartbeat, too: where a worker holds the download, its lease lasts for at least this
        many seconds from now.  worker, attempt: False, and nothing noted, unless this worker holds it
        and this is the attempt that is running (the ``attempts`` of what claim() has returned): stop
        working on it. None: no such check.
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
        """Finishes the download: progress 100, no speed, no eta.

        worker: refuses unless this worker holds it.  attempt: refuses unless this is still the attempt
        that is running; pass the ``attempts`` of what claim() has returned, and a worker that lost its
        lease cannot finish what another one, even of the same name, works on. None: no such check.

        InvalidTransitionError when a check refuses, or it has finished before: a late end cannot undo
        a cancel.
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

        worker, attempt: as for complete(). InvalidTransitionError when they refuse, or it has finished
        before.
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
        """Ends the download as cancelled, also under a worker's lease; of a playlist also its active entries.

        One that is cancelled already is returned as it is. InvalidTransitionError when it has finished
        otherwise.
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

        Its error, progress and times are cleared; attempts stay, and so does what is known of the file.
        InvalidTransitionError from any other status.
        """
        return await self._moved(
            "be retried", download_id, self._retry.optional(id=download_id), self._get
        )
