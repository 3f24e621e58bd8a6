"""Workers: claiming a job and renewing its lease."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from reelbase.engine.ids import moment_after
from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.engine.statements.parameters import at_least_0, clamped
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.jobs.queries import JobQueries
from reelbase.repositories.jobs.records import Job

# A start that lies further in the future than this was made by a clock that has been set back since. The
# schema has the same minute.
_CLOCKS_APART = timedelta(seconds=60)


class JobClaims(JobQueries):
    """How workers claim jobs and renew their leases."""

    _fail_exhausted = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'failed',
            error = 'the lease expired at the last attempt',
            error_code = 'lease_expired',
            worker = NULL,
            lease_expires_at = NULL,
            updated_at = :now,
            finished_at = :now
        WHERE status = 'running'
          AND lease_expires_at <= :now
          AND attempts >= max_attempts
        """,
    )

    # A job that waits for its time is no part of the queue. It is let in once, when its time has come, so
    # that a claim need not look at all that wait. A thousand at most, as other writers wait meanwhile.
    _let_in = Command(
        Job,
        """
        UPDATE jobs
        SET is_due = TRUE
        WHERE id IN (
          SELECT id
          FROM jobs
          WHERE status = 'queued'
            AND run_after IS NOT NULL
            AND run_after <= :now
            AND NOT is_due
          ORDER BY run_after, id
          LIMIT 1000
        )
        """,
    )

    _let_in_of_types = Command(
        Job,
        """
        UPDATE jobs
        SET is_due = TRUE
        WHERE id IN (
          SELECT jobs.id
          FROM json_each(:types) AS wanted
          CROSS JOIN jobs
          WHERE jobs.type = wanted.value
            AND jobs.status = 'queued'
            AND jobs.run_after <= :now
            AND NOT jobs.is_due
          LIMIT 1000
        )
        """,
        params={"types": list[str]},
    )

    # The best queued job of each type is found through an index; a job with children is never claimed
    # itself, and one that was let in by a clock that has been set back waits again. Of a type with a limit,
    # a job whose lease has expired still counts as running, and may be taken over while fewer than the limit
    # run under a lease.
    _claim = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'running',
            worker = :worker,
            lease_expires_at = :lease_expires_at,
            attempts = attempts + 1,
            started_at = coalesce(started_at, :now),
            updated_at = :now
        WHERE id = (
          SELECT id
          FROM (
            SELECT jobs.id, jobs.priority, jobs.created_at
            FROM (
              WITH RECURSIVE queued (type) AS (
                SELECT *
                FROM (
                  SELECT type
                  FROM jobs
                  WHERE status = 'queued'
                    AND (run_after IS NULL OR is_due)
                    AND NOT is_batch
                    AND waiting_for = 0
                  ORDER BY type
                  LIMIT 1
                ) AS first
                UNION ALL
                SELECT (
                  SELECT next.type
                  FROM jobs AS next
                  WHERE next.type > queued.type
                    AND next.status = 'queued'
                    AND (next.run_after IS NULL OR next.is_due)
                    AND NOT next.is_batch
                    AND next.waiting_for = 0
                  ORDER BY next.type
                  LIMIT 1
                )
                FROM queued
                WHERE queued.type IS NOT NULL
              )
              SELECT type
              FROM queued
              WHERE type IS NOT NULL
            ) AS wanted
            CROSS JOIN jobs
            WHERE wanted.type NOT IN (
                SELECT limited.type
                FROM job_type_limits AS limited
                WHERE limited.paused_at IS NOT NULL
                  OR limited.room <= 0
                  OR (limited.next_start_at > :now AND limited.latest_start_at <= :soon)
              )
              AND jobs.id = (
                SELECT candidate.id
                FROM jobs AS candidate
                WHERE candidate.type = wanted.type
                  AND candidate.status = 'queued'
                  AND (candidate.run_after IS NULL OR candidate.is_due)
                  AND (candidate.run_after IS NULL OR candidate.run_after <= :now)
                  AND NOT candidate.is_batch
                  AND candidate.waiting_for = 0
                ORDER BY candidate.priority DESC, candidate.created_at, candidate.id
                LIMIT 1
              )
            UNION ALL
            SELECT *
            FROM (
              SELECT id, priority, created_at
              FROM jobs
              WHERE status = 'running'
                AND lease_expires_at <= :now
                AND attempts < max_attempts
                AND NOT is_batch
                AND type NOT IN (
                  SELECT limited.type
                  FROM job_type_limits AS limited
                  WHERE limited.paused_at IS NOT NULL
                    OR (limited.next_start_at > :now AND limited.latest_start_at <= :soon)
                    OR (
                      limited.running_limit IS NOT NULL
                      AND limited.running_limit <= (
                        SELECT count(*)
                        FROM jobs AS running
                        WHERE running.status = 'running'
                          AND running.type = limited.type
                          AND NOT running.is_batch
                          AND (running.lease_expires_at IS NULL OR running.lease_expires_at > :now)
                      )
                    )
                )
              ORDER BY priority DESC, created_at, id
              LIMIT 1
            ) AS expired
          ) AS due
          ORDER BY priority DESC, created_at, id
          LIMIT 1
        )
        RETURNING *
        """,
        params={"soon": datetime},
    )

    _claim_of_types = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'running',
            worker = :worker,
            lease_expires_at = :lease_expires_at,
            attempts = attempts + 1,
            started_at = coalesce(started_at, :now),
            updated_at = :now
        WHERE id = (
          SELECT id
          FROM (
            SELECT jobs.id, jobs.priority, jobs.created_at
            FROM json_each(:types) AS wanted
            CROSS JOIN jobs
            WHERE wanted.value NOT IN (
                SELECT limited.type
                FROM job_type_limits AS limited
                WHERE limited.paused_at IS NOT NULL
                  OR limited.room <= 0
                  OR (limited.next_start_at > :now AND limited.latest_start_at <= :soon)
              )
              AND jobs.id = (
                SELECT candidate.id
                FROM jobs AS candidate
                WHERE candidate.type = wanted.value
                  AND candidate.status = 'queued'
                  AND (candidate.run_after IS NULL OR candidate.is_due)
                  AND (candidate.run_after IS NULL OR candidate.run_after <= :now)
                  AND NOT candidate.is_batch
                  AND candidate.waiting_for = 0
                ORDER BY candidate.priority DESC, candidate.created_at, candidate.id
                LIMIT 1
              )
            UNION ALL
            SELECT *
            FROM (
              SELECT id, priority, created_at
              FROM jobs
              WHERE status = 'running'
                AND lease_expires_at <= :now
                AND attempts < max_attempts
                AND NOT is_batch
                AND type IN (SELECT value FROM json_each(:types))
                AND type NOT IN (
                  SELECT limited.type
                  FROM job_type_limits AS limited
                  WHERE limited.paused_at IS NOT NULL
                    OR (limited.next_start_at > :now AND limited.latest_start_at <= :soon)
                    OR (
                      limited.running_limit IS NOT NULL
                      AND limited.running_limit <= (
                        SELECT count(*)
                        FROM jobs AS running
                        WHERE running.status = 'running'
                          AND running.type = limited.type
                          AND NOT running.is_batch
                          AND (running.lease_expires_at IS NULL OR running.lease_expires_at > :now)
                      )
                    )
                )
              ORDER BY priority DESC, created_at, id
              LIMIT 1
            ) AS expired
          ) AS due
          ORDER BY priority DESC, created_at, id
          LIMIT 1
        )
        RETURNING *
        """,
        params={"types": list[str], "soon": datetime},
    )

    # Several at once cost a third of so many claims; but each may bring its type to its limit, so types with
    # a row in job_types are claimed one by one.
    _have_rules = Query(
        bool,
        """
        SELECT EXISTS (
          SELECT 1
          FROM job_types
          WHERE type IN (SELECT value FROM json_each(:types))
        )
        """,
        params={"types": list[str]},
    )

    _claim_several_of_types = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'running',
            worker = :worker,
            lease_expires_at = :lease_expires_at,
            attempts = attempts + 1,
            started_at = coalesce(started_at, :now),
            updated_at = :now
        WHERE id IN (
          SELECT id
          FROM (
            SELECT jobs.id, jobs.priority, jobs.created_at
            FROM (SELECT DISTINCT value FROM json_each(:types)) AS wanted
            CROSS JOIN jobs
            WHERE jobs.id IN (
              SELECT candidate.id
              FROM jobs AS candidate
              WHERE candidate.type = wanted.value
                AND candidate.status = 'queued'
                AND (candidate.run_after IS NULL OR candidate.is_due)
                AND (candidate.run_after IS NULL OR candidate.run_after <= :now)
                AND NOT candidate.is_batch
                AND candidate.waiting_for = 0
              ORDER BY candidate.priority DESC, candidate.created_at, candidate.id
              LIMIT :count
            )
            UNION ALL
            SELECT *
            FROM (
              SELECT id, priority, created_at
              FROM jobs
              WHERE status = 'running'
                AND lease_expires_at <= :now
                AND attempts < max_attempts
                AND NOT is_batch
                AND type IN (SELECT value FROM json_each(:types))
              ORDER BY priority DESC, created_at, id
              LIMIT :count
            ) AS expired
          ) AS due
          ORDER BY priority DESC, created_at, id
          LIMIT CASE
            WHEN EXISTS (
              SELECT 1
              FROM job_types
              WHERE job_types.type IN (SELECT value FROM json_each(:types))
            ) THEN 0
            ELSE :count
          END
        )
        RETURNING *
        """,
        params={"types": list[str], "count": int},
    )

    _heartbeat = Command(
        Job,
        """
        UPDATE jobs
        SET progress = iif(
              EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = :id),
              progress,
              coalesce(:progress, progress)
            ),
            completed = iif(
              EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = :id),
              completed,
              coalesce(:completed, completed)
            ),
            lease_expires_at = :lease_expires_at,
            updated_at = :now
        WHERE id = :id
          AND status = 'running'
          AND worker = :worker
          AND (NOT :filter_attempt OR attempts = :attempt)
        RETURNING *
        """,
        params={"attempt": int},
        relaxed=True,
    )

    # The leases are compared, so that the index of running jobs is used.
    _held = Query(
        tuple[UUID, int],
        """
        SELECT id, attempts
        FROM jobs
        WHERE status = 'running'
          AND lease_expires_at > ''
          AND worker = :worker
        ORDER BY lease_expires_at NULLS FIRST, id
        """,
        params={"worker": str},
    )

    async def claim(
        self, worker: str, *, types: Iterable[str] | None = None, lease: float = 60.0
    ) -> Job | None:
        """Claims the next due job (highest priority, then oldest) for this worker.

        A job that waits for earlier jobs (``after`` of add()) is not due until they have succeeded.

        A job with an expired lease is claimed again while it has attempts left, and fails otherwise. No two
        workers, tasks or processes get the same job. Paused types are left out, and types that have as many
        jobs running, or lately claimed, as limit() allows. If more than 1,000 jobs become due at once, they
        take their places in the queue 1,000 at a claim.

        Args:
            worker: the name of the worker.
            types: only jobs of these types; None: any.
            lease: seconds until another worker may claim it, unless heartbeat() renews it.

        Returns:
            The job; None when none is due.
        """
        for job in await self._claim_up_to(1, worker, types, lease):
            return job
        return None

    async def claim_many(
        self, worker: str, count: int, *, types: Iterable[str] | None = None, lease: float = 60.0
    ) -> list[Job]:
        """Claims the next due jobs, as so many calls of claim() would, in one transaction.

        Args:
            worker: the name of the worker.
            count: how many at most; 1 to 1,000, as other writers wait meanwhile.
            types: as in claim(). With types, of which none is or was paused or limited, it is quickest.
            lease: as in claim().

        Returns:
            The jobs, in the order in which they were claimed; fewer than count when no more are due.

        Raises:
            InvalidArgumentError: count is below 1 or above 1,000.
        """
        if not isinstance(count, int) or isinstance(count, bool):
            raise wrong_type("count", f"must be int, not {type(count).__name__}")
        if not 1 <= count <= 1000:
            raise invalid_argument("count", f"must be 1 to 1000, not {count}")
        return await self._claim_up_to(count, worker, types, lease)

    async def _claim_up_to(
        self, count: int, worker: str, types: Iterable[str] | None, lease: float
    ) -> list[Job]:
        now = self._now()
        claim: dict[str, Any] = {
            "worker": worker,
            "lease_expires_at": moment_after(now, "lease", lease),
            "now": now,
        }
        soon = now + _CLOCKS_APART
        fail_exhausted = self._fail_exhausted.count(now=now)
        if types is None:
            let_in, job = self._let_in.count(now=now), self._claim.optional(soon=soon, **claim)
        else:
            if isinstance(types, str | bytes) or not isinstance(types, Iterable):
                raise wrong_type("types", f"must be a list of str, not {type(types).__name__}")
            wanted = list(types)
            let_in = self._let_in_of_types.count(types=wanted, now=now)
            job = self._claim_of_types.optional(types=wanted, soon=soon, **claim)
            if count > 1:
                _, _, have_rules, several = await self._batch(
                    fail_exhausted,
                    let_in,
                    self._have_rules.one(types=wanted),
                    self._claim_several_of_types.all(types=wanted, count=count, **claim),
                )
                if not have_rules:
                    return sorted(several, key=_turn)
        _, _, *claimed = await self._batch(fail_exhausted, let_in, *[job] * count)
        return [job for job in claimed if job is not None]

    async def heartbeat(
        self,
        job_id: UUID | str,
        worker: str,
        *,
        progress: float | None = None,
        completed: int | None = None,
        lease: float = 60.0,
        attempt: int | None = None,
    ) -> Job:
        """Renews the lease and stores the progress.

        A heartbeat does not wait for the disk; a power cut may undo the last ones.

        Args:
            job_id: the job.
            worker: the worker that holds it.
            progress: 0 to 1; None leaves it.
            completed: how many work items are done; None leaves it.
            lease: seconds from now.
            attempt: only if this attempt is still running, by the ``attempts`` of the job that claim()
                returned; needed where two workers may have the same name. None: no such check.

        Returns:
            The job.

        Raises:
            InvalidTransitionError: the job is not running, or another worker holds it: stop working on it.
            RecordNotFoundError: there is no such job.
        """
        now = self._now()
        return await self._moved(
            "renew its lease",
            job_id,
            self._heartbeat.optional(
                id=job_id,
                worker=worker,
                progress=clamped(progress, 0.0, 1.0),
                completed=at_least_0(completed),
                lease_expires_at=moment_after(now, "lease", lease),
                filter_attempt=attempt is not None,
                attempt=attempt,
                now=now,
            ),
            self._get,
        )

    async def held_by(self, worker: str) -> dict[UUID, int]:
        """The ids of the running jobs that this worker holds, under an expired lease too, each with the
        number of its attempt; {} when it holds none."""
        return dict(await self._run(self._held.all(worker=worker)))


def _turn(job: Job) -> tuple[int, datetime, int]:
    """Which of several jobs is claimed first: the one with the least."""
    return -job.priority, job.created_at, job.id.int
