"""Project settings: the picture and sound that a project is made for."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import Any, TypedDict, Unpack

from msgspec import UnsetType

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.statement import Command, Query


class ProjectSettings(Record, frozen=True):
    """The picture and sound that a project is made for; None: not decided.

    output_width, output_height: pixels.  frame_rate_num / frame_rate_den: frames a second; the places on the
    project's timeline are such frames.  sample_rate: samples a second.  bit_depth: of a sample.  data: the
    application's own values.
    """

    project_id: int
    output_width: int | None
    output_height: int | None
    frame_rate_num: int | None
    frame_rate_den: int | None
    sample_rate: int | None
    audio_channels: int | None
    bit_depth: int | None
    data: dict[str, Any] | None
    updated_at: datetime

    @property
    def frame_rate(self) -> Fraction | None:
        """Frames a second, exact: 30000/1001. None while a part of it is not decided."""
        if self.frame_rate_num is None or self.frame_rate_den is None:
            return None
        return Fraction(self.frame_rate_num, self.frame_rate_den)


class ProjectSettingsChanges(TypedDict, total=False):
    """The fields that project_settings.upsert() can store."""

    output_width: int | UnsetType | None
    output_height: int | UnsetType | None
    frame_rate_num: int | UnsetType | None
    frame_rate_den: int | UnsetType | None
    sample_rate: int | UnsetType | None
    audio_channels: int | UnsetType | None
    bit_depth: int | UnsetType | None
    data: dict[str, Any] | UnsetType | None


class ProjectSettingsRepository(Repository):
    """The settings of projects, table ``project_settings``: one row per project at most, which is deleted
    with the project.
    """

    entity = "settings of project"
    table = "project_settings"

    _upsert = Command(
        ProjectSettings,
        """
        INSERT INTO project_settings (
          project_id, output_width, output_height, frame_rate_num, frame_rate_den,
          sample_rate, audio_channels, bit_depth, data, updated_at
        )
        VALUES (
          :project_id, :output_width, :output_height, :frame_rate_num, :frame_rate_den,
          :sample_rate, :audio_channels, :bit_depth, :data, :now
        )
        ON CONFLICT (project_id) DO UPDATE
        SET output_width = iif(:set_output_width, excluded.output_width, project_settings.output_width),
            output_height = iif(
              :set_output_height, excluded.output_height, project_settings.output_height
            ),
            frame_rate_num = iif(
              :set_frame_rate_num, excluded.frame_rate_num, project_settings.frame_rate_num
            ),
            frame_rate_den = iif(
              :set_frame_rate_den, excluded.frame_rate_den, project_settings.frame_rate_den
            ),
            sample_rate = iif(:set_sample_rate, excluded.sample_rate, project_settings.sample_rate),
            audio_channels = iif(
              :set_audio_channels, excluded.audio_channels, project_settings.audio_channels
            ),
            bit_depth = iif(:set_bit_depth, excluded.bit_depth, project_settings.bit_depth),
            data = iif(:set_data, excluded.data, project_settings.data),
            updated_at = excluded.updated_at
        RETURNING *
        """,
    )

    _get = Query(
        ProjectSettings,
        """
        SELECT *
        FROM project_settings
        WHERE project_id = :project_id
        """,
    )

    _delete = Command(
        ProjectSettings,
        """
        DELETE FROM project_settings
        WHERE project_id = :project_id
        """,
    )

    async def upsert(
        self, project_id: int, **fields: Unpack[ProjectSettingsChanges]
    ) -> ProjectSettings:
        """Stores the fields passed and returns all settings; None clears a field, UNSET leaves it.

        TypeError for a field that ProjectSettings lacks. ConstraintError: kind foreign_key for an unknown
        project, kind check for a size, rate or count that is not positive.
        """
        params = self._upsert.changes(fields, project_id=project_id, now=self._now())
        return await self._run(self._upsert.one(**params))

    async def get(self, project_id: int) -> ProjectSettings:
        """The project's settings; RecordNotFoundError when it has none."""
        return await self._run(self._get.one(project_id=project_id))

    async def find(self, project_id: int) -> ProjectSettings | None:
        """The project's settings, or None."""
        return await self._run(self._get.optional(project_id=project_id))

    async def delete(self, project_id: int, *, missing_ok: bool = False) -> bool:
        """True when the project had settings; otherwise RecordNotFoundError, or False with missing_ok."""
        count = await self._run(self._delete.count(project_id=project_id))
        return self._deleted(count, project_id, missing_ok=missing_ok)
