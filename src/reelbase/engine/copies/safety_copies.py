"""The copies of a database that are kept when it is migrated: ``<name>.v<version>.bak``, in its folder or
in a folder for copies."""

from __future__ import annotations

import contextlib
import filecmp
import glob
import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

from reelbase.engine.copies.backup import OnStep, write_copy
from reelbase.engine.file.connections import open_set_up
from reelbase.engine.file.filesystem import take_mode
from reelbase.engine.file.side_files import leftover_log
from reelbase.engine.native.setup import Setup
from reelbase.engine.schema.identity import open_as_it_lies, read_lineage
from reelbase.engine.schema.source import check_ownership
from reelbase.errors import DatabaseIOError, SchemaError

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


def keep_copy(
    path: str, version: int, folder: Path, on_step: OnStep, setup: Setup | None = None
) -> tuple[Path, bool]:
    """Copies the database to ``<name>.v<version>.bak``, with the owner and permissions of the database.

    If names without a number would not show the order of the copies, it is ``.v<version>.2.bak`` and so on.
    A copy that is equal to the last one of its version is not kept twice. The caller holds the writer lock,
    so that no other process migrates or copies the database meanwhile.

    Args:
        path: the database.
        version: of its schema.
        folder: the folder of the copies.
        on_step: as of write_copy().
        setup: the application's function for connections.

    Returns:
        The copy, and whether it is new.

    Raises:
        DatabaseError: as of write_copy(); the database is unchanged.
    """
    try:
        target = _next_name(Path(path).name, version, folder)
        with contextlib.suppress(OSError):  # left by a process that was killed
            for leftover in folder.glob(f"{glob.escape(target.name)}.*.partial*"):
                leftover.unlink()
        # A connection of its own: SQLite cannot copy from one that is in a write transaction.
        with contextlib.closing(open_set_up(path, "mode=rw", 5.0, setup)) as source:
            last = None
            with contextlib.suppress(OSError):  # a folder that cannot be listed
                last = newest_copy(source, path, folder, version)
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
    """Removes the copy of an upgrade that failed. An error is logged."""
    try:
        copy.unlink(missing_ok=True)
    except OSError:
        _log.warning("cannot remove %s, the copy of an upgrade that failed", copy, exc_info=True)


def newest_copy(native: sqlite3.Connection, path: str, folder: Path, version: int) -> Path | None:
    """The newest copy of one version of a database in a folder; None if there is none.

    Args:
        native: a connection to the database.
        path: the database, for its name.
        folder: the folder of the copies.
        version: the version of the copy's schema.
    """
    copies = [copy for copy in _copies(native, path, folder) if copy.version == version]
    return max(copies).path if copies else None


def forget_old_copies(native: sqlite3.Connection, made: Path, path: str) -> None:
    """Removes old copies of a database, so that KEPT_COPIES stay in the folder, the new one included.

    A copy that cannot be removed or read is logged: the migration is done.

    Args:
        native: a connection to the database.
        made: the new copy.
        path: the database, for its name.
    """
    try:
        copies = [copy for copy in _copies(native, path, made.parent) if copy.path != made]
        for copy in sorted(copies)[: -(KEPT_COPIES - 1)]:
            copy.path.unlink(missing_ok=True)
    except OSError:
        _log.warning("cannot remove old copies of %s", path, exc_info=True)


class _Copy(NamedTuple):
    """A copy; copies sort in the order in which they were made: see _next_name()."""

    number: int
    version: int
    path: Path


def _next_name(name: str, version: int, folder: Path) -> Path:
    """The name of a new copy.

    Copies without a number were made in the order of their versions, and before all copies with a number. A
    new copy gets no number only if that stays true: not after a restored database was migrated again. A name
    with a foreign log beside it is left out. In a folder that cannot be listed it is the first free name.
    """
    named: list[_Copy] = []
    with contextlib.suppress(OSError):
        named = list(_named_like_copies(name, folder))
    highest = max((copy.number for copy in named), default=1)
    stem = folder / f"{name}.v{version}"
    numbered = (Path(f"{stem}.{number}.bak") for number in count(highest + 1))
    is_first = highest == 1 and all(copy.version < version for copy in named)
    target = Path(f"{stem}.bak") if is_first else next(numbered)
    while os.path.lexists(target) or leftover_log(target) is not None:
        target = next(numbered)
    return target


def _named_like_copies(name: str, folder: Path) -> Iterator[_Copy]:
    pattern = re.compile(re.escape(name) + r"\.v([1-9]\d*)(?:\.([1-9]\d*))?\.bak", re.ASCII)
    for entry in folder.iterdir():
        if match := pattern.fullmatch(entry.name):
            yield _Copy(int(match[2] or 1), int(match[1]), entry)


def _copies(native: sqlite3.Connection, path: str, folder: Path) -> Iterator[_Copy]:
    """The copies that, by their own lineage, are of this database; a folder may hold further ones."""
    database = read_lineage(native)
    for copy in _named_like_copies(Path(path).name, folder):
        try:
            with contextlib.closing(open_as_it_lies(copy.path)) as found:
                is_ours = check_ownership(found, str(copy.path), may_be_older=True) == copy.version
                if is_ours and read_lineage(found).is_of_the_same_database_as(database):
                    yield copy
        except SchemaError:
            continue
        except sqlite3.Error as error:
            _log.warning(
                "%s cannot be read (%s); it stays, and is no copy of %s", copy.path, error, path
            )
