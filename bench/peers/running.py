"""Runs the peers, each in a process of its own, in turn: A, B, C, A, B, C …

A machine is never quiet, so times are compared only within one round, in which every peer ran once.
"""

from __future__ import annotations

import os
import random
import select
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import msgspec

from bench.measuring import Spread, WrongResultError
from bench.peers.data import Sizes, Template
from bench.peers.interface import Durability
from bench.peers.libraries import OURS
from bench.peers.load import Load
from bench.peers.trials import Outcome
from bench.peers.work import Work
from bench.peers.worker import Answer, Close, Open, Order, Run, Try

ROOT = Path(__file__).resolve().parents[2]
_WARM_UP = 1
# A run takes seconds; who needs longer has locked itself out.
_PATIENCE_SECONDS = 120.0
_ENDING_SECONDS = 5.0


class PeerFailedError(Exception):
    """The peer could not do what it was asked for."""


def environment() -> dict[str, str]:
    """In which a process finds the modules that this one finds."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


class Standing(msgspec.Struct, frozen=True):
    """Of one peer in one work: microseconds for one operation that succeeded, and how many times its
    speed the library has in the same round.

    errors: of all results, how often each came.  lost: operations that succeeded and that the file
    does not show.  failure: why there are no figures.
    """

    microseconds: Spread | None = None
    speed_of_ours: Spread | None = None
    operations: int = 0
    errors: dict[str, int] = {}
    lost: int = 0
    failure: str | None = None
    results: int = 0


class Worker:
    """A peer's process, which is started when it is needed, and again after it was lost."""

    def __init__(self, name: str, loop: str, sizes: Sizes) -> None:
        self.name = name
        self.loop = loop
        self.versions: dict[str, str] = {}
        self._sizes = sizes
        self._process: subprocess.Popen[bytes] | None = None

    def twin(self) -> Worker:
        """Another process of the same peer."""
        return Worker(self.name, self.loop, self._sizes)

    def open(self, path: Path, durability: Durability) -> None:
        """Raises PeerFailedError, as the other orders do."""
        if self._process is None:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "bench.peers.worker",
                    self.name,
                    self.loop,
                    msgspec.json.encode(self._sizes).decode(),
                ],
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        self.versions = self._ask(Open(str(path), durability)).versions

    def run(self, work: Work, round_number: int) -> Answer:
        return self._ask(Run(work.name, round_number))

    def begin(self, trial: str, seed: int) -> None:
        """Several processes may be at it at once; outcome() waits for it."""
        self._send(Try(trial, seed))

    def outcome(self, patience_seconds: float = _PATIENCE_SECONDS) -> Outcome:
        outcome = self._receive(patience_seconds).outcome
        assert outcome is not None
        return outcome

    def begin_load(self, load: Load) -> None:
        """As begin(); loaded() waits for it."""
        self._send(load)

    def loaded(self) -> Answer:
        return self._receive()

    def close(self) -> None:
        self._ask(Close())

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ask(self, order: Order) -> Answer:
        self._send(order)
        return self._receive()

    def _send(self, order: Order) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def _receive(self, patience_seconds: float = _PATIENCE_SECONDS) -> Answer:
        assert self._process is not None
        assert self._process.stdout is not None
        answers = self._process.stdout
        if not select.select([answers], [], [], patience_seconds)[0]:
            self.end()
            raise PeerFailedError(f"no answer within {patience_seconds:g} s")
        line = answers.readline()
        if not line:
            raise self._ended()
        answer = msgspec.json.decode(line, type=Answer)
        if answer.failure is not None:
            raise PeerFailedError(answer.failure)
        return answer

    def _ended(self) -> PeerFailedError:
        assert self._process is not None
        try:
            code = self._process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            return PeerFailedError("its process stopped answering")
        finally:
            self.end()
        return PeerFailedError(f"its process ended, exit code {code}")


@contextmanager
def workers(names: Sequence[str], loop: str, sizes: Sizes) -> Iterator[list[Worker]]:
    started = [Worker(name, loop, sizes) for name in names]
    try:
        yield started
    finally:
        for worker in started:
            worker.end()


class _Run:
    """What one peer has done in one work so far."""

    def __init__(self, worker: Worker, path: Path) -> None:
        self.worker = worker
        self.path = path
        self.microseconds: list[float] = []
        self.operations = 0
        self.results = 0
        self.errors: Counter[str] = Counter()
        self.lost = 0
        self.failure: str | None = None

    def standing(self, ours: _Run | None) -> Standing:
        if self.failure is not None or not self.microseconds:
            return Standing(
                errors=dict(self.errors),
                failure=self.failure or "nothing succeeded in any round",
                results=self.results,
            )
        ratios = (
            Spread.of(
                [mine / our for mine, our in zip(self.microseconds, ours.microseconds, strict=True)]
            )
            if ours is not None and len(ours.microseconds) == len(self.microseconds)
            else None
        )
        return Standing(
            Spread.of(self.microseconds),
            ratios,
            self.operations,
            dict(self.errors),
            self.lost,
            results=self.results,
        )


def measure(
    work: Work, template: Template, workers: Sequence[Worker], rounds: int
) -> dict[str, Standing]:
    """The standings by peer. WrongResultError when the library's own result is wrong, or one of its
    writes is lost; another peer's wrong result, or failure, is in its standing."""
    runs = [_Run(worker, template.copy()) for worker in workers]
    for run in runs:
        _attempt(run, partial(run.worker.open, run.path, work.durability))
    for round_number in range(_WARM_UP + rounds):
        # Nobody is always the one who follows the slowest.
        order = random.Random(f"{work.name} {workers[0].loop} {round_number}")
        for run in order.sample(runs, len(runs)):
            if run.failure is None:
                _attempt(run, partial(_round, work, template, run, round_number))
    for run in runs:
        if run.failure is None:
            _attempt(run, run.worker.close)
        else:
            run.worker.end()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{run.path}{suffix}").unlink(missing_ok=True)
    ours = next((run for run in runs if run.worker.name == OURS), None)
    if ours is not None and ours.failure is not None:
        raise WrongResultError(f"{OURS}, {work.name}: {ours.failure}")
    if ours is not None and ours.lost:
        raise WrongResultError(f"{OURS}, {work.name}: {ours.lost} of {ours.operations} lost")
    return {run.worker.name: run.standing(ours) for run in runs}


def _round(work: Work, template: Template, run: _Run, round_number: int) -> None:
    answer = run.worker.run(work, round_number)
    run.errors.update(answer.errors.values())
    operations = work.operations(template.data)
    run.operations += operations
    run.results += answer.results
    if work.lost is not None:
        prepared = work.prepare(template.data, round_number)
        with closing(sqlite3.connect(f"{run.path.as_uri()}?mode=ro", uri=True)) as native:
            run.lost += work.lost(native, template.data, prepared, set(answer.errors))
    succeeded = operations * (1 - len(answer.errors) / answer.results)
    if round_number >= _WARM_UP and succeeded:
        run.microseconds.append(answer.seconds / succeeded * 1e6)


def _attempt(run: _Run, step: Callable[[], object]) -> None:
    try:
        step()
    except PeerFailedError as error:
        run.failure = str(error)
