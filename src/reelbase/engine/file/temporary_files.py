"""The folder of SQLite's temporary files, which it needs when it works on all of a database.

A migration or VACUUM takes up to twice the size of the database for its temporary tables, its sorting and
the journals of its statements (measured: 410 MiB in files for 281 MiB; 340 MiB of memory when it was told
to use no files, which ends a container with a limit). SQLite uses the first folder of a list that it may
write, and fails with SQLITE_IOERR_GETTEMPPATH if there is none: in a container with a read-only root.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from reelbase.engine.file.filesystem import free_bytes
from reelbase.engine.native.names import literal
from reelbase.engine.native.pragmas import IN_FILES, IN_MEMORY, set_pragma

# sqlite.org/tempfiles.html, section 5.
_FOLDERS: Final = ("/var/tmp", "/usr/tmp", "/tmp", ".")

# Held while the folder of the process is set to an unusual one.
_folder_lock: Final = threading.Lock()


def folder_for(native: sqlite3.Connection, size_bytes: int, beside: Path) -> Path:
    """The folder for temporary files of that size.

    Args:
        native: a connection.
        size_bytes: the size of the files.
        beside: the database's folder.

    Returns:
        SQLite's own choice; or `beside` when SQLite finds no folder, or one that is known to be too small.
    """
    with _folder_lock:
        usual = _usual_folder(native)
    if usual is None:
        return beside
    free = free_bytes(usual)
    return usual if free is None or free >= size_bytes else beside


def _usual_folder(native: sqlite3.Connection) -> Path | None:
    if os.name == "nt":
        return Path(tempfile.gettempdir())
    folders = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), *_FOLDERS)
    for folder in (_folder_of_process(native), *folders):
        if folder and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
            return Path(folder)
    return None


@contextlib.contextmanager
def temporary_files(native: sqlite3.Connection, folder: Path) -> Iterator[None]:
    """Inside the block the connection sorts in files of that folder, and keeps temporary tables there;
    after the block again in memory. Enter it outside a transaction. folder: the result of folder_for()."""
    with _in_folder(native, folder):
        set_pragma(native, "temp_store", IN_FILES)
        try:
            yield
        finally:
            set_pragma(native, "temp_store", IN_MEMORY)


@contextlib.contextmanager
def _in_folder(native: sqlite3.Connection, folder: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(_folder_lock)
        if folder == _usual_folder(native):
            stack.close()
        else:
            # SQLite has one such folder for the whole process, under a mutex of its own; it has read the
            # environment already. It is reset afterwards, so that further databases get the usual one.
            stack.callback(_set_folder, native, _folder_of_process(native) or "")
            _set_folder(native, os.fspath(folder))
        yield


def _folder_of_process(native: sqlite3.Connection) -> str | None:
    row: tuple[str] | None = native.execute("PRAGMA temp_store_directory").fetchone()
    return row[0] if row else None


def _set_folder(native: sqlite3.Connection, folder: str) -> None:
    with contextlib.suppress(
        UnicodeEncodeError
    ):  # a name that no SQL can hold: SQLite's own choice
        native.execute(f"PRAGMA temp_store_directory = {literal(folder)}").close()
