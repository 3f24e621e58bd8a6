"""The types of the synchronous door: the stub is that of the async classes, and both checkers read it."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, assert_type
from uuid import UUID

import pytest
import sync_stub

import reelbase
from reelbase import (
    File,
    FileStatus,
    Job,
    JobRepository,
    SyncDatabase,
    SyncSnapshot,
    SyncUnitOfWork,
    Transcript,
    UnitOfWork,
)


def test_the_stub_is_that_of_the_async_classes() -> None:
    assert sync_stub.FILE.read_text("utf-8") == sync_stub.Stub().text(), (
        "the async classes have changed: .ci/check --write writes the stub"
    )


def test_types(path: Path) -> None:
    with reelbase.connect_sync(path, journal="auto") as database:
        assert_type(database, SyncDatabase)
        assert_type(database.closed, bool)
        database.profiles.ensure("ann")
        file = assert_type(database.files.add("ann", "n", "p"), File)
        assert_type(database.files.get(file.id).name, str)
        assert_type(database.files.find(file.id), File | None)
        assert_type(database.files.page("ann", after=file), reelbase.Page[File])
        assert_type(database.files.update(file.id, name="m"), File)
        assert_type(database.file_processing.find(file.id), reelbase.FileProcessing | None)
        assert_type(database.jobs.claim("w", types=["t"]), Job | None)
        assert_type(database.jobs.find_referencing_file("ann", file.id), set[UUID])
        assert_type(database.settings.get("ann", "k", 0, type=int), int)
        assert_type(database.config.get("k"), Any)
        assert_type(database.fetch_all(File, "SELECT * FROM files"), list[File])
        assert_type(database.fetch_optional(int, "SELECT 1"), int | None)
        for row in database.stream(str, "SELECT name FROM files"):
            assert_type(row, str)
        with database.transaction(actor="ann") as unit:
            assert_type(unit, SyncUnitOfWork)
            assert_type(unit.now, datetime)
            assert_type(unit.state, Literal["open", "committed", "rolled_back", "unknown"])
            assert_type(unit.files.get(file.id), File)
            with unit.savepoint():
                assert_type(unit.execute("DELETE FROM clips"), int)
        with database.snapshot() as view:
            assert_type(view, SyncSnapshot)
            assert_type(view.files.get(file.id), File)
        assert_type(database.repository(JobRepository), Any)

        async def function(unit: UnitOfWork) -> list[Transcript]:
            return await unit.transcripts.list_for_profile("ann")

        assert_type(database.atomically(function), list[Transcript])


def mistakes(database: SyncDatabase) -> None:
    """Never run: each of these must be an error, or mypy finds the comment superfluous."""
    database.files.get(5)  # type: ignore[arg-type]
    database.files.add("ann", "n")  # type: ignore[call-arg]
    database.playlists.get(5)  # type: ignore[attr-defined]
    database.files.update("id", nam="x")  # type: ignore[call-arg]
    database.files.page("ann", status="done")  # type: ignore[arg-type]
    reelbase.connect_sync("x", journal="memory")  # type: ignore[arg-type]
    with database.snapshot() as view:
        view.files.add("ann", "n", "p")  # type: ignore[attr-defined]
        view.execute("DELETE FROM files")  # type: ignore[attr-defined]
    status: FileStatus = database.files.get("id")  # type: ignore[assignment]
    assert status


@pytest.mark.long
@pytest.mark.parametrize(
    "command", [("mypy", "--strict"), ("pyright", "--pythonpath", sys.executable)]
)
def test_both_checkers_agree(command: tuple[str, ...]) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", *command, str(Path(__file__))],
        cwd=root,
        env={**os.environ, "MYPYPATH": "src:tests/laws"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
