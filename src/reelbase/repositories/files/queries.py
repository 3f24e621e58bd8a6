"""Finding files: by id, by profile, by content and by URL."""

from __future__ import annotations

import builtins
from uuid import UUID

from reelbase.engine.repository import Repository
from reelbase.engine.statements.statement import Query
from reelbase.repositories.files.records import File


class FileQueries(Repository):
    """How files are read."""

    entity = "file"
    table = "files"
    _repository = "FileRepository"

    _get = Query(
        File,
        """
        SELECT *
        FROM files
        WHERE id = :id
        """,
    )

    _list = Query(
        File,
        """
        SELECT *
        FROM files
        WHERE profile_id = :profile_id
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _list_all = Query(
        File,
        """
        SELECT *
        FROM files
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _find_by_hash = Query(
        File,
        """
        SELECT *
        FROM files
        WHERE profile_id = :profile_id
          AND content_hash = :content_hash
        ORDER BY created_at DESC, id DESC
        LIMIT 1
        """,
    )

    _find_by_url = Query(
        File,
        """
        SELECT *
        FROM files
        WHERE profile_id = :profile_id
          AND source_url = :source_url
        ORDER BY created_at DESC, id DESC
        LIMIT 1
        """,
    )

    _derived_from = Query(
        File,
        """
        SELECT *
        FROM files
        WHERE source_file_id = :source_file_id
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
        params={"source_file_id": UUID},
    )

    _count = Query(
        int,
        """
        SELECT count(*)
        FROM files
        WHERE profile_id = :profile_id
        """,
        params={"profile_id": str},
    )

    async def get(self, file_id: UUID | str) -> File:
        """The file; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=file_id))

    async def find(self, file_id: UUID | str) -> File | None:
        """The file, or None."""
        return await self._run(self._get.optional(id=file_id))

    async def list_for_profile(
        self, profile_id: str, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[File]:
        """A profile's files, newest first.

        Args:
            profile_id: the profile.
            limit: at most this many; None: all.
            offset: this many are skipped first, which takes time; page() does not.

        Returns:
            The files; [] also for an unknown profile.
        """
        return await self._run(self._list.all(profile_id=profile_id, limit=limit, offset=offset))

    async def list(self, *, limit: int | None = 100, offset: int = 0) -> builtins.list[File]:
        """Files of every profile, newest first, for an administrator. limit None: all."""
        return await self._run(self._list_all.all(limit=limit, offset=offset))

    async def find_by_hash(self, profile_id: str, content_hash: str) -> File | None:
        """The profile's newest file with this content, or None."""
        return await self._run(
            self._find_by_hash.optional(profile_id=profile_id, content_hash=content_hash)
        )

    async def find_by_url(self, profile_id: str, source_url: str) -> File | None:
        """The profile's newest file from this URL, compared as text, or None."""
        return await self._run(
            self._find_by_url.optional(profile_id=profile_id, source_url=source_url)
        )

    async def derived_from(
        self, file_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[File]:
        """The files that were made from this one, newest first.

        Args:
            file_id: the file.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The files; [] also when it does not exist.
        """
        return await self._run(
            self._derived_from.all(source_file_id=file_id, limit=limit, offset=offset)
        )

    async def count_for_profile(self, profile_id: str) -> int:
        """How many files the profile has; 0 for an unknown profile."""
        return await self._run(self._count.one(profile_id=profile_id))
