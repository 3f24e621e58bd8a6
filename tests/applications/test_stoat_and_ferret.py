"""Coming from stoat-and-ferret: each class, method and table of its document, and what it is here."""

from __future__ import annotations

import asyncio
import inspect
import logging
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from samples import contents

import reelbase
from reelbase import (
    AuditAction,
    AuditedRepository,
    AuditEntry,
    AuditRepository,
    Command,
    ConstraintError,
    Database,
    Project,
    ProjectClip,
    ProjectClipRepository,
    ProjectRepository,
    ProjectStats,
    ProjectWithVideos,
    Query,
    RecordNotFoundError,
    Repository,
    UnitOfWork,
    Video,
    VideoRepository,
)
from reelbase.testing.clock import START, FrozenClock


def shape(record: type[msgspec.Struct]) -> dict[str, Any]:
    hints = typing.get_type_hints(record)
    return {name: hints[name] for name in record.__struct_fields__}


async def film(database: Database | UnitOfWork) -> tuple[Project, Video, ProjectClip]:
    """A project with a video of a hundred frames and a clip of its first ten."""
    project = await database.projects.add("film", "/work/film")
    video = await database.videos.add(project.id, "a.mov", "/in/a.mov", 4.0, 25, 1, 1920, 1080)
    clip = await database.project_clips.add(project.id, video.id, 0, 10)
    return project, video, clip


# models.py


def test_project() -> None:
    assert list(shape(Project)) == [
        "id",
        "name",
        "description",
        "workspace_path",
        "created_at",
        "updated_at",
    ]
    assert shape(Project)["description"] == str | None


def test_video() -> None:
    assert list(shape(Video)) == [
        "id",
        "project_id",
        "filename",
        "path",
        "duration",
        "framerate_num",
        "framerate_den",
        "width",
        "height",
        "created_at",
    ]
    assert shape(Video)["duration"] is float


async def test_clip_is_project_clip_and_its_end_is_exclusive(database: Database) -> None:
    names = ["id", "project_id", "video_id", "in_point", "out_point", "created_at"]
    assert list(shape(ProjectClip)) == names
    _, video, clip = await film(database)
    assert await database.project_clips.find_overlapping(video.id, 9, 10) == [clip]
    assert await database.project_clips.find_overlapping(video.id, 10, 11) == []


async def test_the_relationships_are_methods(database: Database) -> None:
    """No lazy loading: what is read is asked for."""
    project, video, clip = await film(database)
    assert await database.videos.list_for_project(project.id) == [video]
    assert await database.project_clips.find_by_project(project.id) == [clip]
    assert await database.project_clips.find_by_video(video.id) == [clip]
    assert await database.projects.get(clip.project_id) == project
    assert await database.videos.get(clip.video_id) == video


# schema.py


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("projects", "projects"),
        ("videos", "videos"),
        ("clips", "project_clips"),
        ("audit_log", "audit_log"),
    ],
)
async def test_the_tables(theirs: str, ours: str, database: Database) -> None:
    assert await database.fetch_one(int, f"SELECT count(*) FROM {ours}") == 0
    assert f"CREATE TABLE {ours} (" in reelbase.schema_sql(), theirs


async def test_indexes_on_foreign_keys_and_frequently_queried_columns(database: Database) -> None:
    for sql in (
        "SELECT id FROM videos WHERE project_id = 1",
        "SELECT id FROM project_clips WHERE project_id = 1",
        "SELECT id FROM project_clips WHERE video_id = 1",
        "SELECT id FROM projects WHERE name = 'film'",
        "SELECT id FROM projects WHERE workspace_path = 'w'",
        "SELECT id FROM audit_log WHERE entity_type = 'clip' AND entity_id = 1",
    ):
        ((*_, step),) = await database.fetch_all(
            tuple[int, int, int, str], f"EXPLAIN QUERY PLAN {sql}"
        )
        assert step.startswith("SEARCH"), sql


async def test_create_tables_and_migrate_are_connect(tmp_path: Path, journal: Any) -> None:
    async with reelbase.connect(tmp_path / "new.db", journal=journal) as database:
        assert database.schema_version == reelbase.SCHEMA_VERSION
        assert await database.projects.count() == 0


# repository.py, async_repository.py


async def test_create_is_add(database: Database) -> None:
    project = await database.projects.add("film", "/work")
    assert project == Project(1, "film", None, "/work", START, START)


async def test_get_that_may_be_none_is_find(database: Database) -> None:
    project, _, _ = await film(database)
    assert await database.projects.find(project.id) == project
    assert await database.projects.find(99) is None
    with pytest.raises(RecordNotFoundError):
        await database.projects.get(99)


async def test_list_with_skip_and_limit_is_list_with_offset_and_limit(database: Database) -> None:
    added = [await database.projects.add(str(number), "w") for number in range(5)]
    newest_first = added[::-1]
    assert await database.projects.list() == newest_first
    assert await database.projects.list(offset=1, limit=2) == newest_first[1:3]
    for repository in (ProjectRepository, VideoRepository, ProjectClipRepository, AuditRepository):
        parameters = inspect.signature(repository.list).parameters
        assert (parameters["limit"].default, parameters["offset"].default) == (100, 0)


async def test_update_takes_the_dict_as_keywords(database: Database, clock: FrozenClock) -> None:
    project, _, _ = await film(database)
    clock.advance(1)
    updates = {"name": "new", "description": "d"}
    changed = await database.projects.update(project.id, **updates)
    assert (changed.name, changed.description, changed.updated_at) == ("new", "d", clock.now)


async def test_delete_that_answers_false_is_delete_with_missing_ok(database: Database) -> None:
    _, _, clip = await film(database)
    assert await database.project_clips.delete(clip.id, missing_ok=True) is True
    assert await database.project_clips.delete(clip.id, missing_ok=True) is False


async def test_count(database: Database) -> None:
    await film(database)
    for repository in (database.projects, database.videos, database.project_clips):
        assert await repository.count() == 1


async def test_every_repository_has_the_methods_of_their_base(database: Database) -> None:
    await film(database)
    repositories: tuple[Any, ...] = (database.project_clips, database.videos, database.projects)
    for repository in repositories:
        (record,) = await repository.list(offset=0, limit=100)
        assert await repository.find(record.id) == record
        assert await repository.update(record.id) == record
        assert await repository.count() == 1
        assert await repository.delete(record.id) is True


def test_every_method_is_async_and_there_is_no_second_class() -> None:
    for repository in (ProjectRepository, VideoRepository, ProjectClipRepository, AuditRepository):
        for name, method in inspect.getmembers(repository, inspect.isfunction):
            if not name.startswith("_"):
                assert inspect.iscoroutinefunction(method), name


class Marker(msgspec.Struct, frozen=True):
    id: int
    frame: int


class MarkerRepository(AuditedRepository):
    """What subclassing BaseRepository[Marker] is here: with SQL that is written out."""

    entity = "marker"

    _add = Command(Marker, "INSERT INTO markers (frame) VALUES (:frame) RETURNING id, frame")
    _get = Query(Marker, "SELECT id, frame FROM markers WHERE id = :id")

    async def add(self, frame: int) -> Marker:
        return await self._run(self._add.one(frame=frame))

    async def find(self, marker_id: int) -> Marker | None:
        return await self._run(self._get.optional(id=marker_id))


async def test_the_base_that_one_extends_is_repository(database: Database) -> None:
    assert issubclass(AuditedRepository, Repository)
    await database.execute(
        "CREATE TABLE markers (id INTEGER PRIMARY KEY, frame INTEGER NOT NULL) STRICT"
    )
    markers = database.repository(MarkerRepository)
    marker = await markers.add(7)
    assert await markers.find(marker.id) == marker == Marker(1, 7)
    assert await markers.find(2) is None


# project_repository.py


async def test_find_by_name(database: Database) -> None:
    project, _, _ = await film(database)
    assert await database.projects.find_by_name("film") == project
    assert await database.projects.find_by_name("Film") is None


async def test_find_by_workspace(database: Database) -> None:
    project, _, _ = await film(database)
    assert await database.projects.find_by_workspace(path="/work/film") == project
    assert await database.projects.find_by_workspace("/work") is None


async def test_list_with_stats(database: Database) -> None:
    project, video, _ = await film(database)
    for number in range(2):
        await database.videos.add(project.id, str(number), "p", 1.0, 25, 1, 1, 1)
    for number in range(3):
        await database.project_clips.add(project.id, video.id, number, 50)
    fields = msgspec.structs.asdict(project)
    assert await database.projects.list_with_stats() == [
        ProjectStats(**fields, video_count=3, clip_count=4)
    ]


async def test_get_with_videos_is_eager_loading(
    database: Database, path: Path, journal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Two statements, however many videos there are."""
    project, video, _ = await film(database)
    second = await database.videos.add(project.id, "b", "b", 1.0, 25, 1, 1, 1)
    assert await database.projects.get_with_videos(project.id) == ProjectWithVideos(
        project, [second, video]
    )
    async with reelbase.connect(path, journal=journal, slow_query=0) as logging_database:
        with caplog.at_level(logging.INFO, "reelbase.sql"):
            caplog.clear()
            await logging_database.projects.get_with_videos(project.id)
    assert sum(" ms ProjectRepository." in each.getMessage() for each in caplog.records) == 2


# clip_repository.py


async def test_find_by_video_and_find_by_project(database: Database) -> None:
    project, video, clip = await film(database)
    assert await database.project_clips.find_by_video(video_id=video.id) == [clip]
    assert await database.project_clips.find_by_project(project_id=project.id) == [clip]


async def test_validate_bounds(database: Database) -> None:
    _, video, _ = await film(database)
    valid = database.project_clips.validate_bounds
    assert await valid(video_id=video.id, in_point=0, out_point=100) is True
    assert await valid(video.id, 0, 101) is False
    assert await valid(video.id, 5, 5) is False
    assert await valid(99, 0, 1) is False


async def test_find_overlapping(database: Database) -> None:
    _, video, clip = await film(database)
    assert await database.project_clips.find_overlapping(video.id, 5, 15) == [clip]
    assert await database.project_clips.find_overlapping(video.id, 10, 15) == []


# audit.py


async def test_audit_log_is_audit_entry(database: Database) -> None:
    names = ["id", "entity_type", "entity_id", "action", "changes", "user_id", "timestamp"]
    assert list(shape(AuditEntry)) == names
    assert [str(action) for action in AuditAction] == ["CREATE", "UPDATE", "DELETE"]
    await film(database)
    assert {entry.entity_type for entry in await database.audit.list()} == {
        "project",
        "video",
        "clip",
    }


async def test_log_create_log_update_and_log_delete(database: Database) -> None:
    changes = {"name": {"old": "a", "new": "b"}}
    await database.audit.log_create("shelf", 7, "ann")
    await database.audit.log_update("shelf", 7, changes, "ann")
    await database.audit.log_delete("shelf", 7, user_id="ann")
    history = await database.audit.get_history("shelf", 7)
    assert [(entry.action, entry.changes) for entry in history] == [
        ("DELETE", {}),
        ("UPDATE", changes),
        ("CREATE", {}),
    ]


async def test_get_history(database: Database) -> None:
    """Of projects, videos and clips it is there without a call."""
    async with database.transaction(actor="ann") as unit:
        project, _, _ = await film(unit)
        await unit.projects.update(project.id, name="new")
    updated, created = await database.audit.get_history("project", project.id)
    assert (created.action, created.user_id) == (AuditAction.CREATE, "ann")
    assert updated.changes == {"name": {"old": "film", "new": "new"}}


# Transactions


async def test_implicit_transactions(database: Database, path: Path) -> None:
    """Each call is a transaction of its own."""
    project, video, _ = await film(database)
    before = contents(path)
    with pytest.raises(ConstraintError):
        await database.project_clips.add(project.id, video.id, 0, 101)
    assert contents(path) == before


async def test_session_begin_is_transaction_and_rolls_back_on_error(
    database: Database, path: Path
) -> None:
    before = contents(path)

    async def work() -> None:
        async with database.transaction() as unit:
            await film(unit)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert contents(path) == before


async def test_nested_transactions_by_savepoints(database: Database) -> None:
    """Each level undoes what is its own, and no more; the audit trail goes with it."""

    async def level(unit: UnitOfWork, depth: int, failing: set[int]) -> None:
        await unit.projects.add(str(depth), "w")
        if depth < 5:
            try:
                async with unit.savepoint():
                    await level(unit, depth + 1, failing)
            except ZeroDivisionError:
                await unit.projects.add(f"instead of {depth + 1}", "w")
        if depth in failing:
            raise ZeroDivisionError

    async with database.transaction(actor="ann") as unit:
        await level(unit, 1, {3, 5})
        assert unit.state == "open"
    names = [project.name for project in await database.projects.list()]
    assert sorted(names) == ["1", "2", "instead of 3"]
    entries = await database.audit.list()
    kept = {project.id for project in await database.projects.list()}
    assert {entry.entity_id for entry in entries} == kept
    assert {entry.user_id for entry in entries} == {"ann"}


async def test_a_savepoint_survives_a_broken_constraint(database: Database) -> None:
    project, video, clip = await film(database)

    async def doomed(unit: UnitOfWork) -> None:
        async with unit.savepoint():
            await unit.project_clips.delete(clip.id)
            await unit.project_clips.add(project.id, video.id, 5, 1)

    async with database.transaction() as unit:
        with pytest.raises(ConstraintError):
            await doomed(unit)
        kept = await unit.project_clips.add(project.id, video.id, 1, 5)
    assert await database.project_clips.find_by_video(video.id) == [clip, kept]


async def test_a_failed_savepoint_does_not_save_an_outer_one_that_fails_later(
    database: Database,
) -> None:
    async def outer(unit: UnitOfWork) -> None:
        async with unit.savepoint():
            async with unit.savepoint():
                await unit.projects.add("inner", "w")
            await unit.projects.add("outer", "w")
            raise ZeroDivisionError

    async with database.transaction() as unit:
        with pytest.raises(ZeroDivisionError):
            await outer(unit)
    assert await database.projects.count() == await database.audit.count() == 0


# Configuration


async def test_database_url_and_pool_are_a_path_and_readers(tmp_path: Path, journal: Any) -> None:
    async with reelbase.connect(tmp_path / "a.db", journal=journal, readers=1) as database:
        await asyncio.gather(*(film(database) for _ in range(10)))
        assert await database.projects.count() == 10


async def test_echo_is_slow_query_0(
    path: Path, journal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "reelbase.sql"):
        async with reelbase.connect(path, journal=journal, slow_query=0) as database:
            await database.projects.count()
    assert "ProjectRepository.count" in caplog.text
