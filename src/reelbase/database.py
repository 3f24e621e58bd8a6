"""connect(), and the open Database."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from reelbase.engine.executor import call_site
from reelbase.engine.file.connections import ConnectionSettings
from reelbase.engine.file.journal import (
    Durability,
    JournalChoice,
    JournalDecision,
    as_far_as_folder_syncs,
    decide_off_loop,
    kept,
    relaxed_synchronous_for,
    synchronous_for,
    without_shared_memory,
)
from reelbase.engine.file.mounts import PROC_MOUNTS
from reelbase.engine.file.open_files import file_of, journal_mode_of
from reelbase.engine.file.paths import MEMORY, file_path, folder_path
from reelbase.engine.ids import utc_now
from reelbase.engine.maintenance.opening import (
    open_read_only,
    open_writer,
    prepare_file,
    prepare_to_read,
)
from reelbase.engine.maintenance.upgrade import check
from reelbase.engine.native.setup import Setup, checked_setup
from reelbase.engine.schema.chain import Migrations
from reelbase.engine.schema.identity import read_database_id
from reelbase.engine.schema.search_indexes import make_damaged_search_indexes_empty
from reelbase.engine.schema.source import SCHEMA_VERSION
from reelbase.engine.secrets import Secrets
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.declarations import derivations
from reelbase.engine.threads.connection import Connection
from reelbase.engine.threads.executors import Clock, DatabaseExecutor, read_clock
from reelbase.engine.threads.functions import (
    FunctionExecutor,
    driven,
    in_read_transaction,
    in_savepoint,
    name_of,
    result_of,
)
from reelbase.engine.threads.mailbox import Mailbox
from reelbase.engine.threads.readers import Readers
from reelbase.engine.threads.transaction import Transaction
from reelbase.engine.threads.upkeep import Upkeep
from reelbase.engine.threads.writer import Writer
from reelbase.errors import DatabaseCorruptError, DatabaseIOError
from reelbase.maintenance import Maintenance
from reelbase.options import ConnectOptions
from reelbase.snapshot import Snapshot, SnapshotContext
from reelbase.unit_of_work import UnitOfWork, UnitOfWorkContext

R = TypeVar("R")

_log = logging.getLogger("reelbase")

_MAX_SECONDS = 86_400  # SQLite counts busy_timeout in milliseconds of 31 bits


def connect(
    path: str | os.PathLike[str],
    *,
    journal: JournalChoice = "auto",
    durability: Durability = "balanced",
    busy_timeout: float = 5.0,
    readers: int | None = None,
    create: bool = True,
    migrate: bool = True,
    migrations: Migrations | None = None,
    secrets: Secrets | None = None,
    mounts: str | os.PathLike[str] = PROC_MOUNTS,
    clock: Clock | None = None,
    slow_query: float | None = None,
    slow_transaction: float = 1.0,
    backup_dir: str | os.PathLike[str] | None = None,
    setup: Setup | None = None,
    read_only: bool = False,
) -> Connecting:
    """Opens a database, and makes it if it does not exist. ``await`` it, or use it with ``async with``.

    Args:
        path: a file, or ":memory:".
        journal: "auto" chooses the journal mode by the filesystem; "wal" or "delete" sets it.
        durability: "balanced" makes data survive a power cut, but may lose the last moments of progress
            and heartbeats; "full" makes everything survive; "normal" may lose the last commits.
        busy_timeout: seconds to wait for a lock, 0 to 86,400.
        readers: the number of reading connections, 1 or more; None: 2 on WAL, 1 on a rollback journal.
        create: True makes a missing file, and missing folders; False raises DatabaseIOError (code missing).
        migrate: True runs pending migrations, after a copy of the database (``<name>.v<version>.bak``);
            False raises SchemaError (code older) if there are any.
        migrations: the application's own migrations, for its own tables; they run after the library's.
        secrets: the keys that encrypt API keys; None: API keys cannot be stored or read.
        mounts: the mount table in which the filesystem is looked up, in the format of /proc/mounts.
        clock: returns the time that is stored, an aware datetime; None: the system's time.
        slow_query: seconds from which a statement is logged on ``reelbase.sql``; 0: every statement;
            None: none.
        slow_transaction: seconds from which a unit of work is reported as held for too long.
        backup_dir: the folder of the copy before a migration, made if it is missing; None: the
            database's folder.
        setup: called with each sqlite3.Connection that is opened to the database or to a copy of it, on
            the connection's own thread, to load the application's functions, collations and extensions.
            It must not write, begin a transaction, attach a database, set an authorizer or a progress
            handler, replace a function of SQLite, or change a setting of the library. It may be called on
            several threads at once. The functions folded, stripped, spaced, excerpt and merged are the
            library's. None: no setup.
        read_only: reads an existing database, and writes neither the file nor side files. It may lie on
            read-only media, and further processes may write it meanwhile. Every write raises
            DatabaseReadOnlyError. It keeps its journal mode and is not migrated: SchemaError (code older)
            if there are pending migrations. If no process has a WAL database open, and no side files can
            be made, it is read without locks, and calls raise DatabaseIOError (code changed) once another
            process has begun to write.

    Returns:
        An object to await, or to enter with ``async with``. It gives the Database; ``async with`` closes it.

    Raises:
        SchemaError: the file is not a reelbase database, or has another version; code stale_log, when the
            log beside it is another database's; code side_files, when its side files would lie elsewhere.
        DatabaseIOError: the file cannot be opened.
        DatabaseCorruptError: the file is damaged, or is no database.
        DatabaseBusyError: a lock was not free within busy_timeout.
        DatabaseError: code forked, for a file that was open when this process was forked; code setup, when
            setup raised or broke its rules. The file is unchanged.
        ValueError: an option has a value that cannot be used.
    """
    is_memory = isinstance(path, str | os.PathLike) and os.fspath(path) == MEMORY
    file = None if is_memory else file_path(path)
    for name, seconds in (
        ("busy_timeout", busy_timeout),
        ("slow_query", slow_query or 0.0),
        ("slow_transaction", slow_transaction),
    ):
        if not 0 <= seconds <= _MAX_SECONDS:
            raise invalid_argument(
                name, f"must be 0 to {_MAX_SECONDS} seconds, not {seconds}", where="connect"
            )
    if migrations is not None and not isinstance(migrations, Migrations):
        raise TypeError(f"migrations must be Migrations, not {type(migrations).__name__}")
    if secrets is not None and not isinstance(secrets, Secrets):
        raise TypeError(f"secrets must be Secrets, not {type(secrets).__name__}")
    if read_only and is_memory:
        raise invalid_argument(
            "read_only",
            "a database in memory is new, and there is nothing to read",
            where="connect",
        )
    if readers is not None and readers < 1:
        raise invalid_argument("readers", f"must be 1 or more, not {readers}", where="connect")
    return Connecting(
        ConnectOptions(
            path=file,
            journal=journal,
            durability=durability,
            busy_timeout_seconds=busy_timeout,
            readers=readers,
            create=create,
            migrate=migrate,
            migrations=migrations,
            backup_dir=None if backup_dir is None else folder_path(backup_dir, "backup_dir"),
            setup=checked_setup(setup),
            secrets=secrets,
            mounts=mounts,
            clock=clock or utc_now,
            slow_query_seconds=slow_query,
            slow_transaction_seconds=slow_transaction,
            read_only=read_only,
        )
    )


class Connecting:
    """The result of connect(): awaitable, and an async context manager that closes the database."""

    def __init__(self, options: ConnectOptions) -> None:
        self._options = options
        self._database: Database | None = None

    def __await__(self) -> Generator[object, None, Database]:
        return _open(self._options).__await__()

    async def __aenter__(self) -> Database:
        self._database = await _open(self._options)
        return self._database

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._database is not None:
            await self._database.close()


class Database(Maintenance):
    """An open database. Each call is a durable transaction of its own.

    It belongs to the event loop that opened it. Many tasks may call it at once; their calls share hops and
    commits.
    """

    def __init__(
        self,
        options: ConnectOptions,
        journal: JournalDecision,
        writer: Writer,
        readers: Readers | None,
        upkeep: Upkeep | None,
        database_id: UUID,
    ) -> None:
        executor = DatabaseExecutor(writer, readers, options.clock, options.secrets)
        super().__init__(executor, writer, readers, upkeep, journal, options.path, database_id)
        self._options = options
        if upkeep is not None:
            upkeep.start()
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Database {self._options.path or MEMORY}{' closed' if self.closed else ''}>"

    def __del__(self) -> None:
        if not self._executor.is_closed and not self._writer.connection.inherited:
            _close_soon(self._readers, self._writer.connection)
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=1)

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
        self._executor.refuse_if_unusable()
        return UnitOfWorkContext(
            Transaction(self._writer, "BEGIN IMMEDIATE", call_site()),
            self._options.clock,
            actor=actor,
            secrets=self._options.secrets,
            slow_transaction_seconds=self._options.slow_transaction_seconds,
        )

    async def atomically(
        self,
        function: Callable[..., Coroutine[Any, Any, R]],
        /,
        *args: Any,
        actor: str | None = None,
        **kwargs: Any,
    ) -> R:
        """``await database.atomically(function, …)``: a unit of work as a function. It takes one hop instead
        of one for each call, and shares its commit with other writes.

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
        options, now, context = self._options, self._executor.now(), copy_context()

        def work(native: sqlite3.Connection, is_cancelled: Callable[[], bool]) -> R:
            executor = FunctionExecutor(
                native,
                now,
                actor,
                options.secrets,
                options.slow_query_seconds,
                may_write=True,
                is_cancelled=is_cancelled,
            )
            unit = UnitOfWork(executor, executor)
            drive: Callable[[], R] = partial(context.run, driven, function, unit, *args, **kwargs)
            began = time.monotonic()
            try:
                return in_savepoint(executor, native, drive)
            finally:
                seconds = time.monotonic() - began
                if seconds > options.slow_transaction_seconds:
                    _log.warning(
                        "%s has held the database for %.1f s, and all other writes have waited for it: "
                        "do slow work outside of it",
                        name_of(function),
                        seconds,
                    )

        return await result_of(self._writer.submit_function(work))

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
        options, now, context = self._options, self._executor.now(), copy_context()

        def work(native: sqlite3.Connection, is_cancelled: Callable[[], bool]) -> R:
            executor = FunctionExecutor(
                native,
                now,
                None,
                options.secrets,
                options.slow_query_seconds,
                may_write=False,
                is_cancelled=is_cancelled,
            )
            view = Snapshot(executor)
            drive: Callable[[], R] = partial(context.run, driven, function, view, *args, **kwargs)
            return in_read_transaction(executor, native, drive)

        holder = self._readers or self._writer
        return await result_of(holder.submit_function(work))

    def snapshot(self) -> SnapshotContext:
        """``async with database.snapshot() as view``: all reads through view see the moment of entry.

        On WAL, writers go on meanwhile; on a rollback journal and on ":memory:" they wait, up to
        busy_timeout.
        """
        self._executor.refuse_if_unusable()
        options = self._options
        return SnapshotContext(
            self._writer,
            self._readers,
            options.clock,
            options.secrets,
            where=call_site(),
        )

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

    async def close(self) -> None:
        """Closes the database. Idempotent. Errors while closing are logged, not raised.

        Queued calls still run, open units are rolled back, and later calls raise DatabaseClosedError. The
        last connection to a file removes its -wal and -shm.
        """
        if self._writer.connection.inherited:
            self._executor.is_closed = True
            return
        self._executor.refuse_other_loops()
        if self._closing is None:
            self._executor.is_closed = True
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._upkeep is not None:
            self._upkeep.stop()
        if self._readers is not None:
            await self._readers.close()
        await self._writer.close()
        # Last: the connection that closes a WAL database last checkpoints it, and a reader must not.
        await self._writer.connection.shut()


async def _open(options: ConnectOptions) -> Database:
    read_clock(options.clock)  # a naive clock fails here, and not at the first write
    connection = Connection()
    readers: Readers | None = None
    try:
        made: list[Path] = []
        decision = await _decide(options, connection, made)
        path = MEMORY if options.path is None else str(options.path)
        settings = ConnectionSettings(
            path=path,
            journal_mode=decision.mode,
            busy_timeout_seconds=options.busy_timeout_seconds,
            setup=options.setup,
            read_only=options.read_only,
        )
        await connection.open(
            partial(open_read_only, settings, own=options.migrations)
            if options.read_only
            else partial(
                open_writer,
                settings,
                migrate=options.migrate,
                own=options.migrations,
                backup_dir=options.backup_dir,
                is_new=bool(made),
                may_fall_back=options.journal == "auto",
            )
        )
        if options.path is not None and decision.mode == "wal" and options.journal == "auto":
            actual = await connection.call(lambda: journal_mode_of(connection.native))
            if actual != "wal":
                fall_back = partial(without_shared_memory, decision, options.path)
                decision = await connection.call(fall_back)
                settings = msgspec.structs.replace(settings, journal_mode=decision.mode)
        # Not earlier: the traceback of a failed opening would keep the mailbox's descriptor open.
        mailbox = Mailbox()
        if options.path is not None:
            readers = Readers(settings, options.slow_query_seconds, mailbox)
            await readers.open(options.readers or (2 if decision.mode == "wal" else 1))
        database_id = await connection.call(lambda: read_database_id(connection.native))
    except BaseException:
        _close_soon(readers, connection)
        raise
    writer = Writer(
        connection,
        mailbox,
        synchronous=decision.synchronous,
        relaxed_synchronous=relaxed_synchronous_for(decision, options.durability),
        busy_timeout_seconds=options.busy_timeout_seconds,
        slow_query_seconds=options.slow_query_seconds,
        read_only_path=path if options.read_only else None,
    )
    file = file_of(connection.native)
    upkeep = (
        Upkeep(settings.path, file, options.mounts, decision, writer, readers)
        if file and readers
        else None
    )
    return Database(options, decision, writer, readers, upkeep, database_id)


def _close_soon(readers: Readers | None, writer: Connection) -> None:
    """Closes the connections without waiting, the writer last."""
    if readers is None:
        writer.close_soon()
    else:
        readers.close_soon(writer.close_soon)


async def _decide(
    options: ConnectOptions, connection: Connection, made: list[Path]
) -> JournalDecision:
    """The journal mode to open with. When this returns, the file exists, and is empty or the library's. A
    file that did not exist is appended to made."""
    try:
        decision = await decide_off_loop(
            options.path,
            journal=options.journal,
            durability=options.durability,
            mounts=options.mounts,
        )
    except OSError as error:
        raise DatabaseIOError(f"cannot open {options.path}: {error}") from error
    if options.path is None:
        return decision
    if options.read_only:
        mode = await connection.call(partial(prepare_to_read, options.path, mounts=options.mounts))
        return kept(decision, mode, options.durability)
    existing_mode = await connection.call(
        partial(
            prepare_file,
            options.path,
            create=options.create,
            refuse=partial(check, migrate=options.migrate, own=options.migrations),
            busy_timeout_seconds=options.busy_timeout_seconds,
            mounts=options.mounts,
            on_made=made.append,
        )
    )
    if existing_mode and options.journal == "auto" and not decision.filesystem.is_known:
        # The filesystem is unknown, so there is no reason to change the mode.
        synchronous = synchronous_for(existing_mode, options.durability)
        decision = msgspec.structs.replace(decision, mode=existing_mode, synchronous=synchronous)
    return await connection.call(partial(as_far_as_folder_syncs, decision, options.path))
