"""Promises about connect(read_only=True): it reads in every situation, writes nothing, and says so."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from commands import run
from scripts import prepared, script

import reelbase
from reelbase import (
    Database,
    DatabaseCorruptError,
    DatabaseIOError,
    DatabaseReadOnlyError,
    InvalidArgumentError,
    SchemaError,
)
from reelbase.engine.file import read_only, unlocked
from reelbase.engine.schema.chain import migrations
from reelbase.engine.threads import upkeep

Journal = Literal["wal", "delete"]

ROOT_ONLY = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0,
    reason="needs Linux and root, to mount or be another",
)

WRITE_AND_DIE = """
async def main():
    database = await reelbase.connect(sys.argv[1], journal=sys.argv[2])
    await database.profiles.ensure("last")
    os._exit(0)

asyncio.run(main())
"""

# What a read-only Database is asked for, wherever the file lies; sys.argv[1] is the file.
READ_ALL = """
import json

async def main():
    path = sys.argv[1]
    async with reelbase.connect(path, read_only=True, busy_timeout=1) as database:
        async with database.snapshot() as view:
            seen = sorted([profile.id for profile in await view.profiles.list()])
        async with database.stream(str, "SELECT id FROM profiles") as rows:
            streamed = sorted([row async for row in rows])
        await database.backup(sys.argv[2])
        report = await database.check(full=True)
        stats = await database.stats()
        try:
            await database.profiles.ensure("new")
            refused = ""
        except reelbase.DatabaseReadOnlyError as error:
            refused = error.code
    async with reelbase.connect(sys.argv[2]) as copy:
        copied = sorted([profile.id for profile in await copy.profiles.list()])
    assert seen == streamed == copied, (seen, streamed, copied)
    assert stats.rows["profiles"] == len(seen)
    print(json.dumps({"seen": seen, "problems": report.problems, "refused": refused}))

asyncio.run(main())
"""

# The package's own files may lie where only root can look.
AS_NOBODY = """
from reelbase.engine.schema.chain import migrations
migrations(), reelbase.schema_sql()
from reelbase.engine.schema.fingerprint import differences
os.setgid(65534)
os.setuid(65534)
"""


def files_of(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything in a folder: when it was changed, its mode and what it holds."""
    return {
        entry.name: (entry.stat().st_mtime_ns, entry.stat().st_mode, entry.read_bytes())
        for entry in folder.iterdir()
        if entry.is_file()
    }


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    before = files_of(folder)
    yield
    after = files_of(folder)
    assert after.keys() == before.keys()
    assert [name for name in before if after[name] != before[name]] == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For what does not belong beside the database."""
    target = tmp_path.with_name(f"{tmp_path.name}-elsewhere")
    target.mkdir()
    return target


@pytest.fixture
def filled(path: Path, journal: Journal) -> Path:
    """A closed database with one profile, "first"."""

    async def fill() -> None:
        async with reelbase.connect(path, journal=journal) as database:
            await database.profiles.ensure("first")

    asyncio.run(fill())
    return path


def die_writing(path: Path, journal: Journal) -> None:
    done = script(WRITE_AND_DIE, path, journal)
    assert done.returncode == 0, done


def leave_hot_journal(path: Path) -> None:
    """A transaction that was killed when some of it was in the file."""
    done = script(
        """
        native = sqlite3.connect(sys.argv[1], isolation_level=None)
        native.execute("PRAGMA cache_size = 1")
        native.execute("BEGIN")
        native.execute("DELETE FROM profiles")
        native.execute("CREATE TABLE big (x)")
        for _ in range(50):
            native.execute("INSERT INTO big VALUES (randomblob(10000))")
        os._exit(0)
        """,
        path,
    )
    assert done.returncode == 0, done


# Situations.


@pytest.mark.long
@pytest.mark.parametrize(
    "left", ["nothing", "an empty log", "what a kill leaves", "a log without its index"]
)
def test_a_file_that_no_process_has_open(
    filled: Path, journal: Journal, folder: Path, left: str
) -> None:
    path = filled
    expected = ["first"]
    if left == "an empty log" and journal == "wal":
        Path(f"{path}-wal").touch(0o600)  # as SQLite makes it
    elif left != "nothing":
        die_writing(path, journal)
        expected = ["first", "last"]
        if journal == "wal":
            assert Path(f"{path}-wal").stat().st_size > 0
    if left == "a log without its index":
        Path(f"{path}-shm").unlink(missing_ok=True)
    with unchanged(path.parent):
        done = script(READ_ALL, path, folder / "copy.db")
        assert done.returncode == 0, done
        told = json.loads(done.stdout)
        assert told == {"seen": expected, "problems": [], "refused": "read_only"}


@pytest.mark.long
async def test_a_file_that_another_process_writes(
    path: Path, journal: Journal, folder: Path
) -> None:
    async with reelbase.connect(path, journal=journal) as writing:
        await writing.profiles.ensure("first")
        done = script(READ_ALL, path, folder / "copy.db")
        assert json.loads(done.stdout)["seen"] == ["first"], done
        # And one that stays open sees what is written meanwhile, also after the writer has gone.
        reading = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            prepared(READ_ON),
            path,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert reading.stdin is not None
        assert reading.stdout is not None
        assert await reading.stdout.readline() == b"1\n"
        await writing.profiles.ensure("second")
        reading.stdin.write(b"\n")
        assert await reading.stdout.readline() == b"2\n"
    reading.stdin.write(b"\n")
    assert await reading.stdout.readline() == b"2\n"
    async with reelbase.connect(path, journal=journal) as writing:
        await writing.profiles.ensure("third")
        told, _ = await reading.communicate(b"\n\n")
        assert told == b"3\n"
    assert reading.returncode == 0


READ_ON = """
async def main():
    async with reelbase.connect(sys.argv[1], read_only=True) as database:
        for _ in range(4):
            print(await database.profiles.count(), flush=True)
            sys.stdin.readline()

asyncio.run(main())
"""


async def test_beside_a_database_of_the_same_process(path: Path, journal: Journal) -> None:
    async with reelbase.connect(path, read_only=True) as first:
        async with reelbase.connect(path, journal=journal) as writing:
            await writing.profiles.ensure("p")
            async with reelbase.connect(path, read_only=True) as second:
                assert await second.profiles.count() == 1
            assert await first.profiles.count() == 1
            await writing.profiles.ensure("q")
            assert await first.profiles.count() == 2
        assert await first.profiles.count() == 2
    async with reelbase.connect(path, journal=journal) as writing:
        await writing.profiles.ensure("r")
        assert await writing.profiles.count() == 3
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


async def test_a_backup(path: Path, journal: Journal, folder: Path) -> None:
    copy = path.with_name("copy.db")
    async with reelbase.connect(path, journal=journal) as database:
        await database.profiles.ensure("p")
        await database.backup(copy)
        identity = database.database_id
    with unchanged(copy.parent):
        async with reelbase.connect(copy, read_only=True) as database:
            assert await database.profiles.count() == 1
            assert database.database_id == identity
            assert database.journal.mode == "delete"
    # It is still a copy, which a later one may replace.
    with closing(sqlite3.connect(copy)) as native:
        (name,) = native.execute("SELECT copy_name FROM database_identity").fetchone()
        assert name == "copy.db"


async def test_the_journal_mode_is_the_one_that_the_file_has(path: Path, journal: Journal) -> None:
    for asked in ("auto", "wal", "delete"):
        async with reelbase.connect(path, read_only=True, journal=asked) as database:
            assert database.journal.mode == journal
            assert "read-only" in database.journal.reason
            assert (await database.check()).journal_mode == journal


async def test_a_rollback_journal_that_a_crash_has_left(
    tmp_path: Path, filled: Path, journal: Journal
) -> None:
    if journal == "wal":
        pytest.skip("a write-ahead log needs no rollback")
    path = filled
    leave_hot_journal(path)
    with unchanged(tmp_path):
        with pytest.raises(DatabaseIOError) as caught:
            await reelbase.connect(path, read_only=True)
        assert caught.value.code == "needs_recovery"
        assert "without read_only" in str(caught.value)
    # A command rolls it back, as every connection does that may write.
    assert await asyncio.to_thread(run, "inspect", path) == 0
    with unchanged(tmp_path):
        async with reelbase.connect(path, read_only=True) as database:
            assert await database.profiles.count() == 1


async def test_what_is_no_database_of_this_version_is_refused(
    tmp_path: Path, path: Path, journal: Journal
) -> None:
    async def refused(error: type[Exception], **options: Any) -> Any:
        with unchanged(tmp_path), pytest.raises(error) as caught:
            await reelbase.connect(path, read_only=True, **options)
        return caught.value

    def mark(version: int) -> None:
        with closing(sqlite3.connect(path)) as native:
            native.execute(f"PRAGMA user_version = {version}").close()

    mark(reelbase.SCHEMA_VERSION + 1)
    assert (await refused(SchemaError)).code == "newer"
    mark(reelbase.SCHEMA_VERSION - 1)
    older = await refused(SchemaError)
    assert older.code == "older"
    assert "without read_only" in str(older)
    mark(reelbase.SCHEMA_VERSION)
    folder = tmp_path / "steps"
    folder.mkdir()
    (folder / "0001_own.sql").write_text("CREATE TABLE own (x INTEGER) STRICT;")
    own = reelbase.Migrations("app", folder)
    pending = await refused(SchemaError, migrations=own)
    assert pending.code == "older"
    assert f"or run `reelbase migrate {path} --own app FOLDER`" in str(pending)
    with closing(sqlite3.connect(path)) as native:
        native.execute("DROP INDEX files_newest").close()
    assert (await refused(SchemaError)).code == "drifted"
    for content, error in ((b"", SchemaError), (b"no database " * 100, DatabaseCorruptError)):
        path = tmp_path / "other.db"
        path.write_bytes(content)
        await refused(error)
    path = tmp_path / "none.db"
    assert (await refused(DatabaseIOError)).code == "missing"
    path = tmp_path / "no folder" / "media.db"
    assert (await refused(DatabaseIOError)).code == "missing"


async def test_in_memory_there_is_nothing_to_read() -> None:
    with pytest.raises(InvalidArgumentError, match="read_only") as caught:
        await reelbase.connect(":memory:", read_only=True)
    assert caught.value.parameter == "read_only"


# Writes.

WRITES: dict[str, Callable[[Database], Awaitable[object]]] = {
    "a repository": lambda database: database.profiles.ensure("p"),
    "a claim": lambda database: database.jobs.claim("w"),
    "execute": lambda database: database.execute("DELETE FROM files"),
    "execute_many": lambda database: database.execute_many(
        "DELETE FROM files WHERE id = ?", [("a",)]
    ),
    "RETURNING": lambda database: database.fetch_all(str, "DELETE FROM files RETURNING id"),
    "WITH": lambda database: database.fetch_all(
        str, "WITH a AS (SELECT 1) DELETE FROM files RETURNING id"
    ),
    "DDL": lambda database: database.execute("CREATE TABLE own (x)"),
    "a unit": lambda database: database.transaction().__aenter__(),
    "optimize": lambda database: database.optimize(),
    "vacuum": lambda database: database.vacuum(),
    "checkpoint": lambda database: database.checkpoint(),
    "rebuild_search": lambda database: database.rebuild_search(),
}


@pytest.mark.parametrize("what", WRITES)
async def test_a_write_is_refused_in_one_way(path: Path, what: str) -> None:
    with unchanged(path.parent):
        async with reelbase.connect(path, read_only=True) as database:
            for _ in range(2):
                with pytest.raises(DatabaseReadOnlyError) as caught:
                    await WRITES[what](database)
                assert caught.value.code == "read_only"
                assert str(path) in str(caught.value)
                assert "without read_only" in str(caught.value)
            assert await database.profiles.count() == 0


async def test_what_a_check_did_not_look_at_is_said(path: Path) -> None:
    async with reelbase.connect(path, read_only=True) as database:
        report = await database.check()
    assert report.ok
    assert "search indexes" not in report.looked_at
    assert any("search indexes" in warning for warning in report.warnings)


@pytest.mark.long
async def test_upkeep_leaves_the_log_alone(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upkeep, "_CYCLE_SECONDS", 0.02)
    monkeypatch.setattr(upkeep, "WAL_LIMIT_BYTES", 0)
    die_writing(path, journal)
    with unchanged(path.parent):
        async with reelbase.connect(path, read_only=True) as database:
            await asyncio.sleep(0.2)
            assert await database.profiles.count() == 1
    assert caplog.records == []


# Places where nothing can be written.


def read_there(
    path: Path, copy: Path, *, prefix: list[str] | None = None, body: str = READ_ALL
) -> dict[str, Any]:
    done = subprocess.run(
        [*(prefix or []), sys.executable, "-B", "-c", prepared(body), path, copy],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may look into, unlike those of pytest."""
    with TemporaryDirectory(prefix="reelbase-") as name:
        place = Path(name)
        place.chmod(0o755)
        yield place
        place.chmod(0o755)


def only_to_be_read(place: Path) -> None:
    for entry in place.iterdir():
        entry.chmod(0o444)
    place.chmod(0o555)


@pytest.mark.long
@ROOT_ONLY
@pytest.mark.parametrize("left", ["nothing", "what a kill leaves"])
def test_as_a_user_who_may_only_read(
    filled: Path, journal: Journal, public: Path, left: str
) -> None:
    if left != "nothing":
        die_writing(filled, journal)
    place = public / "place"
    shutil.copytree(filled.parent, place)
    only_to_be_read(place)
    elsewhere = public / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    with unchanged(place):
        told = read_there(place / filled.name, elsewhere / "copy.db", body=AS_NOBODY + READ_ALL)
    expected = ["first"] if left == "nothing" else ["first", "last"]
    assert told == {"seen": expected, "problems": [], "refused": "read_only"}


@pytest.mark.long
@ROOT_ONLY
def test_a_log_that_cannot_be_read_there_is_refused(
    filled: Path, journal: Journal, public: Path
) -> None:
    if journal != "wal":
        pytest.skip("there is no such log")
    die_writing(filled, "wal")
    place = public / "place"
    shutil.copytree(filled.parent, place, ignore=shutil.ignore_patterns("*-shm"))
    only_to_be_read(place)
    body = """
    async def main():
        try:
            await reelbase.connect(sys.argv[1], read_only=True)
        except reelbase.DatabaseIOError as error:
            print(json.dumps({"code": error.code, "message": str(error)}))

    import json
    asyncio.run(main())
    """
    with unchanged(place):
        told = read_there(place / filled.name, public, body=AS_NOBODY + textwrap.dedent(body))
    assert told["code"] == "needs_recovery"
    assert "copy the file and its -wal" in told["message"]


FILESYSTEMS = {
    "tmpfs": 'mount -t tmpfs none "$1" && cp -p "$2"/* "$1"/ && mount -o remount,ro "$1"',
    "a bind mount": 'mount --bind "$2" "$1" && mount -o remount,ro,bind "$1"',
    "overlay": (
        'mount -t tmpfs none "$1" && cp -a "$2" "$1/lower" && mkdir "$1/empty" && '
        'mount -t overlay -o "lowerdir=$1/lower:$1/empty" none "$1"'
    ),
    "squashfs": 'mksquashfs "$2" "$1.squashfs" -quiet -no-progress && mount "$1.squashfs" "$1"',
}


@pytest.mark.long
@ROOT_ONLY
@pytest.mark.parametrize("left", ["nothing", "what a kill leaves"])
@pytest.mark.parametrize("filesystem", FILESYSTEMS)
def test_on_a_filesystem_that_is_read_only(
    filled: Path, journal: Journal, folder: Path, filesystem: str, left: str
) -> None:
    path = filled
    if filesystem == "squashfs" and shutil.which("mksquashfs") is None:
        pytest.skip("no mksquashfs here")
    if left != "nothing":
        die_writing(path, journal)
    place = folder / "place"
    place.mkdir()
    mounting = f'{FILESYSTEMS[filesystem]} || exit 77; shift 2; exec "$@"'
    prefix = ["unshare", "--mount", "sh", "-c", mounting, "sh", str(place), str(path.parent)]
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    Path(f"{place}.squashfs").unlink(missing_ok=True)
    if tried.returncode == 77:
        pytest.skip(f"no {filesystem} here: {tried.stderr.decode()}")
    with unchanged(path.parent):
        told = read_there(place / path.name, folder / "copy.db", prefix=prefix)
    expected = ["first"] if left == "nothing" else ["first", "last"]
    assert told == {"seen": expected, "problems": [], "refused": "read_only"}


@pytest.mark.long
@ROOT_ONLY
async def test_through_a_read_only_mount_of_what_another_process_writes(
    path: Path, journal: Journal, folder: Path
) -> None:
    place = folder / "place"
    place.mkdir()
    mounting = f'{FILESYSTEMS["a bind mount"]} || exit 77; shift 2; exec "$@"'
    prefix = ["unshare", "--mount", "sh", "-c", mounting, "sh", str(place), str(path.parent)]
    async with reelbase.connect(path, journal=journal) as writing:
        for n in range(1, 4):
            await writing.profiles.ensure(f"p{n}")
            copy = folder / f"copy{n}.db"
            assert len(read_there(place / path.name, copy, prefix=prefix)["seen"]) == n


# Read without locks.


@pytest.fixture
def nothing_can_be_written(monkeypatch: pytest.MonkeyPatch, journal: Journal) -> None:
    if journal != "wal":
        pytest.skip("a file with a rollback journal is read under locks everywhere")
    monkeypatch.setattr(read_only, "_can_be_written", lambda real: False)


@pytest.mark.long
@pytest.mark.usefixtures("nothing_can_be_written")
async def test_what_another_process_changes_is_never_given_half(filled: Path) -> None:
    path = filled
    with unchanged(path.parent):
        database = await reelbase.connect(path, read_only=True)
        assert await database.profiles.count() == 1
        snapshot = database.snapshot()
        view = await snapshot.__aenter__()
        rows = database.stream(str, "SELECT name FROM sqlite_schema", batch=1)
        await anext(rows)
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    target = path.with_name("copy.db")
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "read": database.profiles.count,
        "by key": lambda: database.profiles.find("first"),
        "raw": lambda: database.fetch_all(str, "SELECT id FROM profiles"),
        "snapshot": view.profiles.count,
        "stream": rows.__anext__,
        "backup": lambda: database.backup(target),
        "stats": database.stats,
    }
    async with reelbase.connect(path) as writing:
        # One that has it open has changed nothing yet.
        assert await database.profiles.count() == 1
        await writing.profiles.ensure("second")
        for name, call in calls.items():
            with pytest.raises(DatabaseIOError) as caught:
                await call()
            assert caught.value.code == "changed", name
        assert not target.exists()
    del calls["stream"]  # which is closed
    for call in calls.values():  # the log is gone, but the file is not what it was
        with pytest.raises(DatabaseIOError, match="changed"):
            await call()
    rows.close()
    await snapshot.__aexit__(None, None, None)
    await database.close()
    async with reelbase.connect(path, read_only=True) as again:
        assert await again.profiles.count() == 2


@pytest.mark.usefixtures("nothing_can_be_written")
async def test_a_change_just_before_is_told_from_one_just_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two changes within a tick of the filesystem's clock have the same time."""
    pauses: list[float] = []
    now = time.time_ns()
    for age_seconds, is_coarse, expected in (
        (60, False, 0),
        (0.005, False, 0.015),
        (0.5, True, 1.5),
    ):
        modified = now - int(age_seconds * 1e9)
        if is_coarse:
            modified -= modified % 1_000_000_000
        elif modified % 1_000_000_000 == 0:
            modified += 1
        os.utime(path, ns=(modified, modified))
        pauses.clear()
        clock = SimpleNamespace(
            time=lambda at=modified, by=age_seconds: at / 1e9 + by, sleep=pauses.append
        )
        monkeypatch.setattr(unlocked, "time", clock)
        unlocked.Unlocked(str(path))
        assert sum(pauses) == pytest.approx(expected, abs=0.001)


# Commands.


COMMANDS = [
    ("inspect", "{path}"),
    ("check", "{path}"),
    ("check", "--full", "{path}"),
    ("version", "{path}"),
    ("history", "{path}"),
    ("export", "{path}", "{folder}/export.ndjson"),
    ("backup", "{path}", "{folder}/copy.db"),
    ("migrate", "--dry-run", "{path}"),
    ("restore", "{path}", "{folder}/restored.db"),
]


@pytest.mark.long
@pytest.mark.parametrize("left", ["nothing", "what a kill leaves", "a log without its index"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_that_only_reads_changes_nothing(
    path: Path, journal: Journal, folder: Path, command: tuple[str, ...], left: str
) -> None:
    if left != "nothing":
        die_writing(path, journal)
    if left == "a log without its index":
        Path(f"{path}-shm").unlink(missing_ok=True)
    arguments = [word.format(path=path, folder=folder) for word in command]
    with unchanged(path.parent):
        assert run(*arguments) == 0


@pytest.mark.long
@ROOT_ONLY
@pytest.mark.parametrize("left", ["nothing", "what a kill leaves"])
def test_commands_on_a_filesystem_that_is_read_only(
    filled: Path, journal: Journal, folder: Path, left: str
) -> None:
    if left != "nothing":
        die_writing(filled, journal)
    place = folder / "place"
    place.mkdir()
    mounting = f'{FILESYSTEMS["tmpfs"]} || exit 77; shift 2; exec "$@"'
    prefix = ["unshare", "--mount", "sh", "-c", mounting, "sh", str(place), str(filled.parent)]
    body = f"""
    import contextlib, io, json
    from reelbase.cli.main import main
    codes = {{}}
    for command in {COMMANDS!r}:
        words = [word.format(path=sys.argv[1], folder=sys.argv[2]) for word in command]
        with contextlib.redirect_stdout(io.StringIO()):
            codes[" ".join(command)] = main(words)
    print(json.dumps(codes))
    """
    codes = read_there(place / filled.name, folder, prefix=prefix, body=textwrap.dedent(body))
    assert codes == dict.fromkeys(map(" ".join, COMMANDS), 0)


@pytest.mark.long
def test_an_older_database_is_looked_at_as_it_is(
    tmp_path: Path, folder: Path, journal: Journal, facts: Callable[..., Any]
) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute(f"PRAGMA journal_mode = {journal}").close()
        for migration in migrations()[:5]:
            native.executescript(f"BEGIN; {migration.sql}; COMMIT")
            native.execute(
                "INSERT INTO schema_migrations (version, name, checksum) VALUES (?, ?, ?)",
                (migration.version, migration.name, migration.checksum),
            )
    with unchanged(tmp_path):
        assert facts("inspect", path)["schema_version"] == 5
        assert facts("check", path)["schema_version"] == 5
        assert facts("version", path)["database"] == 5
        assert facts("migrate", "--dry-run", path)["from_version"] == 5
        assert run("backup", path, folder / "copy.db") == 0
        assert run("export", path, folder / "export.ndjson") == 0
