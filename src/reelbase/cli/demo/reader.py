"""The content of a file: its size, its hash and its text. It blocks, so it belongs in a thread."""

from __future__ import annotations

import hashlib
import os
import stat
import threading

import msgspec

from reelbase import File, NewSegment
from reelbase.cli.demo.kinds import may_have_text
from reelbase.cli.demo.scan import DatabaseFiles, version_of
from reelbase.cli.demo.subtitles import SubtitleError, has_cues, read_cues

_CHUNK_BYTES = 1 << 20
TEXT_LIMIT_BYTES = 8 << 20  # a longer text gets no transcript

# A file may have become a pipe since it was found: opening that must not wait for a writer.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
_OPEN_FLAGS |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class Content(msgspec.Struct, frozen=True):
    """text: None when the file is no text or too long.  version: the file's when reading began.

    segments: of subtitles; their text is that of the cues.  problem: why they cannot be read.
    """

    size_bytes: int
    sha256: str
    version: str
    text: str | None = None
    segments: list[NewSegment] | None = None
    problem: str | None = None


class Unread(msgspec.Struct, frozen=True):
    """Why a file could not be read. code: missing, unreadable or stopped."""

    code: str
    reason: str


_STOPPED = Unread("stopped", "the demo was stopped")


class Reader:
    """Reads files on threads, until it is stopped."""

    def __init__(self, database_files: DatabaseFiles) -> None:
        self._database_files = database_files
        self._stopped = threading.Event()
        self.bytes_read = 0  # of all threads together, for show

    def stop(self) -> None:
        """A read that is going on ends as Unread, soon."""
        self._stopped.set()

    def read(self, file: File) -> Content | Unread:
        """The content of a file, or why it could not be read."""
        if self._stopped.is_set():
            return _STOPPED
        try:
            status = os.lstat(file.path)
            if not stat.S_ISREG(status.st_mode) or self._database_files.include(file.path, status):
                return Unread("unreadable", "it is no regular file any more")
            descriptor = os.open(file.path, _OPEN_FLAGS)
            try:
                return self._read(descriptor, file)
            finally:
                os.close(descriptor)
        except (FileNotFoundError, NotADirectoryError):
            return Unread("missing", "it is not there any more")
        except OSError as error:
            return Unread("unreadable", error.strerror or str(error))

    def _read(self, descriptor: int, file: File) -> Content | Unread:
        version = version_of(os.fstat(descriptor))
        size_bytes = 0
        hasher = hashlib.sha256()
        kept = bytearray()
        is_kept = may_have_text(file.type)
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            if self._stopped.is_set():
                return _STOPPED
            size_bytes += len(chunk)
            self.bytes_read += len(chunk)
            hasher.update(chunk)
            is_kept = is_kept and size_bytes <= TEXT_LIMIT_BYTES
            if is_kept:
                kept += chunk
        content = Content(size_bytes, hasher.hexdigest(), version)
        if not is_kept:
            return content
        return _with_cues(content, kept) if has_cues(file.name) else _with_text(content, kept)


def _with_text(content: Content, kept: bytearray) -> Content:
    try:
        return msgspec.structs.replace(content, text=kept.decode())
    except UnicodeDecodeError:
        return content


def _with_cues(content: Content, kept: bytearray) -> Content:
    try:
        segments = read_cues(kept)
    except SubtitleError as error:
        return msgspec.structs.replace(content, problem=str(error))
    text = "\n".join(segment.text for segment in segments)
    return msgspec.structs.replace(content, text=text, segments=segments)
