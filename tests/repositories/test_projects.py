"""Promises about projects: pieces of editing work, with their videos and clips."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from samples import contents

import reelbase
from reelbase import (
    ConstraintError,
    Database,
    NewVideo,
    Project,
    ProjectStats,
    ProjectWithVideos,
    RecordNotFoundError,
)
from reelbase.testing.clock import START, FrozenClock

Look = Callable[[str], list[tuple[object, ...]]]

VIDEO = NewVideo("a.mov", "in/a.mov", 10.0, 25, 1, 1920, 1080)


async def project_with(database: Database, name: str, videos: int, clips: int) -> Project:
    """A project of so many videos, and so many clips of the first."""
    project = await database.projects.add(name, "work")
    added = await database.videos.add_many(project.id, [VIDEO] * videos)
    for number in range(clips):
        await database.project_clips.add(project.id, added[0].id, number, number + 1)
    return project


# Adding and finding


async def test_a_project_is_kept_as_given(database: Database) -> None:
    project = await database.projects.add("", "/work/ä\0b", "")
    assert project == Project(1, "", "", "/work/ä\0b", START, START)
    assert await database.projects.get(project.id) == project
    bare = await database.projects.add("n", "w")
    assert bare.description is None
    assert await database.projects.find(bare.id) == bare


async def test_an_id_is_never_used_again(database: Database) -> None:
    first = await database.projects.add("a", "w")
    await database.projects.delete(first.id)
    second = await database.projects.add("b", "w")
    assert second.id > first.id


async def test_neither_name_nor_workspace_is_unique_and_the_newest_is_found(
    database: Database, clock: FrozenClock
) -> None:
    older = await database.projects.add("film", "work")
    same_moment = await database.projects.add("film", "work")
    assert await database.projects.find_by_name("film") == same_moment
    assert await database.projects.find_by_workspace("work") == same_moment
    clock.advance(-1)
    await database.projects.add("film", "work")
    assert await database.projects.find_by_name("film") == same_moment
    assert await database.projects.find_by_workspace("work") == same_moment
    await database.projects.delete(same_moment.id)
    assert await database.projects.find_by_name("film") == older


@pytest.mark.parametrize("text", ["Film", "fil", "film ", "FILM", "f%", "film_", "", "%"])
async def test_names_and_workspaces_are_compared_exactly(text: str, database: Database) -> None:
    await database.projects.add("film", "film")
    assert await database.projects.find_by_name(text) is None
    assert await database.projects.find_by_workspace(text) is None


async def test_a_project_that_is_not_there(database: Database) -> None:
    assert await database.projects.find(7) is None
    for call in (database.projects.get, database.projects.get_with_videos):
        with pytest.raises(RecordNotFoundError, match="project '7' not found") as caught:
            await call(7)
        assert caught.value.details == {"entity": "project", "key": "7"}


# Lists


async def test_projects_are_listed_newest_first_a_hundred_at_a_time(database: Database) -> None:
    added = [await database.projects.add(str(number), "w") for number in range(103)]
    assert await database.projects.count() == 103
    assert await database.projects.list() == added[:2:-1]
    assert await database.projects.list(offset=100) == added[2::-1]


async def test_all_projects_come_with_their_numbers_unless_a_limit_is_set(
    database: Database,
) -> None:
    added = [await database.projects.add(str(number), "w") for number in range(103)]
    ids = [project.id for project in added[::-1]]
    assert [stats.id for stats in await database.projects.list_with_stats()] == ids
    assert [stats.id for stats in await database.projects.list_with_stats(limit=5)] == ids[:5]


async def test_every_page_by_offset_together_is_everything_once(database: Database) -> None:
    added = [await database.projects.add(str(number), "w") for number in range(11)]
    for limit in range(1, 13):
        visited = []
        for offset in range(0, 12, limit):
            visited += await database.projects.list(limit=limit, offset=offset)
        assert visited == added[::-1]


async def test_three_videos_and_four_clips_are_three_and_four(database: Database) -> None:
    full = await project_with(database, "full", 3, 4)
    empty = await project_with(database, "empty", 0, 0)
    no_clips = await project_with(database, "no clips", 2, 0)
    stats = await database.projects.list_with_stats()
    assert stats == [
        ProjectStats(**msgspec.structs.asdict(project), video_count=videos, clip_count=clips)
        for project, videos, clips in ((no_clips, 2, 0), (empty, 0, 0), (full, 3, 4))
    ]
    assert await database.projects.list_with_stats(limit=1, offset=2) == [stats[2]]


async def test_a_project_comes_with_its_videos_newest_first(
    database: Database, clock: FrozenClock
) -> None:
    project = await database.projects.add("p", "w")
    other = await project_with(database, "other", 2, 1)
    videos = []
    for _ in range(3):
        videos += await database.videos.add_many(project.id, [VIDEO])
        clock.advance(1)
    found = await database.projects.get_with_videos(project.id)
    assert found == ProjectWithVideos(project, videos[::-1])
    assert (await database.projects.get_with_videos(other.id)).project == other
    empty = await database.projects.add("empty", "w")
    assert (await database.projects.get_with_videos(empty.id)).videos == []


# Updating


async def test_update_moves_updated_at_only_when_something_changes(
    database: Database, clock: FrozenClock
) -> None:
    project = await database.projects.add("n", "w", "d")
    clock.advance(1)
    same = await database.projects.update(project.id, name="n", workspace_path="w", description="d")
    assert same == project
    assert await database.projects.update(project.id) == project
    changed = await database.projects.update(project.id, name="n", description=None)
    assert changed == msgspec.structs.replace(project, description=None, updated_at=clock.now)
    assert changed.created_at == START


@pytest.mark.parametrize(
    "field",
    ["colour", "id", "created_at", "updated_at", "now", "set_name", "video_count", "project", ""],
)
async def test_update_refuses_what_is_no_field_to_change(field: str, database: Database) -> None:
    project = await database.projects.add("n", "w")
    before = contents(database.path)
    with pytest.raises((TypeError, ValueError)):
        await database.projects.update(project.id, **{"name": "new", field: 1})  # type: ignore[arg-type]
    assert contents(database.path) == before


async def test_update_refuses_none_for_what_is_needed(database: Database) -> None:
    project = await database.projects.add("n", "w")
    for field in ("name", "workspace_path"):
        with pytest.raises(ConstraintError) as caught:
            await database.projects.update(project.id, **{field: None})  # type: ignore[arg-type]
        assert (caught.value.kind, caught.value.constraint) == ("not_null", f"projects.{field}")


async def test_update_of_nothing_is_not_found(database: Database) -> None:
    with pytest.raises(RecordNotFoundError, match="project"):
        await database.projects.update(7, name="n")
    with pytest.raises(RecordNotFoundError, match="project"):
        await database.projects.update(7)


# Deleting


async def test_deleting_a_project_deletes_its_videos_and_clips_and_nobody_elses(
    database: Database,
) -> None:
    gone = await project_with(database, "gone", 3, 4)
    kept = await project_with(database, "kept", 2, 5)
    assert await database.projects.delete(gone.id) is True
    assert await database.projects.find(gone.id) is None
    assert await database.videos.list_for_project(gone.id) == []
    assert await database.project_clips.find_by_project(gone.id) == []
    (stats,) = await database.projects.list_with_stats()
    assert (stats.id, stats.video_count, stats.clip_count) == (kept.id, 2, 5)
    assert await database.fetch_all(tuple, "PRAGMA foreign_key_check") == []


async def test_the_cascade_does_not_depend_on_what_was_made_first(
    database: Database, look: Look
) -> None:
    """A clip of a later video, and a video that is younger than a clip: NO ACTION waits for both."""
    project = await project_with(database, "p", 1, 1)
    (late,) = await database.videos.add_many(project.id, [VIDEO])
    clip = await database.project_clips.add(project.id, late.id, 0, 1)
    await database.project_clips.update(1, video_id=late.id)
    (first,) = [v for v in await database.videos.list_for_project(project.id) if v.id != late.id]
    await database.project_clips.update(clip.id, video_id=first.id)
    await database.projects.delete(project.id)
    assert (
        look("SELECT count(*) FROM videos") == look("SELECT count(*) FROM project_clips") == [(0,)]
    )


async def test_delete_says_whether_there_was_one(database: Database) -> None:
    with pytest.raises(RecordNotFoundError):
        await database.projects.delete(7)
    assert await database.projects.delete(7, missing_ok=True) is False


# Many at once


async def test_bad_ones_among_good_ones_leave_exactly_the_good_ones(database: Database) -> None:
    async def add(number: int) -> Project:
        name: Any = None if number % 3 == 0 else str(number)
        return await database.projects.add(name, "w")

    results = await asyncio.gather(*map(add, range(60)), return_exceptions=True)
    for number, result in enumerate(results):
        if number % 3 == 0:
            assert isinstance(result, ConstraintError)
            assert (result.kind, result.constraint) == ("not_null", "projects.name")
        else:
            assert isinstance(result, Project)
            assert result.name == str(number)
            assert await database.projects.get(result.id) == result
    assert await database.projects.count() == 40


async def test_a_failed_write_leaves_no_lock_behind(database: Database, path: Path) -> None:
    missing: Any = None
    with pytest.raises(ConstraintError):
        await database.projects.add(missing, "w")
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO projects (name, workspace_path) VALUES ('by hand', 'w')")
        other.execute("COMMIT")
    assert (await database.projects.add("n", "w")).id == 2
    assert await database.projects.count() == 2


async def test_two_databases_on_one_file_see_each_others_projects(
    database: Database, path: Path, journal: Any
) -> None:
    async with reelbase.connect(path, journal=journal) as other:
        added = await asyncio.gather(
            *(holder.projects.add("n", "w") for holder in (database, other) * 10)
        )
        assert len({project.id for project in added}) == 20
        assert await database.projects.count() == await other.projects.count() == 20
