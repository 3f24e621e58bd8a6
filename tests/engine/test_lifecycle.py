"""Promises about opening and closing: what is refused is not touched, what is forgotten does not hang."""

from __future__ import annotations

import asyncio
import builtins
import errno
import gc
import os
import re
import socket
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from scripts import prepared, script

import reelbase
from reelbase import (
    Database,
    DatabaseBusyError,
    DatabaseClosedError,
    DatabaseCorruptError,
    DatabaseError,
    DatabaseIOError,
    SchemaError,
)
from reelbase.engine.file import new_file
from reelbase.engine.file.open_files import OpenFile
from reelbase.engine.file.side_files import refuse_leftovers

Connect = Callable[..., Any]
Look = Callable[[str], list[tuple[object, ...]]]

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
COUNTING = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"


@pytest.fixture
def connect(journal: str) -> Connect:
    """connect() in the journal mode of this run."""

    def connect(path: str | os.PathLike[str], **options: Any) -> Any:
        settings: dict[str, Any] = {"journal": journal, **options}
        return reelbase.connect(path, **settings)

    return connect


def files_of(path: Path) -> dict[str, bytes]:
    """Name and bytes of a database and its side files. Only for files that nobody has open."""
    return {
        entry.name: entry.read_bytes()
        for entry in sorted(path.parent.iterdir())
        if entry.name.startswith(path.name) and entry.is_file()
    }


def side_files(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir() if entry.name != path.name)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def permitted(path: Path, mode: int) -> Iterator[None]:
    """Gives it other permissions for the length of the block."""
    before = mode_of(path)
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


@contextmanager
def plain(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=1)) as connection:
        yield connection


def header(path: Path) -> tuple[str, int]:
    with plain(path) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return str(mode), int(objects)


def assert_one_schema(connection: sqlite3.Connection) -> None:
    versions = connection.execute(
        "SELECT version FROM schema_migrations ORDER BY version"
    ).fetchall()
    assert versions == [(version,) for version in range(1, reelbase.SCHEMA_VERSION + 1)]


async def refused(connecting: Any, error: type[BaseException]) -> Any:
    with pytest.raises(error) as caught:
        await connecting
    return caught.value


# Opening.


async def test_connect_can_be_awaited(connect: Connect, tmp_path: Path) -> None:
    database: Database = await connect(tmp_path / "new.db")
    try:
        assert not database.closed
        assert database.path == tmp_path / "new.db"
        assert database.schema_version == reelbase.SCHEMA_VERSION
        await database.profiles.ensure("p")
    finally:
        await database.close()
    assert database.closed


@pytest.mark.long
async def test_connect_is_an_async_context_manager(connect: Connect, tmp_path: Path) -> None:
    async with connect(tmp_path / "new.db") as database:
        await database.profiles.ensure("p")
    assert database.closed
    async with connect(tmp_path / "new.db") as database:
        assert await database.profiles.exists("p")


async def test_an_exception_in_the_block_closes_the_database(connect: Connect, path: Path) -> None:
    opened: list[Database] = []

    async def failing() -> None:
        async with connect(path) as database:
            opened.append(database)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()
    assert opened[0].closed
    assert side_files(path) == []


async def test_connect_is_lazy(tmp_path: Path) -> None:
    reelbase.connect(tmp_path / "new.db")
    assert side_files(tmp_path / "new.db") == []
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"path": ""}, ValueError),
        ({"path": "nul\0byte"}, ValueError),
        ({"path": b"bytes.db"}, TypeError),
        ({"path": 7}, TypeError),
        ({"path": None}, TypeError),
        ({"journal": "memory"}, ValueError),
        ({"journal": "WAL"}, ValueError),
        ({"durability": "paranoid"}, ValueError),
        ({"busy_timeout": -1}, ValueError),
        ({"busy_timeout": float("nan")}, ValueError),
        ({"slow_transaction": -0.1}, ValueError),
        ({"slow_query": -0.1}, ValueError),
        ({"readers": 0}, ValueError),
        ({"readers": -1}, ValueError),
        ({"nonsense": 1}, TypeError),
    ],
)
async def test_wrong_options_are_refused_before_anything_is_made(
    tmp_path: Path, options: dict[str, Any], error: type[Exception]
) -> None:
    settings: dict[str, Any] = {"path": tmp_path / "new.db", **options}

    async def opening() -> None:
        async with reelbase.connect(**settings):
            pass

    with pytest.raises(error):
        await opening()
    assert names(tmp_path) == []


def test_a_choice_that_is_none_is_refused_at_the_call() -> None:
    for option in ("journal", "durability"):
        wrong: Any = {option: "WAL2"}
        with pytest.raises(reelbase.InvalidArgumentError, match=f"{option}: must be one of"):
            reelbase.connect(":memory:", **wrong)


async def test_a_plain_with_is_told_how_to_enter() -> None:
    async with reelbase.connect(":memory:") as database:
        for context, says in (
            (reelbase.connect(":memory:"), "`async with reelbase.connect(path) as database:`"),
            (database.transaction(), "`async with database.transaction() as unit:`"),
            (database.snapshot(), "`async with database.snapshot() as view:`"),
        ):
            entered: Any = context
            with pytest.raises(TypeError, match=re.escape(says)), entered:
                pass


def test_what_connect_returns_is_told_from_a_database() -> None:
    opening: Any = reelbase.connect(":memory:")
    with pytest.raises(AttributeError, match=r"no 'files': `database = await reelbase.connect"):
        _ = opening.files
    assert not hasattr(opening, "files")


async def test_a_missing_table_of_the_application_names_its_migrations(database: Database) -> None:
    with pytest.raises(DatabaseError, match=r"no such table: bookmarks; .*connect\(migrations=…\)"):
        await database.fetch_one(int, "SELECT count(*) FROM bookmarks")


async def test_a_naive_clock_is_refused(tmp_path: Path) -> None:
    from datetime import datetime

    await refused(
        reelbase.connect(tmp_path / "new.db", clock=lambda: datetime(2026, 1, 1)), ValueError
    )


async def test_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with reelbase.connect(":memory:") as database:
        assert database.path is None
        assert database.journal.mode == "memory"
        await database.profiles.ensure("p")
        assert await database.profiles.exists("p")
        async with reelbase.connect(":memory:") as other:
            assert not await other.profiles.exists("p")
    assert names(tmp_path) == []


async def test_a_relative_path_is_of_the_folder_at_the_time(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with connect("here.db") as database:
        assert database.path == tmp_path / "here.db"
        monkeypatch.chdir("/")
        async with database.snapshot() as view:  # opens one more connection
            assert await view.profiles.count() == 0
    assert (tmp_path / "here.db").exists()


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        "a?mode=memory",
        "a#fragment",
        "100%41.db",
        "%2e%2e",
        "with spaces .db",
        "ünï日本🎞.db",
        "file:a.db",
        "file:a?vfs=x",
        "quote'\".db",
        "-x.db",
        "semi;colon&amp=1.db",
        " leading.db",
        "new\nline.db",
        "back\\slash.db",
    ],
)
async def test_a_name_is_taken_literally(connect: Connect, tmp_path: Path, name: str) -> None:
    async with connect(tmp_path / name) as database:
        await database.profiles.ensure("p")
    async with connect(str(tmp_path / name), create=False) as database:
        assert await database.profiles.exists("p")
        async with database.snapshot() as view:
            assert await view.profiles.exists("p")
    assert names(tmp_path) == [name]


async def test_missing_folders_are_made(connect: Connect, tmp_path: Path) -> None:
    async with connect(tmp_path / "a" / "b" / "c" / "new.db") as database:
        await database.profiles.ensure("p")
    assert (tmp_path / "a" / "b" / "c" / "new.db").is_file()


async def test_create_false_makes_neither_file_nor_folder(connect: Connect, tmp_path: Path) -> None:
    for missing in (tmp_path / "new.db", tmp_path / "folder" / "new.db"):
        error = await refused(connect(missing, create=False), DatabaseIOError)
        assert str(missing) in str(error)
    assert names(tmp_path) == []


async def test_a_folder_that_is_a_file_is_refused(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    await refused(connect(tmp_path / "file" / "new.db"), DatabaseIOError)
    await refused(connect(tmp_path / "file" / "folder" / "new.db"), DatabaseIOError)


async def test_a_symlink_is_followed(connect: Connect, path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "link.db").symlink_to(path)
    async with connect(folder / "link.db") as database, connect(path) as other:
        await database.profiles.ensure("p")
        assert await other.profiles.exists("p")
    assert names(folder) == ["link.db"]
    assert side_files(path) == ["elsewhere"]


async def test_a_dangling_symlink_makes_the_file_it_points_to(
    connect: Connect, tmp_path: Path
) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "target.db")
    async with connect(tmp_path / "link.db") as database:
        await database.profiles.ensure("p")
    assert names(tmp_path) == ["link.db", "target.db"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_new_files_are_for_their_owner_only(
    connect: Connect, tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        async with connect(tmp_path / "new.db") as database, database.transaction() as unit:
            await unit.profiles.ensure("p")
            found = names(tmp_path)
            assert len(found) > 1  # -wal and -shm, or -journal
            assert {mode_of(tmp_path / name) for name in found} == {0o600}
    finally:
        os.umask(before)


async def test_an_existing_file_keeps_its_permissions(connect: Connect, path: Path) -> None:
    with permitted(path, 0o640):
        async with connect(path) as database:
            await database.profiles.ensure("p")
        assert mode_of(path) == 0o640


async def test_an_empty_file_becomes_a_database(connect: Connect, tmp_path: Path) -> None:
    target = tmp_path / "empty.db"
    target.touch()
    async with connect(target, create=False) as database:
        await database.profiles.ensure("p")


@pytest.mark.long
async def test_what_the_sqlite3_program_made_is_opened(connect: Connect, tmp_path: Path) -> None:
    target = tmp_path / "made.db"
    with plain(target) as connection:
        connection.executescript(reelbase.schema_sql())
    async with connect(target) as database:
        await database.profiles.ensure("p")


@pytest.mark.long
async def test_tables_of_the_users_own_may_be_in_the_file(connect: Connect, path: Path) -> None:
    with plain(path) as connection:
        connection.execute("CREATE TABLE mine (x)")
        connection.execute("CREATE INDEX mine_files ON files (path)")
        connection.execute("CREATE VIEW mine_view AS SELECT id FROM files")
    async with connect(path) as database:
        assert await database.fetch_all(int, "SELECT count(*) FROM mine") == [0]


# What is refused, and not touched.


def our_database(path: Path) -> None:
    with plain(path) as connection:
        connection.executescript(reelbase.schema_sql())


def foreign(path: Path) -> None:
    with plain(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
        connection.execute("INSERT INTO theirs VALUES ('precious')")


def foreign_in_wal(path: Path) -> None:
    """In WAL mode, with a log that nobody has checkpointed: its process was killed."""
    body = """
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE theirs (x)")
    connection.execute("INSERT INTO theirs VALUES ('precious')")
    os.kill(os.getpid(), 9)
    """
    script(body, path)
    assert Path(f"{path}-wal").stat().st_size > 0


def foreign_in_wal_without_shm(path: Path) -> None:
    foreign_in_wal(path)
    Path(f"{path}-shm").unlink()


KILLED_IN_A_WRITE = """
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA application_id = " + sys.argv[2])
connection.execute("CREATE TABLE theirs (x)")
connection.execute("INSERT INTO theirs VALUES ('precious')")
connection.execute("PRAGMA cache_size = 2")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE theirs SET x = zeroblob(100000)")
connection.executemany("INSERT INTO theirs VALUES (zeroblob(?))", [(10000,)] * 50)
os.kill(os.getpid(), 9)
"""


def foreign_with_hot_journal(path: Path) -> None:
    """In the middle of a large write when its process was killed."""
    script(KILLED_IN_A_WRITE, path, 42)
    assert Path(f"{path}-journal").stat().st_size > 0


def empty_with_an_application_id(path: Path) -> None:
    with plain(path) as connection:
        connection.execute("PRAGMA application_id = 42")


def newer(path: Path) -> None:
    our_database(path)
    with plain(path) as connection:
        connection.execute(f"PRAGMA user_version = {reelbase.SCHEMA_VERSION + 1}")


def newer_in_wal(path: Path) -> None:
    newer(path)
    with plain(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def unversioned(path: Path) -> None:
    our_database(path)
    with plain(path) as connection:
        connection.execute("PRAGMA user_version = 0")


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 64)


def text(path: Path) -> None:
    path.write_text("No database, just a text that is longer than a header of SQLite.\n" * 20)


def short_text(path: Path) -> None:
    path.write_text("ab")  # of one byte, SQLite itself says that it is empty


def truncated(path: Path) -> None:
    our_database(path)
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def truncated_to_a_header(path: Path) -> None:
    our_database(path)
    os.truncate(path, 100)


REFUSED: list[tuple[Callable[[Path], None], type[DatabaseError], str | None]] = [
    (foreign, SchemaError, "foreign"),
    (foreign_in_wal, SchemaError, "foreign"),
    (foreign_in_wal_without_shm, SchemaError, "foreign"),
    (foreign_with_hot_journal, SchemaError, "foreign"),
    (empty_with_an_application_id, SchemaError, "foreign"),
    (newer, SchemaError, "newer"),
    (newer_in_wal, SchemaError, "newer"),
    (unversioned, SchemaError, None),
    (garbage, DatabaseCorruptError, None),
    (text, DatabaseCorruptError, None),
    (short_text, DatabaseCorruptError, None),
    (truncated, DatabaseCorruptError, None),
    (truncated_to_a_header, DatabaseCorruptError, None),
]


@pytest.mark.long
@pytest.mark.parametrize(
    ("make", "error", "code"), REFUSED, ids=[m.__name__ for m, _, _ in REFUSED]
)
@pytest.mark.parametrize("create", [True, False])
async def test_what_is_not_ours_is_refused_and_not_touched(
    connect: Connect,
    tmp_path: Path,
    make: Callable[[Path], None],
    error: type[DatabaseError],
    code: str | None,
    create: bool,
) -> None:
    target = tmp_path / "file.db"
    make(target)
    before = files_of(target)
    for journal in ("wal", "delete"):
        found = await refused(connect(target, journal=journal, create=create), error)
        assert code is None or found.code == code
        assert str(target) in str(found)
    after = files_of(target)
    # The -shm is shared memory, rebuilt from the -wal by whoever opens the file.
    for files in (before, after):
        files.pop(f"{target.name}-shm", None)
    assert after.keys() - before.keys() <= {f"{target.name}-wal"}
    assert after.get(f"{target.name}-wal", b"") == before.get(f"{target.name}-wal", b"")
    assert {name: after.get(name) for name in before} == before


@pytest.mark.long
async def test_a_refused_foreign_file_can_still_be_used_by_its_owner(
    connect: Connect, tmp_path: Path
) -> None:
    target = tmp_path / "file.db"
    foreign_in_wal(target)
    with plain(target) as owner:
        owner.execute("INSERT INTO theirs VALUES ('more')")
        await refused(connect(target), SchemaError)
        owner.execute("INSERT INTO theirs VALUES ('yet more')")
        assert owner.execute("SELECT count(*) FROM theirs").fetchone() == (3,)


@pytest.mark.long
async def test_a_foreign_file_with_a_hot_journal_loses_nothing(
    connect: Connect, tmp_path: Path
) -> None:
    """Without an application_id it cannot be told from ours before the journal is rolled back."""
    target = tmp_path / "file.db"
    script(KILLED_IN_A_WRITE, target, 0)
    assert (await refused(connect(target), SchemaError)).code == "foreign"
    with plain(target) as owner:
        assert owner.execute("SELECT x FROM theirs").fetchall() == [("precious",)]


async def test_a_directory_is_refused(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    error = await refused(connect(tmp_path / "folder"), DatabaseIOError)
    assert error.code == "directory"
    assert f"name the file in it, such as {tmp_path}/folder/media.db" in str(error)


async def test_what_is_no_regular_file_is_refused(connect: Connect, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for special in (tmp_path / "fifo", tmp_path / "socket", Path("/dev/null")):
            await refused(asyncio.wait_for(connect(special), 5), DatabaseIOError)


async def test_a_hard_linked_file_is_refused(connect: Connect, path: Path, tmp_path: Path) -> None:
    os.link(path, tmp_path / "other name.db")
    before = files_of(path)
    for name in (path, tmp_path / "other name.db"):
        assert (await refused(connect(name), SchemaError)).code == "hard_linked"
    assert files_of(path) == before
    assert len(side_files(path)) == 1


async def test_a_circle_of_links_is_refused(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    await refused(connect(tmp_path / "a"), DatabaseIOError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write where permissions say no")
async def test_a_read_only_file_is_refused(connect: Connect, path: Path) -> None:
    before = files_of(path)
    with permitted(path, 0o400):
        await refused(connect(path), DatabaseError)
    assert files_of(path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write where permissions say no")
async def test_a_read_only_folder_is_refused(connect: Connect, tmp_path: Path) -> None:
    with permitted(tmp_path, 0o500):
        await refused(connect(tmp_path / "new.db"), DatabaseIOError)


async def test_a_folder_that_cannot_be_written_is_refused_with_its_reason(
    connect: Connect,
) -> None:
    error = await refused(connect("/proc/reelbase/new.db"), DatabaseIOError)
    assert "/proc/reelbase/new.db" in str(error)
    await refused(connect("/proc/new.db"), DatabaseIOError)


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_somebody_without_permission_is_refused(tmp_path: Path, path: Path, what: str) -> None:
    body = """
    async def main():
        try:
            async with reelbase.connect(sys.argv[1], journal=sys.argv[2]) as database:
                await database.profiles.ensure("p")
        except reelbase.DatabaseError as error:
            print(type(error).__name__)

    # The package's own files may lie where only root can look.
    from reelbase.engine.schema.chain import migrations
    migrations(), reelbase.schema_sql()
    os.setgid(65534)
    os.setuid(65534)
    asyncio.run(main())
    """
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    path.chmod(0o444)
    before = path.read_bytes()
    target = path if what == "file" else tmp_path / "new.db"
    for journal in ("wal", "delete"):
        done = script(body, target, journal)
        assert done.stdout.strip() in {"DatabaseIOError", "DatabaseReadOnlyError"}, done
    assert path.read_bytes() == before
    assert side_files(path) == []


# After a crash.


@pytest.mark.long
@pytest.mark.parametrize("mode", ["wal", "delete"])
@pytest.mark.parametrize("then", ["wal", "delete"])
async def test_a_database_is_opened_after_its_process_was_killed(
    path: Path, connect: Connect, mode: str, then: str
) -> None:
    """The killed unit had written more than fits into the cache: it left a hot journal, or a WAL."""
    body = """
    async def main():
        database = await reelbase.connect(sys.argv[1], journal=sys.argv[2])
        await database.profiles.ensure("kept")
        async with database.transaction() as unit:
            await unit.execute("CREATE TABLE big (x)")
            await unit.execute_many("INSERT INTO big VALUES (zeroblob(1000000))", [()] * 25)
            await unit.execute("UPDATE profiles SET id = 'torn'")
            os.kill(os.getpid(), 9)
    asyncio.run(main())
    """
    script(body, path, mode)
    assert side_files(path) != []
    async with connect(path, journal=then) as database:
        assert [profile.id for profile in await database.profiles.list()] == ["kept"]
    assert side_files(path) == []


@pytest.mark.long
async def test_a_file_whose_creation_was_killed_is_completed(
    connect: Connect, tmp_path: Path
) -> None:
    body = """
    from reelbase.engine.maintenance import upgrade
    whole = upgrade.statements_of

    def half(script):
        for n, statement in enumerate(whole(script)):
            if n == 10:
                os.kill(os.getpid(), 9)
            yield statement

    upgrade.statements_of = half
    asyncio.run(reelbase.connect(sys.argv[1], journal=sys.argv[2]).__aenter__())
    """
    target = tmp_path / "new.db"
    for mode in ("wal", "delete"):
        assert script(body, target, mode).returncode == -9
    async with connect(target) as database:
        await database.profiles.ensure("p")


# Several at once.


@pytest.mark.long
async def test_two_connects_at_once_on_a_fresh_file(connect: Connect, tmp_path: Path) -> None:
    for n in range(5):
        target = tmp_path / f"{n}.db"
        databases = await asyncio.gather(*(connect(target) for _ in range(4)))
        await asyncio.gather(
            *(database.profiles.ensure(str(i)) for i, database in enumerate(databases))
        )
        assert await databases[0].profiles.count() == 4
        await asyncio.gather(*(database.close() for database in databases))
        with plain(target) as connection:
            assert_one_schema(connection)
    assert len(names(tmp_path)) == 5


def test_a_file_that_another_process_makes_at_this_moment_has_a_log_of_its_own(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = refuse_leftovers

    def after_the_other_process(target: Path) -> None:
        path.touch()
        path.with_name(f"{path.name}-journal").write_bytes(b"its first transaction")
        refuse(target)

    monkeypatch.setattr(new_file, "refuse_leftovers", after_the_other_process)
    assert not new_file.make(path)


@pytest.mark.long
def test_eight_processes_at_once_on_a_fresh_file(tmp_path: Path, journal: str) -> None:
    body = """
    async def main():
        async with reelbase.connect(sys.argv[1], journal=sys.argv[2]) as database:
            for n in range(5):
                await database.profiles.ensure(f"{os.getpid()} {n}")

    while time.time() < float(sys.argv[3]):
        pass
    asyncio.run(main())
    """
    target = tmp_path / "new.db"
    start = time.time() + 1.5
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", prepared(body), str(target), journal, str(start)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    results = [(process.communicate(timeout=30)[1], process.returncode) for process in processes]
    assert results == [("", 0)] * 8
    with plain(target) as connection:
        assert_one_schema(connection)
        assert connection.execute("SELECT count(*) FROM profiles").fetchone() == (40,)
    assert side_files(target) == []


# The journal mode.


@pytest.mark.long
async def test_a_wal_file_is_converted_to_a_rollback_journal_and_back(tmp_path: Path) -> None:
    target = tmp_path / "new.db"
    for mode in ("wal", "delete", "wal", "delete"):
        settings: dict[str, Any] = {"journal": mode}
        async with reelbase.connect(target, **settings) as database:
            assert database.journal.mode == mode
            assert await database.fetch_one(str, "PRAGMA journal_mode") == mode
            await database.profiles.ensure(f"{mode}")
        assert header(target)[0] == mode
        assert side_files(target) == []
    with plain(target) as connection:
        assert connection.execute("SELECT count(*) FROM profiles").fetchone() == (2,)


@pytest.mark.long
@pytest.mark.parametrize(("has", "wants"), [("wal", "delete"), ("delete", "wal")])
async def test_a_conversion_is_refused_while_another_process_has_the_file_open(
    tmp_path: Path, has: str, wants: str
) -> None:
    body = """
    async def main():
        async with reelbase.connect(sys.argv[1], journal=sys.argv[2]) as database:
            await database.profiles.ensure("theirs")
            async with database.snapshot() as view:
                await view.profiles.list()
                print("open", flush=True)
                sys.stdin.readline()

    asyncio.run(main())
    """
    target = tmp_path / "new.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        prepared(body),
        str(target),
        has,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"open\n"
    settings: dict[str, Any] = {"journal": wants, "busy_timeout": 0.3}
    started = time.monotonic()
    error = await refused(reelbase.connect(target, **settings), DatabaseBusyError)
    assert time.monotonic() - started < 5
    assert wants in str(error)
    process.stdin.write(b"\n")
    await process.communicate()
    assert process.returncode == 0
    assert header(target)[0] == has
    async with reelbase.connect(target, **settings) as database:
        assert await database.profiles.exists("theirs")
        assert database.journal.mode == wants


async def test_a_read_connection_of_ours_does_not_convert_anything(
    connect: Connect, path: Path, journal: str
) -> None:
    async with connect(path) as database, database.snapshot() as view:
        assert await view.fetch_one(str, "PRAGMA journal_mode") == journal


# What is in force on every connection.


async def pragma_values(
    run: Callable[[Callable[[sqlite3.Connection], Any]], Any],
) -> dict[str, Any]:
    names = (
        "foreign_keys",
        "busy_timeout",
        "mmap_size",
        "query_only",
        "wal_autocheckpoint",
        "journal_mode",
        "synchronous",
    )

    def read(native: sqlite3.Connection) -> dict[str, Any]:
        return {name: native.execute(f"PRAGMA {name}").fetchone()[0] for name in names}

    values: dict[str, Any] = await run(read)
    return values


@pytest.mark.parametrize("durability", ["balanced", "full", "normal"])
async def test_every_pragma_is_in_force_on_every_connection(
    connect: Connect, path: Path, journal: str, durability: str
) -> None:
    common = {"foreign_keys": 1, "busy_timeout": 1250, "mmap_size": 0, "journal_mode": journal}
    async with connect(path, busy_timeout=1.25, durability=durability, readers=3) as database:
        await database.profiles.ensure("p")
        writer = await pragma_values(database._writer.call)
        assert writer == common | {
            "query_only": 0,
            "wal_autocheckpoint": writer["wal_autocheckpoint"],
            "synchronous": 3 if journal == "delete" else 1 if durability == "normal" else 2,
        }
        assert writer["wal_autocheckpoint"] > 0
        readers = database._readers
        assert readers is not None
        assert len(readers._pool) == 3
        borrowed = await readers.borrow("snapshot", "here")
        for reader in (*readers._pool, borrowed):

            async def call(work: Callable[[sqlite3.Connection], Any], reader: Any = reader) -> Any:
                return await reader.connection.call(lambda: work(reader.connection.native))

            values = await pragma_values(call)
            del values["synchronous"]
            assert values == common | {"query_only": 1, "wal_autocheckpoint": 0}
        readers.give_back(borrowed)


async def test_as_many_readers_as_the_journal_allows(connect: Connect, path: Path) -> None:
    for mode, count in (("wal", 2), ("delete", 1)):
        async with connect(path, journal=mode) as database:
            assert database._readers is not None
            assert len(database._readers._pool) == count


async def test_foreign_keys_hold_for_raw_sql_too(database: Database) -> None:
    with pytest.raises(reelbase.ConstraintError) as caught:
        await database.execute(
            "INSERT INTO files (id, profile_id, name, path) VALUES (?, 'nobody', 'n', 'p')",
            ("00000000-0000-7000-8000-000000000000",),
        )
    assert caught.value.kind == "foreign_key"


@pytest.mark.long
@pytest.mark.skipif(
    sys.platform != "linux", reason="the open files of a process are in Linux's /proc"
)
async def test_no_descriptor_of_the_file_is_closed_while_sqlite_has_it_open(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing one would drop every lock that the process holds."""
    target = tmp_path / "new.db"
    ours: dict[int, int] = {}  # descriptors of the file, and how they were opened
    closed: list[int] = []
    beside_sqlite: list[str] = []
    os_open, os_close, builtins_open = os.open, os.close, builtins.open

    def recording_os_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        descriptor = os_open(path, flags, *args, **kwargs)
        if os.fspath(path) == str(target) and not flags & os.O_PATH:  # which drops no lock
            ours[descriptor] = flags
        return descriptor

    def of_sqlite() -> list[str]:
        links = Path("/proc/self/fd").iterdir()
        return [link.name for link in links if int(link.name) not in ours and is_target(link)]

    def is_target(link: Path) -> bool:
        try:
            return os.readlink(link) == str(target)
        except FileNotFoundError:  # the descriptor that lists them
            return False

    def recording_close(descriptor: int) -> None:
        if descriptor in ours:
            beside_sqlite.extend(of_sqlite())
            closed.append(descriptor)
            del ours[descriptor]
        os_close(descriptor)

    def refusing_open(file: Any, *args: Any, **kwargs: Any) -> Any:
        assert str(file) != str(target)
        return builtins_open(file, *args, **kwargs)

    monkeypatch.setattr(os, "open", recording_os_open)
    monkeypatch.setattr(os, "close", recording_close)
    monkeypatch.setattr(builtins, "open", refusing_open)
    for _ in range(2):
        async with connect(target) as database, connect(target) as other:
            await database.profiles.ensure("p")
            async with other.snapshot() as view:
                await view.profiles.list()
            assert of_sqlite()
    monkeypatch.undo()
    assert beside_sqlite == []
    assert closed
    assert not ours


@pytest.mark.long
async def test_a_second_database_on_the_file_does_not_drop_the_locks_of_the_first(
    connect: Connect, path: Path
) -> None:
    body = """
    connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        print(error)
    """
    async with connect(path) as database, database.transaction() as unit:
        await unit.profiles.ensure("p")
        async with connect(path):
            pass
        with pytest.raises(SchemaError):
            await refuse_for_a_moment(connect, path)
        done = await asyncio.to_thread(script, body, path)
        assert done.stdout == "database is locked\n"


async def refuse_for_a_moment(connect: Connect, path: Path) -> None:
    """A connect that looks at the file and is refused."""
    os.link(path, f"{path}.link")
    try:
        await connect(path)
    finally:
        os.unlink(f"{path}.link")


# Closing.


async def test_close_is_idempotent(connect: Connect, path: Path) -> None:
    database: Database = await connect(path)
    for _ in range(3):
        await database.close()
    await asyncio.gather(*(database.close() for _ in range(5)))
    assert database.closed


async def test_concurrent_closes_all_wait_for_the_end(connect: Connect, path: Path) -> None:
    database: Database = await connect(path)
    await database.profiles.ensure("p")
    await asyncio.gather(*(database.close() for _ in range(10)))
    assert side_files(path) == []


async def test_close_runs_what_is_queued(connect: Connect, path: Path, look: Look) -> None:
    database: Database = await connect(path)
    writes = [asyncio.ensure_future(database.profiles.ensure(str(n))) for n in range(100)]
    reads = [asyncio.ensure_future(database.profiles.count()) for _ in range(50)]
    await asyncio.sleep(0)
    await database.close()
    assert len(await asyncio.gather(*writes)) == 100
    assert len(await asyncio.gather(*reads)) == 50
    assert look("SELECT count(*) FROM profiles") == [(100,)]


async def test_later_calls_are_refused(connect: Connect, path: Path) -> None:
    database: Database = await connect(path)
    files = database.files
    await database.close()
    calls: list[Callable[[], Any]] = [
        database.profiles.count,
        lambda: database.profiles.ensure("p"),
        lambda: files.find("00000000-0000-7000-8000-000000000000"),
        lambda: database.fetch_all(int, "SELECT 1"),
        lambda: database.execute("DELETE FROM profiles"),
        lambda: database.execute_many("DELETE FROM profiles WHERE id = ?", [("p",)]),
        lambda: database.stream(int, "SELECT 1").__anext__(),
        lambda: database.transaction().__aenter__(),
        lambda: database.snapshot().__aenter__(),
    ]
    for call in calls:
        with pytest.raises(DatabaseClosedError):
            await asyncio.wait_for(call(), 5)
    assert side_files(path) == []


async def test_what_was_made_before_close_and_is_entered_after_it_is_refused(
    connect: Connect, path: Path
) -> None:
    database: Database = await connect(path)
    unit, view, rows = (
        database.transaction(),
        database.snapshot(),
        database.stream(int, "SELECT 1"),
    )
    await database.close()
    calls: list[Callable[[], Any]] = [unit.__aenter__, view.__aenter__, rows.__anext__]
    for call in calls:
        with pytest.raises(DatabaseClosedError):
            await asyncio.wait_for(call(), 5)
    assert side_files(path) == []


async def test_the_last_one_out_leaves_no_side_files(connect: Connect, path: Path) -> None:
    first: Database = await connect(path)
    second: Database = await connect(path)
    await first.profiles.ensure("p")
    await first.close()
    assert await second.profiles.exists("p")
    await second.profiles.ensure("q")
    await second.close()
    assert side_files(path) == []


async def test_close_rolls_open_units_back_and_leaving_them_is_not_quiet(
    connect: Connect, path: Path, look: Look
) -> None:
    database: Database = await connect(path)
    units: list[Any] = []

    async def work() -> None:
        async with database.transaction() as unit:
            units.append(unit)
            await unit.profiles.ensure("lost")
            await database.close()
            # Whatever has been written is gone: leaving the block as if nothing had happened
            # would be a lie.

    with pytest.raises(DatabaseClosedError):
        await asyncio.wait_for(work(), 8)
    assert units[0].state == "rolled_back"
    assert look("SELECT count(*) FROM profiles") == [(0,)]
    assert side_files(path) == []


async def test_calls_of_a_unit_after_close_are_refused(connect: Connect, path: Path) -> None:
    database: Database = await connect(path)
    context = database.transaction()
    unit = await context.__aenter__()
    await asyncio.wait_for(database.close(), 8)
    with pytest.raises(DatabaseClosedError):
        await asyncio.wait_for(unit.profiles.ensure("p"), 5)
    await asyncio.wait_for(unit.rollback(), 5)
    assert unit.state == "rolled_back"


async def test_a_unit_that_waits_when_the_database_closes_is_refused(
    connect: Connect, path: Path
) -> None:
    database: Database = await connect(path)
    context = database.transaction()
    await context.__aenter__()
    waiting = asyncio.ensure_future(database.transaction().__aenter__())
    await asyncio.sleep(0.01)
    await asyncio.wait_for(database.close(), 8)
    with pytest.raises(DatabaseClosedError):
        await asyncio.wait_for(waiting, 5)


@pytest.mark.long
async def test_a_unit_that_is_just_beginning_when_the_database_closes_is_refused(
    connect: Connect, path: Path, look: Look
) -> None:
    """Its BEGIN waits for another connection, on the thread, where no queue holds it any more."""
    database: Database = await connect(path, busy_timeout=1.0)
    with plain(path) as other:
        other.execute("BEGIN IMMEDIATE")

        async def work() -> None:
            async with database.transaction() as unit:
                await unit.profiles.ensure("late")
                await asyncio.sleep(2)
                await unit.profiles.ensure("later")

        task = asyncio.create_task(work())
        await asyncio.sleep(0.1)
        close = asyncio.create_task(database.close())
        await asyncio.sleep(0.1)
        other.execute("ROLLBACK")
    await asyncio.wait_for(close, 8)
    with pytest.raises(DatabaseClosedError):
        await asyncio.wait_for(task, 5)
    assert look("SELECT count(*) FROM profiles") == [(0,)]
    assert side_files(path) == []


async def test_close_while_snapshots_and_streams_are_open(connect: Connect, path: Path) -> None:
    database: Database = await connect(path)
    context = database.snapshot()
    view = await context.__aenter__()
    assert await view.profiles.count() == 0
    rows = database.stream(int, COUNTING, batch=3)
    assert await anext(rows) == 1
    await asyncio.wait_for(database.close(), 8)
    assert side_files(path) == []
    with pytest.raises(DatabaseClosedError):
        await asyncio.wait_for(view.profiles.count(), 5)
    with pytest.raises(DatabaseClosedError):
        await asyncio.wait_for(read_on(rows), 5)
    await asyncio.wait_for(context.__aexit__(None, None, None), 5)
    rows.close()


@pytest.mark.parametrize("turns", range(8))
async def test_close_while_a_stream_is_just_being_left(
    connect: Connect, path: Path, turns: int
) -> None:
    database: Database = await connect(path)
    streams = [database.stream(int, COUNTING, batch=3) for _ in range(4)]
    for rows in streams:
        await anext(rows)
    close = asyncio.ensure_future(database.close())
    for _ in range(turns):
        await asyncio.sleep(0)
    for rows in streams:
        rows.close()
    await asyncio.wait((close,), timeout=3)
    assert close.done()
    assert side_files(path) == []


async def read_on(rows: Any) -> None:
    """Reads until it is refused; what was fetched before may still come."""
    while True:
        await anext(rows)


@pytest.mark.long
async def test_close_interrupts_a_stream_in_the_middle_of_its_query(
    connect: Connect, path: Path
) -> None:
    database: Database = await connect(path)
    rows = database.stream(int, ENDLESS)
    task = asyncio.ensure_future(rows.__anext__())
    await asyncio.sleep(0.1)
    await asyncio.wait_for(database.close(), 5)
    with pytest.raises(DatabaseError):
        await asyncio.wait_for(task, 5)
    assert side_files(path) == []


async def test_a_cancelled_close_still_closes(connect: Connect, path: Path) -> None:
    database: Database = await connect(path)
    await database.profiles.ensure("p")
    task = asyncio.create_task(database.close())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert database.closed
    await database.close()
    assert side_files(path) == []


async def test_close_beside_a_foreign_lock_neither_hangs_nor_raises(
    connect: Connect, path: Path
) -> None:
    database: Database = await connect(path)
    await database.profiles.ensure("p")
    with plain(path) as other:
        other.execute("BEGIN IMMEDIATE")
        await asyncio.wait_for(database.close(), 2)  # nothing is queued: nothing to wait for
        other.execute("ROLLBACK")
    assert side_files(path) == []


@pytest.mark.parametrize("delay_seconds", [0, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.008])
async def test_a_cancelled_connect_leaves_nothing_open(
    connect: Connect, path: Path, delay_seconds: float
) -> None:
    threads = set(threading.enumerate())
    connecting = asyncio.ensure_future(as_coroutine(connect(path)))
    await asyncio.sleep(delay_seconds)
    connecting.cancel()
    await asyncio.wait((connecting,))
    if not connecting.cancelled():
        await connecting.result().close()
    for _ in range(200):
        if threads.issuperset(threading.enumerate()):  # what was begun has ended
            break
        await asyncio.sleep(0.01)
    assert threads.issuperset(threading.enumerate())
    assert side_files(path) == []
    assert is_free(path)


@pytest.mark.long
async def test_a_connect_that_is_cancelled_while_it_waits_for_a_lock_leaves_nothing_open(
    connect: Connect, tmp_path: Path
) -> None:
    target = tmp_path / "new.db"
    with plain(target) as other:
        other.execute("BEGIN EXCLUSIVE")
        connecting = asyncio.ensure_future(as_coroutine(connect(target, busy_timeout=0.3)))
        await asyncio.sleep(0.1)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        other.execute("ROLLBACK")
    await asyncio.sleep(0.4)
    assert side_files(target) == []
    assert is_free(target)


def is_free(path: Path) -> bool:
    """Nobody has the file open, as far as locks tell."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        return False
    return True


async def as_coroutine(awaitable: Any) -> Any:
    return await awaitable


async def test_close_returns_where_the_mount_is_gone(
    connect: Connect, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database: Database = await connect(path)
    await database.profiles.ensure("p")
    close = os.close

    def of_a_dropped_mount(descriptor: int) -> None:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        close(descriptor)
        if is_file:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr(os, "close", of_a_dropped_mount)
    async with asyncio.timeout(5):
        await database.close()
    monkeypatch.undo()
    assert is_free(path)


async def test_close_returns_and_logs_when_a_connection_cannot_be_closed(
    connect: Connect,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    database: Database = await connect(path)
    left = OpenFile.left

    def fails(file: OpenFile) -> None:
        left(file)
        raise PermissionError("close")

    monkeypatch.setattr(OpenFile, "left", fails)
    async with asyncio.timeout(5):
        await database.close()
    assert {record.message for record in caplog.records} == {"closing a connection failed"}
    assert is_free(path)


async def test_an_unclosed_database_warns(connect: Connect, path: Path) -> None:
    database: Database = await connect(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del database
        gc.collect()
    assert [warning.category for warning in caught] == [ResourceWarning]


async def test_a_forgotten_database_lets_its_file_go(connect: Connect, path: Path) -> None:
    database: Database = await connect(path)
    await database.profiles.ensure("p")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del database
        gc.collect()
    for _ in range(100):
        if not side_files(path):
            break
        await asyncio.sleep(0.02)
    assert side_files(path) == []


# Leaving the interpreter.

EXITS = {
    "unclosed database": """
        async def main():
            database = await connect()
            await database.profiles.ensure("p")
    """,
    "unclosed database that is global": """
        async def main():
            global database
            database = await connect()
            await database.profiles.ensure("p")
    """,
    "unclosed unit": """
        async def main():
            global unit, context
            database = await connect()
            context = database.transaction()
            unit = await context.__aenter__()
            await unit.profiles.ensure("torn")
    """,
    "cancelled connect": """
        async def main():
            task = asyncio.ensure_future(connect())
            await asyncio.sleep(float(sys.argv[3]))
            task.cancel()
    """,
    "exception in main": """
        async def main():
            async with await_connect() as database:
                async with database.transaction() as unit:
                    await unit.profiles.ensure("torn")
                    raise ZeroDivisionError
    """,
    "exception in main, nothing closed": """
        async def main():
            global database, unit
            database = await connect()
            unit = await database.transaction().__aenter__()
            await unit.profiles.ensure("torn")
            raise ZeroDivisionError
    """,
    "open stream": """
        async def main():
            global database, rows
            database = await connect()
            rows = database.stream(int, COUNTING, batch=3)
            await anext(rows)
    """,
    "open snapshot": """
        async def main():
            global database, view
            database = await connect()
            view = await database.snapshot().__aenter__()
            await view.profiles.count()
    """,
    "hung read": """
        async def main():
            global task
            database = await connect()
            task = asyncio.ensure_future(database.fetch_all(int, ENDLESS))
            await asyncio.sleep(0.2)
    """,
    "hung write": """
        async def main():
            global task
            database = await connect()
            task = asyncio.ensure_future(
                database.execute("CREATE TABLE hung AS " + ENDLESS)
            )
            await asyncio.sleep(0.2)
    """,
    "hung statement in a unit": """
        async def main():
            async with await_connect() as database:
                async with database.transaction() as unit:
                    async with asyncio.timeout(0.2):
                        await unit.fetch_all(int, ENDLESS)
    """,
    "sys.exit in a task": """
        async def work(database):
            async with database.transaction() as unit:
                await unit.profiles.ensure("torn")
                sys.exit(1)

        async def main():
            database = await connect()
            await asyncio.create_task(work(database))
    """,
    "loop closed before close": """
        async def main():
            global database
            database = await connect()
            await database.profiles.ensure("p")

        def afterwards():
            try:
                asyncio.run(asyncio.wait_for(database.close(), 1))
            except (RuntimeError, reelbase.DatabaseError):
                pass
    """,
    "loop closed with work queued": """
        async def main():
            global database, tasks
            database = await connect()
            tasks = [asyncio.ensure_future(database.profiles.ensure(str(n))) for n in range(500)]
            await asyncio.sleep(0)
    """,
    "waiting for a foreign lock": """
        async def main():
            global task
            database = await connect()
            other = sqlite3.connect(sys.argv[1], isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            task = asyncio.ensure_future(database.profiles.ensure("p"))
            await asyncio.sleep(0.1)
    """,
}


@pytest.mark.long
@pytest.mark.parametrize("case", EXITS)
def test_the_interpreter_exits_whatever_was_forgotten(path: Path, journal: str, case: str) -> None:
    body = f"""
COUNTING = {COUNTING!r}
ENDLESS = {ENDLESS!r}

def await_connect():
    return reelbase.connect(sys.argv[1], journal=sys.argv[2])

async def connect():
    return await await_connect()

def afterwards():
    pass
{textwrap.dedent(EXITS[case])}
left = [time.monotonic()]
try:
    asyncio.run(main())
    afterwards()
finally:
    print(time.time(), flush=True)
"""
    for delay in (0, 0.003, 0.02) if case == "cancelled connect" else (0,):
        done = subprocess.run(
            [sys.executable, "-c", prepared(body), str(path), journal, str(delay)],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert time.time() - float(done.stdout) < 2.0
        expected = int("exception" in case or case in {"sys.exit in a task"})
        if case == "hung statement in a unit":
            expected = 1
        assert done.returncode == expected, done.stderr
        lines = done.stderr.splitlines()
        if "exception" in case:
            assert lines[-1] == "ZeroDivisionError"
        elif case == "hung statement in a unit":
            assert lines[-1] == "TimeoutError"
        else:
            assert lines == []
        assert done.stderr.count("Traceback") <= 3
        with plain(path) as connection:
            found = connection.execute("SELECT count(*) FROM profiles WHERE id = 'torn'").fetchone()
        assert found == (0,)


# Another event loop.


def test_another_event_loop_is_refused(path: Path, journal: str) -> None:
    settings: dict[str, Any] = {"journal": journal}

    async def opening() -> Database:
        return await reelbase.connect(path, **settings)

    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        database = first.run_until_complete(opening())
        calls: list[Callable[[], Any]] = [
            database.profiles.count,
            lambda: database.profiles.ensure("p"),
            lambda: database.transaction().__aenter__(),
            lambda: database.snapshot().__aenter__(),
            lambda: database.stream(int, "SELECT 1").__anext__(),
            database.close,
        ]

        async def calling(call: Callable[[], Any]) -> None:
            with pytest.raises(RuntimeError, match="loop"):
                await asyncio.wait_for(call(), 3)

        for call in calls:
            second.run_until_complete(calling(call))
        first.run_until_complete(database.profiles.ensure("p"))
        first.run_until_complete(database.close())
    finally:
        first.close()
        second.close()
    assert side_files(path) == []
