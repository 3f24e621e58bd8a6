"""What each peer loses, tears, refuses or leaves hanging, as found."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from statistics import median, quantiles
from typing import TypeVar

import msgspec

from bench.peers.data import Template, session
from bench.peers.footprint import Footprint
from bench.peers.leaving import FORGOTTEN
from bench.peers.running import ROOT, PeerFailedError, Worker
from bench.peers.trials import GROWTHS, PAIRS, Outcome, pair_of

T = TypeVar("T")

_EXIT_PATIENCE_SECONDS = 10.0
_CANCEL_PATIENCE_SECONDS = 60.0
_FILESIZE = "SELECT filesize FROM downloads WHERE id = ?"

# The other process: another program's writer, which holds the lock for some milliseconds at a time.
_WRITER = """
import sqlite3, sys, time
native = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
native.execute("PRAGMA synchronous = NORMAL")
print("ready", flush=True)
while True:
    native.execute("BEGIN IMMEDIATE")
    native.execute("UPDATE sessions SET last_seen = last_seen WHERE id = ?", (sys.argv[2],))
    time.sleep(0.003)
    native.execute("COMMIT")
    time.sleep(0.003)
"""


class Findings(msgspec.Struct, frozen=True):
    """Of one peer.

    lost_updates: of the additions by two processes that succeeded.  locked: attempts of all that failed
    because of the other process.  torn: pairs of which a cancelled unit wrote one half.
    is_usable: after those cancellations.  exit_seconds: of a program that did not close; None: it hung.
    is_kept: whether what it had stored is in the file.
    """

    lost_updates: int
    attempts: int
    locked: dict[str, int]
    torn: int
    is_usable: bool
    exit_seconds: float | None
    is_kept: bool


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds of a write beside another process that writes."""

    p50: float
    p95: float
    p99: float
    most: float
    errors: dict[str, int]


def attempted(look: Callable[[], T]) -> T | str:
    """What it gives, or why the peer could not do it."""
    try:
        return look()
    except PeerFailedError as error:
        return str(error)


def find(template: Template, worker: Worker) -> Findings:
    """All that can go wrong, one after the other, each with a fresh file."""
    lost, attempts, locked = _grow_together(template, worker)
    torn, is_usable = _cancel(template, worker)
    exit_seconds, is_kept = _leave(template, worker.name)
    return Findings(lost, attempts, locked, torn, is_usable, exit_seconds, is_kept)


def _grow_together(template: Template, worker: Worker) -> tuple[int, int, dict[str, int]]:
    path = template.copy()
    before = template.data.downloads[0].filesize or 0
    other = worker.twin()
    try:
        pair = (worker, other)
        for each in pair:
            each.open(path, "normal")
        for each in pair:
            each.begin("grow", 0)
        outcomes = [each.outcome() for each in pair]
        worker.close()
    finally:
        other.end()
    (after,) = _look(path, _FILESIZE, template.data.downloads[0].id)
    succeeded = sum(outcome.succeeded for outcome in outcomes)
    return succeeded - (after - before), GROWTHS * len(pair), _together(outcomes)


def _together(outcomes: list[Outcome]) -> dict[str, int]:
    errors: dict[str, int] = {}
    for outcome in outcomes:
        for message, times in outcome.errors.items():
            errors[message] = errors.get(message, 0) + times
    return errors


def _cancel(template: Template, worker: Worker) -> tuple[int, bool]:
    path = template.copy()
    with closing(sqlite3.connect(path)) as native:
        native.execute("UPDATE downloads SET filesize = 0")
        native.commit()
    worker.open(path, "normal")
    worker.begin("cancel", 1)
    try:
        is_usable = worker.outcome(_CANCEL_PATIENCE_SECONDS).is_usable
    except PeerFailedError:
        is_usable = False  # not even its loop answers
    worker.end()  # one that cannot be used any more may not be able to close either
    torn = 0
    for number in range(PAIRS):
        first, second = (_look(path, _FILESIZE, id) for id in pair_of(template.data, number))
        torn += first != second
    return torn, is_usable


def _leave(template: Template, name: str) -> tuple[float | None, bool]:
    path = template.copy()
    program = subprocess.Popen(
        [sys.executable, "-m", "bench.peers.leaving", name, str(path)],
        cwd=ROOT,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert program.stdout is not None
    exit_seconds: float | None = None
    if program.stdout.readline().strip() == b"stored":
        stored = time.perf_counter()
        with suppress(subprocess.TimeoutExpired):
            program.wait(_EXIT_PATIENCE_SECONDS)
            exit_seconds = time.perf_counter() - stored
    program.kill()
    program.communicate()
    (kept,) = _look(path, "SELECT count(*) FROM downloads WHERE id = ?", FORGOTTEN.id)
    return exit_seconds, bool(kept)


def latency(template: Template, worker: Worker) -> Latency:
    path = template.copy()
    worker.open(path, "normal")
    other = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), session(1)], stdout=subprocess.PIPE
    )
    try:
        assert other.stdout is not None
        other.stdout.readline()
        worker.begin("write-at-pace", 0)
        outcome = worker.outcome()
    finally:
        other.kill()
        other.communicate()
    worker.close()
    cuts = quantiles(outcome.milliseconds, n=100)
    return Latency(
        median(outcome.milliseconds), cuts[94], cuts[98], max(outcome.milliseconds), outcome.errors
    )


def footprint(template: Template, name: str) -> Footprint:
    """The medians of some fresh processes, behind one that compiles what is not compiled yet.
    PeerFailedError."""
    measured = []
    environment = _environment()
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    for _ in range(1 + template.data.sizes.footprints):
        done = subprocess.run(
            [sys.executable, "-m", "bench.peers.footprint", name, str(template.copy())],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            raise PeerFailedError(f"exit code {done.returncode}")
        measured.append(msgspec.json.decode(done.stdout, type=Footprint))
    return Footprint(
        median(each.import_ms for each in measured[1:]),
        median(each.opened_mb for each in measured[1:]),
    )


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _look(path: Path, sql: str, id: object) -> tuple[int, ...]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as native:
        row: tuple[int, ...] = native.execute(sql, (str(id),)).fetchone()
        return row
