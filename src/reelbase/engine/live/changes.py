"""Streams of changes: which tables were written, after each commit of any process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

from reelbase.engine.live.commits import Commits
from reelbase.engine.live.journal import Journal, RowChange
from reelbase.engine.live.recorder import SCHEMA_TABLE, Names
from reelbase.engine.record import Record
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.threads.mailbox import notify
from reelbase.errors import DatabaseClosedError, DatabaseError


class Changes(Record, frozen=True):
    """One commit, or several that a slow consumer gets as one.

    commit: the number of the last one; it only grows within a Database, and in a stream of rows (changes()
    with rows, profile_id or since) in all processes and for as long as the file lives.  names: the followed
    tables that were written, or could have been: another process does not say which tables it writes. In a
    stream of rows the tables of the changed rows.  rows: with changes(rows=True) the rows that have
    changed, 1 to 1,000, in the order of the changes; further rows of a larger commit come in the next
    Changes. Otherwise None.
    """

    commit: int
    names: frozenset[str]
    rows: list[RowChange] | None = None


class ChangeStream:
    """The changes of some tables: an async iterator and an async context manager in one.

    It holds one Changes at most: commits that come while its consumer is busy are added to it. It has one
    consumer; any number of streams may be open.
    """

    def __init__(
        self,
        commits: Commits,
        names: tuple[str, ...],
        tables: Callable[[], Awaitable[list[str]]],
        journal: Journal | None,
        *,
        with_rows: bool,
    ) -> None:
        """tables: gives the names of all tables of the database.  journal: where the rows of the changes are
        read; None: of a stream of tables."""
        self._commits = commits
        self._tables = tables
        self._journal = journal
        self._with_rows = with_rows
        self._loop = asyncio.get_running_loop()
        self._wanted: Names = frozenset(names)
        # The schema: a table may be followed no longer.
        self.names = self._wanted if journal is None else self._wanted | {SCHEMA_TABLE}
        self._followed: Names | None = None  # once they are known to exist
        self._number = 0
        self._heard: set[str] = set()
        self._is_unknown = False
        self._waiter: asyncio.Future[None] | None = None
        self._is_ended = False
        self._error: DatabaseError | None = None
        commits.add(self)

    def __aiter__(self) -> ChangeStream:
        return self

    async def __anext__(self) -> Changes:
        followed = self._followed or await self._begin()
        while not self._is_ended or self._has_heard:
            if self._has_heard:
                if self._journal is None:
                    changes = self._take(followed)
                else:
                    changes = await self._read(self._journal)
                if changes.names:  # else a table inside a search index, or rows of others
                    return changes
                continue
            if self._waiter is not None:
                raise RuntimeError("two tasks wait for one stream of changes; give each its own")
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def __aenter__(self) -> ChangeStream:
        await self._begin()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def commit(self) -> int | None:
        """Of a stream of rows, inside its block: the number of the last commit that it gave, or that was
        before it, for ``since=`` of a later stream. None for a stream of names."""
        return None if self._journal is None else self._journal.commit

    def close(self) -> None:
        """Ends the stream, also for a task that waits for it. Idempotent."""
        self._heard.clear()
        self._is_unknown = False
        self._commits.discard(self)
        self.end(None)

    def hear(self, number: int, names: Names | None) -> None:
        """As of Listener."""
        self._number = number
        if names is None:
            self._is_unknown = True
        else:
            self._heard |= names
        self._wake()

    def end(self, error: DatabaseError | None) -> None:
        """As of Listener."""
        self._is_ended = True
        self._error = self._error or error
        self._wake()

    @property
    def _has_heard(self) -> bool:
        return self._is_unknown or bool(self._heard)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _begin(self) -> Names:
        if self._is_ended:
            return self._wanted
        try:
            tables = await self._tables()
            for name in self._wanted:
                if name not in tables:
                    raise invalid_argument(
                        "names", f"{name!r} is no table of this database", where="Database.changes"
                    )
            await self._commits.begin()
            if self._journal is not None:
                await self._journal.begin(self._wanted)
                self._is_unknown = True  # there may be rows already: after since, or after begin()
        except DatabaseError:
            self.close()
            raise
        self._followed = self._wanted or frozenset(tables)
        return self._followed

    def _take(self, followed: Names) -> Changes:
        names = followed if self._is_unknown else followed & self._heard
        self._heard, self._is_unknown = set(), False
        return Changes(self._number, names)

    async def _read(self, journal: Journal) -> Changes:
        # Forgotten before the read: a commit that comes meanwhile is heard again.
        self._heard, self._is_unknown = set(), False
        is_done = False
        try:
            batch = await journal.read()
            is_done = batch.is_last
        except DatabaseClosedError:
            is_done = True
            if not self._is_ended:
                raise
            return Changes(self._number, frozenset())
        finally:
            self._is_unknown |= not is_done
        return Changes(batch.commit, batch.names, batch.rows if self._with_rows else None)

    def __del__(self) -> None:
        # Dropped without close(), perhaps on another thread: the set of listeners has forgotten it.
        notify(self._loop, self._commits.release)
