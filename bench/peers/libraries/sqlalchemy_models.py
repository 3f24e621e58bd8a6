"""The tables as SQLAlchemy's users declare them: mixins, to which each adds the Base of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from bench.peers.libraries.sqlalchemy_types import STATUS, Identifier, Moment
from bench.peers.records import DownloadStatus

TYPES: dict[Any, Any] = {
    UUID: Identifier,
    datetime: Moment,
    DownloadStatus: STATUS,
    list[Any]: JSON(none_as_null=True),
}


class Session:
    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    last_seen: Mapped[datetime]


class Download:
    __tablename__ = "downloads"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.id"))
    url: Mapped[str]
    status: Mapped[DownloadStatus] = mapped_column(default=DownloadStatus.QUEUED)
    format_id: Mapped[str | None]
    quality: Mapped[str | None]
    output_template: Mapped[str | None]
    filename: Mapped[str | None]
    filesize: Mapped[int | None]
    progress_percent: Mapped[float] = mapped_column(default=0.0)
    speed: Mapped[str | None]
    eta: Mapped[str | None]
    error_message: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]


class Transcript:
    __tablename__ = "transcripts"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    profile_id: Mapped[str]
    file_id: Mapped[UUID]
    text: Mapped[str]
    llm_explanation: Mapped[str | None]
    language: Mapped[str | None]
    created_at: Mapped[datetime]


class Segment:
    __tablename__ = "transcript_segments"

    id: Mapped[int] = mapped_column(primary_key=True)
    transcript_id: Mapped[UUID] = mapped_column(ForeignKey("transcripts.id"))
    speaker_id: Mapped[int | None]
    start_time: Mapped[float]
    end_time: Mapped[float]
    text: Mapped[str]
    confidence: Mapped[float | None]
    words: Mapped[list[Any] | None]
