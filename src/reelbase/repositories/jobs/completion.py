"""Workers: ending a job as succeeded or failed, and releasing it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from reelbase.engine.file_names import printable
from reelbase.engine.ids import moment_after
from reelbase.engine.statements.arguments import wrong_type
from reelbase.engine.statements.statement import Command
from reelbase.repositories.jobs.queries import JobQueries
from reelbase.repositories.jobs.records import Job


class JobCompletion(JobQueries):
    """How a worker ends or releases a job."""

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

    _succeed_claimed = Command(
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
          AND status = 'running'
          AND worker = :worker
          AND attempts = :attempt
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

    _snooze = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'queued',
            attempts = attempts - 1,
            run_after = :run_after,
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
        """Ends the job as succeeded: its progress is 1, and completed is total. The progress of a parent
        follows its children.

        Args:
            job_id: the job.
            result: the result; None leaves the stored one.
            worker: only if this worker holds the job; None: no such check.
            attempt: only if this attempt is still running; None: no such check. With the ``attempts`` of
                the job that claim() returned, a worker that has lost its lease cannot end the work of
                another worker, even one of the same name.

        Returns:
            The job.

        Raises:
            InvalidTransitionError: a check failed, or the job has finished before: a late success cannot
                undo a cancel.
            RecordNotFoundError: there is no such job.
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

    async def succeed_many(
        self, results: Iterable[tuple[Job, dict[str, Any] | None]]
    ) -> list[bool]:
        """Ends claimed jobs as succeeded, in one transaction, each as succeed() with its worker and attempt.

        Args:
            results: jobs as claim() returned them, each with its result; None leaves the stored one.

        Returns:
            For each job, in their order, whether it has succeeded. False, with no change: it was ended,
            deleted or taken over by another worker or attempt.

        Raises:
            InvalidArgumentError: a result cannot be stored; nothing is.
        """
        if isinstance(results, str | bytes) or not isinstance(results, Iterable):
            problem = f"must be pairs of a Job and its result, not {type(results).__name__}"
            raise wrong_type("results", problem)
        now = self._now()
        steps = []
        for pair in results:
            match pair:
                case Job() as job, result:
                    step = self._succeed_claimed.count(
                        id=job.id, result=result, worker=job.worker, attempt=job.attempts, now=now
                    )
                case _:
                    raise wrong_type("results", "must be pairs of a Job and its result")
            steps.append(step)
        return [count > 0 for count in await self._batch(*steps)] if steps else []

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
        """Ends the job as failed; or, with retry_in and attempts left, queues it again.

        Args:
            job_id: the job.
            error: the reason.
            error_code: the application's code for it, or None.
            error_details: further data, or None.
            retry_in: seconds until it may be claimed again; None: it fails for good.
            worker: as in succeed().
            attempt: as in succeed().

        Returns:
            The job.

        Raises:
            InvalidTransitionError: a check failed, or the job has finished before.
            RecordNotFoundError: there is no such job.
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
        """Puts the job back into the queue, for a worker that stops.

        It uses up no attempt: the next claim() has the same number.

        Args:
            job_id: the job.
            worker: the worker that holds it.
            attempt: as in succeed().

        Returns:
            The job, queued.

        Raises:
            InvalidTransitionError: this worker does not hold the job.
            RecordNotFoundError: there is no such job.
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

    async def snooze(
        self, job_id: UUID | str, seconds: float, *, worker: str, attempt: int | None = None
    ) -> Job:
        """Puts the job back into the queue until later, for a worker that finds that it is too early.

        It uses up no attempt. A handler calls it with ``worker=run.job.worker`` and then returns.

        Args:
            job_id: the job.
            seconds: how long it is not claimed; 0 or more.
            worker: the worker that holds it.
            attempt: as in succeed().

        Returns:
            The job, queued.

        Raises:
            InvalidTransitionError: this worker does not hold the job.
            RecordNotFoundError: there is no such job.
        """
        now = self._now()
        return await self._moved(
            "be put off",
            job_id,
            self._snooze.optional(
                id=job_id,
                run_after=moment_after(now, "seconds", seconds),
                worker=worker,
                filter_attempt=attempt is not None,
                attempt=attempt,
                now=now,
            ),
            self._get,
        )
