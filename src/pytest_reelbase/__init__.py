"""The pytest plugin of reelbase: a database for each test, copied from a template in a millisecond.

It is no part of the package reelbase, and imports it only when a test uses a fixture: a project that does
not use the fixtures pays nothing, and coverage sees the import.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from reelbase import Database, Migrations, SyncDatabase
    from reelbase.testing import FrozenClock

# Each connection that is opened reads the whole schema: a quarter of the time of connect().
_FEW: dict[str, Any] = {"readers": 1}


def _asyncio_fixture(function: Any) -> Any:
    """A fixture of pytest-asyncio, in its strict and in its auto mode; a plain one where it is missing."""
    try:
        import pytest_asyncio  # noqa: PLC0415 - as pytest itself, it is the project's choice
    except ImportError:
        return pytest.fixture(function)
    return pytest_asyncio.fixture(function)


@pytest.fixture(scope="session")
def reelbase_migrations() -> Migrations | None:
    """The application's own migrations. None: it has none. Override it in conftest.py, for the session:

    @pytest.fixture(scope="session")
    def reelbase_migrations():
        return reelbase.Migrations("notebook", "notebook/migrations")
    """
    return None


@pytest.fixture(scope="session")
def reelbase_options() -> dict[str, Any]:
    """Further options of connect() for every database of the fixtures, such as secrets= and setup=.

    Override it in conftest.py, for the session.
    """
    return {}


@pytest.fixture(scope="session")
def reelbase_template(
    tmp_path_factory: pytest.TempPathFactory,
    reelbase_migrations: Migrations | None,
    reelbase_options: dict[str, Any],
) -> Path:
    """A closed database file with the schema and the application's own tables, made once a session."""
    from reelbase import connect_sync  # noqa: PLC0415 - as the docstring of this module says

    path = tmp_path_factory.mktemp("reelbase") / "template.db"
    connect_sync(path, migrations=reelbase_migrations, **reelbase_options).close()
    return path


@pytest.fixture
def reelbase_path(reelbase_template: Path, tmp_path: Path) -> Path:
    """A new database file of this test, a closed copy of reelbase_template."""
    return Path(shutil.copy(reelbase_template, tmp_path / "reelbase.db"))


@pytest.fixture
def reelbase_clock() -> FrozenClock:
    """The clock of this test's databases, which stands still: reelbase_clock.advance(60)."""
    from reelbase.testing import FrozenClock  # noqa: PLC0415

    return FrozenClock()


@pytest.fixture
def reelbase_database(request: pytest.FixtureRequest) -> Database:
    """An open, empty Database of this test, whose clock is reelbase_clock.

    For tests of pytest-asyncio, in either mode, and for tests of anyio's plugin on its asyncio backend.
    """
    is_of_anyio = request.node.get_closest_marker("anyio") is not None
    name = "_reelbase_database_anyio" if is_of_anyio else "_reelbase_database_asyncio"
    database: Database = request.getfixturevalue(name)
    return database


@_asyncio_fixture
async def _reelbase_database_asyncio(
    reelbase_path: Path,
    reelbase_clock: FrozenClock,
    reelbase_migrations: Migrations | None,
    reelbase_options: dict[str, Any],
) -> AsyncIterator[Database]:
    async for database in _opened(
        reelbase_path, reelbase_clock, reelbase_migrations, reelbase_options
    ):
        yield database


@pytest.fixture
async def _reelbase_database_anyio(
    anyio_backend: object,  # makes it a fixture of anyio's
    reelbase_path: Path,
    reelbase_clock: FrozenClock,
    reelbase_migrations: Migrations | None,
    reelbase_options: dict[str, Any],
) -> AsyncIterator[Database]:
    async for database in _opened(
        reelbase_path, reelbase_clock, reelbase_migrations, reelbase_options
    ):
        yield database


async def _opened(
    path: Path, clock: FrozenClock, migrations: Migrations | None, options: dict[str, Any]
) -> AsyncIterator[Database]:
    from reelbase import connect  # noqa: PLC0415

    async with connect(path, clock=clock, migrations=migrations, **(_FEW | options)) as database:
        yield database


@pytest.fixture
def reelbase_sync_database(
    reelbase_path: Path,
    reelbase_clock: FrozenClock,
    reelbase_migrations: Migrations | None,
    reelbase_options: dict[str, Any],
) -> Iterator[SyncDatabase]:
    """An open, empty SyncDatabase of this test, whose clock is reelbase_clock."""
    from reelbase import connect_sync  # noqa: PLC0415

    options = _FEW | reelbase_options
    with connect_sync(
        reelbase_path, clock=reelbase_clock, migrations=reelbase_migrations, **options
    ) as database:
        yield database
