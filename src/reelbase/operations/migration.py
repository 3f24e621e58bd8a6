"""Migrating a file from one schema version to another, for commands and installers.

An application does not need this module: connect() migrates.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from reelbase.engine.copies.backup import translated, write_copy
from reelbase.engine.copies.safety_copies import newest_copy
from reelbase.engine.file.connections import ConnectionSettings, open_native, open_set_up
from reelbase.engine.file.filesystem import remove
from reelbase.engine.file.paths import file_path, folder_path
from reelbase.engine.file.side_files import SUFFIXES
from reelbase.engine.maintenance.adoption import adopt as adopt_native
from reelbase.engine.maintenance.opening import opened_to_look, prepare_file, size_of_usable_file
from reelbase.engine.maintenance.upgrade import OnProgress, Upgrade, bring_up_to_date, check
from reelbase.engine.native.errors import translate
from reelbase.engine.native.header import is_empty, user_version
from reelbase.engine.native.setup import Setup, checked_setup
from reelbase.engine.record import Record
from reelbase.engine.schema import ledger
from reelbase.engine.schema.chain import Migrations
from reelbase.engine.schema.ledger import AppliedMigration
from reelbase.engine.schema.source import SCHEMA_VERSION
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.threads.connection import on_a_thread
from reelbase.engine.threads.mailbox import notify
from reelbase.errors import DatabaseIOError, SchemaError

_log = logging.getLogger("reelbase")

Progress = Callable[[str, int, int], None]


class MigrationStep(Record, frozen=True):
    """A migration that was run, or would be. application: the application's name; None: reelbase itself."""

    application: str | None
    version: int
    name: str


class MigrationReport(Record, frozen=True):
    """The result of migrate(): the migrations that it ran, or would run.

    steps: in order; empty: none was pending.  copy: the safety copy, the database as it was before; None
    when nothing was migrated.
    """

    from_version: int
    to_version: int
    steps: list[MigrationStep]
    copy: Path | None
    is_dry_run: bool


async def migrate(
    path: str | os.PathLike[str],
    *,
    to: int | None = None,
    dry_run: bool = False,
    migrations: Migrations | None = None,
    backup_dir: str | os.PathLike[str] | None = None,
    busy_timeout: float = 5.0,
    progress: Progress | None = None,
    setup: Setup | None = None,
) -> MigrationReport:
    """Makes a safety copy, and migrates a database to a schema version, all in one transaction.

    If the call fails or its process is killed, the database keeps the version that it had.

    Args:
        path: the database.
        to: the schema version; None: the newest, followed by the application's own migrations.
        dry_run: runs the migrations on a temporary copy, and leaves the database unchanged.
        migrations: the application's own migrations, as in connect().
        backup_dir: the folder of the safety copy, created if missing; None: the folder of the database.
        busy_timeout: seconds to wait for another process that writes or migrates.
        progress: called with (what, done, total), on the event loop.
        setup: as in connect().

    Returns:
        The migrations that were run, or with dry_run would be, and the safety copy.

    Raises:
        ValueError: this release does not know the version.
        SchemaError: code downgrade for an older version than the file has; code foreign, newer,
            unversioned, drifted, edited, gap, broken_reference, ….
        DatabaseFullError: no room for the copy and the migrations; the details hold the figures.
        DatabaseBusyError: another process kept the database locked.
        DatabaseIOError: the file system refuses an access.
    """
    if to is not None and not 1 <= to <= SCHEMA_VERSION:
        raise invalid_argument("to", f"must be 1 to {SCHEMA_VERSION}, not {to}")
    place = file_path(path)
    loop = asyncio.get_running_loop()

    def on_progress(what: str, done: int, total: int) -> None:
        if progress is not None:
            notify(loop, progress, what, done, total)

    copies = None if backup_dir is None else folder_path(backup_dir, "backup_dir")
    work = _rehearse if dry_run else partial(_upgrade, backup_dir=copies)
    upgrade = await on_a_thread(
        partial(work, place, to, migrations, busy_timeout, on_progress, checked_setup(setup))
    )
    return MigrationReport(
        from_version=upgrade.from_version,
        to_version=upgrade.to_version,
        steps=[MigrationStep(step.application, step.version, step.name) for step in upgrade.steps],
        copy=upgrade.copy,
        is_dry_run=dry_run,
    )


async def adopt(
    path: str | os.PathLike[str], *, busy_timeout: float = 5.0, setup: Setup | None = None
) -> int:
    """Restores the marks of a database that has lost them, for example because it was read from a dump.

    The marks are the application id, the schema version and the ledger. They are set only if the tables,
    indexes and triggers are exactly those of a known version; a database that has its marks stays as it
    is. An error leaves the database unchanged.

    Args:
        path: the database.
        busy_timeout: seconds to wait for another process that has locked it.
        setup: as in connect().

    Returns:
        The schema version.

    Raises:
        SchemaError: the schema is that of no known version (code unknown_schema; details: the nearest
            version and the differences), or the database is foreign or edited.
    """
    return await on_a_thread(partial(_adopt, file_path(path), busy_timeout, checked_setup(setup)))


async def migration_history(
    path: str | os.PathLike[str], *, busy_timeout: float = 5.0
) -> list[AppliedMigration]:
    """The ledger: the applied migrations of reelbase in order, then the migrations of each application.

    It only reads, and also takes a database of an older version.
    """
    return await on_a_thread(partial(_history, file_path(path), busy_timeout))


def _open(
    path: Path, own: Migrations | None, busy_timeout: float, setup: Setup | None
) -> sqlite3.Connection:
    """A connection that can write, to a file that may be migrated, in the file's own journal mode."""
    mode = prepare_file(
        path,
        create=False,
        refuse=partial(check, migrate=True, own=own),
        busy_timeout_seconds=busy_timeout,
    )
    if mode is None:
        raise _empty(path)
    return open_native(ConnectionSettings(str(path), mode, busy_timeout, setup), "writer")


def _empty(path: Path) -> SchemaError:
    return SchemaError(
        f"{path} is empty; `reelbase init` makes it a database, as connect() does",
        code="empty",
        details={"path": str(path)},
    )


def _upgrade(
    path: Path,
    to: int | None,
    own: Migrations | None,
    busy_timeout: float,
    progress: OnProgress,
    setup: Setup | None,
    *,
    backup_dir: Path | None,
) -> Upgrade:
    with (
        translated(f"migrating {path}", path),
        contextlib.closing(_open(path, own, busy_timeout, setup)) as native,
    ):
        _refuse_downgrade(native, path, to, backup_dir or path.parent)
        return bring_up_to_date(
            native, str(path), own=own, to=to, backup_dir=backup_dir, on_progress=progress
        )


def _rehearse(
    path: Path,
    to: int | None,
    own: Migrations | None,
    busy_timeout: float,
    progress: OnProgress,
    setup: Setup | None,
) -> Upgrade:
    with translated(f"migrating a copy of {path}", path), _folder_to_try_in(path) as folder:
        copy = folder / path.name
        with opened_to_look(path, busy_timeout, setup) as native:
            if is_empty(native):
                raise _empty(path)
            check(native, str(path), migrate=True, own=own)
            _refuse_downgrade(native, path, to, path.parent)
            write_copy(native, copy, on_step=partial(progress, "copying"))
        with contextlib.closing(_open(copy, own, busy_timeout, setup)) as native:
            return bring_up_to_date(
                native, str(path), own=own, to=to, keeps_copy=False, on_progress=progress
            )


@contextlib.contextmanager
def _folder_to_try_in(path: Path) -> Iterator[Path]:
    """A temporary folder for a copy of a database: beside it, where the upgrade will need the room, or in
    the system's temporary folder if the folder of the database is not writable. It is removed at the end; a
    failure to remove it is logged."""
    folder = _new_folder(path)
    try:
        yield folder
    finally:
        # Not shutil.rmtree(), which recurses for ever in a folder that cannot be listed.
        try:
            remove([f"{folder / path.name}{suffix}" for suffix in ("", *SUFFIXES)])
            folder.rmdir()
        except OSError:
            _log.warning("cannot remove %s, where a migration was tried", folder, exc_info=True)


def _new_folder(path: Path) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=f"{path.name}.", suffix=".dry-run", dir=path.parent))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise DatabaseIOError(
                f"cannot make a copy beside {path} to try it on: {error.strerror}",
                details={"path": str(path)},
            ) from error
    return Path(tempfile.mkdtemp(suffix=".dry-run"))


def _refuse_downgrade(native: sqlite3.Connection, path: Path, to: int | None, copies: Path) -> None:
    version = user_version(native)
    if to is not None and to < version:
        copy = newest_copy(native, str(path), copies, to)
        hint = (
            f"which is {copy}"
            if copy is not None
            else f"if there is one: {copies / path.name}.v{to}.bak is not there"
        )
        raise SchemaError(
            f"{path} has version {version} and nothing leads back to {to}; restore the copy that was"
            f" kept before it was migrated, {hint}. See `reelbase restore --help`",
            code="downgrade",
            details={"path": str(path), "version": version, "to": to},
        )


def _adopt(path: Path, busy_timeout: float, setup: Setup | None) -> int:
    if size_of_usable_file(path, create=False) == 0:
        raise _empty(path)
    try:
        with contextlib.closing(open_set_up(path, "mode=rw", busy_timeout, setup)) as native:
            return adopt_native(native, str(path))
    except sqlite3.Error as error:
        raise translate(error, f"adopting {path}") from error


def _history(path: Path, busy_timeout: float) -> list[AppliedMigration]:
    if size_of_usable_file(path, create=False) == 0:
        raise _empty(path)
    try:
        with opened_to_look(path, busy_timeout) as native:
            return [*ledger.ours(native), *ledger.of_applications(native)]
    except sqlite3.Error as error:
        raise translate(error, f"reading the ledger of {path}") from error
