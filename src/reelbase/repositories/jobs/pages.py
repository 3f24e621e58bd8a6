"""Pages of top-level jobs, and how many jobs have each status."""

from __future__ import annotations

from typing import Any

from reelbase.engine.ids import END_OF_TIME, MAX_ID
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.statement import PageQuery, Query
from reelbase.repositories.jobs.queries import JobQueries
from reelbase.repositories.jobs.records import (
    Job,
    JobQueue,
    JobStatus,
    JobStatusLike,
    StatusCount,
)

_NEWEST_FIRST = {"created_at": END_OF_TIME, "id": MAX_ID}
# Few among many, so that they have indexes of their own.
_ACTIVE = (JobStatus.QUEUED, JobStatus.RUNNING)
_FAILED = (JobStatus.FAILED, JobStatus.CANCELLED)


class JobPages(JobQueries):
    """How jobs are looked through."""

    _page = PageQuery(
        Job,
        """
        SELECT *
        FROM jobs
        WHERE profile_id = :profile_id
          AND parent_id IS NULL
          AND (created_at, id) < (:created_at, :id)
          AND (NOT :filter_status OR status = :status)
          AND (NOT :filter_type OR type = :type)
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        keyset=_NEWEST_FIRST,
    )

    _page_of_all = PageQuery(
        Job,
        """
        SELECT *
        FROM jobs
        WHERE parent_id IS NULL
          AND (created_at, id) < (:created_at, :id)
          AND (NOT :filter_status OR status = :status)
          AND (NOT :filter_type OR type = :type)
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        keyset=_NEWEST_FIRST,
    )

    _page_of_active = PageQuery(
        Job,
        """
        SELECT *
        FROM jobs
        WHERE profile_id = :profile_id
          AND parent_id IS NULL
          AND status IN ('queued', 'running')
          AND (created_at, id) < (:created_at, :id)
          AND (NOT :filter_status OR status = :status)
          AND (NOT :filter_type OR type = :type)
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        keyset=_NEWEST_FIRST,
    )

    # The + keeps SQLite from using the index of all jobs without a parent, which has the finished ones, too.
    _page_of_all_active = PageQuery(
        Job,
        """
        SELECT *
        FROM jobs
        WHERE +parent_id IS NULL
          AND status IN ('queued', 'running')
          AND (created_at, id) < (:created_at, :id)
          AND (NOT :filter_status OR status = :status)
          AND (NOT :filter_type OR type = :type)
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        keyset=_NEWEST_FIRST,
    )

    _page_of_failed = PageQuery(
        Job,
        """
        SELECT *
        FROM jobs
        WHERE profile_id = :profile_id
          AND status = :status
          AND parent_id IS NULL
          AND status IN ('failed', 'cancelled')
          AND (created_at, id) < (:created_at, :id)
          AND (NOT :filter_type OR type = :type)
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        keyset=_NEWEST_FIRST,
    )

    _page_of_all_failed = PageQuery(
        Job,
        """
        SELECT *
        FROM jobs
        WHERE status = :status
          AND parent_id IS NULL
          AND status IN ('failed', 'cancelled')
          AND (created_at, id) < (:created_at, :id)
          AND (NOT :filter_type OR type = :type)
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        keyset=_NEWEST_FIRST,
    )

    _counts = Query(
        StatusCount,
        """
        SELECT status, count(*) AS count
        FROM jobs
        WHERE profile_id = :profile_id
          AND parent_id IS NULL
          AND (NOT :filter_type OR type = :type)
        GROUP BY status
        ORDER BY status
        """,
        params={"profile_id": str, "type": str},
    )

    _counts_of_all = Query(
        StatusCount,
        """
        SELECT status, count(*) AS count
        FROM jobs
        WHERE parent_id IS NULL
          AND (NOT :filter_type OR type = :type)
        GROUP BY status
        ORDER BY status
        """,
        params={"type": str},
    )

    _queues = Query(
        JobQueue,
        """
        SELECT
          type,
          count(*) AS count,
          min(CASE WHEN run_after > updated_at THEN run_after ELSE updated_at END) AS waiting_since
        FROM jobs
        WHERE status IN ('queued', 'running')
          AND status = 'queued'
          AND NOT is_batch
          AND waiting_for = 0
          AND (run_after IS NULL OR run_after <= :now)
        GROUP BY type
        ORDER BY type NULLS FIRST
        """,
    )

    async def page(
        self,
        profile_id: str | None = None,
        *,
        after: Job | str | None = None,
        limit: int | None = 50,
        active_only: bool = False,
        status: JobStatusLike | None = None,
        type: str | None = None,
    ) -> Page[Job]:
        """A page of top-level jobs, newest first, by keyset.

        Args:
            profile_id: the profile; None: all profiles.
            after: ``next`` of the page before, or its last job; None: the first page.
            limit: at most this many; None: all.
            active_only: only queued and running jobs.
            status: only jobs with this status; None: any.
            type: only jobs of this type; None: any. A page of one type, and one of succeeded jobs, reads all
                jobs that lie between them, too.

        Returns:
            The jobs; [] also for an unknown profile. With ``next``, the token of the next page, or None on
            the last one.

        Raises:
            InvalidArgumentError: after is no token of this listing; active_only excludes the status.
        """
        if active_only and status is not None and status not in _ACTIVE:
            raise invalid_argument("status", f"is no status of an active job: {status!r}")
        filters: dict[str, Any] = {
            "filter_type": type is not None,
            "type": type,
            "status": status,
        }
        if profile_id is not None:
            filters["profile_id"] = profile_id
        if status in _FAILED:
            query = self._page_of_all_failed if profile_id is None else self._page_of_failed
        else:
            filters["filter_status"] = status is not None
            if active_only or status in _ACTIVE:
                query = self._page_of_all_active if profile_id is None else self._page_of_active
            else:
                query = self._page_of_all if profile_id is None else self._page
        return await self._run(query.page(after=after, limit=limit, **filters))

    async def counts_by_status(
        self, profile_id: str | None = None, *, type: str | None = None
    ) -> dict[JobStatus, int]:
        """How many top-level jobs have each status that occurs.

        Args:
            profile_id: the profile; None: all profiles.
            type: only jobs of this type; None: any.

        Returns:
            The numbers; {} when there are no such jobs.
        """
        filters: dict[str, object] = {"filter_type": type is not None, "type": type}
        if profile_id is None:
            step = self._counts_of_all.all(**filters)
        else:
            step = self._counts.all(profile_id=profile_id, **filters)
        return {row.status: row.count for row in await self._run(step)}

    async def queues(self) -> list[JobQueue]:
        """The types of which jobs wait for a worker, also paused ones: of a type that no worker has a handler
        for, waiting_since tells. It reads all queued and running jobs (100,000: 0.2 s).

        Returns:
            A queue for each type of which a job could be claimed now, were its type not paused or at its
            limit, ordered by type. Jobs that are put off, or wait for earlier jobs, are in none.
        """
        return await self._run(self._queues.all(now=self._now()))
