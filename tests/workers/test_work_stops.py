"""Promises of database.work() about many jobs at once, and about its end: no job and no attempt is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any, Literal

import pytest
from test_work import ended, job_of, until, working

import reelbase
from reelbase import BlockingJobRun, Database, Job, JobRepository, JobRun


async def idle(run: JobRun) -> None:
    await asyncio.Event().wait()


async def nothing(run: JobRun) -> None:
    pass


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# Many at once


@pytest.mark.long
@pytest.mark.parametrize("concurrency", [1, 4])
async def test_as_many_handlers_run_at_once_as_was_said(
    concurrency: int, database: Database
) -> None:
    running, most = 0, 0

    async def handler(run: JobRun) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    jobs = [await job_of(database) for _ in range(20)]
    async with working(database, {"t": handler}, concurrency=concurrency):
        for job in jobs:
            assert (await ended(database, job)).status == "succeeded"
    assert most == concurrency


async def test_two_workers_share_the_jobs_and_do_each_once(database: Database) -> None:
    done: list[Any] = []

    async def handler(run: JobRun) -> None:
        done.append(run.job.id)
        await asyncio.sleep(0)

    jobs = [await job_of(database) for _ in range(200)]
    async with working(database, {"t": handler}), working(database, {"t": handler}):
        await until(lambda: len(done) >= 200)
    assert sorted(done) == [job.id for job in jobs]


async def test_the_children_of_a_batch_are_done_and_the_parent_follows(database: Database) -> None:
    await database.profiles.ensure("ann")
    parent, _ = await database.jobs.add_batch("ann", "t", {}, [{"n": n} for n in range(10)])
    async with working(database, {"t": nothing}):
        assert (await ended(database, parent)).result == {
            "succeeded": 10,
            "failed": 0,
            "cancelled": 0,
        }


async def test_a_unit_of_work_is_all_or_nothing_with_its_jobs(database: Database) -> None:
    await database.profiles.ensure("ann")
    done: list[Any] = []

    async def handler(run: JobRun) -> None:
        done.append(run.job.params["n"])

    async with working(database, {"t": handler}):
        async with database.transaction() as unit:
            await unit.jobs.add("ann", "t", {"n": 1})
            await unit.rollback()
        async with database.transaction() as unit:
            job = await unit.jobs.add("ann", "t", {"n": 2})
            await asyncio.sleep(0.2)
            assert done == []
        await ended(database, job)
    assert done == [2]


@pytest.mark.long
async def test_an_idle_worker_starts_a_job_that_another_connection_adds(
    path: Path,
    journal: Literal["wal", "delete"],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told of it, and need not look."""
    monkeypatch.setattr("reelbase.workers.worker._DUE_SECONDS", 3600)
    async with reelbase.connect(path, journal=journal) as other, working(database, {"t": nothing}):
        for holder in (other, database, other):
            await asyncio.sleep(0.05)
            assert (await ended(database, await job_of(holder))).status == "succeeded"


# The end


@pytest.mark.long
async def test_a_stop_waits_for_the_handlers(database: Database) -> None:
    running = asyncio.Event()

    async def handler(run: JobRun) -> dict[str, Any]:
        running.set()
        await asyncio.sleep(0.1)
        return {"cancelled": run.cancelled}

    job, waiting = await job_of(database), await job_of(database)
    task = asyncio.create_task(database.work({"t": handler}, concurrency=1))
    await running.wait()
    await stopped(task)
    assert (await database.jobs.get(job.id)).result == {"cancelled": False}
    assert await database.jobs.get(waiting.id) == waiting


@pytest.mark.parametrize("swallows", [False, True])
async def test_a_stop_gives_back_what_takes_longer_than_grace_and_costs_no_attempt(
    swallows: bool, database: Database
) -> None:
    running = asyncio.Event()

    async def handler(run: JobRun) -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert run.cancelled
            if not swallows:
                raise

    job = await job_of(database)
    task = asyncio.create_task(database.work({"t": handler}, grace=0.05))
    await running.wait()
    await stopped(task)
    found = await database.jobs.get(job.id)
    assert (found.status, found.attempts, found.worker) == ("queued", 0, None)


async def test_a_result_that_comes_in_spite_of_the_stop_is_kept(database: Database) -> None:
    running = asyncio.Event()

    async def handler(run: JobRun) -> dict[str, Any]:
        running.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return {"files": 7}

    job = await job_of(database)
    task = asyncio.create_task(database.work({"t": handler}, grace=0))
    await running.wait()
    await stopped(task)
    assert (await database.jobs.get(job.id)).result == {"files": 7}


async def test_a_thread_may_end_after_a_stop(database: Database) -> None:
    def handler(run: BlockingJobRun) -> None:
        while not run.cancelled:
            time.sleep(0.005)

    job = await job_of(database)
    task = asyncio.create_task(database.work({"t": handler}, grace=0))
    await until(lambda: is_running(database, job))
    await stopped(task)
    assert (await database.jobs.get(job.id)).status == "queued"


async def is_running(database: Database, job: Job) -> bool:
    return (await database.jobs.get(job.id)).status == "running"


async def test_a_second_cancel_ends_the_grace(database: Database) -> None:
    job, began = await job_of(database), asyncio.Event()

    async def handler(run: JobRun) -> None:
        began.set()
        await idle(run)

    task = asyncio.create_task(database.work({"t": handler}, grace=3600))
    await began.wait()  # a job that no handler works on yet is given back at once
    task.cancel()
    await asyncio.sleep(0.05)
    assert not task.done()
    async with asyncio.timeout(5):
        await stopped(task)
    assert (await database.jobs.get(job.id)).status == "queued"


async def test_a_job_that_is_claimed_during_the_stop_is_given_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, claimed, go_on = JobRepository.claim_many, asyncio.Event(), asyncio.Event()

    async def slow(self: JobRepository, worker: str, count: int, **options: Any) -> list[Job]:
        jobs = await claim(self, worker, count, **options)
        claimed.set()
        await go_on.wait()
        return jobs

    monkeypatch.setattr(JobRepository, "claim_many", slow)
    job = await job_of(database)
    task = asyncio.create_task(database.work({"t": idle}, concurrency=1))
    await claimed.wait()
    task.cancel()
    await asyncio.sleep(0.05)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    found = await database.jobs.get(job.id)
    assert (found.status, found.attempts) == ("queued", 0)


async def test_an_idle_worker_stops_at_once(database: Database) -> None:
    task = asyncio.create_task(database.work({"t": nothing}, concurrency=16, grace=3600))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(1):
        await stopped(task)


async def test_a_handler_that_does_not_end_keeps_its_job_until_the_lease_ends(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else another worker would begin while it still runs."""
    monkeypatch.setattr("reelbase.workers.runs.PATIENCE_SECONDS", 0.05)
    running, end = asyncio.Event(), asyncio.Event()

    async def handler(run: JobRun) -> None:
        running.set()
        while not end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await end.wait()

    job = await job_of(database)
    task = asyncio.create_task(database.work({"t": handler}, grace=0))
    await running.wait()
    await stopped(task)
    assert await is_running(database, job)
    assert "still runs; the worker goes on without it" in caplog.text
    end.set()


async def test_no_task_is_left_behind(database: Database) -> None:
    before = asyncio.all_tasks()
    job = await job_of(database)
    async with working(database, {"t": nothing}, concurrency=8):
        await ended(database, job)
    assert asyncio.all_tasks() == before


@pytest.mark.long
async def test_an_error_that_no_repetition_mends_ends_the_work(
    path: Path, journal: Literal["wal", "delete"], database: Database
) -> None:
    async with reelbase.connect(path, journal=journal, read_only=True) as reading:
        with pytest.raises(reelbase.DatabaseReadOnlyError):
            await reading.work({"t": nothing})


# SIGTERM

PROGRAM = """
    import asyncio, signal, sys
    import reelbase

    async def slow(run):
        print("running", flush=True)
        await asyncio.Event().wait()

    async def main():
        async with reelbase.connect(sys.argv[1]) as database:
            {before}
            await database.work({{"t": slow}}, grace=0.2)
            print("over", flush=True)

    asyncio.run(main())
"""


def program(path: Path, before: str = "") -> subprocess.Popen[str]:
    """A program whose worker has begun its job."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM.format(before=before)), path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    return process


@pytest.mark.long
async def test_sigterm_gives_the_jobs_back_and_the_program_goes_on(
    path: Path, database: Database
) -> None:
    job = await job_of(database)
    process = await asyncio.to_thread(program, path)
    process.send_signal(signal.SIGTERM)
    output, errors = await asyncio.to_thread(process.communicate, timeout=10)
    assert (process.returncode, output, errors) == (0, "over\n", "")
    found = await database.jobs.get(job.id)
    assert (found.status, found.attempts) == ("queued", 0)


@pytest.mark.long
async def test_the_programs_own_handler_of_sigterm_stays(path: Path, database: Database) -> None:
    before = 'signal.signal(signal.SIGTERM, lambda *_: print("mine", flush=True))'
    await job_of(database)
    process = await asyncio.to_thread(program, path, before)
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == "mine\n"
    process.send_signal(signal.SIGINT)  # asyncio.run() cancels the program then
    output, _ = await asyncio.to_thread(process.communicate, timeout=10)
    assert "over" not in output
    assert (await database.jobs.list_unfinished())[0].status == "queued"


async def test_two_workers_of_one_program_both_heed_sigterm_and_leave_no_handler(
    database: Database,
) -> None:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    async with asyncio.timeout(10):
        tasks = [asyncio.create_task(database.work({"t": nothing})) for _ in range(2)]
        await until(lambda: signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.gather(*tasks)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
