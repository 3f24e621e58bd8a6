"""Clips of a timeline: pieces of picture and sound at their places on its tracks.

A statement that moves many clips moves them through the upper half of all places, which is free of clips at
rest: so no two meet on their way, and the rule of the track holds at every moment.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict, Unpack

from msgspec import UnsetType

from reelbase.engine.file_names import FileName
from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.statement import Command, PageQuery, Query
from reelbase.errors import RecordNotFoundError

_END = 2**52  # of the places of clips at rest


class TimelineClip(Record, frozen=True):
    """A clip on a track: a cut of a video, an image, or the output of a generator.

    position, duration: frames of the project; the frame position + duration is not part of it.  layer: a
    higher one covers a lower one of the track.  video_id, in_point, out_point: the cut, in frames of the
    video, half-open; else None.  image_path, generator: of an image or a generator; else None.  data: the
    application's own values, such as effects.
    """

    id: int
    project_id: int
    track_id: int
    position: int
    duration: int
    layer: int
    video_id: int | None
    in_point: int | None
    out_point: int | None
    image_path: FileName | None
    generator: str | None
    name: str
    data: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime

    @property
    def end(self) -> int:
        """The frame after the last one."""
        return self.position + self.duration


class TimelineClipChanges(TypedDict, total=False):
    """The fields that timeline_clips.update() can change."""

    track_id: int | UnsetType
    position: int | UnsetType
    duration: int | UnsetType
    layer: int | UnsetType
    video_id: int | UnsetType | None
    in_point: int | UnsetType | None
    out_point: int | UnsetType | None
    image_path: str | UnsetType | None
    generator: str | UnsetType | None
    name: str | UnsetType
    data: dict[str, Any] | UnsetType | None


class TimelineClipRepository(Repository):
    """The clips of timelines, table ``timeline_clips``. They are deleted with their track; a video that one
    uses cannot be deleted.
    """

    entity = "timeline clip"
    table = "timeline_clips"

    _track = Query(
        int,
        """
        SELECT project_id
        FROM timeline_tracks
        WHERE id = :id
        """,
        params={"id": int},
        entity="timeline track",
    )

    _add = Command(
        TimelineClip,
        """
        INSERT INTO timeline_clips (
          project_id, track_id, position, duration, layer, video_id, in_point, out_point,
          image_path, generator, name, data, created_at, updated_at
        )
        SELECT
          project_id, id, :position, :duration, :layer, :video_id, :in_point, :out_point,
          :image_path, :generator, :name, :data, :now, :now
        FROM timeline_tracks
        WHERE id = :track_id
        RETURNING *
        """,
    )

    _get = Query(
        TimelineClip,
        """
        SELECT *
        FROM timeline_clips
        WHERE id = :id
        """,
    )

    # Two ranges: SQLite plans (position, id) > (…) by the position alone when the id is the rowid.
    _page = PageQuery(
        TimelineClip,
        """
        SELECT *
        FROM (
            SELECT *
            FROM timeline_clips
            WHERE track_id = :track_id
              AND position = :position
              AND id > :id
            UNION ALL
            SELECT *
            FROM timeline_clips
            WHERE track_id = :track_id
              AND position > :position
          ) AS timeline_clips
        ORDER BY position, id
        LIMIT :limit
        """,
        keyset={"position": -1, "id": 0},
    )

    _between = Query(
        TimelineClip,
        """
        SELECT *
        FROM timeline_clips
        WHERE track_id = :track_id
          AND position < :stop
          AND position > :start - (
            SELECT max(others.duration)
            FROM timeline_clips AS others
            WHERE others.track_id = :track_id
          )
          AND position + duration > :start
          AND :start < :stop
        ORDER BY position, id
        LIMIT :limit OFFSET :offset
        """,
        params={"start": int, "stop": int},
    )

    _find_by_video = Query(
        TimelineClip,
        """
        SELECT *
        FROM timeline_clips
        WHERE video_id = :video_id
          AND in_point IS NOT NULL
        ORDER BY in_point, id
        LIMIT :limit OFFSET :offset
        """,
        params={"video_id": int},
    )

    _count_for_track = Query(
        int,
        """
        SELECT count(*)
        FROM timeline_clips
        WHERE track_id = :track_id
        """,
        params={"track_id": int},
    )

    _update = Command(
        TimelineClip,
        """
        UPDATE timeline_clips
        SET track_id = iif(:set_track_id, :track_id, track_id),
            position = iif(:set_position, :position, position),
            duration = iif(:set_duration, :duration, duration),
            layer = iif(:set_layer, :layer, layer),
            video_id = iif(:set_video_id, :video_id, video_id),
            in_point = iif(:set_in_point, :in_point, in_point),
            out_point = iif(:set_out_point, :out_point, out_point),
            image_path = iif(:set_image_path, :image_path, image_path),
            generator = iif(:set_generator, :generator, generator),
            name = iif(:set_name, :name, name),
            data = iif(:set_data, :data, data),
            updated_at = :now
        WHERE id = :id
        RETURNING *
        """,
    )

    _lift = Command(
        TimelineClip,
        """
        UPDATE timeline_clips
        SET position = position + 4503599627370496
        WHERE track_id = :track_id
          AND position >= :start
        """,
        params={"start": int},
    )

    _lower = Command(
        TimelineClip,
        """
        UPDATE timeline_clips
        SET position = position - 4503599627370496 + :by,
            updated_at = :now
        WHERE track_id = :track_id
          AND position >= 4503599627370496
        """,
        params={"by": int},
    )

    # Those from a clip that stayed, to one that was moved: the earlier one reached the place.
    _part = Command(
        TimelineClip,
        """
        DELETE FROM timeline_transitions
        WHERE from_clip_id IN (
            SELECT id
            FROM timeline_clips
            WHERE track_id = :track_id
              AND position < :start
              AND position >= :start - (
                SELECT max(others.duration)
                FROM timeline_clips AS others
                WHERE others.track_id = :track_id
              )
              AND position + duration >= :start
          )
          AND EXISTS (
            SELECT 1
            FROM timeline_clips AS earlier
            CROSS JOIN timeline_clips AS later
            WHERE earlier.id = timeline_transitions.from_clip_id
              AND later.id = timeline_transitions.to_clip_id
              AND NOT later.position BETWEEN earlier.position AND earlier.position + earlier.duration
          )
        """,
        params={"start": int},
    )

    _part_clip = Command(
        TimelineClip,
        """
        DELETE FROM timeline_transitions
        WHERE timeline_transitions.id IN (
            SELECT id
            FROM timeline_transitions AS those
            WHERE those.from_clip_id = :id
            UNION ALL
            SELECT id
            FROM timeline_transitions AS those
            WHERE those.to_clip_id = :id
          )
          AND EXISTS (
            SELECT 1
            FROM timeline_clips AS earlier
            CROSS JOIN timeline_clips AS later
            WHERE earlier.id = timeline_transitions.from_clip_id
              AND later.id = timeline_transitions.to_clip_id
              AND NOT later.position BETWEEN earlier.position AND earlier.position + earlier.duration
          )
        """,
        params={"id": int},
    )

    # Of the clip that was read: one that has moved since is not cut elsewhere.
    _shorten = Command(
        TimelineClip,
        """
        UPDATE timeline_clips
        SET duration = :at - position,
            out_point = :cut,
            updated_at = :now
        WHERE id = :id
          AND track_id = :track_id
          AND position = :position
          AND duration = :duration
          AND in_point IS NOT DISTINCT FROM :in_point
          AND out_point IS NOT DISTINCT FROM :out_point
        RETURNING *
        """,
        params={"at": int, "cut": int},
    )

    _add_rest = Command(
        TimelineClip,
        """
        INSERT INTO timeline_clips (
          project_id, track_id, position, duration, layer, video_id, in_point, out_point,
          image_path, generator, name, data, created_at, updated_at
        )
        SELECT
          project_id, track_id, :position, :duration, layer, video_id, :in_point, :out_point,
          image_path, generator, name, data, :now, :now
        FROM timeline_clips
        WHERE id = :id
        RETURNING *
        """,
        params={"id": int},
    )

    _hand_over = Command(
        TimelineClip,
        """
        UPDATE timeline_transitions
        SET from_clip_id = (
          SELECT id
          FROM timeline_clips
          WHERE timeline_clips.track_id = timeline_transitions.track_id
            AND position = :at
          ORDER BY id DESC
          LIMIT 1
        )
        WHERE from_clip_id = :id
        """,
        params={"id": int, "at": int},
    )

    _remove = Command(
        TimelineClip,
        """
        DELETE FROM timeline_clips
        WHERE id = :id
          AND track_id = :track_id
          AND position = :position
          AND duration = :duration
        RETURNING *
        """,
    )

    _delete = Command(
        TimelineClip,
        """
        DELETE FROM timeline_clips
        WHERE id = :id
        """,
    )

    async def add(
        self,
        track_id: int,
        position: int,
        duration: int,
        *,
        layer: int = 0,
        video_id: int | None = None,
        in_point: int | None = None,
        out_point: int | None = None,
        image_path: str | None = None,
        generator: str | None = None,
        name: str = "",
        data: dict[str, Any] | None = None,
    ) -> TimelineClip:
        """Puts a clip on a track, where nothing moves for it.

        Args:
            track_id: the track.
            position: the frame of the project at which it begins, at least 0.
            duration: frames of the project, above 0.
            layer: a higher one covers a lower one of the track.
            video_id: a video of the project, with in_point and out_point; None: no cut of a video.
            in_point: the first frame of the video, at least 0.
            out_point: the frame of the video after the last one, above in_point and not beyond its end.
            image_path: where the image is; None: no image.
            generator: the application's own word: color, title …; None: no generator.
            name: it need not be unique.
            data: the application's own values, or None.

        Returns:
            The clip.

        Raises:
            RecordNotFoundError: there is no such track.
            ConstraintError: kind check when it overlaps a clip that the track's rule keeps apart, when the
                track is locked, for a number out of range, and unless it is exactly one of a cut, an image
                and a generator; kind foreign_key when the video is not one of the project.
        """
        clip = self._clip(track_id, position, duration) | {
            "layer": layer,
            "video_id": video_id,
            "in_point": in_point,
            "out_point": out_point,
            "image_path": image_path,
            "generator": generator,
            "name": name,
            "data": data,
        }
        _, added = await self._batch(self._track.one(id=track_id), self._add.one(**clip))
        return added

    async def insert(
        self,
        track_id: int,
        position: int,
        duration: int,
        *,
        layer: int = 0,
        video_id: int | None = None,
        in_point: int | None = None,
        out_point: int | None = None,
        image_path: str | None = None,
        generator: str | None = None,
        name: str = "",
        data: dict[str, Any] | None = None,
    ) -> TimelineClip:
        """Puts a clip on a track and moves the clips that begin there or later to the right, by its duration.

        Arguments and errors as in add(). A clip that runs at this place stays, and is in the way where the
        track's rule says so: split() it first. A transition between clips that are parted is deleted.
        """
        clip = self._clip(track_id, position, duration) | {
            "layer": layer,
            "video_id": video_id,
            "in_point": in_point,
            "out_point": out_point,
            "image_path": image_path,
            "generator": generator,
            "name": name,
            "data": data,
        }
        _, _, _, added, _ = await self._batch(
            self._track.one(id=track_id),
            self._lift.count(track_id=track_id, start=position),
            self._lower.count(track_id=track_id, by=duration, now=self._now()),
            self._add.one(**clip),
            self._part.count(track_id=track_id, start=position),
        )
        inserted: TimelineClip = added
        return inserted

    async def shift(self, track_id: int, start: int, by: int) -> int:
        """Moves all clips of a track that begin at a frame or later. Returns how many.

        A transition between clips that are parted is deleted. For several tracks call it in a unit of work.

        Args:
            track_id: the track.
            start: the frame.
            by: frames to the right; negative: to the left.

        Raises:
            RecordNotFoundError: there is no such track.
            ConstraintError: kind check when one would meet a clip that the track's rule keeps apart or begin
                before 0, and when the track is locked.
        """
        if abs(self._expect("by", by, int)) >= _END:
            raise invalid_argument("by", f"must be less than {_END} frames")
        _, count, _, _ = await self._batch(
            self._track.one(id=track_id),
            self._lift.count(track_id=track_id, start=start),
            self._lower.count(track_id=track_id, by=by, now=self._now()),
            self._part.count(track_id=track_id, start=start),
        )
        moved: int = count
        return moved

    async def get(self, clip_id: int) -> TimelineClip:
        """The clip; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=clip_id))

    async def find(self, clip_id: int) -> TimelineClip | None:
        """The clip, or None."""
        return await self._run(self._get.optional(id=clip_id))

    async def page(
        self, track_id: int, *, after: TimelineClip | str | None = None, limit: int | None = 100
    ) -> Page[TimelineClip]:
        """A page of a track's clips in the order of their places, by keyset.

        Args:
            track_id: the track.
            after: ``next`` of the page before, or its last clip; None: the first page. A clip that is moved
                between two pages may be on both or on neither of them.
            limit: at most this many; None: all.

        Returns:
            The clips; [] also for an unknown track. With ``next``, the token of the next page, or None on the
            last one.

        Raises:
            InvalidArgumentError: after is no token of this listing.
        """
        return await self._run(self._page.page(after=after, limit=limit, track_id=track_id))

    async def between(
        self, track_id: int, start: int, stop: int, *, limit: int | None = None, offset: int = 0
    ) -> list[TimelineClip]:
        """The clips of a track that are seen in a window, in the order of their places.

        Args:
            track_id: the track.
            start: the first frame of the window.
            stop: the frame after its last one.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The clips that share a frame with the window; [] also for an empty window and an unknown track.
        """
        return await self._run(
            self._between.all(track_id=track_id, start=start, stop=stop, limit=limit, offset=offset)
        )

    async def find_by_video(
        self, video_id: int, *, limit: int | None = None, offset: int = 0
    ) -> list[TimelineClip]:
        """The clips that are cuts of a video, in the order of their in_point.

        Args:
            video_id: the video.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The clips; [] also for an unknown video.
        """
        return await self._run(
            self._find_by_video.all(video_id=video_id, limit=limit, offset=offset)
        )

    async def count_for_track(self, track_id: int) -> int:
        """How many clips the track has; 0 also for an unknown track."""
        return await self._run(self._count_for_track.one(track_id=track_id))

    async def update(self, clip_id: int, **changes: Unpack[TimelineClipChanges]) -> TimelineClip:
        """Changes the fields passed, moves or trims the clip, and returns it; no other clip moves.

        None clears a field, UNSET leaves it. Can change: track_id (to a track of the same project), position,
        duration, layer, video_id, in_point, out_point, image_path, generator, name, data; TypeError for any
        other field. A transition between clips that are parted is deleted. RecordNotFoundError for an unknown
        id; ConstraintError as from add(), and of kind foreign_key for a track that is not of the project.
        """
        params = self._update.changes(changes, id=clip_id, now=self._now())
        self._at_rest("position", params["position"])
        self._at_rest("duration", params["duration"])
        clip, _ = await self._batch(self._update.one(**params), self._part_clip.count(id=clip_id))
        return clip

    async def split(self, clip_id: int, at: int) -> tuple[TimelineClip, TimelineClip]:
        """Cuts the clip in two at a frame of the project, which becomes the first one of the right clip.

        A cut of a video is divided in proportion, to the nearest frame of the video before. A transition at
        the end is one of the right clip then.

        Returns:
            The left clip, which keeps the id, and the right one.

        Raises:
            InvalidArgumentError: the frame is not strictly inside, or a part would have no frame of a video.
            RecordNotFoundError: there is no such clip.
            ConstraintError: kind check when the track is locked.
        """
        while True:
            clip = await self.get(clip_id)
            if not clip.position < self._expect("at", at, int) < clip.end:
                raise invalid_argument(
                    "at",
                    f"{at} is not strictly inside clip {clip_id} ({clip.position} to {clip.end})",
                )
            cut = None
            if clip.in_point is not None and clip.out_point is not None:
                frames = clip.out_point - clip.in_point
                cut = clip.in_point + frames * (at - clip.position) // clip.duration
                if not clip.in_point < cut < clip.out_point:
                    raise invalid_argument("at", f"{at} leaves a part without a frame of the video")
            now = self._now()
            try:
                left, right, _ = await self._batch(
                    self._shorten.one(
                        id=clip.id,
                        track_id=clip.track_id,
                        position=clip.position,
                        duration=clip.duration,
                        in_point=clip.in_point,
                        out_point=clip.out_point,
                        at=at,
                        cut=cut,
                        now=now,
                    ),
                    self._add_rest.one(
                        id=clip.id,
                        position=at,
                        duration=clip.end - at,
                        in_point=cut,
                        out_point=clip.out_point,
                        now=now,
                    ),
                    self._hand_over.count(id=clip.id, at=at),
                )
            except RecordNotFoundError:
                continue  # another caller has changed it
            return left, right

    async def remove(self, clip_id: int) -> TimelineClip:
        """Deletes the clip and moves the clips that begin at its end or later to the left, by its duration.

        Its transitions are deleted, and transitions between clips that are parted. Returns the clip as it
        was. RecordNotFoundError for an unknown id; ConstraintError: kind check when a clip of another layer
        would be in the way, and when the track is locked.
        """
        while True:
            clip = await self.get(clip_id)
            try:
                _, removed, _, _ = await self._batch(
                    self._lift.count(track_id=clip.track_id, start=clip.end),
                    self._remove.one(
                        id=clip.id,
                        track_id=clip.track_id,
                        position=clip.position,
                        duration=clip.duration,
                    ),
                    self._lower.count(track_id=clip.track_id, by=-clip.duration, now=self._now()),
                    self._part.count(track_id=clip.track_id, start=clip.end),
                )
            except RecordNotFoundError:
                continue  # another caller has changed it
            gone: TimelineClip = removed
            return gone

    async def delete(self, clip_id: int, *, missing_ok: bool = False) -> bool:
        """Deletes the clip, where a gap stays; ConstraintError (kind check) when its track is locked.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=clip_id))
        return self._deleted(count, clip_id, missing_ok=missing_ok)

    def _clip(self, track_id: int, position: int, duration: int) -> dict[str, Any]:
        """The place of a new clip, as parameters."""
        self._at_rest("position", position)
        self._at_rest("duration", duration)
        return {
            "track_id": track_id,
            "position": position,
            "duration": duration,
            "now": self._now(),
        }

    def _at_rest(self, name: str, frames: int | None) -> None:
        """InvalidArgumentError for a place or a length that only clips on their way may have."""
        if isinstance(frames, int) and frames >= _END:
            raise invalid_argument(name, f"must be less than {_END} frames")
