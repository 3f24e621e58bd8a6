"""A user's own SQL as a statement: checks which SQL is allowed, and binds its parameters."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.engine.statements.in_lists import INSTEAD, parameters_in_lists
from reelbase.engine.statements.parameters import SqlValue, to_any
from reelbase.engine.statements.row_types import check_row_type
from reelbase.engine.statements.rows import decoder_for, row_decoder_for
from reelbase.engine.statements.statement import Description, Statement
from reelbase.errors import DatabaseError, RecordNotFoundError

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


# The one setting that ends with its transaction, so a unit of work may use it.
_OF_A_UNIT = re.compile(r"\s*defer_foreign_keys\s*=", re.IGNORECASE)

# Pragmas that act even without an argument.
_DOING_PRAGMA = re.compile(
    r"\s*(?:\w+\s*\.\s*)?(?:wal_checkpoint|optimize|incremental_vacuum|shrink_memory)\b",
    re.IGNORECASE,
)


# Functions that depend on the connection they run on; strings, quoted names and comments are skipped.
_OF_THE_CONNECTION = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/"
    r"|\b(?P<name>last_insert_rowid|changes|total_changes)\s*\(",
    re.DOTALL | re.IGNORECASE,
)
# Behind CREATE: a temporary object, which only its own connection sees.
_TEMPORARY = re.compile(
    r"\s*(?:TEMP(?:ORARY)?\b|\w+\s+(?:IF\s+NOT\s+EXISTS\s+)?[\"'`\[]?temp[\"'`\]]?\s*\.)",
    re.IGNORECASE,
)

# Values of these types are not checked here: sqlite3 refuses lone surrogates and integers past 64 bits
# itself, and checking each value takes a fifth of the time of a bulk insert.
_STORED_AS_THEY_ARE = frozenset({type(None), str, int, bytes})


class RawStatement(Statement):
    """SQL of the application's own; its parameters are bound by their own types, by name or place."""

    def __init__(self, row_type: Any, sql: str) -> None:
        check_row_type(row_type)
        self.row_type = row_type
        self.sql = sql
        self.name = "SQL"
        self.entity = "row"
        # The reason why it is refused on a Database, where each call is a transaction of its own, and
        # reads and writes have separate connections.
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
                self.defers_references = True
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

    # Looked up each time: the columns of a * may change.

    def decode(self, description: Description, rows: list[tuple[Any, ...]]) -> list[Any]:
        """As of Statement, without its cache."""
        return decoder_for(self.row_type, self._columns_of(description))(rows)

    def decode_one(self, description: Description, row: tuple[Any, ...]) -> Any:
        """As of Statement, without its cache."""
        return row_decoder_for(self.row_type, self._columns_of(description))(row)

    def _bound(self, name: str | int, value: Any) -> SqlValue:
        if isinstance(value, list | tuple | set | frozenset) and name in self._in_lists:
            shown = f":{name}" if isinstance(name, str) else "?"
            raise invalid_argument(
                self._called(name),
                f"{INSTEAD.format(shown)} and pass a list",
                where=self.name,
                is_public=False,
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
    """The statement for this SQL; the same object for the same SQL, from a cache of the last 512."""
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
