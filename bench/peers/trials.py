"""What goes wrong, and how long a write takes, beside somebody else: in the peer's own process.

Each trial gives figures by name; ``faults`` and ``latency`` say what they mean.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec

from bench.peers.data import Data, session
from bench.peers.interface import Peer
from bench.peers.work import by_tasks

GROWING_TASKS = 8
GROWTHS = 200
PAIRS = 8
_CANCELLED_UNITS = 400
_USABLE_WITHIN_SECONDS = 10.0
_PACE_SECONDS = 0.004


class Outcome(msgspec.Struct, omit_defaults=True):
    """succeeded: operations without an error.  errors: how often each message came.

    milliseconds: of each operation, where that is asked for.  is_usable: whether a read and a write
    still work afterwards.
    """

    succeeded: int = 0
    errors: dict[str, int] = {}
    milliseconds: list[float] = []
    is_usable: bool = True


Trial = Callable[[Peer, Data, int], Awaitable[Outcome]]


def _counted(results: list[Any]) -> Outcome:
    errors: dict[str, int] = {}
    for result in results:
        if isinstance(result, Exception):
            message = f"{type(result).__name__}: {result}"[:200]
            errors[message] = errors.get(message, 0) + 1
    return Outcome(len(results) - sum(errors.values()), errors)


async def grow(peer: Peer, data: Data, _: int) -> Outcome:
    """Tasks that add one to the same number. Other processes do the same meanwhile."""
    download = data.downloads[0]
    return _counted(await by_tasks([partial(peer.grow, download.id)] * GROWTHS, GROWING_TASKS))


async def cancel(peer: Peer, data: Data, seed: int) -> Outcome:
    """Tasks that set the two downloads of a pair to the same size in a unit, cancelled at any moment."""
    rng = random.Random(seed)
    results: list[Any] = []

    async def work(pair: int) -> None:
        first, second = pair_of(data, pair)
        for number in range(_CANCELLED_UNITS // PAIRS):
            unit = asyncio.ensure_future(peer.set_both(first, second, number + 1))
            await asyncio.sleep(rng.random() * 0.004)
            unit.cancel()
            try:
                await unit
                results.append(None)
            except asyncio.CancelledError:
                pass
            except Exception as error:
                results.append(error)

    await asyncio.wait(
        [asyncio.ensure_future(work(pair)) for pair in range(PAIRS)],
        timeout=_USABLE_WITHIN_SECONDS * 3,
    )
    outcome = _counted(results)
    outcome.is_usable = await _is_usable(peer, data, seed)
    return outcome


async def _is_usable(peer: Peer, data: Data, seed: int) -> bool:
    (new,) = data.new_downloads(1_000_000 + seed, 1, session(0))
    try:
        async with asyncio.timeout(_USABLE_WITHIN_SECONDS):
            await peer.get(data.downloads[0].id)
            await peer.add(new)
    except Exception:
        return False
    return True


async def write_at_pace(peer: Peer, data: Data, seed: int) -> Outcome:
    """One write every few milliseconds; how long each took."""
    outcome = Outcome()
    count = data.sizes.latencies
    for new in data.new_downloads(2_000_000 + seed * count, count, session(0)):
        started = time.perf_counter()
        try:
            await peer.add(new)
            outcome.succeeded += 1
        except Exception as error:
            message = f"{type(error).__name__}: {error}"[:200]
            outcome.errors[message] = outcome.errors.get(message, 0) + 1
        outcome.milliseconds.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(_PACE_SECONDS)
    return outcome


def pair_of(data: Data, number: int) -> tuple[Any, Any]:
    return data.downloads[-1 - 2 * number].id, data.downloads[-2 - 2 * number].id


TRIALS: dict[str, Trial] = {"grow": grow, "cancel": cancel, "write-at-pace": write_at_pace}
