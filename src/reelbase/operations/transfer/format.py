"""The lines of an export, as bytes and as values.

The first line is the header: the schema version, and the number of rows of each table, in the order of the
tables. Then come the application's own tables, indexes, views and triggers, ``{"object": {"type": "table",
"name": …, "table": …, "sql": …}}``; then the rows, ``{"files": {"id": …, "name": …}}``; and at last ``{"end":
<rows>}``. A value that JSON cannot hold is an object: ``{"blob": "<base64>"}``, ``{"real": "inf"}``,
``{"real": "-inf"}``, and ``{"text": "<base64>"}`` for text that is not UTF-8.

Format 1, of releases before 0.2, has no objects and knows only the tables of the schema.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterable, Sequence

import msgspec

from reelbase.engine.schema.fingerprint import names_of
from reelbase.engine.schema.source import SCHEMA_VERSION
from reelbase.errors import DatabaseError
from reelbase.operations.own_objects import OwnObject

FORMAT = 2

Value = None | int | float | str | bytes
Json = None | int | float | str | dict[str, str]


class Header(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first line. rows: the number of rows of each table, in the order of the tables.  objects: how
    many lines with an object of the application follow."""

    reelbase_export: int
    schema_version: int
    rows: dict[str, int]
    objects: int = 0

    @property
    def file_names(self) -> dict[str, str]:
        """A file name for each table. The name of an application's table may be no valid file name."""
        ours = {*names_of(self.schema_version), "sqlite_sequence"}
        return {
            table: f"{table if table in ours else f'own.{number}.{_slug(table)}'}.ndjson"
            for number, table in enumerate(self.rows, 1)
        }


def _slug(table: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", table.lower(), flags=re.ASCII)[:40]


class _ObjectLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    object: OwnObject


class _End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    end: int


_header_decoder = msgspec.json.Decoder(Header)
_object_decoder = msgspec.json.Decoder(_ObjectLine)
_end_decoder = msgspec.json.Decoder(_End)
_row_decoder = msgspec.json.Decoder(dict[str, dict[str, Json]])


class MalformedText(bytes):
    """Text that is not UTF-8, as the bytes that SQLite stores."""


def text_of(raw: bytes) -> str | MalformedText:
    """A text_factory for sqlite3 that also reads text that is not UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return MalformedText(raw)


def header_line(version: int, rows: dict[str, int], objects: int) -> bytes:
    """The first line of an export.

    Args:
        version: the schema version.
        rows: the number of rows of each table, in the order of the tables.
        objects: the number of objects of the application.

    Returns:
        The line, as JSON.
    """
    return _line(Header(FORMAT, version, rows, objects))


def object_line(made: OwnObject) -> bytes:
    """The line of an object of the application."""
    return _line(_ObjectLine(made))


def row_line(table: str, columns: Sequence[str], values: Iterable[Value]) -> bytes:
    """The line of a row.

    Args:
        table: its table.
        columns: the names of its columns.
        values: its values, in the order of columns.

    Returns:
        The line, as JSON.
    """
    json = [value if type(value) in _AS_THEY_ARE else json_value(value) for value in values]
    return _line({table: dict(zip(columns, json, strict=True))})


def end_line(rows: int) -> bytes:
    """The last line, with the number of rows: an export without it is incomplete."""
    return _line(_End(rows))


class ExportReader:
    """Reads an export line by line; its errors name the line.

    locate: gives the name of a line in an error, from its number, which starts at 1.
    """

    def __init__(self, lines: Iterable[bytes], locate: Callable[[int], str]) -> None:
        self._lines = iter(lines)
        self._locate = locate
        self.number = 0

    def header(self) -> Header:
        """Reads the first line. DatabaseError (code export_format) if it is no header, or a newer one."""
        try:
            header = _header_decoder.decode(self._next() or b"")
        except msgspec.MsgspecError:
            raise self.refusal("not the first line of an export of reelbase") from None
        newer = "install the release that wrote it, or a newer one"
        if not 1 <= header.reelbase_export <= FORMAT:
            raise self.refusal(
                f"the export has format {header.reelbase_export}, this reelbase reads up to {FORMAT}; {newer}"
            )
        if header.schema_version > SCHEMA_VERSION:
            raise self.refusal(
                f"the export has schema version {header.schema_version}, this reelbase knows "
                f"{SCHEMA_VERSION}; {newer}"
            )
        if header.schema_version < 1 or header.objects < 0:
            raise self.refusal("there is no such schema version, or number of objects")
        return header

    def object(self) -> OwnObject:
        """Reads the line of an object. DatabaseError (code export_format) for any other line."""
        try:
            return _object_decoder.decode(self._next() or b"").object
        except msgspec.MsgspecError:
            raise self.refusal("not an object of the application's") from None

    def row(self) -> tuple[str, dict[str, Json]] | None:
        """The table and the values of the next row; None at the end. DatabaseError for a missing end."""
        line = self._next()
        if line is None:
            raise self.refusal("the export is cut off: its last line is missing")
        try:
            ((table, values),) = _row_decoder.decode(line).items()
        except (msgspec.MsgspecError, ValueError):
            self._refuse_unless_end(line)
            return None
        return table, values

    @property
    def place(self) -> str:
        """The name of the line that was read last."""
        return self._locate(self.number)

    def refusal(self, problem: str, number: int | None = None) -> DatabaseError:
        """The error to raise for a line. number: that of the line; None: the line that was read last."""
        number = number or self.number
        return DatabaseError(
            f"{self._locate(number)}: {problem}; nothing was imported",
            code="export_format",
            details={"line": number},
        )

    def _next(self) -> bytes | None:
        self.number += 1
        return next(self._lines, None)

    def _refuse_unless_end(self, line: bytes) -> None:
        try:
            _end_decoder.decode(line)
        except msgspec.MsgspecError:
            raise self.refusal("no row of a table") from None
        if self._next() is not None:
            raise self.refusal("a line follows the last line")


def values_of(json: Iterable[Json]) -> list[Value]:
    """The values of a row, from JSON. Raises ValueError for a JSON object that encodes no value."""
    return [_of_object(value) if type(value) is dict else value for value in json]  # type: ignore[misc]


def _of_object(json: dict[str, str]) -> Value:
    try:
        ((kind, text),) = json.items()
        if kind == "real":
            return _REALS[text]
        return _OF_BYTES[kind](base64.b64decode(text, validate=True))
    except (KeyError, binascii.Error):
        raise ValueError("no value") from None


_REALS = {"inf": math.inf, "-inf": -math.inf}
_OF_BYTES = {"blob": bytes, "text": MalformedText}


_AS_THEY_ARE = frozenset({int, str, type(None)})


def json_value(value: Value) -> Json:
    """A value as a line holds it: an object for a value that JSON cannot hold."""
    if isinstance(value, bytes):
        kind = "text" if isinstance(value, MalformedText) else "blob"
        return {kind: base64.b64encode(value).decode()}
    if isinstance(value, float) and math.isinf(value):
        return {"real": str(value)}
    return value


def _line(content: object) -> bytes:
    return msgspec.json.encode(content) + b"\n"
