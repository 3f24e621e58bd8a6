"""``reelbase check``: is this database sound?"""

from __future__ import annotations

import argparse
import json

import msgspec

from reelbase import HealthReport
from reelbase.cli.opening import add_database, add_json, existing
from reelbase.cli.output import counted, in_one_line
from reelbase.cli.running import run_async


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "check",
        help="look for damage, broken references and a schema that was changed",
        description=(
            "Reads the whole database and tells what is wrong with it. It may be in use meanwhile."
            " Exit code 0: it is sound, 1: it is not."
        ),
    )
    add_database(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    report = run_async(_check(arguments.file))
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(report), indent=2))
    else:
        _print(arguments.file, report)
    return 0 if report.ok else 1


async def _check(file: str) -> HealthReport:
    async with existing(file) as database:
        return await database.check()


def _print(file: str, report: HealthReport) -> None:
    for problem in report.problems:
        print(f"problem: {in_one_line(problem)}")
    for warning in report.warnings:
        print(f"note: {in_one_line(warning)}")
    verdict = "sound" if report.ok else f"not sound: {counted(len(report.problems), 'problem')}"
    print(
        f"{in_one_line(file)} is {verdict} (schema {report.schema_version}, journal mode "
        f"{report.journal_mode}, SQLite {report.sqlite_version})"
    )
    if not report.ok:
        print("stop the application and restore a backup: reelbase restore BACKUP FILE")
