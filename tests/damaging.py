"""Damage as disks and crashes leave it: for tests of what finds and mends it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

PAGE_BYTES = 4096


def zeros(page: bytes) -> bytes:
    """What a filesystem gives for a block that was never written."""
    return b"\0" * len(page)


def change_page(path: Path, number: int, change: Callable[[bytes], bytes] = zeros) -> None:
    """Replaces a page of a file that nobody has open."""
    with path.open("r+b") as file:
        file.seek((number - 1) * PAGE_BYTES)
        page = file.read(PAGE_BYTES)
        file.seek((number - 1) * PAGE_BYTES)
        file.write(change(page))


def pages_of(path: Path, name: str, kind: str = "leaf") -> list[int]:
    """The pages of a table or index by SQLite's own account. kind: leaf, internal or overflow."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as native:
        return [
            number
            for (number,) in native.execute(
                "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = ? ORDER BY pageno",
                (name, kind),
            )
        ]


def take_out_of_index(path: Path, index: str, condition: str) -> None:
    """Takes the rows for which condition is false out of an index, as a lost write of a page does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        (sql,) = native.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (index,)).fetchone()
    for text, reindex in ((f"{sql} WHERE {condition}", True), (sql, False)):
        with closing(sqlite3.connect(path, isolation_level=None)) as native:
            native.execute("PRAGMA writable_schema = ON")
            native.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (text, index))
            native.execute("PRAGMA writable_schema = RESET")
        if reindex:
            with closing(sqlite3.connect(path, isolation_level=None)) as native:
                native.execute(f"REINDEX {index}")
