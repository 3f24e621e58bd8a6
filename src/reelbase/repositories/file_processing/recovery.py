"""Trying again: what failed, and what its worker left behind."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from reelbase.engine.ids import moment_before
from reelbase.engine.statements.statement import Command
from reelbase.repositories.file_processing.moving import FileProcessingMoving
from reelbase.repositories.file_processing.records import FileProcessing


class FileProcessingRecovery(FileProcessingMoving):
    """Retries, and recovery of what is stuck."""

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
        RETURNING
          file_id, status, stage, progress, error_message, error_category, retry_count, max_retries,
          recovery_attempts, next_retry_at, started_at, heartbeat_at, completed_at, updated_at, worker
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
        RETURNING
          file_id, status, stage, progress, error_message, error_category, retry_count, max_retries,
          recovery_attempts, next_retry_at, started_at, heartbeat_at, completed_at, updated_at, worker
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
            retry_count = retry_count + (
              status IN ('downloading', 'processing')
              AND (max_retries = 0 OR retry_count < max_retries)
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
        RETURNING
          file_id, status, stage, progress, error_message, error_category, retry_count, max_retries,
          recovery_attempts, next_retry_at, started_at, heartbeat_at, completed_at, updated_at, worker
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
