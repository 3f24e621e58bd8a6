"""The filesystem of a path, found without ever opening the file at that path.

Sources: proc(5) for /proc/mounts, /proc/pid/mountinfo and fdinfo; open(2) for O_PATH; the kernel's
mangle_path(), which writes space, tab, newline, backslash and # in a mount point as octal.
"""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from typing import Final

import msgspec

from reelbase.engine.record import Record

if sys.platform == "win32":
    import ctypes

PROC_MOUNTS: Final = "/proc/mounts"

# SQLite's WAL needs shared memory between all processes that open the file, and byte-range locks
# that work. Only the types of this list are trusted with both; every other type counts as network.
LOCAL_TYPES: Final = frozenset({
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "nilfs2", "ubifs",
    "tmpfs", "ramfs", "overlay", "ecryptfs",
})  # fmt: skip
# The same promise where a table comes from macOS or FreeBSD; Linux drivers of these names are not
# trusted with it.
BSD_LOCAL_TYPES: Final = LOCAL_TYPES | {"apfs", "hfs", "ufs"}


class Filesystem(Record, frozen=True):
    """The filesystem of a path. `mount_point` is empty when detection failed; see `is_known`."""

    mount_point: str
    type: str
    is_network: bool

    @property
    def is_known(self) -> bool:
        """False when the filesystem is unknown; `is_network` is then a precaution."""
        return self.type != "unknown"


UNKNOWN: Final = Filesystem(mount_point="", type="unknown", is_network=True)


class UndetectedError(Exception):
    """The filesystem of a path is unknown; the message gives the reason."""


class Located(msgspec.Struct, frozen=True):
    """A filesystem and `source`, the table or program that it was found in."""

    filesystem: Filesystem
    source: str


def filesystem_of(
    path: str | os.PathLike[str], *, mounts: str | os.PathLike[str] = PROC_MOUNTS
) -> Filesystem:
    """The filesystem that holds `path`, or would hold it: neither file nor folders need to exist.

    Symbolic links are followed. `mounts` is a table in the format of /proc/mounts. When the filesystem
    cannot be found (no such table, no line for the path) the type is "unknown", counted as network.
    Raises OSError (ELOOP) for symbolic links that run in a circle. This asks the
    filesystem, so it can hang as long as a dead file server does.
    """
    try:
        return locate(path, mounts=mounts).filesystem
    except UndetectedError:
        return UNKNOWN


def locate(path: str | os.PathLike[str], *, mounts: str | os.PathLike[str]) -> Located:
    """As `filesystem_of`, with the source; raises UndetectedError when the filesystem cannot be found."""
    real = _real_path(path)
    table = os.fspath(mounts)
    if table == PROC_MOUNTS:
        if sys.platform == "win32":
            return Located(_windows_drive(real), "GetDriveTypeW")
        if sys.platform != "linux":
            return Located(_longest_match(_ask_mount_program(), real, "mount"), "mount")
        found = _by_mount_id(real)
        if found is not None:
            return Located(found, "/proc/self/mountinfo")
    return _by_name(real, table)


def is_mount_of_its_own(place: str, *, mounts: str | os.PathLike[str] = PROC_MOUNTS) -> bool:
    """Whether a file is a mount point, as `docker -v file:file` makes it: its folder is then elsewhere.

    place: absolute; a symbolic link there is not followed. As with `locate` the kernel is asked first,
    for the ids of the two mounts, then the table. The file is never opened.
    """
    table = os.fspath(mounts)
    if table == PROC_MOUNTS:
        if not os.path.lexists(place):
            return False
        own, around = _mount_id_at(place), _mount_id_at(os.path.dirname(place))
        if own is not None and around is not None:
            return own != around
    try:
        if table != PROC_MOUNTS or sys.platform == "linux":
            return _by_name(place, table).filesystem.mount_point == place
    except UndetectedError:
        pass
    return _is_on_another_device(place)


def _is_on_another_device(place: str) -> bool:
    """Whether a file and its folder are on different devices. It misses a mount within one filesystem."""
    try:
        return os.lstat(place).st_dev != os.stat(os.path.dirname(place)).st_dev
    except OSError:
        return False


def _by_name(real: str, table: str) -> Located:
    try:
        with open(table, "rb") as file:
            content = file.read()
    except OSError as error:
        raise UndetectedError(
            f"the mount table {table!r} cannot be read ({error.strerror})"
        ) from error
    return Located(_longest_match(parse_mounts(content), real, table), table)


def _real_path(path: str | os.PathLike[str]) -> str:
    """The absolute path, with every link followed, even a dangling one."""
    try:
        return os.path.realpath(path, strict=True)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise
        # A folder on the way does not exist (yet) or may not be searched: follow the links up to there.
        return os.path.realpath(path)


# The device may be empty (a mount with source ""). Fields are separated by blanks only: \s would
# also split at bytes that the kernel leaves in a mount point.
_MOUNTS_LINE: Final = re.compile(rb"[ \t]*?([^ \t#][^ \t]*)?[ \t]+(/[^ \t]*)[ \t]+([^/ \t][^ \t]*)")
_OCTAL: Final = re.compile(rb"\\([0-3][0-7]{2})")


def parse_mounts(content: bytes) -> list[Filesystem]:
    """The mounts of a /proc/mounts table in its order; malformed lines are left out."""
    # Not splitlines(): a mount point may hold any byte but the few that are escaped.
    lines = (line.removesuffix(b"\r") for line in content.split(b"\n"))
    matches = (_MOUNTS_LINE.match(line) for line in lines)
    return [_filesystem(match[2], match[3], LOCAL_TYPES) for match in matches if match]


def parse_mountinfo(content: bytes, mount_id: int) -> Filesystem | None:
    """The mount with this id in a /proc/self/mountinfo table; None without one."""
    # id, parent, device number, root, mount point, options and optional fields, " - ", type ...
    line = rb"^%d(?: [^ \n]+){3} ([^ \n]+)(?: [^ \n]+)*? - ([^ \n]+)" % mount_id
    match = re.search(line, content, re.MULTILINE)
    return _filesystem(match[1], match[2], LOCAL_TYPES) if match else None


def parse_mount_program(output: bytes) -> list[Filesystem]:
    """The mounts that `mount` prints on macOS and FreeBSD: device on /point (type, options)."""
    lines = re.findall(rb"^.*? on (/.*) \(([^,()]+)[^()]*\)$", output, re.MULTILINE)
    return [_filesystem(point, kind, BSD_LOCAL_TYPES) for point, kind in lines]


def _filesystem(point: bytes, kind: bytes, local: frozenset[str]) -> Filesystem:
    # fsdecode, because the mount point is compared with paths, which Python decodes in this way.
    mount_point = os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), point))
    name = kind.decode("utf-8", "backslashreplace")
    return Filesystem(mount_point.rstrip("/") or "/", name, name not in local)


def _longest_match(mounts: Iterable[Filesystem], real: str, table: str) -> Filesystem:
    covering = [mount for mount in mounts if _covers(mount.mount_point, real)]
    if not covering:
        raise UndetectedError(f"no line of {table!r} covers {real!r}")
    # Of two mounts on one point the later one hides the earlier one (autofs, then its nfs4).
    return max(reversed(covering), key=lambda mount: len(mount.mount_point))


def _covers(mount_point: str, real: str) -> bool:
    return real == mount_point or real.startswith(mount_point.rstrip("/") + "/")


def _by_mount_id(real: str) -> Filesystem | None:
    """The mount that the kernel itself finds for `real`; None if it does not tell.

    The longest match would be wrong where a mount hides an earlier one with a longer mount point.
    """
    descriptor = _open_nearest(real)
    if descriptor is None:
        return None
    try:
        # While the descriptor is open its mount stays in the table and its id is not reused.
        mount_id = _mount_id_of(descriptor)
        if mount_id is None:
            return None
        with open("/proc/self/mountinfo", "rb") as file:
            return parse_mountinfo(file.read(), mount_id)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _mount_id_of(descriptor: int) -> int | None:
    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
        mount_id = re.search(rb"^mnt_id:\s*(\d+)$", file.read(), re.MULTILINE)
    return int(mount_id[1]) if mount_id else None


def _mount_id_at(place: str) -> int | None:
    """The id of the mount at a place; None if no file is there, or the kernel does not tell."""
    if sys.platform == "linux":
        try:
            descriptor = os.open(place, os.O_PATH | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            return _mount_id_of(descriptor)
        except OSError:
            return None
        finally:
            os.close(descriptor)
    return None


def _open_nearest(real: str) -> int | None:
    """An O_PATH descriptor of `real` or of the nearest folder above it that exists.

    The file itself comes first because it may be a mount of its own (docker -v file:file). O_PATH
    does not open it: closing an ordinary descriptor would drop the process's locks on the database.
    """
    if sys.platform == "linux":
        place = real
        while True:
            try:
                return os.open(place, os.O_PATH)
            except (FileNotFoundError, NotADirectoryError):
                place = os.path.dirname(place)
            except OSError:
                break
    return None


def _ask_mount_program() -> list[Filesystem]:
    try:
        answer = subprocess.run(["/sbin/mount"], capture_output=True, check=True, timeout=5.0)
    except (OSError, subprocess.SubprocessError) as error:
        raise UndetectedError(f"there is no /proc, and /sbin/mount failed ({error})") from error
    return parse_mount_program(answer.stdout)


def _windows_drive(real: str) -> Filesystem:
    """The drive of a path and its kind: Windows tells whether it is local or remote."""
    drive = os.path.splitdrive(real)[0] + "\\"
    if sys.platform == "win32":
        kinds = {2: "removable", 3: "fixed", 4: "remote", 5: "cdrom", 6: "ramdisk"}
        kind = kinds.get(ctypes.windll.kernel32.GetDriveTypeW(drive))
        if kind is not None:
            return Filesystem(drive, kind, kind not in {"removable", "fixed", "ramdisk"})
    raise UndetectedError(f"GetDriveTypeW does not know the drive {drive!r}")
