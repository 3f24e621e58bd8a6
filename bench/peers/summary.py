"""All figures of a run in one table, speed and correctness beside each other, as the README shows it."""

from __future__ import annotations

from collections.abc import Callable

from bench.peers.faults import Findings, Latency
from bench.peers.libraries import OURS
from bench.peers.reporting import FINDINGS, Report, best_peer, reasons_of, versions
from bench.peers.running import Standing
from bench.peers.weighing import Footprint
from bench.peers.works import WORKS


def summary(report: Report, loop: str) -> str:
    """A table in Markdown, a column per peer, and beneath it why what failed did, and with which versions.

    What there are no figures of is left out. Speed is the library's own time in microseconds, and how
    many times as fast it is as each peer.
    """
    peers = _peers(report, loop)
    lines = [["", *peers, "best peer, target"], ["---"] * (len(peers) + 2)]
    for work in WORKS:
        standings = report.standings.get(work.name, {}).get(loop)
        if standings is None:
            continue
        best = best_peer(standings)
        ratio = None if best is None else standings[best].speed_of_ours
        target = "" if work.target is None else f", target {work.target:g}"
        verdict = "" if ratio is None else f"{best} {ratio.median:.1f}{target}"
        lines.append([work.name, *(_speed(peer, standings.get(peer)) for peer in peers), verdict])
    for title, cell in _LATENCIES.items():
        found = report.latencies.get(loop, {})
        lines += _row(title, peers, {peer: _or_text(cell, found[peer]) for peer in found})
    for title, tell in FINDINGS.items():
        seen = report.findings.get(loop, {})
        lines += _row(title, peers, {peer: _or_text(tell, seen[peer]) for peer in seen})
    for title, weigh in _FOOTPRINTS.items():
        weights = report.footprints
        lines += _row(title, peers, {peer: _or_text(weigh, weights[peer]) for peer in weights})
    table = [f"| {' | '.join(line)} |" for line in lines]
    reasons = [f"* {reason}" for reason in _reasons(report, loop)]
    return "\n".join([*table, "", *reasons, *([""] if reasons else []), versions(report)])


def _reasons(report: Report, loop: str) -> list[str]:
    """Why there are no figures, or bad ones."""
    reasons = []
    for work, by_loop in report.standings.items():
        for peer, standing in by_loop.get(loop, {}).items():
            errors = [standing.failure] if standing.failure else list(standing.errors)
            reasons += [f"{peer}, {work}: {error}" for error in errors]
    for peer, latency in report.latencies.get(loop, {}).items():
        errors = [latency] if isinstance(latency, str) else list(latency.errors)
        reasons += [f"{peer}, write beside another process: {error}" for error in errors]
    for peer, findings in report.findings.get(loop, {}).items():
        said = [f"faults: {findings}"] if isinstance(findings, str) else reasons_of(findings)
        reasons += [f"{peer}, {reason}" for reason in said]
    for peer, footprint in report.footprints.items():
        if isinstance(footprint, str):
            reasons.append(f"{peer}, footprint: {footprint}")
    return reasons


def _peers(report: Report, loop: str) -> list[str]:
    """Those that have figures, the library first, in the order of the run."""
    names: dict[str, None] = {OURS: None}
    for by_loop in report.standings.values():
        names.update(dict.fromkeys(by_loop.get(loop, {})))
    for table in (report.latencies.get(loop, {}), report.findings.get(loop, {}), report.footprints):
        names.update(dict.fromkeys(table))
    return list(names)


def _row(title: str, peers: list[str], cells: dict[str, str]) -> list[list[str]]:
    return [[title, *(cells.get(peer, "") for peer in peers), ""]] if cells else []


def _speed(name: str, standing: Standing | None) -> str:
    if standing is None or standing.microseconds is None or standing.speed_of_ours is None:
        return "failed" if standing is not None else ""
    notes = [f"{sum(standing.errors.values())} errors"] if standing.errors else []
    notes += [f"{standing.lost} lost"] if standing.lost else []
    text = (
        f"{standing.microseconds.median:.1f} µs"
        if name == OURS
        else f"{standing.speed_of_ours.median:.1f}x"
    )
    return f"{text} ({', '.join(notes)})" if notes else text


def _or_text(cell: Callable[..., str], value: Findings | Latency | Footprint | str) -> str:
    return "failed" if isinstance(value, str) else cell(value)


_LATENCIES: dict[str, Callable[[Latency], str]] = {
    "write beside another process, p50 ms": lambda latency: f"{latency.p50:.1f}",
    "the same, p99 ms": lambda latency: f"{latency.p99:.1f}",
    "the same, errors": lambda latency: str(sum(latency.errors.values())),
}
_FOOTPRINTS: dict[str, Callable[[Footprint], str]] = {
    "import ms": lambda footprint: f"{footprint.import_ms:.0f}",
    "memory MB": lambda footprint: f"{footprint.opened_mb:.0f}",
}
