"""The records that the schedule repository returns."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from reelbase.engine.record import Record

# What becomes of slots that came while no worker ran.
MissedSlots = Literal["once", "skip", "all"]


class Schedule(Record, frozen=True):
    """Which jobs are added at which times.

    cron, time_zone: the times, which are called slots.  profile_id, type, params, priority, max_attempts: of
    the jobs.  missed: the jobs for slots that came while no worker ran; set() has the words.  next_at: the
    next slot, or one that is due.  last_at: the latest slot for which a job was added.  paused_at: since when
    it is paused.
    """

    name: str
    profile_id: str
    cron: str
    time_zone: str
    type: str
    params: dict[str, Any]
    priority: int
    max_attempts: int
    missed: MissedSlots
    next_at: datetime
    last_at: datetime | None
    paused_at: datetime | None
    created_at: datetime
    updated_at: datetime
