"""Repairing a damaged file: a copy of it is kept, and the repaired file is verified before it replaces it.

The damaged file is read as bytes and stays unchanged, side files included, until the repaired file is
complete. Meanwhile it holds SQLite's own locks, so that no process can write a row that the repaired
file would lack.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from reelbase.engine.copies.backup import partial_file, translated
from reelbase.engine.file.commit import write_transaction
from reelbase.engine.file.connections import NativeConnection
from reelbase.engine.file.filesystem import publish, sync_file, sync_folder, take_mode, take_owner
from reelbase.engine.file.paths import file_path, real_path
from reelbase.engine.file.side_files import SUFFIXES
from reelbase.engine.file.temporary_files import folder_for, temporary_files
from reelbase.engine.maintenance.opening import size_of_usable_file
from reelbase.engine.maintenance.restore import in_use, refuse_if_open
from reelbase.engine.native.header import application_id, user_version
from reelbase.engine.native.setup import Setup, checked_setup
from reelbase.engine.record import Record
from reelbase.engine.schema.derivation import fill
from reelbase.engine.schema.fingerprint import differences
from reelbase.engine.schema.ledger import ledger_differences
from reelbase.engine.schema.source import APPLICATION_ID
from reelbase.engine.threads.connection import on_a_thread
from reelbase.engine.threads.mailbox import notify
from reelbase.errors import DatabaseCorruptError, DatabaseIOError, SchemaError
from reelbase.operations.examination import examine_native
from reelbase.operations.salvage.completion import complete
from reelbase.operations.salvage.losses import Losses
from reelbase.operations.salvage.mend import TableIsDamagedError, mend
from reelbase.operations.salvage.pages import (
    PageFile,
    page_size_of_log,
    write_header,
    write_rollback_mode,
)
from reelbase.operations.salvage.reconstruction import OnProgress, Salvage
from reelbase.operations.salvage.source import Source

try:
    import fcntl
except ImportError:  # Windows, where an open file is not replaced anyway
    fcntl = None  # type: ignore[assignment]

# The byte range that SQLite locks (os_unix.c, PENDING_BYTE, RESERVED_BYTE, SHARED_FIRST, SHARED_SIZE).
_LOCK_BYTE, _LOCK_BYTES = 0x40000000, 512
_RETRY_SECONDS = 0.05
_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 4096
_LOGS = ("-wal", "-journal")


class RepairReport(Record, frozen=True):
    """The result of repair().

    copy: the damaged file, byte for byte; its log, if it had one, is beside it. None: the file was sound,
        and is unchanged.
    mended: the parts that were restored or rebuilt without loss, a sentence each.
    lost: a sentence for each row, by table and key, that is lost, that was removed because the row that it
        referred to is lost, or that was kept without some of its values; and for each further loss.
    rows_lost: how many rows each table has lost for certain.
    problems: the problems that check(full=True) still finds: differences of the schema that are no damage,
        such as a table that was changed on purpose.
    """

    copy: Path | None
    mended: list[str]
    lost: list[str]
    rows_lost: dict[str, int]
    problems: list[str]


def _ignore(what: str, done: int, total: int) -> None:
    pass


async def repair(
    path: str | os.PathLike[str],
    *,
    busy_timeout: float = 5.0,
    progress: OnProgress | None = None,
    setup: Setup | None = None,
) -> RepairReport:
    """Repairs a damaged database of this or an earlier version, and reports the losses.

    All processes must have closed the database first. If only indexes are damaged, they are rebuilt and
    no row is lost. If tables are damaged, every readable row is copied to a new file, and a row with
    a lost parent is deleted or changed as its foreign key says for a deleted parent.

    A copy of the damaged file is kept beside it, as ``<name>.damaged-<moment>``; then a file that
    check(full=True) has found sound replaces it in one step. If the process is killed at any point, the
    file is the damaged or the repaired one. A sound file is left unchanged, without a copy; an error also
    leaves the file unchanged.

    Memory does not grow with the size of the file, only with the number of lost rows. The disk needs room
    for two more files of this size.

    Args:
        path: the damaged database.
        busy_timeout: seconds to wait for another process that has locked it.
        progress: called with (what, done, total), on the event loop.
        setup: as in connect(). Without it, indexes that need the application's functions and collations
            are lost, and named.

    Returns:
        The copy of the damaged file, the repaired parts, and the losses.

    Raises:
        DatabaseBusyError: another process has the file open (code in_use).
        SchemaError: the file is no database of reelbase's, or newer, or empty (code foreign, newer, empty).
        DatabaseCorruptError: no part of it can be saved.
        DatabaseFullError: there is no room.
        DatabaseIOError: the file system refuses an access.
    """
    place = file_path(path)
    loop = asyncio.get_running_loop()
    tell = _ignore if progress is None else partial(notify, loop, progress)
    return await on_a_thread(
        partial(
            repair_file,
            place,
            busy_timeout_seconds=busy_timeout,
            on_progress=tell,
            setup=checked_setup(setup),
        )
    )


def repair_file(
    path: Path,
    *,
    busy_timeout_seconds: float,
    on_progress: OnProgress,
    setup: Setup | None = None,
) -> RepairReport:
    """Repairs a file as repair() does, on the calling thread.

    Args:
        path: as in repair().
        busy_timeout_seconds: as in repair().
        on_progress: called with (what, done, total), on the calling thread.
        setup: as in repair().

    Returns:
        The report. It raises the errors of repair().
    """
    place = real_path(path)  # side files are named after the real path
    if size_of_usable_file(place, create=False) == 0:
        raise SchemaError(
            f"{path} is empty; there is nothing to repair: restore a backup",
            code="empty",
            details={"path": str(path)},
        )
    with translated(f"repairing {path}"):
        refuse_if_open(place, "repair")
        with _locked(place, busy_timeout_seconds) as original:
            return _Repair(original, place, on_progress, setup).run()


class _Repair:
    """One repair. original: a descriptor of the damaged file, which is locked."""

    def __init__(
        self, original: int, place: Path, on_progress: OnProgress, setup: Setup | None
    ) -> None:
        self._setup = setup
        self._original = original
        self._place = place
        self._on_progress = on_progress
        self._losses = Losses()

    def run(self) -> RepairReport:
        with self._copy_at_rest(self._losses) as (copy, has_header):
            if has_header:
                problems = self._mend(copy)
                if problems is not None:
                    if not self._losses.mended and not self._losses.lost:
                        return RepairReport(None, [], [], {}, problems)
                    return self._put_in_place(copy, problems)
        self._losses = Losses()
        with (
            self._copy_at_rest(self._losses) as (copy, has_header),
            partial_file(self._place) as repaired,
        ):
            if not has_header:
                self._losses.mend("the header rebuilt")
            problems = self._salvage(copy, repaired)
            return self._put_in_place(repaired, problems)

    @contextlib.contextmanager
    def _copy_at_rest(self, losses: Losses) -> Iterator[tuple[Path, bool]]:
        """A copy into which the side files are merged, as SQLite would do after a crash; and whether the
        header could be read. The copy always has a header that SQLite accepts."""
        with partial_file(self._place) as copy:
            unread = self._copy_bytes(copy)
            logs = [suffix for suffix in _LOGS if os.path.exists(f"{self._place}{suffix}")]
            for suffix in logs:
                shutil.copyfile(f"{self._place}{suffix}", f"{copy}{suffix}")
            with contextlib.closing(PageFile(copy)) as pages:
                has_header, page_size = pages.has_header, pages.page_size
            if not has_header:
                write_header(copy, page_size_of_log(Path(f"{copy}-wal")) or page_size)
            if logs:
                self._play(copy, losses)
            write_rollback_mode(copy)
            for offset in unread:
                losses.lose(f"{_BLOCK_BYTES:,} bytes at {offset:,}: the disk cannot read them")
            yield copy, has_header

    def _play(self, copy: Path, losses: Losses) -> None:
        """Lets SQLite recover the copy as after a crash, which needs no schema."""
        with (
            contextlib.suppress(sqlite3.DatabaseError),
            contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as native,
        ):
            native.execute("BEGIN EXCLUSIVE")
            native.execute("COMMIT")
        for suffix in SUFFIXES:
            left = Path(f"{copy}{suffix}")
            if suffix in _LOGS and left.exists() and left.stat().st_size:
                losses.lose(f"the content of {self._place.name}{suffix}, which cannot be used")
            left.unlink(missing_ok=True)

    def _copy_bytes(self, target: Path) -> list[int]:
        """Copies the damaged file, with zeros for blocks that cannot be read; returns their offsets."""
        unread: list[int] = []
        with target.open("wb") as file:
            for chunk in self._chunks(unread):
                file.write(chunk)
                self._on_progress("copying", file.tell(), self._size)
        return unread

    @property
    def _size(self) -> int:
        return os.fstat(self._original).st_size

    def _chunks(self, unread: list[int]) -> Iterator[bytes]:
        for offset in range(0, self._size, _CHUNK_BYTES):
            size = min(_CHUNK_BYTES, self._size - offset)
            try:
                yield self._read(offset, size)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                for block in range(offset, offset + size, _BLOCK_BYTES):
                    yield self._block(block, min(_BLOCK_BYTES, offset + size - block), unread)

    def _block(self, offset: int, size: int, unread: list[int]) -> bytes:
        try:
            return self._read(offset, size)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            unread.append(offset)
            return b"\0" * size

    def _read(self, offset: int, size: int) -> bytes:
        os.lseek(self._original, offset, os.SEEK_SET)
        parts: list[bytes] = []
        while size:
            part = os.read(self._original, size)
            if not part:
                raise DatabaseIOError(f"{self._place} changed while it was read", code="moved")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _mend(self, copy: Path) -> list[str] | None:
        """Mends a copy. Returns the problems that check() still finds; None when it is still damaged."""
        self._on_progress("looking for damage", 0, 1)
        with contextlib.closing(Source(copy, str(self._place))) as source:
            try:
                with contextlib.closing(_opened(copy, self._setup)) as native:
                    if not _is_sound(native, self._place, source.version):
                        self._on_progress("rebuilding indexes", 0, 1)
                        mend(native, source, self._losses)
                    return _accepted(native, self._place)
            except (
                TableIsDamagedError,
                DatabaseCorruptError,
                sqlite3.DatabaseError,
                UnicodeDecodeError,  # SQLite's messages quote the file, whose text may be damaged
            ):
                return None

    def _salvage(self, copy: Path, repaired: Path) -> list[str]:
        with (
            contextlib.closing(Source(copy, str(self._place))) as source,
            contextlib.closing(_opened(repaired, self._setup)) as native,
        ):
            native.execute(f"PRAGMA page_size = {source.pages.page_size}").close()
            native.execute(f"PRAGMA encoding = '{source.pages.encoding}'").close()
            folder = folder_for(native, 2 * self._size, self._place.parent)
            with (
                temporary_files(native, folder),
                write_transaction(native, f"repairing {self._place}"),
            ):
                salvage = Salvage(source, native, self._losses, self._on_progress)
                salvage.run()
                complete(native, source.version, self._losses)
                for index in salvage.search_indexes():
                    fill(native, index)
                salvage.finish()
            self._on_progress("verifying", 0, 1)
            problems = _accepted(native, self._place)
        if problems is None:
            raise DatabaseCorruptError(
                f"{self._place} could not be repaired: its readable rows make no sound database;"
                " restore a backup. Nothing was changed",
                details={"path": str(self._place)},
            )
        return problems

    def _put_in_place(self, repaired: Path, problems: list[str]) -> RepairReport:
        kept = self._keep_damaged()
        self._own(repaired)
        sync_file(repaired)
        refuse_if_open(self._place, "repair", besides=self._original)
        logs = [Path(f"{self._place}{suffix}") for suffix in _LOGS]
        if any(log.exists() for log in logs):
            self._fold_logs()
        for suffix in SUFFIXES:
            Path(f"{self._place}{suffix}").unlink(missing_ok=True)
        sync_folder(self._place.parent)
        os.replace(repaired, self._place)
        sync_folder(self._place.parent)
        losses = self._losses
        return RepairReport(kept, losses.mended, losses.lost, dict(losses.rows), problems)

    def _fold_logs(self) -> None:
        """SQLite would play the log into any file with the name of the damaged one, the repaired file
        included. So the damaged file is first replaced by a copy that contains its log: playing the log
        into that copy again changes nothing, and without the log it is complete."""
        with self._copy_at_rest(Losses()) as (copy, _):
            self._own(copy)
            sync_file(copy)
            os.replace(copy, self._place)
            sync_folder(self._place.parent)

    def _own(self, copy: Path) -> None:
        status = self._place.stat()
        take_owner(copy, status)
        take_mode(copy, status)

    def _keep_damaged(self) -> Path:
        """Copies the damaged file, and its logs under the same name; syncs and verifies the copy."""
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        kept = self._place.with_name(f"{self._place.name}.damaged-{moment}")
        for suffix in _LOGS:
            with contextlib.suppress(FileNotFoundError), partial_file(kept) as copy:
                shutil.copyfile(f"{self._place}{suffix}", copy)
                self._own(copy)
                sync_file(copy)
                publish(copy, Path(f"{kept}{suffix}"))
        with partial_file(kept) as copy:
            self._copy_bytes(copy)
            self._own(copy)
            sync_file(copy)
            written = hashlib.sha256()
            with copy.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    written.update(chunk)
            there = hashlib.sha256()
            for chunk in self._chunks([]):
                there.update(chunk)
            if written.digest() != there.digest():
                raise DatabaseIOError(
                    f"the copy {kept} differs from the file; look at the disk. Nothing was changed",
                    details={"path": str(self._place)},
                )
            publish(copy, kept)
        sync_folder(kept.parent)
        return kept


@contextlib.contextmanager
def _locked(place: Path, busy_timeout_seconds: float) -> Iterator[int]:
    """A descriptor of a file that no SQLite connection, in any journal mode, can use meanwhile.

    This process must have no other descriptor of it: to close one would drop the locks.
    """
    descriptor = os.open(place, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        deadline = time.monotonic() + busy_timeout_seconds
        while fcntl is not None:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_BYTES, _LOCK_BYTE)
                break
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise
                if time.monotonic() >= deadline:
                    raise in_use(place, "a connection has it locked", "repair") from error
            time.sleep(_RETRY_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def _opened(path: Path, setup: Setup | None) -> sqlite3.Connection:
    """A connection to a temporary file of this repair; the file is synced once, when it is complete."""
    native = sqlite3.connect(path, isolation_level=None, factory=NativeConnection)
    for pragma in (
        "locking_mode = EXCLUSIVE",
        "synchronous = OFF",
        "foreign_keys = OFF",
        "cell_size_check = ON",
    ):
        native.execute(f"PRAGMA {pragma}").close()
    try:
        native.set_up(setup, str(path))
    except BaseException:
        native.close()
        raise
    return native


def _is_sound(native: sqlite3.Connection, path: Path, version: int) -> bool:
    is_marked = (application_id(native), user_version(native)) == (APPLICATION_ID, version)
    return is_marked and examine_native(native, path, full=True).ok


def _accepted(native: sqlite3.Connection, path: Path) -> list[str] | None:
    """The problems of a file that is not damaged; None for a damaged one."""
    problems = examine_native(native, path, full=True).problems
    if not problems:
        return []
    version = user_version(native)
    drift = differences(native, version) or ledger_differences(native, version)
    return problems if set(problems) <= set(drift) else None


__all__ = ["RepairReport", "repair", "repair_file"]
