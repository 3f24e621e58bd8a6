"""File processing: how far each file is, what failed and how often, and what to try again.

What each verb makes of each state. download is start(downloading=True), request is request_cancel();
retry and recover are those of a file with retries left (else retry is refused, and recover makes what
was being worked on orphaned), recover is recover_stuck() of what shows no sign of life any more. A dash:
InvalidTransitionError; of recover, left alone.

    state         enqueue       download      start         progress      complete
    pending       queued        downloading   processing    -             -
    queued        queued        downloading   processing    -             -
    downloading   -             downloading   processing    downloading   completed
    processing    -             -             processing    processing    completed
    cancelling    -             -             -             -             -
    completed     queued        -             -             -             -
    error         queued        -             -             -             -
    cancelled     queued        -             -             -             -
    orphaned      queued        -             -             -             -

    state         fail          request       cancel        retry         recover
    pending       error         cancelling    cancelled     -             pending
    queued        error         cancelling    cancelled     -             pending
    downloading   error         cancelling    cancelled     -             pending
    processing    error         cancelling    cancelled     -             pending
    cancelling    error         cancelling    cancelled     -             cancelled
    completed     -             -             -             -             -
    error         -             -             -             pending       -
    cancelled     -             -             cancelled     pending       -
    orphaned      -             -             -             pending       -
"""

from __future__ import annotations

from reelbase.repositories.file_processing.records import (
    FileProcessing,
    FileStatus,
    FileStatusLike,
)
from reelbase.repositories.file_processing.recovery import FileProcessingRecovery


class FileProcessingRepository(FileProcessingRecovery):
    """How far files are, table ``file_processing``: a row per file at most, made when it is first queued or
    started. FileStatus shows the statuses.
    """


__all__ = ["FileProcessing", "FileProcessingRepository", "FileStatus", "FileStatusLike"]
