"""Promises about units of work: together or not at all, and the truth about which of the two."""

from __future__ import annotations

import asyncio
import gc
import logging
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

import reelbase
from reelbase import (
    ConstraintError,
    Database,
    DatabaseBusyError,
    DatabaseClosedError,
    DatabaseError,
    DatabaseFullError,
    NewFile,
    UnitOfWork,
)
from reelbase.testing.clock import START, FrozenClock

T = TypeVar("T")
Look = Callable[[str], list[tuple[object, ...]]]

TABLES = (
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT",
    "CREATE TABLE counters (id INTEGER PRIMARY KEY, value INTEGER NOT NULL) STRICT",
    """
    CREATE TRIGGER notes_poison BEFORE INSERT ON notes WHEN NEW.text = 'poison'
    BEGIN
      SELECT RAISE(ROLLBACK, 'poisoned');
    END
    """,
)
ADD = "INSERT INTO notes (text) VALUES (?)"
ALL = "SELECT text FROM notes ORDER BY id"


class Boom(Exception):
    """What a test raises."""


class Abort(BaseException):
    """Like KeyboardInterrupt: no Exception."""


@pytest.fixture
async def notes(database: Database) -> Database:
    """The database with tables of the user's own."""
    for sql in TABLES:
        await database.execute(sql)
    return database


async def in_another_task(call: Awaitable[T]) -> T:
    async def wait() -> T:
        return await call

    return await asyncio.create_task(wait())


@asynccontextmanager
async def impatient(path: Path, journal: str, **options: Any) -> AsyncIterator[Database]:
    """A database that waits 0.2 s for a lock."""
    settings: dict[str, Any] = {"busy_timeout": 0.2, "journal": journal, **options}
    async with reelbase.connect(path, **settings) as database:
        for sql in TABLES:
            await database.execute(sql.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
        yield database


@contextmanager
def foreign_lock(path: Path) -> Iterator[sqlite3.Connection]:
    """Another connection in the middle of a write."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=1)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
    finally:
        connection.close()


def state(unit: UnitOfWork) -> str:
    """As str, so that a type checker lets it change."""
    state: str = unit.state
    return state


async def fails(unit: UnitOfWork, sql: str, *params: object) -> DatabaseError:
    with pytest.raises(DatabaseError) as caught:
        await unit.execute(sql, params)
    return caught.value


# Leaving the block.


async def test_leaving_the_block_commits(notes: Database, look: Look) -> None:
    async with notes.transaction() as unit:
        assert await unit.execute(ADD, ("a",)) == 1
        assert await unit.execute(ADD, ("b",)) == 1
        assert look(ALL) == []
    assert look(ALL) == [("a",), ("b",)]


async def test_a_unit_without_a_statement_is_committed(notes: Database) -> None:
    async with notes.transaction() as unit:
        pass
    assert unit.state == "committed"


@pytest.mark.parametrize("error", [Boom(), Abort(), asyncio.CancelledError(), GeneratorExit()])
async def test_any_exception_rolls_back_and_passes_through(
    notes: Database, look: Look, error: BaseException
) -> None:
    units: list[UnitOfWork] = []

    async def work() -> None:
        async with notes.transaction() as unit:
            units.append(unit)
            await unit.execute(ADD, ("a",))
            raise error

    with pytest.raises(type(error)) as caught:
        await work()
    assert caught.value is error
    assert look(ALL) == []
    assert units[0].state == "rolled_back"
    assert await notes.execute(ADD, ("next",)) == 1


async def test_a_cancelled_task_rolls_back(notes: Database, look: Look) -> None:
    units: list[UnitOfWork] = []
    inside = asyncio.Event()

    async def work() -> None:
        async with notes.transaction() as unit:
            units.append(unit)
            await unit.execute(ADD, ("a",))
            inside.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert units[0].state == "rolled_back"
    assert look(ALL) == []
    assert await notes.execute(ADD, ("next",)) == 1


async def test_a_timeout_around_a_unit_rolls_back(notes: Database, look: Look) -> None:
    async def work() -> None:
        async with asyncio.timeout(0.05), notes.transaction() as unit:
            await unit.execute(ADD, ("a",))
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await work()
    assert look(ALL) == []


async def test_a_unit_sees_its_own_changes_and_nobody_else_does(notes: Database) -> None:
    async with notes.transaction() as unit:
        await unit.execute(ADD, ("a",))
        assert await unit.fetch_all(str, ALL) == ["a"]
        assert await notes.fetch_all(str, ALL) == []
    assert await notes.fetch_all(str, ALL) == ["a"]


async def test_repositories_of_a_unit_share_its_transaction(
    notes: Database, database: Database, look: Look
) -> None:
    async def work() -> None:
        async with database.transaction() as unit:
            profile = await unit.profiles.ensure("p")
            await unit.files.add(profile.id, "name", "path")
            assert await unit.files.count_for_profile("p") == 1
            raise Boom

    with pytest.raises(Boom):
        await work()
    assert look("SELECT count(*) FROM profiles") == [(0,)]
    assert look("SELECT count(*) FROM files") == [(0,)]


# Savepoints.


async def test_an_inner_failure_undoes_only_the_inner_part(notes: Database, look: Look) -> None:
    async def inner(unit: UnitOfWork) -> None:
        async with unit.savepoint():
            await unit.execute(ADD, ("inner",))
            assert await unit.fetch_all(str, ALL) == ["before", "inner"]
            raise Boom

    async with notes.transaction() as unit:
        await unit.execute(ADD, ("before",))
        with pytest.raises(Boom):
            await inner(unit)
        assert state(unit) == "open"
        assert await unit.fetch_all(str, ALL) == ["before"]
        await unit.execute(ADD, ("after",))
    assert look(ALL) == [("before",), ("after",)]


async def test_savepoints_nest(notes: Database, look: Look) -> None:
    async def innermost(unit: UnitOfWork) -> None:
        async with unit.savepoint():
            await unit.execute(ADD, ("2 undone",))
            raise Boom

    async def middle(unit: UnitOfWork) -> None:
        async with unit.savepoint():
            await unit.execute(ADD, ("1 undone",))
            async with unit.savepoint():
                await unit.execute(ADD, ("2 kept at first",))
            raise Boom

    async with notes.transaction() as unit:
        async with unit.savepoint():
            await unit.execute(ADD, ("1 kept",))
            with pytest.raises(Boom):
                await innermost(unit)
            await unit.execute(ADD, ("1 kept too",))
        with pytest.raises(Boom):
            await middle(unit)
    assert look(ALL) == [("1 kept",), ("1 kept too",)]


async def test_a_kept_savepoint_goes_with_its_unit(notes: Database, look: Look) -> None:
    async def work() -> None:
        async with notes.transaction() as unit:
            async with unit.savepoint():
                await unit.execute(ADD, ("inner",))
            raise Boom

    with pytest.raises(Boom):
        await work()
    assert look(ALL) == []


async def test_a_savepoint_undoes_for_any_exception(notes: Database, look: Look) -> None:
    async def inner(unit: UnitOfWork, error: BaseException) -> None:
        async with unit.savepoint():
            await unit.execute(ADD, ("inner",))
            raise error

    async with notes.transaction() as unit:
        for error in (Abort(), asyncio.CancelledError()):
            with pytest.raises(type(error)):
                await inner(unit, error)
        await unit.execute(ADD, ("after",))
    assert look(ALL) == [("after",)]


async def test_a_task_cancelled_inside_a_savepoint_undoes_only_that(
    notes: Database, look: Look
) -> None:
    inside = asyncio.Event()

    async def inner(unit: UnitOfWork) -> None:
        async with unit.savepoint():
            await unit.execute(ADD, ("inner",))
            inside.set()
            await asyncio.sleep(60)

    async with notes.transaction() as unit:
        await unit.execute(ADD, ("before",))
        task = asyncio.create_task(inner(unit))
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await unit.execute(ADD, ("after",))
    assert look(ALL) == [("before",), ("after",)]


async def test_a_savepoint_that_is_cancelled_twice_while_it_opens_is_gone(
    notes: Database, look: Look
) -> None:
    loop = asyncio.get_running_loop()

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        async with notes.transaction() as unit:
            await unit.execute(ADD, ("before",))
            loop.call_soon(task.cancel)
            loop.call_soon(lambda: loop.call_soon(task.cancel))  # while the first cancel is undone
            with suppress(asyncio.CancelledError):
                async with unit.savepoint():
                    await unit.execute(ADD, ("undone",))
            await unit.execute(ADD, ("after",))

    await asyncio.create_task(work())
    assert look(ALL) == [("before",), ("after",)]


async def test_a_savepoint_left_before_one_inside_it_undoes_the_unit(
    notes: Database, look: Look
) -> None:
    inner_is_open, outer_has_left = asyncio.Event(), asyncio.Event()

    async def inner(unit: UnitOfWork) -> None:
        async with unit.savepoint():
            inner_is_open.set()
            await outer_has_left.wait()

    async def outer(unit: UnitOfWork) -> asyncio.Task[None]:
        async with unit.savepoint():
            task = asyncio.create_task(inner(unit))
            await inner_is_open.wait()
        return task

    async def work() -> None:
        async with notes.transaction() as unit:
            await unit.execute(ADD, ("a",))
            try:
                await outer(unit)
            finally:
                outer_has_left.set()
                await asyncio.sleep(0.05)

    with pytest.raises(DatabaseError) as caught:
        await work()
    assert caught.value.code == "savepoint"
    assert look(ALL) == []
    assert await notes.execute(ADD, ("next",)) == 1


async def test_a_savepoint_never_undoes_what_another_task_was_told_is_done(
    notes: Database, look: Look
) -> None:
    is_open, may_fail = asyncio.Event(), asyncio.Event()

    async def fails(unit: UnitOfWork) -> None:
        async with unit.savepoint():
            await unit.execute(ADD, ("undone",))
            is_open.set()
            await may_fail.wait()
            raise Boom

    async with notes.transaction() as unit:
        task = asyncio.create_task(fails(unit))
        await is_open.wait()
        for call in (
            unit.execute(ADD, ("x",)),
            unit.profiles.ensure("p"),
            unit.savepoint().__aenter__(),
        ):
            with pytest.raises(DatabaseError) as caught:
                await call
            assert caught.value.code == "savepoint"
        assert await unit.fetch_one(int, "SELECT 1") == 1  # a read takes nothing along
        may_fail.set()
        with pytest.raises(Boom):
            await task
        await unit.execute(ADD, ("kept",))
    assert look(ALL) == [("kept",)]


async def test_tasks_started_in_a_savepoint_write_in_it(notes: Database, look: Look) -> None:
    async with notes.transaction() as unit:
        async with unit.savepoint():
            await asyncio.gather(*(unit.execute(ADD, (text,)) for text in "abc"))
        with pytest.raises(Boom):
            async with unit.savepoint():
                async with asyncio.TaskGroup() as group:
                    for text in "de":
                        group.create_task(unit.execute(ADD, (text,)))
                raise Boom
    assert look(ALL) == [("a",), ("b",), ("c",)]


async def test_units_of_two_databases_have_savepoints_of_their_own(
    notes: Database, look: Look, tmp_path: Path
) -> None:
    async with (
        reelbase.connect(tmp_path / "other.db") as other,
        notes.transaction() as unit,
        other.transaction() as foreign,
        unit.savepoint(),
        foreign.savepoint(),
    ):
        await unit.execute(ADD, ("a",))
        await foreign.profiles.ensure("p")
        async with unit.savepoint():
            await unit.execute(ADD, ("b",))
        await foreign.profiles.ensure("q")
    assert look(ALL) == [("a",), ("b",)]


async def test_a_savepoint_of_an_ended_unit_is_refused(notes: Database) -> None:
    async with notes.transaction() as unit:
        pass

    async def late() -> None:
        async with unit.savepoint():
            pytest.fail("entered")

    with pytest.raises(DatabaseClosedError):
        await late()


async def test_rollback_inside_a_savepoint_ends_the_unit(notes: Database, look: Look) -> None:
    async with notes.transaction() as unit:
        await unit.execute(ADD, ("a",))
        async with unit.savepoint():
            await unit.execute(ADD, ("b",))
            await unit.rollback()
    assert unit.state == "rolled_back"
    assert look(ALL) == []
    assert await notes.execute(ADD, ("next",)) == 1


# The end of a unit.


async def test_rollback_undoes_everything_and_leaving_is_quiet(notes: Database, look: Look) -> None:
    async with notes.transaction() as unit:
        await unit.execute(ADD, ("a",))
        await unit.rollback()
        assert state(unit) == "rolled_back"
        with pytest.raises(DatabaseClosedError):
            await unit.execute(ADD, ("b",))
        with pytest.raises(DatabaseClosedError):
            await unit.profiles.ensure("p")
        assert await notes.execute(ADD, ("others can write at once",)) == 1
    assert look(ALL) == [("others can write at once",)]


async def test_rollback_twice_is_quiet(notes: Database) -> None:
    async with notes.transaction() as unit:
        await unit.rollback()
        await unit.rollback()
    await unit.rollback()
    assert unit.state == "rolled_back"


async def test_rollback_after_the_commit_changes_nothing(notes: Database, look: Look) -> None:
    async with notes.transaction() as unit:
        await unit.execute(ADD, ("a",))
    await unit.rollback()
    assert unit.state == "committed"
    assert look(ALL) == [("a",)]


async def test_an_exception_after_rollback_passes_through(notes: Database) -> None:
    async def work() -> None:
        async with notes.transaction() as unit:
            await unit.rollback()
            raise Boom

    with pytest.raises(Boom):
        await work()


@pytest.mark.parametrize("end", ["commit", "exception"])
async def test_use_after_the_end_is_refused(notes: Database, end: str, look: Look) -> None:
    async def work() -> UnitOfWork:
        async with notes.transaction() as unit:
            units.append(unit)
            if end == "exception":
                raise Boom
        return unit

    units: list[UnitOfWork] = []
    if end == "exception":
        with pytest.raises(Boom):
            await work()
    else:
        await work()
    (unit,) = units
    repository = unit.profiles
    calls: list[Callable[[], Any]] = [
        lambda: unit.execute(ADD, ("late",)),
        lambda: unit.execute_many(ADD, [("late",)]),
        lambda: unit.fetch_all(str, ALL),
        lambda: unit.fetch_optional(str, ALL),
        lambda: unit.stream(str, ALL).__anext__(),
        lambda: repository.ensure("late"),
    ]
    for call in calls:
        with pytest.raises(DatabaseClosedError):
            await asyncio.wait_for(call(), 5)
    assert look(ALL) == []


# .now, .actor, .state.


async def test_all_rows_of_a_unit_get_one_timestamp(database: Database, clock: FrozenClock) -> None:
    async with database.transaction() as unit:
        clock.advance(5)
        profile = await unit.profiles.ensure("p")
        clock.advance(5)
        file = await unit.files.add("p", "name", "path")
        clock.advance(5)
        files = await unit.files.add_many("p", [NewFile("b", "b"), NewFile("c", "c")])
        assert unit.now == START
    assert {profile.created_at, file.created_at, *(f.created_at for f in files)} == {START}
    assert (await database.profiles.ensure("q")).created_at == START + timedelta(seconds=15)


async def test_the_timestamp_is_that_of_the_beginning_not_of_the_waiting(
    database: Database, clock: FrozenClock
) -> None:
    async def second() -> UnitOfWork:
        async with database.transaction() as unit:
            pass
        return unit

    async with database.transaction():
        task = asyncio.create_task(second())
        await asyncio.sleep(0.02)
        moment = clock.advance(60)
    assert (await task).now == moment


async def test_now_is_what_is_stored(path: Path, journal: str) -> None:
    async with impatient(path, journal) as database:
        async with database.transaction() as unit:
            profile = await unit.profiles.ensure("p")
            assert profile.created_at == unit.now
        assert (await database.profiles.get("p")).created_at == unit.now


async def test_a_clock_that_fails_leaves_no_transaction(path: Path, journal: str) -> None:
    def clock() -> Any:
        if is_broken:
            raise Boom
        return START

    is_broken = False
    async with impatient(path, journal, clock=clock) as database:
        is_broken = True
        with pytest.raises(Boom):
            await database.transaction().__aenter__()
        is_broken = False
        assert await database.execute(ADD, ("next",)) == 1


async def test_the_actor_is_what_was_given(database: Database) -> None:
    async with database.transaction(actor="ann") as unit:
        assert unit.actor == "ann"
    async with database.transaction() as unit:
        assert unit.actor is None


async def test_the_state_in_every_ordinary_case(notes: Database) -> None:
    async def abandoned() -> None:
        async with notes.transaction() as unit:
            units.append(unit)
            raise Boom

    units: list[UnitOfWork] = []
    async with notes.transaction() as unit:
        assert state(unit) == "open"
        await unit.execute(ADD, ("a",))
        assert state(unit) == "open"
    assert state(unit) == "committed"
    async with notes.transaction() as unit:
        await unit.rollback()
        assert state(unit) == "rolled_back"
    assert state(unit) == "rolled_back"
    with pytest.raises(Boom):
        await abandoned()
    assert state(units[0]) == "rolled_back"


async def test_a_cancel_during_commit_tells_the_outcome_in_the_state(
    notes: Database, look: Look
) -> None:
    units: list[UnitOfWork] = []

    async def work() -> None:
        async with notes.transaction() as unit:
            units.append(unit)
            await unit.execute(ADD, ("a",))
            asyncio.get_running_loop().call_soon(task.cancel)

    task = asyncio.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert state(units[0]) == "committed"
    assert look(ALL) == [("a",)]


async def test_an_uncertain_commit_makes_the_state_unknown(
    notes: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reelbase.engine.threads import transaction

    def failing(native: sqlite3.Connection) -> sqlite3.Error:
        native.execute("ROLLBACK")
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        return error

    async def work() -> None:
        async with notes.transaction() as unit:
            units.append(unit)
            await unit.execute(ADD, ("a",))

    units: list[UnitOfWork] = []
    with monkeypatch.context() as patch:
        patch.setattr(transaction, "commit", failing)
        with pytest.raises(reelbase.CommitUncertainError) as caught:
            await work()
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert state(units[0]) == "unknown"
    assert await notes.execute(ADD, ("next",)) == 1


@pytest.mark.long
async def test_a_cancel_waits_for_a_disk_that_does_not_answer_only_so_long(
    path: Path, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reelbase.engine.file.commit import commit
    from reelbase.engine.threads import transaction

    answers = threading.Event()

    def hung(native: sqlite3.Connection) -> Exception | None:
        answers.wait(10)
        return commit(native)

    async def work() -> None:
        async with database.transaction() as unit:
            units.append(unit)
            await unit.execute(ADD, ("a",))
            asyncio.get_running_loop().call_later(0.05, task.cancel)

    units: list[UnitOfWork] = []
    loop = asyncio.get_running_loop()
    async with impatient(path, journal, busy_timeout=0.0) as database:
        monkeypatch.setattr(transaction, "commit", hung)
        task = asyncio.create_task(work())
        started = loop.time()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert 0.9 < loop.time() - started < 5  # busy_timeout and a second
        assert state(units[0]) == "unknown"
        answers.set()
        async with asyncio.timeout(5):
            while state(units[0]) != "committed":  # noqa: ASYNC110 - the truth, once it is known
                await asyncio.sleep(0.01)
        assert await database.execute(ADD, ("next",)) == 1


# Statements in a unit.


async def test_statements_of_several_tasks_at_once_in_one_unit(notes: Database, look: Look) -> None:
    async with notes.transaction() as unit:
        await asyncio.gather(*(unit.execute(ADD, (f"{n:03}",)) for n in range(100)))
        counts = await asyncio.gather(
            *(unit.fetch_one(int, "SELECT count(*) FROM notes") for _ in range(50))
        )
        assert set(counts) == {100}
    assert look("SELECT count(*), count(DISTINCT text) FROM notes") == [(100, 100)]


async def test_a_failing_statement_leaves_the_unit_usable(notes: Database, look: Look) -> None:
    async with notes.transaction() as unit:
        await unit.execute(ADD, ("a",))
        assert isinstance(await fails(unit, ADD, "a"), ConstraintError)
        assert (await fails(unit, "SELEKT")).code == "statement"
        assert state(unit) == "open"
        await unit.execute(ADD, ("b",))
    assert look(ALL) == [("a",), ("b",)]


async def test_a_failing_one_among_many_at_once_affects_no_other(
    notes: Database, look: Look
) -> None:
    async with notes.transaction() as unit:
        results = await asyncio.gather(
            *(unit.execute(ADD, (str(n % 7),)) for n in range(14)), return_exceptions=True
        )
    assert [result for result in results if not isinstance(result, ConstraintError)] == [1] * 7
    assert look("SELECT count(*) FROM notes") == [(7,)]


async def test_a_multi_step_method_is_atomic_inside_a_unit(database: Database, look: Look) -> None:
    async with database.transaction() as unit:
        await unit.profiles.ensure("p")
        taken = await unit.files.add("p", "a", "a")
        with pytest.raises(ConstraintError):
            await unit.files.add_many("p", [NewFile("b", "b"), NewFile("c", "c", id=taken.id)])
        assert await unit.files.count_for_profile("p") == 1
        await unit.files.add("p", "d", "d")
    assert look("SELECT name FROM files ORDER BY name") == [("a",), ("d",)]


async def test_execute_many_is_atomic_inside_a_unit(notes: Database, look: Look) -> None:
    async with notes.transaction() as unit:
        await unit.execute(ADD, ("before",))
        with pytest.raises(ConstraintError):
            await unit.execute_many(ADD, [("x",), ("y",), ("x",)])
        assert await unit.execute_many(ADD, [("m",), ("n",)]) == 2
    assert look(ALL) == [("before",), ("m",), ("n",)]


async def test_a_multi_step_failure_inside_a_savepoint_undoes_only_itself(
    notes: Database, look: Look
) -> None:
    async with notes.transaction() as unit:
        async with unit.savepoint():
            await unit.execute(ADD, ("inner",))
            with pytest.raises(ConstraintError):
                await unit.execute_many(ADD, [("x",), ("x",)])
        await unit.execute(ADD, ("after",))
    assert look(ALL) == [("inner",), ("after",)]


async def test_ddl_belongs_to_the_unit(notes: Database, look: Look) -> None:
    async def work() -> None:
        async with notes.transaction() as unit:
            await unit.execute("CREATE TABLE other (x)")
            await unit.execute("INSERT INTO other VALUES (1)")
            raise Boom

    with pytest.raises(Boom):
        await work()
    assert look("SELECT count(*) FROM sqlite_schema WHERE name = 'other'") == [(0,)]


@pytest.mark.parametrize("sql", ["BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT x", "RELEASE x"])
async def test_nobody_else_ends_the_transaction(notes: Database, look: Look, sql: str) -> None:
    async with notes.transaction() as unit:
        await unit.execute(ADD, ("a",))
        await fails(unit, f"-- a comment\n /* and one */ {sql}")
        assert look(ALL) == []
        assert state(unit) == "open"
    assert look(ALL) == [("a",)]


# A transaction that SQLite ended by itself.


async def test_a_poisoned_unit_refuses_everything_and_does_not_commit(
    notes: Database, look: Look
) -> None:
    units: list[UnitOfWork] = []

    async def work() -> None:
        async with notes.transaction() as unit:
            units.append(unit)
            await unit.execute(ADD, ("before",))
            error = await fails(unit, ADD, "poison")
            assert isinstance(error, ConstraintError)
            assert error.constraint == "poisoned"
            assert (await fails(unit, ADD, "after")).code == "transaction_lost"
            with pytest.raises(DatabaseError) as caught:
                await unit.fetch_all(str, ALL)
            assert caught.value.code == "transaction_lost"

    with pytest.raises(DatabaseError) as caught:
        await work()
    assert caught.value.code == "transaction_lost"
    assert state(units[0]) == "rolled_back"
    assert look(ALL) == []
    assert await notes.execute(ADD, ("next",)) == 1


async def test_a_poisoned_unit_passes_the_error_of_its_body_through(
    notes: Database, look: Look
) -> None:
    async def work() -> None:
        async with notes.transaction() as unit:
            await unit.execute(ADD, ("before",))
            await unit.execute(ADD, ("poison",))

    with pytest.raises(ConstraintError):
        await work()
    assert look(ALL) == []


async def test_a_savepoint_of_a_poisoned_unit_passes_the_error_of_its_body_through(
    notes: Database, look: Look
) -> None:
    async def work() -> None:
        async with notes.transaction() as unit, unit.savepoint():
            await unit.execute(ADD, ("poison",))

    with pytest.raises(ConstraintError):
        await work()
    assert look(ALL) == []


async def test_a_poisoned_multi_step_method_poisons_the_unit(notes: Database, look: Look) -> None:
    async def work() -> None:
        async with notes.transaction() as unit:
            await unit.execute(ADD, ("before",))
            with pytest.raises(ConstraintError):
                await unit.execute_many(ADD, [("x",), ("poison",), ("y",)])
            await unit.execute(ADD, ("after",))

    with pytest.raises(DatabaseError) as caught:
        await work()
    assert caught.value.code == "transaction_lost"
    assert look(ALL) == []


async def test_what_was_queued_behind_the_poison_is_refused_too(
    notes: Database, look: Look
) -> None:
    async def work() -> None:
        async with notes.transaction() as unit:
            results = await asyncio.gather(
                *(unit.execute(ADD, (text,)) for text in ("a", "poison", "b", "c")),
                return_exceptions=True,
            )
            assert results[0] == 1
            assert all(isinstance(result, DatabaseError) for result in results[1:])

    with pytest.raises(DatabaseError):
        await work()
    assert look(ALL) == []


async def limit_pages(database: Database, pages: int) -> None:
    sql = f"PRAGMA max_page_count = {pages}"
    await database._writer.call(lambda native: native.execute(sql).fetchall())


async def test_a_full_disk_poisons_the_unit_and_writes_resume_once_there_is_space(
    notes: Database, look: Look
) -> None:
    async def work() -> None:
        async with notes.transaction() as unit:
            units.append(unit)
            await unit.execute(ADD, ("small",))
            # A table so plain that SQLite keeps no statement journal and rolls everything back.
            errors.append(await fails(unit, "INSERT INTO blobs VALUES (zeroblob(1000000))"))
            errors.append(await fails(unit, ADD, "after"))

    units: list[UnitOfWork] = []
    errors: list[DatabaseError] = []
    await notes.execute("CREATE TABLE blobs (x)")
    await limit_pages(notes, await notes.fetch_one(int, "PRAGMA page_count") + 5)
    with pytest.raises(DatabaseError) as caught:
        await work()
    assert caught.value.code == "transaction_lost"
    assert isinstance(errors[0], DatabaseFullError)
    assert errors[0].http_status == 507
    assert errors[1].code == "transaction_lost"
    assert state(units[0]) == "rolled_back"
    assert look(ALL) == []
    with pytest.raises(DatabaseFullError):
        await notes.execute(ADD, ("x" * 1_000_000,))
    await limit_pages(notes, 1_000_000)
    assert await notes.execute(ADD, ("x" * 1_000_000,)) == 1


async def test_a_statement_that_alone_does_not_fit_leaves_the_unit_usable(
    notes: Database, look: Look
) -> None:
    await limit_pages(notes, await notes.fetch_one(int, "PRAGMA page_count") + 5)
    async with notes.transaction() as unit:
        await unit.execute(ADD, ("before",))
        assert isinstance(await fails(unit, ADD, "x" * 1_000_000), DatabaseFullError)
        await unit.execute(ADD, ("after",))
    assert look(ALL) == [("before",), ("after",)]


# Turns and waiting.


async def test_units_and_autocommit_writes_are_served_first_come_first_served(
    notes: Database,
) -> None:
    async def in_unit(text: str) -> None:
        async with notes.transaction() as unit:
            await asyncio.sleep(0.002)
            await unit.execute(ADD, (text,))

    async def alone(text: str) -> None:
        await notes.execute(ADD, (text,))

    order = [str(n) for n in range(30)]
    async with notes.transaction():
        tasks = []
        for n, text in enumerate(order):
            tasks.append(asyncio.create_task(in_unit(text) if n % 3 == 0 else alone(text)))
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert await notes.fetch_all(str, ALL) == order


@pytest.mark.long
async def test_two_hundred_of_two_hundred_read_modify_writes(notes: Database, look: Look) -> None:
    async def increment() -> None:
        async with notes.transaction() as unit:
            value = await unit.fetch_one(int, "SELECT value FROM counters WHERE id = 1")
            await unit.execute("UPDATE counters SET value = ? WHERE id = 1", (value + 1,))

    await notes.execute("INSERT INTO counters VALUES (1, 0)")
    await asyncio.gather(*(increment() for _ in range(200)))
    assert look("SELECT value FROM counters") == [(200,)]


async def test_reads_do_not_wait_for_a_unit(notes: Database) -> None:
    async with notes.transaction() as unit:
        await unit.execute(ADD, ("a",))
        assert await asyncio.wait_for(notes.fetch_all(str, ALL), 1) == []


@pytest.mark.long
async def test_a_unit_that_waits_longer_than_busy_timeout_is_refused(
    path: Path, journal: str, look: Look
) -> None:
    async with impatient(path, journal) as database:
        async with database.transaction() as unit:
            started = time.monotonic()
            with pytest.raises(
                DatabaseBusyError, match=r"the unit of work that was opened at .*test_unit"
            ) as caught:
                await in_another_task(database.transaction().__aenter__())
            assert 0.15 < time.monotonic() - started < 1
            assert caught.value.http_status == 503
            await unit.execute(ADD, ("holder",))
        assert look(ALL) == [("holder",)]
        assert await database.execute(ADD, ("next",)) == 1


@pytest.mark.long
async def test_an_autocommit_write_that_waits_longer_than_busy_timeout_is_refused(
    path: Path, journal: str, look: Look
) -> None:
    async with impatient(path, journal) as database:
        async with database.transaction() as unit:
            await unit.execute(ADD, ("holder",))
            started = time.monotonic()
            results = await asyncio.gather(
                *(database.execute(ADD, (str(n),)) for n in range(20)), return_exceptions=True
            )
            assert 0.15 < time.monotonic() - started < 1
        assert {type(result) for result in results} == {DatabaseBusyError}
        await asyncio.sleep(0.05)
        assert look(ALL) == [("holder",)]


@pytest.mark.long
async def test_a_wait_shorter_than_busy_timeout_is_served(path: Path, journal: str) -> None:
    async with impatient(path, journal, busy_timeout=5.0) as database:
        async with database.transaction():
            task = asyncio.create_task(database.execute(ADD, ("waiting",)))
            await asyncio.sleep(0.2)
            assert not task.done()
        assert await task == 1


async def test_a_call_that_would_wait_for_its_own_unit_is_refused_at_once(
    path: Path, journal: str, look: Look
) -> None:
    async with impatient(path, journal, busy_timeout=60.0) as database:
        line = sys._getframe().f_lineno + 1
        async with database.transaction() as unit:
            await unit.execute(ADD, ("mine",))
            for call in (
                database.execute(ADD, ("deadlock",)),
                database.execute_many(ADD, [("deadlock",)]),
                database.profiles.ensure("deadlock"),
                database.fetch_all(int, "INSERT INTO notes (text) VALUES ('x') RETURNING id"),
                database.transaction().__aenter__(),
                database.optimize(),
                database.vacuum(),
                database.checkpoint(),
                database.check(),
                database.rebuild_search(),
            ):
                with pytest.raises(DatabaseError, match=f"test_unit_of_work.py:{line}") as caught:
                    await call
                assert caught.value.code == "inside_unit"
            await unit.execute(ADD, ("mine too",))
        assert look(ALL) == [("mine",), ("mine too",)]
        await database.execute(ADD, ("after",))


async def test_in_memory_a_read_inside_ones_own_unit_or_snapshot_is_refused_at_once() -> None:
    async with reelbase.connect(":memory:") as database:
        async with database.transaction():
            with pytest.raises(DatabaseError, match="unit of work") as caught:
                await database.profiles.list()
            assert caught.value.code == "inside_unit"
        async with database.snapshot():
            with pytest.raises(DatabaseError, match="snapshot") as caught:
                await database.profiles.list()
            assert caught.value.code == "inside_unit"
        assert await database.profiles.list() == []


async def test_a_task_that_a_unit_has_started_waits_for_the_unit(
    notes: Database, look: Look
) -> None:
    async with notes.transaction() as unit:
        task = asyncio.create_task(notes.execute(ADD, ("of the task",)))
        await asyncio.sleep(0.05)
        await unit.execute(ADD, ("of the unit",))
    assert await task == 1
    assert look(ALL) == [("of the unit",), ("of the task",)]


@pytest.mark.long
def test_in_development_mode_a_read_that_misses_its_units_writes_is_logged_once(
    tmp_path: Path,
) -> None:
    program = """
        import asyncio, sys, reelbase
        async def main():
            async with reelbase.connect(sys.argv[1]) as database:
                async with database.transaction() as unit:
                    await database.profiles.list()
                    await unit.profiles.ensure("anna")
                    assert await database.profiles.list() == []
                    await database.profiles.exists("anna")
                await database.profiles.list()
        asyncio.run(main())
    """
    command = [sys.executable, "-X", "dev", "-c", textwrap.dedent(program), str(tmp_path / "m.db")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in run.stderr.splitlines() if "does not see" in line]
    assert len(lines) == 1
    assert "the unit of work that was opened at" in lines[0]


async def test_a_transaction_is_entered_once_and_leaves_the_writer_free(
    notes: Database, look: Look
) -> None:
    context = notes.transaction()
    async with context as unit:
        await unit.execute(ADD, ("first",))
        with pytest.raises(DatabaseError) as caught:
            await in_another_task(context.__aenter__())
        assert caught.value.code == "entered_twice"
        await unit.execute(ADD, ("still open",))
    for _ in range(2):
        with pytest.raises(DatabaseError) as caught:
            await context.__aenter__()
        assert caught.value.code == "entered_twice"
    assert await notes.execute(ADD, ("free",)) == 1
    assert look(ALL) == [("first",), ("still open",), ("free",)]


async def test_a_snapshot_is_entered_once(notes: Database) -> None:
    context = notes.snapshot()
    async with context as view:
        with pytest.raises(DatabaseError) as caught:
            await context.__aenter__()
        assert caught.value.code == "entered_twice"
        assert await view.profiles.list() == []
    with pytest.raises(DatabaseError):
        await context.__aenter__()
    assert await notes.execute(ADD, ("free",)) == 1


async def test_a_forgotten_unit_is_rolled_back(notes: Database, look: Look) -> None:
    unit = await notes.transaction().__aenter__()
    await unit.execute(ADD, ("forgotten",))
    with pytest.warns(ResourceWarning, match="test_unit_of_work"):  # noqa: PT031
        del unit
        gc.collect()
    assert await asyncio.wait_for(notes.execute(ADD, ("next",)), 2) == 1
    assert look(ALL) == [("next",)]


@pytest.mark.long
async def test_a_forgotten_snapshot_gives_its_reader_back(notes: Database) -> None:
    view = await notes.snapshot().__aenter__()
    assert await view.profiles.list() == []
    with pytest.warns(ResourceWarning, match="test_unit_of_work"):  # noqa: PT031
        del view
        gc.collect()
    await asyncio.sleep(0.05)
    assert await notes.checkpoint()


async def test_a_unit_whose_object_nobody_names_lasts_as_long_as_its_block(
    notes: Database, look: Look
) -> None:
    async with notes.transaction():
        gc.collect()
        unit = await notes.fetch_one(int, "SELECT 1")
    assert unit == 1
    assert await notes.execute(ADD, ("next",)) == 1


@pytest.mark.long
async def test_a_queue_that_moves_is_never_refused(path: Path, journal: str) -> None:
    async with impatient(path, journal) as database:  # busy_timeout 0.2 s

        async def work(n: int) -> None:
            async with database.transaction() as unit:
                await unit.execute(ADD, (str(n),))
                await asyncio.sleep(0.02)

        # A second in the queue for the last ones, units and single writes alike.
        await asyncio.gather(*(work(n) for n in range(50)))
        slow = """
            INSERT INTO counters (value)
            WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20000)
            SELECT count(*) FROM c
        """
        await asyncio.gather(*(database.execute(slow) for _ in range(150)))
        assert await database.fetch_one(int, "SELECT count(*) FROM counters") == 150


@pytest.mark.long
async def test_a_foreign_lock_longer_than_busy_timeout_refuses_units_and_writes(
    path: Path, journal: str, look: Look
) -> None:
    async with impatient(path, journal) as database:
        with foreign_lock(path):
            for _ in range(2):
                started = time.monotonic()
                with pytest.raises(DatabaseBusyError):
                    await database.transaction().__aenter__()
                assert 0.1 < time.monotonic() - started < 1
                started = time.monotonic()
                with pytest.raises(DatabaseBusyError):
                    await database.execute(ADD, ("a",))
                assert 0.1 < time.monotonic() - started < 1
        assert look(ALL) == []
        async with database.transaction() as unit:
            await unit.execute(ADD, ("next",))
        assert look(ALL) == [("next",)]


@pytest.mark.long
async def test_all_that_wait_behind_a_foreign_lock_wait_no_longer_than_the_first(
    path: Path, journal: str
) -> None:
    async def in_unit() -> None:
        async with database.transaction():
            pass

    async with impatient(path, journal) as database:
        with foreign_lock(path):
            started = time.monotonic()
            results = await asyncio.gather(
                *(database.execute(ADD, (str(n),)) if n % 2 else in_unit() for n in range(20)),
                return_exceptions=True,
            )
            elapsed_seconds = time.monotonic() - started
        assert {type(result) for result in results} == {DatabaseBusyError}
        assert elapsed_seconds < 1


@pytest.mark.long
async def test_a_foreign_lock_that_is_released_in_time_is_waited_for(
    path: Path, journal: str, look: Look
) -> None:
    async with impatient(path, journal, busy_timeout=5.0) as database:
        with foreign_lock(path) as foreign:
            tasks = [asyncio.create_task(database.execute(ADD, (str(n),))) for n in range(3)]
            await asyncio.sleep(0.2)
            foreign.execute("ROLLBACK")
            assert await asyncio.gather(*tasks) == [1, 1, 1]
    assert len(look(ALL)) == 3


@pytest.mark.long
async def test_another_process_that_holds_the_lock_is_waited_for(
    path: Path, journal: str, look: Look
) -> None:
    script = textwrap.dedent("""
        import sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        print("held", flush=True)
        sys.stdin.readline()
        connection.execute("ROLLBACK")
        print("released", flush=True)
    """)
    async with impatient(path, journal, busy_timeout=1.0) as database:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            script,
            str(path),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert await process.stdout.readline() == b"held\n"
        with pytest.raises(DatabaseBusyError):
            await database.transaction().__aenter__()
        task = asyncio.create_task(database.execute(ADD, ("a",)))
        await asyncio.sleep(0.1)
        process.stdin.write(b"\n")
        assert await task == 1
        await process.communicate()
    assert look(ALL) == [("a",)]


async def test_busy_timeout_zero_still_lets_units_take_turns_when_free(
    path: Path, journal: str
) -> None:
    async with impatient(path, journal, busy_timeout=0.0) as database:
        for n in range(5):
            async with database.transaction() as unit:
                await unit.execute(ADD, (str(n),))
                with pytest.raises(DatabaseBusyError):
                    await in_another_task(database.execute(ADD, ("refused",)))


# The warning about units that are held for long.


@pytest.mark.long
async def test_a_unit_held_for_long_is_reported_with_its_caller(
    path: Path, journal: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with impatient(path, journal, slow_transaction=0.05) as database:
        with caplog.at_level(logging.WARNING, "reelbase"):
            line = sys._getframe().f_lineno + 1
            async with database.transaction():
                await asyncio.sleep(0.15)
    (record,) = caplog.records
    assert f"{__file__}:{line}" in record.getMessage()


@pytest.mark.long
async def test_a_quick_unit_is_not_reported(
    path: Path, journal: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with impatient(path, journal, slow_transaction=0.2) as database:
        for end in ("commit", "rollback"):
            async with database.transaction() as unit:
                if end == "rollback":
                    await unit.rollback()
        await asyncio.sleep(0.3)
    assert caplog.records == []


@pytest.mark.long
async def test_a_unit_that_has_ended_inside_its_block_is_not_reported(
    path: Path, journal: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with impatient(path, journal, slow_transaction=0.05) as database:
        async with database.transaction() as unit:
            await unit.rollback()
            await asyncio.sleep(0.1)
        forgotten = database.transaction()
        await forgotten.__aenter__()
    await asyncio.sleep(0.1)
    assert caplog.records == []


# What is checked only at COMMIT.


@pytest.fixture
async def deferred(notes: Database) -> Database:
    await notes.execute(
        """
        CREATE TABLE children (
          id INTEGER PRIMARY KEY,
          note_id INTEGER NOT NULL REFERENCES notes (id) DEFERRABLE INITIALLY DEFERRED
        ) STRICT
        """
    )
    return notes


async def test_a_deferred_foreign_key_may_be_satisfied_until_the_commit(
    deferred: Database, look: Look
) -> None:
    async with deferred.transaction() as unit:
        await unit.execute("INSERT INTO children VALUES (1, 7)")
        await unit.execute("INSERT INTO notes VALUES (7, 'parent')")
    assert look("SELECT note_id FROM children") == [(7,)]


async def test_a_deferred_foreign_key_violation_fails_the_commit(
    deferred: Database, look: Look
) -> None:
    units: list[UnitOfWork] = []

    async def work() -> None:
        async with deferred.transaction() as unit:
            units.append(unit)
            await unit.execute(ADD, ("a",))
            await unit.execute("INSERT INTO children VALUES (1, 7)")

    with pytest.raises(ConstraintError) as caught:
        await work()
    assert caught.value.kind == "foreign_key"
    assert state(units[0]) == "rolled_back"
    assert look(ALL) == []
    assert look("SELECT * FROM children") == []
    assert await deferred.execute(ADD, ("next",)) == 1


async def test_a_deferred_violation_of_an_autocommit_write_is_its_own(
    deferred: Database, look: Look
) -> None:
    results = await asyncio.gather(
        deferred.execute(ADD, ("a",)),
        deferred.execute("INSERT INTO children VALUES (1, 7)"),
        deferred.execute(ADD, ("b",)),
        return_exceptions=True,
    )
    assert results[0] == results[2] == 1
    assert isinstance(results[1], ConstraintError)
    assert results[1].kind == "foreign_key"
    assert look(ALL) == [("a",), ("b",)]


# In memory.


async def test_units_in_memory() -> None:
    async with reelbase.connect(":memory:") as database:

        async def failing() -> None:
            async with database.transaction() as unit:
                await unit.profiles.ensure("gone")
                raise Boom

        async with database.transaction() as unit:
            await unit.profiles.ensure("kept")
        with pytest.raises(Boom):
            await failing()
        assert [profile.id for profile in await database.profiles.list()] == ["kept"]


async def test_foreign_keys_may_wait_for_the_end_of_a_unit(database: Database) -> None:
    defer = "PRAGMA defer_foreign_keys = ON"
    async with database.transaction() as unit:
        await unit.execute(defer)
        file = await unit.files.add("later", "n", "p")
        await unit.profiles.ensure("later")
    assert await database.files.get(file.id) == file
    with pytest.raises(ConstraintError):
        async with database.transaction() as unit:
            await unit.execute(defer)
            await unit.files.add("nobody", "n", "p")
    assert unit.state == "rolled_back"
    with pytest.raises(DatabaseError, match="unit of work"):
        await database.execute(defer)
    with pytest.raises(ConstraintError):
        await database.files.add("nobody", "n", "p")


async def test_after_a_unit_that_deferred_foreign_keys_a_refused_row_is_not_left_in_the_table(
    database: Database,
) -> None:
    # SQLite keeps a statement that was prepared under the pragma, and that refuses a row after it has
    # written it; of tables without triggers.
    await database.execute("CREATE TABLE own (profile_id TEXT REFERENCES profiles (id))")
    add = "INSERT INTO own VALUES (?)"

    async def add_in_a_function(unit: reelbase.UnitOfWork) -> None:
        await unit.execute(add, ("missing",))

    async def add_in_a_unit() -> None:
        async with database.transaction() as unit:
            with pytest.raises(ConstraintError):
                await unit.execute(add, ("missing",))

    async with database.transaction() as unit:
        await unit.execute("PRAGMA defer_foreign_keys = ON")
        await unit.execute(add, ("later",))
        await unit.profiles.ensure("later")
    await add_in_a_unit()
    with pytest.raises(ConstraintError):
        await database.execute(add, ("missing",))
    with pytest.raises(ConstraintError):
        await database.atomically(add_in_a_function)
    assert await database.fetch_all(tuple, "SELECT profile_id FROM own") == [("later",)]
    assert await database.fetch_all(tuple, "PRAGMA foreign_key_check") == []
