"""Promises when a mount hangs or goes away: the loop runs on, errors have types, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from . import making, trouble
from .conftest import need, skipping

Report = dict[str, Any]

LONGEST_TICK_SECONDS = 0.1
EXIT_SECONDS = 2.0


def assert_the_loop_ran_on(report: Report) -> None:
    assert report["longest_tick"] < LONGEST_TICK_SECONDS, report
    assert report["exit_seconds"] < EXIT_SECONDS, report


def assert_outlived_the_hang(reports: Report) -> None:
    for report in reports.values():
        assert_the_loop_ran_on(report)
    for end in ("resume", "leave"):
        answers = {name: reports[end][name] for name in ("read", "write", "unit")}
        assert set(answers.values()) <= {"TimeoutError", "DatabaseError"}, answers
    assert reports["leave"]["close"] == "TimeoutError"
    # The write whose caller gave up may have been stored or not; the acknowledged ones are.
    kept = {"first-0.", "after", *(f"file-{number}" for number in range(5))}
    assert kept <= set(reports["resume"]["names"]) <= kept | {"hung", "unit"}
    connecting = reports["connect"]
    assert connecting["timeout"] == "TimeoutError"
    assert connecting["timeout_seconds"] < 1.5
    assert connecting["cancelled"]
    assert connecting["cancel_seconds"] < 0.5


def assert_outlived_the_drop(report: Report, *, is_refused: bool = True) -> None:
    assert_the_loop_ran_on(report)
    assert report["close"] == "ok"
    for answer in report["results"]:
        assert answer.startswith("DatabaseError") or (answer == "ok" and not is_refused), report
    assert report["connect"].startswith("DatabaseError"), report
    assert report["lost"] == []
    assert report["integrity"] == "ok"


# --- Mounts that stop answering -------------------------------------------------------------------


@pytest.mark.parametrize("options", ["subtype=x", "subtype=x,direct_io"])
def test_a_fuse_mount_hangs(base: Path, options: str) -> None:
    need("bindfs")
    with making.passthrough_server(base, options=options) as (folder, server):
        reports = trouble.hang(folder / "media.db", pause=server.pause, resume=server.resume)
    assert_outlived_the_hang(reports)


def test_an_sshfs_mount_hangs(base: Path) -> None:
    need("sshfs", "sshd", "ssh-keygen")
    with making.sshd(base) as connect, connect(base / "mnt", "") as (folder, server):
        reports = trouble.hang(folder / "media.db", pause=server.pause, resume=server.resume)
    assert_outlived_the_hang(reports)


@pytest.mark.parametrize("work", ["nfs4 hangs"])
def test_an_nfs_server_hangs(work: str, report_of_guest: Callable[[str], Report]) -> None:
    assert_outlived_the_hang(report_of_guest(work))


# --- Mounts that go away --------------------------------------------------------------------------


@contextmanager
def again(make: Callable[[], Any]) -> Iterator[tuple[Any, Callable[[], None], Callable[[], None]]]:
    """What `make` gives, how to end it early, and how to make it anew."""
    current = [make()]
    value = current[0].__enter__()

    def back() -> None:
        current.append(make())
        current[-1].__enter__()

    def gone() -> None:
        current.pop().__exit__(None, None, None)

    try:
        yield value, gone, back
    finally:
        for context in current:
            context.__exit__(None, None, None)


@pytest.mark.parametrize("is_killed", [True, False])
def test_an_sshfs_mount_is_dropped(base: Path, is_killed: bool) -> None:
    need("sshfs", "sshd", "ssh-keygen")
    with (
        making.sshd(base) as connect,
        again(lambda: connect(base / "mnt", "")) as ((folder, server), gone, back),
    ):

        def remount() -> None:
            gone()
            back()

        report = trouble.drop(
            folder / "media.db",
            gone=server.kill if is_killed else gone,
            back=remount if is_killed else back,
        )
    assert_outlived_the_drop(report)


def test_a_fuse_server_dies(base: Path) -> None:
    need("bindfs")
    make = lambda: making.passthrough_server(base, options="subtype=x")  # noqa: E731
    with again(make) as ((folder, server), gone, back):

        def remount() -> None:
            gone()
            back()

        report = trouble.drop(folder / "media.db", gone=server.kill, back=remount)
    assert_outlived_the_drop(report)


def test_a_local_filesystem_is_unmounted_lazily(base: Path) -> None:
    """What holds it open may go on working: then nothing of that may be lost either."""
    with (
        skipping(),
        making.disk_image(base) as image,
        again(lambda: making.mounted(base / "mnt", "-o", "loop", image)) as (folder, gone, back),
    ):
        report = trouble.drop(folder / "media.db", gone=gone, back=back)
    assert_outlived_the_drop(report, is_refused=False)


@pytest.mark.parametrize("work", ["soft nfs4 drops"])
def test_an_nfs_server_drops(work: str, report_of_guest: Callable[[str], Report]) -> None:
    assert_outlived_the_drop(report_of_guest(work))
