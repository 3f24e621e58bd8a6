"""Transitions: how a clip of a track becomes the next one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypedDict, Unpack

from msgspec import UnsetType

from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.timeline_clips import TimelineClip


class TimelineTransition(Record, frozen=True):
    """A transition between two clips of a track, the second of which begins in the first one or at its end.

    kind: the application's own word.  duration: frames of the project.  data: the application's own values.
    """

    id: int
    track_id: int
    from_clip_id: int
    to_clip_id: int
    kind: str
    duration: int
    data: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime


class TimelineTransitionChanges(TypedDict, total=False):
    """The fields that timeline_transitions.update() can change."""

    kind: str | UnsetType
    duration: int | UnsetType
    data: dict[str, Any] | UnsetType | None


class TimelineTransitionRepository(Repository):
    """Transitions between neighbours, table ``timeline_transitions``: a clip has one at each end at most. One
    is deleted with either clip, and when a method of ``timeline_clips`` parts them.
    """

    entity = "transition"
    table = "timeline_transitions"

    _from_clip = Query(
        TimelineClip,
        """
        SELECT *
        FROM timeline_clips
        WHERE id = :id
        """,
        entity="timeline clip",
    )

    _add = Command(
        TimelineTransition,
        """
        INSERT INTO timeline_transitions (
          track_id, from_clip_id, to_clip_id, kind, duration, data, created_at, updated_at
        )
        SELECT track_id, id, :to_clip_id, :kind, :duration, :data, :now, :now
        FROM timeline_clips
        WHERE id = :from_clip_id
        RETURNING *
        """,
    )

    _get = Query(
        TimelineTransition,
        """
        SELECT *
        FROM timeline_transitions
        WHERE id = :id
        """,
    )

    _list_for_track = Query(
        TimelineTransition,
        """
        SELECT *
        FROM timeline_transitions
        WHERE track_id = :track_id
        ORDER BY id
        LIMIT :limit OFFSET :offset
        """,
    )

    _for_clips = Query(
        TimelineTransition,
        """
        SELECT *
        FROM timeline_transitions
        WHERE from_clip_id IN (SELECT CAST(value AS BIGINT) FROM json_each(:clip_ids))
        ORDER BY from_clip_id
        """,
        params={"clip_ids": list[int]},
    )

    _update = Command(
        TimelineTransition,
        """
        UPDATE timeline_transitions
        SET kind = iif(:set_kind, :kind, kind),
            duration = iif(:set_duration, :duration, duration),
            data = iif(:set_data, :data, data),
            updated_at = :now
        WHERE id = :id
        RETURNING *
        """,
    )

    _delete = Command(
        TimelineTransition,
        """
        DELETE FROM timeline_transitions
        WHERE id = :id
        """,
    )

    async def add(
        self,
        from_clip_id: int,
        to_clip_id: int,
        kind: str,
        duration: int,
        *,
        data: dict[str, Any] | None = None,
    ) -> TimelineTransition:
        """Adds a transition between two clips of a track.

        Args:
            from_clip_id: the earlier clip.
            to_clip_id: the later one, which begins at the end of the earlier one, or in it.
            kind: the application's own word: dissolve, wipe …
            duration: frames of the project, above 0.
            data: the application's own values, or None.

        Returns:
            The transition.

        Raises:
            RecordNotFoundError: there is no clip from_clip_id.
            ConstraintError: kind foreign_key when to_clip_id is no clip of the same track; kind unique when
                one of the two ends has a transition; kind check when the clips are no neighbours, for an
                empty kind and for a duration that is not positive.
        """
        _, transition = await self._batch(
            self._from_clip.one(id=from_clip_id),
            self._add.one(
                from_clip_id=from_clip_id,
                to_clip_id=to_clip_id,
                kind=kind,
                duration=duration,
                data=data,
                now=self._now(),
            ),
        )
        return transition

    async def get(self, transition_id: int) -> TimelineTransition:
        """The transition; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=transition_id))

    async def find(self, transition_id: int) -> TimelineTransition | None:
        """The transition, or None."""
        return await self._run(self._get.optional(id=transition_id))

    async def list_for_track(
        self, track_id: int, *, limit: int | None = None, offset: int = 0
    ) -> list[TimelineTransition]:
        """A track's transitions in the order of their ids.

        Args:
            track_id: the track.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The transitions; [] also for an unknown track.
        """
        return await self._run(
            self._list_for_track.all(track_id=track_id, limit=limit, offset=offset)
        )

    async def for_clips(self, clip_ids: Iterable[int]) -> dict[int, TimelineTransition]:
        """The transitions at the ends of these clips, such as the clips of a page, by the id of the clip.

        A clip without one at its end is missing.
        """
        found = await self._run(self._for_clips.all(clip_ids=clip_ids))
        return {transition.from_clip_id: transition for transition in found}

    async def update(
        self, transition_id: int, **changes: Unpack[TimelineTransitionChanges]
    ) -> TimelineTransition:
        """Changes the fields passed and returns the transition; None clears data, UNSET leaves a field.

        Can change: kind, duration, data; TypeError for any other field. RecordNotFoundError for an unknown
        id; ConstraintError: kind check for an empty kind or a duration that is not positive.
        """
        params = self._update.changes(changes, id=transition_id, now=self._now())
        return await self._run(self._update.one(**params))

    async def delete(self, transition_id: int, *, missing_ok: bool = False) -> bool:
        """True when it existed; otherwise RecordNotFoundError, or False with missing_ok."""
        count = await self._run(self._delete.count(id=transition_id))
        return self._deleted(count, transition_id, missing_ok=missing_ok)
