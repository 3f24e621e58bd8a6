"""The recipes of the cookbook besides the three web applications."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from file_status import transcribe, transcribe_later
from in_lists import names_of
from monitored_application import app

import reelbase
from reelbase import Database, FileStatus, Job, JobHandler, JobStatus

HERE = Path(__file__).parent


async def test_the_files_of_a_list_are_found_at_once(database: Database) -> None:
    await database.profiles.ensure("ann")
    files = [await database.files.add("ann", f"{number}.mkv", "p") for number in range(3)]
    asked = [files[2].id, files[0].id, uuid4()]
    assert await names_of(database, asked) == {files[0].id: "0.mkv", files[2].id: "2.mkv"}
    assert await names_of(database, []) == {}


@pytest.mark.parametrize("is_there", [True, False])
async def test_the_status_of_a_file_follows_its_job(
    database: Database, tmp_path: Path, is_there: bool
) -> None:
    await database.profiles.ensure("ann")
    path = tmp_path / "talk.txt"
    file = await database.files.add("ann", "talk", str(path))
    job = await transcribe_later(database, file)
    assert (await database.file_processing.get(file.id)).status is FileStatus.QUEUED
    if is_there:
        path.write_text("good morning")
    working = asyncio.create_task(
        database.work({"transcribe": JobHandler(transcribe, backoff=lambda attempt: 0.0)})
    )
    done = await database.jobs.wait(job.id, timeout=10)
    working.cancel()
    await asyncio.wait([working])
    processing = await database.file_processing.get(file.id)
    transcripts = await database.transcripts.list_for_file(file.id)
    if is_there:
        assert (done.status, processing.status) == (JobStatus.SUCCEEDED, FileStatus.COMPLETED)
        assert [transcript.text for transcript in transcripts] == ["good morning"]
    else:
        assert (done.status, done.attempts) == (JobStatus.FAILED, 2)
        assert processing.status is FileStatus.ERROR
        assert transcripts == []


async def test_an_application_works_on_its_jobs_and_tells_prometheus(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDIA_DATABASE", str(path))
    async with app.router.lifespan_context(app) as state:
        assert state is not None
        database: Database = state["database"]
        await database.profiles.ensure("ann")
        file = await database.files.add("ann", "a.mkv", "p")
        job = await database.jobs.add("ann", "transcribe", {"file_id": str(file.id)})
        done = await database.jobs.wait(job.id, timeout=10)
        assert done.status == reelbase.JobStatus.SUCCEEDED
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert 'reelbase_statement_seconds_count{name="JobRepository.claim' in answer.text
        assert f'reelbase_waiting_writes{{process="{os.getpid()}"}} 0' in answer.text
        assert "# TYPE reelbase_waiting_jobs gauge" in answer.text
    assert database.closed


@pytest.mark.long
def test_the_nightly_script_adds_the_files_of_a_folder_and_keeps_a_copy(
    path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("b.mkv", "a.mkv", "notes.txt"):
        (folder / name).touch()
    done = subprocess.run(
        [sys.executable, "nightly_script.py", folder],
        cwd=HERE,
        env={**os.environ, "MEDIA_DATABASE": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("2 files added, 0 jobs purged\n", "")
    with reelbase.connect_sync(folder / "media.backup.db", read_only=True) as copy:
        assert {file.name for file in copy.files.list()} == {"a.mkv", "b.mkv"}


# The worker process


async def job_of(database: Database, seconds: float) -> Job:
    await database.profiles.ensure("ann")
    file = await database.files.add("ann", "a.mkv", "p")
    params = {"file_id": str(file.id), "seconds": seconds}
    return await database.jobs.add("ann", "transcribe", params, max_attempts=2)


async def until(database: Database, job: Job, is_so: Callable[[Job], bool]) -> Job:
    end = time.monotonic() + 30
    while not is_so(found := await database.jobs.get(job.id)):
        assert time.monotonic() < end, found
    return found


def started(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "worker_process.py"],
        cwd=HERE,
        env={**os.environ, "MEDIA_DATABASE": str(path)},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.long
async def test_a_worker_does_a_job_and_puts_the_next_one_back_when_it_is_stopped(
    path: Path,
) -> None:
    async with reelbase.connect(path) as database:
        first = await job_of(database, 0)
        worker = started(path)
        try:
            done = await until(database, first, lambda job: job.status == "succeeded")
            assert done.result is not None
            assert await database.transcripts.get(done.result["transcript_id"])
            second = await job_of(database, 60)
            await until(database, second, lambda job: job.progress > 0 or job.status == "running")
        finally:
            worker.send_signal(signal.SIGTERM)
            _, said = worker.communicate(timeout=30)
        assert (worker.returncode, said) == (0, "")
        released = await database.jobs.get(second.id)
        assert (released.status, released.worker, released.attempts) == ("queued", None, 0)


# Deployment


@pytest.mark.long
def test_a_root_that_is_read_only_is_enough(
    mount_namespace: list[str], path: Path, tmp_path: Path
) -> None:
    """Only the folder of the database is written, also by a backup and VACUUM."""
    program = """
import asyncio, sys, reelbase

async def main():
    async with reelbase.connect(sys.argv[1]) as database:
        await database.profiles.ensure("ann")
        await database.vacuum()
        await database.backup(sys.argv[1] + ".bak")
        print((await database.check()).ok)

asyncio.run(main())
"""
    mounts = 'mount --bind "$0" "$0" && mount -o remount,bind,ro / && ! touch /tmp/x 2>/dev/null'
    command = [*mount_namespace, "sh", "-c", f'{mounts} && exec "$@"', str(tmp_path)]
    done = subprocess.run(
        [*command, sys.executable, "-B", "-c", program, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
