"""Media info: the technical data of a file."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict, Unpack
from uuid import UUID

from msgspec import UnsetType

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.files.search import FileSearch


class MediaInfo(Record, frozen=True):
    """The technical data of a file; None: unknown.

    duration: seconds.  frame_rate_num / frame_rate_den: frames a second.  width, height: pixels.
    audio_sample_rate: samples a second.  metadata: further data of the application, as JSON.
    """

    file_id: UUID
    title: str | None
    author: str | None
    description: str | None
    container: str | None
    video_codec: str | None
    audio_codec: str | None
    duration: float | None
    frame_rate_num: int | None
    frame_rate_den: int | None
    width: int | None
    height: int | None
    audio_channels: int | None
    audio_sample_rate: int | None
    audio_bit_depth: int | None
    recorded_at: datetime | None
    device_make: str | None
    device_model: str | None
    metadata: dict[str, Any] | None
    waveform: list[Any] | None


class MediaInfoChanges(TypedDict, total=False):
    """The fields that media_info.upsert() can store."""

    title: str | UnsetType | None
    author: str | UnsetType | None
    description: str | UnsetType | None
    container: str | UnsetType | None
    video_codec: str | UnsetType | None
    audio_codec: str | UnsetType | None
    duration: float | UnsetType | None
    frame_rate_num: int | UnsetType | None
    frame_rate_den: int | UnsetType | None
    width: int | UnsetType | None
    height: int | UnsetType | None
    audio_channels: int | UnsetType | None
    audio_sample_rate: int | UnsetType | None
    audio_bit_depth: int | UnsetType | None
    recorded_at: datetime | UnsetType | None
    device_make: str | UnsetType | None
    device_model: str | UnsetType | None
    metadata: dict[str, Any] | UnsetType | None
    waveform: list[Any] | UnsetType | None


class MediaInfoRepository(Repository):
    """The technical data of files, table ``media_info``: one row per file at most, which is deleted with
    the file.
    """

    entity = "media info"

    _upsert = Command(
        MediaInfo,
        """
        INSERT INTO media_info (
          file_id, title, author, description, container, video_codec, audio_codec, duration,
          frame_rate_num, frame_rate_den, width, height, audio_channels, audio_sample_rate,
          audio_bit_depth, recorded_at, device_make, device_model, metadata, waveform
        )
        VALUES (
          :file_id, :title, :author, :description, :container, :video_codec, :audio_codec, :duration,
          :frame_rate_num, :frame_rate_den, :width, :height, :audio_channels, :audio_sample_rate,
          :audio_bit_depth, :recorded_at, :device_make, :device_model, :metadata, :waveform
        )
        ON CONFLICT (file_id) DO UPDATE
        SET title = iif(:set_title, excluded.title, media_info.title),
            author = iif(:set_author, excluded.author, media_info.author),
            description = iif(:set_description, excluded.description, media_info.description),
            container = iif(:set_container, excluded.container, media_info.container),
            video_codec = iif(:set_video_codec, excluded.video_codec, media_info.video_codec),
            audio_codec = iif(:set_audio_codec, excluded.audio_codec, media_info.audio_codec),
            duration = iif(:set_duration, excluded.duration, media_info.duration),
            frame_rate_num = iif(
              :set_frame_rate_num, excluded.frame_rate_num, media_info.frame_rate_num
            ),
            frame_rate_den = iif(
              :set_frame_rate_den, excluded.frame_rate_den, media_info.frame_rate_den
            ),
            width = iif(:set_width, excluded.width, media_info.width),
            height = iif(:set_height, excluded.height, media_info.height),
            audio_channels = iif(
              :set_audio_channels, excluded.audio_channels, media_info.audio_channels
            ),
            audio_sample_rate = iif(
              :set_audio_sample_rate, excluded.audio_sample_rate, media_info.audio_sample_rate
            ),
            audio_bit_depth = iif(
              :set_audio_bit_depth, excluded.audio_bit_depth, media_info.audio_bit_depth
            ),
            recorded_at = iif(:set_recorded_at, excluded.recorded_at, media_info.recorded_at),
            device_make = iif(:set_device_make, excluded.device_make, media_info.device_make),
            device_model = iif(:set_device_model, excluded.device_model, media_info.device_model),
            metadata = iif(:set_metadata, excluded.metadata, media_info.metadata),
            waveform = iif(:set_waveform, excluded.waveform, media_info.waveform)
        RETURNING *
        """,
    )

    _get = Query(
        MediaInfo,
        """
        SELECT *
        FROM media_info
        WHERE file_id = :file_id
        """,
    )

    _delete = Command(
        MediaInfo,
        """
        DELETE FROM media_info
        WHERE file_id = :file_id
        """,
    )

    async def upsert(self, file_id: UUID | str, **fields: Unpack[MediaInfoChanges]) -> MediaInfo:
        """Stores the fields passed and returns the whole record; None clears a field, UNSET leaves it.

        TypeError for a field that MediaInfo lacks. ConstraintError: kind foreign_key for an unknown
        file, kind check for a size, rate or count that is not positive, or a negative duration.
        """
        info, _ = await self._batch(
            self._upsert.one(**self._upsert.changes(fields, file_id=file_id)),
            FileSearch.index_again.count(file_ids=[file_id]),
        )
        return info

    async def get(self, file_id: UUID | str) -> MediaInfo:
        """The file's record; RecordNotFoundError when it has none."""
        return await self._run(self._get.one(file_id=file_id))

    async def find(self, file_id: UUID | str) -> MediaInfo | None:
        """The file's record, or None."""
        return await self._run(self._get.optional(file_id=file_id))

    async def delete(self, file_id: UUID | str, *, missing_ok: bool = False) -> bool:
        """True when there was a record; otherwise RecordNotFoundError, or False with missing_ok."""
        count, _ = await self._batch(
            self._delete.count(file_id=file_id),
            FileSearch.index_again.count(file_ids=[file_id]),
        )
        return self._deleted(count, file_id, missing_ok=missing_ok)
