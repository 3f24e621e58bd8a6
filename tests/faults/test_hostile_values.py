"""A promise about hostile values: into every parameter of every method goes anything, and what comes
out is a typed error that leaves nothing, or exactly what went in.

The methods and their arguments are those of test_roundtrip.py, which also says how errors name them.
"""

from __future__ import annotations

import math
import random
import typing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
import test_roundtrip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import contents
from test_roundtrip import METHODS, World, parameters

from reelbase import Database, DatabaseError, UnitOfWork
from reelbase.engine.file_names import Message, printable
from reelbase.engine.statements.statement import Statement

from .conftest import Figure

world = test_roundtrip.world  # the fixture

QUICK_PARAMETERS, QUICK_VALUES = 30, 8
FULL_VALUES = 60
# What a parameter is stored as, where it is not what it was given: credentials are masked in logged
# URLs, and of some fields only a part is a column.
STORED_OTHERWISE = {("error_log", "url"), ("unsupported_urls", "url")}
# What is past an end is stored as that end.
CLAMPED = {
    ("jobs", "progress"): (0.0, 1.0),
    ("jobs", "completed"): (0, 2**63),
    ("file_processing", "progress"): (0.0, 1.0),
}

anything = st.one_of(
    test_roundtrip.texts,
    test_roundtrip.surrogates,
    test_roundtrip.integers,
    st.floats(),
    st.binary(max_size=20),
    st.uuids(),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.timedeltas(),
    st.none() | st.booleans(),
    test_roundtrip.json_objects,
    st.lists(test_roundtrip.json_values, max_size=4),
    st.integers(500, 3000).map(test_roundtrip.nested),
    st.sampled_from(["x" * 300_000, b"x" * 300_000, 10**400, 1e308, object(), float, set(), ...]),
)


def fitting(annotation: Any) -> st.SearchStrategy[Any]:
    """Of the right type, mostly."""
    members = set(typing.get_args(annotation)) or {annotation}
    for kind, strategy in (
        (UUID, st.uuids() | st.uuids().map(str)),
        (float, st.floats()),
        (int, test_roundtrip.integers),
        (datetime, st.datetimes(timezones=test_roundtrip.zones)),
        (timedelta, st.timedeltas()),
    ):
        if kind in members:
            return strategy
    if dict in {typing.get_origin(member) for member in members}:
        return test_roundtrip.json_objects
    return test_roundtrip.texts


def values_for(annotation: Any, count: int, seed: int) -> list[Any]:
    """As many values as asked for: those of hypothesis for the type, and anything."""
    found: list[Any] = []

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(value=st.one_of(fitting(annotation), anything))
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    while len(found) < count:  # there are few different ones
        found.append(random.Random(seed + len(found)).choice(found))
    return found[:count]


class _UndoneError(Exception):
    pass


async def outcome(database: Database, attribute: str, method: str, arguments: Any) -> Any:
    """What the method gives or raises, in a unit that is rolled back."""
    result: Any = None

    async def call(unit: UnitOfWork) -> Any:
        try:
            return await getattr(getattr(unit, attribute), method)(**arguments)
        except Exception as error:
            return error

    try:
        async with database.transaction() as unit:
            result = await call(unit)
            raise _UndoneError
    except _UndoneError:
        return result


def problem_of(error: Exception) -> str | None:
    """None for an error that a caller can act on."""
    if isinstance(error, UnicodeError):
        return f"{error!r} got through"
    if isinstance(error, DatabaseError):
        return f"{error!r} is not told apart" if error.code in ("statement", "unexpected") else None
    return None if isinstance(error, TypeError | ValueError) else f"{error!r} got through"


def is_kept(result: Any, attribute: str, name: str, value: Any) -> bool:
    """Whether a record says of the parameter what went in."""
    if not isinstance(result, msgspec.Struct) or name not in result.__struct_fields__:
        return True
    if (attribute, name) in STORED_OTHERWISE or value is None:  # None often means: leave it
        return True
    stored = getattr(result, name)
    if (attribute, name) in CLAMPED:
        lowest, highest = CLAMPED[attribute, name]
        value = min(max(value, lowest), highest)
    if isinstance(value, datetime):
        rounding: timedelta = value.astimezone(UTC) - stored
        return timedelta(0) <= rounding < timedelta(milliseconds=1)
    if isinstance(stored, UUID):
        return str(stored) == str(UUID(str(value)))
    if isinstance(value, float) and isinstance(stored, float):
        return math.isclose(stored, value, rel_tol=0, abs_tol=0)
    if isinstance(value, str) and is_message(type(result), name):
        value = printable(value)  # lone surrogates of messages are escaped
    kept: bool = stored == value
    return kept


def is_message(record: type, name: str) -> bool:
    hint = typing.get_type_hints(record, include_extras=True)[name]
    return Message in (hint, *typing.get_args(hint))


def brief(value: Any) -> str:
    try:
        return ascii(value)[:80]
    except RecursionError:
        return f"a deep {type(value).__name__}"


class Trial(NamedTuple):
    """How many values were tried and kept, and what was wrong with what became of them."""

    tried: int
    kept: int
    problems: list[str]


async def trial(
    database: Database, world: World, path: Path, chosen: list[Any], count: int
) -> Trial:
    """So many values into each of these parameters."""
    tried = kept = 0
    problems: list[str] = []
    before = contents(path)
    for n, (attribute, method, name, hint) in enumerate(chosen):
        good = METHODS[attribute, method](world)
        for value in values_for(hint, count, n):
            arguments = good | {name: value}
            result = await outcome(database, attribute, method, arguments)
            where = f"{attribute}.{method}({name}={brief(value)})"
            if not isinstance(result, Exception):
                kept += 1
                if not is_kept(result, attribute, name, value):
                    problems.append(f"{where} became {brief(getattr(result, name))}")
            elif problem := problem_of(result):
                problems.append(f"{where}: {problem[:200]}")
            else:  # and what is refused leaves nothing when it is a transaction of its own, either
                with pytest.raises(type(result)):
                    await getattr(getattr(database, attribute), method)(**arguments)
            tried += 1
        assert contents(path) == before, f"{attribute}.{method}({name}=…) left something"
    return Trial(tried, kept, problems)


@pytest.mark.long
async def test_anything_is_refused_or_kept(
    database: Database, world: World, path: Path, full: bool, figure: Figure
) -> None:
    every = parameters()
    chosen = every if full else random.Random(1).sample(every, QUICK_PARAMETERS)
    count = FULL_VALUES if full else QUICK_VALUES
    tried, kept, problems = await trial(database, world, path, chosen, count)
    assert problems == []
    assert kept > tried / 20
    figure(
        f"hostile values: {tried} into {len(chosen)} parameters, {kept} kept, the others refused"
    )


@pytest.mark.long
async def test_the_trial_finds_texts_that_are_stored_otherwise(
    database: Database, world: World, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind = Statement.bind

    def careless(statement: Statement, values: Any) -> Any:
        bound = bind(statement, values)
        return bound | {"name": bound["name"].strip() + "."} if bound.get("name") else bound

    monkeypatch.setattr(Statement, "bind", careless)
    chosen = [found for found in parameters() if found[:3] == ("files", "update", "name")]
    assert (await trial(database, world, path, chosen, FULL_VALUES)).problems != []


@pytest.mark.parametrize(
    ("result", "value"), [(1, 2), ("a", "b"), (0.1 + 0.2, 0.3), ({"a": 1}, {"a": 2})]
)
def test_what_is_kept_otherwise_is_seen(result: Any, value: Any) -> None:
    record = msgspec.defstruct("Record", ["field"])(result)
    assert is_kept(record, "", "field", result)
    assert not is_kept(record, "", "field", value)
    assert problem_of(OverflowError()) is not None
    assert problem_of(UnicodeEncodeError("utf-8", "", 0, 1, "")) is not None
