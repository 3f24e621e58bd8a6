"""``python -m bench growth``: what an operation costs as rows, tasks and processes become more; and what the
calls of a gallery and claims do (bench/calls.py)."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import msgspec

from bench import calls
from bench.data import disk
from bench.options import positive
from bench.peers import reporting
from bench.peers.data import QUICK, Data, Sizes, Template
from bench.peers.libraries import PEERS
from bench.peers.load import Kind, Load, forget_added
from bench.peers.running import PeerFailedError, Worker
from bench.peers.worker import Answer

_PEERS = (
    "reelbase",
    "sqlite3",
    "aiosqlite",
    "aiosqlitepool",
    "apsw",
    "SQLAlchemy Core",
    "SQLAlchemy ORM",
)
_ROWS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
_TASKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_PROCESSES = (1, 2, 4, 8)
_TASKS_PER_PROCESS = 8
_FIRST_OPERATIONS = 64
# A run is long beside what keeps one process behind another, and beside a turn of the scheduler.
_RUN_SECONDS = 0.2
_QUICK_RUN_SECONDS = 0.005
_MOST_MORE = 16.0


class Point(msgspec.Struct, frozen=True):
    """operations_per_second: the median of some runs, all processes together, from the first start to
    the last end; of those that succeeded.  failed: how many of all did not."""

    at: int
    operations_per_second: float
    failed: int


# By kind of operation, by peer.
Curves = dict[str, dict[str, list[Point]]]


class Failure(msgspec.Struct, frozen=True):
    """A point that there is not, and why."""

    kind: str
    peer: str
    at: int
    processes: int
    reason: str


class Growth(msgspec.Struct):
    facts: dict[str, str] = {}
    versions: dict[str, str] = {}
    rows: Curves = {}
    tasks: Curves = {}
    processes: Curves = {}
    calls: calls.Durations = {}
    failures: list[Failure] = []


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    sizes = Sizes(downloads=1000) if not options.quick else QUICK
    most_rows = 10_000 if options.quick else options.rows
    growth = Growth(facts=reporting.facts(["asyncio"], sizes.loads))
    try:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder or disk()) as folder:
            most_of_calls = min(most_rows, options.calls)
            growth.calls = asyncio.run(
                calls.measured(Path(folder), [rows for rows in _ROWS if rows <= most_of_calls])
            )
            print("\n" + calls.table(growth.calls) + "\n", flush=True)
            if options.only_calls:
                return 0
            template = Template(Data(sizes), Path(folder))
            asyncio.run(template.create())
            seconds = _QUICK_RUN_SECONDS if options.quick else _RUN_SECONDS
            growing = _Growing(growth, template, options.peer or _PEERS, seconds)
            growing.by_rows([rows for rows in _ROWS if rows <= most_rows])
            growing.by_tasks(_TASKS[:2] if options.quick else _TASKS)
            growing.by_processes(_PROCESSES[:2] if options.quick else _PROCESSES)
    finally:  # what was measured before something went wrong is not lost
        if options.json:
            options.json.write_bytes(msgspec.json.format(msgspec.json.encode(growth)) + b"\n")
    if options.plots:
        from bench.peers.plots import plot  # noqa: PLC0415 - matplotlib is optional

        plot(growth, options.plots)
    return 0


class _Growing:
    def __init__(
        self, growth: Growth, template: Template, peers: Sequence[str], seconds: float
    ) -> None:
        self._growth = growth
        self._template = template
        self._peers = peers
        self._seconds = seconds
        self._known = len(template.data.downloads)
        self._seed = 0

    def by_rows(self, counts: Sequence[int]) -> None:
        """One file that grows; every peer reads and adds a few of its rows."""
        path = self._template.copy()
        kinds: tuple[tuple[Kind, int], ...] = (("get", 1), ("list", 1), ("add", 64))
        present = self._known
        for rows in counts:
            self._template.grow(path, range(present, rows))
            present = max(present, rows)
            for kind, tasks in kinds:
                for peer in self._peers:
                    self._note(self._growth.rows, peer, rows, path, [Load(kind, tasks, 0, rows)])
                    forget_added(self._template.data, path)

    def by_tasks(self, counts: Sequence[int]) -> None:
        kinds: tuple[Kind, ...] = ("get", "add", "progress")
        for kind in kinds:
            for tasks in counts:
                for peer in self._peers:
                    load = Load(kind, tasks, 0, self._known)
                    path = self._template.copy()
                    self._note(self._growth.tasks, peer, tasks, path, [load])

    def by_processes(self, counts: Sequence[int]) -> None:
        kinds: tuple[Kind, ...] = ("get", "add")
        for kind in kinds:
            for processes in counts:
                for peer in self._peers:
                    loads = [Load(kind, _TASKS_PER_PROCESS, 0, self._known)] * processes
                    path = self._template.copy()
                    self._note(self._growth.processes, peer, processes, path, loads)

    def _note(self, curves: Curves, peer: str, at: int, path: Path, loads: list[Load]) -> None:
        """loads: one for each process; how many operations each has is found out."""
        kind = loads[0].kind
        try:
            point = Point(at, *self._measured(peer, path, loads))
        except PeerFailedError as error:
            self._growth.failures.append(Failure(kind, peer, at, len(loads), str(error)))
            print(f"{kind} at {at:,}: {peer} failed: {error}", flush=True)
            return
        curves.setdefault(kind, {}).setdefault(peer, []).append(point)
        failed = f", {point.failed} failed" if point.failed else ""
        rate = f"{point.operations_per_second:,.0f} a second{failed}"
        print(f"{kind} at {at:,}: {peer} {rate}", flush=True)

    def _measured(self, peer: str, path: Path, loads: list[Load]) -> tuple[float, int]:
        """Operations a second and how many failed. PeerFailedError."""
        with _opened(self._template, peer, path, len(loads)) as workers:
            self._growth.versions.update(workers[0].versions)
            rates: list[float] = []
            failed = 0
            operations = max(_FIRST_OPERATIONS, 2 * loads[0].tasks)
            while len(rates) < self._template.data.sizes.loads:
                answers = self._loaded(workers, loads, operations)
                failed += sum(len(answer.errors) for answer in answers)
                succeeded = sum(answer.results - len(answer.errors) for answer in answers)
                seconds = wall_seconds(answers)
                if rates or seconds >= self._seconds / 2:
                    rates.append(succeeded / seconds)
                else:
                    operations = int(operations * min(_MOST_MORE, max(2, self._seconds / seconds)))
            return median(rates), failed

    def _loaded(
        self, workers: Sequence[Worker], loads: Sequence[Load], operations: int
    ) -> list[Answer]:
        for worker, load in zip(workers, loads, strict=True):
            worker.begin_load(msgspec.structs.replace(load, operations=operations, seed=self._seed))
            self._seed += operations
        return [worker.loaded() for worker in workers]


def wall_seconds(answers: Sequence[Answer]) -> float:
    """From the first start to the last end, by a clock that all processes share."""
    ended = max(answer.started + answer.seconds for answer in answers)
    return ended - min(answer.started for answer in answers)


@contextmanager
def _opened(template: Template, peer: str, path: Path, count: int) -> Iterator[list[Worker]]:
    workers = [Worker(peer, "asyncio", template.data.sizes) for _ in range(count)]
    try:
        for worker in workers:
            worker.open(path, "normal")
        yield workers
        for worker in workers:
            worker.close()
    finally:
        for worker in workers:
            worker.end()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench growth", description=__doc__)
    parser.add_argument(
        "--peer", action="append", choices=PEERS, help=f"default {', '.join(_PEERS)}"
    )
    parser.add_argument("--rows", type=positive, default=_ROWS[-1], help="how far the table grows")
    parser.add_argument(
        "--calls", type=positive, default=1_000_000, help="how far files and jobs grow"
    )
    parser.add_argument("--only-calls", action="store_true", help="not the other curves")
    parser.add_argument("--quick", action="store_true", help="does it work at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes all figures there")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="writes rows.png, … there")
    parser.add_argument("--folder", type=Path, help="where the databases are made, on a disk")
    return parser


if __name__ == "__main__":
    sys.exit(main())
