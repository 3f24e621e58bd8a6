"""Tables that people read."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from bench.peers.faults import Findings, Latency
from bench.peers.footprint import Footprint
from bench.peers.libraries import CEILING, OURS
from bench.peers.running import Standing
from bench.peers.trials import PAIRS
from bench.peers.work import Work
from bench.peers.works import WORKS
from bench.reporting import aligned, spread_text


class Report(msgspec.Struct):
    """All figures of a run. By row, by loop, by peer; a text says why a peer has none."""

    facts: dict[str, str] = {}
    versions: dict[str, str] = {}
    standings: dict[str, dict[str, dict[str, Standing]]] = {}
    latencies: dict[str, dict[str, Latency | str]] = {}
    findings: dict[str, dict[str, Findings | str]] = {}
    footprints: dict[str, Footprint | str] = {}


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
    return "\n".join(
        (f"{work.name} on {loop}: {work.question}", *aligned(lines), *_verdict(work, standings))
    )


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


def is_missed(report: Report) -> bool:
    for work in WORKS:
        standings = report.standings.get(work.name, {}).get("asyncio", {})
        best = best_peer(standings)
        if best is not None and work.target is not None:
            ratio = standings[best].speed_of_ours
            if ratio is not None and ratio.median < work.target:
                return True
    return False


def latency_table(loop: str, latencies: dict[str, Latency | str]) -> str:
    lines = [["peer", "p50 ms", "p95 ms", "p99 ms", "longest ms", "errors"]]
    for name, latency in latencies.items():
        if isinstance(latency, str):
            lines.append([name, "-", "-", "-", "-", latency])
            continue
        cells = [latency.p50, latency.p95, latency.p99, latency.most]
        lines.append([name, *(f"{value:.1f}" for value in cells), _counted(latency.errors)])
    title = f"latency on {loop}: a download added every 4 ms while another process writes, NORMAL"
    return "\n".join((title, *aligned(lines)))


def findings_table(loop: str, found: dict[str, Findings | str]) -> str:
    lines = [
        [
            "peer",
            "lost updates",
            "errors beside another process",
            "torn units",
            "usable after cancels",
            "exit without close",
            "kept",
        ]
    ]
    for name, findings in found.items():
        if isinstance(findings, str):
            lines.append([name, "-", "-", "-", "-", "-", findings])
            continue
        exit_seconds = findings.exit_seconds
        lines.append(
            [
                name,
                f"{findings.lost_updates} of {findings.attempts}",
                _counted(findings.locked) or "none",
                f"{findings.torn} of {PAIRS}",
                "yes" if findings.is_usable else "NO",
                "hangs" if exit_seconds is None else f"{exit_seconds:.2f} s",
                "yes" if findings.is_kept else "NO",
            ]
        )
    title = f"faults on {loop}: as found, two processes where it says so"
    return "\n".join((title, *aligned(lines)))


def footprint_table(footprints: dict[str, Footprint | str]) -> str:
    lines = [["peer", "import ms", "MB"]]
    for name, footprint in footprints.items():
        if isinstance(footprint, str):
            lines.append([name, "-", footprint])
        else:
            lines.append([name, f"{footprint.import_ms:.0f}", f"{footprint.opened_mb:.1f}"])
    title = "footprint: import, and memory with the database open and 1000 downloads read"
    return "\n".join((title, *aligned(lines)))


def versions(report: Report) -> str:
    known = {**report.facts, **report.versions}
    return ", ".join(f"{name} {value}" for name, value in known.items())


def _counted(errors: dict[str, int]) -> str:
    return ", ".join(f"{times} x {error}" for error, times in errors.items())


def _median(standing: Standing) -> float:
    return standing.microseconds.median if standing.microseconds else float("inf")


def _errors(standing: Standing) -> str:
    text = _counted(standing.errors)
    return f"of {standing.operations}: {text}" if text else ""
