"""Promises of files.page(), cards() and count(): any filters together give the files that pass all of them,
in any order."""

from __future__ import annotations

import itertools
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import UNSET

from reelbase import Database, File, FileCard, FileOrder, InvalidArgumentError, NewFile
from reelbase.testing.clock import FrozenClock

TYPES = ("video", "audio", None)
FOLDERS = ("Holiday", "Work", None)
STATUSES = ("completed", "queued", None)
TAGS = ("a", "b", "c")


NAMES = ("Cat", "cat", "Dog", "Übung", "猫の日", "100%_Sure")
SPEAKERS = ("Anna", "Ben", None)

# Which files a collection has, and its id.
COLLECTIONS = {"every": 1, "few": 8}
IDS = {"every": 1, "few": 2}


@pytest.fixture
async def library(database: Database, clock: FrozenClock) -> list[dict[str, Any]]:
    """Ninety files of anna, newest first, each with what it can be found by; and some of ben."""
    choose = random.Random(7)
    made: list[dict[str, Any]] = []
    for number in range(120):
        profile_id = "ben" if number % 4 == 3 else "anna"
        await database.profiles.ensure(profile_id)
        clock.advance(choose.choice((0, 1)))
        traits: dict[str, Any] = {
            "type": choose.choice(TYPES),
            "folder": choose.choice(FOLDERS),
            "status": choose.choice(STATUSES),
            "tags": [tag for tag in TAGS if choose.random() < 0.4],
            "speaker": choose.choice(SPEAKERS),
            "collections": [name for name, every in COLLECTIONS.items() if number % every == 0],
            "size": choose.choice((None, 0, 7, 70, 700, 2**60)),
            "length": choose.choice((None, 0.0, 0.25, 90.5, 90.75, 10_000.0)),
        }
        file = await database.files.add(
            profile_id,
            f"{choose.choice(NAMES)} {number}",
            f"p{number}",
            traits["type"],
            traits["folder"],
            size_bytes=traits["size"],
        )
        if traits["length"] is not None:
            await database.media_info.upsert(
                file.id, duration=traits["length"], title=f"Title {number}"
            )
        if traits["status"] is not None:
            await database.file_processing.enqueue(file.id)
        if traits["status"] == "completed":
            await database.file_processing.start(file.id)
            await database.file_processing.complete(file.id)
        if traits["speaker"] is not None:
            for label in ("SPEAKER_0", "SPEAKER_1"):
                speaker = await database.speakers.ensure(file.id, label)
                await database.speakers.relabel(speaker.id, traits["speaker"])
        await database.tags.attach(file.id, *traits["tags"])
        for name in traits["collections"]:
            collection = await database.collections.ensure(profile_id, name)
            await database.collections.place(collection.id, [file.id])
        if profile_id == "anna":
            made.append({"file": file, **traits})
    return sorted(made, key=lambda one: (one["file"].created_at, one["file"].id), reverse=True)


def passes(one: dict[str, Any], filters: dict[str, Any]) -> bool:
    return (
        filters.get("type") in (None, one["type"])
        and filters.get("folder", UNSET) in (UNSET, one["folder"])
        and filters.get("status") in (None, one["status"])
        and filters.get("speaker") in (None, one["speaker"])
        and filters.get("collection_id") in (None, *(IDS[name] for name in one["collections"]))
        and {*filters.get("tags", ())} <= {*one["tags"]}
        and filters.get("search", "").casefold() in one["file"].name.casefold()
        and is_within(one["file"].created_at, filters.get("since"), None)
        and ("until" not in filters or one["file"].created_at < filters["until"])
        and is_within(one["size"], filters.get("min_size"), filters.get("max_size"))
        and is_within(one["length"], filters.get("min_length"), filters.get("max_length"))
    )


def is_within(value: Any, least: Any, most: Any) -> bool:
    if least is None and most is None:
        return True
    return (
        value is not None and (least is None or least <= value) and (most is None or value <= most)
    )


def some_filters(seed: int, library: list[dict[str, Any]]) -> dict[str, Any]:
    choose = random.Random(seed)
    filters = {
        "type": choose.choice((*TYPES, "other")),
        "folder": choose.choice((*FOLDERS, "other")),
        "status": choose.choice((*STATUSES, "error")),
        "tags": choose.sample((*TAGS, "other"), choose.randrange(3)),
        "search": choose.choice(
            ("cat", "DOG", "1", "other", "übu", "猫の", "%_s", "g 1", "a", '"')
        ),
        "speaker": choose.choice((*SPEAKERS, "other")),
        "collection_id": choose.choice((*IDS.values(), 99)),
        "since": choose.choice(library)["file"].created_at,
        "until": choose.choice(library)["file"].created_at,
        "min_size": choose.choice((0, 1, 70, 2**60)),
        "max_size": choose.choice((0, 70, 699, 2**62)),
        "min_length": choose.choice((0, 0.25, 90.6, 100)),
        "max_length": choose.choice((0, 0.5, 90.75, 1e12)),
    }
    return {name: filters[name] for name in choose.sample(sorted(filters), choose.randrange(4))}


def by_unknown_first(value: Any) -> tuple[bool, Any]:
    return (value is not None, value or 0)


KEYS: dict[str, Any] = {
    "newest": lambda one: one["file"].created_at,
    "a_to_z": lambda one: one["file"].name.encode().lower(),  # of bytes: ASCII
    "smallest": lambda one: by_unknown_first(one["size"]),
    "shortest": lambda one: by_unknown_first(one["length"]),
}
OPPOSITES = {"oldest": "newest", "z_to_a": "a_to_z", "largest": "smallest", "longest": "shortest"}


def in_order(library: list[dict[str, Any]], order: str) -> list[dict[str, Any]]:
    key = KEYS[OPPOSITES.get(order, order)]
    return sorted(
        library,
        key=lambda one: (key(one), str(one["file"].id)),
        reverse=order in ("newest", "z_to_a", "largest", "longest"),
    )


# Of no more matches than so many all are sorted; with 0 each page is read in its order.
few_or_many = pytest.mark.parametrize("few", [2000, 20, 0])


@pytest.mark.long
@few_or_many
async def test_pages_by_any_filters_in_any_order_are_the_files_that_pass_all_of_them(
    few: int,
    database: Database,
    library: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reelbase.repositories.files.pages._FEW", few)
    found = 0
    for seed in range(200):
        filters = some_filters(seed, library)
        order = random.Random(seed).choice(list(FileOrder))
        files: list[File] = []
        after: str | None = None
        while True:
            page = await database.files.page("anna", after=after, limit=7, order=order, **filters)
            files += page
            after = page.next
            if after is None:
                break
        expected = [one["file"] for one in in_order(library, order) if passes(one, filters)]
        assert files == expected, (order, filters)
        found += bool(files)
    assert found > 80


@pytest.mark.long
@few_or_many
async def test_files_are_counted_up_to_the_bound(
    few: int,
    database: Database,
    library: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reelbase.repositories.files.pages._FEW", few)
    for seed in range(100):
        filters = some_filters(seed, library)
        expected = sum(passes(one, filters) for one in library)
        assert await database.files.count("anna", **filters) == expected, filters
        assert await database.files.count("anna", at_most=5, **filters) == min(5, expected)
    assert await database.files.count("anna", at_most=None) == len(library)
    assert await database.files.count("anna", at_most=0) == 0
    assert await database.files.count("nobody") == 0


@pytest.mark.long
async def test_a_card_has_what_a_gallery_shows_of_its_file(
    database: Database, library: list[dict[str, Any]]
) -> None:
    cards: list[FileCard] = []
    after: str | None = None
    while True:
        page = await database.files.cards("anna", after=after, limit=20)
        cards += page
        after = page.next
        if after is None:
            break
    assert cards == [
        FileCard(
            file=one["file"],
            title=None if one["length"] is None else f"Title {one['file'].path[1:]}",
            length=one["length"],
            status=one["status"],
            tags=one["tags"],
            speakers=[] if one["speaker"] is None else [one["speaker"]],
        )
        for one in library
    ]
    assert await database.files.cards("nobody") == []


@pytest.mark.long
async def test_cards_and_pages_have_the_same_tokens(
    database: Database, library: list[dict[str, Any]]
) -> None:
    page = await database.files.page("anna", order="longest", limit=4, type="video")
    cards = await database.files.cards("anna", order="longest", limit=4, type="video")
    assert cards.next == page.next
    others: list[dict[str, Any]] = [{"type": "audio"}, {}, {"type": "video", "order": "shortest"}]
    for filters in others:
        with pytest.raises(InvalidArgumentError, match="after"):
            await database.files.page("anna", after=page.next, **filters)


@pytest.mark.long
async def test_a_page_goes_on_while_what_is_rare_becomes_frequent(
    database: Database, library: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token holds whichever way the page after it is found."""
    expected = [one["file"] for one in in_order(library, "a_to_z") if one["speaker"] == "Anna"]
    files: list[File] = []
    after: str | None = None
    for few in itertools.cycle((0, 2000)):
        monkeypatch.setattr("reelbase.repositories.files.pages._FEW", few)
        page = await database.files.page(
            "anna", after=after, limit=5, order="a_to_z", speaker="Anna"
        )
        files += page
        after = page.next
        if after is None:
            break
    assert files == expected


@pytest.mark.long
async def test_an_unknown_order_is_refused_with_the_known_ones(database: Database) -> None:
    for listing in (database.files.page, database.files.cards):
        with pytest.raises(InvalidArgumentError) as refused:
            await listing("ann", order="oldest first")  # type: ignore[arg-type]
        assert refused.value.parameter == "order"
        known = ", ".join(FileOrder)
        assert f"order: must be one of {known}, not 'oldest first'" in str(refused.value)


@pytest.mark.long
async def test_a_file_is_a_place_in_the_orders_of_time_only(
    database: Database, library: list[dict[str, Any]]
) -> None:
    file = library[10]["file"]
    later = [one["file"] for one in library[:10]]
    assert await database.files.page("anna", after=file, order="oldest") == later[::-1]
    for order in ("a_to_z", "largest", "shortest"):
        with pytest.raises(TypeError, match=r"FileRepository.page: after: must be the text"):
            await database.files.page("anna", after=file, order=order)


@pytest.mark.parametrize(
    ("parameter", "value", "error"),
    [
        ("order", "random", InvalidArgumentError),
        ("since", "yesterday", TypeError),
        ("until", datetime(2026, 1, 1), InvalidArgumentError),
        ("min_size", "1", TypeError),
        ("max_size", 2**63, InvalidArgumentError),
        ("min_length", float("nan"), InvalidArgumentError),
        ("max_length", "long", TypeError),
        ("speaker", 1, TypeError),
        ("collection_id", "course", TypeError),
        ("search", 1, TypeError),
        ("colour", "red", TypeError),
    ],
)
async def test_what_is_no_filter_is_refused_by_its_name(
    parameter: str, value: Any, error: type[Exception], database: Database
) -> None:
    for method in (database.files.page, database.files.cards):
        with pytest.raises(error, match=parameter):
            await method("anna", **{parameter: value})
    if parameter != "order":
        with pytest.raises(error, match=parameter):
            await database.files.count("anna", **{parameter: value})


async def test_parts_of_names_are_found_before_and_after_they_are_indexed(
    database: Database,
) -> None:
    """Names are indexed by the hundreds; what is not indexed yet is looked at."""
    await database.profiles.ensure("anna")
    files = await database.files.add_many(
        "anna", [NewFile(f"name {number:03}", "p") for number in range(700)]
    )
    indexed = await database.fetch_one(int, "SELECT count(*) FROM file_names_fts")
    assert indexed == 700
    late = await database.files.add("anna", "name 000 again", "p")
    assert await database.fetch_one(int, "SELECT count(*) FROM file_names_fts") == indexed
    assert await database.files.page("anna", search="e 000") == [late, files[0]]
    renamed = await database.files.update(files[1].id, name="other 1")
    await database.execute("UPDATE files SET name = 'other 2' WHERE id = ?", [str(files[2].id)])
    assert await database.files.page("anna", search="e 001") == []
    assert [file.id for file in await database.files.page("anna", search="OTHER ")] == [
        files[2].id,
        renamed.id,
    ]
    assert await database.files.search("anna", "other 1") == [renamed]
    await database.files.delete(late.id)
    assert await database.files.page("anna", search="e 000") == [files[0]]
    await database.execute(
        "INSERT INTO files (id, profile_id, name, path)"
        " VALUES ('ffffffff-0000-7000-8000-000000000000', 'anna', 'by another program', 'p')"
    )
    assert len(await database.files.page("anna", search="another")) == 1
    await database.rebuild_search()
    assert await database.fetch_one(int, "SELECT count(*) FROM file_names_fts") == 701
    assert len(await database.files.page("anna", search="another")) == 1


@pytest.mark.long
async def test_a_length_follows_what_other_programs_write(
    database: Database, library: list[dict[str, Any]]
) -> None:
    one = next(one for one in library if one["length"] == 90.5)["file"]
    await database.execute("UPDATE media_info SET duration = 1e6 WHERE file_id = ?", [str(one.id)])
    assert await database.files.page("anna", order="longest", limit=1) == [one]
    assert await database.files.page("anna", min_length=1e6) == [one]
    await database.media_info.delete(one.id)
    assert await database.files.page("anna", min_length=1e6) == []
    assert [card.length for card in await database.files.cards("anna", search=one.name)] == [None]


@pytest.mark.long
async def test_pages_find_what_other_programs_write_and_change(
    database: Database, library: list[dict[str, Any]]
) -> None:
    """Triggers keep the places of files in the indexes of their tags and their status."""
    one = next(one for one in library if one["tags"] and one["status"])
    moved = one["file"].created_at + timedelta(days=400)
    await database.execute("UPDATE files SET created_at = ? WHERE id = ?", [moved, one["file"].id])
    for filters in ({"tags": one["tags"]}, {"status": one["status"]}):
        assert (await database.files.page("anna", **filters))[0].id == one["file"].id
    other = next(one for one in library if not one["tags"] and one["status"] is None)["file"]
    await database.execute(
        "INSERT INTO file_tags (file_id, tag_id, profile_id)"
        " SELECT ?, id, 'anna' FROM tags WHERE normalized_name = 'a' AND profile_id = 'anna'",
        [other.id],
    )
    await database.execute(
        "INSERT INTO file_processing (file_id, status) VALUES (?, 'orphaned')", [other.id]
    )
    assert other in await database.files.page("anna", tags=["a"])
    assert await database.files.page("anna", status="orphaned") == [other]
    await database.execute(
        "UPDATE files SET profile_id = 'ben' WHERE id IN"
        " (SELECT file_id FROM file_processing WHERE file_processing.file_id NOT IN"
        " (SELECT file_id FROM file_tags UNION SELECT file_id FROM speakers"
        " UNION SELECT file_id FROM collection_files) AND status = 'queued')"
    )
    for profile_id in ("anna", "ben"):
        for file in await database.files.page(profile_id, status="queued", limit=None):
            assert file.profile_id == profile_id
