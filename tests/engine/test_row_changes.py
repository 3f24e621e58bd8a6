"""Promises about database.changes(rows=True): which rows have changed, of any process, since any commit."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
import signal
import sqlite3
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pytest
from commands import run

import reelbase
from reelbase import (
    ChangesExpiredError,
    ChangeStream,
    ConstraintError,
    Database,
    DatabaseReadOnlyError,
    File,
    InvalidArgumentError,
    RowChange,
)
from reelbase.engine.live.journal import Batch, Journal, Place
from reelbase.operations.reset import reset

Mode = Literal["wal", "delete"]

ALBUMS = (
    "CREATE TABLE albums (id INTEGER PRIMARY KEY, title TEXT UNIQUE)",
    "CREATE TABLE songs (album INTEGER REFERENCES albums ON DELETE CASCADE, place INTEGER, title TEXT,"
    " PRIMARY KEY (album, place)) WITHOUT ROWID",
    "CREATE TABLE plays (rowid TEXT, song TEXT)",
    'CREATE TABLE "od\'d ""one" (key BLOB PRIMARY KEY)',
    "CREATE TRIGGER songs_played AFTER UPDATE ON songs BEGIN INSERT INTO plays VALUES ('r', NEW.title); END",
)


@pytest.fixture
async def albums(path: Path, journal: Mode) -> AsyncIterator[Database]:
    """A database with tables of the application's own."""
    async with reelbase.connect(path, journal=journal) as database:
        for sql in ALBUMS:
            await database.execute(sql)
        yield database


@pytest.fixture
def plain(albums: Database, path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of the sqlite3 module, as another program has it."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


async def told(stream: ChangeStream) -> list[tuple[str, Any, str]]:
    """The rows of the next Changes."""
    changes = await asyncio.wait_for(anext(stream), 5)
    assert changes.rows is not None
    assert changes.commit == stream.commit
    assert changes.names == {row.table for row in changes.rows}
    return [(row.table, row.key, row.kind) for row in changes.rows]


async def is_quiet(stream: ChangeStream) -> bool:
    try:
        await asyncio.wait_for(anext(stream), 0.1)
    except TimeoutError:
        return True
    return False


async def add_file(database: Database, profile: str, name: str = "a.mp4") -> File:
    await database.profiles.ensure(profile)
    return await database.files.add(profile, name, name)


# What is told


async def test_rows_are_told_with_key_and_kind_and_deleted_ones_leave_a_tombstone(
    database: Database,
) -> None:
    await database.profiles.ensure("ann")
    async with database.changes("files", rows=True) as stream:
        file = await database.files.add("ann", "a.mp4", "a.mp4")
        assert await told(stream) == [("files", str(file.id), "insert")]
        await database.files.update(file.id, name="b.mp4")
        assert await told(stream) == [("files", str(file.id), "update")]
        await database.profiles.delete("ann")
        assert await told(stream) == [("files", str(file.id), "delete")]


async def test_keys_are_what_identifies_a_row_in_every_kind_of_table(albums: Database) -> None:
    odd = "od'd \"one"
    async with albums.changes("albums", "songs", "plays", odd, rows=True) as stream:
        async with albums.transaction() as unit:
            await unit.execute("INSERT INTO albums VALUES (7, 'first')")
            await unit.execute("INSERT INTO songs VALUES (7, 1, 'song')")
            await unit.execute("UPDATE songs SET title = 'new'")
            await unit.execute(
                "INSERT INTO \"od'd \"\"one\" VALUES (x'00ff'), (2.5), (NULL), ('é')"
            )
        assert await told(stream) == [
            ("albums", 7, "insert"),
            ("songs", (7, 1), "insert"),
            *[("plays", 1, "insert"), ("songs", (7, 1), "update")][
                :: await order_of_triggers(albums)
            ],
            (odd, "00FF", "insert"),
            (odd, 2.5, "insert"),
            (odd, None, "insert"),
            (odd, "é", "insert"),
        ]


async def order_of_triggers(database: Database) -> int:
    """1: SQLite runs the older trigger of a table first; -1: the newer one."""
    rows = await database.fetch_all(
        str,
        "SELECT table_name FROM followed_changes WHERE table_name IN ('plays', 'songs')"
        " AND kind <> 'gap' ORDER BY number LIMIT 2 OFFSET 1",
    )
    return 1 if rows[0] == "plays" else -1


async def test_cascades_and_other_programs_are_told_too(
    albums: Database, plain: sqlite3.Connection
) -> None:
    async with albums.changes("albums", "songs", rows=True) as stream:
        plain.execute("INSERT INTO albums VALUES (1, 'first')")
        assert await told(stream) == [("albums", 1, "insert")]
        plain.execute("INSERT INTO songs VALUES (1, 1, 'song')")
        assert await told(stream) == [("songs", (1, 1), "insert")]
        plain.execute("DELETE FROM albums")
        assert sorted(await told(stream)) == [("albums", 1, "delete"), ("songs", (1, 1), "delete")]


async def test_a_row_with_another_key_or_of_another_profile_is_gone_for_who_had_it(
    database: Database,
) -> None:
    file = await add_file(database, "ann")
    await database.profiles.ensure("bob")
    key = str(file.id)
    async with (
        database.changes("files", profile_id="ann", rows=True) as of_ann,
        database.changes("files", profile_id="bob", rows=True) as of_bob,
    ):
        await database.execute("UPDATE files SET profile_id = 'bob'")
        assert await told(of_ann) == [("files", key, "delete")]
        assert await told(of_bob) == [("files", key, "insert")]
        assert await is_quiet(of_ann)
    async with database.changes("profiles", rows=True) as stream:
        await database.profiles.ensure("eve")
        await database.execute("UPDATE profiles SET id = 'eva' WHERE id = 'eve'")
        assert await told(stream) == [
            ("profiles", "eve", "insert"),
            ("profiles", "eve", "delete"),
            ("profiles", "eva", "insert"),
        ]


async def test_a_profile_hears_of_its_own_rows_only(database: Database) -> None:
    await add_file(database, "ann")
    async with database.changes("files", "jobs", profile_id="ann") as stream:
        await add_file(database, "bob")
        assert await is_quiet(stream)
        await database.jobs.add("ann", "t", {})
        changes = await asyncio.wait_for(anext(stream), 5)
        assert changes.names == {"jobs"}
        assert changes.rows is None


async def test_what_is_rolled_back_or_undone_never_shows(albums: Database) -> None:
    async with albums.changes("albums", rows=True) as stream:
        async with albums.transaction() as unit:
            await unit.execute("INSERT INTO albums VALUES (1, 'a')")
            await unit.rollback()
        async with albums.transaction() as unit:
            await unit.execute("INSERT INTO albums VALUES (2, 'b')")
            with pytest.raises(ConstraintError):
                async with unit.savepoint():
                    await unit.execute("INSERT INTO albums VALUES (3, 'c')")
                    await unit.execute("INSERT INTO albums VALUES (4, 'b')")
        assert await told(stream) == [("albums", 2, "insert")]


async def test_tables_that_are_not_named_have_no_triggers_and_cost_nothing(
    database: Database,
) -> None:
    async with database.changes("files", rows=True) as stream:
        triggers = await database.fetch_all(
            str, "SELECT tbl_name FROM sqlite_schema WHERE name LIKE 'reelbase_followed_%'"
        )
        assert triggers == ["files"] * 3
        await database.profiles.ensure("ann")
        await database.jobs.add("ann", "t", {})
        assert await is_quiet(stream)
    assert await database.fetch_all(str, "SELECT kind FROM followed_changes") == ["gap"]


async def test_many_rows_come_in_parts_and_in_order(albums: Database) -> None:
    async with albums.changes("albums", rows=True) as stream:
        await albums.execute_many(
            "INSERT INTO albums VALUES (?, NULL)", [(n,) for n in range(2500)]
        )
        parts = [await told(stream) for _ in range(3)]
        assert [len(part) for part in parts] == [1000, 1000, 500]
        assert [key for part in parts for _, key, _ in part] == list(range(2500))
        assert await is_quiet(stream)


@pytest.mark.long
async def test_a_cancelled_consumer_loses_nothing(albums: Database) -> None:
    async with albums.changes("albums", rows=True) as stream:
        seen: list[Any] = []
        for n in range(50):
            await albums.execute("INSERT INTO albums VALUES (?, NULL)", [n])
            step = asyncio.ensure_future(told(stream))
            for _ in range(n % 7):
                await asyncio.sleep(0)
            step.cancel()
            try:
                seen += await step
            except asyncio.CancelledError:
                continue
        while len(seen) < 50:
            seen += await told(stream)
        assert seen == [("albums", n, "insert") for n in range(50)]


async def test_a_database_in_memory_tells_of_its_rows() -> None:
    async with (
        reelbase.connect(":memory:") as database,
        database.changes("profiles", rows=True) as stream,
    ):
        await database.profiles.ensure("ann")
        assert await told(stream) == [("profiles", "ann", "insert")]


# Since


@pytest.mark.long
async def test_a_stream_goes_on_after_a_restart_with_what_has_changed_meanwhile(
    path: Path, journal: Mode
) -> None:
    async with reelbase.connect(path, journal=journal) as database:
        async with database.changes("files", rows=True) as stream:
            first = await add_file(database, "ann")
            assert await told(stream) == [("files", str(first.id), "insert")]
            since = stream.commit
        await database.files.delete(first.id)
    with closing(sqlite3.connect(path)) as plain:
        plain.execute(
            "INSERT INTO files (id, profile_id, name, path) VALUES (?, 'ann', 'b', 'b')", [ID]
        )
        plain.commit()
    async with reelbase.connect(path, journal=journal) as database:
        for given in (since, str(since)):
            async with database.changes("files", rows=True, since=given) as stream:
                assert await told(stream) == [
                    ("files", str(first.id), "delete"),
                    ("files", ID, "insert"),
                ]
                assert stream.commit is not None
                assert since is not None
                assert stream.commit > since


ID = "01900000-0000-7000-8000-000000000001"


async def test_notifications_and_the_audit_trail_can_be_followed_since_a_commit(
    database: Database,
) -> None:
    await database.profiles.ensure("ann")
    async with (
        database.changes("notifications", profile_id="ann", rows=True) as bell,
        database.changes("audit_log", rows=True) as trail,
    ):
        before = bell.commit, trail.commit
    note = await database.notifications.push("ann", "t", "title", progress_key="k")
    await database.notifications.push("ann", "t", "title", progress_key="k", progress=0.5)
    await database.notifications.dismiss(note.id)
    await database.projects.add("project", "/project")
    (entry,) = await database.audit.list()
    async with (
        database.changes("notifications", profile_id="ann", rows=True, since=before[0]) as bell,
        database.changes("audit_log", rows=True, since=before[1]) as trail,
    ):
        assert await told(bell) == [
            ("notifications", note.id, kind) for kind in ("insert", "update", "delete")
        ]
        assert await told(trail) == [("audit_log", entry.id, "insert")]


async def expired(database: Database, since: int | None) -> bool:
    """Whether a stream of the albums cannot go on from there."""
    assert since is not None
    try:
        async with database.changes("albums", rows=True, since=since) as stream:
            await told(stream)
    except ChangesExpiredError as error:
        return (error.http_status, error.details) == (410, {"since": since})
    return False


@pytest.mark.long
async def test_what_the_journal_does_not_hold_any_more_is_said_and_it_is_bounded(
    albums: Database,
) -> None:
    async with albums.changes("albums", rows=True) as slow:
        since = slow.commit
        await albums.execute("INSERT INTO albums VALUES (1, 'a')")
        assert not await expired(albums, since)
        await albums.execute(
            "WITH RECURSIVE n (n) AS (VALUES (2) UNION ALL SELECT n + 1 FROM n LIMIT 100200)"
            " INSERT INTO albums (id) SELECT n FROM n"
        )
        assert await expired(albums, since)
        with pytest.raises(ChangesExpiredError):
            await told(slow)
    assert 100_000 <= await albums.fetch_one(int, "SELECT count(*) FROM followed_changes") < 100_100


async def test_a_number_that_was_never_given_is_not_known(albums: Database) -> None:
    async with albums.changes("albums", rows=True) as stream:
        assert stream.commit is not None
        for since in (
            0,
            stream.commit - 1,
            stream.commit + 1,
            stream.commit + 65536,
            2**63,
            2**200,
        ):
            assert await expired(albums, since)


@pytest.mark.long
async def test_a_restored_copy_does_not_go_on_from_what_it_has_never_seen(
    albums: Database, path: Path, tmp_path: Path
) -> None:
    """So does not a file of which a power cut has undone the last commits: their numbers come again."""
    async with albums.changes("albums", rows=True) as stream:
        await albums.backup(tmp_path / "copy.db")
        known = stream.commit
        await albums.execute("INSERT INTO albums VALUES (1, 'lost')")
        await told(stream)
        lost = stream.commit
    await albums.close()
    shutil.copy(tmp_path / "copy.db", path)
    async with reelbase.connect(path) as database:
        for n in range(3):
            await database.execute("INSERT INTO albums VALUES (?, NULL)", [n])
        assert await expired(database, lost)
        assert not await expired(database, known)


@pytest.mark.long
async def test_a_gap_in_which_a_table_was_not_followed_is_said(
    albums: Database, plain: sqlite3.Connection
) -> None:
    async with albums.changes("albums", "songs", rows=True) as stream:
        since = stream.commit
        assert await albums.unfollow("albums", "plays") == ["albums"]
        with pytest.raises(ChangesExpiredError):
            await told(stream)
    await albums.execute("INSERT INTO albums VALUES (1, 'unseen')")
    async with albums.changes("albums", rows=True) as stream:
        await albums.execute("INSERT INTO albums VALUES (2, 'seen')")
        assert await told(stream) == [("albums", 2, "insert")]
        assert await expired(albums, since)
        plain.execute("DROP TABLE albums")
        plain.execute(ALBUMS[0])
    async with albums.changes("albums", rows=True) as stream:
        await albums.execute("INSERT INTO albums VALUES (3, 'new')")
        assert await told(stream) == [("albums", 3, "insert")]
    assert await albums.unfollow() == ["albums", "songs"]
    assert await albums.unfollow() == []


# Bad input


@pytest.mark.parametrize(
    ("names", "options", "parameter"),
    [
        ((), {"rows": True}, "names"),
        ((), {"profile_id": "ann"}, "names"),
        (("nothing",), {"rows": True}, "names"),
        (("files_fts",), {"rows": True}, "names"),
        (("followed_changes",), {"rows": True}, "names"),
        (("transcript_segments",), {"profile_id": "ann"}, "profile_id"),
        (("files",), {"since": -1}, "since"),
        (("files",), {"since": ""}, "since"),
        (("files",), {"since": "1; DROP"}, "since"),
        (("files",), {"since": "²"}, "since"),
    ],
)
async def test_what_cannot_be_followed_is_refused_and_nothing_is_made(
    database: Database, names: tuple[str, ...], options: dict[str, Any], parameter: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        async with database.changes(*names, **options):
            pass
    assert caught.value.parameter == parameter
    assert await database.unfollow() == []


@pytest.mark.parametrize("since", [True, 1.5, b"1"])
async def test_since_is_a_number_or_its_text(database: Database, since: Any) -> None:
    with pytest.raises(TypeError):
        database.changes("files", since=since)


@pytest.mark.long
async def test_a_read_only_database_tells_of_tables_that_are_followed(
    albums: Database, path: Path
) -> None:
    async with (
        albums.changes("albums", rows=True),
        reelbase.connect(path, read_only=True) as reader,
        reader.changes("albums", rows=True) as stream,
    ):
        await albums.execute("INSERT INTO albums VALUES (1, 'a')")
        assert await told(stream) == [("albums", 1, "insert")]
        with pytest.raises(DatabaseReadOnlyError):
            async with reader.changes("songs", rows=True):
                pass


async def test_close_ends_the_stream(path: Path) -> None:
    database = await reelbase.connect(path)
    async with database.changes("profiles", rows=True) as stream:
        await database.profiles.ensure("ann")
        assert await told(stream) == [("profiles", "ann", "insert")]
        await database.profiles.ensure("bob")
        await database.close()
        assert [changes async for changes in stream] == []


def test_threads_that_wait_follow_rows_too(path: Path) -> None:
    with reelbase.connect_sync(path) as database, database.changes("profiles", rows=True) as stream:
        database.profiles.ensure("ann")
        assert next(stream).rows == [RowChange("profiles", "ann", "insert")]
        assert database.unfollow() == ["profiles"]


# The file as a whole


@pytest.mark.long
async def test_a_followed_file_is_in_order_and_its_opening_says_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with reelbase.connect(path) as database, database.changes("jobs", rows=True):
        pass
    with caplog.at_level(logging.WARNING):
        async with reelbase.connect(path) as database:
            report = await database.check(full=True)
    assert (report.ok, report.problems, caplog.records) == (True, [], [])


@pytest.mark.long
async def test_reset_ends_the_following(path: Path) -> None:
    async with reelbase.connect(path) as database, database.changes("files", rows=True) as stream:
        await add_file(database, "ann")
        since = stream.commit
    assert (await reset(path)).deleted == {"file_numbers": 1, "files": 1, "profiles": 1}
    async with reelbase.connect(path) as database:
        assert await database.unfollow() == []
        with pytest.raises(ChangesExpiredError):
            async with database.changes("files", rows=True, since=since):
                pass


@pytest.mark.long
async def test_a_repaired_file_begins_a_new_journal(path: Path) -> None:
    async with reelbase.connect(path) as database, database.changes("files", rows=True) as stream:
        file = await add_file(database, "ann")
        since = stream.commit
    await repaired(path)
    async with reelbase.connect(path) as database:
        with pytest.raises(ChangesExpiredError):
            async with database.changes("files", rows=True, since=since):
                pass
        async with database.changes("files", rows=True) as stream:
            await database.files.update(file.id, name="b")
            assert await told(stream) == [("files", str(file.id), "update")]


async def repaired(path: Path) -> None:
    """Damages a page of the file, so that repair() reads all rows into a new one."""
    with closing(sqlite3.connect(path)) as plain:
        root, size = plain.execute(
            "SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size() WHERE name = 'sessions'"
        ).fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"damage")
    report = await reelbase.repair(path)
    assert "every table read into a new file" in str(report.mended)


@pytest.mark.long
def test_an_export_has_neither_journal_nor_triggers(path: Path, tmp_path: Path) -> None:
    with (
        reelbase.connect_sync(path) as database,
        database.changes("files", rows=True),
    ):
        database.profiles.ensure("ann")
        database.files.add("ann", "a.mp4", "a.mp4")
    assert run("export", path, tmp_path / "export.ndjson") == 0
    text = (tmp_path / "export.ndjson").read_text()
    assert "a.mp4" in text
    assert "followed" not in text


@pytest.mark.long
async def test_a_column_of_the_key_may_get_another_name(
    path: Path,
) -> None:
    async with reelbase.connect(path) as database:
        for sql in ALBUMS[:2]:
            await database.execute(sql)
        async with database.changes("albums", "songs", rows=True):
            pass
        await database.execute("ALTER TABLE songs RENAME COLUMN place TO position")
        await database.execute("INSERT INTO albums VALUES (1, NULL)")
        async with database.changes("albums", "songs", rows=True) as stream:
            await database.execute("INSERT INTO songs VALUES (1, 2, 'song')")
            assert await told(stream) == [("songs", (1, 2), "insert")]


# Processes

WRITER = textwrap.dedent(
    """
    import asyncio, random, sys
    import reelbase

    path, journal, name = sys.argv[1:]
    chance = random.Random(name)

    async def main():
        async with reelbase.connect(path, journal=journal, busy_timeout=60) as database:
            print("ready", flush=True)
            sys.stdin.readline()
            keys = []
            for number in range(120):
                async with database.transaction() as unit:
                    for _ in range(chance.randrange(1, 4)):
                        if keys and chance.random() < 0.4:
                            await unit.settings.reset("ann", keys.pop())
                        else:
                            key = f"{name} {number} {chance.random()}"
                            await unit.settings.set("ann", key, 1)
                            keys.append(key)
                    if chance.random() < 0.2:
                        await unit.rollback()
                if unit.state == "rolled_back":
                    keys = await database.fetch_all(
                        str, "SELECT key FROM profile_settings WHERE key LIKE ? || ' %'", [name]
                    )

    asyncio.run(main())
    """
)


async def follow_eight_processes(path: Path, journal: Mode) -> bool:
    """Whether a copy that is kept by a stream, which is often cancelled and begun again, is what eight
    processes have written; one of them was killed."""
    source = str(Path(reelbase.__file__).parents[1])
    writers = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", "-c", WRITER, str(path), journal, f"p{number}"),
            env=os.environ | {"PYTHONPATH": source},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for number in range(8)
    ]
    async with reelbase.connect(path, journal=journal, busy_timeout=60) as database:
        await database.profiles.ensure("ann")
        copy: set[Any] = set()
        stream = database.changes("profile_settings", rows=True)
        await stream.__aenter__()
        for writer in writers:
            assert writer.stdout is not None
            assert await writer.stdout.readline() == b"ready\n"
        ended = asyncio.gather(*(writer.communicate(b"go\n") for writer in writers))
        while True:
            was_done = ended.done()
            try:
                async with asyncio.timeout(0.5 if was_done else random.random() * 0.005):
                    changes = await anext(stream)
            except TimeoutError:
                if was_done:
                    break
                if random.random() < 0.2:
                    since = stream.commit
                    stream.close()
                    stream = database.changes("profile_settings", rows=True, since=since)
                if random.random() < 0.05 and writers[0].returncode is None:
                    writers[0].send_signal(signal.SIGKILL)
                continue
            for row in changes.rows or ():
                if row.kind == "delete":
                    if row.key not in copy:
                        return False
                    copy.remove(row.key)
                elif (row.kind == "insert") == (row.key in copy):
                    return False
                else:
                    copy.add(row.key)
        assert [writer.returncode for writer in writers[1:]] == [0] * 7
        stored = await database.fetch_all(
            tuple[str, str], "SELECT profile_id, key FROM profile_settings"
        )
        assert len(stored) > 100
        return copy == set(stored)


@pytest.mark.long
async def test_a_copy_that_follows_eight_processes_is_what_they_have_written(
    path: Path, journal: Mode
) -> None:
    assert await follow_eight_processes(path, journal)


@pytest.mark.long
async def test_the_processes_find_a_stream_that_goes_on_before_its_rows_are_given(
    path: Path, journal: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(self: Journal) -> Batch:
        batch = await right(self)
        await asyncio.sleep(0.002)  # many of the cancels come within 2 ms
        return batch

    right = Journal.read
    monkeypatch.setattr(Journal, "read", read)
    assert not await follow_eight_processes(path, journal)


@pytest.mark.long
async def test_a_restored_copy_finds_a_place_that_is_a_number_alone(
    albums: Database, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Place, "__eq__", lambda self, other: self[0] == other[0])
    monkeypatch.setattr(Place, "__ne__", lambda self, other: self[0] != other[0])
    with pytest.raises(AssertionError):
        await test_a_restored_copy_does_not_go_on_from_what_it_has_never_seen(
            albums, path, tmp_path
        )
