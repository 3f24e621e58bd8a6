"""Speakers: the voices in a file, and their names."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.statement import Command, Query


class Speaker(Record, frozen=True):
    """A voice. label: the recognizer's name for it (SPEAKER_00).  display_name: the name that a person gave.

    suggested_name, confidence (0 to 1): a machine's guess.  is_verified: a person gave the name.
    person_id: the person, of ``known_people``; then display_name is the person's name.
    """

    id: int
    profile_id: str
    file_id: UUID
    label: str
    display_name: str | None
    suggested_name: str | None
    confidence: float | None
    is_verified: bool
    created_at: datetime
    person_id: int | None


class SpeakerName(Record, frozen=True):
    """A name that a profile has given. file_count: in how many files a speaker has this name."""

    name: str
    file_count: int


class SpeakerRepository(Repository):
    """The speakers of files, table ``speakers``: one per file and label of the recognizer, with the name that
    a person gave, or a name that a machine suggested.
    """

    entity = "speaker"
    table = "speakers"

    _insert = Command(
        Speaker,
        """
        INSERT INTO speakers (profile_id, file_id, label, is_verified, created_at)
        SELECT profile_id, id, :label, FALSE, :created_at
        FROM files
        WHERE id = :file_id
        ON CONFLICT (file_id, label) DO NOTHING
        """,
    )

    _get_by_label = Query(
        Speaker,
        """
        SELECT *
        FROM speakers
        WHERE file_id = :file_id
          AND label = :label
        """,
        entity="file",
    )

    _get = Query(
        Speaker,
        """
        SELECT *
        FROM speakers
        WHERE id = :id
        """,
    )

    # By the text before the number at the end, then by the number.
    _list_for_file = Query(
        Speaker,
        """
        SELECT *
        FROM speakers
        WHERE file_id = :file_id
        ORDER BY
          rtrim(label, '0123456789'),
          CAST('0' || substr(label, length(rtrim(label, '0123456789')) + 1) AS NUMERIC),
          label,
          id
        """,
    )

    _names_for_profile = Query(
        SpeakerName,
        """
        SELECT display_name AS name, count(DISTINCT file_id) AS file_count
        FROM speakers
        WHERE profile_id = :profile_id
          AND display_name IS NOT NULL
        GROUP BY display_name
        ORDER BY display_name
        LIMIT :limit OFFSET :offset
        """,
        params={"profile_id": str},
    )

    _relabel = Command(
        Speaker,
        """
        UPDATE speakers
        SET display_name = :display_name,
            person_id = (
              SELECT known_people.id
              FROM known_people
              WHERE known_people.profile_id = speakers.profile_id
                AND known_people.name = :display_name
            ),
            suggested_name = NULL,
            confidence = NULL,
            is_verified = TRUE
        WHERE id = :id
        RETURNING *
        """,
    )

    _suggest = Command(
        Speaker,
        """
        UPDATE speakers
        SET suggested_name = :suggested_name,
            confidence = :confidence
        WHERE id = :id
        RETURNING *
        """,
    )

    # A target that was deleted meanwhile breaks the foreign key.
    _give_segments_to = Command(
        Speaker,
        """
        UPDATE transcript_segments
        SET speaker_id = :target_id
        WHERE speaker_id = :id
        """,
        params={"target_id": int},
    )

    _delete = Command(
        Speaker,
        """
        DELETE FROM speakers
        WHERE id = :id
        """,
    )

    async def ensure(self, file_id: UUID | str, label: str) -> Speaker:
        """The file's speaker of this label, created if there was none.

        RecordNotFoundError for an unknown file.
        """
        _, speaker = await self._batch(
            self._insert.count(file_id=file_id, label=label, created_at=self._now()),
            self._get_by_label.one(file_id=file_id, label=label),
        )
        return speaker

    async def get(self, speaker_id: int) -> Speaker:
        """The speaker; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=speaker_id))

    async def find(self, speaker_id: int) -> Speaker | None:
        """The speaker, or None."""
        return await self._run(self._get.optional(id=speaker_id))

    async def list_for_file(self, file_id: UUID | str) -> list[Speaker]:
        """A file's speakers by label, SPEAKER_2 before SPEAKER_10; [] also for an unknown file."""
        return await self._run(self._list_for_file.all(file_id=file_id))

    async def names_for_profile(
        self, profile_id: str, *, limit: int | None = None, offset: int = 0
    ) -> list[SpeakerName]:
        """The names that the profile has given, in the order of their code points.

        Args:
            profile_id: the profile.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The names, each once, with the number of its files; [] also for an unknown profile.
        """
        return await self._run(
            self._names_for_profile.all(profile_id=profile_id, limit=limit, offset=offset)
        )

    async def relabel(self, speaker_id: int, display_name: str) -> Speaker:
        """Stores a name that a person has given or confirmed, and deletes the suggestion.

        The name of one of the profile's ``people`` ties the speaker to that person, any other name unties it.
        ConstraintError: kind check for None.
        """
        return await self._run(self._relabel.one(id=speaker_id, display_name=display_name))

    async def suggest(self, speaker_id: int, name: str, confidence: float) -> Speaker:
        """Stores a machine's guess of the name; a display_name stays.

        Args:
            speaker_id: the speaker.
            name: the guessed name.
            confidence: 0 to 1.

        Returns:
            The speaker.

        Raises:
            RecordNotFoundError: there is no such speaker.
            ConstraintError: kind check for a confidence outside of 0 to 1.
        """
        return await self._run(
            self._suggest.one(id=speaker_id, suggested_name=name, confidence=confidence)
        )

    async def merge(self, source_id: int, target_id: int) -> Speaker:
        """Moves the segments of source to target, deletes source, and returns target.

        ValueError when both are the same speaker, or speakers of different files.
        """
        source, target = await self._batch(self._get.one(id=source_id), self._get.one(id=target_id))
        if source.id == target.id:
            raise invalid_argument("target_id", "a speaker cannot be merged into itself")
        if source.file_id != target.file_id:
            raise invalid_argument(
                "target_id", f"speakers {source_id} and {target_id} are of different files"
            )
        await self._batch(
            self._give_segments_to.count(id=source_id, target_id=target_id),
            self._delete.count(id=source_id),
        )
        return target

    async def delete(self, speaker_id: int, *, missing_ok: bool = False) -> bool:
        """Deletes the speaker; its segments stay, without a speaker.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=speaker_id))
        return self._deleted(count, speaker_id, missing_ok=missing_ok)
