"""The Python of the READMEs is what a type checker accepts, and the examples on top do run."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import msgspec
import pytest

import reelbase

ROOT = Path(__file__).parents[2]
READMES = sorted(
    path
    for path in ROOT.rglob("README.md")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
_BLOCK = re.compile(r"^```(?:python|py)\n(.*?)^```", re.DOTALL | re.MULTILINE)

# What a block may take as given: these imports, and an open database.
PREAMBLE = """
import asyncio
import msgspec
import reelbase
"""


def blocks() -> dict[str, str]:
    """Every block of Python, by its README and its number there."""
    return {
        f"{'_'.join(path.relative_to(ROOT).with_suffix('').parts)}_{number}": block
        for path in READMES
        for number, block in enumerate(_BLOCK.findall(path.read_text()), 1)
    }


def as_function(name: str, block: str) -> str:
    """The block as the body of a coroutine function, since it awaits."""
    head = f"async def {name}(database: reelbase.Database) -> None:\n"
    return head + textwrap.indent(block, "    ")


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readme") / "readme_blocks.py"
    functions = [as_function(name, block) for name, block in blocks().items()]
    path.write_text("\n\n".join([PREAMBLE, *functions]) + "\n")
    return path


@pytest.mark.long
@pytest.mark.parametrize(
    "checker",
    [("mypy", "--strict"), ("pyright", "--pythonpath", sys.executable)],
    ids=lambda checker: checker[0],
)
def test_the_type_checkers_accept_every_block(module: Path, checker: tuple[str, ...]) -> None:
    """The commands are run in the project, so that its settings count."""
    done = subprocess.run(
        [sys.executable, "-m", *checker, str(module)],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": "src", "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_block_would_be_found(module: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    block = "job = await database.jobs.claim('w')\nprint(job.id)\n"
    wrong.write_text(PREAMBLE + as_function("wrong", block))
    with pytest.raises(AssertionError, match="None"):
        test_the_type_checkers_accept_every_block(wrong, ("mypy", "--strict"))


@pytest.mark.long
def test_the_application_on_top_is_a_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", blocks()["README_1"]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "lesson 1.mkv はじめまして。\n"


@pytest.mark.parametrize("name", ["README_2", "README_3", "README_4", "README_5"])
def test_the_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {"reelbase": reelbase, "msgspec": msgspec}
    exec(as_function(name, blocks()[name]), known)

    async def run() -> None:
        async with reelbase.connect(tmp_path / "other.db") as database:
            await known[name](database)

    asyncio.run(run())


@pytest.mark.filterwarnings(
    "ignore:Using `httpx` with"
)  # httpx2 is what the newest starlette prefers
def test_the_plain_test_of_a_route_runs(tmp_path: Path) -> None:
    (block,) = (block for block in blocks().values() if "with TestClient(app)" in block)
    known: dict[str, Any] = {"reelbase": reelbase}
    exec(block, known)
    known["test_files_are_listed"](tmp_path)
    assert (tmp_path / "media.db").exists()
