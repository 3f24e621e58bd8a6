"""``python -m bench growth``: what an operation costs as rows, tasks and processes become more."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import msgspec

from bench.data import disk
from bench.peers import reporting
from bench.peers.data import QUICK, Data, Sizes, Template
from bench.peers.libraries import PEERS
from bench.peers.load import Kind, Load
from bench.peers.running import PeerFailedError, Worker

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
_seeds = itertools.count()


class Point(msgspec.Struct, frozen=True):
    """operations_per_second: the median of some rounds, all processes together; of those that
    succeeded.  failed: how many of all did not."""

    at: int
    operations_per_second: float
    failed: int


# By kind of operation, by peer.
Curves = dict[str, dict[str, list[Point]]]


class Growth(msgspec.Struct):
    facts: dict[str, str] = {}
    rows: Curves = {}
    tasks: Curves = {}
    processes: Curves = {}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    peers: Sequence[str] = options.peer or _PEERS
    sizes = Sizes(downloads=1000) if not options.quick else QUICK
    most_rows = 10_000 if options.quick else options.rows
    growth = Growth(facts=reporting.facts(["asyncio"], sizes.loads))
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder or disk()) as folder:
        template = Template(Data(sizes), Path(folder))
        asyncio.run(template.create())
        growth.rows = _by_rows(template, peers, [rows for rows in _ROWS if rows <= most_rows])
        growth.tasks = _by_tasks(template, peers, _TASKS[:2] if options.quick else _TASKS)
        growth.processes = _by_processes(
            template, peers, _PROCESSES[:2] if options.quick else _PROCESSES
        )
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(growth)) + b"\n")
    if options.plots:
        from bench.peers.plots import plot  # noqa: PLC0415 - matplotlib is optional

        plot(growth, options.plots)
    return 0


def _by_rows(template: Template, peers: Sequence[str], counts: Sequence[int]) -> Curves:
    """One file that grows; every peer reads and adds a few of its rows."""
    curves: Curves = {}
    path = template.copy()
    kinds: tuple[tuple[Kind, int], ...] = (("get", 1), ("list", 1), ("add", 64))
    present = len(template.data.downloads)
    for rows in counts:
        template.grow(path, range(present, rows))
        present = max(present, rows)
        for kind, tasks in kinds:
            for peer in peers:
                load = Load(
                    kind, tasks, template.data.sizes.load // (8 if kind == "list" else 1), rows
                )
                _note(curves, kind, peer, rows, _measure(template, peer, path, [load]))
    return curves


def _by_tasks(template: Template, peers: Sequence[str], counts: Sequence[int]) -> Curves:
    curves: Curves = {}
    kinds: tuple[Kind, ...] = ("get", "add", "progress")
    for kind in kinds:
        for tasks in counts:
            for peer in peers:
                load = Load(kind, tasks, template.data.sizes.load, len(template.data.downloads))
                _note(curves, kind, peer, tasks, _measure(template, peer, template.copy(), [load]))
    return curves


def _by_processes(template: Template, peers: Sequence[str], counts: Sequence[int]) -> Curves:
    curves: Curves = {}
    kinds: tuple[Kind, ...] = ("get", "add")
    for kind in kinds:
        for processes in counts:
            for peer in peers:
                rows = len(template.data.downloads)
                loads = [Load(kind, _TASKS_PER_PROCESS, template.data.sizes.load, rows)] * processes
                result = _measure(template, peer, template.copy(), loads)
                _note(curves, kind, peer, processes, result)
    return curves


def _note(curves: Curves, kind: str, peer: str, at: int, result: tuple[float, int] | None) -> None:
    if result is None:
        return
    point = Point(at, *result)
    curves.setdefault(kind, {}).setdefault(peer, []).append(point)
    failed = f", {point.failed} failed" if point.failed else ""
    print(
        f"{kind} at {at:,}: {peer} {point.operations_per_second:,.0f} a second{failed}", flush=True
    )


def _measure(
    template: Template, peer: str, path: Path, loads: Sequence[Load]
) -> tuple[float, int] | None:
    """Operations a second and how many failed; None, with the reason printed, when the peer cannot."""
    try:
        with _opened(template, peer, path, len(loads)) as workers:
            rates, failed = [], 0
            for _ in range(template.data.sizes.loads):
                for worker, load in zip(workers, loads, strict=True):
                    worker.begin_load(msgspec.structs.replace(load, seed=next(_seeds)))
                answers = [worker.loaded() for worker in workers]
                failed += sum(len(answer.errors) for answer in answers)
                succeeded = sum(answer.results - len(answer.errors) for answer in answers)
                rates.append(succeeded / max(answer.seconds for answer in answers))
            return median(rates), failed
    except PeerFailedError as error:
        print(f"{peer}: {error}", flush=True)
        return None


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
    parser.add_argument("--rows", type=int, default=_ROWS[-1], help="how far the table grows")
    parser.add_argument("--quick", action="store_true", help="does it work at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes all figures there")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="writes rows.png, … there")
    parser.add_argument("--folder", type=Path, help="where the databases are made, on a disk")
    return parser


if __name__ == "__main__":
    sys.exit(main())
