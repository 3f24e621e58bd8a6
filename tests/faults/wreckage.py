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
from pathlib import Path

import msgspec

import reelbase
from reelbase.operations.salvage.accounts import DERIVED
from reelbase.operations.salvage.pages import Page, PageFile
from reelbase.operations.salvage.tables import Table

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


# Some rows leave their pages behind, with their bytes still on them.
_DELETIONS = (
    "PRAGMA secure_delete = OFF",
    "PRAGMA foreign_keys = ON",
    "DELETE FROM profiles WHERE id IN ('a3', 'a7')",
    "DELETE FROM notes WHERE id % 5 = 0",
    "INSERT INTO notes_search (notes_search) VALUES ('rebuild')",
    "DELETE FROM generations WHERE rowid % 3 > 0",
)


async def _fill(database: reelbase.Database, choose: random.Random, prefix: str) -> None:
    def text(most: int) -> str:
        return " ".join(f"w{choose.randrange(5000)}" for _ in range(choose.randrange(1, most)))

    for number in range(12):
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
    for number in range(60):
        await database.downloads.add_many(
            f"{prefix}s{number}", [f"https://example.com/{text(5)}" for _ in range(3)]
        )
        await database.error_log.add(f"https://example.com/{number}", text(40))
        await database.generations.create(text(10), "m", 3.0, 44100, 2, f"{prefix}{number}.wav")
    project = await database.projects.add("film", "/w")
    for _ in range(80):
        video = await database.videos.add(project.id, f"{text(3)}.mp4", "/v", 90.0, 25, 1, 9, 9)
        await database.project_clips.add(project.id, video.id, 0, 20)
    await database.execute_many(
        "INSERT INTO notes (text, rating, raw) VALUES (?, ?, ?)",
        [(text(80), number / 2, b"\1\0" * number) for number in range(150)],
    )
    await database.execute_many(
        "INSERT INTO plays VALUES (?, ?, ?)",
        [(text(3) + prefix, f"{number:06}", number) for number in range(300)],
    )
    await database.execute_many(
        "INSERT INTO scores VALUES (?, ?)", [(f"{prefix}{n} {text(3)}", n) for n in range(200)]
    )
    await database.execute_many(
        "INSERT INTO diary VALUES (?, ?)", [(f"d{n}", text(60)) for n in range(60)]
    )


def build(path: Path, seed: int) -> Path:
    """A database with pages of every kind at path, at rest; returns the same at an earlier moment."""
    choose, earlier = random.Random(seed), path.with_name(f"{path.name}.earlier")

    async def run() -> None:
        async with reelbase.connect(path, journal="delete", durability="normal") as database:
            for statement in _OF_AN_APPLICATION.replace("\n  ", " ").strip().split(";\n"):
                await database.execute(statement.removesuffix(";"))
            await _fill(database, choose, "a")
        shutil.copy(path, earlier)
        with closing(sqlite3.connect(path, isolation_level=None)) as native:
            for statement in _DELETIONS:
                native.execute(statement)
        async with reelbase.connect(path, journal="delete", durability="normal") as database:
            await _fill(database, choose, "b")

    asyncio.run(run())
    return earlier


class Truth(msgspec.Struct, frozen=True):
    """A sound database: its rows, and the pages that each is on."""

    rows: dict[str, Rows]
    pages: dict[str, dict[Key, set[int]]]
    names: dict[str, dict[Key, set[str]]]


def truth_of(path: Path) -> Truth:
    """By SQLite; only where a row lies is told by the reader of pages, which has tests of its own."""
    rows: dict[str, Rows] = {}
    places: dict[str, dict[Key, set[int]]] = {}
    names: dict[str, dict[Key, set[str]]] = {}
    with closing(sqlite3.connect(path)) as native, closing(PageFile(path)) as pages:
        native.text_factory = lambda data: data.decode("utf-8", "replace")
        for name, root in native.execute(
            "SELECT name, rootpage FROM sqlite_schema WHERE type = 'table' AND rootpage > 0"
            " AND name NOT LIKE 'sqlite%' AND name NOT IN (SELECT name FROM pragma_table_list"
            " WHERE type = 'shadow') OR name = 'diary_content'"
        ).fetchall():
            table = Table(native, name)
            key = [table.alias or table.rowid] if table.has_rowid else table.key
            found: Rows = {}
            names[name] = {}
            for row in native.execute(f"SELECT {', '.join(key)}, * FROM {name}"):
                at = row[0] if table.has_rowid else tuple(row[: len(key)])
                found[at] = tuple(row[len(key) :])
                own = ", ".join(map(str, row[: len(key)]))
                names[name][at] = {own, f"row {own}"}
                if table.has_rowid and table.alias is None and table.key:
                    columns = [column.name for column in table.columns]
                    values = dict(zip(columns, row[len(key) :], strict=False))
                    names[name][at] |= {", ".join(str(values[part]) for part in table.key)}
                    names[name][at] -= {own}
            rows[name] = found
            places[name] = dict(_places(pages, table, root))
            assert places[name].keys() == found.keys()
    return Truth(rows, places, names)


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


# Damage. Each returns the numbers of the pages that are not what they were.

Damage = Callable[[bytes, random.Random, Path], bytes]


def zeros(page: bytes, choose: random.Random, earlier: Path) -> bytes:
    return b"\0" * len(page)


def noise(page: bytes, choose: random.Random, earlier: Path) -> bytes:
    return choose.randbytes(len(page))


def flips(page: bytes, choose: random.Random, earlier: Path) -> bytes:
    changed = bytearray(page)
    for _ in range(choose.randrange(1, 9)):
        changed[choose.randrange(len(page))] ^= 1 << choose.randrange(8)
    return bytes(changed)


def torn(page: bytes, choose: random.Random, earlier: Path) -> bytes:
    """Some sectors are not written."""
    sector = 512 * choose.randrange(1, 8)
    return page[:sector] + b"\0" * (len(page) - sector)


def misdirected(page: bytes, choose: random.Random, earlier: Path) -> bytes:
    """What belongs to another page."""
    content = earlier.read_bytes()
    at = PAGE * choose.randrange(1, len(content) // PAGE)
    return content[at : at + PAGE]


PAGE_DAMAGES: tuple[Damage, ...] = (zeros, noise, flips, torn, misdirected)


def damage_pages(path: Path, earlier: Path, choose: random.Random) -> tuple[str, set[int]]:
    """Damages one to three pages, of any kind; what was done, and to which pages."""
    number_of_pages = path.stat().st_size // PAGE
    damage = choose.choice([*PAGE_DAMAGES, stale])
    kinds = [numbers for numbers in _pages_by_kind(path).values() if numbers]
    chosen = {choose.choice(choose.choice(kinds)) for _ in range(choose.choice((1, 1, 1, 2, 3)))}
    content = bytearray(path.read_bytes())
    for number in chosen:
        at = (number - 1) * PAGE
        page = bytes(content[at : at + PAGE])
        if damage is stale:
            changed = earlier.read_bytes()[at : at + PAGE].ljust(PAGE, b"\0")
        else:
            changed = damage(page, choose, earlier)
        content[at : at + PAGE] = changed
    path.write_bytes(content)
    assert len(content) == number_of_pages * PAGE
    return f"{damage.__name__} {sorted(chosen)}", chosen


def stale(page: bytes, choose: random.Random, earlier: Path) -> bytes:
    """A write that never came to the disk: the page is as it was earlier."""
    raise NotImplementedError


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
            if name.startswith("sqlite_"):
                what = "own"
            kinds.setdefault(f"{what} {kind}", []).append(number)
            tree.add(number)
    kinds["free"] = [n for n in range(1, path.stat().st_size // PAGE + 1) if n not in tree]
    return kinds


def damage_file(path: Path, earlier: Path, choose: random.Random) -> tuple[str, set[int]]:
    """Damages what is no page: the header, or the length of the file."""
    content = bytearray(path.read_bytes())
    pages = len(content) // PAGE
    what = choose.choice(["header", "field", "cut", "cut in a page", "longer"])
    if what == "header":
        content[:100] = choose.choice((b"\0" * 100, choose.randbytes(100)))
        path.write_bytes(content)
        return what, set()
    if what == "field":
        at = choose.randrange(16, 100)
        content[at : at + 4] = choose.randbytes(4)
        path.write_bytes(content[: pages * PAGE])
        return f"{what} {at}", set()
    if what == "longer":
        path.write_bytes(content + choose.randbytes(PAGE * choose.randrange(1, 4) + 7))
        return what, set()
    kept = choose.randrange(pages // 2, pages)
    os.truncate(path, kept * PAGE + (100 if what == "cut in a page" else 0))
    return f"{what} {kept}", set(range(kept + 1, pages + 1))


# What must hold afterwards.

_LOSS = re.compile(r"(\w+) (.+?): (.*)", re.DOTALL)
_RANGE = re.compile(r"(row )?(-?\d+) to (row )?(-?\d+) \([\d,]+ rows\)")
# Tables without an index: an older page in the place of one of their pages, of a leaf or above the leaves,
# is as valid, and nothing tells of the rows that it misses.
WITHOUT_WITNESS = {"profile_settings", "summary_prompt_versions", "diary_content"}
# What follows from other rows, and may change with them.
_FOLLOWS = {
    "jobs": ("total", "completed", "progress", "status", "result", "finished_at", "updated_at"),
    "profiles": ("active_llm_config_id",),
}


def judge(  # noqa: PLR0912  one look at each table
    before: Truth, damaged: set[int], after: Truth, report: reelbase.RepairReport, *, is_blind: bool
) -> list[str]:
    """What the repair does not hold to. is_blind: damage that leaves rows plausible cannot be seen."""
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
    is_schema_told_of = any(text.startswith("definitions of") for text in report.lost)
    problems: list[str] = []
    for table, rows in before.rows.items():
        now = after.rows.get(table, {})
        # Where a table's definition was is not told by its rows.
        is_unknown = table not in after.rows and is_schema_told_of
        if table in DERIVED or is_unknown:
            continue
        touched = {key for key, places in before.pages[table].items() if places & damaged}
        is_vague, is_unseen = table in vague, is_blind and table in WITHOUT_WITNESS
        for key in rows.keys() - now.keys():
            named = before.names[table][key] & gone.get(table, set())
            if not (named or is_unseen or (is_vague and key in touched)):
                problems.append(f"{table} {key} is gone, and not named")
        removed = [
            s for s in report.lost if s.startswith(f"{table} ") and ": removed, because" in s
        ]
        if not removed and not is_unseen:
            problems += [
                f"{table} {key} is gone, and was on no damaged page"
                for key in rows.keys() - now.keys() - touched
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
        absent = len(rows.keys() - now.keys())
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
