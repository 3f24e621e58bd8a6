"""``reelbase check``, ``backup``, ``restore`` and ``optimize`` as a shell sees them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase.cli import backup
from reelbase.cli.main import main

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(reelbase.__file__).parents[1])}


@pytest.fixture
def file(path: Path) -> Path:
    """A database with a row."""
    change(path, "INSERT INTO profiles (id) VALUES ('first')")
    return path


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        for statement in statements:
            native.execute(statement)


def value(path: Path, sql: str) -> Any:
    with closing(sqlite3.connect(path)) as native:
        return native.execute(sql).fetchone()[0]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


# check


def test_check_of_a_sound_database(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mode = value(file, "PRAGMA journal_mode")
    assert run("check", file) == 0
    assert f"{file} is sound (schema {reelbase.SCHEMA_VERSION}, " in capsys.readouterr().out
    assert run("check", file, "--json") == 0
    report = printed(capsys)
    assert report["ok"] is True
    assert report["problems"] == []
    assert value(file, "PRAGMA journal_mode") == mode == report["journal_mode"]


def test_check_tells_what_is_wrong_by_its_exit_code(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(
        file,
        "PRAGMA foreign_keys = OFF",
        "INSERT INTO files (id, profile_id, name, path) "
        "VALUES ('10000000-0000-7000-8000-000000000000', 'nobody', '', '')",
    )
    assert run("check", file) == 1
    out = capsys.readouterr().out
    assert "problem: row 1 of files refers to a row of profiles" in out
    assert "not sound: 1 problem (" in out
    assert run("check", file, "--json") == 1
    assert len(printed(capsys)["problems"]) == 1


def test_check_names_what_analyze_has_gathered_and_optimize_removes_it(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = "SELECT count(*) FROM sqlite_stat1"
    change(file, "ANALYZE")
    gathered = value(file, count)
    assert gathered > 0
    assert run("check", file) == 0
    out = capsys.readouterr().out
    assert "note: ANALYZE has gathered statistics of tables that must have none" in out
    assert "profiles" in out
    assert value(file, count) == gathered  # check changes nothing
    assert run("optimize", file) == 0
    capsys.readouterr()
    assert value(file, count) == 0
    assert run("check", file) == 0
    assert "ANALYZE" not in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "optimize", "backup"])
@pytest.mark.parametrize("wrong", ["missing", "folder", ":memory:", ""])
def test_what_is_no_database_is_wrong_use(
    wrong: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    assert run(command, wrong if wrong in ("", ":memory:") else tmp_path / wrong) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"reelbase {command}: ")
    assert error.count("\n") == 1
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize("command", ["check", "optimize"])
def test_an_empty_file_is_not_filled(command: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty.db"
    empty.touch()
    assert run(command, empty) == 2
    assert empty.stat().st_size == 0


@pytest.mark.parametrize("command", ["check", "optimize", "backup"])
def test_a_foreign_database_is_left_alone(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign.db"
    change(foreign, "CREATE TABLE theirs (text TEXT)")
    before = foreign.read_bytes()
    assert run(command, foreign) == 1
    assert "another program" in capsys.readouterr().err
    assert foreign.read_bytes() == before
    assert os.listdir(tmp_path) == ["foreign.db"]


# backup


def test_a_backup_to_a_file_and_back(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.db"
    assert run("backup", file, copy) == 0
    assert re.fullmatch(rf"{copy}: [\d.]+ [kM]B, verified, in [\d.]+ s\n", capsys.readouterr().out)
    change(file, "INSERT INTO profiles (id) VALUES ('second')")
    assert run("backup", file, copy) == 2
    assert "already exists" in capsys.readouterr().err
    assert run("restore", copy, file) == 0
    out = capsys.readouterr().out
    assert "restored and verified" in out
    assert value(file, "SELECT group_concat(id) FROM profiles") == "first"
    (kept,) = tmp_path.glob("media.db.*.bak")
    assert f"the database before is kept as {kept}" in out
    assert value(kept, "SELECT count(*) FROM profiles") == 2
    assert run("restore", kept, file, "--no-backup") == 0
    assert value(file, "SELECT count(*) FROM profiles") == 2
    assert [*tmp_path.glob("media.db.*")] == [kept]


@pytest.mark.long
def test_a_folder_keeps_the_newest_backups_and_what_is_not_ours(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    others = ["media-1.db", "media-20260131T000000000Z.db", "media-20380131T000000000Z.db"]
    for name in others:
        shutil.copy(file, folder / name)
    made = []
    for _ in range(3):
        assert run("backup", file, folder, "--keep", 2, "--json") == 0
        made.append(printed(capsys))
    assert [report["removed"] for report in made] == [[], [], [made[0]["backup"]]]
    assert sorted(os.listdir(folder)) == sorted(
        [*others, *(Path(report["backup"]).name for report in made[1:])]
    )
    assert made[2]["size_bytes"] == os.path.getsize(made[2]["backup"])


def test_without_a_target_the_backup_is_beside_the_database(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("backup", file, "--json") == 0
    backup = Path(printed(capsys)["backup"])
    assert backup.parent == tmp_path
    assert re.fullmatch(r"media-\d{8}T\d{9}Z\.db", backup.name)
    assert value(backup, "SELECT count(*) FROM profiles") == 1


def test_keep_needs_a_number(file: Path, tmp_path: Path) -> None:
    assert run("backup", file, tmp_path, "--keep", 0) == 2
    assert os.listdir(tmp_path) == ["media.db"]


@pytest.mark.long
def test_keep_goes_with_a_file_as_well(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("backup", file, tmp_path / "monday.db", "--keep", 1) == 0
    assert run("backup", file, tmp_path / "tuesday.db", "--keep", 1) == 0
    assert capsys.readouterr().out.endswith("removed 1 older backup\n")
    assert sorted(os.listdir(tmp_path)) == ["media.db", "tuesday.db"]


@pytest.mark.long
def test_a_folder_for_backups_that_does_not_exist_is_made(file: Path, tmp_path: Path) -> None:
    for target, *options in (("kept", "--keep", 7), ("slashed/",)):
        for _ in range(2):
            assert run("backup", file, f"{tmp_path}/{target}", *options) == 0
        assert len(list((tmp_path / target).glob("media-*Z.db"))) == 2


def test_a_folder_for_backups_is_made_only_where_it_can_be_meant(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("backup", file, tmp_path / "missing" / "kept", "--keep", 7) == 2
    assert (
        f"cannot make the folder {tmp_path}/missing/kept: No such file" in capsys.readouterr().err
    )
    assert run("backup", tmp_path / "no.db", tmp_path / "kept", "--keep", 7) == 2
    assert run("backup", file, f"{file}/") == 2
    assert sorted(tmp_path.glob("[km]*")) == [file]


@pytest.mark.long
def test_a_clock_that_goes_back_costs_no_backup(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    for year in (2038, 2037, 2026, 2025):

        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Clock:
                return cls(year, 1, 1, tzinfo=tz)  # noqa: B023 - called at once

        monkeypatch.setattr(backup, "datetime", Clock)
        assert run("backup", file, folder, "--keep", 2) == 0
    assert sorted(os.listdir(folder)) == [
        "media-20250101T000000000Z.db",
        "media-20260101T000000000Z.db",
    ]


@pytest.mark.long
def test_two_databases_may_have_their_backups_in_one_folder(tmp_path: Path) -> None:
    """Only the name of a database was compared once: the second removed all of the first's."""
    folder = tmp_path / "backups"
    folder.mkdir()
    for name in ("tv", "films"):
        assert run("init", tmp_path / name / "media.db") == 0
    for name in ("tv", "tv", "tv", "films", "films", "films"):
        assert run("backup", tmp_path / name / "media.db", folder, "--keep", 2) == 0
    of = Counter(
        value(copy, "SELECT database_id FROM database_identity") for copy in folder.iterdir()
    )
    assert of == {
        value(tmp_path / name / "media.db", "SELECT database_id FROM database_identity"): 2
        for name in ("tv", "films")
    }


def test_a_backup_of_an_older_version_is_of_that_version(file: Path, tmp_path: Path) -> None:
    change(file, f"PRAGMA user_version = {reelbase.SCHEMA_VERSION - 1}")
    assert run("backup", file, tmp_path / "copy.db") == 0
    assert value(tmp_path / "copy.db", "PRAGMA user_version") == reelbase.SCHEMA_VERSION - 1
    assert value(file, "PRAGMA user_version") == reelbase.SCHEMA_VERSION - 1


@pytest.mark.long
def test_the_database_may_be_in_use_but_not_for_restore(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], journal: Any
) -> None:
    async def use() -> list[int]:
        async with reelbase.connect(file, journal=journal) as database:
            await database.profiles.ensure("second")
            run_later = asyncio.to_thread
            copy = tmp_path / "copy.db"
            codes = [
                await run_later(run, "backup", file, copy),
                await run_later(run, "check", file),
                await run_later(run, "optimize", file),
                await run_later(run, "restore", copy, file),
            ]
            await database.profiles.ensure("third")
            return codes

    assert asyncio.run(use()) == [0, 0, 0, 1]
    assert "in use" in capsys.readouterr().err
    assert value(tmp_path / "copy.db", "SELECT count(*) FROM profiles") == 2
    assert value(file, "SELECT count(*) FROM profiles") == 3
    assert [*tmp_path.glob("*.bak")] == []


@pytest.mark.long
def test_a_terminated_backup_leaves_nothing(file: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from reelbase.engine.copies import retention\n"
        "real = retention.write_copy\n"
        "def slow(source, target, *, on_step, mark):\n"
        "    def step(done, total):\n"
        "        print('step', flush=True)\n"
        "        time.sleep(0.2)\n"
        "        on_step(done, total)\n"
        "    return real(source, target, on_step=step, mark=mark)\n"
        "retention.write_copy = slow\n"
        "from reelbase.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", code, "backup", str(file), str(tmp_path / "copy.db")]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "step\n"
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 143
    assert error.count("\n") == 1
    assert os.listdir(tmp_path) == ["media.db"]


# restore


@pytest.mark.long
def test_restore_says_where_a_damaged_database_went(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.db"
    assert run("backup", file, copy) == 0
    with file.open("r+b") as damaged:
        damaged.seek(100)
        damaged.write(b"\x5a" * 3000)
    capsys.readouterr()
    assert run("restore", copy, file, "--json") == 0
    report = printed(capsys)
    assert report["restored"] == str(file)
    assert Path(report["set_aside"]).stat().st_size == file.stat().st_size
    assert report["backup"] is None
    assert [*tmp_path.glob("*.bak")] == []
    assert value(file, "SELECT count(*) FROM profiles") == 1


@pytest.mark.long
def test_restore_keeps_a_damaged_database_that_it_can_replace(file: Path, tmp_path: Path) -> None:
    """Damage in a table, which nobody reads at a restore."""
    copy = tmp_path / "copy.db"
    assert run("backup", file, copy) == 0
    page = value(file, "SELECT rootpage FROM sqlite_schema WHERE name = 'profiles'")
    size = value(file, "PRAGMA page_size")
    with file.open("r+b") as damaged:
        damaged.seek((page - 1) * size)
        damaged.write(b"\x5a" * size)
    before = file.read_bytes()
    assert run("restore", copy, file) == 0
    assert value(file, "SELECT count(*) FROM profiles") == 1
    (kept,) = [*tmp_path.glob("media.db.*.bak"), *tmp_path.glob("media.db.set-aside-*")]
    assert kept.read_bytes() == before


@pytest.mark.long
def test_restore_to_a_new_or_empty_file_keeps_no_copy(file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    for target in (tmp_path / "new.db", tmp_path / "empty.db"):
        assert run("restore", file, target) == 0
        assert value(target, "SELECT count(*) FROM profiles") == 1
    assert [*tmp_path.glob("*.bak")] == []


@pytest.mark.long
def test_restore_of_what_is_no_backup(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("restore", tmp_path / "no.db", file) == 2
    assert run("restore", file, file) == 2
    assert capsys.readouterr().err.count("\n") == 2
    assert value(file, "SELECT count(*) FROM profiles") == 1


# optimize


@pytest.mark.long
@pytest.mark.parametrize("flags", [(), ("--vacuum",)])
def test_optimize_says_what_it_saved(
    flags: tuple[str, ...], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(
        file,
        "CREATE TABLE junk (text TEXT)",
        "INSERT INTO junk VALUES (hex(randomblob(1000000)))",
        "DROP TABLE junk",
        "CREATE TABLE note (text TEXT)",
        "INSERT INTO note VALUES ('')",
    )
    assert run("optimize", file, *flags, "--json") == 0
    report = printed(capsys)
    saved = report["bytes_before"] - report["bytes_after"]
    assert (saved > 1_900_000) == bool(flags)
    assert value(file, "SELECT count(*) FROM sqlite_stat1") == 1  # of the table that is not ours
    assert run("optimize", file, *flags) == 0
    assert " before, " in capsys.readouterr().out
