"""The bench against other libraries runs, and finds what is wrong with a peer that does all wrong."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # where `python -m bench` finds it

import mutant_peer  # noqa: E402

from bench.measuring import Spread, WrongResultError  # noqa: E402
from bench.peers.data import QUICK, Data, Template  # noqa: E402
from bench.peers.faults import Findings, attempted, find  # noqa: E402
from bench.peers.growth import Growth  # noqa: E402
from bench.peers.interface import PRAGMAS, Peer  # noqa: E402
from bench.peers.libraries.with_sqlite3 import Sqlite3  # noqa: E402
from bench.peers.load import Load, check  # noqa: E402
from bench.peers.main import ROWS, WORKS_BY_NAME, main  # noqa: E402
from bench.peers.records import Download  # noqa: E402
from bench.peers.reporting import Report, best_peer, is_missed  # noqa: E402
from bench.peers.running import PeerFailedError, Standing, measure, workers  # noqa: E402
from bench.peers.work import TASKS, Work, nothing_to_check  # noqa: E402
from bench.peers.works import WORKS  # noqa: E402
from reelbase.engine.native.pragmas import EVERY_CONNECTION, WRITER  # noqa: E402

pytestmark = pytest.mark.bench
MUTANT = "mutant_peer"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    template = Template(Data(QUICK), tmp_path_factory.mktemp("peers"))
    asyncio.run(template.create())
    return template


def test_every_row_runs_and_prints_a_table(tmp_path: Path) -> None:
    peers = ["reelbase", "sqlite3", "aiosqlite"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "peers", "--quick", "--rounds", "1"),
            *("--loop", "asyncio", "--json", str(tmp_path / "figures.json")),
            *("--markdown", str(tmp_path / "figures.md")),
            *(argument for peer in peers for argument in ("--peer", peer)),
        ],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = msgspec.json.decode((tmp_path / "figures.json").read_bytes(), type=Report)
    for name in ROWS:
        assert f"\n{name}" in done.stdout
    assert report.standings.keys() == WORKS_BY_NAME.keys()
    for standings in report.standings.values():
        for peer in peers:
            standing = standings["asyncio"][peer]
            assert standing.microseconds is not None, standing.failure
            assert standing.microseconds.least > 0
            assert not standing.lost
    table = (tmp_path / "figures.md").read_text("utf-8")
    assert "| | reelbase | sqlite3 | aiosqlite | best peer, target |" in table.replace(
        "|  |", "| |"
    )
    for name in (*WORKS_BY_NAME, "lost updates, two processes", "import ms"):
        assert f"\n| {name} | " in table
    for findings in report.findings["asyncio"].values():
        assert isinstance(findings, Findings)
        assert (findings.lost_updates, findings.torn, findings.is_kept) == (0, 0, True)
    assert {
        "reelbase",
        "aiosqlite",
        "Python",
        "SQLite",
    } <= report.facts.keys() | report.versions.keys()


def test_the_peers_are_set_up_as_the_library_is() -> None:
    own = {name: value for name, value in PRAGMAS.items() if name != "busy_timeout"}
    assert own == {**dict(EVERY_CONNECTION), **dict(WRITER)}


async def _run(work: Work, template: Template, peer: Peer) -> tuple[Any, list[Any], int]:
    """What was asked for, what came back, and how many operations were lost; it has been checked."""
    path = template.copy()
    await peer.open(path, work.durability)
    try:
        prepared = work.prepare(template.data, 0)
        background = None if work.arrange is None else await work.arrange(peer, prepared)
        results = await work.run(peer, prepared)
        if background is not None:
            await background
        work.check(template.data, prepared, results)
    finally:
        await peer.close()
    failed = {number for number, result in enumerate(results) if isinstance(result, Exception)}
    with closing(sqlite3.connect(path)) as native:
        lost = 0 if work.lost is None else work.lost(native, template.data, prepared, failed)
    return prepared, results, lost


@pytest.mark.parametrize("name", [work.name for work in WORKS if work.check != nothing_to_check])
def test_a_wrong_result_is_refused(name: str, template: Template) -> None:
    work = WORKS_BY_NAME[name]
    prepared, results, lost = asyncio.run(_run(work, template, Sqlite3()))
    assert lost == 0
    first = next(number for number, result in enumerate(results) if result is not None)
    before, after = results[:first], results[first + 1 :]
    changed = (*results[first][:3], "changed", *results[first][4:])
    for mutant in ([*before, changed, *after], [*before, *after]):
        with pytest.raises((WrongResultError, ValueError)):
            work.check(template.data, prepared, mutant)


@pytest.mark.parametrize("name", ["get", "insert", "claim"])
def test_every_field_of_a_download_is_compared(name: str, template: Template) -> None:
    work = WORKS_BY_NAME[name]
    prepared, (first, *others), _ = asyncio.run(_run(work, template, Sqlite3()))
    for field in range(len(first)):
        changed = (*first[:field], "changed", *first[field + 1 :])
        with pytest.raises(WrongResultError):
            work.check(template.data, prepared, [changed, *others])


@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        ("insert-64", mutant_peer.SwapsSessions),
        ("claim", mutant_peer.ClaimsTwice),
        ("claim", mutant_peer.ClaimsTheNewest),
        ("claim", mutant_peer.ClaimsBackwards),
        ("claim", mutant_peer.ClaimsNothing),
        ("beside-scan", mutant_peer.ScansNothing),
    ],
)
def test_a_wrong_answer_is_refused(name: str, mutant: type[Peer], template: Template) -> None:
    with pytest.raises(WrongResultError):
        asyncio.run(_run(WORKS_BY_NAME[name], template, mutant()))


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("insert", "url", "https://example.org/another"),
        ("insert-64", "url", "https://example.org/another"),
        ("insert-64-full", "url", "https://example.org/another"),
        ("bulk", "url", "https://example.org/another"),
        ("bulk", "session_id", "nobody"),
        ("bulk", "status", "extracting"),
        ("bulk", "format_id", "another"),
        ("bulk", "quality", None),
        ("bulk", "output_template", "another"),
        ("bulk", "filesize", 1),
        ("bulk", "progress_percent", 50),
        ("bulk", "created_at", "2020-01-31T12:00:00.000Z"),
        ("bulk", "started_at", "2026-01-31T12:00:00.000Z"),
    ],
)
def test_what_is_stored_otherwise_is_lost(
    name: str, column: str, value: object, template: Template
) -> None:
    work = WORKS_BY_NAME[name]
    mutant = mutant_peer.StoresOtherwise(column, value)
    _, _, lost = asyncio.run(_run(work, template, mutant))
    assert lost == work.operations(template.data)


def _reports(data: Data) -> int:
    work = WORKS_BY_NAME["mixed"]
    return sum(not isinstance(each, Download) for each in work.prepare(data, 0))


@pytest.mark.parametrize(
    ("name", "mutant", "lost"),
    [
        ("insert", mutant_peer.StoresNoSession, lambda data: 1),
        ("bulk", mutant_peer.DropsTheLast, lambda data: 1),
        ("claim", mutant_peer.ForgetsClaims, WORKS_BY_NAME["claim"].operations),
        ("mixed", mutant_peer.ReportsNothing, _reports),
    ],
)
def test_what_the_file_does_not_show_is_counted(
    name: str, mutant: type[Peer], lost: Callable[[Data], int], template: Template
) -> None:
    _, _, counted = asyncio.run(_run(WORKS_BY_NAME[name], template, mutant()))
    assert counted == lost(template.data) > 0


def test_reports_after_the_one_that_is_shown_are_lost(template: Template, tmp_path: Path) -> None:
    longer = Template(Data(msgspec.structs.replace(QUICK, writes_per_task=3)), tmp_path)
    shutil.copy(template.path, longer.path)
    _, _, lost = asyncio.run(_run(WORKS_BY_NAME["progress"], longer, mutant_peer.ReportsOnce()))
    assert lost == TASKS * 2


def test_an_operation_that_fails_is_an_error(template: Template) -> None:
    with workers(["failing_peer"], "asyncio", QUICK) as started:
        (standing,) = measure(WORKS_BY_NAME["claim"], template, started, 1).values()
    assert standing.failure is None
    assert standing.errors == {"RuntimeError: not now": standing.operations // 2}
    assert standing.lost == 0


@pytest.mark.parametrize("name", ["insert", "progress"])
def test_a_write_that_is_lost_is_counted(name: str, template: Template) -> None:
    with workers([MUTANT], "asyncio", QUICK) as started:
        (standing,) = measure(WORKS_BY_NAME[name], template, started, 1).values()
    assert standing.failure is None
    assert standing.lost == standing.operations


def test_an_update_that_is_lost_is_counted(template: Template) -> None:
    with workers([MUTANT], "asyncio", QUICK) as started:
        (standing,) = measure(WORKS_BY_NAME["read-modify-write"], template, started, 1).values()
    assert standing.lost == standing.operations - 2  # each round stores one of 64


def test_what_goes_wrong_is_found(template: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.peers.faults._EXIT_PATIENCE_SECONDS", 1.0)
    with workers([MUTANT], "asyncio", QUICK) as (worker,):
        findings = find(template, worker)
    assert findings.lost_updates > 0
    assert findings.torn > 0
    assert not findings.is_usable
    assert findings.exit_seconds is None
    assert not findings.is_kept


def test_a_peer_that_is_not_installed_says_so(template: Template) -> None:
    with workers(["no_such_module"], "asyncio", QUICK) as started:
        (standing,) = measure(WORKS_BY_NAME["get"], template, started, 1).values()
        assert standing.failure is not None
        assert "not installed (No module named 'no_such_module')" in standing.failure
        said = attempted(lambda: started[0].open(template.copy(), "normal"))
        assert isinstance(said, str)
        assert "[peers]" in said


def test_a_process_that_ends_is_a_failure_of_the_peer(template: Template) -> None:
    with workers(["reelbase"], "asyncio", QUICK) as (worker,):
        worker.open(template.copy(), "normal")
        assert worker._process is not None
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(PeerFailedError, match="ended"):
            worker.run(WORKS_BY_NAME["get"], 0)
        worker.open(template.copy(), "normal")  # it starts again
        assert worker.run(WORKS_BY_NAME["get"], 0).results == QUICK.gets


def test_the_best_peer_is_the_fastest_that_lost_nothing() -> None:
    def standing(times: float, lost: int = 0) -> Standing:
        return Standing(Spread(times, times, times), Spread(times, times, times), 10, {}, lost)

    standings = {
        "reelbase": standing(1),
        "sqlite3": standing(0.5),
        "fast and wrong": standing(1.5, lost=3),
        "slow": standing(4),
        "right": standing(1.9),
    }
    assert best_peer(standings) == "right"
    report = Report(standings={"get": {"asyncio": standings}})
    assert is_missed(report)  # 2 is the target
    standings["right"] = standing(2)
    assert not is_missed(report)


def test_an_unknown_row_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["nonsense"])
    assert refused.value.code == 2
    assert "nonsense" in capsys.readouterr().err


def test_growth_runs_and_draws(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "growth", "--quick", "--peer", "reelbase"),
            *("--json", str(tmp_path / "growth.json"), "--plots", str(tmp_path)),
        ],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "src"), "MPLCONFIGDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    growth = msgspec.json.decode((tmp_path / "growth.json").read_bytes(), type=Growth)
    assert [point.at for point in growth.rows["get"]["reelbase"]] == [1000, 10_000]
    for durations in growth.calls.values():
        assert [duration.rows for duration in durations] == [1000, 10_000]
    for curves in (growth.rows, growth.tasks, growth.processes):
        for by_peer in curves.values():
            for point in by_peer["reelbase"]:
                assert point.operations_per_second > 0
                assert not point.failed
    for name in ("rows.png", "tasks.png", "processes.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_load_that_gives_something_else_is_refused() -> None:
    load = Load("get", 1, 2, 100)
    with pytest.raises(WrongResultError):
        check(load, [Data(QUICK).downloads[0]] * 2)
    with pytest.raises(WrongResultError):
        check(Load("list", 1, 1, 100), [[]])
