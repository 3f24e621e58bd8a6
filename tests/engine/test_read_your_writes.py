"""Whoever reads after a write has returned sees it, also when reads are shared and readers are many."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import reelbase


async def test_a_read_after_a_write_sees_it_under_any_load(
    path: Path, journal: Literal["wal", "delete"]
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        await database.profiles.ensure("anna")

        async def write_then_read(number: int) -> bool:
            file = await database.files.add("anna", f"{number}", "p")
            return await database.files.find(file.id) == file

        async def noise() -> None:
            for _ in range(40):
                await asyncio.gather(*(database.profiles.find("anna") for _ in range(20)))
                await database.fetch_all(int, "SELECT count(*) FROM files, files AS other")

        background = [asyncio.ensure_future(noise()) for _ in range(3)]
        seen = await asyncio.gather(*(write_then_read(number) for number in range(600)))
        await asyncio.gather(*background)
    assert all(seen)
