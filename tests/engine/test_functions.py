"""Promises about units of work as functions: one hop, one shared commit, and a unit of work all the same."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

import reelbase
from reelbase import (
    ConstraintError,
    Database,
    DatabaseClosedError,
    DatabaseError,
    DatabaseReadOnlyError,
    RecordNotFoundError,
    Snapshot,
    UnitOfWork,
)

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


@pytest.fixture
async def notes(database: Database) -> Database:
    """The database with a table of the user's own."""
    for sql in TABLES:
        await database.execute(sql)
    return database


async def texts(database: Database) -> list[str]:
    return await database.fetch_all(str, ALL)


async def add(unit: UnitOfWork, *added: str) -> int:
    for text in added:
        await unit.execute(ADD, [text])
    return len(added)


# What it gives


async def test_it_returns_what_the_function_returns_and_stores_what_it_wrote(
    notes: Database, look: Look
) -> None:
    assert await notes.atomically(add, "a", "b") == 2
    assert look(ALL) == [("a",), ("b",)]


async def test_repositories_records_and_keywords_are_those_of_a_unit(database: Database) -> None:
    async def rename(unit: UnitOfWork, profile_id: str, *, name: str) -> reelbase.File:
        await unit.profiles.ensure(profile_id)
        file = await unit.files.add(profile_id, "old", "/old")
        with pytest.raises(RecordNotFoundError):
            await unit.profiles.get("nobody")
        assert await unit.files.list_for_profile(profile_id) == [file]
        return await unit.files.update(file.id, name=name)

    file = await database.atomically(rename, "ann", name="new")
    assert file.name == "new"
    assert await database.files.get(file.id) == file


async def test_sixty_four_at_once_that_add_one_lose_none_and_share_commits(
    database: Database,
) -> None:
    async def grow(unit: UnitOfWork) -> int:
        count = await unit.config.get("count", 0)
        await unit.config.set("count", count + 1)
        return int(count) + 1

    commits: list[str] = []

    async def grown() -> list[int]:
        return await asyncio.gather(*(database.atomically(grow) for _ in range(64)))

    database._writer.connection.native.set_trace_callback(
        lambda sql: commits.append(sql) if sql == "COMMIT" else None
    )
    try:
        assert sorted(await grown()) == list(range(1, 65))
    finally:
        database._writer.connection.native.set_trace_callback(None)
    assert await database.config.get("count") == 64
    assert len(commits) < 10


async def test_the_unit_has_one_time_an_actor_and_the_audit_trail(database: Database) -> None:
    async def make(unit: UnitOfWork) -> tuple[Any, Any]:
        assert (unit.state, unit.actor) == ("open", "ann")
        project = await unit.projects.add("p", "/w")
        return unit.now, project

    now, project = await database.atomically(make, actor="ann")
    assert project.created_at == now
    (entry,) = await database.audit.list()
    assert (entry.user_id, entry.timestamp) == ("ann", now)


async def test_it_runs_in_a_copy_of_the_callers_context(notes: Database) -> None:
    request_id = contextvars.ContextVar("request_id", default="none")
    request_id.set("r1")

    async def ask(unit: UnitOfWork) -> str:
        seen = request_id.get()
        request_id.set("changed")
        return seen

    assert await notes.atomically(ask) == "r1"
    assert request_id.get() == "r1"


async def test_a_partial_and_a_method_are_functions(notes: Database) -> None:
    class Service:
        async def add(self, unit: UnitOfWork, text: str) -> int:
            return await unit.execute(ADD, [text])

    assert await notes.atomically(Service().add, "a") == 1
    assert await notes.atomically(partial(Service().add, text="b")) == 1
    assert await texts(notes) == ["a", "b"]


# What fails


async def test_one_that_fails_undoes_itself_and_no_other_of_its_group(notes: Database) -> None:
    async def fail(unit: UnitOfWork) -> None:
        await add(unit, "undone")
        raise ZeroDivisionError("mine")

    outcomes = await asyncio.gather(
        notes.atomically(add, "a"),
        notes.atomically(fail),
        notes.execute(ADD, ["b"]),
        notes.atomically(add, "c"),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [int, ZeroDivisionError, int, int]
    assert await texts(notes) == ["a", "b", "c"]


async def test_a_call_that_fails_leaves_nothing_and_the_function_goes_on(notes: Database) -> None:
    async def try_all(unit: UnitOfWork) -> None:
        await add(unit, "a")
        with pytest.raises(ConstraintError):
            await add(unit, "a")
        with pytest.raises(ConstraintError):
            await unit.execute_many(ADD, [["x"], ["y"], ["a"]])
        with pytest.raises(ConstraintError):
            await unit.execute("INSERT OR FAIL INTO notes (text) VALUES ('z'), ('a')")
        with pytest.raises(DatabaseError):  # a row that does not fit
            await unit.fetch_one(int, "INSERT INTO notes (text) VALUES ('w') RETURNING 'no number'")
        with pytest.raises(ConstraintError):
            await unit.files.add("no profile", "f", "/f")
        await add(unit, "b")

    await notes.atomically(try_all)
    assert await texts(notes) == ["a", "b"]


async def test_savepoints_are_those_of_a_unit(notes: Database) -> None:
    async def outer(unit: UnitOfWork) -> None:
        async with unit.savepoint():
            await add(unit, "a")
            with pytest.raises(ZeroDivisionError):
                async with unit.savepoint():
                    await add(unit, "b")
                    raise ZeroDivisionError
            async with unit.savepoint():
                await add(unit, "c")

    await notes.atomically(outer)
    assert await texts(notes) == ["a", "c"]


async def test_rollback_undoes_everything_and_the_result_is_returned(notes: Database) -> None:
    async def regret(unit: UnitOfWork) -> str:
        await add(unit, "a")
        await unit.rollback()
        with pytest.raises(DatabaseClosedError) as caught:
            await add(unit, "b")
        assert caught.value.code == "unit_ended"
        return "regretted"

    assert await notes.atomically(regret) == "regretted"
    assert await texts(notes) == []


async def test_a_transaction_that_sqlite_rolls_back_is_lost_and_the_others_run_again(
    notes: Database,
) -> None:
    runs = 0

    async def counted(unit: UnitOfWork) -> None:
        nonlocal runs
        runs += 1
        await add(unit, "a")

    async def poison(unit: UnitOfWork) -> None:
        await add(unit, "b")
        with pytest.raises(ConstraintError):
            await add(unit, "poison")
        await add(unit, "c")

    outcomes = await asyncio.gather(
        notes.atomically(counted), notes.atomically(poison), return_exceptions=True
    )
    assert outcomes[0] is None
    assert isinstance(outcomes[1], DatabaseError)
    assert outcomes[1].code == "transaction_lost"
    assert runs == 2
    assert await texts(notes) == ["a"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
async def test_what_is_no_exception_reaches_the_caller_and_ends_no_thread(
    kind: type[BaseException], notes: Database
) -> None:
    async def leave(unit: UnitOfWork) -> None:
        await add(unit, "undone")
        raise kind

    caught: BaseException | None = None
    try:
        await notes.atomically(leave)
    except BaseException as error:
        caught = error
    assert type(caught) is kind
    assert await notes.execute(ADD, ["next"]) == 1
    assert await texts(notes) == ["next"]


# What it may await


async def sleep_not_at_all(unit: UnitOfWork) -> None:
    await asyncio.sleep(0)


async def sleep(unit: UnitOfWork) -> None:
    await asyncio.sleep(0.01)


async def ask_a_thread(unit: UnitOfWork) -> None:
    await asyncio.to_thread(time.time)


async def wait_for_a_future(unit: UnitOfWork) -> None:
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("other", [sleep_not_at_all, sleep, ask_a_thread, wait_for_a_future])
async def test_another_await_is_an_error_that_names_the_function(
    other: Callable[[UnitOfWork], Awaitable[None]], notes: Database
) -> None:
    ended: list[str] = []

    async def work(unit: UnitOfWork) -> None:
        await add(unit, "undone")
        try:
            await other(unit)
        finally:
            ended.append("finally")

    with pytest.raises(TypeError, match=r"work\(\) awaits something .* use transaction\(\)"):
        await notes.atomically(work)
    assert ended == ["finally"]
    assert await texts(notes) == []


async def test_a_call_of_the_database_inside_is_such_an_await(notes: Database) -> None:
    async def work(unit: UnitOfWork) -> None:
        await notes.execute(ADD, ["elsewhere"])

    with pytest.raises(TypeError, match=r"work\(\) awaits something"):
        await notes.atomically(work)
    assert await texts(notes) == []


def no_coroutine(unit: UnitOfWork) -> int:
    return 1


async def generator(unit: UnitOfWork) -> Any:
    yield 1


@pytest.mark.parametrize("function", [no_coroutine, generator])
async def test_a_function_that_is_not_async_is_refused(function: Any, notes: Database) -> None:
    with pytest.raises(TypeError, match=f"{function.__name__}.* must be an async def function"):
        await notes.atomically(function)


async def test_a_stream_inside_sees_one_moment_and_is_closed_at_the_end(notes: Database) -> None:
    await notes.execute_many(ADD, [[str(n)] for n in range(20)])
    left: list[Any] = []

    async def copy(unit: UnitOfWork) -> int:
        count = 0
        async for text in unit.stream(str, ALL, batch=3):
            await add(unit, f"copy of {text}")
            count += 1
        forgotten = unit.stream(str, ALL, batch=3)
        left.append((forgotten, await anext(forgotten)))
        return count

    assert await notes.atomically(copy) == 20
    assert len(await texts(notes)) == 40
    assert await notes.checkpoint() or notes.journal.mode != "wal"
    with pytest.raises(DatabaseClosedError):
        for _ in range(20):
            await anext(left[0][0])


async def test_a_unit_that_outlives_its_function_is_refused(notes: Database) -> None:
    kept: list[UnitOfWork] = []

    async def keep(unit: UnitOfWork) -> None:
        kept.append(unit)
        await add(unit, "a")

    await notes.atomically(keep)
    with pytest.raises(DatabaseClosedError) as caught:
        await kept[0].fetch_one(int, "SELECT 1")
    assert caught.value.code == "unit_ended"
    assert kept[0].state == "unknown"


async def test_a_unit_that_another_thread_uses_meanwhile_is_refused(notes: Database) -> None:
    errors: list[BaseException] = []

    async def lend(unit: UnitOfWork) -> None:
        def use() -> None:
            try:
                asyncio.run(unit.fetch_one(int, "SELECT 1"))
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()

    await notes.atomically(lend)
    assert [type(error) for error in errors] == [RuntimeError]


# Waiting, cancelling, closing


async def test_a_cancelled_one_that_waits_does_not_run(notes: Database) -> None:
    async with notes.transaction():
        waiting = asyncio.create_task(in_a_task(notes.atomically(add, "never")))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert await texts(notes) == []


async def in_a_task(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def test_a_cancelled_one_that_runs_is_undone_at_its_next_call(notes: Database) -> None:
    inside, go_on = threading.Event(), threading.Event()

    async def slow(unit: UnitOfWork) -> None:
        await add(unit, "undone")
        inside.set()
        go_on.wait(5)
        await add(unit, "never")

    task = asyncio.create_task(in_a_task(notes.atomically(slow)))
    await asyncio.to_thread(inside.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert await notes.execute(ADD, ["next"]) == 1
    assert await texts(notes) == ["next"]


async def test_a_cancel_interrupts_the_statement_that_runs(notes: Database) -> None:
    inside = threading.Event()

    async def endless(unit: UnitOfWork) -> None:
        await add(unit, "undone")
        inside.set()
        await unit.fetch_one(
            int,
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        )

    task = asyncio.create_task(in_a_task(notes.atomically(endless)))
    await asyncio.to_thread(inside.wait, 5)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await notes.execute(ADD, ["next"]) == 1
    assert time.monotonic() - began < 5
    assert await texts(notes) == ["next"]


async def test_inside_a_unit_of_the_same_task_it_is_refused_at_once(notes: Database) -> None:
    async with notes.transaction():
        with pytest.raises(DatabaseError) as caught:
            await notes.atomically(add, "a")
    assert caught.value.code == "inside_unit"


async def test_a_closed_database_refuses_it(notes: Database) -> None:
    await notes.close()
    with pytest.raises(DatabaseClosedError):
        await notes.atomically(add, "a")
    with pytest.raises(DatabaseClosedError):
        await notes.reading(add, "a")


async def test_a_read_only_database_refuses_it_and_reads(notes: Database, path: Path) -> None:
    await notes.execute(ADD, ["a"])
    await notes.close()
    async with reelbase.connect(path, read_only=True) as database:
        with pytest.raises(DatabaseReadOnlyError):
            await database.atomically(add, "b")
        assert await database.reading(count_of_notes) == 1


async def count_of_notes(view: Snapshot | UnitOfWork) -> int:
    return await view.fetch_one(int, "SELECT count(*) FROM notes")


async def test_one_that_holds_the_database_for_long_is_logged(
    path: Path, journal: Literal["wal", "delete"], caplog: pytest.LogCaptureFixture
) -> None:
    async def compute(unit: UnitOfWork) -> None:
        time.sleep(0.05)  # noqa: ASYNC251 - what it computes for long

    async with reelbase.connect(path, journal=journal, slow_transaction=0.02) as database:
        with caplog.at_level(logging.WARNING, "reelbase"):
            await database.atomically(compute)
    assert "compute() has held the database for 0." in caplog.text


async def test_its_slow_statements_are_logged_in_the_name_of_the_method(
    path: Path, journal: Literal["wal", "delete"], caplog: pytest.LogCaptureFixture
) -> None:
    async def ensure(unit: UnitOfWork) -> None:
        await unit.profiles.ensure("p")

    async with reelbase.connect(path, journal=journal, slow_query=0) as database:
        with caplog.at_level(logging.INFO, "reelbase.sql"):
            await database.atomically(ensure)
    assert "ProfileRepository.ensure" in caplog.text


# Reading


async def test_all_reads_of_a_function_see_one_moment(notes: Database) -> None:
    await notes.execute(ADD, ["a"])
    inside, go_on = threading.Event(), threading.Event()

    async def twice(view: Snapshot) -> tuple[int, int]:
        first = await count_of_notes(view)
        inside.set()
        go_on.wait(5)
        return first, await count_of_notes(view)

    reading = asyncio.create_task(in_a_task(notes.reading(twice)))
    await asyncio.to_thread(inside.wait, 5)
    writing = asyncio.create_task(in_a_task(notes.execute(ADD, ["b"])))
    await asyncio.sleep(0.05)
    go_on.set()
    assert await reading == (1, 1)
    await writing
    assert await notes.reading(count_of_notes) == 2


WITH_INSERT = "WITH new(text) AS (VALUES ('w')) INSERT INTO notes (text) SELECT text FROM new"


@pytest.mark.parametrize("sql", ["INSERT INTO notes (text) VALUES ('x')", WITH_INSERT])
@pytest.mark.parametrize("in_memory", [False, True])
async def test_a_write_inside_reading_is_refused(
    sql: str, in_memory: bool, path: Path, journal: Literal["wal", "delete"]
) -> None:
    async def write(view: Any) -> None:
        await view.fetch_all(tuple, sql)

    where: dict[str, Any] = {} if in_memory else {"journal": journal}
    async with reelbase.connect(":memory:" if in_memory else path, **where) as database:
        await database.execute(TABLES[0])
        with pytest.raises(DatabaseReadOnlyError):
            await database.reading(write)
        assert await database.reading(count_of_notes) == 0
        assert await database.execute(ADD, ["a"]) == 1
        assert await database.atomically(add, "b") == 1
        assert await database.reading(count_of_notes) == 2
