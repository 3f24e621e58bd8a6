"""Promises about writes that share a commit: cheaper together, and each as if it were alone."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, cast

import pytest

import reelbase
from reelbase import (
    Command,
    CommitUncertainError,
    ConstraintError,
    Database,
    DatabaseBusyError,
    DatabaseError,
    Repository,
)
from reelbase.engine.threads.writer import Writer

Look = Callable[[str], list[tuple[object, ...]]]

ADD = "INSERT INTO notes (text) VALUES (?)"
ALL = "SELECT text FROM notes ORDER BY id"
TABLES = (
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT",
    """
    CREATE TRIGGER notes_poison BEFORE INSERT ON notes WHEN NEW.text = 'poison'
    BEGIN
      SELECT RAISE(ROLLBACK, 'poisoned');
    END
    """,
)


class LevelRepository(Repository):
    """Writes down which PRAGMA synchronous was in force for it."""

    _relaxed = Command(
        int,
        "INSERT INTO levels SELECT synchronous FROM pragma_synchronous RETURNING level",
        relaxed=True,
    )
    _data = Command(
        int, "INSERT INTO levels SELECT synchronous FROM pragma_synchronous RETURNING level"
    )

    async def relaxed(self) -> int:
        return await self._run(self._relaxed.one())

    async def data(self) -> int:
        return await self._run(self._data.one())

    async def both(self) -> tuple[int, int]:
        return await self._batch(self._relaxed.one(), self._data.one())


@pytest.fixture
async def notes(database: Database) -> Database:
    for sql in TABLES:
        await database.execute(sql)
    return database


@asynccontextmanager
async def traced(database: Database) -> AsyncIterator[list[str]]:
    """What SQLite runs on the writing connection meanwhile."""

    def start(native: sqlite3.Connection) -> None:
        native.set_trace_callback(seen.append)

    def stop(native: sqlite3.Connection) -> None:
        native.set_trace_callback(None)

    seen: list[str] = []
    await database._writer.call(start)
    seen.clear()
    try:
        yield seen
    finally:
        await database._writer.call(stop)


async def in_one_group(database: Database, *writes: Coroutine[Any, Any, Any]) -> list[Any]:
    """Lets the writes queue up behind a unit of work; their results, or errors."""
    async with database.transaction():
        tasks = [asyncio.ensure_future(write) for write in writes]
        await asyncio.sleep(0.01)
    return await asyncio.gather(*tasks, return_exceptions=True)


def add(database: Database, *texts: str) -> list[Coroutine[Any, Any, int]]:
    return [database.execute(ADD, (text,)) for text in texts]


# Few commits.


async def test_writes_that_wait_together_share_one_commit(notes: Database, look: Look) -> None:
    async with traced(notes) as seen:
        results = await in_one_group(notes, *add(notes, *map(str, range(64))))
    assert results == [1] * 64
    assert seen.count("COMMIT") <= 3  # the unit's, the group's, that of the end of the trace
    assert look("SELECT count(*) FROM notes") == [(64,)]


async def test_64_concurrent_writers_share_few_commits(notes: Database, look: Look) -> None:
    async def write(task: int) -> None:
        for n in range(10):
            await notes.execute(ADD, (f"{task} {n}",))

    async with traced(notes) as seen:
        await asyncio.gather(*(write(task) for task in range(64)))
    assert seen.count("COMMIT") <= 640 / 8
    assert look("SELECT count(*) FROM notes") == [(640,)]


async def test_an_independent_connection_sees_one_change_for_a_group(
    notes: Database, path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        counts = set()
        async with notes.transaction():
            tasks = [asyncio.ensure_future(write) for write in add(notes, *map(str, range(64)))]
            await asyncio.sleep(0.01)
        while not all(task.done() for task in tasks):
            counts.add(other.execute("SELECT count(*) FROM notes").fetchone())
            await asyncio.sleep(0)
        counts.add(other.execute("SELECT count(*) FROM notes").fetchone())
    assert counts <= {(0,), (64,)}


async def test_a_lone_write_waits_for_nobody(notes: Database) -> None:
    durations_seconds = []
    for n in range(20):
        started = time.perf_counter()
        await notes.execute(ADD, (str(n),))
        durations_seconds.append(time.perf_counter() - started)
    assert sorted(durations_seconds)[10] < 0.02  # the bound of a group's duration


async def test_order_is_kept(notes: Database, look: Look) -> None:
    await asyncio.gather(*add(notes, *(f"{n:03}" for n in range(200))))
    assert look(ALL) == [(f"{n:03}",) for n in range(200)]


# Only after the COMMIT.


async def test_when_a_write_is_done_everybody_sees_it(notes: Database, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        seen: list[bool] = []

        def look_for(text: str) -> Callable[[asyncio.Future[int]], None]:
            def look(_: asyncio.Future[int]) -> None:
                row = other.execute("SELECT 1 FROM notes WHERE text = ?", (text,)).fetchone()
                seen.append(row is not None)

            return look

        tasks = []
        for n in range(100):
            task = asyncio.ensure_future(notes.execute(ADD, (str(n),)))
            task.add_done_callback(look_for(str(n)))
            tasks.append(task)
            if n % 10 == 0:
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)
    assert seen == [True] * 100


async def test_no_write_is_done_before_its_commit(
    notes: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reelbase.engine.file.commit import commit
    from reelbase.engine.threads import writer

    done_before: list[int] = []

    def slow_commit(native: sqlite3.Connection) -> Exception | None:
        time.sleep(0.05)
        done_before.append(sum(task.done() for task in tasks))
        return commit(native)

    tasks: list[asyncio.Future[int]] = []
    with monkeypatch.context() as patch:
        patch.setattr(writer, "commit", slow_commit)
        tasks = [asyncio.ensure_future(write) for write in add(notes, *"abcdef")]
        await asyncio.sleep(0)
        await asyncio.gather(*tasks)
    finished = 0
    for count in done_before:
        assert count <= finished
        finished = len(tasks)


# Isolated from each other.


async def test_a_failing_one_affects_no_other(notes: Database, look: Look) -> None:
    results = await in_one_group(notes, *add(notes, "a", "b", "a", "c", "b", "d"))
    assert [result for result in results if result == 1] == [1] * 4
    assert isinstance(results[2], ConstraintError)
    assert isinstance(results[4], ConstraintError)
    assert look(ALL) == [("a",), ("b",), ("c",), ("d",)]


async def test_wrong_sql_and_wrong_values_affect_no_other(notes: Database, look: Look) -> None:
    results = await in_one_group(
        notes,
        *add(notes, "a"),
        notes.execute("INSERT INTO nowhere VALUES (1)"),
        notes.execute(ADD, ()),
        notes.execute("INSERT INTO notes (id) VALUES ('no number')"),
        notes.execute_many(ADD, [("x",), (float("nan"),)]),
        *add(notes, "b"),
    )
    assert results[0] == results[-1] == 1
    assert [isinstance(result, Exception) for result in results[1:-1]] == [True] * 4
    assert look(ALL) == [("a",), ("b",)]


async def test_a_failing_multi_step_one_leaves_nothing_and_affects_no_other(
    notes: Database, look: Look
) -> None:
    results = await in_one_group(
        notes,
        *add(notes, "a"),
        notes.execute_many(ADD, [("x",), ("y",), ("a",)]),
        notes.execute_many(ADD, [("m",), ("n",)]),
        *add(notes, "b"),
    )
    assert results[0] == results[3] == 1
    assert isinstance(results[1], ConstraintError)
    assert results[2] == 2
    assert look(ALL) == [("a",), ("m",), ("n",), ("b",)]


class FailingRepository(Repository):
    """Two statements, the second of which finds no row when the first has written one."""

    _add = Command(int, "INSERT INTO notes (text) VALUES ('half')")
    _get = reelbase.Query(int, "SELECT id FROM notes WHERE text = 'never'")

    async def add(self) -> None:
        await self._batch(self._add.count(), self._get.one())


@pytest.mark.parametrize("before", [(), ("a",), ("a", "b")])
@pytest.mark.parametrize("behind", [(), ("c",), ("c", "d")])
async def test_a_row_that_is_missing_after_a_write_undoes_the_write(
    before: tuple[str, ...], behind: tuple[str, ...], notes: Database, look: Look
) -> None:
    failing = notes.repository(FailingRepository)
    calls = [
        *add(notes, *before),
        failing.add(),
        failing.add(),
        *add(notes, *behind),
        failing.add(),
    ]
    results = await in_one_group(notes, *calls)
    assert [type(result) for result in results if result != 1] == [reelbase.RecordNotFoundError] * 3
    assert look(ALL) == [(text,) for text in before + behind]


@pytest.mark.parametrize("position", [0, 3, 6])
async def test_one_that_rolls_the_transaction_back_leaves_the_others_stored_once(
    notes: Database, look: Look, position: int
) -> None:
    texts = list("abcdef")
    texts.insert(position, "poison")
    results = await in_one_group(notes, *add(notes, *texts))
    assert isinstance(results.pop(position), ConstraintError)
    assert results == [1] * 6
    assert look(ALL) == [(text,) for text in "abcdef"]


async def test_several_that_roll_back_leave_the_others_stored_once(
    notes: Database, look: Look
) -> None:
    or_rollback = "INSERT OR ROLLBACK INTO notes (text) VALUES (?)"
    results = await in_one_group(
        notes,
        *add(notes, "a"),
        notes.execute(or_rollback, ("a",)),
        *add(notes, "b", "poison", "c"),
        notes.execute_many(ADD, [("x",), ("poison",)]),
        notes.execute_many(ADD, [("y",), ("z",)]),
        notes.execute(or_rollback, ("d",)),
    )
    assert [isinstance(result, ConstraintError) for result in results] == [
        False, True, False, True, False, True, False, False,
    ]  # fmt: skip
    assert look("SELECT text FROM notes ORDER BY text") == [(text,) for text in "abcdyz"]


async def test_a_cancelled_one_that_still_waits_is_not_run(notes: Database, look: Look) -> None:
    async with notes.transaction():
        tasks = [asyncio.ensure_future(write) for write in add(notes, "a", "b", "c")]
        await asyncio.sleep(0.01)
        tasks[1].cancel()
        await asyncio.sleep(0)
    assert await asyncio.gather(*tasks[::2]) == [1, 1]
    assert look(ALL) == [("a",), ("c",)]


# A COMMIT that fails.


def failing_commit(code: int) -> Callable[[sqlite3.Connection], sqlite3.Error | None]:
    def commit(native: sqlite3.Connection) -> sqlite3.Error | None:
        native.execute("ROLLBACK")
        error = sqlite3.OperationalError("made up")
        error.sqlite_errorcode = code
        return error

    return commit


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (sqlite3.SQLITE_IOERR, CommitUncertainError),
        (sqlite3.SQLITE_IOERR_FSYNC, CommitUncertainError),
        (sqlite3.SQLITE_BUSY, DatabaseBusyError),
        (sqlite3.SQLITE_FULL, reelbase.DatabaseFullError),
    ],
)
async def test_a_commit_that_fails_fails_all_of_its_group(
    notes: Database,
    look: Look,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    error: type[DatabaseError],
) -> None:
    from reelbase.engine.threads import writer

    await notes.execute(ADD, ("there",))
    with monkeypatch.context() as patch:
        async with notes.transaction():
            writes = [*add(notes, "a", "b", "there", "c"), notes.execute_many(ADD, [("d",)])]
            tasks = [asyncio.ensure_future(write) for write in writes]
            await asyncio.sleep(0.01)
            patch.setattr(writer, "commit", failing_commit(code))
        results = await asyncio.gather(*tasks, return_exceptions=True)
    # One had failed before, and knows better what happened to it.
    assert isinstance(results.pop(2), ConstraintError)
    assert [type(result) for result in results] == [error] * 4
    for result in results:
        assert isinstance(cast("DatabaseError", result).__cause__, sqlite3.OperationalError)
    assert look(ALL) == [("there",)]
    assert await notes.execute(ADD, ("next",)) == 1


async def test_a_writer_that_meets_the_unexpected_goes_on(
    path: Path, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens on the thread: nobody waits for ever, and the next write works."""
    from reelbase.engine.threads import writer

    def broken(native: sqlite3.Connection) -> sqlite3.Error | None:
        raise MemoryError

    settings: dict[str, Any] = {"journal": journal, "busy_timeout": 0.5}
    async with reelbase.connect(path, **settings) as database:
        await database.execute(TABLES[0])
        with monkeypatch.context() as patch:
            patch.setattr(writer, "commit", broken)
            with pytest.raises((DatabaseError, MemoryError)):
                await asyncio.wait_for(database.execute(ADD, ("a",)), 2)
        assert await asyncio.wait_for(database.execute(ADD, ("next",)), 2) == 1


async def test_a_commit_that_another_reader_blocks_is_busy_and_stores_nothing(
    path: Path, look: Look, journal: str
) -> None:
    if journal == "wal":
        pytest.skip("in WAL mode readers block no commit")
    settings: dict[str, Any] = {"journal": journal, "busy_timeout": 0.2}
    async with reelbase.connect(path, **settings) as database:
        await database.execute(TABLES[0])
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute(ALL).fetchall()
            results = await in_one_group_of(database, "a", "b")
            assert [type(result) for result in results] == [DatabaseBusyError] * 2
        assert look(ALL) == []
        assert await database.execute(ADD, ("next",)) == 1


async def in_one_group_of(database: Database, *texts: str) -> list[Any]:
    results: list[Any] = await asyncio.gather(*add(database, *texts), return_exceptions=True)
    return results


# Durability.


@pytest.mark.parametrize(
    ("durability", "relaxed", "data"),
    [("balanced", 1, 2), ("full", 2, 2), ("normal", 1, 1)],
)
async def test_each_class_of_statements_has_its_synchronous(
    path: Path, journal: str, durability: str, relaxed: int, data: int
) -> None:
    if journal == "delete":
        relaxed = data = 3  # the unlink of the journal is the commit, and only EXTRA syncs it
    settings: dict[str, Any] = {"journal": journal, "durability": durability}
    async with reelbase.connect(path, **settings) as database:
        await database.execute("CREATE TABLE levels (level INTEGER)")
        levels = database.repository(LevelRepository)
        for _ in range(3):
            assert await levels.relaxed() == relaxed
            assert await levels.data() == data
        assert await levels.both() == (data, data)
        assert (
            await in_one_group(database, *(levels.relaxed() for _ in range(20))) == [relaxed] * 20
        )
        assert await in_one_group(database, *(levels.data() for _ in range(20))) == [data] * 20
        async with database.transaction() as unit:
            in_unit = unit.repository(LevelRepository)
            assert await in_unit.relaxed() == data
            assert await in_unit.data() == data


@pytest.mark.parametrize("order", ["data first", "relaxed first", "mixed"])
async def test_data_never_shares_a_commit_that_is_not_synced(
    path: Path, journal: str, order: str
) -> None:
    settings: dict[str, Any] = {"journal": journal, "durability": "balanced"}
    full = 2 if journal == "wal" else 3
    async with reelbase.connect(path, **settings) as database:
        await database.execute("CREATE TABLE levels (level INTEGER)")
        levels = database.repository(LevelRepository)
        kinds = {
            "data first": [True] * 5 + [False] * 5,
            "relaxed first": [False] * 5 + [True] * 5,
            "mixed": [True, False] * 5,
        }[order]
        results = await in_one_group(
            database, *(levels.data() if is_data else levels.relaxed() for is_data in kinds)
        )
        assert [level for level, is_data in zip(results, kinds, strict=True) if is_data] == [
            full
        ] * 5


async def test_data_that_comes_in_while_relaxed_ones_flow_is_synced(
    path: Path, journal: str
) -> None:
    settings: dict[str, Any] = {"journal": journal, "durability": "balanced"}
    full = 2 if journal == "wal" else 3
    async with reelbase.connect(path, **settings) as database:
        await database.execute("CREATE TABLE levels (level INTEGER)")
        levels = database.repository(LevelRepository)

        async def flow() -> None:
            while not is_over:
                await levels.relaxed()

        is_over = False
        tasks = [asyncio.create_task(flow()) for _ in range(8)]
        for _ in range(50):
            assert await levels.data() == full
        is_over = True
        await asyncio.gather(*tasks)


# Other processes.


@pytest.mark.long
async def test_another_process_can_write_beside_a_flood(path: Path, journal: str) -> None:
    script = textwrap.dedent("""
        import sqlite3, sys, time
        connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)
        waits = []
        for n in range(20):
            started = time.monotonic()
            connection.execute("INSERT INTO notes (text) VALUES (?)", (f"other {n}",))
            waits.append(time.monotonic() - started)
        print(max(waits))
    """)
    settings: dict[str, Any] = {"journal": journal}
    async with reelbase.connect(path, **settings) as database:
        await database.execute(TABLES[0])

        async def flood(task: int) -> int:
            n = 0
            while process.returncode is None:
                await database.execute(ADD, (f"{task} {n}",))
                n += 1
            return n

        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            script,
            str(path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        floods = [asyncio.create_task(flood(task)) for task in range(64)]
        try:
            output, errors = await asyncio.wait_for(process.communicate(), 20)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            counts = await asyncio.gather(*floods)
        assert errors == b""
        assert float(output) < 5
        assert min(counts) > 0


@pytest.mark.long
async def test_groups_are_bounded(notes: Database) -> None:
    async with traced(notes) as seen:
        await in_one_group(notes, *add(notes, *map(str, range(1000))))
    assert seen.count("COMMIT") >= 4


# Indexes that are brought up to date


async def found(database: Database, query: str) -> list[str]:
    return sorted(file.name for file in await database.files.search("p", query, limit=None))


INDEXES_FILES = "INSERT INTO files_fts (rowid, name"


async def test_the_search_index_is_brought_up_to_date_once_for_a_group(database: Database) -> None:
    await database.profiles.ensure("p")
    async with traced(database) as seen:
        calls = await in_one_group(
            database, *(database.files.add("p", f"film {n}", f"/{n}") for n in range(20))
        )
        assert [file.name for file in calls] == [f"film {n}" for n in range(20)]
    # A group ends after 20 ms: on a busy machine there are a few.
    assert 1 <= sum(sql.lstrip().startswith(INDEXES_FILES) for sql in seen) <= 5
    assert len(await found(database, "film")) == 20


async def test_what_looks_at_the_index_in_the_same_group_finds_it_up_to_date(
    database: Database,
) -> None:
    await database.profiles.ensure("p")
    first = await database.files.add("p", "film first", "/1")

    async def search(unit: reelbase.UnitOfWork) -> list[str]:
        return sorted(file.name for file in await unit.files.search("p", "film"))

    calls = await in_one_group(
        database,
        database.files.add("p", "film two", "/2"),
        database.atomically(search),
        database.files.update(first.id, name="film one"),
        database.files.add("p", "film three", "/3"),
        database.files.add("no profile", "film four", "/4"),
        database.files.delete(first.id),
        database.files.add("p", "film five", "/5"),
        database.atomically(search),
    )
    assert isinstance(calls[4], ConstraintError)
    assert calls[1] == ["film first", "film two"]
    assert calls[7] == ["film five", "film three", "film two"]
    assert await found(database, "film") == calls[7]
    assert (await database.check(full=True)).problems == []


async def test_a_group_whose_index_cannot_be_brought_up_to_date_runs_one_by_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.profiles.ensure("p")
    catch_up = Writer._catch_up

    def fails(writer: Writer, native: sqlite3.Connection) -> bool:
        catch_up(writer, native)
        return False

    monkeypatch.setattr(Writer, "_catch_up", fails)
    calls = await in_one_group(
        database,
        *(database.files.add("p", f"film {n}", f"/{n}") for n in range(5)),
        database.execute("UPDATE files SET folder = 'f'"),
        database.files.add("p", "film last", "/l"),
    )
    assert [getattr(call, "name", call) for call in calls] == [
        *(f"film {n}" for n in range(5)),
        5,
        "film last",
    ]
    assert len(await found(database, "film")) == 6


async def test_a_damaged_index_refuses_each_add_of_a_group_and_stores_none(
    database: Database,
) -> None:
    await database.profiles.ensure("p")
    await database.files.add("p", "film", "/0")
    await database.execute("DELETE FROM files_fts_data")
    calls = await in_one_group(
        database,
        *(database.files.add("p", f"film {n}", f"/{n}") for n in range(3)),
        database.profiles.ensure("q"),
    )
    assert [type(call) for call in calls[:3]] == [reelbase.DatabaseCorruptError] * 3
    assert calls[3].id == "q"
    assert await database.fetch_one(int, "SELECT count(*) FROM files") == 1
