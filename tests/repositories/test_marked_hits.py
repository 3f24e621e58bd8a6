"""What a search has matched is marked in the snippet, in pieces that are safe to escape one by one."""

from __future__ import annotations

import html
import os
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reelbase import Database, NewSegment
from reelbase.engine.statements.search import excerpt, marked, match_expression


@pytest.fixture
async def transcript_id(database: Database) -> UUID:
    await database.profiles.ensure("ann")
    file = await database.files.add("ann", "caf\udce9 <b>.mkv", "a.mkv")
    return (await database.transcripts.add("ann", file.id, "")).id


def marked_by(query: str, text: str) -> str:
    """The text with the matches in brackets."""
    expression = match_expression(query)
    assert expression is not None
    pieces = marked(text, expression)
    assert "".join(pieces) == text
    assert len(pieces) % 2 == 1
    assert all(pieces[1::2])
    return "".join(f"[{piece}]" if place % 2 else piece for place, piece in enumerate(pieces))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("good", "[Good] morning, good-bye; goodness!"),
        ("goo", "[Good] morning, [good]-bye; [goodness]!"),
        ('"good"', "[Good] morning, [good]-bye; goodness!"),
        ("good morning", "[Good] [morning], [good]-bye; goodness!"),
        ('"good morning"', "[Good morning], good-bye; goodness!"),
        ("good-bye", "Good morning, [good-bye]; goodness!"),
        ('"morning good"', "Good [morning, good]-bye; goodness!"),
        ("nothing", "Good morning, good-bye; goodness!"),
    ],
)
def test_words_prefixes_and_phrases_are_marked(query: str, expected: str) -> None:
    text = expected.replace("[", "").replace("]", "")
    if query == "good":  # the last word is a prefix
        expected = "[Good] morning, [good]-bye; [goodness]!"
    assert marked_by(query, text) == expected


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("cafe", "Le CAFE\u0301 noir", "Le [CAFE\u0301] noir"),
        ("café", "ein Cafe, zwei Cafés", "ein [Cafe], zwei [Cafés]"),
        ("会議", "今日は会議です", "今日は[会議]です"),
        ("東 京", "東京と京都", "[東京]と[京]都"),
        ("京都 東京", "東京都", "[東京都]"),
        ("カ", "ｶﾞｷﾞ", "[ｶﾞ]ｷﾞ"),
        ("한", "한국어", "[한]국어"),
        ("ไทย", "ภาษาไทยดี", "ภาษา[ไทย]ดี"),
        ("हिन्दी", "यह हिन्दी है", "यह [हिन्दी] है"),
        ("👍", "ok 👍👍 fine", "ok [👍👍] fine"),
        ("strasse", "Die Straße lang", "Die [Straße] lang"),
        ("b", "a\u200bb", "a\u200b[b]"),
        ("ﬁ", "file ﬁnd", "[file] [ﬁnd]"),
        ("שלום", "שָׁלוֹם עולם", "[שָׁלוֹם] עולם"),
        ("x", "x\0x <b>X</b>", "[x]\0[x] <b>[X]</b>"),
    ],
)
def test_texts_of_any_language_are_marked(query: str, text: str, expected: str) -> None:
    assert marked_by(query, text) == expected


@pytest.mark.long
@settings(max_examples=200, deadline=None, derandomize="CI" in os.environ)
@given(query=st.text(), text=st.text() | st.text(alphabet="ab 会议é\u0301\u200b-."))
@example(query='a "b', text="b a")
def test_the_pieces_together_are_the_text(query: str, text: str) -> None:
    expression = match_expression(query)
    if expression is not None:
        pieces = marked(excerpt(text, expression), expression)
        assert "".join(pieces) == excerpt(text, expression)
        assert len(pieces) % 2 == 1


@pytest.mark.long
@settings(
    max_examples=100,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
async def test_in_every_hit_something_is_marked(
    data: st.DataObject, database: Database, transcript_id: UUID
) -> None:
    words = ["Good", "morning", "会議", "café", "Straße", "हिन्दी", "👍", "foo-bar"]
    chosen = data.draw(st.lists(st.sampled_from(words), min_size=1, max_size=30))
    text = " ".join(chosen)
    await database.segments.replace_all(transcript_id, [NewSegment(0, 1, text)])
    (hit,) = await database.transcripts.search("ann", data.draw(st.sampled_from(chosen)))
    assert "".join(hit.marked) == hit.snippet
    assert len(hit.marked) >= 3


async def test_a_hit_names_its_file_and_its_pieces_can_be_put_into_html(
    database: Database, transcript_id: UUID
) -> None:
    await database.segments.replace_all(
        transcript_id, [NewSegment(0, 1, "<script>alert(1)</script> & alert")]
    )
    (hit,) = await database.transcripts.search("ann", "alert")
    assert hit.file_name == "caf\udce9 <b>.mkv"
    pieces = [html.escape(piece) for piece in hit.marked]
    pieces[1::2] = [f"<mark>{piece}</mark>" for piece in pieces[1::2]]
    assert "".join(pieces) == (
        "&lt;script&gt;<mark>alert</mark>(1)&lt;/script&gt; &amp; <mark>alert</mark>"
    )


async def test_in_a_long_text_the_part_that_is_shown_is_marked(
    database: Database, transcript_id: UUID
) -> None:
    text = "straw and hay " * 100 + "a Needle, needles" + " more straw" * 100
    await database.segments.replace_all(transcript_id, [NewSegment(0, 1, text)])
    (hit,) = await database.transcripts.search("ann", "needle")
    assert hit.marked[1::2] == ["Needle", "needles"]
    assert "".join(hit.marked) == hit.snippet
    assert hit.snippet.startswith("…")


async def test_an_offset_skips_the_best_hits(database: Database, transcript_id: UUID) -> None:
    texts = [f"budget {'and more ' * number}" for number in range(9)]
    await database.segments.replace_all(
        transcript_id, [NewSegment(number, 9, text) for number, text in enumerate(texts)]
    )
    everything = await database.transcripts.search("ann", "budget")
    assert len(everything) == 9
    for offset in range(11):
        hits = await database.transcripts.search("ann", "budget", limit=2, offset=offset)
        assert hits == everything[offset : offset + 2]


async def test_every_search_can_skip_its_best_matches(database: Database) -> None:
    await database.profiles.ensure("ann")
    project = await database.projects.add("p", "/w")
    for number in range(3):
        file = await database.files.add("ann", f"cat {number}", "p")
        await database.videos.add(project.id, f"cat {number}", "/v", 1.0, 25, 1, 10, 10)
        await database.prompts.track(f"cat {number}")
        summary = await database.summaries.start(file.id)
        await database.summaries.complete(summary.id, {"text": "cat"})
    searches: dict[str, Callable[..., Awaitable[list[Any]]]] = {
        "files": lambda **more: database.files.search("ann", "cat", **more),
        "videos": lambda **more: database.videos.search("cat", **more),
        "prompts": lambda **more: database.prompts.search("cat", **more),
        "summaries": lambda **more: database.summaries.search("ann", "cat", **more),
    }
    for name, search in searches.items():
        everything = await search()
        assert len(everything) == 3, name
        assert [await search(limit=1, offset=place) for place in range(4)] == [
            *([each] for each in everything),
            [],
        ], name
