"""Promises about migrations: an older database becomes what a new one is, whole, with a copy kept."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

import reelbase
from reelbase import DatabaseError, SchemaError
from reelbase.engine.schema import chain
from reelbase.engine.schema.chain import Migration, migrations
from reelbase.engine.schema.source import statements_of

FOLDER = Path(reelbase.__file__).with_name("migrations")
SCRIPTS = sorted(FOLDER.glob("*.sql"))
FIRST = SCRIPTS[0].read_text()

MOMENT = "2026-01-31T23:59:59.999Z"
ID, PARENT, CHILD = (f"00000000-0000-7000-8000-00000000000{n}" for n in (1, 2, 3))

# A row for every table of version 1.
ROWS: dict[str, list[dict[str, Any]]] = {
    "profiles": [{"id": "änn", "created_at": MOMENT}],
    "files": [
        {"id": ID, "profile_id": "änn", "name": "猫.mkv", "path": "a\0b", "created_at": MOMENT},
        {"id": PARENT, "profile_id": "änn", "name": "", "path": "", "source_file_id": ID},
    ],
    "transcripts": [{"id": ID, "profile_id": "änn", "file_id": ID, "text": "x" * 10_000}],
    "clips": [
        {
            "id": ID,
            "profile_id": "änn",
            "file_id": ID,
            "start_time": 0.1,
            "end_time": 0.30000000000000004,
            "llm_breakdown_response": '{"words": [1, null]}',
        }
    ],
    "llm_templates": [{"id": ID, "profile_id": "änn", "sys_msg": "s", "prompt": "p", "model": "m"}],
    "jobs": [
        {"id": PARENT, "profile_id": "änn", "type": "t", "params": f'{{"file_id": "{ID}"}}'},
        {"id": CHILD, "profile_id": "änn", "type": "t", "parent_id": PARENT},
    ],
}

file_modes = pytest.mark.parametrize("has", ["delete", "wal"])


def insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    places = ", ".join(f":{name}" for name in row)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", row)


def apply(connection: sqlite3.Connection, scripts: Iterable[tuple[str, str]]) -> None:
    """Runs migrations, given as (file name, text), by nothing but sqlite3."""
    for name, text in scripts:
        connection.executescript(text)
        number, _, rest = name.partition("_")
        connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (?, ?, ?)",
            (int(number), rest.removesuffix(".sql"), hashlib.sha256(text.encode()).hexdigest()),
        )


def make_version_1(path: Path, mode: str = "delete") -> Path:
    """A database as version 1 of the library left it, with rows in every table."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("PRAGMA foreign_keys = ON")
        apply(connection, [(SCRIPTS[0].name, FIRST)])
        for table, rows in ROWS.items():
            for row in rows:
                insert(connection, table, row)
        # Users may keep their own things in the file.
        connection.execute("CREATE TABLE my_notes (text TEXT)")
        connection.execute("INSERT INTO my_notes VALUES ('mine')")
    path.chmod(0o600)
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "old"
    folder.mkdir()
    return make_version_1(folder / "media.db")


def contents(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table that version 1 has, but for the ledger, in the columns of version 1."""
    with (
        closing(sqlite3.connect(":memory:")) as first,
        closing(sqlite3.connect(path)) as connection,
    ):
        apply(first, [(SCRIPTS[0].name, FIRST)])
        first.execute("CREATE TABLE my_notes (text TEXT)")
        found = {}
        for table in (*ROWS, "job_references", "my_notes"):
            columns = ", ".join(row[1] for row in first.execute(f"PRAGMA table_info({table})"))
            found[table] = connection.execute(
                f"SELECT {columns} FROM {table} ORDER BY 1"
            ).fetchall()
        return found


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def facts(connection: sqlite3.Connection) -> dict[str, Any]:
    """All that two databases of one version have in common."""
    objects = connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"
    ).fetchall()
    ledger = connection.execute(
        "SELECT version, name, checksum FROM schema_migrations ORDER BY version"
    ).fetchall()
    return {
        # Without comments and white space: ADD COLUMN leaves both elsewhere.
        **{
            f"{kind} {name}": (table, " ".join(re.sub(r"--[^\n]*", "", sql or "").split()))
            for kind, name, table, sql in objects
        },
        "user_version": connection.execute("PRAGMA user_version").fetchone(),
        "application_id": connection.execute("PRAGMA application_id").fetchone(),
        "encoding": connection.execute("PRAGMA encoding").fetchone(),
        "ledger": ledger,
    }


def facts_of(path: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as connection:
        return {name: fact for name, fact in facts(connection).items() if name != "table my_notes"}


def bytes_of(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def assert_whole(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


# schema.sql is all migrations


def facts_of_schema(text: str) -> dict[str, Any]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(text)
        return facts(connection)


def facts_of_migrations(scripts: Iterable[tuple[str, str]]) -> dict[str, Any]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        apply(connection, scripts)
        return facts(connection)


def scripts() -> list[tuple[str, str]]:
    return [(script.name, script.read_bytes().decode()) for script in SCRIPTS]


def test_schema_sql_is_all_migrations_applied_to_an_empty_file() -> None:
    fresh = facts_of_schema(reelbase.schema_sql())
    migrated = facts_of_migrations(scripts())
    assert sorted(fresh) == sorted(migrated)
    for name, fact in fresh.items():
        assert fact == migrated[name], name


def without(text: str, pattern: str) -> str:
    changed, count = re.subn(pattern, "", text, count=1, flags=re.DOTALL)
    assert count == 1, pattern
    return changed


@pytest.mark.long
@pytest.mark.parametrize(
    "forgotten",
    [
        r"CREATE INDEX idx_downloads_completed [^;]*;",
        r"CREATE TABLE error_log .*?\) STRICT;\n.*?CREATE INDEX error_log_of_domain [^;]*;",
        r"  media_type  TEXT,\n",
        r"  CONSTRAINT downloads_filesize [^\n]*\n",
        r" DEFAULT 'queued'(?=,\n  format_id)",
        r" ON DELETE CASCADE(?=,\n  CONSTRAINT downloads_id)",
    ],
)
def test_forgetting_something_in_either_is_noticed(forgotten: str) -> None:
    complete = facts_of_migrations(scripts())
    schema = reelbase.schema_sql()
    forgetful = scripts()
    # The last that says it: a table that is built anew has what it is told then.
    number = max(
        n for n, (_, text) in enumerate(forgetful) if re.search(forgotten, text, re.DOTALL)
    )
    name, text = forgetful[number]
    forgetful[number] = (name, without(text, forgotten))
    assert facts_of_migrations(forgetful) != complete
    assert facts_of_schema(without(schema, forgotten)) != complete


@pytest.mark.long
def test_forgetting_a_migration_or_its_line_in_the_ledger_is_noticed() -> None:
    complete = facts_of_migrations(scripts())
    schema = reelbase.schema_sql()
    assert facts_of_migrations(scripts()[:-1]) != complete
    version = rf"PRAGMA user_version = {reelbase.SCHEMA_VERSION};"
    assert facts_of_schema(without(schema, version)) != complete
    assert facts_of_schema(without(schema, r",\n  \(2, 'downloads', '[0-9a-f]{64}'\)")) != complete
    edited = re.sub(r"('downloads', ')[0-9a-f]{3}", r"\1xxx", schema)
    assert edited != schema
    assert facts_of_schema(edited) != complete
    assert facts_of_schema(schema.replace("(2, 'downloads'", "(2, 'others'")) != complete
    *rest, (name, last) = scripts()
    assert facts_of_migrations([*rest, (name, last + "-- edited\n")]) != complete
    assert facts_of_migrations([*rest, (name, without(last, version))]) != complete


def test_the_checksums_in_schema_sql_are_those_of_the_files() -> None:
    lines = re.findall(r"\((\d+), '(\w+)', '([0-9a-f]{64})'\)", reelbase.schema_sql())
    assert [f"{int(number):04}_{name}.sql" for number, name, _ in lines] == [
        script.name for script in SCRIPTS
    ]
    for script, (_, _, checksum) in zip(SCRIPTS, lines, strict=True):
        assert checksum == hashlib.sha256(script.read_bytes()).hexdigest(), script.name


def test_the_numbers_of_the_migrations_have_no_gap_and_end_at_the_schema_version() -> None:
    numbers = [int(script.name[:4]) for script in SCRIPTS]
    assert numbers == list(range(1, reelbase.SCHEMA_VERSION + 1))
    assert [migration.version for migration in migrations()] == numbers
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", script.name) for script in SCRIPTS)


def test_the_package_reads_the_files_as_they_are() -> None:
    for migration, script in zip(migrations(), SCRIPTS, strict=True):
        assert migration.sql.encode() == script.read_bytes()
        assert migration.checksum == hashlib.sha256(script.read_bytes()).hexdigest()
        assert f"{migration.version:04}_{migration.name}.sql" == script.name


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_migration_sets_its_version_and_leaves_transactions_to_others(script: Path) -> None:
    code = re.sub(r"--[^\n]*", "", script.read_text())
    assert f"PRAGMA user_version = {int(script.name[:4])};" in code
    assert not re.search(
        r"^\s*(?:BEGIN (?:IMM|DEF|EXC|TRA)|COMMIT|ROLLBACK|VACUUM|ATTACH)", code, re.MULTILINE
    )
    assert "INTO schema_migrations" not in code


# An old database is opened


@pytest.mark.long
async def test_a_batch_of_an_old_database_is_still_a_batch(old: Path) -> None:
    async with reelbase.connect(old) as database:
        (parent,) = await database.jobs.list_for_profile("änn")
        (child,) = await database.jobs.list_children(parent.id)
        assert await database.jobs.claim("w") == await database.jobs.get(child.id)
        assert await database.jobs.claim("w") is None


@file_modes
async def test_an_old_database_is_migrated_when_it_is_opened(
    has: str, tmp_path: Path, journal: Any, path: Path
) -> None:
    folder = tmp_path / "with rows"
    folder.mkdir()
    old = make_version_1(folder / "media.db", has)
    before = contents(old)
    async with reelbase.connect(old, journal=journal) as database:
        assert database.schema_version == reelbase.SCHEMA_VERSION
        assert database.journal.mode == journal
        assert (await database.profiles.get("änn")).active_llm_config_id is None
        await database.downloads.add("s", "u")
        await database.config.set("k", 1)
    assert contents(old) == before
    assert facts_of(old) == facts_of(path)
    assert version_of(old) == reelbase.SCHEMA_VERSION
    assert_whole(old)
    assert sorted(os.listdir(folder)) == ["media.db", "media.db.v1.bak"]


@pytest.mark.long
@file_modes
async def test_a_copy_of_the_old_one_is_kept_beside_it(
    has: str, tmp_path: Path, journal: Any
) -> None:
    folder = tmp_path / "odd ?name=#%41"
    folder.mkdir()
    old = make_version_1(folder / "media ?mode=ro#%41.db", has)
    before, facts_before = contents(old), facts_of(old)
    async with reelbase.connect(old, journal=journal):
        pass
    copy = Path(f"{old}.v1.bak")
    assert stat.S_IMODE(os.stat(copy).st_mode) == 0o600
    assert bytes_of(copy)[18:20] == b"\1\1"  # no WAL, which could not be read from a read-only disk
    assert version_of(copy) == 1
    assert contents(copy) == before
    assert facts_of(copy) == facts_before
    assert_whole(copy)
    assert sorted(os.listdir(folder)) == [old.name, copy.name]
    # It is a database like any other.
    restored = shutil.copy(copy, tmp_path / "restored.db")
    async with reelbase.connect(restored, journal=journal) as database:
        assert await database.profiles.count() == 1


@pytest.mark.long
@pytest.mark.parametrize("version", range(1, reelbase.SCHEMA_VERSION))
async def test_every_version_there_was_becomes_what_a_new_database_is(
    version: int, old: Path, path: Path, journal: Any
) -> None:
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        apply(connection, scripts()[1:version])
    before = contents(old)
    async with reelbase.connect(old, journal=journal) as database:
        await database.sessions.ensure("s")
    assert facts_of(old) == facts_of(path)
    assert contents(old) == before
    assert sorted(os.listdir(old.parent)) == ["media.db", f"media.db.v{version}.bak"]
    assert version_of(Path(f"{old}.v{version}.bak")) == version


@pytest.mark.long
@pytest.mark.parametrize("version", range(2, 10))
async def test_downloads_stay_as_they_are_and_can_be_recovered(
    version: int, old: Path, journal: Any
) -> None:
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        apply(connection, scripts()[1:version])
        insert(connection, "sessions", {"id": "s\0猫"})
        for number, status in enumerate(reelbase.DownloadStatus):
            row = {
                "id": f"00000000-0000-7000-8000-{number:012x}",
                "session_id": "s\0猫",
                "url": "u" * 10_000 if number else "",
                "status": str(status),
                "filename": "a\0b",
                "filesize": 2**63 - 1,
                "progress_percent": 0.30000000000000004,
                "started_at": MOMENT if number else None,
                "completed_at": None if status.is_active else MOMENT,
            }
            insert(connection, "downloads", row)
        before = connection.execute("SELECT * FROM downloads ORDER BY id").fetchall()
    async with reelbase.connect(old, journal=journal) as database:
        assert await database.downloads.queue_depth() == 3
        assert len(await database.downloads.list()) == len(reelbase.DownloadStatus)
    with closing(sqlite3.connect(old)) as connection:
        after = connection.execute("SELECT * FROM downloads ORDER BY id").fetchall()
        assert [row[: len(before[0])] for row in after] == before
    async with reelbase.connect(old, journal=journal) as database:
        assert await database.downloads.recover() == 2
        assert await database.downloads.counts_by_status() == {
            "queued": 1, "completed": 1, "failed": 3, "cancelled": 1,
        }  # fmt: skip
    assert_whole(old)


@pytest.mark.long
@pytest.mark.parametrize("version", [4, 12])
async def test_generations_stay_as_they_are_and_can_be_recovered(
    version: int, old: Path, journal: Any
) -> None:
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        apply(connection, scripts()[1:version])
        for number, status in enumerate(reelbase.GenerationStatus):
            row = {
                "id": f"00000000-0000-7000-8000-{number:012x}",
                "prompt": "a\0b",
                "model_name": "m",
                "duration_seconds": 0.30000000000000004,
                "sample_rate": 1,
                "channels": 1,
                "file_path": "f",
                "status": str(status),
                "completed_at": None if status in ("pending", "processing") else MOMENT,
            }
            insert(connection, "generations", row)
        before = connection.execute("SELECT * FROM generations ORDER BY id").fetchall()
    async with reelbase.connect(old, journal=journal) as database:
        assert len(await database.generations.list_for_prompt("a\0b")) == len(before) == 5
        with closing(sqlite3.connect(old)) as connection:
            after = connection.execute("SELECT * FROM generations ORDER BY id").fetchall()
        assert [row[: len(before[0])] for row in after] == before
        assert await database.generations.recover() == 1
        assert await database.generations.count("failed") == 2
    assert_whole(old)


@pytest.mark.long
@pytest.mark.parametrize("version", [5, 7])
async def test_prompts_keep_their_texts_and_ids_when_their_table_is_built_anew(
    version: int, old: Path, journal: Any
) -> None:
    tables = ("summary_prompts", "summary_prompt_versions")
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        apply(connection, scripts()[1:version])
        connection.execute("PRAGMA foreign_keys = ON")
        for name in ("first", "second", "third"):
            insert(connection, "summary_prompts", {"name": name, "prompt_text": "old"})
        connection.execute(
            "UPDATE summary_prompts SET prompt_text = 'new', version = 2 WHERE id = 1"
        )
        connection.execute("DELETE FROM summary_prompts WHERE id = 3")
        before = [connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables]
    async with reelbase.connect(old, journal=journal) as database:
        assert [
            await database.fetch_all(tuple, f"SELECT * FROM {table}") for table in tables
        ] == before
        assert [text.prompt_text for text in await database.summary_prompts.versions(1)] == [
            "new",
            "old",
        ]
        # The third one's id is not given out again.
        assert (
            await database.summary_prompts.add(None, "fourth", "x", content_type="talk")
        ).id == 4
    assert_whole(old)


async def test_what_only_the_wal_holds_is_migrated_and_copied(tmp_path: Path, journal: Any) -> None:
    """A crash left committed rows in the -wal file."""
    source = make_version_1(tmp_path / "source.db", "wal")
    crashed = tmp_path / "crashed.db"
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("INSERT INTO profiles (id) VALUES ('only in the wal')")
        for suffix in ("", "-wal"):
            shutil.copy(f"{source}{suffix}", f"{crashed}{suffix}")
    async with reelbase.connect(crashed, journal=journal) as database:
        assert await database.profiles.exists("only in the wal")
    assert ("only in the wal",) in [row[:1] for row in contents(crashed)["profiles"]]
    assert ("only in the wal",) in [
        row[:1] for row in contents(Path(f"{crashed}.v1.bak"))["profiles"]
    ]


async def test_it_is_migrated_once(old: Path, journal: Any) -> None:
    async with reelbase.connect(old, journal=journal):
        pass
    copy = Path(f"{old}.v1.bak")
    before = (bytes_of(copy), facts_of(old))
    for migrates in (True, False):
        async with reelbase.connect(old, journal=journal, migrate=migrates):
            pass
    assert (bytes_of(copy), facts_of(old)) == before
    assert sorted(os.listdir(old.parent)) == ["media.db", "media.db.v1.bak"]


async def test_a_new_database_needs_no_copy(tmp_path: Path, journal: Any) -> None:
    folder = tmp_path / "new"
    async with reelbase.connect(folder / "media.db", journal=journal, migrate=False):
        pass
    assert os.listdir(folder) == ["media.db"]


async def test_a_copy_that_is_there_stays(old: Path, journal: Any) -> None:
    copy = Path(f"{old}.v1.bak")
    write(copy, b"somebody's")
    async with reelbase.connect(old, journal=journal):
        pass
    assert bytes_of(copy) == b"somebody's"
    assert version_of(old) == reelbase.SCHEMA_VERSION


# Refusals


@file_modes
async def test_without_leave_an_old_database_is_refused_and_not_touched(
    has: str, tmp_path: Path, journal: Any
) -> None:
    folder = tmp_path / "refused"
    folder.mkdir()
    old = make_version_1(folder / "media.db", has)
    before = bytes_of(old)
    with pytest.raises(SchemaError) as caught:
        await reelbase.connect(old, journal=journal, migrate=False)
    assert caught.value.code == "older"
    assert caught.value.details["version"] == 1
    assert "migrate=True" in str(caught.value)
    assert bytes_of(old) == before
    assert os.listdir(folder) == ["media.db"]


@file_modes
@pytest.mark.parametrize("migrates", [True, False])
async def test_a_database_of_a_newer_release_is_refused_and_not_touched(
    migrates: bool, has: str, template: Path, tmp_path: Path, journal: Any
) -> None:
    folder = tmp_path / "newer"
    folder.mkdir()
    newer = Path(shutil.copy(template, folder / "media.db"))
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute(f"PRAGMA journal_mode = {has}")
        connection.execute(f"PRAGMA user_version = {reelbase.SCHEMA_VERSION + 1}")
    before = bytes_of(newer)
    with pytest.raises(SchemaError) as caught:
        await reelbase.connect(newer, journal=journal, migrate=migrates)
    assert caught.value.code == "newer"
    assert caught.value.details["version"] == reelbase.SCHEMA_VERSION + 1
    assert bytes_of(newer) == before
    # Looking into a WAL database without the right to write leaves SQLite's side files, empty.
    left = {name: (folder / name).stat().st_size for name in os.listdir(folder)}
    left.pop("media.db-shm", None)
    assert left.pop("media.db-wal", 0) == 0
    assert list(left) == ["media.db"]


# Failures


def monkeypatched_second(monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    first, second, *_ = migrations()
    changed = msgspec.structs.replace(second, sql=sql)
    monkeypatch.setattr(chain, "migrations", lambda: (first, changed))


SECOND = SCRIPTS[1].read_text()


@pytest.mark.long
@pytest.mark.parametrize(
    "sql",
    [
        pytest.param(SECOND + "\nCREATE TABLE sessions (id TEXT);\n", id="at the end"),
        pytest.param(SECOND.replace("CREATE TABLE config", "CREATE TABEL config"), id="syntax"),
        pytest.param(SECOND + "\nINSERT INTO files (id) VALUES (1);\n", id="a broken rule"),
        pytest.param(
            "PRAGMA user_version = 2; DELETE FROM profiles; DROP TABLE clips; SELECT nothing;",
            id="after destruction",
        ),
    ],
)
async def test_a_migration_that_fails_leaves_the_old_version(
    sql: str, old: Path, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, facts_before = contents(old), facts_of(old)
    with monkeypatch.context() as patched:
        monkeypatched_second(patched, sql)
        with pytest.raises(DatabaseError) as caught:
            await reelbase.connect(old, journal=journal)
        assert "version 2 (downloads)" in str(caught.value)
        assert str(old) in str(caught.value)
        assert isinstance(caught.value.__cause__, sqlite3.Error)
    assert version_of(old) == 1
    assert contents(old) == before
    assert facts_of(old) == facts_before
    assert_whole(old)
    async with reelbase.connect(old, journal=journal):
        pass
    assert version_of(old) == reelbase.SCHEMA_VERSION
    assert contents(old) == before


async def test_a_chain_that_fails_in_the_end_leaves_the_old_version(
    old: Path, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = facts_of(old)
    real = migrations()
    next_version = len(real) + 1
    broken = Migration(
        version=next_version, name="broken", sql="CREATE TABLE t (a); nonsense;", checksum="x"
    )
    monkeypatch.setattr(chain, "migrations", lambda: (*real, broken))
    with pytest.raises(DatabaseError, match=rf"version {next_version} \(broken\)"):
        await reelbase.connect(old, journal=journal)
    assert version_of(old) == 1
    assert facts_of(old) == before


@pytest.mark.long
async def test_a_reference_to_nothing_is_found_and_named(old: Path, journal: Any) -> None:
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        insert(connection, "files", {"id": CHILD, "profile_id": "ben", "name": "", "path": ""})
    before, facts_before = contents(old), facts_of(old)
    with pytest.raises(SchemaError) as caught:
        await reelbase.connect(old, journal=journal)
    assert caught.value.code == "broken_reference"
    assert "files" in str(caught.value)
    assert "profiles" in str(caught.value)
    assert version_of(old) == 1
    assert (contents(old), facts_of(old)) == (before, facts_before)
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.execute("INSERT INTO profiles (id) VALUES ('ben')")
    async with reelbase.connect(old, journal=journal) as database:
        assert await database.files.count_for_profile("ben") == 1


async def test_a_migration_that_breaks_a_reference_is_undone(
    old: Path, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(old)
    orphan = (
        "\nPRAGMA defer_foreign_keys = ON;\n"
        f"INSERT INTO files (id, profile_id, name, path) VALUES ('{CHILD}', 'ben', '', '');\n"
    )
    monkeypatched_second(monkeypatch, SECOND + orphan)
    with pytest.raises(SchemaError) as caught:
        await reelbase.connect(old, journal=journal)
    assert caught.value.code == "broken_reference"
    assert version_of(old) == 1
    assert contents(old) == before


@pytest.mark.parametrize("call", ["open", "link"])
async def test_no_copy_no_migration(
    call: str, old: Path, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is full, or closed to us."""
    real = getattr(os, call)

    def refuse(target: Any, *args: Any, **options: Any) -> Any:
        if ".bak" in os.fspath(target):
            raise OSError(28, "No space left on device", os.fspath(target))
        return real(target, *args, **options)

    before = contents(old)
    with monkeypatch.context() as patched:
        patched.setattr(os, call, refuse)
        with pytest.raises(DatabaseError) as caught:
            await reelbase.connect(old, journal=journal)
        assert isinstance(caught.value.__cause__, OSError)
    assert version_of(old) == 1
    assert contents(old) == before
    assert os.listdir(old.parent) == ["media.db"]


# Several at once


@pytest.mark.long
async def test_two_tasks_of_one_process_may_open_an_old_database_together(
    old: Path, journal: Any
) -> None:
    async def open_it() -> int:
        async with reelbase.connect(old, journal=journal, busy_timeout=10) as database:
            return await database.profiles.count()

    results = await asyncio.gather(*(open_it() for _ in range(4)), return_exceptions=True)
    assert results == [1] * 4
    assert version_of(Path(f"{old}.v1.bak")) == 1
    assert sorted(os.listdir(old.parent)) == ["media.db", "media.db.v1.bak"]


@pytest.mark.long
async def test_the_copy_is_of_the_old_version_even_if_another_process_is_faster(
    old: Path, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our look at the version and our copy, another process migrates, if it is let."""
    others: list[str] = []

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any, *args: Any, **options: Any) -> Any:
            if ".bak" in os.fspath(target) and not others:
                others.append(os.fspath(target))
                code = (
                    "import asyncio, sys, reelbase\n"
                    "async def main():\n"
                    "    async with reelbase.connect(\n"
                    "        sys.argv[1], journal=sys.argv[2], busy_timeout=0.2\n"
                    "    ): pass\n"
                    "asyncio.run(main())\n"
                )
                command = [sys.executable, "-c", code, str(old), journal]
                subprocess.run(command, check=False, capture_output=True, timeout=60)
            return real(target, *args, **options)

        return call

    monkeypatch.setattr(os, "open", wrapped(os.open))
    monkeypatch.setattr(sqlite3, "connect", wrapped(sqlite3.connect))
    async with reelbase.connect(old, journal=journal) as database:  # type: ignore[arg-type]
        assert await database.profiles.count() == 1
    monkeypatch.undo()
    assert others
    assert version_of(old) == reelbase.SCHEMA_VERSION
    assert version_of(Path(f"{old}.v1.bak")) == 1
    assert sorted(os.listdir(old.parent)) == ["media.db", "media.db.v1.bak"]


_MEANWHILE = """
import sqlite3, sys, time
from reelbase.engine.schema.chain import migrations
from reelbase.engine.schema.source import statements_of

connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(0.3)
step = migrations()[1]
for statement in statements_of(step.sql):
    connection.execute(statement)
connection.execute(
    "INSERT INTO schema_migrations (version, name, checksum) VALUES (?, ?, ?)",
    (step.version, step.name, step.checksum),
)
connection.execute("COMMIT")
connection.close()
"""


@pytest.mark.long
async def test_a_step_that_another_process_did_while_we_waited_for_the_lock_is_not_done_again(
    old: Path, path: Path, journal: Any
) -> None:
    command = [sys.executable, "-c", _MEANWHILE, str(old)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:  # noqa: ASYNC220
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        async with reelbase.connect(old, journal=journal) as database:
            assert await database.downloads.list() == []
    assert other.returncode == 0
    assert facts_of(old) == facts_of(path)


@pytest.mark.long
async def test_what_a_killed_copy_left_is_in_nobodys_way(old: Path, journal: Any) -> None:
    """In a container every start has the same process id."""
    for leftover in (f"{old}.v1.bak.{os.getpid()}", f"{old}.v1.bak.1"):
        write(Path(leftover), b"half a copy")
    before = contents(old)
    async with reelbase.connect(old, journal=journal):
        pass
    assert version_of(old) == reelbase.SCHEMA_VERSION
    assert contents(Path(f"{old}.v1.bak")) == before


@pytest.mark.long
async def test_what_others_keep_beside_the_copy_stays(old: Path, journal: Any) -> None:
    names = ["media.db.v1.bak.gz", "media.db.v1.bak.2026-01-31", "media.db.bak", "media.db.v10.bak"]
    for name in names:
        write(old.parent / name, b"somebody's")
    async with reelbase.connect(old, journal=journal):
        pass
    for name in names:
        assert bytes_of(old.parent / name) == b"somebody's"


@pytest.mark.long
async def test_a_migration_killed_while_it_wrote_the_file_is_rolled_back_and_done_again(
    old: Path, tmp_path: Path, journal: Any
) -> None:
    """With a rollback journal the file itself is torn until the next start rolls it back."""
    before = contents(old)
    torn = tmp_path / "torn.db"
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 2")  # writes into the file before the commit
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements_of(SECOND):
            connection.execute(statement)
        for number in range(2000):
            connection.execute("INSERT INTO config (key, value) VALUES (?, '1')", (str(number),))
        shutil.copy(old, torn)
        shutil.copy(f"{old}-journal", f"{torn}-journal")
        connection.execute("ROLLBACK")
    # The commit writes page 1 first: its size is then that of a file which has not grown yet.
    page_1 = bytearray(bytes_of(torn))
    page_1[28:32] = (2 * len(page_1) // 4096).to_bytes(4)
    page_1[24:28] = page_1[92:96] = (int.from_bytes(page_1[24:28]) + 1).to_bytes(4)
    write(torn, bytes(page_1))
    for suffix in ("", "-journal"):
        shutil.copy(f"{torn}{suffix}", f"{torn}.look{suffix}")
    assert version_of(Path(f"{torn}.look")) == 1
    assert contents(Path(f"{torn}.look")) == before  # to SQLite it is a usual crash
    async with reelbase.connect(torn, journal=journal) as database:
        assert await database.profiles.count() == 1
        assert await database.config.all() == {}
    assert contents(torn) == before
    assert_whole(torn)
    assert contents(Path(f"{torn}.v1.bak")) == before


_TOGETHER = """
import asyncio, json, os, shutil, sys, traceback
import reelbase

source, folder, journal, rounds = sys.argv[1:]

async def open_it(path):
    async with reelbase.connect(path, journal=journal, busy_timeout=20) as database:
        await database.profiles.get("\\u00e4nn")
        await database.downloads.add("s", "u")

failed = 0
for number in range(int(rounds)):
    path = shutil.copy(source, os.path.join(folder, f"{number}.db"))
    gate, opener = os.pipe()
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            os.close(opener)
            os.read(gate, 1)
            try:
                asyncio.run(open_it(path))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    os.close(opener)
    failed += sum(os.waitpid(child, 0)[1] != 0 for child in children)
    os.close(gate)
print(json.dumps(failed))
"""

ROUNDS = 3


@pytest.mark.long
def test_eight_processes_may_start_together_on_an_old_database(
    old: Path, tmp_path: Path, journal: str, path: Path
) -> None:
    folder = tmp_path / "together"
    folder.mkdir()
    before = contents(old)
    done = subprocess.run(
        [sys.executable, "-c", _TOGETHER, str(old), str(folder), journal, str(ROUNDS)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.stderr, done.stdout.strip()) == ("", "0")
    expected = facts_of(path)
    for number in range(ROUNDS):
        migrated = folder / f"{number}.db"
        assert facts_of(migrated) == expected  # the ledger has each step once
        assert contents(migrated) == before
        assert version_of(Path(f"{migrated}.v1.bak")) == 1
        assert contents(Path(f"{migrated}.v1.bak")) == before
        with closing(sqlite3.connect(migrated)) as connection:
            assert connection.execute("SELECT count(*) FROM downloads").fetchone() == (8,)
    assert sorted(os.listdir(folder)) == sorted(
        name for number in range(ROUNDS) for name in (f"{number}.db", f"{number}.db.v1.bak")
    )


_KILLED = """
import asyncio, json, os, random, shutil, signal, sqlite3, sys, time, traceback
import reelbase
from reelbase.engine.schema.chain import migrations

source, folder, journal, rounds = sys.argv[1:]

async def open_it(path):
    async with reelbase.connect(path, journal=journal):
        pass

def start(path):
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tell, b"x")
        try:
            asyncio.run(open_it(path))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(tell)
    os.read(ready, 1)
    os.close(ready)
    return child

def look(path):
    # A copy with its side files, as a crash leaves them, is what the next start would see.
    for suffix in ("", "-wal", "-journal"):
        if os.path.exists(path + suffix):
            shutil.copy(path + suffix, path + ".look" + suffix)
    connection = sqlite3.connect(path + ".look")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (check,) = connection.execute("PRAGMA integrity_check").fetchone()
    objects = connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY 1").fetchall()
    ledger = connection.execute("SELECT version FROM schema_migrations ORDER BY 1").fetchall()
    connection.close()
    for suffix in ("", "-wal", "-shm", "-journal"):
        if os.path.exists(path + ".look" + suffix):
            os.unlink(path + ".look" + suffix)
    return [version, check, objects, ledger]

random.seed(7)
path = shutil.copy(source, os.path.join(folder, "step by step.db"))
old = look(path)
states = {1: old}
for step in migrations()[1:]:
    connection = sqlite3.connect(path)
    connection.executescript(step.sql)
    with connection:
        connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (?, ?, ?)",
            (step.version, step.name, step.checksum),
        )
    connection.close()
    states[step.version] = look(path)
path = shutil.copy(source, os.path.join(folder, "whole.db"))
started = time.perf_counter()
os.waitpid(start(path), 0)
duration = time.perf_counter() - started
new = look(path)
assert new == states[len(migrations())]
report = {"whole": 0, "torn": [], "failed": 0, "unfinished": 0, "copies": []}
for number in range(int(rounds)):
    path = shutil.copy(source, os.path.join(folder, f"{number}.db"))
    child = start(path)
    time.sleep(random.uniform(0, duration))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = look(path)
    if found == states.get(found[0]):
        report["whole"] += 1
    else:
        report["torn"].append([number, found[0], found[1], found[3]])
    if os.path.exists(path + ".v1.bak") and look(path + ".v1.bak") != old:
        report["copies"].append(number)
    report["failed"] += os.waitpid(start(path), 0)[1] != 0
    report["unfinished"] += look(path) != new
    if look(path + ".v1.bak") != old:
        report["copies"].append(number)
print(json.dumps(report))
"""


KILLS = 12


@pytest.mark.long
@file_modes
def test_a_migration_may_be_killed_at_any_moment(has: str, tmp_path: Path, journal: str) -> None:
    """Some version, whole; and the next start completes it."""
    folder = tmp_path / "killed"
    folder.mkdir()
    source = make_version_1(tmp_path / "source.db", has)
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(source), str(folder), journal, str(KILLS)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert (report["torn"], report["whole"]) == ([], KILLS)
    assert (report["failed"], report["unfinished"], report["copies"]) == (0, 0, [])
