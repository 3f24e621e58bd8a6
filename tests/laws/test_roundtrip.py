"""Whatever goes in comes out as it was, or is refused by name and leaves nothing behind."""

from __future__ import annotations

import inspect
import math
import os
import re
import shutil
import sqlite3
import typing
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from samples import CASES, Case, Owner, contents, make_owner

import reelbase
from reelbase import (
    CollectedFile,
    Comment,
    ConstraintError,
    Database,
    DatabaseError,
    DownloadStatus,
    Expendable,
    ExpendableKind,
    File,
    FileStatus,
    GenerationStatus,
    Job,
    JobStatus,
    LibraryVideo,
    NewFile,
    NewGeneration,
    NewSegment,
    NewVideo,
    OverlapRule,
    ProjectVersion,
    RecordNotFoundError,
    Segment,
    Speaker,
    SpokenSegment,
    TimelineClip,
    Video,
)
from reelbase.engine.file_names import printable
from reelbase.engine.statements.search import folded
from reelbase.testing.clock import START, FrozenClock
from reelbase.testing.factories import make_job

QUICK = settings(
    max_examples=50,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
THOROUGH = settings(QUICK, max_examples=1000)

Test = Callable[..., Coroutine[Any, Any, None]]


def for_all(
    *examples: dict[str, Any], **strategies: st.SearchStrategy[Any]
) -> Callable[[Test], Test]:
    """The test for 50 cases, and under --run-slow a second one for 1000."""

    def decorate(test: Test) -> Test:
        @wraps(test)
        async def again(*args: Any, **kwargs: Any) -> None:
            await test(*args, **kwargs)

        again.__name__ = again.__qualname__ = test.__name__ + "_at_length"
        quick, thorough = (
            how(given(**strategies)(_with_examples(function, examples)))
            for function, how in ((test, QUICK), (again, THOROUGH))
        )
        globals()[again.__name__] = pytest.mark.slow(thorough)
        return typing.cast("Test", quick)

    return decorate


def _with_examples(test: Test, examples: Iterable[dict[str, Any]]) -> Test:
    for values in examples:
        test = example(**values)(test)
    return test


@pytest.fixture
async def owner(database: Database) -> Owner:
    return await make_owner(database)


# Text

HOSTILE = (
    "",
    " ",
    "\0",
    "a\0b",
    "\0\0",
    "a\nb\r\n\t",
    "'; DROP TABLE files; --",
    ":id ?1 $x @y",
    "%_\\",
    "NULL",
    "NaN",
    "猫が好き",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "\u202eabc\u202c שלום مرحبا",
    "e\u0301 \u00e9",
    "\ufeff\u2028\u2029\ufffe\uffff",
    "\U0010ffff",
    "İıßẞΣς",
)
texts = st.sampled_from(HOSTILE) | st.text()
surrogates = st.builds(
    lambda before, bad, after: before + bad + after,
    st.text(max_size=3),
    # Not what os.fsdecode() makes of a byte: names of files may have these.
    st.characters(categories=["Cs"]).filter(lambda half: not "\udc80" <= half <= "\udcff"),
    st.text(max_size=3),
)
TEXT_FIELDS = (
    "name",
    "path",
    "type",
    "folder",
    "origin",
    "content_type",
    "content_hash",
    "source_url",
)


@for_all(values=st.fixed_dictionaries(dict.fromkeys(TEXT_FIELDS, texts)))
async def test_text_is_kept_as_it_is(
    values: dict[str, Any], database: Database, owner: Owner
) -> None:
    file = await database.files.add(owner.profile_id, **values)
    assert {name: getattr(file, name) for name in TEXT_FIELDS} == values
    assert await database.files.get(file.id) == file
    assert (await database.files.list_for_profile(owner.profile_id, limit=1)) == [file]
    assert await database.files.find_by_hash(owner.profile_id, values["content_hash"]) == file
    assert await database.files.find_by_url(owner.profile_id, values["source_url"]) == file
    other = await database.files.add(owner.profile_id, "n", "p")
    changed = await database.files.update(other.id, **values)
    assert {name: getattr(changed, name) for name in TEXT_FIELDS} == values
    assert msgspec.json.decode(msgspec.json.encode(file), type=File) == file


@for_all(profile_id=texts, text=texts)
async def test_a_profiles_id_may_be_any_text(
    profile_id: str, text: str, database: Database
) -> None:
    assert (await database.profiles.ensure(profile_id)).id == profile_id
    assert (await database.profiles.get(profile_id)).id == profile_id
    template = await database.templates.upsert(profile_id, text, text, text, text, text)
    assert await database.templates.get_for_profile(profile_id) == template
    assert (template.sys_msg, template.srt_model) == (text, text)
    assert await database.files.list_for_profile(profile_id) == []
    await database.profiles.delete(profile_id)
    assert await database.profiles.exists(profile_id) is False


@for_all(name=texts, part=st.tuples(st.integers(0, 5), st.integers(0, 5)))
async def test_a_page_is_searched_for_any_text(
    name: str, part: tuple[int, int], database: Database, owner: Owner
) -> None:
    file = await database.files.add(owner.profile_id, name, "p", type=name, folder=name)
    search = name[part[0] : part[0] + part[1]]
    for wanted in (search, search.upper().casefold()):
        found = await database.files.page(
            owner.profile_id, search=wanted, type=name, folder=name, limit=None
        )
        expected = folded(wanted) in folded(name)
        assert (file in found) == expected


@for_all(text=surrogates)
async def test_a_lone_surrogate_is_a_value_error_that_names_the_parameter(
    text: str, database: Database, owner: Owner
) -> None:
    before = contents(database.path)
    for name in TEXT_FIELDS:
        values: dict[str, Any] = {"name": "n", "path": "p"} | {name: text}
        with pytest.raises(ValueError, match=rf"\b{name}\b") as caught:
            await database.files.add(owner.profile_id, **values)
        assert not isinstance(caught.value, UnicodeError)
    with pytest.raises(ValueError, match="params"):
        await database.jobs.add(owner.profile_id, "t", {"a": [text]})
    with pytest.raises(ValueError, match="params"):
        await database.jobs.add(owner.profile_id, "t", {text: 1})
    with pytest.raises(ValueError, match=r"\b1\b"):
        await database.fetch_one(str, "SELECT ?", [text])
    assert contents(database.path) == before


@pytest.mark.parametrize("character", ["a", "\0", "猫", "🏳"])
async def test_long_text_is_kept(character: str, database: Database, owner: Owner) -> None:
    text = character * 1_000_000
    transcript = await database.transcripts.add(owner.profile_id, owner.file_id, text)
    assert transcript.text == text
    assert (await database.transcripts.get(transcript.id)).text == text
    job = await database.jobs.add(owner.profile_id, "t", {"text": text})
    assert (await database.jobs.get(job.id)).params == {"text": text}


# Numbers

NEAR_64_BITS = st.integers(2**63 - 3, 2**63 + 3) | st.integers(-(2**63) - 3, -(2**63) + 3)
integers = NEAR_64_BITS | st.integers() | st.integers(-5, 5)


@pytest.mark.long
@for_all(number=integers)
async def test_an_integer_is_kept_or_refused_past_64_bits(
    number: int, database: Database, owner: Owner
) -> None:
    before = contents(database.path)
    if -(2**63) <= number < 2**63:
        assert (
            await database.jobs.add(owner.profile_id, "t", {}, priority=number)
        ).priority == number
        assert await database.fetch_one(int, "SELECT ?", [number]) == number
    else:
        with pytest.raises(ValueError, match="priority"):
            await database.jobs.add(owner.profile_id, "t", {}, priority=number)
        with pytest.raises(ValueError, match="parameter 1"):
            await database.fetch_one(int, "SELECT ?", [number])
        with pytest.raises(ValueError, match="parameter n"):
            await database.fetch_one(int, "SELECT :n", {"n": number})
        assert contents(database.path) == before
    if 0 <= number < 2**63:
        file = await database.files.update(owner.file_id, size_bytes=number)
        assert file.size_bytes == number
        assert len(await database.files.list_for_profile(owner.profile_id, limit=number)) == min(
            number, 1
        )
    else:
        before = contents(database.path)
        with pytest.raises((ConstraintError, ValueError), match="size_bytes"):
            await database.files.update(owner.file_id, size_bytes=number)
        with pytest.raises(ValueError, match="limit"):
            await database.files.list_for_profile(owner.profile_id, limit=number)
        with pytest.raises(ValueError, match="offset"):
            await database.files.list_for_profile(owner.profile_id, offset=number)
        assert contents(database.path) == before


@for_all(numbers=st.tuples(st.floats(), st.floats()))
async def test_a_float_is_kept_or_refused_when_it_is_none(
    numbers: tuple[float, float], database: Database, owner: Owner
) -> None:
    start, end = numbers
    if not all(map(math.isfinite, numbers)):
        before = contents(database.path)
        with pytest.raises(ValueError, match=r"start_time|end_time"):
            await database.clips.add(owner.profile_id, owner.file_id, start, end, {})
        with pytest.raises(ValueError, match="llm_breakdown_response"):
            await database.clips.add(owner.profile_id, owner.file_id, 0, 1, {"a": [start, end]})
        with pytest.raises(ValueError, match="parameter"):
            await database.fetch_one(float, "SELECT ?, ?", numbers)
        assert contents(database.path) == before
        return
    start, end = sorted(map(abs, numbers))
    clip = await database.clips.add(owner.profile_id, owner.file_id, start, end, {"a": numbers})
    assert (clip.start_time, clip.end_time) == (start, end)
    assert clip.llm_breakdown_response == {"a": list(numbers)}
    assert await database.clips.get(clip.id) == clip
    assert await database.fetch_one(tuple[float, float], "SELECT ?, ?", numbers) == numbers


@for_all(progress=st.floats(0, 1) | st.integers(0, 1))
async def test_progress_is_kept(progress: float, database: Database, owner: Owner) -> None:
    job = await database.jobs.add(owner.profile_id, "t", {})
    assert (await database.jobs.update(job.id, progress=progress)).progress == progress


# JSON

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
json_objects = st.dictionaries(texts, json_values, max_size=5)


def nested(levels: int, innermost: Any = None) -> dict[str, Any]:
    for level in range(levels):
        innermost = [innermost] if level % 2 else {"a": innermost}
    return {"root": innermost}


@for_all(
    {
        "value": {
            "big": [2**63, 2**64, -(2**64), 10**40],
            "": {"\0": "\0"},
            "f": [1.0, -0.0, 5e-324],
        }
    },
    value=json_objects,
)
async def test_json_is_kept(value: dict[str, Any], database: Database, owner: Owner) -> None:
    job = await database.jobs.add(owner.profile_id, "t", value)
    assert job.params == value
    assert await database.jobs.get(job.id) == job
    changed = await database.jobs.update(job.id, result=value, error_details=value)
    assert (changed.result, changed.error_details) == (value, value)
    assert await database.jobs.update(job.id, result=value) == changed
    clip = await database.clips.add(owner.profile_id, owner.file_id, 0, 0, value)
    assert clip.llm_breakdown_response == value
    assert await database.clips.list_for_file(owner.file_id) != []
    await database.clips.delete(clip.id)


async def test_json_of_500_levels_is_kept(database: Database, owner: Owner) -> None:
    value = nested(500)
    job = await database.jobs.add(owner.profile_id, "t", value)
    assert job.params == value
    assert (await database.jobs.list_for_profile(owner.profile_id)) == [job]


@pytest.mark.parametrize("levels", [700, 900, 990, 1100, 2100, 5000, 100_000])
async def test_json_that_is_nested_too_deeply_is_refused_or_kept(
    levels: int, database: Database, owner: Owner
) -> None:
    """A value that can be stored but never be read again would be the worst."""
    before = contents(database.path)
    value = nested(levels)
    try:
        job = await database.jobs.add(owner.profile_id, "t", value)
    except ValueError as error:
        refusal = str(error)
    else:
        assert (await database.jobs.get(job.id)).params.keys() == {"root"}
        return
    assert "params" in refusal
    assert contents(database.path) == before


class Unknown:
    def __repr__(self) -> str:
        return "Unknown()"


NO_JSON: tuple[dict[Any, Any], ...] = (
    {"a": math.nan},
    {"a": [1.0, {"b": math.inf}]},
    {"a": (-math.inf,)},
    {"a": None, "b": math.nan},
    {1: "a"},
    {None: "a"},
    {"a": {2.5: 1}},
    {"a": [{True: 1}]},
    {b"a": 1},
    {"a": Unknown()},
    {"a": {"b": Unknown}},
    {"\ud800": 1},
    {"a": ["\udfff"]},
)


@pytest.mark.parametrize("value", NO_JSON, ids=ascii)
async def test_what_is_no_json_is_refused(
    value: dict[Any, Any], database: Database, owner: Owner
) -> None:
    expected = (TypeError, ValueError) if "Unknown" in ascii(value) else ValueError
    job = await database.jobs.add(owner.profile_id, "t", {})
    before = contents(database.path)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "params": lambda: database.jobs.add(owner.profile_id, "t", value),
        "result": lambda: database.jobs.update(job.id, result=value),
        "error_details": lambda: database.jobs.fail(job.id, "e", error_details=value),
        "llm_breakdown_response": lambda: database.clips.add(
            owner.profile_id, owner.file_id, 0, 1, value
        ),
        "parameter 1": lambda: database.fetch_one(str, "SELECT ?", [value]),
    }
    if "\\ud" in ascii(value):
        del calls["error_details"]  # of a failure, which is noted with any characters
    for name, call in calls.items():
        with pytest.raises(expected, match=rf"\b{name}\b"):
            await call()
    assert contents(database.path) == before


async def test_json_that_contains_itself_is_refused(database: Database, owner: Owner) -> None:
    before = contents(database.path)
    value: dict[str, Any] = {}
    value["self"] = value
    with pytest.raises(ValueError, match="params"):
        await database.jobs.add(owner.profile_id, "t", value)
    assert contents(database.path) == before


# Moments

zones = st.timezones() | st.builds(
    lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-1439, 1439)
)


@for_all(
    {"moment": datetime(1, 1, 1, tzinfo=UTC)},
    {"moment": datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)},
    {"moment": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
    {"moment": datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=2)))},
    {"moment": datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=UTC)},
    {"moment": datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)},
    moment=st.datetimes(timezones=zones),
)
async def test_an_aware_moment_is_kept_to_the_millisecond(
    moment: datetime, database: Database, owner: Owner
) -> None:
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        with pytest.raises(ValueError, match="run_after"):
            await database.jobs.add(owner.profile_id, "t", {}, run_after=moment)
        return
    job = await database.jobs.add(owner.profile_id, "t", {}, run_after=moment)
    assert job.run_after is not None
    assert job.run_after.utcoffset() == timedelta(0)
    assert timedelta(0) <= utc - job.run_after < timedelta(milliseconds=1)
    assert job.run_after.microsecond % 1000 == 0
    assert await database.jobs.get(job.id) == job
    stored = await database.fetch_one(str, "SELECT run_after FROM jobs WHERE id = ?", [job.id])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stored)
    assert await database.fetch_one(datetime, "SELECT ?", [moment]) == job.run_after


@pytest.mark.long
@for_all(moment=st.datetimes())
async def test_a_naive_moment_is_a_value_error(
    moment: datetime, database: Database, owner: Owner
) -> None:
    before = contents(database.path)
    with pytest.raises(ValueError, match="run_after"):
        await database.jobs.add(owner.profile_id, "t", {}, run_after=moment)
    with pytest.raises(ValueError, match="parameter 1"):
        await database.fetch_one(str, "SELECT ?", [moment])
    assert contents(database.path) == before


@for_all(id=st.uuids())
async def test_any_uuid_is_an_id_in_any_form(id: UUID, database: Database, owner: Owner) -> None:
    for form in (str(id).upper(), id.hex, id.urn):
        file = await database.files.add(owner.profile_id, "n", "p", id=form)
        assert file.id == id
        assert await database.files.get(form) == file
        assert await database.files.delete(form) is True


# Wrong types


@dataclass(frozen=True)
class World:
    """Something of everything to call methods on."""

    owner: Owner
    file: File
    transcript_id: UUID
    clip_id: UUID
    queued_id: UUID
    running_id: UUID
    finished_id: UUID
    project_clip_id: int
    library_video_id: int
    track_id: int
    timeline_clip_id: int
    transition_id: int
    download_id: UUID
    generation_id: UUID
    waiting_file_id: UUID
    failed_file_id: UUID
    tag_id: int
    other_tag_id: int
    notification_id: int
    segment_id: int
    speaker_id: int
    other_speaker_id: int
    config_id: int
    prompt_id: int
    summary_id: int
    other_segment_id: int
    person_id: int
    other_person_id: int
    collection_id: int
    comment_id: int
    derived_file_id: int
    marker_id: int


@pytest.fixture
async def world(database: Database) -> World:
    return await make_world(database)


class Unchanged:
    """Tells whether a file has the rows that it had. It reads them only after a commit: SQLite counts those
    of other connections."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._commits = self._count()
        self._contents = contents(path)

    def __bool__(self) -> bool:
        return self._count() == self._commits or contents(self._path) == self._contents

    def _count(self) -> int:
        (commits,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(commits)


@pytest.fixture(scope="module")
async def inhabited(
    template: Path, tmp_path_factory: pytest.TempPathFactory, journal: Literal["wal", "delete"]
) -> AsyncIterator[tuple[Database, World, Unchanged]]:
    """A database with a world in it, for tests that change nothing."""
    path = tmp_path_factory.mktemp("inhabited") / "media.db"
    shutil.copy(template, path)
    secrets = reelbase.Secrets(b"k" * 32)
    opening = reelbase.connect(path, journal=journal, clock=FrozenClock(), secrets=secrets)
    async with opening as database:
        world = await make_world(database)
        with closing(sqlite3.connect(path)) as connection:
            yield database, world, Unchanged(path, connection)


async def make_world(database: Database) -> World:
    owner = await make_owner(database)
    file = await database.files.get(owner.file_id)
    transcript = await database.transcripts.add(owner.profile_id, owner.file_id, "text")
    clip = await database.clips.add(owner.profile_id, owner.file_id, 0, 1, {})
    await database.templates.upsert(owner.profile_id, "s", "p", "m")
    running = await database.jobs.add(owner.profile_id, "t", {}, max_attempts=3)
    assert await database.jobs.claim("w")
    finished = await database.jobs.add(owner.profile_id, "t", {})
    await database.jobs.succeed(finished.id)
    queued = await database.jobs.add(owner.profile_id, "t", {})
    cut = await database.project_clips.add(owner.project_id, owner.video_id, 0, 9)
    shelved = await database.video_library.add("a.mov", "shelf/a.mov", 400.0, 25, 1, 1920, 1080)
    await database.project_settings.upsert(owner.project_id, output_width=1920)
    track = await database.timeline_tracks.add(owner.project_id, "video")
    first, second = [
        await database.timeline_clips.add(track.id, place, 10, generator="color")
        for place in (0, 10)
    ]
    transition = await database.timeline_transitions.add(first.id, second.id, "wipe", 5)
    await database.project_versions.save(owner.project_id)
    download = await database.downloads.add(owner.session_id, "u")
    generation = await database.generations.create("a cat", "m", 1.0, 1, 1, "f")
    await database.config.set("k", 1)
    await database.error_log.add("https://example.org", "e")
    await database.unsupported_urls.add("u")
    waiting, failed = [await database.files.add("ann", "n", "p") for _ in range(2)]
    await database.file_processing.start(file.id)
    await database.file_processing.enqueue(waiting.id)
    await database.file_processing.enqueue(failed.id)
    await database.file_processing.fail(failed.id, "e")
    await database.media_info.upsert(file.id, title="t")
    tag, other_tag = [await database.tags.ensure("ann", name) for name in ("t", "other")]
    await database.tags.attach(file.id, "t")
    await database.settings.set("ann", "k", 1)
    notification = await database.notifications.push("ann", "t", "t")
    speaker, other_speaker = [await database.speakers.ensure(file.id, name) for name in "ab"]
    await database.segments.replace_all(
        transcript.id, [NewSegment(0.0, 1.0, "t", speaker_id=speaker.id)]
    )
    (segment,) = await database.segments.page(transcript.id)
    other_segment = await database.segments.add(transcript.id, 1.0, 2.0, "t")
    config = await database.llm_configs.add("ann", "c", "p", "m")
    prompt = await database.summary_prompts.add("ann", "n", "t")
    summary = await database.summaries.start(file.id)
    person, other_person = [await database.people.add("ann", name) for name in ("p", "other")]
    await database.people.assign(person.id, [speaker.id])
    await database.people.attach_file(person.id, waiting.id, "voice")
    collection = await database.collections.add("ann", "c")
    await database.collections.add_files(collection.id, [file.id, waiting.id])
    comment = await database.comments.add(file.id, "ann", "t", at_seconds=1.0)
    derived = await database.derived_files.ensure(file.id, "proxy")
    marker = await database.markers.add("m", 1.0, file_id=file.id)
    await database.secrets_store.set("s", "v", profile_id="ann")
    await database.schedules.set("s", "@daily", "t", {}, profile_id="ann")
    return World(
        owner,
        file,
        transcript.id,
        clip.id,
        queued.id,
        running.id,
        finished.id,
        cut.id,
        shelved.id,
        track.id,
        first.id,
        transition.id,
        download.id,
        generation.id,
        waiting.id,
        failed.id,
        tag.id,
        other_tag.id,
        notification.id,
        segment.id,
        speaker.id,
        other_speaker.id,
        config.id,
        prompt.id,
        summary.id,
        other_segment.id,
        person.id,
        other_person.id,
        collection.id,
        comment.id,
        derived.id,
        marker.id,
    )


def _profile(world: World) -> dict[str, Any]:
    return {"profile_id": world.owner.profile_id}


def _file(world: World) -> dict[str, Any]:
    return {"file_id": world.file.id}


def _files(world: World) -> dict[str, Any]:
    return {"file_ids": [world.file.id]}


def _session(world: World) -> dict[str, Any]:
    return {"session_id": world.owner.session_id}


def _download(world: World) -> dict[str, Any]:
    return {"download_id": world.download_id}


def _project(world: World) -> dict[str, Any]:
    return {"project_id": world.owner.project_id}


def _video(world: World) -> dict[str, Any]:
    return {"video_id": world.owner.video_id}


def _shelved(world: World) -> dict[str, Any]:
    return {"library_video_id": world.library_video_id}


def _track(world: World) -> dict[str, Any]:
    return {"track_id": world.track_id}


def _timeline_clip(world: World) -> dict[str, Any]:
    return {"clip_id": world.timeline_clip_id}


def _version(world: World) -> dict[str, Any]:
    return _project(world) | {"number": 1}


def _transition(world: World) -> dict[str, Any]:
    return {"transition_id": world.transition_id}


def _cut(world: World) -> dict[str, Any]:
    return {"clip_id": world.project_clip_id}


def _generation(world: World) -> dict[str, Any]:
    return {"generation_id": world.generation_id}


def _transcript(world: World) -> dict[str, Any]:
    return {"transcript_id": world.transcript_id}


def _tag(world: World) -> dict[str, Any]:
    return {"tag_id": world.tag_id}


def _notification(world: World) -> dict[str, Any]:
    return {"notification_id": world.notification_id}


def _segment(world: World) -> dict[str, Any]:
    return {"segment_id": world.segment_id}


def _speaker(world: World) -> dict[str, Any]:
    return {"speaker_id": world.speaker_id}


def _config(world: World) -> dict[str, Any]:
    return {"config_id": world.config_id}


def _prompt(world: World) -> dict[str, Any]:
    return {"prompt_id": world.prompt_id}


def _summary(world: World) -> dict[str, Any]:
    return {"summary_id": world.summary_id}


def _person(world: World) -> dict[str, Any]:
    return {"person_id": world.person_id}


def _collection(world: World) -> dict[str, Any]:
    return {"collection_id": world.collection_id}


def _comment(world: World) -> dict[str, Any]:
    return {"comment_id": world.comment_id}


def _schedule(world: World) -> dict[str, Any]:
    return {"name": "s"}


def _derived_file(world: World) -> dict[str, Any]:
    return {"derived_file_id": world.derived_file_id}


def _marker(world: World) -> dict[str, Any]:
    return {"marker_id": world.marker_id}


def _secret(world: World) -> dict[str, Any]:
    return _profile(world) | {"name": "s"}


def _paging(_world: World) -> dict[str, Any]:
    return {"limit": 5, "offset": 0}


def _entity(_world: World) -> dict[str, Any]:
    return {"entity_type": "shelf", "entity_id": 7}


Arguments = Callable[[World], dict[str, Any]]

# Every method with arguments, and arguments that it takes.
METHODS: dict[tuple[str, str], Arguments] = {
    ("profiles", "ensure"): _profile,
    ("profiles", "get"): _profile,
    ("profiles", "find"): _profile,
    ("profiles", "exists"): _profile,
    ("profiles", "list"): lambda world: {"limit": 5, "offset": 0},
    ("profiles", "delete"): _profile,
    ("files", "add"): lambda world: _profile(world) | {"name": "n", "path": "p"},
    ("files", "add_many"): lambda world: _profile(world) | {"files": [NewFile("n", "p")]},
    ("files", "get"): _file,
    ("files", "find"): _file,
    ("files", "list_for_profile"): _profile,
    ("files", "list"): _paging,
    ("files", "update_many"): lambda world: _files(world) | {"name": "new"},
    ("files", "delete_many"): _files,
    ("files", "page"): _profile,
    ("files", "cards"): _profile,
    ("files", "count"): _profile,
    ("files", "find_by_hash"): lambda world: _profile(world) | {"content_hash": "h"},
    ("files", "find_by_url"): lambda world: _profile(world) | {"source_url": "u"},
    ("files", "derived_from"): _file,
    ("files", "update"): lambda world: _file(world) | {"name": "new"},
    ("files", "delete"): _file,
    ("files", "count_for_profile"): _profile,
    ("transcripts", "add"): lambda world: _profile(world) | _file(world) | {"text": "t"},
    ("transcripts", "get"): lambda world: {"transcript_id": world.transcript_id},
    ("transcripts", "find"): lambda world: {"transcript_id": world.transcript_id},
    ("transcripts", "list_for_profile"): _profile,
    ("transcripts", "page"): _profile,
    ("transcripts", "list_for_file"): _file,
    ("transcripts", "update"): lambda world: {"transcript_id": world.transcript_id, "text": "new"},
    ("transcripts", "delete"): lambda world: {"transcript_id": world.transcript_id},
    ("clips", "add"): lambda world: (
        _profile(world)
        | _file(world)
        | {"start_time": 0.0, "end_time": 1.0, "llm_breakdown_response": {}}
    ),
    ("clips", "get"): lambda world: {"clip_id": world.clip_id},
    ("clips", "find"): lambda world: {"clip_id": world.clip_id},
    ("clips", "list_for_profile"): _profile,
    ("clips", "list_for_file"): _file,
    ("clips", "delete"): lambda world: {"clip_id": world.clip_id},
    ("templates", "get_for_profile"): _profile,
    ("templates", "upsert"): lambda world: (
        _profile(world) | {"sys_msg": "s", "prompt": "p", "model": "m"}
    ),
    ("templates", "delete"): _profile,
    ("jobs", "add"): lambda world: _profile(world) | {"type": "t", "params": {}},
    ("jobs", "add_batch"): lambda world: (
        _profile(world) | {"type": "t", "params": {}, "children": [{}, {}]}
    ),
    ("jobs", "get"): lambda world: {"job_id": world.queued_id},
    ("jobs", "find"): lambda world: {"job_id": world.queued_id},
    ("jobs", "list_for_profile"): _profile,
    ("jobs", "list"): _paging,
    ("jobs", "page"): _profile,
    ("jobs", "counts_by_status"): _profile,
    ("jobs", "list_needed"): lambda world: {"job_id": world.queued_id},
    ("jobs", "list_children"): lambda world: {"parent_id": world.queued_id},
    ("jobs", "find_referencing_file"): lambda world: _profile(world) | _file(world),
    ("jobs", "find_referencing_transcript"): lambda world: (
        _profile(world) | {"transcript_id": world.transcript_id}
    ),
    ("jobs", "update"): lambda world: {"job_id": world.running_id, "error": "new"},
    ("jobs", "claim"): lambda world: {"worker": "w"},
    ("jobs", "claim_many"): lambda world: {"worker": "w", "count": 2},
    ("jobs", "heartbeat"): lambda world: {"job_id": world.running_id, "worker": "w"},
    ("jobs", "succeed"): lambda world: {"job_id": world.running_id},
    ("jobs", "succeed_many"): lambda world: {"results": [(make_job(), {"n": 1})]},
    ("jobs", "fail"): lambda world: {"job_id": world.running_id, "error": "e"},
    ("jobs", "release"): lambda world: {"job_id": world.running_id, "worker": "w"},
    ("jobs", "held_by"): lambda world: {"worker": "w"},
    ("jobs", "pause"): lambda world: {"type": "t"},
    ("jobs", "resume"): lambda world: {"type": "t"},
    ("jobs", "limit"): lambda world: {
        "type": "t",
        "running": 2,
        "starts": 3,
        "per": timedelta(seconds=1),
    },
    ("jobs", "steps"): lambda world: {"job_id": world.running_id},
    ("jobs", "find_step"): lambda world: {"job_id": world.running_id, "name": "n"},
    ("jobs", "finish_step"): lambda world: {
        "job_id": world.running_id,
        "name": "n",
        "result": 1,
        "worker": "w",
        "attempt": 1,
    },
    ("jobs", "log"): lambda world: {"job_id": world.running_id, "text": "t"},
    ("jobs", "log_lines"): lambda world: {"job_id": world.running_id},
    ("jobs", "wait"): lambda world: {"job_id": world.finished_id},
    ("jobs", "snooze"): lambda world: {
        "job_id": world.running_id,
        "seconds": 5,
        "worker": "w",
    },
    ("jobs", "cancel"): lambda world: {"job_id": world.queued_id},
    ("jobs", "retry"): lambda world: {"job_id": world.finished_id},
    ("jobs", "progress"): lambda world: {"job_id": world.running_id, "progress": 0.5},
    ("jobs", "recover"): lambda world: {},
    ("jobs", "delete"): lambda world: {"job_id": world.queued_id},
    ("jobs", "purge"): lambda world: {"older_than": timedelta(0)},
    ("sessions", "ensure"): _session,
    ("sessions", "get"): _session,
    ("sessions", "find"): _session,
    ("sessions", "touch"): lambda world: _session(world) | {"every": 0.0},
    ("sessions", "list"): _paging,
    ("sessions", "purge_idle"): lambda world: {"older_than": timedelta(0)},
    ("sessions", "delete"): _session,
    ("downloads", "add"): lambda world: _session(world) | {"url": "u"},
    ("downloads", "add_many"): lambda world: _session(world) | {"urls": ["u"]},
    ("downloads", "get"): _download,
    ("downloads", "find"): _download,
    ("downloads", "list_for_session"): _session,
    ("downloads", "list"): _paging,
    ("downloads", "page"): _session,
    ("downloads", "list_children"): lambda world: {"parent_id": world.download_id},
    ("downloads", "claim"): lambda world: {"worker": "w", "lease": 60.0},
    ("downloads", "heartbeat"): lambda world: _download(world) | {"worker": "w"},
    ("downloads", "release"): lambda world: _download(world) | {"worker": "w"},
    ("downloads", "retry"): _download,
    ("downloads", "start"): _download,
    ("downloads", "progress"): lambda world: _download(world) | {"percent": 5.0},
    ("downloads", "complete"): _download,
    ("downloads", "fail"): lambda world: _download(world) | {"error_message": "e"},
    ("downloads", "cancel"): _download,
    ("downloads", "delete"): _download,
    ("downloads", "recover"): lambda world: {"message": "m"},
    ("downloads", "purge"): lambda world: {"older_than": timedelta(0)},
    ("downloads", "purge_idle"): lambda world: {"older_than": timedelta(0)},
    ("config", "get"): lambda world: {"key": "k"},
    ("config", "set"): lambda world: {"key": "k", "value": 2},
    ("config", "set_many"): lambda world: {"values": {"k": 2}},
    ("config", "delete"): lambda world: {"key": "k"},
    ("error_log", "add"): lambda world: {"url": "u", "error": "e"},
    ("error_log", "list"): _paging,
    ("error_log", "prune"): lambda world: {"older_than": timedelta(0)},
    ("error_log", "top_domains"): lambda world: {"limit": 5},
    ("unsupported_urls", "add"): lambda world: {"url": "u"},
    ("unsupported_urls", "list"): _paging,
    ("unsupported_urls", "prune"): lambda world: {"older_than": timedelta(0)},
    ("projects", "add"): lambda world: {"name": "n", "workspace_path": "w"},
    ("projects", "get"): _project,
    ("projects", "find"): _project,
    ("projects", "find_by_name"): lambda world: {"name": "n"},
    ("projects", "find_by_workspace"): lambda world: {"path": "w"},
    ("projects", "list"): _paging,
    ("projects", "list_with_stats"): _paging,
    ("projects", "get_with_videos"): _project,
    ("projects", "update"): lambda world: _project(world) | {"name": "new"},
    ("projects", "delete"): _project,
    ("videos", "add"): lambda world: (
        _project(world)
        | {"filename": "f", "path": "p", "duration": 1.0, "framerate_num": 25}
        | {"framerate_den": 1, "width": 1, "height": 1}
    ),
    ("videos", "add_many"): lambda world: (
        _project(world) | {"videos": [NewVideo("f", "p", 1.0, 25, 1, 1, 1)]}
    ),
    ("videos", "get"): _video,
    ("videos", "find"): _video,
    ("videos", "find_by_path"): lambda world: {"path": "p"},
    ("videos", "list"): _paging,
    ("videos", "page"): lambda world: {"limit": 5},
    ("videos", "list_for_project"): _project,
    ("videos", "search"): lambda world: {"query": "a"},
    ("videos", "update"): lambda world: _video(world) | {"filename": "new"},
    ("videos", "delete"): _video,
    ("project_clips", "add"): lambda world: (
        _project(world) | _video(world) | {"in_point": 0, "out_point": 5}
    ),
    ("project_clips", "get"): _cut,
    ("project_clips", "find"): _cut,
    ("project_clips", "list"): _paging,
    ("project_clips", "find_by_video"): _video,
    ("project_clips", "find_by_project"): _project,
    ("project_clips", "find_overlapping"): lambda world: (
        _video(world) | {"in_point": 0, "out_point": 5}
    ),
    ("project_clips", "validate_bounds"): lambda world: (
        _video(world) | {"in_point": 0, "out_point": 5}
    ),
    ("project_clips", "update"): lambda world: _cut(world) | {"in_point": 1},
    ("project_clips", "split"): lambda world: _cut(world) | {"frame": 5},
    ("project_clips", "delete"): _cut,
    ("timeline_tracks", "add"): lambda world: _project(world) | {"kind": "audio"},
    ("timeline_tracks", "get"): _track,
    ("timeline_tracks", "find"): _track,
    ("timeline_tracks", "list_for_project"): _project,
    ("timeline_tracks", "update"): lambda world: _track(world) | {"name": "new"},
    ("timeline_tracks", "reorder"): lambda world: _project(world) | {"track_ids": [world.track_id]},
    ("timeline_tracks", "delete"): _track,
    ("timeline_clips", "add"): lambda world: (
        _track(world) | {"position": 20, "duration": 5, "generator": "color"}
    ),
    ("timeline_clips", "insert"): lambda world: (
        _track(world) | {"position": 10, "duration": 5, "generator": "color"}
    ),
    ("timeline_clips", "shift"): lambda world: _track(world) | {"start": 10, "by": 5},
    ("timeline_clips", "get"): _timeline_clip,
    ("timeline_clips", "find"): _timeline_clip,
    ("timeline_clips", "page"): lambda world: _track(world) | {"limit": 5},
    ("timeline_clips", "between"): lambda world: _track(world) | {"start": 0, "stop": 9},
    ("timeline_clips", "find_by_video"): _video,
    ("timeline_clips", "count_for_track"): _track,
    ("timeline_clips", "update"): lambda world: _timeline_clip(world) | {"name": "new"},
    ("timeline_clips", "split"): lambda world: _timeline_clip(world) | {"at": 5},
    ("timeline_clips", "remove"): _timeline_clip,
    ("timeline_clips", "delete"): _timeline_clip,
    ("timeline_transitions", "add"): lambda world: {
        "from_clip_id": world.timeline_clip_id,
        "to_clip_id": world.timeline_clip_id + 1,
        "kind": "wipe",
        "duration": 5,
    },
    ("timeline_transitions", "get"): _transition,
    ("timeline_transitions", "find"): _transition,
    ("timeline_transitions", "list_for_track"): _track,
    ("timeline_transitions", "for_clips"): lambda world: {"clip_ids": [world.timeline_clip_id]},
    ("timeline_transitions", "update"): lambda world: _transition(world) | {"kind": "new"},
    ("timeline_transitions", "delete"): _transition,
    ("project_versions", "save"): lambda world: _project(world) | {"name": "new"},
    ("project_versions", "get"): _version,
    ("project_versions", "find"): _version,
    ("project_versions", "page"): lambda world: _project(world) | {"limit": 5},
    ("project_versions", "snapshot"): _version,
    ("project_versions", "restore"): lambda world: _version(world) | {"name": "before"},
    ("project_versions", "delete"): _version,
    ("project_versions", "prune"): lambda world: _project(world) | {"keep": 1},
    ("project_settings", "upsert"): lambda world: _project(world) | {"output_width": 1},
    ("project_settings", "get"): _project,
    ("project_settings", "find"): _project,
    ("project_settings", "delete"): _project,
    ("video_library", "add"): lambda world: (
        {"filename": "f", "path": "p", "duration": 1.0}
        | {"framerate_num": 25, "framerate_den": 1, "width": 1, "height": 1}
    ),
    ("video_library", "get"): _shelved,
    ("video_library", "find"): _shelved,
    ("video_library", "find_by_path"): lambda world: {"path": "p"},
    ("video_library", "find_for_video"): _video,
    ("video_library", "list"): _paging,
    ("video_library", "page"): lambda world: {"limit": 5},
    ("video_library", "uses"): _shelved,
    ("video_library", "add_to_project"): lambda world: _shelved(world) | _project(world),
    ("video_library", "adopt"): _video,
    ("video_library", "update"): lambda world: _shelved(world) | {"filename": "new"},
    ("video_library", "delete"): _shelved,
    ("audit", "get"): lambda world: {"entry_id": 1},
    ("audit", "find"): lambda world: {"entry_id": 1},
    ("audit", "log_create"): _entity,
    ("audit", "log_update"): lambda world: _entity(world) | {"changes": {}},
    ("audit", "log_delete"): _entity,
    ("audit", "get_history"): _entity,
    ("audit", "list"): _paging,
    ("audit", "page"): _entity,
    ("audit", "prune"): lambda world: {"older_than": timedelta(0)},
    ("generations", "create"): lambda world: {
        "prompt": "p",
        "model_name": "m",
        "duration_seconds": 1.0,
        "sample_rate": 1,
        "channels": 1,
        "file_path": "f",
    },
    ("generations", "get"): _generation,
    ("generations", "find"): _generation,
    ("generations", "list"): _paging,
    ("generations", "page"): lambda world: {"limit": 5},
    ("generations", "pending"): lambda world: {"limit": 5},
    ("generations", "create_many"): lambda world: {
        "generations": [NewGeneration("p", "m", 1.0, 1, 1, "f")]
    },
    ("generations", "list_for_model"): lambda world: _paging(world) | {"model_name": "m"},
    ("generations", "list_for_prompt"): lambda world: _paging(world) | {"prompt": "a cat"},
    ("generations", "claim"): lambda world: {"worker": "w", "lease": 60.0},
    ("generations", "heartbeat"): lambda world: _generation(world) | {"worker": "w"},
    ("generations", "release"): lambda world: _generation(world) | {"worker": "w"},
    ("generations", "retry"): _generation,
    ("generations", "mark_processing"): _generation,
    ("generations", "complete"): lambda world: _generation(world) | {"generation_time": 1.0},
    ("generations", "fail"): lambda world: _generation(world) | {"error_message": "e"},
    ("generations", "cancel"): _generation,
    ("generations", "update_status"): lambda world: _generation(world) | {"status": "failed"},
    ("generations", "set_metadata"): lambda world: _generation(world) | {"metadata": {}},
    ("generations", "recover"): lambda world: {"message": "m"},
    ("generations", "delete"): _generation,
    ("generations", "count"): lambda world: {"status": "pending"},
    ("transcripts", "search"): lambda world: _profile(world) | {"query": "a"},
    ("media_info", "upsert"): lambda world: _file(world) | {"title": "t"},
    ("media_info", "get"): _file,
    ("media_info", "find"): _file,
    ("media_info", "delete"): _file,
    ("file_processing", "get"): _file,
    ("file_processing", "find"): _file,
    ("file_processing", "enqueue"): lambda world: {"file_id": world.waiting_file_id},
    ("file_processing", "start"): lambda world: {"file_id": world.waiting_file_id},
    ("file_processing", "progress"): lambda world: _file(world) | {"progress": 0.5},
    ("file_processing", "complete"): _file,
    ("file_processing", "fail"): lambda world: _file(world) | {"message": "e"},
    ("file_processing", "request_cancel"): _file,
    ("file_processing", "cancel"): _file,
    ("file_processing", "retry"): lambda world: {"file_id": world.failed_file_id},
    ("file_processing", "stuck"): lambda world: {"older_than": timedelta(0)},
    ("file_processing", "recover_stuck"): lambda world: {"older_than": timedelta(0)},
    ("file_processing", "counts_by_status"): _profile,
    ("tags", "ensure"): lambda world: _profile(world) | {"name": "n"},
    ("tags", "get"): _tag,
    ("tags", "find"): _tag,
    ("tags", "find_by_name"): lambda world: _profile(world) | {"name": "n"},
    ("tags", "list_for_profile"): _profile,
    ("tags", "for_file"): _file,
    ("tags", "for_files"): _files,
    ("tags", "attach"): _file,
    ("tags", "detach"): lambda world: _file(world) | {"name": "t"},
    ("tags", "attach_many"): _files,
    ("tags", "detach_many"): _files,
    ("tags", "rename"): lambda world: _tag(world) | {"name": "n"},
    ("tags", "merge"): lambda world: {"source_id": world.tag_id, "target_id": world.other_tag_id},
    ("tags", "delete"): _tag,
    ("tags", "delete_unused"): _profile,
    ("settings", "get"): lambda world: _profile(world) | {"key": "k"},
    ("settings", "all"): lambda world: _profile(world) | {"prefix": "k"},
    ("settings", "reset"): _profile,
    ("settings", "set"): lambda world: _profile(world) | {"key": "k", "value": 2},
    ("settings", "set_many"): lambda world: _profile(world) | {"values": {"k": 2}},
    ("notifications", "push"): lambda world: _profile(world) | {"type": "t", "title": "t"},
    ("notifications", "get"): _notification,
    ("notifications", "find"): _notification,
    ("notifications", "list_for_profile"): _profile,
    ("notifications", "page"): _profile,
    ("notifications", "unread_count"): _profile,
    ("notifications", "mark_read"): _profile,
    ("notifications", "mark_all_read"): _profile,
    ("notifications", "dismiss"): lambda world: {"id": world.notification_id},
    ("notifications", "prune"): lambda world: _profile(world) | {"keep": 0},
    ("segments", "replace_all"): lambda world: (
        _transcript(world) | {"segments": [NewSegment(0.0, 1.0, "t")]}
    ),
    ("segments", "get"): _segment,
    ("segments", "find"): _segment,
    ("segments", "page"): _transcript,
    ("segments", "list_for_transcript"): _transcript,
    ("segments", "at"): lambda world: _transcript(world) | {"time": 0.5},
    ("segments", "count"): _transcript,
    ("segments", "add"): lambda world: (
        _transcript(world) | {"start_time": 2.0, "end_time": 3.0, "text": "t"}
    ),
    ("segments", "split"): lambda world: _segment(world) | {"time": 0.5, "position": 0},
    ("segments", "merge"): lambda world: {
        "first_id": world.segment_id,
        "second_id": world.other_segment_id,
    },
    ("segments", "move_boundary"): lambda world: {
        "first_id": world.segment_id,
        "second_id": world.other_segment_id,
        "time": 1.5,
    },
    ("segments", "delete"): _segment,
    ("segments", "update"): lambda world: _segment(world) | {"text": "new"},
    ("segments", "assign_speaker"): lambda world: {
        "segment_ids": [world.segment_id],
        "speaker_id": world.speaker_id,
    },
    ("speakers", "ensure"): lambda world: _file(world) | {"label": "l"},
    ("speakers", "get"): _speaker,
    ("speakers", "find"): _speaker,
    ("speakers", "list_for_file"): _file,
    ("speakers", "names_for_profile"): _profile,
    ("speakers", "relabel"): lambda world: _speaker(world) | {"display_name": "n"},
    ("speakers", "suggest"): lambda world: _speaker(world) | {"name": "n", "confidence": 0.5},
    ("speakers", "merge"): lambda world: {
        "source_id": world.speaker_id,
        "target_id": world.other_speaker_id,
    },
    ("speakers", "delete"): _speaker,
    ("llm_configs", "add"): lambda world: (
        _profile(world) | {"name": "n", "provider": "p", "model_name": "m", "api_key": "k"}
    ),
    ("llm_configs", "get"): _config,
    ("llm_configs", "find"): _config,
    ("llm_configs", "list_for_profile"): _profile,
    ("llm_configs", "active"): _profile,
    ("llm_configs", "activate"): _config,
    ("llm_configs", "update"): lambda world: _config(world) | {"name": "new"},
    ("llm_configs", "delete"): _config,
    ("llm_configs", "api_key"): _config,
    ("llm_configs", "record_test"): lambda world: _config(world) | {"status": "success"},
    ("llm_configs", "tests"): _config,
    ("summary_prompts", "add"): lambda world: _profile(world) | {"name": "n", "prompt_text": "t"},
    ("summary_prompts", "get"): _prompt,
    ("summary_prompts", "find"): _prompt,
    ("summary_prompts", "list_for_profile"): _profile,
    ("summary_prompts", "update"): lambda world: _prompt(world) | {"name": "new"},
    ("summary_prompts", "versions"): _prompt,
    ("summary_prompts", "set_active"): lambda world: _profile(world) | _prompt(world),
    ("summary_prompts", "active"): _profile,
    ("summary_prompts", "delete"): _prompt,
    ("summaries", "start"): _file,
    ("summaries", "complete"): lambda world: _summary(world) | {"content": {}},
    ("summaries", "update"): lambda world: _summary(world) | {"content": {}},
    ("summaries", "fail"): lambda world: _summary(world) | {"message": "e"},
    ("summaries", "get"): _summary,
    ("summaries", "find"): _summary,
    ("summaries", "latest"): _file,
    ("summaries", "list_for_file"): _file,
    ("files", "search"): lambda world: _profile(world) | {"query": "a"},
    ("summaries", "search"): lambda world: _profile(world) | {"query": "a"},
    ("summaries", "delete"): _summary,
    ("prompts", "track"): lambda world: {"text": "t"},
    ("prompts", "get"): lambda world: {"prompt_id": 1},
    ("prompts", "find"): lambda world: {"prompt_id": 1},
    ("prompts", "find_by_text"): lambda world: {"text": "t"},
    ("prompts", "list"): _paging,
    ("prompts", "most_used"): lambda world: {"limit": 5},
    ("prompts", "search"): lambda world: {"query": "a", "limit": 5},
    ("people", "add"): lambda world: _profile(world) | {"name": "n"},
    ("people", "ensure"): lambda world: _profile(world) | {"name": "n"},
    ("people", "get"): _person,
    ("people", "find"): _person,
    ("people", "find_by_name"): lambda world: _profile(world) | {"name": "n"},
    ("people", "list_for_profile"): _profile,
    ("people", "speakers"): _person,
    ("people", "suggestions"): _person,
    ("people", "segments"): _person,
    ("people", "update"): lambda world: _person(world) | {"name": "new"},
    ("people", "assign"): lambda world: _person(world) | {"speaker_ids": [world.speaker_id]},
    ("people", "release"): lambda world: {"speaker_ids": [world.speaker_id]},
    ("people", "split"): lambda world: (
        _person(world) | {"name": "n", "speaker_ids": [world.speaker_id]}
    ),
    ("people", "merge"): lambda world: {
        "source_id": world.person_id,
        "target_id": world.other_person_id,
    },
    ("people", "attach_file"): lambda world: _person(world) | _file(world) | {"kind": "picture"},
    ("people", "detach_file"): lambda world: _person(world) | _file(world),
    ("people", "files"): _person,
    ("people", "delete"): _person,
    ("collections", "add"): lambda world: _profile(world) | {"name": "n"},
    ("collections", "ensure"): lambda world: _profile(world) | {"name": "n"},
    ("collections", "get"): _collection,
    ("collections", "find"): _collection,
    ("collections", "find_by_name"): lambda world: _profile(world) | {"name": "n"},
    ("collections", "list_for_profile"): _profile,
    ("collections", "for_file"): _file,
    ("collections", "page"): _collection,
    ("collections", "update"): lambda world: _collection(world) | {"name": "new"},
    ("collections", "add_files"): lambda world: _collection(world) | _files(world),
    ("collections", "place"): lambda world: (
        _collection(world) | _files(world) | {"before": world.waiting_file_id}
    ),
    ("collections", "remove_files"): lambda world: _collection(world) | _files(world),
    ("collections", "delete"): _collection,
    ("comments", "add"): lambda world: _file(world) | _profile(world) | {"text": "t"},
    ("comments", "reply"): lambda world: _comment(world) | _profile(world) | {"text": "t"},
    ("comments", "get"): _comment,
    ("comments", "find"): _comment,
    ("comments", "list_for_file"): _file,
    ("comments", "replies"): _comment,
    ("comments", "page"): _profile,
    ("comments", "count_for_file"): _file,
    ("comments", "update"): lambda world: _comment(world) | {"text": "new"},
    ("comments", "delete"): _comment,
    ("derived_files", "ensure"): lambda world: _file(world) | {"kind": "k"},
    ("derived_files", "get"): _derived_file,
    ("derived_files", "find"): _derived_file,
    ("derived_files", "list_for_file"): _file,
    ("derived_files", "pending"): lambda world: {"limit": 5},
    ("derived_files", "start"): _derived_file,
    ("derived_files", "complete"): lambda world: (
        _derived_file(world) | {"path": "p", "size_bytes": 1}
    ),
    ("derived_files", "fail"): lambda world: _derived_file(world) | {"error_message": "e"},
    ("derived_files", "retry"): _derived_file,
    ("derived_files", "recover"): lambda world: {"older_than": timedelta(0)},
    ("derived_files", "use"): _derived_file,
    ("derived_files", "pin"): _derived_file,
    ("derived_files", "evictable"): lambda world: {"max_bytes": 0},
    ("derived_files", "evict"): lambda world: {"max_bytes": 0},
    ("derived_files", "delete"): _derived_file,
    ("retention", "files"): lambda world: _profile(world) | {"max_count": 9},
    ("retention", "generations"): lambda world: {"max_count": 9},
    ("retention", "notifications"): lambda world: _profile(world) | {"max_count": 9},
    ("retention", "remove"): lambda world: {
        "expendable": [
            Expendable(ExpendableKind.FILE, str(world.failed_file_id), None, None, START)
        ]
    },
    ("retention", "pin_file"): _file,
    ("retention", "pin_generation"): _generation,
    ("retention", "pin_notification"): _notification,
    ("retention", "pinned_files"): _profile,
    ("retention", "pinned_generations"): _paging,
    ("retention", "pinned_notifications"): _profile,
    ("redactions", "redact"): lambda world: _segment(world) | {"parts": [(0, 1)]},
    ("redactions", "get"): _segment,
    ("redactions", "find"): _segment,
    ("redactions", "list_for_transcript"): _transcript,
    ("redactions", "restore"): _segment,
    ("redactions", "delete"): _segment,
    ("markers", "add"): lambda world: _file(world) | {"label": "m", "start_time": 1.0},
    ("markers", "get"): _marker,
    ("markers", "find"): _marker,
    ("markers", "list_for_file"): _file,
    ("markers", "list_for_project"): _project,
    ("markers", "update"): lambda world: _marker(world) | {"label": "new"},
    ("markers", "delete"): _marker,
    ("schedules", "set"): lambda world: (
        _schedule(world) | {"cron": "@daily", "type": "t", "params": {}, "profile_id": "ann"}
    ),
    **{("schedules", method): _schedule for method in ("get", "find", "delete", "pause", "resume")},
    ("schedules", "list"): _profile,
    ("secrets_store", "set"): lambda world: _secret(world) | {"value": "v"},
    ("secrets_store", "get"): _secret,
    ("secrets_store", "find"): _secret,
    ("secrets_store", "value"): _secret,
    ("secrets_store", "list"): _profile,
    ("secrets_store", "delete"): _secret,
}
WITHOUT_ARGUMENTS = {
    ("file_processing", "retry_due"),
    ("segments", "rebuild_search"),
    ("summaries", "rebuild_search"),
    ("files", "rebuild_search"),
    ("llm_configs", "rotate_keys"),
    ("profiles", "count"),
    ("derived_files", "counts_by_status"),
    ("derived_files", "total_bytes"),
    ("jobs", "limits"),
    ("jobs", "rates"),
    ("jobs", "list_unfinished"),
    ("jobs", "paused"),
    ("jobs", "queues"),
    ("sessions", "count"),
    ("downloads", "queue_depth"),
    ("downloads", "counts_by_status"),
    ("config", "all"),
    ("config", "entries"),
    ("error_log", "count"),
    ("error_log", "clear"),
    ("unsupported_urls", "count"),
    ("unsupported_urls", "clear"),
    ("projects", "count"),
    ("videos", "count"),
    ("videos", "rebuild_search"),
    ("project_clips", "count"),
    ("video_library", "count"),
    ("audit", "count"),
    ("generations", "stats"),
    ("prompts", "count"),
    ("prompts", "rebuild_search"),
    ("schedules", "add_due"),
    ("schedules", "due_in"),
    ("secrets_store", "rotate_keys"),
}

# Parameters that take any value, or one of which there is no wrong one.
TAKES_ANYTHING = {
    ("config", "get", "default"),
    ("config", "get", "type"),
    ("config", "set", "value"),
    ("jobs", "finish_step", "result"),
    ("settings", "get", "default"),
    ("settings", "get", "type"),
    ("settings", "set", "value"),
}

# How a message may call a parameter besides its own name: a method's own key is its row's id, and
# a child of a batch is its params.
ALSO_CALLED = {
    "profile_id": "id",
    "file_id": "id",
    "transcript_id": "id",
    "clip_id": "id",
    "job_id": "id",
    "children": "child|params",
    "results": "result",
    "project_id": "id",
    "video_id": "id",
    "library_video_id": "id",
    "track_id": "id",
    "transition_id": "id",
    "download_id": "id",
    "generation_id": "id",
    "prompt_id": "id",
    "session_id": "id",
    "older_than": "before|timedelta",
    "percent": "progress_percent",
    "message": "error_message",
    "path": "workspace_path",
    "query": "expression",
    "prompt": "text",
    "generation_time": "generation_time_seconds",
    "urls": "url",
    "values": "key|value",
    "segments": "segment",
    "segment_ids": "ids",
    "tag_id": "id",
    "notification_id": "id",
    "segment_id": "id",
    "speaker_id": "id",
    "config_id": "id",
    "summary_id": "id",
    "source_id": "id",
    "target_id": "id",
    "first_id": "id",
    "second_id": "id",
    "person_id": "id",
    "collection_id": "id",
    "comment_id": "id",
    "derived_file_id": "id",
    "marker_id": "id",
    "name": "suggested_name",
    "status": "test_status",
}

NO_TEXTS = (5, 1.5, True, b"x", ["x"], {"x": 1}, Unknown(), UUID(int=1), "\ud800", "a\udfffb")
NO_IDS = (
    nested(3000),
    5,
    1.5,
    True,
    b"x" * 16,
    ["x"],
    Unknown(),
    "",
    "no-id",
    "\ud800",
    "0" * 33,
    "é" * 36,
)
NO_INTEGERS = ("5", 1.5, 1.0, True, b"5", [5], Unknown(), 2**63, -(2**63) - 1, 10**30, math.nan)
NO_FLOATS = (2**53 + 1, "1", True, b"1", [1.0], Unknown(), math.nan, math.inf, -math.inf, 10**400)
NO_OBJECTS = ("{}", [], [{}], 5, True, b"{}", Unknown(), *NO_JSON)
NO_DATETIMES = ("2026-01-31T23:59:59.999Z", 5, 1.5, True, date(2026, 1, 31), datetime(2026, 1, 31))
NO_DURATIONS = ("5", 5, 1.5, True, None, datetime(2026, 1, 31, tzinfo=UTC))


def plain_text(annotation: Any) -> Any:
    """str for a text of a special kind."""
    return str if typing.get_origin(annotation) is Annotated else annotation


def wrong_values(annotation: Any) -> tuple[Any, ...]:
    annotation = plain_text(annotation)
    members = {plain_text(member) for member in typing.get_args(annotation)} or {annotation}
    if typing.get_origin(annotation) in (Iterable, Sequence, dict):
        members = {annotation}
    wrong: tuple[Any, ...] = () if type(None) in members else (None,)
    if UUID in members:
        return (*wrong, *NO_IDS)
    members.discard(type(msgspec.UNSET))
    if typing.get_origin(annotation) is typing.Literal:
        return ("", "done", "\ud800", 5, None, ["success"], Unknown())
    if typing.get_origin(annotation) is Mapping:
        return (5, "ab", [5], {1: 2}, {"k": math.nan}, {"k": "\ud800"})
    if members - {type(None)} == {int, str}:  # an entity's id, kept as it is given
        return (*wrong, 1.5, True, b"x", ["x"], Unknown(), "\ud800", 2**63)
    if members & {DownloadStatus, GenerationStatus, FileStatus, OverlapRule}:
        return (5, True, "", "done", "QUEUED", "\ud800", ["queued"], Unknown())
    if reelbase.FileOrder in members:
        return (5, True, "", "random", "NEWEST", "\ud800", ["newest"], Unknown(), None)
    if JobStatus in members:
        return (5, True, "", "done", "QUEUED", "\ud800", ["queued"], Unknown(), None)[:-1]
    for kind, values in (
        (str, NO_TEXTS),
        (float, NO_FLOATS),
        (int, NO_INTEGERS),
        (datetime, NO_DATETIMES),
        (timedelta, NO_DURATIONS),
        (File, ("x", 5, {}, Unknown(), uuid4())),
        *(
            (record, ("x", 5, {}, Unknown(), uuid4()))
            for record in (
                Video,
                LibraryVideo,
                TimelineClip,
                ProjectVersion,
                CollectedFile,
                Comment,
                Speaker,
                SpokenSegment,
            )
        ),
        (
            Iterable[NewVideo],
            (5, "ab", [5], ["x"], [{}], [None], NewVideo("f", "p", 1.0, 25, 1, 1, 1)),
        ),
        (Segment, ("x", 5, {}, Unknown(), uuid4())),
        (Iterable[NewSegment], (5, "ab", [5], ["x"], [{}], [None], NewSegment(0.0, 1.0, "t"))),
        (Iterable[Expendable], (5, "ab", [5], ["x"], [{}], [None])),
        (
            Iterable[tuple[int, int]],
            (5, "ab", [5], ["ab"], [{}], [None], [(0,)], [(0, 1.5)], [(0, True)], [(1, 0)], []),
        ),
        (Iterable[NewGeneration], (5, "ab", [5], ["x"], [{}], [None])),
        (Iterable[UUID | str], (5, "ab", b"ab", ["x"], [5], [None], Unknown(), ["\ud800"])),
        (
            Iterable[tuple[Job, dict[str, Any] | None]],
            (5, "ab", [5], ["ab"], [{}], [None], [("x", None)], [(make_job(), [])], make_job()),
        ),
        (Iterable[int], (5, "ab", b"ab", ["x"], [1.5], [None], [True], [2**63])),
        (Iterable[NewFile], (5, "ab", [5], ["x"], [{}], [None], NewFile("n", "p"))),
        (Iterable[UUID | str], (5, "ab", b"ab", ["x"], [5], [None], [], [uuid4(), uuid4()])),
        (Iterable[str], (5, "ab", b"ab", [5], [b"t"], ["t", None], ["\ud800"])),
        (Sequence[dict[str, Any]], (5, "ab", [5], ["x"], [[]], [None], [{}, {1: 2}], {"a": 1}, [])),
    ):
        if kind in members:
            every: tuple[Any, ...] = values
            may_be_none = type(None) in members
            return tuple(value for value in every if value is not None or not may_be_none)
    if dict in {typing.get_origin(member) for member in members}:
        return NO_OBJECTS
    if list in {typing.get_origin(member) for member in members}:
        return ("[]", {}, 5, True, b"[]", Unknown(), [math.nan], ["\ud800"], [{1: 2}])
    raise AssertionError(f"no wrong values for {annotation}")


def parameters_of(attribute: str, method: str) -> dict[str, Any]:
    """The parameters of a method that have wrong values, and their types."""
    hints = typing.get_type_hints(getattr(_class_of(attribute), method))
    hints.pop("return")
    if method in ("update", "update_many") and "changes" in hints:
        hints.pop("changes")
        hints |= _changed_by_update(attribute)
    if "filters" in hints:
        hints.pop("filters")
        hints |= typing.get_type_hints(reelbase.FileFilters)
    if method == "upsert" and "fields" in hints:
        hints.pop("fields")
        record = reelbase.MediaInfo if attribute == "media_info" else reelbase.ProjectSettings
        fields = msgspec.structs.fields(record)
        hints |= {field.name: field.type for field in fields if field.name != "updated_at"}
    return {
        name: hint
        for name, hint in hints.items()
        if hint is not bool and (attribute, method, name) not in TAKES_ANYTHING
    }


def parameters() -> list[tuple[str, str, str, Any]]:
    """Those of all methods."""
    return [
        (*method, name, hint) for method in METHODS for name, hint in parameters_of(*method).items()
    ]


def _changed_by_update(attribute: str) -> dict[str, Any]:
    """The fields that the repository's update() can change, and their types."""
    if attribute == "segments":
        return {
            field.name: field.type
            for field in msgspec.structs.fields(Segment)
            if field.name not in ("id", "transcript_id")
        }
    if attribute == "timeline_clips":
        return typing.get_type_hints(reelbase.TimelineClipChanges)
    if attribute == "timeline_transitions":
        return typing.get_type_hints(reelbase.TimelineTransitionChanges)
    (case,) = [case for case in CASES if case.attribute == attribute]
    fields = msgspec.structs.fields(case.record)
    return {field.name: field.type for field in fields if field.name in case.changes}


def _class_of(attribute: str) -> type[reelbase.Repository]:
    for base in Database.__mro__:
        if attribute in vars(base):
            found: type[reelbase.Repository] = vars(base)[attribute]._repository_class
            return found
    raise AssertionError(attribute)


def vars_of(kind: type) -> dict[str, Any]:
    return {name: getattr(kind, name) for name in dir(kind)}


def test_every_method_is_tried_with_wrong_arguments() -> None:
    for attribute in {attribute for attribute, _ in METHODS}:
        methods = {
            name
            for name, value in vars_of(_class_of(attribute)).items()
            if not name.startswith("_") and inspect.isfunction(value)
        }
        tried = {method for where, method in (*METHODS, *WITHOUT_ARGUMENTS) if where == attribute}
        assert methods == tried


# Numbers that are cut to their range, or rounded, so that a hook which reports progress never fails.
CUT = {
    ("downloads", "progress", "percent"),
    ("downloads", "progress", "filesize"),
    ("file_processing", "progress", "progress"),
    *(("jobs", method, "progress") for method in ("heartbeat", "progress", "update")),
    *(("jobs", method, "completed") for method in ("heartbeat", "progress", "update")),
}


def is_cut(attribute: str, method: str, name: str, value: object) -> bool:
    if (attribute, method, name) not in CUT or isinstance(value, bool):
        return False
    return isinstance(value, int | float) and abs(value) < float("inf")


# Texts of which half characters are replaced, so that telling of a failure never fails.
MESSAGES = {
    *(("jobs", name) for name in ("error", "error_details", "message", "text")),
    *(("downloads", name) for name in ("error_message", "message")),
    *(("generations", name) for name in ("error_message", "message")),
    ("derived_files", "error_message"),
    ("file_processing", "message"),
    ("summaries", "message"),
    *((log, name) for log in ("error_log", "unsupported_urls") for name in ("url", "error")),
    *(("notifications", name) for name in ("title", "message")),
}


def is_made_printable(attribute: str, name: str, value: object) -> bool:
    return (attribute, name) in MESSAGES and printable(value) != value


async def problem_of(call: Callable[[], Awaitable[object]], name: str, value: object) -> str | None:
    """None when the call fails with an error of ours that names the parameter."""
    problem = None
    try:
        result = await call()
    except (TypeError, ValueError, ConstraintError, msgspec.ValidationError) as error:
        names = f"{name}|{ALSO_CALLED.get(name, name)}"
        # SQLite does not say which of several foreign keys it was.
        if isinstance(error, UnicodeError):
            problem = f"{error!r} got through"
        elif not re.search(rf"\b(?:{names})\b|_{name}\b|FOREIGN KEY", str(error)):
            problem = f"the error does not say which parameter: {error!r}"
    except RecordNotFoundError:
        if value is not None:  # nobody has this id
            problem = "was looked for"
    except Exception as error:
        problem = f"{error!r} got through"
    else:
        # None is nobody's id: looking for it finds nothing.
        if value is not None or result not in (None, False, 0, []):
            problem = f"was taken: {result!r}"
    return None if problem is None else f"{name} = {value!a}: {problem}"


@pytest.mark.parametrize(("attribute", "method"), METHODS)
async def test_a_wrong_argument_is_refused_by_name_and_leaves_nothing(
    attribute: str, method: str, inhabited: tuple[Database, World, Unchanged]
) -> None:
    database, world, is_unchanged = inhabited
    function = getattr(getattr(database, attribute), method)
    arguments = METHODS[attribute, method](world)
    problems = []
    for name, hint in parameters_of(attribute, method).items():
        for value in wrong_values(hint):
            if is_cut(attribute, method, name, value) or is_made_printable(attribute, name, value):
                continue
            call = partial(function, **(arguments | {name: value}))
            problems.append(await problem_of(call, name, value))
        assert is_unchanged, name
    assert not any(problems), "\n".join(filter(None, problems))


@pytest.mark.parametrize("field", msgspec.structs.fields(NewFile), ids=lambda field: field.name)
async def test_a_wrong_field_of_a_new_file_is_refused_by_name_and_leaves_nothing(
    field: msgspec.structs.FieldInfo, database: Database, world: World
) -> None:
    good: dict[str, Any] = {"name": "n", "path": "p"}
    before = contents(database.path)
    problems = []
    for value in wrong_values(field.type):
        files = [NewFile(**good), NewFile(**(good | {field.name: value})), NewFile(**good)]
        call = partial(database.files.add_many, "ann", files)
        if value is not None or field.default is msgspec.NODEFAULT:
            problems.append(await problem_of(call, field.name, value))
    assert not any(problems), "\n".join(filter(None, problems))
    assert contents(database.path) == before


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda jobs, world, seconds: jobs.claim("w", lease=seconds), "lease"),
        (
            lambda jobs, world, seconds: jobs.heartbeat(world.running_id, "w", lease=seconds),
            "lease",
        ),
        (
            lambda jobs, world, seconds: jobs.fail(world.running_id, "e", retry_in=seconds),
            "retry_in",
        ),
    ],
    ids=["claim", "heartbeat", "fail"],
)
@pytest.mark.parametrize("seconds", [-0.001, -1e300, 1e12, 1e300, 10**18])
async def test_a_duration_that_leads_nowhere_is_a_value_error(
    call: Any, name: str, seconds: float, database: Database, world: World
) -> None:
    before = contents(database.path)
    with pytest.raises(ValueError, match=name):
        await call(database.jobs, world, seconds)
    assert contents(database.path) == before


@pytest.mark.parametrize("older_than", [timedelta.max, timedelta(days=800_000)])
async def test_an_age_before_all_time_does_not_overflow(
    older_than: timedelta, database: Database, world: World
) -> None:
    before = contents(database.path)
    refusal = "older_than"
    try:
        assert await database.jobs.purge(older_than) == 0
    except ValueError as error:
        refusal = str(error)
    assert "older_than" in refusal
    assert contents(database.path) == before


# One's own SQL

NO_PARAMETERS: tuple[tuple[Any, str], ...] = (
    (5, "parameters"),
    ("a", "parameters"),
    (b"a", "parameters"),
    ({"a"}, "parameters"),
    ([Unknown()], "parameter 1"),
    ([math.nan], "parameter 1"),
    ([2**63], "parameter 1"),
    (["\ud800"], "1"),
    ([datetime(2026, 1, 1)], "parameter 1"),
    ([{1: 2}], "parameter 1"),
    ({"a": math.inf}, "parameter a"),
    ({"a": "\ud800"}, "a"),
    ({"a": {1, 2}}, "parameter a"),
)


@pytest.mark.parametrize(("params", "name"), NO_PARAMETERS, ids=ascii)
@pytest.mark.parametrize(
    "verb", ["fetch_all", "fetch_one", "fetch_optional", "execute", "execute_many"]
)
async def test_wrong_parameters_of_ones_own_sql_are_refused(
    verb: str, params: Any, name: str, database: Database, owner: Owner
) -> None:
    place = ":a" if isinstance(params, dict) else "?"
    before = contents(database.path)

    update = f"UPDATE files SET name = {place}"
    good = {"a": "x"} if isinstance(params, dict) else ["x"]
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "execute": lambda: database.execute(update, params),
        "execute_many": lambda: database.execute_many(update, [good, params]),
    }
    fetch = getattr(database, verb)
    calls.setdefault(verb, lambda: fetch(str, f"SELECT {place}", params))
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b") as caught:
        await calls[verb]()
    assert not isinstance(caught.value, UnicodeError)
    assert contents(database.path) == before


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT ?", []),
        ("SELECT ?", ["a", "b"]),
        ("SELECT :a", {}),
        ("SELECT :a", ["x", "y"]),
        ("SELECT", []),
        ("", []),
        ("SELEC 1", []),
        ("SELECT 1; SELECT 2", []),
        ("SELECT 1\0", []),
        ("SELECT nothing FROM files", []),
        ("SELECT * FROM nothing", []),
        ("INSERT INTO files (colour) VALUES (1)", []),
    ],
)
@pytest.mark.parametrize("verb", ["fetch_all", "execute"])
async def test_wrong_sql_is_an_error_of_ours(
    verb: str, sql: str, params: Any, database: Database
) -> None:
    fetch = partial(database.fetch_all, dict)
    with pytest.raises((DatabaseError, ValueError)):
        await (database.execute if verb == "execute" else fetch)(sql, params)


@pytest.mark.parametrize("sql", [5, None, b"SELECT 1", ["SELECT 1"]])
async def test_sql_that_is_no_text_is_a_type_error(sql: Any, database: Database) -> None:
    for call in (database.execute, lambda sql: database.fetch_all(dict, sql)):
        with pytest.raises(TypeError, match="sql"):
            await call(sql)


@for_all(
    value=texts
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.binary()
    | st.uuids()
    | st.booleans()
)
async def test_a_value_of_ones_own_comes_back(value: Any, database: Database) -> None:
    kind: Any = type(value)
    assert await database.fetch_one(kind, "SELECT ?", [value]) == value
    assert await database.fetch_one(kind, "SELECT :value", {"value": value}) == value
    assert await database.fetch_all(pair_of(kind), "SELECT ?, 1", (value,)) == [(value, 1)]


@for_all(value=json_objects | st.lists(json_values))
async def test_json_of_ones_own_comes_back(value: Any, database: Database) -> None:
    assert msgspec.json.decode(await database.fetch_one(str, "SELECT ?", [value])) == value
    kind = pair_of(type(value))
    assert await database.fetch_all(kind, "SELECT ?, 1", [value]) == [(value, 1)]


def pair_of(kind: Any) -> Any:
    return tuple[kind, int]


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.columns_beside.isdisjoint(case.record.__struct_fields__)],
    ids=lambda case: case.attribute,
)
async def test_a_record_is_read_by_ones_own_sql_too(
    case: Case, database: Database, owner: Owner
) -> None:
    added = await case.add(database, owner)
    own = [name for name in case.record.__struct_fields__ if name != "file"]
    sql = (
        f"SELECT {', '.join(own)}, NULL AS file FROM {case.table} ORDER BY created_at DESC, id DESC"
    )
    records = await database.fetch_all(case.record, sql)
    assert added in records
    reordered = f"SELECT NULL AS file, {', '.join(reversed(own))} FROM {case.table}"
    assert added in await database.fetch_all(case.record, reordered)
    assert [record async for record in database.stream(case.record, sql)] == records
