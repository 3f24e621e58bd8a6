"""Derived files, which are made from a file, can be made again and need not be kept.

The table gives the new status for each verb and each status. recover is recover(), for one that has been
processing for long enough. A dash means InvalidTransitionError; for recover it means that it is skipped.

    state        start        complete     fail         retry        recover
    pending      processing   ready        failed       -            -
    processing   -            ready        failed       -            pending
    ready        -            -            -            -            -
    failed       -            -            -            pending      -
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from reelbase.engine.file_names import FileName, Message
from reelbase.engine.ids import moment_after, moment_before
from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.statement import Command, Query
from reelbase.engine.statements.step import Step
from reelbase.repositories.retention import rule_bounds


class DerivedFileStatus(StrEnum):
    """pending -> processing -> ready or failed. retry() leads from failed to pending."""

    PENDING = "pending"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class DerivedFile(Record, frozen=True):
    """A file made from a media file: a proxy, a strip of thumbnails, a waveform, a preview.

    file_id: the file; None: it was deleted, and evict() takes this one next.  kind: the application's own
    word.  parameters: how it is made; a file has one of a kind with the same parameters.  path, size_bytes:
    where the bytes are and how many, of one that is ready; else None.  error_message: of one that has failed.
    is_pinned: evict() leaves it alone.  updated_at: when its status changed.  last_used_at: when it became
    ready or use() was called, as exact as the ``every`` of use().  expires_at: from when evict() takes it;
    None: no such time.
    """

    id: int
    file_id: UUID | None
    kind: str
    parameters: dict[str, Any]
    status: DerivedFileStatus
    path: FileName | None
    size_bytes: int | None
    error_message: Message | None
    is_pinned: bool
    created_at: datetime
    updated_at: datetime
    last_used_at: datetime
    expires_at: datetime | None


class EvictedFile(Record, frozen=True):
    """A derived file that evict() has removed from the table. path: the file to unlink.  size_bytes: its
    size.  file_id: the file that it was made from, or None when that was deleted.
    """

    id: int
    file_id: UUID | None
    kind: str
    path: FileName
    size_bytes: int


class DerivedFileRepository(Repository):
    """Files that are made from files, table ``derived_files``. They outlive their file, so that evict() can
    name their bytes. The docstring of the module shows the statuses.
    """

    entity = "derived file"
    table = "derived_files"

    _ensure = Command(
        DerivedFile,
        """
        INSERT INTO derived_files (
          file_id, kind, parameters, created_at, updated_at, last_used_at
        )
        VALUES (:file_id, :kind, :parameters, :now, :now, :now)
        ON CONFLICT (file_id, kind, parameters) DO NOTHING
        """,
    )

    _get = Query(
        DerivedFile,
        """
        SELECT *
        FROM derived_files
        WHERE id = :id
        """,
    )

    _find_for_file = Query(
        DerivedFile,
        """
        SELECT *
        FROM derived_files
        WHERE file_id = :file_id
          AND kind = :kind
          AND parameters = :parameters
        """,
    )

    _list_for_file = Query(
        DerivedFile,
        """
        SELECT *
        FROM derived_files
        WHERE file_id = :file_id
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
        params={"file_id": UUID},
    )

    _pending = Query(
        DerivedFile,
        """
        SELECT *
        FROM derived_files
        WHERE status = 'pending'
        ORDER BY created_at, id
        LIMIT :limit
        """,
    )

    _counts = Query(
        tuple[str, int],
        """
        SELECT status, count(*)
        FROM derived_files
        GROUP BY status
        ORDER BY status
        """,
    )

    _total_bytes = Query(
        int,
        """
        SELECT coalesce(sum(size_bytes), 0)
        FROM derived_files
        WHERE status = 'ready'
        """,
    )

    _start = Command(
        DerivedFile,
        """
        UPDATE derived_files
        SET status = 'processing',
            updated_at = :now
        WHERE id = :id
          AND status = 'pending'
        RETURNING *
        """,
    )

    _complete = Command(
        DerivedFile,
        """
        UPDATE derived_files
        SET status = 'ready',
            path = :path,
            size_bytes = :size_bytes,
            updated_at = :now,
            last_used_at = :now,
            expires_at = :expires_at
        WHERE id = :id
          AND status IN ('pending', 'processing')
        RETURNING *
        """,
    )

    _fail = Command(
        DerivedFile,
        """
        UPDATE derived_files
        SET status = 'failed',
            error_message = :error_message,
            updated_at = :now
        WHERE id = :id
          AND status IN ('pending', 'processing')
        RETURNING *
        """,
    )

    _retry = Command(
        DerivedFile,
        """
        UPDATE derived_files
        SET status = 'pending',
            error_message = NULL,
            updated_at = :now
        WHERE id = :id
          AND status = 'failed'
        RETURNING *
        """,
    )

    _recover = Command(
        DerivedFile,
        """
        UPDATE derived_files
        SET status = 'pending',
            updated_at = :now
        WHERE status = 'processing'
          AND updated_at < :before
        """,
        params={"before": datetime},
    )

    _use = Command(
        DerivedFile,
        """
        UPDATE derived_files
        SET last_used_at = :now
        WHERE id = :id
          AND status = 'ready'
          AND (last_used_at <= :before OR last_used_at > :now)
        """,
        params={"before": datetime},
        relaxed=True,
    )

    _pin = Command(
        DerivedFile,
        """
        UPDATE derived_files
        SET is_pinned = :is_pinned
        WHERE id = :id
        RETURNING *
        """,
    )

    # Pinned ones come first: they stay, and count.
    _evictable = Query(
        EvictedFile,
        """
        SELECT *
        FROM (
          SELECT
            id, file_id, kind, path, size_bytes, is_pinned, last_used_at, expires_at,
            row_number() OVER (ORDER BY is_pinned DESC, last_used_at DESC, id DESC) AS place,
            sum(size_bytes) OVER (ORDER BY is_pinned DESC, last_used_at DESC, id DESC) AS bytes
          FROM derived_files
          WHERE status = 'ready'
        ) AS ready
        WHERE NOT is_pinned
          AND (
            file_id IS NULL
            OR expires_at <= :now
            OR last_used_at < :before
            OR place > :max_count
            OR bytes > :max_bytes
          )
        ORDER BY last_used_at, id
        """,
        params={"before": datetime, "max_count": int, "max_bytes": int},
    )

    _evict = Command(
        EvictedFile,
        """
        DELETE FROM derived_files
        WHERE id IN (
          SELECT id
          FROM (
            SELECT
              id, file_id, is_pinned, last_used_at, expires_at,
              row_number() OVER (ORDER BY is_pinned DESC, last_used_at DESC, id DESC) AS place,
              sum(size_bytes) OVER (ORDER BY is_pinned DESC, last_used_at DESC, id DESC) AS bytes
            FROM derived_files
            WHERE status = 'ready'
          ) AS ready
          WHERE NOT is_pinned
            AND (
              file_id IS NULL
              OR expires_at <= :now
              OR last_used_at < :before
              OR place > :max_count
              OR bytes > :max_bytes
            )
        )
        """,
        params={"before": datetime, "max_count": int, "max_bytes": int},
    )

    # Of deleted files; what is being made is named by evict() once it is ready.
    _forget = Command(
        DerivedFile,
        """
        DELETE FROM derived_files
        WHERE file_id IS NULL
          AND status IN ('pending', 'failed')
        """,
    )

    _delete = Command(
        DerivedFile,
        """
        DELETE FROM derived_files
        WHERE id = :id
        """,
    )

    async def ensure(
        self, file_id: UUID | str, kind: str, parameters: dict[str, Any] | None = None
    ) -> DerivedFile:
        """The derived file of this kind with these parameters: the one that is there, or a new, pending one.

        Its status says how to go on: call start() for a pending one, wait for one that is processing, use()
        one that is ready, and retry() one that has failed.

        Args:
            file_id: the file that it is made from.
            kind: the application's own word: proxy, thumbnail_strip, waveform, preview …
            parameters: how it is made; the order of their keys means nothing. None: {}.

        Returns:
            The derived file. Callers in several processes get the same one.

        Raises:
            ConstraintError: kind foreign_key for an unknown file; kind check for an empty kind.
        """
        key = {
            "file_id": self._id(
                "file_id", file_id
            ),  # the table has rows without one, this makes none
            "kind": kind,
            "parameters": {} if parameters is None else _in_order(parameters),
        }
        _, derived = await self._batch(
            self._ensure.count(**key, now=self._now()), self._find_for_file.one(**key)
        )
        return derived

    async def get(self, derived_file_id: int) -> DerivedFile:
        """The derived file; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=derived_file_id))

    async def find(self, derived_file_id: int) -> DerivedFile | None:
        """The derived file, or None."""
        return await self._run(self._get.optional(id=derived_file_id))

    async def list_for_file(
        self, file_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> list[DerivedFile]:
        """The file's derived files, newest first; [] also for an unknown file.

        limit: at most this many; None: all.  offset: without the first ones.
        """
        return await self._run(self._list_for_file.all(file_id=file_id, limit=limit, offset=offset))

    async def pending(self, *, limit: int | None = 100) -> list[DerivedFile]:
        """The derived files to be made, oldest first. limit: at most this many; None: all."""
        return await self._run(self._pending.all(limit=limit))

    async def counts_by_status(self) -> dict[str, int]:
        """How many derived files have each status that occurs."""
        return dict(await self._run(self._counts.all()))

    async def total_bytes(self) -> int:
        """The bytes of all derived files that are ready, pinned ones included."""
        return await self._run(self._total_bytes.one())

    async def start(self, derived_file_id: int) -> DerivedFile:
        """Marks a pending one as processing. Of several callers one succeeds.

        InvalidTransitionError unless it is pending: another caller makes it, or it has ended.
        """
        step = self._start.optional(id=derived_file_id, now=self._now())
        return await self._changed("be started", derived_file_id, step)

    async def complete(
        self,
        derived_file_id: int,
        path: str,
        size_bytes: int,
        *,
        expires_in: float | None = None,
    ) -> DerivedFile:
        """Marks one that is pending or processing as ready.

        Args:
            derived_file_id: the derived file.
            path: where the bytes are.
            size_bytes: how many, at least 0.
            expires_in: seconds until evict() takes it, however much it is used; None: no such time.

        Returns:
            The derived file, also when its file was deleted meanwhile: evict() then names its bytes.

        Raises:
            InvalidTransitionError: it is ready or has failed already.
            RecordNotFoundError: it was deleted; unlink the file that was made.
        """
        now = self._now()
        step = self._complete.optional(
            id=derived_file_id,
            path=path,
            size_bytes=size_bytes,
            expires_at=None if expires_in is None else moment_after(now, "expires_in", expires_in),
            now=now,
        )
        return await self._changed("be completed", derived_file_id, step)

    async def fail(self, derived_file_id: int, error_message: str) -> DerivedFile:
        """Marks one as failed. InvalidTransitionError unless it is pending or processing."""
        step = self._fail.optional(id=derived_file_id, error_message=error_message, now=self._now())
        return await self._changed("fail", derived_file_id, step)

    async def retry(self, derived_file_id: int) -> DerivedFile:
        """Marks a failed one as pending. InvalidTransitionError unless it has failed."""
        step = self._retry.optional(id=derived_file_id, now=self._now())
        return await self._changed("be tried again", derived_file_id, step)

    async def recover(self, older_than: timedelta) -> int:
        """Marks as pending the derived files that have been processing for longer than this: their makers are
        gone.

        Returns how many. Pass a longer time than making one takes.
        """
        now = self._now()
        before = moment_before(now, "older_than", older_than)
        return await self._run(self._recover.count(before=before, now=now))

    async def use(self, derived_file_id: int, *, every: float = 60.0) -> DerivedFile:
        """Notes that it is used, so that evict() removes it later, and returns it.

        last_used_at is written at most once per ``every`` seconds (0: always), and does not wait for the
        disk. One that is not ready stays as it is; look at its status. RecordNotFoundError when there is
        none.
        """
        now = self._now()
        interval = moment_after(now, "every", every) - now
        before = moment_before(now, "every", interval)
        _, derived = await self._batch(
            self._use.count(id=derived_file_id, before=before, now=now),
            self._get.one(id=derived_file_id),
        )
        return derived

    async def pin(self, derived_file_id: int, *, pinned: bool = True) -> DerivedFile:
        """Keeps it from evict(), or with ``pinned=False`` no longer, and returns it."""
        return await self._run(self._pin.one(id=derived_file_id, is_pinned=pinned))

    async def evictable(
        self,
        *,
        older_than: timedelta | None = None,
        max_count: int | None = None,
        max_bytes: int | None = None,
    ) -> list[EvictedFile]:
        """The derived files that evict() would remove now; it changes nothing. Arguments as in evict()."""
        now = self._now()
        bounds = rule_bounds(now, older_than, max_count=max_count, max_bytes=max_bytes)
        return await self._run(self._evictable.all(now=now, **bounds))

    async def evict(
        self,
        *,
        older_than: timedelta | None = None,
        max_count: int | None = None,
        max_bytes: int | None = None,
    ) -> list[EvictedFile]:
        """Removes derived files, and returns the files to unlink, the least recently used first.

        Removed are expired derived files, the ones of deleted files, and the ones beyond one of the bounds.
        Pinned ones stay, and count. One that is not ready has no bytes and stays, unless its file was
        deleted.

        Args:
            older_than: removes derived files that were not used for longer than this; None: no such bound.
            max_count: keeps the most recently used ones, at most this many in all; None: no such bound.
            max_bytes: keeps the most recently used ones, at most this many bytes in all; None: no such
                bound.

        Returns:
            The removed ones. The rows are gone when it returns: unlink their paths then.
        """
        now = self._now()
        bounds = rule_bounds(now, older_than, max_count=max_count, max_bytes=max_bytes)
        evicted, _, _ = await self._batch(
            self._evictable.all(now=now, **bounds),
            self._evict.count(now=now, **bounds),
            self._forget.count(),
        )
        return evicted

    async def delete(self, derived_file_id: int, *, missing_ok: bool = False) -> bool:
        """Deletes the row, not the bytes: get() tells their path before.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=derived_file_id))
        return self._deleted(count, derived_file_id, missing_ok=missing_ok)

    async def _changed(
        self, action: str, derived_file_id: int, step: Step[DerivedFile | None]
    ) -> DerivedFile:
        """The row that the step changed; InvalidTransitionError when its status did not allow that."""
        derived = await self._run(step)
        if derived is None:
            derived = await self._run(self._get.one(id=derived_file_id))
            raise self._refused(action, derived_file_id, derived.status)
        return derived


def _in_order(value: Any) -> Any:
    """The value with the keys of its dicts in order, so that equal parameters are the same text.

    A value that is no JSON stays as it is, and is refused where it is bound.
    """
    try:
        return _with_sorted_keys(value)
    except RecursionError:
        return value


def _with_sorted_keys(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_with_sorted_keys(item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _with_sorted_keys(value[key]) for key in sorted(value)}
    return value
