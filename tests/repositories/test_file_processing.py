"""Promises about a file's status: every way it may go, who wins a race, and what is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from samples import contents
from state_tables import REFUSED, cells

from reelbase import (
    Database,
    FileProcessing,
    FileStatus,
    InvalidTransitionError,
    RecordNotFoundError,
)
from reelbase.repositories import file_processing as file_processing_module
from reelbase.testing.clock import FrozenClock

MINUTE = timedelta(minutes=1)
Method = Callable[[Database, UUID], Awaitable[FileProcessing]]

METHODS: dict[str, Method] = {
    "enqueue": lambda database, key: database.file_processing.enqueue(key),
    "download": lambda database, key: database.file_processing.start(key, downloading=True),
    "start": lambda database, key: database.file_processing.start(key),
    "progress": lambda database, key: database.file_processing.progress(key, 0.5),
    "complete": lambda database, key: database.file_processing.complete(key),
    "fail": lambda database, key: database.file_processing.fail(key, "e"),
    "request": lambda database, key: database.file_processing.request_cancel(key),
    "cancel": lambda database, key: database.file_processing.cancel(key),
    "retry": lambda database, key: database.file_processing.retry(key),
}
TABLE = cells(file_processing_module)
WAITING = ("pending", "queued")


@pytest.fixture
async def file_id(database: Database) -> UUID:
    await database.profiles.ensure("ann")
    return (await database.files.add("ann", "talk.mp4", "talk.mp4")).id


async def bring_to(database: Database, file_id: UUID, status: str) -> None:
    await database.file_processing.enqueue(file_id)
    completed_at = "2026-01-31T12:00:00.000Z" if status == "completed" else None
    await database.execute(
        "UPDATE file_processing SET status = ?, completed_at = ?", [status, completed_at]
    )


def test_the_table_has_every_state_and_every_verb() -> None:
    assert {state for state, _, _ in TABLE} == set(FileStatus)
    assert {verb for _, verb, _ in TABLE} == {*METHODS, "recover"}
    assert len(TABLE) == len({(state, verb) for state, verb, _ in TABLE}) == 9 * 10


@pytest.mark.parametrize(("state", "verb", "becomes"), TABLE)
async def test_what_a_verb_makes_of_a_state(
    state: str,
    verb: str,
    becomes: str,
    database: Database,
    clock: FrozenClock,
    file_id: UUID,
) -> None:
    await bring_to(database, file_id, state)
    clock.advance(60)
    before = contents(database.path)
    if verb == "recover":
        recovered = await database.file_processing.recover_stuck(timedelta(seconds=30))
        assert [found.status for found in recovered] == [becomes] * (becomes != REFUSED)
    elif becomes != REFUSED:
        moved = await METHODS[verb](database, file_id)
        assert moved.status == becomes
        assert await database.file_processing.get(file_id) == moved
    else:
        with pytest.raises(InvalidTransitionError) as caught:
            await METHODS[verb](database, file_id)
        assert caught.value.details["status"] == state
    if becomes == REFUSED or (verb, state) == ("cancel", "cancelled"):
        assert contents(database.path) == before


@pytest.mark.parametrize("method", METHODS)
async def test_without_a_file_there_is_nothing_to_do(method: str, database: Database) -> None:
    before = contents(database.path)
    with pytest.raises(RecordNotFoundError):
        await METHODS[method](database, uuid4())
    assert contents(database.path) == before


async def test_the_row_comes_with_the_first_enqueue_or_start(
    database: Database, file_id: UUID
) -> None:
    assert await database.file_processing.find(file_id) is None
    with pytest.raises(RecordNotFoundError):
        await database.file_processing.get(file_id)
    assert (await database.file_processing.start(file_id)).max_retries == 3
    other = await database.files.add("ann", "n", "p")
    queued = await database.file_processing.enqueue(other.id, max_retries=0)
    assert (queued.status, queued.max_retries, queued.progress) == ("queued", 0, 0.0)


async def test_a_day_in_a_files_life(database: Database, clock: FrozenClock, file_id: UUID) -> None:
    processing = database.file_processing
    await processing.enqueue(file_id)
    begun = clock.advance(1)
    await processing.start(file_id, stage="fetching", downloading=True)
    clock.advance(1)
    started = await processing.start(file_id, stage="transcribing")
    assert (started.started_at, started.heartbeat_at) == (begun, clock.now)
    beat = clock.advance(1)
    noted = await processing.progress(file_id, 0.25)
    assert (noted.progress, noted.stage, noted.heartbeat_at) == (0.25, "transcribing", beat)
    assert (await processing.progress(file_id, 0.5, stage="diarizing")).stage == "diarizing"
    done = await processing.complete(file_id)
    assert (done.progress, done.stage, done.completed_at) == (1.0, None, clock.now)


async def test_the_options_stay_until_others_come(database: Database, file_id: UUID) -> None:
    processing = database.file_processing
    options = {"model": "large", "speakers": {"min": 2, "max": None}, "diarize": False}
    assert (await processing.enqueue(file_id, options=options)).options == options
    await processing.start(file_id)
    await processing.fail(file_id, "out of memory")
    assert (await processing.retry(file_id)).options == options
    await processing.start(file_id, worker="w")
    assert (await processing.complete(file_id)).options == options
    assert (await processing.enqueue(file_id)).options == options
    assert (await processing.enqueue(file_id, options={})).options == {}
    assert (await processing.enqueue(file_id, options=None)).options is None


async def test_options_of_a_file_that_is_being_processed_stay_as_they_are(
    database: Database, file_id: UUID
) -> None:
    await database.file_processing.enqueue(file_id, options={"model": "large"})
    await database.file_processing.start(file_id)
    with pytest.raises(InvalidTransitionError):
        await database.file_processing.enqueue(file_id, options={"model": "small"})
    assert (await database.file_processing.get(file_id)).options == {"model": "large"}


async def test_a_file_that_was_never_queued_has_no_options(
    database: Database, file_id: UUID
) -> None:
    assert (await database.file_processing.start(file_id)).options is None


async def test_of_many_workers_one_starts(database: Database, file_id: UUID) -> None:
    await database.file_processing.enqueue(file_id)
    answers = await asyncio.gather(
        *(database.file_processing.start(file_id, worker=f"w{n}") for n in range(20)),
        return_exceptions=True,
    )
    (started,) = [answer for answer in answers if isinstance(answer, FileProcessing)]
    assert sum(isinstance(answer, InvalidTransitionError) for answer in answers) == 19
    assert started.worker is not None
    again = await database.file_processing.start(file_id, worker=started.worker)
    assert again == await database.file_processing.start(file_id) == started
    with pytest.raises(InvalidTransitionError, match=f"held by {started.worker!r}"):
        await database.file_processing.start(file_id, worker="another")


async def test_what_is_started_again_goes_on(
    database: Database, clock: FrozenClock, file_id: UUID
) -> None:
    processing = database.file_processing
    await processing.enqueue(file_id)
    for downloading in (True, False):
        first = await processing.start(file_id, stage="first", downloading=downloading)
        noted = await processing.progress(file_id, 0.5)
        now = clock.advance(1)
        again = await processing.start(file_id, downloading=downloading)
        assert (again.stage, again.progress, again.started_at) == ("first", 0.5, first.started_at)
        assert (again.heartbeat_at, again.updated_at) == (now, now)
        assert noted.status == again.status
        assert (
            await processing.start(file_id, stage="second", downloading=downloading)
        ).stage == "second"


@pytest.mark.parametrize("end", ["complete", "fail", "cancel", "recover_stuck"])
async def test_what_has_ended_has_no_worker(
    end: str, database: Database, clock: FrozenClock, file_id: UUID
) -> None:
    processing = database.file_processing
    assert (await processing.start(file_id, worker="w")).worker == "w"
    if end == "recover_stuck":
        clock.advance(60)
        await processing.recover_stuck(timedelta(seconds=30))
    else:
        await getattr(processing, end)(file_id, *(["e"] if end == "fail" else []))
    ended = await processing.get(file_id)
    assert ended.worker is None
    if end != "complete":
        again = ended if ended.status == "pending" else await processing.retry(file_id)
        assert (await processing.start(again.file_id, worker="heir")).worker == "heir"


async def test_a_worker_learns_of_a_cancel_from_its_progress(
    database: Database, file_id: UUID
) -> None:
    await database.file_processing.start(file_id)
    await database.file_processing.request_cancel(file_id)
    with pytest.raises(InvalidTransitionError) as caught:
        await database.file_processing.progress(file_id, 0.5)
    assert caught.value.details["status"] == "cancelling"
    assert (await database.file_processing.cancel(file_id)).status == "cancelled"


async def test_retries_run_out_unless_there_is_no_limit(database: Database, file_id: UUID) -> None:
    processing = database.file_processing
    await processing.enqueue(file_id, max_retries=2)
    for count in (1, 2):
        await processing.fail(file_id, "e", category="network")
        retried = await processing.retry(file_id)
        assert (retried.retry_count, retried.error_message, retried.error_category) == (
            count,
            None,
            None,
        )
        await processing.enqueue(file_id, max_retries=2)  # does not forget how often
    await processing.fail(file_id, "e")
    with pytest.raises(InvalidTransitionError, match="2 of 2 retries used"):
        await processing.retry(file_id)
    assert (await processing.enqueue(file_id, max_retries=0)).retry_count == 0  # begins anew
    for count in range(1, 9):
        await processing.fail(file_id, "e")
        assert (await processing.retry(file_id)).retry_count == count


async def test_what_is_to_be_retried_later_comes_when_it_is_due(
    database: Database, clock: FrozenClock, file_id: UUID
) -> None:
    processing = database.file_processing
    await processing.start(file_id)
    failed = await processing.fail(file_id, "e", retry_in=30.0)
    assert failed.next_retry_at == clock.now + timedelta(seconds=30)
    clock.advance(29.999)
    assert await processing.retry_due() == []
    clock.advance(0.001)
    (due,) = await processing.retry_due()
    assert (due.file_id, due.status, due.retry_count) == (file_id, "pending", 1)
    assert await processing.retry_due() == []
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="retry_in"):
            await processing.fail(file_id, "e", retry_in=wrong)


async def fill(database: Database, clock: FrozenClock) -> dict[str, UUID]:
    """A file of each status, all of them an hour old but one that has just shown life."""
    await database.profiles.ensure("ann")
    files: dict[str, UUID] = {}
    for name in (*FileStatus, "no heartbeat", "alive"):
        file = await database.files.add("ann", name, name)
        files[name] = file.id
        await database.file_processing.start(file.id)
        status = name if name in [*FileStatus] else "processing"
        await database.execute(
            "UPDATE file_processing SET status = :status, "
            "completed_at = iif(:status = 'completed', updated_at, NULL) WHERE file_id = :id",
            {"status": status, "id": file.id},
        )
        clock.advance(1)
    clock.advance(3600)
    await database.execute(
        "UPDATE file_processing SET heartbeat_at = NULL, updated_at = ? WHERE file_id = ?",
        [clock.now, files["no heartbeat"]],
    )
    await database.file_processing.progress(files["alive"], 0.5)
    return files


async def test_what_is_stuck_is_found_also_without_a_heartbeat(
    database: Database, clock: FrozenClock
) -> None:
    files = await fill(database, clock)
    stuck = await database.file_processing.stuck(MINUTE)
    names = ("pending", "queued", "downloading", "processing", "cancelling", "no heartbeat")
    assert [found.file_id for found in stuck] == [files[name] for name in names]
    # Whatever its age, one without a heartbeat is stuck.
    stuck = await database.file_processing.stuck(timedelta(days=1))
    assert [found.file_id for found in stuck] == [files["no heartbeat"]]


async def test_recovery_takes_from_the_dead_and_leaves_the_living(
    database: Database, clock: FrozenClock
) -> None:
    files = await fill(database, clock)
    names = {id: name for name, id in files.items()}
    recovered = await database.file_processing.recover_stuck(MINUTE)
    assert {names[found.file_id]: (found.status, found.retry_count) for found in recovered} == {
        "pending": ("pending", 0),  # waiting costs no retry
        "queued": ("pending", 0),
        "downloading": ("pending", 1),
        "processing": ("pending", 1),
        "no heartbeat": ("pending", 1),
        "cancelling": ("cancelled", 0),  # it was to be cancelled
    }
    assert [found.file_id for found in recovered] == sorted(found.file_id for found in recovered)
    assert {found.recovery_attempts for found in recovered} == {1}
    assert (await database.file_processing.get(files["alive"])).status == "processing"
    assert await database.file_processing.recover_stuck(MINUTE) == []


async def test_a_file_that_kills_its_workers_is_orphaned_in_the_end(
    database: Database, clock: FrozenClock, file_id: UUID
) -> None:
    await database.file_processing.enqueue(file_id, max_retries=2)
    for status in ("pending", "pending", "orphaned"):
        await database.file_processing.start(file_id)
        clock.advance(3600)
        (recovered,) = await database.file_processing.recover_stuck(MINUTE)
        assert recovered.status == status
    assert (recovered.retry_count, recovered.recovery_attempts) == (2, 3)
    assert await database.file_processing.recover_stuck(timedelta(0)) == []


async def test_counts_of_a_profile_and_of_all(database: Database, clock: FrozenClock) -> None:
    await fill(database, clock)
    await database.profiles.ensure("bob")
    his = await database.files.add("bob", "n", "p")
    await database.files.add("bob", "never queued", "p")
    await database.file_processing.enqueue(his.id)
    everybody = await database.file_processing.counts_by_status()
    assert everybody == dict.fromkeys(FileStatus, 1) | {"processing": 3, "queued": 2}
    assert await database.file_processing.counts_by_status("bob") == {"queued": 1}
    assert await database.file_processing.counts_by_status("nobody") == {}


async def test_a_status_goes_with_its_file(database: Database, file_id: UUID) -> None:
    await database.file_processing.start(file_id)
    await database.files.delete(file_id)
    assert await database.file_processing.find(file_id) is None
