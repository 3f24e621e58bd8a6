"""The texts of the three files, as ruff would format them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from reelbase.cli.new.entity import Entity


class Place(NamedTuple):
    """Where an entity lives. application: its name in the ledger of migrations.  package: dotted, '' where
    modules are imported by their own name.  module: the last part of its name."""

    application: str
    package: str
    module: str

    @classmethod
    def of(cls, package: Path, entity: Entity) -> Place:
        """The place of an entity in a folder; a folder ``src`` is none of the package."""
        parts = package.parts[1:] if package.parts[:1] == ("src",) else package.parts
        word = re.sub(r"[^a-z0-9_-]", "", (parts or ("",))[-1].lower()).lstrip("0123456789_-")
        return cls(word or "application", ".".join(parts), entity.table)

    @property
    def path(self) -> str:
        """The full name of the module."""
        return f"{self.package}.{self.module}" if self.package else self.module


def migration(entity: Entity) -> str:
    """The SQL that makes the table."""
    columns = ["id INTEGER NOT NULL"]
    checks = []
    for field in entity.fields:
        columns.append(
            f"{field.name} {field.type.column}{'' if field.is_optional else ' NOT NULL'}"
        )
        if field.type.check:
            check = field.type.check.format(name=field.name)
            checks.append(
                f"CHECK ({field.name} IS NULL OR {check})"
                if field.is_optional
                else f"CHECK ({check})"
            )
    columns += ["created_at TEXT NOT NULL", "updated_at TEXT NOT NULL"]
    lines = [*columns, "PRIMARY KEY (id)", *checks]
    return f"CREATE TABLE {entity.table} (\n  " + ",\n  ".join(lines) + "\n) STRICT;\n"


def module(entity: Entity) -> str:
    """The record, the SQL and the repository."""
    names = [field.name for field in entity.fields]
    annotated = [f"{field.name}: {field.annotation}" for field in entity.fields]
    needs = {field.type.needs for field in entity.fields if field.type.needs}
    needs |= {("collections.abc", "Mapping"), ("datetime", "datetime")}
    needs |= {("typing", "ClassVar, TypedDict, Unpack")}
    record, table = entity.record, entity.table
    set_lines = [f"{name} = iif(:set_{name}, :{name}, {name})" for name in names]
    article = "an" if entity.name[0] in "aeiou" else "a"
    return f'''"""{record}: its record, its SQL and its repository."""

from __future__ import annotations

{_imports(needs)}

from reelbase import Command, Page, PageQuery, Query, Record, Repository


class {record}(Record, frozen=True):
    """{article.capitalize()} {entity.name.replace("_", " ")}, a row of ``{table}``."""

    id: int
{_lines(annotated, 4)}
    created_at: datetime
    updated_at: datetime


class {record}Changes(TypedDict, total=False):
    """The fields that update() can change."""

{_lines(annotated, 4)}


class {record}Repository(Repository):
    """The rows of ``{table}``, the newest first."""

    entity = "{entity.name}"
    may_scan: ClassVar[Mapping[str, str]] = {{"_count": "it counts"}}

    _create = Command(
        {record},
        """
        INSERT INTO {table} (
{_lines([*names, "created_at", "updated_at"], 10, ",")}
        )
        VALUES (
{_lines([*(f":{name}" for name in names), ":now", ":now"], 10, ",")}
        )
        RETURNING *
        """,
    )

    _get = Query(
        {record},
        """
        SELECT *
        FROM {table}
        WHERE id = :id
        """,
    )

    _page = PageQuery(
        {record},
        """
        SELECT *
        FROM {table}
        WHERE id < :id
        ORDER BY id DESC
        LIMIT :limit
        """,
        keyset={{"id": 2**63 - 1}},
    )

    _update = Command(
        {record},
        """
        UPDATE {table}
        SET
{_lines([*set_lines, "updated_at = :now"], 10, ",")}
        WHERE id = :id
        RETURNING *
        """,
    )

    _delete = Command(
        {record},
        """
        DELETE FROM {table}
        WHERE id = :id
        """,
    )

    _count = Query(
        int,
        """
        SELECT count(*)
        FROM {table}
        """,
    )

    async def create(
        self,
        *,
{_lines(annotated, 8, ",", last=",")}
    ) -> {record}:
        """Adds a row and returns it."""
        return await self._run(
            self._create.one(
{_lines([*(f"{name}={name}" for name in names), "now=self._now()"], 16, ",", last=",")}
            )
        )

    async def get(self, id: int) -> {record}:
        """The row. RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=id))

    async def page(
        self,
        *,
        after: {record} | str | None = None,
        limit: int = 50,
    ) -> Page[{record}]:
        """The newest rows first, at most limit; ``next`` of the page is the next ``after``."""
        return await self._run(self._page.page(after=after, limit=limit))

    async def update(
        self,
        id: int,
        **changes: Unpack[{record}Changes],
    ) -> {record}:
        """Changes the fields that are passed and returns the row.

        RecordNotFoundError when there is none.
        """
        parameters = self._update.changes(changes, id=id, now=self._now())
        return await self._run(self._update.one(**parameters))

    async def delete(self, id: int, *, missing_ok: bool = False) -> bool:
        """True when there was such a row; else RecordNotFoundError, or False with missing_ok."""
        deleted = await self._run(self._delete.count(id=id))
        return self._deleted(deleted, id, missing_ok=missing_ok)

    async def count(self) -> int:
        """How many rows there are."""
        return await self._run(self._count.one())
'''


def test(entity: Entity, place: Place) -> str:
    """A test of the repository, which needs no plugin."""
    needs = {field.type.test_needs for field in entity.fields if field.type.test_needs}
    needs |= {("pathlib", "Path")}
    record = entity.record
    first = [f"{field.name}={field.type.examples[0]}" for field in entity.fields]
    second = [f"{field.name}={field.type.examples[1]}" for field in entity.fields]
    of_package = f"from {place.package} import {place.module}" if place.package else ""
    imported = of_package or f"import {place.module}"
    look = []
    for field in entity.fields:
        same = "is" if field.type.python == "bool" else "=="
        look.append(f"assert changed.{field.name} {same} {field.type.examples[1]}")
    for field in entity.fields:
        if field.is_optional:
            look += [
                "changed = await repository.update(",
                "    added.id,",
                f"    {field.name}=None,",
                ")",
            ]
            look.append(f"assert changed.{field.name} is None")
    return f'''"""Promises of {record}Repository."""

from __future__ import annotations

import asyncio
{_imports(needs)}

import pytest
import reelbase
from reelbase.testing import assert_statements

{imported}
from {place.path} import {record}, {record}Repository

FOLDER = Path({place.module}.__file__).with_name("migrations")
MIGRATIONS = reelbase.Migrations("{place.application}", FOLDER)


async def add(repository: {record}Repository) -> {record}:
    return await repository.create(
{_lines(first, 8, ",", last=",")}
    )


def test_statements_keep_to_the_rules() -> None:
    assert_statements({record}Repository, migrations=MIGRATIONS)


def test_a_row_is_created_read_changed_and_deleted(tmp_path: Path) -> None:
    async def story() -> None:
        async with reelbase.connect(
            tmp_path / "media.db",
            migrations=MIGRATIONS,
        ) as database:
            repository = database.repository({record}Repository)
            added = await add(repository)
            assert await repository.get(added.id) == added
            assert await repository.count() == 1
            changed = await repository.update(
                added.id,
{_lines(second, 16, ",", last=",")}
            )
{_lines(look, 12)}
            assert await repository.delete(added.id)
            assert not await repository.delete(added.id, missing_ok=True)
            with pytest.raises(reelbase.RecordNotFoundError):
                await repository.get(added.id)

    asyncio.run(story())


def test_pages_give_every_row_once_the_newest_first(tmp_path: Path) -> None:
    async def story() -> None:
        async with reelbase.connect(
            tmp_path / "media.db",
            migrations=MIGRATIONS,
        ) as database:
            repository = database.repository({record}Repository)
            rows = [await add(repository) for _ in range(5)]
            page = await repository.page(limit=3)
            rest = await repository.page(limit=3, after=page.next)
            assert [*page, *rest] == rows[::-1]
            assert rest.next is None

    asyncio.run(story())
'''


def _imports(needs: Iterable[tuple[str, str]]) -> str:
    names: dict[str, set[str]] = {}
    for module_name, name in needs:
        names.setdefault(module_name, set()).update(name.split(", "))
    return "\n".join(
        f"from {module_name} import {', '.join(sorted(names[module_name]))}"
        for module_name in sorted(names)
    )


def _lines(texts: Iterable[str], indent: int, between: str = "", last: str = "") -> str:
    return f"{between}\n".join(" " * indent + text for text in texts) + last
