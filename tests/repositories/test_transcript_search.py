"""Promises about searching what was said: any language, any characters, one's own files only."""

from __future__ import annotations

import os
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelbase import Database, NewSegment

TEXTS = [
    "Good morning, everybody",
    "今日の会議は東京で行われます",
    "The café is in São Paulo",
    "大家好, 今天我们讨论预算",
    "안녕하세요 여러분",
    "Straßenbahn und Übung",
    "foo-bar C++ a.b@c",
]


@pytest.fixture
async def transcript_id(database: Database) -> UUID:
    await database.profiles.ensure("ann")
    file = await database.files.add("ann", "talk.mp4", "talk.mp4")
    transcript = await database.transcripts.add("ann", file.id, "")
    segments = [NewSegment(number, number + 1, text) for number, text in enumerate(TEXTS)]
    await database.segments.replace_all(transcript.id, segments)
    return transcript.id


async def found(database: Database, query: str, profile_id: str = "ann") -> list[int]:
    hits = await database.transcripts.search(profile_id, query)
    return [int(hit.segment.start_time) for hit in hits]


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("morning", 0),
        ("MORN", 0),  # the last word is a prefix
        ("good every", 0),
        ("会議", 1),
        ("議", 1),
        ("東京で", 1),
        ("会議 東京", 1),
        ("cafe", 2),
        ("sao paulo", 2),
        ('"in são"', 2),
        ("预算", 3),
        ("녕하", 4),
        ("ubung", 5),
        ("foo-bar", 6),
        ("C++ a.b@c", 6),
    ],
)
async def test_words_of_any_language_are_found(
    query: str, place: int, database: Database, transcript_id: UUID
) -> None:
    assert await found(database, query) == [place]


@pytest.mark.parametrize(
    "query",
    ["", " ", "!?", '"', "good 会議", '"morning good"', "oo", "京東", "nothing", "*", "AND"],
)
async def test_what_nobody_said_is_not_found(
    query: str, database: Database, transcript_id: UUID
) -> None:
    assert await found(database, query) == []


@settings(
    max_examples=60,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(query=st.text() | st.text(alphabet='"*()^:-+ANDORTNE a会\0'))
async def test_no_query_is_an_error(query: str, database: Database, transcript_id: UUID) -> None:
    assert len(await database.transcripts.search("ann", query)) <= len(TEXTS)


async def test_a_hit_says_where_it_is(database: Database, transcript_id: UUID) -> None:
    (hit,) = await database.transcripts.search("ann", "会議")
    assert hit.segment == (await database.segments.at(transcript_id, 1))[0]
    assert (hit.transcript_id, hit.snippet) == (transcript_id, TEXTS[1])
    transcript = await database.transcripts.get(transcript_id)
    assert hit.file_id == transcript.file_id
    assert hit.rank < 0


async def test_only_in_ones_own_files(database: Database, transcript_id: UUID) -> None:
    await database.profiles.ensure("bob")
    assert await found(database, "morning", "bob") == []
    file = await database.files.add("bob", "n", "p")
    transcript = await database.transcripts.add("bob", file.id, "")
    await database.segments.replace_all(transcript.id, [NewSegment(5, 6, "morning")])
    assert await found(database, "morning", "bob") == [5]
    assert await found(database, "morning") == [0]


async def test_the_best_match_comes_first_and_the_limit_holds(
    database: Database, transcript_id: UUID
) -> None:
    texts = ["budget " + "and more " * 20, "budget budget", "other"]
    segments = [NewSegment(number, 9, text) for number, text in enumerate(texts)]
    await database.segments.replace_all(transcript_id, segments)
    hits = await database.transcripts.search("ann", "budget")
    assert [hit.segment.start_time for hit in hits] == [1, 0]
    assert [hit.rank for hit in hits] == sorted(hit.rank for hit in hits)
    assert await database.transcripts.search("ann", "budget", limit=1) == hits[:1]
    assert await database.transcripts.search("ann", "budget", limit=0) == []


@pytest.mark.long
async def test_of_very_many_matches_the_newest_are_ranked(
    database: Database, transcript_id: UUID
) -> None:
    segments = [NewSegment(number, number, "the") for number in range(10_001)]
    segments[0] = NewSegment(0, 0, "the " * 50)
    await database.segments.replace_all(transcript_id, segments)
    hits = await database.transcripts.search("ann", "the", limit=None)
    assert len(hits) == 10_000
    assert min(hit.segment.start_time for hit in hits) == 1


@pytest.mark.parametrize(
    ("query", "word"),
    [("needle", "needle"), ("NEEDLES", "Needlés"), ("会議", "会議"), ("議", "会議")],
)
async def test_a_long_text_is_cut_around_what_matched(
    query: str, word: str, database: Database, transcript_id: UUID
) -> None:
    text = "straw and hay " * 100 + word + " more straw" * 100
    await database.segments.replace_all(transcript_id, [NewSegment(0, 1, text)])
    (hit,) = await database.transcripts.search("ann", query)
    assert word in hit.snippet
    assert len(hit.snippet) <= 202
    inside = hit.snippet.strip("…")
    assert hit.snippet == f"…{inside}…"
    assert f" {inside} " in text  # cut between words


async def test_what_is_gone_or_changed_is_not_found_any_more(
    database: Database, transcript_id: UUID
) -> None:
    (segment,) = await database.segments.at(transcript_id, 0)
    await database.segments.update(segment.id, text="Good evening")
    assert await found(database, "morning") == []
    assert await found(database, "evening") == [0]
    await database.segments.replace_all(transcript_id, [NewSegment(0, 1, "night")])
    assert await found(database, "evening") == []
    await database.transcripts.delete(transcript_id)
    assert await found(database, "night") == []


async def test_a_transcript_without_segments_is_found_once_its_text_is_a_segment(
    database: Database, transcript_id: UUID
) -> None:
    file_id = (await database.transcripts.get(transcript_id)).file_id
    bare = await database.transcripts.add("ann", file_id, "an unheard zebra")
    assert await found(database, "zebra") == []
    await database.segments.replace_all(bare.id, [NewSegment(0.0, 60.0, bare.text)])
    (hit,) = await database.transcripts.search("ann", "zebra")
    assert hit.transcript_id == bare.id
