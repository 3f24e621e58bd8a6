"""Promises about turns: processes that write the same file wait for each other in order, and for no
process that is stopped or dead.

Two turnstiles of one file have a descriptor each, so they keep each other out as those of two processes do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pytest

import reelbase
from reelbase import Database, DatabaseBusyError
from reelbase.engine.file import turnstile
from reelbase.engine.file.byte_locks import EXCLUSIVE, lock_byte
from reelbase.engine.file.turnstile import Turnstile, open_turnstile

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has locks of an open file description"
)


class Writer:
    """A connection with the place of its own at the turnstile."""

    def __init__(self, path: Path) -> None:
        self.native = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        opened = open_turnstile(str(path))
        assert opened is not None
        self.turnstile: Turnstile = opened

    def begin(self, busy_timeout_seconds: float = 5.0) -> float:
        """Begins; returns the seconds that it waited."""
        started = time.monotonic()
        self.turnstile.begin(self.native, busy_timeout_seconds)
        return time.monotonic() - started

    def close(self) -> None:
        self.native.close()
        self.turnstile.close()


@pytest.fixture
def writers(path: Path) -> Iterator[Callable[[], Writer]]:
    made: list[Writer] = []

    def make() -> Writer:
        made.append(Writer(path))
        return made[-1]

    yield make
    for writer in made:
        writer.close()


def side_file(path: Path) -> Path:
    return Path(f"{path}-turn")


def commits_of_a_busy_process_during(wait: Callable[[], float], busy: Writer) -> list[int]:
    """The commits of a process that writes all the time, during each of 20 waits of another one."""
    commits, stopping = 0, threading.Event()

    def write() -> None:
        nonlocal commits
        while not stopping.is_set():
            busy.begin()
            time.sleep(0.004)
            busy.native.execute("COMMIT")
            commits += 1

    thread = threading.Thread(target=write)
    thread.start()
    counts = []
    try:
        for _ in range(20):
            time.sleep(0.005)
            before = commits
            wait()
            counts.append(commits - before)
    finally:
        stopping.set()
        thread.join()
    return counts


def test_a_process_that_writes_all_the_time_lets_another_one_in_after_a_commit_or_two(
    writers: Callable[[], Writer],
) -> None:
    busy, other = writers(), writers()

    def wait() -> float:
        waited = other.begin()
        other.native.execute("COMMIT")
        return waited

    counts = commits_of_a_busy_process_during(wait, busy)
    assert sorted(counts)[-3] <= 2


@pytest.mark.long
def test_without_turns_it_would_not(writers: Callable[[], Writer]) -> None:
    """The mutant of the test above: SQLite's own handler waits, in vain at times."""
    busy, other = writers(), writers()
    other.native.execute("PRAGMA busy_timeout = 200")

    def wait() -> float:
        with contextlib.suppress(sqlite3.OperationalError):
            other.native.execute("BEGIN IMMEDIATE")
            other.native.execute("COMMIT")
        return 0.0

    counts = commits_of_a_busy_process_during(wait, busy)
    assert sorted(counts)[-3] > 2


def test_waiting_processes_are_let_in_in_the_order_in_which_they_came(
    writers: Callable[[], Writer],
) -> None:
    holder, *waiting = [writers() for _ in range(5)]
    holder.begin()
    order: list[int] = []

    def wait(number: int) -> None:
        waiting[number].begin()
        order.append(number)
        waiting[number].native.execute("COMMIT")

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
        time.sleep(0.005)  # all of it shorter than the patience of the first one
    holder.native.execute("COMMIT")
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3]


@pytest.mark.long
def test_more_processes_than_seats_all_get_their_turn(
    path: Path, writers: Callable[[], Writer]
) -> None:
    holder, *waiting = [writers() for _ in range(14)]
    holder.begin()

    def write(writer: Writer) -> None:
        writer.begin()
        writer.native.execute("UPDATE schema_migrations SET name = name")
        writer.native.execute("COMMIT")

    threads = [threading.Thread(target=write, args=(writer,)) for writer in waiting]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    holder.native.execute("COMMIT")
    for thread in threads:
        thread.join(timeout=20)
    assert not any(thread.is_alive() for thread in threads)


def test_two_writers_of_one_process_take_turns_as_well(
    path: Path, writers: Callable[[], Writer]
) -> None:
    holder, first = writers(), writers()
    with closing(
        sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    ) as second_native:
        holder.begin()
        order: list[str] = []

        def wait(name: str, native: sqlite3.Connection) -> None:
            first.turnstile.begin(native, 5.0)
            order.append(name)
            native.execute("COMMIT")

        threads = [
            threading.Thread(target=wait, args=(name, native))
            for name, native in [("first", first.native), ("second", second_native)]
        ]
        for thread in threads:
            thread.start()
            time.sleep(0.01)
        holder.native.execute("COMMIT")
        for thread in threads:
            thread.join()
    assert sorted(order) == ["first", "second"]


@pytest.mark.parametrize("seat", [0, 3, 7])
def test_a_process_that_is_stopped_in_the_queue_is_passed_by(
    writers: Callable[[], Writer], seat: int
) -> None:
    stopped, other = writers(), writers()
    lock_byte(stopped.turnstile._descriptor, EXCLUSIVE, seat)
    waits = []
    for _ in range(5):
        waits.append(other.begin())
        other.native.execute("COMMIT")
    assert waits[0] < 1.0
    # The next times it does not wait that long again.
    assert min(waits[1:]) < turnstile._PATIENCE_SECONDS / 2


@pytest.mark.long
def test_a_process_that_is_killed_in_the_queue_leaves_its_seat(
    path: Path, writers: Callable[[], Writer]
) -> None:
    other = writers()
    program = (
        "import sys, time; from reelbase.engine.file.byte_locks import EXCLUSIVE, lock_byte;"
        "from reelbase.engine.file.turnstile import open_turnstile;"
        "lock_byte(open_turnstile(sys.argv[1])._descriptor, EXCLUSIVE, 0);"
        "print('ready', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert other.turnstile._is_awaited()
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert not other.turnstile._is_awaited()


@pytest.mark.long
def test_a_program_that_takes_no_part_is_waited_for_until_busy_timeout(
    path: Path, writers: Callable[[], Writer]
) -> None:
    writer, other = writers(), writers()
    with closing(sqlite3.connect(path, isolation_level=None)) as program:
        program.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            writer.begin(0.2)
        assert 0.19 < time.monotonic() - started < 2.0
    assert writer.native.execute("PRAGMA busy_timeout").fetchone() == (200,)
    assert not other.turnstile._is_awaited()
    assert writer.begin(0.2) < 0.2


# The side file.


async def test_the_side_file_lies_beside_an_open_database_and_goes_with_the_last_one(
    path: Path, journal: Literal["wal", "delete"]
) -> None:
    async with reelbase.connect(path, journal=journal):
        assert side_file(path).read_bytes() == b""
        async with reelbase.connect(path, journal=journal):
            pass
        assert side_file(path).exists()
        other = open_turnstile(str(path))
    assert other is not None
    assert side_file(path).exists()  # another process has the database open
    other.close()
    assert not side_file(path).exists()


async def test_it_has_the_permissions_of_the_database(path: Path) -> None:
    os.chmod(path, 0o640)
    async with reelbase.connect(path, journal="wal"):
        assert stat.S_IMODE(side_file(path).stat().st_mode) == 0o640


async def test_a_side_file_that_a_killed_process_has_left_is_used_and_removed(path: Path) -> None:
    side_file(path).touch()
    async with reelbase.connect(path, journal="wal") as database:
        await database.config.set("key", 1)
    assert not side_file(path).exists()


async def test_a_database_that_is_only_read_has_none(path: Path) -> None:
    async with reelbase.connect(path, read_only=True):
        assert not side_file(path).exists()


async def test_a_database_on_a_network_filesystem_has_none(path: Path, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("server:/share / nfs4 rw 0 0\n")
    async with reelbase.connect(path, mounts=mounts) as database:
        assert database.journal.filesystem.is_network
        await database.config.set("key", 1)
        assert not side_file(path).exists()


def no_locks(*arguments: Any) -> None:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def refused(*arguments: Any, **options: Any) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.mark.parametrize(
    ("function", "answer"), [("lock_byte", no_locks), ("_open", refused)], ids=["locks", "open"]
)
async def test_where_it_cannot_be_the_database_works_without_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, function: str, answer: Callable[..., None]
) -> None:
    monkeypatch.setattr(turnstile, function, answer)
    async with reelbase.connect(path, journal="wal") as database:
        await database.config.set("key", 1)
        assert await database.config.get("key") == 1


@pytest.mark.parametrize("what", ["a folder", "a link", "a pipe"])
async def test_another_thing_of_its_name_stays_untouched(
    path: Path, tmp_path: Path, what: str
) -> None:
    name, precious = side_file(path), tmp_path / "precious.txt"
    precious.write_text("precious")
    if what == "a folder":
        name.mkdir()
    elif what == "a link":
        name.symlink_to(precious)
    else:
        os.mkfifo(name)
    async with reelbase.connect(path, journal="wal") as database:
        await database.config.set("key", 1)
    assert precious.read_text() == "precious"
    assert name.is_symlink() or name.exists()


async def test_the_file_that_is_deleted_while_it_is_open_costs_the_turns_alone(path: Path) -> None:
    async with reelbase.connect(path, journal="wal") as database:
        side_file(path).unlink()
        async with reelbase.connect(path, journal="wal") as other:
            await database.config.set("key", 1)
            await other.config.set("key", 2)
        assert await database.config.get("key") == 2


def test_the_one_that_closes_first_does_not_delete_a_newer_file(path: Path) -> None:
    first = open_turnstile(str(path))
    side_file(path).unlink()
    second = open_turnstile(str(path))
    assert first is not None
    assert second is not None
    first.close()
    assert side_file(path).exists()
    second.close()
    assert not side_file(path).exists()


@pytest.mark.long
def test_a_forked_child_keeps_no_seat(path: Path) -> None:
    program = (
        "import asyncio, os, sys, reelbase\n"
        "from reelbase.engine.file.byte_locks import EXCLUSIVE, lock_byte\n"
        "async def main():\n"
        "    database = await reelbase.connect(sys.argv[1], journal='wal')\n"
        "    turnstile = database._writer.connection.native.file.turnstile\n"
        "    lock_byte(turnstile._descriptor, EXCLUSIVE, 0)\n"
        "    if os.fork() == 0:\n"
        "        import time; os.write(1, b'ready'); time.sleep(2); os._exit(0)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, path], stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.read(5) == b"ready"
        child.wait()
        with closing(sqlite3.connect(path)):
            opened = open_turnstile(str(path))
            assert opened is not None
            assert not opened._is_awaited()
            opened.close()


# The whole library.

_BUSY = """
import asyncio, sys, reelbase
async def main():
    async with reelbase.connect(sys.argv[1], journal=sys.argv[2]) as database:
        async def write(number):
            while True:
                await database.config.set(f"busy {number}", 1)
        print("ready", flush=True)
        await asyncio.gather(*map(write, range(8)))
asyncio.run(main())
"""


@contextlib.contextmanager
def busy_process(path: Path, journal: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of 8 tasks that write all the time."""
    command = [sys.executable, "-c", _BUSY, str(path), journal]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as busy:
        try:
            assert busy.stdout is not None
            assert busy.stdout.readline() == b"ready\n"
            yield busy
        finally:
            busy.kill()


async def waits_of_units(database: Database, count: int) -> list[float]:
    waits = []
    for number in range(count):
        started = time.monotonic()
        async with database.transaction() as unit:
            waits.append(time.monotonic() - started)
            await unit.config.set("mine", number)
    return waits


@pytest.mark.long
async def test_a_unit_beside_a_busy_process_waits_for_its_turn_alone(
    path: Path, journal: Literal["wal", "delete"]
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        with busy_process(path, journal):
            waits = sorted(await waits_of_units(database, 40))
    # A group of the other process, not the 100 ms of SQLite's handler again and again.
    assert waits[30] < 0.1


@pytest.mark.long
async def test_a_busy_process_that_is_stopped_costs_no_more_than_its_lock(
    path: Path, journal: Literal["wal", "delete"]
) -> None:
    """Stopped at any moment: where SQLite's lock is free, another process writes at once."""
    free = 0
    async with reelbase.connect(path, journal=journal, busy_timeout=0.3) as database:
        with busy_process(path, journal) as busy:
            for _ in range(25):
                await waits_of_units_or_busy(database, 3)
                busy.send_signal(signal.SIGSTOP)
                if is_free(path):
                    free += 1
                    assert max(await waits_of_units(database, 3)) < 0.3
                busy.send_signal(signal.SIGCONT)
    assert free > 0


async def waits_of_units_or_busy(database: Database, count: int) -> None:
    try:
        await waits_of_units(database, count)
    except DatabaseBusyError:
        return


_IS_FREE = """
import sqlite3, sys
native = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
try:
    native.execute("BEGIN EXCLUSIVE")
except sqlite3.OperationalError:
    sys.exit(1)
native.execute("ROLLBACK")
"""


def is_free(path: Path) -> bool:
    """Asked by another process: closing the file here would drop this process's locks."""
    return subprocess.run([sys.executable, "-S", "-c", _IS_FREE, path], check=False).returncode == 0


def test_a_copy_of_the_folder_while_it_is_open_opens(path: Path, tmp_path: Path) -> None:
    opened = open_turnstile(str(path))
    assert opened is not None
    copy = tmp_path / "copied"
    shutil.copytree(path.parent, copy, ignore=shutil.ignore_patterns("copied"))
    opened.close()
    again = open_turnstile(str(copy / path.name))
    assert again is not None
    again.close()
