"""schema.sql, its version and its tables, and the check that a file is the library's."""

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
SCHEMA_VERSION = 33


@cache
def schema_sql() -> str:
    """The text of schema.sql, byte for byte, as in ``sqlite3 media.db < schema.sql``."""
    packaged = resources.files("reelbase").joinpath("schema.sql")
    if packaged.is_file():
        return packaged.read_bytes().decode()
    # An editable install: the file is at the root of the project, where people look for it.
    return Path(__file__).parents[4].joinpath("schema.sql").read_bytes().decode()


def statements_of(script: str) -> Iterator[str]:
    """The statements of an SQL script, one by one, without BEGIN IMMEDIATE and COMMIT."""
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
    """The names of all tables of schema.sql, including the shadow tables of search indexes."""
    names = set()
    for is_virtual, name in _TABLE.findall(schema_sql()):
        names.add(name)
        if is_virtual:
            names |= {f"{name}_{part}" for part in _FTS5_PARTS}
    return frozenset(names)


_TABLE = re.compile(r"^CREATE (VIRTUAL )?TABLE (\w+)", re.MULTILINE)
# sqlite.org/fts5.html, section 9: all of these exist without the options content and columnsize.
_FTS5_PARTS = ("data", "idx", "content", "docsize", "config")


def has_ledger(native: sqlite3.Connection) -> bool:
    """Whether the file has the library's ledger. A foreign table of the same name has no checksums."""
    found = native.execute(
        "SELECT 1 FROM pragma_table_info('schema_migrations') WHERE name = 'checksum'"
    )
    return found.fetchone() is not None


def check_ownership(native: sqlite3.Connection, path: str, *, may_be_older: bool) -> int:
    """Checks that a file is the library's, and of a known version. Reads only.

    Args:
        native: a connection to the file.
        path: the file, for errors.
        may_be_older: whether a version that needs a migration is allowed.

    Returns:
        The version of the file's schema.

    Raises:
        SchemaError: code foreign, unversioned, newer, or code older unless may_be_older.
    """
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
