"""URLs that no extractor supports."""

from __future__ import annotations

import builtins
from datetime import datetime, timedelta

from reelbase.engine.file_names import Message
from reelbase.engine.ids import moment_before
from reelbase.engine.record import Record
from reelbase.engine.repository import SLICE, Repository
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.credentials import text_without_credentials, url_without_credentials


class UnsupportedUrl(Record, frozen=True):
    """A URL that no extractor supports. session_id: the session that tried it; it may be deleted."""

    id: int
    url: Message
    session_id: str | None
    error: Message | None
    created_at: datetime


class UnsupportedUrlRepository(Repository):
    """URLs that no extractor supports, table ``unsupported_urls``, for administrators. They stay when their
    session is deleted.
    """

    entity = "unsupported URL"

    _add = Command(
        UnsupportedUrl,
        """
        INSERT INTO unsupported_urls (url, session_id, error, created_at)
        VALUES (:url, :session_id, :error, :created_at)
        RETURNING *
        """,
    )

    _list = Query(
        UnsupportedUrl,
        """
        SELECT *
        FROM unsupported_urls
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _count = Query(
        int,
        """
        SELECT count(*)
        FROM unsupported_urls
        """,
    )

    _newest = Query(
        int,
        """
        SELECT id
        FROM unsupported_urls
        ORDER BY id DESC
        LIMIT 1
        """,
    )

    _clear = Command(
        UnsupportedUrl,
        """
        DELETE FROM unsupported_urls
        WHERE id IN (
          SELECT id
          FROM unsupported_urls
          WHERE id <= :newest
          ORDER BY id
          LIMIT :slice
        )
        """,
        params={"newest": int, "slice": int},
    )

    _prune = Command(
        UnsupportedUrl,
        """
        DELETE FROM unsupported_urls
        WHERE id IN (
          SELECT id
          FROM unsupported_urls
          WHERE created_at < :before
          ORDER BY created_at, id
          LIMIT :slice
        )
        """,
        params={"before": datetime, "slice": int},
    )

    async def add(
        self, url: str, *, session_id: str | None = None, error: str | None = None
    ) -> UnsupportedUrl:
        """Logs a URL.

        Args:
            url: the URL; credentials in it are masked.
            session_id: the session that tried it, or None; it need not exist.
            error: the extractor's message, or None; credentials in it are masked.

        Returns:
            The entry.
        """
        return await self._run(
            self._add.one(
                url=url_without_credentials(self._expect("url", url, str)),
                session_id=session_id,
                error=None
                if error is None
                else text_without_credentials(self._expect("error", error, str)),
                created_at=self._now(),
            )
        )

    async def list(
        self, *, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[UnsupportedUrl]:
        """Entries, newest first."""
        return await self._run(self._list.all(limit=limit, offset=offset))

    async def count(self) -> int:
        """How many entries there are."""
        return await self._run(self._count.one())

    async def clear(self) -> int:
        """Deletes every entry that is there when it begins. Returns how many.

        Waiting writers get their turn meanwhile: every few hundred entries are a transaction of their own,
        unless this is called in a unit of work.
        """
        newest = await self._run(self._newest.optional())
        clear = self._clear.count(newest=newest or 0, slice=SLICE)
        return sum([count async for (count,) in self._slices(clear)])

    async def prune(self, older_than: timedelta) -> int:
        """Deletes the entries that are older than this. Returns how many.

        Waiting writers get their turn meanwhile: every few hundred entries are a transaction of their own,
        unless this is called in a unit of work.
        """
        prune = self._prune.count(
            before=moment_before(self._now(), "older_than", older_than), slice=SLICE
        )
        return sum([count async for (count,) in self._slices(prune)])
