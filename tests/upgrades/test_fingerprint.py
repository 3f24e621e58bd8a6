"""Promises about the fingerprint: what differs from the schema is named, what is the users' is not."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import reelbase
from reelbase.engine.schema.chain import migrations
from reelbase.engine.schema.fingerprint import differences, names_of
from reelbase.engine.schema.source import SCHEMA_VERSION


@pytest.fixture
def native() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(reelbase.schema_sql())
        yield connection


def rewrite(native: sqlite3.Connection, name: str, old: str, new: str) -> None:
    """Changes the text of an object as a careless hand with writable_schema would."""
    native.execute("PRAGMA writable_schema = ON")
    changed = native.execute(
        "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = ? AND instr(sql, ?)",
        (old, new, name, old),
    )
    assert changed.rowcount == 1
    native.execute("PRAGMA writable_schema = RESET")


@pytest.mark.long
@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_every_version_has_its_own_fingerprint(version: int) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for migration in migrations()[:version]:
            connection.executescript(migration.sql)
        assert differences(connection, version) == []
        for other in range(1, SCHEMA_VERSION + 1):
            if other > version:
                assert differences(connection, other)


def test_a_new_database_has_no_differences(native: sqlite3.Connection) -> None:
    assert differences(native, SCHEMA_VERSION) == []


def test_nothing_at_all_lacks_everything() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        found = differences(connection, SCHEMA_VERSION)
    assert len(found) == len(names_of(SCHEMA_VERSION))
    assert all(sentence.endswith(" is missing") for sentence in found)
    assert "table files is missing" in found


def test_what_users_keep_in_the_file_does_not_count(native: sqlite3.Connection) -> None:
    native.executescript(
        """
        CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, file_id TEXT REFERENCES files (id));
        CREATE INDEX notes_of_file ON notes (file_id);
        CREATE INDEX my_own ON files (size_bytes);
        CREATE VIEW big AS SELECT * FROM files WHERE size_bytes > 1;
        CREATE VIEW broken AS SELECT * FROM nowhere;
        CREATE TRIGGER mine AFTER INSERT ON files BEGIN INSERT INTO notes (file_id) VALUES (NEW.id); END;
        CREATE VIRTUAL TABLE notes_fts USING fts5 (text);
        ANALYZE;
        """
    )
    native.execute("INSERT INTO profiles (id) VALUES ('a')")
    native.execute("INSERT INTO notes_fts (text) VALUES ('a')")
    assert differences(native, SCHEMA_VERSION) == []


def test_a_virtual_table_of_another_program_is_not_touched(native: sqlite3.Connection) -> None:
    native.execute("PRAGMA writable_schema = ON")
    native.execute(
        "INSERT INTO sqlite_schema VALUES"
        " ('table', 'theirs', 'theirs', 0, 'CREATE VIRTUAL TABLE theirs USING nobody_has_this (a)')"
    )
    native.execute("PRAGMA writable_schema = RESET")
    assert differences(native, SCHEMA_VERSION) == []


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        ("DROP INDEX files_newest", ["index files_newest on files is missing"]),
        ("DROP TRIGGER prompts_fts_delete", ["trigger prompts_fts_delete on prompts is missing"]),
        (
            "ALTER TABLE files ADD COLUMN rating INTEGER",
            ["table files has a column rating that is not ours"],
        ),
        (
            "ALTER TABLE sessions RENAME COLUMN last_seen TO seen",
            [
                "table sessions lacks the column last_seen",
                "table sessions has a column seen that is not ours",
                "index idx_sessions_last_seen on sessions differs:"
                " it has '(seen)' instead of '(last_seen)'",
            ],
        ),
        (
            "DROP TABLE config; CREATE VIEW config AS SELECT 1 AS key",
            ["table config is missing: its name is taken by view config"],
        ),
        (
            "DROP INDEX files_newest; CREATE INDEX files_newest ON clips (profile_id)",
            [
                "index files_newest on files is missing:"
                " its name is taken by index files_newest on clips"
            ],
        ),
        (
            "DROP TABLE videos_fts",
            [
                f"table videos_fts{suffix} is missing"
                for suffix in ("", "_data", "_idx", "_content", "_docsize", "_config")
            ],
        ),
    ],
)
def test_a_difference_is_named(
    change: str, sentences: list[str], native: sqlite3.Connection
) -> None:
    native.executescript(change)
    assert differences(native, SCHEMA_VERSION) == sentences


@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        (
            "files",
            "path            TEXT NOT NULL",
            "path TEXT DEFAULT 'x'",
            "table files has TEXT DEFAULT 'x' for the column path instead of TEXT NOT NULL",
        ),
        (
            "config",
            "CHECK (json_valid(value))",
            "CHECK (value <> '')",
            "table config differs: it has"
            " '(value <> ''), CONSTRAINT config_updated_at CHECK (updated_a' instead of"
            " '(json_valid(value)), CONSTRAINT config_updated_at CHECK (upd'",
        ),
        (
            "videos_fts",
            "remove_diacritics 2",
            "remove_diacritics 1",
            "table videos_fts differs: it has '1 categories 'L* N* Co'\" )' instead of"
            " '2 categories 'L* N* Co'\" )'",
        ),
    ],
)
def test_a_changed_statement_is_quoted(
    name: str, old: str, new: str, sentence: str, native: sqlite3.Connection
) -> None:
    rewrite(native, name, old, new)
    assert differences(native, SCHEMA_VERSION) == [sentence]


def test_white_space_and_comments_do_not_count_but_texts_do(native: sqlite3.Connection) -> None:
    rewrite(native, "config", "  value ", "\r\n /* any\nJSON */ -- '\n  value ")
    assert differences(native, SCHEMA_VERSION) == []
    rewrite(native, "downloads", "status = 'queued'", "status = 'queued '")
    assert len(differences(native, SCHEMA_VERSION)) == 1


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="needs the sqlite3 program")
def test_a_dump_read_back_has_no_differences(template: Path, tmp_path: Path) -> None:
    dump = subprocess.run(
        ["sqlite3", template, ".dump"], capture_output=True, text=True, check=True
    ).stdout
    read_back = tmp_path / "read back.db"
    subprocess.run(["sqlite3", read_back], input=dump, text=True, check=True)
    with closing(sqlite3.connect(read_back)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (0,)
        assert differences(connection, SCHEMA_VERSION) == []
