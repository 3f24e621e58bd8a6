"""One template file, copied for each test; the journal mode is an option of the run."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from commands import run
from shared import SharedDatabase

import reelbase
from reelbase import Database
from reelbase.testing.clock import FrozenClock

# The markers of tests that the default lane leaves out, and the options that include them.
_LANES = {
    "long": ("--run-long", "--run-slow", "--full-faults"),
    "slow": ("--run-slow",),
    "bench": ("--run-bench",),
}

# The rooms whose tests look at results of repositories, which do not depend on the journal or on files.
ROOMS_OF_RESULTS = ("laws", "repositories")

# The journal changes locks, durability and files, not the result of a method, an import or a command, or an
# HTTP answer.
ROOMS_ON_ONE_JOURNAL = (
    *ROOMS_OF_RESULTS,
    "applications",
    "command_line",
    "examples",
    "importers",
    "testing",
    "web",
)

SECRETS = reelbase.Secrets(b"k" * 32)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--journal",
        choices=["wal", "delete"],
        default="wal",
        help="the journal mode of the databases that the tests use; delete runs only those that depend on it",
    )
    parser.addoption(
        "--run-long",
        action="store_true",
        help="also run the tests that take a tenth of a second and more",
    )
    parser.addoption("--run-slow", action="store_true", help="also run the tests that take minutes")
    parser.addoption("--run-bench", action="store_true", help="also run the tests of the bench")


def pytest_configure(config: pytest.Config) -> None:
    # Where no bytecode may be kept beside the sources, each of some hundred processes that the tests start
    # would compile the package, and each worker of xdist all tests.
    folder = config.rootpath / ".pytest_cache" / "bytecode"
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(folder)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # A shell has the programs that it runs in the background ignore it, and those of the tests would, too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    # Half the time of the shorter lane would go into items that it leaves out.
    if collection_path.suffix != ".py" or not _runs_on_one_journal(collection_path, config):
        return None
    return "journal" not in collection_path.read_text("utf-8") or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    deselected = [item for item in items if not _is_selected(item, config)]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if _is_selected(item, config)]


def pytest_collection_finish(session: pytest.Session) -> None:
    # Thousands of items: without them a collection takes a millisecond, and many tests ask for one.
    gc.collect()
    gc.freeze()


def _is_selected(item: pytest.Item, config: pytest.Config) -> bool:
    for mark in item.iter_markers():
        options = _LANES.get(mark.name)
        if options and not any(config.getoption(option, default=False) for option in options):
            return False
    if config.getoption("--journal") == "wal":
        return True
    # What does not depend on the journal has run on WAL. ("mode" is the journal in the lane of faults.)
    names = getattr(item, "fixturenames", ())
    if "journal" not in names and "mode" not in names:
        return False
    if not _runs_on_one_journal(item.path, config):
        return True
    # Only the tests that ask for the journal themselves run again.
    return isinstance(item, pytest.Function) and "journal" in item._fixtureinfo.argnames


def _runs_on_one_journal(path: Path, config: pytest.Config) -> bool:
    """Whether this is the run on a rollback journal, and the file is in a room whose results do not depend
    on it."""
    if config.getoption("--journal") == "wal" or config.getoption("--run-slow"):
        return False
    return path.relative_to(config.rootpath / "tests").parts[0] in ROOMS_ON_ONE_JOURNAL


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was() -> Iterator[None]:
    # A framework that sets up logging for the whole process would change what later tests see of the log.
    root = logging.getLogger()
    level = root.level
    yield
    changed, root.level = root.level, level
    assert changed == level, "this test changed the level of the root logger"


@pytest.fixture(scope="session")
def journal(request: pytest.FixtureRequest) -> Literal["wal", "delete"]:
    """The journal mode that this run tests: "wal" or "delete"."""
    return "wal" if request.config.getoption("--journal") == "wal" else "delete"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, journal: Literal["wal", "delete"]) -> Path:
    path = tmp_path_factory.mktemp("template") / "template.db"

    async def make() -> None:
        async with reelbase.connect(path, journal=journal):
            pass

    asyncio.run(make())
    return path


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    """A new database file with the schema in it, closed."""
    return Path(shutil.copy(template, tmp_path / "media.db"))


@pytest.fixture(scope="session")
async def shared_database(
    template: Path, tmp_path_factory: pytest.TempPathFactory, journal: Literal["wal", "delete"]
) -> AsyncIterator[SharedDatabase]:
    shared = SharedDatabase(template, tmp_path_factory.mktemp("shared"), journal, SECRETS)
    yield shared
    await shared.close()


def _shares(request: pytest.FixtureRequest) -> bool:
    """Whether the test takes the shared database: one that looks at results only, not at files."""
    room = request.path.relative_to(request.config.rootpath / "tests").parts[0]
    return room in ROOMS_OF_RESULTS and "path" not in request.fixturenames


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> FrozenClock:
    """Of the database; it stands still until the test moves it."""
    if _shares(request):
        shared: SharedDatabase = request.getfixturevalue("shared_database")
        return shared.clock
    return FrozenClock()


@pytest.fixture
async def database(
    request: pytest.FixtureRequest,
    template: Path,  # made before the event loop runs
    journal: Literal["wal", "delete"],
    clock: FrozenClock,
) -> AsyncIterator[Database]:
    """An open, empty database whose clock stands still, and which has keys to encrypt with."""
    if _shares(request):
        shared: SharedDatabase = request.getfixturevalue("shared_database")
        try:
            yield await shared.database()
        finally:
            await shared.take_back()
        return
    path = request.getfixturevalue("path")
    async with reelbase.connect(path, journal=journal, clock=clock, secrets=SECRETS) as database:
        yield database


@pytest.fixture
def look(request: pytest.FixtureRequest) -> Callable[[str], list[tuple[object, ...]]]:
    """What plain sqlite3 sees in the file: look("SELECT …") gives the rows."""
    if _shares(request):
        path = request.getfixturevalue("shared_database").path
    else:
        path = request.getfixturevalue("path")

    def run(sql: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(path)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    return run


@pytest.fixture
def facts(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """What the command prints with --json."""

    def call(*arguments: object) -> Any:
        assert run(*arguments, "--json") == 0
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture(scope="session")
def mount_namespace() -> list[str]:
    """The beginning of a command that may mount what it likes, seen by itself alone."""
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no mount namespaces here: {error}")
    return command
