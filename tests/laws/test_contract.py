"""The names that users rely on: the public surface is the one that api.txt holds, and it hangs together."""

from __future__ import annotations

import difflib
import enum
import inspect
import types
import typing
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import msgspec
import pytest
from api import FILE, api

import reelbase
from reelbase import Database, Repository, Snapshot, UnitOfWork

PUBLIC = {name: getattr(reelbase, name) for name in reelbase.__all__}
CLASSES = {name: value for name, value in PUBLIC.items() if isinstance(value, type)}
RECORDS = {name: value for name, value in CLASSES.items() if issubclass(value, msgspec.Struct)}
ENUMS = {name: value for name, value in CLASSES.items() if issubclass(value, enum.Enum)}
ERRORS = {
    name: value for name, value in CLASSES.items() if issubclass(value, reelbase.DatabaseError)
}
HOLDERS = [Database, UnitOfWork, Snapshot]


def test_the_surface_is_the_one_that_is_written_down() -> None:
    """A change of it that is meant is written by ``python tests/laws/api.py``, and shows in the diff."""
    written, found = FILE.read_text("utf-8"), api()
    difference = difflib.unified_diff(written.splitlines(), found.splitlines(), lineterm="", n=0)
    assert written == found, "\n".join(difference)


def test_all_is_sorted() -> None:
    def kind(name: str) -> tuple[int, str]:
        """Constants, classes, functions, as ruff sorts them."""
        return (0 if name.isupper() else 1 if name[0].isupper() else 2), name

    assert reelbase.__all__ == sorted(reelbase.__all__, key=kind)
    assert len(set(reelbase.__all__)) == len(reelbase.__all__)


def test_all_is_all_that_is_public() -> None:
    public = {
        name
        for name, value in vars(reelbase).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public == set(reelbase.__all__)


def named_in(hint: Any) -> set[type]:
    """The classes that a type hint is made of."""
    parts = typing.get_args(hint)
    found = set().union(*map(named_in, parts)) if parts else set()
    return found | ({hint} if isinstance(hint, type) else set())


def test_every_repository_and_whatever_it_takes_and_gives_is_public() -> None:
    for repository in repositories_of(Database).values():
        assert getattr(reelbase, repository.__name__, None) is repository
        for method in methods_of(repository):
            hints = typing.get_type_hints(getattr(repository, method))
            for kind in set().union(*map(named_in, hints.values())):
                if kind.__module__.startswith("reelbase."):
                    assert getattr(reelbase, kind.__name__, None) is kind, (repository, method)


def methods_of(repository: type[Repository]) -> list[str]:
    """The names of its public methods."""
    return [
        name
        for name in dir(repository)
        if not name.startswith("_") and inspect.isfunction(getattr(repository, name))
    ]


def repositories_of(holder: type) -> dict[str, type[Repository]]:
    return {
        name: value._repository_class
        for base in holder.__mro__
        for name, value in vars(base).items()
        if hasattr(value, "_repository_class")
    }


def test_there_are_types_for_users() -> None:
    assert (Path(reelbase.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("attribute", repositories_of(Database))
@pytest.mark.parametrize("holder", HOLDERS)
async def test_a_repository_hangs_off_every_holder(
    attribute: str, holder: type, database: Database
) -> None:
    repository = repositories_of(Database)[attribute]
    assert repositories_of(holder)[attribute] is repository
    if holder is Database:
        assert type(getattr(database, attribute)) is repository
    elif holder is UnitOfWork:
        async with database.transaction() as unit:
            assert type(getattr(unit, attribute)) is repository
    else:
        async with database.snapshot() as view:
            assert type(getattr(view, attribute)) is repository


@pytest.mark.parametrize("repository", repositories_of(Database).values())
def test_every_method_is_awaited_and_says_what_it_takes_and_gives(
    repository: type[Repository],
) -> None:
    assert methods_of(repository)
    for method in methods_of(repository):
        function = getattr(repository, method)
        assert inspect.iscoroutinefunction(function), method
        hints = typing.get_type_hints(function)
        assert "return" in hints, method
        assert {"self", "return", *hints} == {
            "self",
            "return",
            *inspect.signature(function).parameters,
        }


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize(
    "method",
    ["fetch_all", "fetch_one", "fetch_optional", "execute", "execute_many", "stream", "repository"],
)
def test_the_raw_verbs_are_the_same_everywhere(holder: type, method: str) -> None:
    function = getattr(holder, method)
    assert inspect.signature(function) == inspect.signature(getattr(Database, method))
    assert inspect.iscoroutinefunction(function) == (method not in ("stream", "repository"))


def test_a_class_can_be_looked_at() -> None:
    """As help(), mocks with a specification and documentation tools do."""
    for holder in HOLDERS:
        assert all(hasattr(holder, name) for name in dir(holder))
    assert create_autospec(Database).files is not None


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_a_holder_tells_can_be_read_and_not_set(holder: type) -> None:
    told = [getattr(holder, name) for name in dir(holder) if not name.startswith("_")]
    assert all(value.fset is None for value in told if isinstance(value, property))


def test_the_base_that_users_subclass_generates_nothing() -> None:
    public = {name for name in vars(Repository) if not name.startswith("_")}
    assert public == {"entity", "may_scan", "remedy", "table"}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_frozen_and_encodes_to_an_object(name: str) -> None:
    config = RECORDS[name].__struct_config__
    assert config.frozen
    assert not config.array_like
    assert not config.omit_defaults
    assert config.tag is None


def test_a_new_file_has_the_parameters_of_add() -> None:
    parameters = inspect.signature(reelbase.FileRepository.add).parameters
    expected = [name for name in parameters if name not in ("self", "profile_id")]
    assert list(reelbase.NewFile.__struct_fields__) == expected
    required = [
        field.name
        for field in msgspec.structs.fields(reelbase.NewFile)
        if field.default is msgspec.NODEFAULT
    ]
    assert required == ["name", "path"]


@pytest.mark.parametrize("name", ENUMS)
def test_an_enumeration_is_of_strings_that_are_named_as_they_are(name: str) -> None:
    kind = ENUMS[name]
    assert issubclass(kind, enum.StrEnum)
    assert [member.name for member in kind] == [member.value.upper() for member in kind]


def test_a_journal_decision_says_what_and_why(database: Database) -> None:
    decision = database.journal
    assert decision.mode in ("wal", "delete", "memory")
    assert decision.synchronous in ("normal", "full", "extra")
    assert isinstance(decision.reason, str)
    assert isinstance(decision.filesystem, reelbase.Filesystem)
    assert isinstance(decision.filesystem.mount_point, str)
    assert isinstance(decision.filesystem.type, str)
    assert isinstance(decision.filesystem.is_network, bool)


async def test_what_a_database_and_a_unit_tell(database: Database, path: Path) -> None:
    assert database.path == path
    assert database.schema_version == reelbase.SCHEMA_VERSION
    assert database.closed is False
    async with database.transaction(actor="ann") as unit:
        assert (unit.state, unit.actor) == ("open", "ann")
        assert isinstance(unit.now, datetime)
    assert unit.state == "committed"
    await database.close()
    assert database.closed is True


async def test_a_database_in_memory_has_no_path() -> None:
    async with reelbase.connect(":memory:") as database:
        assert database.path is None
        assert database.journal.mode == "memory"


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_in_the_tree(name: str) -> None:
    error = ERRORS[name]
    assert issubclass(error, reelbase.DatabaseError)
    assert error.__bases__[0] is (Exception if name == "DatabaseError" else reelbase.DatabaseError)
    assert isinstance(error.code, str)


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [getattr(error, "code") for error in ERRORS.values()]  # noqa: B009
    assert len(set(codes)) == len(codes)


def test_an_error_carries_code_and_details() -> None:
    error = reelbase.DatabaseError("text", code="mine", details={"a": 1})
    assert (str(error), error.code, error.details) == ("text", "mine", {"a": 1})
    assert reelbase.DatabaseError("text").details == {}
    broken = reelbase.ConstraintError("text", kind="unique", constraint="files.id")
    assert (broken.kind, broken.constraint) == ("unique", "files.id")
