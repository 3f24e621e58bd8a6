"""Every record is a model to pydantic, FastAPI and Litestar, and its JSON is the one that msgspec makes."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import json
import pprint
import subprocess
import sys
import types
import typing
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import httpx
import litestar
import msgspec
import pytest
from fastapi import FastAPI
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

import reelbase
from reelbase import Record

T = TypeVar("T")

RECORDS = {
    name: value
    for name, value in vars(reelbase).items()
    if isinstance(value, type) and issubclass(value, msgspec.Struct) and value is not Record
    if value is not reelbase.JobHandler  # which holds a function
}
TOKYO = timezone(timedelta(hours=9))
EXAMPLES: dict[Any, list[Any]] = {
    str: ["", "a “text”\n日本\u2028"],
    int: [0, -(2**53) + 1],
    float: [0.5, 1e22],
    bool: [True, False],
    UUID: [UUID(int=1), UUID("00000000-0000-7000-8000-00000000000a")],
    datetime: [datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(2026, 1, 31, 12, 0, 0, 1200, TOKYO)],
    Path: [Path("/srv/media.db"), Path("b")],
    type(None): [None, None],
    Any: [{"a": [1, None, {"b": "c"}]}, "text"],
}


def example(hint: Any, number: int) -> Any:
    """A value of the type: number 0 has all that is optional, number 1 has None there."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return example(parts[0], number)
    if origin in (typing.Union, types.UnionType):
        return example(parts[-number], number)
    if origin is Literal:
        return parts[-number]
    if origin in (list, frozenset):
        return origin([example(parts[0], number)] * (2 - number))
    if origin is tuple:
        return (example(parts[0], number),) * 2
    if origin is dict:
        return {example(parts[0], 1): example(parts[1], number)}
    if isinstance(hint, enum.EnumType):
        return list(hint)[-number]
    if isinstance(hint, type) and issubclass(hint, Record):
        return made(hint, number)
    return EXAMPLES[hint][number]


def made(record: type[msgspec.Struct], number: int) -> Any:
    fields = msgspec.structs.fields(record)
    return record(**{field.name: example(field.type, number) for field in fields})


def json_of(value: Any) -> Any:
    """The JSON that msgspec makes; it knows no paths."""
    return json.loads(msgspec.json.encode(value, enc_hook=str))


def add_routes(app: FastAPI, name: str, record: Any) -> None:
    """Of a record: one, a list of them, and one that is sent back as it came."""

    async def one(number: int) -> Any:
        return made(record, number)

    async def several() -> Any:
        return [made(record, 0), made(record, 1)]

    async def echo(body: Any) -> Any:
        return body

    one.__annotations__["return"] = record
    echo.__annotations__ = {"body": record, "return": record}
    app.get(f"/{name}/{{number}}")(one)
    app.get(f"/{name}", response_model=list[record])(several)
    app.post(f"/{name}")(echo)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    app = FastAPI()
    for name, record in RECORDS.items():
        add_routes(app, name, record)
    return app


@pytest.fixture(scope="module")
def openapi(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def test_every_record_has_the_same_base() -> None:
    assert len(RECORDS) > 40
    assert [name for name, record in RECORDS.items() if not issubclass(record, Record)] == []


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", RECORDS)
async def test_a_record_is_a_response(name: str, number: int, app: FastAPI) -> None:
    async with client_of(app) as client:
        response = await client.get(f"/{name}/{number}")
        assert response.status_code == 200
        assert response.json() == json_of(made(RECORDS[name], number))
        response = await client.get(f"/{name}")
        assert response.json() == [json_of(made(RECORDS[name], each)) for each in (0, 1)]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", RECORDS)
async def test_a_record_is_a_request_body(name: str, number: int, app: FastAPI) -> None:
    record = made(RECORDS[name], number)
    async with client_of(app) as client:
        response = await client.post(f"/{name}", json=json_of(record))
    assert response.json() == json_of(record)
    assert TypeAdapter(RECORDS[name]).validate_python(json_of(record)) == record
    assert TypeAdapter(RECORDS[name]).validate_json(json.dumps(json_of(record))) == record


@pytest.mark.parametrize("name", RECORDS)
async def test_a_body_that_lacks_its_fields_names_each_of_them(name: str, app: FastAPI) -> None:
    fields = msgspec.structs.fields(RECORDS[name])
    async with client_of(app) as client:
        response = await client.post(f"/{name}", json={})
    assert response.status_code == 422
    assert [(error["type"], error["loc"]) for error in response.json()["detail"]] == [
        ("missing", ["body", field.name]) for field in fields if field.required
    ]


@pytest.mark.parametrize("name", RECORDS)
def test_a_schema_has_a_name_and_the_fields(name: str, openapi: dict[str, Any]) -> None:
    reference = {"$ref": f"#/components/schemas/{name}"}
    paths, schema = openapi["paths"], openapi["components"]["schemas"][name]
    response = paths[f"/{name}/{{number}}"]["get"]["responses"]["200"]
    assert response["content"]["application/json"]["schema"] == reference
    assert paths[f"/{name}"]["post"]["requestBody"]["content"]["application/json"] == {
        "schema": reference
    }
    assert list(schema["properties"]) == list(RECORDS[name].__struct_fields__)
    assert schema["title"] == name
    assert schema["description"].startswith((RECORDS[name].__doc__ or "")[:20])
    assert schema.get("required", []) == [
        field.name for field in msgspec.structs.fields(RECORDS[name]) if field.required
    ]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_a_field_of_a_model(name: str, number: int) -> None:
    class Shelf(BaseModel):
        one: RECORDS[name]  # type: ignore[valid-type]
        more: dict[str, list[RECORDS[name]]]  # type: ignore[valid-type]

    Shelf.model_rebuild(_types_namespace={"RECORDS": RECORDS, "name": name})
    record = made(RECORDS[name], number)
    shelf = Shelf(one=record, more={"a": [record]})
    assert shelf.one is record
    assert json.loads(shelf.model_dump_json()) == {
        "one": json_of(record),
        "more": {"a": [json_of(record)]},
    }
    assert Shelf.model_validate_json(shelf.model_dump_json()) == shelf
    assert Shelf.model_validate(shelf.model_dump()) == shelf


def litestar_handlers(name: str, record: Any) -> list[Any]:
    """As add_routes(). msgspec encodes no paths, and decodes none."""

    async def several() -> Any:
        return [made(record, 0), made(record, 1)]

    async def echo(data: Any) -> Any:
        return data

    several.__annotations__["return"] = list[record]
    body: Any = JSONBody
    echo.__annotations__ = {"data": body[record], "return": record}
    hints = [field.type for field in msgspec.structs.fields(record)]
    has_paths = any(Path in (hint, *typing.get_args(hint)) for hint in hints)
    handlers = [litestar.get(f"/{name}")(several)]
    return handlers if has_paths else [*handlers, litestar.post(f"/{name}/echo")(echo)]


async def test_litestar_takes_every_record_natively() -> None:
    handlers = map(litestar_handlers, RECORDS, RECORDS.values())
    app = litestar.Litestar(list(itertools.chain.from_iterable(handlers)), logging_config=None)
    async with client_of(app) as client:
        for name, record in RECORDS.items():
            bodies = [json_of(made(record, number)) for number in (0, 1)]
            assert (await client.get(f"/{name}")).json() == bodies
            for body in bodies:
                response = await client.post(f"/{name}/echo", json=body)
                assert response.status_code == 404 or response.json() == body
    schemas = app.openapi_schema.to_schema()["components"]["schemas"]
    assert {*RECORDS} <= {*schemas}
    assert list(schemas["File"]["properties"]) == list(reelbase.File.__struct_fields__)


def test_a_file_name_that_is_no_utf_8_can_be_shown() -> None:
    new = reelbase.NewFile("caf\udce9.mp3", "in/caf\udce9.mp3")
    shown = json.loads(TypeAdapter(reelbase.NewFile).dump_json(new))
    assert (shown["name"], shown["path"]) == (r"caf\xe9.mp3", r"in/caf\xe9.mp3")
    assert TypeAdapter(reelbase.NewFile).dump_python(new)["name"] == new.name


def test_libraries_that_know_dataclasses_know_records() -> None:
    file = made(reelbase.File, 0)
    assert dataclasses.asdict(file) == msgspec.structs.asdict(file)
    assert dataclasses.replace(file, name="b") == msgspec.structs.replace(file, name="b")
    assert pprint.pformat(Shot("a")) == repr(Shot("a"))


def test_a_request_body_has_uuids() -> None:
    """The constructor takes their texts, too."""
    sent = b'{"name": "a", "path": "b", "id": "00000000-0000-7000-8000-000000000001"}'
    new = msgspec.json.decode(sent, type=reelbase.NewFile)
    assert (
        new.id
        == TypeAdapter(reelbase.NewFile).validate_json(sent).id
        == UUID("00000000-0000-7000-8000-000000000001")
    )
    with pytest.raises(ValidationError, match="id"):
        TypeAdapter(reelbase.NewFile).validate_python({"name": "a", "path": "b", "id": "no id"})


def test_pydantic_is_not_imported() -> None:
    program = "import sys, reelbase; print(sorted({'pydantic', 'fastapi', 'litestar'} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# Records of an application


class Mood(enum.StrEnum):
    CALM = "calm"


class Shot(Record, frozen=True):
    """A picture."""

    path: str
    note: str | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Roll(Record, Generic[T], frozen=True):
    items: list[T]
    next: str | None = None


class Patch(Record, frozen=True, forbid_unknown_fields=True):
    title: str | UnsetType = UNSET
    rating: Annotated[int, Meta(ge=0, le=5, description="stars")] | UnsetType | None = UNSET


class Album(Record, frozen=True, rename="camel", kw_only=True):
    cover: Shot | None = None
    all_shots: list[Shot]
    by_name: dict[str, Shot]
    pair: tuple[Shot, int]
    mood: Mood
    kind: Literal["book", "box"]
    taken_at: Annotated[datetime, Meta(tz=True)]
    price: Decimal
    length: timedelta
    thumbnail: bytes
    tags: list[Annotated[str, Meta(min_length=2)]] = msgspec.field(default_factory=list)
    weight: float = float("inf")


class Cat(Record, frozen=True, tag=True):
    name: str


class Dog(Record, frozen=True, tag="hound", omit_defaults=True):
    name: str
    age: int = 1


class Folder(Record, frozen=True):
    name: str
    folders: list[Folder] = msgspec.field(default_factory=list)


ALBUM = Album(
    cover=Shot("a/b.jpg"),
    all_shots=[Shot("c", "d")],
    by_name={"e": Shot("f")},
    pair=(Shot("g"), 7),
    mood=Mood.CALM,
    kind="box",
    taken_at=datetime(2026, 1, 31, 12, tzinfo=TOKYO),
    price=Decimal("9.90"),
    length=timedelta(days=1, microseconds=5),
    thumbnail=b"\xff\xfe\xfd",
    tags=["tag"],
)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Album, ALBUM),
        (Patch, Patch()),
        (Patch, Patch(rating=None)),
        (Roll[Shot], Roll([Shot("a")], next="b")),
        (Roll[Roll[int]], Roll([Roll([1])])),
        (Roll[Shot | Folder], Roll([Shot("a"), Folder("b", [Folder("c")])])),
        (Cat | Dog, Cat("a")),
        (Cat | Dog | None, Dog("b")),
        (list[Cat | Dog], [Dog("b", 2), Cat("c")]),
        (Folder, Folder("a", [Folder("b"), Folder("c", [Folder("d")])])),
    ],
    ids=str,
)
def test_a_record_of_ones_own(hint: Any, value: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(hint)
    assert json.loads(adapter.dump_json(value)) == json_of(value)
    assert adapter.dump_python(value, mode="json") == json_of(value) or value is ALBUM
    assert adapter.validate_python(value) == value
    assert adapter.validate_python(adapter.dump_python(value)) == value
    if value is not ALBUM:
        assert adapter.validate_json(adapter.dump_json(value)) == value
    for mode in ("validation", "serialization"):
        assert adapter.json_schema(mode=mode)


def test_what_comes_back_is_what_was_sent() -> None:
    """Infinity is null in JSON, and the only value that does not come back."""
    album = msgspec.structs.replace(ALBUM, weight=1.5)
    assert TypeAdapter(Album).validate_json(msgspec.json.encode(album)) == album


def test_errors_are_found_all_at_once_and_where_they_are() -> None:
    sent = json_of(msgspec.structs.replace(ALBUM, weight=1.0)) | {
        "allShots": [{"path": "a"}, {"path": 3}],
        "byName": {"e": {}},
        "pair": [{"path": "a"}, "seven"],
        "mood": "wild",
        "kind": "bag",
        "takenAt": "2026-01-31T12:00:00",
        "tags": ["ok", "a"],
        "thumbnail": "no base 64!",
    }
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Album).validate_python(sent)
    assert [error["loc"] for error in caught.value.errors()] == [
        ("allShots", 1, "path"),
        ("byName", "e", "path"),
        ("pair", 1),
        ("mood",),
        ("kind",),
        ("takenAt",),
        ("thumbnail",),
        ("tags", 1),
    ]


@pytest.mark.parametrize(
    ("sent", "location"),
    [({"rating": 6}, ("rating",)), ({"titel": "a"}, ("titel",)), ({"title": None}, ("title",))],
)
def test_constraints_hold(sent: dict[str, Any], location: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Patch).validate_python(sent)
    assert caught.value.errors()[0]["loc"][:1] == location


def test_a_field_that_is_not_sent_is_unset() -> None:
    patch = TypeAdapter(Patch).validate_python({"rating": None})
    assert patch == Patch(rating=None)
    assert patch.title is UNSET
    schema = TypeAdapter(Patch).json_schema()
    assert schema["properties"]["title"] == {"title": "Title", "type": "string"}
    assert schema["properties"]["rating"]["anyOf"][0] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 5,
        "description": "stars",
    }
    assert "required" not in schema
    assert schema["additionalProperties"] is False


def test_parts_can_be_left_out_of_a_response() -> None:
    adapter = TypeAdapter(Album)
    dumped = adapter.dump_python(
        ALBUM, mode="json", exclude={"allShots": {"__all__": {"path"}}, "cover": {"path"}}
    )
    assert dumped["allShots"] == [{"note": "d"}]
    assert dumped["cover"] == {"note": None}
    assert adapter.dump_python(ALBUM, mode="json", exclude_none=True)["cover"] == {
        "path": "a/b.jpg"
    }
    assert TypeAdapter(Shot).dump_json(Shot("a"), include={"path"}) == b'{"path":"a"}'
    assert TypeAdapter(Shot).dump_json(Shot("a"), exclude_defaults=True) == b'{"path":"a"}'


def test_a_generic_record_is_named_by_its_parameters() -> None:
    app = FastAPI()

    @app.get("/shots", response_model=Roll[Shot])
    async def shots() -> Any:
        return Roll([Shot("a")])

    @app.get("/numbers", response_model=Roll[int])
    async def numbers() -> Any:
        return Roll([1])

    schemas = app.openapi()["components"]["schemas"]
    assert {"Roll_Shot_", "Roll_int_", "Shot"} <= {*schemas}
    assert schemas["Roll_Shot_"]["title"] == "Roll[Shot]"
    assert schemas["Roll_Shot_"]["properties"]["items"]["items"] == {
        "$ref": "#/components/schemas/Shot"
    }


async def test_another_record_is_no_response() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Shot).validate_python(Folder("a"))
    with pytest.warns(UserWarning, match="expected Shot"):
        TypeAdapter(Shot).dump_python(Folder("a"))  # type: ignore[arg-type]


def test_an_array_is_no_model() -> None:
    class Point(Record, frozen=True, array_like=True):
        x: int

    with pytest.raises(PydanticSchemaGenerationError, match="Point is array_like"):
        TypeAdapter(Point)
