"""Promises about videos: the source material of a project, how long it is, and how it is found."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from samples import contents

from reelbase import (
    ConstraintError,
    Database,
    NewVideo,
    Project,
    RecordNotFoundError,
    Video,
)
from reelbase.testing.clock import START, FrozenClock

Look = Callable[[str], list[tuple[object, ...]]]

QUICK = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
async def project(database: Database) -> Project:
    return await database.projects.add("p", "w")


def new(filename: str = "a.mov", path: str = "in/a.mov", **replaced: Any) -> NewVideo:
    video = NewVideo(filename, path, 10.0, 25, 1, 1920, 1080)
    return msgspec.structs.replace(video, **replaced)


async def add(database: Database, project: Project, **replaced: Any) -> Video:
    return await database.videos.add(project.id, **msgspec.structs.asdict(new(**replaced)))


# Adding and finding


async def test_a_video_is_kept_as_given(database: Database, project: Project) -> None:
    video = await database.videos.add(project.id, "", "in/猫\0.mov", 0, 30000, 1001, 1, 2)
    assert video == Video(1, project.id, "", "in/猫\0.mov", 0.0, 30000, 1001, 1, 2, START)
    assert await database.videos.get(video.id) == await database.videos.find(video.id) == video


async def test_a_video_needs_a_project(database: Database) -> None:
    with pytest.raises(ConstraintError) as caught:
        await database.videos.add(7, "f", "p", 1.0, 25, 1, 1, 1)
    assert caught.value.kind == "foreign_key"
    assert await database.videos.count() == 0


@pytest.mark.parametrize(
    ("replaced", "constraint"),
    [
        ({"duration": -0.001}, "videos_duration"),
        ({"framerate_num": 0}, "videos_framerate"),
        ({"framerate_den": 0}, "videos_framerate"),
        ({"framerate_num": -25}, "videos_framerate"),
        ({"framerate_den": -1}, "videos_framerate"),
        ({"width": 0}, "videos_size"),
        ({"height": -1}, "videos_size"),
    ],
    ids=str,
)
async def test_what_no_video_has_is_refused(
    replaced: dict[str, Any], constraint: str, database: Database, project: Project
) -> None:
    video = await add(database, project)
    before = contents(database.path)
    for call in (
        lambda: add(database, project, **replaced),
        lambda: database.videos.add_many(project.id, [new(), new(**replaced), new()]),
        lambda: database.videos.update(video.id, **replaced),
    ):
        with pytest.raises(ConstraintError) as caught:
            await call()
        assert (caught.value.kind, caught.value.constraint) == ("check", constraint)
    assert contents(database.path) == before


@pytest.mark.parametrize("duration", [math.nan, math.inf, -math.inf])
async def test_a_duration_is_finite(duration: float, database: Database, project: Project) -> None:
    with pytest.raises(ValueError, match="duration"):
        await add(database, project, duration=duration)


async def test_the_newest_of_a_path_is_found(
    database: Database, project: Project, clock: FrozenClock
) -> None:
    await add(database, project, path="x")
    newest = await add(database, project, path="x")
    clock.advance(-1)
    await add(database, project, path="x")
    assert await database.videos.find_by_path("x") == newest
    assert await database.videos.find_by_path("X") is None
    assert await database.videos.find_by_path("") is None


async def test_a_video_that_is_not_there(database: Database) -> None:
    assert await database.videos.find(7) is None
    with pytest.raises(RecordNotFoundError, match="video '7' not found"):
        await database.videos.get(7)
    with pytest.raises(RecordNotFoundError, match="video '7' not found"):
        await database.videos.update(7, width=1)
    with pytest.raises(RecordNotFoundError, match="video '7' not found"):
        await database.videos.delete(7)
    assert await database.videos.delete(7, missing_ok=True) is False


# Many


async def test_many_are_added_in_the_order_given(database: Database, project: Project) -> None:
    names = [f"{number % 7}.mov" for number in range(50)]
    added = await database.videos.add_many(project.id, (new(name) for name in names))
    assert [video.filename for video in added] == names
    assert [video.id for video in added] == sorted(video.id for video in added)
    assert [await database.videos.get(video.id) for video in added] == added
    assert await database.videos.add_many(project.id, []) == []


async def test_many_are_added_or_none(database: Database, project: Project) -> None:
    before = contents(database.path)
    with pytest.raises(ConstraintError):
        await database.videos.add_many(project.id, [new(), new(width=0), new()])
    with pytest.raises(ConstraintError):
        await database.videos.add_many(99, [new(), new()])
    with pytest.raises(ValueError, match="duration"):
        await database.videos.add_many(project.id, [new(), new(duration=math.nan)])
    assert contents(database.path) == before


async def test_many_added_at_once_are_not_mixed_up(database: Database, project: Project) -> None:
    other = await database.projects.add("other", "w")

    async def add_ten(number: int) -> list[Video]:
        owner = (project, other)[number % 2]
        return await database.videos.add_many(owner.id, [new(str(number))] * 10)

    for number, added in enumerate(await asyncio.gather(*map(add_ten, range(20)))):
        assert {(v.filename, v.project_id) for v in added} == {
            (str(number), (project, other)[number % 2].id)
        }
        assert len({video.id for video in added}) == 10
    assert await database.videos.count() == 200


async def test_bad_ones_among_good_ones_leave_exactly_the_good_ones(
    database: Database, project: Project, look: Look
) -> None:
    async def one(number: int) -> Video:
        bad: dict[int, dict[str, Any]] = {0: {"width": 0}, 1: {"duration": -1.0}}
        return await add(database, project, filename=f"number{number}", **bad.get(number % 5, {}))

    results = await asyncio.gather(*map(one, range(50)), return_exceptions=True)
    for number, result in enumerate(results):
        if number % 5 < 2:
            assert isinstance(result, ConstraintError)
        else:
            assert isinstance(result, Video)
            assert result.filename == f"number{number}"
            assert await database.videos.search(f'"number{number}"') == [result]
    assert await database.videos.count() == 30
    assert look("SELECT count(*) FROM videos_fts") == [(30,)]


async def test_a_failed_write_leaves_no_lock_behind(
    database: Database, project: Project, path: Path
) -> None:
    with pytest.raises(ConstraintError):
        await add(database, project, height=0)
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    assert (await add(database, project)).id == 1


# Frames

frame_rates = st.sampled_from([(25, 1), (24000, 1001), (30000, 1001), (60, 1), (1, 1), (1, 3)])


@pytest.mark.long
@QUICK
@given(
    duration=st.floats(0, 1e7) | st.integers(0, 10**6).map(lambda frames: frames / 50),
    rate=frame_rates | st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)),
)
@example(duration=0.0, rate=(25, 1))
@example(duration=0.02, rate=(25, 1))  # half a frame is one
@example(duration=0.019999999999999997, rate=(25, 1))
@example(duration=0.49999999999999994, rate=(1, 1))
@example(duration=2.5, rate=(1, 1))  # up, not to even
@example(duration=1e7, rate=(10**6, 1))
async def test_frames_are_the_same_in_python_and_sql(
    duration: float, rate: tuple[int, int], database: Database
) -> None:
    num, den = rate
    project = await database.projects.add("p", "w")
    video = await add(database, project, duration=duration, framerate_num=num, framerate_den=den)
    assert video.total_frames == math.floor(duration * num / den + 0.5)
    stored = "SELECT total_frames FROM videos WHERE id = ?"
    assert await database.fetch_one(int, stored, [video.id]) == video.total_frames
    assert abs(video.total_frames - Fraction(duration) * video.frame_rate) <= Fraction(
        1, 2
    ) + Fraction(1, 1000)
    bounds = database.project_clips.validate_bounds
    assert await bounds(video.id, 0, video.total_frames) == (video.total_frames > 0)
    assert await bounds(video.id, 0, video.total_frames + 1) is False


@pytest.mark.parametrize(
    ("duration", "num", "den"),
    [(1e308, 1000, 1), (1e300, 1, 1), (2.0**53, 2**62, 1), (1e19, 1, 1), (2.0**63, 1, 1)],
)
async def test_an_absurd_video_is_refused_or_has_the_same_frames_in_python_and_sql(
    duration: float, num: int, den: int, database: Database, project: Project
) -> None:
    rate = {"framerate_num": num, "framerate_den": den}
    try:
        video = await add(database, project, duration=duration, **rate)
    except ConstraintError:
        return
    stored = "SELECT total_frames FROM videos WHERE id = ?"
    assert await database.fetch_one(int, stored, [video.id]) == video.total_frames


async def test_the_frame_rate_is_exact(database: Database, project: Project) -> None:
    video = await add(database, project, framerate_num=30000, framerate_den=1001)
    assert video.frame_rate == Fraction(30000, 1001)
    assert isinstance(video.total_frames, int)


# Lists and pages


async def test_videos_are_listed_newest_first(
    database: Database, project: Project, clock: FrozenClock
) -> None:
    other = await database.projects.add("other", "w")
    added = []
    for number in range(6):
        added.append(await add(database, (project, other)[number % 2]))
        clock.advance(number % 2)
    assert await database.videos.list() == added[::-1]
    assert await database.videos.list_for_project(project.id) == added[-2::-2]
    assert await database.videos.list_for_project(99) == []
    assert await database.videos.count() == 6


async def test_both_ways_of_paging_visit_everything_once_although_all_are_of_one_moment(
    database: Database, project: Project
) -> None:
    added = await database.videos.add_many(project.id, [new()] * 103)
    assert await database.videos.list() == await database.videos.page() == added[:2:-1]
    for limit in (1, 7, 50, 103, 104):
        by_offset: list[Video] = []
        for offset in range(0, 110, limit):
            by_offset += await database.videos.list(limit=limit, offset=offset)
        by_key: list[Video] = []
        while page := await database.videos.page(after=by_key[-1] if by_key else None, limit=limit):
            assert len(page) <= limit
            by_key += page
        assert by_offset == by_key == added[::-1]


# Updating


async def test_update_changes_only_what_is_passed(database: Database, project: Project) -> None:
    video = await add(database, project)
    other = await add(database, project)
    changed = await database.videos.update(video.id, filename="", width=7)
    assert changed == msgspec.structs.replace(video, filename="", width=7)
    assert await database.videos.get(video.id) == changed
    assert await database.videos.get(other.id) == other
    assert await database.videos.update(video.id) == changed


@pytest.mark.parametrize(
    "field", ["colour", "id", "project_id", "created_at", "total_frames", "frame_rate", "set_path"]
)
async def test_update_refuses_what_is_no_field_to_change(
    field: str, database: Database, project: Project
) -> None:
    video = await add(database, project)
    before = contents(database.path)
    with pytest.raises((TypeError, ValueError), match=field):
        await database.videos.update(video.id, **{"filename": "new", field: 1})  # type: ignore[arg-type]
    assert contents(database.path) == before


@pytest.mark.parametrize(
    "changes", [{"duration": 3.89}, {"framerate_num": 9}, {"framerate_den": 3}], ids=str
)
async def test_a_video_is_not_made_shorter_than_its_clips(
    changes: dict[str, Any], database: Database, project: Project
) -> None:
    video = await add(database, project)
    await database.project_clips.add(project.id, video.id, 0, 98)
    with pytest.raises(ConstraintError) as caught:
        await database.videos.update(video.id, **changes)
    assert (caught.value.kind, caught.value.constraint) == ("check", "a clip ends within its video")
    assert await database.videos.get(video.id) == video
    shorter = await database.videos.update(video.id, duration=3.92)
    assert shorter.total_frames == 98


# Deleting


async def test_a_video_that_a_clip_uses_stays(database: Database, project: Project) -> None:
    video = await add(database, project)
    clip = await database.project_clips.add(project.id, video.id, 0, 1)
    with pytest.raises(ConstraintError) as caught:
        await database.videos.delete(video.id)
    assert caught.value.kind == "foreign_key"
    assert await database.videos.get(video.id) == video
    assert await database.videos.search("mov") == [video]
    await database.project_clips.delete(clip.id)
    assert await database.videos.delete(video.id) is True
    assert await database.videos.find(video.id) is None


async def test_in_a_unit_too_a_video_that_a_clip_uses_stays(
    database: Database, project: Project
) -> None:
    async with database.transaction() as unit:
        video = await unit.videos.add(project.id, "f", "p", 1.0, 25, 1, 1, 1)
        clip = await unit.project_clips.add(project.id, video.id, 0, 1)
        with pytest.raises(ConstraintError) as caught:
            await unit.videos.delete(video.id)
        assert caught.value.kind == "foreign_key"
    assert await database.project_clips.get(clip.id) == clip
