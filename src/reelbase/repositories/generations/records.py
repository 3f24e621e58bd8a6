"""What the generation repository returns."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec


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
    """

    id: UUID
    prompt: str
    model_name: str
    model_version: str | None
    duration_seconds: float
    sample_rate: int
    channels: int
    file_path: str
    file_size_bytes: int | None
    status: GenerationStatus
    created_at: datetime
    completed_at: datetime | None
    generation_time_seconds: float | None
    error_message: str | None
    metadata: dict[str, Any]

    @property
    def is_pending(self) -> bool:
        return self.status is GenerationStatus.PENDING

    @property
    def is_processing(self) -> bool:
        return self.status is GenerationStatus.PROCESSING

    @property
    def is_complete(self) -> bool:
        return self.status is GenerationStatus.COMPLETED

    @property
    def is_failed(self) -> bool:
        return self.status is GenerationStatus.FAILED

    @property
    def is_finished(self) -> bool:
        """Completed, failed or cancelled."""
        return not (self.is_pending or self.is_processing)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON has them: the id and times as texts."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields


class GenerationStats(msgspec.Struct, frozen=True):
    """How many there are, of one moment."""

    total_generations: int
    pending_generations: int
    processing_generations: int
    completed_generations: int
    failed_generations: int
    cancelled_generations: int
    total_prompts: int
