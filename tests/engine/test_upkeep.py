"""Promises about what a database looks after by itself: its write-ahead log and its file."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import Database, DatabaseIOError
from reelbase.engine.file.open_files import Identity
from reelbase.engine.threads import upkeep

CYCLE = 0.05
LIMIT = 200_000


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cycles of milliseconds, and a log that is soon too long."""
    monkeypatch.setattr(upkeep, "_CYCLE_SECONDS", CYCLE)
    monkeypatch.setattr(upkeep, "_PAUSE_SECONDS", CYCLE)
    monkeypatch.setattr(upkeep, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(upkeep, "WAL_LIMIT_BYTES", LIMIT)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    def messages() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "reelbase"]

    caplog.set_level(logging.WARNING, "reelbase")
    return messages


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  files and other processes tell no event
            await asyncio.sleep(0.005)


def wal_bytes(path: Path) -> int:
    return os.stat(f"{path}-wal").st_size


async def write_much(database: Database) -> None:
    """More than the log may hold."""
    for number in range(6):
        await database.config.set(f"key {number}", "x" * LIMIT)


# The write-ahead log


async def test_a_log_that_has_grown_is_emptied(path: Path) -> None:
    async with reelbase.connect(path, journal="wal") as database:
        await write_much(database)
        assert wal_bytes(path) > LIMIT
        await until(lambda: wal_bytes(path) == 0)
        assert len(await database.config.all()) == 6


async def test_without_upkeep_it_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other tests would see if there were none."""
    monkeypatch.setattr(upkeep.Upkeep, "look", upkeep.Upkeep.start)
    async with reelbase.connect(path, journal="wal") as database:
        await write_much(database)
        await asyncio.sleep(5 * CYCLE)
        assert wal_bytes(path) > LIMIT


async def test_a_long_snapshot_is_named_once_and_the_log_emptied_after_it(
    path: Path, warnings: Callable[[], list[str]]
) -> None:
    async with reelbase.connect(path, journal="wal") as database:
        await database.config.set("key", "before")
        async with database.snapshot() as view:
            line = sys._getframe().f_lineno - 1
            await write_much(database)
            await until(warnings)
            await asyncio.sleep(5 * CYCLE)
            assert wal_bytes(path) > LIMIT
            assert await view.config.get("key") == "before"
        (warning,) = warnings()
        assert f"a snapshot that was opened at {__file__}:{line} has needed it for " in warning
        assert str(path) in warning
        await until(lambda: wal_bytes(path) == 0, seconds=1.0)
        assert warnings() == [warning]


async def test_a_stream_is_named_by_the_line_that_opened_it(
    path: Path, warnings: Callable[[], list[str]]
) -> None:
    async with reelbase.connect(path, journal="wal") as database:
        await database.config.set("key", "before")
        await database.config.set("other", "before")
        stream = database.stream(str, "SELECT key FROM config", batch=1)
        line = sys._getframe().f_lineno - 1
        async with stream:
            await anext(stream)
            await write_much(database)
            await until(warnings)
        assert f"a stream that was opened at {__file__}:{line} has" in warnings()[0]
        await until(lambda: wal_bytes(path) == 0, seconds=1.0)


async def test_an_abandoned_stream_holds_the_log_for_a_cycle_at_most(path: Path) -> None:
    async with reelbase.connect(path, journal="wal") as database:
        await database.config.set("key", "before")
        await database.config.set("other", "before")
        stream = database.stream(str, "SELECT key FROM config", batch=1)
        await anext(stream)
        await write_much(database)
        await asyncio.sleep(3 * CYCLE)
        assert wal_bytes(path) > LIMIT
        del stream
        gc.collect()
        await until(lambda: wal_bytes(path) == 0, seconds=1.0)


@pytest.mark.long
async def test_readers_that_follow_one_another_without_a_gap_do_not_keep_the_log_growing(
    path: Path,
) -> None:
    """One of them always reads, so that the log would never be begun anew by itself."""
    async with reelbase.connect(path, journal="wal", readers=2) as database:
        is_over = False
        sizes: list[int] = []

        async def read(delay: float) -> None:
            await asyncio.sleep(delay)
            while not is_over:
                async with database.snapshot() as view:
                    await view.config.all()
                    await asyncio.sleep(0.02)

        async def write() -> None:
            for number in range(150):
                await database.config.set(f"key {number % 10}", "x" * 20_000)
                sizes.append(wal_bytes(path))
                await asyncio.sleep(0.004)

        readers = [asyncio.create_task(read(number * 0.005)) for number in range(4)]
        await write()
        is_over = True
        await asyncio.gather(*readers)
    assert max(sizes) > LIMIT
    assert sizes[-1] < sum(20_000 for _ in sizes) / 2


_READ = """
import sqlite3, sys
native = sqlite3.connect(sys.argv[1], isolation_level=None)
native.execute("BEGIN")
native.execute("SELECT count(*) FROM config").fetchone()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.long
async def test_another_process_that_reads_for_long_is_told_of(
    path: Path, warnings: Callable[[], list[str]]
) -> None:
    async with reelbase.connect(path, journal="wal") as database:
        await database.config.set("key", "before")
        other = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _READ, str(path)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert other.stdout is not None
        assert await other.stdout.readline() == b"ready\n"
        await write_much(database)
        await until(warnings)
        await until(lambda: any("cannot be emptied" in warning for warning in warnings()))
        await database.config.set("key", "after")  # nobody is kept waiting for it
        await other.communicate(b"")
        await until(lambda: wal_bytes(path) == 0)
        assert (
            len([warning for warning in warnings() if "another process needs it" in warning]) == 1
        )


@pytest.mark.long
async def test_another_process_that_stays_is_told_of_once_where_sqlite_has_a_bug(
    path: Path, warnings: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for version, expected in (((3, 40, 1), 1), ((3, 51, 3), 0)):
        monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
        before = len(warnings())
        async with reelbase.connect(path, journal="wal"):
            await asyncio.sleep(3 * CYCLE)
            assert len(warnings()) == before
            other = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _READ, str(path)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            assert other.stdout is not None
            assert await other.stdout.readline() == b"ready\n"
            await asyncio.sleep(6 * CYCLE)
            await other.communicate(b"")
        assert len(warnings()) == before + expected
    assert "WAL-reset bug" in warnings()[0]


@pytest.mark.long
async def test_a_unit_of_work_is_not_disturbed(path: Path) -> None:
    async with reelbase.connect(path, journal="wal", busy_timeout=0.2) as database:
        await write_much(database)
        async with database.transaction() as unit:
            await unit.config.set("key", 1)
            await asyncio.sleep(0.4)
            await unit.config.set("other", "x" * 2 * LIMIT)  # in case it was emptied before
        await until(lambda: wal_bytes(path) == 0)
        assert await database.config.get("key") == 1


# The file


async def until_refused(database: Database) -> DatabaseIOError:
    async with asyncio.timeout(5.0):
        while True:
            try:
                await database.profiles.ensure("p")
            except DatabaseIOError as error:
                return error
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("how", ["deleted", "replaced", "moved"])
async def test_writes_to_a_file_that_is_gone_are_refused(
    how: str, path: Path, template: Path, journal: Any, warnings: Callable[[], list[str]]
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        await database.profiles.ensure("p")
        if how == "deleted":
            os.unlink(path)
        elif how == "moved":
            os.rename(path, f"{path}.old")
        else:
            shutil.copy(template, f"{path}.new")
            os.replace(f"{path}.new", path)
        error = await until_refused(database)
        assert error.code == "moved"
        assert str(path) in str(error)
        if how == "replaced":
            assert "replaced by another file" in str(error)
        with pytest.raises(DatabaseIOError):
            async with database.transaction():
                pass
        with pytest.raises(DatabaseIOError):
            await database.backup(f"{path}.copy")
        assert await database.profiles.exists("p")
        assert any(str(path) in warning for warning in warnings())


async def test_check_tells_of_a_file_that_is_gone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_CYCLE_SECONDS", 60.0)
    async with reelbase.connect(path, journal="wal") as database:
        os.rename(path, f"{path}.old")
        held = os.listdir(path.parent)
        report = await database.check()
        assert not report.ok
        (problem,) = report.problems
        assert "moved away" in problem
        assert os.listdir(path.parent) == held
        with pytest.raises(DatabaseIOError):  # no new file, and not another one, is read
            async with database.snapshot():
                pass
        assert os.listdir(path.parent) == held
        os.rename(f"{path}.old", path)
        assert (await database.check()).ok


async def test_a_file_that_is_back_is_written_again(path: Path, journal: Any) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        os.rename(path, f"{path}.old")
        await until_refused(database)
        os.rename(f"{path}.old", path)
        await until(lambda: database._writer.lost_file is None)
        await database.profiles.ensure("p")
        assert await database.profiles.exists("p")


async def test_a_unit_that_was_open_ends_in_order(path: Path, journal: Any) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        async with database.transaction() as unit:
            await unit.profiles.ensure("p")
            os.rename(path, f"{path}.old")
            await until(lambda: database._writer.lost_file)
            await unit.rollback()
        assert unit.state == "rolled_back"
        os.rename(f"{path}.old", path)


@pytest.mark.long
async def test_a_new_number_on_a_network_filesystem_is_only_a_warning(
    path: Path, tmp_path: Path, warnings: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/share {tmp_path} fuse.sshfs rw 0 0\n")
    async with reelbase.connect(path, mounts=mounts) as database:
        monkeypatch.setattr(upkeep, "identity_of", lambda name: Identity(1, 2))
        await until(warnings)
        assert "perhaps" in warnings()[0]
        await asyncio.sleep(3 * CYCLE)
        await database.profiles.ensure("p")
        assert len(warnings()) == 1


@pytest.mark.long
async def test_a_mount_over_the_file_ends_writing_until_it_is_gone(
    path: Path, tmp_path: Path, journal: Any, warnings: Callable[[], list[str]]
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/share {tmp_path} nfs4 rw 0 0\n")
    async with reelbase.connect(path, journal=journal, mounts=mounts) as database:
        await database.profiles.ensure("before")
        for place in (path, f"{path}-wal", f"{path}-journal"):
            mounts.write_text(f"server:/share {tmp_path} nfs4 rw 0 0\nx {place} ext4 rw 0 0\n")
            await until(lambda: database._writer.lost_file)
            with pytest.raises(DatabaseIOError, match=f"{place} is mounted as a") as caught:
                await database.profiles.ensure("during")
            assert caught.value.code == "moved"
            assert "is mounted as a single file" in (await database.check()).problems[0]
            assert "while the database was open" in warnings()[-1]
            mounts.write_text(f"server:/share {tmp_path} nfs4 rw 0 0\n")
            await until(lambda: database._writer.lost_file is None)
        await database.profiles.ensure("after")
    assert len(warnings()) == 3


@pytest.mark.long
async def test_a_filesystem_that_does_not_answer_holds_up_nothing(
    path: Path,
    journal: Any,
    warnings: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = threading.Event()
    looks = 0

    def hang(name: str) -> None:
        nonlocal looks
        looks += 1
        answers.wait(10.0)

    monkeypatch.setattr(upkeep, "_UNANSWERED_SECONDS", 3 * CYCLE)
    async with reelbase.connect(path, journal=journal) as database:
        monkeypatch.setattr(upkeep, "identity_of", hang)
        try:
            await until(warnings)
            await asyncio.sleep(3 * CYCLE)
            assert "does not answer" in warnings()[0]
            assert looks == 1
            async with asyncio.timeout(1.0):
                await database.profiles.ensure("p")
                assert await database.profiles.exists("p")
                await database.close()
        finally:
            answers.set()
    assert len(warnings()) == 1


@pytest.mark.long
async def test_nothing_goes_on_after_close(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with reelbase.connect(path) as database:
        await asyncio.sleep(2 * CYCLE)
    looks: list[str] = []
    monkeypatch.setattr(upkeep, "identity_of", looks.append)
    await asyncio.sleep(3 * CYCLE)
    assert looks == []
    assert database.closed


@pytest.mark.long
async def test_a_forgotten_database_is_not_kept(path: Path) -> None:
    database: Database | None = await reelbase.connect(path)
    await asyncio.sleep(2 * CYCLE)
    with pytest.warns(ResourceWarning):  # noqa: PT031
        del database
        gc.collect()
    threads = [thread for thread in threading.enumerate() if thread.name == "reelbase"]
    for thread in threads:
        await asyncio.to_thread(thread.join, 2.0)
    assert not any(thread.is_alive() for thread in threads)
