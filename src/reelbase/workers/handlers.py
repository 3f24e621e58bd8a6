"""Handlers: the application's functions for jobs, and how they are called, timed and retried."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import random
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import copy_context
from functools import partial
from typing import Any

import msgspec

from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.workers.runs import BlockingJobRun, JobRun

HandlerFunction = (
    Callable[[JobRun], Awaitable[dict[str, Any] | None]]
    | Callable[[BlockingJobRun], dict[str, Any] | None]
)

_FIRST_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 3600.0


def exponential_backoff(attempt: int) -> float:
    """Seconds until the next attempt, after this one: 1, 2, 4 … at most an hour. A random part of up to a
    half is taken off, so that jobs that failed together are not retried together."""
    longest = min(_FIRST_RETRY_SECONDS * 2.0 ** min(attempt - 1, 60), _LONGEST_RETRY_SECONDS)
    return longest * random.uniform(0.5, 1.0)


class JobFailure(Exception):
    """Raised by a handler: the job fails with this text, and for good unless retry_in is given.

    error_code, error_details: as of jobs.fail().  retry_in: seconds until it may be claimed again, while it
    has attempts left; None: never.
    """

    def __init__(
        self,
        error: str,
        *,
        error_code: str | None = None,
        error_details: dict[str, Any] | None = None,
        retry_in: float | None = None,
    ) -> None:
        super().__init__(error)
        self.error = error
        self.error_code = error_code
        self.error_details = error_details
        self.retry_in = retry_in


class JobHandler(msgspec.Struct, frozen=True):
    """A handler with settings of its own.

    function: ``async def`` runs on the event loop and is called with a JobRun; a plain function runs in a
    thread and is called with a BlockingJobRun.  timeout: seconds until an attempt is stopped and fails, with
    error_code timeout; None: no limit.  backoff: called with the number of the attempt that failed; it
    returns the seconds until the next one, for jobs that have attempts left. None: 1, 2, 4 … up to an hour,
    less a random part of up to a half.
    """

    function: HandlerFunction
    timeout: float | None = None
    backoff: Callable[[int], float] | None = None


Handler = HandlerFunction | JobHandler


def checked_handlers(
    handlers: Mapping[str, Handler], types: Iterable[str] | None
) -> dict[str, JobHandler]:
    """The handlers of the types to work on. TypeError or InvalidArgumentError that name the parameter."""
    if not isinstance(handlers, Mapping):
        raise wrong_type("handlers", f"must be a dict, not {type(handlers).__name__}")
    if not handlers:
        raise invalid_argument("handlers", "must have a handler for at least one type of job")
    known = {kind: _checked_handler(kind, handler) for kind, handler in handlers.items()}
    if types is None:
        return known
    if isinstance(types, str | bytes) or not isinstance(types, Iterable):
        raise wrong_type("types", f"must be a list of str, not {type(types).__name__}")
    wanted = list(types)
    if not wanted:
        raise invalid_argument("types", "must name at least one type of job")
    for kind in wanted:
        if kind not in known:
            raise invalid_argument(
                "types", f"{kind!r} has no handler; handlers has {', '.join(map(repr, known))}"
            )
    return {kind: known[kind] for kind in wanted}


def _checked_handler(kind: str, handler: Handler) -> JobHandler:
    if not isinstance(kind, str):
        raise wrong_type("handlers", f"the types must be str, not {type(kind).__name__}")
    if not isinstance(handler, JobHandler):
        handler = JobHandler(handler)
    if not callable(handler.function):
        raise wrong_type(
            "handlers",
            f"that of {kind!r} must be a function or a JobHandler, not {type(handler.function).__name__}",
        )
    if handler.timeout is not None and not handler.timeout > 0:
        raise invalid_argument(
            "handlers", f"the timeout of {kind!r} must be above 0 seconds, not {handler.timeout}"
        )
    return handler


async def called(handler: JobHandler, run: JobRun) -> dict[str, Any] | None:
    """The handler's return value for the run. A cancel reaches a coroutine at once; a thread cannot be
    stopped, so the call goes on until the thread ends, which can see ``run.cancelled``."""
    function: Any = handler.function
    try:
        if _is_async(function):
            result = await function(run)
        else:
            result = await _in_thread(function, BlockingJobRun(run))
            if inspect.isawaitable(result):  # a lambda around an async function
                result = await result
    except SystemExit as error:  # on the loop it would end the program
        raise RuntimeError(f"the handler called sys.exit({error.code!r})") from error
    return result  # type: ignore[no-any-return]


def _is_async(function: Any) -> bool:
    while isinstance(function, partial):
        function = function.func
    return any(map(inspect.iscoroutinefunction, (function, type(function).__call__)))


async def _in_thread(function: Callable[[BlockingJobRun], Any], run: BlockingJobRun) -> Any:
    """A thread of its own, which does not keep the program from ending if it hangs."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    context = copy_context()

    def work() -> None:
        context.run(_settle, future, function, run)

    threading.Thread(target=work, name=f"job {run.job.id}", daemon=True).start()
    result = asyncio.wrap_future(future)
    while not result.done():
        try:
            await asyncio.wait([result])
        except asyncio.CancelledError:
            continue  # the thread sees run.cancelled
    return result.result()


def _settle(
    future: concurrent.futures.Future[Any],
    function: Callable[[BlockingJobRun], Any],
    run: BlockingJobRun,
) -> None:
    try:
        result = function(run)
    except StopIteration as error:  # no future can hold it
        failure = RuntimeError("the handler raised StopIteration")
        failure.__cause__ = error
        future.set_exception(failure)
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
