"""``reelbase purge``: deletes old finished work and old log entries."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta

import msgspec

from reelbase import Database, UnitOfWork
from reelbase.cli.arguments import add_database, add_json, existing
from reelbase.cli.output import print_facts
from reelbase.cli.process import run_async
from reelbase.operations.quantities import counted

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_KINDS = {
    "jobs": "finished jobs with their children",
    "downloads": "downloads that have ended",
    "sessions": "sessions without an active download, not seen since",
    "logs": "entries of the error log and of unsupported URLs",
    "audit": "the audit trail (only when it is named)",
}
_BY_DEFAULT = ("jobs", "downloads", "sessions", "logs")


class _Facts(msgspec.Struct, frozen=True):
    """The result. deleted: rows by kind.  files: the paths that the application should unlink now."""

    database: str
    dry_run: bool
    deleted: dict[str, int]
    files: list[str]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "purge",
        help="delete old finished jobs and downloads, idle sessions and log entries",
        description=(
            "Deletes jobs and downloads that ended longer ago than AGE, idle sessions and old log"
            " entries, and lists the files of the deleted downloads: the command itself unlinks none."
            " A few hundred rows are a transaction, so that an application can write meanwhile."
        ),
    )
    add_database(parser)
    add_json(parser)
    parser.add_argument(
        "--older-than",
        metavar="AGE",
        type=_age,
        required=True,
        help="a number with m, h, d or w: 90m, 12h, 30d, 8w",
    )
    parser.add_argument("--dry-run", action="store_true", help="count, but delete nothing")
    for kind, help in _KINDS.items():
        parser.add_argument(f"--{kind}", action="store_true", help=help)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    kinds = [kind for kind in _KINDS if getattr(arguments, kind)] or list(_BY_DEFAULT)
    facts = run_async(_purge(arguments.file, kinds, arguments.older_than, arguments.dry_run))
    verb = "would be deleted" if facts.dry_run else "deleted"
    lines = [f"{kind}: {counted(rows, 'row')} {verb}" for kind, rows in facts.deleted.items()]
    if facts.files:
        lines += ["files to unlink:", *(f"  {name}" for name in facts.files)]
    print_facts(facts, arguments, lines)
    return 0


async def _purge(file: str, kinds: list[str], older_than: timedelta, is_dry_run: bool) -> _Facts:
    async with existing(file) as database:
        if is_dry_run:
            async with database.transaction() as unit:
                deleted, files = await _delete(unit, kinds, older_than)
                await unit.rollback()
        else:
            deleted, files = await _delete(database, kinds, older_than)
    return _Facts(str(database.path), is_dry_run, deleted, files)


async def _delete(
    on: Database | UnitOfWork, kinds: list[str], older_than: timedelta
) -> tuple[dict[str, int], list[str]]:
    deleted: dict[str, int] = {}
    files: list[str] = []
    if "jobs" in kinds:
        deleted["jobs"] = await on.jobs.purge(older_than)
    if "downloads" in kinds:
        report = await on.downloads.purge(older_than)
        deleted["downloads"] = len(report.deleted)
        files += [download.filename for download in report.deleted if download.filename]
    if "sessions" in kinds:
        report = await on.downloads.purge_idle(older_than)
        deleted["sessions"] = report.sessions_deleted
        files += [download.filename for download in report.deleted if download.filename]
    if "logs" in kinds:
        deleted["logs"] = await on.error_log.prune(older_than)
        deleted["logs"] += await on.unsupported_urls.prune(older_than)
    if "audit" in kinds:
        deleted["audit"] = await on.audit.prune(older_than)
    return deleted, files


def _age(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no age; write 90m, 12h, 30d or 8w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
