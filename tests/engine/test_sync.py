"""Promises about the synchronous door: calls that wait, on any number of threads, without an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import inspect
import shutil
import sqlite3
import sys
import threading
import time
import traceback
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from scripts import script

import reelbase
from reelbase import (
    Command,
    Database,
    DatabaseClosedError,
    DatabaseError,
    DatabaseReadOnlyError,
    File,
    Profile,
    Query,
    RecordNotFoundError,
    Repository,
    SyncDatabase,
    SyncUnitOfWork,
    UnitOfWork,
)

LONG = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000000)
SELECT count(*) FROM numbers
"""


@pytest.fixture
def sync(path: Path, journal: Any) -> Iterator[SyncDatabase]:
    with reelbase.connect_sync(path, journal=journal, busy_timeout=2) as database:
        yield database


def loop_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "reelbase-loop"]


# Its calls.


def test_it_has_every_public_name_of_a_database(sync: SyncDatabase) -> None:
    public = {name for name in dir(Database) if not name.startswith("_")}
    assert public <= set(dir(sync))
    for name in public:
        assert getattr(sync, name) is not None
    assert sync.files.get.__doc__ == reelbase.FileRepository.get.__doc__
    with pytest.raises(AttributeError, match="playlists"):
        _ = sync.playlists  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        _ = sync.files._run  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("face", "behind"), [(SyncDatabase, Database), (SyncUnitOfWork, UnitOfWork)]
)
def test_methods_of_its_own_have_the_parameters_of_the_async_ones(face: type, behind: type) -> None:
    own = [name for name in vars(face) if not name.startswith("_")]
    assert own
    for name in own:
        ours, theirs = (inspect.signature(getattr(each, name)) for each in (face, behind))
        assert ours.parameters == theirs.parameters, name


def test_a_call_gives_the_record_and_is_stored(
    sync: SyncDatabase, look: Callable[[str], list[tuple[object, ...]]]
) -> None:
    assert isinstance(sync.profiles.ensure("ann"), Profile)
    file = sync.files.add("ann", "a.mkv", "a.mkv")
    assert sync.files.get(file.id) == file
    assert look("SELECT name FROM files") == [("a.mkv",)]
    with pytest.raises(RecordNotFoundError, match="file"):
        sync.files.get(reelbase.new_id())
    with pytest.raises(TypeError, match="missing"):
        sync.files.add("ann", "a.mkv")  # type: ignore[call-arg]


@pytest.mark.long
def test_raw_sql(sync: SyncDatabase) -> None:
    assert sync.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)") == 0
    assert sync.execute_many("INSERT INTO notes (text) VALUES (?)", [("a",), ("b",)]) == 2
    assert sync.fetch_all(str, "SELECT text FROM notes ORDER BY id") == ["a", "b"]
    assert sync.fetch_one(int, "SELECT count(*) FROM notes") == 2
    assert sync.fetch_optional(str, "SELECT text FROM notes WHERE id = :id", {"id": 9}) is None
    with pytest.raises(reelbase.DatabaseTimeoutError):
        sync.fetch_all(int, LONG, timeout=0.05)


def test_pages(sync: SyncDatabase) -> None:
    sync.profiles.ensure("ann")
    names = [f"{number}.mkv" for number in range(5)]
    sync.files.add_many("ann", [reelbase.NewFile(name, name) for name in names])
    seen: list[str] = []
    after: File | None = None
    while page := sync.files.page("ann", after=after, limit=2):
        seen += [file.name for file in page]
        after = page[-1]
    assert sorted(seen) == names


def test_changes_are_waited_for_without_a_loop(sync: SyncDatabase) -> None:
    with sync.changes("profiles") as changes:
        sync.profiles.ensure("ann")
        assert next(changes).names == {"profiles"}


def test_a_stream_gives_rows_one_by_one_and_may_be_left_early(sync: SyncDatabase) -> None:
    numbers = """
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
    SELECT i FROM n
    """
    assert list(sync.stream(int, numbers, batch=7)) == list(range(1, 1001))
    with sync.stream(int, numbers, batch=7) as rows:
        assert next(rows) == 1
    with pytest.raises(DatabaseClosedError):
        next(rows)
    with pytest.raises(ValueError, match="batch"):
        sync.stream(int, numbers, batch=0)
    with pytest.raises(DatabaseReadOnlyError):
        sync.stream(int, "DELETE FROM files")
    assert list(sync.stream(int, "SELECT 1 WHERE 0")) == []


def test_a_function_runs_in_one_hop(sync: SyncDatabase) -> None:
    async def both(unit: UnitOfWork, name: str) -> int:
        await unit.profiles.ensure(name)
        await unit.profiles.ensure(f"{name} 2")
        return await unit.profiles.count()

    assert sync.atomically(both, "ann", actor="me") == 2
    assert sync.reading(lambda view: view.profiles.count()) == 2


class Note(msgspec.Struct, frozen=True):
    id: int
    text: str


class NoteRepository(Repository):
    """An application's own, with all that a class may have."""

    entity = "note"
    _add = Command(Note, "INSERT INTO notes (text) VALUES (:text) RETURNING id, text")
    _all = Query(Note, "SELECT id, text FROM notes ORDER BY id")

    async def add(self, text: str) -> Note:
        return await self._run(self._add.one(text=text))

    def all(self) -> Any:
        return self._run(self._all.all())

    async def texts(self) -> AsyncIterator[str]:
        for note in await self.all():
            yield note.text

    @asynccontextmanager
    async def noted(self, text: str) -> AsyncIterator[Note]:
        yield await self.add(text)
        await self.add(f"after {text}")

    def shout(self, text: str) -> str:
        return text.upper()

    @property
    def kind(self) -> str:
        return self.entity


def test_a_repository_of_the_applications_own(sync: SyncDatabase) -> None:
    sync.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")
    notes = sync.repository(NoteRepository)
    with notes.noted("a") as note:
        assert note == Note(1, "a")
    assert [each.text for each in notes.all()] == ["a", "after a"]
    assert list(notes.texts()) == ["a", "after a"]
    assert (notes.shout("x"), notes.kind) == ("X", "note")
    with sync.transaction() as unit:
        unit.repository(NoteRepository).add("b")
        unit.rollback()
    assert len(notes.all()) == 2


def test_an_iterator_among_the_arguments_may_call_the_database(sync: SyncDatabase) -> None:
    sync.execute("CREATE TABLE counts (count INTEGER)")
    rows = ((sync.profiles.count(),) for _ in range(3))
    assert sync.execute_many("INSERT INTO counts VALUES (?)", rows) == 3


@pytest.mark.long
def test_a_backup_tells_its_progress_to_the_thread_that_waits(
    sync: SyncDatabase, tmp_path: Path
) -> None:
    told = []

    def progress(done: int, total: int) -> None:
        told.append((done, total, threading.current_thread()))
        sync.profiles.count()  # it may call the database

    sync.backup(tmp_path / "copy.db", progress=progress)
    assert told[-1][0] == told[-1][1] > 0
    assert {thread for _, _, thread in told} == {threading.current_thread()}

    def failing(done: int, total: int) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        sync.backup(tmp_path / "second.db", progress=failing)
    assert [path.name for path in tmp_path.glob("*.partial")] == []
    sync.backup(tmp_path / "third.db")
    assert sync.check().ok


# Units of work and snapshots.


def test_a_unit_stores_all_or_nothing(sync: SyncDatabase) -> None:
    with sync.transaction(actor="me") as unit:
        unit.profiles.ensure("ann")
        assert (unit.actor, unit.state) == ("me", "open")
    assert unit.state == "committed"
    with pytest.raises(KeyError), sync.transaction() as unit:
        unit.profiles.ensure("ben")
        raise KeyError
    assert unit.state == "rolled_back"
    with sync.transaction() as unit:
        unit.profiles.ensure("cem")
        unit.rollback()
    assert [profile.id for profile in sync.profiles.list()] == ["ann"]
    with pytest.raises(DatabaseClosedError):
        unit.profiles.ensure("dan")


def test_savepoints_undo_a_part_and_nest(sync: SyncDatabase) -> None:
    with sync.transaction() as unit:
        with unit.savepoint():
            unit.profiles.ensure("ann")
            with pytest.raises(KeyError), unit.savepoint():
                unit.profiles.ensure("ben")
                raise KeyError
            unit.profiles.ensure("cem")
        with pytest.raises(KeyError), unit.savepoint():
            unit.profiles.ensure("dan")
            with unit.savepoint():
                unit.profiles.ensure("eva")
            raise KeyError
    assert {profile.id for profile in sync.profiles.list()} == {"ann", "cem"}


def test_a_unit_may_be_used_by_two_threads_but_not_inside_a_savepoint(sync: SyncDatabase) -> None:
    with ThreadPoolExecutor(1) as pool, sync.transaction() as unit:
        pool.submit(unit.profiles.ensure, "of the other thread").result()
        with unit.savepoint():
            unit.profiles.ensure("ann")
            with pytest.raises(DatabaseError, match="savepoint") as refused:
                pool.submit(unit.profiles.ensure, "ben").result()
            assert refused.value.code == "savepoint"
            assert pool.submit(unit.profiles.count).result() == 2
        pool.submit(unit.profiles.ensure, "cem").result()
    assert sync.profiles.count() == 3


def test_a_write_beside_the_own_unit_is_refused_at_once_and_names_its_line(
    sync: SyncDatabase,
) -> None:
    with sync.transaction() as unit:
        opened_at = f"{__file__}:{sys._getframe().f_lineno - 1}"
        unit.profiles.ensure("ann")
        with pytest.raises(DatabaseError, match="make it on that one") as refused:
            sync.profiles.ensure("ben")
    assert refused.value.details == {"opened_at": opened_at}


def test_a_unit_of_another_thread_is_waited_for(sync: SyncDatabase) -> None:
    with ThreadPoolExecutor(1) as pool:
        with sync.transaction() as unit:
            waiting = pool.submit(sync.profiles.ensure, "ben")
            time.sleep(0.05)
            assert not waiting.done()
            unit.profiles.ensure("ann")
        assert waiting.result().id == "ben"


def test_callbacks_after_a_commit_are_called_before_the_block_is_left(sync: SyncDatabase) -> None:
    done: list[str] = []
    with sync.transaction() as unit:
        unit.profiles.ensure("ann")
        unit.after_commit(lambda: done.append(threading.current_thread().name))
        assert done == []
    assert done == ["reelbase-loop"]


@pytest.mark.long
def test_plain_handlers_work_on_jobs_and_may_call_the_database(path: Path) -> None:
    done = script(
        """
        import signal, threading
        with reelbase.connect_sync(sys.argv[1]) as database:
            database.profiles.ensure("ann")
            job = database.jobs.add("ann", "count", {})

            def count(run):
                found = database.profiles.count()
                threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
                return {"count": found}

            try:
                database.work({"count": count}, grace=1)
            except KeyboardInterrupt:
                print(database.jobs.get(job.id).result)
        """,
        path,
    )
    assert (done.stdout, done.stderr) == ("{'count': 1}\n", "")


def test_a_context_is_entered_once(sync: SyncDatabase) -> None:
    for context in (sync.transaction(), sync.snapshot()):
        with context:
            pass
        with pytest.raises(DatabaseError) as refused, context:
            pass
        assert refused.value.code == "entered_twice"


def test_a_snapshot_sees_one_moment(sync: SyncDatabase, journal: str) -> None:
    sync.profiles.ensure("ann")
    with sync.snapshot() as view:
        assert view.profiles.count() == 1
        if journal == "wal":
            sync.profiles.ensure("ben")
        assert view.profiles.count() == 1
        with pytest.raises(DatabaseReadOnlyError):
            view.profiles.ensure("cem")  # type: ignore[attr-defined]
    with pytest.raises(DatabaseClosedError):
        view.profiles.count()


# Threads, contexts, event loops.


@pytest.mark.long
def test_many_threads_share_it(sync: SyncDatabase) -> None:
    def work(thread: int) -> None:
        for number in range(20):
            sync.profiles.ensure(f"{thread}-{number}")
            assert sync.profiles.get(f"{thread}-{number}").id == f"{thread}-{number}"
        with sync.transaction() as unit:
            unit.profiles.ensure(f"{thread} a")
            unit.profiles.ensure(f"{thread} b")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    assert sync.profiles.count() == 16 * 22


_request: contextvars.ContextVar[str] = contextvars.ContextVar("request")


def test_a_call_runs_in_the_context_of_its_caller(sync: SyncDatabase) -> None:
    async def seen(unit: UnitOfWork) -> str:
        return _request.get("none")

    class Setting(Repository):
        async def set(self) -> None:
            _request.set("set by the call")

    assert sync.atomically(seen) == "none"
    token = _request.set("of the caller")
    try:
        assert sync.atomically(seen) == "of the caller"
        sync.repository(Setting).set()
        assert _request.get() == "set by the call"
    finally:
        _request.reset(token)


async def test_a_thread_with_a_running_loop_is_refused(path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"asyncio\.to_thread"):
        reelbase.connect_sync(path)
    assert loop_threads() == []
    sync = await asyncio.to_thread(reelbase.connect_sync, path)
    with pytest.raises(RuntimeError, match="stand still"):
        sync.profiles.count()
    assert await asyncio.to_thread(sync.profiles.count) == 0
    await asyncio.to_thread(sync.close)


def test_a_function_that_calls_the_database_beside_its_unit_is_refused(sync: SyncDatabase) -> None:
    async def wrong(unit: UnitOfWork) -> None:
        sync.profiles.ensure("ann")

    with pytest.raises(RuntimeError, match="call the unit"):
        sync.atomically(wrong)
    assert sync.profiles.count() == 0


# Errors and interrupts.


def test_an_error_shows_the_callers_line_and_the_repositorys(sync: SyncDatabase) -> None:
    with pytest.raises(ValueError, match=r"FileRepository\.get: file_id: not a UUID") as raised:
        sync.files.get("x")
    functions = [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert functions[0] == "test_an_error_shows_the_callers_line_and_the_repositorys"
    assert "get" in functions
    assert raised.value.__suppress_context__


def test_an_error_is_freed_with_its_last_name(sync: SyncDatabase) -> None:
    def fail() -> weakref.ref[BaseException]:
        try:
            sync.files.get("no id")
        except ValueError as error:
            return weakref.ref(error)
        raise AssertionError

    gc.collect()
    gc.disable()
    try:
        assert fail()() is None
    finally:
        gc.enable()


def test_what_is_no_exception_reaches_the_caller_and_not_the_loop(sync: SyncDatabase) -> None:
    async def leave(unit: UnitOfWork) -> None:
        await unit.profiles.ensure("ann")
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        sync.atomically(leave)
    assert sync.profiles.count() == 0


@pytest.mark.long
def test_ctrl_c_interrupts_the_statement(path: Path) -> None:
    done = script(
        f"""
        import signal, threading
        with reelbase.connect_sync(sys.argv[1]) as database:
            for call in (
                lambda: database.fetch_all(int, {LONG!r}),
                lambda: list(database.stream(int, {LONG!r})),
            ):
                threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
                began = time.monotonic()
                try:
                    call()
                except KeyboardInterrupt:
                    print(time.monotonic() - began < 2, database.profiles.count())
            threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
            try:
                with database.transaction() as unit:
                    unit.profiles.ensure("ann")
                    unit.fetch_all(int, {LONG!r})
            except KeyboardInterrupt:
                print(unit.state, database.profiles.count())
        """,
        path,
    )
    assert (done.stdout, done.stderr) == ("True 0\nTrue 0\nrolled_back 0\n", "")


def unit_of_two(database: SyncDatabase, name: str) -> None:
    with database.transaction() as unit:
        unit.profiles.ensure(f"{name} a")
        with unit.savepoint():
            unit.profiles.ensure(f"{name} b")


class Interrupts:
    """Raises KeyboardInterrupt at the n-th line that this thread runs, and again at every stride after it."""

    def __init__(self, first: int, stride: int | None) -> None:
        self.lines = 0
        self.first = first
        self.stride = stride

    def __call__(self, frame: Any, event: str, argument: object) -> Any:
        name = frame.f_globals["__name__"]
        if name != __name__ and name.partition(".")[0] not in ("reelbase", "asyncio"):
            return None  # not the call: callbacks of weak references, for one
        if frame.f_code.co_name == "__del__" or frame.f_back.f_code.co_name == "__del__":
            return None  # where the interpreter would only print it
        if event == "line":
            self.lines += 1
            past = self.lines - self.first
            if past == 0 or (self.stride and past == self.stride):
                raise KeyboardInterrupt
        return self


@pytest.mark.long
@pytest.mark.parametrize("stride", [None, 3])
def test_an_interrupt_at_any_line_leaves_no_half_unit_and_no_lock(
    sync: SyncDatabase, stride: int | None
) -> None:
    """sys.settrace interrupts between any two lines of the calling thread, asyncio's included."""
    interrupted, stored = 0, list[str]()
    gc.collect()
    gc.freeze()  # else each collection below would take a tenth of a second
    for first in range(1, 10_000, 1 if stride is None else 4):
        interrupts, tracer = Interrupts(first, stride), sys.gettrace()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the last net: a dropped unit
            try:
                sys.settrace(interrupts)
                try:
                    unit_of_two(sync, str(first))
                finally:
                    sys.settrace(tracer)
            except KeyboardInterrupt as error:
                interrupted += 1
                traceback.clear_frames(error.__traceback__)
            gc.collect()
        stored = [
            profile.id for profile in sync.profiles.list() if profile.id.startswith(f"{first} ")
        ]
        assert len(stored) in (0, 2), first
        sync.profiles.ensure("next")  # the writer is free
        if interrupts.lines < first:
            break
    gc.unfreeze()
    assert len(stored) == 2
    assert interrupted > (100 if stride is None else 25)


# Closing, forgetting, forking.


def test_closing_ends_the_thread_and_refuses_later_calls(path: Path) -> None:
    sync = reelbase.connect_sync(path)
    assert len(loop_threads()) == 1
    assert repr(sync) == f"<SyncDatabase {path}>"
    files = sync.files
    sync.close()
    sync.close()
    assert sync.closed
    assert repr(sync) == f"<SyncDatabase {path} closed>"
    assert loop_threads() == []
    for call in (sync.profiles.count, files.list, lambda: sync.transaction().__enter__()):
        with pytest.raises(DatabaseClosedError):
            call()
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name]


@pytest.mark.long
def test_closing_on_another_thread_ends_units_and_waiting_calls(path: Path, journal: Any) -> None:
    sync = reelbase.connect_sync(path, journal=journal)

    class Sleeper(Repository):
        async def sleep(self) -> None:
            await asyncio.sleep(60)

    with ThreadPoolExecutor(2) as pool:
        asleep = pool.submit(sync.repository(Sleeper).sleep)
        with pytest.raises(DatabaseClosedError), sync.transaction() as unit:
            unit.profiles.ensure("ann")
            pool.submit(sync.close).result()
        with pytest.raises(DatabaseClosedError, match="meanwhile"):
            asleep.result(5)
    with reelbase.connect_sync(path) as again:
        assert again.profiles.count() == 0


def test_a_block_that_raises_keeps_its_error_when_the_database_was_closed_in_it(
    path: Path,
) -> None:
    sync = reelbase.connect_sync(path)
    with pytest.raises(KeyError), sync.transaction() as unit:
        unit.profiles.ensure("ann")
        sync.close()
        raise KeyError


def test_a_failed_opening_leaves_no_thread(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database, but a text that is long enough" * 100)
    with pytest.raises(DatabaseError):
        reelbase.connect_sync(tmp_path / "text.db")
    with pytest.raises(ValueError, match="readers"):
        reelbase.connect_sync(tmp_path / "new.db", readers=0)
    with pytest.raises(TypeError, match="colour"):
        reelbase.connect_sync(tmp_path / "new.db", colour="red")  # type: ignore[call-arg]
    assert loop_threads() == []


def test_a_forgotten_database_warns_and_is_closed(path: Path) -> None:
    sync = reelbase.connect_sync(path)
    sync.profiles.ensure("ann")
    (thread,) = loop_threads()
    with pytest.warns(ResourceWarning, match="unclosed <SyncDatabase"):
        del sync
    thread.join(5)
    assert not thread.is_alive()
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name]


@pytest.mark.long
def test_a_program_that_forgets_to_close_ends_and_keeps_its_rows(path: Path) -> None:
    began = time.monotonic()
    done = script(
        """
        database = reelbase.connect_sync(sys.argv[1])
        database.profiles.ensure("ann")
        context = database.transaction()
        unit = context.__enter__()
        unit.profiles.ensure("ben")
        """,
        path,
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 10
    with contextlib.closing(sqlite3.connect(path)) as native:
        assert native.execute("SELECT id FROM profiles").fetchall() == [("ann",)]


@pytest.mark.long
@pytest.mark.skipif(not hasattr(sys, "getdlopenflags"), reason="no fork here")
def test_a_forked_child_is_refused_and_leaves_the_parent_alone(path: Path, template: Path) -> None:
    other = shutil.copy(template, path.with_name("other.db"))
    done = script(
        """
        database = reelbase.connect_sync(sys.argv[1])
        database.profiles.ensure("ann")
        context = database.transaction()
        unit = context.__enter__()
        pid = os.fork()
        if pid == 0:
            leave = lambda: context.__exit__(None, None, None)
            for call in (database.profiles.count, unit.profiles.count, leave):
                try:
                    call()
                except reelbase.DatabaseClosedError as error:
                    print(error.code, flush=True)
            database.close()
            with reelbase.connect_sync(sys.argv[2]) as own:
                print(own.profiles.count(), flush=True)
            sys.exit(0)
        print("child", os.waitpid(pid, 0)[1], flush=True)
        unit.profiles.ensure("ben")
        context.__exit__(None, None, None)
        print(database.profiles.count())
        database.close()
        """,
        path,
        other,
    )
    assert (done.stdout, done.stderr) == ("forked\nforked\nforked\n0\nchild 0\n2\n", "")


def test_in_memory() -> None:
    with reelbase.connect_sync(":memory:") as sync:
        sync.profiles.ensure("ann")
        with sync.snapshot() as view:
            assert view.profiles.count() == 1
        assert list(sync.stream(int, "SELECT 1 UNION ALL SELECT 2")) == [1, 2]
        assert sync.path is None
