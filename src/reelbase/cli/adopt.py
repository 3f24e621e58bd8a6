"""``reelbase adopt``: restores the marks of a reelbase database that has lost them."""

from __future__ import annotations

import argparse
import json

import reelbase
from reelbase import SCHEMA_VERSION
from reelbase.cli.arguments import add_database, add_json
from reelbase.cli.output import in_one_line
from reelbase.cli.process import UsageError, run_async


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "adopt",
        help="mark a database whose version is unknown, if its schema is that of a version",
        description=(
            "A database that was read from a dump has lost its marks: the application id, the schema"
            " version and the ledger of migrations. They are set again if its tables, indexes and"
            " triggers are exactly those of a version; otherwise the nearest version and the"
            " differences are named, and nothing is changed."
        ),
    )
    add_database(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    try:
        version = run_async(_adopt(arguments.file))
    except ValueError as error:
        raise UsageError(str(error)) from error
    if arguments.json:
        print(json.dumps({"version": version, "newest": SCHEMA_VERSION}, indent=2))
        return 0
    name = in_one_line(arguments.file)
    hint = "" if version == SCHEMA_VERSION else f"; `reelbase migrate {name}` brings it up to date"
    print(f"{name} has version {version}{hint}")
    return 0


async def _adopt(database: str) -> int:
    return await reelbase.adopt(database)
