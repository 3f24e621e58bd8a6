"""Profiles: the owners of files, transcripts and jobs."""

from __future__ import annotations

import builtins
from datetime import datetime

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.statement import Command, Query


class Profile(Record, frozen=True):
    """An owner. id: chosen by the application.  active_…: the profile's current choices, or None."""

    id: str
    created_at: datetime
    active_llm_config_id: int | None
    active_summary_prompt_id: int | None


class ProfileRepository(Repository):
    """The owners of the library's files and settings, table ``profiles``; the application chooses their ids.
    Deleting a profile deletes all rows that it owns.
    """

    entity = "profile"
    table = "profiles"
    remedy = "profiles.ensure({key!r}) makes it"

    _insert = Command(
        Profile,
        """
        INSERT INTO profiles (id, created_at)
        VALUES (:id, :created_at)
        ON CONFLICT (id) DO NOTHING
        """,
    )

    _get = Query(
        Profile,
        """
        SELECT *
        FROM profiles
        WHERE id = :id
        """,
    )

    _list = Query(
        Profile,
        """
        SELECT *
        FROM profiles
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _count = Query(
        int,
        """
        SELECT count(*)
        FROM profiles
        """,
    )

    _delete = Command(
        Profile,
        """
        DELETE FROM profiles
        WHERE id = :id
        """,
    )

    async def ensure(self, profile_id: str) -> Profile:
        """The profile, created if it did not exist. Safe to call from many tasks and processes."""
        _, profile = await self._batch(
            self._insert.count(id=profile_id, created_at=self._now()),
            self._get.one(id=profile_id),
        )
        return profile

    async def get(self, profile_id: str) -> Profile:
        """The profile; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=profile_id))

    async def find(self, profile_id: str) -> Profile | None:
        """The profile, or None."""
        return await self._run(self._get.optional(id=profile_id))

    async def exists(self, profile_id: str) -> bool:
        """Whether there is a profile of this id."""
        return await self.find(profile_id) is not None

    async def list(self, limit: int | None = None, offset: int = 0) -> builtins.list[Profile]:
        """Profiles, newest first. limit None: all."""
        return await self._run(self._list.all(limit=limit, offset=offset))

    async def count(self) -> int:
        """How many profiles there are."""
        return await self._run(self._count.one())

    async def delete(self, profile_id: str, *, missing_ok: bool = False) -> bool:
        """Deletes the profile and all rows that it owns: files with their transcripts and further data,
        jobs, tags, settings, notifications, templates, language models, prompts.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=profile_id))
        return self._deleted(count, profile_id, missing_ok=missing_ok)
