"""mirumoji 1 and 2 (June 2025): five tables, times of the server's clock, foreign keys that were never on."""

from __future__ import annotations

import posixpath

import msgspec

from reelbase.engine.file_names import escaped
from reelbase.importers.conversion import Application, Conversion, Shape
from reelbase.importers.mirumoji import SPAN
from reelbase.importers.rules import (
    Row,
    file_name,
    json_object,
    moment,
    own_uuid,
    span,
    text,
    valued,
)
from reelbase.importers.values import json_text, made_id, text_of_value
from reelbase.operations.transfer.format import Value

TABLES = {
    "profiles": Shape("id name"),
    "profile_files": Shape(
        "id profile_id file_name file_path", "file_type created_at related_transcript_id"
    ),
    "profile_transcripts": Shape(
        "id profile_id transcript",
        "original_file_name gpt_explanation audio_file_path created_at",
    ),
    "clips": Shape(
        "id profile_id clip_start_time clip_end_time gpt_breakdown_response video_clip_path",
        "original_video_file_name original_video_url created_at",
    ),
    "gpt_templates": Shape("id profile_id sys_msg prompt", is_optional=True),
}

FILES = {
    "id": own_uuid("files"),
    "name": file_name("file_name"),
    "type": text("file_type"),
    "created_at": moment("created_at"),
}

TRANSCRIPTS = {
    "id": own_uuid("transcripts"),
    "text": text("transcript"),
    "llm_explanation": text("gpt_explanation"),
    "created_at": moment("created_at"),
}

CLIPS = {
    "id": own_uuid("clips"),
    "created_at": moment("created_at"),
}

LLM_TEMPLATES = {
    "id": own_uuid("llm_templates"),
    "sys_msg": text("sys_msg"),
    "prompt": text("prompt"),
    "created_at": moment(),
    "updated_at": moment(),
}

BREAKDOWN = json_object("gpt_breakdown_response", wrapped="clips.gpt_breakdown_response wrapped")


def convert(conversion: Conversion) -> None:
    """Profiles by their names; files; then the rows that refer to them."""
    _Conversion(conversion).run()


class _Conversion:
    """profiles: the new id of each profile, by its old one."""

    def __init__(self, conversion: Conversion) -> None:
        self._conversion = conversion
        self._profiles: dict[Value, Value] = {}

    def run(self) -> None:
        conversion = self._conversion
        for row in conversion.rows("profiles"):
            profile = row.text("name") or row.text("id")
            if conversion.store(row, "profiles", {"id": profile, "created_at": row.now}):
                self._profiles[row["id"]] = profile
                if profile != row["id"]:
                    row.new_id("profiles", profile)
        files = self._files()
        for row in conversion.rows("profile_transcripts"):
            self._transcript(row, files)
        for row in conversion.rows("clips"):
            self._clip(row)
        for row in conversion.rows("gpt_templates"):
            template = valued(LLM_TEMPLATES, row)
            conversion.store(row, "llm_templates", {**template, **self._owner(row), "model": ""})
        zone = conversion.options.zone
        conversion.note(
            f"times without an offset were read as those of {zone or 'this machine'};"
            " --timezone names another zone"
        )

    def _owner(self, row: Row) -> dict[str, Value]:
        """The profile of a row: one that is gone keeps its old id, which then refers to nothing."""
        old = row["profile_id"]
        return {"profile_id": self._profiles.get(old, text_of_value(old))}

    def _path(self, row: Row, column: str) -> Value:
        """The path, without the prefix that the caller wants to be cut."""
        path, prefix = file_name(column, "")(row), self._conversion.options.strip_prefix
        if not prefix or not isinstance(path, str) or not path.startswith(escaped(prefix)):
            return path
        row.adjust(f"{row.table}.{column}: prefix cut")
        return path.removeprefix(escaped(prefix))

    def _files(self) -> dict[Value, tuple[Value, Value]]:
        """Imports the files. Returns, for each transcript that one of them names, its id and its profile."""
        found: dict[Value, tuple[Value, Value]] = {}
        for row in self._conversion.rows("profile_files"):
            file = {**valued(FILES, row), **self._owner(row), "path": self._path(row, "file_path")}
            if self._conversion.store(row, "files", file):
                found.setdefault(row["related_transcript_id"], (file["id"], file["profile_id"]))
        return found

    def _transcript(self, row: Row, files: dict[Value, tuple[Value, Value]]) -> None:
        transcript = {**valued(TRANSCRIPTS, row), **self._owner(row)}
        file, profile = files.get(row["id"], (None, None))
        if file is None or profile != transcript["profile_id"]:
            file = made_id("files", f"transcript {text_of_value(row['id'])}")
            values = {
                "id": file,
                "profile_id": transcript["profile_id"],
                "name": file_name("original_file_name", "")(row),
                "path": self._path(row, "audio_file_path"),
                "created_at": transcript["created_at"],
            }
            if not self._conversion.store(row, "files", values):
                return
            row.adjust("transcript without a file: file row made")
        self._conversion.store(row, "transcripts", {**transcript, "file_id": file})

    def _clip(self, row: Row) -> None:
        """Imports a clip: the file that was cut, and the words said in it."""
        clip = {**valued(CLIPS, row), **self._owner(row)}
        path = self._path(row, "video_clip_path")
        file = {
            "id": made_id("files", f"clip {text_of_value(row['id'])}"),
            "profile_id": clip["profile_id"],
            "name": posixpath.basename(str(path)),
            "path": path,
            "type": "clip",
            "created_at": clip["created_at"],
        }
        if not self._conversion.store(row, "files", file):
            return
        clip["file_id"] = file["id"]
        clip["start_time"], clip["end_time"] = span(row, "clip_start_time", "clip_end_time", SPAN)
        clip["llm_breakdown_response"] = _breakdown(row)
        self._conversion.store(row, "clips", clip)


def _breakdown(row: Row) -> str:
    """The breakdown, with the video that the clip was cut from. A blob: URL meant something in one tab of a
    browser only."""
    breakdown = msgspec.json.decode(str(BREAKDOWN(row)))
    if name := row.text("original_video_file_name"):
        breakdown["_original_video"] = name
    url = row.text("original_video_url")
    if url and not url.startswith("blob:"):
        breakdown["_original_video_url"] = url
    return json_text(breakdown)


MIRUMOJI_2025 = Application("mirumoji", "2025", TABLES, convert, has_local_times=True)
