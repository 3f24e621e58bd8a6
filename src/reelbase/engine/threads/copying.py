"""A copy in progress: its steps are reported on the event loop, and a cancel reaches its thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from reelbase.engine.threads.connection import Connection
from reelbase.engine.threads.mailbox import notify
from reelbase.errors import DatabaseClosedError

R = TypeVar("R")
Progress = Callable[[int, int], None]
OnStep = Callable[[int, int], None]


class Copying:
    """Passes the progress of a copy to its caller, and the caller's cancel to the copy.

    progress: the caller's callback, or None. has_ended: whether the source is being closed.
    """

    def __init__(self, progress: Progress | None, has_ended: Callable[[], bool]) -> None:
        self._progress = progress
        self._has_ended = has_ended
        self._loop = asyncio.get_running_loop()
        self._is_given_up = False
        self._error: Exception | None = None
        self._reached: tuple[int, int] | None = None
        self._told: tuple[int, int] | None = None
        self._is_posted = False

    async def finish(self, copy: Awaitable[R]) -> R:
        """Waits for the copy on the thread, which calls on_step. A cancel ends it at its next step."""
        future = asyncio.ensure_future(copy)
        try:
            result = await asyncio.shield(future)
        except asyncio.CancelledError:
            self._is_given_up = True
            await asyncio.wait((future,))  # then its files are removed
            future.exception()  # seen; the cancel is what the caller gets
            raise
        self._tell()
        if self._error is not None:
            raise self._error
        return result

    def on_step(self, done_pages: int, total_pages: int) -> None:
        """Called on the thread. Raises when the copy was cancelled, its source closed, or progress raised."""
        if self._error is not None:
            raise self._error
        if self._is_given_up or self._has_ended():
            raise DatabaseClosedError("the copy was given up because the database was closed")
        self._reached = (done_pages, total_pages)
        if self._progress is not None and not self._is_posted and self._reached != self._told:
            self._is_posted = True
            notify(self._loop, self._tell)

    def _tell(self) -> None:
        self._is_posted = False
        if self._progress is None or self._reached is None or self._reached == self._told:
            return
        self._told = self._reached
        try:
            self._progress(*self._told)
        except Exception as error:
            self._error = error


async def on_a_thread(work: Callable[[OnStep], R], progress: Progress | None = None) -> R:
    """Calls work(on_step) on a thread of its own; a cancel ends the work at its next step."""
    connection = Connection()
    try:
        copying = Copying(progress, has_ended=lambda: False)
        return await copying.finish(connection.call(partial(work, copying.on_step)))
    finally:
        connection.close_soon()
