"""``reelbase export``: the content of a database as lines of JSON."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from reelbase import SchemaError
from reelbase.cli.arguments import BUSY_SECONDS, add_database, add_json, file_path
from reelbase.cli.display import shown
from reelbase.cli.output import in_one_line, print_facts
from reelbase.cli.process import UsageError, run_async
from reelbase.operations.quantities import counted
from reelbase.operations.transfer import export_lines
from reelbase.operations.transfer.format import Header
from reelbase.operations.transfer.source import ExportReport, LeftOut

# The file of a folder for the lines that are no rows: the first, the last, and the application's objects.
EDGES = "reelbase.ndjson"


class _Facts(msgspec.Struct, frozen=True):
    database: str
    target: str
    rows: dict[str, int]
    left_out: list[LeftOut]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "export",
        help="write the content of a database as lines of JSON",
        description=(
            "Writes all rows of one moment as newline-delimited JSON, to a new file, to a folder with a"
            " file per table, or to the output. Your own tables, indexes, views and triggers come along, and"
            " the ledger of your migrations. `reelbase import` makes the same database of it. An object that"
            " needs a module, function or collation of your application is left out and named, and the exit"
            " code is then 1. Keys stay encrypted."
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
    """Runs the command; the exit code."""
    if arguments.target == "-" and arguments.json:
        raise UsageError("--json and the rows would both go to the output; name a TARGET")
    path = file_path(arguments.file)
    with _sink(arguments.target) as sink:
        report = run_async(_export(path, sink))
    for left_out in report.left_out:
        line = f"reelbase export: left out: {left_out.what}: {left_out.why}"
        print(in_one_line(line), file=sys.stderr)
    if arguments.target != "-":
        facts = _Facts(str(path), arguments.target, report.rows, report.left_out)
        total = sum(report.rows.values())
        print_facts(facts, arguments, [f"{arguments.target}: {counted(total, 'row')}"])
    return 1 if report.left_out else 0


async def _export(path: Path, sink: _Sink) -> ExportReport:
    try:
        with shown("rows") as progress:
            return await export_lines(
                path, sink.write, busy_timeout=BUSY_SECONDS, progress=progress
            )
    except SchemaError as error:
        if error.code == "empty":
            raise UsageError(str(error)) from error
        raise


class _Sink:
    """Where lines go: one stream, or a file per table."""

    def __init__(self, stream: BinaryIO | None, folder: Path | None) -> None:
        self._stream = stream
        self._folder = folder
        self._names: dict[str, str] = {}
        self._files: dict[str, BinaryIO] = {}
        self.stack = contextlib.ExitStack()

    def write(self, table: str, line: bytes) -> None:
        (self._stream or self._file(table, line)).write(line)

    def _file(self, table: str, line: bytes) -> BinaryIO:
        assert self._folder is not None
        if not self._files:  # the first line, which names all tables
            self._names = {"": EDGES, **msgspec.json.decode(line, type=Header).file_names}
        if table not in self._files:
            path = self._folder / self._names[table]
            self._files[table] = self.stack.enter_context(_new_file(path))
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
    """A file that only its owner can read; it is removed when the block fails."""
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
