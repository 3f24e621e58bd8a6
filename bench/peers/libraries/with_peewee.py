"""peewee by its own asyncio extension (playhouse.pwasyncio): models, a pool of ten connections by
default, ``async with database`` around what belongs together, BEGIN IMMEDIATE by ``lock_type``.

peewee stores a UUID as 32 digits and a moment with a blank and an offset; fields of one's own, as its
documentation has them, store what the file has.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from peewee import (
    AutoField,
    Field,
    FloatField,
    ForeignKeyField,
    IntegerField,
    IntegrityError,
    JSONField,
    TextField,
    Tuple,
    Value,
    chunked,
    fn,
)
from playhouse.pwasyncio import AsyncSqliteDatabase

from bench.peers.data import moment_text
from bench.peers.interface import Durability, NewDownload, Peer, pragmas
from bench.peers.records import DownloadStatus

database = AsyncSqliteDatabase(None, lock_type="IMMEDIATE")


def _now() -> datetime:
    return datetime.now(UTC)


class UuidField(Field):
    field_type = "TEXT"

    def db_value(self, value: UUID | None) -> str | None:
        return None if value is None else str(value)

    def python_value(self, value: str | None) -> UUID | None:
        return None if value is None else UUID(value)


class MomentField(Field):
    field_type = "TEXT"

    def db_value(self, value: datetime | None) -> str | None:
        return None if value is None else moment_text(value)

    def python_value(self, value: str | None) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


class StatusField(Field):
    field_type = "TEXT"

    def db_value(self, value: DownloadStatus) -> str:
        return value.value

    def python_value(self, value: str) -> DownloadStatus:
        return DownloadStatus(value)


class Session(database.Model):
    id = TextField(primary_key=True)
    created_at = MomentField(default=_now)
    last_seen = MomentField(default=_now)

    class Meta:
        table_name = "sessions"


class Download(database.Model):
    id = UuidField(primary_key=True)
    session = ForeignKeyField(Session, column_name="session_id", lazy_load=False)
    url = TextField()
    status = StatusField(default=DownloadStatus.QUEUED)
    format_id = TextField(null=True)
    quality = TextField(null=True)
    output_template = TextField(null=True)
    filename = TextField(null=True)
    filesize = IntegerField(null=True)
    progress_percent = FloatField(default=0.0)
    speed = TextField(null=True)
    eta = TextField(null=True)
    error_message = TextField(null=True)
    created_at = MomentField(default=_now)
    started_at = MomentField(null=True)
    completed_at = MomentField(null=True)

    class Meta:
        table_name = "downloads"


class Transcript(database.Model):
    id = UuidField(primary_key=True)
    profile_id = TextField()
    file_id = UuidField()
    text = TextField()
    llm_explanation = TextField(null=True)
    language = TextField(null=True)
    created_at = MomentField(default=_now)

    class Meta:
        table_name = "transcripts"


class Segment(database.Model):
    id = AutoField()
    transcript = ForeignKeyField(Transcript, column_name="transcript_id", lazy_load=False)
    speaker_id = IntegerField(null=True)
    start_time = FloatField()
    end_time = FloatField()
    text = TextField()
    confidence = FloatField(null=True)
    words = JSONField(null=True)

    class Meta:
        table_name = "transcript_segments"


# As its documentation does, because of SQLite's limit of parameters.
_ROWS_PER_INSERT = 100


class Peewee(Peer):
    packages = ("peewee", "aiosqlite", "greenlet")

    async def open(self, path: Path, durability: Durability) -> None:
        database.init(str(path), pragmas=pragmas(durability))

    async def close(self) -> None:
        await database.close_pool()

    async def get(self, download_id: UUID) -> Any:
        async with database:
            return await Download.aget_by_id(download_id)

    async def newest(self, limit: int) -> Sequence[Any]:
        newest = Download.select().order_by(Download.created_at.desc(), Download.id.desc())
        async with database:
            return await database.list(newest.limit(limit))

    async def add(self, new: NewDownload) -> Any:
        async with database:
            try:
                return await Download.acreate(**_row(new))
            except IntegrityError:  # what is not the session's absence comes again
                async with database.atomic():
                    await Session.insert(id=new.session_id).on_conflict_ignore().aexecute()
                    return await Download.acreate(**_row(new))

    async def add_many(self, new: Sequence[NewDownload]) -> None:
        async with database, database.atomic():
            for some in chunked(map(_row, new), _ROWS_PER_INSERT):
                await Download.insert_many(some).aexecute()

    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        now = Value(_now(), converter=Download.started_at.db_value)
        update = Download.update(
            progress_percent=percent,
            speed=speed,
            eta=eta,
            started_at=fn.COALESCE(Download.started_at, now),
        )
        async with database:
            await update.where(
                Download.id == download_id, Download.completed_at.is_null()
            ).aexecute()

    async def grow(self, download_id: UUID) -> None:
        async with database, database.atomic():
            download = await Download.aget_by_id(download_id)
            download.filesize += 1
            await download.asave(only=[Download.filesize])

    async def claim(self, session_id: str) -> Any | None:
        Queued = Download.alias()
        oldest = (
            Queued.select(Queued.id)
            .where(Queued.session == session_id, Queued.status == DownloadStatus.QUEUED)
            .order_by(Queued.created_at, Queued.id)
            .limit(1)
        )
        update = Download.update(status=DownloadStatus.EXTRACTING, started_at=_now())
        async with database:
            claimed = await database.list(update.where(Download.id == oldest).returning(Download))
        return claimed[0] if claimed else None

    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        async with database, database.atomic():
            for download_id in (first, second):
                await Download.aset_by_id(download_id, {"filesize": filesize})

    async def scan(self, sql: str) -> int:
        async with database:
            cursor = await database.aexecute_sql(sql)
        ((count,),) = cursor.fetchall()
        return int(count)

    async def transcript(self, transcript_id: UUID) -> Any:
        async with database:
            return await Transcript.aget_by_id(transcript_id)

    async def page(self, transcript_id: UUID, after: Any | None, limit: int) -> Sequence[Any]:
        page = Segment.select().where(Segment.transcript == transcript_id)
        if after is not None:
            position = Tuple(after.start_time, after.id)
            page = page.where(Tuple(Segment.start_time, Segment.id) > position)
        async with database:
            return await database.list(page.order_by(Segment.start_time, Segment.id).limit(limit))


def _row(new: NewDownload) -> dict[str, Any]:
    return {
        "id": new.id,
        "session": new.session_id,
        "url": new.url,
        "format_id": new.format_id,
        "quality": new.quality,
    }


PEER = Peewee
