"""Promises about errors: what they say, to whom they speak, and that they travel."""

from __future__ import annotations

import copy
import pickle
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

import reelbase
from reelbase import (
    ConstraintError,
    Database,
    DatabaseError,
    InvalidArgumentError,
    NewFile,
    NewSegment,
    Query,
    Repository,
)

ERRORS = [
    error
    for error in vars(reelbase).values()
    if isinstance(error, type) and issubclass(error, DatabaseError)
]


def made(kind: type[DatabaseError]) -> DatabaseError:
    more: dict[type[DatabaseError], dict[str, Any]] = {
        ConstraintError: {"kind": "unique", "constraint": "files.id"},
        InvalidArgumentError: {"parameter": "file_id"},
    }
    return kind("what happened", **more.get(kind, {"code": "special", "details": {"a": [1]}}))


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickle_and_copy(kind: type[DatabaseError], protocol: int) -> None:
    error = made(kind)
    for other in (
        pickle.loads(pickle.dumps(error, protocol)),
        copy.copy(error),
        copy.deepcopy(error),
    ):
        assert type(other) is kind
        assert str(other) == str(error) == "what happened"
        assert vars(other) == vars(error)
        assert other.http_status == error.http_status


# What a user typed wrongly.


async def test_a_value_that_cannot_be_used_names_the_method_and_its_parameter(
    database: Database,
) -> None:
    some = uuid4()
    calls = {
        "FileRepository.get: file_id": database.files.get("not-an-id"),
        "FileRepository.page: tags": database.files.page("anna", tags=[" "]),
        "FileRepository.page: limit": database.files.page("anna", limit=-1),
        "FileRepository.page: after": database.files.page("anna", after="x"),
        "TagRepository.attach: names": database.tags.attach(some, " "),
        "JobRepository.claim: lease": database.jobs.claim("w", lease=-1.0),
        "JobRepository.heartbeat: lease": database.jobs.heartbeat(some, "w", lease=float("nan")),
        "JobRepository.add_batch: children": database.jobs.add_batch("anna", "t", {}, []),
        "JobRepository.update: status": database.jobs.update(some, status="done"),  # type: ignore[arg-type]
        "TranscriptRepository.search: query": database.transcripts.search("anna", "\ud800"),
        "NotificationRepository.prune: keep": database.notifications.prune("anna", -1),
        "SettingsRepository.set: value": database.settings.set("anna", "k", float("nan")),
        "Database.fetch_all: timeout": database.fetch_all(int, "SELECT 1", timeout=-1),
        "Database.fetch_one: parameter 1": database.fetch_one(int, "SELECT ?", [float("nan")]),
        "Database.execute: parameter a": database.execute("SELECT :a", {"a": float("inf")}),
    }
    for says, call in calls.items():
        with pytest.raises(InvalidArgumentError) as caught:
            await call
        assert str(caught.value).startswith(f"{says}: "), caught.value
        assert caught.value.parameter == says.rpartition(" ")[2] or says.endswith(
            caught.value.parameter
        )
        assert isinstance(caught.value, ValueError)
        assert (caught.value.http_status, caught.value.code) == (422, "invalid_argument")


async def test_a_value_of_the_wrong_type_is_a_type_error_in_the_same_words(
    database: Database,
) -> None:
    calls: dict[str, Any] = {
        "FileRepository.page: after": database.files.page("anna", after=7),  # type: ignore[arg-type]
        "FileRepository.page: tags": database.files.page("anna", tags="x"),
        "FileRepository.add_many: files": database.files.add_many("anna", "x"),  # type: ignore[arg-type]
        "JobRepository.purge: older_than": database.jobs.purge(3),  # type: ignore[arg-type]
        "ProfileRepository.ensure: profile_id": database.profiles.ensure(7),  # type: ignore[arg-type]
    }
    for says, call in calls.items():
        with pytest.raises(TypeError, match=f"^{says}: ") as caught:
            await call
        assert not isinstance(caught.value, DatabaseError)


async def test_in_a_unit_and_in_a_users_own_repository_errors_speak_likewise(
    database: Database,
) -> None:
    class OwnRepository(Repository):
        _by_name = Query(int, "SELECT 1 WHERE :name = 'x'", params={"name": str})

        async def number_of(self, title: str) -> int | None:
            return await self._run(self._by_name.optional(name=title))

    async with database.transaction() as unit:
        with pytest.raises(InvalidArgumentError, match=r"^FileRepository.get: file_id: "):
            await unit.files.get("x")
        with pytest.raises(
            TypeError, match=r"^OwnRepository.number_of: title: must be str, not int"
        ):
            await unit.repository(OwnRepository).number_of(3)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match=r"^UnitOfWork.fetch_one: parameter 1: "):
            await unit.fetch_one(int, "SELECT ?", [float("nan")])


# IN (:ids) with a list.


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT id FROM files WHERE id IN (:ids)", {"ids": ["a", "b"]}),
        ("DELETE FROM files WHERE name = :name AND id in ( :ids )", {"name": "x", "ids": ("a",)}),
        ("SELECT id FROM files WHERE name = ? AND id IN (?)", ["x", ["a"]]),
        ("SELECT id FROM files WHERE id NOT IN (?2, ?1)", ["x", ["a"]]),
        ("SELECT 'IN (?)' FROM files WHERE id IN (@ids) -- ?", {"ids": ["a"]}),
    ],
)
async def test_a_list_inside_in_is_refused_with_the_right_spelling(
    database: Database, sql: str, params: Any
) -> None:
    with pytest.raises(InvalidArgumentError, match=r"IN \(SELECT value FROM json_each\("):
        await database.execute(sql, params)


async def test_the_right_spelling_works_and_single_values_in_in_stay(database: Database) -> None:
    ids = ["a", "b"]
    sql = 'SELECT value FROM json_each(\'["a", "c"]\') WHERE value IN (SELECT value FROM json_each(:ids))'
    assert await database.fetch_all(str, sql, {"ids": ids}) == ["a"]
    assert await database.fetch_all(int, "SELECT 1 WHERE 'a' IN (?, ?)", ids) == [1]
    json = "SELECT 1 WHERE 2 IN (1, 2) AND json_array_length(:ids) = 2"
    assert await database.fetch_all(int, json, {"ids": ids}) == [1]


def test_a_declared_list_inside_in_is_refused_where_it_is_declared() -> None:
    with pytest.raises(TypeError, match="json_each"):
        Query(int, "SELECT 1 WHERE 1 IN (:ids)", params={"ids": list[int]})


# Broken references.


async def test_a_missing_parent_is_named_with_its_remedy(database: Database) -> None:
    with pytest.raises(ConstraintError) as caught:
        await database.files.add("anna", "a.mp4", "/a.mp4")
    assert "profile 'anna' does not exist; profiles.ensure('anna') makes it" in str(caught.value)
    assert (caught.value.kind, caught.value.code) == ("foreign_key", "constraint")
    assert caught.value.details == {
        "kind": "foreign_key",
        "constraint": "",
        "column": "profile_id",
        "value": "anna",
        "parent": "profiles",
    }


async def test_every_way_to_break_a_reference_says_which(database: Database) -> None:
    await database.profiles.ensure("anna")
    await database.profiles.ensure("bert")
    file = await database.files.add("anna", "a.mp4", "/a.mp4")
    project = await database.projects.add("film", "/w")
    video = await database.videos.add(project.id, "v", "/v", 1.0, 25, 1, 2, 2)
    await database.project_clips.add(project.id, video.id, 0, 5)
    missing = uuid4()
    transcript = await database.transcripts.add("anna", file.id, "x")
    segment = NewSegment(0.0, 1.0, "x", speaker_id=77)
    calls = {
        f"file '{missing}' does not exist": database.transcripts.add("anna", missing, "x"),
        f"file '{file.id}' is not one of profile_id 'bert'": database.transcripts.add(
            "bert", file.id, "x"
        ),
        "profile 'carl' does not exist": database.files.add_many("carl", [NewFile("a", "b")]),
        "speaker 77 does not exist": database.segments.replace_all(transcript.id, [segment]),
        f"file '{missing}' does not exist ": database.files.update(file.id, source_file_id=missing),
        f"still refers to video {video.id} (video_id)": database.videos.delete(video.id),
        "profile 'dora' does not exist": database.execute(
            "INSERT INTO tags (profile_id, name, normalized_name) VALUES (:profile_id, 'x', 'x')",
            {"profile_id": "dora"},
        ),
    }
    for says, call in calls.items():
        with pytest.raises(ConstraintError) as caught:
            await call
        assert caught.value.kind == "foreign_key"
        assert says.strip() in str(caught.value)
    with pytest.raises(ConstraintError, match="FOREIGN KEY") as caught:  # no names, no guess
        await database.execute(
            "INSERT INTO tags (profile_id, name, normalized_name) VALUES (?, 'x', 'x')", ["dora"]
        )
    assert caught.value.kind == "foreign_key"
    assert await database.jobs.purge(timedelta(days=1)) == 0


async def test_a_users_own_table_is_named_as_the_parent(database: Database) -> None:
    await database.execute('CREATE TABLE "odd "" table" (k TEXT PRIMARY KEY)')
    await database.execute('CREATE TABLE child (up TEXT REFERENCES "odd "" table") STRICT')
    with pytest.raises(ConstraintError, match=r"row of odd \" table 'x' does not exist"):
        await database.execute("INSERT INTO child (up) VALUES (:up)", {"up": "x"})
