"""What every peer does while the clock runs, and how its results are checked.

A check compares what came back, in the peer's own process; ``lost`` looks from another process at what
is in the file afterwards.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from bench.measuring import WrongResultError
from bench.peers.data import Data, moment_text, session
from bench.peers.interface import Durability, NewDownload, Peer
from bench.peers.records import Download, Segment

TASKS = 64
WORKERS = 8
_GATHERED = 32

# 200 ms or so: nothing indexed helps.
SCAN = """
SELECT count(*)
FROM downloads AS one
JOIN downloads AS other ON one.filesize < other.filesize
WHERE other.rowid <= 600
"""

Prepared = Any


class Work(msgspec.Struct, frozen=True):
    """One kind of work. Results are checked and counted after the clock has stopped.

    target: how many times the speed of the best peer the library is to have.
    prepare: what a round works on, the same in every process.  arrange: makes ready for it; what it
    gives, if anything, is awaited when the clock has stopped.
    run: the results of all operations, in order; of one that failed, its exception.
    check: raises WrongResultError.  lost: how many operations that succeeded the file does not show;
    it gets the numbers of those that failed.
    """

    name: str
    question: str
    operations: Callable[[Data], int]
    prepare: Callable[[Data, int], Prepared]
    run: Callable[[Peer, Prepared], Awaitable[list[Any]]]
    check: Callable[[Data, Prepared, list[Any]], None]
    target: float | None = None
    durability: Durability = "normal"
    arrange: Callable[[Peer, Prepared], Awaitable[Awaitable[Any] | None]] | None = None
    lost: Callable[[sqlite3.Connection, Data, Prepared, set[int]], int] | None = None


async def by_tasks(calls: Sequence[Callable[[], Awaitable[Any]]], tasks: int) -> list[Any]:
    """The results of calls that so many tasks make, each one after the other; exceptions as results."""
    results: list[Any] = [None] * len(calls)

    async def run(first: int) -> None:
        for index in range(first, len(calls), tasks):
            try:
                results[index] = await calls[index]()
            except Exception as error:
                results[index] = error

    await asyncio.gather(*(run(task) for task in range(tasks)))
    return results


def plain(record: Any, names: Sequence[str]) -> tuple[Any, ...]:
    """A record, model or row of whatever kind, in the types of the file."""
    if isinstance(record, Mapping | sqlite3.Row):
        return tuple(_plain(record[name]) for name in names)
    if isinstance(record, tuple) and not hasattr(record, "_fields"):
        return tuple(map(_plain, record))
    return tuple(_plain(getattr(record, name)) for name in names)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID):
        return str(value)
    return moment_text(value) if isinstance(value, datetime) else value


def _require(row_type: type[msgspec.Struct], results: Sequence[Any], wanted: Sequence[Any]) -> None:
    """These records, in this order, in full."""
    names = row_type.__struct_fields__
    if len(results) != len(wanted):
        raise WrongResultError(f"{len(results)} results, not {len(wanted)}")
    for number, (result, record) in enumerate(zip(results, wanted, strict=True)):
        if plain(result, names) != plain(record, names):
            raise WrongResultError(
                f"result {number} is {plain(result, names)}, not {plain(record, names)}"
            )


def successes(results: Sequence[Any]) -> list[Any]:
    return [result for result in results if not isinstance(result, Exception)]


# Reading downloads.


def _sample(size: int, data: Data, round_number: int) -> list[Download]:
    return random.Random(round_number).sample(data.downloads, size)


async def _get(peer: Peer, wanted: list[Download]) -> list[Any]:
    return [await peer.get(download.id) for download in wanted]


async def _gathered(peer: Peer, wanted: list[Download]) -> list[Any]:
    results: list[Any] = []
    for first in range(0, len(wanted), _GATHERED):
        some = wanted[first : first + _GATHERED]
        results += await asyncio.gather(*(peer.get(download.id) for download in some))
    return results


def _gathers(data: Data, round_number: int) -> list[Download]:
    rng = random.Random(round_number)
    return rng.choices(data.downloads, k=data.sizes.gathers * _GATHERED)


async def _lists(limit: int, peer: Peer, times: int) -> list[Any]:
    results: list[Any] = []
    for _ in range(times):
        results += await peer.newest(limit)
    return results


def _check_downloads(_: Data, wanted: list[Download], results: list[Any]) -> None:
    _require(Download, results, wanted)


def _check_lists(limit: int, data: Data, times: int, results: list[Any]) -> None:
    _require(Download, results, data.newest(limit) * times)


def _lists_of(limit: int, divisor: int) -> Work:
    def times(data: Data) -> int:
        return max(1, data.sizes.lists // divisor)

    return Work(
        name=f"list-{limit}",
        question=f"The newest {limit} downloads; per list",
        target=1.7,
        operations=times,
        prepare=lambda data, _: times(data),
        run=partial(_lists, limit),
        check=partial(_check_lists, limit),
    )


async def _scan(peer: Peer, _: list[Download]) -> Awaitable[Any]:
    return asyncio.ensure_future(peer.scan(SCAN))


async def _get_beside(peer: Peer, wanted: list[Download]) -> list[Any]:
    await asyncio.sleep(0)  # the scan begins; who has one connection, or no thread, waits for it
    return await _get(peer, wanted)


# Reading transcripts.


async def _transcripts(peer: Peer, wanted: tuple[UUID, int]) -> list[Any]:
    transcript_id, times = wanted
    return [await peer.transcript(transcript_id) for _ in range(times)]


def _check_transcripts(data: Data, wanted: tuple[UUID, int], results: list[Any]) -> None:
    names = ("id", "profile_id", "text", "llm_explanation", "language")
    row = (str(data.transcript_id), "library", data.transcript_text, None, "ja")
    for result in results:
        values = plain(result, names)
        if isinstance(result, tuple) and not hasattr(result, "_fields"):
            values = (*values[:2], *values[3:6])  # bare: with file_id and created_at
        if values != row:
            raise WrongResultError(f"the transcript is {values}")
    if len(results) != wanted[1]:
        raise WrongResultError(f"{len(results)} transcripts")


async def _pages(peer: Peer, wanted: tuple[UUID, int, int]) -> list[Any]:
    transcript_id, limit, pages = wanted
    results: list[Any] = []
    after = None
    for _ in range(pages):
        page = await peer.page(transcript_id, after, limit)
        results += page
        after = page[-1]
    return results


def _number_of_pages(data: Data) -> int:
    return data.sizes.segments // data.sizes.page


def _check_pages(data: Data, wanted: tuple[UUID, int, int], results: list[Any]) -> None:
    _require(Segment, results, data.segments()[: wanted[1] * wanted[2]])


# Writing downloads.


def _new(
    size: Callable[[Data], int], session_number: int, data: Data, round_number: int
) -> list[NewDownload]:
    count = size(data)
    # A session of their own, which the first one makes.
    name = f"{session(session_number)}-{round_number}" if session_number else session(0)
    return data.new_downloads(round_number * count, count, name)


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


def _nothing_to_check(_: Data, prepared: Prepared, results: list[Any]) -> None:
    """The file shows what was done."""


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
        prepare=partial(_new, count, 1),
        run=_adds_by_tasks,
        check=_check_added,
        durability=durability,
        lost=_lost_downloads,
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
            data.active[number % TASKS].id,
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
    native: sqlite3.Connection, _: Data, progresses: list[_Progress], failed: set[int]
) -> int:
    """How many downloads do not show the last report that succeeded."""
    last = {each.id: each for number, each in enumerate(progresses) if number not in failed}
    (shown,) = native.execute(
        """
        SELECT count(*)
        FROM json_each(?) AS wanted
        JOIN downloads ON downloads.id = wanted.value ->> 'id'
        WHERE status = 'downloading'
          AND progress_percent = wanted.value ->> 'percent'
          AND speed = wanted.value ->> 'speed'
          AND eta = wanted.value ->> 'eta'
        """,
        (msgspec.json.encode(list(last.values())).decode(),),
    ).fetchone()
    return len(last) - int(shown)


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
    _require(Download, [result for result, _ in pairs], [each for _, each in pairs])


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


def _claim_count(data: Data) -> int:
    return WORKERS * data.sizes.claims_per_worker


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

    await asyncio.gather(*(work() for _ in range(WORKERS)))
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


WORKS = (
    Work(
        name="get",
        question="A download by its id, one call after the other; per call",
        target=2,
        operations=lambda data: data.sizes.gets,
        prepare=lambda data, round_number: _sample(data.sizes.gets, data, round_number),
        run=_get,
        check=_check_downloads,
    ),
    Work(
        name="gathered",
        question=f"{_GATHERED} gets gathered, again and again; per get",
        target=4,
        operations=lambda data: data.sizes.gathers * _GATHERED,
        prepare=_gathers,
        run=_gathered,
        check=_check_downloads,
    ),
    _lists_of(100, 1),
    _lists_of(1000, 5),
    Work(
        name="transcript",
        question="A transcript by its id, one call after the other; per call",
        operations=lambda data: data.sizes.gets,
        prepare=lambda data, _: (data.transcript_id, data.sizes.gets),
        run=_transcripts,
        check=_check_transcripts,
    ),
    Work(
        name="page",
        question="A transcript's segments with their words, in pages of 500 by keyset; per page",
        operations=_number_of_pages,
        prepare=lambda data, _: (data.transcript_id, data.sizes.page, _number_of_pages(data)),
        run=_pages,
        check=_check_pages,
    ),
    Work(
        name="insert",
        question="A download added, one call after the other, synchronous=NORMAL; per call",
        target=1.3,
        operations=lambda data: data.sizes.inserts,
        prepare=partial(_new, lambda data: data.sizes.inserts, 1),
        run=_adds,
        check=_check_added,
        lost=_lost_downloads,
    ),
    _inserts_by_tasks("insert-64", "normal", 3),
    _inserts_by_tasks("insert-64-full", "full", 10),
    Work(
        name="progress",
        question=f"{TASKS} tasks report the progress of a download each, NORMAL; per report",
        target=2,
        operations=_progress_count,
        prepare=_progresses,
        run=_report,
        check=_nothing_to_check,
        lost=_lost_progress,
    ),
    Work(
        name="bulk",
        question="10,000 downloads added in one call; per download",
        operations=lambda data: data.sizes.bulk,
        prepare=partial(_new, lambda data: data.sizes.bulk, 0),
        run=_add_many,
        check=_nothing_to_check,
        lost=_lost_downloads,
    ),
    Work(
        name="read-modify-write",
        question=f"{TASKS} tasks add one to the same number that they read, NORMAL; per unit",
        target=3,
        operations=_growing_count,
        prepare=_growing,
        run=_grow,
        check=_nothing_to_check,
        lost=_lost_growth,
    ),
    Work(
        name="claim",
        question=f"{WORKERS} workers claim the downloads of a session, NORMAL; per claim",
        operations=_claim_count,
        prepare=partial(_new, _claim_count, 2),
        run=_claims,
        check=_check_claimed,
        arrange=_queue,
        lost=_lost_claims,
    ),
    Work(
        name="mixed",
        question=f"{TASKS} tasks, 80 % gets and 20 % reports of progress; per operation",
        operations=_progress_count,
        prepare=_mixed,
        run=_run_mixed,
        check=_check_mixed,
    ),
    Work(
        name="beside-scan",
        question="50 gets while a query of 200 ms or so runs; per get",
        operations=lambda data: 50,
        prepare=lambda data, round_number: _sample(50, data, round_number),
        arrange=_scan,
        run=_get_beside,
        check=_check_downloads,
    ),
)
