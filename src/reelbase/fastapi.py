"""reelbase in a FastAPI application: ``FastAPI(lifespan=lifespan("media.db"))``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from typing import Annotated, Any

from reelbase.database import Database
from reelbase.unit_of_work import UnitOfWork
from reelbase.web import LARGEST_PAGE, PageParameters, Problem, unit_of_request

try:
    from fastapi import Depends, Query
    from fastapi.requests import HTTPConnection
except ImportError as error:
    raise ImportError("reelbase.fastapi needs FastAPI: pip install 'reelbase[fastapi]'") from error

from reelbase.starlette import database_of, event_stream, install_error_handlers, lifespan

__all__ = [
    "DatabaseDependency",
    "PageDependency",
    "PageParameters",
    "Problem",
    "UnitDependency",
    "database_dependency",
    "event_stream",
    "get_database",
    "install_error_handlers",
    "lifespan",
    "unit_dependency",
]


@cache
def _getter(name: str) -> Callable[[HTTPConnection], Awaitable[Database]]:
    async def get(connection: HTTPConnection) -> Database:
        return database_of(connection, name)

    return get


# What a test replaces: app.dependency_overrides[get_database] = lambda: database
get_database = _getter("database")


def database_dependency(name: str) -> Any:
    """The Database of this name, in an application with several databases:
    ``Archive = Annotated[Database, database_dependency("archive")]``."""
    return Depends(_getter(name))


@cache
def _unit_getter(name: str) -> Callable[..., AsyncIterator[UnitOfWork]]:
    opened = database_dependency(name)

    async def get(
        connection: HTTPConnection, database: Database = opened
    ) -> AsyncIterator[UnitOfWork]:
        scope = connection.scope
        async with unit_of_request(database, scope, scope.get("endpoint")) as unit:
            yield unit

    return get


def unit_dependency(name: str) -> Any:
    """A unit of work on the Database of this name, in an application with several databases:
    ``ArchiveUnit = Annotated[UnitOfWork, unit_dependency("archive")]``.

    A request has one. It is committed when the route has returned, before the response is sent, so that a
    commit that fails becomes an error response. It is rolled back when the route raises, also an
    HTTPException. Background tasks, and a body that is streamed, run when it has ended: they take the
    database. A websocket is refused (RuntimeError).
    """
    # In the default scope, "request", it would be committed after the response.
    return Depends(_unit_getter(name), scope="function")


async def _page_parameters(
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="at most this many")] = 50,
    after: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> PageParameters:
    return {"limit": limit, "after": after}


DatabaseDependency = Annotated[Database, database_dependency("database")]
UnitDependency = Annotated[UnitOfWork, unit_dependency("database")]
PageDependency = Annotated[PageParameters, Depends(_page_parameters)]
