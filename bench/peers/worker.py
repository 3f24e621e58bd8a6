"""One peer in a process of its own: ``python -m bench.peers.worker PEER LOOP SIZES``.

Reads orders from standard input, a line of JSON each, and answers each with one on standard output.
Between two orders it waits without running, so that it does not disturb those whose turn it is.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from bench.options import new_loops
from bench.peers import load
from bench.peers.data import Data, Sizes
from bench.peers.interface import Durability, Peer
from bench.peers.libraries import peer_named
from bench.peers.load import Load
from bench.peers.trials import TRIALS, Outcome
from bench.peers.work import by_tasks, error_text
from bench.peers.works import WORKS

_WORKS = {work.name: work for work in WORKS}


class Open(msgspec.Struct, tag=True):
    path: str
    durability: Durability


class Run(msgspec.Struct, tag=True):
    work: str
    round_number: int


class Try(msgspec.Struct, tag=True):
    trial: str
    seed: int


class Close(msgspec.Struct, tag=True):
    pass


class Answer(msgspec.Struct, omit_defaults=True):
    """seconds: of the run, of so many results.  started: by time.perf_counter(), which on Linux is the
    same in all processes.  errors: by the number of the operation that failed.

    failure: why the order could not be carried out.
    """

    seconds: float = 0.0
    results: int = 0
    errors: dict[int, str] = {}
    failure: str | None = None
    versions: dict[str, str] = {}
    outcome: Outcome | None = None
    started: float = 0.0


Order = Open | Run | Load | Try | Close


async def _serve(peer: Peer | str, data: Data, orders: BinaryIO, answers: BinaryIO) -> None:
    """peer: a text says why there is none."""
    for line in orders:
        order: Order = msgspec.json.decode(line, type=Order)
        try:
            answer = (
                Answer(failure=peer) if isinstance(peer, str) else await _answer(peer, data, order)
            )
        except Exception as error:
            answer = Answer(failure=error_text(error))
        answers.write(msgspec.json.encode(answer) + b"\n")
        answers.flush()


async def _answer(peer: Peer, data: Data, order: Order) -> Answer:
    if isinstance(order, Open):
        await peer.open(Path(order.path), order.durability)
        return Answer(versions={name: version(name) for name in peer.packages})
    if isinstance(order, Close):
        await peer.close()
        return Answer()
    if isinstance(order, Try):
        return Answer(outcome=await TRIALS[order.trial](peer, data, order.seed))
    if isinstance(order, Load):
        calls = load.calls(peer, data, order)
        started, seconds, results = await _timed(lambda: by_tasks(calls, order.tasks))
        load.check(order, results)
        return Answer(seconds, len(results), _errors(results), started=started)
    work = _WORKS[order.work]
    prepared = work.prepare(data, order.round_number)
    background = None if work.arrange is None else await work.arrange(peer, prepared)
    started, seconds, results = await _timed(lambda: work.run(peer, prepared))
    if background is not None:
        await background
    work.check(data, prepared, results)
    return Answer(seconds, len(results), _errors(results), started=started)


def _errors(results: list[Any]) -> dict[int, str]:
    return {
        number: error_text(result)
        for number, result in enumerate(results)
        if isinstance(result, Exception)
    }


async def _timed(run: Callable[[], Any]) -> tuple[float, float, list[Any]]:
    """When it started, seconds, results. The cyclic collector, whose turn would come by chance, rests."""
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        results = await run()
        return started, time.perf_counter() - started, results
    finally:
        gc.enable()


def main(name: str, loop: str, sizes: str) -> None:
    # What a peer prints must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        peer: Peer | str = peer_named(name)()
    except ImportError as error:
        peer = f"not installed ({error}); it comes with the extra [peers]"
    data = Data(msgspec.json.decode(sizes, type=Sizes))
    with asyncio.Runner(loop_factory=new_loops(loop)[loop]) as runner:
        runner.run(_serve(peer, data, sys.stdin.buffer, answers))
    answers.flush()
    # Peers that hang at the end are another row's business.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
