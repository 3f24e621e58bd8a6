"""What goes wrong, and how long a write takes, beside somebody else: in the peer's own process.

Each trial gives figures by name; ``faults`` and ``latency`` say what they mean.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from bench.peers.data import Data, session
from bench.peers.interface import NewDownload, Peer
from bench.peers.work import by_tasks, error_text

GROWING_TASKS = 8
GROWTHS = 200
CANCELLED_UNITS = 400
_USES_IN_TURN = 10
_USES_AT_ONCE = 20
USES = _USES_IN_TURN + _USES_AT_ONCE
PACE_SECONDS = 0.01
_CANCELLING_TASKS = 8
_WARM_UPS = 10  # of each task
# A unit ends within its own usual time or is cancelled; some shall have ended.
CANCELLED_WITHIN_UNITS = 1.2
_CANCEL_SECONDS = 30.0
_USABLE_WITHIN_SECONDS = 10.0


class Outcome(msgspec.Struct, omit_defaults=True):
    """succeeded: operations without an error.  errors: how often each message came.

    milliseconds: of each operation that succeeded, where that is asked for.
    cancelled: units that ended as cancelled.  kept: the numbers of those that ended without an error
    nevertheless.  unit_ms: what one takes that is not cancelled.  unusable: of the uses afterwards,
    by number, why each failed.
    """

    succeeded: int = 0
    errors: dict[str, int] = {}
    milliseconds: list[float] = []
    cancelled: int = 0
    kept: list[int] = []
    unit_ms: float = 0.0
    unusable: dict[int, str] = {}


Trial = Callable[[Peer, Data, int], Awaitable[Outcome]]


def _counted(results: Iterable[Any]) -> dict[str, int]:
    return dict(Counter(error_text(each) for each in results if isinstance(each, Exception)))


async def grow(peer: Peer, data: Data, _: int) -> Outcome:
    """Tasks that add one to the same number. Other processes do the same meanwhile."""
    download = data.downloads[0]
    results = await by_tasks([partial(peer.grow, download.id)] * GROWTHS, GROWING_TASKS)
    errors = _counted(results)
    return Outcome(GROWTHS - sum(errors.values()), errors)


async def cancel(peer: Peer, data: Data, seed: int) -> Outcome:
    """Tasks that set the two downloads of a pair to the same size in a unit, cancelled at any moment.

    Each unit has a pair of its own. Units that are left alone come first: they open the connections,
    and tell how long a unit takes.
    """
    outcome = Outcome()
    errors: list[Exception] = []
    outcome.unit_ms = await _warm_up(peer, data, errors) * 1000
    rng = random.Random(seed)

    async def work(task: int) -> None:
        for number in range(task, CANCELLED_UNITS, _CANCELLING_TASKS):
            unit = asyncio.ensure_future(peer.set_both(*pair_of(data, number), size_of(number)))
            await asyncio.sleep(rng.random() * outcome.unit_ms / 1000 * CANCELLED_WITHIN_UNITS)
            unit.cancel()
            try:
                await unit
                outcome.kept.append(number)
            except asyncio.CancelledError:
                outcome.cancelled += 1
            except Exception as error:
                errors.append(error)

    _, stuck = await asyncio.wait(
        [asyncio.ensure_future(work(task)) for task in range(_CANCELLING_TASKS)],
        timeout=_CANCEL_SECONDS,
    )
    outcome.succeeded = len(outcome.kept)
    outcome.errors = _counted(errors)
    if stuck:
        outcome.errors[f"a cancelled unit did not end within {_CANCEL_SECONDS:g} s"] = len(stuck)
    outcome.unusable = await _use(peer, data, seed)
    return outcome


async def _warm_up(peer: Peer, data: Data, errors: list[Exception]) -> float:
    """Seconds of a unit with so many tasks at it."""

    async def work(task: int) -> None:
        for _ in range(_WARM_UPS):
            try:
                await peer.set_both(*pair_of(data, CANCELLED_UNITS + task), 1)
            except Exception as error:
                errors.append(error)

    started = time.perf_counter()
    await asyncio.gather(*(work(task) for task in range(_CANCELLING_TASKS)))
    return (time.perf_counter() - started) / _WARM_UPS


async def _use(peer: Peer, data: Data, seed: int) -> dict[int, str]:
    """In turn, while a connection that nobody takes may hold a lock, and at once, so that each is taken."""
    unusable: dict[int, str] = {}

    async def use(number: int, new: NewDownload, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                await peer.get(data.downloads[0].id)
                await peer.add(new)
        except TimeoutError:
            unusable[number] = f"no answer within {_USABLE_WITHIN_SECONDS:g} s"
        except (Exception, asyncio.CancelledError) as error:
            unusable[number] = error_text(error)

    now = asyncio.get_running_loop().time
    numbered = list(enumerate(uses(data, seed)))
    until = now() + _USABLE_WITHIN_SECONDS
    for number, new in numbered[:_USES_IN_TURN]:
        await use(number, new, until)
    until = now() + _USABLE_WITHIN_SECONDS
    await asyncio.gather(*(use(number, new, until) for number, new in numbered[_USES_IN_TURN:]))
    return unusable


def uses(data: Data, seed: int) -> list[NewDownload]:
    """What is added when it is tried whether the peer can still be used."""
    return data.new_downloads(1_000_000 + seed * USES, USES, session(0))


async def write_at_pace(peer: Peer, data: Data, seed: int) -> Outcome:
    """A write falls due every few milliseconds, whatever has become of those before it; how long after
    that moment it was done."""
    count = data.sizes.latencies
    outcome = Outcome()
    errors: list[Exception] = []
    begun = time.perf_counter()

    async def write(due: float, new: NewDownload) -> None:
        try:
            await peer.add(new)
            outcome.milliseconds.append((time.perf_counter() - due) * 1000)
        except Exception as error:
            errors.append(error)

    writes = []
    for number, new in enumerate(data.new_downloads(2_000_000 + seed * count, count, session(0))):
        due = begun + number * PACE_SECONDS
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        writes.append(asyncio.ensure_future(write(due, new)))
    await asyncio.gather(*writes)
    outcome.succeeded = len(outcome.milliseconds)
    outcome.errors = _counted(errors)
    return outcome


def pair_of(data: Data, number: int) -> tuple[UUID, UUID]:
    return data.downloads[-1 - 2 * number].id, data.downloads[-2 - 2 * number].id


def size_of(number: int) -> int:
    """What the number-th unit sets its pair to."""
    return 1_000_000 + number


TRIALS: dict[str, Trial] = {"grow": grow, "cancel": cancel, "write-at-pace": write_at_pace}
