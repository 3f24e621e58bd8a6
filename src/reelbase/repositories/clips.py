"""Clips: saved pieces of a file, with a language model's breakdown."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from reelbase.engine.ids import new_id
from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.files import File


class Clip(Record, frozen=True):
    """A piece of a file, in seconds from its start. file: None unless load_file was passed."""

    id: UUID
    profile_id: str
    file_id: UUID
    start_time: float
    end_time: float
    llm_breakdown_response: dict[str, Any]
    created_at: datetime
    file: File | None


class ClipRepository(Repository):
    """The clips of files, table ``clips``: a span of a file with a breakdown of its language. They are added
    and deleted, never changed, and are deleted with their profile or file.
    """

    entity = "clip"

    _add = Command(
        Clip,
        """
        INSERT INTO clips (
          id, profile_id, file_id, start_time, end_time, llm_breakdown_response, created_at
        )
        VALUES (
          :id, :profile_id, :file_id, :start_time, :end_time, :llm_breakdown_response, :created_at
        )
        RETURNING
          id, profile_id, file_id, start_time, end_time, llm_breakdown_response, created_at,
          NULL AS file
        """,
    )

    _get = Query(
        Clip,
        """
        SELECT
          id, profile_id, file_id, start_time, end_time, llm_breakdown_response, created_at,
          NULL AS file
        FROM clips
        WHERE id = :id
        """,
    )

    _list_for_profile = Query(
        Clip,
        """
        SELECT
          id, profile_id, file_id, start_time, end_time, llm_breakdown_response, created_at,
          NULL AS file
        FROM clips
        WHERE profile_id = :profile_id
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _list_for_profile_with_files = Query(
        Clip,
        """
        SELECT
          clips.id,
          clips.profile_id,
          clips.file_id,
          clips.start_time,
          clips.end_time,
          clips.llm_breakdown_response,
          clips.created_at,
          files.id AS "file.id",
          files.profile_id AS "file.profile_id",
          files.name AS "file.name",
          files.path AS "file.path",
          files.type AS "file.type",
          files.folder AS "file.folder",
          files.source_file_id AS "file.source_file_id",
          files.origin AS "file.origin",
          files.size_bytes AS "file.size_bytes",
          files.content_type AS "file.content_type",
          files.content_hash AS "file.content_hash",
          files.source_url AS "file.source_url",
          files.created_at AS "file.created_at"
        FROM clips
        CROSS JOIN files
        WHERE files.id = clips.file_id
          AND clips.profile_id = :profile_id
        ORDER BY clips.created_at DESC, clips.id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _list_for_file = Query(
        Clip,
        """
        SELECT
          id, profile_id, file_id, start_time, end_time, llm_breakdown_response, created_at,
          NULL AS file
        FROM clips
        WHERE file_id = :file_id
        ORDER BY start_time, id
        LIMIT :limit OFFSET :offset
        """,
    )

    _delete = Command(
        Clip,
        """
        DELETE FROM clips
        WHERE id = :id
        """,
    )

    async def add(
        self,
        profile_id: str,
        file_id: UUID | str,
        start_time: float,
        end_time: float,
        llm_breakdown_response: dict[str, Any],
        *,
        id: UUID | str | None = None,
    ) -> Clip:
        """Adds a clip of one of the profile's files.

        Args:
            profile_id: the profile that owns the clip.
            file_id: a file of this profile.
            start_time: seconds from the start of the file, at least 0.
            end_time: seconds from the start of the file, at least start_time.
            llm_breakdown_response: the answer of the language model, as JSON.
            id: the id of the clip; None: a new one.

        Returns:
            The clip.

        Raises:
            ConstraintError: kind check when a time is out of range; kind foreign_key when the profile does
                not exist or has no such file; kind unique when the id is taken.
        """
        return await self._run(
            self._add.one(
                id=new_id() if id is None else id,
                profile_id=profile_id,
                file_id=file_id,
                start_time=start_time,
                end_time=end_time,
                llm_breakdown_response=llm_breakdown_response,
                created_at=self._now(),
            )
        )

    async def get(self, clip_id: UUID | str) -> Clip:
        """The clip; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=clip_id))

    async def find(self, clip_id: UUID | str) -> Clip | None:
        """The clip, or None."""
        return await self._run(self._get.optional(id=clip_id))

    async def list_for_profile(
        self, profile_id: str, load_file: bool = False, *, limit: int | None = None, offset: int = 0
    ) -> list[Clip]:
        """A profile's clips, newest first.

        Args:
            profile_id: the profile.
            load_file: fills ``file``, in the same statement.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The clips; [] also for an unknown profile.
        """
        query = self._list_for_profile_with_files if load_file else self._list_for_profile
        return await self._run(query.all(profile_id=profile_id, limit=limit, offset=offset))

    async def list_for_file(
        self, file_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> list[Clip]:
        """A file's clips in the order of their start, then of their ids.

        Args:
            file_id: the file.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The clips; [] also for an unknown file.
        """
        return await self._run(self._list_for_file.all(file_id=file_id, limit=limit, offset=offset))

    async def delete(self, clip_id: UUID | str, *, missing_ok: bool = False) -> bool:
        """True when it existed; otherwise RecordNotFoundError, or False with missing_ok."""
        count = await self._run(self._delete.count(id=clip_id))
        return self._deleted(count, clip_id, missing_ok=missing_ok)
