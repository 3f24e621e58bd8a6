"""connect(): from its arguments to an open Database."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from reelbase.contexts import AsyncContext
from reelbase.database import Database, close_soon
from reelbase.engine.events import Observer
from reelbase.engine.file.connections import ConnectionSettings
from reelbase.engine.file.journal import (
    Durability,
    JournalChoice,
    JournalDecision,
    as_far_as_folder_syncs,
    check_choices,
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
from reelbase.engine.native.watch import Watch
from reelbase.engine.schema.chain import Migrations
from reelbase.engine.schema.identity import read_database_id
from reelbase.engine.secrets import Secrets
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.threads.connection import Connection
from reelbase.engine.threads.executors import Clock, read_clock
from reelbase.engine.threads.mailbox import Mailbox
from reelbase.engine.threads.readers import Readers
from reelbase.engine.threads.upkeep import Upkeep
from reelbase.engine.threads.writer import Writer
from reelbase.errors import DatabaseIOError
from reelbase.options import ConnectOptions

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
    observers: Sequence[Observer] = (),
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
            None: none. The line has the method, the line of the application that called it, the SQL, and,
            unless it is 0, SQLite's plan. It is logged in the caller's context, so that a filter can add a
            request id.
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
        observers: are told of each statement and each unit of work. reelbase.telemetry has one for
            OpenTelemetry and one for Prometheus.

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
    for observer in observers:
        if not isinstance(observer, Observer):
            raise TypeError(f"observers must be Observer, not {type(observer).__name__}")
    if read_only and is_memory:
        raise invalid_argument(
            "read_only",
            "a database in memory is new, and there is nothing to read",
            where="connect",
        )
    if readers is not None and readers < 1:
        raise invalid_argument("readers", f"must be 1 or more, not {readers}", where="connect")
    check_choices(journal, durability)
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
            watch=Watch(slow_query, observers) if slow_query is not None or observers else None,
            slow_transaction_seconds=slow_transaction,
            read_only=read_only,
        )
    )


class Connecting(AsyncContext):
    """The result of connect(): awaitable, and an async context manager that closes the database."""

    entered_with = "async with reelbase.connect(path) as database:"

    def __init__(self, options: ConnectOptions) -> None:
        self._options = options
        self._database: Database | None = None

    if not TYPE_CHECKING:  # type checkers refuse unknown attributes by themselves

        def __getattr__(self, name):
            raise AttributeError(
                f"connect() has not opened the database yet, so there is no {name!r}: "
                f"`database = await reelbase.connect(path)`, or `{self.entered_with}`"
            )

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
            readers = Readers(settings, options.watch, mailbox)
            await readers.open(options.readers or (2 if decision.mode == "wal" else 1))
        database_id = await connection.call(lambda: read_database_id(connection.native))
        file = file_of(connection.native)
        if file is not None and not options.read_only and not decision.filesystem.is_network:
            await connection.call(file.take_turns)
    except BaseException:
        close_soon(readers, connection)
        raise
    writer = Writer(
        connection,
        mailbox,
        synchronous=decision.synchronous,
        relaxed_synchronous=relaxed_synchronous_for(decision, options.durability),
        busy_timeout_seconds=options.busy_timeout_seconds,
        watch=options.watch,
        read_only_path=path if options.read_only else None,
    )
    upkeep = (
        Upkeep(settings.path, file, options.mounts, decision, writer, readers)
        if file and readers
        else None
    )
    return Database(options, decision, writer, readers, upkeep, database_id)


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
