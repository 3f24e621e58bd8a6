"""Segments: the spoken texts of a transcript, with times and speakers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypedDict, Unpack
from uuid import UUID

import msgspec
from msgspec import UnsetType

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.parameters import has_surrogates
from reelbase.engine.statements.statement import Command, PageQuery, Query
from reelbase.engine.statements.step import Step
from reelbase.errors import RecordNotFoundError


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
    """A segment to be stored, with the fields of Segment."""

    start_time: float
    end_time: float
    text: str
    speaker_id: int | None = None
    confidence: float | None = None
    words: list[Any] | None = None


class _Part(NamedTuple):
    """A piece of a segment. words: None, or words that have times."""

    text: str
    words: list[Any] | None


def _divided(segment: Segment, time: float, position: int | None) -> tuple[_Part, _Part]:
    """The text and the words of a segment before and from a time on.

    position: where to cut the text; None: in front of the first word that starts at the time or later.
    InvalidArgumentError when the words have no times, or do not say where to cut.
    """
    words = segment.words
    if words is not None and not all(
        isinstance(word, dict) and isinstance(word.get("start"), int | float) for word in words
    ):
        raise invalid_argument(
            "words",
            f"of segment {segment.id} have no start; update(words=None) first, or store them with one",
        )
    before = [word for word in words or () if word["start"] < time]
    behind = [word for word in words or () if word["start"] >= time]
    if position is None and words:
        position = _position_of(segment.text, before, behind)
    if position is None or not 0 <= position <= len(segment.text):
        raise invalid_argument(
            "position",
            f"must be 0 to {len(segment.text)}, and the words of segment {segment.id} do not give it",
        )
    first, second = segment.text[:position].rstrip(), segment.text[position:].lstrip()
    if words is None:
        return _Part(first, None), _Part(second, None)
    return _Part(first, before), _Part(second, behind)


def _position_of(text: str, before: list[Any], behind: list[Any]) -> int | None:
    """Where the first of the words behind begins in the text; None when the text does not have the words."""
    place = start = 0
    for word in (*before, *behind[:1]):
        spoken = str(word.get("word", word.get("text", ""))).strip()
        start = text.find(spoken, place)
        if not spoken or start < 0:
            return None
        place = start + len(spoken)
    return start if behind else len(text)


def _joined(first: _Part, second: _Part, separator: str) -> _Part:
    """Both pieces as one; the separator stands between texts that are not empty."""
    text = separator.join(text for text in (first.text, second.text) if text)
    words = [*(first.words or ()), *(second.words or ())]
    has_words = bool(words) or (first.words is not None and second.words is not None)
    return _Part(text, words if has_words else None)


class SegmentRepository(Repository):
    """The segments of transcripts, table ``transcript_segments``: thousands per transcript, replaced
    as a whole or edited one by one, always in the order (start_time, id). Times are seconds.

    Only words of the form ``{"word": "Hello", "start": 1.5, …}`` are divided or moved.
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

    _replace_all = Command(
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
    index_again = Command(
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

    _add = Command(
        Segment,
        """
        INSERT INTO transcript_segments (
          transcript_id, speaker_id, start_time, end_time, text, confidence, words
        )
        VALUES (:transcript_id, :speaker_id, :start_time, :end_time, :text, :confidence, :words)
        RETURNING *
        """,
    )

    # An edit is made of what was read. If that has changed, this finds nothing, and undoes the edit.
    _unchanged = Query(
        int,
        """
        SELECT 1
        FROM transcript_segments
        WHERE id = :id
          AND start_time = :start_time
          AND end_time = :end_time
          AND text = :text
        """,
        params={"id": int, "start_time": float, "end_time": float, "text": str},
    )

    _set = Command(
        Segment,
        """
        UPDATE transcript_segments
        SET start_time = :start_time,
            end_time = :end_time,
            text = :text,
            confidence = :confidence,
            words = :words
        WHERE id = :id
        RETURNING *
        """,
    )

    _delete = Command(
        Segment,
        """
        DELETE FROM transcript_segments
        WHERE id = :id
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
        another file, a negative time, or an end before the start. Of several segments the text and
        ``details["index"]`` say which one it is, counted from 0.
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
            self._replace_all.many(rows),
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
            self.index_again.count(id=segment_id),
        )
        return segment

    async def add(
        self,
        transcript_id: UUID | str,
        start_time: float,
        end_time: float,
        text: str,
        *,
        speaker_id: int | None = None,
        confidence: float | None = None,
        words: list[Any] | None = None,
    ) -> Segment:
        """Adds a segment to a transcript.

        Args:
            transcript_id: the transcript.
            start_time: seconds from the start of the file, at least 0; it gives the place in the order.
            end_time: seconds, not before start_time.
            text: the spoken text.
            speaker_id: a speaker of the file, or None.
            confidence: the recognizer's, or None.
            words: the words with their times, or None.

        Returns:
            The segment.

        Raises:
            ConstraintError: kind foreign_key for an unknown transcript or speaker; kind check as in
                replace_all().
        """
        segment, _ = await self._batch(
            self._add.one(
                transcript_id=transcript_id,
                speaker_id=speaker_id,
                start_time=start_time,
                end_time=end_time,
                text=text,
                confidence=confidence,
                words=words,
            ),
            self._index_new.count(),
        )
        return segment

    async def split(
        self, segment_id: int, time: float, *, position: int | None = None
    ) -> tuple[Segment, Segment]:
        """Makes two segments of one.

        Args:
            segment_id: the segment; it becomes the first of the two.
            time: where the first ends and the second begins, in seconds; within the segment.
            position: how many characters of the text belong to the first; None: the words say it, and words
                that start at the time or later are the second's. White space at the cut is dropped.

        Returns:
            The two segments. Both have the speaker and the confidence; words go where their start is.

        Raises:
            RecordNotFoundError: there is no such segment.
            InvalidArgumentError: the time or the position is not within the segment, or its words have no
                times.
        """
        while True:
            segment = await self.get(segment_id)
            if not segment.start_time < self._seconds(time) < segment.end_time:
                raise invalid_argument(
                    "time",
                    f"must be within the segment, {segment.start_time} to {segment.end_time} s",
                )
            if isinstance(position, bool) or not isinstance(position, int | None):
                raise wrong_type("position", f"must be int, not {type(position).__name__}")
            first, second = _divided(segment, time, position)
            try:
                _, kept, added, *_ = await self._batch(
                    self._same(segment),
                    self._set.one(
                        id=segment.id,
                        start_time=segment.start_time,
                        end_time=time,
                        text=first.text,
                        confidence=segment.confidence,
                        words=first.words,
                    ),
                    self._add.one(
                        transcript_id=segment.transcript_id,
                        speaker_id=segment.speaker_id,
                        start_time=time,
                        end_time=segment.end_time,
                        text=second.text,
                        confidence=segment.confidence,
                        words=second.words,
                    ),
                    self._index_new.count(),
                    self.index_again.count(id=segment.id),
                )
            except RecordNotFoundError:
                continue  # another caller has changed it
            return kept, added

    async def merge(self, first_id: int, second_id: int, *, separator: str = " ") -> Segment:
        """Makes one segment of two of the same transcript, and returns it.

        Args:
            first_id: one of them.
            second_id: the other one.
            separator: the text between their texts; '' for scripts without spaces.

        Returns:
            The segment that came first, with both texts and words, from the earlier start to the later end,
            with its own speaker and the lower confidence. The other one is deleted.

        Raises:
            RecordNotFoundError: one of them does not exist.
            InvalidArgumentError: they are the same, or of different transcripts.
        """
        if has_surrogates(self._expect("separator", separator, str)):
            raise invalid_argument("separator", "holds a lone surrogate")
        while True:
            first, second = await self._two(first_id, second_id)
            part = _joined(
                _Part(first.text, first.words), _Part(second.text, second.words), separator
            )
            known = [c for c in (first.confidence, second.confidence) if c is not None]
            try:
                _, _, _, merged, *_ = await self._batch(
                    self._same(first),
                    self._same(second),
                    self._delete.count(id=second.id),
                    self._set.one(
                        id=first.id,
                        start_time=first.start_time,
                        end_time=max(first.end_time, second.end_time),
                        text=part.text,
                        confidence=min(known, default=None),
                        words=part.words,
                    ),
                    self.index_again.count(id=first.id),
                )
            except RecordNotFoundError:
                continue  # another caller has changed one of them
            kept: Segment = merged
            return kept

    async def move_boundary(
        self, first_id: int, second_id: int, time: float, *, separator: str = " "
    ) -> tuple[Segment, Segment]:
        """Moves the boundary between two segments of the same transcript: the first ends there, and the
        second begins there.

        Args:
            first_id: one of them.
            second_id: the other one.
            time: the boundary, in seconds, after the start of the first and before the end of the second.
            separator: the text between texts that are put together; '' for scripts without spaces.

        Returns:
            Both, in their order. Words go where their start is, and the text of a segment with words goes
            with them; without words, the texts stay.

        Raises:
            RecordNotFoundError: one of them does not exist.
            InvalidArgumentError: they are the same, or of different transcripts; the time is out of range;
                the words have no times, or are not the words of the text.
        """
        if has_surrogates(self._expect("separator", separator, str)):
            raise invalid_argument("separator", "holds a lone surrogate")
        while True:
            first, second = await self._two(first_id, second_id)
            if not first.start_time < self._seconds(time) < second.end_time:
                raise invalid_argument(
                    "time", f"must be within {first.start_time} and {second.end_time} s"
                )
            whole = len(first.text) if first.words is None else None
            none = 0 if second.words is None else None
            stays, goes = _divided(first, time, whole)
            comes, rests = _divided(second, time, none)
            parts = _joined(stays, comes, separator), _joined(goes, rests, separator)
            try:
                _, _, one, other, *_ = await self._batch(
                    self._same(first),
                    self._same(second),
                    self._set.one(
                        id=first.id,
                        start_time=first.start_time,
                        end_time=time,
                        text=parts[0].text,
                        confidence=first.confidence,
                        words=parts[0].words,
                    ),
                    self._set.one(
                        id=second.id,
                        start_time=time,
                        end_time=second.end_time,
                        text=parts[1].text,
                        confidence=second.confidence,
                        words=parts[1].words,
                    ),
                    self.index_again.count(id=first.id),
                    self.index_again.count(id=second.id),
                )
            except RecordNotFoundError:
                continue  # another caller has changed one of them
            return one, other

    async def delete(self, segment_id: int, *, missing_ok: bool = False) -> bool:
        """True when it existed; otherwise RecordNotFoundError, or False with missing_ok."""
        count = await self._run(self._delete.count(id=segment_id))
        return self._deleted(count, segment_id, missing_ok=missing_ok)

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

    def _seconds(self, time: float) -> float:
        """The time, or TypeError that names it."""
        if isinstance(time, bool) or not isinstance(time, int | float):
            raise wrong_type("time", f"must be float, not {type(time).__name__}")
        return time

    def _same(self, segment: Segment) -> Step[int]:
        """Raises RecordNotFoundError when the segment is not as it was read."""
        return self._unchanged.one(
            id=segment.id,
            start_time=segment.start_time,
            end_time=segment.end_time,
            text=segment.text,
        )

    async def _two(self, first_id: int, second_id: int) -> tuple[Segment, Segment]:
        """Two segments of one transcript, in their order."""
        first, second = await self._batch(self._get.one(id=first_id), self._get.one(id=second_id))
        if first.id == second.id:
            raise invalid_argument("second_id", "is the same segment")
        if first.transcript_id != second.transcript_id:
            raise invalid_argument(
                "second_id", f"segments {first_id} and {second_id} are of different transcripts"
            )
        if (first.start_time, first.id) > (second.start_time, second.id):
            return second, first
        return first, second
