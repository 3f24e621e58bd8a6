"""Promises about a schema that somebody changed: found at the next open, at the cost of a glance."""

from __future__ import annotations

import logging
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from plans import Newest

import reelbase
from reelbase import SCHEMA_VERSION, SchemaError
from reelbase.engine.schema import drift
from reelbase.engine.schema.drift import digest_of_schema, settle
from reelbase.engine.schema.fingerprint import additions, differences


def change(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as native:
        native.executescript(script)


def value(path: Path, sql: str) -> Any:
    with closing(sqlite3.connect(path)) as native:
        return native.execute(sql).fetchone()[0]


def state_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def is_noted(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as native:
        (noted,) = native.execute("SELECT schema_digest FROM database_identity").fetchone()
        return bool(noted == digest_of_schema(native))


def rewrite(name: str, old: str, new: str) -> str:
    """SQLite's count of changes of the schema stays as it is."""
    return f"""
        PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = replace(sql, '{old}', '{new}') WHERE name = '{name}';
        PRAGMA writable_schema = RESET;
    """


CHANGED = {
    "a search trigger": (
        "DROP TRIGGER prompts_fts_delete",
        "trigger prompts_fts_delete on prompts is missing",
    ),
    "an index": ("DROP INDEX files_newest", "index files_newest on files is missing"),
    "a table": ("DROP TABLE config", "table config is missing"),
    "the identity": ("DROP TABLE database_identity", "table database_identity is missing"),
    "a search index": ("DROP TABLE videos_fts", "table videos_fts is missing"),
    "a column": (
        "ALTER TABLE files DROP COLUMN origin",
        "table files lacks the column origin",
    ),
    "a column of the identity": (
        "ALTER TABLE database_identity RENAME COLUMN copy_name TO name",
        "table database_identity lacks the column copy_name",
    ),
    "a column's name": (
        "ALTER TABLE files RENAME COLUMN folder TO place",
        "table files lacks the column folder",
    ),
    "a check": (
        rewrite("files", "size_bytes >= 0", "size_bytes >= 1"),
        "table files differs: it has '1)",
    ),
    "a check that is gone": (
        rewrite("jobs", ",\n  CONSTRAINT jobs_attempts CHECK (attempts >= 0)", ""),
        "table jobs differs",
    ),
    "a word more": (
        rewrite("files", "content_type    TEXT", "content_type TEXT UNIQUE"),
        "table files",
    ),
    "a trigger's body": (
        "DROP TRIGGER videos_fts_delete;"
        "CREATE TRIGGER videos_fts_delete AFTER DELETE ON videos BEGIN SELECT 1; END",
        "trigger videos_fts_delete on videos differs",
    ),
    "an index elsewhere": (
        "DROP INDEX files_newest; CREATE INDEX files_newest ON clips (profile_id)",
        "index files_newest on files is missing: its name is taken by",
    ),
    "a column more and one less": (
        "ALTER TABLE files DROP COLUMN origin; ALTER TABLE files ADD COLUMN rating INTEGER",
        "table files lacks the column origin",
    ),
}


@pytest.mark.long
@pytest.mark.parametrize(("script", "sentence"), CHANGED.values(), ids=CHANGED)
async def test_what_was_changed_or_dropped_is_refused_and_named(
    script: str, sentence: str, path: Path, journal: Any
) -> None:
    change(path, script)
    before = state_of(path.parent)
    # Whatever journal is wished for: nothing is converted either.
    for wanted in ("wal", "delete"):
        with pytest.raises(SchemaError, match=re.escape(sentence)) as caught:
            await reelbase.connect(path, journal=wanted)
        assert caught.value.code == "drifted"
        assert caught.value.details["version"] == SCHEMA_VERSION
        assert any(line.startswith(sentence) for line in caught.value.details["differences"])
        assert "`reelbase repair`" in str(caught.value)
        assert "nothing was changed" in str(caught.value)
    with pytest.raises(SchemaError, match=re.escape(sentence)):
        await reelbase.migrate(path)
    assert state_of(path.parent) == before


async def test_what_was_undone_opens_again(path: Path, journal: Any) -> None:
    sql = value(path, "SELECT sql FROM sqlite_schema WHERE name = 'files_newest'")
    change(path, "DROP INDEX files_newest")
    with pytest.raises(SchemaError):
        await reelbase.connect(path, journal=journal)
    change(path, sql)
    async with reelbase.connect(path, journal=journal) as database:
        await database.profiles.ensure("p")
    assert is_noted(path)


async def test_a_copy_of_a_changed_database_is_refused_too(
    path: Path, tmp_path: Path, journal: Any
) -> None:
    """Those of SQLite's backup begin to count the changes of the schema anew."""
    change(path, "DROP TRIGGER prompts_fts_delete")
    copy, into, backup = tmp_path / "copy.db", tmp_path / "into.db", tmp_path / "backup.db"
    with closing(sqlite3.connect(path)) as native, closing(sqlite3.connect(copy)) as target:
        native.backup(target)
        native.execute("VACUUM INTO ?", (str(into),))
    await reelbase.backup(path, backup)
    await reelbase.restore(backup, tmp_path / "restored.db")
    for name in (copy, into, backup, tmp_path / "restored.db"):
        with pytest.raises(SchemaError, match="prompts_fts_delete"):
            await reelbase.connect(name, journal=journal)


# What is no reason


async def test_tables_and_views_of_ones_own_are_nothing_to_be_told(
    path: Path, journal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    change(
        path,
        """
        CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT UNIQUE);
        CREATE INDEX notes_by_text ON notes (text);
        CREATE VIEW names AS SELECT name FROM files;
        CREATE TRIGGER notes_stay BEFORE DELETE ON notes BEGIN SELECT RAISE(ABORT, 'no'); END;
        CREATE TABLE "Füße" (x);
        ANALYZE;
        """,
    )
    assert not is_noted(path)
    async with reelbase.connect(path, journal=journal):
        pass
    assert is_noted(path)
    assert caplog.records == []


ADDED = {
    "CREATE INDEX own ON files (name)": "index own on files is not ours",
    "CREATE UNIQUE INDEX own ON FILES (path)": "index own on files is not ours",
    "CREATE TRIGGER own AFTER INSERT ON jobs BEGIN SELECT 1; END": "trigger own on jobs is not ours",
    "ALTER TABLE files ADD COLUMN rating INTEGER": "table files has a column rating that is not ours",
    "ALTER TABLE files ADD COLUMN a INTEGER DEFAULT 1; ALTER TABLE files ADD COLUMN b REAL CHECK (b > 0)": (
        "table files has a column a that is not ours; table files has a column b that is not ours"
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("script", ADDED)
async def test_what_was_added_to_our_tables_is_told_once(
    script: str, path: Path, journal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    change(path, script)
    for name in ("first", "second"):
        async with reelbase.connect(path, journal=journal) as database:
            await database.profiles.ensure("p")
            await database.files.add("p", name, name)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{path} has more than the library's schema: {ADDED[script]}." in record.getMessage()


async def test_an_applications_own_migrations_may_add_what_they_like(
    tmp_path: Path, journal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "steps"
    folder.mkdir()
    (folder / "0001_first.sql").write_text("CREATE INDEX own ON files (name);")
    first = reelbase.Migrations("shelf", folder)
    async with reelbase.connect(tmp_path / "m.db", journal=journal, migrations=first):
        pass
    (folder / "0002_second.sql").write_text("CREATE INDEX own_2 ON files (path);")
    second = reelbase.Migrations("shelf", folder)
    for _ in range(2):
        async with reelbase.connect(tmp_path / "m.db", journal=journal, migrations=second):
            assert is_noted(tmp_path / "m.db")
    assert caplog.records == []


@pytest.mark.long
async def test_what_execute_makes_is_looked_at_the_next_time(path: Path, journal: Any) -> None:
    for name in ("notes", "more_notes"):
        async with reelbase.connect(path, journal=journal) as database:
            assert is_noted(path)
            await database.execute(f"CREATE TABLE {name} (text)")
        assert not is_noted(path)
    async with reelbase.connect(path, journal=journal) as database:
        assert (await database.check()).ok
    assert is_noted(path)


# What it costs


async def test_a_schema_that_nobody_touched_is_not_compared(
    path: Path, tmp_path: Path, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        await database.rebuild_search()
        await database.optimize()
    async with reelbase.connect(path, journal=journal) as database:  # with SQLite's statistics
        await database.backup(tmp_path / "copy.db")
    await reelbase.restore(tmp_path / "copy.db", tmp_path / "restored.db")

    def refuse(*_: Any) -> Any:
        raise AssertionError("it was compared")

    monkeypatch.setattr(drift, "differences", refuse)
    for file in (path, tmp_path / "copy.db", tmp_path / "restored.db"):
        async with reelbase.connect(file, journal=journal):
            pass


@pytest.mark.parametrize("sql", ["ANALYZE", "DROP TABLE sqlite_stat1"])
def test_what_sqlite_keeps_for_itself_is_nothing_to_be_compared(sql: str, path: Path) -> None:
    """The newest keeps samples (STAT4) in a table of their own."""
    assert is_noted(path)
    tables = "SELECT name FROM sqlite_schema WHERE name GLOB 'sqlite_stat?'"
    with closing(Newest(path)) as newest:
        before = newest.execute(tables)
        newest.execute(sql)
        assert newest.execute(tables) != before
    assert is_noted(path)


@pytest.mark.long
async def test_a_new_database_is_known_to_be_in_order(
    tmp_path: Path, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("it was compared")

    monkeypatch.setattr(drift, "differences", refuse)
    async with reelbase.connect(":memory:"):
        pass
    for _ in range(2):
        async with reelbase.connect(tmp_path / "new.db", journal=journal):
            pass


@pytest.mark.long
async def test_what_cannot_be_noted_now_is_noted_later(path: Path, journal: Any) -> None:
    """Another process is writing: connect() does not wait for it."""
    async with reelbase.connect(path, journal=journal):
        pass
    change(path, "CREATE TABLE notes (text)")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        async with reelbase.connect(path, journal=journal, busy_timeout=20) as database:
            assert time.monotonic() - began < 10
            assert await database.profiles.count() == 0
            connection = database._writer.connection
            (milliseconds,) = await connection.call(
                lambda: connection.native.execute("PRAGMA busy_timeout").fetchone()
            )
            assert milliseconds == 20_000
        assert not is_noted(path)
        other.execute("ROLLBACK")
    async with reelbase.connect(path, journal=journal):
        pass
    assert is_noted(path)


def test_what_cannot_be_written_is_not_noted(path: Path) -> None:
    change(path, "CREATE TABLE notes (text)")
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute("PRAGMA query_only = ON")
        settle(native, str(path))
        assert not native.in_transaction
    assert not is_noted(path)


def test_any_other_trouble_is_raised(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(native: sqlite3.Connection, digest: str) -> None:
        native.execute("nonsense")

    monkeypatch.setattr(drift, "note_digest", fail)
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        with pytest.raises(sqlite3.OperationalError, match="syntax error"):
            settle(native, str(path))
        assert not native.in_transaction


def test_a_schema_that_is_changed_in_that_moment_is_not_noted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter(["0" * 64, "1" * 64])
    monkeypatch.setattr(drift, "digest_of_schema", lambda _: next(found))
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        settle(native, str(path))
    assert is_noted(path)  # as it was


# The identity


@pytest.mark.long
async def test_a_file_that_lost_its_identity_gets_a_new_one(
    path: Path, journal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        lost = database.database_id
    change(path, "DELETE FROM database_identity")
    found = []
    for _ in range(2):
        async with reelbase.connect(path, journal=journal) as database:
            found.append(database.database_id)
    assert found[0] == found[1] != lost
    (record,) = caplog.records
    assert "did not say any more which database it is" in record.getMessage()


async def test_a_copy_that_is_opened_to_write_is_none_any_more(
    path: Path, tmp_path: Path, journal: Any
) -> None:
    copy = tmp_path / "copy.db"
    await reelbase.backup(path, copy)
    marks = "SELECT coalesce(copy_number, copy_name) FROM database_identity"
    assert value(copy, marks) == 1
    async with reelbase.connect(copy, journal=journal):
        pass
    assert value(copy, marks) is None


@pytest.mark.long
async def test_the_sqlite3_programs_file_is_settled_at_its_first_open(
    tmp_path: Path, journal: Any
) -> None:
    by_hand = tmp_path / "by-hand.db"
    change(by_hand, reelbase.schema_sql())
    assert value(by_hand, "SELECT schema_digest FROM database_identity") is None
    database_id = value(by_hand, "SELECT database_id FROM database_identity")
    async with reelbase.connect(by_hand, journal=journal) as database:
        assert str(database.database_id) == database_id
    assert is_noted(by_hand)


def test_a_table_typed_in_another_encoding_is_no_trouble(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute("CREATE TABLE notes (text)")
        native.execute("PRAGMA writable_schema = ON")
        native.execute(
            "UPDATE sqlite_schema SET sql = CAST(X'2f2aff2a2f' AS TEXT) || sql WHERE name = 'notes'"
        )
        assert differences(native, SCHEMA_VERSION) == []
        assert additions(native, SCHEMA_VERSION) == []
        assert len(digest_of_schema(native)) == 64
