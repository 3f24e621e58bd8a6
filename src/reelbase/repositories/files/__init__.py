"""Files: what a profile's media are called, where they are and where they came from."""

from __future__ import annotations

from reelbase.repositories.files.changing import FileChanging
from reelbase.repositories.files.records import File, FileChanges, NewFile


class FileRepository(FileChanging):
    """Everything that can be done with files; the modules beside this one hold it by behaviour."""


__all__ = ["File", "FileChanges", "FileRepository", "NewFile"]
