"""Promises about segments that are edited one by one: order, texts, words and search stay right."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from samples import contents

from reelbase import (
    ConstraintError,
    Database,
    InvalidArgumentError,
    NewSegment,
    RecordNotFoundError,
    Segment,
    SegmentRepository,
)


def word(text: str, start: float) -> dict[str, Any]:
    return {"word": text, "start": start, "end": start + 0.5}


@pytest.fixture
async def transcript_id(database: Database) -> UUID:
    await database.profiles.ensure("ann")
    file = await database.files.add("ann", "talk.mp4", "talk.mp4")
    return (await database.transcripts.add("ann", file.id, "text")).id


@pytest.fixture
async def segments(database: Database, transcript_id: UUID) -> list[Segment]:
    """ "Good morning all" and "we begin now", a word a second."""
    rows = [
        NewSegment(
            0.0,
            3.0,
            "Good morning all",
            confidence=0.9,
            words=[word("Good", 0.0), word("morning", 1.0), word("all", 2.0)],
        ),
        NewSegment(
            3.0,
            6.0,
            "we begin now",
            confidence=0.7,
            words=[word("we", 3.0), word("begin", 4.0), word("now", 5.0)],
        ),
    ]
    await database.segments.replace_all(transcript_id, rows)
    return await database.segments.list_for_transcript(transcript_id)


def brief(segment: Segment) -> tuple[float, float, str, list[str] | None]:
    words = None if segment.words is None else [word["word"] for word in segment.words]
    return segment.start_time, segment.end_time, segment.text, words


async def hits(database: Database, query: str) -> list[str]:
    return [hit.segment.text for hit in await database.transcripts.search("ann", query)]


async def test_a_segment_is_added_at_its_time_and_found(
    database: Database, transcript_id: UUID, segments: list[Segment]
) -> None:
    added = await database.segments.add(transcript_id, 2.5, 3.5, "applause", confidence=1.0)
    listed = await database.segments.list_for_transcript(transcript_id)
    assert listed == [segments[0], added, segments[1]]
    assert await hits(database, "applause") == ["applause"]
    with pytest.raises(ConstraintError, match="times"):
        await database.segments.add(transcript_id, 2.5, 2.0, "x")


async def test_a_segment_is_split_where_its_words_say(
    database: Database, transcript_id: UUID, segments: list[Segment]
) -> None:
    first, second = await database.segments.split(segments[0].id, 1.0)
    assert brief(first) == (0.0, 1.0, "Good", ["Good"])
    assert brief(second) == (1.0, 3.0, "morning all", ["morning", "all"])
    assert (first.id, first.confidence, second.confidence) == (segments[0].id, 0.9, 0.9)
    listed = await database.segments.list_for_transcript(transcript_id)
    assert listed == [first, second, segments[1]]
    assert await hits(database, "good") == ["Good"]
    assert await hits(database, "morning") == ["morning all"]
    assert await hits(database, '"good morning"') == []


async def test_a_segment_without_words_is_split_at_a_position(
    database: Database, transcript_id: UUID
) -> None:
    whole = await database.segments.add(transcript_id, 0.0, 2.0, "こんにちは世界")
    first, second = await database.segments.split(whole.id, 1.5, position=5)
    assert brief(first) == (0.0, 1.5, "こんにちは", None)
    assert brief(second) == (1.5, 2.0, "世界", None)


async def test_two_segments_are_merged_whichever_is_named_first(
    database: Database, transcript_id: UUID, segments: list[Segment]
) -> None:
    merged = await database.segments.merge(segments[1].id, segments[0].id)
    assert brief(merged) == (
        0.0,
        6.0,
        "Good morning all we begin now",
        ["Good", "morning", "all", "we", "begin", "now"],
    )
    assert (merged.id, merged.confidence) == (segments[0].id, 0.7)
    assert await database.segments.list_for_transcript(transcript_id) == [merged]
    assert await hits(database, '"all we"') == [merged.text]


async def test_a_split_is_undone_by_a_merge(database: Database, segments: list[Segment]) -> None:
    first, second = await database.segments.split(segments[0].id, 2.0)
    assert await database.segments.merge(first.id, second.id) == segments[0]


@pytest.mark.parametrize(
    ("time", "first", "second"),
    [
        (2.0, (0.0, 2.0, "Good morning", ["Good", "morning"]), ["all", "we", "begin", "now"]),
        (4.5, (0.0, 4.5, "Good morning all we begin", None), ["now"]),
        (2.5, (0.0, 2.5, "Good morning all", ["Good", "morning", "all"]), ["we", "begin", "now"]),
    ],
)
async def test_words_go_with_the_boundary(
    time: float,
    first: tuple[float, float, str, list[str] | None],
    second: list[str],
    database: Database,
    segments: list[Segment],
) -> None:
    one, other = await database.segments.move_boundary(segments[0].id, segments[1].id, time)
    assert brief(one) == (*first[:3], first[3] or first[2].split())
    assert brief(other) == (time, 6.0, " ".join(second), second)
    assert await hits(database, "now") == [other.text]
    back = await database.segments.move_boundary(segments[0].id, segments[1].id, 3.0)
    assert list(back) == segments


async def test_without_words_the_texts_stay(
    database: Database, transcript_id: UUID, segments: list[Segment]
) -> None:
    for segment in segments:
        await database.segments.update(segment.id, words=None)
    one, other = await database.segments.move_boundary(segments[0].id, segments[1].id, 1.0)
    assert brief(one) == (0.0, 1.0, "Good morning all", None)
    assert brief(other) == (1.0, 6.0, "we begin now", None)


async def test_a_deleted_segment_is_not_found(database: Database, segments: list[Segment]) -> None:
    assert await database.segments.delete(segments[0].id) is True
    assert await hits(database, "morning") == []
    assert await database.segments.delete(segments[0].id, missing_ok=True) is False
    with pytest.raises(RecordNotFoundError):
        await database.segments.split(segments[0].id, 1.0)


async def test_what_cannot_be_edited_changes_nothing(
    database: Database, transcript_id: UUID, segments: list[Segment]
) -> None:
    other = await database.transcripts.add("ann", await _file_of(database, transcript_id), "t")
    elsewhere = await database.segments.add(other.id, 0.0, 1.0, "x")
    odd = await database.segments.add(transcript_id, 9.0, 10.0, "odd", words=["odd"])
    wrong = await database.segments.add(transcript_id, 10.0, 11.0, "a b", words=[word("c", 10.0)])
    edit = database.segments
    before = contents(database.path)
    first, second = (segment.id for segment in segments)
    for call, parameter in (
        (edit.split(first, 0.0), "time"),
        (edit.split(first, 3.0), "time"),
        (edit.split(first, float("nan")), "time"),
        (edit.split(first, 1.0, position=17), "position"),
        (edit.split(first, 1.0, position=-1), "position"),
        (edit.split(elsewhere.id, 0.5), "position"),
        (edit.split(odd.id, 9.5, position=1), "words"),
        (edit.split(wrong.id, 10.5), "position"),
        (edit.merge(first, first), "second_id"),
        (edit.merge(first, elsewhere.id), "second_id"),
        (edit.move_boundary(first, second, 0.0), "time"),
        (edit.move_boundary(first, second, 6.0), "time"),
    ):
        with pytest.raises(InvalidArgumentError) as caught:
            await call
        assert caught.value.parameter == parameter
    assert contents(database.path) == before


async def _file_of(database: Database, transcript_id: UUID) -> UUID:
    return (await database.transcripts.get(transcript_id)).file_id


@pytest.mark.long
async def test_edits_at_once_lose_no_word(
    database: Database, transcript_id: UUID, segments: list[Segment]
) -> None:
    """Each edit is made of what it read: one that was overtaken reads again."""
    words = [word(f"x{number}", float(number)) for number in range(40)]
    whole = await database.segments.add(
        transcript_id, 0.0, 40.0, " ".join(w["word"] for w in words), words=words
    )

    async def split(time: float) -> None:
        for segment in await database.segments.at(transcript_id, time):
            if segment.words and segment.words[0]["word"].startswith("x"):
                try:
                    await database.segments.split(segment.id, time)
                except InvalidArgumentError:
                    await split(time)  # it is in another segment now

    await asyncio.gather(*(split(number + 0.9) for number in range(39)))
    listed = [
        segment
        for segment in await database.segments.list_for_transcript(transcript_id)
        if segment.id not in (segments[0].id, segments[1].id)
    ]
    assert " ".join(segment.text for segment in listed) == whole.text
    assert [w for segment in listed for w in segment.words or ()] == words
    assert len(listed) == 40


async def text_after_splits_of_one(database: Database, transcript_id: UUID) -> tuple[str, str]:
    """What a segment says, and what is said after many callers have split it at once."""
    words = [word(f"x{number}", float(number)) for number in range(20)]
    whole = await database.segments.add(
        transcript_id, 0.0, 20.0, " ".join(w["word"] for w in words), words=words
    )
    splits = (database.segments.split(whole.id, number + 0.9) for number in range(19))
    for result in await asyncio.gather(*splits, return_exceptions=True):
        assert isinstance(result, tuple | InvalidArgumentError)  # the time is in another one now
    listed = await database.segments.list_for_transcript(transcript_id)
    return whole.text, " ".join(segment.text for segment in listed)


async def test_splits_of_one_segment_at_once_lose_no_word(
    database: Database, transcript_id: UUID
) -> None:
    before, after = await text_after_splits_of_one(database, transcript_id)
    assert after == before


async def test_edits_that_do_not_look_again_are_found(
    database: Database, transcript_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(repository: SegmentRepository, segment: Segment) -> Any:
        return repository._count.one(transcript_id=segment.transcript_id)

    monkeypatch.setattr(SegmentRepository, "_same", careless)
    before, after = await text_after_splits_of_one(database, transcript_id)
    assert after != before
