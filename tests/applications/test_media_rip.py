"""The promises of media-rip's data model, one by one in the order of its page, and its known faults.

What is called otherwise here: its jobs are downloads, and an id may be any UUID.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import pytest

import reelbase
from reelbase import Database, DatabaseBusyError, Download, InvalidTransitionError, UnitOfWork
from reelbase.testing.clock import START, FrozenClock

Look = Callable[[str], list[tuple[object, ...]]]

URL = "https://example.org/watch?v=1"
NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
STATUSES = ["queued", "extracting", "downloading", "completed", "failed", "cancelled"]

# Table: column: type, default, whether it may be NULL; in the order of the page.
TABLES: dict[str, list[tuple[str, str, str | None, bool]]] = {
    "sessions": [
        ("id", "TEXT", None, False),
        ("created_at", "TEXT", NOW, False),
        ("last_seen", "TEXT", NOW, False),
    ],
    "downloads": [
        ("id", "TEXT", None, False),
        ("session_id", "TEXT", None, False),
        ("url", "TEXT", None, False),
        ("status", "TEXT", "'queued'", False),
        ("format_id", "TEXT", None, True),
        ("quality", "TEXT", None, True),
        ("output_template", "TEXT", None, True),
        ("filename", "TEXT", None, True),
        ("filesize", "INTEGER", None, True),
        ("progress_percent", "REAL", "0", False),
        ("speed", "TEXT", None, True),
        ("eta", "TEXT", None, True),
        ("error_message", "TEXT", None, True),
        ("created_at", "TEXT", NOW, False),
        ("started_at", "TEXT", None, True),
        ("completed_at", "TEXT", None, True),
    ],
    "config": [
        ("key", "TEXT", None, False),
        ("value", "TEXT", None, False),
        ("updated_at", "TEXT", NOW, False),
    ],
    "unsupported_urls": [
        ("id", "INTEGER", None, False),
        ("url", "TEXT", None, False),
        ("session_id", "TEXT", None, True),
        ("error", "TEXT", None, True),
        ("created_at", "TEXT", NOW, False),
    ],
    "error_log": [
        ("id", "INTEGER", None, False),
        ("url", "TEXT", None, False),
        ("domain", "TEXT", None, True),
        ("error", "TEXT", None, False),
        ("format_id", "TEXT", None, True),
        ("media_type", "TEXT", None, True),
        ("session_id", "TEXT", None, True),
        ("created_at", "TEXT", NOW, False),
    ],
}

# What we add, behind what the page has.
OURS = {
    "downloads": [
        ("media_type", "TEXT", None, True),
        ("output_format", "TEXT", None, True),
        ("parent_id", "TEXT", None, True),
        ("priority", "INTEGER", "0", False),
        ("attempts", "INTEGER", "0", False),
        ("max_attempts", "INTEGER", "1", False),
        ("worker", "TEXT", None, True),
        ("lease_expires_at", "TEXT", None, True),
    ]
}


# The tables


@pytest.mark.parametrize("table", TABLES)
def test_the_columns_of_a_table(table: str, path: Path, look: Look) -> None:
    columns = [
        (name, type, default, not notnull)
        for name, type, notnull, default in look(
            f"SELECT name, type, \"notnull\", dflt_value FROM pragma_table_info('{table}')"
        )
    ]
    assert columns == TABLES[table] + OURS.get(table, [])


@pytest.mark.parametrize("table", TABLES)
def test_the_primary_key_is_the_first_column(table: str, path: Path, look: Look) -> None:
    keys = look(f"SELECT name FROM pragma_table_info('{table}') WHERE pk > 0")
    assert keys == [(TABLES[table][0][0],)]


@pytest.mark.parametrize("table", ["unsupported_urls", "error_log"])
def test_the_numbers_of_the_logs_are_autoincremented(table: str, path: Path, look: Look) -> None:
    ((sql,),) = look(f"SELECT sql FROM sqlite_schema WHERE name = '{table}'")
    assert "AUTOINCREMENT" in str(sql)


def test_a_download_refers_to_its_session(path: Path, look: Look) -> None:
    keys = look(
        'SELECT "table", "from", "to", on_delete FROM pragma_foreign_key_list(\'downloads\')'
    )
    assert ("sessions", "session_id", "id", "CASCADE") in keys


@pytest.mark.parametrize("table", ["unsupported_urls", "error_log", "config", "sessions"])
def test_nothing_else_refers_to_anything(table: str, path: Path, look: Look) -> None:
    assert look(f"SELECT * FROM pragma_foreign_key_list('{table}')") == []


@pytest.mark.parametrize(
    ("index", "table", "columns"),
    [
        ("idx_sessions_last_seen", "sessions", ["last_seen"]),
        ("idx_downloads_session_status", "downloads", ["session_id", "status"]),
        ("idx_downloads_completed", "downloads", ["completed_at"]),
    ],
)
def test_the_indexes(index: str, table: str, columns: list[str], path: Path, look: Look) -> None:
    assert look(f"SELECT name FROM pragma_index_info('{index}') ORDER BY seqno") == [
        (column,) for column in columns
    ]
    ((on, sql),) = look(f"SELECT tbl_name, sql FROM sqlite_schema WHERE name = '{index}'")
    assert on == table
    assert "WHERE" not in str(sql)


def test_the_defaults_are_those_of_the_page(path: Path) -> None:
    """What somebody at the sqlite3 prompt gets who gives nothing but what is needed."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO sessions (id) VALUES ('s')")
        connection.execute(
            "INSERT INTO downloads (id, session_id, url) VALUES (?, 's', ?)",
            (str(UUID(int=1)), URL),
        )
        row = connection.execute("SELECT * FROM downloads").fetchone()
        (created_at,) = connection.execute("SELECT created_at FROM downloads").fetchone()
        sessions = connection.execute("SELECT created_at, last_seen FROM sessions").fetchall()
    nothing = [None] * 5
    assert list(row[:13]) == [str(UUID(int=1)), "s", URL, "queued", *nothing, 0.0, None, None, None]
    assert row[14:16] == (None, None)
    for moment in (created_at, *sessions[0]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment)


# Sessions


async def test_a_sessions_id_may_be_a_uuid4_and_is_kept(database: Database) -> None:
    id = "9b2f8f4e-3c0a-4d57-9a4e-2f6f0b9e1a77"
    assert (await database.sessions.ensure(id)).id == id


async def test_moments_are_iso_timestamps(database: Database, look: Look) -> None:
    await database.sessions.ensure("s")
    assert look("SELECT created_at, last_seen FROM sessions") == [
        ("2026-01-31T12:00:00.000Z", "2026-01-31T12:00:00.000Z")
    ]


async def test_last_seen_is_updated_on_every_request(
    database: Database, clock: FrozenClock
) -> None:
    await database.sessions.ensure("s")
    for _ in range(3):
        now = clock.advance(0.001)
        await database.sessions.touch("s", every=0)
        assert (await database.sessions.get("s")).last_seen == now


# Downloads


async def test_the_life_of_a_download(database: Database, clock: FrozenClock, look: Look) -> None:
    """Every column gets its value at the moment that the page names."""
    downloads = database.downloads
    queued = await downloads.add(
        "s", URL, format_id="137+140", quality="1080p", output_template="%(title)s.mkv"
    )
    assert queued.status == "queued"
    assert isinstance(queued.id, UUID)
    started = clock.advance(1)
    assert (await downloads.start(queued.id, extracting=True)).status == "extracting"
    clock.advance(1)
    assert (await downloads.start(queued.id)).status == "downloading"
    clock.advance(1)
    await downloads.progress(queued.id, 33.3, speed="2.5MiB/s", eta="00:42")
    ended = clock.advance(1)
    await downloads.complete(queued.id, filename="title.mkv", filesize=123_456_789)
    assert await downloads.get(queued.id) == Download(
        id=queued.id,
        session_id="s",
        url=URL,
        status=reelbase.DownloadStatus.COMPLETED,
        format_id="137+140",
        quality="1080p",
        output_template="%(title)s.mkv",
        filename="title.mkv",
        filesize=123_456_789,
        progress_percent=100.0,
        speed=None,
        eta=None,
        error_message=None,
        created_at=START,
        started_at=started,
        completed_at=ended,
    )
    assert look("SELECT started_at, completed_at FROM downloads") == [
        ("2026-01-31T12:00:01.000Z", "2026-01-31T12:00:04.000Z")
    ]


def test_a_download_has_one_of_six_states(path: Path) -> None:
    assert [str(status) for status in reelbase.DownloadStatus] == STATUSES
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO sessions (id) VALUES ('s')")
        for number, status in enumerate([*STATUSES, "", "Queued", "done"]):
            values = (
                str(UUID(int=number)),
                status,
                None if number < 3 else "2026-01-31T12:00:00.000Z",
            )
            sql = """INSERT INTO downloads (id, session_id, url, status, completed_at)
                     VALUES (?, 's', '', ?, ?)"""
            if status in STATUSES:
                connection.execute(sql, values)
            else:
                with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
                    connection.execute(sql, values)


async def test_error_details_are_kept_if_failed(database: Database) -> None:
    download = await database.downloads.add("s", URL)
    failed = await database.downloads.fail(download.id, "HTTP Error 403: Forbidden")
    assert failed.error_message == "HTTP Error 403: Forbidden"
    assert failed.completed_at == START  # "Completion/failure time"


# Config, unsupported URLs, error log


async def test_config_is_a_key_value_store_that_knows_when_it_was_written(
    database: Database, clock: FrozenClock, look: Look
) -> None:
    await database.config.set("max_concurrent", 3)
    clock.advance(1)
    await database.config.set("max_concurrent", 4)
    assert look("SELECT * FROM config") == [("max_concurrent", "4", "2026-01-31T12:00:01.000Z")]
    assert await database.config.get("max_concurrent", type=int) == 4


async def test_an_unsupported_url_says_which_session_tried_it(database: Database) -> None:
    entry = await database.unsupported_urls.add(URL, session_id="s", error="Unsupported URL")
    assert (entry.id, entry.url, entry.session_id, entry.error, entry.created_at) == (
        1,
        URL,
        "s",
        "Unsupported URL",
        START,
    )


async def test_an_error_says_domain_format_and_media_type(database: Database) -> None:
    entry = await database.error_log.add(
        URL, "HTTP Error 403", session_id="s", format_id="137", media_type="audio"
    )
    assert (entry.domain, entry.format_id, entry.media_type) == ("example.org", "137", "audio")
    assert (entry.session_id, entry.error, entry.created_at) == ("s", "HTTP Error 403", START)


# Pragmas


async def pragmas(holder: Any, *names: str) -> dict[str, Any]:
    return {name: await holder.fetch_one(object, f"PRAGMA {name}") for name in names}


async def test_every_connection_waits_5_s_and_checks_references(path: Path, journal: Any) -> None:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            reelbase.connect(path, journal=journal, readers=3)
        )
        holders: list[Any] = [
            await stack.enter_async_context(database.snapshot()) for _ in range(3)
        ]
        if journal == "wal":
            holders.append(await stack.enter_async_context(database.transaction()))
        for holder in holders:
            assert await pragmas(holder, "busy_timeout", "foreign_keys", "journal_mode") == {
                "busy_timeout": 5000,
                "foreign_keys": 1,
                "journal_mode": journal,
            }
    async with (
        reelbase.connect(path, journal=journal) as database,
        database.transaction() as unit,
    ):
        assert await pragmas(unit, "busy_timeout", "foreign_keys", "journal_mode") == {
            "busy_timeout": 5000,
            "foreign_keys": 1,
            "journal_mode": journal,
        }


@pytest.mark.parametrize(("durability", "on_wal"), [("normal", 1), ("balanced", 2), ("full", 2)])
async def test_synchronous_is_normal_where_asked_for_and_more_on_a_rollback_journal(
    durability: Any, on_wal: int, path: Path, journal: Any
) -> None:
    names = {1: "normal", 2: "full", 3: "extra"}
    expected = on_wal if journal == "wal" else 3
    async with reelbase.connect(path, journal=journal, durability=durability) as database:
        assert database.journal.synchronous == names[expected]
        async with database.transaction() as unit:
            assert await pragmas(unit, "synchronous") == {"synchronous": expected}


async def test_normal_durability_holds_for_writes_of_every_kind(path: Path, journal: Any) -> None:
    """What each commit ran under, told by a trigger's view of the connection: the unit after it."""
    async with reelbase.connect(path, journal=journal, durability="normal") as database:
        download = await database.downloads.add("s", URL)
        for write in (
            lambda: database.downloads.progress(download.id, 1),
            lambda: database.downloads.add("s", URL),
            lambda: database.sessions.touch("s", every=0),
        ):
            await write()
            async with database.transaction() as unit:
                level = await unit.fetch_one(int, "PRAGMA synchronous")
                assert level == (1 if journal == "wal" else 3)


# Network filesystems


@pytest.fixture
def open_on(tmp_path: Path) -> Callable[..., Any]:
    """Opens a database in a folder that a mount table says to be of this type."""
    folder = tmp_path / "nas"
    folder.mkdir()

    def open_it(kind: str, name: str = "nas/media.db") -> Any:
        table = tmp_path / "mounts"
        table.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/export {folder} {kind} rw 0 0\n")
        return reelbase.connect(tmp_path / name, mounts=table, busy_timeout=0.2)

    return open_it


def mode_of(path: Path) -> str:
    """The journal mode that the file's header names."""
    versions = path.read_bytes()[18:20]
    return {b"\1\1": "delete", b"\2\2": "wal"}[versions]


@pytest.mark.parametrize(
    "kind", ["cifs", "nfs", "nfs4", "smb", "smb3", "smbfs", "9p", "fuse.sshfs"]
)
async def test_on_a_network_filesystem_the_journal_is_a_rollback_journal(
    kind: str, open_on: Callable[..., Any], tmp_path: Path
) -> None:
    async with open_on(kind) as database:
        assert database.journal.mode == "delete"
        assert database.journal.filesystem == reelbase.Filesystem(str(tmp_path / "nas"), kind, True)
        assert kind in database.journal.reason
        assert await pragmas(database, "journal_mode") == {"journal_mode": "delete"}
        await database.downloads.add("s", URL)
    assert mode_of(tmp_path / "nas" / "media.db") == "delete"
    assert os.listdir(tmp_path / "nas") == ["media.db"]


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs"])
async def test_on_a_local_filesystem_it_is_wal(kind: str, open_on: Callable[..., Any]) -> None:
    async with open_on(kind) as database:
        assert database.journal.mode == "wal"
        assert not database.journal.filesystem.is_network
        assert await pragmas(database, "journal_mode") == {"journal_mode": "wal"}


async def test_a_folder_whose_name_begins_alike_is_not_on_the_mount(
    open_on: Callable[..., Any], tmp_path: Path
) -> None:
    """/mnt/nas is no prefix of /mnt/nasbackup."""
    (tmp_path / "nasbackup").mkdir()
    async with open_on("nfs", "nasbackup/media.db") as database:
        assert database.journal.mode == "wal"
        assert database.journal.filesystem.mount_point == "/"
    assert (
        reelbase.journal_mode_for(tmp_path / "nasbackup" / "media.db", mounts=tmp_path / "mounts")
        == "wal"
    )
    assert (
        reelbase.journal_mode_for(tmp_path / "nas" / "media.db", mounts=tmp_path / "mounts")
        == "delete"
    )


@pytest.mark.long
async def test_a_database_moves_to_a_network_filesystem_and_back(
    open_on: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "nas" / "media.db"
    expected = []
    for number, kind in enumerate(["ext4", "cifs", "cifs", "ext4", "9p", "ext4"]):
        mode = "wal" if kind == "ext4" else "delete"
        async with open_on(kind) as database:
            assert database.journal.mode == mode
            assert await pragmas(database, "journal_mode") == {"journal_mode": mode}
            expected.append((await database.downloads.add("s", f"{URL}{number}")).id)
            rows = await database.downloads.list_for_session("s")
            assert [download.id for download in rows] == expected
        assert mode_of(path) == mode
        assert os.listdir(path.parent) == ["media.db"]


async def test_what_a_crash_left_in_the_wal_survives_the_switch(
    path: Path, tmp_path: Path, template: Path
) -> None:
    """The -wal file holds committed rows: they must be in the database afterwards."""
    crashed = tmp_path / "crashed.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("INSERT INTO sessions (id) VALUES ('only in the wal')")
        connection.commit()
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{crashed}{suffix}")
    assert os.stat(f"{crashed}-wal").st_size > 0
    async with reelbase.connect(crashed, journal="delete") as database:
        assert (await database.sessions.get("only in the wal")).id == "only in the wal"
    assert mode_of(crashed) == "delete"


# Its known faults, which ours must not have


def bytes_of(path: Path) -> bytes:
    """Read by another process: closing the file in this one would drop SQLite's locks on it."""
    code = "import sys, pathlib; sys.stdout.buffer.write(pathlib.Path(sys.argv[1]).read_bytes())"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True)
    return done.stdout


@pytest.mark.long
@pytest.mark.parametrize(("has", "wanted"), [("wal", "delete"), ("delete", "wal")])
async def test_a_switch_that_fails_is_an_error_and_leaves_the_file_as_it_was(
    has: Literal["wal", "delete"], wanted: Literal["wal", "delete"], template: Path, tmp_path: Path
) -> None:
    """The original swallowed it, and went on in WAL on a network filesystem."""
    path = Path(shutil.copy(template, tmp_path / "held.db"))
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute(f"PRAGMA journal_mode = {has}")
        holder.execute("INSERT INTO sessions (id) VALUES ('s')")
        holder.execute("BEGIN")
        holder.execute("SELECT * FROM sessions").fetchall()
        before = bytes_of(path)
        with pytest.raises(DatabaseBusyError) as caught:
            await reelbase.connect(path, journal=wanted, busy_timeout=0.1)
        assert caught.value.code == "journal_mode"
        assert bytes_of(path) == before
        holder.execute("COMMIT")
        holder.execute("INSERT INTO sessions (id) VALUES ('t')")
        assert holder.execute("PRAGMA journal_mode").fetchone() == (has,)
    async with reelbase.connect(path, journal=wanted) as database:
        assert await database.sessions.count() == 2
        assert database.journal.mode == wanted
    assert mode_of(path) == wanted


@pytest.mark.long
async def test_the_side_files_are_never_unlinked_by_us(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original deleted the -wal file by hand, and with it whatever it still held."""
    path = Path(shutil.copy(template, tmp_path / "media.db"))
    removed: list[str] = []
    for name in ("unlink", "remove", "rename", "replace", "truncate"):
        real = getattr(os, name)

        def note(target: Any, *args: Any, real: Any = real, **options: Any) -> Any:
            removed.append(os.fspath(target))
            return real(target, *args, **options)

        monkeypatch.setattr(os, name, note)
    for mode in ("wal", "delete", "wal", "wal", "delete"):
        async with reelbase.connect(path, journal=mode) as database:
            await database.downloads.add("s", URL)
    # The empty file at which processes queue is the library's own; those with changes are SQLite's.
    removed = [target for target in removed if target != f"{path}-turn"]
    assert [target for target in removed if target.startswith(str(path))] == []
    assert mode_of(path) == "delete"


async def test_a_failed_download_is_stamped_and_so_purged(
    database: Database, clock: FrozenClock
) -> None:
    download = await database.downloads.add("s", URL)
    failed = await database.downloads.fail(download.id, "broken")
    assert failed.completed_at == START
    clock.advance(1)
    report = await database.downloads.purge(timedelta(0))
    assert [purged.id for purged in report.deleted] == [download.id]


async def test_recovery_does_not_forget_those_that_are_extracting(database: Database) -> None:
    download = await database.downloads.add("s", URL)
    await database.downloads.start(download.id, extracting=True)
    assert await database.downloads.recover() == 1
    assert (await database.downloads.get(download.id)).status == "failed"


async def test_a_worker_does_not_overwrite_a_cancel(database: Database) -> None:
    download = await database.downloads.add("s", URL)
    await database.downloads.start(download.id)
    cancelled = await database.downloads.cancel(download.id)
    assert await database.downloads.progress(download.id, 50) is False
    with pytest.raises(InvalidTransitionError):
        await database.downloads.complete(download.id, filename="late.mkv")
    assert await database.downloads.get(download.id) == cancelled


async def test_a_health_check_leaves_no_session(database: Database) -> None:
    with pytest.raises(reelbase.RecordNotFoundError):
        await database.sessions.touch("health")
    assert await database.sessions.find("health") is None
    await database.downloads.list_for_session("health")
    assert await database.sessions.count() == 0


async def test_a_playlist_is_queued_whole_or_not_at_all(database: Database) -> None:
    with pytest.raises(reelbase.ConstraintError):
        await database.downloads.add_many("s", [URL, URL, None])  # type: ignore[list-item]
    assert await database.downloads.queue_depth() == 0
    assert len(await database.downloads.add_many("s", [URL] * 3)) == 3


async def test_false_does_not_become_true(database: Database) -> None:
    await database.config.set("welcome", False)
    assert await database.config.get("welcome", True, type=bool) is False
    await database.config.set("word", "false")
    assert await database.config.get("word") == "false"


async def test_nobodys_password_is_kept(database: Database, look: Look) -> None:
    url = "https://ann:hunter2@example.org/a"
    await database.error_log.add(url, f"cannot open {url}")
    await database.unsupported_urls.add(url, error=f"cannot open {url}")
    assert "hunter2" not in str(look("SELECT * FROM error_log"))
    assert "hunter2" not in str(look("SELECT * FROM unsupported_urls"))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM downloads WHERE session_id = 's' ORDER BY created_at, id",
        "SELECT * FROM downloads ORDER BY created_at DESC, id DESC LIMIT 50",
        "SELECT * FROM error_log ORDER BY created_at DESC, id DESC LIMIT 50",
        "SELECT * FROM error_log WHERE domain = 'd' ORDER BY created_at DESC, id DESC LIMIT 50",
        "SELECT * FROM unsupported_urls ORDER BY created_at DESC, id DESC LIMIT 50",
        """SELECT * FROM downloads WHERE status IN ('queued', 'extracting', 'downloading')
           ORDER BY created_at DESC, id DESC LIMIT 50""",
    ],
)
def test_no_list_that_grows_is_sorted_in_memory(sql: str, path: Path, look: Look) -> None:
    steps = [str(step[3]) for step in look(f"EXPLAIN QUERY PLAN {sql}")]
    assert [step for step in steps if "TEMP B-TREE" in step] == []
    assert all("USING INDEX" in step for step in steps)


async def test_what_a_purge_names_is_what_it_deleted_while_downloads_end(
    database: Database, clock: FrozenClock
) -> None:
    """Selected and deleted in one transaction: no file is named twice, none is forgotten."""
    added = await database.downloads.add_many("s", [f"{URL}{n}" for n in range(40)])
    named: list[UUID] = []

    async def finish(download: Download) -> None:
        await asyncio.sleep(0)
        await database.downloads.complete(download.id, filename=str(download.id))

    async def purge(delay: int) -> None:
        for _ in range(delay * 3):
            await asyncio.sleep(0)
        clock.advance(0.001)
        report = await database.downloads.purge(timedelta(0))
        assert all(purged.filename == str(purged.id) for purged in report.deleted)
        named.extend(purged.id for purged in report.deleted)

    await asyncio.gather(*map(finish, added), *(purge(delay) for delay in range(10)))
    left = [download.id for download in await database.downloads.list(limit=None)]
    assert sorted(named + left) == sorted(download.id for download in added)


async def test_the_repositories_are_the_same_in_a_unit(database: Database) -> None:
    async with database.transaction() as unit:
        assert isinstance(unit, UnitOfWork)
        download = await unit.downloads.add("s", URL)
        await unit.sessions.touch("s")
        await unit.config.set("k", 1)
        await unit.error_log.add(URL, "e")
        await unit.unsupported_urls.add(URL)
        await unit.rollback()
    assert await database.downloads.find(download.id) is None
    assert await database.config.all() == {}
    assert await database.error_log.count() == await database.unsupported_urls.count() == 0
