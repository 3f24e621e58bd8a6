"""Ending a statement that runs, from within its own thread."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator

_OPERATIONS = 100_000  # of SQLite's machine, between two looks


@contextlib.contextmanager
def interruptible(native: sqlite3.Connection, on_step: Callable[[], None]) -> Iterator[None]:
    """on_step is called now and then while statements run inside the block; what it raises ends them,
    and comes out."""
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
