"""Declarations of the repositories about their tables, for engine modules that know no repository."""

from __future__ import annotations

from typing import NamedTuple

from reelbase.engine.statements.statement import Command


class Entity(NamedTuple):
    """The name of a table's rows in errors. remedy: how to make a missing one, with {key}; '' for none."""

    name: str
    remedy: str


# By table.
entities: dict[str, Entity] = {}

# By the name of a derived table: the statements that rebuild it, of which the last one fills it when empty.
derivations: dict[str, tuple[Command[object], ...]] = {}
