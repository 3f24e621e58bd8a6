"""``reelbase lint``: do the statements of an application's repositories keep to the rules?"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Iterator
from types import ModuleType

import msgspec

from reelbase import Migrations, Repository
from reelbase.cli.arguments import add_json
from reelbase.cli.output import print_facts
from reelbase.cli.process import UsageError
from reelbase.operations.quantities import counted
from reelbase.testing.statements import Problem, problems_of, statements_of


class LintReport(msgspec.Struct, frozen=True):
    """repositories: their names. statements: how many were checked."""

    repositories: list[str]
    statements: int
    problems: list[Problem]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "lint",
        help="check the SQL of an application's own repositories",
        description=(
            "Imports a module, or all modules of a package, and checks every statement of the repositories in"
            " it against the schema: it prepares, its columns are those of its records, its parameters are"
            " used, it reads no clock and scans no table. It opens no database. Exit code 0: all keep to the"
            " rules, 1: some do not."
        ),
    )
    parser.add_argument(
        "module",
        metavar="MODULE",
        help="for example notebook.repositories; found from the working directory",
    )
    parser.add_argument(
        "--migrations",
        metavar="FOLDER",
        help="the application's own migrations, which make its tables",
    )
    parser.add_argument(
        "--may-scan",
        metavar="STATEMENT",
        action="append",
        default=[],
        help="a statement that may read a table from end to end (NoteRepository._list); repeatable",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    try:
        migrations = arguments.migrations and Migrations("lint", arguments.migrations)
    except ValueError as error:
        raise UsageError(f"--migrations: {error}") from error
    found = {
        repository.__name__: repository
        for module in _modules(arguments.module)
        for repository in vars(module).values()
        if isinstance(repository, type)
        and issubclass(repository, Repository)
        and repository.__module__ == module.__name__
    }
    allowed = {name: _allowed(name, arguments.may_scan) for name in found}
    if unknown := set(arguments.may_scan) - {
        f"{name}.{attribute}"
        for name, repository in found.items()
        for attribute in statements_of(repository)
    }:
        raise UsageError(f"--may-scan: there is no statement {', '.join(sorted(unknown))}")
    report = LintReport(
        sorted(found),
        sum(len(statements_of(repository)) for repository in found.values()),
        [
            problem
            for name, repository in sorted(found.items())
            for problem in problems_of(repository, migrations=migrations, may_scan=allowed[name])
        ],
    )
    if not report.statements:
        raise UsageError(f"{arguments.module} has no repository with statements")
    verdict = (
        f"{counted(report.statements, 'statement')} of {', '.join(report.repositories)}: "
        f"{counted(len(report.problems), 'problem')}"
    )
    print_facts(report, arguments, [*map(str, report.problems), verdict])
    return 1 if report.problems else 0


def _allowed(name: str, may_scan: list[str]) -> dict[str, str]:
    """The attributes of one repository among the arguments of --may-scan."""
    return {
        statement.removeprefix(f"{name}."): "allowed by --may-scan"
        for statement in may_scan
        if statement.startswith(f"{name}.")
    }


def _modules(name: str) -> Iterator[ModuleType]:
    """The module, and those of a package, imported as from the working directory."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(name)
        yield module
        for info in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}."):
            yield importlib.import_module(info.name)
    except Exception as error:
        raise UsageError(f"cannot import {name}: {type(error).__name__}: {error}") from error
