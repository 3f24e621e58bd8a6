"""reelbase in a FastAPI application: ``FastAPI(lifespan=lifespan("media.db"))``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from functools import cache
from typing import Annotated, Any

from reelbase.database import Database
from reelbase.repositories.file_processing import FileStatus
from reelbase.repositories.files import FileFilters
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
    "FiltersDependency",
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


async def _file_filters(
    tags: Annotated[list[str] | None, Query(description="with all of these tags")] = None,
    type: Annotated[str | None, Query(description="of this type")] = None,
    folder: Annotated[str | None, Query(description="in this folder; empty: in none")] = None,
    status: Annotated[FileStatus | None, Query(description="with this processing status")] = None,
    speaker: Annotated[str | None, Query(description="with a speaker of this name")] = None,
    collection_id: Annotated[int | None, Query(description="in this collection")] = None,
    search: Annotated[str | None, Query(description="with this substring in the name")] = None,
    since: Annotated[datetime | None, Query(description="added at this time or after it")] = None,
    until: Annotated[datetime | None, Query(description="added before this time")] = None,
    min_size: Annotated[int | None, Query(description="bytes at least")] = None,
    max_size: Annotated[int | None, Query(description="bytes at most")] = None,
    min_length: Annotated[float | None, Query(description="seconds at least")] = None,
    max_length: Annotated[float | None, Query(description="seconds at most")] = None,
) -> FileFilters:
    filters = FileFilters(
        tags=tags or (),
        type=type,
        status=status,
        speaker=speaker,
        collection_id=collection_id,
        search=search,
        since=since,
        until=until,
        min_size=min_size,
        max_size=max_size,
        min_length=min_length,
        max_length=max_length,
    )
    if folder is not None:
        filters["folder"] = folder or None
    return filters


DatabaseDependency = Annotated[Database, database_dependency("database")]
UnitDependency = Annotated[UnitOfWork, unit_dependency("database")]
PageDependency = Annotated[PageParameters, Depends(_page_parameters)]
# The filters of files.page(), cards() and count() from the query, for page("ann", **page, **filters):
# pydantic refuses Annotated[FileFilters, Query()] before Python 3.12.
FiltersDependency = Annotated[FileFilters, Depends(_file_filters)]
