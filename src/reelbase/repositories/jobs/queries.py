"""Finding jobs: by id, by profile, by the files and transcripts that they refer to."""

from __future__ import annotations

import asyncio
import builtins
import time
from uuid import UUID

from reelbase.engine.ids import moment_after
from reelbase.engine.repository import Repository
from reelbase.engine.statements.statement import Query
from reelbase.errors import DatabaseError, DatabaseTimeoutError
from reelbase.repositories.jobs.records import Job

# Between two looks at a job that is waited for.
_FIRST_LOOK_SECONDS, _LAST_LOOK_SECONDS = 0.005, 0.1


class JobQueries(Repository):
    """How jobs are read."""

    entity = "job"
    table = "jobs"
    _repository = "JobRepository"

    _get = Query(
        Job,
        """
        SELECT *
        FROM jobs
        WHERE id = :id
        """,
    )

    _list_for_profile = Query(
        Job,
        """
        SELECT *
        FROM jobs
        WHERE profile_id = :profile_id
          AND parent_id IS NULL
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _list_active_for_profile = Query(
        Job,
        """
        SELECT *
        FROM jobs
        WHERE profile_id = :profile_id
          AND parent_id IS NULL
          AND status IN ('queued', 'running')
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _list = Query(
        Job,
        """
        SELECT *
        FROM jobs
        WHERE parent_id IS NULL
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    # The + keeps SQLite from using the index of all jobs without a parent, which has the finished ones, too.
    _list_active = Query(
        Job,
        """
        SELECT *
        FROM jobs
        WHERE +parent_id IS NULL
          AND status IN ('queued', 'running')
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _list_unfinished = Query(
        Job,
        """
        SELECT *
        FROM jobs
        WHERE status IN ('queued', 'running')
        ORDER BY created_at, id
        LIMIT :limit OFFSET :offset
        """,
    )

    _find_referencing_file = Query(
        UUID,
        """
        SELECT DISTINCT coalesce(jobs.parent_id, jobs.id)
        FROM job_references
        CROSS JOIN jobs
        WHERE jobs.id = job_references.job_id
          AND job_references.target_id = :file_id
          AND job_references.target_type = 'file'
          AND jobs.profile_id = :profile_id
        """,
        params={"file_id": UUID, "profile_id": str},
    )

    _find_referencing_transcript = Query(
        UUID,
        """
        SELECT DISTINCT coalesce(jobs.parent_id, jobs.id)
        FROM job_references
        CROSS JOIN jobs
        WHERE jobs.id = job_references.job_id
          AND job_references.target_id = :transcript_id
          AND job_references.target_type = 'transcript'
          AND jobs.profile_id = :profile_id
        """,
        params={"transcript_id": UUID, "profile_id": str},
    )

    _list_children = Query(
        Job,
        """
        SELECT *
        FROM jobs
        WHERE parent_id = :parent_id
        ORDER BY created_at, id
        LIMIT :limit OFFSET :offset
        """,
        params={"parent_id": UUID},
    )

    _list_needed = Query(
        Job,
        """
        SELECT *
        FROM jobs
        WHERE id IN (SELECT needs_id FROM job_dependencies WHERE job_id = :job_id)
        ORDER BY created_at, id
        LIMIT :limit OFFSET :offset
        """,
        params={"job_id": UUID},
    )

    async def get(self, job_id: UUID | str) -> Job:
        """The job; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=job_id))

    async def find(self, job_id: UUID | str) -> Job | None:
        """The job, or None."""
        return await self._run(self._get.optional(id=job_id))

    async def wait(self, job_id: UUID | str, *, timeout: float | None = None) -> Job:
        """The job, as soon as it has succeeded, failed or been cancelled; at once if it has before.

        It looks again after a while, a tenth of a second at most.

        Args:
            job_id: the job.
            timeout: seconds to wait; None: as long as it takes.

        Returns:
            The finished job.

        Raises:
            InvalidArgumentError: timeout is negative, or ends past the year 9999.
            DatabaseTimeoutError: the job had not finished then. It is not affected.
            DatabaseError: code inside_unit: in a unit of work or a snapshot, which would not see the change.
            RecordNotFoundError: there is no such job, or it was deleted meanwhile.
        """
        if not self._commits():
            raise DatabaseError(
                "a unit of work or a snapshot cannot wait for a job; call database.jobs.wait()",
                code="inside_unit",
            )
        if timeout is not None:
            moment_after(self._now(), "timeout", timeout)  # refuses what is no number of seconds
        began, pause = time.monotonic(), _FIRST_LOOK_SECONDS
        while True:
            job = await self._run(self._get.one(id=job_id))
            if job.status.is_finished:
                return job
            if timeout is not None:
                remaining = began + timeout - time.monotonic()
                if remaining <= 0:
                    raise DatabaseTimeoutError(
                        f"job {job_id} is {job.status} after {timeout} s",
                        details={"job_id": str(job.id), "status": str(job.status)},
                    )
                pause = min(pause, remaining)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_LOOK_SECONDS)

    async def list_for_profile(
        self,
        profile_id: str,
        active_only: bool = False,
        *,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Job]:
        """A profile's top-level jobs, newest first.

        Args:
            profile_id: the profile.
            active_only: only queued and running jobs.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The jobs; [] also for an unknown profile.
        """
        query = self._list_active_for_profile if active_only else self._list_for_profile
        return await self._run(query.all(profile_id=profile_id, limit=limit, offset=offset))

    async def list(
        self, *, active_only: bool = False, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[Job]:
        """Top-level jobs of every profile, newest first, for an administrator.

        Args:
            active_only: only queued and running jobs.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The jobs; [] when there are none.
        """
        query = self._list_active if active_only else self._list
        return await self._run(query.all(limit=limit, offset=offset))

    async def list_children(
        self, parent_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[Job]:
        """A batch's jobs, oldest first.

        Args:
            parent_id: the batch.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The jobs; [] also when there is no such batch.
        """
        return await self._run(
            self._list_children.all(parent_id=parent_id, limit=limit, offset=offset)
        )

    async def list_needed(
        self, job_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[Job]:
        """The jobs that a job waits for, or has waited for, oldest first.

        Args:
            job_id: the job.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The jobs; [] when there are none.
        """
        return await self._run(self._list_needed.all(job_id=job_id, limit=limit, offset=offset))

    async def list_unfinished(
        self, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[Job]:
        """The queued and running jobs of every profile, parents and children, oldest first.

        Args:
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The jobs; [] when there are none.
        """
        return await self._run(self._list_unfinished.all(limit=limit, offset=offset))

    async def find_referencing_file(self, profile_id: str, file_id: UUID | str) -> set[UUID]:
        """The profile's top-level jobs that use or made the file; a child stands for its parent.

        References are params.file_id, params.file_ids[], result.file_id and result.srt_file_id.
        """
        step = self._find_referencing_file.all(profile_id=profile_id, file_id=file_id)
        return set(await self._run(step))

    async def find_referencing_transcript(
        self, profile_id: str, transcript_id: UUID | str
    ) -> set[UUID]:
        """The profile's top-level jobs that made the transcript (result.transcript_id)."""
        step = self._find_referencing_transcript.all(
            profile_id=profile_id, transcript_id=transcript_id
        )
        return set(await self._run(step))
