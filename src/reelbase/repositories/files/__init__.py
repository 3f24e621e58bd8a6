"""Files: what a profile's media are called, where they are and where they came from."""

from __future__ import annotations

from reelbase.repositories.files.changing import FileChanging
from reelbase.repositories.files.records import File, FileChanges, NewFile


class FileRepository(FileChanging):
    """The files of profiles, table ``files``: rows about media whose bytes lie elsewhere. Deleting one
    deletes what was made of it: transcripts, clips, speakers, summaries, media info, status, links to tags.
    """


__all__ = ["File", "FileChanges", "FileRepository", "NewFile"]
