"""A FastAPI application: ``MEDIA_DATABASE=media.db uvicorn fastapi_application:app --workers 2``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

import msgspec
from fastapi import FastAPI
from msgspec import UNSET, UnsetType
from starlette.responses import StreamingResponse

import reelbase
from reelbase import fastapi as door

app = FastAPI(
    lifespan=door.lifespan(os.environ.get("MEDIA_DATABASE", "media.db")),
    responses={status: {"model": door.Problem} for status in (404, 409)},
)
door.install_error_handlers(app)


class FilePatch(reelbase.Record, frozen=True, forbid_unknown_fields=True):
    """The fields of a file that a client can change; one that is not sent stays as it is."""

    name: str | UnsetType = UNSET
    folder: str | UnsetType | None = UNSET


class FilePage(reelbase.Record, frozen=True):
    """A part of a list. next: for the part after it; null: there is none."""

    files: list[reelbase.File]
    next: str | None


class JobState(reelbase.Record, frozen=True):
    """What a client sees of a job. Its error_details stay here: they hold a traceback, with paths of the
    server."""

    id: UUID
    status: reelbase.JobStatus
    progress: float
    error: str | None
    finished_at: datetime | None


class Added(reelbase.Record, frozen=True):
    """A new file, and the job that reads it."""

    file: reelbase.File
    job: JobState


@app.post("/profiles/{profile_id}/files", status_code=201)
async def add_file(profile_id: str, new: reelbase.NewFile, unit: door.UnitDependency) -> Added:
    """Both rows or none, committed before the client reads 201."""
    await unit.profiles.ensure(profile_id)
    (file,) = await unit.files.add_many(profile_id, [new])
    job = await unit.jobs.add(profile_id, "transcribe", {"file_id": str(file.id)}, max_attempts=3)
    return Added(file, state_of(job))


@app.get("/profiles/{profile_id}/files")
async def list_files(
    profile_id: str, asked: door.PageDependency, database: door.DatabaseDependency
) -> FilePage:
    """``?limit=50&after=…``, where after is the ``next`` of the page before."""
    page = await database.files.page(profile_id, **asked)
    return FilePage(page, page.next)


@app.get("/files/{file_id}", response_model_exclude={"path"})
async def get_file(file_id: UUID, database: door.DatabaseDependency) -> reelbase.File:
    """404 as a problem document, when there is none. Where the bytes are is no business of the client."""
    return await database.files.get(file_id)


@app.patch("/files/{file_id}")
async def change_file(
    file_id: UUID, patch: FilePatch, database: door.DatabaseDependency
) -> reelbase.File:
    return await database.files.update(file_id, **msgspec.structs.asdict(patch))


@app.delete("/files/{file_id}", status_code=204)
async def delete_file(file_id: UUID, database: door.DatabaseDependency) -> None:
    await database.files.delete(file_id)


@app.get("/jobs/{job_id}/events")
async def follow_job(job_id: UUID, database: door.DatabaseDependency) -> StreamingResponse:
    """Server-sent events: the job whenever it has changed, until it has ended. The last one has
    ``finished_at``, at which the client closes its EventSource, or it would connect again."""
    await database.jobs.get(job_id)  # 404 now, while the response can still be one
    return door.event_stream(states_of(database, job_id))


def state_of(job: reelbase.Job) -> JobState:
    # The text of a JobFailure is written for readers; that of any other exception may name files, too.
    error = "the job has failed" if job.error_code == "exception" else job.error
    return JobState(job.id, job.status, job.progress, error, job.finished_at)


async def states_of(database: reelbase.Database, job_id: UUID) -> AsyncIterator[JobState]:
    """The worker may be another process: its commits are seen, too."""
    async with database.changes("jobs") as changes:
        state = state_of(await database.jobs.get(job_id))
        yield state
        while state.finished_at is None:
            await anext(changes)
            seen, state = state, state_of(await database.jobs.get(job_id))
            if state != seen:
                yield state
