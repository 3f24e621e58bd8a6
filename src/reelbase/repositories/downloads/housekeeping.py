"""Downloads: recovery after a restart, deletion by age and on demand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from reelbase.engine.ids import END_OF_TIME, moment_before
from reelbase.engine.repository import SLICE
from reelbase.engine.statements.statement import Command
from reelbase.repositories.downloads.queries import DownloadQueries
from reelbase.repositories.downloads.records import Download, PurgedDownload, PurgeReport
from reelbase.repositories.sessions import Deletions


class DownloadHousekeeping(DownloadQueries):
    """Recovery after a start, and deletion."""

    # A run without a lease was not counted when it began, so it is counted when it is queued again. The
    # first line of the WHERE is the condition of the index; the second leaves out queued downloads.
    _recover = Command(
        Download,
        """
        UPDATE downloads
        SET status = iif(
              attempts + iif(lease_expires_at IS NULL, 1, 0) < max_attempts, 'queued', 'failed'
            ),
            attempts = attempts + iif(
              lease_expires_at IS NULL AND attempts + 1 < max_attempts, 1, 0
            ),
            speed = NULL,
            eta = NULL,
            error_message = :error_message,
            completed_at = iif(
              attempts + iif(lease_expires_at IS NULL, 1, 0) < max_attempts, NULL, :now
            ),
            worker = NULL,
            lease_expires_at = NULL
        WHERE (status = 'queued' OR status = 'extracting' OR status = 'downloading')
          AND status <> 'queued'
          AND (lease_expires_at IS NULL OR lease_expires_at <= :now)
        """,
    )

    # INDEXED BY, because versions of SQLite differ in which of two partial indexes they take.
    _fail_queued = Command(
        Download,
        """
        UPDATE downloads INDEXED BY downloads_queue
        SET status = 'failed',
            error_message = :error_message,
            completed_at = :now
        WHERE status = 'queued'
        """,
    )

    _delete = Command(
        Download,
        """
        DELETE FROM downloads
        WHERE id = :id
        """,
    )

    _purge = Command(
        PurgedDownload,
        """
        DELETE FROM downloads
        WHERE id IN (
          SELECT id
          FROM downloads
          WHERE completed_at < :before
          LIMIT :slice
        )
        RETURNING *
        """,
        params={"before": datetime, "slice": int},
    )

    _purge_of_idle_sessions = Command(
        PurgedDownload,
        """
        DELETE FROM downloads
        WHERE id IN (
          SELECT downloads.id
          FROM (
            SELECT id
            FROM sessions
            WHERE last_seen < :before
              AND NOT EXISTS (
                SELECT 1
                FROM downloads AS active
                WHERE active.session_id = sessions.id
                  AND active.status IN ('queued', 'extracting', 'downloading')
              )
            LIMIT :slice
          ) AS idle
          CROSS JOIN downloads
          WHERE downloads.session_id = idle.id
          LIMIT :slice
        )
        RETURNING *
        """,
        params={"before": datetime, "slice": int},
    )

    _delete_empty_sessions = Command(
        Download,
        """
        DELETE FROM sessions
        WHERE id IN (
          SELECT id
          FROM sessions
          WHERE NOT EXISTS (SELECT 1 FROM downloads WHERE downloads.session_id = sessions.id)
          LIMIT :slice
        )
        """,
        params={"slice": int},
    )

    _delete_empty_idle_sessions = Command(
        Download,
        """
        DELETE FROM sessions
        WHERE id IN (
            SELECT id
            FROM sessions
            WHERE last_seen < :before
              AND NOT EXISTS (
                SELECT 1
                FROM downloads AS active
                WHERE active.session_id = sessions.id
                  AND active.status IN ('queued', 'extracting', 'downloading')
              )
            LIMIT :slice
          )
          AND NOT EXISTS (SELECT 1 FROM downloads WHERE downloads.session_id = sessions.id)
        """,
        params={"before": datetime, "slice": int},
    )

    async def recover(
        self, message: str = "interrupted by server restart", *, queued: bool = False
    ) -> int:
        """Queues or fails interrupted downloads, with message as their error; call it after a start.
        Returns how many it changed.

            extracting or downloading, lease expired or none, attempts left     queued again
            extracting or downloading, lease expired or none, no attempt left   failed
            extracting or downloading under a lease that has not expired        left alone: another
                                                                                process works on it
            queued                                                              stays queued

        Claims count as attempts of max_attempts, and so do interrupted runs without a lease. A download
        that start() or progress() began without a worker has no lease: processes that share a database
        should call claim() or start(worker=) for their downloads. Then each of them may call recover()
        at any time.  queued: also fails queued downloads, for an application that had its queue in memory and
        has lost it.
        """
        now = self._now()
        recover = self._recover.count(error_message=message, now=now)
        if not queued:
            return await self._run(recover)
        failed, recovered = await self._batch(
            self._fail_queued.count(error_message=message, now=now), recover
        )
        return failed + recovered

    async def delete(self, download_id: UUID | str, *, missing_ok: bool = False) -> bool:
        """Deletes the row, not the bytes.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=download_id))
        return self._deleted(count, download_id, missing_ok=missing_ok)

    async def purge(self, older_than: timedelta | None) -> PurgeReport:
        """Deletes downloads that ended longer ago than this, and reports the files to unlink.

        None: every finished download, and the sessions that are then without downloads.

        Waiting writers get their turn meanwhile: every few hundred downloads are a transaction of their own.
        If this is cancelled or fails, a part of them is deleted, and not reported; call it in a unit of work
        to have all or nothing.
        """
        # Every finished download ended before the end of time.
        before = (
            END_OF_TIME
            if older_than is None
            else moment_before(self._now(), "older_than", older_than)
        )
        purge = self._purge.all(before=before, slice=SLICE)
        deleted = [download async for (purged,) in self._slices(purge) for download in purged]
        if older_than is not None:
            return await self._report(deleted, 0)
        empty = self._delete_empty_sessions.count(slice=SLICE)
        try:
            sessions = sum([count async for (count,) in self._slices(empty)])
        finally:
            Deletions.happened()
        return await self._report(deleted, sessions)

    async def purge_idle(self, older_than: timedelta) -> PurgeReport:
        """Deletes the sessions last seen longer ago than this, and reports the files to unlink.

        A session with an active download is kept, and so are its finished downloads. Waiting writers get
        their turn meanwhile, and a failure leaves a part deleted, as of purge().
        """
        bounds: dict[str, Any] = {
            "before": moment_before(self._now(), "older_than", older_than),
            "slice": SLICE,
        }
        deleted: list[PurgedDownload] = []
        sessions = 0
        try:
            async for purged, emptied in self._slices(
                self._purge_of_idle_sessions.all(**bounds),
                self._delete_empty_idle_sessions.count(**bounds),
            ):
                deleted += purged
                sessions += emptied
        finally:
            Deletions.happened()
        return await self._report(deleted, sessions)

    async def _report(self, deleted: list[PurgedDownload], sessions_deleted: int) -> PurgeReport:
        # RETURNING has no order of its own; ids sort by the time of their creation.
        return PurgeReport(
            deleted=sorted(deleted, key=lambda purged: purged.id),
            active_skipped=await self._run(self._count_active.one()),
            sessions_deleted=sessions_deleted,
        )
