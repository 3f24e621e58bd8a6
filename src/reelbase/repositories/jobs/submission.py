"""Adding jobs, alone and as batches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from reelbase.engine.ids import new_id
from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.engine.statements.statement import Command
from reelbase.repositories.jobs.queries import JobQueries
from reelbase.repositories.jobs.records import Job


class JobSubmission(JobQueries):
    """How jobs and batches are queued."""

    _add = Command(
        Job,
        """
        INSERT INTO jobs (
          id, profile_id, parent_id, type, status, total, params, priority, max_attempts, run_after,
          created_at, updated_at
        )
        SELECT
          :id, :profile_id, :parent_id, :type, 'queued', :total, :params, :priority, :max_attempts,
          :run_after, :now, :now
        WHERE NOT EXISTS (
          SELECT 1
          FROM jobs AS parent
          WHERE parent.id = :parent_id
            AND parent.finished_at IS NOT NULL
        )
        RETURNING *
        """,
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
    ) -> Job:
        """Adds a queued job.

        Args:
            profile_id: the profile that owns the job.
            type: the application's own word, by which workers choose jobs.
            params: the parameters of the job, as JSON.
            parent_id: the batch of this job, which must be queued or running; None: none.
            total: how many work items it has; a parent whose children are added one by one finishes when
                this many children have finished.
            id: the id of the job; None: a new one.
            priority: a higher one is claimed sooner.
            run_after: it is not claimed before this time; None: at once.
            max_attempts: how often it may be claimed before it fails for good; at least 1.

        Returns:
            The job.

        Raises:
            InvalidTransitionError: the batch has finished; retry() it first.
            ConstraintError: kind unique when the id is taken; kind foreign_key when the profile or the
                parent does not exist; kind check when the parent is of another profile or has a parent
                itself, when total is negative, or when max_attempts is below 1.
        """
        if params is None:
            raise invalid_argument("params", "must not be None")
        job = await self._run(
            self._add.optional(
                id=new_id() if id is None else id,
                profile_id=profile_id,
                parent_id=parent_id,
                type=type,
                total=total,
                params=params,
                priority=priority,
                max_attempts=max_attempts,
                run_after=run_after,
                now=self._now(),
            )
        )
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
            self._list_children.all(parent_id=parent_id),
        )
        return parent, added
