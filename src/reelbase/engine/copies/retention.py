"""Retention: makes a copy of a database in a folder, and removes older copies.

Each copy holds the id of its database, its own name, and its number: greater than the number of every copy
that lay in the folder when it was begun. No clock is asked. A file counts as a copy only while it has the
name that it was given, so a copy that was renamed, or put in the place of a database, is never removed; and
only while it has no side files, which mean that it is in use.

Copies that are made at the same time may get the same number. Only copies with a smaller number than the
new one are removed: they were complete before the new one was begun.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from reelbase.engine.copies.backup import OnStep, translated, write_copy
from reelbase.engine.file.filesystem import sync_folder
from reelbase.engine.file.side_files import SUFFIXES
from reelbase.engine.native.errors import result_code
from reelbase.engine.native.header import application_id
from reelbase.engine.record import Record
from reelbase.engine.schema.identity import (
    DatabaseIdentity,
    mark_as_copy,
    mark_as_original,
    open_as_it_lies,
    read_identity,
    recorded_name,
)
from reelbase.engine.schema.source import APPLICATION_ID
from reelbase.engine.statements.arguments import invalid_argument, wrong_type

_log = logging.getLogger("reelbase")

# A page has 512 bytes or a multiple of them, and a database is made of pages.
_SMALLEST_PAGE_BYTES = 512


class BackupReport(Record, frozen=True):
    """The result of a backup. copy: the new file. removed: the older copies that were removed, oldest
    first."""

    copy: Path
    size_bytes: int
    removed: list[Path]


class _Copy(NamedTuple):
    number: int
    path: Path


def checked_keep(keep: int | None) -> None:
    """Raises TypeError or InvalidArgumentError for a number of copies that cannot be kept."""
    if keep is None:
        return
    if isinstance(keep, bool) or not isinstance(keep, int):
        raise wrong_type("keep", f"must be int, not {type(keep).__name__}")
    if keep < 1:
        raise invalid_argument("keep", f"must be 1 or more, not {keep}")


def make_copy(
    source: sqlite3.Connection,
    target: Path,
    *,
    original: Path | None,
    keep: int | None,
    on_step: OnStep,
) -> BackupReport:
    """write_copy(); then removes older copies of the same database from the folder of target.

    A copy that cannot be removed is logged, since the new copy is made. Copies of version 6 or earlier do
    not hold the id of their database: none is removed, and that is logged.

    Args:
        source: as of write_copy().
        target: the new file.
        original: the file of the source, which never counts as a copy; None: there is none.
        keep: the number of copies that stay in the folder, the new one included; None: all stay.
        on_step: as of write_copy().

    Raises:
        DatabaseError: as of write_copy().
    """
    identity = read_identity(source)
    if identity is None:
        size_bytes = write_copy(source, target, on_step=on_step)
        if keep is not None:
            _log.warning(
                "%s is of an earlier version, whose copies do not say of which database they are; "
                "older ones were not removed. Migrate it, or remove them by hand",
                original,
            )
        return BackupReport(target, size_bytes, [])
    number = _next_number(target.parent, identity.database_id, original, is_needed=keep is not None)
    mark = (
        mark_as_original
        if number is None
        else partial(mark_as_copy, number=number, name=recorded_name(target))
    )
    size_bytes = write_copy(source, target, on_step=on_step, mark=mark)
    removed = []
    if keep is not None and number is not None:
        removed = _remove_older(_Copy(number, target), identity.database_id, original, keep)
    return BackupReport(target, size_bytes, removed)


def _next_number(
    folder: Path, database_id: str, original: Path | None, *, is_needed: bool
) -> int | None:
    """The number of a new copy. None for a folder that cannot be listed; an error if is_needed."""
    highest = 0
    try:
        for path in _perhaps_databases(folder, original):
            with contextlib.suppress(sqlite3.Error):
                identity = _look_into(path)
                if identity is not None and identity.database_id == database_id:
                    highest = max(highest, identity.copy_number or 0)
    except OSError:
        if is_needed and folder.is_dir():
            with translated(f"looking for older copies in {folder}"):
                raise
        return None
    return highest + 1


def _remove_older(made: _Copy, database_id: str, original: Path | None, keep: int) -> list[Path]:
    removed = []
    try:
        others = list(_copies(made.path.parent, database_id, original))
        older = sorted(copy for copy in others if copy.number < made.number)
        # The new copy itself, and copies that were made at the same time, or later.
        beside = len(others) - len(older)
        for copy in older[: max(0, len(older) - max(0, keep - beside))]:
            if _is_removed(copy.path):
                removed.append(copy.path)
        if removed:
            sync_folder(made.path.parent)
    except OSError:
        _log.warning("cannot look for older copies beside %s", made.path, exc_info=True)
    return removed


def _is_removed(copy: Path) -> bool:
    try:
        copy.unlink()
    except FileNotFoundError:  # another process was first
        return False
    except OSError:
        _log.warning("cannot remove the older copy %s", copy, exc_info=True)
        return False
    _log.info("removed the older copy %s", copy)
    return True


def _copies(folder: Path, database_id: str, original: Path | None) -> Iterator[_Copy]:
    for path in _perhaps_databases(folder, original):
        try:
            identity = _look_into(path)
        except sqlite3.Error as error:
            if result_code(error) == sqlite3.SQLITE_CORRUPT:
                _log.warning(
                    "%s is damaged, and so does not say which database it is: it does not count as a"
                    " copy, and is not removed",
                    path,
                )
            continue
        if (
            identity is not None
            and identity.database_id == database_id
            and identity.copy_number is not None
            and identity.copy_name == recorded_name(path)
            and not any(os.path.lexists(f"{path}{suffix}") for suffix in SUFFIXES)
        ):
            yield _Copy(identity.copy_number, path)


def _perhaps_databases(folder: Path, original: Path | None) -> Iterator[Path]:
    """The files with a size that a database may have: the folder may hold thousands of media files, too."""
    found = None
    if original is not None:
        with contextlib.suppress(OSError):
            found = os.stat(original)
    with os.scandir(folder) as entries:
        for entry in entries:
            # Closing a -shm that this process uses would drop its locks, even if SQLite closes it.
            if entry.name.endswith(SUFFIXES):
                continue
            try:
                # Not entry.stat(), which has no inode on Windows.
                status = os.stat(entry.path, follow_symlinks=False)
            except OSError:  # another process has just removed it
                continue
            is_whole_pages = status.st_size > 0 and status.st_size % _SMALLEST_PAGE_BYTES == 0
            if not is_whole_pages or not stat.S_ISREG(status.st_mode):
                continue
            if found is None or not os.path.samestat(found, status):
                yield Path(entry.path)


def _look_into(path: Path) -> DatabaseIdentity | None:
    with contextlib.closing(open_as_it_lies(path)) as native:
        return read_identity(native) if application_id(native) == APPLICATION_ID else None
