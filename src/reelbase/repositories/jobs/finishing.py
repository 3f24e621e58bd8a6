"""Workers: ending a job, well or badly."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from reelbase.engine.identifiers import moment_after
from reelbase.engine.statement import Command
from reelbase.repositories.jobs.listing import JobListing
from reelbase.repositories.jobs.records import Job


class JobFinishing(JobListing):
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

    async def succeed(
        self, job_id: UUID | str, result: dict[str, Any] | None = None, *, worker: str | None = None
    ) -> Job:
        """Finishes the job; progress 1, completed = total (of a parent they follow its children).

        result None leaves what is there.

        worker: refuse unless this one holds it. InvalidTransitionError when it has finished before:
        a late success cannot undo a cancel.
        """
        return await self._moved(
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
        return await self._moved("fail", job_id, step)
