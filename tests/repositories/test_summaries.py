"""Promises about summaries and the prompts that make them: versions, fallbacks, nothing lost."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from samples import contents

from reelbase import (
    ConstraintError,
    Database,
    File,
    InvalidTransitionError,
    RecordNotFoundError,
    SummaryPromptVersion,
)
from reelbase.testing.clock import FrozenClock


@pytest.fixture
async def file(database: Database) -> File:
    await database.profiles.ensure("ann")
    await database.profiles.ensure("bob")
    return await database.files.add("ann", "talk.mp4", "talk.mp4")


# Summaries


async def test_versions_are_given_out_once(database: Database, file: File) -> None:
    started = await asyncio.gather(*(database.summaries.start(file.id) for _ in range(32)))
    assert sorted(summary.version for summary in started) == list(range(1, 33))
    other = await database.files.add("ann", "b", "b")
    assert (await database.summaries.start(other.id)).version == 1


async def test_the_previous_one_stays_until_the_new_one_is_complete(
    database: Database, clock: FrozenClock, file: File
) -> None:
    summaries = database.summaries
    assert await summaries.latest(file.id) is None
    first = await summaries.start(file.id, provider="openai", model="gpt")
    assert (first.status, first.profile_id, first.content) == ("processing", "ann", None)
    assert await summaries.latest(file.id) is None
    first = await summaries.complete(first.id, {"bluf": "Ship it"}, metadata={"tokens": 5})
    assert (first.status, first.completed_at) == ("completed", clock.now)
    second = await summaries.start(file.id)
    assert await summaries.latest(file.id) == first
    failed = await summaries.fail(second.id, "timeout")
    assert (failed.status, failed.error_message) == ("failed", "timeout")
    assert await summaries.latest(file.id) == first
    third = await summaries.complete((await summaries.start(file.id)).id, {})
    assert await summaries.latest(file.id) == third
    assert await summaries.list_for_file(file.id) == [third, failed, first]


async def test_what_has_ended_does_not_change(database: Database, file: File) -> None:
    done = await database.summaries.start(file.id)
    await database.summaries.complete(done.id, {"a": "kept"})
    failed = await database.summaries.start(file.id)
    await database.summaries.fail(failed.id, "e")
    before = contents(database.path)
    for summary_id, error in (
        (done.id, InvalidTransitionError),
        (failed.id, InvalidTransitionError),
        (999, RecordNotFoundError),
    ):
        with pytest.raises(error, match=f"summary '{summary_id}'"):
            await database.summaries.complete(summary_id, {"a": "late"})
        with pytest.raises(error, match=f"summary '{summary_id}'"):
            await database.summaries.fail(summary_id, "late")
    assert contents(database.path) == before
    assert len(await database.summaries.search("ann", "kept")) == 1


async def test_a_summary_needs_a_file_and_may_lose_its_prompt(
    database: Database, file: File
) -> None:
    with pytest.raises(ConstraintError) as caught:
        await database.summaries.start(file.id, prompt_id=999)
    assert caught.value.kind == "foreign_key"
    prompt = await database.summary_prompts.add("ann", "p", "text")
    summary = await database.summaries.start(file.id, prompt_id=prompt.id)
    await database.summary_prompts.delete(prompt.id)
    assert (await database.summaries.get(summary.id)).prompt_id is None
    await database.files.delete(file.id)
    with pytest.raises(RecordNotFoundError, match="file '"):
        await database.summaries.start(file.id)


async def test_a_completed_summary_is_corrected_and_found_by_its_new_texts(
    database: Database, file: File
) -> None:
    summaries = database.summaries
    first = await summaries.start(file.id)
    before = contents(database.path)
    changes: dict[str, Any]
    for changes in ({"content": {}}, {"metadata": {}}):
        with pytest.raises(InvalidTransitionError, match="is processing: cannot be corrected"):
            await summaries.update(first.id, **changes)
    assert contents(database.path) == before
    done = await summaries.complete(first.id, {"bluf": "Ship it"}, metadata={"tokens": 5})
    assert await summaries.update(done.id) == done
    corrected = await summaries.update(done.id, content={"bluf": "Hold it"})
    assert corrected == msgspec.structs.replace(done, content={"bluf": "Hold it"})
    assert await summaries.search("ann", "ship") == []
    assert await summaries.search("ann", "hold") == [corrected]
    assert (await summaries.update(done.id, metadata=None)).metadata is None
    assert await summaries.latest(file.id) == await summaries.get(done.id)
    with pytest.raises(RecordNotFoundError):
        await summaries.update(done.id + 1, metadata=None)


async def test_summaries_are_found_by_every_text_in_them(database: Database, file: File) -> None:
    content = {
        "bluf": "Budget approved",
        "topics": [{"title": "予算会議", "points": ["café opening", {"who": "Ann"}]}],
        "score": 5,
        "draft": None,
    }
    summary = await database.summaries.start(file.id)
    completed = await database.summaries.complete(summary.id, content)
    assert completed.content == content
    search = database.summaries.search
    for query in ("budget", "予算", "cafe open", "ann", "approved opening"):
        assert await search("ann", query) == [completed], query
    for query in ("title", "bluf", "5", "nothing", "", '"'):  # keys and numbers are no texts
        assert await search("ann", query) == [], query
    assert await search("bob", "budget") == []
    assert await search("ann", "budget", 0) == []
    await database.summaries.delete(summary.id)
    assert await search("ann", "budget") == []


# Prompts


async def test_each_text_is_a_version_and_none_is_lost(
    database: Database, clock: FrozenClock, file: File
) -> None:
    prompts = database.summary_prompts
    prompt = await prompts.add("ann", "mine", "one", description="d", content_type="podcast")
    first = SummaryPromptVersion(prompt.id, 1, "one", clock.now)
    assert (prompt.version, await prompts.versions(prompt.id)) == (1, [first])
    clock.advance(1)
    same = await prompts.update(prompt.id, prompt_text="one", name="mine")
    assert same == prompt  # nothing changed
    renamed = await prompts.update(prompt.id, name="ours")
    assert (renamed.version, renamed.updated_at) == (1, clock.now)
    later = clock.advance(1)
    changed = await prompts.update(prompt.id, prompt_text="two")
    assert (changed.version, changed.prompt_text) == (2, "two")
    back = await prompts.update(prompt.id, prompt_text="one")
    assert back.version == 3
    assert await prompts.versions(prompt.id) == [
        SummaryPromptVersion(prompt.id, 3, "one", later),
        SummaryPromptVersion(prompt.id, 2, "two", later),
        first,
    ]
    await prompts.delete(prompt.id)
    assert await prompts.versions(prompt.id) == []


async def test_many_tasks_change_one_prompt(database: Database, file: File) -> None:
    prompt = await database.summary_prompts.add("ann", "p", "")
    await asyncio.gather(
        *(database.summary_prompts.update(prompt.id, prompt_text=str(n)) for n in range(20))
    )
    versions = await database.summary_prompts.versions(prompt.id)
    assert [version.version for version in versions] == list(range(21, 0, -1))
    assert len({version.prompt_text for version in versions}) == 21


async def test_a_change_at_the_prompt_cannot_forget_the_version(
    database: Database, file: File
) -> None:
    prompt = await database.summary_prompts.add("ann", "p", "one")
    with pytest.raises(ConstraintError) as caught:
        await database.execute("UPDATE summary_prompts SET prompt_text = 'two'")
    assert caught.value.kind == "unique"
    assert (await database.summary_prompts.get(prompt.id)).prompt_text == "one"


async def test_what_a_profile_can_choose_from(database: Database, file: File) -> None:
    add = database.summary_prompts.add
    system = await add(None, "z system", "t")
    meeting = await add(None, "a system", "t", content_type="meeting")
    own = await add("ann", "b own", "t")
    own_meeting = await add("ann", "a own", "t", content_type="meeting")
    await add("bob", "his", "t")
    listed = database.summary_prompts.list_for_profile
    assert await listed("ann") == [meeting, system, own_meeting, own]
    assert await listed("ann", include_system=False) == [own_meeting, own]
    assert await listed("ann", content_type="meeting") == [meeting, own_meeting]
    assert await listed("nobody") == [meeting, system]


async def test_a_content_type_is_the_applications_own_word(database: Database, file: File) -> None:
    prompts = database.summary_prompts
    general = await prompts.add(None, "general", "Sum up")
    speakers = await prompts.add(None, "who", "Who speaks?", content_type="speaker_identification")
    assert await prompts.active("ann", "speaker_identification") == speakers
    assert await prompts.active("ann", "Lecture") == general
    assert await prompts.list_for_profile("ann", content_type="speaker_identification") == [
        speakers
    ]


async def test_the_active_prompt_and_its_fallbacks(database: Database, file: File) -> None:
    prompts = database.summary_prompts
    assert await prompts.active("ann") is None
    meeting = await prompts.add(None, "m", "t", content_type="meeting")
    assert await prompts.active("ann", "podcast") is None
    general = await prompts.add(None, "g", "t")
    await prompts.add(None, "another general", "t")
    assert await prompts.active("ann", "podcast") == general  # else the general one
    assert await prompts.active("ann", "meeting") == meeting  # else the system's of the type
    own = await prompts.add("ann", "own", "t", content_type="podcast")
    assert await prompts.active("ann", "meeting") == meeting  # having one is not choosing it
    profile = await prompts.set_active("ann", own.id)
    assert profile.active_summary_prompt_id == own.id
    assert await prompts.active("ann", "meeting") == own  # whatever its type
    assert await prompts.active("bob", "meeting") == meeting
    assert await prompts.active("nobody") == general
    await prompts.set_active("bob", general.id)  # the system's may be chosen too
    assert await prompts.active("bob", "meeting") == general
    await prompts.delete(own.id)
    assert (await database.profiles.get("ann")).active_summary_prompt_id is None
    assert await prompts.active("ann", "meeting") == meeting
    assert (await prompts.set_active("bob", None)).active_summary_prompt_id is None


async def test_choices_that_are_refused(database: Database, file: File) -> None:
    his = await database.summary_prompts.add("bob", "his", "t")
    his_model = await database.llm_configs.add("bob", "m", "p", "m")
    before = contents(database.path)
    with pytest.raises(ValueError, match="another profile"):
        await database.summary_prompts.set_active("ann", his.id)
    with pytest.raises(RecordNotFoundError, match="summary prompt '999'"):
        await database.summary_prompts.set_active("ann", 999)
    for prompt_id in (None, his.id):
        with pytest.raises((RecordNotFoundError, ValueError)):
            await database.summary_prompts.set_active("nobody", prompt_id)
    wrong: dict[str, Any] = {
        "active_summary_prompt_id": his.id,
        "active_llm_config_id": his_model.id,
    }
    for column, value in wrong.items():  # nor by anybody's own SQL
        with pytest.raises(ConstraintError) as caught:
            await database.execute(f"UPDATE profiles SET {column} = ? WHERE id = 'ann'", [value])
        assert "its own" in caught.value.constraint
    with pytest.raises(ConstraintError):
        await database.summary_prompts.add("ann", "n", "t", content_type="")
    assert contents(database.path) == before


# Technical facts


async def test_media_info_grows_by_what_is_passed(database: Database, file: File) -> None:
    info = await database.media_info.upsert(file.id, title="Talk", width=1920, height=1080)
    assert (info.title, info.width, info.author, info.metadata) == ("Talk", 1920, None, None)
    more = await database.media_info.upsert(
        file.id, title=None, duration=1.5, metadata={"uploader": "Ann"}, waveform=[0.0, 1.0]
    )
    assert more == msgspec.structs.replace(
        info, title=None, duration=1.5, metadata={"uploader": "Ann"}, waveform=[0.0, 1.0]
    )
    assert await database.media_info.upsert(file.id) == more
    assert await database.media_info.upsert(file.id, width=msgspec.UNSET) == more
    assert await database.media_info.get(file.id) == more
    with pytest.raises(TypeError, match="colour"):
        await database.media_info.upsert(file.id, colour="red")  # type: ignore[call-arg]
    with pytest.raises(ConstraintError) as caught:
        await database.media_info.upsert(file.id, audio_channels=0)
    assert caught.value.constraint == "media_info_audio"
    assert await database.media_info.delete(file.id) is True
    assert await database.media_info.find(file.id) is None
