"""``reelbase docs``: the documents that travel with the package."""

from __future__ import annotations

import argparse
from importlib import resources

from reelbase.cli.process import UsageError

# The folders of the package whose README is for users, and what it is about.
_DOCUMENTS = {
    "repositories": "the repositories, one by one",
    "migrations": "upgrades, and migrations of your own",
    "importers": "databases of other applications",
    "testing": "fixtures, records and rules for the tests of an application",
    "cli": "this command: backups, repairs, several processes, reading only",
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "docs",
        help="print a document that comes with the package",
        description="Prints a document that comes with this version, or lists them all.",
    )
    parser.add_argument("document", metavar="NAME", nargs="?", help=", ".join(_DOCUMENTS))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    name = arguments.document
    if name is None:
        for document, subject in _DOCUMENTS.items():
            print(f"{document:<13} {subject}")
        return 0
    if name not in _DOCUMENTS:
        raise UsageError(f"there is no document {name!r}; choose one of {', '.join(_DOCUMENTS)}")
    print(resources.files("reelbase").joinpath(name, "README.md").read_text("utf-8"), end="")
    return 0
