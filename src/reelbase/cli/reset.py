"""``reelbase reset``: deletes all rows of the schema's tables."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from reelbase import DatabaseError
from reelbase.cli.arguments import BUSY_SECONDS, add_database, add_json, existing, file_path
from reelbase.cli.output import in_one_line, print_facts
from reelbase.cli.process import UsageError, run_async
from reelbase.operations.quantities import counted
from reelbase.operations.reset import Reset, reset


class _Facts(msgspec.Struct, frozen=True):
    """The result; tables without such rows are left out.

    deleted: rows by table of the schema.  own_deleted, own_changed: rows by table of the application.
    backup: the copy that was made before, or None.  not_vacuumed: why the file was not made smaller, or
    None.
    """

    database: str
    deleted: dict[str, int]
    own_deleted: dict[str, int]
    own_changed: dict[str, int]
    backup: str | None
    not_vacuumed: str | None


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "reset",
        help="delete all rows",
        description=(
            "Deletes all rows of the tables of the schema, in one transaction, after a backup beside the"
            " file. Rows of your own tables are deleted or changed with them where your foreign keys (ON"
            " DELETE CASCADE, SET NULL, SET DEFAULT) or triggers say so: the question tells how many, and"
            " --yes needs --own-rows then. If rows of yours refer to the schema's by any other foreign key,"
            " nothing is deleted."
        ),
    )
    add_database(parser)
    add_json(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--own-rows",
        action="store_true",
        help="rows of your own tables may be deleted or changed as well",
    )
    parser.add_argument("--no-backup", action="store_true", help="keep no copy")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    path = file_path(arguments.file)
    if not arguments.yes and not sys.stdin.isatty():
        raise UsageError("nothing was deleted; answer yes, or pass --yes")
    expected = run_async(_rehearse(path))
    if arguments.yes and expected.reaches_own_rows and not arguments.own_rows:
        raise UsageError(
            f"rows of your own tables would be deleted or changed ({expected.reach}); nothing was"
            " deleted. Pass --own-rows to allow it"
        )
    if not arguments.yes and not _is_confirmed(path, expected):
        raise UsageError("nothing was deleted; answer yes, or pass --yes")
    backup = None
    if not arguments.no_backup:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        backup = path.with_name(f"{path.name}.{stamp}.bak")
    done, not_vacuumed = run_async(_reset(path, backup, own_rows=expected.reaches_own_rows))
    facts = _Facts(
        str(path),
        done.deleted,
        done.own_deleted,
        done.own_changed,
        None if backup is None else str(backup),
        not_vacuumed,
    )
    lines = [f"{facts.database}: {counted(sum(done.deleted.values()), 'row')} deleted"]
    if done.reaches_own_rows:
        lines.append(f"your own tables: {done.reach}")
    if facts.backup:
        lines.append(f"backup: {facts.backup}")
    if facts.not_vacuumed:
        lines.append(f"the file was not made smaller: {facts.not_vacuumed}")
    print_facts(facts, arguments, lines)
    return 0


def _is_confirmed(path: Path, expected: Reset) -> bool:
    question = f"Delete all rows of {path}?"
    if expected.reaches_own_rows:
        question += f" Rows of your own tables are deleted or changed with them ({expected.reach})."
    print(f"{in_one_line(question)} Type yes: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() == "yes"


async def _rehearse(path: Path) -> Reset:
    async with existing(str(path)):  # refuses a file that is no database
        pass
    return await reset(path, is_rehearsal=True, busy_timeout=BUSY_SECONDS)


async def _reset(path: Path, backup: Path | None, *, own_rows: bool) -> tuple[Reset, str | None]:
    async with existing(str(path)) as database:
        if backup is not None:
            await database.backup(backup)
        done = await reset(path, own_rows=own_rows, busy_timeout=BUSY_SECONDS)
        try:
            await database.vacuum()
        except DatabaseError as error:
            if error.code != "not_loaded":
                raise
            return done, str(error)
    return done, None
