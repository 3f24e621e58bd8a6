"""``reelbase version``: which version a database has, and which this release knows."""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3

import reelbase
from reelbase import SCHEMA_VERSION, SchemaError
from reelbase.cli.output import in_one_line
from reelbase.cli.process import UsageError, run_async


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "version",
        help="say which version a database has, and which this release knows",
        description=(
            "Prints the version of this release, of the schema that it knows, of SQLite and of Python;"
            " given a database, also the version that it has. Changes nothing."
        ),
    )
    parser.add_argument("database", nargs="?", metavar="FILE", help="a database")
    parser.add_argument("--json", action="store_true", help="print the facts as one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    database: str | None = arguments.database
    found = None
    if database is not None:
        try:
            found = run_async(_version_of(database))
        except ValueError as error:
            raise UsageError(str(error)) from error
    if arguments.json:
        facts = {
            "reelbase": reelbase.__version__,
            "schema": SCHEMA_VERSION,
            "sqlite": sqlite3.sqlite_version,
            "python": platform.python_version(),
        }
        print(json.dumps(facts if found is None else {**facts, "database": found}, indent=2))
        return 0
    print(versions())
    if database is not None:
        name = in_one_line(database)
        hint = (
            "" if found == SCHEMA_VERSION else f"; `reelbase migrate {name}` brings it up to date"
        )
        print(f"{name} has version {found}{hint}")
    return 0


def versions() -> str:
    """The versions of reelbase, its schema, SQLite and Python, in a line."""
    return (
        f"reelbase {reelbase.__version__}, schema {SCHEMA_VERSION}, "
        f"SQLite {sqlite3.sqlite_version}, Python {platform.python_version()}"
    )


async def _version_of(database: str) -> int:
    ledger = await reelbase.migration_history(database)
    known = [line.version for line in ledger if line.application is None]
    if not known:
        raise SchemaError(
            f"{database} has an empty ledger of migrations; see `reelbase check`", code="drifted"
        )
    return max(known)
