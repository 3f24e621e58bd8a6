"""Files: the names, paths and origins of a profile's media."""

from __future__ import annotations

from reelbase.repositories.files.changes import FileAdditions
from reelbase.repositories.files.pages import FilePages
from reelbase.repositories.files.records import (
    File,
    FileCard,
    FileChanges,
    FileFilters,
    FileOrder,
    FileOrderLike,
    NewFile,
)


class FileRepository(FileAdditions, FilePages):
    """The files of profiles, table ``files``: rows about media; the bytes are not in the database. Deleting a
    file deletes its transcripts, clips, speakers, summaries, media info, status and links to tags.
    """


__all__ = [
    "File",
    "FileCard",
    "FileChanges",
    "FileFilters",
    "FileOrder",
    "FileOrderLike",
    "FileRepository",
    "NewFile",
]
