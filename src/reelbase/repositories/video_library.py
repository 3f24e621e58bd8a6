"""The library of videos: each is known once, whether one project uses it, many do, or none.

A project uses a row of ``videos``, with an id of its own that the project's clips refer to. The database
keeps the row's data equal to the library's.
"""

from __future__ import annotations

import builtins
import math
from datetime import datetime
from fractions import Fraction
from typing import Any, TypedDict, Unpack

from msgspec import UnsetType

from reelbase.engine.file_names import FileName
from reelbase.engine.ids import END_OF_TIME, MAX_ROWID
from reelbase.engine.record import Record
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.statement import Command, PageQuery, Query
from reelbase.repositories.audit import AuditedRepository
from reelbase.repositories.videos import Video, VideoRepository


class LibraryVideo(Record, frozen=True):
    """A video of the library.

    path: where it is; no two videos of the library are at one path.  duration: seconds.
    framerate_num / framerate_den: frames a second.  width, height: pixels.  video_codec, audio_codec,
    size_bytes, thumbnail_path: None: unknown, or it has none.  data: the application's own values.
    """

    id: int
    filename: FileName
    path: FileName
    duration: float
    framerate_num: int
    framerate_den: int
    width: int
    height: int
    video_codec: str | None
    audio_codec: str | None
    size_bytes: int | None
    thumbnail_path: FileName | None
    data: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime

    @property
    def frame_rate(self) -> Fraction:
        """Frames a second, exact: 24000/1001."""
        return Fraction(self.framerate_num, self.framerate_den)

    @property
    def total_frames(self) -> int:
        """The number of frames, rounded to the nearest, a half up; that of the projects' videos, too."""
        return math.floor(self.duration * self.framerate_num / self.framerate_den + 0.5)


class LibraryVideoChanges(TypedDict, total=False):
    """The fields that video_library.update() can change."""

    filename: str | UnsetType
    path: str | UnsetType
    duration: float | UnsetType
    framerate_num: int | UnsetType
    framerate_den: int | UnsetType
    width: int | UnsetType
    height: int | UnsetType
    video_codec: str | UnsetType | None
    audio_codec: str | UnsetType | None
    size_bytes: int | UnsetType | None
    thumbnail_path: str | UnsetType | None
    data: dict[str, Any] | UnsetType | None


class VideoLibraryRepository(AuditedRepository):
    """Videos that any number of projects may use, table ``library_videos``: one row per path. Changes of the
    videos of projects are audited there.
    """

    entity = "video of the library"
    table = "library_videos"

    _add = Command(
        LibraryVideo,
        """
        INSERT INTO library_videos (
          filename, path, duration, framerate_num, framerate_den, width, height,
          video_codec, audio_codec, size_bytes, thumbnail_path, data, created_at, updated_at
        )
        VALUES (
          :filename, :path, :duration, :framerate_num, :framerate_den, :width, :height,
          :video_codec, :audio_codec, :size_bytes, :thumbnail_path, :data, :now, :now
        )
        RETURNING *
        """,
    )

    _get = Query(
        LibraryVideo,
        """
        SELECT *
        FROM library_videos
        WHERE id = :id
        """,
    )

    _find_by_path = Query(
        LibraryVideo,
        """
        SELECT *
        FROM library_videos
        WHERE path = :path
        """,
    )

    _list = Query(
        LibraryVideo,
        """
        SELECT *
        FROM library_videos
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    # Two ranges: SQLite plans (created_at, id) < (…) by the time alone when the id is the rowid.
    _page = PageQuery(
        LibraryVideo,
        """
        SELECT *
        FROM (
            SELECT *
            FROM library_videos
            WHERE created_at = :created_at
              AND id < :id
            UNION ALL
            SELECT *
            FROM library_videos
            WHERE created_at < :created_at
          ) AS library_videos
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        keyset={"created_at": END_OF_TIME, "id": MAX_ROWID},
    )

    _count = Query(
        int,
        """
        SELECT count(*)
        FROM library_videos
        """,
    )

    _uses = Query(
        Video,
        """
        SELECT *
        FROM videos
        WHERE library_video_id = :library_video_id
        ORDER BY project_id
        LIMIT :limit OFFSET :offset
        """,
        params={"library_video_id": int},
    )

    _use = Query(
        Video,
        """
        SELECT *
        FROM videos
        WHERE library_video_id = :library_video_id
          AND project_id = :project_id
        """,
        params={"library_video_id": int},
    )

    _add_to_project = Command(
        Video,
        """
        INSERT INTO videos (
          project_id, filename, path, duration,
          framerate_num, framerate_den, width, height, created_at, library_video_id
        )
        SELECT
          :project_id, filename, path, duration,
          framerate_num, framerate_den, width, height, :now, id
        FROM library_videos
        WHERE id = :library_video_id
        ON CONFLICT (library_video_id, project_id) WHERE library_video_id IS NOT NULL DO NOTHING
        """,
        params={"library_video_id": int},
    )

    _adopt = Command(
        LibraryVideo,
        """
        INSERT INTO library_videos (
          filename, path, duration, framerate_num, framerate_den, width, height, created_at, updated_at
        )
        SELECT filename, path, duration, framerate_num, framerate_den, width, height, :now, :now
        FROM videos
        WHERE id = :video_id
          AND library_video_id IS NULL
        ON CONFLICT (path) DO NOTHING
        """,
        params={"video_id": int},
    )

    _link = Command(
        Video,
        """
        UPDATE videos
        SET library_video_id = (SELECT id FROM library_videos WHERE library_videos.path = videos.path)
        WHERE id = :video_id
          AND library_video_id IS NULL
        """,
        params={"video_id": int},
    )

    _of_video = Query(
        LibraryVideo,
        """
        SELECT *
        FROM library_videos
        WHERE id = (SELECT library_video_id FROM videos WHERE videos.id = :id)
        """,
        entity="video",
    )

    _update = Command(
        LibraryVideo,
        """
        UPDATE library_videos
        SET filename = iif(:set_filename, :filename, filename),
            path = iif(:set_path, :path, path),
            duration = iif(:set_duration, :duration, duration),
            framerate_num = iif(:set_framerate_num, :framerate_num, framerate_num),
            framerate_den = iif(:set_framerate_den, :framerate_den, framerate_den),
            width = iif(:set_width, :width, width),
            height = iif(:set_height, :height, height),
            video_codec = iif(:set_video_codec, :video_codec, video_codec),
            audio_codec = iif(:set_audio_codec, :audio_codec, audio_codec),
            size_bytes = iif(:set_size_bytes, :size_bytes, size_bytes),
            thumbnail_path = iif(:set_thumbnail_path, :thumbnail_path, thumbnail_path),
            data = iif(:set_data, :data, data),
            updated_at = :now
        WHERE id = :id
        RETURNING *
        """,
    )

    _delete = Command(
        LibraryVideo,
        """
        DELETE FROM library_videos
        WHERE id = :id
        """,
    )

    async def add(
        self,
        filename: str,
        path: str,
        duration: float,
        framerate_num: int,
        framerate_den: int,
        width: int,
        height: int,
        *,
        video_codec: str | None = None,
        audio_codec: str | None = None,
        size_bytes: int | None = None,
        thumbnail_path: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> LibraryVideo:
        """Adds a video to the library; no project uses it yet.

        Args:
            filename: the name of the file.
            path: where the file is; unique in the library, compared exactly.
            duration: seconds, at least 0.
            framerate_num: the numerator of the frames a second, above 0.
            framerate_den: the denominator of the frames a second, above 0.
            width: pixels, above 0.
            height: pixels, above 0.
            video_codec: h264, prores …, or None.
            audio_codec: aac, pcm_s16le …, or None.
            size_bytes: the size of the file, at least 0, or None.
            thumbnail_path: where a picture of it is, or None.
            data: the application's own values, or None.

        Returns:
            The video.

        Raises:
            ConstraintError: kind unique when the library has a video at this path; kind check when a number
                is out of range.
        """
        return await self._run(
            self._add.one(
                filename=filename,
                path=path,
                duration=duration,
                framerate_num=framerate_num,
                framerate_den=framerate_den,
                width=width,
                height=height,
                video_codec=video_codec,
                audio_codec=audio_codec,
                size_bytes=size_bytes,
                thumbnail_path=thumbnail_path,
                data=data,
                now=self._now(),
            )
        )

    async def get(self, library_video_id: int) -> LibraryVideo:
        """The video; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=library_video_id))

    async def find(self, library_video_id: int) -> LibraryVideo | None:
        """The video, or None."""
        return await self._run(self._get.optional(id=library_video_id))

    async def find_by_path(self, path: str) -> LibraryVideo | None:
        """The video at exactly this path, or None."""
        return await self._run(self._find_by_path.optional(path=path))

    async def find_for_video(self, video_id: int) -> LibraryVideo | None:
        """The video of the library that a project's video is, or None."""
        return await self._run(self._of_video.optional(id=video_id))

    async def list(
        self, *, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[LibraryVideo]:
        """Videos, newest first. page() is faster than a large offset."""
        return await self._run(self._list.all(limit=limit, offset=offset))

    async def page(
        self, *, after: LibraryVideo | str | None = None, limit: int | None = 100
    ) -> Page[LibraryVideo]:
        """A page of the videos, newest first, by keyset.

        Args:
            after: ``next`` of the page before, or its last video; None: the first page.
            limit: at most this many; None: all.

        Returns:
            The videos; with ``next``, the token of the next page, or None on the last one.

        Raises:
            InvalidArgumentError: after is no token of this listing.
        """
        return await self._run(self._page.page(after=after, limit=limit))

    async def count(self) -> int:
        """How many videos the library has."""
        return await self._run(self._count.one())

    async def uses(
        self, library_video_id: int, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[Video]:
        """The video as each project has it that uses it, in the order of the projects' ids.

        Args:
            library_video_id: the video of the library.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            One video per project; [] when none uses it, also for an unknown id.
        """
        return await self._run(
            self._uses.all(library_video_id=library_video_id, limit=limit, offset=offset)
        )

    async def add_to_project(self, library_video_id: int, project_id: int) -> Video:
        """Lets a project use the video. Returns the project's video: the one that it has, or a new one.

        Its clips refer to this one; ``videos.delete()`` ends the use. RecordNotFoundError for an unknown
        video of the library; ConstraintError: kind foreign_key for an unknown project.
        """
        _, _, _, video = await self._batch(
            self._get.one(id=library_video_id),
            self._add_to_project.count(
                library_video_id=library_video_id, project_id=project_id, now=self._now()
            ),
            VideoRepository.index_new.catch_up(),
            self._use.one(library_video_id=library_video_id, project_id=project_id),
        )
        added: Video = video
        return added

    async def adopt(self, video_id: int) -> LibraryVideo:
        """Puts a project's video into the library, so that further projects may use it.

        The project goes on using it, with the same id and clips. If the library has its path already, the
        project's video becomes a use of that one.

        Args:
            video_id: the video of the project.

        Returns:
            The video of the library; also when the project's video was one of the library before.

        Raises:
            RecordNotFoundError: there is no such video.
            ConstraintError: kind check when the library's video of this path has different data; kind unique
                when the project uses it already, by another id.
        """
        _, _, video = await self._batch(
            self._adopt.count(video_id=video_id, now=self._now()),
            self._link.count(video_id=video_id),
            self._of_video.one(id=video_id),
        )
        return video

    async def update(
        self, library_video_id: int, **changes: Unpack[LibraryVideoChanges]
    ) -> LibraryVideo:
        """Changes the fields passed, in all projects that use the video, and returns it.

        None clears one, UNSET leaves it. Can change: filename, path, duration, framerate_num, framerate_den,
        width, height, video_codec, audio_codec, size_bytes, thumbnail_path, data; TypeError for any other
        field. RecordNotFoundError for an unknown id; ConstraintError as in add(), and of kind check when a
        clip of a project would reach beyond the end.
        """
        params = self._update.changes(changes, id=library_video_id, now=self._now())
        video, _ = await self._batch(
            self._update.one(**params),
            VideoRepository.index_uses.count(library_video_id=library_video_id),
        )
        return video

    async def delete(self, library_video_id: int, *, missing_ok: bool = False) -> bool:
        """Deletes the video. ConstraintError (kind foreign_key) while a project uses it.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=library_video_id))
        return self._deleted(count, library_video_id, missing_ok=missing_ok)
