"""Statements as data: SQL text, parameter types and a row type, with a name and no connection.

A statement is a class attribute beside the method that uses it:

    class FileRepository(Repository):
        _get = Query(File, "SELECT * FROM files WHERE id = :id")

        async def get(self, file_id: UUID | str) -> File:
            return await self._run(self._get.one(id=file_id))

A * behind the SELECT that begins a statement, or behind the RETURNING that ends it, stands for the
fields of the record, and is replaced by them when the statement is declared.

``_get`` is named ``FileRepository.get`` in errors and logs. Its parameters take the types of the record's
fields of the same name; parameters that are no fields are declared in ``params``. ``.all()``,
``.optional()`` … bind the parameters and give a Step, which the engine carries to a connection and runs.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.engine.statements.in_lists import INSTEAD, parameters_in_lists
from reelbase.engine.statements.pages import Keyset, Page
from reelbase.engine.statements.parameters import (
    ARRAYS,
    INT64,
    Converter,
    SqlValue,
    converter_for,
    has_surrogates,
    to_flag,
    to_id,
    to_limit,
    to_moment,
    to_offset,
    to_optional_id,
)
from reelbase.engine.statements.row_types import (
    check_row_type,
    fields_of,
    is_record,
    is_typed_dict,
)
from reelbase.engine.statements.rows import Decoder, RowDecoder, decoder_for, row_decoder_for
from reelbase.engine.statements.step import (
    CatchUp,
    Count,
    FetchAll,
    FetchOne,
    FetchOptional,
    FetchPage,
    InsertOne,
    RunMany,
    Step,
    in_one_line,
)
from reelbase.errors import DatabaseError, InvalidArgumentError, RecordNotFoundError

T = TypeVar("T")

# Of PEP 249: the name of a column is the first item; None for a statement without rows.
Description = Sequence[Sequence[Any]] | None

# Strings, quoted names and comments are skipped: a colon inside them is no parameter.
_PARAMETER = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|:(?P<name>[A-Za-z_][A-Za-z0-9_]*)",
    re.DOTALL,
)

# The * of the SELECT that begins a statement, or of the RETURNING that ends it.
_STAR = re.compile(
    r"\A(?P<before>\s*SELECT\s+)\*(?=\s+FROM\b)|(?P<returning>\bRETURNING\s+)\*(?=\s*\Z)",
    re.IGNORECASE,
)

# Parameters that mean the same in every statement.
_WELL_KNOWN: dict[str, Converter] = {
    "limit": to_limit,
    "offset": to_offset,
    "now": to_moment,
}
_FLAG_PREFIXES = ("set_", "filter_")


def _types_of(row_type: Any) -> Mapping[str, Any]:
    """The types of the record's fields; {} when row_type is no record."""
    if not is_record(row_type):
        return {}
    return {field.name: field.type for field in fields_of(row_type)}


def _with_columns(sql: str, row_type: Any) -> str:
    """The SQL with the record's fields in place of its *. So the SQL that runs, and that is logged, names
    its columns, and a column that is added to the table later changes nothing.
    """
    if not is_record(row_type):
        return sql
    columns = ", ".join(field.name for field in fields_of(row_type))
    return _STAR.sub(lambda star: f"{star['before'] or star['returning']}{columns}", sql)


class Statement:
    """SQL with named parameters.

    Immutable, except for two caches: the decoders, built from the columns of the first result, and was_slow
    (whether the last run took so long that finished requests are reported before the next run).
    """

    writes = False
    may_write = False
    relaxed = False
    defers_references = False  # PRAGMA defer_foreign_keys, which SQLite ends with the transaction
    is_plain_write = False  # a declared statement without RETURNING, which executemany() can run
    was_slow = False

    def __init__(
        self,
        row_type: Any,
        sql: str,
        *,
        params: Mapping[str, Any] | None = None,
        name: str = "statement",
        entity: str | None = None,
    ) -> None:
        try:
            check_row_type(row_type)
        except TypeError as error:
            raise TypeError(f"the row type {error}: {in_one_line(sql)}") from None
        self.row_type = row_type
        self.sql = _with_columns(sql, row_type)
        self.name = name
        self.entity = entity
        self._decoder: Decoder | None = None
        self._row_decoder: RowDecoder | None = None
        self._converters = self._declared(params or {})

    def __set_name__(self, owner: type, attribute: str) -> None:
        repository = getattr(owner, "_repository", owner.__name__)
        self.name = f"{repository}.{attribute.lstrip('_')}"
        if self.entity is None:
            self.entity = getattr(owner, "entity", None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in the SQL, in order of appearance."""
        return tuple(self._converters)

    def _declared(self, params: Mapping[str, Any]) -> dict[str, Converter]:
        fields = _types_of(self.row_type)
        in_lists = parameters_in_lists(self.sql)
        converters: dict[str, Converter] = {}
        for match in _PARAMETER.finditer(self.sql):
            name = match["name"]
            if name is None or name in converters:
                continue
            if name in params:
                converters[name] = converter_for(params[name])
            elif name in _WELL_KNOWN:
                converters[name] = _WELL_KNOWN[name]
            elif name in fields:
                converters[name] = converter_for(fields[name])
            elif name.startswith(_FLAG_PREFIXES):
                converters[name] = to_flag
            else:
                raise TypeError(f"parameter :{name} has no type; declare it in params: {self.sql}")
            if name in in_lists and converters[name] in ARRAYS:
                raise TypeError(f"parameter :{name}: {INSTEAD.format(f':{name}')}: {self.sql}")
        return converters

    def bind(self, values: Any) -> Any:
        """The values as SQLite stores them. TypeError or InvalidArgumentError name a wrong parameter."""
        try:
            bound = {name: convert(values[name]) for name, convert in self._converters.items()}
        except (KeyError, TypeError, ValueError):
            bound = self._bind_one_by_one(values)
        if len(values) != len(bound):
            unknown = ", ".join(sorted(values.keys() - bound.keys()))
            raise TypeError(f"{self.name}: unexpected parameter {unknown}")
        return bound

    def _bind_one_by_one(self, values: Mapping[str, Any]) -> dict[str, SqlValue]:
        """Binds like bind(), one parameter at a time, so that the error can name it."""
        bound: dict[str, SqlValue] = {}
        for name, convert in self._converters.items():
            if name not in values:
                raise TypeError(f"{self.name}: missing parameter {name!r}")
            try:
                bound[name] = convert(values[name])
            except TypeError as error:
                raise wrong_type(name, error, value=values[name], where=self.name) from None
            except ValueError as error:
                raise invalid_argument(name, error, value=values[name], where=self.name) from None
        return bound

    def decode(self, description: Description, rows: list[tuple[Any, ...]]) -> list[Any]:
        """The rows as the row type.  description: the cursor's.

        DatabaseError: code no_rows for a statement without rows, code row_mismatch for rows that do not fit.
        """
        if self._decoder is None:
            self._decoder = decoder_for(self.row_type, self._columns_of(description))
        return self._decoder(rows)

    def decode_one(self, description: Description, row: tuple[Any, ...]) -> Any:
        """One row as the row type; otherwise like decode()."""
        if self._row_decoder is None:
            self._row_decoder = row_decoder_for(self.row_type, self._columns_of(description))
        return self._row_decoder(row)

    def _columns_of(self, description: Description) -> tuple[str, ...]:
        columns = tuple(column[0] for column in description or ())
        if not columns:
            raise DatabaseError(
                f"the statement returns no rows: {in_one_line(self.sql)}", code="no_rows"
            )
        return columns

    def not_found(self, parameters: Any) -> RecordNotFoundError:
        """The error for a result without a row; the key is taken from the parameters."""
        entity = self.entity or "row"
        for key in ("id", f"{entity}_id", *parameters):
            if key in parameters:
                return record_not_found(entity, parameters[key])
        return record_not_found(entity, None)

    def unstorable(self, rows: Sequence[Any]) -> InvalidArgumentError:
        """The error that names the parameter which holds a lone surrogate, or an int past 64 bits.

        rows: one set of parameters or several.
        """
        for row in rows:
            named = row if isinstance(row, Mapping) else dict(enumerate(row, 1))
            for name, value in named.items():
                if isinstance(value, str) and has_surrogates(value):
                    problem = "holds a lone surrogate"
                elif isinstance(value, int) and int(value) not in INT64:
                    problem = "does not fit into 64 bits"
                else:
                    continue
                return invalid_argument(self._called(name), problem, where=self.name)
        return invalid_argument("parameters", "do not fit what SQLite can store", where=self.name)

    def _called(self, parameter: str | int) -> str:
        """The name of a parameter in errors."""
        return str(parameter)


def record_not_found(entity: str, key: object) -> RecordNotFoundError:
    """The error for a key that no row has."""
    text = str(key)
    return RecordNotFoundError(
        f"{entity} {text!r} not found", details={"entity": entity, "key": text}
    )


class Query(Statement, Generic[T]):
    """A statement that only reads; it may run on any connection.

    Args:
        row_type: the type of each row, as of Database.fetch_all().
        sql: one statement, with parameters by name (``:name``).
        params: the types of the parameters that are no fields of row_type, by their names in the SQL:
            ``params={"note_id": int, "names": list[str]}``. A type is UUID, str, int, float, bool, bytes,
            datetime, an enumeration, ``X | None``; dict and list are bound as JSON text. ``:limit``,
            ``:offset`` and ``:now`` need none.
        entity: the name of a row in RecordNotFoundError, whose key is ``:id`` or ``:<entity>_id``; None:
            the entity of the repository.

    Raises:
        TypeError: no row can become a row_type, or a parameter has no type. Raised where the statement
            is declared.
    """

    def __init__(
        self,
        row_type: type[T],
        sql: str,
        *,
        params: Mapping[str, Any] | None = None,
        entity: str | None = None,
    ) -> None:
        super().__init__(row_type, sql, params=params, entity=entity)

    def all(self, **params: Any) -> Step[list[T]]:
        """Every row, in the order of the SQL; [] when there is none."""
        return FetchAll(self, self.bind(params))

    def optional(self, **params: Any) -> Step[T | None]:
        """The first row, or None."""
        return FetchOptional(self, self.bind(params))

    def one(self, **params: Any) -> Step[T]:
        """The first row. Running it raises RecordNotFoundError when there is none."""
        return FetchOne(self, self.bind(params))


class PageQuery(Query[T]):
    """A Query that reads pages by keyset: each continues after the last row of the page before, so that the
    last page takes no longer than the first.

        _page = PageQuery(
            Note,
            "SELECT * FROM notes WHERE id < :id ORDER BY id DESC LIMIT :limit",
            keyset={"id": 2**63 - 1},
        )

        async def page(self, after: Note | str | None = None) -> Page[Note]:
            return await self._run(self._page.page(after=after, limit=50))

    Args:
        row_type: as of Query; a record.
        sql: as of Query, with ``LIMIT :limit``. Its WHERE leaves out the rows up to the place that the
            parameters of the keyset give.
        keyset: the columns by which the rows are ordered, in that order, the last of them unique; each with
            a value that precedes every row's. They are fields of the record without NULLs, and parameters.
        params: as of Query.
        hints: the parameters that decide how the rows are found, and not which: they may differ from page
            to page.
        entity: as of Query.
    """

    def __init__(
        self,
        row_type: type[T],
        sql: str,
        *,
        keyset: Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
        hints: Collection[str] = (),
        entity: str | None = None,
    ) -> None:
        super().__init__(row_type, sql, params=params, entity=entity)
        if not is_record(row_type) or is_typed_dict(row_type):
            raise TypeError(f"pages are of records with attributes: {in_one_line(sql)}")
        if missing := {"limit", *keyset} - self._converters.keys():
            names = ", ".join(f":{name}" for name in sorted(missing))
            raise TypeError(f"no parameter {names}: {in_one_line(sql)}")
        self._keyset = Keyset(keyset, self._converters)
        self._no_filters = frozenset(("limit", *keyset, *hints))

    def page(
        self,
        *,
        after: T | str | None,
        limit: int | None,
        start: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> Step[Page[T]]:
        """A page of rows.

        Args:
            after: the last row of the page before, or its ``next``; None: the first page.
            limit: at most this many; None: all.
            start: values of the keyset that precede every row that is wanted; None: the keyset's own.
            params: the further parameters. A token is refused where they differ from those of its page,
                unless they are hints.
        """
        bound = self.bind({**params, **(start or self._keyset.start), "limit": limit})
        wanted = bound["limit"]
        listing = self._listing(bound)
        if after is not None:
            bound |= self._place(after, listing)
        if 0 < wanted < INT64[-1]:
            bound["limit"] = wanted + 1  # shows whether there is a next page
        return FetchPage(
            self,
            bound,
            keyset=self._keyset,
            listing=listing,
            limit=None if wanted < 0 else wanted,
        )

    def _listing(self, bound: Mapping[str, Any]) -> int:
        """The number of the listing: of this statement with these filters, in every process."""
        filters = [(name, value) for name, value in bound.items() if name not in self._no_filters]
        return zlib.crc32(ascii((self.name, filters)).encode())

    def _place(self, after: T | str, listing: int) -> dict[str, Any]:
        """The parameters of the keyset. TypeError or InvalidArgumentError name ``after``."""
        try:
            if isinstance(after, str):
                return self._keyset.place_at(after, listing)
            if isinstance(after, self.row_type):
                return self._keyset.place_of(after)
        except TypeError as error:
            raise wrong_type("after", error, value=after, where=self.name) from None
        except ValueError as error:
            raise invalid_argument("after", error, value=after, where=self.name) from None
        given = type(after).__name__
        raise wrong_type(
            "after",
            f"must be {self.row_type.__name__} or the text of a page's next, not {given}",
            value=after,
            where=self.name,
        )


class Command(Query[T]):
    """A statement that writes. With RETURNING it has rows like a Query; without, it counts.

    Args:
        row_type: as of Query. Without RETURNING it only gives the parameters their types: take the
            table's record.
        sql: as of Query.
        params: as of Query.
        entity: as of Query.
        relaxed: losing the write in a power cut is harmless (progress, heartbeats), so it need not wait
            for the disk. A transaction is still kept or lost as a whole.
    """

    writes = True
    may_write = True

    def __init__(
        self,
        row_type: type[T],
        sql: str,
        *,
        params: Mapping[str, Any] | None = None,
        entity: str | None = None,
        relaxed: bool = False,
    ) -> None:
        super().__init__(row_type, sql, params=params, entity=entity)
        self.is_plain_write = "RETURNING" not in sql.upper()
        self.relaxed = relaxed
        self._settable = tuple(name[4:] for name in self.parameters if name.startswith("set_"))
        for name in self._settable:
            if (
                self._converters.get(name) is to_id
            ):  # changes() binds None where a field stays as it is
                self._converters[name] = to_optional_id

    def count(self, **params: Any) -> Step[int]:
        """The number of rows that it changes, cascades not counted. Not for SQL with RETURNING."""
        return Count(self, self.bind(params))

    def catch_up(self) -> Step[int]:
        """Brings an index up to date with all rows that came in since; gives 0.

        Requests that share a commit run it once, at their end. So no other statement of its batch may read
        that index, and none may change or delete rows that are indexed.
        """
        return CatchUp(self, self.bind({}))

    def many(self, rows: Iterable[Mapping[str, Any]]) -> Step[int]:
        """Runs the statement once per row; gives the number of rows that it changes in all."""
        return RunMany(self, list(rows))

    def changes(self, changes: Mapping[str, Any], **params: Any) -> dict[str, Any]:
        """Parameters of a partial update: a ``set_<field>`` flag and a value for every field it can set.

        TypeError for a change that the statement cannot make; UNSET leaves the field.
        """
        if unknown := sorted(changes.keys() - self._settable):
            known = ", ".join(self._settable)
            raise TypeError(f"{self.name}: cannot change {', '.join(unknown)}; known: {known}")
        for field in self._settable:
            value = changes.get(field, msgspec.UNSET)
            params[f"set_{field}"] = value is not msgspec.UNSET
            params[field] = None if value is msgspec.UNSET else value
        return params


class Insertion(Command[T]):
    """INSERT of a row that is stored as it is bound: every field of the record is a parameter, and goes
    into the column of its name. The record is made from the parameters, because RETURNING takes half as
    long as the insert.
    """

    def __init__(self, row_type: type[T], sql: str) -> None:
        super().__init__(row_type, sql)
        if missing := set(_types_of(self.row_type)) - self._converters.keys():
            raise TypeError(f"not a parameter: {', '.join(sorted(missing))}; use RETURNING: {sql}")

    def one(self, **params: Any) -> Step[T]:
        """The new row."""
        return InsertOne(self, self.bind(params))

    def _columns_of(self, description: Description) -> tuple[str, ...]:
        return self.parameters
