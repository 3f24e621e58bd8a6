"""An application that works on its jobs itself, and that Prometheus can ask:
``uvicorn monitored_application:app``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

import reelbase
from reelbase.fastapi import DatabaseDependency, lifespan
from reelbase.telemetry import Metrics, prometheus_text

metrics = Metrics()


async def transcribe(run: reelbase.JobRun) -> dict[str, str]:
    """The slow work, outside of any unit of work."""
    file = await run.database.files.get(run.job.params["file_id"])
    transcript = await run.database.transcripts.add(
        run.job.profile_id, file.id, f"about {file.name}"
    )
    return {"transcript_id": str(transcript.id)}


@asynccontextmanager
async def with_worker(app: FastAPI) -> AsyncIterator[dict[str, reelbase.Database]]:
    opening = lifespan(os.environ.get("MEDIA_DATABASE", "media.db"), observers=[metrics])
    async with opening(app) as state:
        work = state["database"].work({"transcribe": transcribe}, concurrency=2, grace=5.0)
        working = asyncio.create_task(work)
        try:
            yield state
        finally:
            working.cancel()  # it finishes its jobs, and gives back what takes longer than grace
            await asyncio.wait([working])


app = FastAPI(lifespan=with_worker)


@app.get("/metrics")
async def get_metrics(database: DatabaseDependency) -> PlainTextResponse:
    queues = await database.jobs.queues()
    return PlainTextResponse(
        prometheus_text(database, metrics, process=str(os.getpid()), queues=queues)
    )
