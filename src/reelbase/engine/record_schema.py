"""The schema of a record for pydantic, which asks for it. Nothing else imports this module."""

from __future__ import annotations

import base64
import functools
import inspect
import operator
import types
import typing
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import msgspec
from pydantic import AwareDatetime, BeforeValidator, Field, GetCoreSchemaHandler
from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import (
    CoreSchema,
    PydanticSerializationUnexpectedValue,
    core_schema,
    to_jsonable_python,
)

from reelbase.engine.file_names import printable

_CONSTRAINTS = (
    *("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length"),
    *("title", "description", "examples"),
)
_BASE64 = Field(json_schema_extra={"format": "base64", "contentEncoding": "base64"})

# The records that contain the one whose schema is being made, which may contain them again.
_begun: ContextVar[frozenset[str]] = ContextVar("_begun", default=frozenset())


def record_schema(
    record: type[msgspec.Struct], source: Any, handler: GetCoreSchemaHandler
) -> CoreSchema:
    """The schema of a record: an object of its fields, by the names that they have in JSON.

    Values are validated by pydantic, and encoded by msgspec. source: the record, or for a generic one the
    record with its parameters.
    """
    reference = _reference(source)
    if reference in _begun.get():
        return core_schema.definition_reference_schema(reference)
    begun = _begun.set(_begun.get() | {reference})
    try:
        return _object_schema(record, source, handler, reference)
    finally:
        _begun.reset(begun)


def _object_schema(
    record: type[msgspec.Struct], source: Any, handler: GetCoreSchemaHandler, reference: str
) -> CoreSchema:
    config = record.__struct_config__
    if config.array_like:
        raise PydanticSchemaGenerationError(
            f"{record.__name__} is array_like: its JSON is an array, and a model is an object"
        )
    fields = msgspec.structs.fields(source)
    names = {field.encode_name: field.name for field in fields}
    # Records in fields are left to their own schemas, so that exclude= and the like reach into them.
    nested = [field.encode_name for field in fields if _holds_record(field.type)]
    members = {
        field.encode_name: _field_schema(field, handler, as_encoded=field.encode_name not in nested)
        for field in fields
    }
    if config.tag_field is not None:
        tag = core_schema.literal_schema([config.tag])
        members[config.tag_field] = core_schema.typed_dict_field(tag, required=False)
    object_schema = core_schema.typed_dict_schema(
        members, extra_behavior="forbid" if config.forbid_unknown_fields else "ignore"
    )

    def validate(value: Any, validated: core_schema.ValidatorFunctionWrapHandler) -> msgspec.Struct:
        if isinstance(value, record):
            return value
        values = validated(value)
        return record(**{names[name]: values[name] for name in names.keys() & values.keys()})

    def serialize(
        value: Any,
        serialized: core_schema.SerializerFunctionWrapHandler,
        info: core_schema.SerializationInfo,
    ) -> Any:
        if not isinstance(value, record):
            raise PydanticSerializationUnexpectedValue(f"expected {record.__name__}")
        encoded = msgspec.to_builtins(value, str_keys=True, enc_hook=to_jsonable_python)
        as_they_are: Iterable[str] = names
        if info.mode == "json":
            # A file's name that is no UTF-8 would be an error of the whole response.
            encoded |= {
                name: printable(text) for name, text in encoded.items() if type(text) is str
            }
            as_they_are = nested
        encoded |= {name: getattr(value, names[name]) for name in as_they_are if name in encoded}
        return serialized(encoded)

    about = {"title": _name(source)}
    if record.__doc__:
        about["description"] = inspect.cleandoc(record.__doc__).strip()
    return core_schema.no_info_wrap_validator_function(
        validate,
        object_schema,
        serialization=core_schema.wrap_serializer_function_ser_schema(
            serialize, info_arg=True, schema=object_schema
        ),
        ref=reference,
        metadata={"pydantic_js_updates": about},
    )


def _field_schema(
    field: msgspec.structs.FieldInfo, handler: GetCoreSchemaHandler, *, as_encoded: bool
) -> core_schema.TypedDictField:
    schema = handler.generate_schema(_annotation(field.type))
    if as_encoded:
        schema = typing.cast(
            "CoreSchema", {**schema, "serialization": core_schema.simple_ser_schema("any")}
        )
    if field.default not in (msgspec.NODEFAULT, msgspec.UNSET):
        schema = core_schema.with_default_schema(schema, default=field.default)
    return core_schema.typed_dict_field(schema, required=field.required)


def _annotation(hint: Any) -> Any:
    """A field's type for pydantic: Meta becomes Field, and an UNSET field is one that is not sent."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        constraints = [word for each in hint.__metadata__ for word in _constraints(each)]
        return typing.Annotated[_annotation(parts[0]), *constraints]
    if origin in (typing.Union, types.UnionType):
        kept = [_annotation(part) for part in parts if part is not msgspec.UnsetType]
        return functools.reduce(operator.or_, kept)
    if hint is bytes:
        return typing.Annotated[bytes, BeforeValidator(_from_base64), _BASE64]
    if not parts or origin is typing.Literal or _is_record(hint):
        return hint
    return origin[tuple(part if part is ... else _annotation(part) for part in parts)]


def _from_base64(value: Any) -> Any:
    return base64.b64decode(value, validate=True) if isinstance(value, str) else value


def _constraints(metadata: Any) -> list[Any]:
    if not isinstance(metadata, msgspec.Meta):
        return [metadata]
    words = {name: value for name in _CONSTRAINTS if (value := getattr(metadata, name)) is not None}
    found: list[Any] = [Field(**words, json_schema_extra=metadata.extra_json_schema)]
    return [*found, AwareDatetime] if metadata.tz else found


def _holds_record(hint: Any) -> bool:
    return _is_record(hint) or any(map(_holds_record, typing.get_args(hint)))


def _is_record(hint: Any) -> bool:
    kind = typing.get_origin(hint) or hint
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _name(source: Any) -> str:
    kind = typing.get_origin(source) or source
    parts = ", ".join(map(_name, typing.get_args(source)))
    name = getattr(kind, "__name__", str(kind))
    return f"{name}[{parts}]" if parts else name


def _reference(source: Any) -> str:
    """As pydantic's own references, from which it makes the names in a JSON schema."""
    kind = typing.get_origin(source) or source
    parts = ",".join(f"{_name(part)}:{id(part)}" for part in typing.get_args(source))
    name = f"{kind.__module__}.{kind.__qualname__}:{id(kind)}"
    return f"{name}[{parts}]" if parts else name
