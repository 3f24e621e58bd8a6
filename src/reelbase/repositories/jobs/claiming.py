"""Workers: claiming a job, keeping it, and giving it back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from reelbase.engine.identifiers import moment_after
from reelbase.engine.statement import Command, Step
from reelbase.repositories.jobs.listing import JobListing
from reelbase.repositories.jobs.records import Job


class JobClaiming(JobListing):
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

    # Each arm finds its best candidate through an index; a parent that has children is no work itself.
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
            SELECT *
            FROM (
              SELECT id, priority, created_at
              FROM jobs
              WHERE status = 'queued'
                AND (run_after IS NULL OR run_after <= :now)
                AND NOT EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = jobs.id)
              ORDER BY priority DESC, created_at, id
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
                AND NOT EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = jobs.id)
              ORDER BY priority DESC, created_at, id
              LIMIT 1
            )
          )
          ORDER BY priority DESC, created_at, id
          LIMIT 1
        )
        RETURNING
          id, profile_id, parent_id, type, status, progress, total, completed, params, result,
          error, error_code, error_details, priority, attempts, max_attempts, run_after, worker,
          lease_expires_at, created_at, updated_at, started_at, finished_at
        """,
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
            JOIN jobs ON jobs.id = (
              SELECT candidate.id
              FROM jobs AS candidate
              WHERE candidate.type = wanted.value
                AND candidate.status = 'queued'
                AND (candidate.run_after IS NULL OR candidate.run_after <= :now)
                AND NOT EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = candidate.id)
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
                AND NOT EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = jobs.id)
                AND type IN (SELECT value FROM json_each(:types))
              ORDER BY priority DESC, created_at, id
              LIMIT 1
            )
          )
          ORDER BY priority DESC, created_at, id
          LIMIT 1
        )
        RETURNING
          id, profile_id, parent_id, type, status, progress, total, completed, params, result,
          error, error_code, error_details, priority, attempts, max_attempts, run_after, worker,
          lease_expires_at, created_at, updated_at, started_at, finished_at
        """,
        params={"types": list},
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
        RETURNING
          id, profile_id, parent_id, type, status, progress, total, completed, params, result,
          error, error_code, error_details, priority, attempts, max_attempts, run_after, worker,
          lease_expires_at, created_at, updated_at, started_at, finished_at
        """,
        relaxed=True,
    )

    _succeed = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'succeeded',
            progress = iif(
              EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = :id), progress, 1
            ),
            completed = iif(
              EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = :id), completed, total
            ),
            result = coalesce(:result, result),
            worker = NULL,
            lease_expires_at = NULL,
            updated_at = :now,
            finished_at = :now
        WHERE id = :id
          AND status IN ('queued', 'running')
          AND (NOT :filter_worker OR worker = :worker)
        RETURNING
          id, profile_id, parent_id, type, status, progress, total, completed, params, result,
          error, error_code, error_details, priority, attempts, max_attempts, run_after, worker,
          lease_expires_at, created_at, updated_at, started_at, finished_at
        """,
    )

    _fail = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'failed',
            error = :error,
            error_code = :error_code,
            error_details = :error_details,
            worker = NULL,
            lease_expires_at = NULL,
            updated_at = :now,
            finished_at = :now
        WHERE id = :id
          AND status IN ('queued', 'running')
          AND (NOT :filter_worker OR worker = :worker)
        RETURNING
          id, profile_id, parent_id, type, status, progress, total, completed, params, result,
          error, error_code, error_details, priority, attempts, max_attempts, run_after, worker,
          lease_expires_at, created_at, updated_at, started_at, finished_at
        """,
    )

    _fail_and_retry = Command(
        Job,
        """
        UPDATE jobs
        SET status = iif(attempts < max_attempts, 'queued', 'failed'),
            error = :error,
            error_code = :error_code,
            error_details = :error_details,
            run_after = iif(attempts < max_attempts, :run_after, run_after),
            worker = NULL,
            lease_expires_at = NULL,
            updated_at = :now,
            finished_at = iif(attempts < max_attempts, NULL, :now)
        WHERE id = :id
          AND status IN ('queued', 'running')
          AND (NOT :filter_worker OR worker = :worker)
        RETURNING
          id, profile_id, parent_id, type, status, progress, total, completed, params, result,
          error, error_code, error_details, priority, attempts, max_attempts, run_after, worker,
          lease_expires_at, created_at, updated_at, started_at, finished_at
        """,
    )

    async def claim(
        self, worker: str, *, types: Iterable[str] | None = None, lease: float = 60.0
    ) -> Job | None:
        """Takes the job that is due (highest priority, then oldest) for this worker; None if none is.

        types: only jobs of these types; None: any.  lease: seconds until somebody else may take it,
        unless heartbeat() renews it. A job whose lease has expired is taken again while it has
        attempts left, and fails otherwise. No two workers, tasks or processes get the same job.
        """
        now = self._now()
        claim: dict[str, Any] = {
            "worker": worker,
            "lease_expires_at": moment_after(now, "lease", lease),
            "now": now,
        }
        _, job = await self._batch(
            self._fail_exhausted.count(now=now),
            self._claim.optional(**claim)
            if types is None
            else self._claim_of_types.optional(types=list(types), **claim),
        )
        return job

    async def heartbeat(
        self,
        job_id: UUID | str,
        worker: str,
        *,
        progress: float | None = None,
        completed: int | None = None,
        lease: float = 60.0,
    ) -> Job:
        """Renews the lease to this many seconds from now and notes progress (None leaves it).

        InvalidTransitionError when the job is not running or another worker holds it: stop working
        on it. A heartbeat does not wait for the disk; a power cut may take back the last ones.
        """
        now = self._now()
        return await self._finished(
            "renew its lease",
            job_id,
            self._heartbeat.optional(
                id=job_id,
                worker=worker,
                progress=progress,
                completed=completed,
                lease_expires_at=moment_after(now, "lease", lease),
                now=now,
            ),
        )

    async def succeed(
        self, job_id: UUID | str, result: dict[str, Any] | None = None, *, worker: str | None = None
    ) -> Job:
        """Finishes the job; progress 1, completed = total (of a parent they follow its children).

        result None leaves what is there.

        worker: refuse unless this one holds it. InvalidTransitionError when it has finished before:
        a late success cannot undo a cancel.
        """
        return await self._finished(
            "succeed",
            job_id,
            self._succeed.optional(
                id=job_id,
                result=result,
                filter_worker=worker is not None,
                worker=worker,
                now=self._now(),
            ),
        )

    async def fail(
        self,
        job_id: UUID | str,
        error: str,
        *,
        error_code: str | None = None,
        error_details: dict[str, Any] | None = None,
        retry_in: float | None = None,
        worker: str | None = None,
    ) -> Job:
        """Finishes the job as failed; or, with retry_in and attempts left, queues it again.

        retry_in: seconds until it may be claimed again.  worker: refuse unless this one holds it.
        InvalidTransitionError when it has finished before.
        """
        now = self._now()
        failure: dict[str, Any] = {
            "id": job_id,
            "error": error,
            "error_code": error_code,
            "error_details": error_details,
            "filter_worker": worker is not None,
            "worker": worker,
            "now": now,
        }
        if retry_in is None:
            step = self._fail.optional(**failure)
        else:
            run_after = moment_after(now, "retry_in", retry_in)
            step = self._fail_and_retry.optional(run_after=run_after, **failure)
        return await self._finished("fail", job_id, step)

    async def _finished(self, action: str, job_id: UUID | str, step: Step[Job | None]) -> Job:
        """The job that the step changed, or the reason why it changed none."""
        job = await self._run(step)
        if job is None:
            job = await self._run(self._get.one(id=job_id))
            held = "" if job.worker is None else f" (it is held by {job.worker!r})"
            raise self._refused(action + held, job_id, job.status)
        return job
