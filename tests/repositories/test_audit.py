"""Promises about the audit trail: it writes itself, with the change, and nothing changes it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from samples import contents

import reelbase
from reelbase import (
    AuditAction,
    AuditedRepository,
    AuditEntry,
    Command,
    ConstraintError,
    Database,
    InvalidArgumentError,
    Project,
    ProjectClip,
    RecordNotFoundError,
    UnitOfWork,
    Video,
)
from reelbase.testing.clock import START, FrozenClock

Look = Callable[[str], list[tuple[object, ...]]]
Told = tuple[str, int | str, str, dict[str, Any], str | None]

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


async def make(holder: Database | UnitOfWork) -> tuple[Project, Video, ProjectClip]:
    project = await holder.projects.add("p", "w")
    video = await holder.videos.add(project.id, "a.mov", "in/a.mov", 4.0, 25, 1, 1920, 1080)
    clip = await holder.project_clips.add(project.id, video.id, 0, 100)
    return project, video, clip


async def told(database: Database, *, skip: int = 0) -> list[Told]:
    """What the trail tells, oldest first, without ids and times."""
    entries = await database.audit.list(limit=None)
    return [
        (entry.entity_type, entry.entity_id, str(entry.action), entry.changes, entry.user_id)
        for entry in reversed(entries)
    ][skip:]


@pytest.fixture(autouse=True)
async def context_stays_empty(database: Database, look: Look) -> Any:
    """After every test, as after every call, nobody is noted as writing."""
    yield
    assert look("SELECT * FROM audit_context") == []


# What is noted


async def test_creating_updating_and_deleting_are_noted(
    database: Database, clock: FrozenClock
) -> None:
    project, video, clip = await make(database)
    clock.advance(1)
    await database.projects.update(project.id, name="new", description="d")
    await database.videos.update(video.id, width=7, height=video.height)
    await database.project_clips.update(clip.id, out_point=50)
    await database.project_clips.delete(clip.id)
    await database.videos.delete(video.id)
    await database.projects.delete(project.id)
    changes = {
        "name": {"old": "p", "new": "new"},
        "description": {"old": None, "new": "d"},
    }
    assert await told(database) == [
        ("project", 1, "CREATE", {}, None),
        ("video", 1, "CREATE", {}, None),
        ("clip", 1, "CREATE", {}, None),
        ("project", 1, "UPDATE", changes, None),
        ("video", 1, "UPDATE", {"width": {"old": 1920, "new": 7}}, None),
        ("clip", 1, "UPDATE", {"out_point": {"old": 100, "new": 50}}, None),
        ("clip", 1, "DELETE", {}, None),
        ("video", 1, "DELETE", {}, None),
        ("project", 1, "DELETE", {}, None),
    ]
    assert {entry.timestamp for entry in await database.audit.list()} == {START, clock.now}


async def test_an_entry_is_a_record(database: Database) -> None:
    await database.projects.add("n", "w")
    (entry,) = await database.audit.list()
    assert entry == AuditEntry(1, "project", 1, AuditAction.CREATE, {}, None, START)
    assert entry.action is AuditAction.CREATE
    assert msgspec.json.decode(msgspec.json.encode(entry), type=AuditEntry) == entry


async def test_an_entry_is_found_by_its_id(database: Database) -> None:
    entry = await database.audit.log_create("shelf", "a")
    assert await database.audit.get(entry.id) == entry
    assert await database.audit.find(entry.id) == entry
    assert await database.audit.find(entry.id + 1) is None
    with pytest.raises(RecordNotFoundError, match=f"audit entry '{entry.id + 1}' not found"):
        await database.audit.get(entry.id + 1)


async def test_a_split_is_an_update_and_a_creation(database: Database) -> None:
    _, _, clip = await make(database)
    _, right = await database.project_clips.split(clip.id, 40)
    assert sorted(await told(database, skip=3), key=str) == [
        ("clip", clip.id, "UPDATE", {"out_point": {"old": 100, "new": 40}}, None),
        ("clip", right.id, "CREATE", {}, None),
    ]


async def test_each_of_many_is_noted(database: Database) -> None:
    project = await database.projects.add("p", "w")
    new = reelbase.NewVideo("f", "p", 1.0, 25, 1, 1, 1)
    async with database.transaction(actor="ann") as unit:
        added = await unit.videos.add_many(project.id, [new] * 5)
    assert await told(database, skip=1) == [
        ("video", video.id, "CREATE", {}, "ann") for video in added
    ]


async def test_what_a_cascade_deletes_is_noted_with_who_did_it(database: Database) -> None:
    project, video, clip = await make(database)
    async with database.transaction(actor="ann") as unit:
        await unit.projects.delete(project.id)
    assert sorted(await told(database, skip=3)) == [
        ("clip", clip.id, "DELETE", {}, "ann"),
        ("project", project.id, "DELETE", {}, "ann"),
        ("video", video.id, "DELETE", {}, "ann"),
    ]


async def test_what_changes_nothing_is_not_noted(database: Database, clock: FrozenClock) -> None:
    project, video, clip = await make(database)
    clock.advance(1)
    before = await told(database)
    await database.projects.update(project.id)
    await database.projects.update(project.id, name="p", description=None, workspace_path="w")
    await database.videos.update(video.id, duration=4, width=1920)
    await database.project_clips.update(clip.id, in_point=0)
    for repository in (database.projects, database.videos, database.project_clips):
        with pytest.raises(RecordNotFoundError):
            await repository.delete(99)
        assert await repository.delete(99, missing_ok=True) is False
    with pytest.raises(RecordNotFoundError):
        await database.projects.update(99, name="n")
    with pytest.raises(ValueError, match="inside"):
        await database.project_clips.split(clip.id, 0)
    assert await told(database) == before


async def test_a_failed_write_is_not_noted(database: Database) -> None:
    project, video, clip = await make(database)
    before = await told(database)
    missing: Any = None
    for call in (
        lambda: database.projects.update(project.id, name=missing),
        lambda: database.videos.delete(video.id),
        lambda: database.project_clips.update(clip.id, out_point=101),
        lambda: database.project_clips.add(project.id, 99, 0, 1),
    ):
        with pytest.raises(ConstraintError):
            await call()
        assert await database.fetch_one(int, "SELECT count(*) FROM audit_context") == 0
    assert await told(database) == before


texts = st.text(max_size=8) | st.sampled_from(['"', "\\", "\0", "猫", "{}", "null", "\u2028"])


@pytest.mark.long
@QUICK
@given(old=texts, new=texts, description=st.none() | texts)
async def test_any_text_is_noted_as_it_was_and_as_it_is(
    old: str, new: str, description: str | None, database: Database
) -> None:
    project = await database.projects.add(old, "w")
    await database.projects.update(project.id, name=new, description=description)
    expected: dict[str, Any] = {}
    if old != new:
        expected["name"] = {"old": old, "new": new}
    if description is not None:
        expected["description"] = {"old": None, "new": description}
    noted = (await database.audit.get_history("project", project.id))[0]
    assert noted.changes == expected


@pytest.mark.long
@QUICK
@given(old=st.floats(0, 1e9), new=st.floats(0, 1e9))
@example(old=0.3, new=0.1 + 0.2)
@example(old=1 / 3, new=5e-324)
async def test_any_number_is_noted_as_it_was_and_as_it_is(
    old: float, new: float, database: Database
) -> None:
    project = await database.projects.add("p", "w")
    video = await database.videos.add(project.id, "f", "p", old, 25, 1, 1, 1)
    await database.videos.update(video.id, duration=new, width=2**53 + 1)
    noted = (await database.audit.get_history("video", video.id))[0]
    assert noted.changes.pop("width") == {"old": 1, "new": 2**53 + 1}
    assert noted.changes == ({} if old == new else {"duration": {"old": old, "new": new}})


# Who


async def test_the_unit_says_who_and_when(database: Database, clock: FrozenClock) -> None:
    async with database.transaction(actor="ann") as unit:
        clock.advance(5)
        await make(unit)
        assert unit.now == START
    assert {(e.user_id, e.timestamp) for e in await database.audit.list()} == {("ann", START)}
    async with database.transaction() as unit:
        await unit.projects.add("q", "w")
    assert (await told(database))[-1][-1] is None
    async with database.transaction(actor="") as unit:
        await unit.projects.add("q", "w")
    assert (await told(database))[-1][-1] == ""


async def test_ones_own_sql_in_a_unit_is_the_actors_too(
    database: Database, clock: FrozenClock, path: Path
) -> None:
    statements = [
        "INSERT INTO projects (name, workspace_path) VALUES ('a', 'w')",
        "WITH named (name) AS (VALUES ('b')) INSERT INTO projects (name, workspace_path)"
        " SELECT name, 'w' FROM named",
        "UPDATE projects SET name = 'c' WHERE name = 'b'",
        "DELETE FROM projects WHERE name = 'c'",
    ]
    async with database.transaction(actor="ann") as unit:
        clock.advance(5)
        for sql in statements:
            assert await unit.execute(sql) == 1
        name = await unit.fetch_one(str, "UPDATE projects SET name = 'd' RETURNING name")
        assert name == "d"
        more = "INSERT INTO projects (name, workspace_path) VALUES (?, 'w')"
        assert await unit.execute_many(more, [("e",), ("f",)]) == 2
        with pytest.raises(ConstraintError):
            await unit.execute("INSERT INTO projects (name, workspace_path) VALUES ('g', NULL)")
        assert await unit.fetch_one(int, "WITH n AS (SELECT 1) SELECT count(*) FROM projects") == 3
    assert {(e.user_id, e.timestamp) for e in await database.audit.list()} == {("ann", START)}
    assert await database.audit.count() == 7
    with closing(sqlite3.connect(path)) as prompt:
        assert prompt.execute("SELECT count(*) FROM audit_context").fetchone() == (0,)


async def test_units_of_different_people_are_not_mixed_up(database: Database) -> None:
    async def work(number: int) -> None:
        async with database.transaction(actor=f"user {number}") as unit:
            project = await unit.projects.add(str(number), "w")
            await asyncio.sleep(0)
            await unit.projects.update(project.id, description=str(number))

    async def alone(number: int) -> None:
        await database.projects.add(f"alone {number}", "w")

    await asyncio.gather(*(call(n) for n in range(20) for call in (work, alone)))
    names = {project.id: project.name for project in await database.projects.list()}
    entries = await told(database)
    assert len(entries) == 60
    for _, entity_id, _, _, user_id in entries:
        assert isinstance(entity_id, int)
        name = names[entity_id]
        assert user_id == (None if name.startswith("alone") else f"user {name}")


# Together with the change


async def test_a_unit_that_fails_leaves_no_entry(database: Database) -> None:
    project, _, _ = await make(database)
    before = contents(database.path)

    async def work() -> None:
        async with database.transaction(actor="ann") as unit:
            await unit.projects.update(project.id, name="new")
            assert (await unit.audit.get_history("project", project.id))[0].user_id == "ann"
            await unit.projects.delete(project.id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert contents(database.path) == before


async def test_what_a_savepoint_undoes_leaves_no_entry(database: Database) -> None:
    async def doomed(unit: UnitOfWork) -> None:
        async with unit.savepoint():
            await unit.projects.add("gone", "w")
            raise ZeroDivisionError

    async with database.transaction(actor="ann") as unit:
        await unit.projects.add("first", "w")
        with pytest.raises(ZeroDivisionError):
            await doomed(unit)
        async with unit.savepoint():
            await unit.projects.add("last", "w")
    assert await database.projects.count() == await database.audit.count() == 2


async def test_a_failed_call_in_a_unit_leaves_nobody_noted_as_writing(database: Database) -> None:
    missing: Any = None
    async with database.transaction(actor="ann") as unit:
        with pytest.raises(ConstraintError):
            await unit.projects.add(missing, "w")
        assert await unit.fetch_one(int, "SELECT count(*) FROM audit_context") == 0
        await unit.projects.add("n", "w")
        assert await unit.fetch_one(int, "SELECT count(*) FROM audit_context") == 0
    assert await told(database) == [("project", 1, "CREATE", {}, "ann")]


async def test_a_cancelled_write_is_noted_if_and_only_if_it_happened(database: Database) -> None:
    for turns in range(5):
        task = asyncio.ensure_future(database.projects.add("n", "w"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await database.projects.add("last", "w")
    assert await database.audit.count() == await database.projects.count()


# At the sqlite3 prompt


async def test_what_is_done_at_the_prompt_is_noted_too(database: Database, path: Path) -> None:
    project, _, _ = await make(database)
    with closing(sqlite3.connect(path, isolation_level=None)) as prompt:
        prompt.execute("PRAGMA foreign_keys = ON")
        prompt.execute("UPDATE projects SET name = 'by hand', updated_at = created_at")
        prompt.execute("UPDATE projects SET name = name")
        prompt.execute("INSERT INTO projects (name, workspace_path) VALUES ('new', 'w')")
        prompt.execute("DELETE FROM projects WHERE id = ?", (project.id,))
    changes = {"name": {"old": "p", "new": "by hand"}}
    assert [each[:4] for each in await told(database, skip=3)][:2] == [
        ("project", 1, "UPDATE", changes),
        ("project", 2, "CREATE", {}),
    ]
    entries = (await database.audit.list())[:-3]
    assert len(entries) == 5
    assert {entry.user_id for entry in entries} == {None}
    assert all(datetime.now(UTC) - entry.timestamp < timedelta(minutes=5) for entry in entries)


@pytest.mark.long
async def test_history_cannot_be_mended(database: Database, path: Path) -> None:
    await make(database)
    before = contents(path)
    with pytest.raises(ConstraintError) as caught:
        await database.execute("UPDATE audit_log SET user_id = 'bob'")
    assert (caught.value.kind, caught.value.constraint) == ("check", "audit entries do not change")
    with closing(sqlite3.connect(path)) as prompt, pytest.raises(sqlite3.IntegrityError):
        prompt.execute("UPDATE audit_log SET changes = '{}' WHERE id = 1")
    assert contents(path) == before
    methods = {name for name in dir(database.audit) if not name.startswith("_")}
    assert not methods & {"update", "delete", "clear", "upsert"}


# Reading


async def test_a_history_is_newest_first_and_of_one_entity(
    database: Database, clock: FrozenClock
) -> None:
    project, video, _ = await make(database)
    for number in range(5):
        await database.projects.update(project.id, name=str(number))
        clock.advance(number % 2)
    history = await database.audit.get_history("project", project.id)
    assert [entry.changes.get("name", {}).get("new") for entry in history] == [*"43210", None]
    for limit in (0, 1, 3, 6, 7):
        assert (
            await database.audit.get_history("project", project.id, limit=limit) == history[:limit]
        )
    assert len(await database.audit.get_history("video", video.id)) == 1
    assert await database.audit.get_history("project", 99) == []
    assert await database.audit.get_history("Project", project.id) == []
    with pytest.raises(ValueError, match="limit"):
        await database.audit.get_history("project", 1, limit=-1)


async def test_everything_is_listed_newest_first_a_hundred_at_a_time(database: Database) -> None:
    for number in range(105):
        await database.audit.log_create("shelf", number)
    assert await database.audit.count() == 105
    first = await database.audit.list()
    assert [entry.entity_id for entry in first] == list(range(104, 4, -1))
    visited = []
    for offset in range(0, 112, 7):
        visited += await database.audit.list(limit=7, offset=offset)
    assert [entry.entity_id for entry in visited] == list(range(104, -1, -1))


async def test_old_entries_are_pruned(database: Database, clock: FrozenClock) -> None:
    for number in range(5):
        await database.audit.log_create("shelf", number)
        clock.advance(60)
    assert await database.audit.prune(timedelta(seconds=180)) == 2
    assert [entry.entity_id for entry in await database.audit.list()] == [4, 3, 2]
    assert await database.audit.prune(timedelta(days=365_000)) == 0
    assert await database.audit.prune(timedelta(0)) == 3
    assert (await database.audit.log_create("shelf", 9)).id == 6  # never used again


# Entities of one's own


async def test_what_the_application_notes_itself(database: Database) -> None:
    changes = {"colour": {"old": None, "new": "red"}, "more": [1, 2.5, "猫"]}
    created = await database.audit.log_create("shelf", "a-7", "ann")
    updated = await database.audit.log_update("shelf", "a-7", changes, "bob")
    deleted = await database.audit.log_delete("shelf", "a-7")
    assert created == AuditEntry(1, "shelf", "a-7", AuditAction.CREATE, {}, "ann", START)
    assert updated == AuditEntry(2, "shelf", "a-7", AuditAction.UPDATE, changes, "bob", START)
    assert deleted == AuditEntry(3, "shelf", "a-7", AuditAction.DELETE, {}, None, START)
    assert await database.audit.get_history("shelf", "a-7") == [deleted, updated, created]


@pytest.mark.parametrize("value", [{"a": float("nan")}, {1: 2}, {"a": "\ud800"}, [], None, "{}"])
async def test_changes_are_a_json_object(value: Any, database: Database) -> None:
    with pytest.raises((ValueError, TypeError, ConstraintError)):
        await database.audit.log_update("shelf", 1, value)
    assert await database.audit.count() == 0


async def test_an_id_stays_what_it_is(database: Database) -> None:
    for entity_id in (7, "7", "", -(2**63), "007", 0):
        entry = await database.audit.log_create("shelf", entity_id)
        assert entry.entity_id == entity_id
        assert type(entry.entity_id) is type(entity_id)
        assert await database.audit.get_history("shelf", entity_id) == [entry]


async def test_what_one_notes_in_a_unit_is_the_actors_unless_said_otherwise(
    database: Database,
) -> None:
    async with database.transaction(actor="ann") as unit:
        assert (await unit.audit.log_create("shelf", 1)).user_id == "ann"
        assert (await unit.audit.log_delete("shelf", 1, "bob")).user_id == "bob"
        assert (await unit.audit.log_update("shelf", 1, {}, "")).user_id == ""


class Shelf(msgspec.Struct, frozen=True):
    id: int
    colour: str


class ShelfRepository(AuditedRepository):
    """A repository of one's own is audited by its base and the triggers of its table."""

    entity = "shelf"

    _add = Command(Shelf, "INSERT INTO shelves (colour) VALUES (:colour) RETURNING id, colour")
    _clear = Command(Shelf, "DELETE FROM shelves")

    async def add(self, colour: str) -> Shelf:
        return await self._run(self._add.one(colour=colour))

    async def clear(self) -> int:
        return await self._run(self._clear.count())


SHELVES = (
    """
    CREATE TABLE shelves (id INTEGER PRIMARY KEY, colour TEXT NOT NULL) STRICT
""",
    *(
        f"""
    CREATE TRIGGER shelves_audit_{event} AFTER {event} ON shelves
    BEGIN
      INSERT INTO audit_log (entity_type, entity_id, action, user_id, timestamp)
      SELECT 'shelf', {row}.id, '{action}', user_id, timestamp FROM audit_context;
    END
    """
        for event, row, action in (("INSERT", "NEW", "CREATE"), ("DELETE", "OLD", "DELETE"))
    ),
)


async def test_ones_own_repository_is_audited_by_one_declaration(database: Database) -> None:
    for sql in SHELVES:
        await database.execute(sql)
    await database.repository(ShelfRepository).add("red")
    async with database.transaction(actor="ann") as unit:
        await unit.repository(ShelfRepository).add("blue")
        assert await unit.repository(ShelfRepository).clear() == 2
    assert await told(database) == [
        ("shelf", 1, "CREATE", {}, None),
        ("shelf", 2, "CREATE", {}, "ann"),
        ("shelf", 1, "DELETE", {}, "ann"),
        ("shelf", 2, "DELETE", {}, "ann"),
    ]


async def test_a_page_of_one_entity_needs_its_type_and_its_id(database: Database) -> None:
    with pytest.raises(InvalidArgumentError, match=r"AuditRepository.page: entity_id: "):
        await database.audit.page("shelf")
    with pytest.raises(InvalidArgumentError, match=r"AuditRepository.page: entity_type: "):
        await database.audit.page(entity_id=7)


async def test_pages_tell_an_entity_with_a_number_from_one_with_a_text(database: Database) -> None:
    by_number = [await database.audit.log_create("shelf", 7) for _ in range(3)]
    await database.audit.log_create("shelf", "7")
    page = await database.audit.page("shelf", 7, limit=2)
    rest = await database.audit.page("shelf", 7, limit=2, after=page.next)
    assert [*page, *rest] == by_number[::-1]
    with pytest.raises(InvalidArgumentError, match="the token of another listing"):
        await database.audit.page("shelf", "7", after=page.next)
