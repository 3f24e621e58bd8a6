"""The names that users rely on, with their signatures: what CONTRACT pins and nothing may change.

Signatures are written as in the contract, without types.
"""

from __future__ import annotations

import enum
import inspect
import types
import typing
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

import reelbase
from reelbase import Database, Repository, Snapshot, UnitOfWork

FUNCTIONS = {
    "connect": (
        "path, *, journal='auto', durability='balanced', busy_timeout=5.0, readers=None, "
        "create=True, migrate=True, migrations=None, secrets=None, mounts='/proc/mounts', clock=None, "
        "slow_query=None, slow_transaction=1.0, backup_dir=None, setup=None, read_only=False"
    ),
    "filesystem_of": "path, *, mounts='/proc/mounts'",
    "journal_mode_for": "path, *, mounts='/proc/mounts'",
    "backup": "path, target, *, keep=None, busy_timeout=5.0, progress=None, setup=None",
    "restore": "backup, target, *, busy_timeout=5.0, progress=None, setup=None",
    "repair": "path, *, busy_timeout=5.0, progress=None, setup=None",
    "schema_sql": "",
    "migrate": (
        "path, *, to=None, dry_run=False, migrations=None, backup_dir=None, busy_timeout=5.0, "
        "progress=None, setup=None"
    ),
    "adopt": "path, *, busy_timeout=5.0, setup=None",
    "migration_history": "path, *, busy_timeout=5.0",
}

REPOSITORIES: dict[str, tuple[str, dict[str, str]]] = {
    "profiles": (
        "ProfileRepository",
        {
            "ensure": "profile_id",
            "get": "profile_id",
            "find": "profile_id",
            "exists": "profile_id",
            "list": "limit=None, offset=0",
            "count": "",
            "delete": "profile_id, *, missing_ok=False",
        },
    ),
    "files": (
        "FileRepository",
        {
            "add": (
                "profile_id, name, path, type=None, folder=None, *, id=None, source_file_id=None, "
                "origin=None, size_bytes=None, content_type=None, content_hash=None, source_url=None"
            ),
            "add_many": "profile_id, files",
            "get": "file_id",
            "find": "file_id",
            "list_for_profile": "profile_id, *, limit=None, offset=0",
            "list": "*, limit=100, offset=0",
            "update_many": "file_ids, **changes",
            "delete_many": "file_ids, *, missing_ok=False",
            "page": (
                "profile_id, *, after=None, limit=50, tags=(), type=None, folder=UNSET, "
                "status=None, search=None"
            ),
            "find_by_hash": "profile_id, content_hash",
            "find_by_url": "profile_id, source_url",
            "derived_from": "file_id",
            "search": "profile_id, query, *, limit=50",
            "rebuild_search": "",
            "update": "file_id, **changes",
            "delete": "file_id, *, missing_ok=False",
            "count_for_profile": "profile_id",
        },
    ),
    "transcripts": (
        "TranscriptRepository",
        {
            "add": "profile_id, file_id, text, llm_explanation=None, *, id=None, language=None",
            "get": "transcript_id",
            "find": "transcript_id",
            "list_for_profile": "profile_id, load_file=False",
            "list_for_file": "file_id",
            "update": "transcript_id, *, text=UNSET, llm_explanation=UNSET, language=UNSET",
            "delete": "transcript_id, *, missing_ok=False",
            "search": "profile_id, query, *, limit=50",
        },
    ),
    "clips": (
        "ClipRepository",
        {
            "add": "profile_id, file_id, start_time, end_time, llm_breakdown_response, *, id=None",
            "get": "clip_id",
            "find": "clip_id",
            "list_for_profile": "profile_id, load_file=False",
            "list_for_file": "file_id",
            "delete": "clip_id, *, missing_ok=False",
        },
    ),
    "templates": (
        "LlmTemplateRepository",
        {
            "get_for_profile": "profile_id",
            "upsert": "profile_id, sys_msg, prompt, model, srt_sys_msg='', srt_model=''",
            "delete": "profile_id, *, missing_ok=False",
        },
    ),
    "jobs": (
        "JobRepository",
        {
            "add": (
                "profile_id, type, params, parent_id=None, total=1, *, id=None, priority=0, "
                "run_after=None, max_attempts=1"
            ),
            "add_batch": (
                "profile_id, type, params, children, *, id=None, priority=0, run_after=None, "
                "max_attempts=1"
            ),
            "get": "job_id",
            "find": "job_id",
            "list_for_profile": "profile_id, active_only=False, *, limit=None, offset=0",
            "list_children": "parent_id",
            "list": "*, active_only=False, limit=100, offset=0",
            "list_unfinished": "",
            "find_referencing_file": "profile_id, file_id",
            "find_referencing_transcript": "profile_id, transcript_id",
            "update": (
                "job_id, *, status=None, progress=None, completed=None, result=None, error=None, "
                "error_code=None, error_details=None"
            ),
            "claim": "worker, *, types=None, lease=60.0",
            "heartbeat": "job_id, worker, *, progress=None, completed=None, lease=60.0, attempt=None",
            "succeed": "job_id, result=None, *, worker=None, attempt=None",
            "fail": (
                "job_id, error, *, error_code=None, error_details=None, retry_in=None, worker=None, "
                "attempt=None"
            ),
            "release": "job_id, worker, *, attempt=None",
            "cancel": "job_id",
            "retry": "job_id",
            "recover": "*, message='interrupted by restart'",
            "delete": "job_id, *, missing_ok=False",
            "purge": "older_than",
        },
    ),
    "projects": (
        "ProjectRepository",
        {
            "add": "name, workspace_path, description=None",
            "get": "project_id",
            "find": "project_id",
            "list": "*, limit=100, offset=0",
            "count": "",
            "update": "project_id, **changes",
            "delete": "project_id, *, missing_ok=False",
            "find_by_name": "name",
            "find_by_workspace": "path",
            "list_with_stats": "*, limit=None, offset=0",
            "get_with_videos": "project_id",
        },
    ),
    "videos": (
        "VideoRepository",
        {
            "add": (
                "project_id, filename, path, duration, framerate_num, framerate_den, width, height"
            ),
            "add_many": "project_id, videos",
            "get": "video_id",
            "find": "video_id",
            "list": "*, limit=100, offset=0",
            "page": "*, after=None, limit=100",
            "list_for_project": "project_id",
            "find_by_path": "path",
            "update": "video_id, **changes",
            "delete": "video_id, *, missing_ok=False",
            "count": "",
            "search": "query, *, limit=100",
        },
    ),
    "project_clips": (
        "ProjectClipRepository",
        {
            "add": "project_id, video_id, in_point, out_point",
            "get": "clip_id",
            "find": "clip_id",
            "list": "*, limit=100, offset=0",
            "count": "",
            "update": "clip_id, **changes",
            "delete": "clip_id, *, missing_ok=False",
            "find_by_video": "video_id",
            "find_by_project": "project_id",
            "find_overlapping": "video_id, in_point, out_point, *, exclude_id=None",
            "validate_bounds": "video_id, in_point, out_point",
            "split": "clip_id, frame",
        },
    ),
    "audit": (
        "AuditRepository",
        {
            "log_create": "entity_type, entity_id, user_id=None",
            "log_update": "entity_type, entity_id, changes, user_id=None",
            "log_delete": "entity_type, entity_id, user_id=None",
            "get": "entry_id",
            "find": "entry_id",
            "get_history": "entity_type, entity_id, *, limit=None",
            "list": "*, limit=100, offset=0",
            "count": "",
            "prune": "older_than",
        },
    ),
    "generations": (
        "GenerationRepository",
        {
            "create": (
                "prompt, model_name, duration_seconds, sample_rate, channels, file_path, *, "
                "id=None, model_version=None, metadata=None, priority=0, max_attempts=1"
            ),
            "create_many": "generations",
            "get": "generation_id",
            "find": "generation_id",
            "list": "*, status=None, limit=100, offset=0",
            "list_for_model": "model_name, *, limit=100, offset=0",
            "list_for_prompt": "prompt, *, limit=100, offset=0",
            "pending": "limit=100",
            "claim": "worker=None, *, lease=60.0",
            "heartbeat": "generation_id, worker, *, lease=60.0, attempt=None",
            "release": "generation_id, worker, *, attempt=None",
            "mark_processing": "generation_id, *, worker=None, lease=60.0",
            "complete": (
                "generation_id, generation_time, file_size_bytes=None, metadata=None, *, "
                "worker=None, attempt=None"
            ),
            "fail": "generation_id, error_message, *, worker=None, attempt=None",
            "cancel": "generation_id",
            "retry": "generation_id",
            "set_metadata": "generation_id, metadata",
            "update_status": "generation_id, status, error_message=None",
            "delete": "generation_id, *, missing_ok=False",
            "count": "status=None",
            "stats": "",
            "recover": "message='interrupted by restart'",
        },
    ),
    "prompts": (
        "PromptRepository",
        {
            "track": "text",
            "get": "prompt_id",
            "find": "prompt_id",
            "find_by_text": "text",
            "list": "*, limit=100, offset=0",
            "most_used": "limit=10",
            "search": "query, limit=20",
            "count": "",
        },
    ),
    "sessions": (
        "SessionRepository",
        {
            "ensure": "session_id",
            "get": "session_id",
            "find": "session_id",
            "touch": "session_id, *, every=60.0",
            "list": "*, limit=100, offset=0",
            "count": "",
            "purge_idle": "older_than",
            "delete": "session_id, *, missing_ok=False",
        },
    ),
    "downloads": (
        "DownloadRepository",
        {
            "add": (
                "session_id, url, *, id=None, format_id=None, quality=None, output_template=None, "
                "media_type=None, output_format=None, parent_id=None, priority=0, max_attempts=1"
            ),
            "add_many": (
                "session_id, urls, *, ids=None, format_id=None, quality=None, output_template=None, "
                "media_type=None, output_format=None, parent_id=None, priority=0, max_attempts=1"
            ),
            "get": "download_id",
            "find": "download_id",
            "list_for_session": "session_id, *, active_only=False",
            "list": "*, active_only=False, limit=100, offset=0",
            "list_children": "parent_id",
            "queue_depth": "",
            "claim": "worker, *, extracting=False, lease=60.0",
            "heartbeat": "download_id, worker, *, lease=60.0, attempt=None",
            "release": "download_id, worker, *, attempt=None",
            "start": "download_id, *, extracting=False, worker=None, lease=60.0",
            "progress": (
                "download_id, percent, *, speed=None, eta=None, filename=UNSET, filesize=UNSET, "
                "worker=None, attempt=None, lease=60.0"
            ),
            "complete": (
                "download_id, *, filename=UNSET, filesize=UNSET, worker=None, attempt=None"
            ),
            "fail": "download_id, error_message, *, worker=None, attempt=None",
            "cancel": "download_id",
            "retry": "download_id",
            "delete": "download_id, *, missing_ok=False",
            "counts_by_status": "",
            "recover": "message='interrupted by server restart', *, queued=False",
            "purge": "older_than",
        },
    ),
    "config": (
        "ConfigRepository",
        {
            "get": "key, default=None, *, type=<class 'object'>",
            "set": "key, value",
            "set_many": "values",
            "all": "",
            "entries": "",
            "delete": "key, *, missing_ok=False",
        },
    ),
    "unsupported_urls": (
        "UnsupportedUrlRepository",
        {
            "add": "url, *, session_id=None, error=None",
            "list": "*, limit=100, offset=0",
            "count": "",
            "clear": "",
            "prune": "older_than",
        },
    ),
    "error_log": (
        "ErrorLogRepository",
        {
            "add": "url, error, *, session_id=None, format_id=None, media_type=None",
            "list": "*, domain=None, limit=100, offset=0",
            "count": "",
            "clear": "",
            "prune": "older_than",
            "top_domains": "limit=10",
        },
    ),
    "media_info": (
        "MediaInfoRepository",
        {
            "upsert": "file_id, **fields",
            "get": "file_id",
            "find": "file_id",
            "delete": "file_id, *, missing_ok=False",
        },
    ),
    "file_processing": (
        "FileProcessingRepository",
        {
            "get": "file_id",
            "find": "file_id",
            "enqueue": "file_id, *, max_retries=3",
            "start": "file_id, *, stage=None, downloading=False, worker=None",
            "progress": "file_id, progress, *, stage=None",
            "complete": "file_id",
            "fail": "file_id, message, *, category=None, retry_in=None",
            "request_cancel": "file_id",
            "cancel": "file_id",
            "retry": "file_id",
            "stuck": "older_than",
            "recover_stuck": "older_than",
            "counts_by_status": "profile_id=None",
        },
    ),
    "tags": (
        "TagRepository",
        {
            "ensure": "profile_id, name",
            "get": "tag_id",
            "find": "tag_id",
            "list_for_profile": "profile_id",
            "attach": "file_id, *names",
            "detach": "file_id, name",
            "attach_many": "file_ids, *names",
            "detach_many": "file_ids, *names",
            "for_file": "file_id",
            "rename": "tag_id, name",
            "merge": "source_id, target_id",
            "delete": "tag_id, *, missing_ok=False",
            "delete_unused": "profile_id",
        },
    ),
    "settings": (
        "SettingsRepository",
        {
            "get": "profile_id, key, default=None, *, type=<class 'object'>",
            "all": "profile_id, *, prefix=None",
            "set": "profile_id, key, value",
            "set_many": "profile_id, values",
            "reset": "profile_id, *keys",
        },
    ),
    "notifications": (
        "NotificationRepository",
        {
            "push": (
                "profile_id, type, title, message='', *, progress_key=None, progress=None, "
                "status='info', data=None"
            ),
            "get": "notification_id",
            "find": "notification_id",
            "list_for_profile": "profile_id, *, unread_only=False, limit=100",
            "unread_count": "profile_id",
            "mark_read": "profile_id, *ids",
            "mark_all_read": "profile_id",
            "dismiss": "id",
            "prune": "profile_id, keep=100",
        },
    ),
    "segments": (
        "SegmentRepository",
        {
            "replace_all": "transcript_id, segments",
            "get": "segment_id",
            "find": "segment_id",
            "page": "transcript_id, *, after=None, limit=500",
            "list_for_transcript": "transcript_id",
            "at": "transcript_id, time",
            "update": "segment_id, **changes",
            "assign_speaker": "segment_ids, speaker_id",
            "count": "transcript_id",
        },
    ),
    "speakers": (
        "SpeakerRepository",
        {
            "ensure": "file_id, label",
            "get": "speaker_id",
            "find": "speaker_id",
            "list_for_file": "file_id",
            "relabel": "speaker_id, display_name",
            "suggest": "speaker_id, name, confidence",
            "merge": "source_id, target_id",
            "delete": "speaker_id, *, missing_ok=False",
            "names_for_profile": "profile_id",
        },
    ),
    "llm_configs": (
        "LlmConfigRepository",
        {
            "add": (
                "profile_id, name, provider, model_name, *, api_key=None, base_url=None, "
                "max_tokens=8192, temperature=0.3"
            ),
            "get": "config_id",
            "find": "config_id",
            "list_for_profile": "profile_id",
            "active": "profile_id",
            "activate": "config_id",
            "update": "config_id, **changes",
            "delete": "config_id, *, missing_ok=False",
            "api_key": "config_id",
            "record_test": "config_id, status, message=None",
            "tests": "config_id, limit=20",
            "rotate_keys": "",
        },
    ),
    "summary_prompts": (
        "SummaryPromptRepository",
        {
            "add": "profile_id, name, prompt_text, *, content_type='general', description=None",
            "get": "prompt_id",
            "find": "prompt_id",
            "list_for_profile": "profile_id, *, content_type=None, include_system=True",
            "update": "prompt_id, **changes",
            "versions": "prompt_id",
            "set_active": "profile_id, prompt_id",
            "active": "profile_id, content_type='general'",
            "delete": "prompt_id, *, missing_ok=False",
        },
    ),
    "summaries": (
        "SummaryRepository",
        {
            "start": "file_id, *, prompt_id=None, provider=None, model=None",
            "complete": "summary_id, content, *, metadata=None",
            "update": "summary_id, *, content=UNSET, metadata=UNSET",
            "fail": "summary_id, message",
            "latest": "file_id",
            "list_for_file": "file_id",
            "get": "summary_id",
            "find": "summary_id",
            "delete": "summary_id, *, missing_ok=False",
            "search": "profile_id, query, limit=50",
        },
    ),
}

RAW = {
    "fetch_all": "row_type, sql, params=(), *, timeout=None",
    "fetch_one": "row_type, sql, params=(), *, timeout=None",
    "fetch_optional": "row_type, sql, params=(), *, timeout=None",
    "stream": "row_type, sql, params=(), *, batch=500",
    "execute": "sql, params=()",
    "execute_many": "sql, rows",
    "repository": "repository_class",
}
DATABASE = {
    "close": "",
    "transaction": "*, actor=None",
    "snapshot": "",
    "backup": "target, *, progress=None, keep=None",
    "check": "*, full=False",
    "stats": "",
    "optimize": "",
    "vacuum": "",
    "checkpoint": "",
    "rebuild_search": "",
}
UNIT_OF_WORK = {"savepoint": "", "rollback": ""}

PROPERTIES: dict[type, set[str]] = {
    Database: {"path", "journal", "schema_version", "closed"},
    UnitOfWork: {"now", "actor", "state"},
}

Json = dict[str, Any]

_PROJECT: dict[str, Any] = {
    "id": int,
    "name": str,
    "description": str | None,
    "workspace_path": str,
    "created_at": datetime,
    "updated_at": datetime,
}

RECORDS: dict[str, dict[str, Any]] = {
    "RepairReport": {
        "copy": Path | None,
        "mended": list[str],
        "lost": list[str],
        "rows_lost": dict[str, int],
        "problems": list[str],
    },
    "HealthReport": {
        "ok": bool,
        "problems": list[str],
        "warnings": list[str],
        "journal_mode": str,
        "sqlite_version": str,
        "schema_version": int,
        "looked_at": list[str],
        "advice": str | None,
    },
    "DatabaseStats": {
        "rows": dict[str, int],
        "size_bytes": int,
        "page_count": int,
        "page_size_bytes": int,
        "wal_bytes": int,
        "schema_version": int,
        "database_id": UUID,
    },
    "BackupReport": {"copy": Path, "size_bytes": int, "removed": list[Path]},
    "Profile": {
        "id": str,
        "created_at": datetime,
        "active_llm_config_id": int | None,
        "active_summary_prompt_id": int | None,
    },
    "File": {
        "id": UUID,
        "profile_id": str,
        "name": str,
        "path": str,
        "type": str | None,
        "folder": str | None,
        "source_file_id": UUID | None,
        "origin": str | None,
        "size_bytes": int | None,
        "content_type": str | None,
        "content_hash": str | None,
        "source_url": str | None,
        "created_at": datetime,
    },
    "Transcript": {
        "id": UUID,
        "profile_id": str,
        "file_id": UUID,
        "text": str,
        "llm_explanation": str | None,
        "language": str | None,
        "created_at": datetime,
        "file": reelbase.File | None,
    },
    "Clip": {
        "id": UUID,
        "profile_id": str,
        "file_id": UUID,
        "start_time": float,
        "end_time": float,
        "llm_breakdown_response": Json,
        "created_at": datetime,
        "file": reelbase.File | None,
    },
    "LlmTemplate": {
        "id": UUID,
        "profile_id": str,
        "sys_msg": str,
        "prompt": str,
        "model": str,
        "srt_sys_msg": str,
        "srt_model": str,
        "created_at": datetime,
        "updated_at": datetime,
    },
    "Job": {
        "id": UUID,
        "profile_id": str,
        "parent_id": UUID | None,
        "type": str,
        "status": reelbase.JobStatus,
        "progress": float,
        "total": int,
        "completed": int,
        "params": Json,
        "result": Json | None,
        "error": str | None,
        "error_code": str | None,
        "error_details": Json | None,
        "priority": int,
        "attempts": int,
        "max_attempts": int,
        "run_after": datetime | None,
        "worker": str | None,
        "lease_expires_at": datetime | None,
        "created_at": datetime,
        "updated_at": datetime,
        "started_at": datetime | None,
        "finished_at": datetime | None,
    },
    "RecoveryReport": {"failed": int, "left_queued": int},
    "Project": _PROJECT,
    "ProjectStats": _PROJECT | {"video_count": int, "clip_count": int},
    "ProjectWithVideos": {"project": reelbase.Project, "videos": list[reelbase.Video]},
    "Video": {
        "id": int,
        "project_id": int,
        "filename": str,
        "path": str,
        "duration": float,
        "framerate_num": int,
        "framerate_den": int,
        "width": int,
        "height": int,
        "created_at": datetime,
    },
    "ProjectClip": {
        "id": int,
        "project_id": int,
        "video_id": int,
        "in_point": int,
        "out_point": int,
        "created_at": datetime,
    },
    "AuditEntry": {
        "id": int,
        "entity_type": str,
        "entity_id": int | str,
        "action": reelbase.AuditAction,
        "changes": Json,
        "user_id": str | None,
        "timestamp": datetime,
    },
    "Generation": {
        "id": UUID,
        "prompt": str,
        "model_name": str,
        "model_version": str | None,
        "duration_seconds": float,
        "sample_rate": int,
        "channels": int,
        "file_path": str,
        "file_size_bytes": int | None,
        "status": reelbase.GenerationStatus,
        "created_at": datetime,
        "completed_at": datetime | None,
        "generation_time_seconds": float | None,
        "error_message": str | None,
        "metadata": Json,
        "priority": int,
        "attempts": int,
        "max_attempts": int,
        "worker": str | None,
        "lease_expires_at": datetime | None,
    },
    "GenerationStats": {
        "total_generations": int,
        "pending_generations": int,
        "processing_generations": int,
        "completed_generations": int,
        "failed_generations": int,
        "cancelled_generations": int,
        "total_prompts": int,
    },
    "Prompt": {
        "id": int,
        "text": str,
        "used_count": int,
        "first_used_at": datetime,
        "last_used_at": datetime,
    },
    "Session": {"id": str, "created_at": datetime, "last_seen": datetime},
    "SessionSummary": {
        "id": str,
        "created_at": datetime,
        "last_seen": datetime,
        "download_count": int,
    },
    "Download": {
        "id": UUID,
        "session_id": str,
        "url": str,
        "status": reelbase.DownloadStatus,
        "format_id": str | None,
        "quality": str | None,
        "output_template": str | None,
        "filename": str | None,
        "filesize": int | None,
        "progress_percent": float,
        "speed": str | None,
        "eta": str | None,
        "error_message": str | None,
        "created_at": datetime,
        "started_at": datetime | None,
        "completed_at": datetime | None,
        "media_type": str | None,
        "output_format": str | None,
        "parent_id": UUID | None,
        "priority": int,
        "attempts": int,
        "max_attempts": int,
        "worker": str | None,
        "lease_expires_at": datetime | None,
    },
    "PurgedDownload": {"id": UUID, "filename": str | None},
    "PurgeReport": {
        "deleted": list[reelbase.PurgedDownload],
        "active_skipped": int,
        "sessions_deleted": int,
    },
    "UnsupportedUrl": {
        "id": int,
        "url": str,
        "session_id": str | None,
        "error": str | None,
        "created_at": datetime,
    },
    "ErrorLogEntry": {
        "id": int,
        "url": str,
        "domain": str | None,
        "error": str,
        "format_id": str | None,
        "media_type": str | None,
        "session_id": str | None,
        "created_at": datetime,
    },
    "MediaInfo": {
        "file_id": UUID,
        "title": str | None,
        "author": str | None,
        "description": str | None,
        "container": str | None,
        "video_codec": str | None,
        "audio_codec": str | None,
        "duration": float | None,
        "frame_rate_num": int | None,
        "frame_rate_den": int | None,
        "width": int | None,
        "height": int | None,
        "audio_channels": int | None,
        "audio_sample_rate": int | None,
        "audio_bit_depth": int | None,
        "recorded_at": datetime | None,
        "device_make": str | None,
        "device_model": str | None,
        "metadata": Json | None,
        "waveform": list[Any] | None,
    },
    "FileProcessing": {
        "file_id": UUID,
        "status": reelbase.FileStatus,
        "stage": str | None,
        "progress": float,
        "error_message": str | None,
        "error_category": str | None,
        "retry_count": int,
        "max_retries": int,
        "recovery_attempts": int,
        "next_retry_at": datetime | None,
        "started_at": datetime | None,
        "heartbeat_at": datetime | None,
        "completed_at": datetime | None,
        "updated_at": datetime,
        "worker": str | None,
    },
    "Tag": {
        "id": int,
        "profile_id": str,
        "name": str,
        "created_at": datetime,
        "file_count": int,
    },
    "Notification": {
        "id": int,
        "profile_id": str,
        "type": str,
        "title": str,
        "message": str,
        "progress_key": str | None,
        "progress": float | None,
        "status": str,
        "data": Json,
        "is_read": bool,
        "created_at": datetime,
        "updated_at": datetime,
    },
    "Segment": {
        "id": int,
        "transcript_id": UUID,
        "speaker_id": int | None,
        "start_time": float,
        "end_time": float,
        "text": str,
        "confidence": float | None,
        "words": list[Any] | None,
    },
    "SegmentHit": {
        "segment": reelbase.Segment,
        "transcript_id": UUID,
        "file_id": UUID,
        "snippet": str,
        "rank": float,
    },
    "Speaker": {
        "id": int,
        "profile_id": str,
        "file_id": UUID,
        "label": str,
        "display_name": str | None,
        "suggested_name": str | None,
        "confidence": float | None,
        "is_verified": bool,
        "created_at": datetime,
    },
    "LlmConfig": {
        "id": int,
        "profile_id": str,
        "name": str,
        "provider": str,
        "model_name": str,
        "base_url": str | None,
        "max_tokens": int,
        "temperature": float,
        "has_api_key": bool,
        "is_active": bool,
        "test_status": str,
        "test_message": str | None,
        "last_tested_at": datetime | None,
        "created_at": datetime,
        "updated_at": datetime,
    },
    "LlmConfigCheck": {
        "id": int,
        "config_id": int,
        "status": str,
        "message": str | None,
        "tested_at": datetime,
    },
    "SummaryPrompt": {
        "id": int,
        "profile_id": str | None,
        "name": str,
        "description": str | None,
        "content_type": str,
        "prompt_text": str,
        "version": int,
        "created_at": datetime,
        "updated_at": datetime,
    },
    "SummaryPromptVersion": {
        "prompt_id": int,
        "version": int,
        "prompt_text": str,
        "created_at": datetime,
    },
    "Summary": {
        "id": int,
        "file_id": UUID,
        "profile_id": str,
        "version": int,
        "prompt_id": int | None,
        "provider": str | None,
        "model": str | None,
        "status": reelbase.SummaryStatus,
        "content": Json | None,
        "error_message": str | None,
        "metadata": Json | None,
        "created_at": datetime,
        "completed_at": datetime | None,
    },
}

ENUMS = {
    "FileStatus": [
        "pending",
        "queued",
        "downloading",
        "processing",
        "completed",
        "error",
        "cancelling",
        "cancelled",
        "orphaned",
    ],
    "SummaryStatus": ["pending", "processing", "completed", "failed"],
    "JobStatus": ["queued", "running", "succeeded", "failed", "cancelled"],
    "DownloadStatus": [
        "queued",
        "extracting",
        "downloading",
        "completed",
        "failed",
        "cancelled",
    ],
    "GenerationStatus": ["pending", "processing", "completed", "failed", "cancelled"],
    "AuditAction": ["CREATE", "UPDATE", "DELETE"],
}

ERRORS = {
    "DatabaseError": 500,
    "RecordNotFoundError": 404,
    "ConstraintError": 409,
    "InvalidTransitionError": 409,
    "DatabaseBusyError": 503,
    "CommitUncertainError": 500,
    "DatabaseFullError": 507,
    "DatabaseReadOnlyError": 403,
    "DatabaseTimeoutError": 504,
    "InvalidArgumentError": 422,
    "DatabaseCorruptError": 500,
    "DatabaseIOError": 500,
    "DatabaseClosedError": 500,
    "SchemaError": 500,
    "SecretError": 500,
}

OTHER_NAMES = {
    "SCHEMA_VERSION",
    "Database",
    "Filesystem",
    "JournalDecision",
    "NewFile",
    "NewGeneration",
    "NewSegment",
    "Repository",
    "Secrets",
    "UnitOfWork",
}


def check(function: Any, pinned: str) -> None:
    """That the signature, without types and self, is the pinned one."""
    found = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self"
    ]
    assert str(inspect.Signature(found))[1:-1] == pinned


# Names


def test_all_is_sorted() -> None:
    def kind(name: str) -> tuple[int, str]:
        """Constants, classes, functions, as ruff sorts them."""
        return (0 if name.isupper() else 1 if name[0].isupper() else 2), name

    assert reelbase.__all__ == sorted(reelbase.__all__, key=kind)
    assert len(set(reelbase.__all__)) == len(reelbase.__all__)


def test_all_holds_every_name_that_is_pinned() -> None:
    classes = {name for name, _ in REPOSITORIES.values()}
    pinned = OTHER_NAMES | classes | {*FUNCTIONS, *RECORDS, *ENUMS, *ERRORS}
    assert pinned - set(reelbase.__all__) == set()


def test_all_is_all_that_is_public() -> None:
    public = {
        name
        for name, value in vars(reelbase).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public == set(reelbase.__all__)


def named_in(hint: Any) -> set[type]:
    """The classes that a type hint is made of."""
    parts = typing.get_args(hint)
    found = set().union(*map(named_in, parts)) if parts else set()
    return found | ({hint} if isinstance(hint, type) else set())


def test_every_repository_and_whatever_it_takes_and_gives_is_public() -> None:
    for repository in repositories_of(Database).values():
        assert getattr(reelbase, repository.__name__, None) is repository
        for method in methods_of(repository):
            hints = typing.get_type_hints(getattr(repository, method))
            for kind in set().union(*map(named_in, hints.values())):
                if kind.__module__.startswith("reelbase."):
                    assert getattr(reelbase, kind.__name__, None) is kind, (repository, method)


def methods_of(repository: type[Repository]) -> list[str]:
    """The names of its public methods."""
    return [
        name
        for name in dir(repository)
        if not name.startswith("_") and inspect.isfunction(getattr(repository, name))
    ]


def repositories_of(holder: type) -> dict[str, type[Repository]]:
    return {
        name: value._repository_class
        for base in holder.__mro__
        for name, value in vars(base).items()
        if hasattr(value, "_repository_class")
    }


def test_there_are_types_for_users() -> None:
    assert (Path(reelbase.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_called_as_pinned(name: str) -> None:
    check(getattr(reelbase, name), FUNCTIONS[name])


# Repositories


@pytest.mark.parametrize("attribute", REPOSITORIES)
@pytest.mark.parametrize("holder", [Database, UnitOfWork, Snapshot])
async def test_a_repository_hangs_off_every_holder(
    attribute: str, holder: type, database: Database
) -> None:
    repository = getattr(reelbase, REPOSITORIES[attribute][0])
    assert repositories_of(holder)[attribute] is repository
    if holder is Database:
        assert type(getattr(database, attribute)) is repository
    elif holder is UnitOfWork:
        async with database.transaction() as unit:
            assert type(getattr(unit, attribute)) is repository
    else:
        async with database.snapshot() as view:
            assert type(getattr(view, attribute)) is repository


@pytest.mark.parametrize(
    ("name", "method"),
    [(name, method) for name, methods in REPOSITORIES.values() for method in methods],
)
def test_a_repositorys_method_is_called_as_pinned(name: str, method: str) -> None:
    (pinned,) = [methods[method] for known, methods in REPOSITORIES.values() if known == name]
    function = getattr(getattr(reelbase, name), method)
    assert inspect.iscoroutinefunction(function)
    check(function, pinned)


@pytest.mark.parametrize("name", [name for name, _ in REPOSITORIES.values()])
def test_every_method_says_what_it_takes_and_gives(name: str) -> None:
    repository = getattr(reelbase, name)
    for method in methods_of(repository):
        function = getattr(repository, method)
        hints = typing.get_type_hints(function)
        assert "return" in hints, method
        assert {"self", "return", *hints} == {
            "self",
            "return",
            *inspect.signature(function).parameters,
        }


@pytest.mark.parametrize("method", RAW)
@pytest.mark.parametrize("holder", [Database, UnitOfWork, Snapshot])
def test_the_raw_verbs_are_the_same_everywhere(holder: type, method: str) -> None:
    function = getattr(holder, method)
    check(function, RAW[method])
    assert inspect.iscoroutinefunction(function) == (method not in ("stream", "repository"))


@pytest.mark.parametrize("method", DATABASE)
def test_a_databases_method_is_called_as_pinned(method: str) -> None:
    check(getattr(Database, method), DATABASE[method])


@pytest.mark.parametrize("method", UNIT_OF_WORK)
def test_a_units_method_is_called_as_pinned(method: str) -> None:
    check(getattr(UnitOfWork, method), UNIT_OF_WORK[method])


@pytest.mark.parametrize("holder", PROPERTIES)
def test_what_a_holder_tells_can_be_read_and_not_set(holder: type) -> None:
    for name in PROPERTIES[holder]:
        value = inspect.getattr_static(holder, name)
        assert isinstance(value, property)
        assert value.fset is None


def test_the_base_that_users_subclass_generates_nothing() -> None:
    public = {name for name in vars(Repository) if not name.startswith("_")}
    assert public == {"entity", "remedy", "table"}


# Records


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_has_its_fields_in_their_order(name: str) -> None:
    record = getattr(reelbase, name)
    hints = typing.get_type_hints(record)
    assert {field: hints[field] for field in record.__struct_fields__} == RECORDS[name]
    assert list(record.__struct_fields__) == list(RECORDS[name])


@pytest.mark.parametrize("name", [*RECORDS, "NewFile"])
def test_a_record_is_frozen_and_encodes_to_an_object(name: str) -> None:
    config = getattr(reelbase, name).__struct_config__
    assert config.frozen
    assert not config.array_like
    assert not config.omit_defaults
    assert config.tag is None


# Fields that a record gained later, at its end, with what an application gets that makes one without.
LATER_FIELDS: dict[str, tuple[object, ...]] = {
    "Download": (None, None, None, 0, 0, 1, None, None),
    "Generation": (0, 0, 1, None, None),
    "FileProcessing": (None,),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_has_no_defaults_but_for_what_it_gained_later(name: str) -> None:
    """They would reorder the fields."""
    assert getattr(reelbase, name).__struct_defaults__ == LATER_FIELDS.get(name, ())


def test_a_new_file_has_the_parameters_of_add() -> None:
    parameters = inspect.signature(reelbase.FileRepository.add).parameters
    expected = [name for name in parameters if name not in ("self", "profile_id")]
    assert list(reelbase.NewFile.__struct_fields__) == expected
    required = [
        field.name
        for field in msgspec.structs.fields(reelbase.NewFile)
        if field.default is msgspec.NODEFAULT
    ]
    assert required == ["name", "path"]


@pytest.mark.parametrize("name", ENUMS)
def test_an_enumeration_has_its_members(name: str) -> None:
    kind = getattr(reelbase, name)
    assert issubclass(kind, enum.StrEnum)
    assert [member.value for member in kind] == ENUMS[name]
    assert [member.name for member in kind] == [value.upper() for value in ENUMS[name]]
    assert all(member == member.value for member in kind)


def test_a_journal_decision_says_what_and_why(database: Database) -> None:
    decision = database.journal
    assert decision.mode in ("wal", "delete", "memory")
    assert decision.synchronous in ("normal", "full", "extra")
    assert isinstance(decision.reason, str)
    assert isinstance(decision.filesystem, reelbase.Filesystem)
    assert isinstance(decision.filesystem.mount_point, str)
    assert isinstance(decision.filesystem.type, str)
    assert isinstance(decision.filesystem.is_network, bool)


async def test_what_a_database_and_a_unit_tell(database: Database, path: Path) -> None:
    assert database.path == path
    assert database.schema_version == reelbase.SCHEMA_VERSION
    assert database.closed is False
    async with database.transaction(actor="ann") as unit:
        assert (unit.state, unit.actor) == ("open", "ann")
        assert isinstance(unit.now, datetime)
    assert unit.state == "committed"
    await database.close()
    assert database.closed is True


async def test_a_database_in_memory_has_no_path() -> None:
    async with reelbase.connect(":memory:") as database:
        assert database.path is None
        assert database.journal.mode == "memory"


# Errors


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_in_the_tree_with_its_status(name: str) -> None:
    error = getattr(reelbase, name)
    assert issubclass(error, reelbase.DatabaseError)
    assert error.__bases__[0] is (Exception if name == "DatabaseError" else reelbase.DatabaseError)
    assert error.http_status == ERRORS[name]
    assert isinstance(error.code, str)


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [getattr(reelbase, name).code for name in ERRORS]
    assert len(set(codes)) == len(codes)


def test_there_are_no_other_errors() -> None:
    public = {
        name
        for name in reelbase.__all__
        if isinstance(getattr(reelbase, name), type)
        and issubclass(getattr(reelbase, name), Exception)
    }
    assert public == set(ERRORS)


def test_an_error_carries_code_and_details() -> None:
    error = reelbase.DatabaseError("text", code="mine", details={"a": 1})
    assert (str(error), error.code, error.details) == ("text", "mine", {"a": 1})
    assert reelbase.DatabaseError("text").details == {}
    broken = reelbase.ConstraintError("text", kind="unique", constraint="files.id")
    assert (broken.kind, broken.constraint) == ("unique", "files.id")
