"""Files: what a profile's media are called, where they are and where they came from."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from reelbase.engine.binding import to_id
from reelbase.engine.identifiers import new_id
from reelbase.engine.repository import Repository
from reelbase.engine.statement import Command, Query


class File(msgspec.Struct, frozen=True):
    """A media file. path is where its bytes are, size_bytes and content_hash what they are.

    folder: label of files that came in together.  source_file_id: what it was made from.
    """

    id: UUID
    profile_id: str
    name: str
    path: str
    type: str | None
    folder: str | None
    source_file_id: UUID | None
    origin: str | None
    size_bytes: int | None
    content_type: str | None
    content_hash: str | None
    source_url: str | None
    created_at: datetime


class NewFile(msgspec.Struct, frozen=True):
    """A file to be added; the fields are those of File."""

    name: str
    path: str
    type: str | None = None
    folder: str | None = None
    id: UUID | str | None = None
    source_file_id: UUID | str | None = None
    origin: str | None = None
    size_bytes: int | None = None
    content_type: str | None = None
    content_hash: str | None = None
    source_url: str | None = None


class FileRepository(Repository):
    entity = "file"

    _add = Command(
        File,
        """
        INSERT INTO files (
          id, profile_id, name, path, type, folder, source_file_id,
          origin, size_bytes, content_type, content_hash, source_url, created_at
        )
        VALUES (
          :id, :profile_id, :name, :path, :type, :folder, :source_file_id,
          :origin, :size_bytes, :content_type, :content_hash, :source_url, :created_at
        )
        RETURNING
          id, profile_id, name, path, type, folder, source_file_id,
          origin, size_bytes, content_type, content_hash, source_url, created_at
        """,
    )

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

    _get_many = Query(
        File,
        """
        SELECT
          id, profile_id, name, path, type, folder, source_file_id,
          origin, size_bytes, content_type, content_hash, source_url, created_at
        FROM (SELECT value AS wanted_id, key AS position FROM json_each(:ids))
        JOIN files ON id = wanted_id
        ORDER BY position
        """,
        params={"ids": list},
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
          AND (NOT :filter_search OR instr(casefold(name), :search))
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        params={"search": str},
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
          AND (NOT :filter_search OR instr(casefold(name), :search))
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        params={"search": str},
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

    _update = Command(
        File,
        """
        UPDATE files
        SET name = iif(:set_name, :name, name),
            path = iif(:set_path, :path, path),
            type = iif(:set_type, :type, type),
            folder = iif(:set_folder, :folder, folder),
            source_file_id = iif(:set_source_file_id, :source_file_id, source_file_id),
            origin = iif(:set_origin, :origin, origin),
            size_bytes = iif(:set_size_bytes, :size_bytes, size_bytes),
            content_type = iif(:set_content_type, :content_type, content_type),
            content_hash = iif(:set_content_hash, :content_hash, content_hash),
            source_url = iif(:set_source_url, :source_url, source_url)
        WHERE id = :id
        RETURNING
          id, profile_id, name, path, type, folder, source_file_id,
          origin, size_bytes, content_type, content_hash, source_url, created_at
        """,
    )

    _delete = Command(
        File,
        """
        DELETE FROM files
        WHERE id = :id
        """,
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

    async def add(
        self,
        profile_id: str,
        name: str,
        path: str,
        type: str | None = None,
        folder: str | None = None,
        *,
        id: UUID | str | None = None,
        source_file_id: UUID | str | None = None,
        origin: str | None = None,
        size_bytes: int | None = None,
        content_type: str | None = None,
        content_hash: str | None = None,
        source_url: str | None = None,
    ) -> File:
        """Adds a file and returns it. path need not exist and need not be unique.

        ConstraintError: unique when the id is taken, foreign_key when the profile or the source
        file does not exist, check when size_bytes is negative.
        """
        return await self._run(
            self._add.one(
                id=new_id() if id is None else id,
                profile_id=profile_id,
                name=name,
                path=path,
                type=type,
                folder=folder,
                source_file_id=source_file_id,
                origin=origin,
                size_bytes=size_bytes,
                content_type=content_type,
                content_hash=content_hash,
                source_url=source_url,
                created_at=self._now(),
            )
        )

    async def add_many(self, profile_id: str, files: Iterable[NewFile]) -> list[File]:
        """Adds files, all or none, and returns them in the order given. [] adds nothing."""
        created_at = self._now()
        rows = [
            msgspec.structs.asdict(file)
            | {
                "id": to_id(new_id() if file.id is None else file.id),
                "profile_id": profile_id,
                "created_at": created_at,
            }
            for file in files
        ]
        if not rows:
            return []
        ids = [row["id"] for row in rows]
        _, added = await self._batch(self._add.many(rows), self._get_many.all(ids=ids))
        return added

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

    async def page(
        self,
        profile_id: str,
        *,
        after: File | None = None,
        limit: int | None = 50,
        type: str | None = None,
        folder: str | UnsetType | None = UNSET,
        search: str | None = None,
    ) -> list[File]:
        """The files that follow ``after`` (None: from the start), newest first, by keyset.

        type None: any.  folder UNSET: any; None: those without one.  search: a substring of the name,
        whatever its case; ``%`` and ``_`` are ordinary characters.
        """
        filters: dict[str, Any] = {
            "profile_id": profile_id,
            "limit": limit,
            "filter_type": type is not None,
            "type": type,
            "filter_folder": folder is not UNSET,
            "folder": None if folder is UNSET else folder,
            "filter_search": search is not None,
            "search": None if search is None else search.casefold(),
        }
        if after is None:
            return await self._run(self._page.all(**filters))
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

    async def derived_from(self, file_id: UUID | str) -> list[File]:
        """The files that were made from this one, newest first; [] also when it does not exist."""
        return await self._run(self._derived_from.all(source_file_id=file_id))

    async def update(self, file_id: UUID | str, **changes: Any) -> File:
        """Changes the fields passed and returns the file; None clears one, UNSET leaves it.

        Can change: name, path, type, folder, source_file_id, origin, size_bytes, content_type,
        content_hash, source_url; TypeError for others. RecordNotFoundError for an unknown id.
        """
        return await self._run(self._update.one(**self._update.changes(changes, id=file_id)))

    async def delete(self, file_id: UUID | str, *, missing_ok: bool = False) -> bool:
        """Deletes the row, not the bytes, with its transcripts and clips. Jobs that name it stay.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=file_id))
        return self._deleted(count, file_id, missing_ok=missing_ok)

    async def count_for_profile(self, profile_id: str) -> int:
        return await self._run(self._count.one(profile_id=profile_id))
