"""The works that add downloads, and the one that claims them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from bench.measuring import WrongResultError
from bench.peers.data import Data, moment_text, session
from bench.peers.interface import Durability, NewDownload, Peer
from bench.peers.records import Download, DownloadStatus
from bench.peers.work import (
    TASKS,
    Work,
    by_tasks,
    nothing_to_check,
    plain,
)

_WORKERS = 8
# Longer than any run of a peer.
_RECENT = timedelta(minutes=2)


def _for_one_session(
    size: Callable[[Data], int], session_id: str, data: Data, round_number: int
) -> list[NewDownload]:
    count = size(data)
    return data.new_downloads(
        round_number * count, count, session_id.format(round_number=round_number)
    )


def _for_sessions(size: Callable[[Data], int], data: Data, round_number: int) -> list[NewDownload]:
    """All but the first are for sessions that exist."""
    first, *others = _for_one_session(size, "new-{round_number}", data, round_number)
    return [
        first,
        *(
            msgspec.structs.replace(each, session_id=session(number))
            for number, each in enumerate(others)
        ),
    ]


async def _adds(peer: Peer, new: list[NewDownload]) -> list[Any]:
    return [await peer.add(each) for each in new]


async def _adds_by_tasks(peer: Peer, new: list[NewDownload]) -> list[Any]:
    return await by_tasks([partial(peer.add, each) for each in new], TASKS)


async def _add_many(peer: Peer, new: list[NewDownload]) -> list[Any]:
    await peer.add_many(new)
    return new


def _recently() -> tuple[str, str]:
    """The earliest and the latest moment that a run which has just ended can have stored."""
    now = datetime.now(UTC)
    return moment_text(now - _RECENT), moment_text(now)


def _require(result: Any, new: NewDownload, status: DownloadStatus) -> None:
    """This download in full, with moments of this run."""
    names = Download.__struct_fields__
    row = dict(zip(names, plain(result, names), strict=True))
    is_started = status is not DownloadStatus.QUEUED
    moments = [row["created_at"], row["started_at"]] if is_started else [row["created_at"]]
    wanted = dict.fromkeys(names) | {
        "id": str(new.id),
        "session_id": new.session_id,
        "url": new.url,
        "status": status.value,
        "format_id": new.format_id,
        "quality": new.quality,
        "progress_percent": 0,
        "created_at": moments[0],
        "started_at": moments[-1] if is_started else None,
    }
    earliest, latest = _recently()
    if row != wanted or not all(earliest <= (moment or "") <= latest for moment in moments):
        raise WrongResultError(f"the download stored for {new} is {row}")


def _check_added(_: Data, new: list[NewDownload], results: list[Any]) -> None:
    for each, result in zip(new, results, strict=True):
        if not isinstance(result, Exception):
            _require(result, each, DownloadStatus.QUEUED)


def _lost_downloads(
    native: sqlite3.Connection, _: Data, new: list[NewDownload], failed: set[int]
) -> int:
    wanted = [each for number, each in enumerate(new) if number not in failed]
    # CROSS JOIN: by any other order 10,000 of them would take minutes.
    (found,) = native.execute(
        """
        SELECT count(*)
        FROM json_each(?) AS wanted
        CROSS JOIN downloads ON downloads.id = wanted.value ->> 'id'
        CROSS JOIN sessions ON sessions.id = downloads.session_id
        WHERE downloads.session_id = wanted.value ->> 'session_id'
          AND url = wanted.value ->> 'url'
          AND status = 'queued'
          AND format_id IS wanted.value ->> 'format_id'
          AND quality IS wanted.value ->> 'quality'
          AND progress_percent = 0
          AND coalesce(
            output_template, filename, filesize, speed, eta, error_message, started_at, completed_at
          ) IS NULL
          AND downloads.created_at BETWEEN ? AND ?
        """,
        (msgspec.json.encode(wanted).decode(), *_recently()),
    ).fetchone()
    return len(wanted) - int(found)


def _inserts_by_tasks(name: str, durability: Durability, target: float) -> Work:
    def count(data: Data) -> int:
        return TASKS * (data.sizes.writes_per_task if durability == "normal" else 2)

    return Work(
        name=name,
        question=f"{TASKS} tasks add downloads, synchronous={durability.upper()}; per download",
        target=target,
        operations=count,
        prepare=partial(_for_sessions, count),
        run=_adds_by_tasks,
        check=_check_added,
        durability=durability,
        lost=_lost_downloads,
    )


def _claim_count(data: Data) -> int:
    return _WORKERS * data.sizes.claims_per_worker


def _queue_size(data: Data) -> int:
    """So many that some are left."""
    return _claim_count(data) + _WORKERS


async def _claims(peer: Peer, new: list[NewDownload]) -> list[Any]:
    claim = partial(peer.claim, new[0].session_id)
    return await by_tasks([claim] * (len(new) - _WORKERS), _WORKERS)


def _check_claimed(_: Data, new: list[NewDownload], results: list[Any]) -> None:
    """The oldest, each once, and by every worker from the older to the newer."""
    numbers = {str(each.id): number for number, each in enumerate(new)}
    claimed: list[int] = []
    for worker in range(_WORKERS):
        own: list[int] = []
        for result in results[worker::_WORKERS]:
            if isinstance(result, Exception):
                continue
            if result is None:
                raise WrongResultError("a claim of nothing, though something is queued")
            number = numbers.get(plain(result, Download.__struct_fields__)[0])
            if number is None:
                raise WrongResultError(f"a claim of a download of another session: {result}")
            _require(result, new[number], DownloadStatus.EXTRACTING)
            own.append(number)
        if own != sorted(own):
            raise WrongResultError(f"worker {worker} claimed in this order: {own}")
        claimed += own
    if sorted(claimed) != list(range(len(claimed))):
        raise WrongResultError(f"not the oldest, or one twice: {sorted(claimed)}")


def _lost_claims(
    native: sqlite3.Connection, data: Data, new: list[NewDownload], failed: set[int]
) -> int:
    """The oldest are claimed, of which the check has made sure."""
    ids = [each.id for each in new[: _claim_count(data) - len(failed)]]
    (claimed,) = native.execute(
        """
        SELECT count(*)
        FROM json_each(?) AS wanted
        CROSS JOIN downloads ON downloads.id = wanted.value
        WHERE status = 'extracting'
          AND started_at BETWEEN ? AND ?
        """,
        (msgspec.json.encode(ids).decode(), *_recently()),
    ).fetchone()
    return len(ids) - int(claimed)


async def _queue(peer: Peer, new: list[NewDownload]) -> None:
    await peer.add(new[0])
    await peer.add_many(new[1:])


ADDS = (
    Work(
        name="insert",
        question="A download added, one call after the other, synchronous=NORMAL; per call",
        target=1.3,
        operations=lambda data: data.sizes.inserts,
        prepare=partial(_for_sessions, lambda data: data.sizes.inserts),
        run=_adds,
        check=_check_added,
        lost=_lost_downloads,
    ),
    _inserts_by_tasks("insert-64", "normal", 3),
    _inserts_by_tasks("insert-64-full", "full", 10),
    Work(
        name="bulk",
        question="10,000 downloads added in one call; per download",
        operations=lambda data: data.sizes.bulk,
        prepare=partial(_for_one_session, lambda data: data.sizes.bulk, session(0)),
        run=_add_many,
        check=nothing_to_check,
        lost=_lost_downloads,
    ),
    Work(
        name="claim",
        question=f"{_WORKERS} workers claim the downloads of a session, NORMAL; per claim",
        operations=_claim_count,
        prepare=partial(_for_one_session, _queue_size, "queue-{round_number}"),
        run=_claims,
        check=_check_claimed,
        arrange=_queue,
        lost=_lost_claims,
    ),
)
