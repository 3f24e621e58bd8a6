"""Piccolo: tables and their objects, its SQLiteEngine, transactions that are IMMEDIATE.

It has no pool: each query outside a transaction, and each transaction, opens a connection and closes it,
so that the pragmas are set in a connection class of one's own, a connect argument. It converts what is
read by the type that a column was declared with: of a STRICT table's TEXT it makes no UUID, moment or
enum, so that ids and moments are read as text. It has no row values.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from piccolo.columns import (
    JSON,
    BigInt,
    DoublePrecision,
    ForeignKey,
    Serial,
    Text,
    Varchar,
)
from piccolo.columns import UUID as Uuid
from piccolo.engine.sqlite import SQLiteEngine, TransactionType
from piccolo.query.functions import Coalesce
from piccolo.table import Table

from bench.peers.data import moment_text
from bench.peers.interface import Durability, NewDownload, Peer, pragma_statements
from bench.peers.records import DownloadStatus


class _Connection(sqlite3.Connection):
    pragma_statements: ClassVar[Sequence[str]] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for statement in self.pragma_statements:
            self.execute(statement)


engine = SQLiteEngine(factory=_Connection)


def _now() -> str:
    return moment_text(datetime.now(UTC))


class Session(Table, tablename="sessions", db=engine):
    id = Varchar(length=None, primary_key=True)
    created_at = Text(default=_now)
    last_seen = Text(default=_now)


class Download(Table, tablename="downloads", db=engine):
    id = Uuid(primary_key=True)
    session_id = ForeignKey(Session)
    url = Text()
    status = Text(choices=DownloadStatus, default=DownloadStatus.QUEUED)
    format_id = Text(null=True, default=None)
    quality = Text(null=True, default=None)
    output_template = Text(null=True, default=None)
    filename = Text(null=True, default=None)
    filesize = BigInt(null=True, default=None)
    progress_percent = DoublePrecision(default=0.0)
    speed = Text(null=True, default=None)
    eta = Text(null=True, default=None)
    error_message = Text(null=True, default=None)
    created_at = Text(default=_now)
    started_at = Text(null=True, default=None)
    completed_at = Text(null=True, default=None)


class Transcript(Table, tablename="transcripts", db=engine):
    id = Uuid(primary_key=True)
    profile_id = Text()
    file_id = Uuid()
    text = Text()
    llm_explanation = Text(null=True, default=None)
    language = Text(null=True, default=None)
    created_at = Text(default=_now)


class Segment(Table, tablename="transcript_segments", db=engine):
    id = Serial(primary_key=True)
    transcript_id = ForeignKey(Transcript)
    speaker_id = BigInt(null=True, default=None)
    start_time = DoublePrecision()
    end_time = DoublePrecision()
    text = Text()
    confidence = DoublePrecision(null=True, default=None)
    words = JSON(null=True, default=None)


# 16 parameters each, of SQLite's 32766.
_ROWS_PER_INSERT = 1000


class Piccolo(Peer):
    packages = ("piccolo", "aiosqlite")

    async def open(self, path: Path, durability: Durability) -> None:
        engine.path = str(path)
        _Connection.pragma_statements = pragma_statements(durability)

    async def close(self) -> None:
        """There is nothing open."""

    async def get(self, download_id: UUID) -> Any:
        return await Download.objects().get(Download.id == download_id)

    async def newest(self, limit: int) -> Sequence[Any]:
        return await (
            Download.objects()
            .order_by(Download.created_at, Download.id, ascending=False)
            .limit(limit)
        )

    async def add(self, new: NewDownload) -> Any:
        download = _download(new)
        try:
            await download.save()
        except sqlite3.IntegrityError:  # what is not the session's absence comes again
            async with engine.transaction(transaction_type=TransactionType.immediate):
                await Session.insert(Session(id=new.session_id)).on_conflict(action="DO NOTHING")
                await download.save()
        return download

    async def add_many(self, new: Sequence[NewDownload]) -> None:
        async with engine.transaction(transaction_type=TransactionType.immediate):
            for first in range(0, len(new), _ROWS_PER_INSERT):
                some = new[first : first + _ROWS_PER_INSERT]
                await Download.insert(*map(_download, some))

    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        await Download.update(
            {
                Download.progress_percent: percent,
                Download.speed: speed,
                Download.eta: eta,
                Download.started_at: Coalesce(Download.started_at, _now()),
            }
        ).where(Download.id == download_id, Download.completed_at.is_null())

    async def grow(self, download_id: UUID) -> None:
        async with engine.transaction(transaction_type=TransactionType.immediate):
            download = await Download.objects().get(Download.id == download_id)
            download.filesize += 1
            await download.save([Download.filesize])

    async def claim(self, session_id: str) -> Any | None:
        oldest = (
            Download.select(Download.id)
            .where(Download.session_id == session_id, Download.status == DownloadStatus.QUEUED)
            .order_by(Download.created_at, Download.id)
            .limit(1)
        )
        rows = await (
            Download.update(
                {Download.status: DownloadStatus.EXTRACTING, Download.started_at: _now()}
            )
            .where(Download.id.is_in(oldest))
            .returning(*Download.all_columns())
        )
        return rows[0] if rows else None

    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        async with engine.transaction(transaction_type=TransactionType.immediate):
            for download_id in (first, second):
                await Download.update({Download.filesize: filesize}).where(
                    Download.id == download_id
                )

    async def scan(self, sql: str) -> int:
        (row,) = await Download.raw(sql)
        (count,) = row.values()
        return int(count)

    async def transcript(self, transcript_id: UUID) -> Any:
        return await Transcript.objects().get(Transcript.id == transcript_id)

    async def page(self, transcript_id: UUID, after: Any | None, limit: int) -> Sequence[Any]:
        segments = Segment.objects().where(Segment.transcript_id == transcript_id)
        if after is not None:
            segments = segments.where(
                Segment.start_time >= after.start_time,
                (Segment.start_time > after.start_time) | (Segment.id > after.id),
            )
        in_order = segments.order_by(Segment.start_time, Segment.id).limit(limit)
        return await in_order.output(load_json=True)


def _download(new: NewDownload) -> Download:
    return Download(
        id=new.id,
        session_id=new.session_id,
        url=new.url,
        format_id=new.format_id,
        quality=new.quality,
    )


PEER = Piccolo
