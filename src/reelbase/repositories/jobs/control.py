"""Controlling a job without a lease: updates, progress, cancels, retries."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from reelbase.engine.file_names import printable
from reelbase.engine.statements.parameters import at_least_0, clamped
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.jobs.queries import JobQueries
from reelbase.repositories.jobs.records import Job, JobStatus, JobStatusLike


class JobControl(JobQueries):
    """Progress, cancellation, retries, and changes by hand."""

    # Progress alone is the hot path: no fsync, and no columns that it does not touch. The progress of a
    # parent is counted from its children, so a value that a caller passes for it is ignored.
    _progress = Command(
        Job,
        """
        UPDATE jobs
        SET progress = coalesce(:progress, progress),
            completed = coalesce(:completed, completed),
            updated_at = :now
        WHERE id = :id
          AND (progress <> :progress OR completed <> :completed)
          AND NOT EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = :id)
        RETURNING *
        """,
        relaxed=True,
    )

    _note_progress = Command(
        Job,
        """
        UPDATE jobs
        SET progress = coalesce(:progress, progress),
            completed = coalesce(:completed, completed),
            updated_at = :now
        WHERE id = :id
          AND status IN ('queued', 'running')
          AND NOT EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = :id)
        """,
        relaxed=True,
    )

    _update = Command(
        Job,
        """
        UPDATE jobs
        SET status = coalesce(:status, status),
            progress = iif(
              EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = :id),
              progress,
              coalesce(:progress, progress)
            ),
            completed = iif(
              EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = :id),
              completed,
              coalesce(:completed, completed)
            ),
            result = coalesce(:result, result),
            error = coalesce(:error, error),
            error_code = coalesce(:error_code, error_code),
            error_details = coalesce(:error_details, error_details),
            worker = iif(:status IN ('succeeded', 'failed', 'cancelled'), NULL, worker),
            lease_expires_at = iif(
              :status IN ('succeeded', 'failed', 'cancelled'), NULL, lease_expires_at
            ),
            started_at = iif(:status = 'running', coalesce(started_at, :now), started_at),
            finished_at = iif(
              :status IN ('succeeded', 'failed', 'cancelled'),
              coalesce(finished_at, :now),
              finished_at
            ),
            updated_at = :now
        WHERE id = :id
          AND (
            :status IS NULL
            OR status = :status
            OR status = 'queued'
            OR (status = 'running' AND :status <> 'queued')
          )
          AND (
            status <> :status
            OR (
              (progress <> :progress OR completed <> :completed)
              AND NOT EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = :id)
            )
            OR (:result IS NOT NULL AND result IS DISTINCT FROM :result)
            OR (:error IS NOT NULL AND error IS DISTINCT FROM :error)
            OR (:error_code IS NOT NULL AND error_code IS DISTINCT FROM :error_code)
            OR (:error_details IS NOT NULL AND error_details IS DISTINCT FROM :error_details)
          )
        RETURNING *
        """,
    )

    _cancel = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'cancelled',
            worker = NULL,
            lease_expires_at = NULL,
            updated_at = :now,
            finished_at = :now
        WHERE id = :id
          AND status IN ('queued', 'running')
        """,
    )

    # Runs right after the statement that cancels the parent: changes() tells whether it did.
    _cancel_children = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'cancelled',
            worker = NULL,
            lease_expires_at = NULL,
            updated_at = :now,
            finished_at = :now
        WHERE parent_id = :id
          AND status IN ('queued', 'running')
          AND changes() > 0
        """,
    )

    # A batch is retried by retrying the children that did not succeed; all of them, if all succeeded.
    _requeue_children = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'queued',
            progress = 0,
            completed = 0,
            result = NULL,
            error = NULL,
            error_code = NULL,
            error_details = NULL,
            run_after = NULL,
            updated_at = :now,
            started_at = NULL,
            finished_at = NULL
        WHERE parent_id = :id
          AND finished_at IS NOT NULL
          AND (
            status <> 'succeeded'
            OR NOT EXISTS (
              SELECT 1
              FROM jobs AS sibling
              WHERE sibling.parent_id = :id
                AND sibling.status <> 'succeeded'
            )
          )
          AND EXISTS (
            SELECT 1
            FROM jobs AS parent
            WHERE parent.id = :id
              AND parent.finished_at IS NOT NULL
          )
        """,
    )

    _requeue = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'queued',
            progress = iif(
              EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = :id), progress, 0
            ),
            completed = iif(
              EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = :id), completed, 0
            ),
            result = NULL,
            error = NULL,
            error_code = NULL,
            error_details = NULL,
            run_after = NULL,
            updated_at = :now,
            started_at = NULL,
            finished_at = NULL
        WHERE id = :id
          AND finished_at IS NOT NULL
          AND NOT EXISTS (
            SELECT 1
            FROM job_dependencies AS dependency
            CROSS JOIN jobs AS needed
            WHERE dependency.job_id = :id
              AND needed.id = dependency.needs_id
              AND needed.status IN ('failed', 'cancelled')
          )
        RETURNING *
        """,
    )

    _lost_needs = Query(
        UUID,
        """
        SELECT needed.id
        FROM job_dependencies AS dependency
        CROSS JOIN jobs AS needed
        WHERE dependency.job_id = :job_id
          AND needed.id = dependency.needs_id
          AND needed.status IN ('failed', 'cancelled')
        ORDER BY needed.id
        """,
        params={"job_id": UUID},
    )

    async def update(
        self,
        job_id: UUID | str,
        *,
        status: JobStatusLike | None = None,
        progress: float | None = None,
        completed: int | None = None,
        result: dict[str, Any] | None = None,
        error: str | None = None,
        error_code: str | None = None,
        error_details: dict[str, Any] | None = None,
    ) -> Job:
        """Changes the fields passed; None leaves a field.

        updated_at moves only when a value changed. A call with progress or completed alone does not wait
        for the disk.

        Args:
            job_id: the job.
            status: from queued or running onwards; only retry() leads back to queued. "cancelled" also
                cancels the queued and running children, as cancel() does.
            progress: 0 to 1; a number outside is cut. Ignored for a parent, which follows its children.
            completed: how many work items are done. Ignored for a parent, too.
            result: the result.
            error: the reason of a failure.
            error_code: the application's code for it.
            error_details: further data.

        Returns:
            The job.

        Raises:
            InvalidTransitionError: the job cannot change from its status to this one.
            RecordNotFoundError: there is no such job.
        """
        now = self._now()
        progress, completed = clamped(progress, 0.0, 1.0), at_least_0(completed)
        if all(value is None for value in (status, result, error, error_code, error_details)):
            step = self._progress.optional(
                id=job_id, progress=progress, completed=completed, now=now
            )
        else:
            step = self._update.optional(
                id=job_id,
                status=status,
                progress=progress,
                completed=completed,
                result=result,
                error=error,
                error_code=error_code,
                error_details=printable(error_details),
                now=now,
            )
        if status == JobStatus.CANCELLED:
            job, _ = await self._batch(step, self._cancel_children.count(id=job_id, now=now))
        else:
            job = await self._run(step)
        if job is None:
            job = await self._run(self._get.one(id=job_id))
            if status is not None and job.status != status:
                raise self._refused(f"become {status}", job_id, job.status)
        return job

    async def progress(
        self, job_id: UUID | str, progress: float, *, completed: int | None = None
    ) -> bool:
        """Stores the progress without reading the job back: the cheapest of all writes.

        It does not wait for the disk.

        Args:
            job_id: the job.
            progress: 0 to 1; a number outside is cut.
            completed: how many work items are done; None leaves it.

        Returns:
            False, with no change, when there is no such job, when it has finished, or when it has children,
            which its progress follows.
        """
        step = self._note_progress.count(
            id=job_id,
            progress=clamped(progress, 0.0, 1.0),
            completed=at_least_0(completed),
            now=self._now(),
        )
        return await self._run(step) > 0

    async def cancel(self, job_id: UUID | str) -> Job:
        """Cancels the job and its queued and running children; a finished job is returned as it is."""
        now = self._now()
        _, _, job = await self._batch(
            self._cancel.count(id=job_id, now=now),
            self._cancel_children.count(id=job_id, now=now),
            self._get.one(id=job_id),
        )
        return job

    async def retry(self, job_id: UUID | str) -> Job:
        """Queues a finished job again: result, error, times and progress are cleared, attempts stay.

        A job that was lost with one that it waits for is retried after that one. Of a batch, the children
        that did not succeed are queued again; all of them, if all succeeded.

        InvalidTransitionError for a queued or running job, and while a job that it waits for has failed or
        is cancelled; ConstraintError, kind unique, when a job that was added since and has not ended has its
        unique_key.
        """
        now = self._now()
        _, job = await self._batch(
            self._requeue_children.count(id=job_id, now=now),
            self._requeue.optional(id=job_id, now=now),
        )
        if job is None:
            refused, lost = await self._batch(
                self._get.one(id=job_id), self._lost_needs.all(job_id=job_id)
            )
            action = (
                f"be retried before job {lost[0]}, for which it waits" if lost else "be retried"
            )
            raise self._refused(action, job_id, refused.status)
        return job
