"""Mending a database with readable tables: its damaged indexes are rebuilt from them, in place."""

from __future__ import annotations

import sqlite3

from reelbase.engine.native.header import application_id, user_version
from reelbase.engine.native.names import quoted
from reelbase.engine.schema.damage import is_undamaged, tables_of
from reelbase.engine.schema.derivation import fill
from reelbase.engine.schema.fingerprint import is_same_text
from reelbase.engine.schema.search_indexes import (
    check_search_index,
    is_ours,
    search_indexes,
    shadows_of,
)
from reelbase.engine.schema.source import APPLICATION_ID
from reelbase.operations.salvage.completion import complete
from reelbase.operations.salvage.evidence import Evidence, indexes_of
from reelbase.operations.salvage.losses import Losses
from reelbase.operations.salvage.source import Source, shipped_objects
from reelbase.operations.salvage.tables import Table


class TableIsDamagedError(Exception):
    """Indexes name rows that their table lacks, or other values: its pages have to be read one by one."""


def mend(native: sqlite3.Connection, source: Source, losses: Losses) -> None:
    """Rebuilds indexes and search indexes, recreates missing objects of the schema, mends references.

    An error leaves the file unchanged.

    Args:
        native: a connection to the file of source, outside a transaction, with foreign keys off and the
            library's functions.
        source: the damaged file.
        losses: gets the repairs and losses.

    Raises:
        TableIsDamagedError: a table lacks rows that its indexes name, or has other values in them.
        sqlite3.Error: the file cannot be mended in place.
    """
    damaged_search = [
        name for name in search_indexes(native) if check_search_index(native, name, full=True)[0]
    ]
    shadows = {shadow for name in search_indexes(native) for shadow in shadows_of(name)}
    tables = [
        Table(native, name)
        for name in tables_of(native)
        if name not in shadows and not is_undamaged(native, name)
    ]
    native.execute("BEGIN IMMEDIATE")
    try:
        for table in tables:
            _mend_indexes(native, source, table, losses)
        _mend_schema(native, source.version, losses)
        for name in damaged_search:
            _mend_search_index(native, name, losses)
        complete(native, source.version, losses)
        _mend_marks(native, source.version, losses)
        native.execute("COMMIT")
    finally:
        if native.in_transaction:
            native.execute("ROLLBACK")


def _mend_indexes(native: sqlite3.Connection, source: Source, table: Table, losses: Losses) -> None:
    """Rebuilds the indexes of a table. A damaged index may hold the last trace of a lost row, so all of
    them are read first."""
    indexes = indexes_of(native, table, source.roots())
    evidence = Evidence(native, source.pages)
    evidence.gather(table, indexes)
    lacks_rows = next(evidence.lost_rows(table), None) is not None
    has_others = evidence.denies(table)
    evidence.close()
    if lacks_rows or has_others:
        raise TableIsDamagedError
    native.execute(f"REINDEX main.{quoted(table.name)}")
    losses.mend(f"{table.name}: {', '.join(index.name for index in indexes)} rebuilt")


def _mend_schema(native: sqlite3.Connection, version: int, losses: Losses) -> None:
    """Recreates missing objects of the library's schema; a missing table is empty afterwards."""
    stored = dict(
        native.execute(
            "SELECT lower(name), sql FROM sqlite_schema WHERE sql IS NOT NULL"
        ).fetchall()
    )
    for object in shipped_objects(version):
        found, sql = stored.get(object.name.lower()), object.sql or ""
        if found is not None and (object.kind == "table" or is_same_text(found, sql)):
            continue  # check() reports a table that differs
        if found is not None:
            native.execute(f"DROP {object.kind} {quoted(object.name)}")
        native.execute(sql)
        losses.touch(object.table)
        if object.kind == "table":
            losses.lose(f"table {object.name}: it was missing, and is empty now")
        else:
            losses.mend(f"{object.kind} {object.name} on {object.table} rebuilt")


def _mend_marks(native: sqlite3.Connection, version: int, losses: Losses) -> None:
    if (application_id(native), user_version(native)) != (APPLICATION_ID, version):
        native.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        native.execute(f"PRAGMA user_version = {version}")
        losses.mend(f"the header: marked as a database of schema version {version}")


def _mend_search_index(native: sqlite3.Connection, name: str, losses: Losses) -> None:
    if is_ours(name):
        (sql,) = native.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
        native.execute(f"DROP TABLE {quoted(name)}")
        native.execute(sql)
        fill(native, name)
    else:
        native.execute(f"INSERT INTO {quoted(name)} ({quoted(name)}) VALUES ('rebuild')")
    losses.mend(f"search index {name} rebuilt")
