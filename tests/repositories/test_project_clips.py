"""Promises about clips: half-open intervals of frames, cut from the videos of one project."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import contents

from reelbase import (
    ConstraintError,
    Database,
    ProjectClip,
    RecordNotFoundError,
    Video,
)
from reelbase.testing.clock import START

Look = Callable[[str], list[tuple[object, ...]]]

FRAMES = 100
BEYOND = "a clip ends within its video"


@pytest.fixture
async def video(database: Database) -> Video:
    """A video of a hundred frames."""
    project = await database.projects.add("p", "w")
    return await database.videos.add(project.id, "a.mov", "in/a.mov", 4.0, 25, 1, 1920, 1080)


async def add(database: Database, video: Video, in_point: int, out_point: int) -> ProjectClip:
    return await database.project_clips.add(video.project_id, video.id, in_point, out_point)


# Bounds: what add() takes, update() takes, and validate_bounds() says of it; None is valid.

BOUNDS: dict[tuple[int, int], str | None] = {
    (0, 1): None,
    (0, FRAMES): None,
    (FRAMES - 1, FRAMES): None,
    (0, 0): "project_clips_points",
    (5, 5): "project_clips_points",
    (6, 5): "project_clips_points",
    (-1, 5): "project_clips_points",
    (-5, -1): "project_clips_points",
    (0, FRAMES + 1): BEYOND,
    (FRAMES, FRAMES + 1): BEYOND,
    (0, 2**63 - 1): BEYOND,
}

every_bound = pytest.mark.parametrize(
    ("bounds", "constraint"), BOUNDS.items(), ids=lambda value: str(value)[:30]
)


@every_bound
async def test_what_bounds_a_clip_may_have(
    bounds: tuple[int, int], constraint: str | None, database: Database, video: Video
) -> None:
    clips = database.project_clips
    assert await clips.validate_bounds(video.id, *bounds) is (constraint is None)
    kept = await add(database, video, 1, 2)
    in_point, out_point = bounds
    calls: tuple[Callable[[], Awaitable[ProjectClip]], ...] = (
        lambda: add(database, video, in_point, out_point),
        lambda: clips.update(kept.id, in_point=in_point, out_point=out_point),
    )
    for call in calls:
        if constraint is None:
            clip = await call()
            assert (clip.in_point, clip.out_point) == bounds
            assert await clips.get(clip.id) == clip
        else:
            with pytest.raises(ConstraintError) as caught:
                await call()
            assert (caught.value.kind, caught.value.constraint) == ("check", constraint)
    if constraint is not None:
        assert await clips.list() == [kept]


async def test_bounds_of_an_unknown_video_are_not_valid(database: Database) -> None:
    assert await database.project_clips.validate_bounds(7, 0, 1) is False


async def test_a_video_without_frames_has_no_clips(database: Database, video: Video) -> None:
    empty = await database.videos.add(video.project_id, "e", "e", 0.0, 25, 1, 1, 1)
    assert await database.project_clips.validate_bounds(empty.id, 0, 0) is False
    assert await database.project_clips.validate_bounds(empty.id, 0, 1) is False
    with pytest.raises(ConstraintError, match=BEYOND):
        await add(database, empty, 0, 1)


async def test_a_clip_is_kept_as_given(database: Database, video: Video) -> None:
    clip = await add(database, video, 3, 9)
    assert clip == ProjectClip(1, video.project_id, video.id, 3, 9, START)
    assert await database.project_clips.get(clip.id) == clip
    assert await database.project_clips.find(clip.id) == clip
    assert await database.project_clips.count() == 1


# Which video


async def test_the_video_is_one_of_the_clips_project(database: Database, video: Video) -> None:
    other = await database.projects.add("other", "w")
    theirs = await database.videos.add(other.id, "b", "b", 4.0, 25, 1, 1, 1)
    for project_id, video_id in (
        (video.project_id, theirs.id),
        (other.id, video.id),
        (99, video.id),
        (video.project_id, 99),
    ):
        with pytest.raises(ConstraintError) as caught:
            await database.project_clips.add(project_id, video_id, 0, 1)
        assert caught.value.kind == "foreign_key"
    clip = await add(database, video, 0, 1)
    for video_id in (theirs.id, 99):
        with pytest.raises(ConstraintError) as caught:
            await database.project_clips.update(clip.id, video_id=video_id)
        assert caught.value.kind == "foreign_key"
    assert await database.project_clips.list() == [clip]


async def test_a_clip_moves_to_a_video_that_is_long_enough(
    database: Database, video: Video
) -> None:
    short = await database.videos.add(video.project_id, "s", "s", 1.0, 25, 1, 1, 1)
    clip = await add(database, video, 0, 26)
    with pytest.raises(ConstraintError, match=BEYOND):
        await database.project_clips.update(clip.id, video_id=short.id)
    moved = await database.project_clips.update(clip.id, video_id=short.id, out_point=25)
    assert moved == msgspec.structs.replace(clip, video_id=short.id, out_point=25)


# Updating and deleting


@pytest.mark.parametrize(
    "field", ["colour", "id", "project_id", "created_at", "frame", "set_in_point"]
)
async def test_update_refuses_what_is_no_field_to_change(
    field: str, database: Database, video: Video
) -> None:
    clip = await add(database, video, 0, 9)
    before = contents(database.path)
    with pytest.raises((TypeError, ValueError), match=field):
        await database.project_clips.update(clip.id, **{"in_point": 1, field: 1})
    assert contents(database.path) == before


async def test_a_clip_that_is_not_there(database: Database) -> None:
    assert await database.project_clips.find(7) is None
    for call in (
        lambda: database.project_clips.get(7),
        lambda: database.project_clips.update(7, in_point=1),
        lambda: database.project_clips.update(7),
        lambda: database.project_clips.delete(7),
        lambda: database.project_clips.split(7, 1),
    ):
        with pytest.raises(RecordNotFoundError, match="clip '7' not found"):
            await call()
    assert await database.project_clips.delete(7, missing_ok=True) is False


async def test_deleting_a_clip_leaves_its_video(database: Database, video: Video) -> None:
    clip = await add(database, video, 0, 1)
    assert await database.project_clips.delete(clip.id) is True
    assert await database.project_clips.find(clip.id) is None
    assert await database.videos.get(video.id) == video


# Overlap


OVERLAPS: dict[tuple[int, int], bool] = {
    (10, 20): True,  # the clip itself
    (12, 15): True,
    (0, 100): True,
    (0, 11): True,
    (19, 30): True,
    (10, 11): True,
    (19, 20): True,
    (0, 10): False,  # touching is not overlap
    (20, 30): False,
    (0, 9): False,
    (21, 22): False,
    (15, 15): False,  # empty
    (18, 12): False,  # inverted
    (100, 0): False,
    (-5, 10): False,
    (-5, 11): True,
    (-(2**63), 2**63 - 1): True,
}


@pytest.mark.parametrize(("window", "overlaps"), OVERLAPS.items(), ids=str)
async def test_what_overlaps_a_clip_from_10_to_20(
    window: tuple[int, int], overlaps: bool, database: Database, video: Video
) -> None:
    clip = await add(database, video, 10, 20)
    found = await database.project_clips.find_overlapping(video.id, *window)
    assert found == ([clip] if overlaps else [])


@pytest.mark.long
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    intervals=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=8),
    window=st.tuples(st.integers(-1, 13), st.integers(-1, 13)),
)
async def test_clips_overlap_a_window_when_they_share_a_frame_with_it(
    intervals: list[tuple[int, int]], window: tuple[int, int], database: Database
) -> None:
    project = await database.projects.add("p", "w")
    video = await database.videos.add(project.id, "f", "p", 4.0, 25, 1, 1, 1)
    clips = [await add(database, video, *each) for each in intervals if each[0] < each[1]]
    found = await database.project_clips.find_overlapping(video.id, *window)
    frames = set(range(*window))
    sharing = [clip for clip in clips if frames & set(range(clip.in_point, clip.out_point))]
    assert found == sorted(sharing, key=lambda clip: (clip.in_point, clip.id))


async def test_a_clip_that_is_being_moved_is_not_in_its_own_way(
    database: Database, video: Video
) -> None:
    moved, other = await add(database, video, 10, 20), await add(database, video, 15, 25)
    overlapping = database.project_clips.find_overlapping
    assert await overlapping(video.id, 12, 22) == [moved, other]
    assert await overlapping(video.id, 12, 22, exclude_id=moved.id) == [other]
    assert await overlapping(video.id, 12, 22, exclude_id=None) == [moved, other]


async def test_only_clips_of_the_video_overlap(database: Database, video: Video) -> None:
    other = await database.videos.add(video.project_id, "b", "b", 4.0, 25, 1, 1, 1)
    await add(database, other, 0, 50)
    assert await database.project_clips.find_overlapping(video.id, 0, 50) == []
    assert await database.project_clips.find_overlapping(99, 0, 50) == []


# Lists


async def test_clips_come_in_the_order_of_their_frames(database: Database, video: Video) -> None:
    second = await database.videos.add(video.project_id, "b", "b", 4.0, 25, 1, 1, 1)
    points = [(7, 9), (3, 50), (7, 8), (0, 1), (3, 4)]
    added = [
        await add(database, (video, second)[number % 2], *each)
        for number, each in enumerate(points)
    ]

    def in_order(clips: list[ProjectClip]) -> list[ProjectClip]:
        return sorted(clips, key=lambda clip: (clip.in_point, clip.id))

    clips = database.project_clips
    assert await clips.find_by_project(video.project_id) == in_order(added)
    assert await clips.find_by_video(video.id) == in_order(added[::2])
    assert await clips.find_by_video(second.id) == in_order(added[1::2])
    assert await clips.find_by_video(99) == await clips.find_by_project(99) == []
    assert await clips.list() == added[::-1]


async def test_every_page_by_offset_together_is_everything_once(
    database: Database, video: Video
) -> None:
    added = [await add(database, video, 0, 1 + number) for number in range(9)]
    for limit in range(1, 11):
        visited = []
        for offset in range(0, 10, limit):
            visited += await database.project_clips.list(limit=limit, offset=offset)
        assert visited == added[::-1]


# Splitting


async def test_a_split_clip_is_two_that_touch(database: Database, video: Video) -> None:
    clip = await add(database, video, 10, 20)
    left, right = await database.project_clips.split(clip.id, 13)
    assert left == msgspec.structs.replace(clip, out_point=13)
    assert right == msgspec.structs.replace(clip, id=right.id, in_point=13)
    assert right.id != clip.id
    assert await database.project_clips.find_by_video(video.id) == [left, right]
    assert await database.project_clips.find_overlapping(video.id, 12, 13) == [left]
    assert await database.project_clips.find_overlapping(video.id, 13, 14) == [right]


@pytest.mark.parametrize("frame", [-1, 0, 9, 10, 20, 21, 2**62])
async def test_a_clip_is_split_strictly_inside(
    frame: int, database: Database, video: Video
) -> None:
    clip = await add(database, video, 10, 20)
    before = contents(database.path)
    with pytest.raises(ValueError, match=str(frame)):
        await database.project_clips.split(clip.id, frame)
    assert contents(database.path) == before


async def test_a_clip_of_one_frame_cannot_be_split(database: Database, video: Video) -> None:
    clip = await add(database, video, 10, 11)
    for frame in (10, 11):
        with pytest.raises(ValueError, match="inside"):
            await database.project_clips.split(clip.id, frame)


@pytest.mark.parametrize("frame", [11.0, "12", None, True])
async def test_a_frame_is_an_integer(frame: Any, database: Database, video: Video) -> None:
    clip = await add(database, video, 0, 20)
    before = contents(database.path)
    with pytest.raises((TypeError, ValueError)):
        await database.project_clips.split(clip.id, frame)
    assert contents(database.path) == before


async def test_a_split_happens_whole_or_not_at_all(database: Database, video: Video) -> None:
    clip = await add(database, video, 10, 20)
    await database.execute(
        "CREATE TRIGGER own BEFORE UPDATE ON project_clips BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    before = contents(database.path)
    with pytest.raises(ConstraintError, match="no"):
        await database.project_clips.split(clip.id, 13)
    assert contents(database.path) == before
    async with database.transaction() as unit:
        with pytest.raises(ConstraintError, match="no"):
            await unit.project_clips.split(clip.id, 13)
    assert contents(database.path) == before


async def test_of_many_splits_at_one_frame_one_wins(database: Database, video: Video) -> None:
    clip = await add(database, video, 0, 100)
    results = await asyncio.gather(
        *(database.project_clips.split(clip.id, 50) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, ValueError) for result in results) == 9
    assert await database.project_clips.count() == 2


async def test_splitting_again_and_again_loses_no_frame(database: Database, video: Video) -> None:
    clip = await add(database, video, 0, 100)
    frames = [frame for frame in range(1, 100) if frame % 7 == 0]
    for frame in reversed(frames):
        await database.project_clips.split(clip.id, frame)
    found = await database.project_clips.find_by_video(video.id)
    points = [(each.in_point, each.out_point) for each in found]
    assert points == list(zip([0, *frames], [*frames, 100], strict=True))


# Many at once


async def test_bad_ones_among_good_ones_leave_exactly_the_good_ones(
    database: Database, video: Video
) -> None:
    async def one(number: int) -> ProjectClip:
        # Beyond the video, empty, of no video, good.
        video_id, out_point = [(1, 101), (1, 0), (99, 5), (1, 50)][number % 4]
        return await database.project_clips.add(video.project_id, video_id, 0, out_point)

    results = await asyncio.gather(*map(one, range(80)), return_exceptions=True)
    kinds = [getattr(result, "kind", None) for result in results]
    assert kinds == ["check", "check", "foreign_key", None] * 20
    good = [result for result in results if isinstance(result, ProjectClip)]
    assert await database.project_clips.find_by_video(video.id) == good
    assert await database.fetch_one(int, "SELECT count(*) FROM audit_context") == 0


async def test_a_failed_write_leaves_no_lock_behind(
    database: Database, video: Video, path: Path
) -> None:
    with pytest.raises(ConstraintError):
        await add(database, video, 0, 101)
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    assert (await add(database, video, 0, 100)).out_point == 100
