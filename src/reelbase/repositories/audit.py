"""The audit trail: each change of an entity, with its time and its author.

Projects, videos and clips are logged by triggers (schema.sql), which also see cascades. A trigger does not
know the author; an AuditedRepository stores it around each of its writes, in the same transaction. To log
a further table: give it the three triggers, and its repository this base class.
"""

from __future__ import annotations

import builtins
import enum
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from reelbase.engine.ids import END_OF_TIME, MAX_ROWID, moment_before
from reelbase.engine.record import Record
from reelbase.engine.repository import SLICE, Repository
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.statement import Command, PageQuery, Query
from reelbase.engine.statements.step import Step

A = TypeVar("A")


class AuditAction(enum.StrEnum):
    """The kind of a change."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


class AuditEntry(Record, frozen=True):
    """A change of an entity.

    entity_id: int or str, as it was given.  changes: for an UPDATE ``{"old": …, "new": …}`` for every field
    that changed; {} for CREATE and DELETE.  user_id: the author; None: unknown.
    """

    id: int
    entity_type: str
    entity_id: int | str
    action: AuditAction
    changes: dict[str, Any]
    user_id: str | None
    timestamp: datetime


class AuditedRepository(Repository):
    """A repository of a table with audit triggers."""

    _begin_audit = Command(
        AuditEntry,
        """
        INSERT INTO audit_context (id, user_id, timestamp)
        VALUES (1, :user_id, :timestamp)
        """,
    )

    _end_audit = Command(
        AuditEntry,
        """
        DELETE FROM audit_context
        """,
    )

    def _run(self, step: Step[A]) -> Awaitable[A]:
        return self._run_audited(step) if step.statement.may_write else super()._run(step)

    async def _run_audited(self, step: Step[A]) -> A:
        (result,) = await self._execute(step)
        return result  # type: ignore[no-any-return]

    async def _execute(self, *steps: Step[Any]) -> builtins.list[Any]:
        if not any(step.statement.may_write for step in steps):
            return await super()._execute(*steps)
        opening = self._begin_audit.count(user_id=self._actor(), timestamp=self._now())
        _, *results, _ = await super()._execute(opening, *steps, self._end_audit.count())
        return results


class AuditRepository(Repository):
    """Append-only: entries are added, read, and pruned by age."""

    entity = "audit entry"

    _add = Command(
        AuditEntry,
        """
        INSERT INTO audit_log (entity_type, entity_id, action, changes, user_id, timestamp)
        VALUES (:entity_type, :entity_id, :action, :changes, :user_id, :timestamp)
        RETURNING *
        """,
    )

    _get = Query(
        AuditEntry,
        """
        SELECT *
        FROM audit_log
        WHERE id = :id
        """,
    )

    _get_history = Query(
        AuditEntry,
        """
        SELECT *
        FROM audit_log
        WHERE entity_type = :entity_type
          AND entity_id = :entity_id
        ORDER BY timestamp DESC, id DESC
        LIMIT :limit
        """,
    )

    _list = Query(
        AuditEntry,
        """
        SELECT *
        FROM audit_log
        ORDER BY timestamp DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    # Two ranges: SQLite plans (timestamp, id) < (…) by the time alone when the id is the rowid, and a unit
    # of work gives all its entries one time.
    _page = PageQuery(
        AuditEntry,
        """
        SELECT *
        FROM (
            SELECT *
            FROM audit_log
            WHERE timestamp = :timestamp
              AND id < :id
            UNION ALL
            SELECT *
            FROM audit_log
            WHERE timestamp < :timestamp
          ) AS audit_log
        ORDER BY timestamp DESC, id DESC
        LIMIT :limit
        """,
        keyset={"timestamp": END_OF_TIME, "id": MAX_ROWID},
    )

    _page_of_entity = PageQuery(
        AuditEntry,
        """
        SELECT *
        FROM (
            SELECT *
            FROM audit_log
            WHERE entity_type = :entity_type
              AND entity_id = :entity_id
              AND timestamp = :timestamp
              AND id < :id
            UNION ALL
            SELECT *
            FROM audit_log
            WHERE entity_type = :entity_type
              AND entity_id = :entity_id
              AND timestamp < :timestamp
          ) AS audit_log
        ORDER BY timestamp DESC, id DESC
        LIMIT :limit
        """,
        keyset={"timestamp": END_OF_TIME, "id": MAX_ROWID},
    )

    _count = Query(
        int,
        """
        SELECT count(*)
        FROM audit_log
        """,
    )

    _prune = Command(
        AuditEntry,
        """
        DELETE FROM audit_log
        WHERE id IN (
          SELECT id
          FROM audit_log
          WHERE timestamp < :before
          ORDER BY timestamp, id
          LIMIT :slice
        )
        """,
        params={"before": datetime, "slice": int},
    )

    async def log_create(
        self, entity_type: str, entity_id: int | str, user_id: str | None = None
    ) -> AuditEntry:
        """Logs that an entity of the application was created.

        Args:
            entity_type: the application's own word for its kind.
            entity_id: its id; 7 and "7" are two entities.
            user_id: the author; None: the actor of the unit of work, if there is one.

        Returns:
            The entry.
        """
        return await self._log(AuditAction.CREATE, entity_type, entity_id, {}, user_id)

    async def log_update(
        self,
        entity_type: str,
        entity_id: int | str,
        changes: dict[str, Any],
        user_id: str | None = None,
    ) -> AuditEntry:
        """Logs changes of an entity of the application.

        Args:
            entity_type: as in log_create().
            entity_id: as in log_create().
            changes: stored as they are given.
            user_id: as in log_create().

        Returns:
            The entry.
        """
        return await self._log(AuditAction.UPDATE, entity_type, entity_id, changes, user_id)

    async def log_delete(
        self, entity_type: str, entity_id: int | str, user_id: str | None = None
    ) -> AuditEntry:
        """Logs that an entity of the application was deleted.

        Args:
            entity_type: as in log_create().
            entity_id: as in log_create().
            user_id: as in log_create().

        Returns:
            The entry.
        """
        return await self._log(AuditAction.DELETE, entity_type, entity_id, {}, user_id)

    async def get(self, entry_id: int) -> AuditEntry:
        """The entry; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=entry_id))

    async def find(self, entry_id: int) -> AuditEntry | None:
        """The entry, or None."""
        return await self._run(self._get.optional(id=entry_id))

    async def get_history(
        self, entity_type: str, entity_id: int | str, *, limit: int | None = None
    ) -> builtins.list[AuditEntry]:
        """The changes of an entity, newest first.

        Args:
            entity_type: its kind.
            entity_id: its id; 7 and "7" are two entities.
            limit: at most this many; None: all.

        Returns:
            The entries; [] for an unknown entity.
        """
        step = self._get_history.all(entity_type=entity_type, entity_id=entity_id, limit=limit)
        return await self._run(step)

    async def list(self, *, limit: int | None = 100, offset: int = 0) -> builtins.list[AuditEntry]:
        """The changes of all entities, newest first. limit None: all."""
        return await self._run(self._list.all(limit=limit, offset=offset))

    async def page(
        self,
        entity_type: str | None = None,
        entity_id: int | str | None = None,
        *,
        after: AuditEntry | str | None = None,
        limit: int | None = 100,
    ) -> Page[AuditEntry]:
        """A page of the changes of all entities or of one, newest first, by keyset.

        Args:
            entity_type: the kind of the entity; None: all entities.
            entity_id: its id; 7 and "7" are two entities. None with entity_type None.
            after: ``next`` of the page before, or its last entry; None: the first page.
            limit: at most this many; None: all.

        Returns:
            The entries; [] also for an unknown entity. With ``next``, the token of the next page, or None on
            the last one.

        Raises:
            InvalidArgumentError: after is no token of this listing; of entity_type and entity_id only one
                was passed.
        """
        if entity_type is None and entity_id is None:
            return await self._run(self._page.page(after=after, limit=limit))
        if entity_type is None or entity_id is None:
            missing = "entity_type" if entity_type is None else "entity_id"
            raise invalid_argument(missing, "an entity has both, entity_type and entity_id")
        step = self._page_of_entity.page(
            after=after, limit=limit, entity_type=entity_type, entity_id=entity_id
        )
        return await self._run(step)

    async def count(self) -> int:
        """How many entries there are."""
        return await self._run(self._count.one())

    async def prune(self, older_than: timedelta) -> int:
        """Deletes the entries that are older than this. Returns how many.

        Waiting writers get their turn meanwhile: every few hundred entries are a transaction of their own,
        unless this is called in a unit of work.
        """
        prune = self._prune.count(
            before=moment_before(self._now(), "older_than", older_than), slice=SLICE
        )
        return sum([count async for (count,) in self._slices(prune)])

    async def _log(
        self,
        action: AuditAction,
        entity_type: str,
        entity_id: int | str,
        changes: dict[str, Any],
        user_id: str | None,
    ) -> AuditEntry:
        return await self._run(
            self._add.one(
                entity_type=entity_type,
                entity_id=entity_id,
                action=action,
                changes=changes,
                user_id=self._actor() if user_id is None else user_id,
                timestamp=self._now(),
            )
        )
