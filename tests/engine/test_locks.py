"""Promises about SQLite's locks: what the process itself, or another one, does to the files costs no write.

The kernel drops all POSIX locks of a process on a file when it closes any descriptor of that file.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import Database, DatabaseIOError
from reelbase.engine.file import locks, open_files
from reelbase.engine.threads import upkeep

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has locks of an open file description"
)


def run_elsewhere(program: str, *arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def elsewhere(path: Path, sql: str) -> str:
    """What another process answers, which opens the database for that and closes it."""
    return run_elsewhere(
        "import sqlite3, sys; native = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "print(*native.execute(sys.argv[2]).fetchall()); native.close()",
        path,
        sql,
    )


def stored(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as native:
        assert native.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return dict(native.execute("SELECT key, value FROM config").fetchall())


def read_and_close(*files: str | Path) -> None:
    """What a copy, a hash or a download does."""
    for file in files:
        with open(file, "rb") as stream:
            stream.read()


def side_files(path: Path) -> list[str]:
    """SQLite's own, and not that of the turnstile."""
    others = {path.name, f"{path.name}-turn"}
    return sorted(entry.name for entry in path.parent.iterdir() if entry.name not in others)


@pytest.fixture
def quick_upkeep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_CYCLE_SECONDS", 0.05)


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on systems that have none of an open file description."""
    monkeypatch.setattr(open_files, "IS_AVAILABLE", False)


@pytest.fixture
def refused_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a filesystem that has none."""

    def refuse(*arguments: Any) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(locks, "lock_byte", refuse)


# Locks that the process itself drops.


@pytest.mark.long
@linux_only
@pytest.mark.parametrize("files", [[""], ["-shm"], ["", "-wal", "-shm"]], ids=str)
async def test_a_file_that_the_process_reads_itself_loses_no_write(
    path: Path, files: list[str]
) -> None:
    async with reelbase.connect(path, journal="wal") as database:
        await database.config.set("before", 1)
        read_and_close(*(f"{path}{suffix}" for suffix in files))
        assert elsewhere(path, "SELECT count(*) FROM config") == "(1,)"
        # The other one has not tidied up.
        assert side_files(path) == ["media.db-shm", "media.db-wal"]
        for number in range(3):
            await database.config.set(f"after {number}", number)
        elsewhere(path, "UPDATE config SET value = '7' WHERE key = 'before'")
        assert await database.config.get("before") == 7
    assert stored(path) == {"before": "7", "after 0": "0", "after 1": "1", "after 2": "2"}
    assert side_files(path) == []


_IS_FREE = """
import fcntl, struct, sys
with open(sys.argv[1], "rb+") as file:
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, int(sys.argv[2]), 1, 0)
    print(struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, asked))[0] == fcntl.F_UNLCK)
"""


@linux_only
async def test_another_process_does_not_empty_the_shared_memory_that_is_in_use(path: Path) -> None:
    """It does when this byte is free, and a read of the memory is then a bus error."""
    async with reelbase.connect(path, journal="wal"):
        read_and_close(f"{path}-shm")
        assert run_elsewhere(_IS_FREE, f"{path}-shm", "128") == "False"


@pytest.mark.long
@linux_only
async def test_a_snapshot_of_the_process_keeps_its_moment(path: Path) -> None:
    async with reelbase.connect(path, journal="wal") as database:
        await database.config.set("key", "before")
        async with database.snapshot() as view:
            await view.config.get("key")
            read_and_close(path)
            elsewhere(path, "UPDATE config SET value = '\"after\"'")
            elsewhere(path, "PRAGMA wal_checkpoint(TRUNCATE)")
            assert await view.config.get("key") == "before"
        assert await database.config.get("key") == "after"


@linux_only
async def test_a_unit_whose_lock_was_dropped_is_rolled_back(path: Path, journal: Any) -> None:
    locked = f"{path}-shm" if journal == "wal" else path
    async with reelbase.connect(path, journal=journal) as database:
        with pytest.raises(DatabaseIOError) as caught:
            async with database.transaction() as unit:
                await unit.config.set("lost", 1)
                read_and_close(locked)
                elsewhere(
                    path, "INSERT INTO config VALUES ('other', '1', '2026-01-01T00:00:00.000Z')"
                )
        assert caught.value.code == "lock_lost"
        assert "backup()" in str(caught.value)
        await database.config.set("next", 1)
    assert stored(path) == {"other": "1", "next": "1"}


@linux_only
async def test_writes_whose_lock_was_dropped_are_refused_together(
    path: Path, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        await database.config.set("first", 1)
        with monkeypatch.context() as patch:
            patch.setattr(locks.FileLocks, "_has_write_lock", lambda self: False)
            results = await asyncio.gather(
                *(database.config.set(f"key {number}", 1) for number in range(5)),
                return_exceptions=True,
            )
        assert [getattr(result, "code", None) for result in results] == ["lock_lost"] * 5
        await database.config.set("last", 1)
    assert stored(path) == {"first": "1", "last": "1"}


# A log that is deleted or replaced.


async def refused(database: Database) -> DatabaseIOError:
    """The error of the first write that is not accepted."""
    async with asyncio.timeout(5):
        while True:
            try:
                await database.config.set("late", 1)
            except DatabaseIOError as error:
                return error
            await asyncio.sleep(0.005)


@linux_only
async def test_a_log_that_is_deleted_is_missed_by_the_next_write(path: Path) -> None:
    async with reelbase.connect(path, journal="wal") as database:
        for number in range(3):
            await database.config.set(f"key {number}", number)
        os.unlink(f"{path}-wal")
        for _ in range(2):
            with pytest.raises(DatabaseIOError, match="-wal was deleted") as caught:
                await database.config.set("late", 1)
            assert caught.value.code == "log_lost"
            assert "connect() again" in str(caught.value)
        with pytest.raises(DatabaseIOError):
            async with database.transaction():
                pass
        with pytest.raises(
            DatabaseIOError, match="was deleted"
        ):  # a new connection would make a new log
            await reelbase.connect(path, journal="wal")
        report = await database.check()
        assert [problem for problem in report.problems if "was deleted" in problem]
    # No process came in between: what was acknowledged is in the file.
    assert stored(path) == {"key 0": "0", "key 1": "1", "key 2": "2"}
    assert side_files(path) == []


@linux_only
async def test_a_log_that_was_replaced_is_not_written_over_what_others_wrote(path: Path) -> None:
    async with reelbase.connect(path, journal="wal") as database:
        await database.config.set("key", "in the file")
        await database.checkpoint()
        await database.config.set("key", "in the old log")
        os.unlink(f"{path}-wal")
        os.unlink(f"{path}-shm")
        elsewhere(path, "UPDATE config SET value = '\"of another process\"'")
        error = await refused(database)
        assert error.code == "log_lost"
        await database.close()
    assert elsewhere(path, "SELECT value FROM config") == "('\"of another process\"',)"
    assert stored(path) == {"key": '"of another process"'}


@pytest.mark.usefixtures("quick_upkeep")
async def test_a_log_that_is_moved_away_is_missed_soon_and_may_come_back(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with reelbase.connect(path, journal="wal") as database:
        await database.config.set("key", 1)
        os.rename(f"{path}-wal", f"{path}-away")
        error = await refused(database)
        assert error.code == "log_lost"
        with pytest.raises(DatabaseIOError):
            async with database.snapshot():
                pass
        assert [record.levelname for record in caplog.records if "-wal" in record.getMessage()] == [
            "ERROR"
        ]
        os.rename(f"{path}-away", f"{path}-wal")
        async with asyncio.timeout(5):
            while database._writer.lost_file is not None:  # noqa: ASYNC110  files tell no event
                await asyncio.sleep(0.005)
        await database.config.set("key", 2)
    assert stored(path)["key"] == "2"


@pytest.mark.usefixtures("quick_upkeep")
@pytest.mark.parametrize("how", ["no_locks", "refused_locks"])
async def test_without_such_locks_a_log_that_another_process_deletes_is_missed_soon(
    path: Path, how: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(how)
    async with reelbase.connect(path, journal="wal") as database:
        await database.config.set("key", 1)
        read_and_close(path)
        elsewhere(path, "SELECT 1 FROM config")
        assert side_files(path) == []  # the other process took itself for the only one
        error = await refused(database)
        assert error.code == "log_lost"
    assert stored(path)["key"] == "1"


# What must not alarm.


async def write_and_read(database: Database, key: str) -> None:
    for number in range(5):
        await database.config.set(key, number)
        async with database.transaction() as unit:
            await unit.config.set(f"{key} in a unit", number)
    assert await database.config.get(key) == 4


@pytest.mark.long
@pytest.mark.usefixtures("quick_upkeep")
async def test_nothing_of_its_own_upkeep_alarms(
    path: Path, journal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        for work in (database.checkpoint, database.vacuum, database.optimize, database.check):
            await write_and_read(database, "key")
            await work()
        await database.backup(f"{path}.copy")
        elsewhere(path, "PRAGMA wal_checkpoint(TRUNCATE)")
        elsewhere(path, "UPDATE config SET value = '5'")
        await write_and_read(database, "key")
        await asyncio.sleep(0.2)
        await write_and_read(database, "key")
        assert (await database.check()).ok
    assert caplog.records == []
    assert side_files(path) == ["media.db.copy"]


async def test_two_databases_of_a_process_may_close_in_any_order(path: Path, journal: Any) -> None:
    for first_closes_first in (True, False):
        async with reelbase.connect(path, journal=journal) as first:
            async with reelbase.connect(path, journal=journal) as second:
                await write_and_read(first, "key")
                await write_and_read(second, "key")
                if first_closes_first:
                    await first.close()
                    await write_and_read(second, "key")
            if not first_closes_first:
                read_and_close(path)
                elsewhere(path, "SELECT 1 FROM config")
                await write_and_read(first, "key")
        assert side_files(path) == []


@pytest.mark.long
async def test_databases_that_open_and_close_beside_each_other(path: Path, journal: Any) -> None:
    async def again_and_again(name: str) -> None:
        for _ in range(15):
            async with reelbase.connect(
                path, journal=journal, readers=1, busy_timeout=20
            ) as database:
                await database.config.set(name, 1)

    await asyncio.gather(*(again_and_again(f"task {number}") for number in range(3)))
    assert len(stored(path)) == 3
    assert side_files(path) == []


@pytest.fixture
def foreign(path: Path, journal: str) -> Iterator[sqlite3.Connection]:
    """Another library of this process, which has the database open all the time."""
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        yield native


@pytest.mark.long
@linux_only
async def test_another_library_of_the_process_keeps_its_locks(
    path: Path, journal: Any, foreign: sqlite3.Connection
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        await write_and_read(database, "key")
    foreign.execute("BEGIN IMMEDIATE")
    foreign.execute("UPDATE config SET value = '9'")
    async with reelbase.connect(path, journal=journal) as database:
        assert await database.config.get("key") == 4
    with pytest.raises(AssertionError, match="locked"):
        elsewhere(path, "BEGIN IMMEDIATE")
    foreign.execute("COMMIT")
    for mode in ("delete", "wal", journal):
        foreign.execute(f"PRAGMA journal_mode = {mode}").fetchone()
        async with reelbase.connect(path, journal=mode) as database:
            await write_and_read(database, "key")
            elsewhere(path, "SELECT 1 FROM config")
            await write_and_read(database, "key")


@linux_only
async def test_an_idle_connection_of_another_library_does_not_blind_it(
    path: Path, journal: Any, foreign: sqlite3.Connection
) -> None:
    assert not foreign.in_transaction  # it has read nothing, so that the log goes at each close
    for _ in range(2):
        async with reelbase.connect(path, journal=journal) as database:
            await write_and_read(database, "key")
            with pytest.raises(DatabaseIOError) as caught:
                async with database.transaction() as unit:
                    await unit.config.set("lost", 1)
                    read_and_close(f"{path}-shm" if journal == "wal" else path)
            assert caught.value.code == "lock_lost"


@linux_only
async def test_no_descriptor_is_left(path: Path, journal: Any) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        await write_and_read(database, "key")
        assert any(str(path) in link for link in open_files._links().values())
    assert not any(str(path) in link for link in open_files._links().values())
    assert open_files.identity_of(path) not in {**open_files._files, **open_files._parked}


_KILLED = """
import asyncio, os, sys, time
import reelbase

async def main():
    database = await reelbase.connect(sys.argv[1], journal="wal")
    await database.config.set("key", 1)
    if os.fork() == 0:
        os.close(1)
        time.sleep(30)
        os._exit(0)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


@pytest.mark.long
@linux_only
def test_a_child_does_not_hold_what_its_killed_parent_held(
    path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _KILLED, path], start_new_session=True
    ) as parent:
        parent.wait()
        try:
            assert elsewhere(path, "SELECT value FROM config") == "('1',)"
            assert side_files(path) == []  # who closes last tidies up
        finally:
            os.killpg(parent.pid, 9)
