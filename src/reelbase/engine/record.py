"""The base of records: msgspec Structs that pydantic, and so FastAPI, takes for models."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

import msgspec


class _DataclassAttribute:
    """An attribute by which libraries recognise a dataclass, of a dataclass with the record's fields."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, record: Any, owner: type[msgspec.Struct]) -> Any:
        if getattr(
            owner, "__parameters__", ()
        ):  # pydantic has a way of its own for generic dataclasses
            raise AttributeError(self._name)
        return getattr(_dataclass_of(owner), self._name)


class Record(msgspec.Struct, frozen=True):
    """The base of all records of the library, and of an application's own records.

    It adds no fields. pydantic takes its subclasses for models: they can be response models, request
    bodies and fields of models, and their JSON is that of ``msgspec.json.encode(record)``. Properties are
    no part of it; a field that is UNSET is left out. A record with ``array_like=True`` is refused.
    """

    # FastAPI takes a parameter for the body if its type is a model of pydantic or a dataclass.
    __dataclass_fields__ = _DataclassAttribute()
    __dataclass_params__ = _DataclassAttribute()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from reelbase.engine.record_schema import record_schema  # noqa: PLC0415 - pydantic has been imported

        return record_schema(cls, source, handler)


@lru_cache(maxsize=512)
def _dataclass_of(record: type[msgspec.Struct]) -> type:
    return dataclasses.make_dataclass(
        record.__name__, record.__struct_fields__, repr=False, eq=False
    )
