"""``reelbase completion``: the shell script that completes the command's names, options and files."""

from __future__ import annotations

import argparse

from reelbase.cli.process import UsageError

_SHELLS = ("bash", "zsh", "tcsh")
# Arguments by what their help calls them.
_FILES = frozenset({"FILE", "COPY", "SOURCE", "TARGET", "OLD", "NEW"})
_FOLDERS = frozenset({"FOLDER"})


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "completion",
        help="print a script that makes a shell complete this command",
        description=(
            "Prints a script for bash, zsh or tcsh. For bash: reelbase completion bash >"
            " ~/.local/share/bash-completion/completions/reelbase. For zsh: reelbase completion zsh >"
            " _reelbase, in a folder of $fpath. A new shell then completes commands, options and files."
        ),
    )
    parser.add_argument("shell", metavar="SHELL", choices=_SHELLS, help=", ".join(_SHELLS))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    from reelbase.cli.main import command_parser  # noqa: PLC0415 - it imports this module

    try:
        import shtab  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError("completion needs shtab: pip install 'reelbase[cli]'") from error
    parser = command_parser()
    _name_files(parser, shtab.FILE, shtab.DIRECTORY)
    print(shtab.complete(parser, arguments.shell))
    return 0


def _name_files(parser: argparse.ArgumentParser, file: object, folder: object) -> None:
    """Marks the arguments that are paths, of a parser and of its subparsers."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                _name_files(subparser, file, folder)
        elif action.metavar in _FILES:
            action.complete = file  # type: ignore[attr-defined]
        elif action.metavar in _FOLDERS:
            action.complete = folder  # type: ignore[attr-defined]
