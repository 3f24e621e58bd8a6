"""A job that works on a file, and the status that the file has meanwhile: two tables that move together."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import reelbase
from reelbase import FileStatus


async def transcribe_later(database: reelbase.Database, file: reelbase.File) -> reelbase.Job:
    """The file is queued, and so is its job: both or none."""
    async with database.transaction() as unit:
        await unit.file_processing.enqueue(file.id)
        return await unit.jobs.add(
            file.profile_id, "transcribe", {"file_id": str(file.id)}, max_attempts=2
        )


async def transcribe(run: reelbase.JobRun) -> dict[str, Any]:
    """The handler. The job's attempts are what is tried again; the status of the file follows them."""
    file = await run.database.files.get(UUID(run.job.params["file_id"]))
    processing = run.database.file_processing
    # An attempt whose worker was killed, and one that is not the last, leave the status as it is.
    if (await processing.get(file.id)).status is not FileStatus.PROCESSING:
        await processing.start(file.id)
    try:
        # The slow work, outside of any unit of work.
        text = await asyncio.to_thread(Path(file.path).read_text)
    except OSError as error:
        if run.job.attempts == run.job.max_attempts:
            await processing.fail(file.id, str(error))
        raise

    async def store(unit: reelbase.UnitOfWork) -> str:
        transcript = await unit.transcripts.add(file.profile_id, file.id, text)
        await unit.file_processing.complete(file.id)
        return str(transcript.id)

    return {"transcript_id": await run.step("store", store)}
