"""A promise about leaving: a program ends within 2 seconds although its disk does not answer.

What was forgotten, failed or cancelled is in test_lifecycle.py. Here a read or a sync never returns,
as on a dead file server or a dying disk, and the program gives up and ends.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import textwrap
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

MOST_SECONDS = 2.0
_PROLOGUE = """
import asyncio, ctypes, os, sys, time
import reelbase

SYNC, READ = 5, 8
shim = ctypes.CDLL(os.environ["LD_PRELOAD"])

def hang(operation):
    shim.shim_arm(operation, ctypes.c_long(1), -1, 1)

def connect():
    return reelbase.connect(sys.argv[1], journal=sys.argv[2], busy_timeout=0.2)

async def main():
    try:
        await work()
    except TimeoutError:
        print(time.time(), flush=True)
    else:
        sys.exit("nothing hung")

async def work():
"""
HANGS = {
    "a write": """
        database = await connect()
        hang(SYNC)
        async with asyncio.timeout(0.2):
            await database.profiles.ensure("p")
    """,
    "the commit of a unit": """
        database = await connect()
        async with asyncio.timeout(0.2):
            async with database.transaction() as unit:
                await unit.profiles.ensure("p")
                hang(SYNC)
    """,
    "connecting": """
        hang(READ)
        async with asyncio.timeout(0.2):
            await connect()
    """,
    "closing": """
        database = await connect()
        await database.profiles.ensure("p")
        hang(SYNC)
        writing = asyncio.ensure_future(database.profiles.ensure("q"))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(0.2):
            await database.close()
    """,
}


# A thread that is no daemon is waited for.
_MUTANT = """
import threading
threading.Thread.daemon = property(lambda self: False, lambda self, is_daemon: None)
"""


def copied(template: Path, folder: Path) -> Path:
    folder.mkdir()
    return Path(shutil.copy(template, folder / "media.db"))


async def start(
    shim: Path, template: Path, folder: Path, journal: str, what: str, mutant: str = ""
) -> Process:
    path = copied(template, folder)
    body = textwrap.indent(textwrap.dedent(HANGS[what]), "    ")
    code = f"{mutant}{_PROLOGUE}{body}\nasyncio.run(main())"
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "ignore::ResourceWarning", "-c", code, path, journal),
        env=os.environ | {"LD_PRELOAD": str(shim), "SHIM_FOLDER": str(folder)},
        stdout=PIPE,
        stderr=PIPE,
    )


async def seconds_to_leave(process: Process) -> float:
    """From the end of the program's work to its exit."""
    output, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    return time.time() - float(output)


@pytest.mark.long
async def test_programs_end_although_their_disks_hang(
    shim: Path, template: Path, tmp_path: Path, mode: str
) -> None:
    mutant = await start(shim, template, tmp_path / "mutant", mode, "a write", _MUTANT)
    started = [
        await start(shim, template, tmp_path / str(n), mode, what) for n, what in enumerate(HANGS)
    ]
    try:
        seconds = await asyncio.gather(*map(seconds_to_leave, started))
        assert max(seconds) < MOST_SECONDS, dict(zip(HANGS, seconds, strict=True))
        assert mutant.stdout is not None
        left = float(await mutant.stdout.readline())
        await asyncio.sleep(left + MOST_SECONDS - time.time())
        assert mutant.returncode is None, "a program that waits for its thread was not told apart"
    finally:
        for process in (*started, mutant):
            if process.returncode is None:
                process.kill()
            await process.communicate()
