"""The records that the download repository returns."""

from __future__ import annotations

import enum
from datetime import datetime
from uuid import UUID

from reelbase.engine.file_names import FileName, Message
from reelbase.engine.record import Record


class DownloadStatus(enum.StrEnum):
    """queued -> extracting -> downloading -> completed, failed or cancelled; steps may be left out."""

    QUEUED = "queued"
    EXTRACTING = "extracting"
    DOWNLOADING = "downloading"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_active(self) -> bool:
        """Whether it is queued, extracting or downloading: it has not ended."""
        return self in (self.QUEUED, self.EXTRACTING, self.DOWNLOADING)


class Download(Record, frozen=True):
    """A URL to be fetched, being fetched, or fetched.

    progress_percent: 0 to 100.  filesize: bytes.  speed, eta: in the downloader's words.
    error_message: that of the last attempt that failed or was interrupted; None once it is completed.
    completed_at: when it was completed, failed or was cancelled.  media_type, output_format: the
    application's own words.  parent_id: the playlist of this entry.  priority: a higher one is claimed
    sooner.  attempts: claims so far, and interrupted runs without a worker.  worker: the worker that holds
    it.  lease_expires_at: until when.
    """

    id: UUID
    session_id: str
    url: str
    status: DownloadStatus
    format_id: str | None
    quality: str | None
    output_template: str | None
    filename: FileName | None
    filesize: int | None
    progress_percent: float
    speed: str | None
    eta: str | None
    error_message: Message | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    media_type: str | None = None
    output_format: str | None = None
    parent_id: UUID | None = None
    priority: int = 0
    attempts: int = 0
    max_attempts: int = 1
    worker: str | None = None
    lease_expires_at: datetime | None = None


class PurgedDownload(Record, frozen=True):
    """A deleted download. filename: the file that the application has to unlink, or None."""

    id: UUID
    filename: FileName | None


class PurgeReport(Record, frozen=True):
    """The result of a purge. deleted: the downloads, oldest first.  active_skipped: how many downloads of
    any age are active, and stay.  sessions_deleted: how many sessions were deleted with the downloads."""

    deleted: list[PurgedDownload]
    active_skipped: int
    sessions_deleted: int


class StatusCount(Record, frozen=True):
    """How many downloads have a status."""

    status: DownloadStatus
    count: int
