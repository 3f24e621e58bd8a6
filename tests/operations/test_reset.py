"""reelbase reset: what it deletes, and what it asks for."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import fill, rows, run, work

from reelbase import Database, DatabaseError
from reelbase.operations.reset import Reset, reset


@pytest.mark.long
def test_reset_asks_first_and_keeps_a_backup(
    path: Path, facts: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    work(path, fill)
    with contextlib.closing(sqlite3.connect(path)) as native:
        native.execute("CREATE TABLE notes (text)")
        native.execute("INSERT INTO notes VALUES ('mine')")
        native.commit()
    before = rows(path)
    assert run("reset", path) == 2  # nobody is there to answer
    assert "--yes" in capsys.readouterr().err
    assert rows(path) == before
    done = facts("reset", path, "--yes")
    after = rows(path)
    assert {name for name in after if after[name]} == {"notes"} | {
        name for name in after if "_fts_" in name and after[name]
    }
    assert done["deleted"]["transcript_segments"] == 4
    assert rows(Path(done["backup"])) == before

    async def begin_anew(database: Database) -> None:
        await database.profiles.ensure("ann")
        file = await database.files.add("ann", "n", "p")
        assert (await database.tags.attach(file.id, "x"))[0].id == 1
        assert (await database.check()).ok

    work(path, begin_anew)


def test_reset_leaves_rows_that_ones_own_tables_need(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work(path, fill)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute("CREATE TABLE notes (file_id TEXT REFERENCES files (id))")
        native.execute("INSERT INTO notes SELECT id FROM files")
    before = rows(path)
    assert run("reset", path, "--yes", "--no-backup") == 1
    assert "rows of your table notes (5) refer to rows of files" in capsys.readouterr().err
    assert rows(path) == before


# What the application's own rows have to do with it

OWN_ROWS = """
CREATE TABLE notes (id INTEGER PRIMARY KEY, file_id TEXT REFERENCES files (id) ON DELETE CASCADE, text TEXT);
INSERT INTO notes (file_id, text) SELECT id, name FROM files;
INSERT INTO notes (file_id, text) VALUES (NULL, 'of no file');
CREATE TABLE "it's ""odd"" one" (note_id PRIMARY KEY REFERENCES notes (id) ON DELETE CASCADE) WITHOUT ROWID;
INSERT INTO "it's ""odd"" one" SELECT id FROM notes;
CREATE TABLE answers (id INTEGER PRIMARY KEY, to_id REFERENCES answers (id) ON DELETE CASCADE,
  note_id REFERENCES notes (id) ON DELETE SET NULL);
INSERT INTO answers VALUES (1, NULL, 1), (2, 1, NULL), (3, 2, 1), (4, NULL, 6);
CREATE TABLE bookmarks (rowid, _rowid_, oid REFERENCES files (id) ON DELETE SET NULL);
INSERT INTO bookmarks SELECT 1, 2, id FROM files LIMIT 1;
CREATE TABLE defaults (file_id TEXT DEFAULT 'none' REFERENCES files (id) ON DELETE SET DEFAULT);
CREATE TABLE twice (
  profile_id TEXT REFERENCES profiles (id) ON DELETE SET NULL,
  file_id TEXT REFERENCES files (id) ON DELETE SET NULL,
  other_id TEXT REFERENCES videos (id) ON DELETE CASCADE
);
INSERT INTO twice SELECT profile_id, id, NULL FROM files LIMIT 3;
INSERT INTO twice SELECT NULL, (SELECT id FROM files LIMIT 1), id FROM videos LIMIT 2;
CREATE TABLE bystanders (text);
INSERT INTO bystanders VALUES ('mine');
CREATE TABLE thumbs (file_id TEXT);
INSERT INTO thumbs SELECT id FROM files;
CREATE TRIGGER thumbs_go AFTER DELETE ON files BEGIN DELETE FROM thumbs WHERE file_id = old.id; END;
CREATE VIRTUAL TABLE notes_words USING fts5 (text, content = 'notes', content_rowid = 'id');
INSERT INTO notes_words (notes_words) VALUES ('rebuild');
CREATE TRIGGER notes_words_go AFTER DELETE ON notes
BEGIN INSERT INTO notes_words (notes_words, rowid, text) VALUES ('delete', old.id, old.text); END;
"""
DELETED = {"notes": 5, 'it\'s "odd" one': 5, "thumbs": 5, "twice": 2}
CHANGED = {"answers": 2, "bookmarks": 1, "twice": 3}


def change(path: Path, script: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.executescript(script)


def values(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as native:
        return native.execute(sql).fetchall()


@pytest.fixture
def filled(path: Path) -> Path:
    work(path, fill)
    return path


@pytest.mark.long
def test_own_rows_go_only_by_leave(
    filled: Path, facts: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    change(filled, OWN_ROWS)
    before = rows(filled)
    assert run("reset", filled, "--yes") == 2
    errors = capsys.readouterr().err
    for table, count in DELETED.items():
        assert f"{table}: {count} deleted" in errors
    for table, count in CHANGED.items():
        assert f"{table}: {count} changed" in errors
    assert "--own-rows" in errors
    assert "bystanders" not in errors
    assert rows(filled) == before
    assert [file.name for file in filled.parent.iterdir()] == [filled.name]  # nor is there a backup

    done = facts("reset", filled, "--yes", "--own-rows")
    assert (done["own_deleted"], done["own_changed"]) == (DELETED, CHANGED)
    assert rows(Path(done["backup"])) == before
    after = rows(filled)
    assert after["files"] == []
    assert after["notes"] == [(6, None, "of no file")]
    assert after["answers"] == [(1, None, None), (2, 1, None), (3, 2, None), (4, None, 6)]
    assert after["bookmarks"] == [(1, 2, None)]
    assert after["twice"] == [(None, None, None)] * 3
    assert after["bystanders"] == [("mine",)]
    assert values(filled, "SELECT rowid FROM notes_words WHERE notes_words MATCH 'no'") == [(6,)]
    change(filled, "INSERT INTO notes_words (notes_words) VALUES ('integrity-check')")
    assert run("check", filled) == 0


@pytest.mark.long
def test_the_question_says_what_becomes_of_own_rows(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A yes is meant for them, too."""

    def answer(text: str) -> None:
        terminal = io.StringIO(text)
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", terminal)

    change(filled, OWN_ROWS)
    before = rows(filled)
    answer("no\n")
    assert run("reset", filled) == 2
    assert "notes: 5 deleted" in capsys.readouterr().err
    assert rows(filled) == before
    answer("yes\n")
    assert run("reset", filled) == 0
    assert (
        'your own tables: it\'s "odd" one: 5 deleted, notes: 5 deleted' in capsys.readouterr().out
    )
    assert rows(filled)["files"] == []


def test_own_tables_that_have_nothing_to_do_with_it_need_no_leave(
    filled: Path, facts: Callable[..., Any]
) -> None:
    """Also not where a rule would reach rows, but there are none."""
    change(
        filled,
        "CREATE TABLE notes (file_id TEXT REFERENCES files (id) ON DELETE CASCADE);"
        "INSERT INTO notes VALUES (NULL), ('refers to nothing')",
    )
    done = facts("reset", filled, "--yes")
    assert (done["own_deleted"], done["own_changed"]) == ({}, {})
    assert rows(filled)["notes"] == [("refers to nothing",), (None,)]


@pytest.mark.long
@pytest.mark.parametrize("own_rows", [True, False])
@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (
            "CREATE TABLE notes (file_id TEXT REFERENCES files (id));"
            "INSERT INTO notes SELECT id FROM files; INSERT INTO notes VALUES ('refers to nothing')",
            "rows of your table notes (5) refer to rows of files; delete them first",
        ),
        (
            "CREATE TABLE notes (file_id TEXT REFERENCES files (id) ON DELETE RESTRICT, x);"
            "INSERT INTO notes SELECT id, 1 FROM files; INSERT INTO notes VALUES ('refers to nothing', 1)",
            "rows of your table notes (5) refer to rows of files; delete them first",
        ),
        (
            "CREATE TABLE a (id PRIMARY KEY REFERENCES files (id) ON DELETE CASCADE);"
            "INSERT INTO a SELECT id FROM files;"
            'CREATE TABLE b ("x "" y" REFERENCES a (id) ON DELETE RESTRICT);'
            "INSERT INTO b SELECT id FROM a LIMIT 2",
            "rows of your table b (2) refer to rows of a; delete them first",
        ),
        (
            "CREATE TABLE notes (file_id TEXT NOT NULL REFERENCES files (id) ON DELETE SET NULL);"
            "INSERT INTO notes SELECT id FROM files",
            "deleting the rows of files: NOT NULL constraint failed: notes.file_id",
        ),
        (
            "CREATE TABLE notes (file_id TEXT DEFAULT 'x' REFERENCES files (id) ON DELETE SET DEFAULT);"
            "INSERT INTO notes SELECT id FROM files",
            "rows of your table notes (5) refer to rows of files",
        ),
        (
            "CREATE TABLE notes (name TEXT REFERENCES files (name));"
            "INSERT INTO notes SELECT name FROM files",
            'foreign key mismatch - "notes" referencing "files"',
        ),
        (
            "CREATE TRIGGER no AFTER DELETE ON jobs BEGIN SELECT RAISE(ABORT, 'jobs are for ever'); END",
            "deleting the rows of jobs: jobs are for ever",
        ),
        (
            "CREATE TRIGGER no AFTER DELETE ON jobs BEGIN SELECT RAISE(ROLLBACK, 'not even that'); END",
            "deleting the rows of jobs: not even that",
        ),
        (
            "CREATE TRIGGER no BEFORE DELETE ON prompts BEGIN SELECT RAISE(IGNORE); END",
            "table prompts still has rows: a trigger of the application keeps or inserts them",
        ),
        (
            "CREATE TRIGGER again AFTER DELETE ON config"
            " BEGIN INSERT INTO config (key, value) VALUES ('k', '1'); END",
            "table config still has rows: a trigger of the application keeps or inserts them",
        ),
    ],
)
def test_a_reset_that_cannot_be_whole_deletes_nothing(
    script: str, sentence: str, own_rows: bool, filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(filled, script)
    before = rows(filled)
    options = ["--own-rows"] if own_rows else []
    assert run("reset", filled, "--yes", "--no-backup", *options) == 1
    assert sentence in capsys.readouterr().err
    assert rows(filled) == before


def test_a_trigger_that_fills_a_table_that_was_emptied_before_is_no_obstacle(
    filled: Path, facts: Callable[..., Any]
) -> None:
    change(
        filled,
        "CREATE TRIGGER noted AFTER DELETE ON videos"
        " BEGIN INSERT INTO config (key, value) VALUES (old.id, '1'); END;"
        "CREATE TABLE graves (id); CREATE TRIGGER buried AFTER DELETE ON videos"
        " BEGIN INSERT INTO graves VALUES (old.id); END",
    )
    done = facts("reset", filled, "--yes")  # what is added to own tables needs no leave
    assert (done["own_deleted"], done["own_changed"]) == ({}, {})
    after = rows(filled)
    assert after["config"] == []
    assert len(after["graves"]) == done["deleted"]["videos"]


async def test_what_was_not_asked_about_is_not_deleted(path: Path, database: Database) -> None:
    """Another process may have written between the question and the answer."""
    await database.profiles.ensure("ann")
    await database.execute("CREATE TABLE notes (p REFERENCES profiles (id) ON DELETE CASCADE)")
    assert not (await reset(path, is_rehearsal=True)).reaches_own_rows
    await database.execute("INSERT INTO notes VALUES ('ann')")
    with pytest.raises(DatabaseError) as caught:
        await reset(path)
    assert caught.value.code == "own_rows"
    assert caught.value.details == {"own_deleted": {"notes": 1}, "own_changed": {}}
    rehearsed = await reset(path, is_rehearsal=True)
    assert rehearsed == Reset({"profiles": 1}, {"notes": 1}, {})
    assert await database.profiles.count() == 1
    assert await reset(path, own_rows=True) == rehearsed
    assert await database.profiles.count() == 0


@pytest.mark.long
async def test_a_cancelled_reset_deletes_nothing(path: Path, database: Database) -> None:
    """Also in the middle of a statement that takes long."""
    await database.profiles.ensure("ann")
    await database.execute("CREATE TABLE numbers (n)")
    await database.execute(
        "CREATE TRIGGER slow AFTER DELETE ON profiles BEGIN INSERT INTO numbers WITH RECURSIVE"
        " n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT count(*) FROM n; END"
    )
    task = asyncio.ensure_future(reset(path))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 20)
    assert await database.profiles.count() == 1
