"""Promises about config: settings that are any JSON and come back as what they were."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import reelbase
from reelbase import ConfigEntry, Database, RecordNotFoundError
from reelbase.testing.clock import START, FrozenClock

Look = Callable[[str], list[tuple[object, ...]]]

NO_JSON = [float("nan"), float("inf"), [1, {"a": -float("inf")}], {1: 2}, {None: 1}, "\ud800"]


class Limits(msgspec.Struct, frozen=True):
    """What an application may keep in one setting."""

    parallel: int
    rate: float | None = None
    names: list[str] = []


# Strictly typed


@pytest.mark.parametrize(
    ("value", "type"),
    [
        ("text", str),
        ("", str),
        (0, int),
        (-(2**63), int),
        (2**70, int),
        (0.5, float),
        (3, float),
        (True, bool),
        (False, bool),
        ([], list),
        ([1, "a", None], list),
        ([1, 2], list[int]),
        ({}, dict),
        ({"a": {"b": [None]}}, dict),
        ({"a": 1}, dict[str, int]),
        (None, type(None)),
    ],
)
async def test_a_value_of_the_type_asked_for(value: object, type: Any, database: Database) -> None:
    await database.config.set("k", value)  # type: ignore[arg-type]
    got = await database.config.get("k", type=type)
    assert got == value
    assert await database.config.get("k") == value
    if type is float:
        assert isinstance(got, float)
    else:
        assert got.__class__ is value.__class__


@pytest.mark.parametrize(
    ("value", "type"),
    [
        ("false", bool),
        ("true", bool),
        (0, bool),
        (1, bool),
        ("1", int),
        (1.0, int),
        (1.5, int),
        (True, int),
        (True, float),
        ("0.5", float),
        (1, str),
        (None, str),
        (None, int),
        (None, bool),
        (None, dict),
        ("null", type(None)),
        (0, type(None)),
        ("[]", list),
        ({}, list),
        ([], dict),
        ([1, "2"], list[int]),
        ({"a": "1"}, dict[str, int]),
        ({"parallel": "3"}, Limits),
        ({}, Limits),
    ],
)
async def test_a_value_of_another_type_is_a_validation_error(
    value: Any, type: Any, database: Database
) -> None:
    await database.config.set("k", value)
    with pytest.raises(msgspec.ValidationError):
        await database.config.get("k", type=type)
    with pytest.raises(msgspec.ValidationError):
        await database.config.get("k", "default", type=type)


async def test_false_as_text_stays_text(database: Database) -> None:
    """The original stored texts and read "false" back as True."""
    await database.config.set("text", "false")
    await database.config.set("flag", False)
    assert await database.config.get("text") == "false"
    assert await database.config.get("flag") is False
    assert await database.config.get("flag", type=bool) is False
    assert await database.config.all() == {"text": "false", "flag": False}


async def test_a_struct_goes_in_and_comes_out(database: Database) -> None:
    limits = Limits(parallel=3, rate=1.5, names=["a"])
    await database.config.set("limits", msgspec.to_builtins(limits))
    assert await database.config.get("limits", type=Limits) == limits
    await database.config.set("limits", {"parallel": 4, "unknown": 1})
    assert await database.config.get("limits", type=Limits) == Limits(parallel=4)


async def test_values_that_json_writes_as_text_are_read_by_their_type(database: Database) -> None:
    moment = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
    await database.config.set("moment", "2026-01-31T12:00:00Z")
    await database.config.set("id", "00000000-0000-7000-8000-000000000001")
    assert await database.config.get("moment", type=datetime) == moment
    found = await database.config.get("id", type=UUID)
    assert found is not None
    assert found.version == 7


# Missing, null, default


async def test_a_key_without_a_value_gives_the_default(database: Database) -> None:
    assert await database.config.get("k") is None
    assert await database.config.get("k", 7) == 7
    assert await database.config.get("k", default=7, type=str) == 7
    default = object()
    assert await database.config.get("k", default) is default


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}])
async def test_a_value_that_is_nothing_is_a_value(value: Any, database: Database) -> None:
    await database.config.set("k", value)
    got = await database.config.get("k", "default")
    assert got == value
    assert type(got) is type(value)
    assert await database.config.all() == {"k": value}
    assert await database.config.delete("k") is True
    assert await database.config.get("k", "default") == "default"


# Setting


async def test_a_set_returns_the_entry_and_replaces_the_value(
    database: Database, clock: FrozenClock
) -> None:
    first = await database.config.set("k", {"a": [1]})
    assert first == ConfigEntry(key="k", value={"a": [1]}, updated_at=START)
    now = clock.advance(1)
    second = await database.config.set("k", None)
    assert second == ConfigEntry(key="k", value=None, updated_at=now)
    assert await database.config.entries() == [second]


async def test_the_file_holds_json(database: Database, look: Look) -> None:
    await database.config.set_many({"a": "x", "b": None, "c": [True, "ü"]})
    stored = look("SELECT key, value, json_valid(value) FROM config ORDER BY key")
    assert [(key, json.loads(str(value)), valid) for key, value, valid in stored] == [
        ("a", "x", 1),
        ("b", None, 1),
        ("c", [True, "ü"], 1),
    ]


@pytest.mark.parametrize("value", NO_JSON, ids=ascii)
async def test_what_is_no_json_is_refused(value: Any, database: Database, look: Look) -> None:
    await database.config.set("k", 1)
    with pytest.raises((ValueError, TypeError), match="value"):
        await database.config.set("k", value)
    with pytest.raises((ValueError, TypeError), match="value"):
        await database.config.set("k", object())  # type: ignore[arg-type]
    assert look("SELECT key, value FROM config") == [("k", "1")]


async def test_many_are_set_at_once(database: Database, clock: FrozenClock) -> None:
    await database.config.set("b", "old")
    now = clock.advance(1)
    await database.config.set_many({"c": 3, "b": None, "a": "x"})
    assert await database.config.entries() == [
        ConfigEntry(key="a", value="x", updated_at=now),
        ConfigEntry(key="b", value=None, updated_at=now),
        ConfigEntry(key="c", value=3, updated_at=now),
    ]
    await database.config.set_many({})
    assert len(await database.config.entries()) == 3


@pytest.mark.parametrize("bad", NO_JSON, ids=ascii)
@pytest.mark.parametrize("position", [0, 1, 2])
async def test_one_bad_value_of_many_leaves_all_as_it_was(
    bad: Any, position: int, database: Database, look: Look
) -> None:
    await database.config.set("a", "old")
    values: list[Any] = ["new", "new", "new"]
    values[position] = bad
    with pytest.raises((ValueError, TypeError), match="value"):
        await database.config.set_many(dict(zip("abc", values, strict=True)))
    assert look("SELECT key, value FROM config") == [("a", '"old"')]
    assert await database.config.all() == {"a": "old"}


async def test_one_bad_key_of_many_leaves_all_as_it_was(database: Database) -> None:
    for bad in (1, "\ud800"):
        with pytest.raises((TypeError, ValueError), match="key"):
            await database.config.set_many({"a": 1, bad: 2})  # type: ignore[dict-item]
    assert await database.config.all() == {}


async def test_a_failed_set_many_leaves_the_unit_as_it_was(database: Database) -> None:
    async with database.transaction() as unit:
        await unit.config.set("kept", 1)
        with pytest.raises(ValueError, match="value"):
            await unit.config.set_many({"a": 1, "b": float("nan")})
    assert await database.config.all() == {"kept": 1}


async def test_sets_of_one_key_at_once_leave_one_of_them(database: Database) -> None:
    await asyncio.gather(*(database.config.set("k", number) for number in range(50)))
    assert await database.config.get("k", type=int) in range(50)
    assert len(await database.config.entries()) == 1


# All


async def test_entries_are_in_the_order_of_their_keys(database: Database) -> None:
    keys = ["b", "a", "B", "", "ü", "a.b", "10", "9", "a b", "null"]
    for number, key in enumerate(keys):
        await database.config.set(key, number)
    entries = await database.config.entries()
    assert [entry.key for entry in entries] == sorted(keys, key=str.encode)
    everything = await database.config.all()
    assert list(everything.items()) == [(entry.key, entry.value) for entry in entries]
    assert everything["null"] == 9


async def test_nothing_is_set_at_first(database: Database) -> None:
    assert await database.config.all() == {}
    assert await database.config.entries() == []


async def test_an_entry_is_a_json_object_and_comes_back_from_it(database: Database) -> None:
    entry = await database.config.set("k", {"a": [1, None]})
    assert msgspec.json.decode(msgspec.json.encode(entry), type=ConfigEntry) == entry


async def test_deleting(database: Database) -> None:
    await database.config.set("k", 1)
    await database.config.set("K", 2)
    assert await database.config.delete(key="k") is True
    assert await database.config.all() == {"K": 2}
    with pytest.raises(RecordNotFoundError) as caught:
        await database.config.delete("k")
    assert caught.value.details == {"entity": "config entry", "key": "k"}
    assert await database.config.delete("k", missing_ok=True) is False


# Any JSON

texts = st.text(st.characters(exclude_categories=["Cs"]))
documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def shape(value: object) -> object:
    """The value with the types of all its parts, because 1 == 1.0 == True and 0.0 == -0.0."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__, repr(value)


@pytest.mark.long
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(values=st.lists(st.tuples(texts, documents), min_size=1, max_size=12))
def test_any_json_comes_back_as_it_was(values: list[tuple[str, Any]], template: Any) -> None:
    async def round_trip() -> None:
        async with reelbase.connect(":memory:") as database:
            expected = dict(values)
            for key, value in expected.items():
                entry = await database.config.set(key, value)
                assert shape(entry.value) == shape(value)
                assert shape(await database.config.get(key)) == shape(value)
            assert shape(await database.config.all()) == shape(expected)
            for key in expected:
                await database.config.delete(key)
            await database.config.set_many(expected)
            assert shape(await database.config.all()) == shape(expected)

    asyncio.run(round_trip())
