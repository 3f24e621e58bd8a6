"""A queue that a transaction or another process may hold up, and the limit on waiting in it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import abstractmethod
from collections import deque
from typing import Any

from reelbase.engine.native.watch import Watch
from reelbase.engine.threads.connection import Connection
from reelbase.engine.threads.mailbox import Mailbox
from reelbase.engine.threads.worker import Request, Worker
from reelbase.errors import DatabaseBusyError


class WaitingWorker(Worker):
    """A worker with requests that wait at most busy_timeout while its connection or the lock is held."""

    def __init__(
        self,
        connection: Connection,
        mailbox: Mailbox,
        watch: Watch | None,
        busy_timeout_seconds: float,
    ) -> None:
        super().__init__(connection, deque(), mailbox, watch)
        self.busy_timeout_seconds = busy_timeout_seconds
        self._expiry: asyncio.TimerHandle | None = None
        # Since when the queue has not moved: a transaction holds the connection, or BEGIN waits for
        # another process. None while it moves. Written on the thread.
        self._stuck_since: float | None = None

    @abstractmethod
    def _holder(self) -> str:
        """The holder that keeps the queue from moving, for the text of an error."""

    def withdraw(self, future: asyncio.Future[Any]) -> bool:
        """Takes a request out of the queue; False when the thread has already taken it."""
        return any(self._remove(request) for request in self._waiting() if request.future is future)

    def _limit_waiting(self) -> None:
        """Starts the timer that fails requests which wait too long. One timer serves the whole queue."""
        if self._expiry is None:
            self._expiry = self._loop.call_later(self.busy_timeout_seconds, self._expire)

    def _stop_limiting(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()

    def _expire(self) -> None:
        """Fails the requests that waited longer than busy_timeout in a queue that did not move.

        In a long queue that moves, a request waits for its turn and not for a lock.
        """
        self._expiry = None
        now = time.monotonic()
        stuck_since = self._stuck_since
        for request in self._waiting():
            if stuck_since is None:
                break
            if max(stuck_since, request.enqueued) + self.busy_timeout_seconds > now:
                break
            if self._remove(request) and not request.future.done():
                request.future.set_exception(
                    DatabaseBusyError(
                        f"{self._holder()} held the database for longer than "
                        f"busy_timeout ({self.busy_timeout_seconds:g} s)"
                    )
                )
        if self.inbox:
            with contextlib.suppress(IndexError):
                waits_since = max(self.inbox[0].enqueued, stuck_since or now)
                wait = waits_since + self.busy_timeout_seconds - now
                self._expiry = self._loop.call_later(max(wait, 0.01), self._expire)

    def _waiting(self) -> tuple[Request, ...]:
        while True:
            try:
                return tuple(self.inbox)
            except RuntimeError:
                continue  # the connection's thread changed it in between

    def _remove(self, request: Request) -> bool:
        while True:
            try:
                self.inbox.remove(request)
            except ValueError:
                return False
            except IndexError:
                continue  # the thread took another request meanwhile
            return True
