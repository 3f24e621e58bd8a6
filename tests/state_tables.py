"""The tables of states in the docstrings of repositories: what each verb makes of each state."""

from __future__ import annotations

from types import ModuleType

REFUSED = "-"


def cells(module: ModuleType) -> list[tuple[str, str, str]]:
    """(state, verb, becomes) of every cell, table after table.

    A table begins with a line of the word "state" and the verbs, and ends before an empty line.
    """
    found: list[tuple[str, str, str]] = []
    verbs: list[str] = []
    for line in (module.__doc__ or "").splitlines():
        first, *words = line.split() or [""]
        if first == "state":
            verbs = words
        elif not first:
            verbs = []
        elif verbs:
            found += [(first, verb, word) for verb, word in zip(verbs, words, strict=True)]
    return found
