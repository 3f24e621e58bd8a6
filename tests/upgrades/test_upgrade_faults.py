"""Killed at every statement of an upgrade: the old version or the new one, whole. Started eight times
at once: one upgrades, none fails. Each harness carries a mutant that it must catch."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reelbase.engine.schema.chain import migrations

OWN = {
    "0001_notes.sql": """
        CREATE TABLE notes (id INTEGER PRIMARY KEY, file_id TEXT REFERENCES files (id) ON DELETE CASCADE);
        INSERT INTO notes (file_id) SELECT id FROM files;
        CREATE TABLE note_words (
          note_id INTEGER NOT NULL REFERENCES notes (id) ON DELETE CASCADE,
          word TEXT NOT NULL
        );
        INSERT INTO note_words SELECT id, hex(randomblob(900)) FROM notes;
    """,
    # The rebuild that sqlite.org/lang_altertable.html describes: note_words refers to it.
    "0002_text.sql": """
        CREATE TABLE new_notes (
          id INTEGER PRIMARY KEY,
          file_id TEXT NOT NULL REFERENCES files (id) ON DELETE CASCADE,
          text TEXT NOT NULL DEFAULT ''
        ) STRICT;
        INSERT INTO new_notes (id, file_id) SELECT id, file_id FROM notes;
        DROP TABLE notes;
        ALTER TABLE new_notes RENAME TO notes;
        CREATE INDEX notes_of_file ON notes (file_id);
    """,
    "0003_searched.sql": """
        CREATE VIRTUAL TABLE notes_fts USING fts5 (text);
        CREATE TRIGGER notes_fts_delete AFTER DELETE ON notes
        BEGIN
          DELETE FROM notes_fts WHERE rowid = OLD.id;
        END;
        INSERT INTO notes_fts (rowid, text) SELECT id, 'words; and more' FROM notes
    """,
}

# What both harnesses' processes begin with.
_PROLOGUE = """
import asyncio, contextlib, json, os, shutil, signal, sqlite3, sys, traceback
import reelbase
from reelbase.operations import migration
from reelbase.engine.maintenance import upgrade as engine_upgrade
from reelbase.engine.maintenance import opening

source, folder, own_folder, journal, mutant = sys.argv[1:6]
own = reelbase.Migrations("notebook", own_folder)

def in_a_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child

async def open_it(path):
    async with reelbase.connect(path, journal=journal, migrations=own, busy_timeout=30):
        pass
"""

_KILLED = (
    _PROLOGUE
    + """
every = int(sys.argv[6])
real_open = opening.open_native

@contextlib.contextmanager
def commit_per_statement(native, context):
    yield

def work(path, kill_at, told):
    seen = 0
    def trace(statement):
        nonlocal seen
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    def open_native(settings, role, **options):
        native = real_open(settings, role, **options)
        if role == "writer":
            native.execute("PRAGMA cache_size = 5")  # writes into the file before the commit
            native.set_trace_callback(trace)
        return native
    opening.open_native = open_native
    if mutant == "commit per statement":
        engine_upgrade.write_transaction = commit_per_statement
    asyncio.run(open_it(path))
    os.write(told, str(seen).encode())

def rows(connection, table):
    return connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()

def look(path):
    # A copy with its side files, as a crash leaves them, is what the next start would see.
    for suffix in ("", "-wal", "-journal"):
        if os.path.exists(path + suffix):
            shutil.copy(path + suffix, path + ".look" + suffix)
    connection = sqlite3.connect(path + ".look")
    found = [
        connection.execute("PRAGMA user_version").fetchone(),
        connection.execute("PRAGMA integrity_check").fetchall(),
        connection.execute("PRAGMA foreign_key_check").fetchall(),
        connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2").fetchall(),
        connection.execute("SELECT version, checksum FROM schema_migrations ORDER BY 1").fetchall(),
        [rows(connection, table) for table in ("profiles", "files", "jobs")],
    ]
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema")]
    if "application_migrations" in tables:
        found.append(connection.execute(
            "SELECT application, version, checksum FROM application_migrations ORDER BY 2"
        ).fetchall())
        found.append(rows(connection, "notes") if "notes" in tables else None)
    connection.close()
    for suffix in ("", "-wal", "-shm", "-journal"):
        if os.path.exists(path + ".look" + suffix):
            os.unlink(path + ".look" + suffix)
    return found

def run(path, kill_at):
    ready, told = os.pipe()
    child = in_a_child(lambda: work(path, kill_at, told))
    os.close(told)
    answer = os.read(ready, 20)
    os.close(ready)
    return int(answer or 0), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

path = shutil.copy(source, os.path.join(folder, "whole.db"))
old = look(path)
statements, code = run(path, 0)
assert code == 0
new = look(path)
assert new != old
report = {"kills": 0, "old": 0, "new": 0, "torn": [], "unfinished": [], "copies": []}
for kill_at in range(1, statements + 1, every):
    path = shutil.copy(source, os.path.join(folder, f"{kill_at}.db"))
    _, code = run(path, kill_at)
    assert code == -signal.SIGKILL, (kill_at, code)
    report["kills"] += 1
    found = look(path)
    if found == old:
        report["old"] += 1
    elif found[:6] == new[:6] and len(found) == len(new):
        report["new"] += 1
    else:
        report["torn"].append(kill_at)
        continue
    if kill_at % 3 == 1:
        _, code = run(path, 0)
        if code or look(path)[:6] != new[:6]:
            report["unfinished"].append(kill_at)
        copies = [name for name in os.listdir(folder) if name.startswith(f"{kill_at}.db.v1")]
        if copies != [f"{kill_at}.db.v1.bak"] or look(path + ".v1.bak") != old:
            report["copies"].append((kill_at, copies))
report["statements"] = statements
print(json.dumps(report))
"""
)

_TOGETHER = (
    _PROLOGUE
    + """
rounds = int(sys.argv[6])
real_pending = engine_upgrade.pending

def look_before_the_lock(path):
    with contextlib.closing(sqlite3.connect(path)) as native:
        left = real_pending(native, path, own)
    real_upgrade = migration.bring_up_to_date
    def upgrade(*arguments, **options):
        engine_upgrade.pending = lambda *arguments: left
        try:
            return real_upgrade(*arguments, **options)
        finally:
            engine_upgrade.pending = real_pending
    migration.bring_up_to_date = upgrade

async def upgrade(path, told):
    report = await reelbase.migrate(path, migrations=own, busy_timeout=30)
    async with reelbase.connect(path, journal=journal, migrations=own, busy_timeout=30) as database:
        assert await database.fetch_one(int, "SELECT count(*) FROM note_words") == 40
    os.write(told, b"1" if report.steps else b"0")

def work(path, opener, gate, told):
    os.close(opener)
    if mutant == "looks before the lock":
        look_before_the_lock(path)
    os.read(gate, 1)
    asyncio.run(upgrade(path, told))

report = {"failed": 0, "migrated": []}
for number in range(rounds):
    path = shutil.copy(source, os.path.join(folder, f"{number}.db"))
    (gate, opener), (ready, told) = os.pipe(), os.pipe()
    children = [in_a_child(lambda: work(path, opener, gate, told)) for _ in range(8)]
    if mutant:
        import time
        time.sleep(0.5)
    os.close(opener)
    os.close(told)
    report["failed"] += sum(os.waitpid(child, 0)[1] != 0 for child in children)
    report["migrated"].append(os.read(ready, 8).count(b"1"))
    os.close(gate)
    os.close(ready)
report["files"] = sorted(os.listdir(folder))
print(json.dumps(report))
"""
)


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations of notebook"
    folder.mkdir()
    for name, text in OWN.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def source(tmp_path: Path, journal: str) -> Path:
    """A database of version 1 with a few rows, in the journal mode of the run."""
    path = tmp_path / "source.db"
    first = migrations()[0]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.executescript(first.sql)
        connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (1, ?, ?)",
            (first.name, first.checksum),
        )
        connection.execute("INSERT INTO profiles (id) VALUES ('a')")
        for number in range(40):
            connection.execute(
                "INSERT INTO files (id, profile_id, name, path) VALUES (?, 'a', 'n', 'p')",
                (f"00000000-0000-7000-8000-{number:012}",),
            )
        connection.execute(
            "INSERT INTO jobs (id, profile_id, type) VALUES (?, 'a', 't')",
            ("00000000-0000-7000-8000-000000000001",),
        )
    return path


def run(code: str, *arguments: object) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    print(report)
    return report, done.stderr


@pytest.mark.long
@pytest.mark.parametrize("every", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_an_upgrade_killed_at_any_statement_leaves_the_old_version_or_the_new_one(
    every: int, source: Path, own_folder: Path, tmp_path: Path, journal: str
) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()
    report, errors = run(_KILLED, source, folder, own_folder, journal, "", every)
    assert (report["torn"], report["unfinished"], report["copies"]) == ([], [], [])
    assert report["old"] + report["new"] == report["kills"] >= report["statements"] // every
    assert report["old"] > 0
    assert errors == ""


@pytest.mark.long
def test_an_upgrade_that_commits_each_statement_is_caught(
    source: Path, own_folder: Path, tmp_path: Path, journal: str
) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()
    mutant = "commit per statement"
    report, _ = run(_KILLED, source, folder, own_folder, journal, mutant, 61)
    assert report["torn"]


@pytest.mark.long
@pytest.mark.parametrize("rounds", [2, pytest.param(25, marks=pytest.mark.slow)])
def test_of_eight_processes_that_start_together_one_upgrades_and_none_fails(
    rounds: int, source: Path, own_folder: Path, tmp_path: Path, journal: str
) -> None:
    folder = tmp_path / "together"
    folder.mkdir()
    report, errors = run(_TOGETHER, source, folder, own_folder, journal, "", rounds)
    assert (errors, report["failed"], report["migrated"]) == ("", 0, [1] * rounds)
    assert report["files"] == sorted(
        name for number in range(rounds) for name in (f"{number}.db", f"{number}.db.v1.bak")
    )


@pytest.mark.long
def test_processes_that_look_before_they_have_the_lock_are_caught(
    source: Path, own_folder: Path, tmp_path: Path, journal: str
) -> None:
    folder = tmp_path / "together"
    folder.mkdir()
    mutant = "looks before the lock"
    report, _ = run(_TOGETHER, source, folder, own_folder, journal, mutant, 1)
    assert (report["failed"], report["migrated"]) == (7, [1])
