"""Files: the names, paths and origins of a profile's media."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypedDict, Unpack
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from reelbase.engine.file_names import FileName, escaped
from reelbase.engine.ids import END_OF_TIME, MAX_ID, IdLike, new_id
from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import wrong_type
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.search import match_expression
from reelbase.engine.statements.statement import Command, Insertion, PageQuery, Query
from reelbase.repositories.file_processing import FileStatus, FileStatusLike
from reelbase.repositories.tags import normalized


class File(Record, frozen=True):
    """A media file. path: where its bytes are.  size_bytes, content_hash: of its bytes.

    folder: the label of files that were added together.  source_file_id: the file that it was made from.
    """

    id: UUID
    profile_id: str
    name: FileName
    path: FileName
    type: str | None
    folder: FileName | None
    source_file_id: UUID | None
    origin: str | None
    size_bytes: int | None
    content_type: str | None
    content_hash: str | None
    source_url: str | None
    created_at: datetime


class FileChanges(TypedDict, total=False):
    """The fields that files.update() can change."""

    name: str | UnsetType
    path: str | UnsetType
    type: str | UnsetType | None
    folder: str | UnsetType | None
    source_file_id: UUID | str | UnsetType | None
    origin: str | UnsetType | None
    size_bytes: int | UnsetType | None
    content_type: str | UnsetType | None
    content_hash: str | UnsetType | None
    source_url: str | UnsetType | None


class NewFile(Record, frozen=True):
    """A file to be added; the fields are those of File."""

    name: FileName
    path: FileName
    type: str | None = None
    folder: FileName | None = None
    id: IdLike | None = None
    source_file_id: IdLike | None = None
    origin: str | None = None
    size_bytes: int | None = None
    content_type: str | None = None
    content_hash: str | None = None
    source_url: str | None = None


class FileRepository(Repository):
    """The files of profiles, table ``files``: rows about media whose bytes lie elsewhere. Deleting a file
    deletes its transcripts, clips, speakers, summaries, media info, status and links to tags.
    """

    entity = "file"
    table = "files"

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

    # The rarest of the filters drives: only files that pass it are read, in the order of its index, and the
    # others are tried on them. A thousand files tell what is rare. Of the five parts one has a profile or a
    # tag to read; SQLite merges them in their order, and stops at the limit.
    _page = PageQuery(
        File,
        """
        WITH rarest_tag (id, size) AS (
          SELECT
            tags.id,
            (
              SELECT count(*)
              FROM (
                SELECT 1 AS found FROM file_tags WHERE file_tags.tag_id = tags.id LIMIT 1000
              ) AS linked
            ) AS size
          FROM json_each(:tags) AS wanted
          LEFT JOIN tags ON tags.profile_id = :profile_id AND tags.normalized_name = wanted.value
          ORDER BY size, wanted.value
          LIMIT 1
        ),
        driver (everything, of_type, of_folder, of_status, of_tag) AS (
          SELECT
            iif(name = 'everything', :profile_id, NULL),
            iif(name = 'type', :profile_id, NULL),
            iif(name = 'folder', :profile_id, NULL),
            iif(name = 'status', :profile_id, NULL),
            iif(name = 'tag', (SELECT id FROM rarest_tag), NULL)
          FROM (
            SELECT 'everything' AS name, 1001 AS size
            UNION ALL
            SELECT
              'type',
              (
                SELECT count(*)
                FROM (
                  SELECT 1 AS found
                  FROM files
                  WHERE profile_id = :profile_id
                    AND type = :type
                  LIMIT 1000
                ) AS typed
              )
            WHERE :filter_type
            UNION ALL
            SELECT
              'folder',
              (
                SELECT count(*)
                FROM (
                  SELECT 1 AS found
                  FROM files
                  WHERE profile_id = :profile_id
                    AND folder IS NOT DISTINCT FROM :folder
                  LIMIT 1000
                ) AS together
              )
            WHERE :filter_folder
            UNION ALL
            SELECT
              'status',
              (
                SELECT count(*)
                FROM (
                  SELECT 1 AS found
                  FROM file_processing
                  WHERE profile_id = :profile_id
                    AND status = :status
                  LIMIT 1000
                ) AS processed
              )
            WHERE :filter_status
            UNION ALL
            SELECT 'tag', size
            FROM rarest_tag
          ) AS sizes
          ORDER BY size, name
          LIMIT 1
        )
        SELECT
          files.id, files.profile_id, files.name, files.path, files.type, files.folder,
          files.source_file_id, files.origin, files.size_bytes, files.content_type,
          files.content_hash, files.source_url, files.created_at
        FROM files
        WHERE files.profile_id = (SELECT everything FROM driver)
          AND (files.created_at, files.id) < (:created_at, :id)
          AND (NOT :filter_type OR files.type = :type)
          AND (NOT :filter_folder OR files.folder IS NOT DISTINCT FROM :folder)
          AND (NOT :filter_search OR instr(folded(files.name), folded(:search)) > 0)
          AND (
            NOT :filter_status
            OR EXISTS (
              SELECT 1
              FROM file_processing AS processing
              WHERE processing.file_id = files.id
                AND processing.status = :status
            )
          )
          AND NOT EXISTS (
            SELECT 1
            FROM json_each(:tags) AS wanted
            WHERE NOT EXISTS (
                SELECT 1
                FROM tags
                CROSS JOIN file_tags AS link
                WHERE link.tag_id = tags.id
                  AND tags.profile_id = :profile_id
                  AND tags.normalized_name = wanted.value
                  AND link.file_id = files.id
              )
          )
        UNION ALL
        SELECT
          files.id, files.profile_id, files.name, files.path, files.type, files.folder,
          files.source_file_id, files.origin, files.size_bytes, files.content_type,
          files.content_hash, files.source_url, files.created_at
        FROM files
        WHERE files.profile_id = (SELECT of_type FROM driver)
          AND files.type = :type
          AND (files.created_at, files.id) < (:created_at, :id)
          AND (NOT :filter_type OR files.type = :type)
          AND (NOT :filter_folder OR files.folder IS NOT DISTINCT FROM :folder)
          AND (NOT :filter_search OR instr(folded(files.name), folded(:search)) > 0)
          AND (
            NOT :filter_status
            OR EXISTS (
              SELECT 1
              FROM file_processing AS processing
              WHERE processing.file_id = files.id
                AND processing.status = :status
            )
          )
          AND NOT EXISTS (
            SELECT 1
            FROM json_each(:tags) AS wanted
            WHERE NOT EXISTS (
                SELECT 1
                FROM tags
                CROSS JOIN file_tags AS link
                WHERE link.tag_id = tags.id
                  AND tags.profile_id = :profile_id
                  AND tags.normalized_name = wanted.value
                  AND link.file_id = files.id
              )
          )
        UNION ALL
        SELECT
          files.id, files.profile_id, files.name, files.path, files.type, files.folder,
          files.source_file_id, files.origin, files.size_bytes, files.content_type,
          files.content_hash, files.source_url, files.created_at
        FROM files
        WHERE files.profile_id = (SELECT of_folder FROM driver)
          AND files.folder IS NOT DISTINCT FROM :folder
          AND (files.created_at, files.id) < (:created_at, :id)
          AND (NOT :filter_type OR files.type = :type)
          AND (NOT :filter_folder OR files.folder IS NOT DISTINCT FROM :folder)
          AND (NOT :filter_search OR instr(folded(files.name), folded(:search)) > 0)
          AND (
            NOT :filter_status
            OR EXISTS (
              SELECT 1
              FROM file_processing AS processing
              WHERE processing.file_id = files.id
                AND processing.status = :status
            )
          )
          AND NOT EXISTS (
            SELECT 1
            FROM json_each(:tags) AS wanted
            WHERE NOT EXISTS (
                SELECT 1
                FROM tags
                CROSS JOIN file_tags AS link
                WHERE link.tag_id = tags.id
                  AND tags.profile_id = :profile_id
                  AND tags.normalized_name = wanted.value
                  AND link.file_id = files.id
              )
          )
        UNION ALL
        SELECT
          file_processing.file_id AS id, files.profile_id, files.name, files.path, files.type,
          files.folder, files.source_file_id, files.origin, files.size_bytes, files.content_type,
          files.content_hash, files.source_url, file_processing.file_created_at AS created_at
        FROM file_processing
        CROSS JOIN files
        WHERE files.id = file_processing.file_id
          AND file_processing.profile_id = (SELECT of_status FROM driver)
          AND file_processing.status = :status
          AND (file_processing.file_created_at, file_processing.file_id) < (:created_at, :id)
          AND (NOT :filter_type OR files.type = :type)
          AND (NOT :filter_folder OR files.folder IS NOT DISTINCT FROM :folder)
          AND (NOT :filter_search OR instr(folded(files.name), folded(:search)) > 0)
          AND (
            NOT :filter_status
            OR EXISTS (
              SELECT 1
              FROM file_processing AS processing
              WHERE processing.file_id = files.id
                AND processing.status = :status
            )
          )
          AND NOT EXISTS (
            SELECT 1
            FROM json_each(:tags) AS wanted
            WHERE NOT EXISTS (
                SELECT 1
                FROM tags
                CROSS JOIN file_tags AS link
                WHERE link.tag_id = tags.id
                  AND tags.profile_id = :profile_id
                  AND tags.normalized_name = wanted.value
                  AND link.file_id = files.id
              )
          )
        UNION ALL
        SELECT
          file_tags.file_id AS id, files.profile_id, files.name, files.path, files.type,
          files.folder, files.source_file_id, files.origin, files.size_bytes, files.content_type,
          files.content_hash, files.source_url, file_tags.file_created_at AS created_at
        FROM file_tags
        CROSS JOIN files
        WHERE files.id = file_tags.file_id
          AND file_tags.tag_id = (SELECT of_tag FROM driver)
          AND (file_tags.file_created_at, file_tags.file_id) < (:created_at, :id)
          AND (NOT :filter_type OR files.type = :type)
          AND (NOT :filter_folder OR files.folder IS NOT DISTINCT FROM :folder)
          AND (NOT :filter_search OR instr(folded(files.name), folded(:search)) > 0)
          AND (
            NOT :filter_status
            OR EXISTS (
              SELECT 1
              FROM file_processing AS processing
              WHERE processing.file_id = files.id
                AND processing.status = :status
            )
          )
          AND NOT EXISTS (
            SELECT 1
            FROM json_each(:tags) AS wanted
            WHERE NOT EXISTS (
                SELECT 1
                FROM tags
                CROSS JOIN file_tags AS link
                WHERE link.tag_id = tags.id
                  AND tags.profile_id = :profile_id
                  AND tags.normalized_name = wanted.value
                  AND link.file_id = files.id
              )
          )
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        keyset={"created_at": END_OF_TIME, "id": MAX_ID},
        params={"search": FileName, "status": FileStatus, "tags": builtins.list[str]},
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

    async def page(
        self,
        profile_id: str,
        *,
        after: File | str | None = None,
        limit: int | None = 50,
        tags: Iterable[str] = (),
        type: str | None = None,
        folder: str | UnsetType | None = UNSET,
        status: FileStatusLike | None = None,
        search: str | None = None,
    ) -> Page[File]:
        """A page of a profile's files, newest first, by keyset.

        The rarest filter decides how many files are read: of the type, folder, status and tags each is found
        by an index, and the others are tried on what it finds. A search alone, and filters that each pass
        very many files and together none, try all of these.

        Args:
            profile_id: the profile.
            after: ``next`` of the page before, or its last file; None: the first page.
            limit: at most this many; None: all.
            tags: only files with all of these tags, compared as in tags.ensure().
            type: only files of this type; None: any.
            folder: only files in this folder; None: only files without a folder; UNSET: any.
            status: only files with this processing status; None: any file, also one without a status.
            search: a substring of the name, in any case, composed or not, in full or half width; ``%`` and
                ``_`` are ordinary characters. None: any name.

        Returns:
            The files; with ``next``, the token of the next page, or None on the last one.

        Raises:
            InvalidArgumentError: after is no token of this listing; a status or a tag is none.
        """
        if isinstance(tags, str | bytes) or not isinstance(tags, Iterable):
            raise wrong_type("tags", f"must be a list of str, not {builtins.type(tags).__name__}")
        filters: dict[str, Any] = {
            "profile_id": profile_id,
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
        return await self._run(self._page.page(after=after, limit=limit, **filters))

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

    # Numbers only grow while there are files, so the files that are not indexed yet lie behind the last
    # indexed one.
    _index_new = Command(
        File,
        """
        INSERT INTO files_fts (rowid, name, folder, path, title)
        SELECT file_numbers.id, spaced(name), spaced(folder), spaced(path), spaced(title)
        FROM file_numbers
        CROSS JOIN files
        LEFT JOIN media_info ON media_info.file_id = files.id
        WHERE files.id = file_numbers.file_id
          AND file_numbers.id > coalesce(
            (SELECT rowid FROM files_fts ORDER BY rowid DESC LIMIT 1), 0
          )
        """,
    )

    # Rebuilt from the texts, because a damaged index cannot be cleared.
    _mend_index = Command(
        File,
        """
        INSERT INTO files_fts (files_fts)
        VALUES ('rebuild')
        """,
    )

    _clear_index = Command(
        File,
        """
        DELETE FROM files_fts
        """,
    )
    _derived = "files_fts"
    _derivation = (_mend_index, _clear_index, _index_new)

    # A trigger has removed files from the index whose text changed.
    index_again = Command(
        File,
        """
        INSERT INTO files_fts (rowid, name, folder, path, title)
        SELECT file_numbers.id, spaced(name), spaced(folder), spaced(path), spaced(title)
        FROM file_numbers
        CROSS JOIN files
        LEFT JOIN media_info ON media_info.file_id = files.id
        WHERE files.id = file_numbers.file_id
          AND file_numbers.file_id IN (SELECT value FROM json_each(:file_ids))
          AND NOT EXISTS (SELECT 1 FROM files_fts WHERE files_fts.rowid = file_numbers.id)
        """,
        params={"file_ids": builtins.list[UUID]},
    )

    # Ranking costs a microsecond a row, so of very many matches only the newest are ranked. CROSS JOIN makes
    # SQLite search first. A word of the name or the title counts for more than a word of the path.
    _search = Query(
        File,
        """
        SELECT
          files.id, files.profile_id, files.name, files.path, files.type, files.folder,
          files.source_file_id, files.origin, files.size_bytes, files.content_type,
          files.content_hash, files.source_url, files.created_at
        FROM (
          SELECT id, score, file_id
          FROM (
            SELECT
              files_fts.rowid AS id,
              bm25(files_fts, 4.0, 1.0, 1.0, 4.0) AS score,
              file_numbers.file_id
            FROM files_fts(:expression)
            CROSS JOIN file_numbers
            CROSS JOIN files
            WHERE file_numbers.id = files_fts.rowid
              AND files.id = file_numbers.file_id
              AND files.profile_id = :profile_id
            ORDER BY files_fts.rowid DESC
            LIMIT 10000
          ) AS found
          ORDER BY score, id
          LIMIT :limit OFFSET :offset
        ) AS best
        CROSS JOIN files
        WHERE files.id = best.file_id
        ORDER BY best.score, best.id
        """,
        params={"expression": str},
    )

    async def search(
        self, profile_id: str, query: str, *, limit: int | None = 50, offset: int = 0
    ) -> builtins.list[File]:
        """Finds the profile's files by the words of their name, folder, path and title (of media_info).

        page(search=) finds substrings of names.

        Args:
            profile_id: the profile.
            query: words that must all occur. The last word matches as a prefix, a "quoted part" as a
                phrase, scripts without spaces (Chinese, Thai …) as substrings; case, accents and width do
                not count. No query is an error.
            limit: at most this many; None: all.
            offset: this many, the best ones, are skipped first.

        Returns:
            The files, the best match first; [] for a query without a word. Of more than 10,000 matches the
            10,000 that were stored last are ranked.
        """
        expression = match_expression(escaped(self._expect("query", query, str)))
        if expression is None:
            return []
        return await self._run(
            self._search.all(
                profile_id=profile_id, expression=expression, limit=limit, offset=offset
            )
        )

    async def rebuild_search(self) -> int:
        """Rebuilds the search index of files, also for rows that another program has written. Returns how
        many files are indexed."""
        *_, count = await self._batch(*(command.count() for command in self._derivation))
        return int(count)

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
        file, _ = await self._batch(
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
        _, _, added = await self._batch(
            self._add.many(rows), self._index_new.catch_up(), self._get_many.all(ids=ids)
        )
        return added

    async def update(self, file_id: UUID | str, **changes: Unpack[FileChanges]) -> File:
        """Changes the fields passed and returns the file; None clears one, UNSET leaves it.

        Can change: name, path, type, folder, source_file_id, origin, size_bytes, content_type,
        content_hash, source_url; TypeError for any other field. RecordNotFoundError for an unknown id.
        """
        file, _ = await self._batch(
            self._update.one(**self._update.changes(changes, id=file_id)),
            self.index_again.count(file_ids=[file_id]),
        )
        return file

    async def delete(self, file_id: UUID | str, *, missing_ok: bool = False) -> bool:
        """Deletes the row, not the bytes, with its transcripts, clips, speakers, summaries, media info,
        status and links to tags. Jobs that name the file stay.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=file_id))
        return self._deleted(count, file_id, missing_ok=missing_ok)

    async def update_many(
        self, file_ids: Iterable[UUID | str], **changes: Unpack[FileChanges]
    ) -> builtins.list[File]:
        """Changes the same fields of several files, all or none, and returns them in the order given.

        The fields are those of update(): ``folder="Holiday"`` moves all files there. [] changes nothing.
        RecordNotFoundError names the first unknown id.
        """
        ids = self._ids("file_ids", file_ids)
        _, _, changed = await self._batch(
            self._update_many.count(**self._update_many.changes(changes, ids=ids)),
            self.index_again.count(file_ids=ids),
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
