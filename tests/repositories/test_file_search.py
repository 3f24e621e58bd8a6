"""Promises about searching files by the words of their names, folders, paths and titles."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import reelbase
from reelbase import Database, File, NewFile, UnitOfWork
from reelbase.operations.transfer import export_lines, import_lines

Look = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture(autouse=True)
async def profiles(database: Database) -> None:
    await database.profiles.ensure("ann")
    await database.profiles.ensure("bob")


async def names(holder: Database | UnitOfWork, query: str, profile_id: str = "ann") -> list[str]:
    return [file.name for file in await holder.files.search(profile_id, query)]


def in_step(look: Look) -> None:
    """Raises unless the index holds what its own table holds, and every file once."""
    look("INSERT INTO files_fts (files_fts) VALUES ('integrity-check')")
    assert look("SELECT file_id FROM file_numbers ORDER BY 1") == look(
        "SELECT id FROM files ORDER BY 1"
    )
    assert look("SELECT rowid FROM files_fts ORDER BY 1") == look(
        "SELECT id FROM file_numbers ORDER BY 1"
    )


@pytest.mark.parametrize(
    "query",
    [
        "holiday",
        "VIDEO2024 my",
        "holi",
        "my_holiday-video",
        '"holiday video2024"',
        "video2024",
        "mp4",
        "rome",
        "2026 trip",
        "trevi fountain",  # of the title
        "holiday rome trevi",  # of all of them
        "ＨＯＬＩＤＡＹ",  # noqa: RUF001
        "泉",
    ],
)
async def test_a_file_is_found_by_words_of_all_that_it_is_called(
    query: str, database: Database
) -> None:
    file = await database.files.add(
        "ann", "my_holiday-video2024 (1).mp4", "trips/rome/1.mp4", folder="2026 trip"
    )
    await database.media_info.upsert(
        file.id, title="The Trevi Fountain トレヴィの泉", author="nobody"
    )
    assert await database.files.search("ann", query) == [file]
    assert await database.files.search("bob", query) == []


@pytest.mark.parametrize(
    "query", ["", "!?", "oliday", "nobody", "holiday paris", '"video holiday"']
)
async def test_what_it_is_not_called_does_not_find_it(query: str, database: Database) -> None:
    file = await database.files.add("ann", "my_holiday-video.mp4", "p")
    await database.media_info.upsert(file.id, author="nobody")
    assert await database.files.search("ann", query) == []


async def test_a_name_is_a_better_match_than_a_path(database: Database) -> None:
    in_path = await database.files.add("ann", "a.mp4", "cat/a.mp4")
    in_name = await database.files.add("ann", "cat.mp4", "b/b.mp4")
    again = await database.files.add("ann", "cat.mp4", "b/b.mp4")
    found = await database.files.search("ann", "cat")
    assert found == [in_name, again, in_path]
    assert await database.files.search("ann", "cat", limit=1) == found[:1]
    assert await database.files.search("ann", "cat", limit=0) == []
    assert await database.files.search("ann", "cat", limit=None) == found
    with pytest.raises(ValueError, match="limit"):
        await database.files.search("ann", "cat", limit=-1)
    with pytest.raises(TypeError, match="query"):
        await database.files.search("ann", None)  # type: ignore[arg-type]


async def test_what_has_changed_is_found_by_its_new_words_only(
    database: Database, look: Look
) -> None:
    file, other = await database.files.add_many(
        "ann", [NewFile("old.mp4", "place"), NewFile("other.mp4", "place")]
    )
    await database.files.update(file.id, name="new.mp4")
    assert (await names(database, "old"), await names(database, "new")) == ([], ["new.mp4"])
    await database.files.update(file.id, folder="blue")
    await database.files.update(file.id, size_bytes=5)
    assert await names(database, "new blue place") == ["new.mp4"]
    await database.files.update_many([file.id, other.id], path="elsewhere", folder=None)
    assert sorted(await names(database, "elsewhere")) == ["new.mp4", "other.mp4"]
    assert await names(database, "place") == await names(database, "blue") == []
    in_step(look)


@pytest.mark.long
async def test_titles_come_and_go(database: Database, look: Look) -> None:
    file = await database.files.add("ann", "a.mp4", "p")
    await database.media_info.upsert(file.id, width=1)
    assert await names(database, "a") == ["a.mp4"]
    for title, words in (("Sunrise", ["sunrise"]), ("Sunset", ["sunset"]), (None, [])):
        await database.media_info.upsert(file.id, title=title)
        found = [word for word in ("sunrise", "sunset") if await names(database, word)]
        assert found == words
        assert await names(database, "a") == ["a.mp4"]
        in_step(look)
    await database.media_info.upsert(file.id, title="Sunrise")
    await database.media_info.upsert(file.id, width=2)
    assert await names(database, "sunrise a") == ["a.mp4"]
    await database.media_info.delete(file.id)
    assert (await names(database, "sunrise"), await names(database, "a")) == ([], ["a.mp4"])
    assert not await database.media_info.delete(file.id, missing_ok=True)
    in_step(look)


async def test_what_is_deleted_is_not_found(database: Database, look: Look) -> None:
    for profile in ("ann", "bob"):
        await database.files.add_many(
            profile, [NewFile(f"cat {number}.mp4", "p") for number in range(4)]
        )
    files = await database.files.search("ann", "cat")
    await database.media_info.upsert(files[0].id, title="dog")
    await database.files.delete(files[0].id)
    await database.files.delete_many([files[1].id])
    assert len(await names(database, "cat")) == 2
    assert await names(database, "dog") == []
    in_step(look)
    await database.profiles.delete("ann")  # a cascade
    assert (await names(database, "cat"), len(await names(database, "cat", "bob"))) == ([], 4)
    in_step(look)


async def test_what_a_unit_undoes_is_not_found(database: Database, look: Look) -> None:
    file = await database.files.add("ann", "cat", "p")
    async with database.transaction() as unit:
        await unit.files.add("ann", "dog", "p")
        await unit.files.update(file.id, name="bird")
        assert await names(unit, "dog") == ["dog"]
        assert await names(unit, "bird") == ["bird"]
        assert await names(unit, "cat") == []
        await unit.rollback()
    assert await names(database, "cat") == ["cat"]
    assert await names(database, "dog") == await names(database, "bird") == []
    in_step(look)


async def test_a_file_that_is_refused_leaves_no_words(database: Database, look: Look) -> None:
    with pytest.raises(reelbase.ConstraintError):
        await database.files.add("nobody", "cat", "p")
    with pytest.raises(reelbase.ConstraintError):
        await database.files.add_many(
            "ann", [NewFile("cat", "p"), NewFile("cat", "p", size_bytes=-1)]
        )
    assert await names(database, "cat") == []
    in_step(look)


async def test_what_other_programs_write_is_found_after_a_rebuild(
    database: Database, path: Path, look: Look
) -> None:
    mine = await database.files.add("ann", "mine", "p")
    other = await database.files.add("ann", "other", "p")
    await database.media_info.upsert(other.id, title="before")
    with closing(sqlite3.connect(path, isolation_level=None)) as prompt:
        prompt.execute("PRAGMA foreign_keys = ON")
        prompt.execute("UPDATE files SET name = 'yours' WHERE id = ?", (str(mine.id),))
        prompt.execute("UPDATE media_info SET title = 'after'")
        prompt.execute(
            "INSERT INTO files (id, profile_id, name, path)"
            " VALUES ('00000000-0000-7000-8000-000000000001', 'ann', 'newcomer', 'p')"
        )
    assert await names(database, "mine") == await names(database, "before") == []
    await database.rebuild_search()
    assert await names(database, "yours") == ["yours"]
    assert await names(database, "after other") == ["other"]
    assert await names(database, "newcomer") == ["newcomer"]
    in_step(look)
    assert await database.files.rebuild_search() == 3


@pytest.mark.long
async def test_vacuum_export_and_import_keep_it(
    database: Database, path: Path, tmp_path: Path, look: Look
) -> None:
    await database.files.add_many("ann", [NewFile(f"cat {number}", "p") for number in range(9)])
    for file in (await database.files.list_for_profile("ann"))[::2]:
        await database.files.delete(file.id)
    kept = await names(database, "cat")
    await database.vacuum()
    assert await names(database, "cat") == kept
    in_step(look)
    lines: list[bytes] = []
    await export_lines(path, lambda _, line: lines.append(line))
    await import_lines(tmp_path / "new.db", lines)
    async with reelbase.connect(tmp_path / "new.db") as new:
        assert sorted(await names(new, "cat")) == sorted(kept)
        await new.files.add("ann", "cat 10", "p")
        assert len(await names(new, "cat")) == len(kept) + 1
        assert (await new.check(full=True)).problems == []


@pytest.mark.long
async def test_an_index_that_is_damaged_or_missing_is_repaired(tmp_path: Path) -> None:
    file = tmp_path / "damaged.db"
    async with reelbase.connect(file) as database:
        await database.profiles.ensure("ann")
        await database.files.add_many("ann", [NewFile(f"cat {number}", "p") for number in range(9)])
    with closing(sqlite3.connect(file)) as native, native:
        native.execute("DELETE FROM files_fts_data WHERE id > 10")
        native.execute("DROP TABLE file_numbers")
    report = await reelbase.repair(file)
    assert report.problems == []
    async with reelbase.connect(file) as database:
        assert len(await names(database, "cat")) == 9
        assert (await database.check(full=True)).problems == []
        added = await database.files.add("ann", "cat 10", "p")
        assert added in await database.files.search("ann", "cat")


@pytest.mark.long
async def test_of_very_many_matches_the_newest_are_ranked(database: Database) -> None:
    await database.files.add_many("ann", [NewFile("cat", str(number)) for number in range(10_001)])
    found = await database.files.search("ann", "cat", limit=None)
    assert len(found) == 10_000
    assert "0" not in [file.path for file in found]


@pytest.mark.long
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["add", "rename", "title", "untitle", "delete", "undo", "cascade"]),
            st.sampled_from(["cat", "dog", "猫", "", "café cat", "\0"]),
            st.integers(0, 9),
        ),
        max_size=12,
    )
)
async def test_whatever_happens_the_index_keeps_step(
    steps: list[tuple[str, str, int]], database: Database
) -> None:
    await database.profiles.ensure("ann")
    for what, text, which in steps:
        files: list[File] = await database.files.list_for_profile("ann")
        chosen = files[which % len(files)].id if files else None
        if what == "add" or chosen is None:
            await database.files.add("ann", text, "p")
        elif what == "rename":
            await database.files.update(chosen, name=text)
        elif what == "title":
            await database.media_info.upsert(chosen, title=text)
        elif what == "untitle":
            await database.media_info.delete(chosen, missing_ok=True)
        elif what == "delete":
            await database.files.delete(chosen)
        elif what == "undo":
            async with database.transaction() as unit:
                await unit.media_info.upsert(chosen, title=text)
                await unit.files.delete(chosen)
                await unit.files.add("ann", text, "p")
                await unit.rollback()
        else:
            await database.profiles.delete("ann")
            await database.profiles.ensure("ann")
    texts = {}
    for file in await database.files.list_for_profile("ann"):
        info = await database.media_info.find(file.id)
        texts[file.id] = f"{file.name} {info.title if info else ''}"
    for query in ("cat", "dog", "猫"):
        found = {file.id for file in await database.files.search("ann", query, limit=None)}
        assert found == {id for id, text in texts.items() if query in text}
    await database.execute("INSERT INTO files_fts (files_fts) VALUES ('integrity-check')")
    assert await database.fetch_one(int, "SELECT count(*) FROM files_fts") == len(texts)
    await database.profiles.delete("ann")
