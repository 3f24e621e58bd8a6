"""The same output drawn by rich, which the extra ``reelbase[cli]`` brings."""

from __future__ import annotations

from collections.abc import Sequence

import rich.box
import rich.progress
import rich.table
from rich.console import Console
from rich.text import Text

from reelbase.cli.output import Progress, Table, in_one_line


class RichProgress:
    """A bar that is gone when the work is done."""

    def __init__(self) -> None:
        self._bar = rich.progress.Progress(
            rich.progress.SpinnerColumn(),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.description}", markup=False),
            rich.progress.TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)
        self._bar.start()

    def show(self, progress: Progress) -> None:
        """Moves the bar."""
        self._bar.update(
            self._task,
            completed=progress.done,
            total=progress.total,
            description=in_one_line(progress.note),
        )

    def close(self, progress: Progress) -> None:
        """Ends the bar."""
        self._bar.stop()


def print_rich_tables(tables: Sequence[Table]) -> None:
    """Prints tables drawn by rich."""
    console = Console()
    for table in tables:
        drawn = rich.table.Table(
            title=Text(table.title), title_justify="left", box=rich.box.SIMPLE_HEAD
        )
        for number, column in enumerate(table.columns):
            drawn.add_column(Text(column), justify="right" if number else "left", overflow="fold")
        for row in table.rows:
            # Text, because a file name may look like rich's own markup.
            drawn.add_row(*(Text(in_one_line(cell)) for cell in row))
        console.print(drawn)
