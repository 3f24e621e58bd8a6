"""``reelbase import``: makes a database from an export, or from the database of another application."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from reelbase import SCHEMA_VERSION
from reelbase.cli import foreign
from reelbase.cli.arguments import BUSY_SECONDS, add_json, file_path
from reelbase.cli.display import shown
from reelbase.cli.export import EDGES
from reelbase.cli.output import print_facts
from reelbase.cli.process import UsageError, run_async
from reelbase.operations.quantities import counted
from reelbase.operations.transfer import import_lines
from reelbase.operations.transfer.format import Header
from reelbase.operations.transfer.target import StoredExport


class _Facts(msgspec.Struct, frozen=True):
    """The result. schema_version: that of the export."""

    database: str
    schema_version: int
    rows: dict[str, int]
    objects: int


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "import",
        help="make a database from an export, or from another application's database",
        usage=(
            "%(prog)s [--json] FILE SOURCE\n"
            "       %(prog)s --from [APP] OLD NEW [--dry-run] [--json]\n"
            "       %(prog)s --from-sqlite OLD --map FILE NEW [--dry-run] [--json]"
        ),
        description=(
            "Makes a database from an export, your own tables, indexes, views and triggers included: a new"
            " file, or an empty database; all of it or nothing. An export of an earlier release is migrated."
            " A statement in it may create the object that it is said to create, and nothing else. The new"
            " database has an identity of its own."
            " With --from or --from-sqlite: makes the database NEW from OLD, which another application has"
            " made and which is only read. Each row is imported, adjusted by a rule that has a name, or"
            " rejected; rejected rows, and what has no place here, go to NEW.rejects.ndjson. The exit code is"
            " 1 when a row was rejected."
        ),
    )
    parser.add_argument("file", metavar="FILE", help="the database; with --from OLD")
    parser.add_argument(
        "source",
        metavar="SOURCE",
        nargs="?",
        help="a file, a folder, or - for the input; with --from NEW",
    )
    foreign.add_arguments(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    if foreign.is_meant(arguments):
        return foreign.run(arguments)
    if arguments.source is None:
        raise UsageError("name the SOURCE: the export, or - for the input")
    path = file_path(arguments.file)
    with _source(arguments.source) as source:
        report = run_async(_import(path, source))
    facts = _Facts(str(path), report.schema_version, report.rows, report.objects)
    line = f"{facts.database}: {counted(sum(report.rows.values()), 'row')}"
    if report.schema_version < SCHEMA_VERSION:
        line += f", migrated from version {report.schema_version} to {SCHEMA_VERSION}"
    print_facts(facts, arguments, [line])
    return 0


async def _import(path: Path, source: _Stream | _Folder) -> StoredExport:
    with shown("rows", at_the_end=", being indexed") as progress:
        return await import_lines(
            path, source, locate=source.locate, busy_timeout=BUSY_SECONDS, progress=progress
        )


class _Stream:
    """The lines of a file, or of the input."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def locate(self, number: int) -> str:
        return f"line {number}"


class _Folder:
    """The lines of a folder, in the order in which one stream has them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._edges = folder / EDGES
        if not self._edges.exists():
            raise UsageError(f"{folder} holds no export: {EDGES} is missing")
        # For the first line of each part: its number in the whole export, the file, its number in the file.
        self._starts: list[tuple[int, str, int]] = []
        self._number = 0

    def __iter__(self) -> Iterator[bytes]:
        edges = self._edges.read_bytes().splitlines(keepends=True)
        try:
            header = msgspec.json.decode(b"".join(edges[:1]), type=Header)
        except msgspec.MsgspecError:
            yield from edges[:1]  # the reader raises the error
            return
        beginning = 1 + header.objects
        yield from self._counted(EDGES, edges[:beginning])
        for name in header.file_names.values():
            path = self._folder / name
            if path.exists():
                with path.open("rb") as stream:
                    yield from self._counted(name, stream)
        yield from self._counted(EDGES, edges[beginning:], beginning)

    def locate(self, number: int) -> str:
        if not self._starts:
            return f"{EDGES}, line {number}"
        start, name, line = [found for found in self._starts if found[0] <= number][-1]
        return f"{name}, line {line + number - start}"

    def _counted(self, name: str, lines: Iterable[bytes], skipped: int = 0) -> Iterator[bytes]:
        self._starts.append((self._number + 1, name, skipped + 1))
        for line in lines:
            self._number += 1
            yield line


@contextlib.contextmanager
def _source(source: str) -> Iterator[_Stream | _Folder]:
    if source == "-":
        yield _Stream(sys.stdin.buffer)
        return
    path = Path(source)
    if not path.exists():
        raise UsageError(f"{source} does not exist")
    if path.is_dir():
        yield _Folder(path)
        return
    with path.open("rb") as stream:
        yield _Stream(stream)
