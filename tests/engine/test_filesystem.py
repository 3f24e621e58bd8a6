"""What filesystems refuse, and what is done instead; each answer by itself. The faults lane
(tests/faults/test_refusals.py) has all of them below whole operations."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import reelbase
from reelbase import (
    Database,
    DatabaseBusyError,
    DatabaseError,
    DatabaseFullError,
    DatabaseIOError,
    DatabaseReadOnlyError,
)
from reelbase.engine.file import filesystem, new_file, refusals, temporary_files
from reelbase.engine.file.filesystem import Need
from reelbase.engine.file.mounts import Filesystem, Located
from reelbase.engine.maintenance import opening
from reelbase.engine.schema.chain import migrations

REFUSED_LINKS = ["EACCES", "EINVAL", "EIO", "EMLINK", "ENOSYS", "ENOTSUP", "EPERM", "EXDEV"]


def refusing(name: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        code = getattr(errno, name)
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    """A finished file that has no name yet."""
    path = tmp_path / "copy.db.1.partial"
    path.write_bytes(b"new")
    return path


# A name


@pytest.mark.parametrize("name", REFUSED_LINKS)
def test_without_hard_links_a_file_gets_its_name_and_overwrites_nothing(
    name: str, partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refusing(name))
    target = tmp_path / "copy.db"
    filesystem.publish(partial, target)
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["copy.db"]
    partial.write_bytes(b"newer")
    with pytest.raises(FileExistsError):
        filesystem.publish(partial, target)
    assert target.read_bytes() == b"new"


def test_a_link_whose_answer_was_lost_is_found(
    partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS: the client asks again, and the server says that the name is taken, by this very file."""
    link = os.link

    def link_twice(*names: Any) -> None:
        link(*names)
        link(*names)

    monkeypatch.setattr(os, "link", link_twice)
    filesystem.publish(partial, tmp_path / "copy.db")
    assert os.listdir(tmp_path) == ["copy.db"]
    assert (tmp_path / "copy.db").stat().st_nlink == 1


def test_a_rename_that_never_overwrites_is_enough(
    partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refusing("ENOSYS"))
    monkeypatch.setattr(os, "replace", refusing("EEXIST"))
    filesystem.publish(partial, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_bytes() == b"new"


def test_a_rename_that_fails_leaves_no_empty_file(
    partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refusing("ENOSYS"))
    monkeypatch.setattr(os, "replace", refusing("EIO"))
    with pytest.raises(OSError, match="Input/output"):
        filesystem.publish(partial, tmp_path / "copy.db")
    assert os.listdir(tmp_path) == [partial.name]


def test_what_another_process_put_in_the_place_meanwhile_stays(
    partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "copy.db"

    def replaced_and_refused(*_: Any) -> None:
        target.write_bytes(b"another's")
        refusing("EIO")()

    monkeypatch.setattr(os, "link", refusing("ENOSYS"))
    monkeypatch.setattr(os, "replace", replaced_and_refused)
    with pytest.raises(OSError, match="Input/output"):
        filesystem.publish(partial, target)
    assert target.read_bytes() == b"another's"


# Room


def test_a_disk_of_no_size_is_unknown_and_no_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = shutil.disk_usage(tmp_path)._replace(total=0, used=0, free=0)
    assert filesystem.free_bytes(tmp_path) is not None
    for answer in (lambda _: zeros, refusing("ENOSYS")):
        monkeypatch.setattr(shutil, "disk_usage", answer)
        assert filesystem.free_bytes(tmp_path) is None
        filesystem.refuse_without_room("a test", [Need(tmp_path, 1 << 60, "it")], "")


def test_what_is_needed_on_one_disk_is_added_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=2500)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    (tmp_path / "inner").mkdir()
    needs = [Need(tmp_path, 1000, "one"), Need(tmp_path / "inner", 1500, "another")]
    filesystem.refuse_without_room("a test", needs, "")
    needs.append(Need(tmp_path, 1, "a third"))
    with pytest.raises(DatabaseFullError, match=r"2,501 bytes free .* has 2,500") as caught:
        filesystem.refuse_without_room("a test", needs, "")
    assert caught.value.details == {"folder": str(tmp_path), "needed": 2501, "free": 2500}


@pytest.mark.parametrize("answer", ["zeros", "refusal"])
async def test_backup_vacuum_and_upgrade_go_on_where_the_free_space_is_unknown(
    answer: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = shutil.disk_usage(tmp_path)._replace(total=0, used=0, free=0)
    known = {"zeros": lambda _: zeros, "refusal": refusing("EIO")}
    monkeypatch.setattr(shutil, "disk_usage", known[answer])
    await database.backup(tmp_path / "copy.db")
    await database.vacuum()


# Owners


@pytest.fixture
def owned(path: Path) -> Path:
    """A database that belongs to an application of another user."""
    if os.name == "nt" or os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(path, 1234, 2345)
    path.chmod(0o660)
    return path


@pytest.mark.long
async def test_a_copy_that_root_makes_belongs_to_the_owner_of_the_database(
    owned: Path, tmp_path: Path, journal: Any
) -> None:
    async with reelbase.connect(owned, journal=journal) as database:
        await database.backup(tmp_path / "copy.db")
    status = (tmp_path / "copy.db").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 2345, 0o600)
    restored = tmp_path / "restored.db"
    await reelbase.restore(tmp_path / "copy.db", restored)
    assert (restored.stat().st_uid, restored.stat().st_gid) == (1234, 2345)


def test_a_group_that_could_not_be_kept_gets_no_permissions(
    partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.touch()
    other.chmod(0o660)
    filesystem.take_mode(partial, other.stat())
    assert stat.S_IMODE(partial.stat().st_mode) == 0o660
    like = other.stat()
    monkeypatch.setattr(os, "chown", refusing("EPERM"))
    filesystem.take_owner(partial, like)
    fields = list(like)
    fields[5] += 1  # st_gid
    filesystem.take_mode(partial, os.stat_result(fields))
    assert stat.S_IMODE(partial.stat().st_mode) == 0o600


def test_a_filesystem_without_owners_and_modes_is_no_trouble(
    partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EPERM", "EINVAL", "ENOSYS", "ENOTSUP", "EROFS"):
        monkeypatch.setattr(os, "chown", refusing(name))
        monkeypatch.setattr(os, "chmod", refusing(name))
        filesystem.take_owner(partial, partial.stat())
        filesystem.take_mode(partial, partial.stat())


# Syncs and locks


@pytest.mark.parametrize(
    ("name", "is_refusal"), [("EINVAL", True), ("ENOTSUP", True), ("EIO", False)]
)
def test_a_folder_that_cannot_be_synced_is_told_from_one_in_trouble(
    name: str, is_refusal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert filesystem.folder_sync_refusal(tmp_path) is None
    monkeypatch.setattr(os, "fsync", refusing(name))
    assert (filesystem.folder_sync_refusal(tmp_path) is not None) is is_refusal
    if is_refusal:
        filesystem.sync_folder(tmp_path)
    else:
        with pytest.raises(OSError, match="Input/output"):
            filesystem.sync_folder(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="POSIX locks")
def test_a_lock_that_is_refused_is_told_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert filesystem.lock_refusal(tmp_path) is None
    monkeypatch.setattr("fcntl.lockf", refusing("ENOLCK"))
    refusal = filesystem.lock_refusal(tmp_path)
    assert refusal is not None
    assert refusal.errno == errno.ENOLCK
    assert os.listdir(tmp_path) == []
    assert filesystem.lock_refusal(tmp_path / "missing") is None


@pytest.mark.long
async def test_a_folder_that_cannot_be_synced_costs_no_commit_and_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reelbase.connect(path, journal="delete") as database:
        assert database.journal.synchronous == "extra"
    monkeypatch.setattr(os, "fsync", refusing("EINVAL"))
    for durability in ("balanced", "full", "normal"):
        async with reelbase.connect(path, journal="delete", durability=durability) as database:
            assert database.journal.synchronous == "full"
            assert "cannot be synced (Invalid argument)" in database.journal.reason
            await database.profiles.ensure("p")
            level = await database._writer.call(
                lambda native: native.execute("PRAGMA synchronous").fetchone()
            )
            assert level == (2,)
    monkeypatch.setattr(os, "fsync", refusing("EIO"))  # trouble, which a commit has to tell
    async with reelbase.connect(path, journal="delete") as database:
        assert database.journal.synchronous == "extra"


@pytest.mark.skipif(os.name == "nt", reason="POSIX locks")
async def test_a_filesystem_without_locks_is_named_and_no_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.lockf", refusing("ENOLCK"))
    with pytest.raises(DatabaseIOError, match="refuses locks") as caught:
        await reelbase.connect(tmp_path / "new.db")
    found = reelbase.filesystem_of(tmp_path)
    assert caught.value.code == "locks"
    assert f"{found.type} at {found.mount_point!r}" in str(caught.value)
    assert caught.value.details["errno"] == errno.ENOLCK
    assert os.listdir(tmp_path) == []


async def test_a_lock_that_another_connection_holds_is_no_refusal(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseBusyError, match="another connection held the lock"):
            await reelbase.connect(path, journal="delete", busy_timeout=0.05)


def test_an_error_of_a_busy_network_filesystem_tells_what_is_known_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = Located(Filesystem(mount_point="/mnt/nas", type="cifs", is_network=True), "a test")
    monkeypatch.setattr(refusals, "locate", lambda path, mounts: share)
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    error = refusals.explained(busy, "opening it", tmp_path / "media.db")
    assert isinstance(error, DatabaseBusyError)
    assert "cifs at '/mnt/nas'" in str(error)
    assert "nobrl" in str(error)
    assert error.__cause__ is busy


# What may not be written

_OF_ANOTHER_USER = """
import asyncio, os, sys
import reelbase
reelbase.schema_sql(), reelbase.engine.schema.chain.migrations()

async def main():
    try:
        async with reelbase.connect(sys.argv[1], journal="delete") as database:
            await database.profiles.ensure("p")
    except reelbase.DatabaseError as error:
        print(type(error).__name__, error)

os.setgid(2345)
os.setuid(1234)
asyncio.run(main())
"""


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root becomes another user")
def test_a_file_of_another_user_is_told_with_owner_folder_and_permissions(path: Path) -> None:
    with TemporaryDirectory() as folder:  # pytest's may be looked into by its user only
        Path(folder).chmod(0o755)
        copy = shutil.copy(path, folder)
        with closing(sqlite3.connect(copy)) as native:
            native.execute("PRAGMA journal_mode = DELETE")
        Path(copy).chmod(0o644)
        done = subprocess.run(
            [sys.executable, "-c", _OF_ANOTHER_USER, copy],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout.startswith("DatabaseReadOnlyError"), done
    for fact in (
        "this process runs as user 1234, group 2345",
        f"the file {copy} belongs to user 0, group 0, mode 0644",
        f"its folder {folder} belongs to user 0, group 0",
    ):
        assert fact in done.stdout


async def test_a_connection_that_only_reads_is_not_told_of_owners(database: Database) -> None:
    with pytest.raises(DatabaseReadOnlyError) as caught:
        async with database.snapshot() as view:
            await view.fetch_all(int, "INSERT INTO profiles (id) VALUES ('p') RETURNING 1")
    assert "belongs to" not in str(caught.value)


# New files


async def test_a_database_that_cannot_be_set_up_leaves_no_file(
    tmp_path: Path, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise sqlite3.OperationalError("as on a disk that fails")

    with monkeypatch.context() as patched:
        patched.setattr(opening, "create", fail)
        with pytest.raises(DatabaseError):
            await reelbase.connect(tmp_path / "new.db", journal=journal)
        assert os.listdir(tmp_path) == []
        (tmp_path / "mine.db").touch()
        with pytest.raises(DatabaseError):
            await reelbase.connect(tmp_path / "mine.db", journal=journal)
        assert (tmp_path / "mine.db").exists()
    async with reelbase.connect(tmp_path / "new.db", journal=journal) as database:
        await database.profiles.ensure("p")


def test_a_new_file_that_another_connection_uses_stays(tmp_path: Path) -> None:
    target = tmp_path / "new.db"
    assert new_file.make(target)
    assert not new_file.make(target)
    with closing(sqlite3.connect(target, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        new_file.discard(str(target))
        assert target.exists()
        other.execute("CREATE TABLE t (a)")
        other.execute("COMMIT")
    new_file.discard(str(target))
    assert target.exists()  # it holds something


@pytest.mark.parametrize("first", ["PRAGMA journal_mode = WAL", "BEGIN IMMEDIATE"])
def test_one_that_waited_while_its_file_went_is_told_and_writes_nothing(
    first: str, tmp_path: Path
) -> None:
    target = tmp_path / "new.db"
    new_file.make(target)
    with closing(sqlite3.connect(target, isolation_level=None)) as other:
        assert other.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
        new_file.discard(str(target))
        assert not target.exists()
        with pytest.raises(sqlite3.OperationalError) as caught:
            other.execute(first)
        assert caught.value.sqlite_errorname in {"SQLITE_READONLY_DBMOVED", "SQLITE_IOERR_FSTAT"}


async def test_without_an_eventfd_the_loops_own_way_remains(
    path: Path, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "eventfd", refusing("ENOSYS"), raising=False)
    async with reelbase.connect(path, journal=journal) as database:
        await database.profiles.ensure("p")
        assert await database.profiles.exists("p")


# Temporary files


@pytest.fixture
def native() -> Any:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield connection


def spill(native: sqlite3.Connection) -> None:
    """Makes SQLite write a temporary file."""
    with closing(sqlite3.connect("", isolation_level=None)) as temporary:
        temporary.execute("PRAGMA cache_size = 1")
        temporary.execute("CREATE TABLE t AS SELECT zeroblob(100000) FROM pragma_function_list")


def test_temporary_files_go_beside_the_database_where_no_usual_folder_has_room(
    native: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = temporary_files.folder_for(native, 1000, tmp_path)
    assert usual != tmp_path
    usage = shutil.disk_usage(usual)._replace(free=999)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert temporary_files.folder_for(native, 1000, tmp_path) == tmp_path
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert temporary_files.folder_for(native, 0, tmp_path) == tmp_path


def test_the_folder_of_the_process_is_set_back(native: sqlite3.Connection, tmp_path: Path) -> None:
    def folder_of_process() -> object:
        return native.execute("PRAGMA temp_store_directory").fetchone()

    mine = tmp_path / "it's"
    mine.mkdir()
    with temporary_files.temporary_files(native, mine):
        assert folder_of_process() == (str(mine),)
        assert native.execute("PRAGMA temp_store").fetchone() == (1,)
        spill(native)
    assert folder_of_process() is None
    native.execute(f"PRAGMA temp_store_directory = '{tmp_path}'")  # the application's own choice
    try:
        with temporary_files.temporary_files(native, mine):
            assert folder_of_process() == (str(mine),)
        assert folder_of_process() == (str(tmp_path),)
        assert temporary_files.folder_for(native, 0, mine) == tmp_path
    finally:
        native.execute("PRAGMA temp_store_directory = ''")


_IN_READ_ONLY_ROOT = """
import asyncio, sqlite3, sys
import reelbase

async def main():
    report = await reelbase.migrate(sys.argv[1])
    async with reelbase.connect(sys.argv[1]) as database:
        await database.vacuum()
        rows = await database.fetch_one(int, "SELECT count(*) FROM downloads")
        print(len(report.steps), rows, (await database.check()).ok)

try:
    sqlite3.connect("").executescript("PRAGMA temp_store = 1; PRAGMA cache_size = 1;"
        "CREATE TABLE t AS SELECT zeroblob(100000) FROM pragma_function_list")
except sqlite3.OperationalError as error:
    print(error.sqlite_errorname)
asyncio.run(main())
"""


@pytest.mark.long
@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="needs Linux and root, for its own mounts"
)
def test_a_container_whose_root_is_read_only_upgrades_and_vacuums(tmp_path: Path) -> None:
    folder = tmp_path.resolve() / "data"
    folder.mkdir()
    path = folder / "media.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        for migration in migrations()[:5]:
            native.executescript(f"BEGIN; {migration.sql}; COMMIT")
            native.execute(
                "INSERT INTO schema_migrations (version, name, checksum) VALUES (?, ?, ?)",
                (migration.version, migration.name, migration.checksum),
            )
        native.execute("INSERT INTO sessions (id) VALUES ('s')")
        native.execute("BEGIN")
        native.executemany(
            "INSERT INTO downloads (id, session_id, url) VALUES (?, 's', ?)",
            (
                (f"00000000-0000-7000-8000-{n:012}", f"https://example.org/{n:0200}")
                for n in range(8_000)
            ),
        )
        native.execute("COMMIT")
    mounting = textwrap.dedent("""
        set -e
        mount --make-rprivate / && mount --bind / / && mount --bind "$1" "$1"
        for point in / $(cut -d' ' -f5 /proc/self/mountinfo); do
          case "$point" in "$1"|/proc*|/sys*) ;;
            *) mount -o remount,ro,bind "$point" 2>/dev/null || true ;;
          esac
        done
        mount -o remount,rw,bind "$1"
        cd / && exec "$2" -B -c "$3" "$1/media.db"
    """)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mounting, "sh", folder, sys.executable, _IN_READ_ONLY_ROOT],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"SQLITE_TMPDIR": "", "TMPDIR": ""},
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.stdout.split("\n")[0] == "SQLITE_IOERR_GETTEMPPATH", done
    steps = reelbase.SCHEMA_VERSION - 5
    assert done.stdout.split("\n")[1] == f"{steps} 8000 True", done
    assert sorted(os.listdir(folder)) == ["media.db", "media.db.v5.bak"]
