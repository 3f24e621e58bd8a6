"""Interrupts a running statement from within its own thread."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator

_OPERATIONS = 100_000  # of SQLite's virtual machine, between two calls of on_step


@contextlib.contextmanager
def interruptible(native: sqlite3.Connection, on_step: Callable[[], None]) -> Iterator[None]:
    """Calls on_step now and then while statements run inside the block. An exception of on_step ends the
    running statement, and the block raises it."""
    given_up: list[BaseException] = []

    def look() -> int:
        try:
            on_step()
        except BaseException as error:  # sqlite3 only tells the statement to stop
            given_up.append(error)
        return len(given_up)

    native.set_progress_handler(look, _OPERATIONS)
    try:
        yield
    except Exception:
        if given_up:
            raise given_up[0] from None
        raise
    finally:
        native.set_progress_handler(None, 0)
