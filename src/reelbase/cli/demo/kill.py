"""A worker process that is killed while it holds a job, so that one can see how the job goes on.

The process claims one of the jobs that wait, tells its id, and is killed. The job's lease ends; a worker of
this process claims the job again and finishes it, as it would after a crash or a power cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

import reelbase
from reelbase import Database
from reelbase.cli.demo.queue import JOB_TYPE, Found

_LEASE_SECONDS: Final = 2.0  # on a busy machine it takes a while until the process is killed
_PATIENCE_SECONDS: Final = 8.0  # for the process to start and to claim a job
_POLL_SECONDS: Final = 0.02

# The process finds its modules where this one does.
_SCRIPT: Final = (
    "import sys; sys.path[:] = sys.argv[4:]; from reelbase.cli.demo.kill import main; main()"
)


class Kill(msgspec.Struct, frozen=True):
    """A job whose worker was killed. lease_seconds: from the kill to the end of the lease.

    status, attempts, seconds: of the job when all is done; seconds since the kill.
    """

    pid: int
    job_id: UUID
    path: str
    killed_at: datetime
    lease_seconds: float
    status: str = "running"
    attempts: int = 1
    seconds: float = 0.0


class NoKill(msgspec.Struct, frozen=True):
    """Why no worker was killed."""

    reason: str


NO_JOB: Final = NoKill("no job was waiting; with a new database, or a changed file, one is")


async def kill_a_worker(database: Database, found: Found) -> Kill | NoKill:
    """Starts a worker process when there is a job to claim, and kills it when it has claimed one.

    Only then may the workers of this process begin: they would leave it none.
    """
    while not found.jobs and not found.is_complete:  # noqa: ASYNC110  counted, not set
        await asyncio.sleep(_POLL_SECONDS)
    if not found.jobs:
        return NO_JOB
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            pid, answer, complaint = await _killed_process(database)
    except TimeoutError:
        return NoKill(f"the worker process claimed no job in {_PATIENCE_SECONDS:.0f} s")
    except (OSError, ValueError, NotImplementedError) as error:
        return NoKill(f"no process can be started here ({str(error) or type(error).__name__})")
    if not answer:
        return NoKill(f"the worker process has failed ({complaint or 'without a word'})")
    if answer == "none":
        return NoKill("another run holds every job")
    killed_at = datetime.now(UTC)
    job = await database.jobs.get(answer)
    file = await database.files.find(job.params["file_id"])
    lease = job.lease_expires_at or killed_at
    return Kill(
        pid=pid,
        job_id=job.id,
        path=file.path if file else "a file that is deleted",
        killed_at=killed_at,
        lease_seconds=max(0.0, (lease - killed_at).total_seconds()),
    )


async def _killed_process(database: Database) -> tuple[int, str, str]:
    """The process's id, its output, and the last line of its errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable or "",
        "-c",
        _SCRIPT,
        str(database.path),
        database.journal.mode,
        str(_LEASE_SECONDS),
        *sys.path,
        stdin=asyncio.subprocess.PIPE,  # its end ends the process, also when this one is killed
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for this process, which ends the other one
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        answer = (await process.stdout.readline()).decode().strip()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()  # SIGKILL
        process.stdin.close()
        _, errors = await process.communicate()
    lines = errors.decode(errors="replace").strip().splitlines()
    return process.pid, answer, lines[-1] if lines else ""


async def outcome(database: Database, kill: Kill | NoKill) -> Kill | NoKill:
    """The job as it is now."""
    if isinstance(kill, NoKill):
        return kill
    job = await database.jobs.find(kill.job_id)
    if job is None:  # deleted by another program
        return kill
    return msgspec.structs.replace(
        kill,
        status=job.status.value,
        attempts=job.attempts,
        seconds=((job.finished_at or kill.killed_at) - kill.killed_at).total_seconds(),
    )


async def hold_a_job(path: str, journal: str, lease: float) -> None:
    """In the second process: claims a job, tells its id, and waits to be killed."""
    async with reelbase.connect(
        path,
        journal="wal" if journal == "wal" else "delete",
        create=False,
        migrate=False,
        busy_timeout=30.0,
    ) as database:
        job = await database.jobs.claim(f"demo-killed-{os.getpid()}", types=[JOB_TYPE], lease=lease)
        print(job.id if job else "none", flush=True)
        if job:
            await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Runs the second process."""
    path, journal, lease = sys.argv[1:4]
    asyncio.run(hold_a_job(path, journal, float(lease)))
