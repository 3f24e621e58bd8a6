"""The statistics of ANALYZE: the application's tables may have them, the library's have none.

Without statistics SQLite plans from the schema alone, and the plan of every statement of the library is
tested. With them it plans for what the tables held when ANALYZE ran: on an idle queue, that every finished
job be read to claim one. A connection reads the statistics with the schema: when it opens, and after each
change of the schema by another connection.
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

# A row counts for the table that tbl names and for the index that idx names, in any case and of any
# table, so that only a row of which both are known to be the application's may stay. idx is NULL for a
# table without an index, and the table's name for the key of one WITHOUT ROWID.
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
    """The tables of the library that have statistics, and "others" for what is no table of the application
    either; sorted. Empty, as it should be: neither."""
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
    connection to the file forget them; False when there were none. Outside a transaction."""
    if not _is_due(native):
        return False
    with _statistics_changed(native):
        if not _is_due(native):  # another process was first
            return False
        native.execute("ANALYZE sqlite_schema")  # see schema.sql
        return _remove(native) > 0


def gather_statistics(native: sqlite3.Connection, table: str | None = None) -> None:
    """Tells the planner how the values of each index of the application's tables are spread, from a
    sample (analysis_limit), and removes those of the library's, which SQLite reads all the same, so that
    damage is found. Outside a transaction.

    Not PRAGMA optimize, which judges by what this very connection has read, and the writer reads little.
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
    """A transaction that may change statistics: no connection sees those that it removes again."""
    native.execute("BEGIN IMMEDIATE")
    try:
        with native:  # commits, or rolls back
            yield
    finally:
        # This connection's own estimates of rows stay until it reads the whole schema again.
        native.execute("PRAGMA writable_schema = RESET")


def _remove(native: sqlite3.Connection) -> int:
    """How many rows it has removed. Changes the schema, so that every other connection reads it again,
    and the statistics with it."""
    removed = sum(
        native.execute(
            f"DELETE FROM {statistics} AS gathered WHERE NOT {_IS_OF_THE_APPLICATION}", _library()
        ).rowcount
        for statistics in _statistics_tables(native)
    )
    native.execute("CREATE VIEW reelbase_statistics AS SELECT 1")
    native.execute("DROP VIEW reelbase_statistics")
    return removed
