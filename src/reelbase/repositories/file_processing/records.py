"""How far a file's processing is."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

import msgspec

from reelbase.engine.file_names import Message


class FileStatus(StrEnum):
    """pending -> queued -> downloading, processing -> completed or error; cancelling -> cancelled.

    orphaned: stuck, with no retry left. retry() leads from error, cancelled and orphaned to pending.
    """

    PENDING = "pending"
    QUEUED = "queued"
    DOWNLOADING = "downloading"
    PROCESSING = "processing"
    COMPLETED = "completed"
    ERROR = "error"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    ORPHANED = "orphaned"


# What a parameter takes: a member, or its text.
FileStatusLike = (
    FileStatus
    | Literal[
        "pending",
        "queued",
        "downloading",
        "processing",
        "completed",
        "error",
        "cancelling",
        "cancelled",
        "orphaned",
    ]
)


class FileProcessing(msgspec.Struct, frozen=True):
    """A file's status. progress: 0 to 1.  max_retries: 0 is no limit.  heartbeat_at: the worker's last
    sign of life.  recovery_attempts: how often its worker was found to be gone.  worker: who works on
    it, if start() was told.
    """

    file_id: UUID
    status: FileStatus
    stage: str | None
    progress: float
    error_message: Message | None
    error_category: str | None
    retry_count: int
    max_retries: int
    recovery_attempts: int
    next_retry_at: datetime | None
    started_at: datetime | None
    heartbeat_at: datetime | None
    completed_at: datetime | None
    updated_at: datetime
    worker: str | None = None
