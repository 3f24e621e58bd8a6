"""The statistics of ANALYZE: the application's tables may have them, the library's have none.

Without statistics SQLite plans from the schema alone, and the plan of every statement of the library is
tested. With statistics it plans for the rows that the tables held when ANALYZE ran: after an ANALYZE of an
idle queue, a claim reads every finished job. A connection reads the statistics with the schema: when it
opens, and after each change of the schema by another connection.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
from collections.abc import Iterator

from reelbase.engine.native.extensions import table_by_table
from reelbase.engine.native.names import quoted
from reelbase.engine.schema.source import table_names

_log = logging.getLogger("reelbase")

# sqlite.org/fileformat2.html, sections 2.6.3 to 2.6.6.
_STATISTICS_TABLES = """
SELECT name
FROM sqlite_schema
WHERE type = 'table'
  AND name IN ('sqlite_stat1', 'sqlite_stat3', 'sqlite_stat4')
"""

# SQLite applies a row to the table named in tbl and to the index named in idx, in any letter case, and even
# if the index is another table's. So a row may stay only if both are known to be the application's. idx is
# NULL for a table without an index, and the table's name for the key of a WITHOUT ROWID table.
_IS_OF_THE_APPLICATION = """
EXISTS (
  SELECT 1
  FROM sqlite_schema AS object
  WHERE object.tbl_name = gathered.tbl
    AND object.name = coalesce(gathered.idx, gathered.tbl)
    AND object.type IN ('table', 'index')
    AND object.tbl_name NOT GLOB 'sqlite_*'
    AND lower(object.tbl_name) NOT IN (SELECT value FROM json_each(:library))
)
"""

_NAME = """
iif(lower(gathered.tbl) IN (SELECT value FROM json_each(:library)), lower(gathered.tbl), 'others')
"""


def analyzed_tables(native: sqlite3.Connection) -> list[str]:
    """The tables of the library that have statistics, sorted, and "others" for rows of statistics that belong
    neither to the library nor to the application. Empty for a file in order."""
    found = {
        name
        for statistics in _statistics_tables(native)
        for (name,) in native.execute(
            f"SELECT DISTINCT {_NAME} FROM (SELECT DISTINCT tbl, idx FROM {statistics}) AS gathered"
            f" WHERE NOT {_IS_OF_THE_APPLICATION}",
            _library(),
        )
    }
    return sorted(found)


def remove_statistics(native: sqlite3.Connection) -> bool:
    """Removes the statistics of the library's tables, which another program has gathered, and makes every
    connection to the file drop them. Returns False when there were none. Call it outside a transaction."""
    if not _is_due(native):
        return False
    with _statistics_changed(native):
        if not _is_due(native):  # another process was first
            return False
        native.execute("ANALYZE sqlite_schema")  # see schema.sql
        return _remove(native) > 0


def gather_statistics(native: sqlite3.Connection, table: str | None = None) -> None:
    """Runs ANALYZE, on a sample (analysis_limit), and keeps only the statistics of the application's tables.
    Call it outside a transaction.

    ANALYZE reads the library's tables as well, so that damage is found; their statistics are removed. PRAGMA
    optimize does not serve: it judges by the reads of its own connection, and the writer reads little.
    table: the only one to analyze; None: all.
    """
    each = "ANALYZE main.{table}"
    whole = "ANALYZE" if table is None else each.format(table=quoted(table))
    with _statistics_changed(native):
        _, skipped = table_by_table(native, whole, each, most_rows=0)
        _remove(native)
    if skipped:
        _log.warning("no statistics are gathered for %s", ", nor for ".join(skipped))


def _is_due(native: sqlite3.Connection) -> bool:
    tables = _statistics_tables(native)
    return "sqlite_stat1" not in tables or bool(analyzed_tables(native))


def _statistics_tables(native: sqlite3.Connection) -> list[str]:
    return [name for (name,) in native.execute(_STATISTICS_TABLES)]


def _library() -> dict[str, str]:
    return {"library": json.dumps(sorted(table_names()))}


@contextlib.contextmanager
def _statistics_changed(native: sqlite3.Connection) -> Iterator[None]:
    """A transaction that may change statistics: no connection sees the ones that it gathers and removes."""
    native.execute("BEGIN IMMEDIATE")
    try:
        with native:  # commits, or rolls back
            yield
    finally:
        # This connection's own estimates of rows stay until it reads the whole schema again.
        native.execute("PRAGMA writable_schema = RESET")


def _remove(native: sqlite3.Connection) -> int:
    """Removes the statistics that are not the application's, and returns the number of rows removed. It also
    changes the schema, so that all connections read it again, together with the statistics."""
    removed = sum(
        native.execute(
            f"DELETE FROM {statistics} AS gathered WHERE NOT {_IS_OF_THE_APPLICATION}", _library()
        ).rowcount
        for statistics in _statistics_tables(native)
    )
    native.execute("CREATE VIEW reelbase_statistics AS SELECT 1")
    native.execute("DROP VIEW reelbase_statistics")
    return removed
