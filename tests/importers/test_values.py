"""Promises about single values: each is read in every spelling that the applications have written it in."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone
from typing import Any

import pytest

from reelbase.importers.values import (
    flag_of,
    integer_of,
    json_of,
    moment_of,
    raw_json,
    real_of,
    text_of_value,
    uuid_of,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31 12:00:00", "2026-01-31T12:00:00.000Z"),
        ("2026-01-31T12:00:00.999999", "2026-01-31T12:00:00.999Z"),
        ("2026-01-31T12:00:00.5Z", "2026-01-31T12:00:00.500Z"),
        ("2026-01-31 12:00:00.1234567+00", "2026-01-31T12:00:00.123Z"),
        ("2026-01-31 12:00:00+00:00", "2026-01-31T12:00:00.000Z"),
        ("2026-01-31 12:00:00+05:30", "2026-01-31T06:30:00.000Z"),
        ("2025-12-31T23:59:59+0900", "2025-12-31T14:59:59.000Z"),
        ("1890-01-01 00:00:00+00:53:28", "1889-12-31T23:06:32.000Z"),
        ("2026-01-31", "2026-01-31T00:00:00.000Z"),
        (" 2026-01-31 12:00 ", "2026-01-31T12:00:00.000Z"),
        ("0999-01-31 12:00:00", "0999-01-31T12:00:00.000Z"),
        ("2026-02-30 12:00:00", None),
        ("2026-01-31 24:00:01", None),
        ("0001-01-01 00:00:00+01", None),
        ("9999-12-31 23:59:59-01", None),
        ("infinity", None),
        ("", None),
        (1767225600, None),
        (b"2026-01-31", None),
        (None, None),
    ],
)
def test_a_time_is_utc_cut_to_milliseconds(text: Any, expected: str | None) -> None:
    assert moment_of(text) == expected


def test_a_time_without_an_offset_is_of_the_zone() -> None:
    zone = timezone(timedelta(hours=9))
    assert moment_of("2026-01-31 12:00:00", zone) == "2026-01-31T03:00:00.000Z"
    assert moment_of("2026-01-31 12:00:00Z", zone) == moment_of("2026-01-31 12:00:00", UTC)


def test_a_uuid_keeps_its_value_and_all_other_ids_give_the_same_one_every_time() -> None:
    expected = "6513270e-269e-4d37-b2a7-4de452e6b438"
    assert uuid_of("6513270E269E4D37B2A74DE452E6B438", "files") == expected
    assert uuid_of(expected, "jobs") == expected
    assert uuid_of("gen_1", "files") == uuid_of("gen_1", "files") != uuid_of("gen_1", "jobs")
    assert uuid_of(7, "files") == uuid_of("7", "files")
    assert uuid_of(None, "files") is None
    # It never changes: ids of earlier imports are in use.
    assert uuid_of("gen_1a2b3c4d", "generations") == "d3c1c267-b85a-5bc8-ab80-96d7bf33930f"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[(7, 7), (7.0, 7), (" +7 ", 7), ("7.5", None), (7.5, None), ("x", None), (1e300, None)],
        *[("9223372036854775808", None), (b"7", None), (None, None), (float("inf"), None)],
    ],
)
def test_an_integer_has_64_bits(value: Any, expected: int | None) -> None:
    assert integer_of(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[(0.5, 0.5), ("0.5", 0.5), (".5e1", 5.0), (1, 1.0), ("warm", None), ("", None)],
        *[("1e999", None), (float("inf"), None), ("nan", None), (b"1", None), (None, None)],
    ],
)
def test_a_number_is_finite(value: Any, expected: float | None) -> None:
    assert real_of(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1), (0, 0), (2.5, 1), ("t", 1), ("TRUE", 1), ("f", 0), ("0", 0), (None, 0), (b"1", 0)],
)
def test_a_flag_is_0_or_1(value: Any, expected: int) -> None:
    assert flag_of(value) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{broken",
        "NaN",
        '{"a": Infinity}',
        "1e999",
        '"\\ud800"',
        "[" * 600 + "]" * 600,
    ],
)
def test_what_cannot_be_read_back_is_kept_raw(text: str) -> None:
    assert json_of(text) is None
    kept = json_of(raw_json(text))
    assert kept is not None
    assert kept.value == {"raw": text}


def test_json_keeps_its_text() -> None:
    found = json_of('{ "a": 1.0, "b": [null] }')
    assert found is not None
    assert (found.text, found.value) == ('{ "a": 1.0, "b": [null] }', {"a": 1.0, "b": [None]})


def test_bytes_that_are_no_text_are_escaped() -> None:
    assert text_of_value(b"caf\xe9") == "caf\\xe9"
    assert text_of_value("é".encode()) == "é"
    assert json_of(b'{"a": "\xe9"}') is None
