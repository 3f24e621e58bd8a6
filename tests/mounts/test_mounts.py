"""Promises on every real filesystem: the mode that is chosen, verified, working, and safe."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import making
from .conftest import SuiteOf, need, probe, skipping
from .making import GUEST, HERE
from .probe import CHECKS, PER_WRITER

Report = dict[str, Any]
ReportOf = Callable[[str], Report]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("mount", HERE)
def test_on_this_machine(mount: str, check: str, suite_here: SuiteOf) -> None:
    report = suite_here(mount)
    assert report, "the mount could not be made or tested; its first check says why"
    assert report[check]["error"] is None, report[check]["error"]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("work", GUEST)
def test_inside_user_mode_linux(work: str, check: str, report_of_guest: ReportOf) -> None:
    report = report_of_guest(work)
    assert report[check]["error"] is None, report[check]["error"]


# --- Places that a table row cannot say -----------------------------------------------------------


def test_a_file_that_is_a_mount_of_its_own_is_refused(base: Path) -> None:
    """docker -v media.db:/config/media.db: -wal and -journal would lie in the container's own folder."""
    need("bindfs")
    with (
        making.passthrough(base, options="subtype=x") as shown,
        making.in_memory(base, name="config") as config,
    ):
        (shown / "media.db").touch()
        (config / "media.db").touch()
        with making.bound_file(shown / "media.db", config / "media.db"):
            report = probe("alone", config, "media.db")
        assert report["error"] == "SchemaError"
        assert "Mount the folder that the file is in" in report["message"]
        assert report["filesystem"] == [str(config / "media.db"), "fuse.x", True]
        assert sorted(os.listdir(config)) == ["media.db"]
        assert (shown / "media.db").read_bytes() == b""


IN_A_NAMESPACE = ("unshare", "--mount", "--propagation", "private", "sh", "-ec")


def test_a_mount_namespace_sees_its_own_mounts(base: Path) -> None:
    for name in ("place", "scratch"):
        (base / name).mkdir()
    place = base / "place"
    outside = probe("alone", place, "outside.db")["filesystem"]
    script = f'mount -t tmpfs none {place}; exec "$@"'
    report = probe(
        *("suite", place, place, "tmpfs", "local", base / "scratch"),
        inside=(*IN_A_NAMESPACE, script, "sh"),
    )
    assert {name: check["error"] for name, check in report.items()} == dict.fromkeys(CHECKS)
    assert probe("alone", place, "outside.db")["filesystem"] == outside


def test_a_root_of_its_own_shows_mount_points_from_there(base: Path) -> None:
    need("bindfs")
    root = base / "root"
    root.mkdir()
    (base / "scratch").mkdir()
    (base / "shown").mkdir()
    (base / "fuse").mkdir()
    script = (
        f"mount --rbind / {root}; bindfs -o subtype=x {base}/shown {root}{base}/fuse;"
        f' exec chroot {root} "$@"'
    )
    report = probe(
        *("suite", base / "fuse", base / "fuse", "fuse.x", "network", base / "scratch"),
        inside=(*IN_A_NAMESPACE, script, "sh"),
    )
    assert {name: check["error"] for name, check in report.items()} == dict.fromkeys(CHECKS)


def test_without_proc_a_new_file_gets_a_rollback_journal_and_another_keeps_its_mode(
    base: Path,
) -> None:
    with making.in_memory(base) as folder:
        assert probe("alone", folder, "old.db")["mode"] == "wal"
        inside = (*IN_A_NAMESPACE, 'umount -l /proc; exec "$@"', "sh")
        for name, mode in (("old.db", "wal"), ("new.db", "delete")):
            report = probe("alone", folder, name, inside=inside)
            assert report["error"] is None
            assert report["mode"] == mode
            assert report["filesystem"] == ["", "unknown", True]
            assert "/proc" in report["reason"]


def test_a_full_filesystem_says_so_and_resumes_once_there_is_space(base: Path) -> None:
    with making.mounted(base / "mnt", "-t", "tmpfs", "-o", "size=2M", "none") as folder:
        assert probe("alone", folder, "media.db")["rows"] == 3
        ballast = folder / "ballast"
        with pytest.raises(OSError, match="No space"):
            fill_up(ballast)
        full = probe("alone", folder, "media.db")
        assert full["error"] in {"DatabaseFullError", "DatabaseIOError"}
        assert "disk" in full["message"] or "space" in full["message"]
        ballast.unlink()
        after = probe("alone", folder, "media.db")
        assert (after["error"], after["rows"], after["mode"]) == (None, 6, "wal")


def fill_up(file: Path) -> None:
    with file.open("wb", buffering=0) as ballast:
        while ballast.write(b"x" * 4096):
            pass


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_read_only_filesystem_is_a_typed_error_and_works_again(base: Path, journal: str) -> None:
    with skipping(), making.ext4(base) as folder:
        probe("alone", folder, "media.db", journal)
        making.run("mount", "-o", "remount,ro", folder)
        report = probe("alone", folder, "media.db", journal)
        assert report["error"] in {"DatabaseReadOnlyError", "DatabaseIOError"}, report
        making.run("mount", "-o", "remount,rw", folder)
        report = probe("alone", folder, "media.db", journal)
        assert (report["error"], report["rows"], report["mode"]) == (None, 6, journal)


# --- Two hosts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("work", ["two hosts by nfs4", "two hosts by 9p"])
def test_two_hosts_share_a_file(work: str, report_of_guest: ReportOf) -> None:
    report = report_of_guest(work)
    assert report["kept_out"]
    assert report["acknowledged"] == [PER_WRITER, PER_WRITER], report["logged"]
    assert report["rows"] == [2 * PER_WRITER, 2 * PER_WRITER]
    assert report["integrity"] == "ok"
    assert "two hosts can share the file safely" in report["reason"]


@pytest.mark.parametrize("work", ["two hosts by cifs nobrl"])
def test_two_hosts_on_cifs_without_locks_are_warned(work: str, report_of_guest: ReportOf) -> None:
    report = report_of_guest(work)
    assert not report["kept_out"]
    assert "two hosts cannot share the file" in report["reason"]


@pytest.mark.parametrize("work", ["alone on cifs with locks"])
def test_cifs_with_locks_answers_busy_and_the_reason_says_so(
    work: str, report_of_guest: ReportOf
) -> None:
    report = report_of_guest(work)
    assert report["error"] == "DatabaseBusyError"
    assert "without nobrl SQLite answers BUSY even to a single host" in report["reason"]


def test_two_hosts_on_sshfs_are_warned(base: Path) -> None:
    need("sshfs", "sshd", "ssh-keygen")
    with (
        making.sshd(base) as connect,
        connect(base / "one", "") as (one, _),
        connect(base / "two", "") as (two, _),
    ):
        report = probe("hosts", one, two)
    assert not report["kept_out"]
    assert "two hosts cannot share the file" in report["reason"]
