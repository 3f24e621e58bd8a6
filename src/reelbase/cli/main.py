"""The ``reelbase`` command: its subcommands, their errors and exit codes.

A subcommand is a module with two functions: ``add_parser(subparsers)`` describes its arguments and
sets ``run`` as their default, and ``run(arguments)`` does the work and returns the exit code.

Exit codes: 0 done, 1 a problem of the data, 2 wrong use, 130 Ctrl-C, 141 the reader of the output has
closed it, 143 SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence

from reelbase import DatabaseError, DatabaseIOError
from reelbase.cli import (
    adopt,
    backup,
    check,
    completion,
    demo,
    docs,
    export,
    history,
    import_,
    init,
    inspect,
    jobs,
    lint,
    migrate,
    new,
    optimize,
    purge,
    rebuild_search,
    repair,
    reset,
    restore,
    version,
    worker,
)
from reelbase.cli.output import in_one_line
from reelbase.cli.process import Terminated, UsageError

COMMANDS = (
    init,
    migrate,
    version,
    history,
    adopt,
    check,
    inspect,
    backup,
    restore,
    repair,
    optimize,
    purge,
    rebuild_search,
    reset,
    export,
    import_,
    jobs,
    lint,
    new,
    docs,
    completion,
    worker,
    demo,
)

# Error codes of an unsuitable path: the argument is wrong, not the data.
_WRONG_PATH_CODES = frozenset({"directory", "not_regular", "missing", "exists"})


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line argv (None: the process's) and returns the exit code.

    SystemExit, as argparse raises it, for --help, --version and a wrong use.
    """
    _make_printable()
    parser = command_parser()
    arguments = parser.parse_args(argv)
    if "run" not in arguments:
        parser.print_help(sys.stderr)
        return 2
    try:
        code = int(arguments.run(arguments))
        if sys.stdout is not None:
            sys.stdout.flush()  # a broken pipe shows here, not at the interpreter's exit
        return code
    except BrokenPipeError:
        _discard_output()
        return 141
    except KeyboardInterrupt:
        return _fail(arguments, "interrupted; run the same command again to go on", 130)
    except Terminated:
        return _fail(arguments, "terminated; run the same command again to go on", 143)
    except UsageError as error:
        return _fail(arguments, str(error), 2)
    except DatabaseIOError as error:
        if error.code in _WRONG_PATH_CODES:
            return _fail(arguments, f"{error}; choose another path", 2)
        return _fail(arguments, f"{error}; check the path and its permissions", 1)
    except DatabaseError as error:
        return _fail(arguments, str(error), 1)
    except OSError as error:
        _discard_output()  # it may be the output that failed, on a full disk
        return _fail(arguments, str(error), 1)


def command_parser() -> argparse.ArgumentParser:
    """The parser of the command, with all its subcommands."""
    parser = argparse.ArgumentParser(
        prog="reelbase",
        description="Looks after the databases of self-hosted media applications.",
        epilog="`reelbase COMMAND --help` says more about a command.",
    )
    parser.add_argument("--version", action="version", version=version.versions())
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def _make_printable() -> None:
    """Characters of file names that the terminal's encoding lacks are printed escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(arguments: argparse.Namespace, message: str, code: int) -> int:
    with contextlib.suppress(BrokenPipeError):
        print(f"reelbase {arguments.command}: {in_one_line(message)}", file=sys.stderr, flush=True)
    return code


def _discard_output() -> None:
    """Discards the buffered output, which would raise the error again at the interpreter's exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
            continue
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
