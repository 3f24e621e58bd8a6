"""The ORM of SQLAlchemy on aiosqlite: declarative models, and a session of its own for each call.

expire_on_commit=False, as the chapter on asyncio wants it. What needs no object is an UPDATE of the
ORM; what reads and then writes changes the object.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, literal, select, text, tuple_, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from bench.peers.interface import Durability, NewDownload, Peer
from bench.peers.libraries import sqlalchemy_models as models
from bench.peers.libraries.sqlalchemy_engine import set_up, url, writing
from bench.peers.libraries.sqlalchemy_types import Moment
from bench.peers.records import DownloadStatus


class Base(DeclarativeBase):
    type_annotation_map = models.TYPES


class Session(models.Session, Base):
    pass


class Download(models.Download, Base):
    pass


class Transcript(models.Transcript, Base):
    pass


class Segment(models.Segment, Base):
    pass


class SqlalchemyOrm(Peer):
    packages = ("SQLAlchemy", "aiosqlite")

    async def open(self, path: Path, durability: Durability) -> None:
        self._engine = create_async_engine(url(path))
        set_up(self._engine, durability)
        self._session = async_sessionmaker(self._engine, expire_on_commit=False)
        self._writing = async_sessionmaker(writing(self._engine), expire_on_commit=False)

    async def close(self) -> None:
        await self._engine.dispose()

    async def get(self, download_id: UUID) -> Any:
        async with self._session() as session:
            return await session.get_one(Download, download_id)

    async def newest(self, limit: int) -> Sequence[Any]:
        async with self._session() as session:
            found = await session.scalars(
                select(Download)
                .order_by(Download.created_at.desc(), Download.id.desc())
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
                await session.execute(
                    sqlite.insert(Session)
                    .values(id=new.session_id, created_at=now, last_seen=now)
                    .on_conflict_do_nothing(index_elements=[Session.id])
                )
                session.add(download)
        return download

    async def add_many(self, new: Sequence[NewDownload]) -> None:
        async with self._writing.begin() as session:
            await session.execute(
                insert(Download),
                [
                    {
                        "id": each.id,
                        "session_id": each.session_id,
                        "url": each.url,
                        "format_id": each.format_id,
                        "quality": each.quality,
                    }
                    for each in new
                ],
                # Else rows with a NULL and rows without would be inserted by statements of their own.
                execution_options={"render_nulls": True},
            )

    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        async with self._writing.begin() as session:
            await session.execute(
                update(Download)
                .where(Download.id == download_id, Download.completed_at.is_(None))
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

    async def claim(self, session_id: str) -> Any | None:
        oldest = (
            select(Download.id)
            .where(Download.session_id == session_id, Download.status == DownloadStatus.QUEUED)
            .order_by(Download.created_at, Download.id)
            .limit(1)
            .scalar_subquery()
        )
        async with self._writing.begin() as session:
            return await session.scalar(
                update(Download)
                .where(Download.id == oldest)
                .values(status=DownloadStatus.EXTRACTING, started_at=datetime.now(UTC))
                .returning(Download)
            )

    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        async with self._writing.begin() as session:
            for download_id in (first, second):
                await session.execute(
                    update(Download).where(Download.id == download_id).values(filesize=filesize)
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
            found = await session.scalars(
                query.order_by(Segment.start_time, Segment.id).limit(limit)
            )
            return found.all()


PEER = SqlalchemyOrm
