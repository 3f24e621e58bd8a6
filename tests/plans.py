"""How SQLite reaches the rows of the library's statements, and the statistics that could change it."""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import pytest
from samples import empty_database
from test_statements import STATEMENTS, TRIGGERS

import reelbase
from reelbase import Database
from reelbase.engine.file.connections import NativeConnection
from reelbase.engine.schema.chain import migrations
from reelbase.engine.threads.connection import Connection
from reelbase.testing.statements import nothing

# tbl, idx, stat: a row of sqlite_stat1.
Statistic = tuple[Any, Any, Any]
T = TypeVar("T")
Plans = dict[str, list[str]]

SQL: dict[str, tuple[str, dict[str, Any]]] = {
    name: (statement.sql, nothing(statement)) for name, (_, _, statement) in STATEMENTS.items()
} | {
    f"{trigger}, statement {number}": (sql, dict.fromkeys(re.findall(r":(\w+)", sql)))
    for trigger, (_, body) in TRIGGERS.items()
    for number, sql in enumerate(body, 1)
}


class Newest:
    """A connection of apsw, which brings the newest SQLite, with as much of sqlite3's as is used here.

    Not to a file that sqlite3 has open in this process: the two would drop each other's locks.
    """

    def __init__(self, path: str | Path = ":memory:") -> None:
        apsw = pytest.importorskip("apsw", reason="needs apsw, which brings the newest SQLite")
        self._connection = apsw.Connection(str(path))
        for name, parameters in _functions():
            self._connection.create_scalar_function(
                name, lambda *values: values[0], parameters, deterministic=True
            )
        self._connection.execute("PRAGMA foreign_keys = ON")

    def execute(self, sql: str, values: Any = None) -> Rows:
        found = self._connection.execute(sql, values).fetchall()
        return Rows(found, self._connection.changes())

    def executemany(self, sql: str, values: Iterable[Any]) -> None:
        self._connection.executemany(sql, values)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._connection.execute("COMMIT" if kind is None else "ROLLBACK")

    def close(self) -> None:
        self._connection.close()


@functools.cache
def _functions() -> set[tuple[str, int]]:
    """The library's own, which its statements call, each with the number of its parameters."""
    listed = []
    for factory in (sqlite3.Connection, NativeConnection):
        with closing(sqlite3.connect(":memory:", factory=factory)) as native:
            listed.append(set(native.execute("SELECT name, narg FROM pragma_function_list")))
    plain, all = listed
    return all - plain


class Rows(list[Any]):
    def __init__(self, rows: list[Any], rowcount: int) -> None:
        super().__init__(rows)
        self.rowcount = rowcount

    def fetchall(self) -> list[Any]:
        return self

    def fetchone(self) -> Any:
        return self[0] if self else None


Native = sqlite3.Connection | Newest


def of_python() -> sqlite3.Connection:
    return empty_database(factory=NativeConnection)


def of_apsw() -> Any:
    native = Newest()
    native.execute(reelbase.schema_sql())
    return native


def migrated(make: Make) -> Any:
    """As make() gives, but by the migrations of all versions."""
    steps = [migration.sql for migration in migrations()]
    if make is of_apsw:
        newest = Newest()
        for sql in steps:
            newest.execute(sql)
        return newest
    native = sqlite3.connect(":memory:", isolation_level=None, factory=NativeConnection)
    for sql in steps:
        native.executescript(sql)
    native.execute("PRAGMA foreign_keys = ON")
    return native


# The schema in an SQLite, without the library.
every_sqlite = pytest.mark.parametrize("make", [of_python, of_apsw], ids=["python", "newest"])
Make = Callable[[], Any]


def plans(native: Native, names: Collection[str] = SQL.keys()) -> Plans:
    """The plan of these statements, triggers' among them, as this connection makes it now."""
    read_schema(native)
    return {
        name: [row[3] for row in _explained(native, "EXPLAIN QUERY PLAN", SQL[name])]
        for name in names
    }


@functools.cache
def plans_without_statistics(make: Make = of_python) -> Plans:
    with closing(make()) as native:
        return plans(native)


def joins() -> dict[str, str]:
    """The statements that join tables by an inner join."""
    return {name: sql for name, (sql, _) in SQL.items() if "CROSS JOIN" in sql}


def orders(native: Native, statements: dict[str, str]) -> dict[str, list[str]]:
    """In which order each reads its tables."""
    return {
        name: [
            found[1]
            for row in _explained(native, "EXPLAIN QUERY PLAN", (sql, SQL[name][1]))
            if (found := re.match(r"(?:SCAN|SEARCH) (\S+)", row[3]))
        ]
        for name, sql in statements.items()
    }


async def plans_of(database: Database) -> list[Plans]:
    """As each of its connections makes them, the writer's first."""
    return await on_each_connection(database, plans)


async def on_each_connection(
    database: Database, look: Callable[[sqlite3.Connection], T]
) -> list[T]:
    """The writer's first."""
    assert database._readers is not None
    connections = [database._writer.connection]
    connections += [reader.connection for reader in database._readers._pool]
    return [await each.call(partial(_look, each, look)) for each in connections]


def _look(connection: Connection, look: Callable[[sqlite3.Connection], T]) -> T:
    return look(connection.native)


def programs(native: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """What SQLite compiles each statement to, with its triggers, its look-ups of foreign keys and what these
    delete; but for the number of the schema and for addresses."""
    read_schema(native)
    return {
        name: [
            (opcode, p1, p2, p3, None if opcode in _VIRTUAL else p4, p5)
            for _, opcode, p1, p2, p3, p4, p5, _ in _explained(native, "EXPLAIN", SQL[name])
            if opcode != "Transaction"
        ]
        for name in SQL
    }


def read_schema(native: Native) -> None:
    """If it has changed: EXPLAIN does not look."""
    native.execute("SELECT count(*) FROM audit_context").fetchone()


_VIRTUAL = ("VOpen", "VBegin", "VUpdate", "VCreate", "VDestroy")
_numbers = itertools.count()


def _explained(native: Native, how: str, statement: tuple[str, Any]) -> list[tuple[Any, ...]]:
    sql, values = statement
    # The comment: what Python keeps prepared it would explain as it once was.
    return native.execute(f"{how} {sql} -- {next(_numbers)}", values).fetchall()


def load_statistics(native: Native, rows: Iterable[Statistic]) -> None:
    """As a connection has them that reads the schema of a file with such statistics."""
    native.execute("DELETE FROM sqlite_stat1")
    native.executemany("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", rows)
    native.execute("PRAGMA writable_schema = RESET")
    read_schema(native)


def write_statistics(path: Path, rows: Iterable[Statistic]) -> None:
    """As another program leaves them in the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute("PRAGMA synchronous = OFF")
        native.execute("BEGIN")
        native.execute("ANALYZE sqlite_schema")
        native.execute("DELETE FROM sqlite_stat1")
        native.executemany("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", rows)
        native.execute("COMMIT")


# Gathered


def gathered(rows: int, owners: int, *, is_busy: bool) -> list[Statistic]:
    """What ANALYZE gathers where every table has this many rows, shared by so many owners.

    is_busy: with rows in every status, and a value in every second optional column; otherwise everything
    has ended, and optional columns are NULL: indexes of what is queued or unread are empty.
    """
    statistics: list[Statistic] = []
    with closing(empty_database()) as native, _taking_any_row(native) as tables:
        for table in tables:
            native.execute("BEGIN")
            native.execute(_filling(native, table, rows, owners, is_busy=is_busy))
            native.execute(f"ANALYZE {table}")
            statistics += native.execute("SELECT tbl, idx, stat FROM sqlite_stat1").fetchall()
            native.execute("ROLLBACK")
    return statistics


def fill(native: Native, rows: int, owners: int, *, is_busy: bool) -> None:
    """Puts these rows into all tables."""
    with _taking_any_row(native) as tables:
        native.execute("BEGIN")
        for table in tables:
            native.execute(_filling(native, table, rows, owners, is_busy=is_busy))
        native.execute("COMMIT")


@contextlib.contextmanager
def _taking_any_row(native: Native) -> Iterator[list[str]]:
    """The tables, without their triggers meanwhile, and without checks and references."""
    native.execute("PRAGMA foreign_keys = OFF")
    native.execute("PRAGMA ignore_check_constraints = ON")
    triggers = native.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid"
    ).fetchall()
    for name, _ in triggers:
        native.execute(f"DROP TRIGGER {name}")
    tables = native.execute(
        "SELECT name FROM pragma_table_list"
        " WHERE schema = 'main' AND type = 'table' AND name NOT GLOB 'sqlite_*'"
    )
    yield [table for (table,) in tables.fetchall()]
    for _, sql in triggers:
        native.execute(sql)
    native.execute("PRAGMA ignore_check_constraints = OFF")
    native.execute("PRAGMA foreign_keys = ON")


def _filling(native: Native, table: str, rows: int, owners: int, *, is_busy: bool) -> str:
    (sql,) = native.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    parents = {row[3]: row[2] for row in native.execute(f"PRAGMA foreign_key_list({table})")}
    values = []
    for _, column, type, is_required, _, place_in_key in native.execute(
        f"PRAGMA table_info({table})"
    ):
        if (parents.get(column) or (table if place_in_key else None)) == "profiles":
            value = "'p' || i" if table == "profiles" else f"'p' || (i % {owners})"
        elif column in parents or place_in_key:
            number = "i" if place_in_key else "i / 3"
            value = f"1 + {number}" if type == "INTEGER" else f"printf('%036x', {number})"
        elif column in ("status", "is_read"):
            value = _status(sql, column, is_busy=is_busy)
        elif re.search(r"_at$|_seen$|^timestamp$|_after$", column):
            value = "strftime('%Y-%m-%dT%H:%M:%fZ', 1767225600 + i, 'unixepoch')"
        elif type in ("INTEGER", "REAL"):
            value = f"CAST(i % 10 AS {type})"
        elif type == "BLOB":
            value = "x'00'"
        else:
            repeats = (
                7 if column in ("type", "content_type", "domain", "entity_type") else rows or 1
            )
            value = f"'{column} ' || (i % {repeats})"
        if not is_required and not place_in_key:
            value = f"iif(i % 2, NULL, {value})" if is_busy else "NULL"
        values.append(value)
    return (
        f"INSERT OR IGNORE INTO {table}"
        f" WITH RECURSIVE numbers (i) AS ("
        f"SELECT 0 WHERE {rows} UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < {rows}"
        f") SELECT {', '.join(values)} FROM numbers"
    )


_ENDED = re.compile(r"succeeded|completed|failed|cancelled|error|ready")


def _status(sql: str, column: str, *, is_busy: bool) -> str:
    if column == "is_read":
        return "i % 3 = 0" if is_busy else "1"
    allowed = re.search(r"\bstatus IN \(([^)]*)\)", sql)
    names = re.findall(r"'(\w+)'", allowed[1]) if allowed else ["success"]
    if not is_busy:
        names = [name for name in names if _ENDED.fullmatch(name)] or names[-1:]
    cases = " ".join(f"WHEN {number} THEN '{name}'" for number, name in enumerate(names))
    return f"CASE i % {len(names)} {cases} END"


# Generated


def _indexes() -> list[tuple[str, str | None, int]]:
    """Of each table None, and of each of its indexes the name and the number of columns."""
    found: list[tuple[str, str | None, int]] = []
    with closing(empty_database()) as native:
        tables = native.execute(
            "SELECT name, wr FROM pragma_table_list"
            " WHERE schema = 'main' AND type = 'table' AND name NOT GLOB 'sqlite_*'"
        )
        for table, has_no_rowid in tables.fetchall():
            found.append((table, None, 0))
            indexes = native.execute("SELECT name, origin FROM pragma_index_list(?)", (table,))
            for index, origin in indexes.fetchall():
                columns = native.execute("SELECT count(*) FROM pragma_index_info(?)", (index,))
                name = table if has_no_rowid and origin == "pk" else index
                found.append((table, name, *columns.fetchone()))
    return found


_INDEXES = _indexes()
_ODD = (
    *("", " ", "abc", "-1 -1", "1e5 3", "9" * 30 + " 1", "0", "unordered", "sz=", "1 " * 40),
    *("1\x00", "é 1", None, b"12 1", 3.5, 7),
)


def generated(seed: int) -> list[Statistic]:
    """Contents of sqlite_stat1 as ANALYZE could have gathered them at some time, or as nothing could."""
    chance = random.Random(seed)
    kind = ("plausible", "empty", "flagged", "tiny", "extreme", "odd", "misplaced")[seed % 7]
    rows = {
        table: chance.choice([0, 1, 3, 30, 150, 3_000, 300_000, 10**7]) for table, _, _ in _INDEXES
    }
    statistics: list[Statistic] = []
    for table, index, columns in _INDEXES:
        if chance.random() < 0.1 or (index is None and chance.random() < 0.7):
            continue
        statistic = _statistic(chance, kind, rows[table], columns)
        name: Any = table
        if kind == "misplaced":  # SQLite finds the index all the same
            name = chance.choice([table.upper(), table.encode(), table + "\x00x", "own"])
        statistics.append((name, index, statistic))
    return statistics


def _statistic(chance: random.Random, kind: str, rows: int, columns: int) -> Any:
    if kind == "odd" and chance.random() < 0.5:
        return chance.choice(_ODD)
    if kind == "tiny":
        numbers = [chance.choice([0, 1, 2]) for _ in range(columns + 1)]
    elif kind == "extreme":
        numbers = [
            chance.choice([0, 1, 5, 2**31, 10**18, 2**63 - 1])
            for _ in range(chance.choice([1, columns, columns + 1, columns + 5]))
        ]
    else:
        count = chance.choice([0, 1, 2]) if kind == "empty" and chance.random() < 0.5 else rows
        numbers = [count]
        for _ in range(columns):
            count = max(1, count // chance.choice([1, 1, 2, 10, 100, 1_000, 10**6]))
            numbers.append(count)
    flags = ["", " unordered", " noskipscan", " sz=1", " sz=100000", " unordered noskipscan sz=0"]
    return " ".join(map(str, numbers)) + (chance.choice(flags) if kind == "flagged" else "")
