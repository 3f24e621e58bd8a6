"""Downloads: recovery after a restart, deletion by age and on demand."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from reelbase.engine.ids import moment_before
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
        WHERE completed_at < :before
        RETURNING *
        """,
        params={"before": datetime},
    )

    _purge_all = Command(
        PurgedDownload,
        """
        DELETE FROM downloads
        WHERE completed_at IS NOT NULL
        RETURNING *
        """,
    )

    _purge_of_idle_sessions = Command(
        PurgedDownload,
        """
        DELETE FROM downloads
        WHERE completed_at IS NOT NULL
          AND session_id IN (
            SELECT sessions.id
            FROM sessions
            WHERE sessions.last_seen < :before
              AND NOT EXISTS (
                SELECT 1
                FROM downloads AS active
                WHERE active.session_id = sessions.id
                  AND active.status IN ('queued', 'extracting', 'downloading')
              )
          )
        RETURNING *
        """,
        params={"before": datetime},
    )

    _delete_empty_sessions = Command(
        Download,
        """
        DELETE FROM sessions
        WHERE NOT EXISTS (
          SELECT 1
          FROM downloads
          WHERE downloads.session_id = sessions.id
        )
        """,
    )

    _delete_empty_idle_sessions = Command(
        Download,
        """
        DELETE FROM sessions
        WHERE last_seen < :before
          AND NOT EXISTS (
            SELECT 1
            FROM downloads
            WHERE downloads.session_id = sessions.id
          )
        """,
        params={"before": datetime},
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
        at any time.  queued: also fails queued downloads, for an application whose queue was in memory
        and is lost.
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
        """
        if older_than is None:
            try:
                deleted, skipped, sessions = await self._batch(
                    self._purge_all.all(),
                    self._count_active.one(),
                    self._delete_empty_sessions.count(),
                )
            finally:
                Deletions.happened()
            return _report(deleted, skipped, sessions)
        deleted, skipped = await self._batch(
            self._purge.all(before=moment_before(self._now(), older_than)), self._count_active.one()
        )
        return _report(deleted, skipped, 0)

    async def purge_idle(self, older_than: timedelta) -> PurgeReport:
        """Deletes the sessions last seen longer ago than this, and reports the files to unlink.

        A session with an active download is kept, and so are its finished downloads.
        """
        before = moment_before(self._now(), older_than)
        try:
            deleted, skipped, sessions = await self._batch(
                self._purge_of_idle_sessions.all(before=before),
                self._count_active.one(),
                self._delete_empty_idle_sessions.count(before=before),
            )
        finally:
            Deletions.happened()
        return _report(deleted, skipped, sessions)


def _report(
    deleted: list[PurgedDownload], active_skipped: int, sessions_deleted: int
) -> PurgeReport:
    # RETURNING has no order of its own; ids sort by the time of their creation.
    return PurgeReport(
        deleted=sorted(deleted, key=lambda purged: purged.id),
        active_skipped=active_skipped,
        sessions_deleted=sessions_deleted,
    )
