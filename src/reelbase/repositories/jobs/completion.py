"""Workers: ending a job, well or badly."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from reelbase.engine.file_names import printable
from reelbase.engine.ids import moment_after
from reelbase.engine.statements.statement import Command
from reelbase.repositories.jobs.queries import JobQueries
from reelbase.repositories.jobs.records import Job


class JobCompletion(JobQueries):
    """How a worker ends a job."""

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
          AND (NOT :filter_attempt OR attempts = :attempt)
        RETURNING *
        """,
        params={"attempt": int},
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
          AND (NOT :filter_attempt OR attempts = :attempt)
        RETURNING *
        """,
        params={"attempt": int},
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
          AND (NOT :filter_attempt OR attempts = :attempt)
        RETURNING *
        """,
        params={"attempt": int},
    )

    _release = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'queued',
            attempts = attempts - 1,
            worker = NULL,
            lease_expires_at = NULL,
            updated_at = :now
        WHERE id = :id
          AND status = 'running'
          AND worker = :worker
          AND (NOT :filter_attempt OR attempts = :attempt)
        RETURNING *
        """,
        params={"attempt": int},
    )

    async def succeed(
        self,
        job_id: UUID | str,
        result: dict[str, Any] | None = None,
        *,
        worker: str | None = None,
        attempt: int | None = None,
    ) -> Job:
        """Finishes the job and returns it; progress is 1 and completed = total (those of a parent
        follow its children). result None leaves the one that is stored.

        worker: refuses unless this worker holds the job.  attempt: refuses unless this is still the
        attempt that is running; pass the ``attempts`` of the job that claim() has returned, and a
        worker that lost its lease cannot finish what another one, even of the same name, works on.
        None: no such check.

        InvalidTransitionError when a check refuses, or the job has finished before: a late success
        cannot undo a cancel.
        """
        return await self._moved(
            "succeed",
            job_id,
            self._succeed.optional(
                id=job_id,
                result=result,
                filter_worker=worker is not None,
                worker=worker,
                filter_attempt=attempt is not None,
                attempt=attempt,
                now=self._now(),
            ),
            self._get,
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
        attempt: int | None = None,
    ) -> Job:
        """Finishes the job as failed and returns it; or, with retry_in and attempts left, queues it again.

        retry_in: seconds until it may be claimed again; None: it fails for good.  worker, attempt: as
        for succeed(). InvalidTransitionError when they refuse, or the job has finished before.
        """
        now = self._now()
        failure: dict[str, Any] = {
            "id": job_id,
            "error": error,
            "error_code": error_code,
            "error_details": printable(error_details),
            "filter_worker": worker is not None,
            "worker": worker,
            "filter_attempt": attempt is not None,
            "attempt": attempt,
            "now": now,
        }
        if retry_in is None:
            step = self._fail.optional(**failure)
        else:
            run_after = moment_after(now, "retry_in", retry_in)
            step = self._fail_and_retry.optional(run_after=run_after, **failure)
        return await self._moved("fail", job_id, step, self._get)

    async def release(self, job_id: UUID | str, worker: str, *, attempt: int | None = None) -> Job:
        """Gives the job back to the queue, as a worker does that stops, and returns it.

        It costs no attempt: the next claim() counts the same one.  attempt: as for succeed().
        InvalidTransitionError unless this worker holds the job.
        """
        return await self._moved(
            "be released",
            job_id,
            self._release.optional(
                id=job_id,
                worker=worker,
                filter_attempt=attempt is not None,
                attempt=attempt,
                now=self._now(),
            ),
            self._get,
        )
