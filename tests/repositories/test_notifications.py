"""Promises about notifications: streams rewritten in place, the last written first, never too many."""

from __future__ import annotations

import asyncio

import pytest

from reelbase import ConstraintError, Database
from reelbase.testing.clock import FrozenClock


@pytest.fixture(autouse=True)
async def profiles(database: Database) -> None:
    await database.profiles.ensure("ann")
    await database.profiles.ensure("bob")


async def titles(database: Database, **options: bool) -> list[str]:
    listed = await database.notifications.list_for_profile("ann", **options)
    return [notification.title for notification in listed]


async def test_a_stream_is_rewritten_in_place_unread_and_in_front(
    database: Database, clock: FrozenClock
) -> None:
    push = database.notifications.push
    first = await push(
        "ann", "summary", "10 %", progress_key="s1", progress=0.1, data={"a": 1, "b": 1}
    )
    await database.notifications.mark_all_read("ann")
    clock.advance(1)
    await push("ann", "upload", "other")
    later = clock.advance(1)
    second = await push(
        "ann", "summary", "done", "m", progress_key="s1", status="success", data={"b": 2}
    )
    assert (second.id, second.created_at, second.updated_at) == (first.id, first.created_at, later)
    assert second.data == {"a": 1, "b": 2}  # merged key by key
    assert (second.progress, second.status, second.is_read) == (None, "success", False)
    assert await titles(database) == ["done", "other"]
    assert await database.notifications.get(first.id) == second


async def test_without_a_key_each_is_new_and_keys_are_the_profiles_own(database: Database) -> None:
    push = database.notifications.push
    made = [await push("ann", "t", "x"), await push("ann", "t", "x")]
    made += [
        await push("ann", "t", "x", progress_key="k"),
        await push("bob", "t", "x", progress_key="k"),
    ]
    assert len({notification.id for notification in made}) == 4


async def test_many_tasks_write_one_stream(database: Database) -> None:
    await asyncio.gather(
        *(
            database.notifications.push(
                "ann", "t", "x", progress_key="k", data={str(number): number}
            )
            for number in range(50)
        )
    )
    (only,) = await database.notifications.list_for_profile("ann")
    assert len(only.data) == 50


async def test_reading(database: Database) -> None:
    ids = [(await database.notifications.push("ann", "t", str(number))).id for number in range(4)]
    assert await database.notifications.unread_count("ann") == 4
    assert await database.notifications.mark_read("ann", ids[0], ids[1], ids[1], 999) == 2
    assert await database.notifications.mark_read("ann", ids[0]) == 0
    assert await database.notifications.mark_read("bob", ids[2]) == 0
    assert await database.notifications.mark_read("ann") == 0
    assert await titles(database, unread_only=True) == ["3", "2"]
    assert await titles(database) == ["3", "2", "1", "0"]  # reading moves nothing
    assert await database.notifications.mark_all_read("ann") == 2
    assert await database.notifications.unread_count("ann") == 0


async def test_dismissing_says_whether_it_was_there(database: Database) -> None:
    notification = await database.notifications.push("ann", "t", "x")
    assert await database.notifications.dismiss(notification.id) is True
    assert await database.notifications.dismiss(notification.id) is False
    later = await database.notifications.push("ann", "t", "x")
    assert later.id > notification.id  # never used again


@pytest.mark.long
async def test_a_profile_never_holds_more_than_1000(database: Database) -> None:
    kept = await database.notifications.push("bob", "t", "his")
    async with database.transaction() as unit:
        for number in range(1005):
            await unit.notifications.push("ann", "t", str(number))
    listed = await database.notifications.list_for_profile("ann", limit=None)
    assert [notification.title for notification in listed[::999]] == ["1004", "5"]
    assert len(listed) == 1000
    assert await database.notifications.find(kept.id) == kept
    await database.execute(
        "INSERT INTO notifications (profile_id, type, title) SELECT 'ann', 't', value "
        "FROM json_each('[1,2,3]')"
    )
    assert len(await database.notifications.list_for_profile("ann", limit=None)) == 1000


async def test_pruning_keeps_the_last(database: Database) -> None:
    for number in range(5):
        await database.notifications.push("ann", "t", str(number))
    await database.notifications.push("bob", "t", "his")
    assert await database.notifications.prune("ann", keep=2) == 3
    assert await titles(database) == ["4", "3"]
    assert await database.notifications.prune("ann") == 0
    assert await database.notifications.prune("ann", 0) == 2
    with pytest.raises(ValueError, match="keep"):
        await database.notifications.prune("ann", -1)
    assert await database.notifications.unread_count("bob") == 1


async def test_nobody_is_told_nothing(database: Database) -> None:
    with pytest.raises(ConstraintError) as caught:
        await database.notifications.push("nobody", "t", "x")
    assert caught.value.kind == "foreign_key"


async def test_pages_of_unread_ones_go_on_while_they_are_read(database: Database) -> None:
    pushed = [await database.notifications.push("ann", "info", f"{n}") for n in range(6)]
    page = await database.notifications.page("ann", limit=2, unread_only=True)
    await database.notifications.mark_read("ann", *(shown.id for shown in page))
    rest = await database.notifications.page("ann", after=page.next, unread_only=True)
    assert [*page, *rest] == pushed[::-1]
    assert await database.notifications.page("ann", unread_only=True) == rest


async def test_one_that_is_rewritten_between_two_pages_moves_to_the_front(
    database: Database, clock: FrozenClock
) -> None:
    push = database.notifications.push
    for n in range(4):
        await push("ann", "upload", f"{n}", progress_key=f"{n}")
    page = await database.notifications.page("ann", limit=2)
    clock.advance(1)
    await push("ann", "upload", "done", progress_key="0")
    rest = await database.notifications.page("ann", after=page.next)
    assert [notification.title for notification in (*page, *rest)] == ["3", "2", "1"]
    assert (await titles(database))[0] == "done"
