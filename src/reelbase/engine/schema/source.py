"""schema.sql, and what a new file gets from it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path

from reelbase.engine.native.header import application_id, user_version
from reelbase.errors import SchemaError

APPLICATION_ID = 0x7265656C  # 'reel'
SCHEMA_VERSION = 13


@cache
def schema_sql() -> str:
    """The text of schema.sql, byte for byte: what ``sqlite3 media.db < schema.sql`` is given."""
    packaged = resources.files("reelbase").joinpath("schema.sql")
    if packaged.is_file():
        return packaged.read_bytes().decode()
    # An editable install: the file is at the root of the project, where people look for it.
    return Path(__file__).parents[4].joinpath("schema.sql").read_bytes().decode()


def statements_of(script: str) -> Iterator[str]:
    """The statements of an SQL script, one by one, without those that begin or end its transaction."""
    begin = 0
    for semicolon in re.finditer(";", script):
        statement = script[begin : semicolon.end()]
        if sqlite3.complete_statement(statement):
            if statement.strip().removesuffix(";").upper().rpartition("\n")[2] not in _BRACKETS:
                yield statement
            begin = semicolon.end()
    if script[begin:].strip():
        yield script[begin:]  # without a semicolon, or a comment


_BRACKETS = ("BEGIN IMMEDIATE", "COMMIT")


@cache
def table_names() -> frozenset[str]:
    """The names of all tables of schema.sql, and of those in which FTS5 keeps a search index."""
    names = set()
    for is_virtual, name in _TABLE.findall(schema_sql()):
        names.add(name)
        if is_virtual:
            names |= {f"{name}_{part}" for part in _FTS5_PARTS}
    return frozenset(names)


_TABLE = re.compile(r"^CREATE (VIRTUAL )?TABLE (\w+)", re.MULTILINE)
# sqlite.org/fts5.html, section 9: without the options content and columnsize all of these are there.
_FTS5_PARTS = ("data", "idx", "content", "docsize", "config")


def has_ledger(native: sqlite3.Connection) -> bool:
    """Whether there is a ledger of ours; other programs have a table of that name, without checksums."""
    found = native.execute(
        "SELECT 1 FROM pragma_table_info('schema_migrations') WHERE name = 'checksum'"
    )
    return found.fetchone() is not None


def check_ownership(native: sqlite3.Connection, path: str, *, may_be_older: bool) -> int:
    """The file's schema version. Raises SchemaError unless it is ours and known. Reads only."""
    mark, version = application_id(native), user_version(native)
    details = {"path": path, "application_id": mark, "version": version}
    is_unmarked = 0 in (version, mark)
    if is_unmarked and (mark == APPLICATION_ID or has_ledger(native)):
        raise SchemaError(
            f"{path} does not say which version of the schema it has, although it looks like ours; "
            "`reelbase adopt` finds out and marks it",
            code="unversioned",
            details=details,
        )
    if mark != APPLICATION_ID:
        raise SchemaError(
            f"{path} is a database of another program (application_id {mark}); choose another path",
            code="foreign",
            details=details,
        )
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"{path} has schema version {version}, this reelbase knows {SCHEMA_VERSION}; "
            "install the release that wrote it, or a newer one",
            code="newer",
            details=details,
        )
    if version < SCHEMA_VERSION and not may_be_older:
        raise SchemaError(
            f"{path} has schema version {version}, this reelbase needs {SCHEMA_VERSION}; "
            "connect with migrate=True, or run `reelbase migrate`",
            code="older",
            details=details,
        )
    return version
