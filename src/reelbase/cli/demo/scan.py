"""From a folder to the files in it that can be stored and read."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from reelbase.cli.demo.kinds import kind_of
from reelbase.cli.demo.subtitles import has_cues

_SKIPPED_FOLDERS: Final = frozenset({"__pycache__", "node_modules"})
_SIDE_FILES: Final = ("", "-wal", "-shm", "-journal", "-turn")
_LANGUAGE: Final = re.compile(r"\.[A-Za-z]{2,3}(-[A-Za-z]{2,4})?")  # of talk.en.srt, talk.pt-BR.vtt


class Entry(NamedTuple):
    """A regular file. folder: its folder below the scanned one, "." for that itself.

    media: of a subtitle file, the path of the video or audio file beside it.
    """

    path: str
    name: str
    folder: str
    size_bytes: int
    version: str
    media: str | None = None


@dataclass
class Skipped:
    """How much a scan left out, and why."""

    hidden_folders: int = 0  # and caches, virtual environments, node_modules
    links: int = 0
    special_files: int = 0  # sockets, pipes, devices
    unreadable: int = 0
    odd_names: int = 0  # no valid Unicode, so that no column can hold them
    database_files: int = 0


def version_of(status: os.stat_result) -> str:
    """Differs when the file was written since, even if its size and its modification time were put back."""
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


class DatabaseFiles:
    """The open database and the files beside it, which SQLite and the library keep.

    This process must not open them: closing any descriptor of theirs would drop SQLite's locks
    (sqlite.org/howtocorrupt.html, 2.2).
    """

    def __init__(self, database: Path) -> None:
        real = os.path.realpath(database)
        self._paths = {real + suffix for suffix in _SIDE_FILES}
        self._identities: set[tuple[int, int]] = set()
        for path in self._paths:
            with contextlib.suppress(OSError):
                status = os.stat(path)
                self._identities.add((status.st_dev, status.st_ino))

    def include(self, path: str, status: os.stat_result) -> bool:
        """Whether the path, or the file behind it, belongs to the database."""
        return path in self._paths or (status.st_dev, status.st_ino) in self._identities


def scan(root: str, database_files: DatabaseFiles, skipped: Skipped) -> Iterator[Entry]:
    """The files below root, each after its media file and otherwise in no particular order; skipped is
    counted up on the way.

    It blocks, follows no links, and holds the files of one folder and the names of folders still to come.
    """
    waiting = [(root, ".")]
    while waiting:
        folder_path, folder = waiting.pop()
        entries: list[Entry] = []
        try:
            with os.scandir(folder_path) as items:
                for item in items:
                    label = item.name if folder == "." else f"{folder}/{item.name}"
                    if not is_unicode(item.name):
                        skipped.odd_names += 1
                    elif item.is_symlink():
                        skipped.links += 1
                    elif item.is_dir(follow_symlinks=False):
                        if _is_skipped(item):
                            skipped.hidden_folders += 1
                        else:
                            waiting.append((item.path, label))
                    elif entry := _entry(item, folder, database_files, skipped):
                        entries.append(entry)
        except OSError:
            skipped.unreadable += 1
        yield from _with_media(entries)


def _with_media(entries: Sequence[Entry]) -> list[Entry]:
    """The files of one folder, subtitles last and with the media file that they belong to:
    the one of the same name, but for the suffix and a language; rather a video than a sound.
    """
    media: dict[str, Entry] = {}
    subtitles: list[Entry] = []
    others: list[Entry] = []
    for entry in sorted(entries, key=lambda entry: entry.name):
        if has_cues(entry.name):
            subtitles.append(entry)
            continue
        others.append(entry)
        kind, _ = kind_of(entry.name)
        stem = os.path.splitext(entry.name)[0]
        if kind == "video" and (stem not in media or kind_of(media[stem].name)[0] == "audio"):
            media[stem] = entry
        elif kind == "audio":
            media.setdefault(stem, entry)
    return others + [_beside(entry, media) for entry in subtitles]


def _beside(subtitles: Entry, media: Mapping[str, Entry]) -> Entry:
    stem = os.path.splitext(subtitles.name)[0]
    without_language, language = os.path.splitext(stem)
    found = media.get(stem)
    if found is None and _LANGUAGE.fullmatch(language):
        found = media.get(without_language)
    return subtitles._replace(media=found.path if found else None)


def _entry(
    item: os.DirEntry[str], folder: str, database_files: DatabaseFiles, skipped: Skipped
) -> Entry | None:
    try:
        status = item.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None  # deleted since the folder was read
    except OSError:
        skipped.unreadable += 1
        return None
    if not stat.S_ISREG(status.st_mode):
        skipped.special_files += 1
    elif database_files.include(item.path, status):
        skipped.database_files += 1
    elif not os.access(item.path, os.R_OK):
        skipped.unreadable += 1
    else:
        return Entry(item.path, item.name, folder, status.st_size, version_of(status))
    return None


def _is_skipped(folder: os.DirEntry[str]) -> bool:
    return (
        folder.name.startswith(".")
        or folder.name in _SKIPPED_FOLDERS
        or os.path.exists(os.path.join(folder.path, "pyvenv.cfg"))
    )


def is_unicode(name: str) -> bool:
    """False for names with bytes that Python could only smuggle through as surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
