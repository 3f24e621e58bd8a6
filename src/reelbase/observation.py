"""Observation: the result of a function of reads, now and whenever a commit has changed it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, TypeVar

from reelbase.engine.live.changes import ChangeStream

R = TypeVar("R")

_NOTHING = object()


class Observation(Generic[R]):
    """The results of a function, an async iterator and an async context manager in one. It has one consumer.

    database.observe() makes it. It holds the last result, and no connection while it waits.
    """

    def __init__(self, read: Callable[[], Awaitable[R]], changes: ChangeStream) -> None:
        self._read = read
        self._changes = changes
        self._last: object = _NOTHING
        self._is_due = False  # a commit was told of, and its result not read yet

    def __aiter__(self) -> Observation[R]:
        return self

    async def __anext__(self) -> R:
        if self._last is _NOTHING and not self._is_due:
            await self._changes.__aenter__()  # from here on no commit is missed
            self._is_due = True
        while True:
            if not self._is_due:
                await anext(self._changes)
                self._is_due = True
            # A step that is cancelled, or whose function fails, leaves the result due.
            result = await self._read()
            self._is_due = False
            if result != self._last:
                self._last = result
                return result

    async def __aenter__(self) -> Observation[R]:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the observation, also for a task that waits for it. Idempotent."""
        self._changes.close()
