"""What happens to jobs besides being worked on: updates, cancels, retries, recovery, deletion."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from reelbase.engine.identifiers import moment_before
from reelbase.engine.statement import Command, Query
from reelbase.repositories.jobs.listing import JobListing
from reelbase.repositories.jobs.records import Job, JobStatus, RecoveryReport


class JobLifecycle(JobListing):
    # Progress alone is the hot path: no fsync, and no columns that it does not touch. That of a
    # parent is counted from its children, so that what somebody else says of it is left aside.
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
        RETURNING
          id, profile_id, parent_id, type, status, progress, total, completed, params, result,
          error, error_code, error_details, priority, attempts, max_attempts, run_after, worker,
          lease_expires_at, created_at, updated_at, started_at, finished_at
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
            OR (:result IS NOT NULL AND result IS NOT :result)
            OR (:error IS NOT NULL AND error IS NOT :error)
            OR (:error_code IS NOT NULL AND error_code IS NOT :error_code)
            OR (:error_details IS NOT NULL AND error_details IS NOT :error_details)
          )
        RETURNING
          id, profile_id, parent_id, type, status, progress, total, completed, params, result,
          error, error_code, error_details, priority, attempts, max_attempts, run_after, worker,
          lease_expires_at, created_at, updated_at, started_at, finished_at
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

    # Runs behind _cancel: changes() is whether that one did cancel the parent.
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

    # A batch is tried again by trying again what did not succeed; all of it, if all of it did.
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
        RETURNING
          id, profile_id, parent_id, type, status, progress, total, completed, params, result,
          error, error_code, error_details, priority, attempts, max_attempts, run_after, worker,
          lease_expires_at, created_at, updated_at, started_at, finished_at
        """,
    )

    # Parents first: once their children are failed, they would succeed. One that still has a child in
    # the hands of another process is left alone.
    _fail_interrupted_parents = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'failed',
            error = :error,
            error_code = 'interrupted',
            worker = NULL,
            lease_expires_at = NULL,
            updated_at = :now,
            finished_at = :now
        WHERE status = 'running'
          AND (lease_expires_at IS NULL OR lease_expires_at <= :now)
          AND EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = jobs.id)
          AND NOT EXISTS (
            SELECT 1
            FROM jobs AS child
            WHERE child.parent_id = jobs.id
              AND child.status = 'running'
              AND child.lease_expires_at > :now
          )
        """,
    )

    _fail_interrupted = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'failed',
            error = :error,
            error_code = 'interrupted',
            worker = NULL,
            lease_expires_at = NULL,
            updated_at = :now,
            finished_at = :now
        WHERE (
            status = 'running'
            AND (lease_expires_at IS NULL OR lease_expires_at <= :now)
            AND NOT EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = jobs.id)
          )
          OR (
            status = 'queued'
            AND parent_id IN (
              SELECT id
              FROM jobs AS parent
              WHERE parent.finished_at = :now
                AND parent.parent_id IS NULL
                AND parent.error_code = 'interrupted'
            )
          )
        """,
    )

    _count_queued = Query(
        int,
        """
        SELECT count(*)
        FROM jobs
        WHERE status = 'queued'
        """,
    )

    # A parent must not wait for a job that is deleted: to it, the job was cancelled.
    _cancel_before_delete = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'cancelled',
            worker = NULL,
            lease_expires_at = NULL,
            updated_at = :now,
            finished_at = :now
        WHERE id = :id
          AND parent_id IS NOT NULL
          AND status IN ('queued', 'running')
        """,
    )

    _delete = Command(
        Job,
        """
        DELETE FROM jobs
        WHERE id = :id
        """,
    )

    _purge = Command(
        Job,
        """
        DELETE FROM jobs
        WHERE parent_id IS NULL
          AND finished_at < :before
          AND NOT EXISTS (
            SELECT 1
            FROM jobs AS child
            WHERE child.parent_id = jobs.id
              AND child.status IN ('queued', 'running')
          )
        """,
        params={"before": datetime},
    )

    async def update(
        self,
        job_id: UUID | str,
        *,
        status: JobStatus | str | None = None,
        progress: float | None = None,
        completed: int | None = None,
        result: dict[str, Any] | None = None,
        error: str | None = None,
        error_code: str | None = None,
        error_details: dict[str, Any] | None = None,
    ) -> Job:
        """Changes what is not None and returns the job; updated_at moves only when something changed.

        InvalidTransitionError when the status cannot become this one: it moves from queued to running
        to a finished one, and a finished one only by retry(). progress and completed of a parent
        follow its children, whatever is passed. Progress alone does not wait for the disk.
        """
        now = self._now()
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
                error_details=error_details,
                now=now,
            )
        job = await self._run(step)
        if job is None:
            job = await self._run(self._get.one(id=job_id))
            if status is not None and job.status != status:
                raise self._refused(f"become {status}", job_id, job.status)
        return job

    async def cancel(self, job_id: UUID | str) -> Job:
        """Cancels the job and its queued and running children; a finished one is returned as it is."""
        now = self._now()
        _, _, job = await self._batch(
            self._cancel.count(id=job_id, now=now),
            self._cancel_children.count(id=job_id, now=now),
            self._get.one(id=job_id),
        )
        return job

    async def retry(self, job_id: UUID | str) -> Job:
        """Queues a finished job again: result, error, times and progress are cleared, attempts stay.

        Of a batch, the children that did not succeed are queued again; all, if all did.
        InvalidTransitionError when it has not finished.
        """
        now = self._now()
        _, job = await self._batch(
            self._requeue_children.count(id=job_id, now=now),
            self._requeue.optional(id=job_id, now=now),
        )
        if job is None:
            job = await self._run(self._get.one(id=job_id))
            raise self._refused("be retried", job_id, job.status)
        return job

    async def recover(self, *, message: str = "interrupted by restart") -> RecoveryReport:
        """After a start: fails the running jobs that nobody holds, with message as their error.

        A job under an unexpired lease is another process's and is left alone, and so is its batch.
        Queued children of a batch that failed this way fail too; other queued jobs stay queued.
        """
        now = self._now()
        parents, jobs, left_queued = await self._batch(
            self._fail_interrupted_parents.count(error=message, now=now),
            self._fail_interrupted.count(error=message, now=now),
            self._count_queued.one(),
        )
        return RecoveryReport(failed=parents + jobs, left_queued=left_queued)

    async def delete(self, job_id: UUID | str, *, missing_ok: bool = False) -> bool:
        """Deletes the job and its children. A parent does not wait for a deleted child: to it, an
        unfinished one was cancelled.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        _, count = await self._batch(
            self._cancel_before_delete.count(id=job_id, now=self._now()),
            self._delete.count(id=job_id),
        )
        return self._deleted(count, job_id, missing_ok=missing_ok)

    async def purge(self, older_than: timedelta) -> int:
        """Deletes top-level jobs that finished longer ago than this, with their children; how many.

        One that still has an unfinished child is kept.
        """
        return await self._run(self._purge.count(before=moment_before(self._now(), older_than)))
