"""What ``reelbase new`` writes keeps to every check at once, and nothing is overwritten."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import run

import reelbase
from reelbase.cli.new.entity import TYPES

SOURCE = Path(reelbase.__file__).parents[1]
EVERY_TYPE = [*(f"a_{name}:{name}" for name in TYPES), *(f"b_{name}:{name}?" for name in TYPES)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def checked(here: Path, *command: str) -> None:
    """Runs a command of Python in the folder; it must find nothing."""
    environment = {**os.environ, "PYTHONPATH": f"{here}:{here / 'src'}:{SOURCE}"}
    environment["MYPYPATH"] = environment["PYTHONPATH"]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("package", "fields"),
    [
        ("notebook", EVERY_TYPE),
        ("src/shop/data", ["title:str"]),
        (".", ["a:uuid", "b:int?"]),
    ],
)
def test_what_it_writes_passes_lint_ruff_and_its_own_test(
    here: Path, package: str, fields: list[str]
) -> None:
    assert run("new", "order_line", *fields, "--into", package) == 0
    assert run("new", "egg", "size:int", "--into", package) == 0
    prefix = "" if package == "." else f"{package}/"
    parts = [part for part in Path(package).parts if part != "src"]
    source = "src/" if package.startswith("src") else ""
    inits = [f"{source}{'/'.join(parts[: n + 1])}/__init__.py" for n in range(len(parts))]
    assert files_in(here) == sorted(
        [
            f"{prefix}migrations/0001_order_lines.sql",
            f"{prefix}migrations/0002_eggs.sql",
            f"{prefix}order_lines.py",
            f"{prefix}eggs.py",
            "tests/test_order_lines.py",
            "tests/test_eggs.py",
            *inits,
        ]
    )
    checked(here, "ruff", "check", "--no-cache", "--isolated", ".")
    checked(here, "ruff", "format", "--no-cache", "--isolated", "--check", ".")
    rules = str(SOURCE.parent / "pyproject.toml")
    checked(here, "ruff", "check", "--no-cache", "--config", rules, "--ignore", "D,PT,A", ".")
    checked(here, "pytest", "-q", "-p", "no:cacheprovider", "tests")
    dotted = prefix.removeprefix("src/").replace("/", ".")
    migrations = ("--migrations", f"{prefix}migrations")
    checked(here, "reelbase", "lint", f"{dotted}order_lines", *migrations)
    checked(here, "reelbase", "lint", f"{dotted}eggs", *migrations)


@pytest.mark.long
def test_what_it_writes_passes_mypy_strict(here: Path) -> None:
    assert run("new", "order_line", *EVERY_TYPE, "--into", "notebook") == 0
    folders = ["notebook", "tests/test_order_lines.py"]
    cache = ["--cache-dir", str(here / "cache")]
    checked(here, "mypy", "--strict", *cache, *folders)


def test_the_files_are_named_as_json(here: Path, facts: Callable[..., Any]) -> None:
    found = facts("new", "egg", "size:int?", "--table", "basket", "--tests", "checks")
    assert found["files"] == ["migrations/0001_basket.sql", "basket.py", "checks/test_basket.py"]
    assert "EggRepository" in found["next"]


@pytest.mark.parametrize("existing", ["eggs.py", "tests/test_eggs.py"])
def test_nothing_is_overwritten(
    here: Path, existing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = here / existing
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    assert run("new", "egg", "size:int") == 2
    assert f"{existing} exists, and is not overwritten" in capsys.readouterr().err
    assert files_in(here) == [existing]
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["Egg", "size:int"], "'Egg' is no name"),
        (["class", "size:int"], "'class' is no name"),
        (["egg", "size"], "'size': write FIELD:TYPE with one of the types str, int"),
        (["egg", "size:number"], "'size:number': write FIELD:TYPE"),
        (["egg", "Size:int"], "'Size' is no name"),
        (["egg", "x" * 41 + ":int"], "40 characters at most"),
        (["egg", "id:int"], "the name id has a meaning of its own"),
        (["egg", "set_size:int"], "the name set_size has a meaning of its own"),
        (["egg", "size:int", "size:str"], "the field size is named twice"),
        (["egg", "order:int"], "order: a word of SQL is no name; choose another one"),
        (["egg", "size:int", "select:str"], "select: a word of SQL is no name"),
        (["egg", "size:int", "--table", "group"], "group: a word of SQL is no name"),
        (["file", "size:int"], "table files already exists"),
        (["egg", "size:int", "--table", "eggs;"], "'eggs;' is no name"),
        (["egg", "size:int", "--into", "../x"], "is no package that Python imports from here"),
        (["egg", "size:int", "--into", "/tmp"], "is no package that Python imports from here"),
        (["egg", "size:int", "--into", "a-b"], "is no package that Python imports from here"),
        (["egg"], "FIELD:TYPE"),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_written(
    here: Path, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("new", *arguments) == 2
    assert reason in capsys.readouterr().err
    assert files_in(here) == []


def test_migrations_that_are_no_chain_are_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "migrations").mkdir()
    (here / "migrations" / "0002_late.sql").touch()
    assert run("new", "egg", "size:int") == 2
    assert "0002_late.sql should have number 0001" in capsys.readouterr().err


def test_a_disk_that_refuses_leaves_none_of_the_files(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "tests").touch()  # where a folder should be
    assert run("new", "egg", "size:int") == 1
    assert files_in(here) == ["tests"]
    assert "tests" in capsys.readouterr().err
