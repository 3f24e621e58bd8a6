"""Whatever an application's own tables are like: an export and an import make the same of them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import quoted

from reelbase.operations.transfer import export_lines, import_lines

TYPES = ["INT", "INTEGER", "REAL", "TEXT", "BLOB", "ANY"]
LOOSE_TYPES = [*TYPES, "", "NUMERIC", "VARCHAR(5)", "DATETIME", "FLOATING POINT"]

names = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8
)
names = names.filter(lambda name: not name.lower().startswith(("sqlite_", "pragma_")))
own_names = names.map("x{}".format)  # none of ours


class Malformed(bytes):
    """Bytes that are stored as text."""


values = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-3, 3),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(["1", "1.0", "1e3", "0x10", " 5", "9223372036854775808", "1e999", "inf"]),
    st.binary(max_size=8),
    st.binary(max_size=4).map(Malformed),
)


def folded(name: str) -> str:
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


class Made(NamedTuple):
    """create: the table, and what is on it.  insert: up to its VALUES.  delete: of some of the rows."""

    create: list[str]
    insert: str
    rows: list[list[Any]]
    delete: str


@st.composite
def tables(draw: st.DrawFn, name: str) -> Made:
    is_strict = draw(st.booleans())
    columns = draw(st.lists(names, min_size=1, max_size=4, unique_by=folded))
    types = TYPES if is_strict else LOOSE_TYPES
    parts = [f"{quoted(column)} {draw(st.sampled_from(types))}" for column in columns]
    key = draw(st.sampled_from(["", "rowid", "counter", "descending", "column", "clustered"]))
    first = quoted(columns[0])
    if key in ("rowid", "counter", "descending"):
        how = {"rowid": "", "counter": " AUTOINCREMENT", "descending": " DESC"}[key]
        parts[0] = f"{first} INTEGER PRIMARY KEY{how}"
    elif key:
        how = draw(st.sampled_from(["", " DESC", " COLLATE NOCASE"]))
        parts.append(f"PRIMARY KEY ({first}{how})")
    options = [
        *(["STRICT"] if is_strict else []),
        *(["WITHOUT ROWID"] if key == "clustered" else []),
    ]
    if draw(st.booleans()) and "made" not in map(folded, columns):
        how = draw(st.sampled_from(["VIRTUAL", "STORED"]))
        position = draw(st.integers(0, len(columns)))
        parts.insert(position, f"made TEXT AS (typeof({quoted(columns[-1])})) {how}")
    statements = [f"CREATE TABLE {quoted(name)} ({', '.join(parts)}) {', '.join(options)}"]
    last = quoted(columns[-1])
    if draw(st.booleans()):
        where = draw(st.sampled_from(["", f" WHERE {last} IS NOT NULL"]))
        every = ", ".join(map(quoted, columns))
        statements.append(
            f"CREATE INDEX {quoted(name + ' has an index')} ON {quoted(name)} ({every}){where}"
        )
    if draw(st.booleans()):
        statements.append(
            f"CREATE VIEW {quoted(name + ' has a view')} AS SELECT {last} FROM {quoted(name)}"
        )
    if draw(st.booleans()):
        statements.append(
            f"CREATE TRIGGER {quoted(name)} BEFORE INSERT ON {quoted(name)}"
            " WHEN 0 BEGIN SELECT RAISE(ABORT, 'never'); END"
        )
    rows = draw(
        st.lists(st.lists(values, min_size=len(columns), max_size=len(columns)), max_size=6)
    )
    insert = f"INSERT INTO {quoted(name)} ({', '.join(map(quoted, columns))})"
    return Made(
        statements, insert, rows, f"DELETE FROM {quoted(name)} WHERE typeof({first}) = 'real'"
    )


@st.composite
def databases(draw: st.DrawFn) -> list[Made]:
    found = draw(st.lists(own_names, min_size=1, max_size=3, unique_by=folded))
    return [draw(tables(name)) for name in found]


def make(path: Path, made: list[Made]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute("BEGIN")
        for table in made:
            for statement in table.create:
                native.execute(statement)
            for row in table.rows:
                places = ["CAST(? AS TEXT)" if isinstance(v, Malformed) else "?" for v in row]
                with contextlib.suppress(sqlite3.IntegrityError):
                    native.execute(f"{table.insert} VALUES ({', '.join(places)})", row)
            native.execute(table.delete)
        native.execute("COMMIT")


def everything(path: Path) -> dict[str, Any]:
    """The application's objects, and its rows to the bit, with their rowids."""
    found: dict[str, Any] = {}
    with closing(sqlite3.connect(path)) as native:
        native.text_factory = lambda raw: ("text", raw)
        for kind, name, table, sql in native.execute(
            "SELECT type, hex(name), hex(tbl_name), hex(sql) FROM sqlite_schema WHERE name GLOB 'x*'"
        ):
            found[f"{kind} {name}"] = (table, sql)
            if kind != ("text", b"table"):
                continue
            own = quoted(bytes.fromhex(name[1].decode()).decode())
            rowids = []
            for rowid in ("rowid", "_rowid_", "oid"):
                with contextlib.suppress(sqlite3.OperationalError):
                    rowids.append(
                        native.execute(f"SELECT {rowid} FROM {own} NOT INDEXED").fetchall()
                    )
            rows = native.execute(f"SELECT * FROM {own} NOT INDEXED").fetchall()
            found[f"rows {name}"] = repr((rowids, rows))
        found["counters"] = native.execute(
            "SELECT name, seq FROM sqlite_sequence WHERE name GLOB 'x*' ORDER BY name"
        ).fetchall()
    return found


def exported(path: Path) -> list[bytes]:
    lines: list[bytes] = []
    report = asyncio.run(export_lines(path, lambda _, line: lines.append(line)))
    assert report.left_out == []
    return lines


@pytest.mark.long
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(made=databases())
def test_an_export_and_an_import_make_the_same_database(made: list[Made], template: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, copy = Path(folder) / "a.db", Path(folder) / "b.db"
        shutil.copy(template, path)
        make(path, made)
        lines = exported(path)
        asyncio.run(import_lines(copy, lines))
        assert everything(copy) == everything(path)
        assert exported(copy) == lines
