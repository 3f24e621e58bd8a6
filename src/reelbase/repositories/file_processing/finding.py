"""Finding out how far files are, and which of them are stuck."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from reelbase.engine.ids import moment_before
from reelbase.engine.repository import Repository
from reelbase.engine.statements.statement import Query
from reelbase.repositories.file_processing.records import FileProcessing


class FileProcessingFinding(Repository):
    """How the status of files is read."""

    entity = "file processing"
    _repository = "FileProcessingRepository"

    _get = Query(
        FileProcessing,
        """
        SELECT
          file_id, status, stage, progress, error_message, error_category, retry_count, max_retries,
          recovery_attempts, next_retry_at, started_at, heartbeat_at, completed_at, updated_at, worker
        FROM file_processing
        WHERE file_id = :file_id
        """,
    )

    _stuck = Query(
        FileProcessing,
        """
        SELECT
          file_id, status, stage, progress, error_message, error_category, retry_count, max_retries,
          recovery_attempts, next_retry_at, started_at, heartbeat_at, completed_at, updated_at, worker
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
