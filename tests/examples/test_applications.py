"""The applications of the cookbook, each under a real uvicorn with two worker processes."""

from __future__ import annotations

import asyncio
import configparser
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

import reelbase

HERE = Path(__file__).parent


def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(HERE / "media.service")
    return parser["Service"]


def commands() -> dict[str, list[str]]:
    """What starts the applications: systemd and Docker that of FastAPI, as their files say."""
    (command,) = re.findall("^CMD (.*)$", (HERE / "Dockerfile").read_text(), re.MULTILINE)
    return {
        "systemd": shlex.split(service()["ExecStart"]),
        "docker": json.loads(command),
        "litestar": ["uvicorn", "litestar_application:app", "--workers", "2"],
        "starlette": ["uvicorn", "starlette_application:app", "--workers", "2"],
    }


COMMANDS = commands()


def test_the_service_writes_only_its_own_folder() -> None:
    name, _, path = service()["Environment"].partition("=")
    assert name == "MEDIA_DATABASE"
    assert Path(path).parent == Path("/var/lib") / service()["StateDirectory"]


@contextmanager
def served(command: list[str], database: Path, *, is_cut_off: bool = False) -> Iterator[str]:
    """The address of the application, while it runs. It stops at a SIGTERM, and has logged no error.

    is_cut_off: a stream is still open then, and uvicorn says that it has been cancelled.
    """
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert Path(command[0]).name == "uvicorn"
    here = ["--host", "127.0.0.1", "--port", str(port)]  # the last ones count
    server = subprocess.Popen(
        [*(sys.executable, "-m", "uvicorn"), *command[1:], *here],
        cwd=HERE,
        env={**os.environ, "MEDIA_DATABASE": str(database)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        _, said = server.communicate(timeout=30)
    assert said.count("Application startup complete") == 2, said
    assert said.count("Application shutdown complete") == 2, said
    assert said.count("Traceback") == is_cut_off, said
    assert said.count("timeout graceful shutdown exceeded") >= is_cut_off, said


def wait_for(port: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on {port}")


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
async def test_two_processes_serve_one_database(name: str, tmp_path: Path) -> None:
    database = tmp_path / "media.db"
    with served(COMMANDS[name], database) as address:
        async with httpx.AsyncClient(base_url=address, timeout=30) as client:
            sent = [{"name": f"{number}.mkv", "path": f"in/{number}.mkv"} for number in range(40)]
            added = await asyncio.gather(
                *(client.post("/profiles/ann/files", json=new) for new in sent)
            )
            assert {response.status_code for response in added} == {201}

            listed, after = [], ""
            while after is not None:
                page = await client.get(f"/profiles/ann/files?limit=15{after and '&after='}{after}")
                listed += page.json()["files"]
                after = page.json()["next"]
            assert sorted(file["name"] for file in listed) == sorted(new["name"] for new in sent)
            for wrong in ("limit=0", "limit=501", "limit=ten", "after=x"):
                answer = await client.get(f"/profiles/ann/files?{wrong}")
                assert answer.status_code in (400, 422)

            answer = await client.get(f"/files/{listed[0]['id']}")
            assert answer.json()["name"] == listed[0]["name"]

            answer = await client.get(f"/files/{uuid4()}")
            assert answer.headers["content-type"] == "application/problem+json"
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

            again = await client.post(
                "/profiles/ann/files", json={**sent[0], "id": listed[0]["id"]}
            )
            assert (again.status_code, again.json()["code"]) == (409, "constraint")
            wrong = await client.post("/profiles/ann/files", json={"name": "a"})
            assert wrong.status_code in (400, 422)
    assert database.stat().st_mode & 0o777 == 0o600
    async with reelbase.connect(database) as opened:
        assert len(await opened.jobs.list_for_profile("ann")) == 40
        assert (await opened.check()).ok


@pytest.mark.long
async def test_a_job_is_followed_by_server_sent_events(tmp_path: Path) -> None:
    database = tmp_path / "media.db"
    with served(COMMANDS["systemd"], database) as address:
        async with httpx.AsyncClient(base_url=address, timeout=30) as client:
            added = (
                await client.post("/profiles/ann/files", json={"name": "a", "path": "b"})
            ).json()
            job_id = added["job"]["id"]
            assert (await client.get(f"/jobs/{uuid4()}/events")).status_code == 404
            worker = asyncio.create_task(work(database))
            async with client.stream("GET", f"/jobs/{job_id}/events") as response:
                assert response.headers["content-type"].startswith("text/event-stream")
                states = [line async for line in response.aiter_lines() if line]
            await worker
            assert states[0].startswith('data: {"id":"' + job_id)
            assert '"status":"succeeded"' in states[-1]

            patched = await client.patch(f"/files/{added['file']['id']}", json={"folder": "new"})
            assert (patched.json()["folder"], patched.json()["name"]) == ("new", "a")
            shown = await client.get(f"/files/{added['file']['id']}")
            assert "path" not in shown.json()
            assert (await client.delete(f"/files/{added['file']['id']}")).status_code == 204
            assert (await client.delete(f"/files/{added['file']['id']}")).status_code == 404


@pytest.mark.long
async def test_a_server_stops_although_a_stream_is_open(tmp_path: Path) -> None:
    """It waits for --timeout-graceful-shutdown, and no longer."""
    async with httpx.AsyncClient(timeout=30) as client:
        with served(COMMANDS["systemd"], tmp_path / "media.db", is_cut_off=True) as address:
            new = {"name": "a", "path": "b"}
            added = (await client.post(f"{address}/profiles/ann/files", json=new)).json()
            request = client.build_request("GET", f"{address}/jobs/{added['job']['id']}/events")
            response = await client.send(request, stream=True)
            lines = response.aiter_lines()
            assert (await anext(lines)).startswith("data: ")
            began = time.monotonic()
        assert 4 < time.monotonic() - began < 20


async def work(database: Path) -> Any:
    async with reelbase.connect(database) as opened:
        job = await opened.jobs.claim("test")
        assert job is not None
        await opened.jobs.progress(job.id, 0.5)
        return await opened.jobs.succeed(job.id)
