"""event_stream(): what a browser's EventSource reads, and when the stream and its source end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import pytest

import reelbase
from reelbase.starlette import event_stream
from reelbase.web import server_sent_events


class Change(reelbase.Record, frozen=True):
    commit: int
    names: frozenset[str]


class Source:
    """Gives items, then waits. It knows whether it was closed."""

    def __init__(self, *items: Any, ends: bool = False) -> None:
        self.items = list(items)
        self.ends = ends
        self.closed = asyncio.Event()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self.items:
            item = self.items.pop(0)
            if isinstance(item, Exception):
                raise item
            return item
        if self.ends:
            raise StopAsyncIteration
        await asyncio.Event().wait()
        raise AssertionError

    async def aclose(self) -> None:
        await asyncio.sleep(0.01)  # which a cancelled caller would not survive
        self.closed.set()


class Context:
    """As database.changes(): an iterator that is entered, too."""

    def __init__(self, source: Source) -> None:
        self.source = source

    async def __aenter__(self) -> Source:
        return self.source

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.source.aclose()

    def __aiter__(self) -> AsyncIterator[Any]:
        raise AssertionError("entered first")


async def text_of(items: Any) -> str:
    return b"".join([event async for event in server_sent_events(items)]).decode()


async def test_items_are_json_and_their_commit_is_the_id() -> None:
    source = Source(Change(7, frozenset({"files"})), {"a": [1, None]}, "two\nlines", 5, ends=True)
    assert await text_of(source) == (
        'id: 7\ndata: {"commit":7,"names":["files"]}\n\n'
        'data: {"a":[1,null]}\n\n'
        'data: "two\\nlines"\n\n'
        "data: 5\n\n"
    )
    assert source.closed.is_set()


@pytest.mark.long
async def test_a_stream_of_rows_goes_on_from_the_last_event_id(path: Path) -> None:
    async def events(count: int, since: str | None) -> list[str]:
        async with reelbase.connect(path) as database:
            rows = database.changes("profiles", rows=True, since=since)
            stream = server_sent_events(rows)
            found = [(await anext(stream)).decode()]
            await database.profiles.ensure(f"after {since}")
            found += [(await anext(stream)).decode() for _ in range(count)]
            await stream.aclose()
            return found

    first, change = await events(1, None)
    assert re.fullmatch(r"id: \d+\n\n", first)
    assert change.endswith('"rows":[{"table":"profiles","key":"after None","kind":"insert"}]}\n\n')
    place, again = await events(1, first.removeprefix("id: ").strip())
    assert place == first
    assert '"after None"' in again
    (problem,) = await events(0, "1")
    assert problem.startswith("event: problem\nid\ndata: ")
    assert '"status":410' in problem


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_source_is_entered_or_closed(wrapped: bool) -> None:
    source = Source(1, ends=True)
    assert await text_of(Context(source) if wrapped else source) == "data: 1\n\n"
    assert source.closed.is_set()


async def test_a_plain_iterator_will_do() -> None:
    class Plain:
        def __aiter__(self) -> AsyncIterator[int]:
            async def numbers() -> AsyncIterator[int]:
                yield 1

            return numbers()

    assert await text_of(Plain()) == "data: 1\n\n"


async def test_silence_is_broken_by_comments() -> None:
    stream = server_sent_events(Source(1), heartbeat=0.01)
    assert [await anext(stream) for _ in range(3)] == [b"data: 1\n\n", b":\n\n", b":\n\n"]
    await stream.aclose()


@pytest.mark.long
async def test_a_slow_client_loses_nothing_and_holds_little() -> None:
    source = Source(*range(100), ends=True)
    seen = []
    async for event in server_sent_events(source, heartbeat=0.001):
        if event != b":\n\n":
            seen.append(int(event.removeprefix(b"data: ")))
            await asyncio.sleep(0.002)
            assert len(source.items) >= 100 - len(seen) - 3
    assert seen == list(range(100))


async def test_an_error_of_the_database_is_the_last_event() -> None:
    source = Source(1, reelbase.RecordNotFoundError("it lies in /srv", details={"entity": "job"}))
    last = (await text_of(source)).removeprefix("data: 1\n\n")
    assert last.startswith("event: problem\nid\ndata: {")
    assert msgspec.json.decode(last.partition("data: ")[2]) == {
        **{"type": "about:blank", "title": "Not Found", "status": 404, "code": "not_found"},
        "details": {"entity": "job"},
    }
    assert source.closed.is_set()


@pytest.mark.parametrize("item", [ValueError("wrong"), object()])
async def test_any_other_error_is_raised(item: Any) -> None:
    source = Source(item)
    with pytest.raises((ValueError, TypeError)):
        await text_of(source)
    assert source.closed.is_set()


async def test_a_stream_that_is_closed_closes_its_source() -> None:
    source = Source(1)
    stream = server_sent_events(source)
    await anext(stream)
    await stream.aclose()
    await asyncio.wait_for(source.closed.wait(), 5)


async def respond(
    source: Source, until_gone: Callable[[], Awaitable[Any]], spec_version: str
) -> bytes:
    """The body that a client gets which goes when until_gone returns."""
    sent = b""
    gone = False

    async def receive() -> dict[str, Any]:
        nonlocal gone
        await until_gone()
        gone = True
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal sent
        if gone:
            raise OSError("the connection is closed")
        sent += message.get("body", b"")

    scope = {"type": "http", "asgi": {"spec_version": spec_version}}
    await event_stream(source, heartbeat=0.01)(scope, receive, send)
    return sent


async def test_the_stream_ends_when_the_client_goes() -> None:
    source = Source(1)
    sent = await asyncio.wait_for(respond(source, lambda: asyncio.sleep(0.05), "2.3"), 5)
    assert sent.startswith(b"data: 1\n\n:\n\n")
    await asyncio.wait_for(source.closed.wait(), 5)


async def test_the_response_is_one_that_proxies_pass_on() -> None:
    response = event_stream(Source(ends=True))
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"


async def test_the_changes_of_a_database_are_a_source(database: reelbase.Database) -> None:
    stream = server_sent_events(database.changes("profiles"), heartbeat=5)
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.05)  # until it follows them
    await database.profiles.ensure("ann")
    id_line, data_line = (await first).decode().splitlines()[:2]
    change = msgspec.json.decode(data_line.removeprefix("data: "))
    assert id_line == f"id: {change['commit']}"
    assert change["names"] == ["profiles"]
    await stream.aclose()
