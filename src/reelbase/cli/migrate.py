"""``reelbase migrate``: migrates an older database to the newest schema version, or to an earlier one."""

from __future__ import annotations

import argparse
import json

import msgspec

import reelbase
from reelbase import SCHEMA_VERSION, MigrationReport, Migrations, MigrationStep
from reelbase.cli.arguments import add_database, add_json
from reelbase.cli.output import Progress, in_one_line, progress_display
from reelbase.cli.process import UsageError, run_async
from reelbase.operations.quantities import counted


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "migrate",
        help="bring a database up to date, after a copy beside it",
        description=(
            f"Migrates a database to schema version {SCHEMA_VERSION}, or to an earlier one, all in one"
            " transaction: stopped or killed at any time, it has the version that it had. The"
            " database as it was is kept beside it, or in DIR, as FILE.v<version>.bak; the three newest"
            " copies stay. There is no way back but to restore that copy. Applications that open an older"
            " database do the same by themselves."
        ),
    )
    add_database(parser)
    parser.add_argument(
        "--to", type=int, metavar="N", help="the version to stop at (default: the newest)"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be done, try it on a copy that is thrown away, and change nothing",
    )
    parser.add_argument(
        "--backup-dir",
        metavar="DIR",
        help="the folder of the copy, created if missing (default: that of the database)",
    )
    parser.add_argument(
        "--own",
        nargs=2,
        metavar=("NAME", "FOLDER"),
        help="then run the migrations of the application NAME, which lie in FOLDER",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    try:
        own = Migrations(*arguments.own) if arguments.own else None
        report = run_async(_migrate(arguments, own))
    except ValueError as error:
        raise UsageError(str(error)) from error
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(report, enc_hook=str), indent=2))
    else:
        _print(arguments.file, report)
    return 0


async def _migrate(arguments: argparse.Namespace, own: Migrations | None) -> MigrationReport:
    display = progress_display()
    last = Progress(0, 0, False, "")

    def show(what: str, done: int, total: int) -> None:
        nonlocal last
        last = Progress(done, total, False, what)
        display.show(last)

    try:
        return await reelbase.migrate(
            arguments.file,
            to=arguments.to,
            dry_run=arguments.dry_run,
            migrations=own,
            backup_dir=arguments.backup_dir,
            busy_timeout=30.0,
            progress=show,
        )
    finally:
        display.close(last)


def _print(database: str, report: MigrationReport) -> None:
    name = in_one_line(database)
    if not report.steps:
        print(f"{name} has version {report.to_version}; there is nothing to do")
        return
    for step in report.steps:
        print(_name(step))
    steps = counted(len(report.steps), "migration")
    if report.is_dry_run:
        print(f"{steps} would be run; they succeed on a copy of {name}, which is unchanged")
        return
    print(f"{name} has version {report.to_version} after {steps}")
    print(f"as it was before, version {report.from_version}, it is kept in {report.copy}")


def _name(step: MigrationStep) -> str:
    return f"{step.application or 'reelbase'} {step.version:04} {step.name}"
