"""stoat-and-ferret (v133, August 2026): a video editor. Media, cuts and markers come over, its timeline
does not."""

from __future__ import annotations

from reelbase.importers.conversion import Application, Conversion, Shape
from reelbase.importers.rules import (
    Columns,
    Row,
    at_least,
    file_name,
    integer,
    json_object,
    moment,
    real,
    span,
    text,
    valued,
)
from reelbase.importers.values import json_of, json_text, moment_of, real_of, text_of_value
from reelbase.operations.transfer.format import Value

TABLES = {
    "projects": Shape(
        "id name created_at",
        "updated_at output_width output_height output_fps sample_rate bit_depth transitions_json"
        " audio_mix_json",
    ),
    "videos": Shape(
        "id path filename duration_frames frame_rate_numerator frame_rate_denominator width height",
        "created_at video_codec audio_codec file_size thumbnail_path subtitle_streams",
        ignored="updated_at subtitle_count data_count",
    ),
    "clips": Shape(
        "id project_id source_video_id in_point out_point",
        "clip_type created_at timeline_position timeline_start timeline_end track_id effects_json"
        " generator_params source_asset_id",
        ignored="updated_at",
    ),
    "project_markers": Shape(
        "id project_id start_time", "end_time name region_type created_at", is_optional=True
    ),
    "audit_log": Shape(
        "id operation entity_type entity_id", "changes_json context timestamp", is_optional=True
    ),
}

PROJECTS = {
    "name": text("name"),
    "workspace_path": lambda row: "",  # they have none
    "created_at": moment("created_at", "updated_at"),
    "updated_at": moment("updated_at", "created_at"),
}

# Settings of a project, which become one value of config.
SETTINGS = ("output_width", "output_height", "output_fps", "sample_rate", "bit_depth")
JSON_SETTINGS = ("transitions_json", "audio_mix_json")

VIDEOS = {
    "filename": file_name("filename"),
    "path": file_name("path"),
    "framerate_num": integer("frame_rate_numerator"),
    "framerate_den": integer("frame_rate_denominator"),
    "width": integer("width"),
    "height": integer("height"),
    "created_at": moment("created_at", "updated_at"),
}

# A video has no columns for these; each of them is counted for every video.
LOST_OF_VIDEOS = tuple(
    f"videos.{column}"
    for column in ("video_codec", "audio_codec", "file_size", "thumbnail_path", "subtitle_streams")
)

CLIPS = {
    "in_point": integer("in_point"),
    "out_point": integer("out_point"),
    "created_at": moment("created_at", "updated_at"),
}

# What makes a cut an edit: its place in the timeline. A start comes with its end.
LOST_OF_CLIPS = ("timeline_position", "timeline_start", "track_id", "effects_json")

MARKERS = {
    "label": text("name", ""),
    "data": lambda row: json_text({"region_type": row.text("region_type")}),
    "created_at": moment("created_at"),
    "updated_at": moment("created_at"),
}
SPAN = ("marker start < 0 → 0", "marker start/end swapped")
START = at_least(0, real("start_time"), SPAN[0], 0.0)

ACTIONS = {"insert": "CREATE", "create": "CREATE", "update": "UPDATE", "delete": "DELETE"}
CHANGES = json_object("changes_json")

AUDIT_LOG: Columns = {
    "action": lambda row: ACTIONS.get(str(row.word("operation")), row.text("operation")),
    "entity_type": lambda row: row.word("entity_type"),
    "changes": lambda row: "{}" if row["changes_json"] == "" else CHANGES(row),
    "user_id": text("context"),
    "timestamp": moment("timestamp"),
}


class _Copy:
    """A video as a project has it. frames: how many it has."""

    def __init__(self, id: int, frames: int) -> None:
        self.id = id
        self.frames = frames


def convert(conversion: Conversion) -> None:
    """Projects; a copy of each video for each project that uses it; cuts; markers; the audit log, which
    names them all."""
    _Conversion(conversion).run()


class _Conversion:
    """The new ids. projects: by old id.  copies: by old id, then by project.  clips: by old id."""

    def __init__(self, conversion: Conversion) -> None:
        self._conversion = conversion
        self._projects: dict[Value, int] = {}
        self._library: int | None = None
        self._copies: dict[Value, dict[int, _Copy]] = {}
        self._clips: dict[Value, int] = {}
        self._videos = 0
        self._markers = 0

    def run(self) -> None:
        conversion = self._conversion
        projects = list(conversion.rows("projects"))
        for row in sorted(projects, key=lambda row: moment_of(row["created_at"]) or conversion.now):
            self._project(row)
        used = self._projects_by_video()
        for row in conversion.rows("videos"):
            self._video(row, used.get(row["id"], []))
        for row in conversion.rows("clips"):
            self._clip(row)
        for row in conversion.rows("project_markers"):
            self._marker(row)
        for row in conversion.rows("audit_log", "timestamp"):
            self._audit(row)
        if self._clips:
            conversion.note(
                "clips came along as cuts of videos: their places in the timeline, tracks and effects are in"
                " the file of rejects only"
            )

    def _project(self, row: Row) -> None:
        id = len(self._projects) + 1
        project = {"id": id, **valued(PROJECTS, row)}
        if not self._conversion.store(row, "projects", project):
            return
        self._projects[row["id"]] = id
        row.new_id("projects", id)
        settings: dict[str, object] = {"imported_id": text_of_value(row["id"])}
        settings |= {column: _plain(row[column]) for column in SETTINGS}
        for column in JSON_SETTINGS:
            found = json_of(row[column])
            settings[column] = found.value if found is not None else _plain(row[column])
        entry = {
            "key": f"stoat.project.{id}",
            "value": json_text(settings),
            "updated_at": project["updated_at"],
        }
        self._conversion.store(row, "config", entry)

    def _projects_by_video(self) -> dict[Value, list[int]]:
        """The projects that use each video: in a clip that is imported, or in one that is not."""
        used: dict[Value, dict[int, None]] = {}
        for row in self._conversion.peek("clips"):
            project = self._projects.get(row["project_id"])
            if project is not None and _kind(row) == "file":
                used.setdefault(row["source_video_id"], {})[project] = None
        return {video: list(projects) for video, projects in used.items()}

    def _video(self, row: Row, projects: list[int]) -> None:
        conversion = self._conversion
        conversion.lose(row, *LOST_OF_VIDEOS)
        video = valued(VIDEOS, row)
        frames, num, den = (
            integer("duration_frames")(row),
            video["framerate_num"],
            video["framerate_den"],
        )
        if not num or not den:
            conversion.reject(row, "frame rate 0")
            return
        if not isinstance(frames, int) or not isinstance(num, int) or not isinstance(den, int):
            conversion.reject(row, "no number of frames")
            return
        video["duration"] = duration = frames * den / num
        if frames >= 0 and int(duration * num / den + 0.5) != frames:
            conversion.reject(row, "a number of frames that no duration gives")
            return
        copies: dict[int, _Copy] = {}
        for project in projects or [self._library_of(row)]:
            copy = {"id": self._videos + 1, "project_id": project, **video}
            if not conversion.store(row, "videos", copy):
                return  # what one project refuses, all of them do
            self._videos += 1
            copies[project] = _Copy(self._videos, frames)
        if not projects:
            row.adjust("videos that no clip uses: a project of their own")
        self._copies[row["id"]] = copies
        row.new_id("videos", ", ".join(str(copy.id) for copy in copies.values()))

    def _library_of(self, row: Row) -> int:
        """The project of the videos that no project uses; it is made for the first of them."""
        if self._library is None:
            self._library = len(self._projects) + 1
            values: dict[str, Value] = {
                "id": self._library,
                "name": "Library (imported)",
                "workspace_path": "",
                "created_at": row.now,
                "updated_at": row.now,
            }
            self._conversion.store(row, "projects", values)
        return self._library

    def _clip(self, row: Row) -> None:
        kind, project = _kind(row), self._projects.get(row["project_id"])
        if kind != "file":
            self._conversion.lose(row, f"clips of type {kind}")
            return
        video = self._copies.get(row["source_video_id"], {}).get(project or 0)
        clip = {"id": len(self._clips) + 1, "project_id": project, **valued(CLIPS, row)}
        if why := _why_no_cut(project, video, clip):
            self._conversion.reject(row, why)
            return
        assert video is not None
        if not self._conversion.store(row, "project_clips", {**clip, "video_id": video.id}):
            return
        self._clips[row["id"]] = len(self._clips) + 1
        row.new_id("project_clips", self._clips[row["id"]])
        lost = [
            f"clips.{column}" for column in LOST_OF_CLIPS if row[column] not in (None, "", "[]")
        ]
        if lost:
            self._conversion.lose(row, *lost)

    def _marker(self, row: Row) -> None:
        project = self._projects.get(row["project_id"])
        if project is None:
            self._conversion.reject(row, "project is gone")
            return
        marker: dict[str, Value] = {
            "id": self._markers + 1,
            "project_id": project,
            **valued(MARKERS, row),
        }
        if row["end_time"] is None:
            marker["start_time"] = START(row)
        else:
            marker["start_time"], marker["end_time"] = span(row, "start_time", "end_time", SPAN)
        if self._conversion.store(row, "time_markers", marker):
            self._markers += 1
            row.new_id("time_markers", self._markers)

    def _audit(self, row: Row) -> None:
        entry = valued(AUDIT_LOG, row)
        entry["entity_id"] = self._new_id(entry["entity_type"], row["entity_id"])
        if entry["entity_id"] is None:
            entry["entity_id"] = row.text("entity_id")
            row.adjust("audit of what is gone: the old id as text")
        self._conversion.store(row, "audit_log", entry)

    def _new_id(self, entity: Value, old: Value) -> int | None:
        if entity == "video":
            return next((copy.id for copy in self._copies.get(old, {}).values()), None)
        return {"project": self._projects, "clip": self._clips}.get(str(entity), {}).get(old)


def _kind(row: Row) -> str:
    return row.word("clip_type") or "file"


def _plain(value: Value) -> object:
    """The number, or the text, as JSON has it."""
    if value is None or isinstance(value, int):
        return value
    return real_of(value) if isinstance(value, float) else text_of_value(value)


def _why_no_cut(project: int | None, video: _Copy | None, clip: dict[str, Value]) -> str | None:
    """Why the clip is no cut of the schema; None when it is one. Their repository let all of these in."""
    if project is None:
        return "project is gone"
    if video is None:
        return "video is gone or broken"
    start, end = clip["in_point"], clip["out_point"]
    if not isinstance(start, int) or not isinstance(end, int) or end <= start:
        return "empty or inverted"
    return "beyond the end of the video" if end > video.frames else None


STOAT_AND_FERRET = Application("stoat-and-ferret", "", TABLES, convert)
