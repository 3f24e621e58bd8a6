"""``reelbase repair``: repairs a damaged database, and names the losses."""

from __future__ import annotations

import argparse
import json

import msgspec

import reelbase
from reelbase import RepairReport
from reelbase.cli.arguments import BUSY_SECONDS, add_database, add_json, file_path
from reelbase.cli.output import Progress, in_one_line, progress_display
from reelbase.cli.process import run_async
from reelbase.operations.quantities import counted


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "repair",
        help="mend a damaged database, and name the rows that are lost",
        description=(
            "Mends a damaged database of this or an earlier version. Stop the application first: a"
            " database that is in use is refused. If only indexes are damaged, they are rebuilt and no"
            " row is lost. If tables are damaged, every readable row is copied to a new file, and lost"
            " rows are named by table and key. The damaged file is kept beside it as"
            " FILE.damaged-<moment>; the repair needs room for two more files of its size. A sound"
            " database is not changed. If there is a recent backup, `reelbase restore` may give more"
            " back. Exit code 0: no loss, and the database is sound, 1: otherwise."
        ),
    )
    add_database(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    report = run_async(_repair(arguments))
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(report, enc_hook=str), indent=2))
    else:
        _print(in_one_line(arguments.file), report)
    return 1 if report.lost or report.problems else 0


async def _repair(arguments: argparse.Namespace) -> RepairReport:
    display = progress_display()
    last = Progress(0, 0, False, "")

    def show(what: str, done: int, total: int) -> None:
        nonlocal last
        last = Progress(done, total, False, what)
        display.show(last)

    try:
        path = file_path(arguments.file)
        return await reelbase.repair(path, busy_timeout=BUSY_SECONDS, progress=show)
    finally:
        display.close(last)


def _print(name: str, report: RepairReport) -> None:
    for problem in report.problems:
        print(f"problem: {in_one_line(problem)}")
    if report.copy is None:
        print(f"{name}: nothing to mend; it is unchanged")
        return
    for mended in report.mended:
        print(f"mended: {in_one_line(mended)}")
    for lost in report.lost:
        print(f"lost: {in_one_line(lost)}")
    rows = counted(sum(report.rows_lost.values()), "row")
    lost = f"{rows} lost" if report.lost else "nothing is lost"
    print(f"{name} is repaired and verified; {lost}")
    print(f"as it was before, it is kept in {in_one_line(str(report.copy))}")
