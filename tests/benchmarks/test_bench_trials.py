"""The bench's trials of correctness find what is wrong, say why, and lose nothing of it."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # where `python -m bench` finds it

from mutant_trials import BlocksAtFirst, RaisesOneInTen  # noqa: E402

from bench.measuring import Spread, WrongResultError  # noqa: E402
from bench.options import new_loops  # noqa: E402
from bench.peers import faults, running  # noqa: E402
from bench.peers import main as command  # noqa: E402
from bench.peers.data import QUICK, Data, Template  # noqa: E402
from bench.peers.faults import Cancels, Findings  # noqa: E402
from bench.peers.growth import Growth, wall_seconds  # noqa: E402
from bench.peers.growth import main as growth_main  # noqa: E402
from bench.peers.libraries.with_sqlite3 import Sqlite3  # noqa: E402
from bench.peers.load import Load, calls, forget_added  # noqa: E402
from bench.peers.main import WORKS_BY_NAME, main  # noqa: E402
from bench.peers.reporting import (  # noqa: E402
    FINDINGS,
    Report,
    best_peer,
    findings_table,
    is_missed,
)
from bench.peers.running import Standing, Worker, measure, workers  # noqa: E402
from bench.peers.summary import summary  # noqa: E402
from bench.peers.trials import CANCELLED_UNITS, USES, write_at_pace  # noqa: E402
from bench.peers.weighing import footprint  # noqa: E402
from bench.peers.worker import Answer  # noqa: E402

pytestmark = pytest.mark.bench
MUTANT = "mutant_trials"
UNITS = CANCELLED_UNITS

SOUND = Findings(
    lost_updates=0,
    attempts=400,
    errors={},
    cancels=Cancels(UNITS, 600, 600, 1.0, {}, 0, 0, USES, USES, {}),
    exit_seconds=0.1,
    exit_failure=None,
    is_kept=True,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    template = Template(Data(QUICK), tmp_path_factory.mktemp("peers"))
    asyncio.run(template.create())
    return template


def _cancels(template: Template, monkeypatch: pytest.MonkeyPatch, mutant: str) -> Cancels:
    monkeypatch.setenv("MUTANT", mutant)
    monkeypatch.setattr(faults, "_CANCEL_SEEDS", (1,))
    with workers([MUTANT], "asyncio", QUICK) as (worker,):
        return faults._cancel(template, worker)


def test_one_torn_unit_in_fifty_is_found(
    template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancels = _cancels(template, monkeypatch, "TearsOneInFifty")
    assert cancels.torn == UNITS / 50
    assert cancels.lost == UNITS / 50
    assert (cancels.usable, cancels.unusable) == (USES, {})
    assert (cancels.completed, cancels.cancelled) == (UNITS, 0)
    assert cancels.one_side == "hardly any cancelled"  # sqlite3 cannot be cancelled halfway


def test_a_unit_that_completed_and_is_not_in_the_file_is_lost(
    template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancels = _cancels(template, monkeypatch, "LosesUnits")
    assert (cancels.torn, cancels.lost) == (0, UNITS)


def test_the_librarys_units_fall_on_both_sides_and_none_is_torn(template: Template) -> None:
    with workers(["reelbase"], "asyncio", QUICK) as (worker,):
        cancels = faults._cancel(template, worker)
    assert cancels.one_side is None
    assert (cancels.torn, cancels.lost, cancels.unusable) == (0, 0, {})
    runs = len(faults._CANCEL_SEEDS)
    assert cancels.completed + cancels.cancelled == cancels.units == runs * UNITS
    assert cancels.usable == cancels.uses == runs * USES


def test_one_poisoned_connection_of_ten_is_found_with_its_reason(
    template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancels = _cancels(template, monkeypatch, "RaisesOneInTen")
    reason = "RuntimeError: poisoned: it holds a transaction"
    assert cancels.unusable == {reason: USES / 10}
    assert cancels.usable == USES - USES / 10
    assert cancels.errors == {reason: (UNITS + 80) / 10}  # those of the warm-up too
    text = findings_table("asyncio", {"it": msgspec.structs.replace(SOUND, cancels=cancels)})
    assert "27 of 30 (RuntimeError)" in text
    assert f"3 x {reason}" in text


def test_an_add_that_is_not_in_the_file_is_no_use(
    template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancels = _cancels(template, monkeypatch, "ForgetsAdds")
    assert cancels.usable == 0
    assert cancels.unusable == {"an add that succeeded is not in the file": USES}


@pytest.mark.parametrize(
    ("mutant", "reason"),
    [("Dies", "its process ended, exit code 3"), ("Hangs", "no answer within 0.5 s")],
)
def test_who_dies_and_who_hangs_are_told_apart(
    mutant: str, reason: str, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "_CANCEL_PATIENCE_SECONDS", 0.5)
    cancels = _cancels(template, monkeypatch, mutant)
    assert (cancels.usable, cancels.unusable) == (0, {reason: USES})
    assert reason in cancels.errors
    found = msgspec.structs.replace(SOUND, cancels=cancels)
    assert FINDINGS["usable after cancels"](found) == f"0 of {USES} ({reason})"


@pytest.mark.parametrize(
    ("peer", "mutant", "failure"),
    [
        (MUTANT, "CannotAdd", "failed: exit code 1, RuntimeError: cannot add"),
        ("no_such_module", "", "failed: exit code 1, ModuleNotFoundError: No module named"),
    ],
)
def test_a_program_that_fails_does_not_hang(
    peer: str, mutant: str, failure: str, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUTANT", mutant)
    exit_seconds, exit_failure, is_kept = faults._leave(template, Worker(peer, "asyncio", QUICK))
    assert (exit_seconds, is_kept) == (None, None)
    assert exit_failure is not None
    assert exit_failure.startswith(failure)


def test_a_program_that_ends_by_itself_has_kept_what_it_stored(template: Template) -> None:
    exit_seconds, exit_failure, is_kept = faults._leave(
        template, Worker("sqlite3", "asyncio", QUICK)
    )
    assert exit_seconds is not None
    assert (exit_failure, is_kept) == (None, True)


def test_a_write_is_timed_from_when_it_fell_due(template: Template) -> None:
    async def tried() -> list[float]:
        peer = BlocksAtFirst()
        await peer.open(template.copy(), "normal")
        outcome = await write_at_pace(peer, template.data, 0)
        await peer.close()
        return outcome.milliseconds

    milliseconds = asyncio.run(tried())
    assert len(milliseconds) == QUICK.latencies
    assert max(milliseconds) >= 100
    # Nine fell due while the first had the loop, ten milliseconds apart.
    assert sum(each >= 15 for each in milliseconds) >= 8


def test_a_write_that_fails_is_counted_and_not_timed(template: Template) -> None:
    async def tried() -> tuple[int, dict[str, int], int]:
        peer = RaisesOneInTen()
        await peer.open(template.copy(), "normal")
        outcome = await write_at_pace(peer, template.data, 0)
        await peer.close()
        return outcome.succeeded, outcome.errors, len(outcome.milliseconds)

    failed = QUICK.latencies // 10
    succeeded, errors, timed = asyncio.run(tried())
    assert succeeded == timed == QUICK.latencies - failed
    assert errors == {"RuntimeError: poisoned: it holds a transaction": failed}


class _Answering:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def run(self, _: object, __: int) -> Answer:
        return self._answer


def test_an_operation_that_failed_is_no_operation_of_the_time_of_one(template: Template) -> None:
    work = msgspec.structs.replace(WORKS_BY_NAME["claim"], lost=None)
    operations = work.operations(template.data)
    failed = operations // 4
    errors = dict.fromkeys(range(failed), "busy")
    run = running._Run(
        _Answering(Answer(seconds=1.0, results=operations, errors=errors)),  # type: ignore[arg-type]
        template.copy(),
    )
    running._round(work, template, run, 1)
    assert run.microseconds == pytest.approx([1e6 / (operations - failed)])
    standing = run.standing(None)
    assert (standing.operations, standing.results) == (operations, operations)
    assert standing.errors == {"busy": failed}


def test_a_write_that_the_library_loses_is_an_error(
    template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUTANT", "ForgetsAdds")
    monkeypatch.setattr(running, "OURS", MUTANT)
    with (
        workers([MUTANT], "asyncio", QUICK) as started,
        pytest.raises(WrongResultError, match="insert: 4 of 4 lost"),
    ):
        measure(WORKS_BY_NAME["insert"], template, started, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lost_updates": 1},
        {"cancels": msgspec.structs.replace(SOUND.cancels, torn=1)},
        {"cancels": msgspec.structs.replace(SOUND.cancels, lost=1)},
        {"cancels": msgspec.structs.replace(SOUND.cancels, usable=USES - 1)},
        {"exit_seconds": None, "exit_failure": "hangs"},
        {"is_kept": False},
    ],
)
def test_what_the_library_does_wrong_is_a_target_missed(wrong: dict[str, object]) -> None:
    def report(findings: Findings | str) -> Report:
        return Report(findings={"uvloop": {"reelbase": findings, "other": "its process ended"}})

    assert not is_missed(report(SOUND))
    assert is_missed(report(msgspec.structs.replace(SOUND, **wrong)))
    assert is_missed(report("its process ended"))


def test_check_fails_and_what_was_found_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sound row first, then one of which the library loses every write."""
    monkeypatch.setenv("MUTANT", "ForgetsAdds")
    for module in (running, sys.modules["bench.peers.reporting"]):
        monkeypatch.setattr(module, "OURS", MUTANT)
    monkeypatch.setattr(command, "PEERS", (MUTANT,))
    monkeypatch.setattr(faults, "_CANCEL_SEEDS", (1,))
    given = ["--quick", "--rounds", "1", "--loop", "asyncio", "--check"]
    figures = tmp_path / "figures.json"
    assert main(["faults", *given, "--json", str(figures)]) == 1
    with pytest.raises(WrongResultError):
        main(["get", "insert", *given, "--json", str(figures)])
    report = msgspec.json.decode(figures.read_bytes(), type=Report)
    assert report.standings.keys() == {"get"}


def test_the_best_peer_is_found_within_the_rounds() -> None:
    """Not by its median over all rounds, some of which were slower for everybody."""

    def standing(microseconds: float, ratio: float) -> Standing:
        return Standing(Spread.of([microseconds]), Spread.of([ratio]), 10)

    assert best_peer({"quick by day": standing(5, 3), "better": standing(6, 2)}) == "better"


def test_the_markdown_says_why_and_with_which_versions() -> None:
    report = Report(
        facts={"loops": "asyncio"},
        versions={"peewee": "4.5.3"},
        standings={"get": {"asyncio": {"peewee": Standing(failure="not installed")}}},
        findings={"asyncio": {"apsw": "its process ended, exit code -11"}},
    )
    text = summary(report, "asyncio")
    assert "* peewee, get: not installed" in text
    assert "* apsw, faults: its process ended, exit code -11" in text
    assert text.endswith("loops asyncio, peewee 4.5.3")


def test_without_uvloop_both_is_asyncio(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert list(new_loops("both")) == ["asyncio"]
    assert "not installed" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="not installed"):
        new_loops("uvloop")


def test_no_rounds_are_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["get", "--rounds", "0"])
    assert refused.value.code == 2
    assert "1 or more" in capsys.readouterr().err


def test_who_uses_msgspec_is_charged_for_it(template: Template) -> None:
    ceiling, ours = (footprint(template, name) for name in ("sqlite3", "reelbase"))
    assert 0 < ceiling.import_ms < ours.import_ms
    assert 0 < ceiling.opened_mb < ours.opened_mb


def test_processes_that_take_turns_are_not_taken_to_run_at_once() -> None:
    answers = [Answer(seconds=2.0, started=10.0), Answer(seconds=2.0, started=12.0)]
    assert wall_seconds(answers) == 4


def test_what_loads_have_added_is_forgotten_and_nothing_else(template: Template) -> None:
    def count() -> int:
        with closing(sqlite3.connect(path)) as native:
            (rows,) = native.execute("SELECT count(*) FROM downloads").fetchone()
            return int(rows)

    async def add(first: int, operations: int) -> None:
        peer = Sqlite3()
        await peer.open(path, "normal")
        for call in calls(peer, template.data, Load("add", 1, operations, 0, seed=first)):
            await call()
        await peer.close()

    path = template.copy()
    asyncio.run(add(0, 20))
    asyncio.run(add(20, 5))  # loads of different lengths add different downloads
    assert count() == QUICK.downloads + 25
    forget_added(template.data, path)
    assert count() == QUICK.downloads


def test_growth_says_which_points_there_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.peers.growth._PEERS", ("reelbase", "no_such_module"))
    monkeypatch.setattr("bench.peers.growth._ROWS", (1000,))
    figures = tmp_path / "growth.json"
    assert growth_main(["--quick", "--json", str(figures)]) == 0
    growth = msgspec.json.decode(figures.read_bytes(), type=Growth)
    assert "reelbase" in growth.versions
    assert {failure.peer for failure in growth.failures} == {"no_such_module"}
    points = 3 + 2 * 3 + 2 * 2  # kinds by rows; by tasks; by processes
    assert len(growth.failures) == points
    assert all("not installed" in failure.reason for failure in growth.failures)
    for curves in (growth.rows, growth.tasks, growth.processes):
        assert all(by_peer.keys() == {"reelbase"} for by_peer in curves.values())


def test_a_footprint_is_taken_on_whichever_loop_comes_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("uvloop")
    assert main(["footprint", "--loop", "uvloop", "--quick", "--peer", "sqlite3"]) == 0
    printed = capsys.readouterr().out
    assert "footprint: import" in printed
    assert "uvloop " in printed.rpartition("loops ")[2]
