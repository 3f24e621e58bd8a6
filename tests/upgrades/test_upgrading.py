"""Promises about upgrades: an application's own migrations, dry runs, refusals, adopting, copies."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import pytest

import reelbase
from reelbase import (
    SCHEMA_VERSION,
    DatabaseBusyError,
    DatabaseError,
    DatabaseFullError,
    DatabaseIOError,
    Migrations,
    MigrationStep,
    SchemaError,
)
from reelbase.cli.main import main
from reelbase.engine.copies import safety_copies
from reelbase.engine.file.connections import NativeConnection
from reelbase.engine.maintenance import upgrade
from reelbase.engine.maintenance.upgrade import bring_up_to_date
from reelbase.engine.schema import chain
from reelbase.engine.schema.chain import Migration, migrations
from reelbase.engine.schema.fingerprint import differences
from reelbase.engine.schema.source import statements_of

FILE_ID = "00000000-0000-7000-8000-000000000001"

FIRST = "CREATE TABLE notes (id INTEGER PRIMARY KEY, file_id TEXT REFERENCES files (id));\n"
SECOND = "ALTER TABLE notes ADD COLUMN text TEXT NOT NULL DEFAULT '';\n"

Make = Callable[..., Migrations]


@pytest.fixture
def own(tmp_path: Path) -> Make:
    """Makes an application's migrations of the texts that are given, in a folder of their own."""
    made = 0

    def make(*texts: str, application: str = "notebook", **files: str) -> Migrations:
        nonlocal made
        made += 1
        folder = tmp_path / f"own {made}"
        folder.mkdir()
        for number, text in enumerate(texts, start=1):
            (folder / f"{number:04}_step_{number}.sql").write_bytes(text.encode())
        return Migrations(application, folder)

    return make


def make_old(path: Path, version: int = 1) -> Path:
    """A database as a version of the library left it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for migration in migrations()[:version]:
            connection.executescript(migration.sql)
            connection.execute(
                "INSERT INTO schema_migrations (version, name, checksum) VALUES (?, ?, ?)",
                (migration.version, migration.name, migration.checksum),
            )
        connection.execute("INSERT INTO profiles (id) VALUES ('a')")
        connection.execute(
            "INSERT INTO files (id, profile_id, name, path) VALUES (?, 'a', 'n', 'p')", (FILE_ID,)
        )
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "old"
    folder.mkdir()
    return make_old(folder / "media.db")


def change(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(script)


def value(path: Path, sql: str) -> Any:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchone()[0]


def version_of(path: Path) -> int:
    return int(value(path, "PRAGMA user_version"))


async def refused(path: Path, journal: Any, code: str, **options: Any) -> SchemaError:
    """The error of connect(); nothing in the file, and nothing beside it, has changed."""
    before = bytes_of(path), sorted(os.listdir(path.parent))
    with pytest.raises(SchemaError) as caught:
        await reelbase.connect(path, journal=journal, **options)
    assert caught.value.code == code
    assert str(path) in str(caught.value)
    assert (bytes_of(path), sorted(os.listdir(path.parent))) == before
    return caught.value


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def bytes_of(path: Path) -> bytes:
    return path.read_bytes()


# Drifted and edited databases


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("DROP INDEX files_newest", "index files_newest on files is missing"),
        (
            "ALTER TABLE files ADD COLUMN rating TEXT",
            "table files has a column rating that is not ours",
        ),
        ("DELETE FROM schema_migrations", "the ledger lacks version 1 (foundation)"),
        (
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (99, 'x', '')",
            "the ledger has version 99 (x), which version 1 does not have",
        ),
    ],
)
async def test_a_drifted_database_is_not_migrated(
    script: str, sentence: str, old: Path, journal: Any
) -> None:
    change(old, script)
    error = await refused(old, journal, "drifted")
    assert error.details["differences"] == [sentence]
    assert sentence in str(error)


async def test_the_ledger_of_a_drifted_database_can_be_read(old: Path) -> None:
    change(old, "DROP INDEX files_newest")
    assert [line.version for line in await reelbase.migration_history(old)] == [1]


@pytest.mark.long
@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (
            "DELETE FROM schema_migrations WHERE version = 2",
            "the ledger lacks version 2 (downloads)",
        ),
        (
            "UPDATE schema_migrations SET checksum = '' WHERE version = 2",
            "the ledger has another text for version 2 (downloads)",
        ),
    ],
)
async def test_check_reads_the_ledger_too(
    script: str, problem: str, path: Path, journal: Any
) -> None:
    change(path, script)
    async with reelbase.connect(path, journal=journal) as database:
        assert (await database.check()).problems == [problem]


async def test_many_differences_are_counted_in_the_message_and_listed_in_the_details(
    old: Path, journal: Any
) -> None:
    change(old, "DROP TABLE jobs; DROP TABLE clips")
    error = await refused(old, journal, "drifted")
    assert len(error.details["differences"]) > 20
    assert f"and {len(error.details['differences']) - 10} more" in str(error)


async def test_a_file_that_was_through_another_text_of_a_migration_is_not_migrated(
    old: Path, journal: Any
) -> None:
    change(old, "UPDATE schema_migrations SET checksum = 'abc'")
    error = await refused(old, journal, "edited")
    assert error.details["version"] == 1
    assert error.details["application"] is None
    assert error.details["applied"]["checksum"] == "abc"
    assert "version 1 (foundation)" in str(error)


# What users keep in the file


@pytest.mark.long
async def test_users_indexes_and_triggers_on_a_table_that_is_built_anew_come_back(
    old: Path, journal: Any
) -> None:
    mine = (
        "CREATE INDEX my_index ON profiles (created_at)",
        "CREATE TRIGGER my_trigger AFTER INSERT ON profiles BEGIN INSERT INTO mine VALUES (NEW.id); END",
        "CREATE VIEW my_view AS SELECT id FROM profiles",
        "CREATE TRIGGER my_view AFTER DELETE ON Profiles BEGIN SELECT 1; END",
        "CREATE TRIGGER my_index AFTER DELETE ON PROFILES BEGIN SELECT 1; END",
    )
    change(old, "CREATE TABLE mine (id TEXT REFERENCES profiles (id));" + ";".join(mine))
    async with reelbase.connect(old, journal=journal) as database:
        await database.profiles.ensure("b")
        assert await database.fetch_all(str, "SELECT id FROM mine") == ["b"]
        assert await database.fetch_all(str, "SELECT id FROM my_view ORDER BY id") == ["a", "b"]
        kept = await database.fetch_all(
            str, "SELECT sql FROM sqlite_schema WHERE name LIKE 'my!_%' ESCAPE '!'"
        )
    assert sorted(kept) == sorted(mine)


async def test_what_does_not_fit_the_new_table_is_named(
    old: Path, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(old, "CREATE INDEX my_index ON llm_templates (model)")
    rebuilt = Migration(
        version=2,
        name="rebuilt",
        sql="PRAGMA user_version = 2; DROP TABLE llm_templates; CREATE TABLE llm_templates (id TEXT);",
        checksum="",
    )
    first = migrations()[0]
    monkeypatch.setattr(chain, "migrations", lambda: (first, rebuilt))
    with pytest.raises(SchemaError) as caught:
        await reelbase.connect(old, journal=journal)
    assert caught.value.code == "dependent"
    assert caught.value.details == {"name": "my_index", "table": "llm_templates"}
    assert version_of(old) == 1
    assert value(old, "SELECT count(*) FROM sqlite_schema WHERE name = 'my_index'") == 1


async def test_a_table_of_the_users_in_the_way_is_named(old: Path, journal: Any) -> None:
    change(old, "CREATE TABLE speakers (mine TEXT)")
    with pytest.raises(DatabaseError, match="table speakers already exists") as caught:
        await reelbase.connect(old, journal=journal)
    assert "version 5 (transcription)" in str(caught.value)
    assert version_of(old) == 1


# An application's own migrations


async def test_an_application_has_its_tables_from_the_start(
    own: Make, tmp_path: Path, journal: Any
) -> None:
    folder = tmp_path / "new"
    mine = own(FIRST, SECOND)
    for _ in range(2):
        async with reelbase.connect(
            folder / "media.db", journal=journal, migrations=mine, migrate=True
        ) as database:
            await database.execute("INSERT INTO notes (text) VALUES ('n')")
            report = await database.check()
        assert report.problems == []
    assert os.listdir(folder) == ["media.db"]  # nothing was there to be copied
    lines = await reelbase.migration_history(folder / "media.db")
    assert [(line.application, line.version) for line in lines[-2:]] == [
        ("notebook", 1),
        ("notebook", 2),
    ]
    assert [line.version for line in lines[:-2]] == list(range(1, SCHEMA_VERSION + 1))
    assert lines[-1].checksum == mine.steps[-1].checksum
    assert lines[-1].applied_at.tzinfo is not None


@pytest.mark.long
async def test_a_migration_sorts_in_files_and_what_follows_in_memory(
    own: Make, old: Path, journal: Any
) -> None:
    """In memory, a table of half a million rows that is built anew would take 350 MB."""
    look = own("CREATE TABLE seen AS SELECT temp_store FROM pragma_temp_store;\n")
    async with reelbase.connect(old, journal=journal, migrations=look) as database:
        assert await database.fetch_one(int, "SELECT temp_store FROM seen") == 1
        async with database.transaction() as unit:
            assert await unit.fetch_one(int, "PRAGMA temp_store") == 2


async def test_in_memory_too(own: Make) -> None:
    async with reelbase.connect(":memory:", migrations=own(FIRST, SECOND)) as database:
        assert await database.fetch_all(str, "SELECT text FROM notes") == []


async def test_ours_and_theirs_run_in_one_transaction_behind_one_copy(
    own: Make, old: Path, journal: Any
) -> None:
    async with reelbase.connect(old, journal=journal, migrations=own(FIRST)):
        pass
    assert version_of(old) == SCHEMA_VERSION
    assert sorted(os.listdir(old.parent)) == ["media.db", "media.db.v1.bak"]
    async with reelbase.connect(old, journal=journal, migrations=own(FIRST, SECOND)) as database:
        await database.execute("INSERT INTO notes (file_id, text) VALUES (?, 't')", (FILE_ID,))
    assert sorted(os.listdir(old.parent)) == [
        "media.db",
        "media.db.v1.bak",
        f"media.db.v{SCHEMA_VERSION}.bak",
    ]


@pytest.mark.long
async def test_several_applications_share_a_file(own: Make, path: Path, journal: Any) -> None:
    other = own("CREATE TABLE others (a)", application="other-app")
    for mine in (own(FIRST), other, own(FIRST, SECOND)):
        async with reelbase.connect(path, journal=journal, migrations=mine):
            pass
    lines = await reelbase.migration_history(path)
    assert [(line.application, line.version) for line in lines if line.application] == [
        ("notebook", 1),
        ("notebook", 2),
        ("other-app", 1),
    ]


@pytest.mark.long
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("CREATE TABLE a (b); nonsense;", "statement"),
        ("CREATE TABLE a (b); COMMIT;\n CREATE TABLE c (d);", None),
        ("CREATE TABLE a (b);\nEND TRANSACTION;\n", "forbidden"),
        ("CREATE TABLE a (b); ROLLBACK;", "forbidden"),
        ("CREATE TABLE a (b); ATTACH ':memory:' AS c;", "forbidden"),
        ("PRAGMA user_version = 99;", "forbidden"),
        ("PRAGMA application_id = 1;", "forbidden"),
        ("DROP INDEX files_newest;", "drifted"),
        ("ALTER TABLE files ADD COLUMN rating INTEGER;", "drifted"),
        (f"INSERT INTO notes (file_id) VALUES ('{FILE_ID[:-1]}9');", "broken_reference"),
        ("DELETE FROM profiles;", "broken_reference"),
    ],
)
async def test_a_step_that_fails_or_oversteps_leaves_everything_as_it_was(
    text: str, code: str | None, own: Make, old: Path, journal: Any
) -> None:
    """Ours before it are undone too."""
    mine = own(FIRST, text)
    if code is None:
        async with reelbase.connect(old, journal=journal, migrations=mine):
            pass  # BEGIN IMMEDIATE and COMMIT that frame a script for the sqlite3 program are left out
        return
    with pytest.raises(DatabaseError) as caught:
        await reelbase.connect(old, journal=journal, migrations=mine)
    assert caught.value.code == code
    assert "version 2 (step_2) of notebook" in str(caught.value)
    assert version_of(old) == 1
    with closing(sqlite3.connect(old)) as connection:
        assert differences(connection, 1) == []
        assert connection.execute(
            "SELECT count(*) FROM sqlite_schema WHERE name IN ('notes', 'application_migrations', 'a')"
        ).fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM files").fetchone() == (1,)


async def test_a_step_that_fails_on_a_new_file_leaves_it_empty(
    own: Make, tmp_path: Path, journal: Any
) -> None:
    target = tmp_path / "new.db"
    with pytest.raises(DatabaseError):
        await reelbase.connect(target, journal=journal, migrations=own("nonsense"))
    async with reelbase.connect(target, journal=journal, migrations=own(FIRST)) as database:
        assert await database.fetch_all(int, "SELECT id FROM notes") == []


async def test_an_edited_step_is_refused(own: Make, path: Path, journal: Any) -> None:
    async with reelbase.connect(path, journal=journal, migrations=own(FIRST)):
        pass
    error = await refused(path, journal, "edited", migrations=own(FIRST + "-- edited\n", SECOND))
    assert error.details["application"] == "notebook"


async def test_a_release_that_lacks_a_step_is_refused(own: Make, path: Path, journal: Any) -> None:
    async with reelbase.connect(path, journal=journal, migrations=own(FIRST, SECOND)):
        pass
    error = await refused(path, journal, "newer", migrations=own(FIRST))
    assert error.details["version"] == 2


async def test_a_step_that_was_put_in_below_others_is_refused(
    own: Make, path: Path, journal: Any
) -> None:
    async with reelbase.connect(path, journal=journal, migrations=own(FIRST, SECOND)):
        pass
    change(path, "DELETE FROM application_migrations WHERE version = 1")
    error = await refused(path, journal, "gap", migrations=own(FIRST, SECOND))
    assert error.details["version"] == 1


async def test_without_leave_their_step_is_refused_too(own: Make, path: Path, journal: Any) -> None:
    async with reelbase.connect(path, journal=journal, migrations=own(FIRST)):
        pass
    error = await refused(path, journal, "older", migrations=own(FIRST, SECOND), migrate=False)
    assert error.details["application"] == "notebook"
    async with reelbase.connect(path, journal=journal, migrations=own(FIRST), migrate=False):
        pass


@pytest.mark.long
async def test_windows_line_ends_are_no_edit(own: Make, path: Path, journal: Any) -> None:
    for mine in (own(FIRST), own(FIRST.replace("\n", "\r\n"))):
        async with reelbase.connect(path, journal=journal, migrations=mine):
            pass
    assert not list(path.parent.glob("*.2.bak"))


@pytest.mark.parametrize(
    ("names", "match"),
    [
        ([], "holds no migration"),
        (["0002_a.sql"], "should have number 0001"),
        (["0001_a.sql", "0003_b.sql"], "should have number 0002"),
        (["0001_a.sql", "0001_b.sql"], "should have number 0002"),
        (["1_a.sql"], "not named like"),
        (["0001-a.sql"], "not named like"),
    ],
)
def test_a_folder_that_is_no_chain_is_refused(names: list[str], match: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("not a migration")
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(ValueError, match=match):
        Migrations("notebook", tmp_path)


def test_files_of_editors_and_of_file_servers_are_no_migrations(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (id INTEGER);")
    for name in (
        "._0001_a.sql",
        "._0002_b.sql",
        "0001_a.sql~",
        "#0001_a.sql#",
        ".DS_Store",
        ".0001_a.sql.swp",
    ):
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / ".#0001_a.sql").symlink_to("ann@host.1:2")  # Emacs' lock, which leads nowhere
    (tmp_path / ".tools.sql").mkdir()
    assert [step.name for step in Migrations("notebook", tmp_path).steps] == ["a"]
    for misnamed in ("0002_b copy.sql", "0002_b (1).sql", "~0002_b.sql", "_0002_b.sql"):
        (tmp_path / misnamed).write_text("SELECT 1;")
        with pytest.raises(ValueError, match="not named like"):
            Migrations("notebook", tmp_path)
        (tmp_path / misnamed).unlink()


def test_other_arguments_are_refused_by_name(tmp_path: Path) -> None:
    for application in ("", "My App", "../x", "1a"):
        with pytest.raises(ValueError, match="application"):
            Migrations(application, tmp_path)
    with pytest.raises(TypeError, match="application"):
        Migrations(1, tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is no folder"):
        Migrations("notebook", tmp_path / "nowhere")
    (tmp_path / "0001_a.sql").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="UTF-8"):
        Migrations("notebook", tmp_path)
    with pytest.raises(TypeError, match="migrations"):
        reelbase.connect(tmp_path / "a.db", migrations=tmp_path)  # type: ignore[arg-type]


def test_a_package_may_hold_them() -> None:
    mine = Migrations("copy", resources.files("reelbase").joinpath("migrations"))
    assert [step.checksum for step in mine.steps] == [step.checksum for step in migrations()]
    assert repr(mine) == f"<Migrations of copy: {SCHEMA_VERSION}>"


def test_statements_are_told_apart_wherever_they_stand() -> None:
    script = (
        "BEGIN IMMEDIATE;\nCREATE TABLE a (b); CREATE TABLE c (d) -- ;\n;"
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT ';'; END; SELECT 1"
    )
    assert [statement.strip() for statement in statements_of(script)] == [
        "CREATE TABLE a (b);",
        "CREATE TABLE c (d) -- ;\n;",
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT ';'; END;",
        "SELECT 1",
    ]
    assert list(statements_of(" \n")) == []


# Dry runs, versions, and the way back


@pytest.mark.long
async def test_a_dry_run_says_what_would_be_done_and_changes_nothing(own: Make, old: Path) -> None:
    before = bytes_of(old)
    told: list[tuple[str, int, int]] = []
    report = await reelbase.migrate(
        old, dry_run=True, migrations=own(FIRST), progress=lambda *facts: told.append(facts)
    )
    assert report.is_dry_run
    assert (report.from_version, report.to_version, report.copy) == (1, SCHEMA_VERSION, None)
    assert report.steps[0] == MigrationStep(None, 2, "downloads")
    assert report.steps[-1] == MigrationStep("notebook", 1, "step_1")
    assert len(report.steps) == SCHEMA_VERSION
    assert bytes_of(old) == before
    assert os.listdir(old.parent) == ["media.db"]
    assert told[0][0] == "copying"
    assert told[-1] == ("committing", SCHEMA_VERSION, SCHEMA_VERSION)


@pytest.mark.long
async def test_a_dry_run_finds_what_would_fail(own: Make, old: Path) -> None:
    before = bytes_of(old)
    with pytest.raises(DatabaseError, match=r"version 1 \(step_1\) of notebook"):
        await reelbase.migrate(old, dry_run=True, migrations=own("nonsense"))
    change(old, "DELETE FROM schema_migrations; VACUUM")
    drifted = bytes_of(old)
    with pytest.raises(SchemaError, match="the ledger lacks"):
        await reelbase.migrate(old, dry_run=True)
    assert drifted != before
    assert bytes_of(old) == drifted
    assert os.listdir(old.parent) == ["media.db"]


@pytest.mark.long
async def test_a_version_in_between(own: Make, old: Path, journal: Any) -> None:
    report = await reelbase.migrate(old, to=3, migrations=own(FIRST))
    assert [step.version for step in report.steps] == [2, 3]
    assert report.copy == Path(f"{old}.v1.bak")
    assert version_of(old) == 3
    assert (await reelbase.migrate(old, to=3)).steps == []
    async with reelbase.connect(old, journal=journal) as database:
        assert await database.files.count_for_profile("a") == 1
    assert sorted(os.listdir(old.parent)) == ["media.db", "media.db.v1.bak", "media.db.v3.bak"]


@pytest.mark.long
@pytest.mark.parametrize("dry_run", [True, False])
async def test_nothing_leads_back(dry_run: bool, old: Path) -> None:
    await reelbase.migrate(old)
    with pytest.raises(SchemaError, match=r"which is .*media\.db\.v1\.bak") as caught:
        await reelbase.migrate(old, to=1, dry_run=dry_run)
    assert caught.value.code == "downgrade"
    with pytest.raises(SchemaError, match=r"media\.db\.v2\.bak is not there"):
        await reelbase.migrate(old, to=2, dry_run=dry_run)
    for wrong in (0, SCHEMA_VERSION + 1):
        with pytest.raises(ValueError, match="to: must be"):
            await reelbase.migrate(old, to=wrong)
    assert version_of(old) == SCHEMA_VERSION


async def test_what_is_no_database_of_ours_is_not_migrated(tmp_path: Path) -> None:
    target = tmp_path / "a.db"
    with pytest.raises(DatabaseIOError):
        await reelbase.migrate(target)
    target.touch()
    for call in (reelbase.migrate, reelbase.adopt, reelbase.migration_history):
        with pytest.raises(SchemaError) as caught:
            await call(target)
        assert caught.value.code == "empty"
    change(target, "CREATE TABLE schema_migrations (version TEXT)")  # as other programs have it
    for call in (reelbase.migrate, reelbase.adopt, reelbase.migration_history):
        with pytest.raises(SchemaError) as caught:
            await call(target)
        assert caught.value.code == "foreign"
    for wrong in ("", ":memory:", "a\0b"):
        with pytest.raises(ValueError, match="path"):
            await reelbase.migrate(wrong)
    with pytest.raises(TypeError, match="path"):
        await reelbase.adopt(b"a.db")  # type: ignore[arg-type]


@pytest.mark.long
async def test_a_database_that_somebody_writes_is_busy(old: Path) -> None:
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusyError):
            await reelbase.migrate(old, busy_timeout=0.05)
    assert version_of(old) == 1


# Copies


async def test_without_room_for_the_copy_nothing_is_touched(
    old: Path, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bytes_of(old)
    usage = shutil.disk_usage(old.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DatabaseFullError) as caught:
        await reelbase.migrate(old)
    assert caught.value.details["needed"] > len(before)
    assert caught.value.details["free"] == 1000
    assert f"{len(before):,} for the copy" in str(caught.value)
    assert "1,000" in str(caught.value)
    assert bytes_of(old) == before
    assert os.listdir(old.parent) == ["media.db"]


@pytest.mark.long
async def test_an_older_copy_of_the_same_version_is_not_taken_for_todays(old: Path) -> None:
    earlier = Path(f"{old}.v1.bak")
    shutil.copy(old, earlier)
    change(old, "INSERT INTO profiles (id) VALUES ('later')")
    report = await reelbase.migrate(old)
    assert report.copy == Path(f"{old}.v1.2.bak")
    assert value(Path(f"{old}.v1.2.bak"), "SELECT count(*) FROM profiles") == 2
    assert value(earlier, "SELECT count(*) FROM profiles") == 1


@pytest.mark.long
@pytest.mark.parametrize("way", ["connect", "migrate", "command"])
async def test_the_copy_goes_where_it_is_told_to(way: str, old: Path, tmp_path: Path) -> None:
    copies = tmp_path / "elsewhere" / "copies"
    if way == "connect":
        async with reelbase.connect(old, backup_dir=copies):
            pass
    elif way == "migrate":
        report = await reelbase.migrate(old, backup_dir=str(copies))
        assert report.copy == copies / "media.db.v1.bak"
    else:
        await asyncio.to_thread(main, ["migrate", str(old), "--backup-dir", str(copies)])
    assert os.listdir(copies) == ["media.db.v1.bak"]
    assert version_of(copies / "media.db.v1.bak") == 1
    assert version_of(old) == SCHEMA_VERSION
    assert [name for name in os.listdir(old.parent) if name.endswith(".bak")] == []


async def test_a_folder_for_copies_that_cannot_be_made_is_told(old: Path, tmp_path: Path) -> None:
    before = bytes_of(old)
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseIOError) as caught:
        await reelbase.migrate(old, backup_dir=tmp_path / "file" / "copies")
    assert caught.value.code == "backup_dir"
    assert str(tmp_path / "file" / "copies") in str(caught.value)
    assert bytes_of(old) == before


async def test_nothing_to_migrate_makes_no_folder(path: Path, tmp_path: Path, journal: Any) -> None:
    async with reelbase.connect(path, journal=journal, backup_dir=tmp_path / "copies"):
        assert not (tmp_path / "copies").exists()


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root gives files away")
async def test_the_copy_belongs_to_the_owner_of_the_database_and_has_its_permissions(
    old: Path,
) -> None:
    await asyncio.to_thread(os.chown, old, 1234, 2345)
    await asyncio.to_thread(os.chmod, old, 0o660)
    report = await reelbase.migrate(old)
    assert report.copy is not None
    status = os.stat(report.copy)
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (1234, 2345, 0o660)


@pytest.mark.long
async def test_a_disk_that_is_full_all_the_same_is_told_with_what_was_expected(
    own: Make, old: Path, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(upgrade, "refuse_broken_references", full)
    with pytest.raises(DatabaseFullError, match=r"for the copy in .* for temporary files in "):
        await reelbase.connect(old, journal=journal)
    assert os.listdir(old.parent) == ["media.db"]


@pytest.mark.long
async def test_a_failed_upgrade_leaves_no_copy(own: Make, old: Path, journal: Any) -> None:
    """A container that restarts a failing upgrade for a night must not fill the disk."""
    for _ in range(3):
        with pytest.raises(DatabaseError):
            await reelbase.connect(old, journal=journal, migrations=own("nonsense"))
        assert os.listdir(old.parent) == ["media.db"]


@pytest.mark.long
async def test_the_copy_of_a_killed_upgrade_is_not_made_twice_and_outlives_one_that_fails(
    own: Make, old: Path, journal: Any
) -> None:
    with pytest.raises(DatabaseError):  # brings the file into the journal mode of the run
        await reelbase.connect(old, journal=journal, migrations=own("nonsense"))
    with closing(sqlite3.connect(old, isolation_level=None)) as native:
        safety_copies.keep_copy(str(old), 1, old.parent, lambda done, total: None)
        assert native.execute("PRAGMA user_version").fetchone() == (1,)
    with pytest.raises(DatabaseError):
        await reelbase.connect(old, journal=journal, migrations=own("nonsense"))
    assert sorted(os.listdir(old.parent)) == ["media.db", "media.db.v1.bak"]


LEDGERS = {"tv": "2024-01-01T00:00:00.000Z", "films": "2025-01-01T00:00:00.000Z"}


def make_copies(old: Path, *names: str) -> None:
    """Copies of the database before it was migrated, each with a row more, the clock running backwards."""
    for age, name in enumerate(names):
        shutil.copy(old, old.parent / name)
        change(old, f"INSERT INTO profiles (id) VALUES ('{age}')")
        moment = 2_145_916_800 - age  # in 2038
        os.utime(old.parent / name, (moment, moment))


@pytest.mark.long
async def test_the_newest_copies_are_kept_by_no_clock(old: Path) -> None:
    make_copies(old, *(f"media.db.v1.{number}bak" for number in ("", "2.", "9.", "10.", "11.")))
    report = await reelbase.migrate(old)
    assert report.copy == Path(f"{old}.v1.12.bak")
    assert safety_copies.KEPT_COPIES == 3
    assert sorted(os.listdir(old.parent)) == [
        "media.db",
        *(f"media.db.v1.{number}.bak" for number in (10, 11, 12)),
    ]


@pytest.mark.long
async def test_what_is_no_copy_of_this_database_stays(
    old: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_copies(old, "media.db.v1.4.bak", "media.db.v1.5.bak", "media.db.v1.6.bak")
    others = ["media.db.v1.bak.gz", "media.db.vx.bak", "xmedia.db.v1.bak", "media.db.v01.bak"]
    for name in [*others, "media.db.v1.bak"]:
        write(old.parent / name, b"somebody's" * 1000)
    change(
        make_old(Path(f"{old}.v1.2.bak")),
        f"UPDATE schema_migrations SET applied_at = '{LEDGERS['tv']}'",
    )
    shutil.copy(old, f"{old}.v2.3.bak")  # it has version 1
    damaged = Path(f"{old}.v1.7.bak")
    shutil.copy(old, damaged)
    write(damaged, bytes_of(damaged)[:100] + b"\xff" * 4000)
    await reelbase.migrate(old)
    assert sorted(os.listdir(old.parent)) == sorted(
        [
            "media.db",
            *others,
            *(f"media.db.{rest}.bak" for rest in ("v1", "v1.2", "v2.3", "v1.7")),
            *(f"media.db.v1.{number}.bak" for number in (5, 6, 8)),
        ]
    )
    assert f"{damaged} cannot be read" in caplog.text


@pytest.mark.long
async def test_the_numbers_of_copies_go_on_after_a_restored_one_is_migrated_again(
    old: Path,
) -> None:
    def names() -> list[str]:
        return [name for name in sorted(os.listdir(old.parent)) if name != "media.db"]

    await reelbase.migrate(old, to=3)
    await reelbase.migrate(old)
    assert names() == ["media.db.v1.bak", "media.db.v3.bak"]  # in the order of their versions
    for source, expected in (
        ("v1", ["media.db.v1.2.bak", "media.db.v3.3.bak", "media.db.v3.bak"]),
        ("v1.2", ["media.db.v1.4.bak", "media.db.v3.3.bak", "media.db.v3.5.bak"]),
    ):
        await reelbase.restore(Path(f"{old}.{source}.bak"), old)
        change(old, f"INSERT INTO profiles (id) VALUES ('{source}')")
        await reelbase.migrate(old, to=3)
        await reelbase.migrate(old)
        assert names() == expected
    for version, newest in ((1, "v1.4"), (3, "v3.5")):
        with pytest.raises(SchemaError, match=rf"which is .*media\.db\.{newest}\.bak"):
            await reelbase.migrate(old, to=version)


@pytest.mark.long
def test_databases_of_one_name_may_share_a_folder_for_copies(tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    for name in ("tv", "films"):
        for row in range(4):
            file = make_old(tmp_path / name / str(row) / "media.db")
            change(file, f"UPDATE schema_migrations SET applied_at = '{LEDGERS[name]}'")
            change(file, f"INSERT INTO profiles (id) VALUES ('{name} {row}')")
            with closing(
                sqlite3.connect(file, isolation_level=None, factory=NativeConnection)
            ) as native:
                bring_up_to_date(native, str(file), backup_dir=folder)
    found = [value(copy, "SELECT id FROM profiles WHERE id <> 'a'") for copy in folder.iterdir()]
    assert sorted(found) == [f"{name} {row}" for name in ("films", "tv") for row in (1, 2, 3)]


# Adopting


def unmark(path: Path) -> None:
    change(path, "PRAGMA application_id = 0; PRAGMA user_version = 0")


@pytest.mark.long
@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
async def test_a_database_that_lost_its_marks_is_adopted(
    version: int, tmp_path: Path, journal: Any
) -> None:
    target = make_old(tmp_path / "a.db", version)
    change(target, "CREATE TABLE mine (a); CREATE INDEX my_index ON files (size_bytes)")
    unmark(target)
    assert "reelbase adopt" in str(await refused(target, journal, "unversioned"))
    assert await reelbase.adopt(target) == version
    assert await reelbase.adopt(target) == version  # one that is marked stays as it is
    assert version_of(target) == version
    async with reelbase.connect(target, journal=journal) as database:
        assert (await database.check()).problems == []


@pytest.mark.long
@pytest.mark.parametrize("lost", ["application_id", "user_version"])
async def test_one_of_the_marks_may_be_lost(lost: str, old: Path, journal: Any) -> None:
    change(old, f"PRAGMA {lost} = 0")
    await refused(old, journal, "unversioned")
    assert await reelbase.adopt(old) == 1
    assert value(old, "PRAGMA application_id") == 0x7265656C


@pytest.mark.long
async def test_a_ledger_that_was_lost_is_written_anew(old: Path, journal: Any) -> None:
    change(old, "DELETE FROM schema_migrations")
    unmark(old)
    assert await reelbase.adopt(old) == 1
    async with reelbase.connect(old, journal=journal):
        pass


@pytest.mark.long
@pytest.mark.parametrize(
    ("version", "script", "code", "text"),
    [
        (2, "DROP INDEX files_newest", "unknown_schema", "version 2 is the nearest"),
        (2, "DROP TABLE config", "unknown_schema", "table config is missing"),
        (
            4,
            "CREATE TABLE speakers (a)",
            "unknown_schema",
            "table speakers belongs to a later version",
        ),
        (1, "PRAGMA application_id = 77", "foreign", "77"),
        (1, "PRAGMA user_version = 3", "unknown_schema", "has the schema of version 1"),
        (1, "UPDATE schema_migrations SET checksum = ''", "edited", "foundation"),
        (
            1,
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (99, 'x', '')",
            "newer",
            "up to 99",
        ),
        (1, "UPDATE files SET profile_id = 'nobody'", "broken_reference", "profiles"),
    ],
)
async def test_what_is_not_a_version_to_the_letter_is_not_adopted(
    version: int, script: str, code: str, text: str, tmp_path: Path
) -> None:
    target = make_old(tmp_path / "a.db", version)
    unmark(target)
    change(target, script)
    before = bytes_of(target)
    with pytest.raises(SchemaError) as caught:
        await reelbase.adopt(target)
    assert caught.value.code == code
    assert text in str(caught.value)
    assert bytes_of(target) == before


# The commands


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    try:
        code = main([str(word) for word in words])
    except SystemExit as exit:
        code = int(exit.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.long
def test_the_commands_of_an_upgrade(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "has version 1; `reelbase migrate" in run(capsys, "version", old)[1]
    code, out, _ = run(capsys, "migrate", old, "--dry-run")
    assert (code, version_of(old)) == (0, 1)
    assert out.startswith("reelbase 0002 downloads\n")
    assert "would be run" in out
    code, out, _ = run(capsys, "migrate", old, "--to", 3, "--json")
    assert code == 0
    assert json.loads(out)["to_version"] == 3
    assert json.loads(out)["copy"] == f"{old}.v1.bak"
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "0001_notes.sql").write_text(FIRST)
    code, out, err = run(capsys, "migrate", old, "--own", "notebook", tmp_path / "own")
    assert (code, err) == (0, "")
    assert "notebook 0001 notes\n" in out
    assert f"is kept in {old}.v3.bak" in out
    assert "there is nothing to do" in run(capsys, "migrate", old)[1]
    code, out, _ = run(capsys, "history", old)
    assert code == 0
    assert [line.split()[:3] for line in out.splitlines()[4:-1]] == [
        *(["reelbase", f"{step.version:04}", step.name] for step in migrations()),
        ["notebook", "0001", "notes"],
    ]
    lines = json.loads(run(capsys, "history", old, "--json")[1])["migrations"]
    assert [line["version"] for line in lines] == [*range(1, SCHEMA_VERSION + 1), 1]
    assert json.loads(run(capsys, "version", old, "--json")[1])["database"] == SCHEMA_VERSION
    unmark(old)
    code, _, err = run(capsys, "version", old)
    assert code == 1
    assert "reelbase adopt" in err
    assert run(capsys, "adopt", old)[:2] == (0, f"{old} has version {SCHEMA_VERSION}\n")
    adopted = json.loads(run(capsys, "adopt", old, "--json")[1])
    assert adopted == {"version": SCHEMA_VERSION, "newest": SCHEMA_VERSION}


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["migrate", "--to", 1], 1),
        (["migrate", "--to", 99], 2),
        (["migrate", "--own", "My App", "."], 2),
        (["migrate", "--nonsense"], 2),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    words: list[object], expected: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = make_old(tmp_path / "a.db", 2)
    code, out, err = run(capsys, *words, target)
    assert (code, out) == (expected, "")
    assert err.splitlines()[-1].startswith("reelbase")
    assert version_of(target) == 2
    for command in ("history", "version", "adopt", "migrate"):
        assert run(capsys, command, ":memory:")[0] == 2
        assert run(capsys, command, tmp_path / "nowhere.db")[0] == 2


def test_reports_are_objects_in_json() -> None:
    step = MigrationStep(None, 2, "downloads")
    assert msgspec.json.encode(step) == b'{"application":null,"version":2,"name":"downloads"}'
