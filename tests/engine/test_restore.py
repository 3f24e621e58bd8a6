"""Promises about restoring: a verified backup takes the place of a database that nobody has open, and a
crash at any moment leaves one of the two."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import DatabaseBusyError, DatabaseCorruptError, DatabaseIOError, SchemaError


async def profiles(path: Path, journal: Any = "auto") -> list[str]:
    async with reelbase.connect(path, journal=journal, create=False) as database:
        return sorted(profile.id for profile in await database.profiles.list())


@pytest.fixture
async def saved(path: Path, tmp_path: Path, journal: Any) -> Path:
    """A backup of what path held when it had the profile "old"; now it has "new" too."""
    async with reelbase.connect(path, journal=journal) as database:
        await database.profiles.ensure("old")
        await database.config.set("moment", 1)
        await database.backup(tmp_path / "saved.db")
        await database.profiles.ensure("new")
        await database.config.set("moment", 2)
    return tmp_path / "saved.db"


def held(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in os.listdir(folder)}


async def test_a_backup_takes_the_place_of_a_database(
    saved: Path, path: Path, journal: Any
) -> None:
    os.chmod(path, 0o640)
    assert await reelbase.restore(saved, path) is None
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    assert sorted(os.listdir(path.parent)) == ["media.db", "saved.db"]
    assert await profiles(path, journal) == ["old"]


async def test_a_backup_is_restored_where_nothing_is(saved: Path, tmp_path: Path) -> None:
    target = tmp_path / "other ? # %.db"
    assert await reelbase.restore(saved, target) is None
    assert stat.S_IMODE(os.stat(target).st_mode) == 0o600
    assert await profiles(target) == ["old"]


async def test_progress_is_told(saved: Path, path: Path) -> None:
    told: list[tuple[int, int]] = []
    await reelbase.restore(saved, path, progress=lambda *reached: told.append(reached))
    assert told[-1][0] == told[-1][1] > 0


async def test_the_file_behind_a_link_is_replaced(
    saved: Path, path: Path, tmp_path: Path, journal: Any
) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    await reelbase.restore(saved, link)
    assert link.is_symlink()
    assert await profiles(path, journal) == ["old"]


@pytest.mark.long
async def test_a_live_database_is_a_backup_too(saved: Path, path: Path, tmp_path: Path) -> None:
    async with reelbase.connect(path) as database:
        await database.profiles.ensure("newest")
        await reelbase.restore(path, tmp_path / "copy.db")
        assert await database.profiles.exists("newest")
    assert await profiles(tmp_path / "copy.db") == ["new", "newest", "old"]


_CRASH = """
import os, sqlite3, sys
native = sqlite3.connect(sys.argv[1], isolation_level=None)
native.execute(f"PRAGMA journal_mode = {sys.argv[2]}")
native.execute("PRAGMA cache_size = 1")
native.execute("PRAGMA wal_autocheckpoint = 0")
if sys.argv[2] == "wal":
    native.execute("INSERT INTO profiles (id) VALUES ('in the log')")
else:
    native.execute("BEGIN")  # what is spilt to the file has to be rolled back
    native.execute("UPDATE profiles SET id = 'torn ' || id")
    native.execute("CREATE TABLE junk AS SELECT hex(randomblob(100000)) AS text")
os.kill(os.getpid(), 9)
"""


def crash(path: Path, mode: str) -> None:
    subprocess.run([sys.executable, "-c", _CRASH, str(path), mode], check=False, timeout=60)
    assert os.path.exists(f"{path}-{'wal' if mode == 'wal' else 'journal'}")


@pytest.mark.long
@pytest.mark.parametrize("mode", ["wal", "delete"])
async def test_what_a_crash_left_beside_the_old_database_does_not_reach_the_new_one(
    mode: str, saved: Path, path: Path
) -> None:
    crash(path, mode)
    await reelbase.restore(saved, path)
    assert sorted(os.listdir(path.parent)) == ["media.db", "saved.db"]
    assert await profiles(path) == ["old"]


@pytest.mark.long
async def test_what_a_deleted_database_left_is_set_aside(saved: Path, path: Path) -> None:
    crash(path, "wal")
    os.unlink(path)
    aside = await reelbase.restore(saved, path)
    assert aside is not None
    assert os.stat(f"{aside}-wal").st_size > 0
    assert not [name for name in os.listdir(path.parent) if name.startswith("media.db-")]
    assert await profiles(path) == ["old"]


@pytest.mark.long
async def test_a_damaged_database_is_set_aside(saved: Path, path: Path) -> None:
    with open(path, "r+b") as file:  # noqa: ASYNC230
        file.seek(100)
        file.write(b"\x5a" * 3000)  # the page that lists the tables
    with open(path, "rb") as file:  # noqa: ASYNC230
        damaged = file.read()
    aside = await reelbase.restore(saved, path)
    assert aside is not None
    assert held(path.parent)[aside.name] == damaged
    assert await profiles(path) == ["old"]


# Refused


async def refused(kind: type[Exception], backup: Path, target: Path) -> Any:
    before = held(target.parent)
    with pytest.raises(kind) as caught:
        await reelbase.restore(backup, target, busy_timeout=0.1)
    assert held(target.parent) == before
    return caught.value


@pytest.mark.long
async def test_a_target_that_this_process_has_open_is_refused(
    saved: Path, path: Path, journal: Any
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        with pytest.raises(DatabaseBusyError) as caught:
            await reelbase.restore(saved, path, busy_timeout=0.1)
        assert caught.value.code == "in_use"
        await database.profiles.ensure("newer")
    assert await profiles(path, journal) == ["new", "newer", "old"]


_HOLD = """
import sqlite3, sys
native = sqlite3.connect(sys.argv[1], isolation_level=None)
native.execute("SELECT count(*) FROM profiles").fetchone()
if sys.argv[2] == "reading":
    native.execute("BEGIN")
    native.execute("SELECT count(*) FROM profiles").fetchone()
elif sys.argv[2] == "writing":
    native.execute("BEGIN IMMEDIATE")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.long
@pytest.mark.parametrize("looks_at_processes", [True, False])
@pytest.mark.parametrize("how", ["idle", "reading", "writing"])
async def test_a_target_that_another_process_has_open_is_refused(
    how: str,
    looks_at_processes: bool,
    saved: Path,
    path: Path,
    journal: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By its locks as well, where the system does not tell who has a file open."""
    if not looks_at_processes:
        if journal == "delete" and how == "idle":
            pytest.skip("it holds no lock")
        monkeypatch.setattr(
            "reelbase.engine.maintenance.restore.refuse_if_open", lambda target: None
        )
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _HOLD, str(path), how),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"ready\n"
    with pytest.raises(DatabaseBusyError) as caught:
        await reelbase.restore(saved, path, busy_timeout=0.1)
    assert caught.value.code == "in_use"
    assert (f"process {other.pid} " in str(caught.value)) == looks_at_processes
    await other.communicate(b"")
    assert [name for name in os.listdir(path.parent) if "partial" in name] == []
    await reelbase.restore(saved, path)
    assert await profiles(path, journal) == ["old"]


async def test_a_newer_backup_is_refused(saved: Path, path: Path) -> None:
    with closing(sqlite3.connect(saved)) as native:
        native.execute(f"PRAGMA user_version = {reelbase.SCHEMA_VERSION + 1}")
    assert (await refused(SchemaError, saved, path)).code == "newer"


async def test_a_foreign_backup_is_refused(path: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as native:
        native.execute("CREATE TABLE theirs (text TEXT)")
    assert (await refused(SchemaError, foreign, path)).code == "foreign"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["foreign", "no database"])
async def test_what_is_not_ours_is_not_replaced(kind: str, saved: Path, tmp_path: Path) -> None:
    target = tmp_path / "theirs"
    if kind == "foreign":
        with closing(sqlite3.connect(target)) as native:
            native.execute("CREATE TABLE theirs (text TEXT)")
    else:
        target.write_bytes(b"a film" * 1000)
    assert (await refused(SchemaError, saved, target)).code == "foreign"


@pytest.mark.long
async def test_a_damaged_backup_is_refused(saved: Path, path: Path) -> None:
    with closing(sqlite3.connect(saved)) as native:
        (root,) = native.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'files_newest'"
        ).fetchone()
    with open(saved, "r+b") as file:  # noqa: ASYNC230
        file.seek((root - 1) * 4096)
        file.write(b"\x5a" * 4096)
    await refused(DatabaseCorruptError, saved, path)


async def test_a_missing_backup_is_refused(path: Path, tmp_path: Path) -> None:
    assert (await refused(DatabaseIOError, tmp_path / "no.db", path)).code == "missing"


async def test_a_database_is_not_restored_to_itself(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(path)
    with pytest.raises(ValueError, match="itself"):
        await reelbase.restore(path, tmp_path / "link.db")


@pytest.mark.long
async def test_an_older_backup_is_restored_as_it_is(
    saved: Path, path: Path, tmp_path: Path
) -> None:
    """To go back to an earlier release; connect() would bring it up to date."""
    with closing(sqlite3.connect(saved)) as native:
        native.execute(f"PRAGMA user_version = {reelbase.SCHEMA_VERSION - 1}")
    await reelbase.restore(saved, path)
    with closing(sqlite3.connect(path)) as native:
        assert native.execute("PRAGMA user_version").fetchone() == (reelbase.SCHEMA_VERSION - 1,)


# Killed at every line

# Forks a child for every line that a restore runs while it puts the copy in place, and for every so
# many of the others, and kills it there. Prints what each left, as JSON: a list of (exit code, what
# sqlite3 then finds).
_KILLED = """
import json, os, shutil, sqlite3, sys
from pathlib import Path
import reelbase
from reelbase.engine.copies import backup
from reelbase.engine.file import filesystem
from reelbase.engine.file import processes
from reelbase.engine.maintenance import restore
from reelbase.engine.file import stale_log

folder, mutant, every = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
files = (backup.__file__, filesystem.__file__, processes.__file__, restore.__file__)
place = folder / "place"
in_place = {"_put_in_place", "_at_rest_and_locked", "bring_to_rest", "_set_aside", "publish"}

if mutant == "log stays":
    restore.bring_to_rest = lambda native: None
    restore.beside = lambda target: []
    restore.journal_mode_of = lambda native: "delete"
elif mutant == "log is removed":
    def remove(native):
        for suffix in ("-wal", "-journal", "-shm"):
            (place / f"media.db{suffix}").unlink(missing_ok=True)
    restore.bring_to_rest = remove

def restore_until(line):
    seen = others = 0
    def trace(frame, event, argument):
        nonlocal seen, others
        if frame.f_code.co_filename not in files:
            return None
        if frame.f_code.co_name in in_place:
            seen += 1
        else:
            others += 1
            seen += others % every == 0
        if seen == line:
            os._exit(9)
        return trace
    sys.settrace(trace)
    restore.restore_file(
        place / "saved.db", place / "media.db", busy_timeout_seconds=1.0, on_step=lambda *_: None
    )
    os._exit(0)

line, found = 0, []
while True:
    line += 1
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder / "before", place)
    child = os.fork()
    if child == 0:
        try:
            restore_until(line)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        stale_log.refuse_stale_log(place / "media.db")
        is_refused = []
    except reelbase.SchemaError as error:
        is_refused = [str(error)]
    try:
        native = sqlite3.connect(place / "media.db")
        rows = [row[0] for row in native.execute("SELECT id FROM profiles ORDER BY id")]
        rows += [row[0] for row in native.execute("SELECT value FROM config")]
        rows += [row[0] for row in native.execute("PRAGMA integrity_check") if row[0] != "ok"]
        native.close()
    except sqlite3.Error as error:
        rows = [str(error)]
    found.append((code, rows + is_refused))
    if code != 9:
        break
print(json.dumps(found))
"""


RESTORED = ["old", "1"]


def killed_everywhere(
    folder: Path, mutant: str = "none", every: int = 200
) -> tuple[list[Any], Any]:
    """The different things that were found after the kills, and the exit code and rows of the last."""
    command = [sys.executable, "-c", _KILLED, str(folder), mutant, str(every)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=500)
    found = json.loads(ended.stdout)
    assert len(found) > 30
    different: list[Any] = []
    for _, rows in found:
        if rows not in different:
            different.append(rows)
    return different, found[-1]


def before_a_restore(folder: Path, path: Path, saved: Path, mode: str) -> list[str]:
    """The files of a crashed database and a backup; what the database holds."""
    if mode != "clean":
        crash(path, mode)
    before = folder / "before"
    before.mkdir()
    for file in path.parent.glob("*.db*"):
        file.rename(before / file.name)
    return ["in the log", "new", "old", "2"] if mode == "wal" else ["new", "old", "2"]


@pytest.mark.long
def test_killed_at_any_line_the_old_or_the_new_database_is_there(
    saved: Path, path: Path, tmp_path: Path
) -> None:
    old = before_a_restore(tmp_path, path, saved, "wal")
    different, last = killed_everywhere(tmp_path)
    assert different == [old, RESTORED]
    assert last == [0, RESTORED]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["wal", "delete", "clean"])
def test_killed_at_really_any_line(mode: str, saved: Path, path: Path, tmp_path: Path) -> None:
    old = before_a_restore(tmp_path, path, saved, mode)
    different, last = killed_everywhere(tmp_path, every=1)
    assert different == [old, RESTORED]
    assert last == [0, RESTORED]


@pytest.mark.long
@pytest.mark.parametrize(
    "mutant", ["log stays", pytest.param("log is removed", marks=pytest.mark.slow)]
)
def test_the_harness_finds_a_restore_that_forgets_the_log(
    mutant: str, saved: Path, path: Path, tmp_path: Path
) -> None:
    old = before_a_restore(tmp_path, path, saved, "wal")
    different, _ = killed_everywhere(tmp_path, mutant)
    assert [rows for rows in different if rows not in (old, RESTORED)]
