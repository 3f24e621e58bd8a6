"""Promises of the queue to many workers at once, and to whoever mixes all its verbs."""

import asyncio
import os
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import reelbase
from reelbase import Database, InvalidTransitionError, Job, JobRepository, RecoveryReport
from reelbase.testing.clock import START, FrozenClock

T = TypeVar("T")
FINISHED = ("succeeded", "failed", "cancelled")


async def fill(database: Database) -> set[UUID]:
    """Two hundred jobs alone and a hundred in batches; the ids of those that are work."""
    jobs = database.jobs
    for profile in ("anna", "ben"):
        await database.profiles.ensure(profile)
    added = [
        await jobs.add(("anna", "ben")[n % 2], "abc"[n % 3], {"n": n}, priority=n % 5)
        for n in range(200)
    ]
    for size in (1, 9, 40, 50):
        _, children = await jobs.add_batch("anna", "a", {}, [{"n": n} for n in range(size)])
        added += children
    return {job.id for job in added}


async def assert_all_is_done(jobs: JobRepository, work: set[UUID]) -> None:
    """Every job was done once, and the parents know."""
    assert await jobs.list_unfinished() == []
    done = await jobs.list_for_profile("anna") + await jobs.list_for_profile("ben")
    for parent in [job for job in done if job.id not in work]:
        children = await jobs.list_children(parent.id)
        ends = Counter(str(child.status) for child in children)
        assert (parent.status, parent.completed, parent.progress) == ("succeeded", len(children), 1)
        assert parent.result == {end: ends[end] for end in FINISHED}
        assert parent.attempts == 0
        done += children
    assert {job.id for job in done} >= work
    assert {job.attempts for job in done if job.id in work} == {1}


# Tasks


@pytest.mark.long
async def test_16_tasks_share_the_work(database: Database) -> None:
    work = await fill(database)
    jobs = database.jobs
    claimed: list[UUID] = []

    async def run(name: str, types: list[str] | None) -> int:
        count = 0
        while (job := await jobs.claim(name, types=types)) is not None:
            claimed.append(job.id)
            count += 1
            await jobs.heartbeat(job.id, name, progress=0.5)
            match count % 7:
                case 5:
                    await jobs.fail(job.id, "no", worker=name)
                case 6:
                    await jobs.cancel(job.id)
                case _:
                    await jobs.succeed(job.id, {"by": name}, worker=name)
        return count

    choices = (None, ["a"], ["b", "c"], ["c", "a", "b"])
    shares = await asyncio.gather(*(run(f"w{n}", choices[n % 4]) for n in range(16)))
    assert sum(shares) == len(claimed) == len(work)
    assert set(claimed) == work
    await assert_all_is_done(jobs, work)


# Processes

WORKER = textwrap.dedent(
    """
    import asyncio, sys
    from datetime import UTC, datetime
    import reelbase

    path, journal, name, action = sys.argv[1:]
    start = datetime(2026, 1, 31, 12, tzinfo=UTC)

    async def work(jobs, name):
        while (job := await jobs.claim(name, lease=60)) is not None:
            print(job.id, flush=True)
            if action == "finish":
                await jobs.heartbeat(job.id, name, progress=0.5)
                await jobs.succeed(job.id, {"by": name}, worker=name)

    async def main():
        options = dict(journal=journal, busy_timeout=60, clock=lambda: start)
        async with reelbase.connect(path, **options) as database:
            print("ready", flush=True)
            sys.stdin.readline()
            await asyncio.gather(*(work(database.jobs, f"{name}.{n}") for n in range(2)))

    asyncio.run(main())
    """
)


class WorkerProcess:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.stdin = process.stdin
        self.stdout = process.stdout

    async def line(self) -> str:
        return (await self.stdout.readline()).decode().strip()

    def go(self) -> None:
        self.stdin.write(b"go\n")

    async def rest(self) -> list[str]:
        """What it still prints until it ends."""
        lines = (await self.stdout.read()).decode().splitlines()
        self.stdin.close()
        await self.process.wait()
        return lines


async def start_worker(path: Path, journal: str, name: str, action: str) -> WorkerProcess:
    source = str(Path(reelbase.__file__).parents[1])
    worker = WorkerProcess(
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", "-c", WORKER, str(path), journal, name, action),
            env=os.environ | {"PYTHONPATH": source},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
    )
    assert await worker.line() == "ready"
    return worker


@pytest.mark.long
async def test_four_processes_share_the_work(database: Database, path: Path, journal: str) -> None:
    work = await fill(database)
    starts = (start_worker(path, journal, f"p{n}", "finish") for n in range(4))
    workers = await asyncio.gather(*starts)
    for worker in workers:
        worker.go()
    printed = await asyncio.gather(*(worker.rest() for worker in workers))
    assert [worker.process.returncode for worker in workers] == [0] * 4
    claimed = [UUID(line) for lines in printed for line in lines]
    assert Counter(claimed).most_common(1)[0][1] == 1
    assert set(claimed) == work
    await assert_all_is_done(database.jobs, work)


@pytest.mark.long
async def test_others_take_over_from_a_killed_worker_when_its_leases_expire(
    database: Database, path: Path, journal: str, clock: FrozenClock
) -> None:
    jobs = database.jobs
    await database.profiles.ensure("anna")
    parent, children = await jobs.add_batch("anna", "t", {}, [{}] * 3)
    retried = [(await jobs.add("anna", "t", {}, priority=1, max_attempts=2)).id for _ in range(5)]
    worker = await start_worker(path, journal, "doomed", "keep")
    worker.go()
    claimed = {UUID(await worker.line()) for _ in range(8)}
    worker.process.kill()
    await worker.rest()
    assert claimed == {*retried, *(child.id for child in children)}
    assert (await jobs.get(parent.id)).status == "running"

    clock.advance(59.999)
    assert await jobs.claim("heir") is None
    assert await jobs.recover() == RecoveryReport(failed=0, left_queued=0)
    clock.advance(0.001)
    for job_id in retried:
        job = await jobs.claim("heir")
        assert job is not None
        assert (job.id, job.attempts, job.worker) == (job_id, 2, "heir")
        await jobs.succeed(job_id, worker="heir")
    assert await jobs.claim("heir") is None
    after = await jobs.get(parent.id)
    assert (after.status, after.completed) == ("succeeded", 3)
    assert after.result == {"succeeded": 0, "failed": 3, "cancelled": 0}


@pytest.mark.long
@pytest.mark.parametrize("printed", [1, 20, pytest.param(150, marks=pytest.mark.slow)])
async def test_a_worker_killed_amid_its_work_loses_nothing_that_it_finished(
    database: Database, path: Path, journal: str, clock: FrozenClock, printed: int
) -> None:
    work = await fill(database)
    jobs = database.jobs
    worker = await start_worker(path, journal, "doomed", "finish")
    worker.go()
    claimed = [UUID(await worker.line()) for _ in range(printed)]
    worker.process.kill()
    claimed += [UUID(line) for line in await worker.rest() if len(line) == 36]
    held = 0
    for job_id in claimed:
        job = await jobs.get(job_id)
        assert job.status in ("running", "succeeded")
        assert job.attempts == 1
        held += job.status == "running"
    assert held <= 4  # two tasks, and what was claimed but never printed
    assert (await database.fetch_one(str, "PRAGMA integrity_check")) == "ok"

    clock.advance(60)
    while (other := await jobs.claim("heir")) is not None:
        await jobs.succeed(other.id, worker="heir")
    assert await jobs.list_unfinished() == []
    await assert_all_is_done(jobs, work)


# The rules, once more, in plain Python


@dataclass(eq=False)
class ModelJob:
    number: int
    type: str
    total: int
    priority: int
    max_attempts: int
    created_at: datetime
    run_after: datetime | None
    parent: "ModelJob | None" = None
    children: "list[ModelJob]" = field(default_factory=list)
    status: str = "queued"
    attempts: int = 0
    worker: str | None = None
    lease_expires_at: datetime | None = None
    progress: float = 0.0
    completed: int = 0
    result: dict[str, Any] | None = None
    error: str | None = None
    finished_at: datetime | None = None

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED

    def due(self, now: datetime) -> bool:
        """Whether somebody may claim it."""
        if self.children:
            return False
        if self.status == "queued":
            return self.run_after is None or self.run_after <= now
        return self.has_expired(now) and self.attempts < self.max_attempts

    def has_expired(self, now: datetime) -> bool:
        held_until = self.lease_expires_at
        return self.status == "running" and held_until is not None and held_until <= now

    def start(self) -> None:
        self.status = "running"
        if self.parent is not None and self.parent.status == "queued":
            self.parent.status = "running"

    def finish(self, status: str, now: datetime) -> None:
        self.status = status
        self.finished_at = now
        self.lease_expires_at = None
        parent = self.parent
        if parent is None:
            return
        parent.count()
        if (
            not parent.is_finished
            and parent.completed >= parent.total
            and all(child.is_finished for child in parent.children)
        ):
            ends = Counter(child.status for child in parent.children)
            parent.result = {end: ends[end] for end in FINISHED}
            parent.finish("succeeded", now)

    def count(self) -> None:
        finished = sum(child.is_finished for child in self.children)
        self.completed = finished
        self.progress = min(1.0, self.completed / max(self.total, 1))

    def requeue(self) -> None:
        self.status = "queued"
        self.result = self.error = self.finished_at = self.run_after = None
        if self.children:
            self.count()
        else:
            self.progress = self.completed = 0
        if self.parent is not None:
            self.parent.count()


class Model:
    """The queue as the contract tells it. A method that returns False refuses."""

    def __init__(self) -> None:
        self.now = START
        self.jobs: list[ModelJob] = []

    def add(self, parent: ModelJob | None, **fields: Any) -> None:
        number = self.jobs[-1].number + 1 if self.jobs else 0
        job = ModelJob(number, created_at=self.now, parent=parent, **fields)
        self.jobs.append(job)
        if parent is not None:
            parent.children.append(job)

    def claim(self, worker: str, types: list[str] | None, lease: float) -> ModelJob | None:
        for job in self.jobs:
            if job.has_expired(self.now) and job.attempts >= job.max_attempts:
                job.error = "lease expired"
                job.finish("failed", self.now)
        due = [
            job for job in self.jobs if job.due(self.now) and (types is None or job.type in types)
        ]
        if not due:
            return None
        job = min(due, key=lambda job: (-job.priority, job.created_at, job.number))
        job.start()
        job.worker = worker
        job.attempts += 1
        job.lease_expires_at = self.now + timedelta(seconds=lease)
        return job

    def heartbeat(self, job: ModelJob, worker: str, progress: float | None, lease: float) -> bool:
        if job.status != "running" or job.worker != worker:
            return False
        if progress is not None:
            job.progress = progress
        job.lease_expires_at = self.now + timedelta(seconds=lease)
        return True

    def may_finish(self, job: ModelJob, worker: str | None) -> bool:
        if job.is_finished:
            return False
        return worker is None or (job.status == "running" and job.worker == worker)

    def succeed(self, job: ModelJob, worker: str | None) -> bool:
        if not self.may_finish(job, worker):
            return False
        job.progress, job.completed, job.result = 1.0, job.total, {"r": 1}
        job.finish("succeeded", self.now)
        return True

    def fail(self, job: ModelJob, worker: str | None, retry_in: float | None) -> bool:
        if not self.may_finish(job, worker):
            return False
        job.error = "no"
        if retry_in is not None and job.attempts < job.max_attempts:
            job.status = "queued"
            job.worker = job.lease_expires_at = None
            job.run_after = self.now + timedelta(seconds=retry_in)
        else:
            job.finish("failed", self.now)
        return True

    def cancel(self, job: ModelJob) -> bool:
        if not job.is_finished:
            job.finish("cancelled", self.now)
            for child in job.children:
                if not child.is_finished:
                    child.finish("cancelled", self.now)
        return True

    def retry(self, job: ModelJob) -> bool:
        if not job.is_finished:
            return False
        failures = [child for child in job.children if child.status != "succeeded"]
        for child in failures or list(job.children):
            if child.is_finished:
                child.requeue()
        job.requeue()
        return True

    def update(self, job: ModelJob, status: str | None, progress: float | None) -> bool:
        if status is not None and status != job.status:
            if job.is_finished or status == "queued":
                return False
            if progress is not None:
                job.progress = progress
            if status == "running":
                job.start()
            else:
                job.finish(status, self.now)
                if status == "cancelled":
                    for child in job.children:
                        if not child.is_finished:
                            child.finish("cancelled", self.now)
        elif progress is not None:
            job.progress = progress
        return True

    def delete(self, job: ModelJob) -> None:
        parent = job.parent
        if parent is not None:
            if not job.is_finished:
                job.finish("cancelled", self.now)
            parent.children.remove(job)
            parent.total = max(parent.total - 1, 0)
            parent.count()
        self.jobs = [other for other in self.jobs if other is not job and other.parent is not job]

    def recover(self) -> RecoveryReport:
        before = {job.number for job in self.jobs if job.status == "failed"}

        def is_interrupted(job: ModelJob) -> bool:
            return job.status == "running" and (
                job.lease_expires_at is None or job.has_expired(self.now)
            )

        def is_in_other_hands(child: ModelJob) -> bool:
            return child.status == "running" and not is_interrupted(child)

        def has_attempts_left(job: ModelJob) -> bool:
            return job.attempts + (job.lease_expires_at is None) < job.max_attempts

        interrupted = [job for job in self.jobs if is_interrupted(job)]
        put_back = [job for job in interrupted if not job.children and has_attempts_left(job)]
        for job in put_back:
            job.attempts += job.lease_expires_at is None
            job.status, job.lease_expires_at, job.error = "queued", None, "interrupted"
            interrupted.remove(job)
        for job in interrupted:
            if (
                job.children
                and not has_attempts_left(job)
                and not any(is_in_other_hands(child) or child in put_back for child in job.children)
            ):
                job.error = "interrupted"
                job.finish("failed", self.now)
                for child in job.children:
                    if child.status == "queued":
                        child.error = "interrupted"
                        child.finish("failed", self.now)
        for job in interrupted:
            if not job.children:
                job.error = "interrupted"
                job.finish("failed", self.now)
        after = {job.number for job in self.jobs if job.status == "failed"}
        queued = sum(job.status == "queued" for job in self.jobs)
        return RecoveryReport(failed=len(after - before), left_queued=queued)


picks = st.integers(0, 30)
workers = st.sampled_from(["v", "w"])
types = st.sampled_from(["a", "b"])
leases = st.sampled_from([0, 1, 5])
maybe_workers = st.none() | workers


class QueueMachine(RuleBasedStateMachine):
    template: ClassVar[Path]
    folder: ClassVar[Path]
    journal: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FrozenClock()
        self.model = Model()
        self.ids: dict[int, UUID] = {}
        self.run(self._open())

    async def _open(self) -> None:
        path = shutil.copy(self.template, self.folder / "machine.db")
        self.database = await reelbase.connect(path, journal=self.journal, clock=self.clock)
        await self.database.profiles.ensure("anna")

    def teardown(self) -> None:
        self.run(self.database.close())
        self.runner.close()
        for file in self.folder.iterdir():
            file.unlink()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    @property
    def jobs(self) -> JobRepository:
        return self.database.jobs

    def pick(self, number: int, where: Callable[[ModelJob], bool]) -> ModelJob | None:
        found = [job for job in self.model.jobs if where(job)]
        return found[number % len(found)] if found else None

    def check(self, call: Coroutine[Any, Any, Job], allowed: bool) -> None:
        try:
            self.run(call)
        except InvalidTransitionError:
            assert not allowed
        else:
            assert allowed

    def known(self, job: Job) -> None:
        self.ids[self.model.jobs[-1].number] = job.id

    @initialize()
    def a_batch_and_a_job(self) -> None:
        self.add_batch(2, "a", "b")
        self.add_job("a", 0, 1, None, 1)

    @rule(
        type=types,
        priority=st.integers(0, 1),
        max_attempts=st.integers(1, 3),
        wait=st.sampled_from([None, 0, 5]),
        total=st.integers(0, 3),
    )
    def add_job(
        self, type: str, priority: int, max_attempts: int, wait: int | None, total: int
    ) -> None:
        run_after = None if wait is None else self.clock.now + timedelta(seconds=wait)
        fields: dict[str, Any] = {
            "type": type,
            "priority": priority,
            "max_attempts": max_attempts,
            "run_after": run_after,
            "total": total,
        }
        self.model.add(None, **fields)
        fields.pop("type")
        self.known(self.run(self.jobs.add("anna", type, {}, **fields)))

    @rule(size=st.integers(1, 3), type=types, _=st.none())
    def add_batch(self, size: int, type: str, _: object) -> None:
        parent, children = self.run(self.jobs.add_batch("anna", type, {}, [{}] * size))
        fields: dict[str, Any] = {
            "type": type,
            "priority": 0,
            "max_attempts": 1,
            "run_after": None,
        }
        self.model.add(None, total=size, **fields)
        self.known(parent)
        model_parent = self.model.jobs[-1]
        for child in children:
            self.model.add(model_parent, total=1, **fields)
            self.known(child)

    @rule(number=picks, type=types, max_attempts=st.integers(1, 2))
    def add_child(self, number: int, type: str, max_attempts: int) -> None:
        """To a parent, or to a job that nobody has counted anything for."""
        parent = self.pick(
            number,
            lambda job: (
                job.parent is None
                and not job.is_finished
                and (bool(job.children) or job.progress == job.completed == 0)
            ),
        )
        if parent is None:
            return
        fields: dict[str, Any] = {"max_attempts": max_attempts, "total": 1}
        self.model.add(parent, type=type, priority=0, run_after=None, **fields)
        self.known(self.run(self.jobs.add("anna", type, {}, self.ids[parent.number], **fields)))

    @rule(worker=workers, types=st.none() | st.lists(types, max_size=2), lease=leases)
    def claim(self, worker: str, types: list[str] | None, lease: float) -> None:
        expected = self.model.claim(worker, types, lease)
        job = self.run(self.jobs.claim(worker, types=types, lease=lease))
        assert (None if job is None else job.id) == (expected and self.ids[expected.number])

    @rule(number=picks, worker=workers, progress=st.none() | st.floats(0, 1), lease=leases)
    def heartbeat(self, number: int, worker: str, progress: float | None, lease: float) -> None:
        job = self.pick(number, lambda job: not job.children and job.status == "running")
        job = job or self.pick(number, lambda job: not job.children)
        if job is not None:
            self.check(
                self.jobs.heartbeat(self.ids[job.number], worker, progress=progress, lease=lease),
                self.model.heartbeat(job, worker, progress, lease),
            )

    @rule(number=picks, worker=maybe_workers)
    def succeed(self, number: int, worker: str | None) -> None:
        if job := self.pick(number, lambda job: not job.children):
            self.check(
                self.jobs.succeed(self.ids[job.number], {"r": 1}, worker=worker),
                self.model.succeed(job, worker),
            )

    @rule(number=picks, worker=maybe_workers, retry_in=st.sampled_from([None, 0, 5]))
    def fail(self, number: int, worker: str | None, retry_in: float | None) -> None:
        if job := self.pick(number, lambda job: retry_in is None or not job.children):
            self.check(
                self.jobs.fail(self.ids[job.number], "no", worker=worker, retry_in=retry_in),
                self.model.fail(job, worker, retry_in),
            )

    @rule(number=picks)
    def cancel(self, number: int) -> None:
        if job := self.pick(number, lambda job: True):
            self.check(self.jobs.cancel(self.ids[job.number]), self.model.cancel(job))

    @rule(number=picks)
    def retry(self, number: int) -> None:
        if job := self.pick(number, lambda job: job.is_finished):
            self.check(self.jobs.retry(self.ids[job.number]), self.model.retry(job))

    @rule(
        number=picks,
        status=st.sampled_from([None, "queued", "running", *FINISHED]),
        progress=st.none() | st.floats(0, 1),
    )
    def update(self, number: int, status: str | None, progress: float | None) -> None:
        if job := self.pick(number, lambda job: progress is None or not job.children):
            self.check(
                self.jobs.update(self.ids[job.number], status=status, progress=progress),  # type: ignore[arg-type]
                self.model.update(job, status, progress),
            )

    @rule(number=picks)
    def delete(self, number: int) -> None:
        if job := self.pick(number, lambda job: True):
            assert self.run(self.jobs.delete(self.ids[job.number])) is True
            self.model.delete(job)

    @rule(seconds=st.sampled_from([0.001, 1, 5]))
    def advance(self, seconds: float) -> None:
        self.model.now = self.clock.advance(seconds)

    @precondition(lambda self: any(job.status == "running" for job in self.model.jobs))
    @rule()
    def recover(self) -> None:
        self.advance(0.001)
        assert self.run(self.jobs.recover()) == self.model.recover()

    @invariant()
    def the_queue_is_as_the_model_says(self) -> None:
        stored = self.run(self.database.fetch_all(Job, "SELECT * FROM jobs"))
        by_id = {job.id: job for job in stored}
        assert len(stored) == len(self.model.jobs)
        for expected in self.model.jobs:
            job = by_id[self.ids[expected.number]]
            assert job.status == expected.status
            assert (job.attempts, job.completed) == (expected.attempts, expected.completed)
            assert job.progress == pytest.approx(expected.progress)
            assert (job.finished_at, job.run_after) == (expected.finished_at, expected.run_after)
            assert job.lease_expires_at == expected.lease_expires_at
            assert (job.error is None) == (expected.error is None)
            if job.lease_expires_at is not None:
                assert job.worker == expected.worker
            assert job.result == expected.result

    @invariant()
    def the_lists_are_as_the_model_says(self) -> None:
        def ids(jobs: list[ModelJob]) -> list[UUID]:
            return [self.ids[job.number] for job in jobs]

        oldest_first = sorted(self.model.jobs, key=lambda job: (job.created_at, job.number))
        unfinished = [job for job in oldest_first if not job.is_finished]
        listed = self.run(self.jobs.list_unfinished())
        assert [job.id for job in listed] == ids(unfinished)
        top = [job for job in reversed(oldest_first) if job.parent is None]
        active = [job for job in top if not job.is_finished]
        assert [job.id for job in self.run(self.jobs.list_for_profile("anna"))] == ids(top)
        listed = self.run(self.jobs.list_for_profile("anna", active_only=True))
        assert [job.id for job in listed] == ids(active)


@pytest.mark.long
@pytest.mark.parametrize(
    ("examples", "steps"), [(30, 30), pytest.param(1_000, 60, marks=pytest.mark.slow)]
)
def test_the_queue_follows_the_rules_whatever_is_called(
    template: Path, journal: str, tmp_path: Path, examples: int, steps: int
) -> None:
    class Machine(QueueMachine):
        pass

    Machine.template, Machine.folder, Machine.journal = template, tmp_path, journal
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            print_blob=True,
        ),
    )
