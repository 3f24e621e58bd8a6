"""What the generation repository returns."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from reelbase.engine.file_names import FileName, Message


class GenerationStatus(enum.StrEnum):
    """pending -> processing -> completed, failed or cancelled; processing may be left out."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


# What a parameter takes: a member, or its text.
GenerationStatusLike = (
    GenerationStatus | Literal["pending", "processing", "completed", "failed", "cancelled"]
)


class Generation(msgspec.Struct, frozen=True):
    """A piece of music. sample_rate: samples a second.  file_path: where the audio is, or will be.

    completed_at: when it ended, whichever way.  metadata: whatever the application knows of it.
    priority: higher is sooner.  attempts: claims so far, and runs without a worker that were
    interrupted.  worker, lease_expires_at: who holds it, and until when.
    """

    id: UUID
    prompt: str
    model_name: str
    model_version: str | None
    duration_seconds: float
    sample_rate: int
    channels: int
    file_path: FileName
    file_size_bytes: int | None
    status: GenerationStatus
    created_at: datetime
    completed_at: datetime | None
    generation_time_seconds: float | None
    error_message: Message | None
    metadata: dict[str, Any]
    priority: int = 0
    attempts: int = 0
    max_attempts: int = 1
    worker: str | None = None
    lease_expires_at: datetime | None = None

    @property
    def is_pending(self) -> bool:
        """Whether no worker has begun it."""
        return self.status is GenerationStatus.PENDING

    @property
    def is_processing(self) -> bool:
        """Whether a worker has begun it and it has not ended."""
        return self.status is GenerationStatus.PROCESSING

    @property
    def is_complete(self) -> bool:
        """Whether it has ended with success."""
        return self.status is GenerationStatus.COMPLETED

    @property
    def is_failed(self) -> bool:
        """Whether it has ended with an error."""
        return self.status is GenerationStatus.FAILED

    @property
    def is_finished(self) -> bool:
        """Completed, failed or cancelled."""
        return not (self.is_pending or self.is_processing)

    def to_dict(self) -> dict[str, Any]:
        """The fields up to metadata as JSON has them: the id and times as texts."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        for name in _OF_THE_QUEUE:
            del fields[name]
        return fields


# What a client of the application is not told by to_dict(): who works on it is the application's matter.
_OF_THE_QUEUE = ("priority", "attempts", "max_attempts", "worker", "lease_expires_at")


class NewGeneration(msgspec.Struct, frozen=True):
    """A generation to be created; the fields are those of Generation."""

    prompt: str
    model_name: str
    duration_seconds: float
    sample_rate: int
    channels: int
    file_path: str
    id: UUID | str | None = None
    model_version: str | None = None
    metadata: dict[str, Any] | None = None
    priority: int = 0
    max_attempts: int = 1


class GenerationStats(msgspec.Struct, frozen=True):
    """How many there are, of one moment."""

    total_generations: int
    pending_generations: int
    processing_generations: int
    completed_generations: int
    failed_generations: int
    cancelled_generations: int
    total_prompts: int
