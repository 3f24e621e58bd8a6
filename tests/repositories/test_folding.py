"""Promises about names that look alike: composed or not, capital or small, wide or narrow, they are found."""

# ruff: noqa: RUF001 - letters that look like others are what it is about

from __future__ import annotations

import shutil
import sqlite3
import unicodedata
from contextlib import closing
from pathlib import Path
from typing import Literal, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_migrations import SCRIPTS
from test_migrations import apply as run_scripts

import reelbase
from reelbase import Database, NewSegment
from reelbase.engine.statements.search import folded
from reelbase.operations.transfer import export_lines, import_lines

NAMES = [
    "Übung.mp4",
    "Beyoncé – Déjà Vu.mkv",
    "테스트.mp4",
    "はじめまして.mp4",
    "ガラスの仮面.mkv",
    "Σίσυφος.avi",
    "Việt Nam.mov",
    "й.mp3",
    "Ångström.wav",
    "ＡＢＣ　１２３.mp4",
    "ｶﾞﾗｽ.mp4",
    "Straße.mp4",
    "ภาพยนตร์ไทย.mp4",
    "क़लम.mp3",
    "שָׁלוֹם.mp4",
    "ﷺ.mp3",
    "İSTANBUL.mp4",
    "soft\u00adhyphen.txt",
    "\u200fright to left.txt",
    "❤️.gif",
]
Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("stored", ["NFC", "NFD"])
async def test_a_name_is_found_in_whatever_form_it_is_typed(
    name: str, stored: Form, database: Database
) -> None:
    await database.profiles.ensure("ann")
    kept = unicodedata.normalize(stored, name)
    file = await database.files.add("ann", kept, "p")
    assert file.name == kept  # as it was given
    tag = await database.tags.ensure("ann", kept)
    project = await database.projects.add("p", "w")
    video = await database.videos.add(project.id, kept, "p", 1.0, 25, 1, 1, 1)
    for form in get_args(Form):
        for typed in (name, name.upper(), name.lower()):
            query = unicodedata.normalize(form, typed)
            assert await database.files.page("ann", search=query) == [file], ascii(query)
            assert await database.tags.find_by_name("ann", query) == tag, ascii(query)
            assert await database.videos.search(query) == [video], ascii(query)


async def test_a_part_of_a_name_is_found_too(database: Database) -> None:
    await database.profiles.ensure("ann")
    file = await database.files.add("ann", unicodedata.normalize("NFD", "Mein Übungsfilm"), "p")
    for query in ("übung", "ÜBUNG", "U\u0308bu", "Ｆｉｌｍ"):
        assert await database.files.page("ann", search=query) == [file]
    for query in ("Ubung", "%", "_"):
        assert await database.files.page("ann", search=query) == []


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
@example("I\u0307\u0307")
@example("\u0130\u0300")  # the dot of the capital I, and one mark more
@example("\u1fe2")  # its small letters are three characters, and one when they are composed
def test_folding_ends_and_is_blind(text: str) -> None:
    form = folded(text)
    assert folded(form) == form
    for other in ("NFC", "NFD"):
        assert folded(unicodedata.normalize(other, text)) == form


TEXTS = {
    "thai": ("นี่คือภาพยนตร์ไทย", "ภาพยนตร์"),
    "hindi": ("यह एक फ़िल्म है", "फिल्म"),
    "emoji": ("what a party 🎉", "🎉"),
    "width": ("ＨＯＬＩＤＡＹ", "holiday"),
    "mac": (unicodedata.normalize("NFD", "Übung macht den Meister"), "übung"),
}


@pytest.mark.parametrize(("text", "query"), TEXTS.values(), ids=TEXTS)
async def test_every_search_finds_it_and_shows_the_original(
    text: str, query: str, database: Database
) -> None:
    await database.profiles.ensure("ann")
    file = await database.files.add("ann", "f", "p")
    transcript = await database.transcripts.add("ann", file.id, "")
    long = "straw and hay " * 100 + text + " more straw" * 100
    await database.segments.replace_all(
        transcript.id, [NewSegment(0, 1, text), NewSegment(1, 2, long), NewSegment(2, 3, "straw")]
    )
    prompt = await database.prompts.track(text)
    started = await database.summaries.start(file.id)
    summary = await database.summaries.complete(started.id, {"a": [text]})
    hits = await database.transcripts.search("ann", query)
    assert {hit.segment.text: hit.snippet for hit in hits}.keys() == {text, long}
    for hit in hits:
        assert text in hit.snippet
        assert len(hit.snippet) <= 202
    assert await database.prompts.search(query) == [prompt]
    assert await database.summaries.search("ann", query) == [summary]


# An upgrade


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file of version 7, as that version indexed texts and compared names."""
    path = tmp_path / "old" / "media.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute("PRAGMA foreign_keys = ON")
        run_scripts(native, [(script.name, script.read_text()) for script in SCRIPTS[:7]])
        native.execute("INSERT INTO profiles (id) VALUES ('ann'), ('bob')")
        for number in range(1, 5):
            native.execute(
                "INSERT INTO files (id, profile_id, name, path) VALUES (?, 'ann', 'f', 'p')",
                (file_id(number),),
            )
        native.execute("INSERT INTO prompts (text) VALUES ('ＨＯＬＩＤＡＹ 🎬 ภาพยนตร์ไทย')")
        native.execute(
            "INSERT INTO prompts_fts (rowid, text) VALUES (1, 'ＨＯＬＩＤＡＹ 🎬 ภาพยนตร์ไทย')"
        )
        for number, (profile, name, normalized) in enumerate(
            [
                ("ann", "Ａ", "ａ"),
                ("ann", "a", "a"),
                ("bob", "Ａ", "ａ"),
                ("ann", "x", "x"),
                ("ann", "Ｙ", "ｙ"),
                ("ann", "ｙ\u200b", "ｙ\u200b"),
                ("ann", "by hand", "something else"),
                ("ann", " ", "blank"),
            ],
            start=1,
        ):
            native.execute(
                "INSERT INTO tags (id, profile_id, name, normalized_name) VALUES (?, ?, ?, ?)",
                (number, profile, name, normalized),
            )
        for file, tag in ((1, 1), (2, 1), (2, 2), (3, 2), (4, 4), (1, 5), (3, 6)):
            native.execute(
                "INSERT INTO file_tags (file_id, tag_id, profile_id) VALUES (?, ?, 'ann')",
                (file_id(file), tag),
            )
    return path


def file_id(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012}"


async def assert_found(database: Database) -> None:
    for query in ("holiday", "🎬", "ยนตร์ไทย"):
        assert len(await database.prompts.search(query)) == 1, query
    assert len(await database.files.search("ann", "f p")) == 4
    tagged = {
        name: sorted(
            int(str(file.id)[-1]) for file in await database.files.page("ann", tags=[name])
        )
        for name in ("a", "Ａ", "x", "y")
    }
    assert tagged == {"a": [1, 2, 3], "Ａ": [1, 2, 3], "x": [4], "y": [1, 3]}
    assert (await database.check(full=True)).problems == []


@pytest.mark.long
async def test_an_upgrade_indexes_again_and_merges_tags_that_are_one(old: Path) -> None:
    async with reelbase.connect(old) as database:
        await assert_found(database)
        tags = await database.tags.list_for_profile("ann")
        assert sorted((tag.name, tag.file_count) for tag in tags) == [
            (" ", 0),
            ("a", 3),
            ("by hand", 0),
            ("x", 1),
            ("Ｙ", 2),
        ]
        assert (await database.tags.find_by_name("ann", "BY HAND")) is not None
        assert [tag.name for tag in await database.tags.list_for_profile("bob")] == ["Ａ"]


@pytest.mark.long
async def test_a_tag_that_a_table_of_the_application_refers_to_stays(old: Path) -> None:
    with closing(sqlite3.connect(old)) as native, native:
        native.execute(
            "CREATE TABLE colours (tag_id INTEGER REFERENCES tags (id) ON DELETE CASCADE)"
        )
        native.execute("INSERT INTO colours VALUES (1), (2), (5), (6)")
    async with reelbase.connect(old) as database:
        await assert_found(database)
        assert await database.fetch_one(int, "SELECT count(*) FROM colours") == 4
        names = [tag.name for tag in await database.tags.list_for_profile("ann")]
        assert sorted(names) == sorted(["Ａ", "a", "x", "Ｙ", "ｙ\u200b", "by hand", " "])


@pytest.mark.long
async def test_migrations_of_the_sqlite3_program_leave_it_to_rebuild_search(old: Path) -> None:
    with closing(sqlite3.connect(old, isolation_level=None)) as native:
        run_scripts(native, [(script.name, script.read_text()) for script in SCRIPTS[7:]])
    async with reelbase.connect(old) as database:
        assert await database.prompts.search("holiday") == []
        await database.rebuild_search()
        await assert_found(database)


@pytest.mark.long
async def test_an_upgrade_that_fails_changes_no_index(old: Path, tmp_path: Path) -> None:
    before = tmp_path / "before.db"
    shutil.copyfile(old, before)
    with closing(sqlite3.connect(old)) as native, native:
        native.execute(
            "CREATE TRIGGER refused BEFORE UPDATE ON tags BEGIN SELECT RAISE(ABORT, 'mine'); END"
        )
    with pytest.raises(reelbase.DatabaseError, match="mine"):
        await reelbase.connect(old)
    with closing(sqlite3.connect(old)) as native:
        assert native.execute("PRAGMA user_version").fetchone() == (7,)
        found = native.execute(
            "SELECT count(*) FROM prompts_fts WHERE prompts_fts MATCH 'ＨＯＬＩＤＡＹ'"
        )
        assert found.fetchone() == (1,)


@pytest.mark.long
async def test_an_export_of_an_older_version_is_indexed_as_today(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.db"
    lines: list[bytes] = []
    await export_lines(old, lambda _, line: lines.append(line))
    await import_lines(new, lines)
    async with reelbase.connect(new) as database:
        await assert_found(database)
