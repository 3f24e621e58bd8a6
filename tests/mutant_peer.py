"""A peer that does everything wrong: what the bench has to find."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any
from uuid import UUID

from bench.peers.interface import Durability, NewDownload
from bench.peers.libraries import sql
from bench.peers.libraries.with_sqlite3 import Sqlite3


class Mutant(Sqlite3):
    """It tears units, loses updates and new rows, cannot be used after a cancel, and does not exit."""

    name = "mutant"

    async def open(self, path: Path, durability: Durability) -> None:
        await super().open(path, durability)
        self._was_cancelled = False
        threading.Thread(target=threading.Event().wait).start()

    async def add(self, new: NewDownload) -> Any:
        if self._was_cancelled:
            raise RuntimeError("unusable")
        row = await super().add(new)
        self._connection.execute("DELETE FROM downloads WHERE id = ?", (str(new.id),))
        return row

    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        pass

    async def grow(self, download_id: UUID) -> None:
        row = await self.get(download_id)
        await asyncio.sleep(0.001)
        self._connection.execute(sql.SET_FILESIZE, (row[8] + 1, str(download_id)))

    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        try:
            self._connection.execute(sql.SET_FILESIZE, (filesize, str(first)))
            await asyncio.sleep(0.002)
            self._connection.execute(sql.SET_FILESIZE, (filesize, str(second)))
        except asyncio.CancelledError:
            self._was_cancelled = True
            raise


PEER = Mutant
