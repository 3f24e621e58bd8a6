"""The verbs for a user's own SQL, the same on Database, snapshot and unit of work."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from reelbase.engine.executor import Executor, call_site
from reelbase.engine.statements.arguments import PublicFace, invalid_argument, wrong_type
from reelbase.engine.statements.in_lists import INSTEAD, parameters_in_lists
from reelbase.engine.statements.parameters import SqlValue, to_any
from reelbase.engine.statements.row_types import check_row_type
from reelbase.engine.statements.rows import decoder_for, row_decoder_for
from reelbase.engine.statements.statement import Statement
from reelbase.engine.statements.step import (
    Count,
    FetchAll,
    FetchOne,
    FetchOptional,
    RunMany,
    Step,
    in_one_line,
)
from reelbase.engine.threads.stream import RowStream
from reelbase.errors import (
    DatabaseError,
    DatabaseReadOnlyError,
    DatabaseTimeoutError,
    RecordNotFoundError,
)

R = TypeVar("R")
T = TypeVar("T")
Params = Sequence[Any] | Mapping[str, Any]

_FIRST_WORD = re.compile(
    r"(?:\s|\ufeff|;|--[^\n]*(?:\n|$)|/\*.*?(?:\*/|$))*([A-Za-z]+)?", re.DOTALL
)
_READING = frozenset({"SELECT", "VALUES", "WITH", "EXPLAIN", "PRAGMA"})

_REFUSED = {
    **dict.fromkeys(
        ("BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"),
        "transactions are begun and ended by transaction() and savepoint()",
    ),
    **dict.fromkeys(
        ("ATTACH", "DETACH"), "one Database is one file; connect() to the other one as well"
    ),
    "VACUUM": "use Database.vacuum()",
    "ANALYZE": "use Database.optimize(), which analyzes your own tables; statistics of ours do harm",
}

# Pragmas that take an argument and yet only read.
_READING_PRAGMA = re.compile(
    r"\s*(?:\w+\s*\.\s*)?(?:table_info|table_xinfo|table_list|index_list|index_info|index_xinfo"
    r"|foreign_key_list|foreign_key_check|integrity_check|quick_check|compile_options)\s*\(",
    re.IGNORECASE,
)


# The setting that ends with the transaction, so that a unit of work may have it.
_OF_A_UNIT = re.compile(r"\s*defer_foreign_keys\s*=", re.IGNORECASE)

# Pragmas that do something even without an argument.
_DOING_PRAGMA = re.compile(
    r"\s*(?:\w+\s*\.\s*)?(?:wal_checkpoint|optimize|incremental_vacuum|shrink_memory)\b",
    re.IGNORECASE,
)


# Functions that tell of the connection they run on; strings, quoted names and comments are skipped.
_OF_THE_CONNECTION = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/"
    r"|\b(?P<name>last_insert_rowid|changes|total_changes)\s*\(",
    re.DOTALL | re.IGNORECASE,
)
# Behind CREATE: what only one connection sees.
_TEMPORARY = re.compile(
    r"\s*(?:TEMP(?:ORARY)?\b|\w+\s+(?:IF\s+NOT\s+EXISTS\s+)?[\"'`\[]?temp[\"'`\]]?\s*\.)",
    re.IGNORECASE,
)

# What SQLite would refuse of these (surrogates, past 64 bits) it refuses itself. To look at each value
# costs a bulk insert a fifth of its time.
_STORED_AS_THEY_ARE = frozenset({type(None), str, int, bytes})


class RawStatement(Statement):
    """SQL that came from outside; its parameters are bound by their own types, by name or place."""

    def __init__(self, row_type: Any, sql: str) -> None:
        check_row_type(row_type)
        self.row_type = row_type
        self.sql = sql
        self.name = "SQL"
        self.entity = "row"
        # Why it is refused on a Database, where each call is a transaction of its own, and reads and
        # writes have connections of their own.
        self.why_for_units: str | None = None
        match = _FIRST_WORD.match(sql)
        word = (match[1] or "").upper() if match else ""
        if not word:
            raise DatabaseError("there is no statement in this SQL", code="statement")
        if word in _REFUSED:
            raise DatabaseError(f"{word} is refused here: {_REFUSED[word]}", code="statement")
        if word == "PRAGMA" and match is not None:
            if _OF_A_UNIT.match(sql, match.end()):
                self.why_for_units = "this PRAGMA ends with its transaction"
            else:
                self._refuse_setting(sql[match.end() :])
        self.writes = word not in _READING
        functions = {found["name"] for found in _OF_THE_CONNECTION.finditer(sql)} - {None}
        if functions and not self.writes:
            self.why_for_units = (
                f"{functions.pop()}() tells of the connection that it runs on, which is not the one that has "
                "written; use RETURNING, or the result of execute()"
            )
        elif word == "CREATE" and match is not None and _TEMPORARY.match(sql, match.end()):
            self.why_for_units = "a temporary table is seen by one connection only"
        self._in_lists = parameters_in_lists(sql)
        # WITH may begin a SELECT or an INSERT; only a connection that refuses to write can tell.
        self.may_write = self.writes or word == "WITH"

    def bind(self, values: Any) -> Any:
        """The values as SQLite stores them, by name or place. TypeError or InvalidArgumentError name
        the parameter.
        """
        if type(values) in (tuple, list) and _STORED_AS_THEY_ARE.issuperset(map(type, values)):
            return tuple(values)
        if isinstance(values, Mapping):
            return {name: self._bound(name, value) for name, value in values.items()}
        if isinstance(values, Sequence) and not isinstance(values, str | bytes):
            return [self._bound(index + 1, value) for index, value in enumerate(values)]
        raise TypeError(f"parameters must be a sequence or a mapping, not {type(values).__name__}")

    def not_found(self, parameters: Any) -> RecordNotFoundError:
        """The error for a result without a row; it shows the SQL."""
        return RecordNotFoundError(
            f"no row for: {self.sql.strip()}", details={"entity": "row", "key": None}
        )

    def count_of(self, cursor: sqlite3.Cursor) -> int:
        """How many rows the statement of a finished cursor changed."""
        if cursor.rowcount < 0:
            # sqlite3 counts for statements only that begin with their verb; WITH is none.
            (changed,) = cursor.connection.execute("SELECT changes()").fetchone()
            return int(changed)
        return super().count_of(cursor)

    # Looked up anew each time: the columns of a * may change.

    def decode(self, cursor: sqlite3.Cursor, rows: list[tuple[Any, ...]]) -> list[Any]:
        """As of Statement, without its cache."""
        return decoder_for(self.row_type, self._columns_of(cursor))(rows)

    def decode_one(self, cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> Any:
        """As of Statement, without its cache."""
        return row_decoder_for(self.row_type, self._columns_of(cursor))(row)

    def _bound(self, name: str | int, value: Any) -> SqlValue:
        if isinstance(value, list | tuple | set | frozenset) and name in self._in_lists:
            shown = f":{name}" if isinstance(name, str) else "?"
            raise invalid_argument(
                self._called(name), f"{INSTEAD.format(shown)} and pass a list", where=self.name
            )
        try:
            return to_any(value)
        except TypeError as error:
            raise wrong_type(self._called(name), error, where=self.name) from None
        except ValueError as error:
            raise invalid_argument(self._called(name), error, where=self.name) from None

    def _called(self, parameter: str | int) -> str:
        return f"parameter {parameter}"

    @staticmethod
    def _refuse_setting(pragma: str) -> None:
        sets = ("=" in pragma or "(" in pragma) and not _READING_PRAGMA.match(pragma)
        if sets or _DOING_PRAGMA.match(pragma):
            raise DatabaseError(
                "a PRAGMA that sets or does something is refused: connections are set up by connect()",
                code="statement",
            )


def raw_statement(row_type: Any, sql: str) -> RawStatement:
    """The statement for this SQL; the same one each time, as long as it is in use."""
    if not isinstance(sql, str):
        raise TypeError(f"sql must be str, not {type(sql).__name__}")
    try:
        return _cached_statement(row_type, sql)
    except TypeError:
        try:
            check_row_type(row_type)
        except TypeError as error:
            raise wrong_type("row_type", error) from None
        raise


@lru_cache(maxsize=512)
def _cached_statement(row_type: Hashable, sql: str) -> RawStatement:
    return RawStatement(row_type, sql)


class RawReads(PublicFace):
    """fetch_all, fetch_one, fetch_optional, stream."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def fetch_all(
        self, row_type: type[T], sql: str, params: Params = (), *, timeout: float | None = None
    ) -> list[T]:
        """Every row as a row_type, in the order of the SQL; [] when there is none.

        row_type: a record (msgspec Struct, dataclass, NamedTuple, TypedDict or attrs class), whose
        fields meet the columns by name; a scalar (int, str, datetime …), which is the first column;
        tuple or tuple[...]; dict or dict[str, ...]. TypeError for others, before anything runs.

        params: a mapping for the names in the SQL (``:name``), a sequence for its places (``?``).
        Values: None, str, int, float, bool, bytes, UUID, datetime (aware), Decimal; a dict, list,
        tuple or Struct is stored as JSON text. Names that the SQL does not have are ignored.

        A statement that writes and returns rows is a transaction of its own on a Database.

        timeout: seconds, the wait for a turn included; then the statement is interrupted, nothing of
        it remains, and DatabaseTimeoutError is raised. None: no limit. A cancelled call is interrupted
        in the same way. An interrupted write takes the whole unit of work with it, if it is in one.

        Raises DatabaseError: code row_mismatch when a row does not fit row_type, statement for
        wrong SQL.
        """
        return await self._run(FetchAll, row_type, sql, params, timeout)

    async def fetch_one(
        self, row_type: type[T], sql: str, params: Params = (), *, timeout: float | None = None
    ) -> T:
        """The first row; RecordNotFoundError when there is none. Parameters as of fetch_all()."""
        return await self._run(FetchOne, row_type, sql, params, timeout)

    async def fetch_optional(
        self, row_type: type[T], sql: str, params: Params = (), *, timeout: float | None = None
    ) -> T | None:
        """The first row, or None when there is none. Parameters as of fetch_all()."""
        return await self._run(FetchOptional, row_type, sql, params, timeout)

    def stream(
        self, row_type: type[T], sql: str, params: Params = (), *, batch: int = 500
    ) -> RowStream[T]:
        """Rows one by one, fetched in batches of that many; use it with ``async for``, and inside
        ``async with`` when you may leave it early. row_type and params as of fetch_all().

        DatabaseReadOnlyError for SQL that writes.
        """
        where = call_site()
        statement = raw_statement(row_type, sql)
        if statement.writes:
            raise DatabaseReadOnlyError("a stream only reads; use fetch_all()")
        return RowStream(self._executor, statement, statement.bind(params), batch, where)

    async def _run(
        self,
        kind: type[Step[R]],
        row_type: Any,
        sql: str,
        params: Params,
        timeout: float | None = None,
    ) -> R:
        statement = raw_statement(row_type, sql)
        step = kind(statement, statement.bind(params))
        if timeout is None:
            return await self._run_step(statement, step)
        if not timeout >= 0:
            raise invalid_argument("timeout", f"must be 0 seconds or more, not {timeout}")
        scope = asyncio.timeout(timeout)
        try:
            async with scope:
                return await self._run_step(statement, step)
        except TimeoutError:
            if not scope.expired():
                raise
            raise DatabaseTimeoutError(
                f"{statement.name}: interrupted after timeout ({timeout:g} s): {in_one_line(statement.sql)}"
            ) from None

    async def _run_step(self, statement: RawStatement, step: Step[R]) -> R:
        if statement.why_for_units is not None and self._executor.commits:
            raise DatabaseError(
                f"{statement.why_for_units}: use it in a unit of work", code="statement"
            )
        was_known = statement.writes  # else another call may find out meanwhile
        try:
            return await self._executor.run_one(step)
        except DatabaseReadOnlyError:
            if was_known or not statement.may_write:
                raise
            statement.writes = True  # WITH … INSERT; known from now on
            return await self._executor.run_one(step)


class RawSql(RawReads):
    """The verbs that read, and execute, execute_many."""

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Runs one statement; how many rows it changed (0 for DDL). params as of fetch_all()."""
        return await self._run(Count, tuple, sql, params)

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        """Runs the statement once per row of parameters, all or nothing; how many rows it changed.

        rows: what fetch_all() takes as params, once per run; [] runs nothing and gives 0.
        """
        statement = raw_statement(tuple, sql)
        # They are bound on the thread, and the caller may use a row again until then.
        kept = [row.copy() if isinstance(row, list | dict) else row for row in rows]
        return await self._run_step(statement, RunMany(statement, kept))
