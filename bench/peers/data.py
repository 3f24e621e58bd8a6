"""The file that every peer gets a copy of, and what is known about its rows."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from uuid import UUID

import msgspec

from bench.peers.interface import NewDownload
from bench.peers.records import Download, DownloadStatus, Segment

PROFILE = "library"
_SEED = 20261121
_START = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
_SESSIONS = 50
# The number of the first download that is added while the clock runs.
_NEW = 1_000_000_000

_ADD_SESSION = "INSERT INTO sessions (id) VALUES (?)"
_ADD_DOWNLOAD = """
INSERT INTO downloads (
  id, session_id, url, status, format_id, quality, output_template, filename, filesize,
  progress_percent, speed, eta, error_message, created_at, started_at, completed_at
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class Sizes(msgspec.Struct, frozen=True):
    """How many rows there are, and how much one run of a peer does."""

    downloads: int = 5000
    segments: int = 6500  # of one recording of 4.5 hours
    gets: int = 200
    gathers: int = 10  # times 32 gets
    lists: int = 20  # of 100; a fifth as many of 1000
    page: int = 500
    inserts: int = 50
    writes_per_task: int = 8
    bulk: int = 10_000
    claims_per_worker: int = 16
    latencies: int = 500
    footprints: int = 5
    loads: int = 5  # as many operations each as the next number says
    load: int = 512


QUICK = Sizes(
    downloads=1200,
    segments=60,
    gets=5,
    gathers=1,
    lists=5,
    page=25,
    inserts=2,
    writes_per_task=1,
    bulk=100,
    claims_per_worker=2,
    latencies=20,
    footprints=1,
    loads=1,
    load=32,
)


class Data:
    """The rows, the same from the same sizes in every process."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.downloads = [_download(number) for number in range(sizes.downloads)]
        self.downloading = [
            download for download in self.downloads if download.status is DownloadStatus.DOWNLOADING
        ]
        self.transcript_id = id_of(0)
        self.transcript_text = "What was said. " * 200

    def newest(self, limit: int) -> list[Download]:
        return sorted(self.downloads, key=lambda row: (row.created_at, str(row.id)), reverse=True)[
            :limit
        ]

    def segments(self) -> list[Segment]:
        """Of the one transcript, in order."""
        rng = random.Random(_SEED)
        return [
            Segment(
                id=number + 1,
                transcript_id=self.transcript_id,
                speaker_id=None,
                start_time=number * 2.5,
                end_time=number * 2.5 + 2.4,
                text=f"sentence {number} " + "と言いました " * rng.randint(1, 4),
                confidence=0.9,
                words=[
                    {"word": "sentence", "start": number * 2.5, "end": number * 2.5 + 0.4},
                    {"word": str(number), "start": number * 2.5 + 0.5, "end": number * 2.5 + 0.9},
                ],
            )
            for number in range(self.sizes.segments)
        ]

    def new_downloads(self, first: int, count: int, session_id: str) -> list[NewDownload]:
        """Those with the numbers from first on; none of them is in the file."""
        return [
            NewDownload(
                id=id_of(_NEW + number),
                session_id=session_id,
                url=f"https://example.org/watch/{number}",
                format_id=None if number % 3 else "137+140",
                quality="1080p",
            )
            for number in range(first, first + count)
        ]


class Template:
    """The file in a folder, of which every peer gets a copy of its own."""

    def __init__(self, data: Data, folder: Path) -> None:
        self.data = data
        self.path = folder / "template.db"
        self._folder = folder
        self._numbers = count()

    async def create(self) -> None:
        import reelbase  # noqa: PLC0415 - a peer's process imports this module, and no other library

        async with reelbase.connect(self.path, journal="wal", durability="normal") as database:
            await database.profiles.ensure(PROFILE)
            file = await database.files.add(PROFILE, "talk.mp4", "talk.mp4")
            await database.transcripts.add(
                PROFILE,
                file.id,
                self.data.transcript_text,
                id=self.data.transcript_id,
                language="ja",
            )
            await database.segments.replace_all(
                self.data.transcript_id,
                [
                    reelbase.NewSegment(
                        segment.start_time,
                        segment.end_time,
                        segment.text,
                        confidence=segment.confidence,
                        words=segment.words,
                    )
                    for segment in self.data.segments()
                ],
            )
        with closing(sqlite3.connect(self.path, isolation_level=None)) as native:
            native.execute("BEGIN")
            native.executemany(_ADD_SESSION, [(session(number),) for number in range(_SESSIONS)])
            native.executemany(
                _ADD_DOWNLOAD, (tuple(_stored(each)) for each in self.data.downloads)
            )
            native.execute("COMMIT")
            native.execute("ANALYZE")
            native.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def grow(self, path: Path, numbers: range) -> None:
        """Stores the downloads of these numbers, like the known ones but for the id and the session."""
        known = [tuple(_stored(each)) for each in self.data.downloads]
        with closing(sqlite3.connect(path, isolation_level=None)) as native:
            native.execute("PRAGMA cache_size = -262144")
            native.execute("BEGIN")
            native.executemany(
                _ADD_DOWNLOAD,
                (
                    (str(id_of(number)), session(number), *known[number % len(known)][2:])
                    for number in numbers
                ),
            )
            native.execute("COMMIT")
            native.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def copy(self) -> Path:
        return Path(shutil.copy(self.path, self._folder / f"{next(self._numbers)}.db"))


def session(number: int) -> str:
    return f"session-{number % _SESSIONS:04}"


def moment_text(moment: datetime) -> str:
    """As the schema stores it: UTC, milliseconds, Z."""
    return (
        moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
    )


def _stored(download: Download) -> Iterator[object]:
    for value in msgspec.structs.astuple(download):
        if isinstance(value, datetime):
            yield moment_text(value)
        elif isinstance(value, UUID | DownloadStatus):
            yield str(value)
        else:
            yield value


def id_of(number: int) -> UUID:
    """The id of the number-th download: a UUIDv7, its random part made of the number."""
    milliseconds = int(_START.timestamp() * 1000) + number
    high, low = number * 0x9E37 & 0xFFF, number * 0x9E3779B97F4A7C15 & (1 << 62) - 1
    return UUID(int=milliseconds << 80 | 7 << 76 | high << 64 | 2 << 62 | low)


def _download(number: int) -> Download:
    rng = random.Random(_SEED + number)
    status = rng.choice(list(DownloadStatus))
    created = _START + timedelta(milliseconds=137 * number + rng.randrange(100))
    is_started = status is not DownloadStatus.QUEUED
    is_finished = not status.is_active
    is_running = status is DownloadStatus.DOWNLOADING
    return Download(
        id=id_of(number),
        session_id=session(number),
        url=f"https://example.org/watch?v={rng.getrandbits(64):016x}",
        status=status,
        format_id=rng.choice((None, "137+140", "22")),
        quality=rng.choice((None, "1080p", "best")),
        output_template="%(title)s.%(ext)s",
        filename=f"映画 {number}.mkv" if is_started else None,
        filesize=rng.randrange(1, 2**36) if is_started else 0,
        progress_percent=100.0 if status is DownloadStatus.COMPLETED else 0.0,
        speed="3.1MiB/s" if is_running else None,
        eta="00:42" if is_running else None,
        error_message="HTTP 403" if status is DownloadStatus.FAILED else None,
        created_at=created,
        started_at=created + timedelta(seconds=1) if is_started else None,
        completed_at=created + timedelta(seconds=60) if is_finished else None,
    )
