"""Records made of rows by hand, for the peers that only give rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from reelbase import Download, Segment, Transcript
from reelbase.repositories.downloads import DownloadStatus


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def download(row: Any) -> Download:
    return Download(
        UUID(row[0]),
        row[1],
        row[2],
        DownloadStatus(row[3]),
        row[4],
        row[5],
        row[6],
        row[7],
        row[8],
        row[9],
        row[10],
        row[11],
        row[12],
        datetime.fromisoformat(row[13]),
        _moment(row[14]),
        _moment(row[15]),
    )


def transcript(row: Any) -> Transcript:
    return Transcript(
        UUID(row[0]),
        row[1],
        UUID(row[2]),
        row[3],
        row[4],
        row[5],
        datetime.fromisoformat(row[6]),
        None,
    )


def segment(row: Any, decode_json: Callable[[str], Any]) -> Segment:
    words = None if row[7] is None else decode_json(row[7])
    return Segment(row[0], UUID(row[1]), row[2], row[3], row[4], row[5], row[6], words)
