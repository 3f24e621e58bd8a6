"""What a call costs does not grow with the rows that it does not return, counted in SQLite's own steps."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest

import reelbase
from reelbase import Database
from reelbase.testing.clock import FrozenClock

FEW, MANY = 50, 2_000
PAST, FUTURE = "2026-01-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"

_ids = count()


def new_ids(rows: int) -> list[str]:
    return [f"00000000-0000-7000-8000-{next(_ids):012x}" for _ in range(rows)]


@asynccontextmanager
async def in_memory() -> AsyncIterator[Database]:
    """A database of one connection, which reads and writes."""
    async with reelbase.connect(":memory:", clock=FrozenClock()) as database:
        await database.profiles.ensure("anna")
        yield database


async def steps_of(database: Database, call: Callable[[], Awaitable[Any]]) -> int:
    """The steps of SQLite's machine that a call takes, once its statements are compiled."""
    await call()
    steps = count()
    connection = database._writer.connection

    def counted() -> int:
        next(steps)
        return 0

    await connection.call(lambda: connection.native.set_progress_handler(counted, 1))
    await call()
    await connection.call(lambda: connection.native.set_progress_handler(None, 1))
    return next(steps)


# Claims


async def add_finished(database: Database, rows: int) -> None:
    await database.execute_many(
        "INSERT INTO jobs (id, profile_id, type, status, finished_at)"
        " VALUES (?, 'anna', 't', 'succeeded', ?)",
        [(id, PAST) for id in new_ids(rows)],
    )


async def add_scheduled(database: Database, rows: int) -> None:
    await database.execute_many(
        "INSERT INTO jobs (id, profile_id, type, priority, run_after)"
        " VALUES (?, 'anna', 't', ?, ?)",
        [(id, number, FUTURE) for number, id in enumerate(new_ids(rows))],
    )


async def add_batches(database: Database, rows: int) -> None:
    """Batches that come before everything else, and whose children wait."""
    parents = new_ids(rows)
    await database.execute_many(
        "INSERT INTO jobs (id, profile_id, type, priority, created_at) VALUES (?, 'anna', 't', 9, ?)",
        [(id, PAST) for id in parents],
    )
    await database.execute_many(
        "INSERT INTO jobs (id, profile_id, parent_id, type, run_after)"
        " VALUES (?, 'anna', ?, 't', ?)",
        [(id, parent, FUTURE) for id, parent in zip(new_ids(rows), parents, strict=True)],
    )


async def add_let_in(database: Database, rows: int) -> None:
    """Jobs of another type whose time has come."""
    await database.execute_many(
        "INSERT INTO jobs (id, profile_id, type, run_after, created_at)"
        " VALUES (?, 'anna', 'other', ?, ?)",
        [(id, PAST, FUTURE) for id in new_ids(rows)],
    )
    for _ in range(rows // 1000 + 1):
        await database.jobs.claim("w", types=["other"])
    assert not await database.fetch_one(int, "SELECT count(*) FROM jobs WHERE NOT is_due")


async def add_waiting(database: Database, rows: int) -> None:
    """Jobs that wait for one that runs, and come before everything else."""
    needed = await database.jobs.add("anna", "needed", {})
    await database.jobs.claim("other", types=["needed"])
    waiting = new_ids(rows)
    await database.execute_many(
        "INSERT INTO jobs (id, profile_id, type, priority) VALUES (?, 'anna', 't', 9)",
        [(id,) for id in waiting],
    )
    await database.execute_many(
        "INSERT INTO job_dependencies (job_id, needs_id) VALUES (?, ?)",
        [(id, needed.id) for id in waiting],
    )


async def add_paused(database: Database, rows: int) -> None:
    """Jobs of a paused type that come before everything else."""
    await database.jobs.pause("paused")
    await add_held_back(database, "paused", rows)


async def add_limited(database: Database, rows: int) -> None:
    """Jobs of a type that has as many running as it may, before everything else."""
    await add_held_back(database, "limited", rows)
    await database.jobs.claim("other", types=["limited"])
    await database.jobs.limit("limited", running=1)


async def add_rated(database: Database, rows: int) -> None:
    """Jobs of a type of which as many have just started as may, before everything else."""
    await add_held_back(database, "rated", rows)
    await database.jobs.limit("rated", starts=rows, per=timedelta(days=1))
    await database.execute(
        "INSERT INTO job_starts SELECT 'rated', value, ? FROM json_each(?)",
        [database._executor.now(), list(range(1, rows + 1))],
    )


async def add_held_back(database: Database, kind: str, rows: int) -> None:
    await database.execute_many(
        "INSERT INTO jobs (id, profile_id, type, priority) VALUES (?, 'anna', ?, 9)",
        [(id, kind) for id in new_ids(rows)],
    )


FILLS = pytest.mark.parametrize(
    "fill",
    [
        add_finished,
        add_scheduled,
        add_batches,
        add_let_in,
        add_waiting,
        add_paused,
        add_limited,
        add_rated,
    ],
    ids=["finished", "scheduled", "batches", "overdue", "waiting", "paused", "limited", "rated"],
)


@pytest.mark.long
@pytest.mark.parametrize(
    "types", [None, ["t", "u", "paused", "limited", "rated"]], ids=["any", "typed"]
)
@FILLS
async def test_a_claim_of_a_job_costs_the_same_beside_any_number_of_others(
    fill: Callable[[Database, int], Awaitable[None]], types: list[str] | None
) -> None:
    costs = []
    for rows in (FEW, MANY):
        async with in_memory() as database:
            await fill(database, rows)
            for _ in range(2):
                await database.jobs.add("anna", "t", {})
            costs.append(await steps_of(database, lambda: database.jobs.claim("w", types=types)))
            assert await database.jobs.claim("w", types=["t"]) is None
    assert costs[1] <= costs[0] * 1.2, costs


@pytest.mark.long
@pytest.mark.parametrize(
    "types", [["t", "u"], ["t", "u", "paused", "limited", "rated"]], ids=["free", "held back"]
)
@FILLS
async def test_a_claim_of_several_jobs_costs_the_same_beside_any_number_of_others(
    fill: Callable[[Database, int], Awaitable[None]], types: list[str]
) -> None:
    costs = []
    for rows in (FEW, MANY):
        async with in_memory() as database:
            await fill(database, rows)
            for _ in range(20):
                await database.jobs.add("anna", "t", {})
            claim = partial(database.jobs.claim_many, "w", 10, types=types)
            costs.append(await steps_of(database, claim))
            assert await database.jobs.claim("w", types=["t"]) is None
    assert costs[1] <= costs[0] * 1.2, costs


@pytest.mark.long
@pytest.mark.parametrize("types", [None, ["t"]], ids=["any", "typed"])
async def test_a_claim_of_a_type_with_a_limit_of_starts_costs_the_same_after_any_number(
    types: list[str] | None,
) -> None:
    costs = []
    for rows in (FEW, MANY):
        async with in_memory() as database:
            await database.jobs.limit("t", starts=2 * rows, per=timedelta(days=1))
            await add_held_back(database, "t", 2 * rows)
            for _ in range(rows // FEW):
                await database.jobs.claim_many("w", FEW)
            costs.append(await steps_of(database, lambda: database.jobs.claim("w", types=types)))
    assert costs[1] <= costs[0] * 1.2, costs


# Followed tables


async def test_a_change_of_a_followed_row_and_what_is_told_of_it_cost_the_same_after_any_number() -> (
    None
):
    costs = []
    for rows in (FEW, MANY):
        async with in_memory() as database, database.changes("profiles", rows=True) as stream:
            for number in range(rows):
                await database.profiles.ensure(f"profile {number}")
            assert (
                sum([len((await anext(stream)).rows or ()) for _ in range(rows // 1000 or 1)])
                == rows
            )

            async def change() -> None:
                await database.profiles.ensure(f"other {next(_ids)}")
                await anext(stream)

            costs.append(await steps_of(database, change))
    assert costs[1] <= costs[0] * 1.2, costs


# Pages


async def add_files(database: Database, rows: int) -> None:
    """Files of two types, in two folders, with three tags; half of them, the older ones, are completed."""
    files = new_ids(rows)
    await database.execute_many(
        "INSERT INTO files (id, profile_id, name, path, type, folder, created_at)"
        " VALUES (?, 'anna', 'name', 'path', ?, ?, ?)",
        [
            (
                id,
                f"type {number % 2}",
                f"folder {number % 2}",
                f"2026-01-01T00:{at // 60:02}:{at % 60:02}.000Z",
            )
            for number, id in enumerate(files)
            for at in [number * 3600 // rows]
        ],
    )
    await database.execute_many(
        "INSERT INTO file_processing (file_id, status, completed_at) VALUES (?, ?, ?)",
        [
            (id, "completed", PAST) if number < rows // 2 else (id, "queued", None)
            for number, id in enumerate(files)
        ],
    )
    for name, some in (
        ("common", files),
        ("old", files[: rows // 3]),
        ("rare", files[:: rows // 5]),
    ):
        tag = await database.tags.ensure("anna", name)
        await database.execute_many(
            "INSERT INTO file_tags (file_id, tag_id, profile_id) VALUES (?, ?, 'anna')",
            [(id, tag.id) for id in some],
        )


FILTERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "type": {"type": "type 0"},
    "folder": {"folder": "folder 0"},
    "status": {"status": "completed"},
    "tag": {"tags": ["common"]},
    "tag of old files": {"tags": ["old"]},
    "type and folder": {"type": "type 0", "folder": "folder 0"},
    "status and type": {"status": "completed", "type": "type 0"},
    "status and tag": {"status": "completed", "tags": ["common"]},
    "rare tag": {"tags": ["rare"]},
    "rare tag and type": {"tags": ["rare"], "type": "type 0"},
    "rare tag and search": {"tags": ["rare"], "search": "other"},
    "no such type": {"type": "none"},
    "no such folder": {"folder": "none"},
    "no file without a folder": {"folder": None},
    "no such status": {"status": "error"},
    "no such tag": {"tags": ["none"]},
    "no such tag, and a folder": {"tags": ["none"], "folder": "folder 0"},
    "no such tag, and one": {"tags": ["none", "common"]},
    "no such folder, and a type": {"folder": "none", "type": "type 0"},
    "no such status, and a tag": {"status": "error", "tags": ["common"]},
}


@pytest.mark.long
async def test_a_page_of_files_costs_the_same_among_any_number_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reelbase.repositories.files.pages._FEW", 1000)  # not to need more files
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in FILTERS}
    for rows in (6_000, 18_000):
        async with in_memory() as database:
            await add_files(database, rows)
            for name, filters in FILTERS.items():
                page = partial(database.files.page, "anna", limit=5, **filters)
                found[name].append((len(await page()), await steps_of(database, page)))
    for name, ((few, cost), (as_many, cost_among_many)) in found.items():
        assert few == as_many, name
        assert cost_among_many <= cost * 1.3, (name, cost, cost_among_many)
    assert sum(few == 5 for (few, _), _ in found.values()) > 10


# Timelines and people


async def add_timeline(database: Database, rows: int) -> int:
    """A track of clips of ten frames, end to end, each of which becomes the next one. Returns the track."""
    project = await database.projects.add("film", "work")
    track = await database.timeline_tracks.add(project.id, "video")
    await database.execute_many(
        "INSERT INTO timeline_clips (project_id, track_id, position, duration, generator)"
        " VALUES (?, ?, ?, 10, 'color')",
        [(project.id, track.id, number * 10) for number in range(rows)],
    )
    await database.execute(
        "INSERT INTO timeline_transitions (track_id, from_clip_id, to_clip_id, kind, duration)"
        " SELECT track_id, id, id + 1, 'wipe', 2 FROM timeline_clips WHERE position > 0"
        " AND position < ?",
        [rows * 10 - 10],
    )
    return track.id


@pytest.mark.long
async def test_a_timeline_costs_what_is_seen_or_moved_of_it() -> None:
    costs: dict[str, list[int]] = {}
    for rows in (FEW, MANY):
        async with in_memory() as database:
            track, end, clips = (
                await add_timeline(database, rows),
                rows * 10,
                database.timeline_clips,
            )
            (last,) = await clips.between(track, end - 1, end)
            calls: dict[str, Callable[[], Awaitable[Any]]] = {
                "first page": partial(clips.page, track, limit=5),
                "last page": partial(clips.page, track, after=last, limit=5),
                "window": partial(clips.between, track, end - 30, end),
                "change": partial(clips.update, last.id, name="x"),
                "insert": partial(clips.insert, track, end + 100, 1, generator="color"),
                "shift": partial(clips.shift, track, end - 10, 5),
            }
            for name, call in calls.items():
                costs.setdefault(name, []).append(await steps_of(database, call))
    for name, (few, many) in costs.items():
        assert many <= few * 1.2, (name, few, many)


async def add_spoken(database: Database, rows: int, in_each: int) -> int:
    """Segments of one person, in_each of them in each file. Returns the person."""
    person = await database.people.add("anna", "Ben")
    files = new_ids(rows // in_each)
    for table, columns in (("files", "name, path"), ("transcripts", "file_id, text")):
        await database.execute_many(
            f"INSERT INTO {table} (id, profile_id, {columns}) VALUES (:id, 'anna', :id, 'text')",
            [{"id": id} for id in files],
        )
    await database.execute_many(
        "INSERT INTO speakers (profile_id, file_id, label, person_id) VALUES ('anna', ?, 'S', ?)",
        [(id, person.id) for id in files],
    )
    await database.execute(
        "INSERT INTO transcript_segments (transcript_id, start_time, end_time, text, speaker_id)"
        " SELECT speakers.file_id, numbers.value, 1e6, 'text', speakers.id"
        " FROM speakers CROSS JOIN json_each(?) AS numbers",
        [json.dumps(list(range(in_each)))],
    )
    return person.id


@pytest.mark.long
@pytest.mark.parametrize("is_in_one_file", [False, True])
async def test_a_page_of_what_a_person_says_costs_the_same_among_any_number(
    is_in_one_file: bool,
) -> None:
    costs = []
    for rows in (FEW, MANY):
        async with in_memory() as database:
            person = await add_spoken(database, rows, rows if is_in_one_file else 5)
            amid = (await database.people.segments(person, limit=rows // 2 + 3))[-1]
            page = partial(database.people.segments, person, after=amid, limit=5)
            assert len(await page()) == 5
            costs.append(await steps_of(database, page))
    assert costs[1] <= costs[0] * 1.2, costs
