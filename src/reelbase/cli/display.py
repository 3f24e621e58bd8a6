"""The progress of work that is counted, on stderr."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from reelbase.cli.output import Progress, progress_display


@contextlib.contextmanager
def shown(items: str, *, at_the_end: str = "") -> Iterator[Callable[[int, int], None]]:
    """Shows progress while the block runs, and gives the function to call with (done, total).

    items: the name of the counted items.  at_the_end: added to it once done is total, for the last step.
    """
    display = progress_display()
    last = Progress(0, 0, False, items)

    def show(done: int, total: int) -> None:
        nonlocal last
        last = Progress(done, total, False, items if done < total else items + at_the_end)
        display.show(last)

    try:
        yield show
    finally:
        display.close(last)
