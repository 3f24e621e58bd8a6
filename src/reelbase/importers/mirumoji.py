"""mirumoji 3 (July 2026): a library of videos, subtitles and transcripts for learners of a language."""

from __future__ import annotations

from reelbase.importers.conversion import Application, Conversion, Shape
from reelbase.importers.rules import (
    Row,
    at_least,
    clamped,
    file_name,
    integer,
    json_object,
    moment,
    own_uuid,
    span,
    text,
    uuid,
    valued,
)
from reelbase.importers.values import uuid_of
from reelbase.operations.transfer.format import Value

TABLES = {
    "profiles": Shape("id created_at"),
    "files": Shape("id profile_id name path created_at", "type folder source_file_id origin"),
    "transcripts": Shape("id profile_id file_id text created_at", "llm_explanation"),
    "clips": Shape(
        "id profile_id file_id start_time end_time llm_breakdown_response created_at",
    ),
    "llm_templates": Shape("id profile_id sys_msg prompt model", "srt_sys_msg srt_model"),
    "jobs": Shape(
        "id profile_id type status params created_at",
        "parent_id progress total completed result error error_code error_details updated_at",
    ),
}

PROFILES = {"id": text("id"), "created_at": moment("created_at")}

FILES = {
    "id": own_uuid("files"),
    "profile_id": text("profile_id"),
    "name": file_name("name"),
    "path": file_name("path"),
    "type": text("type"),
    "folder": file_name("folder"),
    "origin": text("origin"),
    "created_at": moment("created_at"),
}

TRANSCRIPTS = {
    "id": own_uuid("transcripts"),
    "profile_id": text("profile_id"),
    "file_id": uuid("file_id", "files"),
    "text": text("text"),
    "llm_explanation": text("llm_explanation"),
    "created_at": moment("created_at"),
}

CLIPS = {
    "id": own_uuid("clips"),
    "profile_id": text("profile_id"),
    "file_id": uuid("file_id", "files"),
    "llm_breakdown_response": json_object("llm_breakdown_response"),
    "created_at": moment("created_at"),
}

LLM_TEMPLATES = {
    "id": own_uuid("llm_templates"),
    "profile_id": text("profile_id"),
    "sys_msg": text("sys_msg"),
    "prompt": text("prompt"),
    "model": text("model"),
    "srt_sys_msg": text("srt_sys_msg", ""),
    "srt_model": text("srt_model", ""),
    "created_at": moment(),
    "updated_at": moment(),
}

JOBS = {
    "id": own_uuid("jobs"),
    "profile_id": text("profile_id"),
    "parent_id": uuid("parent_id", "jobs"),
    "type": text("type"),
    "progress": clamped("progress", 0, 1),
    "total": at_least(0, integer("total", 1), "jobs.total < 0 → 0", 0),
    "completed": at_least(0, integer("completed", 0), "jobs.completed < 0 → 0", 0),
    "params": json_object("params", null="jobs.params JSON null → {}"),
    "result": json_object("result", None, null="jobs.result JSON null → NULL"),
    "error": text("error"),
    "error_code": text("error_code"),
    "error_details": json_object("error_details", None, null="jobs.error_details JSON null → NULL"),
    "created_at": moment("created_at", "updated_at"),
    "updated_at": moment("updated_at", "created_at"),
}

SPAN = ("clips.start_time < 0 → 0", "clips start/end swapped")
_ENDED = ("succeeded", "failed", "cancelled")


def convert(conversion: Conversion) -> None:
    """Profiles, their files and the rows that refer to the files; then jobs, parents first."""
    conversion.copy("profiles", "profiles", PROFILES)
    conversion.copy("files", "files", FILES)
    _refer_to_sources(conversion)
    conversion.copy("transcripts", "transcripts", TRANSCRIPTS)
    for row in conversion.rows("clips"):
        clip = valued(CLIPS, row)
        clip["start_time"], clip["end_time"] = span(row, "start_time", "end_time", SPAN)
        conversion.store(row, "clips", clip)
    conversion.copy("llm_templates", "llm_templates", LLM_TEMPLATES)
    _convert_jobs(conversion)


def _refer_to_sources(conversion: Conversion) -> None:
    """Sets the sources of files, now that all files are there."""
    for row in conversion.peek("files"):
        source = uuid_of(row["source_file_id"], "files")
        if source is not None and not conversion.refer(
            "files", uuid_of(row["id"], "files"), "source_file_id", source
        ):
            row.adjust("files.source_file_id is gone: NULL")


def _convert_jobs(conversion: Conversion) -> None:
    queued: set[Value] = set()
    for row in conversion.rows("jobs", "parent_id"):
        job = valued(JOBS, row)
        status, parent = row.word("status", "jobs.status in capitals"), job["parent_id"]
        is_stuck = parent is not None and status == "queued" and parent not in queued
        _end(row, job, status, is_stuck=is_stuck)
        if conversion.store(row, "jobs", job) and status == "queued":
            queued.add(job["id"])


def _end(row: Row, job: dict[str, Value], status: str | None, *, is_stuck: bool) -> None:
    """Sets the status and the end that it would have after a restart. is_stuck: it is queued, and its parent
    would never start it."""
    if status == "running" or is_stuck:
        row.adjust(f"jobs {status} → failed")
        status = "failed"
        job["error"] = job["error"] or "interrupted by server restart"
    job["status"] = status
    job["finished_at"] = job["updated_at"] if status in _ENDED else None


MIRUMOJI = Application("mirumoji", "", TABLES, convert)
