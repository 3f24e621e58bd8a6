"""Records: what rows are compared as, and how one makes them by hand for the peers that give rows."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from bench.peers.interface import NewDownload


class DownloadStatus(enum.StrEnum):
    QUEUED = "queued"
    EXTRACTING = "extracting"
    DOWNLOADING = "downloading"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_active(self) -> bool:
        return self in (self.QUEUED, self.EXTRACTING, self.DOWNLOADING)


class Download(msgspec.Struct, frozen=True):
    id: UUID
    session_id: str
    url: str
    status: DownloadStatus
    format_id: str | None
    quality: str | None
    output_template: str | None
    filename: str | None
    filesize: int | None
    progress_percent: float
    speed: str | None
    eta: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class Transcript(msgspec.Struct, frozen=True):
    id: UUID
    profile_id: str
    file_id: UUID
    text: str
    llm_explanation: str | None
    language: str | None
    created_at: datetime


class Segment(msgspec.Struct, frozen=True):
    id: int
    transcript_id: UUID
    speaker_id: int | None
    start_time: float
    end_time: float
    text: str
    confidence: float | None
    words: list[Any] | None


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def download(row: Any) -> Download:
    return Download(
        UUID(row[0]),
        row[1],
        row[2],
        DownloadStatus(row[3]),
        row[4],
        row[5],
        row[6],
        row[7],
        row[8],
        row[9],
        row[10],
        row[11],
        row[12],
        datetime.fromisoformat(row[13]),
        _moment(row[14]),
        _moment(row[15]),
    )


def queued(new: NewDownload, now: str) -> Download:
    """What has been stored, made of what was bound."""
    return Download(
        new.id,
        new.session_id,
        new.url,
        DownloadStatus.QUEUED,
        new.format_id,
        new.quality,
        None,
        None,
        None,
        0.0,
        None,
        None,
        None,
        datetime.fromisoformat(now),
        None,
        None,
    )


def transcript(row: Any) -> Transcript:
    return Transcript(
        UUID(row[0]),
        row[1],
        UUID(row[2]),
        row[3],
        row[4],
        row[5],
        datetime.fromisoformat(row[6]),
    )


def segment(row: Any) -> Segment:
    words = None if row[7] is None else msgspec.json.decode(row[7])
    return Segment(row[0], UUID(row[1]), row[2], row[3], row[4], row[5], row[6], words)
