"""``reelbase check``: is this database sound?"""

from __future__ import annotations

import argparse
import json

import msgspec

from reelbase import HealthReport, SchemaError
from reelbase.cli.arguments import BUSY_SECONDS, add_database, add_json, file_path
from reelbase.cli.output import in_one_line
from reelbase.cli.process import UsageError, run_async
from reelbase.operations.examination import check_file
from reelbase.operations.quantities import counted


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "check",
        help="look for damage, broken references and a schema that was changed",
        description=(
            "Reads the whole database, of this or an earlier version, and names each problem and its"
            " remedy. The database may be in use meanwhile. Exit code 0: it is sound, 1: it is not."
        ),
    )
    add_database(parser)
    parser.add_argument(
        "--full",
        action="store_true",
        help="also compare every entry of every index with its row, which takes longer",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    path = file_path(arguments.file)
    try:
        report = run_async(check_file(path, full=arguments.full, busy_timeout=BUSY_SECONDS))
    except SchemaError as error:
        if error.code == "empty":
            raise UsageError(str(error)) from error
        raise
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(report), indent=2))
    else:
        _print(arguments.file, report)
    return 0 if report.ok else 1


def _print(file: str, report: HealthReport) -> None:
    for problem in report.problems:
        print(f"problem: {in_one_line(problem)}")
    for warning in report.warnings:
        print(f"note: {in_one_line(warning)}")
    verdict = "sound" if report.ok else f"not sound: {counted(len(report.problems), 'problem')}"
    rest = "" if "indexes" in report.looked_at else "; not at indexes, which --full does"
    print(
        f"{in_one_line(file)} is {verdict} (schema {report.schema_version}, journal mode "
        f"{report.journal_mode}, SQLite {report.sqlite_version}; looked at "
        f"{', '.join(report.looked_at)}{rest})"
    )
    if report.advice is not None:
        print(in_one_line(report.advice))
