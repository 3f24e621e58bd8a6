"""Runs contenders in turn, refuses those that return something else, and compares run by run.

A machine is never quiet, so times are compared only within one round, in which every contender ran
once: a ratio is the median of the ratios of all rounds.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from bench.data import Stage

OURS = "reelbase"
_WARM_UP = 2


class WrongResultError(Exception):
    """A contender did not do the work; its time says nothing."""


class Contender(msgspec.Struct, frozen=True):
    """run does a row's whole work and returns all that it read or wrote; check says whether that is right.

    Both get the number of the round, which decides what is written in it.
    """

    name: str
    run: Callable[[int], Awaitable[list[Any]]]
    check: Callable[[int, list[Any]], None]


class Target(msgspec.Struct, frozen=True):
    """Compared with peer, we want at least this many times its speed (or at most its time)."""

    peer: str
    speed: float | None = None
    time: float | None = None

    def is_reached(self, speed: float) -> bool:
        return speed >= (self.speed or 0) and (self.time is None or 1 / speed <= self.time)

    def describe(self, speed: float) -> str:
        verdict = "reached" if self.is_reached(speed) else "NOT reached"
        if self.time is not None:
            return f"at most {self.time:g}x the time of {self.peer}: {1 / speed:.2f}x, {verdict}"
        return f"at least {self.speed:g}x the speed of {self.peer}: {speed:.2f}x, {verdict}"


class Row(msgspec.Struct, frozen=True):
    """One question, answered by one table.

    operations: how many a single run of a contender does; times are given for one of them.
    contenders: opens them, each on its own copy of the same file; the library is among them.
    reopens: opens them anew in every round, outside the time. Where the scheduler puts a thread
        decides what a lone hop costs, for as long as the thread lives: one thread is a sample of one.
    """

    name: str
    question: str
    targets: tuple[Target, ...]
    operations: Callable[[Stage], int]
    contenders: Callable[[Stage], AbstractAsyncContextManager[list[Contender]]]
    reopens: bool = False


class Spread(msgspec.Struct, frozen=True):
    """The middle of some measurements, and how far they lie apart."""

    median: float
    least: float
    most: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        return Spread(median(values), min(values), max(values))


class Result(msgspec.Struct, frozen=True):
    """Of one contender: microseconds for one operation, and how many times its speed ours is."""

    microseconds: Spread
    speed_of_ours: Spread


async def measure(row: Row, stage: Stage, rounds: int) -> dict[str, Result]:
    """The results by contender. Raises WrongResultError."""
    seconds: dict[str, list[float]] = {}
    order = random.Random(row.name)
    for rounds_of_these in [1] * rounds if row.reopens else [rounds]:
        async with row.contenders(stage) as contenders:
            for name, values in (await _interleaved(contenders, rounds_of_these, order)).items():
                seconds.setdefault(name, []).extend(values)
    operations = row.operations(stage)
    ours = seconds[OURS]
    return {
        name: Result(
            Spread.of([value / operations * 1e6 for value in values]),
            Spread.of([value / our_value for value, our_value in zip(values, ours, strict=True)]),
        )
        for name, values in seconds.items()
    }


async def _interleaved(
    contenders: list[Contender], rounds: int, order: random.Random
) -> dict[str, list[float]]:
    """In a new order each time: what ran before decides what the scheduler takes the machine for."""
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    gc.collect()
    gc.freeze()
    try:
        for round_number in range(_WARM_UP + rounds):
            for contender in order.sample(contenders, len(contenders)):
                elapsed, results = await _timed(contender, round_number)
                contender.check(round_number, results)
                if round_number >= _WARM_UP:
                    seconds[contender.name].append(elapsed)
    finally:
        gc.unfreeze()
    return seconds


async def _timed(contender: Contender, round_number: int) -> tuple[float, list[Any]]:
    """With the cyclic collector at rest, whose turn would come by chance; it runs in between."""
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        results = await contender.run(round_number)
        return time.perf_counter() - started, results
    finally:
        gc.enable()


def require_equal(name: str, results: list[Any], expected: list[Any]) -> None:
    if len(results) != len(expected):
        raise WrongResultError(f"{name} returned {len(results)} results, not {len(expected)}")
    for number, (result, wanted) in enumerate(zip(results, expected, strict=True)):
        if result != wanted:
            raise WrongResultError(f"{name}: result {number} is {result!r}, not {wanted!r}")
