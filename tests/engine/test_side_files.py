"""Promises about where SQLite's side files lie: a database whose -wal or journal would lie elsewhere, or be
something else, is refused before anything is written."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import DatabaseIOError, SchemaError
from reelbase.engine.file.mounts import is_mount_of_its_own

SIDE_FILES = ["-wal", "-shm", "-journal"]


def held(folder: Path) -> dict[str, bytes | str]:
    """What a folder holds: files with their content, everything else by its kind."""
    found: dict[str, bytes | str] = {}
    for entry in os.scandir(folder):
        if entry.is_symlink():
            found[entry.name] = os.readlink(entry.path)
        else:
            found[entry.name] = Path(entry.path).read_bytes() if entry.is_file() else "other"
    return found


async def connect(path: Path, **options: Any) -> None:
    async with reelbase.connect(path, **options):
        pass


async def refused(call: Coroutine[Any, Any, Any], folder: Path, code: str = "side_files") -> str:
    before = held(folder)
    with pytest.raises(SchemaError) as caught:
        await call
    assert caught.value.code == code
    assert held(folder) == before
    return str(caught.value)


# A mount table that is given


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("kind", ["ext4", "nfs4", "fuse.mergerfs", "overlay"])
async def test_a_file_that_a_table_has_as_a_mount_point_is_refused(
    kind: str, exists: bool, path: Path, tmp_path: Path
) -> None:
    table = tmp_path / "mounts"
    name = path if exists else tmp_path / "new" / "my media.db"
    escaped = str(name).replace(" ", "\\040")
    table.write_text(f"x / ext4 rw 0 0\nx {escaped} {kind} rw 0 0\nx {tmp_path} {kind} rw 0 0\n")
    for journal in ("auto", "wal", "delete"):
        said = await refused(connect(name, mounts=table, journal=journal), tmp_path)
        assert f"{name} is mounted as a single file" in said
        assert "Mount the folder" in said
    link = tmp_path / "link.db"
    link.symlink_to(name)
    assert f"{link} is mounted" in await refused(connect(link, mounts=table), tmp_path)
    await connect(tmp_path / "other.db", mounts=table)


@pytest.mark.parametrize("suffix", SIDE_FILES)
async def test_a_side_file_that_a_table_has_as_a_mount_point_is_refused(
    suffix: str, path: Path, tmp_path: Path
) -> None:
    table = tmp_path / "mounts"
    table.write_text(f"x / ext4 rw 0 0\nx {path}{suffix} ext4 rw 0 0\n")
    said = await refused(connect(path, mounts=table), tmp_path)
    assert f"{path}{suffix} is mounted as a single file" in said


async def test_a_folder_with_a_file_in_it_that_is_mounted_is_no_file(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    table.write_text(f"x / ext4 rw 0 0\nx {tmp_path} ext4 rw 0 0\n")
    with pytest.raises(DatabaseIOError) as caught:
        await connect(tmp_path, mounts=table)
    assert caught.value.code == "directory"


async def test_without_a_table_nothing_is_refused(path: Path, tmp_path: Path) -> None:
    await connect(path, mounts=tmp_path / "missing")


# What lies where a side file should


def _link(name: Path) -> None:
    name.symlink_to(name.with_name("elsewhere"))


def _link_to_a_file(name: Path) -> None:
    name.with_name("elsewhere").write_bytes(b"")
    name.symlink_to(name.with_name("elsewhere"))


def _hard_link(name: Path) -> None:
    name.with_name("elsewhere").write_bytes(b"")
    os.link(name.with_name("elsewhere"), name)


KINDS: dict[str, Callable[[Path], None]] = {
    "a symbolic link": _link,
    "a symbolic link ": _link_to_a_file,
    "a file with 2 hard links": _hard_link,
    "a folder": Path.mkdir,
    "no regular file": os.mkfifo,
}


@pytest.mark.parametrize("suffix", SIDE_FILES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("exists", [True, False])
async def test_a_side_file_that_is_something_else_is_refused(
    exists: bool, kind: str, suffix: str, path: Path, tmp_path: Path
) -> None:
    if not exists:
        os.unlink(path)
    KINDS[kind](Path(f"{path}{suffix}"))
    said = await refused(connect(path), tmp_path)
    assert f"{path}{suffix} is {kind.strip()}, " in said


CALLS: dict[str, Callable[[Path], Coroutine[Any, Any, Any]]] = {
    "migrate": reelbase.migrate,
    "migrate on a copy": lambda path: reelbase.migrate(path, dry_run=True),
    "adopt": reelbase.adopt,
    "migration_history": reelbase.migration_history,
    "restore from": lambda path: reelbase.restore(path, path.with_name("new.db")),
    "restore to": lambda path: reelbase.restore(path.with_name("saved.db"), path),
}


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_that_opens_a_file_refuses_it(
    call: str, path: Path, tmp_path: Path
) -> None:
    async with reelbase.connect(path) as database:
        await database.backup(tmp_path / "saved.db")
    _link(Path(f"{path}-journal"))
    await refused(CALLS[call](path), tmp_path)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    await refused(CALLS[call](link), tmp_path)


# What lies where the log of a copy would be


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
async def test_a_backup_is_not_made_beside_a_log_of_another_database(
    suffix: str, path: Path, tmp_path: Path
) -> None:
    log = tmp_path / f"saved.db{suffix}"
    async with reelbase.connect(path) as database:
        for make in (lambda: log.write_bytes(b"old"), lambda: _link(log)):
            make()
            call = database.backup(tmp_path / "saved.db")
            assert str(log) in await refused(call, tmp_path, "stale_log")
            log.unlink()
        log.touch()  # an empty one is none
        await database.backup(tmp_path / "saved.db")


@pytest.mark.long
async def test_the_copy_before_a_migration_avoids_a_log_of_another_database(
    path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_films.sql").write_text("CREATE TABLE films (id INTEGER PRIMARY KEY) STRICT;\n")
    own = reelbase.Migrations("films", folder)
    version = reelbase.SCHEMA_VERSION
    (tmp_path / f"media.db.v{version}.bak-wal").write_bytes(b"old")
    report = await reelbase.migrate(path, migrations=own)
    assert report.copy == tmp_path / f"media.db.v{version}.2.bak"
    assert report.copy is not None
    await connect(report.copy)


# Real mounts

IN_A_NAMESPACE = """
    import asyncio, json, os, subprocess, sys
    import reelbase
    from reelbase.engine.threads import upkeep
    from reelbase.engine.file.mounts import is_mount_of_its_own

    upkeep._CYCLE_SECONDS = 0.05
    folder, saved = sys.argv[1:]
    outcomes = {}

    def bind(source, place):
        if not os.path.exists(place):
            open(place, "x").close()
        subprocess.run(["mount", "--bind", source, place], check=True)

    async def tried(name, call):
        before = sorted(os.listdir(folder))
        try:
            result = await call
            outcomes[name] = "done"
        except reelbase.DatabaseError as error:
            outcomes[name] = error.code
        if outcomes[name] == "side_files" and sorted(os.listdir(folder)) != before:
            outcomes[name] += ", but changed the folder"

    async def connect(name):
        async with reelbase.connect(os.path.join(folder, name)):
            pass

    async def lost(name, place):
        async with reelbase.connect(os.path.join(folder, name)) as database:
            await database.profiles.ensure("before")
            bind(place(os.path.join(folder, name)), place(os.path.join(folder, name)))
            async with asyncio.timeout(5.0):
                while database._writer.lost_file is None:
                    await asyncio.sleep(0.01)
            await database.profiles.ensure("during")

    async def main():
        os.chdir(folder)
        for name in "plain.db", "host.db", "beside.db", "open.db", "open2.db":
            await connect(name)
        bind("host.db", "bound.db")
        os.symlink("bound.db", "link.db")
        os.symlink("dangling.db", "to dangling.db")
        await tried("plain", connect("plain.db"))
        await tried("host", connect("host.db"))
        await tried("bound", connect("bound.db"))
        await tried("link to bound", connect("link.db"))
        await tried("link to nothing", connect("to dangling.db"))
        await tried("restore to bound", reelbase.restore(saved, folder + "/bound.db"))
        await tried("restore to a link", reelbase.restore(saved, folder + "/link.db"))
        await tried("restore from bound", reelbase.restore(folder + "/bound.db", folder + "/copy.db"))
        await tried("migrate bound", reelbase.migrate(folder + "/bound.db"))
        await tried("adopt bound", reelbase.adopt(folder + "/bound.db"))
        bind("plain.db", "plain.db")
        await tried("bound over itself", connect("plain.db"))
        bind("host.db", "beside.db-wal")
        await tried("bound side file", connect("beside.db"))
        open("empty.db", "x").close()
        bind("/dev/null", "empty.db")
        await tried("bound device", connect("empty.db"))
        os.mkdir("made by docker.db"); os.mkdir("other")
        subprocess.run(["mount", "--bind", "other", "made by docker.db"], check=True)
        await tried("bound folder", connect("made by docker.db"))
        await tried("in a bound folder", connect("made by docker.db/media.db"))
        await tried("bound while it was open", lost("open.db", lambda path: path))
        await tried("log bound while it was open", lost("open2.db", lambda path: path + "-wal"))
        os.mkdir("my nas"); subprocess.run(["mount", "-t", "tmpfs", "x", "my nas"], check=True)
        bind("host.db", "my nas/deep media.db")
        await tried("bound on another filesystem", connect("my nas/deep media.db"))
        await tried("beside it", connect("my nas/media.db"))
        # As without mount ids, and as without /proc.
        import reelbase.engine.file.mounts as mounts
        mounts._mount_id_at = lambda place: None
        names = ["bound.db", "link.db", "host.db", "my nas/deep media.db", "my nas/media.db"]
        own = lambda: [is_mount_of_its_own(os.path.join(folder, name)) for name in names]
        outcomes["by name"] = own()
        def no_table(real, table): raise mounts.UndetectedError
        mounts._by_name = no_table
        outcomes["by device"] = own()

    asyncio.run(main())
    print(json.dumps(outcomes))
"""

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(reelbase.__file__).parents[1])}


@pytest.mark.long
def test_real_bind_mounts(path: Path, tmp_path: Path, mount_namespace: list[str]) -> None:
    asyncio.run(reelbase.restore(path, tmp_path / "saved.db"))
    folder = tmp_path.resolve() / "folder"
    folder.mkdir()
    program = textwrap.dedent(IN_A_NAMESPACE)
    done = subprocess.run(
        [*mount_namespace, sys.executable, "-c", program, folder, tmp_path / "saved.db"],
        check=False, capture_output=True, text=True, env=ENVIRONMENT, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "plain": "done",
        "host": "done",
        "bound": "side_files",
        "link to bound": "side_files",
        "link to nothing": "done",
        "restore to bound": "side_files",
        "restore to a link": "side_files",
        "restore from bound": "side_files",
        "migrate bound": "side_files",
        "adopt bound": "side_files",
        "bound over itself": "side_files",
        "bound side file": "side_files",
        "bound device": "side_files",
        "bound folder": "directory",
        "in a bound folder": "done",
        "bound while it was open": "moved",
        "log bound while it was open": "moved",
        "bound on another filesystem": "side_files",
        "beside it": "done",
        "by name": [True, False, False, True, False],  # a link itself is not mounted
        "by device": [False, False, False, True, False],  # all that can be seen
    }


def test_the_locks_of_an_open_transaction_survive_the_look(tmp_path: Path) -> None:
    database = tmp_path / "media.db"
    write = (
        "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
    )
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (x INTEGER) STRICT")
        connection.execute("BEGIN IMMEDIATE")
        assert not is_mount_of_its_own(str(database))
        done = subprocess.run(
            [sys.executable, "-c", write, str(database)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "database is locked" in done.stderr
