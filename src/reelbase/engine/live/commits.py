"""The commits of a database in their order, for the streams that wait for them.

Commits of this process are reported by the writer's recorder, with their tables. Commits of another
process show in the moment of the last commit: the -shm of a write-ahead log tells it, else SQLite's
data_version on the writer's connection. The kernel says when to look (inotify); where it cannot, a timer
does. Nothing runs without listeners.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

from reelbase.engine.file.open_files import FileConnection, file_of
from reelbase.engine.live.inotify import take, watch
from reelbase.engine.live.recorder import (
    Commit,
    LogMoments,
    Moment,
    Names,
    Recorder,
    VersionMoments,
    is_same,
)
from reelbase.engine.threads.mailbox import notify
from reelbase.engine.threads.writer import Writer
from reelbase.errors import DatabaseError

# After a notice of the kernel further ones are not taken for this long, so that a burst is one; longer while
# this process commits, because each of its commits gives notices, and looks for those of others itself.
_REST_SECONDS: Final = 0.002
_BUSY_REST_SECONDS: Final = 0.008
# The next looks after a notice, while the commit is not seen and may still come.
_LOOKS_SECONDS: Final = (0.001, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256)
_PATIENT_SECONDS: Final = 0.02
# Where the kernel gives no notices: if the -shm tells, if the writer's thread must ask, and on a network
# filesystem, where to ask takes a lock of the server.
_POLL_SECONDS: Final = 0.005
_HOP_POLL_SECONDS: Final = 0.02
_NETWORK_POLL_SECONDS: Final = 0.25
# In case that a notice was lost; and for the loss of the file.
_SAFETY_SECONDS: Final = 1.0


class Listener(Protocol):
    """An object that waits for commits. names: the tables; empty: every table."""

    names: Names

    def hear(self, number: int, names: Names | None) -> None:
        """A commit has written these tables; None: tables that are not known."""
        ...

    def end(self, error: DatabaseError | None) -> None:
        """There will be no further commit: the database is closed, or there was an error."""
        ...


class Commits:
    """Tells listeners of commits, from the first listener to the last one. On the event loop."""

    def __init__(self, writer: Writer, path: str | None, *, is_network: bool) -> None:
        """path: None for a database in memory."""
        self._writer = writer
        self._path = path
        self._is_network = is_network
        self._loop = asyncio.get_running_loop()
        self._native: sqlite3.Connection = writer.connection.native
        self._number = 0
        self._listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
        self._by_name: dict[str, weakref.WeakSet[Listener]] = {}
        self._watching: _Watching | None = None

    async def begin(self) -> None:
        """Returns once the commits of every process are seen."""
        if self._watching is not None:
            await asyncio.shield(self._watching.is_ready)

    def add(self, listener: Listener) -> None:
        """Tells the listener of all commits from now on; it is referred to weakly. Commits of
        another process are certain from begin() on."""
        self._listeners.add(listener)
        for name in listener.names or ("",):
            self._by_name.setdefault(name, weakref.WeakSet()).add(listener)
        if self._watching is None:
            self._watching = _Watching(self, self._writer, self._native)
            self._watching.start(self._path, is_network=self._is_network)

    def discard(self, listener: Listener) -> None:
        """Tells the listener of no further commits."""
        self._listeners.discard(listener)
        for name in listener.names or ("",):
            if name in self._by_name:
                self._by_name[name].discard(listener)
        self.release()

    def release(self) -> None:
        """Stops the sources that no listener needs any more. Called when a listener is gone."""
        for name in [name for name, waiting in self._by_name.items() if not waiting]:
            del self._by_name[name]
        if not self._listeners and self._watching is not None:
            watching, self._watching = self._watching, None
            watching.stop()

    def close(self, error: DatabaseError | None = None) -> None:
        """Ends every listener. Called when the writer has made its last commit."""
        if self._watching is not None:
            self._watching.settle()
        for listener in tuple(self._listeners):
            listener.end(error)
        self._listeners.clear()
        self.release()

    def concerns(self, names: Names) -> bool:
        """Whether a listener waits for one of the tables. Callable from any thread."""
        return any(name in self._by_name for name in ("", *names))

    def tell(self, names: Names | None) -> None:
        """Tells of a commit. names: the tables that it wrote; None: unknown."""
        self._number += 1
        for listener in self._concerned(names):
            listener.hear(self._number, names)

    def _concerned(self, names: Names | None) -> Iterable[Listener]:
        if names is None:
            return tuple(self._listeners)
        found: set[Listener] = set()
        for name in ("", *names):
            found.update(self._by_name.get(name, ()))
        return found


class _Watching:
    """Sees the commits of all processes, from start() to stop()."""

    def __init__(self, commits: Commits, writer: Writer, native: sqlite3.Connection) -> None:
        self._commits = commits
        self._writer = writer
        self._native = native
        self._loop = asyncio.get_running_loop()
        file = file_of(native)
        self._locks = locks = None if file is None else file.locks
        self._log = LogMoments(locks, native) if locks and locks.can_tell_commits else None
        self._moments = self._log or VersionMoments(locks, native)
        self._recorder = Recorder(native, self._moments, self._report)
        self._reports: deque[Commit] = deque()  # from the thread, in its order
        self._reporting = threading.Lock()
        self._has_committed = False
        self._seen: Moment = None  # everything up to here was told
        self._poll_seconds = 0.0
        self._descriptor: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._safety: asyncio.TimerHandle | None = None
        self._is_looking = False
        self._is_stopped = False
        self.is_ready: asyncio.Future[None] = self._loop.create_future()
        self._signal = self._new_signal()

    def start(self, path: str | None, *, is_network: bool) -> None:
        """Begins. path: of the file; None: only this process has the database."""
        if not self._writer.is_read_only:
            self._recorder.attach()
        self._seen = self._log.now() if self._log is not None else None
        if self._log is not None:
            self.is_ready.set_result(None)
        if path is None:
            self._look()
            return
        if is_network:
            self._poll_seconds = _NETWORK_POLL_SECONDS
        elif not self._wait_for_notices(path):
            self._poll_seconds = _POLL_SECONDS if self._log is not None else _HOP_POLL_SECONDS
        self._look()
        self._begin_safety()

    def stop(self) -> None:
        """Ends."""
        self._is_stopped = True
        for timer in (self._timer, self._rest, self._safety):
            if timer is not None:
                timer.cancel()
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
        self._writer.connection.wake(self._recorder.detach)

    # When to look.

    def _wait_for_notices(self, path: str) -> bool:
        descriptor = watch(f"{path}-wal") or watch(path)
        if descriptor is None:
            return False
        try:
            self._loop.add_reader(descriptor, self._noticed)
        except NotImplementedError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def _noticed(self) -> None:
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            take(self._descriptor)
            seconds = _BUSY_REST_SECONDS if self._has_committed else _REST_SECONDS
            self._has_committed = False
            self._rest = self._loop.call_later(seconds, self._wait_for_next_notice)
        if self._timer is not None:
            self._timer.cancel()
        self._look()

    def _wait_for_next_notice(self) -> None:
        if self._descriptor is not None:
            self._loop.add_reader(self._descriptor, self._noticed)

    def _look(self, looks: int = 0) -> None:
        """Looks for commits of another process, for the n-th time after a notice."""
        if self._log is not None and self._locks is not None:
            # The notice came when the commit was written, which comes before it is valid. Asked first: a
            # lock that is given back later may belong to a commit that settle() did not see.
            is_open = self._locks.is_log_locked()
            is_open |= not self.settle()
        else:
            self._look_on_thread()
            is_open = looks < len(_LOOKS_SECONDS)
        if self._poll_seconds:
            self._timer = self._loop.call_later(self._poll_seconds, self._look)
        elif is_open:
            seconds = _LOOKS_SECONDS[looks] if looks < len(_LOOKS_SECONDS) else _PATIENT_SECONDS
            self._timer = self._loop.call_later(seconds, self._look, looks + 1)

    def _look_on_thread(self) -> None:
        if not self._is_looking:
            self._is_looking = True
            self._writer.connection.wake(self._report_moment)

    def _report_moment(self) -> None:
        """On the thread."""
        error: DatabaseError | None = None
        try:
            moment = self._moments.now()
            if isinstance(self._native, FileConnection):
                self._native.refuse_changed()
        except sqlite3.Error:  # locked, or the disk does not answer: the next look will tell
            pass
        except DatabaseError as raised:
            error = raised
        else:
            self._reports.append(Commit(moment, frozenset(), moment))
        notify(self._loop, self._looked, error)

    def _looked(self, error: DatabaseError | None) -> None:
        self._is_looking = False
        if error is not None and not self._is_stopped:
            self._commits.close(error)
        self.settle()

    def _begin_safety(self) -> None:
        self._safety = self._loop.call_later(_SAFETY_SECONDS, self._make_sure)

    def _make_sure(self) -> None:
        loss = self._writer.lost_file
        if loss is not None:
            self._commits.close(loss.error())
            return
        self._begin_safety()
        if self._log is not None:
            self.settle()
        else:
            self._look_on_thread()

    # The order of what was seen.

    def _report(self, commit: Commit) -> None:
        """On the thread."""
        self._has_committed = True
        if commit.names is not None and not self._commits.concerns(commit.names):
            # No listener waits for it, so it need not wake the loop; many become one.
            commit = commit._replace(names=frozenset())
            with self._reporting:
                last = self._reports[-1] if self._reports else None
                if last is not None and is_same(last.after, commit.before):
                    self._reports[-1] = last._replace(after=commit.after)
                else:
                    self._reports.append(commit)
            return
        self._reports.append(commit)
        # The signal is read later than the report is stored, and _signalled() does it the other way round:
        # so each report has a signal behind it.
        self._writer.settle_along(self._signal)

    def _new_signal(self) -> asyncio.Future[None]:
        signal: asyncio.Future[None] = self._loop.create_future()
        signal.add_done_callback(self._signalled)
        return signal

    def _signalled(self, _: asyncio.Future[None]) -> None:
        self._signal = self._new_signal()
        self.settle()

    def settle(self) -> bool:
        """Tells of all commits so far. False: the log is just changing, and must be looked at again."""
        while not self._is_stopped:
            while self._reports:
                with self._reporting:
                    report = self._reports.popleft()
                self._take(report)
            if self._log is None:
                return True
            # The thread stores its report after a commit, and only then sets is_committing back. So as
            # long as no report has come meanwhile, what was read here is a commit of another process.
            moment: Moment = self._log.now()
            if self._recorder.is_committing:
                moment = self._recorder.committing_since
            if self._reports:
                continue
            if moment is not None:
                self._advance(moment)
            return moment is not None
        return True

    def _take(self, commit: Commit) -> None:
        if commit.before is None:
            self._commits.tell(None)
        else:
            self._advance(commit.before)
        if commit.names is None or commit.names:
            self._commits.tell(commit.names)
        self._seen = commit.after

    def _advance(self, moment: Moment) -> None:
        if not self.is_ready.done():  # the first look
            self.is_ready.set_result(None)
        elif not is_same(self._seen, moment):
            self._commits.tell(None)
        self._seen = moment
