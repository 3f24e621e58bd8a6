"""The executor: runs the steps of repositories and raw SQL, and gives them the time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from threading import Thread
from types import FrameType
from typing import Any, NamedTuple, Protocol, TypeVar

from reelbase.engine.secrets import Secrets
from reelbase.engine.statements.statement import Statement
from reelbase.engine.statements.step import Step

R = TypeVar("R")
# Called on the connection's thread with the connection, which only the engine knows.
Cleanup = Callable[[Any], None]


class HeldCursor(Protocol):
    """A cursor that stays open between two calls. Both methods run on the connection's thread."""

    def close(self, native: Any) -> None:
        """Closes the cursor."""
        ...

    def drain(self, native: Any) -> None:
        """Fetches the remaining rows into memory: the next write must not show among them."""
        ...


class StreamWatch(Protocol):
    """The watcher of a stream, called at its end."""

    def streamed(self, statement: Statement, read: Any, error: BaseException | None) -> None:
        """Called on the loop with the figures of the cursor."""
        ...


class CursorHost(NamedTuple):
    """A connection that a stream may keep a cursor on.

    is_shared: transactions of other tasks run on it between two batches, so no cursor may stay open.
    call: runs work on the connection's thread.  release: called on the loop when the stream is done.
    watched: the watcher of the stream; None: none.
    """

    is_shared: bool
    call: Callable[[Callable[[Any], Any]], Awaitable[Any]]
    release: Callable[[], None]
    watched: StreamWatch | None


class CallTask(asyncio.Task[R]):
    """A task that runs a call of another thread, which waits for it."""

    waiting_thread: Thread


def caller() -> Thread | asyncio.Task[Any] | None:
    """The identity of a caller: the thread that waits for this task, or else the task. None: no task runs."""
    task = asyncio.current_task() if asyncio._get_running_loop() else None
    return task.waiting_thread if isinstance(task, CallTask) else task


def call_site() -> str:
    """The file and line of the application that made the call; where the event loop made it, for a task of
    its own, the place from which the calling function was called."""
    frame = sys._getframe(2)
    return application_site() or f"{frame.f_code.co_filename}:{frame.f_lineno}"


def application_site() -> str | None:
    """The application's line that made the call; None when the event loop made it, for a task of its own."""
    waiting = caller()
    frame: FrameType | None
    if isinstance(waiting, Thread):
        frame = _application_frame(waiting)
    else:
        frame = sys._getframe(1)
        while frame is not None and _module(frame).startswith("reelbase."):
            frame = frame.f_back
    if frame is None or _module(frame).startswith("asyncio."):
        return None
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _application_frame(waiting: Thread) -> FrameType | None:
    """The frame of a waiting thread that has called the library; None when the thread has moved on."""
    frame = sys._current_frames().get(waiting.ident or 0)
    was_inside = False
    while frame is not None:
        is_inside = _module(frame).startswith("reelbase.")
        if was_inside and not is_inside:
            return frame
        was_inside = is_inside
        frame = frame.f_back
    return None


class Executor(Protocol):
    """One per Database, snapshot and unit of work: all that a repository sees of them."""

    @property
    def actor(self) -> str | None:
        """The name of the actor for the audit trail, or None."""
        ...

    @property
    def commits(self) -> bool:
        """Whether the writes of a call are committed when it returns."""
        ...

    @property
    def secrets(self) -> Secrets | None:
        """The keys of connect(secrets=)."""
        ...

    def now(self) -> datetime:
        """The time to store: of this call on a Database, of the whole unit in a unit of work."""
        ...

    def run(self, *steps: Step[Any]) -> Awaitable[list[Any]]:
        """Runs steps in one hop, all or nothing, and returns their results in order."""
        ...

    def run_one(self, step: Step[R]) -> Awaitable[R]:
        """Runs a step and returns its result."""
        ...

    async def cursor_host(self, cursor: HeldCursor, where: str) -> CursorHost:
        """A connection for a stream; the cursor is closed when the stream, or the unit, ends.

        where: the file and line that opened the stream.
        """
        ...
