"""People: one person behind the speakers of many files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypedDict, Unpack
from uuid import UUID

from msgspec import UnsetType

from reelbase.engine.file_names import FileName
from reelbase.engine.ids import MAX_ROWID
from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.statement import Command, PageQuery, Query
from reelbase.repositories.files import File
from reelbase.repositories.segments import Segment
from reelbase.repositories.speakers import Speaker


class Person(Record, frozen=True):
    """A person whom a profile knows. speaker_count, file_count: how many speakers are this person, and in how
    many files.
    """

    id: int
    profile_id: str
    name: str
    description: str | None
    created_at: datetime
    updated_at: datetime
    speaker_count: int
    file_count: int


class PersonChanges(TypedDict, total=False):
    """The fields that people.update() can change."""

    name: str | UnsetType
    description: str | UnsetType | None


class PersonFile(Record, frozen=True):
    """A picture, a voice or another file of a person. kind: the application's own word."""

    person_id: int
    kind: str
    file: File


class SpokenSegment(Record, frozen=True):
    """A segment that a person speaks, and its file."""

    segment: Segment
    file_id: UUID
    file_name: FileName

    @property
    def id(self) -> int:
        """The id of the segment."""
        return self.segment.id

    @property
    def speaker_id(self) -> int | None:
        """The speaker of the segment."""
        return self.segment.speaker_id

    @property
    def start_time(self) -> float:
        """The start of the segment, in seconds from the start of the file."""
        return self.segment.start_time


class PersonRepository(Repository):
    """People, tables ``known_people`` and ``person_files``. A speaker that is tied to a person by
    ``person_id`` has the person's name as its ``display_name``, also after a renaming.
    """

    entity = "person"
    table = "known_people"

    _add = Command(
        Person,
        """
        INSERT INTO known_people (profile_id, name, description, created_at, updated_at)
        VALUES (:profile_id, :name, :description, :now, :now)
        RETURNING
          id, profile_id, name, description, created_at, updated_at,
          0 AS speaker_count, 0 AS file_count
        """,
    )

    _ensure = Command(
        Person,
        """
        INSERT INTO known_people (profile_id, name, created_at, updated_at)
        VALUES (:profile_id, :name, :now, :now)
        ON CONFLICT (profile_id, name) DO NOTHING
        """,
    )

    _get = Query(
        Person,
        """
        SELECT
          id, profile_id, name, description, created_at, updated_at,
          (SELECT count(*) FROM speakers WHERE person_id = known_people.id) AS speaker_count,
          (
            SELECT count(DISTINCT file_id)
            FROM speakers
            WHERE person_id = known_people.id
          ) AS file_count
        FROM known_people
        WHERE id = :id
        """,
    )

    # Whether there is one, without counting its speakers.
    _known = Query(
        int,
        """
        SELECT 1
        FROM known_people
        WHERE id = :id
        """,
        params={"id": int},
    )

    _find_by_name = Query(
        Person,
        """
        SELECT
          id, profile_id, name, description, created_at, updated_at,
          (SELECT count(*) FROM speakers WHERE person_id = known_people.id) AS speaker_count,
          (
            SELECT count(DISTINCT file_id)
            FROM speakers
            WHERE person_id = known_people.id
          ) AS file_count
        FROM known_people
        WHERE profile_id = :profile_id
          AND name = :name
        """,
    )

    _list_for_profile = Query(
        Person,
        """
        SELECT
          id, profile_id, name, description, created_at, updated_at,
          (SELECT count(*) FROM speakers WHERE person_id = known_people.id) AS speaker_count,
          (
            SELECT count(DISTINCT file_id)
            FROM speakers
            WHERE person_id = known_people.id
          ) AS file_count
        FROM known_people
        WHERE profile_id = :profile_id
        ORDER BY name, id
        LIMIT :limit OFFSET :offset
        """,
    )

    _speakers = PageQuery(
        Speaker,
        """
        SELECT *
        FROM speakers
        WHERE person_id = :person_id
          AND id < :id
        ORDER BY id DESC
        LIMIT :limit
        """,
        keyset={"id": MAX_ROWID},
        params={"person_id": int},
    )

    _suggestions = Query(
        Speaker,
        """
        SELECT
          speakers.id, speakers.profile_id, speakers.file_id, speakers.label, speakers.display_name,
          speakers.suggested_name, speakers.confidence, speakers.is_verified, speakers.created_at,
          speakers.person_id
        FROM known_people
        CROSS JOIN speakers
        WHERE speakers.profile_id = known_people.profile_id
          AND speakers.suggested_name = known_people.name
          AND known_people.id = :person_id
        ORDER BY speakers.confidence DESC NULLS LAST, speakers.id
        LIMIT :limit OFFSET :offset
        """,
    )

    # The newest speakers first. The bound of start_time is for the index: of the speaker at the place it
    # begins there.
    _segments = PageQuery(
        SpokenSegment,
        """
        SELECT
          transcript_segments.id AS "segment.id",
          transcript_segments.transcript_id AS "segment.transcript_id",
          transcript_segments.speaker_id AS "segment.speaker_id",
          transcript_segments.start_time AS "segment.start_time",
          transcript_segments.end_time AS "segment.end_time",
          transcript_segments.text AS "segment.text",
          transcript_segments.confidence AS "segment.confidence",
          transcript_segments.words AS "segment.words",
          files.id AS file_id,
          files.name AS file_name
        FROM speakers
        CROSS JOIN transcript_segments
        CROSS JOIN files
        WHERE transcript_segments.speaker_id = speakers.id
          AND files.id = speakers.file_id
          AND speakers.person_id = :person_id
          AND speakers.id <= :speaker_id
          AND transcript_segments.start_time >=
            CASE speakers.id WHEN :speaker_id THEN :start_time ELSE 0.0 END
          AND (
            speakers.id < :speaker_id
            OR (transcript_segments.start_time, transcript_segments.id) > (:start_time, :id)
          )
        ORDER BY speakers.id DESC, transcript_segments.start_time, transcript_segments.id
        LIMIT :limit
        """,
        keyset={"speaker_id": MAX_ROWID, "start_time": -1.0, "id": 0},
        params={"person_id": int, "speaker_id": int, "start_time": float, "id": int},
    )

    _update = Command(
        Person,
        """
        UPDATE known_people
        SET name = iif(:set_name, :name, name),
            description = iif(:set_description, :description, description),
            updated_at = :now
        WHERE id = :id
        RETURNING
          id, profile_id, name, description, created_at, updated_at,
          (SELECT count(*) FROM speakers WHERE person_id = known_people.id) AS speaker_count,
          (
            SELECT count(DISTINCT file_id)
            FROM speakers
            WHERE person_id = known_people.id
          ) AS file_count
        """,
    )

    # Of several speakers all or none: if one is missing, none is changed.
    _unknown_speaker = Query(
        int,
        """
        SELECT CAST(wanted.value AS BIGINT)
        FROM json_each(:speaker_ids) AS wanted
        WHERE NOT EXISTS (SELECT 1 FROM speakers WHERE id = CAST(wanted.value AS BIGINT))
        ORDER BY wanted.key
        LIMIT 1
        """,
        params={"speaker_ids": list[int]},
    )

    _assign = Command(
        Person,
        """
        UPDATE speakers
        SET person_id = known_people.id,
            display_name = known_people.name,
            is_verified = TRUE,
            suggested_name = NULL,
            confidence = NULL
        FROM known_people
        WHERE known_people.id = :id
          AND speakers.id IN (SELECT CAST(value AS BIGINT) FROM json_each(:speaker_ids))
          AND NOT EXISTS (
            SELECT 1
            FROM json_each(:speaker_ids) AS wanted
            WHERE NOT EXISTS (SELECT 1 FROM speakers AS known WHERE known.id = CAST(wanted.value AS BIGINT))
          )
        """,
        params={"speaker_ids": list[int]},
    )

    _ensure_beside = Command(
        Person,
        """
        INSERT INTO known_people (profile_id, name, created_at, updated_at)
        SELECT person.profile_id, :name, :now, :now
        FROM known_people AS person
        WHERE person.id = :id
          AND NOT EXISTS (
            SELECT 1
            FROM json_each(:speaker_ids) AS wanted
            WHERE NOT EXISTS (SELECT 1 FROM speakers AS known WHERE known.id = CAST(wanted.value AS BIGINT))
          )
        ON CONFLICT (profile_id, name) DO NOTHING
        """,
        params={"speaker_ids": list[int]},
    )

    _assign_by_name = Command(
        Person,
        """
        UPDATE speakers
        SET person_id = known_people.id,
            display_name = known_people.name,
            is_verified = TRUE,
            suggested_name = NULL,
            confidence = NULL
        FROM known_people
        WHERE known_people.profile_id = :profile_id
          AND known_people.name = :name
          AND speakers.id IN (SELECT CAST(value AS BIGINT) FROM json_each(:speaker_ids))
          AND NOT EXISTS (
            SELECT 1
            FROM json_each(:speaker_ids) AS wanted
            WHERE NOT EXISTS (SELECT 1 FROM speakers AS known WHERE known.id = CAST(wanted.value AS BIGINT))
          )
        """,
        params={"speaker_ids": list[int]},
    )

    _release = Command(
        Person,
        """
        UPDATE speakers
        SET person_id = NULL
        WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:speaker_ids))
          AND person_id IS NOT NULL
        """,
        params={"speaker_ids": list[int]},
    )

    _give_speakers_to = Command(
        Person,
        """
        UPDATE speakers
        SET person_id = known_people.id,
            display_name = known_people.name
        FROM known_people
        WHERE known_people.id = :target_id
          AND speakers.person_id = :id
        """,
        params={"target_id": int},
    )

    _give_suggestions_to = Command(
        Person,
        """
        UPDATE speakers
        SET suggested_name = (SELECT name FROM known_people WHERE known_people.id = :target_id)
        WHERE profile_id = (
            SELECT source.profile_id
            FROM known_people AS source
            WHERE source.id = :id
          )
          AND suggested_name = (SELECT name FROM known_people WHERE known_people.id = :id)
        """,
        params={"target_id": int},
    )

    _give_files_to = Command(
        PersonFile,
        """
        INSERT INTO person_files (person_id, file_id, profile_id, kind)
        SELECT :target_id, file_id, profile_id, kind
        FROM person_files
        WHERE person_id = :id
        ON CONFLICT (person_id, file_id) DO NOTHING
        """,
        params={"target_id": int, "id": int},
    )

    _delete = Command(
        Person,
        """
        DELETE FROM known_people
        WHERE id = :id
        """,
    )

    _attach_file = Command(
        PersonFile,
        """
        INSERT INTO person_files (person_id, file_id, profile_id, kind)
        SELECT id, :file_id, profile_id, :kind
        FROM known_people
        WHERE id = :person_id
        ON CONFLICT (person_id, file_id) DO UPDATE
        SET kind = excluded.kind
        """,
        params={"file_id": UUID},
    )

    _detach_file = Command(
        PersonFile,
        """
        DELETE FROM person_files
        WHERE person_id = :person_id
          AND file_id = :file_id
        """,
        params={"file_id": UUID},
    )

    _files = Query(
        PersonFile,
        """
        SELECT
          person_files.person_id,
          person_files.kind,
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
        FROM person_files
        CROSS JOIN files
        WHERE files.id = person_files.file_id
          AND person_files.person_id = :person_id
        ORDER BY person_files.file_id
        LIMIT :limit OFFSET :offset
        """,
    )

    async def add(self, profile_id: str, name: str, *, description: str | None = None) -> Person:
        """Adds a person, and returns it.

        The name is unique in the profile, compared exactly. ConstraintError: kind unique when the profile
        knows a person of this name; kind foreign_key for an unknown profile.
        """
        return await self._run(
            self._add.one(
                profile_id=profile_id, name=name, description=description, now=self._now()
            )
        )

    async def ensure(self, profile_id: str, name: str) -> Person:
        """The profile's person of exactly this name, created if there was none.

        ConstraintError: kind foreign_key for an unknown profile.
        """
        _, person = await self._batch(
            self._ensure.count(profile_id=profile_id, name=name, now=self._now()),
            self._find_by_name.one(profile_id=profile_id, name=name),
        )
        return person

    async def get(self, person_id: int) -> Person:
        """The person; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=person_id))

    async def find(self, person_id: int) -> Person | None:
        """The person, or None."""
        return await self._run(self._get.optional(id=person_id))

    async def find_by_name(self, profile_id: str, name: str) -> Person | None:
        """The profile's person of exactly this name, or None."""
        return await self._run(self._find_by_name.optional(profile_id=profile_id, name=name))

    async def list_for_profile(
        self, profile_id: str, *, limit: int | None = None, offset: int = 0
    ) -> list[Person]:
        """The people whom a profile knows, by name. limit None: all."""
        return await self._run(
            self._list_for_profile.all(profile_id=profile_id, limit=limit, offset=offset)
        )

    async def speakers(
        self, person_id: int, *, after: Speaker | str | None = None, limit: int | None = 50
    ) -> Page[Speaker]:
        """A page of the speakers that are this person, the newest first, by keyset.

        Args:
            person_id: the person.
            after: ``next`` of the page before, or its last speaker; None: the first page.
            limit: at most this many; None: all.

        Returns:
            The speakers; [] also for an unknown person. With ``next``, the token of the next page, or None
            on the last one.

        Raises:
            InvalidArgumentError: after is no token of this listing.
        """
        return await self._run(self._speakers.page(after=after, limit=limit, person_id=person_id))

    async def suggestions(
        self, person_id: int, *, limit: int | None = 50, offset: int = 0
    ) -> list[Speaker]:
        """The speakers that a machine guesses to be this person (speakers.suggest() with the person's name),
        the surest first; [] also for an unknown person. assign() confirms one. limit None: all.
        """
        return await self._run(
            self._suggestions.all(person_id=person_id, limit=limit, offset=offset)
        )

    async def segments(
        self, person_id: int, *, after: SpokenSegment | str | None = None, limit: int | None = 50
    ) -> Page[SpokenSegment]:
        """A page of all that a person says, by keyset: the newest speakers first, and of each by time.

        Args:
            person_id: the person.
            after: ``next`` of the page before, or its last segment; None: the first page.
            limit: at most this many; None: all.

        Returns:
            The segments with their files; [] also for an unknown person. With ``next``, the token of the
            next page, or None on the last one.

        Raises:
            InvalidArgumentError: after is no token of this listing.
        """
        return await self._run(self._segments.page(after=after, limit=limit, person_id=person_id))

    async def update(self, person_id: int, **changes: Unpack[PersonChanges]) -> Person:
        """Changes the fields passed and returns the person; None clears the description, UNSET leaves one.

        Can change: name, description; TypeError for any other field. A new name is that of all the person's
        speakers too, and of suggestions that have the old one. RecordNotFoundError for an unknown id;
        ConstraintError: kind unique when the profile knows a person of that name: merge() them.
        """
        params = self._update.changes(changes, id=person_id, now=self._now())
        return await self._run(self._update.one(**params))

    async def assign(self, person_id: int, speaker_ids: Iterable[int]) -> Person:
        """Says that these speakers are this person, and returns the person. They take over the name, and
        their suggestions are deleted.

        All or none: RecordNotFoundError for an unknown person, and for the first unknown speaker;
        ConstraintError: kind check for a speaker of another profile.
        """
        ids = self._listed("speaker_ids", speaker_ids, "int")
        _, unknown, _, person = await self._batch(
            self._known.one(id=person_id),
            self._unknown_speaker.optional(speaker_ids=ids),
            self._assign.count(id=person_id, speaker_ids=ids),
            self._get.one(id=person_id),
        )
        if unknown is not None:
            raise self._not_found(unknown, "speaker")
        return person

    async def release(self, speaker_ids: Iterable[int]) -> int:
        """Says that these speakers are no known person; they keep their names. Returns how many were one.

        Unknown speakers are passed over.
        """
        return await self._run(self._release.count(speaker_ids=speaker_ids))

    async def split(self, person_id: int, name: str, speaker_ids: Iterable[int]) -> Person:
        """Makes a second person of some of a person's speakers, and returns it.

        Args:
            person_id: the person that two people were taken for.
            name: the name of the second person, whom the profile may know already.
            speaker_ids: the speakers of the second person.

        Returns:
            The second person.

        Raises:
            RecordNotFoundError: there is no such person, or no such speaker; the first one is named.
            InvalidArgumentError: name is the person's own.
            ConstraintError: kind check for a speaker of another profile.
        """
        ids = self._listed("speaker_ids", speaker_ids, "int")
        person = await self.get(person_id)
        if person.name == name:
            raise invalid_argument("name", f"person {person_id} has this name already")
        unknown, _, _, other = await self._batch(
            self._unknown_speaker.optional(speaker_ids=ids),
            self._ensure_beside.count(id=person_id, name=name, speaker_ids=ids, now=self._now()),
            self._assign_by_name.count(profile_id=person.profile_id, name=name, speaker_ids=ids),
            self._find_by_name.optional(profile_id=person.profile_id, name=name),
        )
        if unknown is not None:
            raise self._not_found(unknown, "speaker")
        if other is None:  # deleted meanwhile
            raise self._not_found(person_id)
        return other

    async def merge(self, source_id: int, target_id: int) -> Person:
        """Makes one person of two: speakers, suggestions and files of source become target's, source is
        deleted, and target returned.

        ValueError when both are the same person, or of different profiles.
        """
        source, target = await self._batch(self._get.one(id=source_id), self._get.one(id=target_id))
        if source.id == target.id:
            raise invalid_argument("target_id", "a person cannot be merged into itself")
        if source.profile_id != target.profile_id:
            raise invalid_argument(
                "target_id", f"people {source_id} and {target_id} are of different profiles"
            )
        await self._batch(
            self._give_speakers_to.count(id=source_id, target_id=target_id),
            self._give_suggestions_to.count(id=source_id, target_id=target_id),
            self._give_files_to.count(id=source_id, target_id=target_id),
            self._delete.count(id=source_id),
        )
        return await self.get(target_id)

    async def attach_file(self, person_id: int, file_id: UUID | str, kind: str) -> list[PersonFile]:
        """Adds a picture, a voice or another file to a person, or changes its kind, and returns all of them.

        Args:
            person_id: the person.
            file_id: a file of the same profile.
            kind: the application's own word, such as picture or voice.

        Returns:
            All files of the person, in the order of their ids: the oldest first.

        Raises:
            RecordNotFoundError: there is no such person.
            ConstraintError: kind foreign_key when there is no such file, or it is of another profile.
        """
        *_, files = await self._batch(
            self._known.one(id=person_id),
            self._attach_file.count(person_id=person_id, file_id=file_id, kind=kind),
            self._files.all(person_id=person_id, limit=None, offset=0),
        )
        return files

    async def detach_file(self, person_id: int, file_id: UUID | str) -> bool:
        """Takes a file from a person; False when it was none of the person's. The file itself stays."""
        step = self._detach_file.count(person_id=person_id, file_id=file_id)
        return await self._run(step) > 0

    async def files(
        self, person_id: int, *, limit: int | None = None, offset: int = 0
    ) -> list[PersonFile]:
        """The files of a person (pictures, voices …), in the order of their ids: the oldest first.

        Args:
            person_id: the person.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The files; [] also for an unknown person.
        """
        return await self._run(self._files.all(person_id=person_id, limit=limit, offset=offset))

    async def delete(self, person_id: int, *, missing_ok: bool = False) -> bool:
        """Deletes the person. Its speakers keep their names, and its files stay.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=person_id))
        return self._deleted(count, person_id, missing_ok=missing_ok)
