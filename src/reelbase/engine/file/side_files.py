"""SQLite's side files: -wal, -shm and -journal, beside a database or, wrongly, elsewhere.

They hold acknowledged changes, or the pages that undo an unfinished one. SQLite finds them by the name of
the database (sqlite.org/howtocorrupt.html, 2.4), so they must be moved together with its file.
"""

from __future__ import annotations

import contextlib
import os
import stat

from reelbase.engine.file.mounts import PROC_MOUNTS, is_mount_of_its_own
from reelbase.engine.file.paths import real_path
from reelbase.errors import SchemaError

SUFFIXES = ("-wal", "-shm", "-journal")


def beside(path: str | os.PathLike[str]) -> list[str]:
    """The names of a database's side files. They follow its real name, behind every symbolic link."""
    real = real_path(path)
    return [f"{real}{suffix}" for suffix in SUFFIXES]


def is_at_rest(path: str | os.PathLike[str]) -> bool:
    """Whether no process has the database open in WAL mode, and no crash has left a log."""
    wal, _, journal = beside(path)
    return not os.path.exists(wal) and not os.path.exists(journal)


def refuse_misplaced(
    path: str | os.PathLike[str], *, mounts: str | os.PathLike[str] = PROC_MOUNTS
) -> None:
    """Raises SchemaError (code side_files) when the side files of a database would not lie beside it.

    The file may be missing; no file is opened or changed.
    """
    problem = mounted_apart(path, mounts=mounts) or _misplaced(path)
    if problem is not None:
        raise SchemaError(problem, code="side_files", details={"path": os.fspath(path)})


def mounted_apart(
    path: str | os.PathLike[str], *, mounts: str | os.PathLike[str] = PROC_MOUNTS
) -> str | None:
    """A sentence on the problem when the database or a side file is a mount point; else None."""
    real = str(real_path(path))
    if os.path.isdir(real):
        return None  # no database at all
    if is_mount_of_its_own(real, mounts=mounts):
        return (
            f"{path} is mounted as a single file: its -wal, -shm and -journal would lie in the folder "
            "beneath, outside the mount, and acknowledged changes would be lost with that folder. Mount "
            "the folder that the file is in (docker: -v /srv/media:/data, not "
            "-v /srv/media/media.db:/data/media.db)"
        )
    for name in beside(path):
        if is_mount_of_its_own(name, mounts=mounts):
            return (
                f"{name} is mounted as a single file, and SQLite must be able to make and delete it. "
                "Mount the folder that the database is in, and nothing over its side files"
            )
    return None


def _misplaced(path: str | os.PathLike[str]) -> str | None:
    for name in beside(path):
        try:
            status = os.lstat(name)
        except OSError:  # there is no such file, or opening the database gives the error
            continue
        if stat.S_ISLNK(status.st_mode):
            what = "a symbolic link"
        elif not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        elif status.st_nlink > 1:
            what = f"a file with {status.st_nlink} hard links"
        else:
            continue
        return (
            f"{name} is {what}, and SQLite needs that name for a file that belongs to {path} alone. "
            "Look at what it is, and move it away"
        )
    return None


def refuse_leftovers(target: str | os.PathLike[str]) -> None:
    """Raises SchemaError (code stale_log) when a new database at target would find another one's log."""
    leftover = leftover_log(target)
    if leftover is not None:
        raise SchemaError(
            f"{leftover} lies where a database at {target} would have its log, and SQLite would mix the "
            "two. Look at what it is and move it away, or choose another target",
            code="stale_log",
            details={"path": os.fspath(target), "log": leftover},
        )


def leftover_log(target: str | os.PathLike[str]) -> str | None:
    """The path of a -wal or -journal beside the name of a missing database; None if there is none."""
    wal, _, journal = beside(target)
    for name in (wal, journal):
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(name)
            if status.st_size > 0 or not stat.S_ISREG(status.st_mode):
                return name
    return None
