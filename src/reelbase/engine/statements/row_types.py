"""The types that a row can be given, and the fields of records.

Records are msgspec Structs, dataclasses, NamedTuples, TypedDicts and attrs classes. attrs classes are
recognised by their attribute, because the package attrs need not be installed.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

_SCALARS = (
    *(str, int, float, bool, bytes, bytearray, type(None)),
    *(datetime, date, time, timedelta, UUID, Decimal, msgspec.Raw),
)
_CONTAINERS = (Mapping, Sequence, AbstractSet)
_ALLOWED = (
    "a record (msgspec.Struct, dataclass, NamedTuple, TypedDict or attrs class), a scalar (int, str, "
    "datetime …), tuple, tuple[…], dict or dict[str, …]"
)


class RecordField(NamedTuple):
    """A field of a record. is_required: it has no default.  is_positional: it may be passed by position."""

    name: str
    type: Any
    is_required: bool
    is_positional: bool


def is_record(row_type: Any) -> bool:
    """Whether it is a class with named fields that a row's columns can fill."""
    return isinstance(row_type, type) and (
        issubclass(row_type, msgspec.Struct)
        or dataclasses.is_dataclass(row_type)
        or hasattr(row_type, "__attrs_attrs__")
        or is_typed_dict(row_type)
        or (issubclass(row_type, tuple) and hasattr(row_type, "_fields"))
    )


def is_typed_dict(row_type: Any) -> bool:
    """Whether it is a TypedDict, of typing or of typing_extensions."""
    return (
        isinstance(row_type, type)
        and issubclass(row_type, dict)
        and hasattr(row_type, "__required_keys__")
    )


@lru_cache(
    maxsize=512
)  # the annotations are evaluated again each time: half of the time of an import
def fields_of(record: Any) -> tuple[RecordField, ...]:
    """The fields that a record is made of, in the order in which it takes them."""
    if issubclass(record, msgspec.Struct):
        return _fields_of_struct(record)
    hints = typing.get_type_hints(record, include_extras=True)
    if is_typed_dict(record):
        return tuple(_field_of_dict(record, name, hint) for name, hint in hints.items())
    fields = []
    for name, parameter in inspect.signature(record).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{record.__name__} takes *{name}, so that its fields are not known")
        # attrs passes _name as name.
        hint = hints.get(name, hints.get(f"_{name}", Any))
        if isinstance(hint, dataclasses.InitVar):
            hint = hint.type
        is_required = parameter.default is parameter.empty
        is_positional = parameter.kind is not parameter.KEYWORD_ONLY
        fields.append(RecordField(name, hint, is_required, is_positional))
    return tuple(fields)


def _fields_of_struct(struct: type[msgspec.Struct]) -> tuple[RecordField, ...]:
    is_keyword_only = {
        name: parameter.kind is parameter.KEYWORD_ONLY
        for name, parameter in inspect.signature(struct).parameters.items()
    }
    return tuple(
        RecordField(field.name, field.type, field.required, not is_keyword_only[field.name])
        for field in msgspec.structs.fields(struct)
    )


def _field_of_dict(record: Any, name: str, hint: Any) -> RecordField:
    is_required = name in record.__required_keys__
    while (qualifier := typing.get_origin(hint)) in (typing.Required, typing.NotRequired):
        is_required = qualifier is typing.Required
        (hint,) = typing.get_args(hint)
    return RecordField(name, hint, is_required, False)


def constructor_of(record: Any, names: Sequence[str]) -> Callable[..., Any]:
    """A callable that makes the record from the values of these fields, in their order."""
    if is_typed_dict(record):
        return lambda *values: dict(zip(names, values, strict=True))
    first = [field.name for field in fields_of(record) if field.is_positional][: len(names)]
    if first == list(names):
        return typing.cast("Callable[..., Any]", record)
    return lambda *values: record(**dict(zip(names, values, strict=True)))


def check_row_type(row_type: Any) -> None:
    """Raises TypeError, which lists the allowed types, for a type that no row can be given."""
    try:
        problem = _problem_of(row_type)
    except TypeError as error:  # it cannot be hashed, or its annotations cannot be evaluated
        problem = str(error)
    except NameError as error:
        problem = f"its annotations cannot be evaluated: {error}"
    if problem is not None:
        raise TypeError(f"must be {_ALLOWED}, not {_shown(row_type)}: {problem}")


def _shown(row_type: Any) -> str:
    return row_type.__name__ if isinstance(row_type, type) else repr(row_type)


@lru_cache(maxsize=512)
def _problem_of(row_type: Any) -> str | None:
    if isinstance(row_type, str):
        return "pass the class itself, not its name"
    if isinstance(row_type, type) and hasattr(row_type, "model_validate"):  # pydantic, SQLModel
        return "fetch dict rows and pass each to its model_validate()"
    if is_record(typing.get_origin(row_type)):
        return "pass the class without its parameters"
    if typing.get_origin(row_type) is dict:
        key, value = typing.get_args(row_type)
        return _unreadable(value) if key in (str, Any) else "the names of columns are str"
    if typing.get_origin(row_type) is tuple:
        parts = [part for part in typing.get_args(row_type) if part is not ...]
        return next((found for part in parts if (found := _unreadable(part))), None)
    return _unreadable(row_type)


def _unreadable(annotation: Any, inside: tuple[Any, ...] = ()) -> str | None:
    """Why no value of a column can become this; None when it can. inside: the records around it."""
    if annotation in (Any, object, None) or annotation in inside:
        return None
    origin = typing.get_origin(annotation)
    if isinstance(annotation, typing.NewType):
        return _unreadable(annotation.__supertype__, inside)
    if origin in (typing.Union, types.UnionType):
        return _first_unreadable(typing.get_args(annotation), inside)
    if origin is typing.Annotated:
        return _unreadable(typing.get_args(annotation)[0], inside)
    if origin is typing.Literal or isinstance(annotation, typing.TypeVar):
        return None
    kind = origin or annotation
    if not isinstance(kind, type):
        return "pass the class, not an object of it" if is_record(type(kind)) else "it is no type"
    if is_record(kind):
        return _first_unreadable([field.type for field in fields_of(kind)], (*inside, annotation))
    if issubclass(kind, _SCALARS) or issubclass(kind, enum.Enum):
        return None
    if issubclass(kind, _CONTAINERS):
        return _first_unreadable(
            [part for part in typing.get_args(annotation) if part is not ...], inside
        )
    return f"no value of a column becomes {kind.__name__}"


def _first_unreadable(annotations: Sequence[Any], inside: tuple[Any, ...]) -> str | None:
    return next((found for each in annotations if (found := _unreadable(each, inside))), None)
