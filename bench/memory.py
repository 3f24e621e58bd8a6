"""How much memory a million rows take, one by one: each contender in a process of its own.

``python -m bench.memory CONTENDER FILE`` measures one and prints JSON.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import msgspec

import reelbase
from bench import baselines
from bench.data import Stage
from bench.measuring import OURS, WrongResultError
from reelbase import File

MEMORY = "memory"
QUESTION = "Streaming rows one by one; peak resident memory above the start"
LIMIT_MB = 50
CONTENDERS = (baselines.SYNC, OURS, baselines.BY_HAND)

_STREAM = """
SELECT
  id, profile_id, name, path, type, folder, source_file_id,
  origin, size_bytes, content_type, content_hash, source_url, created_at
FROM streamed
"""


class Footprint(msgspec.Struct, frozen=True):
    """rows: how many came.  total_bytes: the sum of their sizes, which shows that they were read."""

    rows: int
    total_bytes: int
    peak_mb: float
    microseconds_per_row: float


def measure_memory(stage: Stage) -> dict[str, Footprint]:
    """By contender. Raises WrongResultError."""
    path = stage.copy()
    wanted = _fill(path, stage.sizes.streamed)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    footprints: dict[str, Footprint] = {}
    for name in CONTENDERS:
        done = subprocess.run(
            [sys.executable, "-m", "bench.memory", name, str(path)],
            cwd=Path(__file__).resolve().parents[1],
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
        )
        footprint = msgspec.json.decode(done.stdout, type=Footprint)
        if (footprint.rows, footprint.total_bytes) != wanted:
            raise WrongResultError(f"{name} streamed {footprint.rows} rows, not {wanted[0]}")
        footprints[name] = footprint
    return footprints


def _fill(path: Path, rows: int) -> tuple[int, int]:
    """A table of that many rows like files, without its indexes. Returns the rows and their bytes."""
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute(
            """
            CREATE TABLE streamed AS
            WITH RECURSIVE numbers (number) AS (
              SELECT 0
              UNION ALL
              SELECT number + 1
              FROM numbers
              LIMIT ?
            )
            SELECT files.*
            FROM numbers
            JOIN files ON files.rowid = 1 + number % (SELECT count(*) FROM files)
            """,
            (rows,),
        )
        wanted: tuple[int, int] = native.execute(
            "SELECT count(*), sum(size_bytes) FROM streamed"
        ).fetchone()
        native.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return wanted


def _memory_mb(field: str) -> float:
    """VmRSS or VmHWM (its peak) of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / 1024
    raise WrongResultError(f"this system does not tell {field}")


async def _stream(name: str, path: Path) -> Footprint:
    rows = total_bytes = 0
    if name == OURS:
        async with reelbase.connect(path) as database:
            start_mb, started = _memory_mb("VmRSS"), time.perf_counter()
            async with database.stream(File, _STREAM) as stream:
                async for file in stream:
                    rows += 1
                    total_bytes += file.size_bytes or 0
    elif name == baselines.SYNC:
        with baselines.plain(path) as native:
            start_mb, started = _memory_mb("VmRSS"), time.perf_counter()
            for row in native.execute(_STREAM):
                rows += 1
                total_bytes += row[8]
    else:
        async with baselines.by_hand(path) as connection:
            start_mb, started = _memory_mb("VmRSS"), time.perf_counter()
            async with connection.execute(_STREAM) as cursor:
                async for row in cursor:
                    rows += 1
                    total_bytes += baselines.file_by_hand(row).size_bytes or 0
    elapsed = time.perf_counter() - started
    return Footprint(rows, total_bytes, _memory_mb("VmHWM") - start_mb, elapsed / rows * 1e6)


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(_stream(sys.argv[1], Path(sys.argv[2])))).decode())
