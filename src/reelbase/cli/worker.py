"""``reelbase worker``: works on the jobs of a database with the handlers of a module."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from reelbase import Database, InvalidArgumentError
from reelbase.cli.arguments import existing
from reelbase.cli.process import UsageError

_log = logging.getLogger("reelbase")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "worker",
        help="work on jobs with the handlers of a module",
        description=(
            "Works on the jobs of a database until SIGTERM or Ctrl-C, with the dict `handlers` of a"
            " module of Python, which has a function for each type of job. The database is FILE, or what the"
            " function `connect` of the module opens: `def connect(): return reelbase.connect(…)`. Handlers"
            " reach it as `run.database`. Any number of workers may run at once. At a stop it waits for its"
            " handlers and gives unfinished jobs back."
        ),
    )
    parser.add_argument(
        "module",
        metavar="MODULE",
        help="a module that can be imported from here; app.jobs:NAME, if the dict has another name",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help="the database")
    parser.add_argument(
        "--concurrency", type=int, default=4, metavar="N", help="jobs at once (default: 4)"
    )
    parser.add_argument(
        "--type", action="append", metavar="TYPE", help="only jobs of this type; may be repeated"
    )
    parser.add_argument("--name", metavar="NAME", help="the worker's name, which no other has")
    parser.add_argument(
        "--grace",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="how long a stop waits for handlers (default: 30)",
    )
    parser.add_argument(
        "--lease",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="after which another worker takes over the jobs of one that was killed (default: 60)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    name, _, attribute = arguments.module.partition(":")
    module = _imported(name)
    handlers = _attribute(module, attribute or "handlers", "the handlers, a dict by type of job")
    if not isinstance(handlers, Mapping):
        raise UsageError(f"{arguments.module}: must be a dict of handlers")
    # Nothing, if the module has set up its own log.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        asyncio.run(_work(arguments, module, handlers))  # work() itself heeds SIGTERM
    except asyncio.CancelledError:  # by Ctrl-C
        raise KeyboardInterrupt from None
    except (InvalidArgumentError, TypeError) as error:
        if not str(error).startswith("Database.work: "):
            raise
        raise UsageError(str(error).removeprefix("Database.work: ")) from error
    return 0


def _imported(name: str) -> Any:
    sys.path.insert(0, "")  # as `python -m` does
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise UsageError(f"{name} imports {error.name}, which is not installed") from error
        raise UsageError(f"there is no module {name} here; name one as in `import`") from error
    except (TypeError, ValueError) as error:  # "", ".jobs"
        raise UsageError(f"{name!r} is no name of a module") from error


def _attribute(module: Any, name: str, meaning: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        raise UsageError(f"module {module.__name__} has no `{name}`: {meaning}") from None


async def _work(arguments: argparse.Namespace, module: Any, handlers: Mapping[str, Any]) -> None:
    opening: AbstractAsyncContextManager[Database]
    if arguments.file is None:
        opening = _attribute(module, "connect", "name FILE, or add a function that opens it")()
    else:
        opening = existing(arguments.file)
    async with opening as database, _heeding_interrupts(arguments.grace):
        await database.work(
            handlers,
            concurrency=arguments.concurrency,
            worker=arguments.name,
            types=arguments.type,
            grace=arguments.grace,
            lease=arguments.lease,
        )


@contextlib.asynccontextmanager
async def _heeding_interrupts(grace: float) -> AsyncIterator[None]:
    """The first Ctrl-C ends the block as SIGTERM does; the second one ends the grace of its handlers, and
    their jobs are given back; the third one ends the program as it is."""
    loop, block, count = asyncio.get_running_loop(), asyncio.current_task(), 0
    assert block is not None

    def heed() -> None:
        nonlocal count
        count += 1
        if count == 1:
            _log.info("stopping; handlers have %g s. Ctrl-C again: they are cancelled now", grace)
        else:
            loop.remove_signal_handler(signal.SIGINT)
        block.cancel()

    loop.add_signal_handler(signal.SIGINT, heed)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
