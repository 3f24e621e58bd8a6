"""Workers: claiming a generation, renewing its lease, and releasing it."""

from __future__ import annotations

from uuid import UUID

from reelbase.engine.ids import moment_after
from reelbase.engine.statements.statement import Command
from reelbase.repositories.generations.queries import GenerationQueries
from reelbase.repositories.generations.records import Generation


class GenerationLeases(GenerationQueries):
    """How workers claim generations, renew their leases and release them."""

    _fail_exhausted = Command(
        Generation,
        """
        UPDATE generations
        SET status = 'failed',
            error_message = 'the lease expired at the last attempt',
            completed_at = :now,
            worker = NULL,
            lease_expires_at = NULL
        WHERE worker IS NOT NULL
          AND lease_expires_at <= :now
          AND attempts >= max_attempts
        """,
    )

    # Each arm finds its best candidate through an index; otherwise SQLite would read all pending rows by
    # their status, and sort them. A claim without a worker has no lease, and counts as an attempt only
    # when it is interrupted.
    _claim = Command(
        Generation,
        """
        UPDATE generations
        SET status = 'processing',
            attempts = attempts + iif(:worker IS NOT NULL, 1, 0),
            worker = :worker,
            lease_expires_at = :lease_expires_at
        WHERE id = (
          SELECT id
          FROM (
            SELECT *
            FROM (
              SELECT id, priority, created_at
              FROM generations INDEXED BY generations_queue
              WHERE status = 'pending'
              ORDER BY priority DESC, created_at, id
              LIMIT 1
            ) AS pending
            UNION ALL
            SELECT *
            FROM (
              SELECT id, priority, created_at
              FROM generations
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
        Generation,
        """
        UPDATE generations
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
        Generation,
        """
        UPDATE generations
        SET status = 'pending',
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

    async def claim(self, worker: str | None = None, *, lease: float = 60.0) -> Generation | None:
        """Moves the next pending generation (highest priority, then oldest) to processing and returns it;
        None when none is pending. No two workers, tasks or processes get the same generation.

        worker: the worker that holds it from now on. None: without a lease; the first recover() of any
        process treats it as interrupted.  lease: seconds until another worker may claim it, unless
        heartbeat() renews it. A generation with an expired lease is claimed again while it has attempts left,
        and fails otherwise.
        """
        now = self._now()
        lease_expires_at = moment_after(now, "lease", lease)
        claim = self._claim.optional(
            worker=worker,
            lease_expires_at=None if worker is None else lease_expires_at,
            now=now,
        )
        if worker is None:
            return await self._run(claim)
        _, generation = await self._batch(self._fail_exhausted.count(now=now), claim)
        return generation

    async def heartbeat(
        self,
        generation_id: UUID | str,
        worker: str,
        *,
        lease: float = 60.0,
        attempt: int | None = None,
    ) -> Generation:
        """Renews the lease.

        A heartbeat does not wait for the disk; a power cut may undo the last ones.

        Args:
            generation_id: the generation.
            worker: the worker that holds it.
            lease: seconds from now.
            attempt: as in complete().

        Returns:
            The generation.

        Raises:
            InvalidTransitionError: this worker does not hold the generation (any more), and should stop
                working on it.
            RecordNotFoundError: there is no such generation.
        """
        step = self._heartbeat.optional(
            id=generation_id,
            worker=worker,
            lease_expires_at=moment_after(self._now(), "lease", lease),
            attempt=attempt,
        )
        return await self._moved("renew its lease", generation_id, step, self._get)

    async def release(
        self, generation_id: UUID | str, worker: str, *, attempt: int | None = None
    ) -> Generation:
        """Makes the generation pending again, for a worker that stops.

        It uses up no attempt: the next claim() has the same number.

        Args:
            generation_id: the generation.
            worker: the worker that holds it.
            attempt: as in complete().

        Returns:
            The generation, pending.

        Raises:
            InvalidTransitionError: this worker does not hold the generation.
            RecordNotFoundError: there is no such generation.
        """
        step = self._release.optional(id=generation_id, worker=worker, attempt=attempt)
        return await self._moved("be released", generation_id, step, self._get)
