"""Promises about database.changes(): what was written, commit by commit, by this process and by others."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

import reelbase
from reelbase import (
    Changes,
    ChangeStream,
    ConstraintError,
    Database,
    DatabaseIOError,
    InvalidArgumentError,
    UnitOfWork,
)
from reelbase.engine.file.open_files import Loss
from reelbase.engine.live import commits, inotify

Journal = Literal["wal", "delete"]

TABLES = (
    "CREATE TABLE albums (id INTEGER PRIMARY KEY, title TEXT NOT NULL UNIQUE)",
    "CREATE TABLE songs (album INTEGER REFERENCES albums ON DELETE CASCADE, title TEXT)",
    "CREATE TABLE plays (title TEXT)",
    """
    CREATE TRIGGER songs_played AFTER UPDATE ON songs
    BEGIN
      INSERT INTO plays VALUES (NEW.title);
    END
    """,
    "CREATE TABLE notes (text TEXT UNIQUE)",
)


@pytest.fixture
async def albums(path: Path, journal: Journal) -> AsyncIterator[Database]:
    """A database with tables of the application's own."""
    async with reelbase.connect(path, journal=journal) as database:
        for sql in TABLES:
            await database.execute(sql)
        await database.execute("INSERT INTO albums VALUES (1, 'first')")
        await database.execute("INSERT INTO songs VALUES (1, 'song')")
    async with reelbase.connect(path, journal=journal) as database:
        yield database


@pytest.fixture
def plain(albums: Database, path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of the sqlite3 module, as another program has it."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=5)
    yield connection
    connection.close()


async def heard(changes: ChangeStream) -> set[str]:
    return set((await asyncio.wait_for(anext(changes), 5)).names)


async def is_quiet(changes: ChangeStream, seconds: float = 0.1) -> bool:
    """Whether a stream gives nothing for so long."""
    try:
        await asyncio.wait_for(anext(changes), seconds)
    except TimeoutError:
        return True
    return False


# Commits of this process


async def test_a_commit_is_told_with_the_tables_that_it_wrote(albums: Database) -> None:
    async with albums.changes("albums", "songs", "notes") as changes:
        await albums.execute("INSERT INTO notes VALUES ('a')")
        assert await heard(changes) == {"notes"}
        async with albums.transaction() as unit:
            await unit.execute("INSERT INTO albums VALUES (2, 'second')")
            await unit.execute("INSERT INTO songs VALUES (2, 'another')")
        assert await heard(changes) == {"albums", "songs"}


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("DELETE FROM albums", {"albums", "songs"}),
        ("UPDATE songs SET title = 'new'", {"songs", "plays"}),
        ("INSERT INTO notes VALUES ('a') RETURNING text", {"notes"}),
        ("WITH new (text) AS (VALUES ('a')) INSERT INTO notes SELECT text FROM new", {"notes"}),
        ("REPLACE INTO albums VALUES (2, 'first')", {"albums", "songs"}),
        ("DROP TABLE plays", {"plays"}),
        ("ALTER TABLE notes ADD COLUMN number INTEGER", {"notes"}),
    ],
)
async def test_cascades_triggers_and_every_kind_of_sql_count(
    albums: Database, sql: str, names: set[str]
) -> None:
    async with albums.changes("albums", "songs", "plays", "notes") as changes:
        await albums.fetch_all(str, sql) if "RETURNING" in sql else await albums.execute(sql)
        assert await heard(changes) >= names


async def test_every_way_to_write_is_told(albums: Database) -> None:
    async def add(unit: UnitOfWork) -> None:
        await unit.execute("INSERT INTO notes VALUES ('function')")

    async with albums.changes("notes", "profiles") as changes:
        await albums.execute_many("INSERT INTO notes VALUES (?)", [("a",), ("b",)])
        assert await heard(changes) == {"notes"}
        await albums.atomically(add)
        assert await heard(changes) == {"notes"}
        await albums.profiles.ensure("ann")
        assert await heard(changes) == {"profiles"}


async def test_numbers_grow_in_the_order_of_the_commits(albums: Database) -> None:
    async with albums.changes("notes", "plays") as changes:
        numbers = []
        for n in range(20):
            await albums.execute(f"INSERT INTO {'notes' if n % 2 else 'plays'} VALUES ({n})")
            change = await anext(changes)
            assert change.names == {"notes" if n % 2 else "plays"}
            numbers.append(change.commit)
        assert numbers == sorted(set(numbers))


async def test_what_is_rolled_back_or_undone_never_shows(albums: Database) -> None:
    async def fail(unit: UnitOfWork) -> None:
        await unit.execute("INSERT INTO notes VALUES ('failed')")
        raise ZeroDivisionError

    async with albums.changes("notes") as changes:
        async with albums.transaction() as unit:
            await unit.execute("INSERT INTO notes VALUES ('rolled back')")
            await unit.rollback()
        with pytest.raises(ZeroDivisionError):
            await albums.atomically(fail)
        async with albums.transaction() as unit:
            await unit.execute("INSERT INTO plays VALUES ('kept')")
            with pytest.raises(ZeroDivisionError):
                async with unit.savepoint():
                    await unit.execute("INSERT INTO notes VALUES ('undone')")
                    raise ZeroDivisionError
        with pytest.raises(ConstraintError):
            await albums.execute("INSERT INTO albums VALUES (3, NULL)")
        assert await is_quiet(changes)


async def test_a_group_that_is_undone_shows_what_was_stored_alone(albums: Database) -> None:
    async with albums.changes("notes", "albums") as changes:
        async with albums.transaction():
            group = [
                asyncio.ensure_future(albums.execute("INSERT INTO albums VALUES (7, 'good')")),
                asyncio.ensure_future(
                    albums.execute("INSERT OR FAIL INTO notes VALUES ('a'), ('a')")
                ),
            ]
            await asyncio.wait(group, timeout=0.05)
        await asyncio.gather(*group, return_exceptions=True)
        assert await heard(changes) == {"albums"}
        assert await is_quiet(changes)


@pytest.mark.long
async def test_reads_and_upkeep_do_not_show(albums: Database) -> None:
    async with albums.changes() as changes:
        await albums.fetch_all(str, "SELECT text FROM notes")
        await albums.execute("UPDATE notes SET text = 'none' WHERE 0")
        await albums.checkpoint()
        await albums.vacuum()
        assert await is_quiet(changes)
        await albums.check()
        assert await is_quiet(changes)


@pytest.mark.long
async def test_a_slow_consumer_gets_all_commits_as_one(albums: Database) -> None:
    async with albums.changes("notes", "plays") as changes:
        for n in range(50):
            await albums.execute(f"INSERT INTO notes VALUES ({n})")
        await albums.execute("INSERT INTO plays VALUES ('last')")
        change = await anext(changes)
        assert change == Changes(51, frozenset({"notes", "plays"}))
        assert await is_quiet(changes)


async def test_without_names_every_table_is_followed(albums: Database) -> None:
    async with albums.changes() as changes:
        await albums.execute("INSERT INTO notes VALUES ('a')")
        assert await heard(changes) == {"notes"}
        await albums.profiles.ensure("ann")
        assert await heard(changes) == {"profiles"}


@pytest.mark.long
async def test_a_stream_that_begins_inside_a_transaction_tells_of_its_commit(
    albums: Database,
) -> None:
    async with albums.transaction() as unit:
        await unit.execute("INSERT INTO notes VALUES ('before')")
        changes = albums.changes("notes")
    assert await heard(changes) == {"notes"}
    changes.close()


@pytest.mark.long
async def test_streams_come_and_go_while_the_database_is_written(albums: Database) -> None:
    for n in range(20):
        async with albums.changes("notes") as changes:
            await albums.execute(f"INSERT INTO notes VALUES ({n})")
            assert await heard(changes) == {"notes"}
            await albums.execute("INSERT INTO plays VALUES ('a')")
            assert await is_quiet(changes, 0.01)


@pytest.mark.long
async def test_more_statements_than_are_remembered_are_told_all_the_same(
    albums: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelbase.engine.live.recorder._STATEMENTS", 3)
    async with albums.changes("notes", "plays") as changes:
        for n in range(9):
            await albums.execute(f"INSERT INTO notes VALUES ({n})")
            assert await heard(changes) == {"notes"}
            await albums.execute("INSERT INTO plays VALUES ('again')")
            assert await heard(changes) == {"plays"}


@pytest.mark.long
async def test_a_database_in_memory_tells_of_its_commits() -> None:
    async with (
        reelbase.connect(":memory:") as database,
        database.changes("profiles", "jobs") as changes,
    ):
        await database.profiles.ensure("ann")
        assert await heard(changes) == {"profiles"}
        assert await is_quiet(changes)


@pytest.mark.long
async def test_a_commit_counts_even_if_sqlite_does_not_tell_its_moment(
    albums: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(native: sqlite3.Connection) -> int:
        raise sqlite3.OperationalError("interrupted")

    async with albums.changes("notes") as changes:
        with monkeypatch.context() as patch:
            patch.setattr("reelbase.engine.live.recorder.data_version", interrupted)
            assert await albums.execute("INSERT INTO notes VALUES ('a')") == 1
        assert await heard(changes) == {"notes"}
        assert await albums.fetch_all(str, "SELECT text FROM notes") == ["a"]


# Commits of others


@pytest.mark.long
async def test_a_commit_of_another_program_could_have_changed_every_name(
    albums: Database, plain: sqlite3.Connection
) -> None:
    async with albums.changes("notes", "plays") as changes:
        plain.execute("INSERT INTO notes VALUES ('plain')")
        assert await heard(changes) == {"notes", "plays"}
        await albums.execute("INSERT INTO notes VALUES ('own')")
        assert await heard(changes) == {"notes"}
        assert await is_quiet(changes)


@pytest.mark.long
async def test_commits_of_others_and_own_ones_are_each_told_once(
    albums: Database, plain: sqlite3.Connection
) -> None:
    async with albums.changes("notes") as changes:
        for n in range(10):
            plain.execute(f"INSERT INTO notes VALUES ('plain {n}')")
            await albums.execute(f"INSERT INTO notes VALUES ('own {n}')")
            while (change := await asyncio.wait_for(anext(changes), 5)).commit < 2 * n + 2:
                pass
            assert change.commit == 2 * n + 2


@pytest.mark.long
async def test_an_own_commit_that_stores_the_same_values_hides_none_of_another_program(
    albums: Database, plain: sqlite3.Connection
) -> None:
    async with albums.changes("albums", "notes") as changes:
        for n in range(10):
            await albums.execute("UPDATE albums SET title = title")
            plain.execute(f"INSERT INTO notes VALUES ({n})")
            while await heard(changes) != {"albums", "notes"}:
                pass


@pytest.mark.long
async def test_what_another_program_rolls_back_never_shows(
    albums: Database, plain: sqlite3.Connection
) -> None:
    async with albums.changes("notes") as changes:
        plain.execute("PRAGMA cache_size = 1")
        plain.execute("BEGIN IMMEDIATE")
        plain.execute(
            "WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n LIMIT 5000) "
            "INSERT INTO notes SELECT n || 'a long text' FROM n"
        )
        plain.execute("ROLLBACK")
        assert await is_quiet(changes, 0.3)


@pytest.mark.long
@pytest.mark.parametrize("is_network", [False, True])
async def test_without_notices_of_the_kernel_it_looks_from_time_to_time(
    albums: Database, plain: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, is_network: bool
) -> None:
    monkeypatch.setattr(commits, "watch", lambda path: None)
    monkeypatch.setattr(albums._commits, "_is_network", is_network)
    async with albums.changes("notes") as changes:
        for n in range(3):
            plain.execute(f"INSERT INTO notes VALUES ({n})")
            assert await heard(changes) == {"notes"}


@pytest.mark.long
async def test_a_lost_notice_of_the_kernel_is_made_up_for(
    albums: Database, plain: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits._Watching, "_noticed", lambda self: inotify.take(self._descriptor))
    async with albums.changes("notes") as changes:
        await asyncio.sleep(0.6)  # the looks of the beginning are over
        plain.execute("INSERT INTO notes VALUES ('unnoticed')")
        assert await heard(changes) == {"notes"}


@pytest.mark.long
async def test_a_database_that_is_opened_read_only_sees_the_commits_of_others(
    albums: Database, path: Path
) -> None:
    async with (
        reelbase.connect(path, read_only=True) as reader,
        reader.changes("notes") as changes,
    ):
        assert await is_quiet(changes, 0.01)
        await albums.execute("INSERT INTO notes VALUES ('a')")
        assert await heard(changes) == {"notes"}


@pytest.mark.long
async def test_a_lost_file_ends_the_stream_with_an_error(albums: Database, path: Path) -> None:
    async with albums.changes("notes") as changes:
        albums._writer.lost_file = Loss("moved", "it was moved")
        with pytest.raises(DatabaseIOError, match="it was moved"):
            await asyncio.wait_for(anext(changes), 5)


# Beginning and ending


@pytest.mark.long
async def test_names_must_be_tables(albums: Database) -> None:
    with pytest.raises(InvalidArgumentError, match="'note' is no table"):
        await anext(albums.changes("note"))
    with pytest.raises(InvalidArgumentError, match="'note' is no table"):
        async with albums.changes("notes", "note"):
            pass
    with pytest.raises(TypeError, match="names"):
        albums.changes(7)  # type: ignore[arg-type]
    assert albums._commits._watching is None


@pytest.mark.long
async def test_it_is_seen_from_the_call_on(albums: Database) -> None:
    changes = albums.changes("notes")
    await albums.execute("INSERT INTO notes VALUES ('a')")
    assert await heard(changes) == {"notes"}
    changes.close()


@pytest.mark.long
async def test_a_cancelled_consumer_loses_nothing(albums: Database) -> None:
    async with albums.changes("notes") as changes:
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await albums.execute("INSERT INTO notes VALUES ('a')")
        assert await heard(changes) == {"notes"}


@pytest.mark.long
async def test_one_stream_has_one_consumer(albums: Database) -> None:
    async with albums.changes("notes") as changes:
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError, match="give each its own"):
            await anext(changes)
        await albums.execute("INSERT INTO notes VALUES ('a')")
        assert (await waiting).names == {"notes"}


@pytest.mark.parametrize("end", ["close", "database"])
async def test_close_ends_the_loop_of_the_consumer(path: Path, journal: Journal, end: str) -> None:
    database = await reelbase.connect(path, journal=journal)
    changes = database.changes("profiles")
    names: list[Any] = []

    async def consume() -> str:
        async for change in changes:
            names.append(change.names)
        return "ended"

    task = asyncio.ensure_future(consume())
    await asyncio.sleep(0.05)
    last = asyncio.ensure_future(database.profiles.ensure("ann"))
    await asyncio.sleep(0)  # it is queued
    if end == "close":
        await last
        changes.close()
    await database.close()
    assert await asyncio.wait_for(task, 5) == "ended"
    assert names == [{"profiles"}] or end == "close"
    changes.close()


@pytest.mark.long
async def test_what_is_forgotten_costs_nothing_any_more(albums: Database) -> None:
    async for _ in _written_by(albums):
        break
    changes: Any = albums.changes("notes")
    assert albums._commits._watching is not None
    del changes
    gc.collect()
    await asyncio.sleep(0.05)
    assert albums._commits._watching is None
    native = albums._writer.connection.native
    await albums._writer.connection.call(lambda: None)
    assert "execute" not in vars(native)


async def _written_by(database: Database) -> AsyncIterator[Any]:
    stream = database.changes("notes")
    await database.execute("INSERT INTO notes VALUES ('a')")
    async for change in stream:
        yield change


async def test_an_unclosed_database_ends_its_streams(path: Path, journal: Journal) -> None:
    changes = (database := await reelbase.connect(path, journal=journal)).changes("profiles")
    waiting = asyncio.ensure_future(anext(changes, None))
    await asyncio.sleep(0.05)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del database
        gc.collect()
    assert [str(warning.message)[:8] for warning in caught] == ["unclosed"]
    assert await asyncio.wait_for(waiting, 5) is None
