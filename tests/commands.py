"""The commands, called in this process, and a database with rows in every table."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from samples import CASES, Contents, contents, make_owner

import reelbase
from reelbase import Database, NewSegment, Secrets
from reelbase.cli.main import main

SECRETS = Secrets(b"k" * 32)


def run(*arguments: object) -> int:
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as exit:
        return int(exit.code or 0)


def work(path: Path, job: Callable[[Database], Awaitable[None]]) -> None:
    async def opened() -> None:
        async with reelbase.connect(path, secrets=SECRETS) as database:
            await job(database)

    asyncio.run(opened())


async def fill(database: Database) -> None:
    """Rows in every table, some of them gone again, with values that are hard to write down."""
    owner = await make_owner(database)
    for case in CASES:
        for _ in range(3):
            await case.add(database, owner)
    hard = "a\0b \u2028 é \U0001f3ac \"'\\ \r\n {}"
    await database.files.update(owner.file_id, name=hard, size_bytes=2**63 - 1)
    transcript = await database.transcripts.add(owner.profile_id, owner.file_id, hard)
    speaker = await database.speakers.ensure(owner.file_id, "S")
    numbers = (0.1 + 0.2, 5e-324, 1.7976931348623157e308, 1e22)
    segments = [NewSegment(0.0, time, hard, speaker.id, -0.0, [hard, 1.0]) for time in numbers]
    await database.segments.replace_all(transcript.id, segments)
    first, *_ = await database.segments.page(transcript.id)
    await database.segments.update(first.id, text="東京")
    source = await database.files.add(owner.profile_id, "later source", "p")
    await database.files.update(owner.file_id, source_file_id=source.id)  # refers to a later row
    await database.llm_configs.add(owner.profile_id, "with key", "p", "m", api_key="sk-1")
    prompt = await database.summary_prompts.add(None, "system", "one")
    await database.summary_prompts.update(prompt.id, prompt_text="two")
    await database.summary_prompts.set_active(owner.profile_id, prompt.id)
    summary = await database.summaries.start(owner.file_id, prompt_id=prompt.id)
    await database.summaries.complete(summary.id, {"a": ["予算", 1.0, 2**53 + 1]})
    await database.media_info.upsert(owner.file_id, duration=1e-7, metadata={"n": None})
    await database.file_processing.enqueue(owner.file_id)
    await database.tags.attach(owner.file_id, "Straße", "x")
    await database.settings.set(owner.profile_id, "k", None)
    await database.notifications.push(owner.profile_id, "t", "t", progress_key="k", progress=1)
    await database.config.set("k", [1.0])
    await database.error_log.add("https://example.org/x", "e")
    await database.unsupported_urls.add("u")
    await database.jobs.add_batch(owner.profile_id, "t", {"file_id": str(owner.file_id)}, [{}, {}])
    claimed = await database.jobs.claim("w")
    assert claimed is not None
    await database.jobs.log(claimed.id, hard)
    await database.jobs.finish_step(claimed.id, hard, [hard, 1.0], worker="w", attempt=1)
    await database.audit.log_create("shelf", "text id")
    gone = await database.projects.add("gone", "w")
    await database.projects.delete(gone.id)


def rows(path: Path) -> Contents:
    """All but when each file was made, and which database it is."""
    found = contents(path)
    del found["schema_migrations"], found["database_identity"]
    return found
