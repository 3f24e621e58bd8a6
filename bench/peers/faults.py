"""What each peer loses, tears, refuses or leaves hanging, as found."""

from __future__ import annotations

import select
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import TypeVar
from uuid import UUID

import msgspec

from bench.peers.data import Template, session
from bench.peers.leaving import FORGOTTEN
from bench.peers.running import ROOT, PeerFailedError, Worker, environment
from bench.peers.trials import CANCELLED_UNITS, GROWTHS, USES, Outcome, pair_of, size_of, uses

T = TypeVar("T")

_CANCEL_SEEDS = (1, 2, 3)
_EXIT_PATIENCE_SECONDS = 10.0
_STORE_PATIENCE_SECONDS = 30.0
_CANCEL_PATIENCE_SECONDS = 75.0
# Fewer on one side than this part of all units, and the trial says little about the other.
_ONE_SIDED = 0.05
_FILESIZE = "SELECT filesize FROM downloads WHERE id = ?"
_IS_STORED = "SELECT count(*) FROM downloads WHERE id = ?"

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


class Cancels(msgspec.Struct, frozen=True):
    """Of some runs, each on a fresh file: units of which each was cancelled at a moment within its own
    usual time, and what could be done with the peer afterwards.

    completed, cancelled: how they ended; the others failed or never ended.  unit_ms: the usual time.
    errors: of the units.  torn: of which one half is in the file.
    lost: completed, and not in the file.
    usable: of so many uses, a get and an add each.  unusable: why the others failed.
    """

    units: int
    completed: int
    cancelled: int
    unit_ms: float
    errors: dict[str, int]
    torn: int
    lost: int
    uses: int
    usable: int
    unusable: dict[str, int]

    @property
    def one_side(self) -> str | None:
        """Where nearly all of the units ended, if any did; None: on both."""
        if not self.completed + self.cancelled:
            return None
        if self.completed < self.units * _ONE_SIDED:
            return "hardly any completed"
        return "hardly any cancelled" if self.cancelled < self.units * _ONE_SIDED else None


class Findings(msgspec.Struct, frozen=True):
    """Of one peer.

    lost_updates: of the additions by two processes that succeeded.  errors: of all attempts of both.
    exit_seconds: of a program that did not close; None: exit_failure says why.
    is_kept: whether what it had stored is in the file; None: it never said that it had.
    """

    lost_updates: int
    attempts: int
    errors: dict[str, int]
    cancels: Cancels
    exit_seconds: float | None
    exit_failure: str | None
    is_kept: bool | None

    @property
    def torn(self) -> int:
        return self.cancels.torn

    @property
    def is_usable(self) -> bool:
        return self.cancels.usable == self.cancels.uses

    @property
    def is_wrong(self) -> bool:
        """Whether anything is torn or lost, or the peer not usable, or its program does not end."""
        return bool(
            self.lost_updates
            or self.torn
            or self.cancels.lost
            or not self.is_usable
            or self.exit_seconds is None
            or not self.is_kept
        )


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from the moment when a write fell due, of those that succeeded, beside another
    process that writes. errors: of so many attempts."""

    p50: float
    p95: float
    p99: float
    most: float
    attempts: int
    errors: dict[str, int]


def attempted(look: Callable[[], T]) -> T | str:
    """What it gives, or why the peer could not do it."""
    try:
        return look()
    except PeerFailedError as error:
        return str(error)


def find(template: Template, worker: Worker) -> Findings:
    """All that can go wrong, one after the other, each with a fresh file."""
    lost, attempts, errors = _grow_together(template, worker)
    cancels = _cancel(template, worker)
    exit_seconds, exit_failure, is_kept = _leave(template, worker)
    return Findings(lost, attempts, errors, cancels, exit_seconds, exit_failure, is_kept)


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
    with _looking(path) as look:
        after = look(_FILESIZE, template.data.downloads[0].id)
    succeeded = sum(outcome.succeeded for outcome in outcomes)
    errors = _together(outcome.errors for outcome in outcomes)
    return succeeded - (after - before), GROWTHS * len(pair), errors


def _together(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    return dict(sum(map(Counter, counts), Counter[str]()))


def _cancel(template: Template, worker: Worker) -> Cancels:
    runs = [_cancel_once(template, worker, seed) for seed in _CANCEL_SEEDS]
    return Cancels(
        units=sum(run.units for run in runs),
        completed=sum(run.completed for run in runs),
        cancelled=sum(run.cancelled for run in runs),
        unit_ms=median(run.unit_ms for run in runs),
        errors=_together(run.errors for run in runs),
        torn=sum(run.torn for run in runs),
        lost=sum(run.lost for run in runs),
        uses=sum(run.uses for run in runs),
        usable=sum(run.usable for run in runs),
        unusable=_together(run.unusable for run in runs),
    )


def _cancel_once(template: Template, worker: Worker, seed: int) -> Cancels:
    path = template.copy()
    with closing(sqlite3.connect(path)) as native:
        native.execute("UPDATE downloads SET filesize = 0")
        native.commit()
    try:
        worker.open(path, "normal")
        worker.begin("cancel", seed)
        outcome = worker.outcome(_CANCEL_PATIENCE_SECONDS)
    except PeerFailedError as error:  # not even its loop answers
        outcome = Outcome(
            errors={str(error): 1}, unusable={number: str(error) for number in range(USES)}
        )
    worker.end()  # one that cannot be used any more may not be able to close either
    with _looking(path) as look:
        sizes = [
            [look(_FILESIZE, id) for id in pair_of(template.data, number)]
            for number in range(CANCELLED_UNITS)
        ]
        is_stored = [look(_IS_STORED, new.id) for new in uses(template.data, seed)]
    reasons = list(outcome.unusable.values())
    for number in range(USES):
        if number not in outcome.unusable and not is_stored[number]:
            reasons.append("an add that succeeded is not in the file")
    return Cancels(
        units=CANCELLED_UNITS,
        completed=outcome.succeeded,
        cancelled=outcome.cancelled,
        unit_ms=outcome.unit_ms,
        errors=outcome.errors,
        torn=sum(first != second for first, second in sizes),
        lost=sum(sizes[number] != [size_of(number)] * 2 for number in outcome.kept),
        uses=USES,
        usable=USES - len(reasons),
        unusable=dict(Counter(reasons)),
    )


def _leave(template: Template, worker: Worker) -> tuple[float | None, str | None, bool | None]:
    """As Findings has them."""
    path = template.copy()
    with tempfile.TemporaryFile() as complaints:
        program = subprocess.Popen(
            [sys.executable, "-m", "bench.peers.leaving", worker.name, worker.loop, str(path)],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
        assert program.stdout is not None
        has_stored = False
        try:
            if not select.select([program.stdout], [], [], _STORE_PATIENCE_SECONDS)[0]:
                return None, f"not stored within {_STORE_PATIENCE_SECONDS:g} s", None
            has_stored = program.stdout.readline().strip() == b"stored"
            said = time.perf_counter()
            program.wait(_EXIT_PATIENCE_SECONDS)
            exit_seconds = time.perf_counter() - said
        except subprocess.TimeoutExpired:
            return None, "hangs", _is_kept(path) if has_stored else None
        finally:
            program.kill()
            program.communicate()
        if program.returncode == 0 and has_stored:
            return exit_seconds, None, _is_kept(path)
        complaints.seek(0)
        last = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
    failure = f"failed: exit code {program.returncode}, {last or 'no message'}"
    return None, failure, _is_kept(path) if has_stored else None


def _is_kept(path: Path) -> bool:
    with _looking(path) as look:
        return bool(look(_IS_STORED, FORGOTTEN.id))


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
    if len(outcome.milliseconds) < 2:
        raise PeerFailedError(f"hardly a write succeeded: {', '.join(outcome.errors)}")
    cuts = quantiles(outcome.milliseconds, n=100)
    return Latency(
        median(outcome.milliseconds),
        cuts[94],
        cuts[98],
        max(outcome.milliseconds),
        template.data.sizes.latencies,
        outcome.errors,
    )


@contextmanager
def _looking(path: Path) -> Iterator[Callable[[str, UUID], int]]:
    """Gives what looks up one number by an id."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as native:

        def look(sql: str, id: UUID) -> int:
            (number,) = native.execute(sql, (str(id),)).fetchone()
            return int(number)

        yield look
