"""Reports of the engine: an event for each statement and each unit, and figures of the work going on."""

from __future__ import annotations

from typing import Literal, NamedTuple

from reelbase.engine.record import Record

UnitKind = Literal["transaction", "snapshot", "atomically", "reading"]
UnitOutcome = Literal["committed", "rolled_back", "unknown", "read"]


class StatementEvent(NamedTuple):
    """A statement that has ended.

    name: the method that ran it, ``FileRepository.page``, or ``SQL`` for SQL of no repository.
    sql: the text in one line, without its parameters, which may be secrets.
    writes: whether it may write.
    seconds: its run on the connection's thread. Of a stream: of all its batches.
    waited_seconds: from the call until its first statement began: the queue, and a lock of another process.
    rows: how many were read, or changed; None when it failed.
    error: the exception that it raised; None: none.
    """

    name: str
    sql: str
    writes: bool
    seconds: float
    waited_seconds: float
    rows: int | None
    error: BaseException | None


class UnitEvent(NamedTuple):
    """A unit of work, or a snapshot, that has ended.

    kind: "transaction", "snapshot", or "atomically" and "reading" for functions.
    name: the file and line that opened it, or the name of the function.
    seconds: from its begin to its end. A transaction keeps all writes outside of it waiting for so long.
    waited_seconds: from the call until it began.
    outcome: "committed", "rolled_back", "unknown" (CommitUncertainError, or a function when its caller was
        cancelled), or "read", of a snapshot.
    error: the exception that ended it; None: none.
    """

    kind: UnitKind
    name: str
    seconds: float
    waited_seconds: float
    outcome: UnitOutcome
    error: BaseException | None


class Observer:
    """Is told of each statement and each unit. For connect(observers=); a subclass overrides the methods
    that it needs.

    Both methods are called in the context of the call that they tell of (context variables, so a request id
    or an open span), and must be quick, because the next statement waits. Their exceptions are logged on
    ``reelbase``, and change nothing for the call.
    """

    def statement(self, event: StatementEvent) -> None:
        """Called after each statement, on the thread of its connection, before COMMIT. A statement that is
        run again, because another write has undone its group, is told of again."""

    def unit(self, event: UnitEvent) -> None:
        """Called on the event loop after each unit of work and each snapshot."""


class Activity(Record, frozen=True):
    """The work of a Database, now and since connect().

    waiting_writes, waiting_reads: calls in the queue of the writer, and of the readers.
    oldest_reader_seconds: how long the oldest open snapshot, stream, backup or check lasts; None: there is
        none. On WAL the log grows as long as it lasts.
    calls: reads, writes and units that were run.
    hops: how often a thread was woken for them.
    hops_saved: calls that shared the hop of another one.
    commits: transactions that were committed by the writer.
    """

    waiting_writes: int
    waiting_reads: int
    oldest_reader_seconds: float | None
    calls: int
    hops: int
    hops_saved: int
    commits: int
