"""Reading a database file page by page, without SQLite: a damaged page costs only its own cells.

SQLite stops at the first page that it cannot use, and reaches no row below a damaged interior page. Here
every page is read independently: its plausible cells are used, a tree goes on behind a gap, and pages
that no tree leads to can be read one by one.

The format is that of sqlite.org/fileformat2.html; the numbers of its sections are in the comments.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

TABLE_LEAF, TABLE_INTERIOR, INDEX_LEAF, INDEX_INTERIOR = 13, 5, 10, 2

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_FRACTIONS = bytes((64, 32, 32))
_PAGE_SIZES = (4096, 1024, 2048, 8192, 16384, 32768, 65536, 512)
_SAMPLE_PAGES = 500
# SQLite locks bytes of this page, and never stores data on it (1.4).
_LOCK_BYTE = 0x40000000
_ENCODINGS = {1: "utf-8", 2: "utf-16-le", 3: "utf-16-be"}
_MOST_LEVELS = 20

Value = int | float | str | bytes | None


class Cell(msgspec.Struct, frozen=True, gc=False):
    """A row of a table, or an entry of an index.

    rowid: 0 in an index.  start, local_bytes: the part of the payload that lies on the page.
    overflow: the first overflow page of the payload, 0 for none.
    """

    rowid: int
    payload_bytes: int
    start: int
    local_bytes: int
    overflow: int


class Page(msgspec.Struct, frozen=True):
    """A page of a b-tree. cells: the plausible cells. lost_cells: the number of implausible ones.

    children: the child pages of an interior page, each with the upper bound of its rowids (None: in an
    index). is_whole: every byte is accounted for, so this is certainly a page of a b-tree.
    """

    number: int
    kind: int
    data: bytes
    cells: list[Cell]
    lost_cells: int
    children: list[tuple[int, int | None]]
    is_whole: bool


class Gap(msgspec.Struct, frozen=True):
    """Where a tree cannot be followed: rows with above < rowid <= up_to (None: no limit is known)."""

    page: int
    above: int | None
    up_to: int | None

    def holds(self, rowid: int) -> bool:
        """Whether the rowid lies between the bounds."""
        return (self.above is None or rowid > self.above) and (
            self.up_to is None or rowid <= self.up_to
        )


class Record(msgspec.Struct, frozen=True):
    """The values of a payload, in stored order.

    missing: how many values at the end cannot be read.  is_cut: the last value is the beginning of a text.
    is_garbled: a text holds invalid bytes; they are replaced by U+FFFD.
    """

    values: list[Value]
    missing: int
    is_cut: bool
    is_garbled: bool


class Claims:
    """Which pages are in use: each page belongs to at most one tree, overflow chain or list."""

    def __init__(self, page_count: int) -> None:
        self._claimed = bytearray(page_count + 1)

    def claim(self, number: int) -> bool:
        """Claims a page. False: it does not exist, or is claimed already."""
        if not 1 <= number < len(self._claimed) or self._claimed[number]:
            return False
        self._claimed[number] = 1
        return True

    def is_claimed(self, number: int) -> bool:
        """Whether the page is claimed."""
        return bool(self._claimed[number])

    def release(self, number: int) -> None:
        """Takes the claim on a page back."""
        self._claimed[number] = 0

    def unclaimed(self) -> Iterator[int]:
        """The numbers of the unclaimed pages, rising."""
        return (number for number in range(1, len(self._claimed)) if not self._claimed[number])


class PageFile:
    """The pages of a file that no process changes meanwhile, and the plausible values of its header.
    The caller closes it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.file_bytes = os.fstat(self._descriptor).st_size
        header = self._read(0, _HEADER_BYTES).ljust(_HEADER_BYTES, b"\0")
        self.has_header = (
            header.startswith(_MAGIC)
            and _is_page_size(_page_size_of(header))
            and header[18:20] in (b"\1\1", b"\2\2")
            and header[21:24] == _FRACTIONS
        )
        self.page_size = _page_size_of(header) if self.has_header else self._guess_page_size()
        reserved = header[20] if self.has_header and header[20] <= self.page_size - 480 else 0
        self.usable_bytes = self.page_size - reserved
        self.page_count = -(-self.file_bytes // self.page_size)
        self.encoding = _ENCODINGS.get(_u32(header, 56) if self.has_header else 1, "utf-8")
        self.user_version, self.application_id = (
            (_u32(header, 60), _u32(header, 68)) if self.has_header else (0, 0)
        )
        self._first_free, self._free_pages = (
            (_u32(header, 32), _u32(header, 36)) if self.has_header else (0, 0)
        )
        self._has_pointer_map = self.has_header and _u32(header, 52) != 0

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)

    def _read(self, offset: int, size: int) -> bytes:
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        return os.read(self._descriptor, size)

    def _guess_page_size(self) -> int:
        """The page size with which most pages account for all their bytes."""

        def whole(size: int) -> int:
            numbers = range(1, min(_SAMPLE_PAGES, self.file_bytes // size))
            pages = (self._read(number * size, size) for number in numbers)
            return sum(
                page[0] in (TABLE_LEAF, INDEX_LEAF)
                and (found := parse(number + 1, page, size)) is not None
                and found.is_whole
                and bool(found.cells)
                for number, page in zip(numbers, pages, strict=True)
            )

        return max(_PAGE_SIZES, key=whole)

    def bytes_of(self, number: int) -> bytes | None:
        """The bytes of a page; None if the file ends before the page does."""
        if not 1 <= number <= self.page_count:
            return None
        data = self._read((number - 1) * self.page_size, self.page_size)
        return data if len(data) == self.page_size else None

    def page(self, number: int) -> Page | None:
        """The page with this number, if it belongs to a b-tree; else None."""
        data = self.bytes_of(number)
        return None if data is None else parse(number, data, self.usable_bytes)

    def claims(self) -> Claims:
        """A new set of claims, without any page."""
        return Claims(self.page_count)

    def claim_pages_without_rows(self, claims: Claims) -> bool:
        """Claims free pages, and the pages that SQLite uses itself. False: the list of free pages is
        damaged, so a page of deleted rows may look like a lost page."""
        claims.claim(_LOCK_BYTE // self.page_size + 1)
        if self._has_pointer_map:
            for number in range(2, self.page_count + 1, self.usable_bytes // 5 + 1):  # 1.8
                claims.claim(number)
        trunk, found = self._first_free, 0
        while trunk and claims.claim(trunk):  # 1.5
            data = self.bytes_of(trunk) or b""
            leaves = _u32(data, 4) if data else self.usable_bytes
            if leaves > self.usable_bytes // 4 - 2:
                claims.release(trunk)
                return False
            found += 1 + leaves
            for number in struct.unpack_from(f">{leaves}I", data, 8):
                claims.claim(number)
            trunk = _u32(data, 0)
        return self.has_header and trunk == 0 and found == self._free_pages

    def walk(self, root: int, claims: Claims, *, is_index: bool) -> Iterator[Page | Gap]:
        """The pages of a tree with rows or entries on them, in order, with its gaps.

        Args:
            root: the number of the root page.
            claims: gets the pages of the tree; a page that is claimed already is a gap.
            is_index: whether the tree is an index, or a table without rowid.

        Returns:
            The pages and gaps, in the order of the keys.
        """
        leaf, interior = (INDEX_LEAF, INDEX_INTERIOR) if is_index else (TABLE_LEAF, TABLE_INTERIOR)
        everything = Gap(root, None, None)
        waiting = [(everything, everything, 0)]
        while waiting:
            place, parent, level = waiting.pop()
            page = self.page(place.page)
            if page is None or page.kind not in (leaf, interior) or level > _MOST_LEVELS:
                yield place
                continue
            if page.kind == TABLE_LEAF:
                page = _within(page, place)
                if page is None:
                    # The page belongs to another tree, or the keys of its parent are damaged.
                    yield msgspec.structs.replace(parent, page=place.page)
                    continue
            if not claims.claim(place.page):
                yield place
                continue
            below, last = [], place.above
            for child, key in page.children:
                bound = place.up_to if key is None else key
                below.append((Gap(child, last, bound), place, level + 1))
                last = bound
            if page.lost_cells and page.children:
                yield place  # the number of its lost children is unknown
            waiting.extend(reversed(below))
            if page.cells or (page.lost_cells and page.kind != TABLE_INTERIOR):
                yield page

    def payload(self, page: Page, cell: Cell, claims: Claims) -> bytes:
        """The payload of a cell, or the trustworthy part at its beginning.

        Args:
            page: the page of the cell.
            cell: the cell.
            claims: gets the overflow pages.

        Returns:
            The bytes; fewer than cell says when an overflow page is damaged or belongs to another cell.
        """
        data = page.data[cell.start : cell.start + cell.local_bytes]
        if not cell.overflow:
            return data
        parts, missing = [data], cell.payload_bytes - len(data)
        number, claimed = cell.overflow, []
        while missing:
            content = self.bytes_of(number)
            if content is None or not claims.claim(number):
                break
            claimed.append(number)
            part = content[4 : min(4 + missing, self.usable_bytes)]
            following = _u32(content, 0)
            missing -= len(part)
            if (following == 0) != (missing == 0) or following > self.page_count:
                missing += len(part)  # this is no overflow page, so its bytes are not trusted
                break
            parts.append(part)
            number = following
        if missing:
            for number in claimed:
                claims.release(number)
        return b"".join(parts)

    def record(self, page: Page, cell: Cell, claims: Claims) -> Record | None:
        """The values of a cell.

        Args:
            page: the page of the cell.
            cell: the cell.
            claims: gets the overflow pages.

        Returns:
            The record; None when the payload is no record.
        """
        return decode(self.payload(page, cell, claims), cell.payload_bytes, self.encoding)


def write_header(path: Path, page_size: int) -> None:
    """Gives a file a header that SQLite accepts (1.3): UTF-8, no free pages, of no application."""
    pages = -(-path.stat().st_size // page_size)
    header = bytearray(_HEADER_BYTES)
    header[:24] = _MAGIC + struct.pack(">HBBB", page_size & 0xFFFF or 1, 1, 1, 0) + _FRACTIONS
    for place, value in ((24, 1), (28, pages), (40, 1), (44, 4), (56, 1), (92, 1), (96, 3040000)):
        header[place : place + 4] = value.to_bytes(4, "big")
    with path.open("r+b") as file:
        file.write(header)


def write_rollback_mode(path: Path) -> None:
    """Marks a file as one without a write-ahead log, once its log is merged."""
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\1\1")


def page_size_of_log(path: Path) -> int | None:
    """The page size in the header of a write-ahead log (4.1); None if there is no valid log."""
    try:
        with path.open("rb") as file:
            size = _u32(file.read(12).ljust(12, b"\0"), 8)
    except FileNotFoundError:
        return None
    return size if _is_page_size(size) else None


def _is_page_size(size: int) -> bool:
    return 512 <= size <= 65536 and size & (size - 1) == 0


def _page_size_of(header: bytes) -> int:
    (size,) = struct.unpack_from(">H", header, 16)
    return 65536 if size == 1 else int(size)


def _u32(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "big")


def parse(number: int, data: bytes, usable_bytes: int) -> Page | None:
    """Parses a page of a b-tree (1.6).

    Args:
        number: its number, from 1.
        data: its bytes.
        usable_bytes: the page size without the reserved bytes at its end.

    Returns:
        The page; None when the bytes cannot be a page of a b-tree.
    """
    start = _HEADER_BYTES if number == 1 else 0
    kind = data[start]
    if kind not in (TABLE_LEAF, TABLE_INTERIOR, INDEX_LEAF, INDEX_INTERIOR):
        return None
    freeblock, count, content = struct.unpack_from(">HHH", data, start + 1)
    is_interior = kind in (TABLE_INTERIOR, INDEX_INTERIOR)
    pointers = start + (12 if is_interior else 8)
    first_content = pointers + 2 * count
    if first_content > usable_bytes or (content or 65536) > usable_bytes:
        return None
    cells: list[Cell] = []
    children: list[tuple[int, int | None]] = []
    used, lost = 0, 0
    for at in struct.unpack_from(f">{count}H", data, pointers):
        cell, child, size = _cell(data, at, kind, usable_bytes) if at >= first_content else _NO_CELL
        # No tree has page 0: on a torn page the pointers outlive their cells, whose bytes are zero.
        if size == 0 or at + size > usable_bytes or (is_interior and child == 0):
            lost += 1
            continue
        used += size
        if is_interior:
            children.append((child, cell.rowid if kind == TABLE_INTERIOR else None))
        if kind != TABLE_INTERIOR:
            cells.append(cell)
    if is_interior:
        children.append((_u32(data, start + 8), None))
    # Each byte behind the pointers is unused, in a cell, in a free block or in a fragment.
    free = _free_bytes(data, freeblock, usable_bytes)
    gap = (content or 65536) - first_content
    is_whole = not lost and first_content + gap + used + free + data[start + 7] == usable_bytes
    if kind == TABLE_LEAF:
        cells, disordered = _in_order(cells)
        lost += disordered
        is_whole = is_whole and not disordered
    return Page(number, kind, data, cells, lost, children, is_whole)


def _free_bytes(data: bytes, freeblock: int, usable_bytes: int) -> int:
    total = 0
    while freeblock:
        if freeblock + 4 > usable_bytes:
            return -1
        following, size = struct.unpack_from(">HH", data, freeblock)
        if following and following < freeblock + size:
            return -1
        total += size
        freeblock = following
    return total


_NO_CELL = (Cell(0, 0, 0, 0, 0), 0, 0)


def _cell(data: bytes, at: int, kind: int, usable_bytes: int) -> tuple[Cell, int, int]:
    """A cell, its left child, and its length on the page; length 0: these bytes cannot be a cell."""
    start, child, rowid = at, 0, 0
    try:
        if kind in (TABLE_INTERIOR, INDEX_INTERIOR):
            child = _u32(data, at)
            start += 4
        if kind == TABLE_INTERIOR:
            rowid, start = _varint(data, start)
            return Cell(_signed(rowid), 0, start, 0, 0), child, start - at
        size, start = _varint(data, start)
        if kind == TABLE_LEAF:
            rowid, start = _varint(data, start)
    except IndexError:
        return _NO_CELL
    # The bytes of the payload on the page itself (1.6, "the amount of payload that spills").
    most = usable_bytes - 35 if kind == TABLE_LEAF else (usable_bytes - 12) * 64 // 255 - 23
    local = size
    if size > most:
        least = (usable_bytes - 12) * 32 // 255 - 23
        local = least + (size - least) % (usable_bytes - 4)
        if local > most:
            local = least
    end = start + local + (4 if size > local else 0)
    if end > usable_bytes or size > 0x7FFFFFFF:
        return _NO_CELL
    overflow = _u32(data, end - 4) if size > local else 0
    if size > local and not overflow:
        return _NO_CELL
    return Cell(_signed(rowid), size, start, local, overflow), child, max(end - at, 4)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer and where it ends (1.6)."""
    value = data[at]
    if value < 0x80:
        return value, at + 1
    value &= 0x7F
    for offset in range(1, 8):
        byte = data[at + offset]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + offset + 1
    return value << 8 | data[at + 8], at + 9


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _in_order(cells: list[Cell]) -> tuple[list[Cell], int]:
    """The longest rising run of rowids, and the number of cells outside it: their rowids are damaged."""
    rowids = [cell.rowid for cell in cells]
    if all(left < right for left, right in pairwise(rowids)):
        return cells, 0
    # The classic: ends[n] is the smallest rowid that ends a rising run of n + 1 cells.
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for place, rowid in enumerate(rowids):
        length = bisect_left(ends, rowid)
        before.append(last[length - 1] if length else -1)
        ends[length : length + 1] = [rowid]
        last[length : length + 1] = [place]
    kept: list[Cell] = []
    place = last[-1]
    while place >= 0:
        kept.append(cells[place])
        place = before[place]
    kept.reverse()
    return kept, len(cells) - len(kept)


def _within(page: Page, place: Gap) -> Page | None:
    """The page without the cells with rowids out of its parent's bounds; None if all of them are.

    A whole page is trusted more than its parent when some, but not all, of its rows are out of bounds.
    """
    cells = [cell for cell in page.cells if place.holds(cell.rowid)]
    if len(cells) == len(page.cells) or (cells and page.is_whole):
        return page
    if not cells:
        return None
    lost = page.lost_cells + len(page.cells) - len(cells)
    return msgspec.structs.replace(page, cells=cells, lost_cells=lost, is_whole=False)


# The bytes of a value by its serial type (2.1); -1: there is no such type.
_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, -1, -1)


def decode(payload: bytes, payload_bytes: int, encoding: str) -> Record | None:
    """Decodes a record (2.1).

    Args:
        payload: all of its bytes, or a beginning.
        payload_bytes: the length of the whole payload.
        encoding: the text encoding of the file.

    Returns:
        The values; None when the payload cannot be a record.
    """
    kinds: Sequence[int]
    try:
        header_bytes, at = _varint(payload, 0)
        if header_bytes > payload_bytes:
            return None
        kinds = payload[at:header_bytes]
        if at + len(kinds) != header_bytes or (kinds and max(kinds) >= 0x80):
            kinds = []
            while at < header_bytes:
                kind, at = _varint(payload, at)
                kinds.append(kind)
            if at != header_bytes:
                return None
    except IndexError:
        return None
    at = header_bytes
    sizes = [_SIZES[kind] if kind < 12 else (kind - 12) >> 1 for kind in kinds]
    if -1 in sizes or at + sum(sizes) != payload_bytes:
        return None
    values: list[Value] = []
    is_garbled = False
    for kind, size in zip(kinds, sizes, strict=True):
        content = payload[at : at + size]
        is_text = kind >= 13 and bool(kind & 1)
        if len(content) < size:  # the rest is missing
            is_cut = is_text and bool(content)
            if is_cut:
                values.append(content.decode(encoding, "ignore"))
            return Record(values, len(kinds) - len(values), is_cut, is_garbled)
        if is_text:
            try:
                values.append(content.decode(encoding))
            except UnicodeDecodeError:
                values.append(content.decode(encoding, "replace"))
                is_garbled = True
        else:
            values.append(_value(kind, content))
        at += size
    return Record(values, 0, False, is_garbled)


def _value(kind: int, content: bytes) -> Value:
    if kind == 0:
        return None
    if kind < 7:
        return int.from_bytes(content, "big", signed=True)
    if kind == 7:
        (number,) = struct.unpack(">d", content)
        return float(number)
    return kind - 8 if kind < 10 else content
