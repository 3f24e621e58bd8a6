"""``python -m bench``: one table per question, each with plain sqlite3 and with aiosqlite by hand."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench import reporting
from bench.data import QUICK, Sizes, Stage, staged
from bench.measuring import OURS, measure
from bench.memory import LIMIT_MB, MEMORY, measure_memory
from bench.options import NewLoop, new_loops, positive
from bench.peers import growth
from bench.peers import main as peers
from bench.reading import READING
from bench.transcription import TRANSCRIPTION
from bench.turns import TURNS, measure_turns
from bench.units import UNITS
from bench.videos import VIDEOS
from bench.writing import WRITING

ROWS = {row.name: row for row in (*READING, *WRITING, *UNITS, *VIDEOS, *TRANSCRIPTION)}
_ROUNDS = 31
_QUICK_ROUNDS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 with --check when a target is missed on asyncio's own loop."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["peers"]:
        return peers.main(given[1:])
    if given[:1] == ["growth"]:
        return growth.main(given[1:])
    options = _parser().parse_args(given)
    loops = new_loops(options.loop)
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    report: dict[str, Any] = {}
    is_missed = False
    with staged(QUICK if options.quick else Sizes(), options.folder) as stage:
        report["facts"] = reporting.facts(stage, list(loops), rounds)
        print(reporting.header(report["facts"]), flush=True)
        for name in options.rows or (*ROWS, MEMORY, TURNS):
            if name == MEMORY:
                footprints = measure_memory(stage)
                report[name] = footprints
                is_missed |= footprints[OURS].peak_mb >= LIMIT_MB
                print("\n" + reporting.memory_table(footprints), flush=True)
            elif name == TURNS:
                waits = measure_turns(stage)
                report[name] = waits
                is_missed |= any(each.takes_turns and not each.is_within_limits for each in waits)
                print("\n" + reporting.turns_table(waits), flush=True)
            else:
                results = _results(name, stage, loops, rounds)
                report[name] = results
                is_missed |= _is_missed(name, results)
                print("\n" + reporting.table(ROWS[name], results), flush=True)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    return 1 if options.check and is_missed else 0


def _results(name: str, stage: Stage, loops: dict[str, NewLoop], rounds: int) -> reporting.Results:
    results: reporting.Results = {}
    for loop, new_loop in loops.items():
        with asyncio.Runner(loop_factory=new_loop) as runner:
            results[loop] = runner.run(measure(ROWS[name], stage, rounds))
    return results


def _is_missed(name: str, results: reporting.Results) -> bool:
    return "asyncio" in results and not all(
        target.is_reached(results["asyncio"][target.peer].speed_of_ours.median)
        for target in ROWS[name].targets
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "rows",
        nargs="*",
        metavar="ROW",
        choices=[*ROWS, MEMORY, TURNS, []],
        help=f"what to measure, all by default: {', '.join((*ROWS, MEMORY, TURNS))}",
    )
    parser.add_argument("--loop", choices=["asyncio", "uvloop", "both"], default="both")
    parser.add_argument("--rounds", type=positive, help=f"default {_ROUNDS}; more is steadier")
    parser.add_argument("--quick", action="store_true", help="little data: does it work at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also writes all figures there")
    parser.add_argument(
        "--folder", type=Path, help="where the databases are made, on a disk (not memory)"
    )
    parser.add_argument("--check", action="store_true", help="exit code 1 when a target is missed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
