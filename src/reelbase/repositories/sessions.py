"""Sessions: browsers that use the downloader."""

from __future__ import annotations

import builtins
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Any

from reelbase.engine.executor import Executor
from reelbase.engine.ids import moment_after, moment_before
from reelbase.engine.record import Record
from reelbase.engine.repository import SLICE, Repository
from reelbase.engine.statements.statement import Command, Query

# Sessions whose last touch is remembered; the least recently touched one is forgotten first.
_REMEMBERED = 10_000


class Deletions:
    """Counts how often this process deleted sessions: a session remembered before that may be gone."""

    count = 0

    @classmethod
    def happened(cls) -> None:
        """Counts a deletion."""
        cls.count += 1


class Session(Record, frozen=True):
    """A browser. id: chosen by the application.  last_seen: as exact as the ``every`` of touch()."""

    id: str
    created_at: datetime
    last_seen: datetime


class SessionSummary(Record, frozen=True):
    """A session and its number of downloads of any status."""

    id: str
    created_at: datetime
    last_seen: datetime
    download_count: int


class SessionRepository(Repository):
    """Sessions of browsers, table ``sessions``: they own downloads, and are deleted when idle."""

    entity = "session"
    table = "sessions"
    remedy = "sessions.ensure({key!r}) makes it"

    _insert = Command(
        Session,
        """
        INSERT INTO sessions (id, created_at, last_seen)
        VALUES (:id, :now, :now)
        ON CONFLICT (id) DO NOTHING
        """,
    )

    _get = Query(
        Session,
        """
        SELECT *
        FROM sessions
        WHERE id = :id
        """,
    )

    _touch = Command(
        Session,
        """
        UPDATE sessions
        SET last_seen = :now
        WHERE id = :id
          AND (last_seen <= :before OR last_seen > :now)
        """,
        params={"before": datetime},
        relaxed=True,
    )

    _list = Query(
        SessionSummary,
        """
        SELECT
          id, created_at, last_seen,
          (SELECT count(*) FROM downloads WHERE downloads.session_id = sessions.id) AS download_count
        FROM sessions
        ORDER BY last_seen DESC, id
        LIMIT :limit OFFSET :offset
        """,
    )

    _count = Query(
        int,
        """
        SELECT count(*)
        FROM sessions
        """,
    )

    # Their downloads first, because a session may have more of them than a slice.
    _purge_downloads = Command(
        Session,
        """
        DELETE FROM downloads
        WHERE id IN (
          SELECT downloads.id
          FROM (
            SELECT id
            FROM sessions
            WHERE last_seen < :before
              AND NOT EXISTS (
                SELECT 1
                FROM downloads AS active
                WHERE active.session_id = sessions.id
                  AND active.status IN ('queued', 'extracting', 'downloading')
              )
            LIMIT :slice
          ) AS idle
          CROSS JOIN downloads
          WHERE downloads.session_id = idle.id
          LIMIT :slice
        )
        """,
        params={"before": datetime, "slice": int},
    )

    _purge_idle = Command(
        Session,
        """
        DELETE FROM sessions
        WHERE id IN (
            SELECT id
            FROM sessions
            WHERE last_seen < :before
              AND NOT EXISTS (
                SELECT 1
                FROM downloads
                WHERE downloads.session_id = sessions.id
                  AND downloads.status IN ('queued', 'extracting', 'downloading')
              )
            LIMIT :slice
          )
          AND NOT EXISTS (SELECT 1 FROM downloads WHERE downloads.session_id = sessions.id)
        """,
        params={"before": datetime, "slice": int},
    )

    _delete = Command(
        Session,
        """
        DELETE FROM sessions
        WHERE id = :id
        """,
    )

    def __init__(self, executor: Executor) -> None:
        super().__init__(executor)
        self._touched: OrderedDict[str, tuple[int, Session]] = OrderedDict()

    async def ensure(self, session_id: str) -> Session:
        """The session, created if it did not exist. Safe to call from many tasks and processes."""
        _, session = await self._batch(
            self._insert.count(id=session_id, now=self._now()),
            self._get.one(id=session_id),
        )
        return session

    async def get(self, session_id: str) -> Session:
        """The session; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=session_id))

    async def find(self, session_id: str) -> Session | None:
        """The session, or None."""
        return await self._run(self._get.optional(id=session_id))

    async def touch(self, session_id: str, *, every: float = 60.0) -> Session:
        """Sets last_seen to now, at most once per ``every`` seconds (0: always).

        Returns the session as it is stored; between two writes, as this Database wrote it last, without a
        read of the file. It does not wait for the disk. RecordNotFoundError when there is no such
        session: touch() creates none, so that health checks leave no rows.
        """
        self._expect("session_id", session_id, str)
        now = self._now()
        interval = moment_after(now, "every", every) - now
        deletions = Deletions.count
        remembered, known = self._touched.get(session_id, (-1, None))
        if known and remembered == deletions and timedelta(0) <= now - known.last_seen < interval:
            return known
        _, session = await self._batch(
            self._touch.count(id=session_id, now=now, before=moment_before(now, "every", interval)),
            self._get.one(id=session_id),
        )
        if self._commits():  # a unit of work may still roll back
            self._touched[session_id] = (deletions, session)
            self._touched.move_to_end(session_id)
            if len(self._touched) > _REMEMBERED:
                self._touched.popitem(last=False)
        return session

    async def list(
        self, *, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[SessionSummary]:
        """Sessions with their numbers of downloads, the last seen first, then by id."""
        return await self._run(self._list.all(limit=limit, offset=offset))

    async def count(self) -> int:
        """How many sessions there are."""
        return await self._run(self._count.one())

    async def purge_idle(self, older_than: timedelta) -> int:
        """Deletes sessions last seen longer ago than this, with their finished downloads. Returns how many
        sessions.

        A session with an active download is kept. downloads.purge_idle() does the same and reports the
        files to unlink. Waiting writers get their turn meanwhile: every few hundred sessions or downloads are
        a transaction of their own, unless this is called in a unit of work.
        """
        bounds: dict[str, Any] = {
            "before": moment_before(self._now(), "older_than", older_than),
            "slice": SLICE,
        }
        steps = self._purge_downloads.count(**bounds), self._purge_idle.count(**bounds)
        try:
            return sum([count async for _, count in self._slices(*steps)])
        finally:
            Deletions.happened()

    async def delete(self, session_id: str, *, missing_ok: bool = False) -> bool:
        """Deletes the session and all its downloads.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        try:
            count = await self._run(self._delete.count(id=session_id))
        finally:
            Deletions.happened()
        return self._deleted(count, session_id, missing_ok=missing_ok)
