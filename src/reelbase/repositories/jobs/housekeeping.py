"""Jobs: recovery after a restart, deletion, purging."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from reelbase.engine.file_names import Message
from reelbase.engine.ids import moment_before
from reelbase.engine.repository import SLICE
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.jobs.queries import JobQueries
from reelbase.repositories.jobs.records import Job, RecoveryReport


class JobHousekeeping(JobQueries):
    """Recovery after a start, and deletion."""

    # A run without a lease was not counted as an attempt when it began, so it is counted now.
    _requeue_interrupted = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'queued',
            attempts = attempts + iif(lease_expires_at IS NULL, 1, 0),
            error = :message,
            error_code = 'interrupted',
            worker = NULL,
            lease_expires_at = NULL,
            updated_at = :now
        WHERE status = 'running'
          AND (lease_expires_at IS NULL OR lease_expires_at <= :now)
          AND attempts + iif(lease_expires_at IS NULL, 1, 0) < max_attempts
          AND NOT EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = jobs.id)
        """,
        params={"message": Message},
    )

    # Parents first: once all children have failed, the trigger would end the parent as succeeded. A batch
    # goes on if another process holds one of its children, or if a child was queued again just now.
    _fail_interrupted_parents = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'failed',
            error = :message,
            error_code = 'interrupted',
            worker = NULL,
            lease_expires_at = NULL,
            updated_at = :now,
            finished_at = :now
        WHERE status = 'running'
          AND (lease_expires_at IS NULL OR lease_expires_at <= :now)
          AND attempts + iif(lease_expires_at IS NULL, 1, 0) >= max_attempts
          AND EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = jobs.id)
          AND NOT EXISTS (
            SELECT 1
            FROM jobs AS child
            WHERE child.parent_id = jobs.id
              AND (
                (child.status = 'running' AND child.lease_expires_at > :now)
                OR (
                  child.status = 'queued'
                  AND child.error_code = 'interrupted'
                  AND child.updated_at = :now
                )
              )
          )
        """,
        params={"message": Message},
    )

    _fail_interrupted = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'failed',
            error = :message,
            error_code = 'interrupted',
            worker = NULL,
            lease_expires_at = NULL,
            updated_at = :now,
            finished_at = :now
        WHERE status = 'running'
          AND (lease_expires_at IS NULL OR lease_expires_at <= :now)
          AND NOT EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = jobs.id)
        """,
        params={"message": Message},
    )

    _fail_children_of_interrupted = Command(
        Job,
        """
        UPDATE jobs
        SET status = 'failed',
            error = :message,
            error_code = 'interrupted',
            updated_at = :now,
            finished_at = :now
        WHERE status = 'queued'
          AND parent_id IN (
            SELECT id
            FROM jobs AS parent
            WHERE parent.parent_id IS NULL
              AND parent.finished_at = :now
              AND parent.error_code = 'interrupted'
          )
        """,
        params={"message": Message},
    )

    _count_queued = Query(
        int,
        """
        SELECT count(*)
        FROM jobs
        WHERE status = 'queued'
        """,
    )

    # Neither a parent nor another job must wait for a deleted job, so the job is cancelled first.
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

    # Children first, because a batch may have more of them than a slice.
    _purge_children = Command(
        Job,
        """
        DELETE FROM jobs
        WHERE id IN (
          SELECT jobs.id
          FROM (
            SELECT id
            FROM jobs
            WHERE parent_id IS NULL
              AND finished_at < :before
              AND NOT EXISTS (
                SELECT 1
                FROM jobs AS child
                WHERE child.parent_id = jobs.id
                  AND child.status IN ('queued', 'running')
              )
            LIMIT :slice
          ) AS parent
          CROSS JOIN jobs
          WHERE jobs.parent_id = parent.id
          LIMIT :slice
        )
        """,
        params={"before": datetime, "slice": int},
    )

    _purge = Command(
        Job,
        """
        DELETE FROM jobs
        WHERE id IN (
            SELECT id
            FROM jobs
            WHERE parent_id IS NULL
              AND finished_at < :before
              AND NOT EXISTS (
                SELECT 1
                FROM jobs AS child
                WHERE child.parent_id = jobs.id
                  AND child.status IN ('queued', 'running')
              )
            LIMIT :slice
          )
          AND NOT EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = jobs.id)
        """,
        params={"before": datetime, "slice": int},
    )

    async def recover(self, *, message: str = "interrupted by restart") -> RecoveryReport:
        """Queues or fails interrupted jobs, with message as their error; call it after a start.

            running, lease expired or none, attempts left     queued again
            running, lease expired or none, no attempt left   failed
            running under a lease that has not expired        left alone: another process works on it
            queued                                            stays queued

        Claims count as attempts of max_attempts, and so do runs that update(status="running") has begun. A
        batch goes on if one of its children was queued again or is held by another process; otherwise a
        running batch fails, with its queued children.

        Returns how many jobs failed, children included, and how many are queued afterwards. Each of
        several processes may call it at any time.
        """
        now = self._now()
        _, parents, jobs, children, left_queued = await self._batch(
            self._requeue_interrupted.count(message=message, now=now),
            self._fail_interrupted_parents.count(message=message, now=now),
            self._fail_interrupted.count(message=message, now=now),
            self._fail_children_of_interrupted.count(message=message, now=now),
            self._count_queued.one(),
        )
        return RecoveryReport(failed=parents + jobs + children, left_queued=left_queued)

    async def delete(self, job_id: UUID | str, *, missing_ok: bool = False) -> bool:
        """Deletes the job and its children. A deleted child no longer belongs to its batch; the batch
        finishes if this child was the last unfinished one.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        _, count = await self._batch(
            self._cancel_before_delete.count(id=job_id, now=self._now()),
            self._delete.count(id=job_id),
        )
        return self._deleted(count, job_id, missing_ok=missing_ok)

    async def purge(self, older_than: timedelta) -> int:
        """Deletes top-level jobs that finished longer ago than this, with their children. Returns how many.

        A job with an unfinished child is kept. Waiting writers get their turn meanwhile: every few hundred
        jobs are a transaction of their own, unless this is called in a unit of work.
        """
        bounds: dict[str, Any] = {
            "before": moment_before(self._now(), "older_than", older_than),
            "slice": SLICE,
        }
        steps = self._purge_children.count(**bounds), self._purge.count(**bounds)
        return sum([count async for _, count in self._slices(*steps)])
