"""Adding, changing and deleting files."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Unpack
from uuid import UUID

import msgspec

from reelbase.engine.ids import new_id
from reelbase.engine.statements.arguments import wrong_type
from reelbase.engine.statements.statement import Command, Insertion, Query
from reelbase.repositories.files.records import File, FileChanges, NewFile
from reelbase.repositories.files.search import FileSearch


class FileAdditions(FileSearch):
    """How files come in, change and go."""

    _add = Insertion(
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
        """,
    )

    _get_many = Query(
        File,
        """
        SELECT *
        FROM (SELECT value AS wanted_id, key AS position FROM json_each(:ids)) AS wanted
        CROSS JOIN files
        WHERE id = wanted_id
        ORDER BY position
        """,
        params={"ids": list},
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
        RETURNING *
        """,
    )

    # Of several files all or none: if one is missing, none is changed.
    _update_many = Command(
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
        WHERE id IN (SELECT value FROM json_each(:ids))
          AND NOT EXISTS (
            SELECT 1
            FROM json_each(:ids) AS wanted
            WHERE NOT EXISTS (SELECT 1 FROM files AS known WHERE known.id = wanted.value)
          )
        """,
        params={"ids": list},
    )

    _delete = Command(
        File,
        """
        DELETE FROM files
        WHERE id = :id
        """,
    )

    _delete_many = Command(
        File,
        """
        DELETE FROM files
        WHERE id IN (SELECT value FROM json_each(:ids))
          AND (
            :missing_ok
            OR NOT EXISTS (
              SELECT 1
              FROM json_each(:ids) AS wanted
              WHERE NOT EXISTS (SELECT 1 FROM files AS known WHERE known.id = wanted.value)
            )
          )
        """,
        params={"ids": list, "missing_ok": bool},
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
        """Adds a file.

        Args:
            profile_id: the profile that owns the file.
            name: the name to show.
            path: where the bytes are; it need not exist, and need not be unique.
            type: the application's own word for its kind, or None.
            folder: the label of files that belong together, or None.
            id: the id of the file; None: a new one.
            source_file_id: the file that it was made from, or None.
            origin: the application's own word for where it came from, or None.
            size_bytes: its size, at least 0, or None.
            content_type: its media type, or None.
            content_hash: a hash of its bytes, by which find_by_hash() finds it, or None.
            source_url: the URL that it was fetched from, or None.

        Returns:
            The file.

        Raises:
            ConstraintError: kind unique when the id is taken; kind foreign_key when the profile or the
                source file does not exist; kind check when size_bytes is negative.
        """
        file, _, _ = await self._batch(
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
            ),
            self._index_new.catch_up(),
            self._index_many_names.catch_up(),
        )
        return file

    async def add_many(self, profile_id: str, files: Iterable[NewFile]) -> builtins.list[File]:
        """Adds files, all or none, and returns them in the order given. [] adds nothing."""
        created_at = self._now()
        if not isinstance(files, Iterable):
            raise wrong_type("files", f"must be a list of NewFile, not {type(files).__name__}")
        rows = [
            msgspec.structs.asdict(self._expect("files", file, NewFile))
            | {
                "id": self._id("id", new_id() if file.id is None else file.id, place),
                "profile_id": profile_id,
                "created_at": created_at,
            }
            for place, file in enumerate(files)
        ]
        if not rows:
            return []
        ids = [row["id"] for row in rows]
        _, _, _, added = await self._batch(
            self._add.many(rows),
            self._index_new.catch_up(),
            self._index_many_names.catch_up(),
            self._get_many.all(ids=ids),
        )
        return added

    async def update(self, file_id: UUID | str, **changes: Unpack[FileChanges]) -> File:
        """Changes the fields passed and returns the file; None clears one, UNSET leaves it.

        Can change: name, path, type, folder, source_file_id, origin, size_bytes, content_type,
        content_hash, source_url; TypeError for any other field. RecordNotFoundError for an unknown id.
        """
        file, *_ = await self._batch(
            self._update.one(**self._update.changes(changes, id=file_id)),
            self._index_new.count(),
            self.index_again.count(file_ids=[file_id]),
            self._index_many_names.count(),
        )
        return file

    async def delete(self, file_id: UUID | str, *, missing_ok: bool = False) -> bool:
        """Deletes the row, not the bytes, with its transcripts, clips, speakers, summaries, media info,
        status and links to tags. Jobs that name the file stay, and so do its derived files, until
        derived_files.evict() names their bytes.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=file_id))
        return self._deleted(count, file_id, missing_ok=missing_ok)

    async def update_many(
        self, file_ids: Iterable[UUID | str], **changes: Unpack[FileChanges]
    ) -> builtins.list[File]:
        """Changes the same fields of several files, all or none, and returns them in the order given.

        The fields are as in update(): ``folder="Holiday"`` moves all files there. [] changes nothing.
        RecordNotFoundError names the first unknown id.
        """
        ids = self._ids("file_ids", file_ids)
        changed: builtins.list[File]
        *_, changed = await self._batch(
            self._update_many.count(**self._update_many.changes(changes, ids=ids)),
            self._index_new.count(),
            self.index_again.count(file_ids=ids),
            self._index_many_names.count(),
            self._get_many.all(ids=ids),
        )
        self._refuse_unknown(ids, changed)
        return changed

    async def delete_many(self, file_ids: Iterable[UUID | str], *, missing_ok: bool = False) -> int:
        """Deletes several files as delete() does, all or none.

        Returns how many were deleted. RecordNotFoundError names the first unknown id; with missing_ok
        unknown ids are skipped.
        """
        ids = self._ids("file_ids", file_ids)
        known, count = await self._batch(
            self._get_many.all(ids=ids), self._delete_many.count(ids=ids, missing_ok=missing_ok)
        )
        if not missing_ok:
            self._refuse_unknown(ids, known)
        return count

    def _refuse_unknown(self, ids: builtins.list[str], known: builtins.list[File]) -> None:
        there = {str(file.id) for file in known}
        for id in ids:
            if id not in there:
                raise self._not_found(id)
