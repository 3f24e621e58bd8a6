"""A worker process, of which there may be many: ``MEDIA_DATABASE=media.db python worker_process.py``."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import reelbase


async def main() -> None:
    async with reelbase.connect(os.environ.get("MEDIA_DATABASE", "media.db")) as database:

        async def transcribe(run: reelbase.JobRun) -> dict[str, Any]:
            """The slow work, outside of any unit of work. An exception is a failed attempt."""
            file = await database.files.get(run.job.params["file_id"])
            for percent in range(0, 100, 10):
                await asyncio.sleep(run.job.params.get("seconds", 0) / 10)
                await run.progress(percent / 100)
            transcript = await database.transcripts.add(
                run.job.profile_id, file.id, f"about {file.name}"
            )
            return {"transcript_id": str(transcript.id)}

        # Until SIGTERM; then it finishes its jobs, and gives back what takes longer than grace.
        await database.work({"transcribe": transcribe}, concurrency=2, grace=1.0)


if __name__ == "__main__":
    asyncio.run(main())
