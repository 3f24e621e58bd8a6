"""``reelbase reset``: an empty database again."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from reelbase.cli.opening import add_database, add_json, existing, file_path
from reelbase.cli.output import counted, print_facts
from reelbase.cli.running import UsageError, run_async
from reelbase.transfer import delete_all


class _Facts(msgspec.Struct, frozen=True):
    """deleted: rows by table, of those that had any.  backup: where they still are, or None."""

    database: str
    deleted: dict[str, int]
    backup: str | None


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "reset",
        help="delete all rows",
        description=(
            "Deletes all rows of all tables of ours, in one transaction, after a backup beside the"
            " file. Tables of your own stay as they are; where their rows refer to ours, nothing is"
            " deleted."
        ),
    )
    add_database(parser)
    add_json(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--no-backup", action="store_true", help="keep no copy")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    path = file_path(arguments.file)
    if not arguments.yes and not _is_confirmed(path):
        raise UsageError("nothing was deleted; answer yes, or pass --yes")
    backup = None
    if not arguments.no_backup:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        backup = path.with_name(f"{path.name}.{stamp}.bak")
    facts = run_async(_reset(path, backup))
    lines = [f"{facts.database}: {counted(sum(facts.deleted.values()), 'row')} deleted"]
    if facts.backup:
        lines.append(f"backup: {facts.backup}")
    print_facts(facts, arguments, lines)
    return 0


def _is_confirmed(path: Path) -> bool:
    if not sys.stdin.isatty():
        return False
    print(f"Delete all rows of {path}? Type yes: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() == "yes"


async def _reset(path: Path, backup: Path | None) -> _Facts:
    async with existing(str(path)) as database:
        if backup is not None:
            await database.backup(backup)
        counts = await delete_all(database)
        await database.vacuum()
    deleted = {table: rows for table, rows in counts.items() if rows}
    return _Facts(str(path), deleted, None if backup is None else str(backup))
