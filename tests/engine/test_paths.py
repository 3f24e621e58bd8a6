"""Promises about what may name the file of a database, wherever a path is passed in."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import pytest

import reelbase
from reelbase.cli.main import main
from reelbase.engine.file.paths import file_path, uri_of


async def connect(path: Any) -> None:
    async with reelbase.connect(path):
        pass


async def journal_mode_for(path: Any) -> None:
    reelbase.journal_mode_for(path)


async def restore_from(path: Any) -> None:
    await reelbase.restore(path, "target.db")


async def restore_to(path: Any) -> None:
    await reelbase.restore("backup.db", path)


async def back_up_to(path: Any) -> None:
    async with reelbase.connect(":memory:") as database:
        await database.backup(path)


Call = Callable[[Any], Coroutine[Any, Any, Any]]
CALLS: list[Call] = [
    connect,
    journal_mode_for,
    restore_from,
    restore_to,
    back_up_to,
    reelbase.migrate,
    reelbase.adopt,
    reelbase.migration_history,
]

COMMANDS = [
    "init FILE",
    "migrate FILE",
    "history FILE",
    "adopt FILE",
    "check FILE",
    "inspect FILE",
    "backup FILE",
    "backup media.db FILE",
    "restore FILE media.db",
    "restore media.db FILE",
    "optimize FILE",
    "purge FILE --older-than 30d",
    "rebuild-search FILE",
    "reset FILE",
    "export FILE",
    "import FILE media.db",
    "demo --database FILE",
]

# What people write, and what they are told to write instead.
MISTAKES = [
    ("sqlite:///media.db", "write 'media.db'"),
    ("sqlite:////data/media.db", "write '/data/media.db'"),
    ("sqlite+aiosqlite:///data/media.db", "write 'data/media.db'"),
    ("SQLITE:///media.db", "write 'media.db'"),
    ("sqlite3:media.db", "write 'media.db'"),
    ("sqlite:///C:/media.db", "write 'C:/media.db'"),
    ("sqlite:///media.db?timeout=5", "write 'media.db', and what follows the ? as arguments"),
    ("sqlite://", "write ':memory:'"),
    ("sqlite:///:memory:", "write ':memory:'"),
    (Path("sqlite:///media.db"), "write the path alone"),  # which has lost two slashes
    ("file:media.db", "write 'media.db'"),
    ("file:media.db?mode=ro", "write 'media.db', and what follows the ? as arguments"),
    ("file:///data/my%20media.db", "write '/data/my media.db'"),
    ("file:/data/media.db", "write '/data/media.db'"),
    ("file://host/media.db", "write the path alone"),
    ("file::memory:?cache=shared", "write ':memory:'"),
    ("file:memdb1?mode=memory", "write ':memory:'"),
    ("postgresql://ann:secret@host/media", "write the path of one, such as 'media.db'"),
    ("postgresql+asyncpg://ann:secret@host/media", "write the path of one"),
    ("https://host/media.db", "write the path of one"),
    ("~", "os.path.expanduser('~')"),
    ("~/media.db", "os.path.expanduser('~/media.db')"),
    ("~ann/media.db", "os.path.expanduser('~ann/media.db')"),
    (Path("~/media.db"), "os.path.expanduser('~/media.db')"),
    ("$HOME/media.db", "os.path.expandvars('$HOME/media.db')"),
    ("${DATA}/media.db", "os.path.expandvars('${DATA}/media.db')"),
    ("data/", "such as 'data/media.db'"),
    ("/data/", "such as '/data/media.db'"),
    ("/", "such as '/media.db'"),
    (".", "such as './media.db'"),
    ("data/..", "such as 'data/../media.db'"),
    ("", "not the path of a file"),
    ("a\0b", "not the path of a file"),
]


@pytest.mark.parametrize(("wrong", "instead"), MISTAKES)
def test_a_mistake_is_told_what_to_write_instead(wrong: str | Path, instead: str) -> None:
    with pytest.raises(ValueError) as caught:
        file_path(wrong, "target")
    assert str(caught.value).startswith("target: ")
    assert instead in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "media.db", "C:\\media.db", "C:/media.db", "12:30.db", "a:b.db", "backup:2024.db", "./file:x",
        "./~/media.db", "./sqlite:/media.db", "~media.db", "$media.db", "$", "50%.db", "a?b#c.db", "...",
        "data//media.db", "../media.db", "/data/file:/media.db", os.fsdecode(b"\xff.db"),
    ],
)  # fmt: skip
def test_a_path_is_a_path(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = file_path(name)
    assert found.is_absolute()
    assert os.path.normpath(found) == os.path.normpath(tmp_path / name)
    if not name.startswith("./"):  # which Path drops
        assert file_path(Path(name)) == found
    assert file_path(found) == found


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
@pytest.mark.parametrize("wrong", ["", "sqlite:///media.db", "file:media.db", "~/media.db", "a/"])
async def test_every_call_that_takes_a_file_refuses_mistakes(
    wrong: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^(Database\.backup: )?(path|target|backup): "):
        await call(wrong)
    with pytest.raises(
        TypeError,
        match=r"^(Database\.backup: )?(path|target|backup):? must be str or a path, not bytes",
    ):
        await call(b"media.db")
    assert os.listdir(tmp_path) == []


# The TARGET of a backup may be empty, which is the default one, or a folder that is to be made.
MISTAKES = [
    (wrong, command)
    for wrong in ("", ":memory:", "sqlite:///media.db", "~/media.db", "a/")
    for command in COMMANDS
    if command != "backup media.db FILE" or wrong not in ("", "a/")
]


@pytest.mark.long
@pytest.mark.parametrize(("wrong", "command"), MISTAKES)
def test_every_command_that_takes_a_file_refuses_mistakes(
    wrong: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    asyncio.run(connect("media.db"))
    words = [wrong if word == "FILE" else word for word in command.split()]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"reelbase {words[0]}: ")
    assert err.count("\n") == 1
    assert os.listdir(tmp_path) == ["media.db"]


async def test_dots_after_a_link_lead_where_they_lead_other_programs(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    await connect(tmp_path / "link" / ".." / "media.db")
    assert (tmp_path / "elsewhere" / "media.db").exists()


@pytest.mark.long
async def test_a_backup_goes_to_a_folder_with_a_slash_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await connect("media.db")
    os.mkdir("backups")
    assert await asyncio.to_thread(main, ["backup", "media.db", "backups/"]) == 0
    assert len(os.listdir("backups")) == 1


# The path as a URI


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        (PurePosixPath("/srv/media.db"), "file:///srv/media.db?mode=rw"),
        (PurePosixPath("/srv/a b?#%.db"), "file:///srv/a%20b%3F%23%25.db?mode=rw"),
        (PurePosixPath("//srv/media.db"), "file:////srv/media.db?mode=rw"),
        (PurePosixPath("/srv/caf\udce9.db"), "file:///srv/caf%E9.db?mode=rw"),
        (PureWindowsPath(r"C:\media\x.db"), "file:///C:/media/x.db?mode=rw"),
        (PureWindowsPath(r"\\nas\media\x.db"), "file:////nas/media/x.db?mode=rw"),
        (PureWindowsPath("//nas/media/a b?.db"), "file:////nas/media/a%20b%3F.db?mode=rw"),
        (PureWindowsPath(r"\\nas.local\c$\x.db"), "file:////nas.local/c$/x.db?mode=rw"),
        (PureWindowsPath("\\\\?\\C:\\media\\x.db"), "file:%5C%5C%3F%5CC:%5Cmedia%5Cx.db?mode=rw"),
        (PureWindowsPath("\\\\?\\UNC\\nas\\a\\x.db"), "file:%5C%5C%3F%5CUNC%5Cnas%5Ca%5Cx.db?mode=rw"),
    ],
)  # fmt: skip
def test_sqlite_takes_the_uri_of_a_path(path: PurePath, uri: str) -> None:
    found = uri_of(path, "mode=rw")
    assert found.replace("%24", "$") == uri
    # There is no such file; a host, or another syntax, would be refused before it is looked for.
    with pytest.raises(sqlite3.OperationalError, match="unable to open database file"):
        sqlite3.connect(found, uri=True)


def test_sqlite_refuses_the_uri_that_pathlib_makes_of_a_share() -> None:
    with pytest.raises(sqlite3.OperationalError, match="invalid uri authority"):
        sqlite3.connect(f"{PureWindowsPath('//nas/media/x.db').as_uri()}?mode=rw", uri=True)


def test_a_uri_is_made_in_one_place() -> None:
    package = Path(reelbase.__file__).parent
    users = [p.name for p in package.rglob("*.py") if re.search(r"\.as_uri\(", p.read_text())]
    assert users == ["paths.py"]


@pytest.mark.long
async def test_a_path_that_begins_with_two_slashes_is_opened(tmp_path: Path) -> None:
    path = f"/{tmp_path}/a?b#c%d.db"
    assert path.startswith("//")
    async with reelbase.connect(path) as database:
        await database.config.set("a", 1)
        await database.backup(tmp_path / "copy.db")
    await reelbase.restore(f"/{tmp_path}/copy.db", path)
    async with reelbase.connect(path) as database:
        assert await database.config.get("a") == 1
