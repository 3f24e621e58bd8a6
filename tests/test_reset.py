"""reelbase reset: what it deletes, and what it asks for."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import fill, rows, run, work

from reelbase import Database


def test_reset_asks_first_and_keeps_a_backup(
    path: Path, facts: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    work(path, fill)
    with contextlib.closing(sqlite3.connect(path)) as native:
        native.execute("CREATE TABLE notes (text)")
        native.execute("INSERT INTO notes VALUES ('mine')")
        native.commit()
    before = rows(path)
    assert run("reset", path) == 2  # nobody is there to answer
    assert "--yes" in capsys.readouterr().err
    assert rows(path) == before
    done = facts("reset", path, "--yes")
    after = rows(path)
    assert {name for name in after if after[name]} == {"notes"} | {
        name for name in after if "_fts_" in name and after[name]
    }
    assert done["deleted"]["transcript_segments"] == 4
    assert rows(Path(done["backup"])) == before

    async def begin_anew(database: Database) -> None:
        await database.profiles.ensure("ann")
        file = await database.files.add("ann", "n", "p")
        assert (await database.tags.attach(file.id, "x"))[0].id == 1
        assert (await database.check()).ok

    work(path, begin_anew)


def test_reset_leaves_rows_that_ones_own_tables_need(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work(path, fill)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute("CREATE TABLE notes (file_id TEXT REFERENCES files (id))")
        native.execute("INSERT INTO notes SELECT id FROM files")
    before = rows(path)
    assert run("reset", path, "--yes", "--no-backup") == 1
    assert "rows of your table notes (5) refer to rows of files" in capsys.readouterr().err
    assert rows(path) == before
