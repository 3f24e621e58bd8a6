"""JSON parameters: what the encoder would change without a word is refused, whichever way it is found."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

from reelbase.engine.statements import parameters

_PLAIN: tuple[object, ...] = (
    None,
    True,
    0,
    -7,
    2**63,
    1.5,
    -0.0,
    1e300,
    "",
    "a",
    "[{",
    "é\ud7ff",
    "null",
)
_ODD: tuple[object, ...] = (
    *(
        float("nan"),
        float("inf"),
        UUID(int=7),
        datetime(2026, 1, 1, tzinfo=UTC),
        b"x",
        object(),
        "\ud800",
    ),
)
_KEYS: tuple[object, ...] = ("a", "b", "", 1, None, True, 1.5, UUID(int=8))


def value_of(choose: random.Random, depth: int = 0) -> object:
    """Mostly what JSON can express, with lists, tuples, sets and dicts inside each other."""
    kind = choose.random()
    if depth < 4 and kind < 0.25:
        keys = _KEYS if choose.random() < 0.1 else ("a", "b", "c")
        return {
            choose.choice(keys): value_of(choose, depth + 1) for _ in range(choose.randrange(4))
        }
    if depth < 4 and kind < 0.5:
        return [value_of(choose, depth + 1) for _ in range(choose.randrange(4))]
    if depth < 4 and kind < 0.53:
        return tuple(value_of(choose, depth + 1) for _ in range(choose.randrange(3)))
    return choose.choice(_ODD if kind < 0.56 else _PLAIN)


def outcome(value: object) -> str | tuple[type[Exception], str] | None:
    try:
        return parameters.to_json(value)
    except (TypeError, ValueError) as error:
        return type(error), str(error)


def nested(levels: int, inner: object) -> object:
    value = inner
    for _ in range(levels):
        value = [value]
    return value


def test_the_quick_look_says_what_a_look_at_each_value_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choose = random.Random(1)
    values = [value_of(choose) for _ in range(3000)]
    values += [nested(levels, inner) for levels in (510, 511, 512, 513) for inner in (1, {1: 2})]
    values += [["[" * 600], [[] for _ in range(600)], Fraction(1, 3), Fraction(2)]
    quick = list(map(outcome, values))
    slow: Callable[[Any, Any], bool] = lambda value, encoded: False  # noqa: E731
    monkeypatch.setattr(parameters, "_comes_back", slow)
    assert quick == list(map(outcome, values))
    refused = sum(isinstance(found, tuple) for found in quick)
    assert 100 < refused < len(values) / 2
