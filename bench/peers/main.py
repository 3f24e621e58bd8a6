"""``python -m bench peers``: one table per kind of work, and one of what went wrong."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from bench.data import disk
from bench.options import new_loops, positive
from bench.peers import reporting
from bench.peers.data import QUICK, Data, Sizes, Template
from bench.peers.faults import attempted, find, latency
from bench.peers.libraries import PEERS
from bench.peers.reporting import Report
from bench.peers.running import Worker, measure, workers
from bench.peers.summary import summary
from bench.peers.weighing import footprint
from bench.peers.works import WORKS

WORKS_BY_NAME = {work.name: work for work in WORKS}
LATENCY, FAULTS, FOOTPRINT = "latency", "faults", "footprint"
ROWS = (*WORKS_BY_NAME, LATENCY, FAULTS, FOOTPRINT)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 with --check when a target is missed on asyncio's own loop, or the library
    itself does wrong; WrongResultError when a result of its own is."""
    options = _parser().parse_args(arguments)
    sizes = QUICK if options.quick else Sizes()
    loops = list(new_loops(options.loop))
    report = Report(facts=reporting.facts(loops, options.rounds))
    try:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder or disk()) as folder:
            template = Template(Data(sizes), Path(folder))
            asyncio.run(template.create())
            for loop in loops:
                with workers(options.peer or PEERS, loop, sizes) as started:
                    for name in options.rows or ROWS:
                        _measure(name, loop, template, started, options.rounds, report)
    finally:  # what was found before something went wrong is not lost
        _write(report, loops, options.markdown, options.json)
    return 1 if options.check and reporting.is_missed(report) else 0


def _write(report: Report, loops: Sequence[str], markdown: Path | None, json: Path | None) -> None:
    print("\n" + reporting.versions(report))
    if markdown:
        tables = (f"On {loop}:\n\n{summary(report, loop)}\n" for loop in loops)
        markdown.write_text("\n".join(tables), "utf-8")
    if json:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def _measure(
    name: str,
    loop: str,
    template: Template,
    started: Sequence[Worker],
    rounds: int,
    report: Report,
) -> None:
    if name in WORKS_BY_NAME:
        standings = measure(WORKS_BY_NAME[name], template, started, rounds)
        report.standings.setdefault(name, {})[loop] = standings
        text = reporting.table(WORKS_BY_NAME[name], loop, standings)
    elif name == LATENCY:
        latencies = {
            worker.name: attempted(partial(latency, template, worker)) for worker in started
        }
        report.latencies[loop] = latencies
        text = reporting.latency_table(loop, latencies)
    elif name == FAULTS:
        found = {worker.name: attempted(partial(find, template, worker)) for worker in started}
        report.findings[loop] = found
        text = reporting.findings_table(loop, found)
    elif report.footprints:
        return  # the loop makes no difference to what a peer weighs
    else:
        report.footprints = {
            worker.name: attempted(partial(footprint, template, worker.name)) for worker in started
        }
        text = reporting.footprint_table(report.footprints)
    for worker in started:
        report.versions.update(worker.versions)
    print("\n" + text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench peers", description=__doc__)
    parser.add_argument(
        "rows",
        nargs="*",
        metavar="ROW",
        choices=[*ROWS, []],
        help=f"what to measure, all by default: {', '.join(ROWS)}",
    )
    parser.add_argument(
        "--peer", action="append", choices=PEERS, help="one of them; may be repeated"
    )
    parser.add_argument("--loop", choices=["asyncio", "uvloop", "both"], default="both")
    parser.add_argument("--rounds", type=positive, default=7, help="default 7; more is steadier")
    parser.add_argument("--quick", action="store_true", help="little data: does it work at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also writes all figures there")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="writes everything there in one table"
    )
    parser.add_argument("--folder", type=Path, help="where the databases are made, on a disk")
    parser.add_argument(
        "--check",
        action="store_true",
        help="exit code 1 when a target is missed or the library does wrong",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
