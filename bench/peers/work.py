"""What a kind of work is: what every peer does while the clock runs, and how its results are checked.

A check compares what came back, in the peer's own process; ``lost`` looks from another process at what
is in the file afterwards.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

from bench.measuring import WrongResultError
from bench.peers.data import Data, moment_text
from bench.peers.interface import Durability, Peer

TASKS = 64

Prepared = Any


class Work(msgspec.Struct, frozen=True):
    """One kind of work. Results are checked and counted after the clock has stopped.

    target: how many times the speed of the best peer the library is to have.
    prepare: what a round works on, the same in every process.  arrange: makes ready for it; what it
    gives, if anything, is awaited when the clock has stopped.
    run: the results of all operations, in order; of one that failed, its exception. It may also raise:
    then the peer has no figures.
    check: raises WrongResultError.  lost: how many operations that succeeded have left nothing in the
    file and were not overwritten by a later one; it gets the numbers of those that failed.
    """

    name: str
    question: str
    operations: Callable[[Data], int]
    prepare: Callable[[Data, int], Prepared]
    run: Callable[[Peer, Prepared], Awaitable[list[Any]]]
    check: Callable[[Data, Prepared, list[Any]], None]
    target: float | None = None
    durability: Durability = "normal"
    arrange: Callable[[Peer, Prepared], Awaitable[Awaitable[Any] | None]] | None = None
    lost: Callable[[sqlite3.Connection, Data, Prepared, set[int]], int] | None = None


async def by_tasks(calls: Sequence[Callable[[], Awaitable[Any]]], tasks: int) -> list[Any]:
    """The results of calls that so many tasks make, each one after the other; exceptions as results."""
    results: list[Any] = [None] * len(calls)

    async def run(first: int) -> None:
        for index in range(first, len(calls), tasks):
            try:
                results[index] = await calls[index]()
            except Exception as error:
                results[index] = error

    await asyncio.gather(*(run(task) for task in range(tasks)))
    return results


def error_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def plain(record: Any, names: Sequence[str]) -> tuple[Any, ...]:
    """A record, model or row of whatever kind, in the types of the file."""
    if isinstance(record, Mapping | sqlite3.Row):
        return tuple(_plain(record[name]) for name in names)
    if isinstance(record, tuple) and not hasattr(record, "_fields"):
        return tuple(map(_plain, record))
    return tuple(_plain(getattr(record, name)) for name in names)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID):
        return str(value)
    return moment_text(value) if isinstance(value, datetime) else value


def require(row_type: type[msgspec.Struct], results: Sequence[Any], wanted: Sequence[Any]) -> None:
    """These records, in this order, in full."""
    names = row_type.__struct_fields__
    if len(results) != len(wanted):
        raise WrongResultError(f"{len(results)} results, not {len(wanted)}")
    for number, (result, record) in enumerate(zip(results, wanted, strict=True)):
        if plain(result, names) != plain(record, names):
            raise WrongResultError(
                f"result {number} is {plain(result, names)}, not {plain(record, names)}"
            )


def nothing_to_check(_: Data, prepared: Prepared, results: list[Any]) -> None:
    """For a work whose file shows what was done."""
