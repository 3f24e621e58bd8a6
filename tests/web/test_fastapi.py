"""reelbase.fastapi, and with it reelbase.starlette: the database, units of work and errors of a request."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, WebSocket
from starlette.responses import JSONResponse, StreamingResponse

import reelbase
from reelbase import Database, DatabaseError, UnitOfWork
from reelbase.fastapi import (
    DatabaseDependency,
    FiltersDependency,
    PageDependency,
    Problem,
    UnitDependency,
    database_dependency,
    get_database,
    install_error_handlers,
    lifespan,
    unit_dependency,
)

Archive = Annotated[Database, database_dependency("archive")]
NamedUnit = Annotated[UnitOfWork, unit_dependency("database")]
ArchiveUnit = Annotated[UnitOfWork, unit_dependency("archive")]
Messages = list[dict[str, Any]]


async def idiom(database: DatabaseDependency) -> AsyncIterator[UnitOfWork]:
    """What tutorials show."""
    async with database.transaction() as unit:
        yield unit


async def unit_with_profile(unit: UnitDependency) -> UnitOfWork:
    await unit.profiles.ensure("ann")
    return unit


@asynccontextmanager
async def client_of(app: FastAPI, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, which has been started."""
    transport = httpx.ASGITransport(app, **options)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


async def socket_of(app: FastAPI, path: str, receives: Messages) -> Messages:
    """What the application sends in a websocket that receives these messages."""
    sent: Messages = []
    waiting = iter([{"type": "websocket.connect"}, *receives])

    async def receive() -> dict[str, Any]:
        return next(waiting)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        **{"type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b""},
        **{"headers": [], "subprotocols": [], "asgi": {"version": "3.0"}, "root_path": ""},
    }
    await app(scope, receive, send)
    return sent


@pytest.fixture
def app(path: Path) -> FastAPI:
    app = FastAPI(lifespan=lifespan(path))
    install_error_handlers(app)
    return app


# The database


async def test_a_route_has_the_open_database_which_closes_with_the_application(
    app: FastAPI, path: Path
) -> None:
    seen = []

    @app.get("/")
    async def route(database: DatabaseDependency) -> str:
        seen.append(database)
        return str(database.path)

    async with client_of(app) as client:
        assert (await client.get("/")).json() == str(path)
        assert not seen[0].closed
    assert seen[0].closed
    async with client_of(app) as client:
        await client.get("/")
    assert seen[1] is not seen[0]


async def test_options_are_those_of_connect_and_are_checked_at_once(path: Path) -> None:
    app = FastAPI(lifespan=lifespan(path, read_only=True))
    install_error_handlers(app)

    @app.post("/")
    async def route(database: DatabaseDependency) -> None:
        await database.profiles.ensure("ann")

    async with client_of(app) as client:
        answer = await client.post("/")
    assert (answer.status_code, answer.json()["code"]) == (403, "read_only")
    with pytest.raises(TypeError, match="reader"):
        lifespan(path, reader=2)
    with pytest.raises(reelbase.InvalidArgumentError, match="readers"):
        lifespan(path, readers=0)


async def test_a_lifespan_of_ones_own_contains_that_of_the_database(path: Path) -> None:
    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with lifespan(path)(app) as state:
            await state["database"].profiles.ensure("ann")
            yield {**state, "mine": 1}

    app = FastAPI(lifespan=own)

    @app.get("/")
    async def route(database: DatabaseDependency) -> int:
        return await database.profiles.count()

    async with client_of(app) as client:
        assert (await client.get("/")).json() == 1


@pytest.mark.long
async def test_an_application_has_several_databases(path: Path, tmp_path: Path) -> None:
    app = FastAPI(lifespan=lifespan(path))
    router = APIRouter(lifespan=lifespan(tmp_path / "archive.db", name="archive"))

    @router.post("/{profile_id}")
    async def route(profile_id: str, unit: UnitDependency, archive: ArchiveUnit) -> None:
        await unit.profiles.ensure(profile_id)
        await archive.profiles.ensure(profile_id)
        if profile_id == "ben":
            raise HTTPException(400)

    @router.get("/")
    async def both(database: DatabaseDependency, archive: Archive) -> list[list[str]]:
        profiles = [await each.profiles.list() for each in (database, archive)]
        assert database.path != archive.path
        return [[profile.id for profile in each] for each in profiles]

    app.include_router(router)
    async with client_of(app) as client:
        assert (await client.post("/ann")).status_code == 200
        assert (await client.post("/ben")).status_code == 400
        assert (await client.get("/")).json() == [["ann"], ["ann"]]


async def test_a_mounted_application_has_the_database_of_the_outer_one(
    app: FastAPI, path: Path
) -> None:
    inner = FastAPI()
    install_error_handlers(inner)
    app.mount("/inner", inner)

    @inner.get("/{profile_id}")
    async def route(profile_id: str, database: DatabaseDependency) -> reelbase.Profile:
        return await database.profiles.get(profile_id)

    async with app.router.lifespan_context(app) as state:
        # As a server does it: the state of the lifespan is in every scope.
        async def served(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.get("/inner/ann")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_without_a_lifespan_the_error_says_what_to_do() -> None:
    app = FastAPI()

    @app.get("/")
    async def route(database: DatabaseDependency) -> None: ...

    async with client_of(app) as client:
        with pytest.raises(RuntimeError, match=r"no database 'database': pass lifespan="):
            await client.get("/")


async def test_an_application_that_was_not_started_names_the_client_that_starts_it(
    app: FastAPI,
) -> None:
    @app.get("/")
    async def route(database: DatabaseDependency) -> None: ...

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        with pytest.raises(
            RuntimeError, match=r"not started: .*`with TestClient\(app\) as client`"
        ):
            await client.get("/")


async def test_a_database_of_the_tests_loop_names_the_client_for_that_loop(
    app: FastAPI, database: Database
) -> None:
    @app.get("/")
    async def route(database: DatabaseDependency) -> None:
        await database.profiles.count()

    app.dependency_overrides[get_database] = lambda: database

    async def call() -> None:
        async with client_of(app) as client:
            await client.get("/")

    with pytest.raises(RuntimeError, match=r"TestClient runs .*httpx\.ASGITransport\(app\)"):
        await asyncio.to_thread(asyncio.run, call())  # on a loop of its own, as TestClient does


async def test_a_test_replaces_the_database(app: FastAPI) -> None:
    @app.post("/")
    async def route(unit: UnitDependency, database: DatabaseDependency) -> None:
        assert database.path is None
        await unit.profiles.ensure("ann")

    async with reelbase.connect(":memory:") as replaced:
        app.dependency_overrides[get_database] = lambda: replaced
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.post("/")).status_code == 200
        assert await replaced.profiles.exists("ann")


# Units of work


async def test_a_unit_is_committed_before_the_response_begins(app: FastAPI) -> None:
    units: list[UnitOfWork] = []
    states: list[str] = []

    @app.post("/")
    async def route(unit: UnitDependency) -> reelbase.Profile:
        units.append(unit)
        return await unit.profiles.ensure("ann")

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def watch(message: Any) -> None:
            states.append(f"{message['type']} {units[0].state}")
            await send(message)

        await app(scope, receive, watch)

    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(watched)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.post("/")).json()["id"] == "ann"
    assert states == ["http.response.start committed", "http.response.body committed"]


async def test_a_default_dependency_would_have_answered_first(app: FastAPI) -> None:
    """Why unit_dependency() has a scope."""
    states: list[str] = []
    units: list[UnitOfWork] = []

    class Watching(JSONResponse):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            states.append(units[0].state)
            await super().__call__(scope, receive, send)

    @app.post("/")
    async def route(unit: Annotated[UnitOfWork, Depends(idiom)]) -> Any:
        units.append(unit)
        return Watching({})

    async with client_of(app) as client:
        await client.post("/")
    assert states == ["open"]


async def test_a_commit_that_fails_is_an_error_response(app: FastAPI) -> None:
    @app.post("/")
    async def route(unit: UnitDependency) -> str:
        await unit.execute("INSERT INTO own_children VALUES (1, 7)")
        return "done"

    @app.get("/")
    async def count(database: DatabaseDependency) -> int:
        return await database.fetch_one(int, "SELECT count(*) FROM own_children")

    async with client_of(app) as client:
        database: Database = app.state.database
        await database.execute("CREATE TABLE own_parents (id INTEGER PRIMARY KEY)")
        await database.execute(
            "CREATE TABLE own_children (id INTEGER PRIMARY KEY, parent_id INTEGER"
            " REFERENCES own_parents (id) DEFERRABLE INITIALLY DEFERRED)"
        )
        answer = await client.post("/")
        assert (answer.status_code, answer.json()["code"]) == (409, "constraint")
        assert (await client.get("/")).json() == 0


@pytest.mark.parametrize(
    "error", [HTTPException(418), ValueError("no"), reelbase.DatabaseIOError("a")]
)
async def test_a_route_that_raises_rolls_back(app: FastAPI, error: Exception) -> None:
    units = []

    @app.post("/")
    async def route(unit: UnitDependency) -> None:
        units.append(unit)
        await unit.profiles.ensure("ann")
        raise error

    async with client_of(app, raise_app_exceptions=False) as client:
        assert (await client.post("/")).status_code == getattr(error, "status_code", 500)
        assert units[0].state == "rolled_back"
        assert await app.state.database.profiles.count() == 0


async def test_a_response_that_does_not_fit_its_model_rolls_back(app: FastAPI) -> None:
    @app.post("/", response_model=reelbase.Profile)
    async def route(unit: UnitDependency) -> Any:
        await unit.profiles.ensure("ann")
        return {"id": "ann"}

    async with client_of(app, raise_app_exceptions=False) as client:
        assert (await client.post("/")).status_code == 500
        assert await app.state.database.profiles.count() == 0


async def test_a_unit_that_the_route_rolls_back_is_no_error(app: FastAPI) -> None:
    @app.post("/")
    async def route(unit: UnitDependency) -> str:
        await unit.profiles.ensure("ann")
        await unit.rollback()
        return "nothing"

    async with client_of(app) as client:
        assert (await client.post("/")).json() == "nothing"
        assert await app.state.database.profiles.count() == 0


async def test_a_request_has_one_unit(app: FastAPI) -> None:
    @app.post("/")
    async def route(
        unit: UnitDependency, same: Annotated[UnitOfWork, Depends(unit_with_profile)]
    ) -> int:
        assert unit is same
        return await unit.profiles.count()

    async with client_of(app) as client:
        assert (await client.post("/")).json() == 1


async def test_a_unit_that_is_named_again_is_the_same(app: FastAPI) -> None:
    @app.post("/")
    async def route(unit: UnitDependency, same: NamedUnit) -> bool:
        return unit is same

    async with client_of(app) as client:
        assert (await client.post("/")).json() is True


async def test_a_write_beside_the_unit_is_refused_at_once(app: FastAPI) -> None:
    """It would wait for the unit, which waits for the route."""

    @app.post("/")
    async def route(unit: UnitDependency, database: DatabaseDependency) -> None:
        await database.profiles.ensure("ann")

    async with client_of(app) as client:
        answer = await client.post("/")
    assert (answer.status_code, answer.json()["code"]) == (500, "inside_unit")


async def test_a_unit_that_is_held_too_long_is_named_by_its_route(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI(lifespan=lifespan(path, slow_transaction=0.01))
    install_error_handlers(app)
    router = APIRouter(prefix="/slow")

    @router.post("/{name}")
    async def hold(unit: UnitDependency, database: DatabaseDependency) -> None:
        await asyncio.sleep(0.1)
        with pytest.raises(DatabaseError, match=r"opened at POST /slow/a%0Ab, .*hold,"):
            await database.profiles.ensure("ann")

    app.include_router(router)
    async with client_of(app) as client:
        assert (await client.post("/slow/a%0Ab")).status_code == 200
    (warning,) = [line for line in caplog.messages if "has held the database" in line]
    assert f"opened at POST /slow/a%0Ab, {__name__}.test_a_unit_that_is_held" in warning
    assert "fastapi.py" not in warning


async def test_background_tasks_and_streams_see_what_was_committed(app: FastAPI) -> None:
    seen: list[Any] = []

    async def afterwards(database: Database, unit: UnitOfWork) -> None:
        seen.append(await database.profiles.count())
        with pytest.raises(reelbase.DatabaseClosedError) as caught:
            await unit.profiles.count()
        seen.append(caught.value.code)

    @app.post("/task")
    async def task(
        unit: UnitDependency, database: DatabaseDependency, tasks: BackgroundTasks
    ) -> None:
        await unit.profiles.ensure("ann")
        tasks.add_task(afterwards, database, unit)

    @app.post("/stream")
    async def stream(unit: UnitDependency, database: DatabaseDependency) -> StreamingResponse:
        await unit.profiles.ensure("ben")

        async def body() -> AsyncIterator[str]:
            async for name in database.stream(str, "SELECT id FROM profiles ORDER BY id"):
                yield name + "\n"

        return StreamingResponse(body())

    async with client_of(app) as client:
        assert (await client.post("/task")).status_code == 200
        assert seen == [1, "unit_ended"]
        assert (await client.post("/stream")).text == "ann\nben\n"


async def test_many_requests_at_once_each_have_a_unit(app: FastAPI) -> None:
    @app.post("/{number}")
    async def route(number: int, unit: UnitDependency) -> None:
        await unit.profiles.ensure(f"profile {number}")
        if number % 2:
            raise HTTPException(400)

    async with client_of(app) as client:
        answers = await asyncio.gather(*(client.post(f"/{number}") for number in range(40)))
        assert [answer.status_code for answer in answers] == [200, 400] * 20
        assert await app.state.database.profiles.count() == 20


# Websockets


async def test_a_websocket_has_the_database_and_no_unit(app: FastAPI) -> None:
    @app.websocket("/count")
    async def count(socket: WebSocket, database: DatabaseDependency) -> None:
        await socket.accept()
        await socket.send_json(await database.profiles.count())
        await socket.close()

    @app.websocket("/unit")
    async def unit(socket: WebSocket, unit: UnitDependency) -> None: ...

    async with client_of(app):
        sent = await socket_of(app, "/count", [])
        assert [message["type"] for message in sent] == [
            *("websocket.accept", "websocket.send", "websocket.close")
        ]
        assert sent[1]["text"] == "0"
        with pytest.raises(RuntimeError, match="would hold the database"):
            await socket_of(app, "/unit", [])


@pytest.mark.parametrize("accepts", [True, False])
async def test_an_error_closes_a_websocket(app: FastAPI, accepts: bool) -> None:
    @app.websocket("/")
    async def route(socket: WebSocket, database: DatabaseDependency) -> None:
        if accepts:
            await socket.accept()
        await database.profiles.get("nobody")

    async with client_of(app):
        sent = await socket_of(app, "/", [])
    assert sent[-1] == {"type": "websocket.close", "code": 1011, "reason": ""}


async def test_an_error_after_the_client_has_gone_is_none(app: FastAPI) -> None:
    @app.websocket("/")
    async def route(socket: WebSocket, database: DatabaseDependency) -> None:
        await socket.accept()
        await socket.close()
        await database.profiles.get("nobody")

    async with client_of(app):
        assert len(await socket_of(app, "/", [])) == 2


# Errors


def failing(app: FastAPI, error: DatabaseError) -> None:
    @app.get("/fails")
    async def route() -> None:
        raise error


@pytest.mark.parametrize(
    ("call", "document"),
    [
        (
            lambda database: database.profiles.get("nobody"),
            {
                **{"title": "Not Found", "status": 404, "code": "not_found"},
                "details": {"entity": "profile", "key": "nobody"},
            },
        ),
        (
            lambda database: database.files.add("nobody", "a", "b"),
            {
                **{"title": "Conflict", "status": 409, "code": "constraint"},
                "details": {
                    **{"kind": "foreign_key", "constraint": "", "column": "profile_id"},
                    **{"value": "nobody", "parent": "profiles"},
                },
            },
        ),
        (
            lambda database: database.files.get("no id"),
            {
                **{"title": "Unprocessable Entity", "status": 422, "code": "invalid_argument"},
                "details": {"parameter": "file_id"},
                "detail": "file_id: not a UUID: 'no id'",
            },
        ),
    ],
)
async def test_an_error_is_a_problem_document(
    app: FastAPI, call: Callable[[Database], Any], document: dict[str, Any]
) -> None:
    @app.get("/")
    async def route(database: DatabaseDependency) -> None:
        await call(database)

    async with client_of(app) as client:
        answer = await client.get("/")
    if sys.version_info >= (3, 13) and document["status"] == 422:
        document = document | {"title": "Unprocessable Content"}
    assert answer.status_code == document["status"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {"type": "about:blank", **document}


async def test_an_error_of_the_server_shows_no_path_and_is_logged(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    details = {"target": "/srv/secret/media.db"}
    failing(app, reelbase.DatabaseIOError("cannot open /srv/secret/media.db", details=details))
    async with client_of(app) as client:
        answer = await client.get("/fails")
    assert answer.json() == {
        **{"type": "about:blank", "title": "Internal Server Error", "status": 500},
        **{"code": "io", "details": {}},
    }
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.name == "reelbase"
    assert record.getMessage() == "GET /fails: cannot open /srv/secret/media.db"
    assert record.exc_info


async def test_problems_can_be_described(app: FastAPI) -> None:
    @app.get("/", responses={404: {"model": Problem}})
    async def route() -> None: ...

    answer = app.openapi()["paths"]["/"]["get"]["responses"]["404"]["content"]
    assert answer["application/json"]["schema"] == {"$ref": "#/components/schemas/Problem"}


async def test_what_is_busy_can_be_tried_again(app: FastAPI) -> None:
    failing(app, reelbase.DatabaseBusyError("busy"))
    async with client_of(app) as client:
        answer = await client.get("/fails")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_an_error_of_the_client_is_logged_as_information(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "reelbase")
    failing(app, reelbase.RecordNotFoundError("profile 'x' does not exist"))
    async with client_of(app) as client:
        await client.get("/fails")
    (record,) = [each for each in caplog.records if each.name == "reelbase" and not each.exc_info]
    assert record.levelno == logging.INFO
    assert record.getMessage() == "GET /fails: profile 'x' does not exist"


async def test_a_text_that_names_a_file_of_the_server_is_not_answered(
    app: FastAPI, tmp_path: Path
) -> None:
    @app.get("/")
    async def route(database: DatabaseDependency, target: str) -> None:
        await database.backup(target)

    async with client_of(app) as client:
        answer = await client.get("/", params={"target": f"{tmp_path}/"})
    assert (answer.status_code, answer.json()["details"]) == (422, {"parameter": "target"})
    assert "detail" not in answer.json()
    assert str(tmp_path) not in answer.text


# Pages


async def test_a_page_is_asked_for_by_limit_and_after(app: FastAPI) -> None:
    @app.get("/")
    async def route(page: PageDependency) -> Any:
        return page

    async with client_of(app) as client:
        assert (await client.get("/")).json() == {"limit": 50, "after": None}
        assert (await client.get("/?limit=500&after=x")).json() == {"limit": 500, "after": "x"}
        for limit in ("0", "501", "-1", "ten", ""):
            answer = await client.get(f"/?limit={limit}")
            assert answer.status_code == 422
            assert answer.json()["detail"][0]["loc"] == ["query", "limit"]
    names = [each["name"] for each in app.openapi()["paths"]["/"]["get"]["parameters"]]
    assert names == ["limit", "after"]


@pytest.mark.long
async def test_a_gallery_is_filtered_by_the_query(app: FastAPI) -> None:
    @app.get("/")
    async def route(
        database: DatabaseDependency, page: PageDependency, filters: FiltersDependency
    ) -> list[str]:
        return [file.name for file in await database.files.page("ann", **page, **filters)]

    async with client_of(app) as client:
        files = app.state.database.files
        await app.state.database.profiles.ensure("ann")
        await files.add("ann", "plain", "/srv/plain")
        await files.add("ann", "big", "/srv/big", type="video", size_bytes=1000)
        trip = await files.add("ann", "trip", "/srv/trip", folder="2026", size_bytes=10)
        for tag in ("sea", "sun"):
            await app.state.database.tags.attach(trip.id, tag)
        expected = {
            "": ["trip", "big", "plain"],
            "limit=1&search=i": ["trip"],
            "tags=sea&tags=sun": ["trip"],
            "tags=sea&tags=snow": [],
            "type=video": ["big"],
            "folder=2026": ["trip"],
            "folder=": ["big", "plain"],
            "min_size=5&max_size=10": ["trip"],
            "since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z": [],
        }
        found = {query: (await client.get(f"/?{query}")).json() for query in expected}
        assert found == expected
        for query, code in (("status=done", 422), ("min_size=x", 422), ("since=2026-01-01", 422)):
            assert (await client.get(f"/?{query}")).status_code == code, query
    names = {each["name"] for each in app.openapi()["paths"]["/"]["get"]["parameters"]}
    assert names == {"limit", "after", *reelbase.FileFilters.__annotations__}


# What is not installed


@pytest.mark.long
@pytest.mark.parametrize("framework", ["fastapi", "starlette", "litestar"])
def test_a_framework_that_is_not_installed_is_named(framework: str) -> None:
    program = f"import sys; sys.modules[{framework!r}] = None; import reelbase.{framework}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr.rstrip().endswith(f"pip install 'reelbase[{framework}]'")
