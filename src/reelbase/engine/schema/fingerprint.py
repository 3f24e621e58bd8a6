"""Compares the tables, indexes, triggers and views of a file with a version of the schema."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from functools import cache, partial

import msgspec

from reelbase.engine.schema import chain
from reelbase.engine.schema.chain import Migration
from reelbase.engine.schema.followed import is_of_followed
from reelbase.engine.schema.source import statements_of

_EXCERPT_CHARACTERS = 60
_IS_NOT_OURS = "that is not ours"
_MOST_SENTENCES = 10  # in one line; the error's details have all of them

# SQLite keeps statements as they were typed. Comments and white space outside quotes have no meaning.
_QUOTED_OR_BLANK = re.compile(
    r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\])|(?:--[^\n]*|/\*.*?\*/|\s)+""",
    re.DOTALL,
)


class _Object(msgspec.Struct, frozen=True):
    kind: str
    name: str
    table: str
    sql: str

    def __str__(self) -> str:
        if self.kind in ("index", "trigger"):
            return f"{self.kind} {self.name} on {self.table}"
        return f"{self.kind} {self.name}"


class _Version(msgspec.Struct, frozen=True):
    """The objects of one version of the schema.

    objects: by name in lower case. columns: of each table. shadows: the tables of search indexes; their
    statements FTS5 itself writes, and may write differently in each release.
    """

    objects: dict[str, _Object]
    columns: dict[str, dict[str, str]]
    shadows: frozenset[str]


def differences(native: sqlite3.Connection, version: int) -> list[str]:
    """The differences between a database's objects and a version of the schema, in sentences.

    Empty: they are the same. Further objects of the file (users' own tables, indexes, triggers and views,
    SQLite's statistics) do not count, nor do comments and white space. Reads the schema, no rows.
    """
    expected, found = _version(version), _objects(native)
    sentences: list[str] = []
    for name, wanted in expected.objects.items():
        actual = found.get(name)
        if actual is None:
            sentences.append(f"{wanted} is missing")
        elif (actual.kind, actual.table) != (wanted.kind, wanted.table):
            sentences.append(f"{wanted} is missing: its name is taken by {actual}")
        elif name not in expected.shadows and not is_same_text(actual.sql, wanted.sql):
            sentences += _changes(native, expected, wanted, actual)
    return sentences


def additions(native: sqlite3.Connection, version: int) -> list[str]:
    """Columns (in the words of differences()), indexes and triggers that were added to the tables of a
    version of the schema, in sentences."""
    expected = _version(version)
    sentences: list[str] = []
    for name, found in _objects(native).items():
        wanted = expected.objects.get(name)
        if wanted is None:
            is_added = found.kind == "index" or (
                found.kind == "trigger" and not is_of_followed(found.name)
            )
            if is_added and found.table.lower() in expected.columns:
                sentences.append(f"{found} is not ours")
        elif wanted.kind == found.kind == "table" and _only_gained(found.sql, wanted.sql):
            changes = _changes(native, expected, wanted, found)
            sentences += [line for line in changes if line.endswith(_IS_NOT_OURS)]
    return sentences


def left_over(native: sqlite3.Connection, version: int, latest: int) -> list[str]:
    """Objects that have names of later versions, in sentences: a sound file of this version has none.

    Args:
        native: the connection.
        version: the version of the file's schema.
        latest: the last version that is looked at.
    """
    later = names_of(latest) - names_of(version)
    return [
        f"{found} belongs to a later version"
        for name, found in _objects(native).items()
        if name in later
    ]


def in_one_sentence(sentences: list[str]) -> str:
    """The first sentences as one, and the number of further ones."""
    text = "; ".join(sentences[:_MOST_SENTENCES])
    more = len(sentences) - _MOST_SENTENCES
    return text if more <= 0 else f"{text}; and {more} more"


def names_of(version: int) -> frozenset[str]:
    """The names of all objects of a version of the schema, in lower case. Version 0 has none."""
    return _names_after_each(chain.migrations())[version - 1] if version else frozenset()


@cache
def _names_after_each(migrations: tuple[Migration, ...]) -> list[frozenset[str]]:
    # An upgrade asks for each version; to make each of them from nothing would take seconds.
    names: list[frozenset[str]] = []
    model = sqlite3.connect(":memory:", isolation_level=None)
    # A broken migration has no names: its error is told, with its version, when it is applied to the file.
    with contextlib.closing(model), contextlib.suppress(sqlite3.Error):
        for migration in migrations:
            _apply(model, migration)
            names.append(frozenset(_objects(model)))
    return names


def _apply(model: sqlite3.Connection, migration: Migration) -> None:
    for statement in statements_of(migration.sql):
        model.execute(statement)


def _version(version: int) -> _Version:
    return _after(chain.migrations()[:version])


@cache
def _after(migrations: tuple[Migration, ...]) -> _Version:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as native:
        for migration in migrations:
            _apply(native, migration)
        objects = _objects(native)
        shadows = native.execute("SELECT name FROM pragma_table_list WHERE type = 'shadow'")
        return _Version(
            objects=objects,
            columns={
                name: _columns(native, found.name)
                for name, found in objects.items()
                if found.kind == "table"
            },
            shadows=frozenset(name for (name,) in shadows),
        )


def _objects(native: sqlite3.Connection) -> dict[str, _Object]:
    """All objects of the schema, without the ones that SQLite makes by itself."""
    text_factory = native.text_factory
    # Users' own objects may have been typed in another encoding.
    native.text_factory = partial(str, encoding="utf-8", errors="replace")
    try:
        rows = native.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_schema"
            " WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY rowid"
        ).fetchall()
    finally:
        native.text_factory = text_factory
    return {row[1].lower(): _Object(*row) for row in rows}


def _columns(native: sqlite3.Connection, table: str) -> dict[str, str]:
    """The declaration of each column, by name."""
    return {
        name: " ".join(
            [
                kind,
                *(["NOT NULL"] if is_required else []),
                *([f"DEFAULT {default}"] if default is not None else []),
                *(["PRIMARY KEY"] if place_in_key else []),
            ]
        )
        for _, name, kind, is_required, default, place_in_key, _ in native.execute(
            "SELECT * FROM pragma_table_xinfo(?)", (table,)
        )
    }


def _changes(
    native: sqlite3.Connection, expected: _Version, wanted: _Object, actual: _Object
) -> Iterator[str]:
    columns = expected.columns.get(wanted.name.lower(), {})
    found = _columns(native, actual.name) if columns else {}
    if columns == found:
        yield f"{wanted} differs: it has {_excerpts(actual.sql, wanted.sql)}"
        return
    for name, declared in columns.items():
        if name not in found:
            yield f"{wanted} lacks the column {name}"
        elif found[name] != declared:
            yield f"{wanted} has {found[name]} for the column {name} instead of {declared}"
    for name in found:
        if name not in columns:
            yield f"{wanted} has a column {name} {_IS_NOT_OURS}"


def _excerpts(actual: str, wanted: str) -> str:
    """An excerpt of each text, beginning a little before the first difference."""
    left, right = _essence(actual), _essence(wanted)
    start = _first_difference(left, right)
    start = left.rfind(" ", 0, start) + 1
    end = start + _EXCERPT_CHARACTERS
    return f"'{left[start:end]}' instead of '{right[start:end]}'"


def _first_difference(left: str, right: str) -> int:
    return next(
        (place for place, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]),
        min(len(left), len(right)),
    )


def _only_gained(actual: str, wanted: str) -> bool:
    """Whether the actual text is the wanted one with one insertion, as ADD COLUMN makes it."""
    longer, shorter = _essence(actual), _essence(wanted)
    same = _first_difference(longer, shorter)
    return len(longer) > len(shorter) and longer.endswith(shorter[same:])


def is_same_text(left: str, right: str) -> bool:
    """Whether two statements are the same, apart from comments and white space."""
    return left == right or _essence(left) == _essence(right)


def _essence(sql: str) -> str:
    return _QUOTED_OR_BLANK.sub(lambda match: match[1] or " ", sql).strip()
