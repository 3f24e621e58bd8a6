"""advanced-alchemy: its configuration, sessions and repositories, with their defaults.

Its own types keep UUIDs as bytes and times in another form, and its JSON type fails on SQLAlchemy 2.1,
hence those that SQLAlchemy's users have. Its repositories have no update with a condition: progress and
claim are methods of the user's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from advanced_alchemy.base import CommonTableAttributes, create_registry
from advanced_alchemy.config import AsyncSessionConfig, SQLAlchemyAsyncConfig
from advanced_alchemy.exceptions import IntegrityError
from advanced_alchemy.filters import LimitOffset, OrderBy
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from sqlalchemy import func, literal, select, text, tuple_, update
from sqlalchemy.orm import DeclarativeBase

from bench.peers.interface import Durability, NewDownload, Peer
from bench.peers.libraries import sqlalchemy_models as models
from bench.peers.libraries.sqlalchemy_engine import set_up, url, writing
from bench.peers.libraries.sqlalchemy_types import Moment
from bench.peers.records import DownloadStatus


class Base(CommonTableAttributes, DeclarativeBase):
    registry = create_registry(models.TYPES)


class Session(models.Session, Base):
    pass


class Download(models.Download, Base):
    pass


class Transcript(models.Transcript, Base):
    pass


class Segment(models.Segment, Base):
    pass


class SessionRepository(SQLAlchemyAsyncRepository[Session]):
    model_type = Session


class DownloadRepository(SQLAlchemyAsyncRepository[Download]):
    model_type = Download

    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        await self.session.execute(
            update(Download)
            .where(Download.id == download_id, Download.completed_at.is_(None))
            .values(
                progress_percent=percent,
                speed=speed,
                eta=eta,
                started_at=func.coalesce(Download.started_at, literal(datetime.now(UTC), Moment)),
            )
        )

    async def claim(self, session_id: str) -> Download | None:
        oldest = (
            select(Download.id)
            .where(Download.session_id == session_id, Download.status == DownloadStatus.QUEUED)
            .order_by(Download.created_at, Download.id)
            .limit(1)
            .scalar_subquery()
        )
        return await self.session.scalar(
            update(Download)
            .where(Download.id == oldest)
            .values(status=DownloadStatus.EXTRACTING, started_at=datetime.now(UTC))
            .returning(Download)
        )


class TranscriptRepository(SQLAlchemyAsyncRepository[Transcript]):
    model_type = Transcript


class SegmentRepository(SQLAlchemyAsyncRepository[Segment]):
    model_type = Segment


class AdvancedAlchemy(Peer):
    packages = ("advanced-alchemy", "SQLAlchemy", "aiosqlite")

    async def open(self, path: Path, durability: Durability) -> None:
        session_config = AsyncSessionConfig(expire_on_commit=False)
        self._config = SQLAlchemyAsyncConfig(
            connection_string=url(path), session_config=session_config
        )
        engine = self._config.get_engine()
        set_up(engine, durability)
        self._writing = SQLAlchemyAsyncConfig(
            engine_instance=writing(engine), session_config=session_config
        )

    async def close(self) -> None:
        await self._config.get_engine().dispose()

    async def get(self, download_id: UUID) -> Any:
        async with self._config.get_session() as session:
            return await DownloadRepository(session=session).get(download_id)

    async def newest(self, limit: int) -> Sequence[Any]:
        async with self._config.get_session() as session:
            return await DownloadRepository(session=session).get_many(
                OrderBy(Download.created_at, "desc"),
                OrderBy(Download.id, "desc"),
                LimitOffset(limit, 0),
            )

    async def add(self, new: NewDownload) -> Any:
        try:
            async with self._writing.get_session() as session:
                download = await DownloadRepository(session=session).add(_download(new))
                await session.commit()
        except IntegrityError:  # what is not the session's absence comes again
            now = datetime.now(UTC)
            async with self._writing.get_session() as session:
                await SessionRepository(session=session).get_or_upsert(
                    match_fields="id",
                    upsert=False,
                    id=new.session_id,
                    created_at=now,
                    last_seen=now,
                )
                download = await DownloadRepository(session=session).add(_download(new))
                await session.commit()
        return download

    async def add_many(self, new: Sequence[NewDownload]) -> None:
        async with self._writing.get_session() as session:
            await DownloadRepository(session=session).add_many([_download(each) for each in new])
            await session.commit()

    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        async with self._writing.get_session() as session:
            await DownloadRepository(session=session).progress(download_id, percent, speed, eta)
            await session.commit()

    async def grow(self, download_id: UUID) -> None:
        async with self._writing.get_session() as session:
            repository = DownloadRepository(session=session)
            download = await repository.get(download_id)
            download.filesize = (download.filesize or 0) + 1
            await repository.update(download)
            await session.commit()

    async def claim(self, session_id: str) -> Any | None:
        async with self._writing.get_session() as session:
            download = await DownloadRepository(session=session).claim(session_id)
            await session.commit()
        return download

    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        async with self._writing.get_session() as session:
            repository = DownloadRepository(session=session)
            await repository.update(Download(id=first, filesize=filesize))
            await repository.update(Download(id=second, filesize=filesize))
            await session.commit()

    async def scan(self, sql: str) -> int:
        async with self._config.get_session() as session:
            return int(await session.scalar(text(sql)))

    async def transcript(self, transcript_id: UUID) -> Any:
        async with self._config.get_session() as session:
            return await TranscriptRepository(session=session).get(transcript_id)

    async def page(self, transcript_id: UUID, after: Any | None, limit: int) -> Sequence[Any]:
        filters = [Segment.transcript_id == transcript_id]
        if after is not None:
            filters.append(tuple_(Segment.start_time, Segment.id) > (after.start_time, after.id))
        async with self._config.get_session() as session:
            return await SegmentRepository(session=session).get_many(
                *filters,
                OrderBy(Segment.start_time),
                OrderBy(Segment.id),
                LimitOffset(limit, 0),
            )


def _download(new: NewDownload) -> Download:
    return Download(
        id=new.id,
        session_id=new.session_id,
        url=new.url,
        format_id=new.format_id,
        quality=new.quality,
    )


PEER = AdvancedAlchemy
