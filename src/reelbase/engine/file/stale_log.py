"""Checks, by the headers of both files, that the log beside a database is its own.

SQLite applies a -wal or a hot -journal to the file that has the name. A backup that was copied over a
database while its log still existed would become the old database again, or a damaged one. The check
relies on these facts (sqlite.org/fileformat2.html, sections 1.3, 3 and 4; pager.c and wal.c):

* A file's header says WAL before it gets a -wal, and for as long as it has one.
* A transaction that changes page 1 writes the change counter that its connection has read, plus 1. The file
  holds the page 1 that the -wal began with, or a later one that a checkpoint took from the -wal.
* A hot -journal holds the old page 1, unless the transaction has not changed page 1. Until the commit the
  file has at least as many pages as before.

So a database's own log is never taken for a foreign one. The reverse cannot always be told. The header of a
backup says rollback journal, and no -wal fits it. But a WAL database that was copied as a file keeps its
header while the file neither grows nor shrinks, so any log that was written until then would fit it.
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

from reelbase.engine.file.paths import real_path, uri_of
from reelbase.errors import SchemaError

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_COUNTS = 1 << 32  # after which the change counter begins again

_WAL_HEADER = struct.Struct(">I4xI4x8s8x")
_WAL_MAGICS = (0x377F0682, 0x377F0683)
_FRAME_HEADER = struct.Struct(">II8s8x")

_JOURNAL_HEADER = struct.Struct(">8s5I")
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_ALL_THAT_FOLLOW = 0xFFFFFFFF
_NUMBER = struct.Struct(">I")  # a page's number before it in a journal, its checksum behind it

# Two looks at a log that is being written do not agree; after so many looks no error is raised.
_LOOKS = 5
_PAUSE_SECONDS = 0.02


class Header(NamedTuple):
    """The header of a database, from its file or from a page 1 in its log."""

    page_bytes: int
    is_wal: bool
    change_counter: int
    pages: int | None  # None: not valid for this change counter
    schema_cookie: int


def parse_header(content: bytes) -> Header | None:
    """The header in the first bytes of a file; None if the file is no database."""
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
    """Raises SchemaError (code stale_log) when the -wal or -journal beside a database is a foreign one.

    Changes nothing. The database may be in use, by this process too.
    """
    real = os.fspath(real_path(path))
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
    """The reason to take the log for a foreign one; None when it fits the database, or cannot be judged."""
    for _ in range(_LOOKS):
        try:
            with open(log, "rb", buffering=0) as file:
                begin = file.read(_WAL_HEADER.size)
                content = _read_header(real)
                header = parse_header(content)
                if not begin or header is None:
                    return None
                reason = judge(header, os.stat(real).st_size, file)
            if reason is None:
                return None
            with open(log, "rb", buffering=0) as file:
                if (begin, content) == (file.read(_WAL_HEADER.size), _read_header(real)):
                    return reason
        except (OSError, sqlite3.Error):  # gone meanwhile; or opening the database gives the error
            return None
        time.sleep(_PAUSE_SECONDS)
    return None


def _judge_wal(header: Header, size_bytes: int, wal: FileIO) -> str | None:
    if not header.is_wal:
        return "its header says that it has a rollback journal, and such a file has no -wal"
    if header.pages is None:  # damaged, perhaps: no counter to rely on
        return None
    first: Header | None = None
    pages: int | None = None
    for page_bytes, pages_after, headers in _transactions(wal):
        pages = pages_after
        if page_bytes != header.page_bytes:
            return f"its pages have {header.page_bytes} bytes, those in the log {page_bytes}"
        for each in headers:
            first = first or each
            # The file has the page 1 from before the log, or one that a checkpoint took from the log.
            if each == header or (each is first and _may_follow(each, header)):
                return None
    if first is not None:
        return (
            f"its change counter is {header.change_counter} and its schema cookie "
            f"{header.schema_cookie}, and the log begins with {first.change_counter} and "
            f"{first.schema_cookie}"
        )
    if pages is not None:
        # Without page 1 the number of pages has not changed either.
        most = -(-size_bytes // header.page_bytes)
        if not header.pages <= pages <= most:
            return f"it has {header.pages} pages, and those in the log are of a file with {pages}"
    return None


def _may_follow(after: Header, before: Header) -> bool:
    """Whether one header may be the next after another. The change counter grows by 1 or not at all: a
    connection that has page 1 in its cache does not count each of its own changes."""
    counted = (after.change_counter - before.change_counter) % _COUNTS
    return counted <= 1 and before.schema_cookie <= after.schema_cookie


def _transactions(wal: FileIO) -> Iterator[tuple[int, int, list[Header]]]:
    """For each committed transaction: the size of a page, the number of pages in the file after it, and
    the headers that it wrote to page 1."""
    begin = _read(wal, 0, _WAL_HEADER.size)
    if len(begin) < _WAL_HEADER.size:
        return
    magic, page_bytes, salts = _WAL_HEADER.unpack(begin)
    if magic not in _WAL_MAGICS:
        return
    headers: list[Header] = []
    place = _WAL_HEADER.size
    while len(frame := _read(wal, place, _FRAME_HEADER.size)) == _FRAME_HEADER.size:
        page, pages_after_commit, frame_salts = _FRAME_HEADER.unpack(frame)
        if frame_salts != salts:  # left from before the last reset of the log
            return
        if page == 1:
            header = parse_header(_read(wal, place + _FRAME_HEADER.size, _HEADER_BYTES))
            if header is not None and header.pages is not None:
                headers.append(header)
        if pages_after_commit:
            yield page_bytes, pages_after_commit, headers
            headers = []
        place += _FRAME_HEADER.size + page_bytes


def _judge_journal(header: Header, size_bytes: int, journal: FileIO) -> str | None:
    begin = _read(journal, 0, _JOURNAL_HEADER.size)
    if len(begin) < _JOURNAL_HEADER.size or not begin.startswith(_JOURNAL_MAGIC):
        return None  # it is not hot
    _, _, _, pages, _, page_bytes = _JOURNAL_HEADER.unpack(begin)
    if page_bytes != header.page_bytes:
        return f"its pages have {header.page_bytes} bytes, those in the journal {page_bytes}"
    if size_bytes <= (pages - 1) * page_bytes:
        return f"it has {size_bytes} bytes, and had {pages} pages of {page_bytes} bytes before"
    if header.pages is None:  # as in a -wal
        return None
    if pages == 0:  # the transaction that makes a database
        is_stale = header.change_counter > 1
        return f"its change counter is {header.change_counter}, and was 0" if is_stale else None
    before = _page_1_before(journal)
    if before is None:
        if header.is_wal:
            return "its header says WAL, and the journal is not of a change of the journal mode"
        if header.pages > pages:
            return f"it has {header.pages} pages, and had {pages} before"
        return None
    if not _may_follow(header, before):
        return (
            f"its change counter is {header.change_counter} and its schema cookie "
            f"{header.schema_cookie}, and they were {before.change_counter} and {before.schema_cookie}"
        )
    return None


def _page_1_before(journal: FileIO) -> Header | None:
    """The header in the page 1 that a journal would restore; None when the journal lacks that page."""
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
    """Whether a page in a journal matches the checksum that follows it (fileformat2.html, 3)."""
    content, checksum = page[: -_NUMBER.size], page[-_NUMBER.size :]
    total = nonce + sum(content[i] for i in range(len(content) - 200, 0, -200))
    return checksum == _NUMBER.pack(total % _COUNTS)


def _read(file: FileIO, place: int, length: int) -> bytes:
    file.seek(place)
    return file.read(length)


def read_header(real: str) -> Header | None:
    """The header of a file, with no links in its path; None if the file is no database. Raises OSError, and
    sqlite3.Error if it cannot be opened."""
    return parse_header(_read_header(real))


def _read_header(real: str) -> bytes:
    """The first bytes of a database, which this process may have open elsewhere.

    They are read through a descriptor of SQLite, which it closes when that is safe: opening and closing the
    file directly would drop all locks of the process (sqlite.org/howtocorrupt.html, 2.2). immutable: SQLite
    ignores logs and takes no lock.
    """
    if sys.platform == "win32":  # where locks belong to one handle
        with open(real, "rb", buffering=0) as file:
            return file.read(_HEADER_BYTES)
    with contextlib.closing(sqlite3.connect(uri_of(Path(real), "immutable=1"), uri=True)):
        expected = os.stat(real)
        for descriptor in _descriptors(os.path.basename(real)):
            with contextlib.suppress(OSError):  # closed meanwhile by another thread
                content = os.pread(descriptor, _HEADER_BYTES, 0)
                if os.path.samestat(os.fstat(descriptor), expected):
                    return content
    raise OSError(f"{real} is open, and its descriptor was not found")


def _descriptors(name: str) -> Iterator[int]:
    """Open descriptors of this process: of the files of this name or, without /proc, all numbers."""
    try:
        numbers = [int(number) for number in os.listdir("/proc/self/fd")]
    except OSError:
        yield from range(os.sysconf("SC_OPEN_MAX"))
        return
    for number in numbers:
        with contextlib.suppress(OSError):
            # By name first: fstat() of an unrelated file might wait for a dead file server.
            if os.readlink(f"/proc/self/fd/{number}").endswith(f"/{name}"):
                yield number
