"""Promises about markers: moments and sections of one file or one project, by time."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from reelbase import ConstraintError, Database


@pytest.fixture
async def file_id(database: Database) -> UUID:
    await database.profiles.ensure("ann")
    return (await database.files.add("ann", "talk.mp4", "talk.mp4")).id


async def test_markers_and_sections_come_by_time(database: Database, file_id: UUID) -> None:
    project = await database.projects.add("film", "work")
    later = await database.markers.add("applause", 40.0, file_id=file_id)
    section = await database.markers.add("intro", 0.0, file_id=file_id, end_time=12.0)
    scene = await database.markers.add("scene", 1.0, project_id=project.id, data={"take": 2})
    assert await database.markers.list_for_file(file_id) == [section, later]
    assert await database.markers.list_for_project(project.id) == [scene]
    assert (scene.data, scene.end_time, section.end_time) == ({"take": 2}, None, 12.0)


async def test_a_marker_is_of_one_thing(database: Database, file_id: UUID) -> None:
    project = await database.projects.add("film", "work")
    wrong: list[dict[str, Any]] = [{}, {"file_id": file_id, "project_id": project.id}]
    for owners in wrong:
        with pytest.raises(ConstraintError, match="time_markers_of_one"):
            await database.markers.add("x", 0.0, **owners)
    unknown: list[dict[str, Any]] = [{"file_id": uuid4()}, {"project_id": 99}]
    for owner in unknown:
        with pytest.raises(ConstraintError) as caught:
            await database.markers.add("x", 0.0, **owner)
        assert caught.value.kind == "foreign_key"


async def test_a_section_ends_after_its_beginning(database: Database, file_id: UUID) -> None:
    marker = await database.markers.add("x", 5.0, file_id=file_id, end_time=5.0)
    wrong: list[dict[str, Any]] = [{"start_time": 6.0}, {"end_time": 4.0}, {"start_time": -1.0}]
    for changes in wrong:
        with pytest.raises(ConstraintError, match="time_markers_times"):
            await database.markers.update(marker.id, **changes)
    moved = await database.markers.update(marker.id, start_time=7.0, end_time=None, label="y")
    assert (moved.start_time, moved.end_time, moved.label) == (7.0, None, "y")


async def test_markers_go_with_their_file_or_project(database: Database, file_id: UUID) -> None:
    project = await database.projects.add("film", "work")
    markers = [
        await database.markers.add("a", 0.0, file_id=file_id),
        await database.markers.add("b", 0.0, project_id=project.id),
    ]
    await database.files.delete(file_id)
    await database.projects.delete(project.id)
    assert [await database.markers.find(marker.id) for marker in markers] == [None, None]
