"""Promises about the library of videos: each once, in any number of projects, with the same data in all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reelbase import (
    AuditAction,
    ConstraintError,
    Database,
    LibraryVideo,
    Project,
    RecordNotFoundError,
    Video,
)

SHAPE: dict[str, Any] = {
    "duration": 10.0,
    "framerate_num": 25,
    "framerate_den": 1,
    "width": 1920,
    "height": 1080,
}


@pytest.fixture
async def projects(database: Database) -> list[Project]:
    return [await database.projects.add(name, "work") for name in ("one", "two")]


@pytest.fixture
async def shelved(database: Database) -> LibraryVideo:
    return await database.video_library.add("cat.mov", "shelf/cat.mov", **SHAPE)


def data_of(video: Video | LibraryVideo) -> list[Any]:
    return [getattr(video, name) for name in ("filename", "path", *SHAPE)]


async def test_a_path_is_in_the_library_once(database: Database, shelved: LibraryVideo) -> None:
    with pytest.raises(ConstraintError) as caught:
        await database.video_library.add("other.mov", "shelf/cat.mov", **SHAPE)
    assert caught.value.kind == "unique"
    assert await database.video_library.find_by_path("shelf/cat.mov") == shelved
    assert await database.video_library.find_by_path("shelf/CAT.mov") is None
    assert await database.video_library.count() == 1


async def test_any_number_of_projects_use_a_video_and_each_once(
    database: Database, shelved: LibraryVideo, projects: list[Project]
) -> None:
    assert await database.video_library.uses(shelved.id) == []
    uses = [
        await database.video_library.add_to_project(shelved.id, project.id) for project in projects
    ]
    assert await database.video_library.add_to_project(shelved.id, projects[0].id) == uses[0]
    assert await database.video_library.uses(shelved.id) == uses
    assert await database.video_library.uses(shelved.id, limit=1, offset=1) == uses[1:]
    for project, use in zip(projects, uses, strict=True):
        assert await database.video_library.find_for_video(use.id) == shelved
        assert data_of(use) == data_of(shelved)
        assert use.total_frames == shelved.total_frames == 250
        assert await database.videos.list_for_project(project.id) == [use]
        await database.project_clips.add(project.id, use.id, 0, 250)
    assert sorted(await database.videos.search("cat"), key=lambda video: video.id) == uses


async def test_two_who_add_it_at_once_get_the_same_video(
    database: Database, shelved: LibraryVideo, projects: list[Project]
) -> None:
    one, two = await asyncio.gather(
        *(database.video_library.add_to_project(shelved.id, projects[0].id) for _ in range(2))
    )
    assert one == two


async def test_a_change_is_seen_in_all_projects_and_found_by_the_new_text(
    database: Database, shelved: LibraryVideo, projects: list[Project]
) -> None:
    for project in projects:
        await database.video_library.add_to_project(shelved.id, project.id)
    own = await database.videos.add(projects[0].id, "own.mov", "own.mov", **SHAPE)
    async with database.transaction(actor="ann") as unit:
        changed = await unit.video_library.update(
            shelved.id, filename="dog.mov", path="dog.mov", duration=20.0, video_codec="h264"
        )
    assert (changed.video_codec, changed.audio_codec) == ("h264", None)
    uses = await database.video_library.uses(shelved.id)
    assert [data_of(use) for use in uses] == [data_of(changed)] * 2
    assert await database.videos.search("cat") == []
    found = await database.videos.search("dog")
    assert sorted(video.id for video in found) == [use.id for use in uses]
    assert await database.videos.get(own.id) == own
    (entry, _) = await database.audit.get_history("video", uses[0].id)
    assert (entry.action, entry.user_id) == (AuditAction.UPDATE, "ann")
    assert entry.changes == {
        "filename": {"old": "cat.mov", "new": "dog.mov"},
        "path": {"old": "shelf/cat.mov", "new": "dog.mov"},
        "duration": {"old": 10.0, "new": 20.0},
    }


async def test_no_clip_is_left_beyond_the_end(
    database: Database, shelved: LibraryVideo, projects: list[Project]
) -> None:
    use = await database.video_library.add_to_project(shelved.id, projects[0].id)
    await database.project_clips.add(projects[0].id, use.id, 0, 250)
    with pytest.raises(ConstraintError, match="a clip ends within its video"):
        await database.video_library.update(shelved.id, duration=9.0)
    assert await database.video_library.get(shelved.id) == shelved


async def test_a_projects_video_does_not_differ_from_the_librarys(
    database: Database, shelved: LibraryVideo, projects: list[Project]
) -> None:
    use = await database.video_library.add_to_project(shelved.id, projects[0].id)
    changes: dict[str, Any] = dict.fromkeys(
        ("duration", "framerate_num", "framerate_den", "width", "height"), 7
    )
    for name, value in {**changes, "filename": "x", "path": "x"}.items():
        with pytest.raises(ConstraintError, match="as it is in the library") as caught:
            await database.videos.update(use.id, **{name: value})
        assert caught.value.kind == "check"
    assert await database.videos.update(use.id, width=1920) == use
    with pytest.raises(ConstraintError, match="as it is in the library"):
        await database.execute(
            "INSERT INTO videos (project_id, filename, path, duration, framerate_num,"
            " framerate_den, width, height, library_video_id)"
            " VALUES (:project, 'x', 'x', 1.0, 25, 1, 1, 1, :id)",
            {"project": projects[1].id, "id": shelved.id},
        )


async def test_what_a_project_uses_stays_in_the_library(
    database: Database, shelved: LibraryVideo, projects: list[Project]
) -> None:
    use = await database.video_library.add_to_project(shelved.id, projects[0].id)
    with pytest.raises(ConstraintError) as caught:
        await database.video_library.delete(shelved.id)
    assert caught.value.kind == "foreign_key"
    await database.projects.delete(projects[0].id)
    assert await database.videos.find(use.id) is None
    assert await database.video_library.get(shelved.id) == shelved
    again = await database.video_library.add_to_project(shelved.id, projects[1].id)
    assert await database.videos.delete(again.id)
    assert await database.video_library.delete(shelved.id)


async def test_a_projects_video_is_adopted_with_its_id_and_its_clips(
    database: Database, projects: list[Project]
) -> None:
    video = await database.videos.add(projects[0].id, "own.mov", "in/own.mov", **SHAPE)
    clip = await database.project_clips.add(projects[0].id, video.id, 0, 9)
    assert await database.video_library.find_for_video(video.id) is None
    adopted = await database.video_library.adopt(video.id)
    assert data_of(adopted) == data_of(video)
    assert await database.video_library.find_for_video(video.id) == adopted
    assert await database.project_clips.find_by_video(video.id) == [clip]
    assert await database.video_library.adopt(video.id) == adopted
    same = await database.videos.add(projects[1].id, "own.mov", "in/own.mov", **SHAPE)
    assert await database.video_library.adopt(same.id) == adopted
    assert len(await database.video_library.uses(adopted.id)) == 2
    (entry, _) = await database.audit.get_history("video", video.id)
    assert entry.changes == {"library_video_id": {"old": None, "new": adopted.id}}


async def test_a_video_that_differs_is_not_taken_for_that_of_the_library(
    database: Database, shelved: LibraryVideo, projects: list[Project]
) -> None:
    longer: dict[str, Any] = {**SHAPE, "duration": 11.0}
    video = await database.videos.add(projects[0].id, "cat.mov", "shelf/cat.mov", **longer)
    with pytest.raises(ConstraintError, match="as it is in the library"):
        await database.video_library.adopt(video.id)
    assert await database.videos.get(video.id) == video
    twice = await database.videos.add(projects[1].id, "cat.mov", "shelf/cat.mov", **SHAPE)
    await database.video_library.add_to_project(shelved.id, projects[1].id)
    with pytest.raises(ConstraintError) as caught:
        await database.video_library.adopt(twice.id)
    assert caught.value.kind == "unique"


async def test_what_is_not_there_is_not_found(
    database: Database, shelved: LibraryVideo, projects: list[Project]
) -> None:
    with pytest.raises(RecordNotFoundError, match="library"):
        await database.video_library.add_to_project(99, projects[0].id)
    with pytest.raises(RecordNotFoundError, match="video '99'"):
        await database.video_library.adopt(99)
    with pytest.raises(ConstraintError) as caught:
        await database.video_library.add_to_project(shelved.id, 99)
    assert caught.value.kind == "foreign_key"
