"""Promises about the copies that backup(keep=N) leaves: the newest of one database, by no clock."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import reelbase
from reelbase import BackupReport, Database, DatabaseCorruptError, DatabaseIOError
from reelbase.cli.main import main
from reelbase.engine.copies import retention

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(reelbase.__file__).parents[1])}
SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "backups"
    place.mkdir()
    return place


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def size_of(file: Path) -> int:
    return file.stat().st_size


def change(path: Path, sql: str, parameters: tuple[object, ...] = ()) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        native.execute(sql, parameters)


def value(path: Path, sql: str) -> Any:
    with closing(sqlite3.connect(path)) as native:
        return native.execute(sql).fetchone()[0]


def move(old: Path, new: Path) -> None:
    old.rename(new)


async def back_up(database: Database, folder: Path, *backups: str, keep: int | None = None) -> None:
    for name in backups:
        await database.backup(folder / name, keep=keep)


def back_up_file(path: Path, target: Path, keep: int | None = None) -> BackupReport:
    async def run() -> BackupReport:
        return await reelbase.backup(path, target, keep=keep)

    return asyncio.run(run())


# Which ones stay


async def test_the_newest_stay_the_new_one_included(database: Database, folder: Path) -> None:
    await back_up(database, folder, *"abcde", keep=3)
    assert names(folder) == ["c", "d", "e"]
    await back_up(database, folder, "f", keep=1)
    assert names(folder) == ["f"]
    await back_up(database, folder, "g", keep=100)
    assert names(folder) == ["f", "g"]


async def test_without_keep_nothing_is_removed_but_the_copy_counts_later(
    database: Database, folder: Path
) -> None:
    await back_up(database, folder, *"abc")
    assert names(folder) == ["a", "b", "c"]
    await back_up(database, folder, "d", keep=2)
    assert names(folder) == ["c", "d"]


async def test_neither_names_nor_moments_decide_which_is_older(
    database: Database, folder: Path
) -> None:
    """A clock was years ahead when the first ones were made, and names follow the clock."""
    for name, year in (("2038", 2038), ("2037", 2037), ("1970", 1970), ("2026", 2026)):
        await database.backup(folder / name, keep=2)
        moment = (year - 1970) * 365 * 86_400
        os.utime(folder / name, (moment, moment))
    assert names(folder) == ["1970", "2026"]


async def test_a_restored_database_goes_on_counting(path: Path, folder: Path, journal: Any) -> None:
    """The number is the folder's: an old backup knows nothing of those that came after it."""
    async with reelbase.connect(path, journal=journal) as database:
        await back_up(database, folder, *"abcd", keep=3)
        database_id = database.database_id
    await reelbase.restore(folder / "b", path)
    async with reelbase.connect(path, journal=journal) as database:
        assert database.database_id == database_id
        await back_up(database, folder, "e", keep=3)
    assert names(folder) == ["c", "d", "e"]


@pytest.mark.long
async def test_only_copies_of_the_same_database_count(
    database: Database, folder: Path, tmp_path: Path, journal: Any
) -> None:
    async with reelbase.connect(tmp_path / "other" / "media.db", journal=journal) as other:
        assert other.database_id != database.database_id
        await back_up(other, folder, "1", "2", keep=2)
        await back_up(database, folder, *"abc", keep=2)
        await back_up(other, folder, "3", keep=2)
    assert names(folder) == ["2", "3", "b", "c"]


@pytest.mark.long
async def test_a_copy_that_was_renamed_stays_and_does_not_count(
    database: Database, folder: Path
) -> None:
    await back_up(database, folder, "a", "b")
    (folder / "a").rename(folder / "before the move")
    await back_up(database, folder, "c", "d", keep=2)
    assert names(folder) == ["before the move", "c", "d"]
    (folder / "before the move").rename(folder / "a")  # a copy as before
    await back_up(database, folder, "e", keep=2)
    assert names(folder) == ["d", "e"]


@pytest.mark.long
async def test_a_database_made_of_a_copy_stays(path: Path, folder: Path, journal: Any) -> None:
    """Copied into its place by hand, beside the copies, under a name that a copy has had."""
    async with reelbase.connect(path, journal=journal) as database:
        await back_up(database, folder, "media.db", "b")
        live = folder / "media.db"
        async with reelbase.connect(live, journal=journal) as other:
            await back_up(database, folder, "c", keep=1)
            await back_up(other, folder, "d", keep=1)
        await back_up(database, folder, "e", keep=1)
    assert names(folder) == ["e", "media.db"]


@pytest.mark.long
async def test_the_database_itself_may_lie_among_its_copies(
    path: Path, database: Database, tmp_path: Path
) -> None:
    change(path, "UPDATE database_identity SET copy_number = 1, copy_name = 'media.db'")
    await back_up(database, tmp_path, *"abc", keep=1)
    await reelbase.backup(path, tmp_path / "d", keep=1)
    assert {name for name in names(tmp_path) if not name.startswith("media.db")} == {"d"}
    assert path.name in names(tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("suffix", ["-wal", "-journal", "-shm"])
async def test_a_copy_that_is_in_use_stays(suffix: str, database: Database, folder: Path) -> None:
    await back_up(database, folder, "a")
    (folder / f"a{suffix}").touch()
    await back_up(database, folder, *"bcd", keep=1)
    assert names(folder) == ["a", f"a{suffix}", "d"]


@pytest.mark.long
async def test_what_is_no_copy_stays(database: Database, path: Path, folder: Path) -> None:
    await back_up(database, folder, "a")
    (folder / "film.mkv").write_bytes(os.urandom(512 * 20))
    (folder / "empty").touch()
    (folder / "folder").mkdir()
    (folder / "link").symlink_to(folder / "a")
    shutil.copy(folder / "a", folder / "by hand")
    with closing(sqlite3.connect(folder / "foreign")) as foreign:
        foreign.executescript(
            "CREATE TABLE database_identity (database_id, copy_number, copy_name);"
            f"INSERT INTO database_identity VALUES ('{database.database_id}', 1, 'foreign')"
        )
    others = set(names(folder)) - {"a"}
    await back_up(database, folder, *"bc", keep=1)
    assert set(names(folder)) == others | {"c"}


# Names and places


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    ["[a-z]*?.db", "a?mode=ro&#%41.db", "Übung 猫.db", "a\nb", "-rf", b"\xff\xfe.db", "'\"`"],
)
async def test_a_name_may_be_any(name: str | bytes, database: Database, folder: Path) -> None:
    await back_up(database, folder, "abc.db", "z.db")
    await back_up(database, folder, os.fsdecode(name), keep=1)
    assert names(folder) == [os.fsdecode(name)]
    await back_up(database, folder, "later", keep=1)
    assert names(folder) == ["later"]


@pytest.mark.long
async def test_a_folder_may_have_any_name(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"*[x]?#%41\xff")
    folder.mkdir()
    await back_up(database, folder, *"abc", keep=2)
    assert names(folder) == ["b", "c"]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder of another filesystem."""
    if not SHARED_MEMORY.is_dir() or SHARED_MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip(f"no second filesystem at {SHARED_MEMORY}")
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        yield Path(folder)


@pytest.mark.long
async def test_the_folder_may_be_on_another_filesystem(database: Database, elsewhere: Path) -> None:
    await back_up(database, elsewhere, *"abc", keep=2)
    assert names(elsewhere) == ["b", "c"]


@pytest.mark.long
async def test_a_database_in_memory_has_copies_too(folder: Path) -> None:
    async with reelbase.connect(":memory:") as database, reelbase.connect(":memory:") as other:
        assert database.database_id != other.database_id
        await back_up(database, folder, *"abc", keep=2)
        await back_up(other, folder, "d", keep=1)
        assert (await database.stats()).database_id == database.database_id
    assert names(folder) == ["b", "c", "d"]


@pytest.mark.long
async def test_a_database_that_nobody_has_open_is_backed_up_with_a_report(
    path: Path, folder: Path
) -> None:
    made = [await reelbase.backup(path, folder / name, keep=2) for name in "abcd"]
    assert [report.copy for report in made] == [folder / name for name in "abcd"]
    assert [report.removed for report in made] == [[], [], [folder / "a"], [folder / "b"]]
    assert {report.size_bytes for report in made} == {size_of(folder / "d")}
    told: list[tuple[int, int]] = []
    await reelbase.backup(path, folder / "e", progress=lambda *step: told.append(step))
    assert told[-1][0] == told[-1][1] > 0


async def test_of_an_earlier_version_nothing_is_removed(
    path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Such a copy does not say which database it is of."""
    change(path, "DROP TABLE database_identity")
    change(path, "PRAGMA user_version = 6")
    for name in "ab":
        report = await reelbase.backup(path, folder / name, keep=1)
        assert report.removed == []
    assert names(folder) == ["a", "b"]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "of an earlier version" in caplog.text


# Many files, open files


@pytest.mark.long
async def test_other_files_are_not_looked_into(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300):
        (folder / f"{number}.mkv").write_bytes(b"x" * (5000 + number))  # one in 512 is whole pages
    looked_into = []
    real = retention._look_into

    def look_into(path: Path) -> Any:
        looked_into.append(path.name)
        return real(path)

    monkeypatch.setattr(retention, "_look_into", look_into)
    await back_up(database, folder, "a", keep=1)
    assert sorted(looked_into) == ["120.mkv", "120.mkv", "a"]
    assert len(names(folder)) == 301


_WRITE = """
import sqlite3, sys
native = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
try:
    native.execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError as error:
    print(error)
else:
    print("let in")
"""


def is_let_in(path: Path) -> bool:
    done = subprocess.run(
        [sys.executable, "-c", _WRITE, path], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout in ("let in\n", "database is locked\n")
    return done.stdout == "let in\n"


@pytest.mark.long
async def test_looking_for_copies_lets_nobody_into_a_database_that_is_open(
    database: Database, path: Path, tmp_path: Path, journal: Any
) -> None:
    """Closing a descriptor of its file would drop all locks that this process has on it."""
    other_path = tmp_path / "other.db"
    async with reelbase.connect(other_path, journal=journal) as other:
        await other.checkpoint()
        async with database.transaction() as unit, other.transaction() as other_unit:
            await unit.profiles.ensure("p")
            await other_unit.profiles.ensure("p")
            if journal == "wal":  # a rollback journal would make the copy of database wait
                await back_up(database, tmp_path, "a", "b", keep=1)
            async with reelbase.connect(":memory:") as third:
                await back_up(third, tmp_path, "c", "d", keep=1)
            assert not is_let_in(path)
            assert not is_let_in(other_path)
    assert is_let_in(path)


# At the same time, and in between


_BACK_UP = """
import asyncio, sys, reelbase
async def main():
    for number in range(8):
        report = await reelbase.backup(
            sys.argv[1], f"{sys.argv[2]}/{sys.argv[3]}{number}", keep=int(sys.argv[4]), busy_timeout=30
        )
        print(len(report.removed))
asyncio.run(main())
"""


@pytest.mark.long
@pytest.mark.parametrize("keep", [1, 3])
def test_two_processes_may_make_copies_at_the_same_time(
    keep: int, path: Path, folder: Path
) -> None:
    command = [sys.executable, "-c", _BACK_UP, str(path), str(folder)]
    running = [
        subprocess.Popen([*command, who, str(keep)], env=ENVIRONMENT, stdout=subprocess.PIPE)
        for who in "ab"
    ]
    for process in running:
        process.communicate(timeout=60)
        assert process.returncode == 0
    left = names(folder)
    assert "a7" in left or "b7" in left
    assert len(left) >= keep
    assert all(value(folder / name, "PRAGMA integrity_check") == "ok" for name in left)
    back_up_file(path, folder / "last", keep)
    assert len(names(folder)) == keep
    assert "last" in names(folder)


@pytest.mark.long
async def test_copies_that_are_made_at_the_same_time_do_not_remove_each_other(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both looked for older ones before either was there."""
    await back_up(database, folder, "a", "b")
    real = retention._next_number
    monkeypatch.setattr(retention, "_next_number", lambda *_, **__: 3)
    await back_up(database, folder, "c", "d", keep=1)
    assert names(folder) == ["c", "d"]
    monkeypatch.setattr(retention, "_next_number", real)
    await back_up(database, folder, "e", keep=2)
    assert "e" in names(folder)
    assert len(names(folder)) == 2


_KILLED = """
import asyncio, os, signal, sys, reelbase
from reelbase.cli.main import main
from reelbase.engine.copies import retention
def kill(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)
retention._remove_older = kill
async def main():
    async with reelbase.connect(sys.argv[1], journal=sys.argv[2]) as database:
        await database.backup(sys.argv[3], keep=1)
asyncio.run(main())
"""


@pytest.mark.long
def test_killed_before_the_older_ones_are_removed_they_go_the_next_time(
    path: Path, folder: Path, journal: str
) -> None:
    back_up_file(path, folder / "a")
    back_up_file(path, folder / "b")
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, path, journal, folder / "c"],
        env=ENVIRONMENT,
        timeout=30,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert names(folder) == ["a", "b", "c"]
    report = back_up_file(path, folder / "d", keep=2)
    assert report.removed == [folder / "a", folder / "b"]


@pytest.mark.long
async def test_cancelled_when_the_copy_is_in_place_the_older_ones_still_go(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await back_up(database, folder, "a", "b")
    loop = asyncio.get_running_loop()
    real = retention._remove_older

    def remove(*arguments: Any) -> list[Path]:
        loop.call_soon_threadsafe(backing_up.cancel)
        time.sleep(0.05)
        return real(*arguments)

    monkeypatch.setattr(retention, "_remove_older", remove)
    backing_up = asyncio.create_task(database.backup(folder / "c", keep=1))
    with pytest.raises(asyncio.CancelledError):
        await backing_up
    assert names(folder) == ["c"]


# Trouble


@pytest.mark.parametrize("keep", [0, -1])
async def test_less_than_one_copy_is_refused(
    keep: int, database: Database, path: Path, folder: Path
) -> None:
    with pytest.raises(ValueError, match=f"keep: must be 1 or more, not {keep}"):
        await database.backup(folder / "a", keep=keep)
    with pytest.raises(ValueError, match=f"keep: must be 1 or more, not {keep}"):
        await reelbase.backup(path, folder / "a", keep=keep)
    assert names(folder) == []


@pytest.mark.parametrize("keep", [True, 2.0, "2"])
async def test_a_number_of_copies_is_an_int(keep: Any, database: Database, folder: Path) -> None:
    with pytest.raises(TypeError, match="keep: must be int"):
        await database.backup(folder / "a", keep=keep)
    assert names(folder) == []


@pytest.mark.long
async def test_a_copy_that_is_not_sound_removes_nothing(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await back_up(database, folder, "a", "b")

    def refuse(*_: Any) -> None:
        raise DatabaseCorruptError("the copy is not sound")

    monkeypatch.setattr("reelbase.engine.copies.backup._verify", refuse)
    with pytest.raises(DatabaseCorruptError):
        await database.backup(folder / "c", keep=1)
    assert names(folder) == ["a", "b"]


@pytest.mark.long
async def test_a_target_that_is_there_removes_nothing(database: Database, folder: Path) -> None:
    await back_up(database, folder, "a", "b")
    with pytest.raises(DatabaseIOError) as caught:
        await database.backup(folder / "b", keep=1)
    assert caught.value.code == "exists"
    assert names(folder) == ["a", "b"]


def truncate(copy: Path) -> None:
    os.truncate(copy, os.path.getsize(copy) // 2 // 4096 * 4096)


def damage(copy: Path) -> None:
    with copy.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)


@pytest.mark.long
@pytest.mark.parametrize("harm", [truncate, damage])
async def test_a_damaged_copy_neither_counts_nor_goes(
    harm: Any, database: Database, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await back_up(database, folder, *"abc")
    harm(folder / "c")
    await back_up(database, folder, "d", keep=2)
    assert names(folder) == ["b", "c", "d"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder / 'c'} is damaged, and so does not say which database it is: it does not count as a "
        "copy, and is not removed"
    ]


@pytest.mark.long
async def test_a_copy_that_cannot_be_removed_is_logged_and_the_others_go(
    database: Database,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await back_up(database, folder, *"abc")
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.name == "a":
            raise PermissionError(13, "Permission denied")
        if path.name == "b":  # another process was first
            real(path)
        real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    await back_up(database, folder, "d", keep=1)
    assert names(folder) == ["a", "d"]
    assert [
        record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING
    ] == [f"cannot remove the older copy {folder / 'a'}"]


@pytest.fixture
def unlisted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which files can be made, and not be seen."""
    real = os.scandir

    def refuse(place: Any = ".") -> Any:
        if Path(os.fsdecode(place)) == folder:
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        yield folder


async def test_a_folder_that_cannot_be_listed_takes_a_copy_that_nothing_counts(
    database: Database, unlisted: Path
) -> None:
    with pytest.raises(DatabaseIOError, match=r"looking for older copies in .*Permission denied"):
        await database.backup(unlisted / "a", keep=2)
    assert not (unlisted / "a").exists()
    await database.backup(unlisted / "a")
    assert value(unlisted / "a", "SELECT copy_number IS NULL FROM database_identity") == 1


@pytest.mark.long
async def test_a_folder_that_can_no_longer_be_listed_is_logged(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    await back_up(database, folder, "a")

    def refuse(*_: Any) -> Any:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(retention, "_copies", refuse)
    await back_up(database, folder, "b", keep=1)
    assert names(folder) == ["a", "b"]
    assert "cannot look for older copies" in caplog.text


async def test_a_missing_folder_is_named(database: Database, tmp_path: Path) -> None:
    with pytest.raises(DatabaseIOError) as caught:
        await database.backup(tmp_path / "no" / "a", keep=2)
    assert caught.value.code == "missing"


# Which database it is


def is_random(database_id: UUID) -> bool:
    return database_id.version == 4 and database_id.variant == "specified in RFC 4122"


@pytest.mark.long
async def test_each_database_has_an_id_of_its_own(tmp_path: Path, journal: Any) -> None:
    found = set()
    for number in range(5):
        async with reelbase.connect(tmp_path / f"{number}.db", journal=journal) as database:
            found.add(database.database_id)
            assert (await database.stats()).database_id == database.database_id
    assert len(found) == 5
    assert all(map(is_random, found))


@pytest.mark.long
async def test_the_id_stays_through_closing_vacuum_and_backups(
    path: Path, tmp_path: Path, journal: Any
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        database_id = database.database_id
        await database.vacuum()
        await database.backup(tmp_path / "copy.db")
    await reelbase.restore(tmp_path / "copy.db", tmp_path / "restored.db")
    move(path, tmp_path / "moved.db")
    for name in ("moved.db", "copy.db", "restored.db"):
        async with reelbase.connect(tmp_path / name, journal=journal) as database:
            assert database.database_id == database_id, name
    marks = "SELECT copy_number IS NULL AND copy_name IS NULL FROM database_identity"
    assert value(tmp_path / "restored.db", marks) == 1


def command(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


@pytest.mark.long
def test_commands_say_which_database_it_is(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_file = "SELECT database_id FROM database_identity"
    database_id = value(path, of_file)
    command("inspect", path)
    assert f"database id {database_id}\n" in capsys.readouterr().out
    command("inspect", path, "--json")
    assert json.loads(capsys.readouterr().out)["database_id"] == database_id
    command("reset", path, "--yes", "--no-backup")
    assert value(path, of_file) == database_id
    command("export", path, tmp_path / "export.ndjson")
    command("import", tmp_path / "imported.db", tmp_path / "export.ndjson")
    assert value(tmp_path / "imported.db", of_file) != database_id
    change(path, "DROP TABLE database_identity")
    change(path, "PRAGMA user_version = 6")
    capsys.readouterr()
    command("inspect", path, "--json")
    assert json.loads(capsys.readouterr().out)["database_id"] is None


def test_the_release_is_an_attribute(capsys: pytest.CaptureFixture[str]) -> None:
    command("version", "--json")
    assert json.loads(capsys.readouterr().out)["reelbase"] == reelbase.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", reelbase.__version__)
