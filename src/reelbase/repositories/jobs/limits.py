"""Limits: pauses of a type of jobs, how many of them may run at once, and how many may start in a period."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import UNSET, UnsetType

from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.jobs.queries import JobQueries
from reelbase.repositories.jobs.records import Job, JobRate

_SHORTEST, _LONGEST = timedelta(milliseconds=1), timedelta(days=366)


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
        INSERT INTO job_types (type, running_limit, start_limit, start_seconds)
        SELECT :type, :running, :starts, :start_seconds
        WHERE :running IS NOT NULL
          OR :starts IS NOT NULL
          OR EXISTS (SELECT 1 FROM job_types AS known WHERE known.type = :type)
        ON CONFLICT (type) DO UPDATE SET
          running_limit = iif(:set_running, excluded.running_limit, job_types.running_limit),
          start_limit = iif(:set_starts, excluded.start_limit, job_types.start_limit),
          start_seconds = iif(:set_starts, excluded.start_seconds, job_types.start_seconds)
        WHERE (:set_running AND job_types.running_limit IS DISTINCT FROM excluded.running_limit)
          OR (
            :set_starts
            AND (
              job_types.start_limit IS DISTINCT FROM excluded.start_limit
              OR job_types.start_seconds IS DISTINCT FROM excluded.start_seconds
            )
          )
        """,
        params={"running": int, "starts": int, "start_seconds": float},
    )

    _rates = Query(
        JobRate,
        """
        SELECT type, start_limit AS starts, start_seconds AS seconds
        FROM job_types
        WHERE start_limit IS NOT NULL
        ORDER BY type NULLS FIRST
        """,
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

    async def limit(
        self,
        type: str,
        *,
        running: int | UnsetType | None = UNSET,
        starts: int | UnsetType | None = UNSET,
        per: timedelta | None = None,
    ) -> bool:
        """Sets how many jobs of a type may run at once, and how many may start within a period, in all
        processes; claims heed it from then on. A limit that is not passed stays.

        A job runs from its claim until it ends or goes back into the queue. If its worker was killed, it
        counts until its lease has expired and it has failed or been claimed again. If more run already, they
        go on. Each claim is a start, also that of a later attempt and of a job that was given back; starts
        before there was such a limit are not known.

        Args:
            type: the type of the jobs; there need not be any.
            running: the highest number that runs at once, 1 or more; None: no limit.
            starts: the highest number of claims within any period of this length, 1 or more; None: no limit,
                and the starts so far are forgotten.
            per: the length of the period, a millisecond to 366 days; needed with starts.

        Returns:
            False, with no change, when these were the limits before.

        Raises:
            InvalidArgumentError: running or starts is below 1 (pause() stops a type); per is out of range, or
                one of starts and per is missing.
        """
        seconds = None
        if starts is UNSET or starts is None:
            if per is not None:
                raise invalid_argument("per", "needs starts")
        else:
            _check_number("starts", starts)
            seconds = _seconds(per)
        if running is not UNSET and running is not None:
            _check_number("running", running)
        limit = self._limit.count(
            type=type,
            set_running=running is not UNSET,
            running=None if running is UNSET else running,
            set_starts=starts is not UNSET,
            starts=None if starts is UNSET else starts,
            start_seconds=seconds,
        )
        return await self._run(limit) > 0

    async def limits(self) -> dict[str, int]:
        """The types that have a limit, each with the number of its jobs that may run at once, ordered by
        type; {} when none has."""
        return dict(await self._run(self._limits.all()))

    async def rates(self) -> dict[str, tuple[int, timedelta]]:
        """The types that have a limit of starts, each with that number and its period, ordered by type; {}
        when none has."""
        return {
            rate.type: (rate.starts, timedelta(seconds=rate.seconds))
            for rate in await self._run(self._rates.all())
        }


def _check_number(name: str, number: int) -> None:
    if not isinstance(number, int) or isinstance(number, bool):
        raise wrong_type(name, f"must be int or None, not {number.__class__.__name__}")
    if number < 1:
        raise invalid_argument(name, f"must be 1 or more, not {number}; pause() stops a type")


def _seconds(per: timedelta | None) -> float:
    """The period, which is stored in whole milliseconds, as times are."""
    if per is None:
        raise invalid_argument("per", "is needed with starts: the period that they are counted in")
    if not isinstance(per, timedelta):
        raise wrong_type("per", f"must be a timedelta, not {per.__class__.__name__}")
    if not _SHORTEST <= per <= _LONGEST:
        raise invalid_argument("per", f"must be 1 millisecond to 366 days, not {per}")
    return -(-per // _SHORTEST) / 1000
