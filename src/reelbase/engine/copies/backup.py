"""Copies of a database at one moment: made while writers go on, verified, never incomplete."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reelbase.engine.file.connections import NativeConnection, setup_of
from reelbase.engine.file.filesystem import (
    NO_ROOM,
    Need,
    publish,
    refuse_without_room,
    remove,
    sync_file,
    sync_folder,
    take_owner,
)
from reelbase.engine.file.open_files import FileConnection, journal_mode_of
from reelbase.engine.file.refusals import explained
from reelbase.engine.file.side_files import refuse_leftovers
from reelbase.engine.native.errors import result_code, translate
from reelbase.engine.native.extensions import unchecked_tables
from reelbase.engine.native.header import application_id, user_version
from reelbase.engine.native.interruption import interruptible
from reelbase.engine.native.pragmas import path_of
from reelbase.engine.native.transactions import read_transaction
from reelbase.engine.schema.damage import advice, damage_of, is_undamaged
from reelbase.engine.schema.figures import row_counts
from reelbase.engine.schema.search_indexes import DAMAGED
from reelbase.errors import DatabaseCorruptError, DatabaseFullError, DatabaseIOError

_log = logging.getLogger("reelbase")

OnStep = Callable[[int, int], None]
# Changes the copy's own row of database_identity, before the copy is verified.
Mark = Callable[[sqlite3.Connection], None]

# 1 MiB with pages of 4 KiB: long enough to be fast, short enough to let writers in between.
_STEP_PAGES = 256
_BUSY_SECONDS = 0.01
# The number of attempts that let writers in between; the next attempt keeps them out.
_POLITE_ATTEMPTS = 3
# The age from which a partial file is taken for the rest of a killed copy.
_LEFTOVER_SECONDS = 86_400


class _Changed(Exception):
    """Another connection has written during a copy that lets writers in."""


def _ignore(done_pages: int, total_pages: int) -> None:
    pass


def _leave(copy: sqlite3.Connection) -> None:
    pass


def write_copy(
    source: sqlite3.Connection, target: Path, *, on_step: OnStep = _ignore, mark: Mark = _leave
) -> int:
    """Copies a database to the new file target.

    The file gets its name when it is complete, verified and on the disk; before that it is
    ``<target>.<random>.partial``, which is removed in every case. Only its owner may read it: the
    database's owner, as far as this process may give files away.

    The copy is of one moment. On WAL, and if the source is in a read transaction already, that moment is
    the start of the copy. With a rollback journal, writers cannot commit during a read, so they are let in
    between two steps, and the copy restarts if one has written; after the third attempt it keeps them out.

    Args:
        source: a connection that writes nothing meanwhile.
        target: the new file.
        on_step: called with done_pages and total_pages between two steps; an exception ends the copy.
        mark: called with a connection to the copy before it is verified.

    Returns:
        The size of the copy in bytes.

    Raises:
        DatabaseIOError: code exists, target exists already; code missing, its folder does not.
        SchemaError: code stale_log, a log of another database lies beside target.
        DatabaseFullError: there is no room for the copy.
        DatabaseCorruptError: the copy is not sound.
        DatabaseBusyError: a lock was not free.
    """
    with translated(f"copying the database to {target}", target):
        if os.path.lexists(target):
            raise _already_exists(target)
        refuse_leftovers(target)
        with verified_copy(source, target, on_step, mark) as partial:
            size_bytes = partial.stat().st_size
            give_name(partial, target)
        try:
            sync_folder(target.parent)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(target)
            raise
    return size_bytes


def give_name(partial: Path, target: Path) -> None:
    """Renames partial to target, without overwriting a file. Raises DatabaseIOError (code exists)."""
    try:
        publish(partial, target)
    except FileExistsError:
        raise _already_exists(target) from None


@contextlib.contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """An empty file that the block fills, and that is synced and renamed to target after the block.

    A file that has that name by then is not overwritten. When the block raises, the file is removed. Raises
    DatabaseIOError (code exists).
    """
    if os.path.lexists(target):
        raise _already_exists(target)
    with partial_file(target) as partial:
        yield partial
        sync_file(partial)
        give_name(partial, target)
    sync_folder(target.parent)


@contextlib.contextmanager
def translated(context: str, path: Path | None = None) -> Iterator[None]:
    """Turns errors of SQLite and of the operating system into the package's. path: the file of the errors."""
    try:
        yield
    except sqlite3.Error as error:
        if result_code(error) == sqlite3.SQLITE_FULL:
            raise _no_room(context) from error
        if path is not None:
            raise explained(error, context, path) from error
        raise translate(error, context) from error
    except OSError as error:
        if error.errno in NO_ROOM:
            raise _no_room(context) from error
        where = f" ({error.filename})" if error.filename else ""
        raise DatabaseIOError(f"{context}: {error.strerror}{where}") from error


def _no_room(context: str) -> DatabaseFullError:
    return DatabaseFullError(
        f"{context}: no space left on the device; make room there, and try again. Nothing was kept"
    )


@contextlib.contextmanager
def verified_copy(
    source: sqlite3.Connection, target: Path, on_step: OnStep = _ignore, mark: Mark = _leave
) -> Iterator[Path]:
    """A complete, verified and synced copy beside target; removed at the end, unless it was renamed.

    Args:
        source: as of write_copy().
        target: the name that the copy is to get.
        on_step: as of write_copy().
        mark: as of write_copy().
    """
    _refuse_without_room(source, target)
    with partial_file(target) as partial:
        with contextlib.closing(_open_partial(partial)) as copy:
            try:
                expected = _copy(source, copy, on_step)
            except sqlite3.DatabaseError as error:
                if result_code(error) not in DAMAGED:
                    raise
                raise _damaged(source, target) from error
            # A copy of a WAL database would otherwise need a -wal and -shm of its own.
            copy.execute("PRAGMA journal_mode = DELETE").close()
            copy.execute("PRAGMA journal_mode = MEMORY").close()
            copy.set_up(setup_of(source), str(target))
            mark(copy)
            _verify(copy, expected, source, target, on_step)
        if isinstance(source, FileConnection):
            source.refuse_changed()
        sync_file(partial)
        with contextlib.suppress(OSError):  # in memory, or deleted meanwhile
            take_owner(partial, os.stat(path_of(source)))
        yield partial


def size_of(native: sqlite3.Connection) -> int:
    """The bytes of a database, including pages that are still in its write-ahead log only."""
    (pages,) = native.execute("PRAGMA page_count").fetchone()
    (page_size,) = native.execute("PRAGMA page_size").fetchone()
    return int(pages * page_size)


def _refuse_without_room(source: sqlite3.Connection, target: Path) -> None:
    if not target.parent.is_dir():
        raise DatabaseIOError(
            f"{target.parent} is no folder",
            code="missing",
            details={"target": str(target)},
        )
    refuse_without_room(
        f"a copy to {target}",
        [Need(target.parent, size_of(source), "the copy")],
        ", or choose another target",
    )


def _already_exists(target: Path) -> DatabaseIOError:
    return DatabaseIOError(
        f"{target} already exists, and is not overwritten",
        code="exists",
        details={"target": str(target)},
    )


@contextlib.contextmanager
def partial_file(target: Path) -> Iterator[Path]:
    """A new empty file beside target, for its owner only; removed at the end, unless it was renamed."""
    with contextlib.suppress(OSError):  # a leftover that stays is no reason to fail
        for leftover in target.parent.glob(f"{glob.escape(target.name)}.*.partial*"):
            if time.time() - leftover.stat().st_mtime > _LEFTOVER_SECONDS:
                leftover.unlink()
    descriptor, name = tempfile.mkstemp(
        prefix=f"{target.name}.", suffix=".partial", dir=target.parent
    )
    os.close(descriptor)
    names = [f"{name}{suffix}" for suffix in ("", "-journal", "-wal", "-shm")]
    try:
        yield Path(name)
    except BaseException:
        try:
            remove(names)
        except OSError:
            _log.warning("cannot remove %s, an unfinished copy", name, exc_info=True)
        raise
    try:
        remove(names)
    except OSError as error:
        raise DatabaseIOError(
            f"{target} is complete, but has the name {name} too, which cannot be removed"
            f" ({error.strerror}); remove it by hand before {target} is opened",
            code="hard_linked",
            details={"target": str(target), "leftover": name},
        ) from error


def _open_partial(partial: Path) -> NativeConnection:
    copy = sqlite3.connect(partial, isolation_level=None, factory=NativeConnection)
    # No other connection uses the file: it needs no -shm, which its filesystem may not offer, no journal
    # on the disk (the journal is in memory; it only undoes an abandoned attempt), and one sync, at the end.
    copy.execute("PRAGMA locking_mode = EXCLUSIVE").close()
    copy.execute("PRAGMA journal_mode = MEMORY").close()
    copy.execute("PRAGMA synchronous = OFF").close()
    return copy


def _copy(source: sqlite3.Connection, copy: sqlite3.Connection, on_step: OnStep) -> Any:
    """Copies every page and returns the contents that the copy must have."""
    if journal_mode_of(source) not in ("wal", "memory") and not source.in_transaction:
        for _ in range(_POLITE_ATTEMPTS):
            with contextlib.suppress(_Changed):
                return _copy_between_writers(source, copy, on_step)
    with read_transaction(source):
        _copy_pages(source, copy, on_step)
        return _contents(source)


def _copy_between_writers(
    source: sqlite3.Connection, copy: sqlite3.Connection, on_step: OnStep
) -> Any:
    version = _data_version(source)

    def step(done_pages: int, total_pages: int) -> None:
        if _data_version(source) != version:
            raise _Changed
        on_step(done_pages, total_pages)

    _copy_pages(source, copy, step)
    with read_transaction(source):
        if _data_version(source) != version:
            raise _Changed
        return _contents(source)


def _data_version(source: sqlite3.Connection) -> int:
    """A number that changes when another connection, of any process, has committed."""
    (version,) = source.execute("PRAGMA data_version").fetchone()
    return int(version)


def _copy_pages(source: sqlite3.Connection, copy: sqlite3.Connection, on_step: OnStep) -> None:
    source.backup(
        copy,
        pages=_STEP_PAGES,
        progress=lambda status, remaining, total: on_step(total - remaining, total),
        sleep=_BUSY_SECONDS,
    )


def _contents(native: sqlite3.Connection) -> Any:
    """The contents that a copy is compared by: marks, schema, and the number of rows of each table."""
    schema = native.execute(
        "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema ORDER BY name, type"
    ).fetchall()
    return (
        application_id(native),
        user_version(native),
        schema,
        row_counts(native, "table", "shadow"),
    )


def _verify(
    copy: sqlite3.Connection,
    expected: Any,
    source: sqlite3.Connection,
    target: Path,
    on_step: OnStep,
) -> None:
    (total,) = copy.execute("PRAGMA page_count").fetchone()
    with interruptible(copy, lambda: on_step(total, total)):
        is_sound = is_undamaged(copy)
        is_same = is_sound and _contents(copy) == expected
        unverified = unchecked_tables(copy, "integrity_check") if is_same else {}
    if not is_sound:
        raise _damaged(source, target)
    if not is_same:
        raise DatabaseCorruptError(
            f"the copy for {target} was not kept: its schema or its numbers of rows differ from the "
            "original's; look at the disk that it is on",
            details={"target": str(target)},
        )
    for table, missing in unverified.items():
        _log.warning(
            "the copy for %s is complete, but its table %s could not be verified: it needs %s, which is "
            "not loaded",
            target,
            table,
            missing,
        )


def _damaged(source: sqlite3.Connection, target: Path) -> DatabaseCorruptError:
    """The error for a copy that is not sound; usually the database itself is damaged."""
    path = path_of(source)
    damage = damage_of(source, full=True)
    hint = advice(path, damage)
    if hint is None:
        return DatabaseCorruptError(
            f"the copy for {target} is damaged and was not kept, although the database is sound: look at "
            "the disk that the copy is on",
            details={"target": str(target)},
        )
    return DatabaseCorruptError(
        f"{path} is damaged, and so is its copy for {target}, which was not kept: {damage.problems[-1]}. "
        f"{hint[0].upper()}{hint[1:]}",
        details={"path": path, "target": str(target), "problems": damage.problems},
    )
