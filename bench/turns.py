"""How long a unit of work waits beside processes that write all the time, with and without turns.

``python -m bench.turns busy|unit FILE JOURNAL TURNS [SECONDS]`` is one of the processes; it prints JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import msgspec

import reelbase
from bench.data import Stage
from bench.measuring import WrongResultError
from reelbase.engine.file.open_files import OpenFile

TURNS = "turns"
TURNS_QUESTION = "A unit of work every 10 ms beside processes of 8 tasks that write all the time"
P99_LIMIT_MS = 25.0
WORST_LIMIT_MS = 150.0

_TASKS = 8
_PAUSE_SECONDS = 0.01

Journal = Literal["wal", "delete"]


class Waits(msgspec.Struct, frozen=True):
    """Of the units of one process, beside that many busy ones; a wait that ended in an error counts.

    writes_per_second: of all the busy processes together.
    """

    journal: Journal
    busy: int
    takes_turns: bool
    units: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    writes_per_second: float

    @property
    def is_within_limits(self) -> bool:
        return self.p99_ms <= P99_LIMIT_MS and self.worst_ms <= WORST_LIMIT_MS


def measure_turns(stage: Stage) -> list[Waits]:
    """For each journal, each number of busy processes, and with and without turns."""
    journals: tuple[Journal, ...] = ("wal", "delete")
    kinds = itertools.product(journals, (1, 7), (True, False))
    return [_measured(stage, journal, busy, turns) for journal, busy, turns in kinds]


def _measured(stage: Stage, journal: Journal, busy: int, takes_turns: bool) -> Waits:
    path = stage.copy()
    asyncio.run(_convert(path, journal))
    turns = "yes" if takes_turns else "no"
    writers = [_process("busy", str(path), journal, turns) for _ in range(busy)]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()  # it has begun
    seconds = str(stage.sizes.turn_seconds)
    waits = sorted(_answer(_process("unit", str(path), journal, turns, seconds), list[float]))
    rates = [_answer(writer, float) for writer in writers]
    if not waits or 0.0 in rates:
        raise WrongResultError(f"{TURNS}: a process has written nothing")
    return Waits(
        journal,
        busy,
        takes_turns,
        units=len(waits),
        p50_ms=_quantile_ms(waits, 0.5),
        p99_ms=_quantile_ms(waits, 0.99),
        worst_ms=_quantile_ms(waits, 1.0),
        writes_per_second=sum(rates),
    )


def _quantile_ms(waits: list[float], share: float) -> float:
    return 1000 * waits[min(len(waits) - 1, int(share * len(waits)))]


async def _convert(path: Path, journal: Journal) -> None:
    async with reelbase.connect(path, journal=journal):
        pass


def _process(kind: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.turns", kind, *arguments],
        cwd=Path(__file__).resolve().parents[1],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _answer(process: subprocess.Popen[bytes], answer: Any) -> Any:
    output, _ = process.communicate()  # closes its standard input, which ends a busy one
    if process.returncode != 0:
        raise WrongResultError(f"{TURNS}: a process ended with exit code {process.returncode}")
    return msgspec.json.decode(output, type=answer)


async def _write_all_the_time(path: str, journal: Journal) -> float:
    """The writes per second of 8 tasks, until standard input ends."""
    loop, writes = asyncio.get_running_loop(), 0
    ended = loop.run_in_executor(None, sys.stdin.read)

    async def write(database: reelbase.Database, key: str) -> None:
        nonlocal writes
        while not ended.done():
            try:
                await database.config.set(key, writes)
            except reelbase.DatabaseBusyError:
                continue
            writes += 1

    async with reelbase.connect(path, journal=journal) as database:
        print(flush=True)
        started = time.monotonic()
        keys = [f"{os.getpid()}, {task}" for task in range(_TASKS)]
        await asyncio.gather(*(write(database, key) for key in keys))
        return writes / (time.monotonic() - started)


async def _open_units(path: str, journal: Journal, seconds: float) -> list[float]:
    """The seconds that each unit waited until it held the writer lock."""
    waits: list[float] = []
    async with reelbase.connect(path, journal=journal) as database:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = started = time.perf_counter()
            try:
                async with database.transaction() as unit:
                    began = time.perf_counter()
                    await unit.config.set("unit", len(waits))
            except reelbase.DatabaseBusyError:
                began = time.perf_counter()
            waits.append(began - started)
            await asyncio.sleep(_PAUSE_SECONDS)
    return waits


def _main(kind: str, path: str, journal: Journal, turns: str, seconds: str = "0") -> None:
    if turns == "no":
        setattr(OpenFile, "take_turns", _take_none)  # noqa: B010 - for this process alone
    result: Any = asyncio.run(
        _write_all_the_time(path, journal)
        if kind == "busy"
        else _open_units(path, journal, float(seconds))
    )
    sys.stdout.buffer.write(msgspec.json.encode(result))


def _take_none(file: OpenFile) -> None:
    """In the place of take_turns(): SQLite's own handler waits."""


if __name__ == "__main__":
    _main(*sys.argv[1:])  # type: ignore[arg-type]
