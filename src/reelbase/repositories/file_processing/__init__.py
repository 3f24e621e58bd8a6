"""File processing: how far each file is, what failed and how often, and what to try again."""

from __future__ import annotations

from reelbase.repositories.file_processing.records import (
    FileProcessing,
    FileStatus,
    FileStatusLike,
)
from reelbase.repositories.file_processing.recovery import FileProcessingRecovery


class FileProcessingRepository(FileProcessingRecovery):
    """A file's status; the modules beside this one hold it by behaviour."""


__all__ = ["FileProcessing", "FileProcessingRepository", "FileStatus", "FileStatusLike"]
