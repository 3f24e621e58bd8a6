"""Promises about redactions: what is masked is nowhere to be read or found, and comes back when it may."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from samples import Contents, contents

from reelbase import (
    Database,
    InvalidArgumentError,
    InvalidTransitionError,
    NewSegment,
    RecordNotFoundError,
    Segment,
)
from reelbase.repositories.redactions import _masked
from reelbase.testing.clock import FrozenClock

TEXT = "call Ann at 555 0199 today"
WORDS = [
    {"word": word, "start": float(place), "end": place + 0.9}
    for place, word in enumerate(TEXT.split())
]
NUMBER = (12, 20)


def rows_of(path: Path) -> Contents:
    """All tables but those inside an index, which keep deleted entries until they are merged."""
    return {table: rows for table, rows in contents(path).items() if "_fts_" not in table}


@pytest.fixture
async def transcript_id(database: Database) -> UUID:
    await database.profiles.ensure("ann")
    file = await database.files.add("ann", "call.mp3", "call.mp3")
    return (await database.transcripts.add("ann", file.id, "whole text")).id


@pytest.fixture
async def segment(database: Database, transcript_id: UUID) -> Segment:
    new = [NewSegment(0.0, 6.0, TEXT, words=WORDS), NewSegment(6.0, 7.0, "goodbye")]
    await database.segments.replace_all(transcript_id, new)
    return (await database.segments.list_for_transcript(transcript_id))[0]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(0, 3)], "#def"),
        ([(3, 6)], "abc#"),
        ([(0, 6)], "#"),
        ([(1, 2), (4, 5)], "a#cd#f"),
        ([(1, 3), (3, 4)], "a#ef"),
        ([(1, 5), (2, 3)], "a#f"),
        ([(1, 3), (2, 5)], "a#f"),
        ([(0, 1), (1, 2), (3, 4)], "#c#ef"),
    ],
)
def test_each_stretch_gets_one_mask(spans: list[tuple[int, int]], expected: str) -> None:
    assert _masked("abcdef", spans, "#") == expected


async def test_what_is_masked_is_nowhere_to_be_read_or_found(
    database: Database, segment: Segment, transcript_id: UUID, clock: FrozenClock
) -> None:
    assert len(await database.transcripts.search("ann", "555")) == 1
    masked = await database.redactions.redact(segment.id, [NUMBER], reason="phone")
    assert masked.text == "call Ann at [redacted] today"
    assert [word["word"] for word in masked.words or ()] == [
        *("call", "Ann", "at", "[redacted]", "[redacted]", "today")
    ]
    assert [word["start"] for word in masked.words or ()] == [word["start"] for word in WORDS]
    assert await database.segments.get(segment.id) == masked
    assert (await database.segments.list_for_transcript(transcript_id))[0] == masked
    assert await database.transcripts.search("ann", "555") == []
    (hit,) = await database.transcripts.search("ann", "today")
    assert hit.snippet == masked.text
    redaction = await database.redactions.get(segment.id)
    assert (redaction.text, redaction.words, redaction.reason) == (TEXT, WORDS, "phone")
    assert redaction.redacted_at == clock.now


async def test_no_table_but_that_of_the_originals_has_what_is_masked(
    database: Database, segment: Segment, path: Path
) -> None:
    await database.redactions.redact(segment.id, [NUMBER])
    assert [table for table, rows in rows_of(path).items() if "0199" in repr(rows)] == [
        "segment_originals"
    ]


async def test_a_segment_is_restored_as_it_was(
    database: Database, segment: Segment, path: Path
) -> None:
    before = rows_of(path)
    await database.redactions.redact(segment.id, [NUMBER])
    await database.redactions.redact(segment.id, [(5, 8)], mask="#")
    assert (await database.segments.get(segment.id)).text == "call # at [redacted] today"
    assert await database.redactions.restore(segment.id) == segment
    assert rows_of(path) == before
    assert len(await database.transcripts.search("ann", "555")) == 1
    with pytest.raises(RecordNotFoundError, match="redaction"):
        await database.redactions.restore(segment.id)


async def test_an_edit_is_not_undone_by_restoring(
    database: Database, segment: Segment, path: Path
) -> None:
    await database.redactions.redact(segment.id, [NUMBER])
    edited = await database.segments.update(segment.id, text="call Ann at [redacted] tonight")
    before = contents(path)
    with pytest.raises(InvalidTransitionError, match="was edited"):
        await database.redactions.restore(segment.id)
    assert contents(path) == before
    await database.redactions.redact(segment.id, [(5, 8)])
    with pytest.raises(InvalidTransitionError, match="was edited"):
        await database.redactions.restore(segment.id)
    assert (await database.redactions.get(segment.id)).text == TEXT
    assert await database.redactions.delete(segment.id)
    assert (await database.segments.get(segment.id)).text != edited.text


async def test_a_split_segment_hides_what_it_hid(
    database: Database, segment: Segment, transcript_id: UUID
) -> None:
    await database.redactions.redact(segment.id, [NUMBER])
    first, second = await database.segments.split(segment.id, 2.0)
    assert (first.text, second.text) == ("call Ann", "at [redacted] today")
    with pytest.raises(InvalidTransitionError):
        await database.redactions.restore(first.id)
    merged = await database.segments.merge(first.id, second.id)
    assert merged.text == "call Ann at [redacted] today"
    assert (await database.redactions.restore(merged.id)).text == TEXT


@pytest.mark.parametrize(
    "words",
    [None, [], ["call", "Ann"], [{"word": "other"}], [{"text": "call"}, {}], [{"word": ""}], [7]],
)
async def test_words_that_are_not_those_of_the_text_go(
    words: list[Any] | None, database: Database, segment: Segment
) -> None:
    await database.segments.update(segment.id, words=words)
    masked = await database.redactions.redact(segment.id, [NUMBER])
    assert masked.words == ([] if words == [] else None)
    assert (await database.redactions.restore(segment.id)).words == words


async def test_words_in_the_other_form_are_masked(database: Database, segment: Segment) -> None:
    words = [{"text": f" {word} "} for word in TEXT.split()]
    await database.segments.update(segment.id, words=words)
    masked = await database.redactions.redact(segment.id, [(14, 15)], mask="")
    assert masked.text == "call Ann at 55 0199 today"
    assert (masked.words or [])[3] == {"text": ""}


async def test_what_is_redacted_is_listed_and_can_be_made_final(
    database: Database, segment: Segment, transcript_id: UUID
) -> None:
    other = (await database.segments.list_for_transcript(transcript_id))[1]
    await database.redactions.redact(other.id, [(0, 4)])
    await database.redactions.redact(segment.id, [NUMBER])
    listed = await database.redactions.list_for_transcript(transcript_id)
    assert [one.segment_id for one in listed] == [segment.id, other.id]
    assert await database.redactions.list_for_transcript(transcript_id, limit=1) == listed[:1]
    assert await database.redactions.list_for_transcript(transcript_id, offset=1) == listed[1:]
    assert await database.redactions.delete(other.id)
    assert await database.redactions.find(other.id) is None
    assert (await database.segments.get(other.id)).text == "[redacted]bye"
    assert not await database.redactions.delete(other.id, missing_ok=True)
    with pytest.raises(RecordNotFoundError):
        await database.redactions.delete(other.id)


async def test_originals_go_with_their_segment(
    database: Database, segment: Segment, transcript_id: UUID
) -> None:
    await database.redactions.redact(segment.id, [NUMBER])
    await database.segments.replace_all(transcript_id, [NewSegment(0.0, 1.0, "anew")])
    assert await database.redactions.find(segment.id) is None


@pytest.mark.parametrize(
    "parts",
    [[], [(0, 0)], [(3, 2)], [(-1, 2)], [(0, 27)], [(0, 3), (5, 99)], [(0, 99), (1, 2)]],
)
async def test_what_is_no_part_of_the_text_is_refused(
    parts: list[tuple[int, int]], database: Database, segment: Segment, path: Path
) -> None:
    before = contents(path)
    with pytest.raises(InvalidArgumentError, match="parts"):
        await database.redactions.redact(segment.id, parts)
    assert contents(path) == before


async def test_two_who_redact_at_once_hide_both_parts(database: Database, segment: Segment) -> None:
    await asyncio.gather(
        database.redactions.redact(segment.id, [NUMBER], mask="#"),
        database.redactions.redact(segment.id, [(0, 4)], mask="####"),
    )
    text = (await database.segments.get(segment.id)).text
    assert "call" not in text
    assert (await database.redactions.get(segment.id)).text == TEXT


async def test_a_segment_that_is_not_there_is_not_found(database: Database) -> None:
    with pytest.raises(RecordNotFoundError, match="segment"):
        await database.redactions.redact(7, [(0, 1)])
    with pytest.raises(RecordNotFoundError):
        await database.redactions.get(7)
