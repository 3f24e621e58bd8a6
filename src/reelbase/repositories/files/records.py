"""What the file repository takes and returns."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict
from uuid import UUID

import msgspec
from msgspec import UnsetType

from reelbase.engine.file_names import FileName


class File(msgspec.Struct, frozen=True):
    """A media file. path is where its bytes are, size_bytes and content_hash what they are.

    folder: label of files that came in together.  source_file_id: what it was made from.
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
    """What files.update() can change."""

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


class NewFile(msgspec.Struct, frozen=True):
    """A file to be added; the fields are those of File."""

    name: FileName
    path: FileName
    type: str | None = None
    folder: FileName | None = None
    id: UUID | str | None = None
    source_file_id: UUID | str | None = None
    origin: str | None = None
    size_bytes: int | None = None
    content_type: str | None = None
    content_hash: str | None = None
    source_url: str | None = None
