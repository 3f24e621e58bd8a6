"""reelbase export and reelbase import."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import fill, rows, run, work
from samples import CASES, contents, quoted

import reelbase
from reelbase import Database, DatabaseError, Migrations
from reelbase.operations.transfer import export_lines, import_lines


@pytest.fixture
def filled(path: Path) -> Path:
    work(path, fill)
    return path


def test_what_is_exported_and_imported_is_the_same_in_every_table(
    filled: Path, tmp_path: Path, facts: Callable[..., Any]
) -> None:
    with contextlib.closing(sqlite3.connect(filled)) as native:
        native.execute("CREATE TABLE notes (text)")
        native.execute("ANALYZE")  # statistics are not carried
    exported, again = tmp_path / "export.ndjson", tmp_path / "again.ndjson"
    done = facts("export", filled, exported)
    assert set(done["rows"]) >= {case.table for case in CASES} | {"sqlite_sequence"}
    assert exported.stat().st_mode & 0o777 == 0o600
    copy = tmp_path / "copy.db"
    facts("import", copy, exported)
    before, after = rows(filled), rows(copy)
    shadows = {name for name in before if "_fts" in name}
    assert before.keys() == after.keys()
    for name in before.keys() - shadows:
        assert after[name] == before[name], name
    facts("export", copy, again)
    assert again.read_bytes() == exported.read_bytes()

    async def look(database: Database) -> None:
        assert (await database.check()).ok
        assert len(await database.transcripts.search("ann", "東京")) == 1
        assert len(await database.summaries.search("ann", "予算")) == 1
        config = await database.llm_configs.list_for_profile("ann")
        with_key = [found.id for found in config if found.has_api_key]
        assert await database.llm_configs.api_key(with_key[0]) == "sk-1"
        newest = (await database.projects.add("next", "w")).id
        assert newest > 5  # also ids of rows that are gone are not used again

    work(copy, look)


def test_a_folder_has_a_file_per_table(
    filled: Path, tmp_path: Path, facts: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "export"
    facts("export", filled, f"{folder}/")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {"reelbase.ndjson", "files.ndjson", "transcript_segments.ndjson"} <= {
        file.name for file in folder.iterdir()
    }
    copy = tmp_path / "copy.db"
    facts("import", copy, folder)
    assert rows(copy)["files"] == rows(filled)["files"]
    assert run("export", filled, folder) == 2
    assert "not empty" in capsys.readouterr().err


def test_export_and_import_through_a_pipe(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe, write_through=True))
    assert run("export", filled) == 0
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(pipe.getvalue())))
    copy = tmp_path / "copy.db"
    assert run("import", copy, "-") == 0
    assert rows(copy)["files"] == rows(filled)["files"]


def mangled(lines: list[bytes]) -> dict[str, list[bytes]]:
    row = next(number for number, line in enumerate(lines) if line.startswith(b'{"files"'))
    header = json.loads(lines[0])
    return {
        "empty": [],
        "no header": lines[1:],
        "a newer format": [json.dumps(header | {"reelbase_export": 3}).encode(), *lines[1:]],
        "no format": [json.dumps(header | {"reelbase_export": 0}).encode(), *lines[1:]],
        "an older schema": [json.dumps(header | {"schema_version": 1}).encode(), *lines[1:]],
        "a newer schema": [json.dumps(header | {"schema_version": 99}).encode(), *lines[1:]],
        "no schema": [json.dumps(header | {"schema_version": 0}).encode(), *lines[1:]],
        "more objects": [json.dumps(header | {"objects": 1}).encode(), *lines[1:]],
        "an unknown table": [
            json.dumps(header | {"rows": header["rows"] | {"x": 0}}).encode(),
            *lines[1:],
        ],
        "cut off": lines[:-1],
        "cut in a line": [*lines[:-2], lines[-2][:10]],
        "a row less": [*lines[:row], *lines[row + 1 :]],
        "a row twice": [*lines[: row + 1], *lines[row:]],
        "a lost file": [line for line in lines if not line.startswith(b'{"sessions"')],
        "garbage": [*lines[:row], b"garbage\n", *lines[row:]],
        "a list": [*lines[:row], b"[]\n", *lines[row:]],
        "no row": [*lines[:row], b'{"files": 5}\n', *lines[row:]],
        "another column": [*lines[:row], b'{"files": {"id": 5}}\n', *lines[row:]],
        "an unknown row": [*lines[:row], b'{"x": {}}\n', *lines[row:]],
        "a broken blob": [
            line.replace(b'{"blob":"', b'{"blob":"*') if b"llm_configs" in line else line
            for line in lines
        ],
        "more": [*lines, lines[row]],
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("exported")
    work(folder / "source.db", fill)
    assert run("export", folder / "source.db", folder / "export.ndjson") == 0
    return (folder / "export.ndjson").read_bytes().splitlines(keepends=True)


@pytest.mark.long
@pytest.mark.parametrize("what", mangled([b'{"rows": {}}', b'{"files"']))
def test_what_is_no_whole_export_imports_nothing(
    what: str, exported: list[bytes], path: Path, tmp_path: Path
) -> None:
    """Neither into a new file, nor into one that is empty, nor into a database without rows."""
    empty = tmp_path / "empty.db"
    empty.touch()
    before = path.read_bytes()
    for target in (tmp_path / "new.db", empty, path):
        with pytest.raises(DatabaseError) as caught:
            asyncio.run(import_lines(target, mangled(exported)[what]))
        assert caught.value.code in ("export_format", "constraint", "broken_reference")
    assert sorted(tmp_path.iterdir()) == sorted({empty, path})
    assert empty.read_bytes() == b""
    assert path.read_bytes() == before


async def test_only_an_empty_database_takes_an_export(
    exported: list[bytes], database: Database, path: Path
) -> None:
    """Also one that an application has open."""
    await import_lines(path, exported)
    assert await database.profiles.count() == 4
    before = contents(path)
    with pytest.raises(DatabaseError) as caught:
        await import_lines(path, exported)
    assert caught.value.code == "not_empty"
    assert contents(path) == before


def test_a_target_that_exists_is_left_alone(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "there.txt"
    target.write_text("mine")
    assert run("export", filled, target) == 2
    assert "exists already" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert run("export", filled, "--json") == 2  # both on the output
    assert run("export", tmp_path / "nothing.db", target) == 2
    assert run("import", tmp_path / "new.db", tmp_path / "nothing") == 2
    assert not (tmp_path / "new.db").exists()


# What is the application's own

OWN = r"""
CREATE TABLE notes (text);
INSERT INTO notes VALUES
  ('a'), (1), (1.5), (-0.0), (1.0), (x'00ff'), (x''), (''), (NULL), (9e999), (-9e999), (9223372036854775807),
  (CAST(x'61ff62' AS TEXT)), (CAST(x'eda080' AS TEXT)), ('nul' || char(0) || 'x'), ('{"blob":"AA=="}');
DELETE FROM notes WHERE rowid = 2;
INSERT INTO notes (rowid, text) VALUES (-5, 'before'), (9223372036854775807, 'last');

CREATE TABLE "or""der
it's [odd] ☃/.." ("select" TEXT, "a""b" INT, rowid BLOB, "'" REAL, PRIMARY KEY ("select")) STRICT;
INSERT INTO "or""der
it's [odd] ☃/.." VALUES ('k', 5, x'01', 3);
CREATE TABLE Files2 (a);
CREATE TABLE fİles2 (a);
INSERT INTO fİles2 VALUES (1);
CREATE TABLE "end" (a);
INSERT INTO "end" VALUES (1);
CREATE TABLE object (type, name, "table", sql);
INSERT INTO object VALUES ('table', 'x', 'x', 'CREATE TABLE x (a)');

CREATE TABLE in_key_order (a, b, PRIMARY KEY (b DESC, a)) WITHOUT ROWID;
INSERT INTO in_key_order VALUES (1, 2), (3, 4), (1, 4);
CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, v);
INSERT INTO counted VALUES (10, 'x'), (20, 'y');
DELETE FROM counted WHERE id = 20;
CREATE TABLE gone (id INTEGER PRIMARY KEY AUTOINCREMENT);
INSERT INTO gone VALUES (5);
DROP TABLE gone;
CREATE TABLE generated (a INT, b INT AS (a * 2), c INT AS (a * 3) STORED, CHECK (a < 100));
INSERT INTO generated (a) VALUES (5);
CREATE TABLE hides_rowids (rowid, _rowid_, oid, UNIQUE (oid, rowid, _rowid_));
INSERT INTO hides_rowids VALUES (3, 2, 9), (1, 1, 1);
CREATE TABLE key_is_no_rowid (id INTEGER PRIMARY KEY DESC, v);
INSERT INTO key_is_no_rowid VALUES (5, 'x'), (3, 'y'), (NULL, 'z');
CREATE TABLE no_constraint_now (at TEXT CHECK (at > '2'), n INT UNIQUE ON CONFLICT REPLACE);
PRAGMA ignore_check_constraints = ON;
INSERT INTO no_constraint_now VALUES ('1999', 1);
PRAGMA ignore_check_constraints = OFF;
CREATE TABLE marks (file_id TEXT REFERENCES files (id) ON DELETE CASCADE, n INT);
INSERT INTO marks SELECT id, 1 FROM files;
INSERT INTO marks VALUES ('refers to nothing', 2);
CREATE TABLE refers_to_no_table (x REFERENCES nowhere (y));
INSERT INTO refers_to_no_table VALUES (1);

CREATE VIRTUAL TABLE words USING fts5 (a, b UNINDEXED, tokenize = 'porter');
INSERT INTO words (words, rank) VALUES ('rank', 'bm25(10.0)'), ('pgsz', 1000);
INSERT INTO words (rowid, a, b) VALUES (7, 'hello worlds', 5), (3, 'other', x'00');
CREATE VIRTUAL TABLE notes_words USING fts5 (text, content = 'notes', content_rowid = 'rowid');
INSERT INTO notes_words (rowid, text) SELECT rowid, text FROM notes WHERE rowid < 4;
CREATE VIRTUAL TABLE seen_words USING fts5 (text, content = 'notes_seen', columnsize = 0);
CREATE VIRTUAL TABLE old_words USING fts4 (a, languageid="language");
INSERT INTO old_words (docid, a, language) VALUES (3, 'foo', 7);
CREATE VIRTUAL TABLE boxes USING rtree (id, x0, x1, +name);
INSERT INTO boxes VALUES (5, 0.1, 0.2, 'A'), (2, 1, 2, 'B');
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, 'row');

CREATE INDEX notes_text ON notes (text);
CREATE UNIQUE INDEX notes_once ON notes (text) WHERE typeof(text) = 'text';
CREATE INDEX files_lower ON files (lower(name)) WHERE name > '';
CREATE VIEW notes_seen (rowid, text) AS
  SELECT rowid, text FROM notes WHERE typeof(text) = 'text' AND rowid < 2;
CREATE VIEW broken AS SELECT * FROM nowhere;
CREATE VIEW odd AS SELECT app_function(1);
CREATE TRIGGER notes AFTER INSERT ON notes
BEGIN INSERT INTO notes_words (rowid, text) VALUES (new.rowid, new.text); END;
CREATE TRIGGER files_noted AFTER INSERT ON files BEGIN INSERT INTO notes VALUES (app_function(new.id)); END;
CREATE TRIGGER noted AFTER UPDATE OF TEXT ON Notes BEGIN DELETE FROM nowhere; END;
CREATE TRIGGER odd_instead INSTEAD OF INSERT ON ODD BEGIN DELETE FROM notes; END;
ANALYZE;
"""


def change(path: Path, script: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.executescript(script)


def schema(path: Path) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as native:
        return native.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_schema"
            " WHERE name NOT GLOB 'sqlite_stat*' ORDER BY type, name"
        ).fetchall()


def held(path: Path, *tables: str) -> dict[str, object]:
    """The rows of these tables to the bit, in the order that their keys give."""
    found: dict[str, object] = {}
    with contextlib.closing(sqlite3.connect(path)) as native:
        native.text_factory = lambda raw: ("text", raw)
        for table in tables:
            found[table] = list(map(repr, native.execute(f"SELECT * FROM {quoted(table)}")))
    return found


def tables_of(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as native:
        return [
            name
            for (name,) in native.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_stat*'"
            )
        ]


@pytest.fixture
def with_own(path: Path) -> Path:
    async def begin(database: Database) -> None:
        await database.profiles.ensure("ann")
        await database.files.add("ann", "n", "p")

    work(path, begin)
    change(path, OWN)
    return path


@pytest.mark.long
@pytest.mark.parametrize("target", ["export.ndjson", "export/"])
def test_what_is_ones_own_comes_along(
    target: str, with_own: Path, tmp_path: Path, facts: Callable[..., Any]
) -> None:
    """Whatever its names, types and keys are; and a second export is the same to the byte."""
    exported, again = tmp_path / "first" / target, tmp_path / "second" / target
    for folder in (exported, again):
        folder.parent.mkdir()
    name = f"{exported}/" if target.endswith("/") else exported
    done = facts("export", with_own, name)
    assert done["left_out"] == []
    assert done["rows"]["notes"] == 17
    copy = tmp_path / "copy.db"
    facts("import", copy, exported)
    assert schema(copy) == schema(with_own)
    shadows = [
        table
        for table in tables_of(copy)
        if table.rpartition("_")[2] in ("data", "idx", "segments")
    ]
    tables = set(tables_of(with_own)) - {"schema_migrations", "database_identity", *shadows}
    # These hold how an index came about: in one piece, or bit by bit.
    tables -= {
        "boxes",
        "boxes_node",
        "boxes_rowid",
        "boxes_parent",
        "old_words_segdir",
        "sqlite_sequence",
    }
    # Names of files are indexed by the hundreds, and those of an import at once.
    tables = {table for table in tables if not table.startswith("file_names_fts")}
    before, after = held(with_own, *tables), held(copy, *tables)
    for table in tables:
        assert after[table] == before[table], table
    name = f"{again}/" if target.endswith("/") else again
    facts("export", copy, name)
    for file in sorted(exported.iterdir()) if exported.is_dir() else [exported]:
        assert (again / file.name if again.is_dir() else again).read_bytes() == file.read_bytes()

    with contextlib.closing(sqlite3.connect(copy)) as native:

        def found(sql: str) -> list[tuple[Any, ...]]:
            return native.execute(sql).fetchall()

        # As in the first one.
        assert found("PRAGMA integrity_check") == [
            ("CHECK constraint failed in no_constraint_now",)
        ]
        assert found("SELECT a FROM words WHERE words MATCH 'world'") == [("hello worlds",)]
        assert found("SELECT rowid FROM notes_words WHERE notes_words MATCH 'a'") == [(1,)]
        assert found("SELECT rowid FROM notes_words WHERE notes_words MATCH 'last'") == []
        assert found("SELECT rowid FROM seen_words WHERE seen_words MATCH 'before'") == [(-5,)]
        assert found("SELECT a FROM old_words WHERE old_words MATCH 'foo' AND language = 7")
        assert found("SELECT * FROM boxes ORDER BY id") == [
            (2, 1.0, 2.0, "B"),
            (5, 0.09999998658895493, 0.20000000298023224, "A"),  # as it was: 32 bits
        ]
        assert found("SELECT seq FROM sqlite_sequence WHERE name = 'counted'") == [(20,)]
        assert found("SELECT seq FROM sqlite_sequence WHERE name = 'gone'") == []
        assert found("SELECT v FROM words_config WHERE k = 'rank'") == [("bm25(10.0)",)]
        assert found("SELECT count(*) FROM sqlite_stat1") == [(0,)]  # statistics do not come along
        assert found("SELECT rowid FROM notes ORDER BY rowid LIMIT 3") == [(-5,), (1,), (3,)]


@pytest.mark.long
def test_the_ledger_of_an_application_comes_along(
    tmp_path: Path, facts: Callable[..., Any]
) -> None:
    """So that its migrations are not run again."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_notes.sql").write_text("CREATE TABLE notes (text TEXT);")
    mine = Migrations("notebook", folder)

    async def open_with_migrations(path: Path) -> list[str]:
        async with reelbase.connect(path, migrations=mine) as database:
            await database.execute("INSERT INTO notes VALUES ('n')")
            return await database.fetch_all(str, "SELECT text FROM notes")

    first, second = tmp_path / "first.db", tmp_path / "second.db"
    assert asyncio.run(open_with_migrations(first)) == ["n"]
    facts("export", first, tmp_path / "e.ndjson")
    facts("import", second, tmp_path / "e.ndjson")
    history = asyncio.run(reelbase.migration_history(second))
    assert history[-1] == asyncio.run(reelbase.migration_history(first))[-1]
    assert asyncio.run(open_with_migrations(second)) == ["n", "n"]


LEFT_OUT = r"""
CREATE TABLE sorted (name TEXT COLLATE by_number);
CREATE TABLE checked (a CHECK (app_function(a)));
CREATE TABLE computed (a, b AS (app_function(a)));
CREATE TABLE kept (a TEXT, b DEFAULT (app_function(1)));
INSERT INTO kept VALUES ('x', 1);
CREATE INDEX kept_function ON kept (app_function(a));
CREATE INDEX kept_sorted ON kept (a COLLATE by_number);
CREATE INDEX checked_a ON checked (a);
CREATE TRIGGER checked_inserted AFTER INSERT ON checked BEGIN DELETE FROM kept; END;
CREATE VIRTUAL TABLE bare USING fts5 (text, content = '');
INSERT INTO bare (rowid, text) VALUES (1, 'word');
CREATE VIRTUAL TABLE lost USING fts5 (text, content = 'nowhere');
CREATE VIRTUAL TABLE pages USING dbstat;
"""


@pytest.mark.long
def test_what_cannot_come_along_is_named(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.create_function("app_function", 1, bool, deterministic=True)
        native.create_collation("by_number", lambda left, right: (left > right) - (left < right))
        native.executescript(LEFT_OUT)
        native.execute("PRAGMA writable_schema = ON")
        native.execute(
            "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES"
            " ('table', 'vectors', 'vectors', 0, 'CREATE VIRTUAL TABLE vectors USING vec0 (v)')"
        )
        native.execute("PRAGMA writable_schema = OFF")
    exported, copy = tmp_path / "e.ndjson", tmp_path / "copy.db"
    assert run("export", path, exported, "--json") == 1
    shown = capsys.readouterr()
    reasons = {
        "table sorted": "no such collation sequence: by_number",
        "table checked": "no such function: app_function",
        "table computed": "no such function: app_function",
        "table pages": "virtual tables of the module dbstat do not come along",
        "table vectors": "virtual tables of the module vec0 do not come along",
        "index kept_function on kept": "no such function: app_function",
        "index kept_sorted on kept": "no such collation sequence: by_number",
        "index checked_a on checked": "no such table: main.checked",
        "trigger checked_inserted on checked": "no such table: main.checked",
        "rows of table bare": "'rebuild' may not be used with a contentless fts5 table",
        "rows of table lost": "cannot be read",
    }
    left_out = {left["what"]: left["why"] for left in json.loads(shown.out)["left_out"]}
    assert left_out.keys() == reasons.keys()
    for what, why in reasons.items():
        assert why in left_out[what]
        assert f"reelbase export: left out: {what}: " in shown.err
    # What is left is a whole export.
    assert run("import", copy, exported) == 0
    assert held(copy, "kept") == held(path, "kept")
    assert {row[1] for row in schema(path)} - {row[1] for row in schema(copy)} == {
        what.split()[1] for what in reasons if not what.startswith("rows")
    }
    capsys.readouterr()
    assert run("export", path) == 1  # to the output
    assert "left out: table sorted" in capsys.readouterr().err


def test_a_schema_that_was_changed_by_hand_is_named(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An import may refuse it, or lack what somebody has put there."""
    change(path, "ALTER TABLE files ADD COLUMN rating TEXT")
    change(path, "CREATE TRIGGER Jobs AFTER INSERT ON files BEGIN SELECT 1; END")
    assert run("export", path, tmp_path / "e.ndjson") == 1
    errors = capsys.readouterr().err
    assert "left out: schema: table files has a column rating that is not ours" in errors
    assert (
        "left out: schema: table jobs is missing: its name is taken by trigger Jobs on files"
        in errors
    )


# Where and when


@pytest.mark.long
def test_an_import_is_a_database_of_its_own(
    filled: Path, tmp_path: Path, facts: Callable[..., Any]
) -> None:
    copy = tmp_path / "copy.db"
    facts("export", filled, tmp_path / "e.ndjson")
    facts("import", copy, tmp_path / "e.ndjson")
    assert copy.stat().st_mode & 0o777 == 0o600

    ids = {contents(path)["database_identity"][0][1] for path in (filled, copy)}
    assert len(ids) == 2


@pytest.mark.long
def test_an_export_may_be_made_while_the_database_is_in_use(
    path: Path, tmp_path: Path, facts: Callable[..., Any], journal: str
) -> None:
    """It has what was committed when it began. (On a rollback journal a writer and a reader take turns.)"""

    async def at_work(database: Database) -> None:
        await database.profiles.ensure("ann")
        async with database.transaction() as unit:
            await unit.profiles.ensure("bob")
            if journal == "wal":
                done = await asyncio.to_thread(facts, "export", path, tmp_path / "during.ndjson")
                assert done["rows"]["profiles"] == 1
        done = await asyncio.to_thread(facts, "export", path, tmp_path / "after.ndjson")
        assert done["rows"]["profiles"] == 2

    work(path, at_work)


@pytest.mark.long
@pytest.mark.parametrize("is_new", [True, False])
async def test_a_cancelled_import_leaves_nothing(
    is_new: bool, path: Path, tmp_path: Path, exported: list[bytes]
) -> None:
    """Also in the middle of a statement that takes long."""
    target = tmp_path / "new.db" if is_new else path
    before = contents(path)
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    def fed() -> Iterator[bytes]:
        for number, line in enumerate(exported):
            yield line
            if number == 50:
                loop.call_soon_threadsafe(begun.set)
                while not task.cancelling():
                    time.sleep(0.001)

    task = asyncio.ensure_future(import_lines(target, fed()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert contents(path) == before
    assert {name.removesuffix("-wal").removesuffix("-shm") for name in os.listdir(tmp_path)} == {
        "media.db"
    }


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "line", "new", "place"),
    [
        ("files.ndjson", 2, b"garbage\n", "files.ndjson, line 2: no row of a table"),
        (
            "profiles.ndjson",
            1,
            b'{"profiles":{}}\n',
            "profiles.ndjson, line 1: no row of table profiles",
        ),
        ("reelbase.ndjson", 1, b"garbage\n", "reelbase.ndjson, line 1: not the first line"),
        ("reelbase.ndjson", 2, b"garbage\n", "reelbase.ndjson, line 2: not an object"),
        ("reelbase.ndjson", 3, b"garbage\n", "reelbase.ndjson, line 3: no row"),
        ("reelbase.ndjson", 3, b"", "reelbase.ndjson, line 3: the export is cut off"),
    ],
)
def test_an_error_in_a_folder_names_the_file_and_its_line(
    file: str,
    line: int,
    new: bytes,
    place: str,
    filled: Path,
    tmp_path: Path,
    facts: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(filled, 'CREATE TABLE "no/../file\'s: name?" (text); CREATE TABLE con (a)')
    change(filled, 'DROP TABLE con; INSERT INTO "no/../file\'s: name?" VALUES (1)')
    folder = tmp_path / "export"
    facts("export", filled, f"{folder}/")
    lines = (folder / file).read_bytes().splitlines(keepends=True)
    lines[line - 1] = new
    (folder / file).write_bytes(b"".join(lines))
    assert run("import", tmp_path / "copy.db", folder) == 1
    assert capsys.readouterr().err.startswith(f"reelbase import: {place}")
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.parametrize("content", [b"", b"\n", b"{}"])
def test_a_folder_without_a_first_line_is_no_export(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reelbase.ndjson").write_bytes(content)
    assert run("import", tmp_path / "copy.db", tmp_path) == 1
    assert "reelbase.ndjson, line 1: not the first line of an export" in capsys.readouterr().err


def test_an_empty_file_is_no_database_to_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.db").touch()
    assert run("export", tmp_path / "empty.db", tmp_path / "e.ndjson") == 2
    assert "is empty; name a database" in capsys.readouterr().err
    assert not (tmp_path / "e.ndjson").exists()


async def test_an_export_that_cannot_be_written_ends_at_once_and_keeps_nothing_open(
    path: Path, database: Database
) -> None:
    """The error is the one of the writing; its traceback does not keep a reader in the database."""
    await database.profiles.ensure("ann")

    def write(table: str, line: bytes) -> None:
        if table:
            raise OSError("the pipe is gone")

    with pytest.raises(OSError, match="the pipe is gone"):
        await export_lines(path, write)
    assert await database.checkpoint()
