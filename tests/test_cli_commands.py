"""The commands that make, show, tidy, empty, export and import a database."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from samples import CASES, Contents, contents, make_owner

import reelbase
from reelbase import Database, DatabaseError, NewSegment, Secrets
from reelbase.cli.main import main
from reelbase.transfer import import_lines

SECRETS = Secrets(b"k" * 32)


def run(*arguments: object) -> int:
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as exit:
        return int(exit.code or 0)


@pytest.fixture
def facts(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """What the command prints with --json."""

    def call(*arguments: object) -> Any:
        assert run(*arguments, "--json") == 0
        return json.loads(capsys.readouterr().out)

    return call


def work(path: Path, job: Callable[[Database], Awaitable[None]]) -> None:
    async def opened() -> None:
        async with reelbase.connect(path, secrets=SECRETS) as database:
            await job(database)

    asyncio.run(opened())


async def fill(database: Database) -> None:
    """Rows in every table, some of them gone again, with values that are hard to write down."""
    owner = await make_owner(database)
    for case in CASES:
        for _ in range(3):
            await case.add(database, owner)
    hard = "a\0b \u2028 é \U0001f3ac \"'\\ \r\n {}"
    await database.files.update(owner.file_id, name=hard, size_bytes=2**63 - 1)
    transcript = await database.transcripts.add(owner.profile_id, owner.file_id, hard)
    speaker = await database.speakers.ensure(owner.file_id, "S")
    numbers = (0.1 + 0.2, 5e-324, 1.7976931348623157e308, 1e22)
    segments = [NewSegment(0.0, time, hard, speaker.id, -0.0, [hard, 1.0]) for time in numbers]
    await database.segments.replace_all(transcript.id, segments)
    first, *_ = await database.segments.page(transcript.id)
    await database.segments.update(first.id, text="東京")
    source = await database.files.add(owner.profile_id, "later source", "p")
    await database.files.update(owner.file_id, source_file_id=source.id)  # refers to a later row
    await database.llm_configs.add(owner.profile_id, "with key", "p", "m", api_key="sk-1")
    prompt = await database.summary_prompts.add(None, "system", "one")
    await database.summary_prompts.update(prompt.id, prompt_text="two")
    await database.summary_prompts.set_active(owner.profile_id, prompt.id)
    summary = await database.summaries.start(owner.file_id, prompt_id=prompt.id)
    await database.summaries.complete(summary.id, {"a": ["予算", 1.0, 2**53 + 1]})
    await database.media_info.upsert(owner.file_id, duration=1e-7, metadata={"n": None})
    await database.file_processing.enqueue(owner.file_id)
    await database.tags.attach(owner.file_id, "Straße", "x")
    await database.settings.set(owner.profile_id, "k", None)
    await database.notifications.push(owner.profile_id, "t", "t", progress_key="k", progress=1)
    await database.config.set("k", [1.0])
    await database.error_log.add("https://example.org/x", "e")
    await database.unsupported_urls.add("u")
    await database.jobs.add_batch(owner.profile_id, "t", {"file_id": str(owner.file_id)}, [{}, {}])
    await database.jobs.claim("w")
    await database.audit.log_create("shelf", "text id")
    gone = await database.projects.add("gone", "w")
    await database.projects.delete(gone.id)


def rows(path: Path) -> Contents:
    """All but when each file was made, and which database it is."""
    found = contents(path)
    del found["schema_migrations"], found["database_identity"]
    return found


# init


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


# reset


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


# export and import


@pytest.fixture
def filled(path: Path) -> Path:
    work(path, fill)
    return path


def test_what_is_exported_and_imported_is_the_same_in_every_table(
    filled: Path, tmp_path: Path, facts: Callable[..., Any]
) -> None:
    with contextlib.closing(sqlite3.connect(filled)) as native:
        native.execute("CREATE TABLE notes (text)")
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


@pytest.mark.parametrize("what", mangled([b'{"rows": {}}', b'{"files"']))
async def test_what_is_no_whole_export_imports_nothing(
    what: str, exported: list[bytes], database: Database, path: Path
) -> None:
    before = contents(path)
    with pytest.raises(DatabaseError) as caught:
        await import_lines(path, mangled(exported)[what])
    assert caught.value.code in ("export_format", "constraint", "broken_reference")
    assert contents(path) == before


async def test_only_an_empty_database_takes_an_export(
    exported: list[bytes], database: Database, path: Path
) -> None:
    await import_lines(path, exported)
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


def test_a_ledger_without_a_line_is_no_version(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute("DELETE FROM schema_migrations")
    assert run("version", path) == 1
    assert "empty ledger" in capsys.readouterr().err
