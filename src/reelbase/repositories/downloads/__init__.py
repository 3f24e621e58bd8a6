"""Downloads: a queue of URLs, their progress, their end, and their removal.

The tables give the new state for each verb and each state. extract is start(extracting=True). The states
extracting and downloading have no lease; held is downloading under a worker's lease, expired is held after
the lease has run out, and spent is expired at the last attempt. A dash means InvalidTransitionError; for
claim and recover it means that they skip the download, for progress that it returns False.

    state         start         extract       claim         heartbeat     progress
    queued        downloading   extracting    downloading   -             downloading
    extracting    downloading   extracting    -             -             downloading
    downloading   downloading   -             -             -             downloading
    held          downloading   -             -             downloading   downloading
    expired       downloading   -             downloading   downloading   downloading
    spent         downloading   -             failed        downloading   downloading
    completed     -             -             -             -             -
    failed        -             -             -             -             -
    cancelled     -             -             -             -             -

    state         complete      fail          cancel        release       retry         recover
    queued        completed     failed        cancelled     -             -             -
    extracting    completed     failed        cancelled     -             -             queued
    downloading   completed     failed        cancelled     -             -             queued
    held          completed     failed        cancelled     queued        -             -
    expired       completed     failed        cancelled     queued        -             queued
    spent         completed     failed        cancelled     queued        -             failed
    completed     -             -             -             -             -             -
    failed        -             -             -             -             queued        -
    cancelled     -             -             cancelled     -             queued        -

A download that is extracting or downloading without a lease and has no attempt left fails at recover(), too.
"""

from __future__ import annotations

from reelbase.repositories.downloads.additions import DownloadAdditions
from reelbase.repositories.downloads.housekeeping import DownloadHousekeeping
from reelbase.repositories.downloads.leases import DownloadLeases
from reelbase.repositories.downloads.lifecycle import DownloadLifecycle
from reelbase.repositories.downloads.records import (
    Download,
    DownloadStatus,
    PurgedDownload,
    PurgeReport,
)


class DownloadRepository(
    DownloadAdditions, DownloadLeases, DownloadLifecycle, DownloadHousekeeping
):
    """The queue of downloads, table ``downloads``: they belong to sessions, and go with them.

    queued -> extracting -> downloading -> completed, failed, cancelled; extracting may be left out. A lease
    that expires, and retry(), lead back to queued.
    """


__all__ = ["Download", "DownloadRepository", "DownloadStatus", "PurgeReport", "PurgedDownload"]
