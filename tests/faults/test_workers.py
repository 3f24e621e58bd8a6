"""A promise about killed workers: no job is lost, no finished step is done twice, no two work on one job.

A process forks three workers on one file, and kills one after the other at a random moment, with
SIGKILL or with SIGTERM; the next takes its place. The handlers say on a file that they append to
what they begin, and the parent says there who has died: so the file has an order.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import JobRun, UnitOfWork
from reelbase.workers.runs import Attempt

from .conftest import Figure

QUICK_KILLS = 12
FULL_KILLS = 1000
JOBS_PER_KILL = 8  # so many that no worker is idle when it is killed
KILLS_PER_FILE = 40
WORKERS = 3
CONCURRENCY = 4
# A worker renews after each third of it, so on a busy machine it may be held up for the other two.
LEASE_SECONDS = 4.0
LONG_SECONDS = 5.5  # a handler that outlives its first lease
JOBS_PER_LONG = 20
LONGEST_SECONDS = 0.25  # until a worker is killed

_EFFECTS = "CREATE TABLE effects (job_id TEXT NOT NULL, attempt INTEGER NOT NULL) STRICT"


async def connect(path: Path, journal: str) -> reelbase.Database:
    return await reelbase.connect(path, journal="wal" if journal == "wal" else "delete")


async def work(path: Path, journal: str, say: Callable[[str], None]) -> None:
    """A worker. Each job has two steps: one writes, the other takes its time, sometimes beyond a lease."""
    database = await connect(path, journal)

    async def store(unit: UnitOfWork, run: JobRun) -> int:
        await unit.execute("INSERT INTO effects VALUES (?, ?)", [run.job.id, run.attempt])
        return run.attempt

    async def handler(run: JobRun) -> dict[str, Any]:
        say(f"begin {run.job.id} {run.attempt} {os.getpid()}")
        is_long = run.job.params["n"] % JOBS_PER_LONG == 0
        try:
            stored = await run.step("store", store, run)
            await asyncio.sleep(LONG_SECONDS if is_long else random.random() * 0.2)
        except asyncio.CancelledError:
            say(f"stop {run.job.id} {run.attempt} {os.getpid()}")
            raise
        say(f"end {run.job.id} {run.attempt} {os.getpid()}")
        return {"attempt": run.attempt, "stored": stored}

    await database.work({"t": handler}, concurrency=CONCURRENCY, grace=0.05, lease=LEASE_SECONDS)
    await database.close()


def start(path: Path, journal: str, record: Path) -> int:
    """Forks a worker; its process id."""
    process = os.fork()
    if process:
        return process
    try:
        descriptor = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        asyncio.run(work(path, journal, lambda line: _say(descriptor, line)))
    finally:
        os._exit(0)


def _say(descriptor: int, line: str) -> None:
    os.write(descriptor, f"{line}\n".encode())


def kill_workers(folder: Path, journal: str, kills: int, choose: random.Random) -> list[str]:
    """Has jobs done while workers are killed; what is wrong then."""
    path, record = folder / "media.db", folder / "record"
    count = kills * JOBS_PER_KILL

    async def fill() -> None:
        database = await connect(path, journal)
        await database.execute(_EFFECTS)
        await database.profiles.ensure("ann")
        for n in range(count):
            await database.jobs.add("ann", "t", {"n": n}, max_attempts=10**6)
        await database.close()

    asyncio.run(fill())
    said = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    workers = [start(path, journal, record) for _ in range(WORKERS)]
    for _ in range(kills):
        place = choose.randrange(WORKERS)
        wait_for_begin(record, workers[place])
        time.sleep(choose.random() * LONGEST_SECONDS)
        is_polite = choose.random() < 0.2
        _end(workers[place], signal.SIGTERM if is_polite else signal.SIGKILL, said)
        workers[place] = start(path, journal, record)
    until = time.monotonic() + 20 + kills
    while unfinished(path) and time.monotonic() < until:
        time.sleep(0.05)
    for process in workers:
        _end(process, signal.SIGKILL, said)
    os.close(said)
    return problems(path, record.read_text().splitlines(), count)


def wait_for_begin(record: Path, process: int) -> None:
    """Returns once the worker has begun a job, or after a while if there is none for it."""
    until = time.monotonic() + 3
    while time.monotonic() < until:
        lines = record.read_text().splitlines() if record.exists() else []
        if any(line.startswith("begin") and line.endswith(f" {process}") for line in lines):
            return
        time.sleep(0.01)


def _end(process: int, number: signal.Signals, said: int) -> None:
    os.kill(process, number)
    os.waitpid(process, 0)
    _say(said, f"dead {process}")


def unfinished(path: Path) -> int:
    connection = sqlite3.connect(path, timeout=10)
    try:
        (count,) = connection.execute(
            "SELECT count(*) FROM jobs WHERE status IN ('queued', 'running')"
        ).fetchone()
        return int(count)
    finally:
        connection.close()


def problems(path: Path, lines: list[str], count: int) -> list[str]:
    connection = sqlite3.connect(path)
    jobs = connection.execute("SELECT id, status, attempts, result FROM jobs").fetchall()
    effects = connection.execute("SELECT job_id, attempt FROM effects").fetchall()
    steps = connection.execute("SELECT job_id, attempt FROM job_steps").fetchall()
    damage = connection.execute("PRAGMA integrity_check").fetchall()
    connection.close()
    found = [] if damage == [("ok",)] else [f"damage: {damage}"]
    if len(jobs) != count:
        found.append(f"{len(jobs)} of {count} jobs")
    finished = {(job, int(n)) for job, n in (line.split()[1:3] for line in lines if line[0] == "e")}
    for job, status, attempts, result in jobs:
        if status != "succeeded":
            found.append(f"job {job} is {status}")
        elif json.loads(result)["attempt"] != attempts:
            found.append(f"job {job} has the result of an earlier attempt")
        elif (job, attempts) not in finished:
            found.append(f"job {job} has succeeded, and its handler has not")
    if sorted(effects) != sorted(steps) or len(steps) != count:
        found.append(f"{count} jobs, {len(steps)} steps finished, {len(effects)} times written")
    return found + together(lines)


def together(lines: list[str]) -> list[str]:
    """Jobs that a worker began while another, which had not died, was still at them."""
    found, busy = [], dict[str, str]()
    for line in lines:
        kind, *rest = line.split()
        if kind == "begin":
            job, _, process = rest
            if job in busy:
                found.append(f"{process} began job {job} while {busy[job]} was at it")
            busy[job] = process
        elif kind in ("end", "stop"):
            busy.pop(rest[0], None)
        else:
            busy = {job: process for job, process in busy.items() if process != rest[0]}
    return found


# Workers that are broken on purpose.


def acknowledge_early() -> None:
    """A job is ended as succeeded when its handler begins."""
    begin = Attempt.start

    def start(self: Attempt, handler: Any, timeout: float | None) -> None:
        async def wrong() -> dict[str, Any] | None:
            jobs = self.database.jobs
            await jobs.succeed(self.job.id, {"attempt": self.job.attempts}, worker=self.worker)
            result: dict[str, Any] | None = await handler
            return result

        begin(self, wrong(), timeout)

    Attempt.start = start  # type: ignore[method-assign]


def renew_nothing() -> None:
    """A handler that takes longer than its lease goes on without it."""

    async def renew(
        self: Attempt, progress: float | None = None, completed: int | None = None
    ) -> None:
        pass

    Attempt.renew = renew  # type: ignore[method-assign]


def store_steps_apart() -> None:
    """The end of a step is stored in another transaction than its writes."""

    async def wrong(self: JobRun, name: str, function: Any, args: tuple[Any, ...]) -> Any:
        database = self.database
        found = await database.jobs.find_step(self.job.id, name)
        if found is not None:
            return found.result
        async with database.transaction() as unit:
            result = await function(unit, *args)
        await asyncio.sleep(0.2)
        return (await self._finish(database.jobs, name, result)).result

    JobRun._step = wrong  # type: ignore[method-assign]


MUTANTS = {
    function.__name__: function
    for function in (acknowledge_early, renew_nothing, store_steps_apart)
}


def main(folder: Path, journal: str, kills: int, mutant: str) -> None:
    """Kills that many workers; prints counts, and the problems found."""
    if mutant:
        MUTANTS[mutant]()
    choose, done = random.Random(1), 0
    found: list[str] = []
    while done < kills and not found:
        part = min(KILLS_PER_FILE, kills - done)
        place = folder / str(done)
        place.mkdir()
        found = kill_workers(place, journal, part, choose)
        done += part
    print(json.dumps({"kills": done, "jobs": done * JOBS_PER_KILL, "found": found[:9]}))


def run(folder: Path, journal: str, kills: int, mutant: str = "") -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", __name__, folder, journal, str(kills), mutant],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=180 + 3 * kills,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.long
def test_killed_workers_lose_no_job_and_do_no_finished_step_twice(
    memory_folder: Path, mode: str, full: bool, figure: Figure
) -> None:
    kills = FULL_KILLS if full else QUICK_KILLS
    result = run(memory_folder, mode, kills)
    assert result["found"] == []
    assert result["kills"] == kills
    figure(
        f"kills of workers, {mode}: {kills} kills, {result['jobs']} jobs, 0 lost or done together"
    )


@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_kills_of_workers_find(mutant: str, memory_folder: Path, journal: str) -> None:
    assert run(memory_folder, journal, QUICK_KILLS, mutant)["found"] != []


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
