"""Backup and restore of a database file; no Database of this process needs to have it open."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from reelbase.engine.copies.retention import BackupReport, checked_keep
from reelbase.engine.file.paths import file_path
from reelbase.engine.maintenance.restore import back_up_file, restore_file
from reelbase.engine.native.setup import Setup, checked_setup
from reelbase.engine.threads.connection import Connection
from reelbase.engine.threads.copying import Copying, Progress


async def restore(
    backup: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    busy_timeout: float = 5.0,
    progress: Progress | None = None,
    setup: Setup | None = None,
) -> Path | None:
    """Puts a copy of backup, a database of this or an earlier version, in the place of target.

    All processes must have closed target first. The copy is complete and verified before target is
    touched, and replaces it in one step: after a crash target is the old database or the new one. A
    missing target is created; an existing one keeps its permissions. Except for CommitUncertainError, an
    error leaves target unchanged.

    Args:
        backup: the copy, of this or an earlier schema version.
        target: the database to replace.
        busy_timeout: seconds to wait for another process that has locked target.
        progress: called with (pages copied, pages in all), on the event loop.
        setup: as in connect().

    Returns:
        Where a damaged target, or the side files of a deleted one, were moved to; else None.

    Raises:
        SchemaError: backup or target is no reelbase database, or backup is newer than this release.
        DatabaseBusyError: another process has target open (code in_use).
        DatabaseCorruptError: the backup is damaged.
        DatabaseFullError: there is no room for the copy.
        DatabaseIOError: the file system refuses an access.
        CommitUncertainError: target is replaced, but its folder cannot be synced.
    """
    connection = Connection()  # its thread; the files are opened and closed on it
    try:
        copying = Copying(progress, has_ended=lambda: False)
        return await copying.finish(
            connection.call(
                partial(
                    restore_file,
                    file_path(backup, "backup"),
                    file_path(target, "target"),
                    busy_timeout_seconds=busy_timeout,
                    on_step=copying.on_step,
                    setup=checked_setup(setup),
                )
            )
        )
    finally:
        connection.close_soon()


async def backup(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    keep: int | None = None,
    busy_timeout: float = 5.0,
    progress: Progress | None = None,
    setup: Setup | None = None,
) -> BackupReport:
    """Copies a database as Database.backup() does; other processes may have it open and write to it.

    A database of an earlier schema version is copied as it is, without a migration.

    Args:
        path: the database.
        target: the copy, a new file.
        keep: as in Database.backup(). Below schema version 7 no older copy is removed, and a warning is
            logged: such a copy does not say which database it belongs to.
        busy_timeout: seconds to wait for another process that has locked the database.
        progress: called with (pages copied, pages in all), on the event loop.
        setup: as in connect().

    Returns:
        The path and the size of the copy, and the older copies that were removed.

    Raises:
        SchemaError: path is no reelbase database, or newer than this release.
        DatabaseIOError: path does not exist (code missing), target does (code exists), or the file
            system refuses an access.
        DatabaseFullError: there is no room for the copy.
        DatabaseCorruptError: the database is damaged.
        DatabaseBusyError: the database stayed locked for busy_timeout.
    """
    checked_keep(keep)
    place, copy = file_path(path), file_path(target, "target")
    connection = Connection()  # its thread; the files are opened and closed on it
    try:
        copying = Copying(progress, has_ended=lambda: False)
        return await copying.finish(
            connection.call(
                partial(
                    back_up_file,
                    place,
                    copy,
                    keep=keep,
                    busy_timeout_seconds=busy_timeout,
                    on_step=copying.on_step,
                    setup=checked_setup(setup),
                )
            )
        )
    finally:
        connection.close_soon()
