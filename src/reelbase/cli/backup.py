"""``reelbase backup``: a verified copy of a database, while it is in use."""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import reelbase
from reelbase import BackupReport
from reelbase.cli.arguments import BUSY_SECONDS, add_database, add_json, file_path
from reelbase.cli.display import shown
from reelbase.cli.output import in_one_line, size
from reelbase.cli.process import UsageError, run_async
from reelbase.operations.quantities import counted


class _Facts(msgspec.Struct, frozen=True):
    """The new backup, and the older ones that were removed."""

    backup: str
    size_bytes: int
    seconds: float
    removed: list[str]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "backup",
        help="copy a database while it is in use",
        description=(
            "Copies a database as it is at one moment, while applications write to it. The copy gets"
            " its name when it is complete and verified. TARGET is a new file, or a folder (default:"
            " the database's own) in which the copy is named after the database and the time. A TARGET"
            " that does not exist is a folder, and is made, if it ends with a slash or, with --keep, has"
            " no suffix such as .db."
        ),
    )
    add_database(parser)
    parser.add_argument("target", nargs="?", metavar="TARGET", help="a new file, or a folder")
    parser.add_argument(
        "--keep",
        type=int,
        metavar="N",
        help=(
            "afterwards keep the newest N copies of this database in the folder, this one included,"
            " and remove the older ones; a copy that was renamed stays"
        ),
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    path = file_path(arguments.file)
    if arguments.keep is not None and arguments.keep < 1:
        raise UsageError("--keep N needs N of 1 or more")
    folder = _folder(arguments, path)
    target = (
        file_path(arguments.target, "TARGET")
        if folder is None
        else folder / _name(path, datetime.now(UTC))
    )
    started = time.monotonic()
    done = run_async(_back_up(path, target, arguments.keep))
    report = _Facts(
        backup=str(target),
        size_bytes=done.size_bytes,
        seconds=time.monotonic() - started,
        removed=[str(copy) for copy in done.removed],
    )
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(report), indent=2))
    else:
        print(
            f"{in_one_line(report.backup)}: {size(report.size_bytes)}, verified, "
            f"in {report.seconds:.1f} s"
        )
        if report.removed:
            print(f"removed {counted(len(report.removed), 'older backup')}")
    return 0


def _folder(arguments: argparse.Namespace, path: Path) -> Path | None:
    """The folder that TARGET names, which exists afterwards; None: it names a file."""
    folder = Path(arguments.target or path.parent).absolute()
    if folder.is_dir():
        return folder
    is_named = arguments.target.endswith(("/", os.sep))
    if not is_named and (arguments.keep is None or folder.suffix or folder.exists()):
        return None
    if path.exists():  # else the copy is refused, and leaves no folder behind
        try:
            folder.mkdir()
        except OSError as error:
            raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder


async def _back_up(path: Path, target: Path, keep: int | None) -> BackupReport:
    # Not connect(): a backup does not migrate, and also takes a database of an older release.
    with shown("pages", at_the_end=", being verified") as progress:
        return await reelbase.backup(
            path, target, keep=keep, busy_timeout=BUSY_SECONDS, progress=progress
        )


def _name(path: Path, now: datetime) -> str:
    moment = f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}Z"
    return f"{path.stem}-{moment}{path.suffix}"
