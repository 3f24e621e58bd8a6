"""Promises about row types: every kind of record can be fetched, and what no row can become is refused
before anything runs."""

from __future__ import annotations

import enum
import typing
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Generic, NamedTuple, NotRequired, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pytest

import reelbase
from reelbase import Command, Database, Query, Repository
from reelbase.engine.statements.statement import Insertion

T = TypeVar("T")


class Size(msgspec.Struct, frozen=True):
    width: int
    height: int = 0


class StructNote(msgspec.Struct, frozen=True):
    id: UUID
    made: datetime
    tags: list[str]
    size: Size | None
    is_read: bool = False
    more: dict[str, int] = {}


@dataclass(frozen=True)
class DataNote:
    id: UUID
    made: datetime
    tags: list[str]
    size: Size | None
    is_read: bool = False
    more: dict[str, int] = field(default_factory=dict)


@dataclass(kw_only=True)
class KeywordNote:
    id: UUID
    made: datetime
    tags: list[str]
    size: Size | None
    is_read: bool = False
    more: dict[str, int] = field(default_factory=dict)


class TupleNote(NamedTuple):
    id: UUID
    made: datetime
    tags: list[str]
    size: Size | None
    is_read: bool = False
    more: dict[str, int] = {}  # noqa: RUF012


class DictNote(TypedDict):
    id: UUID
    made: datetime
    tags: list[str]
    size: Size | None
    is_read: NotRequired[bool]
    more: NotRequired[dict[str, int]]


class AttrsNote:
    """As attrs makes a class: it is told by ``__attrs_attrs__``."""

    __attrs_attrs__ = ()
    id: UUID
    made: datetime
    tags: list[str]
    size: Size | None
    is_read: bool
    _more: dict[str, int]

    def __init__(
        self,
        id: UUID,
        made: datetime,
        tags: list[str],
        size: Size | None,
        is_read: bool = False,
        more: dict[str, int] | None = None,
    ) -> None:
        self.id, self.made, self.tags, self.size = id, made, tags, size
        self.is_read = is_read
        self._more = {} if more is None else more

    @property
    def more(self) -> dict[str, int]:
        return self._more


RECORDS: list[Any] = [StructNote, DataNote, KeywordNote, TupleNote, DictNote, AttrsNote]
each_record = pytest.mark.parametrize("record", RECORDS, ids=lambda kind: kind.__name__)
SQL = """
SELECT '["a"]' AS tags, '01890a5d-ac96-774b-bcce-b302099a8057' AS id, 'x' AS other,
       '2026-01-31T10:00:00.000Z' AS made, 3 AS "size.width"
"""
FULL = SQL.replace("3 AS", "1 AS is_read, '{\"b\": 2}' AS more, NULL AS size, 3 AS")


def got(row: Any, name: str) -> Any:
    return row.get(name) if isinstance(row, dict) else getattr(row, name)


@each_record
async def test_columns_meet_the_fields_of_every_kind_of_record(
    database: Database, record: Any
) -> None:
    """JSON columns, nested records, defaults, columns in another order and columns too many."""
    row = await database.fetch_one(record, SQL)
    assert type(row) is (dict if record is DictNote else record)
    assert got(row, "id") == UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    assert got(row, "made").year == 2026
    assert (got(row, "tags"), got(row, "size")) == (["a"], Size(3))
    if record is DictNote:
        assert "is_read" not in row
        assert "more" not in row
    else:
        assert (got(row, "is_read"), got(row, "more")) == (False, {})
    (full,) = await database.fetch_all(record, FULL)
    assert (got(full, "is_read"), got(full, "more"), got(full, "size")) == (True, {"b": 2}, None)
    assert await database.fetch_optional(record, f"{SQL} WHERE 0") is None
    async for streamed in database.stream(record, SQL):
        assert got(streamed, "tags") == ["a"]


@each_record
async def test_a_missing_column_and_a_wrong_value_are_named(
    database: Database, record: Any
) -> None:
    with pytest.raises(reelbase.DatabaseError, match=r"no column tags for \w+Note\.tags") as caught:
        await database.fetch_all(record, SQL.replace("AS tags", "AS labels"))
    assert caught.value.code == "row_mismatch"
    with pytest.raises(reelbase.DatabaseError, match="UUID"):
        await database.fetch_all(record, SQL.replace("01890a5d-", ""))


@each_record
async def test_a_repository_may_have_every_kind_of_record(database: Database, record: Any) -> None:
    """Its fields give parameters their types."""

    class NoteRepository(Repository):
        _get = Query(record, f"{SQL} WHERE :id IS NOT NULL AND :made < '2027'")
        _clear = Command(record, "DELETE FROM tags WHERE name = :tag", params={"tag": str})

        async def get(self, id: str, made: datetime) -> Any:
            return await self._run(self._get.one(id=id, made=made))

        async def clear(self, tag: str) -> int:
            return await self._run(self._clear.count(tag=tag))

    notes = database.repository(NoteRepository)
    made = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    assert got(await notes.get("01890a5dac96774bbcceb302099a8057", made), "tags") == ["a"]
    with pytest.raises(
        reelbase.InvalidArgumentError, match=r"^NoteRepository\.get: made: must be an aw"
    ):
        await notes.get("01890a5dac96774bbcceb302099a8057", made.replace(tzinfo=None))
    assert await notes.clear("a") == 0


async def test_an_insertion_makes_any_kind_of_record(database: Database) -> None:
    @dataclass
    class Entry:
        key: int
        value: str

    await database.execute("CREATE TABLE pairs (key INTEGER PRIMARY KEY, value TEXT)")

    class EntryRepository(Repository):
        _add = Insertion(Entry, "INSERT INTO pairs (key, value) VALUES (:key, :value)")

        async def add(self, key: int, value: str) -> Entry:
            return await self._run(self._add.one(key=key, value=value))

    assert await database.repository(EntryRepository).add(1, "a") == Entry(1, "a")
    with pytest.raises(TypeError, match="not a parameter: value"):
        Insertion(Entry, "INSERT INTO pairs (key) VALUES (:key)")


class Colour(enum.Enum):
    RED = "red"


Pair = namedtuple("Pair", ["a", "b"])
Name = typing.NewType("Name", str)


@pytest.mark.parametrize(
    ("row_type", "row"),
    [
        (Pair, Pair(1, "x")),
        (int, 1),
        (float, 1.0),
        (int | None, 1),
        (typing.Optional[int], 1),  # noqa: UP045
        (Any, 1),
        (object, 1),
        (typing.Literal[1, 2], 1),
        (typing.Annotated[int, msgspec.Meta(ge=0)], 1),
        (tuple, (1, "x")),
        (tuple[int, str], (1, "x")),
        (tuple[Any, ...], (1, "x")),
        (dict, {"a": 1, "b": "x"}),
        (dict[str, Any], {"a": 1, "b": "x"}),
        (dict[str, int | str], {"a": 1, "b": "x"}),
    ],
)
async def test_other_row_types_that_work(database: Database, row_type: Any, row: Any) -> None:
    assert await database.fetch_one(row_type, "SELECT 1 AS a, 'x' AS b") == row
    assert Query(row_type, "SELECT 1 AS a, 'x' AS b").row_type is row_type


@pytest.mark.parametrize(
    ("row_type", "value", "row"),
    [
        (Colour, "red", Colour.RED),
        (Name, "x", "x"),
        (bytes, b"x", b"x"),
        (list[int], "[1]", [1]),
        (dict[str, Size], '{"a": {"width": 1}}', {"a": Size(1)}),
        (Decimal, "1.5", Decimal("1.5")),
    ],
    ids=str,
)
async def test_scalars_and_json(database: Database, row_type: Any, value: Any, row: Any) -> None:
    if row_type == dict[str, Size]:
        (given,) = await database.fetch_one(tuple[row_type], "SELECT ?", [value])
        assert given == row
    else:
        assert await database.fetch_one(row_type, "SELECT ?", [value]) == row


class Model:
    """As pydantic's: it is told by model_validate."""

    @classmethod
    def model_validate(cls, given: Any) -> Model:
        return cls()


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


class Plain:
    pass


@dataclass
class OfPaths:
    path: Path


@dataclass
class OfUnknown:
    path: Unknown  # type: ignore[name-defined]  # noqa: F821


@dataclass(init=False)
class Vague:
    a: int

    def __init__(self, **fields: Any) -> None:
        self.a = fields["a"]


REFUSED: list[tuple[Any, str]] = [
    (Model, "model_validate"),
    (Page[int], "without its parameters"),
    (Plain, "becomes Plain"),
    (complex, "becomes complex"),
    (Path, "becomes"),
    (Fraction, "becomes Fraction"),
    (OfPaths, "becomes Path"),
    (OfUnknown, "Unknown"),
    (Vague, "fields are not known"),
    (tuple[int, Path], "becomes Path"),
    (list[Path], "becomes Path"),
    (int | Path, "becomes Path"),
    (dict[str, Path], "becomes Path"),
    (dict[int, str], "names of columns"),
    (Iterator[int], "becomes Iterator"),
    (Size(1), "not an object of it"),
    ("File", "not its name"),
    (5, "no type"),
    (len, "no type"),
    ([int], "hash"),
    ((int, str), "no type"),
]


@pytest.mark.parametrize(("row_type", "says"), REFUSED, ids=lambda value: str(value)[:40])
async def test_what_no_row_can_become_is_refused_before_anything_runs(
    database: Database, row_type: Any, says: str
) -> None:
    sql = (
        "INSERT INTO profiles (id, created_at) VALUES ('x', '2026-01-31T10:00:00.000Z') RETURNING 1"
    )
    for call in (database.fetch_all, database.fetch_one, database.fetch_optional):
        with pytest.raises(TypeError, match=says) as caught:
            await call(row_type, sql)
        assert str(caught.value).startswith(f"Database.{call.__name__}: row_type: must be a record")
    with pytest.raises(TypeError, match=says):
        database.stream(row_type, "SELECT 1")
    with pytest.raises(TypeError, match=says):
        Query(row_type, "SELECT 1")
    with pytest.raises(TypeError, match=says):
        Command(row_type, "DELETE FROM tags")
    assert await database.profiles.count() == 0


async def test_every_way_to_give_parameters(database: Database) -> None:
    """None, names, places, and every type that can be bound."""
    assert await database.fetch_one(str, "SELECT :a || :b", {"a": "x", "b": "y"}) == "xy"
    assert await database.fetch_one(str, "SELECT ? || ?", ["x", "y"]) == "xy"
    assert await database.fetch_one(int, "SELECT 1") == 1
    with pytest.raises(TypeError, match="sequence or a mapping, not NoneType"):
        await database.fetch_one(int, "SELECT 1", None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="sequence or a mapping, not str"):
        await database.fetch_one(int, "SELECT ?", "x")
    with pytest.raises(TypeError, match="parameter 1: cannot store a Plain"):
        await database.fetch_one(int, "SELECT ?", [Plain()])
