"""What a Database knows of its file and does for it: copies, checks, figures and tidying up."""

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
    """What a Database does with its file as a whole: backup, checks, statistics, upkeep."""

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
        """The file, absolute; None for ":memory:"."""
        return self._path

    @property
    def journal(self) -> JournalDecision:
        """The journal mode in force, and why."""
        return self._journal

    @property
    def database_id(self) -> UUID:
        """Which database this is: made with it, and kept by its backups and what is restored of them.

        An import makes a new database. A file that was duplicated by other means has the same id.
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
        it gets its name; until then it is ``<target>.<random>.partial``. Cancelled or failed, nothing
        remains. It is readable by its owner only. progress(done_pages, total_pages) is called on the
        event loop, at last with done_pages == total_pages; what it raises gives the backup up.

        keep: when the copy is in place, the oldest copies that backup() has made of this database in
        the folder of target are removed, so that this many are there, the new one included; None
        removes none. A copy is known by what it says itself, whatever its name; one that was renamed
        is never removed, nor what another database, or another program, has put there.

        On WAL the log grows as long as the copy takes. On a rollback journal the copy lets writers in
        and begins anew when they come; at the third time they wait for it, up to busy_timeout. On
        ":memory:" they always wait.

        Raises DatabaseIOError (code exists, missing: target is there, its folder is not),
        DatabaseFullError, DatabaseCorruptError when the copy is not sound, DatabaseBusyError.
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
        schema's, rows that refer to nothing, a journal mode that another program has changed, damaged
        search indexes, and a file that was replaced or deleted.

        full: looks for damaged indexes as well, by comparing every entry with its row (integrity_check),
        and compares search indexes with the tables that hold their texts. It takes longer with
        many indexes. Without it a row that an index lacks is not found, although queries miss it. The
        report's looked_at says what was looked at, and its advice what mends the problems.

        Reads the whole database. Writers wait while a search index is checked (about a second for
        a million short texts); on a rollback journal, for all of it. Of a database that was opened
        read-only the search indexes are not checked, which warnings and looked_at say.
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
        """How many rows and bytes the database holds, all of one moment. Counts every row."""
        self._executor.refuse_if_unusable()

        def count(native: sqlite3.Connection) -> DatabaseStats:
            with read_transaction(native):
                return figures(native, str(self._path or ""), self._database_id)

        async with self._read_connection("stats", call_site()) as session:
            stats: DatabaseStats = await session.call(count)
            return stats

    async def optimize(self) -> None:
        """Merges what the search indexes have scattered, and gathers statistics (ANALYZE) of the tables
        that the application itself has put into the file; all connections use them at once.

        The library's own tables have no statistics: the plans of its statements are tested without,
        and statistics of an idle queue would make a claim read every job that ever finished. What
        another program has gathered of them is removed by connect(), by this, and while the database
        is open.

        Quick, and worth doing once a day. Writers go on in between. Raises DatabaseCorruptError
        (details: damaged, their names) at the end when tables or search indexes are damaged: everything
        else is done.
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
        """Rebuilds the file without the room that deleted rows have left. Writers wait for it.

        Needs up to twice the size of the database on the disk for a while; DatabaseFullError when
        that is not there, before anything is done. Inside a unit of work of the same task it waits
        for that unit, in vain: DatabaseBusyError. A cancelled one may still be done.
        """
        self._executor.refuse_if_unusable()
        await self._writer.call_outside(partial(vacuum, path=self._path))
        await self.checkpoint()  # what it wrote is in the write-ahead log

    async def checkpoint(self) -> bool:
        """Moves the write-ahead log into the database file and empties it. This also happens by
        itself; call it to copy or measure the file.

        False when that was not possible because somebody still reads, or another process writes.
        Without a write-ahead log there is nothing to do, and it is True.
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
        """A connection that reads, for the caller alone; the one of ":memory:" is in a transaction."""
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
