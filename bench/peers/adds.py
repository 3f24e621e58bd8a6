"""The works that add downloads, and the one that claims them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from bench.measuring import WrongResultError
from bench.peers.data import Data, session
from bench.peers.interface import Durability, NewDownload, Peer
from bench.peers.records import Download
from bench.peers.work import (
    TASKS,
    Work,
    by_tasks,
    nothing_to_check,
    plain,
    successes,
)

_WORKERS = 8


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


def _check_added(_: Data, new: list[NewDownload], results: list[Any]) -> None:
    names = Download.__struct_fields__
    for each, result in zip(new, results, strict=True):
        if isinstance(result, Exception):
            continue
        row = dict(zip(names, plain(result, names), strict=True))
        wanted = (str(each.id), each.session_id, each.url, "queued", each.format_id, each.quality)
        if (*(row[name] for name in names[:6]), row["progress_percent"]) != (*wanted, 0):
            raise WrongResultError(f"the download stored for {each} is {row}")


def _lost_downloads(
    native: sqlite3.Connection, _: Data, new: list[NewDownload], failed: set[int]
) -> int:
    ids = [each.id for number, each in enumerate(new) if number not in failed]
    (found,) = native.execute(
        """
        SELECT count(*)
        FROM json_each(?) AS wanted
        JOIN downloads ON downloads.id = wanted.value AND status = 'queued'
        """,
        (msgspec.json.encode(ids).decode(),),
    ).fetchone()
    return len(ids) - int(found)


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


async def _claims(peer: Peer, new: list[NewDownload]) -> list[Any]:
    """Each worker claims until nothing is left, so that each also gets a None, which is not kept."""
    claimed: list[Any] = []

    async def work() -> None:
        while True:
            try:
                download = await peer.claim(new[0].session_id)
            except Exception as error:
                claimed.append(error)
                continue
            if download is None:
                return
            claimed.append(download)

    await asyncio.gather(*(work() for _ in range(_WORKERS)))
    return claimed


def _check_claimed(_: Data, new: list[NewDownload], results: list[Any]) -> None:
    claimed = [plain(result, Download.__struct_fields__) for result in successes(results)]
    if sorted(row[0] for row in claimed) != sorted(str(each.id) for each in new):
        raise WrongResultError(f"{len(claimed)} claims of {len(new)} downloads")
    if {row[3] for row in claimed} != {"extracting"}:
        raise WrongResultError("a claimed download is not extracting")


def _lost_claims(native: sqlite3.Connection, _: Data, new: list[NewDownload], __: set[int]) -> int:
    """A worker whose claim failed claims again, so that none may be left."""
    (claimed,) = native.execute(
        """
        SELECT count(*)
        FROM downloads
        WHERE session_id = ?
          AND status = 'extracting'
          AND started_at IS NOT NULL
        """,
        (new[0].session_id,),
    ).fetchone()
    return len(new) - int(claimed)


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
        prepare=partial(_for_one_session, _claim_count, "queue-{round_number}"),
        run=_claims,
        check=_check_claimed,
        arrange=_queue,
        lost=_lost_claims,
    ),
)
