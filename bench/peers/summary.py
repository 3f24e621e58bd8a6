"""All figures of a run in one table, speed and correctness beside each other, as the README shows it."""

from __future__ import annotations

from collections.abc import Callable

from bench.peers.faults import Findings, Latency
from bench.peers.footprint import Footprint
from bench.peers.libraries import OURS
from bench.peers.reporting import Report, best_peer
from bench.peers.running import Standing
from bench.peers.trials import PAIRS
from bench.peers.works import WORKS


def summary(report: Report, loop: str) -> str:
    """A table in Markdown: a column per peer; what there are no figures of is left out.

    Speed is the library's own time in microseconds, and how many times as fast it is as each peer.
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
        lines.append([work.name, *(_speed(standings.get(peer)) for peer in peers), verdict])
    for title, cell in _LATENCIES.items():
        found = report.latencies.get(loop, {})
        lines += _row(title, peers, {peer: _or_text(cell, found[peer]) for peer in found})
    for title, tell in _FINDINGS.items():
        seen = report.findings.get(loop, {})
        lines += _row(title, peers, {peer: _or_text(tell, seen[peer]) for peer in seen})
    for title, weigh in _FOOTPRINTS.items():
        weights = report.footprints
        lines += _row(title, peers, {peer: _or_text(weigh, weights[peer]) for peer in weights})
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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


def _speed(standing: Standing | None) -> str:
    if standing is None or standing.microseconds is None or standing.speed_of_ours is None:
        return "failed" if standing is not None else ""
    notes = [f"{sum(standing.errors.values())} errors"] if standing.errors else []
    notes += [f"{standing.lost} lost"] if standing.lost else []
    is_ours = standing.speed_of_ours.least == standing.speed_of_ours.most == 1
    text = (
        f"{standing.microseconds.median:.1f} µs"
        if is_ours
        else f"{standing.speed_of_ours.median:.1f}x"
    )
    return f"{text} ({', '.join(notes)})" if notes else text


def _or_text(cell: Callable[..., str], value: Findings | Latency | Footprint | str) -> str:
    return "failed" if isinstance(value, str) else cell(value)


def _locked(findings: Findings) -> str:
    return str(sum(findings.locked.values()))


_LATENCIES: dict[str, Callable[[Latency], str]] = {
    "write beside another process, p50 ms": lambda latency: f"{latency.p50:.1f}",
    "the same, p99 ms": lambda latency: f"{latency.p99:.1f}",
    "the same, errors": lambda latency: str(sum(latency.errors.values())),
}
_FINDINGS: dict[str, Callable[[Findings], str]] = {
    "lost updates, two processes": lambda found: f"{found.lost_updates} of {found.attempts}",
    "errors, two processes": _locked,
    "torn units when cancelled": lambda found: f"{found.torn} of {PAIRS}",
    "usable after cancels": lambda found: "yes" if found.is_usable else "**no**",
    "exit without close": lambda found: (
        "**hangs**" if found.exit_seconds is None else f"{found.exit_seconds:.2f} s"
    ),
    "write kept": lambda found: "yes" if found.is_kept else "**no**",
}
_FOOTPRINTS: dict[str, Callable[[Footprint], str]] = {
    "import ms": lambda footprint: f"{footprint.import_ms:.0f}",
    "memory MB": lambda footprint: f"{footprint.opened_mb:.0f}",
}
