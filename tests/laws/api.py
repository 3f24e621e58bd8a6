"""The public surface as text, one line a name: ``python tests/laws/api.py`` writes it to api.txt.

The file is what users rely on. A change of the surface is a change of the file, and a diff shows it.
"""

from __future__ import annotations

import enum
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

import reelbase
import reelbase.fastapi
import reelbase.litestar
import reelbase.starlette
import reelbase.telemetry
from reelbase import Repository
from reelbase.catalogue import _Attribute

FILE = Path(__file__).with_name("api.txt")


def api() -> str:
    """Every public name, in the order of __all__, with its signature, fields, members or attributes."""
    lines = [line for name in reelbase.__all__ for line in _lines(name, getattr(reelbase, name))]
    doors = (reelbase.fastapi, reelbase.litestar, reelbase.starlette, reelbase.telemetry)
    for door in doors:
        short = door.__name__.rpartition(".")[2]
        for name in door.__all__:
            lines += _lines(f"{short}.{name}", getattr(door, name))
    return "\n".join(lines) + "\n"


def _lines(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, type):
        yield f"{name}{_signature(value)}" if inspect.isfunction(value) else name
    elif issubclass(value, enum.Enum):
        yield f"enum {name}: {', '.join(f'{member.name}={member.value!r}' for member in value)}"
    elif issubclass(value, reelbase.DatabaseError):
        bases = ", ".join(base.__name__ for base in value.__bases__)
        yield f"error {name}({bases}): code={value.code!r} http_status={value.http_status}"
    elif issubclass(value, Exception):
        yield f"exception {name}{_signature(value.__init__)}"
    elif issubclass(value, msgspec.Struct):
        yield f"record {name}({', '.join(_fields(value))})"
        yield from _members(name, value)
    elif issubclass(value, tuple) and hasattr(value, "_fields"):
        hints = {field: hint.__forward_arg__ for field, hint in value.__annotations__.items()}
        yield f"tuple {name}({', '.join(f'{field}: {hint}' for field, hint in hints.items())})"
    elif issubclass(value, Repository) and value is not Repository:
        yield f"repository {name}"
        yield from _members(name, value)
    else:
        yield f"class {name}"
        yield from _members(name, value)


def _fields(record: type[msgspec.Struct]) -> Iterator[str]:
    types = {
        field: hint
        for base in reversed(record.__mro__)
        for field, hint in vars(base).get("__annotations__", {}).items()
    }
    for field in msgspec.structs.fields(record):
        default = ""
        if field.default is not msgspec.NODEFAULT:
            default = f" = {field.default!r}"
        elif field.default_factory is not msgspec.NODEFAULT:
            default = f" = {field.default_factory.__name__}()"
        yield f"{field.name}: {types[field.name]}{default}"


def _members(name: str, value: type) -> Iterator[str]:
    """Public methods and properties, also inherited ones, and the repositories of a holder."""
    for member in sorted(member for member in dir(value) if not member.startswith("_")):
        found = inspect.getattr_static(value, member)
        if isinstance(found, property):
            returns = found.fget.__annotations__.get("return") if found.fget else None
            yield f"{name}.{member}: {returns}"
        elif isinstance(found, staticmethod | classmethod):
            yield f"{name}.{member}{_signature(found.__func__)}"
        elif inspect.isfunction(found):
            prefix = "async " if inspect.iscoroutinefunction(found) else ""
            yield f"{prefix}{name}.{member}{_signature(found)}"
        elif isinstance(found, _Attribute):
            yield f"{name}.{member}: {found._repository_class.__name__}"


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    parts: list[str] = []
    is_keyword = False
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not is_keyword:
            parts += [] if any(part.startswith("*") for part in parts) else ["*"]
            is_keyword = True
        kind = parameter.kind
        stars = "*" if kind is kind.VAR_POSITIONAL else "**" if kind is kind.VAR_KEYWORD else ""
        hint = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
        default = "" if parameter.default is parameter.empty else f" = {_shown(parameter.default)}"
        parts.append(f"{stars}{parameter.name}{hint}{default}")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            parts.append("/")
    slashes = [index for index, part in enumerate(parts) if part == "/"]
    parts = [part for index, part in enumerate(parts) if index not in slashes[:-1]]
    returns = signature.return_annotation
    shown = "" if returns is signature.empty else f" -> {returns}"
    return f"({', '.join(parts)}){shown}"


def _shown(default: object) -> str:
    return "UNSET" if default is msgspec.UNSET else repr(default)


if __name__ == "__main__":
    FILE.write_text(api())
    print(f"{FILE}: {len(api().splitlines())} lines", file=sys.stderr)
