"""The methods of a Database for its file as a whole: backup, check, figures and upkeep."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from reelbase.catalogue import Catalogue
from reelbase.engine.copies.retention import checked_keep, make_copy
from reelbase.engine.executor import call_site
from reelbase.engine.file.journal import JournalDecision
from reelbase.engine.file.open_files import file_of, journal_mode_of
from reelbase.engine.file.paths import file_path
from reelbase.engine.file.side_files import SUFFIXES
from reelbase.engine.maintenance.health import (
    SEARCH_NOT_CHECKED,
    HealthReport,
    checkpoint,
    health_report,
    looked_at,
    problems_of,
    vacuum,
    warnings_of,
)
from reelbase.engine.native.transactions import read_transaction
from reelbase.engine.schema.damage import advice, tables_of
from reelbase.engine.schema.figures import DatabaseStats, figures
from reelbase.engine.schema.search_indexes import (
    check_search_index,
    merge_search_index,
    search_indexes,
)
from reelbase.engine.schema.statistics import gather_statistics
from reelbase.engine.threads.copying import Copying, Progress
from reelbase.engine.threads.executors import DatabaseExecutor, ReadConnection
from reelbase.engine.threads.readers import Purpose, Readers
from reelbase.engine.threads.transaction import Transaction
from reelbase.engine.threads.upkeep import Upkeep
from reelbase.engine.threads.writer import Writer
from reelbase.errors import DatabaseCorruptError

R = TypeVar("R")

# How long checkpoint() keeps writers waiting for readers to end.
_CHECKPOINT_SECONDS = 1.0


class Maintenance(Catalogue):
    """The part of a Database that works on its file as a whole: backup, check, statistics, upkeep."""

    _executor: DatabaseExecutor

    def __init__(
        self,
        executor: DatabaseExecutor,
        writer: Writer,
        readers: Readers | None,
        upkeep: Upkeep | None,
        journal: JournalDecision,
        path: Path | None,
        database_id: UUID,
    ) -> None:
        super().__init__(executor)
        self._writer = writer
        self._readers = readers
        self._upkeep = upkeep
        self._journal = journal
        self._path = path
        self._database_id = database_id

    @property
    def path(self) -> Path | None:
        """The absolute path of the file; None for ":memory:"."""
        return self._path

    @property
    def journal(self) -> JournalDecision:
        """The journal mode in use, and the reason for it."""
        return self._journal

    @property
    def database_id(self) -> UUID:
        """The id of the database, made when it was created. Its backups, and their restores, keep it.

        An import makes a database with a new id. A file that was copied by other means has the same id.
        """
        return self._database_id

    async def backup(
        self,
        target: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
        keep: int | None = None,
    ) -> None:
        """Copies the database, as it is at one moment, to the new file target, while writers go on.

        The copy is complete, verified (integrity, schema, rows of each table) and on the disk before
        it gets its name; until then it is ``<target>.<random>.partial``. If the backup is cancelled or
        fails, that file is removed. Only its owner may read the copy.

        On WAL the log grows as long as the copy takes. On a rollback journal the copy lets writers in, and
        restarts when one has written; after three attempts writers wait for it, up to busy_timeout. On
        ":memory:" they always wait.

        Args:
            target: the new file.
            progress: called on the event loop with done_pages and total_pages, in the last call equal; an
                exception that it raises ends the backup.
            keep: the number of copies in the folder of target that stay, the new one included: once the
                copy is in place, the oldest copies that backup() has made of this database are removed.
                None: all stay. A copy is recognised by the id and the name that it holds, so a renamed
                copy is never removed, nor a file of another database or program.

        Raises:
            DatabaseIOError: code exists, when target exists; code missing, when its folder does not.
            DatabaseFullError: there is no room for the copy; nothing remains.
            DatabaseCorruptError: the copy is not sound.
            DatabaseBusyError: a lock was not free within busy_timeout.
        """
        checked_keep(keep)
        path = self._checked_target(target)
        async with self._read_connection("backup", call_site()) as session:
            copying = Copying(progress, has_ended=lambda: session.has_ended)
            work = partial(
                make_copy, target=path, original=self._path, keep=keep, on_step=copying.on_step
            )
            await copying.finish(session.call(work))

    async def check(self, *, full: bool = False) -> HealthReport:
        """Looks for damage of tables (quick_check), tables, indexes and triggers that differ from the
        schema's, rows that refer to a missing row, a journal mode that another program has changed, damaged
        search indexes, and a file that was replaced or deleted.

        full: looks for damaged indexes as well, by comparing every entry with its row (integrity_check),
        and compares search indexes with the tables that hold their texts. It takes longer with
        many indexes. Without it an index that lacks a row is not found, although queries miss that row. The
        report's looked_at lists the parts that were checked, and its advice how to mend the problems.

        Reads the whole database. Writers wait while a search index is checked (about a second for
        a million short texts); on a rollback journal, during the whole check. In a database that was opened
        read-only the search indexes are not checked; warnings and looked_at show that.
        """
        self._executor.refuse_if_unusable()
        if self._upkeep is not None:
            loss = await self._writer.connection.call(self._upkeep.loss)
            if loss is not None:
                return health_report([loss.sentence], [], self._journal.mode, looked_at=["file"])
        async with self._read_connection("check", call_site()) as session:
            damage = await session.call(partial(problems_of, decided=self._journal.mode, full=full))
            mode = await session.call(journal_mode_of)
            is_shared = await self._writer.connection.call(self._is_open_elsewhere)
            warnings = await session.call(partial(warnings_of, is_shared=is_shared))
        read_only = self._writer.is_read_only
        problems, warnings = damage.problems, warnings + damage.warnings
        if read_only and damage.search_indexes:
            warnings.append(SEARCH_NOT_CHECKED)
        for name in () if read_only else damage.search_indexes:
            found = await self._writer.call_outside(
                partial(check_search_index, name=name, full=full)
            )
            problems += found[0]
            warnings += found[1]
        return health_report(
            problems,
            warnings,
            mode,
            looked_at=looked_at(full=full, read_only=read_only),
            advice=advice(self._path, damage),
        )

    async def stats(self) -> DatabaseStats:
        """The numbers of rows and bytes of the database, from one read transaction. It counts every row."""
        self._executor.refuse_if_unusable()

        def count(native: sqlite3.Connection) -> DatabaseStats:
            with read_transaction(native):
                return figures(native, str(self._path or ""), self._database_id)

        async with self._read_connection("stats", call_site()) as session:
            stats: DatabaseStats = await session.call(count)
            return stats

    async def optimize(self) -> None:
        """Merges the segments of the search indexes, and gathers statistics (ANALYZE) of the application's
        own tables, which all connections use at once.

        The library's own tables have no statistics: the plans of its statements are tested without them,
        and statistics of an idle queue would make a claim read every job that ever finished. Statistics
        that another program has gathered of these tables are removed by connect(), by this method, and
        while the database is open.

        It is quick, and worth calling once a day. Writers go on in between. Raises DatabaseCorruptError
        (details: damaged, their names) at the end when tables or search indexes are damaged: all the rest
        is done.
        """
        self._executor.refuse_if_unusable()
        async with self._read_connection("optimize", call_site()) as session:
            tables, indexes = await session.call(tables_of), await session.call(search_indexes)
        damaged: dict[str, DatabaseCorruptError] = {}
        try:
            await self._writer.call_outside(gather_statistics)
        except DatabaseCorruptError:
            for table in tables:
                try:
                    await self._writer.call_outside(partial(gather_statistics, table=table))
                except DatabaseCorruptError as error:
                    damaged[table] = error
        for name in indexes:
            try:
                await self._merge(name)
            except DatabaseCorruptError as error:
                damaged[name] = error
        if damaged:
            raise DatabaseCorruptError(
                f"optimize: {', '.join(damaged)}: damaged, and left out; everything else is done. "
                "check(full=True) says what mends it; rebuild_search() makes search indexes from nothing",
                details={"damaged": list(damaged)},
            ) from next(iter(damaged.values()))

    async def _merge(self, search_index: str) -> None:
        is_first = True
        while await self._writer.call(
            partial(merge_search_index, name=search_index, is_first=is_first)
        ):
            is_first = False

    async def vacuum(self) -> None:
        """Rebuilds the file without the free space that deleted rows have left. Writers wait for it.

        For a while it needs free space of up to twice the size of the database; DatabaseFullError, before
        anything is done, when there is less. Inside a unit of work of the same task it raises DatabaseError
        (code inside_unit). After a cancel the rebuild may still have been done.
        """
        self._executor.refuse_if_unusable()
        await self._writer.call_outside(partial(vacuum, path=self._path))
        await self.checkpoint()  # the rebuilt pages are in the write-ahead log

    async def checkpoint(self) -> bool:
        """Moves the write-ahead log into the database file and empties it. This also happens
        automatically; call it before you copy or measure the file.

        False when that was not possible because a reader, or a writer of another process, still needs the
        log. True without a write-ahead log, when there is nothing to do.
        """
        self._executor.refuse_if_unusable()
        done: bool = await self._writer.call_outside(
            partial(checkpoint, patience_seconds=_CHECKPOINT_SECONDS)
        )
        return done

    def _is_open_elsewhere(self) -> bool:
        file = file_of(self._writer.connection.native)
        return file is not None and file.is_open_elsewhere()

    def _checked_target(self, target: str | os.PathLike[str]) -> Path:
        self._executor.refuse_if_unusable()
        path = file_path(target, "target")
        if str(path) in {f"{self._path}{suffix}" for suffix in SUFFIXES}:
            raise ValueError(
                f"target: {str(target)!r} is a name that SQLite itself uses beside the database"
            )
        return path

    @asynccontextmanager
    async def _read_connection(self, what: Purpose, where: str) -> AsyncIterator[ReadConnection]:
        """A reader for the caller's exclusive use; for ":memory:" its only connection, in a transaction."""
        if self._readers is not None:
            reader = await self._readers.borrow(what, where)
            try:
                yield reader
            finally:
                self._readers.give_back(reader)
        else:
            transaction = Transaction(self._writer, "BEGIN", where)
            await transaction.begin()
            try:
                yield transaction
            finally:
                await transaction.roll_back()
