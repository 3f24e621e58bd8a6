"""Workers: claiming a download, renewing its lease, and releasing it."""

from __future__ import annotations

from uuid import UUID

from reelbase.engine.ids import moment_after
from reelbase.engine.statements.statement import Command
from reelbase.repositories.downloads.queries import DownloadQueries
from reelbase.repositories.downloads.records import Download, DownloadStatus


class DownloadLeases(DownloadQueries):
    """How workers claim downloads, renew their leases and release them."""

    _fail_exhausted = Command(
        Download,
        """
        UPDATE downloads
        SET status = 'failed',
            speed = NULL,
            eta = NULL,
            error_message = 'the lease expired at the last attempt',
            completed_at = :now,
            worker = NULL,
            lease_expires_at = NULL
        WHERE worker IS NOT NULL
          AND lease_expires_at <= :now
          AND attempts >= max_attempts
        """,
    )

    # Each arm finds its best candidate through an index.
    _claim = Command(
        Download,
        """
        UPDATE downloads
        SET status = :status,
            speed = NULL,
            eta = NULL,
            attempts = attempts + 1,
            worker = :worker,
            lease_expires_at = :lease_expires_at,
            started_at = coalesce(started_at, :now)
        WHERE id = (
          SELECT id
          FROM (
            SELECT *
            FROM (
              SELECT id, priority, created_at
              FROM downloads
              WHERE status = 'queued'
              ORDER BY priority DESC, created_at, id
              LIMIT 1
            ) AS queued
            UNION ALL
            SELECT *
            FROM (
              SELECT id, priority, created_at
              FROM downloads
              WHERE worker IS NOT NULL
                AND lease_expires_at <= :now
                AND attempts < max_attempts
              ORDER BY priority DESC, created_at, id
              LIMIT 1
            ) AS expired
          ) AS due
          ORDER BY priority DESC, created_at, id
          LIMIT 1
        )
        RETURNING *
        """,
    )

    _heartbeat = Command(
        Download,
        """
        UPDATE downloads
        SET lease_expires_at = :lease_expires_at
        WHERE id = :id
          AND worker = :worker
          AND (:attempt IS NULL OR attempts = :attempt)
        RETURNING *
        """,
        params={"attempt": int | None},
        relaxed=True,
    )

    _release = Command(
        Download,
        """
        UPDATE downloads
        SET status = 'queued',
            speed = NULL,
            eta = NULL,
            attempts = attempts - 1,
            worker = NULL,
            lease_expires_at = NULL
        WHERE id = :id
          AND worker = :worker
          AND (:attempt IS NULL OR attempts = :attempt)
        RETURNING *
        """,
        params={"attempt": int | None},
    )

    async def claim(
        self, worker: str, *, extracting: bool = False, lease: float = 60.0
    ) -> Download | None:
        """Claims the next download (highest priority, then oldest) for this worker.

        A download with an expired lease is claimed again while it has attempts left, and fails otherwise. No
        two workers, tasks or processes get the same download.

        Args:
            worker: the name of the worker.
            extracting: the new status is extracting; False: downloading.
            lease: seconds until another worker may claim it, unless progress() or heartbeat() renews it.

        Returns:
            The download; None when no download is waiting.
        """
        now = self._now()
        _, download = await self._batch(
            self._fail_exhausted.count(now=now),
            self._claim.optional(
                status=DownloadStatus.EXTRACTING if extracting else DownloadStatus.DOWNLOADING,
                worker=worker,
                lease_expires_at=moment_after(now, "lease", lease),
                now=now,
            ),
        )
        return download

    async def heartbeat(
        self,
        download_id: UUID | str,
        worker: str,
        *,
        lease: float = 60.0,
        attempt: int | None = None,
    ) -> Download:
        """Renews the lease: for work that has no progress to report.

        A heartbeat does not wait for the disk; a power cut may undo the last ones.

        Args:
            download_id: the download.
            worker: the worker that holds it.
            lease: seconds from now.
            attempt: as in complete().

        Returns:
            The download.

        Raises:
            InvalidTransitionError: this worker does not hold the download (any more), and should stop
                working on it.
            RecordNotFoundError: there is no such download.
        """
        step = self._heartbeat.optional(
            id=download_id,
            worker=worker,
            lease_expires_at=moment_after(self._now(), "lease", lease),
            attempt=attempt,
        )
        return await self._moved("renew its lease", download_id, step, self._get)

    async def release(
        self, download_id: UUID | str, worker: str, *, attempt: int | None = None
    ) -> Download:
        """Puts the download back into the queue, for a worker that stops.

        It uses up no attempt: the next claim() has the same number.

        Args:
            download_id: the download.
            worker: the worker that holds it.
            attempt: as in complete().

        Returns:
            The download, queued.

        Raises:
            InvalidTransitionError: this worker does not hold the download.
            RecordNotFoundError: there is no such download.
        """
        step = self._release.optional(
            id=download_id,
            worker=worker,
            attempt=attempt,
        )
        return await self._moved("be released", download_id, step, self._get)
