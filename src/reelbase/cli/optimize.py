"""``reelbase optimize``: keeps a database quick and small."""

from __future__ import annotations

import argparse
import json
import time

import msgspec

from reelbase.cli.arguments import add_database, add_json, existing
from reelbase.cli.output import in_one_line, size
from reelbase.cli.process import run_async


class OptimizeReport(msgspec.Struct, frozen=True):
    """The sizes are those of the database with its write-ahead log."""

    bytes_before: int
    bytes_after: int
    seconds: float


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "optimize",
        help="merge search indexes, gather statistics, and give room back",
        description=(
            "Merges search indexes, gathers statistics of the application's own tables for the query"
            " planner and empties the write-ahead log. The database may be in use meanwhile."
        ),
    )
    add_database(parser)
    parser.add_argument(
        "--vacuum",
        action="store_true",
        help="also rebuild the file without the room that deleted rows left; writers wait for it, and "
        "it needs twice the size of the database on the disk for a while",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    report = run_async(_optimize(arguments.file, vacuum=arguments.vacuum))
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(report), indent=2))
    else:
        print(
            f"{in_one_line(arguments.file)}: {size(report.bytes_before)} before, "
            f"{size(report.bytes_after)} now, in {report.seconds:.1f} s"
        )
    return 0


async def _optimize(file: str, *, vacuum: bool) -> OptimizeReport:
    started = time.monotonic()
    async with existing(file) as database:
        before = await database.stats()
        await database.optimize()
        if vacuum:
            await database.vacuum()
        await database.checkpoint()
        after = await database.stats()
    return OptimizeReport(
        bytes_before=before.size_bytes + before.wal_bytes,
        bytes_after=after.size_bytes + after.wal_bytes,
        seconds=time.monotonic() - started,
    )
