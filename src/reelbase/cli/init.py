"""``reelbase init``: makes a database."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

import reelbase
from reelbase.cli.arguments import add_database, add_json, file_path
from reelbase.cli.output import print_facts
from reelbase.cli.process import run_async


class _Facts(msgspec.Struct, frozen=True):
    database: str
    is_new: bool
    schema_version: int
    journal_mode: str
    journal_reason: str


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "init",
        help="make a database",
        description=(
            "Makes a database with all tables, readable by its owner only. An existing reelbase database"
            " stays as it is; any other existing file is refused."
        ),
    )
    add_database(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    path = file_path(arguments.file)
    is_new = not path.exists() or path.stat().st_size == 0
    facts = run_async(_init(path, is_new))
    verb = "made" if facts.is_new else "is there already, unchanged"
    print_facts(
        facts,
        arguments,
        [
            f"{facts.database}: {verb}",
            f"schema version {facts.schema_version}; {facts.journal_reason}",
        ],
    )
    return 0


async def _init(path: Path, is_new: bool) -> _Facts:
    async with reelbase.connect(path, migrate=False) as database:
        return _Facts(
            database=str(database.path),
            is_new=is_new,
            schema_version=database.schema_version,
            journal_mode=database.journal.mode,
            journal_reason=database.journal.reason,
        )
