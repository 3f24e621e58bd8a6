"""The lifecycle of a generation, from the prompt to the end."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from reelbase.engine.ids import moment_after
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.statement import Command
from reelbase.repositories.generations.queries import GenerationQueries
from reelbase.repositories.generations.records import (
    Generation,
    GenerationStatus,
    GenerationStatusLike,
)


class GenerationLifecycle(GenerationQueries):
    """How a generation is made and moves from status to status."""

    _mark_processing = Command(
        Generation,
        """
        UPDATE generations
        SET status = 'processing',
            error_message = coalesce(:error_message, error_message),
            attempts = attempts + iif(:worker IS NOT NULL AND worker IS NULL, 1, 0),
            worker = coalesce(:worker, worker),
            lease_expires_at = coalesce(:lease_expires_at, lease_expires_at)
        WHERE id = :id
          AND status IN ('pending', 'processing')
          AND (:worker IS NULL OR worker IS NULL OR worker = :worker)
        RETURNING *
        """,
    )

    _end = Command(
        Generation,
        """
        UPDATE generations
        SET status = :status,
            error_message = coalesce(:error_message, error_message),
            completed_at = :now,
            worker = NULL,
            lease_expires_at = NULL
        WHERE id = :id
          AND status IN ('pending', 'processing')
          AND :status IN ('completed', 'failed', 'cancelled')
          AND (:worker IS NULL OR worker = :worker)
          AND (:attempt IS NULL OR attempts = :attempt)
        RETURNING *
        """,
        params={"attempt": int | None},
    )

    _complete = Command(
        Generation,
        """
        UPDATE generations
        SET status = 'completed',
            completed_at = :now,
            generation_time_seconds = :generation_time_seconds,
            file_size_bytes = coalesce(:file_size_bytes, file_size_bytes),
            error_message = NULL,
            metadata = merged(metadata, :metadata),
            worker = NULL,
            lease_expires_at = NULL
        WHERE id = :id
          AND status IN ('pending', 'processing')
          AND (:worker IS NULL OR worker = :worker)
          AND (:attempt IS NULL OR attempts = :attempt)
        RETURNING *
        """,
        params={"attempt": int | None},
    )

    _retry = Command(
        Generation,
        """
        UPDATE generations
        SET status = 'pending',
            error_message = NULL,
            completed_at = NULL
        WHERE id = :id
          AND status IN ('failed', 'cancelled')
        RETURNING *
        """,
    )

    _set_metadata = Command(
        Generation,
        """
        UPDATE generations
        SET metadata = :metadata
        WHERE id = :id
        RETURNING *
        """,
    )

    async def mark_processing(
        self, generation_id: UUID | str, *, worker: str | None = None, lease: float = 60.0
    ) -> Generation:
        """Moves a pending generation to processing.

        A generation that is processing already is returned as it is, with its lease renewed.

        Args:
            generation_id: the generation.
            worker: claims it for this worker: until the lease ends, recover() skips the generation, and no
                other worker can claim it. None: without a lease; the first recover() of any process treats
                it as interrupted.
            lease: seconds from now.

        Returns:
            The generation.

        Raises:
            InvalidTransitionError: the generation has any other status, or another worker holds it.
            RecordNotFoundError: there is no such generation.
        """
        return await self._processing(generation_id, worker=worker, lease=lease)

    async def complete(
        self,
        generation_id: UUID | str,
        generation_time: float,
        file_size_bytes: int | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        worker: str | None = None,
        attempt: int | None = None,
    ) -> Generation:
        """Ends the generation as completed.

        Args:
            generation_id: the generation.
            generation_time: how long it took, in seconds.
            file_size_bytes: the size of the audio file; None leaves the stored one.
            metadata: merged into the stored metadata, key by key; None changes nothing.
            worker: only if this worker holds the generation; None: no such check.
            attempt: only if this attempt is still running; None: no such check. With the ``attempts`` of
                the generation that claim() returned, a worker that has lost its lease cannot end the work
                of another worker, even one of the same name.

        Returns:
            The generation.

        Raises:
            InvalidTransitionError: a check failed, or the generation has ended before.
            RecordNotFoundError: there is no such generation.
        """
        step = self._complete.optional(
            id=generation_id,
            generation_time_seconds=generation_time,
            file_size_bytes=file_size_bytes,
            metadata={} if metadata is None else metadata,
            worker=worker,
            attempt=attempt,
            now=self._now(),
        )
        return await self._moved("become completed", generation_id, step, self._get)

    async def fail(
        self,
        generation_id: UUID | str,
        error_message: str,
        *,
        worker: str | None = None,
        attempt: int | None = None,
    ) -> Generation:
        """Ends the generation as failed; retry() makes it pending again.

        Args:
            generation_id: the generation.
            error_message: the reason.
            worker: as in complete().
            attempt: as in complete().

        Returns:
            The generation.

        Raises:
            InvalidTransitionError: a check failed, or the generation has ended before.
            RecordNotFoundError: there is no such generation.
        """
        return await self._ended(
            generation_id, GenerationStatus.FAILED, error_message, worker=worker, attempt=attempt
        )

    async def cancel(self, generation_id: UUID | str) -> Generation:
        """Ends the generation as cancelled, also under a worker's lease.

        A cancelled generation is returned as it is. InvalidTransitionError for a completed or failed one.
        """
        return await self._ended(generation_id, GenerationStatus.CANCELLED)

    async def retry(self, generation_id: UUID | str) -> Generation:
        """Makes a failed or cancelled generation pending again: its error and completed_at are cleared, its
        attempts stay.

        InvalidTransitionError for any other status.
        """
        return await self._moved(
            "be retried", generation_id, self._retry.optional(id=generation_id), self._get
        )

    async def update_status(
        self,
        generation_id: UUID | str,
        status: GenerationStatusLike,
        error_message: str | None = None,
    ) -> Generation:
        """Moves the generation to a status. retry() leads back to pending.

        Args:
            generation_id: the generation.
            status: from pending every status but pending is allowed; from processing only completed,
                failed and cancelled. processing and cancelled may be set again.
            error_message: the reason; None leaves the stored one.

        Returns:
            The generation.

        Raises:
            InvalidTransitionError: the generation cannot change from its status to this one.
            RecordNotFoundError: there is no such generation.
        """
        if status is None:
            raise invalid_argument("status", "must not be None")
        if status == GenerationStatus.PROCESSING:
            return await self._processing(generation_id, error_message)
        return await self._ended(generation_id, status, error_message)

    async def set_metadata(self, generation_id: UUID | str, metadata: dict[str, Any]) -> Generation:
        """Replaces the metadata as a whole."""
        return await self._run(self._set_metadata.one(id=generation_id, metadata=metadata))

    async def _processing(
        self,
        generation_id: UUID | str,
        error_message: str | None = None,
        *,
        worker: str | None = None,
        lease: float = 60.0,
    ) -> Generation:
        lease_expires_at = moment_after(self._now(), "lease", lease)
        step = self._mark_processing.optional(
            id=generation_id,
            error_message=error_message,
            worker=worker,
            lease_expires_at=None if worker is None else lease_expires_at,
        )
        return await self._moved("become processing", generation_id, step, self._get)

    async def _ended(
        self,
        generation_id: UUID | str,
        status: GenerationStatusLike,
        error_message: str | None = None,
        *,
        worker: str | None = None,
        attempt: int | None = None,
    ) -> Generation:
        generation = await self._run(
            self._end.optional(
                id=generation_id,
                status=status,
                error_message=error_message,
                worker=worker,
                attempt=attempt,
                now=self._now(),
            )
        )
        if generation is None:
            generation = await self._run(self._get.one(id=generation_id))
            if not generation.status == status == GenerationStatus.CANCELLED:
                raise self._not_moved(f"become {status}", generation_id, generation)
        return generation
