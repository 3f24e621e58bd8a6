"""Promises of ``reelbase worker``: it works on the jobs of a database with the handlers of a module."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from commands import run

import reelbase

MODULE = """
    import asyncio
    import reelbase

    async def count(run):
        files = await run.database.files.list()
        return {"files": len(files)}

    async def wait(run):
        print("waiting", flush=True)
        await asyncio.Event().wait()

    handlers = {"count": count, "wait": wait}
    others = {"count": count}
    number = 7

    def connect():
        return reelbase.connect("media.db")
"""


@pytest.fixture
def folder(path: Path) -> Path:
    """A folder with a database and a module of handlers."""
    (path.parent / "handling.py").write_text(textwrap.dedent(MODULE))
    (path.parent / "homeless.py").write_text("handlers = {'t': print}\n")
    (path.parent / "needy.py").write_text("import nothing_of_the_kind\n")
    return path.parent


def add(folder: Path, kind: str) -> None:
    async def add_one() -> None:
        async with reelbase.connect(folder / "media.db") as database:
            await database.profiles.ensure("ann")
            await database.jobs.add("ann", kind, {})

    asyncio.run(add_one())


def jobs(folder: Path) -> list[reelbase.Job]:
    async def listed() -> list[reelbase.Job]:
        async with reelbase.connect(folder / "media.db") as database:
            return await database.jobs.list()

    return asyncio.run(listed())


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "reelbase", "worker", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments", [["handling"], ["handling:others", "media.db"], ["handling", "--type", "count"]]
)
def test_it_works_until_sigterm(arguments: list[str], folder: Path) -> None:
    add(folder, "count")
    process = start(folder, *arguments)
    try:
        assert process.stderr is not None
        assert "begins" in process.stderr.readline()

        async def done() -> reelbase.Job:
            async with reelbase.connect(folder / "media.db") as database:
                (job,) = await database.jobs.list()
                return await database.jobs.wait(job.id, timeout=30)

        assert asyncio.run(done()).result == {"files": 0}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.long
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_stop_gives_unfinished_jobs_back(number: signal.Signals, code: int, folder: Path) -> None:
    add(folder, "wait")
    process = start(folder, "handling", "--grace", "0.1", "--name", "here", "--concurrency", "1")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        assert jobs(folder)[0].worker == "here"
        process.send_signal(number)
        assert process.wait(30) == code
    finally:
        process.kill()
        process.communicate()
    (job,) = jobs(folder)
    assert (job.status, job.attempts) == ("queued", 0)


@pytest.mark.long
def test_a_second_ctrl_c_ends_the_grace_and_gives_unfinished_jobs_back(folder: Path) -> None:
    add(folder, "wait")
    process = start(folder, "handling", "--grace", "60", "--concurrency", "1")
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        while "Ctrl-C again" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.communicate()
    (job,) = jobs(folder)
    assert (job.status, job.attempts) == ("queued", 0)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["missing"], "there is no module missing here"),
        (["handling.inside"], "there is no module handling.inside here"),
        ([""], "'' is no name of a module"),
        (["needy"], "needy imports nothing_of_the_kind, which is not installed"),
        (["handling:nothing"], "module handling has no `nothing`"),
        (["handling:number"], "handling:number: must be a dict of handlers"),
        (["homeless"], "module homeless has no `connect`: name FILE"),
        (["handling", "--type", "other"], "types: 'other' has no handler"),
        (["handling", "--concurrency", "0"], "concurrency: must be 1 or more"),
    ],
)
def test_wrong_use_is_named(
    arguments: list[str],
    problem: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("handling", "homeless", "needy"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert run("worker", *arguments) == 2
    assert problem in capsys.readouterr().err
