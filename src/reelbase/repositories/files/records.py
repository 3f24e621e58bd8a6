"""The records of files, their changes, filters and orders."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Literal, TypedDict
from uuid import UUID

from msgspec import UnsetType

from reelbase.engine.file_names import FileName
from reelbase.engine.ids import IdLike
from reelbase.engine.record import Record
from reelbase.repositories.file_processing import FileStatus, FileStatusLike


class File(Record, frozen=True):
    """A media file. path: where its bytes are.  size_bytes, content_hash: of its bytes.

    folder: the label of files that were added together.  source_file_id: the file that it was made from.
    """

    id: UUID
    profile_id: str
    name: FileName
    path: FileName
    type: str | None
    folder: FileName | None
    source_file_id: UUID | None
    origin: str | None
    size_bytes: int | None
    content_type: str | None
    content_hash: str | None
    source_url: str | None
    created_at: datetime


class FileChanges(TypedDict, total=False):
    """The fields that files.update() can change."""

    name: str | UnsetType
    path: str | UnsetType
    type: str | UnsetType | None
    folder: str | UnsetType | None
    source_file_id: UUID | str | UnsetType | None
    origin: str | UnsetType | None
    size_bytes: int | UnsetType | None
    content_type: str | UnsetType | None
    content_hash: str | UnsetType | None
    source_url: str | UnsetType | None


class NewFile(Record, frozen=True):
    """A file to be added, with the fields of File."""

    name: FileName
    path: FileName
    type: str | None = None
    folder: FileName | None = None
    id: IdLike | None = None
    source_file_id: IdLike | None = None
    origin: str | None = None
    size_bytes: int | None = None
    content_type: str | None = None
    content_hash: str | None = None
    source_url: str | None = None


class FileOrder(StrEnum):
    """The order of the files in a page.

    a_to_z and z_to_a go by the name, and the case of ASCII letters does not count. An unknown size or length
    is less than any known one. Files that are alike come in the order of their ids.
    """

    NEWEST = "newest"
    OLDEST = "oldest"
    A_TO_Z = "a_to_z"
    Z_TO_A = "z_to_a"
    SMALLEST = "smallest"
    LARGEST = "largest"
    SHORTEST = "shortest"
    LONGEST = "longest"


FileOrderLike = (
    FileOrder
    | Literal["newest", "oldest", "a_to_z", "z_to_a", "smallest", "largest", "shortest", "longest"]
)


class FileFilters(TypedDict, total=False):
    """Filters of page(), cards() and count() for a profile's files, which have to pass every filter given.

    tags: files with all of these tags, compared as in tags.ensure().  type: files of this type; None: any.
    folder: files in this folder; None: files without a folder; UNSET: any.  status: files with this
    processing status; None: any file, also one without a status.  speaker: files with a speaker of this
    display_name; None: any.  collection_id: files in this collection; None: any.

    search: files with this substring in the name, in any case, composed or not, in full or half width; ``%``
    and ``_`` are ordinary characters. None: any name.

    since, until: files that were added at or after the one, and before the other time.  min_size, max_size:
    the size in bytes, both included; no file of unknown size.  min_length, max_length: the duration of
    media_info in seconds, likewise.  None: no such limit.
    """

    tags: Iterable[str]
    type: str | None
    folder: str | UnsetType | None
    status: FileStatusLike | None
    speaker: str | None
    collection_id: int | None
    search: str | None
    since: datetime | None
    until: datetime | None
    min_size: int | None
    max_size: int | None
    min_length: float | None
    max_length: float | None


class FileCard(Record, frozen=True):
    """A file with the details that a gallery shows.

    title: of media_info.  length: its duration in seconds.  status: of file_processing.  tags: the names, in
    the order of tags.for_file().  speakers: the names that a person has given, each once, in the order of
    their code points.  None, and an empty list: there is none.
    """

    file: File
    title: str | None
    length: float | None
    status: FileStatus | None
    tags: list[str]
    speakers: list[str]
