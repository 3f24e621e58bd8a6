"""Promises about the records that reelbase.testing makes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

import reelbase
import reelbase.testing
from reelbase import testing
from reelbase.testing import Factory, FrozenClock, make_file, make_job


def factories() -> dict[str, Factory[msgspec.Struct]]:
    return {
        name: factory
        for name, factory in vars(reelbase.testing).items()
        if isinstance(factory, Factory)
    }


def test_every_record_of_a_repository_has_a_factory() -> None:
    names = [
        name
        for name in reelbase.__all__
        if isinstance(getattr(reelbase, name), type)
        and issubclass(getattr(reelbase, name), msgspec.Struct)
        and getattr(reelbase, name).__module__.startswith("reelbase.repositories.")
        and not name.startswith("New")  # what an application makes itself
    ]
    assert len(names) > 30
    expected = {"make_" + re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower(): name for name in names}
    assert factories().keys() == expected.keys(), "add it to reelbase/testing/factories.py"
    for name, factory in factories().items():
        assert type(factory()).__name__ == expected[name]
        assert name in testing.__all__


@pytest.mark.parametrize("name", factories())
def test_its_values_are_of_the_types_of_the_fields(name: str) -> None:
    record = factories()[name]()
    decoded = msgspec.json.decode(msgspec.json.encode(record), type=type(record))
    assert decoded == record


def test_a_test_names_the_fields_that_it_is_about() -> None:
    first, second = make_file(name="a.mkv", size_bytes=3), make_file()
    assert (first.name, first.size_bytes, first.type) == ("a.mkv", 3, None)
    assert first.id != second.id
    assert first.path != second.path
    assert make_job().status is reelbase.JobStatus.QUEUED
    with pytest.raises(TypeError, match="nam"):
        make_file(nam="a.mkv")


class Note(msgspec.Struct, frozen=True):
    id: int
    key: UUID
    text: str
    tags: list[str]
    written_at: datetime
    file: reelbase.File
    colour: str = "red"


def test_an_application_has_factories_of_its_own() -> None:
    make_note = Factory(Note, text="note {}")
    first, second = make_note(), make_note(colour="blue")
    assert (first.id, first.text, first.tags, first.colour) == (1, "note 1", [], "red")
    assert (second.id, second.text, second.colour) == (2, "note 2", "blue")
    assert isinstance(first.file, reelbase.File)
    with pytest.raises(TypeError, match="has no field txt"):
        Factory(Note, txt="")


def test_a_frozen_clock_moves_only_when_it_is_told_to() -> None:
    clock = FrozenClock()
    start = clock()
    assert clock() == start
    assert clock.advance(60) == clock() == start + timedelta(minutes=1)
    assert clock.advance(days=1) == start + timedelta(days=1, minutes=1)
    assert FrozenClock(datetime(2030, 1, 1, tzinfo=UTC))().year == 2030
    with pytest.raises(ValueError, match="aware"):
        FrozenClock(datetime(2030, 1, 1))
