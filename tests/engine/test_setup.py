"""Promises about connect(setup=…): every connection knows the application's functions and collations."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import DatabaseError, Migrations

LINUX = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")


def by_length(first: str, second: str) -> int:
    return (len(first) > len(second)) - (len(first) < len(second)) or (
        (first > second) - (first < second)
    )


def setup(native: sqlite3.Connection) -> None:
    native.create_collation("natsort", by_length)
    native.create_function("slug", 1, lambda text: text.lower(), deterministic=True)


OBJECTS = [
    "CREATE TABLE app_names ("
    "  name TEXT COLLATE natsort CHECK (slug(name) <> ''), slug TEXT AS (slug(name)))",
    "CREATE INDEX app_by_name ON app_names (name)",
    "CREATE INDEX app_by_slug ON app_names (slug(name)) WHERE slug(name) > 'a'",
    "CREATE VIEW app_slugs AS SELECT slug(name) AS slug FROM app_names",
    "CREATE TRIGGER app_trigger AFTER DELETE ON app_names BEGIN SELECT slug(old.name); END",
    "INSERT INTO app_names (name) VALUES ('E10'), ('E9'), ('E1')",
]
NAMES = "SELECT name FROM app_names ORDER BY name"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "media.db"


async def fill(database: reelbase.Database) -> None:
    for statement in OBJECTS:
        await database.execute(statement)


@pytest.mark.long
@pytest.mark.parametrize("place", ["file", ":memory:"])
async def test_writer_and_readers_know_them(place: str, path: Path, journal: Any) -> None:
    where = path if place == "file" else place
    async with reelbase.connect(where, journal=journal, setup=setup, readers=3) as database:
        await fill(database)
        found = await asyncio.gather(*(database.fetch_all(str, NAMES) for _ in range(20)))
        assert all(names == ["E1", "E9", "E10"] for names in found)
        async with database.transaction() as unit:
            slugs = await unit.fetch_all(str, "SELECT slug FROM app_slugs ORDER BY slug")
            assert slugs == ["e1", "e10", "e9"]
        async with database.snapshot() as view:
            assert await view.fetch_one(str, "SELECT slug('A')") == "a"
        async with database.stream(str, NAMES) as rows:
            assert [name async for name in rows] == ["E1", "E9", "E10"]


@pytest.mark.long
async def test_maintenance_leaves_nothing_out(
    path: Path, tmp_path: Path, journal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with reelbase.connect(path, journal=journal, setup=setup) as database:
        await fill(database)
        report = await database.check(full=True)
        assert report.problems == []
        assert [text for text in report.warnings if "WAL-reset" not in text] == []
        assert (await database.stats()).rows["app_names"] == 3
        await database.optimize()
        await database.vacuum()
        await database.backup(tmp_path / "copy.db")
    await reelbase.backup(path, tmp_path / "another.db", setup=setup)
    await reelbase.restore(tmp_path / "copy.db", tmp_path / "restored.db", setup=setup)
    assert (await reelbase.migrate(path, setup=setup)).steps == []
    assert await reelbase.adopt(path, setup=setup) == reelbase.SCHEMA_VERSION
    said = [record.message for record in caplog.records]
    assert not [text for text in said if "verified" in text or "statistics" in text]


async def test_a_copy_is_verified_with_them(path: Path, tmp_path: Path) -> None:
    """An index of theirs that lacks a row is found."""
    async with reelbase.connect(path, setup=setup) as database:
        await fill(database)
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        setup(native)
        native.create_function("slug", 1, lambda text: text.upper(), deterministic=True)
        native.execute("INSERT INTO app_names (name) VALUES ('x')")  # 'X', which is not > 'a'
    async with reelbase.connect(path, setup=setup) as database:
        with pytest.raises(reelbase.DatabaseCorruptError, match="app_names"):
            await database.backup(tmp_path / "copy.db")


async def test_migrations_may_use_them(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "migrations"
    await asyncio.to_thread(folder.mkdir)
    first, second = folder / "0001_names.sql", folder / "0002_more.sql"
    await asyncio.to_thread(first.write_text, "".join(f"{line};\n" for line in OBJECTS))
    async with reelbase.connect(path, setup=setup, migrations=Migrations("app", folder)):
        pass
    await asyncio.to_thread(second.write_text, "INSERT INTO app_names (name) VALUES ('E2');")
    mine = Migrations("app", folder)
    assert (await reelbase.migrate(path, migrations=mine, setup=setup, dry_run=True)).steps
    async with reelbase.connect(path, setup=setup, migrations=mine) as database:
        assert await database.fetch_all(str, NAMES) == ["E1", "E2", "E9", "E10"]
    assert not [record for record in caplog.records if "verified" in record.message]


async def test_it_runs_on_the_connections_own_thread(path: Path) -> None:
    threads = []

    def note(native: sqlite3.Connection) -> None:
        threads.append(threading.get_ident())

    async with reelbase.connect(path, setup=note, readers=2):
        assert len(set(threads)) == len(threads) == 3
        assert threading.get_ident() not in threads


def assign(name: str, value: object) -> Callable[[sqlite3.Connection], None]:
    return lambda native: setattr(native, name, value)


def run(sql: str) -> Callable[[sqlite3.Connection], object]:
    return lambda native: native.execute(sql).fetchall()


async def asynchronous(native: sqlite3.Connection) -> None: ...


class Awaitable:
    def __await__(self) -> Any:
        yield


class Asynchronous:
    async def __call__(self, native: sqlite3.Connection) -> None: ...


FORBIDDEN: dict[str, tuple[Callable[[sqlite3.Connection], object], str]] = {
    "a transaction": (run("BEGIN"), "begin or end a transaction"),
    "a savepoint": (run("SAVEPOINT mine"), "begin or end a transaction"),
    "another database": (run("ATTACH ':memory:' AS other"), "attach a database"),
    "a table": (run("CREATE TABLE app_t (a)"), "write to the database"),
    "a temporary table": (run("CREATE TEMP TABLE files (a)"), "write to the database"),
    "a row": (run("DELETE FROM config"), "write to the database|no such table"),
    "a vacuum": (run("VACUUM"), "OperationalError|attach a database|write"),
    "isolation_level": (assign("isolation_level", "DEFERRED"), "isolation_level"),
    "row_factory": (assign("row_factory", sqlite3.Row), "row_factory"),
    "text_factory": (assign("text_factory", bytes), "text_factory"),
    "synchronous": (run("PRAGMA synchronous = OFF"), "synchronous"),
    "foreign_keys": (run("PRAGMA foreign_keys = OFF"), "foreign_keys"),
    "busy_timeout": (run("PRAGMA busy_timeout = 1"), "busy_timeout"),
    "query_only": (run("PRAGMA query_only = ON"), "query_only"),
    "recursive_triggers": (run("PRAGMA recursive_triggers = ON"), "recursive_triggers"),
    "user_version": (run("PRAGMA user_version(3)"), "set PRAGMA user_version"),
    "journal_mode": (run("PRAGMA journal_mode = WAL"), "set PRAGMA journal_mode"),
    "a checkpoint": (run("PRAGMA wal_checkpoint"), "run PRAGMA wal_checkpoint"),
    "an authorizer": (
        lambda native: native.set_authorizer(lambda *_: sqlite3.SQLITE_OK),
        "an authorizer is the library's",
    ),
    "a progress handler": (
        lambda native: native.set_progress_handler(lambda: 0, 1),
        "a progress handler is the library's",
    ),
    "a limit": (
        lambda native: native.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 2),
        "SQLITE_LIMIT_VARIABLE_NUMBER",
    ),
    "a function of SQLite": (
        lambda native: native.create_function("lower", 1, str.upper),
        r"replaced functions of SQLite.*lower",
    ),
    "a collation of SQLite": (
        lambda native: native.create_collation("NOCASE", by_length),
        "a collation of SQLite",
    ),
    "closing": (lambda native: native.close(), "closed"),
    "an awaitable": (lambda native: Awaitable(), "async"),
    "a coroutine": (lambda native: asynchronous(native), "async"),  # noqa: PLW0108
    "an error": (lambda native: 1 / 0, "ZeroDivisionError: division by zero"),
    "an error of SQLite": (run("SELECT * FROM nowhere"), "no such table: nowhere"),
    "a missing extension": (run("SELECT load_extension('nowhere')"), "OperationalError"),
}


@pytest.mark.long
@LINUX
@pytest.mark.parametrize(("wrong", "match"), FORBIDDEN.values(), ids=list(FORBIDDEN))
async def test_what_it_may_not_do_is_refused_and_leaks_nothing(
    wrong: Callable[[sqlite3.Connection], object], match: str, path: Path
) -> None:
    async with reelbase.connect(path, journal="delete") as database:
        await database.config.set("a", 1)
    gc.collect()
    descriptors = len(os.listdir("/proc/self/fd"))
    for where in (path, ":memory:"):
        with pytest.raises(DatabaseError, match=f"setup .*{match}") as caught:
            await reelbase.connect(where, journal="delete", setup=wrong)
        assert caught.value.code == "setup"
    for _ in range(100):  # the thread closes the connection
        gc.collect()
        await asyncio.sleep(0.02)
        if len(os.listdir("/proc/self/fd")) <= descriptors:
            break
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert sorted(os.listdir(path.parent)) == ["media.db"]
    async with reelbase.connect(path, journal="delete", setup=setup) as database:
        assert await database.config.get("a") == 1


async def test_another_journal_mode_is_refused(path: Path) -> None:
    async with reelbase.connect(path, journal="wal"):
        pass
    with pytest.raises(DatabaseError, match="may not set PRAGMA journal_mode"):
        await reelbase.connect(path, journal="wal", setup=run("PRAGMA journal_mode = DELETE"))
    with closing(sqlite3.connect(path)) as native:
        assert native.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_one_that_fails_for_a_reader_is_reported_too(path: Path) -> None:
    calls: list[int] = []

    def second_fails(native: sqlite3.Connection) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("not twice")

    with pytest.raises(DatabaseError, match="ValueError: not twice"):
        await reelbase.connect(path, setup=second_fails)


async def test_what_is_not_relied_on_may_be_changed(path: Path) -> None:
    def harmless(native: sqlite3.Connection) -> None:
        native.execute("PRAGMA secure_delete = ON").close()
        native.execute("SELECT count(*) FROM sqlite_schema").fetchone()

    async with reelbase.connect(path, setup=harmless) as database:
        assert await database.config.all() == {}


async def test_the_librarys_own_functions_stay(path: Path) -> None:
    def take_over(native: sqlite3.Connection) -> None:
        native.create_function("folded", 1, lambda text: "gone")

    async with reelbase.connect(path, setup=take_over) as database:
        assert await database.fetch_one(str, "SELECT folded('Ä')") == "ä"


@pytest.mark.parametrize("wrong", [1, "natsort", asynchronous, Asynchronous()])
async def test_what_is_no_function_is_a_type_error(wrong: Any, path: Path) -> None:
    with pytest.raises(TypeError, match="setup must be a function"):
        reelbase.connect(path, setup=wrong)
    for call in (reelbase.migrate, reelbase.adopt, reelbase.repair):
        with pytest.raises(TypeError, match="setup must be a function"):
            await call(path, setup=wrong)
    assert os.listdir(path.parent) == []


def fails_at(number: int) -> Callable[[sqlite3.Connection], None]:
    """As setup, but for one of the connections."""
    calls: list[int] = []

    def set_up(native: sqlite3.Connection) -> None:
        calls.append(1)
        if len(calls) == number:
            raise ValueError("not this one")
        setup(native)

    return set_up


async def test_a_new_database_is_not_made_when_setup_fails(path: Path, journal: Any) -> None:
    with pytest.raises(DatabaseError, match="ValueError: not this one"):
        await reelbase.connect(path, journal=journal, setup=fails_at(1))
    assert os.listdir(path.parent) == []
    async with reelbase.connect(path, journal=journal, setup=setup) as database:
        await fill(database)


@pytest.mark.long
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_migration_whose_setup_fails_changes_nothing_and_leaves_no_copy(
    number: int, path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "migrations"
    await asyncio.to_thread(folder.mkdir)
    first = folder / "0001_names.sql"
    await asyncio.to_thread(first.write_text, "".join(f"{line};\n" for line in OBJECTS))
    async with reelbase.connect(path):
        pass
    mine = Migrations("app", folder)
    # The connection that migrates, the one that is copied, and the copy.
    with pytest.raises(DatabaseError, match="ValueError: not this one") as caught:
        await reelbase.migrate(path, migrations=mine, setup=fails_at(number))
    assert caught.value.code == "setup"
    assert sorted(os.listdir(tmp_path)) == ["media.db", "migrations"]
    assert [
        step.version for step in (await reelbase.migrate(path, migrations=mine, setup=setup)).steps
    ] == [1]


@pytest.mark.long
@pytest.mark.parametrize("number", [1, 2])
async def test_a_backup_or_restore_whose_setup_fails_leaves_nothing(
    number: int, path: Path, tmp_path: Path
) -> None:
    async with reelbase.connect(path, setup=setup) as database:
        await fill(database)
        await database.backup(tmp_path / "copy.db")
    target = tmp_path / "new.db"
    with pytest.raises(DatabaseError, match="ValueError: not this one"):
        await reelbase.backup(path, target, setup=fails_at(number))
    with pytest.raises(DatabaseError, match="ValueError: not this one"):
        await reelbase.restore(tmp_path / "copy.db", target, setup=fails_at(number))
    assert sorted(os.listdir(tmp_path)) == ["copy.db", "media.db"]


@pytest.mark.long
async def test_a_repair_keeps_what_needs_them(path: Path, tmp_path: Path) -> None:
    async with reelbase.connect(path, setup=setup) as database:
        await fill(database)
        (page_size,) = await database.fetch_all(int, "PRAGMA page_size")
        root = await database.fetch_one(
            int, "SELECT rootpage FROM sqlite_schema WHERE name = 'app_by_name'"
        )
    with path.open("r+b") as file:
        file.seek((root - 1) * page_size)
        file.write(b"\xff" * page_size)
    with pytest.raises(DatabaseError, match="ValueError: not this one"):
        await reelbase.repair(path, setup=fails_at(1))
    assert os.listdir(tmp_path) == ["media.db"]
    report = await reelbase.repair(path, setup=setup)
    assert report.lost == []
    async with reelbase.connect(path, setup=setup) as database:
        assert (await database.check(full=True)).problems == []
        plan = await database.fetch_all(tuple[int, int, int, str], f"EXPLAIN QUERY PLAN {NAMES}")
        assert "app_by_name" in plan[0][3]
        assert await database.fetch_all(str, NAMES) == ["E1", "E9", "E10"]


async def test_a_slow_one_holds_up_neither_the_loop_nor_a_cancel(path: Path) -> None:
    release = threading.Event()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await reelbase.connect(path, setup=lambda native: release.wait(20))
    assert ticks > 5
    release.set()
    ticking.cancel()
    async with reelbase.connect(path, setup=setup) as database:
        assert await database.config.all() == {}


@pytest.mark.long
async def test_one_function_serves_several_databases_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(4, timeout=20)
    met = threading.Event()

    def meet(native: sqlite3.Connection) -> None:
        if not met.is_set():
            together.wait()
            met.set()
        setup(native)

    databases = await asyncio.gather(
        *(_opened(tmp_path / f"{number}.db", meet) for number in range(4))
    )
    for database in databases:
        assert await database.fetch_one(str, "SELECT slug('A')") == "a"
        await database.close()


async def _opened(path: Path, setup: Any) -> reelbase.Database:
    return await reelbase.connect(path, setup=setup)


@pytest.mark.skipif(
    not hasattr(sqlite3.Connection, "enable_load_extension"), reason="a Python without extensions"
)
async def test_loading_extensions_is_switched_off_again(path: Path) -> None:
    def loads(native: sqlite3.Connection) -> None:
        native.enable_load_extension(True)
        with pytest.raises(
            sqlite3.OperationalError, match=r"cannot open shared object|no such file"
        ):
            native.execute("SELECT load_extension('/nowhere/at/all')")

    async with reelbase.connect(path, setup=loads) as database:
        with pytest.raises(DatabaseError, match="not authorized"):
            await database.fetch_one(str, "SELECT load_extension('/nowhere/at/all')")


async def test_what_it_is_refused_and_does_not_insist_on_does_no_harm(path: Path) -> None:
    def tries(native: sqlite3.Connection) -> None:
        for sql in ("BEGIN", "PRAGMA synchronous = OFF", "CREATE TABLE app_t (a)"):
            with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
                native.execute(sql)
        setup(native)

    async with reelbase.connect(path, journal="delete", setup=tries) as database:
        assert database.journal.synchronous == "extra"
        await database.config.set("a", 1)
        assert await database.fetch_one(int, "PRAGMA foreign_keys") == 1
        assert not await database.fetch_all(
            str, "SELECT name FROM sqlite_schema WHERE name = 'app_t'"
        )
