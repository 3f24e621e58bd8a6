"""What must hold on every mount, as a program of its own: a filesystem that hangs takes only it along.

It also runs inside another kernel, so it needs nothing but the package and the standard library.
Each command prints one JSON object per line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import reelbase
from reelbase import Database, DatabaseBusyError, DatabaseError, Filesystem
from reelbase.engine.file.journal import decide

PLAIN = Path(__file__).with_name("plain.py")
PER_WRITER = 100
PATIENCE_SECONDS = 30.0
# Until Linux tells that a soft mount of NFS is gone: 20 s for a statement and 32 s for connect() were seen.
_GONE_SECONDS = 60.0


class Mounted(NamedTuple):
    """A folder on a mount, and what must be found out about it."""

    folder: Path
    point: str
    type: str
    is_network: bool
    scratch: Path  # an empty folder on a local filesystem

    @property
    def mode(self) -> str:
        return "delete" if self.is_network else "wal"

    def place(self, name: str) -> Path:
        """An empty folder of its own for each check."""
        place = self.folder / name
        place.mkdir()
        return place


# --- The checks -----------------------------------------------------------------------------------


def filesystem_is_found(mounted: Mounted) -> None:
    expected = Filesystem(mounted.point, mounted.type, mounted.is_network)
    before = names_in(mounted.folder)
    for path in (mounted.folder, mounted.folder / "media.db", mounted.folder / "not/yet/media.db"):
        assert reelbase.filesystem_of(path) == expected
        assert reelbase.journal_mode_for(path) == mounted.mode
    link = mounted.scratch / "link"
    link.symlink_to(mounted.folder)
    assert reelbase.filesystem_of(link / "media.db") == expected
    assert names_in(mounted.folder) == before


def mode_is_chosen_and_verified(mounted: Mounted) -> None:
    path = mounted.place("chosen") / "media.db"

    async def run() -> None:
        async with reelbase.connect(path) as database:
            decision = database.journal
            assert decision.mode == mounted.mode, decision
            assert decision.synchronous == ("extra" if mounted.is_network else "full"), decision
            assert decision.filesystem == Filesystem(
                mounted.point, mounted.type, mounted.is_network
            )
            assert mounted.type in decision.reason
            assert repr(mounted.point) in decision.reason
            await fill(database, 3)
            assert await database.fetch_one(str, "PRAGMA journal_mode") == mounted.mode
            assert independently(path, "PRAGMA journal_mode") == mounted.mode
            assert independently(path, "SELECT count(*) FROM files") == 3

    asyncio.run(run())


def work_works(mounted: Mounted) -> None:
    path = mounted.place("work") / "media.db"

    async def run() -> None:
        async with reelbase.connect(path) as database:
            await fill(database, 20)
            async with database.transaction() as unit:
                await unit.files.add("p", "in a unit", "/unit")
            with contextlib.suppress(ZeroDivisionError):
                async with database.transaction() as unit:
                    await unit.files.add("p", "undone", "/undone")
                    raise ZeroDivisionError
            async with database.snapshot() as view:
                assert await view.files.count_for_profile("p") == 21
            names = {file.name for file in await database.files.list_for_profile("p")}
            assert "in a unit" in names
            assert "undone" not in names
            async with asyncio.TaskGroup() as group:
                for number in range(50):
                    group.create_task(database.files.add("p", f"task-{number}", "/task"))
                    group.create_task(database.files.list_for_profile("p", limit=5))
            assert await database.files.count_for_profile("p") == 71
            assert await database.fetch_one(str, "PRAGMA integrity_check") == "ok"

    asyncio.run(run())


def close_leaves_one_file_and_opens_again(mounted: Mounted) -> None:
    folder = mounted.place("again")
    path = folder / "media.db"

    async def run() -> None:
        for expected in (0, 5, 10):
            async with reelbase.connect(path, create=expected == 0) as database:
                assert await database.files.count_for_profile("p") == expected
                assert database.journal.mode == mounted.mode
                await fill(database, 5)
            assert names_in(folder) == ["media.db"]

    asyncio.run(run())


def two_processes_write_without_loss(mounted: Mounted) -> None:
    path = mounted.place("two") / "media.db"
    asyncio.run(make(path, 0))
    both = [start("write", path, name, PER_WRITER) for name in "ab"]
    for process in both:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        assert len(output.split()) == PER_WRITER
    assert independently(path, "SELECT count(*) FROM files") == 2 * PER_WRITER
    assert independently(path, "SELECT count(DISTINCT name) FROM files") == 2 * PER_WRITER
    assert independently(path, "PRAGMA integrity_check") == "ok"
    assert names_in(path.parent) == ["media.db"]


def one_process_keeps_another_out(mounted: Mounted) -> None:
    path = mounted.place("lock") / "media.db"
    asyncio.run(make(path, 1))

    with held(path, "BEGIN IMMEDIATE") as answer:
        assert answer == "held", answer
        assert asyncio.run(is_kept_out(path))
    assert not asyncio.run(is_kept_out(path))


def a_killed_process_loses_nothing_acknowledged(mounted: Mounted) -> None:
    path = mounted.place("kill") / "media.db"
    asyncio.run(make(path, 0))
    for name in ("x", "y"):
        process = start("write", path, name, 100_000)
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(40)]
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        acknowledged += rest.split()

        async def run(expected: set[str]) -> None:
            async with reelbase.connect(path, create=False) as database:
                files = await database.files.list_for_profile("p")
                assert expected - {file.name for file in files} == set()
                assert await database.fetch_one(str, "PRAGMA integrity_check") == "ok"
                await fill(database, 1)

        # The last line may be half of one.
        asyncio.run(run({line for line in acknowledged if line.endswith(".")}))


def a_moved_wal_database_is_converted(mounted: Mounted) -> None:
    folder = mounted.place("moved")
    copy_wal_database(mounted, folder)
    assert "media.db-wal" in names_in(folder)

    async def run() -> None:
        for expected in (7, 8):
            async with reelbase.connect(folder / "media.db") as database:
                assert database.journal.mode == mounted.mode
                assert await database.files.count_for_profile("p") == expected
                await fill(database, 1)
                assert independently(folder / "media.db", "PRAGMA journal_mode") == mounted.mode
            assert "media.db-wal" not in names_in(folder)

    asyncio.run(run())
    assert independently(folder / "media.db", "SELECT count(*) FROM files") == 9
    assert independently(folder / "media.db", "PRAGMA journal_mode") == mounted.mode


def a_wal_database_in_use_is_refused_unchanged(mounted: Mounted) -> None:
    """Only where it must change; and where there is no shared memory nobody can have it open."""
    folder = mounted.place("in-use")
    path = folder / "media.db"
    copy_wal_database(mounted, folder)

    async def opened() -> None:
        async with reelbase.connect(path) as database:
            assert database.journal.mode == mounted.mode
            assert await database.files.count_for_profile("p") == 7

    with held(path, "BEGIN", "SELECT * FROM files") as answer:
        if mounted.is_network and answer == "held":
            started = time.monotonic()
            error = asyncio.run(refusal(path))
            assert isinstance(error, DatabaseBusyError), error
            assert error.code == "journal_mode", error.code
            assert str(path) in str(error)
            assert time.monotonic() - started < 5
            assert independently(path, "PRAGMA journal_mode") == "wal"
        elif not mounted.is_network:
            asyncio.run(opened())
    asyncio.run(opened())


def a_foreign_wal_database_is_refused(mounted: Mounted) -> None:
    folder = mounted.place("foreign")
    path = folder / "media.db"
    local = mounted.scratch / "foreign.db"
    with contextlib.closing(sqlite3.connect(local, isolation_level=None)) as native:
        native.execute("PRAGMA journal_mode = WAL")
        native.execute("PRAGMA application_id = 77")
        native.execute("CREATE TABLE theirs (a)")
        native.execute("INSERT INTO theirs VALUES (1)")
        native.execute("PRAGMA wal_checkpoint")
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{local}{suffix}", f"{path}{suffix}")
    before = path.read_bytes()

    error = asyncio.run(refusal(path))
    assert isinstance(error, reelbase.SchemaError), error
    assert error.code == "foreign", error.code
    assert path.read_bytes() == before


def journal_overrides(mounted: Mounted) -> None:
    """WAL where the filesystem can do it, else a typed error; never locked out afterwards."""
    path = mounted.place("override") / "media.db"
    asyncio.run(make(path, 2))

    async def run() -> None:
        error = await refusal(path, journal="wal")
        if error is None:
            async with reelbase.connect(path, journal="wal") as database:
                assert database.journal.mode == "wal"
                assert "journal='wal'" in database.journal.reason
                assert ("WARNING" in database.journal.reason) == mounted.is_network
                await fill(database, 1)
                assert independently(path, "PRAGMA journal_mode") == "wal"
        else:
            assert mounted.is_network, error
            assert error.code == "journal_mode", (error.code, str(error))
        written = 3 if error is None else 2
        assert independently(path, "SELECT count(*) FROM files") == written
        async with reelbase.connect(path, journal="delete") as database:
            assert database.journal.mode == "delete"
            await fill(database, 1)
            assert independently(path, "PRAGMA journal_mode") == "delete"
        async with reelbase.connect(path) as database:
            assert database.journal.mode == mounted.mode
            assert await database.files.count_for_profile("p") == written + 1
            assert independently(path, "PRAGMA journal_mode") == mounted.mode

    asyncio.run(run())


def a_backup_lands_on_the_mount(mounted: Mounted) -> None:
    """What any copy made by SQLite's own backup opens as."""
    folder = mounted.place("backup")
    local = mounted.scratch / "backup.db"
    asyncio.run(make(local, 4))
    with (
        contextlib.closing(sqlite3.connect(local)) as source,
        contextlib.closing(sqlite3.connect(folder / "media.db")) as target,
    ):
        source.backup(target)

    async def run() -> None:
        async with reelbase.connect(folder / "media.db") as database:
            assert database.journal.mode == mounted.mode
            assert await database.files.count_for_profile("p") == 4

    asyncio.run(run())


CHECKS = {
    check.__name__: check
    for check in (
        filesystem_is_found,
        mode_is_chosen_and_verified,
        work_works,
        close_leaves_one_file_and_opens_again,
        two_processes_write_without_loss,
        one_process_keeps_another_out,
        a_killed_process_loses_nothing_acknowledged,
        a_moved_wal_database_is_converted,
        a_wal_database_in_use_is_refused_unchanged,
        a_foreign_wal_database_is_refused,
        journal_overrides,
        a_backup_lands_on_the_mount,
    )
}


# --- What they are made of ------------------------------------------------------------------------


async def fill(database: Database, count: int) -> None:
    await database.profiles.ensure("p")
    for number in range(count):
        await database.files.add("p", f"file-{number}", f"/{number}")


async def refusal(path: Path, **options: Any) -> DatabaseError | None:
    """Why connect() does not open it; None when it does."""
    try:
        async with reelbase.connect(path, busy_timeout=0.5, **options):
            return None
    except DatabaseError as error:
        return error


async def make(path: Path, count: int) -> None:
    async with reelbase.connect(path) as database:
        await database.profiles.ensure("p")
        await fill(database, count)


async def is_kept_out(path: Path) -> bool:
    """Whether another process holds the database. Some servers lock a whole file: then even opening
    it is too much.
    """
    try:
        async with reelbase.connect(path, busy_timeout=0.3) as database:
            await fill(database, 1)
    except DatabaseBusyError:
        return True
    return False


def copy_wal_database(mounted: Mounted, folder: Path) -> None:
    """Seven files in a database that its owner has not closed: a part of them only in the -wal."""
    local = mounted.scratch / f"{folder.name}.db"

    async def run() -> None:
        async with reelbase.connect(local, journal="wal") as database:
            await fill(database, 7)
            copy()

    def copy() -> None:
        # By another process: here, closing the file would drop the locks.
        for suffix in ("", "-wal"):
            subprocess.run(["cp", f"{local}{suffix}", f"{folder / 'media.db'}{suffix}"], check=True)

    asyncio.run(run())


def names_in(folder: Path) -> list[str]:
    """Without the remains that a network client shows of files deleted while open."""
    return sorted(name for name in os.listdir(folder) if not name.startswith((".nfs", ".fuse_")))


def start(command: str, *arguments: object) -> subprocess.Popen[str]:
    return spawn(__file__, command, *arguments)


def spawn(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def independently(path: Path, sql: str) -> Any:
    """One value, as another process sees it through plain sqlite3."""
    process = spawn("-S", PLAIN, "look", path, sql)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return json.loads(output)


@contextlib.contextmanager
def held(path: Path, *statements: str) -> Iterator[str]:
    """Another process holds what the statements take. Yields "held", or why it could not."""
    process = spawn("-S", PLAIN, "hold", path, *statements)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.communicate()  # the end of its input is its end


# --- The other processes --------------------------------------------------------------------------


def write(path: str, name: str, count: str) -> None:
    """Adds files one by one and prints the name of each that was acknowledged."""

    async def run() -> None:
        async with reelbase.connect(path, busy_timeout=PATIENCE_SECONDS) as database:
            await database.profiles.ensure("p")
            for number in range(int(count)):
                file = await database.files.add("p", f"{name}-{number}.", "/x")
                print(file.name, flush=True)

    asyncio.run(run())


def suite(folder: str, point: str, type: str, network: str, scratch: str) -> None:
    """Every check, and how each ended."""
    mounted = Mounted(Path(folder), point, type, network == "network", Path(scratch))
    results: dict[str, object] = {}
    for name, check in CHECKS.items():
        started = time.monotonic()
        try:
            check(mounted)
            error = None
        except Exception as problem:
            cause = problem.__cause__ or problem
            error = traceback.format_exc() + str(getattr(cause, "sqlite_errorname", ""))
        results[name] = {"error": error, "seconds": round(time.monotonic() - started, 2)}
    print(json.dumps(results))


def alone(folder: str, name: str = "media.db", journal: Any = "auto") -> None:
    """Opens, adds three files and counts: what came of it, and what was decided."""
    path = Path(folder) / name
    result: dict[str, object] = {}

    async def run() -> None:
        async with reelbase.connect(path, journal=journal, busy_timeout=0.5) as database:
            await fill(database, 3)
            result["rows"] = await database.files.count_for_profile("p")
            result["mode"] = await database.fetch_one(str, "PRAGMA journal_mode")

    try:
        asyncio.run(run())
    except DatabaseError as error:
        result |= {"error": type(error).__name__, "message": str(error)}
    decision = decide(path)
    found = decision.filesystem
    result["filesystem"] = [found.mount_point, found.type, found.is_network]
    result["reason"] = decision.reason
    print(json.dumps({"error": None} | result))


def hosts(first: str, second: str) -> None:
    """Two mounts of one export, each with locks and cache of its own, are two hosts."""
    folders = [Path(first), Path(second)]
    path = folders[0] / "shared.db"
    asyncio.run(make(path, 1))

    with held(path, "BEGIN IMMEDIATE") as answer:
        assert answer == "held", answer
        kept_out = asyncio.run(is_kept_out(folders[1] / "shared.db"))
    result: dict[str, object] = {"kept_out": kept_out, "reason": decide(path).reason}
    if kept_out:
        asyncio.run(make(folders[0] / "both.db", 0))
        both = [
            start("write", folder / "both.db", name, PER_WRITER)
            for folder, name in zip(folders, "ab", strict=True)
        ]
        outputs = [process.communicate(timeout=180)[0] for process in both]
        names = [line for output in outputs for line in output.split("\n") if line.endswith(".")]
        result["acknowledged"] = [
            sum(line.startswith(f"{name}-") for line in names) for name in "ab"
        ]
        result["logged"] = [
            line for output in outputs for line in output.splitlines() if line not in names
        ]
        for folder in folders:
            seen = independently(folder / "both.db", "SELECT count(DISTINCT name) FROM files")
            result.setdefault("rows", []).append(seen)  # type: ignore[attr-defined]
        result["integrity"] = independently(folders[0] / "both.db", "PRAGMA integrity_check")
    print(json.dumps(result))


# --- Mounts that hang or go away ------------------------------------------------------------------


@contextlib.asynccontextmanager
async def ticking(report: dict[str, object]) -> AsyncIterator[None]:
    """Puts the longest time that the event loop was away into the report, in seconds."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)

    task = asyncio.create_task(tick())
    await asyncio.sleep(0.05)
    try:
        yield
    finally:
        task.cancel()
        report["longest_tick"] = max(longest, _number(report.get("longest_tick")))


def _number(value: object) -> float:
    return value if isinstance(value, float) else 0.0


async def outcome(awaitable: Any, seconds: float) -> str:
    """The name of the error that it ends in; "ok" without one."""
    try:
        async with asyncio.timeout(seconds):
            await awaitable
    except Exception as error:
        return type(error).__name__ if not isinstance(error, DatabaseError) else "DatabaseError"
    return "ok"


def connect_hung(path: str) -> None:
    """connect() where nothing answers: given up once by a timeout and once by a cancel."""

    async def run() -> dict[str, object]:
        report: dict[str, object] = {}
        print("ready", flush=True)
        sys.stdin.readline()
        async with ticking(report):
            started = time.monotonic()
            report["timeout"] = await outcome(reelbase.connect(path), 1.0)
            report["timeout_seconds"] = time.monotonic() - started
            task = asyncio.ensure_future(outcome(reelbase.connect(path), 60.0))
            await asyncio.sleep(0.3)
            started = time.monotonic()
            task.cancel()
            await asyncio.wait([task], timeout=10)
            report["cancelled"] = task.cancelled()
            report["cancel_seconds"] = time.monotonic() - started
        return report

    print(json.dumps(asyncio.run(run())), flush=True)


def open_hung(path: str, end: str) -> None:
    """An open database whose mount stops answering; `end` is "resume" or "leave"."""

    async def run() -> None:
        report: dict[str, object] = {}
        database = await reelbase.connect(path)
        await fill(database, 5)
        print("open", flush=True)
        sys.stdin.readline()
        async with ticking(report):
            report["read"] = await outcome(database.files.list_for_profile("p"), 1.0)
            report["write"] = await outcome(database.files.add("p", "hung", "/h"), 1.0)
            report["unit"] = await outcome(_unit(database), 1.0)
            if end == "leave":
                report["close"] = await outcome(database.close(), 1.0)
        print(json.dumps(report), flush=True)
        if end == "resume":
            sys.stdin.readline()
            await database.files.add("p", "after", "/after")
            files = await database.files.list_for_profile("p")
            await database.close()
            names = sorted({file.name for file in files})
            print(json.dumps({"names": names}), flush=True)

    asyncio.run(run())


async def _unit(database: Database) -> None:
    async with database.transaction() as unit:
        await unit.files.add("p", "unit", "/u")


def open_dropped(path: str) -> None:
    """An open database whose mount goes away, and a new one once it is back."""

    async def attempt(awaitable: Any) -> str:
        try:
            async with asyncio.timeout(_GONE_SECONDS):
                await awaitable
        except DatabaseError as error:
            return f"DatabaseError {type(error).__name__} {error.code}"
        except Exception as error:
            return f"other {type(error).__name__}: {error}"
        return "ok"

    async def run() -> None:
        report: dict[str, object] = {}
        acknowledged: list[str] = []
        database = await reelbase.connect(path)
        await database.profiles.ensure("p")
        for number in range(20):
            acknowledged.append((await database.files.add("p", f"kept-{number}", "/k")).name)
        print("open", flush=True)
        sys.stdin.readline()
        results: list[str] = []
        async with ticking(report):
            for number in range(3):
                name = f"late-{number}"
                results.append(await attempt(database.files.add("p", name, "/l")))
                if results[-1] == "ok":
                    acknowledged.append(name)
                results.append(await attempt(_unit(database)))
                results.append(await attempt(database.files.list_for_profile("p")))
            report["close"] = await attempt(database.close())
            report["connect"] = await attempt(reelbase.connect(path, create=False))
        report["results"] = results
        print(json.dumps(report), flush=True)
        sys.stdin.readline()
        async with reelbase.connect(path, create=False) as database:
            present = {file.name for file in await database.files.list_for_profile("p")}
            await fill(database, 1)
            integrity = await database.fetch_one(str, "PRAGMA integrity_check")
        lost = sorted(set(acknowledged) - present)
        print(json.dumps({"lost": lost, "integrity": integrity}), flush=True)

    asyncio.run(run())


COMMANDS = {
    command.__name__: command
    for command in (
        write, suite, alone, hosts, connect_hung, open_hung, open_dropped,
    )
}  # fmt: skip

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
