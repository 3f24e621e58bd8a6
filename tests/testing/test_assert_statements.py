"""Promises about assert_statements() and ``reelbase lint``: own SQL, held to the rules of the library's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from commands import run

import reelbase
from reelbase import Command, Migrations, Query, Repository
from reelbase.testing import assert_statements

TABLE = """
CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL, at TEXT) STRICT;
CREATE INDEX notes_by_text ON notes (text);
"""


@pytest.fixture
def mine(tmp_path: Path) -> Migrations:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_notes.sql").write_text(TABLE)
    return Migrations("notebook", folder)


class Note(msgspec.Struct, frozen=True):
    id: int
    text: str


class NoteRepository(Repository):
    entity = "note"

    _add = Command(Note, "INSERT INTO notes (text) VALUES (:text) RETURNING *")
    _get = Query(Note, "SELECT * FROM notes WHERE id = :id")
    _with_text = Query(
        tuple[int, str], "SELECT id, text FROM notes WHERE text = :text", params={"text": str}
    )
    _remove = Command(Note, "DELETE FROM notes WHERE id = :id")

    async def calls(self) -> None:
        await self._batch(self._add.one(text=""), self._get.one(id=1), self._with_text.all(text=""))
        await self._run(self._remove.count(id=1))


def test_good_statements_pass(mine: Migrations) -> None:
    assert_statements(NoteRepository, migrations=mine)


@pytest.mark.parametrize(
    "repository",
    [
        getattr(reelbase, name)
        for name in ("ProfileRepository", "ClipRepository", "MediaInfoRepository")
    ],
)
def test_repositories_of_the_library_are_held_to_the_same_rules(
    repository: type[Repository],
) -> None:
    scans = {"ProfileRepository": {"_count": "counting", "_list": "all, as far as the limit"}}
    assert_statements(repository, may_scan=scans.get(repository.__name__))


def broken(statement: Query[Any]) -> type[Repository]:
    class BrokenRepository(Repository):
        _it = statement

        async def use(self) -> None:
            self._it.all()

    return BrokenRepository


BROKEN: dict[str, Callable[[], Query[Any]]] = {
    "prepares: SQLite cannot prepare it (no such table: nots)": lambda: Query(
        Note, "SELECT id, text FROM nots WHERE id = :id"
    ),
    "it lacks the columns text of Note": lambda: Query(Note, "SELECT id FROM notes WHERE id = :id"),
    "Note has no field for at": lambda: Query(
        Note, "SELECT id, text, at FROM notes WHERE id = :id"
    ),
    "it gives 2 columns, and <class 'int'> takes 1": lambda: Query(
        int, "SELECT id, text FROM notes WHERE id = :id", params={"id": int}
    ),
    "it is a Query, and writes (DELETE FROM)": lambda: Query(
        Note, "DELETE FROM notes WHERE id = :id RETURNING id, text"
    ),
    "it is a Command, and only reads (SELECT …)": lambda: Command(
        Note, "SELECT id, text FROM notes WHERE id = :id"
    ),
    "it reads datetime(": lambda: Command(
        Note, "UPDATE notes SET at = datetime('now') WHERE id = :id"
    ),
    "scans no table: it reads notes from end to end; look rows up by a key": lambda: Query(
        Note, "SELECT * FROM notes ORDER BY id"
    ),
}


@pytest.mark.parametrize("sentence", BROKEN)
def test_a_statement_that_breaks_a_rule_is_named_with_the_rule_and_the_remedy(
    mine: Migrations, sentence: str
) -> None:
    with pytest.raises(AssertionError) as raised:
        assert_statements(broken(BROKEN[sentence]()), migrations=mine)
    (line,) = str(raised.value).splitlines()
    assert line.startswith("BrokenRepository._it: ")
    assert sentence in line
    assert "; " in line


def test_a_statement_that_no_method_uses_is_named(mine: Migrations) -> None:
    class UnusedRepository(Repository):
        _forgotten = Query(Note, "SELECT * FROM notes WHERE id = :id")

    with pytest.raises(AssertionError, match=r"UnusedRepository\._forgotten: is used: no method"):
        assert_statements(UnusedRepository, migrations=mine)


def test_scans_are_allowed_with_a_reason_and_only_as_long_as_they_scan(mine: Migrations) -> None:
    class ListRepository(Repository):
        _list = Query(Note, "SELECT * FROM notes ORDER BY id")
        _get = Query(Note, "SELECT * FROM notes WHERE id = :id")

        async def use(self) -> None:
            await self._batch(self._list.all(), self._get.one(id=1))

    assert_statements(ListRepository, migrations=mine, may_scan={"_list": "a dozen"})
    with pytest.raises(AssertionError, match=r"_get: scans no table: .* is in may_scan"):
        assert_statements(
            ListRepository, migrations=mine, may_scan={"_list": "a dozen", "_get": "?"}
        )
    with pytest.raises(ValueError, match="no statement"):
        assert_statements(ListRepository, migrations=mine, may_scan={"_lst": "a dozen"})


def test_a_class_can_name_its_scans_itself(mine: Migrations) -> None:
    class ListRepository(Repository):
        may_scan: ClassVar[Mapping[str, str]] = {"_list": "a dozen"}

        _list = Query(Note, "SELECT * FROM notes ORDER BY id")

        async def use(self) -> None:
            await self._run(self._list.all())

    assert_statements(ListRepository, migrations=mine)
    ListRepository.may_scan = {"_lst": "a dozen"}
    with pytest.raises(ValueError, match="ListRepository has no statement"):
        assert_statements(ListRepository, migrations=mine)


def test_the_functions_of_setup_are_known(mine: Migrations) -> None:
    repository = broken(
        Query(str, "SELECT shout(text) FROM notes WHERE id = :id", params={"id": int})
    )
    with pytest.raises(AssertionError, match="no such function: shout"):
        assert_statements(repository, migrations=mine)
    assert_statements(
        repository,
        migrations=mine,
        setup=lambda native: native.create_function("shout", 1, str.upper, deterministic=True),
    )


def test_what_is_no_repository_is_refused() -> None:
    with pytest.raises(TypeError, match="subclass of Repository"):
        assert_statements(Note)  # type: ignore[arg-type]


# reelbase lint

SOURCE = """
import msgspec
from reelbase import Query, Repository

class Note(msgspec.Struct, frozen=True):
    id: int
    text: str

class NoteRepository(Repository):
    _get = Query(Note, "SELECT * FROM notes WHERE id = :id")
    _list = Query(Note, "SELECT * FROM notes ORDER BY id")

    async def use(self):
        return await self._batch(self._get.one(id=1), self._list.all())
"""


@pytest.fixture
def notebook(tmp_path: Path, mine: Migrations, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    package = tmp_path / "notebook"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "notes.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path / "migrations"
    for name in [name for name in sys.modules if name.partition(".")[0] == "notebook"]:
        del sys.modules[name]


def test_lint_checks_the_repositories_of_a_package(
    notebook: Path, facts: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("lint", "notebook", "--migrations", notebook) == 1
    out = capsys.readouterr().out
    assert "NoteRepository._list: scans no table: it reads notes from end to end; " in out
    assert out.endswith("2 statements of NoteRepository: 1 problem\n")
    shown = facts(
        "lint", "notebook.notes", "--migrations", notebook, "--may-scan", "NoteRepository._list"
    )
    assert shown == {"repositories": ["NoteRepository"], "statements": 2, "problems": []}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nowhere"], "cannot import nowhere"),
        (["reelbase.errors"], "no repository"),
        (["notebook", "--migrations", "nowhere"], "--migrations: folder: nowhere is no folder"),
        (["notebook", "--may-scan", "NoteRepository._lst"], "no statement NoteRepository._lst"),
    ],
)
def test_lint_refuses_what_it_cannot_check(
    notebook: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    assert run("lint", *arguments) == 2
    assert text in capsys.readouterr().err
