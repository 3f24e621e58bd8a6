"""Projects: pieces of editing work."""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import TypedDict, Unpack

from msgspec import UnsetType

from reelbase.engine.file_names import FileName
from reelbase.engine.record import Record
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.audit import AuditedRepository
from reelbase.repositories.videos import Video


class Project(Record, frozen=True):
    """A piece of editing work. workspace_path: where its files are."""

    id: int
    name: str
    description: str | None
    workspace_path: FileName
    created_at: datetime
    updated_at: datetime


class ProjectChanges(TypedDict, total=False):
    """The fields that projects.update() can change."""

    name: str | UnsetType
    description: str | UnsetType | None
    workspace_path: str | UnsetType


class ProjectStats(Record, frozen=True):
    """A project and its numbers of videos and clips."""

    id: int
    name: str
    description: str | None
    workspace_path: FileName
    created_at: datetime
    updated_at: datetime
    video_count: int
    clip_count: int


class ProjectWithVideos(Record, frozen=True):
    """A project and its videos, newest first."""

    project: Project
    videos: list[Video]


class ProjectRepository(AuditedRepository):
    """Projects of the editor, table ``projects``; their videos and clips are deleted with them. Every write
    is audited.
    """

    entity = "project"
    table = "projects"

    _add = Command(
        Project,
        """
        INSERT INTO projects (name, description, workspace_path, created_at, updated_at)
        VALUES (:name, :description, :workspace_path, :now, :now)
        RETURNING *
        """,
    )

    _get = Query(
        Project,
        """
        SELECT *
        FROM projects
        WHERE id = :id
        """,
    )

    _list = Query(
        Project,
        """
        SELECT *
        FROM projects
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    # Counted by subqueries: a join would multiply videos by clips.
    _list_with_stats = Query(
        ProjectStats,
        """
        SELECT
          id, name, description, workspace_path, created_at, updated_at,
          (SELECT count(*) FROM videos WHERE videos.project_id = projects.id) AS video_count,
          (SELECT count(*) FROM project_clips WHERE project_clips.project_id = projects.id) AS clip_count
        FROM projects
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _videos = Query(
        Video,
        """
        SELECT *
        FROM videos
        WHERE project_id = :project_id
        ORDER BY created_at DESC, id DESC
        """,
    )

    _find_by_name = Query(
        Project,
        """
        SELECT *
        FROM projects
        WHERE name = :name
        ORDER BY created_at DESC, id DESC
        LIMIT 1
        """,
    )

    _find_by_workspace = Query(
        Project,
        """
        SELECT *
        FROM projects
        WHERE workspace_path = :workspace_path
        ORDER BY created_at DESC, id DESC
        LIMIT 1
        """,
    )

    _count = Query(
        int,
        """
        SELECT count(*)
        FROM projects
        """,
    )

    _update = Command(
        Project,
        """
        UPDATE projects
        SET name = iif(:set_name, :name, name),
            description = iif(:set_description, :description, description),
            workspace_path = iif(:set_workspace_path, :workspace_path, workspace_path),
            updated_at = iif(
              (:set_name AND name IS DISTINCT FROM :name)
              OR (:set_description AND description IS DISTINCT FROM :description)
              OR (:set_workspace_path AND workspace_path IS DISTINCT FROM :workspace_path),
              :now,
              updated_at
            )
        WHERE id = :id
        RETURNING *
        """,
    )

    _delete = Command(
        Project,
        """
        DELETE FROM projects
        WHERE id = :id
        """,
    )

    async def add(self, name: str, workspace_path: str, description: str | None = None) -> Project:
        """Adds a project.

        Args:
            name: the name; it need not be unique.
            workspace_path: the folder of its files; it need not be unique.
            description: a text, or None.

        Returns:
            The project.
        """
        return await self._run(
            self._add.one(
                name=name, workspace_path=workspace_path, description=description, now=self._now()
            )
        )

    async def get(self, project_id: int) -> Project:
        """The project; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=project_id))

    async def find(self, project_id: int) -> Project | None:
        """The project, or None."""
        return await self._run(self._get.optional(id=project_id))

    async def find_by_name(self, name: str) -> Project | None:
        """The newest project of exactly this name, or None."""
        return await self._run(self._find_by_name.optional(name=name))

    async def find_by_workspace(self, path: str) -> Project | None:
        """The newest project of exactly this workspace_path, or None."""
        return await self._run(self._find_by_workspace.optional(workspace_path=path))

    async def list(self, *, limit: int | None = 100, offset: int = 0) -> builtins.list[Project]:
        """Projects, newest first."""
        return await self._run(self._list.all(limit=limit, offset=offset))

    async def list_with_stats(
        self, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[ProjectStats]:
        """Projects with their numbers of videos and clips, newest first. limit None: all."""
        return await self._run(self._list_with_stats.all(limit=limit, offset=offset))

    async def get_with_videos(self, project_id: int) -> ProjectWithVideos:
        """The project and its videos, in one read transaction; RecordNotFoundError for an unknown id."""
        project, videos = await self._batch(
            self._get.one(id=project_id), self._videos.all(project_id=project_id)
        )
        return ProjectWithVideos(project, videos)

    async def count(self) -> int:
        """How many projects there are."""
        return await self._run(self._count.one())

    async def update(self, project_id: int, **changes: Unpack[ProjectChanges]) -> Project:
        """Changes name, description, workspace_path as passed and returns the project.

        None clears the description. updated_at moves only when a value changed. TypeError for any other
        field, RecordNotFoundError for an unknown id.
        """
        parameters = self._update.changes(changes, id=project_id, now=self._now())
        return await self._run(self._update.one(**parameters))

    async def delete(self, project_id: int, *, missing_ok: bool = False) -> bool:
        """Deletes the project with its videos and clips.

        True when it existed; otherwise RecordNotFoundError, or False with missing_ok.
        """
        count = await self._run(self._delete.count(id=project_id))
        return self._deleted(count, project_id, missing_ok=missing_ok)
