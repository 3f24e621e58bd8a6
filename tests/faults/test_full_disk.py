"""A promise about disks that are full: a clear error, reads go on, and writes resume by themselves.

Real filesystems of a few megabytes, which need root to be mounted; and a limit of file sizes, which
needs nobody. (The limit of SQLite's own, max_page_count, is in test_unit_of_work.py.)
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import reelbase
from reelbase import (
    CommitUncertainError,
    Database,
    DatabaseError,
    DatabaseFullError,
    DatabaseIOError,
    DatabaseReadOnlyError,
    UnitOfWork,
)

from .workload import PROFILE, stored_in

SIZE_BYTES = 8 << 20
_TEXT = "x" * 50_000
_MOST_WRITES = 1000


def connect(path: Path, journal: str) -> Any:
    settings: dict[str, Any] = {"journal": journal}
    return reelbase.connect(path, **settings)


def mounted(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"{command[0]}: {done.stderr.strip()}")


@pytest.fixture(params=["tmpfs", "ext4"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 8 MiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting needs Linux and root")
    place = tmp_path.resolve() / "disk"
    place.mkdir()
    if request.param == "tmpfs":
        mounted("mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", place)
    else:
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(SIZE_BYTES)
        mkfs = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        if mkfs is None:
            pytest.skip("mkfs.ext4 is not installed")
        mounted(mkfs, "-q", "-m", "0", "-O", "^has_journal", image)
        mounted("mount", "-o", "loop", image, place)
    yield place
    # Lazily: a test that failed may have left a database open, and nothing must stay mounted.
    subprocess.run(["umount", "-l", place], check=True)


def fill(folder: Path) -> Path:
    """Leaves no byte free. Returns the file to delete for space."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return filler


async def write_until_it_fails(database: Database) -> tuple[list[str], DatabaseError]:
    """What was acknowledged, and the error."""
    done: list[str] = []
    for n in range(_MOST_WRITES):
        key = f"f-{n}"
        try:
            await database.files.add(PROFILE, key, _TEXT)
        except DatabaseError as error:
            return done, error
        done.append(key)
    raise AssertionError("the disk never became full")


async def fails_in_unit(database: Database, units: list[UnitOfWork]) -> DatabaseError:
    with pytest.raises(DatabaseError) as caught:
        async with database.transaction() as unit:
            units.append(unit)
            for n in range(_MOST_WRITES):
                await unit.files.add(PROFILE, f"torn-{n}", _TEXT)
    return caught.value


async def survive(
    database: Database, fill: Callable[[], None], free: Callable[[], None], expected: Any
) -> list[str]:
    """Runs into the limit, and out of it again. Returns the keys that must be stored."""
    units: list[UnitOfWork] = []
    await database.profiles.ensure(PROFILE)
    await database.files.add(PROFILE, "f-before", _TEXT)
    fill()
    done, error = await write_until_it_fails(database)
    assert isinstance(error, expected), error
    error = await fails_in_unit(database, units)
    assert isinstance(error, expected) or error.code == "transaction_lost", error
    assert units[0].state in ("rolled_back", "unknown")
    names = {file.name for file in await database.files.list_for_profile(PROFILE)}
    assert names >= {*done, "f-before"}, "reads go on"
    assert not any(name.startswith("torn") for name in names)
    free()
    await database.files.add(PROFILE, "f-after", _TEXT)
    async with database.transaction() as unit:
        await unit.files.add(PROFILE, "f-unit", _TEXT)
    return ["f-before", *done, "f-after", "f-unit"]


def check(path: Path, keys: list[str]) -> None:
    stored = stored_in(path)
    assert stored.damage is None
    assert stored.rows.keys() >= set(keys)
    assert not any(key.startswith("torn") for key in stored.rows if key)


async def test_a_full_disk(small_disk: Path, mode: str) -> None:
    path = small_disk / "media.db"
    async with connect(path, mode) as database:
        keys = await survive(
            database,
            lambda: (fill(small_disk), None)[1],
            (small_disk / "filler").unlink,
            (DatabaseFullError, CommitUncertainError),
        )
    check(path, keys)


async def test_a_database_is_opened_on_a_full_disk(small_disk: Path, mode: str) -> None:
    path = small_disk / "media.db"
    async with connect(path, mode) as database:
        await database.profiles.ensure(PROFILE)
    filler = fill(small_disk)
    if mode == "delete":
        async with connect(path, mode) as database:
            assert await database.profiles.exists(PROFILE)
            with pytest.raises(DatabaseFullError):
                await database.files.add(PROFILE, "f-1", _TEXT)
    else:  # which cannot even be read, for its shared memory is a file
        with pytest.raises((DatabaseIOError, DatabaseFullError), match=r"full|space"):
            await connect(path, mode)
    filler.unlink()
    async with connect(path, mode) as database:
        assert await database.profiles.exists(PROFILE)
        await database.files.add(PROFILE, "f-2", _TEXT)
    check(path, ["f-2"])


async def test_a_database_is_made_on_a_full_disk(small_disk: Path, mode: str) -> None:
    path = small_disk / "media.db"
    filler = fill(small_disk)
    with pytest.raises((DatabaseIOError, DatabaseFullError)):
        await connect(path, mode)
    filler.unlink()
    async with connect(path, mode) as database:
        await database.profiles.ensure(PROFILE)


def remount(place: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", place], check=True)


async def test_a_disk_that_can_only_be_read(small_disk: Path, mode: str) -> None:
    path = small_disk / "media.db"
    async with connect(path, mode) as database:
        await database.profiles.ensure(PROFILE)
    before = path.read_bytes()
    remount(small_disk, "ro")
    if mode == "delete":
        async with connect(path, mode) as database:
            assert await database.profiles.exists(PROFILE)
            with pytest.raises(DatabaseReadOnlyError, match="readonly") as caught:
                await database.files.add(PROFILE, "f-1", _TEXT)
            assert (caught.value.code, caught.value.http_status) == ("read_only_file", 500)
    else:
        with pytest.raises(DatabaseIOError, match="read-only"):
            await connect(path, mode)
    assert path.read_bytes() == before
    remount(small_disk, "rw")
    async with connect(path, mode) as database:
        await database.files.add(PROFILE, "f-2", _TEXT)
    check(path, ["f-2"])


def limit_files(size_bytes: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))


async def survive_a_limit(path: Path, journal: str) -> None:
    async with connect(path, journal) as database:
        keys = await survive(
            database,
            lambda: limit_files(2 << 20),
            lambda: limit_files(resource.RLIM_INFINITY),
            (DatabaseIOError, CommitUncertainError),
        )
    check(path, keys)


@pytest.mark.long
@pytest.mark.parametrize("is_foreseen", [True, False])
async def test_copies_on_a_full_disk(
    small_disk: Path, path: Path, is_foreseen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup leaves nothing behind, and a restore the database that was there. Not foreseen: the room
    is taken after it was looked for."""
    roomy = shutil.disk_usage(path.parent)
    backup, target = small_disk / "copy.db", small_disk / "old.db"
    async with reelbase.connect(target) as database:
        await database.profiles.ensure("old")
    filler = fill(small_disk)
    before = sorted(os.listdir(small_disk))
    if not is_foreseen:
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: roomy)
    async with reelbase.connect(path) as database:
        await database.profiles.ensure("new")
        with pytest.raises(DatabaseFullError):
            await database.backup(backup)
        with pytest.raises(DatabaseFullError):
            await reelbase.restore(path, target)
        assert sorted(os.listdir(small_disk)) == before
        filler.unlink()
        async with reelbase.connect(target) as old:
            assert await old.profiles.exists("old")
        await database.backup(backup)
    await reelbase.restore(backup, target)
    async with reelbase.connect(target) as restored:
        assert await restored.profiles.exists("new")
        assert not await restored.profiles.exists("old")


def run(path: Path, journal: str, mutant: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", __name__, path, journal, mutant],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.long
def test_a_limit_of_file_sizes(path: Path, mode: str) -> None:
    done = run(path, mode)
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_the_limit_finds_failures_that_are_swallowed(path: Path, mode: str) -> None:
    done = run(path, mode, "swallow_failures")
    assert done.returncode == 1
    assert "AssertionError" in done.stderr


def swallow_failures() -> None:
    """The mutant: what the disk refuses is taken for stored."""
    add = reelbase.FileRepository.add

    async def careless(*args: Any, **options: Any) -> Any:
        with suppress(DatabaseError):
            return await add(*args, **options)

    setattr(reelbase.FileRepository, "add", careless)  # noqa: B010


if __name__ == "__main__":
    if sys.argv[3]:
        swallow_failures()
    asyncio.run(survive_a_limit(Path(sys.argv[1]), sys.argv[2]))
