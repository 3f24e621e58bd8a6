"""``reelbase import --from``: makes a database from the one of another application."""

from __future__ import annotations

import argparse
from datetime import tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

import reelbase
from reelbase import ImportReport, Secrets
from reelbase.cli.arguments import BUSY_SECONDS, file_path
from reelbase.cli.display import shown
from reelbase.cli.output import Table, in_one_line, print_facts, print_tables
from reelbase.cli.process import UsageError, run_async
from reelbase.importers.importer import NAMES
from reelbase.importers.map_file import import_mapped
from reelbase.operations.quantities import counted


class _Facts(msgspec.Struct, frozen=True):
    """The result, as of ImportReport. rejects: the path of the file; None: there is none."""

    database: str
    dry_run: bool
    application: str
    read: dict[str, int]
    imported: dict[str, int]
    adjusted: dict[str, int]
    rejected: dict[str, int]
    no_home: dict[str, int]
    ids: dict[str, dict[str, str]]
    notes: list[str]
    rejects: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of an import from another application."""
    group = parser.add_argument_group("from another application")
    group.add_argument(
        "--from",
        dest="application",
        metavar="APP",
        help=f"{', '.join(NAMES)}; left out: the one whose tables OLD has",
    )
    group.add_argument(
        "--from-sqlite",
        metavar="OLD",
        help="a database of any other application, with --map; FILE is then NEW",
    )
    group.add_argument(
        "--map", metavar="FILE", help="what becomes of its tables and columns (TOML)"
    )
    group.add_argument("--dry-run", action="store_true", help="try and count, but make no file")
    group.add_argument(
        "--timezone",
        metavar="ZONE",
        type=_zone,
        help="of times that a mirumoji of 2025 stored, such as Europe/Berlin (default: this machine's)",
    )
    group.add_argument(
        "--strip-prefix",
        metavar="PREFIX",
        default="",
        help="cut from the paths of a mirumoji of 2025: media_files/profiles/",
    )

    group.add_argument(
        "--encryption-key-file",
        metavar="FILE",
        help="with OpenTranscribe's ENCRYPTION_KEY; API keys come along with it and --secret-file only",
    )
    group.add_argument(
        "--secret-file",
        metavar="FILE",
        help="with the 32 bytes of your key, as reelbase.Secrets takes them",
    )


def is_meant(arguments: argparse.Namespace) -> bool:
    """Whether the import is from another application."""
    return (arguments.application, arguments.from_sqlite, arguments.map) != (None, None, None)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code: 1 when a row was rejected."""
    if arguments.from_sqlite is None and arguments.map is None:
        application, old, new = _named(arguments)
        path = file_path(new, "NEW")
        report = run_async(_import(arguments, application, file_path(old, "OLD"), path))
    elif arguments.from_sqlite is None or arguments.map is None or arguments.source is not None:
        raise UsageError("write --from-sqlite OLD --map FILE NEW")
    else:
        path = file_path(arguments.file, "NEW")
        report = run_async(_import_mapped(arguments, file_path(arguments.from_sqlite, "OLD"), path))
    _show(report, arguments, str(path))
    return 1 if report.rejected else 0


def _named(arguments: argparse.Namespace) -> tuple[str | None, str, str]:
    """The application, None where it is left out; OLD and NEW."""
    application: str = arguments.application
    old: str = arguments.file
    new: str | None = arguments.source
    if new is None:  # --from OLD NEW
        if application in NAMES:
            raise UsageError("name OLD, the application's database, and NEW, the database to make")
        return None, application, old
    if application not in NAMES:
        raise UsageError(f"--from {application}: name one of {', '.join(NAMES)}, or leave it out")
    return application, old, new


async def _import_mapped(arguments: argparse.Namespace, old: Path, new: Path) -> ImportReport:
    with shown("rows", at_the_end=", being indexed") as progress:
        return await import_mapped(
            file_path(arguments.map, "--map"),
            old,
            new,
            dry_run=arguments.dry_run,
            busy_timeout=BUSY_SECONDS,
            progress=progress,
        )


async def _import(
    arguments: argparse.Namespace, application: str | None, old: Path, new: Path
) -> ImportReport:
    encryption_key, secrets = _keys(arguments)
    with shown("rows", at_the_end=", being indexed") as progress:
        return await reelbase.import_from(
            application,
            old,
            new,
            dry_run=arguments.dry_run,
            zone=arguments.timezone,
            strip_prefix=arguments.strip_prefix,
            encryption_key=encryption_key,
            secrets=secrets,
            busy_timeout=BUSY_SECONDS,
            progress=progress,
        )


def _keys(arguments: argparse.Namespace) -> tuple[str | None, Secrets | None]:
    """The key that encrypted API keys, and the one that will; both or none."""
    theirs, ours = arguments.encryption_key_file, arguments.secret_file
    if theirs is None and ours is None:
        return None, None
    if theirs is None or ours is None:
        raise UsageError("API keys need both --encryption-key-file and --secret-file")
    try:
        return Path(theirs).read_text("utf-8").strip(), Secrets(Path(ours).read_bytes())
    except ValueError as error:
        raise UsageError(f"{ours}: {error}") from error


def _show(report: ImportReport, arguments: argparse.Namespace, database: str) -> None:
    if not arguments.json:
        parts = {
            "rows read": report.read,
            "rows imported": report.imported,
            "adjusted": report.adjusted,
            "rejected": report.rejected,
            "no home": report.no_home,
        }
        tables = [
            Table(title, ("", "number"), [(what, f"{number:,}") for what, number in counts.items()])
            for title, counts in parts.items()
            if counts
        ]
        print_tables(tables)
        for note in report.notes:
            print(in_one_line(note))
    facts = _Facts(
        database,
        arguments.dry_run,
        report.application,
        report.read,
        report.imported,
        report.adjusted,
        report.rejected,
        report.no_home,
        report.ids,
        report.notes,
        None if report.rejects is None else str(report.rejects),
    )
    verb = "would be imported" if facts.dry_run else "imported"
    rejected = sum(report.rejected.values())
    line = (
        f"{database}: {counted(sum(report.imported.values()), 'row')} of {report.application} {verb},"
        f" {counted(rejected, 'row')} rejected"
    )
    print_facts(facts, arguments, [f"{line}; see {facts.rejects}" if facts.rejects else line])


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise argparse.ArgumentTypeError(f"{name!r} is no time zone; write Europe/Berlin") from None
