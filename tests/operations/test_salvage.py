"""Promises about repair() where definitions and trees are damaged: no row comes into another table's
place, and no row disappears without a word."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from damaging import PAGE_BYTES, change_page, pages_of
from test_damage import fill

import reelbase

SEARCHED = "transcript_segments_fts"


@pytest.fixture
async def filled(path: Path) -> Path:
    await fill(path, "delete", 300)
    return path


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as native:
        return native.execute(sql).fetchall()


def add(path: Path, definition: str, values: Iterable[tuple[object, object]] = ()) -> None:
    """Adds a table of an application, with its rows."""
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute(definition)
        for row in values:
            native.execute(f"INSERT INTO {definition.split()[2]} VALUES (?, ?)", row)


def replace(path: Path, before: bytes, after: bytes) -> None:
    """Changes bytes of the schema, as bits flip or sectors are lost."""
    assert len(before) == len(after)
    pages = pages_of(path, "sqlite_schema")
    assert sum(page_of(path, number).count(before) for number in pages) == 1
    for number in pages:
        change_page(path, number, lambda page: page.replace(before, after))


def page_of(path: Path, number: int) -> bytes:
    return path.read_bytes()[(number - 1) * PAGE_BYTES : number * PAGE_BYTES]


def swap(path: Path, one: int, other: int) -> None:
    first, second = page_of(path, one), page_of(path, other)
    change_page(path, one, lambda _: second)
    change_page(path, other, lambda _: first)


async def sound(path: Path) -> None:
    async with reelbase.connect(path) as database:
        assert (await database.check(full=True)).problems == []


@pytest.mark.long
async def test_rows_of_a_table_whose_statement_is_cut_are_named(filled: Path) -> None:
    add(filled, "CREATE TABLE notes (text, stars)", [("a", 1), ("b", 2), ("c", 3)])
    replace(filled, b"notes (text, stars)", b"notes (tex".ljust(19, b"\0"))
    report = await reelbase.repair(filled)
    assert (
        "notes row 1 to row 3 (3 rows): its table could not be rebuilt; the copy still holds it"
        in (report.lost)
    )
    assert report.rows_lost == {"notes": 3}
    await sound(filled)


@pytest.mark.long
async def test_rows_without_rowid_whose_statement_is_cut_are_counted(filled: Path) -> None:
    add(filled, "CREATE TABLE plays (file PRIMARY KEY, n) WITHOUT ROWID", [("a", 1), ("b", 2)])
    (page,) = pages_of(filled, "plays")
    replace(filled, b"plays (file PRIMARY KEY, n)", b"plays (file".ljust(27, b"\0"))
    report = await reelbase.repair(filled)
    assert (
        f"plays: 2 rows on 1 page ({page}) of a table that could not be rebuilt; the copy still holds them"
        in report.lost
    )
    assert report.rows_lost == {"plays": 2}
    await sound(filled)


@pytest.mark.long
async def test_a_statement_that_is_no_text_any_more_does_not_stop_a_repair(filled: Path) -> None:
    add(filled, "CREATE TABLE notes (text, stars)", [("a", 1)])
    replace(filled, b"CREATE TABLE notes", b"CREATE T\x81BLE notes")
    report = await reelbase.repair(filled)
    assert any(text.startswith("notes row 1: ") for text in report.lost)
    await sound(filled)


@pytest.mark.long
async def test_rows_of_a_table_that_is_unknown_do_not_come_into_another(filled: Path) -> None:
    mine = [(f"one {number:0200}", number) for number in range(50)]
    others = [(f"two {number:0200}", number) for number in range(50)]
    add(filled, "CREATE TABLE one (text, stars)", mine)
    for number in range(12):
        add(
            filled, f"CREATE TABLE filler_{number} (a, b, {', '.join(f'c_{n}' for n in range(60))})"
        )
    add(filled, "CREATE TABLE two (text, stars)", others)
    leaves = pages_of(filled, "one") + pages_of(filled, "two")
    (root,) = pages_of(filled, "two", "internal")
    definition = next(
        number
        for number in pages_of(filled, "sqlite_schema")
        if b"CREATE TABLE one" in page_of(filled, number)
    )
    change_page(filled, definition)
    change_page(filled, root)
    report = await reelbase.repair(filled)
    assert rows(filled, "SELECT * FROM two") == []
    (sentence,) = [text for text in report.lost if "belong to no table" in text]
    assert f"{leaves[0]} to {leaves[2]}, {leaves[3]} to {leaves[5]}" in sentence
    await sound(filled)


@pytest.mark.long
async def test_pages_of_a_search_index_are_not_rows_of_a_table(filled: Path) -> None:
    add(filled, "CREATE TABLE scores (name TEXT, score INTEGER)", [("a", 1)])
    change_page(filled, pages_of(filled, "scores")[0])
    for page in pages_of(filled, f"{SEARCHED}_data", "internal"):
        change_page(filled, page)
    report = await reelbase.repair(filled)
    assert rows(filled, "SELECT * FROM scores") == []
    assert any(text.startswith("scores: rows from the first") for text in report.lost)
    await sound(filled)


@pytest.mark.long
async def test_pages_that_changed_places_are_told_apart_by_indexes(filled: Path) -> None:
    tables = ("one", "two")
    for table in tables:
        values = [(f"{table} {number:0100}", number) for number in range(100)]
        add(filled, f"CREATE TABLE {table} (text TEXT PRIMARY KEY, stars)", values)
    before = [rows(filled, f"SELECT rowid, * FROM {table}") for table in tables]
    swap(filled, pages_of(filled, "one")[1], pages_of(filled, "two")[1])
    report = await reelbase.repair(filled)
    assert [rows(filled, f"SELECT rowid, * FROM {table}") for table in tables] == before
    assert report.lost == []
    await sound(filled)


@pytest.mark.long
async def test_a_search_index_does_not_keep_the_pages_of_a_table(filled: Path) -> None:
    before = rows(filled, "SELECT * FROM files ORDER BY id")
    (root,) = pages_of(filled, "files", "internal")
    swap(filled, root, pages_of(filled, f"{SEARCHED}_docsize")[0])
    report = await reelbase.repair(filled)
    assert rows(filled, "SELECT * FROM files ORDER BY id") == before
    assert report.rows_lost == {}
    await sound(filled)


@pytest.mark.long
async def test_a_flipped_bit_in_a_statement_of_the_schema_is_mended(filled: Path) -> None:
    replace(
        filled,
        b"CONSTRAINT speakers_file FOREIGN KEY (file_id, profile_id) REFERENCES files ",
        b"CONSTRAINT speakers_file FOREIGN KEY (file_id, profile_id) REFERENCES fimes ",
    )
    change_page(filled, pages_of(filled, "files")[2])
    report = await reelbase.repair(filled)
    assert report.problems == []
    await sound(filled)


@pytest.mark.long
@pytest.mark.parametrize("parent", ["fimes (id)", "files (ie)"])
async def test_rows_of_a_table_that_refers_to_nothing_are_named(filled: Path, parent: str) -> None:
    add(filled, f"CREATE TABLE stars (file TEXT REFERENCES {parent}, n)", [("x", 1)])
    change_page(filled, pages_of(filled, "files")[2])
    report = await reelbase.repair(filled)
    assert any(text.startswith("table stars could not be rebuilt") for text in report.lost)
    assert report.rows_lost["stars"] == 1
    await sound(filled)


@pytest.mark.long
async def test_a_page_that_has_older_copies_of_its_rows_is_still_of_its_table(filled: Path) -> None:
    """An older page above the leaves leads to an older leaf, which has some of the rows."""
    add(filled, "CREATE TABLE one (text TEXT PRIMARY KEY, stars)")
    with closing(sqlite3.connect(filled, isolation_level=None)) as native:
        for number in range(60):
            native.execute("INSERT INTO one VALUES (?, ?)", (f"{number:0100}", number))
    before = rows(filled, "SELECT * FROM one ORDER BY rowid")
    leaves = pages_of(filled, "one")
    (root,) = pages_of(filled, "one", "internal")
    change_page(filled, root, lambda _: page_of(filled, leaves[0]))
    report = await reelbase.repair(filled)
    assert rows(filled, "SELECT * FROM one ORDER BY rowid") == before
    assert report.lost == []
    await sound(filled)


@pytest.mark.long
async def test_a_search_index_that_cannot_be_filled_in_place_is_mended(filled: Path) -> None:
    """Two pages of files are one leaf: SQLite reads it, but cannot fill the search index from it."""
    leaves = pages_of(filled, "files")
    change_page(filled, pages_of(filled, "files_fts_data")[0])
    change_page(filled, leaves[2])
    report = await reelbase.repair(filled)
    assert report.rows_lost["files"] > 0
    await sound(filled)


@pytest.mark.long
async def test_rows_that_are_read_but_not_found_by_their_keys_do_not_hold_up_a_repair(
    filled: Path,
) -> None:
    async with reelbase.connect(filled) as database:
        await database.settings.set_many("bert", {f"k{n:03}": "x" * 100 for n in range(120)})
    first, second, *_ = pages_of(filled, "profile_settings")
    swap(filled, first, second)
    with closing(sqlite3.connect(filled, isolation_level=None)) as native:
        native.execute("DELETE FROM profiles WHERE id = 'bert'")
    report = await reelbase.repair(filled)
    assert rows(filled, "SELECT * FROM profile_settings") == []
    assert report.rows_lost == {"profile_settings": 120}
    await sound(filled)
