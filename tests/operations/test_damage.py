"""What check, backup, migrate, optimize and rebuild_search say and do about a damaged file."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from damaging import change_page, pages_of, take_out_of_index

import reelbase
from reelbase import Database, DatabaseCorruptError, NewSegment
from reelbase.cli.main import main
from reelbase.engine.schema import chain, ledger
from reelbase.engine.schema.source import APPLICATION_ID, statements_of

SEARCHED = "transcript_segments_fts"


async def fill(path: Path, journal: Any, segments: int = 3000) -> None:
    """Files, and a search index with pages enough to damage some."""
    async with reelbase.connect(path, journal=journal) as database:
        await database.profiles.ensure("anna")
        await database.files.add_many(
            "anna", [reelbase.NewFile(f"f{number}", f"p{number}") for number in range(300)]
        )
        (file,) = await database.files.list_for_profile("anna", limit=1)
        transcript = await database.transcripts.add("anna", file.id, "")
        await database.segments.replace_all(
            transcript.id,
            [NewSegment(n, n + 1, f"word{n} again{n % 7}") for n in range(segments)],
        )
        await database.profiles.ensure("bert")


def version_5(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute("BEGIN")
        for migration in chain.migrations()[:5]:
            for statement in statements_of(migration.sql):
                native.execute(statement)
            ledger.record(native, migration)
        native.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        native.execute("PRAGMA user_version = 5")
        native.execute("INSERT INTO profiles (id) VALUES ('anna')")
        native.executemany(
            "INSERT INTO files (id, profile_id, name, path) VALUES (?, 'anna', ?, '')",
            [(f"10000000-0000-7000-8000-{n:012}", f"f{n}") for n in range(50)],
        )
        native.execute("COMMIT")


# check


async def test_an_index_that_lost_a_row_is_found_by_a_full_check_only(
    path: Path, journal: Any
) -> None:
    await fill(path, journal, 10)
    take_out_of_index(path, "files_newest", "name <> 'f7'")
    async with reelbase.connect(path, journal=journal) as database:
        assert len(await database.files.list_for_profile("anna")) == 299  # a wrong result
        quick, full = await database.check(), await database.check(full=True)
    assert quick.ok
    assert "indexes" not in quick.looked_at
    assert not full.ok
    assert "indexes" in full.looked_at
    assert any("missing from index files_newest" in problem for problem in full.problems)
    assert "an index of table files is damaged; its rows can be read" in full.problems
    assert full.advice is not None
    assert full.advice.startswith("no row is lost")
    assert f"reelbase repair {path}" in full.advice


async def test_a_damaged_table_is_told_from_a_damaged_index(path: Path, journal: Any) -> None:
    await fill(path, journal, 10)
    copy = Path(shutil.copy(path, path.with_name("copy.db")))
    change_page(path, pages_of(path, "files")[1])
    change_page(copy, pages_of(copy, "files_newest")[1])
    async with reelbase.connect(path, journal=journal) as database:
        table = await database.check()
    async with reelbase.connect(copy, journal=journal) as database:
        index = await database.check()
    assert "the table files is damaged; rows of it may be lost" in table.problems
    assert table.advice is not None
    assert table.advice.startswith("rows may be lost")
    assert "restore a backup" in table.advice
    assert "an index of table files is damaged; its rows can be read" in index.problems
    assert index.advice is not None
    assert index.advice.startswith("no row is lost")


async def test_rows_that_only_indexes_have_are_no_matter_of_indexes(
    path: Path, journal: Any
) -> None:
    """A page of the table that was not written: it is valid, and older than the indexes."""
    async with reelbase.connect(path, journal=journal) as database:
        await database.profiles.ensure("anna")
        await database.files.add("anna", "old", "")
    (leaf,) = pages_of(path, "files")
    kept: list[bytes] = []
    change_page(path, leaf, lambda page: kept.append(page) or page)  # type: ignore[func-returns-value]
    async with reelbase.connect(path, journal=journal) as database:
        await database.files.add("anna", "new", "")
    change_page(path, leaf, lambda page: kept[0])
    async with reelbase.connect(path, journal=journal) as database:
        report = await database.check(full=True)
    assert "the table files lacks rows that its indexes have" in report.problems
    assert report.advice is not None
    assert report.advice.startswith("rows may be lost")


async def test_a_sound_database_is_sound_in_full(database: Database) -> None:
    await database.profiles.ensure("anna")
    report = await database.check(full=True)
    assert (report.ok, report.problems, report.advice) == (True, [], None)


@pytest.mark.long
@pytest.mark.parametrize("part", ["data", "idx", "content", "docsize"])
async def test_a_damaged_page_of_a_search_index_is_found_and_mended(
    part: str, path: Path, journal: Any
) -> None:
    await fill(path, journal)
    change_page(path, pages_of(path, f"{SEARCHED}_{part}")[-1])
    async with reelbase.connect(path, journal=journal) as database:
        report = await database.check()
        assert not report.ok
        assert any(f"the search index {SEARCHED} is damaged" in text for text in report.problems)
        await database.profiles.ensure("carl")  # check() has left no broken transaction behind
        await database.rebuild_search()
        assert (await database.check(full=True)).problems == []
        (transcript,) = await database.transcripts.list_for_profile("anna")
        hits = await database.transcripts.search("anna", "word2345")
        assert [hit.segment.transcript_id for hit in hits] == [transcript.id]
        assert len(await database.videos.search("x")) == 0


@pytest.mark.long
async def test_a_search_index_of_the_application_whose_texts_differ_from_its_table(
    database: Database, path: Path
) -> None:
    await database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
    await database.execute(
        "CREATE VIRTUAL TABLE notes_search USING fts5 (text, content = notes, content_rowid = id)"
    )
    await database.execute("INSERT INTO notes (text) VALUES ('waltz')")
    assert (await database.check()).ok
    report = await database.check(full=True)
    (problem,) = report.problems
    assert "the search index notes_search is damaged" in problem
    assert "reelbase repair" in problem


@pytest.mark.long
async def test_writes_beside_one_that_meets_damage_are_stored(path: Path, journal: Any) -> None:
    await fill(path, journal)
    change_page(path, pages_of(path, f"{SEARCHED}_idx")[-1])
    change_page(path, pages_of(path, f"{SEARCHED}_data")[-1])
    async with reelbase.connect(path, journal=journal) as database:
        outcomes = await asyncio.gather(
            database.profiles.ensure("carl"),
            database.segments.rebuild_search(),
            database.profiles.ensure("dora"),
            return_exceptions=True,
        )
        assert isinstance(outcomes[1], DatabaseCorruptError)
        assert isinstance(outcomes[0], reelbase.Profile)
        assert isinstance(outcomes[2], reelbase.Profile)
        assert await database.profiles.count() == 4


@pytest.mark.long
async def test_optimize_names_a_damaged_search_index_and_merges_the_others(
    path: Path, journal: Any
) -> None:
    await fill(path, journal)
    async with reelbase.connect(path, journal=journal) as database:
        project = await database.projects.add("p", "/w")
        for number in range(40):
            await database.videos.add(project.id, f"{number}.mp4", "/v", 1.0, 25, 1, 1, 1)
        await database.segments.rebuild_search()
        await database.execute("CREATE TABLE note (text TEXT)")
        await database.execute("INSERT INTO note VALUES ('')")
    for page in pages_of(path, f"{SEARCHED}_data"):
        change_page(path, page)
    async with reelbase.connect(path, journal=journal) as database:
        with pytest.raises(DatabaseCorruptError, match=SEARCHED) as caught:
            await database.optimize()
        assert SEARCHED in caught.value.details["damaged"]
        assert not [
            name for name in caught.value.details["damaged"] if "transcript_segments" not in name
        ]
        assert await database.fetch_all(str, "SELECT tbl FROM sqlite_stat1") == ["note"]
        merged = "SELECT count(DISTINCT segid) FROM videos_fts_idx"
        assert await database.fetch_one(int, merged) == 1


# No circle: each command names the one that mends the file.


def damage_index(path: Path) -> None:
    take_out_of_index(path, "files_newest", "name <> 'f7'")


def damage_table(path: Path) -> None:
    change_page(path, pages_of(path, "files")[0])


@pytest.mark.long
@pytest.mark.parametrize(
    ("damage", "hint"),
    [(damage_index, "No row is lost"), (damage_table, "Rows may be lost")],
)
async def test_a_copy_of_a_damaged_file_is_refused_with_what_mends_it(
    damage: Callable[[Path], None], hint: str, path: Path, tmp_path: Path, journal: Any
) -> None:
    await fill(path, journal, 10)
    damage(path)
    async with reelbase.connect(path, journal=journal) as database:
        with pytest.raises(DatabaseCorruptError) as caught:
            await database.backup(tmp_path / "copy.db")
    assert hint in str(caught.value)
    assert f"reelbase repair {path}" in str(caught.value)
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.long
@pytest.mark.parametrize(
    ("damage", "hint"),
    [(damage_index, "No row is lost"), (damage_table, "Rows may be lost")],
)
async def test_an_older_file_is_not_migrated_and_says_what_mends_it(
    damage: Callable[[Path], None], hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "old.db"
    version_5(path)
    damage(path)
    with pytest.raises(DatabaseCorruptError) as caught:
        await reelbase.migrate(path)
    assert hint in str(caught.value)
    assert f"reelbase repair {path}" in str(caught.value)
    with pytest.raises(DatabaseCorruptError, match="reelbase repair"):
        await reelbase.connect(path)


@pytest.mark.long
def test_the_command_checks_an_older_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "old.db"
    version_5(path)
    assert main(["check", str(path), "--full"]) == 0
    assert "is sound (schema 5" in capsys.readouterr().out
    damage_index(path)
    assert main(["check", str(path)]) == 0
    assert "not at indexes, which --full does" in capsys.readouterr().out
    assert main(["check", str(path), "--full"]) == 1
    output = capsys.readouterr().out
    assert "missing from index files_newest" in output
    assert f"reelbase repair {path}" in output


def test_the_command_reports_a_file_that_cannot_be_opened(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_page(path, 1)
    assert main(["check", str(path)]) == 1
    output = capsys.readouterr().out
    assert "problem: damaged: file is not a database" in output
    assert f"reelbase repair {path}" in output


async def test_a_copy_that_the_disk_damages_is_not_blamed_on_the_database(
    path: Path, tmp_path: Path, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelbase.engine.copies.backup.is_undamaged", lambda native: False)
    async with reelbase.connect(path, journal=journal) as database:
        with pytest.raises(DatabaseCorruptError, match="although the database is sound"):
            await database.backup(tmp_path / "copy.db")
