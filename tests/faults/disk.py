"""A disk that loses its power: what a recorded process had written, as it may be found afterwards.

What is safe is what a sync has made so: the data of a file by a sync of the file, names by a sync of
their folder. Of the rest, names come and go in order up to some point, and of data each sector
is there, is not, or is garbage. Only shared memory (-shm) never outlives a power cut.
"""

from __future__ import annotations

import hashlib
import os
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

SECTOR_BYTES = 512
MARKS = "marks"  # the file of the recorded folder that holds no data but the marks of the workload

_OPEN, _CLOSE, _WRITE, _TRUNCATE, _SYNC, _UNLINK, _RENAME, _, _LINK = range(1, 10)  # as in shim.c
_HEAD = struct.Struct("<5q")


class Event(NamedTuple):
    operation: int
    descriptor: int
    offset: int
    length: int
    data: bytes


def recorded(log: Path) -> list[Event]:
    """What the shim has written into its log."""
    content = log.read_bytes()
    events = []
    position = 0
    while position < len(content):
        operation, descriptor, offset, length, following = _HEAD.unpack_from(content, position)
        position += _HEAD.size
        data = content[position : position + following]
        events.append(Event(operation, descriptor, offset, length, data))
        position += following
    return events


def without_syncs_of(events: list[Event], suffix: str) -> Iterator[Event]:
    """The recording of a process that did not sync the files whose names end so."""
    names: dict[int, str] = {}
    for event in events:
        if event.operation == _OPEN:
            names[event.descriptor] = event.data.decode()
        if event.operation != _SYNC or not names[event.descriptor].endswith(suffix):
            yield event


@dataclass(eq=False)
class File:
    safe: bytes = b""
    unsafe: list[Event] = field(default_factory=list)

    def sync(self) -> None:
        self.safe = self.with_everything()
        self.unsafe = []

    def with_everything(self) -> bytes:
        content = bytearray(self.safe)
        for event in self.unsafe:
            _apply(content, event)
        return bytes(content)

    def with_some(self, choose: random.Random) -> bytes:
        """Each unsafe sector is kept, dropped or garbled; the size may be there without its data."""
        content = bytearray(self.safe)
        kept = choose.choice((0.1, 0.5, 0.9, 0.98))
        garbled = choose.choice((0.0, 0.0, 0.05, 0.3))
        for event in self.unsafe:
            if event.operation == _TRUNCATE:
                if choose.random() < kept:
                    _apply(content, event)
                continue
            position, end = event.offset, event.offset + event.length
            while position < end:
                until = min(end, position - position % SECTOR_BYTES + SECTOR_BYTES)
                dice = choose.random()
                if dice < kept:
                    piece = event.data[position - event.offset : until - event.offset]
                    _put(content, position, piece)
                elif dice < kept + garbled:
                    _put(content, position, choose.randbytes(until - position))
                elif choose.random() < 0.2 and until > len(content):
                    content.extend(bytes(until - len(content)))
                position = until
        return bytes(content)


def _apply(content: bytearray, event: Event) -> None:
    if event.operation == _WRITE:
        _put(content, event.offset, event.data)
    elif event.length < len(content):
        del content[event.length :]
    else:
        content.extend(bytes(event.length - len(content)))


def _put(content: bytearray, position: int, data: bytes) -> None:
    if position > len(content):
        content.extend(bytes(position - len(content)))
    content[position : position + len(data)] = data


Image = dict[str, bytes]
Names = dict[str, File]


class Disk:
    """The folder that was recorded, replayed event by event."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._safe_names: Names = {}
        self._unsafe_names: list[Names] = []  # the folder after each change since its last sync
        self._open: dict[int, tuple[str, File | None]] = {}
        self.marks: list[str] = []  # lines, as they come
        self.last_syncs: dict[str, int] = {}  # the moment of each file's last

    @property
    def _names(self) -> Names:
        return self._unsafe_names[-1] if self._unsafe_names else self._safe_names

    def replay(self, events: list[Event]) -> Iterator[int]:
        """The moments after each event that could change what a power cut leaves."""
        for moment, event in enumerate(events):
            if self._happens(moment, event):
                yield moment

    def _happens(self, moment: int, event: Event) -> bool:
        operation, descriptor, *_ = event
        if operation == _OPEN:
            self._opens(event)
        elif operation == _CLOSE:
            del self._open[descriptor]
            return False
        elif operation == _UNLINK:
            self._changes_names({os.path.basename(event.data.decode()): None})
        elif operation in (_RENAME, _LINK):
            old, new = (os.path.basename(name) for name in event.data.decode().split("\0"))
            named = self._names[old]
            self._changes_names({new: named, old: named if operation == _LINK else None})
        else:
            name, file = self._open[descriptor]
            if name == MARKS:
                self.marks += event.data.decode().split("\n")[:-1]
                return True  # what was acknowledged must be safe now, before anything else happens
            if name.endswith("-shm"):
                return False
            if operation != _SYNC:
                assert file is not None
                file.unsafe.append(event)
            elif file is None:
                self._safe_names, self._unsafe_names = self._names, []
            else:
                file.sync()
                self.last_syncs[name] = moment
        return True

    def _opens(self, event: Event) -> None:
        path, flags = event.data.decode(), event.offset
        name = os.path.basename(path)
        if path == self._folder:
            self._open[event.descriptor] = (name, None)
            return
        if name not in self._names:
            assert flags & os.O_CREAT, path
            self._changes_names({name: File()})
        assert not flags & os.O_TRUNC, path
        self._open[event.descriptor] = (name, self._names[name])

    def _changes_names(self, changes: dict[str, File | None]) -> None:
        names = self._names | changes
        self._unsafe_names.append({name: file for name, file in names.items() if file is not None})

    def images(self, choose: random.Random, count: int) -> Iterator[Image]:
        """What may be found after a power cut now: the least, the most, and some in between."""
        yield {name: file.safe for name, file in _data(self._safe_names)}
        yield {name: file.with_everything() for name, file in _data(self._names)}
        for _ in range(count - 2):
            names = choose.choice([self._safe_names, *self._unsafe_names])
            yield {name: file.with_some(choose) for name, file in _data(names)}


def _data(names: Names) -> list[tuple[str, File]]:
    return [
        (name, file) for name, file in names.items() if name != MARKS and not name.endswith("-shm")
    ]


def identity(image: Image) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(image):
        digest.update(f"{name} {len(image[name])} ".encode())
        digest.update(image[name])
    return digest.digest()


def write_image(image: Image, folder: Path) -> None:
    """Makes the image all that is in the folder."""
    for old in os.scandir(folder):
        os.unlink(old)
    for name, content in image.items():
        with open(folder / name, "wb", buffering=0) as file:
            file.write(content)
