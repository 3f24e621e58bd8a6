"""The records that the generation repository returns."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from reelbase.engine.file_names import FileName, Message
from reelbase.engine.ids import IdLike
from reelbase.engine.record import Record


class GenerationStatus(enum.StrEnum):
    """pending -> processing -> completed, failed or cancelled; processing may be left out."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


# The type of a parameter: a member, or its text.
GenerationStatusLike = (
    GenerationStatus | Literal["pending", "processing", "completed", "failed", "cancelled"]
)


class Generation(Record, frozen=True):
    """A piece of music. sample_rate: samples a second.  file_path: where the audio is, or will be.

    completed_at: when it was completed, failed or was cancelled.  metadata: further data of the
    application.  priority: a higher one is claimed sooner.  attempts: claims so far, and interrupted runs
    without a worker.  worker: the worker that holds it.  lease_expires_at: until when.
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
        """Whether it is completed, failed or cancelled."""
        return not (self.is_pending or self.is_processing)

    def to_dict(self) -> dict[str, Any]:
        """The fields up to metadata in JSON's types: the id and times as texts."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        for name in _OF_THE_QUEUE:
            del fields[name]
        return fields


# Fields that to_dict() leaves out: a client of the application does not need the worker and its lease.
_OF_THE_QUEUE = ("priority", "attempts", "max_attempts", "worker", "lease_expires_at")


class NewGeneration(Record, frozen=True):
    """A generation to be created, with the fields of Generation."""

    prompt: str
    model_name: str
    duration_seconds: float
    sample_rate: int
    channels: int
    file_path: str
    id: IdLike | None = None
    model_version: str | None = None
    metadata: dict[str, Any] | None = None
    priority: int = 0
    max_attempts: int = 1


class GenerationStats(Record, frozen=True):
    """The numbers of generations and prompts, from one read transaction."""

    total_generations: int
    pending_generations: int
    processing_generations: int
    completed_generations: int
    failed_generations: int
    cancelled_generations: int
    total_prompts: int
