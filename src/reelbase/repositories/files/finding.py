"""Finding files: by id, by profile, by what they are and where they came from."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from msgspec import UNSET, UnsetType

from reelbase.engine.file_names import FileName
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import wrong_type
from reelbase.engine.statements.statement import Query
from reelbase.repositories.file_processing import FileStatus, FileStatusLike
from reelbase.repositories.files.records import File
from reelbase.repositories.tags import normalized


class FileFinding(Repository):
    """How files are read."""

    entity = "file"
    table = "files"
    _repository = "FileRepository"

    _get = Query(
        File,
        """
        SELECT
          id, profile_id, name, path, type, folder, source_file_id,
          origin, size_bytes, content_type, content_hash, source_url, created_at
        FROM files
        WHERE id = :id
        """,
    )

    _list = Query(
        File,
        """
        SELECT
          id, profile_id, name, path, type, folder, source_file_id,
          origin, size_bytes, content_type, content_hash, source_url, created_at
        FROM files
        WHERE profile_id = :profile_id
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _list_all = Query(
        File,
        """
        SELECT
          id, profile_id, name, path, type, folder, source_file_id,
          origin, size_bytes, content_type, content_hash, source_url, created_at
        FROM files
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _page = Query(
        File,
        """
        SELECT
          id, profile_id, name, path, type, folder, source_file_id,
          origin, size_bytes, content_type, content_hash, source_url, created_at
        FROM files
        WHERE profile_id = :profile_id
          AND (NOT :filter_type OR type = :type)
          AND (NOT :filter_folder OR folder IS :folder)
          AND (NOT :filter_search OR instr(folded(name), folded(:search)))
          AND (
            NOT :filter_status
            OR EXISTS (
              SELECT 1
              FROM file_processing
              WHERE file_processing.file_id = files.id
                AND file_processing.status = :status
            )
          )
          AND NOT EXISTS (
            SELECT 1
            FROM json_each(:tags) AS wanted
            WHERE NOT EXISTS (
                SELECT 1
                FROM tags
                CROSS JOIN file_tags
                WHERE file_tags.tag_id = tags.id
                  AND tags.profile_id = :profile_id
                  AND tags.normalized_name = wanted.value
                  AND file_tags.file_id = files.id
              )
          )
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        params={"search": FileName, "status": FileStatus, "tags": list[str]},
    )

    _page_after = Query(
        File,
        """
        SELECT
          id, profile_id, name, path, type, folder, source_file_id,
          origin, size_bytes, content_type, content_hash, source_url, created_at
        FROM files
        WHERE profile_id = :profile_id
          AND (created_at, id) < (:created_at, :id)
          AND (NOT :filter_type OR type = :type)
          AND (NOT :filter_folder OR folder IS :folder)
          AND (NOT :filter_search OR instr(folded(name), folded(:search)))
          AND (
            NOT :filter_status
            OR EXISTS (
              SELECT 1
              FROM file_processing
              WHERE file_processing.file_id = files.id
                AND file_processing.status = :status
            )
          )
          AND NOT EXISTS (
            SELECT 1
            FROM json_each(:tags) AS wanted
            WHERE NOT EXISTS (
                SELECT 1
                FROM tags
                CROSS JOIN file_tags
                WHERE file_tags.tag_id = tags.id
                  AND tags.profile_id = :profile_id
                  AND tags.normalized_name = wanted.value
                  AND file_tags.file_id = files.id
              )
          )
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        params={"search": FileName, "status": FileStatus, "tags": list[str]},
    )

    _find_by_hash = Query(
        File,
        """
        SELECT
          id, profile_id, name, path, type, folder, source_file_id,
          origin, size_bytes, content_type, content_hash, source_url, created_at
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
        SELECT
          id, profile_id, name, path, type, folder, source_file_id,
          origin, size_bytes, content_type, content_hash, source_url, created_at
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
        SELECT
          id, profile_id, name, path, type, folder, source_file_id,
          origin, size_bytes, content_type, content_hash, source_url, created_at
        FROM files
        WHERE source_file_id = :source_file_id
        ORDER BY created_at DESC, id DESC
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
    ) -> list[File]:
        """A profile's files, newest first. limit None: all. page() does not slow down with the offset."""
        return await self._run(self._list.all(profile_id=profile_id, limit=limit, offset=offset))

    async def list(self, *, limit: int | None = 100, offset: int = 0) -> builtins.list[File]:
        """Files of every profile, newest first, for an administrator. limit None: all."""
        return await self._run(self._list_all.all(limit=limit, offset=offset))

    async def page(
        self,
        profile_id: str,
        *,
        after: File | None = None,
        limit: int | None = 50,
        tags: Iterable[str] = (),
        type: str | None = None,
        folder: str | UnsetType | None = UNSET,
        status: FileStatusLike | None = None,
        search: str | None = None,
    ) -> builtins.list[File]:
        """The files that follow ``after`` (None: from the start), newest first, by keyset.

        tags: those that have all of these, compared like tags.ensure() does.  type None: any.
        folder UNSET: any; None: those without one.  status None: any, none included.  search: a
        substring of the name, in any case, composed or not, in full or half width; ``%`` and ``_``
        are ordinary characters.
        """
        if isinstance(tags, str | bytes) or not isinstance(tags, Iterable):
            raise wrong_type("tags", f"must be a list of str, not {builtins.type(tags).__name__}")
        filters: dict[str, Any] = {
            "profile_id": profile_id,
            "limit": limit,
            "filter_type": type is not None,
            "type": type,
            "filter_folder": folder is not UNSET,
            "folder": None if folder is UNSET else folder,
            "filter_status": status is not None,
            "status": status,
            "tags": sorted({normalized(tag, "tags") for tag in tags}),
            "filter_search": search is not None,
            "search": search,
        }
        if after is None:
            return await self._run(self._page.all(**filters))
        self._expect("after", after, File)
        return await self._run(
            self._page_after.all(created_at=after.created_at, id=after.id, **filters)
        )

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

    async def derived_from(self, file_id: UUID | str) -> builtins.list[File]:
        """The files that were made from this one, newest first; [] also when it does not exist."""
        return await self._run(self._derived_from.all(source_file_id=file_id))

    async def count_for_profile(self, profile_id: str) -> int:
        """How many files the profile has; 0 for an unknown profile."""
        return await self._run(self._count.one(profile_id=profile_id))
