"""Backups of files that no Database of this process need have open, and putting one in its place."""

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

    Everybody must have closed target first. The copy is complete and verified before target is
    touched, and takes its place at one moment: after a crash target is the old database or the new
    one. Where there is no target yet it is made; it keeps the permissions of the one before.

    setup: as in connect().

    None; or where a target that is damaged, or files that belonged to a deleted one, were moved to.

    Raises SchemaError when backup or target are not reelbase databases, or backup is newer than this
    release; DatabaseBusyError (code in_use) when somebody has target open; DatabaseCorruptError for a
    damaged backup; DatabaseFullError, DatabaseIOError. target is then as it was.
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
    """Copies a database that others may have open and write, as Database.backup() does.

    It may be of an earlier version, and is not brought up to date. keep: as in Database.backup(); of
    an earlier version than 7 no copy is removed, and a warning logged: such a copy does not say of
    which database it is. setup: as in connect().

    Raises SchemaError when path is no reelbase database, or newer than this release;
    DatabaseIOError (code missing, exists), DatabaseFullError, DatabaseCorruptError, DatabaseBusyError.
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
