"""Adding downloads: one, a playlist, the entries of a playlist."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from reelbase.engine.ids import new_id
from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.engine.statements.parameters import to_id
from reelbase.engine.statements.statement import Command, Insertion, Query
from reelbase.errors import ConstraintError
from reelbase.repositories.downloads.queries import DownloadQueries
from reelbase.repositories.downloads.records import Download, DownloadStatus


class DownloadAdditions(DownloadQueries):
    """How downloads are queued, alone or as a playlist."""

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
          progress_percent, speed, eta, error_message, created_at, started_at, completed_at,
          media_type, output_format, parent_id, priority, attempts, max_attempts, worker,
          lease_expires_at
        )
        VALUES (
          :id, :session_id, :url, :status, :format_id, :quality, :output_template, :filename, :filesize,
          :progress_percent, :speed, :eta, :error_message, :created_at, :started_at, :completed_at,
          :media_type, :output_format, :parent_id, :priority, :attempts, :max_attempts, :worker,
          :lease_expires_at
        )
        """,
    )

    # The checks are part of the statement, so that the playlist cannot end in between. They are not a
    # trigger, because it would make the insert of every download without a playlist a fifth slower.
    _add_entry = Command(
        Download,
        """
        INSERT INTO downloads (
          id, session_id, url, status, format_id, quality, output_template, filename, filesize,
          progress_percent, speed, eta, error_message, created_at, started_at, completed_at,
          media_type, output_format, parent_id, priority, attempts, max_attempts, worker,
          lease_expires_at
        )
        SELECT
          :id, :session_id, :url, :status, :format_id, :quality, :output_template, :filename, :filesize,
          :progress_percent, :speed, :eta, :error_message, :created_at, :started_at, :completed_at,
          :media_type, :output_format, :parent_id, :priority, :attempts, :max_attempts, :worker,
          :lease_expires_at
        WHERE NOT EXISTS (
          SELECT 1
          FROM downloads AS playlist
          WHERE playlist.id = :parent_id
            AND (
              playlist.completed_at IS NOT NULL
              OR playlist.parent_id IS NOT NULL
              OR playlist.session_id <> :session_id
            )
        )
        """,
    )

    _get_many = Query(
        Download,
        """
        SELECT *
        FROM (SELECT value AS wanted_id, key AS position FROM json_each(:ids)) AS wanted
        CROSS JOIN downloads
        WHERE id = wanted_id
        ORDER BY position
        """,
        params={"ids": list},
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
        media_type: str | None = None,
        output_format: str | None = None,
        parent_id: UUID | str | None = None,
        priority: int = 0,
        max_attempts: int = 1,
    ) -> Download:
        """Queues a download; creates the session's row if it is missing.

        Args:
            session_id: the session that owns the download.
            url: the URL, as the application has it.
            id: the id of the download; None: a new one.
            format_id: the format, in the downloader's words.
            quality: the quality, in the application's words.
            output_template: the template of the file name.
            media_type: the application's own word.
            output_format: the application's own word.
            parent_id: the playlist of this entry: a download of the same session that is no entry itself
                and has not ended; None: no playlist.
            priority: a higher one is claimed sooner.
            max_attempts: how often it may be claimed, or started and interrupted, before it fails for
                good; at least 1.

        Returns:
            The download, queued.

        Raises:
            InvalidArgumentError: the playlist is of a different session, or an entry itself.
            InvalidTransitionError: the playlist has ended.
            ConstraintError: kind unique when the id is taken; kind foreign_key when the parent does not
                exist; kind check when max_attempts is below 1.
        """
        now = self._now()
        queued = {
            **self._options(
                session_id=session_id,
                format_id=format_id,
                quality=quality,
                output_template=output_template,
                media_type=media_type,
                output_format=output_format,
                parent_id=parent_id,
                priority=priority,
                max_attempts=max_attempts,
                now=now,
            ),
            "id": new_id() if id is None else id,
            "url": url,
        }
        if parent_id is not None:
            entry = queued | {"id": self._id("id", queued["id"])}
            (download,) = await self._added_entries([entry])
            return download
        add = self._add.one(**queued)
        if self._commits():  # in a unit the foreign key may be deferred
            # Most sessions have their row, and a single statement needs no savepoint: a quarter less time.
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
        ids: Iterable[UUID | str] | None = None,
        format_id: str | None = None,
        quality: str | None = None,
        output_template: str | None = None,
        media_type: str | None = None,
        output_format: str | None = None,
        parent_id: UUID | str | None = None,
        priority: int = 0,
        max_attempts: int = 1,
    ) -> list[Download]:
        """Queues several downloads, such as the entries of a playlist, all or none.

        Args:
            session_id: the session that owns the downloads.
            urls: the URLs, a download each; an empty list adds nothing.
            ids: an id for each URL, in the same order; None: new ones.
            format_id: as in add(), for all of them, like the following arguments.
            quality: as in add().
            output_template: as in add().
            media_type: as in add().
            output_format: as in add().
            parent_id: as in add().
            priority: as in add().
            max_attempts: as in add().

        Returns:
            The downloads, in the order of urls.

        Raises:
            InvalidArgumentError: the numbers of urls and ids differ, or as in add().
            InvalidTransitionError: as in add().
            ConstraintError: as in add().
        """
        if isinstance(urls, str | bytes) or not isinstance(urls, Iterable):
            raise wrong_type("urls", f"must be a list of str, not {type(urls).__name__}")
        urls = list(urls)
        now = self._now()
        options = self._options(
            session_id=session_id,
            format_id=format_id,
            quality=quality,
            output_template=output_template,
            media_type=media_type,
            output_format=output_format,
            parent_id=parent_id,
            priority=priority,
            max_attempts=max_attempts,
            now=now,
        )
        keys = [to_id(new_id()) for _ in urls] if ids is None else self._ids("ids", ids)
        if len(keys) != len(urls):
            raise invalid_argument(
                "ids", f"must be as many as the URLs: {len(keys)} for {len(urls)}"
            )
        rows = [{**options, "id": id, "url": url} for id, url in zip(keys, urls, strict=True)]
        if not rows:
            return []
        if parent_id is not None:
            return await self._added_entries(rows)
        _, _, added = await self._batch(
            self._ensure_session.count(session_id=session_id, now=now),
            self._add.many(rows),
            self._get_many.all(ids=keys),
        )
        return added

    async def _added_entries(self, rows: list[dict[str, Any]]) -> list[Download]:
        """Adds the entries of one playlist, all or none. Their session is the playlist's, so its row
        exists."""
        first = rows[0]
        count, added = await self._batch(
            self._add_entry.many(rows),
            self._get_many.all(ids=[row["id"] for row in rows]),
        )
        if count == 0:
            playlist = await self._run(self._get.one(id=first["parent_id"]))
            if playlist.session_id != first["session_id"]:
                raise invalid_argument("parent_id", f"is of the session {playlist.session_id!r}")
            if playlist.parent_id is not None:
                raise invalid_argument("parent_id", f"is an entry of {playlist.parent_id} itself")
            raise self._refused("take another entry", playlist.id, playlist.status)
        return added

    @staticmethod
    def _options(*, now: datetime, **options: Any) -> dict[str, Any]:
        """The parameters of a new download, without its id and its URL."""
        return {
            **options,
            "status": DownloadStatus.QUEUED,
            "filename": None,
            "filesize": None,
            "progress_percent": 0.0,
            "speed": None,
            "eta": None,
            "error_message": None,
            "created_at": now,
            "started_at": None,
            "completed_at": None,
            "attempts": 0,
            "worker": None,
            "lease_expires_at": None,
        }
