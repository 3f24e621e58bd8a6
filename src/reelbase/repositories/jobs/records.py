"""What the job repository returns."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from reelbase.engine.file_names import Message


class JobStatus(enum.StrEnum):
    """queued -> running -> one of the finished ones; queued -> finished is possible too."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        """Whether it has succeeded, failed or been cancelled."""
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


# What a parameter takes: a member, or its text.
JobStatusLike = JobStatus | Literal["queued", "running", "succeeded", "failed", "cancelled"]


class Job(msgspec.Struct, frozen=True):
    """Work to be done, being done, or done.

    parent_id: the batch it belongs to.  progress: 0 to 1.  total, completed: work items; of a parent,
    its children.  priority: higher is sooner.  attempts: how often it was claimed.
    run_after: not claimed before.  worker, lease_expires_at: who holds it, and until when.
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


class RecoveryReport(msgspec.Struct, frozen=True):
    """failed: jobs that recovery gave up, children included.  left_queued: jobs that still wait."""

    failed: int
    left_queued: int
