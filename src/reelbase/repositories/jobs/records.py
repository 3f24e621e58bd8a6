"""The records that the job repository returns."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from reelbase.engine.file_names import Message
from reelbase.engine.record import Record
from reelbase.engine.statements.parameters import JsonValue


class JobStatus(enum.StrEnum):
    """queued -> running -> succeeded, failed or cancelled; a queued job may also finish directly."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        """Whether it has succeeded, failed or been cancelled."""
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


# The type of a parameter: a member, or its text.
JobStatusLike = JobStatus | Literal["queued", "running", "succeeded", "failed", "cancelled"]


class Job(Record, frozen=True):
    """Work to be done, being done, or done.

    parent_id: the batch it belongs to.  progress: 0 to 1.  total, completed: numbers of work items; for a
    parent, of its children.  priority: a higher one is claimed sooner.  attempts: how often it was claimed.
    run_after: it is not claimed before this time.  worker: the worker that holds it.  lease_expires_at:
    until when.  unique_key: the key that no other job of this profile and type has until this one has ended.
    waiting_for: how many jobs have to succeed before it is claimed.

    An answer to a client leaves out error_details: of an exception in a handler they hold the traceback, with
    paths of the server, and its error may name files, too.
    """

    id: UUID
    profile_id: str
    parent_id: UUID | None
    type: str
    status: JobStatus
    progress: float
    total: int
    completed: int
    params: dict[str, Any]
    result: dict[str, Any] | None
    error: Message | None
    error_code: str | None
    error_details: dict[str, Any] | None
    priority: int
    attempts: int
    max_attempts: int
    run_after: datetime | None
    worker: str | None
    lease_expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    unique_key: str | None
    waiting_for: int


class JobStep(Record, frozen=True):
    """A part of a job that is finished and not done again. attempt: in which it was finished."""

    job_id: UUID
    name: str
    attempt: int
    result: JsonValue
    finished_at: datetime


class JobLogLine(Record, frozen=True):
    """A line of a job's log. number: counts the lines of the job from 1.  attempt: the attempt that it is
    about; 0 before the first."""

    job_id: UUID
    number: int
    attempt: int
    text: Message
    created_at: datetime


class RecoveryReport(Record, frozen=True):
    """The result of recover(). failed: how many jobs failed, children included.  left_queued: how many jobs
    are queued afterwards."""

    failed: int
    left_queued: int


class JobRate(Record, frozen=True):
    """How many jobs of a type may start within so many seconds."""

    type: str
    starts: int
    seconds: float


class JobQueue(Record, frozen=True):
    """The jobs of a type that could be claimed now. count: how many.  waiting_since: since when the one has
    waited that has waited longest: when it came into the queue, or its run_after if that is later."""

    type: str
    count: int
    waiting_since: datetime


class StatusCount(Record, frozen=True):
    """How many jobs have a status."""

    status: JobStatus
    count: int
