"""``reelbase restore``: replaces a database by a backup."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import reelbase
from reelbase import CommitUncertainError, DatabaseCorruptError, SchemaError
from reelbase.cli.arguments import add_json, file_path
from reelbase.cli.display import shown
from reelbase.cli.output import in_one_line
from reelbase.cli.process import UsageError, run_async

_SUFFIXES = ("", "-wal", "-journal")  # of the files of a database that may hold rows


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "restore",
        help="replace a database that is not in use by a backup",
        description=(
            "Copies and verifies BACKUP, and then replaces FILE by the copy in one step, after a backup of"
            " FILE beside it. Stop the application first: a database that is in use is refused. A damaged"
            " FILE is kept under a different name."
        ),
    )
    parser.add_argument("backup", metavar="BACKUP", help="a copy made by `reelbase backup`")
    parser.add_argument("file", metavar="FILE", help="the database; made if it does not exist")
    parser.add_argument(
        "--no-backup",
        action="store_true",
        help="keep no copy of FILE; its rows are gone afterwards",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    backup, target = file_path(arguments.backup, "BACKUP"), file_path(arguments.file)
    if backup.resolve() == target.resolve():
        raise UsageError(f"{backup} cannot be restored to itself; name the database as FILE")
    kept = None
    if not arguments.no_backup and target.exists() and target.stat().st_size > 0:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        kept = target.with_name(f"{target.name}.{stamp}.bak")
    started = time.monotonic()
    aside, kept = run_async(_restore(backup, target, kept))
    seconds = time.monotonic() - started
    if arguments.json:
        facts = {
            "restored": str(target),
            "set_aside": aside and str(aside),
            "backup": kept and str(kept),
            "seconds": seconds,
        }
        print(json.dumps(facts, indent=2))
    else:
        print(f"{in_one_line(str(target))}: restored and verified in {seconds:.1f} s")
        if kept is not None:
            print(f"the database before is kept as {in_one_line(str(kept))}")
        if aside is not None:
            print(f"the damaged or incomplete file before is kept as {in_one_line(str(aside))}*")
    return 0


async def _restore(
    backup: Path, target: Path, kept: Path | None
) -> tuple[Path | None, Path | None]:
    """Where a damaged target was set aside, and the copy of a target that was kept. kept: its name; None: no
    copy is wanted."""
    with shown("pages", at_the_end=", being verified") as progress:
        if kept is None:
            return await reelbase.restore(backup, target, progress=progress), None
        try:
            await reelbase.backup(target, kept, progress=progress)
        except (DatabaseCorruptError, SchemaError):  # no verified copy can be made of it
            await asyncio.to_thread(_copy_bytes, target, kept)
        try:
            aside = await reelbase.restore(backup, target, progress=progress)
        except CommitUncertainError:
            raise
        except BaseException:
            _remove(kept)
            raise
    if aside is None:
        return None, kept
    _remove(kept)  # it was set aside, with what lay beside it
    return aside, None


def _copy_bytes(target: Path, kept: Path) -> None:
    """Copies a database that cannot be opened as it lies there, with the log or journal beside it."""
    target = target.resolve()
    for suffix in _SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(f"{target}{suffix}", f"{kept}{suffix}")


def _remove(kept: Path) -> None:
    for suffix in _SUFFIXES:
        Path(f"{kept}{suffix}").unlink(missing_ok=True)
