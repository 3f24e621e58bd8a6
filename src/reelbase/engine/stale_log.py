"""Whether the log beside a database belongs to it, told by the headers of both files.

SQLite applies a -wal or a hot -journal to whatever file has the name. A backup that was copied over a
database whose log was still there would become the old database again, or a damaged one. What is relied on
here (sqlite.org/fileformat2.html, sections 1.3, 3 and 4; pager.c and wal.c):

* A file says WAL before it gets a -wal, and for as long as it has one.
* A transaction that changes page 1 writes the change counter that it read plus 1. So the counter never
  falls along a -wal; and the file holds the page 1 that the -wal began with, or one that is in it.
* A hot -journal holds page 1 as it was, or the transaction has not changed page 1. Until it is committed
  the file has at least as many pages as before.

So the log of a database is never taken for another's. The reverse cannot always be told: a -wal fits every
WAL database whose counter lies in its range, which is so of a copy that was made (by other means than a
backup, whose header says rollback journal) since the last process opened the database; and every one if
page 1 is not in it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import sys
import time
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from reelbase.errors import SchemaError

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_COUNTS = 1 << 32  # after which the change counter begins again

_WAL_HEADER_BYTES = 32
_WAL_HEADER = struct.Struct(">I4xI4x8s8x")
_WAL_MAGICS = (0x377F0682, 0x377F0683)
_FRAME_HEADER = struct.Struct(">II8s8x")

_JOURNAL_HEADER = struct.Struct(">8s5I")
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_ALL_THAT_FOLLOW = 0xFFFFFFFF
_NUMBER = struct.Struct(">I")  # a page's number before it in a journal, its checksum behind it

# Of a log that is being written meanwhile, two looks do not agree, and nothing is said.
_LOOKS = 5
_PAUSE_SECONDS = 0.02


class Header(NamedTuple):
    """The header of a database: of the file, or of a page 1 in its log."""

    page_bytes: int
    is_wal: bool
    change_counter: int
    pages: int | None  # None: the last program that wrote does not keep it
    schema_cookie: int


def parse_header(content: bytes) -> Header | None:
    """None for what is no database."""
    if len(content) < _HEADER_BYTES or not content.startswith(_MAGIC):
        return None
    page_bytes, _, read_version = struct.unpack_from(">HBB", content, 16)
    change_counter, pages = struct.unpack_from(">II", content, 24)
    (schema_cookie,) = struct.unpack_from(">I", content, 40)
    (pages_valid_for,) = struct.unpack_from(">I", content, 92)
    return Header(
        page_bytes=65536 if page_bytes == 1 else page_bytes,
        is_wal=read_version == 2,
        change_counter=change_counter,
        pages=pages if pages_valid_for == change_counter else None,
        schema_cookie=schema_cookie,
    )


def refuse_stale_log(path: str | os.PathLike[str]) -> None:
    """Raises SchemaError (code stale_log) when the -wal or -journal beside a database is of another.

    Changes nothing. The database may be in use, by this process too.
    """
    real = os.path.realpath(path)
    for suffix, judge in (("-wal", _judge_wal), ("-journal", _judge_journal)):
        log = f"{real}{suffix}"
        reason = _judged(real, log, judge)
        if reason is not None:
            raise SchemaError(
                f"{log} is not the log of {path}: {reason}. The file was probably copied over a database "
                "whose last changes are still in that log, and SQLite would mix the two. Nothing was "
                f"changed. To keep the file as it is now, move {log} away; to put a backup in the place "
                "of a database, now too, use `reelbase restore`",
                code="stale_log",
                details={"path": os.fspath(path), "log": log, "reason": reason},
            )


def _judged(real: str, log: str, judge: Callable[[Header, int, FileIO], str | None]) -> str | None:
    """Why the log is of another database; None when it is not, or there is no telling."""
    for _ in range(_LOOKS):
        try:
            with open(log, "rb", buffering=0) as file:
                begin = file.read(_WAL_HEADER_BYTES)
                content = _read_header(real)
                header = parse_header(content)
                if not begin or header is None:
                    return None
                reason = judge(header, os.stat(real).st_size, file)
            if reason is None:
                return None
            with open(log, "rb", buffering=0) as file:
                if (begin, content) == (file.read(_WAL_HEADER_BYTES), _read_header(real)):
                    return reason
        except (OSError, sqlite3.Error):  # gone meanwhile; or the opener will say what is wrong
            return None
        time.sleep(_PAUSE_SECONDS)
    return None


def _judge_wal(header: Header, size_bytes: int, wal: FileIO) -> str | None:
    if not header.is_wal:
        return "its header says that it has a rollback journal, and such a file has no -wal"
    page_bytes, of_page_1 = _committed(wal)
    if page_bytes not in (None, header.page_bytes):
        return f"its pages have {header.page_bytes} bytes, those in the log {page_bytes}"
    if not of_page_1:
        return None
    counter, last = header.change_counter, of_page_1[-1]
    before = (of_page_1[0].change_counter - 1) % _COUNTS
    if (counter - before) % _COUNTS > (last.change_counter - before) % _COUNTS:
        return (
            f"its change counter is {counter}, and the log leads from {before} to "
            f"{last.change_counter}"
        )
    if header.schema_cookie > last.schema_cookie:
        return (
            f"its schema has changed {header.schema_cookie} times, and at the end of the log "
            f"{last.schema_cookie} times"
        )
    return None


def _committed(wal: FileIO) -> tuple[int | None, list[Header]]:
    """What the committed transactions of a -wal hold: the size of their pages, None without any; and the
    headers in those that are page 1, in their order."""
    wal.seek(0)
    begin = wal.read(_WAL_HEADER_BYTES)
    if len(begin) < _WAL_HEADER_BYTES:
        return None, []
    magic, page_bytes, salts = _WAL_HEADER.unpack(begin)
    if magic not in _WAL_MAGICS:
        return None, []
    committed: list[Header] = []
    pending: list[Header] = []
    has_committed = False
    place = _WAL_HEADER_BYTES
    while len(frame := _read(wal, place, _FRAME_HEADER.size)) == _FRAME_HEADER.size:
        page, pages_after_commit, frame_salts = _FRAME_HEADER.unpack(frame)
        if frame_salts != salts:  # of the time before the log was begun again
            break
        if page == 1:
            header = parse_header(_read(wal, place + _FRAME_HEADER.size, _HEADER_BYTES))
            if header is not None and header.pages is not None:
                pending.append(header)
        if pages_after_commit:
            has_committed = True
            committed += pending
            pending = []
        place += _FRAME_HEADER.size + page_bytes
    return page_bytes if has_committed else None, committed


def _judge_journal(header: Header, size_bytes: int, journal: FileIO) -> str | None:
    begin = _read(journal, 0, _JOURNAL_HEADER.size)
    if len(begin) < _JOURNAL_HEADER.size or not begin.startswith(_JOURNAL_MAGIC):
        return None  # it is not hot
    _, _, _, pages, _, page_bytes = _JOURNAL_HEADER.unpack(begin)
    if page_bytes != header.page_bytes:
        return f"its pages have {header.page_bytes} bytes, those in the journal {page_bytes}"
    if size_bytes <= (pages - 1) * page_bytes:
        return f"it has {size_bytes} bytes, and had {pages} pages of {page_bytes} bytes before"
    if pages == 0:  # the transaction that makes a database
        is_stale = header.change_counter > 1
        return f"its change counter is {header.change_counter}, and was 0" if is_stale else None
    before = _page_1_before(journal)
    if before is None:
        if header.is_wal:
            return "its header says WAL, and the journal is not of a change of the journal mode"
        if header.pages is not None and header.pages > pages:
            return f"it has {header.pages} pages, and had {pages} before"
        return None
    if (header.change_counter - before.change_counter) % _COUNTS > 1:
        return f"its change counter is {header.change_counter}, and was {before.change_counter}"
    if header.schema_cookie < before.schema_cookie:
        return (
            f"its schema has changed {header.schema_cookie} times, and had {before.schema_cookie} times "
            "before"
        )
    return None


def _page_1_before(journal: FileIO) -> Header | None:
    """The header in the page 1 that a journal would bring back; None when that page is not in it."""
    size_bytes = os.fstat(journal.fileno()).st_size
    place = 0
    while len(begin := _read(journal, place, _JOURNAL_HEADER.size)) == _JOURNAL_HEADER.size:
        magic, records, nonce, _, sector_bytes, page_bytes = _JOURNAL_HEADER.unpack(begin)
        if magic != _JOURNAL_MAGIC:
            break
        place += sector_bytes
        record_bytes = _NUMBER.size + page_bytes + _NUMBER.size
        if records == _ALL_THAT_FOLLOW:
            records = (size_bytes - place) // record_bytes
        for _ in range(records):
            number = _read(journal, place, _NUMBER.size)
            if len(number) < _NUMBER.size:
                return None
            if _NUMBER.unpack(number) == (1,):
                page = _read(journal, place + _NUMBER.size, page_bytes + _NUMBER.size)
                return parse_header(page) if _is_whole(page, nonce) else None
            place += record_bytes
        place += -place % sector_bytes  # the next part, if one follows
    return None


def _is_whole(page: bytes, nonce: int) -> bool:
    """Whether a page in a journal has the checksum that stands behind it (fileformat2.html, 3)."""
    content, checksum = page[: -_NUMBER.size], page[-_NUMBER.size :]
    total = nonce + sum(content[i] for i in range(len(content) - 200, 0, -200))
    return checksum == _NUMBER.pack(total % _COUNTS)


def _read(file: FileIO, place: int, length: int) -> bytes:
    file.seek(place)
    return file.read(length)


def _read_header(real: str) -> bytes:
    """The beginning of a database, which others may have open in this process.

    It is read through a descriptor that SQLite has opened and closes when that is safe: closing one of
    our own would drop all locks of the process (sqlite.org/howtocorrupt.html, 2.2). immutable: SQLite
    looks at no log and takes no lock.
    """
    if sys.platform == "win32":  # where locks belong to one handle
        with open(real, "rb", buffering=0) as file:
            return file.read(_HEADER_BYTES)
    uri = f"{Path(real).as_uri()}?immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)):
        expected = os.stat(real)
        for descriptor in _descriptors(os.path.basename(real)):
            with contextlib.suppress(OSError):  # closed meanwhile by another thread
                content = os.pread(descriptor, _HEADER_BYTES, 0)
                if os.path.samestat(os.fstat(descriptor), expected):
                    return content
    raise OSError(f"{real} is open, and its descriptor was not found")


def _descriptors(name: str) -> Iterator[int]:
    """Open descriptors of this process, at least those of files that have this name."""
    try:
        numbers = [int(number) for number in os.listdir("/proc/self/fd")]
    except OSError:
        yield from range(os.sysconf("SC_OPEN_MAX"))
        return
    for number in numbers:
        with contextlib.suppress(OSError):
            # By name first: to ask of any file might wait for a dead file server.
            if os.readlink(f"/proc/self/fd/{number}").endswith(f"/{name}"):
                yield number
