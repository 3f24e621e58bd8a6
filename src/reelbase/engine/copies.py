"""The copies that are kept of a database when it is migrated: ``<name>.v<version>.bak``, beside it or in
a folder for them."""

from __future__ import annotations

import contextlib
import filecmp
import glob
import logging
import os
import re
import sqlite3
from itertools import count
from pathlib import Path

from reelbase.engine.backup import OnStep, write_copy
from reelbase.engine.filesystem import take_mode
from reelbase.errors import DatabaseIOError

_log = logging.getLogger("reelbase")

# A copy is as large as the database was.
KEPT_COPIES = 3


def make_folder(folder: Path) -> None:
    """Makes the folder of the copies, if need be. Raises DatabaseIOError (code backup_dir)."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseIOError(
            f"{folder}, where the copy of a database is kept before it is migrated, is no folder and"
            f" cannot be made: {error.strerror} ({error.filename}); the database is unchanged",
            code="backup_dir",
            details={"backup_dir": str(folder)},
        ) from error


def keep_copy(path: str, version: int, folder: Path, on_step: OnStep) -> tuple[Path, bool]:
    """Copies the database as it is to ``<name>.v<version>.bak``, or ``.v<version>.2.bak`` and so on
    where that is taken. It has the owner and permissions of the database.

    Returns the copy, and whether it is new: a copy that is the same as the last of its version is not
    kept twice. Under the write lock, so that no other process migrates the database, or copies it too,
    meanwhile.
    """
    stem = folder / f"{Path(path).name}.v{version}"
    last, target = None, Path(f"{stem}.bak")
    for number in count(2):
        if not os.path.lexists(target):
            break
        last, target = target, Path(f"{stem}.{number}.bak")
    try:
        with contextlib.suppress(OSError):  # of a process that was killed
            for leftover in folder.glob(f"{glob.escape(target.name)}.*.partial*"):
                leftover.unlink()
        # A connection of its own: one that writes cannot be copied.
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as source:
            write_copy(source, target, on_step=on_step)
        take_mode(target, os.stat(path))
        if last is not None and filecmp.cmp(last, target, shallow=False):
            target.unlink()
            return last, False
    except OSError as error:
        raise DatabaseIOError(
            f"cannot keep a copy of {path} before migrating it: {error}; the database is unchanged",
            details={"path": path},
        ) from error
    return target, True


def remove_copy(copy: Path) -> None:
    """Removes the copy of an upgrade that failed. One that cannot be removed is logged."""
    try:
        copy.unlink(missing_ok=True)
    except OSError:
        _log.warning("cannot remove %s, the copy of an upgrade that failed", copy, exc_info=True)


def forget_old_copies(path: str, folder: Path) -> None:
    """Removes all copies but the newest few; only files that are named exactly as ours are.

    One that cannot be removed is logged: the migration is done.
    """
    ours = re.compile(re.escape(Path(path).name) + r"\.v\d+(\.\d+)?\.bak")
    try:
        copies = [
            (entry.stat().st_mtime_ns, entry)
            for entry in folder.iterdir()
            if ours.fullmatch(entry.name)
        ]
        for _, copy in sorted(copies)[:-KEPT_COPIES]:
            copy.unlink(missing_ok=True)
    except OSError:
        _log.warning("cannot remove old copies of %s", path, exc_info=True)
