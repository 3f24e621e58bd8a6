"""Promises about check, stats, optimize, vacuum and checkpoint."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import Database, DatabaseBusyError, DatabaseClosedError, DatabaseFullError

FILE = (
    "INSERT INTO files (id, profile_id, name, path) "
    "VALUES ('10000000-0000-7000-8000-000000000000', 'p', '', '')"
)


def change(path: Path, *statements: str) -> None:
    """Runs SQL as another program would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        for statement in statements:
            native.execute(statement)


_HOLD = """
import sqlite3, sys
native = sqlite3.connect(sys.argv[1])
native.execute("SELECT count(*) FROM sqlite_schema").fetchone()
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def open_elsewhere(path: Path) -> Iterator[None]:
    """Another process has the database open inside the block."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        yield
        other.stdin.close()
        other.wait()


# check


async def test_a_sound_database_has_no_problems(database: Database, journal: str) -> None:
    project = await database.projects.add("p", "/w")
    await database.videos.add(project.id, "holiday.mp4", "/v", 1.0, 25, 1, 1, 1)
    report = await database.check()
    assert report.problems == []
    assert report.ok
    assert report.journal_mode == journal
    assert report.sqlite_version == sqlite3.sqlite_version
    assert report.schema_version == reelbase.SCHEMA_VERSION


async def test_a_damaged_page_is_found(path: Path, journal: Any) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        await database.profiles.ensure("p")
    with closing(sqlite3.connect(path)) as native:
        (root,) = native.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'files_newest'"
        ).fetchone()
        (page_size,) = native.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * page_size)
        file.write(b"\x5a" * page_size)
    async with reelbase.connect(path, journal=journal) as database:
        report = await database.check()
    assert not report.ok
    assert any(problem.startswith("damaged: ") for problem in report.problems)


async def test_a_reference_to_nothing_is_found(database: Database, path: Path) -> None:
    change(path, "PRAGMA foreign_keys = OFF", FILE)
    report = await database.check()
    assert not report.ok
    assert report.problems == ["row 1 of files refers to a row of profiles that is not there"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("statements", "named"),
    [
        (["DROP INDEX files_newest"], "index files_newest on files is missing"),
        (
            [
                "DROP TRIGGER videos_fts_delete",
                "CREATE TRIGGER videos_fts_delete AFTER DELETE ON videos BEGIN SELECT 1; END",
            ],
            "trigger videos_fts_delete on videos",
        ),
    ],
)
async def test_a_schema_that_another_program_changed_is_found(
    statements: list[str], named: str, database: Database, path: Path
) -> None:
    change(path, *statements)
    report = await database.check()
    assert not report.ok
    (problem,) = report.problems
    assert problem.startswith(named)


async def test_a_journal_mode_that_another_program_changed_is_found(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reelbase.connect(path, journal="delete") as database:
        change(path, "PRAGMA journal_mode = WAL")
        report = await database.check()
        assert not report.ok
        assert len(report.problems) == 1
        assert "the journal mode is wal, but delete was decided on" in report.problems[0]
        assert report.journal_mode == "wal"


@pytest.mark.long
@pytest.mark.parametrize(
    "index", ["files_fts", "videos_fts", "prompts_fts", "transcript_segments_fts", "summaries_fts"]
)
async def test_a_damaged_search_index_is_found_and_mended(
    index: str, database: Database, path: Path
) -> None:
    project = await database.projects.add("p", "/w")
    await database.videos.add(project.id, "holiday.mp4", "/v", 1.0, 25, 1, 1, 1)
    await database.prompts.track("waltz")
    await database.profiles.ensure("p")
    file = await database.files.add("p", "name", "path")
    transcript = await database.transcripts.add("p", file.id, "text")
    await database.segments.replace_all(transcript.id, [reelbase.NewSegment(0.0, 1.0, "tango")])
    summary = await database.summaries.start(file.id)
    await database.summaries.complete(summary.id, {"text": "waltz"})
    change(path, f"DELETE FROM {index}_content")
    report = await database.check()
    assert not report.ok
    assert [problem for problem in report.problems if f"search index {index} is" in problem]
    await database.rebuild_search()
    assert (await database.check()).ok


async def test_a_search_index_of_the_users_own_is_checked_too(
    database: Database, path: Path
) -> None:
    await database.execute('CREATE VIRTUAL TABLE "my ""notes" USING FTS5 (text)')
    await database.execute('INSERT INTO "my ""notes" VALUES (\'hello\')')
    assert (await database.check()).ok
    change(path, 'DELETE FROM "my ""notes_content"')
    (problem,) = (await database.check()).problems
    assert 'search index my "notes is damaged' in problem


@pytest.mark.long
async def test_a_search_index_that_only_another_program_can_read_is_a_warning(
    path: Path, journal: Any
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        await database.execute("CREATE VIRTUAL TABLE notes USING fts5 (text, tokenize = ascii)")
    change(
        path,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, 'ascii', 'thai') WHERE name = 'notes'",
    )
    async with reelbase.connect(path, journal=journal) as database:
        report = await database.check()
        assert report.ok
        assert [warning for warning in report.warnings if "notes could not be checked" in warning]
        await database.stats()


@pytest.mark.long
@pytest.mark.parametrize(
    ("version", "is_known_bad"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
async def test_a_known_bug_of_sqlite_is_told_while_another_process_has_the_file_open(
    version: tuple[int, int, int],
    is_known_bad: bool,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    for journal in ("wal", "delete"):  # it is a bug of write-ahead logs
        async with reelbase.connect(path, journal=journal) as database:
            assert (await database.check()).warnings == []
            with open_elsewhere(path):
                report = await database.check()
            assert report.ok
            assert len(report.warnings) == (is_known_bad and journal == "wal")
            assert (await database.check()).warnings == []


@pytest.mark.long
def test_the_command_tells_of_it_while_two_others_have_the_file_open(
    path: Path, monkeypatch: pytest.MonkeyPatch, facts: Callable[..., Any]
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 40, 1))
    with closing(sqlite3.connect(path)) as native:
        native.execute("PRAGMA journal_mode = WAL").close()
    with open_elsewhere(path):
        assert facts("check", path)["warnings"] == []
        with open_elsewhere(path):
            (warning,) = facts("check", path)["warnings"]
            assert "WAL-reset bug" in warning


@pytest.mark.long
async def test_in_memory_too() -> None:
    async with reelbase.connect(":memory:") as database:
        await database.profiles.ensure("p")
        report = await database.check()
        assert (report.ok, report.journal_mode) == (True, "memory")
        stats = await database.stats()
        assert (stats.rows["profiles"], stats.wal_bytes) == (1, 0)
        await database.optimize()
        await database.vacuum()
        assert await database.checkpoint()


# stats


async def test_stats_count_the_rows_of_every_table(database: Database, path: Path) -> None:
    await database.profiles.ensure("p")
    await database.execute('CREATE TABLE "my ""notes" (text TEXT)')
    await database.execute('INSERT INTO "my ""notes" VALUES (1), (2)')
    stats = await database.stats()
    assert stats.rows["profiles"] == 1
    assert stats.rows["files"] == 0
    assert stats.rows['my "notes'] == 2
    assert not [name for name in stats.rows if "_fts" in name or name.startswith("sqlite_")]
    assert list(stats.rows) == sorted(stats.rows)
    assert stats.size_bytes == stats.page_count * stats.page_size_bytes
    assert stats.schema_version == reelbase.SCHEMA_VERSION
    await database.checkpoint()
    assert os.stat(path).st_size == stats.size_bytes


async def test_stats_tell_the_size_of_the_write_ahead_log(path: Path) -> None:
    async with reelbase.connect(path, journal="wal") as database:
        await database.profiles.ensure("p")
        assert (await database.stats()).wal_bytes == os.stat(f"{path}-wal").st_size > 0
        await database.checkpoint()
        assert (await database.stats()).wal_bytes == 0
    async with reelbase.connect(path, journal="delete") as database:
        await database.profiles.ensure("q")
        assert (await database.stats()).wal_bytes == 0


# optimize


@pytest.mark.long
async def test_optimize_merges_search_indexes(database: Database) -> None:
    project = await database.projects.add("p", "/w")
    for number in range(40):
        await database.videos.add(project.id, f"{number}.mp4", "/v", 1.0, 25, 1, 1, 1)
    segments = "SELECT count(DISTINCT segid) FROM videos_fts_idx"
    assert await database.fetch_one(int, segments) > 1
    await database.optimize()
    assert await database.fetch_one(int, segments) == 1
    assert len(await database.videos.search("mp4")) == 40
    assert (await database.check()).ok


# vacuum


async def test_vacuum_gives_room_back_and_keeps_everything(database: Database, path: Path) -> None:
    await database.profiles.ensure("p")
    await database.execute("CREATE TABLE junk (text TEXT)")
    await database.execute("INSERT INTO junk VALUES (hex(randomblob(1000000)))")
    await database.execute("DROP TABLE junk")
    before = await database.stats()
    await database.vacuum()
    after = await database.stats()
    assert after.size_bytes < before.size_bytes - 1_900_000
    assert after.wal_bytes == 0
    assert os.stat(path).st_size == after.size_bytes
    assert after.rows == before.rows
    assert await database.profiles.exists("p")
    assert await database._writer.call(
        lambda native: native.execute("PRAGMA temp_store").fetchone()
    ) == (2,)


async def test_vacuum_is_refused_before_it_begins_where_there_is_no_room(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage("/"))(100, 100, 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(DatabaseFullError) as caught:
        await database.vacuum()
    assert caught.value.details["free"] == 0
    await database.profiles.ensure("p")


async def test_vacuum_does_not_run_inside_a_unit_of_work(path: Path, journal: Any) -> None:
    async with reelbase.connect(path, journal=journal, busy_timeout=0.05) as database:
        async with database.transaction() as unit:
            await unit.profiles.ensure("p")
            with pytest.raises(DatabaseBusyError):
                await asyncio.create_task(database.vacuum())
        assert await database.profiles.exists("p")
        await database.vacuum()


@pytest.mark.long
async def test_writers_go_on_after_a_vacuum_that_waited_between_them(database: Database) -> None:
    await database.profiles.ensure("p")
    results = await asyncio.gather(
        *(database.files.add("p", str(number), "") for number in range(50)),
        database.vacuum(),
        *(database.files.add("p", str(number), "") for number in range(50)),
    )
    assert len(results) == 101
    assert await database.files.count_for_profile("p") == 100


# checkpoint


async def test_a_checkpoint_that_a_reader_holds_up_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelbase.database._CHECKPOINT_SECONDS", 0.05)
    async with reelbase.connect(path, journal="wal") as database:
        await database.profiles.ensure("p")
        async with database.snapshot() as view:
            await database.profiles.ensure("q")
            assert not await database.checkpoint()
            assert not await view.profiles.exists("q")
        assert await database.checkpoint()
        assert (await database.stats()).wal_bytes == 0


@pytest.mark.parametrize(
    "verb", ["check", "stats", "optimize", "vacuum", "checkpoint", "rebuild_search"]
)
async def test_a_closed_database_refuses(verb: str, path: Path) -> None:
    async with reelbase.connect(path) as database:
        pass
    with pytest.raises(DatabaseClosedError):
        await getattr(database, verb)()
