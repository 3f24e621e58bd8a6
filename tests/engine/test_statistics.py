"""Promises about the statistics of ANALYZE: the library's tables have none, the application's may."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from plans import (
    generated,
    on_each_connection,
    plans,
    plans_of,
    plans_without_statistics,
    read_schema,
    write_statistics,
)
from samples import Look, empty_database
from test_upgrading import make_old

import reelbase
from reelbase import SCHEMA_VERSION, Database, DatabaseError
from reelbase.engine.file.connections import NativeConnection
from reelbase.engine.schema import statistics
from reelbase.engine.schema.source import table_names
from reelbase.engine.schema.statistics import analyzed_tables, gather_statistics, remove_statistics
from reelbase.engine.threads import upkeep

ALL_STATISTICS = "SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY tbl, idx"


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "reelbase")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "reelbase"]


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program, which has the file open."""
    with closing(connected(path)) as native:
        yield native


def connected(path: Path | str) -> sqlite3.Connection:
    native = sqlite3.connect(path, isolation_level=None, factory=NativeConnection)
    native.execute("PRAGMA foreign_keys = ON")
    return native


async def until_removed(look: Look) -> None:
    async with asyncio.timeout(10):
        while look(ALL_STATISTICS):  # noqa: ASYNC110  another connection's commit tells no event
            await asyncio.sleep(0.005)


async def finish_jobs(database: Database, count: int) -> None:
    """A queue that is idle: what it held has ended."""
    await database.profiles.ensure("p")
    await database.execute_many(
        "INSERT INTO jobs (id, profile_id, type, status, finished_at)"
        " VALUES (?, 'p', 't', 'succeeded', '2026-01-01T00:00:00.000Z')",
        [(f"00000000-0000-7000-8000-{number:012x}",) for number in range(count)],
    )


# What connect() does


def test_the_names_of_the_librarys_tables_are_those_of_the_schema() -> None:
    with closing(empty_database()) as native:
        names = native.execute(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND name NOT GLOB 'sqlite_*'"
            " AND type <> 'view'"
        )
        assert {name for (name,) in names} == table_names()


def test_a_new_file_has_a_table_for_statistics_with_nothing_in_it(look: Look) -> None:
    assert look(ALL_STATISTICS) == []


async def test_statistics_of_an_earlier_release_are_removed(
    path: Path,
    journal: Any,
    look: Look,
    messages: Callable[[], list[str]],
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        await finish_jobs(database, 150)
    with closing(sqlite3.connect(path)) as native:  # as optimize() did
        native.execute("ANALYZE")
    async with reelbase.connect(path, journal=journal) as database:
        assert look(ALL_STATISTICS) == []
        for found in await plans_of(database):
            assert found == plans_without_statistics()
    (message,) = messages()
    assert str(path) in message
    assert "removed the statistics" in message


@pytest.mark.long
async def test_an_older_database_loses_them_too(tmp_path: Path, journal: Any) -> None:
    old = make_old(tmp_path / "old.db", SCHEMA_VERSION - 1)
    with closing(sqlite3.connect(old, isolation_level=None)) as native:
        native.execute("ANALYZE")
        assert analyzed_tables(native)
    async with reelbase.connect(old, journal=journal) as database:
        for found in await plans_of(database):
            # In which order references are looked up is the order in which the tables were made.
            for name, plan in plans_without_statistics().items():
                assert sorted(found[name]) == sorted(plan), name
    with closing(sqlite3.connect(old)) as native:
        assert analyzed_tables(native) == []
        assert native.execute("SELECT * FROM sqlite_stat1").fetchall() == []


async def test_a_migration_of_the_application_may_analyze(
    path: Path, tmp_path: Path, journal: Any, look: Look
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "0001_note.sql").write_text(
        "CREATE TABLE note (day TEXT); INSERT INTO note VALUES ('Monday'); ANALYZE;"
    )
    own = reelbase.Migrations("notebook", folder)
    async with reelbase.connect(path, journal=journal, migrations=own) as database:
        assert look(ALL_STATISTICS) == [("note", None, "1")]
        for found in await plans_of(database):
            assert found == plans_without_statistics()


async def test_a_file_without_a_table_for_statistics_gets_one(
    path: Path, journal: Any, look: Look, other: sqlite3.Connection
) -> None:
    other.execute("DROP TABLE sqlite_stat1")
    async with reelbase.connect(path, journal=journal):
        assert look(ALL_STATISTICS) == []


async def test_a_clean_file_is_not_written_to(path: Path, journal: Any) -> None:
    async with reelbase.connect(path, journal=journal):
        pass
    before = await asyncio.to_thread(path.read_bytes)
    async with reelbase.connect(path, journal=journal) as database:
        assert (await database.check()).ok
    assert await asyncio.to_thread(path.read_bytes) == before


async def test_other_connections_forget_them_too(
    path: Path, journal: Any, other: sqlite3.Connection
) -> None:
    write_statistics(path, generated(0))
    assert plans(other) != plans_without_statistics()
    async with reelbase.connect(path, journal=journal):
        assert plans(other) == plans_without_statistics()


@pytest.mark.long
def test_a_connection_that_removes_them_forgets_their_estimates(path: Path) -> None:
    """SQLite keeps a table's number of rows when its statistics are read again and there are none."""
    stale = 0
    for seed in range(7):
        write_statistics(path, generated(seed))
        with closing(connected(path)) as native:
            read_schema(native)
            native.execute("DELETE FROM sqlite_stat1")
            native.execute("ANALYZE sqlite_schema")
            stale += plans(native) != plans_without_statistics()
        write_statistics(path, generated(seed))
        with closing(connected(path)) as native:
            read_schema(native)
            assert remove_statistics(native)
            assert plans(native) == plans_without_statistics()
    assert stale


@pytest.mark.long
async def test_a_locked_file_opens_with_a_warning_and_loses_them_later(
    path: Path,
    journal: Any,
    look: Look,
    other: sqlite3.Connection,
    messages: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep, "_CYCLE_SECONDS", 0.05)
    write_statistics(path, generated(0))
    other.execute("BEGIN IMMEDIATE")
    async with reelbase.connect(path, journal=journal, busy_timeout=0.05) as database:
        (warning,) = messages()
        assert "cannot remove statistics" in warning
        assert "locked" in warning
        await asyncio.sleep(0.2)
        assert messages() == [warning]  # that the file is busy is nothing to be told every time
        other.execute("ROLLBACK")
        await until_removed(look)
        assert [each for each in (await database.check()).warnings if "ANALYZE" in each] == []


@pytest.mark.long
async def test_damaged_statistics_do_not_keep_a_file_closed(
    path: Path, journal: Any, messages: Callable[[], list[str]]
) -> None:
    write_statistics(path, generated(0))
    with closing(sqlite3.connect(path)) as native:
        native.execute("PRAGMA journal_mode = DELETE")
        (page_size,) = native.execute("PRAGMA page_size").fetchone()
        (page,) = native.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_stat1'"
        ).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * page_size)
        file.write(b"\xff" * page_size)
    async with reelbase.connect(path, journal=journal) as database:
        await database.profiles.ensure("p")
        report = await database.check()
        assert [problem for problem in report.problems if "damaged" in problem]
    assert "cannot remove statistics" in messages()[0]


# Whose they are


OWN = [
    ("my notes", None, "7"),
    ("my notes", "my notes by day", "7 1"),
    ("keyed", "keyed", "3 1"),
]


def make_own_tables(native: sqlite3.Connection) -> None:
    native.execute('CREATE TABLE "my notes" (day TEXT, "text" TEXT)')
    native.execute('CREATE INDEX "my notes by day" ON "my notes" (day)')
    native.execute("CREATE TABLE keyed (id TEXT PRIMARY KEY) WITHOUT ROWID")
    native.execute("CREATE INDEX jobs_of_mine ON jobs (error_code)")


FOREIGN = [
    ("jobs", "jobs_queue", "0 0 0 0"),
    ("JOBS", "jobs_queue", "1 1 1 1"),
    (b"jobs", "jobs_queue", "1 1 1 1"),
    ("jobs\x00x", None, "1"),
    ("jobs", "jobs_of_mine", "1 1"),  # an index of the application on a table of ours
    ("my notes", "jobs_queue", "1 1 1 1"),  # SQLite goes by the name of the index alone
    ("my notes", "JOBS_QUEUE", "1 1 1 1"),
    ("videos_fts_idx", "videos_fts_idx", "1 1 1"),  # FTS5 plans, too
    ("sqlite_sequence", None, "5"),
    ("gone", "gone_by_day", "1 1"),
    ("gone", None, None),
    (None, None, "1"),
    (7, 8.5, b"\xff"),
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=repr)
def test_what_is_not_surely_the_applications_is_removed(foreign: tuple[Any, ...]) -> None:
    with closing(empty_database()) as native:
        make_own_tables(native)
        native.executemany("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", OWN)
        assert not remove_statistics(native)
        native.execute("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", foreign)
        assert len(analyzed_tables(native)) == 1
        assert remove_statistics(native)
        assert native.execute("SELECT * FROM sqlite_stat1").fetchall() == OWN
        assert analyzed_tables(native) == []


def test_samples_are_removed_as_well() -> None:
    """sqlite_stat4, of an SQLite that was built with it."""
    with closing(empty_database()) as native:
        native.execute("PRAGMA writable_schema = ON")
        native.execute("CREATE TABLE IF NOT EXISTS sqlite_stat4 (tbl, idx, neq, nlt, ndlt, sample)")
        native.execute("PRAGMA writable_schema = OFF")
        make_own_tables(native)
        insert = "INSERT INTO sqlite_stat4 VALUES (?, ?, '1 1', '0 0', '0 0', x'00')"
        native.execute(insert, ("jobs", "jobs_queue"))
        native.execute(insert, ("my notes", "my notes by day"))
        assert remove_statistics(native)
        assert native.execute("SELECT tbl FROM sqlite_stat4").fetchall() == [("my notes",)]


def test_a_failed_removal_leaves_everything_as_it_was() -> None:
    with closing(empty_database()) as native:
        native.execute("INSERT INTO sqlite_stat1 VALUES ('jobs', 'jobs_queue', '0 0 0 0')")
        native.execute("CREATE TABLE reelbase_statistics (name TEXT)")  # in the way of the view
        with pytest.raises(sqlite3.OperationalError, match="reelbase_statistics"):
            remove_statistics(native)
        assert not native.in_transaction
        assert analyzed_tables(native) == ["jobs"]


# While the database is open


@pytest.mark.long
async def test_anothers_analyze_changes_no_plan(
    path: Path, journal: Any, look: Look, other: sqlite3.Connection
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        await finish_jobs(database, 150)
        other.execute("ANALYZE")
        assert look(ALL_STATISTICS)
        for found in await plans_of(database):
            assert found == plans_without_statistics()


@pytest.mark.long
async def test_even_with_a_change_of_the_schema_it_does_so_for_seconds_only(
    path: Path,
    journal: Any,
    look: Look,
    other: sqlite3.Connection,
    messages: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep, "_CYCLE_SECONDS", 0.05)
    async with reelbase.connect(path, journal=journal) as database:
        await finish_jobs(database, 150)
        other.execute("BEGIN")
        other.execute("ANALYZE")
        other.execute("CREATE TABLE note (text TEXT)")
        other.execute("COMMIT")
        await until_removed(look)
        for found in await plans_of(database):
            assert found == plans_without_statistics()
        assert plans(other) == plans_without_statistics()
        assert "removed the statistics" in messages()[-1]
        assert (await database.jobs.add("p", "t", {})).id == (await claimed(database)).id


async def claimed(database: Database) -> reelbase.Job:
    job = await database.jobs.claim("worker")
    assert job is not None
    return job


@pytest.mark.long
async def test_a_vacuum_has_nobody_read_them(
    path: Path, journal: Any, look: Look, other: sqlite3.Connection
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        await finish_jobs(database, 150)
        other.execute("ANALYZE")
        await database.vacuum()
        assert look(ALL_STATISTICS) == []
        for found in await plans_of(database):
            assert found == plans_without_statistics()


@pytest.mark.long
async def test_check_names_the_tables(
    path: Path, database: Database, other: sqlite3.Connection
) -> None:
    before = (await database.check()).warnings
    await finish_jobs(database, 3)
    other.execute("ANALYZE")
    report = await database.check()
    assert report.ok
    (warning,) = [text for text in report.warnings if text not in before]
    assert "ANALYZE" in warning
    assert "jobs" in warning
    assert "profiles" in warning
    await database.optimize()
    assert (await database.check()).warnings == before


@pytest.mark.parametrize("sql", ["ANALYZE", "analyze jobs", "-- all\nANALYZE sqlite_schema"])
async def test_analyze_is_refused_and_says_what_to_use(sql: str, database: Database) -> None:
    with pytest.raises(DatabaseError, match=r"optimize\(\)") as caught:
        await database.execute(sql)
    assert caught.value.code == "statement"
    async with database.transaction() as unit:
        with pytest.raises(DatabaseError, match=r"optimize\(\)"):
            await unit.execute(sql)


@pytest.mark.parametrize("sql", ["PRAGMA optimize", "PRAGMA main.optimize", "PRAGMA optimize(-1)"])
async def test_so_is_the_pragma_that_would_do_it(sql: str, database: Database, look: Look) -> None:
    with pytest.raises(DatabaseError, match="PRAGMA"):
        await database.execute(sql)
    with pytest.raises(DatabaseError, match="PRAGMA"):
        await database.fetch_all(str, sql)
    assert look(ALL_STATISTICS) == []


# optimize()


@pytest.mark.long
async def test_optimize_on_an_idle_queue_changes_no_plan(
    path: Path, journal: Any, look: Look
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        await finish_jobs(database, 150)
        await database.optimize()
        assert look(ALL_STATISTICS) == []
        for found in await plans_of(database):
            assert found == plans_without_statistics()


async def test_nobody_sees_what_optimize_gathers_and_removes_again(
    path: Path, journal: Any, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if the process ends in between."""
    seen = []

    def remove(native: sqlite3.Connection) -> int:
        if native.execute("SELECT count(*) FROM sqlite_stat1").fetchone()[0]:
            seen.append(look(ALL_STATISTICS))
        return _remove(native)

    _remove = statistics._remove
    monkeypatch.setattr(statistics, "_remove", remove)
    async with reelbase.connect(path, journal=journal) as database:
        await finish_jobs(database, 3)
        await database.optimize()
    assert seen == [[]]


@pytest.mark.long
async def test_a_failure_in_the_middle_leaves_no_statistics_behind(
    path: Path, journal: Any, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        await finish_jobs(database, 150)

        def fail(native: sqlite3.Connection) -> int:
            raise sqlite3.OperationalError("the disk is gone")

        monkeypatch.setattr(statistics, "_remove", fail)
        with pytest.raises(DatabaseError, match="the disk is gone"):
            await database.optimize()
        assert look(ALL_STATISTICS) == []
        for found in await plans_of(database):
            assert found == plans_without_statistics()


@pytest.mark.long
async def test_optimize_gathers_them_of_the_applications_tables(
    database: Database, look: Look
) -> None:
    for sql in (
        'CREATE TABLE "my ""notes" (day TEXT)',
        'CREATE INDEX "by day" ON "my ""notes" (day)',
        "CREATE TABLE main (day TEXT PRIMARY KEY) WITHOUT ROWID",
        """INSERT INTO "my ""notes" VALUES ('Monday'), ('Monday'), ('Friday')""",
        "INSERT INTO main VALUES ('Monday')",
    ):
        await database.execute(sql)
    await finish_jobs(database, 3)
    await database.optimize()
    expected = [("main", "main", "1 1"), ('my "notes', "by day", "3 2")]
    assert look(ALL_STATISTICS) == expected
    await database.optimize()
    assert look(ALL_STATISTICS) == expected
    assert (await database.check()).ok


async def test_all_connections_use_them_at_once(database: Database) -> None:
    await database.execute("CREATE TABLE note (kind TEXT, day TEXT)")
    await database.execute("CREATE INDEX by_day ON note (day)")
    await database.execute("CREATE INDEX by_kind ON note (kind)")
    await database.execute_many(
        "INSERT INTO note VALUES ('k', ?)", [(f"day {number}",) for number in range(300)]
    )
    assert await indexes_used(database) == {"by_kind"}
    await database.optimize()
    assert await indexes_used(database) == {"by_day"}


async def indexes_used(database: Database) -> set[str]:
    sql = f"EXPLAIN QUERY PLAN SELECT * FROM note WHERE kind = 'k' AND day = 'd' -- {uuid4()}"

    def look(native: sqlite3.Connection) -> str:
        read_schema(native)
        ((_, _, _, step),) = native.execute(sql).fetchall()
        return str(step).split()[4]

    return set(await on_each_connection(database, look))


@pytest.mark.long
def test_gathering_is_a_sample(path: Path) -> None:
    """Of a large table ANALYZE would read all."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as native:
        native.executescript(reelbase.schema_sql())
        native.execute("PRAGMA analysis_limit = 400")
        native.execute("CREATE TABLE note (day TEXT)")
        native.execute("CREATE INDEX by_day ON note (day)")
        native.execute(
            "INSERT INTO note WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
            " WHERE i < 50000) SELECT i FROM n"
        )
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1

        native.set_progress_handler(count, 100)
        gather_statistics(native)
        assert steps < 1_000
        assert native.execute("SELECT count(*) FROM sqlite_stat1").fetchone() == (1,)


# An SQLite that also gathers samples


@pytest.mark.long
async def test_anothers_samples_are_removed_within_seconds(
    path: Path,
    journal: Any,
    look: Look,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("apsw", reason="needs apsw, whose SQLite gathers samples (STAT4)")
    monkeypatch.setattr(upkeep, "_CYCLE_SECONDS", 0.05)
    async with reelbase.connect(path, journal=journal) as database:
        await finish_jobs(database, 150)
        # In a process of its own: two builds of SQLite in one would drop each other's locks.
        program = f"import apsw; apsw.Connection({str(path)!r}).execute('ANALYZE')"
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], check=True)
        await until_removed(look)
        assert look("SELECT count(*) FROM sqlite_stat4") == [(0,)]
        for found in await plans_of(database):
            assert found == plans_without_statistics()
