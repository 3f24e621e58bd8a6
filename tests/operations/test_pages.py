"""The reader of pages sees in a sound file just what SQLite sees."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from reelbase.operations.salvage.pages import Page, PageFile, Value


def _value(choose: random.Random, page_bytes: int) -> Value:
    return choose.choice(
        (
            None,
            0,
            1,
            2.0,
            "",
            choose.random(),
            choose.randrange(-(2**63), 2**63),
            choose.randrange(300),
            "é" * choose.randrange(page_bytes * 2),
            choose.randbytes(choose.randrange(page_bytes * 3)),
        )
    )


def _rows(pages: PageFile, root: int, *, is_index: bool) -> list[tuple[Value, ...]]:
    claims = pages.claims()
    found: list[tuple[Value, ...]] = []
    for page in pages.walk(root, claims, is_index=is_index):
        assert isinstance(page, Page)
        assert page.is_whole
        for cell in page.cells:
            record = pages.record(page, cell, claims)
            assert record is not None
            assert not record.missing
            found.append((cell.rowid, *record.values))
    return found


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8))
def test_every_row_is_read_and_the_page_size_is_guessed(seed: int, tmp_path: Path) -> None:
    choose, path = random.Random(seed), tmp_path / "x.db"
    page_bytes = (512, 1024, 4096, 65536)[seed % 4]
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute("PRAGMA synchronous = OFF")
        native.execute(f"PRAGMA page_size = {page_bytes}")
        native.execute(f"PRAGMA auto_vacuum = {choose.choice((0, 1, 2))}")
        native.execute("CREATE TABLE a (id INTEGER PRIMARY KEY, x, y)")
        native.execute("CREATE TABLE w (k TEXT, l, m, PRIMARY KEY (k, l)) WITHOUT ROWID")
        native.execute("CREATE INDEX a_by_x ON a (x)")
        native.execute("BEGIN")
        for number in range(200):
            values = [_value(choose, page_bytes) for _ in range(4)]
            native.execute(
                "INSERT OR IGNORE INTO a VALUES (?, ?, ?)",
                (choose.choice((number, choose.randrange(-(2**63), 2**63))), *values[:2]),
            )
            native.execute(
                "INSERT OR IGNORE INTO w VALUES (?, ?, ?)", (str(number), values[2] or 1, values[3])
            )
            if choose.random() < 0.2:
                native.execute("DELETE FROM a WHERE id % 3 = ?", (choose.randrange(3),))
        native.execute("COMMIT")
        roots = dict(native.execute("SELECT name, rootpage FROM sqlite_schema").fetchall())
        expected = native.execute("SELECT id, NULL, x, y FROM a ORDER BY id").fetchall()
        others = native.execute("SELECT 0, k, l, m FROM w").fetchall()
        indexed = native.execute("SELECT 0, x, id FROM a").fetchall()
    with closing(PageFile(path)) as pages:
        assert _rows(pages, roots["a"], is_index=False) == expected
        assert sorted(map(repr, _rows(pages, roots["w"], is_index=True))) == sorted(
            map(repr, others)
        )
        assert sorted(map(repr, _rows(pages, roots["a_by_x"], is_index=True))) == sorted(
            map(repr, indexed)
        )
        assert pages.claim_pages_without_rows(pages.claims())
    with path.open("r+b") as file:
        file.write(b"\0" * 100)
    with closing(PageFile(path)) as pages:
        assert not pages.has_header
        assert pages.page_size == page_bytes
