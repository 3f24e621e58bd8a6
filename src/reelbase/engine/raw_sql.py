"""The verbs for a user's own SQL, the same on Database, snapshot and unit of work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from reelbase.engine.executor import Executor, call_site
from reelbase.engine.statements.arguments import PublicFace, invalid_argument
from reelbase.engine.statements.raw import RawStatement, raw_statement
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
)

R = TypeVar("R")
T = TypeVar("T")
Params = Sequence[Any] | Mapping[str, Any]


class RawReads(PublicFace):
    """fetch_all, fetch_one, fetch_optional, stream."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def fetch_all(
        self, row_type: type[T], sql: str, params: Params = (), *, timeout: float | None = None
    ) -> list[T]:
        """Every row as a row_type, in the order of the SQL; [] when there is none.

        A statement that writes and returns rows is a transaction of its own on a Database. A cancelled
        call is interrupted like one that takes too long. An interrupted write in a unit of work makes
        SQLite roll back the whole unit.

        Args:
            row_type: a record (msgspec Struct, dataclass, NamedTuple, TypedDict or attrs class) with
                fields that meet the columns by name; a scalar (int, str, datetime …), which is the first
                column; tuple or tuple[...]; dict or dict[str, ...].
            sql: one statement.
            params: a mapping for the names in the SQL (``:name``), a sequence for its places (``?``).
                Values: None, str, int, float, bool, bytes, UUID, datetime (aware), Decimal; a dict, list,
                tuple or Struct is stored as JSON text. Names that the SQL does not have are ignored.
            timeout: seconds, the wait for a turn included, after which the statement is interrupted;
                None: no limit.

        Raises:
            TypeError: row_type is of no such type; nothing has run.
            DatabaseTimeoutError: the call took longer than timeout; nothing of the statement remains.
            DatabaseError: code row_mismatch when a row does not fit row_type, statement for wrong SQL.
        """
        return await self._run(FetchAll, row_type, sql, params, timeout)

    async def fetch_one(
        self, row_type: type[T], sql: str, params: Params = (), *, timeout: float | None = None
    ) -> T:
        """The first row as a row_type.

        Args:
            row_type: as of fetch_all().
            sql: one statement.
            params: as of fetch_all().
            timeout: as of fetch_all().

        Raises:
            RecordNotFoundError: the statement gave no row.
            DatabaseError: as of fetch_all().
        """
        return await self._run(FetchOne, row_type, sql, params, timeout)

    async def fetch_optional(
        self, row_type: type[T], sql: str, params: Params = (), *, timeout: float | None = None
    ) -> T | None:
        """The first row as a row_type.

        Args:
            row_type: as of fetch_all().
            sql: one statement.
            params: as of fetch_all().
            timeout: as of fetch_all().

        Returns:
            The row, or None when the statement gave none.

        Raises:
            DatabaseError: as of fetch_all().
        """
        return await self._run(FetchOptional, row_type, sql, params, timeout)

    def stream(
        self, row_type: type[T], sql: str, params: Params = (), *, batch: int = 500
    ) -> RowStream[T]:
        """Rows one by one: use it with ``async for``, and inside ``async with`` when you may leave it early.

        Args:
            row_type: as of fetch_all().
            sql: one statement that only reads.
            params: as of fetch_all().
            batch: the number of rows that are fetched at once, 1 or more.

        Raises:
            InvalidArgumentError: batch is less than 1.
            DatabaseReadOnlyError: the SQL writes.
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
        was_known = statement.writes  # read now: another call may find out meanwhile
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
        """Runs one statement and returns the number of rows that it changed (0 for DDL).

        params as of fetch_all().
        """
        return await self._run(Count, tuple, sql, params)

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        """Runs the statement once per row of parameters, all or nothing, and returns the number of rows
        that it changed.

        rows: for each run its params, as of fetch_all(); [] runs nothing and gives 0.
        """
        statement = raw_statement(tuple, sql)
        # They are bound on the thread, and the caller may use a row again until then.
        kept = [row.copy() if isinstance(row, list | dict) else row for row in rows]
        return await self._run_step(statement, RunMany(statement, kept))
