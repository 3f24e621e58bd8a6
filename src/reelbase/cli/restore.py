"""``reelbase restore``: replaces a database by a backup."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import reelbase
from reelbase.cli.arguments import add_json, file_path
from reelbase.cli.display import shown
from reelbase.cli.output import in_one_line
from reelbase.cli.process import UsageError, run_async


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "restore",
        help="replace a database that is not in use by a backup",
        description=(
            "Copies and verifies BACKUP, and then replaces FILE by the copy in one step. Stop the"
            " application first: a database that is in use is refused. The rows of FILE are gone"
            " afterwards, so back it up if in doubt; a damaged FILE is kept under a different name."
        ),
    )
    parser.add_argument("backup", metavar="BACKUP", help="a copy made by `reelbase backup`")
    parser.add_argument("file", metavar="FILE", help="the database; made if it does not exist")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    backup, target = file_path(arguments.backup, "BACKUP"), file_path(arguments.file)
    if backup.resolve() == target.resolve():
        raise UsageError(f"{backup} cannot be restored to itself; name the database as FILE")
    started = time.monotonic()
    aside = run_async(_restore(backup, target))
    seconds = time.monotonic() - started
    if arguments.json:
        facts = {"restored": str(target), "set_aside": aside and str(aside), "seconds": seconds}
        print(json.dumps(facts, indent=2))
    else:
        print(f"{in_one_line(str(target))}: restored and verified in {seconds:.1f} s")
        if aside is not None:
            print(f"the damaged or incomplete file before is kept as {in_one_line(str(aside))}*")
    return 0


async def _restore(backup: Path, target: Path) -> Path | None:
    with shown("pages", at_the_end=", being verified") as progress:
        return await reelbase.restore(backup, target, progress=progress)
