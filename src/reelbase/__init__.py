"""The data layer of self-hosted media applications: hand-written SQL, typed records, SQLite, asyncio."""

from reelbase.engine.native import sqlite_version as _  # noqa: F401 - first, for it may refuse

# isort: split
from reelbase.connector import connect
from reelbase.database import Database
from reelbase.engine.copies.retention import BackupReport
from reelbase.engine.events import Activity, Observer, StatementEvent, UnitEvent
from reelbase.engine.file.journal import JournalDecision, journal_mode_for
from reelbase.engine.file.mounts import Filesystem, filesystem_of
from reelbase.engine.ids import new_id
from reelbase.engine.live.changes import Changes, ChangeStream
from reelbase.engine.live.journal import RowChange
from reelbase.engine.maintenance.health import HealthReport
from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.schema.chain import Migrations
from reelbase.engine.schema.figures import DatabaseStats
from reelbase.engine.schema.ledger import AppliedMigration
from reelbase.engine.schema.source import SCHEMA_VERSION, schema_sql
from reelbase.engine.secrets import Secrets
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.parameters import JsonValue
from reelbase.engine.statements.statement import Command, Insertion, PageQuery, Query
from reelbase.errors import (
    ChangesExpiredError,
    CommitUncertainError,
    ConstraintError,
    DatabaseBusyError,
    DatabaseClosedError,
    DatabaseCorruptError,
    DatabaseError,
    DatabaseFullError,
    DatabaseIOError,
    DatabaseReadOnlyError,
    DatabaseTimeoutError,
    InvalidArgumentError,
    InvalidTransitionError,
    RecordNotFoundError,
    SchemaError,
    SecretError,
)
from reelbase.importers.importer import import_from
from reelbase.importers.outcome import ImportReport
from reelbase.observation import Observation
from reelbase.operations.backup import backup, restore
from reelbase.operations.migration import (
    MigrationReport,
    MigrationStep,
    adopt,
    migrate,
    migration_history,
)
from reelbase.operations.repair import RepairReport, repair
from reelbase.repositories.audit import (
    AuditAction,
    AuditedRepository,
    AuditEntry,
    AuditRepository,
)
from reelbase.repositories.clips import Clip, ClipRepository
from reelbase.repositories.collections import (
    CollectedFile,
    Collection,
    CollectionChanges,
    CollectionRepository,
)
from reelbase.repositories.comments import Comment, CommentChanges, CommentRepository
from reelbase.repositories.config import ConfigEntry, ConfigRepository
from reelbase.repositories.derived_files import (
    DerivedFile,
    DerivedFileRepository,
    DerivedFileStatus,
    EvictedFile,
)
from reelbase.repositories.downloads import (
    Download,
    DownloadRepository,
    DownloadStatus,
    PurgedDownload,
    PurgeReport,
)
from reelbase.repositories.error_log import DomainErrors, ErrorLogEntry, ErrorLogRepository
from reelbase.repositories.file_processing import (
    FileProcessing,
    FileProcessingRepository,
    FileStatus,
    FileStatusLike,
)
from reelbase.repositories.files import (
    File,
    FileCard,
    FileChanges,
    FileFilters,
    FileOrder,
    FileOrderLike,
    FileRepository,
    NewFile,
)
from reelbase.repositories.generations import (
    Generation,
    GenerationRepository,
    GenerationStats,
    GenerationStatus,
    GenerationStatusLike,
    NewGeneration,
)
from reelbase.repositories.jobs import (
    Job,
    JobLogLine,
    JobQueue,
    JobRepository,
    JobStatus,
    JobStatusLike,
    JobStep,
    RecoveryReport,
)
from reelbase.repositories.llm_configs import (
    LlmConfig,
    LlmConfigChanges,
    LlmConfigCheck,
    LlmConfigRepository,
)
from reelbase.repositories.markers import Marker, MarkerChanges, MarkerRepository
from reelbase.repositories.media_info import MediaInfo, MediaInfoChanges, MediaInfoRepository
from reelbase.repositories.notifications import Notification, NotificationRepository
from reelbase.repositories.people import (
    Person,
    PersonChanges,
    PersonFile,
    PersonRepository,
    SpokenSegment,
)
from reelbase.repositories.profiles import Profile, ProfileRepository
from reelbase.repositories.project_clips import (
    ProjectClip,
    ProjectClipChanges,
    ProjectClipRepository,
)
from reelbase.repositories.project_settings import (
    ProjectSettings,
    ProjectSettingsChanges,
    ProjectSettingsRepository,
)
from reelbase.repositories.project_versions import (
    ProjectSnapshot,
    ProjectVersion,
    ProjectVersionRepository,
)
from reelbase.repositories.projects import (
    Project,
    ProjectChanges,
    ProjectRepository,
    ProjectStats,
    ProjectWithVideos,
)
from reelbase.repositories.prompts import Prompt, PromptRepository
from reelbase.repositories.redactions import Redaction, RedactionRepository
from reelbase.repositories.retention import Expendable, ExpendableKind, RetentionRepository
from reelbase.repositories.schedules import MissedSlots, Schedule, ScheduleRepository
from reelbase.repositories.secrets_store import SecretsStoreRepository, StoredSecret
from reelbase.repositories.segments import NewSegment, Segment, SegmentChanges, SegmentRepository
from reelbase.repositories.sessions import Session, SessionRepository, SessionSummary
from reelbase.repositories.settings import ProfileSetting, SettingsRepository
from reelbase.repositories.speakers import Speaker, SpeakerName, SpeakerRepository
from reelbase.repositories.summaries import Summary, SummaryRepository, SummaryStatus
from reelbase.repositories.summary_prompts import (
    SummaryPrompt,
    SummaryPromptChanges,
    SummaryPromptRepository,
    SummaryPromptVersion,
)
from reelbase.repositories.tags import Tag, TagRepository
from reelbase.repositories.templates import LlmTemplate, LlmTemplateRepository
from reelbase.repositories.timeline_clips import (
    TimelineClip,
    TimelineClipChanges,
    TimelineClipRepository,
)
from reelbase.repositories.timeline_tracks import (
    OverlapRule,
    TimelineTrack,
    TimelineTrackChanges,
    TimelineTrackRepository,
)
from reelbase.repositories.timeline_transitions import (
    TimelineTransition,
    TimelineTransitionChanges,
    TimelineTransitionRepository,
)
from reelbase.repositories.transcripts import SegmentHit, Transcript, TranscriptRepository
from reelbase.repositories.unsupported_urls import UnsupportedUrl, UnsupportedUrlRepository
from reelbase.repositories.video_library import (
    LibraryVideo,
    LibraryVideoChanges,
    VideoLibraryRepository,
)
from reelbase.repositories.videos import NewVideo, Video, VideoChanges, VideoRepository
from reelbase.snapshot import Snapshot
from reelbase.synchronous import SyncDatabase, SyncSnapshot, SyncUnitOfWork, connect_sync
from reelbase.unit_of_work import UnitOfWork
from reelbase.workers.handlers import (
    Handler,
    HandlerFunction,
    JobFailure,
    JobHandler,
)
from reelbase.workers.runs import BlockingJobRun, JobRun

__version__ = "0.1.0"

__all__ = [
    "SCHEMA_VERSION",
    "Activity",
    "AppliedMigration",
    "AuditAction",
    "AuditEntry",
    "AuditRepository",
    "AuditedRepository",
    "BackupReport",
    "BlockingJobRun",
    "ChangeStream",
    "Changes",
    "ChangesExpiredError",
    "Clip",
    "ClipRepository",
    "CollectedFile",
    "Collection",
    "CollectionChanges",
    "CollectionRepository",
    "Command",
    "Comment",
    "CommentChanges",
    "CommentRepository",
    "CommitUncertainError",
    "ConfigEntry",
    "ConfigRepository",
    "ConstraintError",
    "Database",
    "DatabaseBusyError",
    "DatabaseClosedError",
    "DatabaseCorruptError",
    "DatabaseError",
    "DatabaseFullError",
    "DatabaseIOError",
    "DatabaseReadOnlyError",
    "DatabaseStats",
    "DatabaseTimeoutError",
    "DerivedFile",
    "DerivedFileRepository",
    "DerivedFileStatus",
    "DomainErrors",
    "Download",
    "DownloadRepository",
    "DownloadStatus",
    "ErrorLogEntry",
    "ErrorLogRepository",
    "EvictedFile",
    "Expendable",
    "ExpendableKind",
    "File",
    "FileCard",
    "FileChanges",
    "FileFilters",
    "FileOrder",
    "FileOrderLike",
    "FileProcessing",
    "FileProcessingRepository",
    "FileRepository",
    "FileStatus",
    "FileStatusLike",
    "Filesystem",
    "Generation",
    "GenerationRepository",
    "GenerationStats",
    "GenerationStatus",
    "GenerationStatusLike",
    "Handler",
    "HandlerFunction",
    "HealthReport",
    "ImportReport",
    "Insertion",
    "InvalidArgumentError",
    "InvalidTransitionError",
    "Job",
    "JobFailure",
    "JobHandler",
    "JobLogLine",
    "JobQueue",
    "JobRepository",
    "JobRun",
    "JobStatus",
    "JobStatusLike",
    "JobStep",
    "JournalDecision",
    "JsonValue",
    "LibraryVideo",
    "LibraryVideoChanges",
    "LlmConfig",
    "LlmConfigChanges",
    "LlmConfigCheck",
    "LlmConfigRepository",
    "LlmTemplate",
    "LlmTemplateRepository",
    "Marker",
    "MarkerChanges",
    "MarkerRepository",
    "MediaInfo",
    "MediaInfoChanges",
    "MediaInfoRepository",
    "MigrationReport",
    "MigrationStep",
    "Migrations",
    "MissedSlots",
    "NewFile",
    "NewGeneration",
    "NewSegment",
    "NewVideo",
    "Notification",
    "NotificationRepository",
    "Observation",
    "Observer",
    "OverlapRule",
    "Page",
    "PageQuery",
    "Person",
    "PersonChanges",
    "PersonFile",
    "PersonRepository",
    "Profile",
    "ProfileRepository",
    "ProfileSetting",
    "Project",
    "ProjectChanges",
    "ProjectClip",
    "ProjectClipChanges",
    "ProjectClipRepository",
    "ProjectRepository",
    "ProjectSettings",
    "ProjectSettingsChanges",
    "ProjectSettingsRepository",
    "ProjectSnapshot",
    "ProjectStats",
    "ProjectVersion",
    "ProjectVersionRepository",
    "ProjectWithVideos",
    "Prompt",
    "PromptRepository",
    "PurgeReport",
    "PurgedDownload",
    "Query",
    "Record",
    "RecordNotFoundError",
    "RecoveryReport",
    "Redaction",
    "RedactionRepository",
    "RepairReport",
    "Repository",
    "RetentionRepository",
    "RowChange",
    "Schedule",
    "ScheduleRepository",
    "SchemaError",
    "SecretError",
    "Secrets",
    "SecretsStoreRepository",
    "Segment",
    "SegmentChanges",
    "SegmentHit",
    "SegmentRepository",
    "Session",
    "SessionRepository",
    "SessionSummary",
    "SettingsRepository",
    "Snapshot",
    "Speaker",
    "SpeakerName",
    "SpeakerRepository",
    "SpokenSegment",
    "StatementEvent",
    "StoredSecret",
    "Summary",
    "SummaryPrompt",
    "SummaryPromptChanges",
    "SummaryPromptRepository",
    "SummaryPromptVersion",
    "SummaryRepository",
    "SummaryStatus",
    "SyncDatabase",
    "SyncSnapshot",
    "SyncUnitOfWork",
    "Tag",
    "TagRepository",
    "TimelineClip",
    "TimelineClipChanges",
    "TimelineClipRepository",
    "TimelineTrack",
    "TimelineTrackChanges",
    "TimelineTrackRepository",
    "TimelineTransition",
    "TimelineTransitionChanges",
    "TimelineTransitionRepository",
    "Transcript",
    "TranscriptRepository",
    "UnitEvent",
    "UnitOfWork",
    "UnsupportedUrl",
    "UnsupportedUrlRepository",
    "Video",
    "VideoChanges",
    "VideoLibraryRepository",
    "VideoRepository",
    "adopt",
    "backup",
    "connect",
    "connect_sync",
    "filesystem_of",
    "import_from",
    "journal_mode_for",
    "migrate",
    "migration_history",
    "new_id",
    "repair",
    "restore",
    "schema_sql",
]
