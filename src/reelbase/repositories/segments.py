"""Segments: the spoken texts of a transcript, with times and speakers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict, Unpack
from uuid import UUID

import msgspec
from msgspec import UnsetType

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import wrong_type
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.statement import Command, PageQuery, Query


class Segment(Record, frozen=True):
    """A stretch of speech. start_time, end_time: seconds from the start of the file.

    words: the words with their times, as the recognizer gave them, or None.
    """

    id: int
    transcript_id: UUID
    speaker_id: int | None
    start_time: float
    end_time: float
    text: str
    confidence: float | None
    words: list[Any] | None


class SegmentChanges(TypedDict, total=False):
    """The fields that segments.update() can change."""

    speaker_id: int | UnsetType | None
    start_time: float | UnsetType
    end_time: float | UnsetType
    text: str | UnsetType
    confidence: float | UnsetType | None
    words: list[Any] | UnsetType | None


class NewSegment(Record, frozen=True):
    """A segment to be stored; the fields are those of Segment."""

    start_time: float
    end_time: float
    text: str
    speaker_id: int | None = None
    confidence: float | None = None
    words: list[Any] | None = None


class SegmentRepository(Repository):
    """The segments of transcripts, table ``transcript_segments``: thousands per transcript, replaced
    as a whole, always in the order (start_time, id). Times are seconds.
    """

    entity = "segment"

    _known_transcript = Query(
        int,
        """
        SELECT 1
        FROM transcripts
        WHERE id = :transcript_id
        """,
        params={"transcript_id": UUID},
        entity="transcript",
    )

    _clear = Command(
        Segment,
        """
        DELETE FROM transcript_segments
        WHERE transcript_id = :transcript_id
        """,
    )

    _add = Command(
        Segment,
        """
        INSERT INTO transcript_segments (
          transcript_id, speaker_id, start_time, end_time, text, confidence, words
        )
        VALUES (:transcript_id, :speaker_id, :start_time, :end_time, :text, :confidence, :words)
        """,
    )

    # Ids only grow, so the rows that are not indexed yet lie behind the last indexed one.
    _index_new = Command(
        Segment,
        """
        INSERT INTO transcript_segments_fts (rowid, text)
        SELECT id, spaced(text)
        FROM transcript_segments
        WHERE id > coalesce(
            (SELECT rowid FROM transcript_segments_fts ORDER BY rowid DESC LIMIT 1), 0
          )
        """,
    )

    # Rebuilt from the texts, because a damaged index cannot be cleared.
    _mend_index = Command(
        Segment,
        """
        INSERT INTO transcript_segments_fts (transcript_segments_fts)
        VALUES ('rebuild')
        """,
    )

    _clear_index = Command(
        Segment,
        """
        DELETE FROM transcript_segments_fts
        """,
    )
    _derived = "transcript_segments_fts"
    _derivation = (_mend_index, _clear_index, _index_new)

    # A trigger has removed the row from the index if its text changed.
    _index_again = Command(
        Segment,
        """
        INSERT INTO transcript_segments_fts (rowid, text)
        SELECT id, spaced(text)
        FROM transcript_segments
        WHERE id = :id
          AND NOT EXISTS (
            SELECT 1
            FROM transcript_segments_fts
            WHERE transcript_segments_fts.rowid = transcript_segments.id
          )
        """,
    )

    _get = Query(
        Segment,
        """
        SELECT *
        FROM transcript_segments
        WHERE id = :id
        """,
    )

    # Two ranges: SQLite plans (start_time, id) > (…) by the time alone when the id is the rowid.
    _page = PageQuery(
        Segment,
        """
        SELECT *
        FROM (
            SELECT *
            FROM transcript_segments
            WHERE transcript_id = :transcript_id
              AND start_time = :start_time
              AND id > :id
            UNION ALL
            SELECT *
            FROM transcript_segments
            WHERE transcript_id = :transcript_id
              AND start_time > :start_time
          ) AS segments
        ORDER BY start_time, id
        LIMIT :limit
        """,
        keyset={"start_time": -1.0, "id": 0},
    )

    _at = Query(
        Segment,
        """
        SELECT *
        FROM transcript_segments
        WHERE transcript_id = :transcript_id
          AND start_time <= :time
          AND end_time > :time
        ORDER BY start_time, id
        """,
        params={"time": float},
    )

    _count = Query(
        int,
        """
        SELECT count(*)
        FROM transcript_segments
        WHERE transcript_id = :transcript_id
        """,
        params={"transcript_id": UUID},
    )

    _update = Command(
        Segment,
        """
        UPDATE transcript_segments
        SET speaker_id = iif(:set_speaker_id, :speaker_id, speaker_id),
            start_time = iif(:set_start_time, :start_time, start_time),
            end_time = iif(:set_end_time, :end_time, end_time),
            text = iif(:set_text, :text, text),
            confidence = iif(:set_confidence, :confidence, confidence),
            words = iif(:set_words, :words, words)
        WHERE id = :id
        RETURNING *
        """,
    )

    _assign_speaker = Command(
        Segment,
        """
        UPDATE transcript_segments
        SET speaker_id = :speaker_id
        WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:segment_ids))
        """,
        params={"segment_ids": list[int]},
    )

    async def replace_all(self, transcript_id: UUID | str, segments: Iterable[NewSegment]) -> int:
        """Replaces all segments of the transcript by these. Returns how many there are.

        All or none: the old segments stay until the new ones are stored. RecordNotFoundError for an unknown
        transcript. ConstraintError: kind foreign_key for an unknown speaker; kind check for a speaker of
        another file, a negative time, or an end before the start.
        """
        if not isinstance(segments, Iterable):
            raise wrong_type(
                "segments", f"must be a list of NewSegment, not {type(segments).__name__}"
            )
        rows = [
            msgspec.structs.asdict(self._expect("segments", segment, NewSegment))
            | {"transcript_id": transcript_id}
            for segment in segments
        ]
        _, _, count, _ = await self._batch(
            self._known_transcript.one(transcript_id=transcript_id),
            self._clear.count(transcript_id=transcript_id),
            self._add.many(rows),
            self._index_new.count(),
        )
        return count

    async def get(self, segment_id: int) -> Segment:
        """The segment; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=segment_id))

    async def find(self, segment_id: int) -> Segment | None:
        """The segment, or None."""
        return await self._run(self._get.optional(id=segment_id))

    async def page(
        self,
        transcript_id: UUID | str,
        *,
        after: Segment | str | None = None,
        limit: int | None = 500,
    ) -> Page[Segment]:
        """A page of the transcript's segments, by start, then id, by keyset: the last page takes no longer
        than the first.

        Args:
            transcript_id: the transcript.
            after: ``next`` of the page before, or its last segment; None: the first page.
            limit: at most this many; None: all.

        Returns:
            The segments; [] also for an unknown transcript. With ``next``, the token of the next page, or
            None on the last one.

        Raises:
            InvalidArgumentError: after is no token of this listing.
        """
        step = self._page.page(after=after, limit=limit, transcript_id=transcript_id)
        return await self._run(step)

    async def list_for_transcript(self, transcript_id: UUID | str) -> list[Segment]:
        """All of the transcript's segments, by start, then id; [] also for an unknown transcript."""
        return await self.page(transcript_id, limit=None)

    async def at(self, transcript_id: UUID | str, time: float) -> list[Segment]:
        """The segments at this time, in seconds: start_time <= time < end_time; by start, then id."""
        return await self._run(self._at.all(transcript_id=transcript_id, time=time))

    async def count(self, transcript_id: UUID | str) -> int:
        """How many segments the transcript has; 0 also for an unknown transcript."""
        return await self._run(self._count.one(transcript_id=transcript_id))

    async def update(self, segment_id: int, **changes: Unpack[SegmentChanges]) -> Segment:
        """Changes the fields passed and returns the segment; None clears one, UNSET leaves it.

        Can change: speaker_id, start_time, end_time, text, confidence, words; TypeError for any other
        field. RecordNotFoundError for an unknown id. ConstraintError as in replace_all().
        """
        segment, _ = await self._batch(
            self._update.one(**self._update.changes(changes, id=segment_id)),
            self._index_again.count(id=segment_id),
        )
        return segment

    async def assign_speaker(self, segment_ids: Iterable[int], speaker_id: int | None) -> int:
        """Sets the speaker of these segments; None: no known speaker. Returns how many segments there are.

        All or none. ConstraintError: kind foreign_key for an unknown speaker, kind check for a speaker of
        another file.
        """
        return await self._run(
            self._assign_speaker.count(segment_ids=segment_ids, speaker_id=speaker_id)
        )

    async def rebuild_search(self) -> int:
        """Rebuilds the search index of segments, also for rows that another program has written. Returns
        how many segments are indexed."""
        *_, count = await self._batch(*(command.count() for command in self._derivation))
        return int(count)
