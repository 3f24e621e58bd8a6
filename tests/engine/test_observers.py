"""Promises about observers: each statement and each unit is told of, in its caller's context, harmlessly."""

from __future__ import annotations

import asyncio
import gc
import logging
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import (
    ConstraintError,
    Database,
    Observer,
    RecordNotFoundError,
    Snapshot,
    StatementEvent,
    UnitEvent,
    UnitOfWork,
)

request_id: ContextVar[str] = ContextVar("request_id", default="-")

pytestmark = pytest.mark.usefixtures("journal")


class Notes(Observer):
    """Keeps each event, with the request id of the context in which it came."""

    def __init__(self) -> None:
        self.statements: list[StatementEvent] = []
        self.units: list[UnitEvent] = []
        self.requests: list[str] = []

    def statement(self, event: StatementEvent) -> None:
        self.statements.append(event)
        self.requests.append(request_id.get())

    def unit(self, event: UnitEvent) -> None:
        self.units.append(event)
        self.requests.append(request_id.get())

    def names(self) -> list[tuple[str, int | None]]:
        return [(event.name, event.rows) for event in self.statements]


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
async def observed(path: Path, journal: Any, notes: Notes) -> Any:
    async with reelbase.connect(path, journal=journal, observers=[notes]) as database:
        await database.profiles.ensure("anna")
        notes.statements.clear()
        notes.requests.clear()
        yield database


async def test_a_statement_is_told_of_with_its_method_rows_and_seconds(
    observed: Database, notes: Notes
) -> None:
    await observed.profiles.list()
    await observed.profiles.find("nobody")
    await observed.execute("UPDATE profiles SET id = id")
    assert notes.names() == [
        ("ProfileRepository.list", 1),
        ("ProfileRepository.find", 0),
        ("SQL", 1),
    ]
    assert [event.writes for event in notes.statements] == [False, False, True]
    assert all(0 < event.seconds < 10 and event.waited_seconds > 0 for event in notes.statements)
    assert notes.statements[2].sql == "UPDATE profiles SET id = id"


async def test_parameters_are_never_told(observed: Database, notes: Notes) -> None:
    await observed.fetch_all(str, "SELECT id FROM profiles WHERE id = ?", ["secret"])
    await observed.profiles.find("secret")
    assert "secret" not in str(notes.statements)


async def test_a_statement_that_fails_is_told_of_with_its_error(
    observed: Database, notes: Notes
) -> None:
    with pytest.raises(RecordNotFoundError) as missing:
        await observed.profiles.get("nobody")
    with pytest.raises(ConstraintError) as refused:
        await observed.execute("INSERT INTO profiles SELECT * FROM profiles")
    assert [event.error for event in notes.statements] == [missing.value, refused.value]
    assert [event.rows for event in notes.statements] == [None, None]


@pytest.mark.long
async def test_events_come_in_the_context_of_their_callers(
    observed: Database, notes: Notes
) -> None:
    async def rename(unit: UnitOfWork) -> None:
        await unit.profiles.list()

    async def request(name: str) -> None:
        request_id.set(name)
        await observed.profiles.list()
        await observed.profiles.ensure(name)
        async with observed.transaction() as unit:
            await unit.profiles.list()
        async with observed.snapshot() as view:
            await view.profiles.list()
        await observed.atomically(rename)
        async with observed.stream(str, "SELECT id FROM profiles") as ids:
            assert name in [one async for one in ids]

    await asyncio.gather(*(request(f"r-{n}") for n in range(8)))
    # ensure() has two statements; three of the calls are units.
    assert sorted(notes.requests) == sorted(f"r-{n}" for n in range(8) for _ in range(10))


async def test_a_unit_is_told_of_with_its_place_and_outcome(
    observed: Database, notes: Notes
) -> None:
    async def fails(unit: UnitOfWork) -> None:
        raise ValueError

    async def reads(view: Snapshot) -> None:
        await view.profiles.list()

    async with observed.transaction() as unit:
        await unit.profiles.ensure("bert")
    async with observed.transaction() as unit:
        await unit.rollback()
    with pytest.raises(ValueError):
        async with observed.transaction():
            raise ValueError
    async with observed.snapshot():
        pass
    with pytest.raises(ValueError):
        await observed.atomically(fails)
    await observed.atomically(reads)
    await observed.reading(reads)
    assert [(event.kind, event.outcome, type(event.error)) for event in notes.units] == [
        ("transaction", "committed", type(None)),
        ("transaction", "rolled_back", type(None)),
        ("transaction", "rolled_back", ValueError),
        ("snapshot", "read", type(None)),
        ("atomically", "rolled_back", ValueError),
        ("atomically", "committed", type(None)),
        ("reading", "read", type(None)),
    ]
    places = [event.name for event in notes.units]
    assert all(place.partition(":")[0].endswith("test_observers.py") for place in places[:4])
    assert places[4].endswith("fails()")


@pytest.mark.long
async def test_the_wait_for_a_turn_is_no_part_of_a_unit(observed: Database, notes: Notes) -> None:
    async def second() -> None:
        async with observed.transaction():
            pass

    async with observed.transaction():
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.2)
    await waiting
    first, after = notes.units
    assert first.seconds > 0.19 > first.waited_seconds
    assert after.waited_seconds > 0.15 > after.seconds


@pytest.mark.long
async def test_a_unit_that_gets_no_turn_is_told_of(path: Path, journal: Any, notes: Notes) -> None:
    async with (
        reelbase.connect(path, journal=journal) as other,
        reelbase.connect(path, journal=journal, busy_timeout=0.1, observers=[notes]) as database,
        other.transaction() as unit,
    ):
        await unit.profiles.ensure("anna")
        with pytest.raises(reelbase.DatabaseBusyError) as busy:
            async with database.transaction():
                pass
    (event,) = notes.units
    assert (event.outcome, event.error, event.seconds) == ("rolled_back", busy.value, 0.0)
    assert event.waited_seconds > 0.09


async def test_a_stream_is_one_statement_however_it_ends(observed: Database, notes: Notes) -> None:
    for name in "bcdef":
        await observed.profiles.ensure(name)
    notes.statements.clear()
    sql = "SELECT id FROM profiles ORDER BY id"
    async with observed.stream(str, sql, batch=2) as rows:
        assert len([row async for row in rows]) == 6
    async with observed.stream(str, sql, batch=2) as rows:
        assert await anext(rows) == "anna"
    async with observed.stream(str, "SELECT id FROM profiles JOIN nothing") as rows:
        with suppress(reelbase.DatabaseError):
            await anext(rows)
    assert [event.rows for event in notes.statements] == [6, 2, None]
    assert [type(event.error) for event in notes.statements] == [
        type(None),
        type(None),
        reelbase.DatabaseError,
    ]


async def test_a_stream_that_was_dropped_is_told_of_too(observed: Database, notes: Notes) -> None:
    for name in "bcd":
        await observed.profiles.ensure(name)
    notes.statements.clear()
    rows = observed.stream(str, "SELECT id FROM profiles ORDER BY id", batch=2)
    await anext(rows)
    del rows
    gc.collect()
    await asyncio.sleep(0)
    assert [event.rows for event in notes.statements] == [2]


async def test_a_database_in_memory_tells_as_a_file_does(notes: Notes) -> None:
    async with reelbase.connect(":memory:", observers=[notes]) as database:
        await database.profiles.ensure("anna")
        async with database.snapshot() as view:
            await view.profiles.list()
        async with database.stream(str, "SELECT id FROM profiles") as ids:
            assert [one async for one in ids] == ["anna"]
        assert database.activity().waiting_reads == 0
    assert notes.names()[-2:] == [("ProfileRepository.list", 1), ("SQL", 1)]
    assert [event.kind for event in notes.units] == ["snapshot"]


@pytest.mark.long
async def test_a_statement_that_is_cancelled_is_told_of_with_its_error(
    observed: Database, notes: Notes
) -> None:
    endless = (
        "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
    )
    with pytest.raises(reelbase.DatabaseTimeoutError):
        await observed.fetch_one(int, endless, timeout=0.2)
    await observed.profiles.list()
    (interrupted,) = [event for event in notes.statements if event.name == "SQL"]
    assert interrupted.rows is None
    assert isinstance(interrupted.error, reelbase.DatabaseError)
    assert interrupted.seconds > 0.1


async def test_an_observer_that_raises_is_logged_and_harms_no_call(
    path: Path, journal: Any, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Observer):
        def statement(self, event: StatementEvent) -> None:
            raise LookupError("of the observer")

        def unit(self, event: UnitEvent) -> None:
            raise LookupError("of the observer")

    async with reelbase.connect(path, journal=journal, observers=[Broken(), notes]) as database:
        async with database.transaction() as unit:
            await unit.profiles.ensure("anna")
        assert [profile.id for profile in await database.profiles.list()] == ["anna"]
    logged = [record for record in caplog.records if "Broken" in record.getMessage()]
    assert len(logged) == 4  # two statements of ensure(), the unit, list()
    assert all(record.exc_info for record in logged)
    assert len(notes.statements) == 3


async def test_what_is_no_observer_is_refused(path: Path) -> None:
    with pytest.raises(TypeError, match="observers must be Observer, not function"):
        await reelbase.connect(path, observers=[lambda event: None])  # type: ignore[list-item]


def test_a_synchronous_database_tells_in_the_context_of_the_thread(
    path: Path, journal: Any, notes: Notes
) -> None:
    request_id.set("sync")
    with reelbase.connect_sync(path, journal=journal, observers=[notes]) as database:
        database.profiles.ensure("anna")
        with database.transaction() as unit:
            unit.profiles.list()
    assert set(notes.requests) == {"sync"}
    assert [event.name.partition(":")[0] for event in notes.units] == [__file__]


async def test_the_slow_log_has_plan_and_place_in_one_line(
    path: Path, journal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with reelbase.connect(path, journal=journal, slow_query=1e-9) as database:
        with caplog.at_level(logging.INFO, "reelbase.sql"):
            await database.profiles.list()
            await database.execute_many(
                "INSERT INTO config (key, value) VALUES (?, ?)", [("a", "1"), ("b", "2")]
            )
            await asyncio.create_task(database.profiles.find("x"))
    first, many, alone = [record.getMessage() for record in caplog.records]
    assert " ms ProfileRepository.list at " + __file__ in first
    assert first.endswith(" | plan: SCAN profiles USING INDEX profiles_newest")
    assert "| plan: " in many
    assert " ms ProfileRepository.find: SELECT" in alone  # the event loop has called it
    assert not any("\n" in line for line in (first, many, alone))


async def test_the_activity_shows_queues_readers_hops_and_commits(observed: Database) -> None:
    before = observed.activity()
    assert (before.waiting_writes, before.waiting_reads) == (0, 0)
    assert before.oldest_reader_seconds is None
    async with observed.transaction():
        waiting = [asyncio.create_task(observed.profiles.ensure(f"p{n}")) for n in range(50)]
        await asyncio.sleep(0.01)
        assert observed.activity().waiting_writes == 50
    await asyncio.gather(*waiting)
    async with observed.snapshot() as view:
        await view.profiles.list()
        await asyncio.sleep(0.05)
        oldest = observed.activity().oldest_reader_seconds
        assert oldest is not None
        assert 0.05 <= oldest < 5
    after = observed.activity()
    assert after.calls - before.calls >= 52
    assert after.hops_saved - before.hops_saved >= 40
    assert 2 <= after.commits - before.commits < 50
    assert (await observed.stats()).activity.calls == after.calls
