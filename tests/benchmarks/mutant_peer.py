"""Peers that do something wrong, which the bench has to find."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from bench.peers.interface import Durability, NewDownload
from bench.peers.libraries import sql
from bench.peers.libraries.with_sqlite3 import Sqlite3


class Mutant(Sqlite3):
    """It tears units, loses updates and new rows, cannot be used after a cancel, and does not exit."""

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


class StoresNoSession(Sqlite3):
    async def open(self, path: Path, durability: Durability) -> None:
        await super().open(path, durability)
        self._connection.execute("PRAGMA foreign_keys = 0")


class StoresOtherwise(StoresNoSession):
    """It answers as it should, but the file has another value."""

    def __init__(self, column: str, value: object) -> None:
        self._change = f"UPDATE downloads SET {column} = ? WHERE id = ?"
        self._value = value

    async def add(self, new: NewDownload) -> Any:
        row = await super().add(new)
        self._connection.execute(self._change, (self._value, str(new.id)))
        return row

    async def add_many(self, new: Sequence[NewDownload]) -> None:
        await super().add_many(new)
        for each in new:
            self._connection.execute(self._change, (self._value, str(each.id)))


class DropsTheLast(Sqlite3):
    async def add_many(self, new: Sequence[NewDownload]) -> None:
        await super().add_many(new[:-1])


class SwapsSessions(Sqlite3):
    async def add(self, new: NewDownload) -> Any:
        return await super().add(msgspec.structs.replace(new, session_id="another"))


class ReportsNothing(Sqlite3):
    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        pass


class ReportsOnce(Sqlite3):
    """Later reports of a download are dropped."""

    def __init__(self) -> None:
        self._reported: set[UUID] = set()

    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        if download_id not in self._reported:
            self._reported.add(download_id)
            await super().progress(download_id, percent, speed, eta)


class ClaimsTwice(Sqlite3):
    """Two callers get the same download."""

    def __init__(self) -> None:
        self._given: Any = None

    async def claim(self, session_id: str) -> Any | None:
        given, self._given = self._given, None
        if given is None:
            given = self._given = await super().claim(session_id)
        return given


class ClaimsTheNewest(Sqlite3):
    async def claim(self, session_id: str) -> Any | None:
        newest_first = sql.CLAIM.replace("ORDER BY created_at, id", "ORDER BY id DESC")
        return self._connection.execute(
            newest_first, ("2026-01-31T12:00:00.000Z", session_id)
        ).fetchone()


class ClaimsBackwards(Sqlite3):
    """The oldest sixteen, the newest of them first."""

    def __init__(self) -> None:
        self._waiting: list[Any] = []

    async def claim(self, session_id: str) -> Any | None:
        if not self._waiting:
            self._waiting = [await Sqlite3.claim(self, session_id) for _ in range(16)]
        return self._waiting.pop()


class ClaimsNothing(Sqlite3):
    async def claim(self, session_id: str) -> Any | None:
        return None


class ForgetsClaims(Sqlite3):
    """The file does not show the claim, though nobody else gets the download."""

    async def claim(self, session_id: str) -> Any | None:
        row = await super().claim(session_id)
        assert row is not None
        self._connection.execute("UPDATE downloads SET started_at = NULL WHERE id = ?", row[:1])
        return row


class ScansNothing(Sqlite3):
    async def scan(self, sql: str) -> int:
        return 0


PEER = Mutant
