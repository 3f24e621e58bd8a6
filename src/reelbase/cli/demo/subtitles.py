"""Subtitles: the cues of .srt and .vtt files, read as tolerantly as players read them."""

from __future__ import annotations

import codecs
import html
import os
import re
from typing import Final

from reelbase import NewSegment

_SUFFIXES: Final = frozenset({".srt", ".vtt"})
_ARROW: Final = "-->"
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

# Hours may be missing (WebVTT) or have many digits; a fraction may be missing or follow a point or comma.
_TIME: Final = r"(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,9}))?"
_TIMING: Final = re.compile(rf"{_TIME}\s*{_ARROW}\s*{_TIME}(?![\d:])", re.ASCII)

# <i>, </font>, <c.loud>, <v Anna>, <00:00:01.000>, {\an8}; but not the signs in "a < b > c".
_MARKUP: Final = re.compile(
    r"</?(?:[biusc]|font|lang|ruby|rt|v)\b[^<>]*>|<[\d:.]+>|\{\\[^{}]*\}", re.IGNORECASE
)


class SubtitleError(Exception):
    """The file holds no subtitles that can be read; the text says why."""


def has_cues(name: str) -> bool:
    """Whether a file of this name should hold subtitles that can be read here."""
    return os.path.splitext(name)[1].lower() in _SUFFIXES


def read_cues(content: bytes | bytearray) -> list[NewSegment]:
    """The cues of a subtitle file, in the file's order; cues without a text are left out.

    SubtitleError when the content is no text, or a text without one timing line. An empty file, and a
    WebVTT file that has only its header, are subtitles without cues.
    """
    text = _decoded(content).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    is_webvtt = text.startswith("WEBVTT")
    cues: list[NewSegment] = []
    timing: re.Match[str] | None = None
    has_timing = False
    lines: list[str] = []

    def end_cue() -> None:
        spoken = _plain(lines)
        if timing is not None and spoken:
            start, end = _seconds(*timing.groups()[:4]), _seconds(*timing.groups()[4:])
            cues.append(NewSegment(start, max(start, end), spoken))
        lines.clear()

    for line in text.split("\n"):
        if _ARROW in line:
            # No text may hold an arrow, so a line with one ends the cue before it; SubRip numbers its cues.
            if timing is not None and not is_webvtt and lines and lines[-1].strip().isdecimal():
                lines.pop()
            end_cue()
            timing = _TIMING.match(line.strip())  # None: the lines that follow belong to no cue
            has_timing = has_timing or timing is not None
        elif line.strip():
            lines.append(line)
        elif is_webvtt:
            # What follows may be a note or a name; in SubRip files blank lines stand anywhere.
            end_cue()
            timing = None
    end_cue()
    if not has_timing and (_ARROW in text or (text.strip() and not is_webvtt)):
        raise SubtitleError("it holds no line with the times of a subtitle")
    return cues


def _decoded(content: bytes | bytearray) -> str:
    try:
        return content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError:
        raise SubtitleError("its subtitles are neither UTF-8 nor UTF-16 with a mark") from None


def _plain(lines: list[str]) -> str:
    """The text of a cue on one line, without markup."""
    return " ".join(html.unescape(_MARKUP.sub("", "\n".join(lines))).split())


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + float(f"0.{fraction or 0}")
