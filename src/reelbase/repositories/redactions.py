"""Redactions: parts of segments that are not to be read.

A redacted segment has its masked text and words in ``transcript_segments``, so that nothing that reads,
searches, counts or exports segments gives the hidden parts; the original is in a table of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.engine.statements.parameters import has_surrogates
from reelbase.engine.statements.statement import Command, Query
from reelbase.errors import InvalidTransitionError, RecordNotFoundError
from reelbase.repositories.segments import Segment, SegmentRepository


class Redaction(Record, frozen=True):
    """The original of a redacted segment. text, words: as before the redaction; to be shown to few.
    masked_text: the text of the segment as it was redacted.  reason: the application's own word, of the last
    redaction.  redacted_at: when that was.
    """

    segment_id: int
    text: str
    words: list[Any] | None
    masked_text: str
    reason: str | None
    redacted_at: datetime


class RedactionRepository(Repository):
    """Redactions of segments, table ``segment_originals``. They are deleted with their segments."""

    entity = "redaction of segment"
    table = "segment_originals"

    _get = Query(
        Redaction,
        """
        SELECT *
        FROM segment_originals
        WHERE segment_id = :segment_id
        """,
    )

    _segment = Query(
        Segment,
        """
        SELECT *
        FROM transcript_segments
        WHERE id = :id
        """,
        entity="segment",
    )

    _list_for_transcript = Query(
        Redaction,
        """
        SELECT segment_id, segment_originals.text, segment_originals.words, masked_text, reason, redacted_at
        FROM transcript_segments
        CROSS JOIN segment_originals
        WHERE segment_originals.segment_id = transcript_segments.id
          AND transcript_segments.transcript_id = :transcript_id
        ORDER BY transcript_segments.start_time, transcript_segments.id
        LIMIT :limit OFFSET :offset
        """,
        params={"transcript_id": UUID},
    )

    # The first redaction keeps the original; later ones are made of what it has left. After an edit
    # masked_text stays another text than the segment's, so that restore() does not undo the edit.
    _keep = Command(
        Redaction,
        """
        INSERT INTO segment_originals (segment_id, text, words, masked_text, reason, redacted_at)
        SELECT id, text, words, :masked_text, :reason, :now
        FROM transcript_segments
        WHERE id = :segment_id
          AND text = :read_text
        ON CONFLICT (segment_id) DO UPDATE
        SET masked_text = iif(
              segment_originals.masked_text = :read_text,
              excluded.masked_text,
              segment_originals.masked_text
            ),
            reason = excluded.reason,
            redacted_at = excluded.redacted_at
        RETURNING *
        """,
        params={"read_text": str},
    )

    _mask = Command(
        Segment,
        """
        UPDATE transcript_segments
        SET text = :text,
            words = :words
        WHERE id = :id
        RETURNING *
        """,
        entity="segment",
    )

    # Not what was edited since: its original is that of another text.
    _restore = Command(
        Segment,
        """
        UPDATE transcript_segments
        SET text = segment_originals.text,
            words = segment_originals.words
        FROM segment_originals
        WHERE segment_originals.segment_id = transcript_segments.id
          AND transcript_segments.id = :id
          AND transcript_segments.text = segment_originals.masked_text
        """,
    )

    _forget_restored = Command(
        Redaction,
        """
        DELETE FROM segment_originals
        WHERE segment_id = :segment_id
          AND text = (SELECT text FROM transcript_segments WHERE id = :segment_id)
        """,
    )

    _delete = Command(
        Redaction,
        """
        DELETE FROM segment_originals
        WHERE segment_id = :segment_id
        """,
    )

    async def redact(
        self,
        segment_id: int,
        parts: Iterable[tuple[int, int]],
        *,
        mask: str = "[redacted]",
        reason: str | None = None,
    ) -> Segment:
        """Masks parts of a segment's text, and the words that overlap them.

        Nothing finds or shows the masked parts any more. The text of the whole transcript
        (``transcripts.update(text=)``) is the application's, and stays as it is.

        Args:
            segment_id: the segment. One that is redacted already is redacted further, by the places in the
                text that it has now.
            parts: where each part begins and ends in the text, in characters, the end not included. Parts
                that overlap or touch are one.
            mask: stands in the place of each part, in the text and in the words.
            reason: the application's own word, or None.

        Returns:
            The segment with the masked text. Its words are None if the text is made of other words, so that
            it cannot be told which of them are to be masked.

        Raises:
            RecordNotFoundError: there is no such segment.
            InvalidArgumentError: there is no part, or one is empty or not within the text.
        """
        if has_surrogates(self._expect("mask", mask, str)):
            raise invalid_argument("mask", "holds a lone surrogate")
        spans = sorted(self._span(part) for part in self._listed("parts", parts, "pairs of int"))
        if not spans:
            raise invalid_argument("parts", "is empty")
        while True:
            segment = await self._run(self._segment.one(id=segment_id))
            if max(end for _, end in spans) > len(segment.text):
                raise invalid_argument("parts", f"go beyond the {len(segment.text)} characters")
            masked = _masked(segment.text, spans, mask)
            try:
                _, redacted, _ = await self._batch(
                    self._keep.one(
                        segment_id=segment_id,
                        read_text=segment.text,
                        masked_text=masked,
                        reason=reason,
                        now=self._now(),
                    ),
                    self._mask.one(
                        id=segment_id, text=masked, words=_masked_words(segment, spans, mask)
                    ),
                    SegmentRepository.index_again.count(id=segment_id),
                )
            except RecordNotFoundError:
                continue  # another caller has changed it
            return redacted

    async def get(self, segment_id: int) -> Redaction:
        """The original of the segment; RecordNotFoundError when it is not redacted."""
        return await self._run(self._get.one(segment_id=segment_id))

    async def find(self, segment_id: int) -> Redaction | None:
        """The original of the segment, or None when it is not redacted."""
        return await self._run(self._get.optional(segment_id=segment_id))

    async def list_for_transcript(
        self, transcript_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> list[Redaction]:
        """The redactions of a transcript, in the order of its segments.

        Args:
            transcript_id: the transcript.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The redactions; [] also for an unknown transcript.
        """
        return await self._run(
            self._list_for_transcript.all(transcript_id=transcript_id, limit=limit, offset=offset)
        )

    async def restore(self, segment_id: int) -> Segment:
        """Gives the segment its text and its words back, all redactions undone, and returns it.

        RecordNotFoundError when it is not redacted. InvalidTransitionError when its text was edited since:
        get() has the original, for segments.update(), and delete() ends the redaction.
        """
        redaction, restored, _, _, segment = await self._batch(
            self._get.one(segment_id=segment_id),
            self._restore.count(id=segment_id),
            self._forget_restored.count(segment_id=segment_id),
            SegmentRepository.index_again.count(id=segment_id),
            self._segment.one(id=segment_id),
        )
        if restored == 0 and segment.text != redaction.text:
            raise InvalidTransitionError(
                f"segment {redaction.segment_id} was edited after it was redacted: cannot be restored",
                details={"entity": "segment", "key": str(segment_id), "status": "edited"},
            )
        kept: Segment = segment
        return kept

    async def delete(self, segment_id: int, *, missing_ok: bool = False) -> bool:
        """Deletes the original: the segment stays as it is now, for good.

        True when it was redacted; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(segment_id=segment_id))
        return self._deleted(count, segment_id, missing_ok=missing_ok)

    def _span(self, part: Sequence[int]) -> tuple[int, int]:
        """The beginning and the end of a part; TypeError or InvalidArgumentError that name parts."""
        if not isinstance(part, tuple | list) or len(part) != 2:
            raise wrong_type("parts", "must hold pairs of int, where a part begins and ends")
        start, end = part
        for place in (start, end):
            if isinstance(place, bool) or not isinstance(place, int):
                raise wrong_type("parts", f"must hold pairs of int, not of {type(place).__name__}")
        if not 0 <= start < end:
            raise invalid_argument("parts", f"hold {start} to {end}, which is no part of a text")
        return start, end


def _masked(text: str, spans: list[tuple[int, int]], mask: str) -> str:
    """The text with the mask in the place of each span; spans that overlap or touch have one. spans: in
    order."""
    pieces: list[str] = []
    done = -1  # up to where the text is masked
    for start, end in spans:
        if start > done:
            pieces += [text[max(done, 0) : start], mask]
        done = max(done, end)
    return "".join([*pieces, text[done:]])


def _masked_words(segment: Segment, spans: list[tuple[int, int]], mask: str) -> list[Any] | None:
    """The words with the mask in the place of each that overlaps a span; None when they are not the words of
    the text."""
    place, words = 0, []
    for word in segment.words or ():
        name = next(
            (name for name in ("word", "text") if isinstance(word, dict) and name in word), ""
        )
        spoken = str(word[name]).strip() if name else ""
        start = segment.text.find(spoken, place)
        if not spoken or start < 0:
            return None
        place = start + len(spoken)
        hidden = any(start < last and first < place for first, last in spans)
        words.append({**word, name: mask} if hidden else word)
    return words if segment.words is not None else None
