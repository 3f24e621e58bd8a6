"""Schedules: jobs that are added again and again, at the times of a cron expression in a time zone.

``slots.py`` says which moments these are, on the nights of a changed clock too. A schedule keeps its next
slot; a job is added in the transaction that moves it on, and only by the one that still finds it. So any
number of processes may look, and each slot has one job.
"""

from __future__ import annotations

import builtins
from collections.abc import Container
from datetime import datetime, timedelta
from typing import Any, NamedTuple, get_args
from uuid import UUID

from reelbase.engine.ids import new_id
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.statement import Command, Query
from reelbase.engine.statements.step import Step
from reelbase.errors import DatabaseError
from reelbase.repositories.jobs import Job
from reelbase.repositories.schedules.records import MissedSlots, Schedule
from reelbase.repositories.schedules.slots import SlotError, Slots

# A slot that was looked for later than this was missed.
_IN_TIME = timedelta(minutes=1)
# In one transaction, as other writers wait meanwhile.
_MOST_SLOTS = 100


class ScheduleRepository(Repository):
    """Schedules of jobs, table ``job_schedules``: one per name. They are deleted with their profile.

    database.work() and ``reelbase worker`` add the jobs when their times have come. Needs the extra
    ``schedules``, which has a parser of cron expressions.
    """

    entity = "schedule"
    table = "job_schedules"

    # A slot that is due stays so. One that lies later than it can was reckoned by a clock that was wrong.
    _set = Command(
        Schedule,
        """
        INSERT INTO job_schedules (
          name, profile_id, cron, time_zone, type, params, priority, max_attempts, missed, next_at,
          created_at, updated_at
        )
        VALUES (
          :name, :profile_id, :cron, :time_zone, :type, :params, :priority, :max_attempts, :missed,
          :next_at, :now, :now
        )
        ON CONFLICT (name) DO UPDATE SET
          profile_id = excluded.profile_id,
          cron = excluded.cron,
          time_zone = excluded.time_zone,
          type = excluded.type,
          params = excluded.params,
          priority = excluded.priority,
          max_attempts = excluded.max_attempts,
          missed = excluded.missed,
          next_at = iif(
            job_schedules.cron = excluded.cron
            AND job_schedules.time_zone = excluded.time_zone
            AND job_schedules.next_at < excluded.next_at,
            job_schedules.next_at,
            excluded.next_at
          ),
          updated_at = excluded.updated_at
        RETURNING *
        """,
    )

    _get = Query(
        Schedule,
        """
        SELECT *
        FROM job_schedules
        WHERE name = :name
        """,
    )

    _list = Query(
        Schedule,
        """
        SELECT *
        FROM job_schedules
        WHERE NOT :filter_profile OR profile_id = :profile_id
        ORDER BY name
        LIMIT :limit OFFSET :offset
        """,
        params={"profile_id": str},
    )

    _delete = Command(
        Schedule,
        """
        DELETE FROM job_schedules
        WHERE name = :name
        """,
    )

    _pause = Command(
        Schedule,
        """
        UPDATE job_schedules
        SET paused_at = :now,
            updated_at = :now
        WHERE name = :name
          AND paused_at IS NULL
        """,
    )

    _resume = Command(
        Schedule,
        """
        UPDATE job_schedules
        SET paused_at = NULL,
            next_at = :next_at,
            updated_at = :now
        WHERE name = :name
          AND paused_at IS NOT NULL
          AND cron = :cron
          AND time_zone = :time_zone
        """,
    )

    _next = Query(
        datetime,
        """
        SELECT next_at
        FROM job_schedules
        WHERE paused_at IS NULL
        ORDER BY next_at, name
        LIMIT 1
        """,
    )

    _due = Query(
        Schedule,
        """
        SELECT *
        FROM job_schedules
        WHERE paused_at IS NULL
          AND next_at <= :now
        ORDER BY next_at, name
        """,
        params={"now": datetime},
    )

    # Everything that the slots were reckoned from is compared.
    _move_on = Command(
        Schedule,
        """
        UPDATE job_schedules
        SET next_at = :following,
            last_at = coalesce(:slot, last_at)
        WHERE name = :name
          AND next_at = :due
          AND cron = :cron
          AND time_zone = :time_zone
          AND missed = :missed
          AND paused_at IS NULL
        """,
        params={"following": datetime, "due": datetime, "slot": datetime | None},
    )

    # Runs right after the statement that moves the schedule on: changes() tells whether it did.
    _add_job = Command(
        Job,
        """
        INSERT INTO jobs (
          id, profile_id, type, params, priority, max_attempts, run_after, created_at, updated_at
        )
        SELECT :job_id, profile_id, type, params, priority, max_attempts, :slot, :now, :now
        FROM job_schedules
        WHERE name = :name
          AND changes() > 0
          AND :slot IS NOT NULL
        RETURNING *
        """,
        params={"name": str, "job_id": UUID, "slot": datetime | None},
        entity="job",
    )

    async def set(
        self,
        name: str,
        cron: str,
        type: str,
        params: dict[str, Any],
        *,
        profile_id: str,
        time_zone: str = "UTC",
        missed: MissedSlots = "once",
        priority: int = 0,
        max_attempts: int = 1,
    ) -> Schedule:
        """Makes a schedule, or changes the one of this name. An application may call it at each start.

        At each of its times, which are called slots, one job is added, whichever process does so; the job's
        run_after is the slot. While the clock of the zone is set back, an expression with ``*`` for the hour
        has the repeated hour twice, and any other one a repeated time once. Times that are skipped when it is
        set forward are one slot, at that moment.

        Args:
            name: its name, unique among schedules.
            cron: five fields: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday);
                or @hourly, @daily, @weekly, @monthly, @yearly.
            type: the type of the jobs.
            params: their parameters, as JSON.
            profile_id: the profile that owns the jobs.
            time_zone: a name such as Europe/Berlin.
            missed: the jobs for slots that came while no worker ran. ``once``: one job for all of them, with
                the first one as run_after; ``skip``: no job, for slots that are more than a minute ago;
                ``all``: a job for each.
            priority: as in jobs.add().
            max_attempts: as in jobs.add().

        Returns:
            The schedule. If there was one with the same times, a slot that is due remains so, and if it was
            paused, it still is.

        Raises:
            InvalidArgumentError: cron, time_zone or missed cannot be used; the text says why.
            DatabaseError: code not_installed: the extra is missing.
            ConstraintError: kind foreign_key for an unknown profile; kind check for max_attempts below 1.
        """
        if missed not in get_args(MissedSlots):
            raise invalid_argument("missed", f"must be once, skip or all, not {missed!r}")
        if params is None:
            raise invalid_argument("params", "must not be None")
        now = self._now()
        cron, time_zone = self._expect("cron", cron, str), self._expect("time_zone", time_zone, str)
        try:
            next_at = Slots(cron, time_zone).after(now)
        except SlotError as error:
            raise invalid_argument(error.parameter, error) from None
        return await self._run(
            self._set.one(
                name=name,
                profile_id=profile_id,
                cron=cron,
                time_zone=time_zone,
                type=type,
                params=params,
                priority=priority,
                max_attempts=max_attempts,
                missed=missed,
                next_at=next_at,
                now=now,
            )
        )

    async def get(self, name: str) -> Schedule:
        """The schedule; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(name=name))

    async def find(self, name: str) -> Schedule | None:
        """The schedule, or None."""
        return await self._run(self._get.optional(name=name))

    async def list(
        self, profile_id: str | None = None, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[Schedule]:
        """Schedules by name.

        Args:
            profile_id: only schedules of this profile; None: all.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The schedules; [] also for an unknown profile.
        """
        return await self._run(
            self._list.all(
                filter_profile=profile_id is not None,
                profile_id=profile_id,
                limit=limit,
                offset=offset,
            )
        )

    async def delete(self, name: str, *, missing_ok: bool = False) -> bool:
        """True when it existed; otherwise RecordNotFoundError, or False with missing_ok. Its jobs stay."""
        count = await self._run(self._delete.count(name=name))
        return self._deleted(count, name, missing_ok=missing_ok)

    async def pause(self, name: str) -> bool:
        """Pauses a schedule: its slots have no jobs until resume(). False, with no change, when it was paused
        before; RecordNotFoundError when there is none."""
        count, _ = await self._batch(
            self._pause.count(name=name, now=self._now()), self._get.one(name=name)
        )
        return count > 0

    async def resume(self, name: str) -> bool:
        """Ends a pause; the slots that came in it have no jobs. False, with no change, when it is not paused.

        Raises:
            RecordNotFoundError: there is no such schedule.
            DatabaseError: code schedule: its next slot cannot be told on this machine, which may lack its
                time zone; code not_installed: the extra is missing.
        """
        while True:
            schedule = await self._run(self._get.one(name=name))
            if schedule.paused_at is None:
                return False
            now = self._now()
            try:
                next_at = Slots(schedule.cron, schedule.time_zone).after(now)
            except SlotError as error:
                raise _unknown_slot(schedule, error) from error
            resume = self._resume.count(
                name=name,
                cron=schedule.cron,
                time_zone=schedule.time_zone,
                next_at=next_at,
                now=now,
            )
            if await self._run(resume):  # else its times were changed just now
                return True

    async def due_in(self) -> float | None:
        """Seconds until the next slot of all schedules; 0 when one is due; None when none is set, or all are
        paused."""
        next_at = await self._run(self._next.optional())
        return None if next_at is None else max((next_at - self._now()).total_seconds(), 0.0)

    async def add_due(self) -> builtins.list[Job]:
        """Adds the jobs of the slots that have come. database.work() calls it; an application that claims
        jobs by itself does so, when due_in() is 0.

        Each schedule is a transaction of its own, and of more than 100 slots (``all``) each hundred.

        Returns:
            The jobs that this call has added; [] when none was due, or another process was faster.

        Raises:
            DatabaseError: code schedule: the next slot of a schedule cannot be told on this machine, which
                may lack its time zone; code not_installed: the extra is missing. The jobs of all other
                schedules were added.
        """
        now = self._now()
        added: builtins.list[Job] = []
        failed: dict[str, DatabaseError] = {}
        while due := await self._due_except(failed, now):
            for schedule in due:
                try:
                    turns = _turns(schedule, now)
                except DatabaseError as error:
                    failed[schedule.name] = error
                    continue
                results = await self._batch(
                    *(step for turn in turns for step in self._steps_of(schedule, turn, now))
                )
                added += [job for job in results[1::2] if job is not None]
        for failure in failed.values():
            raise failure
        return added

    async def _due_except(self, names: Container[str], now: datetime) -> builtins.list[Schedule]:
        schedules = await self._run(self._due.all(now=now))
        return [schedule for schedule in schedules if schedule.name not in names]

    def _steps_of(
        self, schedule: Schedule, turn: Turn, now: datetime
    ) -> tuple[Step[Any], Step[Any]]:
        return (
            self._move_on.count(
                name=schedule.name,
                cron=schedule.cron,
                time_zone=schedule.time_zone,
                missed=schedule.missed,
                due=turn.due,
                slot=turn.slot,
                following=turn.following,
            ),
            self._add_job.optional(name=schedule.name, job_id=new_id(), slot=turn.slot, now=now),
        )


class Turn(NamedTuple):
    """A schedule moves on. due: its slot before, following: after.  slot: which of them has a job, if any."""

    due: datetime
    slot: datetime | None
    following: datetime


def _turns(schedule: Schedule, now: datetime) -> list[Turn]:
    """How the schedule moves on until now, at most so far as one transaction leads."""
    try:
        slots = Slots(schedule.cron, schedule.time_zone)
        due = schedule.next_at
        if schedule.missed == "once":
            return [Turn(due, due, slots.after(now))]
        turns: list[Turn] = []
        if schedule.missed == "skip" and now - due >= _IN_TIME:
            turns.append(Turn(due, None, slots.after(now - _IN_TIME)))
            due = turns[0].following
        while due <= now and len(turns) < _MOST_SLOTS:
            turns.append(Turn(due, due, slots.after(due)))
            due = turns[-1].following
        return turns
    except SlotError as error:
        raise _unknown_slot(schedule, error) from error


def _unknown_slot(schedule: Schedule, error: SlotError) -> DatabaseError:
    return DatabaseError(
        f"schedule {schedule.name!r}: its next slot cannot be told: {error}",
        code="schedule",
        details={"name": schedule.name},
    )


__all__ = ["MissedSlots", "Schedule", "ScheduleRepository"]
