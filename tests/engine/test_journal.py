"""Promises about finding the filesystem of a database and choosing its journal by it."""

import asyncio
import builtins
import errno
import ntpath
import os
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reelbase
from reelbase.engine.file import mounts as mounts_module
from reelbase.engine.file.journal import (
    Durability,
    JournalChoice,
    decide,
    decide_off_loop,
    journal_mode_for,
    synchronous_for,
)
from reelbase.engine.file.mounts import (
    UNKNOWN,
    Filesystem,
    filesystem_of,
    parse_mount_program,
    parse_mountinfo,
    parse_mounts,
)

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

LOCAL = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "nilfs2", "ubifs",
    "tmpfs", "ramfs", "overlay", "ecryptfs",
]  # fmt: skip
NETWORK = [
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "smb", "9p", "afs", "ceph", "glusterfs", "lustre",
    "gpfs", "beegfs", "ocfs2", "gfs2", "davfs", "ncpfs",
]  # fmt: skip
HYPERVISOR = ["virtiofs", "vboxsf", "prl_fs", "vmhgfs", "drvfs", "fakeowner", "osxfs"]
FUSE = ["fuse", "fuseblk", "fuse.sshfs", "fuse.mergerfs", "fuse.rclone", "fuse.glusterfs"]
UNLISTED = ["autofs", "proc", "vfat", "ntfs3", "iso9660", "apfs", "EXT4", "xfs.fuse", "new"]

Table = Callable[[str | bytes], Path]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Writes a mount table and returns its path."""

    def write(content: str | bytes) -> Path:
        target = tmp_path / "the mounts"
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    return write


# --- Which types are local ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LOCAL)
def test_a_local_type_gets_wal(kind: str, table: Table) -> None:
    mounts = table(f"/dev/vda / ext4 rw 0 0\ndevice /vol {kind} rw 0 0\n")
    assert filesystem_of("/vol/media.db", mounts=mounts) == Filesystem("/vol", kind, False)
    assert journal_mode_for("/vol/media.db", mounts=mounts) == "wal"


@pytest.mark.parametrize("kind", NETWORK + HYPERVISOR + FUSE + UNLISTED)
def test_every_other_type_counts_as_network_and_gets_a_rollback_journal(
    kind: str, table: Table
) -> None:
    mounts = table(f"/dev/vda / ext4 rw 0 0\ndevice /vol {kind} rw 0 0\n")
    assert filesystem_of("/vol/media.db", mounts=mounts) == Filesystem("/vol", kind, True)
    assert journal_mode_for("/vol/media.db", mounts=mounts) == "delete"


# --- Which line of the table holds the path -------------------------------------------------------

ROOT = "/dev/vda / ext4 rw 0 0\n"
NAS = ROOT + "nas:/export /mnt-nas nfs4 rw,vers=4.2 0 0\n"
DOCKER = (
    "overlay / overlay rw,lowerdir=/var/lib/docker/l/A:/var/lib/docker/l/B 0 0\n"
    "proc /proc proc rw 0 0\n"
    "tmpfs /dev tmpfs rw 0 0\n"
    "/dev/sda1 /etc/hosts ext4 rw 0 0\n"
    "nas:/config /config nfs4 rw 0 0\n"
    "/dev/sda1 /config/media.db xfs rw 0 0\n"
)
NESTED = ROOT + "a /a nfs4 rw 0 0\nb /a/b xfs rw 0 0\nc /a/b/c cifs rw 0 0\n"

# (what the row promises, the table, the path, the expected mount point and type)
LINES: list[tuple[str, str | bytes, str, str, str]] = [
    ("the root holds everything", ROOT, "/vol/media.db", "/", "ext4"),
    ("the root holds itself", ROOT, "/", "/", "ext4"),
    ("two leading slashes are one", NAS, "//mnt-nas/media.db", "/mnt-nas", "nfs4"),
    ("doubled slashes are one", NAS, "/mnt-nas//films///media.db", "/mnt-nas", "nfs4"),
    ("dots are resolved", NAS, "/vol/../mnt-nas/./media.db", "/mnt-nas", "nfs4"),
    ("dots lead out again", NAS, "/mnt-nas/../vol/media.db", "/", "ext4"),
    ("below the mount point", NAS, "/mnt-nas/films/media.db", "/mnt-nas", "nfs4"),
    ("the mount point itself", NAS, "/mnt-nas", "/mnt-nas", "nfs4"),
    ("the mount point with a slash", NAS, "/mnt-nas/", "/mnt-nas", "nfs4"),
    ("a longer name is no child", NAS, "/mnt-nasbackup/media.db", "/", "ext4"),
    ("a name with a dot is no child", NAS, "/mnt-nas.db", "/", "ext4"),
    ("a shorter name is no child", NAS, "/mnt-na/media.db", "/", "ext4"),
    ("case matters", NAS, "/MNT-NAS/media.db", "/", "ext4"),
    ("the longest wins, outermost", NESTED, "/a/media.db", "/a", "nfs4"),
    ("the longest wins, middle", NESTED, "/a/b/media.db", "/a/b", "xfs"),
    ("the longest wins, innermost", NESTED, "/a/b/c/media.db", "/a/b/c", "cifs"),
    ("the longest wins, beside", NESTED, "/a/bc/media.db", "/a", "nfs4"),
    (
        "the longest wins in any order",
        "c /a/b cifs rw 0 0\n" + ROOT + "a /a nfs4 rw 0 0\n",
        "/a/b/media.db", "/a/b", "cifs",
    ),
    (
        "autofs, then the nfs4 it brought",
        ROOT + "auto /net autofs rw 0 0\nnas:/x /net nfs4 rw 0 0\n",
        "/net/media.db", "/net", "nfs4",
    ),
    (
        "autofs, then the ext4 it brought",
        ROOT + "auto /net autofs rw 0 0\n/dev/sdb /net ext4 rw 0 0\n",
        "/net/media.db", "/net", "ext4",
    ),
    (
        "autofs alone is not trusted",
        ROOT + "auto /net autofs rw 0 0\n",
        "/net/media.db", "/net", "autofs",
    ),
    (
        "a second root hides the first",
        "rootfs / rootfs rw 0 0\n" + ROOT,
        "/media.db", "/", "ext4",
    ),
    (
        "the last of three on one point",
        ROOT + "a /v ext4 rw 0 0\nb /v nfs rw 0 0\nc /v xfs rw 0 0\n",
        "/v/media.db", "/v", "xfs",
    ),
    (
        "equals with and without a trailing slash",
        ROOT + "a /v/ ext4 rw 0 0\nb /v nfs rw 0 0\n",
        "/v/media.db", "/v", "nfs",
    ),
    ("docker: the root", DOCKER, "/app/media.db", "/", "overlay"),
    ("docker: a volume", DOCKER, "/config/other.db", "/config", "nfs4"),
    ("docker: a file of its own", DOCKER, "/config/media.db", "/config/media.db", "xfs"),
    ("docker: beside that file", DOCKER, "/config/media.db-wal", "/config", "nfs4"),
    (
        "WSL: a Windows drive over 9p",
        ROOT + "C:\\134 /mnt-c 9p rw,dirsync,aname=drvfs 0 0\n",
        "/mnt-c/media.db", "/mnt-c", "9p",
    ),
    (
        "a bind mount has the type of its source",
        ROOT + "/dev/sdb1 /srv-media btrfs rw,subvol=/@media 0 0\n",
        "/srv-media/media.db", "/srv-media", "btrfs",
    ),
    (
        "an escape is no path boundary",
        ROOT + "n:/x /vol/my nfs4 rw 0 0\n",
        "/vol/my nas/media.db", "/", "ext4",
    ),
    (
        "an escape in the device changes nothing",
        ROOT + "//nas/my\\040share /vol cifs rw 0 0\n",
        "/vol/media.db", "/vol", "cifs",
    ),
    (
        "bytes that are no UTF-8 elsewhere in the table",
        b"\xff\xfe\x00 \x80\n" + NAS.encode(),
        "/mnt-nas/media.db", "/mnt-nas", "nfs4",
    ),
    (
        "a type that is no UTF-8 is printable",
        b"x /vol fuse.\xff rw 0 0\n",
        "/vol/media.db", "/vol", "fuse.\\xff",
    ),
    ("CRLF", NAS.replace("\n", "\r\n"), "/mnt-nas/media.db", "/mnt-nas", "nfs4"),
    ("CRLF right after the type", "n:/x /vol nfs4\r\n", "/vol/media.db", "/vol", "nfs4"),
    ("no last line break", NAS.rstrip("\n"), "/mnt-nas/media.db", "/mnt-nas", "nfs4"),
    ("no options", "n:/x /vol nfs4\n", "/vol/media.db", "/vol", "nfs4"),
    ("tabs between the fields", "n:/x\t/vol\tnfs4\trw\n", "/vol/media.db", "/vol", "nfs4"),
    ("wide columns", "n:/x    /vol   nfs4   rw\n", "/vol/media.db", "/vol", "nfs4"),
    ("an indented table", "   /dev/x  /vol  xfs rw\n", "/vol/media.db", "/vol", "xfs"),
    ("a trailing slash", "n:/x /vol/ nfs4 rw\n", "/vol/media.db", "/vol", "nfs4"),
    ("an empty device", ROOT + " /vol nfs4 rw 0 0\n", "/vol/media.db", "/vol", "nfs4"),
    ("empty lines", "\n\n" + NAS + "\n \n", "/mnt-nas/media.db", "/mnt-nas", "nfs4"),
    ("a comment", NAS + "# /mnt-nas ext4 rw 0 0\n", "/mnt-nas/media.db", "/mnt-nas", "nfs4"),
    ("a comment in a word", NAS + "#x /mnt-nas ext4\n", "/mnt-nas/media.db", "/mnt-nas", "nfs4"),
    ("a line with one field", NAS + "x\n/mnt-nas\n", "/mnt-nas/media.db", "/mnt-nas", "nfs4"),
    ("a line with two fields", NAS + "x /mnt-nas\n", "/mnt-nas/media.db", "/mnt-nas", "nfs4"),
    ("a line cut short", NAS + "x /mnt-nas \n", "/mnt-nas/media.db", "/mnt-nas", "nfs4"),
    ("a relative mount point", ROOT + "x vol nfs4 rw\n", "/vol/media.db", "/", "ext4"),
    ("swap is nowhere", ROOT + "/dev/sdb none swap sw 0 0\n", "/none/x", "/", "ext4"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "path", "mount_point", "kind"),
    [pytest.param(*row[1:], id=row[0]) for row in LINES],
)
def test_the_line_that_holds_a_path(
    content: str | bytes, path: str, mount_point: str, kind: str, table: Table
) -> None:
    expected = Filesystem(mount_point, kind, kind not in LOCAL)
    assert filesystem_of(path, mounts=table(content)) == expected


WIDE_BLANKS = "a\u3000b\u00a0c\u2028d".encode()

# (what the row promises, a name as the table writes it, the name that it means)
NAMES_WRITTEN: list[tuple[str, bytes, bytes]] = [
    ("an escaped space", rb"my\040nas", b"my nas"),
    ("an escaped tab", rb"my\011nas", b"my\tnas"),
    ("an escaped line break", rb"my\012nas", b"my\nnas"),
    ("an escaped backslash", rb"my\134nas", rb"my\nas"),
    ("an escaped backslash is not unescaped twice", rb"my\134040nas", rb"my\040nas"),
    ("an escaped hash", rb"\043nas", b"#nas"),
    ("escapes side by side", rb"\040\040\134", b"  \\"),
    ("an accented letter escaped byte by byte", rb"caf\303\251", "café".encode()),
    ("an accented letter as it is", "café".encode(), "café".encode()),
    ("what is no octal stays", rb"my\09nas\0", rb"my\09nas\0"),
    ("an octal beyond a byte stays", rb"my\777nas", rb"my\777nas"),
    ("wide blanks are part of a name", WIDE_BLANKS, WIDE_BLANKS),
    ("so are control characters", b"a\x0b\x0c\r\x1c\x85b", b"a\x0b\x0c\r\x1c\x85b"),
    ("so are bytes that are no UTF-8", b"\xff\xfe", b"\xff\xfe"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "meant"), [pytest.param(*row[1:], id=row[0]) for row in NAMES_WRITTEN]
)
def test_the_name_of_a_mount_point(written: bytes, meant: bytes, table: Table) -> None:
    mounts = table(b"/dev/vda / ext4 rw 0 0\nn:/x /vol/%s nfs4 rw 0 0\n" % written)
    mount_point = os.fsdecode(b"/vol/" + meant)
    expected = Filesystem(mount_point, "nfs4", True)
    assert filesystem_of(mount_point + "/media.db", mounts=mounts) == expected
    assert filesystem_of(mount_point + "s/media.db", mounts=mounts).mount_point == "/"


def naive_lookup(content: bytes, path: bytes) -> tuple[bytes, str] | None:
    """An independent reading: walk upwards from the path, take the last line of the first hit."""
    lines = [line.split() for line in content.splitlines()]
    while True:
        for fields in reversed(lines):
            point = fields[1].decode("unicode_escape").encode("latin-1")
            if point == path:
                return point, fields[2].decode()
        if path == b"/":
            return None
        path = path.rpartition(b"/")[0] or b"/"


def escaped(point: bytes) -> bytes:
    """As the kernel writes it."""
    return b"".join(b"\\%03o" % byte if byte in b" \t\n\\#" else bytes([byte]) for byte in point)


# Few letters, so that mount points and paths often share a beginning; but no . or .. as a name, and
# no byte that the reading above would take for white space of its own.
NAMES = st.lists(
    st.sampled_from([b"a", b"b", b" ", b"\t", b"\n", b"\\", b"#", b"\\040", b"\xc3\xa9", b"\xff"]),
    min_size=1,
    max_size=3,
).map(b"".join)
PATHS = st.lists(NAMES, max_size=4).map(lambda names: b"/".join([b"/reelbase-none", *names]))
POINTS = st.just(b"/") | PATHS


@pytest.mark.long
@settings(deadline=None)  # it writes files
@given(
    mounts=st.lists(st.tuples(POINTS, st.sampled_from(LOCAL + NETWORK + FUSE)), max_size=12),
    path=PATHS,
    tail=NAMES,
)
def test_the_longest_match_agrees_with_a_naive_reading(
    mounts: list[tuple[bytes, str]],
    path: bytes,
    tail: bytes,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    content = b"".join(b"dev %s %s rw 0 0\n" % (escaped(p), kind.encode()) for p, kind in mounts)
    file = tmp_path_factory.getbasetemp() / "generated mounts"
    file.write_bytes(content)
    # Half of the paths lie right below a mount point.
    for place in (path, *(point.rstrip(b"/") + b"/" + tail for point, _ in mounts)):
        expected = naive_lookup(content, place)
        found = filesystem_of(os.fsdecode(place), mounts=file)
        if expected is None:
            assert found == UNKNOWN
        else:
            point, kind = expected
            assert found == Filesystem(os.fsdecode(point), kind, kind not in LOCAL)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_and_every_mount_found_is_absolute(content: bytes) -> None:
    for mount in parse_mounts(content):
        assert mount.mount_point.startswith("/")
        assert mount.type
        mount.type.encode()  # no lone surrogate, or no log could print it


@pytest.mark.long
@given(st.binary(max_size=200), st.integers(0, 99))
def test_any_bytes_are_a_mountinfo_table_too(content: bytes, mount_id: int) -> None:
    line = b"\n%d 1 0:1 / /vol rw - xfs dev rw\n" % mount_id
    assert parse_mountinfo(content, 100) is None
    assert parse_mountinfo(line + content, mount_id) == Filesystem("/vol", "xfs", False)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"36 35 98:0 /m /vol rw - nfs4 n:/x rw", Filesystem("/vol", "nfs4", True)),
        (b"36 35 98:0 /m /vol rw shared:1 master:2 - ext4 - rw", Filesystem("/vol", "ext4", False)),
        (b"36 35 98:0 / /my\\040vol rw - fuse.a n:/x rw", Filesystem("/my vol", "fuse.a", True)),
        (b"136 36 98:0 / /vol rw - ext4 x rw", None),
        (b"3 36 98:0 / /vol rw - ext4 x rw", None),
        (b"36 35 98:0 / /vol", None),
        (b"36", None),
        (b"", None),
    ],
)  # fmt: skip
def test_mountinfo_is_read_by_mount_id(line: bytes, expected: Filesystem | None) -> None:
    assert parse_mountinfo(line, 36) == expected


# --- Paths that are not plain ---------------------------------------------------------------------


@pytest.fixture
def two_filesystems(tmp_path: Path, table: Table) -> Path:
    """A table in which tmp_path/local is ext4 and tmp_path/nas is nfs4."""
    real = tmp_path.resolve()
    (real / "local").mkdir()
    (real / "nas").mkdir()
    return table(f"x / btrfs rw\nx {real}/local ext4 rw\nx {real}/nas nfs4 rw\n")


def test_a_link_to_a_file_counts_where_the_file_is(tmp_path: Path, two_filesystems: Path) -> None:
    (tmp_path / "nas/media.db").touch()
    (tmp_path / "local/media.db").symlink_to(tmp_path / "nas/media.db")
    assert filesystem_of(tmp_path / "local/media.db", mounts=two_filesystems).type == "nfs4"


def test_a_link_to_a_folder_counts_where_the_folder_is(
    tmp_path: Path, two_filesystems: Path
) -> None:
    (tmp_path / "nas/films").symlink_to(tmp_path / "local")
    assert filesystem_of(tmp_path / "nas/films/media.db", mounts=two_filesystems).type == "ext4"


def test_a_relative_link_is_followed_from_where_it_is(
    tmp_path: Path, two_filesystems: Path
) -> None:
    (tmp_path / "local/media.db").symlink_to("../nas/media.db")
    assert filesystem_of(tmp_path / "local/media.db", mounts=two_filesystems).type == "nfs4"


def test_a_chain_of_links_is_followed_to_its_end(tmp_path: Path, two_filesystems: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("local/three")
    (tmp_path / "local/three").symlink_to(tmp_path / "nas")
    assert filesystem_of(tmp_path / "one/media.db", mounts=two_filesystems).type == "nfs4"


def test_a_dangling_link_counts_where_the_file_would_be(
    tmp_path: Path, two_filesystems: Path
) -> None:
    (tmp_path / "local/media.db").symlink_to(tmp_path / "nas/not/yet/media.db")
    assert filesystem_of(tmp_path / "local/media.db", mounts=two_filesystems).type == "nfs4"


def test_dots_after_a_link_leave_the_target_not_the_link(
    tmp_path: Path, two_filesystems: Path
) -> None:
    (tmp_path / "nas/films").mkdir()
    (tmp_path / "local/films").symlink_to(tmp_path / "nas/films")
    path = f"{tmp_path}/local/films/../media.db"
    assert filesystem_of(path, mounts=two_filesystems).type == "nfs4"


def test_a_relative_path_starts_in_the_working_folder(
    tmp_path: Path, two_filesystems: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "nas")
    assert filesystem_of("media.db", mounts=two_filesystems).type == "nfs4"
    assert filesystem_of("../local/media.db", mounts=two_filesystems).type == "ext4"
    assert filesystem_of(Path("sub/media.db"), mounts=two_filesystems).type == "nfs4"


def test_missing_folders_count_where_they_would_be_made(
    tmp_path: Path, two_filesystems: Path
) -> None:
    assert filesystem_of(tmp_path / "nas/a/b/c/media.db", mounts=two_filesystems).type == "nfs4"
    assert filesystem_of(tmp_path / "a/b/c/media.db", mounts=two_filesystems).type == "btrfs"


def test_a_file_where_a_folder_should_be_is_the_openers_problem(
    tmp_path: Path, two_filesystems: Path
) -> None:
    (tmp_path / "nas/file").touch()
    assert filesystem_of(tmp_path / "nas/file/media.db", mounts=two_filesystems).type == "nfs4"


def test_nothing_is_created_by_looking(tmp_path: Path, two_filesystems: Path) -> None:
    decide(tmp_path / "nas/a/media.db", mounts=two_filesystems)
    decide(tmp_path / "nas/a/media.db")
    assert list((tmp_path / "nas").iterdir()) == []


@pytest.mark.parametrize("below", ["", "media.db", "a/media.db"])
@pytest.mark.parametrize("real_table", [False, True])
def test_a_circle_of_links_is_said_with_its_path(
    tmp_path: Path, two_filesystems: Path, below: str, real_table: bool
) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    mounts = "/proc/mounts" if real_table else two_filesystems
    for call in (filesystem_of, journal_mode_for, decide):
        with pytest.raises(OSError, match=r"symbolic links.*one") as caught:
            call(tmp_path / "one" / below, mounts=mounts)
        assert caught.value.errno == errno.ELOOP


# --- When nothing can be found out ----------------------------------------------------------------


def assert_undetected(mounts: Path, why: str) -> None:
    assert filesystem_of("/vol/media.db", mounts=mounts) == Filesystem("", "unknown", True)
    assert journal_mode_for("/vol/media.db", mounts=mounts) == "delete"
    decision = decide("/vol/media.db", mounts=mounts)
    assert (decision.mode, decision.synchronous) == ("delete", "extra")
    assert not decision.filesystem.is_known
    assert why in decision.reason


def test_a_missing_table(tmp_path: Path) -> None:
    assert_undetected(tmp_path / "nowhere", "cannot be read (No such file")


def test_a_folder_instead_of_a_table(tmp_path: Path) -> None:
    assert_undetected(tmp_path, "cannot be read (Is a directory)")


def test_a_table_that_is_closed_to_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    # Not chmod, which does not stop root.
    monkeypatch.setattr(builtins, "open", refuse)
    assert_undetected(tmp_path / "mounts", "cannot be read (Permission denied)")


def test_an_empty_table(table: Table) -> None:
    assert_undetected(table(""), "no line")


def test_a_table_of_nonsense(table: Table) -> None:
    assert_undetected(table(b"\x00\xff\n\\\n / \nx\n"), "no line")


def test_a_table_without_a_line_for_the_path(table: Table) -> None:
    assert_undetected(table("x /volume ext4 rw\n"), "no line of")


def test_a_known_filesystem_is_told_apart_from_an_unknown_one(table: Table) -> None:
    assert filesystem_of("/vol/x", mounts=table("x /vol oddfs rw\n")).is_known


# --- The decision ---------------------------------------------------------------------------------

EXT4 = "x / ext4 rw\n"
NFS4 = "x / nfs4 rw\n"


@pytest.mark.parametrize(
    ("content", "journal", "durability", "mode", "synchronous"),
    [
        (EXT4, "auto", "balanced", "wal", "full"),
        (EXT4, "auto", "full", "wal", "full"),
        (EXT4, "auto", "normal", "wal", "normal"),
        (EXT4, "wal", "normal", "wal", "normal"),
        (EXT4, "delete", "balanced", "delete", "extra"),
        (EXT4, "delete", "normal", "delete", "extra"),
        (NFS4, "auto", "balanced", "delete", "extra"),
        (NFS4, "auto", "full", "delete", "extra"),
        (NFS4, "auto", "normal", "delete", "extra"),
        (NFS4, "delete", "normal", "delete", "extra"),
        (NFS4, "wal", "balanced", "wal", "full"),
        (NFS4, "wal", "normal", "wal", "normal"),
        ("", "auto", "normal", "delete", "extra"),
        ("", "delete", "balanced", "delete", "extra"),
        ("", "wal", "balanced", "wal", "full"),
    ],
)
def test_mode_and_synchronous(
    content: str,
    journal: JournalChoice,
    durability: Durability,
    mode: Literal["wal", "delete"],
    synchronous: str,
    *,
    table: Table,
) -> None:
    decision = decide("/vol/x", journal=journal, durability=durability, mounts=table(content))
    assert (decision.mode, decision.synchronous) == (mode, synchronous)
    assert synchronous_for(mode, durability) == synchronous
    assert ("asked for" in decision.reason) == (journal != "auto")


@pytest.mark.parametrize(
    ("durability", "synchronous"), [("balanced", "full"), ("full", "full"), ("normal", "normal")]
)
@pytest.mark.parametrize("journal", ["auto", "wal", "delete"])
async def test_memory_has_no_journal_whatever_is_asked_for(
    durability: Durability, synchronous: str, journal: JournalChoice
) -> None:
    decision = decide(None, journal=journal, durability=durability)
    assert (decision.mode, decision.synchronous) == ("memory", synchronous)
    assert decision.filesystem == Filesystem("", "memory", False)
    assert await decide_off_loop(None, journal=journal, durability=durability) == decision


@pytest.mark.parametrize("kind", ["ext4", "nfs4", "fuse.sshfs", "virtiofs", "oddfs"])
@pytest.mark.parametrize("journal", ["auto", "wal", "delete"])
def test_the_reason_is_one_line_with_type_mount_point_and_source(
    kind: str, journal: JournalChoice, table: Table
) -> None:
    mounts = table(f"x /vol/my\\040nas {kind} rw\n")
    reason = decide("/vol/my nas/x", journal=journal, mounts=mounts).reason
    assert kind in reason
    assert "/vol/my nas" in reason
    assert str(mounts) in reason
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("ext4", "is a local filesystem"),
        ("nfs", "is a network or cluster filesystem"),
        ("nfs4", "two hosts can share the file safely"),
        ("9p", "two hosts can share the file safely"),
        ("fuse.sshfs", "two hosts cannot share the file"),
        ("cifs", "without nobrl SQLite answers BUSY even to a single host"),
        ("smb3", "cannot share the file when it is mounted with nobrl"),
        ("ceph", "is a network or cluster filesystem"),
        ("virtiofs", "is shared by a hypervisor"),
        ("fuse", "FUSE"),
        ("fuseblk", "FUSE"),
        ("fuse.mergerfs", "FUSE"),
        ("vfat", "not on the list of local filesystems"),
        ("fusectl", "not on the list of local filesystems"),
    ],
)
def test_the_reason_says_what_is_known_of_the_type(kind: str, said: str, table: Table) -> None:
    assert said in decide("/vol/x", mounts=table(f"x / {kind} rw\n")).reason


def test_wal_on_a_network_filesystem_is_warned_about(table: Table) -> None:
    warned = decide("/vol/x", journal="wal", mounts=table(NFS4)).reason
    assert "WARNING" in warned
    assert "safely" not in warned
    for journal in ("auto", "delete"):
        assert "WARNING" not in decide("/vol/x", journal=journal, mounts=table(NFS4)).reason
    assert "WARNING" not in decide("/vol/x", journal="wal", mounts=table(EXT4)).reason


def test_the_reason_can_be_printed_whatever_the_mount_point_is_called(table: Table) -> None:
    mounts = table(b"x /vol/\xff\\012 ext4 rw\n")
    decision = decide(os.fsdecode(b"/vol/\xff\n/media.db"), mounts=mounts)
    assert decision.mode == "wal"
    assert decision.reason.encode().count(b"\n") == 0


@pytest.mark.parametrize("wrong", [{"journal": "truncate"}, {"durability": "fast"}])
async def test_an_unknown_choice_is_refused(wrong: dict[str, Any]) -> None:
    for path in (None, "media.db"):
        with pytest.raises(ValueError, match="must be one of"):
            decide(path, **wrong)
        with pytest.raises(ValueError, match="must be one of"):
            await decide_off_loop(path, **wrong)


# --- The real table -------------------------------------------------------------------------------


@linux_only
def test_the_real_table_agrees_with_itself(tmp_path: Path) -> None:
    found = filesystem_of(tmp_path / "media.db")
    # A copy of the table is read by longest match, the original by mount id.
    copy = tmp_path / "copy"
    copy.write_bytes(Path("/proc/mounts").read_bytes())
    assert filesystem_of(tmp_path / "media.db", mounts=copy) == found
    assert found.is_known
    assert os.path.ismount(found.mount_point)
    assert "/proc/self/mountinfo" in decide(tmp_path / "media.db").reason


@linux_only
@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="no shared memory mounted here")
def test_shared_memory_is_local_and_proc_is_not() -> None:
    assert filesystem_of("/dev/shm/media.db") == Filesystem("/dev/shm", "tmpfs", False)
    assert filesystem_of("/proc/media.db") == Filesystem("/proc", "proc", True)
    assert filesystem_of("/proc") == Filesystem("/proc", "proc", True)


@linux_only
@pytest.mark.parametrize("file", ["fdinfo", "mountinfo"])
def test_without_mount_ids_the_real_table_is_matched_by_name(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = filesystem_of(tmp_path)
    real_open = builtins.open

    def refuse(name: Any, *args: Any, **kwargs: Any) -> Any:
        if f"/proc/self/{file}" in str(name):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return real_open(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", refuse)
    assert filesystem_of(tmp_path) == expected
    assert "(says /proc/mounts)" in decide(tmp_path).reason


@linux_only
def test_a_kernel_without_mount_ids_in_fdinfo_is_matched_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = filesystem_of(tmp_path)
    bare = tmp_path / "fdinfo"
    bare.write_text("pos:\t0\nflags:\t012000000\n")
    real_open = builtins.open

    def older_kernel(name: Any, *args: Any, **kwargs: Any) -> Any:
        return real_open(bare if "fdinfo" in str(name) else name, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", older_kernel)
    assert filesystem_of(tmp_path) == expected
    assert "(says /proc/mounts)" in decide(tmp_path).reason


@linux_only
def test_a_place_that_cannot_be_opened_is_matched_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    expected = filesystem_of(tmp_path)
    monkeypatch.setattr(os, "open", refuse)
    assert filesystem_of(tmp_path) == expected


IN_A_NAMESPACE = """
    set -e
    cd "$1"
    mkdir -p stack/deep bind
    mount -t tmpfs stacked "$1/stack/deep"
    mount -t ramfs hides "$1/stack"
    mkdir "$1/stack/deep"
    mount -t tmpfs around "$1/bind"
    touch "$1/file.db" "$1/bind/media.db"
    mount --bind "$1/file.db" "$1/bind/media.db"
    "$2" -c 'if True:
        import sys
        from reelbase.engine.file.mounts import filesystem_of
        for name in "stack/deep/media.db", "bind/media.db", "bind/other.db", "file.db":
            found = filesystem_of(sys.argv[1] + "/" + name)
            print(found.mount_point.removeprefix(sys.argv[1]), found.type)
    ' "$1"
"""


@pytest.mark.long
@linux_only
def test_hidden_mounts_and_files_mounted_on_files_are_seen_as_the_kernel_sees_them(
    tmp_path: Path, mount_namespace: list[str]
) -> None:
    real = str(tmp_path.resolve())
    done = subprocess.run(
        [*mount_namespace, "sh", "-c", textwrap.dedent(IN_A_NAMESPACE), "sh", real, sys.executable],
        check=True, capture_output=True, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    outside = filesystem_of(tmp_path)
    assert done.stdout.splitlines() == [
        "/stack ramfs",  # by name it would be the tmpfs at /stack/deep, which nobody can reach
        f"/bind/media.db {outside.type}",
        "/bind tmpfs",
        f"{outside.mount_point} {outside.type}",
    ]


# --- The database file is left alone --------------------------------------------------------------


@contextmanager
def recorded_opens(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int | str]]]:
    """Every file opened by Python code, with its flags or mode."""
    opened: list[tuple[str, int | str]] = []
    real_builtin, real_os = builtins.open, os.open

    def builtin_open(name: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        opened.append((os.fspath(name), mode))
        return real_builtin(name, mode, *args, **kwargs)

    def os_open(name: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        opened.append((os.fspath(name), flags))
        return real_os(name, flags, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", builtin_open)
        patch.setattr(os, "open", os_open)
        yield opened


@linux_only
def test_the_database_is_opened_by_o_path_only_and_nothing_is_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Table
) -> None:
    database = tmp_path.resolve() / "media.db"
    database.touch()
    mounts = table(EXT4)
    before = os.listdir("/proc/self/fd")
    with recorded_opens(monkeypatch) as opened:
        for each in ("/proc/mounts", mounts):
            filesystem_of(database, mounts=each)
            decide(database, mounts=each)
    of_the_database = [how for name, how in opened if name == str(database)]
    assert of_the_database == [os.O_PATH, os.O_PATH]
    assert len(opened) == len(of_the_database) + 4 + 2  # the tables themselves
    assert os.listdir("/proc/self/fd") == before


@linux_only
def test_the_locks_of_an_open_transaction_survive_a_lookup(tmp_path: Path) -> None:
    database = tmp_path / "media.db"
    other_process = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0);"
        "c.execute('BEGIN IMMEDIATE'); print('got in')"
    )

    def try_to_write() -> str:
        command = [sys.executable, "-c", other_process, str(database)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (x INTEGER) STRICT")
        connection.execute("BEGIN IMMEDIATE")
        filesystem_of(database)
        decide(database)
        assert "database is locked" in try_to_write()
        # The trap that this avoids; without it the test would prove nothing.
        database.read_bytes()
        assert "got in" in try_to_write()


# --- Off the loop ---------------------------------------------------------------------------------

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(reelbase.__file__).parents[1])}


@pytest.fixture
def dead_server(tmp_path: Path) -> Iterator[Path]:
    """A mount table that hangs whoever opens it, until the test is over."""
    fifo = tmp_path / "dead server"
    os.mkfifo(fifo)
    yield fifo
    release(fifo)


def release(fifo: Path) -> None:
    """Lets a reader that hangs on the fifo go on, with an empty table."""
    try:
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as error:
        if error.errno != errno.ENXIO:  # nobody hangs
            raise


async def test_off_the_loop_the_decision_is_the_same(tmp_path: Path, table: Table) -> None:
    for mounts in (table(EXT4), table(NFS4), tmp_path / "nowhere"):
        for journal in ("auto", "wal", "delete"):
            assert await decide_off_loop(
                tmp_path / "x", journal=journal, durability="normal", mounts=mounts
            ) == decide(tmp_path / "x", journal=journal, durability="normal", mounts=mounts)


async def test_off_the_loop_a_circle_of_links_is_still_an_error(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("one")
    with pytest.raises(OSError, match="symbolic links"):
        await decide_off_loop(tmp_path / "one")


@pytest.mark.long
async def test_a_hung_lookup_does_not_stall_the_loop_and_ends_in_time(dead_server: Path) -> None:
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            longest = max(longest, time.perf_counter() - before)

    ticker = asyncio.create_task(tick())
    before = time.perf_counter()
    decision = await decide_off_loop("/vol/media.db", mounts=dead_server, timeout_seconds=0.3)
    taken = time.perf_counter() - before
    ticker.cancel()
    assert 0.25 < taken < 2.0
    assert 0.0 < longest < 0.25
    assert not decision.filesystem.is_known
    assert (decision.mode, decision.synchronous) == ("delete", "extra")
    assert "'/vol/media.db' did not answer within 0.3 s" in decision.reason


async def test_an_explicit_journal_holds_when_the_lookup_hangs(dead_server: Path) -> None:
    decision = await decide_off_loop(
        "/vol/x", journal="wal", durability="normal", mounts=dead_server, timeout_seconds=0.05
    )
    assert (decision.mode, decision.synchronous) == ("wal", "normal")
    assert "as asked for" in decision.reason
    assert "did not answer" in decision.reason


async def test_following_links_hangs_off_the_loop_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> str:
        time.sleep(0.5)
        return "/"

    monkeypatch.setattr(os.path, "realpath", hang)
    decision = await decide_off_loop("/vol/media.db", timeout_seconds=0.05)
    assert not decision.filesystem.is_known


async def test_a_cancelled_lookup_is_cancelled_at_once(dead_server: Path) -> None:
    task = asyncio.create_task(decide_off_loop("/vol/x", mounts=dead_server, timeout_seconds=30.0))
    await asyncio.sleep(0.05)
    task.cancel()
    before = time.perf_counter()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.perf_counter() - before < 1.0


@pytest.mark.long
async def test_a_late_answer_is_dropped_quietly(
    dead_server: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await decide_off_loop("/vol/x", mounts=dead_server, timeout_seconds=0.05)
    release(dead_server)
    await asyncio.sleep(0.1)
    assert caplog.records == []


@pytest.mark.long
def test_an_answer_after_the_loop_has_closed_is_dropped_quietly(
    dead_server: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.run(decide_off_loop("/vol/x", mounts=dead_server, timeout_seconds=0.05))
    release(dead_server)
    time.sleep(0.1)
    assert caplog.records == []


@pytest.mark.long
def test_an_interpreter_with_a_hung_lookup_exits(dead_server: Path) -> None:
    program = """if True:
        import asyncio, sys
        from reelbase.engine.file.journal import decide_off_loop
        print(asyncio.run(decide_off_loop("/vol/x", mounts=sys.argv[1], timeout_seconds=0.1)).mode)
    """
    before = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, str(dead_server)],
        check=True, capture_output=True, text=True, timeout=20.0, env=ENVIRONMENT,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("delete\n", "")
    assert time.perf_counter() - before < 2.0


# --- Without /proc --------------------------------------------------------------------------------

MACOS = b"""\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
devfs on /dev (devfs, local, nobrowse)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse, protect)
//guest@nas._smb._tcp.local/films on /Volumes/films (smbfs, nodev, nosuid, mounted by anna)
nas:/export on /Volumes/my nas (old) (nfs, nodev, nosuid)
macfuse on /Volumes/on (x) on (y) (macfuse)
nonsense
"""


def test_the_mount_program_of_macos_is_understood() -> None:
    assert parse_mount_program(MACOS) == [
        Filesystem("/", "apfs", False),
        Filesystem("/dev", "devfs", True),
        Filesystem("/System/Volumes/Data", "apfs", False),
        Filesystem("/Volumes/films", "smbfs", True),
        Filesystem("/Volumes/my nas (old)", "nfs", True),
        Filesystem("/Volumes/on (x) on (y)", "macfuse", True),
    ]


def test_without_proc_the_mount_program_decides_and_the_reason_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess(command, 0, stdout=MACOS)

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", answer)
    local = decide("/Users-none/media.db")
    assert (local.mode, local.filesystem) == ("wal", Filesystem("/", "apfs", False))
    assert "(says mount)" in local.reason
    assert journal_mode_for("/Volumes/films/media.db") == "delete"


def test_without_proc_and_without_the_mount_program_the_reason_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 5.0)

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", fail)
    decision = decide("/Users-none/media.db")
    assert decision.filesystem == UNKNOWN
    assert "there is no /proc, and /sbin/mount failed" in decision.reason


@pytest.mark.parametrize(
    ("path", "number", "expected"),
    [
        ("C:\\media\\media.db", 3, Filesystem("C:\\", "fixed", False)),
        ("E:\\media.db", 2, Filesystem("E:\\", "removable", False)),
        ("Z:\\media.db", 4, Filesystem("Z:\\", "remote", True)),
        ("\\\\nas\\films\\media.db", 4, Filesystem("\\\\nas\\films\\", "remote", True)),
        ("Q:\\media.db", 1, UNKNOWN),
    ],
)
def test_on_windows_the_kind_of_drive_decides(
    path: str, number: int, expected: Filesystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(drive: str) -> int:
        asked.append(drive)
        return number

    kernel32 = SimpleNamespace(GetDriveTypeW=answer)
    fake = SimpleNamespace(windll=SimpleNamespace(kernel32=kernel32))
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(mounts_module, "ctypes", fake, raising=False)
    monkeypatch.setattr(os.path, "realpath", lambda name, **_: name)
    monkeypatch.setattr(os.path, "splitdrive", ntpath.splitdrive)
    decision = decide(path)
    assert decision.filesystem == filesystem_of(path) == expected
    assert asked == [ntpath.splitdrive(path)[0] + "\\"] * 2
    assert "GetDriveTypeW" in decision.reason


def test_a_given_table_is_read_on_every_system(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert filesystem_of("/vol/x", mounts=table(NFS4)) == Filesystem("/", "nfs4", True)
