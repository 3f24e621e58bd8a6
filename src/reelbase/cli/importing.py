"""``reelbase import``: a database of what ``reelbase export`` wrote."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

import reelbase
from reelbase.cli.counting import shown
from reelbase.cli.exporting import EDGES
from reelbase.cli.opening import LONG_SECONDS, add_database, add_json, file_path
from reelbase.cli.output import counted, print_facts
from reelbase.cli.running import UsageError, run_async
from reelbase.transfer import Header, import_lines


class _Facts(msgspec.Struct, frozen=True):
    database: str
    rows: dict[str, int]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "import",
        help="store what export wrote",
        description=(
            "Stores an export in a new or empty database, all of it or nothing, and indexes what can be"
            " searched."
        ),
    )
    add_database(parser)
    parser.add_argument("source", metavar="SOURCE", help="a file, a folder, or - for the input")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    path = file_path(arguments.file)
    with _lines(arguments.source) as lines:
        header = run_async(_import(path, lines))
    facts = _Facts(str(path), header.rows)
    total = sum(header.rows.values())
    print_facts(facts, arguments, [f"{facts.database}: {counted(total, 'row')}"])
    return 0


async def _import(path: Path, lines: Iterable[bytes]) -> Header:
    async with reelbase.connect(path, migrate=False, slow_transaction=LONG_SECONDS) as database:
        with shown("rows", at_the_end=", being indexed") as progress:
            return await import_lines(database, lines, progress)


@contextlib.contextmanager
def _lines(source: str) -> Iterator[Iterable[bytes]]:
    if source == "-":
        yield sys.stdin.buffer
        return
    path = Path(source)
    if not path.exists():
        raise UsageError(f"{source} does not exist")
    if path.is_dir():
        yield _of_folder(path)
        return
    with path.open("rb") as stream:
        yield stream


def _of_folder(folder: Path) -> Iterator[bytes]:
    """The lines in the order in which one stream has them."""
    edges = folder / EDGES
    if not edges.exists():
        raise UsageError(f"{folder} holds no export: {EDGES} is missing")
    first, *last = edges.read_bytes().splitlines(keepends=True)
    yield first
    try:
        tables = list(msgspec.json.decode(first, type=Header).rows)
    except msgspec.MsgspecError:
        return  # who reads the line says so
    for table in tables:
        path = folder / f"{table}.ndjson"
        if path.exists():
            with path.open("rb") as stream:
                yield from stream
    yield from last
