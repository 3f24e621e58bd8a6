"""What the video repository takes and returns."""

from __future__ import annotations

import math
from datetime import datetime
from fractions import Fraction
from typing import TypedDict

import msgspec
from msgspec import UnsetType

from reelbase.engine.file_names import FileName


class Video(msgspec.Struct, frozen=True):
    """A video. duration: seconds.  Its frames a second are framerate_num / framerate_den."""

    id: int
    project_id: int
    filename: FileName
    path: FileName
    duration: float
    framerate_num: int
    framerate_den: int
    width: int
    height: int
    created_at: datetime

    @property
    def frame_rate(self) -> Fraction:
        """Frames a second, exact: 24000/1001."""
        return Fraction(self.framerate_num, self.framerate_den)

    @property
    def total_frames(self) -> int:
        """Rounded to the nearest frame, a half up; the column total_frames is the same."""
        return math.floor(self.duration * self.framerate_num / self.framerate_den + 0.5)


class VideoChanges(TypedDict, total=False):
    """What videos.update() can change. duration: seconds.  width, height: pixels."""

    filename: str | UnsetType
    path: str | UnsetType
    duration: float | UnsetType
    framerate_num: int | UnsetType
    framerate_den: int | UnsetType
    width: int | UnsetType
    height: int | UnsetType


class NewVideo(msgspec.Struct, frozen=True):
    """A video to be added; the fields are those of Video."""

    filename: FileName
    path: FileName
    duration: float
    framerate_num: int
    framerate_den: int
    width: int
    height: int
