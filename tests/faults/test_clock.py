"""A promise about clocks that jump: ids still grow, lists stay in order, and a lease fires early by
no more than the clock jumped."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import Database, File
from reelbase.engine import ids as made_ids
from reelbase.engine.ids import new_id
from reelbase.repositories.jobs import claims

from .conftest import Figure

QUICK_STEPS = 300
FULL_STEPS = 20_000
_DECADES_SECONDS = 30 * 365 * 86400.0
_ROUNDING_SECONDS = 0.001


class Clock:
    """The injected one. It stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def jump(choose: random.Random) -> float:
    """Seconds, back or forward: of a leap second, of daylight saving, of a battery that went flat."""
    size = choose.choice((0.001, 1.0, 60.0, 3600.0, _DECADES_SECONDS))
    return choose.uniform(-size, size)


@pytest.fixture
def steps(full: bool) -> int:
    return FULL_STEPS if full else QUICK_STEPS


def test_ids_grow_whatever_the_clock_does(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    choose = random.Random(1)
    system = time.time()
    ids = []
    with monkeypatch.context() as patch:
        patch.setattr("time.time_ns", lambda: int(system * 1e9))
        for _ in range(steps):
            system = max(0.0, system + jump(choose))
            ids += [new_id() for _ in range(choose.randrange(4))]
    made_ids._restart_sequence()  # or what follows has ids of the future
    assert ids == sorted(set(ids))


async def test_rows_are_listed_and_paged_in_order_whatever_the_clock_does(
    database: Database, clock: Clock, full: bool
) -> None:
    choose = random.Random(2)
    await database.profiles.ensure("ann")
    added: list[File] = []
    for n in range(2000 if full else 100):
        clock.advance(jump(choose) if -1 < (clock.now.year - 2026) / 100 < 1 else 0)
        added.append(await database.files.add("ann", str(n), "p"))
    expected = sorted(added, key=lambda file: (file.created_at, file.id), reverse=True)
    assert await database.files.list_for_profile("ann", limit=None) == expected
    paged: list[File] = []
    while page := await database.files.page("ann", after=paged[-1] if paged else None, limit=7):
        paged += page
        clock.advance(jump(choose))
    assert paged == expected


async def lease_simulation(database: Database, clock: Clock, steps: int) -> int:
    """A worker's lease against rivals, in real seconds and jumps. How often it was taken over."""
    choose = random.Random(3)
    start = clock.now
    await database.profiles.ensure("ann")
    await database.jobs.add("ann", "t", {}, max_attempts=10**9)
    holder, lease, elapsed, jumped = "nobody", 0.0, 0.0, 0.0
    taken = 0
    for n in range(steps):
        match choose.randrange(4):
            case 0:
                seconds = choose.uniform(0, 20)
                elapsed += seconds
                clock.advance(seconds)
            case 1:
                seconds = jump(choose)
                if abs(clock.now + timedelta(seconds=seconds) - start) > timedelta(days=36500):
                    continue
                jumped += seconds
                clock.advance(seconds)
            case 2:
                wanted = choose.uniform(0.1, 60)
                job = await database.jobs.claim(f"rival-{n}", lease=wanted)
                left = lease - elapsed - jumped
                if job is None:
                    assert left > -_ROUNDING_SECONDS, "kept from rivals for too long"
                    continue
                assert left <= _ROUNDING_SECONDS, f"fired {left} s earlier than the clock jumped"
                holder, lease, elapsed, jumped = f"rival-{n}", wanted, 0.0, 0.0
                taken += 1
            case _ if taken:
                lease = choose.uniform(0.1, 60)
                job_id = await database.fetch_one(str, "SELECT id FROM jobs")
                await database.jobs.heartbeat(job_id, holder, lease=lease)
                elapsed = jumped = 0.0
    return taken


async def test_a_lease_fires_early_by_no_more_than_the_clock_jumped(
    database: Database, clock: Clock, steps: int, figure: Figure
) -> None:
    taken = await lease_simulation(database, clock, steps)
    assert taken > steps / 50
    figure(f"clock jumps: {steps} steps, {taken} leases ended, 0 earlier than the jump says")


async def test_leases_that_fire_early_are_seen(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = made_ids.moment_after

    def too_soon(now: datetime, name: str, seconds: float) -> datetime:
        return after(now, name, seconds / 2)

    monkeypatch.setattr(claims, "moment_after", too_soon)
    with pytest.raises(AssertionError, match="earlier than the clock jumped"):
        await lease_simulation(database, clock, QUICK_STEPS)


async def test_every_life_is_lived_to_its_end_whatever_the_clock_does(
    path: Path, journal: str, steps: int
) -> None:
    """Jobs, downloads and generations pass all their states, and nothing refuses a moment."""
    choose = random.Random(4)
    clock = Clock()

    def jumping() -> datetime:
        if -1 < (clock.now.year - 2026) / 100 < 1:
            return clock.advance(jump(choose))
        return clock.advance(_DECADES_SECONDS * (1 if clock.now.year < 2026 else -1))

    settings: dict[str, Any] = {"journal": journal, "clock": jumping}
    async with reelbase.connect(path, **settings) as database:
        await database.profiles.ensure("ann")
        for n in range(steps // 20):
            job = await database.jobs.add("ann", "t", {})
            await database.jobs.update(job.id, status="running", progress=0.5)
            await database.jobs.progress(job.id, 0.7)
            finished = await database.jobs.fail(job.id, "e")
            assert finished.status == "failed"
            assert (await database.jobs.retry(job.id)).status == "queued"
            assert (await database.jobs.cancel(job.id)).status == "cancelled"
            session = f"s{n}"
            await database.sessions.ensure(session)
            download = await database.downloads.add(session, "u")
            await database.downloads.start(download.id)
            await database.downloads.progress(download.id, 50.0)
            assert (await database.downloads.complete(download.id)).status == "completed"
            await database.sessions.touch(session)
            generation = await database.generations.create("p", "m", 1.0, 1, 1, "f")
            await database.generations.mark_processing(generation.id)
            done = await database.generations.complete(generation.id, 1.0, 1, {})
            assert done.status == "completed"
