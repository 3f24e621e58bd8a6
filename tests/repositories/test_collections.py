"""Promises about collections: files of one profile, each once, in the order that the profile gives them."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from samples import contents

from reelbase import (
    Collection,
    ConstraintError,
    Database,
    InvalidArgumentError,
    NewFile,
    RecordNotFoundError,
)


@pytest.fixture
async def files(database: Database) -> list[UUID]:
    await database.profiles.ensure("ann")
    await database.profiles.ensure("bob")
    new = [NewFile(f"{number}.mp4", f"{number}.mp4") for number in range(6)]
    return [file.id for file in await database.files.add_many("ann", new)]


@pytest.fixture
async def collection(database: Database, files: list[UUID]) -> Collection:
    return await database.collections.add("ann", "course")


async def order(database: Database, collection: Collection) -> list[UUID]:
    return [entry.file.id for entry in await database.collections.page(collection.id, limit=None)]


async def test_files_come_in_the_order_in_which_they_were_added(
    database: Database, collection: Collection, files: list[UUID]
) -> None:
    assert await database.collections.add_files(collection.id, files[3:]) == 3
    assert await database.collections.add_files(collection.id, [*files[4:], *files[:2]]) == 2
    assert await order(database, collection) == [*files[3:], *files[:2]]
    assert (await database.collections.get(collection.id)).file_count == 5
    assert [c.id for c in await database.collections.for_file(files[0])] == [collection.id]
    assert await database.collections.for_file(files[2]) == []


async def test_pages_follow_each_other_and_outlive_their_last_file(
    database: Database, collection: Collection, files: list[UUID]
) -> None:
    await database.collections.add_files(collection.id, files)
    first = await database.collections.page(collection.id, limit=2)
    await database.files.delete(files[1])
    second = await database.collections.page(collection.id, after=first.next, limit=10)
    assert [entry.file_id for entry in (*first, *second)] == files
    assert second.next is None
    with pytest.raises(InvalidArgumentError, match="another listing"):
        await database.collections.page(collection.id + 1, after=first.next)


async def test_files_are_put_before_another_one_or_at_the_end(
    database: Database, collection: Collection, files: list[UUID]
) -> None:
    a, b, c, d, e, f = files
    place = database.collections.place
    await database.collections.add_files(collection.id, [a, b, c, d])
    assert await place(collection.id, [d, c], before=a) == 2
    assert await order(database, collection) == [d, c, a, b]
    assert await place(collection.id, [d]) == 1
    assert await order(database, collection) == [c, a, b, d]
    assert await place(collection.id, [f, e], before=b) == 2  # new to the collection
    assert await order(database, collection) == [c, a, f, e, b, d]
    assert await place(collection.id, [a, b], before=d) == 2
    assert await order(database, collection) == [c, f, e, a, b, d]
    assert await place(collection.id, []) == 0
    assert await order(database, collection) == [c, f, e, a, b, d]


@pytest.mark.long
async def test_a_file_can_be_moved_to_the_same_place_any_number_of_times(
    database: Database, collection: Collection, files: list[UUID]
) -> None:
    """The gap between two files halves with each move; then all of them get new positions."""
    *moved, last = files
    await database.collections.add_files(collection.id, files)
    for number in range(120):
        await database.collections.place(collection.id, [moved[number % 5]], before=last)
        expected = [moved[(number + 1 + ahead) % 5] for ahead in range(5)]
        if number >= 4:
            assert await order(database, collection) == [*expected, last], number


async def test_a_gap_without_room_takes_many_files_at_once(
    database: Database, collection: Collection, files: list[UUID]
) -> None:
    await database.collections.add_files(collection.id, files[:2])
    await database.execute("UPDATE collection_files SET position = 1 WHERE file_id = ?", [files[0]])
    await database.execute("UPDATE collection_files SET position = 3 WHERE file_id = ?", [files[1]])
    await database.collections.place(collection.id, files[2:], before=files[1])
    assert await order(database, collection) == [files[0], *files[2:], files[1]]


async def test_what_cannot_be_placed_changes_nothing(
    database: Database, collection: Collection, files: list[UUID]
) -> None:
    place, add_files = database.collections.place, database.collections.add_files
    await add_files(collection.id, files[:2])
    his = await database.files.add("bob", "his.mp4", "his.mp4")
    before = contents(database.path)
    with pytest.raises(InvalidArgumentError, match="before"):
        await place(collection.id, files[:2], before=str(files[1]).upper())
    with pytest.raises(InvalidArgumentError, match="twice"):
        await place(collection.id, [files[2], files[2]])
    with pytest.raises(RecordNotFoundError, match=f"file '{files[5]}'"):
        await place(collection.id, files[:2], before=files[5])
    with pytest.raises(RecordNotFoundError, match="collection '99'"):
        await place(99, files[:2])
    with pytest.raises(RecordNotFoundError, match="collection '99'"):
        await add_files(99, files)
    for stranger in (his.id, uuid4()):
        for call in (
            add_files(collection.id, [files[3], stranger]),
            place(collection.id, [files[3], stranger]),
            place(collection.id, [files[3], stranger], before=files[0]),
        ):
            with pytest.raises(ConstraintError) as caught:
                await call
            assert caught.value.kind == "foreign_key"
    assert contents(database.path) == before


async def test_files_are_taken_out_and_stay(
    database: Database, collection: Collection, files: list[UUID]
) -> None:
    await database.collections.add_files(collection.id, files[:3])
    assert await database.collections.remove_files(collection.id, [files[0], files[5]]) == 1
    assert await order(database, collection) == files[1:3]
    assert await database.files.find(files[0]) is not None


async def test_a_deleted_collection_leaves_its_files_and_a_deleted_file_its_collection(
    database: Database, collection: Collection, files: list[UUID]
) -> None:
    await database.collections.add_files(collection.id, files)
    await database.files.delete(files[0])
    assert await order(database, collection) == files[1:]
    await database.collections.delete(collection.id)
    assert len(await database.files.list_for_profile("ann")) == 5


async def test_a_name_is_a_profiles_own_and_once(
    database: Database, collection: Collection
) -> None:
    ensure = database.collections.ensure
    assert await ensure("ann", "course") == collection
    assert (await ensure("ann", "Course")).id != collection.id
    assert (await ensure("bob", "course")).id != collection.id
    assert await database.collections.find_by_name("ann", "course") == collection
    assert await database.collections.find_by_name("bob", "Course") is None
    with pytest.raises(ConstraintError) as caught:
        await database.collections.add("ann", "course")
    assert caught.value.kind == "unique"
    with pytest.raises(ConstraintError) as caught:
        await ensure("nil", "course")
    assert caught.value.kind == "foreign_key"


async def test_a_collection_has_a_prompt_of_its_profile_or_of_the_system(
    database: Database, collection: Collection
) -> None:
    his = await database.summary_prompts.add("bob", "his", "text")
    systems = await database.summary_prompts.add(None, "system's", "text")
    changed = await database.collections.update(collection.id, prompt_id=systems.id)
    assert changed.prompt_id == systems.id
    for call in (
        database.collections.update(collection.id, prompt_id=his.id),
        database.collections.add("ann", "other", prompt_id=his.id),
    ):
        with pytest.raises(ConstraintError, match="prompt of its profile") as caught:
            await call
        assert caught.value.kind == "check"
    await database.summary_prompts.delete(systems.id)
    assert (await database.collections.get(collection.id)).prompt_id is None
