"""Opening a path: checks that the file is the library's, makes it if need be, and sets its journal mode."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal, cast

import msgspec

from reelbase.engine.file import new_file
from reelbase.engine.file.connections import ConnectionSettings, NativeConnection, open_native
from reelbase.engine.file.mounts import PROC_MOUNTS
from reelbase.engine.file.open_files import (
    FileConnection,
    Mode,
    journal_mode_of,
    open_file,
    refuse_inherited,
)
from reelbase.engine.file.read_only import open_to_read
from reelbase.engine.file.refusals import explained
from reelbase.engine.file.side_files import is_at_rest, refuse_misplaced
from reelbase.engine.file.stale_log import read_header, refuse_stale_log
from reelbase.engine.maintenance.upgrade import bring_up_to_date, check, create
from reelbase.engine.native.errors import result_code
from reelbase.engine.native.header import application_id, is_empty
from reelbase.engine.native.pragmas import set_pragma
from reelbase.engine.native.setup import Setup
from reelbase.engine.schema.chain import Migrations
from reelbase.engine.schema.drift import settle
from reelbase.engine.schema.source import APPLICATION_ID, check_ownership
from reelbase.engine.schema.statistics import remove_statistics
from reelbase.errors import DatabaseBusyError, DatabaseError, DatabaseIOError, SchemaError

_log = logging.getLogger("reelbase")

Refuse = Callable[[sqlite3.Connection, str], object]
OnMade = Callable[[Path], object]

_RETRY_SECONDS = 0.02

# The errors of a WAL database without a usable -shm: SQLITE_IOERR_SHMOPEN, SHMLOCK, SHMMAP, and LOCK (9p
# servers that do not report a lock's holder). Not SHMSIZE: that is a full disk.
_NO_SHARED_MEMORY = frozenset({4618, 5130, 5386, 3850})
# SQLITE_READONLY_ROLLBACK.
_NEEDS_ROLLBACK = 776


def _ignore(path: Path) -> None:
    pass


def prepare_file(
    path: Path,
    *,
    create: bool,
    refuse: Refuse,
    busy_timeout_seconds: float,
    mounts: str | os.PathLike[str] = PROC_MOUNTS,
    on_made: OnMade = _ignore,
) -> Literal["wal", "delete"] | None:
    """Makes an empty file if there is none, and refuses a foreign one without changing it.

    Args:
        path: the file.
        create: whether a missing file is made.
        refuse: called with a connection to an existing database, and its path; raises SchemaError to
            refuse it.
        busy_timeout_seconds: how long to wait for a lock.
        mounts: a table in the format of /proc/mounts.
        on_made: called with the path once a file was made.

    Returns:
        The journal mode of an existing database; None for a new one.
    """
    if size_of_usable_file(path, create=create, mounts=mounts, on_made=on_made) == 0:
        return None
    return _inspect(path, busy_timeout_seconds, refuse)


def size_of_usable_file(
    path: Path,
    *,
    create: bool,
    mounts: str | os.PathLike[str] = PROC_MOUNTS,
    on_made: OnMade = _ignore,
) -> int:
    """The bytes of a file that may be a database: a regular one with one name, with side files that
    lie beside it and are its own.

    It never opens an existing file directly: closing any descriptor of it would drop every POSIX lock
    that this process holds on it (sqlite.org/howtocorrupt.html, 2.2).

    Args:
        path: the file.
        create: whether a missing file is made.
        mounts: a table in the format of /proc/mounts.
        on_made: called with the path once a file was made.

    Raises:
        DatabaseIOError: code missing, directory, not_regular, and further codes.
        SchemaError: code hard_linked, side_files or stale_log.
    """
    try:
        refuse_inherited(path)
        refuse_misplaced(path, mounts=mounts)
        status = _stat_or_create(path, create=create, on_made=on_made)
    except OSError as error:
        raise DatabaseIOError(
            f"cannot open {path}: {error.strerror}", details={"path": str(path)}
        ) from error
    if stat.S_ISDIR(status.st_mode):
        inside = path / "media.db"
        raise DatabaseIOError(
            f"{path} is a directory; name the file in it, such as {inside}{_of_docker(path)}",
            code="directory",
        )
    if not stat.S_ISREG(status.st_mode):
        raise DatabaseIOError(f"{path} is no regular file", code="not_regular")
    if status.st_nlink > 1:
        raise SchemaError(
            f"{path} has {status.st_nlink} hard links; SQLite's -wal and journal belong to one name "
            "only, so that opening it by another loses data. Copy it, or remove the other names",
            code="hard_linked",
            details={"path": str(path), "links": status.st_nlink},
        )
    refuse_stale_log(path)
    return status.st_size


def _of_docker(path: Path) -> str:
    if not os.path.ismount(path):
        return ""
    return " and a mount point; Docker makes one where the file to be mounted does not exist"


def _stat_or_create(path: Path, *, create: bool, on_made: OnMade) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:
        if not create:
            raise DatabaseIOError(
                f"{path} does not exist", code="missing", details={"path": str(path)}
            ) from None
    if new_file.make(path):
        on_made(path)
    return path.stat()


def _inspect(path: Path, busy_timeout_seconds: float, refuse: Refuse) -> Literal["wal", "delete"]:
    """Checks an existing file by refuse, without changing it, and returns its journal mode."""
    try:
        try:
            return _look_into(path, _way_to_look(path), busy_timeout_seconds, refuse)
        except sqlite3.Error as error:
            alone = _lacks_shared_memory(error)
            if not alone and result_code(error) != sqlite3.SQLITE_READONLY:
                raise
        # A crash left a journal that only a writer may roll back, or the filesystem has no shared
        # memory. The file's owner can be read all the same: from its header, without locks.
        with (
            # A file whose journal is still to be rolled back may be torn: then its header is no use.
            contextlib.suppress(sqlite3.DatabaseError),
            contextlib.closing(open_file(path, "immutable=1", busy_timeout_seconds)) as native,
        ):
            if application_id(native) not in (0, APPLICATION_ID):
                check_ownership(native, str(path), may_be_older=True)
        return _look_into(path, "mode=rw", busy_timeout_seconds, refuse, alone=alone)
    except sqlite3.Error as error:
        raise explained(error, f"opening {path}", path) from error


def _way_to_look(path: Path) -> Mode:
    # A read-only connection changes nothing after a crash: closing a writable one would fold the -wal in,
    # opening one would roll a journal back. But a read-only connection to a cleanly closed WAL database
    # creates -wal and -shm and leaves them; a writable one removes them when it closes.
    return "mode=rw" if is_at_rest(path) else "mode=ro"


def _lacks_shared_memory(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) in _NO_SHARED_MEMORY


def _look_into(
    path: Path,
    how: Mode,
    busy_timeout_seconds: float,
    refuse: Refuse,
    *,
    alone: bool = False,
) -> Literal["wal", "delete"]:
    """The journal mode of a file that is empty, or that refuse allows. alone: with exclusive locks."""
    with contextlib.closing(open_file(path, how, busy_timeout_seconds)) as native:
        if alone:
            set_pragma(native, "locking_mode", "exclusive")
        if not is_empty(native):
            refuse(native, str(path))
        return "wal" if journal_mode_of(native) == "wal" else "delete"


def open_writer(
    settings: ConnectionSettings,
    *,
    migrate: bool,
    own: Migrations | None = None,
    backup_dir: Path | None = None,
    is_new: bool = False,
    may_fall_back: bool = False,
) -> NativeConnection:
    """Opens the writer, on the calling thread: journal mode set and verified, schema up to date.

    Args:
        settings: of the database.
        migrate: whether pending migrations are run; else they are an error.
        own: the application's migrations, which are run, too.
        backup_dir: the folder of the copy before a migration; None: beside the database.
        is_new: the file was made for this call, and is removed if the call fails.
        may_fall_back: whether a rollback journal is allowed instead of WAL without shared memory.

    Raises:
        SchemaError: as of check() and bring_up_to_date().
        DatabaseError: code journal_mode, when the journal mode cannot be set; or an error of SQLite.
    """
    open_it = partial(_open_writer, migrate=migrate, own=own, backup_dir=backup_dir)
    try:
        try:
            return open_it(settings, alone=False)
        except sqlite3.Error as error:
            if not _lacks_shared_memory(error):
                raise
            # A WAL database on a filesystem without shared memory: it was moved there, or SQLite marked it
            # as WAL before it noticed. All are locked out until a new connection changes the mode back.
            delete = msgspec.structs.replace(settings, journal_mode="delete")
            native = open_it(delete, alone=True)
            if settings.journal_mode == "delete" or may_fall_back:
                return native
            native.close()
            raise DatabaseError(
                f"{settings.path} cannot be in journal mode wal: its filesystem offers no shared "
                f"memory ({error}); it has a rollback journal now; pass "
                "journal='delete' to keep that",
                code="journal_mode",
                details={"wanted": "wal", "actual": "delete"},
            ) from error
    except sqlite3.Error as error:
        if is_new:
            new_file.discard(settings.path)
        raise explained(error, f"opening {settings.path}", settings.path) from error
    except BaseException:
        if is_new:
            new_file.discard(settings.path)
        raise


def _open_writer(
    settings: ConnectionSettings,
    *,
    migrate: bool,
    own: Migrations | None,
    backup_dir: Path | None,
    alone: bool,
) -> NativeConnection:
    native = open_native(settings, "writer", alone=alone)
    try:
        if settings.journal_mode != "memory":
            _set_journal_mode(native, settings)
        if alone:
            set_pragma(native, "locking_mode", "normal")
        if is_empty(native):  # its read releases the exclusive locks
            create(native, settings.path, own)
        checked = check(native, settings.path, migrate=migrate, own=own)
        if checked.left:
            bring_up_to_date(native, settings.path, own=own, backup_dir=backup_dir)
        elif not checked.is_settled:
            settle(native, settings.path)
        _remove_statistics(native, settings.path)
        if native.file is not None:
            native.file.guard(settings.path, settings.journal_mode)
    except BaseException:
        native.close()
        raise
    return native


def _remove_statistics(native: sqlite3.Connection, path: str) -> None:
    """Removes statistics of the library's tables. An error (locked, read-only, full, damaged there) is
    logged: it is no reason not to open the file."""
    try:
        if remove_statistics(native):
            _log.info(
                "%s: removed the statistics that another program's ANALYZE had gathered", path
            )
    except sqlite3.DatabaseError as error:
        _log.warning(
            "%s: cannot remove statistics of ANALYZE (%s); those that the file has may slow statements down",
            path,
            error,
        )


def _set_journal_mode(native: sqlite3.Connection, settings: ConnectionSettings) -> None:
    """Sets the mode and verifies it. SQLite switches only while this is the only connection to the file."""
    deadline = time.monotonic() + settings.busy_timeout_seconds
    wanted = settings.journal_mode
    while True:
        try:
            actual = _try_journal_mode(native, wanted)
        except sqlite3.Error as error:
            if result_code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            if time.monotonic() >= deadline:
                raise DatabaseBusyError(
                    f"{settings.path} must change to journal mode {wanted}, but another process has "
                    "it open; close that one, or pass journal= to keep the mode it has",
                    code="journal_mode",
                ) from error
        else:
            if actual == wanted:
                return
            raise DatabaseError(
                f"{settings.path}: SQLite keeps journal mode {actual}, not {wanted}; "
                "the filesystem may not support it",
                code="journal_mode",
                details={"wanted": wanted, "actual": actual},
            )
        time.sleep(_RETRY_SECONDS)


def _try_journal_mode(
    native: sqlite3.Connection, wanted: Literal["wal", "delete", "memory"]
) -> str:
    """Asks for the mode, and returns the mode that the file then has."""
    actual = journal_mode_of(native)
    if actual != wanted:
        change = "PRAGMA journal_mode = WAL" if wanted == "wal" else "PRAGMA journal_mode = DELETE"
        (actual,) = native.execute(change).fetchone()
        native.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return str(actual)


def prepare_to_read(
    path: Path, *, mounts: str | os.PathLike[str] = PROC_MOUNTS
) -> Literal["wal", "delete"]:
    """The journal mode of an existing file, which is not changed.

    Raises SchemaError (code empty), and the errors of size_of_usable_file().
    """
    if size_of_usable_file(path, create=False, mounts=mounts) == 0:
        raise SchemaError(
            f"{path} is empty; connect() without read_only makes it a database",
            code="empty",
            details={"path": str(path)},
        )
    try:
        header = read_header(os.path.realpath(path))
    except sqlite3.Error as error:
        raise explained(error, f"opening {path}", path) from error
    except OSError as error:
        raise DatabaseIOError(
            f"cannot open {path}: {error}", details={"path": str(path)}
        ) from error
    return "wal" if header is not None and header.is_wal else "delete"


def open_read_only(settings: ConnectionSettings, *, own: Migrations | None) -> NativeConnection:
    """A read-only connection, on the calling thread. Raises SchemaError unless the file has the schema of
    this release and the application's migrations."""
    path = settings.path
    try:
        native = open_native(settings, "reader")
        try:
            check(native, path, migrate=False, own=own)
            native.refuse_changed()
        except BaseException:
            native.close()
            raise
    except SchemaError as error:
        if error.code != "older":
            raise
        name = error.details.get("application")
        option = f" --own {name} FOLDER" if name else ""
        raise SchemaError(
            f"{path} lacks migrations, and what is opened read-only is not migrated: connect() without "
            f"read_only, or run `reelbase migrate {path}{option}`",
            code="older",
            details=error.details,
        ) from error
    except sqlite3.Error as error:
        raise explained(error, f"opening {path}", path) from error
    except OSError as error:
        raise DatabaseIOError(f"cannot open {path}: {error}", details={"path": path}) from error
    return native


@contextlib.contextmanager
def opened_to_look(
    path: Path, busy_timeout_seconds: float, setup: Setup | None = None
) -> Iterator[FileConnection]:
    """A read-only connection to a file that is empty, or the library's of this version or an older one.
    Nothing is changed, but if a crash has left a rollback journal, and this process may write, it is rolled
    back.

    Args:
        path: the file.
        busy_timeout_seconds: how long to wait for a lock.
        setup: the application's function for connections.

    Raises:
        SchemaError: as of size_of_usable_file() and check_ownership().
        DatabaseIOError: code changed, at the end of the block; or an error of size_of_usable_file().
    """
    size_of_usable_file(path, create=False)
    with contextlib.closing(_open_to_look(path, busy_timeout_seconds)) as native:
        native.set_up(setup, str(path))
        if not is_empty(native):
            check_ownership(native, str(path), may_be_older=True)
        yield native
        native.refuse_changed()


def _open_to_look(path: Path, busy_timeout_seconds: float) -> NativeConnection:
    look = partial(open_to_read, path, busy_timeout_seconds, factory=NativeConnection)
    try:
        return cast(NativeConnection, look())
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) != _NEEDS_ROLLBACK:
            raise
    _inspect(path, busy_timeout_seconds, partial(check_ownership, may_be_older=True))
    return cast(NativeConnection, look())
