"""The kind of a file, told by its name."""

from __future__ import annotations

import mimetypes
import os
from typing import Final

_SUBTITLES: Final = {
    ".srt": "application/x-subrip",
    ".vtt": "text/vtt",
    ".ass": "text/x-ssa",
    ".ssa": "text/x-ssa",
    ".lrc": "text/plain",
}

# What the table of MIME types has not, or has as "application" although people read it as text.
_TEXTS: Final = {
    ".md": "text/markdown",
    ".rst": "text/x-rst",
    ".py": "text/x-python",
    ".pyi": "text/x-python",
    ".json": "application/json",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".tsx": "text/plain",
    ".jsx": "text/plain",
    ".vue": "text/plain",
    ".sql": "application/sql",
    ".toml": "application/toml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".xml": "application/xml",
    ".sh": "application/x-sh",
    **dict.fromkeys(
        (
            ".bat", ".c", ".cc", ".cfg", ".conf", ".cpp", ".cs", ".css", ".csv", ".go", ".h",
            ".hpp", ".ini", ".java", ".kt", ".lock", ".log", ".lua", ".nfo", ".php", ".properties",
            ".ps1", ".rb", ".rs", ".swift", ".tex", ".text", ".txt", ".typed",
        ),
        "text/plain",
    ),
}  # fmt: skip
_TEXT_NAMES: Final = frozenset({
    "authors", "changelog", "copying", "dockerfile", "license", "licence", "makefile", "notice",
    "readme", ".dockerignore", ".editorconfig", ".gitattributes", ".gitignore",
})  # fmt: skip

_MEDIA: Final = {
    ".aac": "audio/aac",
    ".flac": "audio/flac",
    ".m2ts": "video/mp2t",
    ".m4a": "audio/mp4",
    ".m4v": "video/mp4",
    ".mkv": "video/x-matroska",
    ".ogg": "audio/ogg",
    ".opus": "audio/opus",
    ".webm": "video/webm",
    ".webp": "image/webp",
}

# Its own table, so that the answers do not depend on what is installed on the machine.
_mime_types = mimetypes.MimeTypes()


def kind_of(name: str) -> tuple[str, str | None]:
    """The type (video, audio, image, subtitle, text or other) and the content type, if known."""
    suffix = os.path.splitext(name)[1].lower()
    if content_type := _SUBTITLES.get(suffix):
        return "subtitle", content_type
    if content_type := _TEXTS.get(suffix):
        return "text", content_type
    if name.lower() in _TEXT_NAMES:
        return "text", "text/plain"
    content_type = _MEDIA.get(suffix) or _mime_types.guess_type("x" + suffix)[0]
    kind = content_type.partition("/")[0] if content_type else ""
    return kind if kind in {"video", "audio", "image", "text"} else "other", content_type


def may_have_text(type: str | None) -> bool:
    """Whether a file of this type gets a transcript, if it turns out to be UTF-8."""
    return type in {"text", "subtitle"}
