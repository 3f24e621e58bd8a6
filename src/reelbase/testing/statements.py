"""The rules that the statements of a repository keep to, and assert_statements(), which checks them."""

from __future__ import annotations

import inspect
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple, get_args, get_origin

import msgspec

from reelbase.engine.file.connections import NativeConnection
from reelbase.engine.native.setup import Setup
from reelbase.engine.repository import Repository
from reelbase.engine.schema.chain import Migrations
from reelbase.engine.schema.source import schema_sql
from reelbase.engine.statements.row_types import fields_of, is_record
from reelbase.engine.statements.statement import Command, Query

Rule = Callable[[sqlite3.Connection, Query[Any]], Iterator[str]]


class Problem(NamedTuple):
    """A statement that breaks a rule: the fault, and its cure."""

    statement: str
    rule: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.statement}: {self.rule}: {self.problem}; {self.remedy}"


def assert_statements(
    repository: type[Repository],
    *,
    migrations: Migrations | None = None,
    setup: Setup | None = None,
    may_scan: Mapping[str, str] | None = None,
) -> None:
    """Checks every statement of a repository against the schema, without a database file.

        def test_statements() -> None:
            assert_statements(NoteRepository, migrations=mine)

    * It prepares: SQLite knows its tables and columns.
    * Its columns are the fields of its row type, and no field that has no default is missing.
    * A Query reads, and a Command writes.
    * Its parameters are used, and the class uses the statement.
    * It reads no clock and no random numbers, so that tests with a clock of their own see the stored values.
    * It never reads a table from end to end.

    Args:
        repository: a subclass of reelbase.Repository; inherited statements are checked, too.
        migrations: as of connect(): they make the application's own tables.
        setup: as of connect(): the functions and collations that the statements use.
        may_scan: the statements that may read a table from end to end, each with the reason, such as
            ``{"_list": "a dozen rows"}``, besides those in the attribute may_scan of the class. One that
            does not do so is an error, too.

    Raises:
        AssertionError: a statement breaks a rule; the text names each statement, rule and remedy.
        TypeError: repository is no repository.
        ValueError: may_scan names a statement that the repository does not have.
    """
    if problems := problems_of(
        repository, migrations=migrations, setup=setup, may_scan=may_scan or {}
    ):
        raise AssertionError("\n".join(map(str, problems)))


def problems_of(
    repository: type[Repository],
    *,
    migrations: Migrations | None = None,
    setup: Setup | None = None,
    may_scan: Mapping[str, str],
) -> list[Problem]:
    """The statements that break a rule, as of assert_statements(); [] when all keep to them."""
    if not isinstance(repository, type) or not issubclass(repository, Repository):
        raise TypeError(f"repository must be a subclass of Repository, not {repository!r}")
    statements = statements_of(repository)
    may_scan = {**repository.may_scan, **may_scan}
    if unknown := may_scan.keys() - statements.keys():
        raise ValueError(f"may_scan: {repository.__name__} has no statement {sorted(unknown)}")
    found = []
    with closing(schema_connection(migrations, setup)) as connection:
        for attribute, statement in statements.items():
            name = f"{repository.__name__}.{attribute}"
            rules = RULES if next(prepares(connection, statement), None) is None else ("prepares",)
            for rule in rules:
                check, remedy = RULES[rule]
                problems = list(check(connection, statement))
                if rule == "scans no table" and attribute in may_scan:
                    problems = [] if problems else ["it scans no table, but is in may_scan"]
                found += [Problem(name, rule, problem, remedy) for problem in problems]
    used = _names_used_by(repository)
    return found + [
        Problem(f"{repository.__name__}.{attribute}", "is used", "no method uses it", "remove it")
        for attribute in statements
        if used is not None and attribute not in used
    ]


def statements_of(repository: type[Repository]) -> dict[str, Query[Any]]:
    """The statements of a class and of its bases, by their attributes."""
    return {
        attribute: statement
        for base in reversed(repository.__mro__)
        for attribute, statement in vars(base).items()
        if isinstance(statement, Query)
    }


def schema_connection(
    migrations: Migrations | None = None, setup: Setup | None = None
) -> sqlite3.Connection:
    """An empty database in memory, with the schema, the application's own tables and all SQL functions."""
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=NativeConnection)
    try:
        connection.set_up(setup, ":memory:")
        connection.executescript(schema_sql())
        for step in migrations.steps if migrations is not None else ():
            connection.executescript(step.sql)
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


# The rules. Each gives a sentence for each breach.


def prepares(connection: sqlite3.Connection, statement: Query[Any]) -> Iterator[str]:
    """SQLite can prepare it."""
    try:
        connection.execute("EXPLAIN " + statement.sql, nothing(statement)).close()
    except sqlite3.Error as error:
        yield f"SQLite cannot prepare it ({error})"


def has_the_columns_of_its_rows(
    connection: sqlite3.Connection, statement: Query[Any]
) -> Iterator[str]:
    """Its columns are the fields of its row type."""
    columns = columns_of(connection, statement.sql)
    row_type = statement.row_type
    if not columns:
        if not isinstance(statement, Command):
            yield "it gives no columns"
    elif isinstance(row_type, type) and issubclass(row_type, msgspec.Struct):
        needed, required = flat(row_type, columns), flat(row_type, columns, only_required=True)
        missing = [field for field in required if field not in columns]
        unknown = [column for column in columns if column not in needed]
        if missing:
            yield f"it lacks the columns {', '.join(missing)} of {row_type.__name__}"
        if unknown:
            yield f"{row_type.__name__} has no field for {', '.join(unknown)}"
    elif is_record(row_type):
        fields = [field.name for field in fields_of(row_type)]
        if unknown := [column for column in columns if column not in fields]:
            yield f"{row_type.__name__} has no field for {', '.join(unknown)}"
    elif (expected := _width_of(row_type)) not in (None, len(columns)):
        yield f"it gives {len(columns)} columns, and {row_type} takes {expected}"


def is_of_its_kind(connection: sqlite3.Connection, statement: Query[Any]) -> Iterator[str]:
    """A Query reads, and a Command writes."""
    first = bare(statement.sql).split(maxsplit=1)[0].upper()
    writes = re.search(r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\b", bare(statement.sql), re.I)
    if isinstance(statement, Command) and not writes:
        yield f"it is a Command, and only reads ({first} …)"
    if not isinstance(statement, Command) and writes:
        yield f"it is a Query, and writes ({writes[0]})"


def needs_its_parameters(connection: sqlite3.Connection, statement: Query[Any]) -> Iterator[str]:
    """SQLite asks for each of its parameters."""
    parameters = nothing(statement)
    for parameter in parameters:
        others = {other: None for other in parameters if other != parameter}
        try:
            connection.execute("EXPLAIN " + statement.sql, others).close()
        except sqlite3.ProgrammingError as error:
            if parameter in str(error):
                continue
            raise
        yield f"SQLite does not need :{parameter}"


def reads_no_clock(connection: sqlite3.Connection, statement: Query[Any]) -> Iterator[str]:
    """It reads neither the time nor random numbers."""
    if found := clock_in(statement.sql):
        yield f"it reads {found}"


def scans_no_table(connection: sqlite3.Connection, statement: Query[Any]) -> Iterator[str]:
    """It reads no table from end to end."""
    for table in scanned(plan(connection, statement.sql, nothing(statement))):
        yield f"it reads {table} from end to end"


# By their names, each with the remedy.
RULES: dict[str, tuple[Rule, str]] = {
    "prepares": (
        prepares,
        "correct the SQL, or give the migrations that make its tables (migrations=)",
    ),
    "has the columns of its rows": (
        has_the_columns_of_its_rows,
        "name the fields of the row type as columns, or write SELECT * FROM, RETURNING *",
    ),
    "is of its kind": (is_of_its_kind, "a Query reads, a Command inserts, updates or deletes"),
    "needs its parameters": (needs_its_parameters, "remove the parameter"),
    "reads no clock": (reads_no_clock, "give the time as a parameter (self._now())"),
    "scans no table": (
        scans_no_table,
        "look rows up by a key or an index, or name the statement in may_scan with the reason",
    ),
}


# What the rules look at.


def nothing(statement: Query[Any]) -> dict[str, Any]:
    """NULL for each parameter of the statement."""
    return dict.fromkeys(statement.parameters)


def plan(connection: sqlite3.Connection, sql: str, parameters: Mapping[str, Any]) -> list[str]:
    """The lines of EXPLAIN QUERY PLAN."""
    return [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, parameters)]


def bare(sql: str) -> str:
    """The SQL without the insides of its comments, texts and quoted names."""
    return re.sub(r"--[^\n]*|'(?:[^']|'')*'|\"[^\"]*\"", lambda found: found[0][0] * 2, sql)


def columns_of(connection: sqlite3.Connection, sql: str) -> list[str]:
    """The columns of the statement's rows; [] when it returns none."""
    writes = re.match(r"\s*(?:INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)", sql)
    if writes:
        _, returning, columns = sql.partition("RETURNING")
        if not returning:
            return []
        sql = f"SELECT {columns} FROM {writes[1]} LIMIT 0"
    parameters = dict.fromkeys(re.findall(r":(\w+)", sql)) | {"limit": 0, "offset": 0}
    cursor = connection.execute(sql, parameters)
    return [column[0] for column in cursor.description or ()]


def flat(
    struct: type[msgspec.Struct],
    columns: Iterable[str],
    prefix: str = "",
    *,
    only_required: bool = False,
) -> list[str]:
    """The columns that the struct's fields need, one of a Struct type spread where it is spread.

    only_required: without fields that have a default.
    """
    needed = []
    for field in msgspec.structs.fields(struct):
        if only_required and not field.required:
            continue
        name = prefix + field.name
        nested = [
            member
            for member in (field.type, *getattr(field.type, "__args__", ()))
            if isinstance(member, type) and issubclass(member, msgspec.Struct)
        ]
        if nested and name not in columns:
            needed += flat(nested[0], columns, name + ".", only_required=only_required)
        else:
            needed.append(name)
    return needed


def clock_in(sql: str) -> str | None:
    """The first function or word of the SQL that reads the time or random numbers."""
    found = re.search(
        r"'now'|\bCURRENT_\w+|\b(?:random|randomblob|date|time|datetime|julianday|unixepoch|strftime)\s*\(",
        re.sub(r"--[^\n]*", "", sql),
        re.IGNORECASE,
    )
    return None if found is None else found[0]


def scanned(steps: Iterable[str]) -> list[str]:
    """The tables that a plan reads from end to end; no tables are subqueries and JSON arrays."""
    made = {
        found[1] for step in steps if (found := re.match(r"(?:CO-ROUTINE|MATERIALIZE) (\w+)", step))
    }
    return [
        found[1]
        for step in steps
        if (found := re.match(r"SCAN (?!CONSTANT ROW|\w+ VIRTUAL TABLE)(\w+)", step))
        and found[1] not in made
    ]


def _width_of(row_type: Any) -> int | None:
    """The number of columns that a row type which is no record takes; None: any number."""
    arguments = get_args(row_type)
    if row_type in (tuple, dict) or get_origin(row_type) is dict or ... in arguments:
        return None
    return len(arguments) if get_origin(row_type) is tuple else 1


def _names_used_by(repository: type[Repository]) -> set[str] | None:
    """The attributes that the source of a class and of its bases mentions; None where there is no source."""
    used: set[str] = set()
    for base in repository.__mro__[:-1]:
        try:
            source = inspect.getsource(base)
        except (OSError, TypeError):
            return None
        used |= set(re.findall(r"\.(\w+)", source))
        for listed in re.findall(r"_derivation\b.*?= \((.*?)\)", source, re.DOTALL):
            used |= set(re.findall(r"\w+", listed))
    return used
