"""Collections: files that belong together, in an order of their own."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypedDict, Unpack
from uuid import UUID

from msgspec import UnsetType

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.statement import Command, PageQuery, Query
from reelbase.repositories.files import File


class Collection(Record, frozen=True):
    """Files that belong together. color: as the application writes it.  prompt_id: the summary prompt for its
    files.  file_count: how many files it has.
    """

    id: int
    profile_id: str
    name: str
    description: str | None
    color: str | None
    prompt_id: int | None
    created_at: datetime
    updated_at: datetime
    file_count: int


class CollectionChanges(TypedDict, total=False):
    """The fields that collections.update() can change."""

    name: str | UnsetType
    description: str | UnsetType | None
    color: str | UnsetType | None
    prompt_id: int | UnsetType | None


class CollectedFile(Record, frozen=True):
    """A file in a collection. position: only its order means something; it may change when files are moved.
    added_at: when the file came into the collection.
    """

    collection_id: int
    file_id: UUID
    position: int
    added_at: datetime
    file: File


class CollectionRepository(Repository):
    """Collections of files, tables ``file_collections`` and ``collection_files``: a file may be in many, and
    each has its files in an order of its own. Both are of one profile.
    """

    entity = "collection"
    table = "file_collections"

    _ensure = Command(
        Collection,
        """
        INSERT INTO file_collections (profile_id, name, created_at, updated_at)
        VALUES (:profile_id, :name, :now, :now)
        ON CONFLICT (profile_id, name) DO NOTHING
        """,
    )

    _add = Command(
        Collection,
        """
        INSERT INTO file_collections (
          profile_id, name, description, color, prompt_id, created_at, updated_at
        )
        VALUES (:profile_id, :name, :description, :color, :prompt_id, :now, :now)
        RETURNING
          id, profile_id, name, description, color, prompt_id, created_at, updated_at, 0 AS file_count
        """,
    )

    _get = Query(
        Collection,
        """
        SELECT
          id, profile_id, name, description, color, prompt_id, created_at, updated_at,
          (
            SELECT count(*)
            FROM collection_files
            WHERE collection_id = file_collections.id
          ) AS file_count
        FROM file_collections
        WHERE id = :id
        """,
    )

    # Whether there is one, without counting its files.
    _known = Query(
        int,
        """
        SELECT 1
        FROM file_collections
        WHERE id = :id
        """,
        params={"id": int},
    )

    _find_by_name = Query(
        Collection,
        """
        SELECT
          id, profile_id, name, description, color, prompt_id, created_at, updated_at,
          (
            SELECT count(*)
            FROM collection_files
            WHERE collection_id = file_collections.id
          ) AS file_count
        FROM file_collections
        WHERE profile_id = :profile_id
          AND name = :name
        """,
    )

    _list_for_profile = Query(
        Collection,
        """
        SELECT
          id, profile_id, name, description, color, prompt_id, created_at, updated_at,
          (
            SELECT count(*)
            FROM collection_files
            WHERE collection_id = file_collections.id
          ) AS file_count
        FROM file_collections
        WHERE profile_id = :profile_id
        ORDER BY name, id
        LIMIT :limit OFFSET :offset
        """,
    )

    _for_file = Query(
        Collection,
        """
        SELECT
          id, file_collections.profile_id, name, description, color, prompt_id, created_at, updated_at,
          (
            SELECT count(*)
            FROM collection_files AS other
            WHERE other.collection_id = file_collections.id
          ) AS file_count
        FROM collection_files
        CROSS JOIN file_collections
        WHERE file_collections.id = collection_files.collection_id
          AND collection_files.file_id = :file_id
        ORDER BY name, id
        LIMIT :limit OFFSET :offset
        """,
        params={"file_id": UUID},
    )

    _page = PageQuery(
        CollectedFile,
        """
        SELECT
          collection_files.collection_id,
          collection_files.file_id,
          collection_files.position,
          collection_files.added_at,
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
        FROM collection_files
        CROSS JOIN files
        WHERE files.id = collection_files.file_id
          AND collection_files.collection_id = :collection_id
          AND (collection_files.position, collection_files.file_id) > (:position, :file_id)
        ORDER BY collection_files.position, collection_files.file_id
        LIMIT :limit
        """,
        keyset={"position": 0, "file_id": UUID(int=0)},
    )

    _update = Command(
        Collection,
        """
        UPDATE file_collections
        SET name = iif(:set_name, :name, name),
            description = iif(:set_description, :description, description),
            color = iif(:set_color, :color, color),
            prompt_id = iif(:set_prompt_id, :prompt_id, prompt_id),
            updated_at = :now
        WHERE id = :id
        RETURNING
          id, profile_id, name, description, color, prompt_id, created_at, updated_at,
          (
            SELECT count(*)
            FROM collection_files
            WHERE collection_id = file_collections.id
          ) AS file_count
        """,
    )

    # Room for 20 moves to the same place before positions are numbered again.
    _append = Command(
        CollectedFile,
        """
        INSERT INTO collection_files (collection_id, file_id, profile_id, position, added_at)
        SELECT
          file_collections.id,
          wanted.value,
          file_collections.profile_id,
          coalesce(
            (SELECT max(position) FROM collection_files WHERE collection_id = file_collections.id), 0
          ) + (wanted.key + 1) * 1048576,
          :now
        FROM json_each(:file_ids) AS wanted
        CROSS JOIN file_collections
        WHERE file_collections.id = :collection_id
        ON CONFLICT (collection_id, file_id) DO NOTHING
        """,
        params={"file_ids": list},
    )

    _member = Query(
        UUID,
        """
        SELECT file_id
        FROM collection_files
        WHERE collection_id = :collection_id
          AND file_id = :id
        """,
        params={"collection_id": int, "id": UUID},
        entity="file",
    )

    # Only when there is no room between the file and the one before it.
    _make_room = Command(
        CollectedFile,
        """
        UPDATE collection_files
        SET position = numbered.number * 1048576
        FROM (
          SELECT file_id, row_number() OVER (ORDER BY position, file_id) AS number
          FROM collection_files
          WHERE collection_id = :collection_id
        ) AS numbered
        WHERE collection_files.collection_id = :collection_id
          AND collection_files.file_id = numbered.file_id
          AND (
            SELECT target.position - coalesce(
              (
                SELECT max(position)
                FROM collection_files AS earlier
                WHERE earlier.collection_id = target.collection_id
                  AND earlier.position < target.position
              ),
              0
            )
            FROM collection_files AS target
            WHERE target.collection_id = :collection_id
              AND target.file_id = :before
          ) <= :count
        """,
        params={"before": UUID, "count": int},
    )

    _insert_before = Command(
        CollectedFile,
        """
        INSERT INTO collection_files (collection_id, file_id, profile_id, position, added_at)
        SELECT
          gap.collection_id,
          wanted.value,
          gap.profile_id,
          gap.lower + (gap.upper - gap.lower) * (wanted.key + 1) / (:count + 1),
          :now
        FROM (
          SELECT
            collection_id,
            profile_id,
            position AS upper,
            coalesce(
              (
                SELECT max(position)
                FROM collection_files AS earlier
                WHERE earlier.collection_id = target.collection_id
                  AND earlier.position < target.position
              ),
              0
            ) AS lower
          FROM collection_files AS target
          WHERE target.collection_id = :collection_id
            AND target.file_id = :before
        ) AS gap
        CROSS JOIN json_each(:file_ids) AS wanted
        WHERE TRUE
        ON CONFLICT (collection_id, file_id) DO UPDATE
        SET position = excluded.position
        """,
        params={"before": UUID, "count": int, "file_ids": list},
    )

    _insert_last = Command(
        CollectedFile,
        """
        INSERT INTO collection_files (collection_id, file_id, profile_id, position, added_at)
        SELECT
          file_collections.id,
          wanted.value,
          file_collections.profile_id,
          coalesce(
            (SELECT max(position) FROM collection_files WHERE collection_id = file_collections.id), 0
          ) + (wanted.key + 1) * 1048576,
          :now
        FROM json_each(:file_ids) AS wanted
        CROSS JOIN file_collections
        WHERE file_collections.id = :collection_id
        ON CONFLICT (collection_id, file_id) DO UPDATE
        SET position = excluded.position
        """,
        params={"file_ids": list},
    )

    _remove = Command(
        CollectedFile,
        """
        DELETE FROM collection_files
        WHERE collection_id = :collection_id
          AND file_id IN (SELECT value FROM json_each(:file_ids))
        """,
        params={"file_ids": list},
    )

    _delete = Command(
        Collection,
        """
        DELETE FROM file_collections
        WHERE id = :id
        """,
    )

    async def add(
        self,
        profile_id: str,
        name: str,
        *,
        description: str | None = None,
        color: str | None = None,
        prompt_id: int | None = None,
    ) -> Collection:
        """Adds an empty collection.

        Args:
            profile_id: the profile.
            name: unique in the profile, compared exactly.
            description: a text, or None.
            color: as the application writes it, or None.
            prompt_id: the summary prompt for its files, one of the profile or of the system; None: the
                profile's choice.

        Returns:
            The collection.

        Raises:
            ConstraintError: kind unique when the profile has a collection of this name; kind foreign_key for
                an unknown profile or prompt; kind check for a prompt of another profile.
        """
        return await self._run(
            self._add.one(
                profile_id=profile_id,
                name=name,
                description=description,
                color=color,
                prompt_id=prompt_id,
                now=self._now(),
            )
        )

    async def ensure(self, profile_id: str, name: str) -> Collection:
        """The profile's collection of exactly this name, created if there was none.

        ConstraintError: kind foreign_key for an unknown profile.
        """
        _, collection = await self._batch(
            self._ensure.count(profile_id=profile_id, name=name, now=self._now()),
            self._find_by_name.one(profile_id=profile_id, name=name),
        )
        return collection

    async def get(self, collection_id: int) -> Collection:
        """The collection; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=collection_id))

    async def find(self, collection_id: int) -> Collection | None:
        """The collection, or None."""
        return await self._run(self._get.optional(id=collection_id))

    async def find_by_name(self, profile_id: str, name: str) -> Collection | None:
        """The profile's collection of exactly this name, or None."""
        return await self._run(self._find_by_name.optional(profile_id=profile_id, name=name))

    async def list_for_profile(
        self, profile_id: str, *, limit: int | None = None, offset: int = 0
    ) -> list[Collection]:
        """A profile's collections by name.

        Args:
            profile_id: the profile.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The collections; [] also for an unknown profile.
        """
        return await self._run(
            self._list_for_profile.all(profile_id=profile_id, limit=limit, offset=offset)
        )

    async def for_file(
        self, file_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> list[Collection]:
        """The collections that have the file, by name.

        Args:
            file_id: the file.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The collections; [] also for an unknown file.
        """
        return await self._run(self._for_file.all(file_id=file_id, limit=limit, offset=offset))

    async def page(
        self,
        collection_id: int,
        *,
        after: CollectedFile | str | None = None,
        limit: int | None = 50,
    ) -> Page[CollectedFile]:
        """A page of a collection's files in its order, by keyset.

        Args:
            collection_id: the collection.
            after: ``next`` of the page before, or its last entry; None: the first page. A file that is
                moved between two pages may be on both or on neither of them.
            limit: at most this many; None: all.

        Returns:
            The files, each with its place; [] also for an unknown collection. With ``next``, the token of
            the next page, or None on the last one.

        Raises:
            InvalidArgumentError: after is no token of this listing.
        """
        return await self._run(
            self._page.page(after=after, limit=limit, collection_id=collection_id)
        )

    async def update(self, collection_id: int, **changes: Unpack[CollectionChanges]) -> Collection:
        """Changes the fields passed and returns the collection; None clears one, UNSET leaves it.

        Can change: name, description, color, prompt_id; TypeError for any other field. RecordNotFoundError
        for an unknown id; ConstraintError as from add().
        """
        params = self._update.changes(changes, id=collection_id, now=self._now())
        return await self._run(self._update.one(**params))

    async def add_files(self, collection_id: int, file_ids: Iterable[UUID | str]) -> int:
        """Puts files at the end of the collection, in the order given. Returns how many are new to it.

        A file that is in the collection already keeps its place. All or none: RecordNotFoundError for an
        unknown collection; ConstraintError: kind foreign_key when one of the files does not exist or is of
        another profile.
        """
        ids = self._ids("file_ids", file_ids)
        _, count = await self._batch(
            self._known.one(id=collection_id),
            self._append.count(collection_id=collection_id, file_ids=ids, now=self._now()),
        )
        return count

    async def place(
        self,
        collection_id: int,
        file_ids: Iterable[UUID | str],
        *,
        before: UUID | str | None = None,
    ) -> int:
        """Moves files to a place of the collection, in the order given; files that are not in it are added.

        Args:
            collection_id: the collection.
            file_ids: the files; one that is named twice is refused.
            before: the file in front of which they are put; None: at the end.

        Returns:
            How many files were named.

        Raises:
            RecordNotFoundError: there is no such collection, or before is not in it.
            InvalidArgumentError: before is one of the files, or a file is named twice.
            ConstraintError: kind foreign_key when one of the files does not exist or is of another profile.
        """
        ids, now = self._ids("file_ids", file_ids), self._now()
        if len(set(ids)) < len(ids):
            raise invalid_argument("file_ids", "a file is named twice")
        if before is None:
            _, count = await self._batch(
                self._known.one(id=collection_id),
                self._insert_last.count(collection_id=collection_id, file_ids=ids, now=now),
            )
            return count
        if self._id("before", before) in ids:
            raise invalid_argument("before", "is one of the files that are moved")
        *_, count = await self._batch(
            self._known.one(id=collection_id),
            self._member.one(collection_id=collection_id, id=before),
            self._make_room.count(collection_id=collection_id, before=before, count=len(ids)),
            self._insert_before.count(
                collection_id=collection_id,
                before=before,
                count=len(ids),
                file_ids=ids,
                now=now,
            ),
        )
        return int(count)

    async def remove_files(self, collection_id: int, file_ids: Iterable[UUID | str]) -> int:
        """Takes files out of the collection. Returns how many were in it. The files themselves stay."""
        ids = self._ids("file_ids", file_ids)
        return await self._run(self._remove.count(collection_id=collection_id, file_ids=ids))

    async def delete(self, collection_id: int, *, missing_ok: bool = False) -> bool:
        """Deletes the collection; its files stay.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=collection_id))
        return self._deleted(count, collection_id, missing_ok=missing_ok)
