"""Arguments, and opening an existing database for commands that must not create, migrate or convert it."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import reelbase
from reelbase import Database
from reelbase.cli.process import UsageError
from reelbase.operations import database_file

BUSY_SECONDS = 30.0
LONG_SECONDS = 86_400.0  # a command's unit of work may take as long as it needs


def add_database(parser: argparse.ArgumentParser) -> None:
    """Adds the argument FILE."""
    parser.add_argument("file", metavar="FILE", help="the database")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds the option --json."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def file_path(text: str, name: str = "FILE") -> Path:
    """The absolute path that an argument names. name: the argument's, for the error."""
    try:
        return database_file.file_path(text, name)
    except ValueError as error:
        raise UsageError(str(error)) from error


@asynccontextmanager
async def existing(text: str) -> AsyncIterator[Database]:
    """Opens an existing database in its own journal mode, which is the application's decision."""
    path = file_path(text)
    mode = await database_file.journal_mode_of_file(path, busy_timeout=BUSY_SECONDS)
    if mode is None:
        raise UsageError(f"{path} is empty; name a database")
    async with reelbase.connect(
        path,
        journal=mode,
        create=False,
        migrate=False,
        busy_timeout=BUSY_SECONDS,
        slow_transaction=LONG_SECONDS,
    ) as database:
        yield database
