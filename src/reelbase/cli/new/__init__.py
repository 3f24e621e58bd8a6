"""``reelbase new``: writes an application's own entity once, to be kept and changed by hand."""

from __future__ import annotations

import argparse
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import msgspec

from reelbase import Migrations
from reelbase.cli.arguments import add_json
from reelbase.cli.new.entity import TYPES, Entity
from reelbase.cli.new.texts import Place, migration, module, test
from reelbase.cli.output import print_facts
from reelbase.cli.process import UsageError
from reelbase.testing.statements import schema_connection


class NewEntity(msgspec.Struct, frozen=True):
    """files: the written files.  next: how the application gets at them."""

    files: list[str]
    next: str


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "new",
        help="write a table of your own, with its repository and test",
        description=(
            "Writes a migration that makes a table, a module with its record, its SQL and its repository"
            " (create, get, page, update, delete, count), and a test. They are yours: keep them, and change"
            " them by hand. No file is overwritten. Example:"
            " reelbase new bookmark url:str note:str? --into notebook"
        ),
    )
    parser.add_argument("name", metavar="NAME", help="a row, in the singular: bookmark")
    parser.add_argument(
        "fields",
        metavar="FIELD:TYPE",
        nargs="+",
        help=f"a column; TYPE is {', '.join(TYPES)}, with a ? behind it where None is allowed",
    )
    parser.add_argument(
        "--into",
        metavar="FOLDER",
        default=".",
        help="the package of the application (default: here); migrations go into its folder migrations",
    )
    parser.add_argument("--tests", metavar="FOLDER", default="tests", help="default: ./%(default)s")
    parser.add_argument("--table", metavar="NAME", help="default: NAME with an s")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    entity = Entity.of(arguments.name, arguments.fields, arguments.table)
    package = _checked_package(Path(arguments.into))
    place = Place.of(package, entity)
    folder = package / "migrations"
    own = _existing(place.application, folder)
    script = migration(entity)
    _try_out(own, script, entity)
    # Without it a type checker would know the module by two names.
    files = dict.fromkeys(_missing_inits(package), "")
    files |= {
        folder / f"{len(own.steps) + 1 if own else 1:04}_{entity.table}.sql": script,
        package / f"{entity.table}.py": module(entity),
        Path(arguments.tests) / f"test_{entity.table}.py": test(entity, place),
    }
    _write(files)
    report = NewEntity(
        [str(path) for path in files],
        f'connect(…, migrations=reelbase.Migrations("{place.application}", "{folder.as_posix()}")), '
        f"database.repository({entity.record}Repository)",
    )
    print_facts(report, arguments, [*report.files, f"Next: {report.next}"])
    return 0


def _checked_package(package: Path) -> Path:
    """The folder; UsageError when Python could not import from it."""
    if package.is_absolute() or not all(part.isidentifier() for part in package.parts):
        raise UsageError(
            f"--into: {package} is no package that Python imports from here; name one like notebook"
        )
    return package


def _missing_inits(package: Path) -> list[Path]:
    """The missing ``__init__.py`` of the package and of the packages around it."""
    parts = package.parts
    first = 1 if parts[:1] == ("src",) else 0
    folders = [Path(*parts[: place + 1]) for place in range(first, len(parts))]
    return [path for folder in folders if not (path := folder / "__init__.py").exists()]


def _existing(application: str, folder: Path) -> Migrations | None:
    """The migrations that are there; None: there are none yet."""
    if not folder.is_dir() or not any(folder.glob("*.sql")):
        return None
    try:
        return Migrations(application, folder)
    except ValueError as error:
        raise UsageError(f"{folder}: {error}") from error


def _try_out(own: Migrations | None, script: str, entity: Entity) -> None:
    """UsageError when SQLite refuses the script: a name that is taken, or a word of SQL."""
    try:
        with closing(schema_connection(own)) as connection:
            connection.executescript(script)
    except sqlite3.Error as error:
        words = [*filter(_is_word_of_sql, (entity.table, *(field.name for field in entity.fields)))]
        if words:
            raise UsageError(
                f"{', '.join(words)}: a word of SQL is no name; choose another one"
            ) from error
        raise UsageError(f"SQLite refuses the table: {error}; choose another name") from error


def _is_word_of_sql(name: str) -> bool:
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute(f"CREATE TABLE {name} ({name} TEXT)")
        except sqlite3.Error:
            return True
    return False


def _write(files: Mapping[Path, str]) -> None:
    """Writes all files, or none."""
    if existing := [str(path) for path in files if path.exists()]:
        raise UsageError(f"{', '.join(existing)} exists, and is not overwritten")
    written: list[Path] = []
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                written.append(path)
                file.write(text)
    except OSError:
        for path in written:
            path.unlink()
        raise
