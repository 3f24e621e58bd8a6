"""What the processes under test write, and what must be found of it whatever happened to them.

Each piece of work has a key, and is marked before it starts and after its await has returned. Of a
key "f-…" there is 1 row, of a unit "u-…" 3, of a batch "m-…" 3, of a unit that is rolled back "r-…"
none; anything else is torn. "p-…" is progress, whose last value is all that can be seen of it, and
"c-…" a copy, which is a file of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import reelbase
from reelbase import Database, NewFile
from reelbase.engine.threads import worker, writer
from reelbase.engine.threads.mailbox import settle
from reelbase.engine.threads.transaction import Transaction
from reelbase.engine.threads.worker import Request

TASKS = 16
ROWS = {"f": 1, "u": 3, "m": 3, "r": 0}
PROFILE = "ann"
_PROGRESS_STEP = 1e-6
_STORED = """
    SELECT name, count(*)
    FROM (
      SELECT name FROM files
      UNION ALL SELECT text FROM transcripts
      UNION ALL SELECT type FROM jobs WHERE progress = 0
    )
    GROUP BY name
"""
_PROGRESS = "SELECT type, progress FROM jobs WHERE progress > 0"

# Marks a key as started ("s") or as acknowledged ("a").
Mark = Callable[[str, str], None]


@dataclass
class Marks:
    """What was started and acknowledged, with the moment of each: any number that grows."""

    started: dict[str, int] = field(default_factory=dict)
    acknowledged: dict[str, int] = field(default_factory=dict)

    def add(self, lines: Iterable[str], moment: int | None = None) -> None:
        """Lines as they were marked: "s f-3-17". Without a moment each has its own."""
        for line in lines:
            kind, key = line.split()
            now = len(self.started) + len(self.acknowledged) if moment is None else moment
            (self.started if kind == "s" else self.acknowledged)[key] = now


def marking_on(descriptor: int) -> Mark:
    return lambda kind, key: (os.write(descriptor, f"{kind} {key}\n".encode()), None)[1]


# Writing.


async def write(
    database: Database, mark: Mark, *, rounds: int | None, seed: int = 0, split_units: bool = False
) -> None:
    """16 tasks write at once, each for that many rounds, or for ever. The round goes into the keys."""
    await database.profiles.ensure(PROFILE)
    file = await database.files.add(PROFILE, "", "")
    await asyncio.gather(
        *(_task(database, mark, file.id, f"{seed}-{n}", rounds, split_units) for n in range(TASKS))
    )


async def _task(
    database: Database, mark: Mark, file_id: Any, name: str, rounds: int | None, split_units: bool
) -> None:
    choose = random.Random(name)
    mark("s", f"p-{name}-0")
    job = await database.jobs.add(PROFILE, f"p-{name}", {})
    for n in itertools.count(1) if rounds is None else range(1, rounds + 1):
        kind = choose.choice("ffumrpp")
        key = f"{kind}-{name}-{n}"
        mark("s", key)
        if kind == "f":
            await database.files.add(PROFILE, key, "p")
        elif kind == "m":
            await database.files.add_many(PROFILE, [NewFile(key, "p")] * 3)
        elif kind == "p":
            await database.jobs.progress(job.id, n * _PROGRESS_STEP)
        elif split_units:
            await _unit(database, file_id, key)
        else:
            async with database.transaction() as unit:
                await _unit(unit, file_id, key)
                if kind == "r":
                    await unit.rollback()
        mark("a", key)


async def _unit(holder: Any, file_id: Any, key: str) -> None:
    await holder.files.add(PROFILE, key, "p")
    await holder.transcripts.add(PROFILE, file_id, key)
    await holder.jobs.add(PROFILE, key, {})


# Looking.


@dataclass(frozen=True)
class Stored:
    """What plain sqlite3 finds in a file: rows by key, the last progress by job."""

    damage: str | None
    rows: Mapping[str, int]
    progress: Mapping[str, int]


def stored_in(path: Path) -> Stored:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        integrity = connection.execute("PRAGMA integrity_check").fetchall()
        if integrity != [("ok",)]:
            return Stored(f"integrity_check: {integrity[:3]}", {}, {})
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
        if broken:
            return Stored(f"foreign_key_check: {broken[:3]}", {}, {})
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'jobs'").fetchone() is None:
            return Stored(None, {}, {})  # not yet created
        rows = dict(connection.execute(_STORED))
        progress = {
            job: round(value / _PROGRESS_STEP) for job, value in connection.execute(_PROGRESS)
        }
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return Stored(repr(error), {}, {})
    finally:
        connection.close()
    return Stored(None, rows, progress)


def problems(
    stored: Stored, marks: Marks, *, until: int, hard: int, hard_progress: int
) -> list[str]:
    """What is wrong with a file that was cut off at the moment `until`.

    Nothing is torn or from nowhere; what was acknowledged before `hard` (progress: before
    `hard_progress`) is there; and of what is missing, nothing was acknowledged before something
    that is there was started: only the tail may be lost.
    """
    if stored.damage is not None:
        return [stored.damage]
    found = [
        f"torn: {key} has {count} rows"
        for key, count in stored.rows.items()
        if key and count != ROWS.get(key[0], count)
    ]
    present = [key for key in stored.rows if key and key[0] in ROWS]
    present += [f"{job}-{step}" for job, step in stored.progress.items()]
    latest = max((marks.started.get(key, until) for key in present), default=-1)
    if latest >= until:
        found.append("from nowhere: something that was not started yet")
    for key, moment in marks.acknowledged.items():
        if moment < until and not _is_there(stored, key):
            if moment < (hard_progress if key[0] == "p" else hard):
                found.append(f"lost: {key}, acknowledged at {moment}")
            elif moment < latest:
                found.append(f"lost from the middle: {key}, {moment}, there is one of {latest}")
    return found


def _is_there(stored: Stored, key: str) -> bool:
    if key[0] == "p":
        job, _, step = key.rpartition("-")
        return stored.progress.get(job, 0) >= int(step)
    return key[0] in "rc" or key in stored.rows


# Mutants: engines that are broken on purpose.


def acknowledge_early() -> None:
    """The caller hears of a write before its COMMIT."""

    outcome_of = worker.outcome_of

    def run_and_tell(native: sqlite3.Connection, request: Request, perform: Any) -> Any:
        settled = outcome_of(native, request, perform)
        loop = request.future.get_loop()
        loop.call_soon_threadsafe(settle, [settled])
        time.sleep(0.001)  # the caller goes on at once
        return settled

    setattr(worker, "outcome_of", run_and_tell)  # noqa: B010


def commit_units_early() -> None:
    """A unit of work is told to be committed before it is."""
    commit = Transaction.commit

    async def tell_and_commit(self: Transaction) -> None:
        self._commit_task = asyncio.ensure_future(commit(self))  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    Transaction.commit = tell_and_commit  # type: ignore[method-assign]


def commit_without_sync() -> None:
    """Data commits like what is relaxed, without a sync."""
    writer._LEVELS["full"] = writer._LEVELS["normal"]


def commit_without_folder() -> None:
    """On a rollback journal the folder is not synced after the unlink that is the commit."""
    writer._LEVELS["extra"] = writer._LEVELS["full"]


MUTANTS: dict[str, Callable[[], None]] = {
    mutant.__name__: mutant
    for mutant in (
        acknowledge_early,
        commit_units_early,
        commit_without_sync,
        commit_without_folder,
    )
}


def connect(path: Path, journal: str, durability: str = "balanced") -> Any:
    settings: dict[str, Any] = {"journal": journal, "durability": durability}
    return reelbase.connect(path, **settings)
