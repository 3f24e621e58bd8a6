"""OpenTranscribe's document, line by line: what it promises, done with this library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import Database, File, FileStatus, NewSegment


@pytest.fixture
async def file(database: Database) -> File:
    await database.profiles.ensure("user-1")
    return await database.files.add(
        "user-1", "talk.mp4", "talk.mp4", source_url="https://youtu.be/x"
    )


async def get_db(path: Path) -> AsyncIterator[Database]:
    """The document's dependency for endpoints, in three lines."""
    async with reelbase.connect(path) as database:
        yield database


async def test_get_db_serves_an_endpoint(path: Path, database: Database, file: File) -> None:
    async for db in get_db(path):
        assert await db.files.list_for_profile("user-1") == [file]


async def test_session_scope_is_a_transaction(database: Database, file: File) -> None:
    async with database.transaction() as unit:  # commits on success
        await unit.file_processing.start(file.id)
    assert (await database.file_processing.get(file.id)).status is FileStatus.PROCESSING
    with pytest.raises(RuntimeError):
        async with database.transaction() as unit:  # rolls back on an exception
            await unit.file_processing.complete(file.id)
            raise RuntimeError
    assert (await database.file_processing.get(file.id)).status is FileStatus.PROCESSING


async def test_a_fresh_copy_is_got_by_its_key_in_any_task(database: Database, file: File) -> None:
    """No get_refreshed_object, no refresh_session_object: records are values and never detached."""

    async def task(file_id: str) -> File:
        return await database.files.get(file_id)

    await database.files.update(file.id, name="renamed.mp4")
    fresh = await asyncio.create_task(task(str(file.id)))
    assert (file.name, fresh.name) == ("talk.mp4", "renamed.mp4")


async def test_a_service_takes_part_in_its_callers_transaction(
    database: Database, file: File
) -> None:
    class FileService:
        def __init__(self, db: Database | reelbase.UnitOfWork) -> None:
            self.db = db

        async def process_file(self, file_id: object) -> None:
            await self.db.file_processing.enqueue(str(file_id))

    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as unit:
            await FileService(unit).process_file(file.id)
            raise ZeroDivisionError
    assert await database.file_processing.find(file.id) is None
    await FileService(database).process_file(file.id)
    assert await database.file_processing.find(file.id)


async def test_user_settings_are_key_value_pairs(database: Database, file: File) -> None:
    recording: dict[str, Any] = {
        "recording.max_minutes": 120,
        "recording.quality": "high",
        "recording.auto_stop": True,
    }
    await database.settings.set_many("user-1", recording)
    await database.settings.set("user-1", "ui.theme", {"name": "dark"})
    assert await database.settings.all("user-1", prefix="recording.") == recording
    assert await database.settings.get("user-1", "recording.max_minutes", type=int) == 120


async def test_llm_configurations_of_several_providers_with_history(
    database: Database, file: File
) -> None:
    for provider in ("openai", "claude", "vllm", "ollama"):
        await database.llm_configs.add(
            "user-1", provider, provider, "model", api_key=f"key of {provider}"
        )
    active = await database.llm_configs.active("user-1")
    assert active is not None
    assert active.provider == "openai"
    assert await database.llm_configs.api_key(active.id) == "key of openai"
    await database.llm_configs.record_test(active.id, "failed", "no connection")
    tested = await database.llm_configs.record_test(active.id, "success")
    assert (tested.test_status, len(await database.llm_configs.tests(active.id))) == ("success", 2)


async def test_prompts_of_different_content_types_with_versions(
    database: Database, file: File
) -> None:
    for content_type in ("meeting", "interview", "podcast"):
        prompt = await database.summary_prompts.add(
            "user-1", content_type, "Summarize.", content_type=content_type
        )
        await database.summary_prompts.update(prompt.id, prompt_text="Summarize in BLUF format.")
        assert len(await database.summary_prompts.versions(prompt.id)) == 2
    assert len(await database.summary_prompts.list_for_profile("user-1")) == 3


async def test_structured_summaries_with_status_errors_and_search(
    database: Database, file: File
) -> None:
    failed = await database.summaries.start(file.id, provider="openai", model="gpt")
    await database.summaries.fail(failed.id, "rate limit")
    summary = await database.summaries.start(file.id)
    bluf = {
        "bluf": "We ship on Friday",
        "action_items": [{"owner": "Ann", "task": "release notes"}],
    }
    await database.summaries.complete(summary.id, bluf)
    (found,) = await database.summaries.search("user-1", "release notes")
    assert (found.version, found.content) == (2, bluf)


async def test_media_files_know_their_origin_status_errors_and_progress(
    database: Database, file: File
) -> None:
    assert await database.files.find_by_url("user-1", "https://youtu.be/x") == file
    await database.media_info.upsert(file.id, metadata={"playlist": "talks", "uploader": "Ann"})
    await database.file_processing.start(file.id, downloading=True)
    await database.file_processing.start(file.id, stage="transcribing")
    assert (await database.file_processing.progress(file.id, 0.4)).progress == 0.4
    failed = await database.file_processing.fail(file.id, "out of memory", category="gpu")
    assert (failed.status, failed.error_category) == (FileStatus.ERROR, "gpu")
    assert (await database.file_processing.retry(file.id)).status is FileStatus.PENDING


async def test_notifications_persist_with_progress_and_preferences(
    database: Database, file: File
) -> None:
    for percent in (10, 50, 100):
        await database.notifications.push(
            "user-1", "summary", f"{percent} %", progress_key=str(file.id), progress=percent / 100
        )
    (stream,) = await database.notifications.list_for_profile("user-1")
    assert (stream.title, stream.progress) == ("100 %", 1.0)
    await database.settings.set("user-1", "notifications.email", False)
    assert await database.settings.get("user-1", "notifications.email", type=bool) is False


@pytest.mark.long
async def test_eager_loading_pages_and_bulk(database: Database, file: File) -> None:
    transcript = await database.transcripts.add("user-1", file.id, "text")
    (loaded,) = await database.transcripts.list_for_profile("user-1", load_file=True)
    assert loaded.file == file
    segments = [NewSegment(at, at + 1, "x") for at in range(1200)]
    assert await database.segments.replace_all(transcript.id, segments) == 1200
    page = await database.segments.page(transcript.id)
    assert len(page) == 500
    assert len(await database.segments.page(transcript.id, after=page[-1], limit=None)) == 700
