"""Promises about generations: how they begin, who gets them, how they end, and what is known of them."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from state_tables import REFUSED, cells

import reelbase
from reelbase import (
    ConstraintError,
    Database,
    DatabaseReadOnlyError,
    Generation,
    GenerationRepository,
    GenerationStats,
    GenerationStatus,
    GenerationStatusLike,
    InvalidTransitionError,
    RecordNotFoundError,
)
from reelbase.engine.threads.executors import DatabaseExecutor
from reelbase.repositories import generations as generations_module
from reelbase.testing.clock import START, FrozenClock

OPEN = ("pending", "processing")
FINISHED = ("completed", "failed", "cancelled")
EVERY = OPEN + FINISHED
FIELDS = [
    "id",
    "prompt",
    "model_name",
    "model_version",
    "duration_seconds",
    "sample_rate",
    "channels",
    "file_path",
    "file_size_bytes",
    "status",
    "created_at",
    "completed_at",
    "generation_time_seconds",
    "error_message",
    "metadata",
]
OF_THE_QUEUE = ["priority", "attempts", "max_attempts", "worker", "lease_expires_at"]

Look = Callable[[str], list[tuple[object, ...]]]

every_status = pytest.mark.parametrize("status", EVERY)
every_finished = pytest.mark.parametrize("status", FINISHED)


async def create(
    holder: Database | reelbase.UnitOfWork, prompt: str = "trap beat", **replaced: Any
) -> Generation:
    """A pending generation of no particular kind."""
    arguments: dict[str, Any] = {
        "model_name": "musicgen-small",
        "duration_seconds": 16.0,
        "sample_rate": 32000,
        "channels": 2,
        "file_path": "outputs/1.wav",
    }
    return await holder.generations.create(prompt, **arguments | replaced)


async def generation_that_is(status: str, database: Database, **replaced: Any) -> Generation:
    """A generation in this state; a finished one ended now."""
    generations = database.generations
    generation = await create(database, **replaced)
    match status:
        case "pending":
            return generation
        case "processing":
            return await generations.mark_processing(generation.id)
        case "completed":
            return await generations.complete(generation.id, 18.5, 5_242_880)
        case "failed":
            return await generations.fail(generation.id, "out of memory")
        case _:
            return await generations.cancel(generation.id)


# The table of states: what each verb makes of each state.

Verb = Callable[[GenerationRepository, UUID], Awaitable[object]]

VERBS: dict[str, Verb] = {
    "mark": lambda generations, key: generations.mark_processing(key),
    "heartbeat": lambda generations, key: generations.heartbeat(key, "w"),
    "complete": lambda generations, key: generations.complete(key, 1.5),
    "fail": lambda generations, key: generations.fail(key, "broken"),
    "cancel": lambda generations, key: generations.cancel(key),
    "release": lambda generations, key: generations.release(key, "w"),
    "retry": lambda generations, key: generations.retry(key),
}
UPDATES = {"mark": "processing", "complete": "completed", "fail": "failed", "cancel": "cancelled"}
OVER_ALL: dict[str, Verb] = {
    "claim": lambda generations, _: generations.claim("heir"),
    "recover": lambda generations, _: generations.recover(),
}
HELD = ("held", "expired", "spent")
TABLE = cells(generations_module)

every_verb = pytest.mark.parametrize("verb", VERBS)


async def generation_in_state(state: str, database: Database, clock: FrozenClock) -> Generation:
    """A generation as a row of the table has it; claimed ones are held by w."""
    attempts = 1 if state == "spent" else 3
    if state not in HELD:
        return await generation_that_is(state, database, max_attempts=attempts)
    await create(database, max_attempts=attempts)
    held = await database.generations.claim("w", lease=30)
    assert held is not None
    if state != "held":
        clock.advance(30)
    return held


def test_the_table_has_every_state_and_every_verb() -> None:
    assert {state for state, _, _ in TABLE} == {*EVERY, *HELD}
    assert {verb for _, verb, _ in TABLE} == {*VERBS, *OVER_ALL}
    assert len(TABLE) == len({(state, verb) for state, verb, _ in TABLE}) == 8 * 9


@pytest.mark.parametrize(
    ("state", "verb", "becomes"),
    TABLE
    + [(state, f"to {UPDATES[verb]}", word) for state, verb, word in TABLE if verb in UPDATES],
)
async def test_what_a_verb_makes_of_a_state(
    state: str, verb: str, becomes: str, database: Database, clock: FrozenClock
) -> None:
    generations = database.generations
    call = VERBS.get(verb)
    if verb.startswith("to "):
        call = partial(_update_status, status=verb.removeprefix("to "))
    before = await generation_in_state(state, database, clock)
    now = clock.advance(1)
    if call is None:
        result = await OVER_ALL[verb](generations, before.id)
        if becomes == REFUSED:
            assert not result
            assert await generations.get(before.id) == before
            return
        assert result or (verb, becomes) == ("claim", "failed")
    elif becomes == REFUSED:
        with pytest.raises(InvalidTransitionError) as caught:
            await call(generations, before.id)
        assert caught.value.http_status == 409
        assert caught.value.details == {
            "entity": "generation",
            "key": str(before.id),
            "status": before.status,
        }
        assert before.status in str(caught.value)
        assert await generations.get(before.id) == before
        return
    else:
        result = await call(generations, before.id)
        assert result == await generations.get(before.id)
    after = await generations.get(before.id)
    assert after.status is GenerationStatus(becomes)
    if becomes not in FINISHED:
        assert after.completed_at is None
    elif before.completed_at is None:
        assert after.completed_at == now
    else:
        assert after == before
    assert (after.worker is None) == (after.lease_expires_at is None)
    assert after.worker is None or after.is_processing
    assert after.created_at == START


async def _update_status(generations: GenerationRepository, key: UUID, status: str) -> Generation:
    return await generations.update_status(key, GenerationStatus(status))


@every_status
@pytest.mark.parametrize("status_given", ["pending", GenerationStatus.PENDING])
async def test_update_status_does_not_lead_back_to_pending(
    status: str, status_given: GenerationStatusLike, database: Database
) -> None:
    before = await generation_that_is(status, database)
    with pytest.raises(InvalidTransitionError, match="cannot become pending"):
        await database.generations.update_status(before.id, status_given)
    assert await database.generations.get(before.id) == before


@every_verb
async def test_no_verb_finds_a_generation_that_is_not_there(verb: str, database: Database) -> None:
    missing = uuid4()
    with pytest.raises(RecordNotFoundError) as caught:
        await VERBS[verb](database.generations, missing)
    assert caught.value.details == {"entity": "generation", "key": str(missing)}


@every_finished
async def test_every_end_stamps_completed_at(
    status: str, database: Database, clock: FrozenClock
) -> None:
    clock.advance(7)
    ended = await generation_that_is(status, database)
    assert ended.completed_at == clock.now


def test_a_status_equals_its_text() -> None:
    assert [str(status) for status in GenerationStatus] == list(EVERY)
    assert all(GenerationStatus(text) == text for text in EVERY)


@pytest.mark.parametrize("status", ["", "paused", "PENDING", 1])
async def test_an_unknown_status_is_a_value_error(status: Any, database: Database) -> None:
    generation = await create(database)
    for call in (
        lambda: database.generations.update_status(generation.id, status),
        lambda: database.generations.list(status=status),
        lambda: database.generations.count(status),
    ):
        with pytest.raises(ValueError, match="pending, processing"):
            await call()


async def test_no_status_is_no_status_to_move_to(database: Database) -> None:
    for status in EVERY:
        generation = await generation_that_is(status, database)
        nothing: Any = None
        with pytest.raises((TypeError, ValueError), match="status"):
            await database.generations.update_status(generation.id, nothing)
        assert await database.generations.get(generation.id) == generation


async def test_update_status_keeps_the_message_unless_given_one(database: Database) -> None:
    generations = database.generations
    key = (await create(database)).id
    moved = await generations.update_status(key, "processing", "slow")
    assert moved.error_message == "slow"
    assert (await generations.update_status(key, "failed")).error_message == "slow"
    other = await generation_that_is("processing", database)
    assert (await generations.fail(other.id, "")).error_message == ""


async def test_a_failure_says_why(database: Database) -> None:
    failed = await generation_that_is("failed", database)
    assert failed.error_message == "out of memory"
    assert failed.generation_time_seconds is None


async def test_what_happened_in_a_unit_has_its_one_moment(
    database: Database, clock: FrozenClock
) -> None:
    async with database.transaction() as unit:
        generation = await create(unit)
        clock.advance(3)
        ended = await unit.generations.complete(generation.id, 3.0)
    assert generation.created_at == ended.completed_at == START
    assert (await database.generations.get(generation.id)) == ended


# Creating


async def test_a_new_generation_is_pending_and_has_what_was_given(database: Database) -> None:
    created = await database.generations.create(
        "hip hop beat at 140 BPM",
        "musicgen-small",
        16,
        44100,
        1,
        "outputs/gen 123.wav",
        model_version="1.0",
        metadata={"bpm": 140},
    )
    assert created == Generation(
        id=created.id,
        prompt="hip hop beat at 140 BPM",
        model_name="musicgen-small",
        model_version="1.0",
        duration_seconds=16.0,
        sample_rate=44100,
        channels=1,
        file_path="outputs/gen 123.wav",
        file_size_bytes=None,
        status=GenerationStatus.PENDING,
        created_at=START,
        completed_at=None,
        generation_time_seconds=None,
        error_message=None,
        metadata={"bpm": 140},
    )
    assert created.id.version == 7
    assert await database.generations.get(created.id) == created


async def test_version_and_metadata_may_be_left_out(database: Database) -> None:
    created = await create(database)
    assert (created.model_version, created.metadata) == (None, {})


@pytest.mark.parametrize(
    "text", ["", " ", "null", "a\0b", "🎹", "l'été\n", "'; DROP TABLE prompts;"]
)
async def test_texts_are_kept_as_given(text: str, database: Database) -> None:
    created = await create(database, text, model_name=text, model_version=text, file_path=text)
    found = await database.generations.get(created.id)
    assert (found.prompt, found.model_name, found.model_version, found.file_path) == (text,) * 4
    prompt = await database.prompts.find_by_text(text)
    assert prompt is not None
    assert prompt.used_count == 1


async def test_ids_grow_with_time_also_within_a_millisecond(database: Database) -> None:
    ids = [(await create(database)).id for _ in range(50)]
    assert ids == sorted(ids)


async def test_the_caller_may_choose_the_id(database: Database) -> None:
    id = uuid4()
    assert (await create(database, id=str(id).upper())).id == id
    with pytest.raises(ConstraintError) as caught:
        await create(database, id=id)
    assert (caught.value.kind, caught.value.constraint) == ("unique", "generations.id")
    with pytest.raises(ValueError, match="id"):
        await create(database, id="gen-1")


async def test_creating_counts_the_prompt_in_the_same_transaction(
    database: Database, clock: FrozenClock
) -> None:
    await create(database, "a")
    later = clock.advance(9)
    await create(database, "a")
    await create(database, "b")
    used = [(p.text, p.used_count, p.last_used_at) for p in await database.prompts.list()]
    assert used == [("a", 2, later), ("b", 1, later)]


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"channels": 0}, "generations_channels"),
    ({"channels": 3}, "generations_channels"),
    ({"channels": -1}, "generations_channels"),
    ({"duration_seconds": 0}, "generations_duration_seconds"),
    ({"duration_seconds": -0.001}, "generations_duration_seconds"),
    ({"sample_rate": 0}, "generations_sample_rate"),
    ({"sample_rate": -44100}, "generations_sample_rate"),
]


@pytest.mark.parametrize(("wrong", "constraint"), IMPOSSIBLE)
async def test_a_generation_that_cannot_be_is_refused_and_counts_nothing(
    wrong: dict[str, Any], constraint: str, database: Database
) -> None:
    await create(database, "known")
    for prompt in ("known", "new"):
        with pytest.raises(ConstraintError) as caught:
            await create(database, prompt, **wrong)
        assert (caught.value.kind, caught.value.constraint) == ("check", constraint)
    assert [(p.text, p.used_count) for p in await database.prompts.list()] == [("known", 1)]
    assert await database.prompts.search("new") == []
    assert await database.generations.count() == 1


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("duration_seconds", math.nan, ValueError),
        ("duration_seconds", math.inf, ValueError),
        ("duration_seconds", "16", TypeError),
        ("sample_rate", 44100.0, TypeError),
        ("sample_rate", 2**63, ValueError),
        ("channels", True, TypeError),
        ("file_path", 7, TypeError),
        ("model_name", "\ud800", ValueError),
        ("metadata", [1], TypeError),
        ("metadata", {"a": math.nan}, ValueError),
        ("metadata", {"a": [math.inf]}, ValueError),
        ("metadata", {1: "a"}, ValueError),
        ("metadata", {"a": "\ud800"}, ValueError),
        ("metadata", {"a": object()}, TypeError),
    ],
)
async def test_wrong_arguments_are_named_and_count_nothing(
    name: str, value: Any, error: type[Exception], database: Database
) -> None:
    with pytest.raises(error, match=name):
        await create(database, **{name: value})
    assert await database.generations.count() == 0
    assert await database.prompts.count() == 0


async def test_a_failed_create_does_not_touch_those_beside_it(database: Database) -> None:
    """They share a commit."""
    results = await asyncio.gather(
        *(create(database, f"p{n % 10}", channels=2 if n % 3 else 9) for n in range(120)),
        return_exceptions=True,
    )
    failed = [n for n, result in enumerate(results) if isinstance(result, ConstraintError)]
    assert failed == [n for n in range(120) if n % 3 == 0]
    assert await database.generations.count() == 80
    prompts = await database.prompts.list()
    assert sum(prompt.used_count for prompt in prompts) == 80


async def test_what_a_unit_took_back_was_never_counted(database: Database) -> None:
    async def change_ones_mind(unit: reelbase.UnitOfWork) -> None:
        async with unit.savepoint():
            await create(unit, "taken back")
            await create(unit, "kept")
            raise RuntimeError

    async with database.transaction() as unit:
        await create(unit, "kept")
        with pytest.raises(RuntimeError):
            await change_ones_mind(unit)
    assert [g.prompt for g in await database.generations.list()] == ["kept"]
    assert [(p.text, p.used_count) for p in await database.prompts.list()] == [("kept", 1)]
    async with database.transaction() as unit:
        await create(unit, "never")
        await unit.rollback()
    assert await database.prompts.find_by_text("never") is None
    assert await database.prompts.search("never") == []


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one for each thing that is handed to a connection's thread and waited for."""
    seen: list[str] = []

    def counted(name: str) -> Callable[..., Awaitable[Any]]:
        run = getattr(DatabaseExecutor, name)

        def counting(self: DatabaseExecutor, *steps: Any) -> Any:
            seen.append(name)
            return run(self, *steps)

        return counting

    for name in ("run", "run_one"):
        monkeypatch.setattr(DatabaseExecutor, name, counted(name))
    return seen


async def test_every_call_is_one_hop(database: Database, hops: list[str]) -> None:
    generations = database.generations

    async def in_one_hop(call: Awaitable[Any]) -> Any:
        hops.clear()
        result = await call
        assert len(hops) == 1
        return result

    key = (await in_one_hop(create(database))).id
    await in_one_hop(generations.get(key))
    await in_one_hop(generations.list(status="pending"))
    await in_one_hop(generations.claim())
    await in_one_hop(generations.set_metadata(key, {}))
    await in_one_hop(generations.complete(key, 1.0, 2, {"a": 1}))
    await in_one_hop(generations.stats())
    await in_one_hop(generations.delete(key))


# Finding, listing, counting


async def test_get_raises_and_find_does_not(database: Database) -> None:
    created = await create(database)
    for key in (created.id, str(created.id), created.id.hex, str(created.id).upper()):
        assert await database.generations.get(key) == created
        assert await database.generations.find(generation_id=key) == created
    missing = uuid4()
    assert await database.generations.find(missing) is None
    with pytest.raises(RecordNotFoundError) as caught:
        await database.generations.get(missing)
    assert caught.value.details == {"entity": "generation", "key": str(missing)}


@pytest.mark.parametrize("id", ["", "x", "0189", 7, None])
async def test_a_malformed_id_is_a_value_error(id: Any, database: Database) -> None:
    generations = database.generations
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: generations.get(id),
        lambda: generations.find(id),
        lambda: generations.set_metadata(id, {}),
        lambda: generations.delete(id, missing_ok=True),
        *(lambda call=call: call(generations, id) for call in VERBS.values()),
        lambda: generations.update_status(id, "failed"),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="UUID"):
            await call()


async def fill(database: Database, clock: FrozenClock, number: int = 23) -> list[Generation]:
    """Generations of every status, with ties of created_at; oldest first."""
    made = []
    for n in range(number):
        clock.advance(n % 2)
        made.append(await generation_that_is(EVERY[n % 5], database, prompt=f"p{n % 3}"))
    return made


async def test_a_list_is_newest_first(database: Database, clock: FrozenClock) -> None:
    made = await fill(database, clock)
    assert await database.generations.list() == made[::-1]
    for status in EVERY:
        expected = [generation for generation in made[::-1] if generation.status == status]
        assert await database.generations.list(status=status) == expected  # type: ignore[arg-type]
        assert await database.generations.list(status=GenerationStatus(status)) == expected


async def test_ids_that_the_caller_chose_do_not_change_the_order(
    database: Database, clock: FrozenClock
) -> None:
    for number, id in enumerate(UUID(int=n) for n in (5, 3, 4, 1, 2)):
        if number in (0, 2, 4):
            clock.advance(1)
        await create(database, id=id)
    oldest_first = [UUID(int=n) for n in (3, 5, 1, 4, 2)]
    generations = database.generations
    assert [g.id for g in await generations.pending()] == oldest_first
    assert [g.id for g in await generations.list()] == oldest_first[::-1]
    assert [g.id for g in await generations.list(status="pending")] == oldest_first[::-1]
    claimed = [await generations.claim() for _ in range(6)]
    assert [g and g.id for g in claimed] == [*oldest_first, None]


@pytest.mark.parametrize("status", [None, "failed"])
async def test_paging_visits_every_generation_once(
    status: str | None, database: Database, clock: FrozenClock
) -> None:
    await fill(database, clock)
    generations = database.generations
    whole = await generations.list(status=status, limit=None)  # type: ignore[arg-type]
    assert len(whole) == (5 - 1 if status else 23)
    pages = []
    for offset in range(0, 30, 3):
        pages += await generations.list(status=status, limit=3, offset=offset)  # type: ignore[arg-type]
    assert pages == whole
    assert await generations.list(status=status, limit=0) == []  # type: ignore[arg-type]
    for wrong in ({"limit": -1}, {"offset": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            await generations.list(status=status, **wrong)  # type: ignore[arg-type]


async def test_lists_are_100_long_unless_asked_otherwise(database: Database) -> None:
    await asyncio.gather(*(create(database) for _ in range(101)))
    generations = database.generations
    assert len(await generations.list()) == 100
    assert len(await generations.list(status="pending")) == 100
    assert len(await generations.pending()) == 100
    assert len(await generations.list(limit=None)) == 101
    assert len(await generations.pending(limit=None)) == 101


async def test_pending_ones_are_listed_oldest_first(database: Database, clock: FrozenClock) -> None:
    made = await fill(database, clock)
    pending = [generation for generation in made if generation.is_pending]
    assert await database.generations.pending() == pending
    assert await database.generations.pending(limit=2) == pending[:2]
    assert await database.generations.pending(0) == []
    with pytest.raises(ValueError, match="limit"):
        await database.generations.pending(-1)


async def test_counts_by_status(database: Database) -> None:
    for number, status in enumerate(EVERY):
        for _ in range(number + 1):
            await generation_that_is(status, database)
    assert await database.generations.count() == 15
    counts = [await database.generations.count(status) for status in EVERY]  # type: ignore[arg-type]
    assert counts == [1, 2, 3, 4, 5]
    assert await database.generations.count(GenerationStatus.FAILED) == 4


async def test_stats_of_an_empty_database_are_zeros(database: Database) -> None:
    assert await database.generations.stats() == GenerationStats(0, 0, 0, 0, 0, 0, 0)


async def test_stats_count_every_status_and_the_prompts(database: Database) -> None:
    for number, status in enumerate(EVERY):
        for n in range(number + 1):
            await generation_that_is(status, database, prompt=f"p{n}")
    await database.prompts.track("only looked at")
    assert await database.generations.stats() == GenerationStats(
        total_generations=15,
        pending_generations=1,
        processing_generations=2,
        completed_generations=3,
        failed_generations=4,
        cancelled_generations=5,
        total_prompts=6,
    )


@pytest.fixture
def statements(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """The statements that were logged since it was last asked."""
    with caplog.at_level(logging.INFO, "reelbase.sql"):

        def since_then() -> list[str]:
            logged = [r.getMessage() for r in caplog.records if r.name == "reelbase.sql"]
            caplog.clear()
            return logged

        yield since_then


async def test_stats_are_one_statement(
    path: Path, journal: Any, statements: Callable[[], list[str]]
) -> None:
    async with reelbase.connect(path, journal=journal, slow_query=0) as database:
        await create(database)
        statements()
        await database.generations.stats()
        assert len(statements()) == 1


async def test_what_ends_or_claims_is_one_statement_and_says_no_values(
    path: Path, journal: Any, statements: Callable[[], list[str]]
) -> None:
    async with reelbase.connect(path, journal=journal, slow_query=0) as database:
        generations = database.generations
        key = (await create(database, "a secret")).id
        assert "secret" not in "".join(statements())
        for call in (
            generations.claim(),
            generations.claim(),
            generations.set_metadata(key, {"a": "secret"}),
            generations.complete(key, 1.0, metadata={"b": "secret"}),
            generations.recover("secret"),
        ):
            await call
            (statement,) = statements()
            assert "secret" not in statement


@pytest.mark.long
async def test_stats_see_one_moment(database: Database) -> None:
    """Whatever is written meanwhile, the parts make the whole."""
    done = False

    async def write() -> None:
        for n in range(60):
            await generation_that_is(EVERY[n % 5], database)

    async def read() -> None:
        while not done:
            stats = await database.generations.stats()
            fields = list(msgspec.structs.asdict(stats).values())
            assert fields[0] == sum(fields[1:6])
            assert fields[6] == min(fields[0], 1)

    readers = [asyncio.ensure_future(read()) for _ in range(3)]
    await write()
    done = True
    await asyncio.gather(*readers)


# Claiming


async def test_claim_takes_the_oldest_pending_one(database: Database, clock: FrozenClock) -> None:
    assert await database.generations.claim() is None
    first = await create(database)
    clock.advance(-60)
    older = await create(database)
    await generation_that_is("cancelled", database)
    claimed = await database.generations.claim()
    assert claimed == msgspec.structs.replace(older, status=GenerationStatus.PROCESSING)
    assert claimed == await database.generations.get(older.id)
    again = await database.generations.claim()
    assert again is not None
    assert again.id == first.id
    assert await database.generations.claim() is None


@pytest.mark.long
async def test_16_tasks_get_each_generation_once_and_the_oldest_first(
    database: Database, clock: FrozenClock
) -> None:
    queue = []
    for n in range(200):
        clock.advance(n % 2)
        queue.append((await create(database)).id)
    claimed: list[list[UUID]] = [[] for _ in range(16)]

    async def work(mine: list[UUID]) -> None:
        while (generation := await database.generations.claim()) is not None:
            mine.append(generation.id)
            if len(mine) % 2:
                await database.generations.complete(generation.id, 1.0)
            else:
                await database.generations.fail(generation.id, "no")

    await asyncio.gather(*map(work, claimed))
    position = {id: n for n, id in enumerate(queue)}
    assert sorted((id for mine in claimed for id in mine), key=position.__getitem__) == queue
    for mine in claimed:
        assert mine == sorted(mine, key=position.__getitem__)
        assert len(mine) > 1
    stats = await database.generations.stats()
    assert stats.completed_generations + stats.failed_generations == 200


WORKER = textwrap.dedent(
    """
    import asyncio, sys
    import reelbase

    path, journal = sys.argv[1:]

    async def work(generations):
        while (generation := await generations.claim()) is not None:
            print(generation.id, flush=True)
            await generations.complete(generation.id, 0.5, metadata={"done": True})

    async def main():
        async with reelbase.connect(path, journal=journal, busy_timeout=60) as database:
            print("ready", flush=True)
            sys.stdin.readline()
            await work(database.generations)

    asyncio.run(main())
    """
)


async def run_processes(source: str, number: int, *arguments: object) -> list[list[str]]:
    """What each of so many processes prints, all of them started when all are ready."""
    library = str(Path(reelbase.__file__).parents[1])
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", "-c", source, *map(str, arguments)),
            env=os.environ | {"PYTHONPATH": library},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(number)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    printed = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [process.returncode for process in processes] == [0] * number
    return [output.decode().split() for output, _ in printed]


@pytest.mark.long
async def test_four_processes_get_each_generation_once_and_the_oldest_first(
    database: Database, path: Path, journal: str
) -> None:
    queue = [str((await create(database)).id) for _ in range(120)]
    claimed = await run_processes(WORKER, 4, path, journal)
    assert sorted(id for mine in claimed for id in mine) == queue
    for mine in claimed:
        assert mine == sorted(mine)
    ended = await database.generations.list(limit=None)
    assert {(g.status, g.generation_time_seconds) for g in ended} == {("completed", 0.5)}


async def test_a_claim_that_is_rolled_back_gives_it_back(database: Database) -> None:
    created = await create(database)
    async with database.transaction() as unit:
        assert await unit.generations.claim() is not None
        await unit.rollback()
    assert await database.generations.pending() == [created]


# Completing, and metadata


async def test_complete_stores_time_and_size(database: Database, clock: FrozenClock) -> None:
    created = await create(database, metadata={"bpm": 140})
    now = clock.advance(20)
    done = await database.generations.complete(
        created.id, generation_time=18.5, file_size_bytes=2**40
    )
    assert done == msgspec.structs.replace(
        created,
        status=GenerationStatus.COMPLETED,
        completed_at=now,
        generation_time_seconds=18.5,
        file_size_bytes=2**40,
    )


@pytest.mark.parametrize(
    ("arguments", "constraint"),
    [
        ((-0.5,), "generations_generation_time_seconds"),
        ((1.0, -1), "generations_file_size_bytes"),
    ],
)
async def test_complete_refuses_what_cannot_be(
    arguments: tuple[Any, ...], constraint: str, database: Database
) -> None:
    created = await create(database)
    with pytest.raises(ConstraintError) as caught:
        await database.generations.complete(created.id, *arguments)
    assert (caught.value.kind, caught.value.constraint) == ("check", constraint)
    assert await database.generations.get(created.id) == created


BIG = {"max": 2**64 - 1, "min": -(2**63), "odd": 2**53 + 1}
FLOATS = {"third": 1 / 3, "tiny": 5e-324, "huge": 1.7976931348623157e308, "whole": 2.0}

MERGES: dict[str, tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any]]] = {
    "nothing": ({"a": 1}, None, {"a": 1}),
    "an empty one": ({"a": 1}, {}, {"a": 1}),
    "into an empty one": ({}, {"a": 1}, {"a": 1}),
    "a new key": ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
    "a known key": ({"a": 1, "b": 1}, {"a": 2}, {"a": 2, "b": 1}),
    "objects as a whole": ({"a": {"x": 1, "y": 2}}, {"a": {"x": 3}}, {"a": {"x": 3}}),
    "lists as a whole": ({"a": [1, 2, 3]}, {"a": [4]}, {"a": [4]}),
    "null, which is kept": ({"a": 1, "b": None}, {"a": None}, {"a": None, "b": None}),
    "null inside": ({}, {"a": {"b": None}}, {"a": {"b": None}}),
    "another kind": ({"a": 1, "b": "x"}, {"a": "1", "b": False}, {"a": "1", "b": False}),
    "falsy values": ({"a": 1, "b": 1, "c": 1}, {"a": 0, "b": "", "c": {}}, {"a": 0, "b": "", "c": {}}),
    "big integers": (BIG, {"x": 1}, BIG | {"x": 1}),
    "floats": (FLOATS, {"y": 0.1 + 0.2}, FLOATS | {"y": 0.30000000000000004}),
    "keys of any script": ({"ключ": 1, "鍵": 1}, {"鍵": 2}, {"ключ": 1, "鍵": 2}),
    "keys that only look alike": ({"é": 1}, {"e\u0301": 2}, {"é": 1, "e\u0301": 2}),
    "an empty key": ({"": 1}, {"": 2}, {"": 2}),
    "NUL": ({"a\0b": "c\0d"}, {"a": "\0"}, {"a\0b": "c\0d", "a": "\0"}),
    "what looks like a path": ({"$.a": 1, "a": 1}, {"$.a": 2, "a.b": 3}, {"$.a": 2, "a": 1, "a.b": 3}),
    "keys that differ in case": ({"a": 1}, {"A": 2}, {"a": 1, "A": 2}),
}  # fmt: skip


def exact(value: object) -> str:
    """Tells 1 from 1.0 and from True, which == does not."""
    return repr(value)


@pytest.mark.parametrize("case", MERGES)
async def test_complete_merges_metadata_key_by_key(case: str, database: Database) -> None:
    old, new, expected = MERGES[case]
    created = await create(database, metadata=old)
    done = await database.generations.complete(created.id, 1.0, metadata=new)
    assert exact(done.metadata) == exact(expected)
    assert exact((await database.generations.get(created.id)).metadata) == exact(expected)


async def test_a_refused_complete_merges_nothing(database: Database) -> None:
    ended = await generation_that_is("cancelled", database, metadata={"a": 1})
    with pytest.raises(InvalidTransitionError):
        await database.generations.complete(ended.id, 1.0, 9, {"a": 2})
    assert await database.generations.get(ended.id) == ended


@pytest.mark.parametrize("metadata", [[1], "x", 1, {"a": math.nan}, {1: 2}, {"a": "\udc80"}])
async def test_complete_refuses_metadata_that_is_no_json_object(
    metadata: Any, database: Database
) -> None:
    created = await create(database)
    with pytest.raises((TypeError, ValueError), match="metadata"):
        await database.generations.complete(created.id, 1.0, metadata=metadata)
    with pytest.raises((TypeError, ValueError), match="metadata"):
        await database.generations.set_metadata(created.id, metadata)
    assert await database.generations.get(created.id) == created


@every_status
async def test_set_metadata_replaces_in_every_state(status: str, database: Database) -> None:
    before = await generation_that_is(status, database, metadata={"a": 1, "b": {"c": 2}})
    after = await database.generations.set_metadata(before.id, {"b": None})
    assert after == msgspec.structs.replace(before, metadata={"b": None})
    assert await database.generations.get(before.id) == after
    assert (await database.generations.set_metadata(before.id, {})).metadata == {}


async def test_set_metadata_of_nothing_is_not_found(database: Database) -> None:
    missing = uuid4()
    with pytest.raises(RecordNotFoundError) as caught:
        await database.generations.set_metadata(missing, {})
    assert caught.value.details == {"entity": "generation", "key": str(missing)}


def nested(depth: int) -> dict[str, Any]:
    """Objects in objects, that many."""
    metadata: dict[str, Any] = {}
    for _ in range(depth - 1):
        metadata = {"a": metadata}
    return metadata


async def test_metadata_may_be_deep_but_not_endless(database: Database) -> None:
    deep = await create(database, metadata=nested(512))
    merged = await database.generations.complete(deep.id, 1.0, metadata={"b": nested(511)})
    assert merged.metadata == nested(512) | {"b": nested(511)}
    assert await database.generations.get(deep.id) == merged
    for depth in (513, 980, 982, 990, 1000, 5000):
        with pytest.raises(ValueError, match="metadata"):
            await create(database, metadata=nested(depth))
        with pytest.raises(ValueError, match="metadata"):
            await database.generations.set_metadata(deep.id, nested(depth))
    assert await database.generations.list() == [merged]


async def test_metadata_is_readable_json_in_the_file(database: Database, look: Look) -> None:
    await create(database, metadata={"bpm": 140, "key": "Cm", "genre": "猫"})
    assert look(
        "SELECT json_extract(metadata, '$.bpm'), json_extract(metadata, '$.genre') FROM generations"
    ) == [(140, "猫")]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(st.text(max_size=3), json_values, max_size=5)


@pytest.mark.long
@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(old=json_objects, new=json_objects)
def test_metadata_comes_back_and_merges_like_dicts(
    old: dict[str, Any], new: dict[str, Any], memory: Run
) -> None:
    async def check(database: Database) -> None:
        created = await create(database, metadata=old)
        assert exact(created.metadata) == exact(old)
        done = await database.generations.complete(created.id, 1.0, metadata=new)
        assert exact(done.metadata) == exact(old | new)
        replaced = await database.generations.set_metadata(created.id, new)
        assert exact((await database.generations.get(created.id)).metadata) == exact(new)
        assert msgspec.json.decode(msgspec.json.encode(replaced), type=Generation) == replaced

    memory(check)


Run = Callable[[Callable[[Database], Awaitable[None]]], None]


@pytest.fixture
def memory() -> Iterator[Run]:
    """Runs a function of a database; always the same database, and one event loop for all."""
    with asyncio.Runner() as runner:

        async def open_it() -> Database:
            return await reelbase.connect(":memory:", clock=FrozenClock())

        database = runner.run(open_it())

        async def run(function: Callable[[Database], Awaitable[None]]) -> None:
            await function(database)

        yield lambda function: runner.run(run(function))
        runner.run(database.close())


# Recovering, deleting


async def test_recover_fails_what_was_processing_and_nothing_else(
    database: Database, clock: FrozenClock
) -> None:
    made = {status: await generation_that_is(status, database) for status in EVERY}
    await generation_that_is("processing", database)
    now = clock.advance(60)
    assert await database.generations.recover("interrupted by restart") == 2
    for status, before in made.items():
        after = await database.generations.get(before.id)
        if status == "processing":
            expected = msgspec.structs.replace(
                before,
                status=GenerationStatus.FAILED,
                error_message="interrupted by restart",
                completed_at=now,
            )
            assert after == expected
        else:
            assert after == before
    assert await database.generations.recover("again") == 0


@every_status
async def test_a_generation_is_deleted_in_every_state_and_its_prompt_stays(
    status: str, database: Database
) -> None:
    generation = await generation_that_is(status, database)
    assert await database.generations.delete(generation_id=generation.id) is True
    assert await database.generations.find(generation.id) is None
    with pytest.raises(RecordNotFoundError) as caught:
        await database.generations.delete(str(generation.id))
    assert caught.value.details == {"entity": "generation", "key": str(generation.id)}
    assert await database.generations.delete(generation.id, missing_ok=True) is False
    prompt = await database.prompts.find_by_text("trap beat")
    assert prompt is not None
    assert prompt.used_count == 1


async def test_a_delete_takes_one(database: Database) -> None:
    made = [await create(database) for _ in range(3)]
    await database.generations.delete(made[1].id)
    assert await database.generations.pending() == [made[0], made[2]]


# The record


@pytest.mark.parametrize(
    ("status", "is_true"),
    [
        ("pending", {"is_pending"}),
        ("processing", {"is_processing"}),
        ("completed", {"is_complete", "is_finished"}),
        ("failed", {"is_failed", "is_finished"}),
        ("cancelled", {"is_finished"}),
    ],
)
async def test_what_a_status_means(status: str, is_true: set[str], database: Database) -> None:
    generation = await generation_that_is(status, database)
    names = ["is_pending", "is_processing", "is_complete", "is_failed", "is_finished"]
    assert {name for name in names if getattr(generation, name) is True} == is_true
    assert all(getattr(generation, name) is False for name in set(names) - is_true)


async def test_to_dict_has_the_15_fields_with_iso_times(
    database: Database, clock: FrozenClock
) -> None:
    clock.advance(0.123)
    created = await create(database, model_version="1.0", metadata={"bpm": 140, "tags": ["a"]})
    clock.advance(18.5)
    done = await database.generations.complete(created.id, 18.5, 5_242_880)
    assert done.to_dict() == {
        "id": str(created.id),
        "prompt": "trap beat",
        "model_name": "musicgen-small",
        "model_version": "1.0",
        "duration_seconds": 16.0,
        "sample_rate": 32000,
        "channels": 2,
        "file_path": "outputs/1.wav",
        "file_size_bytes": 5_242_880,
        "status": "completed",
        "created_at": "2026-01-31T12:00:00.123000Z",
        "completed_at": "2026-01-31T12:00:18.623000Z",
        "generation_time_seconds": 18.5,
        "error_message": None,
        "metadata": {"bpm": 140, "tags": ["a"]},
    }
    assert list(done.to_dict()) == FIELDS
    assert len(FIELDS) == 15
    assert type(done.to_dict()["status"]) is str


async def test_changing_a_dict_does_not_change_the_record(database: Database) -> None:
    created = await create(database, metadata={"a": {"b": 1}})
    created.to_dict()["metadata"]["a"]["b"] = 2
    assert created.metadata == {"a": {"b": 1}}


async def test_a_record_does_not_change(database: Database) -> None:
    created = await create(database)
    with pytest.raises(AttributeError):
        created.status = GenerationStatus.COMPLETED  # type: ignore[misc]
    await database.generations.cancel(created.id)
    assert created.is_pending


@every_status
async def test_json_is_an_object_and_comes_back(status: str, database: Database) -> None:
    generation = await generation_that_is(status, database, metadata=BIG | FLOATS | {"a": None})
    encoded = msgspec.json.encode(generation)
    assert list(msgspec.json.decode(encoded)) == FIELDS + OF_THE_QUEUE
    assert msgspec.json.decode(encoded, type=Generation) == generation
    assert msgspec.convert(generation.to_dict(), Generation) == generation


# Where else it works


async def test_a_unit_has_every_verb_and_a_snapshot_those_that_read(database: Database) -> None:
    async with database.transaction() as unit:
        created = await create(unit)
        claimed = await unit.generations.claim()
        assert claimed is not None
        assert claimed.id == created.id
        await unit.generations.fail(created.id, "no")
        assert (await unit.generations.stats()).failed_generations == 1
        with pytest.raises(InvalidTransitionError):
            await unit.generations.cancel(created.id)
    async with database.snapshot() as view:
        assert (await view.generations.get(created.id)).is_failed
        with pytest.raises(DatabaseReadOnlyError):
            await view.generations.claim()  # type: ignore[attr-defined]


async def test_moments_are_kept_to_the_millisecond(database: Database, clock: FrozenClock) -> None:
    clock.now += timedelta(microseconds=1999)
    assert (await create(database)).created_at == START + timedelta(milliseconds=1)


# The schema


@pytest.mark.parametrize("column", ["status", "created_at", "model_name", "completed_at"])
def test_there_is_an_index_on(column: str, path: Path, look: Look) -> None:
    indexes = look("SELECT name FROM pragma_index_list('generations')")
    leading = {
        name
        for (index,) in indexes
        for (name,) in look(f"SELECT name FROM pragma_index_info('{index}') WHERE seqno = 0")
    }
    assert column in leading


@pytest.mark.parametrize(
    ("assignment", "constraint"),
    [
        ("status = 'paused'", "generations_status"),
        ("status = 'completed'", "generations_completed"),
        ("completed_at = created_at", "generations_completed"),
        ("channels = 5", "generations_channels"),
        ("sample_rate = 0", "generations_sample_rate"),
        ("duration_seconds = 0", "generations_duration_seconds"),
        ("metadata = '{'", "generations_metadata"),
        ("metadata = '[]'", "generations_metadata"),
        ("metadata = '\"{}\"'", "generations_metadata"),
        ("metadata = 'null'", "generations_metadata"),
        ("created_at = '2026-01-31'", "generations_created_at"),
        ("id = 'gen-1'", "generations_id"),
    ],
)
async def test_the_schema_guards_itself(
    assignment: str, constraint: str, database: Database
) -> None:
    created = await create(database)
    with pytest.raises(ConstraintError) as caught:
        await database.execute(f"UPDATE generations SET {assignment}")
    assert (caught.value.kind, caught.value.constraint) == ("check", constraint)
    assert await database.generations.get(created.id) == created
