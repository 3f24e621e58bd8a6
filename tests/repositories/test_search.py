"""Promises about searching: whatever a person types is looked for, and nothing is an error."""

# ruff: noqa: RUF001 - letters that look like others are looked for

from __future__ import annotations

import random
import sqlite3
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from samples import empty_database

from reelbase import Database, Project, UnitOfWork, Video
from reelbase.engine.statements.search import match_expression, spaced

Look = Callable[[str], list[tuple[object, ...]]]

HOSTILE = (
    "",
    " ",
    '"',
    '""',
    '"""',
    '"cat',
    'cat"',
    '"cat" "',
    "a AND",
    "OR b",
    "NOT",
    "AND OR NOT NEAR",
    "NEAR(",
    "NEAR(a b, 5)",
    "foo-bar",
    "-foo",
    "col:x",
    "filename:x",
    "{filename path}: x",
    "^cat",
    "cat*",
    "*",
    "**",
    "cat + dog",
    "(",
    ")",
    "(cat",
    "'; DROP TABLE videos; --",
    "%",
    "_",
    "\\",
    "\0",
    "cat\0dog",
    '"\0',
    "\x1f\x7f\x80",
    "\ufeff\u200b\u200d\ufffd\uffff",
    "🎬",
    "👨\u200d👩\u200d👧",
    "\u0301",
    "e\u0301",
    "猫",
    "ก",
    "C++",
    "...",
    "?",
    ":x",
    "$1",
    "cat\ndog\tbird",
)

QUICK = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

hostile = st.sampled_from(HOSTILE)
characters = st.characters(exclude_categories=["Cs"])
queries = st.lists(hostile | st.text(characters, max_size=6), max_size=6).map("".join) | st.lists(
    hostile | st.text(characters, max_size=6), max_size=6
).map(" ".join)


class Index:
    """The index of videos, in plain sqlite3."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def has(self, text: str, query: str) -> bool:
        """Whether a video of this name alone is found."""
        self._connection.execute("DELETE FROM videos_fts")
        self._connection.execute(
            "INSERT INTO videos_fts (rowid, filename, path) VALUES (1, ?, '')", (spaced(text),)
        )
        return self.count(query) == 1

    def count(self, query: str) -> int:
        expression = match_expression(query)
        if expression is None:
            return 0
        rows = self._connection.execute(
            "SELECT rowid FROM videos_fts WHERE videos_fts MATCH ? ORDER BY rank", (expression,)
        )
        return len(rows.fetchall())


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    with closing(empty_database()) as connection:
        yield Index(connection)


@pytest.fixture
async def project(database: Database) -> Project:
    return await database.projects.add("p", "w")


async def add(
    holder: Database | UnitOfWork, project: Project, filename: str, path: str = ""
) -> Video:
    return await holder.videos.add(project.id, filename, path, 1.0, 25, 1, 1, 1)


# No query is an error


@QUICK
@given(text=queries, query=queries)
def test_no_query_is_an_error(text: str, query: str, index: Index) -> None:
    index.has(text, query)


@pytest.mark.parametrize("query", HOSTILE, ids=ascii)
async def test_no_query_is_an_error_for_a_database(
    query: str, database: Database, project: Project
) -> None:
    await add(database, project, "nothing of this kind")
    await database.videos.search(query)
    await database.prompts.search(query)


@pytest.mark.long
@QUICK
@given(query=st.text(characters))
@example(query="".join(map(chr, range(256))))
def test_a_text_finds_itself(query: str, index: Index) -> None:
    """As far as there are words in it; what is quoted is a phrase either way."""
    words = [part for part in query.split() if match_expression(part)]
    for word in words:
        assert index.has(query, word)
    if words:
        assert index.has(query, query)


@pytest.mark.parametrize(
    "query", ["", " ", '"', '""', '" "', "*", "-", "... !? ()", "\0", "\ufe0f\u200b"]
)
async def test_a_query_without_a_word_finds_nothing(
    query: str, database: Database, project: Project
) -> None:
    await add(database, project, query or "a")
    await add(database, project, "a b c")
    assert match_expression(query) is None
    assert await database.videos.search(query) == []


@pytest.mark.parametrize("query", ["\ud800", "cat\ud800", "cat \udfff", '"\ud800" cat', "\udc00 x"])
async def test_a_lone_surrogate_is_a_value_error(
    query: str, database: Database, project: Project
) -> None:
    await add(database, project, "cat x")
    with pytest.raises(ValueError, match="surrogate"):
        await database.videos.search(query)


@pytest.mark.parametrize("query", [None, 5, b"cat", ["cat"], True])
async def test_a_query_is_a_text(query: Any, database: Database) -> None:
    with pytest.raises(TypeError, match="query"):
        await database.videos.search(query)


@pytest.mark.parametrize(
    "part", ["a", "a ", "猫", '"', '" ', '"a"', "a-", "\0", "é", "NEAR(", "*", "\u0301", "ab cd "]
)
async def test_a_query_of_100_kb_is_answered(
    part: str, database: Database, project: Project
) -> None:
    await add(database, project, "a b")
    query = (part * 100_000)[:100_000]
    started = time.process_time()
    await database.videos.search(query)
    assert time.process_time() - started < 2


# What is found

FOUND = [
    ("holiday in Rome.mov", "holiday"),
    ("holiday in Rome.mov", "HOLIDAY rome"),
    ("holiday in Rome.mov", "rome holiday"),  # in any order
    ("holiday in Rome.mov", "rome hol"),  # the last is a prefix
    ("holiday in Rome.mov", "h"),
    ("holiday in Rome.mov", '"in rome"'),
    ("holiday in Rome.mov", '"in rome" hol'),
    ("holiday in Rome.mov", '"in rome'),  # a quote that is not closed
    ("holiday in Rome.mov", "rome.mov"),
    ("holiday in Rome.mov", "rome.m"),
    ("foo-bar.mov", "foo-bar"),
    ("foo-bar.mov", "foo-b"),
    ("foo bar", "foo-bar"),
    ("a_b", "b"),
    ("take AND cut", "AND"),
    ("take AND cut", "take AND"),
    ("NEAR(by)", "NEAR("),
    ("col:x", "col:x"),
    ("it's", "it's"),
    ("C++ talk", "c++"),
    ("2026-01-31", "2026-01"),
    ("Café Müller", "cafe muller"),
    ("Cafe Muller", "café müller"),
    ("Cafe\u0301", "café"),
    ("Café", "cafe\u0301"),
    ("Übergrößen", "ubergroß"),
    ("ΣΊΣΥΦΟΣ", "σίσυφος"),
    ("и\u0306", "й"),  # as file systems of Apple write it
    ("й", "и\u0306"),
    ("カ\u3099ラス", "ガラ"),
    ("ガラス", "カ\u3099"),
    ("\u1112\u1161\u11ab국", "한"),
    ("한국", "\u1112\u1161\u11ab"),
    ("việt nam", "viet"),
    ("日本語の映画.mkv", "日"),
    ("日本語の映画.mkv", "本語"),
    ("日本語の映画.mkv", "の映画"),
    ("日本語の映画.mkv", "映画 日本"),
    ("日本語の映画.mkv", "画.mkv"),
    ("日本語の映画.mkv", '"語の"'),
    ("カタカナ", "タカ"),
    ("ｶﾀｶﾅ", "ﾀ"),
    ("時々", "々"),
    ("中文电影", "文电"),
    ("𠮷野家", "𠮷野"),
    ("한국어 영화", "국"),
    ("한국어 영화", "국어 영"),
    ("cat猫cat", "猫"),
    ("cat猫cat", "cat猫"),
    ("第3話", "3話"),
    ("นี่คือภาพยนตร์ไทย", "ภาพยนตร์"),  # Thai
    ("นี่คือภาพยนตร์ไทย", "ยนตร"),
    ("ນີ້ແມ່ນຮູບເງົາລາວ", "ຮູບເງົາ"),  # Lao
    ("នេះជាភាពយន្តខ្មែរ", "ភាពយន្ត"),  # Khmer
    ("នេះជា\u200bភាពយន្ត", "ជាភាព"),  # with its spaces of no width
    ("မြန်မာရုပ်ရှင်ကား", "ရုပ်ရှင်"),  # Burmese
    ("བོད་ཀྱི་གློག་བརྙན", "གློག་བརྙན"),  # Tibetan
    ("ꦥꦶꦭꦩ꧀ꦗꦮ", "ꦗꦮ"),  # Javanese
    ("ᨽᩣᨻᨿᩫᨶ᩠ᨲ᩼", "ᨻᨿᩫ"),  # Tai Tham
    ("ᦔᦱᦺᦑᦟᦹᧉ", "ᦑᦟᦹ"),  # New Tai Lue, whose vowels SQLite takes for marks
    ("नमस्ते", "नमस्ते"),
    ("हिन्दी फ़िल्म", "फिल्म"),  # the dot below is left out as often as not
    ("हिन्दी फ़िल्म", "हिन्द"),
    ("தமிழ் படம்", "படம்"),
    ("বাংলা ছবি", "ছবি"),
    ("ක්\u200dරීඩා", "ක්රීඩා"),
    ("مرحبا بك", "مرحبا"),
    ("مَرْحَبًا", "مرحبا"),
    ("مـــرحبا", "مرحبا"),
    ("می\u200cخواهم", "خواهم"),  # a Persian word in two, as it is typed by turns
    ("می\u200cخواهم", "می خواهم"),
    ("שָׁלוֹם", "שלום"),
    ("ＨＯＬＩＤＡＹ　２０２６", "holiday 2026"),  # full width
    ("holiday 2026", "ＨＯＬＩＤＡＹ　２０２６"),
    ("ｶﾞﾗｽ", "ガラ"),
    ("Straße", "STRASSE"),
    ("STRASSE", "straße"),
    ("İSTANBUL", "istanbul"),
    ("𝗧𝗿𝗮𝗶𝗹𝗲𝗿 ①", "trailer 1"),
    ("Sony™ camera", "sony camera"),
    ("らき☆すた", "らきすた"),
    ("🎬 premiere", "🎬"),
    ("party🎉🎉.mp4", "party 🎉"),
    ("I ❤️ NY", "❤"),  # with and without the selector of a coloured form
    ("I ❤ NY", "❤️"),
    ("👍🏽", "👍"),
    ("👨\u200d👩\u200d👧", "👩"),
    ("🇩🇪 🇫🇷", "🇫🇷"),
    ("a\0b", "b"),
]

NOT_FOUND = [
    ("holiday in Rome.mov", "oliday"),  # no substring
    ("holiday in Rome.mov", "hol rome"),  # only the last is a prefix
    ("holiday in Rome.mov", '"hol"'),  # quoted is no prefix
    ("holiday in Rome.mov", '"rome in"'),
    ("holiday in Rome.mov", "holiday paris"),  # all words must match
    ("holiday", "holiday OR paris"),
    ("cat", "cat NOT dog"),
    ("foobar", "foo-bar"),
    ("bar foo", "foo-bar"),
    ("x", "col:x"),
    ("日本語", "本日"),
    ("日本語", "日語"),
    ("한국어", "어국"),
    ("cat", "猫"),
    ("นี่คือภาพยนตร์ไทย", "ภาพยนต์"),
    ("ขาว", "ข่าว"),  # white is no news
    ("किताब", "कातब"),
    ("किताब", "ताब"),
    ("🇩🇪", "🇫🇷"),
    ("👍", "👎"),
    ("", "a"),
]


@pytest.mark.parametrize(("text", "query"), FOUND, ids=ascii)
def test_what_is_found(text: str, query: str, index: Index) -> None:
    assert index.has(text, query)


@pytest.mark.parametrize(("text", "query"), NOT_FOUND, ids=ascii)
def test_what_is_not_found(text: str, query: str, index: Index) -> None:
    assert not index.has(text, query)


CJK = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF) | st.sampled_from(
    "あいうえおアイウエオ々ー한국어영화中文𠮷"
)


@pytest.mark.long
@QUICK
@given(text=st.text(CJK, min_size=1, max_size=8), query=st.text(CJK, min_size=1, max_size=3))
def test_of_scripts_without_spaces_exactly_the_substrings_are_found(
    text: str, query: str, index: Index
) -> None:
    assert index.has(text, query) == (query in text)
    assert index.has(text, text[:1])
    assert index.has(text, text[-1:])


@pytest.mark.long
def test_every_letter_of_every_script_is_found_alone() -> None:
    """But for those that change no word, as marks do not."""
    letters = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code))[0] in "LN" and not _is_mark(chr(code))
    ]
    sampled = random.Random(0).sample(letters, 10_000)
    with closing(empty_database()) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO videos_fts (rowid, filename, path) VALUES (?, ?, '')",
            [(ord(letter), spaced(letter)) for letter in sampled],
        )
        missing = [
            letter
            for letter in sampled
            if not connection.execute(
                "SELECT 1 FROM videos_fts WHERE videos_fts MATCH ? AND rowid = ?",
                (match_expression(letter), ord(letter)),
            ).fetchone()
        ]
    assert missing == []


def _is_mark(letter: str) -> bool:
    """Fillers, the line that stretches an Arabic word, and marks of it that stand alone."""
    parts = unicodedata.normalize("NFKD", letter)
    return all(part in " \u0640\u115f\u1160" or unicodedata.combining(part) for part in parts)


def test_nothing_is_spaced_as_nothing() -> None:
    assert spaced(None) is None
    assert spaced("") == ""
    assert spaced("plain text, as it is") == "plain text, as it is"


# Videos


async def test_filename_and_path_are_searched_together(
    database: Database, project: Project
) -> None:
    video = await add(database, project, "holiday.mov", "/film/rome")
    assert await database.videos.search("holiday rome") == [video]
    assert await database.videos.search("rome") == [video]
    assert await database.videos.search("holiday paris") == []


async def test_the_best_match_comes_first(database: Database, project: Project) -> None:
    await add(database, project, "something else altogether")
    twice = await add(database, project, "cat cat")
    long = await add(database, project, "cat " + "and other animals " * 9)
    short = await add(database, project, "cat")
    found = await database.videos.search("cat")
    assert {video.id for video in found} == {twice.id, long.id, short.id}
    assert found[-1] == long
    assert await database.videos.search("cat", limit=2) == found[:2]
    assert await database.videos.search("cat", limit=0) == []
    assert await database.videos.search("cat", limit=None) == found
    with pytest.raises(ValueError, match="limit"):
        await database.videos.search("cat", limit=-1)


async def test_equals_come_in_the_order_of_their_ids(database: Database, project: Project) -> None:
    added = [await add(database, project, "same") for _ in range(103)]
    assert await database.videos.search("same") == added[:100]
    assert await database.videos.search("same", limit=None) == added


# The index keeps step


def integrity(look: Look) -> None:
    """Raises when the index does not hold what its own table holds."""
    for table in ("videos_fts", "prompts_fts"):
        look(f"INSERT INTO {table} ({table}) VALUES ('integrity-check')")
    assert look("SELECT count(*) FROM videos_fts WHERE rowid NOT IN (SELECT id FROM videos)") == [
        (0,)
    ]


async def test_what_has_changed_is_found_by_its_new_text_only(
    database: Database, project: Project, look: Look
) -> None:
    video = await add(database, project, "old", "place")
    other = await add(database, project, "old")
    renamed = await database.videos.update(video.id, filename="new")
    assert await database.videos.search("old") == [other]
    assert await database.videos.search("new place") == [renamed]
    moved = await database.videos.update(video.id, path="elsewhere")
    assert await database.videos.search("place") == []
    assert await database.videos.search("elsewhere") == [moved]
    wider = await database.videos.update(video.id, width=99, filename="new")
    assert await database.videos.search("new") == [wider]
    integrity(look)


async def test_the_index_is_written_only_when_its_text_changes(
    database: Database, project: Project, look: Look
) -> None:
    video = await add(database, project, "name", "place")
    before = look("SELECT * FROM videos_fts_data")
    await database.videos.update(video.id, width=9, duration=3, filename="name", path="place")
    assert look("SELECT * FROM videos_fts_data") == before


async def test_what_is_deleted_is_not_found(
    database: Database, project: Project, look: Look
) -> None:
    gone = await add(database, project, "cat gone")
    kept = await add(database, project, "cat kept")
    await database.videos.delete(gone.id)
    assert await database.videos.search("cat") == [kept]
    assert await database.videos.search("gone") == []
    await database.projects.delete(project.id)  # a cascade
    assert await database.videos.search("cat") == []
    assert look("SELECT count(*) FROM videos_fts") == [(0,)]
    integrity(look)


async def test_what_a_unit_undoes_is_not_found(
    database: Database, project: Project, look: Look
) -> None:
    video = await add(database, project, "cat")
    async with database.transaction() as unit:
        added = await add(unit, project, "dog")
        await unit.videos.update(video.id, filename="bird")
        assert await unit.videos.search("dog") == [added]
        assert await unit.videos.search("cat") == []
        await unit.rollback()
    assert await database.videos.search("dog") == await database.videos.search("bird") == []
    assert await database.videos.search("cat") == [video]
    integrity(look)


async def test_what_came_in_at_the_prompt_is_never_found_by_old_text(
    database: Database, project: Project, path: Path, look: Look
) -> None:
    video = await add(database, project, "old name")
    with closing(sqlite3.connect(path, isolation_level=None)) as prompt:
        prompt.execute("UPDATE videos SET filename = 'by hand'")
        prompt.execute(
            "INSERT INTO videos (project_id, filename, path, duration, framerate_num, framerate_den,"
            " width, height) VALUES (?, 'newcomer', '', 1, 25, 1, 1, 1)",
            (project.id,),
        )
    assert await database.videos.search("old") == []
    integrity(look)
    changed = await database.videos.update(video.id, filename="again")
    assert await database.videos.search("again") == [changed]
    assert await database.videos.search("by hand") == []
    await add(database, project, "later")
    assert len(await database.videos.search("later")) == 1
    assert [found.filename for found in await database.videos.search("newcomer")] == ["newcomer"]
    integrity(look)


async def test_deleted_and_added_again_is_found_once(
    database: Database, project: Project, look: Look
) -> None:
    """Ids are not used again, so that a new row never has an old one's words."""
    for _ in range(5):
        video = await add(database, project, "cat")
        await database.videos.delete(video.id)
    last = await add(database, project, "cat")
    assert await database.videos.search("cat") == [last]
    integrity(look)


@pytest.mark.long
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["add", "rename", "delete", "undo", "cascade"]),
            st.sampled_from(["cat", "dog", "猫", "", "café cat", "\0"]),
            st.integers(0, 9),
        ),
        max_size=12,
    )
)
async def test_whatever_happens_the_index_keeps_step(
    steps: list[tuple[str, str, int]], database: Database
) -> None:
    project = await database.projects.add("p", "w")
    for what, text, which in steps:
        videos = await database.videos.list_for_project(project.id)
        if what == "add" or not videos:
            await add(database, project, text)
        elif what == "rename":
            await database.videos.update(videos[which % len(videos)].id, filename=text)
        elif what == "delete":
            await database.videos.delete(videos[which % len(videos)].id)
        elif what == "undo":
            async with database.transaction() as unit:
                await unit.videos.delete(videos[which % len(videos)].id)
                await add(unit, project, text)
                await unit.rollback()
        else:
            await database.projects.delete(project.id)
            project = await database.projects.add("p", "w")
    every = await database.videos.list(limit=None)
    for query in ("cat", "dog", "猫"):
        found = {video.id for video in await database.videos.search(query, limit=None)}
        assert found == {video.id for video in every if query in video.filename}
    await database.execute("INSERT INTO videos_fts (videos_fts) VALUES ('integrity-check')")
    stored = await database.fetch_one(int, "SELECT count(*) FROM videos_fts")
    assert stored == len(every)
