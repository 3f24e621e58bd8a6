"""The plain text of a pg_dump, as tables of SQLite: a line at a time, never the dump in memory.

CREATE TABLE gives the types of the columns, COPY the rows. Everything else of the dump is left alone.
"""

from __future__ import annotations

import codecs
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from reelbase.engine.native.names import quoted
from reelbase.errors import SchemaError

_Value = str | int | float | bytes | None

_NAME = re.compile(r'"(?:[^"]|"")+"|\w+')
_TABLE = rf"((?:{_NAME.pattern})(?:\.(?:{_NAME.pattern}))?)"
_CREATE = re.compile(rf"CREATE (?:UNLOGGED )?TABLE {_TABLE} \(\s*")
_COLUMN = re.compile(rf"\s+({_NAME.pattern}) ([a-z ]+)(\[)?")
_COPY = re.compile(rf"COPY {_TABLE} \((.*)\) FROM stdin;\s*")
_SEQUENCE = re.compile(
    r"SELECT pg_catalog\.setval\('(?:public\.)?\"?(\w+)_id_seq\"?', (\d+), (true|false)\);\s*"
)
_ENCODING = re.compile(r"SET client_encoding = '([\w-]+)';\s*")
_INTEGER = re.compile(r"-?[0-9]{1,18}")  # longer ones might not fit into 64 bits, and stay text
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.))", re.DOTALL)
_CONTROLS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
# Names of PostgreSQL that Python does not know.
_CODECS = {"SQL_ASCII": "utf-8", "EUC_JIS_2004": "euc_jis_2004", "WIN": "cp1251", "KOI8R": "koi8-r"}

_FIRST_LINE, _LAST_LINE = "-- PostgreSQL database dump", "-- PostgreSQL database dump complete"
_ROWS_AT_ONCE = 1000


def load_dump(
    path: Path, native: sqlite3.Connection, on_rows: Callable[[int], None]
) -> dict[str, int]:
    """Fills an empty database with the tables of a dump. A table outside of the schema "public" keeps the
    name of its schema.

    Args:
        path: the dump.
        native: the connection, which is in no transaction.
        on_rows: called now and then with the number of rows so far; an exception from it ends the work.

    Returns:
        The last id that each table has given, as its sequence says.

    Raises:
        SchemaError: code foreign: it is no plain-text dump; its text gives the command that makes one.
            Code incomplete: the dump is cut off.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        begin = stream.read(5)
        stream.seek(0)
        if begin == b"PGDMP":
            raise _foreign(path, f"a dump in custom format; run `pg_restore -f out.sql {path}`")
        if begin.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"PK\x03\x04")):
            raise _foreign(path, "compressed; unpack it, and import the result")
        dump = _Dump(path, iter(stream), native, on_rows)
        native.execute("BEGIN")
        dump.load()
        native.execute("COMMIT")
    return dump.counters


class _Dump:
    """A dump that is being read. counters: the last id that each table has given."""

    def __init__(
        self,
        path: Path,
        lines: Iterator[bytes],
        native: sqlite3.Connection,
        on_rows: Callable[[int], None],
    ) -> None:
        self._path = path
        self._lines = lines
        self._native = native
        self._on_rows = on_rows
        self._done = 0
        self._types: dict[str, dict[str, str]] = {}
        self._codec = codecs.lookup("utf-8")
        self.counters: dict[str, int] = {}

    def load(self) -> None:
        is_begun = is_ended = has_copy = has_inserts = False
        for raw in self._lines:
            line = raw.decode("utf-8", "replace")
            if found := _COPY.fullmatch(line):
                columns = [_unquoted(name) for name in _NAME.findall(found[2])]
                self._copy(_table(found[1]), columns)
                has_copy = True
            elif found := _CREATE.fullmatch(line):
                self._types[_table(found[1])] = dict(self._columns())
            elif found := _SEQUENCE.fullmatch(line):
                self.counters[found[1]] = int(found[2]) - (found[3] == "false")
            elif found := _ENCODING.fullmatch(line):
                self._codec = self._codec_of(found[1])
            elif line.startswith("INSERT INTO "):
                has_inserts = True
            elif line.startswith(_LAST_LINE):
                is_ended = True
            elif line.startswith(_FIRST_LINE):
                is_begun = True
        if not has_copy:
            how = (
                "a dump with INSERT; make one with `pg_dump --format=plain`, without --inserts"
                if has_inserts
                else "neither an SQLite database nor the plain text of a pg_dump"
            )
            raise _foreign(self._path, how)
        if is_begun and not is_ended:
            raise self._cut_off()

    def _columns(self) -> Iterator[tuple[str, str]]:
        for raw in self._lines:
            line = raw.decode("utf-8", "replace")
            if line.startswith(")"):
                return
            if found := _COLUMN.match(line):
                yield _unquoted(found[1]), "array" if found[3] else found[2].split(" ")[0]
        raise self._cut_off()

    def _copy(self, table: str, columns: list[str]) -> None:
        types = self._types.get(table, {})
        readers = [_READERS.get(types.get(column, ""), _text) for column in columns]
        own = quoted(table)
        self._native.execute(f"CREATE TABLE {own} ({', '.join(map(quoted, columns))})")
        insert = f"INSERT INTO {own} VALUES ({', '.join('?' * len(columns))})"
        rows: list[list[_Value]] = []
        for raw in self._lines:
            line = raw.removesuffix(b"\n").removesuffix(b"\r")
            if line == b"\\.":
                self._store(insert, rows)
                return
            fields = line.split(b"\t")
            if len(fields) != len(columns):
                raise SchemaError(
                    f"{self._path}: a row of {table} has {len(fields)} values for {len(columns)} columns; "
                    "the dump is damaged",
                    code="foreign",
                )
            rows.append(
                [
                    None if field == b"\\N" else read(self._decoded(field))
                    for read, field in zip(readers, fields, strict=True)
                ]
            )
            if len(rows) == _ROWS_AT_ONCE:
                self._store(insert, rows)
                rows.clear()
        raise self._cut_off()

    def _store(self, insert: str, rows: list[list[_Value]]) -> None:
        self._native.executemany(insert, rows)
        self._done += len(rows)
        self._on_rows(self._done)

    def _decoded(self, field: bytes) -> str:
        if b"\\" in field:
            field = _ESCAPE.sub(_unescaped, field)
        return self._codec.decode(field, "backslashreplace")[0]

    def _codec_of(self, name: str) -> codecs.CodecInfo:
        try:
            return codecs.lookup(_CODECS.get(name, name.replace("WIN", "cp")))
        except LookupError:
            how = f"in the encoding {name}; make it with `pg_dump --encoding=UTF8`"
            raise _foreign(self._path, how) from None

    def _cut_off(self) -> SchemaError:
        return SchemaError(
            f"{self._path} is cut off: the last line of a pg_dump is missing; make the dump again",
            code="incomplete",
        )


def _foreign(path: Path, what: str) -> SchemaError:
    return SchemaError(f"{path} is {what}", code="foreign")


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _table(name: str) -> str:
    """The name of a table, without the schema "public"."""
    return ".".join(_unquoted(part) for part in _NAME.findall(name)).removeprefix("public.")


def _unescaped(found: re.Match[bytes]) -> bytes:
    octal, hexadecimal, character = found.groups()
    if octal is not None:
        return bytes((int(octal, 8) & 0xFF,))
    if hexadecimal is not None:
        return bytes((int(hexadecimal, 16),))
    return _CONTROLS.get(character, character)


def _text(field: str) -> _Value:
    return field


def _integer(field: str) -> _Value:
    return int(field) if _INTEGER.fullmatch(field) else field


def _real(field: str) -> _Value:
    try:
        return float(field)
    except ValueError:
        return field


def _boolean(field: str) -> _Value:
    return int(field == "t")


def _bytes(field: str) -> _Value:
    return bytes.fromhex(field[2:]) if field.startswith("\\x") else field


# By the first word of the type; all further types are text.
_READERS: dict[str, Callable[[str], _Value]] = {
    "smallint": _integer,
    "integer": _integer,
    "bigint": _integer,
    "double": _real,
    "real": _real,
    "boolean": _boolean,
    "bytea": _bytes,
}
