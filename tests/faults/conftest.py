"""The lane of faults: pytest tests/faults --full-faults, on Linux.

Without the option each promise is tried in a second or two, on the journal of the run. With it each
is tried at length, on both journals, and the figures are printed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

Figure = Callable[[str], None]

_figures: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full-faults",
        action="store_true",
        help="try what must survive at length, on both journals, and print the figures",
    )


def is_full(config: pytest.Config) -> bool:
    return bool(config.getoption("full_faults", default=False))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "mode" in metafunc.fixturenames:
        both = ["wal", "delete"]
        modes = both if is_full(metafunc.config) else [metafunc.config.getoption("journal")]
        metafunc.parametrize("mode", modes)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _figures:
        terminalreporter.section("faults")
        for figure in _figures:
            terminalreporter.write_line(figure)


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether this is the run at length."""
    return is_full(request.config)


@pytest.fixture
def figure(full: bool) -> Figure:
    """Prints a line at the end of the run at length."""
    return _figures.append if full else lambda line: None


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """An empty folder, in memory where the system has such a place."""
    place = Path("/dev/shm")
    with TemporaryDirectory(dir=place if place.is_dir() else None, prefix="reelbase-") as folder:
        yield Path(folder).resolve()


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that stands between a process and its files (shim.c), built."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("the recorder of I/O needs Linux and a C compiler (cc)")
    built = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("shim.c")
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o", built, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return built
