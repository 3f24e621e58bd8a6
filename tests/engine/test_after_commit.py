"""Promises about unit.after_commit(): what follows from a commit happens after it, in its order, or never."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from reelbase import ConstraintError, Database, DatabaseClosedError, DatabaseError, UnitOfWork

Look = Callable[[str], list[tuple[object, ...]]]

NAMES = "SELECT id FROM profiles ORDER BY id"


async def add(unit: UnitOfWork, name: str, told: Callable[[str], object]) -> str:
    await unit.profiles.ensure(name)
    unit.after_commit(lambda: told(name))
    return name


async def test_a_callback_is_called_after_commit_and_before_the_caller_goes_on(
    database: Database, look: Look
) -> None:
    told: list[Any] = []
    async with database.transaction() as unit:
        await unit.profiles.ensure("ann")
        unit.after_commit(lambda: told.append(look(NAMES)))
        unit.after_commit(lambda: told.append("second"))
        await unit.profiles.ensure("bob")
        assert told == []
    assert told == [[("ann",), ("bob",)], "second"]


@pytest.mark.long
async def test_callbacks_of_functions_come_in_the_order_of_their_commits(
    database: Database, look: Look
) -> None:
    told: list[Any] = []

    def tell(name: str) -> None:
        told.append(name)
        assert (name,) in look(NAMES)

    names = [f"profile {n}" for n in range(20)]
    await asyncio.gather(*(database.atomically(add, name, tell) for name in names))
    assert told == names


async def test_after_a_rollback_nothing_is_called(database: Database) -> None:
    told: list[str] = []
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as unit:
            await add(unit, "ann", told.append)
            raise ZeroDivisionError
    async with database.transaction() as unit:
        await add(unit, "ann", told.append)
        await unit.rollback()

    async def fail(unit: UnitOfWork) -> None:
        await add(unit, "ann", told.append)
        raise ZeroDivisionError

    async def roll_back(unit: UnitOfWork) -> None:
        await add(unit, "ann", told.append)
        await unit.rollback()

    with pytest.raises(ZeroDivisionError):
        await database.atomically(fail)
    await database.atomically(roll_back)
    await asyncio.sleep(0)
    assert told == []


async def test_a_refused_commit_calls_nothing(database: Database) -> None:
    told: list[str] = []
    await database.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
    await database.execute(
        "CREATE TABLE children (parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)"
    )
    with pytest.raises(ConstraintError):
        async with database.transaction() as unit:
            await add(unit, "ann", told.append)
            await unit.execute("INSERT INTO children VALUES (1)")
    assert told == []


@pytest.mark.parametrize("is_function", [False, True])
async def test_a_savepoint_that_is_undone_takes_its_callbacks_along(
    database: Database, is_function: bool
) -> None:
    told: list[str] = []

    async def work(unit: UnitOfWork) -> None:
        await add(unit, "before", told.append)
        with pytest.raises(ZeroDivisionError):
            async with unit.savepoint():
                await add(unit, "undone", told.append)
                async with unit.savepoint():
                    await add(unit, "undone, too", told.append)
                raise ZeroDivisionError
        async with unit.savepoint():
            await add(unit, "kept", told.append)

    if is_function:
        await database.atomically(work)
    else:
        async with database.transaction() as unit:
            await work(unit)
    assert told == ["before", "kept"]


async def test_a_function_that_is_run_again_has_its_callback_called_once(
    database: Database,
) -> None:
    told: list[str] = []
    await database.execute("CREATE TABLE notes (text TEXT UNIQUE)")
    runs = 0

    async def count(unit: UnitOfWork) -> None:
        nonlocal runs
        runs += 1
        await add(unit, "ann", told.append)

    # OR FAIL leaves changes behind, so that the group is undone, and run one by one.
    failing = "INSERT OR FAIL INTO notes VALUES ('a'), ('a')"
    async with database.transaction():
        group = [
            asyncio.ensure_future(database.atomically(count)),
            asyncio.ensure_future(database.execute(failing)),
        ]
        await asyncio.wait(group, timeout=0.05)
    outcomes = await asyncio.gather(*group, return_exceptions=True)
    assert isinstance(outcomes[1], ConstraintError)
    assert (runs, told) == (2, ["ann"])


async def test_a_caller_that_is_cancelled_during_commit_has_its_callback_called(
    database: Database,
) -> None:
    told: list[str] = []

    async def work() -> None:
        async with database.transaction() as unit:
            await add(unit, "ann", told.append)
            asyncio.get_running_loop().call_soon(task.cancel)  # takes effect in COMMIT

    task = asyncio.ensure_future(work())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["ann"]
    assert await database.profiles.find("ann")


async def test_an_error_of_a_callback_goes_to_the_loop_and_the_next_is_called(
    database: Database,
) -> None:
    errors: list[dict[str, Any]] = []
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    async with database.transaction() as unit:
        unit.after_commit(partial(divmod, 1, 0))
        await add(unit, "ann", told.append)
    assert told == ["ann"]
    assert [type(error["exception"]) for error in errors] == [ZeroDivisionError]


async def test_a_callback_has_the_context_in_which_it_was_given(database: Database) -> None:
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")
    told: list[str] = []

    async def work(unit: UnitOfWork) -> None:
        unit.after_commit(lambda: told.append(request.get()))

    request.set("7")
    await database.atomically(work)
    async with database.transaction() as unit:
        await work(unit)
    assert told == ["7", "7"]


async def test_what_is_no_plain_callable_is_refused(database: Database) -> None:
    async def late() -> None: ...

    async with database.transaction() as unit:
        for wrong in (late, "text"):
            with pytest.raises(TypeError, match="plain callable"):
                unit.after_commit(wrong)  # type: ignore[arg-type]
    with pytest.raises(DatabaseClosedError):
        unit.after_commit(list)


async def test_another_task_cannot_give_one_while_a_savepoint_is_open(database: Database) -> None:
    async with database.transaction() as unit:
        entered, may_leave = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with unit.savepoint():
                entered.set()
                await may_leave.wait()

        holder = asyncio.ensure_future(hold())
        await entered.wait()
        with pytest.raises(DatabaseError, match="another task has a savepoint open"):
            unit.after_commit(list)
        may_leave.set()
        await holder
