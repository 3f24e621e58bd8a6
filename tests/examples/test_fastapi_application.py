"""How an application tests its routes: no server, a database in memory, and a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
from fastapi_application import app

import reelbase
from reelbase.fastapi import get_database

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
async def database() -> AsyncIterator[reelbase.Database]:
    async with reelbase.connect(":memory:", clock=lambda: NOW) as database:
        yield database


@pytest.fixture
async def client(database: reelbase.Database) -> AsyncIterator[httpx.AsyncClient]:
    app.dependency_overrides[get_database] = lambda: database
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
    app.dependency_overrides.clear()


async def test_a_file_is_added_with_its_job(
    client: httpx.AsyncClient, database: reelbase.Database
) -> None:
    answer = await client.post("/profiles/ann/files", json={"name": "a.mkv", "path": "in/a.mkv"})
    assert answer.status_code == 201
    assert answer.json()["file"]["created_at"] == "2026-01-31T12:00:00Z"
    (job,) = await database.jobs.list_for_profile("ann")
    assert job.params == {"file_id": answer.json()["file"]["id"]}


async def test_a_file_without_a_path_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/profiles/ann/files", json={"name": "a.mkv"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "path"]


async def test_a_client_sees_that_a_job_has_failed_and_nothing_of_the_server(
    client: httpx.AsyncClient, database: reelbase.Database
) -> None:
    new = {"name": "a.mkv", "path": "in/a.mkv"}
    added = (await client.post("/profiles/ann/files", json=new)).json()
    assert "error_details" not in added["job"]

    async def fail(_run: reelbase.JobRun) -> None:
        raise FileNotFoundError(2, "No such file", "/srv/media/a.mkv")

    handler = reelbase.JobHandler(fail, backoff=lambda _attempts: 0.0)
    working = asyncio.create_task(database.work({"transcribe": handler}))
    job = await database.jobs.wait(added["job"]["id"], timeout=10)
    working.cancel()
    await asyncio.wait([working])
    assert job.error_details is not None
    assert __file__ in job.error_details["traceback"]
    async with client.stream("GET", f"/jobs/{job.id}/events") as response:
        (event,) = [line async for line in response.aiter_lines() if line]
    assert '"status":"failed"' in event
    assert '"finished_at":"2026' in event
    assert not any(part in event for part in ("/srv", "error_details", __file__))


def test_openapi_has_the_errors_of_the_library_and_those_of_the_framework() -> None:
    answers = app.openapi()["paths"]["/files/{file_id}"]["get"]["responses"]
    models = {status: str(answers[status]["content"]) for status in ("404", "409", "422")}
    assert [name for name in models if "schemas/Problem" in models[name]] == ["404", "409"]
    assert "HTTPValidationError" in models["422"]
