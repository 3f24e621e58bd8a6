"""Promises of files.page(): any filters together give the files that pass all of them, newest first."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from msgspec import UNSET

from reelbase import Database, File
from reelbase.testing.clock import FrozenClock

TYPES = ("video", "audio", None)
FOLDERS = ("Holiday", "Work", None)
STATUSES = ("completed", "queued", None)
TAGS = ("a", "b", "c")


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
        }
        name = f"{choose.choice(('Cat', 'Dog'))} {number}"
        file = await database.files.add(
            profile_id, name, f"p{number}", traits["type"], traits["folder"]
        )
        if traits["status"] is not None:
            await database.file_processing.enqueue(file.id)
        if traits["status"] == "completed":
            await database.file_processing.start(file.id)
            await database.file_processing.complete(file.id)
        await database.tags.attach(file.id, *traits["tags"])
        if profile_id == "anna":
            made.append({"file": file, **traits})
    return sorted(made, key=lambda one: (one["file"].created_at, one["file"].id), reverse=True)


def passes(one: dict[str, Any], filters: dict[str, Any]) -> bool:
    return (
        filters.get("type") in (None, one["type"])
        and filters.get("folder", UNSET) in (UNSET, one["folder"])
        and filters.get("status") in (None, one["status"])
        and {*filters.get("tags", ())} <= {*one["tags"]}
        and filters.get("search", "").casefold() in one["file"].name.casefold()
    )


def some_filters(seed: int) -> dict[str, Any]:
    choose = random.Random(seed)
    filters = {
        "type": choose.choice((*TYPES, "other")),
        "folder": choose.choice((*FOLDERS, "other")),
        "status": choose.choice((*STATUSES, "error")),
        "tags": choose.sample((*TAGS, "other"), choose.randrange(3)),
        "search": choose.choice(("cat", "DOG", "1", "other")),
    }
    return {name: filters[name] for name in choose.sample(sorted(filters), choose.randrange(4))}


async def test_pages_by_any_filters_are_the_files_that_pass_all_of_them(
    database: Database, library: list[dict[str, Any]]
) -> None:
    found = 0
    for seed in range(300):
        filters = some_filters(seed)
        files: list[File] = []
        after: str | None = None
        while True:
            page = await database.files.page("anna", after=after, limit=7, **filters)
            files += page
            after = page.next
            if after is None:
                break
        expected = [one["file"] for one in library if passes(one, filters)]
        assert files == expected, filters
        found += bool(files)
    assert found > 100


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
        " (SELECT file_id FROM file_tags) AND status = 'queued')"
    )
    for profile_id in ("anna", "ben"):
        for file in await database.files.page(profile_id, status="queued", limit=None):
            assert file.profile_id == profile_id
