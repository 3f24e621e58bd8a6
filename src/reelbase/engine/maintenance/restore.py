"""Backups of a file by its path, and the restore of a backup in the place of a database.

A database is replaced by renaming one file, in one step. The danger lies in the side files: SQLite would
play a write-ahead log or journal of the old database into the new one. So the old database is first brought
to rest, complete in its one file without side files, and kept locked while the new one takes its name. A
crash leaves the old or the new database, and never a mixture.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from reelbase.engine.copies.backup import (
    OnStep,
    give_name,
    translated,
    verified_copy,
)
from reelbase.engine.copies.retention import BackupReport, make_copy
from reelbase.engine.file.filesystem import sync_folder, take_mode, take_owner
from reelbase.engine.file.open_files import journal_mode_of, open_file, refuse_inherited
from reelbase.engine.file.paths import real_path
from reelbase.engine.file.processes import processes_with
from reelbase.engine.file.refusals import refuse_without_locks
from reelbase.engine.file.side_files import SUFFIXES, beside, refuse_misplaced
from reelbase.engine.maintenance.opening import opened_to_look
from reelbase.engine.native.errors import result_code
from reelbase.engine.native.header import application_id, is_empty
from reelbase.engine.native.pragmas import path_of
from reelbase.engine.native.setup import Setup
from reelbase.engine.schema.identity import mark_as_original
from reelbase.engine.schema.source import APPLICATION_ID, check_ownership
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.errors import CommitUncertainError, DatabaseBusyError, DatabaseIOError, SchemaError


def back_up_file(
    path: Path,
    target: Path,
    *,
    keep: int | None,
    busy_timeout_seconds: float,
    on_step: OnStep,
    setup: Setup | None,
) -> BackupReport:
    """Copies a database, on the calling thread. Another process may have it open.

    Args:
        path: the database.
        target: the new file.
        keep: as of make_copy().
        busy_timeout_seconds: how long to wait for a lock.
        on_step: as of write_copy().
        setup: the application's function for connections.
    """
    with (
        translated(f"backing up {path}", path),
        _opened(path, busy_timeout_seconds, setup) as source,
    ):
        return make_copy(source, target, original=path, keep=keep, on_step=on_step)


def restore_file(
    backup: Path,
    target: Path,
    *,
    busy_timeout_seconds: float,
    on_step: OnStep,
    setup: Setup | None = None,
) -> Path | None:
    """restore(), on the calling thread.

    Args:
        backup: the file to restore.
        target: the database that it replaces, or a new file.
        busy_timeout_seconds: how long to wait for a lock.
        on_step: as of write_copy().
        setup: the application's function for connections.

    Returns:
        The name under which a damaged target, or side files without a target, were set aside; None if
        there were none.
    """
    place = real_path(target)  # side files follow the real name of a database
    if place == real_path(backup):
        raise invalid_argument("target", f"{backup} cannot be restored to itself", is_public=False)
    refuse_misplaced(place)
    with translated(f"restoring {backup} to {target}", place):
        if place.exists():
            refuse_if_open(place)
        with (
            _opened(backup, busy_timeout_seconds, setup) as source,
            verified_copy(source, place, on_step, mark_as_original) as copy,
        ):
            return _put_in_place(copy, place, busy_timeout_seconds)


@contextlib.contextmanager
def _opened(
    path: Path, busy_timeout_seconds: float, setup: Setup | None
) -> Iterator[sqlite3.Connection]:
    """A connection that reads a database of the library."""
    if not path.is_file():
        raise DatabaseIOError(f"{path} is no file", code="missing", details={"path": str(path)})
    with opened_to_look(path, busy_timeout_seconds, setup) as source:
        check_ownership(source, str(path), may_be_older=True)  # refuses an empty one, too
        yield source


def _put_in_place(copy: Path, target: Path, busy_timeout_seconds: float) -> Path | None:
    set_aside = None
    if target.exists():
        status = target.stat()
        take_owner(copy, status)
        take_mode(copy, status)
        try:
            with _at_rest_and_locked(target, busy_timeout_seconds):
                os.replace(copy, target)
        except sqlite3.DatabaseError as error:
            if result_code(error) != sqlite3.SQLITE_CORRUPT or not copy.exists():
                raise
            set_aside = _set_aside(target)
    else:
        set_aside = _set_aside(target)
    if copy.exists():
        give_name(copy, target)
    try:
        sync_folder(target.parent)
    except OSError as error:
        raise CommitUncertainError(
            f"{target} is restored, but its folder cannot be synced ({error.strerror}): after a power cut"
            " the database before may be there again. Look at the disk, then restore once more",
            details={"path": str(target)},
        ) from error
    return set_aside


@contextlib.contextmanager
def _at_rest_and_locked(target: Path, busy_timeout_seconds: float) -> Iterator[None]:
    """Inside the block the database is complete in its one file, under an exclusive lock."""
    native = open_file(target, "mode=rw", busy_timeout_seconds)
    try:
        with contextlib.closing(native):
            # Exclusive from the first lock on: it fails while another connection has a WAL database open.
            native.execute("PRAGMA locking_mode = EXCLUSIVE").close()
            _refuse_foreign(native, target)
            bring_to_rest(native)
            # An exclusive connection keeps its journal, and would delete the next owner's.
            native.execute("PRAGMA locking_mode = NORMAL").close()
            native.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            native.execute("BEGIN EXCLUSIVE")
            if any(map(os.path.lexists, beside(target))) or journal_mode_of(native) != "delete":
                raise in_use(target, "another connection opened it just now")
            yield
    except sqlite3.OperationalError as error:
        if result_code(error) == sqlite3.SQLITE_BUSY:
            refuse_without_locks(target, f"restoring to {target}")
            raise in_use(target, "another connection has locked it") from error
        raise


def bring_to_rest(native: sqlite3.Connection) -> None:
    """Moves the changes in a write-ahead log into the file; a journal of a crash is rolled back already."""
    native.execute("BEGIN EXCLUSIVE")
    native.execute("COMMIT")
    native.execute("PRAGMA journal_mode = DELETE").close()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path_of(native)}-shm")  # left by a crash; an exclusive connection has none


def _refuse_foreign(native: sqlite3.Connection, target: Path) -> None:
    try:
        is_foreign = application_id(native) != APPLICATION_ID and not is_empty(native)
    except sqlite3.DatabaseError as error:
        if result_code(error) != sqlite3.SQLITE_NOTADB:
            raise
        is_foreign = True
    if is_foreign:
        raise SchemaError(
            f"{target} is not a reelbase database, and is not replaced; choose another path, or move "
            "it away first",
            code="foreign",
            details={"path": str(target)},
        )


def _set_aside(target: Path) -> Path | None:
    """Renames a database and its side files, and returns the new name; None if there is no such file."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    aside = target.with_name(f"{target.name}.set-aside-{moment}")
    found = False
    for suffix in ("", *SUFFIXES):
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{target}{suffix}", f"{aside}{suffix}")
            found = True
    return aside if found else None


def refuse_if_open(target: Path, what: str = "restore", *, besides: int | None = None) -> None:
    """Raises DatabaseBusyError (code in_use) if a process has the file open, as far as Linux shows it.

    A lock does not serve: an idle connection on a rollback journal holds none.

    Args:
        target: the file.
        what: the verb of the operation, for the error.
        besides: a descriptor of this process that does not count.
    """
    refuse_inherited(target)
    for process in processes_with(target, besides=besides):
        raise in_use(target, f"process {process} has it open", what)


def in_use(target: Path, why: str, what: str = "restore") -> DatabaseBusyError:
    """The error for a database that is in use.

    Args:
        target: the file.
        why: the reason to think so.
        what: the verb of the operation that is to be repeated.
    """
    return DatabaseBusyError(
        f"{target} is in use ({why}); stop what uses it, and {what} again. Nothing was changed",
        code="in_use",
        details={"path": str(target)},
    )
