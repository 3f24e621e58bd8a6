"""An insertion answers with what it bound. That must be what a SELECT of the new row gives, exactly."""

from __future__ import annotations

import enum
import os
import re
import sqlite3
import typing
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import empty_database
from test_roundtrip import texts
from test_statements import STATEMENTS

from reelbase import RecordNotFoundError
from reelbase.engine.native.run import run
from reelbase.engine.statements.statement import Insertion

INSERTIONS = {
    name: statement
    for name, (_, _, statement) in STATEMENTS.items()
    if isinstance(statement, Insertion)
}
every_insertion = pytest.mark.parametrize("name", INSERTIONS)

aware = st.datetimes(
    datetime(1000, 1, 2),
    datetime(9999, 12, 30),
    timezones=st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone),
)
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    int: st.integers(0, 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    UUID: st.uuids() | st.uuids().map(lambda key: str(key).upper()),
    datetime: aware,
    type(None): st.none(),
}


@pytest.fixture
def native() -> Iterator[sqlite3.Connection]:
    with closing(empty_database()) as native:
        native.execute("PRAGMA foreign_keys = OFF")  # rows of one table alone
        native.execute("PRAGMA ignore_check_constraints = ON")  # of any value that its type has
        yield native


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from(list(kind))
    return BY_TYPE[kind]


def values_for(statement: Insertion[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            name: st.one_of(*(of_type(kind) for kind in typing.get_args(hint) or (hint,)))
            for name, hint in typing.get_type_hints(statement.row_type).items()
        }
    )


def answered_and_stored(
    native: sqlite3.Connection, statement: Insertion[Any], values: dict[str, Any]
) -> tuple[bytes, bytes]:
    """As JSON, in which 1 and 1.0, or a moment in another time zone, differ as well."""
    found = re.search(r"INSERT INTO (\w+)", statement.sql)
    assert found
    fields = statement.row_type.__struct_fields__
    with closing(native.cursor()) as cursor:
        native.execute("BEGIN")
        answered = run(native, statement.one(**values))
        row = cursor.execute(
            f"SELECT {', '.join(fields)} FROM {found[1]} WHERE rowid = last_insert_rowid()"
        ).fetchone()
        native.execute("ROLLBACK")
    assert type(answered) is statement.row_type
    stored = msgspec.convert(dict(zip(fields, row, strict=True)), statement.row_type)
    return msgspec.json.encode(answered), msgspec.json.encode(stored)


def test_there_are_insertions() -> None:
    assert INSERTIONS.keys() >= {"FileAdditions._add", "DownloadAdditions._add"}


@every_insertion
@settings(
    max_examples=50,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_it_answers_with_the_row_that_is_stored(
    name: str, native: sqlite3.Connection, data: st.DataObject
) -> None:
    values = data.draw(values_for(INSERTIONS[name]))
    answered, stored = answered_and_stored(native, INSERTIONS[name], values)
    assert answered == stored


class Note(msgspec.Struct, frozen=True):
    id: UUID
    text: str


@pytest.mark.parametrize("values", ["(:id, upper(:text))", "(:id, iif(:text = '', '', 'other'))"])
def test_a_row_that_is_not_stored_as_it_is_bound_would_be_noticed(
    values: str, native: sqlite3.Connection
) -> None:
    native.execute("CREATE TABLE notes (id TEXT, text TEXT) STRICT")
    mutant = Insertion(Note, f"INSERT INTO notes (id, text) VALUES {values}")
    answered, stored = answered_and_stored(native, mutant, {"id": UUID(int=1), "text": "a"})
    assert answered != stored


@every_insertion
def test_a_row_that_a_users_trigger_ignores_is_not_found(
    name: str, native: sqlite3.Connection
) -> None:
    statement = INSERTIONS[name]
    for table in ("files", "downloads"):
        native.execute(
            f"CREATE TEMP TRIGGER ignored_{table} BEFORE INSERT ON {table} "
            "BEGIN SELECT RAISE(IGNORE); END"
        )
    values = {field: UUID(int=1) if field == "id" else None for field in statement.parameters}
    with pytest.raises(RecordNotFoundError, match=str(UUID(int=1))):
        run(native, statement.one(**values))


def test_it_needs_every_field_as_a_parameter(native: sqlite3.Connection) -> None:
    native.execute("CREATE TABLE notes (id TEXT, text TEXT DEFAULT '') STRICT")
    with pytest.raises(TypeError, match="text"):
        Insertion(Note, "INSERT INTO notes (id) VALUES (:id)")
