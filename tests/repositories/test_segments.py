"""Promises about segments and speakers: nothing is lost, pages cost the same, everybody keeps their file."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from samples import contents

from reelbase import (
    ConstraintError,
    Database,
    File,
    NewSegment,
    RecordNotFoundError,
    Segment,
    SpeakerName,
    Transcript,
)


@pytest.fixture
async def file(database: Database) -> File:
    await database.profiles.ensure("ann")
    return await database.files.add("ann", "talk.mp4", "talk.mp4")


@pytest.fixture
async def transcript(database: Database, file: File) -> Transcript:
    return await database.transcripts.add("ann", file.id, "")


def spoken(count: int, text: str = "old") -> list[NewSegment]:
    return [NewSegment(index / 2, index / 2 + 0.5, f"{text} {index}") for index in range(count)]


async def texts(database: Database, transcript: Transcript) -> list[str]:
    return [segment.text for segment in await database.segments.list_for_transcript(transcript.id)]


async def test_all_fields_come_back(database: Database, transcript: Transcript, file: File) -> None:
    speaker = await database.speakers.ensure(file.id, "S")
    words: list[Any] = [{"word": "こんにちは", "start": 0.1}, None, []]
    new = NewSegment(0.1, 0.30000000000000004, "a\0\nb 🎬", speaker.id, 0.1 + 0.2, words)
    assert await database.segments.replace_all(transcript.id, [new]) == 1
    (segment,) = await database.segments.page(transcript.id)
    assert msgspec.structs.asdict(segment) == msgspec.structs.asdict(new) | {
        "id": segment.id,
        "transcript_id": transcript.id,
    }
    assert await database.segments.get(segment.id) == segment


async def test_replacing_takes_the_place_of_all_and_of_nobody_elses(
    database: Database, transcript: Transcript, file: File
) -> None:
    other = await database.transcripts.add("ann", file.id, "")
    await database.segments.replace_all(other.id, spoken(2, "other"))
    assert await database.segments.replace_all(transcript.id, iter(spoken(5))) == 5
    old_ids = {segment.id for segment in await database.segments.page(transcript.id)}
    assert await database.segments.replace_all(transcript.id, spoken(2, "new")) == 2
    assert await texts(database, transcript) == ["new 0", "new 1"]
    assert not old_ids & {segment.id for segment in await database.segments.page(transcript.id)}
    assert await database.segments.replace_all(transcript.id, []) == 0
    assert await database.segments.count(transcript.id) == 0
    assert await database.segments.count(other.id) == 2


BAD = [
    NewSegment(-1.0, 0.0, "negative"),
    NewSegment(2.0, 1.0, "backwards"),
    NewSegment(0.0, 1.0, "nobody", speaker_id=999),
    NewSegment(0.0, float("nan"), "nan"),
    NewSegment(0.0, 1.0, "\ud800"),
    NewSegment(0.0, 1.0, "words", words=[float("inf")]),
    "no segment",
]


@pytest.mark.parametrize("bad", BAD, ids=repr)
async def test_the_old_ones_stay_when_a_new_one_is_bad(
    bad: NewSegment, database: Database, transcript: Transcript
) -> None:
    await database.segments.replace_all(transcript.id, spoken(5))
    before = contents(database.path)
    with pytest.raises((ConstraintError, ValueError, TypeError)):
        await database.segments.replace_all(transcript.id, [*spoken(50, "new"), bad])
    assert contents(database.path) == before
    assert len(await database.transcripts.search("ann", "old")) == 5


async def test_a_reader_sees_the_old_ones_or_the_new_ones(
    database: Database, transcript: Transcript
) -> None:
    await database.segments.replace_all(transcript.id, spoken(100, "0"))
    seen: set[tuple[str, int]] = set()

    async def look() -> None:
        while ("9", 100) not in seen:
            found = await texts(database, transcript)
            assert len({text.split()[0] for text in found}) == 1
            seen.add((found[0].split()[0], len(found)))
            await asyncio.sleep(0)

    async def write() -> None:
        for number in range(1, 10):
            await database.segments.replace_all(transcript.id, spoken(100, str(number)))

    await asyncio.gather(look(), write())
    assert {count for _, count in seen} == {100}


@pytest.mark.long
async def test_cancelled_in_the_middle_it_is_all_or_nothing(
    database: Database, transcript: Transcript
) -> None:
    await database.segments.replace_all(transcript.id, spoken(300))
    for delay in (0, 0, 0.001, 0.003, 0.01):
        task = asyncio.create_task(database.segments.replace_all(transcript.id, spoken(200, "new")))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        found = await texts(database, transcript)
        assert (len(found), found[0]) in ((300, "old 0"), (200, "new 0"))
        await database.segments.replace_all(transcript.id, spoken(300))


async def test_an_unknown_transcript_has_no_segments(database: Database) -> None:
    before = contents(database.path)
    for segments in ([], spoken(1)):
        with pytest.raises(RecordNotFoundError, match="transcript '"):
            await database.segments.replace_all(uuid4(), segments)
    assert contents(database.path) == before
    assert await database.segments.page(uuid4()) == []
    assert await database.segments.at(uuid4(), 0) == []


async def test_pages_visit_everything_once_in_order(
    database: Database, transcript: Transcript
) -> None:
    segments = [NewSegment(index % 5, 9, str(index)) for index in range(23)]  # ties
    await database.segments.replace_all(transcript.id, segments)
    found: list[Segment] = []
    while page := await database.segments.page(
        transcript.id, after=found[-1] if found else None, limit=4
    ):
        found += page
    assert found == await database.segments.list_for_transcript(transcript.id)
    assert all((a.start_time, a.id) < (b.start_time, b.id) for a, b in pairwise(found))
    assert len({segment.text for segment in found}) == 23
    assert await database.segments.page(transcript.id, limit=0) == []


async def test_what_is_said_at_a_second(database: Database, transcript: Transcript) -> None:
    await database.segments.replace_all(
        transcript.id,
        [NewSegment(0, 10, "long"), NewSegment(2, 3, "short"), NewSegment(3, 3, "instant")],
    )

    async def at(time: float) -> list[str]:
        return [segment.text for segment in await database.segments.at(transcript.id, time)]

    assert await at(0) == ["long"]
    assert await at(2) == ["long", "short"]
    assert await at(2.999) == ["long", "short"]
    assert await at(3) == ["long"]  # start <= time < end
    assert await at(10) == []
    assert await at(-1) == []


async def test_changing_a_segment(database: Database, transcript: Transcript, file: File) -> None:
    speaker = await database.speakers.ensure(file.id, "S")
    await database.segments.replace_all(transcript.id, spoken(2))
    first, second = await database.segments.page(transcript.id)
    changed = await database.segments.update(
        first.id, text="neu", end_time=9.0, speaker_id=speaker.id, words=[1], confidence=None
    )
    assert changed == msgspec.structs.replace(
        first, text="neu", end_time=9.0, speaker_id=speaker.id, words=[1], confidence=None
    )
    assert [hit.segment for hit in await database.transcripts.search("ann", "neu")] == [changed]
    assert [hit.segment for hit in await database.transcripts.search("ann", "old")] == [second]
    with pytest.raises(TypeError, match="transcript_id"):
        await database.segments.update(first.id, transcript_id=transcript.id)  # type: ignore[call-arg]
    with pytest.raises(RecordNotFoundError, match="segment '999'"):
        await database.segments.update(999, text="x")


async def test_assigning_a_speaker(database: Database, transcript: Transcript, file: File) -> None:
    speaker = await database.speakers.ensure(file.id, "S")
    await database.segments.replace_all(transcript.id, spoken(4))
    ids = [segment.id for segment in await database.segments.page(transcript.id)]
    assert await database.segments.assign_speaker([*ids[:3], ids[0], 999], speaker.id) == 3
    assert await database.segments.assign_speaker(ids[:1], None) == 1
    assert await database.segments.assign_speaker([], speaker.id) == 0
    found = [segment.speaker_id for segment in await database.segments.page(transcript.id)]
    assert found == [None, speaker.id, speaker.id, None]


async def test_an_error_names_the_method_and_the_segment_that_is_refused(
    database: Database, transcript: Transcript
) -> None:
    wrong = NewSegment(5.0, 1.0, "ends before it starts")
    with pytest.raises(ConstraintError, match=r"^SegmentRepository\.replace_all: ") as caught:
        await database.segments.replace_all(transcript.id, [*spoken(2), wrong])
    assert (caught.value.kind, caught.value.details["index"]) == ("check", 2)
    with pytest.raises(ConstraintError, match=r"^SegmentRepository\.add: "):
        await database.segments.add(transcript.id, 5.0, 1.0, "ends before it starts")
    assert await database.segments.page(transcript.id) == []


async def test_a_speaker_of_another_file_says_nothing_here(
    database: Database, transcript: Transcript
) -> None:
    other = await database.files.add("ann", "b", "b")
    stranger = await database.speakers.ensure(other.id, "S")
    await database.segments.replace_all(transcript.id, spoken(1))
    (segment,) = await database.segments.page(transcript.id)
    before = contents(database.path)
    for call in (
        lambda: database.segments.replace_all(
            transcript.id, [NewSegment(0, 1, "x", speaker_id=stranger.id)]
        ),
        lambda: database.segments.update(segment.id, speaker_id=stranger.id),
        lambda: database.segments.assign_speaker([segment.id], stranger.id),
    ):
        with pytest.raises(ConstraintError) as caught:
            await call()
        assert caught.value.kind == "check"
        assert "same file" in caught.value.constraint
    assert contents(database.path) == before


# Speakers


async def test_speakers_are_made_once_and_listed_by_their_number(
    database: Database, file: File
) -> None:
    labels = ["SPEAKER_10", "SPEAKER_2", "Ann", "SPEAKER_1", "SPEAKER_02", "7", ""]
    made = {label: await database.speakers.ensure(file.id, label) for label in labels}
    assert await database.speakers.ensure(file.id, "Ann") == made["Ann"]
    listed = [speaker.label for speaker in await database.speakers.list_for_file(file.id)]
    assert listed == ["", "7", "Ann", "SPEAKER_1", "SPEAKER_02", "SPEAKER_2", "SPEAKER_10"]
    with pytest.raises(RecordNotFoundError, match="file '"):
        await database.speakers.ensure(uuid4(), "S")


async def test_a_guess_becomes_a_name_when_somebody_vouches_for_it(
    database: Database, file: File
) -> None:
    speaker = await database.speakers.ensure(file.id, "S")
    guessed = await database.speakers.suggest(speaker.id, "Ann", 0.8)
    assert (guessed.suggested_name, guessed.confidence, guessed.is_verified) == ("Ann", 0.8, False)
    named = await database.speakers.relabel(speaker.id, "Anna")
    assert named == msgspec.structs.replace(speaker, display_name="Anna", is_verified=True)
    with pytest.raises(ConstraintError) as caught:
        await database.speakers.suggest(speaker.id, "Ann", 1.5)
    assert caught.value.constraint == "speakers_confidence"


async def test_names_and_in_how_many_files_they_speak(database: Database, file: File) -> None:
    other = await database.files.add("ann", "b", "b")
    for of, label, name in (
        (file, "a", "Ben"),
        (file, "b", "Ben"),
        (other, "a", "Ben"),
        (other, "b", "Ann"),
        (other, "c", None),
    ):
        speaker = await database.speakers.ensure(of.id, label)
        if name:
            await database.speakers.relabel(speaker.id, name)
    assert await database.speakers.names_for_profile("ann") == [
        SpeakerName("Ann", 1),
        SpeakerName("Ben", 2),
    ]
    assert await database.speakers.names_for_profile("bob") == []


async def test_merging_and_deleting_speakers(
    database: Database, transcript: Transcript, file: File
) -> None:
    ids = [(await database.speakers.ensure(file.id, label)).id for label in "abc"]
    await database.segments.replace_all(
        transcript.id, [NewSegment(at, at + 1, "x", ids[at % 3]) for at in range(6)]
    )
    assert (await database.speakers.merge(ids[0], ids[1])).id == ids[1]
    assert await database.speakers.find(ids[0]) is None
    await database.speakers.delete(ids[2])
    found = [segment.speaker_id for segment in await database.segments.page(transcript.id)]
    assert found == [ids[1], ids[1], None] * 2


async def test_speakers_that_cannot_be_merged(database: Database, file: File) -> None:
    other = await database.files.add("ann", "b", "b")
    mine, his = [await database.speakers.ensure(of.id, "S") for of in (file, other)]
    before = contents(database.path)
    with pytest.raises(ValueError, match="itself"):
        await database.speakers.merge(mine.id, mine.id)
    with pytest.raises(ValueError, match="different files"):
        await database.speakers.merge(mine.id, his.id)
    with pytest.raises(RecordNotFoundError, match="speaker '999'"):
        await database.speakers.merge(999, mine.id)
    assert contents(database.path) == before


async def test_everything_goes_with_the_file(
    database: Database, transcript: Transcript, file: File
) -> None:
    speaker = await database.speakers.ensure(file.id, "S")
    await database.segments.replace_all(transcript.id, [NewSegment(0, 1, "word", speaker.id)])
    await database.summaries.complete((await database.summaries.start(file.id)).id, {"a": "word"})
    await database.media_info.upsert(file.id, title="t")
    await database.file_processing.enqueue(file.id)
    await database.tags.attach(file.id, "x")
    await database.files.delete(file.id)
    for table in (
        "transcripts",
        "transcript_segments",
        "transcript_segments_fts",
        "speakers",
        "summaries",
        "summaries_fts",
        "media_info",
        "file_processing",
        "file_tags",
    ):
        assert await database.fetch_one(int, f"SELECT count(*) FROM {table}") == 0, table


_MEMORY = """
import asyncio, sys
from pathlib import Path
import reelbase
from reelbase import NewSegment, Segment

def peak_mb():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024

def segments():
    for index in range(6500):
        words = [{"word": f"word{n}", "start": index + n / 10, "end": index + n / 9} for n in range(12)]
        yield NewSegment(index, index + 1, " ".join(w["word"] for w in words), None, 0.5, words)

async def main():
    async with reelbase.connect(sys.argv[1]) as database:
        await database.profiles.ensure("ann")
        file = await database.files.add("ann", "n", "p")
        transcripts = [await database.transcripts.add("ann", file.id, "") for _ in range(40)]
        start = peak_mb()
        for transcript in transcripts:
            await database.segments.replace_all(transcript.id, segments())
        replaced = peak_mb()
        count = 0
        sql = "SELECT id, transcript_id, speaker_id, start_time, end_time, text, confidence, words "
        async for _ in database.stream(Segment, sql + "FROM transcript_segments"):
            count += 1
        print(replaced - start, peak_mb() - replaced, count)

asyncio.run(main())
"""


@pytest.mark.slow
def test_replacing_and_streaming_take_bounded_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, str(tmp_path / "media.db")],
        capture_output=True,
        text=True,
        check=True,
    )
    replacing_mb, streaming_mb, count = map(float, done.stdout.split())
    print(f"replacing: {replacing_mb:.1f} MB, streaming: {streaming_mb:.1f} MB")
    assert count == 40 * 6500
    assert replacing_mb < 100  # 78,000 words as dicts are 25 of them, and the page cache stays
    assert streaming_mb < 50
