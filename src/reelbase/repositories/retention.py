"""Retention: which files, generations and notifications are kept, and how the rest is removed.

The rule is the same for all of them. A row is expendable when it is older than older_than, when max_count
newer rows are kept, or when the newer rows that are kept and the row itself have more than max_bytes. A
bound that is None does not hold. Pinned rows are never expendable; they count, and so do their bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from reelbase.engine.file_names import FileName, escaped
from reelbase.engine.ids import moment_before
from reelbase.engine.record import Record
from reelbase.engine.repository import SLICE, Repository
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.files import File
from reelbase.repositories.generations import Generation
from reelbase.repositories.notifications import Notification


class ExpendableKind(StrEnum):
    """The kinds of expendable rows."""

    FILE = "file"
    GENERATION = "generation"
    NOTIFICATION = "notification"


class Expendable(Record, frozen=True):
    """A row that the rule does not keep. key: its id, as a text.  path: where its bytes are; None: it has
    none.  size_bytes: how many, if that is known.  since: the time that its age is counted from.
    """

    kind: ExpendableKind
    key: str
    path: FileName | None
    size_bytes: int | None
    since: datetime


class RetentionRepository(Repository):
    """Removes expendable rows in two steps. ``files()``, ``generations()`` and ``notifications()`` list the
    rows that the rule in the docstring of the module does not keep, and change nothing; ``remove()`` removes
    listed rows, and returns them with the paths to unlink. Derived files have ``derived_files.evict()``.
    """

    entity = "expendable row"

    _files = Query(
        Expendable,
        """
        SELECT 'file' AS kind, id AS key, path, size_bytes, created_at AS since
        FROM (
          SELECT
            id, path, size_bytes, created_at,
            row_number() OVER (ORDER BY created_at DESC, id DESC) AS place,
            sum(size_bytes) OVER (ORDER BY created_at DESC, id DESC) AS bytes
          FROM files
          WHERE profile_id = :profile_id
            AND NOT is_pinned
        ) AS loose
        WHERE (
            created_at < :before
            OR place + (
              SELECT count(*)
              FROM files AS pinned
              WHERE pinned.profile_id = :profile_id
                AND pinned.is_pinned
            ) > :max_count
            OR bytes + (
              SELECT coalesce(sum(size_bytes), 0)
              FROM files AS pinned
              WHERE pinned.profile_id = :profile_id
                AND pinned.is_pinned
            ) > :max_bytes
          )
          AND NOT EXISTS (
            SELECT 1
            FROM file_processing
            WHERE file_processing.file_id = loose.id
              AND file_processing.status IN ('downloading', 'processing', 'cancelling')
          )
        ORDER BY created_at, id
        LIMIT :limit
        """,
        params={"profile_id": str, "before": datetime, "max_count": int, "max_bytes": int},
    )

    _generations = Query(
        Expendable,
        """
        SELECT
          'generation' AS kind, id AS key, file_path AS path, file_size_bytes AS size_bytes,
          completed_at AS since
        FROM (
          SELECT
            id, file_path, file_size_bytes, completed_at,
            row_number() OVER (ORDER BY completed_at DESC, id DESC) AS place,
            sum(file_size_bytes) OVER (ORDER BY completed_at DESC, id DESC) AS bytes
          FROM generations
          WHERE completed_at IS NOT NULL
            AND NOT is_pinned
        ) AS loose
        WHERE completed_at < :before
          OR place + (
            SELECT count(*)
            FROM generations AS pinned
            WHERE pinned.is_pinned
              AND pinned.completed_at IS NOT NULL
          ) > :max_count
          OR bytes + (
            SELECT coalesce(sum(file_size_bytes), 0)
            FROM generations AS pinned
            WHERE pinned.is_pinned
              AND pinned.completed_at IS NOT NULL
          ) > :max_bytes
        ORDER BY completed_at, id
        LIMIT :limit
        """,
        params={"before": datetime, "max_count": int, "max_bytes": int},
    )

    _notifications = Query(
        Expendable,
        """
        SELECT
          'notification' AS kind, CAST(id AS TEXT) AS key, NULL AS path, NULL AS size_bytes,
          updated_at AS since
        FROM (
          SELECT
            id, updated_at, row_number() OVER (ORDER BY updated_at DESC, id DESC) AS place
          FROM notifications
          WHERE profile_id = :profile_id
            AND NOT is_pinned
        ) AS loose
        WHERE updated_at < :before
          OR place + (
            SELECT count(*)
            FROM notifications AS pinned
            WHERE pinned.profile_id = :profile_id
              AND pinned.is_pinned
          ) > :max_count
        ORDER BY updated_at, id
        LIMIT :limit
        """,
        params={"profile_id": str, "before": datetime, "max_count": int},
    )

    _remove_files = Command(
        Expendable,
        """
        DELETE FROM files
        WHERE id IN (SELECT value FROM json_each(:keys))
          AND NOT is_pinned
          AND NOT EXISTS (
            SELECT 1
            FROM file_processing
            WHERE file_processing.file_id = files.id
              AND file_processing.status IN ('downloading', 'processing', 'cancelling')
          )
        RETURNING 'file' AS kind, id AS key, path, size_bytes, created_at AS since
        """,
        params={"keys": list},
    )

    # One that is made once more has no completed_at, or a later one.
    _remove_generations = Command(
        Expendable,
        """
        DELETE FROM generations
        WHERE id IN (SELECT value FROM json_each(:keys))
          AND NOT is_pinned
          AND completed_at <= :latest
        RETURNING
          'generation' AS kind, id AS key, file_path AS path, file_size_bytes AS size_bytes,
          completed_at AS since
        """,
        params={"keys": list, "latest": datetime},
    )

    # One that was written again is the newest.
    _remove_notifications = Command(
        Expendable,
        """
        DELETE FROM notifications
        WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:keys))
          AND NOT is_pinned
          AND updated_at <= :latest
        RETURNING
          'notification' AS kind, CAST(id AS TEXT) AS key, NULL AS path, NULL AS size_bytes,
          updated_at AS since
        """,
        params={"keys": list, "latest": datetime},
    )

    _named_paths = Query(
        str,
        """
        SELECT path
        FROM files
        WHERE path IN (SELECT value FROM json_each(:paths))
        UNION ALL
        SELECT file_path
        FROM generations
        WHERE file_path IN (SELECT value FROM json_each(:paths))
        """,
        params={"paths": list},
    )

    _pin_file = Command(
        File,
        """
        UPDATE files
        SET is_pinned = :is_pinned
        WHERE id = :id
        RETURNING *
        """,
        params={"is_pinned": bool},
        entity="file",
    )

    _pin_generation = Command(
        Generation,
        """
        UPDATE generations
        SET is_pinned = :is_pinned
        WHERE id = :id
        RETURNING *
        """,
        params={"is_pinned": bool},
        entity="generation",
    )

    _pin_notification = Command(
        Notification,
        """
        UPDATE notifications
        SET is_pinned = :is_pinned
        WHERE id = :id
        RETURNING *
        """,
        params={"is_pinned": bool},
        entity="notification",
    )

    _pinned_files = Query(
        File,
        """
        SELECT *
        FROM files
        WHERE profile_id = :profile_id
          AND is_pinned
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _pinned_generations = Query(
        Generation,
        """
        SELECT *
        FROM generations
        WHERE is_pinned
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _pinned_notifications = Query(
        Notification,
        """
        SELECT *
        FROM notifications
        WHERE profile_id = :profile_id
          AND is_pinned
        ORDER BY updated_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    async def files(
        self,
        profile_id: str,
        *,
        older_than: timedelta | None = None,
        max_count: int | None = None,
        max_bytes: int | None = None,
        limit: int | None = None,
    ) -> list[Expendable]:
        """The profile's files that the rule does not keep, oldest first; it changes nothing.

        Files that are downloading, processing or cancelling are left out.

        Args:
            profile_id: the profile.
            older_than: expendable are files that were added longer ago than this.
            max_count: expendable are all but the newest ones, so that at most this many stay.
            max_bytes: expendable are all but the newest ones, so that at most this many bytes stay. A
                file of unknown size has none.
            limit: lists at most this many; None: all.

        Returns:
            The files, for remove(). [] without a bound, and for an unknown profile.

        Raises:
            InvalidArgumentError: max_count or max_bytes is negative.
        """
        bounds = rule_bounds(self._now(), older_than, max_count=max_count, max_bytes=max_bytes)
        return await self._run(self._files.all(profile_id=profile_id, limit=limit, **bounds))

    async def generations(
        self,
        *,
        older_than: timedelta | None = None,
        max_count: int | None = None,
        max_bytes: int | None = None,
        limit: int | None = None,
    ) -> list[Expendable]:
        """The generations that have ended and that the rule does not keep, oldest first; it changes nothing.

        The arguments are as in files(); the age counts from completed_at.
        """
        bounds = rule_bounds(self._now(), older_than, max_count=max_count, max_bytes=max_bytes)
        return await self._run(self._generations.all(limit=limit, **bounds))

    async def notifications(
        self,
        profile_id: str,
        *,
        older_than: timedelta | None = None,
        max_count: int | None = None,
        limit: int | None = None,
    ) -> list[Expendable]:
        """The profile's notifications that the rule does not keep, oldest first; it changes nothing.

        The arguments are as in files(); the age counts from updated_at.
        """
        bounds = rule_bounds(self._now(), older_than, max_count=max_count)
        return await self._run(
            self._notifications.all(profile_id=profile_id, limit=limit, **bounds)
        )

    async def remove(self, expendable: Iterable[Expendable]) -> list[Expendable]:
        """Removes rows that files(), generations() or notifications() have listed.

        A row that was pinned since, is being processed or was made or written again stays. Files go with all
        that belongs to them, as with files.delete(); the next derived_files.evict() names their derived
        files. Waiting writers get their turn meanwhile: every few hundred rows are a transaction of their
        own, unless this is called in a unit of work. So if it raises, the rows that it has removed before are
        not named: remove very many in portions, with ``limit=`` of the lists.

        Returns:
            The removed rows, in the order given and as they were at last, each with the path to unlink:
            None where there are no bytes, or where another file or generation names the same path.
        """
        rows = self._listed("expendable", expendable, "Expendable")
        for row in rows:
            self._expect("expendable", row, Expendable)
        gone: dict[tuple[ExpendableKind, str], Expendable] = {}
        for some in _by_the_hundreds(rows):
            gone |= {(row.kind, row.key): row for row in await self._remove(some)}
        asked = dict.fromkeys((row.kind, row.key) for row in rows)
        removed = [gone[one] for one in asked if one in gone]
        paths = [escaped(row.path) for row in removed if row.path is not None]
        named = set(await self._run(self._named_paths.all(paths=paths)))
        return [
            msgspec.structs.replace(row, path=None)
            if row.path is not None and escaped(row.path) in named
            else row
            for row in removed
        ]

    async def pin_file(self, file_id: UUID | str, *, pinned: bool = True) -> File:
        """Keeps the file from being expendable, or with ``pinned=False`` no longer, and returns it."""
        return await self._run(self._pin_file.one(id=file_id, is_pinned=pinned))

    async def pin_generation(self, generation_id: UUID | str, *, pinned: bool = True) -> Generation:
        """Keeps the generation from being expendable, or with ``pinned=False`` no longer, and returns it."""
        return await self._run(self._pin_generation.one(id=generation_id, is_pinned=pinned))

    async def pin_notification(self, notification_id: int, *, pinned: bool = True) -> Notification:
        """Keeps the notification from being expendable, or with ``pinned=False`` no longer, and returns it.

        A pinned one stays, too, when the profile has more than 1000.
        """
        return await self._run(self._pin_notification.one(id=notification_id, is_pinned=pinned))

    async def pinned_files(
        self, profile_id: str, *, limit: int | None = None, offset: int = 0
    ) -> list[File]:
        """The profile's pinned files, newest first.

        limit: at most this many; None: all.  offset: without the first ones.
        """
        return await self._run(
            self._pinned_files.all(profile_id=profile_id, limit=limit, offset=offset)
        )

    async def pinned_generations(
        self, *, limit: int | None = None, offset: int = 0
    ) -> list[Generation]:
        """The pinned generations, newest first.

        limit: at most this many; None: all.  offset: without the first ones.
        """
        return await self._run(self._pinned_generations.all(limit=limit, offset=offset))

    async def pinned_notifications(
        self, profile_id: str, *, limit: int | None = None, offset: int = 0
    ) -> list[Notification]:
        """The profile's pinned notifications, newest first.

        limit: at most this many; None: all.  offset: without the first ones.
        """
        return await self._run(
            self._pinned_notifications.all(profile_id=profile_id, limit=limit, offset=offset)
        )

    async def _remove(self, rows: list[Expendable]) -> list[Expendable]:
        """Removes rows of one kind, and gives the removed ones, in no order."""
        kind, keys, latest = rows[0].kind, [row.key for row in rows], max(row.since for row in rows)
        if kind is ExpendableKind.FILE:
            return await self._run(self._remove_files.all(keys=keys))
        if kind is ExpendableKind.GENERATION:
            return await self._run(self._remove_generations.all(keys=keys, latest=latest))
        return await self._run(self._remove_notifications.all(keys=keys, latest=latest))


def rule_bounds(
    now: datetime, older_than: timedelta | None, **highest: int | None
) -> dict[str, Any]:
    """The bounds of the rule as parameters. InvalidArgumentError for a negative number."""
    for name, number in highest.items():
        if isinstance(number, int) and number < 0:
            raise invalid_argument(name, f"must be 0 or more, not {number}")
    before = None if older_than is None else moment_before(now, "older_than", older_than)
    return {"before": before, **highest}


def _by_the_hundreds(rows: list[Expendable]) -> Iterator[list[Expendable]]:
    """The rows by kind, at most SLICE of them at a time."""
    for kind in ExpendableKind:
        of_kind = [row for row in rows if row.kind is kind]
        for start in range(0, len(of_kind), SLICE):
            yield of_kind[start : start + SLICE]
