"""Project clips: cuts from a project's videos, in frames."""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import TypedDict, Unpack

from msgspec import UnsetType

from reelbase.engine.record import Record
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.audit import AuditedRepository


class ProjectClip(Record, frozen=True):
    """Frames in_point to out_point of a video, half-open: the frame out_point is not part of it."""

    id: int
    project_id: int
    video_id: int
    in_point: int
    out_point: int
    created_at: datetime


class ProjectClipChanges(TypedDict, total=False):
    """The fields that project_clips.update() can change; points are frames."""

    video_id: int | UnsetType
    in_point: int | UnsetType
    out_point: int | UnsetType


class ProjectClipRepository(AuditedRepository):
    """The clips of projects, table ``project_clips``: spans of a video in frames, half-open, inside the
    video and of the same project. Every write is audited.
    """

    entity = "clip"

    _add = Command(
        ProjectClip,
        """
        INSERT INTO project_clips (project_id, video_id, in_point, out_point, created_at)
        VALUES (:project_id, :video_id, :in_point, :out_point, :created_at)
        RETURNING *
        """,
    )

    _get = Query(
        ProjectClip,
        """
        SELECT *
        FROM project_clips
        WHERE id = :id
        """,
    )

    _list = Query(
        ProjectClip,
        """
        SELECT *
        FROM project_clips
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _find_by_video = Query(
        ProjectClip,
        """
        SELECT *
        FROM project_clips
        WHERE video_id = :video_id
        ORDER BY in_point, id
        LIMIT :limit OFFSET :offset
        """,
    )

    _find_by_project = Query(
        ProjectClip,
        """
        SELECT *
        FROM project_clips
        WHERE project_id = :project_id
        ORDER BY in_point, id
        LIMIT :limit OFFSET :offset
        """,
    )

    _find_overlapping = Query(
        ProjectClip,
        """
        SELECT *
        FROM project_clips
        WHERE video_id = :video_id
          AND in_point < :out_point
          AND out_point > :in_point
          AND :in_point < :out_point
          AND (:exclude_id IS NULL OR id <> :exclude_id)
        ORDER BY in_point, id
        LIMIT :limit OFFSET :offset
        """,
        params={"exclude_id": int},
    )

    _are_bounds_valid = Query(
        bool,
        """
        SELECT :in_point >= 0 AND :in_point < :out_point AND :out_point <= total_frames
        FROM videos
        WHERE id = :video_id
        """,
        params={"in_point": int, "out_point": int, "video_id": int},
    )

    _count = Query(
        int,
        """
        SELECT count(*)
        FROM project_clips
        """,
    )

    _update = Command(
        ProjectClip,
        """
        UPDATE project_clips
        SET video_id = iif(:set_video_id, :video_id, video_id),
            in_point = iif(:set_in_point, :in_point, in_point),
            out_point = iif(:set_out_point, :out_point, out_point)
        WHERE id = :id
        RETURNING *
        """,
    )

    _split_right = Command(
        ProjectClip,
        """
        INSERT INTO project_clips (project_id, video_id, in_point, out_point, created_at)
        SELECT project_id, video_id, :frame, out_point, :created_at
        FROM project_clips
        WHERE id = :id
          AND in_point < :frame
          AND out_point > :frame
        RETURNING *
        """,
        params={"frame": int},
    )

    _split_left = Command(
        ProjectClip,
        """
        UPDATE project_clips
        SET out_point = :frame
        WHERE id = :id
          AND in_point < :frame
          AND out_point > :frame
        RETURNING *
        """,
        params={"frame": int},
    )

    _delete = Command(
        ProjectClip,
        """
        DELETE FROM project_clips
        WHERE id = :id
        """,
    )

    async def add(
        self, project_id: int, video_id: int, in_point: int, out_point: int
    ) -> ProjectClip:
        """Adds a clip.

        Args:
            project_id: the project.
            video_id: a video of this project.
            in_point: the first frame, at least 0.
            out_point: the frame after the last one, above in_point and at most the number of the video's
                frames.

        Returns:
            The clip.

        Raises:
            ConstraintError: kind check when a point is out of range; kind foreign_key when the project or
                the video does not exist, or the video belongs to another project.
        """
        return await self._run(
            self._add.one(
                project_id=project_id,
                video_id=video_id,
                in_point=in_point,
                out_point=out_point,
                created_at=self._now(),
            )
        )

    async def get(self, clip_id: int) -> ProjectClip:
        """The clip; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=clip_id))

    async def find(self, clip_id: int) -> ProjectClip | None:
        """The clip, or None."""
        return await self._run(self._get.optional(id=clip_id))

    async def list(self, *, limit: int | None = 100, offset: int = 0) -> builtins.list[ProjectClip]:
        """Clips of all projects, newest first."""
        return await self._run(self._list.all(limit=limit, offset=offset))

    async def count(self) -> int:
        """How many clips there are, of all projects."""
        return await self._run(self._count.one())

    async def find_by_video(
        self, video_id: int, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[ProjectClip]:
        """A video's clips in the order of their in_point, then of their ids.

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

    async def find_by_project(
        self, project_id: int, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[ProjectClip]:
        """A project's clips in the order of their in_point, then of their ids.

        Args:
            project_id: the project.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The clips; [] also for an unknown project.
        """
        return await self._run(
            self._find_by_project.all(project_id=project_id, limit=limit, offset=offset)
        )

    async def find_overlapping(
        self,
        video_id: int,
        in_point: int,
        out_point: int,
        *,
        exclude_id: int | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> builtins.list[ProjectClip]:
        """A video's clips that share a frame with [in_point, out_point), in the order of in_point.

        Args:
            video_id: the video.
            in_point: the first frame of the window.
            out_point: the frame after its last one. A clip that merely touches the window shares no frame.
            exclude_id: a clip that is left out, for example because it is being moved; None: no clip.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The clips; [] for an empty or inverted window.
        """
        return await self._run(
            self._find_overlapping.all(
                video_id=video_id,
                in_point=in_point,
                out_point=out_point,
                exclude_id=exclude_id,
                limit=limit,
                offset=offset,
            )
        )

    async def validate_bounds(self, video_id: int, in_point: int, out_point: int) -> bool:
        """Whether add() would accept such a clip of the video.

        Args:
            video_id: the video.
            in_point: the first frame.
            out_point: the frame after the last one.

        Returns:
            False also for an unknown video.
        """
        step = self._are_bounds_valid.optional(
            video_id=video_id, in_point=in_point, out_point=out_point
        )
        return bool(await self._run(step))

    async def update(self, clip_id: int, **changes: Unpack[ProjectClipChanges]) -> ProjectClip:
        """Changes video_id, in_point, out_point as passed and returns the clip.

        Checks as in add(). TypeError for any other field, RecordNotFoundError for an unknown id.
        """
        return await self._run(self._update.one(**self._update.changes(changes, id=clip_id)))

    async def split(self, clip_id: int, frame: int) -> tuple[ProjectClip, ProjectClip]:
        """Cuts the clip in two at a frame, which becomes the first frame of the right clip.

        Returns the left clip, which keeps the id, and the right one. ValueError when the frame is not
        strictly inside; RecordNotFoundError for an unknown id.
        """
        right, left = await self._batch(
            self._split_right.optional(id=clip_id, frame=frame, created_at=self._now()),
            self._split_left.optional(id=clip_id, frame=frame),
        )
        if left is None or right is None:
            clip = await self.get(clip_id)
            raise invalid_argument(
                "frame",
                f"{frame} is not strictly inside clip {clip_id} "
                f"({clip.in_point} to {clip.out_point})",
            )
        return left, right

    async def delete(self, clip_id: int, *, missing_ok: bool = False) -> bool:
        """True when it existed; otherwise RecordNotFoundError, or False with missing_ok."""
        count = await self._run(self._delete.count(id=clip_id))
        return self._deleted(count, clip_id, missing_ok=missing_ok)
