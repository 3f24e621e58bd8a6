"""Promises about retention: what a rule does not keep, what is spared, and which bytes may be unlinked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from samples import contents

from reelbase import (
    Database,
    Expendable,
    ExpendableKind,
    InvalidArgumentError,
    NewFile,
    RecordNotFoundError,
)
from reelbase.testing.clock import START, FrozenClock

HOUR = timedelta(hours=1)


async def add_files(database: Database, clock: FrozenClock, *sizes: int | None) -> list[UUID]:
    """Files of ann with these sizes, an hour between them; the names are numbers from 0."""
    await database.profiles.ensure("ann")
    ids = []
    for number, size in enumerate(sizes):
        file = await database.files.add("ann", str(number), f"{number}.bin", size_bytes=size)
        ids.append(file.id)
        clock.advance(3600)
    return ids


async def add_generations(database: Database, clock: FrozenClock, *sizes: int) -> list[UUID]:
    """Completed generations with these sizes, an hour between them."""
    ids = []
    for number, size in enumerate(sizes):
        made = await database.generations.create("a cat", "m", 1.0, 1, 1, f"{number}.wav")
        await database.generations.complete(made.id, 1.0, size)
        ids.append(made.id)
        clock.advance(3600)
    return ids


async def paths(database: Database, **bounds: Any) -> list[str | None]:
    return [row.path for row in await database.retention.files("ann", **bounds)]


RULES: list[tuple[dict[str, Any], list[int]]] = [
    ({}, []),
    ({"older_than": 2.5 * HOUR}, [0, 1]),
    ({"older_than": 100 * HOUR}, []),
    ({"max_count": 4}, []),
    ({"max_count": 1}, [0, 1, 2]),
    ({"max_count": 0}, [0, 1, 2, 3]),
    ({"max_bytes": 100}, []),
    ({"max_bytes": 99}, [0]),
    ({"max_bytes": 70}, [0, 1]),
    ({"max_bytes": 0}, [0, 1, 2, 3]),
    ({"max_bytes": 99, "max_count": 2}, [0, 1]),
    ({"older_than": 3.5 * HOUR, "max_count": 3, "max_bytes": 100}, [0]),
]


@pytest.mark.parametrize(("bounds", "expected"), RULES)
async def test_one_rule_holds_for_files_and_generations(
    bounds: dict[str, Any], expected: list[int], database: Database, clock: FrozenClock, path: Path
) -> None:
    files = await add_files(database, clock, 10, 20, 30, 40)
    begun = clock.now
    generations = await add_generations(database, clock, 10, 20, 30, 40)
    before = contents(path)
    listed = await database.retention.generations(**bounds)
    assert [row.key for row in listed] == [str(generations[number]) for number in expected]
    assert [row.path for row in listed] == [f"{number}.wav" for number in expected]
    clock.advance((begun - clock.now).total_seconds())
    rows = await database.retention.files("ann", **bounds)
    assert [row.key for row in rows] == [str(files[number]) for number in expected]
    assert [row.size_bytes for row in rows] == [10 * (number + 1) for number in expected]
    assert contents(path) == before
    assert await database.retention.remove(rows) == rows
    assert [file.name for file in await database.files.list_for_profile("ann")] == [
        str(number) for number in (3, 2, 1, 0) if number not in expected
    ]
    assert await database.retention.files("ann", **bounds) == []


async def test_what_is_removed_is_what_was_listed(database: Database, clock: FrozenClock) -> None:
    await add_files(database, clock, 1, 1)
    listed = await database.retention.files("ann", max_count=1)
    await database.files.add("ann", "new", "new.bin")
    assert [row.path for row in await database.retention.remove(listed)] == ["0.bin"]
    assert await database.retention.remove(listed) == []
    assert await database.files.count_for_profile("ann") == 2


async def test_what_is_to_be_unlinked_is_where_the_file_was_at_last(
    database: Database, clock: FrozenClock
) -> None:
    moved, _ = await add_files(database, clock, 1, 1)
    listed = await database.retention.files("ann", max_count=0)
    await database.files.update(moved, path="elsewhere.bin", size_bytes=7)
    removed = await database.retention.remove([*listed, listed[0]])
    assert [(row.path, row.size_bytes) for row in removed] == [("elsewhere.bin", 7), ("1.bin", 1)]


async def test_pinned_ones_stay_and_count(database: Database, clock: FrozenClock) -> None:
    first, second, *_ = await add_files(database, clock, 50, 10, 10, 10)
    rows = await database.retention.files("ann", max_count=0)
    assert (await database.retention.pin_file(first)).id == first
    assert [row.key for row in await database.retention.remove(rows[:2])] == [str(second)]
    assert await paths(database, max_count=2) == ["2.bin"]
    assert await paths(database, max_bytes=60) == ["2.bin"]
    assert await paths(database, max_bytes=59) == ["2.bin", "3.bin"]
    assert [file.id for file in await database.retention.pinned_files("ann")] == [first]
    await database.retention.pin_file(first, pinned=False)
    assert await database.retention.pinned_files("ann") == []
    assert await paths(database, max_bytes=60) == ["0.bin"]


async def test_pinned_generations_stay_and_count(database: Database, clock: FrozenClock) -> None:
    first, second, third = await add_generations(database, clock, 50, 10, 10)
    await database.retention.pin_generation(first)
    (pinned,) = await database.retention.pinned_generations()
    assert pinned.id == first
    rows = await database.retention.generations(max_bytes=60)
    assert [row.key for row in rows] == [str(second)]
    await database.retention.pin_generation(second)
    assert await database.retention.remove(rows) == []
    rows = await database.retention.generations(older_than=timedelta(0))
    assert [row.key for row in await database.retention.remove(rows)] == [str(third)]


async def test_what_is_pinned_must_be_there(database: Database) -> None:
    with pytest.raises(RecordNotFoundError, match="file"):
        await database.retention.pin_file(uuid4())
    with pytest.raises(RecordNotFoundError, match="generation"):
        await database.retention.pin_generation(uuid4())
    with pytest.raises(RecordNotFoundError, match="notification"):
        await database.retention.pin_notification(7)


async def test_files_that_are_being_processed_stay(database: Database, clock: FrozenClock) -> None:
    ids = await add_files(database, clock, 1, 1, 1)
    rows = await database.retention.files("ann", max_count=0)
    await database.file_processing.start(ids[0])
    await database.file_processing.enqueue(ids[1])
    assert await paths(database, max_count=0) == ["1.bin", "2.bin"]
    assert [row.path for row in await database.retention.remove(rows)] == ["1.bin", "2.bin"]
    await database.file_processing.complete(ids[0])
    assert await paths(database, max_count=0) == ["0.bin"]


async def test_generations_that_are_made_once_more_stay(
    database: Database, clock: FrozenClock
) -> None:
    made = [await database.generations.create("a cat", "m", 1.0, 1, 1, f"{n}") for n in range(3)]
    for generation in made[:2]:
        await database.generations.fail(generation.id, "e")
    rows = await database.retention.generations(max_count=0)
    assert [row.key for row in rows] == [str(generation.id) for generation in made[:2]]
    await database.generations.retry(made[0].id)
    clock.advance(1)
    await database.generations.retry(made[1].id)
    await database.generations.complete(made[1].id, 1.0)
    assert await database.retention.remove(rows) == []


async def test_bytes_that_another_row_names_are_not_unlinked(
    database: Database, clock: FrozenClock
) -> None:
    await database.profiles.ensure("ann")
    await database.profiles.ensure("ben")
    mine, kept, lone = [
        await database.files.add("ann", "n", name)
        for name in ("both.bin", "song.wav", "caf\udce9.bin")
    ]
    await database.files.add("ben", "n", "both.bin")
    await database.generations.create("a cat", "m", 1.0, 1, 1, "song.wav")
    removed = await database.retention.remove(await database.retention.files("ann", max_count=0))
    assert {row.key: row.path for row in removed} == {
        str(mine.id): None,
        str(kept.id): None,
        str(lone.id): "caf\udce9.bin",
    }


async def test_two_rows_with_one_path_name_it_when_both_go(
    database: Database, clock: FrozenClock
) -> None:
    await database.profiles.ensure("ann")
    for _ in range(2):
        await database.files.add("ann", "n", "same.bin")
    removed = await database.retention.remove(await database.retention.files("ann", max_count=0))
    assert [row.path for row in removed] == ["same.bin", "same.bin"]


async def test_what_was_derived_is_named_by_the_next_eviction(
    database: Database, clock: FrozenClock
) -> None:
    (file_id,) = await add_files(database, clock, 1)
    pending = await database.derived_files.ensure(file_id, "proxy")
    await database.derived_files.complete(pending.id, "proxy.mp4", 5)
    await database.retention.remove(await database.retention.files("ann", max_count=0))
    assert [one.path for one in await database.derived_files.evict()] == ["proxy.mp4"]


async def test_notifications_by_age_and_number(database: Database, clock: FrozenClock) -> None:
    await database.profiles.ensure("ann")
    pushed = []
    for number in range(4):
        pushed.append(
            await database.notifications.push("ann", "t", str(number), progress_key=str(number))
        )
        clock.advance(3600)
    retention = database.retention
    assert await retention.notifications("ann") == []
    rows = await retention.notifications("ann", older_than=2.5 * HOUR)
    assert [row.key for row in rows] == [str(one.id) for one in pushed[:2]]
    assert [(row.kind, row.path, row.size_bytes) for row in rows] == [
        ("notification", None, None)
    ] * 2
    await retention.pin_notification(pushed[0].id)
    await database.notifications.push("ann", "t", "again", progress_key="1")
    assert await retention.remove(rows) == []
    rows = await retention.notifications("ann", max_count=2)
    assert [row.key for row in rows] == [str(pushed[2].id), str(pushed[3].id)]
    assert await retention.remove(rows) == rows
    assert [one.id for one in await retention.pinned_notifications("ann")] == [pushed[0].id]


@pytest.mark.long
async def test_a_pinned_notification_stays_among_more_than_a_thousand(database: Database) -> None:
    await database.profiles.ensure("ann")
    first = await database.notifications.push("ann", "t", "first")
    second = await database.notifications.push("ann", "t", "second")
    await database.retention.pin_notification(first.id)
    async with database.transaction() as unit:
        for number in range(1000):
            await unit.notifications.push("ann", "t", str(number))
    assert await database.notifications.find(first.id) is not None
    assert await database.notifications.find(second.id) is None


@asynccontextmanager
async def nothing_changes(path: Path) -> AsyncIterator[None]:
    before = contents(path)
    yield
    assert contents(path) == before


async def test_wrong_bounds_and_rows_are_refused(
    database: Database, clock: FrozenClock, path: Path
) -> None:
    await add_files(database, clock, 1)
    async with nothing_changes(path):
        for name in ("max_count", "max_bytes"):
            bounds: Any = {name: -1}
            with pytest.raises(InvalidArgumentError, match=name):
                await database.retention.files("ann", **bounds)
            with pytest.raises(InvalidArgumentError, match=name):
                await database.retention.generations(**bounds)
        with pytest.raises(InvalidArgumentError, match="max_count"):
            await database.retention.notifications("ann", max_count=-1)
        wrong: Any = ["0.bin"]
        with pytest.raises(TypeError, match="expendable"):
            await database.retention.remove(wrong)
        unknown = Expendable(ExpendableKind.FILE, str(uuid4()), "p", 1, START)
        assert await database.retention.remove([unknown]) == []
        assert await database.retention.remove([]) == []


async def test_all_of_it_is_undone_with_its_unit(
    database: Database, clock: FrozenClock, path: Path
) -> None:
    await add_files(database, clock, 1, 1)
    async with nothing_changes(path), database.transaction() as unit:
        rows = await unit.retention.files("ann", max_count=0)
        assert len(await unit.retention.remove(rows)) == 2
        assert await unit.files.count_for_profile("ann") == 0
        await unit.rollback()


@pytest.mark.long
async def test_more_rows_than_a_transaction_takes(database: Database) -> None:
    await database.profiles.ensure("ann")
    await database.files.add_many("ann", [NewFile("n", f"{number}") for number in range(1201)])
    rows = await database.retention.files("ann", max_count=1)
    assert len(await database.retention.remove(rows)) == 1200
    assert await database.files.count_for_profile("ann") == 1
