"""Adding jobs, alone and as batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from reelbase.engine.ids import moment_before, new_id
from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.jobs.queries import JobQueries
from reelbase.repositories.jobs.records import Job, JobStatus


class JobSubmission(JobQueries):
    """How jobs and batches are queued."""

    _add = Command(
        Job,
        """
        INSERT INTO jobs (
          id, profile_id, parent_id, type, status, total, params, priority, max_attempts, run_after,
          unique_key, created_at, updated_at
        )
        SELECT
          :id, :profile_id, :parent_id, :type, 'queued', :total, :params, :priority, :max_attempts,
          :run_after, :unique_key, :now, :now
        WHERE NOT EXISTS (
            SELECT 1
            FROM jobs AS parent
            WHERE parent.id = :parent_id
              AND parent.finished_at IS NOT NULL
          )
          AND NOT EXISTS (
            SELECT 1
            FROM jobs AS same
            WHERE same.profile_id = :profile_id
              AND same.type = :type
              AND same.unique_key = :unique_key
              AND same.status IN ('queued', 'running')
          )
          AND NOT EXISTS (
            SELECT 1
            FROM jobs AS same
            WHERE same.profile_id = :profile_id
              AND same.type = :type
              AND same.unique_key = :unique_key
              AND same.created_at > :since
          )
          AND NOT EXISTS (
            SELECT 1
            FROM json_each(:after) AS listed
            LEFT JOIN jobs AS needed ON needed.id = listed.value AND needed.profile_id = :profile_id
            WHERE needed.id IS NULL
              OR needed.status IN ('failed', 'cancelled')
          )
        RETURNING *
        """,
        params={"since": datetime, "after": list[str]},
    )

    # Runs right after the statement that adds a job: changes() tells whether it did.
    _add_dependencies = Command(
        Job,
        """
        INSERT INTO job_dependencies (job_id, needs_id)
        SELECT :id, listed.value
        FROM json_each(:after) AS listed
        WHERE changes() > 0
        """,
        params={"after": list[str]},
    )

    # Why a job was not added after others: the first of them that is not there, or will not succeed.
    _obstacle = Query(
        tuple[str, JobStatus | None],
        """
        SELECT listed.value AS id, needed.status
        FROM json_each(:after) AS listed
        LEFT JOIN jobs AS needed ON needed.id = listed.value AND needed.profile_id = :profile_id
        WHERE needed.id IS NULL
          OR needed.status IN ('failed', 'cancelled')
        ORDER BY listed.key
        LIMIT 1
        """,
        params={"after": list[str], "profile_id": str},
    )

    # Runs right after the statement that adds a job, which finds the same and then adds none.
    _find_same = Query(
        Job,
        """
        SELECT *
        FROM jobs
        WHERE id = coalesce(
          (
            SELECT same.id
            FROM jobs AS same
            WHERE same.profile_id = :profile_id
              AND same.type = :type
              AND same.unique_key = :unique_key
              AND same.status IN ('queued', 'running')
          ),
          (
            SELECT same.id
            FROM jobs AS same
            WHERE same.profile_id = :profile_id
              AND same.type = :type
              AND same.unique_key = :unique_key
              AND same.created_at > :since
            ORDER BY same.created_at DESC, same.id DESC
            LIMIT 1
          )
        )
        """,
        params={"since": datetime},
    )

    async def add(
        self,
        profile_id: str,
        type: str,
        params: dict[str, Any],
        parent_id: UUID | str | None = None,
        total: int = 1,
        *,
        id: UUID | str | None = None,
        priority: int = 0,
        run_after: datetime | None = None,
        max_attempts: int = 1,
        unique_key: str | None = None,
        unique_for: timedelta | None = None,
        after: Iterable[UUID | str] = (),
    ) -> Job:
        """Adds a queued job; or, with a key that one has already, returns that one.

        Args:
            profile_id: the profile that owns the job.
            type: the application's own word, by which workers choose jobs.
            params: the parameters of the job, as JSON.
            parent_id: the batch of this job, which must be queued or running; None: none.
            total: how many work items it has; a parent with children added one by one finishes when this many
                of them have finished.
            id: the id of the job; None: a new one.
            priority: a higher one is claimed sooner.
            run_after: it is not claimed before this time; None: at once.
            max_attempts: how often it may be claimed before it fails for good; at least 1. With 1 the
                job of a worker that is killed fails; with more another worker takes it over.
            unique_key: a text of the application that says which work this is. If a queued or running job of
                the same profile and type has this key, no job is added, in whichever process it was. None:
                the job is always added.
            unique_for: jobs that have ended count, too, if they were added less than this long ago and were
                not deleted since; needs a unique_key. None: they do not count.
            after: the ids of jobs of the same profile that have to succeed before this one is claimed; of a
                batch, its children have to end. If one of them fails for good, this job fails with it, and
                is cancelled with one that is cancelled or deleted; its error_code is then dependency.

        Returns:
            The new job; or the one that has the key, unchanged: the unfinished one, else the newest.

        Raises:
            InvalidArgumentError: unique_for without a unique_key.
            InvalidTransitionError: the batch, or a job of after, has finished and not succeeded; retry() it
                first.
            RecordNotFoundError: the profile has no such job of after.
            ConstraintError: kind unique when the id is taken; kind foreign_key when the profile or the
                parent does not exist; kind check when the parent is of another profile, has a parent
                itself or waits for jobs, when total is negative, or when max_attempts is below 1.
        """
        if params is None:
            raise invalid_argument("params", "must not be None")
        if unique_for is not None and unique_key is None:
            raise invalid_argument("unique_for", "needs a unique_key")
        now = self._now()
        key: dict[str, Any] = {
            "profile_id": profile_id,
            "type": type,
            "unique_key": unique_key,
            "since": None if unique_for is None else moment_before(now, "unique_for", unique_for),
        }
        needed = list(dict.fromkeys(self._ids("after", after)))
        job_id = new_id() if id is None else id
        step = self._add.optional(
            id=job_id,
            parent_id=parent_id,
            total=total,
            params=params,
            priority=priority,
            max_attempts=max_attempts,
            run_after=run_after,
            after=needed,
            now=now,
            **key,
        )
        obstacle = None
        if unique_key is None and not needed:
            job = await self._run(step)
        else:
            added, _, counted, same, obstacle = await self._batch(
                step,
                self._add_dependencies.count(id=job_id, after=needed),
                self._get.optional(id=job_id),
                self._find_same.optional(**key),
                self._obstacle.optional(after=needed, profile_id=profile_id),
            )
            job = counted if added else same
        if job is None and obstacle is not None:
            needed_id, status = obstacle
            if status is None:
                raise self._not_found(needed_id)
            raise self._refused("be waited for", needed_id, status)
        if job is None:
            parent = await self._run(self._get.one(id=parent_id))
            raise self._refused("take another child", parent.id, parent.status)
        return job

    async def add_batch(
        self,
        profile_id: str,
        type: str,
        params: dict[str, Any],
        children: Sequence[dict[str, Any]],
        *,
        id: UUID | str | None = None,
        priority: int = 0,
        run_after: datetime | None = None,
        max_attempts: int = 1,
    ) -> tuple[Job, list[Job]]:
        """Adds a batch: a parent, and children of the same type, all or none.

        The parent is never claimed; it follows its children.

        Args:
            profile_id: the profile that owns the batch.
            type: the type of the parent and of all children.
            params: the parameters of the parent.
            children: the parameters of each child; at least one, because a batch without children could
                never finish.
            id: the id of the parent; None: a new one.
            priority: that of every child, as in add().
            run_after: that of every child, as in add().
            max_attempts: that of every child, as in add().

        Returns:
            The parent, and its children in the order given.

        Raises:
            ValueError: children is empty.
            ConstraintError: as in add().
        """
        if params is None:
            raise invalid_argument("params", "must not be None")
        if isinstance(children, str | bytes) or not isinstance(children, Sequence):
            raise wrong_type(
                "children", f"must be a list of dicts, not {children.__class__.__name__}"
            )
        if not children:
            raise invalid_argument("children", "a batch needs at least one child")
        common: dict[str, Any] = {
            "profile_id": profile_id,
            "type": type,
            "priority": priority,
            "max_attempts": max_attempts,
            "run_after": run_after,
            "unique_key": None,
            "since": None,
            "after": [],
            "now": self._now(),
        }
        parent_id = new_id() if id is None else id
        rows = [
            {"id": new_id(), "parent_id": parent_id, "total": 1, "params": child, **common}
            for child in children
        ]
        parent, _, added = await self._batch(
            self._add.one(id=parent_id, parent_id=None, total=len(rows), params=params, **common),
            self._add.many(rows),
            self._list_children.all(parent_id=parent_id, limit=None, offset=0),
        )
        return parent, added
