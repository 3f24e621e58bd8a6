"""SIGTERM: it stops the workers of a program that has no handler of its own for it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class _Termination:
    """The handler of the signal while workers run."""

    def __init__(self) -> None:
        self._stops: list[tuple[asyncio.AbstractEventLoop, Callable[[], None]]] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        for loop, stop in self._stops:
            loop.call_soon_threadsafe(stop)

    def begin(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
        if not self._stops:
            signal.signal(signal.SIGTERM, self)
        self._stops.append((loop, stop))

    def end(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
        self._stops.remove((loop, stop))
        if not self._stops and signal.getsignal(signal.SIGTERM) is self:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


_termination = _Termination()


@contextmanager
def stopped_by_sigterm(stop: Callable[[], None]) -> Iterator[None]:
    """Calls stop on the event loop when SIGTERM comes. A handler of the program's own stays in place, and
    stop is not called then; nor is it outside the main thread, which alone gets signals."""
    is_free = signal.getsignal(signal.SIGTERM) in (signal.SIG_DFL, _termination)
    if not is_free or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    _termination.begin(loop, stop)
    try:
        yield
    finally:
        _termination.end(loop, stop)
