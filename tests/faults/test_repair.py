"""A promise about repair(): rows outside of damaged pages are all there, and the others are named.

A file with pages of every kind is damaged as disks do it, at places that a seed decides; every row of it
is then looked for.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from reelbase.operations.repair import repair_file
from reelbase.operations.salvage.losses import Losses
from reelbase.operations.salvage.tables import Table

from .conftest import Figure
from .wreckage import Truth, build, damage_file, damage_pages, judge, rows_of, truth_of

QUICK_SEEDS = (2, 8, 12)
FULL_SEEDS = range(30)
FULL_FILES = range(2, 12)
# The profiles in a file; four are the fewest with an interior page in most trees.
SIZE = 4

Whole = tuple[Path, Path, Truth]


def built(path: Path, seed: int) -> Whole:
    """A sound file, the same at an earlier moment, and what is in it."""
    earlier = build(path, seed, SIZE)
    return path, earlier, truth_of(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return built(tmp_path_factory.mktemp("wreck") / "sound.db", 1)


def problems_of(whole: Whole, path: Path, seed: int) -> list[str]:
    sound, earlier, before = whole
    choose = random.Random(seed)
    shutil.copy(sound, path)
    damage = damage_file if choose.random() < 0.25 else damage_pages
    wreck = damage(path, earlier, before, choose)
    content = path.read_bytes()
    report = repair_file(path, busy_timeout_seconds=1.0, on_progress=lambda *_: None)
    problems = judge(before, rows_of(path), wreck, report)
    problems += [f"still wrong: {problem}" for problem in report.problems]
    if report.copy is not None and report.copy.read_bytes() != content:
        problems.append("the copy is not the damaged file")
    for name in path.parent.glob(f"{path.name}*"):
        name.unlink()
    return [f"seed {seed}, {wreck.how}: {problem}" for problem in problems]


@pytest.mark.long
def test_rows_outside_of_damage_stay_and_the_others_are_named(
    whole: Whole, tmp_path: Path, full: bool, figure: Figure
) -> None:
    path = tmp_path / "x.db"
    found = [text for seed in QUICK_SEEDS for text in problems_of(whole, path, seed)]
    for number in FULL_FILES if full else ():
        other = built(tmp_path / f"{number}.db", number)
        for seed in FULL_SEEDS:
            found += [f"file {number}, {text}" for text in problems_of(other, path, seed)]
    count = len(FULL_FILES) * len(FULL_SEEDS) + len(QUICK_SEEDS)
    figure(f"repairs: {count} damaged files, {len(found)} problems")
    assert found == []


@pytest.mark.long
def test_a_file_follows_from_its_seed(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        path = tmp_path / name
        earlier = build(path, 5, 1)
        contents.append((path.read_bytes(), earlier.read_bytes()))
    assert contents[0] == contents[1]


@pytest.mark.long
def test_a_repair_that_drops_rows_in_silence_is_found(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Table.insert
    monkeypatch.setattr(Table, "insert", lambda self, rows: real(self, rows[:-1] or rows))
    assert any("is gone, and" in text for text in problems_of(whole, tmp_path / "x.db", 2))


@pytest.mark.long
def test_a_repair_that_names_nothing_is_found(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Losses, "lose_row", lambda *_, **__: None)
    assert any("not named" in text for text in problems_of(whole, tmp_path / "x.db", 8))
