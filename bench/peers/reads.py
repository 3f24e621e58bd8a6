"""The works that read."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections.abc import Awaitable
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from bench.measuring import WrongResultError
from bench.peers.data import Data
from bench.peers.interface import Peer
from bench.peers.records import Download, Segment
from bench.peers.work import (
    Work,
    plain,
    require,
)

_GATHERED = 32
_BESIDE = 50

# 200 ms or so: nothing indexed helps.
_SCAN = """
SELECT count(*)
FROM downloads AS one
JOIN downloads AS other ON one.filesize < other.filesize
WHERE other.rowid <= 600
"""

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
    require(Download, results, wanted)


def _check_lists(limit: int, data: Data, times: int, results: list[Any]) -> None:
    require(Download, results, data.newest(limit) * times)


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


class _Beside(msgspec.Struct, frozen=True):
    """count: what the scan finds."""

    wanted: list[Download]
    count: int


def _beside(data: Data, round_number: int) -> _Beside:
    sizes = sorted(row.filesize for row in data.downloads if row.filesize is not None)
    others = (row.filesize for row in data.downloads[:600] if row.filesize is not None)
    return _Beside(
        _sample(_BESIDE, data, round_number), sum(bisect_left(sizes, other) for other in others)
    )


async def _scan(peer: Peer, beside: _Beside) -> Awaitable[Any]:
    async def scan() -> None:
        found = await peer.scan(_SCAN)
        if found != beside.count:
            raise WrongResultError(f"the scan found {found}, not {beside.count}")

    return asyncio.ensure_future(scan())


async def _get_beside(peer: Peer, beside: _Beside) -> list[Any]:
    await asyncio.sleep(0)  # the scan begins; who has one connection, or no thread, waits for it
    return await _get(peer, beside.wanted)


def _check_beside(data: Data, beside: _Beside, results: list[Any]) -> None:
    _check_downloads(data, beside.wanted, results)


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
    require(Segment, results, data.segments()[: wanted[1] * wanted[2]])


READS = (
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
        name="beside-scan",
        question=f"{_BESIDE} gets while a query of 200 ms or so runs; per get",
        operations=lambda data: _BESIDE,
        prepare=_beside,
        arrange=_scan,
        run=_get_beside,
        check=_check_beside,
    ),
)
