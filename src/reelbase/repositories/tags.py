"""Tags: words that a profile puts on its files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.engine.statements.search import folded
from reelbase.engine.statements.statement import Command, Query


class Tag(Record, frozen=True):
    """A word. name: as it was first written.  file_count: how many files have it."""

    id: int
    profile_id: str
    name: str
    created_at: datetime
    file_count: int


class TagOfFile(Record, frozen=True):
    """A tag, and a file that has it."""

    file_id: UUID
    tag: Tag


def normalized(name: str, parameter: str = "name") -> str:
    """The form in which names of tags are compared: folded, without spaces at its ends.

    ValueError, which names the parameter, for a blank name and for a name with a NUL, at which SQLite's JSON
    would cut it.
    """
    if not isinstance(name, str):
        raise wrong_type(parameter, f"a tag's name must be str, not {type(name).__name__}")
    form = folded(name).strip()
    if not form:
        raise invalid_argument(parameter, "a tag's name must not be blank")
    if "\0" in form:
        raise invalid_argument(parameter, "a tag's name must not hold a NUL")
    return form


class TagRepository(Repository):
    """Tags and their links to files, tables ``tags`` and ``file_tags``. In a profile, names that differ
    only in case or Unicode form are the same tag.
    """

    entity = "tag"
    table = "tags"

    _ensure = Command(
        Tag,
        """
        INSERT INTO tags (profile_id, name, normalized_name, created_at)
        VALUES (:profile_id, :name, :normalized_name, :created_at)
        ON CONFLICT (profile_id, normalized_name) DO NOTHING
        """,
        params={"normalized_name": str},
    )

    _find_by_name = Query(
        Tag,
        """
        SELECT
          id, profile_id, name, created_at,
          (SELECT count(*) FROM file_tags WHERE tag_id = tags.id) AS file_count
        FROM tags
        WHERE profile_id = :profile_id
          AND normalized_name = :normalized_name
        """,
        params={"normalized_name": str},
    )

    _get = Query(
        Tag,
        """
        SELECT
          id, profile_id, name, created_at,
          (SELECT count(*) FROM file_tags WHERE tag_id = tags.id) AS file_count
        FROM tags
        WHERE id = :id
        """,
    )

    _list_for_profile = Query(
        Tag,
        """
        SELECT
          id, profile_id, name, created_at,
          (SELECT count(*) FROM file_tags WHERE tag_id = tags.id) AS file_count
        FROM tags
        WHERE profile_id = :profile_id
        ORDER BY file_count DESC, name, id
        LIMIT :limit OFFSET :offset
        """,
    )

    _for_file = Query(
        Tag,
        """
        SELECT
          id, tags.profile_id, name, created_at,
          (SELECT count(*) FROM file_tags AS other WHERE other.tag_id = tags.id) AS file_count
        FROM file_tags
        CROSS JOIN tags
        WHERE tags.id = file_tags.tag_id
          AND file_tags.file_id = :file_id
        ORDER BY name, id
        """,
        params={"file_id": UUID},
    )

    # Each tag is counted once, and not once a file.
    _for_files = Query(
        TagOfFile,
        """
        SELECT
          file_tags.file_id,
          tags.id AS "tag.id",
          tags.profile_id AS "tag.profile_id",
          tags.name AS "tag.name",
          tags.created_at AS "tag.created_at",
          counted.file_count AS "tag.file_count"
        FROM json_each(:file_ids) AS wanted
        CROSS JOIN file_tags
        CROSS JOIN tags
        CROSS JOIN (
          SELECT tag_id, count(*) AS file_count
          FROM file_tags
          WHERE tag_id IN (
              SELECT used.tag_id
              FROM json_each(:file_ids) AS asked
              CROSS JOIN file_tags AS used
              WHERE used.file_id = asked.value
            )
          GROUP BY tag_id
        ) AS counted
        WHERE file_tags.file_id = wanted.value
          AND tags.id = file_tags.tag_id
          AND counted.tag_id = file_tags.tag_id
        ORDER BY tags.name, tags.id
        """,
        params={"file_ids": list},
    )

    _known_file = Query(
        int,
        """
        SELECT 1
        FROM files
        WHERE id = :file_id
        """,
        params={"file_id": UUID},
        entity="file",
    )

    _ensure_for_file = Command(
        Tag,
        """
        INSERT INTO tags (profile_id, name, normalized_name, created_at)
        SELECT profile_id, :name, :normalized_name, :created_at
        FROM files
        WHERE id = :file_id
        ON CONFLICT (profile_id, normalized_name) DO NOTHING
        """,
        params={"normalized_name": str, "file_id": UUID},
    )

    _attach = Command(
        Tag,
        """
        INSERT INTO file_tags (file_id, tag_id, profile_id)
        SELECT files.id, tags.id, files.profile_id
        FROM files
        CROSS JOIN tags
        WHERE tags.profile_id = files.profile_id
          AND files.id = :file_id
          AND tags.normalized_name = :normalized_name
        ON CONFLICT (file_id, tag_id) DO NOTHING
        """,
        params={"normalized_name": str, "file_id": UUID},
    )

    # Of several files all or none: if one is missing, none is changed.
    _unknown_file = Query(
        UUID,
        """
        SELECT wanted.value
        FROM json_each(:file_ids) AS wanted
        WHERE NOT EXISTS (SELECT 1 FROM files WHERE id = wanted.value)
        ORDER BY wanted.key
        LIMIT 1
        """,
        params={"file_ids": list},
    )

    _ensure_for_files = Command(
        Tag,
        """
        INSERT INTO tags (profile_id, name, normalized_name, created_at)
        SELECT profile_id, :name, :normalized_name, :created_at
        FROM files
        WHERE id IN (SELECT value FROM json_each(:file_ids))
          AND NOT EXISTS (
            SELECT 1
            FROM json_each(:file_ids) AS wanted
            WHERE NOT EXISTS (SELECT 1 FROM files AS known WHERE known.id = wanted.value)
          )
        ON CONFLICT (profile_id, normalized_name) DO NOTHING
        """,
        params={"normalized_name": str, "file_ids": list},
    )

    _attach_many = Command(
        Tag,
        """
        INSERT INTO file_tags (file_id, tag_id, profile_id)
        SELECT files.id, tags.id, files.profile_id
        FROM files
        CROSS JOIN tags
        WHERE files.id IN (SELECT value FROM json_each(:file_ids))
          AND tags.profile_id = files.profile_id
          AND tags.normalized_name = :normalized_name
          AND NOT EXISTS (
            SELECT 1
            FROM json_each(:file_ids) AS wanted
            WHERE NOT EXISTS (SELECT 1 FROM files AS known WHERE known.id = wanted.value)
          )
        ON CONFLICT (file_id, tag_id) DO NOTHING
        """,
        params={"normalized_name": str, "file_ids": list},
    )

    _detach_many = Command(
        Tag,
        """
        DELETE FROM file_tags
        WHERE file_id IN (SELECT value FROM json_each(:file_ids))
          AND EXISTS (
            SELECT 1
            FROM tags
            WHERE tags.id = file_tags.tag_id
              AND tags.normalized_name = :normalized_name
          )
          AND NOT EXISTS (
            SELECT 1
            FROM json_each(:file_ids) AS wanted
            WHERE NOT EXISTS (SELECT 1 FROM files AS known WHERE known.id = wanted.value)
          )
        """,
        params={"normalized_name": str, "file_ids": list},
    )

    _detach = Command(
        Tag,
        """
        DELETE FROM file_tags
        WHERE file_id = :file_id
          AND tag_id = (
            SELECT tags.id
            FROM files
            CROSS JOIN tags
            WHERE tags.profile_id = files.profile_id
              AND files.id = :file_id
              AND tags.normalized_name = :normalized_name
          )
        """,
        params={"normalized_name": str, "file_id": UUID},
    )

    _rename = Command(
        Tag,
        """
        UPDATE tags
        SET name = :name,
            normalized_name = :normalized_name
        WHERE id = :id
        RETURNING
          id, profile_id, name, created_at,
          (SELECT count(*) FROM file_tags WHERE tag_id = tags.id) AS file_count
        """,
        params={"normalized_name": str},
    )

    # A target that was deleted meanwhile breaks the foreign key.
    _give_links_to = Command(
        Tag,
        """
        INSERT INTO file_tags (file_id, tag_id, profile_id)
        SELECT file_id, :target_id, profile_id
        FROM file_tags
        WHERE tag_id = :id
        ON CONFLICT (file_id, tag_id) DO NOTHING
        """,
        params={"target_id": int},
    )

    _delete = Command(
        Tag,
        """
        DELETE FROM tags
        WHERE id = :id
        """,
    )

    _delete_unused = Command(
        Tag,
        """
        DELETE FROM tags
        WHERE profile_id = :profile_id
          AND NOT EXISTS (SELECT 1 FROM file_tags WHERE tag_id = tags.id)
        """,
    )

    # If names of a profile's tags have become equal, the first tag replaces all of them. The links are moved
    # first; a tag that a table of the application refers to stays, in its old form.
    _give_links_of_same = Command(
        Tag,
        """
        INSERT INTO file_tags (file_id, tag_id, profile_id)
        SELECT file_tags.file_id, same.first_id, file_tags.profile_id
        FROM (
          SELECT
            id,
            first_value(id) OVER (
              PARTITION BY profile_id, stripped(folded(name))
              ORDER BY normalized_name <> stripped(folded(name)), id
            ) AS first_id
          FROM tags
          WHERE stripped(folded(name)) <> ''
        ) AS same
        CROSS JOIN file_tags
        WHERE file_tags.tag_id = same.id
          AND same.id <> same.first_id
        ON CONFLICT (file_id, tag_id) DO NOTHING
        """,
    )

    _delete_same = Command(
        Tag,
        """
        DELETE FROM tags
        WHERE id IN (
            SELECT id
            FROM (
              SELECT
                id,
                first_value(id) OVER (
                  PARTITION BY profile_id, stripped(folded(name))
                  ORDER BY normalized_name <> stripped(folded(name)), id
                ) AS first_id
              FROM tags
              WHERE stripped(folded(name)) <> ''
            ) AS same
            WHERE id <> first_id
          )
          AND NOT EXISTS (
            SELECT 1
            FROM sqlite_schema
            WHERE type = 'table'
              AND name NOT IN ('tags', 'file_tags')
              AND sql LIKE '%REFERENCES%tags%'
          )
        """,
    )

    # An upgrade runs without foreign keys.
    _delete_links_of_deleted = Command(
        Tag,
        """
        DELETE FROM file_tags
        WHERE NOT EXISTS (SELECT 1 FROM tags WHERE tags.id = file_tags.tag_id)
        """,
    )

    _normalize = Command(
        Tag,
        """
        UPDATE OR IGNORE tags
        SET normalized_name = stripped(folded(name))
        WHERE normalized_name <> stripped(folded(name))
          AND stripped(folded(name)) <> ''
        """,
    )
    _derived = "tags"
    _derivation = (_give_links_of_same, _delete_same, _delete_links_of_deleted, _normalize)

    async def ensure(self, profile_id: str, name: str) -> Tag:
        """The profile's tag of this name, created if there was none.

        Names that differ in case, in spaces around them or in their Unicode form (composed or not, full or
        half width) are the same tag; it keeps the name with which it was created. ValueError for a blank
        name; ConstraintError: kind foreign_key for an unknown profile.
        """
        key = normalized(name)
        _, tag = await self._batch(
            self._ensure.count(
                profile_id=profile_id, name=name, normalized_name=key, created_at=self._now()
            ),
            self._find_by_name.one(profile_id=profile_id, normalized_name=key),
        )
        return tag

    async def get(self, tag_id: int) -> Tag:
        """The tag; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=tag_id))

    async def find(self, tag_id: int) -> Tag | None:
        """The tag, or None."""
        return await self._run(self._get.optional(id=tag_id))

    async def find_by_name(self, profile_id: str, name: str) -> Tag | None:
        """The profile's tag of this name, compared as in ensure(), or None."""
        return await self._run(
            self._find_by_name.optional(profile_id=profile_id, normalized_name=normalized(name))
        )

    async def list_for_profile(
        self, profile_id: str, *, limit: int | None = None, offset: int = 0
    ) -> list[Tag]:
        """A profile's tags, by the number of their files, highest first, then by name.

        Args:
            profile_id: the profile.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The tags; [] also for an unknown profile.
        """
        return await self._run(
            self._list_for_profile.all(profile_id=profile_id, limit=limit, offset=offset)
        )

    async def for_file(self, file_id: UUID | str) -> list[Tag]:
        """A file's tags by name; [] also for an unknown file."""
        return await self._run(self._for_file.all(file_id=file_id))

    async def for_files(self, file_ids: Iterable[UUID | str]) -> dict[UUID, list[Tag]]:
        """The tags of several files, in one statement: each file's by name.

        Returns a list for every id, in the order given; [] for a file without tags and for an unknown file.
        """
        ids = list(dict.fromkeys(self._ids("file_ids", file_ids)))
        tags: dict[UUID, list[Tag]] = {UUID(id): [] for id in ids}
        for row in await self._run(self._for_files.all(file_ids=ids)):
            tags[row.file_id].append(row.tag)
        return tags

    async def attach(self, file_id: UUID | str, *names: str) -> list[Tag]:
        """Puts tags on a file, all or none, and returns all tags of the file, by name.

        Missing tags are created; a tag that the file has already stays. RecordNotFoundError for an unknown
        file.
        """
        now = self._now()
        links = [
            {"file_id": file_id, "normalized_name": normalized(name, "names")} for name in names
        ]
        new = [
            link | {"name": name, "created_at": now}
            for link, name in zip(links, names, strict=True)
        ]
        _, _, _, tags = await self._batch(
            self._known_file.one(file_id=file_id),
            self._ensure_for_file.many(new),
            self._attach.many(links),
            self._for_file.all(file_id=file_id),
        )
        return tags

    async def detach(self, file_id: UUID | str, name: str) -> bool:
        """Removes a tag from a file; False when the file did not have it. The tag itself stays."""
        step = self._detach.count(file_id=file_id, normalized_name=normalized(name))
        return await self._run(step) > 0

    async def attach_many(self, file_ids: Iterable[UUID | str], *names: str) -> int:
        """Puts the same tags on several files, all or none. Returns how many links are new.

        Missing tags are created for each profile that owns one of the files. RecordNotFoundError names the
        first unknown file.
        """
        ids, now = self._ids("file_ids", file_ids), self._now()
        links = [{"file_ids": ids, "normalized_name": normalized(name, "names")} for name in names]
        new = [
            link | {"name": name, "created_at": now}
            for link, name in zip(links, names, strict=True)
        ]
        unknown, _, count = await self._batch(
            self._unknown_file.optional(file_ids=ids),
            self._ensure_for_files.many(new),
            self._attach_many.many(links),
        )
        if unknown is not None:
            raise self._not_found(unknown, "file")
        return count

    async def detach_many(self, file_ids: Iterable[UUID | str], *names: str) -> int:
        """Removes tags from several files, all or none. Returns how many links were removed. The tags stay.

        RecordNotFoundError names the first unknown file.
        """
        ids = self._ids("file_ids", file_ids)
        links = [{"file_ids": ids, "normalized_name": normalized(name, "names")} for name in names]
        unknown, count = await self._batch(
            self._unknown_file.optional(file_ids=ids), self._detach_many.many(links)
        )
        if unknown is not None:
            raise self._not_found(unknown, "file")
        return count

    async def rename(self, tag_id: int, name: str) -> Tag:
        """Renames the tag and returns it.

        ConstraintError: kind unique when the profile has a tag of that name; merge() them.
        """
        step = self._rename.one(id=tag_id, name=name, normalized_name=normalized(name))
        return await self._run(step)

    async def merge(self, source_id: int, target_id: int) -> Tag:
        """Puts target on every file that has source, deletes source, and returns target.

        ValueError when both are the same tag, or tags of different profiles.
        """
        source, target = await self._batch(self._get.one(id=source_id), self._get.one(id=target_id))
        if source.id == target.id:
            raise invalid_argument("target_id", "a tag cannot be merged into itself")
        if source.profile_id != target.profile_id:
            raise invalid_argument(
                "target_id", f"tags {source_id} and {target_id} are of different profiles"
            )
        _, _, merged = await self._batch(
            self._give_links_to.count(id=source_id, target_id=target_id),
            self._delete.count(id=source_id),
            self._get.one(id=target_id),
        )
        return merged

    async def delete(self, tag_id: int, *, missing_ok: bool = False) -> bool:
        """Deletes the tag and removes it from all files.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=tag_id))
        return self._deleted(count, tag_id, missing_ok=missing_ok)

    async def delete_unused(self, profile_id: str) -> int:
        """Deletes the profile's tags that no file has. Returns how many."""
        return await self._run(self._delete_unused.count(profile_id=profile_id))
