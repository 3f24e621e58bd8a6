"""Segments: what was said when, and by whom."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict, Unpack
from uuid import UUID

import msgspec
from msgspec import UnsetType

from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import wrong_type
from reelbase.engine.statements.statement import Command, Query


class Segment(msgspec.Struct, frozen=True):
    """A stretch of speech. start_time, end_time: seconds into the file.

    words: as the recognizer gave them, or None.
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
    """What segments.update() can change."""

    speaker_id: int | UnsetType | None
    start_time: float | UnsetType
    end_time: float | UnsetType
    text: str | UnsetType
    confidence: float | UnsetType | None
    words: list[Any] | UnsetType | None


class NewSegment(msgspec.Struct, frozen=True):
    """A segment to be stored; the fields are those of Segment."""

    start_time: float
    end_time: float
    text: str
    speaker_id: int | None = None
    confidence: float | None = None
    words: list[Any] | None = None


class SegmentRepository(Repository):
    """What was said when and by whom, table ``transcript_segments``: thousands per transcript, replaced
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

    # Ids only grow, so that what is not indexed yet is what lies behind the last indexed one.
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

    # The index from its own texts: one that is damaged cannot be cleared.
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

    # A trigger has taken the row out of the index if its text changed.
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
    _page = Query(
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
        """Stores these as the transcript's segments, in place of all that it had; how many there are.

        All or nothing: the old ones stay until the new ones are in. RecordNotFoundError for an unknown
        transcript. ConstraintError: kind foreign_key for an unknown speaker; kind check for one of
        another file, or times that are negative or end before they start.
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
        self, transcript_id: UUID | str, *, after: Segment | None = None, limit: int | None = 500
    ) -> list[Segment]:
        """The transcript's segments that follow ``after`` (None: from the start), by start, then id.

        By keyset: the last page costs what the first does.
        """
        start_time, last_id = -1.0, 0  # before the first one
        if after is not None:
            self._expect("after", after, Segment)
            start_time, last_id = after.start_time, after.id
        return await self._run(
            self._page.all(
                transcript_id=transcript_id, start_time=start_time, id=last_id, limit=limit
            )
        )

    async def list_for_transcript(self, transcript_id: UUID | str) -> list[Segment]:
        """All of the transcript's segments, by start, then id; [] also for an unknown transcript."""
        return await self.page(transcript_id, limit=None)

    async def at(self, transcript_id: UUID | str, time: float) -> list[Segment]:
        """What is being said at that second: start_time <= time < end_time; by start, then id."""
        return await self._run(self._at.all(transcript_id=transcript_id, time=time))

    async def count(self, transcript_id: UUID | str) -> int:
        """How many segments the transcript has; 0 also for an unknown one."""
        return await self._run(self._count.one(transcript_id=transcript_id))

    async def update(self, segment_id: int, **changes: Unpack[SegmentChanges]) -> Segment:
        """Changes the fields passed and returns the segment; None clears one, UNSET leaves it.

        Can change: speaker_id, start_time, end_time, text, confidence, words; TypeError for others.
        RecordNotFoundError for an unknown id. ConstraintError as in replace_all().
        """
        segment, _ = await self._batch(
            self._update.one(**self._update.changes(changes, id=segment_id)),
            self._index_again.count(id=segment_id),
        )
        return segment

    async def assign_speaker(self, segment_ids: Iterable[int], speaker_id: int | None) -> int:
        """Says who said these, None: nobody known; how many of them there are.

        All or none. ConstraintError: kind foreign_key for an unknown speaker, kind check for one of
        another file.
        """
        return await self._run(
            self._assign_speaker.count(segment_ids=segment_ids, speaker_id=speaker_id)
        )

    async def rebuild_search(self) -> int:
        """Indexes every segment anew, also those that came in by the sqlite3 prompt; how many."""
        *_, count = await self._batch(*(command.count() for command in self._derivation))
        return int(count)
