"""Finding and counting downloads."""

from __future__ import annotations

import builtins
from uuid import UUID

from reelbase.engine.ids import END_OF_TIME, MAX_ID
from reelbase.engine.repository import Repository
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.statement import PageQuery, Query
from reelbase.repositories.downloads.records import Download, DownloadStatus, StatusCount

_NEWEST_FIRST = {"created_at": END_OF_TIME, "id": MAX_ID}


class DownloadQueries(Repository):
    """How downloads are read."""

    entity = "download"
    table = "downloads"
    _repository = "DownloadRepository"

    _get = Query(
        Download,
        """
        SELECT *
        FROM downloads
        WHERE id = :id
        """,
    )

    _list_for_session = Query(
        Download,
        """
        SELECT *
        FROM downloads
        WHERE session_id = :session_id
        ORDER BY created_at, id
        """,
    )

    _list_active_for_session = Query(
        Download,
        """
        SELECT *
        FROM downloads
        WHERE session_id = :session_id
          AND (status = 'queued' OR status = 'extracting' OR status = 'downloading')
        ORDER BY created_at, id
        """,
    )

    _list_children = Query(
        Download,
        """
        SELECT *
        FROM downloads
        WHERE parent_id = :parent_id
        ORDER BY created_at, id
        LIMIT :limit OFFSET :offset
        """,
        params={"parent_id": UUID},
    )

    _list = Query(
        Download,
        """
        SELECT *
        FROM downloads
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _list_active = Query(
        Download,
        """
        SELECT *
        FROM downloads
        WHERE status = 'queued' OR status = 'extracting' OR status = 'downloading'
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _page = PageQuery(
        Download,
        """
        SELECT *
        FROM downloads
        WHERE (created_at, id) < (:created_at, :id)
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        keyset=_NEWEST_FIRST,
    )

    _page_of_active = PageQuery(
        Download,
        """
        SELECT *
        FROM downloads
        WHERE (status = 'queued' OR status = 'extracting' OR status = 'downloading')
          AND (created_at, id) < (:created_at, :id)
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        keyset=_NEWEST_FIRST,
    )

    _page_for_session = PageQuery(
        Download,
        """
        SELECT *
        FROM downloads
        WHERE session_id = :session_id
          AND (created_at, id) < (:created_at, :id)
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        keyset=_NEWEST_FIRST,
    )

    _page_of_active_for_session = PageQuery(
        Download,
        """
        SELECT *
        FROM downloads
        WHERE session_id = :session_id
          AND (status = 'queued' OR status = 'extracting' OR status = 'downloading')
          AND (created_at, id) < (:created_at, :id)
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        keyset=_NEWEST_FIRST,
    )

    _count_active = Query(
        int,
        """
        SELECT count(*)
        FROM downloads
        WHERE status = 'queued' OR status = 'extracting' OR status = 'downloading'
        """,
    )

    _counts_by_status = Query(
        StatusCount,
        """
        SELECT status, count(*) AS count
        FROM downloads
        GROUP BY status
        ORDER BY status
        """,
    )

    async def get(self, download_id: UUID | str) -> Download:
        """The download; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=download_id))

    async def find(self, download_id: UUID | str) -> Download | None:
        """The download, or None."""
        return await self._run(self._get.optional(id=download_id))

    async def list_for_session(
        self, session_id: str, *, active_only: bool = False
    ) -> builtins.list[Download]:
        """A session's downloads, oldest first."""
        query = self._list_active_for_session if active_only else self._list_for_session
        return await self._run(query.all(session_id=session_id))

    async def list_children(
        self, parent_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[Download]:
        """A playlist's entries, oldest first.

        Args:
            parent_id: the download of the playlist.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The entries; [] also when there is no such download.
        """
        return await self._run(
            self._list_children.all(parent_id=parent_id, limit=limit, offset=offset)
        )

    async def list(
        self, *, active_only: bool = False, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[Download]:
        """Downloads of every session, newest first.

        Args:
            active_only: only queued, extracting and downloading ones.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The downloads; [] when there are none.
        """
        query = self._list_active if active_only else self._list
        return await self._run(query.all(limit=limit, offset=offset))

    async def page(
        self,
        session_id: str | None = None,
        *,
        after: Download | str | None = None,
        limit: int | None = 50,
        active_only: bool = False,
    ) -> Page[Download]:
        """A page of downloads, newest first, by keyset.

        Args:
            session_id: the session; None: all sessions.
            after: ``next`` of the page before, or its last download; None: the first page.
            limit: at most this many; None: all.
            active_only: only queued, extracting and downloading ones. In a session they are found by reading
                all its downloads.

        Returns:
            The downloads; [] also for an unknown session. With ``next``, the token of the next page, or None
            on the last one.

        Raises:
            InvalidArgumentError: after is no token of this listing.
        """
        if session_id is None:
            query = self._page_of_active if active_only else self._page
            return await self._run(query.page(after=after, limit=limit))
        query = self._page_of_active_for_session if active_only else self._page_for_session
        return await self._run(query.page(after=after, limit=limit, session_id=session_id))

    async def queue_depth(self) -> int:
        """How many downloads are active: queued, extracting or downloading."""
        return await self._run(self._count_active.one())

    async def counts_by_status(self) -> dict[DownloadStatus, int]:
        """How many downloads have each status that occurs."""
        return {row.status: row.count for row in await self._run(self._counts_by_status.all())}
