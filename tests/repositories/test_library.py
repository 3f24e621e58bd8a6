"""Promises of the library: profiles, files, transcripts, clips and templates."""

import asyncio
import logging
import os
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

import msgspec
import pytest
from msgspec import UNSET

import reelbase
from reelbase import (
    Clip,
    ConstraintError,
    Database,
    File,
    LlmTemplate,
    NewFile,
    Profile,
    RecordNotFoundError,
    Transcript,
)
from reelbase.testing.clock import START, FrozenClock

Look = Callable[[str], list[tuple[object, ...]]]
UNKNOWN = UUID("01890000-0000-7000-8000-000000000000")
HOSTILE = ["", " ", "a'b\"c", "%_\\", "\0", "a\0b", "日本語 🎬", "e\u0301", "\r\n", "x" * 100_000]


@pytest.fixture
async def library(database: Database) -> Database:
    """A database that knows the profiles anna and ben."""
    await database.profiles.ensure("anna")
    await database.profiles.ensure("ben")
    return database


@pytest.fixture
async def file(library: Database) -> File:
    """A file of anna's."""
    return await library.files.add("anna", "a.mp4", "media/a.mp4")


# Profiles


async def test_ensure_makes_a_profile_once(database: Database, clock: FrozenClock) -> None:
    made = await database.profiles.ensure("anna")
    assert made == Profile("anna", START, None, None)
    clock.advance(60)
    assert await database.profiles.ensure("anna") == made
    assert await database.profiles.get("anna") == made
    assert await database.profiles.find("anna") == made
    assert await database.profiles.count() == 1


@pytest.mark.parametrize("profile_id", HOSTILE)
async def test_a_profile_id_is_any_text(database: Database, profile_id: str) -> None:
    assert (await database.profiles.ensure(profile_id)).id == profile_id
    assert await database.profiles.exists(profile_id)
    assert [profile.id for profile in await database.profiles.list()] == [profile_id]
    assert await database.profiles.delete(profile_id) is True


async def test_profile_ids_are_compared_exactly(database: Database) -> None:
    await database.profiles.ensure("anna")
    for other in ("Anna", "anna ", "ann", "anna\0"):
        assert not await database.profiles.exists(other)


async def test_an_unknown_profile(database: Database) -> None:
    assert await database.profiles.exists("nobody") is False
    assert await database.profiles.find("nobody") is None
    with pytest.raises(RecordNotFoundError) as caught:
        await database.profiles.get("nobody")
    assert caught.value.details == {"entity": "profile", "key": "nobody"}
    with pytest.raises(RecordNotFoundError):
        await database.profiles.delete("nobody")
    assert await database.profiles.delete("nobody", missing_ok=True) is False


async def test_profiles_are_listed_newest_first(database: Database, clock: FrozenClock) -> None:
    assert await database.profiles.list() == []
    assert await database.profiles.count() == 0
    for name in ("c", "a", "b"):
        await database.profiles.ensure(name)
        clock.advance(1)
    await database.profiles.ensure("same moment")
    await database.profiles.ensure("same moment 2")
    names = [profile.id for profile in await database.profiles.list()]
    assert names == ["same moment 2", "same moment", "b", "a", "c"]
    assert [profile.id for profile in await database.profiles.list(2)] == names[:2]
    assert [profile.id for profile in await database.profiles.list(2, 3)] == names[3:]
    assert await database.profiles.list(limit=0) == []
    assert len(await database.profiles.list(offset=1)) == 4
    assert await database.profiles.count() == 5
    for bad in ({"limit": -1}, {"offset": -1}):
        with pytest.raises(ValueError, match="0 or more"):
            await database.profiles.list(**bad)


async def test_50_tasks_ensure_the_same_profile(database: Database) -> None:
    made = await asyncio.gather(*(database.profiles.ensure("anna") for _ in range(50)))
    assert made == [made[0]] * 50
    assert await database.profiles.count() == 1


PROCESS = textwrap.dedent(
    """
    import asyncio, sys
    import reelbase

    path, journal, name = sys.argv[1:]

    async def main():
        async with reelbase.connect(path, journal=journal, busy_timeout=60) as database:
            print("ready", flush=True)
            sys.stdin.readline()
            for number in range(25):
                await database.profiles.ensure(f"p{number}")
                template = await database.templates.upsert(f"p{number}", name, "", "")
                print(template.id, flush=True)

    asyncio.run(main())
    """
)


@pytest.mark.long
async def test_four_processes_ensure_the_same_profiles_and_templates(
    database: Database, path: Path, journal: str
) -> None:
    async def start(name: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", "-c", PROCESS, str(path), journal, name),
            env=os.environ | {"PYTHONPATH": str(Path(reelbase.__file__).parents[1])},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )

    processes = await asyncio.gather(*(start(f"process {n}") for n in range(4)))
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    printed = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [process.returncode for process in processes] == [0] * 4
    template_ids = [output.decode().split() for output, _ in printed]
    assert template_ids == [template_ids[0]] * 4
    assert len(set(template_ids[0])) == 25
    assert await database.profiles.count() == 25


async def fill_profile(database: Database, name: str) -> None:
    """Something of everything that a profile can own."""
    original = await database.files.add(name, "a", "a", content_hash="h", source_url="u")
    derived = await database.files.add(name, "b", "b", source_file_id=original.id)
    transcript = await database.transcripts.add(name, derived.id, "text")
    await database.clips.add(name, original.id, 0, 1, {})
    await database.templates.upsert(name, "s", "p", "m")
    job = await database.jobs.add(name, "t", {"file_id": original.id})
    await database.jobs.succeed(job.id, {"transcript_id": transcript.id})
    await database.jobs.add_batch(name, "t", {}, [{"file_id": derived.id}, {}])


@pytest.mark.long
async def test_deleting_a_profile_takes_all_that_is_its_and_nothing_else(
    database: Database, look: Look
) -> None:
    tables = [
        str(name)
        for (name,) in look(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%migrations'"
        )
        if not str(name).endswith(("_fts_data", "_fts_idx"))  # a search index tidies up later
    ]

    def rows() -> dict[str, set[tuple[object, ...]]]:
        return {table: set(look(f"SELECT * FROM {table}")) for table in tables}

    for name in ("anna", "Anna", "ben"):
        await database.profiles.ensure(name)
    await fill_profile(database, "ben")
    before = rows()
    await fill_profile(database, "anna")
    filled = rows()
    for table in ("files", "transcripts", "clips", "llm_templates", "jobs", "job_references"):
        assert len(filled[table]) == 2 * len(before[table]) > 0
    assert await database.profiles.delete("anna") is True
    after = rows()
    assert after["profiles"] == {row for row in before["profiles"] if row[0] != "anna"}
    for table in tables:
        if table not in ("profiles", "sqlite_sequence"):
            assert after[table] == before[table], table


async def test_a_file_made_from_one_of_a_deleted_profile_stays(library: Database) -> None:
    annas = await library.files.add("anna", "a", "a")
    bens = await library.files.add("ben", "b", "b", source_file_id=annas.id)
    await library.profiles.delete("anna")
    left = await library.files.get(bens.id)
    assert left == msgspec.structs.replace(bens, source_file_id=None)


# Files


async def test_an_added_file_has_what_it_was_given(library: Database) -> None:
    plain = await library.files.add("anna", "a.mp4", "media/a.mp4")
    assert plain == File(plain.id, "anna", "a.mp4", "media/a.mp4", *(None,) * 8, created_at=START)
    own_id = uuid4()
    full = await library.files.add(
        "anna",
        "b.srt",
        "b.srt",
        "subtitle",
        "holiday",
        id=str(own_id).upper(),
        source_file_id=plain.id,
        origin="generated",
        size_bytes=2**40,
        content_type="text/plain",
        content_hash="abc",
        source_url="https://example.org/?a=1",
    )
    assert full == File(
        own_id, "anna", "b.srt", "b.srt", "subtitle", "holiday", plain.id, "generated", 2**40,
        "text/plain", "abc", "https://example.org/?a=1", START,
    )  # fmt: skip
    for file in (plain, full):
        assert await library.files.get(file.id) == file
        assert await library.files.get(str(file.id).upper()) == file
        assert await library.files.find(file.id) == file


@pytest.mark.parametrize("text", HOSTILE)
async def test_texts_are_kept_exactly(library: Database, text: str) -> None:
    file = await library.files.add("anna", text, text, text, text, origin=text, source_url=text)
    kept = await library.files.get(file.id)
    assert [kept.name, kept.path, kept.type, kept.folder, kept.origin, kept.source_url] == [
        text
    ] * 6


@pytest.mark.parametrize(
    ("arguments", "kind", "constraint"),
    [
        ({"profile_id": "nobody"}, "foreign_key", ""),
        ({"source_file_id": UNKNOWN}, "foreign_key", ""),
        ({"size_bytes": -1}, "check", "files_size_bytes"),
        ({"name": None}, "not_null", "files.name"),
        ({"path": None}, "not_null", "files.path"),
    ],
)
async def test_a_file_that_breaks_a_constraint_is_refused(
    library: Database, look: Look, arguments: dict[str, Any], kind: str, constraint: str
) -> None:
    with pytest.raises(ConstraintError) as caught:
        await library.files.add(**{"profile_id": "anna", "name": "n", "path": "p", **arguments})
    assert (caught.value.kind, caught.value.constraint) == (kind, constraint)
    assert look("SELECT count(*) FROM files") == [(0,)]


async def test_a_taken_file_id_is_refused(library: Database, file: File) -> None:
    with pytest.raises(ConstraintError) as caught:
        await library.files.add("ben", "n", "p", id=file.id)
    assert (caught.value.kind, caught.value.constraint) == ("unique", "files.id")
    assert await library.files.get(file.id) == file


async def test_a_path_need_not_be_unique(library: Database, file: File) -> None:
    again = await library.files.add("anna", file.name, file.path)
    assert again.id > file.id


async def test_an_unknown_file(library: Database) -> None:
    files = library.files
    for call in (files.get(UNKNOWN), files.delete(UNKNOWN), files.update(UNKNOWN, name="x")):
        with pytest.raises(RecordNotFoundError) as caught:
            await call
        assert caught.value.details == {"entity": "file", "key": str(UNKNOWN)}
    with pytest.raises(RecordNotFoundError):
        await files.update(UNKNOWN)
    assert await files.find(UNKNOWN) is None
    assert await files.delete(UNKNOWN, missing_ok=True) is False
    assert await files.derived_from(UNKNOWN) == []
    assert await files.list_for_profile("nobody") == []
    assert await files.count_for_profile("nobody") == 0
    with pytest.raises(ValueError, match="not a UUID"):
        await files.get("no id")


async def test_files_are_added_together_in_their_order(library: Database) -> None:
    own_id = "ffffffff-ffff-7fff-bfff-ffffffffffff"
    new = [NewFile("c", "c", folder="f"), NewFile("a", "a", id=own_id), NewFile("b", "b", "video")]
    new.append(NewFile("from a", "d", source_file_id=own_id, size_bytes=0, content_hash=""))
    added = await library.files.add_many("anna", iter(new))
    assert [file.name for file in added] == ["c", "a", "b", "from a"]
    assert added[1].id == added[3].source_file_id == UUID(own_id)
    assert (added[0].folder, added[2].type) == ("f", "video")
    assert (added[3].size_bytes, added[3].content_hash) == (0, "")
    assert {file.profile_id for file in added} == {"anna"}
    assert [await library.files.get(file.id) for file in added] == added
    assert await library.files.add_many("anna", []) == []


@pytest.mark.long
async def test_many_files_keep_their_order(library: Database) -> None:
    added = await library.files.add_many("anna", (NewFile(f"{n}", "p") for n in range(5000)))
    assert [file.name for file in added] == [f"{n}" for n in range(5000)]
    assert await library.files.count_for_profile("anna") == 5000
    listed = await library.files.list_for_profile("anna")
    assert listed == added[::-1]


@pytest.mark.parametrize(
    "broken",
    [
        NewFile("n", "p", size_bytes=-1),
        NewFile("n", "p", source_file_id=UNKNOWN),
        NewFile("n", "p", id="00000000-0000-7000-8000-000000000001"),
        NewFile("n", "p", id="no id"),
        NewFile("\ud800", "p"),
        NewFile("n", "p", size_bytes=2**63),
        NewFile(None, "p"),  # type: ignore[arg-type]
        NewFile(5, "p"),  # type: ignore[arg-type]
    ],
    ids=repr,
)
async def test_one_bad_file_and_none_is_added(
    library: Database, look: Look, broken: NewFile
) -> None:
    first = NewFile("first", "p", id="00000000-0000-7000-8000-000000000001")
    with pytest.raises((ConstraintError, ValueError, TypeError)):
        await library.files.add_many("anna", [first, broken, NewFile("last", "p")])
    assert look("SELECT count(*) FROM files") == [(0,)]


async def test_files_of_an_unknown_profile_are_refused(library: Database) -> None:
    with pytest.raises(ConstraintError) as caught:
        await library.files.add_many("nobody", [NewFile("n", "p")])
    assert caught.value.kind == "foreign_key"


async def test_a_profiles_files_are_listed_newest_first(
    library: Database, clock: FrozenClock
) -> None:
    added = []
    for number in range(9):
        added.append(await library.files.add("anna", f"{number}", "p"))
        await library.files.add("ben", f"{number}", "p")
        clock.advance(number // 3 % 2)
    expected = added[::-1]
    files = library.files
    assert await files.list_for_profile("anna") == expected
    assert await files.list_for_profile("anna", limit=4) == expected[:4]
    assert await files.list_for_profile("anna", limit=4, offset=7) == expected[7:]
    assert await files.list_for_profile("anna", offset=5) == expected[5:]
    assert await files.list_for_profile("anna", limit=0) == []
    assert await files.count_for_profile("anna") == 9
    with pytest.raises(ValueError, match="0 or more"):
        await files.list_for_profile("anna", limit=-1)
    with pytest.raises(ValueError, match="0 or more"):
        await files.list_for_profile("anna", offset=-1)


async def pages(library: Database, limit: int, **filters: Any) -> AsyncIterator[list[File]]:
    after = None
    while page := await library.files.page("anna", after=after, limit=limit, **filters):
        yield page
        after = page[-1]


FILTERS: list[dict[str, Any]] = [
    {},
    {"type": None, "folder": UNSET, "search": None},
    {"type": "video"},
    {"type": ""},
    {"type": "none such"},
    {"folder": "f"},
    {"folder": ""},
    {"folder": None},
    {"search": "1"},
    {"search": ""},
    {"search": "HOLIDAY"},
    {"type": "video", "folder": "f"},
    {"type": "video", "folder": None, "search": "day 1"},
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("limit", [1, 3, 50])
async def test_pages_visit_every_file_that_fits_once(
    library: Database, clock: FrozenClock, filters: dict[str, Any], limit: int
) -> None:
    everything = []
    for number in range(24):
        everything.append(
            await library.files.add(
                "anna",
                f"Holiday {number}" if number % 4 else f"{number}",
                "p",
                (None, "video", "")[number % 3],
                (None, "f", "", "F")[number // 3 % 4],
            )
        )
        await library.files.add("ben", "Holiday 1", "p", "video", "f")
        clock.advance(number // 5 % 2)
    expected = [
        file
        for file in reversed(everything)
        if filters.get("type") in (None, file.type)
        and filters.get("folder", UNSET) in (UNSET, file.folder)
        and (filters.get("search") or "").lower() in file.name.lower()
    ]
    seen = [page async for page in pages(library, limit, **filters)]
    assert [file for page in seen for file in page] == expected
    assert all(len(page) == limit for page in seen[:-1])


async def test_a_page_goes_on_where_the_last_one_ended_whatever_happens(library: Database) -> None:
    added = await library.files.add_many("anna", [NewFile(f"{n}", "p") for n in range(6)])
    first = await library.files.page("anna", limit=3)
    await library.files.add("anna", "newer", "p")
    await library.files.delete(first[-1].id)
    assert await library.files.page("anna", after=first[-1], limit=3) == added[2::-1]
    assert await library.files.page("anna", after=added[0]) == []


async def test_a_page_has_50_files_unless_told(library: Database) -> None:
    await library.files.add_many("anna", [NewFile(f"{n}", "p") for n in range(60)])
    assert len(await library.files.page("anna")) == 50
    assert await library.files.page("anna", limit=0) == []
    assert await library.files.page("nobody") == []
    with pytest.raises(ValueError, match="0 or more"):
        await library.files.page("anna", limit=-1)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("%", ["100%"]),
        ("_", ["a_b"]),
        ("0%", ["100%"]),
        ("a_b", ["a_b"]),
        ("\\", ["back\\slash"]),
        ("*", ["st*r"]),
        ("?", []),
        ("'", ["it's"]),
        ('"', []),
        ("AXB", ["aXb"]),
        ("strasse", ["Straße"]),
        ("STRASSE", ["Straße"]),
        ("straße", ["Straße"]),
        ("ÉTÉ", ["été"]),
        ("ΟΔΟΣ", ["οδος"]),
        ("οδοΣ", ["οδος"]),
        ("本", ["日本語"]),
        ("🎬", ["clip 🎬"]),
        ("clip  ", []),
        ("j\u043e", []),  # a Cyrillic o
    ],
)
async def test_search_is_a_substring_whatever_its_case(
    library: Database, search: str, found: list[str]
) -> None:
    names = ["100%", "a_b", "aXb", "back\\slash", "st*r", "it's", "Straße", "été", "οδος", "日本語"]
    names += ["clip 🎬", "jo"]
    await library.files.add_many("anna", [NewFile(name, "p") for name in names])
    page = await library.files.page("anna", search=search)
    assert sorted(file.name for file in page) == sorted(found)


async def test_hash_and_url_find_the_profiles_newest(library: Database, clock: FrozenClock) -> None:
    files = library.files
    assert await files.find_by_hash("anna", "h") is None
    assert await files.find_by_url("anna", "u") is None
    added = []
    for seconds in (0, 1, 0):
        clock.advance(seconds)
        added.append(await files.add("anna", "n", "p", content_hash="h", source_url="u"))
        await files.add("ben", "n", "p", content_hash="h", source_url="u")
        await files.add("anna", "h", "u")
    assert await files.find_by_hash("anna", "h") == added[-1]
    assert await files.find_by_url("anna", "u") == added[-1]
    await files.delete(added[-1].id)
    assert await files.find_by_hash("anna", "h") == added[1]
    assert await files.find_by_url("anna", "u") == added[1]
    assert await files.find_by_hash("anna", "H") is None
    assert await files.find_by_url("anna", "U") is None
    assert await files.find_by_hash("anna", "") is None
    empty = await files.add("anna", "n", "p", content_hash="", source_url="")
    assert await files.find_by_hash("anna", "") == await files.find_by_url("anna", "") == empty


async def test_derived_files_are_found_newest_first(
    library: Database, file: File, clock: FrozenClock
) -> None:
    derived = []
    for seconds in (0, 1, 0):
        clock.advance(seconds)
        derived.append(await library.files.add("anna", "d", "d", source_file_id=file.id))
    await library.files.add("anna", "further", "f", source_file_id=derived[0].id)
    assert await library.files.derived_from(file.id) == derived[::-1]
    assert await library.files.derived_from(str(file.id)) == derived[::-1]


async def test_deleting_a_file_frees_what_was_made_from_it(library: Database, file: File) -> None:
    derived = await library.files.add("anna", "d", "d", source_file_id=file.id)
    assert await library.files.delete(file.id) is True
    assert (await library.files.get(derived.id)).source_file_id is None
    assert await library.files.derived_from(file.id) == []


async def test_deleting_a_file_takes_its_transcripts_and_clips(
    library: Database, file: File
) -> None:
    other = await library.files.add("anna", "b", "b")
    kept = await library.transcripts.add("anna", other.id, "kept")
    gone = await library.transcripts.add("anna", file.id, "gone")
    clip = await library.clips.add("anna", file.id, 0, 1, {})
    job = await library.jobs.add("anna", "t", {"file_id": file.id})
    await library.files.delete(file.id)
    assert await library.transcripts.find(gone.id) is None
    assert await library.clips.find(clip.id) is None
    assert await library.transcripts.list_for_profile("anna") == [kept]
    assert await library.jobs.get(job.id) == job


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "new"),
        ("name", ""),
        ("path", "new/path"),
        ("type", "audio"),
        ("folder", ""),
        ("origin", "upload"),
        ("size_bytes", 0),
        ("content_type", "video/mp4"),
        ("content_hash", "ff"),
        ("source_url", "https://example.org"),
    ],
)
async def test_update_changes_only_what_is_passed(
    library: Database, file: File, field: str, value: Any
) -> None:
    other = await library.files.add("anna", "other", "other")
    changed = await library.files.update(file.id, **{field: value})
    assert changed == msgspec.structs.replace(file, **{field: value})
    assert await library.files.get(file.id) == changed
    assert await library.files.update(file.id, **{field: UNSET}) == changed
    assert await library.files.get(other.id) == other
    if field in ("name", "path"):
        with pytest.raises(ConstraintError) as caught:
            await library.files.update(file.id, **{field: None})  # type: ignore[arg-type]
        assert (caught.value.kind, caught.value.constraint) == ("not_null", f"files.{field}")
        assert await library.files.get(file.id) == changed
    else:
        assert await library.files.update(file.id, **{field: None}) == file  # type: ignore[arg-type]


async def test_update_of_the_source(library: Database, file: File) -> None:
    other = await library.files.add("anna", "other", "other")
    changed = await library.files.update(other.id, source_file_id=str(file.id), name="d")
    assert (changed.source_file_id, changed.name) == (file.id, "d")
    with pytest.raises(ConstraintError) as caught:
        await library.files.update(other.id, source_file_id=UNKNOWN, name="e")
    assert caught.value.kind == "foreign_key"
    assert await library.files.get(other.id) == changed
    assert (await library.files.update(other.id, source_file_id=None)).source_file_id is None


async def test_update_without_changes_returns_the_file(library: Database, file: File) -> None:
    assert await library.files.update(file.id) == file
    assert await library.files.update(str(file.id), name=UNSET, size_bytes=UNSET) == file


@pytest.mark.parametrize("unknown", ["id", "profile_id", "created_at", "colour", "set_name"])
async def test_update_refuses_other_fields(library: Database, file: File, unknown: str) -> None:
    with pytest.raises((TypeError, ValueError)):
        await library.files.update(file.id, **{"name": "x", unknown: "y"})  # type: ignore[arg-type]
    assert await library.files.get(file.id) == file


# Several files at once


async def test_several_files_are_changed_together(library: Database) -> None:
    first, second, third = await library.files.add_many(
        "anna", [NewFile(name, name, folder="old") for name in "abc"]
    )
    moved = await library.files.update_many([str(third.id).upper(), first.id], folder="new")
    assert moved == [
        msgspec.structs.replace(third, folder="new"),
        msgspec.structs.replace(first, folder="new"),
    ]
    assert await library.files.list_for_profile("anna") == [moved[0], second, moved[1]]
    assert await library.files.update_many([], folder="other") == []
    assert await library.files.update_many([second.id], folder=UNSET) == [second]
    with pytest.raises(TypeError, match="cannot change profile_id"):
        await library.files.update_many([second.id], profile_id="ben")  # type: ignore[call-arg]


async def test_several_files_are_deleted_together(library: Database) -> None:
    files = await library.files.add_many("anna", [NewFile(name, name) for name in "abcd"])
    for file in files:
        await library.transcripts.add("anna", file.id, "text")
    ids = [file.id for file in files]
    assert await library.files.delete_many(iter(ids[:2])) == 2
    assert await library.files.list_for_profile("anna") == [files[3], files[2]]
    assert len(await library.transcripts.list_for_profile("anna")) == 2
    assert await library.files.delete_many([*ids, UNKNOWN], missing_ok=True) == 2
    assert await library.files.delete_many([]) == 0


async def test_of_several_files_an_unknown_one_keeps_all_as_they_are(
    library: Database, file: File
) -> None:
    for call in (
        library.files.update_many([file.id, UNKNOWN], name="new"),
        library.files.delete_many([file.id, UNKNOWN]),
    ):
        with pytest.raises(RecordNotFoundError, match=f"file '{UNKNOWN}' not found"):
            await call
    assert await library.files.get(file.id) == file


async def test_an_administrator_lists_the_files_of_all_profiles(
    library: Database, clock: FrozenClock
) -> None:
    added = []
    for profile in ("anna", "ben", "anna"):
        added.append(await library.files.add(profile, "a", "a"))
        clock.advance(1)
    assert await library.files.list() == added[::-1]
    assert await library.files.list(limit=1, offset=1) == [added[1]]


# Transcripts


async def test_an_added_transcript_has_what_it_was_given(library: Database, file: File) -> None:
    plain = await library.transcripts.add("anna", file.id, "text")
    assert plain == Transcript(plain.id, "anna", file.id, "text", None, None, START, None)
    own_id = uuid4()
    full = await library.transcripts.add(
        "anna", str(file.id).upper(), "", "explained", id=own_id, language="ja"
    )
    assert full == Transcript(own_id, "anna", file.id, "", "explained", "ja", START, None)
    for transcript in (plain, full):
        assert await library.transcripts.get(transcript.id) == transcript
        assert await library.transcripts.find(str(transcript.id)) == transcript


@pytest.mark.parametrize("kind", ["transcripts", "clips"])
async def test_nothing_is_added_to_a_file_of_another_profile(
    library: Database, file: File, look: Look, kind: str
) -> None:
    for profile_id, file_id in (("ben", file.id), ("anna", UNKNOWN), ("nobody", file.id)):
        call: Awaitable[object] = (
            library.transcripts.add(profile_id, file_id, "text")
            if kind == "transcripts"
            else library.clips.add(profile_id, file_id, 0, 1, {})
        )
        with pytest.raises(ConstraintError) as caught:
            await call
        assert caught.value.kind == "foreign_key"
    assert look(f"SELECT count(*) FROM {kind}") == [(0,)]


async def test_transcripts_are_listed_newest_first(
    library: Database, file: File, clock: FrozenClock
) -> None:
    other = await library.files.add("anna", "b", "b")
    bens = await library.files.add("ben", "c", "c")
    added = []
    for number in range(6):
        added.append(await library.transcripts.add("anna", (file, other)[number % 2].id, "t"))
        await library.transcripts.add("ben", bens.id, "t")
        clock.advance(number % 2)
    assert await library.transcripts.list_for_profile("anna") == added[::-1]
    assert await library.transcripts.list_for_file(file.id) == added[-2::-2]
    assert await library.transcripts.list_for_file(UNKNOWN) == []
    assert await library.transcripts.list_for_profile("nobody", load_file=True) == []


async def test_update_of_a_transcript(library: Database, file: File) -> None:
    transcript = await library.transcripts.add("anna", file.id, "text", "why", language="en")
    replace = msgspec.structs.replace
    changed = await library.transcripts.update(transcript.id, text="")
    assert changed == replace(transcript, text="")
    changed = await library.transcripts.update(transcript.id, llm_explanation=None, language="de")
    assert changed == replace(transcript, text="", llm_explanation=None, language="de")
    assert await library.transcripts.get(transcript.id) == changed
    assert await library.transcripts.update(transcript.id) == changed
    no_text: Any = None
    with pytest.raises(ConstraintError) as caught:
        await library.transcripts.update(transcript.id, text=no_text)
    assert caught.value.kind == "not_null"
    unknown: dict[str, Any] = {"file_id": file.id}
    with pytest.raises((TypeError, ValueError)):
        await library.transcripts.update(transcript.id, **unknown)
    with pytest.raises(RecordNotFoundError):
        await library.transcripts.update(UNKNOWN, text="x")


async def test_deleting_a_transcript(library: Database, file: File) -> None:
    transcript = await library.transcripts.add("anna", file.id, "text")
    assert await library.transcripts.delete(transcript.id) is True
    assert await library.transcripts.find(transcript.id) is None
    with pytest.raises(RecordNotFoundError) as caught:
        await library.transcripts.delete(transcript.id)
    assert caught.value.details == {"entity": "transcript", "key": str(transcript.id)}
    assert await library.transcripts.delete(transcript.id, missing_ok=True) is False
    assert await library.files.get(file.id) == file


# Files loaded along


@pytest.mark.parametrize("load_file", [False, True])
async def test_files_are_loaded_in_one_statement(
    path: Path, journal: Literal["wal", "delete"], load_file: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with reelbase.connect(path, journal=journal, slow_query=0) as database:
        await database.profiles.ensure("anna")
        files = await database.files.add_many(
            "anna", [NewFile(f"{n}", "p", folder=None if n else "f") for n in range(5)]
        )
        transcripts, clips = [], []
        for file in files * 2:
            transcripts.append(await database.transcripts.add("anna", file.id, "t"))
            clips.append(await database.clips.add("anna", file.id, 0, 1, {"k": [1]}))
        with caplog.at_level(logging.INFO, logger="reelbase.sql"):
            caplog.clear()
            found = await database.transcripts.list_for_profile("anna", load_file)
            assert len(caplog.records) == 1
            caplog.clear()
            found_clips = await database.clips.list_for_profile("anna", load_file=load_file)
            assert len(caplog.records) == 1
    expected = [None] * 10 if not load_file else files[::-1] * 2
    assert [transcript.file for transcript in found] == expected
    assert [clip.file for clip in found_clips] == expected
    replace = msgspec.structs.replace
    assert [replace(transcript, file=None) for transcript in found] == transcripts[::-1]
    assert [replace(clip, file=None) for clip in found_clips] == clips[::-1]


# Clips


async def test_an_added_clip_has_what_it_was_given(library: Database, file: File) -> None:
    clip = await library.clips.add("anna", file.id, 1, 2.5, {"words": [{"a": None}], "ü": 1.5})
    assert clip == Clip(
        clip.id, "anna", file.id, 1.0, 2.5, {"words": [{"a": None}], "ü": 1.5}, START, None
    )
    assert await library.clips.get(clip.id) == clip
    own_id = uuid4()
    assert (await library.clips.add("anna", file.id, 0, 0, {}, id=own_id)).id == own_id
    assert (await library.clips.get(str(own_id).upper())).end_time == 0.0


@pytest.mark.parametrize(("start", "end"), [(-0.001, 1), (1, 0.999), (-2, -1), (0, -0.5)])
async def test_a_clip_does_not_end_before_it_starts(
    library: Database, file: File, look: Look, start: float, end: float
) -> None:
    with pytest.raises(ConstraintError) as caught:
        await library.clips.add("anna", file.id, start, end, {})
    assert (caught.value.kind, caught.value.constraint) == ("check", "clips_times")
    assert look("SELECT count(*) FROM clips") == [(0,)]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), "1", None])
async def test_a_clips_times_are_finite_numbers(
    library: Database, file: File, look: Look, bad: Any
) -> None:
    for start, end in ((bad, 1), (0, bad)):
        with pytest.raises((ValueError, TypeError, ConstraintError)):
            await library.clips.add("anna", file.id, start, end, {})
    responses: list[Any] = [bad, [bad]] if bad in ("1", None) else [{"n": bad}, bad, [bad]]
    for response in responses:
        with pytest.raises((ValueError, TypeError, ConstraintError)):
            await library.clips.add("anna", file.id, 0, 1, response)
    assert look("SELECT count(*) FROM clips") == [(0,)]


async def test_clips_are_listed(library: Database, file: File, clock: FrozenClock) -> None:
    other = await library.files.add("anna", "b", "b")
    added = []
    for start in (5, 1, 3, 1, 0.5):
        added.append(await library.clips.add("anna", file.id, start, 9, {}))
        clock.advance(start % 2)
    elsewhere = await library.clips.add("anna", other.id, 0, 1, {})
    assert await library.clips.list_for_profile("anna") == [elsewhere, *added[::-1]]
    by_start = [added[4], added[1], added[3], added[2], added[0]]
    assert await library.clips.list_for_file(file.id) == by_start
    assert await library.clips.list_for_file(UNKNOWN) == []
    assert await library.clips.list_for_profile("ben") == []


async def test_deleting_a_clip(library: Database, file: File) -> None:
    clip = await library.clips.add("anna", file.id, 0, 1, {})
    assert await library.clips.delete(clip.id) is True
    with pytest.raises(RecordNotFoundError) as caught:
        await library.clips.delete(clip.id)
    assert caught.value.details == {"entity": "clip", "key": str(clip.id)}
    with pytest.raises(RecordNotFoundError):
        await library.clips.get(clip.id)
    assert await library.clips.delete(clip.id, missing_ok=True) is False


# Templates


async def test_a_profile_has_no_template_at_first(library: Database) -> None:
    assert await library.templates.get_for_profile("anna") is None
    assert await library.templates.get_for_profile("nobody") is None
    with pytest.raises(RecordNotFoundError):
        await library.templates.delete("anna")
    assert await library.templates.delete("anna", missing_ok=True) is False


async def test_upsert_replaces_a_template_as_a_whole(library: Database, clock: FrozenClock) -> None:
    made = await library.templates.upsert("anna", "sys", "prompt", "model", "srt sys", "srt model")
    assert made == LlmTemplate(
        made.id, "anna", "sys", "prompt", "model", "srt sys", "srt model", START, START
    )
    bens = await library.templates.upsert("ben", "b", "b", "b")
    now = clock.advance(5)
    replaced = await library.templates.upsert("anna", "", "p2", "m2")
    assert replaced == LlmTemplate(made.id, "anna", "", "p2", "m2", "", "", START, now)
    assert await library.templates.get_for_profile("anna") == replaced
    assert await library.templates.get_for_profile("ben") == bens


async def test_50_tasks_upsert_one_template(library: Database, look: Look) -> None:
    made = await asyncio.gather(
        *(library.templates.upsert("anna", f"{n}", f"{n}", f"{n}") for n in range(50))
    )
    assert len({template.id for template in made}) == 1
    stored = await library.templates.get_for_profile("anna")
    assert stored in made
    assert look("SELECT count(*) FROM llm_templates") == [(1,)]


async def test_a_template_of_an_unknown_profile_is_refused(library: Database, look: Look) -> None:
    with pytest.raises(ConstraintError) as caught:
        await library.templates.upsert("nobody", "s", "p", "m")
    assert caught.value.kind == "foreign_key"
    nothing: Any = None
    with pytest.raises(ConstraintError) as caught:
        await library.templates.upsert("anna", nothing, "p", "m")
    assert (caught.value.kind, caught.value.constraint) == ("not_null", "llm_templates.sys_msg")
    assert look("SELECT count(*) FROM llm_templates") == [(0,)]


async def test_deleting_a_template(library: Database, clock: FrozenClock) -> None:
    made = await library.templates.upsert("anna", "s", "p", "m")
    assert await library.templates.delete("anna") is True
    assert await library.templates.get_for_profile("anna") is None
    clock.advance(timedelta(hours=1).total_seconds())
    again = await library.templates.upsert("anna", "s", "p", "m")
    assert again.id != made.id
    assert again.created_at == clock.now


async def test_an_id_may_be_of_a_subclass_of_str(database: Database) -> None:
    class Key(str):
        pass

    await database.profiles.ensure("p")
    key = Key("01980000-0000-7000-8000-000000000001")
    (added,) = await database.files.add_many("p", [NewFile("a", "a", id=key)])
    assert (str(added.id), await database.files.get(key)) == (key, added)
