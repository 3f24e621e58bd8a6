"""Promises about derived files: who makes one, how long it lives, and that no bytes are forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from samples import contents
from state_tables import REFUSED, cells

import reelbase
from reelbase import (
    ConstraintError,
    Database,
    DerivedFile,
    DerivedFileStatus,
    InvalidArgumentError,
    InvalidTransitionError,
    RecordNotFoundError,
)
from reelbase.repositories import derived_files as derived_files_module
from reelbase.testing.clock import FrozenClock

HOUR = timedelta(hours=1)

VERBS: dict[str, Callable[[Database, int], Awaitable[DerivedFile]]] = {
    "start": lambda database, key: database.derived_files.start(key),
    "complete": lambda database, key: database.derived_files.complete(key, "p.mp4", 10),
    "fail": lambda database, key: database.derived_files.fail(key, "e"),
    "retry": lambda database, key: database.derived_files.retry(key),
}
TABLE = cells(derived_files_module)


@pytest.fixture
async def file_id(database: Database) -> UUID:
    await database.profiles.ensure("ann")
    return (await database.files.add("ann", "talk.mp4", "talk.mp4")).id


async def bring_to(database: Database, key: int, status: str) -> None:
    if status == "processing":
        await database.derived_files.start(key)
    elif status == "ready":
        await database.derived_files.complete(key, "p.mp4", 10)
    elif status == "failed":
        await database.derived_files.fail(key, "e")


async def make(database: Database, file_id: UUID, kind: str, size: int = 10) -> DerivedFile:
    pending = await database.derived_files.ensure(file_id, kind)
    return await database.derived_files.complete(pending.id, f"{kind}.bin", size)


async def kinds_evicted(database: Database, **bounds: Any) -> list[str]:
    """What evictable() announces, evict() removes, and nothing else."""
    announced = await database.derived_files.evictable(**bounds)
    evicted = await database.derived_files.evict(**bounds)
    assert announced == evicted
    for one in evicted:
        assert await database.derived_files.find(one.id) is None
    return [one.kind for one in evicted]


def test_the_table_has_every_status_and_every_verb() -> None:
    assert {state for state, _, _ in TABLE} == set(DerivedFileStatus)
    assert {verb for _, verb, _ in TABLE} == {*VERBS, "recover"}
    assert len(TABLE) == len({(state, verb) for state, verb, _ in TABLE}) == 4 * 5


@pytest.mark.parametrize(("state", "verb", "becomes"), TABLE)
async def test_what_a_verb_makes_of_a_status(
    state: str,
    verb: str,
    becomes: str,
    database: Database,
    clock: FrozenClock,
    file_id: UUID,
    path: Path,
) -> None:
    key = (await database.derived_files.ensure(file_id, "proxy")).id
    await bring_to(database, key, state)
    clock.advance(60)
    before = contents(path)
    if verb == "recover":
        assert await database.derived_files.recover(timedelta(seconds=30)) == (becomes != REFUSED)
        if becomes != REFUSED:
            assert (await database.derived_files.get(key)).status == becomes
    elif becomes != REFUSED:
        moved = await VERBS[verb](database, key)
        assert (moved.status, moved.updated_at) == (becomes, clock.now)
        assert await database.derived_files.get(key) == moved
    else:
        with pytest.raises(InvalidTransitionError) as caught:
            await VERBS[verb](database, key)
        assert caught.value.details["status"] == state
    if becomes == REFUSED:
        assert contents(path) == before


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_of_one_that_is_not_there_finds_none(verb: str, database: Database) -> None:
    with pytest.raises(RecordNotFoundError):
        await VERBS[verb](database, 7)


async def test_equal_parameters_are_one_derived_file(database: Database, file_id: UUID) -> None:
    ensure = database.derived_files.ensure
    one = await ensure(file_id, "proxy", {"height": 720, "audio": {"rate": 1, "codec": "aac"}})
    same = await ensure(file_id, "proxy", {"audio": {"codec": "aac", "rate": 1}, "height": 720})
    assert one == same
    assert one.parameters == {"height": 720, "audio": {"rate": 1, "codec": "aac"}}
    others = [
        await ensure(file_id, "proxy", {"height": 1080}),
        await ensure(file_id, "proxy"),
        await ensure(file_id, "preview"),
    ]
    assert len({one.id, *(other.id for other in others)}) == 4
    assert await ensure(file_id, "proxy", {}) == others[1]


async def test_of_many_callers_all_get_one_and_one_makes_it(
    database: Database, file_id: UUID
) -> None:
    made = await asyncio.gather(
        *(database.derived_files.ensure(file_id, "waveform") for _ in range(20))
    )
    (key,) = {one.id for one in made}
    answers = await asyncio.gather(
        *(database.derived_files.start(key) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(answer, DerivedFile) for answer in answers) == 1
    assert sum(isinstance(answer, InvalidTransitionError) for answer in answers) == 19


async def test_what_is_asked_for_is_checked(database: Database, file_id: UUID, path: Path) -> None:
    before = contents(path)
    with pytest.raises(ConstraintError) as caught:
        await database.derived_files.ensure(uuid4(), "proxy")
    assert caught.value.kind == "foreign_key"
    with pytest.raises(ConstraintError) as caught:
        await database.derived_files.ensure(file_id, "")
    assert caught.value.constraint == "derived_files_kind"
    mixed: Any = {1: "a", "b": 2}
    with pytest.raises(ValueError, match="parameters"):
        await database.derived_files.ensure(file_id, "proxy", mixed)
    assert contents(path) == before


async def test_one_that_has_failed_says_why_until_it_is_tried_again(
    database: Database, file_id: UUID
) -> None:
    pending = await database.derived_files.ensure(file_id, "proxy")
    failed = await database.derived_files.fail(pending.id, "no such codec")
    assert failed.error_message == "no such codec"
    assert await database.derived_files.ensure(file_id, "proxy") == failed
    assert await database.derived_files.pending() == []
    again = await database.derived_files.retry(pending.id)
    assert (again.status, again.error_message) == ("pending", None)
    assert await database.derived_files.pending() == [again]


async def test_a_use_is_noted_once_in_a_while(
    database: Database, file_id: UUID, clock: FrozenClock
) -> None:
    ready = await make(database, file_id, "proxy")
    begun = clock.now
    clock.advance(59)
    assert (await database.derived_files.use(ready.id)).last_used_at == begun
    clock.advance(1)
    assert (await database.derived_files.use(ready.id)).last_used_at == clock.now
    clock.advance(0.5)
    assert (await database.derived_files.use(ready.id, every=0)).last_used_at == clock.now
    clock.advance(-3600)
    assert (await database.derived_files.use(ready.id)).last_used_at == clock.now
    with pytest.raises(RecordNotFoundError):
        await database.derived_files.use(999)
    with pytest.raises(InvalidArgumentError, match="every"):
        await database.derived_files.use(ready.id, every=-1)


async def test_the_least_recently_used_ones_go_first(
    database: Database, file_id: UUID, clock: FrozenClock
) -> None:
    for kind in ("a", "b", "c", "d"):
        await make(database, file_id, kind, 10)
        clock.advance(60)
    first = (await database.derived_files.list_for_file(file_id))[-1]
    await database.derived_files.use(first.id)
    assert await database.derived_files.total_bytes() == 40
    assert await kinds_evicted(database, max_bytes=40) == []
    assert await kinds_evicted(database, max_bytes=39) == ["b"]
    assert await kinds_evicted(database, max_bytes=15) == ["c", "d"]
    assert await database.derived_files.total_bytes() == 10
    assert await kinds_evicted(database, max_bytes=0) == ["a"]
    assert await database.derived_files.total_bytes() == 0


async def test_bounds_of_age_and_number(
    database: Database, file_id: UUID, clock: FrozenClock
) -> None:
    for kind in ("a", "b", "c", "d"):
        await make(database, file_id, kind)
        clock.advance(3600)
    assert await kinds_evicted(database) == []
    assert await kinds_evicted(database, older_than=3.5 * HOUR) == ["a"]
    assert await kinds_evicted(database, max_count=2) == ["b"]
    assert await kinds_evicted(database, max_count=2, older_than=1.5 * HOUR) == ["c"]
    assert await kinds_evicted(database, max_count=0) == ["d"]


async def test_pinned_ones_stay_and_count(
    database: Database, file_id: UUID, clock: FrozenClock
) -> None:
    kept = await make(database, file_id, "kept", 30)
    assert (await database.derived_files.pin(kept.id)).is_pinned
    clock.advance(60)
    for kind in ("a", "b"):
        await make(database, file_id, kind, 10)
        clock.advance(60)
    assert await kinds_evicted(database, max_bytes=45) == ["a"]
    assert await kinds_evicted(database, max_count=1) == ["b"]
    assert await kinds_evicted(database, max_bytes=0, max_count=0, older_than=0 * HOUR) == []
    assert not (await database.derived_files.pin(kept.id, pinned=False)).is_pinned
    assert await kinds_evicted(database, max_count=0) == ["kept"]
    with pytest.raises(RecordNotFoundError):
        await database.derived_files.pin(kept.id)


async def test_what_has_expired_goes_however_much_it_is_used(
    database: Database, file_id: UUID, clock: FrozenClock
) -> None:
    pending = await database.derived_files.ensure(file_id, "preview")
    ready = await database.derived_files.complete(pending.id, "p", 1, expires_in=3600)
    assert ready.expires_at == clock.now + HOUR
    clock.advance(3599)
    await database.derived_files.use(ready.id)
    assert await kinds_evicted(database) == []
    clock.advance(1)
    assert await kinds_evicted(database) == ["preview"]


async def test_bytes_of_a_deleted_file_are_named(database: Database, file_id: UUID) -> None:
    ready = await make(database, file_id, "proxy")
    begun = await database.derived_files.ensure(file_id, "preview")
    await database.derived_files.start(begun.id)
    waiting = await database.derived_files.ensure(file_id, "waveform")
    await database.files.delete(file_id)
    assert (await database.derived_files.get(ready.id)).file_id is None
    (evicted,) = await database.derived_files.evict()
    assert (evicted.path, evicted.size_bytes, evicted.file_id) == ("proxy.bin", 10, None)
    assert await database.derived_files.find(waiting.id) is None
    # What was being made meanwhile is named as soon as it is there.
    await database.derived_files.complete(begun.id, "preview.bin", 5)
    assert [one.path for one in await database.derived_files.evict()] == ["preview.bin"]
    assert await database.fetch_one(int, "SELECT count(*) FROM derived_files") == 0


async def test_bytes_of_a_deleted_profiles_files_are_named(
    database: Database, file_id: UUID
) -> None:
    await make(database, file_id, "proxy")
    await database.profiles.delete("ann")
    assert [one.path for one in await database.derived_files.evict()] == ["proxy.bin"]


async def test_counts_and_deletion(database: Database, file_id: UUID, path: Path) -> None:
    await make(database, file_id, "proxy")
    pending = await database.derived_files.ensure(file_id, "preview")
    assert await database.derived_files.counts_by_status() == {"pending": 1, "ready": 1}
    assert await database.derived_files.delete(pending.id)
    assert not await database.derived_files.delete(pending.id, missing_ok=True)
    with pytest.raises(RecordNotFoundError):
        await database.derived_files.delete(pending.id)
    assert await database.derived_files.counts_by_status() == {"ready": 1}


@pytest.mark.parametrize("name", ["max_count", "max_bytes"])
async def test_a_negative_bound_is_refused(name: str, database: Database, file_id: UUID) -> None:
    await make(database, file_id, "proxy")
    bounds: Any = {name: -1}
    with pytest.raises(InvalidArgumentError, match=name):
        await database.derived_files.evict(**bounds)
    with pytest.raises(InvalidArgumentError, match=name):
        await database.derived_files.evictable(**bounds)
    assert await database.derived_files.total_bytes() == 10


async def test_names_that_are_no_utf8_come_back(database: Database, file_id: UUID) -> None:
    pending = await database.derived_files.ensure(file_id, "proxy")
    await database.derived_files.complete(pending.id, "caf\udce9.mp4", 1)
    (evicted,) = await database.derived_files.evict(max_bytes=0)
    assert evicted.path == "caf\udce9.mp4"


async def test_a_snapshot_sees_what_could_be_evicted(database: Database, file_id: UUID) -> None:
    await make(database, file_id, "proxy")
    async with database.snapshot() as snapshot:
        assert len(await snapshot.derived_files.evictable(max_bytes=0)) == 1
        with pytest.raises(reelbase.DatabaseReadOnlyError):
            await snapshot.repository(reelbase.DerivedFileRepository).evict(max_bytes=0)
