"""Promises about repair(): what it mends, what it names as lost, and what it never touches."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from damaging import PAGE_BYTES, change_page, pages_of, take_out_of_index
from test_damage import damage_index, damage_table, fill, version_5

import reelbase
from reelbase import DatabaseBusyError, DatabaseIOError, NewFile, NewSegment, SchemaError
from reelbase.cli.main import main
from reelbase.operations import repair as repair_module

SEARCHED = "transcript_segments_fts"


@pytest.fixture
async def filled(path: Path) -> Path:
    await fill(path, "delete", 300)
    return path


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as native:
        return native.execute(sql).fetchall()


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        for statement in statements:
            native.execute(statement)


async def sound(path: Path) -> None:
    async with reelbase.connect(path) as database:
        assert (await database.check(full=True)).problems == []


def beside(path: Path) -> list[str]:
    return sorted(name for name in os.listdir(path.parent) if name.startswith(path.name))


# A sound file.


async def test_a_sound_file_is_left_alone(filled: Path) -> None:
    before, content = os.stat(filled), content_of(filled)
    report = await reelbase.repair(filled)
    assert report == reelbase.RepairReport(None, [], [], {}, [])
    after = os.stat(filled)
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert content_of(filled) == content
    assert beside(filled) == ["media.db"]


async def test_a_sound_older_file_is_left_alone(tmp_path: Path) -> None:
    version_5(tmp_path / "old.db")
    assert (await reelbase.repair(tmp_path / "old.db")).copy is None


# Damage that costs no row.


@pytest.mark.long
@pytest.mark.parametrize("page", [None, 1])
async def test_damaged_indexes_are_made_again_and_nothing_is_lost(
    page: int | None, filled: Path
) -> None:
    if page is None:
        damage_index(filled)
    else:
        change_page(filled, pages_of(filled, "files_newest")[page])
    content = content_of(filled)
    report = await reelbase.repair(filled)
    assert report.lost == []
    assert any("files_newest" in text for text in report.mended)
    assert report.copy is not None
    assert content_of(report.copy) == content
    assert len(rows(filled, "SELECT 1 FROM files INDEXED BY files_newest")) == 300
    await sound(filled)


@pytest.mark.long
@pytest.mark.parametrize("part", ["data", "idx", "content", "docsize", "config"])
async def test_a_search_index_is_made_from_nothing(part: str, filled: Path) -> None:
    change_page(filled, pages_of(filled, f"{SEARCHED}_{part}")[-1])
    report = await reelbase.repair(filled)
    assert report.lost == []
    assert f"search index {SEARCHED} rebuilt" in report.mended
    async with reelbase.connect(filled) as database:
        assert len(await database.transcripts.search("anna", "word234")) == 1


@pytest.mark.long
async def test_damaged_rows_of_a_search_index_are_mended(filled: Path) -> None:
    change(filled, f"DELETE FROM {SEARCHED}_content WHERE id % 2")
    report = await reelbase.repair(filled)
    assert (report.lost, report.mended) == ([], [f"search index {SEARCHED} rebuilt"])
    await sound(filled)


def break_page_1(path: Path) -> None:
    change_page(path, 1)


def break_header(path: Path) -> None:
    change_page(path, 1, lambda page: b"\0" * 100 + page[100:])


def break_page_count(path: Path) -> None:
    change_page(path, 1, lambda page: page[:28] + b"\0\0\0\7" + page[32:])


def break_free_list(path: Path) -> None:
    change_page(path, 1, lambda page: page[:32] + b"\0\0\0\5\0\0\0\3" + page[40:])


def break_version(path: Path) -> None:
    change_page(path, 1, lambda page: page[:60] + b"\0\0\0\2" + page[64:])


def break_application_id(path: Path) -> None:
    change_page(path, 1, lambda page: page[:68] + b"nope" + page[72:])


def break_schema(path: Path) -> None:
    for page in pages_of(path, "sqlite_schema")[::2]:
        change_page(path, page)


def break_roots(path: Path) -> None:
    """Every interior page of tables and indexes."""
    for name in ("files", "transcript_segments", "files_newest", "transcript_segments_in_order"):
        for page in pages_of(path, name, "internal"):
            change_page(path, page)


def break_counters(path: Path) -> None:
    change_page(path, pages_of(path, "sqlite_sequence")[0])


def break_ledger(path: Path) -> None:
    change_page(path, pages_of(path, "schema_migrations")[0])


def add_garbage(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\x5a" * (3 * PAGE_BYTES + 17))


@pytest.mark.long
@pytest.mark.parametrize(
    "damage",
    [
        break_page_1,
        break_header,
        break_page_count,
        break_free_list,
        break_version,
        break_application_id,
        break_schema,
        break_roots,
        break_counters,
        break_ledger,
        add_garbage,
    ],
)
async def test_what_is_no_row_is_mended_without_losing_one(
    damage: Callable[[Path], None], filled: Path
) -> None:
    tables = ("files", "profiles", "transcripts", "transcript_segments", "database_identity")
    columns = {"database_identity": "id, database_id"}
    selects = [f"SELECT {columns.get(table, '*')} FROM {table} ORDER BY 1" for table in tables]
    before = [rows(filled, select) for select in selects]
    damage(filled)
    content = content_of(filled)
    report = await reelbase.repair(filled)
    assert report.rows_lost == {}
    assert report.problems == []
    if report.copy is None:
        assert damage is add_garbage  # SQLite does not mind
        return
    assert report.mended
    assert content_of(report.copy) == content
    assert [rows(filled, select) for select in selects] == before
    await sound(filled)
    async with reelbase.connect(filled) as database:
        (transcript,) = await database.transcripts.list_for_profile("anna")
        await database.segments.replace_all(transcript.id, [NewSegment(0, 1, "x")])
        (added,) = await database.segments.page(transcript.id)
        assert added.id == 301  # an id that was given is not given again


# Damage that costs rows.


@pytest.mark.long
async def test_a_damaged_leaf_loses_its_own_rows_and_names_them(filled: Path) -> None:
    before = {id for (id,) in rows(filled, "SELECT id FROM files")}
    change_page(filled, pages_of(filled, "files")[2])
    content = content_of(filled)
    report = await reelbase.repair(filled)
    after = {id for (id,) in rows(filled, "SELECT id FROM files")}
    lost = before - after
    assert 10 < len(lost) < 60
    assert report.rows_lost == {"files": len(lost)}
    assert {text.split(":")[0] for text in report.lost} == {f"files {id}" for id in lost}
    assert report.copy is not None
    assert content_of(report.copy) == content
    await sound(filled)


def torn(page: bytes) -> bytes:
    """Only the first sector of a write came to the disk."""
    return page[:512].ljust(len(page), b"\0")


@pytest.mark.long
async def test_a_torn_page_above_the_leaves_loses_no_row(filled: Path) -> None:
    before = rows(filled, "SELECT * FROM files ORDER BY id")
    for page in pages_of(filled, "files", "internal"):
        change_page(filled, page, torn)
    report = await reelbase.repair(filled)
    assert report.lost == []
    assert rows(filled, "SELECT * FROM files ORDER BY id") == before
    await sound(filled)


@pytest.mark.long
async def test_rows_of_tables_whose_definitions_are_lost_are_counted(filled: Path) -> None:
    for number in range(12):
        change(
            filled,
            f"CREATE TABLE mine_{number} (name TEXT, {', '.join(f'a_{n}' for n in range(40))})",
            f"INSERT INTO mine_{number} (name) VALUES ('one'), ('two'), ('three')",
        )
    change_page(filled, pages_of(filled, "sqlite_schema")[-1])
    report = await reelbase.repair(filled)
    kept = rows(filled, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'mine%'")[0][0]
    assert kept < 12
    (sentence,) = report.lost
    assert f"{3 * (12 - kept)} rows on {12 - kept} pages" in sentence
    assert report.copy is not None
    await sound(filled)


async def test_rows_whose_values_indexes_have_are_read_from_these(filled: Path) -> None:
    before = rows(filled, "SELECT * FROM profiles ORDER BY id")
    change_page(filled, pages_of(filled, "profiles")[0])
    report = await reelbase.repair(filled)
    assert (report.lost, report.rows_lost) == ([], {})
    assert "profiles: 2 rows read from its indexes" in report.mended
    assert rows(filled, "SELECT * FROM profiles ORDER BY id") == before


@pytest.mark.long
async def test_a_row_that_keeps_its_beginning_keeps_what_hangs_on_it(filled: Path) -> None:
    async with reelbase.connect(filled) as database:
        (transcript,) = await database.transcripts.list_for_profile("anna")
        await database.transcripts.update(transcript.id, text="é" * 20_000)
    change_page(filled, pages_of(filled, "transcripts", "overflow")[3])
    report = await reelbase.repair(filled)
    (loss,) = report.lost
    assert loss.startswith(
        f"transcripts {transcript.id}: kept without llm_explanation, language and "
    )
    assert report.rows_lost == {}
    (text,) = rows(filled, "SELECT text FROM transcripts")[0]
    assert f"with the first {len(text):,} characters of text" in loss
    assert 4_000 < len(text) < 20_000
    assert set(text) == {"é"}
    assert len(rows(filled, "SELECT 1 FROM transcript_segments")) == 300
    await sound(filled)


@pytest.mark.long
async def test_rows_whose_parent_is_lost_go_the_way_of_their_foreign_key(filled: Path) -> None:
    async with reelbase.connect(filled) as database:
        *_, file = await database.files.list_for_profile("anna")  # on the first page
        speaker = await database.speakers.ensure(file.id, "A")
        other = await database.files.add("anna", "made of it", "", source_file_id=file.id)
        transcript = await database.transcripts.add("anna", file.id, "")
        kept = await database.transcripts.add("anna", other.id, "")
        await database.segments.replace_all(transcript.id, [NewSegment(0, 1, "x", speaker.id)])
        await database.segments.replace_all(kept.id, [NewSegment(0, 1, "y")])
    change_page(filled, pages_of(filled, "files")[0])
    report = await reelbase.repair(filled)
    assert not rows(filled, f"SELECT 1 FROM files WHERE id = '{file.id}'")
    removed = [text for text in report.lost if "removed, because it referred to" in text]
    assert any(text.startswith(f"transcripts {transcript.id}: ") for text in removed)
    assert any(text.startswith(f"speakers {speaker.id}: ") for text in removed)
    assert report.rows_lost["transcripts"] == 1
    assert (str(kept.id),) in rows(filled, "SELECT id FROM transcripts")
    assert report.rows_lost["transcript_segments"] == 1
    assert rows(filled, f"SELECT source_file_id FROM files WHERE id = '{other.id}'") == [(None,)]
    await sound(filled)


@pytest.mark.long
async def test_columns_that_triggers_keep_are_right_again(filled: Path) -> None:
    async with reelbase.connect(filled) as database:
        (file, *_) = await database.files.list_for_profile("anna")
        await database.tags.attach(file.id, "seldom")
        parent, _ = await database.jobs.add_batch("anna", "t", {}, [{}, {}])
    change(filled, "UPDATE file_tags SET file_created_at = NULL", "UPDATE jobs SET is_batch = 0")
    damage_index(filled)
    await reelbase.repair(filled)
    async with reelbase.connect(filled) as database:
        assert [found.id for found in await database.files.page("anna", tags=["seldom"])] == [
            file.id
        ]
    assert rows(filled, "SELECT id FROM jobs WHERE is_batch") == [(str(parent.id),)]


async def test_a_reference_that_can_be_cleared_is_cleared(path: Path) -> None:
    change(
        path,
        "INSERT INTO profiles (id) VALUES ('anna')",
        "INSERT INTO files (id, profile_id, name, path, source_file_id) VALUES"
        " ('10000000-0000-7000-8000-000000000001', 'anna', 'x', '', '10000000-0000-7000-8000-00000000000f')",
        "INSERT INTO files (id, profile_id, name, path) VALUES"
        " ('10000000-0000-7000-8000-000000000002', 'bert', 'y', '')",
    )
    async with reelbase.connect(path) as database:
        check = await database.check()
    assert check.advice is not None
    assert "reelbase repair" in check.advice
    report = await reelbase.repair(path)
    assert sorted(report.lost, reverse=True) == [
        "files 10000000-0000-7000-8000-000000000002: removed, because it referred to profiles bert, which"
        " is missing",
        "files 10000000-0000-7000-8000-000000000001: source_file_id cleared, which referred to files"
        " 10000000-0000-7000-8000-00000000000f; that row is missing",
    ]
    assert report.rows_lost == {"files": 1}
    await sound(path)


@pytest.mark.long
async def test_a_truncated_file_keeps_what_is_in_front(filled: Path) -> None:
    os.truncate(filled, os.stat(filled).st_size // PAGE_BYTES // 2 * PAGE_BYTES + 100)
    content = content_of(filled)
    report = await reelbase.repair(filled)
    assert report.copy is not None
    assert content_of(report.copy) == content
    assert report.lost
    await sound(filled)


@pytest.mark.long
async def test_a_batch_whose_last_child_is_lost_ends(path: Path) -> None:
    async with reelbase.connect(path) as database:
        await database.profiles.ensure("anna")
        batch, _ = await database.jobs.add_batch(
            "anna", "t", {}, [{"n": n, "x": "y" * 900} for n in range(20)]
        )
        while (job := await database.jobs.claim("w")) and await database.jobs.succeed(
            job.id, {}, worker="w"
        ):
            if (await database.jobs.get(batch.id)).completed == 18:
                break
    waiting = [id for (id,) in rows(path, "SELECT id FROM jobs WHERE status = 'queued'")]
    assert waiting
    for leaf in pages_of(path, "jobs"):
        copy = Path(shutil.copy(path, path.with_name("copy.db")))
        change_page(copy, leaf)
        report = await reelbase.repair(copy)
        async with reelbase.connect(copy) as database:
            parent = await database.jobs.find(batch.id)
            if parent is None:
                assert rows(copy, "SELECT 1 FROM jobs") == []  # the whole batch went
                continue
            children = rows(copy, "SELECT status FROM jobs WHERE parent_id IS NOT NULL")
            ended = [status for (status,) in children if status != "queued"]
            assert (parent.total, parent.completed) == (len(children), len(ended))
            assert (parent.status == "succeeded") == (len(ended) == len(children))
            assert report.rows_lost["jobs"] == 20 - len(children)
        for name in beside(copy):
            (copy.parent / name).unlink()


@pytest.mark.long
async def test_a_batch_whose_jobs_are_all_lost_is_no_job_to_claim(path: Path) -> None:
    async with reelbase.connect(path) as database:
        await database.profiles.ensure("anna")
        batch, _ = await database.jobs.add_batch("anna", "t", {}, [{}])
        await database.jobs.add_batch("anna", "t", {}, [{"x": "y" * 900} for _ in range(20)])
    (child,) = rows(path, f"SELECT rowid FROM jobs WHERE parent_id = '{batch.id}'")[0]
    with closing(sqlite3.connect(path)) as native:
        native.execute("DROP TRIGGER jobs_child_deleted")
        native.execute("DELETE FROM jobs WHERE rowid = ?", (child,))
        native.commit()
    change_page(path, pages_of(path, "jobs")[-1])
    await reelbase.repair(path)
    async with reelbase.connect(path) as database:
        ended = await database.jobs.get(batch.id)
        assert (ended.status, ended.error) == (
            "failed",
            "the jobs of this batch were lost with a damaged part of the database",
        )
    await sound(path)


@pytest.mark.long
async def test_a_disk_that_cannot_read_is_no_reason_to_stop(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaf = pages_of(filled, "files")[1]
    broken = range((leaf - 1) * PAGE_BYTES, leaf * PAGE_BYTES)
    real = repair_module._Repair._read

    def read(self: Any, offset: int, size: int) -> bytes:
        if offset < broken.stop and offset + size > broken.start:
            raise OSError(5, "Input/output error")
        return real(self, offset, size)

    monkeypatch.setattr(repair_module._Repair, "_read", read)
    report = await reelbase.repair(filled)
    assert f"4,096 bytes at {broken.start:,}: the disk cannot read them" in report.lost
    assert report.rows_lost["files"] > 10
    await sound(filled)


@pytest.mark.long
async def test_two_rows_that_a_damaged_index_let_in_are_told_apart(path: Path) -> None:
    change(path, "INSERT INTO prompts (text) VALUES ('waltz'), ('tango')")
    take_out_of_index(path, "prompts_most_used", "text <> 'tango'")
    # The unique index cannot be made partial, so a page of it goes.
    change_page(path, pages_of(path, "sqlite_autoindex_prompts_1")[0], empty_leaf)
    change(path, "INSERT INTO prompts (text) VALUES ('waltz')")
    report = await reelbase.repair(path)
    assert report.rows_lost == {"prompts": 1}
    (loss,) = report.lost
    assert "prompts 3: it cannot be kept: UNIQUE constraint failed: prompts.text" in loss
    assert rows(path, "SELECT id, text FROM prompts ORDER BY id") == [(1, "waltz"), (2, "tango")]
    await sound(path)


def empty_leaf(page: bytes) -> bytes:
    return b"\x0a\0\0\0\0\x10\0\0" + b"\0" * (len(page) - 8)


# Files of earlier versions, and logs beside a file.


@pytest.mark.long
@pytest.mark.parametrize("damage", [damage_index, damage_table])
async def test_an_older_file_is_repaired_as_what_it_is_and_then_migrated(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "old.db"
    version_5(path)
    damage(path)
    report = await reelbase.repair(path)
    assert rows(path, "PRAGMA user_version") == [(5,)]
    assert (report.rows_lost == {}) == (damage is damage_index)
    migrated = await reelbase.migrate(path)
    assert migrated.to_version == reelbase.SCHEMA_VERSION
    await sound(path)


def killed_while_writing(path: Path, journal: str) -> None:
    """A file with a log beside it: -wal, or a journal that is to be rolled back."""
    code = f"""
import os, signal, sqlite3
native = sqlite3.connect({str(path)!r}, isolation_level=None)
native.execute("PRAGMA journal_mode = {journal}")
native.execute("PRAGMA wal_autocheckpoint = 0")
native.execute("PRAGMA cache_size = 5")
native.execute("INSERT INTO profiles (id) VALUES ('in the log')")
native.execute("BEGIN")
native.execute("WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT 3000)"
               " INSERT INTO config (key, value) SELECT 'k' || n, '[1]' FROM n")
if {journal == "wal"}:
    native.execute("COMMIT")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.long
@pytest.mark.parametrize("mode", ["wal", "delete"])
@pytest.mark.parametrize("damage", [damage_table, break_header, break_page_1])
async def test_what_is_in_a_log_is_part_of_the_file(
    damage: Callable[[Path], None], mode: str, filled: Path
) -> None:
    log = Path(f"{filled}{'-wal' if mode == 'wal' else '-journal'}")
    page_of_files = pages_of(filled, "files")[0]
    killed_while_writing(filled, mode)
    assert log.name in beside(filled)
    if damage is damage_table:
        change_page(filled, page_of_files)
    else:
        damage(filled)
    contents = content_of(filled), content_of(log)
    report = await reelbase.repair(filled)
    copy = report.copy
    if copy is None:  # a journal has put the page back
        assert damage is not damage_table or mode == "delete"
        pytest.skip("the log has the damaged page")
    kept = Path(f"{copy}{log.name.removeprefix(filled.name)}")
    assert (content_of(copy), content_of(kept)) == contents
    assert log.name not in beside(filled)
    assert rows(filled, "SELECT id FROM profiles ORDER BY id")[-1] == ("in the log",)
    assert len(rows(filled, "SELECT 1 FROM config")) == (3000 if mode == "wal" else 0)
    await sound(filled)


# What belongs to the application.


@pytest.mark.long
async def test_the_applications_own_objects_are_kept(filled: Path) -> None:
    change(
        filled,
        "CREATE TABLE scores (name TEXT PRIMARY KEY, score) WITHOUT ROWID",
        "CREATE TABLE log (line)",
        "CREATE INDEX scores_by_score ON scores (score)",
        "CREATE VIEW best AS SELECT name FROM scores",
        "CREATE TRIGGER scored AFTER INSERT ON scores BEGIN INSERT INTO log VALUES (NEW.name); END",
        "INSERT INTO scores VALUES ('a', 1), ('b', x'00ff'), ('c', NULL), ('d', 2.5)",
        "CREATE VIRTUAL TABLE diary USING fts5 (text)",
        "INSERT INTO diary VALUES ('waltz'), ('tango')",
        "CREATE VIRTUAL TABLE counted USING fts5 (text, content = '')",
        "INSERT INTO counted (rowid, text) VALUES (7, 'polka')",
        "CREATE VIRTUAL TABLE places USING rtree (id, x0, x1)",
        "INSERT INTO places VALUES (1, 0.0, 5.0)",
        "ALTER TABLE files ADD COLUMN mine TEXT DEFAULT 'new'",
        "UPDATE files SET mine = name WHERE rowid < 20",
    )
    mine = rows(filled, "SELECT id, mine FROM files ORDER BY id")
    break_page_1(filled)
    report = await reelbase.repair(filled)
    assert report.rows_lost == {}
    assert report.lost == []
    assert all("mine" in problem for problem in report.problems)  # no damage: it is told, and left
    assert rows(filled, "SELECT * FROM scores ORDER BY name") == [
        ("a", 1),
        ("b", b"\0\xff"),
        ("c", None),
        ("d", 2.5),
    ]
    assert rows(filled, "SELECT * FROM best ORDER BY 1 LIMIT 1") == [("a",)]
    assert rows(filled, "SELECT * FROM log") == [("a",), ("b",), ("c",), ("d",)]
    assert rows(filled, "SELECT rowid FROM diary('tango')") == [(2,)]
    assert rows(filled, "SELECT rowid FROM counted('polka')") == [(7,)]
    assert rows(filled, "SELECT id FROM places WHERE x1 > 4") == [(1,)]
    assert rows(filled, "SELECT id, mine FROM files ORDER BY id") == mine
    change(filled, "INSERT INTO scores VALUES ('e', 5)")
    assert rows(filled, "SELECT count(*) FROM log") == [(5,)]


@pytest.mark.long
async def test_what_this_sqlite_cannot_make_is_named_or_kept_as_it_is(filled: Path) -> None:
    change(
        filled,
        "CREATE TABLE words (word TEXT)",
        "CREATE INDEX words_in_order ON words (word)",
        "INSERT INTO words VALUES ('a'), ('b')",
        "CREATE VIRTUAL TABLE odd USING fts5 (text)",
        "INSERT INTO odd VALUES ('x')",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, '(word)', '(word COLLATE swedish)')"
        " WHERE name = 'words_in_order'",
        "UPDATE sqlite_schema SET sql = replace(sql, 'fts5', 'fts9') WHERE name = 'odd'",
    )
    break_header(filled)
    report = await reelbase.repair(filled)
    (loss,) = report.lost
    assert "index words_in_order could not be rebuilt" in loss
    assert "COLLATE swedish" in loss
    assert rows(filled, "SELECT * FROM words") == [("a",), ("b",)]
    assert rows(filled, "SELECT sql FROM sqlite_schema WHERE name = 'odd'") == [
        ("CREATE VIRTUAL TABLE odd USING fts9 (text)",)
    ]
    assert rows(filled, "SELECT c0 FROM odd_content") == [("x",)]


@pytest.mark.long
async def test_what_is_missing_of_the_schema_comes_back(filled: Path) -> None:
    change(
        filled,
        "DROP INDEX files_newest",
        "DROP TRIGGER videos_fts_delete",
        "CREATE TRIGGER videos_fts_delete AFTER DELETE ON videos BEGIN SELECT 1; END",
        "DROP TABLE config",
    )
    report = await reelbase.repair(filled)
    assert report.mended == [
        "index files_newest on files rebuilt",
        "trigger videos_fts_delete on videos rebuilt",
    ]
    assert report.lost == ["table config: it was missing, and is empty now"]
    await sound(filled)


@pytest.mark.long
async def test_a_table_that_was_changed_is_told_and_left(filled: Path) -> None:
    change(filled, "ALTER TABLE files DROP COLUMN origin")
    content = content_of(filled)
    report = await reelbase.repair(filled)
    assert (report.copy, report.problems) == (None, ["table files lacks the column origin"])
    assert content_of(filled) == content


# What is refused.


@pytest.mark.long
@pytest.mark.parametrize("mode", ["wal", "delete"])
async def test_a_file_that_is_in_use_is_refused(filled: Path, mode: Any) -> None:
    damage_index(filled)
    async with reelbase.connect(filled, journal=mode):
        content = content_of(filled)
        with pytest.raises(DatabaseBusyError, match="repair again") as caught:
            await reelbase.repair(filled, busy_timeout=0.1)
        assert caught.value.code == "in_use"
        assert content_of(filled) == content
    assert (await reelbase.repair(filled)).copy is not None


@pytest.mark.long
async def test_a_file_is_locked_while_it_is_repaired(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage_table(filled)
    answers: list[str] = []

    def ask(what: str, done: int, total: int) -> None:
        if what == "reading pages" and not answers:
            done_ = subprocess.run(
                [sys.executable, "-c", _WRITES, str(filled)],
                capture_output=True,
                text=True,
                check=False,
            )
            answers.append(done_.stdout.strip())

    await asyncio.to_thread(
        lambda: repair_module.repair_file(filled, busy_timeout_seconds=1.0, on_progress=ask)
    )
    assert answers == ["database is locked"]


_WRITES = """
import sqlite3, sys
try:
    sqlite3.connect(sys.argv[1], timeout=0).execute("INSERT INTO profiles (id) VALUES ('x')")
except sqlite3.Error as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "empty"), (b"hello, world\n" * 1000, "foreign"), (None, "foreign")],
)
async def test_what_is_no_database_of_ours_is_refused(
    content: bytes | None, code: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.db"
    if content is None:
        change(path, "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)")
        content = content_of(path)
    path.write_bytes(content)
    with pytest.raises(SchemaError) as caught:
        await reelbase.repair(path)
    assert caught.value.code == code
    assert content_of(path) == content
    assert beside(path) == ["x.db"]


@pytest.mark.long
async def test_a_newer_file_is_refused(filled: Path) -> None:
    change(
        filled,
        "PRAGMA user_version = 99",
        "INSERT INTO schema_migrations (version, name, checksum) VALUES (99, 'x', 'y')",
    )
    with pytest.raises(SchemaError) as caught:
        await reelbase.repair(filled)
    assert caught.value.code == "newer"


async def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseIOError):
        await reelbase.repair(tmp_path / "none.db")
    with pytest.raises(DatabaseIOError):
        await reelbase.repair(tmp_path)


@pytest.mark.long
async def test_a_full_disk_changes_nothing(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage_table(filled)
    content = content_of(filled)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(repair_module, "sync_file", full)
    with pytest.raises(reelbase.DatabaseFullError):
        await reelbase.repair(filled)
    assert content_of(filled) == content
    assert beside(filled) == ["media.db"]


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs root")
async def test_owner_and_permissions_stay(filled: Path) -> None:
    os.chown(filled, 1234, 1234)
    os.chmod(filled, 0o640)
    damage_table(filled)
    report = await reelbase.repair(filled)
    assert report.copy is not None
    for path in (filled, report.copy):
        status = os.stat(path)
        assert (status.st_uid, status.st_gid) == (1234, 1234)
        assert stat.S_IMODE(status.st_mode) == 0o640


@pytest.mark.long
async def test_a_link_is_followed(filled: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(filled)
    damage_table(filled)
    report = await reelbase.repair(link)
    assert link.is_symlink()
    assert report.copy is not None
    assert report.copy.parent == filled.parent
    await sound(filled)


# The command.


@pytest.mark.long
async def test_the_command_tells_what_is_lost(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage_table(filled)
    assert await asyncio.to_thread(main, ["repair", str(filled)]) == 1
    output = capsys.readouterr().out
    assert "lost: files " in output
    assert "rows lost" in output
    copies = [name for name in beside(filled) if "damaged" in name]
    assert f"it is kept in {filled.parent / copies[0]}" in output
    assert await asyncio.to_thread(main, ["repair", str(filled)]) == 0
    assert "nothing to mend; it is unchanged" in capsys.readouterr().out
    take_out_of_index(filled, "files_newest", "name <> 'f299'")
    assert await asyncio.to_thread(main, ["repair", str(filled), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["lost"] == []
    assert facts["rows_lost"] == {}
    assert os.path.basename(facts["copy"]) in beside(filled)


@pytest.mark.long
async def test_progress_is_told_on_the_loop(filled: Path) -> None:
    damage_table(filled)
    told: list[str] = []
    loop = asyncio.get_running_loop()

    def progress(what: str, done: int, total: int) -> None:
        assert asyncio.get_running_loop() is loop
        told.append(what)

    await reelbase.repair(filled, progress=progress)
    assert {"copying", "reading pages", "verifying"} <= set(told)


@pytest.mark.long
async def test_many_rows_lost_one_after_the_other_are_one_sentence(path: Path) -> None:
    async with reelbase.connect(path) as database:
        await database.profiles.ensure("anna")
        await database.files.add_many("anna", [NewFile("f", "p")])
        (file,) = await database.files.list_for_profile("anna")
        transcript = await database.transcripts.add("anna", file.id, "")
        await database.segments.replace_all(
            transcript.id, [NewSegment(n, n + 1, f"word {n}") for n in range(500)]
        )
    change_page(path, pages_of(path, "transcript_segments")[2])
    report = await reelbase.repair(path)
    (loss,) = report.lost
    count = report.rows_lost["transcript_segments"]
    assert loss.endswith(f"({count} rows): it was on a damaged page")
    assert len(rows(path, "SELECT 1 FROM transcript_segments")) == 500 - count


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize("stage", ["copying", "reading pages", "verifying", "replacing"])
async def test_killed_at_any_stage_the_file_is_the_damaged_or_the_repaired_one(
    stage: str, filled: Path
) -> None:
    damage_table(filled)
    damaged = content_of(filled)
    code = f"""
import os, signal
from pathlib import Path
from reelbase.operations import repair
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
def tell(what, done, total):
    if what == {stage!r}:
        die()
if {stage == "replacing"}:
    repair.os.replace = die
repair.repair_file(Path({str(filled)!r}), busy_timeout_seconds=1.0, on_progress=tell)
"""
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert content_of(filled) == damaged
    report = await reelbase.repair(filled)
    assert report.copy is not None
    assert content_of(report.copy) == damaged
    await sound(filled)
