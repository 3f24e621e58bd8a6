"""Promises about generations as a queue: claims, leases, attempts, restarts; many at once; lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

import reelbase
from reelbase import (
    ConstraintError,
    Database,
    Generation,
    InvalidTransitionError,
    NewGeneration,
)
from reelbase.testing.clock import FrozenClock


@pytest.fixture
async def other(
    database: Database, path: Path, journal: Any, clock: FrozenClock
) -> AsyncIterator[Database]:
    """Another process, as far as the database can tell."""
    async with reelbase.connect(path, journal=journal, clock=clock) as other:
        yield other


def new(prompt: str = "trap beat", **replaced: Any) -> NewGeneration:
    arguments: dict[str, Any] = {
        "model_name": "small", "duration_seconds": 16.0, "sample_rate": 32000, "channels": 2,
        "file_path": "outputs/1.wav",
    }  # fmt: skip
    return NewGeneration(prompt, **arguments | replaced)


async def create(database: Database, prompt: str = "trap beat", **replaced: Any) -> Generation:
    return (await database.generations.create_many([new(prompt, **replaced)]))[0]


async def claim(database: Database, worker: str | None = "w", **options: Any) -> Generation:
    generation = await database.generations.claim(worker, **options)
    assert generation is not None
    return generation


# Claiming and keeping


async def test_a_claim_takes_the_most_urgent_then_the_oldest(
    database: Database, clock: FrozenClock
) -> None:
    for name, priority in {"bulk": -1, "first": 0, "second": 0, "urgent": 7}.items():
        await create(database, name, priority=priority)
        clock.advance(name != "first")
    claimed = [(await claim(database, worker)).prompt for worker in ("w", None, "w", None)]
    assert claimed == ["urgent", "first", "second", "bulk"]
    assert await database.generations.claim("w") is None


async def test_a_claim_says_who_holds_it_and_until_when(
    database: Database, clock: FrozenClock
) -> None:
    created = await create(database)
    now = clock.advance(5)
    claimed = await claim(database, "ann", lease=90)
    assert (claimed.id, claimed.status, claimed.worker) == (created.id, "processing", "ann")
    assert (claimed.lease_expires_at, claimed.attempts) == (now + timedelta(seconds=90), 1)
    assert await database.generations.get(created.id) == claimed


async def test_a_heartbeat_renews_the_lease(database: Database, clock: FrozenClock) -> None:
    await create(database)
    held = await claim(database, lease=30)
    now = clock.advance(29)
    renewed = await database.generations.heartbeat(held.id, "w", lease=30, attempt=1)
    assert renewed.lease_expires_at == now + timedelta(seconds=30)
    clock.advance(29)
    assert await database.generations.claim("other") is None
    assert await database.generations.recover() == 0


async def test_who_lost_the_lease_is_told_and_changes_nothing(
    database: Database, clock: FrozenClock
) -> None:
    """Also where two containers give their workers one name: the attempt tells them apart."""
    generations = database.generations
    await create(database, max_attempts=2)
    zombie = await claim(database, lease=1)
    clock.advance(1)
    heir = await claim(database)
    assert (zombie.worker, heir.worker, heir.attempts) == ("w", "w", 2)
    checks: list[dict[str, Any]] = [{"attempt": 1}, {"worker": "another"}]
    for lost in checks:
        worker: dict[str, Any] = {"worker": "w"} | lost
        for call in (
            generations.complete(zombie.id, 1.0, **lost),
            generations.fail(zombie.id, "late", **lost),
            generations.heartbeat(zombie.id, **worker),
            generations.release(zombie.id, **worker),
        ):
            with pytest.raises(InvalidTransitionError, match="held by 'w'"):
                await call
    with pytest.raises(InvalidTransitionError, match="held by 'w'"):
        await generations.mark_processing(zombie.id, worker="another")
    assert await generations.get(zombie.id) == heir
    done = await generations.complete(heir.id, 2.5, worker="w", attempt=2)
    assert (done.status, done.attempts, done.worker) == ("completed", 2, None)


async def test_a_released_generation_costs_no_attempt(database: Database) -> None:
    await create(database)
    for _ in range(3):
        held = await claim(database)
        assert held.attempts == 1
        waiting = await database.generations.release(held.id, "w", attempt=1)
        assert (waiting.status, waiting.attempts, waiting.worker) == ("pending", 0, None)


async def test_a_worker_reports_processing_at_every_step(
    database: Database, other: Database, clock: FrozenClock
) -> None:
    """DGX's service says "processing" at each of four steps."""
    generations = database.generations
    created = await create(database)
    first = await generations.mark_processing(created.id)
    for _ in range(3):
        clock.advance(1)
        assert await generations.mark_processing(created.id) == first
        assert await generations.update_status(created.id, "processing") == first
    assert (first.worker, first.attempts) == (None, 0)
    held = await generations.mark_processing(created.id, worker="ann", lease=30)
    assert (held.worker, held.attempts) == ("ann", 1)
    now = clock.advance(29)
    again = await generations.mark_processing(created.id, worker="ann", lease=30)
    assert (again.attempts, again.lease_expires_at) == (1, now + timedelta(seconds=30))
    assert await other.generations.recover() == 0
    assert await generations.mark_processing(created.id) == again


@pytest.mark.parametrize("lease", [-1, float("nan"), float("inf"), 1e300, "60", None, True])
async def test_a_lease_is_a_number_of_seconds(lease: Any, database: Database) -> None:
    created = await create(database)
    generations = database.generations
    for call in (
        generations.claim("w", lease=lease),
        generations.mark_processing(created.id, lease=lease),
        generations.heartbeat(created.id, "w", lease=lease),
    ):
        with pytest.raises((TypeError, ValueError), match="lease"):
            await call
    assert await generations.get(created.id) == created


# After a restart


@pytest.mark.parametrize("age", [0, 59.999, 60, 10**6])
async def test_what_another_living_process_holds_is_left_alone_until_its_lease_ends(
    age: float, database: Database, other: Database, clock: FrozenClock
) -> None:
    await create(database)
    held = await claim(database)
    waiting = await create(database)
    clock.advance(age)
    if age < 60:
        assert await other.generations.recover() == 0
        assert (await database.generations.complete(held.id, 1.0, worker="w")).is_complete
    else:
        assert await other.generations.recover() == 1
        failed = await database.generations.get(held.id)
        assert (failed.status, failed.error_message) == ("failed", "interrupted by restart")
        assert (failed.worker, failed.lease_expires_at) == (None, None)
    assert await database.generations.get(waiting.id) == waiting


async def test_however_long_the_restart_took_the_same_attempts_are_made(
    database: Database, clock: FrozenClock
) -> None:
    created = await create(database, max_attempts=3)
    for attempt in (1, 2):
        assert (await claim(database, lease=60)).attempts == attempt
        assert await database.generations.recover() == 0
        clock.advance(60)
        assert await database.generations.recover("power cut") == 1
        waiting = await database.generations.get(created.id)
        assert (waiting.status, waiting.attempts) == ("pending", attempt)
        assert (waiting.error_message, waiting.completed_at) == ("power cut", None)
    assert (await claim(database, lease=60)).attempts == 3
    clock.advance(60)
    assert await database.generations.claim("heir") is None
    failed = await database.generations.get(created.id)
    assert failed.error_message == "the lease expired at the last attempt"
    assert await database.generations.recover() == 0


@pytest.mark.parametrize("begin", ["claim", "mark_processing"])
async def test_what_has_no_lease_is_put_back_while_attempts_are_left(
    begin: str, database: Database
) -> None:
    created = await create(database, max_attempts=2)
    for after in ("pending", "failed"):
        if begin == "claim":
            assert (await claim(database, None)).lease_expires_at is None
        else:
            await database.generations.mark_processing(created.id)
        assert await database.generations.recover() == 1
        assert (await database.generations.get(created.id)).status == after


async def test_a_completed_generation_has_no_error_of_an_earlier_attempt(
    database: Database, clock: FrozenClock
) -> None:
    await create(database, max_attempts=2)
    await claim(database, lease=1)
    clock.advance(1)
    await database.generations.recover()
    done = await database.generations.complete((await claim(database)).id, 1.0)
    assert (done.error_message, done.attempts) == (None, 2)


@pytest.mark.parametrize("end", ["fail", "cancel"])
async def test_what_ended_badly_is_tried_again(end: str, database: Database) -> None:
    generations = database.generations
    created = await create(database, metadata={"bpm": 140}, priority=3)
    for attempt in (1, 2, 3):
        held = await claim(database)
        assert held.attempts == attempt
        await (generations.fail(held.id, "CUDA") if end == "fail" else generations.cancel(held.id))
        again = await generations.retry(held.id)
        assert again == msgspec.structs.replace(created, attempts=attempt)


# Many at once


async def test_many_are_created_in_their_order_and_their_prompts_counted(
    database: Database,
) -> None:
    ids: list[UUID | str] = [uuid4(), str(uuid4()).upper()]
    created = await database.generations.create_many(
        item
        for item in (
            new("a", id=ids[0], model_version="1", metadata={"bpm": 1}, max_attempts=2),
            new("b", id=ids[1], priority=1),
            new("a", file_path="outputs/2.wav"),
        )
    )
    assert [generation.prompt for generation in created] == ["a", "b", "a"]
    assert [generation.id for generation in created[:2]] == [UUID(str(id)) for id in ids]
    assert (created[0].model_version, created[0].metadata) == ("1", {"bpm": 1})
    assert (created[0].max_attempts, created[1].priority, created[2].metadata) == (2, 1, {})
    for generation in created:
        assert await database.generations.get(generation.id) == generation
    used = {prompt.text: prompt.used_count for prompt in await database.prompts.list()}
    assert used == {"a": 2, "b": 1}
    assert [prompt.text for prompt in await database.prompts.search("b")] == ["b"]
    assert await database.generations.create_many([]) == []


@pytest.mark.parametrize("position", [0, 5, 9])
@pytest.mark.parametrize(
    "wrong",
    [{"channels": 3}, {"id": "no id"}, {"metadata": {"a": float("nan")}}, {"prompt": None}],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_one_that_cannot_be_leaves_none_and_counts_nothing(
    position: int, wrong: dict[str, Any], database: Database
) -> None:
    many = [new(f"p{n}") for n in range(10)]
    many[position] = msgspec.structs.replace(many[position], **wrong)
    with pytest.raises((ConstraintError, ValueError)):
        await database.generations.create_many(many)
    assert await database.generations.count() == 0
    assert await database.prompts.count() == 0


@pytest.mark.parametrize("many", [7, "ab", [{}], ["x"], [None], new()])
async def test_only_new_generations_are_created(many: Any, database: Database) -> None:
    with pytest.raises(TypeError, match="generations"):
        await database.generations.create_many(many)


async def test_64_claims_at_once_get_64_generations(database: Database, other: Database) -> None:
    created = await database.generations.create_many(new(f"p{n}") for n in range(64))
    claimed = await asyncio.gather(
        *(
            holder.generations.claim(f"w{n}" if n % 3 else None)
            for n, holder in enumerate((database, other) * 32 + (database,) * 6)
        )
    )
    assert claimed.count(None) == 6
    assert {g.id for g in claimed if g is not None} == {g.id for g in created}


# Lists


async def test_what_a_model_or_a_prompt_has_made_is_listed_newest_first(
    database: Database, clock: FrozenClock
) -> None:
    made = []
    for n in range(12):
        clock.advance(n % 2)
        made.append(await create(database, f"p{n % 2}", model_name=f"m{n % 3}"))
    generations = database.generations
    for n in range(3):
        expected = [g for g in made[::-1] if g.model_name == f"m{n}"]
        assert await generations.list_for_model(f"m{n}") == expected
        assert await generations.list_for_model(f"m{n}", limit=2, offset=1) == expected[1:3]
    for n in range(2):
        expected = [g for g in made[::-1] if g.prompt == f"p{n}"]
        assert await generations.list_for_prompt(f"p{n}", limit=None) == expected
        assert await generations.list_for_prompt(f"p{n}", limit=1, offset=5) == expected[5:]
    assert await generations.list_for_model("M0") == await generations.list_for_prompt("P0") == []
    for wrong in ({"limit": -1}, {"offset": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            await generations.list_for_model("m0", **wrong)
        with pytest.raises(ValueError, match=next(iter(wrong))):
            await generations.list_for_prompt("p0", **wrong)
