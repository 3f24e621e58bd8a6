"""Promises about names that are no UTF-8: they come back exactly, and a message never fails for them."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import reelbase
from reelbase import Database, File, InvalidArgumentError, NewFile, NewVideo, Transcript
from reelbase.engine.file_names import escaped, printable, unescaped
from reelbase.operations.transfer import export_lines, import_lines

NAME = os.fsdecode(b"caf\xe9 \xff\xc3\xa9.mp3")
STORED = "caf\uf0e9 \uf0ffé.mp3"
SHOWN = r"caf\xe9 \xffé.mp3"

QUICK = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
private = st.characters(min_codepoint=0xF07E, max_codepoint=0xF101)
file_names = st.one_of(
    st.binary().map(os.fsdecode),
    st.lists(st.binary(max_size=3).map(os.fsdecode) | private | st.text(max_size=2)).map(
        lambda parts: os.fsdecode(os.fsencode("".join(parts)))
    ),
)


@pytest.fixture(autouse=True)
async def profile(database: Database) -> None:
    await database.profiles.ensure("ann")


@pytest.mark.long
@QUICK
@given(name=file_names)
@example(name="\uf083")
@example(name="\udcef\uf082")
@example(name=os.fsdecode(b"\xef\xef\x82\x83"))
def test_every_name_of_a_file_comes_back_and_is_storable(name: str) -> None:
    stored = escaped(name)
    stored.encode()
    assert unescaped(stored) == name
    assert os.fsencode(unescaped(stored)) == os.fsencode(name)


@QUICK
@given(one=file_names, other=file_names)
def test_two_names_are_stored_as_two(one: str, other: str) -> None:
    assert (escaped(one) == escaped(other)) == (one == other)


@given(text=st.text(st.characters(max_codepoint=0xD7FF) | st.characters(min_codepoint=0xF100)))
def test_other_texts_are_stored_as_they_are(text: str) -> None:
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert escaped(text) == unescaped(text) == printable(text) == text


async def test_a_file_is_kept_and_found_by_such_a_name(database: Database, path: Path) -> None:
    file = await database.files.add("ann", NAME, f"music/{NAME}", folder=NAME)
    plain = await database.files.add("ann", "cafe.mp3", "music/cafe.mp3")
    assert (file.name, file.path, file.folder) == (NAME, f"music/{NAME}", NAME)
    assert os.fsencode(file.name) == b"caf\xe9 \xff\xc3\xa9.mp3"
    assert await database.files.get(file.id) == file
    assert await database.files.list_for_profile("ann") == [plain, file]
    assert await database.files.page("ann", folder=NAME) == [file]
    for search in (NAME, os.fsdecode(b"CAF\xe9"), os.fsdecode(b"\xff"), "É.MP3"):
        assert await database.files.page("ann", search=search) == [file]
    for query in (NAME, os.fsdecode(b"caf\xe9"), "mp3", "caf"):
        assert file in await database.files.search("ann", query)
    await database.transcripts.add("ann", file.id, "text")
    (transcript,) = await database.transcripts.list_for_profile("ann", load_file=True)
    assert isinstance(transcript, Transcript)
    assert transcript.file == file
    async with database.stream(File, "SELECT * FROM files ORDER BY name") as rows:
        assert sorted([row.name async for row in rows]) == sorted(["cafe.mp3", NAME])
    renamed = await database.files.update(plain.id, name=NAME)
    assert renamed.name == NAME
    added = await database.files.add_many("ann", [NewFile(NAME, "p"), NewFile("x", NAME)])
    assert [(file.name, file.path) for file in added] == [(NAME, "p"), ("x", NAME)]
    with closing(sqlite3.connect(path)) as prompt:  # as the README says
        stored = prompt.execute("SELECT name FROM files WHERE id = ?", (str(file.id),)).fetchone()
    assert stored == (STORED,)


async def test_all_columns_of_file_names_keep_it(database: Database) -> None:
    project = await database.projects.add("p", NAME)
    assert (await database.projects.get(project.id)).workspace_path == NAME
    video = await database.videos.add(project.id, NAME, NAME, 1.0, 25, 1, 1, 1)
    assert await database.videos.find_by_path(NAME) == video
    assert await database.videos.search(NAME) == [video]
    assert (video.filename, video.path) == (NAME, NAME)
    (many,) = await database.videos.add_many(project.id, [NewVideo(NAME, "p", 1.0, 25, 1, 1, 1)])
    assert many.filename == NAME
    await database.sessions.ensure("s")
    download = await database.downloads.add("s", "https://x")
    await database.downloads.start(download.id)
    assert (await database.downloads.complete(download.id, filename=NAME)).filename == NAME
    report = await database.downloads.purge(None)
    assert [gone.filename for gone in report.deleted] == [NAME]


async def test_an_export_and_a_backup_keep_it(
    database: Database, path: Path, tmp_path: Path
) -> None:
    file = await database.files.add("ann", NAME, "p")
    lines: list[bytes] = []
    await export_lines(path, lambda _, line: lines.append(line))
    await import_lines(tmp_path / "new.db", lines)
    await database.backup(tmp_path / "copy.db")
    for other in ("new.db", "copy.db"):
        async with reelbase.connect(tmp_path / other) as copy:
            assert await copy.files.get(file.id) == file
            assert await copy.files.search("ann", NAME) == [file]


async def test_what_is_no_name_of_a_file_is_refused(database: Database) -> None:
    for text in ("\ud800", "a\udfff", "\udc00", "\udd00x"):
        with pytest.raises(InvalidArgumentError, match="surrogate") as caught:
            await database.files.add("ann", text, "p")
        assert caught.value.parameter == "name"
    with pytest.raises(InvalidArgumentError, match="surrogate"):
        await database.tags.ensure("ann", NAME)


async def test_of_many_the_one_that_is_refused_is_named(database: Database) -> None:
    files = [NewFile(f"{number}.mp3", "p") for number in range(1000)]
    for bad, kind in (
        (NewFile("\ud800", "p"), InvalidArgumentError),
        (NewFile("x", "p", size_bytes=-1), reelbase.ConstraintError),
        (NewFile("x", "p", id="nonsense"), InvalidArgumentError),
        (NewFile(5, "p"), TypeError),  # type: ignore[arg-type]
    ):
        with pytest.raises(kind, match="number 617 of the list"):
            await database.files.add_many("ann", [*files[:617], bad, *files[617:]])
    assert await database.files.count_for_profile("ann") == 0


# Messages


async def test_a_message_never_fails_for_its_characters(database: Database) -> None:
    text = f"cannot read {NAME}\ud800"
    shown = rf"cannot read {SHOWN}\ud800"
    file = await database.files.add("ann", "f", "p")
    found: dict[str, Any] = {}
    await database.jobs.add("ann", "t", {})
    job = await database.jobs.claim("w")
    assert job is not None
    failed = await database.jobs.fail(job.id, text, worker="w", error_details={"paths": [NAME]})
    found["jobs.fail"] = failed.error
    assert failed.error_details == {"paths": [SHOWN]}
    await database.sessions.ensure("s")
    download = await database.downloads.add("s", "https://x")
    found["downloads.fail"] = (await database.downloads.fail(download.id, text)).error_message
    await database.file_processing.start(file.id)
    found["processing"] = (await database.file_processing.fail(file.id, text)).error_message
    summary = await database.summaries.start(file.id)
    found["summaries.fail"] = (await database.summaries.fail(summary.id, text)).error_message
    entry = await database.error_log.add("https://x.example", text)
    found["error_log.add"] = entry.error
    unsupported = await database.unsupported_urls.add("https://x.example", error=text)
    found["unsupported_urls.add"] = unsupported.error
    pushed = await database.notifications.push("ann", "t", text, text)
    found["title"], found["message"] = pushed.title, pushed.message
    assert {name: text for name, text in found.items() if text != shown} == {}


async def test_a_generation_fails_with_any_message(database: Database) -> None:
    generation = await database.generations.create("p", "m", 1.0, 44100, 2, NAME)
    assert generation.file_path == NAME
    await database.generations.mark_processing(generation.id)
    failed = await database.generations.fail(generation.id, NAME)
    assert failed.error_message == SHOWN


# A database in such a place


@pytest.mark.long
async def test_a_database_may_lie_in_a_folder_of_such_a_name(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this filesystem takes UTF-8 only")
    file, copy = folder / "media.db", folder / os.fsdecode(b"\xff.db")
    async with reelbase.connect(file) as database:
        await database.profiles.ensure("ann")
        await database.backup(copy)
        assert (await database.check()).problems == []
        with pytest.raises(reelbase.DatabaseBusyError) as busy:
            await reelbase.restore(copy, file)
    await reelbase.restore(copy, file)
    assert (await reelbase.repair(file)).problems == []
    with pytest.raises(reelbase.DatabaseError) as exists:
        await reelbase.backup(file, copy)
    with pytest.raises(reelbase.DatabaseError) as missing:
        await reelbase.connect(folder / "none.db", create=False)
    for error in (busy.value, exists.value, missing.value):
        assert r"caf\xe9" in str(error)
        str(error).encode()
        json.dumps(error.details, ensure_ascii=False).encode()
        msgspec.json.encode(error.details)
