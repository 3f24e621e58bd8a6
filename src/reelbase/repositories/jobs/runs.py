"""The records of a job's runs: finished steps and log lines."""

from __future__ import annotations

from uuid import UUID

from reelbase.engine.statements.parameters import JsonValue
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.jobs.queries import JobQueries
from reelbase.repositories.jobs.records import JobLogLine, JobStep

_KEPT_LINES = 10_000


class JobRuns(JobQueries):
    """Steps that are not done again, and a log for people."""

    _find_step = Query(
        JobStep,
        """
        SELECT *
        FROM job_steps
        WHERE job_id = :job_id
          AND name = :name
        """,
    )

    _steps = Query(
        JobStep,
        """
        SELECT *
        FROM job_steps
        WHERE job_id = :job_id
        ORDER BY finished_at NULLS FIRST, name
        """,
    )

    _finish_step = Command(
        JobStep,
        """
        INSERT INTO job_steps (job_id, name, attempt, result, finished_at)
        SELECT id, :name, attempts, :result, :now
        FROM jobs
        WHERE id = :job_id
          AND status = 'running'
          AND worker = :worker
          AND attempts = :attempt
        RETURNING *
        """,
        params={"worker": str},
    )

    _log = Command(
        JobLogLine,
        """
        INSERT INTO job_logs (job_id, number, attempt, text, created_at)
        SELECT
          id,
          1 + coalesce((SELECT max(line.number) FROM job_logs AS line WHERE line.job_id = :job_id), 0),
          coalesce(:attempt, attempts),
          :text,
          :now
        FROM jobs
        WHERE id = :job_id
        RETURNING *
        """,
        relaxed=True,
    )

    _forget_lines = Command(
        JobLogLine,
        """
        DELETE FROM job_logs
        WHERE job_id = :job_id
          AND number <= (
            SELECT max(line.number) - :kept
            FROM job_logs AS line
            WHERE line.job_id = :job_id
          )
        """,
        params={"kept": int},
        relaxed=True,
    )

    _log_lines = Query(
        JobLogLine,
        """
        SELECT *
        FROM job_logs
        WHERE job_id = :job_id
          AND number > :after
        ORDER BY number
        LIMIT :limit
        """,
        params={"after": int},
    )

    async def steps(self, job_id: UUID | str) -> list[JobStep]:
        """The finished steps of the job, in the order in which they were finished; [] when there are none."""
        return await self._run(self._steps.all(job_id=job_id))

    async def find_step(self, job_id: UUID | str, name: str) -> JobStep | None:
        """The finished step of this name, or None."""
        return await self._run(self._find_step.optional(job_id=job_id, name=name))

    async def finish_step(
        self, job_id: UUID | str, name: str, result: JsonValue, *, worker: str, attempt: int
    ) -> JobStep:
        """Stores that a step of the job is finished. Handlers call run.step(), which does it for them.

        In a unit of work it is stored together with the writes of the step, or none of both.

        Args:
            job_id: the job.
            name: the name of the step, which the job has once.
            result: the result, as JSON; None is JSON's null.
            worker: the worker that holds the job.
            attempt: the attempt that is running, by the ``attempts`` of the job that claim() returned.

        Returns:
            The step.

        Raises:
            InvalidTransitionError: the job is not running, or another worker or attempt holds it.
            RecordNotFoundError: there is no such job.
            ConstraintError: kind unique, when the step was finished before.
        """
        step = await self._run(
            self._finish_step.optional(
                job_id=job_id,
                name=name,
                result=result,
                worker=worker,
                attempt=attempt,
                now=self._now(),
            )
        )
        if step is None:
            job = await self._run(self._get.one(id=job_id))
            raise self._not_moved(f"finish step {name!r}", job_id, job)
        return step

    async def log(self, job_id: UUID | str, text: str, *, attempt: int | None = None) -> JobLogLine:
        """Adds a line to the log of the job, which keeps the newest 10,000. It does not wait for the disk.

        Args:
            job_id: the job.
            text: the line; characters that cannot be stored are replaced.
            attempt: the attempt that it is about; None: the latest.

        Returns:
            The line.

        Raises:
            RecordNotFoundError: there is no such job.
        """
        line, _ = await self._batch(
            self._log.optional(job_id=job_id, text=text, attempt=attempt, now=self._now()),
            self._forget_lines.count(job_id=job_id, kept=_KEPT_LINES),
        )
        if line is None:
            raise self._not_found(job_id)
        return line

    async def log_lines(
        self, job_id: UUID | str, *, after: int = 0, limit: int | None = None
    ) -> list[JobLogLine]:
        """The log of the job, oldest line first.

        Args:
            job_id: the job.
            after: only lines with a number above this one, for a view that follows the log.
            limit: at most this many; None: all.

        Returns:
            The lines; [] when there are none.
        """
        return await self._run(self._log_lines.all(job_id=job_id, after=after, limit=limit))
