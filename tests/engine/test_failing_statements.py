"""Promises about a statement that fails when it has already written, or read: nothing of it remains,
nothing else fails with it, and nothing stays open while somebody holds the error."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest

import reelbase
from reelbase import Command, Database, DatabaseError, Repository
from reelbase.engine.file.commit import commit
from reelbase.engine.threads import writer

BAD_TEXT = "CAST(x'ff' AS TEXT)"  # as a file name in Latin-1 is, put in by another program


class Note(msgspec.Struct, frozen=True):
    id: int
    text: str


class NoteRepository(Repository):
    """_add gives rows that do not fit; _move is fine but for what is in the row."""

    entity = "note"

    _add = Command(
        Note,
        "INSERT INTO notes (text) VALUES (:words) RETURNING text AS id, text",
        params={"words": str},
    )
    _move = Command(
        Note,
        "UPDATE notes SET folder = folder + 1 WHERE id = :id RETURNING id, text",
        params={"id": int},
    )

    async def add(self, words: str) -> Note:
        return await self._run(self._add.one(words=words))

    async def move(self, note_id: int) -> Note:
        return await self._run(self._move.one(id=note_id))


TABLES = (
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT UNIQUE, folder INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE numbers (number INTEGER PRIMARY KEY ON CONFLICT FAIL)",
    """
    CREATE TRIGGER refused AFTER INSERT ON notes WHEN NEW.text = 'refused'
    BEGIN
      SELECT RAISE(FAIL, 'refused');
    END
    """,
    "INSERT INTO notes (text) VALUES ('first')",
    f"INSERT INTO notes (text) VALUES ({BAD_TEXT})",
    "INSERT INTO numbers VALUES (1)",
)
COUNTS = (
    "SELECT (SELECT count(*) FROM notes), (SELECT sum(folder) FROM notes), "
    "(SELECT sum(number) FROM numbers)"
)

Call = Callable[[Any], Awaitable[object]]  # on a Database or a UnitOfWork
FAILING: dict[str, Call] = {
    "or fail": lambda on: on.execute("INSERT OR FAIL INTO numbers VALUES (2), (3), (2)"),
    "a table that fails": lambda on: on.execute("INSERT INTO numbers VALUES (2), (3), (2)"),
    "many": lambda on: on.execute_many("INSERT INTO numbers VALUES (?)", [[2], [3], [2]]),
    "a trigger that fails": lambda on: on.execute("INSERT INTO notes (text) VALUES ('refused')"),
    "a row that does not fit": lambda on: on.fetch_one(
        int, "INSERT INTO notes (text) VALUES ('new') RETURNING text"
    ),
    "of WITH": lambda on: on.fetch_one(
        int,
        "WITH new (text) AS (VALUES ('new')) INSERT INTO notes (text) SELECT text FROM new RETURNING text",
    ),
    "text that is none": lambda on: on.fetch_all(
        Note, "UPDATE notes SET folder = 7 RETURNING id, text"
    ),
    "text that is none, counted": lambda on: on.execute(
        "UPDATE notes SET folder = 7 RETURNING text"
    ),
    "a repository's row": lambda on: on.repository(NoteRepository).add("new"),
    "a repository's text": lambda on: on.repository(NoteRepository).move(2),
}
every_failure = pytest.mark.parametrize("fail", FAILING.values(), ids=FAILING)


@pytest.fixture
async def notes(database: Database) -> Database:
    for sql in TABLES:
        await database.execute(sql)
    return database


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Errors and what they hold stay as long as somebody has them."""
    gc.disable()
    yield
    gc.enable()


async def stored(database: Database) -> tuple[int, int, int]:
    return await database.fetch_one(tuple[int, int, int], COUNTS)


@every_failure
async def test_nothing_of_it_remains(fail: Call, notes: Database) -> None:
    before = await stored(notes)
    with pytest.raises(DatabaseError):
        await fail(notes)
    assert await stored(notes) == before


@every_failure
async def test_those_that_share_its_commit_are_stored(fail: Call, notes: Database) -> None:
    count, *_ = await stored(notes)
    add = "INSERT INTO notes (text) VALUES (?)"
    outcomes = await asyncio.gather(
        notes.execute(add, ["a"]), fail(notes), notes.execute(add, ["b"]), return_exceptions=True
    )
    assert [outcome for outcome in outcomes if not isinstance(outcome, DatabaseError)] == [1, 1]
    assert (await stored(notes))[0] == count + 2


class TwoRepository(Repository):
    """Two statements, the second of which fails when the first has written."""

    _first = Command(int, "INSERT INTO numbers VALUES (100)")
    _second = Command(int, "INSERT INTO numbers VALUES (1)")

    async def both(self) -> None:
        await self._batch(self._first.count(), self._second.count())


async def test_a_batch_that_fails_does_not_cost_the_others_their_shared_commit(
    notes: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = 0

    def counting(native: sqlite3.Connection) -> Exception | None:
        nonlocal commits
        commits += 1
        return commit(native)

    monkeypatch.setattr(writer, "commit", counting)
    add = "INSERT INTO notes (text) VALUES (?)"
    numbers = (await stored(notes))[2]
    outcomes = await asyncio.gather(
        *(notes.execute(add, [f"before {number}"]) for number in range(10)),
        notes.repository(TwoRepository).both(),
        *(notes.execute(add, [f"after {number}"]) for number in range(10)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes].count(reelbase.ConstraintError) == 1
    assert outcomes.count(1) == 20
    assert (await stored(notes))[2] == numbers
    assert commits <= 2  # the first one may have found nobody beside it


@every_failure
async def test_in_a_unit_of_work_only_it_is_undone(fail: Call, notes: Database) -> None:
    before = await stored(notes)
    async with notes.transaction() as unit:
        await unit.execute("INSERT INTO numbers VALUES (20)")
        with pytest.raises(DatabaseError):
            await fail(unit)
        await unit.execute("INSERT INTO numbers VALUES (30)")
    count, folders, numbers = before
    assert await stored(notes) == (count, folders, numbers + 50)


READING: dict[str, Call] = {
    "all": lambda on: on.fetch_all(str, "SELECT text FROM notes"),
    "one": lambda on: on.fetch_one(str, "SELECT text FROM notes WHERE id = 2"),
    "counted": lambda on: on.execute("SELECT text FROM notes"),
}


@pytest.mark.parametrize("read", READING.values(), ids=READING)
async def test_a_reader_that_met_bad_text_sees_what_is_written_next(
    read: Call, notes: Database, no_collector: None
) -> None:
    errors = []
    for number in range(5):  # on every reader
        with pytest.raises(DatabaseError) as caught:
            await read(notes)
        errors.append(caught.value)
        await notes.execute("INSERT INTO notes (text) VALUES (?)", [f"new {number}"])
        count, *_ = await stored(notes)
        assert count == 3 + number


@pytest.mark.parametrize("read", READING.values(), ids=READING)
async def test_a_unit_of_work_that_met_bad_text_commits(
    read: Call, notes: Database, no_collector: None
) -> None:
    async with notes.transaction() as unit:
        with pytest.raises(DatabaseError) as caught:
            await read(unit)
        await unit.execute("INSERT INTO notes (text) VALUES ('new')")
    assert unit.state == "committed"
    assert caught.value
    assert (await stored(notes))[0] == 3


async def test_a_stream_does_not_write(notes: Database) -> None:
    sql = "INSERT INTO notes (text) VALUES ('new') RETURNING text"
    async with reelbase.connect(":memory:") as memory, notes.transaction() as unit:
        for place in (notes, memory, unit):
            with pytest.raises(reelbase.DatabaseReadOnlyError):
                place.stream(str, sql)
    assert (await stored(notes))[0] == 2


async def test_a_command_with_a_lower_case_returning_runs_many_times(notes: Database) -> None:
    """By another way than executemany(), which refuses it from Python 3.12 on."""

    class Numbers(Repository):
        _add = Command(
            int, "INSERT INTO numbers VALUES (:number) returning number", params={"number": int}
        )

        async def add(self, *numbers: int) -> int:
            return await self._run(self._add.many({"number": number} for number in numbers))

    assert await notes.repository(Numbers).add(100, 200) == 2
    assert not Numbers._add.is_plain_write
