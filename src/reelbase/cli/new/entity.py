"""An entity as it is named on the command line: a record, its table and its fields."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from typing import NamedTuple

from reelbase.cli.process import UsageError

_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*", re.ASCII)
_LONGEST = 40


class Type(NamedTuple):
    """A type of a field.

    python: the annotation.  column: the type of the column.  check: a condition, or ''.  needs: the module
    and name that the annotation is imported from, or None.  examples: two different values, as Python's
    source.  test_needs: the module and name that the examples are imported from, or None.
    """

    python: str
    column: str
    check: str
    needs: tuple[str, str] | None
    examples: tuple[str, str]
    test_needs: tuple[str, str] | None


TYPES = {
    "str": Type("str", "TEXT", "", None, ('"one"', '"two"'), None),
    "int": Type("int", "INTEGER", "", None, ("1", "2"), None),
    "float": Type("float", "REAL", "", None, ("0.5", "1.5"), None),
    "bool": Type("bool", "INTEGER", "{name} IN (FALSE, TRUE)", None, ("False", "True"), None),
    "bytes": Type("bytes", "BLOB", "", None, ('b"one"', 'b"two"'), None),
    "datetime": Type(
        "datetime",
        "TEXT",
        "length({name}) = 24",
        ("datetime", "datetime"),
        ("datetime(2026, 1, 1, tzinfo=UTC)", "datetime(2026, 1, 2, tzinfo=UTC)"),
        ("datetime", "UTC, datetime"),
    ),
    "uuid": Type(
        "UUID",
        "TEXT",
        "length({name}) = 36",
        ("uuid", "UUID"),
        ("UUID(int=1)", "UUID(int=2)"),
        ("uuid", "UUID"),
    ),
    "json": Type(
        "dict[str, Any]",
        "TEXT",
        "json_valid({name})",
        ("typing", "Any"),
        ('{"a": [1, None]}', '{"b": "two"}'),
        None,
    ),
}

# Columns and parameters that every table has, and names that the record needs for types.
_TAKEN = {
    *("id", "created_at", "updated_at", "now", "limit", "offset", "after", "self", "changes"),
    *("str", "int", "float", "bool", "bytes", "datetime", "dict", "missing_ok"),
}


class Field(NamedTuple):
    """A column of one's own."""

    name: str
    type: Type
    is_optional: bool

    @property
    def annotation(self) -> str:
        """Its type in the record."""
        return f"{self.type.python} | None" if self.is_optional else self.type.python


class Entity(NamedTuple):
    """name: of a row, ``bookmark``.  table: ``bookmarks``.  fields: one at least."""

    name: str
    table: str
    fields: tuple[Field, ...]

    @classmethod
    def of(cls, name: str, fields: Sequence[str], table: str | None) -> Entity:
        """The entity that the arguments describe. UsageError names the argument that cannot be used."""
        found = tuple(map(_field, fields))
        names = [field.name for field in found]
        if twice := sorted({one for one in names if names.count(one) > 1}):
            raise UsageError(f"the field {twice[0]} is named twice")
        name = _checked(name, "NAME")
        return cls(name, _checked(table or f"{name}s", "--table"), found)

    @property
    def record(self) -> str:
        """The name of the record: BookMark for book_mark."""
        return "".join(word.capitalize() for word in self.name.split("_"))


def _field(text: str) -> Field:
    name, colon, type_name = text.partition(":")
    is_optional = type_name.endswith("?")
    type_name = type_name.removesuffix("?")
    if not colon or type_name not in TYPES:
        raise UsageError(
            f"{text!r}: write FIELD:TYPE with one of the types {', '.join(TYPES)}, such as title:str"
        )
    name = _checked(name, text)
    if name in _TAKEN or name.startswith("set_"):
        raise UsageError(
            f"{text}: the name {name} has a meaning of its own here; choose another one"
        )
    return Field(name, TYPES[type_name], is_optional)


def _checked(name: str, argument: str) -> str:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > _LONGEST:
        raise UsageError(
            f"{argument}: {name!r} is no name; write lower-case letters, digits and single _, such as"
            f" play_count, {_LONGEST} characters at most, and no word of Python"
        )
    return name
