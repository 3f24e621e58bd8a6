"""Tables that people read."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import reelbase
from bench.data import Stage
from bench.measuring import OURS, Result, Row, Spread
from bench.memory import LIMIT_MB, QUESTION, Footprint
from bench.turns import P99_LIMIT_MS, TURNS, TURNS_QUESTION, WORST_LIMIT_MS, Waits

# By loop, then by contender.
Results = dict[str, dict[str, Result]]


def facts(stage: Stage, loops: Sequence[str], rounds: int) -> dict[str, str]:
    """Where and with what this run was made; nothing that names the machine."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "aiosqlite": version("aiosqlite"),
        "msgspec": version("msgspec"),
        "loop": " and ".join(
            f"{loop} {version(loop)}" if loop != "asyncio" else loop for loop in loops
        ),
        "cores": str(os.cpu_count()),
        "filesystem": reelbase.filesystem_of(stage.folder).type,
        "rounds": str(rounds),
    }


def header(known: dict[str, str]) -> str:
    return "\n".join(
        (
            ", ".join(f"{name} {value}" for name, value in known.items()),
            f"Median (least - most) of all rounds. Ratio: how many times the speed of the "
            f"contender {OURS} has, in the same round.",
        )
    )


def table(row: Row, results: Results) -> str:
    loops = list(results)
    lines = [["contender", *(title for loop in loops for title in (f"{loop} µs", "ratio"))]]
    for name in results[loops[0]]:
        cells = [name]
        for loop in loops:
            result = results[loop][name]
            cells.append(spread_text(result.microseconds, 1))
            cells.append("" if name == OURS else spread_text(result.speed_of_ours, 2))
        lines.append(cells)
    return "\n".join((f"{row.name}: {row.question}", *aligned(lines), *verdicts(row, results)))


def verdicts(row: Row, results: Results) -> list[str]:
    return [
        f"  target on {loop}: {target.describe(results[loop][target.peer].speed_of_ours.median)}"
        for target in row.targets
        for loop in results
    ]


def memory_table(footprints: dict[str, Footprint]) -> str:
    lines = [["contender", "peak MB", "µs/row"]]
    lines += [
        [name, f"{footprint.peak_mb:.1f}", f"{footprint.microseconds_per_row:.2f}"]
        for name, footprint in footprints.items()
    ]
    ours = footprints[OURS]
    verdict = "reached" if ours.peak_mb < LIMIT_MB else "NOT reached"
    return "\n".join(
        (
            f"memory: {QUESTION}; {ours.rows:,} rows",
            *aligned(lines),
            f"  target: under {LIMIT_MB} MB: {ours.peak_mb:.1f} MB, {verdict}",
        )
    )


def turns_table(measured: list[Waits]) -> str:
    lines = [["journal", "busy", "turns", "units", "p50 ms", "p99 ms", "worst ms", "writes/s"]]
    lines += [
        [
            waits.journal,
            str(waits.busy),
            "yes" if waits.takes_turns else "no",
            str(waits.units),
            *(f"{number:.1f}" for number in (waits.p50_ms, waits.p99_ms, waits.worst_ms)),
            f"{waits.writes_per_second:,.0f}",
        ]
        for waits in measured
    ]
    missed = [waits for waits in measured if waits.takes_turns and not waits.is_within_limits]
    verdict = "reached" if not missed else "NOT reached"
    limits = f"p99 at most {P99_LIMIT_MS:g} ms, worst at most {WORST_LIMIT_MS:g} ms"
    return "\n".join(
        (f"{TURNS}: {TURNS_QUESTION}", *aligned(lines), f"  target with turns: {limits}: {verdict}")
    )


def spread_text(spread: Spread, digits: int) -> str:
    return f"{spread.median:.{digits}f} ({spread.least:.{digits}f} - {spread.most:.{digits}f})"


def aligned(lines: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  "
        + "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
