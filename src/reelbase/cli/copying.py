"""The progress of a copy, on stderr."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from reelbase.cli.output import Progress, progress_display
from reelbase.engine.copying import Progress as OnPages


@contextlib.contextmanager
def shown() -> Iterator[OnPages]:
    """What to call with (done_pages, total_pages)."""
    display = progress_display()
    last = Progress(0, 0, False, "pages")

    def show(done_pages: int, total_pages: int) -> None:
        nonlocal last
        note = "pages" if done_pages < total_pages else "pages, being verified"
        last = Progress(done_pages, total_pages, False, note)
        display.show(last)

    try:
        yield show
    finally:
        display.close(last)
