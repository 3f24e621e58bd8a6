"""One open database for many tests, which is emptied after each: opening one takes ten times as long."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

import reelbase
from reelbase import Database
from reelbase.repositories.sessions import Deletions
from reelbase.testing.clock import START, FrozenClock

Rows = list[tuple[Any, ...]]

# What tells that a test has changed more than rows: its definitions, its version, its statistics.
_PRAGMAS = ("schema_version", "user_version", "application_id")
_STATISTICS = "SELECT * FROM sqlite_stat1 ORDER BY tbl, idx"
_TABLES = """
    SELECT name FROM pragma_table_list
    WHERE schema = 'main' AND type = 'table' AND name NOT IN ('sqlite_schema', 'sqlite_stat1', 'sqlite_stat4')
"""
# Of the search indexes, which triggers keep.
_DOCUMENTS = """
    SELECT name FROM pragma_table_list
    WHERE schema = 'main' AND type = 'shadow' AND (name LIKE '%_docsize' OR name LIKE '%_content')
"""


class SharedDatabase:
    """A copy of the template, opened when a test first asks for it, and again after one that left more than
    rows in it, or closed it."""

    def __init__(
        self,
        template: Path,
        folder: Path,
        journal: Literal["wal", "delete"],
        secrets: reelbase.Secrets,
    ) -> None:
        self.path = folder / "media.db"
        self.clock = FrozenClock()
        self._template = template
        self._journal: Literal["wal", "delete"] = journal
        self._secrets = secrets
        self._exits = AsyncExitStack()
        self._database: Database | None = None  # and, while it is open:
        self._native: sqlite3.Connection
        self._find_rows = self._find_documents = ""
        self._rows: dict[str, Rows] = {}
        self._definitions: list[Any] = []

    async def database(self) -> Database:
        """The database, with the rows of the template, and with its clock at the start."""
        self.clock.now = START
        if self._database is None:
            self._database = await self._opened()
        return self._database

    async def take_back(self) -> None:
        """Undoes what a test has written. A database that this cannot be undone in is closed."""
        if self._database is None or self._database._executor.is_closed or not self._is_emptied():
            await self.close()

    async def close(self) -> None:
        """Closes the database and deletes its files."""
        self._database = None
        await self._exits.aclose()
        for file in self.path.parent.glob("media.db*"):
            file.unlink()

    async def _opened(self) -> Database:
        shutil.copy(self._template, self.path)
        opening = reelbase.connect(
            self.path, journal=self._journal, clock=self.clock, secrets=self._secrets
        )
        database = await self._exits.enter_async_context(opening)
        native = sqlite3.connect(self.path, isolation_level=None, timeout=1.0)
        self._exits.callback(native.close)
        native.execute("PRAGMA foreign_keys = OFF")
        native.execute("PRAGMA synchronous = OFF")
        self._native = native
        self._find_rows = _with_rows([name for (name,) in native.execute(_TABLES)])
        self._find_documents = _with_rows([name for (name,) in native.execute(_DOCUMENTS)])
        self._rows = {table: self._rows_of(table) for table in self._tables_with_rows()}
        self._definitions = self._definition()
        return database

    def _is_emptied(self) -> bool:
        if self._definition() != self._definitions:
            return False
        try:
            self._native.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:  # a unit of the test is still open
            return False
        with contextlib.closing(self._native.cursor()) as cursor:
            # A trigger may write another table: look until nothing has changed.
            while changed := [table for table in self._tables_with_rows() if self._differs(table)]:
                for table in changed:
                    cursor.execute(f"DELETE FROM {table}")
                    for row in self._rows.get(table, []):
                        marks = ", ".join("?" * len(row))
                        cursor.execute(f"INSERT INTO {table} VALUES ({marks})", row)
            cursor.execute("COMMIT")
        Deletions.happened()  # touched sessions are remembered in memory
        return not self._native.execute(self._find_documents).fetchall()

    def _differs(self, table: str) -> bool:
        return self._rows_of(table) != self._rows.get(table, [])

    def _tables_with_rows(self) -> list[str]:
        return [name for (name,) in self._native.execute(self._find_rows)]

    def _rows_of(self, table: str) -> Rows:
        return self._native.execute(f"SELECT * FROM {table} LIMIT 100").fetchall()

    def _definition(self) -> list[Any]:
        values = [self._native.execute(f"PRAGMA {name}").fetchone() for name in _PRAGMAS]
        try:
            return [*values, self._native.execute(_STATISTICS).fetchall()]
        except sqlite3.OperationalError:  # no such table
            return values


def _with_rows(tables: list[str]) -> str:
    """A statement that lists those of the tables that have rows."""
    return " UNION ALL ".join(
        f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})" for table in tables
    )
