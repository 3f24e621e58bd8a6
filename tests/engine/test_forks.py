"""Promises about os.fork(): the child leaves what it inherits alone, and is refused what it cannot open."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from scripts import prepared, script

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def rows_of(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as native:
        assert native.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (rows,) = native.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(rows)


def side_files(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir() if entry.name != path.name)


# The inherited Database.

FORKED = """
import multiprocessing

async def refused(name, call):
    try:
        await asyncio.wait_for(call(), 2)
    except reelbase.DatabaseClosedError as error:
        print(name, error.code, flush=True)
    except BaseException as error:
        print(name, type(error).__name__, error, flush=True)
    else:
        print(name, "worked", flush=True)

async def calls():
    await refused("read", database.profiles.count)
    await refused("write", lambda: database.profiles.ensure("child"))
    await refused("transaction", lambda: database.transaction().__aenter__())
    await refused("snapshot", lambda: database.snapshot().__aenter__())
    await refused("stream", lambda: database.stream(int, "SELECT 1").__anext__())
    await refused("open unit", unit.profiles.count)
    await refused("open snapshot", view.profiles.count)
    await refused("open stream", rows.__anext__)
    await asyncio.wait_for(database.close(), 2)
    try:
        await reelbase.connect(sys.argv[1], journal=sys.argv[2], busy_timeout=0.2)
    except reelbase.DatabaseError as error:
        print("own", error.code, flush=True)

async def before():
    global database, view_context, view, rows, context, unit
    database = await reelbase.connect(sys.argv[1], journal=sys.argv[2])
    await database.profiles.ensure("before")
    view_context = database.snapshot()
    view = await view_context.__aenter__()
    rows = database.stream(int, "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3", batch=1)
    await anext(rows)
    context = database.transaction()
    unit = await context.__aenter__()
    await unit.execute("CREATE TABLE big (x)")
    # More than fits into the cache: some of it is in the file, or its log, already.
    await unit.execute_many("INSERT INTO big VALUES (zeroblob(1000000))", [()] * PARTS)

async def after():
    await anext(rows)
    rows.close()
    assert await view.profiles.count() == 1
    await view_context.__aexit__(None, None, None)
    await unit.profiles.ensure("after")
    await context.__aexit__(None, None, None)
    assert unit.state == "committed"
    assert await database.profiles.count() == 2
    assert await database.fetch_one(str, "PRAGMA integrity_check") == "ok"
    await database.profiles.ensure("later")
    await database.close()
    print("parent done", flush=True)

def nothing():
    pass

# With a rollback journal pages can go to the file only while no process reads.
PARTS = 25 if sys.argv[2] == "wal" else 10
loop = asyncio.new_event_loop()
loop.run_until_complete(before())
if sys.argv[3] == "multiprocessing":
    child = multiprocessing.get_context("fork").Process(target=nothing)
    child.start()
    child.join()
    status = child.exitcode
else:
    pid = os.fork()
    if pid == 0:
        if sys.argv[3] == "calls":
            asyncio.run(calls())
        sys.stdout.flush()
        if sys.argv[3] == "os._exit":
            os._exit(0)
        sys.exit(0)
    _, status = os.waitpid(pid, 0)
print("child", status, flush=True)
loop.run_until_complete(after())
loop.close()
"""


@pytest.mark.long
@pytest.mark.parametrize("how", ["calls", "sys.exit", "os._exit", "multiprocessing"])
def test_a_forked_child_has_a_dead_database_and_leaves_the_parents_alone(
    path: Path, journal: str, how: str
) -> None:
    done = script(FORKED, path, journal, how)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done
    assert lines[-2:] == ["child 0", "parent done"]
    if how == "calls":
        names = (
            "read",
            "write",
            "transaction",
            "snapshot",
            "stream",
            "open unit",
            "open snapshot",
            "open stream",
        )
        assert lines[:-2] == [f"{name} forked" for name in (*names, "own")]
    assert rows_of(path, "profiles") == 3
    assert rows_of(path, "big") == (25 if journal == "wal" else 10)
    assert side_files(path) == []


SPILLED = """
async def before():
    global database, context, unit
    database = await reelbase.connect(sys.argv[1], journal=sys.argv[2])
    context = database.transaction()
    unit = await context.__aenter__()
    await unit.execute("CREATE TABLE big (x)")
    # More than fits into the cache: with a rollback journal some of it is in the file already.
    await unit.execute_many("INSERT INTO big VALUES (zeroblob(1000000))", [()] * 25)

async def after():
    await context.__aexit__(None, None, None)
    assert await database.fetch_one(str, "PRAGMA integrity_check") == "ok"
    await database.close()

loop = asyncio.new_event_loop()
loop.run_until_complete(before())
import warnings
warnings.simplefilter("ignore")  # from Python 3.12 on a fork beside threads is warned of
pid = os.fork()
if pid == 0:
    sys.exit(0)
print(os.waitpid(pid, 0)[1])
loop.run_until_complete(after())
loop.close()
"""


@pytest.mark.long
def test_a_forked_child_does_not_roll_back_what_its_parent_is_writing(
    path: Path, journal: str
) -> None:
    done = script(SPILLED, path, journal)
    assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 0)
    assert rows_of(path, "big") == 25


KEPT = """
import gc, warnings
from reelbase.engine.file.connections import NativeConnection

def freed(self, write=os.write, getpid=os.getpid, parent=os.getpid()):
    if getpid() != parent:
        write(1, b"freed")

async def before():
    global database
    database = await reelbase.connect(sys.argv[1], journal=sys.argv[2])
    await database.profiles.ensure("p")

warnings.simplefilter("ignore")  # from Python 3.12 on a fork beside threads is warned of
NativeConnection.__del__ = freed
loop = asyncio.new_event_loop()
loop.run_until_complete(before())
pid = os.fork()
if pid == 0:
    del database
    gc.collect()
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
loop.run_until_complete(database.close())
"""


@pytest.mark.long
def test_a_child_that_ends_frees_no_connection(path: Path, journal: str) -> None:
    """To free one is to close it, which rolls back what the parent writes, or deletes its log."""
    done = script(KEPT, path, journal)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


# Opening files in the child.

# What the scripts below begin with.
PROLOGUE = """
import json, threading, warnings
warnings.simplefilter("ignore")  # from Python 3.12 on a fork beside threads is warned of
path, journal = sys.argv[1:3]
loop = asyncio.new_event_loop()
call = loop.run_until_complete

def connect(path, **options):
    return reelbase.connect(path, journal=journal, busy_timeout=1, **options)

def use(path, read_only=False):
    async def write():
        async with connect(path, read_only=read_only) as database:
            await database.profiles.ensure("of the child")
    asyncio.run(write())

def outcome(work, *arguments):
    try:
        result = work(*arguments)
    except reelbase.DatabaseError as error:
        return error.code
    except BaseException as error:
        return repr(error)
    return result or "done"

def in_child(work, *arguments):
    receiving, sending = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(sending, str(outcome(work, *arguments)).encode())
        os._exit(0)
    os.close(sending)
    with open(receiving) as answer:
        result = answer.read()
    os.waitpid(pid, 0)
    return result
"""

WAYS = (
    PROLOGUE
    + """
import contextlib, io
from reelbase.cli.main import main

def command(*arguments):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
        code = main(arguments)
    return "forked" if code == 1 and "forked from" in told.getvalue() else (code, told.getvalue())

folder = os.path.dirname(path)
sound = os.path.join(folder, "sound.db")
call(call(connect(sound)).close())
target = os.path.join(folder, "new.db")
database = call(connect(path))
call(database.profiles.ensure("of the parent"))
ways = {
    "connect": (use, path),
    "connect read-only": (use, path, True),
    "migrate": (lambda: asyncio.run(reelbase.migrate(path)),),
    "adopt": (lambda: asyncio.run(reelbase.adopt(path)),),
    "migration_history": (lambda: asyncio.run(reelbase.migration_history(path)),),
    "restore over it": (lambda: asyncio.run(reelbase.restore(sound, path)),),
    "restore from it": (lambda: asyncio.run(reelbase.restore(path, target)),),
    "repair": (lambda: asyncio.run(reelbase.repair(path)),),
    "reelbase check": (command, "check", path),
    "reelbase inspect": (command, "inspect", path),
    "reelbase export": (command, "export", path, target),
    "reelbase backup": (command, "backup", path, target),
    "reelbase version": (command, "version", path),
    "reelbase history": (command, "history", path),
    "reelbase optimize": (command, "optimize", path),
    "reelbase purge": (command, "purge", path, "--jobs", "--older-than", "1d"),
    "reelbase rebuild-search": (command, "rebuild-search", path),
    "reelbase reset": (command, "reset", path, "--yes"),
    "reelbase init": (command, "init", path),
}
print(json.dumps({name: in_child(*way) for name, way in ways.items()}))
call(database.close())
"""
)


@pytest.mark.long
def test_a_child_is_refused_what_was_open_however_it_opens_it(path: Path, journal: str) -> None:
    done = script(WAYS, path, journal, timeout=60)
    assert done.returncode == 0, done
    answers = json.loads(done.stdout)
    assert answers == dict.fromkeys(answers, "forked")
    assert rows_of(path, "profiles") == 1
    assert side_files(path) == ["sound.db"]


NAMES = (
    PROLOGUE
    + """
os.chdir(os.path.dirname(path))
os.symlink(path, "link.db")
os.mkdir("folder")
os.symlink("..", "folder/up")
database = call(connect(path))
answers = {name: in_child(use, name) for name in ("media.db", "link.db", "folder/up/media.db")}
os.link(path, "second name.db")
answers["hard link"] = in_child(use, "second name.db")
os.unlink("second name.db")
if len(sys.argv) > 3:
    answers["bind mount"] = in_child(use, os.path.join(sys.argv[3], "media.db"))
call(database.close())
print(json.dumps(answers))
"""
)


@pytest.fixture
def bind_mount(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the database under another name."""
    place = tmp_path_factory.mktemp("mounted")
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a bind mount needs root on Linux")
    mounting = subprocess.run(
        ["mount", "--bind", path.parent, place], capture_output=True, text=True, check=False
    )
    if mounting.returncode:
        pytest.skip(f"no bind mount here: {mounting.stderr}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.long
def test_a_child_is_refused_what_was_open_by_whatever_name(path: Path, journal: str) -> None:
    done = script(NAMES, path, journal)
    assert done.returncode == 0, done
    names = ("media.db", "link.db", "folder/up/media.db", "hard link")
    assert json.loads(done.stdout) == dict.fromkeys(names, "forked")


@pytest.mark.long
def test_a_child_is_refused_what_was_open_through_a_bind_mount(
    path: Path, journal: str, bind_mount: Path
) -> None:
    done = script(NAMES, path, journal, bind_mount)
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["bind mount"] == "forked"


MOMENTS = (
    PROLOGUE
    + """
import pty

def in_child_of_thread():
    answers = []
    thread = threading.Thread(target=lambda: answers.append(in_child(use, path)))
    thread.start()
    thread.join()
    return answers[0]

def in_terminal():
    pid, terminal = pty.fork()
    if pid == 0:
        os.write(1, outcome(use, path).encode())
        os._exit(0)
    result = os.read(terminal, 1000).decode()
    os.close(terminal)
    os.waitpid(pid, 0)
    return result

async def moments():
    answers = {}
    async with connect(path) as database:
        await database.profiles.ensure("before")
        answers["open"] = in_child(use, path)
        answers["in a thread"] = in_child_of_thread()
        answers["forkpty"] = in_terminal()
        answers["grandchild"] = in_child(in_child, use, path)
        async with database.transaction() as unit:
            await unit.profiles.ensure("in a unit")
            answers["in a unit"] = in_child(use, path)
        async with database.snapshot() as view:
            await view.profiles.count()
            answers["in a snapshot"] = in_child(use, path)
        async with database.stream(int, "SELECT 1 UNION ALL SELECT 2", batch=1) as rows:
            await anext(rows)
            answers["in a stream"] = in_child(use, path)
        async with connect(path):
            pass
        answers["one of two is open"] = in_child(use, path)
        assert await database.profiles.count() == 2
    answers["closed"] = in_child(use, path)
    foreign = sqlite3.connect(path)
    foreign.execute("SELECT count(*) FROM profiles").fetchone()
    answers["open in plain sqlite3"] = in_child(use, path)
    foreign.close()
    answers["closed in plain sqlite3"] = in_child(use, path)
    with open(path, "rb"):
        answers["read by the program"] = in_child(use, path)
    async with connect(path):
        os.rename(path, path + ".old")
        answers["another file of that name"] = in_child(use, path)
    return answers

print(json.dumps(call(moments())))
"""
)


@pytest.mark.long
def test_a_child_is_refused_what_was_open_at_that_moment_and_nothing_else(
    path: Path, journal: str
) -> None:
    done = script(MOMENTS, path, journal)
    assert done.returncode == 0, done
    answers = json.loads(done.stdout)
    allowed = {"closed", "closed in plain sqlite3", "another file of that name"}
    assert answers == {name: "done" if name in allowed else "forked" for name in answers}
    assert len(answers) == 13


CONNECTING = (
    PROLOGUE
    + """
from reelbase.engine.maintenance import opening

inside, go_on = threading.Event(), threading.Event()
look = opening.open_file

def look_slowly(*arguments, **options):
    native = look(*arguments, **options)
    inside.set()
    go_on.wait(5)
    return native

opening.open_file = look_slowly
thread = threading.Thread(target=use, args=(path,))
thread.start()
inside.wait(5)
opening.open_file = look
print(in_child(use, path), in_child(use, path + ".other"))
go_on.set()
thread.join()
"""
)


@pytest.mark.long
def test_a_fork_while_another_thread_connects(path: Path, journal: str) -> None:
    done = script(CONNECTING, path, journal)
    assert (done.stdout, done.stderr, done.returncode) == ("forked done\n", "", 0)
    assert rows_of(path, "profiles") == 1


POOL = (
    PROLOGUE
    + """
import concurrent.futures, multiprocessing
start, count = sys.argv[3], 20

async def write(number):
    async with connect(path) as database:
        for i in range(count):
            await database.config.set(f"{number} {i}", i)
    return count

def work(number):
    try:
        return asyncio.run(write(number))
    except reelbase.DatabaseError as error:
        assert error.code == "forked"
        return 0

if __name__ == "__main__":
    database = call(connect(path))
    context = multiprocessing.get_context(start)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        acknowledged = sum(pool.map(work, range(2)))
        for i in range(count):
            call(database.config.set(f"parent {i}", i))
        call(database.close())
        acknowledged += sum(pool.map(work, range(2, 4)))
    print(acknowledged + count)
"""
)


@pytest.mark.long
@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_what_a_pool_of_processes_acknowledges_is_stored(
    path: Path, journal: str, start: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = tmp_path_factory.mktemp("program") / "program.py"  # spawned processes import it
    program.write_text(prepared(POOL))
    done = subprocess.run(
        [sys.executable, program, path, journal, start],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) == (20 if start == "fork" else 100)
    assert rows_of(path, "config") == int(done.stdout)


WRITES = """
async def main():
    async with reelbase.connect(sys.argv[1], journal=sys.argv[2]) as database:
        await database.profiles.ensure(sys.argv[3])
asyncio.run(main())
"""

EXECUTED = (
    PROLOGUE
    + """
import subprocess
database = call(connect(path))
command = [sys.executable, sys.argv[3], path, journal]
subprocess.run([*command, "subprocess"], check=True)
subprocess.run([*command, "with preexec_fn"], check=True, preexec_fn=lambda: None)
pid = os.posix_spawn(sys.executable, [*command, "posix_spawn"], os.environ)
assert os.waitpid(pid, 0)[1] == 0
if (pid := os.fork()) == 0:
    os.execv(sys.executable, [*command, "execv"])
assert os.waitpid(pid, 0)[1] == 0
call(database.profiles.ensure("of the parent"))
call(database.close())
"""
)


@pytest.mark.long
def test_a_program_that_is_executed_may_open_it(
    path: Path, journal: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = tmp_path_factory.mktemp("program") / "program.py"
    program.write_text(prepared(WRITES))
    done = script(EXECUTED, path, journal, program, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert rows_of(path, "profiles") == 5
    assert side_files(path) == []


# SQLite in the child.

BUSY = (
    PROLOGUE
    + """
import signal

def make(path):
    signal.alarm(5)
    with sqlite3.connect(path) as native:
        native.execute("CREATE TABLE t (x)")
        native.execute("INSERT INTO t VALUES (1)")

def fork(number):
    return in_child(make, f"{path}.{number}")

async def busy(database):
    number = 0
    while not is_over:
        number += 1
        await database.config.set(f"key {number % 20}", "x" * 2000)
        await database.config.all()

async def main():
    global is_over
    is_over = False
    answers = []
    async with connect(path) as database:
        tasks = [asyncio.create_task(busy(database)) for _ in range(8)]
        for number in range(60):
            await asyncio.sleep(0.001)
            if number % 2:
                answers.append(fork(number))
            else:
                answers += await asyncio.gather(
                    *(asyncio.to_thread(fork, f"{number}.{part}") for part in "ab")
                )
        is_over = True
        await asyncio.gather(*tasks)
    return answers

print(*set(call(main())))
"""
)


@pytest.mark.long
def test_a_child_of_a_busy_process_can_use_sqlite(path: Path, journal: str) -> None:
    """A thread that is inside SQLite at the fork could leave a mutex locked for ever."""
    done = script(BUSY, path, journal, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)
