"""The file that every contender gets a copy of: the same rows each time, from a seed."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import msgspec

import reelbase
from reelbase import File
from reelbase.engine.file.connections import ConnectionSettings
from reelbase.engine.statements.rows import decoder_for
from reelbase.repositories.files import FileRepository
from reelbase.repositories.jobs import JobRepository

PROFILE = "gallery"
_SEED = 20261121
_START = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
_IN_MEMORY = ("tmpfs", "ramfs")

Durability = Literal["normal", "full"]


class Sizes(msgspec.Struct, frozen=True):
    """How many rows there are, and how much one run of a contender does."""

    files: int = 5000
    gets: int = 200
    gathers: int = 25
    lists: int = 8
    writes_per_task: int = 8
    streamed: int = 1_000_000
    videos: int = 100_000
    transcribed: int = 1500  # recordings
    longest: int = 6500  # segments of the longest of them, of 4.5 hours
    turn_seconds: float = 8.0  # of waiting for turns, per line of the table


QUICK = Sizes(
    files=1200,
    gets=5,
    gathers=1,
    lists=1,
    writes_per_task=1,
    streamed=20_000,
    videos=500,
    transcribed=24,
    longest=600,
    turn_seconds=0.5,
)


class Stage:
    """A folder with the template in it, and what is known about its rows."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder = folder
        self.sizes = sizes
        self.files = [_file(random.Random(_SEED + number), number) for number in range(sizes.files)]
        self.jobs = [UUID(int=_id(random.Random(-1 - number), number)) for number in range(64)]
        self._template = folder / "template.db"
        self._numbers = count()
        asyncio.run(_create(self._template))
        self._fill()

    def copy(self) -> Path:
        """A database of a contender's own."""
        return Path(shutil.copy(self._template, self.folder / f"{next(self._numbers)}.db"))

    def newest(self, limit: int) -> list[File]:
        """What a list of the profile's files begins with."""
        return sorted(self.files, key=lambda file: (file.created_at, str(file.id)), reverse=True)[
            :limit
        ]

    def _fill(self) -> None:
        with closing(sqlite3.connect(self._template, isolation_level=None)) as native:
            native.execute("BEGIN")
            native.execute("INSERT INTO profiles (id) VALUES (?)", (PROFILE,))
            for file in self.files:
                bound = FileRepository._add.bind(msgspec.structs.asdict(file))
                native.execute(FileRepository._add.sql, bound).fetchone()
            for job in self.jobs:
                bound = JobRepository._add.bind(
                    {
                        "id": job,
                        "profile_id": PROFILE,
                        "parent_id": None,
                        "type": "transcribe",
                        "total": 1,
                        "params": {"file_id": str(self.files[0].id), "language": "ja"},
                        "priority": 0,
                        "max_attempts": 1,
                        "run_after": None,
                        "unique_key": None,
                        "since": None,
                        "after": [],
                        "now": _START,
                    }
                )
                native.execute(JobRepository._add.sql, bound).fetchone()
            native.execute("COMMIT")
            native.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


@contextmanager
def staged(sizes: Sizes, folder: Path | None = None) -> Iterator[Stage]:
    """A stage in a temporary folder on a disk: under folder, or where one is found."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder or disk()) as name:
        yield Stage(Path(name), sizes)


def disk() -> Path:
    """Not where a file is memory: there a durable commit would cost nothing."""
    usual = Path(tempfile.gettempdir())
    return Path.cwd() if reelbase.filesystem_of(usual).type in _IN_MEMORY else usual


def settings_for(path: Path) -> ConnectionSettings:
    """How the peers open their file: as the library does."""
    return ConnectionSettings(path=str(path), journal_mode="wal", busy_timeout_seconds=5.0)


def new_file(number: int) -> File:
    """The file that the number-th insert stores, as it is when an upload begins: nothing is known of
    its bytes. Id and time are those of the contenders."""
    file = _file(random.Random(_SEED - 1 - number), 1_000_000 + number)
    return msgspec.structs.replace(file, content_hash=None, source_url=None)


def records_of(row_type: type[msgspec.Struct], results: list[Any]) -> list[Any]:
    """Bare tuples as records, so that all results can be compared; records as they are."""
    if results and isinstance(results[0], tuple):
        return decoder_for(row_type, row_type.__struct_fields__)(results)
    return results


async def _create(path: Path) -> None:
    async with reelbase.connect(path, journal="wal"):
        pass


def _id(rng: random.Random, number: int) -> int:
    milliseconds = int(_START.timestamp() * 1000) + number
    return milliseconds << 80 | 7 << 76 | rng.getrandbits(12) << 64 | 2 << 62 | rng.getrandbits(62)


def _file(rng: random.Random, number: int) -> File:
    name = rng.choice(("Übung", "映画の夜", "holiday", "interview", "s01e07", "Лекция"))
    folder = rng.choice((None, "2026/summer", "uploads"))
    content_hash = f"{rng.getrandbits(256):064x}"
    return File(
        id=UUID(int=_id(rng, number)),
        profile_id=PROFILE,
        name=f"{name} {number}.mkv",
        path=f"media/{content_hash[:2]}/{content_hash[2:18]}.mkv",
        type=rng.choice(("video", "audio", None)),
        folder=folder,
        source_file_id=None,
        origin=rng.choice(("upload", "download")),
        size_bytes=rng.randrange(1, 2**36),
        content_type="video/x-matroska",
        content_hash=content_hash,
        source_url=None if folder else f"https://example.org/watch/{number}",
        created_at=_START + timedelta(milliseconds=137 * number + rng.randrange(100)),
    )
