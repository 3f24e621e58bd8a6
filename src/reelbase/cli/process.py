"""Running a command's coroutine so that signals and errors end it cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class UsageError(Exception):
    """The arguments do not allow the command to run; the text says which change is needed."""


class Terminated(Exception):
    """SIGTERM came, and the command has ended in order."""


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs the coroutine and returns its result. Ctrl-C and SIGTERM cancel it, so that it can clean up,
    and raise KeyboardInterrupt and Terminated afterwards.

    An error of one of several tasks is raised as itself, not inside an ExceptionGroup.
    """
    is_terminated = False

    async def cancellable() -> T:
        task = asyncio.current_task()

        def terminate() -> None:
            nonlocal is_terminated
            is_terminated = True
            if task is not None:
                task.cancel()

        with contextlib.suppress(
            NotImplementedError, RuntimeError
        ):  # Windows, or not the main thread
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await coroutine

    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        if is_terminated:
            raise Terminated from None
        raise
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
