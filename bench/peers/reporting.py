"""Tables that people read."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import msgspec

from bench.peers.faults import Cancels, Findings, Latency
from bench.peers.libraries import CEILING, OURS
from bench.peers.running import Standing
from bench.peers.trials import CANCELLED_WITHIN_UNITS, PACE_SECONDS
from bench.peers.weighing import Footprint
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
        "loops": " and ".join(
            loop if loop == "asyncio" else f"{loop} {version(loop)}" for loop in loops
        ),
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
    """The fastest, within each round, that lost nothing; the ceiling is none."""
    peers = {
        name: standing.speed_of_ours.median
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
    """Whether the library misses a target of speed on asyncio's own loop, or does wrong on any."""
    return _is_slow(report) or _is_wrong(report)


def _is_slow(report: Report) -> bool:
    for work in WORKS:
        standings = report.standings.get(work.name, {}).get("asyncio", {})
        best = best_peer(standings)
        if best is not None and work.target is not None:
            ratio = standings[best].speed_of_ours
            if ratio is not None and ratio.median < work.target:
                return True
    return False


def _is_wrong(report: Report) -> bool:
    for latencies in report.latencies.values():
        latency = latencies.get(OURS)
        if isinstance(latency, str) or (latency is not None and latency.errors):
            return True
    for found in report.findings.values():
        findings = found.get(OURS)
        if isinstance(findings, str) or (findings is not None and findings.is_wrong):
            return True
    return isinstance(report.footprints.get(OURS), str)


def latency_table(loop: str, latencies: dict[str, Latency | str]) -> str:
    lines = [["peer", "p50 ms", "p95 ms", "p99 ms", "longest ms", "errors"]]
    for name, latency in latencies.items():
        if isinstance(latency, str):
            lines.append([name, "-", "-", "-", "-", latency])
            continue
        cells = [latency.p50, latency.p95, latency.p99, latency.most]
        errors = counted(latency.errors)
        lines.append(
            [
                name,
                *(f"{value:.1f}" for value in cells),
                f"of {latency.attempts}: {errors}" if errors else "",
            ]
        )
    title = (
        f"latency on {loop}: a download added every {PACE_SECONDS * 1000:g} ms while another process "
        "writes, NORMAL; from the moment when it fell due, of those that succeeded"
    )
    return "\n".join((title, *aligned(lines)))


def findings_table(loop: str, found: dict[str, Findings | str]) -> str:
    """Beneath it the reasons, which are long."""
    lines = [["peer", *FINDINGS]]
    reasons = []
    for name, findings in found.items():
        if isinstance(findings, str):
            lines.append([name, *("-" for _ in FINDINGS)])
            reasons.append(f"  {name}: {findings}")
        else:
            lines.append([name, *(tell(findings) for tell in FINDINGS.values())])
            reasons += [f"  {name}, {reason}" for reason in reasons_of(findings)]
    title = f"faults on {loop}: as found, two processes where it says so"
    return "\n".join((title, *aligned(lines), *reasons))


def reasons_of(findings: Findings) -> list[str]:
    """What stands behind the figures."""
    cancels = findings.cancels
    reasons = {
        "two processes": counted(findings.errors),
        "cancelled units": counted(cancels.errors),
        "use after cancels": counted(cancels.unusable),
        f"cancels within {CANCELLED_WITHIN_UNITS * cancels.unit_ms:.1f} ms": cancels.one_side,
        "exit without close": findings.exit_failure,
    }
    return [f"{what}: {reason}" for what, reason in reasons.items() if reason]


def _exit(findings: Findings) -> str:
    if findings.exit_seconds is not None:
        return f"{findings.exit_seconds:.2f} s"
    return _short(str(findings.exit_failure))


def _use(cancels: Cancels) -> str:
    text = f"{cancels.usable} of {cancels.uses}"
    if not cancels.unusable:
        return text
    reason = max(cancels.unusable, key=cancels.unusable.__getitem__)
    return f"{text} ({_short(reason)})"


def _short(reason: str) -> str:
    return reason.partition(":")[0]


# By title, what each column, or row, shows of a peer.
FINDINGS: dict[str, Callable[[Findings], str]] = {
    "lost updates, two processes": lambda found: f"{found.lost_updates} of {found.attempts}",
    "errors, two processes": lambda found: str(sum(found.errors.values())),
    "units completed, cancelled": lambda found: (
        f"{found.cancels.completed}, {found.cancels.cancelled}"
    ),
    "torn units": lambda found: f"{found.torn} of {found.cancels.units}",
    "lost units": lambda found: f"{found.cancels.lost} of {found.cancels.completed}",
    "usable after cancels": lambda found: _use(found.cancels),
    "exit without close": _exit,
    "write kept": lambda found: {True: "yes", False: "NO", None: "-"}[found.is_kept],
}


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


def counted(errors: dict[str, int]) -> str:
    return ", ".join(f"{times} x {error}" for error, times in errors.items())


def _median(standing: Standing) -> float:
    return standing.microseconds.median if standing.microseconds else float("inf")


def _errors(standing: Standing) -> str:
    text = counted(standing.errors)
    return f"of {standing.results}: {text}" if text else ""
