"""Exports of every version of the schema that there was, as its release wrote them."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from commands import fill, rows, run, work

import reelbase
from reelbase import SCHEMA_VERSION
from reelbase.engine.schema.chain import migrations
from reelbase.operations.transfer import export_lines, import_lines

VERSIONS = range(1, SCHEMA_VERSION + 1)
_OF_THE_FILE = {"schema_migrations", "database_identity", "audit_context", "followed_changes"}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "media.db"
    work(path, fill)
    return path


def make_old(path: Path, version: int, filled: Path) -> Path:
    """A database as a version of the library left it, with the rows of today that it could hold."""
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        for migration in migrations()[:version]:
            native.executescript(migration.sql)
            native.execute(
                "INSERT INTO schema_migrations (version, name, checksum) VALUES (?, ?, ?)",
                (migration.version, migration.name, migration.checksum),
            )
        native.execute("ATTACH ? AS today", (str(filled),))
        triggers = native.execute(
            "SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' ORDER BY rowid"
        ).fetchall()
        for name, _ in triggers:
            native.execute(f"DROP TRIGGER {name}")
        for table, columns in columns_of(native).items():
            today = {row[1] for row in native.execute(f"PRAGMA today.table_info ({table})")}
            names = ", ".join(column for column in columns if column in today)
            native.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM today.{table}")
        for _, sql in triggers:
            native.execute(sql)
        if version > 1:  # ids of rows that are gone
            native.execute(
                "UPDATE main.sqlite_sequence SET seq = today.seq FROM today.sqlite_sequence AS today"
                " WHERE today.name = main.sqlite_sequence.name"
            )
    return path


def columns_of(native: sqlite3.Connection) -> dict[str, list[str]]:
    """Of the tables of the schema that are exported, but for counters; by name, as in an export."""
    tables = native.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
        " AND name NOT GLOB 'sqlite_*' ORDER BY name"
    ).fetchall()
    return {
        table: [row[1] for row in native.execute(f"PRAGMA main.table_info ({table})")]
        for (table,) in tables
        if table not in _OF_THE_FILE
    }


def export_of_format_1(path: Path, version: int) -> list[bytes]:
    """What the releases wrote that knew no objects."""
    with closing(sqlite3.connect(path)) as native:
        columns = columns_of(native)
        if version > 1:
            columns["sqlite_sequence"] = ["name", "seq"]
        held = {
            table: native.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()
            for table, names in columns.items()
        }
    header = {
        "reelbase_export": 1,
        "schema_version": version,
        "rows": {table: len(found) for table, found in held.items()},
    }
    lines: list[Any] = [header]
    for table, found in held.items():
        for row in found:
            values = [
                {"blob": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
                for value in row
            ]
            lines.append({table: dict(zip(columns[table], values, strict=True))})
    lines.append({"end": len(lines) - 1})
    return [json.dumps(line).encode() + b"\n" for line in lines]


def objects(path: Path) -> dict[str, object]:
    with closing(sqlite3.connect(path)) as native:
        found = native.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
    # Without comments and white space: ADD COLUMN leaves both elsewhere.
    return {
        f"{kind} {name}": (table, " ".join(re.sub(r"--[^\n]*", "", sql or "").split()))
        for kind, name, table, sql in found
    }


@pytest.mark.long
@pytest.mark.parametrize("target", ["new", "empty"])
@pytest.mark.parametrize("version", VERSIONS)
def test_what_an_older_release_exported_is_what_an_older_database_becomes(
    version: int, target: str, filled: Path, tmp_path: Path, path: Path
) -> None:
    old = make_old(tmp_path / "old.db", version, filled)
    lines = export_of_format_1(old, version)
    copy = path if target == "empty" else tmp_path / "copy.db"
    report = asyncio.run(import_lines(copy, lines))
    assert report.schema_version == version
    assert sum(report.rows.values()) == len(lines) - 2
    asyncio.run(reelbase.migrate(old))
    migrated, imported = rows(old), rows(copy)
    assert migrated.keys() == imported.keys()
    for table in migrated:
        if "_fts" not in table:
            assert imported[table] == migrated[table], table
    before, after = objects(old), objects(copy)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == set()

    async def look(database: reelbase.Database) -> None:
        assert (await database.check()).problems == []
        if version >= 5:
            assert len(await database.transcripts.search("ann", "東京")) == 1
        if version >= 3:
            newest = (await database.projects.add("next", "w")).id
            assert newest > 5  # also ids of rows that are gone are not used again

    work(copy, look)


@pytest.mark.long
@pytest.mark.parametrize("version", VERSIONS)
def test_an_older_database_may_be_exported_as_it_is(
    version: int, filled: Path, tmp_path: Path
) -> None:
    """With what is the application's own; nothing in it changes."""
    old = make_old(tmp_path / "old.db", version, filled)
    with closing(sqlite3.connect(old, isolation_level=None)) as native:
        native.execute("CREATE TABLE notes (file_id TEXT REFERENCES files (id), text TEXT)")
        native.execute("INSERT INTO notes SELECT id, name FROM files")
        native.execute("CREATE INDEX my_files ON files (name, path)")
        native.execute("CREATE TRIGGER my_jobs AFTER INSERT ON jobs BEGIN DELETE FROM notes; END")
    before = old.read_bytes()
    lines: list[bytes] = []
    report = asyncio.run(export_lines(old, lambda _, line: lines.append(line)))
    assert old.read_bytes() == before
    assert (report.schema_version, report.objects, report.left_out) == (version, 3, [])
    copy = tmp_path / "copy.db"
    asyncio.run(import_lines(copy, lines))
    asyncio.run(reelbase.migrate(old))
    assert rows(copy)["notes"] == rows(old)["notes"]
    assert objects(copy) == objects(old)


def test_a_newer_one_is_refused_and_says_what_to_install(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = tmp_path / "e.ndjson"
    assert run("export", filled, exported) == 0
    text = exported.read_text()
    for mark, newer in (
        (f'"schema_version":{SCHEMA_VERSION}', f'"schema_version":{SCHEMA_VERSION + 1}'),
        ('"reelbase_export":2', '"reelbase_export":3'),
    ):
        exported.write_text(text.replace(mark, newer))
        assert run("import", tmp_path / "copy.db", exported) == 1
        assert "install the release that wrote it, or a newer one" in capsys.readouterr().err
        assert not (tmp_path / "copy.db").exists()
