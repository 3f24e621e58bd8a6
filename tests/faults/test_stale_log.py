"""A promise about logs: that of a killed database is never taken for another's, whatever was done to it.

Processes do at random what a program can do with SQLite, also what this library never does, and are killed.
After each kill, and while they run, the log is judged. That the judge can say no is shown by older copies of
the same database, put beside the newest log.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import pytest

from reelbase import SchemaError
from reelbase.engine.file.side_files import SUFFIXES
from reelbase.engine.file.stale_log import refuse_stale_log

from .conftest import Figure

QUICK_KILLS = 12
FULL_KILLS = 1000
LONGEST_SECONDS = 0.25

_PROGRAM = """
import random, sqlite3, sys, time

path, modes, choose = sys.argv[1], sys.argv[2].split(), random.Random(int(sys.argv[3]))
is_exclusive = choose.random() < 0.15

def connection():
    while True:
        try:
            native = sqlite3.connect(path, isolation_level=None, timeout=0.05)
            if is_exclusive:
                native.execute("PRAGMA locking_mode = EXCLUSIVE")
            native.execute(f"PRAGMA cache_size = {choose.choice([1, 1, 10, -16000])}")
            native.execute(f"PRAGMA wal_autocheckpoint = {choose.choice([0, 5, 50, 1000])}")
            native.execute(f"PRAGMA synchronous = {choose.choice([0, 1, 2, 3])}")
            return native
        except sqlite3.Error:
            time.sleep(0.01)

def change(native):
    table = f"t{choose.randrange(4)}"
    one_of = f"rowid % {choose.randrange(1, 5)} = 0"
    match choose.randrange(22):
        case 0:
            native.execute(f"PRAGMA journal_mode = {choose.choice(modes)}").fetchone()
        case 1 | 2:
            native.execute(f"CREATE TABLE IF NOT EXISTS {table} (x, y)")
        case 3:
            native.execute(f"DROP TABLE IF EXISTS {table}")
        case 4:
            native.execute(choose.choice(["VACUUM", "ANALYZE", "PRAGMA user_version = 7"]))
        case 5:
            kind = choose.choice(["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
            native.execute(f"PRAGMA wal_checkpoint({kind})").fetchall()
        case 6 | 7:
            native.execute(f"DELETE FROM {table} WHERE {one_of}")
        case 8 | 9 | 10:
            native.execute(f"UPDATE {table} SET y = y + 1 WHERE {one_of}")
        case 11:
            other = sqlite3.connect(":memory:")
            other.execute("CREATE TABLE t0 AS SELECT zeroblob(30000) AS x, 1 AS y")
            other.backup(native)
        case _:
            size = choose.choice([10, 1000, 9000])
            native.execute(f"INSERT INTO {table} VALUES (randomblob({size}), 1)")

print("begins", flush=True)
connections = [connection() for _ in range(1 if is_exclusive else choose.choice([1, 1, 2, 3]))]
while True:
    native = choose.choice(connections)
    try:
        kind = choose.random()
        if kind < 0.5:
            change(native)
        elif kind < 0.95:
            native.execute("BEGIN")
            for _ in range(choose.randrange(1, 30)):
                if choose.random() < 0.1:
                    native.execute(choose.choice(["SAVEPOINT s", "ROLLBACK TO s"]))
                change(native)
            native.execute(choose.choice(["COMMIT", "COMMIT", "ROLLBACK"]))
        else:
            native.close()
            connections[connections.index(native)] = connection()
    except sqlite3.Error:
        if native.in_transaction:
            native.execute("ROLLBACK")
"""

MODES = {
    "wal": "WAL WAL WAL WAL DELETE",
    "delete": "DELETE DELETE DELETE TRUNCATE PERSIST WAL",
}


def is_refused(path: Path) -> bool:
    try:
        refuse_stale_log(path)
    except SchemaError:
        return True
    return False


def killed(path: Path, modes: str, choose: random.Random) -> int:
    """Lets one or two processes work on a database, and kills them; how often it was looked at."""
    looks = 0
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, path, modes, str(choose.randrange(1 << 32))],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(choose.choice([1, 1, 2]))
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        until = time.monotonic() + choose.random() * LONGEST_SECONDS
        while time.monotonic() < until:
            assert not is_refused(path)
            looks += 1
            time.sleep(0.005)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.communicate()
    return looks


def log_of(path: Path) -> str | None:
    """The suffix of the log that SQLite would apply; None without one."""
    for suffix in ("-wal", "-journal"):
        with suppress(FileNotFoundError):
            if Path(f"{path}{suffix}").read_bytes()[:1] not in (b"", b"\0"):
                return suffix
    return None


def put_beside(log: str, path: Path, older: bytes, folder: Path) -> Path:
    """An older copy of a database with the log that the database has now."""
    folder.mkdir()
    shutil.copy(f"{path}{log}", folder / f"{path.name}{log}")
    (folder / path.name).write_bytes(older)
    return folder / path.name


@pytest.mark.long
def test_the_log_of_a_killed_database_is_its_own(
    mode: str, tmp_path: Path, full: bool, figure: Figure
) -> None:
    seed = random.randrange(1 << 32)
    choose = random.Random(seed)
    print(f"seed {seed}")
    path = tmp_path / "media.db"
    olders: list[tuple[str, bytes]] = []
    told: Counter[str] = Counter()
    for number in range(FULL_KILLS if full else QUICK_KILLS):
        told["looks"] += killed(path, MODES[mode], choose)
        assert not is_refused(path), f"kill {number}"
        log = log_of(path)
        if log is not None:
            told[log] += 1
            now = path.read_bytes()[:100]
            for kind, older in choose.sample(olders, min(len(olders), 3)):
                if older[:100] != now:
                    copy = put_beside(log, path, older, tmp_path / "copy")
                    outcome = "caught" if is_refused(copy) else "missed"
                    told[f"{log} beside a {kind} {outcome}"] += 1
                    shutil.rmtree(copy.parent)
        if choose.random() < 0.3:
            with closing(sqlite3.connect(path)) as native:
                assert native.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                backup = tmp_path / "backup.db"
                with closing(sqlite3.connect(backup)) as target:
                    native.backup(target)
                    target.execute("PRAGMA journal_mode = DELETE")
            olders += [("backup", backup.read_bytes()), ("file", path.read_bytes())]
            backup.unlink()
        if choose.random() < 0.05:
            for suffix in ("", *SUFFIXES):
                with suppress(FileNotFoundError):
                    os.unlink(f"{path}{suffix}")
    figure(f"stale logs, {mode}: {dict(told)}")
    assert not told["-wal beside a backup missed"]
    if full:
        for log in ("-wal", "-journal"):
            for kind in ("backup", "file"):
                caught = told[f"{log} beside a {kind} caught"]
                assert caught > 2 * told[f"{log} beside a {kind} missed"]
