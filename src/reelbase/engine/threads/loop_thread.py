"""An event loop on a thread of its own, which runs the calls of threads that wait.

A call behaves as ``await`` does in a task: it runs in the caller's context, an interrupt of the
caller cancels it, and an error comes out of it with the lines of both threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from queue import SimpleQueue
from typing import Any, NamedTuple

from reelbase.engine.executor import CallTask
from reelbase.engine.threads.connection import is_of_a_connection
from reelbase.engine.threads.mailbox import notify
from reelbase.errors import DatabaseClosedError

# How long the calls that still run have to end by themselves once the loop ends.
_LAST_SECONDS = 1.0
_MISSING = object()


class Outcome(NamedTuple):
    """The end of a call: its result, or its error."""

    result: Any
    error: BaseException | None


class Call:
    """A call for the loop. Its thread waits at the inbox for the outcome, and for functions to run."""

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.function = function
        # The code of an iterator is the caller's: it may be slow, or call the database itself.
        self.args = tuple(map(_taken, args))
        self.kwargs = {name: _taken(value) for name, value in kwargs.items()}
        self.thread = threading.current_thread()
        self.context = copy_context()
        self.inbox: SimpleQueue[Outcome | Callable[[], object]] = SimpleQueue()
        self.task: CallTask[None] | None = None

    def by_caller(self, function: Callable[..., object]) -> Callable[..., None]:
        """A function for the loop that has the waiting thread call this one, with the same arguments."""

        def post(*args: Any) -> None:
            self.inbox.put(lambda: function(*args))

        return post

    def wait(self) -> Outcome:
        """The outcome. Raises the exceptions of functions that it runs meanwhile."""
        while not isinstance(message := self.inbox.get(), Outcome):
            message()
        return message

    def wait_for_end(self) -> None:
        """Waits for the outcome alone."""
        while not isinstance(self.inbox.get(), Outcome):
            pass


class LoopThread:
    """An event loop on a daemon thread. Any thread may call; the loop runs the calls side by side."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: asyncio.Task[None] | None = None
        # No lock: an interrupt could leave one locked. After an append, either the loop takes the message, or
        # its thread, or the thread that appended, finds it there once the loop is over.
        self._posted: deque[tuple[Callable[[Call], None], Call]] = deque()
        self._has_ended = False
        self._is_over = False
        self._is_inherited = False
        self._thread = threading.Thread(target=self._work, name="reelbase-loop", daemon=True)
        self._thread.start()
        _loop_threads.add(self)

    # On the threads that call.

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Calls function on the loop, awaits the awaitable that it gives, and returns the result.

        Raises:
            DatabaseClosedError: the loop has ended; code forked, in a forked child.
            RuntimeError: the calling thread runs an event loop, which would stand still meanwhile, or is in
                a function unit.
            BaseException: of any type that the function raises, or that interrupts the calling thread;
                the call has ended then, as one that was cancelled.
        """
        return self.finish(Call(function, args, kwargs))

    def finish(self, call: Call) -> Any:
        """As run(), for a call that is made already."""
        _refuse_where_it_would_stand_still(call.thread)
        before = call.context.copy()
        try:
            self._post(self._start, call)
            outcome = call.wait()
        except BaseException:
            self._give_up(call)
            raise
        if call.context != before:
            _set_changed(before, call.context)
        try:
            if outcome.error is not None:
                if self._has_ended and isinstance(outcome.error, asyncio.CancelledError):
                    raise DatabaseClosedError("the database was closed meanwhile") from None
                raise outcome.error
            return outcome.result
        finally:
            del outcome, call  # else the traceback, which has this frame, would keep itself alive

    def end(self) -> None:
        """Waits until every call and the thread have ended. Idempotent; later calls are refused."""
        self.end_soon()
        if not self._is_inherited:
            self._thread.join()

    def end_soon(self, last: Callable[[], Any] | None = None) -> None:
        """Ends the loop after its calls, without waiting. last: an async function that it runs before.

        Callable from any thread, also by the garbage collector, and in a forked child, where it does
        nothing.
        """
        if not self._is_inherited and not self._has_ended:
            self._has_ended = True
            notify(self._loop, self._begin_end, last)

    @property
    def has_ended(self) -> bool:
        """Whether it takes no further calls."""
        return self._has_ended

    @property
    def is_inherited(self) -> bool:
        """Whether this is a forked child, which has no such thread."""
        return self._is_inherited

    def _post(self, callback: Callable[[Call], None], call: Call) -> None:
        if self._is_inherited:
            raise DatabaseClosedError(
                "this SyncDatabase was opened before a fork, and belongs to the parent; start processes "
                'with "spawn" or "forkserver", or connect only after the fork',
                code="forked",
            )
        if self._has_ended:
            raise DatabaseClosedError("the database is closed")
        self._posted.append((callback, call))
        notify(self._loop, self._take)
        if self._is_over:
            self._refuse_posted()

    def _give_up(self, call: Call) -> None:
        """Cancels a call and waits for its end; a second interrupt cancels it again, and ends the wait."""
        with contextlib.suppress(DatabaseClosedError):  # then the end of the loop cancels it
            self._post(self._cancel, call)
            try:
                call.wait_for_end()
            except BaseException:
                self._post(self._cancel, call)
                raise

    def _refuse_posted(self) -> None:
        """Ends the calls that the loop has not taken."""
        with contextlib.suppress(IndexError):
            while True:
                _, call = self._posted.popleft()
                call.inbox.put(Outcome(None, DatabaseClosedError("the database is closed")))

    # On the loop.

    def _take(self) -> None:
        while self._posted:
            callback, call = self._posted.popleft()
            callback(call)

    def _start(self, call: Call) -> None:
        call.task = CallTask(self._answer(call), loop=self._loop, context=call.context)
        call.task.waiting_thread = call.thread
        self._tasks.add(call.task)

    async def _answer(self, call: Call) -> None:
        # No name keeps the error: its traceback has this frame.
        try:
            result = call.function(*call.args, **call.kwargs)
            if inspect.isawaitable(result):
                result = await result
            call.inbox.put(Outcome(result, None))
        except BaseException as error:  # SystemExit, too: it is the caller's, and not the loop's
            call.inbox.put(Outcome(None, error))
        finally:
            if call.task is not None:
                self._tasks.discard(call.task)

    def _cancel(self, call: Call) -> None:
        task = call.task
        if task is None or task.done():  # interrupted before it was queued, or just at its end
            call.inbox.put(Outcome(None, asyncio.CancelledError()))
        else:  # soon: before its first step a task would end without an outcome
            self._loop.call_soon(task.cancel)

    def _begin_end(self, last: Callable[[], Any] | None) -> None:
        if self._ends is None:
            self._ends = self._loop.create_task(self._end(last))

    async def _end(self, last: Callable[[], Any] | None) -> None:
        try:
            if last is not None:
                await last()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=_LAST_SECONDS)
            if others := asyncio.all_tasks() - {self._ends}:
                for task in others:
                    task.cancel()
                await asyncio.wait(others, timeout=_LAST_SECONDS)
        finally:
            self._loop.stop()

    def _work(self) -> None:
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._is_over = True
            self._refuse_posted()
            self._loop.close()


def _taken(value: Any) -> Any:
    """A value as it may go to another thread: the items of an iterator as a list."""
    return list(value) if hasattr(type(value), "__next__") else value


def _refuse_where_it_would_stand_still(thread: threading.Thread) -> None:
    if is_of_a_connection(thread):
        raise RuntimeError(
            "a function unit called a SyncDatabase, whose writer waits for that function; "
            "call the unit that the function was given"
        )
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "a SyncDatabase was called on a thread that runs an event loop, which would stand still "
            "meanwhile; use reelbase.connect() there, or call on a thread of its own (asyncio.to_thread)"
        )


def _set_changed(before: Context, after: Context) -> None:
    """Sets the variables that a call has set for its caller, too, as after an await."""
    variable: ContextVar[Any]
    for variable, value in after.items():
        if before.get(variable, _MISSING) is not value:
            variable.set(value)


_loop_threads: weakref.WeakSet[LoopThread] = weakref.WeakSet()


def _inherit() -> None:
    for loop_thread in _loop_threads:
        loop_thread._is_inherited = True
    _loop_threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_inherit)
