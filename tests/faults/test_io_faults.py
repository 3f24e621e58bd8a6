"""A promise about disks that fail: every error is typed, true, and over when the fault is.

A read, write, sync, truncate, open or unlink fails, each in its turn: the n-th of a run that
connects, writes, reads and closes, once or from then on. What a call said must be what is stored.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import CommitUncertainError, Database, DatabaseError, NewFile, UnitOfWork
from reelbase.engine.file.commit import commit
from reelbase.engine.native.errors import translate
from reelbase.engine.threads import transaction, writer

from .conftest import Figure
from .workload import MUTANTS, PROFILE, ROWS, stored_in

QUICK_POINTS = 60
PATIENCE_SECONDS = 10.0
_BUSY_SECONDS = 0.3
_OFTEN = "PRAGMA wal_autocheckpoint = 20"

PHASES = ("new", "open", "work")
# As in shim.c.
OPERATIONS = {"open": 1, "write": 3, "truncate": 4, "sync": 5, "unlink": 6, "read": 8}
FAULTS = [
    ("read", "EIO"),
    ("write", "EIO"),
    ("write", "ENOSPC"),
    ("write", "EDQUOT"),
    ("write", "EROFS"),
    ("truncate", "EIO"),
    ("truncate", "ENOSPC"),
    ("sync", "EIO"),
    ("sync", "ENOSPC"),
    ("open", "EIO"),
    ("open", "ENOSPC"),
    ("open", "EROFS"),
    ("open", "EMFILE"),
    ("unlink", "EIO"),
]


@dataclass(frozen=True)
class Point:
    """Which call fails: the n-th of its kind since the phase began, and with sticky all after it."""

    phase: str  # "new": making a file, "open": opening one, "work": once it is open
    operation: str
    error: str
    nth: int
    sticky: bool


@dataclass
class Run:
    """What the calls of a run said."""

    path: Path
    journal: str
    done: set[str] = field(default_factory=set)
    failed: dict[str, BaseException] = field(default_factory=dict)
    states: dict[str, UnitOfWork] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    async def attempt(self, key: str, call: Awaitable[object]) -> Any:
        try:
            result = await asyncio.wait_for(call, PATIENCE_SECONDS)
        except TimeoutError:
            self.problems.append(f"{key} hangs")
        except DatabaseError as error:
            self.failed[key] = error
        except Exception as error:
            self.problems.append(f"{key}: untyped {error!r}")
        else:
            self.done.add(key)
            return result

    # What the disk fails under.

    def connect(self) -> Any:
        settings: dict[str, Any] = {"journal": self.journal, "busy_timeout": _BUSY_SECONDS}
        return reelbase.connect(self.path, **settings)

    async def open(self) -> Database | None:
        async def connect() -> Database:
            database: Database = await self.connect()
            return database

        database: Database | None = await self.attempt("connect", connect())
        return database

    async def work(self, database: Database) -> None:
        files = database.files
        await self.attempt("f-1", files.add(PROFILE, "f-1", "p"))
        await asyncio.gather(
            self.attempt("f-2", files.add(PROFILE, "f-2", "p")),
            self.attempt("m-3", files.add_many(PROFILE, [NewFile("m-3", "p")] * 3)),
            self.attempt("u-4", self.unit(database, "u-4")),
            self.attempt("f-5", files.add(PROFILE, "f-5", "p")),
            self.read(database, "read-1"),
        )
        await self.attempt("u-6", self.unit(database, "u-6"))
        await self.attempt("r-7", self.unit(database, "r-7"))
        await self.read(database, "read-2")

    async def unit(self, database: Database, key: str) -> None:
        async with database.transaction() as unit:
            self.states[key] = unit
            file = await unit.files.add(PROFILE, key, "p")
            await unit.transcripts.add(PROFILE, file.id, key)
            await unit.jobs.add(PROFILE, key, {})
            if key[0] == "r":
                await unit.rollback()

    async def read(self, database: Database, key: str) -> None:
        before = {key for key in self.done if key[0] in "fmu"}
        files = await self.attempt(key, database.files.list_for_profile(PROFILE))
        if files is not None and not before <= {file.name for file in files}:
            self.problems.append(f"{key}: something acknowledged is not seen")

    # What must hold afterwards.

    async def next_transaction(self, database: Database | None) -> None:
        """The fault is gone: everything works, on the same connection."""
        if database is None:
            database = await self.open()
        if database is None:
            self.problems.append(f"cannot connect afterwards: {self.failed['connect']!r}")
            return
        await self.attempt("f-8", database.profiles.ensure(PROFILE))
        await self.attempt("f-8", database.files.add(PROFILE, "f-8", "p"))
        await self.attempt("u-9", self.unit(database, "u-9"))
        await self.read(database, "read-3")
        await self.attempt("close", database.close())
        for key in ("f-8", "u-9", "read-3", "close"):
            if key in self.failed:
                self.problems.append(f"{key}, when the fault was gone: {self.failed[key]!r}")

    def compare(self, path: Path) -> None:
        """What each call said against what plain sqlite3 finds."""
        stored = stored_in(path)
        if stored.damage:
            self.problems.append(stored.damage)
            return
        for key in {*self.done, *self.failed}:
            if key[1] != "-":
                continue
            count = stored.rows.get(key, 0)
            if count not in (0, ROWS[key[0]]):
                self.problems.append(f"torn: {key} has {count} rows")
            error = self.failed.get(key)
            if key in self.done and count != ROWS[key[0]]:
                self.problems.append(f"lost: {key} was acknowledged")
            if error is not None and count and not isinstance(error, CommitUncertainError):
                self.problems.append(f"stored: {key} although it raised {error!r}")
        for key, unit in self.states.items():
            expected = "committed" if stored.rows.get(key) else "rolled_back"
            if unit.state not in (expected, "unknown"):
                self.problems.append(f"{key} is {unit.state}, but {expected}")


async def run_at(point: Point, shim: Any, path: Path, journal: str, template: Path) -> Run:
    run = Run(path, journal)
    for old in path.parent.iterdir():
        old.unlink()
    if point.phase != "new":
        shutil.copy(template, path)
    shim.shim_arm(0, 0, 0, 0)
    number = OPERATIONS[point.operation]
    arguments = (number, point.nth, getattr(errno, point.error), int(point.sticky))
    if point.phase == "work":
        database = await run.open()
        assert database is not None
        await database._writer.call(lambda native: native.execute(_OFTEN).close())
        shim.shim_arm(*arguments)
    else:
        shim.shim_arm(*arguments)
        database = await run.open()
    if database is not None:
        if point.phase == "work":
            await run.work(database)
        elif point.nth % 2:  # also under what connecting has left
            await run.attempt("close", database.close())
            database = None
    shim.shim_arm(0, 0, 0, 0)
    run.failed.pop("close", None)
    if point.phase == "work":
        run.compare(killed_copy(path))
    await run.next_transaction(database)
    run.compare(path)
    return run


def killed_copy(path: Path) -> Path:
    """What would be left if the process were killed now. (That this drops its locks harms nobody.)"""
    folder = path.parents[1] / "killed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in path.parent.iterdir():
        if not file.name.endswith("-shm"):
            shutil.copy(file, folder)
    return folder / path.name


async def length_of(
    phase: str, shim: Any, path: Path, journal: str, template: Path
) -> Counter[str]:
    """How many calls of each kind a run without fault makes, at most."""
    most: Counter[str] = Counter()
    for _ in range(3):
        counted = Point(phase, "read", "EIO", 1 << 40, False)
        # Armed to the end, so that it counts.
        run = await run_at(counted, _Counting(shim), path, journal, template)
        assert not run.problems, run.problems
        most |= Counter({name: shim.shim_count(number) for name, number in OPERATIONS.items()})
    return most


class _Counting:
    """A shim that is armed once and never disarmed."""

    def __init__(self, shim: Any) -> None:
        self._shim = shim

    def shim_arm(self, operation: int, *rest: int) -> None:
        if operation:
            self._shim.shim_arm(operation, *rest)


async def sweep(
    shim: Any, folder: Path, journal: str, points: int | None, phases: tuple[str, ...] = PHASES
) -> dict[str, Any]:
    """All points of the phases, or that many of them, up to the first problem."""
    template = folder / "template" / "media.db"
    settings: dict[str, Any] = {"journal": journal}
    async with reelbase.connect(template, **settings) as database:
        await database.profiles.ensure(PROFILE)
    (folder / "run").mkdir()
    path = folder / "run" / "media.db"
    every = []
    for phase in phases:
        lengths = await length_of(phase, shim, path, journal, template)
        every += [
            Point(phase, operation, error, nth, sticky)
            for operation, error in FAULTS
            for nth in range(1, lengths[operation] + 2)
            for sticky in (False, True)
        ]
    random.Random(1).shuffle(every)
    errors: Counter[str] = Counter()
    found: list[str] = []
    done = 0
    for point in itertools.islice(every, points):
        run = await run_at(point, shim, path, journal, template)
        found += [f"{point}: {problem}" for problem in run.problems]
        errors.update(type(error).__name__ for error in run.failed.values())
        done += 1
        if found:
            break
    return {"points": done, "errors": errors, "found": found}


def forget_failed_commits() -> None:
    """A COMMIT that failed is taken for one that succeeded."""

    def commit_or_not(native: Any) -> None:
        commit(native)

    for module in (transaction, writer):
        setattr(module, "commit", commit_or_not)  # noqa: B010


def take_uncertain_for_refused() -> None:
    """A COMMIT that failed is taken for one that changed nothing."""
    for module in (transaction, writer):
        setattr(module, "commit_error", translate)  # noqa: B010


MUTANTS |= {
    mutant.__name__: mutant for mutant in (forget_failed_commits, take_uncertain_for_refused)
}


def main(folder: Path, journal: str, points: int | None, mutant: str) -> None:
    if mutant:
        MUTANTS[mutant]()
    phases = ("work",) if mutant else PHASES
    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    shim.shim_arm.argtypes = (ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_int)
    shim.shim_count.restype = ctypes.c_long
    print(json.dumps(asyncio.run(sweep(shim, folder, journal, points, phases))))


def run_sweep(
    shim: Path, folder: Path, journal: str, points: int | None, mutant: str = ""
) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", __name__, folder, journal, str(points or ""), mutant],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"LD_PRELOAD": str(shim), "SHIM_FOLDER": str(folder / "run")},
        capture_output=True,
        text=True,
        check=False,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.long
def test_a_disk_that_fails_at_any_call_costs_nothing_but_that_call(
    shim: Path, memory_folder: Path, mode: str, full: bool, figure: Figure
) -> None:
    result = run_sweep(shim, memory_folder, mode, None if full else QUICK_POINTS)
    assert result["found"] == []
    assert result["errors"].keys() >= {"DatabaseIOError", "DatabaseFullError"}
    figure(f"I/O faults, {mode}: {result['points']} points, 0 lost or untyped; {result['errors']}")


@pytest.mark.long
@pytest.mark.parametrize("mutant", ["forget_failed_commits", "take_uncertain_for_refused"])
def test_the_sweep_finds(mutant: str, shim: Path, memory_folder: Path, journal: str) -> None:
    assert run_sweep(shim, memory_folder, journal, None, mutant)["found"] != []


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if sys.argv[3] else None, sys.argv[4])
