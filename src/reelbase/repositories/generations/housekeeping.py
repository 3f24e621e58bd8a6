"""Generations: recovery after a restart, deletion."""

from __future__ import annotations

from uuid import UUID

from reelbase.engine.statements.statement import Command
from reelbase.repositories.generations.queries import GenerationQueries
from reelbase.repositories.generations.records import Generation


class GenerationHousekeeping(GenerationQueries):
    """Recovery after a start, and deletion."""

    # A run without a lease was not counted when it began, so it is counted when it becomes pending again.
    _recover = Command(
        Generation,
        """
        UPDATE generations
        SET status = iif(
              attempts + iif(lease_expires_at IS NULL, 1, 0) < max_attempts, 'pending', 'failed'
            ),
            attempts = attempts + iif(
              lease_expires_at IS NULL AND attempts + 1 < max_attempts, 1, 0
            ),
            error_message = :error_message,
            completed_at = iif(
              attempts + iif(lease_expires_at IS NULL, 1, 0) < max_attempts, NULL, :now
            ),
            worker = NULL,
            lease_expires_at = NULL
        WHERE status = 'processing'
          AND (lease_expires_at IS NULL OR lease_expires_at <= :now)
        """,
    )

    _delete = Command(
        Generation,
        """
        DELETE FROM generations
        WHERE id = :id
        """,
    )

    async def recover(self, message: str = "interrupted by restart") -> int:
        """Resets or fails interrupted generations, with message as their error; call it after a start.
        Returns how many it changed.

            processing, lease expired or none, attempts left     pending again
            processing, lease expired or none, no attempt left   failed
            processing under a lease that has not expired        left alone: another process works on it
            pending                                              stays pending

        Claims by a worker count as attempts of max_attempts, and so do interrupted runs without a lease. A
        generation that claim() or mark_processing() began without a worker has no lease: processes that
        share a database should pass a worker. Then each of them may call recover() at any time.
        """
        return await self._run(self._recover.count(error_message=message, now=self._now()))

    async def delete(self, generation_id: UUID | str, *, missing_ok: bool = False) -> bool:
        """Deletes the row, not the audio; its prompt stays counted.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=generation_id))
        return self._deleted(count, generation_id, missing_ok=missing_ok)
