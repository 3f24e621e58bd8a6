"""The library itself, by its public API; what the API has no method for, by SQL of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import reelbase
from bench.peers.data import moment_text
from bench.peers.interface import Durability, NewDownload, Peer
from bench.peers.libraries import sql
from reelbase import Download


class Reelbase(Peer):
    packages = ("reelbase", "aiosqlite", "msgspec")

    async def open(self, path: Path, durability: Durability) -> None:
        self._database = await reelbase.connect(path, durability=durability)

    async def close(self) -> None:
        await self._database.close()

    async def get(self, download_id: UUID) -> Any:
        return await self._database.downloads.get(download_id)

    async def newest(self, limit: int) -> Sequence[Any]:
        return await self._database.downloads.list(limit=limit)

    async def add(self, new: NewDownload) -> Any:
        return await self._database.downloads.add(
            new.session_id, new.url, id=new.id, format_id=new.format_id, quality=new.quality
        )

    async def add_many(self, new: Sequence[NewDownload]) -> None:
        now = moment_text(datetime.now(UTC))
        await self._database.execute_many(sql.ADD, [sql.parameters(each, now) for each in new])

    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        await self._database.downloads.progress(download_id, percent, speed=speed, eta=eta)

    async def grow(self, download_id: UUID) -> None:
        async with self._database.transaction() as unit:
            download = await unit.downloads.get(download_id)
            filesize = (download.filesize or 0) + 1
            await unit.execute(sql.SET_FILESIZE, [filesize, str(download_id)])

    async def claim(self, session_id: str) -> Any | None:
        now = moment_text(datetime.now(UTC))
        return await self._database.fetch_optional(Download, sql.CLAIM, [now, session_id])

    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        async with self._database.transaction() as unit:
            await unit.execute(sql.SET_FILESIZE, [filesize, str(first)])
            await unit.execute(sql.SET_FILESIZE, [filesize, str(second)])

    async def scan(self, sql: str) -> int:
        return await self._database.fetch_one(int, sql)

    async def transcript(self, transcript_id: UUID) -> Any:
        return await self._database.transcripts.get(transcript_id)

    async def page(self, transcript_id: UUID, after: Any | None, limit: int) -> Sequence[Any]:
        return await self._database.segments.page(transcript_id, after=after, limit=limit)


PEER = Reelbase
