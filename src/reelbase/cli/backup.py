"""``reelbase backup``: a verified copy of a database, while it is in use."""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from reelbase.cli.counting import shown
from reelbase.cli.opening import BUSY_SECONDS, add_database, add_json, file_path
from reelbase.cli.output import counted, in_one_line, size
from reelbase.cli.running import UsageError, run_async
from reelbase.engine.connection import Connection
from reelbase.engine.copying import Copying
from reelbase.engine.restoring import back_up_file


class BackupReport(msgspec.Struct, frozen=True):
    """What was made, and which older backups were removed."""

    backup: str
    size_bytes: int
    seconds: float
    removed: list[str]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "backup",
        help="copy a database while it is in use",
        description=(
            "Copies a database as it is at one moment, while applications write to it. The copy gets"
            " its name when it is complete and verified. TARGET is a new file, or a folder (default:"
            " the database's own) in which the copy is named after the database and the time."
        ),
    )
    add_database(parser)
    parser.add_argument("target", nargs="?", metavar="TARGET", help="a new file, or a folder")
    parser.add_argument(
        "--keep",
        type=int,
        metavar="N",
        help="in a folder: afterwards keep the newest N copies of this database and remove the others",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    path = file_path(arguments.file)
    folder = Path(arguments.target or path.parent).absolute()
    is_folder = folder.is_dir()
    if arguments.keep is not None and (not is_folder or arguments.keep < 1):
        raise UsageError("--keep N needs a folder as TARGET, and N of 1 or more")
    target = (
        folder / _name(path, datetime.now(UTC))
        if is_folder
        else file_path(arguments.target, "TARGET")
    )
    started = time.monotonic()
    run_async(_back_up(path, target))
    report = BackupReport(
        backup=str(target),
        size_bytes=target.stat().st_size,
        seconds=time.monotonic() - started,
        removed=_remove_older(path, folder, arguments.keep) if arguments.keep else [],
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


async def _back_up(path: Path, target: Path) -> None:
    # Not connect(): a backup brings nothing up to date, and also takes what an older release made.
    connection = Connection()
    try:
        with shown("pages", at_the_end=", being verified") as progress:
            copying = Copying(progress, has_ended=lambda: False)
            work = partial(
                back_up_file,
                path,
                target,
                busy_timeout_seconds=BUSY_SECONDS,
                on_step=copying.on_step,
            )
            await copying.finish(connection.call(work))
    finally:
        connection.close_soon()


def _name(path: Path, now: datetime) -> str:
    moment = f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}Z"
    return f"{path.stem}-{moment}{path.suffix}"


def _remove_older(path: Path, folder: Path, keep: int) -> list[str]:
    """Removes all but the newest copies that this command made of the database; their paths."""
    ours = re.compile(rf"{re.escape(path.stem)}-\d{{8}}T\d{{9}}Z{re.escape(path.suffix)}")
    names = sorted(name for name in os.listdir(folder) if ours.fullmatch(name))
    older = [folder / name for name in names[:-keep]]
    for file in older:
        file.unlink(missing_ok=True)
    return [str(file) for file in older]
