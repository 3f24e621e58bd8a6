"""A Litestar application: ``MEDIA_DATABASE=media.db uvicorn litestar_application:app --workers 2``."""

from __future__ import annotations

import os
from uuid import UUID

from litestar import Litestar, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

import reelbase
from reelbase import litestar as door


class FilePage(reelbase.Record, frozen=True):
    """A part of a list. next: for the part after it; null: there is none."""

    files: list[reelbase.File]
    next: str | None


@post("/profiles/{profile_id:str}/files")
async def add_file(
    profile_id: FromPath[str],
    data: JSONBody[reelbase.NewFile],
    unit: NamedDependency[reelbase.UnitOfWork],
) -> reelbase.File:
    """Both rows or none, committed before the client reads 201."""
    await unit.profiles.ensure(profile_id)
    (file,) = await unit.files.add_many(profile_id, [data])
    await unit.jobs.add(profile_id, "transcribe", {"file_id": str(file.id)}, max_attempts=3)
    return file


@get("/profiles/{profile_id:str}/files")
async def list_files(
    profile_id: FromPath[str],
    page: NamedDependency[door.PageParameters],
    database: NamedDependency[reelbase.Database],
) -> FilePage:
    files = await database.files.page(profile_id, **page)
    return FilePage(files, files.next)


@get("/files/{file_id:uuid}")
async def get_file(
    file_id: FromPath[UUID], database: NamedDependency[reelbase.Database]
) -> reelbase.File:
    """404 as a problem document, when there is none."""
    return await database.files.get(file_id)


app = Litestar(
    [add_file, list_files, get_file],
    plugins=[door.ReelbasePlugin(os.environ.get("MEDIA_DATABASE", "media.db"))],
)
