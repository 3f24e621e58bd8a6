"""Promises about downloads as a queue: claims, leases, attempts, what a restart does, playlists."""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from test_jobs_workers import WorkerProcess

import reelbase
from reelbase import (
    ConstraintError,
    Database,
    Download,
    InvalidTransitionError,
    RecordNotFoundError,
)
from reelbase.testing.clock import START, FrozenClock

URL = "https://example.org/watch?v=1"
Holder = Database | reelbase.UnitOfWork


@pytest.fixture
async def other(
    database: Database, path: Path, journal: Any, clock: FrozenClock
) -> AsyncIterator[Database]:
    """Another process, as far as the database can tell."""
    async with reelbase.connect(path, journal=journal, clock=clock) as other:
        yield other


async def claim(database: Holder, worker: str = "w", **options: Any) -> Download:
    download = await database.downloads.claim(worker, **options)
    assert download is not None
    return download


# Claiming


async def test_a_claim_takes_the_most_urgent_then_the_oldest(
    database: Database, clock: FrozenClock
) -> None:
    added = {}
    for name, priority in {"bulk": -1, "first": 0, "second": 0, "urgent": 7, "third": 0}.items():
        added[name] = await database.downloads.add("s", name, priority=priority)
        clock.advance(name != "first")
    claimed = []
    while (download := await database.downloads.claim("w")) is not None:
        claimed.append(download.url)
    assert claimed == ["urgent", "first", "second", "third", "bulk"]


async def test_a_claim_says_who_holds_it_and_until_when(
    database: Database, clock: FrozenClock
) -> None:
    added = await database.downloads.add("s", URL)
    now = clock.advance(5)
    claimed = await claim(database, "ann", lease=90)
    assert (claimed.id, claimed.status, claimed.worker) == (added.id, "downloading", "ann")
    assert claimed.lease_expires_at == now + timedelta(seconds=90)
    assert (claimed.attempts, claimed.started_at) == (1, now)
    assert await database.downloads.get(added.id) == claimed
    assert await database.downloads.claim("ben") is None


async def test_a_claim_may_begin_with_extracting(database: Database) -> None:
    await database.downloads.add("s", URL)
    claimed = await claim(database, extracting=True)
    assert claimed.status == "extracting"
    moved = await database.downloads.start(claimed.id)
    assert (moved.status, moved.worker, moved.attempts) == ("downloading", "w", 1)
    assert moved.lease_expires_at == claimed.lease_expires_at


async def test_only_what_waits_is_claimed(database: Database) -> None:
    downloads = database.downloads
    assert await downloads.claim("w") is None
    await downloads.start((await downloads.add("s", URL)).id)
    await downloads.start((await downloads.add("s", URL)).id, extracting=True)
    await downloads.complete((await downloads.add("s", URL)).id)
    await downloads.cancel((await downloads.add("s", URL)).id)
    assert await downloads.claim("w") is None


async def test_an_expired_lease_is_claimed_again_while_attempts_are_left(
    database: Database, clock: FrozenClock
) -> None:
    download = await database.downloads.add("s", URL, max_attempts=2)
    first = await claim(database, lease=10)
    await database.downloads.progress(first.id, 40, speed="s", eta="e", lease=10)
    clock.advance(9.999)
    assert await database.downloads.claim("heir") is None
    clock.advance(0.001)
    second = await claim(database, "heir", lease=10)
    assert (second.id, second.worker, second.attempts) == (download.id, "heir", 2)
    assert (second.progress_percent, second.speed, second.eta) == (40, None, None)
    assert second.started_at == first.started_at
    now = clock.advance(10)
    assert await database.downloads.claim("heir") is None
    failed = await database.downloads.get(download.id)
    assert (failed.status, failed.completed_at) == ("failed", now)
    assert failed.error_message == "the lease expired at the last attempt"
    assert (failed.worker, failed.lease_expires_at) == (None, None)


async def test_an_urgent_download_goes_before_an_expired_lease(
    database: Database, clock: FrozenClock
) -> None:
    await database.downloads.add("s", "old", max_attempts=2)
    await claim(database, lease=1)
    clock.advance(1)
    await database.downloads.add("s", "new")
    await database.downloads.add("s", "urgent", priority=1)
    assert [(await claim(database)).url for _ in range(3)] == ["urgent", "old", "new"]


@pytest.mark.long
async def test_64_claims_at_once_get_64_downloads(database: Database, other: Database) -> None:
    added = await database.downloads.add_many("s", [f"{URL}{n}" for n in range(64)])
    claimed = await asyncio.gather(
        *(
            holder.downloads.claim(f"w{n}")
            for n, holder in enumerate((database, other) * 32 + (database,) * 6)
        )
    )
    assert claimed.count(None) == 6
    assert {d.id for d in claimed if d is not None} == {d.id for d in added}


@pytest.mark.parametrize("lease", [-1, float("nan"), float("inf"), 1e300, "60", None, True])
async def test_a_lease_is_a_number_of_seconds(lease: Any, database: Database) -> None:
    download = await database.downloads.add("s", URL)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: database.downloads.claim("w", lease=lease),
        lambda: database.downloads.start(download.id, worker="w", lease=lease),
        lambda: database.downloads.progress(download.id, 1, lease=lease),
        lambda: database.downloads.heartbeat(download.id, "w", lease=lease),
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError), match="lease"):
            await call()
    assert await database.downloads.get(download.id) == download


# Keeping it


@pytest.mark.parametrize("how", ["progress", "progress of the worker", "heartbeat"])
async def test_a_report_renews_the_lease(how: str, database: Database, clock: FrozenClock) -> None:
    downloads = database.downloads
    await downloads.add("s", URL)
    held = await claim(database, lease=30)
    now = clock.advance(29)
    if how == "progress":
        assert await downloads.progress(held.id, 1, lease=30)
    elif how == "heartbeat":
        await downloads.heartbeat(held.id, "w", lease=30, attempt=1)
    else:
        assert await downloads.progress(held.id, 1, worker="w", attempt=1, lease=30)
    clock.advance(29)
    assert await downloads.claim("other") is None
    assert await downloads.recover() == 0
    assert (await downloads.get(held.id)).lease_expires_at == now + timedelta(seconds=30)


async def test_progress_never_shortens_a_lease_and_a_heartbeat_sets_it(
    database: Database, clock: FrozenClock
) -> None:
    await database.downloads.add("s", URL)
    held = await claim(database, lease=600)
    assert await database.downloads.progress(held.id, 1)
    assert (await database.downloads.get(held.id)).lease_expires_at == held.lease_expires_at
    shortened = await database.downloads.heartbeat(held.id, "w", lease=5)
    assert shortened.lease_expires_at == clock.now + timedelta(seconds=5)


async def test_progress_gives_no_lease_to_what_has_none(database: Database) -> None:
    download = await database.downloads.add("s", URL)
    await database.downloads.progress(download.id, 1)
    after = await database.downloads.get(download.id)
    assert (after.worker, after.lease_expires_at, after.attempts) == (None, None, 0)


async def test_who_lost_the_lease_is_told_and_changes_nothing(
    database: Database, clock: FrozenClock
) -> None:
    """Also where two containers give their workers one name: the attempt tells them apart."""
    downloads = database.downloads
    await downloads.add("s", URL, max_attempts=2)
    zombie = await claim(database, lease=1)
    clock.advance(1)
    heir = await claim(database)
    assert (zombie.worker, heir.worker) == ("w", "w")
    checks: dict[str, dict[str, Any]] = {
        "attempt": {"attempt": 1}, "worker": {"worker": "another"},
    }  # fmt: skip
    for name, lost in checks.items():
        assert await downloads.progress(zombie.id, 99, **lost) is False
        with pytest.raises(InvalidTransitionError, match="held by 'w'"):
            await downloads.complete(zombie.id, **lost)
        with pytest.raises(InvalidTransitionError, match="held by 'w'"):
            await downloads.fail(zombie.id, "late", **lost)
        worker: dict[str, Any] = {"worker": "w"} | lost
        with pytest.raises(InvalidTransitionError, match=r"cannot renew its lease"):
            await downloads.heartbeat(zombie.id, **worker)
        with pytest.raises(InvalidTransitionError, match=r"cannot be released"):
            await downloads.release(zombie.id, **worker)
        assert await downloads.get(zombie.id) == heir, name
    done = await downloads.complete(heir.id, filename="a.mkv", worker="w", attempt=2)
    assert (done.status, done.attempts) == ("completed", 2)
    with pytest.raises(InvalidTransitionError, match="is completed"):
        await downloads.heartbeat(heir.id, "w")


async def test_a_cancel_takes_it_from_its_worker(database: Database) -> None:
    await database.downloads.add("s", URL)
    held = await claim(database)
    cancelled = await database.downloads.cancel(held.id)
    assert (cancelled.worker, cancelled.lease_expires_at) == (None, None)
    assert await database.downloads.progress(held.id, 50, worker="w") is False
    with pytest.raises(InvalidTransitionError, match="is cancelled"):
        await database.downloads.complete(held.id, worker="w")
    assert await database.downloads.cancel(held.id) == cancelled


async def test_a_released_download_costs_no_attempt(database: Database) -> None:
    await database.downloads.add("s", URL)
    for _ in range(3):
        held = await claim(database)
        assert held.attempts == 1
        await database.downloads.progress(held.id, 5, speed="s", eta="e")
        waiting = await database.downloads.release(held.id, "w", attempt=1)
        assert (waiting.status, waiting.attempts, waiting.worker) == ("queued", 0, None)
        assert (waiting.speed, waiting.eta) == (None, None)


async def test_start_takes_a_certain_download_for_a_worker(
    database: Database, other: Database, clock: FrozenClock
) -> None:
    download = await database.downloads.add("s", URL)
    held = await database.downloads.start(download.id, worker="ann", lease=30)
    assert (held.status, held.worker, held.attempts) == ("downloading", "ann", 1)
    with pytest.raises(InvalidTransitionError, match="held by 'ann'"):
        await other.downloads.start(download.id, worker="ben")
    assert await other.downloads.recover() == 0
    now = clock.advance(29)
    again = await database.downloads.start(download.id, worker="ann", lease=30)
    assert (again.attempts, again.lease_expires_at) == (1, now + timedelta(seconds=30))
    assert await database.downloads.start(download.id) == again
    done = await database.downloads.complete(download.id, worker="ann")
    assert (done.status, done.worker) == ("completed", None)


async def test_what_was_begun_without_a_worker_may_get_one(database: Database) -> None:
    download = await database.downloads.add("s", URL)
    await database.downloads.start(download.id, extracting=True)
    held = await database.downloads.start(download.id, worker="w")
    assert (held.status, held.worker, held.attempts) == ("downloading", "w", 1)


# After a restart


@pytest.mark.parametrize("age", [0, 59.999, 60, 10**6])
async def test_what_another_living_process_holds_is_left_alone_until_its_lease_ends(
    age: float, database: Database, other: Database, clock: FrozenClock
) -> None:
    await database.downloads.add("s", URL)
    held = await claim(database)
    clock.advance(age)
    if age < 60:
        assert await other.downloads.recover() == 0
        done = await database.downloads.complete(held.id, filename="x.mp4", worker="w")
        assert done.filename == "x.mp4"
        return
    assert await other.downloads.recover() == 1
    failed = await database.downloads.get(held.id)
    assert (failed.status, failed.error_message) == ("failed", "interrupted by server restart")
    assert (failed.worker, failed.lease_expires_at) == (None, None)


async def test_however_long_the_restart_took_the_same_attempts_are_made(
    database: Database, clock: FrozenClock
) -> None:
    download = await database.downloads.add("s", URL, max_attempts=3)
    for attempt in (1, 2):
        assert (await claim(database, lease=60)).attempts == attempt
        assert await database.downloads.recover() == 0
        clock.advance(60)
        assert await database.downloads.recover("power cut") == 1
        waiting = await database.downloads.get(download.id)
        assert (waiting.status, waiting.attempts) == ("queued", attempt)
        assert (waiting.worker, waiting.lease_expires_at) == (None, None)
        assert (waiting.error_message, waiting.completed_at) == ("power cut", None)
    assert (await claim(database, lease=60)).attempts == 3
    clock.advance(60)
    assert await database.downloads.recover() == 1
    assert (await database.downloads.get(download.id)).status == "failed"
    assert await database.downloads.recover() == 0


@pytest.mark.parametrize("begin", ["start", "extract", "progress"])
async def test_what_has_no_lease_is_put_back_while_attempts_are_left(
    begin: str, database: Database
) -> None:
    downloads = database.downloads
    download = await downloads.add("s", URL, max_attempts=2)
    for after in ("queued", "failed"):
        if begin == "progress":
            await downloads.progress(download.id, 30)
        else:
            await downloads.start(download.id, extracting=begin == "extract")
        assert await downloads.recover() == 1
        assert (await downloads.get(download.id)).status == after


async def test_a_completed_download_has_no_error_of_an_earlier_attempt(
    database: Database, clock: FrozenClock
) -> None:
    await database.downloads.add("s", URL, max_attempts=2)
    await claim(database, lease=1)
    clock.advance(1)
    await database.downloads.recover()
    done = await database.downloads.complete((await claim(database)).id)
    assert (done.error_message, done.attempts) == (None, 2)


async def test_a_recovery_takes_what_a_unit_has_begun_back_with_it(database: Database) -> None:
    download = await database.downloads.add("s", URL)
    async with database.transaction() as unit:
        await unit.downloads.start(download.id)
        assert await unit.downloads.recover() == 1
        await unit.rollback()
    assert await database.downloads.get(download.id) == download


# Trying again


@pytest.mark.parametrize("end", ["fail", "cancel"])
async def test_what_ended_badly_is_queued_again(
    end: str, database: Database, clock: FrozenClock
) -> None:
    downloads = database.downloads
    added = await downloads.add("s", URL, quality="best", media_type="audio", priority=3)
    held = await claim(database)
    await downloads.progress(held.id, 50, filename="a.part", filesize=9, speed="s", eta="e")
    await (downloads.fail(held.id, "403") if end == "fail" else downloads.cancel(held.id))
    clock.advance(1)
    again = await downloads.retry(held.id)
    assert (again.status, again.error_message, again.progress_percent) == ("queued", None, 0)
    assert (again.started_at, again.completed_at, again.attempts) == (None, None, 1)
    assert (again.speed, again.eta) == (None, None)
    assert (again.filename, again.filesize) == ("a.part", 9)
    assert (again.quality, again.media_type, again.priority) == ("best", "audio", 3)
    assert (again.created_at, again.url) == (added.created_at, URL)
    assert (await claim(database)).attempts == 2


# Adding many


async def test_a_playlist_takes_what_a_single_download_takes(database: Database) -> None:
    parent = await database.downloads.add("s", "playlist")
    ids: list[UUID | str] = [uuid4(), str(uuid4()).upper()]
    added = await database.downloads.add_many(
        "s",
        (f"{URL}{n}" for n in range(2)),
        ids=iter(ids),
        format_id="137",
        quality="best",
        output_template="%(title)s",
        media_type="video",
        output_format="mp4",
        parent_id=str(parent.id).upper(),
        priority=4,
        max_attempts=2,
    )
    assert [download.id for download in added] == [UUID(str(id)) for id in ids]
    for download in added:
        assert (download.format_id, download.quality) == ("137", "best")
        assert (download.output_template, download.media_type) == ("%(title)s", "video")
        assert (download.output_format, download.parent_id) == ("mp4", parent.id)
        assert (download.priority, download.max_attempts) == (4, 2)
        assert await database.downloads.get(download.id) == download
    assert await database.downloads.list_children(parent.id) == sorted(
        added, key=lambda download: str(download.id)
    )


@pytest.mark.parametrize("ids", [[], [uuid4()], [uuid4()] * 3, ["x", uuid4()], "no list", 7])
async def test_ids_are_one_for_each_url(ids: Any, database: Database) -> None:
    with pytest.raises((TypeError, ValueError), match="ids"):
        await database.downloads.add_many("s", [URL, URL], ids=ids)
    assert await database.downloads.list() == []


async def test_an_id_twice_adds_none_of_them(database: Database) -> None:
    with pytest.raises(ConstraintError) as caught:
        await database.downloads.add_many("s", [URL, URL], ids=[uuid4()] * 2)
    assert (caught.value.kind, caught.value.constraint) == ("unique", "downloads.id")
    assert await database.sessions.count() == 0


# Playlists


async def playlist(database: Database, entries: int = 3) -> tuple[Download, list[Download]]:
    parent = await database.downloads.add("s", "playlist")
    urls = [f"{URL}{n}" for n in range(entries)]
    return parent, await database.downloads.add_many("s", urls, parent_id=parent.id)


async def test_an_entry_knows_its_playlist(database: Database) -> None:
    parent, entries = await playlist(database)
    single = await database.downloads.add("s", URL, parent_id=parent.id)
    assert await database.downloads.list_children(parent.id) == [*entries, single]
    assert await database.downloads.list_children(single.id) == []
    assert await database.downloads.list_children(uuid4()) == []
    assert await database.downloads.list_for_session("s") == [parent, *entries, single]


async def test_a_cancelled_playlist_takes_its_active_entries_with_it(
    database: Database, clock: FrozenClock
) -> None:
    parent, (done, running, waiting) = await playlist(database)
    done = await database.downloads.complete(done.id)
    await database.downloads.progress(running.id, 50, speed="s", eta="e")
    bystander = await database.downloads.add("s", URL)
    now = clock.advance(1)
    cancelled = await database.downloads.cancel(parent.id)
    assert cancelled.status == "cancelled"
    entries = await database.downloads.list_children(parent.id)
    assert entries[0] == done
    for entry in entries[1:]:
        assert (entry.status, entry.completed_at) == ("cancelled", now)
        assert (entry.speed, entry.eta) == (None, None)
    assert await database.downloads.get(bystander.id) == bystander
    await database.downloads.retry(waiting.id)
    assert await database.downloads.cancel(parent.id) == cancelled  # again: it changes nothing
    assert (await database.downloads.get(waiting.id)).status == "queued"


async def test_a_cancelled_entry_leaves_the_playlist_and_the_others(database: Database) -> None:
    parent, (first, *others) = await playlist(database)
    await database.downloads.cancel(first.id)
    assert (await database.downloads.list_children(parent.id))[1:] == others
    assert await database.downloads.get(parent.id) == parent


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
async def test_a_playlist_that_has_ended_takes_no_more_entries(
    end: str, database: Database
) -> None:
    """The extractor of a cancelled playlist must not go on adding."""
    parent, entries = await playlist(database)
    arguments = ("403",) if end == "fail" else ()
    ended = await getattr(database.downloads, end)(parent.id, *arguments)
    before = await database.downloads.list_children(parent.id)
    assert len(before) == len(entries)
    for add in (
        lambda: database.downloads.add("s", URL, parent_id=parent.id),
        lambda: database.downloads.add_many("s", [URL, URL], parent_id=parent.id),
    ):
        with pytest.raises(InvalidTransitionError, match="cannot take another entry") as caught:
            await add()
        assert caught.value.details["status"] == ended.status
    assert await database.downloads.list_children(parent.id) == before


async def test_an_entry_is_of_the_session_of_its_playlist_and_has_no_entries(
    database: Database,
) -> None:
    parent, (entry, *_) = await playlist(database)
    count = len(await database.downloads.list())
    for session_id, parent_id, problem in (
        ("other", parent.id, "is of the session 's'"),
        ("s", entry.id, "is an entry of"),
    ):
        with pytest.raises(ValueError, match=f"parent_id: {problem}"):
            await database.downloads.add(session_id, URL, parent_id=parent_id)
        with pytest.raises(ValueError, match=f"parent_id: {problem}"):
            await database.downloads.add_many(session_id, [URL], parent_id=parent_id)
    with pytest.raises(ConstraintError) as caught:
        await database.downloads.add("s", URL, parent_id=uuid4())
    assert (caught.value.kind, caught.value.details["column"]) == ("foreign_key", "parent_id")
    assert len(await database.downloads.list()) == count
    assert [session.id for session in await database.sessions.list()] == [
        "s"
    ]  # no "other" was made


async def test_entries_outlive_their_playlist(database: Database, clock: FrozenClock) -> None:
    """A purge of playlists must not take what is still being downloaded, nor files unnamed."""
    parent, entries = await playlist(database)
    await database.downloads.complete(parent.id)
    report = await database.downloads.purge(None)
    assert [purged.id for purged in report.deleted] == [parent.id]
    kept = await database.downloads.list_for_session("s")
    assert [download.id for download in kept] == [entry.id for entry in entries]
    assert {download.parent_id for download in kept} == {None}
    parent, entries = await playlist(database)
    await database.downloads.delete(parent.id)
    assert await database.downloads.list_children(parent.id) == []
    with pytest.raises(RecordNotFoundError):
        await database.downloads.get(parent.id)


# Processes

WORKER = textwrap.dedent(
    """
    import asyncio, sys
    from datetime import UTC, datetime
    import reelbase

    path, journal, name, action = sys.argv[1:]
    start = datetime(2026, 1, 31, 12, tzinfo=UTC)

    async def work(downloads, name):
        while (download := await downloads.claim(name)) is not None:
            print(download.id, flush=True)
            if action == "finish":
                assert await downloads.recover() == 0
                assert await downloads.progress(download.id, 50, worker=name, attempt=1)
                await downloads.complete(download.id, worker=name, attempt=1)

    async def main():
        options = dict(journal=journal, busy_timeout=60, clock=lambda: start)
        async with reelbase.connect(path, **options) as database:
            await database.downloads.recover()
            print("ready", flush=True)
            sys.stdin.readline()
            await asyncio.gather(*(work(database.downloads, f"{name}.{n}") for n in range(2)))

    asyncio.run(main())
    """
)


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
@pytest.mark.parametrize("processes", [2, pytest.param(8, marks=pytest.mark.slow)])
async def test_processes_share_the_queue_and_recover_nothing_of_each_other(
    processes: int, database: Database, path: Path, journal: str
) -> None:
    added = await database.downloads.add_many("s", [f"{URL}{n}" for n in range(60)])
    workers = await asyncio.gather(
        *(start_worker(path, journal, f"p{n}", "finish") for n in range(processes))
    )
    for worker in workers:
        worker.go()
    printed = await asyncio.gather(*(worker.rest() for worker in workers))
    assert [worker.process.returncode for worker in workers] == [0] * processes
    claimed = Counter(UUID(line) for lines in printed for line in lines)
    assert claimed == dict.fromkeys((download.id for download in added), 1)
    assert await database.downloads.counts_by_status() == {"completed": 60}


@pytest.mark.long
async def test_what_a_killed_process_held_is_taken_up_when_its_leases_end(
    database: Database, path: Path, journal: str, clock: FrozenClock
) -> None:
    assert clock.now == START
    again = await database.downloads.add_many("s", [URL] * 3, max_attempts=2)
    once = await database.downloads.add_many("s", [URL] * 2)
    worker = await start_worker(path, journal, "doomed", "keep")
    worker.go()
    claimed = {UUID(await worker.line()) for _ in range(5)}
    worker.process.kill()
    await worker.rest()
    assert claimed == {download.id for download in again + once}
    assert await database.downloads.recover() == 0
    clock.advance(60)
    assert await database.downloads.recover() == 5
    assert await database.downloads.counts_by_status() == {"queued": 3, "failed": 2}
    for download in again:
        taken = await claim(database, "heir")
        assert (taken.id, taken.attempts) == (download.id, 2)
