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
        """Adds a queued job and returns it.

        parent_id: the batch that it belongs to, which decides by its state:

            queued, running                  the child is queued
            succeeded, failed, cancelled     InvalidTransitionError; retry() the batch first

        total: how many work items it has; a parent whose children are added one by one finishes when
        that many have.  max_attempts: how often it may be claimed before it fails for good.
        ConstraintError: kind foreign_key when profile or parent do not exist; kind check when the
        parent is of another profile or has a parent itself, total is negative or max_attempts below 1.
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
        """Adds a parent with params and a child of the same type for each of children, all or nothing.

        Returns the parent and its children in the order given. The parent is never claimed; it
        follows its children. children: the params of each; ValueError when there are none, because
        such a batch could never finish.  id: of the parent.  priority, run_after, max_attempts: of
        every child, as in add(). ConstraintError as in add().
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
