"""``reelbase inspect``: shows the content of a database, without changing it."""

from __future__ import annotations

import argparse
import json

import msgspec

from reelbase.cli.arguments import BUSY_SECONDS, add_database, add_json, file_path
from reelbase.cli.output import Table, print_tables, size
from reelbase.operations.inspection import Facts, read_facts


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "inspect",
        help="show tables, sizes, statuses and broken references of a database",
        description=(
            "Shows tables with their rows, bytes and indexes, the journal mode and why, how many rows"
            " have which status, tags, and rows that refer to missing rows. It reads in one transaction"
            " and changes nothing; applications may go on. Databases of older versions are shown"
            " without a migration."
        ),
    )
    add_database(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    facts = read_facts(file_path(arguments.file), BUSY_SECONDS)
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(facts), indent=2))
    else:
        print_tables(list(_report(facts)))
        if facts.database_id is not None:
            print(f"database id {facts.database_id}")
        print(f"journal mode {facts.journal_mode}; by its filesystem {facts.journal_reason}")
        if facts.schema_version < facts.latest_schema_version:
            print(
                f"schema version {facts.schema_version}; `reelbase migrate` brings it to "
                f"{facts.latest_schema_version}"
            )
    return 0


def _report(facts: Facts) -> list[Table]:
    title = f"{facts.database}, schema version {facts.schema_version}, {size(facts.size_bytes)}"
    if facts.wal_bytes:
        title += f" and {size(facts.wal_bytes)} of log"
    if facts.free_bytes:
        title += f", {size(facts.free_bytes)} of it free"
    rows = [
        [
            table.name if table.is_ours else f"{table.name} (your own)",
            "?" if table.rows is None else f"{table.rows:,}",
            _size(table.size_bytes),
            str(len(table.indexes)),
            _size(sum(index.size_bytes or 0 for index in table.indexes))
            if table.size_bytes is not None
            else "?",
        ]
        for table in facts.tables
    ]
    tables = [Table(title, ("table", "rows", "bytes", "indexes", "their bytes"), rows)]
    statuses = [
        [f"{table}: {status}", f"{count:,}"]
        for table, counts in facts.statuses.items()
        for status, count in counts.items()
    ]
    tags = [[f"{tag.profile_id}: {tag.name}", f"{tag.files:,}"] for tag in facts.tags]
    orphans = [[what, f"{count:,}"] for what, count in facts.orphans.items()]
    for heading, lines in (
        ("Status", statuses),
        ("Tags and their files", tags),
        ("Orphans", orphans),
    ):
        if lines:
            tables.append(Table(heading, ("what", "rows"), lines))
    return tables


def _size(size_bytes: int | None) -> str:
    return "?" if size_bytes is None else size(size_bytes)
