"""reelbase.litestar: the database, units of work and errors of a request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar, WebSocket, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Response, Stream

import reelbase
from reelbase import Database, UnitOfWork
from reelbase.litestar import PageParameters, ReelbasePlugin, event_stream


@asynccontextmanager
async def client_of(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    asgi: Any = app
    transport = httpx.ASGITransport(asgi)
    async with (
        app.lifespan(),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


@pytest.fixture
def application(path: Path) -> Callable[..., Litestar]:
    def make(*handlers: Any) -> Litestar:
        return Litestar(list(handlers), plugins=[ReelbasePlugin(path)], logging_config=None)

    return make


@post("/units/{profile_id:str}", status_code=200)
async def ensure(profile_id: FromPath[str], unit: NamedDependency[UnitOfWork]) -> reelbase.Profile:
    profile = await unit.profiles.ensure(profile_id)
    if profile_id == "ben":
        raise HTTPException(status_code=418)
    if profile_id == "cas":
        raise ValueError("a mistake")
    return profile


@get("/count")
async def count(database: NamedDependency[Database]) -> int:
    return await database.profiles.count()


async def test_a_unit_is_committed_or_rolled_back(application: Callable[..., Litestar]) -> None:
    async with client_of(application(ensure, count)) as client:
        assert (await client.post("/units/ann")).json()["id"] == "ann"
        assert (await client.post("/units/ben")).status_code == 418
        assert (await client.post("/units/cas")).status_code == 500
        assert (await client.get("/count")).json() == 1


async def test_a_unit_is_committed_before_the_response_begins(
    application: Callable[..., Litestar],
) -> None:
    states: list[str] = []
    units: list[UnitOfWork] = []

    async def afterwards(database: Database) -> None:
        states.append(str(await database.profiles.count()))

    @post("/")
    async def route(
        unit: NamedDependency[UnitOfWork], database: NamedDependency[Database]
    ) -> Response[str]:
        units.append(unit)
        await unit.profiles.ensure("ann")
        return Response("done", background=BackgroundTask(afterwards, database))

    app = application(route)

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def watch(message: Any) -> None:
            states.append(units[0].state)
            await send(message)

        await app(scope, receive, watch)

    async with app.lifespan():
        transport = httpx.ASGITransport(watched)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.post("/")).status_code == 201
    assert states == ["committed", "committed", "1"]


@pytest.mark.long
async def test_a_unit_is_named_by_its_route(application: Callable[..., Litestar]) -> None:
    @post("/slow/{number:int}", status_code=200)
    async def hold(
        number: FromPath[int],
        unit: NamedDependency[UnitOfWork],
        database: NamedDependency[Database],
    ) -> str:
        with pytest.raises(reelbase.DatabaseError) as refused:
            await database.profiles.ensure("ann")
        return f"{number} {refused.value}"

    async with client_of(application(hold)) as client:
        answer = await client.post("/slow/3")
    assert f"was opened at POST /slow/3, {__name__}.test_a_unit_is_named" in answer.text


async def test_a_commit_that_fails_is_an_error_response(
    application: Callable[..., Litestar],
) -> None:
    @post("/")
    async def route(unit: NamedDependency[UnitOfWork]) -> str:
        await unit.execute("INSERT INTO own_children VALUES (1, 7)")
        return "done"

    app = application(route)
    async with client_of(app) as client:
        database: Database = app.state.database
        await database.execute("CREATE TABLE own_parents (id INTEGER PRIMARY KEY)")
        await database.execute(
            "CREATE TABLE own_children (id INTEGER PRIMARY KEY, parent_id INTEGER"
            " REFERENCES own_parents (id) DEFERRABLE INITIALLY DEFERRED)"
        )
        answer = await client.post("/")
        assert (answer.status_code, answer.json()["code"]) == (409, "constraint")
        assert await database.fetch_one(int, "SELECT count(*) FROM own_children") == 0


async def test_an_error_is_a_problem_document(
    application: Callable[..., Litestar], caplog: pytest.LogCaptureFixture
) -> None:
    @get("/{code:int}")
    async def route(code: FromPath[int], database: NamedDependency[Database]) -> None:
        if code == 404:
            await database.profiles.get("nobody")
        elif code == 503:
            raise reelbase.DatabaseBusyError("busy", details={"path": "/srv/media.db"})
        raise reelbase.DatabaseIOError("/srv/media.db", details={"path": "/srv/media.db"})

    async with client_of(application(route)) as client:
        answers = {code: await client.get(f"/{code}") for code in (404, 500, 503)}
    for code, answer in answers.items():
        assert answer.status_code == answer.json()["status"] == code
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert "/srv" not in answer.text
    assert answers[404].json()["details"] == {"entity": "profile", "key": "nobody"}
    assert answers[503].headers["retry-after"] == "1"
    logged = [record.getMessage() for record in caplog.records if record.name == "reelbase"]
    assert logged == ["GET /500: /srv/media.db", "GET /503: busy"]


async def test_a_write_beside_the_unit_is_refused_at_once(
    application: Callable[..., Litestar],
) -> None:
    """It would wait for the unit, which waits for the handler."""

    @post("/")
    async def route(unit: NamedDependency[UnitOfWork], database: NamedDependency[Database]) -> None:
        await database.profiles.ensure("ann")

    async with client_of(application(route)) as client:
        answer = await client.post("/")
    assert (answer.status_code, answer.json()["code"]) == (500, "inside_unit")


async def test_a_page_is_asked_for_by_limit_and_after(application: Callable[..., Litestar]) -> None:
    @get("/")
    async def route(page: NamedDependency[PageParameters]) -> PageParameters:
        return page

    async with client_of(application(route)) as client:
        assert (await client.get("/")).json() == {"limit": 50, "after": None}
        assert (await client.get("/?limit=1&after=x")).json() == {"limit": 1, "after": "x"}
        assert (await client.get("/?limit=501")).status_code == 400


@pytest.mark.long
async def test_an_application_has_several_databases(path: Path, tmp_path: Path) -> None:
    @post("/")
    async def route(
        unit: NamedDependency[UnitOfWork],
        archive: NamedDependency[Database],
        archive_unit: NamedDependency[UnitOfWork],
    ) -> str:
        await unit.profiles.ensure("ann")
        await archive_unit.profiles.ensure("ben")
        return str(archive.path)

    plugins = [ReelbasePlugin(path), ReelbasePlugin(tmp_path / "a.db", name="archive")]
    app = Litestar([route], plugins=plugins, logging_config=None)
    async with client_of(app) as client:
        assert (await client.post("/")).text == str(tmp_path / "a.db")
        assert await app.state.database.profiles.exists("ann")
        assert await app.state.archive.profiles.exists("ben")


async def test_a_websocket_has_the_database_and_no_unit(
    application: Callable[..., Litestar],
) -> None:
    seen: list[Any] = []

    @websocket("/count")
    async def count(socket: WebSocket[Any, Any, Any], database: NamedDependency[Database]) -> None:
        await socket.accept()
        seen.append(await database.profiles.count())
        await socket.close()

    @websocket("/unit")
    async def with_unit(
        socket: WebSocket[Any, Any, Any], unit: NamedDependency[UnitOfWork]
    ) -> None:
        seen.append(unit)

    app = application(count, with_unit)
    async with app.lifespan():
        for path in ("/count", "/unit"):
            sent: list[Any] = []

            async def receive() -> Any:
                return {"type": "websocket.connect"}

            async def send(message: Any, sent: list[Any] = sent) -> None:
                sent.append(message)

            scope: Any = {
                **{"type": "websocket", "path": path, "raw_path": path.encode(), "headers": []},
                **{"query_string": b"", "subprotocols": [], "root_path": "", "extensions": {}},
            }
            await app(scope, receive, send)
    assert seen == [0]
    assert sent[-1]["type"] == "websocket.close"


async def test_an_event_stream_is_a_response(application: Callable[..., Litestar]) -> None:
    @get("/")
    async def route() -> Stream:
        async def numbers() -> AsyncIterator[int]:
            yield 1
            yield 2

        return event_stream(numbers())

    async with client_of(application(route)) as client:
        answer = await client.get("/")
    assert answer.text == "data: 1\n\ndata: 2\n\n"
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"


async def test_what_the_application_has_itself_stays(path: Path) -> None:
    def own_answer(_request: Any, _error: Exception) -> Response[str]:
        return Response("mine", status_code=404)

    @get("/")
    async def route(database: NamedDependency[Database]) -> None:
        await database.profiles.get("nobody")

    plugins = [ReelbasePlugin(path)]
    app = Litestar(
        [route],
        plugins=plugins,
        exception_handlers={reelbase.DatabaseError: own_answer},
        logging_config=None,
    )
    async with client_of(app) as client:
        assert (await client.get("/")).text == "mine"


def test_options_are_checked_at_once(path: Path) -> None:
    with pytest.raises(reelbase.InvalidArgumentError, match="readers"):
        ReelbasePlugin(path, readers=0)
