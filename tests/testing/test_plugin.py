"""Promises about the pytest plugin, tried on a small project with a table, a migration and a repository."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

NOTEBOOK = """
import msgspec
from reelbase import Command, Query, Repository

class Note(msgspec.Struct, frozen=True):
    id: int
    text: str

class NoteRepository(Repository):
    entity = "note"
    _add = Command(Note, "INSERT INTO notes (text) VALUES (:text) RETURNING *")
    _get = Query(Note, "SELECT * FROM notes WHERE id = :id")

    async def add(self, text):
        return await self._run(self._add.one(text=text))

    async def get(self, note_id):
        return await self._run(self._get.one(id=note_id))
"""
CONFTEST = """
import pytest
import reelbase

@pytest.fixture(scope="session")
def reelbase_migrations():
    return reelbase.Migrations("notebook", "migrations")
"""
TESTS = """
from datetime import timedelta
import pytest
import reelbase
from notebook import NoteRepository
from reelbase.testing import assert_statements, make_file

MARK
@pytest.mark.parametrize("number", [1, 2])
async def test_each_test_has_a_database_of_its_own(reelbase_database, reelbase_clock, number):
    notes = reelbase_database.repository(NoteRepository)
    assert (await notes.add("a")).id == 1
    profile = await reelbase_database.profiles.ensure("ann")
    assert profile.created_at == reelbase_clock.now
    reelbase_clock.advance(60)
    later = await reelbase_database.profiles.ensure("ben")
    assert later.created_at - profile.created_at == timedelta(seconds=60)

def test_without_a_loop(reelbase_sync_database, reelbase_path):
    notes = reelbase_sync_database.repository(NoteRepository)
    assert notes.get(notes.add("a").id).text == "a"
    assert reelbase_sync_database.path == reelbase_path

def test_statements(reelbase_migrations):
    assert_statements(NoteRepository, migrations=reelbase_migrations)

def test_a_record():
    assert make_file(name="a.mkv").name == "a.mkv"
"""
FUNCTION = ["-o", "asyncio_default_fixture_loop_scope=function"]  # else pytest-asyncio warns
ANYIO = """
@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("mark", "options"),
    [
        ("@pytest.mark.asyncio", ["-o", "asyncio_mode=strict", *FUNCTION]),
        ("", ["-o", "asyncio_mode=auto", *FUNCTION]),
        (ANYIO, ["-o", "asyncio_mode=strict", *FUNCTION]),
        (ANYIO, ["-p", "no:asyncio"]),
    ],
    ids=["asyncio, strict", "asyncio, auto", "anyio", "anyio alone"],
)
def test_the_fixtures(pytester: pytest.Pytester, mark: str, options: list[str]) -> None:
    pytester.makepyfile(notebook=NOTEBOOK, test_it=TESTS.replace("MARK", mark))
    pytester.makeconftest(CONFTEST)
    folder = pytester.mkdir("migrations")
    (folder / "0001_notes.sql").write_text(
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;"
    )
    done = pytester.runpytest_subprocess(
        "-p", "pytest_reelbase", "-W", "error", "-p", "no:cacheprovider", *options
    )
    done.assert_outcomes(passed=5)


@pytest.mark.long
def test_a_project_that_does_not_use_it_pays_nothing() -> None:
    code = (
        "import sys, pytest, pytest_reelbase;"
        "print({'reelbase', 'aiosqlite', 'msgspec'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.long
def test_the_library_imports_no_pytest() -> None:
    code = "import sys, reelbase, reelbase.testing; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
