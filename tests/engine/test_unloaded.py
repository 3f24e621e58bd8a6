"""Promises about a database that needs what is not loaded: all but the parts that need it is looked after."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

import reelbase
from reelbase.cli.main import main


class Kind(NamedTuple):
    """user: who needs what is missing, as check() names it.  can_vacuum: whether the rebuild does without."""

    sql: str
    user: str
    missing: str
    can_vacuum: bool = False
    is_verified: bool = True


COLLATION, FUNCTION = "the collation natsort", "the function slug"
ROWS = "INSERT INTO app_a (name) VALUES ('b'), ('a');"
KINDS = {
    "a collation of a column": Kind(
        f"CREATE TABLE app_a (name TEXT COLLATE natsort); {ROWS}", "the table app_a", COLLATION
    ),
    "a collation of an index": Kind(
        f"CREATE TABLE app_a (name TEXT); {ROWS} CREATE INDEX app_i ON app_a (name COLLATE natsort)",
        "the index app_i",
        COLLATION,
        is_verified=False,
    ),
    "a collation of a key": Kind(
        f"CREATE TABLE app_a (name TEXT COLLATE natsort PRIMARY KEY) WITHOUT ROWID; {ROWS}",
        "the table app_a",
        COLLATION,
        is_verified=False,
    ),
    "a function of an index": Kind(
        f"CREATE TABLE app_a (name TEXT); {ROWS} CREATE INDEX app_i ON app_a (slug(name))",
        "the index app_i",
        FUNCTION,
        is_verified=False,
    ),
    "a function of a partial index": Kind(
        f"CREATE TABLE app_a (name TEXT); {ROWS}"
        "CREATE INDEX app_i ON app_a (name) WHERE slug(name) = 'a'",
        "the index app_i",
        FUNCTION,
        is_verified=False,
    ),
    "a function of a generated column": Kind(
        f"CREATE TABLE app_a (name TEXT, slug TEXT AS (slug(name))); {ROWS}",
        "the table app_a",
        FUNCTION,
        is_verified=False,
    ),
    "a function of a stored column": Kind(
        f"CREATE TABLE app_a (name TEXT, slug TEXT AS (slug(name)) STORED); {ROWS}",
        "the table app_a",
        FUNCTION,
    ),
    "a function of a CHECK": Kind(
        f"CREATE TABLE app_a (name TEXT CHECK (slug(name) <> '')); {ROWS}",
        "the table app_a",
        FUNCTION,
        is_verified=False,
    ),
    "a function of a default": Kind(
        f"CREATE TABLE app_a (name TEXT, slug TEXT DEFAULT (slug('x'))); {ROWS}",
        "the table app_a",
        FUNCTION,
        can_vacuum=True,
    ),
    "a function of a trigger": Kind(
        f"CREATE TABLE app_a (name TEXT); {ROWS}"
        "CREATE TRIGGER app_t AFTER UPDATE OF name ON app_a BEGIN SELECT slug(new.name); END",
        "the table app_a",
        FUNCTION,
        can_vacuum=True,
    ),
    "a function of a trigger of ours": Kind(
        "CREATE TRIGGER app_t AFTER DELETE ON config BEGIN SELECT slug(old.key); END",
        "the table config",
        FUNCTION,
        can_vacuum=True,
    ),
    "a function of a view": Kind(
        "CREATE VIEW app_v AS SELECT slug(name) AS slug FROM projects",
        "the view app_v",
        FUNCTION,
        can_vacuum=True,
    ),
    "a module": Kind(
        "CREATE VIRTUAL TABLE app_a USING fts5 (name); PRAGMA writable_schema = 1;"
        "UPDATE sqlite_schema SET sql = replace(sql, 'fts5', 'vec0') WHERE name = 'app_a'",
        "the table app_a",
        "the module vec0",
        can_vacuum=True,
    ),
    "a tokenizer": Kind(
        f"CREATE VIRTUAL TABLE app_a USING fts5 (name); {ROWS} PRAGMA writable_schema = 1;"
        "UPDATE sqlite_schema SET sql = replace(sql, '(name)', '(name, tokenize = ''icu'')')"
        " WHERE name = 'app_a'",
        "the table app_a",
        "the tokenizer icu",
        can_vacuum=True,
    ),
}  # fmt: skip


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
async def path(kind: Kind, tmp_path: Path) -> Path:
    """A database with a row of ours, and with objects of an application that has loaded what they need."""
    path = tmp_path / "media.db"
    async with reelbase.connect(path) as database:
        await database.config.set("theme", "dark")
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.create_collation("natsort", lambda a, b: (a > b) - (a < b))
        native.create_function("slug", 1, str, deterministic=True)
        native.executescript(kind.sql)
    return path


async def test_a_backup_is_complete_and_says_what_it_could_not_verify(
    kind: Kind, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with reelbase.connect(path) as database:
        await database.backup(tmp_path / "copy.db")
    said = [
        record.message for record in caplog.records if "could not be verified" in record.message
    ]
    assert bool(said) is not kind.is_verified
    assert all(
        f"table app_a could not be verified: it needs {kind.missing}" in message for message in said
    )
    assert await reelbase.restore(tmp_path / "copy.db", tmp_path / "restored.db") is None
    schemas = []
    for file in (path, tmp_path / "restored.db"):
        with closing(sqlite3.connect(file)) as native:
            schemas.append(native.execute("SELECT * FROM sqlite_schema").fetchall())
    assert schemas[0] == schemas[1]


async def test_check_names_what_needs_it(kind: Kind, path: Path) -> None:
    async with reelbase.connect(path) as database:
        report = await database.check()
        assert (await database.stats()).rows["config"] == 1
    assert report.problems == []
    assert f"{kind.user} needs {kind.missing}, which is not loaded here" in report.warnings
    is_skipped = f"not checked: the table app_a, which needs {kind.missing}" in report.warnings
    assert is_skipped <= (not kind.is_verified)


async def test_damage_elsewhere_is_still_found(kind: Kind, path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.executescript(
            """
            CREATE TABLE app_z (n INTEGER);
            INSERT INTO app_z VALUES (1), (2);
            CREATE INDEX app_z_n ON app_z (n) WHERE n > 1;
            PRAGMA writable_schema = 1;  -- an index of all rows, which lacks one
            UPDATE sqlite_schema SET sql = 'CREATE INDEX app_z_n ON app_z (n)' WHERE name = 'app_z_n';
            """
        )
    async with reelbase.connect(path) as database:
        with pytest.raises(
            reelbase.DatabaseCorruptError, match="an index of table app_z is damaged"
        ):
            await database.backup(tmp_path / "copy.db")
    assert sorted(os.listdir(tmp_path)) == ["media.db"]


async def test_vacuum_is_done_or_names_what_it_needs(kind: Kind, path: Path) -> None:
    async with reelbase.connect(path) as database:
        if kind.can_vacuum:
            await database.vacuum()
            return
        with pytest.raises(reelbase.DatabaseError, match=f"{kind.missing}.*{kind.user}") as caught:
            await database.vacuum()
        assert await database.config.get("theme") == "dark"
    assert caught.value.code == "not_loaded"
    assert caught.value.details["missing"] == kind.missing
    assert f"{kind.user} needs {kind.missing}" in caught.value.details["needs"]


@pytest.mark.long
async def test_statistics_are_gathered_of_the_rest(
    kind: Kind, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with reelbase.connect(path) as database:
        await database.execute("CREATE TABLE app_n (name TEXT)")
        await database.execute("INSERT INTO app_n VALUES ('a')")
        await database.optimize()
        tables = await database.fetch_all(str, "SELECT DISTINCT tbl FROM sqlite_stat1")
    assert "app_n" in tables
    left_out = [
        record.message
        for record in caplog.records
        if record.message.startswith(("no statistics", "the search index"))
    ]
    assert all(kind.missing in message for message in left_out)
    assert left_out or kind.is_verified or kind.missing == FUNCTION  # which ANALYZE does not call


@pytest.mark.long
def test_commands_do_without_it(
    kind: Kind, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: object) -> dict[str, object]:
        code = main([str(argument) for argument in arguments])
        out = capsys.readouterr().out
        assert code in (0, None)
        found: dict[str, object] = json.loads(out) if "--json" in arguments else {}
        return found

    run("backup", path, tmp_path / "copy.db")
    assert run("check", "--json", path)["ok"] is True
    tables = run("inspect", "--json", path)["tables"]
    assert isinstance(tables, list)
    rows = {table["name"]: table["rows"] for table in tables}
    assert rows["config"] == 1
    assert rows.get("app_a", 0) in (None, 0, 2)
    run("inspect", path)
    run("optimize", path)
    if (
        kind.user != "the table config"
    ):  # its rows can only be deleted where the trigger's function is
        facts = run("reset", "--yes", "--json", path)
        assert (facts["not_vacuumed"] is None) is kind.can_vacuum


@pytest.mark.long
async def test_a_command_shows_the_warnings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is loaded everywhere is no news."""
    caplog.set_level(logging.WARNING, "reelbase")
    async with reelbase.connect(tmp_path / "media.db") as database:
        await database.execute("CREATE TABLE app_a (name TEXT COLLATE nocase)")
        await database.execute("CREATE VIEW app_v AS SELECT * FROM gone")
        await database.backup(tmp_path / "copy.db")
        await database.optimize()
        report = await database.check()
    assert caplog.records == []
    assert [warning for warning in report.warnings if "WAL-reset" not in warning] == []
