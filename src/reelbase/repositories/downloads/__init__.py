"""Downloads: a queue of URLs, their progress, their end, and what is left of them."""

from __future__ import annotations

from reelbase.repositories.downloads.lifecycle import DownloadLifecycle
from reelbase.repositories.downloads.records import (
    Download,
    DownloadStatus,
    PurgedDownload,
    PurgeReport,
)
from reelbase.repositories.downloads.upkeep import DownloadUpkeep


class DownloadRepository(DownloadLifecycle, DownloadUpkeep):
    """Everything that can be done with downloads; the modules beside this one hold it by behaviour."""


__all__ = ["Download", "DownloadRepository", "DownloadStatus", "PurgeReport", "PurgedDownload"]
