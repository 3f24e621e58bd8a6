"""What a call of the library takes among more and more rows that it does not return: the calls of a gallery,
claims beside jobs that are not to be claimed, a timeline, and what a person says."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

import reelbase
from reelbase import Database

PROFILE = "gallery"
GOAL = 2.0  # times the duration among the fewest rows
_RARE = 100  # files, among any number
_CLAIMS = 30
_SEVERAL = 20  # jobs in one claim
_TYPES = ["wanted", "t", "paused", "limited"]
_TIMES = 9

Call = Callable[[Database], Awaitable[Any]]


class Duration(msgspec.Struct, frozen=True):
    """The median of some calls among that many rows, as processor time of all threads: other programs disturb
    it least."""

    rows: int
    milliseconds: float


# By the name of the call.
Durations = dict[str, list[Duration]]

# Half of the files have a type, half a tag and half a folder, independently, most a status; a hundred, evenly
# spread, have what is called rare. A quarter, all of type 1, have an error.
_FILTERS: dict[str, dict[str, Any]] = {
    "no filter": {},
    "type": {"type": "type 0"},
    "folder": {"folder": "half"},
    "status": {"status": "completed"},
    "tag": {"tags": ["half"]},
    "rare tag": {"tags": ["rare"]},
    "rare speaker": {"speaker": "Anna"},
    "rare length": {"min_length": 1e6},
    "rare size": {"min_size": 10**12},
    "search": {"search": "NAME"},
    "rare search": {"search": "needle"},
    "type and status": {"type": "type 0", "status": "completed"},
    "type and rare tag": {"type": "type 0", "tags": ["rare"]},
    "rare search and status": {"search": "needle", "status": "completed"},
    "rare speaker and type": {"speaker": "Anna", "type": "type 0"},
    "no such folder": {"folder": "none"},
    "no such search": {"search": "nothing"},
    "no such tag, and a type": {"tags": ["none"], "type": "type 0"},
    "no such speaker, and a tag": {"speaker": "Nobody", "tags": ["half"]},
    "type and status of no file": {"type": "type 0", "status": "error"},
    "search of two characters of no file": {"search": "qx"},
}


def _page(name: str, **options: Any) -> Call:
    return lambda database: database.files.page(PROFILE, **options, **_FILTERS[name])


_CALLS: dict[str, Call] = {
    **{f"page, {name}": _page(name) for name in _FILTERS},
    **{f"page, {order}": _page("no filter", order=order) for order in reelbase.FileOrder},
    "page, a_to_z, type": _page("type", order="a_to_z"),
    "page, largest, rare tag": _page("rare tag", order="largest"),
    "page, longest, rare search": _page("rare search", order="longest"),
    "cards": lambda database: database.files.cards(PROFILE),
    "cards, rare tag": lambda database: database.files.cards(PROFILE, tags=["rare"]),
    "count": lambda database: database.files.count(PROFILE),
    "count, type": lambda database: database.files.count(PROFILE, type="type 0"),
    "count, type and rare tag": lambda database: database.files.count(
        PROFILE, type="type 0", tags=["rare"]
    ),
    "search by words": lambda database: database.files.search(PROFILE, "needle"),
}


_CLAIM_CALLS: dict[str, Call] = {
    "claim": lambda database: database.jobs.claim("worker"),
    "claim by types": lambda database: database.jobs.claim("worker", types=_TYPES),
    f"claim of {_SEVERAL}": lambda database: database.jobs.claim_many(
        "worker", _SEVERAL, types=_TYPES
    ),
}


async def measured(folder: Path, counts: Sequence[int]) -> Durations:
    """The durations of all calls among each number of rows, ascending."""
    durations: Durations = {}
    for rows in counts:
        async with _library(folder, rows) as database:
            for name, call in _CALLS.items():
                _note(durations, name, rows, await _duration(partial(call, database), _TIMES))
        for name, fill in _JOBS.items():
            async with _database(folder) as database:
                await fill(database, rows)
                for _ in range(_CLAIMS * (len(_CLAIM_CALLS) + _SEVERAL)):
                    await database.jobs.add(PROFILE, "wanted", {})
                for claim, call in _CLAIM_CALLS.items():
                    seconds = await _duration(partial(call, database), _CLAIMS - 1)
                    _note(durations, f"{claim} beside {name}", rows, seconds)
        for several in (_calls_of_timeline, _calls_of_person):
            async with _database(folder) as database:
                for name, made in (await several(database, rows)).items():
                    _note(durations, name, rows, await _duration(made, _TIMES))
    return durations


def table(durations: Durations) -> str:
    """As Markdown: each call with its milliseconds, and how many times the first duration the last one is."""
    counts = [duration.rows for duration in next(iter(durations.values()))]
    lines = [
        f"| call | {' | '.join(f'{rows:,} rows' for rows in counts)} | times |",
        f"|---|{'---|' * len(counts)}---|",
    ]
    for name, points in durations.items():
        times = points[-1].milliseconds / points[0].milliseconds
        figures = " | ".join(f"{point.milliseconds:.2f}" for point in points)
        shown = f"{times:.1f}" if times <= GOAL else f"**{times:.1f}**"
        lines.append(f"| {name} | {figures} | {shown} |")
    return "\n".join(lines)


def _note(durations: Durations, name: str, rows: int, seconds: float) -> None:
    durations.setdefault(name, []).append(Duration(rows, seconds * 1000))
    print(f"{name} among {rows:,}: {seconds * 1000:.2f} ms", flush=True)


async def _duration(call: Callable[[], Awaitable[Any]], times: int) -> float:
    """The median; the first call, which compiles the statement, does not count."""
    await call()
    seconds = []
    for _ in range(times):
        start = time.process_time()
        await call()
        seconds.append(time.process_time() - start)
    return median(seconds)


@asynccontextmanager
async def _database(folder: Path) -> AsyncIterator[Database]:
    path = folder / "calls.db"
    async with reelbase.connect(path, durability="normal") as database:
        await database.profiles.ensure(PROFILE)
        yield database
    path.unlink()


_NUMBERS = "WITH RECURSIVE numbers (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < :rows) "
_ID = "printf('00000000-0000-7000-8000-%012x', i)"


@asynccontextmanager
async def _library(folder: Path, rows: int) -> AsyncIterator[Database]:
    """Files with all that a gallery shows and filters by."""
    async with _database(folder) as database:
        every = {"rows": rows, "every": rows // _RARE, "profile_id": PROFILE}
        is_rare = "i % :every = 0"
        await database.execute(
            "INSERT INTO files (id, profile_id, name, path, type, folder, size_bytes, created_at) "
            f"{_NUMBERS} SELECT {_ID}, :profile_id,"
            f" printf('%s name %x', iif({is_rare}, 'needle', 'hay'), i * 2654435761 % 1000003),"
            " printf('in/%d.mp4', i), printf('type %d', i % 2), iif(i / 2 % 2, 'half', 'other'),"
            f" iif({is_rare}, 1000000000000, 0) + i % 9999,"
            " strftime('%Y-%m-%dT%H:%M:%fZ', 1700000000 + i, 'unixepoch') FROM numbers",
            every,
        )
        await database.execute(
            "INSERT INTO file_processing (file_id, status, completed_at) "
            f"{_NUMBERS} SELECT {_ID}, iif(i % 4 = 1, 'error', 'completed'),"
            " iif(i % 4 = 1, NULL, '2026-01-01T00:00:00.000Z') FROM numbers WHERE :every",
            {"rows": rows, "every": 1},
        )
        await database.execute(
            "INSERT INTO media_info (file_id, duration, title) "
            f"{_NUMBERS} SELECT {_ID}, iif({is_rare}, 1000000.0, 0) + i % 999, 'title' FROM numbers",
            {"rows": rows, "every": rows // _RARE},
        )
        for tag, condition in (("half", "i / 4 % 2 AND :every"), ("rare", is_rare)):
            tag_id = (await database.tags.ensure(PROFILE, tag)).id
            await database.execute(
                "INSERT INTO file_tags (file_id, tag_id, profile_id) "
                f"{_NUMBERS} SELECT {_ID}, :tag_id, :profile_id FROM numbers WHERE {condition}",
                {**every, "tag_id": tag_id},
            )
        await database.execute(
            "INSERT INTO speakers (profile_id, file_id, label, display_name) "
            f"{_NUMBERS} SELECT :profile_id, {_ID}, 'SPEAKER_0', iif({is_rare}, 'Anna', 'Ben')"
            " FROM numbers",
            every,
        )
        await database.rebuild_search()
        yield database


async def _calls_of_timeline(
    database: Database, rows: int
) -> dict[str, Callable[[], Awaitable[Any]]]:
    """A track of clips of ten frames, end to end, each of which becomes the next one."""
    project = await database.projects.add("film", "work")
    track = await database.timeline_tracks.add(project.id, "video")
    await database.execute(
        "INSERT INTO timeline_clips (project_id, track_id, position, duration, generator) "
        f"{_NUMBERS} SELECT :project_id, :track_id, i * 10, 10, 'color' FROM numbers",
        {"rows": rows, "project_id": project.id, "track_id": track.id},
    )
    await database.execute(
        "INSERT INTO timeline_transitions (track_id, from_clip_id, to_clip_id, kind, duration)"
        " SELECT track_id, id, id + 1, 'wipe', 2 FROM timeline_clips WHERE position < :last",
        {"last": rows * 10 - 10},
    )
    clips, end = database.timeline_clips, rows * 10
    (amid,) = await clips.between(track.id, end // 2, end // 2 + 1)
    return {
        "timeline, page": partial(clips.page, track.id, after=amid),
        "timeline, window of 100 clips": partial(
            clips.between, track.id, end // 2, end // 2 + 1000
        ),
        "timeline, change of a clip": partial(clips.update, amid.id, name="changed"),
        "timeline, insert before 100 clips": partial(
            clips.insert, track.id, end - 1000, 1, generator="color"
        ),
    }


async def _calls_of_person(
    database: Database, rows: int
) -> dict[str, Callable[[], Awaitable[Any]]]:
    """One person who says all segments, a thousand in each file at most."""
    person = await database.people.add(PROFILE, "Anna")
    values = {"rows": max(rows // 1000, 1), "profile_id": PROFILE}
    for table, columns in (("files", "name, path"), ("transcripts", "file_id, text")):
        await database.execute(
            f"INSERT INTO {table} (id, profile_id, {columns}) "
            f"{_NUMBERS} SELECT {_ID}, :profile_id, {_ID}, 'text' FROM numbers",
            values,
        )
    await database.execute(
        "INSERT INTO speakers (profile_id, file_id, label, person_id) "
        f"{_NUMBERS} SELECT :profile_id, {_ID}, 'SPEAKER_0', :person_id FROM numbers",
        {**values, "person_id": person.id},
    )
    await database.execute(
        "INSERT INTO transcript_segments (transcript_id, start_time, end_time, text, speaker_id) "
        f"{_NUMBERS} SELECT file_id, i, i + 1, 'text', id FROM numbers CROSS JOIN speakers",
        {"rows": min(rows, 1000)},
    )
    (*_, amid) = await database.people.segments(person.id, limit=rows // 2)
    return {"segments of a person, page": partial(database.people.segments, person.id, after=amid)}


async def _add_finished(database: Database, rows: int) -> None:
    await database.execute(
        "INSERT INTO jobs (id, profile_id, type, status, finished_at) "
        f"{_NUMBERS} SELECT {_ID}, :profile_id, 't', 'succeeded', '2026-01-01T00:00:00.000Z' FROM numbers",
        {"rows": rows, "profile_id": PROFILE},
    )


async def _add_scheduled(database: Database, rows: int) -> None:
    """They come before everything else once it is their time, which is far."""
    await database.execute(
        "INSERT INTO jobs (id, profile_id, type, priority, run_after) "
        f"{_NUMBERS} SELECT {_ID}, :profile_id, 't', i, '2099-01-01T00:00:00.000Z' FROM numbers",
        {"rows": rows, "profile_id": PROFILE},
    )


async def _add_batches(database: Database, rows: int) -> None:
    """Half of them are batches that come before everything else, the other half their waiting children."""
    half = {"rows": rows // 2, "profile_id": PROFILE}
    await database.execute(
        "INSERT INTO jobs (id, profile_id, type, priority) "
        f"{_NUMBERS} SELECT {_ID}, :profile_id, 't', 9 FROM numbers",
        half,
    )
    await database.execute(
        "INSERT INTO jobs (id, profile_id, parent_id, type, run_after) "
        f"{_NUMBERS} SELECT printf('00000000-0000-7000-9000-%012x', i), :profile_id, {_ID}, 't',"
        " '2099-01-01T00:00:00.000Z' FROM numbers",
        half,
    )


async def _add_waiting(database: Database, rows: int) -> None:
    """Jobs that wait for one that runs, and come before everything else."""
    needed = await database.jobs.add(PROFILE, "needed", {})
    await database.jobs.claim("other", types=["needed"])
    values = {"rows": rows, "profile_id": PROFILE}
    await database.execute(
        "INSERT INTO jobs (id, profile_id, type, priority) "
        f"{_NUMBERS} SELECT {_ID}, :profile_id, 't', 9 FROM numbers",
        values,
    )
    await database.execute(
        "INSERT INTO job_dependencies (job_id, needs_id) "
        f"{_NUMBERS} SELECT {_ID}, :needs_id FROM numbers",
        {"rows": rows, "needs_id": needed.id},
    )


async def _add_overdue(database: Database, rows: int) -> None:
    """Jobs of another type whose time has come, but which no claim has let in yet."""
    await database.execute(
        "INSERT INTO jobs (id, profile_id, type, priority, run_after) "
        f"{_NUMBERS} SELECT {_ID}, :profile_id, 't', -i, '2026-01-01T00:00:00.000Z' FROM numbers",
        {"rows": rows, "profile_id": PROFILE},
    )


async def _add_queued(database: Database, rows: int) -> None:
    """A queue of the same type, behind the jobs that are wanted."""
    await _add_held_back(database, "wanted", rows, priority=-1)


async def _add_paused(database: Database, rows: int) -> None:
    """Jobs of a paused type that come before everything else."""
    await database.jobs.pause("paused")
    await _add_held_back(database, "paused", rows)


async def _add_limited(database: Database, rows: int) -> None:
    """Jobs of a type that has as many running as it may, before everything else."""
    await _add_held_back(database, "limited", rows)
    await database.jobs.claim("other", types=["limited"])
    await database.jobs.limit("limited", running=1)


async def _add_held_back(database: Database, kind: str, rows: int, priority: int = 9) -> None:
    await database.execute(
        "INSERT INTO jobs (id, profile_id, type, priority) "
        f"{_NUMBERS} SELECT {_ID}, :profile_id, :type, :priority FROM numbers",
        {"rows": rows, "profile_id": PROFILE, "type": kind, "priority": priority},
    )


async def _add_running(database: Database, rows: int) -> None:
    """Jobs that run, of another type, and a limit of the one that is wanted."""
    await database.execute(
        "INSERT INTO jobs (id, profile_id, type, status, worker, lease_expires_at, started_at) "
        f"{_NUMBERS} SELECT {_ID}, :profile_id, 't', 'running', 'other', '2099-01-01T00:00:00.000Z',"
        " '2026-01-01T00:00:00.000Z' FROM numbers",
        {"rows": rows, "profile_id": PROFILE},
    )
    await database.jobs.limit("wanted", running=rows + 1000)


async def _add_of_many_types(database: Database, rows: int) -> None:
    """Queued jobs of a thousand types, behind those that are wanted."""
    await database.execute(
        "INSERT INTO jobs (id, profile_id, type, priority) "
        f"{_NUMBERS} SELECT {_ID}, :profile_id, printf('type %d', i % 1000), -1 FROM numbers",
        {"rows": rows, "profile_id": PROFILE},
    )


_JOBS = {
    "finished jobs": _add_finished,
    "scheduled jobs": _add_scheduled,
    "overdue jobs": _add_overdue,
    "jobs that wait for others": _add_waiting,
    "batches and their children": _add_batches,
    "jobs behind it": _add_queued,
    "jobs of a paused type": _add_paused,
    "jobs of a type at its limit": _add_limited,
    "running jobs": _add_running,
    "jobs of 1,000 types": _add_of_many_types,
}
