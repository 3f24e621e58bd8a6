"""Notifications: messages to a profile, single ones or a stream of progress."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from reelbase.engine.file_names import Message
from reelbase.engine.ids import END_OF_TIME, MAX_ROWID
from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.statement import Command, PageQuery, Query


class Notification(Record, frozen=True):
    """A message. progress_key: the key of a stream of progress, which has one row, updated in place; None: a
    single message.  progress: in the application's own measure.
    """

    id: int
    profile_id: str
    type: str
    title: Message
    message: Message
    progress_key: str | None
    progress: float | None
    status: str
    data: dict[str, Any]
    is_read: bool
    created_at: datetime
    updated_at: datetime


class NotificationRepository(Repository):
    """The notifications of profiles, table ``notifications``: at most 1000 each; beyond that the oldest are
    deleted, but for pinned ones (``retention.pin_notification()``). One with a progress_key is updated in
    place, and is then the newest, and unread again.
    """

    entity = "notification"

    _push = Command(
        Notification,
        """
        INSERT INTO notifications (
          profile_id, type, title, message, progress_key, progress,
          status, data, is_read, created_at, updated_at
        )
        VALUES (
          :profile_id, :type, :title, :message, :progress_key, :progress,
          :status, :data, FALSE, :now, :now
        )
        ON CONFLICT (profile_id, progress_key) DO UPDATE
        SET type = excluded.type,
            title = excluded.title,
            message = excluded.message,
            progress = excluded.progress,
            status = excluded.status,
            data = merged(notifications.data, excluded.data),
            is_read = FALSE,
            updated_at = excluded.updated_at
        RETURNING *
        """,
    )

    _get = Query(
        Notification,
        """
        SELECT *
        FROM notifications
        WHERE id = :id
        """,
    )

    _list = Query(
        Notification,
        """
        SELECT *
        FROM notifications
        WHERE profile_id = :profile_id
        ORDER BY updated_at DESC, id DESC
        LIMIT :limit
        """,
    )

    _list_unread = Query(
        Notification,
        """
        SELECT *
        FROM notifications
        WHERE profile_id = :profile_id
          AND NOT is_read
        ORDER BY updated_at DESC, id DESC
        LIMIT :limit
        """,
    )

    # Two ranges: SQLite plans (updated_at, id) < (…) by the time alone when the id is the rowid.
    _page = PageQuery(
        Notification,
        """
        SELECT *
        FROM (
            SELECT *
            FROM notifications
            WHERE profile_id = :profile_id
              AND updated_at = :updated_at
              AND id < :id
            UNION ALL
            SELECT *
            FROM notifications
            WHERE profile_id = :profile_id
              AND updated_at < :updated_at
          ) AS notifications
        ORDER BY updated_at DESC, id DESC
        LIMIT :limit
        """,
        keyset={"updated_at": END_OF_TIME, "id": MAX_ROWID},
    )

    _page_of_unread = PageQuery(
        Notification,
        """
        SELECT *
        FROM (
            SELECT *
            FROM notifications
            WHERE profile_id = :profile_id
              AND NOT is_read
              AND updated_at = :updated_at
              AND id < :id
            UNION ALL
            SELECT *
            FROM notifications
            WHERE profile_id = :profile_id
              AND NOT is_read
              AND updated_at < :updated_at
          ) AS notifications
        ORDER BY updated_at DESC, id DESC
        LIMIT :limit
        """,
        keyset={"updated_at": END_OF_TIME, "id": MAX_ROWID},
    )

    _unread_count = Query(
        int,
        """
        SELECT count(*)
        FROM notifications
        WHERE profile_id = :profile_id
          AND NOT is_read
        """,
        params={"profile_id": str},
    )

    _mark_read = Command(
        Notification,
        """
        UPDATE notifications
        SET is_read = TRUE
        WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids))
          AND profile_id = :profile_id
          AND NOT is_read
        """,
        params={"ids": list[int]},
    )

    _mark_all_read = Command(
        Notification,
        """
        UPDATE notifications
        SET is_read = TRUE
        WHERE profile_id = :profile_id
          AND NOT is_read
        """,
    )

    _dismiss = Command(
        Notification,
        """
        DELETE FROM notifications
        WHERE id = :id
        """,
    )

    _prune = Command(
        Notification,
        """
        DELETE FROM notifications
        WHERE id IN (
          SELECT id
          FROM notifications
          WHERE profile_id = :profile_id
          ORDER BY updated_at DESC, id DESC
          LIMIT 9223372036854775807 OFFSET :keep
        )
        """,
        params={"keep": int},
    )

    async def push(
        self,
        profile_id: str,
        type: str,
        title: str,
        message: str = "",
        *,
        progress_key: str | None = None,
        progress: float | None = None,
        status: str = "info",
        data: dict[str, Any] | None = None,
    ) -> Notification:
        """Adds a notification, or updates the profile's existing notification with this progress_key.

        An updated notification is unread and the newest again. Beyond 1000 the profile's oldest is deleted.

        Args:
            profile_id: the profile.
            type: the application's own word.
            title: the title.
            message: the text.
            progress_key: the key of a stream of progress; None: a new notification.
            progress: in the application's own measure, or None.
            status: the application's own word.
            data: further data, as JSON; None: {}. In an update it is merged into the stored data, key by
                key.

        Returns:
            The notification.

        Raises:
            ConstraintError: kind foreign_key for an unknown profile.
        """
        return await self._run(
            self._push.one(
                profile_id=profile_id,
                type=type,
                title=title,
                message=message,
                progress_key=progress_key,
                progress=progress,
                status=status,
                data={} if data is None else data,
                now=self._now(),
            )
        )

    async def get(self, notification_id: int) -> Notification:
        """The notification; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=notification_id))

    async def find(self, notification_id: int) -> Notification | None:
        """The notification, or None."""
        return await self._run(self._get.optional(id=notification_id))

    async def list_for_profile(
        self, profile_id: str, *, unread_only: bool = False, limit: int | None = 100
    ) -> list[Notification]:
        """A profile's notifications, the last written first.

        Args:
            profile_id: the profile.
            unread_only: only unread ones.
            limit: at most this many; None: all.

        Returns:
            The notifications; [] also for an unknown profile.
        """
        query = self._list_unread if unread_only else self._list
        return await self._run(query.all(profile_id=profile_id, limit=limit))

    async def page(
        self,
        profile_id: str,
        *,
        after: Notification | str | None = None,
        limit: int | None = 50,
        unread_only: bool = False,
    ) -> Page[Notification]:
        """A page of a profile's notifications, the last written first, by keyset.

        A notification that is written again between two pages moves to the front: a walk from the front
        shows it again or, if it was not shown yet, not at all.

        Args:
            profile_id: the profile.
            after: ``next`` of the page before, or its last notification; None: the first page.
            limit: at most this many; None: all.
            unread_only: only unread ones.

        Returns:
            The notifications; [] also for an unknown profile. With ``next``, the token of the next page, or
            None on the last one.

        Raises:
            InvalidArgumentError: after is no token of this listing.
        """
        query = self._page_of_unread if unread_only else self._page
        return await self._run(query.page(after=after, limit=limit, profile_id=profile_id))

    async def unread_count(self, profile_id: str) -> int:
        """How many notifications of the profile are unread; 0 for an unknown profile."""
        return await self._run(self._unread_count.one(profile_id=profile_id))

    async def mark_read(self, profile_id: str, *ids: int) -> int:
        """Marks these notifications of the profile as read. Returns how many were unread until now."""
        return await self._run(self._mark_read.count(profile_id=profile_id, ids=ids))

    async def mark_all_read(self, profile_id: str) -> int:
        """Marks all notifications of the profile as read. Returns how many were unread until now."""
        return await self._run(self._mark_all_read.count(profile_id=profile_id))

    async def dismiss(self, id: int) -> bool:
        """Deletes the notification; False when it did not exist."""
        return await self._run(self._dismiss.count(id=id)) > 0

    async def prune(self, profile_id: str, keep: int = 100) -> int:
        """Deletes all but the profile's newest ``keep`` notifications. Returns how many. ValueError for a
        negative keep."""
        if self._expect("keep", keep, int) < 0:
            raise invalid_argument("keep", f"must be 0 or more, not {keep}")
        return await self._run(self._prune.count(profile_id=profile_id, keep=keep))
