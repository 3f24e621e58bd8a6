"""reelbase in a Starlette application: ``Starlette(lifespan=lifespan("media.db"))``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import msgspec

from reelbase.connector import connect
from reelbase.database import Database
from reelbase.errors import DatabaseError, InvalidArgumentError
from reelbase.web import (
    EVENT_STREAM,
    EVENT_STREAM_HEADERS,
    HEARTBEAT_SECONDS,
    LARGEST_PAGE,
    PROBLEM,
    PageParameters,
    Problem,
    checked_database,
    log_problem,
    problem_headers,
    problem_of,
    server_sent_events,
)

try:
    from starlette.applications import Starlette
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response, StreamingResponse
    from starlette.websockets import WebSocket, WebSocketState
except ImportError as error:
    raise ImportError(
        "reelbase.starlette needs Starlette: pip install 'reelbase[starlette]'"
    ) from error

__all__ = [
    "PageParameters",
    "Problem",
    "database_of",
    "event_stream",
    "install_error_handlers",
    "lifespan",
    "page_parameters",
]

_REMEDY = (
    "pass lifespan=lifespan(path) to the application; if it has a lifespan of its own, enter "
    "lifespan(path)(app) there and yield what it gives. If it has been passed, the application was not "
    "started: in a test use `with TestClient(app) as client`"
)


def lifespan(
    path: str | os.PathLike[str], *, name: str = "database", **options: Any
) -> Callable[[Starlette], AbstractAsyncContextManager[dict[str, Database]]]:
    """A lifespan that opens the database when the application starts, and closes it when it stops.

    An application that has a lifespan of its own enters this one in it, and yields its state::

        @asynccontextmanager
        async def my_lifespan(app):
            async with lifespan("media.db")(app) as state:
                yield {**state, "mine": …}

    Args:
        path: as of reelbase.connect().
        name: the database's name in the application, for an application with several databases.
        options: as of reelbase.connect(), which checks them at once.

    Returns:
        A callable for ``lifespan=``. Its context gives the state: a dict with the open Database as name.
    """
    opening = partial(connect, path, **options)
    opening()

    @asynccontextmanager
    async def open_database(app: Starlette) -> AsyncIterator[dict[str, Database]]:
        async with opening() as database:
            # Mounted applications see the state of the lifespan, clients of tests the application's.
            setattr(app.state, name, database)
            yield {name: database}

    return open_database


def database_of(connection: HTTPConnection, name: str = "database") -> Database:
    """The application's database, for a request or websocket; RuntimeError when there is none."""
    state = connection.scope.get("state", {})
    found = state[name] if name in state else getattr(connection.app.state, name, None)
    return checked_database(found, name, _REMEDY)


def install_error_handlers(app: Starlette) -> None:
    """Answers a DatabaseError with a problem document (RFC 9457), and closes a websocket with 1011.

    The document has code, public_details and, for an argument that cannot be used, a sentence as ``detail``.
    Errors are logged on ``reelbase``: from status 500 on as errors, below it as information.
    Errors of the framework (HTTPException, FastAPI's RequestValidationError) keep its own form. A mounted
    application needs handlers of its own.
    """
    handler: Any = (
        _answer  # of requests and websockets alike, which the annotation does not allow for
    )
    app.add_exception_handler(DatabaseError, handler)


async def _answer(connection: HTTPConnection, error: Exception) -> Response | None:
    assert isinstance(error, DatabaseError)
    log_problem(error, f"{connection.scope.get('method', 'websocket')} {connection.url.path}")
    if isinstance(connection, WebSocket):
        if connection.application_state is not WebSocketState.DISCONNECTED:
            await connection.close(1011)
        return None
    return Response(
        msgspec.json.encode(problem_of(error)),
        status_code=error.http_status,
        headers=problem_headers(error),
        media_type=PROBLEM,
    )


def page_parameters(request: Request, *, limit: int = 50) -> PageParameters:
    """``limit`` and ``after`` of the query; InvalidArgumentError (422) for a limit that is none.

    limit: the number without ``limit`` in the query.
    """
    asked = request.query_params.get("limit", str(limit))
    if not (asked.isdecimal() and asked.isascii() and 1 <= int(asked[:9]) <= LARGEST_PAGE):
        text = f"limit: must be 1 to {LARGEST_PAGE}"
        raise InvalidArgumentError(text, parameter="limit", public_text=text)
    return {"limit": int(asked), "after": request.query_params.get("after")}


def event_stream(
    changes: AsyncIterable[Any], *, heartbeat: float = HEARTBEAT_SECONDS
) -> StreamingResponse:
    """A response of server-sent events, such as of ``database.changes("files")``.

    It ends when changes end, or when the client goes; then it closes them.

    Args:
        changes: Structs, or any values that msgspec encodes as JSON. A ``commit`` of theirs becomes the
            event's id, which a browser sends back as ``Last-Event-ID`` when it connects again.
        heartbeat: seconds of silence after which a comment is sent.
    """
    return StreamingResponse(
        server_sent_events(changes, heartbeat=heartbeat),
        media_type=EVENT_STREAM,
        headers=EVENT_STREAM_HEADERS,
    )
