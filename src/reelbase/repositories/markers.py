"""Markers: named moments and sections of a file or of a project."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict, Unpack
from uuid import UUID

from msgspec import UnsetType

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.statement import Command, Query


class Marker(Record, frozen=True):
    """A named moment, or a section when it has an end_time, of a file or of a project.

    start_time, end_time: seconds into the file, or on the timeline of the project.  color: as the application
    writes it.  data: the application's own values.
    """

    id: int
    file_id: UUID | None
    project_id: int | None
    start_time: float
    end_time: float | None
    label: str
    color: str | None
    data: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime


class MarkerChanges(TypedDict, total=False):
    """The fields that markers.update() can change."""

    start_time: float | UnsetType
    end_time: float | UnsetType | None
    label: str | UnsetType
    color: str | UnsetType | None
    data: dict[str, Any] | UnsetType | None


class MarkerRepository(Repository):
    """Markers and sections, table ``time_markers``. They are deleted with their file or project."""

    entity = "marker"
    table = "time_markers"

    _add = Command(
        Marker,
        """
        INSERT INTO time_markers (
          file_id, project_id, start_time, end_time, label, color, data, created_at, updated_at
        )
        VALUES (
          :file_id, :project_id, :start_time, :end_time, :label, :color, :data, :now, :now
        )
        RETURNING *
        """,
    )

    _get = Query(
        Marker,
        """
        SELECT *
        FROM time_markers
        WHERE id = :id
        """,
    )

    _list_for_file = Query(
        Marker,
        """
        SELECT *
        FROM time_markers
        WHERE file_id = :file_id
        ORDER BY start_time, id
        LIMIT :limit OFFSET :offset
        """,
        params={"file_id": UUID},
    )

    _list_for_project = Query(
        Marker,
        """
        SELECT *
        FROM time_markers
        WHERE project_id = :project_id
        ORDER BY start_time, id
        LIMIT :limit OFFSET :offset
        """,
        params={"project_id": int},
    )

    _update = Command(
        Marker,
        """
        UPDATE time_markers
        SET start_time = iif(:set_start_time, :start_time, start_time),
            end_time = iif(:set_end_time, :end_time, end_time),
            label = iif(:set_label, :label, label),
            color = iif(:set_color, :color, color),
            data = iif(:set_data, :data, data),
            updated_at = :now
        WHERE id = :id
        RETURNING *
        """,
    )

    _delete = Command(
        Marker,
        """
        DELETE FROM time_markers
        WHERE id = :id
        """,
    )

    async def add(
        self,
        label: str,
        start_time: float,
        *,
        file_id: UUID | str | None = None,
        project_id: int | None = None,
        end_time: float | None = None,
        color: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> Marker:
        """Adds a marker to a file or to a project.

        Args:
            label: its name; it need not be unique.
            start_time: seconds into the file or on the project's timeline, at least 0.
            file_id: the file; None for a marker of a project.
            project_id: the project; None for a marker of a file.
            end_time: the end of a section, not before start_time; None: a moment.
            color: as the application writes it, or None.
            data: the application's own values, or None.

        Returns:
            The marker.

        Raises:
            ConstraintError: kind check unless exactly one of file_id and project_id is passed, and for times
                out of range; kind foreign_key for an unknown file or project.
        """
        return await self._run(
            self._add.one(
                file_id=file_id,
                project_id=project_id,
                start_time=start_time,
                end_time=end_time,
                label=label,
                color=color,
                data=data,
                now=self._now(),
            )
        )

    async def get(self, marker_id: int) -> Marker:
        """The marker; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=marker_id))

    async def find(self, marker_id: int) -> Marker | None:
        """The marker, or None."""
        return await self._run(self._get.optional(id=marker_id))

    async def list_for_file(
        self, file_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> list[Marker]:
        """A file's markers and sections by time.

        Args:
            file_id: the file.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The markers; [] also for an unknown file.
        """
        return await self._run(self._list_for_file.all(file_id=file_id, limit=limit, offset=offset))

    async def list_for_project(
        self, project_id: int, *, limit: int | None = None, offset: int = 0
    ) -> list[Marker]:
        """A project's markers and sections by time.

        Args:
            project_id: the project.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The markers; [] also for an unknown project.
        """
        return await self._run(
            self._list_for_project.all(project_id=project_id, limit=limit, offset=offset)
        )

    async def update(self, marker_id: int, **changes: Unpack[MarkerChanges]) -> Marker:
        """Changes the fields passed and returns the marker; None clears one, UNSET leaves it.

        Can change: start_time, end_time, label, color, data; TypeError for any other field.
        RecordNotFoundError for an unknown id; ConstraintError: kind check for times out of range.
        """
        params = self._update.changes(changes, id=marker_id, now=self._now())
        return await self._run(self._update.one(**params))

    async def delete(self, marker_id: int, *, missing_ok: bool = False) -> bool:
        """True when it existed; otherwise RecordNotFoundError, or False with missing_ok."""
        count = await self._run(self._delete.count(id=marker_id))
        return self._deleted(count, marker_id, missing_ok=missing_ok)
