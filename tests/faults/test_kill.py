"""A promise about kill -9: nothing acknowledged is lost, and units are all or nothing.

A process forks writers, one after the other on the same file, and kills each at a random moment
while 16 of its tasks write. Each marks on a pipe what it starts, and what returned from its await.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import Figure
from .workload import MUTANTS, Marks, Stored, connect, marking_on, problems, stored_in, write

QUICK_KILLS = 15
FULL_KILLS = 2000
KILLS_PER_FILE = 40
LONGEST_SECONDS = 0.06
_FOREVER = 1 << 62


def child(path: Path, journal: str, descriptor: int, seed: int, split_units: bool) -> None:
    mark = marking_on(descriptor)

    async def main() -> None:
        database = await connect(path, journal)
        mark("s", "connected")
        await write(database, mark, rounds=None, seed=seed, split_units=split_units)

    asyncio.run(main())


def kill_one(path: Path, journal: str, choose: random.Random, seed: int, split_units: bool) -> str:
    """Starts a writer, kills it at a random moment after it has connected; what it marked."""
    receiving, sending = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(receiving)
            child(path, journal, sending, seed, split_units)
        finally:
            os._exit(1)
    os.close(sending)
    # Some die while they connect.
    patience = choose.random() * 0.03 if choose.random() < 0.1 else 10.0
    until = time.monotonic() + patience
    output = b""
    while (left := until - time.monotonic()) > 0:
        if not select.select([receiving], [], [], left)[0]:
            break
        read = os.read(receiving, 1 << 16)
        if not read:
            break
        if not output:
            until = time.monotonic() + choose.random() * LONGEST_SECONDS
        output += read
    os.kill(process, signal.SIGKILL)
    while read := os.read(receiving, 1 << 16):
        output += read
    os.close(receiving)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status), "the writer ended by itself"
    return output[: output.rfind(b"\n") + 1].decode()


def main(folder: Path, journal: str, kills: int, mutant: str) -> None:
    """Kills that many writers; prints counts, and the problems found."""
    split_units = mutant == "split_units"
    if mutant in MUTANTS:
        MUTANTS[mutant]()
    choose = random.Random(1)
    path, marks = folder / "0.db", Marks()
    kills_done = acknowledged = 0
    found: list[str] = []
    while kills_done < kills and not found:
        if kills_done % KILLS_PER_FILE == 0:
            path, marks = folder / f"{kills_done}.db", Marks()
        lines = kill_one(path, journal, choose, kills_done, split_units).splitlines()
        before = len(marks.acknowledged)
        marks.add(line for line in lines if line != "s connected")
        acknowledged += len(marks.acknowledged) - before
        stored = stored_in(path) if path.exists() else Stored(None, {}, {})
        wrong = problems(stored, marks, until=_FOREVER, hard=_FOREVER, hard_progress=_FOREVER)
        found += [f"kill {kills_done}: {problem}" for problem in wrong]
        kills_done += 1
    print(json.dumps({"kills": kills_done, "acknowledged": acknowledged, "found": found[:9]}))


def run(folder: Path, journal: str, kills: int, mutant: str = "") -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", __name__, folder, journal, str(kills), mutant],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=60 + kills,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


@pytest.mark.long
def test_a_killed_process_loses_nothing_acknowledged(
    memory_folder: Path, mode: str, full: bool, figure: Figure
) -> None:
    kills = FULL_KILLS if full else QUICK_KILLS
    result = run(memory_folder, mode, kills)
    assert result["found"] == []
    assert result["kills"] == kills
    assert result["acknowledged"]
    figure(f"kill -9, {mode}: {kills} kills, {result['acknowledged']} acknowledged, 0 lost or torn")


@pytest.mark.long
@pytest.mark.parametrize("mutant", ["acknowledge_early", "commit_units_early", "split_units"])
def test_the_kills_find(mutant: str, memory_folder: Path, journal: str) -> None:
    # How often a kill falls between two steps depends on the machine: the first round mostly finds one.
    assert any(run(memory_folder, journal, 100, mutant)["found"] for _ in range(5))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
