"""A promise about what is to be unlinked: while 4 processes evict, retain and pin at once, nothing is named
twice, nothing that was pinned goes, and all that goes is named."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import Database, RecordNotFoundError

from .conftest import Figure

ROWS = 200
PROCESSES = 4
_FEWER = 10  # rows that each turn keeps less
_BUSY_SECONDS = 60.0
_PAUSE = 0.005  # between the two steps of a mutant

Turn = Callable[[Database, int], Awaitable[list[str]]]


def connect(path: Path, journal: str) -> Any:
    settings: dict[str, Any] = {"journal": journal, "busy_timeout": _BUSY_SECONDS}
    return reelbase.connect(path, **settings)


async def evict(database: Database, keep: int) -> list[str]:
    return [one.path for one in await database.derived_files.evict(max_count=keep)]


async def evict_carelessly(database: Database, keep: int) -> list[str]:
    """The mutant: removes in one transaction what it has found in another one."""
    found = await database.derived_files.evictable(max_count=keep)
    await asyncio.sleep(_PAUSE)
    for one in found:
        await database.derived_files.delete(one.id, missing_ok=True)
    return [one.path for one in found]


async def retain(database: Database, keep: int) -> list[str]:
    listed = await database.retention.files("ann", max_count=keep)
    return [str(one.path) for one in await database.retention.remove(listed)]


async def retain_carelessly(database: Database, keep: int) -> list[str]:
    """The mutant: removes what was listed, as it was then."""
    listed = await database.retention.files("ann", max_count=keep)
    await asyncio.sleep(_PAUSE)
    for one in listed:
        await database.files.delete(one.key, missing_ok=True)
    return [str(one.path) for one in listed]


async def pin(database: Database, kind: str, path: str) -> bool:
    """Whether the row was there, and is pinned."""
    if kind.startswith("evict"):
        find = "SELECT id FROM derived_files WHERE path = :path"
        if (id := await database.fetch_optional(int, find, {"path": path})) is None:
            return False
        change: Awaitable[Any] = database.derived_files.pin(id)
    else:
        find = "SELECT id FROM files WHERE path = :path"
        if (key := await database.fetch_optional(str, find, {"path": path})) is None:
            return False
        change = database.retention.pin_file(key)
    try:
        await change
    except RecordNotFoundError:
        return False
    return True


async def work(path: Path, journal: str, how: str, number: int) -> None:
    """Turns of one process, each of which keeps fewer rows, and pins one of the oldest before."""
    turn: Turn = globals()[how]
    named: list[str] = []
    pinned: list[str] = []
    async with connect(path, journal) as database:
        print("ready", flush=True)
        sys.stdin.readline()  # until all are
        for keep in range(ROWS, -1, -_FEWER):
            candidate = f"{ROWS - keep + number}"
            if await pin(database, how, candidate):
                pinned.append(candidate)
            named += await turn(database, keep)
    print(json.dumps({"named": named, "pinned": pinned}))


async def fill(path: Path, journal: str, how: str) -> None:
    """Rows whose paths are their numbers, the oldest first."""
    async with connect(path, journal) as database:
        await database.profiles.ensure("ann")
        source = await database.files.add("ann", "source", "source")
        await database.retention.pin_file(source.id)
        for number in range(ROWS):
            if how.startswith("evict"):
                one = await database.derived_files.ensure(source.id, "k", {"n": number})
                await database.derived_files.complete(one.id, str(number), 1)
            else:
                await database.files.add("ann", "n", str(number))


async def outcome(path: Path, journal: str, how: str) -> tuple[Counter[str], set[str], set[str]]:
    """How often each path was named, which were pinned, and which are left, after all processes."""
    await fill(path, journal, how)
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", __name__, path, journal, how, str(number)),
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    named, pinned = Counter[str](), set[str]()
    for process in started:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
    for process in started:
        told, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        report = json.loads(told)
        named.update(report["named"])
        pinned.update(report["pinned"])
    table = "derived_files" if how.startswith("evict") else "files"
    async with connect(path, journal) as database:
        left = await database.fetch_all(
            str, f"SELECT path FROM {table} WHERE path <> 'source' AND :all", {"all": True}
        )
    return named, pinned, set(left)


def faults(named: Counter[str], pinned: set[str], left: set[str]) -> list[str]:
    """What broke the promise."""
    twice = sorted(path for path, times in named.items() if times > 1)
    unnamed = {str(number) for number in range(ROWS)} - named.keys() - left
    return [
        *(f"{path} was named twice" for path in twice),
        *(f"{path} was pinned and is gone" for path in sorted(pinned - left)),
        *(f"{path} was pinned and named" for path in sorted(pinned & named.keys())),
        *(f"{path} is there and was named" for path in sorted(left & named.keys())),
        *(f"{path} is gone and was not named" for path in sorted(unnamed)),
    ]


@pytest.mark.long
@pytest.mark.parametrize("how", ["evict", "retain"])
async def test_what_is_to_be_unlinked_is_named_once_and_nothing_pinned_goes(
    path: Path, mode: str, how: str, figure: Figure
) -> None:
    named, pinned, left = await outcome(path, mode, how)
    assert faults(named, pinned, left) == []
    assert len(named) > ROWS // 2
    assert pinned
    figure(
        f"{how}, {mode}, {PROCESSES} processes: {len(named)} named once, {len(pinned)} pinned stay"
    )


@pytest.mark.long
@pytest.mark.parametrize("how", ["evict_carelessly", "retain_carelessly"])
async def test_what_is_removed_after_it_was_listed_breaks_the_promise_and_that_is_seen(
    path: Path, mode: str, how: str
) -> None:
    assert faults(*await outcome(path, mode, how)) != []


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
