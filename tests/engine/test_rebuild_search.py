"""What other programs wrote is found after rebuild_search(), and the index is then sound."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from reelbase import Database


async def test_rows_of_the_sqlite3_prompt_are_found_after_a_rebuild(
    database: Database, path: Path
) -> None:
    project = await database.projects.add("p", "/w")
    mine = await database.videos.add(project.id, "mine.mp4", "/mine", 1.0, 25, 1, 1, 1)
    changed = await database.videos.add(project.id, "before.mp4", "/b", 1.0, 25, 1, 1, 1)
    await database.prompts.track("waltz")
    with closing(sqlite3.connect(path)) as prompt, prompt:
        prompt.execute("UPDATE videos SET filename = '映画.mp4' WHERE id = ?", (changed.id,))
        prompt.execute("INSERT INTO prompts (text) VALUES ('tango')")
    assert await database.videos.search("映") == []

    await database.rebuild_search()

    assert [video.id for video in await database.videos.search("映")] == [changed.id]
    assert [video.id for video in await database.videos.search("mine")] == [mine.id]
    assert await database.videos.search("before") == []
    assert [prompt.text for prompt in await database.prompts.search("tan")] == ["tango"]
    with closing(sqlite3.connect(path)) as prompt, prompt:
        prompt.execute("INSERT INTO videos_fts (videos_fts) VALUES ('integrity-check')")
        prompt.execute("INSERT INTO prompts_fts (prompts_fts) VALUES ('integrity-check')")


async def test_a_rebuild_counts_what_it_indexed(database: Database) -> None:
    project = await database.projects.add("p", "/w")
    for number in range(3):
        await database.videos.add(project.id, f"{number}.mp4", "/v", 1.0, 25, 1, 1, 1)
    assert await database.videos.rebuild_search() == 3
    assert await database.prompts.rebuild_search() == 0
