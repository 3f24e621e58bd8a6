"""The output of commands: progress on stderr while they work, tables on stdout when they are done.

On a terminal, if rich is installed, rich draws both; everywhere else they are plain lines.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Protocol, TextIO

import msgspec

_SECONDS_BETWEEN_LINES = 1.0


class Progress(msgspec.Struct, frozen=True):
    """done of total items so far; total still grows while is_growing. note: text behind the numbers."""

    done: int
    total: int
    is_growing: bool
    note: str


class Table(msgspec.Struct, frozen=True):
    """A table. The first column is for names, all further columns are for numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class ProgressDisplay(Protocol):
    """Where progress is shown: a bar, or lines."""

    def show(self, progress: Progress) -> None:
        """Shows the progress; the display limits how often it draws."""

    def close(self, progress: Progress) -> None:
        """Shows the last progress, and ends the display."""


def progress_display() -> ProgressDisplay:
    """A bar that moves on a terminal with rich, else lines at least a second apart."""
    if _is_terminal(sys.stderr):
        try:
            from reelbase.cli.rich_display import RichProgress  # noqa: PLC0415  rich is an extra
        except ImportError:
            pass
        else:
            return RichProgress()
    return PlainProgress()


def print_tables(tables: Sequence[Table]) -> None:
    """Prints tables: drawn by rich on a terminal where it is installed, else plain."""
    if _is_terminal(sys.stdout):
        try:
            from reelbase.cli.rich_display import print_rich_tables  # noqa: PLC0415
        except ImportError:
            pass
        else:
            print_rich_tables(tables)
            return
    for table in tables:
        print(_plain(table))


def print_facts(facts: msgspec.Struct, arguments: argparse.Namespace, lines: Iterable[str]) -> None:
    """One JSON object with --json, else lines for people."""
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(facts), indent=2))
        return
    for line in lines:
        print(in_one_line(line))


class PlainProgress:
    """Lines that a log file can keep."""

    def __init__(self) -> None:
        self._next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
        self._has_shown = False

    def show(self, progress: Progress) -> None:
        """Prints a line, at most one a second."""
        if time.monotonic() >= self._next_line:
            self._print(progress)
            self._next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
            self._has_shown = True

    def close(self, progress: Progress) -> None:
        """Prints the last line, if there was one before."""
        if self._has_shown:
            self._print(progress)

    def _print(self, progress: Progress) -> None:
        plus = "+" if progress.is_growing else ""
        line = f"{progress.done:,} of {progress.total:,}{plus}  {progress.note}"
        print(line.rstrip(), file=sys.stderr, flush=True)


def in_one_line(text: str) -> str:
    """The text as it can be shown on one line: line breaks and control characters are escaped."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def size(size_bytes: float) -> str:
    """Three digits or so, in the decimal units that file managers use."""
    if size_bytes < 1000:
        return f"{size_bytes:,.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        size_bytes /= 1000
        if size_bytes < 1000:
            return f"{size_bytes:,.1f} {unit}"
    return f"{size_bytes / 1000:,.1f} TB"


def _plain(table: Table) -> str:
    grid = [table.columns, *([in_one_line(cell) for cell in row] for row in table.rows)]
    widths = [max(len(row[column]) for row in grid) for column in range(len(table.columns))]
    lines = [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in grid
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([table.title, "", lines[0], rule, *lines[1:], ""])


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()
