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

from reelbase.engine.connection import _EVERY, _WRITER

Durability = Literal["normal", "full"]

BUSY_TIMEOUT_MS = 5000


class NewDownload(msgspec.Struct, frozen=True):
    """What a user asks for. The peer adds the status, the time, and the session if there is none."""

    id: UUID
    session_id: str
    url: str
    format_id: str | None
    quality: str | None


def pragmas(durability: Durability) -> dict[str, int | str]:
    """What every connection of every peer is set to: as the library sets its own."""
    return {
        "busy_timeout": BUSY_TIMEOUT_MS,
        **dict(_EVERY),
        **dict(_WRITER),
        "synchronous": durability.upper(),
    }


def pragma_statements(durability: Durability) -> list[str]:
    return [f"PRAGMA {name} = {value}" for name, value in pragmas(durability).items()]


class Peer(ABC):
    """name: as its users call it.  packages: what pip calls the parts whose versions matter."""

    name: ClassVar[str]
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
        """Sets progress_percent, speed and eta, and status to downloading, unless it has finished."""

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
