"""A promise about read-modify-write: of 200 units at once, in one process or over 8, none is lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import Database

from .conftest import Figure

UNITS = 200
PROCESSES = 8
_BUSY_SECONDS = 60.0
_GET = "SELECT value FROM counter"
_SET = "UPDATE counter SET value = ?"


def connect(path: Path, journal: str) -> Any:
    settings: dict[str, Any] = {"journal": journal, "busy_timeout": _BUSY_SECONDS}
    return reelbase.connect(path, **settings)


async def add_one(database: Database) -> None:
    async with database.transaction() as unit:
        value = await unit.fetch_one(int, _GET)
        await asyncio.sleep(0)  # others have their turn
        await unit.execute(_SET, (value + 1,))


async def add_one_carelessly(database: Database) -> None:
    """The mutant: reads outside the transaction that writes."""
    value = await database.fetch_one(int, _GET)
    async with database.transaction() as unit:
        await unit.execute(_SET, (value + 1,))


async def add(path: Path, journal: str, units: int, how: Any = add_one) -> None:
    async with connect(path, journal) as database:
        await asyncio.gather(*(how(database) for _ in range(units)))


async def total(path: Path, journal: str) -> int:
    async with connect(path, journal) as database:
        value: int = await database.fetch_one(int, _GET)
        return value


@pytest.fixture
async def counted(path: Path, mode: str) -> Path:
    async with connect(path, mode) as database:
        await database.execute("CREATE TABLE counter (value INTEGER NOT NULL)")
        await database.execute("INSERT INTO counter VALUES (0)")
    return path


async def over_processes(path: Path, mode: str, how: str) -> None:
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", __name__, path, mode, str(UNITS // PROCESSES), how),
            cwd=Path(__file__).parents[1],
            stderr=subprocess.PIPE,
        )
        for _ in range(PROCESSES)
    ]
    for process in started:
        _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()


async def test_no_update_is_lost_in_one_process(counted: Path, mode: str, figure: Figure) -> None:
    await add(counted, mode, UNITS)
    assert await total(counted, mode) == UNITS
    figure(f"lost updates, {mode}, one process: 0 of {UNITS}")


@pytest.mark.long
async def test_no_update_is_lost_over_8_processes(counted: Path, mode: str, figure: Figure) -> None:
    await over_processes(counted, mode, "add_one")
    assert await total(counted, mode) == UNITS
    figure(f"lost updates, {mode}, {PROCESSES} processes: 0 of {UNITS}")


async def test_updates_that_read_outside_are_lost_and_that_is_seen(
    counted: Path, mode: str
) -> None:
    await add(counted, mode, UNITS, add_one_carelessly)
    assert await total(counted, mode) < UNITS


if __name__ == "__main__":
    asyncio.run(add(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), globals()[sys.argv[4]]))
