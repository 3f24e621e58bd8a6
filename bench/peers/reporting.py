"""Tables that people read."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

from bench.peers.libraries import CEILING, OURS
from bench.peers.running import Standing
from bench.peers.work import Work
from bench.reporting import aligned, spread_text


def facts(loops: Sequence[str], rounds: int) -> dict[str, str]:
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "loops": " and ".join(loops),
        "cores": str(os.cpu_count()),
        "rounds": str(rounds),
    }


def table(work: Work, loop: str, standings: dict[str, Standing]) -> str:
    lines = [["peer", "µs", f"{OURS} is faster", "errors", "lost"]]
    for name, standing in sorted(standings.items(), key=lambda item: _median(item[1])):
        if standing.microseconds is None:
            lines.append([name, "-", "-", str(standing.failure), ""])
            continue
        ratio = standing.speed_of_ours
        lines.append(
            [
                name,
                spread_text(standing.microseconds, 1),
                "" if name == OURS or ratio is None else spread_text(ratio, 2),
                _errors(standing),
                str(standing.lost or ""),
            ]
        )
    return "\n".join((f"{work.name} on {loop}: {work.question}", *aligned(lines), *_verdict(work, standings)))


def best_peer(standings: dict[str, Standing]) -> str | None:
    """The fastest that lost nothing; the ceiling is none."""
    peers = {
        name: _median(standing)
        for name, standing in standings.items()
        if name not in (OURS, CEILING) and standing.speed_of_ours is not None and not standing.lost
    }
    return min(peers, key=peers.__getitem__, default=None)


def _verdict(work: Work, standings: dict[str, Standing]) -> list[str]:
    best = best_peer(standings)
    if best is None:
        return []
    ratio = standings[best].speed_of_ours
    assert ratio is not None
    if work.target is None:
        return [f"  best peer {best}: {ratio.median:.2f}x"]
    verdict = "reached" if ratio.median >= work.target else "NOT reached"
    return [f"  best peer {best}: {ratio.median:.2f}x, target {work.target:g}x, {verdict}"]


def _median(standing: Standing) -> float:
    return standing.microseconds.median if standing.microseconds else float("inf")


def _errors(standing: Standing) -> str:
    return ", ".join(
        f"{times} of {standing.operations}: {error}" for error, times in standing.errors.items()
    )
