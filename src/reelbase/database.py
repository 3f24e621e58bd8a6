"""The open Database: its repositories, units of work and snapshots, and the upkeep of its file."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from reelbase.catalogue import Catalogue
from reelbase.engine.copies.retention import checked_keep, make_copy
from reelbase.engine.events import Activity, UnitKind
from reelbase.engine.executor import call_site
from reelbase.engine.file.journal import (
    JournalDecision,
)
from reelbase.engine.file.open_files import file_of, journal_mode_of
from reelbase.engine.file.paths import MEMORY, file_path, real_path
from reelbase.engine.file.side_files import SUFFIXES
from reelbase.engine.live.changes import ChangeStream
from reelbase.engine.live.commits import Commits
from reelbase.engine.live.journal import Journal, checked_since
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
from reelbase.engine.native.watch import WatchedUnit
from reelbase.engine.raw_sql import RawSql
from reelbase.engine.schema.damage import advice, tables_of
from reelbase.engine.schema.figures import DatabaseStats, figures
from reelbase.engine.schema.followed import unfollow
from reelbase.engine.schema.search_indexes import (
    check_search_index,
    make_damaged_search_indexes_empty,
    merge_search_index,
    search_indexes,
)
from reelbase.engine.schema.source import SCHEMA_VERSION
from reelbase.engine.schema.statistics import gather_statistics
from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.engine.statements.declarations import derivations
from reelbase.engine.threads.connection import Connection
from reelbase.engine.threads.copying import Copying, Progress
from reelbase.engine.threads.executors import DatabaseExecutor, ReadConnection
from reelbase.engine.threads.functions import (
    FunctionExecutor,
    driven,
    in_read_transaction,
    in_savepoint,
    name_of,
    result_of,
)
from reelbase.engine.threads.mailbox import notify
from reelbase.engine.threads.readers import Purpose, Readers
from reelbase.engine.threads.transaction import Transaction
from reelbase.engine.threads.upkeep import Upkeep
from reelbase.engine.threads.writer import Writer
from reelbase.errors import DatabaseClosedError, DatabaseCorruptError
from reelbase.observation import Observation
from reelbase.options import ConnectOptions
from reelbase.snapshot import Snapshot, SnapshotContext
from reelbase.unit_of_work import UnitOfWork, UnitOfWorkContext
from reelbase.workers.handlers import Handler
from reelbase.workers.worker import Worker

R = TypeVar("R")

_log = logging.getLogger("reelbase")

_TABLES = """
    SELECT name FROM pragma_table_list
    WHERE schema = 'main' AND type IN ('table', 'virtual') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
"""

# How long checkpoint() keeps writers waiting for readers to end.
_CHECKPOINT_SECONDS = 1.0


class Database(Catalogue):
    """An open database. Each call is a durable transaction of its own.

    It belongs to the event loop that opened it. Many tasks may call it at once; their calls share hops and
    commits.
    """

    _executor: DatabaseExecutor

    def __init__(
        self,
        options: ConnectOptions,
        journal: JournalDecision,
        writer: Writer,
        readers: Readers | None,
        upkeep: Upkeep | None,
        database_id: UUID,
    ) -> None:
        super().__init__(DatabaseExecutor(writer, readers, options.clock, options.secrets))
        self._options = options
        self._journal = journal
        self._writer = writer
        self._readers = readers
        self._upkeep = upkeep
        self._database_id = database_id
        self._commits = Commits(
            writer,
            None if options.path is None else str(real_path(options.path)),
            is_network=journal.filesystem.is_network,
        )
        if upkeep is not None:
            upkeep.start()
        self._closing: asyncio.Task[None] | None = None
        self._workers: set[Worker] = set()

    def __repr__(self) -> str:
        return f"<Database {self._options.path or MEMORY}{' closed' if self.closed else ''}>"

    def __del__(self) -> None:
        if not self._executor.is_closed and not self._writer.connection.inherited:
            close_soon(self._readers, self._writer.connection)
            notify(self._executor.loop, self._commits.close)
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=1)

    @property
    def path(self) -> Path | None:
        """The absolute path of the file; None for ":memory:"."""
        return self._options.path

    @property
    def journal(self) -> JournalDecision:
        """The journal mode in use, and the reason for it."""
        return self._journal

    @property
    def database_id(self) -> UUID:
        """The id of the database, made when it was created. Its backups, and their restores, keep it.

        An import makes a database with a new id. A copy made without the library has the same id.
        """
        return self._database_id

    @property
    def schema_version(self) -> int:
        """The schema version of this release, which the file has since connect()."""
        return SCHEMA_VERSION

    @property
    def closed(self) -> bool:
        """Whether close() has begun; calls then raise DatabaseClosedError."""
        return self._executor.is_closed

    def transaction(self, *, actor: str | None = None) -> UnitOfWorkContext:
        """``async with database.transaction() as unit``: the calls on unit are one transaction.

        It waits for its turn behind earlier writes, and raises DatabaseBusyError when one unit of work, or
        another process, keeps it waiting for longer than busy_timeout. actor: the name for the audit trail.

        Inside the block write through ``unit``: a write, or another transaction(), through the Database
        by the same task raises DatabaseError (code inside_unit) at once, because it would wait for
        this unit to end. A read through the Database does not see the writes of the unit.
        """
        return self._transaction_at(call_site(), actor=actor)

    def _transaction_at(self, where: str, *, actor: str | None = None) -> UnitOfWorkContext:
        """where: the place that warnings and errors about the unit name."""
        self._executor.refuse_if_unusable()
        return UnitOfWorkContext(
            Transaction(self._writer, "BEGIN IMMEDIATE", where),
            self._options.clock,
            actor=actor,
            secrets=self._options.secrets,
            slow_transaction_seconds=self._options.slow_transaction_seconds,
            watched=self._watched_unit("transaction", where),
        )

    def _watched_unit(self, kind: UnitKind, name: str) -> WatchedUnit | None:
        watch = self._options.watch
        return None if watch is None else watch.unit(kind, name)

    async def atomically(
        self,
        function: Callable[..., Coroutine[Any, Any, R]],
        /,
        *args: Any,
        actor: str | None = None,
        **kwargs: Any,
    ) -> R:
        """``await database.atomically(function, …)``: a unit of work as a function. It takes one hop instead
        of one for each call, and shares its commit with the writes that wait.

            async def rename(unit: UnitOfWork, file_id: UUID, name: str) -> File:
                file = await unit.files.get(file_id)
                return await unit.files.update(file.id, name=f"{name} ({file.name})")

            file = await database.atomically(rename, file_id, "new")

        Args:
            function: an async def function. It is called with a UnitOfWork, args and kwargs, on the
                writer's thread, in a copy of the caller's context. It may await only calls of the unit, and
                it may be run again: a further write of the same group can undo the group. While it runs, all
                further writes wait.
            args: the positional arguments of function, after the unit.
            actor: the name for the audit trail.
            kwargs: the keyword arguments of function.

        Returns:
            The result of the function, after COMMIT.

        Raises:
            TypeError: the function awaits anything but calls of the unit, or is no async def function; the
                text names it. transaction() is for work that waits.
            DatabaseBusyError: as of any write.
            CancelledError: as of a single write, all of the unit is stored, or nothing.
            Exception: of any type that the function raises; nothing of the unit is stored then, and writes
                of the same group are not affected.
        """
        self._executor.refuse_if_unusable()
        new_executor, context = self._new_function_executor(), copy_context()

        callbacks: list[Callable[[], object]] = []
        watched = self._watched_unit("atomically", name_of(function))

        def work(native: sqlite3.Connection, is_cancelled: Callable[[], bool]) -> Any:
            executor = new_executor(native, actor=actor, may_write=True, is_cancelled=is_cancelled)
            unit = UnitOfWork(executor, executor)
            callbacks.clear()  # of a run that was undone
            began = time.monotonic()
            if watched is not None:
                watched.began()
            try:
                result = in_savepoint(
                    executor, native, partial(context.run, driven, function, unit, *args, **kwargs)
                )
                callbacks.extend(executor.callbacks)
                return result
            finally:
                seconds = time.monotonic() - began
                if seconds > self._options.slow_transaction_seconds:
                    _log.warning(
                        "%s has held the database for %.1f s, and all other writes have waited for it: "
                        "do slow work outside of it",
                        name_of(function),
                        seconds,
                    )

        future = self._writer.submit_function(work, callbacks)
        result: R = await result_of(future, watched, "committed")
        return result

    async def reading(
        self, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any, **kwargs: Any
    ) -> R:
        """``await database.reading(function, …)``: a snapshot as a function, in one hop.

        Args:
            function: an async def function. It is called with a Snapshot, args and kwargs, on a reader's
                thread. It may await only calls of the snapshot, and all its reads see one moment.
            args: the positional arguments of function, after the snapshot.
            kwargs: the keyword arguments of function.

        Returns:
            The result of the function.

        Raises:
            DatabaseReadOnlyError: the function calls a write.
            TypeError: as of atomically().
            Exception: of any type that the function raises.
        """
        self._executor.refuse_if_unusable()
        new_executor, context = self._new_function_executor(), copy_context()
        watched = self._watched_unit("reading", name_of(function))

        def work(native: sqlite3.Connection, is_cancelled: Callable[[], bool]) -> Any:
            if watched is not None:
                watched.began()
            executor = new_executor(native, actor=None, may_write=False, is_cancelled=is_cancelled)
            view = Snapshot(executor)
            return in_read_transaction(
                executor, native, partial(context.run, driven, function, view, *args, **kwargs)
            )

        future = (
            self._readers.submit_function(work)
            if self._readers is not None
            else self._writer.submit_function(work, ())
        )
        result: R = await result_of(future, watched, "read")
        return result

    def _new_function_executor(self) -> Callable[..., FunctionExecutor]:
        """Makes the executor of a function that is called now; the thread adds its connection."""
        options = self._options
        return partial(
            FunctionExecutor,
            now=self._executor.now(),
            secrets=options.secrets,
            watch=options.watch,
        )

    async def work(
        self,
        handlers: Mapping[str, Handler],
        *,
        concurrency: int = 4,
        worker: str | None = None,
        types: Iterable[str] | None = None,
        grace: float = 30.0,
        lease: float = 60.0,
    ) -> None:
        """Works on jobs until it is stopped: claims them, has handlers work on them, stores the outcomes.

            async def transcribe(run: reelbase.JobRun) -> dict | None:
                file = await database.files.get(run.job.params["file_id"])
                ...
                await run.progress(0.5)
                ...
                return {"transcript_id": str(transcript.id)}

            await database.work({"transcribe": transcribe})

        The result of a handler, a dict or None, becomes that of its job. If a handler raises, its job
        fails with the text of the exception, or is queued again after a while if it has attempts left
        (max_attempts of jobs.add()). Leases are renewed meanwhile. An idle worker begins within milliseconds
        after a job was added, by another process too, and within a quarter of a second after its run_after.
        It adds the jobs of schedules, too, of all types, when their times come.
        When a job is cancelled, deleted or taken over by another worker, run.cancelled is True and the task
        of its handler is cancelled.

        Cancel the call to stop it, or send SIGTERM: it claims no more jobs, waits for its handlers, cancels
        the handlers that take longer than grace, and gives their jobs back, which uses up no attempt. A
        second cancel ends the grace. SIGTERM is heeded if the program has no handler of its own for it, in
        the main thread; the call then returns.

        If a process is killed, its jobs are claimed again once their leases have expired, if they have
        attempts left: jobs.add(…, max_attempts=3); by default a job has one, and fails then. A handler
        should therefore be one that can be repeated.

        Args:
            handlers: for each type of job a function, or a JobHandler with a timeout or a backoff.
                ``async def`` is called with a JobRun, on the event loop; a plain function with a
                BlockingJobRun, in a thread.
            concurrency: how many jobs it works on at once.
            worker: the name of the worker, unique among running workers; None: a new one.
            types: only jobs of these types, which need handlers; None: of all types in handlers.
            grace: seconds for handlers to finish after a stop, 0 to 86,400.
            lease: seconds until another worker takes over the jobs of one that was killed, 0.1 to 86,400.

        Raises:
            InvalidArgumentError: an argument cannot be used; the text says which.
            DatabaseClosedError: the database is closed. (close() while the call works stops it like SIGTERM.)
            DatabaseError: the database is damaged or read-only. While it is busy or its disk full, the
                call tries again.
        """
        self._executor.refuse_if_unusable()
        if self._closing is not None:
            raise DatabaseClosedError("the database is being closed")
        worker_of_jobs = Worker(
            # The modules need each other's types, and pyright at times looks here before it has the class.
            self,  # pyright: ignore[reportArgumentType]
            handlers,
            concurrency=concurrency,
            worker=worker,
            types=types,
            grace=grace,
            lease=lease,
        )
        self._workers.add(worker_of_jobs)
        try:
            await worker_of_jobs.run()
        finally:
            self._workers.discard(worker_of_jobs)

    def snapshot(self) -> SnapshotContext:
        """``async with database.snapshot() as view``: all reads through view see the moment of entry.

        On WAL, writers go on meanwhile; on a rollback journal and on ":memory:" they wait, up to
        busy_timeout.
        """
        self._executor.refuse_if_unusable()
        options = self._options
        where = call_site()
        return SnapshotContext(
            self._writer,
            self._readers,
            options.clock,
            options.secrets,
            where=where,
            watched=self._watched_unit("snapshot", where),
        )

    def changes(
        self,
        *names: str,
        profile_id: str | None = None,
        rows: bool = False,
        since: int | str | None = None,
    ) -> ChangeStream:
        """``async with database.changes("jobs") as changes: async for change in changes: …``: the
        writes to tables, commit by commit and in the order of the commits, by this process, other processes
        that use the library, and the sqlite3 program.

            async with database.changes("jobs", "downloads") as changes:
                show(await database.jobs.list())
                async for change in changes:  # Changes(commit=7, names=frozenset({"jobs"}))
                    show(await database.jobs.list())

        A commit counts if one of its statements has changed a row, raw SQL included, and then with all tables
        that the statement can write: by cascades and triggers, too. A change that is rolled back, or undone
        with a savepoint, never shows. Another process does not say which tables it writes, so its commits
        have all of the names: each of these tables could have changed.

        Commits of this process are seen from this call on, commits of another one from ``async with`` or the
        first step on: read inside the block the rows that you show. Without an own commit in between each
        gives at least one Changes; no commit is missed. While the consumer is busy, they are added to one,
        so that nothing grows.

        On WAL a commit of another process is told within milliseconds, at no cost while nothing happens. On a
        rollback journal it waits for this Database's own writer, when that waits for a lock; on network
        filesystems it takes up to 0.25 s more.

        With rows, profile_id or since it is a stream of rows: of each row that was inserted, updated or
        deleted, by cascades, triggers, other processes and the sqlite3 program too, but not of one that
        REPLACE removes for another key. The first such stream of a table makes triggers on it, which stay in
        the file until unfollow(): each changed row costs a further one in a journal, which keeps the last
        100,000. A stream that lags further behind ends with ChangesExpiredError.

            async with database.changes("files", profile_id="ann", rows=True, since=last) as changes:
                async for change in changes:  # rows=[RowChange("files", "0197…", "delete")]
                    last = change.commit

        Args:
            names: of tables, as in the schema; none: every table. A stream of rows needs one.
            profile_id: only changes of rows with this profile_id; the tables must have such a column.
            rows: whether Changes.rows has the rows.
            since: the ``commit`` of a Changes of an earlier stream of rows, or of ``stream.commit``, also of
                another process or of before a restart; as text too, as ``Last-Event-ID`` is. The stream
                begins with the changes since then. None: from now on.

        Returns:
            The stream of Changes. close(), the end of its block, and its last reference end it; so does
            close() of the Database, after the last commit.

        Raises:
            InvalidArgumentError: no such table, none that can be followed, or none with profiles; since is
                no number; a stream of rows has no names. Checks that need the file are made by
                ``async with`` or the first step.
            ChangesExpiredError: the journal does not go back to since, or the table was not followed all the
                time, or the file was restored from a copy: read everything again. Raised by ``async with``
                or a step.
            DatabaseReadOnlyError: the database is read-only, and the table is not followed yet.
            DatabaseIOError: by a step, when the file was lost (code moved, log_lost, changed).
        """
        self._executor.refuse_if_unusable()
        for name in names:
            if not isinstance(name, str):
                raise TypeError(f"names must be str, not {type(name).__name__}")
        if profile_id is not None and not isinstance(profile_id, str):
            raise wrong_type("profile_id", f"must be str or None, not {type(profile_id).__name__}")
        # Not of self: a stream must not keep the Database alive.
        fetch = RawSql(self._executor).fetch_all
        tables = partial(fetch, str, _TABLES)
        journal = None
        if rows or profile_id is not None or since is not None:
            if not names:
                raise invalid_argument("names", "are needed: the tables whose rows are followed")
            journal = Journal(fetch, self._writer.call, profile_id, checked_since(since))
        return ChangeStream(self._commits, names, tables, journal, with_rows=rows)

    async def unfollow(self, *names: str) -> list[str]:
        """Ends the following of tables that a stream of rows of changes() has begun: their rows are written
        to the journal no longer. Open streams of the tables end with ChangesExpiredError.

        Args:
            names: of tables; none: all.

        Returns:
            The tables that were followed, ordered by name; [] when none was.
        """
        return list(await self._writer.call(partial(unfollow, names=names)))

    def observe(
        self, function: Callable[[Snapshot], Coroutine[Any, Any, R]], /, *names: str
    ) -> Observation[R]:
        """``async with database.observe(function, "jobs") as results: async for result in results: …``: the
        result of a function of reads, now and again whenever a commit has changed it.

            async def unfinished(view: reelbase.Snapshot) -> list[reelbase.Job]:
                return await view.jobs.list_unfinished()

            async with database.observe(unfinished, "jobs") as results:
                async for jobs in results:
                    show(jobs)

        After each commit of any process that has written to one of the tables the function is called with a
        new snapshot, and its result is given if it differs from the last one. While the consumer is busy,
        commits are added together: the next result is of a moment after all of them. No change is missed,
        except one that a later commit has undone by then.

        Args:
            function: an async def function of a Snapshot. Do not change its results: the next one is
                compared with the last one by ``!=``.
            names: of the tables that it reads; none: every table, so that it runs after each commit.

        Returns:
            The results, an async iterator. close(), the end of its block, and its last reference end it; so
            does close() of the Database.

        Raises:
            InvalidArgumentError: no such table; raised by the first step.
            DatabaseIOError: as of changes().
            Exception: of any type that the function raises, by the step that called it. The next step calls
                it again.
        """
        changes = self.changes(*names)

        async def read() -> R:
            async with self.snapshot() as view:
                return await function(view)

        return Observation(read, changes)

    async def rebuild_search(self) -> None:
        """Rebuilds all search indexes in one transaction, and the folded names of tags.

        Needed after another program has inserted or changed rows: search does not find them before. It also
        recreates damaged indexes, and then rebuilds the file (vacuum()) if their pages cannot be freed
        otherwise.
        """
        try:
            await self._rebuild_search()
        except DatabaseCorruptError:
            left_pages = await self._writer.call_outside(make_damaged_search_indexes_empty)
            await self._rebuild_search()
            if left_pages:
                await self.vacuum()

    async def _rebuild_search(self) -> None:
        steps = [command.count() for commands in derivations.values() for command in commands]
        async with self.transaction() as unit:
            await unit._executor.run(*steps)

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
                make_copy, target=path, original=self.path, keep=keep, on_step=copying.on_step
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
            advice=advice(self.path, damage),
        )

    def activity(self) -> Activity:
        """The work of this Database, now and since connect(): its queues, readers, calls and
        commits. It reads nothing from the file."""
        waiting_reads, oldest = 0, None
        calls, hops = self._writer.calls, self._writer.hops
        if (readers := self._readers) is not None:
            waiting_reads, borrowing = readers.waiting, readers.oldest_borrowing()
            oldest = None if borrowing is None else time.monotonic() - borrowing.since
            calls, hops = calls + readers.calls, hops + readers.hops
        return Activity(
            waiting_writes=self._writer.waiting,
            waiting_reads=waiting_reads,
            oldest_reader_seconds=oldest,
            calls=calls,
            hops=hops,
            hops_saved=max(calls - hops, 0),
            commits=self._writer.commits,
        )

    async def stats(self) -> DatabaseStats:
        """The numbers of rows and bytes of the database, from one read transaction, and its activity() at
        the call. It counts every row; activity() alone does not."""
        self._executor.refuse_if_unusable()
        activity = self.activity()

        def count(native: sqlite3.Connection) -> DatabaseStats:
            with read_transaction(native):
                return figures(native, str(self.path or ""), self._database_id, activity)

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
        await self._writer.call_outside(partial(vacuum, path=self.path))
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
        if str(path) in {f"{self.path}{suffix}" for suffix in SUFFIXES}:
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

    async def close(self) -> None:
        """Closes the database. Idempotent. Errors while closing are logged, not raised.

        Calls of work() are stopped first, as by SIGTERM: handlers may finish within their grace, and jobs
        that are not finished are given back. Queued calls still run, open units are rolled back, and later
        calls raise DatabaseClosedError. The last connection to a file removes its -wal and -shm.
        """
        if self._writer.connection.inherited:
            self._executor.is_closed = True
            return
        self._executor.refuse_other_loops()
        if self._closing is None:
            self._executor.is_closed = not self._workers  # else until their jobs are given back
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await asyncio.gather(*(worker.stop() for worker in self._workers))
        self._executor.is_closed = True
        if self._upkeep is not None:
            self._upkeep.stop()
        if self._readers is not None:
            await self._readers.close()
        await self._writer.close()
        self._commits.close()
        # Last: the connection that closes a WAL database last checkpoints it, and a reader must not.
        await self._writer.connection.shut()


def close_soon(readers: Readers | None, writer: Connection) -> None:
    """Closes the connections without waiting, the writer last."""
    if readers is None:
        writer.close_soon()
    else:
        readers.close_soon(writer.close_soon)
