"""Reasons for errors of SQLite that its messages lack: permissions of the file, locks of the filesystem.

SQLite says "attempt to write a readonly database" and "database is locked" for every reason.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from pathlib import Path

from reelbase.engine.file.filesystem import lock_refusal
from reelbase.engine.file.journal import described
from reelbase.engine.file.mounts import PROC_MOUNTS, UndetectedError, locate
from reelbase.engine.file.paths import real_path
from reelbase.engine.native.errors import result_code, translate
from reelbase.engine.native.pragmas import path_of
from reelbase.errors import DatabaseError, DatabaseIOError, DatabaseReadOnlyError

# SQLITE_IOERR of UNLOCK, RDLOCK, CHECKRESERVEDLOCK, LOCK and SHMLOCK (sqlite.org/rescode.html).
_LOCK_CODES = frozenset({2058, 2314, 3594, 3850, 5130})


def explained(error: sqlite3.Error, context: str, path: str | os.PathLike[str]) -> DatabaseError:
    """translate(), with the reason that the system gives for the file at path.

    Args:
        error: the driver's error.
        context: the operation, for the text.
        path: the file.
    """
    place = Path(path)
    with contextlib.suppress(DatabaseIOError):
        place = real_path(path)
    return _with_reason(translate(error, context), error, context, place)


def explained_on(native: sqlite3.Connection, error: DatabaseError) -> DatabaseError:
    """The error of a statement, with the reason that the system gives for the connection's file."""
    cause = error.__cause__
    if not isinstance(cause, sqlite3.Error) or not _may_be_explained(cause):
        return error
    context = str(error.details.get("context", ""))
    with contextlib.suppress(sqlite3.Error):
        (only_reads,) = native.execute("PRAGMA query_only").fetchone()
        if only_reads and isinstance(error, DatabaseReadOnlyError):
            return error
        path = path_of(native)
        if path:
            return _with_reason(error, cause, context, Path(path))
    return error


def refuse_without_locks(path: Path, context: str) -> None:
    """Raises DatabaseIOError (code locks) if the filesystem refuses to lock a file in path's folder."""
    refusal = lock_refusal(path.parent)
    if refusal is not None:
        raise _without_locks(refusal, context, path) from refusal


def _may_be_explained(error: sqlite3.Error) -> bool:
    return result_code(error) == sqlite3.SQLITE_READONLY or _is_of_a_lock(error)


def _is_of_a_lock(error: sqlite3.Error) -> bool:
    extended = getattr(error, "sqlite_errorcode", 0)
    primary = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_PROTOCOL)
    return extended in _LOCK_CODES or result_code(error) in primary


def _with_reason(
    translated: DatabaseError, error: sqlite3.Error, context: str, path: Path
) -> DatabaseError:
    reasoned = translated
    if isinstance(translated, DatabaseReadOnlyError):
        reasoned = DatabaseReadOnlyError(
            f"{context}: {_who_may_write(path)} ({error})",
            details=translated.details | {"path": str(path)},
        )
        reasoned.code, reasoned.http_status = translated.code, translated.http_status
    elif _is_of_a_lock(error):
        refusal = lock_refusal(path.parent)
        if refusal is not None:
            reasoned = _without_locks(refusal, context, path)
            reasoned.details |= translated.details
        elif result_code(error) == sqlite3.SQLITE_BUSY and (place := _place(path, network=True)):
            reasoned = type(translated)(
                f"{translated}; or the filesystem does not lock as SQLite needs it: {place}",
                code=translated.code,
                details=translated.details,
            )
    reasoned.__cause__ = error
    return reasoned


def _without_locks(refusal: OSError, context: str, path: Path) -> DatabaseIOError:
    return DatabaseIOError(
        f"{context}: the filesystem refuses locks ({refusal.strerror}): {_place(path) or path.parent}."
        " Without them two connections would damage the file: put the database on a local disk, or mount"
        " this one with locks that work (for NFS, look at rpc.statd or nolock; for CIFS, at nobrl)",
        code="locks",
        details={"context": context, "path": str(path), "errno": refusal.errno},
    )


def _place(path: Path, *, network: bool = False) -> str | None:
    """The filesystem of a path in words, with the known facts of its kind; None if it is unknown or, with
    network=True, if it is local."""
    try:
        filesystem = locate(path, mounts=PROC_MOUNTS).filesystem
    except (UndetectedError, OSError):
        return None
    return None if network and not filesystem.is_network else described(filesystem)


def _who_may_write(path: Path) -> str:
    parts = [f"{path} cannot be written"]
    if hasattr(os, "geteuid"):
        parts.append(f"this process runs as user {os.geteuid()}, group {os.getegid()}")
    for name, place in (("the file", path), ("its folder", path.parent)):
        with contextlib.suppress(OSError):
            status = os.stat(place)
            mode = stat.S_IMODE(status.st_mode)
            parts.append(
                f"{name} {place} belongs to user {status.st_uid}, group {status.st_gid}, mode {mode:04o}"
            )
    with contextlib.suppress(OSError, AttributeError):
        if os.statvfs(path.parent).f_flag & os.ST_RDONLY:
            parts.append("its filesystem is mounted read-only")
    return "; ".join(parts) + ". Look at owners and permissions, of both, and at how it is mounted"
