"""The works that change downloads: reports of progress, alone and among reads, and read-modify-write."""

from __future__ import annotations

import random
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from bench.peers.data import Data
from bench.peers.interface import Peer
from bench.peers.records import Download
from bench.peers.work import (
    TASKS,
    Work,
    by_tasks,
    nothing_to_check,
    require,
)


class _Progress(msgspec.Struct, frozen=True):
    id: UUID
    percent: float
    speed: str
    eta: str


def _progress_count(data: Data) -> int:
    return TASKS * data.sizes.writes_per_task


def _progresses(data: Data, round_number: int) -> list[_Progress]:
    return [
        _Progress(
            data.downloading[number % TASKS].id,
            ((round_number * 7919 + number * 31) % 9973) / 100,
            f"{number % 97}.5MiB/s",
            f"00:{number % 60:02}",
        )
        for number in range(_progress_count(data))
    ]


async def _report(peer: Peer, progresses: list[_Progress]) -> list[Any]:
    return await by_tasks(
        [
            partial(peer.progress, each.id, each.percent, each.speed, each.eta)
            for each in progresses
        ],
        TASKS,
    )


def _lost_progress(
    native: sqlite3.Connection,
    _: Data,
    operations: Sequence[Download | _Progress],
    failed: set[int],
) -> int:
    """Those after the report that the download shows; all when it shows none of them."""
    reports: dict[UUID, list[_Progress]] = defaultdict(list)
    for number, each in enumerate(operations):
        if isinstance(each, _Progress) and number not in failed:
            reports[each.id].append(each)
    lost = 0
    for download_id, of_one in reports.items():
        shown = native.execute(
            "SELECT status, progress_percent, speed, eta FROM downloads WHERE id = ?",
            (str(download_id),),
        ).fetchone()
        latest_first = [
            ("downloading", each.percent, each.speed, each.eta) for each in reversed(of_one)
        ]
        lost += latest_first.index(shown) if shown in latest_first else len(of_one)
    return lost


def _mixed(data: Data, round_number: int) -> list[Download | _Progress]:
    rng = random.Random(round_number)
    progresses = _progresses(data, round_number)
    # Those that are written are not read: what a read gives is then known.
    quiet = [row for row in data.downloads if not row.status.is_active]
    operations: list[Download | _Progress] = [
        progress if rng.random() < 0.2 else rng.choice(quiet) for progress in progresses
    ]
    return operations


async def _run_mixed(peer: Peer, operations: list[Download | _Progress]) -> list[Any]:
    return await by_tasks(
        [
            partial(peer.get, each.id)
            if isinstance(each, Download)
            else partial(peer.progress, each.id, each.percent, each.speed, each.eta)
            for each in operations
        ],
        TASKS,
    )


def _check_mixed(_: Data, operations: list[Download | _Progress], results: list[Any]) -> None:
    pairs = [
        (result, each)
        for each, result in zip(operations, results, strict=True)
        if isinstance(each, Download) and not isinstance(result, Exception)
    ]
    require(Download, [result for result, _ in pairs], [each for _, each in pairs])


class _Growing(msgspec.Struct, frozen=True):
    download: Download
    times: int


def _growing_count(data: Data) -> int:
    return TASKS * max(1, data.sizes.writes_per_task // 4)


def _growing(data: Data, round_number: int) -> _Growing:
    """A download that no other work changes."""
    finished = [row for row in data.downloads if not row.status.is_active]
    return _Growing(finished[-1 - round_number], _growing_count(data))


async def _grow(peer: Peer, growing: _Growing) -> list[Any]:
    return await by_tasks([partial(peer.grow, growing.download.id)] * growing.times, TASKS)


def _lost_growth(native: sqlite3.Connection, _: Data, growing: _Growing, failed: set[int]) -> int:
    (filesize,) = native.execute(
        "SELECT filesize FROM downloads WHERE id = ?", (str(growing.download.id),)
    ).fetchone()
    return growing.times - len(failed) - (int(filesize) - (growing.download.filesize or 0))


CHANGES = (
    Work(
        name="progress",
        question=f"{TASKS} tasks report the progress of a download each, NORMAL; per report",
        target=2,
        operations=_progress_count,
        prepare=_progresses,
        run=_report,
        check=nothing_to_check,
        lost=_lost_progress,
    ),
    Work(
        name="read-modify-write",
        question=f"{TASKS} tasks add one to the same number that they read, NORMAL; per unit",
        target=3,
        operations=_growing_count,
        prepare=_growing,
        run=_grow,
        check=nothing_to_check,
        lost=_lost_growth,
    ),
    Work(
        name="mixed",
        question=f"{TASKS} tasks, 80 % gets and 20 % reports of progress; per operation",
        operations=_progress_count,
        prepare=_mixed,
        run=_run_mixed,
        check=_check_mixed,
        lost=_lost_progress,
    ),
)
