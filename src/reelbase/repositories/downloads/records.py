"""What the download repository returns."""

from __future__ import annotations

import enum
from datetime import datetime
from uuid import UUID

import msgspec


class DownloadStatus(enum.StrEnum):
    """queued -> extracting -> downloading -> one of the finished ones; steps may be left out."""

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
    """A URL to be fetched, being fetched, or fetched.

    progress_percent: 0 to 100.  filesize: bytes.  speed, eta: as the downloader words them.
    completed_at: when it ended, whichever way.
    """

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


class PurgedDownload(msgspec.Struct, frozen=True):
    """A download whose row is gone. filename: what the application has to unlink; None: nothing."""

    id: UUID
    filename: str | None


class PurgeReport(msgspec.Struct, frozen=True):
    """deleted: oldest first.  active_skipped: active downloads, of whatever age.
    sessions_deleted: sessions that went with them."""

    deleted: list[PurgedDownload]
    active_skipped: int
    sessions_deleted: int


class StatusCount(msgspec.Struct, frozen=True):
    status: DownloadStatus
    count: int
