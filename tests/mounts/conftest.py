"""The lane of real mounts: pytest tests/mounts --run-mounts, as root on Linux.

It installs the Debian packages that it misses, and skips with the reason what cannot run.
Without the option nothing here is even collected.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import reelbase

from . import making
from .guest import WORKS
from .making import Kind
from .uml import boot

# The package that has each program the lane may need.
PACKAGES = {
    "bindfs": "bindfs",
    "fusermount3": "fuse3",
    "mergerfs": "mergerfs",
    "sshfs": "sshfs",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.ntfs": "ntfs-3g",
    "mkfs.f2fs": "f2fs-tools",
    "mkfs.jfs": "jfsutils",
    "mkfs.nilfs2": "nilfs-tools",
    "linux.uml": "user-mode-linux",
    "modprobe": "kmod",
    "ip": "iproute2",
    "rpc.nfsd": "nfs-kernel-server",
    "mount.nfs4": "nfs-common",
    "smbd": "samba",
    "diod": "diod",
}
_INSTALL_SECONDS = 600
_SUITE_SECONDS = 180
PACKAGE = Path(reelbase.__file__).parents[1]

Report = dict[str, Any]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--run-mounts",
        action="store_true",
        help="run the tests on real mounts; installs the packages that they need",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "mounts: on real mounts; as root, with --run-mounts")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    is_ours = Path(__file__).parent in (collection_path, *collection_path.parents)
    return True if is_ours and not config.getoption("run_mounts", default=False) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("mounts")


_seconds: dict[str, float] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _seconds:
        terminalreporter.section("seconds per mount")
        for name, seconds in _seconds.items():
            terminalreporter.write_line(f"{seconds:7.1f}  {name}")


# --- What must be there ---------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def machine() -> None:
    """The machine can mount, and has what the lane needs as far as its packages go."""
    if sys.platform != "linux":
        pytest.skip("real mounts are tested on Linux")
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    # The programs that the tests start import the package under test, not an installed one.
    os.environ.update(PYTHONPATH=str(PACKAGE), PYTHONDONTWRITEBYTECODE="1")
    # mkfs, sshd and the servers are where only root looks.
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if missing and shutil.which("apt-get"):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
            # What stays missing is said by the tests that need it.
            subprocess.run(
                ["apt-get", "-q", *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_INSTALL_SECONDS,
            )


def need(*programs: str) -> None:
    """Skips the test for want of a program."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} of the package {PACKAGES.get(program, '?')} is not installed")


# --- On this machine ------------------------------------------------------------------------------


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """An empty folder to mount in; nothing stays mounted below it."""
    yield tmp_path
    unmount_below(tmp_path)


def unmount_below(folder: Path) -> None:
    with open("/proc/self/mountinfo", "rb") as file:
        points = [line.split(b" ")[4] for line in file.read().split(b"\n") if line]
    for point in reversed(points):
        name = os.fsdecode(point.decode("unicode_escape").encode("latin-1"))
        if name.startswith(f"{folder}/"):
            subprocess.run(["umount", "-l", name], capture_output=True, check=False)


@contextlib.contextmanager
def skipping() -> Iterator[None]:
    """A filesystem that the running kernel lacks skips the test."""
    try:
        yield
    except making.MissingError as error:
        pytest.skip(str(error))


def probe(*arguments: str | Path, inside: tuple[str | Path, ...] = ()) -> Any:
    """What a command of the probe printed last; `inside` is a program to run it by."""
    done = subprocess.run(
        [*inside, sys.executable, Path(__file__).with_name("probe.py"), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=_SUITE_SECONDS,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return json.loads(done.stdout.splitlines()[-1])


SuiteOf = Callable[[str], Report]


@pytest.fixture(scope="session")
def suite_here(machine: None, tmp_path_factory: pytest.TempPathFactory) -> SuiteOf:
    """Runs every check on a mount of this machine, once, and returns how each ended."""
    done: dict[str, Report] = {}

    def run(name: str) -> Report:
        kind = making.HERE[name]
        need(*kind.needs)
        if name not in done:
            done[name] = {}  # should it fail, the checks after the first do not try again
            started = time.monotonic()
            base = tmp_path_factory.mktemp("mount").resolve()
            try:
                with skipping():
                    done[name] = run_suite(kind, base)
            finally:
                unmount_below(base)
            _seconds[name] = time.monotonic() - started
        return done[name]

    return run


def run_suite(kind: Kind, base: Path) -> Report:
    (base / "scratch").mkdir()
    (base / "place").mkdir()
    with kind.make(base / "place") as folder:
        point = folder if kind.point is None else base / "place" / kind.point
        network = "network" if kind.is_network else "local"
        report: Report = probe("suite", folder, point, kind.type, network, base / "scratch")
        return report


# --- Inside user-mode Linux -----------------------------------------------------------------------


@pytest.fixture(scope="session")
def report_of_guest(
    machine: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Report]:
    """What a work inside user-mode Linux reported; all that the run selects share one boot."""
    need("linux.uml", "modprobe", "ip")
    selected = dict.fromkeys(
        str(item.callspec.params["work"])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and hasattr(item, "callspec")
        and "work" in item.callspec.params
    )
    works = [work for work in selected if all(map(shutil.which, WORKS[work].needs))]
    python_path = f"{PACKAGE}:{Path(__file__).parents[1]}"
    reports = boot(works, tmp_path_factory.mktemp("guest").resolve(), python_path)
    for name, report in reports.items():
        _seconds[f"{name} (in user-mode Linux)"] = report["seconds"]

    def report_of(work: str) -> Report:
        need(*WORKS[work].needs)
        assert work in reports, "the guest did not come to it"
        report: Report = reports[work]["result"]
        assert "failed" not in report, report["failed"]
        return report

    return report_of
