"""``python -m bench peers``: one table per kind of work, and one of what went wrong."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from bench.data import disk
from bench.peers import reporting
from bench.peers.data import QUICK, Data, Sizes, Template
from bench.peers.libraries import PEERS
from bench.peers.running import measure, workers
from bench.peers.work import WORKS

_WORKS = {work.name: work for work in WORKS}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    sizes = QUICK if options.quick else Sizes()
    loops = ["asyncio", "uvloop"] if options.loop == "both" else [options.loop]
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder or disk()) as folder:
        template = Template(Data(sizes), Path(folder))
        asyncio.run(template.create())
        for loop in loops:
            with workers(options.peer or PEERS, loop, sizes) as started:
                for name in options.works or _WORKS:
                    standings = measure(_WORKS[name], template, started, options.rounds)
                    report.setdefault(name, {})[loop] = standings
                    print("\n" + reporting.table(_WORKS[name], loop, standings), flush=True)
                report["versions"] = {
                    name: number
                    for worker in started
                    for name, number in worker.versions.items()
                }
    report["facts"] = reporting.facts(loops, options.rounds)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench peers", description=__doc__)
    parser.add_argument(
        "works",
        nargs="*",
        metavar="WORK",
        choices=[*_WORKS, []],
        help=f"what to measure, all by default: {', '.join(_WORKS)}",
    )
    parser.add_argument(
        "--peer", action="append", choices=PEERS, help="one of them; may be repeated"
    )
    parser.add_argument("--loop", choices=["asyncio", "uvloop", "both"], default="both")
    parser.add_argument("--rounds", type=int, default=7, help="default 7; more is steadier")
    parser.add_argument("--quick", action="store_true", help="little data: does it work at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also writes all figures there")
    parser.add_argument("--folder", type=Path, help="where the databases are made, on a disk")
    return parser


if __name__ == "__main__":
    sys.exit(main())
