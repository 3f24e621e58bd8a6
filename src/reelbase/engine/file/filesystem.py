"""Calls that a filesystem may refuse, and their replacements.

FUSE programs, network shares, folders shared by a hypervisor, FAT, Android and containers each lack some
call of POSIX, or answer it oddly. If another call gives the same guarantee, it is used instead. If the call
only asks for a figure, an unknown figure stops nothing. If a filesystem has no owners or modes, a file keeps
the ones that it was made with, for its maker only.
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

# The errors of a folder, or a file, that cannot be synced at all, as in PostgreSQL's fsync_fname() (EACCES:
# a folder that may be searched and not read; SQLite goes on there, too). EIO and ENOSPC are not among them:
# they mean that data was lost.
_NO_SYNC: Final = frozenset({
    errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EISDIR,
    errno.EACCES, errno.EPERM,
})  # fmt: skip

# The first byte that SQLite locks (sqlite.org/fileformat2.html, "lock-byte page").
_LOCK_BYTE: Final = 0x40000000


def publish(partial: Path, target: Path) -> None:
    """Gives a finished file its name in one step. An existing file of that name is never overwritten.

    Without hard links (FAT, Android, many network filesystems) an empty file reserves the name until the
    finished file replaces it. The name partial may stay; its maker removes it.

    Raises FileExistsError, or OSError; the finished file is then not at target.
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
    """Syncs the content of a file that no connection has open, if the filesystem can sync."""
    _sync(os.open(path, os.O_RDWR))


def sync_folder(folder: Path) -> None:
    """Syncs the names in a folder, if the filesystem can sync."""
    try:
        _sync(os.open(folder, os.O_RDONLY))
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def folder_sync_refusal(folder: Path) -> str | None:
    """The system's reason why the names in a folder cannot be synced; None when they can be.

    None, too, for an error that may pass, or that a commit should report (EIO).
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
    """The free bytes for files in a folder; None when the filesystem does not tell.

    A FUSE program without statfs answers zeros: a disk of size 0 is no full disk, but an unknown one.
    """
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.free if usage.total > 0 else None


class Need(NamedTuple):
    """Bytes that must be free in a folder, and their purpose: "the copy"."""

    folder: Path
    size_bytes: int
    what: str


def refuse_without_room(doing: str, needs: Iterable[Need], advice: str) -> None:
    """Raises DatabaseFullError, with the figures, if a filesystem has less free space than needed.

    Args:
        doing: the operation, as the beginning of the message: "a backup".
        needs: the bytes for each purpose; needs on one filesystem are added up.
        advice: a further remedy besides making room, for the message; '' for none.
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
    """Gives a file the owner and group of another file, or only its group, as far as this process may."""
    if os.name == "nt":
        return
    for owner in (like.st_uid, -1):
        try:
            os.chown(path, owner, like.st_gid)
        except OSError:
            continue  # not root; or a filesystem, or a user namespace, without such an owner
        return


def take_mode(path: Path, like: os.stat_result) -> None:
    """Gives a file the permissions of another file; the group's only if both have the same group."""
    mode = stat.S_IMODE(like.st_mode)
    with contextlib.suppress(OSError):  # a filesystem without modes
        if os.stat(path).st_gid != like.st_gid:
            mode &= ~stat.S_IRWXG
        os.chmod(path, mode)


def lock_refusal(folder: Path) -> OSError | None:
    """The filesystem's error for an exclusive lock; None when it grants the lock.

    Tried on a new file in the folder, which is removed. None, too, if that file cannot be made.
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
    """Removes files; missing ones are ignored."""
    for path in paths:
        try:
            os.unlink(path)
        except OSError:
            if os.path.lexists(path):
                raise
