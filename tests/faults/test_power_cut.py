"""A promise about power cuts: what was acknowledged is on the disk, and nothing is ever torn.

The real process runs with a recorder between it and its files. At every event of the recording the
power is cut, and of what no sync had made safe some is kept, some dropped, some garbled.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import reelbase

from .conftest import Figure
from .disk import MARKS, Disk, Event, Image, identity, recorded, without_syncs_of, write_image
from .workload import (
    MUTANTS,
    Marks,
    Stored,
    connect,
    marking_on,
    problems,
    stored_in,
    write,
)

DATABASE = "media.db"
COPY = "copy.db"
COPIED = "c-copy"  # the key of the backup
DURABILITIES = ("balanced", "full", "normal")
QUICK_ROUNDS, FULL_ROUNDS = 2, 4
QUICK_IMAGES = 150
VARIANTS = 5  # images of each event
# So that a short recording has many checkpoints.
_OFTEN = "PRAGMA wal_autocheckpoint = 40"


def main(folder: Path, journal: str, durability: str, rounds: int, mutant: str) -> None:
    """What is recorded: a database is made, written, copied, closed, opened again and written."""
    if mutant in MUTANTS:
        MUTANTS[mutant]()
    mark = marking_on(os.open(folder / MARKS, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600))

    async def work() -> None:
        first = 2 * DURABILITIES.index(durability)  # each writes something else
        for seed in (first, first + 1):
            async with connect(folder / DATABASE, journal, durability) as database:
                await database._writer.call(lambda native: native.execute(_OFTEN).close())
                await write(database, mark, rounds=rounds, seed=seed)
                if seed == first:
                    mark("s", COPIED)
                    await database.backup(folder / COPY)
                    mark("a", COPIED)

    asyncio.run(work())


def record(
    shim: Path, place: Path, journal: str, durability: str, rounds: int, mutant: str = ""
) -> tuple[Path, list[Event]]:
    folder, log = place / "recorded", place / "log"
    folder.mkdir()
    environment = os.environ | {
        "LD_PRELOAD": str(shim),
        "SHIM_FOLDER": str(folder),
        "SHIM_LOG": str(log),
    }
    if mutant == "syncs_are_lies":
        environment["SHIM_NO_SYNC"] = "1"
    done = subprocess.run(
        [sys.executable, "-m", __name__, folder, journal, durability, str(rounds), mutant],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder, recorded(log)


@dataclass
class Report:
    images: int = 0
    different: int = 0
    found: list[str] = field(default_factory=list)


def cut(folder: Path, events: list[Event], level: str, images: int | None, scratch: Path) -> Report:
    """Cuts the power at every event, or evenly at some of them to have about that many images."""
    choose = random.Random(1)
    scratch.mkdir()
    moments = sum(1 for _ in Disk(folder).replay(events))
    step = 1 if images is None else max(1, moments * VARIANTS // images)
    disk, marks, report = Disk(folder), Marks(), Report()
    known: dict[bytes, Stored] = {}
    whole_copy = (folder / COPY).read_bytes()
    for n, moment in enumerate(disk.replay(events)):
        marks.add(disk.marks, moment)
        disk.marks.clear()
        if n % step != 0:
            continue
        # What the level does not make safe when its call returns is safe with the next sync.
        synced = max(disk.last_syncs.get(name, -1) for name in (DATABASE, f"{DATABASE}-wal"))
        hard = synced if level == "normal" else moment + 1
        hard_progress = moment + 1 if level == "full" else synced
        for image in disk.images(choose, VARIANTS):
            report.images += 1
            copy = image.pop(COPY, None)
            if copy is None and moment >= marks.acknowledged.get(COPIED, len(events)):
                report.found.append(f"event {moment}: the backup is lost")
            elif copy not in (None, whole_copy):
                report.found.append(f"event {moment}: the backup is not whole")
            ours = {name: image[name] for name in image if name.startswith(DATABASE)}
            key = identity(ours)
            if key not in known:
                known[key] = look(ours, scratch)
                if known[key].damage is None and len(known) % 100 == 0:
                    asyncio.run(use(scratch / DATABASE))
            wrong = problems(
                known[key], marks, until=moment + 1, hard=hard, hard_progress=hard_progress
            )
            report.found += [f"event {moment}: {problem}" for problem in wrong]
        if report.found:
            break
    report.different = len(known)
    return report


def look(image: Image, scratch: Path) -> Stored:
    if not image:
        return Stored(None, {}, {})
    write_image(image, scratch)
    return stored_in(scratch / DATABASE)


async def use(path: Path) -> None:
    """The library itself opens what is left, and writes."""
    async with reelbase.connect(path) as database:
        before = await database.profiles.count()
        await database.profiles.ensure("after the cut")
        assert await database.profiles.count() == before + 1


@pytest.mark.long
@pytest.mark.parametrize("durability", DURABILITIES)
def test_a_power_cut_loses_nothing_that_was_to_be_safe(
    shim: Path, memory_folder: Path, mode: str, durability: str, full: bool, figure: Figure
) -> None:
    rounds, images = (FULL_ROUNDS, None) if full else (QUICK_ROUNDS, QUICK_IMAGES)
    folder, events = record(shim, memory_folder, mode, durability, rounds)
    # A rollback journal has one level only.
    level = "full" if mode == "delete" else durability
    report = cut(folder, events, level, images, memory_folder / "cut")
    assert report.found == []
    assert report.different > QUICK_IMAGES / 4
    figure(
        f"power cut, {mode}, {durability}: {report.images} images of {len(events)} events, "
        f"{report.different} different, 0 lost, torn or corrupt"
    )


@pytest.mark.long
@pytest.mark.parametrize(
    ("mutant", "journal"),
    [
        ("syncs_are_lies", "wal"),
        ("syncs_are_lies", "delete"),
        ("commit_without_sync", "wal"),
        ("commit_without_folder", "delete"),
        ("acknowledge_early", "wal"),
    ],
)
def test_the_cuts_find(mutant: str, journal: str, shim: Path, memory_folder: Path) -> None:
    folder, events = record(shim, memory_folder, journal, "full", QUICK_ROUNDS, mutant)
    report = cut(folder, events, "full", QUICK_IMAGES, memory_folder / "cut")
    assert report.found != []


@pytest.mark.long
def test_the_cuts_find_a_backup_that_is_not_synced(
    shim: Path, memory_folder: Path, journal: str
) -> None:
    folder, events = record(shim, memory_folder, journal, "full", QUICK_ROUNDS)
    events = list(without_syncs_of(events, ".partial"))
    report = cut(folder, events, "full", QUICK_IMAGES, memory_folder / "cut")
    assert "the backup is not whole" in report.found[0]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
