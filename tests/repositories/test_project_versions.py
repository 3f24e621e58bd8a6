"""Promises about versions of projects: a restore brings back exactly what was saved, or changes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from samples import contents

from reelbase import (
    ConstraintError,
    Database,
    DatabaseCorruptError,
    InvalidArgumentError,
    OverlapRule,
    Project,
    ProjectSnapshot,
    ProjectVersion,
    RecordNotFoundError,
    Video,
    connect,
)
from reelbase.testing.clock import FrozenClock


@pytest.fixture
async def project(database: Database) -> Project:
    return await database.projects.add("film", "work")


@pytest.fixture
async def video(database: Database, project: Project) -> Video:
    return await database.videos.add(project.id, "a.mov", "a.mov", 4.0, 25, 1, 1, 1)  # 100 frames


@pytest.fixture
async def film(database: Database, project: Project, video: Video) -> Project:
    """A project that has something of everything."""
    await database.project_settings.upsert(
        project.id, output_width=1920, frame_rate_num=30000, data={"lut": 0.1, "big": 2**63 - 1}
    )
    tracks = [
        await database.timeline_tracks.add(project.id, kind, overlap=rule, data={"kind": kind})
        for kind, rule in (("video", "none"), ("titles", "layers"), ("audio", "any"))
    ]
    cut = await database.timeline_clips.add(
        tracks[0].id, 0, 50, video_id=video.id, in_point=50, out_point=100, name='a "cut" \x00 é'
    )
    image = await database.timeline_clips.add(
        tracks[0].id, 50, 10, image_path=os.fsdecode(b"caf\xe9\xef\x82\x80.png")
    )
    await database.timeline_transitions.add(cut.id, image.id, "wipe", 5, data={"angle": 1e-7})
    for layer in range(2):
        await database.timeline_clips.add(tracks[1].id, 5, 9, layer=layer, generator="null")
        await database.timeline_clips.add(tracks[2].id, 5, 9, generator="1")
    await database.project_clips.add(project.id, video.id, 0, 10)
    await database.project_clips.add(project.id, video.id, 90, 100)
    return project


def rows(path: Path, *, beside: tuple[str, ...] = ()) -> dict[str, Any]:
    """The rows of the tables that a version is of, as they are stored."""
    tables = ("project_settings", "timeline_tracks", "timeline_clips", "timeline_transitions")
    with closing(sqlite3.connect(path)) as connection:
        return {
            table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall())
            for table in (*tables, "project_clips", *beside)
        }


async def wreck(database: Database, project: Project) -> None:
    """Changes something of everything."""
    await database.project_settings.upsert(project.id, output_width=640, data=None)
    first, second, third = await database.timeline_tracks.list_for_project(project.id)
    clips = await database.timeline_clips.page(first.id)
    await database.timeline_clips.split(clips[0].id, 20)
    await database.timeline_clips.delete(clips[1].id)
    await database.timeline_tracks.delete(second.id)
    await database.timeline_tracks.update(third.id, name="renamed", is_muted=True)
    added = await database.timeline_tracks.add(project.id, "more")
    await database.timeline_clips.add(added.id, 0, 5, generator="color")
    await database.timeline_tracks.reorder(project.id, [added.id, first.id])
    kept, gone = await database.project_clips.find_by_project(project.id)
    await database.project_clips.update(kept.id, out_point=20)
    await database.project_clips.delete(gone.id)
    await database.project_clips.add(project.id, kept.video_id, 5, 6)


# Saving


async def test_versions_are_numbered_from_1_in_each_project(
    database: Database, film: Project, clock: FrozenClock
) -> None:
    other = await database.projects.add("other", "work")
    first = await database.project_versions.save(film.id, name="rough cut")
    clock.advance(1)
    await database.timeline_tracks.add(film.id, "more")
    second = await database.project_versions.save(film.id)
    empty = await database.project_versions.save(other.id)
    assert [(each.project_id, each.number, each.name) for each in (first, second, empty)] == [
        (film.id, 1, "rough cut"),
        (film.id, 2, ""),
        (other.id, 1, ""),
    ]
    assert second.created_at > first.created_at
    assert await database.project_versions.get(film.id, 1) == first
    assert await database.project_versions.find(film.id, 2) == second
    assert await database.project_versions.find(film.id, 3) is None
    assert await database.project_versions.find(99, 1) is None
    assert await database.project_versions.page(film.id) == [second, first]
    assert await database.project_versions.snapshot(other.id, 1) == ProjectSnapshot(
        None, [], [], [], []
    )


async def test_a_page_goes_on_behind_the_last_version(database: Database, film: Project) -> None:
    versions = [await database.project_versions.save(film.id, name=f"v{n}") for n in range(5)]
    versions.reverse()
    page = await database.project_versions.page(film.id, limit=2)
    assert page == versions[:2]
    for after in (page.next, page[-1]):
        assert await database.project_versions.page(film.id, after=after, limit=2) == versions[2:4]
    rest = await database.project_versions.page(film.id, after=versions[2], limit=None)
    assert (rest, rest.next) == (versions[3:], None)
    assert await database.project_versions.page(99) == []
    with pytest.raises(InvalidArgumentError, match="after"):
        await database.project_versions.page(film.id, after="x")


async def test_an_unchanged_project_is_not_saved_again_but_under_another_name(
    database: Database, film: Project, path: Path
) -> None:
    first = await database.project_versions.save(film.id)
    before = contents(path)
    assert await database.project_versions.save(film.id) == first
    assert contents(path) == before
    named = await database.project_versions.save(film.id, name="approved")
    assert (named.number, named.checksum) == (2, first.checksum)
    assert await database.project_versions.save(film.id) == named
    assert await database.project_versions.save(film.id, name="approved") == named
    assert (await database.project_versions.save(film.id, name="sent")).number == 3


async def test_a_snapshot_is_what_the_repositories_give(
    database: Database, film: Project, path: Path
) -> None:
    version = await database.project_versions.save(film.id)
    snapshot = await database.project_versions.snapshot(film.id, 1)
    tracks = await database.timeline_tracks.list_for_project(film.id)
    assert snapshot == ProjectSnapshot(
        await database.project_settings.get(film.id),
        tracks,
        [clip for track in tracks for clip in await database.timeline_clips.page(track.id)],
        [
            transition
            for track in tracks
            for transition in await database.timeline_transitions.list_for_track(track.id)
        ],
        await database.project_clips.find_by_project(film.id),
    )
    assert len(snapshot.clips) == 6
    assert len(snapshot.transitions) == 1
    content = await database.fetch_one(str, "SELECT content FROM project_versions")
    assert version.checksum == hashlib.sha256(content.encode()).hexdigest()


async def test_what_is_not_there_is_not_found(database: Database, film: Project) -> None:
    await database.project_versions.save(film.id)
    for method in ("get", "snapshot", "restore", "delete"):
        with pytest.raises(RecordNotFoundError, match=rf"2 of project {film.id}"):
            await getattr(database.project_versions, method)(film.id, 2)
    with pytest.raises(RecordNotFoundError, match="project '99'"):
        await database.project_versions.save(99)
    with pytest.raises(RecordNotFoundError, match="project '99'"):
        await database.project_versions.restore(99, 1)
    assert not await database.project_versions.delete(film.id, 2, missing_ok=True)


async def test_pruning_leaves_the_newest_and_the_named_ones(
    database: Database, film: Project
) -> None:
    for number in range(1, 8):
        await database.timeline_tracks.add(film.id, f"t{number}")
        await database.project_versions.save(film.id, name="named" if number == 2 else "")
    with pytest.raises(InvalidArgumentError, match="keep"):
        await database.project_versions.prune(film.id, keep=-1)
    assert await database.project_versions.prune(film.id, keep=6) == 0
    assert await database.project_versions.prune(film.id, keep=2) == 4
    assert [each.number for each in await database.project_versions.page(film.id)] == [7, 6, 2]
    assert await database.project_versions.prune(film.id, keep=0) == 2
    assert [each.number for each in await database.project_versions.page(film.id)] == [2]
    assert await database.project_versions.prune(99, keep=0) == 0
    await database.timeline_tracks.add(film.id, "more")
    assert (await database.project_versions.save(film.id)).number == 3


async def test_versions_go_with_their_project(database: Database, film: Project) -> None:
    await database.project_versions.save(film.id)
    await database.projects.delete(film.id)
    assert await database.project_versions.page(film.id) == []


async def test_versions_that_are_saved_at_once_have_numbers_without_gaps(
    database: Database, film: Project
) -> None:
    saved = await asyncio.gather(
        *(database.project_versions.save(film.id, name=f"v{n}") for n in range(12))
    )
    assert sorted(version.number for version in saved) == list(range(1, 13))
    assert len({version.checksum for version in saved}) == 1


async def test_a_later_version_never_has_an_earlier_state(
    database: Database, film: Project
) -> None:
    async def edit() -> None:
        for _ in range(20):
            await database.timeline_tracks.add(film.id, "more")

    async def save() -> None:
        for _ in range(10):
            await database.project_versions.save(film.id)

    await asyncio.gather(edit(), *(save() for _ in range(4)))
    versions = await database.project_versions.page(film.id, limit=None)
    counts = [
        len((await database.project_versions.snapshot(film.id, version.number)).tracks)
        for version in versions
    ]
    assert [version.number for version in versions] == list(range(len(versions), 0, -1))
    assert counts == sorted(counts, reverse=True)


# Restoring


async def test_a_restore_brings_back_every_row_and_can_be_undone(
    database: Database, film: Project, path: Path, clock: FrozenClock
) -> None:
    saved = rows(path)
    version = await database.project_versions.save(film.id)
    clock.advance(5)
    await wreck(database, film)
    wrecked = rows(path)
    assert all(wrecked[table] != saved[table] for table in saved)
    before = await database.project_versions.restore(film.id, version.number, name="before")
    assert rows(path) == saved
    assert (before.number, before.name) == (2, "before")
    undone = await database.project_versions.restore(film.id, before.number)
    assert rows(path) == wrecked
    assert (undone.number, undone.checksum) == (3, version.checksum)
    assert await database.project_versions.restore(film.id, undone.number) == (
        await database.project_versions.get(film.id, 4)
    )
    assert rows(path) == saved
    assert (await database.check()).ok


async def test_a_restore_of_nothing_new_stores_nothing(
    database: Database, film: Project, path: Path
) -> None:
    version = await database.project_versions.save(film.id)
    before = contents(path)
    assert await database.project_versions.restore(film.id, 1) == version
    assert contents(path) == before


async def test_a_project_can_be_emptied_and_filled_by_a_restore(
    database: Database, project: Project, video: Video, path: Path
) -> None:
    await database.project_versions.save(project.id)
    empty = rows(path)
    track = await database.timeline_tracks.add(project.id, "video")
    await database.timeline_clips.add(track.id, 0, 5, generator="color")
    await database.project_settings.upsert(project.id, output_width=1)
    await database.project_clips.add(project.id, video.id, 0, 5)
    full = rows(path)
    before = await database.project_versions.restore(project.id, 1)
    assert rows(path) == empty
    await database.project_versions.restore(project.id, before.number)
    assert rows(path) == full


async def test_a_restore_leaves_other_projects_alone(
    database: Database, film: Project, path: Path
) -> None:
    other = await database.projects.add("other", "work")
    video = await database.videos.add(other.id, "b.mov", "b.mov", 4.0, 25, 1, 1, 1)
    track = await database.timeline_tracks.add(other.id, "video")
    await database.timeline_clips.add(track.id, 0, 5, generator="color")
    await database.project_clips.add(other.id, video.id, 0, 5)
    await database.project_settings.upsert(other.id, output_width=1)
    await database.project_versions.save(other.id)
    await database.project_versions.save(film.id)
    everything = rows(path)
    await wreck(database, film)
    await database.project_versions.restore(film.id, 1)
    assert rows(path) == everything


async def test_a_restore_does_not_write_tracks_that_are_as_they_were(
    database: Database, film: Project
) -> None:
    await database.project_versions.save(film.id)
    first, second, _ = await database.timeline_tracks.list_for_project(film.id)
    await database.timeline_tracks.update(first.id, is_locked=True)
    await database.project_versions.save(film.id)
    await database.timeline_tracks.delete(second.id)
    await database.execute(
        "CREATE TRIGGER app_guard BEFORE DELETE ON timeline_clips WHEN OLD.track_id = 1"
        " BEGIN SELECT RAISE(ABORT, 'was written'); END"
    )
    await database.project_versions.restore(film.id, 2)
    tracks = await database.timeline_tracks.list_for_project(film.id)
    assert [(track.id, track.is_locked) for track in tracks] == [(1, True), (2, False), (3, False)]


async def test_a_locked_track_of_a_version_comes_back_locked_with_its_clips(
    database: Database, film: Project, path: Path
) -> None:
    first, *_ = await database.timeline_tracks.list_for_project(film.id)
    await database.timeline_tracks.update(first.id, is_locked=True)
    saved = rows(path)
    await database.project_versions.save(film.id)
    await database.timeline_tracks.update(first.id, is_locked=False)
    await database.timeline_tracks.delete(first.id)
    await database.project_versions.restore(film.id, 1)
    assert rows(path) == saved


async def test_a_locked_track_that_would_change_refuses_the_restore(
    database: Database, film: Project, path: Path
) -> None:
    await database.project_versions.save(film.id)
    first, *_ = await database.timeline_tracks.list_for_project(film.id)
    added = await database.timeline_tracks.add(film.id, "more", is_locked=True)
    await database.timeline_tracks.update(first.id, is_locked=True)
    before = contents(path)
    with pytest.raises(ConstraintError, match=rf"locked.*: {first.id}, {added.id}") as caught:
        await database.project_versions.restore(film.id, 1)
    assert (caught.value.kind, caught.value.constraint) == ("check", "the track is locked")
    assert caught.value.details["tracks"] == [first.id, added.id]
    assert contents(path) == before


async def test_a_video_that_is_gone_refuses_the_restore(
    database: Database, film: Project, video: Video, path: Path
) -> None:
    await database.project_versions.save(film.id)
    snapshot = await database.project_versions.snapshot(film.id, 1)
    (clip,) = await database.timeline_clips.find_by_video(video.id)
    await database.timeline_clips.delete(clip.id)
    for cut in snapshot.cuts:
        await database.project_clips.delete(cut.id)
    await database.videos.delete(video.id)
    before = contents(path)
    with pytest.raises(ConstraintError, match="does not have their videos any more") as caught:
        await database.project_versions.restore(film.id, 1)
    assert caught.value.kind == "foreign_key"
    assert caught.value.details["clips"] == [clip.id]
    assert caught.value.details["cuts"] == [cut.id for cut in snapshot.cuts]
    assert caught.value.details["videos"] == [video.id]
    assert contents(path) == before


async def test_a_video_that_has_become_too_short_refuses_the_restore(
    database: Database, film: Project, video: Video, path: Path
) -> None:
    await database.project_versions.save(film.id)
    short, long = (await database.project_versions.snapshot(film.id, 1)).cuts
    (clip,) = await database.timeline_clips.find_by_video(video.id)
    await database.timeline_clips.delete(clip.id)
    await database.project_clips.delete(short.id)
    await database.project_clips.delete(long.id)
    await database.videos.update(video.id, duration=3.96)  # 99 frames
    before = contents(path)
    with pytest.raises(ConstraintError, match="too short") as caught:
        await database.project_versions.restore(film.id, 1)
    assert (caught.value.kind, caught.value.constraint) == (
        "check",
        "a clip ends within its video",
    )
    assert caught.value.details["clips"] == [clip.id]
    assert caught.value.details["cuts"] == [long.id]
    assert contents(path) == before
    await database.videos.update(video.id, duration=4.0)
    await database.project_versions.restore(film.id, 1)
    assert await database.timeline_clips.get(clip.id) == clip


async def test_a_refusal_names_the_first_of_many_clips_and_its_details_all(
    database: Database, project: Project, video: Video
) -> None:
    track = await database.timeline_tracks.add(project.id, "video", overlap=OverlapRule.ANY)
    ids = [
        (
            await database.timeline_clips.add(
                track.id, 0, 1, video_id=video.id, in_point=0, out_point=1
            )
        ).id
        for _ in range(13)
    ]
    await database.project_versions.save(project.id)
    await database.timeline_tracks.delete(track.id)
    await database.videos.delete(video.id)
    with pytest.raises(ConstraintError, match=f"{ids[9]} and 3 more") as caught:
        await database.project_versions.restore(project.id, 1)
    assert caught.value.details["clips"] == ids


async def test_a_damaged_version_is_neither_shown_nor_restored(
    database: Database, film: Project, path: Path
) -> None:
    await database.project_versions.save(film.id)
    await database.execute(
        "UPDATE project_versions SET content = replace(content, '\"duration\":50', '\"duration\":49')"
    )
    await wreck(database, film)
    before = contents(path)
    for method in ("snapshot", "restore"):
        with pytest.raises(
            DatabaseCorruptError, match="version 1 of project 1 is damaged"
        ) as caught:
            await getattr(database.project_versions, method)(film.id, 1)
        assert caught.value.details == {"project_id": film.id, "number": 1}
    assert contents(path) == before


@pytest.mark.parametrize("damage", ["content = '{}'", "checksum = replace(checksum, 'a', 'b')"])
async def test_a_damaged_newest_version_does_not_stand_in_for_the_present_state(
    database: Database, film: Project, path: Path, damage: str
) -> None:
    await database.project_versions.save(film.id)
    await wreck(database, film)
    newest = await database.project_versions.save(film.id)
    wrecked = rows(path)
    await database.execute(f"UPDATE project_versions SET {damage} WHERE number = 2")
    before = await database.project_versions.restore(film.id, 1)
    assert (before.number, before.checksum) == (3, newest.checksum)
    await database.project_versions.restore(film.id, 3)
    assert rows(path) == wrecked


async def test_an_id_that_another_project_has_got_refuses_the_restore(
    database: Database, film: Project, path: Path
) -> None:
    await database.project_versions.save(film.id)
    first, *_ = await database.timeline_tracks.list_for_project(film.id)
    await database.timeline_tracks.delete(first.id)
    other = await database.projects.add("other", "work")
    await database.execute(
        "INSERT INTO timeline_tracks (id, project_id, position, kind) VALUES (:id, :project, 1, 'k')",
        {"id": first.id, "project": other.id},
    )
    before = contents(path)
    with pytest.raises(ConstraintError) as caught:
        await database.project_versions.restore(film.id, 1)
    assert caught.value.kind == "unique"
    assert contents(path) == before


async def test_a_restore_in_a_unit_of_work_goes_with_it(
    database: Database, film: Project, path: Path
) -> None:
    await database.project_versions.save(film.id)
    await wreck(database, film)
    before = contents(path)
    with pytest.raises(RuntimeError, match="no"):
        async with database.transaction() as unit:
            await unit.timeline_tracks.add(film.id, "late")
            saved = await unit.project_versions.restore(film.id, 1)
            assert (await unit.project_versions.snapshot(film.id, saved.number)).tracks[
                -1
            ].kind == ("late")
            raise RuntimeError("no")
    assert contents(path) == before


async def test_a_restore_that_is_cancelled_is_whole_or_has_not_been(
    database: Database, film: Project, path: Path
) -> None:
    saved = rows(path)
    await database.project_versions.save(film.id)
    await wreck(database, film)
    wrecked = rows(path)
    tries = 0
    while rows(path) == wrecked:  # each is cancelled a little later
        task = asyncio.create_task(database.project_versions.restore(film.id, 1))
        for _ in range(tries):
            await asyncio.sleep(0.0005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert rows(path) in (saved, wrecked)
        tries += 1
    assert rows(path) == saved
    assert tries > 1
    newest, *_ = await database.project_versions.page(film.id)
    assert newest.number == 2
    await database.project_versions.restore(film.id, newest.number)
    assert rows(path) == wrecked


@pytest.mark.parametrize("name", ["", "before"])
@pytest.mark.parametrize("meanwhile", ["an edit", "a deletion", "another version"])
async def test_what_happens_during_a_restore_is_in_the_version_of_the_state_before(
    database: Database,
    film: Project,
    path: Path,
    meanwhile: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved = rows(path)
    await database.project_versions.save(film.id)
    await wreck(database, film)
    newest = await database.project_versions.save(film.id)

    async def interrupted(function: Callable[..., Any], *arguments: Any) -> Any:
        """What restore() plans when it has read, and before it writes."""
        monkeypatch.undo()
        if meanwhile == "an edit":
            await database.timeline_tracks.add(film.id, "late")
        elif meanwhile == "a deletion":
            await database.project_versions.delete(film.id, newest.number)
        else:
            await database.project_versions.save(film.id, name="late")
        wrecked.update(rows(path))
        return function(*arguments)

    wrecked: dict[str, Any] = {}
    monkeypatch.setattr(asyncio, "to_thread", interrupted)
    before = await database.project_versions.restore(film.id, 1, name=name)
    assert rows(path) == saved
    assert await database.project_versions.get(film.id, before.number) == before
    await database.project_versions.restore(film.id, before.number)
    assert rows(path) == wrecked


async def test_no_edit_is_lost_between_the_saved_state_and_the_restored_one(
    database: Database, film: Project, path: Path
) -> None:
    """Tracks that another connection adds meanwhile are in the version of the state before, or there."""
    await database.project_versions.save(film.id)
    known = {track.id for track in await database.timeline_tracks.list_for_project(film.id)}
    added: list[int] = []

    async with connect(path) as other:

        async def edit() -> None:
            for _ in range(60):
                added.append((await other.timeline_tracks.add(film.id, "more")).id)
                await asyncio.sleep(random.random() / 500)

        editing = asyncio.create_task(edit())
        befores: list[ProjectVersion] = []
        while not editing.done() or len(befores) < 3:
            befores.append(await database.project_versions.restore(film.id, 1))
            await asyncio.sleep(0.003)
        await editing
    found = {track.id for track in await database.timeline_tracks.list_for_project(film.id)} - known
    for before in befores:
        snapshot = await database.project_versions.snapshot(film.id, before.number)
        found |= {track.id for track in snapshot.tracks} - known
    assert found == set(added)


async def test_a_restore_is_audited_with_its_author(database: Database, film: Project) -> None:
    await database.project_versions.save(film.id)
    kept, _ = await database.project_clips.find_by_project(film.id)
    await database.project_clips.delete(kept.id)
    async with database.transaction(actor="ann") as unit:
        await unit.project_versions.restore(film.id, 1)
    newest, *_ = await database.audit.list()
    assert (newest.entity_id, newest.action, newest.user_id) == (kept.id, "CREATE", "ann")


async def test_random_edits_are_undone_to_the_last_row(
    database: Database, film: Project, path: Path
) -> None:
    dice = random.Random(7)
    states = []
    for _ in range(25):
        version = await database.project_versions.save(film.id)
        states.append((version.number, rows(path)))
        for _ in range(dice.randrange(1, 6)):
            tracks = await database.timeline_tracks.list_for_project(film.id)
            track = dice.choice(tracks)
            clips = await database.timeline_clips.page(track.id)
            match dice.randrange(8):
                case 0:
                    await database.timeline_tracks.add(film.id, "more", overlap="any")
                case 1 if len(tracks) > 2:
                    await database.timeline_tracks.delete(track.id)
                case 2:
                    await database.timeline_tracks.reorder(film.id, [track.id])
                case 3 if clips:
                    await database.timeline_clips.remove(dice.choice(clips).id)
                case 4 if clips and clips[0].duration > 1:
                    await database.timeline_clips.split(clips[0].id, clips[0].position + 1)
                case 5:
                    await database.timeline_clips.add(
                        track.id, clips[-1].end + 50 if clips else 0, 7, layer=9, generator="g"
                    )
                case 6 if clips:
                    await database.timeline_clips.update(clips[0].id, name=str(dice.random()))
                case _:
                    await database.timeline_tracks.update(track.id, is_muted=not track.is_muted)
    for number, state in dice.sample(states, len(states)):
        await database.project_versions.restore(film.id, number)
        assert rows(path) == state
    assert (await database.check()).ok
