"""The database files that this process has open: every connection to a file is opened here.

SQLite keeps one list of them per process, by device and inode, with the locks that it holds: POSIX
locks, which the kernel keeps per process, too. A forked child inherits the list, but not the locks. In the
child, a connection to a file of the list takes no lock, because the list says that the lock is held: two
processes then write at once, and the one that closes last deletes the write-ahead log of the first
(sqlite.org/howtocorrupt.html, 2.6).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

from reelbase.engine.file.byte_locks import IS_AVAILABLE
from reelbase.engine.file.locks import FileLocks, delete_index, is_index_in_use
from reelbase.engine.file.paths import real_path, uri_of
from reelbase.engine.file.turnstile import Turnstile, open_turnstile
from reelbase.engine.file.unlocked import Unlocked
from reelbase.engine.native.setup import Guarded
from reelbase.errors import DatabaseError, DatabaseIOError

_DESCRIPTORS = "/proc/self/fd"


class Identity(NamedTuple):
    """The file that a name refers to, independent of the name."""

    device: int
    inode: int


def identity_of(path: str | os.PathLike[str]) -> Identity | None:
    """The identity of the file of that name; None if there is none. Raises DatabaseIOError when the
    filesystem does not tell.

    The file is not opened: closing it would drop SQLite's locks.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DatabaseIOError(f"cannot look at {os.fspath(path)}: {error.strerror}") from error
    return Identity(status.st_dev, status.st_ino)


class Loss(NamedTuple):
    """The loss of an open file, or of its write-ahead log, as a code and a sentence."""

    code: Literal["moved", "log_lost"]
    sentence: str

    def error(self) -> DatabaseIOError:
        """The loss as an error."""
        return DatabaseIOError(self.sentence, code=self.code)


class OpenFile:
    """A file, and the number of connections of this process to it.

    log_path: of the write-ahead log.  log: the identity of that log; None: there is no log to watch.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self._path = ""
        self.log_path = ""
        self.log: Identity | None = None
        self.locks: FileLocks | None = None
        self.turnstile: Turnstile | None = None
        self._deletes_index = False
        self._open = 0
        self._in_use = 0  # the open connections that are not closing

    def log_loss(self) -> Loss | None:
        """The loss of the write-ahead log; None while the log is in its place."""
        log = self.log
        if log is None:
            return None
        found = identity_of(self.log_path)
        if found == log:
            return None
        what = "deleted" if found is None else "replaced"
        return Loss(
            "log_lost",
            f"{self.log_path} was {what} while the database was open, and what is written now would be "
            "lost with it. SQLite alone may touch the files beside a database: close() it and connect() "
            "again",
        )

    def refuse_lost_log(self) -> None:
        """Raises DatabaseIOError (code log_lost) if the write-ahead log is gone or was replaced."""
        loss = self.log_loss()
        if loss is not None:
            raise loss.error()

    def guard(self, path: str, journal_mode: str) -> None:
        """Keeps the log from being deleted, or at least notices its loss. Called once the writer is open."""
        with _listing:
            self._path = path = os.fspath(real_path(path))
            if IS_AVAILABLE and self.locks is None:
                with contextlib.suppress(OSError):  # no descriptor is free
                    self.locks = _parked.pop(self.identity, None) or FileLocks(path)
            if self.locks is not None:
                self.locks.begin(is_wal=journal_mode == "wal")
            if journal_mode == "wal":
                self.log_path = f"{path}-wal"
                self.log = self.log or identity_of(self.log_path)

    def take_turns(self) -> None:
        """Has the writers of this process take turns with those of other processes from now on, where the
        filesystem has a place for that. Called after guard()."""
        with _listing:
            self.turnstile = self.turnstile or open_turnstile(self._path)

    def is_open_elsewhere(self) -> bool:
        """Whether another process has the WAL database open that this one writes; False, too, if that is
        unknown."""
        return self.log is not None and self.locks is not None and self.locks.is_open_elsewhere()

    def delete_index_of(self, path: str) -> None:
        """Has the -shm deleted after the last connection is closed. Called for a database without a -shm,
        before SQLite makes one.

        path: of the database, with no links in it.
        """
        with _listing:
            self._path, self._deletes_index = path, True

    def enter(self) -> None:
        """Counts a connection; called before it is opened."""
        self._open += 1
        self._in_use += 1

    def leave(self) -> None:
        """Called before a connection is closed: the last one gives the locks back."""
        with _listing:
            self._in_use -= 1
            if self._in_use:
                return
            log, self.log = self.log, None
            if self.locks is None:
                return
            if log is None or _identity_if_any(self.log_path) in (log, None):
                self.locks.end()
            # Else the log was replaced, and the locks stay until the file is closed, so that SQLite gets no
            # exclusive lock: it would write an old log into a database that was changed since.

    def left(self) -> None:
        """Called after a connection was closed: the last one closes the descriptors."""
        with _listing:
            self._open -= 1
            if self._open:
                return
            del _files[self.identity]
            if self.turnstile is not None:
                self.turnstile.close()
            if self.locks is None and not self._deletes_index:
                return
            found = set(_descriptors(self._path, self.identity, _links()))
            if found - set(self.locks.descriptors if self.locks else ()):
                # Another library in this process has the file open.
                if self.locks is not None:
                    _parked[self.identity] = self.locks
                return
            if self.locks is not None:
                self.locks.close()
            if self._deletes_index:
                delete_index(self._path)


class FileConnection(Guarded):
    """sqlite3.Connection to a file. file: None once it is closed, and for a database in memory.

    unlocked: the state of the file, if this connection reads it without a lock; None: it takes locks.
    """

    file: OpenFile | None = None
    unlocked: Unlocked | None = None

    def refuse_changed(self) -> None:
        """Called after a read. Raises DatabaseIOError (code changed) if the connection takes no locks and
        another process has changed the file meanwhile."""
        if self.unlocked is not None:
            self.unlocked.refuse_changed()

    def close(self) -> None:
        """Closes the connection, and takes it off the file's count."""
        file, self.file = self.file, None
        if file is not None:
            file.leave()
        try:
            super().close()
        finally:
            if file is not None:
                file.left()


def file_of(native: sqlite3.Connection) -> OpenFile | None:
    """The file of a connection; None for a database in memory."""
    return native.file if isinstance(native, FileConnection) else None


def journal_mode_of(native: sqlite3.Connection) -> str:
    """The journal mode, from PRAGMA journal_mode. Also "wal" for a WAL database that is read without a lock,
    although the pragma says "delete"."""
    if isinstance(native, FileConnection) and native.unlocked is not None:
        return "wal"
    (mode,) = native.execute("PRAGMA journal_mode").fetchone()
    return str(mode)


# The options of a URI (sqlite.org/uri.html).
Mode = Literal["mode=rw", "mode=ro", "mode=ro&readonly_shm=1", "immutable=1"]


def open_file(
    path: str | os.PathLike[str],
    mode: Mode,
    busy_timeout_seconds: float = 5.0,
    *,
    factory: type[FileConnection] = FileConnection,
    **options: Any,
) -> FileConnection:
    """A connection to an existing file. It never makes a file: a deleted one must not come back empty.

    Args:
        path: the file.
        mode: the options of the URI.
        busy_timeout_seconds: how long a statement waits for a lock.
        factory: the class of the connection.
        options: further arguments of sqlite3.connect().

    Raises:
        sqlite3.Error: SQLite cannot open the file.
        DatabaseError: code forked, for a file that was open when this process was forked.
        DatabaseIOError: code log_lost, for a file that is open and has lost its log.
    """
    refuse_inherited(path)
    file = _enter(path)
    try:
        if file is not None:
            file.refuse_lost_log()
        native = sqlite3.connect(
            uri_of(Path(path), mode),
            uri=True,
            # It applies to the first statement, which may already need a lock.
            timeout=busy_timeout_seconds,
            isolation_level=None,
            factory=factory,
            **options,
        )
    except BaseException:
        if file is not None:
            file.leave()
            file.left()
        raise
    native.file = file
    return native


_listing = threading.Lock()
_files: dict[Identity, OpenFile] = {}
# Descriptors that must not be closed yet; the next opening of the file takes them over.
_parked: dict[Identity, FileLocks] = {}


def _enter(path: str | os.PathLike[str]) -> OpenFile | None:
    identity = _identity_if_any(path)
    if identity is None:
        return None
    with _listing:
        file = _files.setdefault(identity, OpenFile(identity))
        file.enter()
    return file


def is_in_use(real: str) -> bool:
    """Whether a process, this one included, has a WAL database open that has a -shm; True, too, if that is
    unknown.

    real: its path, with no links in it.
    """
    index = f"{real}-shm"
    with _listing:
        identity = _identity_if_any(index)
        if _identity_if_any(real) in _files or identity is None:
            return True
        return bool(_descriptors(index, identity, _links())) or is_index_in_use(index)


def _identity_if_any(path: str | os.PathLike[str]) -> Identity | None:
    """As identity_of(), but None if the filesystem does not tell: opening the file will give the error."""
    try:
        return identity_of(path)
    except DatabaseIOError:
        return None


def _descriptors(path: str, identity: Identity, among: dict[int, str]) -> list[int]:
    """The descriptors of a file, of any origin.

    Args:
        path: the file, for its name.
        identity: the file.
        among: the descriptors to search, with the names of their files.
    """
    name = f"/{os.path.basename(path)}"
    found = []
    for number, link in among.items():
        # By name first: fstat() of an unrelated file might wait for a dead file server.
        if link.endswith(name):
            with contextlib.suppress(OSError):  # closed meanwhile
                status = os.fstat(number)
                if Identity(status.st_dev, status.st_ino) == identity:
                    found.append(number)
    return found


def _links() -> dict[int, str]:
    """The descriptors of this process, and the names of their files; empty without /proc."""
    links = {}
    with contextlib.suppress(OSError):
        for number in os.listdir(_DESCRIPTORS):
            with contextlib.suppress(OSError):  # the descriptor of listdir() itself
                links[int(number)] = os.readlink(f"{_DESCRIPTORS}/{number}")
    return links


# Filled in a forked child, until it ends or executes another program.
_inherited: set[Identity] = set()
_inherited_links: dict[int, str] = {}


def refuse_inherited(path: str | os.PathLike[str]) -> None:
    """Raises DatabaseError (code forked) for a file that was open when this process was forked."""
    if not _inherited and not _inherited_links:
        return
    identity = _identity_if_any(path)
    if identity in _inherited:
        _refuse(path)
    # A file that another library had open is not on the list, but still has a descriptor, of any origin:
    # closing that in this process would drop the locks.
    still_open = {n: link for n, link in _links().items() if _inherited_links.get(n) == link}
    if identity is not None and _descriptors(os.fspath(real_path(path)), identity, still_open):
        _refuse(path)


def _refuse(path: str | os.PathLike[str]) -> NoReturn:
    raise DatabaseError(
        f"{os.fspath(path)} was open in the process that this one was forked from. SQLite would open it "
        "here without its locks and lose what is written (sqlite.org/howtocorrupt.html, 2.6): start "
        'processes with "spawn" or "forkserver" instead of "fork", or connect only after the fork',
        code="forked",
        details={"path": os.fspath(path)},
    )


def _inherit() -> None:
    """Called in a forked child: notes the files of the parent, and gives its locks' descriptors back."""
    global _listing, _inherited_links
    _listing = threading.Lock()  # a thread of the parent may hold the old one
    _inherited.update(_files)
    _inherited_links = _links()
    # Else the child would keep the locks of a parent that was killed.
    for locks in [file.locks for file in _files.values()] + list(_parked.values()):
        if locks is not None:
            locks.close()
    for file in _files.values():
        if file.turnstile is not None:
            file.turnstile.close_inherited()
    _files.clear()
    _parked.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_inherit)
