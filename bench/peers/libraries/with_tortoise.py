"""Tortoise ORM: models and querysets on its one connection, which a transaction locks for itself.

Its fields give UUIDs, statuses and lists; for moments there is a field of one's own, since it stores
them with a blank and an offset. It has no UPDATE with RETURNING (a claim reads and saves, in a
transaction), no row values, and only BEGIN, not BEGIN IMMEDIATE: a transaction that reads first fails
with "database is locked" when another process has written meanwhile, whatever the busy timeout.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from tortoise import Tortoise, connections, fields, timezone
from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q
from tortoise.functions import Coalesce
from tortoise.models import Model
from tortoise.transactions import in_transaction

from bench.peers.data import moment_text
from bench.peers.interface import Durability, NewDownload, Peer, pragmas
from bench.peers.records import DownloadStatus


class MomentField(fields.DatetimeField):
    def to_db_value(self, value: Any, instance: Any) -> Any:
        moment = super().to_db_value(value, instance)
        return moment_text(moment) if isinstance(moment, datetime) else moment


class Session(Model):
    id = fields.CharField(max_length=255, primary_key=True)
    created_at = MomentField(auto_now_add=True)
    last_seen = MomentField(auto_now_add=True)

    class Meta:
        table = "sessions"


class Download(Model):
    id = fields.UUIDField(primary_key=True)
    session = fields.ForeignKeyField("bench.Session")
    url = fields.TextField()
    status = fields.CharEnumField(DownloadStatus, default=DownloadStatus.QUEUED)
    format_id = fields.TextField(null=True)
    quality = fields.TextField(null=True)
    output_template = fields.TextField(null=True)
    filename = fields.TextField(null=True)
    filesize = fields.BigIntField(null=True)
    progress_percent = fields.FloatField(default=0.0)
    speed = fields.TextField(null=True)
    eta = fields.TextField(null=True)
    error_message = fields.TextField(null=True)
    created_at = MomentField(auto_now_add=True)
    started_at = MomentField(null=True)
    completed_at = MomentField(null=True)

    class Meta:
        table = "downloads"


class Transcript(Model):
    id = fields.UUIDField(primary_key=True)
    profile_id = fields.TextField()
    file_id = fields.UUIDField()
    text = fields.TextField()
    llm_explanation = fields.TextField(null=True)
    language = fields.TextField(null=True)
    created_at = MomentField(auto_now_add=True)

    class Meta:
        table = "transcripts"


class Segment(Model):
    id = fields.BigIntField(primary_key=True)
    transcript = fields.ForeignKeyField("bench.Transcript")
    speaker_id = fields.BigIntField(null=True)
    start_time = fields.FloatField()
    end_time = fields.FloatField()
    text = fields.TextField()
    confidence = fields.FloatField(null=True)
    words = fields.JSONField(null=True)

    class Meta:
        table = "transcript_segments"


class TortoisePeer(Peer):
    packages = ("tortoise-orm", "aiosqlite")

    async def open(self, path: Path, durability: Durability) -> None:
        await Tortoise.init(
            config={
                "connections": {
                    "default": {
                        "engine": "tortoise.backends.sqlite",
                        # What it does not know there is a pragma.
                        "credentials": {"file_path": str(path), **pragmas(durability)},
                    }
                },
                "apps": {"bench": {"models": [__name__], "default_connection": "default"}},
            }
        )

    async def close(self) -> None:
        await Tortoise.close_connections()

    async def get(self, download_id: UUID) -> Any:
        return await Download.get(id=download_id)

    async def newest(self, limit: int) -> Sequence[Any]:
        return await Download.all().order_by("-created_at", "-id").limit(limit)

    async def add(self, new: NewDownload) -> Any:
        try:
            return await Download.create(**_values(new))
        except IntegrityError:  # what is not the session's absence comes again
            async with in_transaction():
                # Writes first, unlike get_or_create().
                await Session.bulk_create([Session(id=new.session_id)], ignore_conflicts=True)
                return await Download.create(**_values(new))

    async def add_many(self, new: Sequence[NewDownload]) -> None:
        async with in_transaction():
            await Download.bulk_create([Download(**_values(each)) for each in new])

    async def progress(self, download_id: UUID, percent: float, speed: str, eta: str) -> None:
        await Download.filter(id=download_id, completed_at__isnull=True).update(
            progress_percent=percent,
            speed=speed,
            eta=eta,
            started_at=Coalesce("started_at", moment_text(timezone.now())),
        )

    async def grow(self, download_id: UUID) -> None:
        async with in_transaction():
            download = await Download.get(id=download_id)
            download.filesize += 1
            await download.save(update_fields=["filesize"])

    async def claim(self, session_id: str) -> Any | None:
        queued = Download.filter(session_id=session_id, status=DownloadStatus.QUEUED)
        async with in_transaction():
            download = await queued.order_by("created_at", "id").first()
            if download is not None:
                download.status = DownloadStatus.EXTRACTING
                download.started_at = timezone.now()
                await download.save(update_fields=["status", "started_at"])
        return download

    async def set_both(self, first: UUID, second: UUID, filesize: int) -> None:
        async with in_transaction():
            await Download.filter(id=first).update(filesize=filesize)
            await Download.filter(id=second).update(filesize=filesize)

    async def scan(self, sql: str) -> int:
        (row,) = await connections.get("default").execute_query_dict(sql)
        (count,) = row.values()
        return int(count)

    async def transcript(self, transcript_id: UUID) -> Any:
        return await Transcript.get(id=transcript_id)

    async def page(self, transcript_id: UUID, after: Any | None, limit: int) -> Sequence[Any]:
        segments = Segment.filter(transcript_id=transcript_id)
        if after is not None:
            later = Q(start_time__gt=after.start_time) | Q(id__gt=after.id)
            segments = segments.filter(later, start_time__gte=after.start_time)
        return await segments.order_by("start_time", "id").limit(limit)


def _values(new: NewDownload) -> dict[str, Any]:
    return {
        "id": new.id,
        "session_id": new.session_id,
        "url": new.url,
        "format_id": new.format_id,
        "quality": new.quality,
    }


PEER = TortoisePeer
