"""Promises about people: one name for a voice in many files, and all that a person says."""

from __future__ import annotations

from uuid import UUID

import pytest
from samples import contents

from reelbase import (
    ConstraintError,
    Database,
    InvalidArgumentError,
    NewSegment,
    Person,
    RecordNotFoundError,
    Speaker,
)


async def file_of(database: Database, profile_id: str, name: str) -> UUID:
    await database.profiles.ensure(profile_id)
    return (await database.files.add(profile_id, name, name)).id


@pytest.fixture
async def voices(database: Database) -> list[Speaker]:
    """Two speakers in each of three files of ann's."""
    files = [await file_of(database, "ann", f"{number}.mp4") for number in range(3)]
    return [
        await database.speakers.ensure(file_id, label)
        for file_id in files
        for label in ("SPEAKER_00", "SPEAKER_01")
    ]


@pytest.fixture
async def person(database: Database, voices: list[Speaker]) -> Person:
    return await database.people.add("ann", "Grace")


async def names(database: Database, voices: list[Speaker]) -> list[str | None]:
    return [(await database.speakers.get(voice.id)).display_name for voice in voices]


async def test_speakers_of_many_files_are_one_person(
    database: Database, person: Person, voices: list[Speaker]
) -> None:
    await database.speakers.suggest(voices[0].id, "somebody else", 0.4)
    assigned = await database.people.assign(person.id, [voices[0].id, voices[1].id, voices[4].id])
    assert (assigned.speaker_count, assigned.file_count) == (3, 2)
    first = await database.speakers.get(voices[0].id)
    assert (first.person_id, first.display_name, first.is_verified) == (person.id, "Grace", True)
    assert (first.suggested_name, first.confidence) == (None, None)
    pages = [await database.people.speakers(person.id, limit=2)]
    pages.append(await database.people.speakers(person.id, after=pages[0].next, limit=2))
    found = [speaker.id for page in pages for speaker in page]
    assert found == [voices[4].id, voices[1].id, voices[0].id]


async def test_a_new_name_is_that_of_all_speakers_and_suggestions(
    database: Database, person: Person, voices: list[Speaker]
) -> None:
    await database.people.assign(person.id, [voices[0].id, voices[2].id])
    await database.speakers.suggest(voices[4].id, "Grace", 0.9)
    await database.people.update(person.id, name="Grace H.")
    assert await names(database, voices) == ["Grace H.", None, "Grace H.", None, None, None]
    assert [s.id for s in await database.people.suggestions(person.id)] == [voices[4].id]
    # The same by another program.
    await database.execute("UPDATE known_people SET name = 'G.' WHERE id = ?", [person.id])
    assert await names(database, voices) == ["G.", None, "G.", None, None, None]


async def test_a_speaker_that_is_named_like_a_person_is_that_person(
    database: Database, person: Person, voices: list[Speaker]
) -> None:
    tied = await database.speakers.relabel(voices[0].id, "Grace")
    assert tied.person_id == person.id
    untied = await database.speakers.relabel(voices[0].id, "Ada")
    assert (untied.person_id, untied.display_name) == (None, "Ada")
    his = await database.speakers.ensure(await file_of(database, "bob", "his.mp4"), "SPEAKER_00")
    assert (await database.speakers.relabel(his.id, "Grace")).person_id is None


async def test_suggestions_come_by_confidence_and_are_confirmed_by_assigning(
    database: Database, person: Person, voices: list[Speaker]
) -> None:
    for voice, confidence in zip(voices, (0.2, 0.9, 0.5, 0.9, 0.1, 0.3), strict=True):
        await database.speakers.suggest(voice.id, "Grace", confidence)
    await database.speakers.suggest(voices[5].id, "Ada", 1.0)
    found = [speaker.id for speaker in await database.people.suggestions(person.id)]
    assert found == [voices[place].id for place in (1, 3, 2, 0, 4)]
    limited = await database.people.suggestions(person.id, limit=2, offset=1)
    assert [speaker.id for speaker in limited] == found[1:3]
    await database.people.assign(person.id, [voices[1].id])
    assert len(await database.people.suggestions(person.id)) == 4


async def test_all_that_a_person_says_comes_by_file_and_time(
    database: Database, person: Person, voices: list[Speaker]
) -> None:
    expected = []
    for voice in (voices[4], voices[0]):  # the newest speaker first
        transcript = await database.transcripts.add("ann", voice.file_id, "t")
        other = next(v for v in voices if v.file_id == voice.file_id and v.id != voice.id)
        segments = [
            NewSegment(float(number // 2), number + 1.0, f"{voice.id} {number}", who)
            for number in range(5)
            for who in (voice.id, other.id)
        ]
        await database.segments.replace_all(transcript.id, segments)
        expected += [f"{voice.id} {number}" for number in range(5)]
    await database.people.assign(person.id, [voices[0].id, voices[4].id])
    texts: list[str] = []
    after = None
    while True:
        page = await database.people.segments(person.id, after=after, limit=3)
        texts += [spoken.segment.text for spoken in page]
        assert {spoken.file_name for spoken in page} <= {"0.mp4", "2.mp4"}
        after = page.next
        if after is None:
            break
    assert texts == expected
    whole = await database.people.segments(person.id, limit=None)
    assert [spoken.segment.text for spoken in whole] == expected
    again = await database.people.segments(person.id, after=whole[6], limit=None)
    assert list(again) == whole[7:]


async def test_people_are_split(database: Database, person: Person, voices: list[Speaker]) -> None:
    await database.people.assign(person.id, [voice.id for voice in voices])
    other = await database.people.split(person.id, "Ada", [voices[1].id, voices[3].id])
    assert (other.name, other.speaker_count) == ("Ada", 2)
    assert await names(database, voices) == ["Grace", "Ada", "Grace", "Ada", "Grace", "Grace"]
    assert await database.people.split(person.id, "Ada", [voices[5].id]) == (
        await database.people.get(other.id)
    )
    before = contents(database.path)
    with pytest.raises(RecordNotFoundError, match="speaker '99'"):
        await database.people.split(person.id, "Eve", [voices[0].id, 99])
    with pytest.raises(RecordNotFoundError, match="person '99'"):
        await database.people.split(99, "Eve", [voices[0].id])
    with pytest.raises(InvalidArgumentError, match="name"):
        await database.people.split(person.id, "Grace", [voices[0].id])
    assert contents(database.path) == before


async def test_people_are_merged_with_suggestions_and_files(
    database: Database, person: Person, voices: list[Speaker]
) -> None:
    source = await database.people.add("ann", "Gracie")
    await database.people.assign(person.id, [voices[0].id])
    await database.people.assign(source.id, [voices[2].id])
    await database.speakers.suggest(voices[4].id, "Gracie", 0.8)
    await database.people.attach_file(person.id, voices[0].file_id, "voice")
    await database.people.attach_file(source.id, voices[0].file_id, "picture")
    await database.people.attach_file(source.id, voices[2].file_id, "picture")
    merged = await database.people.merge(source.id, person.id)
    assert (merged.id, merged.speaker_count) == (person.id, 2)
    assert await names(database, voices) == ["Grace", None, "Grace", None, None, None]
    assert [s.id for s in await database.people.suggestions(person.id)] == [voices[4].id]
    files = {f.file.id: f.kind for f in await database.people.files(person.id)}
    assert files == {voices[0].file_id: "voice", voices[2].file_id: "picture"}
    assert await database.people.find(source.id) is None
    with pytest.raises(InvalidArgumentError, match="itself"):
        await database.people.merge(person.id, person.id)
    await database.profiles.ensure("bob")
    his = await database.people.add("bob", "Grace")
    with pytest.raises(InvalidArgumentError, match="different profiles"):
        await database.people.merge(his.id, person.id)


async def test_speakers_keep_their_names_without_their_person(
    database: Database, person: Person, voices: list[Speaker]
) -> None:
    await database.people.assign(person.id, [voices[0].id, voices[1].id])
    assert await database.people.release([voices[0].id, voices[2].id, 99]) == 1
    assert (await database.people.get(person.id)).speaker_count == 1
    await database.people.delete(person.id)
    assert (await names(database, voices))[:2] == ["Grace", "Grace"]
    assert (await database.speakers.get(voices[1].id)).person_id is None


async def test_what_cannot_be_assigned_changes_nothing(
    database: Database, person: Person, voices: list[Speaker]
) -> None:
    his = await database.speakers.ensure(await file_of(database, "bob", "his.mp4"), "SPEAKER_00")
    before = contents(database.path)
    with pytest.raises(RecordNotFoundError, match="speaker '98'"):
        await database.people.assign(person.id, [voices[0].id, 98, 99])
    with pytest.raises(RecordNotFoundError, match="person '99'"):
        await database.people.assign(99, [voices[0].id])
    with pytest.raises(ConstraintError, match="same profile") as caught:
        await database.people.assign(person.id, [voices[0].id, his.id])
    assert caught.value.kind == "check"
    for file_id, kind in ((his.file_id, "foreign_key"),):
        with pytest.raises(ConstraintError) as caught:
            await database.people.attach_file(person.id, file_id, "picture")
        assert caught.value.kind == kind
    assert contents(database.path) == before


async def test_a_persons_files_have_a_kind(
    database: Database, person: Person, voices: list[Speaker]
) -> None:
    await database.people.attach_file(person.id, voices[0].file_id, "voice")
    (entry,) = await database.people.attach_file(person.id, voices[0].file_id, "picture")
    assert (entry.kind, entry.file.name) == ("picture", "0.mp4")
    assert await database.people.detach_file(person.id, voices[0].file_id) is True
    assert await database.people.detach_file(person.id, voices[0].file_id) is False
    with pytest.raises(RecordNotFoundError, match="person"):
        await database.people.attach_file(99, voices[0].file_id, "picture")
