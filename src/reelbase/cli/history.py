"""``reelbase history``: the migrations that were applied to a database."""

from __future__ import annotations

import argparse
import json

import msgspec

import reelbase
from reelbase import AppliedMigration
from reelbase.cli.arguments import add_database, add_json
from reelbase.cli.output import Table, in_one_line, print_tables
from reelbase.cli.process import UsageError, run_async


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "history",
        help="list the migrations that were applied to a database",
        description=(
            "Prints the ledger of a database: which migrations were applied and when, first the"
            " migrations of reelbase, then those of applications. Changes nothing."
        ),
    )
    add_database(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    try:
        lines = run_async(_history(arguments.file))
    except ValueError as error:
        raise UsageError(str(error)) from error
    if arguments.json:
        print(json.dumps({"migrations": msgspec.to_builtins(lines)}, indent=2))
        return 0
    rows = [
        [
            f"{line.application or 'reelbase'} {line.version:04} {line.name}",
            line.applied_at.isoformat(sep=" ", timespec="seconds"),
            line.checksum[:12],
        ]
        for line in lines
    ]
    title = f"Migrations of {in_one_line(arguments.file)}"
    print_tables([Table(title, ["migration", "applied at", "checksum"], rows)])
    return 0


async def _history(database: str) -> list[AppliedMigration]:
    return await reelbase.migration_history(database)
