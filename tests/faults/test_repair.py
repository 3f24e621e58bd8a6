"""A promise about repair(): rows outside of damaged pages are all there, and the others are named.

A file with pages of every kind is damaged as disks do it, at places that a seed decides; every row of it
is then looked for.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from reelbase.operations.repair import repair_file
from reelbase.operations.salvage.losses import Losses
from reelbase.operations.salvage.tables import Table

from .conftest import Figure
from .wreckage import Truth, build, damage_file, damage_pages, judge, truth_of

QUICK_SEEDS = (2, 8, 12)
FULL_SEEDS = range(300)
# Damage that leaves a page plausible: what was on it may be another, and nothing tells.
BLIND = frozenset({"flips", "torn", "stale", "misdirected"})


@pytest.fixture(scope="module")
def wreck(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Truth]:
    """A sound file, the same at an earlier moment, and what is in it."""
    path = tmp_path_factory.mktemp("wreck") / "sound.db"
    earlier = build(path, 1)
    return path, earlier, truth_of(path)


def problems_of(wreck: tuple[Path, Path, Truth], path: Path, seed: int) -> list[str]:
    sound, earlier, before = wreck
    choose = random.Random(seed)
    shutil.copy(sound, path)
    damage = damage_file if choose.random() < 0.25 else damage_pages
    how, pages = damage(path, earlier, choose)
    content = path.read_bytes()
    report = repair_file(path, busy_timeout_seconds=1.0, on_progress=lambda *_: None)
    problems = judge(
        before, pages, truth_of(path), report, is_blind=how.split(maxsplit=1)[0] in BLIND
    )
    problems += [f"still wrong: {problem}" for problem in report.problems]
    if report.copy is not None and report.copy.read_bytes() != content:
        problems.append("the copy is not the damaged file")
    for name in path.parent.glob(f"{path.name}*"):
        name.unlink()
    return [f"seed {seed}, {how}: {problem}" for problem in problems]


def test_rows_outside_of_damage_stay_and_the_others_are_named(
    wreck: tuple[Path, Path, Truth], tmp_path: Path, full: bool, figure: Figure
) -> None:
    seeds: Sequence[int] = FULL_SEEDS if full else QUICK_SEEDS
    found = [text for seed in seeds for text in problems_of(wreck, tmp_path / "x.db", seed)]
    figure(f"repairs: {len(seeds)} damaged files, {len(found)} problems")
    assert found == []


def test_a_repair_that_drops_rows_in_silence_is_found(
    wreck: tuple[Path, Path, Truth], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Table.insert
    monkeypatch.setattr(Table, "insert", lambda self, rows: real(self, rows[:-1] or rows))
    assert any("is gone, and" in text for text in problems_of(wreck, tmp_path / "x.db", 2))


def test_a_repair_that_names_nothing_is_found(
    wreck: tuple[Path, Path, Truth], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Losses, "lose_row", lambda *_, **__: None)
    assert any("not named" in text for text in problems_of(wreck, tmp_path / "x.db", 8))
