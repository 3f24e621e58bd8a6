"""Limits: pauses of a type of jobs, and how many of them may run at once."""

from __future__ import annotations

from datetime import datetime

from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.jobs.queries import JobQueries
from reelbase.repositories.jobs.records import Job


class JobLimits(JobQueries):
    """How the jobs of a type are held back, in all processes."""

    _pause = Command(
        Job,
        """
        INSERT INTO job_types (type, paused_at)
        VALUES (:type, :now)
        ON CONFLICT (type) DO UPDATE SET
          paused_at = excluded.paused_at
        WHERE job_types.paused_at IS NULL
        """,
    )

    _resume = Command(
        Job,
        """
        UPDATE job_types
        SET paused_at = NULL
        WHERE type = :type
          AND paused_at IS NOT NULL
        """,
    )

    _paused = Query(
        tuple[str, datetime],
        """
        SELECT type, paused_at
        FROM job_types
        WHERE paused_at IS NOT NULL
        ORDER BY type NULLS FIRST
        """,
    )

    _limit = Command(
        Job,
        """
        INSERT INTO job_types (type, running_limit)
        SELECT :type, :running
        WHERE :running IS NOT NULL
          OR EXISTS (SELECT 1 FROM job_types AS known WHERE known.type = :type)
        ON CONFLICT (type) DO UPDATE SET
          running_limit = excluded.running_limit
        WHERE job_types.running_limit IS DISTINCT FROM excluded.running_limit
        """,
        params={"running": int},
    )

    _limits = Query(
        tuple[str, int],
        """
        SELECT type, running_limit
        FROM job_types
        WHERE running_limit IS NOT NULL
        ORDER BY type NULLS FIRST
        """,
    )

    async def pause(self, type: str) -> bool:
        """Pauses a type: no worker claims its jobs until resume(). Jobs that run go on; jobs may be added.

        Args:
            type: the type of the jobs; there need not be any.

        Returns:
            False, with no change, when it was paused before.
        """
        return await self._run(self._pause.count(type=type, now=self._now())) > 0

    async def resume(self, type: str) -> bool:
        """Ends the pause of a type. False, with no change, when it is not paused."""
        return await self._run(self._resume.count(type=type)) > 0

    async def paused(self) -> dict[str, datetime]:
        """The types that are paused, each with the time of its pause, ordered by type; {} when none is."""
        return dict(await self._run(self._paused.all()))

    async def limit(self, type: str, *, running: int | None) -> bool:
        """Sets how many jobs of a type may run at once, in all processes; claims heed it from then on.

        A job runs from its claim until it ends or goes back into the queue. One whose worker was killed
        counts until its lease has expired and it has failed or been claimed again. If more run already, they
        go on.

        Args:
            type: the type of the jobs; there need not be any.
            running: the highest number, 1 or more; None: no limit.

        Returns:
            False, with no change, when this was the limit before.

        Raises:
            InvalidArgumentError: running is below 1; pause() stops a type.
        """
        if running is not None:
            if not isinstance(running, int) or isinstance(running, bool):
                raise wrong_type(
                    "running", f"must be int or None, not {running.__class__.__name__}"
                )
            if running < 1:
                raise invalid_argument(
                    "running", f"must be 1 or more, not {running}; pause() stops a type"
                )
        return await self._run(self._limit.count(type=type, running=running)) > 0

    async def limits(self) -> dict[str, int]:
        """The types that have a limit, each with the number of its jobs that may run at once, ordered by
        type; {} when none has."""
        return dict(await self._run(self._limits.all()))
