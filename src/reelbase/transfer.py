"""All rows of a database as lines of JSON, and back: for other programs, and for archives.

The first line says which schema version and how many rows of which table follow; each further line is
one row, ``{"files": {"id": …, "name": …}}``; the last line tells that nothing is missing. Numbers, texts
and the order of rows come back exactly; what JSON has no word for is ``{"blob": "<base64>"}``. Counters
of ids are kept, and so are encrypted keys, as they are stored. Search indexes are built anew.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from reelbase.database import Database
from reelbase.engine.fingerprint import names_of
from reelbase.engine.schema import SCHEMA_VERSION
from reelbase.errors import DatabaseError
from reelbase.snapshot import Snapshot
from reelbase.unit_of_work import UnitOfWork

_FORMAT = 1
_BATCH = 500
_COUNTERS = "sqlite_sequence"

_TABLES = """
SELECT name
FROM pragma_table_list
WHERE schema = 'main'
  AND type = 'table'
ORDER BY name
"""

# The ledger, the identity and the context of the audit trail are the file's own.
_NOT_ROWS_OF_OURS = frozenset({"schema_migrations", "database_identity", "audit_context"})

_COLUMNS = """
SELECT name
FROM pragma_table_info(?)
ORDER BY cid
"""

_KEY_COLUMNS = """
SELECT name
FROM pragma_table_info(?)
WHERE pk > 0
ORDER BY pk
"""

_HAS_ROWID = """
SELECT NOT wr
FROM pragma_table_list
WHERE schema = 'main'
  AND name = ?
"""

_TRIGGERS = """
SELECT name, sql
FROM sqlite_schema
WHERE type = 'trigger'
ORDER BY rowid
"""

Progress = Callable[[int, int], None]


class Header(msgspec.Struct, frozen=True):
    """The first line. rows: how many of each table, in the order in which they come."""

    reelbase_export: int
    schema_version: int
    rows: dict[str, int]


class _End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    end: int


async def export_lines(
    database: Database, progress: Progress = lambda done, total: None
) -> AsyncIterator[tuple[str, bytes]]:
    """Every line with its table ('' for the first and the last), of one moment; memory is bounded.

    progress(done_rows, total_rows) is called now and then.
    """
    async with database.snapshot() as view:
        tables = [*await _own_tables(view), _COUNTERS]
        rows = {
            table: await view.fetch_one(int, f"SELECT count(*) FROM {_quoted(table)}")
            for table in tables
        }
        total = sum(rows.values())
        yield "", _line(Header(_FORMAT, SCHEMA_VERSION, rows))
        done = 0
        for table in tables:
            columns = await view.fetch_all(str, _COLUMNS, [table])
            async with view.stream(tuple, await _select(view, table, columns)) as stream:
                async for row in stream:
                    values = map(_to_json, row)
                    yield table, _line({table: dict(zip(columns, values, strict=True))})
                    done += 1
                    if done % _BATCH == 0:
                        progress(done, total)
        progress(done, total)
        yield "", _line(_End(total))


async def _own_tables(holder: Snapshot | UnitOfWork) -> list[str]:
    """Tables of the schema that hold rows, by name; users' own are theirs to keep."""
    ours = names_of(SCHEMA_VERSION) - _NOT_ROWS_OF_OURS
    return [name for name in await holder.fetch_all(str, _TABLES) if name.lower() in ours]


async def _select(view: Snapshot, table: str, columns: list[str]) -> str:
    """All rows in the order in which they came, or in that of the key where nothing else is known."""
    order = ["rowid"]
    if table != _COUNTERS and not await view.fetch_one(bool, _HAS_ROWID, [table]):
        order = await view.fetch_all(str, _KEY_COLUMNS, [table])
    names = ", ".join(map(_quoted, columns))
    return f"SELECT {names} FROM {_quoted(table)} ORDER BY {', '.join(map(_quoted, order))}"


async def import_lines(
    database: Database,
    lines: Iterable[bytes],
    progress: Progress = lambda done, total: None,
) -> Header:
    """Stores what export_lines() gave, in one transaction; the first line, for its figures.

    DatabaseError: code not_empty when a table has rows already; export_format, with the number of the
    line, for what is no export, or an incomplete one, or of another schema version; broken_reference.
    Nothing is stored then.
    """
    numbered = enumerate(lines, 1)
    header = _header(next(numbered, (1, b""))[1])
    async with database.transaction() as unit:
        await _refuse_rows(unit, header)
        async with _bare_tables(unit):
            await _store(unit, numbered, header, progress)
        for searched in (unit.videos, unit.prompts, unit.segments, unit.summaries):
            await searched.rebuild_search()
    return header


async def delete_all(database: Database) -> dict[str, int]:
    """Deletes every row of every table of ours, in one transaction; how many rows, by table.

    Counters of ids begin anew. Users' own tables stay; where one of their rows refers to one of ours,
    DatabaseError (code broken_reference) and nothing is deleted.
    """
    async with database.transaction() as unit:
        tables = await _own_tables(unit)
        deleted = {
            table: await unit.fetch_one(int, f"SELECT count(*) FROM {_quoted(table)}")
            for table in tables
        }
        async with _bare_tables(unit):
            for table in tables:
                await unit.execute(f"DELETE FROM {_quoted(table)}")
            await _forget_counters(unit)
        for searched in (unit.videos, unit.prompts, unit.segments, unit.summaries):
            await searched.rebuild_search()
    return deleted


@asynccontextmanager
async def _bare_tables(unit: UnitOfWork) -> AsyncIterator[None]:
    """Rows may come and go in any order, and nothing follows them: what triggers did when they were
    first written is among the rows."""
    triggers = await unit.fetch_all(tuple[str, str], _TRIGGERS)
    for name, _ in triggers:
        await unit.execute(f"DROP TRIGGER {_quoted(name)}")
    await unit.execute("PRAGMA defer_foreign_keys = ON")
    yield
    for _, sql in triggers:
        await unit.execute(sql)
    broken = await unit.fetch_optional(
        tuple[str, str], 'SELECT "table", parent FROM pragma_foreign_key_check LIMIT 1'
    )
    if broken is not None:
        raise DatabaseError(
            f"a row of {broken[0]} refers to a row of {broken[1]} that is not there; "
            "nothing was changed",
            code="broken_reference",
        )


async def _store(
    unit: UnitOfWork,
    numbered: Iterator[tuple[int, bytes]],
    header: Header,
    progress: Progress,
) -> None:
    total, done = sum(header.rows.values()), 0
    counts = dict.fromkeys(header.rows, 0)
    inserts = {
        table: _Insert(table, await unit.fetch_all(str, _COLUMNS, [table])) for table in counts
    }
    batch: list[list[Any]] = []
    current = ""
    for number, line in numbered:
        table, values = _row(number, line, inserts)
        if table != current or len(batch) >= _BATCH:
            if batch:
                await unit.execute_many(inserts[current].sql, batch)
                progress(done, total)
            current, batch = table, []
            if table == _COUNTERS:
                await _forget_counters(unit)  # storing the rows has set some
        if not table:  # the last line
            break
        batch.append(values)
        counts[table] += 1
        done += 1
    else:
        raise _bad(f"the export ends after {done:,} rows; it is not complete")
    if next(numbered, None) is not None:
        raise _bad("something follows the last line")
    if counts != header.rows:
        raise _bad("the rows are not as many as the first line says")
    progress(done, total)


async def _forget_counters(unit: UnitOfWork) -> None:
    """SQLite keeps the highest id of each table whose ids are not used again."""
    tables = await _own_tables(unit)
    await unit.execute_many(
        f"DELETE FROM {_COUNTERS} WHERE name = ?", [[table] for table in tables]
    )


class _Insert:
    """How a row of a table is stored."""

    def __init__(self, table: str, columns: list[str]) -> None:
        self.columns = columns
        self.sql = (
            f"INSERT INTO {_quoted(table)} ({', '.join(map(_quoted, columns))}) "
            f"VALUES ({', '.join('?' * len(columns))})"
        )


def _header(line: bytes) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except msgspec.MsgspecError:
        raise _bad("line 1 is not the first line of an export of reelbase") from None
    if header.reelbase_export != _FORMAT:
        raise _bad(f"the export has format {header.reelbase_export}; this reelbase reads {_FORMAT}")
    if header.schema_version != SCHEMA_VERSION:
        raise _bad(
            f"the export has schema version {header.schema_version}, the database "
            f"{SCHEMA_VERSION}; import it with the reelbase that wrote it, then migrate"
        )
    return header


def _row(number: int, line: bytes, inserts: dict[str, _Insert]) -> tuple[str, list[Any]]:
    """The table and the values of a line; '' for the last one."""
    try:
        content = msgspec.json.decode(line, type=dict[str, Any])
        ((table, row),) = content.items()
        if content.keys() == {"end"}:
            return "", []
        insert = inserts[table]
        if row.keys() != set(insert.columns):
            raise ValueError
        return table, [_from_json(row[column]) for column in insert.columns]
    except (msgspec.MsgspecError, ValueError, KeyError, AttributeError):
        raise _bad(f"line {number} is no row of a table of this database") from None


async def _refuse_rows(unit: UnitOfWork, header: Header) -> None:
    tables = await _own_tables(unit)
    for table in header.rows:
        if table not in (*tables, _COUNTERS):
            raise _bad(f"the database has no table {table}")
    for table in tables:
        if await unit.fetch_one(bool, f"SELECT EXISTS (SELECT 1 FROM {_quoted(table)})"):
            raise DatabaseError(
                f"table {table} has rows already; import into a new database", code="not_empty"
            )


def _bad(problem: str) -> DatabaseError:
    return DatabaseError(f"{problem}; nothing was imported", code="export_format")


def _to_json(value: object) -> object:
    if isinstance(value, bytes):
        return {"blob": base64.b64encode(value).decode()}
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        try:
            return base64.b64decode(value["blob"], validate=True)
        except binascii.Error:
            raise ValueError from None
    return value


def _line(content: object) -> bytes:
    return msgspec.json.encode(content) + b"\n"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
