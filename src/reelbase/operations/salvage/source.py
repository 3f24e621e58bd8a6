"""A damaged database as its pages show it: whether it is reelbase's, its version and its trees."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from reelbase.engine.native.names import quoted
from reelbase.engine.schema import chain
from reelbase.engine.schema.fingerprint import names_of
from reelbase.engine.schema.source import APPLICATION_ID, SCHEMA_VERSION, statements_of
from reelbase.errors import SchemaError
from reelbase.operations.salvage.pages import TABLE_LEAF, Gap, Page, PageFile, Record

_KINDS = frozenset({"table", "index", "view", "trigger"})
_SCHEMA_COLUMNS = 5
_LEDGER = "schema_migrations"


class StoredObject(msgspec.Struct, frozen=True):
    """A row of sqlite_schema. root: 0 for an object without a tree.  sql: None for an object that SQLite
    makes itself; '' where the text cannot be read."""

    kind: str
    name: str
    table: str
    root: int
    sql: str | None


class Source:
    """The readable parts of a damaged database.

    objects: the rows of its sqlite_schema, by name in lower case.  is_complete: all of them can be read.
    version: of the schema.  free_pages_known: False when pages of deleted rows may look like lost pages.
    Raises SchemaError for a file that is foreign, or newer than this release.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.pages = PageFile(path)
        try:
            self.claims = self.pages.claims()
            self.free_pages_known = self.pages.claim_pages_without_rows(self.claims)
            self.is_complete = True
            self.objects: dict[str, StoredObject] = {}
            for found in self._stored_objects():
                self.objects.setdefault(found.name.lower(), found)
            self.version = self._version()
            self._refuse_foreign(name)
        except BaseException:
            self.pages.close()
            raise

    def close(self) -> None:
        """Closes the file."""
        self.pages.close()

    def _stored_objects(self) -> Iterator[StoredObject]:
        for part in self.pages.walk(1, self.claims, is_index=False):
            if isinstance(part, Gap):
                self.is_complete = False
                continue
            self.is_complete = self.is_complete and not part.lost_cells
            for record in self._records(part):
                if (found := _stored_object(record)) is not None:
                    yield found
                else:
                    self.is_complete = False
        if self.is_complete:
            return
        for number in list(self.claims.unclaimed()):
            page = self.pages.page(number)
            if page is None or page.kind != TABLE_LEAF or not page.cells:
                continue
            first = self.pages.record(page, page.cells[0], self.pages.claims())
            if _stored_object(first) is not None and self.claims.claim(number):
                for record in self._records(page):
                    if (found := _stored_object(record)) is not None:
                        yield found

    def _records(self, page: Page) -> Iterator[Record | None]:
        return (self.pages.record(page, cell, self.claims) for cell in page.cells)

    def _refuse_foreign(self, name: str) -> None:
        """Judges the file by its objects, because the marks in the header may be damaged."""
        details = {"path": name, "application_id": self.pages.application_id}
        expected = names_of(self.version)
        found = len(expected & self.objects.keys())
        if not found or (self.pages.application_id != APPLICATION_ID and 2 * found < len(expected)):
            raise SchemaError(
                f"{name}: this file holds no table of a reelbase database; choose another path",
                code="foreign",
                details=details,
            )
        claimed = self.pages.user_version
        if claimed > SCHEMA_VERSION and not 0 < self._applied() <= SCHEMA_VERSION:
            raise SchemaError(
                f"{name} has schema version {claimed}, this reelbase knows {SCHEMA_VERSION}; install the"
                " release that wrote it, or a newer one",
                code="newer",
                details={**details, "version": claimed},
            )

    def _version(self) -> int:
        """The version with the objects that fit the file best. Where not all objects can be read, only the
        versions in the header and in the ledger are considered."""
        found = self.objects.keys() & names_of(SCHEMA_VERSION)
        claimed, applied = self.pages.user_version, self._applied()
        known = range(1, SCHEMA_VERSION + 1)

        def difference(version: int) -> tuple[int, bool, bool, int]:
            apart = len(names_of(version) ^ found)
            return apart, version != claimed, version != applied, -version

        told = [version for version in (claimed, applied) if version in known]
        return min(known if self.is_complete or not told else told, key=difference)

    def _applied(self) -> int:
        """The last version in the ledger, as far as it can be read."""
        ledger = self.objects.get(_LEDGER)
        if ledger is None or not ledger.root:
            return 0
        parts = self.pages.walk(ledger.root, self.pages.claims(), is_index=False)
        rowids = [cell.rowid for part in parts if isinstance(part, Page) for cell in part.cells]
        return max(rowids, default=0)

    def roots(self) -> dict[str, int]:
        """The root page of every table and index, by name."""
        return {found.name: found.root for found in self.objects.values()}


def _stored_object(record: Record | None) -> StoredObject | None:
    if record is None or len(record.values) + record.missing != _SCHEMA_COLUMNS:
        return None
    values = [*record.values, *[""] * record.missing]
    kind, name, table, root, sql = values
    if (
        kind in _KINDS
        and isinstance(name, str)
        and isinstance(table, str)
        and isinstance(root, int)
        and isinstance(sql, str | None)
    ):
        is_damaged = record.missing or record.is_cut or record.is_garbled or "\0" in (sql or "")
        return StoredObject(str(kind), name, table, root, "" if is_damaged else sql)
    return None


def shipped_objects(version: int) -> list[StoredObject]:
    """The objects of a schema version, in the order of their creation, without the objects that SQLite
    and FTS5 create themselves."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as native:
        for migration in chain.migrations()[:version]:
            for statement in statements_of(migration.sql):
                native.execute(statement)
        rows = native.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
            " AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name NOT IN (SELECT name FROM"
            " pragma_table_list WHERE type = 'shadow') ORDER BY rowid"
        ).fetchall()
    return [StoredObject(kind, name, table, 0, sql) for kind, name, table, sql in rows]


def adds_columns(shipped: str, found: str, table: str) -> bool:
    """Whether a table of the schema has all of its shipped columns unchanged, and more behind them.

    Args:
        shipped: the CREATE TABLE of the schema.
        found: the CREATE TABLE in the file.
        table: the name of the table.

    Returns:
        False also when found cannot be run.
    """
    columns = []
    for sql in (shipped, found):
        with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as native:
            try:
                native.execute(sql)
            except sqlite3.Error:
                return False
            rows = native.execute(f"PRAGMA table_xinfo({quoted(table)})").fetchall()
            columns.append([tuple(row) for row in rows])
    return len(columns[1]) > len(columns[0]) and columns[1][: len(columns[0])] == columns[0]
