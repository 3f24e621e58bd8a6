"""Databases of other applications, made from SQL; and how a test looks at what has become of them."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from samples import CASES, quoted

import reelbase
from reelbase import Database, ImportReport, Secrets

HERE = Path(__file__).parent / "databases"
EXPECTED: dict[str, dict[str, dict[str, int]]] = msgspec.json.decode(
    (HERE / "expected.json").read_bytes()
)
NAMES = tuple(EXPECTED)
PARTS = ("read", "imported", "adjusted", "rejected", "no_home")
SECRETS = Secrets(b"k" * 32)
# Keys of records that the repositories find by one key; the others are read by their owners.
_KEYS = {case.table: case for case in CASES}


def old_database(name: str, folder: Path) -> Path:
    """The database of that name, in the folder: a file of SQLite, or of opentranscribe the dump."""
    script = HERE / f"{name}.sql"
    if name == "opentranscribe":
        path = folder / "old.sql"
        shutil.copyfile(script, path)
        return path
    path = folder / "old.db"
    with closing(sqlite3.connect(path)) as native:
        native.executescript(script.read_text("utf-8"))
    return path


def imported(old: Path, new: Path, application: str | None = None, **options: Any) -> ImportReport:
    """What import_from() says."""
    return asyncio.run(reelbase.import_from(application, old, new, **options))


def counts(report: ImportReport) -> dict[str, dict[str, int]]:
    return {part: getattr(report, part) for part in PARTS}


def rejects(new: Path) -> list[dict[str, Any]]:
    """The lines of the file of rejects; [] when there is none."""
    path = Path(f"{new}.rejects.ndjson")
    return (
        [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
        if path.exists()
        else []
    )


def digest(folder: Path) -> dict[str, str]:
    """The files of a folder, by name."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def rows_of(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as native:
        return native.execute(sql).fetchall()


def read_back(path: Path) -> dict[str, int]:
    """Reads every row through its repository, after check(full=True); the numbers, by table."""
    return asyncio.run(_read_back(path))


async def _read_back(path: Path) -> dict[str, int]:
    async with reelbase.connect(path, secrets=SECRETS) as database:
        health = await database.check(full=True)
        assert health.problems == []
        found = {}
        for table, case in _KEYS.items():
            keys = await database.fetch_all(
                tuple, f"SELECT {quoted(case.key_field)} FROM {quoted(table)}"
            )
            repository = getattr(database, case.attribute)
            for (key,) in keys:
                assert await getattr(repository, case.find)(key) is not None, (table, key)
            found[table] = len(keys)
        found |= await _without_a_key(database)
    return found


async def _without_a_key(database: Database) -> dict[str, int]:
    """The rows of tables that belong to others, or are lists."""
    names = (
        "media_info",
        "file_processing",
        "file_tags",
        "collection_files",
        "transcript_segments",
        "profile_settings",
        "summary_prompt_versions",
    )
    found: dict[str, int] = dict.fromkeys(names, 0)
    for file in await database.files.list(limit=None):
        found["media_info"] += await database.media_info.find(file.id) is not None
        found["file_processing"] += await database.file_processing.find(file.id) is not None
        found["file_tags"] += len(await database.tags.for_file(file.id))
    for (id,) in await database.fetch_all(tuple, "SELECT id FROM file_collections"):
        found["collection_files"] += len(await database.collections.page(id, limit=None))
    for (id,) in await database.fetch_all(tuple, "SELECT id FROM transcripts"):
        found["transcript_segments"] += len(await database.segments.list_for_transcript(id))
    for (id,) in await database.fetch_all(tuple, "SELECT id FROM profiles"):
        found["profile_settings"] += len(await database.settings.all(id))
    for (id,) in await database.fetch_all(tuple, "SELECT id FROM summary_prompts"):
        found["summary_prompt_versions"] += len(await database.summary_prompts.versions(id))
    found["config"] = len(await database.config.all())
    found["error_log"] = len(await database.error_log.list(limit=None))
    found["unsupported_urls"] = len(await database.unsupported_urls.list(limit=None))
    found["prompts"] = len(await database.prompts.most_used(limit=None))
    found["audit_log"] = len(await database.audit.list(limit=None))
    return found
