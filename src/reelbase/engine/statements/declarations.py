"""What repositories declare about their tables, for the parts of the engine that know no repository."""

from __future__ import annotations

from typing import NamedTuple

from reelbase.engine.statements.statement import Command


class Entity(NamedTuple):
    """What errors call a row of a table. remedy: how a missing one is made, with {key}; '' for none."""

    name: str
    remedy: str


# By table.
entities: dict[str, Entity] = {}

# By table that is made from other tables: the statements that make it, the last of which fills an empty
# one.
derivations: dict[str, tuple[Command[object], ...]] = {}
