"""Promises about tags: one per normalised name, links that are idempotent, and files found by them."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from samples import contents

from reelbase import (
    ConstraintError,
    Database,
    File,
    InvalidArgumentError,
    NewFile,
    RecordNotFoundError,
)


@pytest.fixture
async def file(database: Database) -> File:
    await database.profiles.ensure("ann")
    return await database.files.add("ann", "talk.mp4", "talk.mp4")


async def names(database: Database, file: File) -> list[str]:
    return [tag.name for tag in await database.tags.for_file(file.id)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Interview", "interview"),
        ("Interview", "  INTERVIEW\n"),
        ("Straße", "STRASSE"),
        ("ÉTÉ", "e\u0301te\u0301"),  # composed and not
        ("会議", "会議 "),
    ],
)
async def test_names_that_differ_in_case_or_spaces_are_one_tag(
    first: str, second: str, database: Database, file: File
) -> None:
    tag = await database.tags.ensure("ann", first)
    assert await database.tags.ensure("ann", second) == tag
    assert await database.tags.find_by_name("ann", second) == tag
    assert tag.name == first  # as it was first written


async def test_profiles_do_not_share_tags(database: Database, file: File) -> None:
    await database.profiles.ensure("bob")
    mine = await database.tags.ensure("ann", "x")
    his = await database.tags.ensure("bob", "x")
    assert mine.id != his.id
    assert await database.tags.list_for_profile("ann") == [mine]


@pytest.mark.parametrize("name", ["", "  ", "\t\n", "\u3000", "a\0b"])
async def test_a_name_that_is_none_is_refused(name: str, database: Database, file: File) -> None:
    tag = await database.tags.ensure("ann", "x")
    before = contents(database.path)
    for call in (
        lambda: database.tags.ensure("ann", name),
        lambda: database.tags.attach(file.id, "good", name),
        lambda: database.tags.rename(tag.id, name),
        lambda: database.tags.detach(file.id, name),
    ):
        with pytest.raises(ValueError, match="name"):
            await call()
    with pytest.raises(ValueError, match="tags"):
        await database.files.page("ann", tags=[name])
    assert contents(database.path) == before


async def test_attaching_makes_what_is_missing_and_is_idempotent(
    database: Database, file: File
) -> None:
    attached = await database.tags.attach(file.id, "b", "A", "B")
    assert [(tag.name, tag.file_count) for tag in attached] == [("A", 1), ("b", 1)]
    assert await database.tags.attach(file.id, "a", "c") == await database.tags.for_file(file.id)
    assert await names(database, file) == ["A", "b", "c"]
    assert len(await database.tags.list_for_profile("ann")) == 3


async def test_attaching_nothing_gives_what_there_is(database: Database, file: File) -> None:
    assert await database.tags.attach(file.id) == []


async def test_an_unknown_file_gets_no_tags(database: Database, file: File) -> None:
    await database.files.delete(file.id)
    before = contents(database.path)
    with pytest.raises(RecordNotFoundError, match=f"file '{file.id}'"):
        await database.tags.attach(file.id, "a")
    assert contents(database.path) == before
    assert await database.tags.for_file(file.id) == []


async def test_many_tasks_make_one_tag(database: Database, file: File) -> None:
    await asyncio.gather(*(database.tags.attach(file.id, "x", "X") for _ in range(20)))
    (tag,) = await database.tags.list_for_profile("ann")
    assert tag.file_count == 1


async def test_detaching_says_whether_there_was_something(database: Database, file: File) -> None:
    await database.tags.attach(file.id, "x")
    assert await database.tags.detach(file.id, " X") is True
    assert await database.tags.detach(file.id, "x") is False
    assert await database.tags.detach(file.id, "unknown") is False
    assert [tag.file_count for tag in await database.tags.list_for_profile("ann")] == [0]


async def test_renaming_keeps_the_links_and_refuses_a_name_that_is_taken(
    database: Database, file: File
) -> None:
    await database.tags.attach(file.id, "x", "y")
    x = await database.tags.find_by_name("ann", "x")
    assert x is not None
    assert (await database.tags.rename(x.id, "X!")).file_count == 1
    with pytest.raises(ConstraintError) as caught:
        await database.tags.rename(x.id, "Y ")
    assert caught.value.kind == "unique"
    assert await names(database, file) == ["X!", "y"]


async def test_merging_moves_links_once_and_deletes_the_source(
    database: Database, file: File
) -> None:
    other = await database.files.add("ann", "b", "b")
    await database.tags.attach(file.id, "old", "new")
    await database.tags.attach(other.id, "old")
    old, new = (
        await database.tags.find_by_name("ann", "old"),
        await database.tags.ensure("ann", "new"),
    )
    assert old is not None
    merged = await database.tags.merge(old.id, new.id)
    assert (merged.id, merged.file_count) == (new.id, 2)
    assert await database.tags.find(old.id) is None
    assert await names(database, file) == ["new"]


async def test_tags_that_cannot_be_merged(database: Database, file: File) -> None:
    await database.profiles.ensure("bob")
    mine, his = await database.tags.ensure("ann", "x"), await database.tags.ensure("bob", "x")
    before = contents(database.path)
    with pytest.raises(ValueError, match="itself"):
        await database.tags.merge(mine.id, mine.id)
    with pytest.raises(ValueError, match="different profiles"):
        await database.tags.merge(mine.id, his.id)
    for source, target in ((mine.id, 999), (999, mine.id)):
        with pytest.raises(RecordNotFoundError, match="tag '999'"):
            await database.tags.merge(source, target)
    assert contents(database.path) == before


async def test_the_most_used_come_first_and_the_unused_go(database: Database, file: File) -> None:
    other = await database.files.add("ann", "b", "b")
    await database.tags.attach(file.id, "a", "z")
    await database.tags.attach(other.id, "z")
    await database.tags.ensure("ann", "unused")
    listed = [(tag.name, tag.file_count) for tag in await database.tags.list_for_profile("ann")]
    assert listed == [("z", 2), ("a", 1), ("unused", 0)]
    assert await database.tags.delete_unused("ann") == 1
    assert await database.tags.delete_unused("ann") == 0
    assert len(await database.tags.list_for_profile("ann")) == 2


async def test_links_go_with_either_end(database: Database, file: File) -> None:
    await database.tags.attach(file.id, "x", "y")
    x = await database.tags.find_by_name("ann", "x")
    assert x is not None
    await database.tags.delete(x.id)
    assert await names(database, file) == ["y"]
    await database.files.delete(file.id)
    assert [tag.file_count for tag in await database.tags.list_for_profile("ann")] == [0]
    assert await database.fetch_one(int, "SELECT count(*) FROM file_tags") == 0


async def test_the_gallery_shows_files_that_have_all_tags_and_the_status(
    database: Database,
) -> None:
    await database.profiles.ensure("ann")
    files = [await database.files.add("ann", f"{number}", "p") for number in range(12)]
    for number, file in enumerate(files):
        wanted = [name for name, step in (("two", 2), ("three", 3)) if number % step == 0]
        await database.tags.attach(file.id, *wanted)
        if number % 4 == 0:
            await database.file_processing.enqueue(file.id)

    async def shown(**filters: object) -> list[int]:
        found: list[File] = []
        while page := await database.files.page(
            "ann",
            after=found[-1] if found else None,
            limit=2,
            **filters,  # type: ignore[arg-type]
        ):
            found += page
        return [int(file.name) for file in reversed(found)]

    assert await shown(tags=["Two"]) == [0, 2, 4, 6, 8, 10]
    assert await shown(tags=["two", " THREE", "three"]) == [0, 6]
    assert await shown(tags=["two", "none"]) == []
    assert await shown(status="queued") == [0, 4, 8]
    assert await shown(status="queued", tags=("three",)) == [0]
    assert await shown(status="completed") == []
    assert await shown(tags=()) == list(range(12))


# Several files at once


async def several(database: Database, *profiles: str) -> list[File]:
    for profile in profiles:
        await database.profiles.ensure(profile)
    return [await database.files.add(profile, "a", "a") for profile in profiles]


async def test_tags_are_put_on_several_files_and_made_for_each_profile(database: Database) -> None:
    files = await several(database, "ann", "ann", "bob")
    await database.tags.attach(files[0].id, "old", "Kept")
    ids = [file.id for file in files]
    assert await database.tags.attach_many(ids, "new", "kept") == 5  # of six one was there
    assert [await names(database, file) for file in files] == [
        ["Kept", "new", "old"],
        ["Kept", "new"],
        ["kept", "new"],
    ]
    assert await database.tags.attach_many(ids, "new") == 0
    assert await database.tags.attach_many([], "other") == 0
    assert await database.tags.find_by_name("ann", "other") is None


async def test_tags_are_taken_off_several_files(database: Database) -> None:
    files = await several(database, "ann", "ann", "bob")
    ids = [file.id for file in files]
    await database.tags.attach_many(ids, "a", "b", "c")
    assert await database.tags.detach_many(iter(ids[:2]), " A", "C", "unknown") == 4
    assert [await names(database, file) for file in files] == [["b"], ["b"], ["a", "b", "c"]]
    assert await database.tags.find_by_name("ann", "a") is not None


async def test_of_several_files_an_unknown_one_keeps_all_as_they_are(database: Database) -> None:
    (file,) = await several(database, "ann")
    await database.tags.attach(file.id, "x")
    unknown = uuid4()
    before = contents(database.path)
    for call in (
        database.tags.attach_many([file.id, unknown], "y"),
        database.tags.detach_many([unknown, file.id], "x"),
    ):
        with pytest.raises(RecordNotFoundError, match=f"file '{unknown}' not found"):
            await call
    assert contents(database.path) == before


async def test_the_tags_of_many_files_take_one_statement(database: Database) -> None:
    await database.profiles.ensure("ann")
    files = await database.files.add_many("ann", [NewFile(f"{n}", "p") for n in range(4)])
    ids = [file.id for file in files]
    await database.tags.attach(ids[0], "zoo", "Art")
    await database.tags.attach(ids[2], "zoo")
    unknown = uuid4()
    found = await database.tags.for_files([ids[2], str(ids[0]), ids[1], unknown, ids[0]])
    assert list(found) == [ids[2], ids[0], ids[1], unknown]
    assert [tag.name for tag in found[ids[0]]] == ["Art", "zoo"]
    for id, tags in found.items():
        assert tags == await database.tags.for_file(id)
    assert [tag.file_count for tag in found[ids[0]]] == [1, 2]
    assert await database.tags.for_files([]) == {}
    with pytest.raises(InvalidArgumentError, match=r"for_files: file_ids: .*number 1 of the list"):
        await database.tags.for_files([ids[0], "x"])
