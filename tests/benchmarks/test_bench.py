"""The bench runs, and refuses the time of a contender that did not do the work."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # where `python -m bench` finds it

from bench.__main__ import ROWS, main  # noqa: E402
from bench.data import QUICK, Stage, staged  # noqa: E402
from bench.measuring import OURS, Contender, Target, WrongResultError, measure  # noqa: E402
from bench.reporting import table  # noqa: E402

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with staged(QUICK) as stage:
        yield stage


def test_every_row_runs_and_prints_a_table(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--json", str(tmp_path / "figures.json")],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = msgspec.json.decode((tmp_path / "figures.json").read_bytes())
    for name in (*ROWS, "memory", "turns"):
        assert f"\n{name}: " in done.stdout
        assert figures[name]
    assert {"Python", "SQLite", "loop", "cores", "filesystem", "date"} <= figures["facts"].keys()


@pytest.mark.parametrize("name", ROWS)
def test_a_wrong_result_is_refused(name: str, stage: Stage) -> None:
    async def mutate() -> None:
        async with ROWS[name].contenders(stage) as contenders:
            assert OURS in {contender.name for contender in contenders}
            for contender in contenders:
                await _refuses_mutants(contender)

    asyncio.run(mutate())


async def _refuses_mutants(contender: Contender) -> None:
    results = await contender.run(0)
    contender.check(0, results)
    # More and fewer; and of other rows, unless the statement gives its writer no rows at all.
    mutants: list[list[Any]] = [[], results[:-1], [*results, results[0]]]
    if results[0] is not None:
        mutants.append([None, *results[1:]])
    if any(result != results[0] for result in results):
        mutants.append([*results[1:], results[0]])
    for mutant in mutants:
        with pytest.raises(WrongResultError):
            contender.check(0, mutant)


@pytest.mark.parametrize("name", ["insert", "insert-full", "progress"])
def test_a_writer_that_stores_nothing_is_refused(name: str, stage: Stage) -> None:
    async def mutate() -> None:
        async with ROWS[name].contenders(stage) as contenders:
            for contender in contenders:
                first = await contender.run(0)
                contender.check(0, first)
                with pytest.raises(WrongResultError):
                    contender.check(1, first)

    asyncio.run(mutate())


def test_ratios_and_targets(stage: Stage) -> None:
    results = asyncio.run(measure(ROWS["get"], stage, 2))
    assert results[OURS].speed_of_ours.most == 1
    text = table(ROWS["get"], {"asyncio": results})
    assert "target on asyncio: at most 1.15x the time of one bare hop" in text

    faster = Target("peer", speed=2)
    assert faster.is_reached(2)
    assert not faster.is_reached(1.9)
    slower = Target("peer", time=1.25)
    assert slower.is_reached(0.8)
    assert not slower.is_reached(0.79)


def test_an_unknown_row_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["nonsense"])
    assert refused.value.code == 2
    assert "nonsense" in capsys.readouterr().err
