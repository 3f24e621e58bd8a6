"""A promise about changes(): each commit of each process is told, once and in order; what is undone never is.

Processes of the library and of plain sqlite3 write one file by turns, roll back, and are killed inside a
transaction whose pages are on the disk already. After each step a consumer must have been told of as many
commits as there were.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import ChangeStream, Database
from reelbase.engine.live.commits import Commits
from reelbase.engine.live.recorder import Names

from .conftest import Figure

QUICK_STEPS = 30
FULL_STEPS = 1000
PATIENCE_SECONDS = 5.0

LIBRARY = """
    async def main():
        async with reelbase.connect(sys.argv[1], journal=sys.argv[2]) as database:
            print("ready", flush=True)
            while command := (await asyncio.to_thread(sys.stdin.readline)).strip():
                async with database.transaction() as unit:
                    await unit.execute("INSERT INTO notes (text) VALUES ('library')")
                    if command == "hold":
                        await unit.execute("INSERT INTO notes (text) SELECT text FROM bulk")
                        print("held", flush=True)
                        time.sleep(60)
                    if command == "rollback":
                        await unit.rollback()
                print("done", time.monotonic(), flush=True)
    asyncio.run(main())
"""
PLAIN = """
    connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
    connection.execute("PRAGMA cache_size = 2")  # pages are written before COMMIT
    print("ready", flush=True)
    while command := sys.stdin.readline().strip():
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO notes (text) VALUES ('plain')")
        if command == "hold":
            connection.execute("INSERT INTO notes (text) SELECT text FROM bulk")
            print("held", flush=True)
            time.sleep(60)
        connection.execute("COMMIT" if command == "commit" else "ROLLBACK")
        print("done", time.monotonic(), flush=True)
"""


class Writer:
    """A process that writes when it is told to."""

    def __init__(self, body: str, path: Path, journal: str) -> None:
        self._start = [
            sys.executable,
            "-c",
            "import asyncio, sqlite3, sys, time\nimport reelbase\n" + textwrap.dedent(body),
            str(path),
            journal,
        ]
        self._process: subprocess.Popen[str] | None = None

    async def do(self, command: str) -> str:
        process = self._process or await self.start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{command}\n")
        process.stdin.flush()
        return (await asyncio.to_thread(process.stdout.readline)).strip()

    async def start(self) -> subprocess.Popen[str]:
        process = self._process = subprocess.Popen(  # noqa: ASYNC220
            self._start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "ready\n"
        return process

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


async def told(changes: ChangeStream, commits: int) -> list[str]:
    """What is wrong with what a stream gives after that many commits."""
    try:
        change = await asyncio.wait_for(anext(changes), PATIENCE_SECONDS)
    except TimeoutError:
        return [f"commit {commits} was missed"]
    if change.commit != commits:
        return [f"told of {change.commit} commits when there were {commits}"]
    return []


async def step(
    kind: str, database: Database, writer: Writer, changes: ChangeStream, commits: int
) -> tuple[int, list[str]]:
    """The number of commits after a step, and what was wrong."""
    if kind == "own":
        await database.execute("INSERT INTO notes (text) VALUES ('own')")
    elif kind == "hold":
        assert await writer.do("hold") == "held"
        writer.kill()
        return commits, []
    else:
        assert (await writer.do(kind)).startswith("done")
        if kind == "rollback":
            return commits, []
    return commits + 1, await told(changes, commits + 1)


async def prepare(path: Path, journal: Any) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        await database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
        await database.execute("CREATE TABLE bulk (text TEXT)")
        bulk = [(f"{n}" * 200,) for n in range(2000)]
        await database.execute_many("INSERT INTO bulk VALUES (?)", bulk)
    async with reelbase.connect(path, journal=journal):
        pass  # the first connect() after a change of the schema writes


async def run(path: Path, journal: Any, steps: int) -> tuple[dict[str, int], list[str]]:
    """How many steps of each kind were done until something was wrong, and what that is."""
    choose = random.Random(3)
    done: dict[str, int] = dict.fromkeys(("own", "commit", "rollback", "hold"), 0)
    found: list[str] = []
    await prepare(path, journal)
    async with reelbase.connect(path, journal=journal, busy_timeout=30) as database:
        writers = [Writer(body, path, journal) for body in [LIBRARY] * 2 + [PLAIN] * 6]
        try:
            async with database.changes("notes") as changes:
                commits = 0
                for _ in range(steps):
                    kind = choose.choice(("own", "commit", "commit", "commit", "rollback", "hold"))
                    commits, found = await step(
                        kind, database, choose.choice(writers), changes, commits
                    )
                    done[kind] += 1
                    if found:
                        break
        finally:
            for writer in writers:
                writer.kill()
    return done, found


@pytest.mark.long
async def test_each_commit_of_each_process_is_told_once_and_what_is_undone_never(
    memory_folder: Path, mode: str, full: bool, figure: Figure
) -> None:
    steps = FULL_STEPS if full else QUICK_STEPS
    done, found = await run(memory_folder / "media.db", mode, steps)
    assert found == []
    assert all(done.values()), done
    figure(
        f"changes, {mode}: {done['own']} own commits and {done['commit']} of 8 processes, among them "
        f"{done['rollback']} rollbacks and {done['hold']} kills -9 inside a transaction: "
        "0 missed, 0 undone ones told, order kept"
    )


@pytest.mark.long
async def test_the_steps_find_a_watcher_that_drops_a_notice(
    memory_folder: Path, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell, count = Commits.tell, 0

    def drop_one(self: Commits, names: Names | None) -> None:
        nonlocal count
        count += 1
        if count != 10:
            tell(self, names)

    monkeypatch.setattr(Commits, "tell", drop_one)
    monkeypatch.setitem(globals(), "PATIENCE_SECONDS", 1.5)
    _, found = await run(memory_folder / "media.db", journal, 60)
    assert found == ["commit 10 was missed"]
