"""SQLModel: its models are those of SQLAlchemy and of pydantic; its AsyncSession, and exec() for all.

Engine, session maker, types and statements beyond select() are SQLAlchemy's, as its documentation says.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlmodel import (
    JSON,
    Field,
    SQLModel,
    col,
    func,
    insert,
    literal,
    select,
    text,
    tuple_,
    update,
)
from sqlmodel.ext.asyncio.session import AsyncSession

from bench.peers.interface import Durability, NewDownload, Peer
from bench.peers.libraries.sqlalchemy_engine import set_up, url, writing
from bench.peers.libraries.sqlalchemy_types import STATUS, Identifier, Moment
from bench.peers.records import DownloadStatus


class Session(SQLModel, table=True):
    __tablename__ = "sessions"

    id: str = Field(primary_key=True)
    created_at: datetime = Field(sa_type=Moment)
    last_seen: datetime = Field(sa_type=Moment)


class Download(SQLModel, table=True):
    __tablename__ = "downloads"

    id: UUID = Field(primary_key=True, sa_type=Identifier)
    session_id: str = Field(foreign_key="sessions.id")
    url: str
    status: DownloadStatus = Field(default=DownloadStatus.QUEUED, sa_type=STATUS)
    format_id: str | None = None
    quality: str | None = None
    output_template: str | None = None
    filename: str | None = None
    filesize: int | None = None
    progress_percent: float = 0.0
    speed: str | None = None
    eta: str | None = None
    error_message: str | None = None
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC), sa_type=Moment)
    started_at: datetime | None = Field(default=None, sa_type=Moment)
    completed_at: datetime | None = Field(default=None, sa_type=Moment)


class Transcript(SQLModel, table=True):
    __tablename__ = "transcripts"

    id: UUID = Field(primary_key=True, sa_type=Identifier)
    profile_id: str
    file_id: UUID = Field(sa_type=Identifier)
    text: str
    llm_explanation: str | None = None
    language: str | None = None
    created_at: datetime = Field(sa_type=Moment)


class Segment(SQLModel, table=True):
    __tablename__ = "transcript_segments"

    id: int | None = Field(default=None, primary_key=True)
    transcript_id: UUID = Field(foreign_key="transcripts.id", sa_type=Identifier)
    speaker_id: int | None = None
    start_time: float
    end_time: float
    text: str
    confidence: float | None = None
    words: list[Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))


class Sqlmodel(Peer):
    packages = ("sqlmodel", "SQLAlchemy", "pydantic", "aiosqlite")

    async def open(self, path: Path, durability: Durability) -> None:
        self._engine = create_async_engine(url(path))
        set_up(self._engine, durability)
        self._session = async_sessionmaker(
            self._engine, class_=AsyncSession, expire_on_commit=False
        )
        self._writing = async_sessionmaker(
            writing(self._engine), class_=AsyncSession, expire_on_commit=False
        )

    async def close(self) -> None:
        await self._engine.dispose()

    async def get(self, download_id: UUID) -> Any:
        async with self._session() as session:
            return await session.get_one(Download, download_id)

    async def newest(self, limit: int) -> Sequence[Any]:
        async with self._session() as session:
            found = await session.exec(
                select(Download)
                .order_by(col(Download.created_at).desc(), col(Download.id).desc())
                .limit(limit)
            )
            return found.all()

    async def add(self, new: NewDownload) -> Any:
        download = Download(
            id=new.id,
            session_id=new.session_id,
            url=new.url,
            format_id=new.format_id,
            quality=new.quality,
        )
        try:
            async with self._writing.begin() as session:
                session.add(download)
        except IntegrityError:  # what is not the session's absence comes again
            now = datetime.now(UTC)
            async with self._writing.begin() as session:
                await session.exec(
                    sqlite.insert(Session)
                    .values(id=new.session_id, created_at=now, last_seen=now)
                    .on_conflict_do_nothing(index_elements=[col(Session.id)])
                )
                session.add(download)
        return download

    async def add_many(self, new: Sequence[NewDownload]) -> None:
        now = datetime.now(UTC)
        async with self._writing.begin() as session:
            await session.exec(
                insert(Download),
                params=[
                    {
                        "id": each.id,
                        "session_id": each.session_id,
                        "url": each.url,
                        "status": DownloadStatus.QUEUED,
                        "format_id": each.format_id,
                        "quality": each.quality,
                        "progress_percent": 0.0,
                        "created_at": now,
                    }
                    for each in new
                ],
                # Else rows with a NULL and rows without would be inserted by statements of their own.
                execution_options={"render_nulls": True},
            )

    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        async with self._writing.begin() as session:
            await session.exec(
                update(Download)
                .where(col(Download.id) == download_id, col(Download.completed_at).is_(None))
                .values(
                    progress_percent=percent,
                    speed=speed,
                    eta=eta,
                    started_at=func.coalesce(
                        Download.started_at, literal(datetime.now(UTC), Moment)
                    ),
                )
            )

    async def grow(self, download_id: UUID) -> None:
        async with self._writing.begin() as session:
            download = await session.get_one(Download, download_id)
            download.filesize = (download.filesize or 0) + 1
            session.add(download)

    async def claim(self, session_id: str) -> Any | None:
        oldest = (
            select(Download.id)
            .where(Download.session_id == session_id, Download.status == DownloadStatus.QUEUED)
            .order_by(col(Download.created_at), col(Download.id))
            .limit(1)
            .scalar_subquery()
        )
        async with self._writing.begin() as session:
            claimed = await session.exec(
                update(Download)
                .where(col(Download.id) == oldest)
                .values(status=DownloadStatus.EXTRACTING, started_at=datetime.now(UTC))
                .returning(Download)
            )
            return claimed.scalar_one_or_none()

    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        async with self._writing.begin() as session:
            for download_id in (first, second):
                await session.exec(
                    update(Download)
                    .where(col(Download.id) == download_id)
                    .values(filesize=filesize)
                )

    async def scan(self, sql: str) -> int:
        async with self._session() as session:
            return int(await session.scalar(text(sql)))

    async def transcript(self, transcript_id: UUID) -> Any:
        async with self._session() as session:
            return await session.get_one(Transcript, transcript_id)

    async def page(self, transcript_id: UUID, after: Any | None, limit: int) -> Sequence[Any]:
        query = select(Segment).where(Segment.transcript_id == transcript_id)
        if after is not None:
            query = query.where(
                tuple_(Segment.start_time, Segment.id) > (after.start_time, after.id)
            )
        async with self._session() as session:
            found = await session.exec(
                query.order_by(col(Segment.start_time), col(Segment.id)).limit(limit)
            )
            return found.all()


PEER = Sqlmodel
