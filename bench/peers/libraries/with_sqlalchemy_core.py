"""SQLAlchemy Core on aiosqlite: Table objects by hand, connections from the engine's pool; Rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    func,
    insert,
    literal,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from bench.peers.interface import Durability, NewDownload, Peer
from bench.peers.libraries.sqlalchemy_engine import set_up, url, writing
from bench.peers.libraries.sqlalchemy_types import STATUS, Identifier, Moment
from bench.peers.records import DownloadStatus

_METADATA = MetaData()

sessions = Table(
    "sessions",
    _METADATA,
    Column("id", String, primary_key=True),
    Column("created_at", Moment, nullable=False),
    Column("last_seen", Moment, nullable=False),
)

downloads = Table(
    "downloads",
    _METADATA,
    Column("id", Identifier, primary_key=True),
    Column("session_id", ForeignKey("sessions.id"), nullable=False),
    Column("url", String, nullable=False),
    Column("status", STATUS, nullable=False),
    Column("format_id", String),
    Column("quality", String),
    Column("output_template", String),
    Column("filename", String),
    Column("filesize", Integer),
    Column("progress_percent", Float, nullable=False),
    Column("speed", String),
    Column("eta", String),
    Column("error_message", String),
    Column("created_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("completed_at", Moment),
)

transcripts = Table(
    "transcripts",
    _METADATA,
    Column("id", Identifier, primary_key=True),
    Column("profile_id", String, nullable=False),
    Column("file_id", Identifier, nullable=False),
    Column("text", String, nullable=False),
    Column("llm_explanation", String),
    Column("language", String),
    Column("created_at", Moment, nullable=False),
)

segments = Table(
    "transcript_segments",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("transcript_id", ForeignKey("transcripts.id"), nullable=False),
    Column("speaker_id", Integer),
    Column("start_time", Float, nullable=False),
    Column("end_time", Float, nullable=False),
    Column("text", String, nullable=False),
    Column("confidence", Float),
    Column("words", JSON(none_as_null=True)),
)


class SqlalchemyCore(Peer):
    packages = ("SQLAlchemy", "aiosqlite")

    async def open(self, path: Path, durability: Durability) -> None:
        self._engine = create_async_engine(url(path))
        set_up(self._engine, durability)
        self._writing = writing(self._engine)

    async def close(self) -> None:
        await self._engine.dispose()

    async def get(self, download_id: UUID) -> Any:
        async with self._engine.connect() as connection:
            result = await connection.execute(
                select(downloads).where(downloads.c.id == download_id)
            )
            return result.one()

    async def newest(self, limit: int) -> Sequence[Any]:
        async with self._engine.connect() as connection:
            result = await connection.execute(
                select(downloads)
                .order_by(downloads.c.created_at.desc(), downloads.c.id.desc())
                .limit(limit)
            )
            return result.all()

    async def add(self, new: NewDownload) -> Any:
        now = datetime.now(UTC)
        add = insert(downloads).values(_values(new, now)).returning(downloads)
        try:
            async with self._writing.begin() as connection:
                return (await connection.execute(add)).one()
        except IntegrityError:  # what is not the session's absence comes again
            async with self._writing.begin() as connection:
                await connection.execute(
                    sqlite.insert(sessions)
                    .values(id=new.session_id, created_at=now, last_seen=now)
                    .on_conflict_do_nothing(index_elements=[sessions.c.id])
                )
                return (await connection.execute(add)).one()

    async def add_many(self, new: Sequence[NewDownload]) -> None:
        now = datetime.now(UTC)
        async with self._writing.begin() as connection:
            await connection.execute(insert(downloads), [_values(each, now) for each in new])

    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        async with self._writing.begin() as connection:
            await connection.execute(
                update(downloads)
                .where(downloads.c.id == download_id, downloads.c.completed_at.is_(None))
                .values(
                    progress_percent=percent,
                    speed=speed,
                    eta=eta,
                    started_at=func.coalesce(
                        downloads.c.started_at, literal(datetime.now(UTC), Moment)
                    ),
                )
            )

    async def grow(self, download_id: UUID) -> None:
        async with self._writing.begin() as connection:
            result = await connection.execute(
                select(downloads).where(downloads.c.id == download_id)
            )
            await connection.execute(
                update(downloads)
                .where(downloads.c.id == download_id)
                .values(filesize=(result.one().filesize or 0) + 1)
            )

    async def claim(self, session_id: str) -> Any | None:
        oldest = (
            select(downloads.c.id)
            .where(
                downloads.c.session_id == session_id,
                downloads.c.status == DownloadStatus.QUEUED,
            )
            .order_by(downloads.c.created_at, downloads.c.id)
            .limit(1)
            .scalar_subquery()
        )
        async with self._writing.begin() as connection:
            result = await connection.execute(
                update(downloads)
                .where(downloads.c.id == oldest)
                .values(status=DownloadStatus.EXTRACTING, started_at=datetime.now(UTC))
                .returning(downloads)
            )
            return result.one_or_none()

    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        async with self._writing.begin() as connection:
            for download_id in (first, second):
                await connection.execute(
                    update(downloads).where(downloads.c.id == download_id).values(filesize=filesize)
                )

    async def scan(self, sql: str) -> int:
        async with self._engine.connect() as connection:
            result = await connection.execute(text(sql))
            return int(result.scalar_one())

    async def transcript(self, transcript_id: UUID) -> Any:
        async with self._engine.connect() as connection:
            result = await connection.execute(
                select(transcripts).where(transcripts.c.id == transcript_id)
            )
            return result.one()

    async def page(self, transcript_id: UUID, after: Any | None, limit: int) -> Sequence[Any]:
        query = select(segments).where(segments.c.transcript_id == transcript_id)
        if after is not None:
            query = query.where(
                tuple_(segments.c.start_time, segments.c.id) > (after.start_time, after.id)
            )
        async with self._engine.connect() as connection:
            result = await connection.execute(
                query.order_by(segments.c.start_time, segments.c.id).limit(limit)
            )
            return result.all()


def _values(new: NewDownload, now: datetime) -> dict[str, Any]:
    return {
        "id": new.id,
        "session_id": new.session_id,
        "url": new.url,
        "status": DownloadStatus.QUEUED,
        "format_id": new.format_id,
        "quality": new.quality,
        "created_at": now,
    }


PEER = SqlalchemyCore
