"""Promises about a file that was copied over a database whose log was still there: it is told and refused,
and the log of a killed database is not."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pytest

import reelbase
from reelbase import SchemaError
from reelbase.cli.main import main
from reelbase.engine.file import stale_log
from reelbase.engine.file.stale_log import parse_header, refuse_stale_log

Journal = Literal["wal", "delete"]
LOG: dict[Journal, str] = {"wal": "-wal", "delete": "-journal"}

# Ends with a log that SQLite would apply: the last of the changes, or what undoes half of one.
_KILLED = """
import os, sqlite3, sys
native = sqlite3.connect(sys.argv[1], isolation_level=None)
native.execute("PRAGMA cache_size = 1")
native.execute("PRAGMA wal_autocheckpoint = 0")
for statement in sys.argv[2:]:
    native.execute(statement)
os.kill(os.getpid(), 9)
"""
INSERT = "INSERT INTO profiles (id) VALUES ('of the log')"
GROW = "CREATE TABLE junk AS SELECT hex(randomblob(100000)) AS text"
UPDATE = "UPDATE config SET value = '2' WHERE key = 'moment'"
LAST: dict[Journal, list[str]] = {"wal": [INSERT, GROW], "delete": ["BEGIN", UPDATE, GROW]}


def kill(path: Path, *statements: str) -> None:
    command = [sys.executable, "-c", _KILLED, str(path), *statements]
    assert subprocess.run(command, check=False, timeout=60).returncode == -9


def held(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}


def write(path: str | Path, content: bytes) -> None:
    Path(path).write_bytes(content)


def read(path: Path) -> bytes:
    return path.read_bytes()


def copy_over(source: Path, path: Path) -> None:
    write(path, source.read_bytes())


async def change(path: Path, journal: Journal, *profiles: str) -> None:
    """Each in a session of its own, in which the file grows: without that the header stays as it was."""
    for profile in profiles:
        async with reelbase.connect(path, journal=journal) as database:
            await database.profiles.ensure(profile)
            await database.config.set(profile, "x" * 20_000)


async def profiles(path: Path, journal: Any = "auto") -> list[str]:
    async with reelbase.connect(path, journal=journal, create=False) as database:
        assert (await database.check()).ok
        return sorted(profile.id for profile in await database.profiles.list())


@pytest.fixture
async def saved(path: Path, tmp_path: Path, journal: Journal) -> Path:
    """A backup of a database that has changed since."""
    async with reelbase.connect(path, journal=journal) as database:
        await database.profiles.ensure("old")
        await database.config.set("moment", 1)
        await database.backup(tmp_path / "saved.db")
    await change(path, journal, "new")
    return tmp_path / "saved.db"


CALLS: dict[str, Callable[[Path], Coroutine[Any, Any, Any]]] = {
    "connect": profiles,
    "connect wal": lambda path: profiles(path, "wal"),
    "connect delete": lambda path: profiles(path, "delete"),
    "migrate": reelbase.migrate,
    "migrate on a copy": lambda path: reelbase.migrate(path, dry_run=True),
    "adopt": reelbase.adopt,
    "migration_history": reelbase.migration_history,
    "restore from": lambda path: reelbase.restore(path, path.with_name("new.db")),
}


async def refused(path: Path, call: str = "connect") -> str:
    before = held(path.parent)
    with pytest.raises(SchemaError) as caught:
        await CALLS[call](path)
    assert caught.value.code == "stale_log"
    assert held(path.parent) == before
    return str(caught.value)


@pytest.mark.long
@pytest.mark.parametrize("call", CALLS)
async def test_a_backup_that_was_copied_over_a_killed_database_is_refused(
    call: str, saved: Path, path: Path, journal: Journal
) -> None:
    kill(path, *LAST[journal])
    copy_over(saved, path)
    said = await refused(path, call)
    assert f"{path}{LOG[journal]} is not the log of {path}: " in said
    assert "`reelbase restore`" in said
    link = path.with_name("link.db")
    link.symlink_to(path)
    assert f"{path}{LOG[journal]} is not the log of {link}: " in await refused(link, call)


def test_the_command_restore_mends_it_and_keeps_what_lay_there(
    saved: Path, path: Path, journal: Journal
) -> None:
    kill(path, *LAST[journal])
    copy_over(saved, path)
    before = held(path.parent)
    assert main(["restore", str(saved), str(path)]) == 0
    (kept,) = path.parent.glob("*.bak")
    assert kept.read_bytes() == before[path.name]
    log = Path(f"{kept}{LOG[journal]}")
    assert log.read_bytes() == before[f"{path.name}{LOG[journal]}"]
    with closing(sqlite3.connect(path)) as native:
        assert native.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.long
@pytest.mark.parametrize("command", ["check", "inspect", "migrate", "backup", "export", "init"])
def test_commands_refuse_it_in_one_line(
    command: str, saved: Path, path: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    kill(path, *LAST[journal])
    copy_over(saved, path)
    before = held(path.parent)
    assert main([command, str(path)]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "is not the log of" in err
    assert held(path.parent) == before


@pytest.mark.long
async def test_both_ways_out_lead_to_the_backup(
    saved: Path, path: Path, journal: Journal, tmp_path: Path
) -> None:
    kill(path, *LAST[journal])
    copy_over(saved, path)
    other = tmp_path / "other" / path.name
    shutil.copytree(tmp_path, other.parent, ignore=shutil.ignore_patterns("other"))
    os.rename(f"{path}{LOG[journal]}", f"{path}.away")
    assert await profiles(path, journal) == ["old"]
    await reelbase.restore(saved, other)
    assert sorted(os.listdir(other.parent)) == ["media.db", "saved.db"]
    assert await profiles(other, journal) == ["old"]


@pytest.mark.long
@pytest.mark.parametrize("how", ["backup", "while it was closed"])
async def test_whatever_journal_either_has_had(
    how: str, saved: Path, path: Path, tmp_path: Path, journal: Journal
) -> None:
    """Of copies that were made with `cp`, those of an earlier session."""
    other: Journal = "delete" if journal == "wal" else "wal"
    copies = {"backup": saved, "while it was closed": tmp_path / "earlier.db"}
    for mode in ("wal", "delete"):
        await change(path, mode, "a")
        shutil.copy(path, tmp_path / "earlier.db")
        await change(path, mode, "b", "c")
        for killed_in in (journal, other):
            await change(path, killed_in, "d", "e", "f")
            killed = read(path)
            kill(path, *LAST[killed_in])
            copy_over(copies[how], path)
            await refused(path)
            write(path, killed)
            os.unlink(f"{path}{LOG[killed_in]}")


@pytest.mark.long
async def test_the_log_of_another_database_is_told(
    saved: Path, path: Path, tmp_path: Path, journal: Journal
) -> None:
    film = tmp_path / "film.db"
    await change(film, journal, *"abcdefghijkl")
    kill(path, *LAST[journal])
    shutil.copy(film, path)
    await refused(path)


@pytest.mark.long
async def test_a_killed_database_opens_as_before(path: Path, saved: Path, journal: Journal) -> None:
    for _ in range(3):
        kill(path, *LAST[journal], *([] if journal == "wal" else ["UPDATE junk SET text = 'torn'"]))
        expected = ["new", "of the log", "old"] if journal == "wal" else ["new", "old"]
        async with reelbase.connect(path, journal=journal) as database:
            assert sorted(each.id for each in await database.profiles.list()) == expected
            assert await database.fetch_one(str, "PRAGMA integrity_check") == "ok"
            await database.execute("DROP TABLE IF EXISTS junk")
            await database.execute("DELETE FROM profiles WHERE id = 'of the log'")


# What lies there and is nothing


@pytest.mark.long
@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
@pytest.mark.parametrize("mode", ["wal", "delete"])
async def test_an_empty_log_is_none(mode: Journal, suffix: str, path: Path) -> None:
    await change(path, mode, "p")
    write(f"{path}{suffix}", b"")
    assert await profiles(path, mode) == ["p"]


@pytest.mark.long
@pytest.mark.parametrize("content", [b"\0" * 28, b"\0" * 5000, b"no journal", b"\xd9\xd5\x05"])
@pytest.mark.parametrize("mode", ["wal", "delete"])
async def test_what_sqlite_does_not_take_for_a_journal_is_none(
    mode: Journal, content: bytes, path: Path
) -> None:
    await change(path, mode, "p")
    write(f"{path}-journal", content)
    assert await profiles(path, mode) == ["p"]


@pytest.mark.long
@pytest.mark.parametrize("content", [b"\0" * 32, b"x", b"no log of any database" * 9])
async def test_no_wal_lies_beside_a_file_with_a_rollback_journal(
    content: bytes, path: Path
) -> None:
    await change(path, "wal", "p")
    write(f"{path}-wal", content)
    assert await profiles(path, "wal") == ["p"]  # SQLite does not take it for a log
    await change(path, "delete", "p")
    write(f"{path}-wal", content)
    assert "rollback journal" in await refused(path)


async def test_a_log_beside_an_empty_or_foreign_file_is_judged_by_sqlite(path: Path) -> None:
    await change(path, "wal", "p")
    kill(path, INSERT)
    write(path, b"")
    refuse_stale_log(path)
    write(path, b"no database " * 99)
    refuse_stale_log(path)
    os.unlink(path)
    refuse_stale_log(path)


# What the headers tell


def test_the_page_size_tells(tmp_path: Path) -> None:
    for mode, log in LOG.items():
        path = tmp_path / f"{mode}.db"
        for page_bytes in (1024, 65536):
            path.unlink(missing_ok=True)
            with closing(sqlite3.connect(path)) as native:
                native.execute(f"PRAGMA page_size = {page_bytes}")
                native.execute(f"PRAGMA journal_mode = {mode}")
                native.execute("CREATE TABLE config (key, value)")
            if page_bytes == 1024:
                kill(
                    path, "BEGIN", GROW, "UPDATE junk SET text = 'x'", *["COMMIT"][: mode == "wal"]
                )
                refuse_stale_log(path)
                os.rename(f"{path}{log}", tmp_path / "log")
        refuse_stale_log(path)
        os.rename(tmp_path / "log", f"{path}{log}")
        with pytest.raises(SchemaError, match="pages have 65536 bytes"):
            refuse_stale_log(path)


async def test_the_number_of_pages_tells_where_the_log_does_not_change_it(
    path: Path, tmp_path: Path
) -> None:
    async with reelbase.connect(path, journal="wal") as database:
        await database.config.set("moment", 1)
    shutil.copy(path, tmp_path / "earlier.db")
    async with reelbase.connect(path, journal="wal") as database:
        await database.config.set("long", "x" * 100_000)
    kill(path, UPDATE)
    refuse_stale_log(path)
    copy_over(tmp_path / "earlier.db", path)
    assert " pages, and those in the log " in await refused(path)


def test_a_damaged_change_counter_tells_nothing(path: Path, journal: Journal) -> None:
    asyncio.run(change(path, journal, "p"))
    kill(path, "CREATE TABLE config_too (x)", *LAST[journal])
    content = read(path)
    for damaged in (content[:24] + b"\xff" + content[25:], content[:92] + b"\xff" + content[93:]):
        write(path, damaged)
        refuse_stale_log(path)
    write(path, content[:24] + b"\xff" + content[25:92] + b"\xff" + content[93:])
    with pytest.raises(SchemaError):
        refuse_stale_log(path)


def test_a_header_is_read(path: Path) -> None:
    header = parse_header(path.read_bytes())
    assert header is not None
    with closing(sqlite3.connect(path)) as native:
        for pragma, expected in (
            ("page_size", header.page_bytes),
            ("page_count", header.pages),
            ("schema_version", header.schema_cookie),
        ):
            assert native.execute(f"PRAGMA {pragma}").fetchone() == (expected,)
    assert parse_header(path.read_bytes()[:99]) is None
    assert parse_header(b"x" * 100) is None


# How it is looked at


_LOCKING = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"


@pytest.mark.parametrize("has_proc", [True, False])
async def test_the_locks_of_this_process_survive_the_look(
    has_proc: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_proc:

        def refuse(folder: str) -> list[str]:
            raise FileNotFoundError(folder)

        monkeypatch.setattr(os, "listdir", refuse)
    command = [sys.executable, "-c", _LOCKING, str(path)]

    async def is_locked() -> bool:
        process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
        _, err = await process.communicate()
        return b"database is locked" in err

    async with reelbase.connect(path, journal="delete") as database, database.transaction() as unit:
        await unit.profiles.ensure("p")  # now there is a -journal
        content = stale_log._read_header(str(path))
        refuse_stale_log(path)
        assert await is_locked()
        assert content == read(path)[:100]  # which opens and closes the file
        assert not await is_locked()
        await unit.rollback()


async def test_no_descriptor_is_left(saved: Path, path: Path, journal: Journal) -> None:
    kill(path, *LAST[journal])
    copy_over(saved, path)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(SchemaError):
        refuse_stale_log(path)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.long
async def test_two_looks_that_differ_say_nothing(
    saved: Path, path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(path, *LAST[journal])
    copy_over(saved, path)
    real = stale_log._read_header
    looks = 0

    def changing(name: str) -> bytes:
        nonlocal looks
        looks += 1
        content = real(name)
        return content[:99] + bytes([looks])

    monkeypatch.setattr(stale_log, "_read_header", changing)
    monkeypatch.setattr(stale_log, "_PAUSE_SECONDS", 0.0)
    refuse_stale_log(path)
    assert looks == 2 * stale_log._LOOKS
    monkeypatch.undo()
    await refused(path)


# Killed while the journal mode changes

_SWITCHING = """
import asyncio, sys, reelbase

async def main():
    print("begins", flush=True)
    for number in range(int(sys.argv[2]), 100_000):
        journal = ("wal", "delete")[number % 2]
        async with reelbase.connect(sys.argv[1], journal=journal) as database:
            await database.config.set("number", number)
            print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.long
@pytest.mark.parametrize(
    "kills", [pytest.param(3, id="quick"), pytest.param(300, id="slow", marks=pytest.mark.slow)]
)
def test_killed_while_the_journal_mode_changes_everything_is_there(kills: int, path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    choose = random.Random(seed)

    async def number() -> int:
        journal: Journal = choose.choice(["wal", "delete"])
        async with reelbase.connect(path, journal=journal) as database:
            assert (await database.check()).ok
            return int(await database.config.get("number", 0))

    first = 0
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-c", _SWITCHING, str(path), str(first)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(choose.random() * 0.3)
        process.kill()
        acknowledged = [int(word) for word in process.communicate()[0].split()]
        refuse_stale_log(path)
        found = asyncio.run(number())
        assert found >= max(acknowledged, default=0)
        first = found + 1
