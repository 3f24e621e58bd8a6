"""What filesystems may refuse, and what is done instead.

FUSE programs, network shares, folders shared by a hypervisor, FAT, Android and containers each leave out some
call of POSIX, or answer it oddly. Where the same guarantee can be had in another way it is had in that
way; where the call only told something, what is unknown stops nothing; and where a filesystem merely
has no owners or modes, a file stays as it was made, for its maker only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from reelbase.errors import DatabaseFullError

if os.name != "nt":
    import fcntl

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

# A folder, or a file, that cannot be synced at all, as PostgreSQL's fsync_fname() knows them (EACCES:
# a folder that may be searched and not read; SQLite goes on there too). EIO and ENOSPC are not among
# them: those say that something was lost.
_NO_SYNC: Final = frozenset({
    errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EISDIR,
    errno.EACCES, errno.EPERM,
})  # fmt: skip

# The first byte that SQLite locks (sqlite.org/fileformat2.html, "lock-byte page").
_LOCK_BYTE: Final = 0x40000000


def publish(partial: Path, target: Path) -> None:
    """Gives a finished file its name in one step; what has that name already is never overwritten.

    Where there are no hard links (FAT, Android, many network filesystems) an empty file keeps the name
    until the finished one replaces it. The name partial may be left; its maker removes it.

    Raises FileExistsError, or OSError; target is then not there.
    """
    try:
        os.link(partial, target)
    except OSError as error:
        if _are_one_file(partial, target):
            pass  # NFS: the answer was lost, and the repeated call found its own link
        elif isinstance(error, FileExistsError) or error.errno in NO_ROOM:
            raise
        else:
            _replace_placeholder(partial, target)
            return
    with contextlib.suppress(OSError):
        os.unlink(partial)


def _are_one_file(one: Path, other: Path) -> bool:
    try:
        status = os.lstat(other)
        # The number of names, because some filesystems give every file the same inode.
        return status.st_nlink > 1 and os.path.samestat(os.lstat(one), status)
    except OSError:
        return False


def _replace_placeholder(partial: Path, target: Path) -> None:
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        os.replace(partial, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            if os.lstat(target).st_size == 0:
                os.unlink(target)
        if not isinstance(error, FileExistsError):
            raise
        # A filesystem whose rename never overwrites is as good.
        os.rename(partial, target)


def sync_file(path: Path) -> None:
    """Puts the content of a file that nothing has open on the disk, where the filesystem can do that."""
    _sync(os.open(path, os.O_RDWR))


def sync_folder(folder: Path) -> None:
    """Puts the names in a folder on the disk, where the filesystem can do that."""
    try:
        _sync(os.open(folder, os.O_RDONLY))
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def folder_sync_refusal(folder: Path) -> str | None:
    """Why the names in a folder cannot be synced, in the words of the system; None when they can be.

    Trouble that would pass, or that a commit should report (EIO), is no such reason.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error.strerror if os.name != "nt" and error.errno in _NO_SYNC else None
    return None


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def free_bytes(folder: str | os.PathLike[str]) -> int | None:
    """The room for files in a folder; None when the filesystem does not tell.

    A FUSE program without statfs answers zeros: a disk of no size at all, which is no full disk.
    """
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.free if usage.total > 0 else None


class Need(NamedTuple):
    """Bytes that must be free in a folder, and what for: "the copy"."""

    folder: Path
    size_bytes: int
    what: str


def refuse_without_room(doing: str, needs: Iterable[Need], advice: str) -> None:
    """Raises DatabaseFullError with the figures where a filesystem has less room than is needed.

    doing: what begins the message: "a backup".  advice: what to do, besides making room.
    """
    by_device: dict[object, list[Need]] = {}
    for need in needs:
        by_device.setdefault(_device(need.folder), []).append(need)
    for together in by_device.values():
        folder = together[0].folder
        needed = sum(need.size_bytes for need in together)
        free = free_bytes(folder)
        if free is None or free >= needed:
            continue
        parts = ", ".join(f"{need.size_bytes:,} for {need.what}" for need in together)
        raise DatabaseFullError(
            f"{doing} needs {needed:,} bytes free in {folder} ({parts}), which has {free:,}; make room there"
            f"{advice}. Nothing was changed",
            details={"folder": str(folder), "needed": needed, "free": free},
        )


def _device(folder: Path) -> object:
    try:
        return os.stat(folder).st_dev
    except OSError:
        return folder


def take_owner(path: Path, like: os.stat_result) -> None:
    """Gives a file the owner and group of another, or its group alone, as far as this process may."""
    if os.name == "nt":
        return
    for owner in (like.st_uid, -1):
        try:
            os.chown(path, owner, like.st_gid)
        except OSError:
            continue  # not root; or a filesystem, or a user namespace, without such an owner
        return


def take_mode(path: Path, like: os.stat_result) -> None:
    """Gives a file the permissions of another; those of a group only if it is of the same group."""
    mode = stat.S_IMODE(like.st_mode)
    with contextlib.suppress(OSError):  # a filesystem without modes
        if os.stat(path).st_gid != like.st_gid:
            mode &= ~stat.S_IRWXG
        os.chmod(path, mode)


def lock_refusal(folder: Path) -> OSError | None:
    """What the filesystem answers to a lock that nothing else can hold; None when it grants it.

    Tried on a new file in the folder, which is removed. None also where that cannot be made.
    """
    if os.name == "nt":
        return None
    with contextlib.suppress(OSError):
        descriptor, name = tempfile.mkstemp(prefix=".reelbase.", suffix=".lock", dir=folder)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _LOCK_BYTE)
        except OSError as error:
            return error
        finally:
            os.close(descriptor)
            os.unlink(name)
    return None


def remove(paths: Sequence[str]) -> None:
    """Removes files, those that are there."""
    for path in paths:
        try:
            os.unlink(path)
        except OSError:
            if os.path.lexists(path):
                raise
