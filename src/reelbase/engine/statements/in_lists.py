"""Finds ``IN (:ids)``: SQLite takes a list that is bound there as one value, which matches no row."""

from __future__ import annotations

import re
from collections.abc import Iterator

INSTEAD = "a list inside IN (…) is one value there; write IN (SELECT value FROM json_each({}))"

# Strings, quoted names and comments are skipped.
_TOKEN = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\[[^\]]*\]|`[^`]*`|--[^\n]*|/\*.*?\*/"
    r"|(?P<opens>\bIN\s*\()"
    r"|(?P<closes>\)|\bSELECT\b|\()"
    r"|\?(?P<number>\d*)"
    r"|[:@$](?P<name>\w+)",
    re.DOTALL | re.IGNORECASE,
)


def parameters_in_lists(sql: str) -> frozenset[str | int]:
    """The parameters that stand directly inside an ``IN (…)``: names, or places from 1 on."""
    return frozenset(_found(sql))


def _found(sql: str) -> Iterator[str | int]:
    is_inside = False
    place = 0
    for token in _TOKEN.finditer(sql):
        if token["opens"]:
            is_inside = True
        elif token["closes"]:
            is_inside = False
        elif token["name"]:
            if is_inside:
                yield token["name"]
        elif token["number"] is not None:
            place = int(token["number"]) if token["number"] else place + 1
            if is_inside:
                yield place
