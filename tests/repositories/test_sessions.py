"""Promises about sessions: browsers that use the downloader, and when they were last seen."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

import reelbase
from reelbase import (
    ConstraintError,
    Database,
    RecordNotFoundError,
    Session,
    SessionSummary,
)
from reelbase.engine.native.pragmas import set_pragma
from reelbase.engine.threads import writer
from reelbase.testing.clock import START, FrozenClock

ACTIVE = ("queued", "extracting", "downloading")
FINISHED = ("completed", "failed", "cancelled")
URL = "https://example.org/"

Look = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture
async def logged(path: Path, journal: Any, clock: FrozenClock) -> AsyncIterator[Database]:
    """A database that logs every statement."""
    async with reelbase.connect(path, journal=journal, clock=clock, slow_query=0) as database:
        yield database


@pytest.fixture
def statements(caplog: pytest.LogCaptureFixture) -> Callable[[], int]:
    """How many statements were logged since it was asked last."""
    caplog.set_level(logging.INFO, "reelbase.sql")

    def count() -> int:
        number = sum(record.name == "reelbase.sql" for record in caplog.records)
        caplog.clear()
        return number

    return count


async def add_download(database: Database, session_id: str, status: str = "queued") -> None:
    download = await database.downloads.add(session_id, URL)
    if status == "extracting":
        await database.downloads.start(download.id, extracting=True)
    elif status == "downloading":
        await database.downloads.start(download.id)
    elif status == "completed":
        await database.downloads.complete(download.id)
    elif status == "failed":
        await database.downloads.fail(download.id, "broken")
    elif status == "cancelled":
        await database.downloads.cancel(download.id)


# Making and finding


async def test_ensure_makes_a_session_and_then_gives_what_is_there(
    database: Database, clock: FrozenClock
) -> None:
    made = await database.sessions.ensure("s")
    assert made == Session(id="s", created_at=START, last_seen=START)
    clock.advance(5)
    assert await database.sessions.ensure(session_id="s") == made
    assert await database.sessions.get("s") == await database.sessions.find("s") == made


@pytest.mark.parametrize("id", ["", " ", "ü", "A", "a", "a\0b", "x" * 10_000, "null"])
async def test_an_id_is_any_text_and_kept_as_it_is(id: str, database: Database) -> None:
    await database.sessions.ensure("another")
    assert (await database.sessions.ensure(id)).id == id
    assert (await database.sessions.touch(id, every=0)).id == id
    assert await database.sessions.delete(id) is True
    assert await database.sessions.count() == 1


async def test_an_id_that_is_no_text_is_refused(database: Database) -> None:
    with pytest.raises(ConstraintError) as caught:
        await database.sessions.ensure(None)  # type: ignore[arg-type]
    assert (caught.value.kind, caught.value.constraint) == ("not_null", "sessions.id")
    with pytest.raises(TypeError):
        await database.sessions.ensure(7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="surrogate"):
        await database.sessions.ensure("\ud800")


async def test_a_session_that_is_not_there(database: Database) -> None:
    assert await database.sessions.find("s") is None
    for call in (database.sessions.get, database.sessions.touch, database.sessions.delete):
        with pytest.raises(RecordNotFoundError) as caught:
            await call("s")
        assert caught.value.details == {"entity": "session", "key": "s"}
    assert await database.sessions.delete("s", missing_ok=True) is False
    assert await database.sessions.count() == 0


async def test_ensure_is_race_free_among_tasks(database: Database) -> None:
    sessions = await asyncio.gather(*(database.sessions.ensure("s") for _ in range(64)))
    assert set(sessions) == {await database.sessions.get("s")}
    assert await database.sessions.count() == 1


_ENSURE = """
import asyncio, json, sys
import msgspec, reelbase

async def main():
    path, journal = sys.argv[1:]
    async with reelbase.connect(path, journal=journal) as database:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        sessions = [await database.sessions.ensure(f"s{number}") for number in range(40)]
    print(msgspec.json.encode(sessions).decode())

asyncio.run(main())
"""


@pytest.mark.long
def test_ensure_is_race_free_among_processes(path: Path, journal: str, look: Look) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _ENSURE, str(path), journal],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    seen = []
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        seen.append(json.loads(output))
    assert seen == [seen[0]] * 4
    assert look("SELECT count(*) FROM sessions") == [(40,)]


# Touching


async def test_a_touch_writes_now(database: Database, clock: FrozenClock, look: Look) -> None:
    await database.sessions.ensure("s")
    now = clock.advance(61)
    touched = await database.sessions.touch("s")
    assert touched == Session(id="s", created_at=START, last_seen=now)
    assert touched == await database.sessions.get("s")
    assert look("SELECT last_seen FROM sessions") == [("2026-01-31T12:01:01.000Z",)]


async def test_a_touch_writes_at_most_once_in_60_seconds_by_the_clock_of_the_database(
    database: Database, clock: FrozenClock
) -> None:
    await database.sessions.ensure("s")
    clock.advance(100)
    first = await database.sessions.touch("s")
    for _ in range(59):
        clock.advance(1)
        assert await database.sessions.touch("s") == first
        assert await database.sessions.get("s") == first
    now = clock.advance(1)
    assert (await database.sessions.touch("s")).last_seen == now
    assert (await database.sessions.get("s")).last_seen == now


@pytest.mark.parametrize("every", [0.5, 10.0, 3600])
async def test_how_often_is_the_callers_choice(
    every: float, database: Database, clock: FrozenClock
) -> None:
    await database.sessions.ensure("s")
    clock.advance(10**6)
    first = await database.sessions.touch("s", every=every)
    clock.advance(every - 0.001)
    assert await database.sessions.touch("s", every=every) == first
    clock.advance(0.001)
    assert (await database.sessions.touch("s", every=every)).last_seen == clock.now


async def test_with_0_every_touch_writes(
    logged: Database, clock: FrozenClock, statements: Callable[[], int]
) -> None:
    """What the original promised: last_seen is updated on every request."""
    await logged.sessions.ensure("s")
    for step in (0, 0.001, 0, 5, -3):
        now = clock.advance(step)
        statements()
        assert (await logged.sessions.touch("s", every=0)).last_seen == now
        assert statements() >= 1
        assert (await logged.sessions.get("s")).last_seen == now


async def test_a_throttled_touch_asks_nothing_when_the_last_write_is_known(
    logged: Database, clock: FrozenClock, statements: Callable[[], int]
) -> None:
    await logged.sessions.ensure("s")
    clock.advance(100)
    await logged.sessions.touch("s")
    statements()
    for _ in range(50):
        clock.advance(1)
        await logged.sessions.touch("s")
    assert statements() == 0
    clock.advance(10)
    await logged.sessions.touch("s")
    assert statements() >= 1


async def test_touches_at_once_are_one_write(
    logged: Database, clock: FrozenClock, path: Path
) -> None:
    """A page loads with thirty requests at once."""
    await logged.sessions.ensure("s")
    before = clock.advance(100)

    async def touch(delay: int) -> Session:
        for _ in range(delay):
            await asyncio.sleep(0)
        clock.advance(0.001)
        return await logged.sessions.touch("s")

    touched = await asyncio.gather(*(touch(number % 3) for number in range(30)))
    seen = {session.last_seen for session in touched}
    assert len(seen) == 1
    assert seen == {(await logged.sessions.get("s")).last_seen}
    assert seen.pop() > before


async def test_a_touch_is_throttled_whoever_wrote_last(
    database: Database, path: Path, journal: Any, clock: FrozenClock
) -> None:
    """At most once per session: another process, or this one before its restart, counts too."""
    await database.sessions.ensure("s")
    clock.advance(100)
    first = await database.sessions.touch("s")
    clock.advance(30)
    async with reelbase.connect(path, journal=journal, clock=clock) as other:
        assert await other.sessions.touch("s") == first
        clock.advance(1)
        assert await other.sessions.touch("s") == first
    assert await database.sessions.get("s") == first


async def test_a_touch_is_throttled_in_units_too(database: Database, clock: FrozenClock) -> None:
    await database.sessions.ensure("s")
    clock.advance(100)
    first = await database.sessions.touch("s")
    clock.advance(30)
    async with database.transaction() as unit:
        assert await unit.sessions.touch("s") == first
    assert await database.sessions.get("s") == first


async def test_sessions_are_throttled_apart(database: Database, clock: FrozenClock) -> None:
    for id in ("a", "b"):
        await database.sessions.ensure(id)
    clock.advance(100)
    await database.sessions.touch("a")
    now = clock.advance(1)
    assert (await database.sessions.touch("b")).last_seen == now


async def test_a_clock_that_goes_back_does_not_stop_touches(
    database: Database, clock: FrozenClock
) -> None:
    await database.sessions.ensure("s")
    clock.advance(10**6)
    await database.sessions.touch("s")
    now = clock.advance(-(10**5))
    assert (await database.sessions.touch("s")).last_seen == now
    clock.advance(30)
    assert (await database.sessions.touch("s")).last_seen == now
    now = clock.advance(30)
    assert (await database.sessions.touch("s")).last_seen == now


async def test_a_touch_does_not_wait_for_the_disk(
    database: Database, clock: FrozenClock, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.sessions.ensure("s")
    levels: list[object] = []

    def note(native: sqlite3.Connection, name: str, value: int | str) -> None:
        levels.append(value)
        set_pragma(native, name, value)

    monkeypatch.setattr(writer, "set_pragma", note)
    clock.advance(100)
    await database.sessions.touch("s")
    await database.sessions.ensure("t")
    assert levels == ([1, 2] if journal == "wal" else [])  # synchronous: NORMAL, FULL


async def test_a_touch_makes_no_session(database: Database, look: Look) -> None:
    """A health check must leave no row."""
    for every in (0, 60.0):
        for _ in range(3):
            with pytest.raises(RecordNotFoundError):
                await database.sessions.touch("health check", every=every)
    assert look("SELECT count(*) FROM sessions") == [(0,)]


@pytest.mark.parametrize(
    "remover",
    [
        "delete",
        "purge_idle",
        "downloads.purge",
        "downloads.purge_idle",
        "unit.delete",
        "unit.purge_idle",
    ],
)
async def test_a_session_that_is_gone_is_not_touched(
    remover: str, database: Database, clock: FrozenClock
) -> None:
    await database.sessions.ensure("s")
    clock.advance(100)
    await database.sessions.touch("s")
    clock.advance(10)
    a_while = timedelta(seconds=5)
    if remover == "delete":
        await database.sessions.delete("s")
    elif remover == "purge_idle":
        assert await database.sessions.purge_idle(a_while) == 1
    elif remover == "downloads.purge":
        assert (await database.downloads.purge(None)).sessions_deleted == 1
    elif remover == "downloads.purge_idle":
        assert (await database.downloads.purge_idle(a_while)).sessions_deleted == 1
    else:
        async with database.transaction() as unit:
            if remover == "unit.delete":
                await unit.sessions.delete("s")
            else:
                assert await unit.sessions.purge_idle(a_while) == 1
    assert await database.sessions.find("s") is None
    with pytest.raises(RecordNotFoundError):
        await database.sessions.touch("s")


async def test_a_touch_beside_a_delete_leaves_no_ghost(
    database: Database, clock: FrozenClock
) -> None:
    await database.sessions.ensure("s")
    clock.advance(100)
    await asyncio.gather(database.sessions.touch("s"), database.sessions.delete("s"))
    with pytest.raises(RecordNotFoundError):
        await database.sessions.touch("s")


async def test_a_session_that_was_made_again_is_touched_anew(
    database: Database, clock: FrozenClock
) -> None:
    await database.sessions.ensure("s")
    clock.advance(100)
    await database.sessions.touch("s")
    await database.sessions.delete("s")
    await database.sessions.ensure("s")
    now = clock.advance(61)
    assert (await database.sessions.touch("s")).last_seen == now
    assert (await database.sessions.get("s")).last_seen == now


async def test_a_touch_that_was_rolled_back_did_not_happen(
    database: Database, clock: FrozenClock
) -> None:
    before = await database.sessions.ensure("s")
    now = clock.advance(100)
    async with database.transaction() as unit:
        await unit.sessions.touch("s")
        await unit.rollback()
    assert await database.sessions.get("s") == before
    assert (await database.sessions.touch("s")).last_seen == now
    assert (await database.sessions.get("s")).last_seen == now


async def test_a_touch_that_a_savepoint_undid_did_not_happen(
    database: Database, clock: FrozenClock
) -> None:
    await database.sessions.ensure("s")
    now = clock.advance(100)
    async with database.transaction() as unit:
        with suppress(ZeroDivisionError):
            async with unit.savepoint():
                await unit.sessions.touch("s")
                raise ZeroDivisionError
        await unit.sessions.touch("s")
    assert (await database.sessions.get("s")).last_seen == now


async def test_a_duration_that_is_none_is_refused(database: Database) -> None:
    await database.sessions.ensure("s")
    with pytest.raises(ValueError, match=r"NaN|nan"):
        await database.sessions.touch("s", every=float("nan"))
    with pytest.raises(TypeError):
        await database.sessions.touch("s", every="60")  # type: ignore[arg-type]


# Lists


async def test_the_list_counts_downloads_of_every_status(database: Database) -> None:
    for session_id, number in (("a", 0), ("b", 1), ("c", 3)):
        await database.sessions.ensure(session_id)
        for status in (ACTIVE + FINISHED)[:number]:
            await add_download(database, session_id, status)
            await add_download(database, session_id, "completed")
    assert await database.sessions.list() == [
        SessionSummary(id=id, created_at=START, last_seen=START, download_count=count)
        for id, count in (("a", 0), ("b", 2), ("c", 6))
    ]
    assert await database.sessions.count() == 3


async def test_the_last_seen_is_listed_first_and_equals_by_id(
    database: Database, clock: FrozenClock
) -> None:
    for id in ("d", "b", "c", "a"):
        await database.sessions.ensure(id)
    for id in ("c", "d"):
        clock.advance(0 if id == "d" else 100)
        await database.sessions.touch(id)
    assert [session.id for session in await database.sessions.list()] == ["c", "d", "a", "b"]


async def test_paging_visits_every_session_once(database: Database, clock: FrozenClock) -> None:
    for number in range(17):
        clock.advance(number % 2)
        await database.sessions.ensure(f"s{number * 7 % 17}")
        await add_download(database, f"s{number}")
    whole = await database.sessions.list(limit=None)
    assert whole == sorted(whole, key=lambda s: (-s.last_seen.timestamp(), s.id))
    pages = []
    for offset in range(0, 20, 4):
        pages += await database.sessions.list(limit=4, offset=offset)
    assert pages == whole
    assert await database.sessions.list(limit=0) == []
    for wrong in ({"limit": -1}, {"offset": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            await database.sessions.list(**wrong)


async def test_the_list_is_100_long_unless_asked_otherwise(database: Database) -> None:
    async with database.transaction() as unit:
        for number in range(101):
            await unit.sessions.ensure(str(number))
    assert len(await database.sessions.list()) == 100
    assert len(await database.sessions.list(limit=None)) == await database.sessions.count() == 101


async def test_a_session_is_a_json_object_and_comes_back_from_it(database: Database) -> None:
    session = await database.sessions.ensure("s")
    assert msgspec.json.decode(msgspec.json.encode(session), type=Session) == session
    (summary,) = await database.sessions.list()
    assert msgspec.json.decode(msgspec.json.encode(summary)) == {
        "id": "s",
        "created_at": "2026-01-31T12:00:00Z",
        "last_seen": "2026-01-31T12:00:00Z",
        "download_count": 0,
    }


# Deleting


@pytest.mark.parametrize("status", ACTIVE)
async def test_a_session_with_an_active_download_is_never_purged(
    status: str, database: Database, clock: FrozenClock, look: Look
) -> None:
    await add_download(database, "busy", status)
    await add_download(database, "busy", "completed")
    clock.advance(10**8)
    assert await database.sessions.purge_idle(timedelta(0)) == 0
    assert look("SELECT count(*) FROM downloads") == [(2,)]


async def test_idle_sessions_go_with_their_finished_downloads(
    database: Database, clock: FrozenClock, look: Look
) -> None:
    for status in FINISHED:
        await add_download(database, "idle", status)
    await database.sessions.ensure("empty")
    await database.sessions.ensure("seen")
    await add_download(database, "seen", "completed")
    clock.advance(3600)
    await database.sessions.touch("seen")
    clock.advance(1)
    assert await database.sessions.purge_idle(timedelta(minutes=30)) == 2
    assert look("SELECT id FROM sessions") == [("seen",)]
    assert look("SELECT session_id FROM downloads") == [("seen",)]


async def test_the_cut_is_exact(database: Database, clock: FrozenClock) -> None:
    await database.sessions.ensure("s")
    clock.advance(60)
    assert await database.sessions.purge_idle(timedelta(seconds=60)) == 0
    clock.advance(0.001)
    assert await database.sessions.purge_idle(timedelta(seconds=60)) == 1


async def test_nothing_is_older_than_the_calendar(database: Database) -> None:
    await database.sessions.ensure("s")
    assert await database.sessions.purge_idle(timedelta.max) == 0


async def test_a_purge_counts_sessions_not_downloads(
    database: Database, clock: FrozenClock
) -> None:
    for _ in range(5):
        await add_download(database, "s", "failed")
    clock.advance(1)
    assert await database.sessions.purge_idle(timedelta(0)) == 1


async def test_a_deleted_session_takes_its_downloads_active_ones_too_and_no_other(
    database: Database, look: Look
) -> None:
    for status in ACTIVE + FINISHED:
        await add_download(database, "gone", status)
        await add_download(database, "kept", status)
    assert await database.sessions.delete(session_id="gone") is True
    assert look("SELECT id FROM sessions") == [("kept",)]
    assert look("SELECT session_id, count(*) FROM downloads GROUP BY 1") == [("kept", 6)]
