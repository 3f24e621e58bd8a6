"""Building a new database from every readable row of a damaged one.

The schema is that of the file's version, together with the application's own objects. Tables are read
page by page; pages that no tree leads to any more are read one by one; and rows that are on no readable
page are rebuilt from index entries, or reported as lost.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable

import msgspec

from reelbase.engine.file.connections import NativeConnection, setup_of
from reelbase.engine.native.names import quoted
from reelbase.engine.schema.fingerprint import names_of
from reelbase.engine.schema.search_indexes import is_ours, shadows_of
from reelbase.engine.schema.source import APPLICATION_ID
from reelbase.operations.quantities import counted
from reelbase.operations.salvage.accounts import TableState, account_for
from reelbase.operations.salvage.evidence import Evidence, indexes_of
from reelbase.operations.salvage.losses import Losses, RowNumber
from reelbase.operations.salvage.pages import (
    INDEX_INTERIOR,
    INDEX_LEAF,
    TABLE_LEAF,
    Gap,
    Page,
    Record,
    Value,
)
from reelbase.operations.salvage.source import Source, StoredObject, adds_columns, shipped_objects
from reelbase.operations.salvage.tables import Key, Table

OnProgress = Callable[[str, int, int], None]

_SEQUENCES = "sqlite_sequence"
_VIRTUAL = re.compile(r"\s*CREATE\s+VIRTUAL\s+TABLE\b.*?\bUSING\s+(\w+)", re.IGNORECASE | re.DOTALL)
_CONTENT = re.compile(r"\bcontent\s*=\s*('[^']*'|\"[^\"]*\"|\w+)", re.IGNORECASE)
_UNIQUE = re.compile(r"\s*CREATE\s+UNIQUE\b", re.IGNORECASE)


class Salvage:
    """Fills a new file from a damaged one. source: the damaged file.  native: a connection to the new,
    empty file, in a transaction, with foreign keys off."""

    def __init__(
        self, source: Source, native: sqlite3.Connection, losses: Losses, on_progress: OnProgress
    ) -> None:
        self._source = source
        self._native = native
        self._losses = losses
        self._on_progress = on_progress
        # The same schema without rows: it gives the columns of indexes that are created after the rows.
        self._outline = sqlite3.connect(":memory:", isolation_level=None, factory=NativeConnection)
        self._outline.set_up(setup_of(native), ":memory:")
        self._states: list[TableState] = []
        # The shadow tables of search indexes, which are filled from other rows: theirs are not read.
        self._rebuilt: dict[str, TableState] = {}
        self._pages_of_rebuilt: list[int] = []
        self._objects: list[StoredObject] = []
        self._without_module: list[StoredObject] = []
        self._pages_done = 0

    def run(self) -> None:
        """Creates the schema and stores the rows; finish() creates the application's triggers."""
        try:
            self._tell_of_damage()
            self._make_tables()
            evidence = Evidence(self._native, self._source.pages)
            for state in self._states:
                self._load(state, evidence)
            self._tell_of_rows_without_table()
            self._count_entries()
            self._load_orphans(evidence)
            self._make("index")
            for state in self._states:
                if state.is_damaged or state.entries > state.rows:
                    evidence.gather(state.table, state.indexes)
                    account_for(state, evidence, self._losses)
            evidence.close()
            rows = sum(state.rows for state in self._states)
            self._losses.mend(f"every table read into a new file: {counted(rows, 'row')}")
        finally:
            self._outline.close()
        self._keep_sequences()
        self._make("view")
        self._make("trigger", of_ours=True)

    def finish(self) -> None:
        """Creates the objects that come after the rows: the application's search indexes and triggers,
        virtual tables of missing modules, and the marks of the file.
        """
        self._rebuild_search_of_applications()
        self._make("trigger", of_ours=False)
        self._write_what_needs_a_module()
        # A pragma takes no parameters.
        self._native.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._native.execute(f"PRAGMA user_version = {self._source.version}")

    def search_indexes(self) -> list[str]:
        """The names of the library's search indexes; they are empty, and the caller fills them."""
        return [name for name, _ in self._search_indexes() if is_ours(name)]

    def _tell_of_damage(self) -> None:
        """Reports damage outside the tables, which costs no row."""
        if not self._source.free_pages_known:
            self._losses.mend("the list of free pages rebuilt")
        if not self._source.is_complete:
            self._losses.mend(
                f"the schema rebuilt, as of version {self._source.version}, with the readable objects of"
                " the application"
            )

    # The schema.

    def _make_tables(self) -> None:
        version = self._source.version
        shipped = shipped_objects(version)
        ours = names_of(version)
        stored = self._source.objects
        for object in shipped:
            found = stored.get(object.name.lower())
            sql = object.sql or ""
            if (
                object.kind == "table"
                and found is not None
                and found.sql
                and adds_columns(sql, found.sql, object.name)
            ):
                sql = found.sql  # any other difference may be the damage
            self._objects.append(msgspec.structs.replace(object, sql=sql))
        for found in stored.values():
            if found.name.lower() in ours or found.name.startswith("sqlite_"):
                continue
            if found.sql == "":
                self._losses.lose(f"{found.kind} {found.name}: its statement cannot be read")
            else:
                self._objects.append(found)
        self._make("table")
        self._drop_what_refers_to_nothing()
        self._outline_indexes()
        roots = self._source.roots()
        kept = self._tables_with_rows()
        for name in self._tables():
            table = Table(self._native, name)
            root = roots.get(name, 0)
            indexes = indexes_of(self._outline, table, roots)
            gaps = [] if root else [Gap(0, None, None)]
            state = TableState(table=table, root=root, indexes=indexes, gaps=gaps)
            if name in kept:
                self._native.execute(f"DELETE FROM {quoted(name)}")
                self._states.append(state)
            else:
                self._rebuilt[name] = state

    def _make(self, kind: str, *, of_ours: bool | None = None) -> None:
        """Creates the objects of a kind; a virtual table comes before its shadow tables."""
        ours = names_of(self._source.version)
        objects = [object for object in self._objects if object.kind == kind]
        if of_ours is not None:
            objects = [object for object in objects if (object.name.lower() in ours) == of_ours]
        for object in sorted(objects, key=_comes_later):
            if self._is_there(object.name):
                continue
            try:
                self._native.execute(object.sql or "")
                if kind == "table":
                    self._outline.execute(object.sql or "")
            except sqlite3.Error as error:
                if _VIRTUAL.match(object.sql or "") and "no such module" in str(error):
                    self._without_module.append(object)
                else:
                    self._losses.lose(
                        f"{kind} {object.name} could not be rebuilt ({error}): {object.sql}"
                    )

    def _drop_what_refers_to_nothing(self) -> None:
        """Drops tables with a foreign key that SQLite cannot check: no row could be written to them."""
        ours = names_of(self._source.version)
        for object in self._objects:
            if (
                object.kind != "table"
                or object.name.lower() in ours
                or not self._is_there(object.name)
            ):
                continue
            try:
                self._native.execute(
                    "SELECT 1 FROM pragma_foreign_key_check(?)", (object.name,)
                ).fetchall()
                parents = self._native.execute(
                    'SELECT "table" FROM pragma_foreign_key_list(?)', (object.name,)
                ).fetchall()
                why = "".join(
                    f"no such table: {name}" for (name,) in parents if not self._is_there(name)
                )
            except sqlite3.Error as error:
                why = str(error)
            if why:
                self._native.execute(f"DROP TABLE {quoted(object.name)}")
                self._losses.lose(f"table {object.name} could not be rebuilt ({why}): {object.sql}")

    def _is_there(self, name: str) -> bool:
        found = self._native.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (name,))
        return found.fetchone() is not None

    def _outline_indexes(self) -> None:
        for object in self._objects:
            if object.kind != "index":
                continue
            # A failure is reported when the index itself is created.
            with contextlib.suppress(sqlite3.Error):
                self._outline.execute(object.sql or "")
            if _UNIQUE.match(object.sql or ""):
                with contextlib.suppress(sqlite3.Error):
                    self._native.execute(object.sql or "")

    def _tables(self) -> list[str]:
        listed = self._native.execute("PRAGMA table_list").fetchall()
        return [
            name
            for schema, name, kind, *_ in listed
            if schema == "main" and kind in ("table", "shadow") and not name.startswith("sqlite_")
        ]

    def _tables_with_rows(self) -> set[str]:
        """The tables that keep their rows: not the shadow tables of a search index that can be rebuilt."""
        rebuilt = set[str]()
        for name, sql in self._search_indexes():
            rebuilt.update(shadows_of(name))
            if is_ours(name) or _content_of(sql) is not None:
                continue
            rebuilt.remove(f"{name}_content")
        for name, sql in self._search_indexes():
            if not is_ours(name) and _content_of(sql) == "":
                rebuilt.difference_update(shadows_of(name))  # the text is stored nowhere else
        return set(self._tables()) - rebuilt

    def _search_indexes(self) -> list[tuple[str, str]]:
        return [
            (object.name, object.sql)
            for object in self._objects
            if object.sql and (match := _VIRTUAL.match(object.sql)) and match[1].lower() == "fts5"
        ]

    # The rows.

    def _load(self, state: TableState, evidence: Evidence) -> None:
        if not state.root:
            return
        if not state.table.is_strict:
            # Rows of another table may have its form, too; its indexes know better.
            evidence.gather(state.table, state.indexes)
        pages, claims = self._source.pages, self._source.claims
        for part in pages.walk(state.root, claims, is_index=not state.table.has_rowid):
            if isinstance(part, Gap):
                state.gaps.append(part)
            elif self._is_denied(state, part, evidence) or not self._load_page(state, part):
                claims.release(part.number)
                state.gaps.append(Gap(part.number, None, None))

    def _is_denied(self, state: TableState, page: Page, evidence: Evidence) -> bool:
        """Whether the indexes have other values for rows of the page, and these values for none of them."""
        if state.table.is_strict:
            return False
        said = self._said_of(state, page, evidence)
        return False in said and True not in said

    def _said_of(self, state: TableState, page: Page, evidence: Evidence) -> list[bool | None]:
        """The verdict of the indexes on the readable rows of a page."""
        claims = self._source.pages.claims()
        columns = [column.name for column in state.table.columns]
        said: list[bool | None] = []
        for cell in page.cells:
            record = self._source.pages.record(page, cell, claims)
            if record is None:
                continue
            values = record.values[: len(record.values) - record.is_cut]
            row = dict(zip(columns, values, strict=False))
            if state.table.alias is not None:
                row[state.table.alias] = cell.rowid
            said.append(evidence.says(state.table, state.key_of(cell.rowid, values), row))
        return said

    def _load_page(self, state: TableState, page: Page) -> bool:
        """Stores the rows of a page; False when it is no page of this table."""
        rows: list[tuple[int, list[Value]]] = []
        partial: dict[Key, Record] = {}
        garbled: list[Key] = []
        lost = page.lost_cells
        for cell in page.cells:
            record = self._source.pages.record(page, cell, self._source.claims)
            if record is None or not state.table.fits(record):
                lost += 1
                continue
            key = state.key_of(cell.rowid, record.values)
            if record.missing or record.is_cut:
                if isinstance(key, int) or len(key) == len(state.table.key):
                    partial[key] = record
                else:
                    lost += 1
                continue
            rows.append((cell.rowid, record.values))
            state.lengths.add(len(record.values))
            if record.is_garbled:
                garbled.append(key)
        refused: dict[Key, tuple[object, str]] = {}
        for place, why in state.table.insert(rows):
            rowid, values = rows[place]
            key = state.key_of(rowid, values)
            columns = (column.name for column in state.table.columns)
            name = state.table.name_of(key, dict(zip(columns, values, strict=False)))
            refused[key] = name, why
        stored = len(rows) - len(refused)
        if not stored and not partial and page.cells:
            return False
        state.rows += stored
        state.highest = max(state.highest, *(rowid for rowid, _ in rows), 0)
        state.lost_cells += lost
        state.partial |= partial
        state.refused |= refused
        for key in garbled:
            if key not in refused:
                self._losses.lose(
                    f"{state.table.name} {state.table.name_of(key, {})}: kept, but a text of it was"
                    " damaged; its unreadable bytes are replaced by U+FFFD"
                )
        self._pages_done += 1
        self._on_progress("reading pages", self._pages_done, self._source.pages.page_count)
        return True

    def _tell_of_rows_without_table(self) -> None:
        """Reports the rows of tables that could not be made, and claims their pages: without a definition,
        no table can hold them."""
        pages, claims = self._source.pages, self._source.claims
        for found in self._source.objects.values():
            if not found.root or not self._is_without_table(found):
                continue
            root = pages.page(found.root)
            has_rowid = root is None or root.kind not in (INDEX_LEAF, INDEX_INTERIOR)
            why = "its table could not be rebuilt; the copy still holds it"
            uncounted: dict[int, int] = {}
            for part in pages.walk(found.root, claims, is_index=not has_rowid):
                if isinstance(part, Gap):
                    self._losses.lose(
                        f"{found.name}: rows that are missing now, if there were any: page {part.page} is"
                        " damaged"
                    )
                    continue
                for cell in part.cells:
                    pages.payload(part, cell, claims)
                    if has_rowid:
                        self._losses.lose_row(found.name, RowNumber(cell.rowid), why)
                uncounted[part.number] = part.lost_cells + (0 if has_rowid else len(part.cells))
            if number := sum(uncounted.values()):
                self._losses.lose_rows(
                    found.name,
                    number,
                    f"{found.name}: {_on_pages(uncounted, 'row')} of a table that could not be rebuilt; the"
                    " copy still holds them",
                )

    def _is_without_table(self, found: StoredObject) -> bool:
        """Whether this is a table that could not be made; SQLite makes its own ones when it needs them."""
        is_own = found.name.startswith("sqlite_")
        return found.kind == "table" and not is_own and not self._is_there(found.name)

    def _count_entries(self) -> None:
        """Counts the entries of indexes, and claims their pages."""
        pages, claims = self._source.pages, self._source.claims
        loaded = {state.root for state in self._states}
        counts: dict[str, int] = {}
        damaged = set[str]()
        for found in self._source.objects.values():
            if not found.root or found.root in loaded or self._is_without_table(found):
                continue
            page = pages.page(found.root)
            is_index = page is not None and page.kind in (INDEX_LEAF, INDEX_INTERIOR)
            count = 0
            rebuilt = self._rebuilt.get(found.name)
            for part in pages.walk(found.root, claims, is_index=is_index):
                if isinstance(part, Page):
                    if rebuilt is not None and not self._is_of(part, rebuilt):
                        claims.release(part.number)
                        rebuilt.gaps.append(Gap(part.number, None, None))
                        damaged.add(found.name)
                        continue
                    if rebuilt is not None:
                        self._pages_of_rebuilt.append(part.number)
                    count += len(part.cells)
                    for cell in part.cells:
                        if cell.overflow:
                            pages.payload(part, cell, claims)
                else:
                    damaged.add(found.name)
                    if rebuilt is not None:
                        rebuilt.gaps.append(part)
            counts[found.name] = count
        self._tell_of_indexes(damaged)
        for state in self._states:
            complete = [index.name for index in state.indexes if index.is_complete]
            state.entries = max((counts.get(name, 0) for name in complete), default=0)
            if state.entries > state.rows and not state.gaps:
                # No page is damaged, but an old version of an interior page misses newer children.
                state.gaps.append(Gap(state.root, None, None))

    def _is_of(self, page: Page, state: TableState) -> bool:
        """Whether any row of the page has the form of the table."""
        claims = self._source.pages.claims()
        records = (self._source.pages.record(page, cell, claims) for cell in page.cells)
        return not page.cells or any(
            record is not None and state.table.fits(record) for record in records
        )

    def _tell_of_indexes(self, damaged: set[str]) -> None:
        searched = {
            shadow: name for name, _ in self._search_indexes() for shadow in shadows_of(name)
        }
        for name in sorted({searched[name] for name in damaged if name in searched}):
            self._losses.mend(f"search index {name} rebuilt")
        for name in sorted(damaged - searched.keys()):
            if name == _SEQUENCES:
                self._losses.mend("counters of ids: set behind the highest id that is known")
            elif (found := self._source.objects[name.lower()]).kind == "index":
                self._losses.mend(f"index {name} of {found.table} rebuilt")

    def _load_orphans(self, evidence: Evidence) -> None:
        """Stores the rows of pages that no tree leads to, because their parent is damaged."""
        pages = map(self._source.pages.page, self._source.claims.unclaimed())
        waiting = [page.number for page in pages if page and page.is_whole and page.cells]
        # The tree of a search index, where it is damaged, may lead to pages of a table.
        pages = map(self._source.pages.page, self._pages_of_rebuilt)
        lent = {
            page.number for page in pages if page and any(s.may_lack(page) for s in self._states)
        }
        waiting += lent
        gathered = set[str]()
        # A table whose parent rows exist fits best; the parents may be on unclaimed pages, too.
        for needs_parents in (True, True, False):
            for number in list(waiting):
                page = self._source.pages.page(number)
                assert page is not None
                tables = (*self._states, *self._rebuilt.values())
                owners = [state for state in tables if state.may_lack(page)]
                for state in owners:
                    if state.table.name not in gathered:
                        gathered.add(state.table.name)
                        evidence.gather(state.table, state.indexes)
                fits = {
                    state.table.name: self._fits(state, page, evidence, needs_parents)
                    for state in owners
                }
                best = max(fits.values(), default=0)
                if best < (2 if number in lent else 1):
                    continue
                owners = [state for state in owners if fits[state.table.name] == best]
                names = {state.table.name for state in owners}
                if len(owners) == 1 or names <= self._rebuilt.keys():
                    waiting.remove(number)
                    self._adopt(owners[0], page)
                elif not needs_parents:
                    self._source.claims.claim(number)
                    self._losses.lose(
                        f"page {number} holds {counted(len(page.cells), 'row')} of"
                        f" {' or '.join(sorted(names))}; it is unknown of which"
                    )
        if not self._source.is_complete:
            self._tell_of_unknown_tables()

    def _tell_of_unknown_tables(self) -> None:
        """Reports the rows of tables with lost definitions: no page tells their names."""
        rows: dict[int, int] = {}
        keys: dict[int, int] = {}
        for number in self._source.claims.unclaimed():
            page = self._source.pages.page(number)
            if page is None or not page.cells:
                continue
            if page.kind == TABLE_LEAF:
                rows[number] = len(page.cells)
            elif not any(self._is_of_index(page, state) for state in self._states):
                keys[number] = len(page.cells)
        for counts, noun, home in (
            (rows, "row", "table"),
            (keys, "key", "index or table without rowid"),
        ):
            if counts:
                self._losses.lose(
                    "definitions of the application's tables were on a damaged page:"
                    f" {_on_pages(counts, noun)} belong to no {home} that is known, unless they were"
                    " deleted; the copy still holds them"
                )

    def _is_of_index(self, page: Page, state: TableState) -> bool:
        """Whether the page belongs to an index of the table."""
        claims = self._source.pages.claims()
        records = [self._source.pages.record(page, cell, claims) for cell in page.cells]
        return any(state.table.holds_entries(index.columns, records) for index in state.indexes)

    def _adopt(self, state: TableState, page: Page) -> None:
        self._source.claims.claim(page.number)
        if state.table.name in self._rebuilt:
            return
        self._load_page(state, page)
        if not state.gaps:  # its tree lacks this page, though it looks whole
            state.gaps.append(Gap(state.root, None, None))

    def _fits(self, state: TableState, page: Page, evidence: Evidence, needs_parents: bool) -> int:
        """How well rows of a page fit into a table that lacks them. 2: its indexes have them, with these
        values.  1: no index tells, but they have its form, and no other table is unknown.  0: not."""
        table, claims = state.table, self._source.pages.claims()
        if not state.gaps and not self._source.free_pages_known:
            return 0  # the rows may have been deleted
        rows: list[tuple[int, list[Value]]] = []
        for cell in page.cells:
            record = self._source.pages.record(page, cell, claims)
            if record is None or not state.fits(record):
                return 0
            is_whole = not record.missing and not record.is_cut
            if is_whole and not table.holds(state.key_of(cell.rowid, record.values)):
                rows.append((cell.rowid, record.values))
        said = self._said_of(state, page, evidence)
        has_evidence = said.count(True) > said.count(False)
        if not has_evidence and (
            evidence.witnesses(table)
            or False in said
            or not (table.is_strict or self._source.is_complete)
        ):
            return 0
        if table.name in self._rebuilt:
            return 1
        self._native.execute("SAVEPOINT reelbase_try")
        try:
            refused = table.insert(rows)
            homeless = table.count_homeless(rows) if needs_parents else 0
        finally:
            self._native.execute("ROLLBACK TO reelbase_try")
            self._native.execute("RELEASE reelbase_try")
        if 2 * (len(refused) + homeless) >= max(len(rows), 1):
            return 0
        return 2 if has_evidence else 1

    def _keep_sequences(self) -> None:
        """Sets the counters of AUTOINCREMENT past every known id, so that no id is given twice."""
        given = {
            state.table.name: state.highest
            for state in self._states
            if state.table.alias is not None
        }
        sequences = self._source.objects.get(_SEQUENCES)
        pages = self._source.pages
        if sequences is not None and sequences.root:
            claims = pages.claims()
            walked = pages.walk(sequences.root, claims, is_index=False)
            for page in (part for part in walked if isinstance(part, Page)):
                for cell in page.cells:
                    record = pages.record(page, cell, claims)
                    match record.values if record is not None else None:
                        case [str(name), int(number)]:
                            given[name] = max(given.get(name, 0), number)
        for name, number in given.items():
            self._native.execute(
                f"UPDATE {_SEQUENCES} SET seq = max(seq, ?) WHERE name = ?", (number, name)
            )
            self._native.execute(
                f"INSERT INTO {_SEQUENCES} (name, seq) SELECT name, ? FROM sqlite_schema WHERE name = ?"
                " AND type = 'table' AND sql LIKE '%AUTOINCREMENT%'"
                f" AND name NOT IN (SELECT name FROM {_SEQUENCES}) AND ? > 0",
                (number, name, number),
            )

    # The application's objects.

    def _rebuild_search_of_applications(self) -> None:
        for name, sql in self._search_indexes():
            if is_ours(name) or _content_of(sql) == "" or not self._is_there(name):
                continue
            table = quoted(name)
            try:
                self._native.execute(f"INSERT INTO {table} ({table}) VALUES ('rebuild')")
            except sqlite3.Error as error:
                self._losses.lose(f"the search index {name} could not be rebuilt ({error})")

    def _write_what_needs_a_module(self) -> None:
        if not self._without_module:
            return
        self._native.execute("PRAGMA writable_schema = ON").close()
        self._native.executemany(
            "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('table', ?, ?, 0, ?)",
            [(object.name, object.name, object.sql) for object in self._without_module],
        )
        self._native.execute("PRAGMA writable_schema = RESET").close()


def _comes_later(object: StoredObject) -> bool:
    return not _VIRTUAL.match(object.sql or "")


def _content_of(sql: str) -> str | None:
    """Where an FTS5 table stores its text. None: in itself; '': nowhere; else the name of a table."""
    match = _CONTENT.search(sql)
    return match[1].strip("'\"") if match else None


def _on_pages(counts: dict[int, int], noun: str) -> str:
    """How many there are, and where: ``7 rows on 3 pages (4, 8 to 9)``. counts: by page, rising."""
    runs: list[list[int]] = []
    for number in counts:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    places = ", ".join(" to ".join(map(str, run)) for run in runs)
    return f"{counted(sum(counts.values()), noun)} on {counted(len(counts), 'page')} ({places})"
