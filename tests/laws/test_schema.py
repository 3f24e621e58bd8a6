"""What schema.sql promises, to the library and to people at the sqlite3 prompt."""

from __future__ import annotations

import hashlib
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec
import pytest
from samples import CASES, empty_database

import reelbase
from reelbase.operations.diagram import schema_diagram

SCHEMA = reelbase.schema_sql()
CODE = re.sub(r"--[^\n]*", "", SCHEMA)

ID = "00000000-0000-7000-8000-000000000001"
OTHER_ID = "00000000-0000-7000-8000-000000000002"
MOMENT = "2026-01-31T23:59:59.999Z"
NO_MOMENTS = (
    "",
    "2026-01-31",
    "2026-01-31 23:59:59.999Z",
    "2026-01-31T23:59:59Z",
    "2026-01-31T23:59:59.999",
    "2026-01-31T23:59:59.9999Z",
    "2026-01-31T23:59:59.999+01:00",
    "2026-1-31T23:59:59.999Z",
    "2461072.5",
)
NO_IDS = (
    "",
    ID[:-1],
    ID + "0",
    ID.replace("-", ""),
    ID.replace("-", "0"),
    "0000000A-0000-7000-8000-000000000001",
    "0000000g-0000-7000-8000-000000000001",
)

# A row that every table takes.
ROWS: dict[str, dict[str, Any]] = {
    "schema_migrations": {"version": 99, "name": "next", "checksum": "", "applied_at": MOMENT},
    "database_identity": {
        "id": 1,
        "database_id": ID,
        "schema_digest": "0" * 64,
        "copy_number": 1,
        "copy_name": "",
    },
    "profiles": {"id": "ann", "created_at": MOMENT},
    "files": {
        "id": ID,
        "profile_id": "ann",
        "name": "a.mkv",
        "path": "in/a.mkv",
        "source_file_id": None,
        "size_bytes": 0,
        "created_at": MOMENT,
    },
    "transcripts": {
        "id": ID,
        "profile_id": "ann",
        "file_id": ID,
        "text": "",
        "created_at": MOMENT,
    },
    "clips": {
        "id": ID,
        "profile_id": "ann",
        "file_id": ID,
        "start_time": 0.0,
        "end_time": 0.0,
        "llm_breakdown_response": "{}",
        "created_at": MOMENT,
    },
    "llm_templates": {
        "id": ID,
        "profile_id": "ann",
        "sys_msg": "",
        "prompt": "",
        "model": "",
        "created_at": MOMENT,
        "updated_at": MOMENT,
    },
    "jobs": {
        "id": ID,
        "profile_id": "ann",
        "type": "t",
        "status": "running",
        "progress": 1,
        "total": 0,
        "completed": 0,
        "params": "{}",
        "result": "{}",
        "error_details": "{}",
        "attempts": 0,
        "max_attempts": 1,
        "run_after": MOMENT,
        "unique_key": "k",
        "waiting_for": 0,
        "worker": "w",
        "lease_expires_at": MOMENT,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "started_at": MOMENT,
        "finished_at": None,
    },
    "job_dependencies": {"job_id": ID, "needs_id": OTHER_ID},
    "job_types": {
        "type": "t",
        "paused_at": MOMENT,
        "running_limit": 1,
        "start_limit": 1,
        "start_seconds": 1.0,
    },
    "job_starts": {"type": "t", "number": 1, "started_at": MOMENT},
    "followed_changes": {
        "number": 1,
        "mark": 1,
        "table_name": "files",
        "kind": "insert",
        "row_key": "[1]",
        "profile_id": "ann",
    },
    "job_schedules": {
        "name": "s",
        "profile_id": "ann",
        "type": "t",
        "cron": "@daily",
        "next_at": MOMENT,
        "last_at": MOMENT,
        "paused_at": MOMENT,
        "created_at": MOMENT,
        "updated_at": MOMENT,
    },
    "job_references": {"target_id": ID, "target_type": "file", "job_id": ID},
    "job_steps": {"job_id": ID, "name": "s", "attempt": 1, "result": "1", "finished_at": MOMENT},
    "job_logs": {"job_id": ID, "number": 1, "attempt": 1, "text": "", "created_at": MOMENT},
    "sessions": {"id": "s", "created_at": MOMENT, "last_seen": MOMENT},
    "downloads": {
        "id": ID,
        "session_id": "s",
        "url": "",
        "status": "downloading",
        "filesize": 0,
        "progress_percent": 100,
        "created_at": MOMENT,
        "started_at": MOMENT,
        "completed_at": None,
        "attempts": 0,
        "max_attempts": 1,
        "lease_expires_at": None,
    },
    "config": {"key": "", "value": "null", "updated_at": MOMENT},
    "unsupported_urls": {"id": 1, "url": "", "created_at": MOMENT},
    "error_log": {"id": 1, "url": "", "error": "", "created_at": MOMENT},
    "projects": {
        "id": 1,
        "name": "",
        "workspace_path": "",
        "created_at": MOMENT,
        "updated_at": MOMENT,
    },
    "videos": {
        "id": 1,
        "project_id": 1,
        "filename": "",
        "path": "",
        "duration": 2.0,
        "framerate_num": 25,
        "framerate_den": 1,
        "width": 1,
        "height": 1,
        "created_at": MOMENT,
    },
    "project_settings": {"project_id": 1, "updated_at": MOMENT},
    "timeline_tracks": {
        "id": 1,
        "project_id": 1,
        "position": 1,
        "kind": "video",
        "name": "",
        "overlap": "none",
        "is_muted": 0,
        "is_locked": 0,
        "created_at": MOMENT,
        "updated_at": MOMENT,
    },
    "timeline_clips": {
        "id": 1,
        "project_id": 1,
        "track_id": 1,
        "position": 0,
        "duration": 1,
        "layer": 0,
        "video_id": 1,
        "in_point": 0,
        "out_point": 1,
        "name": "",
        "created_at": MOMENT,
        "updated_at": MOMENT,
    },
    "timeline_transitions": {
        "id": 1,
        "track_id": 1,
        "from_clip_id": 1,
        "to_clip_id": 2,
        "kind": "wipe",
        "duration": 1,
        "created_at": MOMENT,
        "updated_at": MOMENT,
    },
    "project_versions": {
        "project_id": 1,
        "number": 1,
        "name": "",
        "checksum": "0" * 64,
        "created_at": MOMENT,
        "content": "{}",
    },
    "library_videos": {
        "id": 1,
        "filename": "",
        "path": "",
        "duration": 1.0,
        "framerate_num": 25,
        "framerate_den": 1,
        "width": 1,
        "height": 1,
        "created_at": MOMENT,
        "updated_at": MOMENT,
    },
    "project_clips": {
        "id": 1,
        "project_id": 1,
        "video_id": 1,
        "in_point": 0,
        "out_point": 50,
        "created_at": MOMENT,
    },
    "audit_log": {
        "id": 9,
        "entity_type": "",
        "entity_id": 1,
        "action": "UPDATE",
        "changes": "{}",
        "user_id": None,
        "timestamp": MOMENT,
    },
    "audit_context": {"id": 1, "user_id": None, "timestamp": MOMENT},
    "generations": {
        "id": ID,
        "prompt": "",
        "model_name": "",
        "duration_seconds": 0.001,
        "sample_rate": 1,
        "channels": 2,
        "file_path": "",
        "file_size_bytes": 0,
        "status": "processing",
        "created_at": MOMENT,
        "completed_at": None,
        "generation_time_seconds": 0,
        "metadata": "{}",
        "attempts": 0,
        "max_attempts": 1,
        "lease_expires_at": None,
    },
    "prompts": {
        "id": 1,
        "text": "",
        "used_count": 1,
        "first_used_at": MOMENT,
        "last_used_at": MOMENT,
    },
    "file_processing": {
        "file_id": ID,
        "status": "error",
        "progress": 1,
        "retry_count": 0,
        "max_retries": 0,
        "recovery_attempts": 0,
        "next_retry_at": MOMENT,
        "started_at": MOMENT,
        "heartbeat_at": MOMENT,
        "file_created_at": MOMENT,
        "completed_at": None,
        "updated_at": MOMENT,
        "options": "{}",
    },
    "media_info": {
        "file_id": ID,
        "duration": 0.0,
        "frame_rate_num": 1,
        "frame_rate_den": 1,
        "width": 1,
        "height": 1,
        "audio_channels": 1,
        "audio_sample_rate": 1,
        "audio_bit_depth": 1,
        "recorded_at": MOMENT,
        "metadata": "{}",
        "waveform": "[]",
    },
    "file_numbers": {"id": 1, "file_id": ID},
    "tags": {
        "id": 1,
        "profile_id": "ann",
        "name": "",
        "normalized_name": "t",
        "created_at": MOMENT,
    },
    "file_tags": {"file_id": ID, "tag_id": 1, "profile_id": "ann", "file_created_at": MOMENT},
    "known_people": {
        "id": 1,
        "profile_id": "ann",
        "name": "",
        "created_at": MOMENT,
        "updated_at": MOMENT,
    },
    "person_files": {"person_id": 1, "file_id": ID, "profile_id": "ann", "kind": ""},
    "file_collections": {
        "id": 1,
        "profile_id": "ann",
        "name": "",
        "created_at": MOMENT,
        "updated_at": MOMENT,
    },
    "collection_files": {
        "collection_id": 1,
        "file_id": ID,
        "profile_id": "ann",
        "position": 1,
        "added_at": MOMENT,
    },
    "file_comments": {
        "id": 1,
        "file_id": ID,
        "profile_id": "ann",
        "at_seconds": 0.0,
        "text": "",
        "created_at": MOMENT,
        "updated_at": MOMENT,
    },
    "derived_files": {
        "id": 1,
        "file_id": ID,
        "kind": "proxy",
        "parameters": "{}",
        "status": "ready",
        "path": "",
        "size_bytes": 0,
        "is_pinned": 0,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "last_used_at": MOMENT,
        "expires_at": MOMENT,
    },
    "time_markers": {
        "id": 1,
        "file_id": ID,
        "start_time": 0.0,
        "end_time": 0.0,
        "label": "",
        "data": "{}",
        "created_at": MOMENT,
        "updated_at": MOMENT,
    },
    "secrets_store": {
        "id": 1,
        "profile_id": "ann",
        "name": "",
        "value": b"",
        "created_at": MOMENT,
        "updated_at": MOMENT,
    },
    "profile_settings": {"profile_id": "ann", "key": "", "value": "null", "updated_at": MOMENT},
    "notifications": {
        "id": 1,
        "profile_id": "ann",
        "type": "",
        "title": "",
        "progress_key": "",
        "data": "{}",
        "is_read": 1,
        "created_at": MOMENT,
        "updated_at": MOMENT,
    },
    "speakers": {
        "id": 1,
        "profile_id": "ann",
        "file_id": ID,
        "label": "",
        "display_name": "",
        "confidence": 1,
        "is_verified": 1,
        "created_at": MOMENT,
    },
    "transcript_segments": {
        "id": 1,
        "transcript_id": ID,
        "speaker_id": 1,
        "start_time": 0.0,
        "end_time": 0.0,
        "text": "",
        "words": "[]",
    },
    "segment_originals": {
        "segment_id": 1,
        "text": "",
        "words": "[]",
        "masked_text": "",
        "redacted_at": MOMENT,
    },
    "llm_configs": {
        "id": 1,
        "profile_id": "ann",
        "name": "",
        "provider": "",
        "model_name": "",
        "max_tokens": 1,
        "temperature": 0.0,
        "api_key": b"",
        "test_status": "failed",
        "last_tested_at": MOMENT,
        "created_at": MOMENT,
        "updated_at": MOMENT,
    },
    "llm_config_checks": {"id": 1, "config_id": 1, "status": "failed", "tested_at": MOMENT},
    "summary_prompts": {
        "id": 1,
        "profile_id": "ann",
        "name": "",
        "content_type": "general",
        "prompt_text": "",
        "version": 1,
        "created_at": MOMENT,
        "updated_at": MOMENT,
    },
    "summary_prompt_versions": {
        "prompt_id": 1,
        "version": 2,
        "prompt_text": "",
        "created_at": MOMENT,
    },
    "summaries": {
        "id": 1,
        "file_id": ID,
        "profile_id": "ann",
        "version": 1,
        "prompt_id": 1,
        "status": "completed",
        "content": "{}",
        "metadata": "{}",
        "created_at": MOMENT,
        "completed_at": MOMENT,
    },
}

# These are not tables of ours but SQLite's, and what it keeps behind them.
SEARCHED = {
    table: f"{table}_fts"
    for table in ("files", "videos", "prompts", "transcript_segments", "summaries")
}
# A second index of files, of parts of their names.
SEARCHED_IN_PARTS = "file_names_fts"

# Moments of these are of the library alone: there is no row at the prompt.
WITHOUT_CHECKED_MOMENT = {("audit_context", "timestamp")}

_NO_JSON = ("", "{", "nothing", "{'a': 1}", "NaN")
_NO_ARRAYS = (*_NO_JSON, "null", "{}", "1", '"[]"')
_NO_OBJECTS = (*_NO_JSON, "null", "[]", "[{}]", "1", '"{}"')

# For every CHECK, changes to the row above that break it and nothing else.
BROKEN: dict[str, list[dict[str, Any]]] = {
    "database_identity_one_row": [{"id": 0}, {"id": 2}],
    "database_identity_database_id": [{"database_id": text} for text in NO_IDS],
    "database_identity_schema_digest": [
        {"schema_digest": text} for text in ("", "0" * 63, "0" * 65, "A" + "0" * 63)
    ],
    "database_identity_copy_number": [{"copy_number": 0}, {"copy_number": -1}],
    "database_identity_copy": [{"copy_number": None}, {"copy_name": None}],
    "files_size_bytes": [{"size_bytes": -1}],
    "files_duration": [{"duration": -1}],
    "collection_files_position": [{"position": 0}, {"position": -1}],
    "file_comments_not_own_parent": [{"parent_id": 1, "at_seconds": None}],
    "file_comments_at_seconds": [{"at_seconds": -0.001}],
    "file_comments_reply_has_no_time": [{"parent_id": 2}],
    "derived_files_kind": [{"kind": ""}],
    "derived_files_parameters": [{"parameters": text} for text in _NO_OBJECTS],
    "derived_files_status": [
        {"status": status, "path": None, "size_bytes": None} for status in ("", "Ready", "done")
    ],
    "derived_files_bytes": [
        {"path": None},
        {"size_bytes": None},
        *({"status": status} for status in ("pending", "processing", "failed")),
    ],
    "derived_files_size_bytes": [{"size_bytes": -1}],
    "derived_files_error": [{"error_message": ""}],
    "derived_files_is_pinned": [{"is_pinned": 2}, {"is_pinned": -1}],
    **{
        f"{table}_is_pinned": [{"is_pinned": 2}, {"is_pinned": -1}]
        for table in ("files", "generations", "notifications")
    },
    "time_markers_of_one": [{"file_id": None}, {"project_id": 1}],
    "time_markers_times": [
        {"start_time": -0.001},
        {"start_time": 1.0, "end_time": 0.999},
    ],
    "time_markers_data": [{"data": text} for text in _NO_OBJECTS],
    "clips_times": [
        {"start_time": -0.001},
        {"start_time": 1.0, "end_time": 0.999},
        {"end_time": -1.0},
    ],
    "clips_llm_breakdown_response": [{"llm_breakdown_response": text} for text in _NO_OBJECTS],
    "jobs_not_own_parent": [{"parent_id": ID}],
    "jobs_status": [{"status": status} for status in ("", "done", "Queued", "queued ")],
    "jobs_progress": [{"progress": -0.001}, {"progress": 1.001}],
    "jobs_total": [{"total": -1}],
    "jobs_completed": [{"completed": -1}],
    "jobs_attempts": [{"attempts": -1}],
    "jobs_max_attempts": [{"max_attempts": 0}],
    "jobs_params": [{"params": text} for text in _NO_OBJECTS],
    "jobs_result": [{"result": text} for text in _NO_OBJECTS],
    "jobs_error_details": [{"error_details": text} for text in _NO_OBJECTS],
    "jobs_lease": [{"worker": None}, {"status": "queued"}],
    "jobs_is_batch": [{"is_batch": 2}, {"is_batch": -1}],
    "jobs_is_due": [{"is_due": 2}, {"is_due": -1}],
    "jobs_finished": [
        {"finished_at": MOMENT},
        {"status": "queued", "lease_expires_at": None, "finished_at": MOMENT},
        {"status": "succeeded", "lease_expires_at": None},
        {"status": "failed", "lease_expires_at": None},
        {"status": "cancelled", "lease_expires_at": None},
    ],
    "downloads_status": [{"status": status} for status in ("", "done", "Queued", "pending")],
    "downloads_filesize": [{"filesize": -1}],
    "downloads_progress_percent": [{"progress_percent": -0.001}, {"progress_percent": 100.001}],
    "downloads_completed": [
        {"completed_at": MOMENT},
        *({"status": status} for status in ("completed", "failed", "cancelled")),
    ],
    "downloads_not_own_parent": [{"parent_id": ID}],
    "downloads_attempts": [{"attempts": -1}],
    "downloads_max_attempts": [{"max_attempts": 0}],
    "downloads_lease": [
        {"worker": "w"},
        {"lease_expires_at": MOMENT},
        *(
            {"status": status, "completed_at": ended, "worker": "w", "lease_expires_at": MOMENT}
            for status, ended in (("queued", None), ("completed", MOMENT), ("failed", MOMENT))
        ),
    ],
    "downloads_lease_expires_at": [
        {"worker": "w", "lease_expires_at": text} for text in NO_MOMENTS
    ],
    "config_value": [{"value": text} for text in _NO_JSON],
    "job_references_target_type": [{"target_type": "clip"}, {"target_type": ""}],
    "jobs_waiting_for": [{"waiting_for": -1}],
    "job_dependencies_not_itself": [{"needs_id": ID}],
    "job_types_start_limit": [{"start_limit": 0}, {"start_limit": -1}],
    "job_types_start_seconds": [{"start_seconds": 0.0}, {"start_seconds": 1e9}],
    "job_starts_number": [{"number": 0}],
    "followed_changes_mark": [{"mark": -1}, {"mark": 65536}],
    "followed_changes_kind": [{"kind": ""}, {"kind": "INSERT"}],
    "followed_changes_row_key": [{"row_key": ""}, {"row_key": "[1"}],
    "job_types_running_limit": [{"running_limit": 0}, {"running_limit": -1}],
    "job_schedules_params": [{"params": text} for text in _NO_OBJECTS],
    "job_schedules_max_attempts": [{"max_attempts": 0}, {"max_attempts": -1}],
    "job_schedules_missed": [{"missed": "none"}, {"missed": ""}],
    "job_steps_attempt": [{"attempt": -1}],
    "job_steps_result": [{"result": text} for text in _NO_JSON],
    "job_steps_finished_at": [{"finished_at": text} for text in NO_MOMENTS],
    "job_logs_number": [{"number": 0}, {"number": -1}],
    "job_logs_attempt": [{"attempt": -1}],
    "videos_duration": [{"duration": -0.001}],
    "videos_framerate": [
        {"framerate_num": 0},
        {"framerate_num": -25},
        {"framerate_den": 0},
        {"framerate_den": -1},
        {"framerate_num": -25, "framerate_den": -1},
    ],
    "videos_size": [{"width": 0}, {"width": -1}, {"height": 0}, {"height": -1}],
    "project_settings_output": [{"output_width": 0}, {"output_height": -1}],
    "project_settings_frame_rate": [{"frame_rate_num": 0}, {"frame_rate_den": -1}],
    "project_settings_audio": [
        {"sample_rate": 0},
        {"audio_channels": 0},
        {"bit_depth": -1},
    ],
    "project_settings_data": [{"data": text} for text in _NO_OBJECTS],
    "timeline_tracks_kind": [{"kind": ""}],
    "timeline_tracks_overlap": [{"overlap": word} for word in ("", "None", "some")],
    "timeline_tracks_is_muted": [{"is_muted": 2}, {"is_muted": -1}],
    "timeline_tracks_is_locked": [{"is_locked": 2}, {"is_locked": -1}],
    "timeline_tracks_data": [{"data": text} for text in _NO_OBJECTS],
    "timeline_clips_place": [
        {"position": -1},
        {"duration": 0},
        {"position": 2**53},
        {"duration": 2**63 - 1, "position": 2**63 - 1},
    ],
    "timeline_clips_source": [
        {"image_path": ""},
        {"generator": ""},
        {"video_id": None, "in_point": None, "out_point": None},
    ],
    "timeline_clips_cut": [
        {"in_point": None},
        {"out_point": None},
        {"video_id": None, "image_path": ""},
        {"video_id": None, "generator": "", "out_point": None},
    ],
    "timeline_clips_points": [{"in_point": -1}, {"in_point": 1}],
    "timeline_clips_data": [{"data": text} for text in _NO_OBJECTS],
    "timeline_transitions_two_clips": [{"to_clip_id": 1}],
    "timeline_transitions_kind": [{"kind": ""}],
    "timeline_transitions_duration": [{"duration": 0}, {"duration": -1}],
    "timeline_transitions_data": [{"data": text} for text in _NO_OBJECTS],
    "project_versions_number": [{"number": 0}, {"number": -1}],
    "project_versions_checksum": [
        {"checksum": text} for text in ("", "0" * 63, "0" * 65, "A" + "0" * 63)
    ],
    "project_versions_content": [{"content": text} for text in _NO_OBJECTS],
    "library_videos_duration": [{"duration": -0.001}],
    "library_videos_framerate": [
        {"framerate_num": 0},
        {"framerate_num": -25},
        {"framerate_den": 0},
        {"framerate_den": -1},
    ],
    "library_videos_size": [{"width": 0}, {"width": -1}, {"height": 0}, {"height": -1}],
    "library_videos_size_bytes": [{"size_bytes": -1}],
    "library_videos_data": [{"data": text} for text in _NO_OBJECTS],
    "project_clips_points": [
        {"in_point": -1},
        {"in_point": 50},
        {"in_point": 50, "out_point": 49},
        {"out_point": 0},
    ],
    "audit_log_entity_id": [{"entity_id": 1.5}, {"entity_id": b"1"}],
    "audit_log_action": [{"action": action} for action in ("", "create", "CREATE ", "READ")],
    "audit_log_changes": [{"changes": text} for text in _NO_OBJECTS],
    "audit_context_one_row": [{"id": 0}, {"id": 2}],
    "generations_duration_seconds": [{"duration_seconds": 0}, {"duration_seconds": -1}],
    "generations_sample_rate": [{"sample_rate": 0}, {"sample_rate": -1}],
    "generations_channels": [{"channels": 0}, {"channels": 3}],
    "generations_file_size_bytes": [{"file_size_bytes": -1}],
    "generations_status": [{"status": status} for status in ("", "queued", "Pending", "done")],
    "generations_attempts": [{"attempts": -1}],
    "generations_max_attempts": [{"max_attempts": 0}],
    "generations_lease": [
        {"worker": "w"},
        {"lease_expires_at": MOMENT},
        *(
            {"status": status, "completed_at": ended, "worker": "w", "lease_expires_at": MOMENT}
            for status, ended in (("pending", None), ("completed", MOMENT), ("failed", MOMENT))
        ),
    ],
    "generations_lease_expires_at": [
        {"worker": "w", "lease_expires_at": text} for text in NO_MOMENTS
    ],
    "generations_completed": [
        {"completed_at": MOMENT},
        {"status": "pending", "completed_at": MOMENT},
        *({"status": status} for status in ("completed", "failed", "cancelled")),
    ],
    "generations_generation_time_seconds": [{"generation_time_seconds": -0.001}],
    "generations_metadata": [{"metadata": text} for text in _NO_OBJECTS],
    "prompts_used_count": [{"used_count": 0}, {"used_count": -1}],
    "file_processing_worker": [
        {"status": status, "next_retry_at": None, "worker": "w"}
        for status in ("queued", "orphaned")
    ],
    "file_processing_status": [
        {"status": status, "next_retry_at": None} for status in ("", "Error", "done", "running")
    ],
    "file_processing_progress": [{"progress": -0.001}, {"progress": 1.001}],
    "file_processing_counts": [
        {"retry_count": -1},
        {"max_retries": -1},
        {"recovery_attempts": -1},
    ],
    "file_processing_completed": [
        {"completed_at": MOMENT},
        {"status": "completed", "next_retry_at": None},
    ],
    "file_processing_retry": [
        {"status": status} for status in ("pending", "queued", "processing", "cancelled")
    ],
    "file_processing_options": [{"options": text} for text in _NO_OBJECTS],
    "media_info_duration": [{"duration": -0.001}],
    "media_info_frame_rate": [{"frame_rate_num": 0}, {"frame_rate_den": 0}],
    "media_info_size": [{"width": 0}, {"height": -1}],
    "media_info_audio": [
        {"audio_channels": 0},
        {"audio_sample_rate": 0},
        {"audio_bit_depth": -1},
    ],
    "media_info_metadata": [{"metadata": text} for text in _NO_OBJECTS],
    "media_info_waveform": [{"waveform": text} for text in _NO_ARRAYS],
    "tags_not_blank": [{"normalized_name": ""}],
    "profile_settings_value": [{"value": text} for text in _NO_JSON],
    "notifications_data": [{"data": text} for text in _NO_OBJECTS],
    "notifications_is_read": [{"is_read": 2}, {"is_read": -1}],
    "speakers_confidence": [{"confidence": -0.001}, {"confidence": 1.001}],
    "speakers_is_verified": [{"is_verified": 2}],
    "speakers_verified": [{"display_name": None}],
    "transcript_segments_times": [
        {"start_time": -0.001},
        {"start_time": 1.0, "end_time": 0.999},
        {"end_time": -1.0},
    ],
    "segment_originals_words": [{"words": text} for text in _NO_ARRAYS],
    "transcript_segments_words": [{"words": text} for text in _NO_ARRAYS],
    "llm_configs_max_tokens": [{"max_tokens": 0}, {"max_tokens": -1}],
    "llm_configs_temperature": [{"temperature": -0.001}],
    "llm_configs_test_status": [{"test_status": status} for status in ("", "ok", "Success")],
    "llm_configs_tested": [{"test_status": "untested"}, {"last_tested_at": None}],
    "llm_config_checks_status": [{"status": status} for status in ("", "untested")],
    "summary_prompts_content_type": [{"content_type": ""}],
    "summary_prompts_version": [{"version": 0}],
    "summaries_number": [{"version": 0}],
    "summaries_status": [{"status": status, "completed_at": None} for status in ("", "done")],
    "summaries_completed": [{"completed_at": None}, {"status": "pending"}],
    "summaries_has_content": [{"content": None}],
    "summaries_content": [{"content": text} for text in _NO_OBJECTS],
    "summaries_metadata": [{"metadata": text} for text in _NO_OBJECTS],
}
for _table, _row in ROWS.items():
    for _column, _value in _row.items():
        if _column == "finished_at":
            BROKEN["jobs_finished_at"] = [
                {"status": "failed", "lease_expires_at": None, "finished_at": text}
                for text in NO_MOMENTS
            ]
        elif _column == "completed_at":
            BROKEN[f"{_table}_completed_at"] = [
                {"status": "failed", "completed_at": text} for text in NO_MOMENTS
            ]
            if _table == "file_processing":
                BROKEN["file_processing_completed_at"] = [
                    {"status": "completed", "next_retry_at": None, "completed_at": text}
                    for text in NO_MOMENTS
                ]
        elif (_table, _column) in WITHOUT_CHECKED_MOMENT:
            continue
        elif _value == MOMENT:
            BROKEN[f"{_table}_{_column}"] = [{_column: text} for text in NO_MOMENTS]
        elif (_column, _value) == ("id", ID):
            BROKEN[f"{_table}_id"] = [{"id": text} for text in NO_IDS]


class ForeignKey(NamedTuple):
    table: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    on_delete: str


class Index(NamedTuple):
    table: str
    name: str
    columns: tuple[tuple[str, bool], ...]
    is_constraint: bool
    is_unique: bool
    where: str


@pytest.fixture(scope="module")
def schema() -> Iterator[sqlite3.Connection]:
    with closing(empty_database()) as connection:
        yield connection


def tables(schema: sqlite3.Connection) -> list[str]:
    return [
        name
        for (name,) in schema.execute(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
        )
        if not name.startswith("sqlite_")
    ]


def foreign_keys(schema: sqlite3.Connection) -> list[ForeignKey]:
    found = []
    for table in tables(schema):
        parts: dict[int, list[Any]] = {}
        for row in schema.execute(f"PRAGMA foreign_key_list({table})"):
            parts.setdefault(row[0], []).append(row)
        for rows in parts.values():
            rows.sort(key=lambda row: row[1])
            found.append(
                ForeignKey(
                    table,
                    tuple(row[3] for row in rows),
                    rows[0][2],
                    tuple(row[4] for row in rows),
                    rows[0][6],
                )
            )
    return found


def indexes(schema: sqlite3.Connection) -> list[Index]:
    found = []
    for table in tables(schema):
        for row in schema.execute(f"PRAGMA index_list({table})").fetchall():
            name = row[1]
            columns = tuple(
                (part[2], bool(part[3]))
                for part in schema.execute(f"PRAGMA index_xinfo({name})")
                if part[5]
            )
            sql = schema.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
            where = " ".join(((sql and sql[0]) or "").partition("WHERE")[2].split())
            found.append(Index(table, name, columns, row[3] != "c", bool(row[2]), where))
    return found


def insert(schema: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    places = ", ".join(f":{name}" for name in row)
    schema.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", row)


# Tables


def test_every_table_is_strict(schema: sqlite3.Connection) -> None:
    for name, kind, *_, strict in schema.execute(
        "SELECT name, type, ncol, wr, strict FROM pragma_table_list WHERE schema = 'main'"
    ):
        if kind in ("virtual", "shadow"):
            assert name.startswith((*SEARCHED.values(), SEARCHED_IN_PARTS)), name
        else:
            assert strict or kind == "view" or name.startswith("sqlite_"), name


def test_what_is_searched_is_named_like_its_table(schema: sqlite3.Connection) -> None:
    virtual = schema.execute("SELECT name FROM pragma_table_list WHERE type = 'virtual'").fetchall()
    assert sorted(virtual) == sorted((name,) for name in (*SEARCHED.values(), SEARCHED_IN_PARTS))
    for table, name in SEARCHED.items():
        assert name == f"{table}_fts"
        columns = {row[1]: row[2] for row in schema.execute(f"PRAGMA table_info({table})")}
        if table == "files":
            columns["title"] = "TEXT"  # of media_info
        for (column,) in schema.execute("SELECT name FROM pragma_table_info(?)", (name,)):
            assert columns[column] == "TEXT"


def test_every_table_index_view_and_trigger_is_named_like_its_table(
    schema: sqlite3.Connection,
) -> None:
    for kind, name, table in schema.execute("SELECT type, name, tbl_name FROM sqlite_schema"):
        if table.startswith((*SEARCHED.values(), SEARCHED_IN_PARTS)):
            continue  # SQLite names what is behind it
        assert name.startswith((table, f"idx_{table}", "sqlite_autoindex_")), (kind, name)


def test_there_is_a_row_for_every_table(schema: sqlite3.Connection) -> None:
    assert sorted(ROWS) == sorted(tables(schema))


@pytest.mark.parametrize("word", ["PRIMARY KEY", "UNIQUE", "FOREIGN KEY", "CHECK"])
def test_every_constraint_has_a_name(word: str) -> None:
    for block in re.findall(r"CREATE TABLE .*?;", CODE, re.DOTALL):
        uses = [match.start() for match in re.finditer(rf"\b{word}\b", block)]
        for start in uses:
            assert re.search(r"CONSTRAINT \w+\s+$", block[:start]), block[start : start + 60]
        for match in re.finditer(r"\bREFERENCES\b", block):
            assert re.search(
                r"CONSTRAINT \w+\s+(FOREIGN KEY \([\w, ]+\)\s+)?$", block[: match.start()]
            )


def test_no_two_constraints_or_objects_share_a_name() -> None:
    constraints = re.findall(r"CONSTRAINT (\w+)", CODE)
    assert len(set(constraints)) == len(constraints)
    objects = re.findall(r"CREATE (?:UNIQUE )?(?:TABLE|INDEX|VIEW|TRIGGER) (\w+)", CODE)
    assert len(set(objects)) == len(objects)


def test_every_table_has_a_primary_key_that_is_not_null(schema: sqlite3.Connection) -> None:
    for table in tables(schema):
        keys = [row for row in schema.execute(f"PRAGMA table_info({table})") if row[5]]
        assert keys, table
        for _, name, type, notnull, *_ in keys:
            assert notnull or type == "INTEGER", (table, name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.table)
def test_a_record_has_the_columns_of_its_table(case: Any, schema: sqlite3.Connection) -> None:
    columns = {
        row[1]: (row[2], bool(row[3])) for row in schema.execute(f"PRAGMA table_info({case.table})")
    }
    fields = {field.name: field.type for field in msgspec.structs.fields(case.record)}
    beside = case.columns_beside | {"file"}
    shared = [name for name in columns if name not in beside]
    assert [name for name in fields if name not in beside] == shared
    for name, (_, notnull) in columns.items():
        if name in beside:
            continue
        assert notnull == (type(None) not in get_args(fields[name])), name


# Foreign keys and indexes


def test_every_foreign_key_says_what_happens_on_delete(schema: sqlite3.Connection) -> None:
    keys = foreign_keys(schema)
    assert keys
    clauses = re.findall(r"REFERENCES \w+ \([^)]*\)([^,\n]*)", CODE)
    assert len(clauses) == len(keys)
    for clause in clauses:
        assert "ON DELETE" in clause
    # RESTRICT under a cascade from a common parent fails, or works by creation order.
    assert {key.on_delete for key in keys} <= {"CASCADE", "SET NULL", "NO ACTION"}


def test_every_foreign_key_has_an_index_that_serves_it(schema: sqlite3.Connection) -> None:
    for key in foreign_keys(schema):
        serving = [
            index.name
            for index in indexes(schema)
            if index.table == key.table
            and index.columns[0][0] in key.columns
            and index.where in ("", f"{key.columns[0]} IS NOT NULL")
        ]
        assert serving, f"no index serves {key}"
        where = " AND ".join(f"{column} = ?" for column in key.columns)
        ((*_, step),) = schema.execute(
            f"EXPLAIN QUERY PLAN SELECT 1 FROM {key.table} WHERE {where}", [None] * len(key.columns)
        )
        assert step.startswith(f"SEARCH {key.table} USING"), (key, step)


def test_no_index_is_the_beginning_of_another(schema: sqlite3.Connection) -> None:
    every = indexes(schema)
    for index in every:
        if index.is_constraint or index.is_unique:
            continue
        for other in every:
            if other.name != index.name and (other.table, other.where) == (
                index.table,
                index.where,
            ):
                beginning = other.columns[: len(index.columns)]
                assert beginning != index.columns, f"{other.name} does what {index.name} does"


def test_a_profile_is_deleted_without_reading_whole_tables(schema: sqlite3.Connection) -> None:
    for parent in {key.parent for key in foreign_keys(schema)}:
        (column,) = schema.execute("SELECT name FROM pragma_table_info(?) WHERE pk = 1", (parent,))
        plan = schema.execute(
            f"EXPLAIN QUERY PLAN DELETE FROM {parent} WHERE {column[0]} = ?", ("x",)
        )
        assert [step for *_, step in plan if step.startswith("SCAN")] == [], parent


# Columns


def moment_columns(schema: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    for table in tables(schema):
        for _, name, type, *_ in schema.execute(f"PRAGMA table_info({table})"):
            if (table, name) in WITHOUT_CHECKED_MOMENT:
                continue
            if type == "TEXT" and (
                name.endswith(("_at", "_after")) or name in ("last_seen", "timestamp")
            ):
                yield table, name


def test_every_moment_is_checked(schema: sqlite3.Connection) -> None:
    found = list(moment_columns(schema))
    assert len(found) >= 13
    for table, column in found:
        assert re.search(
            rf"CONSTRAINT {table}_{column}\s+CHECK \({column} IS "
            rf"strftime\('%Y-%m-%dT%H:%M:%fZ', {column}(?:, '\+0 days')?\)\)",
            CODE,
        ), (table, column)


def test_what_is_a_datetime_in_a_record_is_a_moment_in_the_table(
    schema: sqlite3.Connection,
) -> None:
    moments = set(moment_columns(schema))
    for case in CASES:
        for name, type in get_type_hints(case.record).items():
            is_moment = datetime in (type, *get_args(type))
            assert is_moment == ((case.table, name) in moments), (case.table, name)


def test_every_json_column_is_checked() -> None:
    """A dict is an object, so that one wrong row at the prompt does not make every list fail."""
    for case in CASES:
        for field in msgspec.structs.fields(case.record):
            kinds = [
                getattr(kind, "__origin__", kind) for kind in (field.type, *get_args(field.type))
            ]
            if dict in kinds:
                otherwise = f"{field.name} IS NULL" if type(None) in kinds else "0"
                assert (
                    f"CONSTRAINT {case.table}_{field.name} CHECK (CASE WHEN "
                    f"json_valid({field.name}) THEN json_type({field.name}) = 'object' "
                    f"ELSE {otherwise} END)" in " ".join(CODE.split())
                ), field.name


def test_every_id_is_checked(schema: sqlite3.Connection) -> None:
    for case in CASES:
        if case.record.__struct_fields__[0] == "id" and case.is_keyed_by_uuid:
            assert f"{case.table}_id" in BROKEN
            assert f"CONSTRAINT {case.table}_id CHECK (id GLOB" in CODE


def test_there_is_a_broken_row_for_every_check() -> None:
    assert sorted(BROKEN) == sorted(re.findall(r"CONSTRAINT (\w+)\s+CHECK", CODE))


@pytest.fixture(scope="module")
def filled_image() -> bytes:
    with closing(empty_database()) as connection:
        connection.execute("DELETE FROM database_identity")  # a new one has its row already
        for table, row in ROWS.items():
            if table == "file_numbers":  # a trigger has numbered the file
                connection.execute("DELETE FROM file_numbers")
            if table == "job_dependencies":  # a job that the other one waits for
                insert(connection, "jobs", ROWS["jobs"] | {"id": OTHER_ID, "unique_key": None})
            if table == "timeline_transitions":  # the clip that comes next
                next_clip = ROWS["timeline_clips"] | {"id": 2, "position": 1}
                insert(connection, "timeline_clips", next_clip)
            insert(connection, table, row)
        return connection.serialize()


@pytest.fixture
def filled(filled_image: bytes) -> Iterator[sqlite3.Connection]:
    """A database with one valid row in every table."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.deserialize(filled_image)
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


def test_a_good_row_is_taken(filled: sqlite3.Connection) -> None:
    assert filled.execute("PRAGMA foreign_key_check").fetchall() == []
    for table in ROWS:
        assert filled.execute(f"SELECT count(*) FROM {table}").fetchone()[0] >= 1


def drop_triggers(connection: sqlite3.Connection, table: str) -> None:
    """Leaves the CHECKs alone with the row: a trigger may refuse it before they are looked at."""
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?", (table,)
    ).fetchall():
        connection.execute(f"DROP TRIGGER {name}")


@pytest.mark.parametrize("constraint", BROKEN)
def test_a_row_that_breaks_a_check_is_refused(constraint: str, filled: sqlite3.Connection) -> None:
    table = max((table for table in ROWS if constraint.startswith(table + "_")), key=len)
    filled.execute("PRAGMA foreign_keys = OFF")
    drop_triggers(filled, table)
    good = ROWS[table]
    filled.execute(f"DELETE FROM {table}")
    for changes in BROKEN[constraint]:
        with pytest.raises(sqlite3.IntegrityError) as caught:
            insert(filled, table, good | changes)
        assert str(caught.value) == f"CHECK constraint failed: {constraint}", changes
        assert filled.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    insert(filled, table, good)
    for changes in BROKEN[constraint]:
        sets = ", ".join(f"{name} = :{name}" for name in changes)
        with pytest.raises(sqlite3.IntegrityError, match=f"failed: {constraint}$"):
            filled.execute(f"UPDATE {table} SET {sets}", changes)


def test_a_moment_that_no_calendar_has_is_refused(filled: sqlite3.Connection) -> None:
    """One such row would make every list that holds it fail: no datetime can hold it."""
    taken = []
    for table, column in moment_columns(filled):
        drop_triggers(filled, table)
        for moment in (
            "2026-02-30T00:00:00.000Z",
            "2026-04-31T00:00:00.000Z",
            "2026-01-31T24:00:00.000Z",
        ):
            try:
                filled.execute(
                    f"UPDATE {table} SET {column} = ? WHERE {column} IS NOT NULL", (moment,)
                )
            except sqlite3.IntegrityError:
                continue
            if filled.execute("SELECT changes()").fetchone() != (0,):
                taken.append(f"{table}.{column}: {moment}")
    assert taken == []


@pytest.mark.parametrize("table", ROWS)
def test_null_is_refused_where_the_table_says_so(table: str, filled: sqlite3.Connection) -> None:
    filled.execute("PRAGMA foreign_keys = OFF")
    for _, column, type, is_required, _, is_key in filled.execute(f"PRAGMA table_info({table})"):
        if not is_required or (is_key and type == "INTEGER"):  # SQLite numbers the latter itself
            continue
        with pytest.raises(sqlite3.IntegrityError, match=f"NOT NULL .*: {table}.{column}$"):
            insert(filled, table, ROWS[table] | {column: None})


def test_the_defaults_serve_people_at_the_prompt(schema: sqlite3.Connection) -> None:
    with closing(empty_database()) as connection:
        connection.executescript(
            f"""
            INSERT INTO profiles (id) VALUES ('ann');
            INSERT INTO files (id, profile_id, name, path) VALUES ('{ID}', 'ann', 'n', 'p');
            INSERT INTO transcripts (id, profile_id, file_id, text) VALUES ('{ID}', 'ann', '{ID}', '');
            INSERT INTO clips (id, profile_id, file_id, start_time, end_time, llm_breakdown_response)
            VALUES ('{ID}', 'ann', '{ID}', 0, 1, '{{}}');
            INSERT INTO llm_templates (id, profile_id, sys_msg, prompt, model)
            VALUES ('{ID}', 'ann', '', '', '');
            INSERT INTO jobs (id, profile_id, type) VALUES ('{ID}', 'ann', 't');
            """
        )
        for table, column in moment_columns(connection):
            for (moment,) in connection.execute(f"SELECT {column} FROM {table}"):
                assert moment is None or len(moment) == len(MOMENT)


def test_an_upper_case_reference_in_json_is_found(filled: sqlite3.Connection) -> None:
    filled.execute(
        "UPDATE jobs SET params = json_object('file_id', ?) WHERE id = ?",
        (OTHER_ID.replace("2", "A"), ID),
    )
    targets = filled.execute("SELECT target_id, target_type FROM job_references").fetchall()
    assert targets == [(OTHER_ID.replace("2", "a"), "file")]


# The text


def test_schema_sql_gives_the_very_bytes() -> None:
    packaged = Path(reelbase.__file__).parent / "schema.sql"
    path = packaged if packaged.exists() else Path(__file__).parents[2] / "schema.sql"
    assert reelbase.schema_sql().encode() == path.read_bytes()


def test_the_file_is_ours_and_of_the_version_the_library_knows(
    schema: sqlite3.Connection,
) -> None:
    assert schema.execute("PRAGMA application_id").fetchone() == (int.from_bytes(b"reel"),)
    assert schema.execute("PRAGMA user_version").fetchone() == (reelbase.SCHEMA_VERSION,)
    assert schema.execute("SELECT max(version) FROM schema_migrations").fetchone() == (
        reelbase.SCHEMA_VERSION,
    )


def test_it_is_one_transaction() -> None:
    statements = [line.strip() for line in CODE.splitlines() if line.strip()]
    assert statements[0] == "BEGIN IMMEDIATE;"
    assert statements[-1] == "COMMIT;"
    assert CODE.count("COMMIT;") == CODE.count("BEGIN IMMEDIATE;") == 1


@pytest.mark.parametrize("kind", ["TABLE", "VIEW", "TRIGGER"])
def test_a_comment_says_what_it_is_for(kind: str) -> None:
    """Triggers that follow each other for one purpose share the comment above the first."""
    lines = SCHEMA.splitlines()
    for number, line in enumerate(lines):
        if line.startswith(f"CREATE {kind}"):
            above = number - 1
            while kind == "TRIGGER" and not lines[above].startswith("--"):
                previous = "\n".join(lines[:above]).rpartition("CREATE ")[2]
                assert previous.startswith("TRIGGER"), line
                above = max(
                    index for index in range(above) if lines[index].startswith("CREATE TRIGGER")
                )
                above -= 1
            assert lines[above].startswith("--"), line


def test_its_style() -> None:
    for line in SCHEMA.splitlines():
        assert line == line.rstrip()
        assert "\t" not in line
        assert len(line) <= 120, line
    code = re.sub(r"'(?:[^']|'')*'", "''", CODE)
    words = """create table index view trigger constraint primary foreign references unique check
        not null default strict without select from where and or insert into values update set delete
        begin end commit pragma on cascade before after when"""
    for word in words.split():
        assert not re.search(rf"(?<![\w.]){word}(?![\w.(])", code), word


# Whoever runs it


def test_the_migrations_make_what_schema_sql_makes() -> None:
    """Object by object, but for comments and white space."""

    def made_by(script: str) -> dict[str, str]:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            connection.executescript(script)
            return {
                name: " ".join(re.sub(r"--[^\n]*", "", sql or "").split())
                for name, sql in connection.execute("SELECT name, sql FROM sqlite_schema")
            }

    folder = Path(reelbase.__file__).parent / "migrations"
    steps = [path.read_text("utf-8") for path in sorted(folder.glob("*.sql"))]
    assert len(steps) == reelbase.SCHEMA_VERSION
    assert made_by("\n".join(steps)) == made_by(SCHEMA)


def test_the_ledger_names_the_migrations(schema: sqlite3.Connection) -> None:
    folder = Path(reelbase.__file__).parent / "migrations"
    paths = sorted(folder.glob("*.sql"))
    assert schema.execute("SELECT version, name, checksum FROM schema_migrations").fetchall() == [
        (number, path.stem.partition("_")[2], hashlib.sha256(path.read_bytes()).hexdigest())
        for number, path in enumerate(paths, 1)
    ]


def objects(path: Path) -> tuple[list[tuple[Any, ...]], ...]:
    with closing(sqlite3.connect(path)) as connection:
        return (
            connection.execute(
                "SELECT type, name, tbl_name, sql FROM sqlite_schema"
                " WHERE name <> 'sqlite_stat4' ORDER BY type, name"  # which not every SQLite has
            ).fetchall(),
            connection.execute("PRAGMA application_id").fetchall(),
            connection.execute("PRAGMA user_version").fetchall(),
            connection.execute("PRAGMA encoding").fetchall(),
            connection.execute("SELECT version, name, checksum FROM schema_migrations").fetchall(),
            connection.execute("PRAGMA integrity_check").fetchall(),
        )


def run_program(path: Path) -> None:
    program = shutil.which("sqlite3")
    if program is None:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(SCHEMA)
    else:
        subprocess.run(
            [program, "-bail", str(path)],
            input=reelbase.schema_sql().encode(),
            check=True,
            timeout=30,
        )


async def test_the_sqlite3_program_makes_what_the_library_makes(
    path: Path, tmp_path: Path, journal: Any
) -> None:
    by_hand = tmp_path / "by-hand.db"
    run_program(by_hand)
    assert objects(by_hand) == objects(path)
    async with reelbase.connect(by_hand, journal=journal) as database:
        await database.profiles.ensure("ann")
        assert database.schema_version == reelbase.SCHEMA_VERSION
        assert database.journal.mode == journal
    assert objects(by_hand) == objects(path)


async def test_it_is_not_run_twice(tmp_path: Path) -> None:
    by_hand = tmp_path / "by-hand.db"
    run_program(by_hand)
    before = objects(by_hand)
    with closing(sqlite3.connect(by_hand)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="already exists"):
            connection.executescript(SCHEMA)
        connection.rollback()
    assert objects(by_hand) == before


async def test_a_database_made_by_hand_needs_no_rights_beyond_its_own(
    tmp_path: Path, journal: Any
) -> None:
    path = tmp_path / "new.db"
    async with reelbase.connect(path, journal=journal):
        pass
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_diagram_in_the_readme_is_that_of_the_schema() -> None:
    """It is written by ``.ci/check --write``."""
    readme = Path(__file__).parents[2].joinpath("src", "README.md").read_text("utf-8")
    assert f"```mermaid\n{schema_diagram(all_columns=False)}```" in readme
