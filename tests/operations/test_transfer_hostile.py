"""An export that comes from elsewhere: an import creates what it is said to create, and does nothing else."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reelbase import SCHEMA_VERSION, DatabaseError
from reelbase.operations.transfer import import_lines


def made(type: str, name: str, sql: str, table: str | None = None, **more: Any) -> dict[str, Any]:
    return {"object": {"type": type, "name": name, "table": table or name, "sql": sql, **more}}


def export(*objects: dict[str, Any], rows: Any = (), version: int = SCHEMA_VERSION) -> list[bytes]:
    """The lines of an export with these objects, and with rows as (table, row)."""
    counts: dict[str, int] = {"profiles": 0}
    for table, _ in rows:
        counts[table] = counts.get(table, 0) + 1
    header = {
        "reelbase_export": 2,
        "schema_version": version,
        "rows": counts,
        "objects": len(objects),
    }
    lines = [header, *objects, *({table: row} for table, row in rows), {"end": len(rows)}]
    return [json.dumps(line).encode() + b"\n" for line in lines]


NOTES = made("table", "notes", "CREATE TABLE notes (a)")
PROFILE = (
    "profiles",
    {
        "id": "ann",
        "created_at": "2026-01-31T12:00:00.000Z",
        "active_llm_config_id": None,
        "active_summary_prompt_id": None,
    },
)

# The last object is the one that is refused.
REFUSED = {
    "attach": [made("table", "x", "ATTACH 'elsewhere.db' AS x")],
    "detach": [made("table", "x", "DETACH main")],
    "pragma": [made("table", "x", "PRAGMA writable_schema = ON")],
    "user_version": [made("table", "x", "PRAGMA user_version = 99")],
    "vacuum into a file": [made("table", "x", "VACUUM INTO 'elsewhere.db'")],
    "drop": [made("table", "x", "DROP TABLE profiles")],
    "drop of an index": [made("index", "x", "DROP INDEX files_newest", "files")],
    "delete": [made("table", "x", "DELETE FROM profiles")],
    "insert": [made("table", "x", "INSERT INTO profiles (id) VALUES ('x')")],
    "with insert": [
        made(
            "table", "x", "WITH a AS (SELECT 1) INSERT INTO config (key, value) SELECT 1, 2 FROM a"
        )
    ],
    "update": [made("table", "x", "UPDATE schema_migrations SET name = 'x'")],
    "replace": [made("table", "x", "REPLACE INTO config (key, value) VALUES ('k', '1')")],
    "insert into the schema": [
        made(
            "table",
            "x",
            "INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 0, 'CREATE TABLE x (a)')",
        )
    ],
    "alter": [made("table", "x", "ALTER TABLE files ADD COLUMN x")],
    "rename": [made("table", "x", "ALTER TABLE files RENAME TO x")],
    "select": [made("table", "x", "SELECT 1")],
    "explain": [made("table", "x", "EXPLAIN CREATE TABLE x (a)")],
    "commit": [made("table", "x", "COMMIT")],
    "rollback": [made("table", "x", "ROLLBACK")],
    "savepoint": [made("table", "x", "SAVEPOINT x")],
    "release": [made("table", "x", "RELEASE own_object")],
    "analyze": [made("table", "x", "ANALYZE")],
    "reindex": [made("table", "x", "REINDEX")],
    "two statements": [made("table", "x", "CREATE TABLE x (a); DROP TABLE profiles")],
    "two statements, the other first": [
        made("table", "x", "DROP TABLE profiles; CREATE TABLE x (a)")
    ],
    "no statement": [made("table", "x", "")],
    "a comment": [made("table", "x", "-- CREATE TABLE x (a)")],
    "not SQL": [made("table", "x", "CREATE TABLE x (")],
    "a NUL": [made("table", "x", "CREATE TABLE x (a)\0; DROP TABLE profiles")],
    "as select": [made("table", "x", "CREATE TABLE x AS SELECT * FROM profiles")],
    "as select from the schema": [
        made("table", "x", "CREATE TABLE x AS SELECT * FROM sqlite_master")
    ],
    "temporary table": [made("table", "x", "CREATE TEMP TABLE x (a)")],
    "temporary schema": [made("table", "x", "CREATE TABLE temp.x (a)")],
    "temporary view": [made("view", "x", "CREATE TEMP VIEW x AS SELECT 1")],
    "temporary trigger": [
        NOTES,
        made(
            "trigger",
            "x",
            "CREATE TEMP TRIGGER x AFTER INSERT ON notes BEGIN SELECT 1; END",
            "notes",
        ),
    ],
    "another name": [made("table", "x", "CREATE TABLE y (a)")],
    "another case": [made("table", "x", "CREATE TABLE X (a)")],
    "another type": [made("view", "x", "CREATE TABLE x (a)")],
    "another table": [NOTES, made("index", "x", "CREATE INDEX x ON files (name)", "notes")],
    "another table of a trigger": [
        NOTES,
        made("trigger", "x", "CREATE TRIGGER x AFTER INSERT ON files BEGIN SELECT 1; END", "notes"),
    ],
    "a table of ours": [made("table", "files", "CREATE TABLE files (a)")],
    "a table of ours if not there": [
        made("table", "files", "CREATE TABLE IF NOT EXISTS files (a)")
    ],
    "a table of ours in another case": [made("table", "FILES", "CREATE TABLE FILES (a)")],
    "a virtual table of ours": [
        made("table", "Files", "CREATE VIRTUAL TABLE Files USING fts5 (a)")
    ],
    "a view of ours": [made("view", "Jobs", "CREATE VIEW Jobs AS SELECT 1")],
    "an index of ours": [
        NOTES,
        made("index", "Files_Newest", "CREATE INDEX Files_Newest ON notes (a)", "notes"),
    ],
    "a trigger with the name of a table of ours": [
        made("trigger", "files", "CREATE TRIGGER files AFTER INSERT ON files BEGIN SELECT 1; END")
    ],
    "a shadow table of ours": [
        made("table", "videos_fts_data", "CREATE TABLE IF NOT EXISTS videos_fts_data (id, block)")
    ],
    "a shadow table of another": [
        made("table", "words", "CREATE VIRTUAL TABLE words USING fts5 (a)"),
        made("table", "words_data", "CREATE TABLE IF NOT EXISTS words_data (id, block)"),
    ],
    "the same twice": [NOTES, NOTES],
    "the same twice in another case": [
        NOTES,
        made("table", "NOTES", "CREATE TABLE IF NOT EXISTS NOTES (a)"),
    ],
    "a table of SQLite's": [
        made("table", "sqlite_stat1", "CREATE TABLE sqlite_stat1 (tbl, idx, stat)")
    ],
    "a table that hides one of SQLite's": [
        made("table", "pragma_table_list", "CREATE TABLE pragma_table_list (schema, name, type)")
    ],
    "a view that hides one of SQLite's": [
        made("view", "JSON_each", "CREATE VIEW JSON_each AS SELECT 1 AS value")
    ],
    "dbstat": [made("table", "x", "CREATE VIRTUAL TABLE x USING dbstat")],
    "a tokenizer's table": [made("table", "x", "CREATE VIRTUAL TABLE x USING fts3tokenize")],
    "an unknown module": [
        made("table", "x", "CREATE VIRTUAL TABLE x USING csv (filename = '/etc/passwd')")
    ],
    "a temporary virtual table": [made("table", "x", "CREATE VIRTUAL TABLE temp.x USING fts5 (a)")],
    "a function of ours in CHECK": [made("table", "x", "CREATE TABLE x (a CHECK (folded(a) = a))")],
    "a function of ours in a generated column": [
        made("table", "x", "CREATE TABLE x (a, b AS (folded(a)))")
    ],
    "a function of ours in a stored column": [
        made("table", "x", "CREATE TABLE x (a, b AS (folded(a)) STORED)")
    ],
    "a function of ours in an index": [
        NOTES,
        made("index", "x", "CREATE INDEX x ON notes (folded(a))", "notes"),
    ],
    "a function of ours in a partial index": [
        NOTES,
        made("index", "x", "CREATE INDEX x ON notes (a) WHERE folded(a) = a", "notes"),
    ],
    "load_extension in a generated column": [
        made("table", "x", "CREATE TABLE x (a, b AS (load_extension(a)))")
    ],
    "a command among the settings": [
        made("table", "x", "CREATE TABLE x (a)", settings={"delete-all": 1})
    ],
    "a unique index that its rows break": [
        NOTES,
        made("index", "x", "CREATE UNIQUE INDEX x ON notes (1)", "notes"),
    ],
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_more_than_create_is_refused(what: str, tmp_path: Path) -> None:
    objects = REFUSED[what]
    rows = [("notes", {"rowid": number, "a": 1}) for number in (1, 2)] if NOTES in objects else []
    with pytest.raises(DatabaseError) as caught:
        asyncio.run(import_lines(tmp_path / "new.db", export(*objects, rows=[PROFILE, *rows])))
    assert caught.value.code == "export_format"
    assert str(caught.value).startswith(
        f"line {1 + len(objects)}: {objects[-1]['object']['type']} "
    )
    assert "nothing was imported" in str(caught.value)
    assert caught.value.details == {"line": 1 + len(objects)}
    assert list(tmp_path.iterdir()) == []


def loud(table: str) -> dict[str, Any]:
    """A trigger that nobody can miss when it runs."""
    name = f"loud_{table}"
    does = "BEGIN INSERT INTO notes VALUES (folded('X')); SELECT RAISE(ROLLBACK, 'it ran'); END"
    return made("trigger", name, f"CREATE TRIGGER {name} BEFORE INSERT ON {table} {does}", table)


@pytest.mark.long
@pytest.mark.parametrize("version", [1, SCHEMA_VERSION - 1, SCHEMA_VERSION])
def test_nothing_that_is_created_runs(version: int, tmp_path: Path) -> None:
    """Neither a trigger, while rows are stored and migrated, nor a function in a default or a view."""
    path = tmp_path / "new.db"
    default = "CREATE TABLE called (a, b DEFAULT (folded('X')), c DEFAULT (load_extension('x')))"
    objects = [
        NOTES,
        made("table", "called", default),
        made("view", "seen", "CREATE VIEW seen AS SELECT load_extension('x'), folded('X')"),
        *map(loud, ("profiles", "notes", "schema_migrations")),
    ]
    rows = [
        PROFILE,
        ("notes", {"rowid": 1, "a": 1}),
        ("called", {"rowid": 1, "a": 1, "b": 2, "c": 3}),
    ]
    asyncio.run(import_lines(path, export(*objects, rows=rows, version=version)))
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        assert native.execute("SELECT * FROM notes").fetchall() == [(1,)]
        assert native.execute("SELECT * FROM called").fetchall() == [(1, 2, 3)]
        assert native.execute("SELECT count(*) FROM profiles").fetchone() == (1,)
        assert native.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        native.execute("DROP TRIGGER loud_notes")
        native.create_function("folded", 1, str.casefold)
        with pytest.raises(sqlite3.IntegrityError, match="it ran"):
            native.execute("INSERT INTO profiles (id) VALUES ('bob')")  # they are there


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (
            "sqlite_schema",
            {"type": "table", "name": "x", "tbl_name": "x", "rootpage": 0, "sql": "x"},
        ),
        ("sqlite_stat1", {"tbl": "x", "idx": "x", "stat": "x"}),
        ("schema_migrations", {"version": 9, "name": "x", "checksum": "x", "applied_at": "x"}),
        ("database_identity", {"id": 2, "database_id": "x"}),
        ("audit_context", {"id": 1}),
        ("videos_fts", {"filename": "x", "path": "x"}),
        ("videos_fts_data", {"id": 1, "block": {"blob": "AA=="}}),
        ("words_data", {"id": 1, "block": {"blob": "AA=="}}),
        ("words", {"rowid": 1, "a": "x", "words": "delete-all"}),
        ("words", {"rowid": 1, "words": "delete-all"}),
        ("loud", {"a": 1}),
        ("Notes", {"rowid": 1, "a": 1}),
        ("notes", {"a": 1}),
        ("notes", {"rowid": 1, "a": 1, "b": 1}),
        ("notes", {"rowid": 1, "A": 1}),
        ("notes", {"rowid": 1, "a": True}),
        ("notes", {"rowid": 1, "a": [1]}),
        ("notes", {"rowid": 1, "a": {"blob": 1}}),
        ("notes", {"rowid": 1, "a": {"blob": "*"}}),
        ("notes", {"rowid": 1, "a": {"real": "nan"}}),
        ("notes", {"rowid": 1, "a": {"integer": "1"}}),
        ("notes", {"rowid": 1, "a": {}}),
        ("notes", {"rowid": 1, "a": {"blob": "", "text": ""}}),
        ("notes", {"rowid": 1, "a": 2**63}),
        ("notes", {"rowid": 1, "a": -(2**63) - 1}),
        ("notes", {"rowid": "x", "a": 1}),
        ("profiles", PROFILE[1] | {"id": None}),
        ("profiles", PROFILE[1] | {"created_at": "yesterday"}),
    ],
)
def test_a_row_that_is_none_is_refused_by_its_line(table: str, row: Any, tmp_path: Path) -> None:
    words = made("table", "words", "CREATE VIRTUAL TABLE words USING fts5 (a)")
    view = made("view", "loud", "CREATE VIEW loud AS SELECT 1 AS a")
    lines = export(NOTES, words, view, rows=[("notes", {"rowid": 9, "a": 1}), (table, row)])
    with pytest.raises(DatabaseError) as caught:
        asyncio.run(import_lines(tmp_path / "new.db", lines))
    assert caught.value.code in ("export_format", "constraint")
    is_unknown = "the database has no table" in str(caught.value)
    assert str(caught.value).startswith("line 1: " if is_unknown else "line 6: ")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_somebody_else_makes_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "new.db"

    def lines() -> Iterator[bytes]:
        for line in export(NOTES):
            yield line
            path.write_bytes(b"mine")

    with pytest.raises(DatabaseError, match="already exists"):
        asyncio.run(import_lines(path, lines()))
    assert path.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [path]
