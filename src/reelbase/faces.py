"""The faces of a Database for threads that wait: its own methods, run on a loop of their own.

Nothing here knows a repository or a method by name: a face hands each call to the async object behind it,
and gives the result a face in turn, if that is async, too.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from reelbase.catalogue import Catalogue
from reelbase.connector import connect
from reelbase.database import Database
from reelbase.engine.live.changes import ChangeStream
from reelbase.engine.repository import Repository
from reelbase.engine.threads.copying import Progress
from reelbase.engine.threads.loop_thread import Call, LoopThread
from reelbase.engine.threads.stream import RowStream
from reelbase.errors import DatabaseClosedError
from reelbase.unit_of_work import UnitOfWork


class _Face:
    """An async object's attributes, and its methods as functions that wait for their results."""

    def __init__(self, loop_thread: LoopThread, behind: Any) -> None:
        self._loop_thread = loop_thread
        self._behind = behind

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        member = getattr(self._behind, name)
        if isinstance(member, Repository):
            member = SyncRepository(self._loop_thread, member)
        elif callable(member):
            member = self._waiting(member)
        else:
            return member
        self.__dict__[name] = member  # from now on found before this method
        return member

    def __dir__(self) -> list[str]:
        own = [
            name for name in super().__dir__() if name.startswith("__") or name in vars(type(self))
        ]
        return sorted({*own, *(name for name in dir(self._behind) if not name.startswith("_"))})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._behind!r}>"

    def _waiting(self, method: Callable[..., Any]) -> Callable[..., Any]:
        loop_thread = self._loop_thread

        @functools.wraps(method)
        def wait(*args: Any, **kwargs: Any) -> Any:
            return _with_face(loop_thread, loop_thread.run(method, *args, **kwargs))

        return wait


class SyncRepository(_Face):
    """A repository, the library's or an application's own, with methods that wait for their results."""


class _SyncCatalogue(_Face):
    """The repositories and raw verbs of a Database, unit of work or snapshot."""

    def repository(self, repository_class: type[Repository]) -> Any:
        """A repository of the application's own: its methods wait for their results."""
        return SyncRepository(self._loop_thread, self._behind.repository(repository_class))


class SyncSnapshot(_SyncCatalogue):
    """A Snapshot with methods that wait for their results."""


class SyncUnitOfWork(_SyncCatalogue):
    """A UnitOfWork with methods that wait for their results. Any thread may call it.

    A callback of after_commit() is called on the thread of the loop, and must not call the database.
    """

    def savepoint(self) -> SyncContext:
        """``with unit.savepoint():`` As of UnitOfWork; the block belongs to its thread."""
        return SyncContext(self._loop_thread, self._behind.savepoint)


class SyncDatabase(_SyncCatalogue):
    """A Database with methods that wait for their results, for any number of threads.

    ``with`` closes it. A call on a thread that runs an event loop raises RuntimeError, because the loop
    would stand still. An interrupt (KeyboardInterrupt) cancels the call that the thread waits for.
    """

    _behind: Database

    def __init__(self, loop_thread: LoopThread, database: Database) -> None:
        super().__init__(loop_thread, database)

    def __repr__(self) -> str:
        return repr(self._behind).replace("<", "<Sync", 1)

    def __enter__(self) -> SyncDatabase:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        loop_thread = self.__dict__.get("_loop_thread")
        if loop_thread is None or loop_thread.has_ended or loop_thread.is_inherited:
            return
        warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=1)
        loop_thread.end_soon(self._behind.close)

    def transaction(self, *, actor: str | None = None) -> SyncContext:
        """``with database.transaction() as unit:`` As of Database; unit is a SyncUnitOfWork."""
        return SyncContext(
            self._loop_thread, functools.partial(self._behind.transaction, actor=actor)
        )

    def snapshot(self) -> SyncContext:
        """``with database.snapshot() as view:`` As of Database; view is a SyncSnapshot."""
        return SyncContext(self._loop_thread, self._behind.snapshot)

    def backup(
        self,
        target: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
        keep: int | None = None,
    ) -> None:
        """As of Database; progress is called on the thread that waits."""
        call = Call(self._behind.backup, (target,), {"keep": keep})
        if progress is not None:
            call.kwargs["progress"] = call.by_caller(progress)
        self._loop_thread.finish(call)

    def close(self) -> None:
        """As of Database; also ends the thread of the loop. Idempotent, and callable from any thread."""
        if not self._loop_thread.has_ended and not self._loop_thread.is_inherited:
            try:
                self._loop_thread.run(self._behind.close)
            finally:
                self._loop_thread.end()


class SyncContext:
    """``with`` for an async context manager, which open() makes on the loop when the block is entered."""

    def __init__(
        self, loop_thread: LoopThread, open: Callable[[], AbstractAsyncContextManager[Any]]
    ) -> None:
        self._loop_thread = loop_thread
        self._open = open
        self._manager: AbstractAsyncContextManager[Any] | None = None
        self._is_inside = False

    def __enter__(self) -> Any:
        try:
            return _with_face(self._loop_thread, self._loop_thread.run(self._enter))
        except BaseException as error:
            if self._is_inside:  # interrupted after it was entered, and before its block
                self.__exit__(type(error), error, error.__traceback__)
            raise

    async def _enter(self) -> Any:
        if self._manager is None:
            self._manager = self._open()
        value = await self._manager.__aenter__()
        self._is_inside = True
        return value

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        try:
            swallows: bool | None = self._loop_thread.run(self._leave, exc_type, exc, traceback)
        except DatabaseClosedError:
            if exc is None or not self._loop_thread.has_ended:
                raise
            return None  # closed in the block: everything of it was rolled back
        except BaseException as error:
            if self._is_inside:  # interrupted after its block, and before it was left
                self._loop_thread.run(self._leave, type(error), error, error.__traceback__)
            raise
        return swallows

    async def _leave(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        assert self._manager is not None, "left before it was entered"
        self._is_inside = False
        return await self._manager.__aexit__(exc_type, exc, traceback)


class SyncRows:
    """Rows one by one, as of an async iterator: ``for row in rows``, and ``with rows`` to leave it early."""

    def __init__(self, loop_thread: LoopThread, rows: AsyncIterator[Any]) -> None:
        self._loop_thread = loop_thread
        self._behind = rows
        self._batch: deque[Any] = deque()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self._batch:
            self._batch.extend(self._loop_thread.run(self._next_rows))
        if not self._batch:
            raise StopIteration
        return self._batch.popleft()

    async def _next_rows(self) -> list[Any]:
        if isinstance(self._behind, RowStream):
            return await self._behind.next_rows()
        try:
            return [await anext(self._behind)]
        except StopAsyncIteration:
            return []

    def __enter__(self) -> SyncRows:
        if isinstance(self._behind, ChangeStream):
            self._loop_thread.run(self._behind.__aenter__)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees the reader. Idempotent; iterating afterwards raises DatabaseClosedError."""
        self._batch.clear()
        end = getattr(self._behind, "close", None) or getattr(self._behind, "aclose", None)
        if end is not None and not self._loop_thread.has_ended:
            self._loop_thread.run(end)


def _with_face(loop_thread: LoopThread, value: Any) -> Any:
    """The result of a call, for a thread that waits."""
    kind = type(value)
    if issubclass(kind, UnitOfWork):
        return SyncUnitOfWork(loop_thread, value)
    if issubclass(kind, Catalogue):
        return SyncSnapshot(loop_thread, value)
    if issubclass(kind, Repository):
        return SyncRepository(loop_thread, value)
    if hasattr(kind, "__anext__"):
        return SyncRows(loop_thread, value)
    if hasattr(kind, "__aenter__"):
        return SyncContext(loop_thread, lambda: value)
    return value


def connect_sync(path: str | os.PathLike[str], **options: Any) -> SyncDatabase:
    """Opens a database for code without an event loop: scripts, cron jobs, Flask, Celery.

        with reelbase.connect_sync("media.db") as database:
            for file in database.files.list_for_profile("anna"):
                print(file.name)

    It has the repositories, units of work, snapshots and verbs of a Database, without ``await``. All threads
    of the program may share it: their calls share hops and commits. One loop, in a thread of its own, runs
    them.

    Args:
        path: as of connect().
        options: as of connect().

    Returns:
        The open SyncDatabase. Close it, or enter it with ``with``.

    Raises:
        DatabaseError: as of connect().
        RuntimeError: this thread runs an event loop.
    """
    connecting = connect(path, **options)  # refuses wrong options here
    loop_thread = LoopThread()
    try:
        return SyncDatabase(loop_thread, loop_thread.run(lambda: connecting))
    except BaseException:
        loop_thread.end()
        raise
