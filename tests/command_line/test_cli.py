"""The ``reelbase`` command as a shell sees it: exit codes, one-line errors, signals, pipes."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import reelbase
from reelbase.cli import demo, output
from reelbase.cli.main import COMMANDS, main
from reelbase.cli.output import PlainProgress, Progress, in_one_line, size
from reelbase.cli.process import Terminated, run_async
from reelbase.operations.quantities import counted

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(reelbase.__file__).parents[1])}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    return folder


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "reelbase", *map(str, arguments)],
        env=ENVIRONMENT,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def exit_code_of(*arguments: object) -> int:
    """In this process; argparse leaves by SystemExit."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as exit:
        return int(exit.code or 0)


def test_version_names_everything_that_a_report_of_a_bug_needs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_code_of("--version") == 0
    out = capsys.readouterr().out
    assert out.startswith("reelbase ")
    assert f"schema {reelbase.SCHEMA_VERSION}" in out
    assert sqlite3.sqlite_version in out


@pytest.mark.parametrize("command", [None, *(module.__name__ for module in COMMANDS)])
def test_help_is_everywhere(command: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    words = [] if command is None else [command.rpartition(".")[2].replace("_", "-")]
    words = [word.rstrip("-") for word in words]  # import_
    assert exit_code_of(*words, "--help") == 0
    assert "usage: reelbase" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["demo", "--nonsense"], ["demo", "a", "b"]]
)
def test_wrong_use_exits_with_2_and_says_how_it_is_used(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(*arguments) == 2
    captured = capsys.readouterr()
    assert "usage: reelbase" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("wrong", ["missing", "a.txt", "undecodable", "nul"])
def test_a_folder_that_cannot_be_scanned_is_wrong_use(
    wrong: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = {"undecodable": os.fsdecode(b"m\xff"), "nul": "a\0b"}.get(wrong, wrong)
    if wrong == "undecodable" and sys.platform == "linux":
        os.mkdir(os.fsencode(folder) + b"/m\xff")
    database = folder / "demo.db"
    assert exit_code_of("demo", "--database", database, f"{folder}/{name}") == 2
    _assert_one_line(capsys.readouterr().err)
    assert not database.exists()


@pytest.mark.parametrize("database", ["", ":memory:", "FOLDER", os.fsdecode(b"\xff.db")])
def test_a_database_that_cannot_be_one_is_wrong_use(
    database: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = str(folder) if database == "FOLDER" else database
    assert exit_code_of("demo", "--database", name, folder) == 2
    _assert_one_line(capsys.readouterr().err)


@pytest.mark.parametrize("kind", ["foreign", "no_database"])
def test_somebody_elses_file_exits_with_1_and_stays_as_it_was(
    kind: str, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "theirs.db"
    if kind == "foreign":
        connection = sqlite3.connect(theirs)
        connection.execute("CREATE TABLE a (b)")
        connection.close()
    else:
        theirs.write_text("no database at all, but longer than a header of a hundred bytes " * 9)
    before = theirs.read_bytes()
    assert exit_code_of("demo", "--database", theirs, folder) == 1
    captured = capsys.readouterr()
    _assert_one_line(captured.err)
    assert str(theirs) in captured.err
    assert captured.out == ""
    assert theirs.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["media", "theirs.db"]


def test_a_place_where_no_file_can_be_made_exits_with_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of("demo", "--database", folder / "a.txt" / "x.db", folder) == 1
    _assert_one_line(capsys.readouterr().err)


@pytest.mark.long
def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    assert exit_code_of("init", str(file)) == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "reelbase", "inspect", file],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 141
    assert errors == b""


@pytest.mark.long
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_an_error_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    assert exit_code_of("init", str(file)) == 0
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "reelbase", "inspect", file],
            env=ENVIRONMENT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert process.returncode == 1
    _assert_one_line(process.stderr, "inspect")


@pytest.mark.long
def test_the_module_runs_too() -> None:
    for module in ("reelbase", "reelbase.cli.main"):
        process = subprocess.run(
            [sys.executable, "-W", "error::RuntimeWarning", "-m", module, "--version"],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert process.stdout.startswith("reelbase ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
        (BrokenPipeError(), 141),
        (OSError(5, "Input/output error"), 1),
        (reelbase.DatabaseFullError("no space left;\nfree some"), 1),
    ],
)
def test_every_end_has_its_exit_code(
    error: BaseException,
    code: int,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(arguments: object) -> int:
        raise error

    monkeypatch.setattr(demo, "run", fail)
    assert exit_code_of("demo", folder) == code
    if code != 141:
        _assert_one_line(capsys.readouterr().err)


def test_text_for_one_line_keeps_what_can_be_shown() -> None:
    assert in_one_line("日本 ü [red]") == "日本 ü [red]"
    assert in_one_line("a\nb\x1b[31m\udcff") == "a\\nb\\x1b[31m\\udcff"


def test_numbers_are_readable() -> None:
    assert [size(number) for number in (0, 999, 1000, 1_234_567, 10**13)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "1.2 MB",
        "10.0 TB",
    ]
    assert (counted(1, "file"), counted(1234, "file")) == ("1 file", "1,234 files")


def test_plain_progress_is_at_most_a_line_a_second(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    display = PlainProgress()
    for step in range(31):
        now = 100.0 + step / 10
        display.show(Progress(step, 30, step < 30, "some"))
    display.close(Progress(30, 30, False, "all"))
    assert capsys.readouterr().err.splitlines() == [
        "10 of 30+  some",
        "20 of 30+  some",
        "30 of 30  some",
        "30 of 30  all",
    ]


@pytest.mark.parametrize("has_rich", [True, False])
def test_a_terminal_gets_tables_with_every_cell_as_it_is(
    has_rich: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if has_rich:
        pytest.importorskip("rich")
    else:
        monkeypatch.setitem(sys.modules, "reelbase.cli.rich_display", None)
    monkeypatch.setattr(output, "_is_terminal", lambda stream: True)
    display = output.progress_display()
    display.show(Progress(1, 2, True, "[bold]not markup"))
    display.close(Progress(2, 2, False, ""))
    output.print_tables([output.Table("Title", ("name", "n"), [("[red]a\nb", "1"), ("c", "22")])])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["[red]a\\nb", "1"] for line in lines), lines
    assert any(line.split() == ["c", "22"] for line in lines)
    assert any("Title" in line for line in lines)


def test_sigterm_lets_a_command_tidy_up() -> None:
    tidied = []

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0)
            tidied.append(True)

    with pytest.raises(Terminated):
        run_async(work())
    assert tidied


def test_an_error_of_a_task_comes_out_as_itself() -> None:
    async def fail() -> None:
        raise reelbase.DatabaseFullError("full")

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(asyncio.sleep(10))

    with pytest.raises(reelbase.DatabaseFullError):
        run_async(work())


def test_a_cancel_that_no_signal_asked_for_stays_one() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run_async(work())


def _assert_one_line(errors: str, command: str = "demo") -> None:
    assert errors.count("\n") == 1, errors
    assert errors.startswith(f"reelbase {command}: ")
    assert "Traceback" not in errors
