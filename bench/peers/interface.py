"""What every peer has to be able to do: the work of a downloader and of a transcript library.

A peer is written as its own documentation shows it, on the same schema with the same pragmas. It opens
as many connections as its users would, and gives back what its users would get: records, rows, models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal
from uuid import UUID

import msgspec

Durability = Literal["normal", "full"]

# What the library sets its writer to; not imported, so that a peer's process holds the peer alone.
PRAGMAS: dict[str, int | str] = {
    "busy_timeout": 5000,
    "foreign_keys": 1,
    "mmap_size": 0,
    "cell_size_check": 1,
    "temp_store": 2,
    "cache_size": -16384,
    "wal_autocheckpoint": 1000,
    "journal_size_limit": 64 * 1024 * 1024,
    "analysis_limit": 400,
}


class NewDownload(msgspec.Struct, frozen=True):
    """What a user asks for. The peer adds the status, the time, and the session if there is none."""

    id: UUID
    session_id: str
    url: str
    format_id: str | None
    quality: str | None


def pragmas(durability: Durability) -> dict[str, int | str]:
    """What every connection of every peer is set to."""
    return {**PRAGMAS, "synchronous": durability.upper()}


def pragma_statements(durability: Durability) -> list[str]:
    return [f"PRAGMA {name} = {value}" for name, value in pragmas(durability).items()]


class Peer(ABC):
    """packages: what pip calls the parts whose versions matter."""

    packages: ClassVar[tuple[str, ...]]

    @abstractmethod
    async def open(self, path: Path, durability: Durability) -> None:
        """Opens a file that has the schema and is in WAL mode."""

    @abstractmethod
    async def close(self) -> None:
        """Lets go of everything that open() made."""

    @abstractmethod
    async def get(self, download_id: UUID) -> Any:
        """The download, all 16 columns."""

    @abstractmethod
    async def newest(self, limit: int) -> Sequence[Any]:
        """The newest downloads: created_at DESC, id DESC."""

    @abstractmethod
    async def add(self, new: NewDownload) -> Any:
        """Stores a queued download, and its session unless there is one, durably; the download."""

    @abstractmethod
    async def add_many(self, new: Sequence[NewDownload]) -> None:
        """Stores queued downloads of one session that exists, all or none, durably."""

    @abstractmethod
    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        """Sets progress_percent, speed and eta, unless it has finished. A trigger sets the status."""

    @abstractmethod
    async def grow(self, download_id: UUID) -> None:
        """Reads the download and, in the same transaction, stores its filesize plus one."""

    @abstractmethod
    async def claim(self, session_id: str) -> Any | None:
        """Moves the session's oldest queued download to extracting and returns it; None: none is left.

        Oldest: by created_at, then id. No two callers get the same one.
        """

    @abstractmethod
    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        """Sets the filesize of two downloads, one after the other, in one transaction."""

    @abstractmethod
    async def scan(self, sql: str) -> int:
        """A slow query that gives one number."""

    @abstractmethod
    async def transcript(self, transcript_id: UUID) -> Any:
        """The transcript, all columns."""

    @abstractmethod
    async def page(self, transcript_id: UUID, after: Any | None, limit: int) -> Sequence[Any]:
        """The segments that follow a segment (None: the first), by start_time, then id; all columns.

        By keyset. after is what an earlier call gave; words come as a list.
        """
