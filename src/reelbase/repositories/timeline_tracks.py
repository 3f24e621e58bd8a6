"""Tracks: the rows of a project's timeline, in their order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, TypedDict, Unpack

from msgspec import UnsetType

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.statement import Command, Query


class OverlapRule(StrEnum):
    """Which clips of a track may share a frame: none; clips of different layers; any."""

    NONE = "none"
    LAYERS = "layers"
    ANY = "any"


class TimelineTrack(Record, frozen=True):
    """A track of a project.

    position: only the order of a project's positions counts; a clip on a later track covers clips on an
    earlier one.  kind: the application's own word.  overlap: which of its clips may share a frame.
    is_locked: its clips do not change.  data: the application's own values.
    """

    id: int
    project_id: int
    position: int
    kind: str
    name: str
    overlap: OverlapRule
    is_muted: bool
    is_locked: bool
    data: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime


class TimelineTrackChanges(TypedDict, total=False):
    """The fields that timeline_tracks.update() can change."""

    kind: str | UnsetType
    name: str | UnsetType
    overlap: OverlapRule | UnsetType
    is_muted: bool | UnsetType
    is_locked: bool | UnsetType
    data: dict[str, Any] | UnsetType | None


class TimelineTrackRepository(Repository):
    """The tracks of projects, table ``timeline_tracks``. Their clips and transitions go with them."""

    entity = "timeline track"
    table = "timeline_tracks"

    _add = Command(
        TimelineTrack,
        """
        INSERT INTO timeline_tracks (
          project_id, position, kind, name, overlap, is_muted, is_locked, data, created_at, updated_at
        )
        VALUES (
          :project_id,
          coalesce(
            (SELECT max(position) FROM timeline_tracks AS others WHERE others.project_id = :project_id), 0
          ) + 1,
          :kind, :name, :overlap, :is_muted, :is_locked, :data, :now, :now
        )
        RETURNING *
        """,
    )

    _get = Query(
        TimelineTrack,
        """
        SELECT *
        FROM timeline_tracks
        WHERE id = :id
        """,
    )

    _list_for_project = Query(
        TimelineTrack,
        """
        SELECT *
        FROM timeline_tracks
        WHERE project_id = :project_id
        ORDER BY position, id
        LIMIT :limit OFFSET :offset
        """,
    )

    _update = Command(
        TimelineTrack,
        """
        UPDATE timeline_tracks
        SET kind = iif(:set_kind, :kind, kind),
            name = iif(:set_name, :name, name),
            overlap = iif(:set_overlap, :overlap, overlap),
            is_muted = iif(:set_is_muted, :is_muted, is_muted),
            is_locked = iif(:set_is_locked, :is_locked, is_locked),
            data = iif(:set_data, :data, data),
            updated_at = :now
        WHERE id = :id
        RETURNING *
        """,
    )

    # Above all positions that there are, so that none is taken while they change. All or none.
    _reorder = Command(
        TimelineTrack,
        """
        UPDATE timeline_tracks
        SET position = wanted.position
        FROM (
          SELECT
            named.value AS id,
            named.key + 1 + (
              SELECT max(others.position)
              FROM timeline_tracks AS others
              WHERE others.project_id = :project_id
            ) AS position
          FROM json_each(:track_ids) AS named
        ) AS wanted
        WHERE timeline_tracks.id = wanted.id
          AND timeline_tracks.project_id = :project_id
          AND NOT EXISTS (
            SELECT 1
            FROM json_each(:track_ids) AS named
            WHERE CAST(named.value AS BIGINT) NOT IN (
                SELECT others.id
                FROM timeline_tracks AS others
                WHERE others.project_id = :project_id
              )
          )
        """,
        params={"track_ids": list[int]},
    )

    _delete = Command(
        TimelineTrack,
        """
        DELETE FROM timeline_tracks
        WHERE id = :id
        """,
    )

    async def add(
        self,
        project_id: int,
        kind: str,
        *,
        name: str = "",
        overlap: OverlapRule | str = OverlapRule.NONE,
        is_muted: bool = False,
        is_locked: bool = False,
        data: dict[str, Any] | None = None,
    ) -> TimelineTrack:
        """Adds a track after the last one of the project.

        Args:
            project_id: the project.
            kind: the application's own word: video, audio, titles …
            name: it need not be unique.
            overlap: which of its clips may share a frame.
            is_muted: for the application; clips may change.
            is_locked: its clips do not change, and it is not deleted but with its project.
            data: the application's own values, or None.

        Returns:
            The track.

        Raises:
            ConstraintError: kind foreign_key for an unknown project; kind check for an empty kind or an
                unknown rule.
        """
        return await self._run(
            self._add.one(
                project_id=project_id,
                kind=kind,
                name=name,
                overlap=overlap,
                is_muted=is_muted,
                is_locked=is_locked,
                data=data,
                now=self._now(),
            )
        )

    async def get(self, track_id: int) -> TimelineTrack:
        """The track; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=track_id))

    async def find(self, track_id: int) -> TimelineTrack | None:
        """The track, or None."""
        return await self._run(self._get.optional(id=track_id))

    async def list_for_project(
        self, project_id: int, *, limit: int | None = None, offset: int = 0
    ) -> list[TimelineTrack]:
        """A project's tracks in their order.

        Args:
            project_id: the project.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The tracks; [] also for an unknown project.
        """
        return await self._run(
            self._list_for_project.all(project_id=project_id, limit=limit, offset=offset)
        )

    async def update(self, track_id: int, **changes: Unpack[TimelineTrackChanges]) -> TimelineTrack:
        """Changes the fields passed and returns the track; None clears data, UNSET leaves a field.

        Can change: kind, name, overlap, is_muted, is_locked, data; TypeError for any other field.
        RecordNotFoundError for an unknown id; ConstraintError as from add(), and of kind check when clips
        overlap that the new rule keeps apart.
        """
        params = self._update.changes(changes, id=track_id, now=self._now())
        return await self._run(self._update.one(**params))

    async def reorder(self, project_id: int, track_ids: Iterable[int]) -> list[TimelineTrack]:
        """Puts tracks of a project at the end, in the order given, and returns all in their order.

        InvalidArgumentError, and no change, when one is named twice or is not a track of the project.
        """
        ids = self._listed("track_ids", track_ids, "int")
        if len(set(ids)) < len(ids):
            raise invalid_argument("track_ids", "a track is named twice")
        count, tracks = await self._batch(
            self._reorder.count(project_id=project_id, track_ids=ids),
            self._list_for_project.all(project_id=project_id, limit=None, offset=0),
        )
        if count < len(ids):
            missing = set(ids) - {track.id for track in tracks}
            raise invalid_argument("track_ids", f"project {project_id} has no track {min(missing)}")
        return tracks

    async def delete(self, track_id: int, *, missing_ok: bool = False) -> bool:
        """Deletes the track with its clips and transitions. ConstraintError (kind check) while it is locked.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=track_id))
        return self._deleted(count, track_id, missing_ok=missing_ok)
