"""The commands that make, show and tidy a database."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import fill, run, work
from samples import contents

import reelbase
from reelbase import Database

# init


@pytest.mark.long
def test_init_makes_a_database_for_its_owner_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new folder" / "media.db"
    assert run("init", path) == 0
    assert f"{path}: made" in capsys.readouterr().out
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    assert run("init", path) == 0
    assert "there already" in capsys.readouterr().out
    assert path.read_bytes() == before


def test_init_refuses_another_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("notes" * 1000)
    assert run("init", path) == 1
    assert capsys.readouterr().err.startswith("reelbase init: ")
    assert path.read_text() == "notes" * 1000


# inspect


def test_inspect_shows_everything_and_changes_nothing(
    path: Path, facts: Callable[..., Any]
) -> None:
    work(path, fill)
    with contextlib.closing(sqlite3.connect(path)) as native:
        native.execute("CREATE TABLE notes (text)")
    before = path.read_bytes()
    shown = facts("inspect", path)
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == [path]
    tables = {table["name"]: table for table in shown["tables"]}
    held = contents(path)
    assert {name: table["rows"] for name, table in tables.items() if table["is_ours"]} == {
        name: len(held[name]) for name in held if name in tables and name != "notes"
    }
    assert not tables["notes"]["is_ours"]
    sizes = [table["size_bytes"] for table in shown["tables"]]
    sizes += [index["size_bytes"] for table in shown["tables"] for index in table["indexes"]]
    assert 0 < sum(sizes) <= shown["size_bytes"]
    assert {index["name"] for index in tables["files"]["indexes"]} > {"files_newest"}
    assert shown["statuses"]["jobs"]["running"] == 2
    assert shown["statuses"]["file_processing"] == {"queued": 1}
    assert {"profile_id": "ann", "name": "Straße", "files": 1} in shown["tags"]
    assert shown["orphans"] == {}
    assert shown["schema_version"] == shown["latest_schema_version"] == reelbase.SCHEMA_VERSION
    assert shown["journal_mode"] in shown["journal_reason"].lower()


@pytest.mark.long
def test_inspect_finds_orphans(path: Path, facts: Callable[..., Any]) -> None:
    work(path, fill)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute("INSERT INTO prompts (text) VALUES ('at the prompt')")
        native.execute("INSERT INTO videos_fts (rowid, filename) VALUES (999, 'gone')")
        native.execute("DELETE FROM sessions")  # foreign keys are off at the prompt
        native.execute("DELETE FROM files WHERE id IN (SELECT target_id FROM job_references)")
    orphans = facts("inspect", path)["orphans"]
    assert orphans["prompts that search does not find"] == 1
    assert orphans["videos that search finds though they are gone"] == 1
    assert orphans["downloads that refer to missing sessions"] == 3
    assert orphans["jobs that name files that are gone"] == 4


@pytest.mark.long
def test_inspect_shows_an_old_database_as_it_is(
    tmp_path: Path, facts: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "old.db"
    first = Path(reelbase.__file__).parent / "migrations" / "0001_foundation.sql"
    with contextlib.closing(sqlite3.connect(path)) as native:
        native.executescript(first.read_text("utf-8"))
    before = path.read_bytes()
    assert facts("inspect", path)["schema_version"] == 1
    assert run("inspect", path) == 0
    assert "`reelbase migrate`" in capsys.readouterr().out
    assert path.read_bytes() == before


def test_inspect_while_an_application_is_at_work(path: Path, facts: Callable[..., Any]) -> None:
    async def at_work(database: Database) -> None:
        await database.profiles.ensure("ann")
        if database.journal.mode == "wal":
            async with database.transaction() as unit:
                await unit.profiles.ensure("bob")
                shown = await asyncio.to_thread(facts, "inspect", path)
        else:
            shown = await asyncio.to_thread(facts, "inspect", path)
        (profiles,) = [table for table in shown["tables"] if table["name"] == "profiles"]
        assert profiles["rows"] == 1

    work(path, at_work)


# purge


@pytest.mark.long
def test_purge_deletes_what_is_old_and_says_what_to_unlink(
    path: Path, facts: Callable[..., Any]
) -> None:
    old = SimpleNamespace(now=datetime.now(UTC) - timedelta(days=40))

    async def make(path: Path) -> None:
        async with reelbase.connect(path, clock=lambda: old.now) as database:
            await database.profiles.ensure("ann")
            for days in (40, 5):
                old.now = datetime.now(UTC) - timedelta(days=days)
                job = await database.jobs.add("ann", "t", {})
                await database.jobs.succeed(job.id)
                download = await database.downloads.add(f"s{days}", "u")
                await database.downloads.complete(download.id, filename=f"{days}.mp4")
                await database.error_log.add("u", "e")
                await database.audit.log_create("shelf", days)

    asyncio.run(make(path))
    before = contents(path)
    expected = {"jobs": 1, "downloads": 1, "sessions": 1, "logs": 1}
    tried = facts("purge", path, "--older-than", "30d", "--dry-run")
    assert (tried["deleted"], tried["files"]) == (expected, ["40.mp4"])
    assert contents(path) == before
    assert facts("purge", path, "--older-than", "30d", "--audit")["deleted"] == {"audit": 1}
    done = facts("purge", path, "--older-than", "4w")
    assert (done["deleted"], done["files"]) == (expected, ["40.mp4"])
    assert facts("purge", path, "--older-than", "4w")["deleted"] == dict.fromkeys(expected, 0)


@pytest.mark.parametrize("age", ["", "30", "d", "-1d", "30 d", "1y", "1.5h"])
def test_an_age_that_is_none_is_a_wrong_use(age: str, path: Path) -> None:
    assert run("purge", path, f"--older-than={age}") == 2
    assert run("purge", path) == 2


# rebuild-search


def test_rebuild_search_makes_everything_findable(path: Path, facts: Callable[..., Any]) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute("INSERT INTO prompts (text) VALUES ('東京 at the prompt')")
    assert facts("rebuild-search", path)["indexed"]["prompts_fts"] == 1

    async def look(database: Database) -> None:
        assert len(await database.prompts.search("京")) == 1

    work(path, look)


def test_a_ledger_without_a_line_is_no_version(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute("DELETE FROM schema_migrations")
    assert run("version", path) == 1
    assert "empty ledger" in capsys.readouterr().err
