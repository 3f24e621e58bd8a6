"""``reelbase demo``: a folder of real files becomes a media library, with the public API only."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

import reelbase
from reelbase import Database
from reelbase.cli.arguments import file_path
from reelbase.cli.demo.facts import holdings
from reelbase.cli.demo.kill import NO_JOB, kill_a_worker, outcome
from reelbase.cli.demo.queue import PROFILE_ID, SAMPLE, Found, queue_folder, queue_sample
from reelbase.cli.demo.reader import Reader
from reelbase.cli.demo.report import Report, look_inside, print_report
from reelbase.cli.demo.scan import DatabaseFiles, is_unicode
from reelbase.cli.demo.search import python_lines, search_for, words_to_find
from reelbase.cli.demo.workers import WORKERS, Done, Workers, count_unfinished
from reelbase.cli.output import Progress, progress_display, size
from reelbase.cli.process import UsageError, run_async

_DEFAULT_DATABASE = "reelbase-demo.db"
_PAGE = 1000
_SECONDS_BETWEEN_LOOKS = 0.1


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "demo",
        help="turn a folder of real files into a media library, and show what it holds",
        description=(
            "Scans a folder, adds its files to a database, queues a job for each and lets workers"
            " read them: size, SHA-256 and, of text files, the text. Subtitles (.srt, .vtt) become"
            " a transcript with segments of the video or audio file beside them, and a sentence of"
            " them is searched for; a folder without any is shown with a sample. One worker process"
            " is killed on the way, and its job is done by another. The folder is only read. It may"
            " be stopped or killed at any time; run again, it goes on, and later it brings the"
            " database up to date."
        ),
    )
    parser.add_argument(
        "folder",
        nargs="?",
        metavar="FOLDER",
        help="what to scan (default: the source tree of reelbase itself)",
    )
    parser.add_argument(
        "--database",
        metavar="FILE",
        default=_DEFAULT_DATABASE,
        help="the database to fill, made if it does not exist (default: ./%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the facts as one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    root = _checked_folder(arguments.folder or _own_tree())
    path = _checked_database(arguments.database)
    report = run_async(_demo(root, path))
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(report), indent=2))
    else:
        print_report(report)
    return 0


async def _demo(root: str, path: Path) -> Report:
    started = time.monotonic()
    found, done = Found(), Done()
    async with reelbase.connect(path, busy_timeout=30.0) as database:
        await database.profiles.ensure(PROFILE_ID)
        database_files = DatabaseFiles(path)
        reader = Reader(database_files)
        workers = Workers(database, reader, found, done)
        found.left = await count_unfinished(database)
        async with _shown(found, done, reader, workers):
            async with asyncio.TaskGroup() as group:
                group.create_task(queue_folder(database, root, database_files, found))
                kill = await kill_a_worker(database, found)
                _start(workers, group)
            words = await words_to_find(database, os.path.join(root, ""))
            if is_of_sample := words is None:
                await queue_sample(database, found)
                if kill is NO_JOB:
                    kill = await kill_a_worker(database, found)
                async with asyncio.TaskGroup() as group:
                    _start(workers, group)
                words = await words_to_find(database, str(SAMPLE))
            kill = await outcome(database, kill)
        vanished = await _vanished(database, root)
        held = await holdings(database)
        searched = await search_for(
            database, words or "", held.rows["segments"], is_of_sample=is_of_sample
        )
        journal = database.journal
    seconds = time.monotonic() - started
    return Report(
        database=str(path),
        database_bytes=await asyncio.to_thread(os.path.getsize, path),
        journal_mode=journal.mode,
        journal_reason=journal.reason,
        folder=root,
        found=found,
        done=done,
        vanished=vanished,
        seconds=seconds,
        files_per_second=done.files / seconds,
        holdings=held,
        kill=kill,
        search=searched,
        look_inside=look_inside(str(path)),
        python=python_lines(str(path), searched.words),
    )


def _start(workers: Workers, group: asyncio.TaskGroup) -> None:
    for number in range(WORKERS):
        group.create_task(workers.work(number))


@contextlib.asynccontextmanager
async def _shown(found: Found, done: Done, reader: Reader, workers: Workers) -> AsyncIterator[None]:
    """Progress on stderr while the block runs."""
    display = progress_display()

    def progress() -> Progress:
        note = f"{size(reader.bytes_read)} read"
        if workers.is_waiting and found.jobs > done.files:
            note += "; waiting for leases to end"
        return Progress(done.files, found.jobs, not found.is_complete, note)

    async def show() -> None:
        while True:
            display.show(progress())
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)

    showing = asyncio.create_task(show())
    try:
        yield
    finally:
        showing.cancel()
        (error,) = await asyncio.gather(showing, return_exceptions=True)
        display.close(progress())
    if isinstance(error, Exception):
        raise error


async def _vanished(database: Database, root: str) -> list[str]:
    """The paths below root that have a row and no file any more. Their rows are kept."""
    prefix = os.path.join(root, "")
    vanished: list[str] = []
    after = None
    while files := await database.files.page(PROFILE_ID, after=after, limit=_PAGE):
        paths = [file.path for file in files if file.path.startswith(prefix)]
        vanished += await asyncio.to_thread(_missing, paths)
        after = files[-1]
    return sorted(vanished)


def _missing(paths: list[str]) -> list[str]:
    return [path for path in paths if not os.path.lexists(path)]


def _own_tree() -> str:
    """The checkout that this package belongs to, else the package as it is installed."""
    package = Path(__file__).parents[2]
    root = package.parents[1]
    return str(root if (root / "pyproject.toml").is_file() else package)


def _checked_folder(folder: str) -> str:
    """The real path of a folder that can be scanned."""
    if not is_unicode(folder):
        raise UsageError(f"{folder!r} is no valid Unicode and cannot be stored; rename the folder")
    try:
        root = os.path.realpath(folder)
        os.scandir(root).close()
    except FileNotFoundError:
        raise UsageError(f"{folder} does not exist; name a folder to scan") from None
    except NotADirectoryError:
        raise UsageError(f"{folder} is no folder; name the folder that it is in") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{folder} cannot be scanned: {reason}; name another folder") from None
    return root


def _checked_database(database: str) -> Path:
    if not is_unicode(database):
        raise UsageError(f"{database!r} is no valid Unicode; choose another name")
    return file_path(database, "--database")
