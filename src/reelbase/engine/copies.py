"""The copies that are kept beside a database when it is migrated: ``<name>.v<version>.bak``."""

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
from reelbase.errors import DatabaseIOError

_log = logging.getLogger("reelbase")

# A copy is as large as the database was.
KEPT_COPIES = 3


def keep_copy(path: str, version: int, on_step: OnStep) -> Path:
    """Copies the database as it is to ``<path>.v<version>.bak``, or ``.v<version>.2.bak`` and so on
    where that is taken. A copy that is the same as the last of its version is not kept twice.

    Under the write lock, so that nobody migrates it, or copies it too, meanwhile.
    """
    last, target = None, Path(f"{path}.v{version}.bak")
    for number in count(2):
        if not os.path.lexists(target):
            break
        last, target = target, Path(f"{path}.v{version}.{number}.bak")
    try:
        for leftover in target.parent.glob(f"{glob.escape(target.name)}.*.partial*"):
            leftover.unlink()  # of somebody who was killed
        # A connection of its own: one that writes cannot be copied.
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as source:
            write_copy(source, target, on_step=on_step)
        if last is not None and filecmp.cmp(last, target, shallow=False):
            target.unlink()
            return last
    except OSError as error:
        raise DatabaseIOError(
            f"cannot keep a copy of {path} before migrating it: {error}; the database is unchanged",
            details={"path": path},
        ) from error
    return target


def forget_old_copies(path: str) -> None:
    """Removes all copies but the newest few; only files that are named exactly as ours are.

    One that cannot be removed is logged: the migration is done.
    """
    database = Path(path)
    ours = re.compile(re.escape(database.name) + r"\.v\d+(\.\d+)?\.bak")
    try:
        copies = [
            (entry.stat().st_mtime_ns, entry)
            for entry in database.parent.iterdir()
            if ours.fullmatch(entry.name)
        ]
        for _, copy in sorted(copies)[:-KEPT_COPIES]:
            copy.unlink(missing_ok=True)
    except OSError:
        _log.warning("cannot remove old copies of %s", path, exc_info=True)
