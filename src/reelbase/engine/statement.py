"""Statements as data: SQL text, parameter types and a row type, with a name and no connection.

A statement is a class attribute beside the method that uses it:

    class FileRepository(Repository):
        _get = Query(File, "SELECT … FROM files WHERE id = :id")

        async def get(self, file_id: UUID | str) -> File:
            return await self._run(self._get.one(id=file_id))

``_get`` calls itself ``FileRepository.get`` in errors and logs. Its parameters take the types of the
record's fields of the same name; others are declared in ``params``. ``.all()``, ``.optional()`` …
bind the parameters and give a Step: what the engine carries to a connection and runs.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from reelbase.engine import binding
from reelbase.engine.binding import Converter, SqlValue
from reelbase.engine.decoding import Decoder, decoder_for
from reelbase.errors import DatabaseError, RecordNotFoundError, translate

_sql_log = logging.getLogger("reelbase.sql")

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)

# Strings, quoted names and comments are skipped: a colon inside them is no parameter.
_PARAMETER = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|:(?P<name>[A-Za-z_][A-Za-z0-9_]*)",
    re.DOTALL,
)

# Parameters that mean the same in every statement.
_WELL_KNOWN: dict[str, Converter] = {
    "limit": binding.to_limit,
    "offset": binding.to_offset,
    "now": binding.to_moment,
}
_SLOW_SECONDS = 0.001
_FLAG_PREFIXES = ("set_", "filter_")


class Shape(Enum):
    """What becomes of a statement's rows."""

    ALL = "all"
    OPTIONAL = "optional"
    ONE = "one"
    COUNT = "count"
    MANY = "many"


class Step(Generic[R_co]):
    """A statement with bound parameters and a shape: R_co is what running it returns."""

    __slots__ = ("parameters", "shape", "statement")

    def __init__(self, statement: Statement, shape: Shape, parameters: Any) -> None:
        self.statement = statement
        self.shape = shape
        self.parameters = parameters

    @property
    def may_be_long(self) -> bool:
        """Whether it may take long enough that finished requests must not wait for it."""
        return self.shape is Shape.ALL or self.statement.was_slow

    def work(self, slow_query_seconds: float | None) -> Callable[[sqlite3.Connection], R_co]:
        """run(), as what a connection's thread is given."""
        if slow_query_seconds is None:
            return self.run
        return partial(self.run, slow_query_seconds=slow_query_seconds)

    def run(self, native: sqlite3.Connection, slow_query_seconds: float | None = None) -> R_co:
        """Runs on the connection's thread. Raises DatabaseError, or ValueError for a value SQLite refuses."""
        started = time.perf_counter()
        statement = self.statement
        try:
            if self.shape is Shape.MANY:
                result: Any = sum(self._each(native))
            else:
                result = self._result(native.execute(statement.sql, self.parameters))
        except sqlite3.Error as error:
            raise translate(error, statement.name) from error
        except (UnicodeEncodeError, OverflowError) as error:
            raise statement.unstorable(self.shape, self.parameters) from error
        elapsed_seconds = time.perf_counter() - started
        statement.was_slow = elapsed_seconds > _SLOW_SECONDS
        if slow_query_seconds is not None and elapsed_seconds >= slow_query_seconds:
            # Never the parameters: they may be secrets.
            _sql_log.info(
                "%.1f ms %s: %s", elapsed_seconds * 1000, statement.name, statement.sql.strip()
            )
        return result  # type: ignore[no-any-return]

    def _each(self, native: sqlite3.Connection) -> Iterator[int]:
        """Runs the statement once per row; how many rows each run changed.

        Not by executemany(): from Python 3.12 on it fails on a statement with RETURNING. Bound here,
        on the thread: thousands of rows must not hold up the event loop.
        """
        statement = self.statement
        for row in self.parameters:
            yield self._count(native.execute(statement.sql, statement.bind(row)))

    def _count(self, cursor: sqlite3.Cursor) -> int:
        for _ in cursor:
            pass  # SQLite counts the rows of a RETURNING only as they are read
        return self.statement.count_of(cursor)

    def _result(self, cursor: sqlite3.Cursor) -> Any:
        if self.shape is Shape.COUNT:
            return self._count(cursor)
        statement = self.statement
        if self.shape is Shape.ALL:
            return statement.decode(cursor, cursor.fetchall())
        first = cursor.fetchone()
        if first is None:
            cursor.close()
            if self.shape is Shape.OPTIONAL:
                return None
            raise statement.not_found(self.parameters)
        (record,) = statement.decode(cursor, [first])
        cursor.close()
        return record


class Statement:
    """SQL with named parameters. Immutable but for the decoder, which its first result decides, and
    for was_slow: whether its last run took so long that others should not wait behind it."""

    writes = False
    relaxed = False
    was_slow = False

    def __init__(
        self,
        row_type: Any,
        sql: str,
        *,
        params: Mapping[str, Any] | None = None,
        name: str = "statement",
        entity: str = "row",
    ) -> None:
        self.row_type = row_type
        self.sql = sql
        self.name = name
        self.entity = entity
        self._decoder: Decoder | None = None
        self._converters = self._declared(params or {})

    def __set_name__(self, owner: type, attribute: str) -> None:
        repository = getattr(owner, "_repository", owner.__name__)
        self.name = f"{repository}.{attribute.lstrip('_')}"
        self.entity = getattr(owner, "entity", self.entity)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in the SQL, in order of appearance."""
        return tuple(self._converters)

    def _declared(self, params: Mapping[str, Any]) -> dict[str, Converter]:
        fields: dict[str, Any] = {}
        if isinstance(self.row_type, type) and issubclass(self.row_type, msgspec.Struct):
            fields = {field.name: field.type for field in msgspec.structs.fields(self.row_type)}
        converters: dict[str, Converter] = {}
        for match in _PARAMETER.finditer(self.sql):
            name = match["name"]
            if name is None or name in converters:
                continue
            if name in params:
                converters[name] = binding.converter_for(params[name])
            elif name in _WELL_KNOWN:
                converters[name] = _WELL_KNOWN[name]
            elif name in fields:
                converters[name] = binding.converter_for(fields[name])
            elif name.startswith(_FLAG_PREFIXES):
                converters[name] = binding.to_flag
            else:
                raise TypeError(f"parameter :{name} has no type; declare it in params: {self.sql}")
        return converters

    def bind(self, values: Any) -> Any:
        """The values as SQLite stores them. TypeError or ValueError name the parameter."""
        try:
            bound = {name: convert(values[name]) for name, convert in self._converters.items()}
        except (KeyError, TypeError, ValueError):
            bound = self._bind_one_by_one(values)
        if len(values) != len(bound):
            unknown = ", ".join(sorted(values.keys() - bound.keys()))
            raise TypeError(f"{self.name}: unexpected parameter {unknown}")
        return bound

    def _bind_one_by_one(self, values: Mapping[str, Any]) -> dict[str, SqlValue]:
        """What bind() does, to find out which parameter it was."""
        bound: dict[str, SqlValue] = {}
        for name, convert in self._converters.items():
            if name not in values:
                raise TypeError(f"{self.name}: missing parameter {name!r}")
            try:
                bound[name] = convert(values[name])
            except (TypeError, ValueError) as error:
                raise type(error)(f"{self.name}: {name}: {error}") from None
        return bound

    def count_of(self, cursor: sqlite3.Cursor) -> int:
        """How many rows the statement of a finished cursor changed."""
        return max(cursor.rowcount, 0)

    def decode(self, cursor: sqlite3.Cursor, rows: list[tuple[Any, ...]]) -> list[Any]:
        if self._decoder is None:
            self._decoder = self._decoder_of(cursor)
        return self._decoder(rows)

    def _decoder_of(self, cursor: sqlite3.Cursor) -> Decoder:
        columns = tuple(column[0] for column in cursor.description or ())
        if not columns:
            raise DatabaseError(f"{self.name} returns no rows", code="no_rows")
        return decoder_for(self.row_type, columns)

    def not_found(self, parameters: Any) -> RecordNotFoundError:
        key = "id" if "id" in parameters else next(iter(parameters), None)
        return record_not_found(self.entity, None if key is None else parameters[key])

    def unstorable(self, shape: Shape, parameters: Any) -> ValueError:
        """Says which parameter holds text that UTF-8 cannot express, or an int past 64 bits."""
        rows = parameters if shape is Shape.MANY else [parameters]
        for row in rows:
            named = row if isinstance(row, Mapping) else dict(enumerate(row, 1))
            for name, value in named.items():
                if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
                    return ValueError(f"{self.name}: {name}: holds a lone surrogate")
        return ValueError(f"{self.name}: a parameter does not fit what SQLite can store")


def record_not_found(entity: str, key: object) -> RecordNotFoundError:
    text = str(key)
    return RecordNotFoundError(
        f"{entity} {text!r} not found", details={"entity": entity, "key": text}
    )


class Query(Statement, Generic[T]):
    """A statement that only reads; it may run on any connection."""

    def __init__(
        self, row_type: type[T], sql: str, *, params: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(row_type, sql, params=params)

    def all(self, **params: Any) -> Step[list[T]]:
        """Every row, in the order of the SQL; [] when there is none."""
        return Step(self, Shape.ALL, self.bind(params))

    def optional(self, **params: Any) -> Step[T | None]:
        """The first row, or None."""
        return Step(self, Shape.OPTIONAL, self.bind(params))

    def one(self, **params: Any) -> Step[T]:
        """The first row. Running it raises RecordNotFoundError when there is none."""
        return Step(self, Shape.ONE, self.bind(params))


class Command(Query[T]):
    """A statement that writes. With RETURNING it has rows like a Query; without, it counts.

    relaxed: losing it in a power cut is harmless (progress, heartbeats), so that it need not wait
    for the disk; it never breaks a transaction apart.
    """

    writes = True

    def __init__(
        self,
        row_type: type[T],
        sql: str,
        *,
        params: Mapping[str, Any] | None = None,
        relaxed: bool = False,
    ) -> None:
        super().__init__(row_type, sql, params=params)
        self.relaxed = relaxed

    def count(self, **params: Any) -> Step[int]:
        """How many rows it changed (cascades not counted). Not for SQL with RETURNING."""
        return Step(self, Shape.COUNT, self.bind(params))

    def many(self, rows: Iterable[Mapping[str, Any]]) -> Step[int]:
        """The statement once per row; how many rows it changed in all."""
        return Step(self, Shape.MANY, list(rows))

    def changes(self, changes: Mapping[str, Any], **params: Any) -> dict[str, Any]:
        """Parameters of a partial update: a ``set_<field>`` flag and a value for every field it can set.

        TypeError for a change that the statement cannot make; UNSET leaves the field.
        """
        fields = [name[4:] for name in self._converters if name.startswith("set_")]
        if unknown := sorted(changes.keys() - set(fields)):
            raise TypeError(
                f"{self.name}: cannot change {', '.join(unknown)}; known: {', '.join(fields)}"
            )
        for field in fields:
            value = changes.get(field, msgspec.UNSET)
            params[f"set_{field}"] = value is not msgspec.UNSET
            params[field] = None if value is msgspec.UNSET else value
        return params
