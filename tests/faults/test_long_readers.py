"""A promise about long readers and abandoned streams: once they are gone, the write-ahead log is back
under its limit within one cycle of upkeep. (What is said meanwhile is in test_upkeep.py.)"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from pathlib import Path

import pytest

import reelbase
from reelbase import Database
from reelbase.engine.native.pragmas import WAL_LIMIT_BYTES
from reelbase.engine.threads import upkeep

from .conftest import Figure

QUICK_LIMIT_BYTES = 200_000
LIMIT_BYTES = WAL_LIMIT_BYTES
QUICK_CYCLE_SECONDS = 0.2
# For the checkpoint itself, and for a machine that is busy.
SLACK_SECONDS = 1.0


@pytest.fixture(autouse=True)
def quickly(full: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of the library in the run at length, small ones otherwise."""
    monkeypatch.setattr(f"{__name__}.LIMIT_BYTES", WAL_LIMIT_BYTES if full else QUICK_LIMIT_BYTES)
    if not full:
        monkeypatch.setattr(upkeep, "_CYCLE_SECONDS", QUICK_CYCLE_SECONDS)
        monkeypatch.setattr(upkeep, "_PATIENCE_SECONDS", QUICK_CYCLE_SECONDS / 10)
        monkeypatch.setattr(upkeep, "WAL_LIMIT_BYTES", QUICK_LIMIT_BYTES)


def log_bytes(path: Path) -> int:
    return os.stat(f"{path}-wal").st_size


async def outgrow(database: Database, path: Path) -> None:
    """Writes until the log is over its limit."""
    for n in range(100):
        if log_bytes(path) > LIMIT_BYTES:
            return
        # SQLite does not write pages anew that stay the same.
        await database.config.set("key", f"{n:04}" * (LIMIT_BYTES // 80))
    raise AssertionError("the log does not grow")


async def seconds_until_short(path: Path) -> float:
    started = time.monotonic()
    while log_bytes(path) > LIMIT_BYTES:
        waited = time.monotonic() - started
        assert waited < upkeep._CYCLE_SECONDS + SLACK_SECONDS, "the log stays over its limit"
        await asyncio.sleep(0.01)
    return time.monotonic() - started


async def behind_readers(path: Path) -> float:
    """The longest time that the log took after a snapshot was left, and after a stream was forgotten."""
    seconds = []
    async with reelbase.connect(path, journal="wal") as database:
        await database.config.set("other", 1)
        async with database.snapshot() as view:
            await view.config.all()
            await outgrow(database, path)
            await asyncio.sleep(1.5 * upkeep._CYCLE_SECONDS)
            assert log_bytes(path) > LIMIT_BYTES
        seconds.append(await seconds_until_short(path))
        stream = database.stream(str, "SELECT key FROM config", batch=1)
        await anext(stream)
        await outgrow(database, path)
        del stream
        gc.collect()
        seconds.append(await seconds_until_short(path))
    return max(seconds)


async def test_the_log_is_short_again_within_a_cycle(path: Path, figure: Figure) -> None:
    seconds = await behind_readers(path)
    figure(f"long readers: the log is back under its limit after {seconds:.1f} s at most")


async def test_a_log_that_stays_long_is_seen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep.Upkeep, "look", upkeep.Upkeep.start)
    monkeypatch.setattr(f"{__name__}.SLACK_SECONDS", 0.2)
    with pytest.raises(AssertionError, match="stays over its limit"):
        await behind_readers(path)
