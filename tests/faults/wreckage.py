"""Databases of many kinds of pages, damage as disks do it, and what a repair must then hold to."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from unittest import mock
from uuid import UUID

import msgspec

import reelbase
from reelbase.engine import ids
from reelbase.operations.salvage.accounts import DERIVED
from reelbase.operations.salvage.pages import Page, PageFile
from reelbase.operations.salvage.tables import Table
from reelbase.testing import FrozenClock

PAGE = 4096
Key = int | tuple[object, ...]
Rows = dict[Key, tuple[object, ...]]

# What a person keeps beside our tables: with and without rowids, searchable, and unlike ours in affinity.
_OF_AN_APPLICATION = """
CREATE TABLE notes (id INTEGER PRIMARY KEY, text, rating REAL, raw BLOB);
CREATE INDEX notes_by_rating ON notes (rating);
CREATE TABLE plays (file TEXT, moment TEXT, seconds INTEGER, PRIMARY KEY (file, moment)) WITHOUT ROWID;
CREATE INDEX plays_by_moment ON plays (moment);
CREATE TABLE scores (name TEXT PRIMARY KEY, score INTEGER);
CREATE VIEW best AS SELECT name FROM scores WHERE score > 50;
CREATE VIRTUAL TABLE notes_search USING fts5 (text, content = notes, content_rowid = id);
CREATE TRIGGER notes_to_search AFTER INSERT ON notes BEGIN
  INSERT INTO notes_search (rowid, text) VALUES (NEW.id, NEW.text); END;
CREATE VIRTUAL TABLE diary USING fts5 (day, text);
"""


# What SQLite's own clock and dice give a new file.
_MADE_BY_SQLITE = (
    "UPDATE schema_migrations SET applied_at = '2026-01-31T12:00:00.000Z'",
    "UPDATE database_identity SET database_id = '0a1b2c3d-0000-4000-8000-000000000001'",
)
# Some rows leave their pages behind, with their bytes still on them.
_DELETIONS = (
    "PRAGMA secure_delete = OFF",
    "PRAGMA foreign_keys = ON",
    "DELETE FROM profiles WHERE id IN ('a3', 'a7')",
    "DELETE FROM notes WHERE id % 5 = 0",
    "INSERT INTO notes_search (notes_search) VALUES ('rebuild')",
    "DELETE FROM generations WHERE rowid % 3 > 0",
)


async def _fill(database: reelbase.Database, choose: random.Random, prefix: str, size: int) -> None:
    """size: how many profiles there are; most tables grow with it."""

    def text(most: int) -> str:
        return " ".join(f"w{choose.randrange(5000)}" for _ in range(choose.randrange(1, most)))

    for number in range(size):
        profile = f"{prefix}{number}"
        await database.profiles.ensure(profile)
        await database.settings.set_many(profile, {f"k{n}": text(20) for n in range(12)})
        await database.files.add_many(
            profile, [reelbase.NewFile(f"{n}.mp4", text(6)) for n in range(25)]
        )
        files = await database.files.list_for_profile(profile, limit=6)
        for file in files:
            await database.tags.attach(file.id, *(f"t{choose.randrange(30)}" for _ in range(4)))
            speaker = await database.speakers.ensure(file.id, "A")
            transcript = await database.transcripts.add(profile, file.id, text(1500))
            await database.segments.replace_all(
                transcript.id,
                [
                    reelbase.NewSegment(n, n + 1, text(8), speaker.id if n % 3 else None)
                    for n in range(choose.randrange(40))
                ],
            )
            await database.media_info.upsert(file.id, title=text(5), metadata={"x": text(400)})
        await database.llm_configs.add(profile, "gpt", "openai", "gpt-4")
        await database.jobs.add_batch(
            profile, "transcode", {}, [{"file_id": str(file.id), "x": text(30)} for file in files]
        )
        for _ in range(8):
            await database.notifications.push(profile, "t", text(4), text(60))
    for number in range(5 * size):
        await database.downloads.add_many(
            f"{prefix}s{number}", [f"https://example.com/{text(5)}" for _ in range(3)]
        )
        await database.error_log.add(f"https://example.com/{number}", text(40))
        await database.generations.create(text(10), "m", 3.0, 44100, 2, f"{prefix}{number}.wav")
    project = await database.projects.add("film", "/w")
    for _ in range(7 * size):
        video = await database.videos.add(project.id, f"{text(3)}.mp4", "/v", 90.0, 25, 1, 9, 9)
        await database.project_clips.add(project.id, video.id, 0, 20)
    await database.execute_many(
        "INSERT INTO notes (text, rating, raw) VALUES (?, ?, ?)",
        [(text(80), number / 2, b"\1\0" * number) for number in range(12 * size)],
    )
    await database.execute_many(
        "INSERT INTO plays VALUES (?, ?, ?)",
        [(text(3) + prefix, f"{number:06}", number) for number in range(25 * size)],
    )
    await database.execute_many(
        "INSERT INTO scores VALUES (?, ?)",
        [(f"{prefix}{n} {text(3)}", n) for n in range(17 * size)],
    )
    await database.execute_many(
        "INSERT INTO diary VALUES (?, ?)", [(f"d{n}", text(60)) for n in range(5 * size)]
    )


class _SeededIds:
    """Rising ids as those of the library, the same for the same seed."""

    def __init__(self, choose: random.Random) -> None:
        self._choose = choose
        self._last = UUID("019c1378-d400-7000-8000-000000000000").int

    def next(self) -> UUID:
        self._last += self._choose.randrange(1, 2**40)
        return UUID(int=self._last)


class _TickingClock(FrozenClock):
    """A clock on which a millisecond passes whenever it is read."""

    def __call__(self) -> datetime:
        return self.advance(milliseconds=1)


def build(path: Path, seed: int, size: int) -> Path:
    """A database with pages of every kind at path, at rest; returns the same at an earlier moment.

    size: how many profiles it has; most tables grow with it.

    The bytes of both follow from the seed alone.
    """
    choose, earlier = random.Random(seed), path.with_name(f"{path.name}.earlier")
    clock = _TickingClock()

    async def run() -> None:
        async with reelbase.connect(
            path, journal="delete", durability="normal", clock=clock
        ) as database:
            for statement in _MADE_BY_SQLITE:
                await database.execute(statement)
            for statement in _OF_AN_APPLICATION.replace("\n  ", " ").strip().split(";\n"):
                await database.execute(statement.removesuffix(";"))
            await _fill(database, choose, "a", size)
        shutil.copy(path, earlier)
        with closing(sqlite3.connect(path, isolation_level=None)) as native:
            for statement in _DELETIONS:
                native.execute(statement)
        async with reelbase.connect(
            path, journal="delete", durability="normal", clock=clock
        ) as database:
            await _fill(database, choose, "b", size)

    with mock.patch.object(ids, "_sequence", _SeededIds(random.Random(seed))):
        asyncio.run(run())
    return earlier


class Truth(msgspec.Struct, frozen=True):
    """A sound database: its rows, the pages that each is on, and the names that a report may give it.

    kinds: the numbers of its pages, by what is on them.
    """

    rows: dict[str, Rows]
    pages: dict[str, dict[Key, set[int]]]
    names: dict[str, dict[Key, set[str]]]
    kinds: dict[str, list[int]]


def truth_of(path: Path) -> Truth:
    """By SQLite; only where a row lies is told by the reader of pages, which has tests of its own."""
    rows: dict[str, Rows] = {}
    places: dict[str, dict[Key, set[int]]] = {}
    names: dict[str, dict[Key, set[str]]] = {}
    with closing(sqlite3.connect(path)) as native, closing(PageFile(path)) as pages:
        for table, root in _tables(native):
            rows[table.name] = _rows(native, table)
            names[table.name] = {
                key: _names(table, key, row) for key, row in rows[table.name].items()
            }
            places[table.name] = dict(_places(pages, table, root))
            assert places[table.name].keys() == rows[table.name].keys()
    return Truth(rows, places, names, _pages_by_kind(path))


def rows_of(path: Path) -> dict[str, Rows]:
    """All rows of a database, by table and key."""
    with closing(sqlite3.connect(path)) as native:
        return {table.name: _rows(native, table) for table, _ in _tables(native)}


def _tables(native: sqlite3.Connection) -> list[tuple[Table, int]]:
    """The tables with rows of their own, and their root pages."""
    native.text_factory = lambda data: data.decode("utf-8", "replace")
    found = native.execute(
        "SELECT name, rootpage FROM sqlite_schema WHERE type = 'table' AND rootpage > 0"
        " AND name NOT LIKE 'sqlite%' AND name NOT IN (SELECT name FROM pragma_table_list"
        " WHERE type = 'shadow') OR name = 'diary_content'"
    ).fetchall()
    return [(Table(native, name), root) for name, root in found]


def _rows(native: sqlite3.Connection, table: Table) -> Rows:
    key = [table.alias or table.rowid] if table.has_rowid else table.key
    found = native.execute(f"SELECT {', '.join(key)}, * FROM {table.name}")
    return {
        row[0] if table.has_rowid else tuple(row[: len(key)]): tuple(row[len(key) :])
        for row in found
    }


def _names(table: Table, key: Key, row: tuple[object, ...]) -> set[str]:
    own = ", ".join(map(str, key)) if isinstance(key, tuple) else str(key)
    if table.has_rowid and table.alias is None and table.key:
        columns = [column.name for column in table.columns]
        values = dict(zip(columns, row, strict=False))
        return {f"row {own}", ", ".join(str(values[part]) for part in table.key)}
    return {own, f"row {own}"}


def _places(pages: PageFile, table: Table, root: int) -> Iterator[tuple[Key, set[int]]]:
    for page in pages.walk(root, pages.claims(), is_index=not table.has_rowid):
        assert isinstance(page, Page)
        for cell in page.cells:
            record = pages.record(page, cell, claims := pages.claims())
            assert record is not None
            key = cell.rowid if table.has_rowid else tuple(record.values[: len(table.key)])
            numbers = range(1, pages.page_count + 1) if cell.overflow else ()
            claimed = {number for number in numbers if claims.is_claimed(number)}
            yield key, {page.number} | claimed


# Damage. Each changes the page with the number, and returns the numbers of the pages that are not what
# they were. earlier: the file at an earlier moment.

Damage = Callable[[bytearray, int, bytes, random.Random], set[int]]


def _place(number: int) -> slice:
    return slice((number - 1) * PAGE, number * PAGE)


def zeros(content: bytearray, number: int, earlier: bytes, choose: random.Random) -> set[int]:
    content[_place(number)] = bytes(PAGE)
    return {number}


def noise(content: bytearray, number: int, earlier: bytes, choose: random.Random) -> set[int]:
    content[_place(number)] = choose.randbytes(PAGE)
    return {number}


def region(content: bytearray, number: int, earlier: bytes, choose: random.Random) -> set[int]:
    """A block of flash memory that is empty: pages one after the other."""
    last = min(number + choose.randrange(1, 16), len(content) // PAGE)
    content[_place(number).start : _place(last).stop] = bytes(PAGE * (last - number + 1))
    return set(range(number, last + 1))


def _flip(content: bytearray, number: int, most: int, choose: random.Random) -> set[int]:
    for _ in range(choose.randrange(1, 9)):
        content[(number - 1) * PAGE + choose.randrange(most)] ^= 1 << choose.randrange(8)
    return {number}


def flips(content: bytearray, number: int, earlier: bytes, choose: random.Random) -> set[int]:
    return _flip(content, number, PAGE, choose)


def flips_at_the_head(
    content: bytearray, number: int, earlier: bytes, choose: random.Random
) -> set[int]:
    """In the header of the page, and among the places of its cells."""
    return _flip(content, number, 60, choose)


def torn(content: bytearray, number: int, earlier: bytes, choose: random.Random) -> set[int]:
    """Some sectors are not written."""
    sector = 512 * choose.randrange(1, 8)
    place = _place(number)
    content[place.start + sector : place.stop] = bytes(PAGE - sector)
    return {number}


def mixed(content: bytearray, number: int, earlier: bytes, choose: random.Random) -> set[int]:
    """Some sectors are not written, and are as they were earlier."""
    sector = 512 * choose.randrange(1, 8)
    place = _place(number)
    past = earlier[place].ljust(PAGE, b"\0")
    if choose.random() < 0.5:
        content[place.start + sector : place.stop] = past[sector:]
    else:
        content[place.start : place.start + sector] = past[:sector]
    return {number}


def stale(content: bytearray, number: int, earlier: bytes, choose: random.Random) -> set[int]:
    """A write that never came to the disk: the page is as it was earlier."""
    content[_place(number)] = earlier[_place(number)].ljust(PAGE, b"\0")
    return {number}


def misdirected(content: bytearray, number: int, earlier: bytes, choose: random.Random) -> set[int]:
    """What belonged to another page earlier."""
    content[_place(number)] = earlier[_place(choose.randrange(2, len(earlier) // PAGE + 1))]
    return {number}


def doubled(content: bytearray, number: int, earlier: bytes, choose: random.Random) -> set[int]:
    """What belongs to another page, which has it, too."""
    content[_place(number)] = content[_place(choose.randrange(2, len(content) // PAGE + 1))]
    return {number}


def swapped(content: bytearray, number: int, earlier: bytes, choose: random.Random) -> set[int]:
    """Two pages, each in the place of the other."""
    other = choose.randrange(2, len(content) // PAGE + 1)
    page = content[_place(number)]
    content[_place(number)] = content[_place(other)]
    content[_place(other)] = page
    return {number, other}


# Damage that leaves a page plausible: what was on it may be another, and nothing tells.
BLIND: tuple[Damage, ...] = (
    flips,
    flips_at_the_head,
    torn,
    mixed,
    stale,
    misdirected,
    doubled,
    swapped,
)
PAGE_DAMAGES: tuple[Damage, ...] = (zeros, noise, region, *BLIND)


class Wreck(msgspec.Struct, frozen=True):
    """A damaged file. how: what was done to it, in words.  damaged: the pages that are not what they
    were.  is_blind: what is on them may be plausible."""

    how: str
    damaged: set[int]
    is_blind: bool


def damage_pages(path: Path, earlier: Path, sound: Truth, choose: random.Random) -> Wreck:
    """Damages one to three pages, of any kind."""
    damage = choose.choice(PAGE_DAMAGES)
    kinds = [numbers for numbers in sound.kinds.values() if numbers]
    chosen = {choose.choice(choose.choice(kinds)) for _ in range(choose.choice((1, 1, 1, 2, 3)))}
    content, past = bytearray(path.read_bytes()), earlier.read_bytes()
    damaged = set[int]().union(*(damage(content, number, past, choose) for number in chosen))
    path.write_bytes(content)
    return Wreck(f"{damage.__name__} {sorted(damaged)}", damaged, damage in BLIND)


def _pages_by_kind(path: Path) -> dict[str, list[int]]:
    kinds: dict[str, list[int]] = {"first": [1]}
    tree: set[int] = {1}
    with closing(sqlite3.connect(path)) as native:
        for name, kind, number in native.execute("SELECT name, pagetype, pageno FROM dbstat"):
            what = (
                "search"
                if "_fts_" in name or name.startswith(("diary", "notes_s"))
                else (
                    "index"
                    if "autoindex" in name or "_newest" in name or "_by_" in name
                    else "table"
                )
            )
            if name == "sqlite_schema":
                what = "schema"
            elif name.startswith("sqlite_") and "autoindex" not in name:
                what = "own"
            kinds.setdefault(f"{what} {kind}", []).append(number)
            tree.add(number)
    kinds["free"] = [n for n in range(1, path.stat().st_size // PAGE + 1) if n not in tree]
    return kinds


def damage_file(path: Path, earlier: Path, sound: Truth, choose: random.Random) -> Wreck:
    """Damages what is no page: the header, or the length of the file."""
    content = bytearray(path.read_bytes())
    pages = len(content) // PAGE
    what = choose.choice(["header", "field", "cut", "cut in a page", "longer"])
    if what == "header":
        content[:100] = choose.choice((bytes(100), choose.randbytes(100)))
        path.write_bytes(content)
        return Wreck(what, set(), False)
    if what == "field":
        at = choose.randrange(16, 97)
        content[at : at + 4] = choose.randbytes(4)
        path.write_bytes(content)
        return Wreck(f"{what} {at}", set(), False)
    if what == "longer":
        path.write_bytes(content + choose.randbytes(PAGE * choose.randrange(1, 4) + 7))
        return Wreck(what, set(), False)
    kept = choose.randrange(pages // 2, pages)
    os.truncate(path, kept * PAGE + (100 if what == "cut in a page" else 0))
    return Wreck(f"{what} {kept}", set(range(kept + 1, pages + 1)), False)


# What must hold afterwards.

_LOSS = re.compile(r"(\w+) (.+?): (.*)", re.DOTALL)
_RANGE = re.compile(r"(row )?(-?\d+) to (row )?(-?\d+) \([\d,]+ rows\)")
# Tables without an index: an older page in the place of one of their pages, of a leaf or above the leaves,
# is as valid, and nothing tells of the rows that it misses.
WITHOUT_WITNESS = {"profile_settings", "summary_prompt_versions", "diary_content"}
# What follows from other rows, and may change with them.
_FOLLOWS = {
    "jobs": (
        *("total", "completed", "progress", "status", "result", "error"),
        *("is_batch", "finished_at", "updated_at"),
    ),
    "profiles": ("active_llm_config_id",),
}


_COUNTED = re.compile(r" on [\d,]+ pages? \(([\d, to]+)\)")


def _counted_pages(sentences: list[str]) -> set[int]:
    """The pages whose rows are counted, because their table or their keys are unknown."""
    found = set[int]()
    for listed in _COUNTED.findall(" ".join(sentences)):
        for part in listed.split(", "):
            first, _, last = part.partition(" to ")
            found.update(range(int(first), int(last or first) + 1))
    return found


def judge(  # noqa: PLR0912  one look at each table
    before: Truth, after: dict[str, Rows], wreck: Wreck, report: reelbase.RepairReport
) -> list[str]:
    """What the repair does not hold to. Damage that leaves rows plausible cannot be seen."""
    damaged, is_blind = wreck.damaged, wreck.is_blind
    gone: dict[str, set[str]] = {}
    changed: dict[str, set[str]] = {}
    vague: set[str] = set()
    for sentence in report.lost:
        match = _LOSS.fullmatch(sentence)
        if match is None or match[1] not in before.rows:
            vague |= {sentence.split(":")[0], *re.findall(r"rows of (\w+)|or (\w+)", sentence)}
            continue
        table, what, why = match.groups()
        to = changed if why.startswith("kept") or " cleared" in why else gone
        names = to.setdefault(table, set())
        if found := _RANGE.fullmatch(what):
            label = found[1] or ""
            names |= {f"{label}{n}" for n in range(int(found[2]), int(found[4]) + 1)}
        else:
            names.add(what)
    counted = _counted_pages(report.lost) - damaged
    problems: list[str] = []
    for table, rows in before.rows.items():
        now = after.get(table, {})
        if table in DERIVED:
            continue
        if table not in after:  # its definition is lost
            problems += [
                f"{table} {key} is gone, and neither named nor counted"
                for key, places in before.pages[table].items()
                if not before.names[table][key] & gone.get(table, set())
                and not places & (counted | damaged)
            ]
            continue
        touched = {key for key, places in before.pages[table].items() if places & damaged}
        # It cannot be told whether they are of this table.
        told = {
            key
            for key, places in before.pages[table].items()
            if places & counted and not before.names[table][key] & gone.get(table, set())
        }
        is_vague, is_unseen = table in vague, is_blind and table in WITHOUT_WITNESS
        for key in rows.keys() - now.keys() - told:
            named = before.names[table][key] & gone.get(table, set())
            if not (named or is_unseen or (is_vague and key in touched)):
                problems.append(f"{table} {key} is gone, and not named")
        removed = [
            s for s in report.lost if s.startswith(f"{table} ") and ": removed, because" in s
        ]
        if not removed and not is_unseen:
            problems += [
                f"{table} {key} is gone, and was on no damaged page"
                for key in rows.keys() - now.keys() - touched - told
            ]
        for key in rows.keys() & now.keys():
            if rows[key] != now[key] and not before.names[table][key] & changed.get(table, set()):
                if is_blind and key in touched:
                    continue
                if _differs_in(table, rows[key], now[key]) <= set(_FOLLOWS.get(table, ())):
                    continue
                problems.append(f"{table} {key} is another, and not named")
        invented = now.keys() - rows.keys()
        if invented and not (table == "audit_log" and _are_deletions(now, invented)):
            problems.append(f"{table} has rows that it had not: {sorted(invented, key=str)[:5]}")
        lost = report.rows_lost.get(table, 0)
        # An older page may bring back rows that were deleted, and whose parents are not there.
        known = set().union(*before.names[table].values()) if rows else set[str]()
        lost -= len(gone.get(table, set()) - known) if is_blind else 0
        perhaps = len(gone.get(table, set()) & known) - lost
        absent = len(rows.keys() - now.keys() - told)
        if not lost <= absent <= lost + perhaps and not is_vague and not is_unseen:
            problems.append(
                f"{table} lacks {absent} rows, {lost} and perhaps {perhaps} are reported"
            )
    return problems


_columns: dict[str, list[str]] = {}


def _differs_in(table: str, left: tuple[object, ...], right: tuple[object, ...]) -> set[str]:
    if table not in _columns:
        with closing(sqlite3.connect(":memory:")) as native:
            native.executescript(reelbase.schema_sql())
            rows = native.execute(f"PRAGMA table_info({table})").fetchall()
            _columns[table] = [row[1] for row in rows]
    return {
        name
        for name, a, b in zip(_columns[table] or ["?"] * len(left), left, right, strict=False)
        if a != b
    }


def _are_deletions(rows: Rows, keys: set[Key]) -> bool:
    return all("DELETE" in rows[key] for key in keys)
