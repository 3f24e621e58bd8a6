"""``reelbase rebuild-search``: rebuilds all search indexes."""

from __future__ import annotations

import argparse

import msgspec

from reelbase.cli.arguments import add_database, add_json, existing
from reelbase.cli.output import print_facts
from reelbase.cli.process import run_async
from reelbase.operations.quantities import counted

_INDEXES = """
SELECT name
FROM pragma_table_list
WHERE schema = 'main'
  AND type = 'virtual'
  AND name GLOB '*_fts'
ORDER BY name
"""


class _Facts(msgspec.Struct, frozen=True):
    database: str
    indexed: dict[str, int]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "rebuild-search",
        help="rebuild all search indexes",
        description=(
            "Rebuilds all search indexes in one transaction. Needed after another program has inserted"
            " or changed rows: search does not find them before."
        ),
    )
    add_database(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    facts = run_async(_rebuild(arguments.file))
    lines = [f"{name}: {counted(rows, 'row')}" for name, rows in facts.indexed.items()]
    print_facts(facts, arguments, lines)
    return 0


async def _rebuild(file: str) -> _Facts:
    async with existing(file) as database:
        await database.rebuild_search()
        async with database.snapshot() as view:
            indexed = {
                name: await view.fetch_one(int, f'SELECT count(*) FROM "{name}"')
                for name in await view.fetch_all(str, _INDEXES)
            }
        return _Facts(str(database.path), indexed)
