"""The types of the synchronous door. Written by tests/laws/sync_stub.py from the async classes."""

import builtins
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType, UnionType
from typing import Any, Generic, Literal, Self, TypeVar, Unpack, overload
from uuid import UUID

from msgspec import UnsetType

from reelbase.engine.events import Activity, Observer
from reelbase.engine.file.journal import Durability, JournalChoice, JournalDecision
from reelbase.engine.live.changes import Changes
from reelbase.engine.maintenance.health import HealthReport
from reelbase.engine.native.setup import Setup
from reelbase.engine.raw_sql import Params
from reelbase.engine.repository import Repository
from reelbase.engine.schema.chain import Migrations
from reelbase.engine.schema.figures import DatabaseStats
from reelbase.engine.secrets import Secrets
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.parameters import JsonValue
from reelbase.engine.threads.copying import Progress
from reelbase.engine.threads.executors import Clock
from reelbase.engine.threads.transaction import State
from reelbase.repositories.audit import AuditEntry
from reelbase.repositories.clips import Clip
from reelbase.repositories.collections import CollectedFile, Collection, CollectionChanges
from reelbase.repositories.comments import Comment, CommentChanges
from reelbase.repositories.config import ConfigEntry
from reelbase.repositories.derived_files import DerivedFile, EvictedFile
from reelbase.repositories.downloads.records import Download, DownloadStatus, PurgeReport
from reelbase.repositories.error_log import DomainErrors, ErrorLogEntry
from reelbase.repositories.file_processing import FileProcessing
from reelbase.repositories.files.records import (
    File,
    FileCard,
    FileChanges,
    FileFilters,
    FileOrderLike,
    NewFile,
)
from reelbase.repositories.generations.records import (
    Generation,
    GenerationStats,
    GenerationStatusLike,
    NewGeneration,
)
from reelbase.repositories.jobs.records import (
    Job,
    JobLogLine,
    JobQueue,
    JobStatus,
    JobStatusLike,
    JobStep,
    RecoveryReport,
)
from reelbase.repositories.llm_configs import LlmConfig, LlmConfigChanges, LlmConfigCheck
from reelbase.repositories.markers import Marker, MarkerChanges
from reelbase.repositories.media_info import MediaInfo, MediaInfoChanges
from reelbase.repositories.notifications import Notification
from reelbase.repositories.people import Person, PersonChanges, PersonFile, SpokenSegment
from reelbase.repositories.profiles import Profile
from reelbase.repositories.project_clips import ProjectClip, ProjectClipChanges
from reelbase.repositories.project_settings import ProjectSettings, ProjectSettingsChanges
from reelbase.repositories.projects import Project, ProjectChanges, ProjectStats, ProjectWithVideos
from reelbase.repositories.prompts import Prompt
from reelbase.repositories.redactions import Redaction
from reelbase.repositories.retention import Expendable
from reelbase.repositories.schedules.records import MissedSlots, Schedule
from reelbase.repositories.secrets_store import StoredSecret
from reelbase.repositories.segments import NewSegment, Segment, SegmentChanges
from reelbase.repositories.sessions import Session, SessionSummary
from reelbase.repositories.settings import ProfileSetting
from reelbase.repositories.speakers import Speaker, SpeakerName
from reelbase.repositories.summaries import Summary
from reelbase.repositories.summary_prompts import (
    SummaryPrompt,
    SummaryPromptChanges,
    SummaryPromptVersion,
)
from reelbase.repositories.tags import Tag
from reelbase.repositories.templates import LlmTemplate
from reelbase.repositories.timeline_clips import TimelineClip, TimelineClipChanges
from reelbase.repositories.timeline_tracks import OverlapRule, TimelineTrack, TimelineTrackChanges
from reelbase.repositories.timeline_transitions import TimelineTransition, TimelineTransitionChanges
from reelbase.repositories.transcripts import SegmentHit, Transcript
from reelbase.repositories.unsupported_urls import UnsupportedUrl
from reelbase.repositories.video_library import LibraryVideo, LibraryVideoChanges
from reelbase.repositories.videos import NewVideo, Video, VideoChanges
from reelbase.snapshot import Snapshot
from reelbase.workers.handlers import Handler

D = TypeVar("D")
R = TypeVar("R")
T = TypeVar("T")

T_co = TypeVar("T_co", covariant=True)

class SyncRows(Generic[T]):
    def __iter__(self) -> Self: ...
    def __next__(self) -> T: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def close(self) -> None: ...

class SyncContext(Generic[T_co]):
    def __enter__(self) -> T_co: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

class _SyncProfileView:
    def count(self) -> int: ...
    def exists(self, profile_id: str) -> bool: ...
    def find(self, profile_id: str) -> Profile | None: ...
    def get(self, profile_id: str) -> Profile: ...
    def list(self, limit: int | None = None, offset: int = 0) -> builtins.list[Profile]: ...

class _SyncProfileRepository(_SyncProfileView):
    def delete(self, profile_id: str, *, missing_ok: bool = False) -> bool: ...
    def ensure(self, profile_id: str) -> Profile: ...

class _SyncFileView:
    def cards(
        self,
        profile_id: str,
        *,
        after: str | None = None,
        limit: int | None = 50,
        order: FileOrderLike = ...,
        **filters: Unpack[FileFilters],
    ) -> Page[FileCard]: ...
    def count(
        self, profile_id: str, *, at_most: int | None = 1000, **filters: Unpack[FileFilters]
    ) -> int: ...
    def count_for_profile(self, profile_id: str) -> int: ...
    def derived_from(
        self, file_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[File]: ...
    def find(self, file_id: UUID | str) -> File | None: ...
    def find_by_hash(self, profile_id: str, content_hash: str) -> File | None: ...
    def find_by_url(self, profile_id: str, source_url: str) -> File | None: ...
    def get(self, file_id: UUID | str) -> File: ...
    def list(self, *, limit: int | None = 100, offset: int = 0) -> builtins.list[File]: ...
    def list_for_profile(
        self, profile_id: str, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[File]: ...
    def page(
        self,
        profile_id: str,
        *,
        after: File | str | None = None,
        limit: int | None = 50,
        order: FileOrderLike = ...,
        **filters: Unpack[FileFilters],
    ) -> Page[File]: ...
    def search(
        self, profile_id: str, query: str, *, limit: int | None = 50, offset: int = 0
    ) -> builtins.list[File]: ...

class _SyncFileRepository(_SyncFileView):
    def add(
        self,
        profile_id: str,
        name: str,
        path: str,
        type: str | None = None,
        folder: str | None = None,
        *,
        id: UUID | str | None = None,
        source_file_id: UUID | str | None = None,
        origin: str | None = None,
        size_bytes: int | None = None,
        content_type: str | None = None,
        content_hash: str | None = None,
        source_url: str | None = None,
    ) -> File: ...
    def add_many(self, profile_id: str, files: Iterable[NewFile]) -> builtins.list[File]: ...
    def delete(self, file_id: UUID | str, *, missing_ok: bool = False) -> bool: ...
    def delete_many(self, file_ids: Iterable[UUID | str], *, missing_ok: bool = False) -> int: ...
    def rebuild_search(self) -> int: ...
    def update(self, file_id: UUID | str, **changes: Unpack[FileChanges]) -> File: ...
    def update_many(
        self, file_ids: Iterable[UUID | str], **changes: Unpack[FileChanges]
    ) -> builtins.list[File]: ...

class _SyncMediaInfoView:
    def find(self, file_id: UUID | str) -> MediaInfo | None: ...
    def get(self, file_id: UUID | str) -> MediaInfo: ...

class _SyncMediaInfoRepository(_SyncMediaInfoView):
    def delete(self, file_id: UUID | str, *, missing_ok: bool = False) -> bool: ...
    def upsert(self, file_id: UUID | str, **fields: Unpack[MediaInfoChanges]) -> MediaInfo: ...

class _SyncFileProcessingView:
    def counts_by_status(self, profile_id: str | None = None) -> dict[str, int]: ...
    def find(self, file_id: UUID | str) -> FileProcessing | None: ...
    def get(self, file_id: UUID | str) -> FileProcessing: ...
    def stuck(
        self, older_than: timedelta, *, limit: int | None = None, offset: int = 0
    ) -> list[FileProcessing]: ...

class _SyncFileProcessingRepository(_SyncFileProcessingView):
    def cancel(self, file_id: UUID | str) -> FileProcessing: ...
    def complete(self, file_id: UUID | str) -> FileProcessing: ...
    def enqueue(
        self,
        file_id: UUID | str,
        *,
        max_retries: int = 3,
        options: dict[str, Any] | UnsetType | None = ...,
    ) -> FileProcessing: ...
    def fail(
        self,
        file_id: UUID | str,
        message: str,
        *,
        category: str | None = None,
        retry_in: float | None = None,
    ) -> FileProcessing: ...
    def progress(
        self, file_id: UUID | str, progress: float, *, stage: str | None = None
    ) -> FileProcessing: ...
    def recover_stuck(self, older_than: timedelta) -> list[FileProcessing]: ...
    def request_cancel(self, file_id: UUID | str) -> FileProcessing: ...
    def retry(self, file_id: UUID | str) -> FileProcessing: ...
    def retry_due(self) -> list[FileProcessing]: ...
    def start(
        self,
        file_id: UUID | str,
        *,
        stage: str | None = None,
        downloading: bool = False,
        worker: str | None = None,
    ) -> FileProcessing: ...

class _SyncTagView:
    def find(self, tag_id: int) -> Tag | None: ...
    def find_by_name(self, profile_id: str, name: str) -> Tag | None: ...
    def for_file(self, file_id: UUID | str) -> list[Tag]: ...
    def for_files(self, file_ids: Iterable[UUID | str]) -> dict[UUID, list[Tag]]: ...
    def get(self, tag_id: int) -> Tag: ...
    def list_for_profile(
        self, profile_id: str, *, limit: int | None = None, offset: int = 0
    ) -> list[Tag]: ...

class _SyncTagRepository(_SyncTagView):
    def attach(self, file_id: UUID | str, *names: str) -> list[Tag]: ...
    def attach_many(self, file_ids: Iterable[UUID | str], *names: str) -> int: ...
    def delete(self, tag_id: int, *, missing_ok: bool = False) -> bool: ...
    def delete_unused(self, profile_id: str) -> int: ...
    def detach(self, file_id: UUID | str, name: str) -> bool: ...
    def detach_many(self, file_ids: Iterable[UUID | str], *names: str) -> int: ...
    def ensure(self, profile_id: str, name: str) -> Tag: ...
    def merge(self, source_id: int, target_id: int) -> Tag: ...
    def rename(self, tag_id: int, name: str) -> Tag: ...

class _SyncSettingsView:
    def all(self, profile_id: str, *, prefix: str | None = None) -> dict[str, JsonValue]: ...
    @overload
    def get(self, profile_id: str, key: str, default: Any = None) -> Any: ...
    @overload
    def get(self, profile_id: str, key: str, *, type: type[T]) -> T | None: ...
    @overload
    def get(self, profile_id: str, key: str, default: D, *, type: type[T]) -> T | D: ...
    @overload
    def get(self, profile_id: str, key: str, default: Any = None, *, type: UnionType) -> Any: ...

class _SyncSettingsRepository(_SyncSettingsView):
    def reset(self, profile_id: str, *keys: str) -> int: ...
    def set(self, profile_id: str, key: str, value: JsonValue) -> ProfileSetting: ...
    def set_many(self, profile_id: str, values: Mapping[str, JsonValue]) -> None: ...

class _SyncNotificationView:
    def find(self, notification_id: int) -> Notification | None: ...
    def get(self, notification_id: int) -> Notification: ...
    def list_for_profile(
        self, profile_id: str, *, unread_only: bool = False, limit: int | None = 100
    ) -> list[Notification]: ...
    def page(
        self,
        profile_id: str,
        *,
        after: Notification | str | None = None,
        limit: int | None = 50,
        unread_only: bool = False,
    ) -> Page[Notification]: ...
    def unread_count(self, profile_id: str) -> int: ...

class _SyncNotificationRepository(_SyncNotificationView):
    def dismiss(self, id: int) -> bool: ...
    def mark_all_read(self, profile_id: str) -> int: ...
    def mark_read(self, profile_id: str, *ids: int) -> int: ...
    def prune(self, profile_id: str, keep: int = 100) -> int: ...
    def push(
        self,
        profile_id: str,
        type: str,
        title: str,
        message: str = "",
        *,
        progress_key: str | None = None,
        progress: float | None = None,
        status: str = "info",
        data: dict[str, Any] | None = None,
    ) -> Notification: ...

class _SyncTranscriptView:
    def find(self, transcript_id: UUID | str) -> Transcript | None: ...
    def get(self, transcript_id: UUID | str) -> Transcript: ...
    def list_for_file(
        self, file_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> list[Transcript]: ...
    def list_for_profile(self, profile_id: str, load_file: bool = False) -> list[Transcript]: ...
    def page(
        self,
        profile_id: str,
        *,
        after: Transcript | str | None = None,
        limit: int | None = 50,
        load_file: bool = False,
    ) -> Page[Transcript]: ...
    def search(
        self, profile_id: str, query: str, *, limit: int | None = 50, offset: int = 0
    ) -> list[SegmentHit]: ...

class _SyncTranscriptRepository(_SyncTranscriptView):
    def add(
        self,
        profile_id: str,
        file_id: UUID | str,
        text: str,
        llm_explanation: str | None = None,
        *,
        id: UUID | str | None = None,
        language: str | None = None,
    ) -> Transcript: ...
    def delete(self, transcript_id: UUID | str, *, missing_ok: bool = False) -> bool: ...
    def update(
        self,
        transcript_id: UUID | str,
        *,
        text: str | UnsetType = ...,
        llm_explanation: str | UnsetType | None = ...,
        language: str | UnsetType | None = ...,
    ) -> Transcript: ...

class _SyncSegmentView:
    def at(self, transcript_id: UUID | str, time: float) -> list[Segment]: ...
    def count(self, transcript_id: UUID | str) -> int: ...
    def find(self, segment_id: int) -> Segment | None: ...
    def get(self, segment_id: int) -> Segment: ...
    def list_for_transcript(self, transcript_id: UUID | str) -> list[Segment]: ...
    def page(
        self,
        transcript_id: UUID | str,
        *,
        after: Segment | str | None = None,
        limit: int | None = 500,
    ) -> Page[Segment]: ...

class _SyncSegmentRepository(_SyncSegmentView):
    def add(
        self,
        transcript_id: UUID | str,
        start_time: float,
        end_time: float,
        text: str,
        *,
        speaker_id: int | None = None,
        confidence: float | None = None,
        words: list[Any] | None = None,
    ) -> Segment: ...
    def assign_speaker(self, segment_ids: Iterable[int], speaker_id: int | None) -> int: ...
    def delete(self, segment_id: int, *, missing_ok: bool = False) -> bool: ...
    def merge(self, first_id: int, second_id: int, *, separator: str = " ") -> Segment: ...
    def move_boundary(
        self, first_id: int, second_id: int, time: float, *, separator: str = " "
    ) -> tuple[Segment, Segment]: ...
    def rebuild_search(self) -> int: ...
    def replace_all(self, transcript_id: UUID | str, segments: Iterable[NewSegment]) -> int: ...
    def split(
        self, segment_id: int, time: float, *, position: int | None = None
    ) -> tuple[Segment, Segment]: ...
    def update(self, segment_id: int, **changes: Unpack[SegmentChanges]) -> Segment: ...

class _SyncSpeakerView:
    def find(self, speaker_id: int) -> Speaker | None: ...
    def get(self, speaker_id: int) -> Speaker: ...
    def list_for_file(self, file_id: UUID | str) -> list[Speaker]: ...
    def names_for_profile(
        self, profile_id: str, *, limit: int | None = None, offset: int = 0
    ) -> list[SpeakerName]: ...

class _SyncSpeakerRepository(_SyncSpeakerView):
    def delete(self, speaker_id: int, *, missing_ok: bool = False) -> bool: ...
    def ensure(self, file_id: UUID | str, label: str) -> Speaker: ...
    def merge(self, source_id: int, target_id: int) -> Speaker: ...
    def relabel(self, speaker_id: int, display_name: str) -> Speaker: ...
    def suggest(self, speaker_id: int, name: str, confidence: float) -> Speaker: ...

class _SyncClipView:
    def find(self, clip_id: UUID | str) -> Clip | None: ...
    def get(self, clip_id: UUID | str) -> Clip: ...
    def list_for_file(
        self, file_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> list[Clip]: ...
    def list_for_profile(
        self, profile_id: str, load_file: bool = False, *, limit: int | None = None, offset: int = 0
    ) -> list[Clip]: ...

class _SyncClipRepository(_SyncClipView):
    def add(
        self,
        profile_id: str,
        file_id: UUID | str,
        start_time: float,
        end_time: float,
        llm_breakdown_response: dict[str, Any],
        *,
        id: UUID | str | None = None,
    ) -> Clip: ...
    def delete(self, clip_id: UUID | str, *, missing_ok: bool = False) -> bool: ...

class _SyncLlmTemplateView:
    def get_for_profile(self, profile_id: str) -> LlmTemplate | None: ...

class _SyncLlmTemplateRepository(_SyncLlmTemplateView):
    def delete(self, profile_id: str, *, missing_ok: bool = False) -> bool: ...
    def upsert(
        self,
        profile_id: str,
        sys_msg: str,
        prompt: str,
        model: str,
        srt_sys_msg: str = "",
        srt_model: str = "",
    ) -> LlmTemplate: ...

class _SyncLlmConfigView:
    def active(self, profile_id: str) -> LlmConfig | None: ...
    def api_key(self, config_id: int) -> str | None: ...
    def find(self, config_id: int) -> LlmConfig | None: ...
    def get(self, config_id: int) -> LlmConfig: ...
    def list_for_profile(self, profile_id: str) -> list[LlmConfig]: ...
    def tests(self, config_id: int, limit: int | None = 20) -> list[LlmConfigCheck]: ...

class _SyncLlmConfigRepository(_SyncLlmConfigView):
    def activate(self, config_id: int) -> LlmConfig: ...
    def add(
        self,
        profile_id: str,
        name: str,
        provider: str,
        model_name: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        max_tokens: int = 8192,
        temperature: float = 0.3,
    ) -> LlmConfig: ...
    def delete(self, config_id: int, *, missing_ok: bool = False) -> bool: ...
    def record_test(
        self, config_id: int, status: Literal["success", "failed"], message: str | None = None
    ) -> LlmConfig: ...
    def rotate_keys(self) -> int: ...
    def update(self, config_id: int, **changes: Unpack[LlmConfigChanges]) -> LlmConfig: ...

class _SyncSummaryPromptView:
    def active(self, profile_id: str, content_type: str = "general") -> SummaryPrompt | None: ...
    def find(self, prompt_id: int) -> SummaryPrompt | None: ...
    def get(self, prompt_id: int) -> SummaryPrompt: ...
    def list_for_profile(
        self, profile_id: str, *, content_type: str | None = None, include_system: bool = True
    ) -> list[SummaryPrompt]: ...
    def versions(self, prompt_id: int) -> list[SummaryPromptVersion]: ...

class _SyncSummaryPromptRepository(_SyncSummaryPromptView):
    def add(
        self,
        profile_id: str | None,
        name: str,
        prompt_text: str,
        *,
        content_type: str = "general",
        description: str | None = None,
    ) -> SummaryPrompt: ...
    def delete(self, prompt_id: int, *, missing_ok: bool = False) -> bool: ...
    def set_active(self, profile_id: str, prompt_id: int | None) -> Profile: ...
    def update(self, prompt_id: int, **changes: Unpack[SummaryPromptChanges]) -> SummaryPrompt: ...

class _SyncSummaryView:
    def find(self, summary_id: int) -> Summary | None: ...
    def get(self, summary_id: int) -> Summary: ...
    def latest(self, file_id: UUID | str) -> Summary | None: ...
    def list_for_file(
        self, file_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> list[Summary]: ...
    def search(
        self, profile_id: str, query: str, limit: int | None = 50, *, offset: int = 0
    ) -> list[Summary]: ...

class _SyncSummaryRepository(_SyncSummaryView):
    def complete(
        self, summary_id: int, content: dict[str, Any], *, metadata: dict[str, Any] | None = None
    ) -> Summary: ...
    def delete(self, summary_id: int, *, missing_ok: bool = False) -> bool: ...
    def fail(self, summary_id: int, message: str) -> Summary: ...
    def rebuild_search(self) -> int: ...
    def start(
        self,
        file_id: UUID | str,
        *,
        prompt_id: int | None = None,
        provider: str | None = None,
        model: str | None = None,
    ) -> Summary: ...
    def update(
        self,
        summary_id: int,
        *,
        content: dict[str, Any] | UnsetType = ...,
        metadata: dict[str, Any] | UnsetType | None = ...,
    ) -> Summary: ...

class _SyncJobView:
    def counts_by_status(
        self, profile_id: str | None = None, *, type: str | None = None
    ) -> dict[JobStatus, int]: ...
    def find(self, job_id: UUID | str) -> Job | None: ...
    def find_referencing_file(self, profile_id: str, file_id: UUID | str) -> set[UUID]: ...
    def find_referencing_transcript(
        self, profile_id: str, transcript_id: UUID | str
    ) -> set[UUID]: ...
    def find_step(self, job_id: UUID | str, name: str) -> JobStep | None: ...
    def get(self, job_id: UUID | str) -> Job: ...
    def held_by(self, worker: str) -> dict[UUID, int]: ...
    def limits(self) -> dict[str, int]: ...
    def list(
        self, *, active_only: bool = False, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[Job]: ...
    def list_children(
        self, parent_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[Job]: ...
    def list_for_profile(
        self,
        profile_id: str,
        active_only: bool = False,
        *,
        limit: int | None = None,
        offset: int = 0,
    ) -> builtins.list[Job]: ...
    def list_needed(
        self, job_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[Job]: ...
    def list_unfinished(
        self, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[Job]: ...
    def log_lines(
        self, job_id: UUID | str, *, after: int = 0, limit: int | None = None
    ) -> builtins.list[JobLogLine]: ...
    def page(
        self,
        profile_id: str | None = None,
        *,
        after: Job | str | None = None,
        limit: int | None = 50,
        active_only: bool = False,
        status: JobStatusLike | None = None,
        type: str | None = None,
    ) -> Page[Job]: ...
    def paused(self) -> dict[str, datetime]: ...
    def queues(self) -> builtins.list[JobQueue]: ...
    def rates(self) -> dict[str, tuple[int, timedelta]]: ...
    def steps(self, job_id: UUID | str) -> builtins.list[JobStep]: ...

class _SyncJobRepository(_SyncJobView):
    def add(
        self,
        profile_id: str,
        type: str,
        params: dict[str, Any],
        parent_id: UUID | str | None = None,
        total: int = 1,
        *,
        id: UUID | str | None = None,
        priority: int = 0,
        run_after: datetime | None = None,
        max_attempts: int = 1,
        unique_key: str | None = None,
        unique_for: timedelta | None = None,
        after: Iterable[UUID | str] = ...,
    ) -> Job: ...
    def add_batch(
        self,
        profile_id: str,
        type: str,
        params: dict[str, Any],
        children: Sequence[dict[str, Any]],
        *,
        id: UUID | str | None = None,
        priority: int = 0,
        run_after: datetime | None = None,
        max_attempts: int = 1,
    ) -> tuple[Job, list[Job]]: ...
    def cancel(self, job_id: UUID | str) -> Job: ...
    def claim(
        self, worker: str, *, types: Iterable[str] | None = None, lease: float = 60.0
    ) -> Job | None: ...
    def claim_many(
        self, worker: str, count: int, *, types: Iterable[str] | None = None, lease: float = 60.0
    ) -> list[Job]: ...
    def delete(self, job_id: UUID | str, *, missing_ok: bool = False) -> bool: ...
    def fail(
        self,
        job_id: UUID | str,
        error: str,
        *,
        error_code: str | None = None,
        error_details: dict[str, Any] | None = None,
        retry_in: float | None = None,
        worker: str | None = None,
        attempt: int | None = None,
    ) -> Job: ...
    def finish_step(
        self, job_id: UUID | str, name: str, result: JsonValue, *, worker: str, attempt: int
    ) -> JobStep: ...
    def heartbeat(
        self,
        job_id: UUID | str,
        worker: str,
        *,
        progress: float | None = None,
        completed: int | None = None,
        lease: float = 60.0,
        attempt: int | None = None,
    ) -> Job: ...
    def limit(
        self,
        type: str,
        *,
        running: int | UnsetType | None = ...,
        starts: int | UnsetType | None = ...,
        per: timedelta | None = None,
    ) -> bool: ...
    def log(self, job_id: UUID | str, text: str, *, attempt: int | None = None) -> JobLogLine: ...
    def pause(self, type: str) -> bool: ...
    def progress(
        self, job_id: UUID | str, progress: float, *, completed: int | None = None
    ) -> bool: ...
    def purge(self, older_than: timedelta) -> int: ...
    def recover(self, *, message: str = "interrupted by restart") -> RecoveryReport: ...
    def release(self, job_id: UUID | str, worker: str, *, attempt: int | None = None) -> Job: ...
    def resume(self, type: str) -> bool: ...
    def retry(self, job_id: UUID | str) -> Job: ...
    def snooze(
        self, job_id: UUID | str, seconds: float, *, worker: str, attempt: int | None = None
    ) -> Job: ...
    def succeed(
        self,
        job_id: UUID | str,
        result: dict[str, Any] | None = None,
        *,
        worker: str | None = None,
        attempt: int | None = None,
    ) -> Job: ...
    def succeed_many(self, results: Iterable[tuple[Job, dict[str, Any] | None]]) -> list[bool]: ...
    def update(
        self,
        job_id: UUID | str,
        *,
        status: JobStatusLike | None = None,
        progress: float | None = None,
        completed: int | None = None,
        result: dict[str, Any] | None = None,
        error: str | None = None,
        error_code: str | None = None,
        error_details: dict[str, Any] | None = None,
    ) -> Job: ...
    def wait(self, job_id: UUID | str, *, timeout: float | None = None) -> Job: ...

class _SyncScheduleView:
    def due_in(self) -> float | None: ...
    def find(self, name: str) -> Schedule | None: ...
    def get(self, name: str) -> Schedule: ...
    def list(
        self, profile_id: str | None = None, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[Schedule]: ...

class _SyncScheduleRepository(_SyncScheduleView):
    def add_due(self) -> builtins.list[Job]: ...
    def delete(self, name: str, *, missing_ok: bool = False) -> bool: ...
    def pause(self, name: str) -> bool: ...
    def resume(self, name: str) -> bool: ...
    def set(
        self,
        name: str,
        cron: str,
        type: str,
        params: dict[str, Any],
        *,
        profile_id: str,
        time_zone: str = "UTC",
        missed: MissedSlots = "once",
        priority: int = 0,
        max_attempts: int = 1,
    ) -> Schedule: ...

class _SyncSessionView:
    def count(self) -> int: ...
    def find(self, session_id: str) -> Session | None: ...
    def get(self, session_id: str) -> Session: ...
    def list(
        self, *, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[SessionSummary]: ...

class _SyncSessionRepository(_SyncSessionView):
    def delete(self, session_id: str, *, missing_ok: bool = False) -> bool: ...
    def ensure(self, session_id: str) -> Session: ...
    def purge_idle(self, older_than: timedelta) -> int: ...
    def touch(self, session_id: str, *, every: float = 60.0) -> Session: ...

class _SyncDownloadView:
    def counts_by_status(self) -> dict[DownloadStatus, int]: ...
    def find(self, download_id: UUID | str) -> Download | None: ...
    def get(self, download_id: UUID | str) -> Download: ...
    def list(
        self, *, active_only: bool = False, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[Download]: ...
    def list_children(
        self, parent_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[Download]: ...
    def list_for_session(
        self, session_id: str, *, active_only: bool = False
    ) -> builtins.list[Download]: ...
    def page(
        self,
        session_id: str | None = None,
        *,
        after: Download | str | None = None,
        limit: int | None = 50,
        active_only: bool = False,
    ) -> Page[Download]: ...
    def queue_depth(self) -> int: ...

class _SyncDownloadRepository(_SyncDownloadView):
    def add(
        self,
        session_id: str,
        url: str,
        *,
        id: UUID | str | None = None,
        format_id: str | None = None,
        quality: str | None = None,
        output_template: str | None = None,
        media_type: str | None = None,
        output_format: str | None = None,
        parent_id: UUID | str | None = None,
        priority: int = 0,
        max_attempts: int = 1,
    ) -> Download: ...
    def add_many(
        self,
        session_id: str,
        urls: Iterable[str],
        *,
        ids: Iterable[UUID | str] | None = None,
        format_id: str | None = None,
        quality: str | None = None,
        output_template: str | None = None,
        media_type: str | None = None,
        output_format: str | None = None,
        parent_id: UUID | str | None = None,
        priority: int = 0,
        max_attempts: int = 1,
    ) -> list[Download]: ...
    def cancel(self, download_id: UUID | str) -> Download: ...
    def claim(
        self, worker: str, *, extracting: bool = False, lease: float = 60.0
    ) -> Download | None: ...
    def complete(
        self,
        download_id: UUID | str,
        *,
        filename: str | UnsetType | None = ...,
        filesize: int | UnsetType | None = ...,
        worker: str | None = None,
        attempt: int | None = None,
    ) -> Download: ...
    def delete(self, download_id: UUID | str, *, missing_ok: bool = False) -> bool: ...
    def fail(
        self,
        download_id: UUID | str,
        error_message: str,
        *,
        worker: str | None = None,
        attempt: int | None = None,
    ) -> Download: ...
    def heartbeat(
        self,
        download_id: UUID | str,
        worker: str,
        *,
        lease: float = 60.0,
        attempt: int | None = None,
    ) -> Download: ...
    def progress(
        self,
        download_id: UUID | str,
        percent: float,
        *,
        speed: str | None = None,
        eta: str | None = None,
        filename: str | UnsetType | None = ...,
        filesize: float | UnsetType | None = ...,
        worker: str | None = None,
        attempt: int | None = None,
        lease: float = 60.0,
    ) -> bool: ...
    def purge(self, older_than: timedelta | None) -> PurgeReport: ...
    def purge_idle(self, older_than: timedelta) -> PurgeReport: ...
    def recover(
        self, message: str = "interrupted by server restart", *, queued: bool = False
    ) -> int: ...
    def release(
        self, download_id: UUID | str, worker: str, *, attempt: int | None = None
    ) -> Download: ...
    def retry(self, download_id: UUID | str) -> Download: ...
    def start(
        self,
        download_id: UUID | str,
        *,
        extracting: bool = False,
        worker: str | None = None,
        lease: float = 60.0,
    ) -> Download: ...

class _SyncConfigView:
    def all(self) -> dict[str, JsonValue]: ...
    def entries(self) -> list[ConfigEntry]: ...
    @overload
    def get(self, key: str, default: Any = None) -> Any: ...
    @overload
    def get(self, key: str, *, type: type[T]) -> T | None: ...
    @overload
    def get(self, key: str, default: D, *, type: type[T]) -> T | D: ...
    @overload
    def get(self, key: str, default: Any = None, *, type: UnionType) -> Any: ...

class _SyncConfigRepository(_SyncConfigView):
    def delete(self, key: str, *, missing_ok: bool = False) -> bool: ...
    def set(self, key: str, value: JsonValue) -> ConfigEntry: ...
    def set_many(self, values: Mapping[str, JsonValue]) -> None: ...

class _SyncUnsupportedUrlView:
    def count(self) -> int: ...
    def list(
        self, *, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[UnsupportedUrl]: ...

class _SyncUnsupportedUrlRepository(_SyncUnsupportedUrlView):
    def add(
        self, url: str, *, session_id: str | None = None, error: str | None = None
    ) -> UnsupportedUrl: ...
    def clear(self) -> int: ...
    def prune(self, older_than: timedelta) -> int: ...

class _SyncErrorLogView:
    def count(self) -> int: ...
    def list(
        self, *, domain: str | None = None, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[ErrorLogEntry]: ...
    def top_domains(self, limit: int = 10) -> builtins.list[DomainErrors]: ...

class _SyncErrorLogRepository(_SyncErrorLogView):
    def add(
        self,
        url: str,
        error: str,
        *,
        session_id: str | None = None,
        format_id: str | None = None,
        media_type: str | None = None,
    ) -> ErrorLogEntry: ...
    def clear(self) -> int: ...
    def prune(self, older_than: timedelta) -> int: ...

class _SyncProjectView:
    def count(self) -> int: ...
    def find(self, project_id: int) -> Project | None: ...
    def find_by_name(self, name: str) -> Project | None: ...
    def find_by_workspace(self, path: str) -> Project | None: ...
    def get(self, project_id: int) -> Project: ...
    def get_with_videos(self, project_id: int) -> ProjectWithVideos: ...
    def list(self, *, limit: int | None = 100, offset: int = 0) -> builtins.list[Project]: ...
    def list_with_stats(
        self, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[ProjectStats]: ...

class _SyncProjectRepository(_SyncProjectView):
    def add(self, name: str, workspace_path: str, description: str | None = None) -> Project: ...
    def delete(self, project_id: int, *, missing_ok: bool = False) -> bool: ...
    def update(self, project_id: int, **changes: Unpack[ProjectChanges]) -> Project: ...

class _SyncVideoView:
    def count(self) -> int: ...
    def find(self, video_id: int) -> Video | None: ...
    def find_by_path(self, path: str) -> Video | None: ...
    def get(self, video_id: int) -> Video: ...
    def list(self, *, limit: int | None = 100, offset: int = 0) -> builtins.list[Video]: ...
    def list_for_project(
        self, project_id: int, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[Video]: ...
    def page(self, *, after: Video | str | None = None, limit: int | None = 100) -> Page[Video]: ...
    def search(
        self, query: str, *, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[Video]: ...

class _SyncVideoRepository(_SyncVideoView):
    def add(
        self,
        project_id: int,
        filename: str,
        path: str,
        duration: float,
        framerate_num: int,
        framerate_den: int,
        width: int,
        height: int,
    ) -> Video: ...
    def add_many(self, project_id: int, videos: Iterable[NewVideo]) -> builtins.list[Video]: ...
    def delete(self, video_id: int, *, missing_ok: bool = False) -> bool: ...
    def rebuild_search(self) -> int: ...
    def update(self, video_id: int, **changes: Unpack[VideoChanges]) -> Video: ...

class _SyncProjectClipView:
    def count(self) -> int: ...
    def find(self, clip_id: int) -> ProjectClip | None: ...
    def find_by_project(
        self, project_id: int, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[ProjectClip]: ...
    def find_by_video(
        self, video_id: int, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[ProjectClip]: ...
    def find_overlapping(
        self,
        video_id: int,
        in_point: int,
        out_point: int,
        *,
        exclude_id: int | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> builtins.list[ProjectClip]: ...
    def get(self, clip_id: int) -> ProjectClip: ...
    def list(self, *, limit: int | None = 100, offset: int = 0) -> builtins.list[ProjectClip]: ...
    def validate_bounds(self, video_id: int, in_point: int, out_point: int) -> bool: ...

class _SyncProjectClipRepository(_SyncProjectClipView):
    def add(self, project_id: int, video_id: int, in_point: int, out_point: int) -> ProjectClip: ...
    def delete(self, clip_id: int, *, missing_ok: bool = False) -> bool: ...
    def split(self, clip_id: int, frame: int) -> tuple[ProjectClip, ProjectClip]: ...
    def update(self, clip_id: int, **changes: Unpack[ProjectClipChanges]) -> ProjectClip: ...

class _SyncProjectSettingsView:
    def find(self, project_id: int) -> ProjectSettings | None: ...
    def get(self, project_id: int) -> ProjectSettings: ...

class _SyncProjectSettingsRepository(_SyncProjectSettingsView):
    def delete(self, project_id: int, *, missing_ok: bool = False) -> bool: ...
    def upsert(
        self, project_id: int, **fields: Unpack[ProjectSettingsChanges]
    ) -> ProjectSettings: ...

class _SyncVideoLibraryView:
    def count(self) -> int: ...
    def find(self, library_video_id: int) -> LibraryVideo | None: ...
    def find_by_path(self, path: str) -> LibraryVideo | None: ...
    def find_for_video(self, video_id: int) -> LibraryVideo | None: ...
    def get(self, library_video_id: int) -> LibraryVideo: ...
    def list(self, *, limit: int | None = 100, offset: int = 0) -> builtins.list[LibraryVideo]: ...
    def page(
        self, *, after: LibraryVideo | str | None = None, limit: int | None = 100
    ) -> Page[LibraryVideo]: ...
    def uses(
        self, library_video_id: int, *, limit: int | None = None, offset: int = 0
    ) -> builtins.list[Video]: ...

class _SyncVideoLibraryRepository(_SyncVideoLibraryView):
    def add(
        self,
        filename: str,
        path: str,
        duration: float,
        framerate_num: int,
        framerate_den: int,
        width: int,
        height: int,
        *,
        video_codec: str | None = None,
        audio_codec: str | None = None,
        size_bytes: int | None = None,
        thumbnail_path: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> LibraryVideo: ...
    def add_to_project(self, library_video_id: int, project_id: int) -> Video: ...
    def adopt(self, video_id: int) -> LibraryVideo: ...
    def delete(self, library_video_id: int, *, missing_ok: bool = False) -> bool: ...
    def update(
        self, library_video_id: int, **changes: Unpack[LibraryVideoChanges]
    ) -> LibraryVideo: ...

class _SyncTimelineTrackView:
    def find(self, track_id: int) -> TimelineTrack | None: ...
    def get(self, track_id: int) -> TimelineTrack: ...
    def list_for_project(
        self, project_id: int, *, limit: int | None = None, offset: int = 0
    ) -> list[TimelineTrack]: ...

class _SyncTimelineTrackRepository(_SyncTimelineTrackView):
    def add(
        self,
        project_id: int,
        kind: str,
        *,
        name: str = "",
        overlap: OverlapRule | str = ...,
        is_muted: bool = False,
        is_locked: bool = False,
        data: dict[str, Any] | None = None,
    ) -> TimelineTrack: ...
    def delete(self, track_id: int, *, missing_ok: bool = False) -> bool: ...
    def reorder(self, project_id: int, track_ids: Iterable[int]) -> list[TimelineTrack]: ...
    def update(self, track_id: int, **changes: Unpack[TimelineTrackChanges]) -> TimelineTrack: ...

class _SyncTimelineClipView:
    def between(
        self, track_id: int, start: int, stop: int, *, limit: int | None = None, offset: int = 0
    ) -> list[TimelineClip]: ...
    def count_for_track(self, track_id: int) -> int: ...
    def find(self, clip_id: int) -> TimelineClip | None: ...
    def find_by_video(
        self, video_id: int, *, limit: int | None = None, offset: int = 0
    ) -> list[TimelineClip]: ...
    def get(self, clip_id: int) -> TimelineClip: ...
    def page(
        self, track_id: int, *, after: TimelineClip | str | None = None, limit: int | None = 100
    ) -> Page[TimelineClip]: ...

class _SyncTimelineClipRepository(_SyncTimelineClipView):
    def add(
        self,
        track_id: int,
        position: int,
        duration: int,
        *,
        layer: int = 0,
        video_id: int | None = None,
        in_point: int | None = None,
        out_point: int | None = None,
        image_path: str | None = None,
        generator: str | None = None,
        name: str = "",
        data: dict[str, Any] | None = None,
    ) -> TimelineClip: ...
    def delete(self, clip_id: int, *, missing_ok: bool = False) -> bool: ...
    def insert(
        self,
        track_id: int,
        position: int,
        duration: int,
        *,
        layer: int = 0,
        video_id: int | None = None,
        in_point: int | None = None,
        out_point: int | None = None,
        image_path: str | None = None,
        generator: str | None = None,
        name: str = "",
        data: dict[str, Any] | None = None,
    ) -> TimelineClip: ...
    def remove(self, clip_id: int) -> TimelineClip: ...
    def shift(self, track_id: int, start: int, by: int) -> int: ...
    def split(self, clip_id: int, at: int) -> tuple[TimelineClip, TimelineClip]: ...
    def update(self, clip_id: int, **changes: Unpack[TimelineClipChanges]) -> TimelineClip: ...

class _SyncTimelineTransitionView:
    def find(self, transition_id: int) -> TimelineTransition | None: ...
    def for_clips(self, clip_ids: Iterable[int]) -> dict[int, TimelineTransition]: ...
    def get(self, transition_id: int) -> TimelineTransition: ...
    def list_for_track(
        self, track_id: int, *, limit: int | None = None, offset: int = 0
    ) -> list[TimelineTransition]: ...

class _SyncTimelineTransitionRepository(_SyncTimelineTransitionView):
    def add(
        self,
        from_clip_id: int,
        to_clip_id: int,
        kind: str,
        duration: int,
        *,
        data: dict[str, Any] | None = None,
    ) -> TimelineTransition: ...
    def delete(self, transition_id: int, *, missing_ok: bool = False) -> bool: ...
    def update(
        self, transition_id: int, **changes: Unpack[TimelineTransitionChanges]
    ) -> TimelineTransition: ...

class _SyncAuditView:
    def count(self) -> int: ...
    def find(self, entry_id: int) -> AuditEntry | None: ...
    def get(self, entry_id: int) -> AuditEntry: ...
    def get_history(
        self, entity_type: str, entity_id: int | str, *, limit: int | None = None
    ) -> builtins.list[AuditEntry]: ...
    def list(self, *, limit: int | None = 100, offset: int = 0) -> builtins.list[AuditEntry]: ...
    def page(
        self,
        entity_type: str | None = None,
        entity_id: int | str | None = None,
        *,
        after: AuditEntry | str | None = None,
        limit: int | None = 100,
    ) -> Page[AuditEntry]: ...

class _SyncAuditRepository(_SyncAuditView):
    def log_create(
        self, entity_type: str, entity_id: int | str, user_id: str | None = None
    ) -> AuditEntry: ...
    def log_delete(
        self, entity_type: str, entity_id: int | str, user_id: str | None = None
    ) -> AuditEntry: ...
    def log_update(
        self,
        entity_type: str,
        entity_id: int | str,
        changes: dict[str, Any],
        user_id: str | None = None,
    ) -> AuditEntry: ...
    def prune(self, older_than: timedelta) -> int: ...

class _SyncGenerationView:
    def count(self, status: GenerationStatusLike | None = None) -> int: ...
    def find(self, generation_id: UUID | str) -> Generation | None: ...
    def get(self, generation_id: UUID | str) -> Generation: ...
    def list(
        self,
        *,
        status: GenerationStatusLike | None = None,
        limit: int | None = 100,
        offset: int = 0,
    ) -> builtins.list[Generation]: ...
    def list_for_model(
        self, model_name: str, *, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[Generation]: ...
    def list_for_prompt(
        self, prompt: str, *, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[Generation]: ...
    def page(
        self,
        *,
        after: Generation | str | None = None,
        limit: int | None = 50,
        status: GenerationStatusLike | None = None,
    ) -> Page[Generation]: ...
    def pending(self, limit: int | None = 100) -> builtins.list[Generation]: ...
    def stats(self) -> GenerationStats: ...

class _SyncGenerationRepository(_SyncGenerationView):
    def cancel(self, generation_id: UUID | str) -> Generation: ...
    def claim(self, worker: str | None = None, *, lease: float = 60.0) -> Generation | None: ...
    def complete(
        self,
        generation_id: UUID | str,
        generation_time: float,
        file_size_bytes: int | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        worker: str | None = None,
        attempt: int | None = None,
    ) -> Generation: ...
    def create(
        self,
        prompt: str,
        model_name: str,
        duration_seconds: float,
        sample_rate: int,
        channels: int,
        file_path: str,
        *,
        id: UUID | str | None = None,
        model_version: str | None = None,
        metadata: dict[str, Any] | None = None,
        priority: int = 0,
        max_attempts: int = 1,
    ) -> Generation: ...
    def create_many(self, generations: Iterable[NewGeneration]) -> list[Generation]: ...
    def delete(self, generation_id: UUID | str, *, missing_ok: bool = False) -> bool: ...
    def fail(
        self,
        generation_id: UUID | str,
        error_message: str,
        *,
        worker: str | None = None,
        attempt: int | None = None,
    ) -> Generation: ...
    def heartbeat(
        self,
        generation_id: UUID | str,
        worker: str,
        *,
        lease: float = 60.0,
        attempt: int | None = None,
    ) -> Generation: ...
    def mark_processing(
        self, generation_id: UUID | str, *, worker: str | None = None, lease: float = 60.0
    ) -> Generation: ...
    def recover(self, message: str = "interrupted by restart") -> int: ...
    def release(
        self, generation_id: UUID | str, worker: str, *, attempt: int | None = None
    ) -> Generation: ...
    def retry(self, generation_id: UUID | str) -> Generation: ...
    def set_metadata(self, generation_id: UUID | str, metadata: dict[str, Any]) -> Generation: ...
    def update_status(
        self,
        generation_id: UUID | str,
        status: GenerationStatusLike,
        error_message: str | None = None,
    ) -> Generation: ...

class _SyncPromptView:
    def count(self) -> int: ...
    def find(self, prompt_id: int) -> Prompt | None: ...
    def find_by_text(self, text: str) -> Prompt | None: ...
    def get(self, prompt_id: int) -> Prompt: ...
    def list(self, *, limit: int | None = 100, offset: int = 0) -> builtins.list[Prompt]: ...
    def most_used(self, limit: int | None = 10) -> builtins.list[Prompt]: ...
    def search(
        self, query: str, limit: int | None = 20, *, offset: int = 0
    ) -> builtins.list[Prompt]: ...

class _SyncPromptRepository(_SyncPromptView):
    def rebuild_search(self) -> int: ...
    def track(self, text: str) -> Prompt: ...

class _SyncPersonView:
    def files(
        self, person_id: int, *, limit: int | None = None, offset: int = 0
    ) -> list[PersonFile]: ...
    def find(self, person_id: int) -> Person | None: ...
    def find_by_name(self, profile_id: str, name: str) -> Person | None: ...
    def get(self, person_id: int) -> Person: ...
    def list_for_profile(
        self, profile_id: str, *, limit: int | None = None, offset: int = 0
    ) -> list[Person]: ...
    def segments(
        self, person_id: int, *, after: SpokenSegment | str | None = None, limit: int | None = 50
    ) -> Page[SpokenSegment]: ...
    def speakers(
        self, person_id: int, *, after: Speaker | str | None = None, limit: int | None = 50
    ) -> Page[Speaker]: ...
    def suggestions(
        self, person_id: int, *, limit: int | None = 50, offset: int = 0
    ) -> list[Speaker]: ...

class _SyncPersonRepository(_SyncPersonView):
    def add(self, profile_id: str, name: str, *, description: str | None = None) -> Person: ...
    def assign(self, person_id: int, speaker_ids: Iterable[int]) -> Person: ...
    def attach_file(self, person_id: int, file_id: UUID | str, kind: str) -> list[PersonFile]: ...
    def delete(self, person_id: int, *, missing_ok: bool = False) -> bool: ...
    def detach_file(self, person_id: int, file_id: UUID | str) -> bool: ...
    def ensure(self, profile_id: str, name: str) -> Person: ...
    def merge(self, source_id: int, target_id: int) -> Person: ...
    def release(self, speaker_ids: Iterable[int]) -> int: ...
    def split(self, person_id: int, name: str, speaker_ids: Iterable[int]) -> Person: ...
    def update(self, person_id: int, **changes: Unpack[PersonChanges]) -> Person: ...

class _SyncCollectionView:
    def find(self, collection_id: int) -> Collection | None: ...
    def find_by_name(self, profile_id: str, name: str) -> Collection | None: ...
    def for_file(
        self, file_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> list[Collection]: ...
    def get(self, collection_id: int) -> Collection: ...
    def list_for_profile(
        self, profile_id: str, *, limit: int | None = None, offset: int = 0
    ) -> list[Collection]: ...
    def page(
        self,
        collection_id: int,
        *,
        after: CollectedFile | str | None = None,
        limit: int | None = 50,
    ) -> Page[CollectedFile]: ...

class _SyncCollectionRepository(_SyncCollectionView):
    def add(
        self,
        profile_id: str,
        name: str,
        *,
        description: str | None = None,
        color: str | None = None,
        prompt_id: int | None = None,
    ) -> Collection: ...
    def add_files(self, collection_id: int, file_ids: Iterable[UUID | str]) -> int: ...
    def delete(self, collection_id: int, *, missing_ok: bool = False) -> bool: ...
    def ensure(self, profile_id: str, name: str) -> Collection: ...
    def place(
        self,
        collection_id: int,
        file_ids: Iterable[UUID | str],
        *,
        before: UUID | str | None = None,
    ) -> int: ...
    def remove_files(self, collection_id: int, file_ids: Iterable[UUID | str]) -> int: ...
    def update(self, collection_id: int, **changes: Unpack[CollectionChanges]) -> Collection: ...

class _SyncCommentView:
    def count_for_file(self, file_id: UUID | str) -> int: ...
    def find(self, comment_id: int) -> Comment | None: ...
    def get(self, comment_id: int) -> Comment: ...
    def list_for_file(
        self, file_id: UUID | str, *, limit: int | None = 100, offset: int = 0
    ) -> list[Comment]: ...
    def page(
        self, profile_id: str, *, after: Comment | str | None = None, limit: int | None = 50
    ) -> Page[Comment]: ...
    def replies(
        self, comment_id: int, *, limit: int | None = 100, offset: int = 0
    ) -> list[Comment]: ...

class _SyncCommentRepository(_SyncCommentView):
    def add(
        self, file_id: UUID | str, profile_id: str, text: str, *, at_seconds: float | None = None
    ) -> Comment: ...
    def delete(self, comment_id: int, *, missing_ok: bool = False) -> bool: ...
    def reply(self, comment_id: int, profile_id: str, text: str) -> Comment: ...
    def update(self, comment_id: int, **changes: Unpack[CommentChanges]) -> Comment: ...

class _SyncDerivedFileView:
    def counts_by_status(self) -> dict[str, int]: ...
    def evictable(
        self,
        *,
        older_than: timedelta | None = None,
        max_count: int | None = None,
        max_bytes: int | None = None,
    ) -> list[EvictedFile]: ...
    def find(self, derived_file_id: int) -> DerivedFile | None: ...
    def get(self, derived_file_id: int) -> DerivedFile: ...
    def list_for_file(
        self, file_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> list[DerivedFile]: ...
    def pending(self, *, limit: int | None = 100) -> list[DerivedFile]: ...
    def total_bytes(self) -> int: ...

class _SyncDerivedFileRepository(_SyncDerivedFileView):
    def complete(
        self, derived_file_id: int, path: str, size_bytes: int, *, expires_in: float | None = None
    ) -> DerivedFile: ...
    def delete(self, derived_file_id: int, *, missing_ok: bool = False) -> bool: ...
    def ensure(
        self, file_id: UUID | str, kind: str, parameters: dict[str, Any] | None = None
    ) -> DerivedFile: ...
    def evict(
        self,
        *,
        older_than: timedelta | None = None,
        max_count: int | None = None,
        max_bytes: int | None = None,
    ) -> list[EvictedFile]: ...
    def fail(self, derived_file_id: int, error_message: str) -> DerivedFile: ...
    def pin(self, derived_file_id: int, *, pinned: bool = True) -> DerivedFile: ...
    def recover(self, older_than: timedelta) -> int: ...
    def retry(self, derived_file_id: int) -> DerivedFile: ...
    def start(self, derived_file_id: int) -> DerivedFile: ...
    def use(self, derived_file_id: int, *, every: float = 60.0) -> DerivedFile: ...

class _SyncRetentionView:
    def files(
        self,
        profile_id: str,
        *,
        older_than: timedelta | None = None,
        max_count: int | None = None,
        max_bytes: int | None = None,
        limit: int | None = None,
    ) -> list[Expendable]: ...
    def generations(
        self,
        *,
        older_than: timedelta | None = None,
        max_count: int | None = None,
        max_bytes: int | None = None,
        limit: int | None = None,
    ) -> list[Expendable]: ...
    def notifications(
        self,
        profile_id: str,
        *,
        older_than: timedelta | None = None,
        max_count: int | None = None,
        limit: int | None = None,
    ) -> list[Expendable]: ...
    def pinned_files(
        self, profile_id: str, *, limit: int | None = None, offset: int = 0
    ) -> list[File]: ...
    def pinned_generations(
        self, *, limit: int | None = None, offset: int = 0
    ) -> list[Generation]: ...
    def pinned_notifications(
        self, profile_id: str, *, limit: int | None = None, offset: int = 0
    ) -> list[Notification]: ...

class _SyncRetentionRepository(_SyncRetentionView):
    def pin_file(self, file_id: UUID | str, *, pinned: bool = True) -> File: ...
    def pin_generation(self, generation_id: UUID | str, *, pinned: bool = True) -> Generation: ...
    def pin_notification(self, notification_id: int, *, pinned: bool = True) -> Notification: ...
    def remove(self, expendable: Iterable[Expendable]) -> list[Expendable]: ...

class _SyncRedactionView:
    def find(self, segment_id: int) -> Redaction | None: ...
    def get(self, segment_id: int) -> Redaction: ...
    def list_for_transcript(
        self, transcript_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> list[Redaction]: ...

class _SyncRedactionRepository(_SyncRedactionView):
    def delete(self, segment_id: int, *, missing_ok: bool = False) -> bool: ...
    def redact(
        self,
        segment_id: int,
        parts: Iterable[tuple[int, int]],
        *,
        mask: str = "[redacted]",
        reason: str | None = None,
    ) -> Segment: ...
    def restore(self, segment_id: int) -> Segment: ...

class _SyncMarkerView:
    def find(self, marker_id: int) -> Marker | None: ...
    def get(self, marker_id: int) -> Marker: ...
    def list_for_file(
        self, file_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> list[Marker]: ...
    def list_for_project(
        self, project_id: int, *, limit: int | None = None, offset: int = 0
    ) -> list[Marker]: ...

class _SyncMarkerRepository(_SyncMarkerView):
    def add(
        self,
        label: str,
        start_time: float,
        *,
        file_id: UUID | str | None = None,
        project_id: int | None = None,
        end_time: float | None = None,
        color: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> Marker: ...
    def delete(self, marker_id: int, *, missing_ok: bool = False) -> bool: ...
    def update(self, marker_id: int, **changes: Unpack[MarkerChanges]) -> Marker: ...

class _SyncSecretsStoreView:
    def find(self, name: str, *, profile_id: str | None = None) -> StoredSecret | None: ...
    def get(self, name: str, *, profile_id: str | None = None) -> StoredSecret: ...
    def list(self, profile_id: str | None = None) -> builtins.list[StoredSecret]: ...
    def value(self, name: str, *, profile_id: str | None = None) -> str: ...

class _SyncSecretsStoreRepository(_SyncSecretsStoreView):
    def delete(
        self, name: str, *, profile_id: str | None = None, missing_ok: bool = False
    ) -> bool: ...
    def rotate_keys(self) -> int: ...
    def set(
        self, name: str, value: str, *, profile_id: str | None = None, kind: str | None = None
    ) -> StoredSecret: ...

class _RawReads:
    def fetch_all(
        self, row_type: type[T], sql: str, params: Params = ..., *, timeout: float | None = None
    ) -> list[T]: ...
    def fetch_one(
        self, row_type: type[T], sql: str, params: Params = ..., *, timeout: float | None = None
    ) -> T: ...
    def fetch_optional(
        self, row_type: type[T], sql: str, params: Params = ..., *, timeout: float | None = None
    ) -> T | None: ...
    def stream(
        self, row_type: type[T], sql: str, params: Params = ..., *, batch: int = 500
    ) -> SyncRows[T]: ...

class _RawSql(_RawReads):
    def execute(self, sql: str, params: Params = ...) -> int: ...
    def execute_many(self, sql: str, rows: Iterable[Params]) -> int: ...

class SyncSnapshot(_RawReads):
    profiles: _SyncProfileView
    files: _SyncFileView
    media_info: _SyncMediaInfoView
    file_processing: _SyncFileProcessingView
    tags: _SyncTagView
    settings: _SyncSettingsView
    notifications: _SyncNotificationView
    transcripts: _SyncTranscriptView
    segments: _SyncSegmentView
    speakers: _SyncSpeakerView
    clips: _SyncClipView
    templates: _SyncLlmTemplateView
    llm_configs: _SyncLlmConfigView
    summary_prompts: _SyncSummaryPromptView
    summaries: _SyncSummaryView
    jobs: _SyncJobView
    schedules: _SyncScheduleView
    sessions: _SyncSessionView
    downloads: _SyncDownloadView
    config: _SyncConfigView
    unsupported_urls: _SyncUnsupportedUrlView
    error_log: _SyncErrorLogView
    projects: _SyncProjectView
    videos: _SyncVideoView
    project_clips: _SyncProjectClipView
    project_settings: _SyncProjectSettingsView
    video_library: _SyncVideoLibraryView
    timeline_tracks: _SyncTimelineTrackView
    timeline_clips: _SyncTimelineClipView
    timeline_transitions: _SyncTimelineTransitionView
    audit: _SyncAuditView
    generations: _SyncGenerationView
    prompts: _SyncPromptView
    people: _SyncPersonView
    collections: _SyncCollectionView
    comments: _SyncCommentView
    derived_files: _SyncDerivedFileView
    retention: _SyncRetentionView
    redactions: _SyncRedactionView
    markers: _SyncMarkerView
    secrets_store: _SyncSecretsStoreView
    def repository(self, repository_class: type[Repository]) -> Any: ...

class _Catalogue(_RawSql):
    profiles: _SyncProfileRepository
    files: _SyncFileRepository
    media_info: _SyncMediaInfoRepository
    file_processing: _SyncFileProcessingRepository
    tags: _SyncTagRepository
    settings: _SyncSettingsRepository
    notifications: _SyncNotificationRepository
    transcripts: _SyncTranscriptRepository
    segments: _SyncSegmentRepository
    speakers: _SyncSpeakerRepository
    clips: _SyncClipRepository
    templates: _SyncLlmTemplateRepository
    llm_configs: _SyncLlmConfigRepository
    summary_prompts: _SyncSummaryPromptRepository
    summaries: _SyncSummaryRepository
    jobs: _SyncJobRepository
    schedules: _SyncScheduleRepository
    sessions: _SyncSessionRepository
    downloads: _SyncDownloadRepository
    config: _SyncConfigRepository
    unsupported_urls: _SyncUnsupportedUrlRepository
    error_log: _SyncErrorLogRepository
    projects: _SyncProjectRepository
    videos: _SyncVideoRepository
    project_clips: _SyncProjectClipRepository
    project_settings: _SyncProjectSettingsRepository
    video_library: _SyncVideoLibraryRepository
    timeline_tracks: _SyncTimelineTrackRepository
    timeline_clips: _SyncTimelineClipRepository
    timeline_transitions: _SyncTimelineTransitionRepository
    audit: _SyncAuditRepository
    generations: _SyncGenerationRepository
    prompts: _SyncPromptRepository
    people: _SyncPersonRepository
    collections: _SyncCollectionRepository
    comments: _SyncCommentRepository
    derived_files: _SyncDerivedFileRepository
    retention: _SyncRetentionRepository
    redactions: _SyncRedactionRepository
    markers: _SyncMarkerRepository
    secrets_store: _SyncSecretsStoreRepository
    def repository(self, repository_class: type[Repository]) -> Any: ...

class SyncUnitOfWork(_Catalogue):
    @property
    def actor(self) -> str | None: ...
    def after_commit(self, callback: Callable[[], object]) -> None: ...
    @property
    def now(self) -> datetime: ...
    def rollback(self) -> None: ...
    def savepoint(self) -> SyncContext[None]: ...
    @property
    def state(self) -> State: ...

class SyncDatabase(_Catalogue):
    def activity(self) -> Activity: ...
    def atomically(
        self,
        function: Callable[..., Coroutine[Any, Any, R]],
        /,
        *args: Any,
        actor: str | None = None,
        **kwargs: Any,
    ) -> R: ...
    def backup(
        self,
        target: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
        keep: int | None = None,
    ) -> None: ...
    def changes(
        self,
        *names: str,
        profile_id: str | None = None,
        rows: bool = False,
        since: int | str | None = None,
    ) -> SyncRows[Changes]: ...
    def check(self, *, full: bool = False) -> HealthReport: ...
    def checkpoint(self) -> bool: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    @property
    def database_id(self) -> UUID: ...
    @property
    def journal(self) -> JournalDecision: ...
    def observe(
        self, function: Callable[[Snapshot], Coroutine[Any, Any, R]], /, *names: str
    ) -> SyncRows[R]: ...
    def optimize(self) -> None: ...
    @property
    def path(self) -> Path | None: ...
    def reading(
        self, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any, **kwargs: Any
    ) -> R: ...
    def rebuild_search(self) -> None: ...
    @property
    def schema_version(self) -> int: ...
    def snapshot(self) -> SyncContext[SyncSnapshot]: ...
    def stats(self) -> DatabaseStats: ...
    def transaction(self, *, actor: str | None = None) -> SyncContext[SyncUnitOfWork]: ...
    def unfollow(self, *names: str) -> list[str]: ...
    def vacuum(self) -> None: ...
    def work(
        self,
        handlers: Mapping[str, Handler],
        *,
        concurrency: int = 4,
        worker: str | None = None,
        types: Iterable[str] | None = None,
        grace: float = 30.0,
        lease: float = 60.0,
    ) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

def connect_sync(
    path: str | os.PathLike[str],
    *,
    journal: JournalChoice = "auto",
    durability: Durability = "balanced",
    busy_timeout: float = 5.0,
    readers: int | None = None,
    create: bool = True,
    migrate: bool = True,
    migrations: Migrations | None = None,
    secrets: Secrets | None = None,
    mounts: str | os.PathLike[str] = ...,
    clock: Clock | None = None,
    slow_query: float | None = None,
    slow_transaction: float = 1.0,
    backup_dir: str | os.PathLike[str] | None = None,
    setup: Setup | None = None,
    read_only: bool = False,
    observers: Sequence[Observer] = ...,
) -> SyncDatabase: ...
