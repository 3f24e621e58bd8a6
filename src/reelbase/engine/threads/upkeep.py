"""Background checks of an open database: its file still exists, its write-ahead log stays below
WAL_LIMIT_BYTES, and its tables have no statistics of another program's ANALYZE.

Every few seconds a thread of its own asks the filesystem, which may not answer: a dead file server
then holds up only that thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import weakref
from functools import partial
from typing import NamedTuple

from reelbase.engine.file.journal import JournalDecision
from reelbase.engine.file.open_files import Identity, Loss, OpenFile, identity_of
from reelbase.engine.file.side_files import mounted_apart
from reelbase.engine.maintenance.health import checkpoint, warnings_of_sqlite
from reelbase.engine.native.pragmas import WAL_LIMIT_BYTES
from reelbase.engine.schema.figures import wal_bytes
from reelbase.engine.schema.statistics import remove_statistics
from reelbase.engine.threads.mailbox import notify
from reelbase.engine.threads.readers import Borrowing, Readers
from reelbase.engine.threads.writer import Writer
from reelbase.errors import DatabaseBusyError, DatabaseClosedError, DatabaseIOError

_log = logging.getLogger("reelbase")

_CYCLE_SECONDS = 5.0
# How long a checkpoint keeps writers waiting for readers to end; and how long until the next attempt
# when the log could not be emptied.
_PATIENCE_SECONDS = 0.25
_PAUSE_SECONDS = 30.0
_UNANSWERED_SECONDS = 30.0


class Look(NamedTuple):
    """The state of the file on the disk at one check.

    identity: None when no file of that name exists. mounted_apart: a sentence on the mount that
    separates the file from its side files, or None. is_shared: another process has it open.
    """

    identity: Identity | None
    mounted_apart: str | None
    log_loss: Loss | None
    wal_bytes: int
    is_shared: bool


def _look_at(path: str, file: OpenFile, mounts: str | os.PathLike[str]) -> Look:
    """Asks the filesystem. DatabaseIOError when it answers with an error."""
    try:
        return Look(
            identity_of(path),
            mounted_apart(path, mounts=mounts),
            file.log_loss(),
            wal_bytes(path),
            file.is_open_elsewhere(),
        )
    except OSError as error:
        raise DatabaseIOError(f"cannot look at {path}: {error.strerror}") from error


def _loss(path: str, opened: Identity, found: Look) -> Loss | None:
    """None when path is still the name of the open file, and its log is still its own."""
    if found.mounted_apart is not None:
        return Loss(
            "moved", f"this has happened while the database was open: {found.mounted_apart}"
        )
    if found.identity == opened:
        return found.log_loss
    is_gone = found.identity is None
    what = "was deleted or moved away" if is_gone else "was replaced by another file"
    return Loss(
        "moved",
        f"{path} {what} while it was open, and what is written now would be lost with it; "
        "close() this database and connect() again",
    )


class Upkeep:
    """Runs the checks from start() to stop(), or until its last reference is gone."""

    def __init__(
        self,
        path: str,
        file: OpenFile,
        mounts: str | os.PathLike[str],
        journal: JournalDecision,
        writer: Writer,
        readers: Readers,
    ) -> None:
        self._path = path
        self._file = file
        self._mounts = mounts
        self._journal = journal
        self._writer = writer
        self._readers = readers
        self._loop = asyncio.get_running_loop()
        self._reference: weakref.ref[Upkeep] = weakref.ref(self)  # neither timer nor thread keep it
        self._timer: asyncio.TimerHandle | None = None
        self._looking_since: float | None = None
        self._is_shrinking = False
        self._removing: asyncio.Future[bool] | None = None
        self._has_failed_to_remove = False
        self._leave_alone_until = 0.0
        self._blocker: Borrowing | None = None  # the reader that kept the log from being emptied
        self._warned_of: Borrowing | str | None = None
        self._was_shared = False
        self._has_warned_of_others = False

    def loss(self) -> Loss | None:
        """None when the names of the file and its log still refer to them. It asks the filesystem, which
        may take long: call it on a thread that may wait."""
        found = _look_at(self._path, self._file, self._mounts)
        return _loss(self._path, self._file.identity, found)

    def start(self) -> None:
        """Begins the checks; they go on until stop()."""
        self._timer = self._loop.call_later(_CYCLE_SECONDS, _begin_cycle, self._reference)

    def stop(self) -> None:
        """Ends the checks. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """Begins a cycle, unless the last one still waits for the filesystem."""
        self.start()
        now = time.monotonic()
        if self._looking_since is None:
            self._looking_since = now
            arguments = (self._path, self._file, self._mounts, self._loop, self._reference)
            threading.Thread(
                target=_look, args=arguments, name="reelbase-upkeep", daemon=True
            ).start()
        elif now - self._looking_since > _UNANSWERED_SECONDS:
            self._warn_once("unanswered", "the filesystem of %s does not answer", self._path)

    def looked(self, found: Look | DatabaseIOError) -> None:
        """Ends a cycle."""
        self._looking_since = None
        if self._timer is None or self._writer.is_closed:
            return
        if isinstance(found, DatabaseIOError):
            self._warn_once("unanswered", "%s", found)
            return
        self._judge_file(found)
        self._judge_others(found)
        if self._writer.lost_file is None and not self._writer.is_read_only:
            self._remove_statistics()
            if self._journal.mode == "wal":
                self._judge_log(found.wal_bytes)

    def _judge_file(self, found: Look) -> None:
        loss = _loss(self._path, self._file.identity, found)
        may_be_renumbered = found.identity is not None and found.mounted_apart is None
        if (
            loss is not None
            and loss.code == "moved"
            and may_be_renumbered
            and self._journal.filesystem.is_network
        ):
            # Some network filesystems give a file a new inode number now and then.
            self._warn_once("renumbered", "perhaps %s", loss.sentence)
            return
        if loss is not None and self._writer.lost_file is None:
            _log.error("%s", loss.sentence)
        self._writer.lost_file = self._readers.lost_file = loss

    def _remove_statistics(self) -> None:
        """Removes the statistics that another program's ANALYZE has gathered since the last cycle."""
        if self._removing is None or self._removing.done():
            self._removing = self._writer.call_outside(remove_statistics)
            self._removing.add_done_callback(self._removed)

    def _removed(self, removing: asyncio.Future[bool]) -> None:
        error = removing.exception()
        if error is None:
            self._has_failed_to_remove = False
            if removing.result():
                _log.info(
                    "%s: removed the statistics that another program's ANALYZE gathered", self._path
                )
        elif not self._has_failed_to_remove and not isinstance(
            error, DatabaseBusyError | DatabaseClosedError
        ):
            self._has_failed_to_remove = True
            _log.warning("%s: cannot remove statistics of ANALYZE: %s", self._path, error)

    def _judge_others(self, found: Look) -> None:
        # A command, or a shell, is soon gone again.
        is_shared, self._was_shared = found.is_shared and self._was_shared, found.is_shared
        if is_shared and not self._has_warned_of_others:
            self._has_warned_of_others = True
            for warning in warnings_of_sqlite(self._journal.mode, is_shared=True):
                _log.warning("%s: %s", self._path, warning)

    def _judge_log(self, size_bytes: int) -> None:
        if size_bytes <= WAL_LIMIT_BYTES:
            self._warned_of = None
            self._leave_alone_until = 0.0
            return
        oldest = self._readers.oldest_borrowing()
        if oldest is not None and time.monotonic() - oldest.since > _CYCLE_SECONDS:
            self._warn_of_reader(size_bytes, oldest)
        elif not self._is_shrinking and (
            self._loop.time() >= self._leave_alone_until
            # The reader that was in the way has gone.
            or (self._blocker is not None and self._blocker != oldest)
        ):
            self._is_shrinking = True
            emptied = self._writer.call_outside(
                partial(checkpoint, patience_seconds=_PATIENCE_SECONDS)
            )
            emptied.add_done_callback(partial(self._shrunk, size_bytes))

    def _shrunk(self, size_bytes: int, emptied: asyncio.Future[bool]) -> None:
        self._is_shrinking = False
        error = emptied.exception()
        if error is not None:
            if not isinstance(error, DatabaseBusyError | DatabaseClosedError):
                _log.warning("%s: the checkpoint failed: %s", self._path, error)
            return
        if not emptied.result():
            self._leave_alone_until = self._loop.time() + _PAUSE_SECONDS
            self._blocker = self._readers.oldest_borrowing()
            self._warn_of_reader(size_bytes, self._blocker)

    def _warn_of_reader(self, size_bytes: int, reader: Borrowing | None) -> None:
        if reader is None:
            who = "a long query or another process needs it"
        else:
            seconds = time.monotonic() - reader.since
            who = f"a {reader.what} that was opened at {reader.where} has needed it for {seconds:.0f} s"
        self._warn_once(
            reader or "others",
            "the write-ahead log of %s has grown to %d MB and cannot be emptied, because %s",
            self._path,
            size_bytes // 1_000_000,
            who,
        )

    def _warn_once(self, about: Borrowing | str, message: str, *arguments: object) -> None:
        if self._warned_of != about:
            self._warned_of = about
            _log.warning(message, *arguments)


def _begin_cycle(reference: weakref.ref[Upkeep]) -> None:
    upkeep = reference()
    if upkeep is not None:
        upkeep.look()


def _look(
    path: str,
    file: OpenFile,
    mounts: str | os.PathLike[str],
    loop: asyncio.AbstractEventLoop,
    reference: weakref.ref[Upkeep],
) -> None:
    """On a thread of its own."""
    found: Look | DatabaseIOError
    try:
        found = _look_at(path, file, mounts)
    except DatabaseIOError as error:
        found = error
    notify(loop, _end_cycle, reference, found)


def _end_cycle(reference: weakref.ref[Upkeep], found: Look | DatabaseIOError) -> None:
    upkeep = reference()
    if upkeep is not None:
        upkeep.looked(found)
