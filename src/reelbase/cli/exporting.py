"""``reelbase export``: all rows as lines of JSON."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from reelbase.cli.counting import shown
from reelbase.cli.opening import add_database, add_json, existing, file_path
from reelbase.cli.output import counted, print_facts
from reelbase.cli.running import UsageError, run_async
from reelbase.transfer import export_lines

EDGES = "reelbase.ndjson"  # of a folder, the file with the first and the last line


class _Facts(msgspec.Struct, frozen=True):
    database: str
    target: str
    rows: dict[str, int]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "export",
        help="write all rows as lines of JSON",
        description=(
            "Writes all rows of one moment as newline-delimited JSON, to a new file, to a folder with a"
            " file per table, or to the output. `reelbase import` makes the same database of it."
            " Search indexes are not exported; keys stay encrypted."
        ),
    )
    add_database(parser)
    parser.add_argument(
        "target",
        metavar="TARGET",
        nargs="?",
        default="-",
        help="a new file, an empty folder (or a name that ends with /), or - (the default)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if arguments.target == "-" and arguments.json:
        raise UsageError("--json and the rows would both go to the output; name a TARGET")
    path = file_path(arguments.file)
    with _sink(arguments.target) as sink:
        rows = run_async(_export(path, sink))
    if arguments.target != "-":
        facts = _Facts(str(path), arguments.target, rows)
        total = sum(rows.values())
        print_facts(facts, arguments, [f"{arguments.target}: {counted(total, 'row')}"])
    return 0


async def _export(path: Path, sink: _Sink) -> dict[str, int]:
    rows: dict[str, int] = {}
    async with existing(str(path)) as database:
        with shown("rows") as progress:
            async for table, line in export_lines(database, progress):
                sink.write(table, line)
                if table:
                    rows[table] = rows.get(table, 0) + 1
    return rows


class _Sink:
    """Where lines go: one stream, or a file per table."""

    def __init__(self, stream: BinaryIO | None, folder: Path | None) -> None:
        self._stream = stream
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}
        self.stack = contextlib.ExitStack()

    def write(self, table: str, line: bytes) -> None:
        (self._stream or self._file(table)).write(line)

    def _file(self, table: str) -> BinaryIO:
        assert self._folder is not None
        if table not in self._files:
            name = f"{table}.ndjson" if table else EDGES
            self._files[table] = self.stack.enter_context(_new_file(self._folder / name))
        return self._files[table]


@contextlib.contextmanager
def _sink(target: str) -> Iterator[_Sink]:
    if target == "-":
        yield _Sink(sys.stdout.buffer, None)
        return
    path = Path(target)
    if not target.endswith("/") and not path.is_dir():
        with _new_file(path) as stream:
            yield _Sink(stream, None)
        return
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise UsageError(f"{target} is not empty; name an empty folder")
    sink = _Sink(None, path)
    with sink.stack:
        yield sink


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file for its owner only, which does not stay when the block fails."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} exists already; name a new file") from None
    try:
        with open(descriptor, "wb") as stream:
            yield stream
    except BaseException:
        path.unlink(missing_ok=True)
        raise
