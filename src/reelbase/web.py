"""The common parts of the web modules: error documents, event streams, pages. It knows no framework."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from http import HTTPStatus
from typing import Any, Final, TypedDict
from urllib.parse import quote

import msgspec
from msgspec import UNSET, UnsetType

from reelbase import Record
from reelbase.database import Database
from reelbase.errors import DatabaseError, InvalidArgumentError
from reelbase.unit_of_work import UnitOfWorkContext

PROBLEM: Final = "application/problem+json"
EVENT_STREAM: Final = "text/event-stream"
EVENT_STREAM_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
HEARTBEAT_SECONDS: Final = 15.0
LARGEST_PAGE: Final = 500

_log = logging.getLogger("reelbase")

_pumps: set[asyncio.Task[None]] = set()  # a task that nothing refers to may be collected


class PageParameters(TypedDict):
    """The part of a list that a request asks for: ``await database.files.page("anna", **page)``.

    limit: at most this many, 1 to 500.  after: the text that the page before gave as ``next``; None: from
    the beginning.
    """

    limit: int
    after: str | None


class Problem(Record, frozen=True):
    """A problem document (RFC 9457). title: the phrase of the status.  code: that of the DatabaseError.

    details: its public_details, which are empty from status 500 on.  detail: the sentence about an argument
    that cannot be used; left out for all other errors.
    """

    type: str
    title: str
    status: int
    code: str
    details: dict[str, Any]
    detail: str | UnsetType = UNSET


def problem_of(error: DatabaseError) -> Problem:
    """The answer to an error: without its text, which may name files, methods and SQL."""
    status = HTTPStatus(error.http_status)
    text = error.public_text if isinstance(error, InvalidArgumentError) else None
    return Problem(
        *("about:blank", status.phrase, status.value, error.code, error.public_details),
        detail=UNSET if text is None else text,
    )


def problem_headers(error: DatabaseError) -> dict[str, str]:
    """The headers of the answer. A busy database can be tried again in a second."""
    return {"Retry-After": "1"} if error.http_status == HTTPStatus.SERVICE_UNAVAILABLE else {}


def log_problem(error: DatabaseError, where: str) -> None:
    """Logs an error: with its traceback if it is no fault of the client, else as information.

    where: the method and path of the request.
    """
    if error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("%s: %s", where, error, exc_info=error)
    else:
        _log.info("%s: %s", where, error)


def checked_database(found: Any, name: str, remedy: str) -> Database:
    """The database of an application; RuntimeError with the remedy when there is none of this name."""
    if not isinstance(found, Database):
        raise RuntimeError(f"the application has no database {name!r}: {remedy}")
    return found


def unit_of_request(
    database: Database, scope: Mapping[str, Any], endpoint: object
) -> UnitOfWorkContext:
    """A unit of work for endpoint, the function of a route. Warnings and errors about it name the method, the
    path and that function: the line that opens it is the framework's.

    RuntimeError in a websocket: its dependencies live as long as the socket.
    """
    if scope["type"] == "websocket":
        raise RuntimeError(
            "a unit of work as a dependency of a websocket would hold the database until the socket is "
            "closed: take the database, and open a unit for each change"
        )
    name = f"{getattr(endpoint, '__module__', None)}.{getattr(endpoint, '__qualname__', endpoint)}"
    return database._transaction_at(f"{scope['method']} {quote(scope['path'])}, {name}")


async def server_sent_events(
    items: AsyncIterable[Any], *, heartbeat: float = HEARTBEAT_SECONDS
) -> AsyncGenerator[bytes, None]:
    """Items as server-sent events, with a comment after each heartbeat seconds of silence.

    An item is a Struct or any value that msgspec encodes as JSON. The attribute ``commit`` of an item
    becomes the event's id; where items have one themselves, the stream begins with it. A DatabaseError
    becomes an event "problem", the last one, which also resets the client's last id. When the stream is
    closed, so is items.
    """
    queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(maxsize=1)
    # A task of its own opens and closes items: frameworks cancel this generator at every await.
    pump = asyncio.create_task(_pump(items, queue))
    _pumps.add(pump)
    pump.add_done_callback(_pumps.discard)
    try:
        while True:
            try:
                event = await asyncio.wait_for(queue.get(), heartbeat)
            except TimeoutError:
                yield b":\n\n"
                continue
            if event is None:
                return
            if isinstance(event, Exception):
                raise event
            yield event
    finally:
        pump.cancel()


async def _pump(items: AsyncIterable[Any], queue: asyncio.Queue[bytes | Exception | None]) -> None:
    try:
        async with _opened(items) as opened:
            # An event without data: the client has a place to go on from before the first change.
            if isinstance(commit := getattr(opened, "commit", None), int):
                await queue.put(b"id: %d\n\n" % commit)
            async for item in opened:
                await queue.put(_event(item))
    except DatabaseError as error:
        log_problem(error, "event stream")
        await queue.put(
            b"event: problem\nid\ndata: %b\n\n" % msgspec.json.encode(problem_of(error))
        )
    except Exception as error:
        await queue.put(error)
    await queue.put(None)


def _opened(items: Any) -> AbstractAsyncContextManager[AsyncIterable[Any]]:
    if hasattr(items, "__aenter__"):
        found: AbstractAsyncContextManager[AsyncIterable[Any]] = items
        return found
    return aclosing(items) if hasattr(items, "aclose") else nullcontext(items)


def _event(item: Any) -> bytes:
    commit = getattr(item, "commit", None)
    id_line = b"id: %d\n" % commit if isinstance(commit, int) else b""
    return id_line + b"data: %b\n\n" % msgspec.json.encode(item)
