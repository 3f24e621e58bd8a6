"""reelbase in a Litestar application: ``Litestar(plugins=[ReelbasePlugin("media.db")])``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

import msgspec

from reelbase.connector import connect
from reelbase.database import Database
from reelbase.errors import DatabaseError
from reelbase.unit_of_work import UnitOfWork
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
    unit_of_request,
)

try:
    from litestar import Litestar, Request, Response
    from litestar.config.app import AppConfig
    from litestar.datastructures import State
    from litestar.di import NamedDependency, Provide
    from litestar.params import QueryParameter
    from litestar.plugins import InitPlugin
    from litestar.response import Stream
    from litestar.types import Scope
except ImportError as error:
    raise ImportError(
        "reelbase.litestar needs Litestar: pip install 'reelbase[litestar]'"
    ) from error

__all__ = ["PageParameters", "Problem", "ReelbasePlugin", "event_stream", "page_parameters"]

_REMEDY = "it has not been started; in a test use `with TestClient(app) as client`"


class ReelbasePlugin(InitPlugin):
    """Opens a database when the application starts, and closes it when it stops.

    Handlers take ``database: NamedDependency[reelbase.Database]``, ``unit: NamedDependency[
    reelbase.UnitOfWork]`` and ``page: NamedDependency[PageParameters]``. A request has one unit. It is
    committed when the handler has returned, before the response is sent, so that a commit that fails
    becomes an error response, and rolled back when the handler raises. Background tasks, and a body that
    is streamed, run when it has ended: they take the database. A websocket is refused (RuntimeError).

    A DatabaseError is answered with a problem document (RFC 9457): code, public_details and, for an argument
    that cannot be used, a sentence as ``detail``. Errors are logged on ``reelbase``: from status 500 on as
    errors, below it as information.

    Args:
        path: as of reelbase.connect().
        name: the name of the dependency, for an application with several databases, each with a plugin;
            the unit of a further one is called ``<name>_unit``.
        options: as of reelbase.connect(), which checks them at once.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, name: str = "database", **options: Any
    ) -> None:
        self._opening = partial(connect, path, **options)
        self._opening()
        self._name = name

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Adds the lifespan, the dependencies and the error handler to the application."""
        unit = "unit" if self._name == "database" else f"{self._name}_unit"
        app_config.lifespan.append(self._lifespan)
        app_config.dependencies[self._name] = Provide(self._database)
        app_config.dependencies[unit] = Provide(self._unit)
        app_config.dependencies["before_unit"] = Provide(_nothing)
        # What the application itself has under these keys stays.
        app_config.dependencies.setdefault("page", Provide(page_parameters))
        app_config.exception_handlers.setdefault(DatabaseError, _answer)
        return app_config

    @asynccontextmanager
    async def _lifespan(self, app: Litestar) -> AsyncIterator[None]:
        async with self._opening() as database:
            app.state[self._name] = database
            yield

    async def _database(self, state: State) -> Database:
        return checked_database(state.get(self._name), self._name, _REMEDY)

    async def _unit(
        self, state: State, scope: Scope, before_unit: NamedDependency[None]
    ) -> AsyncIterator[UnitOfWork]:
        # Litestar makes the dependencies that depend on none in tasks of their own. A unit is opened in the
        # task of the request, by which a write beside the unit is recognised and refused.
        database = await self._database(state)
        async with unit_of_request(database, scope, scope["route_handler"].fn) as unit:
            yield unit


async def page_parameters(
    limit: Annotated[
        int, QueryParameter(ge=1, le=LARGEST_PAGE, description="at most this many")
    ] = 50,
    after: Annotated[str | None, QueryParameter(description="`next` of the page before")] = None,
) -> PageParameters:
    """``limit`` and ``after`` of the query."""
    return {"limit": limit, "after": after}


def event_stream(changes: AsyncIterable[Any], *, heartbeat: float = HEARTBEAT_SECONDS) -> Stream:
    """A response of server-sent events, such as of ``database.changes("files")``.

    It ends when changes end, or when the client goes; then it closes them.

    Args:
        changes: Structs, or any values that msgspec encodes as JSON. A ``commit`` of theirs becomes the
            event's id, which a browser sends back as ``Last-Event-ID`` when it connects again.
        heartbeat: seconds of silence after which a comment is sent.
    """
    return Stream(
        server_sent_events(changes, heartbeat=heartbeat),
        media_type=EVENT_STREAM,
        headers=EVENT_STREAM_HEADERS,
    )


async def _nothing() -> None:
    """The dependency of a unit."""


def _answer(request: Request[Any, Any, Any], error: DatabaseError) -> Response[bytes]:
    log_problem(error, f"{request.method} {request.url.path}")
    return Response(
        msgspec.json.encode(problem_of(error)),
        status_code=error.http_status,
        headers=problem_headers(error),
        media_type=PROBLEM,
    )
