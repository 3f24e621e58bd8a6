"""Promises about backups: one moment, beside writers, verified, complete or not there at all."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import (
    Database,
    DatabaseBusyError,
    DatabaseClosedError,
    DatabaseCorruptError,
    DatabaseFullError,
    DatabaseIOError,
)
from reelbase.engine.copies import backup, retention
from reelbase.engine.native import interruption


def rows_of(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as native:
        return native.execute(sql).fetchall()


def everything_in(path: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(path)) as native:
        tables = native.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        found = {name: native.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables}
        # A copy also says that it is one.
        found["database_identity"] = [row[:2] for row in found["database_identity"]]
        return found


async def fill(database: Database, megabytes: int = 3) -> None:
    await database.profiles.ensure("p")
    await database.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count) "
        "INSERT INTO files (id, profile_id, name, path) "
        "SELECT printf('00000000-0000-7000-8000-%012d', i), 'p', hex(randomblob(500)), '' FROM n",
        {"count": megabytes * 1000},
    )


@asynccontextmanager
async def writing(database: Database, tasks: int = 8) -> AsyncIterator[list[Any]]:
    """Pairs of rows are written, both or neither, as long as the block runs. Yields what failed."""
    failures: list[Any] = []
    is_over = False

    async def write() -> None:
        while not is_over:
            try:
                async with database.transaction() as unit:
                    await unit.config.set(f"a{len(failures)}", time.monotonic())
                    await unit.execute("INSERT INTO pairs VALUES ('left')")
                    await unit.execute("INSERT INTO pairs VALUES ('right')")
            except reelbase.DatabaseError as error:
                failures.append(error)

    await database.execute("CREATE TABLE IF NOT EXISTS pairs (side TEXT)")
    writers = [asyncio.create_task(write()) for _ in range(tasks)]
    try:
        yield failures
    finally:
        is_over = True
        await asyncio.gather(*writers)


def assert_whole(copy: Path) -> None:
    """Sound, and of one moment."""
    assert rows_of(copy, "PRAGMA integrity_check") == [("ok",)]
    assert rows_of(copy, "PRAGMA journal_mode") == [("delete",)]
    assert rows_of(
        copy, "SELECT (SELECT count(*) FROM pairs WHERE side = 'left') = count(*) / 2.0 FROM pairs"
    ) == [(1,)]


async def test_a_backup_holds_everything_and_opens_as_a_database(
    database: Database, path: Path, tmp_path: Path, journal: Any
) -> None:
    await fill(database, 1)
    target = tmp_path / "copy ? # %.db"
    await database.backup(target)
    assert everything_in(target) == everything_in(path)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    async with reelbase.connect(target, journal=journal) as copy:
        assert await copy.files.count_for_profile("p") == 1000
        assert (await copy.check()).ok


@pytest.mark.long
async def test_progress_is_told_on_the_loop_and_ends_with_everything(
    database: Database, tmp_path: Path
) -> None:
    await fill(database)
    told: list[tuple[int, int]] = []

    def tell(done: int, total: int) -> None:
        asyncio.get_running_loop()
        told.append((done, total))

    await database.backup(tmp_path / "copy.db", progress=tell)
    pages = (await database.stats()).page_count
    assert told[-1] == (pages, pages)
    assert len(told) > 2
    assert told == sorted(told)


@pytest.mark.long
async def test_a_backup_is_of_one_moment_while_tasks_and_another_process_write(
    database: Database, path: Path, tmp_path: Path
) -> None:
    await fill(database, 6)
    async with writing(database) as failures:
        with OtherProcess(path, _WRITE_PAIRS):
            written = (await database.stats()).rows["pairs"]
            for number in range(3):
                await database.backup(tmp_path / f"{number}.db")
                assert_whole(tmp_path / f"{number}.db")
            assert (await database.stats()).rows["pairs"] > written
    assert failures == []


@pytest.mark.slow
async def test_writers_go_on_while_a_large_database_is_copied(
    path: Path, tmp_path: Path, journal: Any
) -> None:
    """They share the processors with it, and on a rollback journal the lock as well."""
    async with reelbase.connect(path, journal=journal, busy_timeout=30.0) as database:
        await fill(database, 250)
        async with writing(database) as failures:
            with OtherProcess(path, _WRITE_PAIRS):
                began, before = time.monotonic(), (await database.stats()).rows["pairs"]
                await asyncio.sleep(2.0)
                copying, during = time.monotonic(), (await database.stats()).rows["pairs"]
                await database.backup(tmp_path / "copy.db")
                ended, after = time.monotonic(), (await database.stats()).rows["pairs"]
    usual, meanwhile = (during - before) / (copying - began), (after - during) / (ended - copying)
    print(f"{ended - copying:.1f} s; {usual:.0f} pairs a second before, {meanwhile:.0f} during")
    assert failures == []
    assert meanwhile > (usual / 10 if journal == "wal" else 0)
    assert_whole(tmp_path / "copy.db")


_WRITE_PAIRS = """
import sqlite3, sys, time
native = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
print("ready", flush=True)
while True:
    native.execute("BEGIN IMMEDIATE")
    native.execute("INSERT INTO pairs VALUES ('left'), ('right')")
    native.execute("COMMIT")
    time.sleep(0.002)
"""


class OtherProcess:
    """A process that runs code as long as the block does."""

    def __init__(self, path: Path, code: str) -> None:
        self._command = [sys.executable, "-c", code, str(path)]

    def __enter__(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self._process

    def __exit__(self, *_: object) -> None:
        assert self._process.poll() is None, "it ended by itself"
        self._process.kill()
        self._process.communicate()


@pytest.mark.long
async def test_a_backup_of_a_rollback_journal_lets_writers_in_and_then_keeps_them_out(
    path: Path, tmp_path: Path
) -> None:
    """Each of the first attempts is given up for a writer, the last one finishes."""
    async with reelbase.connect(path, journal="delete") as database:
        await fill(database)
        await database.execute("CREATE TABLE pairs (side TEXT)")
        let_in = 0

        def write(done: int, total: int) -> None:
            nonlocal let_in
            with closing(sqlite3.connect(path, timeout=0.01, isolation_level=None)) as other:
                try:
                    other.execute("INSERT INTO pairs VALUES ('left'), ('right')")
                except sqlite3.OperationalError:
                    return
                let_in += done < total  # nobody is kept out while the copy is verified

        def copy(native: sqlite3.Connection) -> None:
            backup.write_copy(native, tmp_path / "copy.db", on_step=write)

        async with database._read_connection("backup", "here") as session:
            await session.call(copy)
        # The first step of each; the second finds that somebody wrote.
        assert let_in == backup._POLITE_ATTEMPTS
    assert_whole(tmp_path / "copy.db")


async def test_a_backup_of_a_database_in_memory(tmp_path: Path) -> None:
    async with reelbase.connect(":memory:") as database:
        await fill(database)
        await database.backup(tmp_path / "copy.db")
    async with reelbase.connect(tmp_path / "copy.db") as copy:
        assert await copy.files.count_for_profile("p") == 3000


# Refused


async def refused(database: Database, target: Any) -> DatabaseIOError:
    folder = database.path.parent if database.path else Path()
    before = {entry.name: entry.lstat().st_size for entry in folder.iterdir()}
    with pytest.raises(DatabaseIOError) as caught:
        await database.backup(target)
    assert {entry.name: entry.lstat().st_size for entry in folder.iterdir()} == before
    return caught.value


@pytest.mark.parametrize("kind", ["file", "folder", "link", "dangling link", "itself"])
async def test_what_is_there_is_not_overwritten(
    kind: str, database: Database, path: Path, tmp_path: Path
) -> None:
    target = path if kind == "itself" else tmp_path / "copy.db"
    if kind == "file":
        target.write_bytes(b"somebody's")
    elif kind == "folder":
        target.mkdir()
    elif kind == "link":
        target.symlink_to(path)
    elif kind == "dangling link":
        target.symlink_to(tmp_path / "nowhere")
    error = await refused(database, target)
    assert error.code == "exists"
    assert str(target) in str(error)


@pytest.mark.long
async def test_a_file_that_appears_meanwhile_is_not_overwritten(
    database: Database, tmp_path: Path
) -> None:
    await fill(database)
    target = tmp_path / "copy.db"

    def make(done: int, total: int) -> None:
        target.write_bytes(b"somebody's")

    with pytest.raises(DatabaseIOError) as caught:
        await database.backup(target, progress=make)
    assert caught.value.code == "exists"
    assert target.read_bytes() == b"somebody's"
    assert leftovers(tmp_path) == []


async def test_a_missing_folder_is_not_made(database: Database, tmp_path: Path) -> None:
    error = await refused(database, tmp_path / "no" / "copy.db")
    assert error.code == "missing"


@pytest.mark.parametrize("target", ["", ":memory:", "a\0b"])
async def test_what_is_no_path_is_refused(database: Database, target: str) -> None:
    with pytest.raises(ValueError, match="target"):
        await database.backup(target)


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
async def test_names_that_sqlite_uses_itself_are_refused(
    database: Database, path: Path, suffix: str
) -> None:
    with pytest.raises(ValueError, match="target"):
        await database.backup(f"{path}{suffix}")


async def test_a_closed_database_gives_no_backup(path: Path, tmp_path: Path) -> None:
    async with reelbase.connect(path) as database:
        pass
    with pytest.raises(DatabaseClosedError):
        await database.backup(tmp_path / "copy.db")


# Given up


def leftovers(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if "partial" in name)


@pytest.mark.long
@pytest.mark.parametrize("steps", [1, 2, 8, 12])
async def test_a_cancelled_backup_leaves_nothing(
    steps: int, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its first steps, and while the copy is verified."""
    await fill(database)
    monkeypatch.setattr(interruption, "_OPERATIONS", 1000)
    monkeypatch.setattr(backup, "_STEP_PAGES", 256)
    loop = asyncio.get_running_loop()
    told = 0

    def cancel(done: int, total: int) -> None:
        nonlocal told
        told += 1
        if told == steps:
            loop.call_soon_threadsafe(backing_up.cancel)
            time.sleep(0.02)

    real = backup.write_copy

    def watched(
        native: sqlite3.Connection, target: Path, *, on_step: backup.OnStep, mark: backup.Mark
    ) -> int:
        def step(done: int, total: int) -> None:
            cancel(done, total)
            on_step(done, total)

        return real(native, target, on_step=step, mark=mark)

    monkeypatch.setattr(retention, "write_copy", watched)
    backing_up = asyncio.create_task(database.backup(tmp_path / "copy.db"))
    with pytest.raises(asyncio.CancelledError):
        await backing_up
    assert told == steps
    assert [name for name in os.listdir(tmp_path) if "copy" in name] == []
    await database.backup(tmp_path / "copy.db")


@pytest.mark.long
async def test_what_progress_raises_gives_the_backup_up(database: Database, tmp_path: Path) -> None:
    await fill(database, 8)

    def refuse(done: int, total: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.backup(tmp_path / "copy.db", progress=refuse)
    assert leftovers(tmp_path) == []


async def test_closing_gives_a_backup_up_soon(
    path: Path, tmp_path: Path, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slowly(
        native: sqlite3.Connection, target: Path, *, on_step: backup.OnStep, mark: backup.Mark
    ) -> int:
        def step(done: int, total: int) -> None:
            loop.call_soon_threadsafe(began.set)
            time.sleep(0.1)
            on_step(done, total)

        return backup.write_copy(native, target, on_step=step, mark=mark)

    monkeypatch.setattr(retention, "write_copy", slowly)
    async with reelbase.connect(path, journal=journal) as database:
        await fill(database)  # 13 steps, more than a second
        backing_up = asyncio.create_task(database.backup(tmp_path / "copy.db"))
        await began.wait()
        closing_since = time.monotonic()
    assert time.monotonic() - closing_since < 1.0
    with pytest.raises(DatabaseClosedError):
        await backing_up
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "copy.db").exists()


_BACK_UP = """
import asyncio, sys, reelbase
async def main():
    async with reelbase.connect(sys.argv[1], journal=sys.argv[2]) as database:
        def tell(done, total):
            if done > total / 2:
                print("half", flush=True)
                import time; time.sleep(60)
        await database.backup(sys.argv[3], progress=tell)
asyncio.run(main())
"""


@pytest.mark.long
def test_a_killed_backup_has_no_name(path: Path, tmp_path: Path, journal: str) -> None:
    async def make() -> None:
        async with reelbase.connect(path, journal=journal) as database:  # type: ignore[arg-type]
            await fill(database)

    asyncio.run(make())
    target = tmp_path / "copy.db"
    command = [sys.executable, "-c", _BACK_UP, str(path), journal, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.kill()
    assert not target.exists() or rows_of(target, "PRAGMA integrity_check") == [("ok",)]


async def test_what_a_killed_backup_left_goes_after_a_day(
    database: Database, tmp_path: Path
) -> None:
    old, young = tmp_path / "copy.db.abc.partial", tmp_path / "copy.db.def.partial"
    for leftover in (old, young):
        leftover.write_bytes(b"half a copy")
    os.utime(old, (0, 0))
    await database.backup(tmp_path / "copy.db")
    assert leftovers(tmp_path) == [young.name]


# Trouble


def on_a_full_disk(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, refuse)


@pytest.mark.parametrize("call", ["fsync", "link", "open"])
async def test_a_full_disk_is_told_and_nothing_remains(
    call: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        on_a_full_disk(patched, call)
        with pytest.raises(DatabaseFullError):
            await database.backup(tmp_path / "copy.db")
    assert [name for name in os.listdir(tmp_path) if name.startswith("copy")] == []
    await database.backup(tmp_path / "copy.db")


async def test_a_backup_is_refused_before_it_begins_where_there_is_no_room(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage(tmp_path))(100, 100, 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(DatabaseFullError) as caught:
        await database.backup(tmp_path / "copy.db")
    assert caught.value.details["free"] == 0
    assert caught.value.details["needed"] > 0


async def test_a_folder_without_hard_links_gets_a_backup_too(
    database: Database, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    await database.backup(tmp_path / "copy.db")
    assert everything_in(tmp_path / "copy.db") == everything_in(path)
    with pytest.raises(DatabaseIOError) as caught:
        await database.backup(tmp_path / "copy.db")
    assert caught.value.code == "exists"


async def test_a_damaged_database_gives_no_backup(path: Path, tmp_path: Path, journal: Any) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        await fill(database, 1)
    damage_an_index(path)
    async with reelbase.connect(path, journal=journal) as database:
        with pytest.raises(DatabaseCorruptError):
            await database.backup(tmp_path / "copy.db")
    assert [name for name in os.listdir(tmp_path) if name.startswith("copy")] == []


def damage_an_index(path: Path) -> None:
    """A row that an index does not know of, as a bug or a bad disk leaves it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute("PRAGMA writable_schema = ON")
        (index,) = native.execute(
            "DELETE FROM sqlite_schema WHERE name = 'files_newest' RETURNING *"
        ).fetchall()
        native.execute("PRAGMA writable_schema = RESET")
        native.execute(
            "INSERT INTO files (id, profile_id, name, path) "
            "VALUES ('10000000-0000-7000-8000-000000000000', 'p', '', '')"
        )
        native.execute("PRAGMA writable_schema = ON")
        native.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", index)


@pytest.mark.long
async def test_a_copy_that_lost_rows_is_not_kept(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the verification is there for."""
    await fill(database, 1)
    real = backup._copy_pages

    def lose(source: sqlite3.Connection, copy: sqlite3.Connection, on_step: Any) -> None:
        real(source, copy, on_step)
        copy.execute("DELETE FROM files WHERE rowid = (SELECT min(rowid) FROM files)")

    monkeypatch.setattr(backup, "_copy_pages", lose)
    with pytest.raises(DatabaseCorruptError, match="rows"):
        await database.backup(tmp_path / "copy.db")
    assert leftovers(tmp_path) == []


async def test_a_lock_that_is_never_given_up_is_told(
    path: Path, tmp_path: Path, look: Callable[[str], Any]
) -> None:
    async with reelbase.connect(path, journal="delete", busy_timeout=0.05) as database:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(DatabaseBusyError):
                await database.backup(tmp_path / "copy.db")
    assert leftovers(tmp_path) == []
