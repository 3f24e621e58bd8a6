"""Videos: the source material of a project."""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from typing import TypedDict, Unpack

import msgspec
from msgspec import UnsetType

from reelbase.engine.file_names import FileName, escaped
from reelbase.engine.ids import END_OF_TIME, MAX_ROWID
from reelbase.engine.record import Record
from reelbase.engine.statements.arguments import wrong_type
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.search import match_expression
from reelbase.engine.statements.statement import Command, PageQuery, Query
from reelbase.repositories.audit import AuditedRepository


class Video(Record, frozen=True):
    """A video. duration: seconds.  framerate_num / framerate_den: frames a second."""

    id: int
    project_id: int
    filename: FileName
    path: FileName
    duration: float
    framerate_num: int
    framerate_den: int
    width: int
    height: int
    created_at: datetime

    @property
    def frame_rate(self) -> Fraction:
        """Frames a second, exact: 24000/1001."""
        return Fraction(self.framerate_num, self.framerate_den)

    @property
    def total_frames(self) -> int:
        """The number of frames, rounded to the nearest, a half up; equal to the column total_frames."""
        return math.floor(self.duration * self.framerate_num / self.framerate_den + 0.5)


class VideoChanges(TypedDict, total=False):
    """The fields that videos.update() can change. duration: seconds.  width, height: pixels."""

    filename: str | UnsetType
    path: str | UnsetType
    duration: float | UnsetType
    framerate_num: int | UnsetType
    framerate_den: int | UnsetType
    width: int | UnsetType
    height: int | UnsetType


class NewVideo(Record, frozen=True):
    """A video to be added, with the fields of Video."""

    filename: FileName
    path: FileName
    duration: float
    framerate_num: int
    framerate_den: int
    width: int
    height: int


class VideoRepository(AuditedRepository):
    """The videos of projects, table ``videos``, found by filename and path. Every write is audited; a video
    that a clip uses cannot be deleted.
    """

    entity = "video"
    table = "videos"

    _add = Command(
        Video,
        """
        INSERT INTO videos (
          project_id, filename, path, duration,
          framerate_num, framerate_den, width, height, created_at
        )
        VALUES (
          :project_id, :filename, :path, :duration,
          :framerate_num, :framerate_den, :width, :height, :created_at
        )
        RETURNING *
        """,
    )

    # Ids only grow, so the rows that are not indexed yet lie behind the last indexed one.
    index_new = Command(
        Video,
        """
        INSERT INTO videos_fts (rowid, filename, path)
        SELECT id, spaced(filename), spaced(path)
        FROM videos
        WHERE id > coalesce((SELECT rowid FROM videos_fts ORDER BY rowid DESC LIMIT 1), 0)
        """,
    )

    # Rebuilt from the texts, because a damaged index cannot be cleared.
    _mend_index = Command(
        Video,
        """
        INSERT INTO videos_fts (videos_fts)
        VALUES ('rebuild')
        """,
    )

    _clear_index = Command(
        Video,
        """
        DELETE FROM videos_fts
        """,
    )
    _derived = "videos_fts"
    _derivation = (_mend_index, _clear_index, index_new)

    # A trigger has removed the row from the index if its text changed.
    _index_again = Command(
        Video,
        """
        INSERT INTO videos_fts (rowid, filename, path)
        SELECT id, spaced(filename), spaced(path)
        FROM videos
        WHERE id = :id
          AND NOT EXISTS (SELECT 1 FROM videos_fts WHERE videos_fts.rowid = videos.id)
        """,
    )

    # Of a video of the library, after its texts have changed in all projects.
    index_uses = Command(
        Video,
        """
        INSERT INTO videos_fts (rowid, filename, path)
        SELECT id, spaced(filename), spaced(path)
        FROM videos
        WHERE library_video_id = :library_video_id
          AND NOT EXISTS (SELECT 1 FROM videos_fts WHERE videos_fts.rowid = videos.id)
        """,
        params={"library_video_id": int},
    )

    _newest = Query(
        Video,
        """
        SELECT *
        FROM videos
        ORDER BY id DESC
        LIMIT :limit
        """,
    )

    _get = Query(
        Video,
        """
        SELECT *
        FROM videos
        WHERE id = :id
        """,
    )

    _list = Query(
        Video,
        """
        SELECT *
        FROM videos
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    # Two ranges: SQLite plans (created_at, id) < (…) by the time alone when the id is the rowid, and
    # add_many() gives many videos one time.
    _page = PageQuery(
        Video,
        """
        SELECT *
        FROM (
            SELECT *
            FROM videos
            WHERE created_at = :created_at
              AND id < :id
            UNION ALL
            SELECT *
            FROM videos
            WHERE created_at < :created_at
          ) AS videos
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        keyset={"created_at": END_OF_TIME, "id": MAX_ROWID},
    )

    _list_for_project = Query(
        Video,
        """
        SELECT *
        FROM videos
        WHERE project_id = :project_id
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _find_by_path = Query(
        Video,
        """
        SELECT *
        FROM videos
        WHERE path = :path
        ORDER BY created_at DESC, id DESC
        LIMIT 1
        """,
    )

    _search = Query(
        Video,
        """
        SELECT
          videos.id, videos.project_id, videos.filename, videos.path, videos.duration,
          videos.framerate_num, videos.framerate_den, videos.width, videos.height, videos.created_at
        FROM videos_fts(:expression)
        CROSS JOIN videos
        WHERE videos.id = videos_fts.rowid
        ORDER BY videos_fts.rank, videos.id
        LIMIT :limit OFFSET :offset
        """,
        params={"expression": str},
    )

    _count = Query(
        int,
        """
        SELECT count(*)
        FROM videos
        """,
    )

    _update = Command(
        Video,
        """
        UPDATE videos
        SET filename = iif(:set_filename, :filename, filename),
            path = iif(:set_path, :path, path),
            duration = iif(:set_duration, :duration, duration),
            framerate_num = iif(:set_framerate_num, :framerate_num, framerate_num),
            framerate_den = iif(:set_framerate_den, :framerate_den, framerate_den),
            width = iif(:set_width, :width, width),
            height = iif(:set_height, :height, height)
        WHERE id = :id
        RETURNING *
        """,
    )

    _delete = Command(
        Video,
        """
        DELETE FROM videos
        WHERE id = :id
        """,
    )

    async def add(
        self,
        project_id: int,
        filename: str,
        path: str,
        duration: float,
        framerate_num: int,
        framerate_den: int,
        width: int,
        height: int,
    ) -> Video:
        """Adds a video.

        Args:
            project_id: the project.
            filename: the name of the file.
            path: where the file is; it need not be unique.
            duration: seconds, at least 0.
            framerate_num: the numerator of the frames a second, above 0.
            framerate_den: the denominator of the frames a second, above 0.
            width: pixels, above 0.
            height: pixels, above 0.

        Returns:
            The video.

        Raises:
            ConstraintError: kind foreign_key when the project does not exist; kind check when a number is
                out of range.
        """
        video, _ = await self._batch(
            self._add.one(
                project_id=project_id,
                filename=filename,
                path=path,
                duration=duration,
                framerate_num=framerate_num,
                framerate_den=framerate_den,
                width=width,
                height=height,
                created_at=self._now(),
            ),
            self.index_new.catch_up(),
        )
        return video

    async def add_many(self, project_id: int, videos: Iterable[NewVideo]) -> builtins.list[Video]:
        """Adds videos, all or none, and returns them in the order given. [] adds nothing."""
        now = self._now()
        if not isinstance(videos, Iterable):
            raise wrong_type("videos", f"must be a list of NewVideo, not {type(videos).__name__}")
        rows = [
            msgspec.structs.asdict(self._expect("videos", video, NewVideo))
            | {"project_id": project_id, "created_at": now}
            for video in videos
        ]
        if not rows:
            return []
        _, _, added = await self._batch(
            self._add.many(rows), self.index_new.catch_up(), self._newest.all(limit=len(rows))
        )
        return added[::-1]

    async def get(self, video_id: int) -> Video:
        """The video; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=video_id))

    async def find(self, video_id: int) -> Video | None:
        """The video, or None."""
        return await self._run(self._get.optional(id=video_id))

    async def find_by_path(self, path: str) -> Video | None:
        """The newest video of exactly this path, or None."""
        return await self._run(self._find_by_path.optional(path=path))

    async def list(self, *, limit: int | None = 100, offset: int = 0) -> builtins.list[Video]:
        """Videos of all projects, newest first. page() is faster than a large offset."""
        return await self._run(self._list.all(limit=limit, offset=offset))

    async def page(
        self, *, after: Video | str | None = None, limit: int | None = 100
    ) -> Page[Video]:
        """A page of the videos of all projects, newest first, by keyset.

        Args:
            after: ``next`` of the page before, or its last video; None: the first page.
            limit: at most this many; None: all.

        Returns:
            The videos; with ``next``, the token of the next page, or None on the last one.

        Raises:
            InvalidArgumentError: after is no token of this listing.
        """
        return await self._run(self._page.page(after=after, limit=limit))

    async def list_for_project(
        self, project_id: int, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[Video]:
        """A project's videos, newest first.

        Args:
            project_id: the project.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The videos; [] also for an unknown project.
        """
        return await self._run(
            self._list_for_project.all(project_id=project_id, limit=limit, offset=offset)
        )

    async def search(
        self, query: str, *, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[Video]:
        """Videos with all words of the query in their filename or path, the best match first.

        The last word matches as a prefix, a "quoted part" as a phrase; scripts without spaces
        (Chinese, Thai …) as substrings; case, accents and width do not count. No query is an error; a
        query without a word finds no video. offset: this many, the best ones, are skipped first.
        """
        expression = match_expression(escaped(self._expect("query", query, str)))
        if expression is None:
            return []
        return await self._run(self._search.all(expression=expression, limit=limit, offset=offset))

    async def rebuild_search(self) -> int:
        """Rebuilds the search index of videos, also for rows that another program has written. Returns how
        many videos are indexed."""
        *_, count = await self._batch(*(command.count() for command in self._derivation))
        return int(count)

    async def count(self) -> int:
        """How many videos there are, of all projects."""
        return await self._run(self._count.one())

    async def update(self, video_id: int, **changes: Unpack[VideoChanges]) -> Video:
        """Changes the fields passed and returns the video.

        Can change: filename, path, duration, framerate_num, framerate_den, width, height; TypeError for any
        other field. RecordNotFoundError for an unknown id; ConstraintError as in add(), and of kind check
        when a clip would reach beyond the end, or for a video of the library: ``video_library.update()``
        changes these.
        """
        video, _ = await self._batch(
            self._update.one(**self._update.changes(changes, id=video_id)),
            self._index_again.count(id=video_id),
        )
        return video

    async def delete(self, video_id: int, *, missing_ok: bool = False) -> bool:
        """Deletes the video. ConstraintError (kind foreign_key) while a clip uses it.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=video_id))
        return self._deleted(count, video_id, missing_ok=missing_ok)
