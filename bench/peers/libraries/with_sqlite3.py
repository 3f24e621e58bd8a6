"""The ceiling: plain synchronous sqlite3 on the loop's own thread. It blocks the loop; rows are tuples."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from bench.peers.data import moment_text
from bench.peers.interface import Durability, NewDownload, Peer, pragma_statements
from bench.peers.libraries import sql


class Sqlite3(Peer):
    packages = ()

    async def open(self, path: Path, durability: Durability) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
        for statement in pragma_statements(durability):
            self._connection.execute(statement)

    async def close(self) -> None:
        self._connection.close()

    async def get(self, download_id: UUID) -> Any:
        return self._connection.execute(sql.GET, (str(download_id),)).fetchone()

    async def newest(self, limit: int) -> Sequence[Any]:
        return self._connection.execute(sql.NEWEST, (limit,)).fetchall()

    async def add(self, new: NewDownload) -> Any:
        now = moment_text(datetime.now(UTC))
        parameters = sql.parameters(new, now)
        try:
            self._connection.execute(sql.ADD, parameters)
        except sqlite3.IntegrityError:  # what is not the session's absence comes again
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.execute(sql.ENSURE_SESSION, (new.session_id, now, now))
                self._connection.execute(sql.ADD, parameters)
            except BaseException:
                self._connection.rollback()
                raise
            self._connection.commit()
        download_id, session_id, url, format_id, quality, created_at = parameters
        asked_for = (download_id, session_id, url, "queued", format_id, quality)
        return (*asked_for, None, None, None, 0.0, None, None, None, created_at, None, None)

    async def add_many(self, new: Sequence[NewDownload]) -> None:
        now = moment_text(datetime.now(UTC))
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(sql.ADD, [sql.parameters(each, now) for each in new])
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()

    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        now = moment_text(datetime.now(UTC))
        self._connection.execute(sql.PROGRESS, (percent, speed, eta, now, str(download_id)))

    async def grow(self, download_id: UUID) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            row = self._connection.execute(sql.GET, (str(download_id),)).fetchone()
            self._connection.execute(sql.SET_FILESIZE, (row[8] + 1, str(download_id)))
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()

    async def claim(self, session_id: str) -> Any | None:
        now = moment_text(datetime.now(UTC))
        return self._connection.execute(sql.CLAIM, (now, session_id)).fetchone()

    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.execute(sql.SET_FILESIZE, (filesize, str(first)))
            self._connection.execute(sql.SET_FILESIZE, (filesize, str(second)))
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()

    async def scan(self, sql: str) -> int:
        return int(self._connection.execute(sql).fetchone()[0])

    async def transcript(self, transcript_id: UUID) -> Any:
        return self._connection.execute(sql.TRANSCRIPT, (str(transcript_id),)).fetchone()

    async def page(self, transcript_id: UUID, after: Any | None, limit: int) -> Sequence[Any]:
        if after is None:
            rows = self._connection.execute(sql.FIRST_PAGE, (str(transcript_id), limit))
        else:
            parameters = (str(transcript_id), after[3], after[0], limit)
            rows = self._connection.execute(sql.NEXT_PAGE, parameters)
        return [(*row[:7], None if row[7] is None else msgspec.json.decode(row[7])) for row in rows]


PEER = Sqlite3
