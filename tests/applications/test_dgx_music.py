"""The promises of DGX Music's storage service, in the order of its page, and what it put off.

What is called otherwise here: init_db is connect(), a session is a unit of work (or nothing, where one
call is all there is), and a record is a value, so that it is changed by the repository it came from.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sqlite3
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

import reelbase
from reelbase import (
    Database,
    Generation,
    GenerationRepository,
    GenerationStatus,
    InvalidTransitionError,
    Prompt,
    RecordNotFoundError,
    UnitOfWork,
)
from reelbase.testing.clock import START, FrozenClock

Look = Callable[[str], list[tuple[object, ...]]]


async def create_generation(
    holder: Database | UnitOfWork, prompt: str = "trap beat 140 BPM"
) -> Generation:
    return await holder.generations.create(
        prompt=prompt,
        model_name="musicgen-small",
        duration_seconds=16.0,
        sample_rate=32000,
        channels=2,
        file_path="outputs/test.wav",
    )


# The three example scripts


@pytest.mark.long
async def test_complete_workflow(
    path: Path, journal: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        # Create generation
        generation = await database.generations.create(
            prompt="trap beat 140 BPM",
            model_name="musicgen-small",
            duration_seconds=16.0,
            sample_rate=32000,
            channels=2,
            file_path="outputs/test.wav",
        )

        # Mark as processing
        await database.generations.mark_processing(generation.id)

        # ... generate audio ...

        # Mark as completed
        await database.generations.complete(
            generation.id,
            generation_time=18.5,
            file_size_bytes=5242880,
            metadata={"bpm": 140, "key": "Cm"},
        )

        # Retrieve and check
        generation = await database.generations.get(generation.id)
        print(f"Status: {generation.status}")
        print(f"Time: {generation.generation_time_seconds}s")
        print(f"Metadata: {generation.metadata}")

    assert capsys.readouterr().out.splitlines() == [
        "Status: completed",
        "Time: 18.5s",
        "Metadata: {'bpm': 140, 'key': 'Cm'}",
    ]


async def test_batch_operations(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(12):
        await create_generation(database, f"beat {number}")

    # Process pending jobs
    async with database.transaction() as unit:
        for generation in await unit.generations.pending(limit=10):
            print(f"Processing: {generation.prompt}")
            await unit.generations.mark_processing(generation.id)
            # Process job...

    assert capsys.readouterr().out.splitlines() == [f"Processing: beat {n}" for n in range(10)]
    assert await database.generations.count("processing") == 10


async def test_batch_operations_of_several_workers(database: Database) -> None:
    """What the script is for, without holding a session across the slow work."""
    for number in range(12):
        await create_generation(database, f"beat {number}")
    processed: list[str] = []

    async def work() -> None:
        while generation := await database.generations.claim():
            processed.append(generation.prompt)
            await asyncio.sleep(0)  # Process job...
            await database.generations.complete(generation.id, generation_time=0.5)

    await asyncio.gather(work(), work(), work())
    assert sorted(processed) == sorted(f"beat {number}" for number in range(12))
    assert await database.generations.count("completed") == 12


async def test_analytics(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("lo-fi", "trap", "trap", "ambient", "trap", "lo-fi"):
        generation = await create_generation(database, text)
        if text == "trap":
            await database.generations.complete(generation.id, generation_time=18.5)

    async with database.snapshot() as view:
        # Overall stats
        stats = await view.generations.stats()
        print(f"Total: {stats.total_generations}")
        print(f"Completed: {stats.completed_generations}")

        # Popular prompts
        popular = await view.prompts.most_used(limit=5)
        for prompt in popular:
            print(f"{prompt.text}: {prompt.used_count} uses")

    assert capsys.readouterr().out.splitlines() == [
        "Total: 6",
        "Completed: 3",
        "trap: 3 uses",
        "lo-fi: 2 uses",
        "ambient: 1 uses",
    ]


# Quick start


async def test_quick_start(database: Database) -> None:
    generation = await database.generations.create(
        prompt="hip hop beat at 140 BPM",
        model_name="musicgen-small",
        duration_seconds=16.0,
        sample_rate=32000,
        channels=2,
        file_path="outputs/gen_123.wav",
        metadata={"bpm": 140, "genre": "hip hop"},
    )
    pending = await database.generations.list(status=GenerationStatus.PENDING, limit=10)
    assert pending == [generation]
    done = await database.generations.complete(
        generation_id=generation.id,
        generation_time=18.5,
        file_size_bytes=5000000,
        metadata={"bpm": 140},
    )
    assert done.metadata == {"bpm": 140, "genre": "hip hop"}
    assert await database.generations.list(status=GenerationStatus.PENDING, limit=10) == []


# Database management


@pytest.mark.long
async def test_init_db_makes_the_tables_and_may_be_called_again(tmp_path: Path) -> None:
    path = tmp_path / "data" / "generations.db"  # the folder is made too
    async with reelbase.connect(path) as database:
        generation = await create_generation(database)
    async with reelbase.connect(str(path)) as database:
        assert await database.generations.get(generation.id) == generation


async def test_init_db_takes_a_path_and_never_looks_at_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'other.db'}")
    async with reelbase.connect(tmp_path / "custom.db") as database:
        assert database.path == tmp_path / "custom.db"
    assert not (tmp_path / "other.db").exists()


async def test_get_session_commits_on_success(database: Database, look: Look) -> None:
    async with database.transaction() as unit:
        generation = await create_generation(unit)
    assert unit.state == "committed"
    assert await database.generations.get(generation.id) == generation


async def test_get_session_rolls_back_on_error(database: Database) -> None:
    async def something_goes_wrong() -> None:
        async with database.transaction() as unit:
            await create_generation(unit)
            raise ValueError("Something went wrong")

    with pytest.raises(ValueError, match="Something went wrong"):
        await something_goes_wrong()
    assert await database.generations.count() == 0
    assert await database.prompts.count() == 0
    await create_generation(database)  # the connection is as good as before


async def test_get_database_stats(database: Database) -> None:
    await create_generation(database, "a")
    await database.generations.fail((await create_generation(database, "a")).id, "no")
    await database.generations.mark_processing((await create_generation(database, "b")).id)
    stats = await database.generations.stats()
    assert stats.total_generations == 3
    assert stats.pending_generations == 1
    assert stats.processing_generations == 1
    assert stats.completed_generations == 0
    assert stats.failed_generations == 1
    assert stats.total_prompts == 2


# Generations


def test_create_generation_takes_what_theirs_takes() -> None:
    parameters = inspect.signature(GenerationRepository.create).parameters
    required = [
        name for name, parameter in parameters.items() if parameter.default is parameter.empty
    ]
    assert required == [
        "self",
        "prompt",
        "model_name",
        "duration_seconds",
        "sample_rate",
        "channels",
        "file_path",
    ]
    assert {"model_version", "metadata"} < set(parameters)


async def test_create_generation(database: Database) -> None:
    generation = await database.generations.create(
        "a", "m", 16.0, 32000, 2, "f", model_version="1.0", metadata={"bpm": 140}
    )
    assert isinstance(generation, Generation)
    assert str(UUID(str(generation.id))) == str(generation.id)
    assert generation.status == "pending"
    assert generation.created_at == START
    assert generation.completed_at is None
    assert (generation.model_version, generation.metadata) == ("1.0", {"bpm": 140})


@pytest.mark.parametrize("channels", [1, 2])
async def test_create_generation_is_mono_or_stereo(channels: int, database: Database) -> None:
    generation = await database.generations.create("a", "m", 1.0, 32000, channels, "f")
    assert generation.channels == channels


async def test_create_generation_tracks_its_prompt(database: Database) -> None:
    await create_generation(database)
    await create_generation(database)
    prompt = await database.prompts.find_by_text("trap beat 140 BPM")
    assert prompt is not None
    assert prompt.used_count == 2


async def test_get_generation_takes_the_id_as_text_and_gives_none(database: Database) -> None:
    generation = await create_generation(database)
    assert await database.generations.find(str(generation.id)) == generation
    assert await database.generations.find(uuid4()) is None


async def test_get_all_generations(database: Database, clock: FrozenClock) -> None:
    made = []
    for _ in range(5):
        clock.advance(1)
        made.append(await create_generation(database))
    done = await database.generations.complete(made[2].id, 1.0)
    assert await database.generations.list(limit=2, offset=1) == [made[3], done]
    assert await database.generations.list(status=GenerationStatus.COMPLETED) == [done]
    assert len(await database.generations.list(limit=100, offset=0, status="pending")) == 4


async def test_update_generation_status(database: Database, clock: FrozenClock) -> None:
    key = (await create_generation(database)).id
    generations = database.generations
    processing = await generations.update_status(key, GenerationStatus.PROCESSING)
    assert processing.is_processing
    now = clock.advance(5)
    failed = await generations.update_status(key, "failed", error_message="CUDA out of memory")
    assert (failed.status, failed.error_message) == ("failed", "CUDA out of memory")
    assert failed.completed_at == now


async def test_complete_generation(database: Database, clock: FrozenClock) -> None:
    key = (await create_generation(database)).id
    now = clock.advance(20)
    done = await database.generations.complete(
        key, generation_time=18.5, file_size_bytes=5242880, metadata={"bpm": 140}
    )
    assert done.is_complete
    assert (done.generation_time_seconds, done.file_size_bytes) == (18.5, 5242880)
    assert (done.completed_at, done.metadata) == (now, {"bpm": 140})


async def test_delete_generation_says_whether_there_was_one(database: Database) -> None:
    key = (await create_generation(database)).id
    assert await database.generations.delete(key, missing_ok=True) is True
    assert await database.generations.delete(key, missing_ok=True) is False
    with pytest.raises(RecordNotFoundError):
        await database.generations.delete(key)


async def test_get_pending_generations(database: Database) -> None:
    first, second, third = [await create_generation(database) for _ in range(3)]
    await database.generations.mark_processing(first.id)
    assert await database.generations.pending() == [second, third]
    assert await database.generations.pending(limit=1) == [second]


async def test_count_generations(database: Database) -> None:
    first, _ = [await create_generation(database) for _ in range(2)]
    await database.generations.cancel(first.id)
    assert await database.generations.count() == 2
    assert await database.generations.count(status=GenerationStatus.PENDING) == 1
    assert await database.generations.count("failed") == 0


# Prompts


async def test_track_prompt_usage_creates_or_increments(
    database: Database, clock: FrozenClock
) -> None:
    created = await database.prompts.track("ambient")
    assert isinstance(created, Prompt)
    assert (created.used_count, created.first_used_at, created.last_used_at) == (1, START, START)
    now = clock.advance(60)
    again = await database.prompts.track("ambient")
    assert (again.id, again.used_count) == (created.id, 2)
    assert (again.first_used_at, again.last_used_at) == (START, now)


async def test_get_prompt_by_text(database: Database) -> None:
    tracked = await database.prompts.track("ambient")
    assert await database.prompts.find_by_text("ambient") == tracked
    assert await database.prompts.find_by_text("ambien") is None


async def test_get_most_used_prompts(database: Database) -> None:
    for number in range(12):
        for _ in range(number + 1):
            await database.prompts.track(f"p{number}")
    popular = await database.prompts.most_used()
    assert [prompt.used_count for prompt in popular] == list(range(12, 2, -1))
    assert await database.prompts.most_used(limit=3) == popular[:3]


# The models


@pytest.mark.parametrize(
    ("status", "is_true"),
    [
        ("pending", ["is_pending"]),
        ("processing", ["is_processing"]),
        ("completed", ["is_complete", "is_finished"]),
        ("failed", ["is_failed", "is_finished"]),
    ],
)
async def test_status_checks(status: str, is_true: list[str], database: Database) -> None:
    generation = await create_generation(database)
    if status != "pending":
        generation = await database.generations.update_status(generation.id, status)  # type: ignore[arg-type]
    checks = ["is_pending", "is_processing", "is_complete", "is_failed", "is_finished"]
    assert [check for check in checks if getattr(generation, check)] == is_true


async def test_get_metadata_and_set_metadata(database: Database) -> None:
    generation = await create_generation(database)
    assert generation.metadata == {}
    changed = await database.generations.set_metadata(generation.id, {"bpm": 140, "key": "Cm"})
    assert changed.metadata == {"bpm": 140, "key": "Cm"}


async def test_mark_processing_mark_completed_and_mark_failed(database: Database) -> None:
    first, second = [await create_generation(database) for _ in range(2)]
    assert (await database.generations.mark_processing(first.id)).is_processing
    assert (await database.generations.complete(first.id, 18.5)).generation_time_seconds == 18.5
    assert (await database.generations.fail(second.id, "no")).error_message == "no"


async def test_what_has_ended_stays_as_it_ended(database: Database) -> None:
    """Theirs overwrites it: a cancelled or failed job comes back as completed by a late worker."""
    generation = await create_generation(database)
    failed = await database.generations.fail(generation.id, "no")
    with pytest.raises(InvalidTransitionError):
        await database.generations.complete(generation.id, 18.5, 5)
    assert await database.generations.get(generation.id) == failed


async def test_to_dict(database: Database) -> None:
    generation = await create_generation(database)
    as_dict = generation.to_dict()
    assert as_dict["id"] == str(generation.id)
    assert as_dict["status"] == "pending"
    assert as_dict["created_at"] == "2026-01-31T12:00:00Z"
    assert as_dict["completed_at"] is None
    assert as_dict["metadata"] == {}
    assert len(as_dict) == 15
    (prompt,) = await database.prompts.list()
    assert prompt.to_dict() == {
        "id": prompt.id,
        "text": "trap beat 140 BPM",
        "used_count": 1,
        "first_used_at": "2026-01-31T12:00:00Z",
        "last_used_at": "2026-01-31T12:00:00Z",
    }


@pytest.mark.parametrize("name", ["PENDING", "PROCESSING", "COMPLETED", "FAILED"])
def test_status_constants(name: str) -> None:
    assert GenerationStatus[name] == name.lower()


# The schema


def test_the_primary_keys(path: Path, look: Look) -> None:
    for table, type in (("generations", "TEXT"), ("prompts", "INTEGER")):
        keys = look(f"SELECT name, type FROM pragma_table_info('{table}') WHERE pk > 0")
        assert keys == [("id", type)]
    ((sql,),) = look("SELECT sql FROM sqlite_schema WHERE name = 'prompts'")
    assert "AUTOINCREMENT" in str(sql)


@pytest.mark.parametrize("column", ["status", "created_at", "model_name", "completed_at"])
def test_generations_are_indexed_by(column: str, path: Path, look: Look) -> None:
    assert (column,) in look(
        "SELECT c.name FROM pragma_index_list('generations') AS i, pragma_index_info(i.name) AS c"
        " WHERE c.seqno = 0"
    )


def test_the_text_of_a_prompt_is_unique(path: Path, look: Look) -> None:
    assert look(
        "SELECT c.name FROM pragma_index_list('prompts') AS i, pragma_index_info(i.name) AS c"
        ' WHERE i."unique"'
    ) == [("text",)]


async def test_a_database_says_its_version(database: Database, look: Look) -> None:
    assert database.schema_version == reelbase.SCHEMA_VERSION
    assert look("PRAGMA user_version") == [(reelbase.SCHEMA_VERSION,)]


# Errors and configuration


async def test_echo_logs_every_statement_and_no_values(
    path: Path, journal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "reelbase.sql"):
        async with reelbase.connect(path, journal=journal, slow_query=0) as database:
            await create_generation(database, "a private prompt")
    logged = [record.getMessage() for record in caplog.records if record.name == "reelbase.sql"]
    assert any("INSERT INTO generations" in message for message in logged)
    assert not any("private" in message for message in logged)


async def test_no_writer_finds_the_database_locked(database: Database) -> None:
    await asyncio.gather(*(create_generation(database, f"p{n % 5}") for n in range(200)))
    assert await database.generations.count() == 200
    assert [prompt.used_count for prompt in await database.prompts.list()] == [40] * 5


# What they put off, as far as it is an embedded layer's business


async def test_later_wal_readers_and_a_writer_side_by_side(path: Path) -> None:
    async with reelbase.connect(path, journal="wal") as database:
        assert database.journal.mode == "wal"
        async with database.snapshot() as view, database.transaction() as unit:
            await create_generation(unit)
            assert await view.generations.count() == 0
            assert await database.generations.count() == 0
            assert await unit.generations.count() == 1
        assert await database.generations.count() == 1


async def test_later_pooling(path: Path, journal: Any) -> None:
    """As many connections that read at once as are asked for; all of them ready from the start."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            reelbase.connect(path, journal=journal, readers=3)
        )
        await create_generation(database)
        views = [await stack.enter_async_context(database.snapshot()) for _ in range(3)]
        counts = await asyncio.gather(*(view.generations.count() for view in views))
        assert counts == [1, 1, 1]


async def test_later_foreign_keys_are_checked_on_every_connection(database: Database) -> None:
    async with database.snapshot() as view:
        assert await view.fetch_one(int, "PRAGMA foreign_keys") == 1
    async with database.transaction() as unit:
        assert await unit.fetch_one(int, "PRAGMA foreign_keys") == 1
    with pytest.raises(reelbase.ConstraintError) as caught:
        await database.files.add("nobody", "1.wav", "outputs/1.wav")
    assert caught.value.kind == "foreign_key"


async def test_later_cascades(database: Database) -> None:
    """Where something belongs to something else. A prompt's counter belongs to nobody."""
    await database.profiles.ensure("anna")
    kept = await database.files.add("anna", "kept.wav", "kept.wav")
    file = await database.files.add("anna", "1.wav", "outputs/1.wav")
    transcript = await database.transcripts.add("anna", file.id, "la la la")
    generation = await create_generation(database)
    await database.files.delete(file.id)
    assert await database.transcripts.find(transcript.id) is None
    assert await database.files.list_for_profile("anna") == [kept]
    await database.generations.delete(generation.id)
    assert await database.prompts.count() == 1


async def test_later_full_text_search_on_prompts(database: Database) -> None:
    for prompt in ("trap beat 140 BPM", "lo-fi beat", "ambient café drone", "静かな夜のピアノ"):
        await create_generation(database, prompt)

    async def search(query: str) -> list[str]:
        return [prompt.text for prompt in await database.prompts.search(query)]

    assert await search("beat tra") == ["trap beat 140 BPM"]
    assert await search('"lo-fi beat"') == ["lo-fi beat"]
    assert await search("cafe") == ["ambient café drone"]
    assert await search("夜") == ["静かな夜のピアノ"]
    assert await search("beat AND (") == []


def test_a_hand_made_row_gets_the_defaults(path: Path) -> None:
    """What somebody at the sqlite3 prompt gets who gives nothing but what is needed."""
    connection = sqlite3.connect(path)
    try:
        row = connection.execute(
            "INSERT INTO generations"
            " (id, prompt, model_name, duration_seconds, sample_rate, channels, file_path)"
            " VALUES (?, 'p', 'm', 1, 32000, 2, 'f')"
            " RETURNING status, metadata, completed_at, model_version, created_at",
            [str(uuid4())],
        ).fetchone()
        assert row[:4] == ("pending", "{}", None, None)
        assert str(row[4]).endswith("Z")
    finally:
        connection.close()
