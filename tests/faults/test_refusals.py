"""A promise about filesystems that answer unusually: for every answer of a system call, an operation
works, or raises a DatabaseError that says what to do and changes nothing.

The table is CALLS: each call that the library or SQLite beneath it makes, with the answers that filesystems
give. From the beginning of an operation to its end, or from its nth call on, the call is answered so
(shim.c), below SQLite and Python alike; then the fault is over, and what each operation said must be what
is stored.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import reelbase
from reelbase import CommitUncertainError, Database, DatabaseError, connector
from reelbase.engine.file import filesystem, new_file
from reelbase.engine.schema import figures
from reelbase.engine.schema.chain import migrations

from .conftest import Figure, is_full
from .workload import PROFILE, stored_in

PATIENCE_SECONDS = 20.0
BUSY_SECONDS = 0.2

# As in shim.c.
NUMBERS = {
    "write": 3, "truncate": 4, "unlink": 6, "rename": 7, "read": 8, "link": 9, "open_folder": 10,
    "open_new": 11, "open_existing": 12, "open_path": 13, "sync_folder": 14, "sync_file": 15,
    "lock": 16, "unlock": 17, "map": 19, "stat": 20, "lstat": 21, "fstat": 22,
    "statvfs": 24, "readlink": 25, "mkdir": 26, "rmdir": 27, "chmod": 28, "chown": 29,
    "list": 30, "next_name": 31, "eventfd": 32,
}  # fmt: skip
ZEROS = -2  # statvfs of a FUSE program that lacks it

_REFUSED = ("EACCES", "EINVAL", "ENOSYS", "EOPNOTSUPP", "EPERM")
_TROUBLE = ("EIO", "ESTALE")

CALLS: dict[str, tuple[str, ...]] = {
    "open_new": (
        *_REFUSED,
        *_TROUBLE,
        "EDQUOT",
        "EEXIST",
        "EMFILE",
        "ENAMETOOLONG",
        "ENOSPC",
        "EROFS",
    ),
    "open_existing": ("EACCES", "EPERM", "EROFS", "EBUSY", "EMFILE", "ENOENT", "ENXIO", *_TROUBLE),
    "open_folder": (*_REFUSED, *_TROUBLE, "EISDIR", "EMFILE", "ENOTDIR"),
    "open_path": (*_REFUSED, *_TROUBLE),
    "read": ("EINVAL", "EISDIR", *_TROUBLE),
    "write": ("EDQUOT", "EFBIG", "EINVAL", "EIO", "ENOSPC", "EPERM", "EROFS", "ESTALE"),
    "truncate": (*_REFUSED, "EFBIG", "EIO", "ENOSPC", "EROFS"),
    "sync_file": ("EINVAL", "EIO", "ENOSPC", "ENOSYS", "EOPNOTSUPP", "EROFS"),
    "sync_folder": ("EACCES", "EBADF", "EINVAL", "EIO", "ENOSPC", "ENOSYS", "EOPNOTSUPP", "EPERM"),
    "lock": (
        "EACCES",
        "EAGAIN",
        "EINVAL",
        "EIO",
        "ENOLCK",
        "ENOSYS",
        "EOPNOTSUPP",
        "EPERM",
        "ESTALE",
    ),
    "unlock": ("EACCES", "EINVAL", "EIO", "ENOLCK", "ENOSYS"),
    "map": ("EACCES", "EINVAL", "ENODEV", "ENOMEM"),
    "stat": ("EACCES", "EIO", "ELOOP", "ENOENT", "EOVERFLOW", "ESTALE"),
    "lstat": ("EACCES", "EIO", "ESTALE"),
    "fstat": ("EACCES", "EIO", "EOVERFLOW", "ESTALE"),
    "statvfs": (*_REFUSED, *_TROUBLE, "ZEROS"),
    "readlink": ("EACCES", "EIO", "ENOSYS"),
    "link": (*_REFUSED, *_TROUBLE, "EDQUOT", "EMLINK", "ENOSPC", "EROFS", "EXDEV"),
    "rename": (*_REFUSED, "EBUSY", "EEXIST", "EIO", "ENOSPC", "EROFS", "EXDEV"),
    "unlink": ("EACCES", "EBUSY", "EIO", "EPERM", "EROFS", "ETXTBSY"),
    "mkdir": (*_REFUSED, "EIO", "EROFS"),
    "rmdir": ("EACCES", "EIO", "ENOTEMPTY"),
    "chmod": (*_REFUSED, "EIO", "EROFS"),
    "chown": (*_REFUSED, "EIO", "EROFS"),
    "list": ("EACCES", "EIO", "ENOSYS"),
    "next_name": ("EINVAL", "EIO", "ENOENT"),
    "eventfd": ("EINVAL", "EMFILE", "ENODEV", "ENOSYS"),
}
OPERATIONS = (
    "create", "connect", "write", "backup", "copy", "restore", "restore_new", "migrate", "rehearse",
    "vacuum",
)  # fmt: skip
# Trouble may also begin later: with the nth call.
LATER = ("2", "3", "5", "9")

# Without these SQLite opens no file at all.
OPENING = ("open_existing", "read", "lstat", "fstat", "unlock")

# What SQLite says, with nothing of ours behind it.
BARE = (
    "disk I/O error", "unable to open database file", "database is locked", "readonly database",
    "access permission denied", "locking protocol",
)  # fmt: skip

# What must not matter to any operation: of these calls every answer, or those that are named.
_NO_SYNC = ("EACCES", "EBADF", "EINVAL", "ENOSYS", "EOPNOTSUPP", "EPERM")
HARMLESS: dict[str, tuple[str, ...]] = {
    "link": tuple(name for name in CALLS["link"] if name not in ("ENOSPC", "EDQUOT")),
    "open_path": CALLS["open_path"],
    "statvfs": CALLS["statvfs"],
    "chmod": CALLS["chmod"],
    "chown": CALLS["chown"],
    "list": CALLS["list"],
    "next_name": CALLS["next_name"],
    "eventfd": CALLS["eventfd"],
    "rmdir": CALLS["rmdir"],
    "sync_folder": _NO_SYNC,
}
# What is tried in the quick run: the answers that were reported, and one of each call.
EXAMPLES = [
    *((call, name) for call in ("link", "sync_folder", "lock") for name in ("EACCES", "EINVAL", "EIO")),
    ("lock", "ENOLCK"), ("statvfs", "ZEROS"),
    *((call, names[0]) for call, names in CALLS.items()),
]  # fmt: skip


class Point(NamedTuple):
    call: str
    answer: str
    operation: str
    nth: str = "1"

    @property
    def is_harmless(self) -> bool:
        return self.nth == "1" and self.answer in HARMLESS.get(self.call, ())


class Place:
    """The files of one try: an old database, one of today, a backup of that."""

    def __init__(self, folder: Path, mode: str) -> None:
        self._mode = mode
        self._templates = folder / "templates"
        self._templates.mkdir()
        self.run = folder / "run"
        self.run.mkdir()
        self.here = self.run / "here"  # a link, which has to be read
        self.path = self.here / "media.db"
        self.old = self.here / "old.db"
        self.backup = self.here / "backup.db"

    async def prepare(self) -> None:
        async with self.connect(self._templates / "media.db") as database:
            await fill(database, "f-0")
            await database.backup(self._templates / "backup.db")
            await fill(database, "f-1")
        path = self._templates / "old.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as native:
            native.execute(f"PRAGMA journal_mode = {'delete' if self._mode == 'delete' else 'wal'}")
            for migration in migrations()[:1]:
                native.executescript(migration.sql)
                native.execute(
                    "INSERT INTO schema_migrations (version, name, checksum) VALUES (?, ?, ?)",
                    (migration.version, migration.name, migration.checksum),
                )
            native.execute(f"INSERT INTO profiles (id) VALUES ('{PROFILE}')")
            native.execute(
                "INSERT INTO files (id, profile_id, name, path) VALUES"
                f" ('00000000-0000-7000-8000-000000000001', '{PROFILE}', 'f-0', 'p')"
            )

    def reset(self) -> None:
        shutil.rmtree(self.run)
        self.run.mkdir()
        self.here.symlink_to(".")
        for file in self._templates.iterdir():
            shutil.copy(file, self.run)

    def connect(self, path: Path) -> Any:
        settings: dict[str, Any] = {"journal": self._mode, "busy_timeout": BUSY_SECONDS}
        return reelbase.connect(path, **settings)


async def fill(database: Database, key: str) -> bool:
    await database.profiles.ensure(PROFILE)
    await database.files.add(PROFILE, key, "p")
    return True


class Shim:
    """shim.c in this process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        self._library.shim_arm.argtypes = (ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_int)
        self._library.shim_count.restype = ctypes.c_long
        self._armed: Point | None = None

    def arm(self, point: Point) -> None:
        code = ZEROS if point.answer == "ZEROS" else getattr(errno, point.answer)
        self._library.shim_arm(NUMBERS[point.call], int(point.nth), code, 1)
        self._armed = point

    def disarm(self) -> int:
        """The number of calls that were answered so."""
        armed, self._armed = self._armed, None
        if armed is None:
            return 0
        calls = int(self._library.shim_count(NUMBERS[armed.call]))
        self._library.shim_arm(0, 0, 0, 0)
        return max(calls - int(armed.nth) + 1, 0)


class Try:
    """One operation under one answer: what it said, and what is wrong with that."""

    def __init__(self, place: Place, point: Point, shim: Shim) -> None:
        self.place = place
        self.point = point
        self._shim = shim
        self.met = 0
        self.error: DatabaseError | None = None
        self.problems: list[str] = []
        self.is_open = False
        self.acknowledged: set[str] = set()
        self.uncertain: set[str] = set()

    @property
    def outcome(self) -> str:
        return "works" if self.error is None else f"{type(self.error).__name__} {self.error.code}"

    def arm(self) -> None:
        self.disarm()
        self._shim.arm(self.point)

    def disarm(self) -> None:
        self.met += self._shim.disarm()

    async def attempt(self, call: Awaitable[object]) -> Any:
        """The result; None when it failed."""
        try:
            return await asyncio.wait_for(call, PATIENCE_SECONDS)
        except TimeoutError:
            self.problems.append("hangs")
        except DatabaseError as error:
            self.error = error
            if str(error).endswith(BARE):
                self.problems.append(f"says too little: {error}")
        except Exception as error:
            self.problems.append(f"untyped {error!r}")
        return None

    async def run(self) -> None:
        await getattr(self, self.point.operation)()
        self.disarm()
        if self.point.is_harmless and self.error is not None:
            self.problems.append(f"must work: {self.error!r}")
        await self.look()

    # The operations; each leaves nothing open.

    async def create(self) -> None:
        self.arm()
        await self.use(self.place.here / "new.db", "f-1")

    async def connect(self) -> None:
        self.arm()
        await self.use(self.place.path, "f-2")

    async def use(self, path: Path, key: str) -> None:
        database: Database | None = await self.attempt(opened(self.place.connect(path)))
        if database is not None:
            self.is_open = True
            await self.add(database, key)
            await self.attempt(database.close())

    async def add(self, database: Database, key: str) -> None:
        if await self.attempt(fill(database, key)):
            self.acknowledged.add(key)
        elif isinstance(self.error, CommitUncertainError):
            self.uncertain.add(key)

    async def open(self) -> Database | None:
        """A filesystem is what it is from the start; trouble comes to an open database."""
        if self.point.is_harmless:
            self.arm()
        database: Database | None = await self.attempt(opened(self.place.connect(self.place.path)))
        self.arm()
        return database

    async def write(self) -> None:
        database = await self.open()
        if database is None:
            return
        for number in range(2, 5):
            await self.add(database, f"f-{number}")
        names = await self.attempt(database.files.list_for_profile(PROFILE))
        if names is not None and not self.acknowledged <= {file.name for file in names}:
            self.problems.append("what was acknowledged is not read")
        await self.attempt(database.checkpoint())
        await self.attempt(database.stats())
        await self.attempt(database.check())
        await self.attempt(database.close())

    async def backup(self) -> None:
        database = await self.open()
        if database is not None:
            await self.attempt(database.backup(self.place.here / "copy.db"))
            self.disarm()
            await database.close()

    async def copy(self) -> None:
        self.arm()
        await self.attempt(
            reelbase.backup(self.place.path, self.place.here / "copy.db", busy_timeout=BUSY_SECONDS)
        )

    async def vacuum(self) -> None:
        database = await self.open()
        if database is not None:
            await self.attempt(database.vacuum())
            await self.attempt(database.close())

    async def restore(self) -> None:
        self.arm()
        await self.attempt(
            reelbase.restore(self.place.backup, self.place.path, busy_timeout=BUSY_SECONDS)
        )

    async def restore_new(self) -> None:
        self.arm()
        await self.attempt(
            reelbase.restore(
                self.place.backup, self.place.here / "new.db", busy_timeout=BUSY_SECONDS
            )
        )

    async def migrate(self) -> None:
        self.arm()
        await self.attempt(
            reelbase.migrate(
                self.place.old, busy_timeout=BUSY_SECONDS, backup_dir=self.place.here / "copies"
            )
        )

    async def rehearse(self) -> None:
        self.arm()
        await self.attempt(
            reelbase.migrate(self.place.old, busy_timeout=BUSY_SECONDS, dry_run=True)
        )

    # What must be there afterwards.

    async def look(self) -> None:
        operation, works = self.point.operation, self.error is None
        may_be_done = isinstance(self.error, CommitUncertainError)
        old, new = {"f-0", "f-1"}, {"f-0"}
        expected = {"media.db": [old], "backup.db": [new], "old.db": [new]}
        if operation == "restore" and (works or may_be_done):
            expected["media.db"] = [new, old] if may_be_done else [new]
        if operation == "restore_new" and (works or may_be_done):
            expected["new.db"] = [new]
        if operation in ("backup", "copy") and works:
            expected["copy.db"] = [old]
        if operation == "create" and self.is_open:
            expected["new.db"] = [set()]
        for name, states in expected.items():
            self.compare(name, states)
        self.look_for_leftovers({*expected, "copies", "here"})
        if operation == "migrate":
            self.look_at_copies()
        used = {"create": "new.db", "migrate": "old.db", "rehearse": "old.db"}
        for name in {"media.db", used.get(operation, "media.db")}:
            try:
                async with self.place.connect(self.place.here / name) as database:
                    await fill(database, "f-9")
            except Exception as error:
                self.problems.append(f"{name} cannot be used afterwards: {error!r}")

    def compare(self, name: str, states: list[set[str]]) -> None:
        """One of the states must be there, with what was written since."""
        path = self.place.run / name
        if not path.exists():
            self.problems.append(f"{name} is not there")
            return
        if path.stat().st_nlink != 1:
            self.problems.append(f"{name} has {path.stat().st_nlink} names")
        stored = stored_in(path)
        if stored.damage is not None:
            self.problems.append(f"{name}: {stored.damage}")
            return
        found = {key for key in stored.rows if key}
        is_written = name == ("new.db" if self.point.operation == "create" else "media.db")
        added = self.acknowledged if is_written else set[str]()
        uncertain = self.uncertain if is_written else set[str]()
        if not any(keys | added <= found <= keys | added | uncertain for keys in states):
            self.problems.append(f"{name} holds {found}, not one of {states} and {added}")

    def look_for_leftovers(self, expected: set[str]) -> None:
        found = {path.name for path in self.place.run.iterdir()}
        suffixes = ("-wal", "-shm", "-journal", "-turn")
        extra = found - expected - {f"{name}{suffix}" for name in expected for suffix in suffixes}
        if self.point.call in ("unlink", "rmdir"):
            extra = set()  # what cannot be removed stays
        if self.point.operation == "create" and (
            self.point.call in OPENING
            or self.point.nth != "1"
            or (self.error is not None and self.error.code == "journal_mode")
        ):
            # Whether another process uses the new file could not be found out, or what lies beside it not
            # be removed; or it is complete, in another journal mode than was asked for.
            extra -= {name for name in extra if name.startswith("new.db")}
        if extra:
            self.problems.append(f"left: {sorted(extra)} after {self.error!r}")

    def look_at_copies(self) -> None:
        found = [path.name for path in self.place.run.glob("copies/*")]
        with closing(sqlite3.connect(self.place.old)) as native:
            (version,) = native.execute("PRAGMA user_version").fetchone()
        if self.error is None and (
            version != reelbase.SCHEMA_VERSION or found != ["old.db.v1.bak"]
        ):
            self.problems.append(f"version {version}, copies {found}")
        if self.error is not None and version == 1 and found and self.point.call != "unlink":
            self.problems.append(f"failed, and left {found}")
        if version not in (1, reelbase.SCHEMA_VERSION):
            self.problems.append(f"version {version}")


async def opened(connecting: Any) -> Database:
    database: Database = await connecting
    return database


class Sweep(NamedTuple):
    """table: the outcome of each point.  met: of each, the calls that were answered so."""

    table: dict[str, str]
    met: dict[str, int]
    problems: list[str]


async def sweep(folder: Path, mode: str, points: list[Point], shim: Shim) -> Sweep:
    """Tries the points, and goes on when one is wrong."""
    place = Place(folder, mode)
    await place.prepare()
    result = Sweep({}, {}, [])
    for point in points:
        place.reset()
        tried = Try(place, point, shim)
        try:
            await tried.run()
        finally:
            tried.disarm()
        result.table["/".join(point)] = tried.outcome
        result.met["/".join(point)] = tried.met
        result.problems.extend(f"{'/'.join(point)}: {problem}" for problem in tried.problems)
    return result


def links_or_nothing() -> None:
    """A file system without hard links gets no copies."""
    setattr(filesystem, "_replace_placeholder", os.link)  # noqa: B010


def synced_in_vain() -> None:
    """A rollback journal's folder is synced; its answer does not count."""
    setattr(connector, "as_far_as_folder_syncs", lambda decision, path: decision)  # noqa: B010


def new_files_stay() -> None:
    """A database that could not be set up leaves its empty file."""
    setattr(new_file, "discard", lambda path: None)  # noqa: B010


def refusals_escape() -> None:
    """What the operating system refuses comes out as it is."""
    setattr(figures, "wal_bytes", os.path.getsize)  # noqa: B010


MUTANTS: dict[str, tuple[Callable[[], None], Point]] = {
    "links_or_nothing": (links_or_nothing, Point("link", "EACCES", "backup")),
    "synced_in_vain": (synced_in_vain, Point("sync_folder", "EINVAL", "write")),
    "new_files_stay": (new_files_stay, Point("write", "EIO", "create")),
    "refusals_escape": (refusals_escape, Point("stat", "EIO", "write")),
}


def main(folder: str, mode: str, points: str, mutant: str) -> None:
    if mutant:
        MUTANTS[mutant][0]()
    tried = [Point(*point) for point in json.loads(points)]
    result = asyncio.run(sweep(Path(folder), mode, tried, Shim()))
    print(json.dumps(result))


def run_sweep(shim: Path, folder: Path, mode: str, points: list[Point], mutant: str = "") -> Sweep:
    done = subprocess.run(
        [sys.executable, "-m", __name__, folder, mode, json.dumps(points), mutant],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"LD_PRELOAD": str(shim), "SHIM_FOLDER": str(folder / "run")},
        capture_output=True,
        text=True,
        check=False,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr
    return Sweep(*json.loads(done.stdout))


def points_of(call: str, mode: str) -> list[Point]:
    """All points of a call, or the examples."""
    if call in CALLS:
        points = [Point(call, answer, what) for answer in CALLS[call] for what in OPERATIONS]
        later = [answer for answer in CALLS[call] if answer in _TROUBLE]
        points += [
            Point(call, answer, what, nth)
            for answer in later
            for what in OPERATIONS
            for nth in LATER
        ]
    else:
        points = [Point(*pair, what) for pair in EXAMPLES for what in OPERATIONS]
        points = list(dict.fromkeys([*filter(lambda point: point.is_harmless, points), *points]))
        points = points[::12]
    if mode == "wal":
        # Where locks fail under an open write-ahead log, SQLite itself tries each statement for ten
        # seconds (SQLITE_PROTOCOL).
        points = [
            point
            for point in points
            if point.call not in ("lock", "unlock")
            or (point.operation not in ("write", "backup", "vacuum") and point.nth == "1")
        ]
    return points


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "call" in metafunc.fixturenames:
        metafunc.parametrize("call", list(CALLS) if is_full(metafunc.config) else ["examples"])


@pytest.mark.long
def test_whatever_a_system_call_answers_an_operation_works_or_says_what_to_do(
    call: str, shim: Path, memory_folder: Path, mode: str, figure: Figure
) -> None:
    points = points_of(call, mode)
    result = run_sweep(shim, memory_folder, mode, points)
    assert result.problems == []
    assert result.table.keys() == {"/".join(point) for point in points}
    met = [name for name, calls in result.met.items() if calls]
    for answer in () if (call, mode) == ("map", "delete") else CALLS.get(call, ()):
        assert any(name.startswith(f"{call}/{answer}/") for name in met), answer
    figure(f"{mode} {call}: {len(points)} points, {len(met)} of them met")


@pytest.mark.long
def test_without_shared_memory_a_rollback_journal_does(shim: Path, memory_folder: Path) -> None:
    points = [
        Point("map", answer, operation)
        for answer in ("EACCES", "ENODEV")
        for operation in ("create", "connect")
    ]
    result = run_sweep(shim, memory_folder, "auto", points)
    assert result.problems == []
    assert all(result.met.values())
    assert set(result.table.values()) == {"works"}


@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_table_finds(mutant: str, shim: Path, memory_folder: Path) -> None:
    point = MUTANTS[mutant][1]
    assert run_sweep(shim, memory_folder, "delete", [point], mutant).problems != []


if __name__ == "__main__":
    main(*sys.argv[1:])
