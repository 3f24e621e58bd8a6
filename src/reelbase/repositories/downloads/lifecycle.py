"""What happens to a download, from the queue to the end."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import UNSET, UnsetType

from reelbase.engine.arguments import wrong_type
from reelbase.engine.binding import clamped
from reelbase.engine.identifiers import new_id
from reelbase.engine.statement import Command, Insertion, Query
from reelbase.engine.step import Step
from reelbase.errors import ConstraintError
from reelbase.repositories.downloads.listing import DownloadListing
from reelbase.repositories.downloads.records import Download, DownloadStatus


class DownloadLifecycle(DownloadListing):
    _ensure_session = Command(
        Download,
        """
        INSERT INTO sessions (id, created_at, last_seen)
        VALUES (:session_id, :now, :now)
        ON CONFLICT (id) DO NOTHING
        """,
    )

    _add = Insertion(
        Download,
        """
        INSERT INTO downloads (
          id, session_id, url, status, format_id, quality, output_template, filename, filesize,
          progress_percent, speed, eta, error_message, created_at, started_at, completed_at
        )
        VALUES (
          :id, :session_id, :url, :status, :format_id, :quality, :output_template, :filename, :filesize,
          :progress_percent, :speed, :eta, :error_message, :created_at, :started_at, :completed_at
        )
        """,
    )

    _get_many = Query(
        Download,
        """
        SELECT
          id, session_id, url, status, format_id, quality, output_template, filename, filesize,
          progress_percent, speed, eta, error_message, created_at, started_at, completed_at
        FROM (SELECT value AS wanted_id, key AS position FROM json_each(:ids))
        JOIN downloads ON id = wanted_id
        ORDER BY position
        """,
        params={"ids": list},
    )

    _start = Command(
        Download,
        """
        UPDATE downloads
        SET status = :status,
            started_at = coalesce(started_at, :now)
        WHERE id = :id
          AND (status = 'queued' OR (status = 'extracting' AND :status = 'downloading'))
        RETURNING
          id, session_id, url, status, format_id, quality, output_template, filename, filesize,
          progress_percent, speed, eta, error_message, created_at, started_at, completed_at
        """,
    )

    # The hot path: called for every chunk that arrives. The trigger downloads_progress makes it
    # downloading: a status named here would be written into two indexes anew, changed or not.
    _progress = Command(
        Download,
        """
        UPDATE downloads
        SET progress_percent = :progress_percent,
            speed = :speed,
            eta = :eta,
            filename = iif(:set_filename, :filename, filename),
            filesize = iif(:set_filesize, :filesize, filesize),
            started_at = coalesce(started_at, :now)
        WHERE id = :id
          AND completed_at IS NULL
        """,
        relaxed=True,
    )

    _complete = Command(
        Download,
        """
        UPDATE downloads
        SET status = 'completed',
            progress_percent = 100,
            speed = NULL,
            eta = NULL,
            filename = iif(:set_filename, :filename, filename),
            filesize = iif(:set_filesize, :filesize, filesize),
            started_at = coalesce(started_at, :now),
            completed_at = :now
        WHERE id = :id
          AND completed_at IS NULL
        RETURNING
          id, session_id, url, status, format_id, quality, output_template, filename, filesize,
          progress_percent, speed, eta, error_message, created_at, started_at, completed_at
        """,
    )

    _fail = Command(
        Download,
        """
        UPDATE downloads
        SET status = 'failed',
            speed = NULL,
            eta = NULL,
            error_message = :error_message,
            completed_at = :now
        WHERE id = :id
          AND completed_at IS NULL
        RETURNING
          id, session_id, url, status, format_id, quality, output_template, filename, filesize,
          progress_percent, speed, eta, error_message, created_at, started_at, completed_at
        """,
    )

    _cancel = Command(
        Download,
        """
        UPDATE downloads
        SET status = 'cancelled',
            speed = NULL,
            eta = NULL,
            completed_at = :now
        WHERE id = :id
          AND completed_at IS NULL
        RETURNING
          id, session_id, url, status, format_id, quality, output_template, filename, filesize,
          progress_percent, speed, eta, error_message, created_at, started_at, completed_at
        """,
    )

    async def add(
        self,
        session_id: str,
        url: str,
        *,
        id: UUID | str | None = None,
        format_id: str | None = None,
        quality: str | None = None,
        output_template: str | None = None,
    ) -> Download:
        """Queues a download and returns it; makes the session's row if there is none.

        ConstraintError: kind unique when the id is taken.
        """
        now = self._now()
        key = new_id() if id is None else id
        queued = self._queued(key, session_id, url, format_id, quality, output_template, now)
        add = self._add.one(**queued)
        if self._commits():  # in a unit the foreign key may be deferred
            # Most sessions have their row, and a statement alone needs no savepoint: a quarter less.
            try:
                return await self._run(add)
            except ConstraintError as error:
                if error.kind != "foreign_key":
                    raise
        ensure_session = self._ensure_session.count(session_id=session_id, now=now)
        _, download = await self._batch(ensure_session, add)
        return download

    async def add_many(
        self,
        session_id: str,
        urls: Iterable[str],
        *,
        format_id: str | None = None,
        quality: str | None = None,
        output_template: str | None = None,
    ) -> list[Download]:
        """Queues downloads, all or none (a playlist), and returns them in the order given."""
        if isinstance(urls, str | bytes) or not isinstance(urls, Iterable):
            raise wrong_type("urls", f"must be a list of str, not {type(urls).__name__}")
        now = self._now()
        rows = [
            self._queued(new_id(), session_id, url, format_id, quality, output_template, now)
            for url in urls
        ]
        if not rows:
            return []
        _, _, added = await self._batch(
            self._ensure_session.count(session_id=session_id, now=now),
            self._add.many(rows),
            self._get_many.all(ids=[row["id"] for row in rows]),
        )
        return added

    @staticmethod
    def _queued(
        id: UUID | str,
        session_id: str,
        url: str,
        format_id: str | None,
        quality: str | None,
        output_template: str | None,
        now: datetime,
    ) -> dict[str, Any]:
        """A new download, field by field."""
        return {
            "id": id,
            "session_id": session_id,
            "url": url,
            "status": DownloadStatus.QUEUED,
            "format_id": format_id,
            "quality": quality,
            "output_template": output_template,
            "filename": None,
            "filesize": None,
            "progress_percent": 0.0,
            "speed": None,
            "eta": None,
            "error_message": None,
            "created_at": now,
            "started_at": None,
            "completed_at": None,
        }

    async def start(self, download_id: UUID | str, *, extracting: bool = False) -> Download:
        """Moves a queued download to extracting, or a queued or extracting one to downloading.

        InvalidTransitionError from any other status.
        """
        status = "extracting" if extracting else "downloading"
        step = self._start.optional(id=download_id, status=status, now=self._now())
        return await self._moved("start", download_id, step)

    async def progress(
        self,
        download_id: UUID | str,
        percent: float,
        *,
        speed: str | None = None,
        eta: str | None = None,
        filename: str | UnsetType | None = UNSET,
        filesize: float | UnsetType | None = UNSET,
    ) -> bool:
        """Notes progress (cut to 0 to 100); False when there is no such download or it has finished.

        speed and eta become what is passed, None included; filename and filesize (bytes; an estimate
        with a fraction is rounded) stay when UNSET. A
        download that was queued is downloading from now on. It does not wait for the disk.
        """
        if isinstance(filesize, float) and math.isfinite(filesize):
            filesize = round(filesize)
        parameters = self._progress.changes(
            {"filename": filename, "filesize": filesize},
            id=download_id,
            progress_percent=clamped(percent, 0.0, 100.0),
            speed=speed,
            eta=eta,
            now=self._now(),
        )
        return await self._run(self._progress.count(**parameters)) > 0

    async def complete(
        self,
        download_id: UUID | str,
        *,
        filename: str | UnsetType | None = UNSET,
        filesize: int | UnsetType | None = UNSET,
    ) -> Download:
        """Finishes the download: progress 100, no speed, no eta.

        InvalidTransitionError when it has finished before: a late end cannot undo a cancel.
        """
        changes = {"filename": filename, "filesize": filesize}
        parameters = self._complete.changes(changes, id=download_id, now=self._now())
        return await self._moved("complete", download_id, self._complete.optional(**parameters))

    async def fail(self, download_id: UUID | str, error_message: str) -> Download:
        """Ends the download as failed. InvalidTransitionError when it has finished before."""
        step = self._fail.optional(id=download_id, error_message=error_message, now=self._now())
        return await self._moved("fail", download_id, step)

    async def cancel(self, download_id: UUID | str) -> Download:
        """Ends the download as cancelled. InvalidTransitionError when it has finished before."""
        step = self._cancel.optional(id=download_id, now=self._now())
        return await self._moved("be cancelled", download_id, step)

    async def _moved(
        self, action: str, download_id: UUID | str, step: Step[Download | None]
    ) -> Download:
        """The download that the step changed, or the reason why it changed none."""
        download = await self._run(step)
        if download is None:
            download = await self._run(self._get.one(id=download_id))
            raise self._refused(action, download_id, download.status)
        return download
