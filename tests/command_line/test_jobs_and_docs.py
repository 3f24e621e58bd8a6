"""The commands that show and move jobs, and that print the documents of the package."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from commands import run, work

import reelbase
from reelbase import Database, Job, JobStatus


@pytest.fixture
def jobs(path: Path) -> list[Job]:
    """One queued, one running, one failed, from the oldest to the newest."""
    made: list[Job] = []

    async def fill(database: Database) -> None:
        await database.profiles.ensure("ann")
        for type in ("first", "second", "third"):
            made.append(await database.jobs.add("ann", type, {"of": "ann"}))
        await database.jobs.claim("gone", types=["second"])
        await database.jobs.claim("w", types=["third"])
        await database.jobs.fail(made[2].id, "no\nsound", worker="w")

    work(path, fill)
    return made


def status_of(path: Path, job: Job) -> JobStatus:
    async def read() -> JobStatus:
        async with reelbase.connect(path) as database:
            return (await database.jobs.get(job.id)).status

    return asyncio.run(read())


def test_jobs_are_listed_page_by_page(
    path: Path, jobs: list[Job], facts: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    first = facts("jobs", "list", path, "--limit", 2)
    assert [job["type"] for job in first["jobs"]] == ["third", "second"]
    rest = facts("jobs", "list", path, "--limit", 2, "--after", first["next"])
    assert [job["type"] for job in rest["jobs"]] == ["first"]
    assert rest["next"] is None
    failed = facts("jobs", "list", path, "--status", "failed", "--profile", "ann")
    assert [job["error"] for job in failed["jobs"]] == ["no\nsound"]
    assert facts("jobs", "list", path, "--type", "fourth") == {"jobs": [], "next": None}
    assert run("jobs", "list", path, "--limit", 2) == 0
    out = capsys.readouterr().out
    assert str(jobs[1].id) in out
    assert "gone" in out
    assert "more: --after " in out


def test_a_job_is_shown_with_all_its_fields(
    path: Path, jobs: list[Job], facts: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (shown,) = facts("jobs", "show", path, jobs[2].id)["jobs"]
    assert shown["params"] == {"of": "ann"}
    assert shown.keys() == set(Job.__struct_fields__)
    assert run("jobs", "show", path, jobs[2].id) == 0
    assert "error: no\\nsound" in capsys.readouterr().out


def test_jobs_are_queued_again_cancelled_and_taken_from_a_worker(
    path: Path, jobs: list[Job], facts: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("jobs", "retry", path, jobs[2].id) == 0
    assert capsys.readouterr().out == f"{jobs[2].id}: queued\n"
    (released,) = facts("jobs", "release", path, jobs[1].id)["jobs"]
    assert (released["status"], released["worker"]) == ("queued", None)
    moved = facts("jobs", "cancel", path, jobs[0].id, jobs[1].id)["jobs"]
    assert [job["status"] for job in moved] == ["cancelled", "cancelled"]


def test_when_one_job_cannot_be_moved_none_is(
    path: Path, jobs: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("jobs", "retry", path, jobs[2].id, jobs[0].id) == 1
    assert capsys.readouterr().err.startswith("reelbase jobs: job ")
    assert status_of(path, jobs[2]) is JobStatus.FAILED
    assert run("jobs", "release", path, jobs[0].id) == 1
    assert status_of(path, jobs[0]) is JobStatus.QUEUED


@pytest.mark.long
def test_types_are_paused_resumed_and_limited(
    path: Path, jobs: list[Job], facts: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    free = {"waiting": 0, "waiting_since": None, "paused_at": None, "running_limit": None}
    free |= {"start_limit": None, "start_seconds": None}
    waiting = {"waiting": 1, "waiting_since": jobs[0].created_at.isoformat().replace("+00:00", "Z")}
    assert facts("jobs", "types", path) == {"types": [{"type": "first", **free, **waiting}]}
    first, other = facts("jobs", "pause", path, "first", "other", "first")["types"]
    assert first.pop("paused_at") == other.pop("paused_at") is not None
    assert first | {"paused_at": None} == {"type": "first", **free, **waiting}
    (resumed,) = facts("jobs", "resume", path, "first")["types"]
    assert resumed == {"type": "first", **free, **waiting}
    (limited,) = facts("jobs", "limit", path, "third", "--running", 2)["types"]
    assert limited == {**free, "type": "third", "running_limit": 2}
    (limited,) = facts("jobs", "limit", path, "third", "--starts", 10, "--per", 60)["types"]
    limits = {"running_limit": 2, "start_limit": 10, "start_seconds": 60}
    assert limited == {**free, "type": "third", **limits}
    assert run("jobs", "types", path) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in shown if line.startswith(("first", "other", "third"))] == [
        ["first", "1"],
        ["other", "0"],
        ["third", "0"],
    ]
    assert "10 in 60 s" in "".join(shown)
    (limited,) = facts("jobs", "limit", path, "third", "--running", "none", "--starts", "none")[
        "types"
    ]
    assert limited == {**free, "type": "third"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("pause",),
        ("limit", "t"),
        ("limit", "t", "--running", "0"),
        ("limit", "t", "--running", "many"),
        ("limit", "t", "--running", str(2**63)),
        ("limit", "t", "--starts", "5"),
        ("limit", "t", "--running", "5", "--per", "5"),
        ("limit", "t", "--starts", "5", "--per", "nan"),
        ("limit", "t", "--starts", "5", "--per", "1e300"),
        ("show", "no id"),
        ("retry", "no id"),
        ("list", "--after", "no token"),
        ("list", "--limit", "-1"),
        ("list", "--status", "done"),
        (),
    ],
)
def test_wrong_arguments_are_wrong_use(
    path: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    words = (arguments[0], path, *arguments[1:]) if arguments else ()
    assert run("jobs", *words) == 2
    assert capsys.readouterr().err


def test_a_missing_job_exits_with_1(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("jobs", "show", path, reelbase.new_id()) == 1
    assert "not found" in capsys.readouterr().err


@pytest.mark.long
def test_documents_are_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("docs") == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    folders = Path(reelbase.__file__).parent.glob("*/README.md")
    for name in ("readme", "house", "diagram", "examples"):
        names.remove(name)
    assert sorted(names) == sorted(path.parent.name for path in folders)
    for name in names:
        assert run("docs", name) == 0
        assert capsys.readouterr().out.startswith("# ")
    assert run("docs", "examples") == 0
    recipes = re.findall(r"`reelbase docs examples/([\w.]+)`", capsys.readouterr().out)
    assert "fastapi_application.py" in recipes
    for recipe in recipes:
        assert run("docs", f"examples/{recipe}") == 0
    shipped = Path(__file__).parents[2].joinpath("pyproject.toml").read_text("utf-8")
    assert [recipe for recipe in recipes if f"reelbase/examples/{recipe}" not in shipped] == []
    assert run("docs", "examples/nonsense") == 2
    assert run("docs", "nonsense") == 2
    assert "choose one of" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["readme", "house", "repositories", "migrations", "importers", "testing", "cli", "examples"],
)
def test_no_link_of_a_document_that_travels_is_a_dead_end(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("docs", name) == 0
    text = capsys.readouterr().out
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert [link for link in links if not link.startswith(("https:", "#"))] == []
    for document in re.findall(r"\(`reelbase docs ([^`]+)`\)", text):
        assert run("docs", document) == 0
    root = Path(__file__).parents[2]
    for path in re.findall(r"\(in the repository: ([^)]+)\)", text):
        assert root.joinpath(path).exists()


def test_the_readmes_name_each_other_by_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("docs", "readme") == 0
    text = capsys.readouterr().out
    assert "(`reelbase docs migrations`)" in text
    assert "(`reelbase docs examples`)" in text
    assert "(in the repository: bench/README.md)" in text


def test_the_diagram_has_every_table_column_and_reference(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("docs", "diagram") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "erDiagram"
    with closing(sqlite3.connect(":memory:")) as native:
        native.executescript(reelbase.schema_sql())
        tables = native.execute(
            "SELECT name FROM pragma_table_list WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        assert len(tables) > 30
        for (table,) in tables:
            block = lines[lines.index(f"{table} {{") + 1 :]
            columns = native.execute("SELECT name FROM pragma_table_info(?)", (table,))
            drawn = [line.split()[1] for line in block[: block.index("}")]]
            assert drawn == [name for (name,) in columns]
            parents = native.execute(
                'SELECT "table" FROM pragma_foreign_key_list(?) WHERE seq = 0', (table,)
            )
            drawn = [line.split()[0] for line in lines if f"o{{ {table} :" in line]
            assert sorted(drawn) == sorted(parent for (parent,) in parents)
