"""Promises about timelines: the rule of a track holds while clips move, and transitions join neighbours."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from samples import contents

from reelbase import (
    ConstraintError,
    Database,
    InvalidArgumentError,
    OverlapRule,
    Project,
    RecordNotFoundError,
    TimelineClip,
    TimelineTrack,
    Video,
)


@pytest.fixture
async def project(database: Database) -> Project:
    return await database.projects.add("film", "work")


@pytest.fixture
async def track(database: Database, project: Project) -> TimelineTrack:
    return await database.timeline_tracks.add(project.id, "video")


@pytest.fixture
async def video(database: Database, project: Project) -> Video:
    return await database.videos.add(project.id, "a.mov", "a.mov", 4.0, 25, 1, 1, 1)  # 100 frames


async def colors(
    database: Database, track: TimelineTrack, places: Sequence[tuple[int, int]]
) -> list[TimelineClip]:
    """Clips of these positions and durations."""
    return [
        await database.timeline_clips.add(track.id, position, duration, generator="color")
        for position, duration in places
    ]


async def places(database: Database, track: TimelineTrack) -> list[tuple[int, int]]:
    """The positions and ends of a track's clips."""
    clips = await database.timeline_clips.page(track.id, limit=None)
    return [(clip.position, clip.end) for clip in clips]


# Tracks


async def test_tracks_come_in_their_order(database: Database, project: Project) -> None:
    other = await database.timeline_tracks.add(
        (await database.projects.add("other", "work")).id, "video"
    )
    tracks = [await database.timeline_tracks.add(project.id, kind) for kind in "abcd"]
    assert await database.timeline_tracks.list_for_project(project.id) == tracks
    a, b, c, d = (track.id for track in tracks)
    ordered = await database.timeline_tracks.reorder(project.id, [b, a])
    assert [track.id for track in ordered] == [c, d, b, a]
    ordered = await database.timeline_tracks.reorder(project.id, [d, c, b, a])
    assert [track.id for track in ordered] == [d, c, b, a]
    assert await database.timeline_tracks.list_for_project(project.id, limit=2) == ordered[:2]
    assert await database.timeline_tracks.list_for_project(project.id, offset=3) == ordered[3:]
    assert await database.timeline_tracks.reorder(project.id, []) == ordered
    for wrong in ([a, a], [a, other.id], [999]):
        with pytest.raises(InvalidArgumentError, match="track_ids"):
            await database.timeline_tracks.reorder(project.id, wrong)
    assert await database.timeline_tracks.list_for_project(project.id) == ordered
    assert await database.timeline_tracks.get(other.id) == other


async def test_a_locked_track_keeps_its_clips_as_they_are(
    database: Database, project: Project, track: TimelineTrack, path: Path
) -> None:
    (clip,) = await colors(database, track, [(0, 10)])
    free = await database.timeline_tracks.add(project.id, "video")
    (other,) = await colors(database, free, [(20, 10)])
    await database.timeline_tracks.update(track.id, is_locked=True)
    before = contents(path)
    for change in (
        database.timeline_clips.add(track.id, 50, 1, generator="color"),
        database.timeline_clips.insert(track.id, 0, 1, generator="color"),
        database.timeline_clips.shift(track.id, 0, 5),
        database.timeline_clips.update(clip.id, name="x"),
        database.timeline_clips.update(other.id, track_id=track.id),
        database.timeline_clips.split(clip.id, 5),
        database.timeline_clips.remove(clip.id),
        database.timeline_clips.delete(clip.id),
        database.timeline_tracks.delete(track.id),
    ):
        with pytest.raises(ConstraintError, match="the track is locked") as caught:
            await change
        assert caught.value.kind == "check"
    assert contents(path) == before
    await database.timeline_tracks.update(track.id, is_locked=False, is_muted=True)
    assert await database.timeline_clips.delete(clip.id)


async def test_a_project_takes_its_timeline_along_locked_tracks_too(
    database: Database, project: Project, track: TimelineTrack, video: Video
) -> None:
    clip = await database.timeline_clips.add(
        track.id, 0, 100, video_id=video.id, in_point=0, out_point=100
    )
    (after,) = await colors(database, track, [(100, 10)])
    transition = await database.timeline_transitions.add(clip.id, after.id, "wipe", 5)
    await database.timeline_tracks.update(track.id, is_locked=True)
    assert await database.projects.delete(project.id)
    assert await database.timeline_tracks.find(track.id) is None
    assert await database.timeline_clips.find(clip.id) is None
    assert await database.timeline_transitions.find(transition.id) is None


# Overlaps


@pytest.mark.parametrize(
    "place", [(10, 10), (5, 6), (19, 1), (0, 100), (12, 3), (10, 1), (19, 50), (35, 10), (0, 11)]
)
async def test_clips_of_a_track_do_not_overlap(
    place: tuple[int, int], database: Database, track: TimelineTrack
) -> None:
    kept = await colors(database, track, [(10, 10), (30, 10)])
    with pytest.raises(ConstraintError, match="clips of the track do not overlap") as caught:
        await colors(database, track, [place])
    assert caught.value.kind == "check"
    (loose,) = await colors(database, track, [(200, 5)])
    with pytest.raises(ConstraintError, match="do not overlap"):
        await database.timeline_clips.update(loose.id, position=place[0], duration=place[1])
    assert await database.timeline_clips.page(track.id) == [*kept, loose]


async def test_clips_that_touch_do_not_overlap(database: Database, track: TimelineTrack) -> None:
    await colors(database, track, [(10, 10), (20, 5), (5, 5), (30, 1)])
    assert await places(database, track) == [(5, 10), (10, 20), (20, 25), (30, 31)]


async def test_layers_of_a_track_may_overlap_where_its_rule_says_so(
    database: Database, project: Project
) -> None:
    track = await database.timeline_tracks.add(project.id, "titles", overlap=OverlapRule.LAYERS)
    await colors(database, track, [(0, 10)])
    await database.timeline_clips.add(track.id, 5, 10, layer=1, generator="title")
    for layer in (0, 1):
        with pytest.raises(ConstraintError, match="clips of a layer of the track do not overlap"):
            await database.timeline_clips.add(track.id, 9, 3, layer=layer, generator="title")
    free = await database.timeline_tracks.add(project.id, "audio", overlap="any")
    await colors(database, free, [(0, 10), (0, 10), (5, 10)])


async def test_a_rule_that_the_clips_break_is_refused(database: Database, project: Project) -> None:
    track = await database.timeline_tracks.add(project.id, "audio", overlap=OverlapRule.ANY)
    long, _, last = await colors(database, track, [(0, 100), (10, 5), (50, 5)])
    for rule in (OverlapRule.NONE, OverlapRule.LAYERS):
        with pytest.raises(ConstraintError, match="clips of the track overlap"):
            await database.timeline_tracks.update(track.id, overlap=rule)
    await database.timeline_clips.update(long.id, layer=1)
    await database.timeline_tracks.update(track.id, overlap=OverlapRule.LAYERS)
    with pytest.raises(ConstraintError, match="clips of the track overlap"):
        await database.timeline_tracks.update(track.id, overlap=OverlapRule.NONE)
    await database.timeline_clips.delete(long.id)
    changed = await database.timeline_tracks.update(track.id, overlap=OverlapRule.NONE)
    assert changed.overlap is OverlapRule.NONE
    with pytest.raises(ConstraintError, match="do not overlap"):
        await database.timeline_clips.update(last.id, position=9)


# What a clip is


async def test_a_clip_is_a_cut_an_image_or_what_a_generator_makes(
    database: Database, track: TimelineTrack, video: Video
) -> None:
    cut = await database.timeline_clips.add(
        track.id, 0, 50, video_id=video.id, in_point=0, out_point=100, data={"speed": 2}
    )
    image = await database.timeline_clips.add(track.id, 50, 5, image_path="in/猫.png", name="cat")
    made = await database.timeline_clips.add(track.id, 60, 5, generator="color")
    assert await database.timeline_clips.page(track.id) == [cut, image, made]
    assert (cut.data, image.image_path, image.name) == ({"speed": 2}, "in/猫.png", "cat")
    sources: list[dict[str, Any]] = [
        {},
        {"image_path": "a", "generator": "color"},
        {"video_id": video.id},
        {"generator": "color", "in_point": 0, "out_point": 1},
        {"video_id": video.id, "in_point": 5, "out_point": 5},
        {"video_id": video.id, "in_point": 0, "out_point": 101},
    ]
    for source in sources:
        with pytest.raises(ConstraintError) as caught:
            await database.timeline_clips.add(track.id, 90, 5, **source)
        assert caught.value.kind == "check"
    assert await database.timeline_clips.count_for_track(track.id) == 3


async def test_a_cut_is_of_a_video_of_its_project_and_ends_in_it(
    database: Database, track: TimelineTrack, video: Video
) -> None:
    other = await database.projects.add("other", "work")
    strange = await database.videos.add(other.id, "b.mov", "b.mov", 4.0, 25, 1, 1, 1)
    with pytest.raises(ConstraintError) as caught:
        await database.timeline_clips.add(
            track.id, 0, 5, video_id=strange.id, in_point=0, out_point=5
        )
    assert caught.value.kind == "foreign_key"
    clip = await database.timeline_clips.add(
        track.id, 0, 5, video_id=video.id, in_point=50, out_point=100
    )
    assert await database.timeline_clips.find_by_video(video.id) == [clip]
    for change in (
        database.videos.update(video.id, duration=3.9),
        database.timeline_clips.update(clip.id, out_point=101),
    ):
        with pytest.raises(ConstraintError, match="a clip ends within its video"):
            await change
    with pytest.raises(ConstraintError) as caught:
        await database.videos.delete(video.id)
    assert caught.value.kind == "foreign_key"


@pytest.mark.parametrize(
    ("position", "duration"), [(-1, 5), (0, 0), (0, -5), (2**52, 5), (0, 2**52), (2**53, 1)]
)
async def test_what_is_no_place_is_refused(
    position: int, duration: int, database: Database, track: TimelineTrack
) -> None:
    with pytest.raises((ConstraintError, InvalidArgumentError)):
        await database.timeline_clips.add(track.id, position, duration, generator="color")
    (clip,) = await colors(database, track, [(0, 5)])
    with pytest.raises((ConstraintError, InvalidArgumentError)):
        await database.timeline_clips.update(clip.id, position=position, duration=duration)
    assert await database.timeline_clips.page(track.id) == [clip]


# Moves


async def test_inserting_moves_what_comes_later(database: Database, track: TimelineTrack) -> None:
    await colors(database, track, [(0, 10), (10, 10), (25, 5)])
    clip = await database.timeline_clips.insert(track.id, 10, 4, generator="title")
    assert (clip.position, clip.end) == (10, 14)
    assert await places(database, track) == [(0, 10), (10, 14), (14, 24), (29, 34)]
    await database.timeline_clips.insert(track.id, 24, 2, generator="title")
    assert await places(database, track) == [(0, 10), (10, 14), (14, 24), (24, 26), (31, 36)]


async def test_what_runs_at_the_place_is_in_the_way(
    database: Database, track: TimelineTrack, path: Path
) -> None:
    await colors(database, track, [(0, 10), (10, 10)])
    before = contents(path)
    with pytest.raises(ConstraintError, match="do not overlap"):
        await database.timeline_clips.insert(track.id, 5, 4, generator="title")
    assert contents(path) == before


async def test_removing_closes_the_gap(database: Database, track: TimelineTrack) -> None:
    clips = await colors(database, track, [(0, 10), (10, 10), (25, 5), (30, 5)])
    assert await database.timeline_clips.remove(clips[1].id) == clips[1]
    assert await places(database, track) == [(0, 10), (15, 20), (20, 25)]
    assert await database.timeline_clips.delete(clips[2].id)
    assert await places(database, track) == [(0, 10), (20, 25)]
    with pytest.raises(RecordNotFoundError):
        await database.timeline_clips.remove(clips[1].id)


async def test_shifting_keeps_the_order_or_changes_nothing(
    database: Database, track: TimelineTrack, path: Path
) -> None:
    await colors(database, track, [(0, 10), (20, 10), (30, 10)])
    assert await database.timeline_clips.shift(track.id, 20, -10) == 2
    assert await places(database, track) == [(0, 10), (10, 20), (20, 30)]
    assert await database.timeline_clips.shift(track.id, 5, 3) == 2
    assert await places(database, track) == [(0, 10), (13, 23), (23, 33)]
    before = contents(path)
    for start, by in ((13, -4), (0, -1)):
        with pytest.raises(ConstraintError):
            await database.timeline_clips.shift(track.id, start, by)
    with pytest.raises(InvalidArgumentError, match="by"):
        await database.timeline_clips.shift(track.id, 0, 2**52)
    assert await database.timeline_clips.shift(track.id, 99, 5) == 0
    assert contents(path) == before
    with pytest.raises(RecordNotFoundError, match="timeline track"):
        await database.timeline_clips.shift(99, 0, 5)


async def test_only_its_own_track_is_moved(
    database: Database, project: Project, track: TimelineTrack
) -> None:
    other = await database.timeline_tracks.add(project.id, "audio")
    await colors(database, track, [(0, 10)])
    (kept,) = await colors(database, other, [(0, 10)])
    await database.timeline_clips.shift(track.id, 0, 10)
    assert await database.timeline_clips.get(kept.id) == kept


async def test_two_who_insert_at_once_lose_nothing(
    database: Database, track: TimelineTrack
) -> None:
    await colors(database, track, [(0, 10), (10, 10)])
    await asyncio.gather(
        *(database.timeline_clips.insert(track.id, 10, 5, generator="title") for _ in range(4))
    )
    assert await places(database, track) == [
        (0, 10),
        *((10, 15), (15, 20), (20, 25), (25, 30)),
        (30, 40),
    ]


async def test_a_cut_is_split_in_proportion(
    database: Database, track: TimelineTrack, video: Video
) -> None:
    clip = await database.timeline_clips.add(
        track.id, 10, 30, video_id=video.id, in_point=20, out_point=80, data={"gain": 1}
    )
    left, right = await database.timeline_clips.split(clip.id, 20)
    assert (left.id, left.position, left.end, left.in_point, left.out_point) == (
        *(clip.id, 10, 20),
        *(20, 40),
    )
    assert (right.position, right.end, right.in_point, right.out_point) == (20, 40, 40, 80)
    assert (right.data, right.video_id) == ({"gain": 1}, video.id)
    (title,) = await colors(database, track, [(50, 4)])
    assert [part.duration for part in await database.timeline_clips.split(title.id, 51)] == [1, 3]


@pytest.mark.parametrize("at", [0, 10, 40, 41, -5])
async def test_a_clip_is_split_inside_only(
    at: int, database: Database, track: TimelineTrack
) -> None:
    (clip,) = await colors(database, track, [(10, 30)])
    with pytest.raises(InvalidArgumentError, match="not strictly inside"):
        await database.timeline_clips.split(clip.id, at)
    assert await database.timeline_clips.page(track.id) == [clip]


async def test_a_part_has_a_frame_of_the_video(
    database: Database, track: TimelineTrack, video: Video
) -> None:
    clip = await database.timeline_clips.add(
        track.id, 0, 30, video_id=video.id, in_point=20, out_point=21
    )
    with pytest.raises(InvalidArgumentError, match="without a frame"):
        await database.timeline_clips.split(clip.id, 15)


@pytest.mark.long
async def test_any_row_of_moves_keeps_clips_apart(database: Database, track: TimelineTrack) -> None:
    chance = random.Random(5)
    clips = database.timeline_clips
    done = refused = 0
    for _ in range(300):
        listed = await clips.page(track.id, limit=None)
        place, length = chance.randrange(60), chance.randrange(1, 9)
        moves = [lambda: clips.insert(track.id, place, length, generator="g")]  # noqa: B023
        if listed:
            one = chance.choice(listed)
            moves += [
                lambda: clips.add(track.id, place, length, generator="g"),  # noqa: B023
                lambda: clips.update(one.id, position=place),  # noqa: B023
                lambda: clips.update(one.id, duration=length),  # noqa: B023
                lambda: clips.remove(one.id),  # noqa: B023
                lambda: clips.shift(track.id, place, length - 5),  # type: ignore[list-item, return-value]  # noqa: B023
            ]
        try:
            await chance.choice(moves)()
            done += 1
        except ConstraintError:
            refused += 1
        spans = await places(database, track)
        assert all(start >= before for (_, before), (start, _) in itertools.pairwise(spans))
        assert all(end < 10_000 for _, end in spans)
    assert done > 50
    assert refused > 50


# Lists


async def test_a_window_has_what_is_seen_in_it(database: Database, project: Project) -> None:
    track = await database.timeline_tracks.add(project.id, "audio", overlap=OverlapRule.ANY)
    clips = await colors(database, track, [(0, 100), (10, 10), (20, 10), (30, 10), (30, 1)])
    long, first, second, third, short = clips
    seen = database.timeline_clips.between
    assert await seen(track.id, 20, 30) == [long, second]
    assert await seen(track.id, 19, 31) == [long, first, second, third, short]
    assert await seen(track.id, 19, 31, limit=1, offset=1) == [first]
    assert await seen(track.id, 99, 500) == [long]
    assert await seen(track.id, 100, 500) == await seen(track.id, 20, 20) == []
    assert await seen(99, 0, 500) == []


# Transitions


async def joined(
    database: Database, track: TimelineTrack, places: Sequence[tuple[int, int]]
) -> tuple[list[TimelineClip], list[int]]:
    """Clips and the transitions between them."""
    clips = await colors(database, track, places)
    transitions = [
        await database.timeline_transitions.add(one.id, two.id, "wipe", 2)
        for one, two in itertools.pairwise(clips)
    ]
    return clips, [transition.id for transition in transitions]


async def left(database: Database, track: TimelineTrack) -> list[int]:
    listed = await database.timeline_transitions.list_for_track(track.id)
    return [transition.id for transition in listed]


async def test_a_transition_joins_neighbours_of_one_track(
    database: Database, project: Project, track: TimelineTrack
) -> None:
    one, two, far = await colors(database, track, [(0, 10), (10, 10), (30, 10)])
    other = await database.timeline_tracks.add(project.id, "video")
    (strange,) = await colors(database, other, [(10, 10)])
    add = database.timeline_transitions.add
    made = await add(one.id, two.id, "dissolve", 4, data={"curve": "s"})
    assert await database.timeline_transitions.get(made.id) == made
    assert await database.timeline_transitions.for_clips([one.id, two.id, 99]) == {one.id: made}
    for pair, kind in (
        ((two.id, far.id), "check"),
        ((far.id, two.id), "check"),
        ((two.id, two.id), "check"),
        ((two.id, strange.id), "foreign_key"),
        ((two.id, 999), "foreign_key"),
        ((one.id, two.id), "unique"),
    ):
        with pytest.raises(ConstraintError) as caught:
            await add(*pair, "wipe", 2)
        assert caught.value.kind == kind, pair
    with pytest.raises(RecordNotFoundError, match="timeline clip '999'"):
        await add(999, two.id, "wipe", 2)
    changed = await database.timeline_transitions.update(made.id, duration=6, data=None)
    assert (changed.kind, changed.duration, changed.data) == ("dissolve", 6, None)
    assert await left(database, track) == [made.id]


async def test_transitions_stay_while_their_clips_are_neighbours(
    database: Database, track: TimelineTrack
) -> None:
    clips, transitions = await joined(database, track, [(0, 10), (10, 10), (20, 10), (30, 10)])
    await database.timeline_clips.shift(track.id, 0, 50)
    assert await left(database, track) == transitions
    await database.timeline_clips.insert(track.id, 70, 5, generator="title")
    assert await left(database, track) == [transitions[0], transitions[2]]
    await database.timeline_clips.update(clips[0].id, duration=9)
    assert await left(database, track) == [transitions[2]]
    await database.timeline_clips.delete(clips[3].id)
    assert await left(database, track) == []


async def test_a_long_clip_that_stays_is_parted_from_what_is_moved(
    database: Database, project: Project
) -> None:
    track = await database.timeline_tracks.add(project.id, "audio", overlap=OverlapRule.ANY)
    _, transitions = await joined(database, track, [(0, 100), (90, 20), (105, 9)])
    await database.timeline_clips.shift(track.id, 90, -40)
    assert await left(database, track) == transitions
    await database.timeline_clips.shift(track.id, 20, 51)
    assert await left(database, track) == transitions[1:]


async def test_a_removed_clip_takes_its_transitions_only(
    database: Database, track: TimelineTrack
) -> None:
    clips, transitions = await joined(database, track, [(0, 10), (10, 10), (20, 10), (30, 10)])
    await database.timeline_clips.remove(clips[1].id)
    assert await left(database, track) == transitions[2:]


async def test_a_clip_that_leaves_its_track_leaves_its_transitions(
    database: Database, project: Project, track: TimelineTrack
) -> None:
    clips, _ = await joined(database, track, [(0, 10), (10, 10)])
    other = await database.timeline_tracks.add(project.id, "video")
    moved = await database.timeline_clips.update(clips[0].id, track_id=other.id)
    assert moved.track_id == other.id
    assert await left(database, track) == await left(database, other) == []
    strange = await database.timeline_tracks.add(
        (await database.projects.add("other", "work")).id, "video"
    )
    with pytest.raises(ConstraintError) as caught:
        await database.timeline_clips.update(clips[1].id, track_id=strange.id)
    assert caught.value.kind == "foreign_key"


async def test_a_transition_at_the_end_goes_on_from_the_right_part(
    database: Database, track: TimelineTrack
) -> None:
    clips, transitions = await joined(database, track, [(0, 10), (10, 10), (20, 10)])
    _, right = await database.timeline_clips.split(clips[1].id, 15)
    assert await left(database, track) == transitions
    last = await database.timeline_transitions.get(transitions[1])
    assert (last.from_clip_id, last.to_clip_id) == (right.id, clips[2].id)
    first = await database.timeline_transitions.get(transitions[0])
    assert (first.from_clip_id, first.to_clip_id) == (clips[0].id, clips[1].id)
